"""alsim fit: arguments of the models, printed and written results, and refusals before the work."""

import csv
import itertools
import json
import math
import os
import re
import shlex
import sys
import types
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len

import alsim
from alsim.cli import output
from alsim.cli.fit_notes import _without_meaning
from alsim.cli.fit_tables import LAYOUTS
from alsim.models import Fit, score, score_errors

LOG = "user,kc,ok,when\n" + "".join(
    f"u{s},{'add' if (s + o) % 3 else 'sub[red]'},{(s * o) % 2},{o}\n" for s in range(6) for o in range(5)
)
COLUMNS = ("--columns", "student=user,skill=kc,correct=ok,order=when")


class Abilities(NamedTuple):
    theta: np.ndarray
    se: np.ndarray
    responses: np.ndarray


class Stub(Fit):
    """A fit with fixed predictions that records its arguments."""

    def __init__(self, model, arguments, log):
        self.model, self.arguments, self.log = model, arguments, log
        self.log_likelihood, self.iterations, self.converged, self.num_responses = -12.5, 7, True, len(log)

    def predict(self, responses):
        return np.where(responses.item == 0, 0.75, 0.25)

    def scores(self, responses):
        return Abilities(
            np.arange(responses.num_students) / 3, np.ones(responses.num_students), np.diff(responses.start)
        )

    def to_dict(self):
        return {"log_likelihood": self.log_likelihood, "responses": self.num_responses}

    @classmethod
    def from_dict(cls, content):
        raise KeyError("nothing")

    def half_lives(self, responses):
        return np.ones(3), np.ones(3)

    def table(self):
        names = [*self.log.skills.tolist(), "\x1b[31mred"]
        return [row(self.model, name) for name in names]


def row(model, name):
    """Return a row of estimates with the keys of a model."""
    keys = [column.key for column in LAYOUTS[model] if column.key not in ("responses", "skill", "item", "name", "of")]
    errors = {f"se_{key}": 0.0345678 for key in keys} if model in ("bkt", "irt", "pfa") else {}
    names = {"of": "skill", "name": name} if model in ("best-lr", "hlr") else {LAYOUTS[model][0].key: name}
    return names | dict.fromkeys(keys, 0.123456) | errors | {"responses": 1234}


@pytest.fixture
def fitted(monkeypatch):
    """Replace the models by stubs; return the list of their fits, in order."""
    made = []

    def module(name):
        def fit(responses, *, progress, **arguments):
            progress(1, 2, "half [bold]way")
            made.append(Stub(name.replace("_", "-"), arguments, responses))
            return made[-1]

        stub = types.ModuleType(f"alsim.models.{name}")
        stub.fit = fit
        return stub

    for name in ("bkt", "irt", "dkt", "pfa", "best_lr", "skill_mean", "hlr"):
        monkeypatch.setitem(sys.modules, f"alsim.models.{name}", module(name))
    return made


@pytest.fixture
def run(run, monkeypatch, tmp_path):
    """Run `alsim fit` in this process, in a directory with a log: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.csv").write_text(LOG)

    return partial(run, "fit")


def assert_refused(result, *messages):
    status, out, err = result
    assert (status, out) == (2, ""), result
    assert err.startswith("alsim: ")
    assert err.count("\n") == 1
    for part in messages:
        assert part in err


# ── arguments and results ────────────────────────────────────────────────────────────────────────

BKT = {"forgets": False, "bounded": True, "starts": 1, "seed": 0}
DKT = {"hidden": 128, "epochs": 40, "device": "cpu", "checkpoint": None, "seed": 0}


@pytest.mark.parametrize(
    ("model", "options", "arguments"),
    [
        ("bkt", [], BKT),
        ("bkt", ["--forgets", "--unbounded"], BKT | {"forgets": True, "bounded": False}),
        ("bkt", ["--starts", 5, "--seed", 3], BKT | {"starts": 5, "seed": 3}),
        ("irt", [], {"model": "2pl"}),
        ("irt", ["--model", "3pl"], {"model": "3pl"}),
        ("dkt", [], DKT),
        (
            "dkt",
            ["--hidden", 64, "--epochs", 2, "--seed", 1, "--device", "auto", "--checkpoint", "d"],
            {"hidden": 64, "epochs": 2, "seed": 1, "device": "auto", "checkpoint": Path("d")},
        ),
        ("pfa", [], {"partial_credit": False}),
        ("best-lr", ["--partial-credit"], {"partial_credit": True}),
        ("skill-mean", ["--partial-credit"], {"partial_credit": True}),
        ("hlr", [], {"guess": 0.0, "by_skill": True, "penalty": 1.0}),
        (
            "hlr",
            ["--guess", 0.2, "--shared", "--penalty", 0.5],
            {"guess": 0.2, "by_skill": False, "penalty": 0.5},
        ),
    ],
)
def test_options_are_passed_to_the_model(run, fitted, model, options, arguments):
    status, out, err = run(model, "log.csv", *COLUMNS, *options)
    assert (status, err) == (0, "")
    assert out.endswith("The fit converged after 7 " + ("epochs" if model == "dkt" else "iterations") + ".\n")
    assert (fitted[0].model, fitted[0].arguments) == (model, arguments)
    assert len(fitted[0].log) == 30
    assert f"{model}: 30 responses of 6 students, 2 {'items' if model == 'irt' else 'skills'}\n" in out
    assert "log-likelihood -12.500 nats\n" in out


def test_the_table_has_units_and_the_digits_of_the_standard_errors(run, fitted):
    _, out, _ = run("pfa", "log.csv", *COLUMNS)
    lines = out.splitlines()
    assert lines[0].split() == ["skill", "intercept", "per", "win", "per", "failure", "responses"]
    assert lines[1].split() == ["logits"] * 3
    assert lines[2].split() == ["sub[red]", "0.123±0.035", "0.123±0.035", "0.123±0.035", "1,234"]
    assert lines[4].split()[0] == "\\x1b[31mred"
    assert lines[5] == "±: standard error"
    assert "\x1b" not in out


@pytest.mark.ci
@pytest.mark.parametrize("model", ["bkt", "irt", "dkt", "pfa", "best-lr", "skill-mean", "hlr"])
def test_the_report_fits_80_columns(run, fitted, tmp_path, model):
    long = "a knowledge component of the sixth grade 理解 unit 3 "
    (tmp_path / "long.csv").write_text(LOG.replace("add", long * 3))
    status, out, _ = run(model, "long.csv", *COLUMNS, "--test", "long.csv")
    assert status == 0
    assert max(map(cell_len, out.splitlines())) <= 80
    assert "a knowledge" in out and "…" in out


@pytest.mark.parametrize("number", [10, 11, 1200])
def test_ten_rows_are_printed_and_the_others_counted(run, fitted, monkeypatch, number):
    monkeypatch.setattr(Stub, "table", lambda self: [row("bkt", f"skill {k}") for k in range(number)])
    _, out, _ = run("bkt", "log.csv", *COLUMNS)
    assert out.count("1,234\n") == 10
    assert out.index("skill 0 ") < out.index("skill 9 ")
    more = {
        10: None,
        11: "… and 1 more; --table FILE writes all\n",
        1200: "… and 1,190 more; --table FILE writes all\n",
    }
    assert more[number] in out if more[number] else "more" not in out


def test_values_without_errors_and_missing_values(run, fitted, monkeypatch):
    rows = [
        row("irt", "x"),
        row("irt", "y") | {"b": "", "se_b": ""},
        row("irt", "z") | {"se_b": math.nan, "b": -0.0001},
    ]
    rows = [r | {"c": 0, "se_c": "", "a": 12.5, "se_a": 3.25} for r in rows]
    monkeypatch.setattr(Stub, "table", lambda self: rows)
    lines = run("irt", "log.csv", *COLUMNS)[1].splitlines()
    assert lines[0].split() == ["item", "a", "b", "responses"]  # c is 0 for all items: it is not estimated
    assert lines[1].split() == ["1/logit", "logits"]
    assert lines[2].split() == ["x", "12.5±3.2", "0.123±0.035", "1,234"]
    assert lines[3].split() == ["y", "12.5±3.2", "-", "1,234"]
    assert lines[4].split() == ["z", "12.5±3.2", "0.000", "1,234"]


@pytest.mark.parametrize("name", ["all.csv", "all.parquet"])
def test_table_writes_all_rows(run, fitted, monkeypatch, tmp_path, name):
    rows = [row("irt", f"item {k}") for k in range(25)]
    rows[3] |= {"b": "", "se_b": math.nan}
    monkeypatch.setattr(Stub, "table", lambda self: rows)
    assert run("irt", "log.csv", *COLUMNS, "--table", f"deep/{name}")[0] == 0
    file = tmp_path / "deep" / name
    table = pd.read_csv(file) if name.endswith("csv") else pd.read_parquet(file)
    assert list(table) == list(rows[0])
    assert table["item"].tolist() == [f"item {k}" for k in range(25)]
    assert table["a"].tolist() == [0.123456] * 25
    assert np.isnan(table["b"][3]) and np.isnan(table["se_b"][3]) and table["b"].notna().sum() == 24


def test_a_report_is_written_as_json(run, fitted, tmp_path):
    status, out, _ = run("bkt", "log.csv", *COLUMNS, "--test", "log.csv", "--json", "deep/report.json")
    assert status == 0
    content = json.loads((tmp_path / "deep" / "report.json").read_text())
    assert content["model"] == "bkt"
    assert content["log"] == {
        "path": "log.csv",
        "rows": 30,
        "responses": 30,
        "students": 6,
        "items": 2,
        "skills": 2,
        "skipped": {},
        "study_events": 0,
        "duplicates": 0,
        "removed": 0,
        "recognised_columns": {},
    }
    assert (content["converged"], content["iterations"], content["log_likelihood"]) == (True, 7, -12.5)
    assert content["estimates"]["rows"] == 3
    assert content["estimates"]["columns"]["responses"] == {"n": 3, "mean": 1234, "min": 1234, "max": 1234}
    log = fitted[0].log
    scores = score(log.correct, fitted[0].predict(log))
    errors = score_errors(log.correct, fitted[0].predict(log), log.student)
    auc = content["test"]["auc"]
    assert (auc["mean"], auc["se"], auc["n"]) == (scores.auc, errors.auc, 6)
    half = 2.570582 * errors.auc  # Student's t with 5 degrees of freedom
    assert auc["ci"] == pytest.approx([scores.auc - half, scores.auc + half], abs=1e-6)
    assert set(content["test"]) == {"path", "responses", "in_sample", "auc", "rmse", "log_loss", "accuracy"}
    assert " ".join(out.split()).endswith(content["verdict"])


def test_undefined_numbers_of_a_report_are_null(run, fitted, tmp_path):
    (tmp_path / "test.csv").write_text("user,kc,ok,when\na,add,1,1\n")
    assert run("bkt", "log.csv", *COLUMNS, "--test", "test.csv", "--json", "report.json")[0] == 0
    test = json.loads((tmp_path / "report.json").read_text())["test"]
    assert test["auc"] == {"mean": None, "se": None, "ci": None, "n": 1}
    assert test["rmse"]["se"] is None and test["rmse"]["mean"] > 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"iterations": 0}, "The estimates are computed without iterations."),
        ({"converged": False}, "The fit did not converge within 7 iterations."),
        ({"converged": False, "model": "dkt"}, "within 7 epochs; a larger --epochs lets it continue."),
    ],
)
def test_the_last_line_is_a_verdict(run, fitted, monkeypatch, changes, sentence):
    original = Stub.__init__

    def changed(self, *arguments):
        original(self, *arguments)
        vars(self).update(changes)

    monkeypatch.setattr(Stub, "__init__", changed)
    _, out, _ = run(changes.get("model", "bkt"), "log.csv", *COLUMNS)
    assert " ".join(out.split()).endswith(sentence)


def test_skills_that_did_not_converge_or_are_at_a_bound_are_counted(run, fitted, monkeypatch):
    rows = [row("bkt", n) | {"converged": c, "at bounds": b} for n, c, b in (("x", "no", ""), ("y", "yes", "p_slip"))]
    monkeypatch.setattr(Stub, "table", lambda self: rows)
    _, out, _ = run("bkt", "log.csv", *COLUMNS)
    assert "note: 1 of 2 skills did not converge\n" in out
    assert "note: 1 of 2 skills has a parameter at a bound, which has no standard error\n" in out


def test_scores_of_a_test_are_printed_and_written_with_the_fit(run, fitted, tmp_path):
    (tmp_path / "test.csv").write_text(LOG.replace("u1,add", "w,mul"))
    status, out, err = run("bkt", "log.csv", *COLUMNS, "--test", "test.csv", "--out", "deep/fit.json")
    assert (status, err) == (0, "")
    test = alsim.models.read_responses(
        "test.csv", columns={"student": "user", "skill": "kc", "correct": "ok", "order": "when"}
    )
    scores = score(test.correct, fitted[0].predict(test))
    assert "test: test.csv, 30 responses of 7 students\n" in out
    assert f"AUC {scores.auc:.2f}" in " ".join(out.split())
    content = json.loads((tmp_path / "deep" / "fit.json").read_text())
    assert content == {
        "format": "alsim-fit",
        "version": 1,
        "model": "bkt",
        "log_likelihood": -12.5,
        "responses": 30,
        "test": scores._asdict(),
    }


def test_an_undefined_auc_is_named_and_null_in_json(run, fitted, tmp_path):
    (tmp_path / "test.csv").write_text("user,kc,ok,when\na,add,1,1\n")
    _, out, _ = run("bkt", "log.csv", *COLUMNS, "--test", "test.csv", "--out", "fit.json")
    assert "the AUC of the test is undefined, since all its responses are equal." in " ".join(out.split())
    assert "nan" not in out
    assert "AUC - -" in " ".join(out.split())
    assert json.loads((tmp_path / "fit.json").read_text())["test"]["auc"] is None


def test_a_pattern_counts_as_often_as_it_occurs(run, fitted, tmp_path):
    (tmp_path / "wide.csv").write_text("x,y,freq\n1,0,3\n0,1,2\n")
    _, out, _ = run("irt", "wide.csv", "--test", "wide.csv", "--out", "fit.json")
    assert "irt: 10 responses of 5 students, in 2 patterns, 2 items\n" in out
    assert "test: wide.csv, 10 responses of 5 students\n" in out
    scores = json.loads((tmp_path / "fit.json").read_text())["test"]
    expected = score([1, 0] * 3 + [0, 1] * 2, [0.75, 0.25] * 5)
    assert scores == expected._asdict()
    (tmp_path / "half.csv").write_text("x,y,freq\n1,0,0.5\n")
    assert_refused(
        run("irt", "wide.csv", "--test", "half.csv"),
        "the column freq of the held-out responses must contain integers; got 0.5",
    )


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_abilities_are_written_for_each_student(run, fitted, tmp_path, name):
    assert run("irt", "log.csv", *COLUMNS, "--scores", name)[0] == 0
    if name.endswith("csv"):
        with (tmp_path / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = pq.read_table(tmp_path / name).to_pylist()
    assert list(rows[0]) == ["student", "ability", "se", "responses"]
    assert [row["student"] for row in rows] == [f"u{s}" for s in range(6)]
    assert [float(row["ability"]) for row in rows] == [s / 3 for s in range(6)]
    assert {int(row["responses"]) for row in rows} == {5}


def test_a_dataset_is_fitted_directly(run, fitted, tmp_path):
    dataset = alsim.generate_dataset(3, 2, seed=1, out=tmp_path / "d")
    status, out, err = run("irt", "d", "--test", "d")
    assert (status, err) == (0, "")
    assert f"of 6 students, {fitted[0].log.num_items:,} items" in out
    assert len(fitted[0].log) == sum(c is not None for c in dataset.transitions["correct"].to_pylist())
    (tmp_path / "empty").mkdir()
    assert_refused(run("irt", "empty"), "holds no finished dataset")


@pytest.mark.heavy
@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_a_changed_byte_of_a_dataset_is_refused(run, fitted, tmp_path, file_format):
    for name in ("valid", "d"):
        alsim.generate_dataset(3, 2, seed=1, out=tmp_path / name, file_format=file_format)
    shard = next((tmp_path / "d" / "transitions").iterdir())
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    for arguments in (["d"], ["valid", "--test", "d"]):
        assert_refused(run("irt", *arguments), f"{shard.name} is damaged: its SHA-256 differs from")
    assert not fitted


@pytest.mark.ci
@pytest.mark.parametrize(
    "options",
    [
        ["--format", "long"],
        COLUMNS,
        ["--delimiter", ","],
        ["--encoding", "UTF-8"],
        ["--separator", "~~"],  # the default: it was passed all the same
        ["--missing", "-1"],
        ["--duplicates", "keep"],
        ["--skip-bad"],
    ],
)
def test_options_of_files_are_refused_for_a_dataset(run, fitted, tmp_path, options):
    (tmp_path / "d").mkdir()
    message = f"d is a dataset, but {options[0]} applies to response files only; remove it"
    assert_refused(run("irt", "d", *options), message)
    assert_refused(run("irt", "log.csv", "--test", "d", *options), message)
    assert_refused(
        run("irt", "d", "--skip-bad", *options) if options[0] != "--skip-bad" else run("irt", "d", *options, *COLUMNS),
        "apply to response files only; remove them",
    )
    assert not fitted


def test_bad_rows_are_refused_or_skipped_and_counted(run, fitted, tmp_path):
    (tmp_path / "bad.csv").write_text(LOG + "u7,add,maybe,1\nu7,,1,2\nu7,add,2,3\n")
    assert_refused(run("bkt", "bad.csv", *COLUMNS), "bad.csv, line 32, column ok: 'maybe'; expected 0 or 1")
    status, out, err = run("bkt", "bad.csv", *COLUMNS, "--skip-bad")
    assert status == 0
    assert "30 responses" in out
    assert "bad.csv: 2 skipped, correct is neither 0 nor 1; the first one: bad.csv, line 32" in err
    assert "bad.csv: 1 skipped, no skill" in err


def test_duplicates_are_reported_until_they_are_merged_or_dropped(run, fitted, tmp_path):
    (tmp_path / "twice.csv").write_text(LOG + "u5,mul,0,4\n")
    status, _, err = run("bkt", "twice.csv", *COLUMNS)
    assert status == 0
    assert err.startswith("alsim: twice.csv: 1 of 31 rows repeat a response, which reveals to a model answers")
    assert "line 32 repeats the response of line 31" in err
    for action, number in (("merge", 30), ("drop", 30)):
        status, out, err = run("bkt", "twice.csv", *COLUMNS, "--duplicates", action)
        assert (status, err) == (0, "")
        assert f"{number} responses" in out


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("1\n4\n1\n2\n4,5\n0,1\n", ["--format", "three-line"]),
        ("user#kc#ok\na#4#1\nb#4#0\nb#5#1\n", ["--delimiter", "#", "--columns", "student=user,skill=kc,correct=ok"]),
        ("student\tskill\tcorrect\na\t4\t1\nb\t4\t0\nb\t5\t1\n", ["--delimiter", "tab"]),
        ("4,5\n1,9\n0,1\n", ["--format", "wide", "--missing", "9"]),
        ("student,skill,correct\na,4,1\nb,4;5,0\nb,5,1\n", ["--separator", ";"]),
        ("student,skill,correct\né,4,1\nb,4,0\nb,5,1\n".encode("latin-1"), ["--encoding", "latin-1"]),
    ],
)
def test_logs_of_any_format(run, fitted, tmp_path, content, options):
    (tmp_path / "any.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    status, out, err = run("bkt", "any.csv", *options)
    assert (status, err) == (0, "")
    assert "3 responses of 2 students" in out
    assert fitted[0].log.skills.tolist() == ["4", "5"]


@pytest.mark.ci
def test_names_that_the_fit_does_not_know_are_counted_or_refused(run, fitted, tmp_path):
    """A test with none of the names of the fit would be scored as if it fitted."""
    head = "student,skill,item,correct\n"
    (tmp_path / "train.csv").write_text(head + "a,add,q1,1\na,mul,q2,0\nb,add,q1,0\nb,mul,q2,1\n")
    (tmp_path / "other.csv").write_text(head + "a,x,y1,1\nb,x,y2,0\n")
    (tmp_path / "some.csv").write_text(head + "a,add,q1,1\n" + "".join(f"b,x{k},y{k},0\n" for k in range(7)))
    for model, kind, unknown in (
        *((model, "skill", "x") for model in ("bkt", "dkt", "pfa", "skill-mean")),
        ("irt", "item", "y"),
        ("best-lr", "skill", "x"),
    ):
        fitted.clear()
        assert_refused(
            run(model, "train.csv", "--test", "other.csv"),
            f"other.csv: no {'skill or item' if model == 'best-lr' else kind} of the held-out responses is known to",
            "use the same names in both logs, or read them from other columns with columns= (--columns)",
        )
        assert not fitted
        status, out, _ = run(model, "train.csv", "--test", "some.csv", "--json", "report.json")
        note = (
            f"7 of 8 {kind}s of some.csv are unknown to the fit, which predicts them without estimates of their own: "
            f"{', '.join(unknown + str(k) for k in range(5))} and 2 more"
        )
        assert status == 0 and f"note: {note}" in " ".join(out.split())
        assert note in json.loads((tmp_path / "report.json").read_text())["notes"]
        assert "unknown" not in run(model, "train.csv", "--test", "train.csv")[1]


def test_responses_of_a_student_to_one_item_are_counted_in_a_note(run, fitted, tmp_path):
    (tmp_path / "log.csv").write_text("student,item,correct\na,x,1\na,x,1\na,y,0\nb,x,0\nb,y,1\nb,y,0\n")
    note = "note: 2 student-item pairs have several responses, which count as independent\n"
    assert note in run("irt", "log.csv")[1]
    assert note not in run("bkt", "log.csv")[1]  # which models repeated responses
    (tmp_path / "log.csv").write_text("student,item,correct\na,x,1\na,y,0\nb,x,0\nb,y,1\n")
    assert "several responses" not in run("irt", "log.csv")[1]


def test_names_of_item_models_in_any_case(run, fitted):
    status, _, err = run("irt", "log.csv", *COLUMNS, "--model", "3PL")
    assert (status, err) == (0, "") and fitted[0].arguments["model"] == "3pl"


def test_large_standard_errors_are_in_a_note_and_in_the_verdict(run, fitted, monkeypatch):
    rows = [row("irt", name) | {"a": 6.0, "se_a": 1.0} for name in ("fine", "wide b", "wide a", "none")]
    rows[1] |= {"se_b": 1.01}
    rows[2] |= {"se_a": 32.0}
    rows[3] |= {"se_a": "", "se_b": math.nan}
    monkeypatch.setattr(Stub, "table", lambda self: rows)
    out = " ".join(run("irt", "log.csv", *COLUMNS)[1].split())
    assert "of 2 of 4 items, whose estimates are unreliable: wide b, wide a;" in out
    assert out.endswith("The fit converged after 7 iterations, but 2 of 4 items have large standard errors.")


@pytest.mark.ci
def test_caveats_of_a_fit_are_in_the_verdict(run, tmp_path):
    answers = np.random.default_rng(0).integers(0, 2, (100, 3))
    lines = "".join(
        f"s{k},{i},{x}\n" for k, row in enumerate(answers.tolist()) for i, x in zip("xyz", row, strict=True)
    )
    (tmp_path / "log.csv").write_text("student,skill,correct\n" + lines)
    _, out, _ = run("bkt", "log.csv", "--json", "report.json")
    text, report = " ".join(out.split()), json.loads((tmp_path / "report.json").read_text())
    assert "iterations, but 3 of 3 skills are not identified" in report["verdict"] and report["verdict"] in text
    assert "*: not identified" in text and "note: 3 of 3 skills are not identified: x, y, z;" in text
    (tmp_path / "log.csv").write_text("x,y,z\n" + "0,0,1\n1,1,0\n0,0,0\n1,1,1\n" * 20)
    out = " ".join(run("irt", "log.csv")[1].split())
    assert re.search(r"iterations, but 2 of 3 items are at a bound( and .*)?\.$", out)


@pytest.mark.ci
@pytest.mark.parametrize("item_model", ["2pl", "3pl"])
def test_priors_and_information_criteria_are_reported(run, tmp_path, item_model):
    answers = np.random.default_rng(0).integers(0, 2, (40, 3))
    (tmp_path / "log.csv").write_text("x,y,z\n" + "".join(f"{a},{b},{c}\n" for a, b, c in answers.tolist()))
    status, out, _ = run("irt", "log.csv", "--model", item_model, "--json", "report.json")
    report, text = json.loads((tmp_path / "report.json").read_text()), " ".join(out.split())
    assert status == 0
    assert f"AIC {report['aic']:,.3f}, BIC {report['bic']:,.3f}" in text
    assert report["aic"] == pytest.approx((12 if item_model == "2pl" else 18) - 2 * report["log_likelihood"])
    note = "note: priors: log a ~ N(0, SD 0.5), c ~ Beta(5, 17); the log-likelihood, AIC and BIC exclude them"
    assert (note in text) == (item_model == "3pl")


def test_a_report_counts_the_students_that_patterns_stand_for(run, fitted, tmp_path):
    (tmp_path / "wide.csv").write_text("x,y,freq\n1,0,3\n0,,2\n")
    assert run("irt", "wide.csv", "--json", "report.json")[0] == 0
    log = json.loads((tmp_path / "report.json").read_text())["log"]
    assert (log["students"], log["patterns"], log["responses"]) == (5, 2, 8)


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "option"),
    [
        ("bkt", ["--model", "2pl"]),
        ("pfa", ["--scores", "s.csv"]),
        ("irt", ["--forgets"]),
        ("irt", ["--unbounded"]),
        ("dkt", ["--starts", 2]),
        ("irt", ["--seed", 0]),
        ("bkt", ["--hidden", 9]),
        ("best-lr", ["--epochs", 9]),
        ("skill-mean", ["--checkpoint", "d"]),
    ],
)
def test_options_of_other_models_are_refused(run, fitted, model, option):
    status, out, err = run(model, "log.csv", *COLUMNS, *option)
    assert (status, out) == (2, "")
    assert err.startswith(f"alsim: unknown option '{option[0]}'")
    assert f"fit {model} --help" in err
    assert not fitted


@pytest.mark.ci
def test_outputs_are_refused_before_the_fit(run, fitted, tmp_path):
    (tmp_path / "there.json").write_text("{}")
    (tmp_path / "there.csv").write_text("x")
    (tmp_path / "folder.csv").mkdir()
    for options, message in (
        (["--out", "there.json"], "--out there.json already exists; --force overwrites it"),
        (["--scores", "there.csv"], "--scores there.csv already exists; --force overwrites it"),
        (["--out", "folder.csv"], "is not a regular file; expected a file to write"),
        (["--out", "there.json/fit.json"], "cannot be written"),
        (["--scores", "scores.txt"], "expected a file name that ends in .csv, .parquet, .pq"),
        (["--table", "table.txt"], "expected a file name that ends in .csv, .parquet, .pq"),
        (["--table", "there.csv"], "--table there.csv already exists; --force overwrites it"),
        (["--table", "s.csv", "--scores", "s.csv"], "--table s.csv: is also an input or another output"),
        (["--json", "log.csv"], "--json log.csv: is also an input or another output of this command"),
        (["--json", "folder.csv"], "folder.csv is a directory; expected a file to write"),
        (["--json", "there.json/report.json"], "--json there.json/report.json cannot be written"),
        (["--out", "log.csv", "--force"], "is also an input or another output of this command"),
        (["--json", "s.csv", "--scores", "s.csv"], "is also an input or another output of this command"),
        (["--out", "/dev/full"], "is not a regular file; expected a file to write"),
    ):
        assert_refused(run("irt", "log.csv", *COLUMNS, *options), message)
    assert not fitted
    assert (tmp_path / "there.json").read_text() == "{}"
    assert run("irt", "log.csv", *COLUMNS, "--out", "there.json", "--scores", "there.csv", "--force")[0] == 0
    assert json.loads((tmp_path / "there.json").read_text())["model"] == "irt"


def test_a_fit_whose_replacement_was_interrupted_exists(run, fitted, tmp_path, monkeypatch):
    """The process was killed after the journal was written, before the file was renamed."""
    with monkeypatch.context() as patch:
        patch.setattr("alsim.utils.file_groups._complete", lambda folder, main: None)
        assert run("irt", "log.csv", *COLUMNS, "--out", "fit.json")[0] == 0
    assert not (tmp_path / "fit.json").exists()
    fitted.clear()
    assert_refused(run("irt", "log.csv", *COLUMNS, "--out", "fit.json"), "--out fit.json already exists; --force")
    assert not fitted
    assert json.loads((tmp_path / "fit.json").read_text())["model"] == "irt"
    assert not list(tmp_path.glob(".fit*"))


def test_the_name_of_a_fit_is_not_that_of_a_table(run, fitted):
    for name in ("out.csv", "out.parquet"):
        message = (
            f"--out {name}: is named like a table, but a fit is written as JSON; name it .json, or write the table"
        )
        assert_refused(run("irt", "log.csv", *COLUMNS, "--out", name), message, f"--table {name}")


@pytest.mark.ci
def test_a_variant_of_irt_and_an_option_of_another_model_are_explained(run, fitted):
    for name in ("rasch", "1pl", "2pl", "3pl"):
        assert_refused(run(name, "log.csv"), f"fit it with: alsim fit irt log.csv --model {name}\n")
    assert_refused(run("irt", "log.csv", "--forgets"), "'--forgets' of the model irt; it belongs to bkt: omit it")
    assert_refused(run("irt", "log.csv", "--seed=3"), "'--seed' of the model irt; it belongs to bkt and dkt: omit it")
    assert "--force" not in run("irt", "log.csv", "--forse")[2]


def test_abilities_are_said_to_be_eap(run, fitted):
    assert "abilities: s.csv, EAP (posterior means)" in run("irt", "log.csv", *COLUMNS, "--scores", "s.csv")[1]
    assert "EAP" in run("irt", "--help")[1]


def test_an_interrupted_fit_says_so_in_one_line(run, fitted, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["alsim.models.irt"], "fit", interrupted)
    assert run("irt", "log.csv", *COLUMNS) == (130, "", "alsim: interrupted\n")


def test_existing_weights_are_refused_before_the_fit(run, tmp_path):
    (tmp_path / "there.npz").write_text("dear")
    for out, message in (
        ("there.json", "--out, weights: there.npz already exists; --force overwrites it"),
        ("new.npz", "the JSON of a fit must not be named .npz, like its weights; got new.npz: use .json"),
    ):
        assert_refused(run("dkt", "nowhere.csv", "--out", out), message)
    assert (tmp_path / "there.npz").read_text() == "dear"


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_to(run, fitted, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert_refused(run("irt", "log.csv", *COLUMNS, "--out", "locked/fit.json"), "locked is read-only")


def test_a_test_that_cannot_be_read_is_refused_before_the_fit(run, fitted):
    assert_refused(run("bkt", "log.csv", *COLUMNS, "--test", "nowhere.csv"), "nowhere.csv: there is no such file")
    assert not fitted


def test_invalid_arguments_are_refused(run, fitted):
    assert_refused(run("bkt", "log.csv", "--columns", "student"), "--columns must be COLUMN=NAME")
    assert run("hmm", "log.csv")[0] == 2
    assert run("irt", "log.csv", "--model", "4pl")[0] == 2
    assert run("bkt", "log.csv", "--seed", -1)[0] == 2
    assert not fitted


@pytest.mark.parametrize("log", ["log.csv", "nowhere.csv", "folder", "folder/nowhere"])
def test_a_log_in_place_of_the_model_is_explained(run, fitted, tmp_path, log):
    (tmp_path / "folder").mkdir()
    models = "bkt, irt, dkt, pfa, best-lr, skill-mean or hlr"
    assert_refused(
        run(log, "--skip-bad"),
        f"{log} is not a model; name the model first: alsim fit MODEL {log}, MODEL being {models}\n",
    )


def test_a_misspelled_model_is_corrected(run, fitted):
    assert_refused(run("bkx", "log.csv"), "unknown model 'bkx'; did you mean 'bkt'?")
    assert_refused(
        run("hmm", "log.csv"), "unknown model 'hmm'; expected one of bkt, irt, dkt, pfa, best-lr, skill-mean, hlr"
    )
    assert_refused(run("bkt", "lgo.csv"), "lgo.csv: there is no such file; did you mean log.csv?")


def test_a_long_fit_prints_lines_if_stderr_is_not_a_terminal(run, fitted, monkeypatch):
    clock = itertools.count(0, 30)
    monkeypatch.setattr(output, "PERIOD", 30)
    monkeypatch.setattr(output, "monotonic", lambda: next(clock))
    assert run("bkt", "log.csv", *COLUMNS)[2] == "alsim: 1 of 2 steps of the fit after 60 s, half [bold]way\n"


def test_the_report_on_stdout_is_alone(run, fitted):
    status, out, _ = run("bkt", "log.csv", *COLUMNS, "--json", "-")
    assert (status, json.loads(out)["model"]) == (0, "bkt")


def test_columns_are_recognised_with_a_notice(run, fitted, tmp_path):
    (tmp_path / "log.csv").write_text("student_id,skill_name,is_correct\na,x,1\nb,x,0\n")
    status, _, err = run("bkt", "log.csv", "--json", "report.json")
    assert (status, err) == (
        0,
        "alsim: log.csv: columns recognised by their names: "
        "student='student_id', skill='skill_name', correct='is_correct'\n",
    )
    names = {"student": "student_id", "skill": "skill_name", "correct": "is_correct"}
    assert json.loads((tmp_path / "report.json").read_text())["log"]["recognised_columns"] == names


@pytest.mark.parametrize(
    ("content", "cure"),
    [
        ("usr,skil,corect\na,x,1\n", "--columns student=usr,correct=corect,skill=skil"),
        ("student,skill,ok\na,x,1\n", "--columns correct=ok"),
        ("Anon Student Id,KC (A),KC (B),correct\na,x,y,1\n", "--columns 'student=Anon Student Id,skill=KC (A)'"),
        ("student,item,topic,kc,is_correct\n", ""),
        ("student,skill,correct\na,x,1\na,x,maybe\n", "skip invalid rows with --skip-bad"),
        ("student,skill,correct\na,x,1\na,x\n", "skip such rows with --skip-bad"),
        ("student,skill,correct,date\na,x,1,9/28/2012\n", ""),
        ("student,skill,Correct,date\na,x,1,9/28/2012\n", "without order, with --columns correct=Correct,order="),
        ("q1,q2\n1,0\n1,9\n1,1\n", "or pass --missing=-1,9 if this value means no response"),
        ("q1,q2,q3\n9,1,0\n1,0,1\n0,1,1\n", "or pass --missing=-1,9 if this value means no response"),
        ("id,q1,q2,q3\na,x,1,0\nb,1,0,1\nc,0,1,1\n", "or pass --missing=-1,x if this value means no response"),
        (
            "q1,q2,q3\n2,1,0\n1,0,1\n0,1,1\n",
            "(only the column credit of a file with one row per response may have other scores); correct the cell, or",
        ),
        ("q1;q2;q3\n1,0;0,0;1,0\n1,0;0,0;1,0\n", "write numbers with a decimal point, or as 0 and 1"),
        ("q1 q2 q3\n1 0 1\n0 1 1\n", "its lines have 3 words; expected another delimiter; pass --delimiter ' '"),
        ("q1  q2 q3\n1   0  1\n0   1  1\n", "replace the spaces between cells by one comma each"),
        (
            "student,item,correct,order\na,x,1,1.1.2024 9:00\na,y,0,1.1.2024 9:01\n",
            "2024-05-02 10:01:30; convert the column, or read the log without order, with --columns order=",
        ),
        ("student,skill,correct\né,x,1\n".encode("latin-1"), "pass its encoding, such as --encoding latin-1"),
        (
            "student,skill,correct\na,x,yes\n",
            "write the answers as 0 and 1, or name another column with --columns correct=",
        ),
    ],
)
def test_errors_end_with_the_options_that_cure_them(run, fitted, tmp_path, content, cure):
    (tmp_path / "log.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = run("bkt", "log.csv")
    if cure:
        assert_refused(result, "alsim: log.csv", cure)
        assert "columns={" not in result[2] and "True" not in result[2]


def test_times_in_another_form_are_not_skipped_as_bad_rows(run, fitted, tmp_path):
    (tmp_path / "log.csv").write_text("student,item,correct,order\na,x,1,1.1.2024 9:00\na,y,0,1.1.2024 9:01\n")
    assert_refused(run("bkt", "log.csv", "--skip-bad"), "read the log without order, with --columns order=")
    assert run("bkt", "log.csv", "--columns", "order=")[0] == 0


def test_values_that_mean_no_response_are_proposed_with_those_passed_before(run, fitted, tmp_path):
    (tmp_path / "log.csv").write_text("id,q1,q2,q3\na,9,x,0\nb,1,0,1\nc,0,1,8\n")
    missing = "8,9,x"
    assert f"--missing {missing} if these" in run("bkt", "log.csv", "--missing", "8")[2]
    assert run("bkt", "log.csv", "--missing", missing)[0] == 0
    assert len(fitted[-1].log) == 6


def test_items_with_the_name_of_a_covariate_are_named(run, fitted, tmp_path):
    (tmp_path / "log.csv").write_text("id,Gender,q1,treat\na,1,1,0\nb,0,0,1\n")
    status, _, err = run("bkt", "log.csv")
    assert status == 0
    assert "items with the name of a covariate: Gender, treat; if they are not items, omit them with" in err
    assert run("bkt", "log.csv", "--columns", "Gender=,treat=")[2].count("covariate") == 0
    assert fitted[-1].log.items.tolist() == ["q1"]


@pytest.mark.ci
def test_the_proposed_options_cure_the_error(run, fitted, tmp_path):
    for content in (
        "usr,skil,corect\na,x,1\n",
        "Anon Student Id,KC (A),KC (B),correct\na,x,y,1\n",
        "student,skill,Correct,date\na,x,1,9/28/2012\n",
        "id,sex,class,q1,q2,q3,q4,q5\n1,F,8 b,1,0,1,1,0\n2,M,8 c,1,1,0,1,0\n",
    ):
        (tmp_path / "log.csv").write_text(content)
        status, _, err = run("bkt", "log.csv")
        assert status == 2
        assert run("bkt", "log.csv", *shlex.split(err[err.index("--columns") :].partition(", or map")[0]))[0] == 0


@pytest.mark.ci
def test_the_messages_shown_in_the_docs_are_printed(run, fitted, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "models" / "fit-command.md").read_text(encoding="utf-8")
    (tmp_path / "means.json").write_text("{}")
    messages = [run("log.csv")[2]]
    for content, options in (
        (b"student,skill,ok\na,x,1\n", []),
        (b"student,skill,correct\na,x,1\na,x,maybe\n", []),
        (b"student,skill,correct\n\xe9,x,1\n", []),
        (b"", ["--out", "means.json"]),
    ):
        (tmp_path / "log.csv").write_bytes(content)
        messages.append(run("bkt", "log.csv", *options)[2])
    block = page.partition("## Errors")[2].partition("```text\n")[2].partition("```")[0]
    assert sorted(block.splitlines(keepends=True)) == sorted(messages)


def test_a_name_with_a_comma_is_quoted(run, fitted, tmp_path):
    (tmp_path / "log.csv").write_text('student,"KC (a, b)",KC (c),ok\na,x,y,1\n')
    _, _, err = run("bkt", "log.csv", "--columns", "correct=ok")
    cure = shlex.split(err[err.index("--columns") :])
    assert cure == ["--columns", 'correct=ok,"skill=KC (a, b)"']
    assert run("bkt", "log.csv", *cure)[0] == 0
    assert fitted[-1].log.skills.tolist() == ["x"]


def test_a_log_without_estimates_is_refused_with_a_cure_of_the_command_line(run, fitted, tmp_path):
    (tmp_path / "log.csv").write_text("student,item,correct\na,x,1\na,y,0\n")
    assert_refused(run("irt", "log.csv"), "log.csv: no item has both correct and wrong responses", "add responses")
    assert_refused(
        run("dkt", "log.csv"), "log.csv: has one student, but dkt needs one more", "add the responses of others"
    )
    assert not fitted


def test_a_column_is_omitted(run, fitted, tmp_path):
    (tmp_path / "log.csv").write_text("student,skill,correct,order\na,x,1,2\na,x,0,1\n")
    for options, correct in (
        ([], [0, 1]),
        (["--columns", "order="], [1, 0]),
        (["--columns", "student=student, order = "], [1, 0]),
    ):
        assert run("bkt", "log.csv", *options)[0] == 0
        assert fitted[-1].log.correct.tolist() == correct


def test_names_in_messages_cannot_control_a_terminal(run, fitted, tmp_path):
    (tmp_path / "bad.csv").write_text("student,skill,correct\na,x,1\na,x,\x1b[31m\n")
    _, _, err = run("bkt", "bad.csv", "--skip-bad")
    assert "1 skipped" in err
    assert "\x1b" not in err
    (tmp_path / "bad.csv").write_text("student,skill,c\x1b[31m\na,x,2\n")
    result = run("bkt", "bad.csv", "--columns", "correct=c\x1b[31m")
    assert_refused(result, "column c\\x1b[31m: '2'")
    assert "\x1b" not in result[2]


def test_a_long_fit_shows_a_bar_on_a_terminal(run, fitted, monkeypatch):
    shown = []

    class Terminal:
        def isatty(self):
            return True

        def write(self, text):
            shown.append(text)
            return len(text)

        def flush(self):
            pass

    monkeypatch.setattr(output.sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    assert run("bkt", "log.csv", *COLUMNS)[0] == 0
    assert "half [bold]way" in "".join(shown)
    assert "1/2" in "".join(shown)


# ── with the real models ─────────────────────────────────────────────────────────────────────────


@pytest.mark.compiled
def test_irt_on_the_law_school_test(run, tmp_path, published):
    """Bock & Lieberman (1970); estimates in published.json."""
    file, out, scores = published / "irt" / "lsat6_patterns.csv", tmp_path / "fit.json", tmp_path / "scores.csv"
    assert run("irt", file, "--out", out, "--scores", scores, "--test", file)[0] == 0
    content = json.loads(out.read_text())
    assert abs(content["log_likelihood"] + 2466.653) < 1e-2
    assert content["converged"] is True
    assert {"a", "b", "c", "se_a", "se_b", "se_c"} <= set(content["items"]["i1"])
    assert set(content["test"]) == {"auc", "rmse", "log_loss", "accuracy", "responses"}
    assert content["test"]["responses"] == 5000
    assert len(scores.read_text().splitlines()) == 31


@pytest.mark.compiled
def test_bkt_on_a_real_log(run, tmp_path, published):
    """The maximum of the first skill has p_guess above one half: .5026 (em_iterates.json)."""
    columns = "student=Anon Student Id,skill=KC(Default),correct=Correct First Attempt,order=Row"
    file, out = published / "bkt_cognitive_tutor" / "responses.csv", tmp_path / "fit.json"
    status, _, err = run("bkt", file, "--columns", columns, "--unbounded", "--out", out, "--test", file)
    assert status == 0
    assert "1 of 16,858 rows repeat a response" in err
    content = json.loads(out.read_text())
    skill = content["skills"]["Calculate_unit_rate"]
    parameters = {"p_init", "p_learn", "p_guess", "p_slip", "p_forget"}
    assert parameters | {"log_likelihood", "iterations", "converged", "responses"} <= set(skill)
    assert abs(skill["p_guess"] - 0.5026) < 1e-3
    assert content["test"]["responses"] == 16_858
    assert run("bkt", file, "--columns", columns, "--out", tmp_path / "b.json")[0] == 0
    bounded = json.loads((tmp_path / "b.json").read_text())["skills"]["Calculate_unit_rate"]
    assert bounded["p_guess"] <= 0.5


def test_notes_of_a_fit_are_printed(run, tmp_path):
    (tmp_path / "alike.csv").write_text("a,b,c\n1,1,0\n1,0,1\n1,1,1\n1,0,0\n")
    status, out, _ = run("irt", str(tmp_path / "alike.csv"), "--format", "wide", "--model", "rasch")
    assert status == 0 and "note: no finite estimate, since all responses are equal: a\n" in out


def test_an_item_without_discrimination_has_a_note():
    rows = [{"item": "q5", "a": 1e-6, "b": 839_027.0}, {"item": "q0", "a": 1.0, "b": 2.0}]
    (note,) = _without_meaning(rows)
    assert note.startswith("b of 1 of 2 items is outside [-10, 10] logits and has no meaning, since a is near 0")
    assert note.endswith(": q5; check the answer keys of these items, or leave them out")


def test_a_transposed_table_has_a_note(run, tmp_path):
    """It has fewer rows than columns, and the rows are named like items."""
    rows = [f"q{k}," + ",".join(str((k + s) % 2) for s in range(20)) for k in range(6)]
    text = "\n".join(["item," + ",".join(f"s{k}" for k in range(20)), *rows])
    for content, is_transposed in ((text, True), (text.replace("\nq", "\nann"), False)):
        (tmp_path / "log.csv").write_text(content)
        status, out, _ = run("skill-mean", "log.csv", "--columns", "student=item")
        assert status == 0
        assert ("if the table has one row per item, transpose it" in " ".join(out.split())) == is_transposed
