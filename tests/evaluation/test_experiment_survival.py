"""Estimators for times that are not all observed, compared with published answers, lifelines and brute force."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from alsim.errors import AlsimError
from alsim.evaluation import cumulative_incidence
from alsim.evaluation.experiments import (
    censored_incidence,
    compare_restricted_means,
    kaplan_meier,
    log_rank,
    restricted_mean,
)
from alsim.jit.compile import COMPILED
from alsim.types import Reason

TOLERANCE = 1e-9
NAMES = ("6-MP", "placebo", "competing_ties", "competing_only_administrative_censoring")


@pytest.fixture(scope="module")
def known(published: Path) -> Any:
    return json.loads((published / "evaluation/survival.json").read_text(encoding="utf-8"))


def case_of(known: Any, name: str) -> Any:
    (case,) = (one for one in known["cases"] if one["name"] == name)
    return case


@pytest.mark.parametrize("name", NAMES)
def test_survival_curves_and_restricted_means_are_the_published_ones(known: Any, name: str) -> None:
    """Of competing events, the published curve is that of any event."""
    case = case_of(known, name)
    events = np.array(case["event"]) > 0
    if name.startswith("competing") and not survives(case, events):
        events = np.array(case["event"]) == 1
    found = kaplan_meier(case["time"], events)
    assert found.times.tolist() == [float(t) for t in case["km"]]
    assert found.survival == pytest.approx([s for s, _ in case["km"].values()], abs=TOLERANCE)
    assert found.se == pytest.approx([se for _, se in case["km"].values()], abs=TOLERANCE, nan_ok=True)
    tau, value = case["restricted_mean"].values()
    assert restricted_mean(case["time"], events, tau).mean == pytest.approx(value, abs=TOLERANCE)


def survives(case: Any, events: Any) -> bool:
    """Return whether the curve of these events has the published times."""
    return np.unique(np.array(case["time"])[events]).tolist() == [float(t) for t in case["km"]]


def test_the_log_rank_test_is_the_published_one(known: Any) -> None:
    arms = [case_of(known, name) for name in ("placebo", "6-MP")]
    found = log_rank(*(arm[key] for arm in arms for key in ("time", "event")))
    assert found.chi2 == pytest.approx(known["logrank"]["chi2"], abs=TOLERANCE)
    assert found.p == pytest.approx(known["logrank"]["p"], abs=TOLERANCE)


@pytest.mark.parametrize("name", NAMES[2:])
def test_the_incidence_of_competing_events_with_ties_is_the_published_one(known: Any, name: str) -> None:
    case = case_of(known, name)
    found, incidence = censored_incidence(case["time"], case["event"]), case["cumulative_incidence"]
    kept = np.isin(found.times, incidence["times"])
    assert kept.sum() == len(incidence["times"])
    for cause in (1, 2):
        assert found.share[cause - 1, kept] == pytest.approx(incidence[str(cause)], abs=TOLERANCE)
        assert found.se[cause - 1, kept] == pytest.approx(incidence["se"][str(cause)], abs=TOLERANCE)


def test_incidence_without_censoring_is_the_plain_share(known: Any) -> None:
    """The estimators of this module and of `alsim.evaluation.endings` agree where both apply."""
    case = case_of(known, "competing_only_administrative_censoring")
    found = censored_incidence(case["time"], case["event"])
    code = np.array([Reason.NONE, Reason.MASTERY_ACHIEVED, Reason.CRITICAL_FRUSTRATION])[case["event"]]
    plain = cumulative_incidence(case["time"], code, 14)
    times = found.times.astype(int)
    for row, reason in enumerate((Reason.MASTERY_ACHIEVED, Reason.CRITICAL_FRUSTRATION)):
        assert found.share[row] == pytest.approx(plain.share[reason, times], abs=TOLERANCE)
        assert found.se[row] == pytest.approx(plain.se[reason, times], abs=TOLERANCE)


# ── restricted means ─────────────────────────────────────────────────────────────────────────────


def test_without_censoring_the_restricted_mean_is_a_plain_mean() -> None:
    """Its squared error is then the variance with n, divided by n, also where all students reach the event."""
    rng = np.random.default_rng(0)
    times = np.ceil(rng.exponential(6, 200))
    for horizon in (0.5, 5.0, 7.25, 100.0):
        found, plain = restricted_mean(times, times > 0, horizon), np.minimum(times, horizon)
        assert found.mean == pytest.approx(plain.mean(), rel=1e-9)
        assert found.se == pytest.approx(plain.std() / math.sqrt(200), rel=1e-9, abs=1e-12)
        assert found.n == 200


def censored(rng: Any, n: int, scale: float) -> tuple[Any, Any]:
    """Return whole times and events of n students with exponential times, censored by exponential times."""
    event, end = np.ceil(rng.exponential(scale, n)), np.ceil(rng.exponential(15, n))
    end = np.minimum(end, 30)
    return np.minimum(event, end), event <= end


def test_restricted_means_of_censored_times_are_unbiased() -> None:
    """2,000 experiments of 2 x 150 students, seed 1: bias within 4.5 standard errors, coverage within .022.

    The truth is the sum over k = 0, ..., 11 of exp(-k / scale); false alarm 1e-5 each.
    """
    rng, runs = np.random.default_rng(1), 2000 if COMPILED else 100
    truth = [sum(math.exp(-k / scale) for k in range(12)) for scale in (10.0, 7.0)]
    found = [compare_restricted_means(*censored(rng, 150, 10.0), *censored(rng, 150, 7.0), 12.0) for _ in range(runs)]
    gaps = np.array([one.difference for one in found])
    assert abs(gaps.mean() - (truth[1] - truth[0])) < 4.5 * gaps.std() / math.sqrt(runs)
    covered = np.mean([one.ci[0] <= truth[1] - truth[0] <= one.ci[1] for one in found])
    assert abs(covered - 0.95) < 4.5 * math.sqrt(0.05 * 0.95 / runs)
    assert math.isinf(found[0].df)
    one = found[0]
    assert one.p == pytest.approx(2 * stats.norm.sf(abs(one.difference) / one.se), rel=1e-9)


def test_the_standard_error_is_that_of_the_jackknife() -> None:
    rng = np.random.default_rng(2)
    times, events = censored(rng, 400, 8.0)
    found = restricted_mean(times, events, 12.0)
    left = [restricted_mean(np.delete(times, i), np.delete(events, i), 12.0).mean for i in range(400)]
    assert found.se == pytest.approx(np.std(left) * math.sqrt(399), rel=0.01)
    assert found.ci == pytest.approx((found.mean - 1.959964 * found.se, found.mean + 1.959964 * found.se), rel=1e-6)


def test_events_after_the_horizon_do_not_matter() -> None:
    found = restricted_mean([1, 5, 9, 12], [1, 0, 1, 1], 8)
    assert found.mean == restricted_mean([1, 5, 9, 12], [1, 0, 1, 0], 8).mean == 0.25 * 1 + 0.75 * 8
    assert restricted_mean([3, 9], [0, 0], 5).mean == 5 and restricted_mean([3, 9], [0, 0], 5).se == 0
    beyond = restricted_mean([1, 2], [1, 1], 100)
    assert beyond.mean == 1.5


def test_p_values_of_the_log_rank_test_are_uniform() -> None:
    """1,000 A/A experiments of 2 x 100, seed 3: .05 within 4.5 standard errors; tiny p-values are not rounded to 0."""
    rng, runs = np.random.default_rng(3), 1000 if COMPILED else 100
    p = [log_rank(*censored(rng, 100, 9.0), *censored(rng, 100, 9.0)).p for _ in range(runs)]
    assert abs(np.mean(np.array(p) <= 0.05) - 0.05) < 4.5 * math.sqrt(0.05 * 0.95 / runs)
    far = log_rank(*censored(rng, 500, 2.0), *censored(rng, 500, 20.0))
    assert 0 < far.p < 1e-100


def test_extreme_curves() -> None:
    nothing = kaplan_meier([3, 4], [0, 0])
    assert len(nothing.times) == len(nothing.survival) == 0
    everything = kaplan_meier([3, 3], [True, True])
    assert everything.survival.tolist() == [0] and math.isnan(everything.se[0])
    assert (everything.at_risk.tolist(), everything.events.tolist()) == ([2], [2])
    with np.errstate(all="raise"):
        ended = censored_incidence([1, 2, 2], [1, 2, 1])
    assert ended.share[:, -1].tolist() == pytest.approx([2 / 3, 1 / 3])


GOOD: tuple[Any, Any] = ([1, 2, 3], [1, 0, 1])
WRONG: list[tuple[Any, str]] = [
    (lambda: kaplan_meier([1, -2, 3], GOOD[1]), "times must be at least 0; got -2 at index 1"),
    (lambda: kaplan_meier([1, math.nan, 3], GOOD[1]), "times must be finite numbers; got nan at index 1"),
    (lambda: kaplan_meier([1], [1]), "times must have at least 2 values; got 1"),
    (lambda: kaplan_meier(GOOD[0], [1, 0]), "events must have one value per time, 3"),
    (lambda: kaplan_meier(GOOD[0], [1, 2, 0]), "events must be 0 or 1; got 2 at index 1: use censored_incidence"),
    (lambda: kaplan_meier(GOOD[0], [1.0, 0.0, 0.0]), "events must be integers or booleans; got float64"),
    (lambda: restricted_mean(*GOOD, 0), "horizon must be positive; got 0"),
    (lambda: restricted_mean([1, 2, 3], [1, 1, 0], 4), "horizon must be at most the longest of times, 3; got 4"),
    (lambda: restricted_mean(*GOOD, 2, confidence=2), "confidence must be"),
    (lambda: compare_restricted_means(*GOOD, [1, 2, 3], [1, 1, 0], 4), "the longest of treatment_times, 3; got 4"),
    (lambda: compare_restricted_means(*GOOD, [1, 2], [1, 1, 0], 4), "treatment_events must have one value per time"),
    (lambda: log_rank([5, 6], [1, 1], [1, 2], [0, 0]), "events must be at times to which .* up to 2; got none"),
    (lambda: log_rank(*GOOD, [1, 2], [0, 3]), "treatment_events must be 0 or 1; got 3"),
    (lambda: censored_incidence([1, 2], [0, 0]), "causes must have an event"),
    (lambda: censored_incidence([1, 2], [0, -1]), "causes must be at least 0; got -1 at index 1"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[message for _, message in WRONG])
def test_bad_input_is_refused_in_one_sentence(call: Any, message: str) -> None:
    with pytest.raises(AlsimError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
