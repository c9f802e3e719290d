"""Each dynamics against a scalar twin in plain Python, which shares no code with the package (clauses S13 and S14)."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from by_dynamics import case
from oracle import INTERACTION, SETTINGS, Oracle, philox4x32, uniform

import alsim
from alsim.config import Config

EDGES = [(0, 1), (1, 2), (0, 2), (2, 3)]
BREAK_EVERY, BREAK_HOURS = 9, 24.0
OWN_START = 7
"""Purpose of the random numbers with which a dynamics draws its own start (S11.1)."""


class Timed(Oracle):
    """The oracle with a clock and breaks (S13.1)."""

    def reset(self, seed: int, learner: int = 0, episode: int = 0) -> Any:
        self.hours = 0.0
        return super().reset(seed, learner, episode)

    def step(self, action: int, propensity: float = math.nan) -> Any:
        outcome = super().step(action, propensity)
        result = outcome[4]["result"]
        seconds = result.get("response_time")
        if seconds is None:
            seconds = 60 * self.contents[self.log[-1]["item"] - len(self.questions)]["duration"]
        self.worked(seconds)
        self.hours += seconds / 3600
        if self.step_count % BREAK_EVERY == 0 and outcome[4]["termination_reason"] is None:
            self.hours += BREAK_HOURS
        return outcome

    def worked(self, seconds: float) -> None:
        """Change the state by the time of an interaction."""


class Linked(Timed):
    """S14.2, with k = 2."""

    def chance(self, item: Any, lo: int) -> float:
        logit = item["irt_a"] * (self.ability - item["irt_b"]) + 2 * (self.mastery[lo] - 0.5)
        return item["irt_c"] + (1 - item["irt_c"]) / (1 + math.exp(-logit))


class Prerequisites(Timed):
    """S14.4, with kappa = 1."""

    def rate(self, lo: int) -> float:
        return math.exp(-sum(1 - self.mastery[parent] for parent, child in EDGES if child == lo))


class Fatigue(Timed):
    """S14.7, with the default constants."""

    def reset(self, seed: int, learner: int = 0, episode: int = 0) -> Any:
        self.effort, self.ended = 0.0, 0.0
        return super().reset(seed, learner, episode)

    def step(self, action: int, propensity: float = math.nan) -> Any:
        self.effort *= math.exp(-(self.hours - self.ended) / 8)
        return super().step(action, propensity)

    def rate(self, lo: int) -> float:
        return 1 - 0.3 * self.effort

    def slowness(self) -> float:
        return 1 + 0.3 * self.effort

    def worked(self, seconds: float) -> None:
        self.effort = 1 - (1 - self.effort) * math.exp(-seconds / 60 / 60)
        self.ended = self.hours + seconds / 3600


class Bkt(Timed):
    """S14.3, with a forgetting of .05, so that every path occurs."""

    def reset(self, seed: int, learner: int = 0, episode: int = 0) -> Any:
        super().reset(seed, learner, episode)
        words = [w for block in range(-(-self.num_los // 4)) for w in self.words(0, OWN_START, block)]
        self.mastery = [1.0 if uniform(words[lo]) < 0.3 else 0.0 for lo in range(self.num_los)]
        return self.observation()

    def words(self, step: int, purpose: int, block: int = 0) -> Any:
        counter = (step, self.episode, self.learner, purpose | block << 16)
        return philox4x32(counter, (self.seed % 2**32, self.seed >> 32))

    def chance(self, item: Any, lo: int) -> float:
        return 0.9 if self.mastery[lo] else 0.2

    def becomes(self, lo: int, learn: float) -> float:
        further = uniform(self.words(self.step_count, INTERACTION, 1)[0])
        if self.mastery[lo]:
            return 0.0 if further < 0.05 else 1.0
        return 1.0 if further < learn else 0.0

    def practised(self, lo: int, correct: bool) -> float:
        return self.becomes(lo, 0.1)

    def studied(self, lo: int, item: Any) -> float:
        return self.becomes(lo, min(1.0, 0.3 * item["effectiveness"] / 0.15))


class Remembering(Timed):
    """Learners who forget: recall is observed after each interaction, and again after a break (S14.5, S14.6)."""

    strength, ability_weight = 0.7, 0.5

    def reset(self, seed: int, learner: int = 0, episode: int = 0) -> Any:
        observation = super().reset(seed, learner, episode)
        self.start = list(self.mastery)
        self.memory: list[Any] = [None] * self.num_los
        return observation

    def step(self, action: int, propensity: float = math.nan) -> Any:
        return Oracle.step(self, action, propensity)

    def question(self, item: Any, decoded: Any) -> Any:
        result = super().question(item, decoded)
        self.elapsed = result["response_time"] / 3600
        return result

    def content(self, item: Any, decoded: Any) -> Any:
        self.elapsed = item["duration"] / 60
        return super().content(item, decoded)

    def termination_reason(self) -> Any:
        self.pass_time(self.elapsed)
        reason = super().termination_reason()
        if reason is None and self.step_count % BREAK_EVERY == 0:
            self.pass_time(BREAK_HOURS)
        return reason

    def pass_time(self, hours: float) -> None:
        self.hours += hours
        self.mastery = [self.recall(lo) for lo in range(self.num_los)]

    def recall(self, lo: int) -> float:
        """Return the probability of recall now."""
        raise NotImplementedError

    def chance(self, item: Any, lo: int) -> float:
        recall = min(self.recall(lo), 1 - 1e-12)
        logit = math.log(recall / (1 - recall)) + self.ability_weight * item["irt_a"] * (self.ability - item["irt_b"])
        return item["irt_c"] + (1 - item["irt_c"]) / (1 + math.exp(-logit))

    def rate(self, lo: int) -> float:
        return math.exp(-self.strength * sum(1 - self.mastery[parent] for parent, child in EDGES if child == lo))


class HalfLife(Remembering):
    """S14.5, with half-lives of about a day, so that recall takes all values."""

    def recall(self, lo: int) -> float:
        if self.memory[lo] is None:
            return self.start[lo]
        right, wrong, last = self.memory[lo]
        days = 2 ** (-0.1 + 0.25 * math.sqrt(1 + right) - 0.15 * math.sqrt(1 + wrong))
        return 2 ** (-(self.hours - last) / (24 * min(274, max(1 / 96, days))))

    def practised(self, lo: int, correct: bool) -> float:
        right, wrong, _ = self.memory[lo] or (0.0, 0, 0)
        self.memory[lo] = (right + self.rate(lo) * correct, wrong + (not correct), self.hours)
        return 1.0

    def studied(self, lo: int, item: Any) -> float:
        right, wrong, _ = self.memory[lo] or (0.0, 0, 0)
        self.memory[lo] = (right + self.rate(lo) * item["effectiveness"] / 0.15, wrong, self.hours)
        return 1.0


W = (
    *(0.212, 1.2931, 2.3065, 8.2956, 6.4133, 0.8334, 3.0194, 0.001, 1.8722, 0.1666, 0.796),
    *(1.4835, 0.0614, 0.2629, 1.6483, 0.6014, 1.8729, 0.5425, 0.0912, 0.0658, 0.1542),
)
"""Published weights of FSRS-6."""


class Fsrs(Remembering):
    """S14.6, with the published weights."""

    def recall(self, lo: int) -> float:
        if self.memory[lo] is None:
            return self.start[lo]
        stability, _, last = self.memory[lo]
        return (1 + (0.9 ** (-1 / W[20]) - 1) * (self.hours - last) / 24 / stability) ** -W[20]

    def practised(self, lo: int, correct: bool) -> float:
        noise = self.draws["noise"]
        grade = (
            4 if noise < NormalDist().inv_cdf(0.145) else 2 if noise > NormalDist().inv_cdf(0.776) else 3
        ) * correct
        return self.review(lo, grade or 1, 1.0)

    def studied(self, lo: int, item: Any) -> float:
        return self.review(lo, 3, item["effectiveness"] / 0.15)

    def review(self, lo: int, grade: int, weight: float) -> float:
        first = 1 + W[4] - math.exp(W[5] * (grade - 1))
        if self.memory[lo] is None:
            stability, wanted, difficulty = 0.0, W[grade - 1], first
        else:
            stability, before, last = self.memory[lo]
            wanted = self.later(stability, before, (self.hours - last) / 24, self.recall(lo), grade)
            easiest = 1 + W[4] - math.exp(W[5] * 3)
            difficulty = W[7] * easiest + (1 - W[7]) * (before - W[6] * (grade - 3) * (10 - before) / 9)
        change = weight * (wanted - stability)
        after = max(0.001, stability + change * (self.rate(lo) if change > 0 else 1))
        self.memory[lo] = (after, min(10, max(1, difficulty)), self.hours)
        return 1.0

    def later(self, s: float, d: float, days: float, recall: float, grade: int) -> float:
        if days < 1:
            factor = math.exp(W[17] * (grade - 3 + W[18])) * s ** -W[19]
            return s * (max(1, factor) if grade > 1 else factor)
        if grade == 1:
            lapsed = W[11] * d ** -W[12] * ((s + 1) ** W[13] - 1) * math.exp(W[14] * (1 - recall))
            return min(lapsed, s / math.exp(W[17] * W[18]))
        growth = math.exp(W[8]) * (11 - d) * s ** -W[9] * (math.exp(W[10] * (1 - recall)) - 1)
        return s * (1 + growth * {2: W[15], 3: 1, 4: W[16]}[grade])


MEMORY = {"strength": Remembering.strength, "ability_weight": Remembering.ability_weight}
TWINS: dict[str, tuple[type[Timed], dict[str, float]]] = {
    "standard": (Timed, {}),
    "linked": (Linked, {}),
    "prerequisites": (Prerequisites, {}),
    "fatigue": (Fatigue, {}),
    "bkt": (Bkt, {"p_forget": 0.05}),
    "half-life": (HalfLife, MEMORY),
    "fsrs": (Fsrs, MEMORY),
}
LEARNERS, STEPS = 40, 60
TOLERANCE = 1e-5
"""Rounding: 60 interactions add at most 60 * 2**-24 = 3.6e-6, and the float32 exponential 1e-6 (measured: 3e-6)."""
MARGIN = 1e-5
"""Draws within this distance of the chance are not compared: float32 and the twin may round differently."""


@pytest.mark.heavy
@pytest.mark.parametrize("name", [case(name, compiled=name in ("standard", "bkt", "fsrs")) for name in TWINS])
def test_a_dynamics_equals_its_twin(name: str) -> None:
    twin, parameters = TWINS[name]
    ends = {"mastery_threshold": 1.0, "max_frustration": 1.0} if issubclass(twin, Remembering) else {}
    rules = Config.read(
        {
            "num_los": 4,
            "max_episode_steps": STEPS,
            "dynamics": {"name": name, **parameters},
            "curriculum": EDGES,
            "termination": ends,
            "sessions": {"interactions": BREAK_EVERY, "break_hours": BREAK_HOURS},
        }
    )
    env = alsim.AdaptiveLearningVectorEnv(LEARNERS, config=rules)
    observations, _ = env.reset(seed=11)
    questions = [env.bank.question(k) for k in range(env.bank.num_questions)]
    contents = [env.bank.content(k) for k in range(env.bank.num_contents)]
    twins = [twin(questions, contents, max_episode_steps=STEPS, **ends) for _ in range(LEARNERS)]
    for k, one in enumerate(twins):
        assert np.abs(observations[k] - one.reset(11, k)).max() < TOLERANCE
    random, open_lanes, compared = np.random.default_rng(2), set(range(LEARNERS)), 0
    for _ in range(STEPS):
        actions = random.integers(0, 36, LEARNERS)
        observations, rewards, terminated, truncated, _ = env.step(actions)
        truth = env.truth()
        for k in sorted(open_lanes):
            row, reward, ended, cut, info = twins[k].step(int(actions[k]))
            result = info["result"]
            if result["type"] == "question" and abs(twins[k].draws["answer"] - twins[k].p) < MARGIN:
                open_lanes.discard(k)
                continue
            compared += 1
            assert np.abs(observations[k] - row).max() < TOLERANCE, (k, twins[k].step_count)
            assert abs(rewards[k] - reward) < TOLERANCE
            assert abs(truth["hours"][k] - twins[k].hours) < 1e-3
            if isinstance(twins[k], Fatigue):
                assert abs(truth["learner_state.effort"][k] - twins[k].effort) < TOLERANCE
            assert (bool(terminated[k]), bool(truncated[k])) == (ended, cut)
            if ended or cut:
                open_lanes.discard(k)
    assert compared > LEARNERS * STEPS / 3


def test_the_settings_of_the_twins_are_the_specification() -> None:
    assert SETTINGS["learning_rate"] == 0.05 and SETTINGS["gain_noise"] == 0.02
