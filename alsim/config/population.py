"""Populations: distributions of learners, as rows with shares (clauses S12.1 and S12.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator

from alsim.config.sections import Section, Share, error_message
from alsim.errors import AlsimError, did_you_mean
from alsim.numerics.philox import random_words
from alsim.types import MAX_LEARNERS, Doubles, Ints, Keys, Purpose, Words, i32, safe_repr, u32, u64
from alsim.utils.tables import Cells, number, read_cells

MOST_ROWS = 1_000_000
TOLERANCE = 1e-6
"""Largest difference of the sum of the shares from 1."""
WORDS = 2**32
OVERRIDES = ("dynamics", "learner")
"""Parts of the configuration that a row may override; in tables, columns are named like dynamics.learning_rate."""
KEYS = ("share", "name", *OVERRIDES)


class PopulationError(AlsimError):
    """An invalid population: the message names the row, the value and what was expected."""


class Row(Section):
    """One row of a population."""

    text_keys = frozenset({"name"})

    share: Share
    """Probability that a learner has this row."""
    name: str = Field(default="", max_length=200)
    """Name in reports; default: the number of the row."""
    dynamics: dict[str, Any] = {}
    """Parameters of the dynamics that replace those of the configuration, which checks them."""
    learner: dict[str, Any] = {}
    """Starting distributions that replace those of the configuration, which checks them."""

    @field_validator(*OVERRIDES)
    @classmethod
    def _to_python(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Return values in which Python numbers replace those of NumPy."""
        return {key: value.item() if isinstance(value, np.generic) else value for key, value in values.items()}


class Population:
    """A distribution of learners: S rows with shares.

    rows  mappings with the keys share, name, dynamics and learner, as in a configuration file; the shares sum to 1

    Raises PopulationError, which names the row.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Sequence) or len(rows) == 0:
            raise PopulationError(
                f"a population must be a list of at least one row, such as [{{'share': 1.0}}]; got {rows!r:.100}"
            )
        if len(rows) > MOST_ROWS:
            raise PopulationError(f"a population must have at most {MOST_ROWS:,} rows; got {len(rows):,}")
        self.rows: tuple[Row, ...] = tuple(_read_row(number, row) for number, row in enumerate(rows))
        total = math.fsum(row.share for row in self.rows)
        if abs(total - 1) > TOLERANCE:
            raise PopulationError(f"the shares of a population must sum to 1; got {total:.9g}: divide them by it")
        self.names: tuple[str, ...] = tuple(row.name or str(k) for k, row in enumerate(self.rows))
        if len(set(self.names)) < len(self.names):
            double = next(name for k, name in enumerate(self.names) if name in self.names[:k])
            raise PopulationError(f"the names of a population's rows must differ; got {double!r} twice: rename one")

    @classmethod
    def read(cls, source: Any) -> Population:
        """Return the population of a source: a Population, a list of rows, or the path of a text or Parquet table.

        A table has the columns share and name, and columns such as dynamics.learning_rate and learner.ability_mean.
        Raises PopulationError.
        """
        if isinstance(source, Population):
            return source
        if not isinstance(source, str | Path):
            return cls(source)
        if Path(source).suffix.casefold() == ".toml":
            raise PopulationError(
                f"{source}: the file of a population must be a text or Parquet table; got a TOML file: write its rows "
                "as CSV, with the columns share, name, and such as dynamics.learning_rate"
            )
        rows = _table_rows(Path(source))
        try:
            return cls(rows)
        except PopulationError as error:
            raise PopulationError(f"{source}: {error}") from None

    def __len__(self) -> int:
        """Return the number of rows S."""
        return len(self.rows)

    def __eq__(self, other: object) -> bool:
        """Return whether the rows are equal."""
        return isinstance(other, Population) and self.rows == other.rows

    def __hash__(self) -> int:
        return hash(self.names)

    @safe_repr
    def __repr__(self) -> str:
        """Return the names of the first rows, with their shares."""
        shown = ", ".join(f"{n}: {row.share:g}" for n, row in zip(self.names[:4], self.rows, strict=False))
        return f"<Population of {len(self)}: {shown}{', …' if len(self) > 4 else ''}>"

    def to_rows(self) -> list[dict[str, Any]]:
        """Return the rows as mappings, without what has its default."""
        return [row.model_dump(exclude_defaults=True) for row in self.rows]

    @cached_property
    def thresholds(self) -> NDArray[np.uint64]:
        """Cumulated shares in units of 2**-32, (S,): a learner has the first row above its random word."""
        shares = np.array([row.share for row in self.rows])
        edges: NDArray[np.uint64] = np.rint(np.cumsum(shares) / shares.sum() * WORDS).astype(u64)
        edges[np.flatnonzero(shares)[-1] :] = WORDS
        return edges

    def rows_of(self, seed: int, learners: Any) -> Ints:
        """Return the row of each learner, (N,) int32: a pure function of seed and learner (clause S12.1).

        seed      integer in [0, 2**64)
        learners  (N,) indices of learners, in [0, 2**32)

        Raises PopulationError for other values.
        """
        given = np.asarray(learners).ravel()
        if given.size and (given.dtype.kind not in "iu" or not 0 <= given.min() <= given.max() < MAX_LEARNERS):
            raise PopulationError(f"learners must be integers in [0, {MAX_LEARNERS}); got {learners!r:.100}")
        if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
            raise PopulationError(f"seed must be an integer in [0, 2**64); got {seed!r}")
        learner = given.astype(np.uint32)
        if len(self) == 1:
            return np.zeros(len(learner), i32)
        zeros: Words = np.zeros(len(learner), np.uint32)
        keys: Keys = np.full(len(learner), seed, np.uint64)
        words: Words = np.empty(4 * len(learner), np.uint32)
        random_words(zeros, zeros, learner, u32(Purpose.ROW), keys, words)
        return np.searchsorted(self.thresholds, words[::4].astype(u64), side="right").astype(i32)


def _read_row(number: int, row: Any) -> Row:
    """Return a validated row. Raises PopulationError."""
    if isinstance(row, Row):
        return row
    where = f"row {number} of the population"
    if not isinstance(row, Mapping):
        raise PopulationError(f"{where} must be a table with the keys {', '.join(KEYS)}; got {row!r:.100}")
    try:
        return Row.model_validate(dict(row))
    except ValidationError as error:
        raise PopulationError(f"{where}: {'; '.join(error_message(e, Row) for e in error.errors())}") from None


# ── tables ───────────────────────────────────────────────────────────────────────────────────────


def _table_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a text or Parquet table. Raises PopulationError."""
    try:
        cells = read_cells(path, ("share", "name"))
    except AlsimError as error:
        raise PopulationError(str(error)) from None
    if "share" not in cells.header:
        raise PopulationError(
            f"{path}: there is no column share; the columns are {', '.join(cells.header)}; expected one row per kind "
            "of learner, with share, name, and columns such as dynamics.learning_rate"
        )
    for title in cells.header:
        part, _, key = title.partition(".")
        if title not in ("share", "name") and (part not in OVERRIDES or not key):
            raise PopulationError(
                f"{path}: unknown column {title!r}; expected share, name, dynamics.PARAMETER or learner.PARAMETER"
                f"{did_you_mean(title, ('share', 'name'))}"
            )
    if not cells.rows:
        raise PopulationError(f"{path}: there is no row below the header; expected one row per kind of learner")
    return [_table_row(cells, k) for k in range(len(cells.rows))]


def _table_row(cells: Cells, k: int) -> dict[str, Any]:
    """Return one row; an empty cell keeps the value of the configuration. Raises PopulationError."""
    row: dict[str, Any] = {}
    for title, cell in zip(cells.header, cells.rows[k], strict=True):
        part, _, key = title.partition(".")
        if title == "name":
            row["name"] = cell
        elif cell != "" or title == "share":
            value = number(cell)
            if not math.isfinite(value):
                raise PopulationError(f"{cells.path}, {cells.places[k]}, column {title}: {cell!r}; expected a number")
            if title == "share":
                row["share"] = value
            else:
                row.setdefault(part, {})[key] = value
    return row


# ── arrays for the simulator ─────────────────────────────────────────────────────────────────────


def columns_of(rows: Sequence[Mapping[str, float]], common: Mapping[str, float]) -> dict[str, Doubles]:
    """Return the values of a part of the configuration in each row of a population, (S,) each.

    rows    values that each row overrides, see `Config.overrides`
    common  values of the configuration, which hold where a row does not override them
    """
    columns = {key: np.full(len(rows), value, np.float64) for key, value in common.items()}
    for k, row in enumerate(rows):
        for key, value in row.items():
            columns[key][k] = value
    return columns


__all__ = ["Population", "PopulationError", "Row", "columns_of"]
