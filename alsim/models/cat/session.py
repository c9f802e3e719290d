"""Adaptive tests under way, of many examinees: what to ask next, and what was answered."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.models.cat.report import CATRun
from alsim.models.cat.selection import Pool, Progress, SelectionPlan, answer_all, choose_all, simulate_all
from alsim.models.irt.ability import Estimator
from alsim.types import Bools, Codes, Doubles, Longs, u64


class Session:
    """Tests of N examinees, begun by `CAT.session`.

        session = cat.session(num_examinees=2)
        session.next_items()        which item each is to be asked: (N,), -1 for those whose test has ended
        session.answer([1, 0])      whether the answers are correct; -1 for one that is not in yet

    Whoever has answered gets another item, and whoever has not keeps the one that waits.
    """

    def __init__(
        self,
        pool: Pool,
        plan: SelectionPlan,
        estimator: Estimator,
        start: float,
        num_examinees: int,
        *,
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
            raise AlsimError(f"examinees are numbered below {2**32}; got {num_examinees} from {first} on")
        self._pool, self._plan, self._estimator = pool, plan, estimator
        self._key, self._many = u64(seed), int(num_examinees)
        self._progress = _begun(self._many, int(first), start, pool, plan, estimator)

    @property
    def examinees(self) -> Longs:
        """Numbers of the examinees (N,)."""
        return self._progress.examinee.astype(np.int64)

    @property
    def theta(self) -> Doubles:
        """Estimates of ability so far (N,), logits; the start before the first answer."""
        return self._progress.theta.copy()

    @property
    def se(self) -> Doubles:
        """Their standard errors (N,), logits; infinite before the first answer."""
        return self._progress.se.copy()

    @property
    def lengths(self) -> Longs:
        """How many items each has answered (N,)."""
        return self._progress.length.copy()

    @property
    def finished(self) -> Bools:
        """Whose test has ended (N,)."""
        return self._progress.finished.copy()

    @property
    def all_finished(self) -> bool:
        """Whether all tests have ended."""
        return bool(self._progress.finished.all())

    def next_items(self) -> Longs:
        """Return the item that waits for an answer of each examinee (N,), -1 where the test has ended."""
        choose_all(self._key, self._progress, self._pool, self._plan)
        return self._progress.chosen.astype(np.int64)

    def answer(self, correct: ArrayLike) -> None:
        """Take answers (N,): 0 or 1, and -1 of examinees who have not answered, or whose test has ended.

        Raises AlsimError for other values, and for answers where no item waits; then none is taken.
        """
        answers = np.atleast_1d(np.asarray(correct))
        if answers.shape != (self._many,):
            raise AlsimError(f"answers have shape ({self._many},), one an examinee; got {answers.shape}")
        if not np.isin(answers, (-1, 0, 1)).all():
            odd = int(np.argmin(np.isin(answers, (-1, 0, 1))))
            raise AlsimError(f"the answer of examinee {self.examinees[odd]} is {answers[odd]!r}; expected 0, 1 or -1")
        unasked = (answers >= 0) & (self._progress.chosen < 0)
        if unasked.any():
            who = self.examinees[unasked][0]
            raise AlsimError(f"examinee {who} has been asked nothing: next_items() comes before answer()")
        answer_all(answers.astype(np.int8), self._progress, self._pool, self._plan, self._estimator)

    def simulated(self, abilities: Doubles) -> Codes:
        """Return what examinees of these abilities (N,), logits, answer to the items that wait; -1 where none does."""
        correct = np.empty(self._many, np.int8)
        simulate_all(self._key, abilities, self._progress, self._pool, correct)
        return correct

    def result(self) -> CATRun:
        """Return the tests as they stand."""
        t, rows = self._progress, (self._many, self._plan.max_items)
        return CATRun(
            items=t.item.reshape(rows).copy(),
            correct=t.correct.reshape(rows).copy(),
            theta_after=t.theta_after.reshape(rows).copy(),
            se_after=t.se_after.reshape(rows).copy(),
            theta=self.theta,
            se=self.se,
            lengths=self.lengths,
            finished=self.finished,
            times_selected=(t.status.reshape(self._many, len(self._pool.a)) > 0).sum(axis=0),
            abilities=None,
        )


def _begun(many: int, first: int, start: float, pool: Pool, plan: SelectionPlan, e: Estimator) -> Progress:
    """Return the state of tests that have not begun."""
    steps, width = many * int(plan.max_items), len(e.table) // (2 * len(pool.a))
    return Progress(
        examinee=np.arange(first, first + many, dtype=np.uint32),
        status=np.zeros(many * len(pool.a), np.int8),
        item=np.full(steps, -1, np.int32),
        correct=np.full(steps, -1, np.int8),
        theta_after=np.full(steps, np.nan),
        se_after=np.full(steps, np.nan),
        length=np.zeros(many, np.int64),
        theta=np.full(many, float(start)),
        se=np.full(many, np.inf),
        sums=np.zeros(many * width),
        chosen=np.full(many, -1, np.int64),
        finished=np.zeros(many, np.bool_),
    )
