"""Data frames of pandas and Polars: decoded tables of rollouts and datasets, joined to the bank.

Both libraries show the same columns. Kinds, outcomes, levels, reasons, events and items are words: categories in
pandas, Enum in Polars. A missing value is NaN or <NA> in pandas, and null in Polars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.bank.items import Bank, Contents, Questions
from alsim.errors import AlsimError
from alsim.mdp.actions import ACTION_KINDS
from alsim.rollouts.columns import TABLE_COLUMNS, Column, Words
from alsim.types import DIFFICULTIES, MODALITIES, Observation, Reason, f32, i8, i16, i32
from alsim.utils.optional import require

REASONS = tuple(reason.word or "" for reason in Reason if reason)
PARAMETERS = (*Questions._fields[3:], *Contents._fields[3:])
"""Numeric columns of the bank; those of the other kind of item are missing."""
IDENTIFIERS = ("learner_id", "episode", "step")
ITEM_COLUMNS = ("kind", "lo", "difficulty", "modality", "item", "item_id")
"""Columns that describe the item of a row."""
ORDER: dict[str, tuple[str, ...]] = {
    "transitions": (
        *IDENTIFIERS,
        "action",
        *ITEM_COLUMNS,
        *("correct", "response_time", "reward", "mastery_gain", "mean_mastery", "frustration"),
        *("propensity", "terminated", "truncated", "termination_reason"),
        *PARAMETERS,
    ),
    "events": (*IDENTIFIERS, "seconds", "event", *ITEM_COLUMNS, "correct", "propensity", *PARAMETERS),
}
"""Order of the first columns of a frame; the others, such as those of the episodes, have that of the stored table."""
NARROW = {"action": i16, "item": i32}
"""Types of columns that a rollout keeps in wider types than a dataset does."""
OBSERVATION_NAMES: dict[Observation, tuple[str, ...]] = {"mastery": ("mastery",), "responses": ("asked", "correct")}
"""Entries of an observation with one number per outcome, in order (clauses S8.1 and S8.2)."""


def check_table(table: str, observations: bool) -> None:
    """Raise AlsimError for an unknown name of a table, and for observations of a table without them."""
    if table not in tuple(TABLE_COLUMNS):
        raise AlsimError(f"table must be one of {', '.join(map(repr, TABLE_COLUMNS))}; got {table!r}")
    if observations and table == "events":
        raise AlsimError("events have no observations; pass table='transitions' or table='episodes'")


def frame_columns(
    table: str, columns: Mapping[str, Column], bank: Bank, observations: NDArray[Any] | None, kind: Observation
) -> dict[str, Column]:
    """Return the columns of a frame.

    table         name of the table
    columns       its stored columns
    bank          bank of the items
    observations  observations (M, R) to add as columns; None for none
    kind          kind of these observations

    Raises AlsimError for items that are not in the bank, and for unknown reasons of termination.
    """
    decoded = {name: column for name, column in columns.items() if name not in ("obs", "final_obs")}
    for name, number_type in NARROW.items():
        if name in decoded:
            decoded[name] = np.asarray(decoded[name], number_type)
    if "termination_reason" in decoded:
        decoded["termination_reason"] = _reasons(decoded["termination_reason"])
    if "item" in decoded:
        decoded |= _item_columns(np.asarray(decoded["item"]), bank)
    decoded = {name: decoded[name] for name in dict.fromkeys((*ORDER.get(table, ()), *decoded))}
    if observations is not None:
        decoded |= dict(zip(_observation_names(bank, kind), observations.T, strict=True))
    return decoded


def _reasons(codes: Column) -> Words:
    """Return the words of reasons of termination; NONE is missing."""
    found = np.asarray(codes)
    if found.min(initial=0) < 0 or found.max(initial=0) > len(REASONS):
        raise AlsimError(
            f"termination_reason must be in [0, {len(REASONS)}]; got {found.min()} to {found.max()}; "
            "generate the data again"
        )
    return Words(found.astype(i8) - i8(1), REASONS)


def _item_columns(item: NDArray[Any], bank: Bank) -> dict[str, Column]:
    """Return the columns that describe items, which are indices in the bank, questions first."""
    num_questions, num_items = bank.num_questions, bank.num_questions + bank.num_contents
    if item.min(initial=0) < 0 or item.max(initial=0) >= num_items:
        raise AlsimError(
            f"items must be indices in [0, {num_items}) of the bank; got {item.min()} to {item.max()}; "
            "generate the data again"
        )
    q, c = bank.questions, bank.contents

    def column(of_questions: Any, of_contents: Any, number_type: Any) -> NDArray[Any]:
        values = np.empty(num_items, number_type)
        values[:num_questions], values[num_questions:] = of_questions, of_contents
        rows: NDArray[Any] = values[item]
        return rows

    outcome, outcomes = _unique(bank.outcomes)
    name, names = _unique((*q.id, *c.id))
    described: dict[str, Column] = {
        "kind": Words(column(0, 1, i8), ACTION_KINDS),
        "lo": Words(outcome[column(q.learning_outcome, c.learning_outcome, i32)], outcomes),
        "difficulty": Words(column(q.difficulty, -1, i8), DIFFICULTIES, ordered=True),
        "modality": Words(column(-1, c.modality, i8), MODALITIES),
        "item_id": Words(name[item], names),
    }
    for parameter in PARAMETERS:
        nothing = np.nan
        described[parameter] = column(getattr(q, parameter, nothing), getattr(c, parameter, nothing), f32)
    return described


def _unique(names: Iterable[Any]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Return the code of each name, and the names without duplicates, in the order of their first occurrence.

    A question and a content may have the same id.
    """
    texts = [str(name) for name in names]
    codes = {text: code for code, text in enumerate(dict.fromkeys(texts))}
    return np.array([codes[text] for text in texts], i32), tuple(codes)


def _observation_names(bank: Bank, kind: Observation) -> list[str]:
    """Return the names of the columns of an observation, such as obs_mastery_0.

    If two outcomes have the same name, their indices are used.
    """
    names = bank.outcomes if len(set(bank.outcomes)) == bank.num_los else tuple(map(str, range(bank.num_los)))
    per_outcome = [f"obs_{word}_{name}" for word in OBSERVATION_NAMES[kind] for name in names]
    return [*per_outcome, "obs_frustration", "obs_response_time"]


def to_pandas(parts: Iterable[Mapping[str, Column]]) -> Any:
    """Return the rows of all parts as a DataFrame of pandas. Raises MissingExtra if pandas is not installed."""
    pandas = require("pandas", "pandas", "to_pandas")

    def series(column: Column) -> Any:
        if isinstance(column, Words):
            return pandas.Categorical.from_codes(column.codes, list(column.words), ordered=column.ordered)
        if isinstance(column, np.ma.MaskedArray):
            return pandas.arrays.BooleanArray(column.data, np.ma.getmaskarray(column))
        return column

    return _join(parts, series, pandas.DataFrame, lambda frames: pandas.concat(frames, ignore_index=True))


def to_polars(parts: Iterable[Mapping[str, Column]]) -> Any:
    """Return the rows of all parts as a DataFrame of Polars. Raises MissingExtra if Polars is not installed."""
    polars = require("polars", "polars", "to_polars")

    def take(values: Any, codes: NDArray[Any]) -> Any:
        """Return `values` at the codes, and null at the code -1."""
        return values.extend_constant(None, 1).gather(np.where(codes < 0, len(values), codes).astype(np.uint32))

    def series(column: Column) -> Any:
        if isinstance(column, Words):
            return take(polars.Series(column.words, dtype=polars.Enum(column.words)), column.codes)
        if isinstance(column, np.ma.MaskedArray):
            return take(polars.Series([False, True]), np.where(np.ma.getmaskarray(column), -1, column.data))
        return polars.Series(np.ascontiguousarray(column), nan_to_null=column.dtype.kind == "f")

    return _join(parts, series, polars.DataFrame, polars.concat)


def _join(
    parts: Iterable[Mapping[str, Column]],
    series: Callable[[Column], Any],
    frame: Callable[[dict[str, Any]], Any],
    concatenate: Callable[[list[Any]], Any],
) -> Any:
    """Return one frame with the rows of all parts, whose columns are converted by `series`."""
    frames = [frame({name: series(_without_mask(column)) for name, column in part.items()}) for part in parts]
    return frames[0] if len(frames) == 1 else concatenate(frames)


def _without_mask(column: Column) -> Column:
    """Return a column of floats with NaN instead of a mask, and any other column itself."""
    if isinstance(column, np.ma.MaskedArray) and column.dtype.kind == "f":
        return np.asarray(column.filled(np.nan))
    return column
