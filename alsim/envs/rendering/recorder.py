"""Record of the episodes in progress: what a frame shows and the simulator does not keep."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.envs.rendering.frame import Frame, LastInteraction, interaction_of, limits_of
from alsim.simulator.simulator import Simulator
from alsim.types import Longs, Reason

UNKNOWN_REASON = -1
"""Code of the termination reason of an episode that was over in a restored snapshot."""

NO_ITEM = -1
"""Item of a lane whose last interaction is unknown, or that has had none in this episode."""

FIRST_CAPACITY = 256
"""Points of the course of an episode that fit at first; the arrays double when they are full."""


class EpisodeRecorder:
    """Start, course and last interaction of the episode in each lane.

    simulator  a simulator of N lanes that records interactions
    """

    def __init__(self, simulator: Simulator) -> None:
        lanes = simulator.lanes
        self._simulator = simulator
        self._start = np.full((lanes, simulator.bank.num_los), np.nan, np.float32)
        self._course = np.full((2, lanes, FIRST_CAPACITY), np.nan, np.float32)  # mean mastery, frustration; by step
        self._item = np.full(lanes, NO_ITEM, np.int32)
        self._correct = np.zeros(lanes, np.bool_)
        self._seconds = np.zeros(lanes, np.float32)
        self._gain = np.zeros(lanes, np.float32)
        self._reward = np.zeros(lanes)
        self._return = np.full(lanes, np.nan)
        self._reason = np.zeros(lanes, np.int8)

    def begin(self, lanes: Longs) -> None:
        """Record the start of the episodes in `lanes` (M,)."""
        self._start[lanes] = self._simulator.mastery[lanes]
        self._course[:, lanes] = np.nan
        self._item[lanes] = NO_ITEM
        self._return[lanes] = 0.0
        self._reason[lanes] = Reason.NONE
        self._record_course(lanes)

    def record(
        self, stepped: Simulator, reward: NDArray[Any], reason: NDArray[Any], lanes: Longs | None = None
    ) -> None:
        """Record a step.

        stepped         the simulator that performed it, with the interactions in its first M lanes
        reward, reason  outputs of the step, (M,)
        lanes           the M lanes of the environment; None: all
        """
        if lanes is None:
            lanes = np.arange(self._simulator.lanes)
        count, last = len(lanes), stepped.interaction
        self._item[lanes] = last.item[:count]
        self._correct[lanes] = last.correct[:count]
        self._seconds[lanes] = last.seconds[:count]
        self._gain[lanes] = last.gain[:count]
        self._reward[lanes] = reward
        self._return[lanes] += reward
        self._reason[lanes] = reason
        self._record_course(lanes)
        begun = lanes[self._simulator.learners.step[lanes] == 0]  # by autoreset
        if len(begun) > 0:
            self.begin(begun)

    def forget(self) -> None:
        """Forget the episodes, after a snapshot was restored: it has the state of the learners only."""
        everyone = np.arange(self._simulator.lanes)
        self.begin(everyone)
        continued = everyone[self._simulator.learners.step > 0]
        self._start[continued] = np.nan
        self._return[continued] = np.nan
        self._reason[self._simulator.learners.finished] = UNKNOWN_REASON

    def frame(self, lane: int, *, single: bool) -> Frame:
        """Return the frame of a lane; `single` omits its number."""
        simulator, learners = self._simulator, self._simulator.learners
        step = int(learners.step[lane])
        mean_mastery, frustration = self._course[:, lane, : step + 1].copy()
        return Frame(
            lane=None if single else lane,
            seed=int(learners.key[lane]),
            learner=int(learners.learner[lane]),
            episode=int(learners.episode[lane]),
            step=step,
            outcomes=simulator.bank.outcomes,
            observation=simulator.observation_kind,
            mastery=simulator.mastery[lane].copy(),
            mastery_at_start=self._start[lane].copy(),
            mean_mastery=mean_mastery,
            frustration=frustration,
            ability=float(learners.ability[lane]),
            fail_streak=int(learners.fail_streak[lane]),
            episode_return=float(self._return[lane]),
            last=self._last(lane),
            reason=_reason_word(int(self._reason[lane])),
            **limits_of(simulator.config),  # type: ignore[arg-type]
        )

    def _last(self, lane: int) -> LastInteraction | None:
        """Return the last interaction of a lane, or None."""
        item = int(self._item[lane])
        if item == NO_ITEM:
            return None
        return interaction_of(
            self._simulator.bank,
            item,
            correct=bool(self._correct[lane]),
            seconds=float(self._seconds[lane]),
            gain=float(self._gain[lane]),
            reward=float(self._reward[lane]),
        )

    def _record_course(self, lanes: Longs) -> None:
        """Record the current mean mastery and frustration of `lanes` (M,)."""
        learners = self._simulator.learners
        step = learners.step[lanes]
        while step.max(initial=0) >= self._course.shape[2]:
            self._course = np.concatenate([self._course, np.full_like(self._course, np.nan)], axis=2)
        self._course[0, lanes, step] = learners.mastery_sum[lanes] / self._simulator.bank.num_los
        self._course[1, lanes, step] = learners.frustration[lanes]


def _reason_word(code: int) -> str | None:
    """Return the reason for the end of an episode; None while it continues."""
    return "unknown (restored)" if code == UNKNOWN_REASON else Reason(code).word
