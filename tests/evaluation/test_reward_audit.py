"""The audit of a reward: rank correlation, policies that earn without teaching, and the goal of mastery."""

import json
import os

import numpy as np
import pytest
import scipy.stats

import alsim
from alsim.errors import AlsimError
from alsim.evaluation import audit, reward_audit
from alsim.evaluation.estimates import paired
from alsim.evaluation.ranks import rank_correlation, ranks
from alsim.policies import POLICIES

SMALL = {"num_los": 3, "max_episode_steps": 20}
SOME = ["weakest", "rules", "video-weakest", "round-robin"]


@pytest.fixture(autouse=True, scope="module")
def few_learners_of_the_bound():
    """Bound the mastery with fewer learners in the interpreter, where tests about the goal do not run."""
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        reward_audit.BOUND_LEARNERS = 60


@pytest.fixture(scope="module")
def small():
    return audit(SOME, learners=60, seed=2, config=SMALL)


@pytest.mark.heavy
def test_progress_counts_the_best_policy_under_longer_limits():
    calls = []
    audit(["rules"], goal=1.0, learners=20, config=SMALL, progress=lambda label, done: calls.append((label, done)))
    longer = [done for label, done in calls if label.endswith(", longer")]
    assert longer[0] == 40  # rules and uniform are finished
    assert longer == sorted(longer)
    assert longer[-1] == 60


# ── the report ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.heavy
def test_uniform_is_always_included(small):
    assert [*small.to_dict()["policies"]] == [*SOME, "uniform"]


@pytest.mark.heavy
def test_the_rank_correlation_is_that_of_scipy_over_the_means(small):
    policies = small.to_dict()["policies"].values()
    returns, learning = ([one[key]["mean"] for one in policies] for key in ("return", "learning"))
    expected = scipy.stats.spearmanr(returns, learning).statistic
    found = small.to_dict()["rank_correlation"]
    assert found["value"] == pytest.approx(expected, abs=1e-12)
    assert found["ci"][0] <= found["value"] <= found["ci"][1]


@pytest.mark.heavy
def test_earning_without_teaching_is_by_intervals(small):
    report = small.to_dict()
    uniform = small.outcomes["uniform"].values
    for policy, own in report["policies"].items():
        above = {}
        for key, metric in (("return", "cumulative_reward"), ("learning", "learning")):
            difference = small.outcomes[policy].values[metric] - uniform[metric]
            t = difference.mean() / (difference.std(ddof=1) / np.sqrt(60)) if difference.any() else 0.0
            above[key] = t > scipy.stats.t.ppf(0.975, 59)
        assert own["earns_without_teaching"] == (above["return"] and not above["learning"])
    assert report["earns_without_teaching"] == [
        policy for policy, own in report["policies"].items() if own["earns_without_teaching"]
    ]
    assert "weakest" in report["earns_without_teaching"]


@pytest.mark.compiled
def test_under_the_reward_learning_nothing_earns_without_teaching(small):
    expected = {"rank_correlation": {"value": 1.0, "ci": [1.0, 1.0]}, "earns_without_teaching": []}
    assert small.to_dict()["under_learning"] == expected
    rewarded = audit(SOME, learners=60, seed=2, config=SMALL | {"reward_weights": "learning"}).to_dict()
    assert {key: rewarded[key] for key in expected} == expected


# ── the goal ─────────────────────────────────────────────────────────────────────────────────────


def goal_of(mastery, policies=("video-weakest", "uniform"), config=SMALL, learners=60):
    return audit(list(policies), goal=mastery, learners=learners, seed=2, config=config).to_dict()["goal"]


@pytest.mark.compiled
def test_a_goal_that_a_policy_reaches_is_feasible():
    found = goal_of(0.5)
    assert found["feasible"] is True
    assert found["best_policy"] == "video-weakest"
    assert found["best_mastery"] >= 0.5
    assert 0 < found["steps_needed"] <= 20


@pytest.mark.compiled
def test_a_goal_above_the_bound_is_not_feasible_and_the_steps_are_counted():
    found = goal_of(0.9)
    assert found["feasible"] is False
    assert found["upper_bound"] < 0.9
    run = alsim.rollout(
        "video-weakest",
        num_learners=60,
        first_learner=2**31,
        seed=2,
        config={"num_los": 3, "max_episode_steps": 160, "termination": {"mastery_threshold": 1.0}},
    )
    x = run.interactions
    mean = np.array([x.mean_mastery[x.step == t].mean() for t in range(1, x.length.min())])
    assert found["steps_needed"] == 1 + int(np.argmax(mean >= 0.9))


@pytest.mark.compiled
def test_a_goal_between_the_best_policy_and_the_bound_is_unknown():
    best = goal_of(0.5, policies=("uniform",))
    middle = (best["best_mastery"] + best["upper_bound"]) / 2
    assert best["best_mastery"] + 0.03 < middle
    assert goal_of(middle, policies=("uniform",))["feasible"] is None


@pytest.mark.compiled
def test_a_goal_that_is_never_reached_has_no_steps():
    assert goal_of(1.0, policies=("uniform",))["steps_needed"] is None


@pytest.mark.compiled
def test_an_end_by_mastery_does_not_hide_that_the_goal_was_reached():
    """Episodes end at a mean mastery of .4: without an end, the mean mastery exceeds .5."""
    found = goal_of(0.5, config=SMALL | {"termination": {"mastery_threshold": 0.4}})
    assert found["feasible"] is True


@pytest.mark.ci
@pytest.mark.compiled
def test_one_learner_has_no_interval_that_makes_a_goal_feasible():
    """Under seed 0, the one learner ends above the bound, which is that of the expectation over learners."""

    def goal_of_one(mastery):
        return audit(["video-weakest", "uniform"], goal=mastery, learners=1, seed=0).to_dict()["goal"]

    one = goal_of_one(0.5)
    assert one["best_mastery"] > one["upper_bound"] + 0.01
    assert one["feasible"] is None
    assert goal_of_one(one["upper_bound"] + 0.01)["feasible"] is None  # the learner reached it
    assert goal_of_one(one["best_mastery"] + 0.01)["feasible"] is False


@pytest.mark.heavy
@pytest.mark.interpreted  # kernels of its own
def test_a_goal_that_is_reached_and_forgotten_was_reached_within_the_limit():
    """All outcomes are known at the start with probability .9, and only forgotten later."""
    dynamics = {"name": "bkt", "p_init": 0.9, "p_learn": 0.0, "p_content": 0.0, "p_forget": 0.5}
    found = goal_of(0.8, config=SMALL | {"dynamics": dynamics})
    assert found["steps_needed"] == 0
    assert found["feasible"] is True
    assert found["best_mastery"] >= 0.8


def test_the_label_of_the_baseline_is_reserved():
    audit({"uniform": "uniform", "other": "rules"}, learners=2, config=SMALL)
    with pytest.raises(AlsimError, match=r"the label 'uniform' is that of .* got another policy, 'rules'; give it"):
        audit({"uniform": "rules", "other": "uniform"}, learners=2, config=SMALL)


@pytest.mark.heavy
def test_the_goal_is_the_mastery_threshold_by_default(small):
    assert small.to_dict()["goal"]["mastery"] == 0.8
    assert small.goal == 0.8


@pytest.mark.ci
@pytest.mark.compiled
def test_the_default_reward_and_goal_are_audited_as_documented():
    """S7.3, and the finding that easy questions earn about four times what the best teaching earns."""
    report = audit(learners=200).to_dict()
    goal, policies = report["goal"], report["policies"]
    assert set(policies) >= {"uniform", "rules", "weakest", "video-weakest", "oracle", "thompson"}
    assert (goal["feasible"], goal["steps"]) == (False, 140)
    assert 0.61 < goal["best_mastery"] < 0.65
    assert 0.63 < goal["upper_bound"] < 0.64
    assert 250 < goal["steps_needed"] < 293
    earns = max(policies, key=lambda name: policies[name]["return"]["mean"])
    teaches = max(policies, key=lambda name: policies[name]["learning"]["mean"])
    assert (earns, teaches) == ("weakest", "oracle")
    assert 3.8 < policies[earns]["return"]["mean"] / policies[teaches]["return"]["mean"] < 4.8
    assert "weakest" in report["earns_without_teaching"]
    assert report["rank_correlation"]["ci"][1] < 0


@pytest.mark.heavy
def test_all_policies_without_arguments_are_audited_by_default(monkeypatch):
    names = reward_audit.without_arguments()
    assert {"uniform", "rules", "oracle", "bkt"} <= {*names} <= {*POLICIES}
    assert not {"epsilon-greedy", "mix", "student"} & {*names}
    monkeypatch.setattr(reward_audit, "without_arguments", lambda: ["rules"])
    assert [*audit(learners=2, config=SMALL).outcomes] == ["rules", "uniform"]


# ── ranks ────────────────────────────────────────────────────────────────────────────────────────


def test_ranks_are_those_of_scipy():
    values = np.random.default_rng(0).integers(0, 4, (50, 7)).astype(float)
    assert ranks(values).tolist() == scipy.stats.rankdata(values, axis=1).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlations_with_ties_are_those_of_scipy(seed):
    generator = np.random.default_rng(seed)
    x, y = generator.integers(0, 3, (2, 1, 6)).astype(float)
    found = rank_correlation(x, y).value
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert found is None
    else:
        assert found == pytest.approx(scipy.stats.spearmanr(x[0], y[0]).statistic, abs=1e-12)


@pytest.mark.compiled
def test_the_interval_of_the_rank_correlation_covers_the_value_of_the_population():
    """200 samples of 40 learners under 4 policies, two of them close; seed 0.

    The true correlation of the means is .8. The percentile interval of a discrete statistic is conservative: fewer
    than 180 of 200 covering intervals have probability below 1e-6 if the coverage is 96 % or more.
    """
    generator = np.random.default_rng(0)
    means = np.array([[0.0, 1.0, 2.0, 2.5], [0.0, 1.0, 2.5, 2.0]])
    covered = 0
    for number in range(200):
        x, y = (mean + generator.normal(size=(40, 4)) for mean in means)
        low, high = rank_correlation(x, y, seed=number, draws=200).ci
        covered += low <= 0.8 <= high
    assert covered >= 180


def test_the_interval_of_the_rank_correlation_is_about_units():
    """Learners of one class are equal: the interval is that of one learner per class."""
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(2, 12, 5))
    classes = np.repeat(np.arange(12), 4)
    many = rank_correlation(np.repeat(x, 4, axis=0), np.repeat(y, 4, axis=0), classes)
    assert many.value == pytest.approx(rank_correlation(x, y).value)
    assert many.ci == pytest.approx(rank_correlation(x, y).ci)


def test_undefined_rank_correlations():
    assert rank_correlation(np.ones((5, 1)), np.ones((5, 1))) == (None, None)
    assert rank_correlation(np.ones((5, 3)), np.arange(15.0).reshape(5, 3)) == (None, None)
    value, ci = rank_correlation(np.array([[1.0, 2.0]]), np.array([[2.0, 1.0]]))
    assert (value, ci) == (pytest.approx(-1), None)


# ── invalid input ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"goal": 0.0}, r"goal must be a mastery in \(0, 1\]; got 0.0"),
        ({"goal": 1.2}, "goal must be a mastery"),
        ({"goal": float("nan")}, "goal must be a mastery"),
        ({"goal": True}, "goal must be a mastery"),
        ({"goal": "high"}, "goal must be a mastery"),
        ({"policies": ["nonsense"]}, "unknown policy 'nonsense'"),
        ({"learners": 0}, "learners must be an integer of at least 1"),
    ],
)
def test_invalid_arguments_are_named(arguments, message):
    with pytest.raises(AlsimError, match=message):
        audit(**({"policies": ["rules"], "learners": 2, "config": SMALL} | arguments))


def test_the_report_is_json_for_one_learner():
    report = audit(["rules"], learners=1, config=SMALL).to_dict()
    json.dumps(report, allow_nan=False)
    assert report["rank_correlation"]["ci"] is None
    assert report["earns_without_teaching"] == []
    assert paired(np.zeros(3)).p == 1
