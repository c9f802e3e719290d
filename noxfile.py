"""Sessions of nox: `nox -l` lists them, `nox -s NAME` runs one, and `nox -s NAME -- ARGS` passes arguments to it."""

import os
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
# With uv, if it is installed, as in `.ci/run`, installing takes a tenth of the time. virtualenv is a dependency of nox.
# Sessions that install `.` without `-e` use pip: uv rebuilds it only after pyproject.toml has changed.
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests"]

# Some containers set it. The tests start hundreds of processes, each of which would compile all modules it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

PIP = "virtualenv"
"""Backend of the sessions that need pip."""

TORCH = "torch==2.13.0"
"""Installed before packages that depend on it: they could install a newer build for GPUs, of several gigabytes.

It is installed with pip, which reads the configuration of users who have a build for the processor.
"""
OF_OBP = ("matplotlib", "mypy-extensions", "pyieoe", "pyyaml", "scikit-learn", "seaborn", "tqdm")
"""Dependencies of Open Bandit Pipeline that build."""
UNCOMPILED_TORCH = (TORCH, "--no-compile")
"""Without bytecode, which Python writes when it imports a module: most modules of PyTorch are never imported."""

QUICK = "not ci and not interpreted"
"""Marker expression of the tests that are fast enough for `tests`."""
SLOW = "ci and not interpreted"
"""Marker expression of the tests of `tests_ci`."""
UNCOMPILED = "(not ci or interpreted) and not compiled and not versionless"
"""Marker expression of the tests that make sense, and are fast enough, without the usual compilation."""

IN_PARALLEL = ("-n", "auto", "--dist", "worksteal")
"""Options of pytest-xdist: one worker per core. PYTEST_XDIST_AUTO_NUM_WORKERS sets another number; 0 means none."""

EXPERIMENTS = ("rehearsals", "fairness", "scorecards", "schedulers")
"""Benchmarks of experiments, groups, student models and schedulers."""

PYPROJECT = nox.project.load_toml("pyproject.toml")


def group(*names: str) -> tuple[str, ...]:
    """Return the requirements of these dependency groups."""
    return nox.project.dependency_groups(PYPROJECT, *names)


def run_quickstart(session: nox.Session, folder: str = "") -> None:
    """Generate a dataset with the command `alsim` (of another `folder`, if given), and describe it."""
    alsim = str(Path(folder, "alsim"))
    generate = ("generate", "--learners", "200", "--episodes", "3", "--policy", "uniform", "--seed", "0", "--force")
    session.run(alsim, *generate, "--out", "quickstart-dataset", external=bool(folder))
    session.run(alsim, "info", "quickstart-dataset", external=bool(folder))


@nox.session(venv_backend=PIP)
def quickstart(session: nox.Session) -> None:
    """Install alsim as a user would, generate a dataset and describe it."""
    session.install("-q", ".")
    run_quickstart(session)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests on all cores, without those marked `ci`; with arguments, run pytest with them in one process."""
    session.install("-q", "-e", ".", *group("test"))
    session.run("pytest", *(session.posargs or (*IN_PARALLEL, "-m", QUICK)))


@nox.session
def tests_ci(session: nox.Session) -> None:
    """Run the slow tests, marked `ci`, that the session `tests` omits; `-- --part K/N` runs part K of N.

    They take an hour on two cores. `.ci/run` runs one of sixteen parts, by the hash of the commit, so that successive
    commits run different parts.
    """
    session.install("-q", "-e", ".", *group("test"))
    session.run("pytest", *IN_PARALLEL, "-m", SLOW, *session.posargs)


def install_lowest(session: nox.Session) -> None:
    """Install alsim and the dependencies of its tests in the lowest versions that pyproject.toml allows."""
    session.install("-q", "uv")
    floors = Path(session.create_tmp(), "floors.txt")
    session.run(
        *("uv", "pip", "compile", "-q", "--resolution", "lowest-direct", "--no-header", "--no-annotate"),
        *("pyproject.toml", "-o", str(floors)),
    )
    session.install("-q", "-c", str(floors), "-e", ".", *group("test"))


@nox.session(python="3.11")
def interpreted(session: nox.Session) -> None:
    """Run the tests without compilation, on the lowest versions, and measure their coverage.

    coverage.py does not measure machine code. `-- --part K/N` runs all tests but those of the other parts of the heavy
    ones.
    """
    install_lowest(session)
    # Without the slow tests of the other parts, coverage is about 92 %; selected tests cannot reach any threshold.
    threshold = [f"--cov-fail-under={88 if '--part' in session.posargs else 0}"] if session.posargs else []
    session.run(
        *("pytest", *IN_PARALLEL, "--cov", "--cov-report=term", *threshold, "-m", UNCOMPILED, *session.posargs),
        env={"NUMBA_DISABLE_JIT": "1"},
    )


WITHOUT_KERNELS = ("bank", "benchmarks", "cli", "curriculum", "docs", "responses", "utils", "test_config.py")
"""Below tests/, what runs no kernel that other tests do not run: tests of commands, pages and files."""
EACH_KERNEL = (
    *("envs", "jit", "numerics", "policies/test_policies.py", "rollouts", "simulator"),
    *("test_classes.py", "test_oracle.py", "test_own_dynamics.py", "test_populations.py", "test_spec.py"),
)
"""Below tests/, what runs every kernel of learners, and compiles every policy."""


def run_checked(session: nox.Session, marked: str, *paths: str) -> None:
    """Run the tests of a marker expression in some paths, with bounds checks of every array index.

    At the lowest optimisation level, which suffices to show that code compiles and that its results are right,
    compilation takes three quarters of the time.
    """
    env = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "1", "ALSIM_CACHE_DIR": session.create_tmp()}
    session.run("pytest", *IN_PARALLEL, "-m", marked, *(session.posargs or paths), env=env)


@nox.session
def boundscheck(session: nox.Session) -> None:
    """Run the tests with bounds checks of every array index, on the newest versions."""
    session.install("-q", "-e", ".", *group("test"))
    run_checked(session, f"{UNCOMPILED} and not interpreted", *(f"--ignore=tests/{path}" for path in WITHOUT_KERNELS))


@nox.session(python="3.11")
def tests_lowest(session: nox.Session) -> None:
    """Run the tests of kernels on the oldest Python and the lowest versions of pyproject.toml, with bounds checks.

    `interpreted` runs the others on the same versions. Of the tests that need machine code, those of our own arithmetic
    do not depend on versions.
    """
    install_lowest(session)
    selected = f"{QUICK} and not versionless and (not compiled or gymnasium or numba)"
    run_checked(session, selected, *(f"tests/{path}" for path in EACH_KERNEL))


@nox.session(name="compat-gymnasium")
@nox.parametrize(
    "version", [nox.param("==1.1.*", id="1.1"), nox.param("==1.2.2", id="1.2.2"), nox.param("<2", id="newest")]
)
def compat_gymnasium(session: nox.Session, version: str) -> None:
    """Run the tests of the environments on one series of Gymnasium (RLlib requires 1.2.2)."""
    session.install("-q", "-U", "-e", ".[render]", f"gymnasium{version}", *group("test"))
    files = ("tests/envs", "tests/testing", "tests/compat/test_gymnasium.py")
    session.run("pytest", *IN_PARALLEL, *files, "-m", "gymnasium and not versionless", *session.posargs)


def install_with_torch(session: nox.Session, *requirements: str, extras: str = "") -> None:
    """Install PyTorch, alsim with its extras, further requirements, and the dependencies of the compatibility tests."""
    session.install("-q", *UNCOMPILED_TORCH)
    install_into(session, Path(session.bin), "-e", f".[{extras}]" if extras else ".", *requirements, *group("compat"))


def install_into(session: nox.Session, commands: Path, *requirements: str) -> None:
    """Install requirements into the environment with this folder of commands: with uv if possible, which is faster."""
    python = str(commands / "python")
    install = (
        (nox.virtualenv.UV, "pip", "install", "--python", python)
        if nox.virtualenv.HAS_UV
        else (python, "-m", "pip", "install")
    )
    session.run(*install, "-q", *requirements, external=True)


def run_library_tests(session: nox.Session, library: str) -> None:
    """Run the tests of one library; `-- -m long` runs its complete trainings instead."""
    files = sorted(Path("tests/compat").glob(f"test_*{library}.py"))
    session.run("pytest", *map(str, files), "-m", "not long", *session.posargs)


@nox.session(name="compat-torch", venv_backend=PIP)
def compat_torch(session: nox.Session) -> None:
    """Run compat-torchrl, -cleanrl, -sb3, -dkt and -rendering, and Gymnasium's examples, in a single environment."""
    install_with_torch(
        session, "torchrl==0.14.*", "sb3-contrib>=2.9", "pygame-ce>=2.1.3", extras="torchrl,sb3,dkt,render"
    )
    for library in ("torchrl", "cleanrl", "sb3", "dkt", "rendering", "gymnasium"):
        run_library_tests(session, library)


@nox.session(name="compat-torchrl", venv_backend=PIP)
def compat_torchrl(session: nox.Session) -> None:
    """Run the tests of the TorchRL recipe and of exports to TorchRL."""
    install_with_torch(session, "torchrl==0.14.*", extras="torchrl,render")
    run_library_tests(session, "torchrl")


@nox.session(name="compat-tianshou", venv_backend=PIP)
def compat_tianshou(session: nox.Session) -> None:
    """Run the tests of Tianshou's collector on vector environments, and of the training example."""
    install_with_torch(session, extras="tianshou")
    run_library_tests(session, "tianshou")


@nox.session(name="compat-rllib", venv_backend=PIP)
def compat_rllib(session: nox.Session) -> None:
    """Run the tests of the RLlib recipe and of exports to RLlib's offline API, on Gymnasium 1.2.2."""
    install_with_torch(session, "ray[rllib]==2.60.*")
    run_library_tests(session, "rllib")


@nox.session(name="compat-cleanrl", venv_backend=PIP)
def compat_cleanrl(session: nox.Session) -> None:
    """Run the tests of the single-file PPO and DQN examples."""
    install_with_torch(session, extras="render")
    run_library_tests(session, "cleanrl")


@nox.session(name="compat-sb3", venv_backend=PIP)
def compat_sb3(session: nox.Session) -> None:
    """Run the tests that need Stable-Baselines3."""
    install_with_torch(session, "sb3-contrib>=2.9", extras="sb3,render")
    run_library_tests(session, "sb3")


@nox.session(name="compat-dkt", venv_backend=PIP)
def compat_dkt(session: nox.Session) -> None:
    """Run the tests of deep knowledge tracing; `-- -m long -s` runs the fits that reproduce published results."""
    install_with_torch(session, extras="dkt")
    run_library_tests(session, "dkt")


@nox.session(name="compat-rendering")
def compat_rendering(session: nox.Session) -> None:
    """Record videos with moviepy, and show pictures in a window with pygame."""
    session.install("-q", "-e", ".[render]", "pygame-ce>=2.1.3", *group("compat"))
    run_library_tests(session, "rendering")


@nox.session(name="compat-redis")
def compat_redis(session: nox.Session) -> None:
    """Run the tests of stores in Redis on servers that they start: the Debian package redis-server is needed."""
    session.install("-q", "-e", ".[redis]", *group("test"))
    session.run("pytest", "tests/compat/test_redis.py", *session.posargs)


@nox.session(name="compat-server")
def compat_server(session: nox.Session) -> None:
    """Run the tests of the engine's server; `-- -m long -s` kills servers 20 times, with redis-server installed."""
    session.install("-q", "-e", ".[redis,server]", "httpx>=0.28", "schemathesis>=4.10", *group("test"))
    run_library_tests(session, "server")


@nox.session(name="compat-ray")
def compat_ray(session: nox.Session) -> None:
    """Generate datasets on a local Ray cluster."""
    session.install("-q", "-e", ".[ray]", *group("test"))
    session.run("pytest", "tests/compat/test_ray.py", *session.posargs)


@nox.session(name="compat-exports", venv_backend=PIP)
def compat_exports(session: nox.Session) -> None:
    """Load exports with Minari, h5py, Hugging Face's datasets and Open Bandit Pipeline."""
    install_with_torch(session, "datasets>=4", "minari[create]", extras="minari,hdf5")
    # The newest obp that installs on Python 3.11 and later. Some dependencies that it pins do not build there.
    session.install("-q", "--no-deps", "obp==0.4.1")
    session.install("-q", *OF_OBP)
    files = ("minari", "export_huggingface", "export_obp")
    session.run("pytest", *(f"tests/compat/test_{name}.py" for name in files), *session.posargs)


@nox.session(name="compat-d3rlpy", venv_backend=PIP)
def compat_d3rlpy(session: nox.Session) -> None:
    """Load exports with d3rlpy and SCOPE-RL, and train online, in an environment with Gymnasium 1.0, which they pin."""
    session.install("-q", "-e", ".[hdf5]")
    data = session.create_tmp()
    # SCOPE-RL multiplies propensities before it divides: (1/270)**127 is below the smallest normal float64.
    Path(data, "short.toml").write_text("max_episode_steps = 100\n")
    generate = ("alsim", "generate", "--config", f"{data}/short.toml", "--learners", "20", "--seed", "3", "--force")
    session.run(*generate, "--out", f"{data}/dataset")
    for to, file in (("d4rl", "data.hdf5"), ("scope-rl", "scope.npz")):
        session.run("alsim", "export", f"{data}/dataset", "--to", to, "--out", f"{data}/{file}", "--force")
    theirs = new_environment(session, f"{data}/theirs", *UNCOMPILED_TORCH)
    ours = [needed for needed in PYPROJECT["project"]["dependencies"] if not needed.startswith("gymnasium")]
    install_into(session, theirs, "d3rlpy==2.8.1", "scope-rl==0.2.1", "pytest>=9", *ours)
    install_into(session, theirs, "--no-deps", "-e", ".")  # alsim itself excludes this Gymnasium
    session.run(
        *(
            str(theirs / "python"),
            "-m",
            "pytest",
            "-c",
            "tests/compat/theirs.ini",
            "tests/compat/test_d3rlpy.py",
            *session.posargs,
        ),
        env={"ALSIM_EXPORTS": data},
        external=True,
    )


@nox.session(name="ope-peers", venv_backend=PIP)
def ope_peers(session: nox.Session) -> None:
    """Print off-policy estimates of alsim, Open Bandit Pipeline and SCOPE-RL, and their times."""
    theirs = new_environment(session, f"{session.create_tmp()}/theirs", *UNCOMPILED_TORCH)
    ours = [needed for needed in PYPROJECT["project"]["dependencies"] if not needed.startswith("gymnasium")]
    install_into(session, theirs, "scope-rl==0.2.1", *OF_OBP, *ours)
    install_into(session, theirs, "--no-deps", "obp==0.4.1", "-e", ".")  # alsim itself excludes this Gymnasium
    session.run(str(theirs / "python"), "-m", "benchmarks.ope_peers", external=True)


@nox.session(name="memory-peers", venv_backend=PIP)
def memory_peers(session: nox.Session) -> None:
    """Print reviews per second of alsim, fsrs-rs and FSRS-Optimizer."""
    session.install("-q", *UNCOMPILED_TORCH)  # FSRS-Optimizer needs it
    session.install("-q", "-e", ".", "fsrs-rs-python==0.9.3", "FSRS-Optimizer==6.5.0", *group("bench"))
    session.run("python", "-m", "benchmarks.memory_peers", env={"OMP_NUM_THREADS": "1"})


def new_environment(session: nox.Session, folder: str, *requirements: str) -> Path:
    """Create a virtual environment with these requirements, and return the folder of its commands."""
    session.run("python", "-m", "venv", "--clear", folder)
    commands = Path(folder, "Scripts" if sys.platform == "win32" else "bin")
    session.run(str(commands / "python"), "-m", "pip", "install", "-q", *requirements, external=True)
    return commands


@nox.session
def package(session: nox.Session) -> None:
    """Build sdist and wheel, check their metadata, and run the quickstart from the installed wheel."""
    session.install("-q", *group("package"))
    dist = Path(session.create_tmp(), "dist").absolute()
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist))  # the wheel is built from the sdist
    session.run("twine", "check", "--strict", *map(str, sorted(dist.iterdir())))
    (wheel,) = dist.glob("*.whl")
    commands = new_environment(session, str(dist.with_name("installed")), str(wheel))
    session.chdir(session.create_tmp())  # another directory, so that the checkout is not imported
    run_quickstart(session, str(commands))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting; `nox -s lint -- --fix` corrects what it can."""
    session.install("-q", *group("lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []))
    session.run("ruff", "format", *([] if fix else ["--check"]))


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    session.install("-q", "-e", ".", *group("types"))
    session.run("mypy", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; tests/docs runs its examples and checks its links."""
    session.install("-q", "-e", ".", *group("docs"))
    session.run("sphinx-build", "-q", "-W", "--keep-going", "-E", "docs", "docs/_build/html")


@nox.session
def notebooks(session: nox.Session) -> None:
    """Execute docs/notebooks and compare the outputs with the stored ones; `-- --write` stores the new ones."""
    session.install("-q", "-e", ".", *group("notebooks"))
    session.run("python", "docs/notebooks/run_notebooks.py", *session.posargs)


@nox.session
def vectors(session: nox.Session) -> None:
    """Print counts of vector instructions in the hot loops; fail if a loop is no longer vectorised."""
    session.install("-q", "-e", ".")
    session.run("python", "-m", "benchmarks.vectors")


@nox.session
def bench(session: nox.Session) -> None:
    """Print all results with their targets; with arguments, run pytest-benchmark on benchmarks/ instead."""
    session.install("-q", "-e", ".", *group("bench"))
    if session.posargs:
        session.run("pytest", "benchmarks", *session.posargs)
    else:
        session.run("python", "-m", "benchmarks.table")


@nox.session(venv_backend=PIP)
def claims(session: nox.Session) -> None:
    """Run the long benchmarks, write benchmarks/claims.md, and train with each recipe; needs an idle machine."""
    session.install("-q", TORCH)
    session.install("-q", "-e", ".[baselines,dkt,evaluation,redis,server]", *group("bench"))
    session.run("python", "-m", "benchmarks.table", "--claims", *session.posargs)
    for claim in ("policies", "engine_stores", "engine_server", "cold_start", "ope", "ope_time", *EXPERIMENTS):
        session.run("python", "-m", f"benchmarks.{claim}")
    session.run("python", "-m", "benchmarks.training_time", "--part", "alsim")
    for peers in ("training-time-torch", "training-time-jax", "ope-peers", "memory-peers"):
        session.notify(peers, [])
    for recipe in ("compat-torchrl", "compat-rllib", "compat-tianshou", "compat-cleanrl", "compat-dkt"):
        session.notify(recipe, ["-m", "long", "-s"])


@nox.session(name="training-time-torch", venv_backend=PIP)
def training_time_torch(session: nox.Session) -> None:
    """Measure the time to a trained policy with PyTorch and Stable-Baselines3, and update tables and figure."""
    session.install("-q", TORCH)
    session.install("-q", "-e", ".[sb3]", *group("bench"))
    session.run("python", "-m", "benchmarks.training_time", "--part", "torch", *session.posargs)


@nox.session(name="training-time-jax")
def training_time_jax(session: nox.Session) -> None:
    """Measure the time to a trained policy with JAX, and update tables and figure."""
    session.install("-q", "-e", ".", "jax", *group("bench"))
    session.run("python", "-m", "benchmarks.training_time", "--part", "jax", *session.posargs)


@nox.session
def figures(session: nox.Session) -> None:
    """Run the benchmarks; update benchmarks/README.md, pictures in the docs and the baseline; needs an idle machine."""
    session.install("-q", "-e", ".", *group("bench"))
    session.run("python", "-m", "benchmarks.table", "--readme", *session.posargs)
    for picture in ("plot", "dynamics_pictures", "bandit_regret", "evaluation_pictures", "sequences"):
        session.run("python", "-m", f"benchmarks.{picture}")
    session.run("pytest", "benchmarks", "-q", "--benchmark-json=benchmarks/baseline.json")
