"""Every task of the project: `nox -l` lists them, `nox -s NAME` runs one, `nox -s NAME -- ARGS` hands it arguments."""

from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
# virtualenv comes with nox. uv would not do as it stands: it keeps an old build of `.` until pyproject.toml changes.
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests"]

TORCH = "torch==2.13.0"
"""Held, and installed before what depends on it: a newer one might be a build for graphics cards, of gigabytes."""

QUICK = ("-m", "not compiled and not versionless")
"""Of the tests, what means something, and ends in time, where the package is not compiled as for its users."""

PYPROJECT = nox.project.load_toml("pyproject.toml")


def group(*names: str) -> tuple[str, ...]:
    """Requirements of the dependency groups of these names."""
    return nox.project.dependency_groups(PYPROJECT, *names)


@nox.session
def quickstart(session: nox.Session) -> None:
    """Install alsim as a user would, make a dataset and show what it holds."""
    session.install("-q", ".")
    session.run(
        *("alsim", "generate", "--learners", "200", "--episodes", "3", "--policy", "uniform", "--seed", "0"),
        *("--out", "quickstart-dataset", "--force"),
    )
    session.run("alsim", "info", "quickstart-dataset")


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests, compiled."""
    session.install("-q", "-e", ".", *group("test"))
    session.run("pytest", *session.posargs)


@nox.session
def interpreted(session: nox.Session) -> None:
    """Run the tests as plain Python, with coverage: machine code is invisible to it."""
    session.install("-q", "-e", ".", *group("test"))
    threshold = ["--cov-fail-under=0"] if session.posargs else []  # part of the tests cannot reach it
    session.run(
        *("pytest", "--cov", "--cov-report=term", *threshold, *QUICK, *session.posargs),
        env={"NUMBA_DISABLE_JIT": "1"},
    )


@nox.session
def boundscheck(session: nox.Session) -> None:
    """Run the tests with every array index checked."""
    session.install("-q", "-e", ".", *group("test"))
    # numba itself does not tell checked machine code from unchecked: the two must not share a cache. Machine code
    # that is hardly optimised checks the same indices, and is compiled in three quarters of the time.
    env = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "1", "ALSIM_CACHE_DIR": session.create_tmp()}
    session.run("pytest", *QUICK, *session.posargs, env=env)


@nox.session(python="3.11")
def tests_lowest(session: nox.Session) -> None:
    """Run the tests on the oldest Python and the lowest versions that pyproject.toml admits."""
    session.install("-q", "uv")
    floors = Path(session.create_tmp(), "floors.txt")
    session.run(
        *("uv", "pip", "compile", "-q", "--resolution", "lowest-direct", "--no-header", "--no-annotate"),
        *("pyproject.toml", "-o", str(floors)),
    )
    session.install("-q", "-c", str(floors), "-e", ".", *group("test"))
    # Hardly optimised, as in `boundscheck`: a version changes what code means, or whether it compiles at all.
    env = {"NUMBA_OPT": "1", "ALSIM_CACHE_DIR": session.create_tmp()}
    session.run("pytest", "-m", "not versionless", *session.posargs, env=env)


@nox.session(name="compat-gymnasium")
@nox.parametrize(
    "version", [nox.param("==1.1.*", id="1.1"), nox.param("==1.2.2", id="1.2.2"), nox.param("<2", id="newest")]
)
def compat_gymnasium(session: nox.Session, version: str) -> None:
    """Run the environments' tests on a series of Gymnasium (1.2.2 is the one that RLlib pins)."""
    session.install("-q", "-U", "-e", ".", f"gymnasium{version}", *group("test"))
    session.run("pytest", "-m", "gymnasium and not versionless", *session.posargs)


def with_library(session: nox.Session, library: str, *requirements: str, extra: str = "") -> None:
    """Install a library beside alsim, and run the tests of the two; `-- -m long` trains until it has learnt."""
    session.install("-q", TORCH)
    session.install("-q", "-e", f".[{extra}]" if extra else ".", *requirements, *group("compat"))
    files = sorted(Path("tests/compat").glob(f"test_*{library}.py"))
    session.run("pytest", *map(str, files), "-m", "not long", *session.posargs)


@nox.session(name="compat-torchrl")
def compat_torchrl(session: nox.Session) -> None:
    """Run the tests of the TorchRL recipe, and of what we export for TorchRL."""
    with_library(session, "torchrl", "torchrl==0.14.*", extra="torchrl")


@nox.session(name="compat-tianshou")
def compat_tianshou(session: nox.Session) -> None:
    """Run Tianshou's collector over alsim's lanes, and the example that trains by it."""
    with_library(session, "tianshou", extra="tianshou")


@nox.session(name="compat-rllib")
def compat_rllib(session: nox.Session) -> None:
    """Run the tests of the RLlib recipe, and of its offline API on what we export, on the Gymnasium that it pins."""
    with_library(session, "rllib", "ray[rllib]==2.60.*")


@nox.session(name="compat-cleanrl")
def compat_cleanrl(session: nox.Session) -> None:
    """Run the tests of the PPO and the DQN in a single file."""
    with_library(session, "cleanrl")


@nox.session(name="compat-sb3")
def compat_sb3(session: nox.Session) -> None:
    """Run the tests of what needs Stable-Baselines3."""
    with_library(session, "sb3", extra="sb3")


@nox.session(name="compat-dkt")
def compat_dkt(session: nox.Session) -> None:
    """Run the tests of deep knowledge tracing; `-- -m long -s` trains to the published figures."""
    with_library(session, "dkt", extra="dkt")


@nox.session(name="compat-ray")
def compat_ray(session: nox.Session) -> None:
    """Make datasets on a cluster of Ray's, of this machine's own."""
    session.install("-q", "-e", ".[ray]", *group("test"))
    session.run("pytest", "tests/compat/test_ray.py", *session.posargs)


@nox.session(name="compat-exports")
def compat_exports(session: nox.Session) -> None:
    """Let Minari, h5py, Hugging Face's datasets and Open Bandit Pipeline load what we export for them."""
    session.install("-q", TORCH)
    session.install("-q", "-e", ".[minari,hdf5]", "datasets>=4", *group("compat"))
    # The newest of obp that pip offers from Python 3.11 on; it pins what no longer builds there.
    session.install("-q", "--no-deps", "obp==0.4.1")
    session.install("-q", "matplotlib", "mypy-extensions", "pyieoe", "pyyaml", "scikit-learn", "seaborn", "tqdm")
    files = ("minari", "export_huggingface", "export_obp")
    session.run("pytest", *(f"tests/compat/test_{name}.py" for name in files), *session.posargs)


@nox.session(name="compat-d3rlpy")
def compat_d3rlpy(session: nox.Session) -> None:
    """Let d3rlpy and SCOPE-RL load what we export; they pin a Gymnasium that we cannot run on, so by files."""
    session.install("-q", "-e", ".[hdf5]")
    data = session.create_tmp()
    # SCOPE-RL multiplies propensities before it divides: 1/270 to the power of 127 and more is 0.
    Path(data, "short.toml").write_text("max_episode_steps = 100\n")
    made = ("alsim", "generate", "--config", f"{data}/short.toml", "--learners", "20", "--seed", "3", "--force")
    session.run(*made, "--out", f"{data}/dataset")
    for to, file in (("d4rl", "data.hdf5"), ("scope-rl", "scope.npz")):
        session.run("alsim", "export", f"{data}/dataset", "--to", to, "--out", f"{data}/{file}", "--force")
    session.run("python", "-m", "venv", f"{data}/theirs")
    pip = (f"{data}/theirs/bin/python", "-m", "pip", "install", "-q")
    session.run(*pip, TORCH, external=True)
    session.run(*pip, "d3rlpy==2.8.1", "scope-rl==0.2.1", "pytest>=9", "pyarrow>=17", external=True)
    session.run(
        *(f"{data}/theirs/bin/python", "-m", "pytest", "-c", "tests/compat/theirs.ini", "tests/compat/test_d3rlpy.py"),
        *session.posargs,
        env={"ALSIM_EXPORTS": data},
        external=True,
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting; `nox -s lint -- --fix` mends what it can."""
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
    """Build the documentation; its examples and links are among the tests, in tests/docs/test_documents.py."""
    session.install("-q", "-e", ".", *group("docs"))
    session.run("sphinx-build", "-q", "-W", "--keep-going", "-E", "docs", "docs/_build")


@nox.session
def vectors(session: nox.Session) -> None:
    """Print how far each phase of the hot loops is vectorised; fail where one is no longer."""
    session.install("-q", "-e", ".")
    session.run("python", "-m", "benchmarks.vectors")


@nox.session
def bench(session: nox.Session) -> None:
    """Print every figure beside its target; with arguments, hand them to pytest-benchmark's files instead."""
    session.install("-q", "-e", ".", *group("bench"))
    if session.posargs:
        session.run("pytest", "benchmarks", *session.posargs)
    else:
        session.run("python", "-m", "benchmarks.table")


@nox.session
def claims(session: nox.Session) -> None:
    """Measure at length and write benchmarks/claims.md, then train by each recipe; by hand, on a quiet machine."""
    session.install("-q", TORCH)
    session.install("-q", "-e", ".[sb3]", *group("bench"))
    session.run("python", "-m", "benchmarks.table", "--claims", *session.posargs)
    for recipe in ("compat-torchrl", "compat-rllib", "compat-tianshou", "compat-cleanrl", "compat-dkt"):
        session.notify(recipe, ["-m", "long", "-s"])


@nox.session
def figures(session: nox.Session) -> None:
    """Measure, and bring benchmarks/README.md, the picture of the docs and the saved baseline up to date; by hand."""
    session.install("-q", "-e", ".", *group("bench"))
    session.run("python", "-m", "benchmarks.table", "--readme", *session.posargs)
    session.run("python", "-m", "benchmarks.plot")
    session.run("pytest", "benchmarks", "-q", "--benchmark-json=benchmarks/baseline.json")
