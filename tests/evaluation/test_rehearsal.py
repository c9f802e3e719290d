"""Rehearsals of planned experiments: plans, assignment, false alarms, power, and the analysis of one experiment."""

import json
import math
import re

import numpy as np
import pytest

import alsim
from alsim.errors import AlsimError
from alsim.evaluation import experiments as ex
from alsim.evaluation.experiments.arms import difference
from alsim.evaluation.experiments.batched import compared
from alsim.evaluation.experiments.simulation import Sample, read_world, simulate
from alsim.evaluation.experiments.student_metrics import split_metric, student_values
from alsim.types import FIRST_HELD_OUT

pytest.importorskip("scipy")
SHORT = {"max_episode_steps": 10}
ARMS = {"control": {"policy": "uniform", "share": 0.5}, "new": {"policy": "rules", "share": 0.5}}
CLASSES = {**SHORT, "classes": {"size": 5, "mastery_std": 1.0}}


def plan(**changes):
    base = {"name": "test", "arms": ARMS, "students": 60, "repetitions": 100, "looks": 5, "config": SHORT}
    return ex.read_experiment_plan({**base, "guardrails": {}, **changes})


# ── the analysis of one experiment ───────────────────────────────────────────────────────────────


def sample_of(*, ratio, before, classes, seed=0, n=80):
    random = np.random.default_rng(seed)
    covariate = random.normal(0, 1, (3, n))
    return Sample(
        arms=random.integers(0, 3, (3, n)),
        value=covariate + random.normal(2, 1, (3, n)),
        denominator=random.integers(1, 5, (3, n)).astype(float) if ratio else None,
        covariate=covariate if before else None,
        clusters=np.arange(n) // 4 if classes else None,
    )


@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("classes", [False, True])
def test_many_experiments_are_analysed_as_one_is(ratio, before, classes):
    """The batched tests of three experiments against `analyse` of each of them."""
    sample = sample_of(ratio=ratio, before=before, classes=classes)
    for arm in (1, 2):
        batch = difference(compared(sample, arm).means)
        for k in range(3):
            kept = np.isin(sample.arms[k], (0, arm))
            table = {"arm": sample.arms[k][kept], "y": sample.value[k][kept]}
            options = {}
            if ratio:
                table["x"] = sample.denominator[k][kept]
            if before:
                table["z"], options["covariate"] = sample.covariate[k][kept], "z"
            if classes:
                table["g"], options["cluster"] = sample.clusters[kept], "g"
            metric = "y/x" if ratio else "y"
            data = ex.read_experiment(table, [metric], arm="arm", control="0", **options)
            expected = ex.analyse(data, [metric]).comparisons[0].difference
            assert batch.value[k] == pytest.approx(expected.difference, rel=1e-9)
            assert (batch.low[k], batch.high[k]) == pytest.approx(expected.ci, rel=1e-9)
            assert batch.p[k] == pytest.approx(expected.p, rel=1e-8, abs=1e-15)


def test_arms_with_fewer_than_two_students_have_no_test():
    sample = Sample(arms=np.array([[0, 0, 1, 2], [0, 0, 1, 1]]), value=np.arange(8.0).reshape(2, 4))
    assert compared(sample, 1).is_defined.tolist() == [False, True]
    assert np.isfinite(difference(compared(sample, 1).means).p).all()


# ── simulated students ───────────────────────────────────────────────────────────────────────────


@pytest.mark.compiled
def test_students_are_held_out_learners_under_the_policy_of_their_arm():
    """Against rollouts of single learners."""
    world = read_world(plan(), 1)
    found = simulate(world, 1, 3)
    assert found.arms.shape == (2, 60) and set(found.arms.ravel().tolist()) == {0, 1}
    for row, student in ((0, 0), (1, 7), (1, 59)):
        learner = FIRST_HELD_OUT + 60 * (1 + row) + student
        for kept, arm in ((found.values, found.arms[row, student]), (found.control, 0)):
            run = alsim.rollout(("uniform", "rules")[arm], num_learners=1, first_learner=learner, seed=0, config=SHORT)
            gain = float(run.interactions.mastery_gain.astype(float).sum())
            assert kept["learning"][row, student] == pytest.approx(gain, rel=1e-12)
            assert kept["interactions"][row, student] == len(run.interactions.action)
    assert found.arms.ravel().tolist() == [
        world.experiment.names.index(world.experiment.assign(str(FIRST_HELD_OUT + 60 + k))) for k in range(120)
    ]


@pytest.mark.heavy
@pytest.mark.ci
def test_classes_are_assigned_together():
    found = simulate(read_world(plan(unit="class", config=CLASSES), 1), 0, 4)
    blocks = found.arms.reshape(4, 12, 5)
    assert (blocks == blocks[:, :, :1]).all() and len(set(found.arms.ravel().tolist())) == 2
    assert found.sizes(2).sum(axis=1).tolist() == [12] * 4


@pytest.mark.compiled
def test_the_result_does_not_depend_on_batches_or_threads(monkeypatch):
    expected = ex.rehearse(plan()).to_dict()
    assert ex.rehearse(plan(), num_threads=2).to_dict() == expected
    monkeypatch.setattr("alsim.evaluation.experiments.rehearsal.BATCH", 700)
    assert ex.rehearse(plan()).to_dict() == expected


@pytest.mark.compiled
def test_the_time_to_an_outcome_is_that_of_plain_python():
    level, run = 0.9, alsim.rollout("mastery-gated:0.9", num_learners=8, config={"max_episode_steps": 60})
    found = student_values(run, ("restricted_time_to_lo_mastery",))["restricted_time_to_lo_mastery"]
    ends = np.cumsum(run.interactions.length)
    expected = []
    for k, end in enumerate(ends.tolist()):
        rows = [*run.obs[end - run.interactions.length[k] : end, :30], run.final_obs[k, :30]]
        below = rows[0] < level
        reached = [t for t, row in enumerate(rows) if ((row >= level) & below).any()]
        expected.append(reached[0] if reached else 60)
    assert found.tolist() == expected and len(set(expected)) > 1


# ── rates ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize("unit", ["student", "class"])
def test_false_alarms_keep_their_level_at_any_look_and_a_naive_reader_exceeds_it(unit):
    """2,000 rehearsals of 200 students without an effect, seed 1: by 3 standard errors, a false alarm in 700."""
    config = SHORT if unit == "student" else {**SHORT, "classes": {"size": 5, "mastery_std": 1.0}}
    options = {"students": 200, "repetitions": 2000, "looks": 20, "seed": 1, "config": config, "unit": unit}
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
    for method in ("fixed", "sequential"):
        found = ex.rehearse(plan(method=method, **options))
        assert found.false_alarms.mean <= limit
        assert found.false_alarms_naive.mean > 0.15
        if unit == "class":
            assert found.false_alarms_unclustered.mean > (0.15 if method == "fixed" else limit)


@pytest.mark.ci
@pytest.mark.compiled
def test_power_is_that_of_the_formula():
    """1,000 rehearsals, seed 2, by the noncentral t distribution: 3 standard errors, a false alarm in 370."""
    config = {"max_episode_steps": 15}
    known = plan(students=400, repetitions=1000, metrics=["final_mastery"], seed=2, looks=1, config=config)
    found = ex.rehearse(known)
    students = simulate(read_world(known, 1), 0, 1000)
    sds = [students.values["final_mastery"][students.arms == arm].std() for arm in (0, 1)]
    sd = math.sqrt((sds[0] ** 2 + sds[1] ** 2) / 2)
    expected = ex.power_of_means(abs(found.effect.mean), sd, 200)
    assert 0.2 < expected < 0.98
    assert abs(found.power.mean - expected) <= 3 * math.sqrt(expected * (1 - expected) / 1000)


@pytest.mark.compiled
def test_a_fixed_test_has_one_look_and_a_sequence_finds_at_any():
    fixed = ex.rehearse(plan()).to_dict()
    assert fixed["decision_time"] == 60 and fixed["curves"]["power"][:-1] == [0] * 4
    found = ex.rehearse(plan(method="sequential", students=400, repetitions=100, config={"max_episode_steps": 60}))
    curve = found.curves()["power"]
    assert curve == sorted(curve) and curve[-1] == pytest.approx(found.power.mean)
    assert found.decision_time is None or found.decision_time in found.ends


@pytest.mark.heavy
def test_the_report_has_the_keys_of_the_page():
    report = ex.rehearse(
        plan(guardrails={"give_up_rate": 0.02, "interactions": -1}, covariate="starting_mastery")
    ).to_dict()
    assert {*report} >= {"power", "false_alarms", "false_alarms_naive", "decision_time", "minimum_effect", "intervals"}
    assert report["guardrails"]["give_up_rate"]["found_kept"] == 1.0  # no student gives up within 2 interactions
    assert all(isinstance(report[key], float) for key in ("power", "false_alarms", "minimum_effect"))


@pytest.mark.parametrize("name", ["learning", "mastery", "classes"])
def test_plans_of_the_package_are_valid(name):
    known = ex.read_experiment_plan(name)
    assert known.name == name and known.repetitions == 1000
    read_world(known, 1)


# ── bad input ────────────────────────────────────────────────────────────────────────────────────

BAD = [
    ({"studens": 10}, "studens = 10: unknown key; expected one of"),
    ({"metrics": "learning"}, "metrics = 'learning': expected a list of names"),
    ({"metrics": ["returned"]}, "simulated students have no returned, which depends on more than a model of learning"),
    ({"metrics": ["satisfaction/ratings"]}, "plan: metrics: simulated students have no satisfaction"),
    ({"name": "two words"}, "plan: the name of an experiment must have 1 to 64 letters"),
    ({"arms": {"control": ARMS["control"], "new arm": ARMS["new"]}}, "plan: the name of an arm of"),
    ({"arms": {"control": ARMS["control"]}}, "an experiment needs at least 2 arms; got 1"),
    ({"arms": {**ARMS, "new": {"policy": "rules", "share": 0.4}}}, "the shares of the arms must add up to 1; got 0.9"),
    (
        {"arms": {**ARMS, "new": {"policy": "rules", "shar": 0.5}}},
        "arms.new.shar = 0.5: unknown key; expected one of policy, share; did you mean 'share'?",
    ),
    ({"metrics": ["learnin"]}, "unknown metric 'learnin'; did you mean 'learning'?"),
    ({"metrics": []}, "metrics must name at least one metric"),
    ({"metrics": ["a/b/c"]}, "a metric is a name, or a ratio"),
    ({"guardrails": {"interactions": 0}}, "must not be 0"),
    ({"students": 10}, "10 students are too few for 5 looks"),
    ({"unit": "class"}, "unit = 'class' needs effects of classes"),
    ({"unit": "class", "config": CLASSES, "cluster_robust": False}, "the errors must be cluster-robust"),
    ({"config": CLASSES, "cluster_robust": False}, "the errors must be cluster-robust"),
    ({"config": CLASSES, "students": 61}, "must be a multiple of the class size, 5; got 61: use 65"),
    ({"unit": "class", "config": CLASSES, "students": 30, "looks": 2}, "6 classes are too few for 2 arms: plan 4"),
    (
        {"unit": "class", "config": CLASSES, "students": 60, "method": "sequential"},
        "12 classes are too few for a confidence sequence, which begins at 20",
    ),
    ({"method": "bayes"}, "method = 'bayes': expected 'fixed' or 'sequential'"),
]


@pytest.mark.parametrize(("changes", "message"), BAD, ids=map(str, range(len(BAD))))
def test_bad_plans_are_refused_in_one_sentence(changes, message):
    with pytest.raises(AlsimError, match=re.escape(message)) as error:
        plan(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.ci
@pytest.mark.compiled
def test_experiments_without_two_classes_in_an_arm_are_left_out():
    """Eight classes: 100 experiments, of which 1 to 20 have no test (binomial, false alarms below .02)."""
    found = ex.rehearse(plan(unit="class", config=CLASSES, students=40, looks=2, repetitions=100))
    sizes, undefined = found.found.sizes, np.isnan(found.primary.effect[0])
    assert undefined.tolist() == (sizes.min(axis=1) < 2).tolist() and 1 <= undefined.sum() <= 20
    assert found.coverage.n == 100 - undefined.sum() == found.effect.n
    assert found.effect.mean == pytest.approx(found.primary.effect[0][~undefined].mean())
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.compiled
@pytest.mark.parametrize("method", ["fixed", "sequential"])
def test_a_metric_that_never_varies_has_no_lift_and_no_sequence(method):
    found = ex.rehearse(plan(metrics=["share_mastered"], method=method, repetitions=100))
    assert found.lift is None and (found.minimum_effect is None) == (method == "sequential")
    assert "lift" in json.loads(json.dumps(found.to_dict(), allow_nan=False)) and found.power.mean == 0


def test_a_misspelt_key_is_named_instead_of_the_missing_one():
    known = {"name": "one", "arms": ARMS}
    with pytest.raises(AlsimError, match=r"^plan: studens = 60: unknown key; .*; did you mean 'students'\?$"):
        ex.read_experiment_plan(known | {"studens": 60})
    with pytest.raises(AlsimError, match="^plan: the key students is missing: add it$"):
        ex.read_experiment_plan(known)


@pytest.mark.compiled
def test_a_metric_that_is_censored_for_most_students_is_refused():
    with pytest.raises(AlsimError, match=r"would be censored for 100 % .* \(clause S7.3\)"):
        ex.rehearse(plan(metrics=["restricted_mean_time_to_mastery"], config={}))


def test_policies_that_learn_across_students_are_refused():
    arms = {**ARMS, "new": {"policy": "thompson:0.8:0.1:true", "share": 0.5}}
    with pytest.raises(AlsimError, match="learns across learners"):
        ex.rehearse(plan(arms=arms))


@pytest.mark.parametrize(
    ("content", "message"), [(None, "there is no plan"), ("name = ", "is no plan of an experiment")]
)
def test_bad_files_are_refused_in_one_sentence(content, message, tmp_path):
    if content is not None:
        (tmp_path / "plan.toml").write_text(content)
    with pytest.raises(AlsimError, match=message) as error:
        ex.read_experiment_plan(tmp_path / "plan.toml")
    assert "\n" not in str(error.value)


def test_a_misspelt_name_of_a_plan():
    with pytest.raises(AlsimError, match="did you mean 'learning'"):
        ex.read_experiment_plan("learnin")


def test_names_of_metrics_may_have_spaces_around_the_slash():
    assert split_metric("learning / interactions").name == "learning/interactions"
