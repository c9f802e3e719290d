"""Shares of episodes that have ended and restricted times, compared with statsmodels' answers and brute force."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alsim
from alsim.errors import AlsimError
from alsim.evaluation import cumulative_incidence, mean, restricted_mean_time
from alsim.types import Reason

CODE = {0: Reason.NONE, 1: Reason.MASTERY_ACHIEVED, 2: Reason.CRITICAL_FRUSTRATION}
"""Reason of each code of the published case: not ended at the horizon, mastered, gave up."""


def test_incidence_and_restricted_mean_equal_those_of_statsmodels(published: Path) -> None:
    cases = json.loads((published / "evaluation/survival.json").read_text(encoding="utf-8"))["cases"]
    (case,) = (one for one in cases if one["name"] == "competing_only_administrative_censoring")
    steps, event = np.array(case["time"]), np.array(case["event"])
    found = cumulative_incidence(steps, [CODE[code] for code in event.tolist()], 14)
    known, times = case["cumulative_incidence"], np.array(case["cumulative_incidence"]["times"], int)
    for code in (1, 2):
        assert found.share[CODE[code], times].tolist() == pytest.approx(known[str(code)], abs=1e-9)
        assert found.se[CODE[code], times].tolist() == pytest.approx(known["se"][str(code)], abs=1e-9)
    # Still running is the survival of any end: Kaplan-Meier, with the standard error of Greenwood.
    survival = {int(float(t)): pair for t, pair in case["km"].items()}
    assert found.share[Reason.NONE, [*survival]].tolist() == pytest.approx([s for s, _ in survival.values()], abs=1e-9)
    assert found.se[Reason.NONE, [*survival]].tolist() == pytest.approx([se for _, se in survival.values()], abs=1e-9)
    restricted = case["restricted_mean_time_to_mastery"]
    values = restricted_mean_time(np.where(event == 1, steps, math.nan), restricted["tau"])
    assert mean(values).mean == pytest.approx(restricted["value"], abs=1e-9)


def test_kaplan_meier_with_giving_up_as_censoring_is_larger(published: Path) -> None:
    """The statement of the module, for the published case, with the estimator in plain Python."""
    cases = json.loads((published / "evaluation/survival.json").read_text(encoding="utf-8"))["cases"]
    (case,) = (one for one in cases if one["name"] == "competing_only_administrative_censoring")
    steps, event = np.array(case["time"]), np.array(case["event"])
    share = cumulative_incidence(steps, [CODE[code] for code in event.tolist()], 14).share[:, 14]
    of_one_world = {}
    for code in (1, 2):
        stay = 1.0
        for t in range(1, 15):
            stay *= 1 - ((steps == t) & (event == code)).sum() / (steps >= t).sum()
        of_one_world[code] = 1 - stay
        assert 1 - stay > share[CODE[code]] + 0.05
    assert sum(of_one_world.values()) > share[1:].sum() + 0.1


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(Reason)), min_size=1, max_size=20), st.integers(1, 12))
def test_incidence_is_the_plain_share(episodes: list[tuple[int, Reason]], horizon: int) -> None:
    followed = [(max(steps, horizon) if k is Reason.NONE else steps, k) for steps, k in episodes]
    found = cumulative_incidence([s for s, _ in followed], [k for _, k in followed], horizon)
    n = len(followed)
    for t in range(horizon + 1):
        expected = [sum(k is reason and steps <= t for steps, k in followed) / n for reason in Reason]
        expected[Reason.NONE] = sum(k is Reason.NONE or steps > t for steps, k in followed) / n
        assert found.share[:, t].tolist() == pytest.approx(expected, abs=1e-15)
        se = [math.sqrt(s * (1 - s) / n) if n > 1 else math.nan for s in expected]
        assert found.se[:, t].tolist() == pytest.approx(se, abs=1e-15, nan_ok=True)
    assert found.share.shape == found.se.shape == (4, horizon + 1)
    assert found.share.min() >= 0


def test_incidence_of_a_rollout() -> None:
    run = alsim.rollout("uniform", num_learners=60, seed=1, config={"max_episode_steps": 40})
    found = cumulative_incidence(run.interactions.length, run.reason, 40).share
    for reason in (Reason.MASTERY_ACHIEVED, Reason.STEP_LIMIT, Reason.CRITICAL_FRUSTRATION):
        assert found[reason, -1] == (run.reason == reason).mean()
    assert found[:, 0].tolist() == [1, 0, 0, 0]
    assert (found[Reason.NONE, -1], found[Reason.STEP_LIMIT, -2]) == (0, 0)
    assert found.sum(axis=0).tolist() == pytest.approx([1] * 41, abs=1e-15)


def test_restricted_times() -> None:
    assert restricted_mean_time([3, math.nan, 20, 12], 12).tolist() == [3, 12, 12, 12]
    assert restricted_mean_time([0.0, 0.5], 0.25).tolist() == [0, 0.25]
    assert restricted_mean_time([math.nan], np.float32(2)).tolist() == [2]


WRONG: list[tuple[Callable[[], object], str]] = [
    (
        lambda: cumulative_incidence([], [], 3),
        r"steps must have shape \(N,\), N at least 1; got shape \(0,\): pass the",
    ),
    (lambda: cumulative_incidence([[3]], [[1]], 3), r"steps must have shape \(N,\), N at least 1; got shape \(1, 1\)"),
    (
        lambda: cumulative_incidence(3, 1, 3),
        r"steps must have shape \(N,\), N at least 1; got shape \(\): pass the num",
    ),
    (lambda: cumulative_incidence([[3], [3, 4]], [1, 1], 3), "steps must be an array of numbers: .*; pass one row of"),
    (
        lambda: cumulative_incidence([3.0], [1], 3),
        "steps must be integers; got floats: pass the number of interactions",
    ),
    (lambda: cumulative_incidence([math.nan], [1], 3), "steps must be integers; got floats: pass the number of intera"),
    (lambda: cumulative_incidence([True], [1], 3), "steps must be integers; got booleans: pass the number of interact"),
    (lambda: cumulative_incidence([3, 0], [1, 1], 3), "steps must be at least 1; got 0 at index 1: pass the number of"),
    (lambda: cumulative_incidence([3, 4], [1], 3), r"reason must have shape \(2,\), that of steps; got \(1,\): pass a"),
    (lambda: cumulative_incidence([3], [4], 3), "reason must be from 0 to 3; got 4 at index 0: pass a value of alsim"),
    (
        lambda: cumulative_incidence([3], [-1], 3),
        "reason must be from 0 to 3; got -1 at index 0: pass a value of alsim",
    ),
    (lambda: cumulative_incidence([3], ["gave up"], 3), "reason must be integers; got strings: pass a value of alsim"),
    (
        lambda: cumulative_incidence([3], [True], 3),
        "reason must be integers; got booleans: pass a value of alsim.types",
    ),
    (
        lambda: cumulative_incidence([3], [1], 0),
        "horizon must be an integer from 1 to 1048576; got 0: pass a number of",
    ),
    (lambda: cumulative_incidence([3], [1], 3.0), "horizon must be an integer; got 3.0: pass a number of interactions"),  # type: ignore[arg-type]  # the mistake
    (
        lambda: cumulative_incidence([3, 2], [1, 0], 3),
        "steps must reach the horizon 3 where reason is NONE; got 2 at index 1: shorten the horizon, or use an estim",
    ),
    (
        lambda: restricted_mean_time([], 3),
        r"times must have shape \(K,\), K at least 1; got shape \(0,\): pass one row",
    ),
    (lambda: restricted_mean_time([[1.0]], 3), r"times must have shape \(K,\), K at least 1; got shape \(1, 1\)"),
    (lambda: restricted_mean_time([True], 3), "times must be numbers; got booleans: "),
    (lambda: restricted_mean_time([1.0, -2.0], 3), "times must be at least 0; got -2 at index 1: use NaN for learners"),
    (lambda: restricted_mean_time([math.inf], 3), "times must be finite numbers up to 1e.150; got inf at index 0: use"),
    (
        lambda: restricted_mean_time([1.0], 0),
        "horizon must be positive; got 0: pass a positive time in the unit of the",
    ),
    (
        lambda: restricted_mean_time([1.0], math.nan),
        "horizon must be a finite number up to 1e.150; got nan: pass a pos",
    ),
    (lambda: restricted_mean_time([1.0], True), "horizon must be a number; got True: pass a positive time in the unit"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=range(len(WRONG)))
def test_invalid_input_is_refused_in_one_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(AlsimError, match=f"(?s)^{message}") as caught:
        call()
    text = str(caught.value)
    assert not text.endswith(".") and (": " in text or "; " in text)
