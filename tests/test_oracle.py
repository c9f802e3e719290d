"""The batch loop compared with the oracle under the same draws, and the distributions of the draws.

Tolerance. The loop computes in float32, the oracle in float64. One operation on values in [0, 1] errs by at most
2**-25 (half a unit at 1). No rule magnifies an error of its input: mastery and frustration move towards a bound, and
ability is a sum. So the errors at most add up over t interactions; for the mastery of an LO, over those with that LO:

    mastery        2e-7 at the start (the table of quantiles), then at most 8 operations and the error of the noise
    frustration    at most 3 operations, and the rounding of its parameter
    ability        the error of the first normal variate, then half a unit below 8 (2**-22) each time
    response time  the error of the normal variate and three roundings of some 100 s; nothing accumulates

Discrete values must be equal, except where the oracle is within these tolerances of a threshold. A lane that takes
the other side there is no longer compared, and the number of such lanes is tested.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Oracle, p_correct
from scipy import stats
from worlds import MODES, Lanes, default_bank, oracle_of

from alsim.config import Config
from alsim.jit.compile import COMPILED
from alsim.types import Reason

NORMAL_ERROR = 2e-6  # tests/numerics/test_variates.py
UNIT = 2.0**-25

CONFIGS = {
    "specified": {},
    "one outcome": {"num_los": 1, "max_episode_steps": 60},
    "few outcomes": {"num_los": 3, "num_questions_per_lo": 11, "num_contents_per_lo": 14},
    "low threshold": {"num_los": 2, "termination": {"mastery_threshold": 0.6}},
    "other parameters": {
        "num_los": 7,
        "max_episode_steps": 90,
        "dynamics": {
            "learning_rate": 0.2,
            "ability_gain": 0.05,
            "frustration_relief": 0.11,
            "frustration_rise": 0.07,
            "hard_rise": 0.013,
            "hard_below": 0.3,
            "frustration_discount": 0.9,
            "gain_noise": 0.1,
            "response_time_min": 20.0,
        },
        "reward_weights": {
            "correctness": 0.3,
            "mastery_gain": -2.0,
            "frustration_penalty": 1.7,
            "post_content_gain": 5.0,
            "engagement": -0.9,
        },
        "termination": {"max_frustration": 0.8, "mastery_threshold": 0.9},
        "learner": {"mastery_alpha": 0.5, "mastery_beta": 0.7, "ability_mean": 0.5, "ability_std": 2.0},
        "irt": {"response_time_std": 25.0, "max_response_time": 60.0},
        "bank": {"seed": 99},
    },
    "learning pays": {"num_los": 5, "reward_weights": "learning"},
}


class Tolerance:
    """Largest errors of float32 after a number of interactions with each LO."""

    def __init__(self, config: Config, visits: Any) -> None:
        p, w = config.dynamics, config.reward_weights
        t = int(visits.sum())
        self.mastery = 2e-7 + visits * (8 * UNIT + p.gain_noise * NORMAL_ERROR)
        self.mean_mastery = float(self.mastery.mean())
        self.frustration = 1e-9 + t * 4 * UNIT
        self.ability = config.learner.ability_std * NORMAL_ERROR + 2.0**-22 * (t + 2)
        self.seconds = config.irt.response_time_std * NORMAL_ERROR + 200 * 2.0**-23
        self.p = 2 / 4 * self.ability + 1e-6
        self.last = [self.frustration + UNIT, self.seconds / config.irt.max_response_time + 1e-7]
        weights = sum(abs(x) for x in w.model_dump().values())
        self.reward = weights * max(2 * self.mastery.max(), self.frustration) + 1e-6

    def observation(self, responses: bool) -> Any:
        """Return the tolerance of each entry of an observation; a share is one division."""
        return np.array([*(np.full(2 * len(self.mastery), 1e-7) if responses else self.mastery), *self.last])


def near_a_threshold(oracle: Oracle, before: float, tolerance: Tolerance) -> bool:
    """Return whether float32 may have decided otherwise in the last step of the oracle."""
    result = oracle.log[-1]["result"]
    lo = result["lo"]
    if result["type"] == "question":
        if abs(oracle.draws["answer"] - oracle.p) < tolerance.p:
            return True
        if result["difficulty"] == 2 and abs(before - oracle.s["hard_below"]) < tolerance.mastery[lo]:
            return True
    return (
        abs(oracle.frustration - oracle.s["max_frustration"]) < tolerance.frustration
        or abs(oracle.mean_mastery - oracle.s["mastery_threshold"]) < tolerance.mean_mastery
    )


def agree(lanes: Lanes, lane: int, oracle: Oracle, reward: float, reason: str | None, tolerance: Tolerance) -> bool:
    """Return whether the discrete values of the last step of a lane equal those of the oracle."""
    entry, happened = oracle.log[-1], lanes.interaction
    return (
        happened.item[lane] == entry["item"]
        and happened.correct[lane] == entry["result"].get("correct", False)
        and Reason(lanes.out.reason[lane]).word == reason
        and abs(lanes.out.reward[lane] - reward) < tolerance.reward
    )


def compare(
    config: Config, *, lanes: int, steps: int, mode: str, responses: bool, seed: int, content: float = 0.5
) -> dict[str, int]:
    """Step the loop and the oracles; return the numbers of steps, of endings by reason, and of cut-off lanes."""
    observation = "responses" if responses else "mastery"
    learners = np.where(np.arange(lanes) % 2, 2**32 - 1 - np.arange(lanes), np.arange(lanes))
    world = Lanes(lanes, config, seed=seed, learner=learners, episode=5, responses=responses, mode=MODES[mode])
    oracles = [oracle_of(config, world.bank, observation) for _ in range(lanes)]
    random = np.random.default_rng(seed % 2**32)
    visits = np.zeros((lanes, world.num_los), int)
    expected = 0.0
    counts = {"steps": 0, "cut off": 0, "none": 0, **{r.word: 0 for r in Reason if r}}  # type: ignore[misc]
    compared = set(range(lanes))
    waiting: set[int] = set()

    def check_start(lane: int, episode: int) -> None:
        row = oracles[lane].reset(seed, int(learners[lane]), episode)
        visits[lane] = 0
        tolerance = Tolerance(config, visits[lane])
        assert (abs(world.observations[lane].astype(float) - row) <= tolerance.observation(responses)).all()
        assert abs(float(world.learners.ability[lane]) - oracles[lane].ability) < tolerance.ability
        assert world.learners.step[lane] == 0

    for lane in compared:
        check_start(lane, 5)
    for _ in range(steps):
        shown = random.random(lanes) < content
        actions = np.where(shown, random.integers(3 * world.num_los, 9 * world.num_los, lanes), 0)
        actions = np.where(shown, actions, random.integers(0, 3 * world.num_los, lanes))
        out = world.step(actions)
        for lane in sorted(compared):
            oracle, state = oracles[lane], world.learners
            if lane in waiting:  # NEXT_STEP: this step started the next episode
                waiting.remove(lane)
                check_start(lane, oracle.episode + 1)
                assert (out.reward[lane], out.reason[lane], out.live[lane]) == (0, 0, False)
                continue
            before = list(oracle.mastery)
            row, reward, terminated, truncated, info = oracle.step(int(actions[lane]))
            lo, reason = info["result"]["lo"], info["termination_reason"]
            visits[lane, lo] += 1
            tolerance = Tolerance(config, visits[lane])
            if info["result"]["type"] == "question":
                expected += 2 * tolerance.p
            counts["steps"] += 1
            if not agree(world, lane, oracle, reward, reason, tolerance):
                assert near_a_threshold(oracle, before[lo], tolerance)
                counts["cut off"] += 1
                compared.remove(lane)
                continue
            assert out.live[lane]
            assert (out.terminated[lane], out.truncated[lane]) == (terminated, truncated)
            assert abs(float(world.interaction.gain[lane]) - info["result"]["mastery_gain"]) < 2 * tolerance.mastery[lo]
            ended_in_place = mode == "SAME_STEP" and reason is not None
            final = world.final.reshape(-1, world.width) if ended_in_place else world.observations
            assert (abs(final[lane].astype(float) - row) <= tolerance.observation(responses)).all()
            counts[reason or "none"] += 1
            if reason and mode == "SAME_STEP":
                check_start(lane, oracle.episode + 1)
                continue
            assert abs(float(state.ability[lane]) - oracle.ability) < tolerance.ability
            assert abs(float(state.frustration[lane]) - oracle.frustration) < tolerance.frustration
            assert abs(float(state.response_time[lane]) - oracle.last_response_time) < tolerance.seconds
            assert abs(state.mastery_sum[lane] / world.num_los - oracle.mean_mastery) < tolerance.mean_mastery
            assert state.fail_streak[lane] == oracle.fail_streak
            assert state.step[lane] == oracle.step_count
            if reason and mode == "NEXT_STEP":
                waiting.add(lane)
            elif reason:
                compared.remove(lane)
        if not compared:
            break
    assert expected < EXPECTED
    return counts


LANES = 40 if COMPILED else 8

# Expected number of 40 lanes within the tolerance of a threshold: 2 * tolerance * density * steps. For answers
# (density 1) this is 2 * 1.2e-5 * 1 * 4000 < 0.1, and less for masteries. Frustration moves by hundredths and is
# exactly 0.95 in two or three lanes of 40, where rounding decides differently in a sixth of them. In total 0.4 lanes
# are cut off (7 in runs of 20 other seeds). More than 2 has a probability of 0.8 %; the seeds are fixed.
EXPECTED = 0.1
CUT_OFF = 2


@pytest.mark.heavy
@pytest.mark.parametrize("responses", [False, pytest.param(True, marks=pytest.mark.ci)])
@pytest.mark.parametrize("name", CONFIGS)
def test_long_random_episodes(name: str, responses: bool) -> None:
    config = Config.read(CONFIGS[name])
    counts = compare(config, lanes=LANES, steps=140, mode="DISABLED", responses=responses, seed=2**63 + 11)
    assert counts["steps"] > 5 * LANES
    assert counts["cut off"] <= CUT_OFF


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.ci) for seed in (1, 2**32, 2**64 - 1))])
def test_complete_episodes_of_the_specified_learner(seed: int) -> None:
    """With more contents than questions, most episodes reach the step limit."""
    counts = compare(Config(), lanes=LANES, steps=140, mode="DISABLED", responses=False, seed=seed, content=0.8)
    assert counts["step_limit"] > LANES / 2
    assert counts["cut off"] <= CUT_OFF


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP"])
@pytest.mark.parametrize("responses", [pytest.param(False, marks=pytest.mark.ci), True])
def test_successive_episodes(mode: str, responses: bool) -> None:
    config = Config.read({**CONFIGS["few outcomes"], "max_episode_steps": 25})
    counts = compare(config, lanes=LANES, steps=140, mode=mode, responses=responses, seed=3, content=0.2)
    assert counts["step_limit"] > LANES
    assert counts["critical_frustration"] > 0


@pytest.mark.heavy
@pytest.mark.parametrize(
    "reason, name, content",
    [
        ("mastery_achieved", "low threshold", 0.9),
        ("step_limit", "specified", 0.8),
        ("critical_frustration", "specified", 0.0),
    ],
)
def test_s7_1_every_reason_is_reached(reason: str, name: str, content: float) -> None:
    config = Config.read(CONFIGS[name])
    counts = compare(config, lanes=LANES, steps=140, mode="DISABLED", responses=False, seed=8, content=content)
    assert counts[reason] > LANES / 4


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**64 - 1),
    num_los=st.integers(1, 6),
    steps=st.integers(1, 40),
    shape=st.tuples(st.floats(0.3, 20), st.floats(0.3, 20)),
    rates=st.tuples(*[st.just(0.0) | st.floats(1e-30, 1)] * 6),
    content=st.floats(0, 1),
)
def test_any_configuration(seed: int, num_los: int, steps: int, shape: Any, rates: Any, content: float) -> None:
    names = ("learning_rate", "frustration_relief", "frustration_rise", "hard_rise", "hard_below", "gain_noise")
    config = Config.read(
        {
            "num_los": num_los,
            "max_episode_steps": steps,
            "learner": {"mastery_alpha": shape[0], "mastery_beta": shape[1]},
            "dynamics": dict(zip(names, rates, strict=True)),
        }
    )
    compare(config, lanes=2, steps=steps, mode="DISABLED", responses=bool(seed % 2), seed=seed, content=content)


# Distributions of the draws. Each test has its own seed and n lanes; the probability of a false alarm is 1e-6 per test.
ALARM = 1e-6
N = 20_000 if COMPILED else 400


def test_s1_1_mastery_is_beta() -> None:
    """Test n values of the first outcome, of the last outcome, and of all outcomes."""
    mastery = Lanes(N, seed=101).mastery.astype(float)
    for values in (mastery[:, 0], mastery[:, -1], mastery.ravel()):
        assert stats.kstest(values, "beta", args=(2, 5)).pvalue > ALARM


def test_s1_1_outcomes_are_independent() -> None:
    """Rank correlations of neighbouring outcomes, and of each outcome with ability, over n learners."""
    lanes = Lanes(N, seed=102)
    for lo in range(29):
        assert stats.spearmanr(lanes.mastery[:, lo], lanes.mastery[:, lo + 1]).pvalue > ALARM
    for lo in range(30):
        assert stats.spearmanr(lanes.mastery[:, lo], lanes.learners.ability).pvalue > ALARM


def test_s1_2_ability_is_normal() -> None:
    assert stats.kstest(Lanes(N, seed=103).learners.ability.astype(float), "norm").pvalue > ALARM


@pytest.mark.heavy
def test_s1_6_episodes_are_fresh_draws() -> None:
    """Ability and mastery of the same learners in two episodes have no rank correlation."""
    first, second = Lanes(N, seed=104, episode=0), Lanes(N, seed=104, episode=1)
    assert stats.spearmanr(first.learners.ability, second.learners.ability).pvalue > ALARM
    assert stats.spearmanr(first.mastery[:, 0], second.mastery[:, 0]).pvalue > ALARM


@pytest.mark.heavy
@pytest.mark.parametrize("theta", [-2.0, 0.0, 1.5])
def test_s4_1_correct_rate_is_the_3pl(theta: float) -> None:
    """20 binomial tests, one per item of three cells, with n lanes per cell."""
    bank, items = default_bank(), 0
    for difficulty in range(3):
        lanes = Lanes(N, seed=105 + difficulty)
        lanes.put(ability=theta).step(lanes.question(4, difficulty))
        for index in np.unique(lanes.interaction.item):
            of_item = lanes.interaction.item == index
            question = bank.question(int(index))
            p = p_correct(theta, question["irt_a"], question["irt_b"], question["irt_c"])
            right = int(lanes.interaction.correct[of_item].sum())
            assert stats.binomtest(right, int(of_item.sum()), p).pvalue > ALARM
            items += 1
    assert items == 20


@pytest.mark.heavy
def test_s4_1_correctness_does_not_depend_on_mastery() -> None:
    low, high = (Lanes(N, seed=106).put(mastery=m) for m in (0.01, 0.99))
    low.step(low.question())
    high.step(high.question())
    assert np.array_equal(low.interaction.correct, high.interaction.correct)


def test_s4_4_response_time_is_normal_above_an_atom_at_the_minimum() -> None:
    """With s.d. 25 s, 16 % are 5 s. A binomial test covers the atom, a Kolmogorov-Smirnov test the rest."""
    lanes = Lanes(N, Config.read({"irt": {"response_time_std": 25.0}}), seed=107)
    lanes.step(lanes.question(3, 1))
    seconds = lanes.learners.response_time.astype(float)
    assert seconds.min() == 5
    atom = stats.norm.cdf((5 - 30) / 25)
    assert stats.binomtest(int((seconds == 5).sum()), N, atom).pvalue > ALARM
    law = stats.truncnorm((5 - 30) / 25, np.inf, loc=30, scale=25)
    assert stats.kstest(seconds[seconds > 5], law.cdf).pvalue > ALARM


def test_s4_4_response_time_of_the_specified_questions() -> None:
    lanes = Lanes(N, seed=108)
    lanes.step(np.arange(N) % 90)
    seconds = lanes.learners.response_time.astype(float)
    assert stats.binomtest(int((seconds == 5).sum()), N, stats.norm.cdf(-2.5)).pvalue > ALARM
    law = stats.truncnorm(-2.5, np.inf, loc=30, scale=10)
    assert stats.kstest(seconds[seconds > 5], law.cdf).pvalue > ALARM


@pytest.mark.heavy
@pytest.mark.parametrize("mastery, frustration", [(0.2, 0.0), (0.8, 0.6)])
def test_s5_1_gain_is_normal_above_an_atom_at_0(mastery: float, frustration: float) -> None:
    lanes = Lanes(N, seed=109)
    lanes.put(mastery=mastery, frustration=frustration).step(lanes.content(7, 2))
    effectiveness = lanes.bank.content(7 * 6 + 2)["effectiveness"]
    mean = effectiveness * (1 - mastery) * (1 - 0.5 * frustration)
    gain = lanes.interaction.gain.astype(float)
    assert stats.binomtest(int((gain == 0).sum()), N, stats.norm.cdf(-mean / 0.02)).pvalue > ALARM
    law = stats.truncnorm(-mean / 0.02, np.inf, loc=mean, scale=0.02)
    assert stats.kstest(gain[gain > 0], law.cdf).pvalue > ALARM


def test_s5_1_noise_and_answer_are_independent() -> None:
    """Response times of correct and wrong answers have the same distribution."""
    lanes = Lanes(N, seed=110)
    lanes.put(ability=0.0).step(lanes.question(2, 1))
    right, seconds = lanes.interaction.correct, lanes.learners.response_time
    assert stats.mannwhitneyu(seconds[right], seconds[~right]).pvalue > ALARM
