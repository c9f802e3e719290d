"""Commands `alsim engine`: output, reports, exit statuses, bad input, and several processes on one store."""

import csv
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import time
import types

import pytest
from rich.cells import cell_len

from alsim import cli
from alsim._version import __version__
from alsim.bank.files import save_bank
from alsim.bank.items import sample_bank
from alsim.cli import engine as commands
from alsim.config import Config
from alsim.engine import AdaptiveEngine, Catalogue
from alsim.engine.directory import load_engine, read_directory
from alsim.engine.models import DEFAULTS
from alsim.engine.recommenders import PRESETS

T0 = 1_800_000_000


@pytest.fixture
def shop(run, tmp_path, monkeypatch):
    """The working directory, with the engine `shop` of the example."""
    monkeypatch.chdir(tmp_path)
    assert run("engine", "example", "shop")[0] == 0
    return tmp_path / "shop"


@pytest.fixture
def engine(run):
    """Run a command of the group; return its lines, after a check of the exit status and of their width."""

    def command(*arguments, status=0):
        found, out, err = run("engine", *arguments)
        assert (found, err) == (status, "")
        assert max(map(cell_len, out.splitlines()), default=0) <= 80
        return out.splitlines()

    return command


def report_of(run, *arguments):
    """Return the report of a command, which is all that `--json -` prints."""
    status, out, err = run("engine", *arguments, "--json", "-")
    assert (status, err) == (0, "")
    return json.loads(out)


# ── a session ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
def test_a_session_of_a_student(engine, run, shop):
    assert engine("show", "shop")[-1] == "0 students with events."
    shown = engine("recommend", "shop", "ada", "-n", 2, "--time", T0)
    assert re.fullmatch(r"item +type +score +propensity +reason", shown[0])
    items = [line.split()[:4] for line in shown if line.split()[0].startswith("addition-")]
    assert [row[2:] for row in items] == [["0.700", "0.200"], ["0.700", "0.250"]]  # 1 - 0.3; one of 5, then of 4
    assert shown[-1] == "The policy guide chose 2 items of 5 candidates for ada."
    # BKT with the defaults p_init 0.3, p_guess 0.2, p_slip 0.1, p_learn 0.1 gives 0.6585…, and then learning
    posterior = 0.3 * 0.9 / (0.3 * 0.9 + 0.7 * 0.2)
    done = engine("respond", "shop", "ada", "addition-1", "--correct", "--seconds", 9.5, "--time", T0 + 60)
    assert done == [
        "skill     mastery  is mastered",
        f"addition    {posterior + (1 - posterior) * 0.1:.3f}           no",
        "Stored: ada answered addition-1 correctly (interaction 1). Ready for: addition.",
    ]
    studied = engine("respond", "shop", "ada", "addition-video", "--studied", "--time", "2027-01-15T08:02")
    assert studied[-1] == ("Stored: ada has studied addition-video (interaction 2). Ready for: addition.")
    exported = engine("export", "shop", "ada")
    assert exported[0].split() == ["time,", "UTC", "event", "item", "answer", "propensity"]
    assert [line.split()[2] for line in exported[1:5]] == [
        *(f"{kind}_shown" for kind in ("content" if "-video" in row[0] else "question" for row in items)),
        "answered",
        "content_studied",
    ]
    assert exported[3].startswith("2027-01-15 08:01:00  answered")
    assert exported[-1].startswith("ada has 4 events; --json FILE writes all that the engine has")
    known = engine("show", "shop", "ada")
    assert known[1].split() == ["addition", f"{load_engine(shop).mastery('ada')['addition']:.3f}", "ready"]
    assert known[-1] == "ada has mastered 0 of 12 skills, and is ready for addition, after 4 events."
    assert engine("show", "shop")[-1] == "1 student with events: ada."


def test_reports_are_what_python_returns(run, shop):
    memory = load_engine(shop, store="memory")
    expected = [r.to_dict() for r in memory.recommend("ada", 3, time=T0)]
    found = report_of(run, "recommend", "shop", "ada", "--number", 3, "--time", T0)
    assert found["written_by"] == f"alsim {__version__}"
    assert [{key: value for key, value in r.items() if key != "type"} for r in found["recommendations"]] == expected
    assert (found["student"], found["policy"], found["ready"]) == ("ada", "guide", ["addition"])
    done = report_of(run, "respond", "shop", "ada", "addition-2", "--wrong", "--time", T0 + 5)
    processed = memory.process_response("ada", "addition-2", False, time=T0 + 5)
    assert {key: done[key] for key in processed._fields} == processed._asdict()
    exported = report_of(run, "export", "shop", "ada")
    del exported["written_by"]
    assert exported == memory.export("ada")
    about = report_of(run, "show", "shop", "ada")
    assert about["mastery"] == memory.mastery("ada") and about["events"] == 4 and about["remedial"] == []
    about = report_of(run, "show", "shop")
    numbers = {key: about[key] for key in ("questions", "contents", "skills", "prerequisites", "students", "store")}
    assert numbers == {
        "questions": 48, "contents": 12, "skills": 12, "prerequisites": 15, "students": ["ada"],
        "store": "sqlite:students.db",
    }  # fmt: skip
    assert about["catalogue"] == memory.catalogue.digest


def test_a_student_who_has_mastered_everything_gets_no_item(engine, shop):
    loaded = load_engine(shop)
    for item in loaded.catalogue.items:
        if item.type == "question":
            for _ in range(3):
                loaded.process_response("eve", item.id, True, time=T0)
    loaded.close()
    assert engine("recommend", "shop", "eve") == ["There is no item for eve, who has mastered every skill."]


def test_a_repeated_key_has_one_effect_and_another_body_is_refused(engine, run, shop):
    arguments = ("respond", "shop", "ada", "addition-1", "--correct", "--key", "k1", "--time", T0)
    assert engine(*arguments) == engine(*arguments)
    assert len(load_engine(shop).events("ada")) == 1
    status, out, err = run("engine", *arguments, "--wrong")
    assert (status, out) == (2, "")
    assert err.startswith("alsim: expected one of --correct, --wrong and --studied; got --correct and --wrong")
    status, out, err = run("engine", "respond", "shop", "ada", "addition-1", "--wrong", "--key", "k1", "--time", T0)
    assert (status, out) == (2, "")
    assert "the idempotency key 'k1' was used before, for another item, answer" in err


@pytest.mark.ci
def test_delete_asks_and_leaves_a_tombstone(engine, run, shop, monkeypatch):
    engine("respond", "shop", "ada", "addition-1", "--correct")
    for reply in ("n\n", "", "yess\n"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(reply))
        lines = engine("delete", "shop", "ada", status=1)
        assert lines[0].startswith("Delete the 1 event of ada, for good? [y/N] ")
        assert lines[-1] == "Nothing was deleted: answer y, or pass --yes."
    assert len(load_engine(shop).events("ada")) == 1
    monkeypatch.setattr(sys, "stdin", io.StringIO("Y\n"))
    status, out, err = run("engine", "delete", "shop", "ada", "--json", "-")
    assert (status, json.loads(out)["deleted"]) == (0, True)
    assert err.startswith("Delete the 1 event of ada, for good? [y/N] ")  # the question is not part of the report
    for command in ("export", "show", "delete"):
        status, out, err = run("engine", command, "shop", "ada")
        assert (status, out) == (2, "") and "there is no student 'ada': it was deleted" in err
    status, out, err = run("engine", "respond", "shop", "ada", "addition-1", "--correct")
    assert status == 2 and "the student 'ada' was deleted, and its events are refused: use another name" in err
    engine("respond", "shop", "bob", "addition-1", "--correct")
    assert engine("delete", "shop", "bob", "--yes") == ["1 event of bob was deleted."]


def test_replay_and_recalibrate_follow_the_log(engine, run, shop):
    loaded = load_engine(shop)
    questions = [item.id for item in loaded.catalogue.items if item.type == "question"]
    for s in range(12):
        for k in range(8):
            loaded.process_response(f"s{s}", questions[(5 * s + 7 * k) % 48], (s + k) % 3 > 0, time=T0 + k)
    before = {name: loaded.mastery(name) for name in loaded.students()}
    loaded.close()
    lines = engine("replay", "shop")
    assert re.fullmatch(r"The states of 12 students were made again from the events in \d+\.\d s\.", lines[0])
    again = load_engine(shop)
    assert {name: again.mastery(name) for name in again.students()} == before
    digest = again.digest
    lines = engine("recalibrate", "shop", "--dry-run")
    assert lines[1].split() == ["log", "96", "responses", "of", "12", "students"]
    assert re.fullmatch(rf"  digest +{digest} now, [0-9a-f]{{16}} with the new fit", lines[5])
    assert " ".join(lines[6:]).endswith(
        "Nothing was changed: without --dry-run, the new model would be put into the store and used."
    )
    assert load_engine(shop).digest == digest
    found = report_of(run, "recalibrate", "shop", "--held-out", 0)
    assert (found["responses"], found["change"], found["digest_before"]) == (96, None, digest)
    assert load_engine(shop).digest == found["digest"] != digest


def test_serve_passes_its_options(run, shop, monkeypatch):
    calls = []
    fake = types.ModuleType("alsim.engine.server")
    fake.serve = lambda *arguments, **options: calls.append((arguments, options))
    monkeypatch.setitem(sys.modules, "alsim.engine.server", fake)
    assert run("engine", "serve", "shop", "--host", "::1", "--port", 0, "--workers", 3)[0] == 0
    ((arguments, options),) = calls
    assert str(arguments[0]) == "shop"
    assert {key: options[key] for key in ("host", "port", "workers", "insecure")} == {
        "host": "::1", "port": 0, "workers": 3, "insecure": False,
    }  # fmt: skip
    status, _, err = run("engine", "serve", "nix")
    assert status == 2 and "nix does not exist" in err and len(calls) == 1


# ── example and init ─────────────────────────────────────────────────────────────────────────────


def test_example_and_init_tell_what_they_wrote(engine, run, shop):
    assert engine("example", "again") == [
        "  directory  again",
        "  items      48 questions and 12 contents",
        "  graph      12 skills, 15 prerequisites",
        "  model      bkt",
        "  policy     guide, seed 0",
        "  mastered   from a mastery of 0.9",
        "  store      sqlite:students.db",
        "The engine is ready: alsim engine recommend again STUDENT recommends items to a",
        "student.",
    ]
    options = ("--model", "irt", "--seed", "2**40", "--threshold", 0.8, "--store", "sqlite:x.db?synchronous=full")
    engine("init", "own", "--graph", "shop/skills.csv", "--catalogue", "shop/catalogue.csv", *options)
    settings, catalogue = read_directory("own")
    assert settings[:6] == ("irt", "guide", "sqlite:x.db?synchronous=full", 2**40, 0.8, ())
    assert catalogue.digest == read_directory("shop").catalogue.digest
    engine("recommend", "own", "ada")
    assert (shop.parent / "own" / "x.db").exists()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        (
            "sqlite:{here}/none/s.db",
            "none/s.db: the store cannot be opened: create its directory, or choose a writable",
        ),
        (
            "sqlite:sub/s.db",
            "own/sub/s.db: the store cannot be opened: create its directory, or choose a writable path",
        ),
        ("sqlite:{here}/shop/skills.csv", "shop/skills.csv: the file is not a store of alsim: choose another path"),
    ],
)
def test_init_checks_the_store(run, shop, address, sentence):
    files = ("--graph", "shop/skills.csv", "--catalogue", "shop/catalogue.csv")
    status, out, err = run("engine", "init", "own", *files, "--store", address.format(here=shop.parent))
    assert (status, out) == (2, "") and sentence in " ".join(err.split())
    assert not (shop.parent / "own").exists()


def test_init_from_a_bank_has_its_items_and_curriculum(engine, shop):
    bank = sample_bank(Config.read({"num_los": 3}))
    save_bank(bank, "bank")
    (shop.parent / "c.toml").write_text("num_los = 3\ncurriculum = [[0, 1], [1, 2]]\n")
    assert engine("init", "of-bank", "--bank", "bank", "--config", "c.toml")[1:3] == [
        f"  items      {bank.num_questions} questions and {bank.num_contents} contents",
        "  graph      3 skills, 2 prerequisites",
    ]
    assert read_directory("of-bank").catalogue.digest == Catalogue.of_bank(bank, [(0, 1), (1, 2)]).digest
    with open("of-bank/catalogue.csv", newline="") as stream:
        assert next(csv.DictReader(stream))["discrimination"] == str(bank.questions.irt_a[0])
    engine("init", "plain", "--bank", "bank", "--model", "elo")
    assert read_directory("plain").catalogue.graph.prerequisites() == {"0": [], "1": [], "2": []}
    assert "0" in engine("recommend", "plain", "ada", "-n", 1)[1]


def test_a_fit_of_a_command_is_a_model(engine, run, shop):
    rows = [f"s{s},{skill},{(s * k) % 2}" for s in range(9) for k, skill in enumerate(("a", "b", "a", "b"))]
    (shop.parent / "log.csv").write_text("student,skill,correct\n" + "\n".join(rows) + "\n")
    assert run("fit", "bkt", "log.csv", "--out", "fit.json")[0] == 0
    (shop.parent / "g.json").write_text('{"a": [], "b": ["a"]}')
    items = [{"id": skill * 2, "skills_taught": [skill], "skills_assessed": [skill]} for skill in "ab"]
    (shop.parent / "i.json").write_text(json.dumps(items))
    engine("init", "fitted", "--graph", "g.json", "--catalogue", "i.json", "--model", "fit.json")
    direct = AdaptiveEngine({"a": [], "b": ["a"]}, items, model="fit.json")
    os.remove("fit.json")
    assert load_engine("fitted").mastery("ada") == direct.mastery("ada") != {"a": 0.3, "b": 0.3}


@pytest.mark.ci
def test_init_replaces_with_force_only_and_keeps_the_students(engine, run, shop):
    engine("respond", "shop", "ada", "addition-1", "--correct")
    again = ("init", "shop", "--graph", "shop/skills.csv", "--catalogue", "shop/catalogue.csv", "--model", "elo")
    for arguments in (("example", "shop"), again):
        status, out, err = run("engine", *arguments)
        assert (status, out) == (2, "")
        cure = "--force replaces settings, graph and catalogue, and keeps the students"
        assert err == f"alsim: shop already has an engine; {cure}\n"
    engine(*again, "--force")
    assert "after 1 event." in engine("show", "shop", "ada")[-1]
    assert type(load_engine("shop").model.model).__name__ == "EloModel"


# ── bad input ────────────────────────────────────────────────────────────────────────────────────

BAD = [
    ("recommend nix ada", "nix does not exist: expected the directory of an engine; alsim engine init or"),
    ("recommend . ada", ". has no engine.toml: expected the directory of an engine"),
    ("recommend shop ada -n 0", "--number must be an integer from 1 to 1,000; got 0"),
    ("recommend shop ada -n x", "must be an integer; got 'x'"),
    ("recommend shop ada --time tomorrow", "--time must be seconds since 1970, or a time such as"),
    ("recommend shop ada --time nan", "--time must be seconds since 1970"),
    ("recommend shop ada --time 1e15", "--time must be seconds since 1970, or a datetime, from 1970 to 2999"),
    ("recommend shop ''", "the name of a student must be text of 1 to 256 printable characters"),
    ("respond shop ada addition-9 --correct", "the catalogue has no item 'addition-9'; did you mean 'addition-"),
    ("respond shop ada addition-1", "expected one of --correct, --wrong and --studied; got none: pass one of them"),
    ("respond shop ada addition-1 --studied", "the item 'addition-1' is a question"),
    ("respond shop ada addition-video --wrong", "the item 'addition-video' is a content: report that it was studied"),
    ("respond shop ada addition-1 --wrong --seconds -3", "--seconds must be a number of at least 0"),
    ("respond shop ada addition-1 --wrong --seconds nan", "--seconds must be a number of at least 0"),
    ("respond shop ada addition-1 --wrong --key ''", "--key must be text of 1 to 256 printable characters"),
    ("export shop eve", "there is no student 'eve': it has no events"),
    ("show shop eve", "there is no student 'eve': it has no events"),
    ("delete shop eve --yes", "there is no student 'eve': it has no events"),
    ("recalibrate shop", "response"),
    ("init x --graph shop/skills.csv", "--catalogue is missing: pass --graph FILE and --catalogue FILE, or --bank"),
    ("init x --catalogue shop/catalogue.csv", "--graph is missing: pass --graph FILE and --catalogue FILE"),
    ("init x --bank nix", "a bank must be a directory with"),
    ("init x --bank b --graph shop/skills.csv", "--bank has graph and items: remove --graph and --catalogue, or --ba"),
    ("init x --config c.toml --graph shop/skills.csv", "--config has the curriculum of a bank: add --bank, or remove"),
    ("init x --graph nix.csv --catalogue shop/catalogue.csv", "nix.csv: there is no such file"),
    ("init x --graph cycle.csv --catalogue shop/catalogue.csv", "cycle.csv: the graph: prerequisites form a cycle: "),
    ("init x --graph shop/skills.csv --catalogue empty.csv", "empty.csv: the catalogue must have from 1 to 1,000,000"),
    ("init x --graph shop/skills.csv --catalogue bad.csv", "bad.csv, line 3: item 'r': guess must be a probability"),
    ("init x {files} --model bkd", "there is no student model 'bkd'; did you mean 'bkt'?"),
    ("init x {files} --model shop/skills.csv", "shop/skills.csv"),
    ("init x {files} --policy giude", "there is no policy 'giude' of the engine; did you mean 'guide'?"),
    ("init x {files} --threshold 0", "--threshold must be a mastery in (0, 1]; got 0"),
    ("init x {files} --seed -1", "--seed must be an integer in [0, 2**64); got -1"),
    ("init x {files} --store memory", "--store memory forgets the students when a command ends; use sqlite:PATH"),
    ("init x {files} --store mysql:x", "--store must be memory, sqlite:PATH or redis://HOST:PORT/DB; got 'mysql:x'"),
]


@pytest.mark.heavy
@pytest.mark.parametrize(("line", "message"), BAD, ids=[line for line, _ in BAD])
def test_bad_input_is_one_sentence_and_changes_nothing(line, message, run, shop):
    files = {
        "cycle.csv": "skill,prerequisites\na,b\nb,a\n",
        "empty.csv": "id,skills_assessed\n",
        "bad.csv": "id,skills_assessed,guess\nq,addition,0.2\nr,addition,7\n",
    }
    for name, text in files.items():
        (shop.parent / name).write_text(text)
    arguments = line.format(files="--graph shop/skills.csv --catalogue shop/catalogue.csv").split()
    status, out, err = run("engine", *(argument.replace("''", "") for argument in arguments))
    assert (status, out) == (2, "")
    assert err.startswith("alsim: ") and err.count("\n") == 1
    assert message in err
    assert not (shop.parent / "x").exists()
    assert [*load_engine(shop).students()] == []


def test_a_response_out_of_order_is_refused(engine, run, shop):
    engine("respond", "shop", "ada", "addition-1", "--correct", "--time", "2026-02-03T09:30")
    status, out, err = run("engine", "respond", "shop", "ada", "addition-1", "--correct", "--time", "2026-02-03T09:29")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "is 60.0 s earlier than its last one" in err and len(load_engine(shop).events("ada")) == 1
    engine("respond", "shop", "ada", "addition-1", "--wrong", "--time", "2026-02-03T10:30+01:00")  # the same moment


@pytest.mark.ci
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("engine.toml", "format = 2\n", "shop/engine.toml, line 1: format = 2; this alsim reads 1: use the version of"),
        ("engine.toml", "format = 1\npolcy = ''\n", "shop/engine.toml, line 2: unknown key 'polcy'; did you mean"),
        ("skills.csv", "skill,prerequisites\na,b\nb,a\n", "shop/skills.csv: the graph: prerequisites form a cycle"),
        ("catalogue.csv", "id,skills_assessed\nq,adition\n", "the graph has no skill 'adition'; did you mean"),
        ("students.db", "no database, but a text that is longer than one hundred characters, as SQLite reads them " * 9,
         "shop/students.db: the file is not a store of alsim: choose another path"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["recommend shop ada", "show shop", "replay shop", "delete shop ada --yes"])
def test_a_damaged_directory_is_named(command, name, text, message, run, shop):
    (shop / name).write_text(text)
    status, out, err = run("engine", *command.split())
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_long_and_odd_names_fit_the_page(run, engine, shop):
    names = ["x" * 256, "名前" * 30, "[red]a[/red]", "tab"]
    items = [{"id": name, "skills_taught": [name], "skills_assessed": [name]} for name in names]
    (shop.parent / "i.json").write_text(json.dumps(items))
    (shop.parent / "g.json").write_text(json.dumps({name: [] for name in names}))
    engine("init", "odd", "--graph", "g.json", "--catalogue", "i.json")
    for command in ("recommend", "show", "export"):
        status, out, err = run("engine", command, "odd", "ä 日本")
        assert (status, err) == (0, "") and "[red]" in out
        # A word of a reason may be wider than the page, and nothing else.
        assert all(cell_len(line) <= 80 or " " not in line.strip() for line in out.splitlines())
    engine("respond", "odd", "ä 日本", "[red]a[/red]", "--wrong")


def test_the_names_that_completion_offers_are_those_that_exist():
    assert set(commands.MODELS) == set(DEFAULTS)
    assert set(commands.POLICIES) == set(PRESETS)


# ── several processes ────────────────────────────────────────────────────────────────────────────


def forked(*arguments):
    """Run a command of the group in a child process; return its process id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            sys.argv = ["alsim", "engine", *map(str, arguments)]
            sys.stdout = io.StringIO()
            cli.main()
        except SystemExit as ended:
            status = ended.code or 0
        finally:
            os._exit(status)
    return child


def status_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


FORKS = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.mark.ci
@pytest.mark.parametrize("rounds", [pytest.param(5, marks=FORKS), pytest.param(15, marks=[*FORKS, pytest.mark.ci])])
def test_two_processes_respond_at_the_same_time(rounds, run, shop):
    """Both answers are stored, the state is that of a replay, and one key has one effect."""
    for k in range(rounds):
        both = [forked("respond", shop, "ada", item, "--correct") for item in ("addition-1", "addition-2")]
        same = [forked("respond", shop, f"bob {k}", "addition-1", "--wrong", "--key", "k") for _ in range(2)]
        assert [status_of(child) for child in (*both, *same)] == [0, 0, 0, 0]
    loaded = load_engine(shop)
    assert all(len(loaded.events(f"bob {k}")) == 1 for k in range(rounds))
    assert sorted(event["item"] for event in loaded.events("ada")) == sorted(["addition-1", "addition-2"] * rounds)
    before = loaded.mastery("ada")
    loaded.replay()
    assert loaded.mastery("ada") == before


@pytest.mark.ci
@pytest.mark.parametrize("kills", [pytest.param(6, marks=FORKS), pytest.param(30, marks=[*FORKS, pytest.mark.ci])])
def test_a_killed_init_leaves_the_old_or_the_new_engine(kills, shop, tmp_path):
    """SIGKILL at moments over the whole duration of `init --force`; the next init then succeeds."""
    new = [{"id": "q", "skills_taught": ["a;b"], "skills_assessed": ["a;b"]}]
    (tmp_path / "i.json").write_text(json.dumps(new))
    (tmp_path / "g.json").write_text('{"a;b": []}')
    arguments = ("--graph", tmp_path / "g.json", "--catalogue", tmp_path / "i.json", "--force")
    old, expected = read_directory(shop).catalogue.digest, Catalogue(new, {"a;b": []}).digest
    start = time.monotonic()
    whole = shutil.copytree(shop, tmp_path / "whole")
    assert status_of(forked("init", whole, *arguments)) == 0
    duration = time.monotonic() - start
    for k in range(kills):
        folder = shutil.copytree(shop, tmp_path / f"copy {k}")
        child = forked("init", folder, *arguments)
        time.sleep(duration * k / kills)
        os.kill(child, signal.SIGKILL)
        assert status_of(child) in (0, -signal.SIGKILL)
        assert read_directory(folder).catalogue.digest in (old, expected)
        assert status_of(forked("init", folder, *arguments)) == 0
        assert sorted(os.listdir(folder)) == ["catalogue.json", "engine.toml", "skills.json"]
        shutil.rmtree(folder)


def test_a_store_that_is_full_or_locked_is_reported(run, shop, monkeypatch):
    from alsim.engine.stores import sqlite_link

    assert run("engine", "respond", "shop", "ada", "addition-1", "--correct")[0] == 0
    monkeypatch.setattr(sqlite_link, "PATIENCE", 0.05)
    blocker = sqlite3.connect(shop / "students.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    status, out, err = run("engine", "respond", "shop", "ada", "addition-1", "--correct")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "kept the store locked for 0.05 s, and nothing was changed: try again" in err
    blocker.execute("ROLLBACK")
    blocker.close()
    assert len(load_engine(shop).events("ada")) == 1
