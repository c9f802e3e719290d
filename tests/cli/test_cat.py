"""The command `alsim cat`: adaptive tests in the terminal and simulated tests."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from terminal import Terminal

from alsim.cli import cat_dialog
from alsim.models import irt
from alsim.models.cat import CAT, Session

BANK = "item,a,b,c\n" + "".join(f"q{i},{1 + i % 4 / 4},{(i - 6) / 3:.2f},0.1\n" for i in range(13))
KEYED = """\
item,b,text,answer,options
sum,0,What is 2 + 2?,4,3|4|5
capital,0.1,What is the capital of France?,paris,
letter,0.2,Which letter is a vowel?,B,q|u|z
"""


@pytest.fixture
def cat(run, monkeypatch, tmp_path):
    """Run `alsim cat` in its directory with some replies: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bank.csv").write_text(BANK)
    (tmp_path / "keyed.csv").write_text(KEYED)

    def command(*arguments, replies="", file="bank.csv"):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{reply}\n" for reply in replies)))
        return run("cat", "--items", file, *arguments)

    return command


def report_of(tmp_path):
    return json.loads((tmp_path / "report.json").read_text())


def shown(out):
    """Return the names of the items that were shown."""
    return re.findall(r"^item \d+: (.+)$", out, re.MULTILINE)


# ── a test in the terminal ───────────────────────────────────────────────────────────────────────


@pytest.mark.ci
def test_a_test_is_administered_item_after_item(cat, tmp_path):
    status, out, err = cat("--max-items", 3, "--json", "report.json", replies="101")
    assert (status, err) == (0, "")
    items = irt.read_items(tmp_path / "bank.csv").item_parameters
    session, expected = CAT(items, max_items=3, stop_se=0.3).session(), []
    for correct in (1, 0, 1):
        expected += session.next_names()
        session.answer(correct)
    assert shown(out) == expected
    head, verdict = out.splitlines()[:3], out.splitlines()[-2:]
    rule = "At most 3 items per test, or until the standard error is 0.30 logits."
    assert head == ["bank.csv: 13 items", rule, "Each ability is an estimate ± its standard error."]
    estimate = f"ability {session.theta[0]:.2f} ± {session.se[0]:.2f} logits"
    assert verdict == [f"{estimate} after 3 items:", "stopped because the largest number of items, 3, was reached"]
    assert f"  correct? [1/0, q quit, u undo] 1\n  {estimate}\n" in out
    report = report_of(tmp_path)
    assert (report["ability"], report["se"]) == (session.theta[0], session.se[0])
    assert (report["reason"], report["true_ability"], report["seed"]) == ("max_items", None, 0)
    assert [(row["item"], row["correct"], row["reply"]) for row in report["answers"]] == list(
        zip(expected, (1, 0, 1), "101", strict=True)
    )
    assert report["settings"]["stop_se"] == 0.3
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.ci
def test_with_json_on_stdout_the_dialog_is_on_stderr(cat, tmp_path):
    status, out, err = cat("--max-items", 3, "--json", "-", replies="101")
    assert status == 0
    assert cat("--max-items", 3, "--json", "report.json", replies="101")[1:] == (err, "")
    assert json.loads(out) == report_of(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence", "reason"),
    [
        (("--stop-se", 0.8), "the standard error reached 0.80 logits", "stop_se"),
        (("--stop-se", 0, "--max-items", 99), "no item is left", "no item left"),
        (("--stop-se", 0, "--max-items", 2), "the largest number of items, 2, was reached", "max_items"),
    ],
)
def test_the_verdict_names_the_rule_that_ended_the_test(cat, tmp_path, arguments, sentence, reason):
    status, out, _ = cat(*arguments, "--json", "report.json", replies="10" * 7)
    assert status == 0
    assert out.endswith(f" items:\nstopped because {sentence}\n")
    assert report_of(tmp_path)["reason"] == reason


def test_invalid_answers_are_asked_again(cat):
    _, out, _ = cat("--max-items", 1, replies=["", "2", "wrong", " Y "])
    assert shown(out) == ["q7"]
    assert out.count("correct? [1/0, q quit, u undo]") == 4
    assert "  '2' is not an answer; type 1 or 0, u to undo, or q to quit\n" in out


def test_an_answer_can_be_undone(cat, tmp_path):
    _, out, _ = cat("--max-items", 3, "--randomesque", 4, "--json", "report.json", replies="u10uu111")
    assert "  there is no answer to undo\n" in out and out.count("  the last answer was removed\n") == 2
    report = report_of(tmp_path)
    assert [row["correct"] for row in report["answers"]] == [1, 1, 1]
    straight = cat("--max-items", 3, "--randomesque", 4, "--json", "straight.json", replies="111")
    assert straight[0] == 0
    assert json.loads((tmp_path / "straight.json").read_text()) == report


@pytest.mark.parametrize(("replies", "reason"), [("10q", "quit"), ("10", "end of input")])
def test_a_test_that_is_left_keeps_its_results(cat, tmp_path, replies, reason):
    status, out, err = cat("--json", "report.json", replies=replies)
    assert (status, err) == (0, "")
    sentence = {"quit": "you quit", "end of input": "the input ended"}[reason]
    hint = "The same command with --resume continues this test."
    assert re.search(rf"^ability .* logits after 2 items:\nstopped because {sentence}\n{hint}\n\Z", out, re.MULTILINE)
    assert hint not in cat("--json", "-", replies=replies)[2]
    report = report_of(tmp_path)
    assert (report["reason"], len(report["answers"])) == (reason, 2)


def test_a_test_without_answers_has_no_estimate(cat, tmp_path):
    status, out, _ = cat("--json", "report.json", "--plot", "test.png")
    assert status == 0
    assert "no ability was estimated, since no item was answered: the input ended\n" in out
    assert report_of(tmp_path)["ability"] is None
    assert not (tmp_path / "test.png").exists()


def test_answers_are_scored_by_the_key(cat, tmp_path):
    replies = ["B", "99", "c", "PARIS", "u", "London", "a", "q"]
    _, out, _ = cat("--stop-se", 0, "--json", "report.json", file="keyed.csv", replies=replies)
    assert "item 1: sum\n  What is 2 + 2?\n  A) 3\n  B) 4\n  C) 5\n  answer [q quit, u undo]: B\n" in out
    rows = {row["item"]: (row["reply"], row["correct"]) for row in report_of(tmp_path)["answers"]}
    # The replies u and q are options of the item "letter", so they are answers there: u is the key, B.
    assert rows["sum"] == ("B", 1)
    assert set(rows) == {"sum", "capital", "letter"}
    assert "is not an answer; type an option or its letter, u to undo, or q to quit" in out


@pytest.mark.parametrize(
    ("reply", "key", "options", "score"),
    [
        ("4", "4", ("3", "4"), 1),
        ("b", "4", ("3", "4"), 1),
        ("a", "4", ("3", "4"), 0),
        ("Four", "B", ("three", "four"), 1),
        ("c", "4", ("3", "4"), None),
        ("straße", "STRASSE", (), 1),
        ("", "x", (), None),
        (".5", "0.5", (), 1),
        ("0.50", ".5", ("0.25", "0.5"), 1),
        ("nan", "x", (), 0),
        ("y", "x", (), 0),
    ],
)
def test_a_reply_is_the_text_or_the_letter_of_an_option(reply, key, options, score):
    from alsim.cli.cat_dialog import _score

    assert _score(reply, key, options) == score


def test_names_and_texts_cannot_control_the_terminal(cat, tmp_path):
    (tmp_path / "odd.csv").write_text('item,b,text\n"[red]\x1b[31m",0,"first line\nsecond \x07line"\n')
    _, out, _ = cat(file="odd.csv", replies="1")
    assert "item 1: [red]\\x1b[31m\n  first line\n  second \\x07line\n" in out


def test_notes_about_the_columns_are_on_stderr(cat, tmp_path):
    (tmp_path / "mirt.csv").write_text('"","a1","d","g","u"\n"x",1,0.5,0,1\n"y",1,0,0,1\n')
    status, out, err = cat(file="mirt.csv", replies="10")
    assert status == 0
    assert err.splitlines() == [
        "alsim: mirt.csv: columns used: a = a1, c = g, d = u",
        "alsim: mirt.csv: column d is an intercept, as mirt writes it: b = -d / a",
    ]
    assert sorted(shown(out)) == ["x", "y"]


def test_the_record_of_an_examinee_is_not_replaced_without_force(cat, tmp_path):
    assert cat("--max-items", 1, "--json", "report.json", replies="1")[0] == 0
    first = report_of(tmp_path)
    status, out, err = cat("--max-items", 1, "--json", "report.json", replies="0")
    assert (status, out) == (2, "")
    cure = "--resume continues an unfinished test, and --force overwrites this record of a test"
    assert err == f"alsim: --json report.json already exists; {cure}\n"
    assert report_of(tmp_path) == first
    assert cat("--max-items", 1, "--json", "report.json", "--force", replies="0")[0] == 0
    assert report_of(tmp_path)["answers"][0]["correct"] == 0
    status, out, err = cat("--simulate", 0, "--json", "report.json")
    assert (status, out) == (2, "")
    assert err == (
        "alsim: --json report.json is the record of a test of a person; choose another file, or add --force\n"
    )
    assert cat("--simulate", 0, "--json", "report.json", "--force")[0] == 0
    for _ in range(2):  # simulated answers can be made again
        assert cat("--simulate", 0, "--json", "report.json")[0] == 0


def test_an_input_is_not_overwritten_under_another_name(cat, tmp_path):
    (tmp_path / "bank.csv").write_text(BANK)
    (tmp_path / "link.csv").symlink_to("bank.csv")
    os.link(tmp_path / "bank.csv", tmp_path / "hard.csv")
    for name in ("link.csv", "hard.csv"):
        status, _, err = cat("--simulate", 0, "--json", name)
        assert status == 2 and f"--json {name}: is also an input" in err
    assert (tmp_path / "bank.csv").read_text() == BANK


def test_a_file_without_an_option_is_the_items(run):
    status, out, err = run("cat", "bank.csv")
    assert (status, out) == (2, "")
    assert err.startswith("alsim: --items FILE is missing: table of item") and "; write --items bank.csv; see" in err


def test_a_prior_outside_the_bounds_is_refused_or_warned_of(cat):
    status, _, err = cat("--prior-mean", 5, "--simulate", 0)
    assert status == 2 and "--prior-mean is 5.0; expected an ability within the bounds (-4.0, 4.0)" in err
    status, _, err = cat("--prior-sd", 2, "--simulate", 0)
    assert status == 0
    assert err.startswith("alsim: 5% of the prior of ability is outside the bounds -4,4, within which estimates remain")
    for arguments in (("--prior-sd", 2, "--bounds=-8,8"), ("--prior-sd", 2, "--estimate", "ml"), ()):
        assert cat(*arguments, "--simulate", 0)[2] == ""


def test_an_estimate_at_a_bound_is_marked(cat, tmp_path):
    _, out, _ = cat("--estimate", "ml", "--max-items", 2, "--bounds=-3,3", replies="11")
    assert re.search(r"^  ability 3\.00 ± \S+ logits, at the upper bound$", out, re.MULTILINE)
    assert re.search(r"^ability 3\.00 ± \S+ logits, at the upper bound after 2 items:$", out, re.MULTILINE)
    arguments = ("--simulate", -3, "--examinees", 9, "--max-items", 2, "--estimate", "ml", "--json", "report.json")
    _, out, _ = cat(*arguments)
    report = report_of(tmp_path)
    at_bounds = sum(abs(theta) == 4 for theta in report["abilities"])
    assert at_bounds > 0 and report["summary"]["at_bounds"] == at_bounds
    assert re.search(rf"^examinees with an ability at a bound +{at_bounds}$", out, re.MULTILINE)


# ── resuming ─────────────────────────────────────────────────────────────────────────────────────

OPTIONS = ("--max-items", 6, "--randomesque", 3, "--seed", 5, "--json", "report.json")


@pytest.mark.parametrize("kept", range(6))
def test_a_resumed_test_equals_one_without_a_break(cat, tmp_path, kept):
    replies = "100110"
    assert cat(*OPTIONS, replies=replies)[0] == 0
    expected = report_of(tmp_path)
    (tmp_path / "report.json").unlink()
    assert cat(*OPTIONS, replies=[*replies[:kept], "q"])[0] == 0
    status, out, err = cat(*OPTIONS, "--resume", replies=replies[kept:])
    assert (status, err) == (0, "")
    assert report_of(tmp_path) == expected
    assert (f"Resumed after {kept} answer" in out) is (kept > 0)
    assert shown(out) == [row["item"] for row in expected["answers"][kept:]]
    assert out.count(f"item {kept + 1}: ") == 1


def test_an_answer_before_the_break_can_be_undone(cat, tmp_path):
    cat(*OPTIONS, replies="100110")
    expected = report_of(tmp_path)
    cat(*OPTIONS, "--force", replies="111q")
    assert "the last answer was removed" in cat(*OPTIONS, "--resume", replies="uu00110")[1]
    assert report_of(tmp_path) == expected


def test_the_record_has_every_answer_before_the_next_item_is_shown(cat, tmp_path, monkeypatch):
    records, read = [], cat_dialog._read

    def read_and_look(prompt):
        records.append(report_of(tmp_path) if (tmp_path / "report.json").exists() else None)
        return read(prompt)

    monkeypatch.setattr(cat_dialog, "_read", read_and_look)
    cat(*OPTIONS, replies="10u1q")
    assert records[0] is None
    assert [[row["correct"] for row in record["answers"]] for record in records[1:]] == [[1], [1, 0], [1], [1, 1]]
    assert {record["reason"] for record in records[1:]} == {"unfinished"}
    assert report_of(tmp_path) == records[-1] | {"reason": "quit"}


def test_ctrl_c_at_any_line_loses_no_recorded_answer(cat, tmp_path, monkeypatch):
    """The session and the list of answers change one after the other; the result is that of the list."""
    answer = Session.answer

    def answer_and_interrupt(session, correct, items=None):
        answer(session, correct, items)
        if items is not None and session.lengths[0] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Session, "answer", answer_and_interrupt)
    assert cat(*OPTIONS, replies="101")[0] == 130
    assert [row["reply"] for row in report_of(tmp_path)["answers"]] == ["1", "0"]


@pytest.mark.ci
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--max-items", 7),
            "--max-items is 7, but the unfinished test in report.json began with 6; write --max-items=6",
        ),
        (("--seed", 6), "--seed is 6, but the unfinished test in report.json began with 5; write --seed=5"),
        (
            ("--stop-se", 0),
            "--stop-se is 0, but the unfinished test in report.json began with 0.3; write --stop-se=0.3",
        ),
        (("--bounds=-5,4",), "--bounds is -5.0,4.0, but the unfinished test in report.json began with -4.0,4.0"),
        (("--estimate", "map"), "--estimate is map, but"),
        (("--items", "other.csv"), "the items of other.csv differ from those of the unfinished test in report.json"),
        (("--force",), "--resume continues a test, and --force replaces it; remove one of them"),
        (("--simulate", 0), "--resume continues a test of a person, and --simulate simulates one; remove one of them"),
        (("--json", "-"), "--resume needs the file of the unfinished test; add --json FILE"),
        (("--json", "new.json"), "--json new.json does not exist, so that no test can be resumed; remove --resume to"),
        (("--json", "keyed.csv"), "--json keyed.csv is not the record of a test in the terminal"),
        (("--json", "list.json"), "--json list.json is not the record of a test in the terminal"),
        (("--json", "simulated.json"), "--json simulated.json is not the record of a test in the terminal"),
        (("--json", "ended.json"), "the test of ended.json has ended (max_items); choose another file, or replace it"),
        (("--json", "edited.json"), "answer 2 in edited.json is to q0, but this version of the test selects "),
    ],
)
def test_a_test_that_differs_is_not_resumed(cat, tmp_path, arguments, message):
    (tmp_path / "other.csv").write_text(BANK.replace("q3,", "p3,"))
    cat(*OPTIONS, replies="10q")
    cat(*OPTIONS[:-1], "simulated.json", "--simulate", 0)
    cat(*OPTIONS[:-1], "ended.json", replies="101010")
    (tmp_path / "list.json").write_text("[1]")
    edited = report_of(tmp_path)
    edited["answers"][1]["item"] = "q0"
    (tmp_path / "edited.json").write_text(json.dumps(edited))
    files = {file: file.read_bytes() for file in tmp_path.iterdir()}
    status, out, err = cat(*OPTIONS, *arguments, "--resume", replies="1")
    assert (status, out) == (2, "")
    assert err.startswith("alsim: ") and err.count("\n") == 1 and message in err
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == files


# ── in a process of its own ──────────────────────────────────────────────────────────────────────


def process_of(tmp_path, *arguments):
    """Return the arguments of subprocess.Popen for a test in a process of its own."""
    (tmp_path / "bank.csv").write_text(BANK)
    command = [sys.executable, "-m", "alsim", "cat", "--items", "bank.csv", "--json", "report.json", *arguments]
    return {"args": command, "cwd": tmp_path, "env": os.environ | {"NUMBA_DISABLE_JIT": "1"}}


@pytest.mark.versionless
def test_answers_may_come_through_a_pipe(tmp_path):
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    out, err = subprocess.Popen(**process_of(tmp_path, "--max-items", "2"), **pipe).communicate(
        b"1\n\xff\n0\n", timeout=60
    )
    assert err == b""
    assert out.decode().endswith("stopped because the largest number of items, 2, was reached\n")
    assert [row["correct"] for row in report_of(tmp_path)["answers"]] == [1, 0]


@pytest.mark.versionless
@pytest.mark.skipif(not Path("/dev/stderr").exists(), reason="needs /dev/stderr")
def test_a_pipe_gets_one_report_at_the_end(tmp_path):
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = subprocess.Popen(**process_of(tmp_path, "--json", "/dev/stderr"), **pipe)
    out, err = running.communicate(b"1\n0\n", timeout=60)
    assert [row["correct"] for row in json.loads(err)["answers"]] == [1, 0]
    assert b"--resume" not in out


@pytest.mark.versionless
def test_ctrl_c_ends_the_test_with_its_results(tmp_path):
    with Terminal(**process_of(tmp_path)) as terminal:
        terminal.read_until("correct?")
        terminal.type("1\n")
        terminal.read_until("correct?")
        out = terminal.interrupt_until("it was interrupted")
        assert terminal.process.wait(timeout=60) == 130
    assert "Traceback" not in out and "after 1 item:" in out
    assert report_of(tmp_path)["reason"] == "interrupted"


@pytest.mark.ci
@pytest.mark.versionless
def test_a_killed_test_keeps_its_answers_and_is_resumed(tmp_path):
    """SIGKILL ends the process without any cleanup, as if the machine of the examinee failed."""
    options = ("--max-items", "4", "--seed", "3")
    # In a process, too: compiled estimates may differ in the last bit.
    subprocess.run(
        **process_of(tmp_path, *options, "--json", "whole.json"), input=b"1\n0\n1\n1\n", check=True, timeout=60
    )
    with Terminal(**process_of(tmp_path, *options)) as terminal:
        for reply in "10":
            terminal.read_until("correct?")
            terminal.type(f"{reply}\n")
        terminal.read_until("item 3: ")
        terminal.process.send_signal(signal.SIGKILL)
        assert terminal.process.wait(timeout=60) == -signal.SIGKILL
    assert report_of(tmp_path)["reason"] == "unfinished"
    assert [row["correct"] for row in report_of(tmp_path)["answers"]] == [1, 0]
    with Terminal(**process_of(tmp_path, *options, "--resume")) as terminal:
        assert "Resumed after 2 answers:" in terminal.read_until("correct?")
        terminal.type("1\n1\n")
        assert terminal.process.wait(timeout=60) == 0
    assert report_of(tmp_path) == json.loads((tmp_path / "whole.json").read_text())


# ── simulated tests ──────────────────────────────────────────────────────────────────────────────


def test_a_simulated_test_shows_the_true_ability(cat, tmp_path):
    status, out, _ = cat("--simulate", 0.5, "--max-items", 5, "--seed", 3, "--json", "report.json")
    assert status == 0
    items = irt.read_items(tmp_path / "bank.csv").item_parameters
    tests = CAT(items, max_items=5, stop_se=0.3).run([0.5], seed=3)
    _, _, _, header, *rows, verdict, reason = out.splitlines()
    assert header.split() == ["item", "answer", "ability,", "logits", "SE"]
    assert [row.split()[0] for row in rows] == tests.item_names[0].tolist()
    assert [row.split()[1] for row in rows] == ["correct" if x else "wrong" for x in tests.correct[0]]
    expected = f"ability {tests.theta[0]:.2f} ± {tests.se[0]:.2f} logits (true ability 0.50) after 5 items:"
    assert verdict == expected and reason == "stopped because the largest number of items, 5, was reached"
    assert report_of(tmp_path)["true_ability"] == 0.5


def test_names_of_choices_in_any_case_and_the_start_at_the_prior_mean(cat, tmp_path):
    for arguments, start in (((), 1.5), (("--start", "-1"), -1.0)):
        choices = ("--estimate", "MAP", "--select", "B-OPT", "--prior-mean", 1.5)
        assert cat("--simulate", "0", *choices, *arguments, "--json", "report.json")[0] == 0
        settings = report_of(tmp_path)["settings"]
        assert (settings["start"], settings["estimate"], settings["select"]) == (start, "map", "b-opt")


def test_many_simulated_tests_are_summarized(cat, tmp_path):
    status, out, _ = cat("--simulate", "normal", "--examinees", 40, "--prior-sd", 2, "--json", "report.json")
    assert status == 0
    items = irt.read_items(tmp_path / "bank.csv").item_parameters
    able = np.random.default_rng(0).normal(0, 2, 40)
    tests = CAT(items, stop_se=0.3, prior_sd=2.0).run(able, seed=0)
    rows = {parts[0]: parts[-1] for parts in (re.split(r"\s{2,}", line.strip()) for line in out.splitlines())}
    assert rows["bias of ability, logits"] == f"{tests.bias:.3f} ± {tests.bias_se:.3f}"
    assert rows["RMSE of ability, logits"] == f"{tests.rmse:.3f} ± {tests.rmse_se:.3f}"
    assert rows["mean test length, items"] == f"{tests.mean_length:.1f}"
    most = items.names[tests.exposure_rates.argmax()]
    assert rows[f"highest exposure, share of tests (item {most})"] == f"{tests.exposure_rates.max():.3f}"
    assert out.endswith(f"items on average: the typical error of ability is {tests.rmse:.2f} logits\n")
    report = report_of(tmp_path)
    assert report["true_abilities"] == able.tolist()
    assert report["summary"]["median_se"] == np.median(tests.se) and report["summary"]["at_bounds"] == 0
    assert type(report["summary"]["examinees"]) is int
    assert report["exposure"] == dict(zip(items.names, tests.exposure_rates, strict=True))
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_plot_is_a_picture(cat, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    (tmp_path / "money.csv").write_text("item,b\n$5 $_{ a very long name of an item,0\nx,1\n")
    assert cat("--simulate", "-1", "--plot", f"new/test.{suffix}", file="money.csv")[0] == 0
    first = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert (tmp_path / "new" / f"test.{suffix}").read_bytes().startswith(first)


def test_without_matplotlib_the_plot_names_its_installation(cat, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, err = cat("--simulate", 0, "--plot", "test.png")
    assert (status, out) == (2, "")
    assert "--plot needs matplotlib, which is not installed; install it with `pip install '.[plot]'`" in err


def test_a_fitted_model_is_administered(cat, tmp_path):
    a, unknown, ones = np.array([1.0, np.nan, 1.5]), np.full(3, np.nan), np.ones(3)
    fit = irt.IRTFit(
        **{"variant": "2pl", "items": np.array(["x", "y", "z"]), "a": a, "d": -a * [-1, 0, 0], "c": 0 * ones},
        **{f"se_{name}": unknown for name in "abcd"},
        **{"responses": 10 * ones, "correct": 5 * ones, "num_students": 10.0, "priors": irt.Priors(), "nodes": 61},
        **{"between": True, "log_likelihood": -1.0, "iterations": 1, "converged": True, "num_responses": 30},
    )
    fit.save(tmp_path / "fit.json")
    status, out, err = cat(file="fit.json", replies="10")
    assert (status, shown(out)) == (0, ["z", "x"])
    assert err.startswith("alsim: fit.json: items left out: y has no finite estimates")


# ── invalid input ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--examinees", 5), "--examinees 5 needs simulated answers; add --simulate normal, or --simulate ABILITY"),
        (("--examinees", 0), "--examinees is 0; expected an integer of at least 1"),
        (("--examinees", 2, "--simulate", 0, "--plot", "x.png"), "--plot draws one test, and --examinees is 2; remove"),
        (("--simulate", "high"), "--simulate is 'high'; expected an ability in logits, such as 0.5, or normal"),
        (("--simulate", "nan"), "--simulate is 'nan'; expected an ability"),
        (("--max-items", 0), "--max-items is 0; expected an integer of at least 1"),
        (("--max-items", 2**40), "--max-items is 1099511627776; expected an integer from 1 to 2147483647"),
        (("--min-items", 0), "--min-items is 0; expected an integer from 1 to 20, as --max-items is"),
        (("--min-items", 3, "--max-items", 2), "--min-items is 3; expected an integer from 1 to 2, as --max-items is"),
        (("--min-items", 30), "--min-items is 30; expected an integer from 1 to 20, as --max-items is"),
        (("--min-items", 14), "--min-items is 14; expected an integer from 1 to 13, the number of items of the bank"),
        (("--bounds", "4"), "--bounds is '4'; expected two abilities in logits, the lower first: --bounds=-4,4"),
        (("--bounds=1,-1",), "--bounds is '1,-1'"),
        (("--json", "bank.csv"), "--json bank.csv: is also an input or another output of this command; choose another"),
        (("--plot", "bank.csv"), "--plot bank.csv: is also an input or another output of this command"),
        (("--plot", "x.png", "--json", "./x.png"), "x.png: is also an input or another output of this command"),
        (("bank.csv",), "unexpected argument (bank.csv); see alsim cat --help"),
        (("--randomesque", 50), "--randomesque is 50; expected an integer from 1 to 13"),
        *(
            (("--stop-se", value), f"--stop-se is {value}; expected a positive number of logits, or 0 for no such rule")
            for value in ("-1.0", "nan", "inf")
        ),
        (("--start", 9), "--start is 9.0; expected an ability within the bounds (-4.0, 4.0)"),
        (("--prior-sd", 0), "--prior-sd is 0.0"),
        (("--seed", -1), "--seed is -1"),
        (("--columns", "a=disc"), "there is no column disc; the columns are item, a, b, c"),
        (("--columns", "disc"), "--columns must be COLUMN=NAME"),
        (("--json", "."), "is a directory; expected a file to write"),
        (("--plot", "test.gif"), "--plot must be a file with the ending .png, .svg, .pdf; got test.gif"),
    ],
)
def test_invalid_settings_are_refused_with_one_sentence(cat, arguments, message):
    status, out, err = cat(*arguments, replies="1")
    assert (status, out) == (2, "")
    assert err.startswith("alsim: ") and err.count("\n") == 1 and message in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("item,a,b\n", "there is no row below the header"),
        ("item,a,b\nx,-1,0\n", "line 2, column a: '-1'; expected a finite number > 0"),
        ("item,a,b,c\nx,1,0,1\n", "line 2, column c: '1'"),
        ("item,a,b\nx,1,0\nx,1,0\n", "'x' is also the name in line 2"),
        ("PK\x03\x04", "is a spreadsheet or another zip archive; save the sheet as CSV"),
        ("student,item,correct\n1,x,1\n", "there is no column b"),
    ],
)
def test_invalid_items_are_refused_with_one_sentence(cat, tmp_path, text, message):
    (tmp_path / "other.csv").write_text(text)
    status, out, err = cat(file="other.csv", replies="1")
    assert (status, out) == (2, "")
    assert err.startswith("alsim: other.csv") and err.count("\n") == 1 and message in err


def test_one_item_is_a_test(cat, tmp_path):
    (tmp_path / "one.csv").write_text("b\n0\n")
    status, out, _ = cat(file="one.csv", replies="1")
    assert (status, shown(out)) == (0, ["0"])
    assert out.startswith("one.csv: 1 item\nAt most 1 item per test,")
    for stop_se in ("0", "-0.0"):
        assert cat("--stop-se", stop_se, file="one.csv")[1].startswith("one.csv: 1 item\nAt most 1 item per test.\n")
    assert out.endswith("after 1 item:\nstopped because no item is left\n")
