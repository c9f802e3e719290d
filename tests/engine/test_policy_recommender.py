"""Policies of `alsim.policies` as recommenders: cells, masks, views, propensities, and policies that are refused."""

from collections import Counter
from types import ModuleType

import numpy as np
import pytest
from courses import GRAPH, ITEMS, content, question
from guide import updated
from scipy import stats

from alsim.engine import AdaptiveEngine, Catalogue, EngineError
from alsim.engine.recommenders import PRESETS, make_recommender
from alsim.engine.recommenders.cells import Cells
from alsim.engine.recommenders.guide import Guide
from alsim.engine.recommenders.policy import PolicyRecommender
from alsim.engine.stores import Commit
from alsim.mdp.actions import decode_action, encode_action
from alsim.models.student import EloModel, Items
from alsim.policies import POLICIES, Uniform, one_hot

SKILLS = list(COURSE := {"a": [], "b": ["a"], "c": ["a"], "d": []})
MODALITIES = ("video", "PPT", "text", "blog", "article", "handout")
CATALOGUE = [
    *(question(f"{skill}{k}", skill, difficulty=b) for skill in COURSE for k, b in enumerate([-1.0, 0.0, 0.2, 1.0])),
    *(content(f"{skill}-{m}", skill, modality=m) for skill in COURSE for m in MODALITIES[:3]),
]
NEED_ARGUMENTS = {"oracle", "student", "engine"}
"""Policies that read the truth, or a file."""
NAMES = {
    **{name: f"policy:{name}" for name in POLICIES if name not in NEED_ARGUMENTS},
    "epsilon-greedy": "policy:epsilon-greedy:zpdes:0.2",
    "mix": "policy:mix:rules=0.6,ucb1=0.4",
}
FAST = ("uniform", "rules", "zpdes", "mix")
COPIES = 600


def played(policy, steps=14, seed=1, **options):
    """Return an engine, whose student anna has followed it most of the time."""
    one = AdaptiveEngine(COURSE, CATALOGUE, policy=policy, seed=seed, **options)
    random = np.random.default_rng(seed)
    for step in range(steps):
        found = one.recommend("anna", 3, time=1000.0 + 60 * step)
        item = found[int(random.integers(len(found)))].item if random.random() < 0.8 else "d1"
        if "-" in item:
            one.process_content("anna", item, time=1030.0 + 60 * step)
        else:
            seconds = float(random.uniform(5, 50)) if random.random() < 0.8 else None
            correct = bool(random.random() < 0.5)
            one.process_response("anna", item, correct, time=1030.0 + 60 * step, seconds=seconds)
    return one


def copied(one, count):
    """Copy the student anna, and return the names of the copies."""
    state, entries = one.store.load("anna").state, tuple(one.store.entries("anna"))
    names = [f"copy {k}" for k in range(count)]
    one.store.commit_many([Commit(name, 0, state, entries) for name in names])
    return names


def check(name):
    """n = 600 decisions of seed 1 with the same history; chi-square of rank 1; false alarm at most 1e-4 per policy."""
    one = played(NAMES[name])
    found = one.recommend_many(copied(one, COPIES), 3, time=1e5)
    ready = set(one.ready_skills("anna"))
    skill_of = {item["id"]: item["skills_taught"][0] for item in CATALOGUE}
    assert all(skill_of[r.item] in ready for row in found for r in row)
    assert all(len({r.item for r in row}) == 3 for row in found)
    observed = Counter(row[0].item for row in found)
    odds = {row[0].item: row[0].propensity for row in found}
    assert all(row[0].propensity == odds[row[0].item] for row in found)
    rest = 1 - sum(odds.values())
    assert -1e-9 < rest < 0.05
    items = sorted(odds)
    counts, expected = [observed[i] for i in items], [COPIES * odds[i] for i in items]
    if len(items) > 1:
        scale = COPIES / sum(expected)
        assert stats.chisquare(counts, [scale * e for e in expected]).pvalue > 1e-4
    # The propensity at a rank is that of its item given the items above, in each decision.
    given = {}
    for row in found:
        for r in range(1, 3):
            key = tuple(x.item for x in row[: r + 1])
            assert given.setdefault(key, row[r].propensity) == pytest.approx(row[r].propensity, abs=1e-12)


@pytest.mark.heavy
@pytest.mark.parametrize("name", FAST)
def test_frequencies_match_propensities(name):
    check(name)


@pytest.mark.ci
@pytest.mark.parametrize("name", [name for name in NAMES if name not in FAST])
def test_frequencies_match_propensities_of_every_policy(name):
    check(name)


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_every_policy_serves_a_student_alone_as_in_a_batch(name):
    one = AdaptiveEngine(COURSE, CATALOGUE, policy=NAMES[name])
    for student, steps in (("anna", 6), ("ben", 0), ("cleo", 3)):
        for k in range(steps):
            one.process_response(student, f"a{k % 4}", k % 3 > 0, time=float(k))
            one.process_content(student, "d-video", time=float(k))
    students = ["anna", "ben", "cleo"]
    many = one.recommend_many(students, 4, time=100.0)
    two = AdaptiveEngine(COURSE, CATALOGUE, policy=NAMES[name])
    for student in students:
        entries = [entry for entry in one.store.entries(student) if b'"event":"shown"' not in entry]
        if entries:
            codec = two.states.codec
            state = codec.encode([student], *codec.decode([student], [None]))[0]
            two.store.commit(Commit(student, 0, state, tuple(entries)))
    two.replay()
    assert many == [two.recommend(student, 4, time=100.0) for student in students]


# ── cells ────────────────────────────────────────────────────────────────────────────────────────


def test_cells_of_items():
    cells = Cells(Catalogue(CATALOGUE, COURSE))
    meanings = {item["id"]: decode_action(int(a), 4) for item, a in zip(CATALOGUE, cells.of, strict=True)}
    assert meanings["b0"] == ("question", 1, "Easy") and meanings["b1"] == meanings["b2"] == ("question", 1, "Medium")
    assert meanings["d3"] == ("question", 3, "Hard") and meanings["c-PPT"] == ("content", 2, "PPT")
    edges = [question(f"q{b}", "a", difficulty=b) for b in (-0.5, 0.5, -0.51, 0.51)]
    more = Cells(Catalogue([*edges, question("none", "b", "a"), content("plain", "b", "a")], {"a": [], "b": []}))
    assert [decode_action(int(a), 2).level for a in more.of] == ["Medium", "Medium", "Easy", "Hard", "Medium", "text"]
    assert [decode_action(int(a), 2).lo for a in more.of[-2:]] == [1, 1]


def test_an_action_without_items_stands_for_the_nearest_cell_of_its_skill():
    items = [
        question("easy", "a", difficulty=-1),
        question("hard", "a", difficulty=1),
        content("blog", "b", modality="blog"),
    ]
    cells = Cells(Catalogue(items, {"a": [], "b": []}))
    target = {
        decode_action(a, 2): decode_action(int(t), 2).level if t >= 0 else None for a, t in enumerate(cells.target)
    }
    assert target["question", 0, "Medium"] == "Easy" and target["question", 0, "Hard"] == "Hard"
    assert {target["content", 1, m] for m in MODALITIES} == {"blog"}
    assert {target["question", 1, d] for d in ("Easy", "Medium", "Hard")} == {target["content", 0, "video"]} == {None}


def test_rules_choose_as_their_authors_say():
    """Mastery .3 asks Easy; above .4 Medium; among ready skills only; contents after a slow answer."""
    one = AdaptiveEngine(COURSE, CATALOGUE, policy="policy:rules")
    assert [r.item for r in one.recommend("anna", 1)] == ["a0"]
    one.process_response("anna", "a0", True)
    assert one.recommend("anna", 1)[0].item == "d0"
    one.process_response("anna", "d0", True)
    one.process_response("anna", "d0", False)
    assert one.mastery("anna")["a"] == pytest.approx(updated(0.3, True))
    assert one.mastery("anna")["d"] == pytest.approx(updated(updated(0.3, True), False))
    assert one.recommend("anna", 1)[0].item == "d0"
    one.process_response("anna", "d0", True, seconds=61)
    found = one.recommend("anna", 2)
    assert one.mastery("anna")["d"] < one.mastery("anna")["a"]
    assert found[0].item in {"d-PPT", "d-video"} and found[0].propensity == 0.5 == found[0].score
    assert {r.item for r in found} == {"d-PPT", "d-video"}
    assert found[0].reason == f"chosen by 'rules'; about 'd', mastered with probability {one.mastery('anna')['d']:.2f}"


def test_uniform_is_uniform_over_the_actions_that_stand_for_cells():
    found = AdaptiveEngine(COURSE, CATALOGUE, policy=Uniform()).recommend("anna", 100)
    # Two ready skills have 3 + 6 actions each; video, PPT and text stand for 1, 1 and 4 modalities.
    odds = {"0": 1 / 18, "1": 1 / 36, "2": 1 / 36, "3": 1 / 18, "-video": 1 / 18, "-PPT": 1 / 18, "-text": 4 / 18}
    assert len(found) == 14 and found[0].num_candidates == 14
    assert found[0].propensity == pytest.approx(odds[found[0].item[1:]])


def test_ranks_exhaust_all_candidates_with_proper_distributions():
    """The propensities of all orders of three items sum to 1."""
    items = [question("q0", "a"), question("q1", "a"), content("t", "a")]
    one = AdaptiveEngine({"a": []}, items, policy="policy:mix:rules=0.5,uniform=0.5")
    found = one.recommend_many([f"student {k}" for k in range(400)], 3)
    odds = {tuple(r.item for r in row): np.prod([r.propensity for r in row]) for row in found}
    assert len(odds) == 6 and sum(odds.values()) == pytest.approx(1, abs=1e-9)


# ── views ────────────────────────────────────────────────────────────────────────────────────────


class Recorder:
    """Policy that keeps what it is passed."""

    name, reads_mask = "recorder", True
    seen: list = []

    def start(self, n):
        return np.zeros(n)

    def act(self, view, state, draws):
        raise NotImplementedError

    def probabilities(self, view, state, draws=None):
        self.seen.append((view, state.copy()))
        return view.mask / view.mask.sum(axis=1, keepdims=True)

    def learn(self, state, transitions):
        self.seen.append(transitions)
        state += transitions.active


def expected_steps(events, now):
    """Return the interactions of a log by the specification, in plain Python: action, correct, mastery, frustration.

    now  time of the decision after them, seconds
    """
    times = iter([event["time"] for event in events if not event["event"].endswith("_shown")] + [now])
    begin = next(times)
    mastery, frustration, slow, found = dict.fromkeys(COURSE, 0.3), 0.0, 0.0, []
    impacts = dict(zip(MODALITIES, (-0.08, -0.05, 0.02, -0.03, 0.0, 0.05), strict=True))
    items, shown = {item["id"]: item for item in CATALOGUE}, {}
    for event in events:
        if event["event"].endswith("_shown"):
            shown[event["item"]] = event["score"]
            continue
        item, before = items[event["item"]], (dict(mastery), frustration, slow)
        skill = item["skills_taught"][0]
        if item["type"] == "content":
            action = encode_action("content", SKILLS.index(skill), item["modality"], 4)
            correct, seconds, impact = -1, np.nan, impacts[item["modality"]]
            frustration = min(1.0, max(0.0, frustration + impact))
            reward = -0.5 * impact
        else:
            level = "Easy" if item["difficulty"] < -0.5 else "Hard" if item["difficulty"] > 0.5 else "Medium"
            action, correct = encode_action("question", SKILLS.index(skill), level, 4), event["correct"]
            seconds = slow = 30.0 if event["seconds"] is None else event["seconds"]
            rise = 0.15 if level == "Hard" and mastery[skill] < 0.5 else 0.10
            frustration = max(0.0, frustration - 0.05) if correct else min(1.0, frustration + rise)
            mastery[skill] = updated(mastery[skill], correct)
            reward = correct + 0.5 * (mastery[skill] - before[0][skill]) - 0.3 * frustration
        hours = (next(times) - begin) / 3600
        odds = shown.pop(item["id"], 1.0)
        found.append((action, correct, seconds, reward, hours, odds, before, (dict(mastery), frustration, slow)))
    return found


def observation(part):
    mastery, frustration, slow = part
    return [*mastery.values(), frustration, min(1.0, slow / 120)]


def test_views_and_transitions_are_those_of_the_specification():
    one = played("policy:uniform", 30, seed=4)
    Recorder.seen.clear()
    two = AdaptiveEngine(COURSE, CATALOGUE, policy=Recorder, store=one.store)
    # The scores of a log are probabilities of actions for the policy that wrote it.
    two.recommender.name = "policy:uniform"
    Recorder.seen.clear()
    two.recommend("anna", 1, time=1e4)
    *steps, (view, state) = Recorder.seen
    expected = expected_steps(one.events("anna"), 1e4)
    assert len(steps) == len(expected) == 30 and state.tolist() == [30.0]
    for x, (action, correct, seconds, reward, hours, odds, before, after) in zip(steps, expected, strict=True):
        assert (x.actions[0], x.correct[0], x.active[0], x.ended[0]) == (action, correct, True, False)
        np.testing.assert_allclose(
            [x.seconds[0], x.rewards[0], x.clock[0], x.propensities[0], x.last_seconds[0]],
            [seconds, reward, hours, odds, after[2]],
            rtol=1e-5,
            atol=1e-7,
        )
        np.testing.assert_allclose(x.observation[0], observation(before), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(x.next_observation[0], observation(after), rtol=1e-5, atol=1e-7)
    assert [int(a[0]) for a in view.actions] == [step[0] for step in expected]
    assert [int(a[0]) for a in view.correct] == [step[1] for step in expected]
    np.testing.assert_allclose(np.concatenate(view.seconds), [step[2] for step in expected], rtol=1e-6)
    np.testing.assert_allclose(view.observation[0], observation(expected[-1][-1]), rtol=1e-5)
    assert view.step == 30 and view.hours[0] == steps[-1].clock[0]
    assert view.asked.sum() + view.shown.sum() == 30
    course = two.recommender.cells.course
    asked = [(int(i[0]), int(a[0])) for i, a in zip(view.items, view.actions, strict=True) if a[0] < 12]
    assert all(3 * course.learning_outcome[i] + course.difficulty[i] == a for i, a in asked)
    assert [int(i[0]) for i, a in zip(view.items, view.actions, strict=True) if a[0] >= 12 and i[0] < 16] == []


@pytest.mark.parametrize("policy", ["fsrs:0.9:0", "leitner:5:1:2:0", "sm2:0", "threshold:0.5:0", "random-due:24:0"])
def test_schedulers_date_a_review_at_its_event(policy):
    """Half a day after each of three skills was answered, none is due, and the fourth is new."""
    day, items = 86400.0, [item for item in CATALOGUE if item["type"] == "question"]
    one = AdaptiveEngine(dict.fromkeys(COURSE, ()), items, policy=f"policy:{policy}", threshold=1.0)
    for begin in (0, 5):  # a question that was shown days before its answer is dated at the answer, too
        name = f"from day {begin}"
        one.recommend(name, 1, time=0.0)
        for review in (begin, begin + 10):
            for k, item in enumerate(("a0", "b0", "c0")):
                one.process_response(name, item, correct=True, time=(review + k / 100) * day)
            assert one.recommend(name, 1, time=(review + 0.5) * day)[0].item[0] == "d"


def test_a_quiz_raises_mastery_in_the_history():
    """The mastery that a policy gets last is that of the engine, also after a placement."""
    one = AdaptiveEngine(COURSE, CATALOGUE, policy="policy:uniform", seed=2)
    one.process_response("anna", "a0", True)
    quiz = one.quiz("anna", 5)
    while (asked := quiz.next()) is not None:
        one.process_response("anna", asked.item, True, key=asked.key)
    quiz.place()
    assert any(event["event"] == "placed" for event in one.events("anna"))
    one.process_response("anna", "d3", False)
    Recorder.seen.clear()
    two = AdaptiveEngine(COURSE, CATALOGUE, policy=Recorder, store=one.store)
    Recorder.seen.clear()
    two.recommend("anna", 1)
    *steps, (view, _) = Recorder.seen
    mastery = list(one.mastery("anna").values())
    np.testing.assert_allclose(steps[-1].next_observation[0, :4], mastery, rtol=1e-6)
    np.testing.assert_allclose(view.mastery[0], mastery, rtol=1e-6)


def test_the_mask_allows_the_cells_of_ready_skills():
    Recorder.seen.clear()
    one = AdaptiveEngine(COURSE, CATALOGUE, policy=Recorder())
    Recorder.seen.clear()
    one.recommend("anna", 1)
    ((view, _),) = Recorder.seen
    skills = {decode_action(int(a), 4).lo for a in np.flatnonzero(view.mask[0])}
    assert skills == {0, 3} and view.mask.sum() == 18


# ── names ────────────────────────────────────────────────────────────────────────────────────────


class Fixed:
    """Policy that always shows the same action."""

    name = "fixed"

    def __init__(self, action: int = 0) -> None:
        self.action = action

    def act(self, view, draws):
        return np.full(view.num_lanes, self.action), np.ones(view.num_lanes)

    def probabilities(self, view, draws=None):
        return one_hot(self.act(view, draws)[0], view.num_actions)


class Blind:
    """Policy without probabilities."""

    name = "blind"

    def act(self, view, draws):
        return np.zeros(view.num_lanes, np.int64), np.ones(view.num_lanes)


class Network(Fixed):
    """Policy that reads responses."""

    name, reads = "network", "responses"


class Last(Guide):
    """Recommender of a user."""

    name = "last"


@pytest.fixture
def module(monkeypatch):
    made = ModuleType("theirs_of_tests")
    made.Fixed, made.Last, made.number = Fixed, Last, 3
    monkeypatch.setitem(__import__("sys").modules, made.__name__, made)
    return made.__name__


def test_policies_and_recommenders_by_name_class_and_object(module):
    catalogue = Catalogue(ITEMS, GRAPH)
    cases = {
        "guide": "guide",
        "thompson": "thompson:5",
        "thompson:8": "thompson:8",
        "rules": "policy:rules",
        "policy:thompson": "policy:thompson",
        "epsilon-greedy:rules:0.2": "policy:epsilon-greedy:rules:0.2",
        f"{module}:Fixed": "policy:fixed",
        f"{module}:Fixed:3": "policy:fixed:3",
        f"policy:{module}:Fixed": "policy:fixed",
        f"{module}:Last": "last",
    }
    for name, expected in cases.items():
        assert make_recommender(name, catalogue).name == expected, name
    for given in (Last, Last(catalogue), Fixed, Fixed(), PolicyRecommender(catalogue, "uniform")):
        assert make_recommender(given, catalogue).name in {"last", "policy:fixed", "policy:uniform"}
    assert set(PRESETS) == {"guide", "alosi", "thompson"}


def test_policies_that_an_engine_cannot_use_are_refused(module, tmp_path):
    file = EloModel(Items.of_cells(7), np.zeros(21)).save(tmp_path / "elo.npz")
    cases = {
        "policy:oracle": "reads the true state of simulated learners",
        "policy:epsilon-greedy:oracle:0.1": "reads the true state",
        "policy:thompson:0.1:0.05:True": "learns across learners in rounds.*or use the preset 'thompson'",
        "policy:nothing": "unknown policy 'nothing'",
        "guid": "did you mean 'guide'",
        "policy:rule": "did you mean 'rules'",
        f"policy:student:{file}": "has 21 items and 7 skills",
        f"{module}:Nothing": "has no 'Nothing'",
        f"{module}:number": "does not name a policy",
        "no_such_module:Class": "cannot be found",
    }
    for name, expected in cases.items():
        with pytest.raises(EngineError, match=expected):
            AdaptiveEngine(GRAPH, ITEMS, policy=name)
    for policy, expected in (
        (Blind(), "must be a policy with a method probabilities"),
        (Network(), "needs observation='responses'"),
        (Last(Catalogue(CATALOGUE, COURSE)), "was made for another catalogue"),
        (7, "there is no policy 7 of the engine"),
    ):
        with pytest.raises(EngineError, match=expected):
            AdaptiveEngine(GRAPH, ITEMS, policy=policy)
