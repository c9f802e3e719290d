"""Datasets: contents, writing, reading and errors (clauses S10.1 to S10.3)."""

import hashlib
import json
import os
import shutil
import socket
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from alsim.bank.files import load_bank
from alsim.bank.items import BankError, sample_bank
from alsim.cli import main
from alsim.config import Config, ConfigError
from alsim.datasets import generate, store
from alsim.datasets.generate import generate_dataset
from alsim.datasets.manifest import MANIFEST
from alsim.datasets.schema import COLUMNS, SCHEMA_VERSION, TABLES
from alsim.datasets.store import ARRAYS, DatasetError, load_dataset
from alsim.datasets.tables import tables_of
from alsim.envs.single import AdaptiveLearningEnv
from alsim.errors import AlsimError
from alsim.evaluation.dataset_summary import summary
from alsim.policies import Uniform
from alsim.rollouts import plan
from alsim.rollouts.rollout import rollout
from alsim.utils.run_directory import file_entry
from benchmarks.child import output_of, start

SMALL = Config.read({"num_los": 3, "max_episode_steps": 12, "termination": {"max_frustration": 0.3}})
RUN = {"num_learners": 6, "episodes_per_learner": 2, "seed": 5, "config": SMALL}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A dataset on disk, which tests only read."""
    return generate_dataset(**RUN, out=tmp_path_factory.mktemp("datasets") / "taught")


@pytest.fixture
def copied(written, tmp_path):
    """A copy of the dataset, which a test may change."""
    return Path(shutil.copytree(written.path, tmp_path / "copy"))


@pytest.fixture
def tiny_shards(monkeypatch):
    """Shards of five episodes."""
    monkeypatch.setattr(plan, "BLOCK_EPISODES", 5)


class Plodding:
    """A policy in Python."""

    name = "plodding"

    def act(self, view, draws):
        return draws.integers(view.num_actions), np.full(view.num_lanes, 1 / view.num_actions)


class NotPicklable(Plodding):
    """A policy that cannot be pickled."""

    name = "not-picklable"

    def __init__(self, digest=None):
        self.hold, self.digest = lambda: None, digest


def files_of(directory):
    """Return the bytes of every file below a directory, by relative path."""
    return {
        p.relative_to(directory).as_posix(): p.read_bytes() for p in sorted(Path(directory).rglob("*")) if p.is_file()
    }


def leftovers(directory):
    """Return the hidden entries of a directory."""
    return [p.name for p in Path(directory).iterdir() if p.name.startswith(".")]


def unfinished(directory):
    """Return the entries of a directory of an unfinished dataset, and the numbers of its complete shards."""
    names = {p.name for p in Path(directory).iterdir()}
    return names, sorted(int(p.stem) for p in Path(directory, "shards").iterdir())


UNFINISHED_ENTRIES = {"plan.json", "shards", "bank", *TABLES}


def edit(directory, change):
    """Change the manifest."""
    file = Path(directory) / MANIFEST
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))


# ── what is in a dataset ─────────────────────────────────────────────────────────────────────────

STATED = {  # clause S10.3
    "obs": pa.list_(pa.float32(), 5),
    "action": pa.int16(),
    "reward": pa.float32(),
    "terminated": pa.bool_(),
    "truncated": pa.bool_(),
    "learner_id": pa.int64(),
    "episode": pa.int32(),
    "step": pa.int32(),
    "propensity": pa.float64(),
    "termination_reason": pa.int8(),
}


def test_s10_3_first_columns_of_transitions(written):
    schema = written.transitions.schema
    assert schema.names[: len(STATED)] == list(STATED)
    assert {name: schema.field(name).type for name in STATED} == STATED


@pytest.mark.parametrize("table", TABLES)
def test_tables_match_the_schema(written, table):
    content = getattr(written, table)
    assert content.column_names == [column.name for column in COLUMNS[table]]
    for column, field in zip(COLUMNS[table], content.schema, strict=True):
        assert column.meaning
        assert field.metadata[b"meaning"].decode() == column.meaning
        assert field.metadata.get(b"unit", b"").decode() == column.unit
        assert field.nullable == column.nullable
        if not column.nullable:
            assert content.column(column.name).null_count == 0
        if pa.types.is_floating(field.type):  # undefined values are null, never NaN (clause S9.6)
            assert not np.isnan(content.column(column.name).drop_null().to_numpy()).any()
    content.validate(full=True)


def test_tables_equal_the_rollout(written):
    run = rollout("uniform", **RUN)
    x, table = run.interactions, written.transitions
    asked = x.item < run.bank.num_questions
    for name, column in {
        "action": x.action,
        "reward": x.reward,
        "item": x.item,
        "mastery_gain": x.mastery_gain,
        "frustration": x.frustration,
        "mean_mastery": x.mean_mastery,
        "step": x.step,
        "propensity": run.propensity,
        "learner_id": run.learner_id[x.episode],
        "episode": run.episode[x.episode],
        "termination_reason": run.termination_reason,
    }.items():
        assert table.column(name).to_pylist() == column.tolist(), name
    assert table.column("correct").to_pylist() == [
        c if a else None for c, a in zip(x.correct.tolist(), asked, strict=True)
    ]
    assert table.column("response_time").to_pylist() == [
        s if a else None for s, a in zip(x.response_time.tolist(), asked, strict=True)
    ]
    episodes = written.episodes
    for name, column in run.metrics._asdict().items():
        assert episodes.column(name).to_pylist() == [None if v != v else v for v in column.tolist()], name
    assert episodes.column("ability_start").to_pylist() == run.ability_start.tolist()
    assert episodes.column("termination_reason").to_pylist() == run.reason.tolist()
    assert 0 < episodes.column("terminated").to_pylist().count(True) < 12


def test_s10_1_events_of_a_dataset(written):
    events, transitions = written.events.to_pylist(), written.transitions.to_pylist()
    wanted = []
    for row in transitions:
        same = {name: row[name] for name in ("learner_id", "episode", "step", "item", "propensity")}
        if row["action"] < 9:
            wanted += [{"event": "question_shown", **same, "correct": None}]
            wanted += [{"event": "answered", **same, "correct": row["correct"]}]
        else:
            wanted += [{"event": "content_shown", **same, "correct": None}]
    assert [{name: e[name] for name in ("event", *wanted[0]) if name in e} for e in events] == wanted
    assert written.events.column("seconds").to_pylist() == rollout("uniform", **RUN).events.seconds.tolist()


def test_arrays(written):
    dtypes = {
        **{
            name: np.dtype(kind)
            for name, kind in (("obs", "f4"), ("next_obs", "f4"), ("reward", "f4"), ("action", "i2"))
        },
        **{"terminated": np.dtype(bool), "truncated": np.dtype(bool), "learner_id": np.dtype("i8")},
        **{"episode": np.dtype("i4"), "step": np.dtype("i4"), "propensity": np.dtype("f8")},
    }
    assert set(ARRAYS) == set(dtypes) == set(written.arrays)
    for name in ARRAYS:
        array = getattr(written, name)
        assert array is written[name]
        assert array.dtype == dtypes[name]
        assert array.shape == ((len(written), 5) if name in ("obs", "next_obs") else (len(written),))
    with pytest.raises(AttributeError, match="arrays obs, action, .*; got 'rewards'"):
        _ = written.rewards
    with pytest.raises(KeyError):
        _ = written["rewards"]


VIEWS = {*ARRAYS} - {"next_obs", "terminated", "truncated"}
"""Arrays that are views of a table in memory: not the computed one, and not booleans, which Arrow stores as bits."""


@pytest.mark.ci
@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
@pytest.mark.parametrize("stored", [True, False])
def test_arrays_of_files_equal_those_in_memory(tmp_path, tiny_shards, monkeypatch, file_format, stored):
    monkeypatch.setattr(store, "ROW_GROUP", 7)
    settings = {**RUN, "file_format": file_format, "store_observations": stored}
    dataset, memory = generate_dataset(**settings, out=tmp_path / "d"), generate_dataset(**RUN)
    assert len([*dataset.parts()]) == 3
    final, arrays = dataset.final_obs, dataset.arrays
    assert "transitions" not in vars(dataset)  # the table would need as much memory again
    np.testing.assert_array_equal(final, memory.final_obs)
    tabular = load_dataset(dataset.path)
    assert tabular.transitions.num_rows == len(dataset)
    for name in ARRAYS:
        for other in (memory, tabular):
            np.testing.assert_array_equal(arrays[name], other[name])
            assert arrays[name].dtype == other[name].dtype
        assert arrays[name].flags.writeable and arrays[name].flags.c_contiguous
        assert memory[name].flags.writeable == (name not in VIEWS)
    arrays["obs"][:] = -1  # no other array shares its memory
    np.testing.assert_array_equal(arrays["next_obs"], memory.next_obs)
    np.testing.assert_array_equal(dataset.final_obs, final)


def test_arrays_of_a_table_of_one_block_are_views():
    dataset = generate_dataset(**RUN)
    for name in VIEWS:
        (block,) = dataset.transitions[name].chunks
        values = block.flatten() if name == "obs" else block
        assert np.shares_memory(dataset[name], values.to_numpy()), name


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.skipif(sys.platform != "linux", reason="the peak memory is read from /proc")
@pytest.mark.parametrize("file_format", ["parquet", pytest.param("arrow", marks=pytest.mark.ci)])
def test_reading_arrays_needs_little_more_memory_than_they_have(tmp_path, file_format):
    """The peak is a constant, for one shard and Arrow's pool, and 1.0 times the arrays. Tables as well were 1.7 times.

    Two sizes cancel the constant. Its changes of up to 25 MB are a sixteenth of the difference of 400 MB.
    """
    (small, few), (large, many) = (
        (found["bytes"], found["peak"]) for found in (peak_of_arrays(tmp_path, n, file_format) for n in (4000, 16_000))
    )
    assert large - small > 390e6
    assert (many - few) / (large - small) < 1.1
    assert many < 1.1 * large + 150e6


def peak_of_arrays(folder, learners, file_format):
    """Return the measurements of benchmarks/memory.py in a new process."""
    out = generate_dataset(
        learners, 1, out=folder / f"{learners}", file_format=file_format, episodes_per_shard=512
    ).path
    return output_of(start("-m", "benchmarks.memory", out))


def test_next_observations_equal_those_of_the_environment(written):
    env = AdaptiveLearningEnv(SMALL)
    learner = None
    for row in range(len(written)):
        if written.step[row] == 1:
            new = written.learner_id[row] != learner
            learner = int(written.learner_id[row])
            obs, _ = env.reset(seed=5, options={"learner": learner}) if new else env.reset()
        assert np.array_equal(written.obs[row], obs)
        obs, reward, terminated, truncated, _ = env.step(int(written.action[row]))
        assert np.array_equal(written.next_obs[row], obs)
        assert (written.reward[row], written.terminated[row], written.truncated[row]) == (reward, terminated, truncated)
    assert terminated or truncated


@pytest.mark.compiled
def test_s10_2_the_defaults_are_more_than_50_000_transitions():
    dataset = generate_dataset()
    assert (dataset.manifest["num_learners"], dataset.manifest["episodes_per_learner"]) == (200, 3)
    assert len(dataset) == dataset.transitions.num_rows > 50_000
    assert len(dataset.obs) == len(dataset)


@pytest.mark.parametrize("observation", ["mastery", "responses"])
def test_observations_of_either_kind(tmp_path, observation):
    dataset = generate_dataset(**{**RUN, "num_learners": 2}, observation=observation, out=tmp_path / "d")
    assert dataset.manifest["observation"] == observation
    assert dataset.obs.shape[1] == {"mastery": 5, "responses": 8}[observation]


def test_datasets_in_memory_and_on_disk_are_equal(written):
    memory = generate_dataset(**RUN)
    assert memory.path is None
    assert repr(memory).endswith(", in memory)")
    assert str(written.path) in repr(written)
    assert len(memory) == len(written)
    for table in TABLES:
        assert getattr(memory, table).equals(getattr(written, table))
    of_memory, of_written = summary(memory), summary(written)
    assert of_memory["provenance"].pop("bank")["num_los"] == of_written["provenance"].pop("bank")["num_los"]
    files = of_memory.pop("files"), of_written.pop("files")
    assert [entry["bytes"] is None for entry in files] == [True, False]
    assert of_memory == of_written


def test_arrow_files_have_the_same_tables(written, tmp_path):
    arrow = generate_dataset(**RUN, out=tmp_path / "d", file_format="arrow")
    assert {p.suffix for p in (tmp_path / "d" / "events").iterdir()} == {".arrow"}
    for table in TABLES:
        assert getattr(arrow, table).equals(getattr(written, table))


def test_other_readers_read_the_parquet_files(written):
    file = written.path / "transitions" / "part-00000.parquet"
    assert pa.parquet.read_table(file).equals(written.transitions)
    frame = pa.parquet.read_table(file).to_pandas()
    assert frame["reward"].tolist() == written.reward.tolist()


def test_the_manifest_is_sufficient_to_generate_the_dataset_again(written):
    manifest = written.manifest
    assert set(manifest) == {
        *("schema_version", "alsim_version", "pyarrow_version", "environment", "config", "policy", "seed"),
        *("num_learners", "episodes_per_learner", "episodes_per_shard", "format", "tables", "bank"),
        *("observation", "observations"),
    }
    assert set(files_of(written.path)) == {
        *(shard["path"] for table in manifest["tables"].values() for shard in table["shards"]),
        *(MANIFEST, "bank/questions.csv", "bank/contents.csv"),
    }
    again = generate_dataset(
        manifest["num_learners"],
        manifest["episodes_per_learner"],
        manifest["policy"]["name"],
        manifest["seed"],
        config=manifest["config"],
        bank=written.path / "bank",
        observation=manifest["observation"],
    )
    for table in TABLES:
        assert getattr(again, table).equals(getattr(written, table))


def test_the_bank_is_stored(written):
    assert load_bank(written.path / "bank") == written.bank == sample_bank(SMALL)
    assert generate_dataset(1, 1, config=SMALL).bank == sample_bank(SMALL)
    assert written.manifest["bank"]["num_los"] == SMALL.num_los


def test_a_changed_bank_is_an_error(written, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(written.path, copy)
    questions = copy / "bank" / "questions.csv"
    text = questions.read_text()
    questions.write_text(text.replace("Easy", "Hard", 1))
    load_dataset(copy)
    with pytest.raises(DatasetError, match=r"bank/questions.csv is damaged: its SHA-256 differs"):
        load_dataset(copy, verify=True)
    questions.write_text(text + "\n")
    with pytest.raises(DatasetError, match=r"bank/questions.csv has \d+ bytes; the manifest says"):
        load_dataset(copy)
    questions.unlink()
    with pytest.raises(DatasetError, match=r"bank/questions.csv is missing"):
        load_dataset(copy)


def test_s9_6_the_summary_counts_undefined_values(written):
    numbers = summary(written)
    times = [m for m in rollout("uniform", **RUN).metrics.time_to_mastery if not np.isnan(m)]
    assert numbers["metrics"]["time_to_mastery"]["n"] == len(times)
    assert numbers["metrics"]["time_to_mastery"]["undefined"] == 12 - len(times)
    steps = written.episodes.column("total_steps").to_numpy()
    se = steps.std(ddof=1) / np.sqrt(12)
    assert numbers["metrics"]["total_steps"] == {
        "mean": steps.mean(),
        "se": pytest.approx(se),
        "ci": pytest.approx([steps.mean() - 2.200985 * se, steps.mean() + 2.200985 * se]),  # t with 11 df
        "n": 12,
        "undefined": 0,
        "unit": "interactions",
    }
    assert sum(numbers["termination"].values()) == numbers["episodes"] == 12
    one = summary(generate_dataset(1, 1, config=SMALL))
    assert one["metrics"]["total_steps"]["se"] is None
    undefined = {"mean": None, "se": None, "ci": None, "n": 0, "undefined": 1, "unit": "interactions"}
    assert one["metrics"]["time_to_mastery"] == undefined
    json.dumps(numbers, allow_nan=False)


# ── how it is written ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_equal_arguments_give_equal_bytes(tmp_path, file_format):
    one = generate_dataset(**RUN, out=tmp_path / "one", file_format=file_format)
    other = generate_dataset(**RUN, out=tmp_path / "other" / "deeper", file_format=file_format, num_threads=2)
    assert files_of(one.path) == files_of(other.path)


def test_files_contain_no_path_or_host_name(written):
    everything = b"\0".join(files_of(written.path).values())
    words = [str(written.path.parent), str(Path.cwd()), str(Path.home()), sys.prefix, socket.gethostname()]
    for word in words:
        if len(word) > 5:  # a shorter word may occur by chance
            assert word.encode() not in everything


def test_files_contain_no_time(tmp_path, monkeypatch):
    """The bytes are equal on another day."""
    today = generate_dataset(**RUN, out=tmp_path / "today")
    monkeypatch.setattr(time, "time", lambda: 1e9)
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    assert files_of(generate_dataset(**RUN, out=tmp_path / "then").path) == files_of(today.path)
    metadata = pa.parquet.read_metadata(today.path / "episodes" / "part-00000.parquet").metadata
    assert set(metadata) == {b"ARROW:schema", b"alsim_schema_version", b"table"}


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
@pytest.mark.parametrize("policy", ["uniform", "rules"])
def test_tables_do_not_depend_on_the_size_of_shards(tmp_path, tiny_shards, file_format, policy):
    sharded = generate_dataset(**RUN, policy=policy, out=tmp_path / "d", file_format=file_format)
    assert [shard["path"] for shard in sharded.manifest["tables"]["events"]["shards"]] == [
        f"events/part-{k:05d}.{file_format}" for k in range(3)
    ]
    whole = tables_of(rollout(policy, **RUN))
    for table in TABLES:
        assert getattr(sharded, table).equals(whole[table])
    assert sharded.arrays["next_obs"].shape == (len(sharded), 5)
    assert load_dataset(sharded.path, verify=True).transitions.equals(whole["transitions"])


@pytest.mark.heavy
@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
@pytest.mark.parametrize("policy", ["uniform", Plodding()], ids=["rule", "python"])
def test_bytes_do_not_depend_on_the_number_of_threads(tmp_path, tiny_shards, file_format, policy):
    """There are more threads than processors and more shards than threads, which reuse their memory."""
    run = {**RUN, "num_learners": 21, "policy": policy, "file_format": file_format}
    one, two, five = (generate_dataset(**run, out=tmp_path / str(n), num_threads=n) for n in (1, 2, 5))
    assert len(one.manifest["tables"]["transitions"]["shards"]) == 9
    assert files_of(one.path) == files_of(two.path) == files_of(five.path)
    in_memory = [generate_dataset(**run, num_threads=n) for n in (1, 3)]
    for held in in_memory:
        for table in TABLES:
            assert getattr(held, table).equals(getattr(one, table))


def test_checksums_are_those_of_the_files(written):
    manifest = load_dataset(written.path, verify=True).manifest
    for table in TABLES:
        for shard in manifest["tables"][table]["shards"]:
            assert hashlib.sha256((written.path / shard["path"]).read_bytes()).hexdigest() == shard["sha256"]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_thread_ends_all_threads(tmp_path, tiny_shards, threads):
    def fail(episodes, rows):
        if episodes > 10:
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        generate_dataset(**{**RUN, "num_learners": 60}, out=tmp_path / "d", progress=fail, num_threads=threads)
    assert threading.active_count() == before
    assert leftovers(tmp_path) == []
    names, shards = unfinished(tmp_path / "d")
    assert names == UNFINISHED_ENTRIES
    assert len(shards) >= 3


def test_progress_reports_episodes_and_transitions(tiny_shards):
    reports = []
    dataset = generate_dataset(**RUN, progress=lambda *numbers: reports.append(numbers))
    assert [episodes for episodes, _ in reports] == [5, 10, 12]
    assert reports[-1][1] == len(dataset)
    assert reports == sorted(reports)


def test_an_existing_dataset_is_overwritten_only_if_forced(copied):
    before = files_of(copied)
    with pytest.raises(DatasetError, match=r"copy already holds a finished dataset; force=True \(--force\) over"):
        generate_dataset(**{**RUN, "seed": 6}, out=copied)
    assert files_of(copied) == before
    dataset = generate_dataset(**{**RUN, "seed": 6}, out=copied, force=True)
    assert load_dataset(copied).manifest["seed"] == 6
    assert set(files_of(copied)) == set(before)
    assert len(dataset) == dataset.transitions.num_rows
    assert leftovers(copied.parent) == []


def test_other_files_are_never_overwritten(copied, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "mine.txt").write_text("mine")
    shutil.copytree(copied, tmp_path / "second copy")
    (tmp_path / "second copy" / "transitions" / "mine.txt").write_text("mine")
    (copied / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "empty").mkdir()
    (tmp_path / "second link").symlink_to(tmp_path / "empty")
    for name, message in (
        ("notes", "contains other files (mine.txt)"),
        ("copy", "contains other files (mine.txt)"),
        ("second copy", "contains other files (transitions/mine.txt)"),
        ("file", "is not a directory"),
        ("link", "is a symbolic link"),
        ("second link", "is a symbolic link"),
    ):
        before = files_of(tmp_path)
        with pytest.raises(DatasetError) as caught:
            generate_dataset(**RUN, out=tmp_path / name, force=True)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert message in str(caught.value)
        assert files_of(tmp_path) == before
    assert leftovers(tmp_path) == []


def test_the_working_directory_is_not_written_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (".", "", tmp_path):
        with pytest.raises(DatasetError, match="is the working directory"):
            generate_dataset(**RUN, out=out)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_directory_is_written_to(tmp_path):
    (tmp_path / "empty").mkdir()
    assert len(generate_dataset(**RUN, out=tmp_path / "empty")) > 0


def test_a_broken_manifest_is_not_overwritten(copied):
    (copied / MANIFEST).write_text("{")
    with pytest.raises(DatasetError, match="manifest.json cannot be read"):
        generate_dataset(**RUN, out=copied, force=True)


def test_a_foreign_file_that_appears_during_the_run_is_kept(tmp_path, tiny_shards):
    out = tmp_path / "d"

    def intrude(done, rows):
        (out / "mine.txt").write_text("mine")

    with pytest.raises(DatasetError, match="contains other files") as caught:
        generate_dataset(**RUN, out=out, progress=intrude)
    assert caught.value.__notes__ == [f"3 shards in {out} are complete: run the same command again to resume"]
    assert (out / "mine.txt").read_text() == "mine"
    with pytest.raises(DatasetError, match="contains other files"):
        generate_dataset(**RUN, out=out)
    (out / "mine.txt").unlink()
    assert files_of(generate_dataset(**RUN, out=out).path) == files_of(generate_dataset(**RUN, out=tmp_path / "e").path)


def test_a_foreign_file_that_appears_in_a_dataset_that_is_replaced_is_kept(copied):
    def intrude(done, rows):
        (copied / "bank" / "mine.txt").write_text("mine")

    with pytest.raises(DatasetError, match=r"contains other files \(bank/mine.txt\)"):
        generate_dataset(**{**RUN, "seed": 6}, out=copied, force=True, progress=intrude)
    assert (copied / "bank" / "mine.txt").read_text() == "mine"
    assert load_dataset(copied).manifest["seed"] == RUN["seed"]
    (copied / "bank" / "mine.txt").unlink()
    assert generate_dataset(**{**RUN, "seed": 6}, out=copied, force=True).manifest["seed"] == 6
    assert leftovers(copied.parent) == []


@pytest.mark.parametrize("verify", [False, True])
def test_a_dataset_that_is_replaced_while_it_is_loaded_is_not_damaged(copied, monkeypatch, verify):
    def replace_and_check(directory, manifest, **options):
        patch.undo()
        generate_dataset(**{**RUN, "seed": 6}, out=copied, force=True)
        check_files(directory, manifest, **options)

    check_files = store.check_files
    with monkeypatch.context() as patch, pytest.raises(DatasetError, match="was replaced by another dataset; load it"):
        patch.setattr(store, "check_files", replace_and_check)
        load_dataset(copied, verify=verify)
    assert load_dataset(copied).manifest["seed"] == 6


@pytest.mark.parametrize("name", ["transitions", "events", "episodes", "bank", "arrays"])
def test_a_dataset_that_was_replaced_is_not_mixed_with_the_new_one(copied, name):
    dataset = load_dataset(copied)
    generate_dataset(**{**RUN, "seed": 6}, out=copied, force=True)
    with pytest.raises(DatasetError, match="copy was replaced by another dataset; load it again"):
        getattr(dataset, name)
    assert getattr(load_dataset(copied), name) is not None


class Failing:
    """The policy uniform, which raises an error in its second shard."""

    name = "failing"

    def __init__(self, error):
        self.error, self.shards, self.uniform = error, 0, Uniform()

    def act(self, view, draws):
        self.shards += view.step == 0
        if self.shards == 2 and view.step == 3:
            raise self.error
        return self.uniform.act(view, draws)


class Terminated(SystemExit):
    """Exit by a signal, as of the command line. A policy that calls sys.exit raises AlsimError instead."""


ERRORS = [RuntimeError("failed"), KeyboardInterrupt(), Terminated(143), MemoryError()]


@pytest.mark.heavy
@pytest.mark.parametrize("error", ERRORS)
def test_an_interrupted_run_is_resumed(tmp_path, tiny_shards, caplog, error):
    out = tmp_path / "deeper" / "d"
    caplog.set_level("INFO")
    with pytest.raises(type(error)) as caught:
        generate_dataset(**RUN, policy=Failing(error), out=out)
    message = f"1 shards in {out} are complete: run the same command again to resume"
    assert message in getattr(caught.value, "__notes__", caplog.messages)
    assert unfinished(out) == (UNFINISHED_ENTRIES, [0])
    assert not list(out.rglob(".*"))
    with pytest.raises(DatasetError, match=r"d holds no finished dataset: there is no manifest.json; the command"):
        load_dataset(out)
    first = {name: (out / name / "part-00000.parquet").stat().st_ino for name in TABLES}
    working = Failing(error)
    working.shards = 5
    resumed = generate_dataset(**RUN, policy=working, out=out)
    assert "1 shards were complete, 2 were made" in caplog.messages
    assert {name: (out / name / "part-00000.parquet").stat().st_ino for name in TABLES} == first
    assert files_of(out) == files_of(generate_dataset(**RUN, policy=working, out=tmp_path / "other").path)
    assert resumed.transitions.equals(generate_dataset(**RUN).transitions)


@pytest.mark.parametrize("error", ERRORS)
def test_a_run_without_complete_shards_leaves_no_files(tmp_path, error):
    (tmp_path / "empty").mkdir()
    for name in ("d", "empty"):
        failing = Failing(error)
        failing.shards = 1
        with pytest.raises(type(error)):
            generate_dataset(**RUN, policy=failing, out=tmp_path / name)
    assert [p.name for p in tmp_path.rglob("*")] == ["empty"]


def test_an_interrupted_replacement_keeps_the_old_dataset(copied, tiny_shards):
    before = files_of(copied)
    with pytest.raises(RuntimeError, match="failed"):
        generate_dataset(**RUN, policy=Failing(RuntimeError("failed")), out=copied, force=True)
    assert files_of(copied) == before
    assert leftovers(copied.parent) == [".copy.unfinished"]
    assert unfinished(copied.parent / ".copy.unfinished") == (UNFINISHED_ENTRIES, [0])
    with pytest.raises(DatasetError, match="holds no finished dataset"):
        load_dataset(copied.parent / ".copy.unfinished")
    working = Failing(RuntimeError())
    working.shards = 5
    generate_dataset(**RUN, policy=working, out=copied, force=True)
    assert leftovers(copied.parent) == []
    assert load_dataset(copied, verify=True).manifest["policy"] == {"name": "failing", "nested": [{"name": "uniform"}]}


def test_a_failed_replacement_keeps_the_old_dataset(copied, monkeypatch):
    before = files_of(copied)
    failing = mock.Mock(side_effect=OSError("disk full"))
    with monkeypatch.context() as patched:
        patched.setattr("alsim.utils.files.exchange", failing)
        with pytest.raises(OSError, match="disk full"):
            generate_dataset(**{**RUN, "seed": 6}, out=copied, force=True)
    assert files_of(copied) == before
    assert leftovers(copied.parent) == [".copy.unfinished"]
    calls = []
    generate_dataset(**{**RUN, "seed": 6}, out=copied, force=True, progress=lambda *numbers: calls.append(numbers))
    assert calls == []  # it was complete and only had to be moved
    assert load_dataset(copied, verify=True).manifest["seed"] == 6
    assert leftovers(copied.parent) == []
    assert set(files_of(copied)) == set(before)


def test_the_replaced_dataset_is_kept_until_the_new_one_is_finished(copied, tiny_shards):
    """On systems that cannot exchange paths, another process may start at the moment when the old dataset is moved."""
    aside = copied.with_name(".copy.alsim-replaced")
    copied.rename(aside)
    before, new = files_of(aside), copied.with_name("new")
    with pytest.raises(RuntimeError, match="failed"):
        generate_dataset(**RUN, policy=Failing(RuntimeError("failed")), out=new)
    new.rename(copied)
    with pytest.raises(DatasetError, match="holds an unfinished dataset with other settings"):
        generate_dataset(**RUN, out=copied)
    assert files_of(aside) == before
    working = Failing(RuntimeError())
    working.shards = 5
    generate_dataset(**RUN, policy=working, out=copied)
    with pytest.raises(DatasetError, match="already holds a finished dataset"):
        generate_dataset(**RUN, policy=working, out=copied)
    assert leftovers(copied.parent) == []


# ── what is refused ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_learners": 0}, ValueError, "num_learners must be an integer of at least 1; got 0"),
        ({"num_learners": 2.0}, ValueError, "num_learners must be an integer of at least 1; got 2.0"),
        (
            {"num_learners": 2**31 + 1},
            ValueError,
            "num_learners must be at most 2**31, as later learners are held out",
        ),
        ({"episodes_per_learner": -1}, ValueError, "episodes_per_learner must be an integer of at least 1; got -1"),
        ({"episodes_per_learner": 2**31 + 1}, ValueError, "episodes_per_learner must be at most 2**31; got"),
        ({"policy": "other"}, ValueError, "unknown policy 'other'; known are uniform, rules"),
        ({"seed": -1}, ValueError, "seed must be an integer in [0, 2**64); got -1"),
        ({"observation": "all"}, ValueError, "observation must be one of 'mastery', 'responses'; got 'all'"),
        ({"file_format": "csv"}, ValueError, "file_format must be one of 'parquet', 'arrow'; got 'csv'"),
        ({"num_threads": 0}, ValueError, "num_threads must be an integer of at least 1; got 0"),
        ({"num_workers": 0}, ValueError, "num_workers must be an integer of at least 1; got 0"),
        (
            {"num_workers": 2, "num_threads": 2},
            ValueError,
            "num_threads must be 1 with workers, which have one thread each; got 2: ",
        ),
        ({"episodes_per_shard": 0}, ValueError, "episodes_per_shard must be an integer of at least 1; got 0"),
        ({"store_observations": "none"}, TypeError, "store_observations must be True or False; got 'none'"),
        ({"engine": "spark"}, ValueError, "engine must be one of 'local', 'ray'; got 'spark'"),
        ({"ray_address": "auto"}, ValueError, "engine must be 'ray' for ray_address='auto'; got 'local'"),
        (
            {"num_workers": 2, "policy": NotPicklable()},
            TypeError,
            "the policy 'not-picklable' cannot be pickled for the workers: ",
        ),
        ({"policy": NotPicklable(3)}, TypeError, "the digest of the policy 'not-picklable' must be a string; got 3"),
        ({"config": {"num_los": 0}}, ConfigError, "num_los = 0"),
        ({"bank": "nowhere"}, BankError, "nowhere"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, arguments, error, message):
    with pytest.raises(error) as caught:
        generate_dataset(**{**RUN, **arguments}, out=tmp_path / "deeper" / "d")
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_more_outcomes_than_the_columns_hold_are_refused(monkeypatch):
    monkeypatch.setattr(generate, "MOST_LOS", 2)
    with pytest.raises(ValueError, match="the bank of a dataset must have at most 2 learning outcomes; got 3"):
        generate_dataset(**RUN)


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[1, 2", b"[" * 100_000], ids=lambda content: content[:3])
def test_a_manifest_that_is_not_json_is_an_error(copied, content):
    (copied / MANIFEST).write_bytes(content)
    with pytest.raises(DatasetError, match=r"copy/manifest\.json cannot be read: "):
        load_dataset(copied)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"x"', "{}", '{"schema_version": "1"}'])
def test_a_manifest_without_schema_version_is_an_error(copied, content):
    (copied / MANIFEST).write_text(content)
    with pytest.raises(DatasetError, match=rf"copy/manifest\.json has schema version .*; .*reads {SCHEMA_VERSION}"):
        load_dataset(copied)


def test_another_schema_version_is_refused(copied):
    edit(copied, lambda manifest: manifest.update(schema_version=SCHEMA_VERSION + 1))
    with pytest.raises(DatasetError, match=f"has schema version {SCHEMA_VERSION + 1}; this version of alsim reads"):
        load_dataset(copied)


SHARD = ("tables", "events", "shards", 0)
INVALID = {
    **{f"no {key}": ((key,), None) for key in ("tables", "policy", "config", "environment", "num_learners", "seed")},
    **{f"no {key}": ((key,), None) for key in ("observation", "format", "alsim_version")},
    "a policy without a name": (("policy", "name"), None),
    "a policy that is a word": (("policy",), "uniform"),
    "a count that is a word": (("num_learners",), "6"),
    "no events": (("tables", "events"), None),
    "tables in a list": (("tables",), []),
    "no count of rows": (("tables", "events", "rows"), None),
    "rows that the shards do not have": (("tables", "events", "rows"), 1),
    "no shards": (("tables", "events", "shards"), []),
    "shards that are a number": (("tables", "events", "shards"), 3),
    "no checksum": ((*SHARD, "sha256"), None),
    "a path that is a number": ((*SHARD, "path"), 3),
    "rows that are a word": ((*SHARD, "rows"), "many"),
    "bytes that are a word": ((*SHARD, "bytes"), "12"),
    "a policy that is a number": (("policy", "name"), 3),
    "a configuration that is a list": (("config",), []),
    "an observation that is a table": (("observation",), {"kind": "mastery"}),
    "an observation that is a command": (("observation",), "mastery; rm -r ~"),
    "more outcomes than there can be": (("bank", "num_los"), 10**9),
    "no outcomes": (("bank", "num_los"), 0),
    "a shard without interactions": (
        ("tables", "transitions"),
        {"rows": 0, "shards": [{"rows": 0, "bytes": 0, "path": "x", "sha256": ""}]},
    ),
    "a seed that is a word": (("seed",), "5"),
    "a seed out of range": (("seed",), 2**64),
    "a shard that is twice there": (
        ("tables", "events"),
        {"rows": 0, "shards": [{"rows": 0, "bytes": 0, "path": "x", "sha256": ""}] * 2},
    ),
    "shards that another table has not": (
        ("tables", "events"),
        {"rows": 0, "shards": [{"rows": 0, "bytes": 0, "path": x, "sha256": ""} for x in "ab"]},
    ),
}


@pytest.mark.parametrize("invalid", INVALID)
def test_an_invalid_manifest_is_an_error(copied, invalid):
    (*path, last), value = INVALID[invalid]

    def change(manifest):
        for key in path:
            manifest = manifest[key]
        if value is None:
            del manifest[last]
        else:
            manifest[last] = value

    edit(copied, change)
    with pytest.raises(DatasetError, match=r"copy/manifest\.json is not a valid manifest: "):
        load_dataset(copied)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_numbers_outside_of_json_are_refused(copied, number):
    edit(copied, lambda manifest: manifest["config"].update(num_los="@"))
    file = copied / "manifest.json"
    file.write_text(file.read_text().replace('"@"', number))
    with pytest.raises(DatasetError, match=r"manifest\.json cannot be read: Out of range float values"):
        load_dataset(copied)


def test_a_bank_of_another_size_is_an_error(copied):
    edit(copied, lambda manifest: manifest["bank"].update(num_los=manifest["bank"]["num_los"] + 1))
    with pytest.raises(DatasetError, match=r"bank has (\d+) learning outcomes; the manifest says (\d+)"):
        _ = load_dataset(copied).bank


def test_too_many_shards_are_refused(tmp_path):
    with pytest.raises(
        AlsimError, match=r"at most 1,000,000 shards; got .* for 4,611,686,018,427,387,904 episodes, .*: use a larger"
    ):
        generate_dataset(2**31, 2**31, out=tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_a_shard_that_exceeds_the_memory_is_an_error(tmp_path, monkeypatch, capsys):
    arguments = ["--learners", str(2**31), "--episodes-per-shard", str(2**31), "--out", str(tmp_path / "d")]
    monkeypatch.setattr(sys, "argv", ["alsim", "generate", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    message = capsys.readouterr().err
    assert ended.value.code == 2 and message.startswith("alsim: out of memory: ") and message.count("\n") == 1
    assert "the shard has 2,147,483,648 episodes; a smaller episodes_per_shard needs less memory" in message
    assert not (tmp_path / "d").exists()


OUTSIDE = [
    "../outside.parquet",
    "events/../../outside.parquet",
    "/etc/hosts",
    "..",
    "..\\outside.parquet",
    "events\\part-00000.parquet",
    "C:\\outside.parquet",
    "C:outside.parquet",
    "\\\\host\\share\\outside.parquet",
    "//host/share/outside.parquet",
    "events/part\0.parquet",
    "events/part\n.parquet",
]
"""On this system or on Windows."""


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_shard_outside_the_dataset_is_refused(copied, path):
    shutil.copy(copied / "events" / "part-00000.parquet", copied.parent / "outside.parquet")
    edit(copied, lambda manifest: manifest["tables"]["events"]["shards"][0].update(path=path))
    with pytest.raises(DatasetError) as caught:
        load_dataset(copied)
    assert f"names {path!r}, which is outside of the dataset" in str(caught.value)


@pytest.mark.parametrize("what", ["shard", "folder", "bank"])
def test_a_link_that_leads_outside_is_refused(copied, tmp_path, what):
    place = {"shard": "events/part-00000.parquet", "folder": "events", "bank": "bank/questions.csv"}[what]
    (copied / place).rename(tmp_path / "outside")
    (copied / place).symlink_to(tmp_path / "outside")
    for verify in (False, True):
        with pytest.raises(DatasetError, match=r"names .*, which is outside of the dataset"):
            load_dataset(copied, verify=verify)
    with pytest.raises(DatasetError, match="which is outside of the dataset"):
        _ = store.Dataset(store.read_manifest(copied), copied).events if what != "bank" else load_dataset(copied)


def test_a_dataset_behind_a_link_and_links_within_are_read(copied, tmp_path):
    (copied / "events" / "part-00000.parquet").rename(copied / "moved.parquet")
    (copied / "events" / "part-00000.parquet").symlink_to(copied / "moved.parquet")
    (tmp_path / "link").symlink_to(copied)
    assert load_dataset(tmp_path / "link", verify=True).events.num_rows > 0


def test_circular_links_and_long_names_are_refused(copied):
    file = copied / "events" / "part-00000.parquet"
    file.unlink()
    file.symlink_to(file)
    with pytest.raises(DatasetError, match="cannot be read|is missing"):
        load_dataset(copied)
    edit(copied, lambda manifest: manifest["tables"]["events"]["shards"][0].update(path="x" * 5000))
    with pytest.raises(DatasetError, match="cannot be read"):
        load_dataset(copied)


def rewrite(copied, table, change):
    """Change a shard, and update the manifest."""
    file = copied / table / "part-00000.parquet"
    content = change(pyarrow.parquet.read_table(file))
    pyarrow.parquet.write_table(content, file)
    entry = file_entry(copied, f"{table}/part-00000.parquet") | {"rows": content.num_rows}
    edit(copied, lambda manifest: manifest["tables"][table].update(rows=content.num_rows, shards=[entry]))
    return load_dataset(copied, verify=True)


def replaced(name, column):
    """Replace a column."""
    return lambda table: table.set_column(table.column_names.index(name), name, column(table.num_rows))


TYPES = {
    "a wider integer": ("transitions", "action", lambda rows: pa.array([1] * rows, pa.int64())),
    "text": ("transitions", "reward", lambda rows: pa.array(["1"] * rows)),
    "lists of another kind": (
        "episodes",
        "final_obs",
        lambda rows: pa.array([[1.0]] * rows, pa.list_(pa.float64(), 1)),
    ),
    "lists of any length": ("transitions", "obs", lambda rows: pa.array([[1.0]] * rows, pa.list_(pa.float32()))),
    "an extension type": (
        "transitions",
        "action",
        lambda rows: pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.int16(), [1]), pa.array([[1]] * rows, pa.list_(pa.int16(), 1))
        ),
    ),
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_column_of_another_type_is_an_error(copied, kind):
    table, name, column = TYPES[kind]
    dataset = rewrite(copied, table, replaced(name, column))
    with pytest.raises(DatasetError, match=rf"part-00000\.parquet has {name} of type .*; expected "):
        getattr(dataset, table)


def test_unexpected_nulls_are_an_error(copied):
    dataset = rewrite(copied, "transitions", replaced("action", lambda rows: pa.array([None] * rows, pa.int16())))
    with pytest.raises(DatasetError, match=r"part-00000\.parquet has \d+ nulls in action; expected none"):
        _ = dataset.obs


class Bomb:
    """An object that runs code when it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("exploded",))


# Older versions of Arrow warn about refused metadata and about a deprecated class.
@pytest.mark.filterwarnings("ignore:pickle-based deserialization:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:pyarrow.PyExtensionType is deprecated:FutureWarning")
@pytest.mark.parametrize("key", [b"ARROW:extension:metadata", b"pandas", b"ARROW:schema"])
def test_no_metadata_of_a_shard_is_unpickled(copied, tmp_path, monkeypatch, key):
    """This includes the metadata of Python extension types of Arrow (CVE-2023-47248)."""
    import pickle

    monkeypatch.chdir(tmp_path)
    payload = pickle.dumps(Bomb(), 0)
    with pytest.MonkeyPatch.context() as here:  # the payload works
        here.chdir(copied)
        pickle.loads(payload)
        assert (copied / "exploded").is_dir()
        (copied / "exploded").rmdir()

    def plant(table):
        k = table.column_names.index("action")
        notes = {
            b"ARROW:extension:name": b"arrow.py_extension_type",
            b"ARROW:extension:metadata": payload,
            key: payload,
        }
        field = table.schema.field(k).with_metadata(notes)
        schema = table.schema.set(k, field).with_metadata({**table.schema.metadata, b"pandas": payload})
        return table.cast(schema)

    dataset = rewrite(copied, "transitions", plant)
    try:
        assert dataset.action.dtype == np.int16
        _ = dataset.transitions.schema
    except DatasetError as error:
        assert "of type" in str(error)
    assert not (tmp_path / "exploded").exists() and not (copied / "exploded").exists()


def test_episode_lengths_that_do_not_match_the_transitions_are_an_error(copied):
    dataset = rewrite(copied, "transitions", lambda table: table.slice(1))
    with pytest.raises(
        DatasetError,
        match=r"the total_steps of its episodes .* sum to -?\d+; expected at least 1",
    ):
        _ = dataset.obs


def test_shards_with_different_observations_are_an_error(tmp_path, tiny_shards):
    path = generate_dataset(**RUN, out=tmp_path / "d").path
    file = path / "transitions" / "part-00001.parquet"
    table = pyarrow.parquet.read_table(file)
    pyarrow.parquet.write_table(
        replaced("obs", lambda rows: pa.array([[0.0]] * rows, pa.list_(pa.float32(), 1)))(table), file
    )
    entry = file_entry(path, "transitions/part-00001.parquet") | {"rows": table.num_rows}
    edit(path, lambda manifest: manifest["tables"]["transitions"]["shards"].__setitem__(1, entry))
    for name in ("transitions", "obs", "action"):
        with pytest.raises(DatasetError, match="the shards of transitions must have observations of one length"):
            getattr(load_dataset(path, verify=True), name)


def test_a_missing_shard_is_an_error(copied):
    (copied / "episodes" / "part-00000.parquet").unlink()
    with pytest.raises(DatasetError, match=r"episodes/part-00000\.parquet is missing; the manifest lists it"):
        load_dataset(copied)


def test_a_truncated_shard_is_an_error(copied):
    file = copied / "transitions" / "part-00000.parquet"
    size = file.stat().st_size
    os.truncate(file, size - 100)
    with pytest.raises(DatasetError, match=rf"part-00000\.parquet has {size - 100} bytes; the manifest says {size}"):
        load_dataset(copied)


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"nonsense" * 100])
def test_a_shard_of_another_format_is_an_error_when_it_is_read(tmp_path, file_format, content):
    path = generate_dataset(**RUN, out=tmp_path / "d", file_format=file_format).path
    (path / f"events/part-00000.{file_format}").write_bytes(content)
    edit(path, lambda manifest: manifest["tables"]["events"]["shards"][0].update(bytes=len(content)))
    dataset = load_dataset(path)
    with pytest.raises(DatasetError, match=rf"events/part-00000\.{file_format} cannot be read: "):
        _ = dataset.events
    assert dataset.transitions.num_rows == len(dataset)


def test_a_changed_shard_is_found_by_its_checksum(copied):
    file = copied / "transitions" / "part-00000.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    load_dataset(copied)
    with pytest.raises(DatasetError, match=r"transitions/part-00000\.parquet is damaged: its SHA-256 differs"):
        load_dataset(copied, verify=True)


def test_a_shard_of_another_table_or_length_is_an_error(copied):
    def swap(manifest):
        manifest["tables"]["events"]["shards"], rows = (
            manifest["tables"]["episodes"]["shards"],
            manifest["tables"]["episodes"]["rows"],
        )
        manifest["tables"]["events"]["rows"] = rows

    edit(copied, swap)
    with pytest.raises(
        DatasetError, match=r"episodes/part-00000\.parquet has columns learner_id.*; expected those of events: event, "
    ):
        _ = load_dataset(copied).events

    def shorten(manifest):
        manifest["tables"]["episodes"]["shards"][0]["rows"] -= 1
        manifest["tables"]["episodes"]["rows"] -= 1
        manifest["tables"]["events"] = manifest["tables"]["episodes"]

    edit(copied, shorten)
    with pytest.raises(DatasetError, match="has 12 rows; the manifest says 11"):
        _ = load_dataset(copied).episodes


def test_a_path_without_dataset_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="nowhere holds no finished dataset"):
        load_dataset(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="file"):
        load_dataset(tmp_path / "file")
    assert issubclass(DatasetError, ValueError)
    assert MANIFEST == "manifest.json"
