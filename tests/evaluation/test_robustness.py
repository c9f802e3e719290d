"""The matrix of policies and dynamics: cells, regret, the chosen policy and reversals, by independent arithmetic."""

import json

import numpy as np
import pytest
import scipy.stats

import alsim
from alsim.errors import AlsimError
from alsim.evaluation import Matrix, compare, matrix
from alsim.evaluation.setting import read_setting
from alsim.types import FIRST_HELD_OUT

SMALL = {"num_los": 3, "max_episode_steps": 20}
POLICIES = ["rules", "uniform", "video-weakest"]


@pytest.fixture(scope="module")
def small():
    return matrix(POLICIES, ["standard", "linked"], learners=40, seed=1, config=SMALL)


@pytest.mark.interpreted  # kernels of its own
def test_cells_are_those_of_comparisons_under_each_dynamics(small):
    report = small.to_dict()
    assert (report["metric"], report["policies"], report["dynamics"]) == ("learning", POLICIES, ["standard", "linked"])
    for dynamics in small.scenarios:
        found = compare(POLICIES, learners=40, seed=1, config=SMALL, dynamics=dynamics).to_dict()
        for policy in POLICIES:
            assert report["cells"][policy][dynamics] == found["policies"][policy]["learning"]


@pytest.mark.interpreted  # kernels of its own
def test_regret_is_the_distance_from_the_best_and_the_smallest_largest_is_chosen(small):
    report = small.to_dict()
    means = {w: {p: report["cells"][p][w]["mean"] for p in POLICIES} for w in small.scenarios}
    for policy in POLICIES:
        own = {w: max(means[w].values()) - means[w][policy] for w in small.scenarios}
        assert report["regret"][policy] == pytest.approx(own)
        worst = max(own, key=own.get)
        assert report["worst_case"][policy] == {
            "dynamics": worst,
            "regret": pytest.approx(own[worst]),
            "mean": means[worst][policy],
        }
    largest = {policy: max(report["regret"][policy].values()) for policy in POLICIES}
    assert report["choose"] == min(largest, key=largest.get)


def doctored(values, metric="learning"):
    """Return a matrix with these values, (N,) by scenario and policy."""
    learners = len(next(iter(next(iter(values.values())).values())))
    setting = read_setting(
        learners=learners,
        seed=0,
        first_learner=FIRST_HELD_OUT,
        config=SMALL,
        bank=None,
        dynamics=None,
        observation="mastery",
        num_threads=1,
    )
    return Matrix(metric, dict.fromkeys(values, setting), values)


def spread(mean):
    """Return 50 values with this mean and standard deviation 1, the same deviations for each mean."""
    deviations = np.random.default_rng(0).normal(size=50)
    return mean + (deviations - deviations.mean()) / deviations.std()


def test_minimax_regret_differs_from_the_best_mean_and_from_the_best_worst_mean():
    """b has the highest mean over the scenarios, and c the highest lowest mean; a has the smallest largest regret."""
    means = {"x": {"a": 8.0, "b": 10.0, "c": 4.0}, "y": {"a": 1.0, "b": 0.0, "c": 3.5}}
    report = doctored({w: {p: spread(m) for p, m in own.items()} for w, own in means.items()}).to_dict()
    assert report["regret"]["a"] == pytest.approx({"x": 2.0, "y": 2.5})
    assert report["choose"] == "a"
    assert report["worst_case"]["b"] == {"dynamics": "y", "regret": pytest.approx(3.5), "mean": pytest.approx(0.0)}
    values = {w: {p: spread(m) for p, m in own.items()} for w, own in means.items()}
    lower = doctored(values, "restricted_mean_time_to_mastery").to_dict()  # lower is better
    assert lower["regret"]["a"] == pytest.approx({"x": 4.0, "y": 1.0})
    assert lower["regret"]["b"] == pytest.approx({"x": 6.0, "y": 0.0})
    assert lower["regret"]["c"] == pytest.approx({"x": 0.0, "y": 3.5})
    assert lower["choose"] == "c"


def test_reversals_are_sure_in_both_worlds():
    noise = np.random.default_rng(1).normal(size=(2, 50))
    values = {
        "x": {"a": spread(2.0) + noise[0], "b": spread(0.0)},
        "y": {"a": spread(0.0), "b": spread(2.0) + noise[1]},
        "z": {"a": spread(0.0), "b": spread(0.0) + noise[1] - noise[1].mean() + 0.01},  # too close to be sure
    }
    report = doctored(values).to_dict()
    p = [
        scipy.stats.ttest_rel(own["a"], own["b"]).pvalue for own in values.values()
    ]  # three tests: the two smallest are multiplied by 3 and 2
    adjusted = max(3 * min(p[0], p[1]), 2 * max(p[0], p[1]))
    assert report["reversals"] == [
        {"a": "a", "b": "b", "in": "x", "out": "y", "p_adjusted": pytest.approx(adjusted, rel=1e-6)}
    ]
    assert [pair["dynamics"] for pair in report["pairs"]] == ["x", "y", "z"]
    assert doctored(values, "give_up_rate").to_dict()["reversals"][0]["in"] == "y"  # lower is better


@pytest.mark.ci
def test_populations_are_columns(tmp_path):
    slow = tmp_path / "slow.csv"
    slow.write_text("share,name,dynamics.learning_rate\n1,slow,0.001\n")
    fast = [{"share": 1.0, "name": "fast", "dynamics": {"learning_rate": 0.3}}]
    found = matrix(
        ["weakest", "uniform"], ["linked"], populations={"slow": slow, "fast": fast}, learners=30, config=SMALL
    )
    assert found.scenarios == ["linked", "slow", "fast"]
    cells = found.to_dict()["cells"]["weakest"]
    assert cells["slow"]["mean"] < cells["fast"]["mean"]
    run = alsim.rollout("weakest", num_learners=30, first_learner=FIRST_HELD_OUT, config=SMALL | {"population": fast})
    gained = np.bincount(run.interactions.episode, run.interactions.mastery_gain)
    assert cells["fast"]["mean"] == pytest.approx(gained.mean())


@pytest.mark.ci
def test_progress_counts_over_all_columns():
    calls = []
    matrix(
        ["rules", "uniform"],
        ["standard", "linked"],
        learners=5,
        config=SMALL,
        progress=lambda label, done: calls.append((label, done)),
    )
    assert calls[-1] == ("linked, uniform", 20)
    assert [done for _, done in calls] == sorted(done for _, done in calls)


def test_the_report_is_json_for_few_learners():
    for learners in (1, 2):
        report = matrix(["rules", "uniform"], ["standard"], learners=learners, config=SMALL).to_dict()
        json.dumps(report, allow_nan=False)
        assert report["reversals"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policies": ["rules"]}, "a matrix needs at least two different policies; got"),
        ({"dynamics": []}, "a matrix needs at least one dynamics or population; got none"),
        ({"dynamics": "standard"}, "dynamics must be a list of names; got 'standard'"),
        ({"dynamics": ["standard", "standard"]}, "the dynamics 'standard' is listed twice"),
        ({"dynamics": ["standrad"]}, "dynamics must be one of .*; got 'standrad'.*did you mean 'standard'"),
        ({"dynamics": [7]}, "dynamics must be names; got 7"),
        ({"dynamics": ["prerequisites"]}, "reads prerequisites, but the configuration has no curriculum"),
        ({"populations": {"standard": [{"share": 1.0}]}}, "two columns have the label 'standard'"),
        ({"populations": {"x": [{"share": 0.5}]}}, "the shares of a population must sum to 1"),
        ({"metric": "time_on_task"}, "metric must have better values.*time_on_task has none"),
        ({"metric": "lerning"}, "metric must be one of .*did you mean 'learning'"),
        ({"metric": "post_content_gain_blog"}, "undefined for all learners of the policy 'rules' under 'standard'"),
        ({"learners": 0}, "learners must be an integer of at least 1"),
    ],
)
def test_invalid_arguments_are_named(arguments, message):
    settings = {"policies": ["rules", "uniform"], "dynamics": ["standard"], "learners": 3, "config": SMALL}
    with pytest.raises(AlsimError, match=message):
        matrix(**(settings | arguments)).to_dict()


@pytest.mark.interpreted  # kernels of its own
def test_a_matrix_describes_itself(small):
    assert repr(small) == "<Matrix of rules, uniform, video-weakest under standard, linked: learning>"
