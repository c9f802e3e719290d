"""Datasets on disk: read by their manifest, written shard by shard."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from alsim.bank.files import load_bank
from alsim.bank.items import Bank
from alsim.datasets.schema import OBSERVATION, SCHEMA_VERSION, TABLES, Column, columns_of
from alsim.datasets.tables import next_observations, numpy_column
from alsim.errors import AlsimError
from alsim.mdp.actions import MOST_LOS, num_actions
from alsim.types import OBSERVATIONS as KINDS
from alsim.types import Floats, Longs

MANIFEST = "manifest.json"
BANK = "bank"
BANK_FILES = ("questions.csv", "contents.csv")
PLAN = "plan.json"
FORMATS = ("parquet", "arrow")
OBSERVATIONS = ("full", "none")
UNFINISHED = ".unfinished"
"""Ends the name of what is not whole yet."""
ROW_GROUP = 131_072
ARRAYS = (
    "obs",
    "action",
    "reward",
    "next_obs",
    "terminated",
    "truncated",
    "learner_id",
    "episode",
    "step",
    "propensity",
)


class DatasetError(AlsimError):
    """A dataset that cannot be read or written: the message names the file or directory."""


class Dataset:
    """Transitions, events and episodes, as Arrow tables and as NumPy arrays.

    Tables are read when first asked for. Observations that were not stored are made again from the actions.
    `obs`, `action`, `reward`, `next_obs`, `terminated`, `truncated`, `learner_id`, `episode`, `step` and
    `propensity` are NumPy arrays over the M transitions.
    """

    def __init__(
        self, manifest: Mapping[str, Any], tables: Mapping[str, pa.Table] | Path, bank: Bank | None = None
    ) -> None:
        self.manifest = dict(manifest)
        self._source = tables
        self._bank = bank

    @property
    def path(self) -> Path | None:
        """Where the dataset lies; None if it is in memory only."""
        return self._source if isinstance(self._source, Path) else None

    @cached_property
    def bank(self) -> Bank:
        """The questions and contents that were used."""
        if isinstance(self._source, Path):
            bank, said = load_bank(self._source / BANK), self.manifest["bank"]["num_los"]
            if bank.num_los != said:
                raise DatasetError(
                    f"{self._source / BANK} has {bank.num_los} learning outcomes; the manifest says {said}"
                )
            return bank
        assert self._bank is not None
        return self._bank

    @cached_property
    def transitions(self) -> pa.Table:
        """One row an interaction."""
        return self._table("transitions")

    @cached_property
    def events(self) -> pa.Table:
        """One row an event."""
        return self._table("events")

    @cached_property
    def episodes(self) -> pa.Table:
        """One row an episode."""
        return self._table("episodes")

    def _table(self, name: str) -> pa.Table:
        if not isinstance(self._source, Path):
            return self._source[name]
        shards = self.manifest["tables"][name]["shards"]
        stored = self.manifest["observations"] == "full"
        parts = [read_shard(self._source, shard, name, stored) for shard in shards]
        if any(part.schema.types != parts[0].schema.types for part in parts):
            raise DatasetError(f"{self._source}: the shards of {name} have observations of different lengths")
        return pa.concat_tables(parts)

    def parts(self) -> Iterator[Dataset]:
        """Datasets of one shard each, in order, so that a dataset larger than memory can be gone through.

        A dataset in memory is its own only part.
        """
        if not isinstance(self._source, Path):
            yield self
            return
        tables = self.manifest["tables"]
        for shards in zip(*(tables[name]["shards"] for name in TABLES), strict=True):
            held = {
                name: {"rows": shard["rows"], "shards": [shard]} for name, shard in zip(TABLES, shards, strict=True)
            }
            yield Dataset({**self.manifest, "tables": held}, self._source)

    @property
    def final_obs(self) -> Floats:
        """Observation after each episode's last interaction, (E, R) float32."""
        return self._observed[1]

    @cached_property
    def _observed(self) -> tuple[Floats, Floats]:
        """Observations before each interaction and after each episode's last: those stored, or made again."""
        if self.manifest["observations"] == "full":
            return numpy_column(self.transitions, "obs"), numpy_column(self.episodes, "final_obs")
        from alsim.datasets.replayed import replayed

        try:
            return replayed(self.manifest, self.bank, self.transitions, self.episodes)
        except AlsimError as error:
            raise DatasetError(f"the observations of {self!r} cannot be made again: {error}") from None

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The NumPy arrays by name, (M,) or (M, R) each."""
        obs, final_obs = self._observed
        length = numpy_column(self.episodes, "total_steps")
        if length.min(initial=1) < 1 or length.max(initial=1) > len(obs) or length.sum() != len(obs):
            raise DatasetError(
                f"{self.path or 'the dataset'}: its episodes are of {length.sum()} interactions, each of at least 1; "
                f"there are {len(obs)} transitions"
            )
        arrays = {name: numpy_column(self.transitions, name) for name in ARRAYS if name not in ("obs", "next_obs")}
        self._check_places(arrays["action"], arrays["step"], length)
        arrays["obs"] = obs
        arrays["next_obs"] = next_observations(obs, final_obs, length)
        return {name: arrays[name] for name in ARRAYS}

    def _check_places(self, action: Longs, step: Longs, length: Longs) -> None:
        """Refuse numbers that would be places outside of arrays."""
        where, actions = self.path or "the dataset", num_actions(self.manifest["bank"]["num_los"])
        if action.min(initial=0) < 0 or action.max(initial=0) >= actions:
            raise DatasetError(f"{where}: its actions are in {action.min()} … {action.max()}; there are {actions}")
        if (step != np.arange(len(step)) - np.repeat(np.cumsum(length) - length, length) + 1).any():
            raise DatasetError(f"{where}: its steps do not count the interactions of each episode from 1")

    def __getattr__(self, name: str) -> NDArray[Any]:
        """One of the NumPy arrays."""
        if name in ARRAYS:
            return self.arrays[name]
        raise AttributeError(
            f"a dataset has the tables {', '.join(TABLES)} and the arrays {', '.join(ARRAYS)}; not {name}"
        )

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One of the NumPy arrays."""
        return self.arrays[name]

    def __len__(self) -> int:
        """Number of transitions M."""
        return int(self.manifest["tables"]["transitions"]["rows"])

    def __repr__(self) -> str:
        """Say what the dataset holds."""
        where = f" in {self.path}" if self.path else ""
        return f"<Dataset of {len(self)} transitions by {self.manifest['policy']['name']!r}{where}>"


def load_dataset(path: str | Path, *, verify: bool = False) -> Dataset:
    """Open a dataset that `generate_dataset` wrote.

    verify  compare every file with the manifest's SHA-256, not only its size and rows

    Raises DatasetError, which names the file, for a directory that holds no finished dataset, one of another
    schema version, and a shard that is missing or changed.
    """
    directory = Path(path)
    manifest = read_manifest(directory)
    check_files(directory, manifest, verify=verify)
    return Dataset(manifest, directory)


def check_files(directory: Path, manifest: Mapping[str, Any], *, verify: bool) -> None:
    """Raise DatasetError unless the files that a manifest names are there, of their size; `verify` their SHA-256."""
    for entry in [*manifest["bank"]["files"], *(s for name in TABLES for s in manifest["tables"][name]["shards"])]:
        _check_file(directory, entry, verify)


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the manifest of a dataset. Raises DatasetError."""
    file = directory / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        json.dumps(manifest, allow_nan=False)  # exports write it again, and not every reader knows NaN
    except FileNotFoundError:
        began = "; whoever began it can go on with it" if (directory / PLAN).exists() else ""
        raise DatasetError(f"{directory} holds no finished dataset: there is no {MANIFEST}{began}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{file} cannot be read: {error}") from None
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise DatasetError(f"{file} has schema version {version!r}; this version of alsim reads {SCHEMA_VERSION}")
    try:
        _check_manifest(manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{file} is not a manifest of alsim: {error!r}") from None
    return dict(manifest)


def _check_manifest(manifest: Mapping[str, Any]) -> None:
    """Raise KeyError, TypeError or ValueError unless a manifest has what its readers ask for."""
    said = [manifest[key] for key in ("alsim_version", "environment", "observation", "format")]
    if not all(isinstance(word, str) for word in [*said, manifest["policy"]["name"]]):
        raise TypeError("a version, environment, observation, format or policy is no word")
    if not isinstance(manifest["config"], dict):
        raise TypeError("the configuration is no table")
    if type(manifest["seed"]) is not int or not 0 <= manifest["seed"] < 2**64:
        raise ValueError("the seed is not an integer in [0, 2**64)")
    if manifest["observations"] not in OBSERVATIONS:
        raise ValueError(f"observations is {manifest['observations']!r}")
    if manifest["observation"] not in KINDS:
        raise ValueError(f"observation is {manifest['observation']!r}")
    if not 1 <= manifest["bank"]["num_los"] <= MOST_LOS:
        raise ValueError(f"the bank has {manifest['bank']['num_los']} learning outcomes")
    counts = [manifest["num_learners"], manifest["episodes_per_learner"], manifest["bank"]["num_los"]]
    files = manifest["bank"]["files"]
    if [file["path"] for file in files] != [f"{BANK}/{name}" for name in BANK_FILES]:
        raise ValueError("the bank's files are others than " + " and ".join(BANK_FILES))
    counts += [file["bytes"] for file in files]
    for name in TABLES:
        table = manifest["tables"][name]
        if not table["shards"] or sum(shard["rows"] for shard in table["shards"]) != table["rows"]:
            raise ValueError(f"the shards of {name} do not have {table['rows']} rows")
        if name != "events" and not all(shard["rows"] for shard in table["shards"]):
            raise ValueError(f"a shard of {name} has no rows")
        counts += [count for shard in table["shards"] for count in (shard["rows"], shard["bytes"])]
        words = [shard[key] for shard in table["shards"] for key in ("path", "sha256")]
        if not all(isinstance(word, str) for word in words):
            raise TypeError(f"the shards of {name} have paths and checksums that are no words")
        if len({shard["path"] for shard in table["shards"]}) < len(table["shards"]):
            raise ValueError(f"the shards of {name} name a file twice")
    if len({len(manifest["tables"][name]["shards"]) for name in TABLES}) > 1:
        raise ValueError("the tables have different numbers of shards")
    if not all(type(count) is int and count >= 0 for count in counts):
        raise TypeError("a count is not an integer of at least 0")


def _shard_file(directory: Path, shard: Mapping[str, Any]) -> Path:
    """Return a shard's file, which lies inside the dataset, on any system and through any link."""
    name: str = shard["path"]
    parts = PurePosixPath(name), PureWindowsPath(name)
    outside = any(path.anchor or ".." in path.parts for path in parts) or "\\" in name or not name.isprintable()
    try:
        if not outside and (directory / name).resolve().is_relative_to(directory.resolve()):
            return directory / name
    except (OSError, RuntimeError) as error:  # links in a circle
        raise DatasetError(f"{directory / MANIFEST} names {name!r}, which cannot be read: {error}") from None
    raise DatasetError(f"{directory / MANIFEST} names {name!r}, which is not inside the dataset")


def _check_file(directory: Path, shard: Mapping[str, Any], verify: bool) -> None:
    file = _shard_file(directory, shard)
    try:
        there = file.is_file()
    except OSError as error:  # a name that is too long
        raise DatasetError(f"{directory / MANIFEST} names {shard['path']!r}, which cannot be read: {error}") from None
    if not there:
        raise DatasetError(f"{file} is missing; the manifest names it")
    if file.stat().st_size != shard["bytes"]:
        raise DatasetError(f"{file} has {file.stat().st_size} bytes; the manifest says {shard['bytes']}")
    if verify and sha256(file) != shard["sha256"]:
        raise DatasetError(f"{file} is not what was written: its SHA-256 differs from the manifest's")


def read_shard(directory: Path, shard: Mapping[str, Any], table: str, observations: bool = True) -> pa.Table:
    """Return a shard, with its observations or without, as a table. Raises DatasetError, which names the file."""
    import pyarrow.feather
    import pyarrow.parquet

    file = _shard_file(directory, shard)
    read = pyarrow.parquet.read_table if file.suffix == ".parquet" else pyarrow.feather.read_table
    try:
        content = read(file)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{file} cannot be read: {error}") from None
    if content.num_rows != shard["rows"]:
        raise DatasetError(f"{file} has {content.num_rows} rows; the manifest says {shard['rows']}")
    if content.column_names != [column.name for column in columns_of(table, observations)]:
        raise DatasetError(f"{file} has columns {', '.join(content.column_names)}; not those of {table}")
    for column in columns_of(table, observations):
        _check_column(file, column, content.column(column.name))
    return content


def _check_column(file: Path, column: Column, held: pa.ChunkedArray) -> None:
    """Refuse a column of another type, extension types among them, and nulls where there are none."""
    kind = held.type
    if column.type is OBSERVATION:
        fits = pa.types.is_fixed_size_list(kind) and kind.value_type == pa.float32()
    else:
        fits = kind == column.type
    if not fits:
        raise DatasetError(f"{file} has {column.name} of type {kind}; expected {column.type}")
    if held.null_count and not column.nullable:
        raise DatasetError(f"{file} has nulls in {column.name}, which has none")


def write_shard(directory: Path, table: str, number: int, content: pa.Table, file_format: str) -> dict[str, Any]:
    """Write one shard into the folder of its table, and return its entry in the manifest. Raises DatasetError."""
    relative = shard_path(table, number, file_format)
    with whole_file(directory / relative) as stream:
        sink = _Hashed(stream)
        _write_table(content, pa.PythonFile(sink, "w"), file_format)
    return {"path": relative, "bytes": sink.bytes, "sha256": sink.sum.hexdigest(), "rows": content.num_rows}


def shard_path(table: str, number: int, file_format: str) -> str:
    """Return where a shard lies in its dataset."""
    return f"{table}/part-{number:05d}.{file_format}"


@contextmanager
def whole_file(file: Path) -> Iterator[IO[bytes]]:
    """Give a file to write, which gets its name when it is whole. Raises DatasetError.

    Whole for whoever looks, whatever ends this process. It is not waited for until the disk has it: if the
    power fails, checksums tell what was lost. Decision 13.
    """
    written = file.with_name(f".{file.name}-{secrets.token_hex(8)}{UNFINISHED}")
    try:
        try:
            with written.open("xb", buffering=0) as stream:
                yield stream
            written.replace(file)
        except OSError as error:
            raise DatasetError(f"{file} cannot be written: {error.strerror or error}") from error
    except BaseException:
        written.unlink(missing_ok=True)
        raise


def _write_table(content: pa.Table, sink: pa.PythonFile, file_format: str) -> None:
    import pyarrow.feather
    import pyarrow.parquet

    if file_format == "parquet":
        # Dictionaries pay for integers (a few values, in runs) and cost for floats.
        integers = [f.name for f in content.schema if pa.types.is_integer(f.type) or pa.types.is_dictionary(f.type)]
        options = {"compression": "zstd", "compression_level": 1, "row_group_size": ROW_GROUP}
        pyarrow.parquet.write_table(content, sink, use_dictionary=integers, **options)
    else:
        pyarrow.feather.write_feather(content, sink, compression="uncompressed")


class _Hashed:
    """A file that is written from beginning to end, and summed up on the way: to read it again costs a tenth."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.sum = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        view = memoryview(data).cast("B")
        self.sum.update(view)
        rest = view
        while len(rest):
            rest = rest[self._stream.write(rest) :]
        self.bytes += len(view)
        return len(view)

    def tell(self) -> int:
        """Bytes written."""
        return self.bytes

    def flush(self) -> None:
        """Nothing: nothing is kept back."""

    def close(self) -> None:
        """Nothing: whoever opened the file closes it."""
        self.closed = True


def entry_of(directory: Path, relative: str) -> dict[str, Any]:
    """Return what the manifest says of a file."""
    file = directory / relative
    return {"path": relative, "bytes": file.stat().st_size, "sha256": sha256(file)}


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(file: Path, value: Any) -> None:
    """Write JSON that is the same bytes for the same value, whole or not at all. Raises DatasetError."""
    with whole_file(file) as stream:
        _Hashed(stream).write((json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode())


def summary(dataset: Dataset) -> dict[str, Any]:
    """Return what a dataset holds, in numbers: counts, and mean, standard error and n of the episodes' metrics.

    The independent unit is the (learner, episode) (clause S1.6); what is undefined is left out, and n says how
    many are in (S9.6).
    """
    episodes = dataset.episodes
    metrics = {}
    for name in episodes.column_names[2 : episodes.column_names.index("terminated")]:
        values = episodes.column(name).drop_null().to_numpy().astype(np.float64)
        n = len(values)
        metrics[name] = {
            "mean": float(values.mean()) if n else None,
            "se": float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else None,
            "n": n,
            "undefined": episodes.num_rows - n,
        }
    reason = numpy_column(episodes, "termination_reason")
    return {
        "transitions": len(dataset),
        "events": int(dataset.manifest["tables"]["events"]["rows"]),
        "episodes": episodes.num_rows,
        "termination": {
            "mastery_achieved": int((reason == 1).sum()),
            "step_limit": int((reason == 2).sum()),
            "critical_frustration": int((reason == 3).sum()),
        },
        "metrics": metrics,
    }
