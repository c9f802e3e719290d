"""Every row of a source is a response, a study event, skipped for a reason, or a duplicate that was removed."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from logged import events_of, random_rows
from published_logs import EDNET_FILES, LOGS, write_log

import alsim
from alsim.models import Responses, ResponsesError, read_responses
from alsim.responses.formats.base import PUBLISHED_NAMES

INVALID_ANSWERS = "correct is neither 0 nor 1"


def assert_accounted(log, num_rows):
    """Assert that each row of a log with one row per response has one fate, given the number of rows of the source."""
    report = log.report
    events = [] if log.study is None else log.study.row.tolist()
    assert report.rows == num_rows == len(log) + len(events) + sum(report.skipped.values()) + report.removed
    rows = [*log.row.tolist(), *events]
    assert len({*rows}) == len(rows)
    assert set(report.examples) == set(report.skipped)


def num_rows_of(name):
    """Return the number of rows in the file of a published format, counted without alsim."""
    if name == "ednet-kt1":
        return sum(text.count("\n") - 1 for path, text in EDNET_FILES.items() if path.startswith("KT1"))
    if name == "duolingo-slam":
        return sum(bool(line) and not line.startswith("#") for line in LOGS[name].splitlines())
    return len(list(csv.reader(io.StringIO(LOGS[name], newline="")))) - 1  # cells may have several lines


# ── one row per response ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("duplicates", [None, "keep", "merge"])
@pytest.mark.parametrize("name", PUBLISHED_NAMES)
def test_rows_of_published_logs(tmp_path, name, duplicates):
    log = read_responses(write_log(name, tmp_path), format=name, duplicates=duplicates)
    assert_accounted(log, num_rows_of(name))


LONG = """student,item,skill,correct,when,kind
a,p,x,1,1,
a,p,y,1,1,
a,q,x,-1,2,
a,q,x,-1,3,read
,q,x,1,4,
a,q,x,maybe,5,
a,,x,1,6,
a,r,x,0,soon,
a,r,x,1,7,read
b,p,x,,8,read
b,p,x
c,p,x,0,9,
"""


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("duplicates", ["keep", "merge", "drop"])
def test_rows_of_a_long_file(tmp_path, duplicates, suffix):
    (tmp_path / "log.csv").write_text(LONG)
    num_rows = LONG.count("\n") - 1
    if suffix == "parquet":
        pd.read_csv(tmp_path / "log.csv", dtype=str).to_parquet(tmp_path / "log.parquet")
    log = read_responses(
        tmp_path / f"log.{suffix}",
        format="long",
        columns={"order": "when", "event": "kind"},
        missing=[-1],
        duplicates=duplicates,
        skip_bad=True,
    )
    assert_accounted(log, num_rows)
    assert log.report.removed == (duplicates != "keep")
    assert log.report.skipped["study event with an answer"] == 1
    assert log.report.skipped["study event of a student without responses"] == 1
    assert log.report.skipped["no response"] == 1
    assert [event[:3] for event in events_of(log)] == [("a", 2 if duplicates == "keep" else 1, "read")]


def test_rows_of_a_file_with_three_lines_per_student(tmp_path):
    (tmp_path / "log.csv").write_text("3\n4,4,5\n1,0,x\n2\n5,4\n1,1\n0\n\n\n2\n5,4,3\n1,1\n")
    log = read_responses(tmp_path / "log.csv", skip_bad=True)
    assert_accounted(log, 3 + 2 + 2)
    assert log.report.skipped == {"three lines of different lengths": 2, INVALID_ANSWERS: 1}


@pytest.mark.parametrize("duplicates", ["keep", "merge", "drop"])
@pytest.mark.parametrize("seed", range(10))
def test_rows_in_memory(seed, duplicates):
    rows = random_rows(seed)
    random = np.random.default_rng(seed)
    rows["correct"] = [7 if random.random() < 0.05 else value for value in rows["correct"]]
    rows["event"] = ["read" if random.random() < 0.05 else event for event in rows["event"]]
    rows["student"] = [None if random.random() < 0.05 else name for name in rows["student"]]
    log = Responses.from_table(rows, {name: name for name in rows}, skip_bad=True, duplicates=duplicates)
    assert_accounted(log, len(rows["student"]))
    assert log.report.skipped["study event with an answer"] > 0


@pytest.mark.compiled
def test_rows_of_a_dataset():
    log = Responses.from_dataset(alsim.generate_dataset(3, 1, seed=0))
    assert_accounted(log, len(log))


# ── one row per student ──────────────────────────────────────────────────────────────────────────


def assert_cells_accounted(log, matrix, *, invalid):
    """Assert that each cell of a matrix has one fate, given the number of invalid ones."""
    report = log.report
    assert report.cells == matrix.size == len(log) + report.empty + report.skipped.get(INVALID_ANSWERS, 0)
    assert report.skipped.get(INVALID_ANSWERS, 0) == invalid
    assert report.empty == np.isin(matrix, ["", "-1", None]).sum()


def test_cells_of_a_wide_file_and_of_a_matrix(tmp_path):
    cells = np.array([["1", "0", ""], ["0", "x", "-1"], ["", "", ""], ["1", "1", "0"], ["mean", "mean", ""]])
    (tmp_path / "log.csv").write_text("id,p,q,r\n" + "".join(f"s{k},{','.join(row)}\n" for k, row in enumerate(cells)))
    log = read_responses(tmp_path / "log.csv", skip_bad=True)
    assert_cells_accounted(log, cells, invalid=3)
    assert log.report.rows == 5
    frame = pd.DataFrame(cells, columns=list("pqr"))
    assert_cells_accounted(Responses.from_matrix(frame, skip_bad=True), cells, invalid=3)
    whole = np.where(np.isin(cells, ["x", "mean"]), "", cells)
    assert_cells_accounted(Responses.from_matrix(whole), whole, invalid=0)
    pd.DataFrame(whole, columns=list("pqr")).to_parquet(tmp_path / "log.parquet")
    assert_cells_accounted(read_responses(tmp_path / "log.parquet"), whole, invalid=0)


# ── study events with answers ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("answer", [0, 1, "1.0", True, "false", 0.5])
def test_a_study_event_with_an_answer_is_refused_or_counted(answer):
    """The answer would be lost if the row were read as an event, and the event if it were read as a response."""
    columns = {
        "student": ["a", "a", "a"],
        "skill": ["x", "x", "y"],
        "correct": [1, answer, 0],
        "event": [None, "quiz", None],
    }
    with pytest.raises(ResponsesError) as error:
        Responses.from_arrays(**columns)
    assert str(error.value) == (
        "responses, row 1 (counted from 0), column event: 'quiz'; expected an empty cell, since the row has an answer; "
        "empty the answer of a study event, or the kind of a response, or skip such rows with skip_bad=True"
    )
    log = Responses.from_arrays(**columns, skip_bad=True)
    assert (len(log), len(log.study), log.report.skipped) == (2, 0, {"study event with an answer": 1})


def test_a_column_of_kinds_that_names_all_rows_is_refused(write):
    """Quizzes would become study events without answers."""
    file = write("student,skill,correct,kind\na,x,1,quiz\na,x,,read\na,y,0,quiz\n")
    with pytest.raises(ResponsesError, match="line 2, column kind: 'quiz'; expected an empty cell, since"):
        read_responses(file, columns={"event": "kind"})
