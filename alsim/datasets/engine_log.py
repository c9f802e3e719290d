"""Logs of engines on disk, as `export_log` writes them: tables, arrays, candidate sets and their propensities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from alsim.assignment import Experiment, Exposure, Exposures, experiments_of
from alsim.datasets.engine_export import MODEL, read_kind
from alsim.datasets.engine_manifest import LogManifest
from alsim.datasets.engine_replay import Replay, Shown
from alsim.datasets.engine_schema import ASSIGNED, COLUMNS, READABLE, log_schema
from alsim.datasets.manifest import MANIFEST, DatasetError
from alsim.datasets.shard_files import shard_file
from alsim.datasets.store import check_file
from alsim.datasets.tables import numpy_column
from alsim.engine.catalogue import Catalogue
from alsim.engine.events import ANSWERED, STUDIED
from alsim.engine.models import EngineModel
from alsim.engine.quiz import POLICY as QUIZ
from alsim.engine.recommenders import Recommender, make_recommender
from alsim.errors import AlsimError
from alsim.types import Bools, Doubles, Longs, describe, safe_repr
from alsim.utils.arrow import InvalidTable, TableFile
from alsim.utils.reading import reason

RESTORE = "restore the file, or export the log again"
ARRAYS = ("obs", "action", "reward", "terminated", "truncated", "learner_id", "episode", "step", "propensity", "time")
"""Columns of the transitions that are NumPy arrays."""


class EngineLog:
    """Log of an engine: transitions, events and episodes, as Arrow tables and as NumPy arrays.

    The arrays are `obs` (M, K), and `action`, `reward`, `terminated`, `truncated`, `learner_id`, `episode`, `step`,
    `time` and `propensity` (M,) over the M interactions; propensity is NaN for an item that was not recommended.

    path      directory of the dataset
    manifest  content of its manifest.json
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path, self.manifest = path, dict(manifest)

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
        """Table with one row per session."""
        return self._table("episodes")

    @cached_property
    def catalogue(self) -> Catalogue:
        """Items of the engine with the graph of their skills, for the numbers in the tables."""
        names = {Path(entry["path"]).stem: self.path / entry["path"] for entry in self.manifest["files"]}
        return Catalogue.read(names["catalogue"], names["skills"], inside=self.path)

    @property
    def has_model(self) -> bool:
        """True if the dataset has the student model of the engine."""
        return any(entry["path"] == MODEL for entry in self.manifest["files"])

    @cached_property
    def model(self) -> EngineModel:
        """Student model of the engine. Raises DatasetError if the dataset does not have it."""
        if not self.has_model:
            raise DatasetError(
                f"{self.path} has no student model, because its parameters have names of students: export the log with "
                "names=True (--names)"
            )
        settings = self.manifest["engine"]
        due = {key: settings[key] for key in ("retention", "due_first") if key in settings}
        return EngineModel(self.path / MODEL, self.catalogue, **due)

    def candidates(self, row: int) -> list[str]:
        """Return the ids of the items among which that of an event was chosen, in the order of the catalogue.

        row  row of `events` in which an item was shown

        Raises DatasetError for another row, and for a decision in another catalogue than that of the dataset.
        """
        self._check_shown([row])
        ready = np.zeros(len(self.manifest["skills"]), np.bool_)
        ready[self.events.column("ready")[row].as_py()] = True
        above = {*self._columns["item"][row - self._columns["rank"][row] : row].tolist()}
        recommender = self.recommender(self.events.column("policy")[row].as_py())
        numbers = recommender.candidates(ready)
        return [self.catalogue.items[k].id for k in numbers.tolist() if k not in above]

    def probabilities(self, rows: ArrayLike) -> Doubles:
        """Return the propensity of every item at some decisions, (n, I): given the items above, 0 for no candidate.

        rows  rows of `events` in which items were shown, (n,)

        The log is replayed with the student model of the dataset. The entry of the item that was shown is the logged
        propensity. Raises DatasetError for other rows, and for decisions by another catalogue or student model than
        those of the dataset; and EngineError for a policy that does not compute the propensities of all candidates.
        """
        wanted = np.asarray(rows, np.int64).reshape(-1)
        self._check_shown(wanted)
        unique, place = np.unique(wanted, return_inverse=True)
        found = np.zeros((len(unique), len(self.catalogue)))
        for shown in self.replay.shown(unique):
            for recommender, part in self.by_policy(shown):
                found[np.searchsorted(unique, part.rows)] = part.propensities(recommender)
        return found[place]

    def by_policy(self, shown: Shown) -> Iterator[tuple[Recommender, Shown]]:
        """Yield the recommenders that showed some items, each with its items."""
        names = self.events.column("policy").take(shown.rows).to_numpy()
        for name in sorted(set(names)):
            yield self.recommender(name), shown.part(np.flatnonzero(names == name))

    @cached_property
    def replay(self) -> Replay:
        """Replay of the log with the student model of the dataset."""
        return Replay(self, self._columns)

    def learner_name(self, learner: int) -> str:
        """Return the name of a student, "" if the dataset has no names. Raises DatasetError for an unknown number."""
        begin, end = map(int, np.searchsorted(self._columns["learner_id"], [learner, learner + 1]))
        if begin == end:
            raise DatasetError(f"{self.path} has no events of the student {learner!r}: use a number in learner_id")
        return str(self.events.column("learner_name")[begin].as_py()) if self.manifest["names"] else ""

    @cached_property
    def experiments(self) -> dict[str, Experiment]:
        """Experiments of the engine by name, as they were begun. Raises DatasetError for damaged ones."""
        try:
            return experiments_of(self.manifest.get("experiments", {}))
        except AlsimError as error:
            raise DatasetError(f"{self.path / MANIFEST} is damaged: {error}; {RESTORE}") from None

    def exposures(self) -> Exposures:
        """Return the first exposure of each student to each experiment.

        A student is the name, or the number as text if the dataset has no names; a unit is the student or the class.
        """
        rows = np.flatnonzero(pc.is_valid(self.events.column("experiment")).to_numpy())
        learner, experiment, arm, class_name = (
            self._columns["learner_id"][rows],
            *(self.events.column(c.name).take(rows).cast(pa.string()).to_numpy() for c in ASSIGNED),
        )
        codes = [np.unique(words.astype(np.str_), return_inverse=True)[1] for words in (experiment, arm)]
        first = np.sort(np.unique(np.stack([learner, *codes], axis=1), axis=0, return_index=True)[1]).tolist()
        return Exposures.of(
            self._exposure(experiment[k], arm[k], class_name[k], int(learner[k]), int(rows[k])) for k in first
        )

    def _exposure(self, experiment: str, arm: str, class_name: str | None, learner: int, row: int) -> Exposure:
        """Return the exposure in a row of the events."""
        student = self.learner_name(learner) or str(learner)
        known = self.experiments.get(experiment)
        unit = student if known is None else known.unit_of(student, class_name)
        return Exposure(experiment, unit, student, arm, float(self._columns["time"][row]))

    # ── columns ─────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Columns of the transitions as NumPy arrays."""
        return {name: _column(self.transitions, name) for name in ARRAYS}

    @cached_property
    def next_obs(self) -> NDArray[Any]:
        """Mastery at the next interaction of the session, or at the end of the session, (M, K) float32.

        A placement in between is included, while the reward is that of the interaction alone.
        """
        obs, keys = self.arrays["obs"], ("learner_id", "episode")
        final = [_column(self.episodes, name) for name in (*keys, "total_steps")]
        is_last = np.ones(len(obs), np.bool_)
        is_last[:-1] = np.logical_or.reduce([np.diff(self.arrays[name]) != 0 for name in keys])
        following = np.empty_like(obs)
        following[:-1] = obs[1:]
        following[is_last] = numpy_column(self.episodes, "final_obs")[final[2] > 0]
        return following

    @cached_property
    def _columns(self) -> dict[str, NDArray[Any]]:
        """Columns of the events that candidates and propensities need; rank -1 is an interaction."""
        names = "learner_id", "item", "rank", "credit", "time"
        return {name: _column(self.events, name, -1) for name in names}

    @cached_property
    def is_shown(self) -> Bools:
        """True for the events in which the policy of the engine showed an item, (E,)."""
        return np.asarray((self._columns["rank"] >= 0) & ~self._is("policy", QUIZ))

    @cached_property
    def is_own(self) -> Bools:
        """True for those of `is_shown` that were decided with the catalogue and the student model of the dataset."""
        settings = self.manifest["engine"]
        return self.is_shown & self._is("catalogue", settings["catalogue"]) & self._is("model", settings["digest"])

    @cached_property
    def is_step(self) -> Bools:
        """True for the events that are interactions, (E,)."""
        return self._is("event", ANSWERED) | self._is("event", STUDIED)

    def numbers(self, table: str, name: str, rows: Longs | None = None) -> Doubles:
        """Return a column of numbers of a table, NaN for null, in some rows or in all."""
        column = getattr(self, table).column(name)
        return np.asarray((column if rows is None else column.take(rows)).cast(pa.float64()).to_numpy())

    def _is(self, name: str, word: str) -> Bools:
        """Return whether a column of the events has a word, (E,)."""
        return np.asarray(pc.fill_null(pc.equal(self.events.column(name), word), False).to_numpy())

    def __getattr__(self, name: str) -> NDArray[Any]:
        """Return one of the NumPy arrays. Raises AttributeError for another name."""
        if name in ARRAYS:
            return self.arrays[name]
        raise AttributeError(
            f"an EngineLog has the tables {', '.join(COLUMNS)} and the arrays {', '.join(ARRAYS)}; got {name!r}"
        )

    def __len__(self) -> int:
        """Return the number of interactions M."""
        return int(self.manifest["tables"]["transitions"]["rows"])

    @safe_repr
    def __repr__(self) -> str:
        """Return the numbers of students, sessions and interactions, and the path."""
        sessions = self.manifest["tables"]["episodes"]["rows"]
        counts = f"{self.manifest['num_learners']:,} students, {sessions:,} sessions, {len(self):,} interactions"
        return f"EngineLog({counts}, {describe(str(self.path))})"

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def _check_shown(self, rows: ArrayLike) -> None:
        """Raise DatasetError unless items were shown in rows of events, by catalogue and model of the dataset."""
        settings, rank = self.manifest["engine"], self._columns["rank"]
        wanted = np.asarray(rows, np.int64).reshape(-1)
        is_valid = (wanted >= 0) & (wanted < len(rank))
        is_valid[is_valid] = self.is_own[wanted[is_valid]]
        for row in wanted[~is_valid][:1].tolist():
            if not 0 <= row < len(rank) or rank[row] < 0:
                raise DatasetError(
                    f"row {row} of the events of {self.path} is no item that was shown: use a row with a rank"
                )
            if (policy := self.events.column("policy")[row].as_py()) == QUIZ:
                raise DatasetError(
                    f"row {row} of the events of {self.path} was chosen by a {policy}, and not by the policy of the "
                    "engine: only the propensities of the items that were shown are known"
                )
            for name, key in (("catalogue", "catalogue"), ("model", "digest")):
                if (digest := self.events.column(name)[row].as_py()) != settings[key]:
                    raise DatasetError(
                        f"row {row} of the events of {self.path} was decided with the {name} {digest}, and the dataset "
                        f"has {settings[key]}: only the propensities of the items that were shown are known"
                    )

    def recommender(self, policy: str) -> Recommender:
        """Return a recommender with the catalogue of the dataset by its name. Raises EngineError."""
        if policy not in self._recommenders:
            self._recommenders[policy] = make_recommender(policy, self.catalogue)
        return self._recommenders[policy]

    @cached_property
    def _recommenders(self) -> dict[str, Recommender]:
        return {}

    def _table(self, name: str) -> pa.Table:
        """Return a table, after a validation of its columns. Raises DatasetError, which names the file."""
        size, names = len(self.manifest["skills"]), self.manifest["names"]
        schema = log_schema(name, size, names, self.manifest["log_version"])
        parts = []
        for shard in self.manifest["tables"][name]["shards"]:
            file = shard_file(self.path, shard)
            try:
                with TableFile(file, inside=self.path, kind="parquet") as stored:
                    if stored.num_rows != shard["rows"] or stored.schema.names != schema.names:
                        raise InvalidTable(f"its rows or columns are not those of the manifest and of {name}")
                    parts.append(stored.read().cast(schema))
            except (OSError, InvalidTable, pa.ArrowException) as error:
                raise DatasetError(f"{file} cannot be read: {reason(error)}; {RESTORE}") from None
        table = pa.concat_tables(parts)
        for field in list(log_schema(name, size, names))[len(schema) :]:
            table = table.append_column(field, pa.nulls(len(table), field.type))
        return table.unify_dictionaries()


def _column(table: pa.Table, name: str, missing: float = float("nan")) -> NDArray[Any]:
    """Return a column as a NumPy array; nulls become `missing`."""
    column = table.column(name)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8()) if column.null_count else column
    return numpy_column(pa.table({name: column.fill_null(missing) if column.null_count else column}), name)


def load_log(path: str | Path, *, verify: bool = False) -> EngineLog:
    """Open a dataset that `export_log` (`alsim engine export --out`) wrote.

    path    directory of the dataset
    verify  compare every file with the SHA-256 in the manifest, not only its size

    Returns an EngineLog, which reads its tables on first use. Raises DatasetError, which names the file, if the
    directory holds no such dataset, if it has another version, or if a file is missing or changed.
    """
    directory = Path(path)
    manifest = read_kind(directory)
    if manifest is None:
        raise DatasetError(f"{directory} holds no log of an engine; alsim engine export --out writes one")
    version = manifest.get("log_version")
    if isinstance(version, bool) or version not in READABLE:
        raise DatasetError(
            f"{directory / MANIFEST} has log version {short(version)}; this version of alsim reads "
            f"{' and '.join(map(str, READABLE))}; export the log again"
        )
    try:
        LogManifest.model_validate(manifest)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise DatasetError(
            f"{directory / MANIFEST} is not a valid manifest: {key}: {error.errors()[0]['msg']}; {RESTORE}"
        ) from None
    for entry in [*manifest["files"], *(shard for table in manifest["tables"].values() for shard in table["shards"])]:
        check_file(directory, entry, verify)
    return EngineLog(directory, manifest)


__all__ = ["EngineLog", "load_log"]
