"""Directories of engines: what they hold, how they are replaced, and what is refused."""

import csv
import itertools
import json
import os
import re
import signal
import time
from importlib import resources

import pytest
from courses import GRAPH, ITEMS, question

from alsim.engine import AdaptiveEngine, Catalogue, EngineError, StoreError, UnknownName
from alsim.engine.directory import GRAPHS, load_engine, read_directory, write_engine, write_example
from alsim.engine.engine_settings import EngineSettings
from alsim.models.student import BKTModel, EloModel

T0 = 1.8e9


@pytest.fixture
def shop(tmp_path):
    """The directory of the example."""
    write_example(tmp_path / "shop")
    return tmp_path / "shop"


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def rows(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


# ── the example ──────────────────────────────────────────────────────────────────────────────────


def test_the_example_is_small_and_complete(shop):
    assert names(shop) == ["catalogue.csv", "engine.toml", "skills.csv"]
    settings, catalogue = read_directory(shop)
    assert settings == EngineSettings("bkt", "guide", "sqlite:students.db", 0, 0.9)
    graph = {row["skill"]: [p for p in row["prerequisites"].split(";") if p] for row in rows(shop / "skills.csv")}
    assert catalogue.graph.prerequisites() == graph and len(graph) == 12
    items = rows(shop / "catalogue.csv")
    assert [item.id for item in catalogue.items] == [row["id"] for row in items] and len(items) == 60
    assert all(row["text"] for row in items)
    for skill in graph:  # each skill has what a student needs: questions from easy to hard, and a content
        own = [item for item in catalogue.items if item.skills_taught == (skill,)]
        difficulties = [item.difficulty for item in own if item.type == "question"]
        assert len(difficulties) == 4 and difficulties == sorted(difficulties)
        assert [item.type for item in own].count("content") == 1


def test_a_student_who_answers_correctly_masters_the_example_in_the_order_of_the_graph(shop):
    engine = load_engine(shop, store="memory")
    order = []
    for number in range(1000):
        found = engine.recommend("ada", 1, time=T0 + number)
        if not found:
            break
        item = engine.catalogue.items[engine.catalogue.number(found[0].item)]
        if item.type == "content":
            engine.process_content("ada", item.id, time=T0 + number)
        else:
            engine.process_response("ada", item.id, True, time=T0 + number)
        order += [skill for skill in engine.mastered_skills("ada") if skill not in order]
    assert len(order) == 12
    for skill, prerequisites in engine.catalogue.graph.prerequisites().items():
        assert all(order.index(p) < order.index(skill) for p in prerequisites)


def test_ten_lines_of_python_do_the_same(tmp_path, monkeypatch):
    """The lines are those of the page on the command line."""
    monkeypatch.chdir(tmp_path)
    page = (resources.files("alsim").parent / "docs/engine/command-line.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(from alsim\.engine\.directory import .*?)```", page, re.DOTALL)
    assert len(snippet.strip().splitlines()) <= 10
    namespace = {}
    exec(snippet, namespace)
    assert [*load_engine(tmp_path / "course").students()] == ["ada"]


# ── loading ──────────────────────────────────────────────────────────────────────────────────────


def test_the_default_store_lies_in_the_directory_wherever_the_process_runs(shop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with load_engine("shop").store as store:
        assert store.path == shop / "students.db" or store.path.resolve() == shop / "students.db"
    assert "students.db" in names(shop)
    with load_engine("shop", store="sqlite:other.db").store:
        assert (tmp_path / "other.db").exists()


def test_students_remain_when_an_engine_is_closed(shop):
    engine = load_engine(shop)
    shown = engine.recommend("ada", 3, time=T0)
    done = engine.process_response("ada", shown[0].item, True, time=T0 + 9, key="k")
    exported = engine.export("ada")
    engine.close()
    again = load_engine(shop)
    assert again.process_response("ada", shown[0].item, True, time=T0 + 9, key="k") == done
    assert again.export("ada") == exported


def test_overrides_replace_settings(shop):
    engine = load_engine(shop, store="memory", threshold=0.5, seed=7, model="irt")
    assert (engine.threshold, engine.seed, engine.store.kind) == (0.5, 7, "memory")
    assert type(engine.model.model).__name__ == "AbilityModel"
    with pytest.raises(EngineError, match="an engine has no argument 'modle'; expected model, policy, store, seed"):
        load_engine(shop, modle="irt")
    with pytest.raises(EngineError, match="threshold must be a mastery"):
        load_engine(shop, threshold=2)


def test_the_engine_of_a_directory_is_that_of_its_arguments(shop):
    settings, catalogue = read_directory(shop)
    direct = AdaptiveEngine(None, catalogue, store="memory", seed=settings.seed)
    engine = load_engine(shop, store="memory")
    assert engine.digest == direct.digest
    assert engine.recommend("ada", 5, time=T0) == direct.recommend("ada", 5, time=T0)


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def test_values_and_files_make_the_same_engine(tmp_path):
    (tmp_path / "g.toml").write_text("\n".join(f"{skill} = {json.dumps(p)}" for skill, p in GRAPH.items()))
    (tmp_path / "i.json").write_text(json.dumps(ITEMS))
    sources = {
        "values": (GRAPH, ITEMS),
        "files": (tmp_path / "g.toml", str(tmp_path / "i.json")),
        "mixed": (GRAPH, tmp_path / "i.json"),
        "catalogue": (None, Catalogue(ITEMS, GRAPH)),
    }
    for name, source in sources.items():
        made = write_engine(tmp_path / name, *source)
        assert made.digest == read_directory(tmp_path / name).catalogue.digest == Catalogue(ITEMS, GRAPH).digest
    assert names(tmp_path / "values") == ["catalogue.csv", "engine.toml", "skills.csv"]
    assert names(tmp_path / "files") == ["catalogue.json", "engine.toml", "skills.toml"]
    assert (tmp_path / "files" / "catalogue.json").read_bytes() == (tmp_path / "i.json").read_bytes()


def test_a_model_in_a_file_is_copied(tmp_path):
    skills = {skill: skill for skill in GRAPH}
    EloModel(skills, 0.25).save(tmp_path / "elo.npz")
    one_skill = [item for item in ITEMS if len(item["skills_taught"]) == 1]
    write_engine(tmp_path / "e", GRAPH, one_skill, model=tmp_path / "elo.npz")
    direct = AdaptiveEngine(GRAPH, one_skill, model=tmp_path / "elo.npz")
    (tmp_path / "elo.npz").unlink()
    assert load_engine(tmp_path / "e").digest == direct.digest
    (first,) = [name for name in names(tmp_path / "e") if name.startswith("model-")]
    assert re.fullmatch(r"model-[0-9a-f]{16}\.npz", first)
    BKTModel(skills).save(tmp_path / "bkt.npz")
    write_engine(tmp_path / "e", GRAPH, one_skill, model=tmp_path / "bkt.npz", force=True)
    (second,) = [name for name in names(tmp_path / "e") if name.startswith("model-")]
    assert second != first
    assert type(load_engine(tmp_path / "e").model.model).__name__ == "BKTModel"
    write_engine(tmp_path / "e", GRAPH, one_skill, force=True)
    assert not [name for name in names(tmp_path / "e") if name.startswith("model-")]


def test_nothing_is_overwritten_without_force_and_students_are_kept_with_it(shop):
    engine = load_engine(shop)
    engine.process_response("ada", "addition-1", True, time=T0)
    events = engine.events("ada")
    before = {name: (shop / name).read_bytes() for name in ("engine.toml", "skills.csv", "catalogue.csv")}
    for write in (lambda: write_example(shop), lambda: write_engine(shop, GRAPH, ITEMS)):
        with pytest.raises(EngineError, match=r"already has an engine; force=True \(--force\) replaces settings"):
            write()
    assert before == {name: (shop / name).read_bytes() for name in before}
    (shop / "notes.txt").write_text("mine")
    items = {**{item.id: item._asdict() for item in engine.catalogue.items}}
    graph = {**engine.catalogue.graph.prerequisites(), "a;b": []}
    write_engine(shop, graph, items.values(), threshold=0.6, model="elo", force=True)
    assert {"notes.txt", "students.db", "skills.json", "catalogue.csv"} <= {*names(shop)}
    assert "skills.csv" not in names(shop)
    changed = load_engine(shop)
    assert changed.events("ada")[0]["item"] == events[0]["item"] == "addition-1"
    assert changed.threshold == 0.6 and "a;b" in changed.mastery("ada")
    assert changed.replay() == 1


@pytest.mark.parametrize("name", ["engine.toml", "skills.csv", "catalogue.json"])
@pytest.mark.parametrize("force", [False, True])
def test_files_of_others_are_not_overwritten(name, force, tmp_path):
    (tmp_path / name).write_text("precious = 1\n")
    with pytest.raises(EngineError, match=f"{name} is not a file of an engine, so it is not overwritten; move it, or"):
        write_example(tmp_path, force=force)
    assert (tmp_path / name).read_text() == "precious = 1\n" and names(tmp_path) == [name]


def test_a_file_and_a_read_only_directory_are_refused(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(EngineError, match=r"is not a directory; choose"):
        write_example(tmp_path / "f")
    with pytest.raises(EngineError, match="cannot be written there"):
        write_example(tmp_path / "f" / "g")
    with pytest.raises(EngineError, match="is a file: expected the directory of an engine; alsim engine init or"):
        load_engine(tmp_path / "f")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "bkd"}, "there is no student model 'bkd'; did you mean 'bkt'"),
        ({"policy": "giude"}, "there is no policy 'giude' of the engine; did you mean 'guide'"),
        ({"store": "postgres://x"}, "store must be memory, sqlite:PATH or redis"),
        ({"store": "sqlite:"}, "store must be memory, sqlite:PATH or redis"),
        ({"store": 3}, "store must be memory, sqlite:PATH or redis"),
        ({"seed": -1}, "seed must be an integer in"),
        ({"threshold": float("nan")}, "threshold must be a mastery in"),
        ({"catalogue": []}, "from 1 to 1,000,000 items; got 0"),
        ({"graph": {"a": ["b"], "b": ["a"]}}, "cycle"),
        ({"graph": {"counting": []}}, "the graph has no skill"),
        ({"graph": 5}, "the graph must map at least one skill"),
    ],
)
def test_bad_arguments_write_nothing(arguments, message, tmp_path):
    with pytest.raises(EngineError, match=message):
        write_engine(tmp_path / "e", **{"graph": GRAPH, "catalogue": ITEMS, **arguments})
    assert not (tmp_path / "e").exists()


# ── bad directories ──────────────────────────────────────────────────────────────────────────────


def test_other_directories_are_refused(tmp_path, shop):
    with pytest.raises(EngineError, match=r"nix does not exist: expected the directory of an engine; alsim engine"):
        load_engine(tmp_path / "nix")
    with pytest.raises(EngineError, match=r"has no engine\.toml: expected the directory of an engine"):
        load_engine(tmp_path)
    with pytest.raises(EngineError, match="its path is invalid"):
        load_engine("a\0b")
    (shop / "skills.json").write_text("{}")
    with pytest.raises(EngineError, match=r"one of the files skills\.csv, .*; found skills\.csv and skills\.json; del"):
        load_engine(shop)
    for name in ("skills.json", "skills.csv"):
        (shop / name).unlink()
    with pytest.raises(EngineError, match="found none; alsim engine init"):
        load_engine(shop)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "engine.toml: format = None; this alsim reads 1: use the version of alsim that wrote it, or write"),
        ("# x\n\nformat = 2\n", "engine.toml, line 3: format = 2; this alsim reads 1"),
        ("format = true\n", "engine.toml, line 1: format = True; this alsim reads 1"),
        ("format = 1\npolcy = 'guide'\n", "engine.toml, line 2: unknown key 'polcy'; did you mean 'policy'"),
        ("format = 1\nx = 1\n", "line 2: unknown key 'x'; expected one of format, model, policy, store, seed, thresh"),
        ("format = 1\n[model]\na = 1\n", "line 2: model must be printable text; got {'a': 1}"),
        ("format = 1\nmodel = 3\n", "line 2: model must be printable text; got 3"),
        ("format = 1\nstore = ''\n", "line 2: store must be printable text; got ''"),
        ("format = 1\nseed = 1.0\n", "line 2: seed must be an integer in [0, 2**64); got 1.0"),
        ("format = 1\nseed = -1\n", "line 2: seed must be an integer in [0, 2**64); got -1"),
        ("format = 1\r\n\r\nthreshold = nan\r\n", "line 3: threshold must be a mastery in (0, 1]; got nan"),
        ("format = 1\nthreshold = '0.9'\n", "line 2: threshold must be a mastery in (0, 1]; got '0.9'"),
        ("format = 1\nmodel = \n", "engine.toml: Invalid value (at line 2, column 9); expected settings as alsim"),
        ("format = 1\nmodel = 'nix.json'\n", "there is no student model"),
        ("format = 1\nmodel = '../fit.json'\n", "engine.toml: the model '../fit.json' leads out of the directory"),
        ("format = 1\nstore = 'sqlite:../x.db'\n", "engine.toml: the store '../x.db' leads out of the directory"),
        ("format = 1\nstore = 'sqlite:x.db?mode=1'\n", "has the option synchronous only; got 'mode=1'"),
        ("format = 1\nstore = 'x'\n", "the address of a store must be memory, sqlite:PATH or redis"),
        ("format = 1\npolicy = 'best'\n", "there is no policy 'best'"),
    ],
)
def test_bad_settings_are_refused_with_their_line(text, message, shop):
    (shop / "engine.toml").write_text(text, newline="")
    with pytest.raises(EngineError, match=re.escape(message)) as caught:
        load_engine(shop)
    assert "\n" not in str(caught.value)
    assert not (shop.parent / "x.db").exists()


def test_the_store_may_have_options_and_an_absolute_path(shop, tmp_path):
    for address in ("sqlite:full.db?synchronous=full", f"sqlite:{tmp_path / 'elsewhere.db'}"):
        (shop / "engine.toml").write_text(f"format = 1\nstore = '{address}'\n")
        load_engine(shop).close()
    assert (shop / "full.db").exists() and (tmp_path / "elsewhere.db").exists()


def test_bad_graphs_catalogues_and_stores_are_named(shop, tmp_path):
    (shop / "skills.csv").write_text("skill,prerequisites\naddition,\n")
    with pytest.raises(UnknownName, match=r"catalogue\.csv: item 'subtraction-video', skills_taught: the graph has no"):
        load_engine(shop)
    write_example(tmp_path / "other")
    (tmp_path / "other" / "students.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="not a store of alsim"):
        load_engine(tmp_path / "other")
    (shop / "catalogue.csv").write_text("id,skills_assessed\nq,addition\n")
    assert len(load_engine(shop, store="memory").catalogue) == 1


# ── replacement at one moment ────────────────────────────────────────────────────────────────────


def write_versions(folder):
    """Replace an engine again and again: version k has the seed k, and tables and JSON in turn."""
    for k in itertools.count():
        skills = skills_of(k)
        items = [question(f"{skill} {n}", skill) for skill in skills for n in (0, 1)]
        write_engine(folder, dict.fromkeys(skills, []), items, seed=k, force=True)


def skills_of(seed):
    return [f"skill {seed}", "a;b"] if seed % 2 else [f"skill {seed}"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.ci)])
def test_a_kill_during_init_leaves_the_old_or_the_new_engine(kills, tmp_path):
    """Graph, catalogue and seed are of one moment after each SIGKILL, and while another process replaces them.

    The first process is killed when two versions have been read: that may take long on a busy machine.
    """
    folder, seen = tmp_path / "e", set()
    write_engine(folder, {"skill 0": []}, [question("skill 0 0", "skill 0"), question("skill 0 1", "skill 0")])
    for k in range(kills):
        child = os.fork()
        if child == 0:
            try:
                write_versions(folder)
            finally:
                os._exit(1)
        end = time.monotonic() + 0.1 + 0.0013 * (k % 20)
        while time.monotonic() < end or len(seen) < 2:
            seen.add(check_one_moment(folder))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        check_one_moment(folder)
    write_engine(folder, GRAPH, ITEMS, force=True)
    assert not [name for name in names(folder) if name.startswith(".")]


def check_one_moment(folder):
    """Check that an engine is of one moment, and return its seed."""
    settings, catalogue = read_directory(folder)
    assert [*catalogue.skills] == skills_of(settings.seed)
    assert [item.id for item in catalogue.items] == [f"{skill} {n}" for skill in catalogue.skills for n in (0, 1)]
    return settings.seed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_kill_before_the_journal_keeps_the_old_engine(shop):
    """The temporary files are complete then, and nothing of the new engine is readable."""
    before = read_directory(shop).catalogue.digest
    child = os.fork()
    if child == 0:
        from alsim.utils import file_groups

        file_groups.renamed_file = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
        write_engine(shop, GRAPH, ITEMS, force=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert read_directory(shop).catalogue.digest == before
    write_engine(shop, GRAPH, ITEMS, force=True)
    assert read_directory(shop).catalogue.digest == Catalogue(ITEMS, GRAPH).digest
    assert names(shop) == ["catalogue.csv", "engine.toml", "skills.csv"]
    assert not {*GRAPHS[1:]} & {*names(shop)}
