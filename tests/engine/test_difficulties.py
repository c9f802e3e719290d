"""Difficulties of new items: against quadrature by SciPy, and against the truth of simulated items."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from alsim.engine import AdaptiveEngine, Catalogue, EngineError, shrunken_difficulties
from alsim.engine.difficulties import ItemPriors, expert_model, mean_curves

NODES = np.linspace(-6, 6, 61)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def posteriors(random, n, sd=0.6):
    """Return abilities N(0, 1), and what is known of each, (n, G)."""
    theta = random.normal(size=n)
    seen = theta + sd * random.normal(size=n)
    return theta, np.exp(-(((NODES - seen[:, None]) / sd) ** 2) / 2 - NODES**2 / 2)


@pytest.mark.ci
@pytest.mark.parametrize("responses", [1, 4, 30, 300])
def test_the_posterior_is_that_of_quadrature(responses):
    random = np.random.default_rng(responses)
    _, weights = posteriors(random, responses)
    correct, (mean, sd, a, c) = random.integers(0, 2, responses), (0.7, 0.8, 1.3, 0.15)
    weights /= weights.sum(axis=1, keepdims=True)

    def log_density(b):
        right = weights @ (c + (1 - c) * logistic(a * (NODES - b)))
        return stats.norm.logpdf(b, mean, sd) + np.log(np.where(correct == 1, right, 1 - right)).sum()

    grid = np.linspace(-6, 8, 20_001)
    logs = np.array([log_density(b) for b in grid[::20]])
    centre = grid[::20][logs.argmax()]
    density = lambda b: math.exp(log_density(b) - logs.max())  # noqa: E731  # three moments of it follow
    edges = {"points": (centre,), "limit": 400, "epsabs": 1e-12}
    total = integrate.quad(density, -6, 8, **edges)[0]
    expected = integrate.quad(lambda b: density(b) * b, -6, 8, **edges)[0] / total
    variance = integrate.quad(lambda b: density(b) * (b - expected) ** 2, -6, 8, **edges)[0] / total
    found = shrunken_difficulties(np.zeros(responses, int), correct, weights, NODES, [mean], sd, a=a, c=c)
    assert found.difficulty[0] == pytest.approx(expected, abs=1e-5)
    assert found.sd[0] == pytest.approx(math.sqrt(variance), abs=1e-5)
    assert found.responses.tolist() == [responses]


@pytest.mark.ci
def test_items_without_responses_keep_what_was_expected():
    found = shrunken_difficulties([1], [1], np.ones((1, 61)), NODES, [0.5, 0.0, -2.0], [0.3, 1.0, 0.7])
    assert found.difficulty[[0, 2]].tolist() == [0.5, -2.0]
    assert found.sd[[0, 2]].tolist() == [0.3, 0.7]
    assert found.difficulty[1] < 0
    none = shrunken_difficulties(np.zeros(0, int), [], np.ones((0, 61)), NODES, [0.5], 0.3)
    assert (none.difficulty.tolist(), none.sd.tolist(), none.responses.tolist()) == ([0.5], [0.3], [0])


@pytest.mark.ci
def test_the_estimate_is_the_same_to_the_bit_in_any_batch():
    random = np.random.default_rng(5)
    _, weights = posteriors(random, 60)
    item, correct, mean = random.integers(0, 6, 60), random.integers(0, 2, 60), random.normal(size=6)
    whole = shrunken_difficulties(item, correct, weights, NODES, mean, 0.5)
    for k in range(6):
        rows = item == k
        one = shrunken_difficulties(item[rows] * 0, correct[rows], weights[rows], NODES, mean[k : k + 1], 0.5)
        assert (one.difficulty[0], one.sd[0]) == (whole.difficulty[k], whole.sd[k])


@pytest.mark.compiled
@pytest.mark.parametrize("responses", [5, 25])
def test_shrinkage_is_better_than_either_source_alone_and_its_se_is_calibrated(responses):
    """n = 150 items under one seed. The squared error is n chi-squared over its expectation: 1 +- 4 sqrt(2 / n)."""
    random, n = np.random.default_rng((11, responses)), 150
    b = random.normal(size=n)
    expert, item = b + 0.5 * random.normal(size=n), np.repeat(np.arange(n), responses)
    theta, weights = posteriors(random, len(item))
    correct = random.random(len(item)) < logistic(theta - b[item])
    shrunken = shrunken_difficulties(item, correct, weights, NODES, expert, 0.5)
    alone = shrunken_difficulties(item, correct, weights, NODES, np.zeros(n), 1.0)
    errors = [(found - b) ** 2 for found in (shrunken.difficulty, alone.difficulty, expert)]
    for other in errors[1:]:
        assert (other - errors[0]).mean() > 0
    assert (errors[0] / shrunken.sd**2).mean() == pytest.approx(1, abs=4 * math.sqrt(2 / n))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"item": [0.5]}, "item must be R integers"),
        ({"item": [3]}, r"item must be in \[0, 1\), as prior_mean has 1 entries; got 3"),
        ({"correct": [2]}, "correct must be 1 answers"),
        ({"posterior": np.ones((1, 60))}, r"posterior must have shape \(1, 61\); got \(1, 60\)"),
        ({"posterior": np.full((1, 61), np.nan)}, "posterior must have weights"),
        ({"nodes": np.full(61, np.inf)}, "nodes must be finite"),
        ({"prior_mean": [np.nan]}, "prior_mean must be finite; got nan of item 0"),
        ({"prior_sd": 0.0}, "prior_sd must be positive"),
        ({"a": -1.0}, "a must be positive"),
        ({"c": 1.0}, r"c must be in \[0, 1\)"),
    ],
)
def test_invalid_arguments(change, sentence):
    arguments = {"item": [0], "correct": [1], "posterior": np.ones((1, 61)), "nodes": NODES}
    arguments |= {"prior_mean": [0.0], "prior_sd": 1.0}
    with pytest.raises(EngineError, match=sentence):
        shrunken_difficulties(**arguments | change)


# ── models of experts ────────────────────────────────────────────────────────────────────────────


def test_curves_are_means_over_the_prior():
    priors = ItemPriors(np.array([0.4]), np.array([0.9]), np.array([1.5]), np.array([0.2]))
    found = mean_curves(priors, np.array([-1.0, 0.0, 2.5]))[0]
    for theta, value in zip((-1.0, 0.0, 2.5), found, strict=True):
        density = lambda b, theta=theta: logistic(1.5 * (theta - b)) * stats.norm.pdf(b, 0.4, 0.9)  # noqa: E731
        assert value == pytest.approx(0.2 + 0.8 * integrate.quad(density, -6, 7)[0], abs=2e-6)


def test_the_catalogue_says_what_is_expected():
    items = [
        {"id": "both", "skills_assessed": ["s"], "difficulty": 1.0, "difficulty_sd": 0.2},
        {"id": "mean", "skills_assessed": ["s"], "difficulty": 1.0},
        {"id": "none", "skills_assessed": ["s"], "guess": 0.25},
    ]
    catalogue = Catalogue(items, {"s": []})
    glicko, elo = expert_model("glicko", catalogue), expert_model("elo", catalogue)
    assert glicko.difficulty.tolist() == elo.difficulty.tolist() == [1.0, 1.0, 0.0]
    assert glicko.difficulty_sd.tolist() == [0.2, 0.5, 1.0]  # as the page of the cold start has it
    assert elo.guess.tolist() == [0.0, 0.0, 0.25]
    irt = expert_model("irt", catalogue)
    slopes = np.diff(irt.curves, axis=1).max(axis=1)
    assert slopes[0] > slopes[1] > slopes[2] / 0.75  # the less is known, the flatter the curve


def test_one_response_to_a_new_item_says_less_of_a_student():
    def ability(sd):
        items = [{"id": "q", "skills_assessed": ["s"], "difficulty": 0.0, "difficulty_sd": sd}]
        engine = AdaptiveEngine({"s": []}, items, model="irt")
        engine.process_response("ada", "q", True)
        return engine.quiz("ada", span=False).result().ability

    known, new = ability(0.01), ability(2.0)
    assert known.mean > new.mean > 0
    assert known.sd < new.sd < 1
