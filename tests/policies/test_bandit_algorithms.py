"""Bandit algorithms on arrays: MABWiser's numbers, exact propensities, draws, and invariance to the batch."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from alsim.errors import AlsimError
from alsim.jit.compile import COMPILED
from alsim.policies.bandits import exp3, igw, lints, linucb, softmax, thompson, ucb1
from alsim.policies.bandits.largest import gaussian_largest
from alsim.policies.bandits.means import Means, learn_means, start_means
from alsim.policies.bandits.ridge import learn_ridge, start_ridge
from alsim.policies.thompson import propensities

FILE = Path(os.environ.get("ALSIM_TEST_DATA", "/nowhere")) / "teachers/bandits.json"
KNOWN = json.loads(FILE.read_text()) if FILE.is_file() else None
needs_data = pytest.mark.skipif(KNOWN is None, reason="needs the known answers (ALSIM_TEST_DATA)")


def close(found, expected):
    assert np.abs(np.asarray(found) - np.asarray(expected)).max() <= 1e-9


def learnt_means(arms=6):
    state, data = start_means(1, arms), KNOWN["data"]
    decisions = np.array(data["decisions"])
    learn_means(state, np.zeros(len(decisions), np.int64), decisions, np.array(data["rewards"]))
    return state


def learnt_ridge(l2, contexts, decisions, rewards, arms=6):
    state = start_ridge(1, arms, len(contexts[0]), l2)
    rows = np.zeros(len(decisions), np.int64)
    learn_ridge(state, rows, np.array(decisions), np.array(contexts, float), np.array(rewards, float))
    return state


@needs_data
@pytest.mark.parametrize("alpha", ["0", "0.5", "1", "1.25"])
def test_ucb1(alpha):
    close(ucb1.scores(learnt_means(), float(alpha))[0], KNOWN["computed"][f"UCB1 alpha={alpha}"])


@needs_data
@pytest.mark.parametrize("l2", ["0.5", "1"])
@pytest.mark.parametrize("alpha", ["0", "0.5", "1.25"])
def test_linucb(alpha, l2):
    data = KNOWN["data"]
    state = learnt_ridge(float(l2), data["contexts"], data["decisions"], data["rewards"])
    close(
        linucb.scores(state, np.array(data["queries"]), float(alpha)),
        KNOWN["computed"][f"LinUCB alpha={alpha} l2={l2}"],
    )


@needs_data
@pytest.mark.parametrize("alpha", [0, 1])
def test_linucb_against_the_numbers_of_its_tests(alpha):
    data = KNOWN["asserted_in_its_tests"]
    case = data[f"LinUCB alpha={alpha}"]
    state = learnt_ridge(1.0, data["contexts"], np.array(case["decisions"]) - 1, case["rewards"], 3)
    close(linucb.scores(state, np.array(data["queries"], float), alpha), case["expectations"])


@needs_data
def test_lints():
    data, known = KNOWN["data"], KNOWN["computed"]["LinTS alpha=0.5 l2=1: posterior mean and covariance of arm 0"]
    state = learnt_ridge(1.0, data["contexts"], data["decisions"], data["rewards"])
    close(state.coefficients[0, 0], known["mean"])
    close(0.25 * state.inverse[0, 0], known["covariance"])
    x = np.array(data["queries"])
    mean, sd = lints.posterior(state, x, 0.5)
    close(mean[:, 0], x @ known["mean"])
    close(sd[:, 0], np.sqrt(np.einsum("ni,ij,nj->n", x, known["covariance"], x)))


@needs_data
def test_softmax():
    close(softmax.probabilities(learnt_means(), 0.5)[0], KNOWN["computed"]["Softmax tau=0.5: probabilities"])


@pytest.mark.ci
@needs_data
def test_known_propensities_of_thompson():
    for case in KNOWN["thompson_exact"]["cases"]:
        alpha, beta = np.array(case["beta"], float).T
        close(propensities(alpha, beta), case["propensities"])


def reference(alpha, beta):
    """Return propensities by quadrature in log x / (1 - x), with SciPy's distribution functions."""
    places = []
    for a, b in zip(alpha, beta, strict=True):
        mode, width = np.log(a / b), np.sqrt((a + b) / (a * b))
        # An exponential tail decays as exp(-a |t|), and a normal one within multiples of the width.
        places += [mode + side * w * reach for side, w in ((-1, max(width, 1 / a)), (1, max(width, 1 / b)))
                   for reach in (0, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 45)]  # fmt: skip
    ends = np.unique(places)
    ends = np.interp(np.arange(0, len(ends) - 1 + 1e-9, 0.25), np.arange(len(ends)), ends)
    x, w = np.polynomial.legendre.leggauss(20)
    half = np.diff(ends) / 2
    t, weights = (ends[:-1] + half)[:, np.newaxis] + half[:, np.newaxis] * x, half[:, np.newaxis] * w
    below = [np.where(t < 0, special.betainc(a, b, special.expit(t)), special.betaincc(b, a, special.expit(-t)))
             for a, b in zip(alpha, beta, strict=True)]  # fmt: skip
    result = []
    for k, (a, b) in enumerate(zip(alpha, beta, strict=True)):
        density = np.exp(a * special.log_expit(t) + b * special.log_expit(-t) - special.betaln(a, b))
        result.append((weights * density * np.prod([f for j, f in enumerate(below) if j != k], axis=0)).sum())
    return np.array(result)


@pytest.mark.parametrize(
    "seed", [1, 4, *(pytest.param(seed, marks=pytest.mark.ci) for seed in (0, 2, 3, *range(5, 12)))]
)
def test_propensities_of_thompson_equal_scipys(seed):
    generator = np.random.default_rng(seed)
    arms = int(generator.choice([2, 3, 6, 32]))
    alpha, beta = np.exp(generator.uniform(np.log(0.3), np.log(300), (2, arms)))
    expected = reference(alpha, beta)
    assert abs(expected.sum() - 1) < 1e-10  # of the reference, for which nothing is normalised
    close(propensities(alpha, beta), expected)


def test_propensities_of_two_arms_equal_the_closed_sum():
    a, b, c, d = 40, 7, 31, 9
    i = np.arange(a)
    logs = special.betaln(c + i, b + d) - np.log(b + i) - special.betaln(1 + i, b) - special.betaln(c, d)
    found = propensities([a, c], [b, d])
    close(found[0], np.exp(logs).sum())


EXACT = [
    ([0.01992149, 0.02625692], [0.1008827, 0.02149868], 0.251827548883292),
    ([0.04118762, 0.06721141], [0.82052394, 0.05146028], 0.171224703125711),
    ([0.09049397, 0.02557191], [188.85777614, 202.49648122], 0.781887617920875),
]
"""P(first > second) by mpmath 1.4 with 30 digits: `quad` of the density times the distribution function (`hyp2f1`)."""


@pytest.mark.parametrize(("alpha", "beta", "expected"), EXACT)
def test_propensities_of_small_parameters(alpha, beta, expected):
    close(propensities(alpha, beta)[0], expected)


def panels(alpha, beta):
    """Return ends of panels that are much shorter than any feature of the densities of log x / (1 - x)."""
    mode = np.log(alpha / beta)
    width = 1 / np.sqrt((alpha + beta) * special.expit(mode) * special.expit(-mode))
    ends = [np.arange(-60, 60, 0.2)]
    for m, w, low, high in zip(mode, width, 45 / alpha, 45 / beta, strict=True):
        ends += [m + w * np.arange(-14, 14, 0.1), np.linspace(m - low - 45 * w, m, 800)]
        ends += [np.linspace(m, m + high + 45 * w, 800)]
    return np.unique(np.concatenate(ends)).astype(np.longdouble)


def by_short_panels(alpha, beta):
    """Return propensities by quadrature with short panels and long doubles, also of the distribution functions."""
    a, b = (np.asarray(x, np.longdouble)[:, np.newaxis] for x in (alpha, beta))
    mode = np.log(a / b)
    top = a * np.logaddexp(0, -mode) + b * np.logaddexp(0, mode)

    def density(t):
        heights = top - a * np.logaddexp(0, -t.ravel()) - b * np.logaddexp(0, t.ravel())
        return np.exp(heights).astype(float).reshape(len(a), *t.shape)

    x, w = np.polynomial.legendre.leggauss(10)
    ends = panels(np.asarray(alpha), np.asarray(beta))
    begin, length = ends[:-1], np.diff(ends).astype(float)
    t = begin[:, np.newaxis] + length[:, np.newaxis] * (x + 1) / 2
    f = density(t)
    mass = (f * w).sum(axis=2) * length / 2
    before = np.concatenate([np.zeros((len(a), 1)), mass.cumsum(axis=1)], axis=1)
    below = np.empty(f.shape)
    for i, place in enumerate((x + 1) / 2):
        inner = begin[:, np.newaxis] + length[:, np.newaxis] * place * (x + 1) / 2
        below[:, :, i] = before[:, :-1] + (density(inner) * w).sum(axis=2) * length * place / 2
    below /= before[:, -1:, np.newaxis]
    others = [np.prod(np.delete(below, k, axis=0), axis=0) for k in range(len(a))]
    return np.array([((f[k] * others[k] * w).sum(axis=1) * length / 2).sum() / before[k, -1] for k in range(len(a))])


LARGEST = 8 if np.finfo(np.longdouble).eps < 1e-18 else 5
"""Decimal logarithm of the largest parameter for which the reference is exact enough."""
RANGES = [(-2, LARGEST), (-2, 0), (5, LARGEST), (-2, 3)]


@pytest.mark.ci
@pytest.mark.parametrize(
    "seed", [1, 2, *(pytest.param(seed, marks=[pytest.mark.ci, pytest.mark.compiled]) for seed in range(3, 33))]
)
def test_propensities_of_all_parameters_equal_those_of_short_panels(seed):
    generator = np.random.default_rng(seed)
    arms, (low, high) = generator.integers(2, 6), RANGES[seed % 4]
    alpha, beta = 10 ** generator.uniform(low, high, (2, arms))
    if low > 0:  # posteriors that overlap
        chance, n = generator.uniform(0.05, 0.95), alpha
        chance = chance + generator.normal(size=arms) * np.sqrt(chance * (1 - chance) / n)
        alpha, beta = n * chance, n * (1 - chance)
    expected = by_short_panels(alpha, beta)
    assert abs(expected.sum() - 1) < 1e-10
    close(propensities(alpha, beta), expected)


@pytest.mark.ci
@pytest.mark.parametrize("seed", range(6))
def test_propensities_of_gaussians_equal_those_of_scipy(seed):
    """Standard deviations from 1e-4 to 1e4 of each other, by adaptive quadrature between all modes and widths."""
    generator = np.random.default_rng(seed)
    arms = int(generator.integers(2, 6))
    sd = 10 ** generator.uniform(-2, 2, arms)
    mean = generator.normal(size=arms) * sd.min() * 3
    found = np.zeros((1, arms))
    gaussian_largest(mean[np.newaxis], sd[np.newaxis], np.ones((1, arms), bool), found)
    ends = np.unique(np.concatenate([m + s * np.linspace(-9, 9, 73) for m, s in zip(mean, sd, strict=True)]))
    x, w = np.polynomial.legendre.leggauss(20)
    half = np.diff(ends)[:, np.newaxis] / 2
    t, weights = ends[:-1, np.newaxis] + half + half * x, half * w
    below = [stats.norm.cdf(t, m, s) for m, s in zip(mean, sd, strict=True)]
    for k in range(arms):
        others = np.prod([below[j] for j in range(arms) if j != k], axis=0)
        close(found[0, k], (weights * stats.norm.pdf(t, mean[k], sd[k]) * others).sum())


def gaussians(mean, sd):
    found = np.zeros((1, len(mean)))
    gaussian_largest(np.array([mean]), np.array([sd]), np.ones((1, len(mean)), bool), found)
    return found[0]


def test_propensities_of_narrow_gaussians_are_decided_by_the_means():
    """Such densities are narrower than the distance of two floating-point numbers near their means."""
    for scale in (1e-12, 1e-16, 1e-17, 1e-60, 1e-160):
        close(gaussians([0.5, 1.0, 0.7], [scale, 2 * scale, scale]), [0, 1, 0])
        close(gaussians([1.0, 1.0], [scale, scale]), [0.5, 0.5])
        close(gaussians([0.3 * scale, 0.0], [scale, scale]), [stats.norm.cdf(c := 0.3 / np.sqrt(2)), stats.norm.sf(c)])
        close(gaussians([1.0, 0.0, 0.5], [scale, 1.0, scale]), [stats.norm.cdf(1), stats.norm.sf(1), 0])


def test_propensities_of_gaussians_do_not_depend_on_the_origin():
    mean, sd = np.array([0.5, 0.25, 0.75]), [0.25, 0.5, 0.125]
    close(gaussians(mean + 2.0**40, sd), gaussians(mean, sd))


def test_lints_refuses_posteriors_that_are_not_finite():
    state = start_ridge(1, 2, 2)
    learn_ridge(state, np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones((1, 2)), np.array([np.nan]))
    with pytest.raises(AlsimError, match="the posteriors of lints must be finite"):
        lints.probabilities(state, np.ones((1, 2)))
    with pytest.raises(AlsimError, match="the standard deviations of lints must be positive; got nan"):
        lints.probabilities(start_ridge(1, 2, 2), np.array([[1.0, np.nan]]))


def test_more_arms_than_32_are_refused():
    with pytest.raises(AlsimError, match="at most 32 arms"):
        propensities(np.ones(33), np.ones(33))


@pytest.mark.parametrize("alpha", [[0.0, 1], [np.nan, 1], [1e9, 1], [-1, 1], [1, 1, 1], 3.0])
def test_invalid_parameters(alpha):
    with pytest.raises(AlsimError, match="thompson"):
        propensities(alpha, [1.0, 1.0])


@pytest.mark.ci
@pytest.mark.parametrize(
    ("alpha", "beta"),
    [
        ([0.3, 4.0, 2.5, 30.0], [0.4, 3.0, 2.0, 31.0]),  # one shape below 1: logarithms of gamma variates
        ([1.0, 1.0, 2.5, 30.0], [1.0, 1.2, 3.0, 31.0]),  # none: their ratios
        ([900.0, 905.0, 1000.0, 450.0], [1000.0, 1000.0, 1100.0, 500.0]),
    ],
)
def test_choices_follow_the_propensities(alpha, beta):
    """n = 200,000 (2,000 interpreted), seed 1; a false alarm has probability 1e-6."""
    n = 200_000 if COMPILED else 2_000
    alpha, beta = np.array(alpha), np.array(beta)
    keys = np.random.default_rng(1).integers(0, 2**64, n, dtype=np.uint64)
    counts = np.bincount(thompson.choose(alpha, beta, keys), minlength=4)
    assert stats.chisquare(counts, n * propensities(alpha, beta)).pvalue > 1e-6


@pytest.mark.parametrize("scale", [1e-200, 1e-20, 1e-17, 1e-3, 1.0, 1e9, 1e200])
def test_propensities_of_gaussians_have_any_scale(scale):
    """Deviations below the rounding error of the means, variances that overflow or underflow, and hopeless arms."""
    pairs = [([0.5, 0.5], [1, 1], 0.5), ([0.3 * scale, 0.2 * scale], [1, 2], stats.norm.cdf(0.1 / np.sqrt(5)))]
    pairs += [([0.3 * scale, 0.0], [1e-18, 1], stats.norm.cdf(0.3))]
    for mean, sd, expected in pairs:
        found, third = np.zeros((1, 2)), np.zeros((1, 3))
        gaussian_largest(np.array([mean]), scale * np.array([sd]), np.ones((1, 2), bool), found)
        close(found, [[expected, 1 - expected]])
        far = min(-1e17, -100 * scale)
        gaussian_largest(np.array([[*mean, far]]), scale * np.array([[*sd, 1]]), np.ones((1, 3), bool), third)
        close(third, [[expected, 1 - expected, 0]])


def test_propensities_of_lints_follow_draws():
    """n = 400,000 draws of NumPy, seed 2; a false alarm has probability 1e-6."""
    state = start_ridge(1, 3, 2, 1.0)
    generator = np.random.default_rng(2)
    x = generator.uniform(size=(30, 2))
    learn_ridge(state, np.zeros(30, np.int64), np.arange(30) % 3, x, generator.uniform(size=30))
    mean, sd = lints.posterior(state, x[:1], 0.7)
    draws = mean + sd * generator.normal(size=(400_000, 3))
    odds = lints.probabilities(state, x[:1], 0.7)[0]
    assert stats.chisquare(np.bincount(draws.argmax(axis=1), minlength=3), 400_000 * odds).pvalue > 1e-6


def test_inverse_gap_weighting_by_its_formula():
    odds = igw.of_values(np.array([[0.5, 0.2, 0.4]]), 10.0)[0]
    close(odds, [1 - 1 / 6 - 1 / 4, 1 / 6, 1 / 4])


def test_exp3_by_its_formula():
    log_weights = np.zeros((1, 4))
    exp3.learn(log_weights, np.array([0]), np.array([2]), np.array([0.8]), np.array([0.25]), 0.2)
    w = np.array([1, 1, np.exp(0.2 * 0.8 / 0.25 / 4), 1])
    close(exp3.probabilities(log_weights, 0.2)[0], 0.8 * w / w.sum() + 0.2 / 4)


def test_ucb1_tries_each_arm_first():
    state = Means(np.array([[1.0, 0, 0]]), np.array([[1.0, 0, 0]]))
    assert ucb1.probabilities(state)[0].tolist() == [0, 0.5, 0.5]


def everything(rows):
    """Return the probabilities of all algorithms for some of 40 random lanes with masks, (M, 7, 6)."""
    generator = np.random.default_rng(5)
    counts = generator.integers(0, 9, (40, 6)).astype(float)
    means = Means(counts, counts * generator.uniform(size=(40, 6)))
    allowed = generator.uniform(size=(40, 6)) < 0.7
    allowed[3] = False
    x = generator.uniform(0.1, 1, (40, 5))
    ridge = start_ridge(40, 6, 5)
    for _ in range(5):
        learn_ridge(ridge, np.arange(40), generator.integers(0, 6, 40), x, generator.uniform(size=40))
    means, mask = Means(*(a[rows] for a in means)), allowed[rows]
    part = type(ridge)(*(a[rows] for a in ridge))
    return np.stack(
        [
            *(ucb1.probabilities(means, 1.0, mask), softmax.probabilities(means, 0.1, mask)),
            *(igw.probabilities(means, 20.0, mask), exp3.probabilities(means.sums, 0.1, mask)),
            *(linucb.probabilities(part, x[rows], 1.0, mask), lints.probabilities(part, x[rows], 1.0, mask)),
            thompson.propensities(means.counts + 1, 10 - means.counts, mask),
        ],
        axis=1,
    )


@pytest.mark.ci
def test_a_lane_does_not_depend_on_the_batch():
    together = everything(np.arange(40))
    for rows in ([7], [39, 3, 12], list(range(1, 40, 2))):
        assert everything(np.array(rows)).tobytes() == together[rows].tobytes()
    sums = together.sum(axis=2)
    assert np.allclose(np.delete(sums, 3, axis=0), 1, rtol=0, atol=1e-12)
    assert (sums[3] == 0).all()


def test_a_shared_row_broadcasts():
    x = np.random.default_rng(0).uniform(size=(5, 3))
    one, many = start_ridge(1, 6, 3), start_ridge(5, 6, 3)
    learn_ridge(one, np.zeros(5, np.int64), np.arange(5), x, x[:, 0])
    many = type(many)(*(np.repeat(a, 5, axis=0) for a in one))
    assert linucb.scores(one, x).tobytes() == linucb.scores(many, x).tobytes()
    means = Means(x[:1] * 3, x[:1])
    mask = np.ones((5, 3), bool)
    assert (
        igw.probabilities(means, 9.0, mask).tobytes() == np.repeat(igw.probabilities(means, 9.0), 5, axis=0).tobytes()
    )
