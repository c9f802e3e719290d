"""Questions and contents: the bank, drawn from a configuration or made of a user's tables (clauses S2.1 to S2.5)."""

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
    DIFFICULTIES,
    MODALITIES,
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
    u32,
    u64,
)

if TYPE_CHECKING:
    from alsim.config import Config


QUESTION_TABLE, CONTENT_TABLE = 0, 1


class Questions(NamedTuple):
    """Columns of the questions, (Q,) each."""

    id: tuple[str, ...]
    learning_outcome: Ints  # index
    difficulty: Codes  # 0 Easy, 1 Medium, 2 Hard
    irt_a: Floats  # 1/logit
    irt_b: Floats  # logits
    irt_c: Floats
    response_time_mean: Floats  # seconds
    response_time_std: Floats  # seconds


class Contents(NamedTuple):
    """Columns of the contents, (C,) each."""

    id: tuple[str, ...]
    learning_outcome: Ints  # index
    modality: Codes  # index into MODALITIES
    duration: Floats  # minutes
    effectiveness: Floats
    engagement_impact: Floats  # on frustration


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
"""What a column of numbers may hold, in words and as a test of float32 values."""


class BankError(AlsimError):
    """A bank that cannot be: the message names the row, cell or column and what was expected."""


@dataclass(frozen=True, eq=False)
class Bank:
    """All questions and contents, and the names of the learning outcomes they are about."""

    outcomes: tuple[str, ...]
    questions: Questions
    contents: Contents

    def __post_init__(self) -> None:
        """Refuse columns that cannot be, and a bank with an empty cell. The columns are then read-only."""
        outcomes = tuple(self.outcomes)
        object.__setattr__(self, "outcomes", outcomes)
        for name, level, words in (("questions", "difficulty", DIFFICULTIES), ("contents", "modality", MODALITIES)):
            codes = {"learning_outcome": len(outcomes), level: len(words)}
            object.__setattr__(self, name, _sound(getattr(self, name), name, codes))
        if empty := self.empty_cells():
            raise BankError(
                f"every learning outcome needs a question of each difficulty and a content of each modality; "
                f"there is none for {', '.join(empty[:5])}" + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
            )

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same items, bit for bit, in the same order."""
        if not isinstance(other, Bank):
            return NotImplemented
        mine = (self.outcomes, *self.questions, *self.contents)
        return all(
            np.array_equal(np.asarray(a), np.asarray(b))
            for a, b in zip(mine, (other.outcomes, *other.questions, *other.contents), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays inside

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

    def empty_cells(self) -> list[str]:
        """Names of the (LO, difficulty) and (LO, modality) cells without an item."""
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
        """The bank as the batch loop reads it."""
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
        asks = action < LEVELS * num_los

        def column(of_questions: Any, of_contents: Any) -> Floats:
            zeros = np.zeros(self.num_questions, f32), np.zeros(self.num_contents, f32)
            both = (
                zeros[0] if of_questions is None else of_questions,
                zeros[1] if of_contents is None else of_contents,
            )
            return np.ascontiguousarray(np.concatenate(both)[slots], dtype=f32)

        return ItemTable(
            first=(np.cumsum(count) - count).astype(i32),
            size=count.astype(u32),
            learning_outcome=np.where(asks, action // LEVELS, (action - LEVELS * num_los) // KINDS).astype(i32),
            is_hard=asks & (action % LEVELS == DIFFICULTIES.index("Hard")),
            item=slots.astype(i32),
            a=column(q.irt_a, None),
            b=column(q.irt_b, None),
            c=column(q.irt_c, None),
            response_time_mean=column(q.response_time_mean, None),
            response_time_std=column(q.response_time_std, None),
            effectiveness=column(None, c.effectiveness),
            impact=column(None, c.engagement_impact),
        )

    def question(self, index: int) -> dict[str, Any]:
        """One question, with the specification's keys."""
        q = self.questions
        return {
            "id": q.id[index],
            "learning_outcome": int(q.learning_outcome[index]),
            "difficulty": DIFFICULTIES[q.difficulty[index]],
            **{name: float(getattr(q, name)[index]) for name in Questions._fields[3:]},
        }

    def content(self, index: int) -> dict[str, Any]:
        """One content, with the specification's keys."""
        c = self.contents
        return {
            "id": c.id[index],
            "learning_outcome": int(c.learning_outcome[index]),
            "modality": MODALITIES[c.modality[index]],
            **{name: float(getattr(c, name)[index]) for name in Contents._fields[3:]},
        }


def _sound(columns: Any, table: str, codes: dict[str, int]) -> Any:
    """Return columns of their own types, checked and read-only; `codes` are the columns of indices, and their ends."""
    kinds = {"learning_outcome": i32, "difficulty": i8, "modality": i8}
    rows = len(columns.id)
    sound: list[Any] = [tuple(columns.id)]
    for name, given in zip(columns._fields[1:], columns[1:], strict=True):
        if np.shape(given) != (rows,):
            raise BankError(f"{table}: {name} has one entry an item, {rows}; got shape {np.shape(given)}")
        if name in codes:
            expected, end = f"an index below {codes[name]}", codes[name]
            fits = (np.asarray(given) >= 0) & (np.asarray(given) < end)
        else:
            expected, test = BOUNDS[name]
            fits = np.isfinite(np.asarray(given, f32)) & test(np.asarray(given, f32))
        if not fits.all():
            row = int(np.argmin(fits))
            raise BankError(f"{table}: {name} of {columns.id[row]!r} is {given[row]}; expected {expected}")
        column = np.array(given, kinds.get(name, f32))
        column.setflags(write=False)
        sound.append(column)
    return type(columns)._make(sound)


def sample_bank(config: Config) -> Bank:
    """Draw the bank that `config` describes, by its own seed (clauses S2.1 to S2.4)."""
    return Bank(
        outcomes=tuple(str(lo) for lo in range(config.num_los)),
        questions=_sample_questions(config),
        contents=sample_contents(config, config.num_los),
    )


def _sample_questions(config: Config) -> Questions:
    split = config.split()
    level = np.tile(np.repeat(np.arange(LEVELS), split), config.num_los)
    n = len(level)
    u = _uniforms(config.bank.seed, QUESTION_TABLE, n)
    words = [word.lower() for word in DIFFICULTIES]
    return Questions(
        id=tuple(f"q{k}" for k in range(n)),
        learning_outcome=np.repeat(np.arange(config.num_los), sum(split)).astype(i32),
        difficulty=level.astype(i8),
        irt_a=_within([getattr(config.irt.discrimination_ranges, w) for w in words], level, u[:, 0]),
        irt_b=_within([getattr(config.irt.difficulty_ranges, w) for w in words], level, u[:, 1]),
        irt_c=_within([config.irt.guessing_range] * LEVELS, level, u[:, 2]),
        response_time_mean=np.full(n, config.irt.response_time_mean, f32),
        response_time_std=np.full(n, config.irt.response_time_std, f32),
    )


def sample_contents(config: Config, num_los: int) -> Contents:
    """Draw contents for `num_los` outcomes (clause S2.3): one a modality, more spread as S2.1 spreads questions."""
    whole, rest = divmod(config.num_contents_per_lo, KINDS)
    kind = np.tile(np.repeat(np.arange(KINDS), [whole + (k < rest) for k in range(KINDS)]), num_los)
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
    """Uniform variates (n, 4) on (0, 1): row k from the counter (0, table, k, BANK)."""
    words, zeros = np.empty(4 * n, u32), np.zeros(n, u32)
    random_words(zeros, zeros + u32(table), np.arange(n, dtype=u32), u32(Purpose.BANK), np.full(n, seed, u64), words)
    return np.asarray((words.reshape(n, 4) + 0.5) / 2.0**32)


def _within(ranges: list[tuple[float, float]], index: NDArray[Any], u: Doubles) -> Floats:
    """Uniform variates on the range that `index` picks."""
    low, high = np.array(ranges, dtype=np.float64)[index].T
    return np.asarray(low + (high - low) * u, f32)
