"""The graph of prerequisites: sources, cycles, and bad input."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alsim
from alsim.config import Config, ConfigError
from alsim.curriculum import Curriculum, CurriculumError
from alsim.types import GRAPH_GROUP, Graph

PAIRS = [("division", "ratios"), ("ratios", "percent"), ("division", "fractions"), ("fractions", "percent")]


def test_all_sources_give_the_same_edges(tmp_path: Path) -> None:
    edges = tmp_path / "edges.csv"
    edges.write_text("parent,child\n" + "".join(f"{parent},{child}\n" for parent, child in PAIRS))
    lists = tmp_path / "lists.csv"
    lists.write_text(
        'skill,prerequisites\nratios,division\npercent,"ratios,fractions"\nfractions,division\ndivision,\n'
    )
    parquet = tmp_path / "edges.parquet"
    pyarrow.parquet.write_table(pa.table({"parent": [p for p, _ in PAIRS], "child": [c for _, c in PAIRS]}), parquet)
    toml = tmp_path / "edges.toml"
    toml.write_text('ratios = ["division"]\npercent = ["ratios", "fractions"]\nfractions = ["division"]\n')
    expected = Curriculum(PAIRS)
    parents = {"ratios": ["division"], "percent": ["ratios", "fractions"], "fractions": ("division",)}
    for source in (edges, str(lists), parquet, toml, PAIRS, parents):
        read = Curriculum.read(source)
        assert read == expected and hash(read) == hash(expected), source
    assert Curriculum.read(expected) is expected


def test_parents_are_found_by_name_and_by_index() -> None:
    outcomes = ["percent", "division", "ratios", "fractions"]
    graph = Curriculum(PAIRS).graph(outcomes)
    assert parents_of(graph) == [[2, 3], [], [1], [1]]
    by_index = Curriculum([(1, 2), (2, 0), (1, 3), (3, 0)]).graph(outcomes)
    assert parents_of(by_index) == parents_of(graph)


@given(st.lists(st.integers(1, 39), max_size=20))
def test_an_outcome_has_any_number_of_parents(children: list[int]) -> None:
    """Edges from all earlier outcomes to a few: more parents than a group has places, and none."""
    edges = [(parent, child) for child in children for parent in range(child)]
    graph = Curriculum(edges).graph([f"outcome {k}" for k in range(40)])
    assert parents_of(graph) == [[*range(lo)] if lo in children else [] for lo in range(40)]


def parents_of(graph: Graph) -> list[list[int]]:
    """Return the parents of each outcome; check that unused places are at the end, and read nothing outside."""
    bounds = graph.first.tolist()
    assert (graph.parents >= 0).all() and (graph.parents < len(graph.first) - 1).all()
    assert (np.diff(graph.first) > 0).all() and not (graph.first % GRAPH_GROUP).any()
    assert bounds[-1] == len(graph.parents) == len(graph.weights)
    listed: list[list[int]] = []
    for start, stop in pairwise(bounds):
        number = int(graph.weights[start:stop].sum())
        assert graph.weights[start:stop].tolist() == [1.0] * number + [0.0] * (stop - start - number)
        listed.append(graph.parents[start : start + number].tolist())
    return listed


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([("a", "b"), ("b", "c"), ("c", "a")], r"form a cycle: (\w) → (\w) → (\w) → \1; remove one of these edges"),
        ([("a", "a")], "'a' is its own prerequisite"),
        ([("a",)], r"edge 0 must be a pair \(parent, child\)"),
        ([("a", "b"), "cd"], "edge 1 must be a pair"),
        ([("a", 1.5)], "edge 0 must be a pair"),
        ([("a", "")], "edge 0 must be a pair"),
        (5, r"must be pairs \(parent, child\)"),
        ({"a": "b"}, "prerequisites of 'a' must be a list; got 'b'"),
        ({"a": {"b": ["c"]}}, "prerequisites of 'a' must be a list; got {'b'"),
        (np.array([[0.5, 1.0]]), "edge 0 must be a pair"),
        ("none.csv", "none.csv: there is no such file"),
    ],
)
def test_invalid_curricula_are_one_sentence(source: Any, message: str) -> None:
    with pytest.raises(CurriculumError, match=message) as raised:
        Curriculum.read(source)
    assert "\n" not in str(raised.value)
    with pytest.raises(ConfigError, match=message):
        Config.read({"curriculum": source})


def test_files_are_named_in_errors(tmp_path: Path) -> None:
    for name, text, message in (
        ("a.csv", "x,y\n1,2\n", "there is no column parent; the columns are x, y"),
        ("b.csv", "parent,child\na,b\nb,a\n", "form a cycle: "),
        ("e.csv", "parent,child\na,b\n,c\n", "line 3, column parent: the cell is empty"),
        ("f.csv", "skill,prerequisites\n,b\n", "line 2, column skill: the cell is empty"),
        ("c.toml", "a = 1\n", "prerequisites of 'a' must be a list"),
        ("d.toml", "a = [\n", "expected a TOML file with lists of prerequisites"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(CurriculumError, match=f"{name}: .*{message}"):
            Curriculum.read(tmp_path / name)


def test_unknown_outcomes_are_refused_before_anything_is_compiled() -> None:
    for edges, message in (
        ([[0, 7]], r"learning outcome 7; expected an index in \[0, 4\)"),
        ([["lo_0", "nothing"]], "learning outcome '.*', which the bank does not have"),
    ):
        with pytest.raises(CurriculumError, match=message):
            alsim.AdaptiveLearningVectorEnv(2, config={"num_los": 4, "curriculum": edges})


def test_a_cycle_of_names_and_indices_is_refused() -> None:
    config = {"num_los": 3, "dynamics": "prerequisites"}
    for edges, message in (
        ([["0", 1], ["1", 0]], r"form a cycle: (\d) → (\d) → \1; remove one of these edges$"),
        ([["2", 2]], "'2' is its own prerequisite: remove this edge$"),
    ):
        with pytest.raises(CurriculumError, match=message):
            alsim.AdaptiveLearningVectorEnv(2, config={**config, "curriculum": edges})


def test_edges_may_be_arrays_and_integers_of_numpy() -> None:
    edges = np.array([[0, 1], [1, 2]])
    for source in (edges, list(edges), [tuple(edge) for edge in edges]):
        assert Config.read({"curriculum": source}).to_dict()["curriculum"] == [[0, 1], [1, 2]]


def test_names_in_a_table_of_edges_may_have_commas(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text('parent,child\n"Addition, basic",Sums\n')
    assert Curriculum.read(tmp_path / "edges.csv").edges == (("Addition, basic", "Sums"),)


def test_a_dynamics_that_reads_prerequisites_needs_a_curriculum() -> None:
    with pytest.raises(ConfigError, match="'prerequisites' reads prerequisites, but the configuration has no curric"):
        Config.read({"dynamics": "prerequisites"})
    assert Config.read({"dynamics": "prerequisites", "curriculum": []}).curriculum.edges == ()


def test_a_file_is_relative_to_the_configuration_and_its_edges_are_stored(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("parent,child\n0,1\n".replace("0,1", "a,b"))
    (tmp_path / "config.toml").write_text('curriculum = "edges.csv"\n')
    config = Config.load(tmp_path / "config.toml")
    assert config.to_dict()["curriculum"] == [["a", "b"]]
    assert Config.read(config.to_dict()) == config


nodes = st.integers(0, 9)


@pytest.mark.ci
@given(st.lists(st.tuples(nodes, nodes), max_size=30), st.randoms(use_true_random=False))
def test_random_graphs_load_in_order_or_show_their_cycle(edges: list[tuple[int, int]], shuffle: random.Random) -> None:
    downwards = [(a, b) for a, b in edges if a < b]
    shuffle.shuffle(downwards)
    curriculum = Curriculum(downwards)
    place = {outcome: k for k, outcome in enumerate(curriculum.order)}
    assert all(place[parent] < place[child] for parent, child in downwards)
    kept = Curriculum(edges, cycles="drop")
    assert {*kept.edges} | {*kept.dropped} == {*edges}
    if kept.dropped:
        with pytest.raises(CurriculumError, match="cycle|its own prerequisite"):
            Curriculum(edges)
        for edge in kept.dropped:  # each of them closes a cycle with those that were kept
            with pytest.raises(CurriculumError):
                Curriculum([*kept.edges, edge])
    else:
        assert Curriculum(edges) == kept


def test_the_published_map_of_exercises_is_refused_and_repaired(published: Path) -> None:
    """837 rows, 988 edges, a cycle of three skills and two that are their own prerequisites (README of the data)."""
    file = published / "curriculum" / "junyi_prerequisites.csv"
    with pytest.raises(CurriculumError, match="junyi_prerequisites.csv: '.*' is its own prerequisite"):
        Curriculum.read(file)
    curriculum = Curriculum.read(file, cycles="drop")
    assert [parent == child for parent, child in curriculum.dropped] == [True, True, False]
    with pytest.raises(CurriculumError, match=r"form a cycle: .* → .* → .* → "):
        Curriculum([*curriculum.edges, curriculum.dropped[2]])
