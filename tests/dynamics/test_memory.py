"""Dynamics of learners who forget: published traces, closed forms, limits, prerequisites, and the reward of recall."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import alsim
from alsim.config import Config, ConfigError
from alsim.dynamics import fsrs, half_life
from alsim.jit.interpreted import interpreted
from alsim.types import ONE, f32

FSRS_TOLERANCE = 1e-5
"""Relative error of stability and difficulty in float32, of which 1e-4 is promised (measured: 4e-6)."""
SPACED: dict[str, Any] = {
    "num_los": 6,
    "max_episode_steps": 40,
    "sessions": {"interactions": 8, "break_hours": 20.0},
    "termination": {"mastery_threshold": 1.0, "max_frustration": 1.0},
}


def weights(*values: float, **others: float) -> Any:
    """Return parameters of fsrs as float32, with the published weights replaced by some values."""
    given = {f"w{k}": value for k, value in enumerate(values)}
    return fsrs.Fsrs(*map(f32, fsrs.Fsrs(**given, **others)))


def reviewed(p: Any, state: Any, days: float, grade: int) -> Any:
    """Return the state after a review `days` after the last one, by the rule in the interpreter."""
    hours = f32(state.reviewed + f32(24 * days))
    recalled = interpreted(fsrs.observe)(p, f32(0.3), state, hours)
    return interpreted(fsrs.reviewed)(p, state, recalled, hours, f32(grade), ONE, ONE)


def recall(p: Any, state: Any, days: float) -> float:
    return float(interpreted(fsrs.observe)(p, f32(0.3), state, f32(state.reviewed + f32(24 * days))))


@pytest.mark.ci
def test_fsrs_follows_every_published_review(published) -> None:
    """80 cards, 634 reviews, of py-fsrs. Each review starts from the published state, with time 0 as the last one."""
    p, compared = weights(), 0
    for card in json.loads((published / "learners/fsrs.json").read_text())["cards"]:
        state, chained = fsrs.Memory(), fsrs.Memory()
        for days, grade, chance, stability, difficulty, _ in card["reviews"]:
            if chance is not None:
                assert recall(p, state, days) == pytest.approx(chance, rel=FSRS_TOLERANCE)
            for before, tolerance in ((state, FSRS_TOLERANCE), (chained, 1e-4)):
                after = reviewed(p, before._replace(reviewed=f32(0)), days, grade)
                assert after.stability == pytest.approx(stability, rel=tolerance)
                assert after.difficulty == pytest.approx(difficulty, rel=tolerance)
            chained = after._replace(reviewed=f32(0))
            state = fsrs.Memory(f32(stability), f32(difficulty), f32(0))
            compared += 1
    assert compared == 634


def test_fsrs_reaches_the_states_that_its_authors_assert(published) -> None:
    """With the published weights, without the weights of the same day, and those of FSRS-5 with a decay of .5."""
    vectors = json.loads((published / "learners/fsrs.json").read_text())["published"]
    one = vectors["same, memory state"]
    for p, expected in (
        (weights(), one["stability"]),
        (weights(w17=0, w18=0, w19=0), one["stability_with_w17_w18_w19_zero"]),
    ):
        state = fsrs.Memory()
        for days, grade in zip(one["intervals_days"], one["ratings"], strict=True):
            state = reviewed(p, state, days, grade)
        assert state.stability == pytest.approx(expected, rel=1e-4)
    assert state.difficulty == pytest.approx(one["difficulty"], rel=1e-4)
    (five,) = (v for k, v in vectors.items() if "FSRS-5 parameters" in k)
    p, state = weights(*five["w"], five["w19"], five["decay"]), fsrs.Memory()
    for days, grade in zip(five["days"], five["ratings"], strict=True):
        state = reviewed(p, state, days, grade)
    assert state.stability == pytest.approx(five["stability"], rel=1e-4)
    assert state.difficulty == pytest.approx(five["difficulty"], rel=1e-4)


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # of NumPy's scalars, without compilation
@pytest.mark.parametrize("changes", [{"w8": 100.0}, {"w9": 100.0}, {"w10": 1e4}, {"w17": 100.0}, {"w18": 1e30}])
def test_stability_is_finite_under_extreme_weights(changes: dict[str, float]) -> None:
    """It is held between 0.001 and 36,500 days, as in FSRS-Optimizer."""
    for env, _ in steps(spaced("fsrs", dynamics={"name": "fsrs", **changes})):
        truth = env.truth()
        stability, practised = truth["lo_state.stability"], truth["lo_state.difficulty"] > 0
        assert (stability <= 36_500).all() and (stability[practised] >= f32(0.001)).all()
        assert np.isfinite(truth["mastery"]).all()
    assert stability.max() == 36_500 or stability[practised].min() == f32(0.001)


def test_grades_have_the_shares_of_the_clause() -> None:
    """The fastest 14.5 % of right answers are 4, the slowest 22.4 % are 2 (S14.6); by quantiles of the normal."""
    from scipy.stats import norm

    grade = interpreted(fsrs.grade_of)
    noise = norm.ppf((np.arange(100_000) + 0.5) / 100_000).astype(f32)
    right = np.array([int(grade(True, z)) for z in noise])
    assert [(right == k).mean() for k in (2, 3, 4)] == pytest.approx([0.224, 0.631, 0.145], abs=2e-5)
    assert int(grade(False, noise[0])) == 1


def test_half_lives_follow_the_published_rows(published) -> None:
    """128 rows of the formula of Settles & Meeder (2016), with other weights than the defaults, and both bounds."""
    rows = json.loads((published / "learners/spacing.json").read_text())[
        "HLR (duolingo/halflife-regression, MIT: formula and bounds)"
    ]
    p = half_life.HalfLife(right_weight=f32(0.25), wrong_weight=f32(-0.2), base=f32(1.0))
    for right, wrong, days, expected, chance in rows["rows"]:
        state = interpreted(half_life.practised)(p, f32(right), f32(wrong), f32(0))
        assert state.half_life / 24 == pytest.approx(expected, rel=1e-6)
        found = interpreted(half_life.observe)(p, f32(0.5), state, f32(24 * days))
        assert np.clip(found, 1e-4, 0.9999) == pytest.approx(chance, rel=1e-5)


def test_recall_after_one_half_life_is_exactly_one_half() -> None:
    """Recall of an LO at breaks of 1, 2 and 3 half-lives: 1/2, 1/4 and 1/8, without rounding."""
    p = half_life.HalfLife()
    for hours in (0.25, 24.0, 31.5, 6576.0):  # whose multiples are exact in float32
        state = half_life.Practice(f32(1), f32(0), f32(hours), f32(0))
        found = [float(interpreted(half_life.observe)(p, f32(1), state, f32(k) * f32(hours))) for k in range(4)]
        assert found == [1, 0.5, 0.25, 0.125]


def spaced(name: str, **others: Any) -> Config:
    return Config.read({**SPACED, "dynamics": name, **others})


def steps(config: Config, lanes: int = 30, count: int = 24, mode: str = "Disabled") -> Any:
    """Yield the environment after each of some random interactions, and their rewards."""
    env = alsim.AdaptiveLearningVectorEnv(lanes, config=config, autoreset_mode=mode)
    env.reset(seed=3)
    yield env, np.zeros(lanes)
    random = np.random.default_rng(4)
    for _ in range(count):
        yield env, env.step(random.integers(0, 9 * config.num_los, lanes))[1].copy()


@pytest.mark.interpreted
def test_a_break_lets_recall_decay_by_the_exact_time() -> None:
    """Observed recall after a break is 2**(-t / h) of the clock and the state, also within a session."""
    for env, _ in steps(spaced("half-life")):
        truth = env.truth()
        practised, half = truth["lo_state.half_life"] > 0, np.maximum(truth["lo_state.half_life"], 1e-3)
        elapsed = truth["hours"][:, np.newaxis] - truth["lo_state.practised"]
        expected = 2.0 ** (-elapsed / half)
        assert np.allclose(truth["mastery"][practised], expected[practised], rtol=0, atol=2e-6)
    assert practised.mean() > 0.9 and expected[practised].min() < 0.5


@pytest.mark.interpreted
@pytest.mark.parametrize("name", ["half-life", "fsrs"])
def test_without_time_nothing_is_forgotten(name: str) -> None:
    """Half-lives at their upper bound, or a very slow decay: recall of a practised LO stays 1, of others the start."""
    parameters = {"base": 20.0} if name == "half-life" else {"w20": 1e-6}
    rules = spaced(name, dynamics={"name": name, **parameters}, sessions=None)
    run = steps(rules)
    start = next(run)[0].truth()["mastery"]
    state = "lo_state.half_life" if name == "half-life" else "lo_state.stability"
    for env, _ in run:
        truth = env.truth()
        practised = truth[state] > 0
        assert truth["mastery"][practised].min() > 0.9985  # 2**(-(13 hours) / (274 days)) for contents of 24 sessions
        assert np.array_equal(truth["mastery"][~practised], start[~practised])


@pytest.mark.heavy
@pytest.mark.interpreted
@pytest.mark.parametrize("name", ["half-life", "fsrs"])
def test_the_rewards_of_recall_sum_to_the_growth_of_delayed_retention(name: str) -> None:
    """Over an episode with breaks, in units of LOs; each reward is rounded to float32: 40 * 6 * 2**-24."""
    rules = spaced(name, reward_weights="recall", retention={"delay_hours": 100.0})
    total = np.zeros(30)
    for env, rewards in steps(rules):
        total += rewards
        retention = env._simulator.retention().copy()
        if env._simulator.learners.step[0] == 0:
            start = retention
    assert np.allclose(total, 6 * (retention - start), rtol=0, atol=40 * 6 * 2.0**-24)
    assert total.min() < total.max() and np.abs(total).max() > 0.5


@pytest.mark.heavy
@pytest.mark.interpreted
def test_other_rewards_and_recall_add_up() -> None:
    mixed = {"correctness": 0.25, "recall": 2.0}
    found = {}
    for key, weights_ in (("recall", "recall"), ("specified", {"correctness": 0.25}), ("mixed", mixed)):
        found[key] = np.array([r for _, r in steps(spaced("half-life", reward_weights=weights_))])
    assert np.allclose(found["mixed"], found["specified"] + 2 * found["recall"], rtol=0, atol=1e-5)


@pytest.mark.interpreted
def test_without_forgetting_recall_equals_learning() -> None:
    one, other = (
        np.array([r for _, r in steps(spaced("standard", reward_weights=name), mode="SameStep")])
        for name in ("recall", "learning")
    )
    assert one.tobytes() == other.tobytes() and one.any()


@pytest.mark.interpreted
def test_observations_after_breaks_leave_recall_between_them() -> None:
    """With observe_at = "break": other LOs stand still within a session, and are the same after it."""
    breaks = {**SPACED["sessions"], "observe_at": "break"}
    each = steps(spaced("fsrs", num_los=12), count=16)
    still = steps(spaced("fsrs", num_los=12, sessions=breaks), count=16)
    before, changed = np.zeros((30, 12)), 0
    for step, ((env, _), (other, _)) in enumerate(zip(each, still, strict=True)):
        a, b = env._simulator.mastery, other._simulator.mastery.copy()
        if step % 8 == 0:
            assert np.array_equal(a, b)
        else:
            assert (((b != before).sum(axis=1)) <= 1).all()
            changed += (a != b).sum()
        before = b
    assert changed > 100


@pytest.mark.heavy
@pytest.mark.interpreted
@pytest.mark.parametrize("name", ["half-life", "fsrs"])
def test_prerequisites_slow_the_growth_of_memory(name: str) -> None:
    """Strength 0 gives the bits of no curriculum; above 0, an LO with a parent is forgotten earlier."""
    chain = [[0, 1]]
    plain, neutral, slowed = (
        [env.truth() for env, _ in steps(rules)][-1]
        for rules in (
            spaced(name),
            spaced(name, curriculum=chain),
            spaced(name, curriculum=chain, dynamics={"name": name, "strength": 3.0}),
        )
    )
    assert all(plain[key].tobytes() == neutral[key].tobytes() for key in plain)
    column = "lo_state.right" if name == "half-life" else "lo_state.stability"
    assert slowed[column][:, 1].mean() < 0.8 * plain[column][:, 1].mean()


def test_a_strength_needs_a_curriculum() -> None:
    for changes in (
        {"dynamics": {"name": "fsrs", "strength": 1}},
        {"dynamics": "fsrs", "population": [{"share": 1, "dynamics": {"strength": 1}}]},
    ):
        with pytest.raises(ConfigError, match=r"reads prerequisites if strength > 0, but .* no curriculum; set curri"):
            Config.read(changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dynamics": {"name": "fsrs", "w20": 0}}, "dynamics.w20 = 0: expected a number > 0"),
        ({"dynamics": {"name": "fsrs", "w21": 1}}, "dynamics.w21 = 1: unknown key"),
        ({"dynamics": {"name": "half-life", "base": math.inf}}, "dynamics.base = inf: expected a finite number"),
        ({"sessions": {**SPACED["sessions"], "observe_at": "day"}}, "expected 'interaction' or 'break'"),
        ({"sessions": {**SPACED["sessions"], "break_hours": -1}}, "sessions.break_hours = -1: expected a number >= 0"),
        ({"reward_weights": "retention"}, "expected a table, or one of 'specified', 'learning', 'recall'"),
    ],
)
def test_invalid_settings_are_refused(changes: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        Config.read(changes)
    assert expected in str(error.value)


def test_the_defaults_are_those_of_the_student_models() -> None:
    """The published weights of FSRS-6, and the assumed ones of half-life regression, stand in both."""
    from alsim.models import fsrs as memory
    from alsim.models.hlr import WEIGHTS

    own = fsrs.Fsrs()
    assert tuple(getattr(own, f"w{k}") for k in range(21)) == memory.WEIGHTS
    learner = half_life.HalfLife()
    assert (learner.right_weight, learner.wrong_weight, learner.base) == tuple(WEIGHTS)
