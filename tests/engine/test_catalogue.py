"""Catalogues and graphs: what they accept, and what they refuse."""

import numpy as np
import pytest
from courses import GRAPH, ITEMS, content, question

from alsim.curriculum import Curriculum
from alsim.curriculum.readiness import ready_outcomes
from alsim.engine import Catalogue, EngineError, Item, SkillGraph, UnknownName


def test_items_are_mappings_or_items():
    catalogue = Catalogue([*ITEMS, Item("extra", ("shapes",), ("shapes",), "question", 0.5)], GRAPH)
    assert len(catalogue) == len(ITEMS) + 1
    assert catalogue.items[6] == Item("ca", ("counting", "addition"), ("counting", "addition"), "question")
    assert catalogue.taught.of(6).tolist() == [0, 1] and catalogue.assessed.of(9).tolist() == []
    assert repr(catalogue) == "<Catalogue: 10 questions and 2 contents about 4 skills>"


def test_the_digest_follows_items_and_graph():
    first = Catalogue(ITEMS, GRAPH).digest
    assert Catalogue(ITEMS, GRAPH).digest == first
    others = [(ITEMS[1:], GRAPH), (ITEMS[::-1], GRAPH), (ITEMS, {**GRAPH, "shapes": ["counting"]})]
    changed = [*ITEMS[:-1], {**ITEMS[-1], "modality": "text"}]
    assert len({first, *(Catalogue(*other).digest for other in others), Catalogue(changed, GRAPH).digest}) == 5


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "from 1 to 1,000,000 items; got 0"),
        ("catalogue.csv", "must be a list of items"),
        ({"id": "q"}, "must be a list of items"),
        (5, "must be a list of items"),
        ([5], "item 0 of the catalogue must be a mapping"),
        ([{"skills_taught": ["shapes"]}], "item 0 of the catalogue must have an id"),
        ([question("", "shapes")], "must have an id"),
        ([{"id": 7}], "must have an id, text of 1 to 256 printable characters; got 7"),
        ([question("q", "shapes"), question("q", "shapes")], "has the item 'q' more than once"),
        ([{"id": "q", "type": "exam"}], "item 'q': type must be 'question' or 'content'; got 'exam'"),
        ([{"id": "q", "type": "question", "skills_taught": ["shapes"]}], "must assess a skill"),
        ([content("q")], "must teach a skill"),
        ([{**question("q"), "skills_assessed": "shapes"}], "must be a list of skills; got 'shapes'"),
        ([{**question("q"), "skills_assessed": [3]}], "must contain names of skills; got 3"),
        ([question("q", "shapes", difficulty="hard")], "difficulty must be a finite number of logits"),
        ([question("q", "shapes", difficulty=float("nan"))], "difficulty must be a finite"),
        ([question("q", "shapes", difficulty_sd=0)], "difficulty_sd must be a positive"),
        ([question("q", "shapes", guess=1.0)], r"guess must be a probability in \(0, 1\)"),
        ([question("q" * 257, "shapes")], "must have an id, text of 1 to 256"),
        ([question("q\x1f", "shapes")], "must have an id, text of 1 to 256"),
        ([question("q", "shapes", difficulty=10**400)], "difficulty must be a finite"),
        ([question("q", "shapes", slip=-0.1)], "slip must be a probability"),
        ([question("q", "shapes", discrimination=True)], "discrimination must be a positive number"),
        ([content("q", "shapes", modality="film")], "modality must be one of video"),
    ],
)
def test_bad_items_are_refused(items, message):
    with pytest.raises(EngineError, match=message):
        Catalogue(items, GRAPH)


def test_an_unknown_skill_is_named():
    with pytest.raises(UnknownName, match="item 'q', skills_taught: the graph has no skill 'shape'; did you mean"):
        Catalogue([question("q", "shape")], GRAPH)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({}, "at least one skill"),
        (None, "at least one skill"),
        (["a"], "at least one skill"),
        ({"a": ["b"], "b": ["a"]}, "prerequisites form a cycle"),
        ({"a": ["a"]}, "'a' is its own prerequisite"),
        ({"a": "b", "b": []}, "the prerequisites of 'a' must be a list"),
        ({1: []}, "names of skills as keys, text of .* got 1"),
        ({"": []}, "names of skills as keys"),
        (
            {"addition": ["cuonting"], "counting": []},
            "no skill 'cuonting', which 'addition' has.*did you mean 'counting'",
        ),
        ({"addition": ["x"]}, 'add "x": \\[\\]'),
        ({"addition": [0]}, "no skill 0"),
    ],
)
def test_bad_graphs_are_refused(graph, message):
    with pytest.raises(EngineError, match=message):
        SkillGraph(graph)


def test_a_graph_is_read_from_a_curriculum():
    graph = SkillGraph.read(Curriculum([("a", "b"), ("b", "c")]))
    assert graph.prerequisites() == {"a": [], "b": ["a"], "c": ["b"]}


def test_ready_skills_are_those_of_the_curriculum():
    random = np.random.default_rng(0)
    graph = SkillGraph({f"s{k}": [f"s{p}" for p in random.choice(k, min(k, 3), replace=False)] for k in range(30)})
    mastery = random.random((200, 30))
    table = Curriculum.read(graph.prerequisites()).graph(graph.skills)
    assert (graph.ready(mastery, 0.6) == ready_outcomes(mastery, table, 0.6)).all()


def test_remedial_skills_go_through_mastered_ones():
    graph = SkillGraph({"a": [], "b": ["a"], "c": ["b"], "d": []})
    mastery, practised = np.array([[0.2, 0.95, 0.1, 0.1]]), np.array([[False, False, True, True]])
    assert graph.remedial(mastery, practised, 0.9).tolist() == [[True, False, False, False]]


def test_remedial_skills_of_a_long_chain():
    graph = SkillGraph({f"s{k}": [f"s{k - 1}"] if k else [] for k in range(5000)})
    practised = np.zeros((1, 5000), np.bool_)
    practised[0, -1] = True
    assert graph.remedial(np.full((1, 5000), 0.3), practised, 0.9).sum() == 4999
