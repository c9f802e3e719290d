"""Statistics of training runs, compared with rliable's answers, SciPy, brute force, and by simulation."""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from alsim.errors import AlsimError
from alsim.evaluation import (
    Statistic,
    iqm,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    run_interval,
)
from alsim.evaluation.resampling import drawn_units
from alsim.types import Doubles, Purpose

FALSE_ALARM = 1e-6
"""Probability that a test by simulation fails by chance; its seed is fixed."""
SCORES = arrays(np.float64, (5, 3), elements=st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0]))
"""Scores with many ties."""


# ── point estimates ──────────────────────────────────────────────────────────────────────────────


def test_statistics_of_runs_equal_those_of_rliable(published: Path) -> None:
    known = json.loads((published / "evaluation/rliable.json").read_text(encoding="utf-8"))
    x, y, profile = known["X"], known["Y"], known["performance_profile"]
    assert iqm(x) == pytest.approx(known["iqm"], abs=1e-12)
    assert optimality_gap(x) == pytest.approx(known["optimality_gap"], abs=1e-12)
    assert probability_of_improvement(x, y) == pytest.approx(known["probability_of_improvement"], abs=1e-12)
    assert performance_profile(x, profile["tau"]).tolist() == pytest.approx(profile["share"], abs=1e-12)
    # The answers depend on the treatment of ties: a score of X is 0.5, and one equals a score of Y at the same task.
    assert 0.5 in np.array(x) and x[0][0] == y[0][0]


def test_small_examples() -> None:
    assert iqm([1.0, 2.0, 4.0, 100.0]) == 3  # one is left out at each end
    assert iqm([1, 2, 6]) == 3  # floor(3 / 4) = 0 are left out
    assert iqm([[3.0, 100.0], [1.0, 2.0]]) == 2.5  # of all runs and tasks together
    assert optimality_gap([0.5, 2.0]) == 0.25
    assert optimality_gap([0.5, 2.0], gamma=3) == 1.75
    assert probability_of_improvement([1.0, 3.0], [2.0]) == 0.5
    assert probability_of_improvement([2.0], [2.0, 1.0]) == 0.75
    assert performance_profile([1.0, 2.0, 3.0], [0.5, 1.0, 2.5, 3.0]).tolist() == [1, 2 / 3, 1 / 3, 0]


@given(SCORES, SCORES)
def test_statistics_of_runs_equal_those_of_scipy_and_of_brute_force(x: Doubles, y: Doubles) -> None:
    assert iqm(x) == pytest.approx(stats.trim_mean(x, 0.25, axis=None), abs=1e-12)
    wins = (x[:, np.newaxis] > y).mean(axis=(0, 1)) + (x[:, np.newaxis] == y).mean(axis=(0, 1)) / 2
    assert probability_of_improvement(x, y) == pytest.approx(wins.mean(), abs=1e-12)
    assert probability_of_improvement(x, y) + probability_of_improvement(y, x) == pytest.approx(1, abs=1e-12)
    by_scipy = [stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in zip(x.T, y.T, strict=True)]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(by_scipy), abs=1e-12)
    thresholds = [-2.0, -1.0, 0.3, 0.5, 1.0, 5.0]
    assert performance_profile(x, thresholds).tolist() == [(x > t).mean() for t in thresholds]
    assert optimality_gap(x, 0.5) == pytest.approx(0.5 - np.minimum(x, 0.5).mean(), abs=1e-12)


def test_equal_scores_have_their_value() -> None:
    x = np.full((7, 3), 0.1)
    assert (iqm(x), optimality_gap(x, 0.1), probability_of_improvement(x, x)) == (0.1, 0, 0.5)
    assert run_interval(iqm, x) == Statistic(0.1, 0, (0.1, 0.1), 7)


# ── intervals ────────────────────────────────────────────────────────────────────────────────────


def units_in_plain_python(n: int, draw: int, seed: int, stratum: int) -> list[int]:
    words: list[int] = []
    for block in range(-(-n // 4)):
        key = seed & 0xFFFFFFFF, seed >> 32
        words += oracle.philox4x32((block, draw, stratum, int(Purpose.BOOTSTRAP)), key)
    return [word * n >> 32 for word in words[:n]]


@pytest.mark.parametrize("size", [1, 7, 50])
def test_draws_of_strata_are_those_of_plain_python(size: int) -> None:
    seed = 2**40 + 3
    for stratum in (0, 1, 17):
        found = np.concatenate([*drawn_units(5, 20, seed, stratum=stratum, size=size)]).tolist()
        assert found == [units_in_plain_python(5, draw, seed, stratum) for draw in range(20)]


def plain_interval(
    statistic: Callable[..., float], *scores: Doubles, draws: int, seed: int
) -> tuple[float, tuple[float, float]]:
    """Return the standard error and the interval, with one loop per draw, array and task."""
    found = []
    for draw in range(draws):
        stratum, resampled = 0, []
        for x in scores:
            columns = []
            for task in range(x.shape[1]):
                columns.append(x[units_in_plain_python(len(x), draw, seed, stratum), task])
                stratum += 1
            resampled.append(np.stack(columns, axis=1))
        found.append(statistic(*resampled))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(np.std(found, ddof=1)), (float(low), float(high))


def test_an_interval_is_that_of_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(5, 3)), random.normal(size=(9, 3))

    def gain(x: Doubles, y: Doubles) -> float:
        return iqm(x) - iqm(y)

    cases: Iterable[tuple[Callable[..., float], tuple[Doubles, ...]]] = (
        (iqm, (x,)),
        (optimality_gap, (y,)),
        (probability_of_improvement, (x, y)),
        (gain, (x, y)),
    )
    for statistic, scores in cases:
        found = run_interval(statistic, *scores, draws=200, seed=4)
        se, ci = plain_interval(statistic, *scores, draws=200, seed=4)
        assert found.mean == statistic(*scores)
        assert (found.se, found.ci) == (pytest.approx(se, rel=1e-12), pytest.approx(ci, rel=1e-12))
        assert found.n == sum(map(len, scores))
        with monkeypatch.context() as patch:  # results do not depend on the size of blocks
            patch.setattr("alsim.evaluation.runs.WORDS_PER_BLOCK", 100)
            assert run_interval(statistic, *scores, draws=200, seed=4) == found


def test_arrays_and_tasks_are_resampled_independently() -> None:
    """With the same scores in both columns and arrays, any shared draw would make differences 0."""
    x = np.repeat(np.arange(6.0)[:, np.newaxis], 2, axis=1)
    assert run_interval(lambda x: float((x[:, 0] - x[:, 1]).mean()), x).se > 0.5
    assert run_interval(lambda x, y: float((x - y).mean()), x, x).se > 0.5


def test_one_run_has_no_interval() -> None:
    many = [[0.1, 0.2], [0.3, 0.1]]
    for found in (
        run_interval(iqm, [[0.5, 0.7]]),
        run_interval(probability_of_improvement, [[0.5, 0.7]], many),
        run_interval(probability_of_improvement, many, [[0.5, 0.7]]),
    ):
        assert not math.isnan(found.mean)
        assert (found.to_dict()["se"], found.to_dict()["ci"]) == (None, None)
    assert run_interval(iqm, [[0.5, 0.7]]).n == 1


def test_one_task_may_be_one_dimensional() -> None:
    x, y = np.array([0.1, 0.4, 0.3]), np.array([0.2, 0.5])
    for statistic, scores in ((iqm, (x,)), (probability_of_improvement, (x, y))):
        columns = [one[:, np.newaxis] for one in scores]
        assert run_interval(statistic, *scores) == run_interval(statistic, *columns)  # type: ignore[arg-type]  # one of two functions


def covered(samples: int, seed: int, runs: int, statistic: Callable[..., float], truth: float, shift: float) -> float:
    """Return the coverage of 95 % intervals from 400 draws, with runs at 4 tasks of different means and variances.

    The mean of the tasks is 0. Statistics of two arrays get a second one, which is lower by `shift` standard deviations
    at each task.
    """
    random, hits = np.random.default_rng(seed), 0
    center, sd = np.array([-0.3, -0.1, 0.1, 0.3]), np.array([0.2, 0.1, 0.1, 0.2])
    for k in range(samples):
        x, y = center + sd * random.normal(size=(2, runs, 4))
        scores = (x, y - shift * sd) if shift else (x,)
        low, high = run_interval(statistic, *scores, draws=400, seed=k).ci
        hits += low <= truth <= high
    return hits / samples


SHIFT = 0.5
TRUE_PROBABILITY = float(stats.norm.cdf(SHIFT / math.sqrt(2)))
"""P(x > y) of normal scores with equal variances whose means differ by SHIFT standard deviations."""


@pytest.mark.ci
@pytest.mark.compiled
def test_intervals_cover_the_truth_roughly() -> None:
    """200 samples of 10 runs, seed 0; the next test measures the coverage. P(fewer than 170 of 200 at .92) = 3e-4."""
    assert covered(200, 0, 10, iqm, 0.0, 0.0) >= 0.85


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize(("runs", "of_iqm", "of_improvement"), [(3, 0.819, 0.876), (10, 0.930, 0.949)])
def test_the_coverage_of_intervals(runs: int, of_iqm: float, of_improvement: float) -> None:
    """1,000 samples of normal scores at 4 tasks, seeds 10 and 11, 400 draws each.

    By symmetry, the true interquartile mean is 0; the true probability of improvement is a normal one. The coverage of
    the page "Statistics" was measured so; other seeds would give it within 4.9 standard errors (false alarm 1e-6 each).
    """
    samples = 1000
    for seed, statistic, truth, shift, expected in (
        (10, iqm, 0.0, 0.0, of_iqm),
        (11, probability_of_improvement, TRUE_PROBABILITY, SHIFT, of_improvement),
    ):
        share = covered(samples, seed, runs, statistic, truth, shift)
        width = stats.norm.isf(FALSE_ALARM / 2) * math.sqrt(expected * (1 - expected) / samples)
        assert abs(share - expected) < width


@pytest.mark.ci
@pytest.mark.compiled
def test_the_coverage_of_an_interval_of_a_mean_is_that_of_theory() -> None:
    """2,000 samples of 5 runs at 4 tasks with equal variances, seed 12, 500 draws.

    The bootstrap's variance is (R - 1) / R of the usual one, which has M (R - 1) = 16 degrees of freedom: the coverage
    is P(|t(16)| < 1.96 sqrt(.8)) = .902. False alarm 1e-6; .008 is allowed for the number of draws and for resampled
    means that are not quite normal.
    """
    random, samples, runs = np.random.default_rng(12), 2000, 5
    hits = 0
    for k in range(samples):
        low, high = run_interval(np.mean, random.normal(size=(runs, 4)), draws=500, seed=k).ci
        hits += low <= 0 <= high
    expected = 1 - 2 * stats.t.sf(stats.norm.ppf(0.975) * math.sqrt(1 - 1 / runs), 4 * (runs - 1))
    assert expected == pytest.approx(0.902, abs=5e-3)
    width = stats.norm.isf(FALSE_ALARM / 2) * math.sqrt(expected * (1 - expected) / samples) + 0.008
    assert abs(hits / samples - expected) < width


# ── invalid input ────────────────────────────────────────────────────────────────────────────────

WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: iqm([]), r"x must have shape \(R, M\), or \(R,\) for one task, .*; got shape \(0,\): pass one row of"),
    (lambda: iqm(np.zeros((0, 4))), r"x must have shape \(R, M\), .*; got shape \(0, 4\): pass one row of scores"),
    (lambda: iqm(np.zeros((4, 0))), r"x must have shape \(R, M\), .*; got shape \(4, 0\): pass one row of scores"),
    (lambda: iqm(0.5), r"x must have shape \(R, M\), .*; got shape \(\): pass one row of scores"),
    (lambda: iqm(np.zeros((2, 2, 2))), r"x must have shape \(R, M\), .*; got shape \(2, 2, 2\): pass one row"),
    (lambda: iqm([[0.1, math.nan]]), "x must be finite numbers; got nan of run 0 at task 1: leave the run out"),
    (lambda: iqm([0.1, math.nan]), "x must be finite numbers; got nan of run 1 at task 0: leave the run out"),
    (lambda: iqm([[0.1], [math.inf]]), "x must be finite numbers up to 1e.150; got inf at index 1, 0: leave the run"),
    (lambda: iqm([[0.1, 0.2], [0.1]]), "x must be an array of numbers: .*; pass one row of scores per run, all of the"),
    (lambda: iqm([True, False]), "x must be numbers; got booleans: pass the scores of the runs"),
    (lambda: iqm(["a"]), "x must be numbers; got strings: pass the scores of the runs"),
    (lambda: optimality_gap([0.1], gamma=math.nan), "gamma must be a finite number up to 1e.150; got nan: pass the sc"),
    (
        lambda: optimality_gap([0.1], gamma=10**400),
        "gamma must be a finite number up to 1e.150; got 10*: pass the sc",
    ),
    (lambda: optimality_gap([0.1], gamma=True), "gamma must be a number; got True: pass the score above which more"),
    (lambda: optimality_gap([0.1], gamma="1"), "gamma must be a number; got '1': pass the score above which more"),  # type: ignore[arg-type]  # the mistake
    (
        lambda: probability_of_improvement([[0.1, 0.2]], [0.1, 0.2]),
        "x and y must have the same tasks as columns; got 2 and 1 tasks: pass the scores at the tasks that both have",
    ),
    (lambda: probability_of_improvement([0.1], []), r"y must have shape \(R, M\), .*; got shape \(0,\): pass one row"),
    (lambda: performance_profile([0.1], []), r"thresholds must have shape \(K,\), K at least 1; got shape \(0,\)"),
    (
        lambda: performance_profile([0.1], [0.0, 1.0, 0.5]),
        "thresholds must be in ascending order; got 0.5 after 1 at index 2: sort them",
    ),
    (lambda: performance_profile([0.1], [0.0, math.nan]), "thresholds must be numbers; got nan at index 1: leave it"),
    (lambda: performance_profile([0.1], [[0.0]]), r"thresholds must have shape \(K,\), K at least 1; got shape \(1, 1"),
    (lambda: run_interval(iqm), "scores must be one or more arrays; got none: pass those that the statistic takes"),
    (lambda: run_interval("iqm", [0.1]), "statistic must be a function of scores; got 'iqm': pass iqm, for example"),  # type: ignore[arg-type]  # the mistake
    (lambda: run_interval([0.1, 0.2], iqm), r"statistic must be a function of scores; got \[0.1, 0.2\]: pass iqm"),  # type: ignore[arg-type]  # the mistake
    (lambda: run_interval(iqm, [0.1, 0.2], draws=39), "draws must be an integer from 40 to 4294967295; got 39: at lea"),
    (lambda: run_interval(iqm, [0.1, 0.2], seed=-1), "seed must be an integer from 0 to 18446744073709551615; got -1"),
    (lambda: run_interval(iqm, [0.1, 0.2], confidence=2.0), r"confidence must be a number in \(0, 1\); got 2.0: use"),
    (lambda: run_interval(iqm, [0.1, math.nan]), "scores must be finite numbers; got nan of run 1 at task 0: leave"),
    (
        lambda: run_interval(probability_of_improvement, [0.1], [math.nan]),
        "scores 2 must be finite numbers; got nan of run 0 at task 0: leave the run out",
    ),
    (
        lambda: run_interval(lambda x: x, [0.1, 0.2]),
        r"statistic must return a finite number; got .* for 2 values: use a statistic that is defined for every sample "
        "of the runs",
    ),  # type: ignore[arg-type, return-value]  # the mistake
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=range(len(WRONG)))
def test_invalid_input_is_refused_in_one_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(AlsimError, match=f"(?s)^{message}") as caught:
        call()
    text = str(caught.value)
    assert not text.endswith(".") and (": " in text or "; " in text)
