"""Analysis of A/B tests: against the functions on arrays, from tables, datasets and logs of engines, and bad input."""

import csv
import json
import re

import numpy as np
import pandas as pd
import pytest

import alsim
from alsim.assignment import Experiment
from alsim.engine import AdaptiveEngine, export_log, load_log
from alsim.errors import AlsimError
from alsim.evaluation import experiments as ex

pytestmark = pytest.mark.filterwarnings("error")
stats = pytest.importorskip("scipy.stats")
N = 300


def students(seed=0, effect=1.0):
    """Return a table of students; with the default seed, both arms have about 150."""
    random = np.random.default_rng(seed)
    arm = random.choice(["a", "control"], N)
    before = random.normal(0, 1, N)
    return {
        "student": [f"s{k}" for k in range(N)],
        "arm": arm,
        "before": before,
        "score": before + random.normal(0, 1, N) + effect * (arm == "a"),
        "answers": random.integers(1, 30, N),
        "correct": random.integers(0, 10, N),
        "class": random.integers(0, 30, N),
        "school": random.choice(["x", "y"], N),
        "left": random.random(N) < 0.2,
    }


def analysed(table, metrics=("score",), columns=None, **options):
    rails = [*(options.get("guardrails") or ())]
    return ex.analyse(ex.read_experiment(table, [*metrics, *rails], arm="arm", **(columns or {})), metrics, **options)


def arms_of(table, name):
    """Return a column of control and treatment."""
    values, is_control = np.asarray(table[name]), np.asarray(table["arm"]) == "control"
    return values[is_control], values[~is_control]


# ── results ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("design", [{}, {"cluster": "class"}, {"stratum": "school"}])
def test_means_are_compared_as_on_arrays(design):
    table = students()
    found = analysed(table, columns=design).comparisons[0]
    labels = {"cluster": "clusters", "stratum": "strata"}
    options = {labels[role]: arms_of(table, name) for role, name in design.items()}
    expected = ex.compare_means(*arms_of(table, "score"), **options)
    assert found.difference.difference == expected.difference and found.difference.ci == expected.ci
    assert found.p == expected.p == found.p_adjusted
    assert found.lift.lift == ex.relative_lift(*arms_of(table, "score"), **options).lift
    assert (found.arm, found.variance_reduction) == ("a", None)


def test_covariates_are_those_of_cuped():
    table = students()
    found = analysed(table, columns={"covariate": "before"}).comparisons[0]
    expected = ex.cuped(*arms_of(table, "score"), *arms_of(table, "before"))
    assert found.difference == expected.difference and found.lift == expected.lift
    assert found.variance_reduction == expected.variance_reduction > 1.5


def test_ratios_are_those_of_the_delta_method():
    table = students()
    found = analysed(table, ["correct/answers"]).comparisons[0]
    columns = [arms_of(table, name) for name in ("correct", "answers")]
    expected = ex.compare_ratios(columns[0][0], columns[1][0], columns[0][1], columns[1][1])
    assert found.difference.difference == pytest.approx(expected.difference.difference, rel=1e-12)
    assert found.difference.se == pytest.approx(expected.difference.se, rel=1e-12)
    assert found.metric == "correct/answers"


def test_sequences_are_those_of_the_moments():
    table = students()
    found = analysed(table, sequential=True, planned=400).comparisons[0]
    moments = [ex.Moments.of(x) for x in arms_of(table, "score")]
    expected = ex.asymptotic_difference(*moments, tuned_for=400)
    assert found.limits == pytest.approx((expected.lower, expected.upper), rel=1e-9)
    assert found.p == pytest.approx(float(expected.p), rel=1e-9)
    assert found.sequence.students[-1] == N and len(found.sequence.low) == 20
    half = students()
    first = {name: np.asarray(column)[:150] for name, column in half.items()}
    assert found.sequence.low[9] == pytest.approx(
        analysed(first, sequential=True, planned=400).comparisons[0].limits[0]
    )


def test_p_values_are_corrected_for_metrics_and_arms():
    table = students(effect=0.25)
    table["arm"] = np.where(np.arange(N) % 3 == 0, "b", table["arm"])
    found = analysed(table, ["score", "left"]).comparisons
    assert [(one.metric, one.arm) for one in found] == [("score", "a"), ("score", "b"), ("left", "a"), ("left", "b")]
    expected = alsim.evaluation.holm([one.p for one in found])
    assert [one.p_adjusted for one in found] == expected.tolist()
    report = analysed(table, ["score", "left"]).to_dict()
    assert {*report["metrics"]["score"]} >= {"difference", "lift", "ci", "p", "other_arms"}
    assert report["metrics"]["score"]["other_arms"]["b"]["difference"] == found[1].difference.difference


@pytest.mark.parametrize(("margin", "state"), [(0.1, "broken"), (1.0, "kept"), (0.5, "undecided"), (-0.5, "kept")])
def test_a_guardrail_is_decided_by_the_whole_interval(margin, state):
    """The interval of the change is 0.17 to 0.84."""
    found = analysed(students(), ["left"], guardrails={"score": margin})
    assert [rail.state for rail in found.guardrails] == [state]
    assert found.to_dict()["guardrails"]["score"][0]["state"] == state


def test_the_sizes_of_the_arms_are_compared_with_the_expected_shares():
    table = students()
    sizes = [len(arm) for arm in arms_of(table, "score")]
    assert analysed(table).srm_p == ex.sample_ratio_mismatch(sizes, [0.5, 0.5])
    found = analysed(table, shares={"a": 1, "control": 9})
    assert found.srm_p == ex.sample_ratio_mismatch(sizes, [0.9, 0.1]) < 1e-10


def test_tables_of_all_kinds_are_the_same_experiment(tmp_path):
    table = students()
    expected = analysed(table).comparisons[0]
    pd.DataFrame(table).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame(table).to_parquet(tmp_path / "a.parquet")
    for source in (pd.DataFrame(table), tmp_path / "a.csv", str(tmp_path / "a.parquet")):
        found = analysed(source).comparisons[0]
        assert found.difference.ci == pytest.approx(expected.difference.ci, rel=1e-12)
        assert found.difference.p == pytest.approx(expected.difference.p, rel=1e-9)


def test_a_metric_that_is_named_twice_is_tested_once():
    found = analysed(students(), ["score", "score"])
    assert [one.metric for one in found.comparisons] == ["score"]
    assert "other_arms" not in found.to_dict()["metrics"]["score"]


def test_the_order_of_arrival_is_that_of_a_column():
    table = students()
    table["time"] = np.arange(N)[::-1]
    data = ex.read_experiment(table, ["score"], arm="arm", order="time")
    assert data.values["score"].tolist() == table["score"][::-1].tolist()


@pytest.mark.heavy
def test_datasets_are_arms_with_the_names_of_their_policies():
    config, arms = {"max_episode_steps": 8}, (("uniform", 1), ("rules", 2))
    datasets = [alsim.generate_dataset(40, 2, policy=p, seed=s, config=config) for p, s in arms]
    data = ex.read_experiment(datasets, ["learning/interactions", "final_mastery", "give_up_rate"])
    assert data.names == ("uniform", "rules") and data.sizes.tolist() == [40, 40]
    assert data.arms.tolist() == [0, 1] * 40  # in turns, so that a sequence has learners of both at each look
    data = data.taken(np.argsort(data.arms, kind="stable"))
    gains, learners = datasets[1].transitions.column("mastery_gain").to_numpy(), datasets[1].learner_id
    assert data.values["learning"][41] == pytest.approx(gains[learners == 1].sum(), rel=1e-6)
    assert data.values["interactions"][41] == (learners == 1).sum()
    final = datasets[1].episodes.column("final_mastery").to_numpy()
    assert data.values["final_mastery"][41] == pytest.approx(final[2:4].mean())
    found = ex.analyse(data, ["learning/interactions"]).comparisons[0]
    assert found.difference.control.mean == pytest.approx(
        data.values["learning"][:40].sum() / data.values["interactions"][:40].sum()
    )


@pytest.mark.ci
def test_classes_of_datasets_are_clusters():
    config = alsim.Config.read({"classes": {"size": 5, "mastery_std": 1.0}, "max_episode_steps": 10})
    datasets = [
        alsim.generate_dataset(20, 1, policy=p, seed=s, config=config) for p, s in (("uniform", 1), ("rules", 2))
    ]
    data = ex.read_experiment(datasets, ["learning"])
    assert data.clusters[np.argsort(data.arms, kind="stable")].tolist() == [k // 5 for k in range(40)]
    assert data.unit_sizes.tolist() == [4, 4] and data.are_classes_assigned


@pytest.mark.heavy
def test_datasets_of_other_sizes_are_no_mismatch_and_those_of_other_episodes_are_refused():
    small, large, twice = (
        alsim.generate_dataset(n, episodes, policy=policy, seed=seed, config={"max_episode_steps": 8})
        for seed, (n, episodes, policy) in enumerate([(20, 1, "uniform"), (200, 1, "rules"), (20, 2, "rules")])
    )
    data = ex.read_experiment([small, large], ["learning"])
    assert ex.analyse(data, ["learning"]).srm_p == pytest.approx(1.0)
    assert ex.analyse(data, ["learning"], shares={"uniform": 0.5, "rules": 0.5}).srm_p < 1e-10
    with pytest.raises(AlsimError, match="differ in the episodes per learner; got 1 and 2"):
        ex.read_experiment([small, twice], ["interactions"])


@pytest.mark.parametrize("crossing", [False, True])
def test_the_sizes_of_assigned_classes_are_those_in_classes(crossing):
    """SciPy's chi-squared test of 30 and 20 classes of 25, unless students were assigned within classes."""
    classes = np.repeat(np.arange(50), 25)
    arm = np.where(np.arange(1250) % 25 < 15, "a", "b") if crossing else np.where(classes < 30, "a", "b")
    table = {"arm": arm, "class": classes, "score": np.random.default_rng(0).normal(size=1250)}
    found = ex.analyse(ex.read_experiment(table, ["score"], arm="arm", cluster="class"), ["score"])
    assert found.srm_p == pytest.approx(stats.chisquare([750, 500] if crossing else [30, 20]).pvalue)


def test_the_interval_of_the_lift_is_a_sequence_with_one():
    data = ex.read_experiment(students(), ["score"], arm="arm")
    fixed, sequential = (ex.analyse(data, ["score"], sequential=one).comparisons[0] for one in (False, True))
    test = ex.anytime_test(fixed.lift.lift, fixed.lift.se**2, N, tuned_for=1000)
    assert sequential.lift.ci == pytest.approx((test.lower, test.upper)) and sequential.lift.p == pytest.approx(test.p)
    assert sequential.to_dict()["lift_ci"] == [*sequential.lift.ci] != [*fixed.lift.ci]


def test_the_report_is_json_if_the_covariate_predicts_all():
    """The metric is twice the covariate, so that no variance is left."""
    table = changed(before=np.arange(N) % 4, double=np.arange(N) % 4 * 2, arm=np.arange(N) % 8 // 4)
    data = ex.read_experiment(table, ["double"], arm="arm", covariate="before")
    for sequential in (False, True):
        found = ex.analyse(data, ["double"], sequential=sequential)
        assert found.comparisons[0].variance_reduction > 1e6
        json.dumps(found.to_dict(), allow_nan=False)


def test_a_ratio_of_zero_has_no_lift():
    found = analysed(changed(zero=[0] * N), ["zero/answers"])
    assert found.comparisons[0].lift is None and found.comparisons[0].p == 1


TIMES = {
    "dates and times": (np.datetime64("2024-03-01"), np.datetime64("2024-02-01T00:00:00", "ns")),
    "digits": ("2024-03-01T00:00:00", "2024-02-01T00:00:00.0000001"),
    "zones": ("2024-01-01T00:30:00Z", "2024-01-01T02:00:00+02:00"),
}


@pytest.mark.parametrize("kind", TIMES)
def test_times_in_other_units_are_compared(kind):
    measured, assigned = TIMES[kind]
    roles = {"covariate": "before", "assignment_time": "assigned", "covariate_time": "measured"}
    table = changed(assigned=np.array([assigned] * N), measured=np.array([measured] * N))
    with pytest.raises(AlsimError, match="was measured after assignment, as that of 300 of 300"):
        analysed(table, columns=roles)
    early = changed(assigned=np.array([measured] * N), measured=np.array([assigned] * N))
    assert 0 <= analysed(early, columns=roles).comparisons[0].p <= 1


# ── bad input ────────────────────────────────────────────────────────────────────────────────────


def changed(**columns):
    return students() | columns


BAD = [
    (changed(arm=["a"] * N), {}, {}, "an experiment needs at least 2 arms; got only 'a'"),
    (changed(arm=["a"] * (N - 1) + ["control"]), {}, {}, "the arm 'control' has one student, and a test needs"),
    (students(), {}, {"shares": {"a": 0.5, "control": 0.4, "b": 0.1}}, "the arm 'b' of the shares has no students"),
    (students(), {}, {"shares": {"a": 0.5}}, "the arm 'control' has no expected share"),
    (
        changed(score=[float("nan"), *[1.0] * (N - 1)]),
        {},
        {},
        "metric (column 'score') must be a finite number; got a mis",
    ),
    (changed(score=["x", *[1.0] * (N - 1)]), {}, {}, "must be a finite number; got 'x'"),
    (students(), {"covariate": "befor"}, {}, "there is no column 'befor' for the covariate; did you mean 'before'?"),
    (students(), {"student": "school"}, {}, "the arms overlap: the student 'x' is in more than one"),
    (
        changed(student=[f"s{k // 2}" for k in range(N)], arm=np.repeat(["a", "control"], N // 2)),
        {"student": "student"},
        {},
        "the student 's0' has 2 rows; expected one row per student",
    ),
    (
        changed(assigned=np.full(N, 5.0), measured=np.append(np.zeros(N - 1), 6.0)),
        {"covariate": "before", "assignment_time": "assigned", "covariate_time": "measured"},
        {},
        "the covariate 'before' was measured after assignment, as that of 1 of 300 students",
    ),
    (
        students(),
        {},
        {"planned": 400},
        "has 300 of 400 planned students: a look before the planned end makes the false",
    ),
    (
        changed(assigned=["2024-01-01"] * N, measured=[1.8e9] * N),
        {"covariate": "before", "assignment_time": "assigned", "covariate_time": "measured"},
        {},
        "must both be times, or both numbers; only the column 'measured' has numbers",
    ),
    (
        changed(assigned=["2024-01-01"] * N),
        {"covariate": "before", "assignment_time": "assigned"},
        {},
        "assignment_time needs the covariate and its time, too",
    ),
    (students(), {}, {"shares": {"a": 0, "control": 0}}, "the share of the arm 'control' must be positive; got 0"),
    (students(), {}, {"shares": {"a": 1, "control": float("inf")}}, "must be a finite number up to 1e+150; got inf"),
    (students(), {}, {"shares": {"a": "half", "control": 0.5}}, "the share of the arm 'a' must be a number"),
    (students(), {}, {"shares": [0.5, 0.5]}, "shares must be {arm: share}; got [0.5, 0.5]"),
    (students(), {}, {"guardrails": ["left"]}, "guardrails must be {name: change}; got ['left']"),
    (students(), {}, {"guardrails": {"left": "2 %"}}, "guardrail left must be a number; got '2 %'"),
    (students(), {"clusters": "class"}, {}, "has no argument 'clusters'; did you mean 'cluster'?"),
    (changed(zero=[0] * N), {}, {"metrics": ["score/zero"]}, "score/zero is undefined in the arm 'control', where"),
    (changed(minus=[-1] * N), {}, {"metrics": ["score/minus"]}, "minus must be at least 0, since score/minus"),
    (students(), {"covariate": "score"}, {}, "the covariate 'score' is a metric, too"),
    (students(), {}, {"planned": 0}, "planned must be"),
    (students(), {"stratum": "student"}, {}, "strata must have at least 2 values of each arm; got"),
    (changed(**{"class": [0] * N}), {"cluster": "class"}, {}, "are of one class, and a test needs at least 2 classes"),
    (students(), {"control": "c"}, {}, "there is no arm 'c' to be the control"),
    (students(), {}, {"guardrails": {"left": 0.0}}, "must be a number other than 0"),
    (changed(arm=np.arange(N)), {}, {}, "has 300 values, such as '0', and there are at most 20 arms"),
    ({"arm": [], "score": []}, {}, {}, "the table is empty"),
]


@pytest.mark.parametrize(("table", "columns", "options", "message"), BAD, ids=map(str, range(len(BAD))))
def test_bad_input_is_one_sentence(table, columns, options, message):
    with pytest.raises(AlsimError, match=re.escape(message)) as error:
        analysed(table, columns=columns, **options)
    assert "\n" not in str(error.value)


def test_bad_sources_are_refused_in_one_sentence(tmp_path):
    one, same = (alsim.generate_dataset(5, 1, policy=p, seed=1) for p in ("uniform", "rules"))
    other = alsim.generate_dataset(5, 1, policy="uniform", seed=2)
    for source, options, message in (
        ([one], {}, "at least 2 arms"),
        ([one], {}, "got only 'uniform': pass one dataset per arm"),
        ([one, same], {}, "the arms overlap"),
        ([one, other], {}, "must have different policies"),
        ([one, students()], {}, "must all be datasets"),
        ([one, same], {"arm": "arm"}, "arm is a column of a table"),
        (students(), {}, "a table needs arm"),
        ([students(), students()], {"arm": "arm"}, "is one table, one log of an engine, or several datasets"),
        (tmp_path / "no.csv", {"arm": "arm"}, "there is no log"),
    ):
        with pytest.raises(AlsimError, match=message):
            ex.read_experiment(source, ["score"], **options)
    with pytest.raises(AlsimError, match="unknown metric 'scor'"):
        ex.read_experiment([one, alsim.generate_dataset(5, 1, policy="rules", seed=3)], ["scor"])


def test_a_bad_cell_is_named_with_its_line(tmp_path):
    table = students()
    with open(tmp_path / "a.csv", "w", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["arm", "score"])
        writer.writerows([["a", 1], ["control", 2], ["a", ""]])
    with pytest.raises(AlsimError, match="line 4: metric"):
        ex.read_experiment(tmp_path / "a.csv", ["score"], arm="arm")
    assert len(table["arm"]) == N


# ── engines ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module", params=[True, False], ids=["names", "numbers"])
def engine_log(request, tmp_path_factory):
    """The log of an engine in which 12 students answer 4 questions each within an experiment, after one outside it."""
    graph = {"a": [], "b": ["a"]}
    items = [{"id": f"{s}{k}", "skills_taught": [s], "skills_assessed": [s]} for s in graph for k in range(6)]
    tutoring = Experiment("tutoring", {"control": 0.5, "new": 0.5}, policies={"control": "guide", "new": "alosi"})
    engine = AdaptiveEngine(graph, items, policy="experiment:tutoring", experiments=tutoring)
    for student in range(12):
        name = f"s{student}"
        engine.process_response(name, "a0", True, time=1.0, satisfaction=1)  # before the exposure
        for k in range(4):
            item = engine.recommend(name, n=1, time=10.0 + 100 * k)[0].item
            engine.process_response(name, item, (student + k) % 3 > 0, time=20.0 + 100 * k, satisfaction=k)
    path = tmp_path_factory.mktemp("engine") / "log"
    return load_log(export_log(engine, path, names=request.param)), tutoring


def test_students_of_an_engine_count_from_their_first_exposure_on(engine_log):
    log, tutoring = engine_log
    data = ex.read_experiment(
        log,
        [
            "correct/answers",
            "interactions",
            "learning",
            "sessions",
            "session_minutes",
            "satisfaction/ratings",
            "returned",
        ],
    )
    assert data.names == ("control", "new") and len(data.arms) == 12
    if log.manifest["names"]:
        expected = [tutoring.names.index(tutoring.assign(f"s{k}")) for k in range(12)]
        names = log.exposures().student
        assert data.arms.tolist() == [expected[int(name[1:])] for name in names]
    assert set(data.values["answers"].tolist()) == {4.0} == set(data.values["interactions"].tolist())
    assert sorted(data.values["correct"].tolist()) == sorted(sum((s + k) % 3 > 0 for k in range(4)) for s in range(12))
    assert data.values["session_minutes"] == pytest.approx(np.full(12, 310 / 60))
    assert set(data.values["sessions"].tolist()) == {1.0}
    assert set(data.values["satisfaction"].tolist()) == {0.0 + 1 + 2 + 3} and set(data.values["ratings"].tolist()) == {
        4.0
    }
    assert set(data.values["returned"].tolist()) == {0.0}
    rows = log.time > 5
    assert data.values["learning"].sum() == pytest.approx(log.reward[rows].astype(float).sum(), rel=1e-6)


def test_the_experiment_of_an_engine_is_analysed(engine_log):
    found = ex.analyse(ex.read_experiment(engine_log[0], ["correct/answers"]), ["correct/answers"])
    assert found.data.source == "experiment tutoring" and 0 <= found.comparisons[0].p <= 1


def test_the_expected_shares_are_those_of_the_experiment_of_an_engine(tmp_path):
    """300 students in arms of 9 : 1 are no mismatch, and those of 12 classes in equal arms are counted in classes."""
    items = [{"id": f"a{k}", "skills_taught": ["a"], "skills_assessed": ["a"]} for k in range(3)]
    policies = {"control": "guide", "new": "alosi"}
    skewed = Experiment("skewed", {"control": 0.9, "new": 0.1}, policies=policies)
    by_class = Experiment("by-class", {"control": 0.5, "new": 0.5}, unit="class", policies=policies)
    for one in (skewed, by_class):
        engine = AdaptiveEngine({"a": []}, items, policy=f"experiment:{one.name}", experiments=one)
        for k in range(300):
            engine.recommend(f"s{k}", n=1, time=1.0 + k, class_name=f"c{k // 25}")
        data = ex.read_experiment(load_log(export_log(engine, tmp_path / one.name)), ["interactions"])
        found = ex.analyse(data, ["interactions"])
        assert found.shares == (*one.arms.values(),)
        if one is by_class:
            sizes = np.bincount(one.assign_many([f"c{k}" for k in range(12)]), minlength=2)
            assert data.unit_sizes.tolist() == sizes.tolist() and data.are_classes_assigned
        expected = ex.sample_ratio_mismatch(data.unit_sizes, found.shares)
        assert found.srm_p == pytest.approx(expected) and found.srm_p > 0.01


def test_metrics_that_were_not_read_are_named():
    data = ex.read_experiment(students(), ["score"], arm="arm")
    for metrics, options, message in (
        (["left"], {}, "the values of 'left' were not read"),
        (["score"], {"guardrails": {"left": 0.1}}, "the values of 'left' were not read"),
        ("score", {}, "metrics must be a list of names; got 'score'"),
    ):
        with pytest.raises(AlsimError, match=message):
            ex.analyse(data, metrics, **options)
    with pytest.raises(AlsimError, match="metrics must be a list of names"):
        ex.read_experiment(students(), "score", arm="arm")


def test_bad_experiments_of_engines_are_refused_in_one_sentence(engine_log, tmp_path):
    log, _ = engine_log
    with pytest.raises(AlsimError, match="there is no experiment 'tutorin' in the log; did you mean 'tutoring'"):
        ex.read_experiment(log, ["learning"], experiment="tutorin")
    with pytest.raises(AlsimError, match="unknown metric 'reward'"):
        ex.read_experiment(log, ["reward"])
    plain = AdaptiveEngine({"a": []}, [{"id": "a0", "skills_taught": ["a"], "skills_assessed": ["a"]}])
    plain.recommend("s", time=1.0)
    with pytest.raises(AlsimError, match="has no experiment"):
        ex.read_experiment(load_log(export_log(plain, tmp_path / "log")), ["learning"])
