"""Adaptive tests that are administered step by step, for many examinees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError
from alsim.models.cat.results import CATRun
from alsim.models.cat.selection import (
    NONE,
    ItemPool,
    SelectionPlan,
    SessionState,
    record_answers,
    select_items,
    simulate_answers,
)
from alsim.models.irt.ability import Estimator
from alsim.types import Bools, Codes, Doubles, Longs, u64


class Session:
    """Adaptive tests of N examinees; `CAT.session` starts them.

        session = cat.session(num_examinees=2)
        session.next_items()        # (N,) item of each examinee, -1 if the test has ended
        session.answer([1, 0])      # (N,) 1 correct, 0 wrong, -1 not answered yet
        session.next_names()        # the same items as `next_items`, by name
        session.answer([0, 1], items=["q17", "q4"])  # checks that these are the pending items

    An examinee who has answered gets a new item. An examinee who has not answered keeps the pending item.
    """

    def __init__(
        self,
        pool: ItemPool,
        plan: SelectionPlan,
        estimator: Estimator,
        start: float,
        num_examinees: int,
        *,
        names: NDArray[np.str_],
        seed: int,
        first: int,
    ) -> None:
        for name, value, limit in (
            ("num_examinees", num_examinees, 2**32),
            ("first", first, 2**32),
            ("seed", seed, 2**64),
        ):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < limit:
                raise AlsimError(f"{name} is {value!r}; expected an integer from 0 to {limit - 1}")
        if first + num_examinees > 2**32:
            raise AlsimError(
                f"first + num_examinees must be at most {2**32}; got first={first} and num_examinees={num_examinees}"
            )
        self._pool, self._plan, self._estimator, self._names = pool, plan, estimator, names
        self._key, self._num_examinees = u64(seed), int(num_examinees)
        self._state = _initial_state(self._num_examinees, int(first), start, pool, plan, estimator)

    def __repr__(self) -> str:
        return f"<Session: tests of {self._num_examinees:,} examinees, {self._state.finished.sum():,} finished>"

    @property
    def examinees(self) -> Longs:
        """Numbers (N,) of the examinees."""
        return self._state.examinee.astype(np.int64)

    @property
    def theta(self) -> Doubles:
        """Current estimates (N,) of ability, logits; `CAT.first_ability` before the first answer."""
        return self._state.theta.copy()

    @property
    def se(self) -> Doubles:
        """Standard errors (N,) of the estimates, logits; infinite before the first answer."""
        return self._state.se.copy()

    @property
    def lengths(self) -> Longs:
        """Number (N,) of items that each examinee has answered."""
        return self._state.length.copy()

    @property
    def finished(self) -> Bools:
        """(N,) True for examinees whose test has ended."""
        return self._state.finished.copy()

    @property
    def all_finished(self) -> bool:
        """True if all tests have ended."""
        return bool(self._state.finished.all())

    def next_items(self) -> Longs:
        """Return the pending item (N,) of each examinee, -1 if the test has ended; select new items where needed."""
        select_items(self._key, self._state, self._pool, self._plan)
        return self._state.pending.astype(np.int64)

    def next_names(self) -> list[str | None]:
        """Return the names (N,) of the items of `next_items`, None if the test has ended."""
        return [str(self._names[item]) if item >= 0 else None for item in self.next_items()]

    def answer(self, correct: ArrayLike, items: ArrayLike | None = None) -> None:
        """Record answers to the pending items.

        correct  (N,) 0 or 1; -1 for examinees who have not answered, or whose test has ended
        items    (N,) names or indices of the items that were answered, for a check: an answer that arrives twice or
                 late is then refused, not recorded for another item. Ignored where `correct` is -1

        Raises AlsimError for other values, for an answer without a pending item, and for an answer to another item. On
        error, no answer is recorded.
        """
        answers = np.atleast_1d(np.asarray(correct))
        if answers.shape != (self._num_examinees,):
            raise AlsimError(f"answers must have shape ({self._num_examinees},), one per examinee; got {answers.shape}")
        if not np.isin(answers, (-1, 0, 1)).all():
            first = int(np.argmin(np.isin(answers, (-1, 0, 1))))
            raise AlsimError(
                f"the answer of examinee {self.examinees[first]} is {answers[first]!r}; expected 0, 1 or -1"
            )
        without_item = (answers >= 0) & (self._state.pending < 0)
        if without_item.any():
            examinee = self.examinees[without_item][0]
            raise AlsimError(f"examinee {examinee} has no pending item: call next_items() before answer()")
        if items is not None:
            self._check_items(np.atleast_1d(np.asarray(items)), answers >= 0)
        record_answers(answers.astype(np.int8), self._state, self._pool, self._plan, self._estimator)

    def _check_items(self, items: NDArray[Any], answered: Bools) -> None:
        """Raise AlsimError unless `items` are the pending items, as names or indices, where `answered`."""
        if items.shape != answered.shape:
            raise AlsimError(f"items must have shape {answered.shape}, one per examinee; got {items.shape}")
        by_index = np.issubdtype(items.dtype, np.integer)
        for n in np.flatnonzero(answered):
            pending = self._state.pending[n]
            expected = pending if by_index else self._names[pending]
            if by_index and str(items[n]) == self._names[pending] and items[n] != pending:
                raise AlsimError(
                    f"items has the integer {items[n]}, which is an index, not a name; the pending item of examinee "
                    f"{self.examinees[n]} has the index {pending}: pass its name as text, {str(items[n])!r}"
                )
            if items[n] != expected:
                raise AlsimError(
                    f"the pending item of examinee {self.examinees[n]} is {expected}, and not {items[n]}; pass the "
                    "answer to the pending item, or -1"
                )

    def simulated(self, abilities: Doubles) -> Codes:
        """Return simulated answers (N,) to the pending items, 0 or 1; -1 without a pending item.

        abilities  (N,) true abilities, logits
        """
        correct = np.empty(self._num_examinees, np.int8)
        simulate_answers(self._key, abilities, self._state, self._pool, correct)
        return correct

    def result(self) -> CATRun:
        """Return the results so far."""
        state, rows = self._state, (self._num_examinees, self._plan.max_items)
        status = state.status.reshape(self._num_examinees, len(self._pool.a))
        return CATRun(
            items=state.item.reshape(rows).copy(),
            correct=state.correct.reshape(rows).copy(),
            theta_after=state.theta_after.reshape(rows).copy(),
            se_after=state.se_after.reshape(rows).copy(),
            theta=self.theta,
            se=self.se,
            lengths=self.lengths,
            finished=self.finished,
            times_selected=(status > 0).sum(axis=0),
            abilities=None,
            names=self._names,
        )


def _initial_state(
    num_examinees: int, first: int, start: float, pool: ItemPool, plan: SelectionPlan, e: Estimator
) -> SessionState:
    """Return the state before the first item; `first` is the number of the first examinee."""
    steps, width = num_examinees * int(plan.max_items), len(e.table) // (2 * len(pool.a))
    return SessionState(
        examinee=np.arange(first, first + num_examinees, dtype=np.uint32),
        status=np.zeros(num_examinees * len(pool.a), np.int8),
        item=np.full(steps, -1, np.int32),
        correct=np.full(steps, -1, np.int8),
        theta_after=np.full(steps, np.nan),
        se_after=np.full(steps, np.nan),
        length=np.zeros(num_examinees, np.int64),
        theta=np.full(num_examinees, float(start)),
        se=np.full(num_examinees, np.inf),
        sums=np.zeros(num_examinees * width),
        pending=np.full(num_examinees, NONE, np.int64),
        finished=np.zeros(num_examinees, np.bool_),
    )
