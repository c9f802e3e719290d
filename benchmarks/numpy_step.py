"""The specified step in NumPy with whole-array operations in float32, without a loop over learners.

It uses NumPy's generator, because a counter-based generator written in NumPy would be much slower. Finished lanes are
reset at the next step. Actions are not validated, and the rows are returned without a copy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

f32 = np.float32
MAX_STEPS, MASTERED, GIVEN_UP = 140, f32(0.8), f32(0.95)
LEARNING_RATE, ABILITY_GAIN, RELIEF, RISE, HARD_RISE = f32(0.05), f32(0.02), f32(0.05), f32(0.10), f32(0.05)
DISCOUNT, NOISE, MIN_SECONDS, MAX_SECONDS = f32(0.5), f32(0.02), f32(5), f32(120)
ONE, HALF, ZERO = f32(1), f32(0.5), f32(0)


class NumpyStep:
    """N learners, stepped by whole-array operations.

    learners  rows (N, L + 2), and ability, frustration, mastery_sum, fail_streak and step, (N,) each
    items     columns of `contenders.cells`: first, size, outcome and hard by action, the others by item
    """

    def __init__(self, learners: dict[str, NDArray[Any]], items: dict[str, NDArray[Any]], seed: int = 0) -> None:
        self.rows, self.ability, self.frustration = learners["rows"], learners["ability"], learners["frustration"]
        self.mastery_sum, self.fail_streak, self.steps = (
            learners[name] for name in ("mastery_sum", "fail_streak", "step")
        )
        self.items = items
        self.lanes, width = self.rows.shape
        self.num_los = width - 2
        self.lane = np.arange(self.lanes)
        self.generator = np.random.Generator(np.random.SFC64(seed))
        self.finished = np.zeros(self.lanes, np.bool_)

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        """Step every lane; lanes whose episode ended are reset instead."""
        answer = self.generator.random(self.lanes, f32)
        noise = self.generator.standard_normal(self.lanes, f32)
        waiting = np.flatnonzero(self.finished)
        rewards, terminated, truncated = self.advance(actions, answer, noise, self.generator.random(self.lanes, f32))
        if len(waiting) > 0:
            self.begin(waiting)
            rewards[waiting], terminated[waiting], truncated[waiting] = ZERO, False, False
        self.finished = terminated | truncated
        return self.rows, rewards, terminated, truncated

    def advance(
        self, actions: NDArray[np.int64], answer: NDArray[Any], noise: NDArray[Any], pick: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
        """Apply clauses S3 to S8 with draws (N,): uniform, normal, and uniform for the choice within a cell."""
        cells, frustration = self.items, self.frustration
        item = cells["first"][actions] + (pick * cells["size"][actions]).astype(np.int64)
        outcome, asks = cells["outcome"][actions], actions < 3 * self.num_los
        steepness, place, guessing = cells["steepness"][item], cells["place"][item], cells["guessing"][item]
        before = self.rows[self.lane, outcome]
        left = ONE - before
        p = guessing + (ONE - guessing) / (ONE + np.exp(-steepness * (self.ability - place)))
        correct = asks & (answer < p)
        effect = steepness * left * (ONE - DISCOUNT * frustration) + NOISE * noise
        risen = before + np.where(asks, np.where(correct, LEARNING_RATE * left, ZERO), np.maximum(ZERO, effect))
        after = np.minimum(ONE, risen)
        gain = after - before
        rise = np.where(cells["hard"][actions] & (before < HALF), RISE + HARD_RISE, RISE)
        moved = frustration + np.where(asks, np.where(correct, -RELIEF, rise), place)
        self.frustration = np.clip(moved, ZERO, ONE)
        self.ability = self.ability + np.where(correct, ABILITY_GAIN, ZERO)
        self.fail_streak = np.where(asks & ~correct, self.fail_streak + 1, 0)
        self.mastery_sum = self.mastery_sum + gain
        self.steps = self.steps + 1
        self.rows[self.lane, outcome] = after
        self.rows[:, -2] = self.frustration
        seconds = np.maximum(MIN_SECONDS, cells["time_mean"][item] + cells["time_std"][item] * noise)
        self.rows[:, -1] = np.where(asks, np.minimum(ONE, seconds / MAX_SECONDS), self.rows[:, -1])
        rewards = np.where(asks, correct + HALF * gain - f32(0.3) * self.frustration, f32(2) * gain - HALF * place)
        mastered = self.mastery_sum >= MASTERED * self.num_los
        over = self.steps >= MAX_STEPS
        truncated = over & ~mastered
        return rewards, mastered | (~over & (self.frustration >= GIVEN_UP)), truncated

    def begin(self, lanes: NDArray[np.int64]) -> None:
        """Draw the state of new learners in some lanes (S1.1 to S1.3)."""
        self.rows[lanes, :-2] = self.generator.beta(2, 5, (len(lanes), self.num_los))
        self.rows[lanes, -2:] = ZERO
        self.ability[lanes] = self.generator.standard_normal(len(lanes), f32)
        self.mastery_sum[lanes] = self.rows[lanes, :-2].sum(axis=1)
        self.frustration[lanes] = ZERO
        self.fail_streak[lanes] = 0
        self.steps[lanes] = 0
