"""The bank of questions and contents (clauses S2.1 to S2.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError
from alsim.mdp.actions import KINDS, LEVELS, num_actions
from alsim.numerics.philox import random_words
from alsim.types import (
    CELL,
    DIFFICULTIES,
    MODALITIES,
    SLOT,
    Bools,
    Codes,
    Doubles,
    Floats,
    Ints,
    ItemTable,
    Purpose,
    f32,
    i8,
    i32,
    safe_repr,
    short_repr,
    u32,
    u64,
)
from alsim.utils.memory import aligned_zeros

if TYPE_CHECKING:
    from alsim.config import Config
    from alsim.models.irt.curves import ItemParameters


QUESTION_TABLE, CONTENT_TABLE = 0, 1  # values of one word of the random counter (clause S11.1)


@short_repr
class Questions(NamedTuple):
    """Columns of Q questions, arrays (Q,)."""

    id: tuple[str, ...]
    learning_outcome: Ints  # index
    difficulty: Codes  # 0 Easy, 1 Medium, 2 Hard
    irt_a: Floats  # discrimination, 1/logit
    irt_b: Floats  # difficulty, logits
    irt_c: Floats  # pseudo-guessing, in [0, 1)
    response_time_mean: Floats  # seconds
    response_time_std: Floats  # seconds


@short_repr
class Contents(NamedTuple):
    """Columns of C contents, arrays (C,)."""

    id: tuple[str, ...]
    learning_outcome: Ints  # index
    modality: Codes  # index into MODALITIES
    duration: Floats  # minutes
    effectiveness: Floats  # mastery gained at mastery 0 and frustration 0
    engagement_impact: Floats  # added to frustration


SECONDS_PER_MINUTE = f32(60)

BOUNDS: dict[str, tuple[str, Callable[[Floats], Bools]]] = {
    "irt_a": ("a finite number > 0", lambda x: x > 0),
    "irt_b": ("a finite number", np.isfinite),
    "irt_c": ("a number in [0, 1)", lambda x: (x >= 0) & (x < 1)),
    "response_time_mean": ("a finite number of seconds > 0", lambda x: x > 0),
    "response_time_std": ("a finite number of seconds >= 0", lambda x: x >= 0),
    "duration": ("a finite number of minutes > 0", lambda x: x > 0),
    "effectiveness": ("a number in [0, 1]", lambda x: (x >= 0) & (x <= 1)),
    "engagement_impact": ("a number in [-1, 1]", lambda x: np.abs(x) <= 1),
    "irt_d": ("1: an upper asymptote below 1 is not part of the three-parameter model", lambda x: x == 1),
}
"""Valid values of the numeric columns: a description, and a test of float32 values."""


class BankError(AlsimError):
    """An invalid bank: the message names the row, cell or column and the expected value."""


@dataclass(frozen=True, eq=False)
class Bank:
    """Questions and contents, and the names of their learning outcomes.

    outcomes   names of the L learning outcomes; items refer to them by index
    questions  columns of Q questions
    contents   columns of C contents

    Raises BankError for invalid values, and for an (LO, difficulty) or (LO, modality) cell without an item.
    """

    outcomes: tuple[str, ...]
    questions: Questions
    contents: Contents

    def __post_init__(self) -> None:
        """Check the columns and make them read-only. Raises BankError for invalid values and for empty cells."""
        outcomes = tuple(self.outcomes)
        object.__setattr__(self, "outcomes", outcomes)
        for name, level, words in (("questions", "difficulty", DIFFICULTIES), ("contents", "modality", MODALITIES)):
            codes = {"learning_outcome": len(outcomes), level: len(words)}
            object.__setattr__(self, name, _checked(getattr(self, name), name, codes))
        if empty := self.empty_cells():
            more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
            raise BankError(
                "every learning outcome needs a question of each difficulty and a content of each modality; "
                f"there is none for {', '.join(empty[:5])}{more}"
            )

    def __eq__(self, other: object) -> bool:
        """Return whether both banks have the same items, bit for bit and in the same order."""
        if not isinstance(other, Bank):
            return NotImplemented
        own_columns: tuple[Any, ...] = (self.outcomes, *self.questions, *self.contents)
        other_columns: tuple[Any, ...] = (other.outcomes, *other.questions, *other.contents)
        # Names are compared as tuples: an array gives all of them the width of the longest.
        return all(
            a == b if isinstance(a, tuple) else np.array_equal(a, b)
            for a, b in zip(own_columns, other_columns, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]  # the fields are arrays

    @safe_repr
    def __repr__(self) -> str:
        """Return the numbers of outcomes and items."""
        return f"Bank({self.num_los:,} outcomes, {self.num_questions:,} questions, {self.num_contents:,} contents)"

    @property
    def num_los(self) -> int:
        """Number of learning outcomes L."""
        return len(self.outcomes)

    @property
    def num_questions(self) -> int:
        """Number of questions Q; item indices 0 … Q - 1."""
        return len(self.questions.id)

    @property
    def num_contents(self) -> int:
        """Number of contents C; item indices Q … Q + C - 1."""
        return len(self.contents.id)

    def summary(self) -> list[dict[str, Any]]:
        """Return the numbers of questions and the ranges of their parameters: one row per outcome, and one in total.

        The keys of a row are outcome, its name or "all"; questions, the number of each difficulty; and irt_a, irt_b and
        irt_c, the smallest and the largest value, in the units of `Questions`.
        """
        q = self.questions
        rows = []
        for name, chosen in (
            *((name, q.learning_outcome == lo) for lo, name in enumerate(self.outcomes)),
            ("all", np.ones(self.num_questions, np.bool_)),
        ):
            counts = np.bincount(q.difficulty[chosen], minlength=LEVELS).tolist()
            columns = {column: getattr(q, column)[chosen] for column in ("irt_a", "irt_b", "irt_c")}
            # The string of a float32 is the shortest text that reads back to the same bits.
            ranges = {column: [float(str(x)) for x in (v.min(), v.max())] for column, v in columns.items()}
            rows.append({"outcome": name, "questions": dict(zip(DIFFICULTIES, counts, strict=True)), **ranges})
        return rows

    @property
    def item_parameters(self) -> ItemParameters:
        """Parameters and ids of the questions, for `alsim.models.cat.CAT`; copies in empty cells are left out."""
        from alsim.models.irt.curves import ItemParameters
        from alsim.models.irt.items import without_copies

        q = self.questions
        return without_copies(ItemParameters(q.irt_a, q.irt_b, q.irt_c, names=q.id))

    def empty_cells(self) -> list[str]:
        """Return the names of the (LO, difficulty) and (LO, modality) cells without an item."""
        names = []
        for columns, level, words in (
            (self.questions, self.questions.difficulty, DIFFICULTIES),
            (self.contents, self.contents.modality, MODALITIES),
        ):
            count = np.zeros((self.num_los, len(words)), np.int64)
            np.add.at(count, (columns.learning_outcome, level), 1)
            names += [f"({self.outcomes[lo]}, {words[k]})" for lo, k in np.argwhere(count == 0)]
        return names

    @cached_property
    def table(self) -> ItemTable:
        """Items sorted by action, in the layout that the batch loop reads."""
        q, c, num_los = self.questions, self.contents, self.num_los
        cell = np.concatenate(
            [
                q.learning_outcome.astype(np.int64) * LEVELS + q.difficulty,
                LEVELS * num_los + c.learning_outcome.astype(np.int64) * KINDS + c.modality,
            ]
        )
        slots = np.argsort(cell, kind="stable")
        count = np.bincount(cell, minlength=num_actions(num_los))
        action = np.arange(num_actions(num_los))
        is_question = action < LEVELS * num_los

        no_question, no_content = np.zeros(self.num_questions, f32), np.zeros(self.num_contents, f32)

        table = ItemTable(cells=aligned_zeros(len(action), CELL), slots=aligned_zeros(len(slots), SLOT))
        table.cells["first"] = np.cumsum(count) - count
        table.cells["size"] = count
        table.cells["learning_outcome"] = np.where(is_question, action // LEVELS, (action - LEVELS * num_los) // KINDS)
        is_hard = action % LEVELS == DIFFICULTIES.index("Hard")
        table.cells["kind"] = np.where(is_question, np.where(is_hard, 3, 1), 0)
        for name, of_questions, of_contents in (
            ("a", q.irt_a, no_content),
            ("b", q.irt_b, no_content),
            ("c", q.irt_c, no_content),
            ("response_time_mean", q.response_time_mean, SECONDS_PER_MINUTE * c.duration),
            ("response_time_std", q.response_time_std, no_content),
            ("effectiveness", no_question, c.effectiveness),
            ("impact", no_question, c.engagement_impact),
        ):
            table.slots[name] = np.concatenate([of_questions, of_contents])[slots]
        table.slots["item"] = slots
        return table

    def question(self, index: int) -> dict[str, Any]:
        """Return one question, `index` in [0, Q), as a dictionary with the keys of the specification."""
        q = self.questions
        return {
            "id": q.id[index],
            "learning_outcome": int(q.learning_outcome[index]),
            "difficulty": DIFFICULTIES[q.difficulty[index]],
            **{name: float(getattr(q, name)[index]) for name in Questions._fields[3:]},
        }

    def content(self, index: int) -> dict[str, Any]:
        """Return one content, `index` in [0, C), as a dictionary with the keys of the specification."""
        c = self.contents
        return {
            "id": c.id[index],
            "learning_outcome": int(c.learning_outcome[index]),
            "modality": MODALITIES[c.modality[index]],
            **{name: float(getattr(c, name)[index]) for name in Contents._fields[3:]},
        }


def _checked(columns: Any, table: str, codes: dict[str, int]) -> Any:
    """Return the columns as read-only arrays of the documented types. Raises BankError for invalid values.

    columns  Questions or Contents
    table    name of the table, for messages
    codes    number of codes of each column of indices
    """
    types = {"learning_outcome": i32, "difficulty": i8, "modality": i8}
    num_rows = len(columns.id)
    checked: list[Any] = [tuple(columns.id)]
    for name, values in zip(columns._fields[1:], columns[1:], strict=True):
        if np.shape(values) != (num_rows,):
            raise BankError(
                f"{table}: {name} must have one entry per item, shape ({num_rows},); got shape {np.shape(values)}"
            )
        if name in codes:
            expected = f"an index below {codes[name]}"
            valid = (np.asarray(values) >= 0) & (np.asarray(values) < codes[name])
        else:
            expected, is_within = BOUNDS[name]
            valid = np.isfinite(np.asarray(values, f32)) & is_within(np.asarray(values, f32))
        if not valid.all():
            row = int(np.argmin(valid))
            raise BankError(f"{table}: {name} of {columns.id[row]!r} is {values[row]}; expected {expected}")
        column = np.array(values, types.get(name, f32))
        column.setflags(write=False)
        checked.append(column)
    return type(columns)._make(checked)


def sample_bank(config: Config) -> Bank:
    """Return a bank drawn from a configuration with the seed `config.bank.seed` (clauses S2.1 to S2.4)."""
    return Bank(
        outcomes=tuple(str(lo) for lo in range(config.num_los)),
        questions=_sample_questions(config),
        contents=sample_contents(config, config.num_los),
    )


def _sample_questions(config: Config) -> Questions:
    """Return questions drawn from a configuration (clauses S2.1, S2.2)."""
    split = config.split()
    level = np.tile(np.repeat(np.arange(LEVELS), split), config.num_los)
    n = len(level)
    u = _uniforms(config.bank.seed, QUESTION_TABLE, n)
    names = [word.lower() for word in DIFFICULTIES]
    return Questions(
        id=tuple(f"q{k}" for k in range(n)),
        learning_outcome=np.repeat(np.arange(config.num_los), sum(split)).astype(i32),
        difficulty=level.astype(i8),
        irt_a=_within([getattr(config.irt.discrimination_ranges, name) for name in names], level, u[:, 0]),
        irt_b=_within([getattr(config.irt.difficulty_ranges, name) for name in names], level, u[:, 1]),
        irt_c=_within([config.irt.guessing_range] * LEVELS, level, u[:, 2]),
        response_time_mean=np.full(n, config.irt.response_time_mean, f32),
        response_time_std=np.full(n, config.irt.response_time_std, f32),
    )


def sample_contents(config: Config, num_los: int) -> Contents:
    """Return contents for `num_los` outcomes drawn from a configuration (clause S2.3).

    The contents of an outcome are split evenly over the modalities, as clause S2.1 splits questions over difficulties.
    """
    each, rest = divmod(config.num_contents_per_lo, KINDS)
    kind = np.tile(np.repeat(np.arange(KINDS), [each + (k < rest) for k in range(KINDS)]), num_los)
    n = len(kind)
    u = _uniforms(config.bank.seed, CONTENT_TABLE, n)
    content = config.content
    return Contents(
        id=tuple(f"c{k}" for k in range(n)),
        learning_outcome=np.repeat(np.arange(num_los), config.num_contents_per_lo).astype(i32),
        modality=kind.astype(i8),
        duration=_within([getattr(content.duration_by_modality, w) for w in MODALITIES], kind, u[:, 0]),
        effectiveness=_within([getattr(content.effectiveness_by_modality, w) for w in MODALITIES], kind, u[:, 1]),
        engagement_impact=np.array([getattr(content.frustration_impact_by_modality, w) for w in MODALITIES], f32)[kind],
    )


def _uniforms(seed: int, table: int, n: int) -> Doubles:
    """Return uniform variates (n, 4) on (0, 1); row k is drawn at the counter (0, table, k, BANK)."""
    words, zeros = np.empty(4 * n, u32), np.zeros(n, u32)
    random_words(zeros, zeros + u32(table), np.arange(n, dtype=u32), u32(Purpose.BANK), np.full(n, seed, u64), words)
    return np.asarray((words.reshape(n, 4) + 0.5) / 2.0**32)


def _within(ranges: list[tuple[float, float]], index: NDArray[Any], u: Doubles) -> Floats:
    """Return the variates `u` in (0, 1), each scaled to the range `ranges[index]`."""
    low, high = np.array(ranges, dtype=np.float64)[index].T
    return np.asarray(low + (high - low) * u, f32)
