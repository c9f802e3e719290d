"""The clock of a learner, breaks between sessions, and delayed retention (clauses S13.1 to S13.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import outside_dynamics
import pytest

import alsim
from alsim.policies import PolicyDraws, View

EVERY, BREAK, DELAY = 5, 6.5, 30.0
TIMED = {
    "num_los": 4,
    "max_episode_steps": 12,
    "sessions": {"interactions": EVERY, "break_hours": BREAK},
    "retention": {"delay_hours": DELAY},
}


class Reader:
    """A policy that shows or asks anything, and keeps the clock that it reads."""

    name = "reader"

    def __init__(self) -> None:
        self.read: dict[int, list[float]] = {}
        self.widths: set[int] = set()

    def act(self, view: View, draws: PolicyDraws) -> Any:
        """Return the actions and their probabilities."""
        for lane in np.flatnonzero(view.active):
            self.read.setdefault(int(lane), []).append(float(view.hours[lane]))
        self.widths.add(view.observation.shape[1])
        return (7 * view.step + np.arange(len(view.active))) % 36, np.ones(len(view.active))


def test_a_policy_reads_the_clock_which_adds_times_and_breaks() -> None:
    policy = Reader()
    rollout = alsim.rollout(policy, num_learners=6, seed=3, config=TIMED)
    interactions, minutes = rollout.interactions, rollout.bank.contents.duration
    for episode, read in policy.read.items():
        mine = interactions.episode == episode
        items, seconds = interactions.item[mine], interactions.response_time[mine].astype(float)
        contents = items >= rollout.bank.num_questions
        seconds[contents] = 60 * minutes[items[contents] - rollout.bank.num_questions]
        breaks = BREAK * (np.arange(1, len(items) + 1) % EVERY == 0)
        clock = np.cumsum(seconds / 3600 + breaks)
        np.testing.assert_allclose(read, [0, *clock[:-1]], rtol=1e-6)
    assert len(policy.read) == 6 and max(map(len, policy.read.values())) == 12
    assert policy.widths == {4 + 2}  # the observation has no clock


@pytest.fixture
def fading() -> str:
    outside_dynamics.register()
    return "fading"


@pytest.mark.ci
def test_each_episode_that_continues_has_its_breaks(fading: str) -> None:
    """Also where recall that has faded decides that the episode continues; the mean is often near the threshold."""
    rules = {**TIMED, "dynamics": {"name": fading, "fading": 0.5}, "curriculum": [[0, 1]]}
    config = {**rules, "sessions": {"interactions": 1, "break_hours": BREAK}, "termination": {"mastery_threshold": 0.4}}
    env = alsim.AdaptiveLearningVectorEnv(200, config=config, autoreset_mode="Disabled")
    env.reset(seed=3)
    over = np.zeros(200, bool)
    for step in range(12):
        before = env.truth()["hours"]
        _, _, terminated, truncated, _ = env.step((7 * step + np.arange(200)) % 36)
        over |= terminated | truncated
        assert (env.truth()["hours"] - before)[~over].min() >= BREAK
        if over.any():
            env.reset(options={"reset_mask": over})
            over[:] = False


@pytest.mark.ci
def test_delayed_retention_is_the_mean_recall_after_the_delay(fading: str) -> None:
    """The recall by the formula of the dynamics, from the state at the end of an episode."""
    rules = {**TIMED, "dynamics": fading, "curriculum": [[0, 1]], "termination": {"mastery_threshold": 1.0}}
    policy = Reader()
    metrics = alsim.rollout(policy, num_learners=6, seed=3, config=rules).metrics
    env = alsim.AdaptiveLearningVectorEnv(6, config=rules, autoreset_mode="Disabled")
    env.reset(seed=3)
    ended, compared = np.zeros(6, bool), 0
    for step in range(12):
        truth_before = env.truth()
        _, _, terminated, truncated, _ = env.step((7 * step + np.arange(6)) % 36)
        truth = env.truth()
        for lane in np.flatnonzero((terminated | truncated) & ~ended):
            state = {name: truth[f"lo_state.{name}"][lane].astype(float) for name in ("recall", "hours", "right")}
            hours = np.maximum(0, truth["hours"][lane] + DELAY - state["hours"])
            recall = state["recall"] * np.exp(-0.02 / (1 + state["right"]) * hours)
            expected = np.where(state["recall"] < 0, truth["mastery"][lane], recall).mean()
            assert abs(metrics.delayed_retention[lane] - expected) < 1e-5
            assert metrics.delayed_retention[lane] < metrics.final_mastery[lane]
            compared += 1
        assert (truth["hours"] >= truth_before["hours"]).all()
        ended |= terminated | truncated
        if ended.all():
            break
    assert compared == 6


@pytest.mark.ci
def test_without_forgetting_delayed_retention_is_the_final_mastery() -> None:
    metrics = alsim.rollout("uniform", num_learners=20, seed=0, config=TIMED).metrics
    np.testing.assert_array_equal(metrics.delayed_retention, metrics.final_mastery)
