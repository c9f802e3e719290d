"""Estimated propensities, compared with known ones, plain Python and scikit-learn."""

import math

import numpy as np
import pytest

from alsim.errors import AlsimError
from alsim.evaluation import ope
from alsim.evaluation.ope import multinomial
from alsim.evaluation.ope.evaluation import evaluate_log
from alsim.evaluation.ope.fitted_q import FOLDS, parts_of
from alsim.jit.compile import COMPILED

ROWS = 4000 if COMPILED else 400
"""Rows of a log; the interpreter is a hundred times slower."""
ERROR = 1.2 * 43 / (0.8 * ROWS)
"""Bound of the mean square of the errors of log P, for three coefficients of two free actions.

2 M times the mean divergence of the truth from a fit to M rows is chi-squared with 6 degrees of freedom (Wilks 1938).
The mean square is twice the divergence, and the five fits have 80 % of the rows. That variable exceeds 43 with a
probability below 2e-7, so one of five does with less than 1e-6. 20 % are for terms of higher order.
"""


def logged(seed=0, rows=ROWS, actions=3, per_learner=5, scale=0.7):
    """Return features, actions, learners and the probabilities of all actions of a logistic policy."""
    random = np.random.default_rng(seed)
    x = random.normal(5, 3, (rows, 2))
    logits = (x - 5) / 3 @ random.normal(0, scale, (2, actions)) + random.normal(0, 0.5, actions)
    odds = np.exp(logits)
    odds /= odds.sum(axis=1, keepdims=True)
    taken = (random.random(rows)[:, None] > odds[:, :-1].cumsum(axis=1)).sum(axis=1)
    return x, taken, np.arange(rows) // per_learner, odds


def loss_of(x, labels, theta, penalty):
    """Return the mean loss with its penalty, and its gradient, in plain Python."""
    d, k = theta.shape
    total, slope = 0.0, [[penalty * theta[a, b] * (a > 0) for b in range(k)] for a in range(d)]
    for row, label in zip(x.tolist(), labels.tolist(), strict=True):
        logits = [sum(row[a] * theta[a, b] for a in range(d)) for b in range(k)]
        norm = math.log(math.fsum(map(math.exp, logits)))
        total += (norm - logits[label]) / len(x)
        for a in range(d):
            for b in range(k):
                slope[a][b] += row[a] * (math.exp(logits[b] - norm) - (b == label)) / len(x)
    return total + penalty / 2 * sum(theta[a, b] ** 2 for a in range(1, d) for b in range(k)), slope


def test_the_fit_is_the_optimum_of_the_penalised_likelihood():
    """The gradient in plain Python is 0, up to the tolerance of the fit and the rounding of 200 terms."""
    x, taken, _, _ = logged(rows=200)
    x = np.column_stack([np.ones(200), (x - x.mean(axis=0)) / x.std(axis=0)])
    trained = np.ones(200, np.bool_)
    theta = multinomial.fit(multinomial.Rows(x, taken, trained), 3, 0.01, np.zeros((3, 3)))
    _, slope = loss_of(x, taken, theta, 0.01)
    assert np.abs(slope).max() <= multinomial.TOLERANCE + 1e-13
    odds = np.empty(3)
    found = np.empty((3, 3))
    loss = multinomial.add_loss(x, taken, trained, theta, odds, found)
    assert loss / 200 == pytest.approx(loss_of(x, taken, theta, 0.0)[0], rel=1e-12)
    assert found / 200 == pytest.approx(np.array(loss_of(x, taken, theta, 0.0)[1]), abs=1e-13)


@pytest.mark.ci  # importing scikit-learn takes seconds
def test_estimates_are_those_of_scikit_learn():
    """Both gradients of the mean loss are at most 1e-7 at the end.

    The loss of 2 features and 3 actions, each with a share of at least .1, has a curvature of at least .01 for the
    differences of logits, so logits of features up to 4 differ by at most 1e-7 / .01 * 2 * sqrt(9) * 4 = 2.4e-4.
    """
    linear = pytest.importorskip("sklearn.linear_model")
    x, taken, learners, odds = logged()
    assert odds.mean(axis=0).min() > 0.1
    fold, scaled = parts_of(learners, FOLDS), (x - x.mean(axis=0)) / x.std(axis=0)
    found = ope.estimate_propensities(x, taken, learners, floor=1e-9)
    for part in range(FOLDS):
        out = fold == part
        model = linear.LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(scaled[~out], taken[~out])
        expected = model.predict_proba(scaled[out])[np.arange(out.sum()), taken[out]]
        assert np.log(found.probability[out] / expected) == pytest.approx(0, abs=2.4e-4)
    assert found.clipped == 0


def test_estimates_approach_the_known_propensities():
    """The mean square of the errors of log P is below ERROR."""
    x, taken, learners, odds = logged()
    true = odds[np.arange(len(taken)), taken]
    found = ope.estimate_propensities(x, taken, learners)
    error = ((np.log(found.probability / true)) ** 2).mean()
    assert error < ERROR
    constant = np.bincount(taken)[taken] / len(taken)
    assert error < 0.25 * ((np.log(constant / true)) ** 2).mean()


@pytest.mark.heavy
def test_learners_are_predicted_without_their_own_rows():
    """The actions of a learner change the estimates of learners in other parts only."""
    x, taken, learners, _ = logged(rows=400)
    own = learners == 7
    other = np.where(own, (taken + 1) % 3, taken)
    before, after = (ope.estimate_propensities(x, one, learners, floor=1e-9).probability for one in (taken, other))
    fold = parts_of(learners, FOLDS)
    same_part = (fold == fold[own][0]) & ~own
    np.testing.assert_array_equal(before[same_part], after[same_part])
    assert (before[fold != fold[own][0]] != after[fold != fold[own][0]]).all()


def test_the_shares_of_actions_are_the_estimates_without_features():
    """The constants are not penalised, so the estimate is the share of the action in the other parts."""
    _, taken, learners, _ = logged(rows=400)
    found = ope.estimate_propensities(np.empty((400, 0)), taken, learners, floor=1e-9).probability
    fold = parts_of(learners, FOLDS)
    for k in range(400):
        others = taken[fold != fold[k]].tolist()
        assert found[k] == pytest.approx(others.count(taken[k]) / len(others), rel=1e-5)


def test_units_of_features_and_names_do_not_matter():
    x, taken, learners, _ = logged(rows=100)
    plain = ope.estimate_propensities(x, taken, learners).probability
    scaled = ope.estimate_propensities(x * [1e6, 1e-6] - [3, 0], taken, learners).probability
    assert scaled == pytest.approx(plain, rel=1e-6)
    names = np.array(["ask", "bold", "cat"])[taken]
    np.testing.assert_array_equal(ope.estimate_propensities(x, names, learners).probability, plain)
    constant = np.column_stack([x, np.full(100, 7.0)])
    np.testing.assert_array_equal(ope.estimate_propensities(constant, taken, learners).probability, plain)


@pytest.mark.heavy
def test_an_action_that_other_learners_never_take_has_the_floor():
    x, taken, learners, _ = logged(rows=100)
    taken[3] = 3
    found = ope.estimate_propensities(x, taken, learners)
    assert found.floor == 0.01 / 4
    assert found.probability[3] == found.floor and found.clipped == 1
    high = ope.estimate_propensities(x, taken, learners, floor=0.2)
    low = ope.estimate_propensities(x, taken, learners, floor=1e-12)
    np.testing.assert_array_equal(high.probability, np.maximum(low.probability, 0.2))
    assert high.clipped == (low.probability < 0.2).sum() > 1


def test_separated_actions_and_a_single_one_have_finite_estimates():
    x = np.linspace(-1, 1, 60)
    learners = np.arange(60) % 12
    found = ope.estimate_propensities(x, (x > 0).astype(int), learners)
    assert (found.probability > 0.5).mean() > 0.9 and (found.probability < 1).all()
    assert (ope.estimate_propensities(x, np.zeros(60, int), learners).probability == 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.full((20, 1), np.nan)}, "features must be finite; got nan in row 0, column 0"),
        ({"features": np.ones((3, 1))}, r"features must have shape \(20, d\), one row per action; got \(3, 1\)"),
        ({"features": np.full((20, 1), "a")}, "features must be numbers; got <U1: use indicators of categories"),
        ({"features": [[1], [1, 2]]}, r"features must be an array \(M, d\)"),
        ({"actions": np.empty(0, int)}, r"actions must have shape \(M,\), M at least 1; got \(0,\)"),
        ({"actions": np.ones(20)}, "actions must be integers or names; got float64: convert them"),
        ({"learners": np.arange(19)}, "learners must have 20 entries, as actions; got 19"),
        ({"learners": np.zeros(20, int)}, "at least 2 are needed; got 1: collect more"),
        ({"folds": 1}, "folds must be an integer from 2 to 1000; got 1"),
        ({"floor": 0.0}, r"floor must be in \(0, 1\); got 0: pass a small probability"),
        ({"floor": "low"}, "floor must be a number; got 'low'"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(change, message):
    arguments = {"features": np.ones((20, 1)), "actions": np.arange(20) % 2, "learners": np.arange(20)}
    with pytest.raises(AlsimError, match=message) as error:
        ope.estimate_propensities(**{**arguments, **change})
    assert "\n" not in str(error.value)


def test_a_fit_that_does_not_converge_is_refused(monkeypatch):
    monkeypatch.setattr(multinomial, "MAX_ITERATIONS", 1)
    with pytest.raises(AlsimError, match="did not converge in 1 iterations: leave out features"):
        ope.estimate_propensities(*logged(rows=400)[:3])


# ── tables ───────────────────────────────────────────────────────────────────────────────────────


def table(seed=0, rows=ROWS, **options):
    """Return a log of a logistic policy without propensities, and the propensities.

    The target prefers action 0; the reward depends on the action and on what the policy saw.
    """
    x, taken, episode, odds = logged(seed, rows, **options)
    target = np.where(taken == 0, 0.5, 0.25)
    reward = (taken == 0) * 1.0 + x[:, 0] / 3
    columns = {"episode": episode, "reward": reward, "target": target, "action": taken, "mood": x[:, 0], "age": x[:, 1]}
    return columns, odds[np.arange(rows), taken]


@pytest.mark.heavy
def test_a_table_without_propensities_has_estimated_ones_and_says_so():
    columns, _ = table()
    mapping = {"features": ["mood", "age"]}
    log = ope.TableLog(columns, mapping, estimate_propensities=True)
    expected = ope.estimate_propensities(
        np.column_stack([columns["mood"], columns["age"]]), columns["action"], columns["episode"]
    )
    assert log.steps.behaviour.ravel().tolist() == expected.probability.tolist()
    (warned,) = log.warnings
    assert warned.code == "estimated-propensities"
    assert "the actions on mood, age: estimators are biased if" in warned.sentence
    assert f"{expected.clipped} of {ROWS:,} estimates were below 0.0033 and were raised to it" in warned.sentence
    assert warned in evaluate_log(log).warnings
    names = {**columns, "action": np.array(["a", "b", "c"])[columns["action"]]}
    order = np.random.default_rng(0).permutation(ROWS)
    names["step"] = np.arange(ROWS)
    other = ope.TableLog({k: v[order] for k, v in names.items()}, mapping, estimate_propensities=True)
    np.testing.assert_array_equal(other.steps.behaviour, log.steps.behaviour)


def test_estimates_with_estimated_propensities_are_close_to_those_with_known_ones():
    """The change of a mean of weighted rewards w r is the mean of w r (p / estimate - 1).

    Cauchy and Schwarz bound it by the product of the root mean squares; 10 % are for p / estimate - 1 instead of its
    logarithm.
    """
    columns, known = table(per_learner=1)
    arrays = columns["reward"], known, columns["target"]
    exact = ope.ips(*arrays)
    log = ope.TableLog(columns, {"features": ["mood", "age"]}, estimate_propensities=True)
    found = evaluate_log(log, estimators="tis").estimators["tis"]
    size = float(np.sqrt((exact.terms**2).mean()))
    assert abs(found.value - exact.value) < 1.1 * math.sqrt(ERROR) * size
    naive = evaluate_log(ope.TableLog(columns, {"features": []}, estimate_propensities=True), estimators="tis")
    assert "without features" in naive.warnings[-1].sentence


def test_each_policy_has_its_own_model():
    """Two opposite policies: a model of both would have probabilities of a half."""
    rows = 400
    x = np.tile([-1.0, 1.0], rows // 2)
    learner = np.repeat(np.arange(rows // 4), 4)
    policy = np.where(learner % 2 == 0, "as seen", "opposite")
    columns = {
        "episode": learner,
        "reward": x,
        "target": np.full(rows, 0.5),
        "action": (x > 0) ^ (learner % 2 == 0),
        "x": x,
        "policy": policy,
    }
    columns["action"] = columns["action"].astype(int)
    log = ope.TableLog(columns, {"features": "x"}, estimate_propensities=True)
    assert log.behaviour == "as seen, opposite"
    assert (log.steps.behaviour > 0.9).all()
    columns["policy"] = np.where(learner == 0, "rare", policy)
    with pytest.raises(AlsimError, match="policy rare of the log: propensities are fitted to other learners"):
        ope.TableLog(columns, {"features": "x"}, estimate_propensities=True)


def test_features_and_actions_of_tables_are_checked():
    columns, _ = table(rows=20)
    columns = {name: values.tolist() for name, values in columns.items()}
    for name, value, message in (
        ("mood", None, "feature 'mood' must be a finite number; got a missing value"),
        ("mood", "sad", "feature 'mood' must be a finite number; got 'sad' in episode 0, step 2: correct the row"),
        ("action", None, "action must not be missing; got a missing value"),
    ):
        changed = {**columns, name: [*columns[name][:2], value, *columns[name][3:]]}
        with pytest.raises(AlsimError, match=message):
            ope.TableLog(changed, {"features": ["mood", "age"]}, estimate_propensities=True)
    with pytest.raises(AlsimError, match="there is no column 'moood' for features; did you mean 'mood'?"):
        ope.TableLog(columns, {"features": ["moood"]}, estimate_propensities=True)
    with pytest.raises(AlsimError, match=r"floor must be in \(0, 1\); got 2"):
        ope.TableLog(columns, {"features": []}, estimate_propensities=True, floor=2)
