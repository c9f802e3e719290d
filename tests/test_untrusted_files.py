"""Attacks on every kind of file that alsim reads: only the documented error leaves a reader, in one sentence."""

import gzip
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from published_logs import LOGS, write_log

from alsim.assignment import AssignmentError, Experiment, ExposureLog, experiments_toml, read_experiments
from alsim.bank.files import complete_bank, load_bank, save_bank
from alsim.bank.items import BankError, sample_bank
from alsim.cli import main
from alsim.config import Config, ConfigError
from alsim.datasets.export import export_dataset
from alsim.datasets.export.exporter import ExportError
from alsim.datasets.frames import frame_parts
from alsim.datasets.generate import generate_dataset
from alsim.datasets.manifest import DatasetError
from alsim.datasets.schema import TABLES
from alsim.datasets.store import load_dataset
from alsim.engine import EngineError
from alsim.engine.catalogue_files import read_items as read_catalogue
from alsim.engine.directory import load_engine, write_engine
from alsim.engine.graph_files import read_graph
from alsim.errors import AlsimError
from alsim.evaluation.dataset_summary import summary
from alsim.models import ModelError, Responses, load_fit, read_responses
from alsim.models.best_lr import BestLRFit
from alsim.models.bkt import BKT, Tracker
from alsim.models.bkt import fit as fit_bkt
from alsim.models.dkt import DKTFit
from alsim.models.dkt.checkpoints import read_checkpoint, write_checkpoint
from alsim.models.dkt.network import Weights, shapes_of
from alsim.models.dkt.settings import Epoch, Settings
from alsim.models.irt import fit as fit_irt
from alsim.models.irt import read_items
from alsim.models.pfa import PFAFit
from alsim.models.skill_mean import fit as fit_means
from alsim.models.student import EloModel, load_student_model
from alsim.policies.network import Network, NetworkPolicy, PolicyError
from alsim.responses.formats.base import PUBLISHED_NAMES
from alsim.responses.report import ResponsesError
from alsim.training.curve import Row, read_curve, write_curve
from alsim.training.directory import read_checkpoint as read_training_checkpoint
from alsim.training.directory import write_checkpoint as write_training_checkpoint
from alsim.training.settings import PPO, TrainingError
from alsim.types import f32
from alsim.utils.file_groups import journal_name
from alsim.utils.files import temporary_sibling, to_json
from alsim.utils.reading import MIB

SMALL = {"num_los": 2, "max_episode_steps": 5}
RUN = {"num_learners": 3, "episodes_per_learner": 1, "config": SMALL, "policy": "uniform"}
SETTINGS = Settings(hidden=3, embedding=2)
ARRAYS = {"x": np.arange(6, dtype=np.float32)}


class Kind(NamedTuple):
    """A kind of file.

    write    function that writes valid files into a directory
    files    the files that are attacked
    read     function that reads the directory
    error    the documented error
    repair   function that makes checksums and sizes fit again after an attack on the contents
    named    file that the user names, which may be a link; no link may lead out of a directory that the user names
    """

    write: Callable[[Path], Any]
    files: tuple[str, ...]
    read: Callable[[Path], Any]
    error: type[Exception]
    repair: Callable[[Path], Any] = lambda folder: None
    named: str = ""


# ── valid files ──────────────────────────────────────────────────────────────────────────────────


def dataset(file_format, stored=True):
    return lambda folder: generate_dataset(**RUN, out=folder / "d", file_format=file_format, store_observations=stored)


def read_dataset(folder):
    load_dataset(folder / "d", verify=True)
    read = load_dataset(folder / "d")
    _ = read.bank, read.transitions, read.events, read.episodes, read.arrays, summary(read)
    assert len([*read.parts()]) >= 1
    for table in TABLES:
        for _ in frame_parts(read, table, observations=False):
            pass
    try:
        Responses.from_dataset(read)
    except ResponsesError as error:
        assert "no question was answered" in str(error)


def repair_dataset(folder):
    """Make the sizes and checksums in the manifest those of the files."""
    file = folder / "d" / "manifest.json"
    try:
        manifest = json.loads(file.read_bytes())
        for table in TABLES:
            for shard in manifest["tables"][table]["shards"]:
                set_entry(folder / "d", shard)
        for entry in manifest["bank"]["files"]:
            set_entry(folder / "d", entry)
    except (ValueError, TypeError, LookupError, RecursionError, OSError):
        return  # the attack was on the manifest
    file.write_text(json.dumps(manifest))


def set_entry(directory, entry):
    content = (directory / entry["path"]).read_bytes()
    entry.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def repair_policy(folder):
    repair_checksum(folder / "policy.json", "weights", folder / "policy.npz")


def repair_checksum(file, key, arrays):
    try:
        description = json.loads(file.read_bytes())
        description[key] = hashlib.sha256(arrays.read_bytes()).hexdigest()
    except (ValueError, TypeError, LookupError, RecursionError, OSError):
        return
    file.write_text(json.dumps(description))


def log():
    random = np.random.default_rng(1)
    student, skill = np.repeat(np.arange(12), 6), random.integers(0, 3, 72)
    item = 10 * skill + random.integers(0, 2, 72)
    return {"student": student, "skill": skill, "item": item, "correct": random.integers(0, 2, 72)}


def responses():
    return Responses.from_table(log())


def write_csv(folder):
    columns = log()
    rows = zip(*columns.values(), strict=True)
    text = "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)])
    (folder / "log.csv").write_text(text + "\n")


def table_of_log():
    names = {key: pa.array([f"{key}{value}" for value in column]) for key, column in log().items() if key != "correct"}
    return pa.table({**names, "correct": log()["correct"]})


def items_text():
    return "item,a,b,c\n" + "".join(f"q{k},{1 + k / 10},{k - 2},0.1\n" for k in range(5))


def dkt_fit():
    random = np.random.default_rng(0)
    shapes = shapes_of(3, SETTINGS.embedding, SETTINGS.hidden)
    weights = Weights(**{name: random.normal(0, 1, shape).astype(f32) for name, shape in shapes.items()})
    return DKTFit(np.array(["0", "1", "2"]), np.array([5, 1, 4]), weights, SETTINGS, [Epoch(0.7, 0.6)], -12.5, 10)


def pfa_fit():
    numbers = np.ones((2, 3))
    return PFAFit(np.array(["0", "1"]), numbers, numbers, np.array([3, 4]), np.ones(3), 1.0, -3.5, 7, 4, True)


def best_lr_fit():
    names = np.array(["0", "1"])
    return BestLRFit(names, names, np.ones((2, 3)), np.ones(2), np.ones(5), 1.0, -3.5, 7, 4, True)


def saved(make):
    return lambda folder: make().save(folder / "fit.json")


def read_fit(folder):
    return load_fit(folder / "fit.json")


def kind_of_fit(make):
    return Kind(saved(make), ("fit.json",), read_fit, ModelError, named="fit.json")


def policy(folder):
    random = np.random.default_rng(0)
    layers = [(random.normal(size=(5, 24)).astype(f32), np.zeros(24, f32))]
    NetworkPolicy(Network(layers, "tanh"), name="own").save(folder)


def bank_as_parquet(folder):
    bank(folder)
    import pyarrow.csv

    for stem in ("questions", "contents"):
        pyarrow.parquet.write_table(pyarrow.csv.read_csv(folder / f"{stem}.csv"), folder / f"{stem}.parquet")
        (folder / f"{stem}.csv").unlink()


ENGINE_GRAPH = {"sums": [], "halves": ["sums"]}
ENGINE_ITEMS = [
    {"id": f"q{k}", "skills_taught": [skill], "skills_assessed": ["sums", skill], "difficulty": k / 4, "guess": 0.2}
    for skill in ENGINE_GRAPH
    for k in range(3)
]


def engine(folder):
    write_engine(folder, ENGINE_GRAPH, [{**item, "id": item["id"] + item["skills_taught"][0]} for item in ENGINE_ITEMS])


def engine_as_json(folder):
    items = [{**item, "id": f" {k}"} for k, item in enumerate(ENGINE_ITEMS)]  # ids that a table does not keep
    write_engine(folder, ENGINE_GRAPH, items, force=True)


EXPERIMENT = Experiment("x", {"control": 0.5, "new": 0.5}, policies={"control": "guide", "new": "alosi"})


def engine_with_experiment(folder):
    write_engine(folder, ENGINE_GRAPH, ENGINE_ITEMS[:3], policy="experiment:x", experiments=EXPERIMENT)


def read_exposures(folder):
    log = ExposureLog(folder / "x.jsonl")
    assert len(log.read().student) <= 2
    assert len(log.experiments()) <= 1


def read_engine(folder):
    return load_engine(folder, store="memory")


def bank(folder):
    save_bank(sample_bank(Config.read(SMALL)), folder)


@cache
def made():
    return generate_dataset(**RUN)


def export(to, name):
    return lambda folder: export_dataset(made(), to, folder / name)


def read_export(to, name):
    return lambda folder: export_dataset(made(), to, folder / name, force=True)


def shards(ending):
    return tuple(f"d/{table}/part-00000.{ending}" for table in TABLES)


def published(name):
    """The kind of files of a published format: a text file, or a directory with an answer key."""
    file = "KT1" if name == "ednet-kt1" else f"{name}.txt"
    files = ("KT1/u9.csv", "contents/questions.csv") if name == "ednet-kt1" else (file,)

    def read(folder):
        return read_responses(folder / file, format=name)

    return Kind(lambda folder: write_log(name, folder), files, read, ResponsesError, named=f"{name}.txt")


def labels_of_duolingo(folder):
    """A log whose labels are in a file of their own, which has the usual name."""
    lines = [line[:-3] if "++" in line else line for line in LOGS["duolingo-slam"].splitlines()]
    tokens = [line.split()[0] for line in lines if "++" in line]
    (folder / "log.test").write_text("\n".join(lines))
    (folder / "log.test.key").write_text("".join(f"{token} {k % 2}\n" for k, token in enumerate(tokens)))


def interrupted(write, *names):
    """Return a function that writes a group of files whose replacement was interrupted after its journal appeared."""

    def written(folder):
        write(folder)
        temporary = {name: temporary_sibling(folder / name) for name in names}
        for name, file in temporary.items():
            (folder / name).rename(file)
        write(folder)
        moves = {name: file.name for name, file in temporary.items()}
        (folder / journal_name(names[0])).write_bytes(to_json({"moves": moves, "obsolete": []}))

    return written


CONFIG = "num_los = 4\n[termination]\nmax_frustration = 0.5\n"
CHECKPOINT = "checkpoints/00000000000000000007"
KINDS = {
    "configuration": Kind(
        lambda folder: (folder / "c.toml").write_text(CONFIG),
        ("c.toml",),
        lambda folder: Config.read(folder / "c.toml"),
        ConfigError,
        named="c.toml",
    ),
    "hyperparameters": Kind(
        lambda folder: (folder / "h.toml").write_text("gamma = 0.9\nnet_arch = [8, 8]\n"),
        ("h.toml",),
        lambda folder: PPO.read(folder / "h.toml"),
        TrainingError,
        named="h.toml",
    ),
    "bank": Kind(bank, ("questions.csv", "contents.csv"), load_bank, BankError),
    "bank as Parquet": Kind(bank_as_parquet, ("questions.parquet", "contents.parquet"), load_bank, BankError),
    "engine": Kind(engine, ("engine.toml", "skills.csv", "catalogue.csv"), read_engine, EngineError),
    "engine as JSON": Kind(engine_as_json, ("catalogue.json",), read_engine, EngineError),
    "engine with an experiment": Kind(engine_with_experiment, ("engine.toml",), read_engine, EngineError),
    "experiments": Kind(
        lambda folder: (folder / "e.toml").write_text(experiments_toml([EXPERIMENT])),
        ("e.toml",),
        lambda folder: read_experiments(folder / "e.toml"),
        AssignmentError,
        named="e.toml",
    ),
    "exposure log": Kind(
        lambda folder: ExposureLog(folder / "x.jsonl").record(EXPERIMENT, ["a", "b"], time=1.0),
        ("x.jsonl",),
        read_exposures,
        AssignmentError,
        named="x.jsonl",
    ),
    "graph": Kind(
        lambda folder: (folder / "g.json").write_text(json.dumps(ENGINE_GRAPH)),
        ("g.json",),
        lambda folder: read_graph(folder / "g.json"),
        EngineError,
        named="g.json",
    ),
    "catalogue": Kind(
        lambda folder: (folder / "c.json").write_text(json.dumps(ENGINE_ITEMS)),
        ("c.json",),
        lambda folder: read_catalogue(folder / "c.json"),
        EngineError,
        named="c.json",
    ),
    "questions": Kind(
        lambda folder: (folder / "q.csv").write_text(items_text()),
        ("q.csv",),
        lambda folder: complete_bank(folder / "q.csv", Config(), fill_empty=True),
        BankError,
        named="q.csv",
    ),
    "items": Kind(
        lambda folder: (folder / "q.csv").write_text(items_text()),
        ("q.csv",),
        lambda folder: read_items(folder / "q.csv"),
        AlsimError,
        named="q.csv",
    ),
    "dataset": Kind(
        dataset("parquet"),
        (*shards("parquet"), "d/manifest.json", "d/bank/questions.csv", "d/bank/contents.csv"),
        read_dataset,
        DatasetError,
        repair_dataset,
    ),
    "dataset as Arrow": Kind(dataset("arrow"), shards("arrow"), read_dataset, DatasetError, repair_dataset),
    "dataset without observations": Kind(
        dataset("arrow", stored=False),
        ("d/manifest.json", *shards("arrow")),
        read_dataset,
        DatasetError,
        repair_dataset,
    ),
    "policy": Kind(policy, ("policy.json", "policy.npz"), NetworkPolicy.load, PolicyError, repair_policy),
    "fit of bkt": Kind(
        saved(lambda: fit_bkt(responses(), starts=1)), ("fit.json",), read_fit, ModelError, named="fit.json"
    ),
    "fit of irt": Kind(saved(lambda: fit_irt(responses())), ("fit.json",), read_fit, ModelError, named="fit.json"),
    "fit of skill-mean": Kind(
        saved(lambda: fit_means(responses())), ("fit.json",), read_fit, ModelError, named="fit.json"
    ),
    "fit of pfa": Kind(saved(pfa_fit), ("fit.json",), read_fit, ModelError, named="fit.json"),
    "fit of best-lr": Kind(saved(best_lr_fit), ("fit.json",), read_fit, ModelError, named="fit.json"),
    "fit of dkt": Kind(
        saved(dkt_fit),
        ("fit.json", "fit.npz"),
        read_fit,
        ModelError,
        lambda folder: repair_checksum(folder / "fit.json", "weights", folder / "fit.npz"),
        named="fit.json",
    ),
    "checkpoint of dkt": Kind(
        lambda folder: write_checkpoint(folder, SETTINGS, "log", [Epoch(0.7, None)], ARRAYS),
        ("checkpoint.json", "epoch-1.npz"),
        lambda folder: read_checkpoint(folder, SETTINGS, "log", {"x": (6,)}),
        ModelError,
        lambda folder: repair_checksum(folder / "checkpoint.json", "arrays", folder / "epoch-1.npz"),
    ),
    "tracker": Kind(
        lambda folder: Tracker({"add": BKT(), "carry": BKT()}, 4).save(folder / "t.npz"),
        ("t.npz",),
        lambda folder: Tracker.load(folder / "t.npz"),
        ModelError,
        named="t.npz",
    ),
    "student model": Kind(
        lambda folder: EloModel({"add": "sums", "carry": ["sums", "tens"]}, 0.5).save(folder / "m.npz"),
        ("m.npz",),
        lambda folder: load_student_model(folder / "m.npz"),
        ModelError,
        named="m.npz",
    ),
    "log as text": Kind(
        write_csv, ("log.csv",), lambda folder: read_responses(folder / "log.csv"), ResponsesError, named="log.csv"
    ),
    "log as Parquet": Kind(
        lambda folder: pyarrow.parquet.write_table(table_of_log(), folder / "log.parquet"),
        ("log.parquet",),
        lambda folder: read_responses(folder / "log.parquet"),
        ResponsesError,
        named="log.parquet",
    ),
    "log as Arrow": Kind(
        lambda folder: pyarrow.feather.write_feather(table_of_log(), str(folder / "log.arrow")),
        ("log.arrow",),
        lambda folder: read_responses(folder / "log.arrow"),
        ResponsesError,
        named="log.arrow",
    ),
    "three lines": Kind(
        lambda folder: (folder / "log.txt").write_text("3\n1,2,1\n0,1,1\n2\n2,3\n1,0\n"),
        ("log.txt",),
        lambda folder: read_responses(folder / "log.txt", format="three-line"),
        ResponsesError,
        named="log.txt",
    ),
    **{f"log of {name}": published(name) for name in PUBLISHED_NAMES},
    "labels of a log": Kind(
        labels_of_duolingo,
        ("log.test.key",),
        lambda folder: read_responses(folder / "log.test", format="duolingo-slam"),
        ResponsesError,
    ),
    "journal of a policy": Kind(
        interrupted(policy, "policy.json", "policy.npz"), (".policy.json.replacing",), NetworkPolicy.load, PolicyError
    ),
    "journal of a bank": Kind(
        interrupted(bank, "questions.csv", "contents.csv"), (".questions.csv.replacing",), load_bank, BankError
    ),
    "journal of an engine": Kind(
        interrupted(engine_as_json, "engine.toml", "skills.csv", "catalogue.json"),
        (".engine.toml.replacing",),
        read_engine,
        EngineError,
    ),
    "journal of a fit": Kind(
        interrupted(saved(dkt_fit), "fit.json", "fit.npz"), (".fit.json.replacing",), read_fit, ModelError
    ),
    "learning curve": Kind(
        lambda folder: write_curve(folder / "curve.csv", [Row(10, 1.5, 2, 0.5, 3.0, 0.2, 0.1)]),
        ("curve.csv",),
        lambda folder: read_curve(folder / "curve.csv"),
        TrainingError,
        named="curve.csv",
    ),
    "checkpoint of a training": Kind(
        lambda folder: write_training_checkpoint(folder, 7, {"progress.json": b"{}", "best": bytes(50)}),
        (f"{CHECKPOINT}/sums.json", f"{CHECKPOINT}/best"),
        lambda folder: read_training_checkpoint(folder / CHECKPOINT),
        TrainingError,
    ),
    "marker of an export": Kind(
        export("huggingface", "x"), ("x/alsim-export.json",), read_export("huggingface", "x"), ExportError
    ),
    "export": Kind(export("npz", "x.npz"), ("x.npz",), read_export("npz", "x.npz"), ExportError),
}


# ── attacks ──────────────────────────────────────────────────────────────────────────────────────

VALUES = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 3e9, 1e308, -0.5, "", "x", "\0", "\ud800"),
    *("../x", "/etc/passwd", "\x1b[2J", "x" * 5000, [], {}, [[]], {"a": {}}, [None], "0", 1e400, float("nan")),
)
"""Values that replace one of a JSON file."""
CELLS = ("", "nan", "inf", "-1", "3e9", "1e400", '"', "x" * 5000, "\0", "\ud7ff", "=1+1", "9" * 400, ";", "\r", "1_0")
"""Texts that replace a cell of a table."""


def truncated(content, random):
    return content[: random.integers(0, max(1, len(content)))]


def flipped(content, random):
    changed = bytearray(content)
    for place in random.integers(0, max(1, len(content)), random.integers(1, 9)):
        changed[place : place + 1] = bytes([random.integers(0, 256)])
    return bytes(changed)


def doubled_number(content, random):
    """Change one integer of 32 bits in place: doubled, negative or huge."""
    changed = np.frombuffer(content[: len(content) // 4 * 4], np.int32).copy()
    places = np.flatnonzero((changed > 0) & (changed < 10**6))
    if len(places):
        place = random.choice(places)
        changed[place] = random.choice([2 * changed[place], -1, 2**31 - 1, changed[place] + 1, 0])
    return changed.tobytes() + content[len(content) // 4 * 4 :]


def spliced(content, random):
    start, stop, target = np.sort(random.integers(0, len(content) + 1, 3))
    return content[:target] + content[start:stop] + content[target:]


def json_changed(content, random):
    """Replace, remove or add one value of a JSON file."""
    value = json.loads(content)
    places = []

    def walk(container):
        keys = container if isinstance(container, dict) else range(len(container))
        for key in keys:
            places.append((container, key))
            if isinstance(container[key], dict | list):
                walk(container[key])

    walk(value)
    container, key = places[random.integers(len(places))]
    if random.random() < 0.1:
        del container[key]
    elif random.random() < 0.1 and isinstance(container[key], int | float | list):
        container[key] = container[key] * 2
    else:
        container[key] = VALUES[random.integers(len(VALUES))]
    return json.dumps(value).encode()


def cell_changed(content, random):
    lines = content.decode(errors="surrogateescape").split("\n")
    row = random.integers(len(lines))
    cells = lines[row].split(",")
    cells[random.integers(len(cells))] = CELLS[random.integers(len(CELLS))]
    lines[row] = ",".join(cells)
    return "\n".join(lines).encode(errors="surrogateescape")


def column_changed(content, random, name):
    """Change one column of a Parquet or Arrow file: its numbers, its type or its length."""
    is_parquet = name.endswith("parquet")
    source = pa.BufferReader(content)
    table = (pyarrow.parquet if is_parquet else pyarrow.feather).read_table(source)
    k = random.integers(table.num_columns)
    column, kind = table.column(int(k)), table.schema.field(int(k)).type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        limits = np.iinfo if pa.types.is_integer(kind) else np.finfo
        bounds = limits(kind.to_pandas_dtype())
        number = [bounds.max, bounds.min, 0, 1][random.integers(4)]
        values = column.to_pylist()
        values[random.integers(len(values))] = number
        table = table.set_column(int(k), table.schema.field(int(k)), pa.array(values, kind))
    elif random.random() < 0.5:
        table = table.slice(0, table.num_rows // 2)
    else:
        other = pa.array(["x", None][random.integers(2)] for _ in range(table.num_rows))
        table = table.set_column(int(k), table.column_names[int(k)], other)
    sink = pa.BufferOutputStream()
    if is_parquet:
        pyarrow.parquet.write_table(table, sink)
    else:
        pyarrow.feather.write_feather(table, sink, compression="uncompressed")
    return bytes(sink.getvalue())


WHOLE = {
    "empty": b"",
    "zeros": bytes(1000),
    "deep JSON": b'{"a":' * 90_000 + b"1" + b"}" * 90_000,
    "nested JSON": b"[" * 900 + b"]" * 900,
    "deep TOML": b"a = " + b"[" * 5000 + b"]" * 5000,
    "long dotted key": b".".join([b"a"] * 5000) + b" = 1",
    "null bytes": b"a,b\n\0,\0\n" * 20,
    "not UTF-8": b"student,skill,correct\n\xff,\xfe,1\n" * 20,
    "a number of many digits": b'{"format": ' + b"9" * 5000 + b"}",
    "many digits in TOML": b"num_los = " + b"9" * 5000,
    "half of a surrogate pair": b'{"format": "\\ud800"}',
    "a zip archive": b"PK\x03\x04" + bytes(100),
}
"""Contents that replace a file."""


def changes(name, content, number, random):
    """Yield a number of changed contents of a file."""
    text = name.endswith((".json", ".csv", ".toml", ".txt", ".replacing", ".key"))
    kinds = [truncated, flipped, spliced] + [doubled_number] * (not text)
    kinds += [json_changed] * 6 * name.endswith(("json", "replacing")) + [cell_changed] * 3 * name.endswith(
        ("csv", "txt")
    )
    kinds += [lambda c, r: column_changed(c, r, name)] * 2 * name.endswith(("parquet", "arrow"))
    for k in range(number):
        yield kinds[k % len(kinds)](content, random)


def pipe(file, outside):
    os.mkfifo(file)


def endless(file, outside):
    file.symlink_to("/dev/zero")


def circular(file, outside):
    file.symlink_to(file.name)


def listening(file, outside):
    with socket.socket(socket.AF_UNIX) as open_socket:
        here = os.open(file.parent, os.O_RDONLY)
        open_socket.bind(f"/proc/self/fd/{here}/{file.name}")  # a path of a socket has at most 107 bytes
        os.close(here)


def leading_out(file, outside):
    file.symlink_to(outside)


PLACES = {
    "a named pipe": pipe,
    "a device": endless,
    "a circular link": circular,
    "a directory": lambda file, outside: file.mkdir(),
    "a socket": listening,
}
"""Functions that put something else in the place of a file."""


def outcome(kind, folder):
    """Read a directory: return the message of the documented error, "" without an error; other errors are failures."""
    try:
        kind.read(folder)
    except kind.error as error:
        message = str(error)
        assert message and "\n" not in message, repr(message)
        assert len(message) < 7000, f"{len(message)} characters: {message[:300]}"
        return message
    return ""


def attack(name, kind, folder, tmp_path, number, seed):
    """Change the contents of each file of a kind, one at a time; return the message of each attack."""
    random = np.random.default_rng([seed, *name.encode()])
    messages, copy = [], tmp_path / "copy"
    for file in kind.files:
        content = (folder / file).read_bytes()
        for changed in (*changes(file, content, number, random), *WHOLE.values()):
            shutil.copytree(folder, copy)
            (copy / file).write_bytes(changed)
            kind.repair(copy)
            messages.append(outcome(kind, copy))
            shutil.rmtree(copy)
    return messages


CHANGES = 12
"""Changed contents of each file, in addition to those of WHOLE."""
FILES = [(name, file) for name, kind in KINDS.items() for file in kind.files]


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """The directory of valid files of each kind."""
    folders = {name: tmp_path_factory.mktemp("valid") for name in KINDS}
    for name, kind in KINDS.items():
        kind.write(folders[name])
    return folders


def test_the_number_of_attacks():
    """The attacks of this module, which use seed 1: changed contents, and other things in the place of a file."""
    contents, places = len(FILES) * (CHANGES + len(WHOLE)), len(FILES) * (len(PLACES) + 1)
    assert (len(KINDS), len(FILES), contents, places) == (47, 66, 1584, 396)


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore")  # of overflows and infinities in changed numbers
@pytest.mark.parametrize("name", KINDS)
def test_only_the_documented_error_leaves_a_reader(name, valid, tmp_path):
    kind = KINDS[name]
    assert outcome(kind, valid[name]) == ""
    messages = attack(name, kind, valid[name], tmp_path, CHANGES, seed=1)
    assert len(messages) == len(kind.files) * (CHANGES + len(WHOLE))
    assert sum(map(bool, messages)) > len(messages) / 2  # others, such as a changed digit, give valid files


@pytest.mark.ci
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes, devices and sockets in directories")
@pytest.mark.timeout(60)  # reading a named pipe would block
@pytest.mark.parametrize(("name", "file"), FILES)
def test_only_regular_files_within_their_directory_are_read(name, file, valid, tmp_path):
    kind, outside = KINDS[name], tmp_path / f"outside{Path(file).suffix}"
    shutil.copy(valid[name] / file, outside)
    for place, put in PLACES.items():
        copy = Path(shutil.copytree(valid[name], tmp_path / "copy"))
        (copy / file).unlink()
        put(copy / file, outside)
        assert outcome(kind, copy), f"{place} was read"
        shutil.rmtree(copy)
    copy = Path(shutil.copytree(valid[name], tmp_path / "copy"))
    (copy / file).unlink()
    (copy / file).symlink_to(outside)
    message = outcome(kind, copy)
    if file == kind.named:
        assert message == ""
    else:
        assert re.search("outside of|symbolic link", message), message


# ── small files that declare large contents ──────────────────────────────────────────────────────


def long_name(folder):
    skills = {f"skill {k}": {"a": 1} for k in range(20_000)} | {"x" * 600_000: {"a": 1}}
    fit = json.loads((folder / "fit.json").read_text())
    row = next(iter(fit["skills"].values()))
    (folder / "fit.json").write_text(json.dumps({**fit, "skills": dict.fromkeys(skills, row)}))


def sparse(file):
    with file.open("wb") as stream:
        stream.truncate(10**11)


def with_text_for_number(folder):
    """A number of students that is text of 1 MB, which a product with the number of skills would repeat."""
    skills = {f"skill {k}": {} for k in range(20_000)}
    about = {"format": "alsim-bkt-tracker", "version": 1, "num_students": "x" * 10**6, "skills": skills}
    np.savez(folder / "t.npz", about=np.frombuffer(json.dumps(about).encode(), np.uint8), odds=np.zeros(4, f32))


def huge_shard(folder, rows=250_000, groups=10):
    """A shard of transitions of 2.5 million equal rows."""
    manifest = json.loads((folder / "d" / "manifest.json").read_text())
    shard = manifest["tables"]["transitions"]["shards"][0]
    file = folder / "d" / shard["path"]
    table = pyarrow.parquet.read_table(file)
    first = table.slice(0, 1).drop_columns(["obs"])
    many = pa.table(
        {
            name: pa.array(np.repeat(column.to_numpy(zero_copy_only=False), rows), column.type)
            if column.null_count == 0
            else pa.nulls(rows, column.type)
            for name, column in zip(first.column_names, first.columns, strict=True)
        }
    )
    with pyarrow.parquet.ParquetWriter(file, many.schema, compression="zstd") as writer:
        for _ in range(groups):
            writer.write_table(many)
    shard["rows"] = manifest["tables"]["transitions"]["rows"] = rows * groups
    manifest["observations"] = "none"
    (folder / "d" / "manifest.json").write_text(json.dumps(manifest))
    repair_dataset(folder)


def doubled_rows(folder):
    """An Arrow shard whose columns declare twice as many rows as their buffers have."""
    file = folder / "d" / "transitions" / "part-00000.arrow"
    rows = pyarrow.feather.read_table(file).num_rows
    content = file.read_bytes()
    assert content.count(rows.to_bytes(8, "little")) > 10
    file.write_bytes(content.replace(rows.to_bytes(8, "little"), (2 * rows).to_bytes(8, "little")))
    manifest = json.loads((folder / "d" / "manifest.json").read_text())
    shard = manifest["tables"]["transitions"]["shards"][0]
    shard["rows"] = manifest["tables"]["transitions"]["rows"] = 2 * rows
    (folder / "d" / "manifest.json").write_text(json.dumps(manifest))
    repair_dataset(folder)


def repeated_text():
    """10,000 rows of one text of 1 MB each, which is stored once."""
    rows = np.zeros(10_000, np.int32)
    return pa.table(
        {"student": pa.DictionaryArray.from_arrays(pa.array(rows), ["x" * 10**6]), "skill": rows, "correct": rows % 2}
    )


def equal_rows(number):
    """Return a log of equal rows."""
    texts = [pa.DictionaryArray.from_arrays(pa.array(np.zeros(number, np.int32)), [text]) for text in "abc"]
    return pa.table({"student": texts[0], "skill": texts[1], "correct": np.ones(number, np.int8)})


BOMBS = {
    "a long name": ("fit of skill-mean", long_name, "a name has 600,000 characters"),
    "a sparse fit": ("fit of bkt", lambda folder: sparse(folder / "fit.json"), "more than 268,435,456 bytes"),
    "a sparse manifest": ("dataset", lambda folder: sparse(folder / "d" / "manifest.json"), "more than 268,435,456"),
    "a sparse configuration": ("configuration", lambda folder: sparse(folder / "c.toml"), "more than 1,048,576 bytes"),
    "a sparse table": ("items", lambda folder: sparse(folder / "q.csv"), "more than 268,435,456 bytes"),
    "a compressed tracker": (
        "tracker",
        lambda folder: np.savez_compressed(folder / "t.npz", about=np.zeros(3 * 10**8, np.uint8), odds=np.zeros(4)),
        "unpacks to 300,000,",
    ),
    "a tracker with a text for a number": ("tracker", with_text_for_number, "is not a count"),
    "a shard of equal rows": ("dataset", huge_shard, "declares contents of"),
    "a shard with doubled rows": ("dataset without observations", doubled_rows, "Buffer #1 too small"),
    "a compressed log": (
        "log as Arrow",
        lambda folder: pyarrow.feather.write_feather(
            pa.table({"student": np.zeros(4 * 10**7)}), str(folder / "log.arrow"), compression="zstd"
        ),
        "declares contents of",
    ),
    "a compressed log of equal lines": (
        "log as text",
        lambda folder: (folder / "log.csv").write_bytes(gzip.compress(b"student,skill,correct\n" + b"a,b,1\n" * 10**7)),
        "lines when decompressed; decompress it, or split it into several files",
    ),
    "a log of equal rows": (
        "log as Parquet",
        lambda folder: pyarrow.parquet.write_table(equal_rows(11 * 10**6), folder / "log.parquet"),
        "declares contents of 1,408,000,000 bytes",
    ),
    "a repeated text": (
        "log as Parquet",
        lambda folder: pyarrow.parquet.write_table(repeated_text(), folder / "log.parquet"),
        "declares contents of 10,000,000,000 bytes",
    ),
    "a repeated text in Arrow": (
        "log as Arrow",
        lambda folder: pyarrow.feather.write_feather(repeated_text(), str(folder / "log.arrow")),
        "declares contents of 10,000,000,000 bytes",
    ),
    "a repeated text in a bank": (
        "bank as Parquet",
        lambda folder: pyarrow.parquet.write_table(repeated_text(), folder / "questions.parquet"),
        "declares contents of 10,000,000,000 bytes",
    ),
}
"""Attacks by name: the kind of file, the function that plants it, and a part of the message."""

READER = """
import re, sys
sys.path[:0] = {path}
from pathlib import Path
from test_untrusted_files import BOMBS, KINDS, outcome

def memory(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

for name, folder in {folders}:
    kind = KINDS[BOMBS[name][0]]
    kind.read(Path(folder + "-valid"))  # modules that are loaded on first use do not count
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = memory("VmRSS")
    message = outcome(kind, Path(folder))
    print(memory("VmHWM") - before, message, flush=True)
"""


@pytest.mark.ci
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not reset the peak of memory")
def test_the_memory_of_readers_is_bounded(valid, tmp_path):
    """Another process reads the files, so that memory which Arrow or the tests used before does not count."""
    folders = []
    for k, (name, (kind, plant, _)) in enumerate(BOMBS.items()):
        shutil.copytree(valid[kind], tmp_path / f"{k}-valid")
        plant(Path(shutil.copytree(valid[kind], tmp_path / f"{k}")))
        folders.append((name, str(tmp_path / f"{k}")))
    code = READER.format(path=sys.path, folders=folders)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()
    assert len(lines) == len(BOMBS), done.stderr[-2000:]
    for (name, (_, _, expected)), line in zip(BOMBS.items(), lines, strict=True):
        grown, message = line.split(" ", 1)
        assert expected in message, f"{name}: {message}"
        assert int(grown) < 128 * MIB, f"{name}: {int(grown):,} bytes"


def test_held_out_patterns_are_not_expanded_without_limit(tmp_path):
    """A row of a wide file stands for `freq` students, each of whom is scored."""
    from alsim.cli.fit_report import score_predictions

    (tmp_path / "wide.csv").write_text("i0,i1,freq\n0,1,3000000000\n1,0,1\n")
    wide = read_responses(tmp_path / "wide.csv", columns={"freq": "freq"})
    with pytest.raises(AlsimError, match="freq stands for 6,000,000,002 responses; expected at most 20,000,000"):
        score_predictions(fit_means(responses()), wide, tmp_path / "wide.csv")


# ── the command line ─────────────────────────────────────────────────────────────────────────────

COMMANDS = {
    "a configuration that is a device": ("generate --config /dev/zero -o x", "it is a device, not a regular file"),
    "a log that is a named pipe": ("fit skill-mean pipe", "it is a named pipe, not a regular file: save the data to"),
    "items that are a named pipe": ("cat --items pipe --simulate 1", "it is a named pipe, not a regular file"),
    "deep JSON": ("bank --questions deep.json -o x", "it has more than 100 values within each other"),
    "deep TOML": ("generate --config deep.toml -o x", "it has more than 100 values within each other"),
    "a log of null bytes": ("fit skill-mean zeros.csv", "has zero bytes"),
    "a log whose name is not UTF-8": ("fit skill-mean \udcff.csv", r"\udcff.csv: there is no such file"),
    "a dataset whose name is not UTF-8": ("info \udcff", r"\udcff holds no finished dataset: it does not exist"),
}
"""Commands with files that are refused, and a part of the message."""


@pytest.mark.ci
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in directories, and names in UTF-16")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_end_with_one_sentence_and_status_2(name, tmp_path, monkeypatch, capsys):
    command, message = COMMANDS[name]
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("deep.json").write_bytes(WHOLE["deep JSON"])
    Path("deep.toml").write_bytes(WHOLE["deep TOML"])
    Path("zeros.csv").write_bytes(bytes(100))
    monkeypatch.setattr(sys, "argv", ["alsim", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert message in printed.err and printed.err.startswith("alsim: ") and printed.err.count("\n") == 1


@pytest.mark.ci
@pytest.mark.skipif(sys.platform == "win32", reason="names of files are UTF-16 on Windows")
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_that_are_not_utf8_are_read_and_printed(tmp_path, encoding):
    write_csv(tmp_path)
    name = os.fsdecode(b"log-\xff.csv")
    try:
        (tmp_path / "log.csv").rename(tmp_path / name)
    except OSError:
        pytest.skip("the file system has names in UTF-8 only")
    command = [sys.executable, "-m", "alsim", "fit", "skill-mean", name, "--test", name, "-o", "fit.json"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, timeout=120)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    assert load_fit(tmp_path / "fit.json").num_responses == 72
