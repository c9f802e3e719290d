"""Certificates of off-policy estimates: statistics by their formulas, true values, repeated logs, invalid input."""

import json
import math
import statistics

import numpy as np
import pytest
from scipy import stats

import alsim
from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation import ope
from alsim.evaluation.ope.certificate import certify, certify_dataset
from alsim.evaluation.ope.certificate_report import Certificate
from alsim.evaluation.ope.certificate_statistics import Estimates, rank, regret, score, spearman

NAN = math.nan
FALSE_ALARM = 1e-6
"""Probability that a test by simulation fails by chance; its seed is fixed."""
SHORT = {"max_episode_steps": 8}
BEHAVIOUR, NEAR, FAR = "epsilon-greedy:rules:0.5", "epsilon-greedy:rules:0.4", "uniform"


def estimates(values, half=1.0, se=0.5):
    """Return estimates with intervals of one width; None is undefined."""
    value = np.array([NAN if x is None else x for x in values], float)
    return Estimates(value, np.where(np.isnan(value), NAN, se), value - half, value + half)


@pytest.fixture(scope="module")
def certificate():
    """Certificate of 40 short logs of 100 learners, seed 3."""
    return certify(
        BEHAVIOUR, [NEAR, FAR], num_learners=100, logs=40, truth_learners=2000, seed=3, config=SHORT, estimators=FOUR
    )


FOUR = ("pdis", "snpdis", "mis", "fqe")


# ── statistics on given estimates ────────────────────────────────────────────────────────────────


def test_errors_are_those_of_the_formulas():
    values = [3.0, 5.0, 4.5, 7.0, 2.5]
    found = score(estimates(values), 4.0, 0.3)
    errors = [x - 4.0 for x in values]
    assert found.mean == pytest.approx(statistics.mean(values), abs=1e-12)
    assert found.bias == pytest.approx(statistics.mean(errors), abs=1e-12)
    assert found.sd == pytest.approx(statistics.stdev(values), abs=1e-12)
    assert found.bias_se == pytest.approx(math.sqrt(statistics.variance(values) / 5 + 0.09), abs=1e-12)
    assert found.mean_se == 0.5
    assert found.rmse == pytest.approx(math.sqrt(statistics.mean(e * e for e in errors)), abs=1e-12)
    assert found.mean_absolute_error == pytest.approx(statistics.mean(map(abs, errors)), abs=1e-12)
    assert (found.logs, found.undefined) == (5, 0)


def test_coverage_counts_intervals_that_contain_the_truth_also_at_their_ends():
    found = score(estimates([3.0, 5.0, 4.5, 7.0, 2.5]), 4.0)  # [2, 4], [4, 6] and [3.5, 5.5] contain 4
    assert found.coverage.mean == pytest.approx(3 / 5)
    expected = stats.binomtest(3, 5).proportion_ci(method="wilson")
    assert found.coverage.ci == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.coverage.n == 5


def test_undefined_estimates_are_counted_and_left_out():
    found = score(estimates([3.0, None, 5.0, None]), 4.0)
    assert (found.logs, found.undefined, found.mean, found.coverage.n) == (2, 2, 4.0, 2)
    single = score(estimates([None, 3.0]), 4.0)
    assert single.bias == -1.0
    assert math.isnan(single.sd)
    assert math.isnan(single.bias_se)


def test_an_estimator_that_is_never_defined_has_no_numbers():
    found = score(estimates([None, None]), 4.0)
    assert (found.logs, found.undefined, found.coverage) == (0, 2, None)
    assert found.to_dict()["bias"] is None
    json.dumps(found.to_dict(), allow_nan=False)


def test_estimates_without_intervals_have_no_coverage():
    plain = estimates([3.0, 5.0])
    none = np.full(2, NAN)
    assert score(plain._replace(low=none, high=none), 4.0).coverage is None
    half = plain._replace(low=np.array([2.0, NAN]), high=np.array([4.0, NAN]))
    assert score(half, 4.0).coverage.n == 1


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]),
        ([4.0, 1.0, 3.0, 2.0], [1.0, 2.0, 3.0, 4.0]),
        ([1.0, 1.0, 2.0, 5.0, 5.0], [3.0, 1.0, 1.0, 4.0, 2.0]),
        ([-1e9, 0.0, 1e-9], [2.0, 2.0, 3.0]),
    ],
)
def test_the_rank_correlation_is_that_of_scipy(x, y):
    assert spearman(np.array(x), np.array(y)) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_the_rank_correlation_of_a_constant_is_undefined():
    assert math.isnan(spearman(np.ones(3), np.arange(3.0)))


@pytest.mark.parametrize(
    ("values", "k", "expected"),
    [
        ([1.0, 2.0, 3.0], 1, 0.0),
        ([3.0, 2.0, 1.0], 1, 20.0),
        ([3.0, 2.0, 1.0], 2, 10.0),
        ([3.0, 2.0, 1.0], 3, 0.0),
        ([1.0, 3.0, 2.0], 1, 10.0),
        ([5.0, 5.0, 5.0], 1, 20.0),  # of equal estimates, the worst target comes first
        ([0.0, 5.0, 5.0], 1, 10.0),
    ],
)
def test_regret_is_the_value_that_the_choice_loses(values, k, expected):
    assert regret(np.array(values), np.array([10.0, 20.0, 30.0]), k) == expected


def test_ranks_are_averaged_over_logs_with_all_estimates():
    truths = np.array([10.0, 20.0, 30.0])
    found = rank(np.array([[1.0, 3.0, NAN], [2.0, 2.0, 1.0], [3.0, 1.0, 2.0]]), truths)
    assert (found.logs, found.correlation.mean) == (2, 0.0)
    assert [one.mean for one in found.regret] == [10.0, 5.0]  # (0 + 20) / 2 and (0 + 10) / 2
    assert rank(np.array([[1.0, 2.0]]), truths[:1]) is None
    assert rank(np.full((3, 2), NAN), truths) is None


# ── repeated logs ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.compiled
def test_the_estimates_are_those_of_evaluate_for_the_log_of_each_seed(certificate):
    for k in (0, 7):
        log = alsim.generate_dataset(100, 1, policy=BEHAVIOUR, seed=3 + k, config=SHORT)
        for target in (NEAR, FAR):
            found = ope.evaluate(log, target, estimators=FOUR)
            assert found.recommended == certificate.recommended[target][k]
            for name, one in found.estimators.items():
                own = certificate.estimates[target][name]
                assert (own.value[k], own.se[k]) == (one.value, one.se)
                if one.ci is None:
                    assert np.isnan(own.low[k])
                else:
                    assert (own.low[k], own.high[k]) == one.ci


@pytest.mark.compiled
def test_the_true_value_is_the_mean_return_of_held_out_learners(certificate):
    run = alsim.rollout(NEAR, num_learners=2000, first_learner=2**31, seed=3, config=SHORT)
    returns = run.metrics.cumulative_reward
    truth = certificate.truths[NEAR]
    assert truth.mean == pytest.approx(returns.mean(), abs=1e-4)
    assert truth.se == pytest.approx(returns.std(ddof=1) / math.sqrt(2000), rel=1e-4)


@pytest.mark.compiled
def test_an_unbiased_estimator_has_no_bias_and_its_intervals_cover(certificate):
    """40 logs of 100 learners, seed 3: Student's t with 39 degrees of freedom, and a binomial count."""
    for target in (NEAR, FAR):
        found = certificate.score(target, "pdis")
        assert abs(found.bias) <= stats.t.ppf(1 - FALSE_ALARM / 2, 39) * found.bias_se
        assert found.coverage.mean * 40 >= stats.binom.ppf(FALSE_ALARM, 40, 0.95)


@pytest.mark.compiled
def test_the_reported_error_is_the_spread_over_logs(certificate):
    """The variance over 40 logs is a chi-squared with 39 degrees of freedom, for nearly normal estimates; seed 3."""
    found = certificate.score(NEAR, "pdis")
    low, high = (stats.chi2.ppf(p, 39) / 39 for p in (FALSE_ALARM / 2, 1 - FALSE_ALARM / 2))
    assert low <= (found.sd / found.mean_se) ** 2 <= high


@pytest.mark.compiled
def test_true_values_are_those_of_another_simulation():
    """Published: ε .2 has 89.1 with a standard error of 0.1; 500 learners, seed 0, normal."""
    found = certify("uniform", "epsilon-greedy:rules:0.2", num_learners=2, logs=2, truth_learners=500)
    truth = found.truths["epsilon-greedy:rules:0.2"]
    assert abs(truth.mean - 89.1) <= stats.norm.ppf(1 - FALSE_ALARM / 2) * math.hypot(truth.se, 0.1)


def test_the_discount_factor_reaches_estimates_and_true_value():
    found = certify("uniform", "uniform", num_learners=10, logs=2, truth_learners=20, config=SHORT, gamma=0.5)
    run = alsim.rollout("uniform", num_learners=20, first_learner=2**31, seed=0, config=SHORT).interactions
    discounted = run.reward.astype(float) * 0.5 ** (run.step - 1)
    assert found.truths["uniform"].mean == pytest.approx(np.bincount(run.episode, discounted).mean(), abs=1e-9)
    log = alsim.generate_dataset(10, 1, policy="uniform", seed=1, config=SHORT)
    assert found.estimates["uniform"]["tis"].value[1] == ope.evaluate(log, "uniform", gamma=0.5).estimators["tis"].value


@pytest.mark.compiled
def test_the_report_has_a_score_for_each_estimator(certificate):
    report = json.loads(json.dumps(certificate.to_dict(), allow_nan=False))
    assert list(report["targets"]) == [NEAR, FAR] == certificate.targets
    entry = report["targets"][NEAR]
    assert list(entry["estimators"]) == list(FOUR)
    assert entry["estimators"]["mis"]["family"] == "marginalised"
    assert entry["estimators"]["fqe"]["coverage"] is None
    chosen = entry["recommended"]
    assert sum(chosen["counts"].values()) + chosen["none"] == 40 == chosen["logs"] + chosen["undefined"]
    assert set(report["ranking"]) <= {*FOUR, "recommended"}
    assert set(report["ranking"]["mis"]["regret"]) == {"1"}


@pytest.mark.compiled
def test_the_text_fits_80_columns_and_ends_with_a_verdict(certificate):
    lines = str(certificate).splitlines()
    assert max(map(len, lines)) <= 80
    assert str(certificate).replace("\n", " ").endswith(certificate.verdict)
    assert NEAR in certificate.verdict
    assert repr(certificate) == f"<Certificate of {BEHAVIOUR} -> {NEAR}, {FAR} with 40 logs>"


def made(recommended, value=10.0):
    """Return a certificate of one target, with the true value 10 and one log for each recommendation."""
    logs = len(recommended)
    found = Estimates(*(np.full(logs, x) for x in (value, 1.0, value - 2, value + 2)))
    truth = alsim.evaluation.Statistic(10.0, 0.1, (9.8, 10.2), 100)
    return Certificate(
        behaviour="b",
        dynamics="standard",
        truths={"t" * 100: truth},
        estimates={"t" * 100: {"dr": found}},
        recommended={"t" * 100: recommended},
        predicted_ess={"t" * 100: np.ones(logs)},
        families={"dr": "importance"},
        num_learners=2,
        episodes_per_learner=3,
        logs=logs,
        seed=0,
        gamma=1.0,
        confidence=0.95,
    )


def test_verdicts():
    assert made(("dr", None)).verdict.endswith(
        "dr was recommended in 1 of 2 logs, with a mean absolute error of 0.00; these are too few logs to measure the "
        "coverage of its intervals."
    )
    assert made(("dr",) * 20).verdict.endswith(
        "dr was recommended in 20 of 20 logs, with a mean absolute error of 0.00; its intervals contain the true value "
        "in 100 % of them, which agrees with 95 %."
    )
    wrong = made(("dr",) * 20, value=1e6)
    assert wrong.verdict.endswith("in 0 % of them, instead of 95 %.")
    assert max(map(len, str(wrong).splitlines())) <= 80
    assert made((None, None)).verdict.endswith("no estimator was recommended in any of 2 logs.")
    assert "2 learners with 3 episodes each" in str(wrong).replace("\n", " ")


@pytest.mark.ci
def test_a_certificate_for_a_dataset_has_its_rules():
    rules = {"policy": "uniform", "config": SHORT, "dynamics": "bkt", "observation": "responses"}
    dataset = alsim.generate_dataset(15, 2, seed=5, **rules)
    found = certify_dataset(dataset, "mix:uniform=1", logs=2, truth_learners=50, estimators="mis")
    assert (found.behaviour, found.dynamics, found.seed) == ("uniform", "bkt", 6)
    assert (found.num_learners, found.episodes_per_learner) == (15, 2)
    expected = ope.evaluate(alsim.generate_dataset(15, 2, seed=7, **rules), "uniform", estimators="mis")
    assert found.estimates["mix:uniform=1"]["mis"].value[1] == expected.estimators["mis"].value


def test_progress_counts_the_parts_of_the_work():
    seen = []
    certify(
        *(BEHAVIOUR, {"near": NEAR}),
        num_learners=20,
        logs=3,
        truth_learners=20,
        config=SHORT,
        estimators="tis",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.ci
def test_the_result_does_not_depend_on_the_number_of_processes():
    options = {"num_learners": 30, "logs": 4, "truth_learners": 10_050, "config": SHORT}
    one, two = (certify(BEHAVIOUR, [NEAR, "softmax"], processes=number, **options) for number in (1, 2))
    assert one.to_dict() == two.to_dict()


@pytest.mark.heavy
def test_logs_are_the_same_in_any_order_and_by_target(monkeypatch):
    options = {"num_learners": 12, "logs": 3, "truth_learners": 20, "config": SHORT}
    together = certify(BEHAVIOUR, [NEAR, "softmax"], **options)
    assert max(map(len, str(together).splitlines())) <= 80
    run_parts = alsim.evaluation.ope.certificate.run_parts
    monkeypatch.setattr("alsim.evaluation.ope.certificate.run_parts", lambda *a: reversed([*run_parts(*a)]))
    monkeypatch.setattr("alsim.evaluation.ope.certificate_runs.MOST_BYTES", 1)  # one pass per target
    assert certify(BEHAVIOUR, [NEAR, "softmax"], **options).to_dict() == together.to_dict()


# ── invalid input ────────────────────────────────────────────────────────────────────────────────


class Greedy:
    """Policy without probabilities."""

    name = "greedy"

    def act(self, view, draws):
        """Return the first action."""
        return np.zeros(len(view.observation), int), np.ones(len(view.observation))


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        ("rule", {}, "rules"),
        (NEAR, {"logs": 1}, "logs must be an integer from 2 to"),
        (NEAR, {"logs": 2.5}, "logs must be an integer; got 2.5"),
        (NEAR, {"num_learners": 1}, "num_learners must be an integer from 2 to"),
        (NEAR, {"truth_learners": 1}, "truth_learners must be an integer from 2 to"),
        (NEAR, {"estimators": ["drr"]}, "'drr'"),
        (NEAR, {"gamma": 2}, r"gamma must be in \[0, 1\]; got 2"),
        (NEAR, {"confidence": 1}, "confidence must be a number"),
        (NEAR, {"processes": 0}, "processes"),
        (NEAR, {"seed": -1}, "seed"),
        ([], {}, "targets must be at least one policy; got none"),
        (Greedy(), {}, "the target must be a policy with a method probabilities.*got 'greedy'"),
        ([NEAR, Greedy()], {}, "got 'greedy'"),
        (3, {}, "policies must be a list"),
        ("thompson:0.8:0.05:true", {}, "'thompson:0.8:0.05:true' learns across learners"),
    ],
)
def test_invalid_input_is_one_sentence(targets, options, message):
    with pytest.raises((AlsimError, InputTypeError), match=message) as found:
        certify(BEHAVIOUR, targets, **options)
    assert "\n" not in str(found.value)


def test_an_unknown_behaviour_policy():
    with pytest.raises(AlsimError, match="rulez"):
        certify("rulez", NEAR)


def test_datasets_whose_rules_are_unknown(monkeypatch):
    dataset = alsim.generate_dataset(5, 1, policy=BEHAVIOUR, config=SHORT)
    with pytest.raises(AlsimError, match="got 'uniform', or another state of it; pass the policy that has made"):
        certify_dataset(dataset, NEAR, behaviour="uniform")
    with pytest.raises(AlsimError, match="there is no|unknown|rulez"):
        certify_dataset(dataset, NEAR, behaviour="rulez")
    dataset.manifest["policy"] = {"name": "unknown-here"}
    with pytest.raises(AlsimError, match="the policy of the dataset, 'unknown-here', is needed.*pass it as behaviour"):
        certify_dataset(dataset, NEAR)
    del dataset.manifest["config"]
    with pytest.raises(AlsimError, match="has no 'config': call certify"):
        certify_dataset(dataset, NEAR)


@pytest.mark.compiled
def test_unknown_names_in_a_certificate(certificate):
    with pytest.raises(AlsimError, match="estimator must be one of 'pdis'.*got 'dr'"):
        certificate.score(NEAR, "dr")
    with pytest.raises(AlsimError, match="target must be one of.*got 'rules'"):
        certificate.score("rules", "mis")
