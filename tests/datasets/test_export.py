"""Exports: contents, atomic writes, and errors. Tests in tests/compat load them with the other tools."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from exported import with_propensity
from notices import without_notice
from scipy.stats import chi2

import alsim
from alsim.config import Config
from alsim.datasets import export
from alsim.datasets.export import EXPORTERS, export_dataset, exporter
from alsim.datasets.export.huggingface import size_category
from alsim.datasets.export.writing import MARKER
from alsim.datasets.generate import generate_dataset
from alsim.datasets.schema import COLUMNS, SCHEMA_VERSION, TABLES
from alsim.datasets.store import DatasetError, load_dataset
from alsim.datasets.tables import numpy_column
from alsim.errors import AlsimError
from alsim.policies import Network, NetworkPolicy
from alsim.rollouts import plan
from alsim.rollouts.rollout import rollout
from alsim.utils.optional import MissingExtra

# Frustration ends about half of the episodes before the step limit, so both flags occur.
SMALL = {"num_los": 3, "max_episode_steps": 12, "termination": {"max_frustration": 0.3}}
RUN = {"num_learners": 9, "episodes_per_learner": 2, "seed": 5, "config": SMALL}
HERE = ("npz", "obp", "scope-rl", "rllib", "huggingface")
"""Formats without optional dependencies."""
FILES = {name: f"data{EXPORTERS[name].suffix}" for name in HERE}


@pytest.fixture(scope="module", params=["uniform", "rules"])
def dataset(request, tmp_path_factory):
    """A dataset in several shards, which tests only read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "BLOCK_EPISODES", 5)
        made = generate_dataset(**RUN, policy=request.param, out=tmp_path_factory.mktemp("datasets") / "taught")
    assert len(made.manifest["tables"]["episodes"]["shards"]) == 4
    assert made.terminated.any() and made.truncated.any() and not (made.terminated & made.truncated).any()
    return made


@pytest.fixture
def copied(dataset, tmp_path):
    """A copy of the dataset, which a test may change."""
    return Path(shutil.copytree(dataset.path, tmp_path / "copy"))


def npz(path):
    """Load an npz file as the documentation does."""
    with np.load(path, allow_pickle=False) as file:
        return {**file, **json.loads(str(file["json"]))}


def same(one, other):
    """Return whether arrays have equal bits, shapes and types."""
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def files_of(path):
    """Return the bytes of every file at or below a path, by relative path."""
    held = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in held}


# ── parts ────────────────────────────────────────────────────────────────────────────────────────


def test_parts_concatenate_to_the_dataset(dataset):
    parts = list(dataset.parts())
    assert [part.episodes.num_rows for part in parts] == [5, 5, 5, 3]
    for name in dataset.arrays:
        assert same(np.concatenate([part[name] for part in parts]), dataset[name]), name
    assert same(np.concatenate([part.final_obs for part in parts]), dataset.final_obs)
    assert sum(len(part) for part in parts) == len(dataset)
    assert all(part.bank == dataset.bank and part.path == dataset.path for part in parts)


def test_a_dataset_in_memory_has_one_part(dataset):
    held = generate_dataset(**RUN, policy=dataset.manifest["policy"]["name"])
    assert list(held.parts()) == [held]
    assert same(held.final_obs, dataset.final_obs)


def test_the_final_observation_is_the_last_next_observation(dataset):
    last = dataset.terminated | dataset.truncated
    assert same(dataset.final_obs, dataset.next_obs[last])


# ── npz ──────────────────────────────────────────────────────────────────────────────────────────


def test_npz_has_the_columns_of_d4rl(dataset, tmp_path):
    out = export_dataset(dataset, "npz", tmp_path / "deeper" / "data.npz")
    data = npz(out)
    names = {"observations": "obs", "rewards": "reward", "terminals": "terminated", "timeouts": "truncated"}
    for theirs, ours in {**names, "next_observations": "next_obs", "propensity": "propensity"}.items():
        assert same(data[theirs], dataset[ours]), theirs
    assert same(data["actions"], dataset.action.astype(np.int64))
    for name in ("learner_id", "episode", "step"):
        assert same(data[name], dataset[name])
    assert not (data["terminals"] & data["timeouts"]).any()
    assert (data["terminals"] | data["timeouts"]).sum() == dataset.episodes.num_rows
    assert same(
        data["next_observations"][data["timeouts"]], dataset.final_obs[numpy_column(dataset.episodes, "truncated")]
    )


def test_npz_without_next_observations(dataset, tmp_path):
    data = npz(export_dataset(dataset, "npz", tmp_path / "data.npz", next_observations=False))
    assert "next_observations" not in data and len(data["observations"]) == len(dataset)


@pytest.mark.heavy
@pytest.mark.parametrize("to", HERE)
def test_the_same_dataset_gives_the_same_bytes(dataset, tmp_path, to):
    one, other = (export_dataset(dataset, to, tmp_path / str(k) / FILES[to]) for k in range(2))
    assert files_of(one) == files_of(other)
    assert str(tmp_path) not in repr(files_of(one))


@pytest.mark.parametrize("to", ["npz", "obp", "scope-rl"])
def test_npz_files_contain_no_pickle(dataset, tmp_path, to):
    out = export_dataset(dataset, to, tmp_path / "data.npz")
    with zipfile.ZipFile(out) as file:
        headers = [file.read(name)[:128] for name in file.namelist()]
    assert headers and all(b"'descr': '|O'" not in header for header in headers)
    with np.load(out, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind != "O" for name in arrays.files)


# ── Open Bandit Pipeline ─────────────────────────────────────────────────────────────────────────


def test_obp_has_the_logged_data(dataset):
    feedback = alsim.to_obp(dataset)
    assert feedback["n_rounds"] == len(dataset) and feedback["n_actions"] == 27
    assert same(feedback["context"], dataset.obs) and same(feedback["reward"], dataset.reward)
    assert same(feedback["action"], dataset.action.astype(np.int64)) and same(feedback["pscore"], dataset.propensity)
    for name in ("position", "action_context", "expected_reward", "pi_b"):
        assert feedback[name] is None


@pytest.mark.parametrize("distribution", [False, True])
def test_obp_on_disk_and_in_memory_are_equal(dataset, tmp_path, distribution):
    out = export_dataset(dataset, "obp", tmp_path / "data.npz", action_distribution=distribution)
    read, held = npz(out), alsim.to_obp(dataset, action_distribution=distribution)
    assert set(held) == set(read) - {"json", "alsim"}
    for name, value in held.items():
        assert same(read[name], value) if isinstance(value, np.ndarray) else read[name] == value, name


def test_distribution_of_the_behaviour_policy(dataset):
    """By definition: uniform has 1 / A for each action; rules chooses one question, or one of two contents."""
    pi_b = alsim.to_obp(dataset, action_distribution=True)["pi_b"][:, :, 0]
    assert pi_b.shape == (len(dataset), 27)
    np.testing.assert_allclose(pi_b.sum(1), 1, atol=1e-12)
    assert same(pi_b[np.arange(len(dataset)), dataset.action], dataset.propensity)
    if dataset.manifest["policy"]["name"] == "uniform":
        assert (pi_b == 1 / 27).all()
    else:
        weakest = dataset.obs[:, :3].argmin(1)
        for row, lo in zip(pi_b, weakest, strict=True):
            chosen = np.flatnonzero(row)
            assert row[chosen].tolist() in ([1.0], [0.5, 0.5])
            assert (chosen // 3 == lo).all() if len(chosen) == 1 else ((chosen - 9) // 6 == lo).all()


class Other:
    """A policy of unknown distribution."""

    name = "other"

    def act(self, view, draws):
        return draws.integers(view.num_actions), np.full(view.num_lanes, 1 / view.num_actions)


def test_an_unknown_distribution_is_refused():
    made = generate_dataset(**RUN, policy=Other())
    with pytest.raises(AlsimError, match="no policy is registered as 'other'; pass the policy or its directory"):
        alsim.to_obp(made, action_distribution=True)
    with pytest.raises(TypeError, match="must be a policy with a method probabilities.*; got 'other'"):
        alsim.to_obp(made, action_distribution=Other())


@pytest.mark.parametrize("policy", ["epsilon-greedy:rules:0.3", "epsilon-greedy:(epsilon-greedy:uniform:0.2):0.5"])
def test_every_policy_with_probabilities_has_a_distribution(policy):
    made = generate_dataset(**RUN, policy=policy)
    pi_b = alsim.to_obp(made, action_distribution=True)["pi_b"][:, :, 0]
    np.testing.assert_allclose(pi_b.sum(1), 1, atol=1e-12)
    assert same(pi_b[np.arange(len(made)), made.action], made.propensity)


def test_the_distribution_of_a_trained_policy_needs_its_directory(tmp_path):
    random = np.random.default_rng(0)
    network = Network([(random.normal(size=(5, 27)), np.zeros(27))])
    NetworkPolicy(network, name="net", acting="sample").save(tmp_path / "net")
    made = generate_dataset(**RUN, policy=tmp_path / "net", out=tmp_path / "data")
    out = export_dataset(made, "obp", tmp_path / "data.npz", action_distribution=str(tmp_path / "net"))
    pi_b = npz(out)["pi_b"][:, :, 0]
    assert same(pi_b[np.arange(len(made)), made.action], made.propensity)
    with pytest.raises(AlsimError, match="--policy DIR"):
        alsim.to_obp(made, action_distribution=True)


@pytest.mark.parametrize("name", ["modules_of_a_stranger:Policy", "epsilon-greedy:(modules_of_a_stranger:Policy):0.1"])
def test_the_name_in_a_manifest_imports_no_module(name, tmp_path, monkeypatch):
    (tmp_path / "modules_of_a_stranger.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(tmp_path)
    made = generate_dataset(**RUN, policy="uniform")
    made.manifest["policy"] = {"name": name}
    with pytest.raises(AlsimError, match="no policy is registered as"):
        alsim.to_obp(made, action_distribution=True)


def test_a_distribution_that_differs_from_the_log_is_refused():
    class Impostor(Other):
        name = "rules"

    with pytest.raises(AlsimError, match="the logged propensities are not those of the policy 'rules'"):
        alsim.to_obp(generate_dataset(**RUN, policy=Impostor()), action_distribution=True)


# ── SCOPE-RL ─────────────────────────────────────────────────────────────────────────────────────


def test_scope_rl_has_the_logged_data(dataset):
    logged = alsim.to_scope_rl(dataset)
    episodes = dataset.episodes.num_rows
    assert (logged["size"], logged["n_trajectories"], logged["step_per_trajectory"]) == (12 * episodes, episodes, 12)
    assert (logged["action_type"], logged["n_actions"], logged["state_dim"]) == ("discrete", 27, 5)
    assert logged["state_keys"] == ["mastery_0", "mastery_1", "mastery_2", "frustration", "response_time"]
    assert logged["action_meaning"][10] == {"type": "content", "lo": 0, "modality": 1}
    real = ~logged["padding"]
    for theirs, ours in {"state": "obs", "reward": "reward", "pscore": "propensity"}.items():
        assert same(logged[theirs][real], dataset[ours]), theirs
    assert same(logged["action"][real], dataset.action.astype(np.int64))
    assert ((logged["done"] == 1)[real] == (dataset.terminated | dataset.truncated)).all()


def test_scope_rl_pads_with_an_absorbing_state(dataset):
    logged = alsim.to_scope_rl(dataset)
    of = {name: logged[name].reshape(-1, 12, *logged[name].shape[1:]) for name in ("padding", "done", "terminal")}
    length = numpy_column(dataset.episodes, "total_steps")
    assert (length < 12).any() and (length == 12).any()
    for k, steps in enumerate(length):
        assert (of["padding"][k] == (np.arange(12) >= steps)).all()
        assert (of["done"][k] == (np.arange(12) >= steps - 1)).all()
        assert (of["terminal"][k] == (np.arange(12) == 11)).all()
    padding = logged["padding"]
    assert not logged["state"][padding].any() and not logged["reward"][padding].any()
    assert (logged["pscore"][padding] == 1 / 27).all()
    assert (logged["state"][~padding].max(1) > 0).all(), "no real state is the absorbing one"


def test_scope_rl_on_disk_and_in_memory_are_equal(dataset, tmp_path):
    read, held = npz(export_dataset(dataset, "scope-rl", tmp_path / "data.npz")), alsim.to_scope_rl(dataset)
    assert set(held) == set(read) - {"json", "alsim"}
    for name, value in held.items():
        assert same(read[name], value) if isinstance(value, np.ndarray) else read[name] == value, name


@pytest.mark.compiled
def test_padded_actions_have_the_frequencies_of_their_pscore():
    """Chi-squared test of action counts against 1 / A; 26 degrees of freedom, probability of a false alarm 1e-6."""
    logged = alsim.to_scope_rl(generate_dataset(**{**RUN, "num_learners": 2000}))
    counts = np.bincount(logged["action"][logged["padding"]], minlength=27)
    assert (n := counts.sum()) > 4000
    assert ((counts - n / 27) ** 2 / (n / 27)).sum() < chi2.isf(1e-6, 26)


class Questioner:
    """Questions and contents with probability 0.5 each; the uniform policy has 1/3 and 2/3."""

    name = "questioner"

    def act(self, view, draws):
        asks = draws.integers(2) == 0
        questions, contents = 3 * view.num_los, 6 * view.num_los
        action = np.where(asks, draws.integers(questions), questions + draws.integers(contents))
        return action, np.where(asks, 0.5 / questions, 0.5 / contents)


@pytest.mark.versionless
def test_importance_weighting_over_padded_trajectories_is_unbiased():
    """Trajectory-wise importance sampling, as SCOPE-RL does it, against the target policy itself.

    n = 20,000 trajectories by the uniform policy and 20,000 episodes of the target's; they differ by less than 5
    standard errors, of which a false alarm has probability 6e-7.
    """
    logged = alsim.to_scope_rl(generate_dataset(**{**RUN, "num_learners": 10_000}))
    target = np.where(np.arange(27) < 9, 0.5 / 9, 0.5 / 18)
    weight = (target[logged["action"]] / logged["pscore"]).reshape(-1, 12).prod(1)
    estimates = weight * logged["reward"].reshape(-1, 12).sum(1)
    truth = rollout(Questioner(), num_learners=20_000, seed=6, config=SMALL).metrics.cumulative_reward
    error = np.hypot(estimates.std() / len(estimates) ** 0.5, truth.std() / len(truth) ** 0.5)
    assert abs(weight.mean() - 1) < 5 * weight.std() / len(weight) ** 0.5
    assert abs(estimates.mean() - truth.mean()) < 5 * error
    assert error < 0.05 * truth.std(), "or it would show nothing"


# ── RLlib ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [0.0, -0.5, 1.5, np.nan])
def test_rllib_refuses_invalid_propensities(dataset, tmp_path, value):
    broken = with_propensity(dataset, 3, value)
    message = rf"the propensity of learner 0 in step 4 of episode 0 is {value}; expected a number in \(0, 1\]"
    with pytest.raises(AlsimError, match=message):
        export_dataset(broken, "rllib", tmp_path / "rllib")
    assert not (tmp_path / "rllib").exists()


def test_rllib_columns(dataset, tmp_path):
    out = export_dataset(dataset, "rllib", tmp_path / "rllib")
    files = sorted((out / "data").iterdir())
    assert [file.name for file in files] == [f"part-0000{k}.parquet" for k in range(4)]
    table = pyarrow.parquet.read_table(out / "data")
    names = {"obs": "obs", "new_obs": "next_obs", "rewards": "reward"}
    for theirs, ours in {**names, "terminateds": "terminated", "truncateds": "truncated"}.items():
        assert same(numpy_column(table, theirs), dataset[ours]), theirs
    assert same(numpy_column(table, "actions"), dataset.action.astype(np.int64))
    assert same(numpy_column(table, "action_prob"), dataset.propensity.astype(np.float32))
    np.testing.assert_allclose(np.exp(numpy_column(table, "action_logp")), dataset.propensity, rtol=1e-6)
    assert (numpy_column(table, "t") == dataset.step - 1).all()
    number = dataset.learner_id * 2 + dataset.episode  # two episodes per learner, sorted by learner
    assert (numpy_column(table, "eps_id") == number).all()


# ── Hugging Face ─────────────────────────────────────────────────────────────────────────────────


def test_huggingface_files(dataset, tmp_path):
    out = export_dataset(dataset, "huggingface", tmp_path / "hub", license="cc-by-4.0")
    for table, folder in (("transitions", "data"), ("events", "events"), ("episodes", "episodes")):
        names = sorted(p.name for p in (out / folder).iterdir())
        assert names == [f"train-0000{k}-of-00004.parquet" for k in range(4)]
        read = pyarrow.parquet.read_table(out / folder)
        held = getattr(dataset, table)
        assert read.column_names == held.column_names
        for name in read.column_names:
            assert read.column(name).to_pylist() == held.column(name).to_pylist(), name
    assert alsim.load_bank(out / "bank") == dataset.bank


def test_huggingface_with_next_observations(dataset, tmp_path):
    out = export_dataset(dataset, "huggingface", tmp_path / "hub", next_observations=True)
    assert same(numpy_column(pyarrow.parquet.read_table(out / "data"), "next_obs"), dataset.next_obs)
    assert "| `next_obs` |  | observation after the interaction (S8) |" in (out / "README.md").read_text()


def test_contents_of_the_dataset_card(dataset, tmp_path):
    card = (export_dataset(dataset, "hf", tmp_path / "hub") / "README.md").read_text(encoding="utf-8")
    dashes, front, text = card.split("---\n", 2)
    assert dashes == "" and "license: unknown\n" in front and "\n- reinforcement-learning\n" in front
    assert "size_categories:\n- n<1K\n" in front and "path: data/train-*.parquet" in front
    assert "This dataset is synthetic. It contains no data about people." in text and "| seed | `5` |" in text
    for table in TABLES:
        for column in COLUMNS[table]:
            assert f"| `{column.name}` | {column.unit} | {column.meaning} |" in text
    assert exporter.config_sha256(dataset.manifest) in text


def test_the_code_of_the_card_generates_the_dataset(dataset, tmp_path, monkeypatch):
    out = export_dataset(dataset, "huggingface", tmp_path / "hub")
    code = (out / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(out)
    exec(code, {})
    made = load_dataset(out / "dataset")
    for table in TABLES:
        assert getattr(made, table) == getattr(dataset, table)


def test_the_command_of_the_card_is_one_line_under_the_defaults(tmp_path):
    made = generate_dataset(2, 1, "rules", 3)
    card = (export_dataset(made, "huggingface", tmp_path / "hub") / "README.md").read_text(encoding="utf-8")
    command = "alsim generate --learners 2 --episodes 1 --policy rules --seed 3 --observation mastery --out dataset"
    assert f"```bash\n{command}\n```" in card


@pytest.mark.parametrize(
    ("rows", "word"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (70_000, "10K<n<100K"), (10**7, "10M<n<100M")]
)
def test_size_categories(rows, word):
    assert size_category(rows) == word


def test_the_name_of_a_policy_is_escaped_in_the_card(tmp_path):
    class Sly(Other):
        name = 'x"\n---\nlicense: mit\n| `a` ```'

    card = (export_dataset(generate_dataset(**RUN, policy=Sly()), "hf", tmp_path / "hub") / "README.md").read_text()
    assert card.count("\n---\n") == 1 and "license: mit\n" not in card.split("---\n")[1]


# ── options, and what is missing ─────────────────────────────────────────────────────────────────


def test_an_unknown_format_is_an_error(dataset, tmp_path):
    known = r"minari, d4rl, npz, obp, scope-rl, rllib, torchrl, huggingface, or an alias \(.*d3rlpy.*\)"
    with pytest.raises(AlsimError, match=f"to must be one of {known}; got 'csv'"):
        export_dataset(dataset, "csv", tmp_path / "x")


@pytest.mark.parametrize(("alias", "name"), [("d3rlpy", "d4rl"), ("hf", "huggingface"), ("scope_rl", "scope-rl")])
def test_aliases(alias, name):
    assert export.find_exporter(alias) is EXPORTERS[name]


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("rllib", {"name": "x-v0"}, "name must be None for the format 'rllib', whose options are: none; got 'x-v0'"),
        (
            "npz",
            {"license": "mit"},
            "license must be None for the format 'npz', whose options are: next_observations; got 'mit'",
        ),
        (
            "obp",
            {"next_observations": False},
            "next_observations must be None for the format 'obp', whose options are: action_distribution; got False",
        ),
        (
            "huggingface",
            {"license": "MIT: x"},
            "license must be an identifier of the hub, such as cc-by-4.0, or",
        ),
        ("minari", {"name": "../x-v0"}, "name must be NAME-vN or NAMESPACE/NAME-vN, of letters, .*; got '../x-v0'"),
        ("minari", {"name": "x"}, "name must be NAME-vN or NAMESPACE/NAME-vN, of letters, .*; got 'x'"),
    ],
)
def test_invalid_options_are_refused(dataset, tmp_path, to, options, message):
    with pytest.raises(AlsimError, match=message):
        export_dataset(dataset, to, tmp_path / "x", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("to", "module", "extra"),
    [("minari", "minari", "minari"), ("d4rl", "h5py", "hdf5"), ("torchrl", "tensordict", "torchrl")],
)
def test_a_missing_package_is_an_error_with_its_extra(dataset, tmp_path, monkeypatch, to, module, extra):
    for name in (module, "h5py"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=rf"an export to '{to}' needs \w+, .* `pip install '.\[{extra}\]'`"):
        export_dataset(dataset, to, tmp_path / f"x{EXPORTERS[to].suffix}")
    assert [p for p in tmp_path.rglob("*") if not p.is_dir()] == []


def test_data_that_exceed_the_memory_are_an_error_with_their_size(dataset, monkeypatch):
    monkeypatch.setattr(exporter, "free_memory", lambda: 1000)
    row = 4 * dataset.obs.shape[1] + 8 + 4 + 8
    size = f"{row * len(dataset) / 1e9:.1f} GB of memory, and 0.0 GB are free"
    for make in (alsim.to_obp, alsim.to_scope_rl):
        with pytest.raises(AlsimError, match=r"rows needs .* GB of memory, and 0.0 GB are free"):
            make(dataset)
    with pytest.raises(AlsimError, match=size):
        alsim.to_obp(dataset)


def test_padding_that_exceeds_the_memory_is_an_error(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "free_memory", lambda: 1000)
    with pytest.raises(AlsimError, match=r"a part of 60 padded rows needs"):
        export_dataset(dataset, "scope-rl", tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
mkdir disk
mount -t tmpfs -o size=300k tmpfs disk
{python} -m alsim export {dataset} --to npz --out disk/data.npz
echo $?
ls -A disk
"""


@pytest.mark.ci
@pytest.mark.versionless
@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small file system as Linux does")
def test_a_full_disk_is_a_one_line_error(tmp_path):
    """A write to a memory-mapped file on a full disk would end the process by SIGBUS."""
    out = generate_dataset(40, seed=5, out=tmp_path / "d").path
    namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    script = ["bash", "-u", "-c", FULL_DISK.format(python=sys.executable, dataset=out)]
    done = subprocess.run([*namespace, *script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "2\n"
    assert without_notice(done.stderr).count("\n") == 1 and "No space left on device" in done.stderr


def test_free_memory_is_less_than_total_memory():
    free = exporter.free_memory()
    if hasattr(os, "sysconf") and Path("/proc/meminfo").exists():
        assert 0 < free < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    else:
        assert free is None


# ── atomic writes that overwrite nothing else ────────────────────────────────────────


@pytest.mark.heavy
@pytest.mark.parametrize("to", HERE)
def test_an_export_is_overwritten_only_if_forced(dataset, tmp_path, to):
    out = export_dataset(dataset, to, tmp_path / FILES[to])
    before = files_of(out)
    with pytest.raises(DatasetError, match=r"already .*; force=True \(--force\) overwrites it"):
        export_dataset(dataset, to, out)
    assert files_of(out) == before
    other = generate_dataset(**{**RUN, "seed": 6})
    export_dataset(other, to, out, force=True)
    assert files_of(out) != before
    assert [p.name for p in tmp_path.iterdir()] == [FILES[to]]


@pytest.mark.parametrize("to", HERE)
def test_other_files_are_never_overwritten_by_an_export(dataset, tmp_path, to):
    out = tmp_path / FILES[to]
    if EXPORTERS[to].suffix:
        out.write_text("a thesis")
    else:
        out.mkdir()
        (out / "thesis.txt").write_text("a thesis")
    before = files_of(out)
    with pytest.raises(DatasetError, match=r"is not an export of alsim; force|contains other files \(thesis.txt\)"):
        export_dataset(dataset, to, out, force=True)
    assert files_of(out) == before


def test_an_export_to_another_format_is_never_overwritten(dataset, tmp_path):
    for to, other in (("npz", "obp"), ("rllib", "huggingface")):
        out = export_dataset(dataset, to, tmp_path / FILES[to])
        with pytest.raises(DatasetError, match=f"is an export to '{to}'; .* overwrites only an export to '{other}'"):
            export_dataset(dataset, other, out, force=True)


def test_a_foreign_file_in_an_export_is_kept(dataset, tmp_path):
    out = export_dataset(dataset, "rllib", tmp_path / "rllib")
    (out / "data" / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"contains other files \(data/notes.txt\)"):
        export_dataset(dataset, "rllib", out, force=True)
    assert (out / "data" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("content", ["{", "[]", '{"files": 3}', '{"files": [3]}', "[" * 100_000])
def test_an_invalid_marker_is_an_error(dataset, tmp_path, content):
    out = export_dataset(dataset, "rllib", tmp_path / "rllib")
    (out / MARKER).write_text(content)
    with pytest.raises(DatasetError, match=rf"{MARKER} cannot be read"):
        export_dataset(dataset, "rllib", out, force=True)


def test_a_dataset_is_not_exported_over_or_into_itself(copied):
    for out in (copied, copied / "deeper"):
        with pytest.raises(DatasetError, match="is inside the dataset; choose a path outside of it"):
            export_dataset(copied, "rllib", out, force=True)
    load_dataset(copied, verify=True)


def test_invalid_paths_are_an_error(dataset, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "link.npz").symlink_to(tmp_path / "elsewhere.npz")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "folder.npz").mkdir()
    for to, name, message in (
        ("rllib", "file", "file is not a directory"),
        ("npz", "data.hdf5", r"out must be a file that ends in \.npz for 'npz'; got .*data.hdf5"),
        ("npz", "link.npz", "is a symbolic link"),
        ("rllib", "link", "is a symbolic link"),
        ("npz", "folder.npz", "folder.npz exists and is not a file"),
    ):
        with pytest.raises(DatasetError, match=message):
            export_dataset(dataset, to, tmp_path / name, force=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(DatasetError, match="is the working directory"):
        export_dataset(dataset, "rllib", ".")


@pytest.mark.heavy
@pytest.mark.parametrize("to", HERE)
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_interrupted_export_keeps_the_old_one(dataset, tmp_path, monkeypatch, to, error):
    out = export_dataset(dataset, to, tmp_path / FILES[to])
    before = files_of(out)

    def parts(self):
        yield from list(real(self))[:2]
        raise error

    real = type(dataset).parts
    monkeypatch.setattr(type(dataset), "parts", parts)
    with pytest.raises(type(error)):
        export_dataset(dataset, to, out, force=True)
    with pytest.raises(type(error)):
        export_dataset(dataset, to, tmp_path / "other" / FILES[to])
    assert files_of(out) == before
    assert [p.name for p in tmp_path.iterdir()] == [out.name]  # the directory of the other export is deleted as well


# ── datasets that are not what was written ───────────────────────────────────────────────────────


@pytest.mark.parametrize("given", ["path", "dataset"])
def test_a_changed_shard_is_refused(copied, tmp_path, given):
    file = copied / "transitions" / "part-00002.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    source = copied if given == "path" else load_dataset(copied)
    with pytest.raises(DatasetError, match=r"transitions/part-00002\.parquet is damaged: its SHA-256"):
        export_dataset(source, "npz", tmp_path / "data.npz")
    assert not (tmp_path / "data.npz").exists()


def test_a_missing_shard_and_another_schema_version_are_errors(copied, tmp_path):
    (copied / "events" / "part-00001.parquet").unlink()
    with pytest.raises(DatasetError, match=r"events/part-00001\.parquet is missing"):
        export_dataset(copied, "npz", tmp_path / "data.npz")
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(DatasetError, match=f"has schema version 99; this version of alsim reads {SCHEMA_VERSION}"):
        export_dataset(copied, "npz", tmp_path / "data.npz")


# ── environments again ───────────────────────────────────────────────────────────────────────────


def test_every_episode_can_be_repeated(dataset):
    """Episodes are repeated by seed and options, as in an export to Minari."""
    env = alsim.AdaptiveLearningEnv(Config.read(SMALL))
    learner, number = (numpy_column(dataset.episodes, name) for name in ("learner_id", "episode"))
    first = dataset.obs[dataset.step == 1]
    assert {0, 1} == set(number)
    for k in range(len(learner)):
        obs, _ = env.reset(seed=5, options={"learner": learner[k], "episode": number[k]})
        assert same(obs, first[k])


def test_a_bank_as_mappings_is_the_bank(dataset):
    from alsim.bank.files import bank_from_rows
    from alsim.datasets.export.minari import bank_rows

    rows = bank_rows(dataset.bank)
    assert bank_from_rows(json.loads(json.dumps(rows))) == dataset.bank
    assert len(rows["questions"]) == dataset.bank.num_questions


def test_a_failed_export_leaves_no_directories(tmp_path):
    dataset = alsim.generate_dataset(2, 1, config={"num_los": 2, "max_episode_steps": 6})
    with pytest.raises(ValueError, match="must be a file that ends in .npz"):
        export_dataset(dataset, "npz", tmp_path / "a" / "b" / "data.txt")
    assert not list(tmp_path.iterdir())
