"""Off-policy evaluation of the export of an engine: weights, rewards, features, warnings and invalid input."""

import sys

import numpy as np
import pyarrow as pa
import pytest
from engine_logs import GRAPH, HOUR, ITEMS, engine_with_students

from alsim.datasets.manifest import DatasetError
from alsim.engine import AdaptiveEngine, export_log, load_log
from alsim.errors import AlsimError
from alsim.evaluation.ope.engine_logs import EngineEpisodes
from alsim.evaluation.ope.evaluation import evaluate_log
from alsim.evaluation.ope.joined import JoinedLog
from alsim.models.student import BKTModel

TEACHES = {item["id"]: item["skills_taught"] for item in ITEMS}


def exported(engine, folder, **options):
    return load_log(export_log(engine, folder / "log", **options))


def changed(log, table, **columns):
    """Return a log that has other values in some columns of a table."""
    found = getattr(log, table)
    for name, values in columns.items():
        place = found.schema.get_field_index(name)
        found = found.set_column(place, found.schema.field(name), pa.array(values, found.schema.field(name).type))
    other = load_log(log.path)
    setattr(other, table, found)
    return other


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """Return the log of an engine that recommends uniformly over cells."""
    return exported(engine_with_students(12, policy="policy:uniform"), tmp_path_factory.mktemp("explored"))


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    return exported(engine_with_students(12, seed=1), tmp_path_factory.mktemp("guided"))


# ── weights ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.parametrize("policy", ["guide", "alosi"])
def test_the_policy_of_the_log_has_the_mean_return(policy, tmp_path):
    log = exported(engine_with_students(12, policy=policy), tmp_path)
    found = evaluate_log(episodes := EngineEpisodes(log, policy))
    assert (episodes.steps.behaviour == episodes.steps.target).all() and episodes.steps.behaviour.min() < 1
    mean = np.mean(log.episodes.column("cumulative_reward"))
    assert (found.target, found.behaviour) == (policy, policy)
    assert (found.episodes, found.transitions) == (log.episodes.num_rows, len(log))
    for name in ("tis", "pdis", "snpdis", "mis", "window"):
        assert found.estimators[name].value == pytest.approx(mean, abs=1e-6)
    assert (found.diagnostics.unsupported_share, found.diagnostics.max_weight) == (0, 1)
    assert set(found.estimators) == {"tis", "pdis", "snpdis", "dr", "wdr", "mis", "window"}


def twin_of_guide(log):
    """Return the ratio of each step by session, from the definition of the guide's policy and an engine's mastery."""
    engine, ratios = AdaptiveEngine(GRAPH, ITEMS), {}
    seen, present, listed, product = {}, None, [], None
    for row in log.events.to_pylist():
        student = str(row["learner_id"])
        key = row["learner_id"], row["episode"]
        if key != present:
            if product is not None:
                ratios[present].append(product)
            seen, listed = seen if present and present[0] == key[0] else {}, []
            present, ratios[key], product = key, [], None
        if row["rank"] is None:
            ratios[key].append(1.0 if product is None else product)
            product, listed = None, []
            seen.pop(row["item_id"], None)
            if row["credit"] is None:
                engine.process_content(student, row["item_id"], time=row["time"])
            else:
                engine.process_response(student, row["item_id"], row["correct"], time=row["time"])
            continue
        if row["rank"] == 0:
            counts, listed, mastery = dict(seen), [], engine.mastery(student)
        done = {skill for skill, p in mastery.items() if p >= engine.threshold}
        ready = [skill for skill in GRAPH if skill not in done and done.issuperset(GRAPH[skill])]
        score = {
            item: sum(1 - mastery[s] for s in ready if s in taught) * 0.5 ** counts.get(item, 0)
            for item, taught in TEACHES.items()
            if item not in listed
        }
        best = [item for item in score if score[item] == max(score.values()) > 0]
        product = (
            (1.0 if product is None else product)
            * (1 / len(best) if row["item_id"] in best else 0.0)
            / row["propensity"]
        )
        seen[row["item_id"]] = seen.get(row["item_id"], 0) + 1
        listed.append(row["item_id"])
    if product is not None:
        ratios[present].append(product)
    return ratios


@pytest.mark.ci
def test_weights_are_those_of_a_plain_twin(explored):
    steps = EngineEpisodes(explored, "guide").steps
    ratios = list(twin_of_guide(explored).values())
    assert len(ratios) == len(steps.lengths)
    found = steps.target / steps.behaviour
    for k, (ratio, length) in enumerate(zip(ratios, steps.lengths, strict=True)):
        assert length == len(ratio)
        np.testing.assert_allclose(found[k, :length], ratio, rtol=1e-12)
        assert (found[k, length:] == 1).all()
    assert (found == 0).any() and (found > 1).any()


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """Return a log with known propensities: three items about the only ready skill, all equally relevant at first."""
    engine = AdaptiveEngine({"a": [], "b": ["a"]}, [ITEMS[0], ITEMS[1], ITEMS[6], ITEMS[2]])
    engine.recommend("ada", 2, time=0)  # 1/3 and 1/2
    engine.recommend("ada", 1, time=1)  # 1: the others have faded
    engine.process_content("ada", "v", time=2)
    engine.process_response("ada", "q0", False, time=3)
    engine.recommend("ada", 3, time=4)  # a step of its own: q1 first, and then the others
    engine.recommend("ada", 2, time=HOUR)  # a session without interactions
    engine.process_response("bob", "q0", False, time=5)
    engine.recommend("bob", 1, time=6)
    engine.process_response("bob", "q0", True, time=7)
    return exported(engine, tmp_path_factory.mktemp("hand"))


def test_uniform_weights_of_a_log_made_by_hand(by_hand):
    steps = EngineEpisodes(by_hand, "uniform").steps
    students = by_hand.episodes.column("learner_id").to_pylist()
    ada = students.index(max(students, key=students.count))
    bob = students.index(min(students, key=students.count))
    assert steps.lengths[[ada, ada + 1, bob]].tolist() == [3, 1, 2]
    assert steps.units.tolist() == students
    np.testing.assert_allclose(steps.behaviour[ada, :2], [1 / 6, 1], rtol=1e-12)
    np.testing.assert_allclose(steps.target[ada], [1 / 6 / 3, 1, 1 / 6], rtol=1e-12)
    assert steps.target[ada + 1, 0] == pytest.approx(1 / 6) and steps.rewards[ada + 1].tolist() == [0, 0, 0]
    np.testing.assert_allclose(steps.target[bob, :2], [1, 1 / 3], rtol=1e-12)
    assert steps.rewards[ada, 2] == 0
    returns = by_hand.episodes.column("cumulative_reward").to_numpy()
    np.testing.assert_allclose(steps.rewards.sum(axis=1), returns, atol=1e-6)


@pytest.mark.ci
def test_parts_of_the_students_change_no_weight(explored, monkeypatch):
    expected = EngineEpisodes(explored, "alosi")
    monkeypatch.setattr("alsim.datasets.engine_replay.MOST_STUDENTS", 2)
    found = EngineEpisodes(load_log(explored.path), "alosi")
    for one, other in ((found.steps, expected.steps), (found._features, expected._features)):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_product_that_underflows_keeps_its_ratio(by_hand):
    from alsim.evaluation.ope.engine_logs import products
    from alsim.evaluation.ope.engine_sessions import Sessions

    sessions = Sessions.of_log(by_hand)
    size = len(sessions.rows)
    behaviour, target = products(sessions, np.full(size, 1e-200), np.full(size, 2e-200))
    is_long = target / behaviour >= 4
    assert is_long.any() and (behaviour > 0).all() and (target <= 1).all()
    np.testing.assert_allclose((target / behaviour)[is_long].min(), 4, rtol=1e-12)


def test_quizzes_and_placements_have_no_weight(tmp_path):
    engine = AdaptiveEngine(GRAPH, ITEMS)
    for student in ("ada", "bob"):
        quiz, time = engine.quiz(student, 3), 10.0
        while (question := quiz.next(time=time)) is not None:
            engine.process_response(student, question.item, student == "bob", time=time + 1)
            time += 10
        quiz.place(time=time)
        engine.recommend(student, 1, time=time + 1)
        engine.process_response(student, "q0", True, time=time + 2)
    log = exported(engine, tmp_path)
    episodes = EngineEpisodes(log, "uniform")
    assert episodes.steps.lengths.tolist() == [4, 4]
    assert (episodes.steps.behaviour[:, :3] == 1).all() and (episodes.steps.target[:, :3] == 1).all()
    assert episodes.behaviour == "guide"
    assert (EngineEpisodes(log, "guide").steps.target == episodes.steps.behaviour).all()
    assert all(np.isfinite(values).all() for values in episodes._features)


def test_a_log_of_several_policies(tmp_path):
    engine = engine_with_students(8)
    later = AdaptiveEngine(GRAPH, ITEMS, store=engine.store, policy="thompson")
    for k in range(8):
        for i in range(4):
            item = later.recommend(f"s{k}", 1, time=1000 * HOUR + i)[0].item
            if item in "vw":
                later.process_content(f"s{k}", item, time=1000 * HOUR + i)
            else:
                later.process_response(f"s{k}", item, False, time=1000 * HOUR + i)
    log = exported(later, tmp_path)
    episodes = EngineEpisodes(log, "guide")
    assert episodes.behaviour == "guide, thompson:5"
    assert [warned.code for warned in episodes.warnings] == ["other-engine", "dependent-students"]
    is_last = np.diff(episodes.steps.units, append=-1) != 0
    ratio = episodes.steps.target / episodes.steps.behaviour
    assert (ratio[~is_last] == 1).all() and (ratio[is_last] != 1).any()


# ── rewards ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
def test_other_rewards(guided):
    table = guided.transitions.to_pydict()
    with pytest.raises(AlsimError, match="interactions have no 'correct': pass missing=0 to count them as 0"):
        EngineEpisodes(guided, "uniform", reward="correct")
    right = EngineEpisodes(guided, "uniform", reward="correct", missing=0).steps.rewards
    assert right.sum() == sum(filter(None, table["correct"]))
    seconds = EngineEpisodes(guided, "uniform", reward="response_time", missing=7).steps.rewards
    assert seconds.sum() == pytest.approx(sum(7 if s is None else s for s in table["response_time"]))
    rated = EngineEpisodes(guided, "uniform", reward="satisfaction", missing=3).steps.rewards
    ratings = [row["satisfaction"] for row in guided.events.to_pylist() if row["rank"] is None]
    assert rated.sum() == sum(3 if rating is None else rating for rating in ratings)


def test_invalid_rewards(guided, by_hand):
    for name, sentence in (("zzz", "has no reward 'zzz'; expected one of"), ("corect", "did you mean 'correct'")):
        with pytest.raises(AlsimError, match=sentence):
            EngineEpisodes(guided, "uniform", reward=name)
    with pytest.raises(AlsimError, match="have no 'satisfaction': choose another column"):
        EngineEpisodes(by_hand, "uniform", reward="satisfaction", missing=0)
    for missing in ("0", float("nan"), True):
        with pytest.raises(AlsimError, match="missing must be a finite number or None"):
            EngineEpisodes(guided, "uniform", reward="correct", missing=missing)


# ── features and clusters ───────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.parametrize("target", ["guide", "uniform"])
def test_expected_features_are_means_over_the_first_item(guided, target):
    """For uniform targets over the candidates, and for the guide over its best items, in plain Python."""
    episodes = EngineEpisodes(guided, target)
    found, events = episodes._features, guided.events.to_pylist()
    is_new = {}
    for row, event in enumerate(events):
        if event["rank"] == 0:
            is_new.setdefault((event["learner_id"], event["episode"], event["step"]), row)
    keys = [*zip(*(guided.episodes.column(name).to_pylist() for name in ("learner_id", "episode")), strict=True)]
    checked = 0
    for (learner, session, step), row in is_new.items():
        k = keys.index((learner, session))
        if step > episodes.steps.lengths[k]:
            continue
        odds = guided.probabilities([row])[0]
        if target == "uniform":
            odds = np.isin([item["id"] for item in ITEMS], guided.candidates(row)) / events[row]["candidates"]
        share = sum(p for p, item in zip(odds, ITEMS, strict=True) if item.get("type") == "content")
        assert found.expected[k, step - 1, 8] == pytest.approx(share, abs=1e-6)
        assert found.taken[k, step - 1, 8] == (events[row]["item_id"] in "vw")
        checked += 1
    assert checked > 50
    np.testing.assert_array_equal(found.taken[:, :, :8], found.expected[:, :, :8])
    is_free = found.taken[:, :, 7] == 0
    np.testing.assert_array_equal(found.taken[is_free], found.expected[is_free])


def test_clusters_are_small_integers(guided):
    clusters = EngineEpisodes(guided, "guide").pooled().clusters
    assert clusters.min() >= 0 and clusters.max() < 45


def test_joined_logs_know_students_by_name(tmp_path):
    engine = engine_with_students(5)
    logs = [EngineEpisodes(exported(engine, tmp_path / str(k), names=True), "guide") for k in range(2)]
    names = [name.as_py() for name in load_log(tmp_path / "0" / "log").episodes.column("learner_name")]
    joined = JoinedLog(logs, keys=[0, 0])
    assert logs[0].unit_names[logs[0].steps.units].tolist() == names
    assert np.unique(joined.steps.units).size == 5
    assert (joined.transitions, joined.unsupported) == (2 * logs[0].transitions, 0)


# ── warnings and invalid input ──────────────────────────────────────────────────────────────────


def test_a_target_without_support_is_not_recommended(guided):
    """The guide shows the best items only: a uniform target would mostly show others."""
    found = evaluate_log(EngineEpisodes(guided, "uniform"))
    rows = [k for k, rank in enumerate(guided.events.column("rank").to_pylist()) if rank == 0]
    odds = guided.probabilities(rows)
    assert found.recommended is None and found.diagnostics.unsupported_share > 0.05
    assert (odds > 0).sum(axis=1).mean() < 3
    assert any(w.code == "unsupported" and "never taken by the policy of the log" in w.sentence for w in found.warnings)


def test_decisions_of_another_student_model_are_marked(guided, tmp_path):
    engine = engine_with_students(4)
    model = BKTModel({s: s for s in "abc"} | {"b\x1fc": ["b", "c"]}, p_learn=0.3)
    log = exported(AdaptiveEngine(GRAPH, ITEMS, model=model, store=engine.store), tmp_path)
    episodes = EngineEpisodes(log, "guide")
    (warned,) = episodes.warnings
    assert warned.code == "other-engine" and "another catalogue or student model" in warned.sentence
    assert (episodes.steps.target != episodes.steps.behaviour).any()


def test_propensities_that_a_replay_does_not_give_are_marked(guided):
    values = guided.events.column("propensity").to_pylist()
    log = changed(guided, "events", propensity=[None if p is None else p / 2 for p in values])
    (warned,) = EngineEpisodes(log, "guide").warnings
    assert warned.code == "not-replayed" and "events may be missing in the log" in warned.sentence


def test_a_name_in_a_log_imports_no_code(guided):
    names = [None if name is None else "this:Zen" for name in guided.events.column("policy").to_pylist()]
    episodes = EngineEpisodes(changed(guided, "events", policy=names), "guide")
    assert episodes.behaviour == "this:Zen" and "this" not in sys.modules
    assert (episodes.steps.behaviour == episodes.steps.target).all()


def test_invalid_targets(guided):
    for target, sentence in (
        ("thompson", "target 'thompson:5' does not compute the propensities of all candidates; expected 'guide'"),
        ("policy:uniform", "target 'policy:uniform' does not compute the propensities"),
        ("gide", "there is no target 'gide' for the log of an engine; did you mean 'guide'"),
        ("xyzzy", "expected 'guide', 'alosi', 'uniform', or a recommender of yours"),
        ("no.module:Class", "the target 'no.module:Class' is not possible"),
        (3, "there is no target 3 for"),
    ):
        with pytest.raises(AlsimError, match=sentence):
            EngineEpisodes(guided, target)
    with pytest.raises(AlsimError, match="log must be an EngineLog; got .*: open the export with load_log"):
        EngineEpisodes(guided.path, "guide")


def test_logs_without_recommendations_or_sessions(tmp_path):
    engine = AdaptiveEngine(GRAPH, ITEMS)
    with pytest.raises(AlsimError, match="has no sessions: evaluate a log of students who used the engine"):
        EngineEpisodes(exported(engine, tmp_path / "empty"), "guide")
    engine.process_response("ada", "q0", True, time=0)
    with pytest.raises(AlsimError, match="has no recommendations, so every policy has the same value there"):
        EngineEpisodes(exported(engine, tmp_path / "free"), "guide")


@pytest.mark.ci
def test_a_log_without_student_model(tmp_path):
    model = BKTModel({s: s for s in "abc"} | {"b\x1fc": ["b", "c"]}, offsets={"s1": 1.0})
    engine = engine_with_students(8, model=model)
    log, named = exported(engine, tmp_path / "plain"), exported(engine, tmp_path / "named", names=True)
    with pytest.raises(DatasetError, match="has no student model, because its parameters have names of students"):
        EngineEpisodes(log, "guide")
    found = evaluate_log(EngineEpisodes(log, "uniform"))
    assert "mis" in found.estimators and "dr" not in found.estimators
    steps, twin = EngineEpisodes(log, "uniform").steps, EngineEpisodes(named, "uniform").steps
    np.testing.assert_array_equal(steps.target, twin.target)
    assert (EngineEpisodes(named, "guide").steps.target == steps.behaviour).all()


def test_damaged_logs(guided):
    events, shown = guided.events, np.flatnonzero(guided.is_shown)
    for name, value, sentence in (
        ("propensity", 0.0, "the propensity of row .* is 0, and not in"),
        ("propensity", None, "the propensity of row .* is nan, and not in"),
        ("candidates", None, "has no number of candidates"),
        ("rank", 7, "row .* of its events is out of order"),
        ("item", 99, "has an item that the catalogue does not have"),
        ("episode", 99, "its events and its episodes disagree"),
    ):
        values = events.column(name).to_pylist()
        values[shown[0]] = value
        with pytest.raises(DatasetError, match=f"is damaged: .*{sentence}"):
            EngineEpisodes(changed(guided, "events", **{name: values}), "uniform")


# ── truth ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
def test_the_value_of_the_guide_from_a_log_that_explores(tmp_path):
    """Students take the first of two items, rate contents 1 and questions 0, and may leave before a content.

    All items teach the same skill, which no student masters. The guide shows each order of its best items with the
    same probability: at first of all three, and then of the two that were not shown in vain. So the first item is the
    content with probability 1/3 in both lists, and half of the students leave before the second one: the value is
    1/3 + 1/6. That of the log is about 1, as its policy shows the content more often. n = 800 students, seed 0;
    false-alarm probability 1e-6.
    """
    n, rng, deviations = 800, np.random.default_rng(0), 4.9
    engine = AdaptiveEngine({"a": []}, [ITEMS[0], ITEMS[1], ITEMS[6]], policy="policy:uniform")
    names = [f"s{k}" for k in range(n)]
    for step in range(2):
        for name, shown in zip(names, engine.recommend_many(names, 2, time=step), strict=True):
            if (item := shown[0].item) != "v":
                engine.process_response(name, item, False, time=step, satisfaction=0)
            elif step == 0 or rng.random() < 0.5:
                engine.process_content(name, item, time=step, satisfaction=1)
    found = evaluate_log(EngineEpisodes(exported(engine, tmp_path), "guide", reward="satisfaction"))
    assert found.episodes == n and "fqe" not in found.estimators and found.recommended == "dr"
    for name in ("tis", "pdis", "snpdis", "dr", "wdr"):
        estimate = found.estimators[name]
        assert abs(estimate.value - 1 / 2) < deviations * estimate.se < 0.25
