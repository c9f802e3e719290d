"""The preset alosi against numbers of ALOSI itself, and against its formulas in plain Python; partial scores."""

import json
import math
import tracemalloc

import numpy as np
import pytest
from courses import GRAPH, ITEMS, question, random_course

from alsim.engine import AdaptiveEngine, EngineError
from alsim.engine.recommenders.alosi import (
    Links,
    Tags,
    Weights,
    log_odds,
    relevance,
    subscores,
    total,
    update_mastery,
)
from alsim.engine.stores.memory import MemoryStore
from alsim.models import ModelError
from alsim.models.student import AlosiModel, BKTModel

CASES = range(4)
LOSS = 2.0  # of an item for each time that it was shown, as the page of the recommenders has it


@pytest.fixture(scope="module")
def numbers(published):
    return json.loads((published / "teachers/alosi.json").read_text())


@pytest.mark.ci
@pytest.mark.parametrize("number", CASES)
def test_scores_are_those_that_alosi_documents(numbers, number):
    case = numbers["cases"][number]
    strength = np.array(case["prerequisites"])
    parent, child = np.nonzero(strength)
    guess, slip = (np.array(case[name], float) for name in ("guess", "slip"))
    found = subscores(
        Tags.of_tables(guess, slip),
        np.array([case["mastery"]]),
        Links(parent, child, strength[parent, child]),
        log_odds(np.array(case["difficulty"])),
        np.array([case["last"]]),
        slack=case["r_star"],
        target=case["L_star"],
    )
    has = ~np.isnan(guess)
    expected = np.array(case["relevance"])
    np.testing.assert_allclose(relevance(guess[has], slip[has]), expected[has], atol=1e-9, rtol=0)
    for values, letter in zip(found, "PRCD", strict=True):
        np.testing.assert_allclose(values[0], case["subscores"][letter], atol=1e-9, rtol=0)
    w = case["weights"]
    scores = total(found, Weights(w["W_p"], w["W_r"], w["W_c"], w["W_d"]))[0]
    np.testing.assert_allclose(scores, case["score_as_documented"], atol=1e-9, rtol=0)
    assert np.abs(scores - case["score_as_coded"]).max() > 1


def test_updates_with_partial_scores_are_those_of_alosi(numbers):
    rows = np.array(numbers["mastery_updates"]["rows"])
    assert len(rows) == 40
    np.testing.assert_allclose(update_mastery(*rows[:, :5].T), rows[:, 5], atol=1e-9, rtol=0)
    for mastery, score, guess, slip, transit, after in rows.tolist():
        model = AlosiModel(1, mastery, transit, guess, slip)
        state = model.start(1)
        model.update(state, np.array([0]), np.array([score]))
        assert model.mastery(state)[0, 0] == pytest.approx(after, abs=1e-9)


def test_whole_scores_are_bkt_to_the_bit():
    random = np.random.default_rng(0)
    ours, theirs = (cls(3, [0.2, 0.5, 0.8], 0.15, 0.25, 0.05) for cls in (AlosiModel, BKTModel))
    a, b = ours.start(50), theirs.start(50)
    for _ in range(20):
        items, correct = random.integers(0, 3, 50), random.integers(-1, 2, 50)
        ours.update(a, items, correct.astype(float))
        theirs.update(b, items, correct)
    assert all((a[name] == b[name]).all() for name in a)


@pytest.mark.parametrize("score", [-0.5, 1.01, math.nan, 7])
def test_other_scores_are_refused(score):
    model = AlosiModel(2)
    state = model.start(1)
    with pytest.raises(ModelError, match="a score in"):
        model.update(state, np.array([0]), np.array([score]))
    with pytest.raises(ModelError, match=r"score must be numbers in \[0, 1\]"):
        update_mastery(0.5, score, 0.2, 0.1, 0.1)
    one = AdaptiveEngine(GRAPH, ITEMS, model="alosi")
    with pytest.raises(EngineError, match=r"or a score in \[0, 1\]; got .* for the item 'c0'"):
        one.process_response("anna", "c0", score)
    assert one.events("anna") == []
    with pytest.raises(ModelError, match="correct must be 1, 0 or -1"):
        BKTModel(2).update(BKTModel(2).start(1), np.array([0]), np.array([0.5]))


def test_an_engine_reads_partial_scores_where_its_model_does():
    items = [question("easy", "counting", guess=0.3, slip=0.05), *ITEMS]
    one = AdaptiveEngine(GRAPH, items, model="alosi", policy="alosi", store=(store := MemoryStore()))
    first = one.process_response("anna", "easy", 0.4, key="k")
    assert first.mastery["counting"] == pytest.approx(float(update_mastery(0.3, 0.4, 0.3, 0.05, 0.1)), abs=1e-12)
    assert one.process_response("anna", "easy", 0.4, key="k") == first
    assert [event["correct"] for event in one.events("anna")] == [0.4]
    state = store.load("anna").state
    one.replay()
    assert store.load("anna").state == state
    with pytest.raises(EngineError, match="only a student model with partial credit, such as 'alosi'"):
        AdaptiveEngine(GRAPH, items).process_response("anna", "easy", 0.4)
    # Another model reads the same log: a score below one half is a wrong answer.
    other, wrong = AdaptiveEngine(GRAPH, items, store=store), AdaptiveEngine(GRAPH, items)
    wrong.process_response("anna", "easy", False)
    assert other.mastery("anna") == wrong.mastery("anna")


def plain_scores(graph, items, mastery, last, threshold=0.9, weights=(5.0, 3.0, 0.5, 1.0)):
    """Return {item: score} by the formulas of ALOSI, with dictionaries and floats."""

    def odds(p):
        return math.log(p / (1 - p))

    def tags(item):
        skills = item["skills_assessed"] if item["type"] == "question" else item["skills_taught"]
        worth = -odds(item.get("guess", 0.2)) - odds(item.get("slip", 0.1))
        return dict.fromkeys(skills, worth)

    target = odds(threshold)
    level = {skill: odds(p) for skill, p in mastery.items()}
    of_last = tags(last) if last else {}
    found = {}
    for item in items:
        p = r = c = d = 0.0
        for skill, worth in tags(item).items():
            p += worth * min(sum(min(level[parent] - target, 0) for parent in graph[skill]), 0)
            r += worth * max(target - level[skill], 0)
            c += worth * of_last.get(skill, 0)
            d -= worth * abs(level[skill] - item.get("difficulty", 0))
        found[item["id"]] = weights[0] * p + weights[1] * r + weights[2] * math.sqrt(c) + weights[3] * d
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_recommender_ranks_all_items_by_these_scores(seed):
    graph, items = random_course(seed)
    random = np.random.default_rng(seed)
    for item in items:
        item |= {"guess": float(random.uniform(0.1, 0.3))}
        if random.random() < 0.7:  # of the others it is unknown, and one half, that is 0 logits
            item["difficulty"] = float(random.normal())
    one = AdaptiveEngine(graph, items, policy="alosi", seed=seed)
    last = None
    for step in range(6):
        shown = {}
        for again in range(3):
            expected = plain_scores(graph, items, one.mastery("anna"), last)
            for name, count in shown.items():
                expected[name] -= LOSS * count
            if last:
                expected[last["id"]] -= LOSS
            found = one.recommend("anna", len(items) if again == 0 and step == 0 else 4)
            assert [r.score for r in found] == pytest.approx(
                sorted(expected.values(), reverse=True)[: len(found)], abs=1e-9
            )
            assert all(r.score == pytest.approx(expected[r.item], abs=1e-9) for r in found)
            if again == 0 and step == 0:
                one = AdaptiveEngine(graph, items, policy="alosi", seed=seed)  # forget what was shown
                continue
            for r in found:
                shown[r.item] = shown.get(r.item, 0) + 1
        one = _without_shown(one, graph, items, seed)
        last = items[int(random.integers(len(items)))]
        if last["type"] == "question":
            one.process_response("anna", last["id"], bool(random.random() < 0.6))
        else:
            one.process_content("anna", last["id"])


def _without_shown(engine, graph, items, seed):
    """Return an engine whose student has the same responses, and no items shown."""
    other = AdaptiveEngine(graph, items, policy="alosi", seed=seed)
    for event in engine.events("anna"):
        if event["event"] == "answered":
            other.process_response("anna", event["item"], event["correct"])
        elif event["event"] == "content_studied":
            other.process_content("anna", event["item"])
    return other


def test_tied_items_are_equally_likely_and_a_student_who_knows_all_gets_none():
    one = AdaptiveEngine({"a": []}, [question(f"q{k}", "a") for k in range(4)], policy="alosi")
    assert [r.propensity for r in one.recommend("anna")] == pytest.approx([1 / 4, 1 / 3, 1 / 2, 1])
    assert [r.num_candidates for r in one.recommend("ben")] == [4, 3, 2, 1]
    for _ in range(3):
        one.process_response("anna", "q0", True)
    assert one.recommend("anna") == []


@pytest.mark.heavy
def test_memory_grows_with_items_and_not_with_their_square():
    graph = {f"s{k}": [] for k in range(300)}
    items = [question(f"q{i}", f"s{i % 300}", f"s{(7 * i + 1) % 300}", difficulty=i / 1e4) for i in range(10_000)]
    one = AdaptiveEngine(graph, items, policy="alosi")
    one.recommend("warm")
    tracemalloc.start()
    one.recommend("anna")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6  # a dense table of items and skills would take 24 MB, one of items and items 800 MB


def test_shares_are_the_propensities_of_all_candidates():
    graph, items = random_course(3)
    one = AdaptiveEngine(graph, items, policy="alosi")
    first = next(item["id"] for item in items if item["type"] == "question")
    one.process_response("anna", first, True)
    situations, choose = [], one.recommender.choose
    one.recommender.choose = lambda situation, ranks: situations.append(situation) or choose(situation, ranks)
    found = one.recommend("anna", 8)
    for rank, r in enumerate(found):
        above = np.array([[*(one.catalogue.index[x.item] for x in found[:rank]), -1]], np.int32)
        shares = one.recommender.shares(situations[0], np.arange(len(items)), len(items), above)
        assert shares.sum() == pytest.approx(1) and shares[0, one.catalogue.index[r.item]] == r.propensity


def test_parameters_follow_the_name():
    one = AdaptiveEngine(GRAPH, ITEMS, policy="alosi:0.5:2:2:1:0.5")
    assert one.recommender.slack == 0.5 and one.recommender.weights == Weights(2, 2, 1, 0.5)
    assert one.recommender.name == "alosi:0.5:2.0:2.0:1.0:0.5"
    for name, expected in (("alosi:x", "must be numbers"), ("alosi:nan", "finite"), ("guide:1", "takes 0 arguments")):
        with pytest.raises(EngineError, match=expected):
            AdaptiveEngine(GRAPH, ITEMS, policy=name)
