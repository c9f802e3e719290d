"""Datasets on disk: tables and arrays that are read on first use, and shards that are written atomically."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from alsim.bank.files import read_bank
from alsim.bank.items import Bank, BankError
from alsim.datasets.frames import frame_parts
from alsim.datasets.manifest import BANK, manifest_version, read_manifest
from alsim.datasets.manifest import DatasetError as DatasetError
from alsim.datasets.schema import TABLES, columns_of
from alsim.datasets.shard_files import RESTORE, read_shard, shard_file, shard_parts
from alsim.datasets.tables import filled_arrays, next_observations, numpy_column
from alsim.errors import AlsimError
from alsim.mdp.actions import num_actions
from alsim.rollouts.frames import to_pandas, to_polars
from alsim.types import Doubles, Floats, Longs, describe, safe_repr
from alsim.utils.files import atomic_file, sha256_of_file, to_json
from alsim.utils.reading import reason

if TYPE_CHECKING:
    import pandas
    import polars

    from alsim.policies import Policy, View

FORMATS = ("parquet", "arrow")
ROW_GROUP = 131_072
"""Number of rows per row group of Parquet files."""
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


class Dataset:
    """Transitions, events and episodes, as Arrow tables and as NumPy arrays.

    Tables are read on first use. Observations that were not stored are recomputed from the actions.
    `obs` and `next_obs`, (M, R), and `action`, `reward`, `terminated`, `truncated`, `learner_id`, `episode`, `step`
    and `propensity`, (M,) each, are NumPy arrays over the M transitions.

    manifest  content of manifest.json
    tables    tables by name, or the directory that contains them
    bank      bank of a dataset in memory; None: read from the directory
    version   `manifest_version` of the directory before its manifest was read; None: the present one
    """

    def __init__(
        self,
        manifest: Mapping[str, Any],
        tables: Mapping[str, pa.Table] | Path,
        bank: Bank | None = None,
        version: tuple[int, int] | None = None,
    ) -> None:
        self.manifest = dict(manifest)
        self._source = tables
        self._bank = bank
        self._version = manifest_version(tables) if version is None and isinstance(tables, Path) else version

    @property
    def path(self) -> Path | None:
        """Directory of the dataset; None if it is in memory only."""
        return self._source if isinstance(self._source, Path) else None

    @cached_property
    def bank(self) -> Bank:
        """Questions and contents of the environment."""
        if isinstance(self._source, Path):
            with self.unchanged():
                try:
                    bank = read_bank(self._source / BANK, inside=self._source)
                except BankError as error:
                    raise DatasetError(f"{error}; {RESTORE}") from None
            num_los = self.manifest["bank"]["num_los"]
            if bank.num_los != num_los:
                raise DatasetError(
                    f"{self._source / BANK} has {bank.num_los} learning outcomes; the manifest says {num_los}; "
                    "generate the dataset again"
                )
            return bank
        assert self._bank is not None
        return self._bank

    @cached_property
    def transitions(self) -> pa.Table:
        """Table with one row per interaction."""
        return self._table("transitions")

    @cached_property
    def events(self) -> pa.Table:
        """Table with one row per event."""
        return self._table("events")

    @cached_property
    def episodes(self) -> pa.Table:
        """Table with one row per episode."""
        return self._table("episodes")

    def _table(self, name: str) -> pa.Table:
        if not isinstance(self._source, Path):
            return self._source[name]
        shards = self.manifest["tables"][name]["shards"]
        with self.unchanged():
            parts = [read_shard(self._source, shard, name, *self._optional_columns) for shard in shards]
        for part in parts:
            self._check_types(name, parts[0].schema.types, part)
        content = pa.concat_tables(parts)
        if "item" in content.column_names:
            self._check_items(name, content)
        return content

    def _table_parts(self, name: str) -> Iterator[pa.Table]:
        """Yield the rows of a table in small parts, which are read and released in turn. Raises DatasetError."""
        assert isinstance(self._source, Path)
        types = None
        for shard in self.manifest["tables"][name]["shards"]:
            for part in shard_parts(self._source, shard, name, *self._optional_columns):
                types = types or part.schema.types
                self._check_types(name, types, part)
                if "item" in part.column_names:
                    self._check_items(name, part)
                yield part
                del part  # or it would be in memory together with the next one

    def _check_types(self, name: str, types: list[pa.DataType], part: pa.Table) -> None:
        """Raise DatasetError for a part of a table whose types differ from those of the first part."""
        if part.schema.types != types:
            raise DatasetError(
                f"{self._source}: the shards of {name} must have observations of one length; they differ: "
                "generate the dataset again"
            )

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Raise DatasetError, also in place of other errors, if the directory has been replaced when the block ends."""
        try:
            yield
        finally:
            if isinstance(self._source, Path) and manifest_version(self._source) != self._version:
                raise DatasetError(f"{self._source} was replaced by another dataset; load it again")

    def _check_items(self, name: str, content: pa.Table) -> None:
        """Raise DatasetError for items that are invalid as indices of the bank's items."""
        q, c = self.bank.num_questions, self.bank.num_contents
        answered = content.column("item").filter(pc.is_valid(content.column("correct")))
        for items, number, kind in ((content.column("item"), q + c, "items"), (answered, q, "questions")):
            least, largest = pc.min_max(items).as_py().values()
            if least is not None and (least < 0 or largest >= number):
                raise DatasetError(
                    f"{self._source}: the {kind} of its {name} are in [{least}, {largest}]; expected "
                    f"[0, {number - 1}]; generate the dataset again"
                )

    def parts(self) -> Iterator[Dataset]:
        """Yield one dataset per shard, in order, for processing a dataset that is larger than the memory.

        A dataset in memory, or with one shard, yields only itself.
        """
        tables = self.manifest["tables"]
        if not isinstance(self._source, Path) or len(tables["episodes"]["shards"]) == 1:
            yield self
            return
        for shards in zip(*(tables[name]["shards"] for name in TABLES), strict=True):
            part = {
                name: {"rows": shard["rows"], "shards": [shard]} for name, shard in zip(TABLES, shards, strict=True)
            }
            dataset = Dataset({**self.manifest, "tables": part}, self._source, version=self._version)
            vars(dataset)["bank"] = self.bank  # read once for all parts
            yield dataset

    @property
    def final_obs(self) -> Floats:
        """Observation after each episode's last interaction, (E, R) float32."""
        return self._final_obs if self._has_observations else self._recomputed_observations[1]

    @property
    def _has_observations(self) -> bool:
        """True if the tables have observations."""
        return bool(self.manifest["observations"] == "full")

    @property
    def _optional_columns(self) -> tuple[bool, bool]:
        """True for each of the optional parts that the tables have: observations, and the truth."""
        return self._has_observations, bool(self.manifest.get("truth", False))

    @cached_property
    def _final_obs(self) -> Floats:
        """Stored observations after the last interaction of each episode."""
        return numpy_column(self.episodes, "final_obs")

    @cached_property
    def _recomputed_observations(self) -> tuple[Floats, Floats]:
        """Observations before each interaction and after the last one of each episode."""
        from alsim.datasets.replayed import recompute_observations

        logged = self._columns
        try:
            return recompute_observations(self.manifest, self.bank, self.episodes, logged["action"], logged["reward"])
        except (AlsimError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise DatasetError(f"the observations of {self!r} cannot be recomputed: {reason(error)}") from None

    @cached_property
    def _columns(self) -> dict[str, NDArray[Any]]:
        """The stored columns of `arrays`, from the table if it is in memory, otherwise from the files."""
        names = [column.name for column in columns_of("transitions", self._has_observations) if column.name in ARRAYS]
        if not isinstance(self._source, Path) or "transitions" in vars(self):
            return {name: numpy_column(self.transitions, name) for name in names}
        with self.unchanged():
            return filled_arrays(self._table_parts("transitions"), len(self), names)

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """NumPy arrays over the M transitions by name: obs and next_obs (M, R), the others (M,).

        On disk, the files are read in small parts, and the arrays are new and writable. The peak memory is little above
        the size of the arrays (benchmarks/memory.py). If the dataset is in memory, or its table `transitions` has been
        read, the arrays are read-only, except for next_obs and booleans. They are views of the table if it is one block
        of memory.
        """
        columns, length = self._columns, numpy_column(self.episodes, "total_steps")
        rows = len(columns["action"])
        if length.min(initial=1) < 1 or length.max(initial=1) > rows or length.sum() != rows:
            raise DatasetError(
                f"{self.path or 'the dataset'}: the total_steps of its episodes are at least {length.min(initial=1)} "
                f"and sum to {length.sum()}; expected at least 1 each and a sum of {rows}, the number of "
                "transitions; generate the dataset again"
            )
        self._check_indices(columns["action"], columns["step"], length)
        obs = columns["obs"] if self._has_observations else self._recomputed_observations[0]
        arrays = {**columns, "obs": obs, "next_obs": next_observations(obs, self.final_obs, length)}
        return {name: arrays[name] for name in ARRAYS}

    def _check_indices(self, action: Longs, step: Longs, length: Longs) -> None:
        """Raise DatasetError for actions or steps that are invalid as indices of other arrays."""
        where, actions = self.path or "the dataset", num_actions(self.manifest["bank"]["num_los"])
        if action.min(initial=0) < 0 or action.max(initial=0) >= actions:
            raise DatasetError(
                f"{where}: its actions are in [{action.min()}, {action.max()}]; expected [0, {actions - 1}]; "
                "generate the dataset again"
            )
        first = np.cumsum(length) - length
        follows = np.ones(len(step), np.bool_)
        follows[1:] = np.diff(step) == 1
        follows[first] = step[first] == 1
        if not follows.all():
            raise DatasetError(
                f"{where}: its steps must number the interactions of each episode from 1, and do not; "
                "generate the dataset again"
            )

    def probabilities(self, policy: str | Path | Policy, *, action_mask: Any = None) -> Doubles:
        """Return the probability of each logged action under a policy, (M,).

        policy       name, directory or object of a policy with a method `probabilities`, which need not be the one that
                     generated the dataset
        action_mask  the function, if the dataset was generated with a function as action mask; other masks are read
                     from the manifest

        Divided by `propensity`, they are importance weights. The policy receives the same views as in a rollout, with
        the history of each episode. The required memory is that of one shard, and 8 bytes per transition. Raises
        TypeError for a policy without `probabilities`, and AlsimError for one that does not fit the dataset.
        """
        from alsim.datasets.views import probabilities
        from alsim.policies import make_policy

        return probabilities(self, make_policy(policy), action_mask)

    def distributions(self, policy: str | Path | Policy, *, action_mask: Any = None) -> Iterator[tuple[Longs, Doubles]]:
        """Return an iterator over batches of transitions, with the probability of every action under a policy.

        Each batch is a pair: indices of transitions, (N,), and probabilities (N, A). Each transition is in one batch,
        and a batch has at most 16 MB of probabilities unless A is above two million. Arguments and errors are those of
        `probabilities`.
        """
        from alsim.datasets.views import distributions
        from alsim.policies import make_policy

        return distributions(self, make_policy(policy), action_mask)

    def views(self, *, action_mask: Any = None) -> Iterator[tuple[Longs, View]]:
        """Return an iterator over batches of transitions, as the policy saw them before it chose the actions.

        Each batch is a pair: indices of transitions, (N,), and their `View`, with the history of their episodes. All
        N transitions have the same `step`, and all lanes are active. Each transition is in one batch. For the argument,
        see `probabilities`.
        """
        from alsim.datasets.views import logged_views

        return logged_views(self, action_mask)

    def to_pandas(self, table: str = "transitions", *, observations: bool = False) -> pandas.DataFrame:
        """Return a table as a DataFrame of pandas: decoded, and joined to the bank.

        table         "transitions", "events" or "episodes"
        observations  whether to add the observations as columns: those before each interaction, or, for episodes, the
                      final ones

        Kinds, outcomes, difficulties, modalities, reasons, events and items are categories. The page on datasets lists
        the columns. Files are read one after another. While the frame is built, the memory has to hold about 2.5 times
        its size. For a dataset that is too large for this, build a frame of each of the `parts()`.

        Raises ValueError for another table, and MissingExtra if pandas is not installed.
        """
        return to_pandas(frame_parts(self, table, observations))

    def to_polars(self, table: str = "transitions", *, observations: bool = False) -> polars.DataFrame:
        """Return the same as `to_pandas` as a DataFrame of Polars, in which words have the type Enum.

        Building it takes little more memory than it has itself (measured: benchmarks/frame_memory.py).

        Raises ValueError for another table, and MissingExtra if Polars is not installed.
        """
        return to_polars(frame_parts(self, table, observations))

    def __getattr__(self, name: str) -> NDArray[Any]:
        """Return one of the NumPy arrays. Raises AttributeError for another name."""
        if name in ARRAYS:
            return self.arrays[name]
        raise AttributeError(
            f"a Dataset has the tables {', '.join(TABLES)} and the arrays {', '.join(ARRAYS)}; got {name!r}"
        )

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return one of the NumPy arrays. Raises KeyError for another name."""
        return self.arrays[name]

    def __len__(self) -> int:
        """Return the number of transitions M."""
        return int(self.manifest["tables"]["transitions"]["rows"])

    @safe_repr
    def __repr__(self) -> str:
        """Return policy, numbers of episodes and transitions, and path."""
        name, episodes = self.manifest["policy"]["name"], self.manifest["tables"]["episodes"]["rows"]
        where = f"in {self.path}" if self.path else "in memory"
        return f"Dataset(policy={describe(name)}, {episodes:,} episodes, {len(self):,} transitions, {where})"


def load_dataset(path: str | Path, *, verify: bool = False) -> Dataset:
    """Open a dataset that `generate_dataset` wrote.

    path    directory of the dataset
    verify  compare every file with the SHA-256 in the manifest, not only its size and rows

    Returns a Dataset, which reads its tables on first use. Raises DatasetError, which names the file, if the directory
    holds no finished dataset, if the dataset has another schema version, or if a file is missing or changed. A table
    that is read after the dataset was replaced by another raises DatasetError too.
    """
    directory = Path(path)
    version = manifest_version(directory)
    dataset = Dataset(read_manifest(directory), directory, version=version)
    with dataset.unchanged():
        check_files(directory, dataset.manifest, verify=verify)
    return dataset


def check_files(directory: Path, manifest: Mapping[str, Any], *, verify: bool) -> None:
    """Raise DatasetError if a file in the manifest is missing or has another size, or with `verify` another SHA-256."""
    for entry in [*manifest["bank"]["files"], *(s for name in TABLES for s in manifest["tables"][name]["shards"])]:
        check_file(directory, entry, verify)


def check_file(directory: Path, shard: Mapping[str, Any], verify: bool) -> None:
    """Raise DatasetError if a file is missing or has another size, or with `verify` another SHA-256, than its entry."""
    file = shard_file(directory, shard)
    try:
        size = file.stat().st_size
        checksum = sha256_of_file(file, inside=directory) if verify and size == shard["bytes"] else shard["sha256"]
    except FileNotFoundError:
        raise DatasetError(f"{file} is missing; the manifest lists it; {RESTORE}") from None
    except OSError as error:  # a name that is too long, or no regular file
        raise DatasetError(f"{file} cannot be read: {reason(error)}; {RESTORE}") from None
    if size != shard["bytes"]:
        raise DatasetError(f"{file} has {size} bytes; the manifest says {shard['bytes']}; {RESTORE}")
    if checksum != shard["sha256"]:
        raise DatasetError(f"{file} is damaged: its SHA-256 differs from the one in the manifest; {RESTORE}")


def write_shard(directory: Path, table: str, number: int, content: pa.Table, file_format: str) -> dict[str, Any]:
    """Write one shard into the folder of its table, and return its entry in the manifest. Raises DatasetError."""
    relative = shard_path(table, number, file_format)
    with dataset_file(directory / relative, buffering=0) as stream:
        sink = _HashingStream(stream)
        _write_table(content, pa.PythonFile(sink, "w"), file_format)
    return {"path": relative, "bytes": sink.bytes, "sha256": sink.hash.hexdigest(), "rows": content.num_rows}


def shard_path(table: str, number: int, file_format: str) -> str:
    """Return the path of a shard, relative to the dataset."""
    return f"{table}/part-{number:05d}.{file_format}"


@contextmanager
def dataset_file(file: Path, *, buffering: int = -1) -> Iterator[IO[bytes]]:
    """Open a file that is written atomically (decision 13). Raises DatasetError if it cannot be written."""
    try:
        with atomic_file(file, buffering=buffering) as stream:
            yield stream
    except OSError as error:
        raise DatasetError(f"{file} cannot be written: {error.strerror or error}") from error


def _write_table(content: pa.Table, sink: pa.PythonFile, file_format: str) -> None:
    import pyarrow.feather
    import pyarrow.parquet

    if file_format == "parquet":
        # Dictionary encoding makes integers smaller, which have few values in runs, and floats larger.
        integers = [f.name for f in content.schema if pa.types.is_integer(f.type) or pa.types.is_dictionary(f.type)]
        options = {"compression": "zstd", "compression_level": 1, "row_group_size": ROW_GROUP}
        pyarrow.parquet.write_table(content, sink, use_dictionary=integers, **options)
    else:
        pyarrow.feather.write_feather(content, sink, compression="uncompressed")


class _HashingStream:
    """An unbuffered stream that computes size and SHA-256 while it is written.

    Reading the file again for its checksum would cost a tenth of the time.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.hash = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        """Write all of `data`, and return its length in bytes."""
        view = memoryview(data).cast("B")
        self.hash.update(view)
        rest = view
        while len(rest):
            rest = rest[self._stream.write(rest) :]
        self.bytes += len(view)
        return len(view)

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.bytes

    def flush(self) -> None:
        """Do nothing: the stream has no buffer."""

    def close(self) -> None:
        """Mark the stream as closed. The caller closes the file itself."""
        self.closed = True


def write_json(file: Path, value: Any) -> None:
    """Write JSON atomically, with sorted keys, so that equal values give equal bytes. Raises DatasetError."""
    with dataset_file(file) as stream:
        stream.write(to_json(value, sort_keys=True))
