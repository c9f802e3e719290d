"""Diagnostic quizzes: choice by information and over the graph, against enumeration; resumption; placement."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from courses import GRAPH, question
from scipy import stats

from alsim.engine import AdaptiveEngine, Catalogue, DeletedStudent, EngineError, OutOfOrder, Quiz, SkillGraph
from alsim.engine.choice import pick
from alsim.engine.information import information
from alsim.engine.placement import Placement
from alsim.engine.stores.memory import MemoryStore
from alsim.models.irt import ItemParameters, probability
from alsim.models.irt import information as fisher_information
from alsim.models.student import AbilityModel, BKTModel, EloModel, GlickoModel, Items

CHAIN = {f"s{k}": [f"s{k - 1}"] if k else [] for k in range(6)}


def questions(graph, each=3, **fields):
    return [
        {"id": f"{skill}-{q}", "skills_taught": [skill], "skills_assessed": [skill], "difficulty": q - 1.0, **fields}
        for skill in graph
        for q in range(each)
    ]


def take(engine, student, known, **options):
    """Answer a quiz, without guesses and slips, and return the skills that were asked."""
    asked, quiz = [], engine.quiz(student, **options)
    while (question := quiz.next()) is not None:
        skill = question.item.partition("-")[0]
        asked.append(skill)
        engine.process_response(student, question.item, skill in known, key=question.key)
    return asked


# ── inference ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(3))
def test_the_belief_about_a_chain_is_that_of_enumeration(seed):
    """In a chain of K skills the states are the K + 1 numbers of known skills, equally likely at first."""
    random, num = np.random.default_rng(seed), len(CHAIN)
    placement = Placement(SkillGraph(CHAIN))
    belief, states = placement.start(1), np.full(num + 1, 1 / (num + 1))
    knows = np.arange(num) < np.arange(num + 1)[:, None]
    for _ in range(12):
        assert belief[0] == pytest.approx(states @ knows, abs=1e-12)
        k, correct = int(random.integers(num)), int(random.integers(2))
        guess, slip = random.uniform(0.05, 0.4, 2)
        right = np.where(knows[:, k], 1 - slip, guess)
        states = states * (right if correct else 1 - right)
        states /= states.sum()
        placement.update(belief, np.array([k]), np.array([correct], np.int8), np.array([guess]), np.array([slip]))


@pytest.mark.parametrize("correct", [0, 1])
@pytest.mark.parametrize("asked", [0, 1])
def test_beliefs_that_contradict_the_graph_are_reconciled(asked, correct):
    """b needs a, and yet the belief in b, 0.8, is above that in a, 0.5.

    The belief in the skill that was asked about counts. The other one is at least it, or at most. The expected values
    are those of an enumeration of the states: neither, a alone, and both.
    """
    placement, guess, slip = Placement(SkillGraph({"a": [], "b": ["a"]})), 0.2, 0.1
    belief = np.array([[0.5, 0.8]])
    a, b = (0.5, 0.5) if asked == 0 else (0.8, 0.8)
    states = {(0, 0): 1 - a, (1, 0): a - b, (1, 1): b}
    weights = {}
    for state, p in states.items():
        right = 1 - slip if state[asked] else guess
        weights[state] = p * (right if correct else 1 - right)
    expected = [sum(w for state, w in weights.items() if state[k]) / sum(weights.values()) for k in (0, 1)]
    arguments = np.array([asked]), np.array([correct], np.int8), np.array([guess]), np.array([slip])
    placement.update(belief, *arguments)
    assert belief[0] == pytest.approx(expected, abs=1e-12)


def test_skills_without_a_path_between_them_stay_independent():
    placement = Placement(SkillGraph({"a": [], "b": ["a"], "x": []}))
    belief = placement.start(1)
    assert belief[0] == pytest.approx([2 / 3, 1 / 3, 1 / 2])
    placement.update(belief, np.array([2]), np.array([1], np.int8), np.array([0.2]), np.array([0.1]))
    assert belief[0] == pytest.approx([2 / 3, 1 / 3, 0.9 / 1.1])


def test_the_gain_is_the_expected_fall_of_entropy():
    placement, guess, slip = Placement(SkillGraph(CHAIN)), np.full(6, 0.2), np.full(6, 0.1)
    belief = placement.start(1)
    entropy = stats.bernoulli.entropy

    def after(k, correct):
        changed = belief.copy()
        placement.update(changed, np.array([k]), np.array([correct], np.int8), guess[:1], slip[:1])
        return entropy(changed[0]).sum()

    for k in range(6):
        right = belief[0, k] * 0.9 + (1 - belief[0, k]) * 0.2
        expected = entropy(belief[0]).sum() - right * after(k, 1) - (1 - right) * after(k, 0)
        assert placement.gain(belief, guess, slip)[0, k] == pytest.approx(expected, abs=1e-12)


# ── information ──────────────────────────────────────────────────────────────────────────────────


def test_information_about_ability_is_the_expected_fall_of_its_variance():
    random = np.random.default_rng(0)
    model = AbilityModel.of_parameters(ItemParameters(a=random.uniform(0.5, 2, 5), b=random.normal(size=5), c=0.2))
    students = model.start(2)
    model.update(students, np.array([0, 1]), np.array([1, 0]))
    found = information(model, students, np.arange(5))
    chance, before = model.chances(students), model.ability(students).variance
    for i in range(5):
        expected = before.copy()
        for correct, weight in ((1, chance[:, i]), (0, 1 - chance[:, i])):
            copy = {name: values.copy() for name, values in students.items()}
            model.update(copy, np.full(2, i), np.full(2, correct))
            expected -= weight * model.ability(copy).variance
        assert found[:, i] == pytest.approx(expected, abs=1e-10)


def test_for_a_known_ability_it_is_the_fisher_information():
    parameters = ItemParameters(a=[0.7, 1.0, 1.8], b=[-1.0, 0.3, 1.2], c=[0.0, 0.2, 0.1])
    nodes = np.linspace(0.3, 0.5, 101)
    model = AbilityModel(3, probability(nodes, parameters).T, nodes, np.exp(-(((nodes - 0.4) / 0.01) ** 2) / 2))
    found = information(model, model.start(1), np.arange(3))[0] / model.ability(model.start(1)).variance ** 2
    assert found == pytest.approx(fisher_information(0.4, parameters), rel=1e-3)


def test_information_about_knowledge_is_the_mutual_information():
    model = BKTModel(["s"], 0.37, p_guess=0.25, p_slip=0.08)
    joint = np.array([[0.37 * 0.92, 0.37 * 0.08], [0.63 * 0.25, 0.63 * 0.75]])
    expected = stats.entropy(joint.ravel(), np.outer(joint.sum(1), joint.sum(0)).ravel())
    assert information(model, model.start(1), np.arange(1))[0, 0] == pytest.approx(expected, abs=1e-12)


def test_information_under_ratings():
    items = Items(["easy", "hard"], ["s", "s"])
    glicko, elo = GlickoModel(items, [0.0, 2.0], 0.3), EloModel(items, [0.0, 2.0])
    students = glicko.start(1)
    found = information(glicko, students, np.arange(2))[0]
    for i in range(2):  # the variance after an answer does not depend on the answer
        copy = {name: values.copy() for name, values in students.items()}
        glicko.update(copy, np.array([i]), np.array([1]))
        assert found[i] == pytest.approx((students["variance"] - copy["variance"])[0, 0], abs=1e-12)
    p = 1 / (1 + math.exp(2))
    assert information(elo, elo.start(1), np.arange(2))[0] == pytest.approx(stats.bernoulli.entropy([0.5, p]))


# ── choice ───────────────────────────────────────────────────────────────────────────────────────


def test_each_of_the_best_is_equally_likely():
    """n = 4,000 draws under one seed: a chi-squared test with probability 1e-3 of a false alarm."""
    random = np.random.default_rng(7)
    scores = np.array([0.3, 0.9, 0.5, 0.5, 0.1, 0.5])  # of the best three, one is 0.9, and three share two places
    draws = [pick(scores, 3, *map(int, random.integers(0, 2**32, 2))) for _ in range(4_000)]
    expected = {1: 1 / 3, 2: 2 / 9, 3: 2 / 9, 5: 2 / 9}
    assert {p.place: p.propensity for p in draws} == pytest.approx(expected)
    counts = Counter(p.place for p in draws)
    observed = [counts[k] for k in expected]
    assert stats.chisquare(observed, [4_000 * p for p in expected.values()]).pvalue > 1e-3
    assert pick(scores, 1, 2**32 - 1, 2**32 - 1) == (1, 1.0)
    assert pick(scores, 100, 0, 0).propensity == 1 / 6


def test_a_quiz_over_a_chain_is_a_binary_search():
    engine = AdaptiveEngine(CHAIN, questions(CHAIN))
    asked = take(engine, "ada", {"s0", "s1", "s2", "s3"}, length=5)
    assert asked[0] in ("s2", "s3")  # it splits the chain into halves
    result = engine.quiz("ada").result()
    assert result.mastered[:3] == ["s0", "s1", "s2"]
    assert "s5" not in result.mastered
    assert result.mastery["s5"] < 0.1


def test_the_quiz_asks_what_the_functions_say():
    """The first question is the one of largest gain, or of largest information under the model."""
    graph, items = {"a": [], "b": []}, questions({"a": [], "b": []})
    engine = AdaptiveEngine(graph, items, model="irt")
    model = engine.model.model
    best = information(model, model.start(1), engine.model.items)[0]
    question = engine.quiz("ada", span=False).next()
    assert question.score == best.max() == best[engine.catalogue.index[question.item]]
    assert question.propensity == 1 / (best == best.max()).sum()


@pytest.mark.parametrize(("difference", "candidates"), [(0.0, 4), (5e-13, 4), (1e-9, 2)])
def test_gains_that_differ_by_rounding_only_are_equal(monkeypatch, difference, candidates):
    """Sums of a few terms below 1 differ by some 1e-16 in another order, and different questions by far more."""
    graph = {"a": [], "b": []}
    engine = AdaptiveEngine(graph, questions(graph, each=2))
    design = engine.states.quiz_design
    monkeypatch.setattr(design, "gains", lambda belief: np.array([[0.3, 0.3 - difference]]))
    quiz = engine.quiz("ada")
    quiz.next()
    (event,) = engine.events("ada")
    assert event["candidates"] == candidates


@pytest.mark.parametrize("model", ["bkt", "irt", "elo", "glicko"])
@pytest.mark.parametrize("span", [True, False])
def test_every_model_has_quizzes_without_repetition(model, span):
    engine = AdaptiveEngine(CHAIN, questions(CHAIN), model=model)
    take(engine, "ada", {"s0", "s1"}, length=7, span=span, best=2)
    shown = [event for event in engine.events("ada") if event["event"] == "question_shown"]
    assert len({event["item"] for event in shown}) == len(shown) == 7
    assert all(0 < event["propensity"] <= 1 and event["policy"] == "quiz" for event in shown)
    result = engine.quiz("ada").result()
    assert (result.answered, result.is_finished) == (7, True)
    assert (result.ability is not None) == (model == "irt")


# ── the log ──────────────────────────────────────────────────────────────────────────────────────


def test_a_quiz_is_resumed_from_the_log(tmp_path):
    """Each question in an engine of its own gives the same quiz as one engine; settings of others are ignored."""
    address = f"sqlite:{tmp_path / 'store.db'}"
    whole = AdaptiveEngine(CHAIN, questions(CHAIN))
    expected = take(whole, "ada", {"s0", "s1"}, length=5, best=3)
    found = []
    for length in itertools.count(5):
        with AdaptiveEngine(CHAIN, questions(CHAIN), store=address).store as store:
            engine = AdaptiveEngine(CHAIN, questions(CHAIN), store=store)
            quiz = engine.quiz("ada", length=length, best=3)
            question = quiz.next()
            if question is None:
                assert quiz.result() == whole.quiz("ada").result()
                break
            assert engine.quiz("ada").next() == question  # it waits for its answer, and is not shown again
            assert (question.position, question.length) == (len(found) + 1, 5)
            skill = question.item.partition("-")[0]
            found.append(skill)
            for _ in range(2):
                engine.process_response("ada", question.item, skill in {"s0", "s1"}, key=question.key)
    assert found == expected


def test_names_make_different_quizzes_and_questions_run_out():
    engine = AdaptiveEngine({"a": []}, questions({"a": []}))
    assert len(take(engine, "ada", {"a"}, length=2)) == 2
    assert engine.quiz("ada").next() is None
    assert len(take(engine, "ada", {"a"}, length=5, name="second")) == 1  # the catalogue has three questions
    assert engine.quiz("ada", length=5, name="second").result().is_finished
    assert {e["quiz"] for e in engine.events("ada") if e["event"] == "question_shown"} == {"diagnostic", "second"}


def test_an_item_that_left_the_catalogue_is_no_longer_pending():
    store = AdaptiveEngine(CHAIN, questions(CHAIN)).store
    first = AdaptiveEngine(CHAIN, questions(CHAIN), store=store).quiz("ada").next()
    rest = [item for item in questions(CHAIN) if item["id"] != first.item]
    second = AdaptiveEngine(CHAIN, rest, store=store).quiz("ada").next()
    assert second.item != first.item
    assert second.position == 1


def test_placement_raises_the_mastery_of_inferred_skills_and_survives_a_replay():
    engine = AdaptiveEngine(CHAIN, questions(CHAIN))
    asked = take(engine, "ada", {"s0", "s1", "s2", "s3"}, length=7)
    assert "s0" not in asked
    before = engine.mastery("ada")
    result = engine.quiz("ada").place()
    after = engine.mastery("ada")
    assert result.mastered
    for skill in CHAIN:
        expected = max(before[skill], result.mastery[skill]) if skill in result.mastered else before[skill]
        assert after[skill] == pytest.approx(expected, abs=1e-15)
    assert engine.ready_skills("ada") == result.ready
    count = len(engine.events("ada"))
    engine.quiz("ada").place()
    assert len(engine.events("ada")) == count
    state = engine.store.load("ada").state
    engine.replay()
    assert engine.store.load("ada").state == state


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"length": 0}, "length must be an integer from 1 to 100; got 0"),
        ({"length": True}, "length must be"),
        ({"best": 2.5}, "best must be an integer"),
        ({"span": "yes"}, "span must be True or False"),
        ({"name": ""}, "the name of a quiz must be text"),
        ({"name": "x" * 65}, "at most 64 characters; got 65: shorten it"),
    ],
)
def test_invalid_settings(options, sentence):
    with pytest.raises(EngineError, match=sentence):
        AdaptiveEngine(CHAIN, questions(CHAIN)).quiz("ada", **options)


def test_errors_change_nothing():
    engine = AdaptiveEngine(CHAIN, questions(CHAIN))
    quiz = engine.quiz("ada")
    assert isinstance(quiz, Quiz)
    with pytest.raises(EngineError, match="has not ended after 0 answers: place it when next"):
        quiz.place()
    assert engine.events("ada") == []
    quiz.next(time=100.0)
    with pytest.raises(OutOfOrder):
        engine.quiz("ada", name="second").next(time=99.0)
    engine.delete("ada")
    with pytest.raises(DeletedStudent):
        quiz.next()
    with pytest.raises(DeletedStudent):
        quiz.result()


def test_questions_about_several_skills_update_each():
    graph = {"a": [], "b": []}
    items = [{"id": "both", "skills_assessed": ["a", "b"], "guess": 0.25, "slip": 0.05}]
    engine = AdaptiveEngine(Catalogue(items, graph).graph, items)
    quiz = engine.quiz("ada", length=1)
    engine.process_response("ada", quiz.next().item, True)
    assert quiz.result().mastery == pytest.approx({"a": 0.95 / 1.2, "b": 0.95 / 1.2})


# ── against the truth ────────────────────────────────────────────────────────────────────────────


@pytest.mark.compiled
def test_adaptive_quizzes_are_better_than_random_ones():
    """Of 200 students under one seed, both differences are at least 6 standard errors (see the page)."""
    from benchmarks.cold_start import ability_errors, placements

    adaptive, random = (ability_errors(200, adaptive=choice)[8] ** 2 for choice in (True, False))
    difference = random - adaptive
    assert difference.mean() > 2 * difference.std() / math.sqrt(200)
    spanning, other = (placements(200, adaptive=choice).accuracy[20] for choice in (True, False))
    difference = spanning - other
    assert difference.mean() > 2 * difference.std() / math.sqrt(200)


def test_a_quiz_goes_to_its_end_when_the_catalogue_loses_an_answered_question():
    store, items = MemoryStore(), [question(f"{skill}{k}", skill) for skill in GRAPH for k in range(3)]
    first = AdaptiveEngine(GRAPH, items, store=store)
    item = first.quiz("anna", 4).next()
    first.process_response("anna", item.item, True, key=item.key)
    quiz = (second := AdaptiveEngine(GRAPH, [i for i in items if i["id"] != item.item], store=store)).quiz("anna", 4)
    positions = [item.position]
    while (item := quiz.next()) is not None:
        second.process_response("anna", item.item, True, key=item.key)
        positions.append(item.position)
    assert positions == [1, 2, 3, 4] and quiz.result().is_finished
