"""Properties of the off-policy estimators: brute force, coverage, ended episodes, extreme weights, invalid input."""

import math
from fractions import Fraction

import numpy as np
import pytest

from alsim.errors import AlsimError
from alsim.evaluation import ope

FALSE_ALARM = 1e-6
"""Probability that a test by simulation fails by chance; its seed is fixed."""
NORMALISED = ("sntis", "snpdis", "window")


def random_log(seed, n=40, steps=6, spread=0.5):
    """Return rewards, behaviour, target and lengths of random episodes of unequal length; the rest of a row is NaN."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, steps + 1, n)
    ended = np.arange(steps) >= lengths[:, None]
    behaviour = random.uniform(spread, 1.0, (n, steps))
    target = random.uniform(spread, 1.0, (n, steps))
    rewards = random.normal(0, 1, (n, steps))
    for array in (rewards, behaviour, target):
        array[ended] = np.nan
    return rewards, behaviour, target, lengths


def exact_values(rewards, behaviour, target, lengths, gamma):
    """Return the estimates in exact arithmetic, by the definitions, one episode at a time."""
    n, steps = rewards.shape
    gamma = Fraction(gamma)
    weight = [[Fraction(1)] * steps for _ in range(n)]
    reward = [[Fraction(0)] * steps for _ in range(n)]
    ratio = [[Fraction(1)] * steps for _ in range(n)]
    for i in range(n):
        product = Fraction(1)
        for t in range(steps):
            if t < lengths[i]:
                ratio[i][t] = Fraction(float(target[i, t])) / Fraction(float(behaviour[i, t]))
                reward[i][t] = Fraction(float(rewards[i, t]))
            product *= ratio[i][t]
            weight[i][t] = product
    totals = [sum(gamma**t * reward[i][t] for t in range(steps)) for i in range(n)]
    last = [weight[i][-1] for i in range(n)]
    window = [[math.prod(ratio[i][max(0, t - 1) : t + 1], start=Fraction(1)) for t in range(steps)] for i in range(n)]

    def normalised(w):
        rows = range(n)
        return sum(
            gamma**t * sum(w[i][t] * reward[i][t] for i in rows) / sum(w[i][t] for i in rows) for t in range(steps)
        )

    return {
        "tis": sum(w * g for w, g in zip(last, totals, strict=True)) / n,
        "sntis": sum(w * g for w, g in zip(last, totals, strict=True)) / sum(last),
        "pdis": sum(gamma**t * weight[i][t] * reward[i][t] for i in range(n) for t in range(steps)) / n,
        "snpdis": normalised(weight),
        "window": normalised(window),
    }


@pytest.mark.parametrize("gamma", [1.0, 0.75])
@pytest.mark.parametrize("seed", range(3))
def test_estimates_are_those_of_exact_arithmetic(seed, gamma):
    """The relative error of a sum of 240 products of at most 6 ratios is below 1e-12."""
    log = random_log(seed)
    expected = exact_values(*log, gamma)
    for name, value in expected.items():
        options = {"steps": 2} if name == "window" else {}
        assert getattr(ope, name)(*log, gamma, **options).value == pytest.approx(float(value), rel=1e-11), name


@pytest.mark.parametrize("seed", range(3))
def test_the_same_policy_has_the_mean_return_from_episodes_of_unequal_length(seed):
    """Ended episodes stay in every denominator; without them, the normalised estimators are larger."""
    rewards, behaviour, _, lengths = random_log(seed)
    mean = np.nansum(rewards, axis=1).mean()
    log = rewards, behaviour, behaviour, lengths
    clusters = np.random.default_rng(seed).integers(0, 3, rewards.shape)
    zeros = np.zeros(rewards.shape)
    for name in ("tis", "pdis", *NORMALISED):
        assert getattr(ope, name)(*log).value == pytest.approx(mean, abs=1e-12), name
    for found in (ope.mis(*log, clusters=clusters), *(f(*log, q=zeros, v=zeros) for f in (ope.dr, ope.wdr))):
        assert found.value == pytest.approx(mean, abs=1e-12)


def test_a_window_of_all_steps_is_the_whole_history():
    log = random_log(1)
    assert ope.window(*log, steps=6).value == pytest.approx(ope.snpdis(*log).value, rel=1e-13)


def test_one_cluster_per_history_is_self_normalised_by_history():
    """If each history of clusters is a cluster of its own, weights within it follow the definition, by brute force."""
    rewards = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0], [1.0, 5.0]])
    behaviour = np.full((4, 2), 0.5)
    target = np.array([[0.25, 0.5], [0.75, 0.25], [0.25, 0.75], [0.75, 0.5]])
    clusters = np.array([[0, 1], [0, 2], [0, 1], [0, 2]])
    rho = target / behaviour
    first = (rho[:, 0] * rewards[:, 0]).sum() / rho[:, 0].sum()
    mass = {c: rho[clusters[:, 1] == c, 0].sum() / rho[:, 0].sum() for c in (1, 2)}
    second = 0.0
    for c, share in mass.items():
        here = clusters[:, 1] == c
        second += share * (rho[here, 1] * rewards[here, 1]).sum() / rho[here, 1].sum()
    found = ope.mis(rewards, behaviour, target, clusters=clusters)
    assert found.value == pytest.approx(first + second, rel=1e-14)


def test_the_mass_of_clusters_without_support_goes_to_the_others():
    """Cluster 2 is reached, but no action there is one that the target takes: the rest of the living mass counts."""
    behaviour = np.full((4, 2), 0.5)
    target = np.array([[0.5, 0.5], [0.5, 0.0], [0.5, 0.5], [0.5, 0.0]])
    clusters = np.array([[0, 1], [0, 2], [0, 1], [0, 2]])
    rewards = np.array([[0.0, 1.0], [0.0, 9.0], [0.0, 3.0], [0.0, 9.0]])
    assert ope.mis(rewards, behaviour, target, clusters=clusters).value == pytest.approx(2.0, rel=1e-14)


class Chain:
    """A decision process with two states, three steps and early ends, and its exact values."""

    moves = np.array([[[0.6, 0.3], [0.2, 0.6]], [[0.5, 0.4], [0.1, 0.7]]])  # state, action, next; the rest ends
    pay = np.array([[1.0, -0.5], [0.5, 2.0]])
    behaviour = np.array([[0.6, 0.4], [0.5, 0.5]])
    target = np.array([[0.4, 0.6], [0.3, 0.7]])
    steps = 3

    def value(self, policy):
        v = np.zeros(2)
        for _ in range(self.steps):
            v = (policy * (self.pay + self.moves @ v)).sum(axis=1)
        return v[0]

    def log(self, random, n):
        """Return rewards, behaviour, target, lengths, and states and actions, of n episodes."""
        state, alive = np.zeros(n, np.int64), np.ones(n, np.bool_)
        columns = {name: np.zeros((n, self.steps)) for name in ("reward", "behaviour", "target")}
        codes = {name: np.zeros((n, self.steps), np.int64) for name in ("state", "action")}
        lengths = np.zeros(n, np.int64)
        for t in range(self.steps):
            action = (random.random(n) < self.behaviour[state, 1]).astype(np.int64)
            for name, table in (("behaviour", self.behaviour), ("target", self.target), ("reward", self.pay)):
                columns[name][:, t] = table[state, action]
            columns["reward"][:, t] += random.normal(0, 0.5, n)
            codes["state"][:, t], codes["action"][:, t] = state, action
            lengths += alive
            u, p = random.random(n), self.moves[state, action]
            alive = alive & (u < p.sum(axis=1))
            state = (u >= p[:, 0]).astype(np.int64)
        return (columns["reward"], columns["behaviour"], columns["target"], lengths), codes["state"], codes["action"]

    def features(self, state, action):
        cells = np.eye(4)
        return cells[state * 2 + action], (self.target[state][..., None] * cells.reshape(2, 2, 4)[state]).sum(axis=2)


def estimates(log, state, action):
    """Return the estimates of all consistent estimators."""
    chain = Chain()
    features = chain.features(state, action)
    values = ope.fitted_q(log[0], *features, log[3])
    found = {name: getattr(ope, name)(*log) for name in ("tis", "sntis", "pdis", "snpdis")}
    for name in ("dr", "wdr"):
        found[name] = getattr(ope, name)(*log, q=values.q, v=values.v)
    return found | {"mis": ope.mis(*log, clusters=state), "fqe": ope.fqe(log[0], *features, log[3])}


@pytest.mark.ci
def test_intervals_cover_and_standard_errors_are_the_spread():
    """n = 400 logs of 400 episodes, seed 7.

    The true coverage is within .02 of .95 (a delta method at 400 episodes). The number of intervals that cover then is
    between its 1e-7 quantiles at .93 and .97; 7 estimators on two sides make 1.4e-6 at the most. A standard deviation
    of 400 logs has a relative error of 1 / sqrt(798); 5.2 of them are 1e-7 on each side, plus .05 for the delta method.
    """
    from scipy import stats

    chain, random, logs = Chain(), np.random.default_rng(7), 400
    truth = chain.value(chain.target)
    found = [estimates(*chain.log(random, 400)) for _ in range(logs)]
    low, high = stats.binom.ppf(1e-7, logs, 0.93), stats.binom.isf(1e-7, logs, 0.97)
    for name in found[0]:
        values = np.array([one[name].value for one in found])
        bias, sd = values.mean() - truth, values.std(ddof=1)
        assert abs(bias) < 5.2 * sd / np.sqrt(logs) + sd**2, name  # the bias of a ratio is of the order of its variance
        if name == "fqe":
            continue
        covered = sum(one[name].ci[0] <= truth <= one[name].ci[1] for one in found)
        assert low <= covered <= high, (name, covered)
        ratio = np.sqrt(np.mean([one[name].se ** 2 for one in found])) / sd
        assert abs(ratio - 1) < 5.2 / np.sqrt(2 * (logs - 1)) + 0.05, (name, ratio)


def test_learners_are_the_unit():
    """Each episode twice, with one learner: the standard error is that of single episodes. Without, it is smaller."""
    log = random_log(3)
    twice = [np.repeat(column, 2, axis=0) for column in log]
    learners = np.repeat(np.arange(len(log[0])), 2)
    for name in ("tis", "pdis", "snpdis", "window"):
        estimator = getattr(ope, name)
        one, other = estimator(*log), estimator(*twice, learners=learners)
        assert other.value == pytest.approx(one.value, rel=1e-13)
        assert (other.se, *other.ci) == pytest.approx((one.se, *one.ci), rel=1e-12)
        assert estimator(*twice).se < 0.8 * one.se


def test_terms_have_the_mean_of_the_estimate():
    log = random_log(4)
    values = {"q": np.ones(log[0].shape), "v": np.full(log[0].shape, 2.0)}
    found = [getattr(ope, name)(*log) for name in ("tis", "sntis", "pdis", "snpdis", "window")]
    found += [ope.dr(*log, **values), ope.wdr(*log, **values)]
    for one in found:
        assert one.terms.shape == (40,) and one.terms.mean() == pytest.approx(one.value, rel=1e-12)


def test_a_clip_limits_the_weight_of_the_history():
    log = random_log(5)
    rewards, behaviour, target, lengths = log
    alive = np.arange(6) < lengths[:, None]
    w = np.cumprod(np.where(alive, target / behaviour, 1.0), axis=1)
    expected = (np.minimum(w, 1.1) * np.where(alive, rewards, 0.0)).sum(axis=1).mean()
    assert (w > 1.1).any() and ope.pdis(*log, clip=1.1).value == pytest.approx(expected, rel=1e-13)
    assert ope.pdis(*log, clip=1e9).value == ope.pdis(*log).value


def test_weights_beyond_float64():
    """2,000 ratios of 10 overflow; they are the same for all, so the normalised estimates are plain means."""
    n, steps = 4, 2000
    rewards = np.arange(n * steps, dtype=np.float64).reshape(n, steps) / steps
    log = rewards, np.full((n, steps), 0.1), np.ones((n, steps))
    for name in NORMALISED:
        assert getattr(ope, name)(*log).value == pytest.approx(rewards.sum(axis=1).mean(), rel=1e-12), name
    for name in ("tis", "pdis"):
        with pytest.raises(AlsimError, match=r"the weight of episode 0 overflows at step .*: .*; pass clip, or use"):
            getattr(ope, name)(*log)
        assert np.isfinite(getattr(ope, name)(*log, clip=10).value)


def test_weights_below_float64_are_0():
    n, steps = 4, 2000
    log = np.ones((n, steps)), np.ones((n, steps)), np.full((n, steps), 0.1)
    assert ope.pdis(*log).value == pytest.approx(0.1 / 0.9, rel=1e-12)
    assert ope.snpdis(*log).value == pytest.approx(steps, rel=1e-12)


def test_bounds_are_their_formulas_and_contain_the_mean():
    x = np.array([0.0, 0.5, 1.0, 0.25])
    half = 2 * math.sqrt(math.log(2 / 0.05) / 8)
    assert ope.hoeffding(x, -1, 1) == pytest.approx((0.4375 - half, 0.4375 + half), rel=1e-14)
    needed = math.log(4 / 0.05)
    half = math.sqrt(2 * x.var(ddof=1) * needed / 4) + 7 * 2 * needed / 9
    assert ope.bernstein(x, -1, 1) == pytest.approx((0.4375 - half, 0.4375 + half), rel=1e-14)


def test_the_bootstrap_resamples_learners_with_all_their_episodes():
    """By brute force, with copies of the drawn learners' episodes."""
    from alsim.evaluation.resampling import drawn_units

    log = random_log(6, n=12)
    learners = np.repeat(np.arange(4), 3)
    found = ope.bootstrap(ope.snpdis, *log, learners=learners, draws=50, seed=3)
    values = []
    for drawn in np.concatenate([*drawn_units(4, 50, 3)]):
        rows = np.concatenate([np.flatnonzero(learners == unit) for unit in drawn])
        values.append(float(exact_values(*(column[rows] for column in log), 1)["snpdis"]))
    assert found.value == ope.snpdis(*log).value
    assert found.se == pytest.approx(np.std(values, ddof=1), rel=1e-10)
    assert found.ci == pytest.approx(np.quantile(values, (0.025, 0.975)), rel=1e-10)


def test_slope_stops_at_the_first_interval_that_is_apart():
    """sqrt(6) - 1 = 1.4495: 3 is within 1 + 1.4495 * .7 of 1, and not within 1 + 1.4495 * .6."""
    assert ope.slope([1.0, 3.0], [1.0, 0.7]) == 1
    assert ope.slope([1.0, 3.0], [1.0, 0.6]) == 0
    assert ope.slope([1.0, 3.0, 1.0], [1.0, 0.6, 0.1]) == 0  # estimates after the first that is apart do not count
    assert ope.slope([3.0, 1.0], [0.7, 1.0]) == 0  # the widest comes first
    assert ope.slope([1.0], [0.0]) == 0


def test_the_diagnosis_is_that_of_the_definition():
    rewards, behaviour, target, lengths = random_log(8)
    alive = np.arange(6) < lengths[:, None]
    rho = np.where(alive, target / behaviour, 1.0)
    w = np.cumprod(rho, axis=1)
    found = ope.diagnose(behaviour, target, lengths)
    chi2 = (rho**2).mean(axis=0) / rho.mean(axis=0) ** 2 - 1
    assert found.chi2_per_step == pytest.approx(chi2, abs=1e-13)
    assert found.predicted_ess == pytest.approx(40 / np.prod(1 + chi2), rel=1e-12)
    assert found.ess_by_step == pytest.approx(w.sum(axis=0) ** 2 / (w**2).sum(axis=0), rel=1e-12)
    assert found.max_weight == pytest.approx(w[:, -1].max() / w[:, -1].mean(), rel=1e-12)
    assert found.episodes_needed == pytest.approx(100 * np.prod(1 + chi2), rel=1e-12)
    assert not found.within_budget
    assert found.largest_mixture == pytest.approx(0.0, abs=1e-15)  # 40 episodes are fewer than 100


def test_the_largest_mixture_is_within_the_budget():
    """A mixture with share a has ratios 1 - a + a rho; the mean of rho is 1 here."""
    behaviour, target = np.tile([[0.5, 0.5]], (300, 1)), np.tile([[0.1, 0.9], [0.9, 0.1]], (150, 1))
    found = ope.diagnose(behaviour, target)
    assert found.within_budget
    a = ope.diagnose(np.tile(behaviour, (1, 2)), np.tile(target, (1, 2))).largest_mixture
    mixed = (1 - a) * behaviour + a * target
    at_limit = ope.diagnose(np.tile(behaviour, (1, 2)), np.tile(mixed, (1, 2)))
    assert 0 < a < 1 and at_limit.predicted_ess == pytest.approx(100, rel=1e-9)


def test_the_divergence_of_mixtures_is_that_of_the_population():
    """1 + chi2 = (1 - e)^2 / (1 - b) + e^2 / b for two actions: 8,000 episodes, of 140 steps, at e = .15, b = .2.

    ln(1 + chi2) is .0155; the 8,000 x 140 ratios are .94 with probability .8, and .75 or 1.0625. The sum over steps of
    its estimates has a standard deviation below .05, as 300 runs show; the test allows .3.
    """
    random, b, e = np.random.default_rng(0), 0.2, 0.15
    explores = random.random((8000, 140)) < b
    found = ope.diagnose(np.where(explores, b, 1 - b), np.where(explores, e, 1 - e))
    per_step = (1 - e) ** 2 / (1 - b) + e**2 / b
    assert math.log(found.predicted_ess) == pytest.approx(math.log(8000 / per_step**140), abs=0.3)
    assert found.within_budget == (8000 / per_step**140 >= 100)
    assert found.unsupported_share == 0.0 and found.largest_mixture == (
        1.0 if found.within_budget else pytest.approx(0)
    )


def test_a_share_without_support_is_seen():
    """Half of the target's actions are never taken: rho is .5 everywhere."""
    found = ope.diagnose(np.full((50, 3), 0.8), np.full((50, 3), 0.4))
    assert found.unsupported_share == pytest.approx(0.5, abs=1e-12)


ONES = np.ones((3, 2))
INVALID = {
    "rewards must be finite; got nan in episode 1, step 0: leave the episode out": {
        "rewards": [[0, 0], [np.nan, 0], [0, 0]]
    },
    "behaviour must be probabilities in (0, 1], as these actions were taken; got 0 in episode 0, step 1": {
        "behaviour": [[1, 0], [1, 1], [1, 1]]
    },
    "target must be probabilities in [0, 1]; got 2 in episode 0, step 0": {"target": ONES * 2},
    "behaviour must be finite; got nan in episode 0, step 0": {"behaviour": ONES * np.nan},
    "behaviour must have shape (3, 2), that of the rewards; got (3, 1)": {"behaviour": [1, 1, 1]},
    "lengths must be from 1 to 2; got 0 in episode 2": {"lengths": [1, 2, 0]},
    "lengths must be integers; got float64": {"lengths": [1.0, 2.0, 2.0]},
    "lengths must have shape (3,), one per episode; got (2,)": {"lengths": [1, 2]},
    "gamma must be in [0, 1]; got 1.5": {"gamma": 1.5},
    "weights must be finite and at least 0; got -1 in episode 0": {"weights": [-1, 1, 1]},
    "learners must have shape (3,), one per episode; got (1,)": {"learners": [1]},
    "a standard error needs at least 2 independent learners (or classes, or episodes); got 1: collect more": {
        "learners": [4, 4, 4]
    },
    "rewards must be an array (n, T): ": {"rewards": [[1], [1, 2], [1, 2]]},
    "rewards must be numbers (n, T); got <U1: convert them": {"rewards": [["a", "b"]] * 3},
    "clip must be positive; got 0: pass the largest weight": {"clip": 0},
    "confidence must be a number in (0, 1); got 95": {"confidence": 95},
}


@pytest.mark.parametrize("message", INVALID)
def test_invalid_arguments(message):
    arguments = {"rewards": ONES, "behaviour": ONES, "target": ONES} | INVALID[message]
    with pytest.raises(AlsimError) as caught:
        ope.pdis(**arguments)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_one_episode_has_no_standard_error():
    with pytest.raises(AlsimError, match="a standard error needs at least 2 independent learners"):
        ope.pdis([[1.0]], [[0.5]], [[0.5]])


def test_no_episode_that_the_target_could_have_produced():
    log = np.ones((3, 2)), np.full((3, 2), 0.5), np.array([[0.5, 0.0]] * 3)
    for name in ("sntis", "snpdis", "window"):
        with pytest.raises(AlsimError, match="all weights are 0 at step"):
            getattr(ope, name)(*log)
    with pytest.raises(AlsimError, match="all weights are 0 at step 1: .*pool actions"):
        ope.mis(*log, clusters=np.zeros((3, 2), np.int64))
    assert ope.pdis(*log).value == 1.0
    assert ope.diagnose(*log[1:]).max_weight == math.inf


@pytest.mark.parametrize("estimator", [ope.pdis, ope.snpdis, ope.window, ope.diagnose])
def test_impossible_ratios_are_refused(estimator):
    arrays = (
        ([1e-310, 0.5, 0.5], [1, 1, 0]) if estimator is ope.diagnose else ([1, 1, 1], [1e-310, 0.5, 0.5], [1, 1, 0])
    )
    with pytest.raises(AlsimError, match=r"ratio of target to behaviour must be at most .* in episode 0"):
        estimator(*arrays)


def test_an_overflow_is_an_error():
    with pytest.raises(AlsimError, match="overflows"):
        ope.pdis([1e99] * 3, [1e-110, 0.5, 0.5], [1, 1, 0])


def test_the_effective_size_ignores_episodes_that_do_not_count():
    """The only large weight is that of an episode with the count 0."""
    found = ope.pdis([1, 1, 1], [0.1, 0.5, 0.5], [1, 0.5, 0.25], weights=[0, 1, 1])
    assert found.ess == pytest.approx((1 + 0.5) ** 2 / (1 + 0.25))


@pytest.mark.parametrize("estimator", [ope.ips, ope.snips])
def test_estimators_for_bandits_refuse_episodes(estimator):
    half = np.full((3, 2), 0.5)
    with pytest.raises(AlsimError, match=r"rewards must have one number per row, \(n,\); got \(3, 2\)"):
        estimator(half, half, half)
    with pytest.raises(AlsimError, match="v must have one number per row"):
        ope.dm(half)


@pytest.mark.parametrize("wrong", [(1.0,), ([[1.0]], [[1.0]]), ([[1.0, 1.0]] * 3, [[0.5, 1.0]] * 3)])
def test_moments_are_checked(wrong):
    odds = np.full((3, 2), 0.5)
    with pytest.raises(AlsimError, match="moments must"):
        ope.diagnose(odds, odds, moments=wrong)


def test_exact_moments_replace_those_of_the_logged_actions():
    """Two actions with 1/4 and 3/4, and with 1/2 and 1/2 under the target: chi2 = 1/3, whichever was taken."""
    behaviour, target = np.full((5, 1), 0.25), np.full((5, 1), 0.5)
    moments = np.ones((5, 1)), np.full((5, 1), 4 / 3)
    assert ope.diagnose(behaviour, target).chi2_per_step == 0
    assert ope.diagnose(behaviour, target, moments=moments).chi2_per_step == pytest.approx(1 / 3)
