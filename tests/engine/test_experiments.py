"""Experiments of the engine: arms, propensities, classes, counters, exports, directories and errors."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from engine_logs import GRAPH, ITEMS, engine_with_students

from alsim.assignment import AssignmentError, Experiment, Exposures, experiments_toml
from alsim.datasets.engine_schema import ASSIGNED
from alsim.datasets.manifest import DatasetError
from alsim.engine import AdaptiveEngine, EngineError, EnginePolicy, export_log, load_log
from alsim.engine.directory import load_engine, read_directory, write_engine
from alsim.engine.errors import ClassConflict, DeletedStudent
from alsim.engine.recommenders import make_recommender
from alsim.evaluation import ope
from alsim.evaluation.ope.engine_logs import EngineEpisodes

POLICIES = {"control": "guide", "new": "alosi"}
EVEN = {"control": 0.5, "new": 0.5}
NAMES = [f"s{k}" for k in range(40)]


def experiment(name="tutoring", policies=None, **others):
    return Experiment(name, EVEN, policies=POLICIES if policies is None else policies, **others)


def engine(one=None, **options):
    one = experiment() if one is None else one
    return AdaptiveEngine(GRAPH, ITEMS, policy=f"experiment:{one.name}", experiments=one, seed=3, **options)


def assigned(event):
    return event.get("experiment"), event.get("arm"), event.get("class_name")


# ── arms ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("new", ["alosi", "policy:epsilon-greedy:zpdes:0.2", "thompson:2"])
def test_each_student_gets_what_the_policy_of_the_arm_gives_alone(new):
    """Items, scores and propensities are those of an engine with this policy only, also after responses."""
    own = engine(experiment(policies={"control": "guide", "new": new}))
    twins = {arm: AdaptiveEngine(GRAPH, ITEMS, policy=p, seed=3) for arm, p in (("control", "guide"), ("new", new))}
    arms = dict(zip(NAMES[:12], map(experiment().assign, NAMES), strict=False))
    assert {*arms.values()} == {"control", "new"}
    for t in range(3):
        many = own.recommend_many(NAMES[:12], 2, time=100.0 * t)
        for name, found in zip(NAMES, many, strict=False):
            twin = twins[arms[name]]
            assert found == twin.recommend(name, 2, time=100.0 * t)
            for one in (own, twin):
                one.process_response(name, "q0", t > 0, time=100.0 * t + 1)
    for name, arm in arms.items():
        for event, other in zip(own.events(name), twins[arm].events(name), strict=True):
            if "rank" in event:
                assert (event.pop("experiment"), event.pop("arm")) == ("tutoring", arm)
            assert {**event, "model": 0} == {**other, "model": 0}  # thompson has another digest of trials


def test_the_arms_are_those_of_the_assignment():
    own = engine()
    own.recommend_many(NAMES, 1, time=0.0)
    expected = experiment().assign_many(NAMES)
    assert 0 < expected.sum() < 40
    for name, arm in zip(NAMES, expected, strict=True):
        (event,) = own.events(name)
        assert assigned(event) == ("tutoring", ["control", "new"][arm], None)
        assert event["policy"] == ["guide", "alosi"][arm]
    assert repr(own).startswith("<AdaptiveEngine: experiment:tutoring, ")


def test_students_outside_of_the_experiment_get_the_control_and_no_arm():
    half = experiment(traffic=0.5)
    own = engine(half)
    own.recommend_many(NAMES, 1, time=0.0)
    arms = [half.assign(name) for name in NAMES]
    assert {*arms} == {None, "control", "new"}
    for name, arm in zip(NAMES, arms, strict=True):
        (event,) = own.events(name)
        assert assigned(event) == (None if arm is None else "tutoring", arm, None)
        assert event["policy"] == ("alosi" if arm == "new" else "guide")


def test_students_of_a_class_are_in_one_arm():
    by_class = experiment(unit="class")
    own = engine(by_class)
    classes = [f"class {k % 6}" for k in range(40)]
    own.recommend_many(NAMES, 1, time=0.0, classes=classes)
    for name, label in zip(NAMES, classes, strict=True):
        (event,) = own.events(name)
        assert assigned(event) == ("tutoring", by_class.assign(label), label)
    assert {by_class.assign(label) for label in classes} == {"control", "new"}


def test_the_class_of_a_student_is_stored(tmp_path):
    """It is in the state and in the log: a new process knows it, and so does a replay."""
    store, by_class = f"sqlite:{tmp_path / 'students.db'}", experiment(unit="class")
    with engine(by_class, store=store) as own:
        own.recommend("ada", class_name="7b", time=0.0)
    with engine(by_class, store=store, model="elo") as own:  # states are made again from the log
        own.recommend("ada", time=1.0)
        own.process_response("ada", "q0", True, time=2.0)
        own.replay()
        own.recommend("ada", class_name="7b", time=3.0)
        shown = [event for event in own.events("ada") if "rank" in event]
        assert {assigned(event) for event in shown} == {("tutoring", by_class.assign("7b"), "7b")}
    with AdaptiveEngine(GRAPH, ITEMS, store=store) as own:  # also without an experiment
        own.recommend("ben", class_name="8a", time=0.0)
        assert [assigned(event) for event in own.events("ben")] == [(None, None, "8a")] * 3
        own.recommend("cyd", time=0.0)
        assert assigned(own.events("cyd")[0]) == (None, None, None)


# ── recommenders that learn across students ──────────────────────────────────────────────────────


def answer(own, names):
    for name in names:
        item = own.recommend(name, 1, time=0.0)[0].item
        (own.process_content if item in "vw" else lambda *a, **o: own.process_response(*a, True, **o))(
            name, item, time=1.0
        )
        for t in (2.0, 3.0):
            own.process_response(name, "q0", True, time=t)


def test_arms_learn_from_their_own_students_only():
    """Two arms with one policy, and students outside: each has counters of its own, which a replay makes again."""
    one = experiment(policies=dict.fromkeys(EVEN, "thompson:2"), traffic=0.7)
    own = engine(one)
    answer(own, NAMES)
    counters = own.store.counters()
    sums = {arm: 0 for arm in ("control", "new", "")}
    for name, value in counters.items():
        head, experiment_name, arm, policy, *_ = name.split(":")
        assert (head, experiment_name, policy) == ("experiment", "tutoring", "thompson")
        sums[arm] += value
    arms = [one.assign(name) or "" for name in NAMES]
    assert all(0 < sums[arm] <= arms.count(arm) for arm in sums)
    own.replay()
    assert own.store.counters() == counters
    for arm in ("control", "new"):  # the decisions depend on the counters of the arm only
        alone = AdaptiveEngine(GRAPH, ITEMS, policy="thompson:2", seed=3)
        answer(alone, [name for name, its in zip(NAMES, arms, strict=True) if its == arm])
        new = next(f"n{k}" for k in range(99) if one.assign(f"n{k}") == arm)
        assert own.recommend(new, 3, time=9.0) == alone.recommend(new, 3, time=9.0)


def test_only_the_students_of_an_observing_arm_are_observed():
    own = engine(experiment(policies={"control": "guide", "new": "thompson:2"}))
    answer(own, NAMES)
    assert all(name.startswith("experiment:tutoring:new:thompson:2:") for name in own.store.counters())
    assert sum(own.store.counters().values()) <= sum(experiment().assign(name) == "new" for name in NAMES)


def test_a_student_without_recommendations_needs_no_class():
    own = engine(experiment(policies=dict.fromkeys(EVEN, "thompson:2"), unit="class"))
    own.process_content("ada", "v", time=0.0)
    own.process_response("ada", "q0", True, time=1.0)
    assert own.store.counters() == {}
    own.recommend("ada", class_name="7b", time=2.0)


# ── the export ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def ran():
    return engine_with_students(30, policy="experiment:tutoring", experiments=experiment())


@pytest.fixture(scope="module")
def log(ran, tmp_path_factory):
    return load_log(export_log(ran, tmp_path_factory.mktemp("export") / "log", names=True), verify=True)


@pytest.mark.ci
def test_the_exported_log_is_an_exposure_log(ran, log):
    exposures = log.exposures()
    assert sorted(exposures.student.tolist()) == sorted(name for name in ran.students())
    for k, student in enumerate(exposures.student.tolist()):
        first = ran.events(student)[0]
        assert (exposures.experiment[k], exposures.unit[k], exposures.arm[k], exposures.time[k]) == (
            "tutoring",
            student,
            experiment().assign(student),
            first["time"],
        )
    assert not exposures.overlapping.any()
    assert log.experiments == {"tutoring": experiment()}


def test_all_tables_have_the_arm(log):
    arm_of = dict(zip(log.exposures().student.tolist(), log.exposures().arm.tolist(), strict=True))
    for table in (log.transitions, log.events, log.episodes):
        rows = table.select(["learner_name", "experiment", "arm", "class_name"]).to_pylist()
        assert rows and all(
            (row["experiment"], row["arm"], row["class_name"]) == ("tutoring", arm_of[row["learner_name"]], None)
            for row in rows
        )
    assert {"control", "new"} == {*arm_of.values()}


def test_propensities_are_those_of_the_policy_of_the_arm(log):
    """A replay of the exported log gives the logged propensity of every item, bit for bit."""
    rows = np.flatnonzero(log.is_shown)
    odds = log.probabilities(rows)
    item = log.events.column("item").to_numpy()[rows]
    np.testing.assert_array_equal(odds[np.arange(len(rows)), item], log.events.column("propensity").to_numpy()[rows])
    np.testing.assert_allclose(odds.sum(axis=1), 1)
    policy, arm = (log.events.column(name).take(rows).to_pylist() for name in ("policy", "arm"))
    assert [POLICIES[name] for name in arm] == policy
    for row in rows[::7].tolist():
        assert log.events.column("item_id")[row].as_py() in log.candidates(row)


@pytest.mark.ci
@pytest.mark.parametrize("target", ["guide", "alosi", "uniform"])
def test_off_policy_evaluation_of_a_log_with_arms(log, target):
    found = ope.evaluate(log, target)
    assert found.behaviour == "alosi, guide" and found.transitions == len(log)
    assert {warning.code for warning in found.warnings}.isdisjoint({"not-replayed", "other-engine"})
    steps, arms = EngineEpisodes(log, target).steps, log.exposures().arm
    assert [log.learner_name(k) for k in range(30)] == log.exposures().student.tolist()
    is_own = np.array([POLICIES[arm] == target for arm in arms])[steps.units]
    np.testing.assert_allclose(steps.target[is_own], steps.behaviour[is_own], rtol=1e-12)
    assert (np.abs(steps.target[~is_own] - steps.behaviour[~is_own]) > 0.01).any()


def test_an_experiment_is_no_target(log):
    with pytest.raises(AssignmentError.__mro__[1], match="the target 'experiment:tutoring' is not possible"):
        ope.evaluate(log, "experiment:tutoring")


def test_arms_follow_the_last_recommendation(tmp_path):
    """Before the first recommendation and after the end of the experiment, there is no arm; a quiz changes nothing."""
    own = engine(experiment(unit="class"))
    own.process_response("ada", "q0", False, time=0.0)
    own.recommend("ada", 1, class_name="7b", time=1.0)
    own.quiz("ada", 5).next(time=2.0)
    own.process_response("ada", "q1", False, time=3.0)
    later = AdaptiveEngine(GRAPH, ITEMS, store=own.store)
    later.recommend("ada", 1, time=4.0)
    later.process_response("ada", "q1", False, time=5.0)
    later.recommend("ben", 1, time=6.0)
    log = load_log(export_log(later, tmp_path / "log"))
    arm = experiment(unit="class").assign("7b")
    rows = [r for r in log.events.to_pylist() if r["time"] < 6]
    inside = ("tutoring", arm, "7b")
    expected = [(None, None, None), inside, inside, inside, (None, None, "7b"), (None, None, "7b")]
    assert [assigned(row) for row in rows] == expected
    steps = [assigned(row) for row in log.transitions.to_pylist()]
    assert steps == [expected[0], expected[3], expected[5]]
    assert sorted(map(assigned, log.episodes.to_pylist()), key=str) == [(None, None, "7b"), (None, None, None)]
    exposures = log.exposures()
    assert exposures.unit.tolist() == ["7b"] and exposures.arm.tolist() == [arm] and exposures.time.tolist() == [1.0]
    assert exposures.student.tolist() == [str(rows[0]["learner_id"])]


def test_a_log_without_experiments_has_empty_columns(tmp_path):
    log = load_log(export_log(engine_with_students(), tmp_path / "log"))
    for table in (log.transitions, log.events, log.episodes):
        assert all(table.column(column.name).null_count == len(table) for column in ASSIGNED)
    assert len(log.exposures().student) == 0 and log.experiments == {}
    assert isinstance(log.exposures(), Exposures)


def test_logs_of_the_first_version_are_read(tmp_path):
    """Such a log has the same files without the columns about experiments, and another number in its manifest."""
    folder = export_log(engine_with_students(), tmp_path / "log")
    new = load_log(folder)
    old = shutil.copytree(folder, tmp_path / "old")
    manifest = json.loads((old / "manifest.json").read_text())
    manifest["log_version"] = 1
    del manifest["experiments"]
    for table in manifest["tables"].values():
        for shard in table["shards"]:
            content = pq.read_table(old / shard["path"])
            pq.write_table(content.drop_columns([column.name for column in ASSIGNED]), old / shard["path"])
            shard["bytes"] = (old / shard["path"]).stat().st_size
    (old / "manifest.json").write_text(json.dumps(manifest))
    log = load_log(old)
    for name in ("transitions", "events", "episodes"):
        assert getattr(log, name).to_pylist() == getattr(new, name).to_pylist()
    assert log.experiments == {} and len(log.exposures().student) == 0
    rows = np.flatnonzero(log.is_shown)[:50]
    np.testing.assert_array_equal(log.probabilities(rows), new.probabilities(rows))


def test_a_damaged_definition_in_a_manifest_is_named(log, tmp_path):
    folder = shutil.copytree(log.path, tmp_path / "log")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["experiments"]["tutoring"]["arms"] = {"control": 1}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match=r"manifest\.json is damaged: .* at least two arms.*; restore the file"):
        _ = load_log(folder).experiments


def test_a_deleted_student_leaves_no_exposure(tmp_path):
    own = engine()
    own.recommend_many(["ada", "ben"], 1, time=0.0)
    own.delete("ada")
    assert load_log(export_log(own, tmp_path / "log", names=True)).exposures().student.tolist() == ["ben"]
    with pytest.raises(DeletedStudent):
        own.recommend("ada")


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────


def test_a_student_without_class_is_refused_before_anything_is_logged():
    own = engine(experiment(unit="class"))
    with pytest.raises(
        EngineError, match="the student 'ada' has no class, and the experiment 'tutoring' assigns class"
    ):
        own.recommend("ada")
    many = [f"n{k}" for k in range(700)]
    with pytest.raises(EngineError, match="the student 'n699' has no class"):
        own.recommend_many(many, 1, classes=["7b"] * 699 + [None])
    assert [*own.students()] == []
    own.recommend("n600", class_name="7a")
    with pytest.raises(ClassConflict, match="the student 'n600' is in the class '7a'; got the class '7b': a student"):
        own.recommend_many(many, 1, classes=["7b"] * 700)
    assert [*own.students()] == ["n600"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AdaptiveEngine(GRAPH, ITEMS, policy="experiment:x"), "there is no experiment 'x'; define it in exper"),
        (
            lambda: AdaptiveEngine(GRAPH, ITEMS, policy="experiment:tutorin", experiments=experiment()),
            "there is no experiment 'tutorin'; did you mean 'tutoring'?",
        ),
        (
            lambda: engine(experiment(policies={"control": "guide", "new": "alosi:x"})),
            "the arm 'new' of the experiment 'tutoring': the arguments of the policy 'alosi' must be numbers",
        ),
        (
            lambda: engine(experiment(policies={"control": "guide", "new": "alosy"})),
            "the arm 'new' of the experiment 'tutoring': there is no policy 'alosy' of the engine; did you mean",
        ),
        (
            lambda: engine(experiment(policies={"control": "guide", "new": "experiment:b"})),
            "the arm 'new' of the experiment 'tutoring' has the policy 'experiment:b', which is an experiment itself",
        ),
        (lambda: engine(experiment(policies={})), "the experiment 'tutoring' has no policies for its arms: add them"),
        (lambda: AdaptiveEngine(GRAPH, ITEMS, experiments=[3]), "an experiment must be an Experiment; got 3"),
        (lambda: engine().recommend("ada", class_name=""), "the name of a class must be text of 1 to 256 printable"),
        (lambda: engine().recommend("ada", class_name=7), "the name of a class must be text .* got 7"),
        (lambda: engine().recommend_many(["a"], classes="7b"), "classes must be a list with the class of each student"),
        (lambda: engine().recommend_many(["a"], classes=["7b", "7b"]), "got 1 students and 2 classes: pass one class"),
        (lambda: EnginePolicy(engine()), "the policy 'experiment:tutoring' of the engine does not compute the probab"),
    ],
)
def test_invalid_experiments_are_refused_in_one_sentence(call, message):
    with pytest.raises(EngineError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_changed_definition_is_refused(tmp_path):
    """The store has the definition of the first recommendation; until then it may change."""
    store = f"sqlite:{tmp_path / 'students.db'}"
    changed = Experiment("tutoring", {"control": 0.4, "new": 0.6}, policies=POLICIES)
    engine(changed, store=store).close()
    late = engine(changed, store=store)
    with engine(store=store) as own:
        own.recommend("ada")
    message = r"the experiment 'tutoring' has begun with another definition: arms = .*'new': 0.5\} before, and .* 0.6"
    with pytest.raises(EngineError, match=message):
        engine(changed, store=store)
    with pytest.raises(EngineError, match=message):
        late.recommend("ben")
    late.close()
    with engine(experiment("next"), store=store) as own:
        own.recommend("ada")
        assert sorted(load_log(export_log(own, tmp_path / "log")).experiments) == ["next", "tutoring"]
    engine(store=store).close()


def test_traffic_may_grow(tmp_path):
    store = f"sqlite:{tmp_path / 'students.db'}"
    for traffic in (0.2, 0.6):
        with engine(experiment(traffic=traffic), store=store) as own:
            own.recommend_many(NAMES, 1)
    with pytest.raises(EngineError, match="traffic = 0.6 before, and 0.2 now"):
        engine(experiment(traffic=0.2), store=store)
    with engine(experiment(traffic=0.6), store=store) as own:
        arms = {name: {event["arm"] for event in own.events(name) if "arm" in event} for name in NAMES}
    assert {len(found) for found in arms.values()} == {0, 1}


def test_a_damaged_note_is_named():
    own = engine()
    for note in ("{", "[]", '{"tutoring": 3}', "3"):
        own.store.write_note("experiments", note)
        with pytest.raises(EngineError, match="the store has a damaged note 'experiments': restore a copy"):
            engine(store=own.store)


# ── directories ──────────────────────────────────────────────────────────────────────────────────


def test_directories_have_experiments(tmp_path):
    one, two = experiment(), Experiment("second", {"b": 0.25, "a": 0.75}, unit="class", traffic=0.5)
    write_engine(tmp_path / "shop", GRAPH, ITEMS, policy="experiment:tutoring", experiments=[one, two])
    settings, _ = read_directory(tmp_path / "shop")
    assert settings.experiments == (one, two) and settings.policy == "experiment:tutoring"
    with load_engine(tmp_path / "shop") as own:
        own.recommend("ada", time=0.0)
        assert assigned(own.events("ada")[0]) == ("tutoring", one.assign("ada"), None)
    with load_engine(tmp_path / "shop", policy="guide", store="memory") as own:
        assert own.experiment is None
    (tmp_path / "e.toml").write_text(experiments_toml([one, two]))
    write_engine(tmp_path / "other", GRAPH, ITEMS, policy="experiment:tutoring", experiments=tmp_path / "e.toml")
    assert (tmp_path / "other" / "engine.toml").read_text() == (tmp_path / "shop" / "engine.toml").read_text()


def test_an_invalid_experiment_is_not_written(tmp_path):
    for options, message in (
        ({"policy": "experiment:x"}, "there is no experiment 'x'"),
        ({"policy": "experiment:tutoring", "experiments": experiment(policies={})}, "has no policies for its arms"),
        ({"experiments": tmp_path / "none.toml"}, "none.toml does not exist"),
    ):
        with pytest.raises(EngineError, match=message):
            write_engine(tmp_path / "shop", GRAPH, ITEMS, **options)
    assert not (tmp_path / "shop").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("new = 0.5", "new = 0.6", r"engine\.toml, line 9: the shares of the arms of 'tutoring' must add up to 1"),
        (
            "arms",
            "arm",
            r"engine\.toml, line 9: the experiment 'tutoring' has the unknown key 'arm'; did you mean 'arms",
        ),
        ("[experiments.tutoring]", "[experiment.tutoring]", r"line 9: unknown key 'experiment'; did you mean 'experim"),
        ("experiment:tutoring", "experiment:tutorin", "there is no experiment 'tutorin'; did you mean 'tutoring'"),
    ],
)
def test_errors_in_engine_toml_have_their_line(tmp_path, old, new, message):
    write_engine(tmp_path, GRAPH, ITEMS, policy="experiment:tutoring", experiments=experiment())
    file = tmp_path / "engine.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(EngineError, match=message) as caught:
        load_engine(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_recommender_of_an_experiment_is_one_of_others():
    """Extensions may use it as any recommender: it chooses for all arms together."""
    own = engine()
    made = make_recommender("experiment:tutoring", own.catalogue, {"tutoring": experiment()})
    assert made.name == own.recommender.name and len(made.arms) == 2
    ready = np.ones(3, np.bool_)
    assert {*made.candidates(ready)} == {*made.arms[0].candidates(ready)} | {*made.arms[1].candidates(ready)}
