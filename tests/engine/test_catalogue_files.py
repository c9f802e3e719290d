"""Files of items and graphs: every format reads the same values, written files read back equal, bad files are named."""

import csv
import json
import os
import re
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from courses import GRAPH, ITEMS, random_course

from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.curriculum import Curriculum
from alsim.engine import Catalogue, EngineError, Item, SkillGraph
from alsim.engine.catalogue_files import items_file, read_items
from alsim.engine.graph_files import graph_file, read_graph

TEXT = """type,Skills Taught,id,skills_assessed,difficulty,difficulty_sd,discrimination,guess,slip,modality,title
question,sums;halves,q1,halves | sums ,-0.25,0.5,1.5,0.2,0.1,,"A, or B?"
CONTENT,"halves, sums",c1,,,,,,,PPT,
,sums,q2,sums,,,,,,,
"""
EXPECTED = (
    Item("q1", ("sums", "halves"), ("halves", "sums"), "question", -0.25, 0.5, 1.5, 0.2, 0.1, None),
    Item("c1", ("halves", "sums"), (), "content", modality="PPT"),
    Item("q2", ("sums",), ("sums",), "question"),
)


def objects():
    return [{name: value for name, value in item._asdict().items() if value not in (None, ())} for item in EXPECTED]


def write_parquet(file):
    header, *rows = csv.reader(TEXT.splitlines())
    columns = {name: [row[k] or None for row in rows] for k, name in enumerate(header)}
    for name in ("difficulty", "difficulty_sd", "discrimination", "guess", "slip"):
        columns[name] = pa.array([None if cell is None else float(cell) for cell in columns[name]], pa.float64())
    pyarrow.parquet.write_table(pa.table(columns), file)


FILES = {
    "c.csv": lambda file: file.write_text(TEXT),
    "excel.csv": lambda file: file.write_text("sep=,\r\n" + TEXT.replace("\n", "\r\n"), encoding="utf-8-sig"),
    "c.tsv": lambda file: file.write_text(
        "\n".join("\t".join(row) for row in csv.reader(TEXT.splitlines())), encoding="utf-16"
    ),
    "c.parquet": write_parquet,
    "list.json": lambda file: file.write_text(json.dumps(objects())),
    "object.JSON": lambda file: file.write_text(json.dumps({"version": 7, "items": objects()})),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_reads_the_same_items(name, tmp_path):
    FILES[name](tmp_path / name)
    assert read_items(tmp_path / name) == EXPECTED


def test_a_parquet_file_may_have_lists_of_skills(tmp_path):
    table = {"id": ["q1", "c1"], "type": ["question", "content"]}
    table |= {"skills_taught": [["sums", "halves"], ["sums"]], "skills_assessed": [["sums"], []]}
    pyarrow.parquet.write_table(pa.table(table), tmp_path / "c.parquet")
    found = read_items(tmp_path / "c.parquet")
    assert [(i.skills_taught, i.skills_assessed) for i in found] == [(("sums", "halves"), ("sums",)), (("sums",), ())]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\xff\xfe\0", "UTF"),
        (
            "name,skills_taught\nq,s\n",
            "there is no column id; the columns are name, skills_taught; expected id, skills",
        ),
        ("id,type\nq,question\n", "there is no column skills_taught or skills_assessed"),
        ("id,skills_assessed,dificulty\nq,s,1\n", "unknown column 'dificulty'; did you mean 'difficulty'? Rename"),
        ("id,skills_assessed,id\nq,s,q\n", "more than one column is named id"),
        ("id,skills_assessed\nq\n", "line 2: 1 cells; expected 2"),
        ("id,skills_assessed\n\nq,s\n,s\n", "line 4: item 1 of the catalogue must have an id"),
        ("id,skills_assessed,difficulty\nq,s,1\nr,s,hard\n", "line 3: item 'r': difficulty must be a finite number of"),
        ("id,skills_assessed,difficulty\nq,s,nan\n", "line 2: item 'q': difficulty must be a finite number of logits"),
        ("id,skills_assessed,difficulty\nq,s,1e999\n", "line 2: item 'q': difficulty must be a finite number"),
        ("id,skills_assessed,difficulty_sd\nq,s,-1\n", "line 2: item 'q': difficulty_sd must be a positive number"),
        ("id,skills_assessed,guess\nq,s,1.5\n", "line 2: item 'q': guess must be a probability in"),
        ("id,skills_assessed,type\nq,s,exam\n", "line 2: item 'q': type must be 'question' or 'content'; got 'exam'"),
        ("id,skills_assessed,type\nq,s,content\n", "line 2: item 'q' is a content and must teach a skill"),
        ("id,skills_assessed\nq, ; \n", "line 2: item 'q' is a question and must assess a skill"),
        ("id,skills_assessed,modality\nq,s,film\n", "line 2: item 'q': modality must be one of video"),
    ],
)
def test_bad_tables_are_refused_with_their_place(tmp_path, text, message):
    file = tmp_path / "c.csv"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(EngineError, match=re.escape(message)) as caught:
        read_items(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a JSON list of objects with id"),
        ("[1,", "expected a JSON list"),
        ('{"item": []}', "expected a JSON list"),
        ('"q"', "expected a JSON list"),
        ("[7]", "item 0 of the catalogue must be a mapping"),
        ('[{"id": "q", "skills_assessed": "s"}]', "item 'q': skills_assessed must be a list of skills; got 's'"),
        ('[{"id": 7, "skills_assessed": ["s"]}]', "must have an id, text of 1 to 256 printable characters; got 7"),
        ('[{"id": "q", "skill_assessed": ["s"]}]', "item 'q': unknown key 'skill_assessed'; did you mean 'skills_ass"),
        ('[{"id": "q", "skills_assessed": ["s"], "difficulty": NaN}]', "item 'q': difficulty must be a finite"),
        ('[{"id": "q", "skills_assessed": ["s"], "difficulty": "1"}]', "item 'q': difficulty must be a finite"),
        ("[" * 200 + "]" * 200, "more than 100 values within each other"),
    ],
)
def test_bad_json_is_refused_with_its_item(tmp_path, text, message):
    file = tmp_path / "c.json"
    file.write_text(text)
    with pytest.raises(EngineError, match=re.escape(message)):
        read_items(file)


def test_an_empty_catalogue_an_unknown_skill_and_a_second_id_are_refused(tmp_path):
    file = tmp_path / "c.csv"
    for rows, message in (
        ("", "from 1 to 1,000,000 items; got 0"),
        ("q,additon\n", "item 'q', skills_assessed: the graph has no skill 'additon'; did you mean 'addition'"),
        ("q,addition\nq,counting\n", "has the item 'q' more than once"),
    ):
        file.write_text("id,skills_assessed\n" + rows)
        with pytest.raises(EngineError, match=message) as caught:
            Catalogue.read(file, GRAPH)
        assert str(caught.value).startswith(f"{file}: ")


def test_a_missing_file_is_named_with_a_similar_one(tmp_path):
    (tmp_path / "items.csv").write_text("id\n")
    with pytest.raises(EngineError, match=r"there is no such file; did you mean .*items\.csv"):
        read_items(tmp_path / "item.csv")
    with pytest.raises(EngineError, match="there is no such file"):
        read_items(tmp_path / "item.json")
    with pytest.raises(EngineError, match="there is no such file"):
        read_graph(tmp_path / "nix.toml")


def test_files_lead_not_out_of_a_directory(tmp_path):
    outside, folder = tmp_path / "c.csv", tmp_path / "d"
    outside.write_text(TEXT)
    folder.mkdir()
    (folder / "c.csv").symlink_to(outside)
    (folder / "g.json").symlink_to(outside)
    for read, name in product((read_items, read_graph), ("c.csv", "g.json")):
        with pytest.raises(EngineError, match="outside of"):
            read(folder / name, inside=folder)
    os.mkfifo(folder / "p.toml")
    with pytest.raises(EngineError, match="a named pipe"):
        read_graph(folder / "p.toml", inside=folder)


# ── round trips ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(3))
def test_written_items_and_graphs_read_back_equal(seed, tmp_path):
    graph, items = random_course(seed)
    random = np.random.default_rng(seed)
    numbers = random.normal(size=len(items)).tolist()
    items = [
        {**item, "difficulty": number if number > 0 else None} for item, number in zip(items, numbers, strict=True)
    ]
    check_round_trip(Catalogue(items, graph), tmp_path, (".csv", ".csv"))


@pytest.mark.parametrize("name", ["a;b", "a,b", "a|b", " a", "a "])
def test_names_that_a_cell_does_not_keep_are_written_as_json(name, tmp_path):
    catalogue = Catalogue([Item("q", (name,), (name, "sums"))], {"sums": [name], name: []})
    check_round_trip(catalogue, tmp_path, (".json", ".json"))
    suffix = ".json" if name.strip() != name or not name.isprintable() else ".csv"
    check_round_trip(Catalogue([Item(name, ("sums",), ("sums",))], {"sums": []}), tmp_path, (".csv", suffix))


def test_other_names_are_written_as_tables(tmp_path):
    names = ["=1+1", '"', "#x", "ä", "1", "a b", "\\", "'"]
    items = [Item(name, (name,), (name,)) for name in names]
    check_round_trip(Catalogue(items, {name: [] for name in names}), tmp_path, (".csv", ".csv"))


def check_round_trip(catalogue, folder, suffixes):
    """Check that graph and items are written with these suffixes, and read back equal."""
    (graph_suffix, graph), (items_suffix, items) = graph_file(catalogue.graph), items_file(catalogue.items)
    assert (graph_suffix, items_suffix) == suffixes
    (folder / f"graph{graph_suffix}").write_bytes(graph)
    (folder / f"items{items_suffix}").write_bytes(items)
    found = Catalogue.read(folder / f"items{items_suffix}", folder / f"graph{graph_suffix}")
    assert found.items == catalogue.items
    assert found.graph.prerequisites() == catalogue.graph.prerequisites()
    assert found.digest == catalogue.digest


# ── graphs ───────────────────────────────────────────────────────────────────────────────────────

GRAPH_FILES = {
    "g.csv": "skill,prerequisites\ncounting,\naddition,counting\nfractions,addition\nshapes,\n",
    "reversed.csv": "prerequisites;skill\n;counting\ncounting;addition\naddition;fractions\n;shapes\n",
    "pairs.csv": "child,parent\ncounting,\naddition,counting\nfractions,addition\nshapes,\n",
    "g.json": json.dumps(GRAPH),
    "g.toml": "counting = []\naddition = ['counting']\nfractions = ['addition']\nshapes = []\n",
}


@pytest.mark.parametrize("name", GRAPH_FILES)
def test_every_format_reads_the_same_graph(name, tmp_path):
    (tmp_path / name).write_text(GRAPH_FILES[name])
    assert read_graph(tmp_path / name).prerequisites() == GRAPH
    catalogue = Catalogue(ITEMS, GRAPH)
    assert Catalogue(ITEMS, read_graph(tmp_path / name)).digest == catalogue.digest


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "g.csv",
            "skill,needs\na,\n",
            "expected the columns skill and prerequisites, or parent and child; got skill, ne",
        ),
        ("g.csv", "skill,prerequisites\n,a\na,\n", "line 2, column skill: the cell is empty; expected a skill"),
        ("g.csv", "skill,prerequisites\na,\nb,a\nb,\n", "line 4: the skill 'b' also has line 3; write all its prereq"),
        ("g.csv", "skill,prerequisites\nsums,\nb,sum\n", "line 3: the skill 'b' has the prerequisite 'sum', which has"),
        ("g.csv", "skill,prerequisites\na,c\nb,a\nc,b\n", "prerequisites form a cycle: "),
        ("g.csv", "skill,prerequisites\na,a\n", "'a' is its own prerequisite"),
        ("g.csv", "parent,child\na,\n", "line 2, column child: the cell is empty"),
        ("g.csv", "parent,child\na,b\nb,a\n", "prerequisites form a cycle"),
        ("g.csv", "skill,prerequisites\n", "at least one skill"),
        ("g.json", "[]", "expected a JSON object that maps each skill"),
        ("g.json", "{", "expected a JSON object"),
        ("g.json", '{"a": "b"}', "the prerequisites of 'a' must be a list; got 'b'"),
        ("g.json", '{"a": [3]}', "3"),
        ("g.json", '{"a": ["b"]}', "the graph has no skill 'b', which 'a' has as a prerequisite"),
        ("g.toml", "a = [\n", "expected a TOML file with lines such as"),
        ("g.toml", "[a]\nb = []\n", "the prerequisites of 'a' must be a list"),
    ],
)
def test_bad_graphs_are_refused(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(EngineError, match=re.escape(message)) as caught:
        read_graph(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)


# ── banks ────────────────────────────────────────────────────────────────────────────────────────


def test_a_bank_is_a_catalogue_of_its_questions_and_contents():
    bank = sample_bank(Config.read({"num_los": 4}))
    catalogue = Catalogue.of_bank(bank, Curriculum([(0, 1), ("1", "3")]))
    assert catalogue.graph.prerequisites() == {"0": [], "1": ["0"], "2": [], "3": ["1"]}
    assert len(catalogue) == bank.num_questions + bank.num_contents
    for k in (0, 7, bank.num_questions - 1):
        row, item = bank.question(k), catalogue.items[k]
        outcome = (bank.outcomes[row["learning_outcome"]],)
        assert (item.id, item.type, item.skills_taught, item.skills_assessed) == (
            row["id"],
            "question",
            outcome,
            outcome,
        )
        found = np.float32([item.discrimination, item.difficulty, item.guess])
        assert found.tolist() == [row["irt_a"], row["irt_b"], row["irt_c"]]
    for k in (0, bank.num_contents - 1):
        row, item = bank.content(k), catalogue.items[bank.num_questions + k]
        outcome = (bank.outcomes[row["learning_outcome"]],)
        assert item == Item(row["id"], outcome, (), "content", modality=row["modality"])
    assert Catalogue.of_bank(bank).graph.prerequisites() == {outcome: [] for outcome in bank.outcomes}
    assert Catalogue.of_bank(bank, None).digest == Catalogue.of_bank(bank, ()).digest


def test_a_bank_without_guessing_leaves_it_to_the_model():
    bank = sample_bank(Config.read({"num_los": 2, "irt": {"guessing_range": [0.0, 0.0]}}))
    assert {item.guess for item in Catalogue.of_bank(bank).items} == {None}


@pytest.mark.parametrize("edges", [[("0", "9")], [(0, 9)], [("0", "1"), (1, 0)]])
def test_a_curriculum_that_does_not_fit_the_bank_is_refused(edges):
    bank = sample_bank(Config.read({"num_los": 2}))
    with pytest.raises(EngineError, match="learning outcome|cycle"):
        Catalogue.of_bank(bank, edges)


def test_a_graph_of_a_curriculum_and_of_a_file_agree(tmp_path):
    (tmp_path / "g.csv").write_text("parent,child\na,b\nb,c\n")
    assert (
        SkillGraph.read(Curriculum.read(tmp_path / "g.csv")).prerequisites()
        == read_graph(tmp_path / "g.csv").prerequisites()
    )
