"""Optional columns of a response log: times, response times, attempts, hints, and study events."""

import dataclasses
import pickle
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from logged import CORRECT, SKILLS, STUDENTS, assert_sound, events_of, random_rows

from alsim.models import Responses, ResponsesError, read_responses

PER_RESPONSE = ("time", "seconds", "attempts", "hints")


# ── values ───────────────────────────────────────────────────────────────────────────────────────


def test_a_log_without_optional_columns_has_none_of_them():
    log = Responses.from_arrays(STUDENTS, CORRECT, skill=SKILLS)
    assert all(getattr(log, name) is None for name in (*PER_RESPONSE, "study"))
    assert repr(log) == "<Responses: 5 of 2 students to 2 items of 2 skills>"
    assert log.report.unknown == {}
    assert all(getattr(log.subset([0]), name) is None for name in (*PER_RESPONSE, "study"))


def test_values_follow_their_responses():
    log = Responses.from_arrays(
        STUDENTS,
        CORRECT,
        skill=SKILLS,
        order=[5, 4, 3, 2, 1],
        time=[50.5, 40, 30, 20, 10],
        seconds=[5, 4, 3, 2, 1],
        attempts=[1, 2, 3, 4, 5],
        hints=[0, 1, 2, 3, 4],
    )
    assert log.row.tolist() == [4, 2, 0, 3, 1]
    assert log.time.tolist() == [10, 30, 50.5, 20, 40]
    assert log.seconds.tolist() == [1, 3, 5, 2, 4]
    assert log.attempts.tolist() == [5, 3, 1, 4, 2]
    assert log.hints.tolist() == [4, 2, 0, 3, 1]
    assert log.time.dtype == log.seconds.dtype == np.float64
    assert log.attempts.dtype == log.hints.dtype == np.int32
    assert repr(log).endswith("2 skills; with time, seconds, attempts, hints>")


def test_times_sort_the_responses_unless_there_is_an_order():
    log = Responses.from_arrays(["a"] * 3, [1, 0, 1], skill=["x", "y", "z"], time=[3, 1, 2])
    assert log.row.tolist() == [1, 2, 0]
    ordered = Responses.from_arrays(["a"] * 3, [1, 0, 1], skill=["x", "y", "z"], time=[3, 1, None], order=[1, 2, 3])
    assert ordered.row.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(ordered.time, [3, 1, np.nan])
    with pytest.raises(ResponsesError, match="column time: an empty cell; expected a number, or a time"):
        Responses.from_arrays(["a"] * 3, [1, 0, 1], skill=["x", "y", "z"], time=[3, None, 2])


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["2012-09-28 15:11:05.25", "2012-09-28T15:11:06"], [1348845065.25, 1348845066]),
        (["2012-09-28 17:11:05+02:00", "2012-09-28 15:11:06Z"], [1348845065, 1348845066]),
        (["1348845065.25", "1348845066"], [1348845065.25, 1348845066]),
        (pd.to_datetime(["2012-09-28 15:11:05.25", "2012-09-28 15:11:06.00"]), [1348845065.25, 1348845066]),
        (pd.to_datetime(["2012-09-28 15:11:05.25", "2012-09-28 15:11:06.00"], utc=True), [1348845065.25, 1348845066]),
        ([datetime(2012, 9, 28, 15, 11, 5, tzinfo=UTC), datetime(2012, 9, 28, 15, 11, 6, tzinfo=UTC)], None),
        (np.array(["2012-09-28T15:11:05", "2012-09-28T15:11:06"], "datetime64[s]"), None),
        (pa.array([15611, 15612], pa.date32()), [15611 * 86400, 15612 * 86400]),
    ],
)
def test_dates_become_seconds_since_1970(values, seconds):
    log = Responses.from_arrays(["a", "a"], [1, 0], skill=["x", "x"], time=values)
    assert log.time.tolist() == (seconds or [1348845065, 1348845066])


def test_durations_become_seconds():
    values = [timedelta(milliseconds=1500), timedelta(minutes=1)]
    assert Responses.from_arrays(["a", "a"], [1, 0], skill=["x", "x"], seconds=values).seconds.tolist() == [1.5, 60]


def test_invalid_values_become_unknown_and_are_counted():
    log = Responses.from_arrays(
        ["a"] * 5,
        [1, 0, 1, 0, 1],
        skill=["x"] * 5,
        order=[1, 2, 3, 4, 5],
        time=["1", "soon", "", "1e999", "5"],
        seconds=["2", "-3", "NA", "fast", "0"],
        attempts=["1", "1.5", "", "-1", "2.0"],
        hints=["0", "99999999999", None, "none", "3"],
    )
    np.testing.assert_array_equal(log.time, [1, np.nan, np.nan, np.nan, 5])
    np.testing.assert_array_equal(log.seconds, [2, np.nan, np.nan, np.nan, 0])
    assert log.attempts.tolist() == [1, -1, -1, -1, 2]
    assert log.hints.tolist() == [0, -1, -1, -1, 3]
    assert log.report.unknown == {"time": 2, "seconds": 2, "attempts": 2, "hints": 2}
    assert log.report.skipped == {}
    assert {name: text.partition(", row ")[2] for name, text in log.report.unknown_examples.items()} == {
        "time": "1 (counted from 0), column time: 'soon'; expected a number, or a time such as 2024-05-02 10:01:30",
        "seconds": "1 (counted from 0), column seconds: '-3'; expected a number of at least 0",
        "attempts": "1 (counted from 0), column attempts: '1.5'; expected an integer of at least 0",
        "hints": "1 (counted from 0), column hints: '99999999999'; expected an integer of at least 0",
    }


TIMED = "student,skill,correct,t\na,x,1,{}\na,y,0,{}\na,x,1,{}\n"
"""A log with a column of times."""


FILL = "fill the cell, skip invalid rows with skip_bad=True, or sort by another column with"
CORRECT_IT = FILL.replace("fill", "correct")


@pytest.mark.parametrize(
    ("cells", "line", "problem", "cure"),
    [
        (["5", "", "7"], 3, "an empty cell; expected .*, as in most rows, since times sort the responses", FILL),
        (["5", "NA", "7"], 3, "'NA'; expected", CORRECT_IT),
        (["2024-05-02", "soon", "2024-05-03"], 3, "'soon'; expected", CORRECT_IT),
        (["", "", "7"], 2, "an empty cell; expected", "fill the column, or read the log without time, with"),
        (["a", "b", "c"], 2, "'a'; expected", "convert the column, or read the log without time, with"),
    ],
)
def test_an_invalid_time_that_sorts_is_named_by_its_line_and_cured(cells, line, problem, cure, write):
    file = write(TIMED.format(*cells))
    with pytest.raises(ResponsesError, match=f"log.csv, line {line}, column t: {problem}.*; {cure}") as error:
        read_responses(file, columns={"time": "t"})
    if "skip_bad" in error.value.options:
        skipped = read_responses(file, columns={"time": "t"}, skip_bad=True)
        assert (len(skipped), sum(skipped.report.skipped.values())) == (2, 1)
        assert error.value.options["columns"] == {"time": "t", "order": "NAME"}
    else:
        assert len(read_responses(file, **error.value.options)) == 3


def test_missing_values_are_unknown_and_invalid_ones_are_named_by_their_line(write):
    """Times do not sort the responses if there is an order."""
    file = write("student,skill,correct,order,t,s,n,h\na,x,1,1,,,,\na,x,0,2,x,-2,1.5,-1\na,x,0,3,7,1,1,0\n")
    columns = {"time": "t", "seconds": "s", "attempts": "n", "hints": "h"}
    log = read_responses(file, columns=columns)
    np.testing.assert_array_equal(log.time, [np.nan, np.nan, 7])
    assert log.hints.tolist() == [-1, -1, 0]
    assert log.report.unknown == dict.fromkeys(columns, 1)
    for name, title in columns.items():
        assert f"log.csv, line 3, column {title}: " in log.report.unknown_examples[name]


def test_optional_columns_of_other_formats_are_refused_with_the_file(write):
    for content, format in (("student,t,p,q\na,5,1,0\nb,,1,1\n", "wide"), ("2\n1,2\n1,0\n", "three-line")):
        with pytest.raises(ResponsesError, match=r"log.csv: .*(can map only student and freq|names of columns cannot)"):
            read_responses(write(content), format=format, columns={"time": "t"})


def test_optional_columns_are_read_only_if_they_are_mapped(write):
    """Columns of these names have other meanings in many files."""
    content = "student,skill,correct,time,seconds,attempts,hints,event\na,x,1,9,b,c,d,e\na,y,0,5,b,c,d,e\n"
    log = read_responses(write(content))
    assert all(getattr(log, name) is None for name in (*PER_RESPONSE, "study"))
    assert log.row.tolist() == [0, 1]
    mapped = read_responses(write(content), columns={"time": "time", "hints": "attempts"})
    assert mapped.row.tolist() == [1, 0]
    assert mapped.time.tolist() == [5, 9]
    assert mapped.report.unknown == {"hints": 2}


def test_a_mapped_time_sorts_and_no_other_column_is_recognised_as_the_order(write):
    content = "user_id,skill_name,is_correct,start_time,end_time\na,x,1,9,\na,y,0,5,7\n"
    log = read_responses(write(content), columns={"time": "start_time"})
    assert log.time.tolist() == [5, 9]
    assert log.report.columns == {"student": "user_id", "skill": "skill_name", "correct": "is_correct"}


def test_merged_duplicates_keep_the_values_of_the_first_row():
    log = Responses.from_arrays(
        ["a"] * 3, [1, 1, 0], skill=["x", "y", "x"], response=[7, 7, 8], seconds=[4, 4, 9], duplicates="merge"
    )
    assert log.seconds.tolist() == [4, 9]
    assert log.skill_start.tolist() == [0, 2, 3]


# ── study events ─────────────────────────────────────────────────────────────────────────────────


def test_study_events_are_placed_between_the_responses():
    log = Responses.from_arrays(
        student=["a", "b", "a", "a", "b", "b"],
        correct=[None, None, 1, 0, 1, None],
        skill=["x", "y", "x", "y", "x", None],
        time=[5, 9, 5, 7, 2, 1],
        event=["read", "hint", None, "", None, "read"],
    )
    assert_sound(log)
    assert log.row.tolist() == [2, 3, 4]
    assert events_of(log) == [("a", 0, "read", ("x",)), ("b", 0, "read", ()), ("b", 1, "hint", ("y",))]
    assert log.study.row.tolist() == [0, 5, 1]
    assert log.study.time.tolist() == [5, 1, 9]
    assert log.study.seconds is None
    assert len(log) == 3
    assert len(log.study) == 3
    assert log.report.rows == 6


def test_skills_that_were_only_studied_do_not_become_skills_of_the_log():
    log = Responses.from_arrays(["a"] * 3, [None, 1, None], skill=["z", "x", "x~~w"], event=["read", None, "read"])
    assert log.skills.tolist() == ["x"]
    assert log.study.skills.tolist()[0] == "x"
    assert sorted(log.study.skills.tolist()) == ["w", "x", "z"]
    assert [names for *_, names in events_of(log)] == [("z",), ("x", "w")]


def test_a_log_with_items_only_names_the_items_that_were_studied():
    log = Responses.from_arrays(["a"] * 3, [1, None, None], item=["p", "q", None], event=[None, "read", "pause"])
    assert log.items.tolist() == ["p"]
    assert events_of(log) == [("a", 1, "read", ("q",)), ("a", 1, "pause", ())]


def test_events_of_students_without_responses_are_counted():
    log = Responses.from_arrays(["a", "b", "b"], [1, None, None], skill=["x", "x", "y"], event=[None, "read", "read"])
    assert log.students.tolist() == ["a"]
    assert log.report.skipped == {"study event of a student without responses": 2}
    assert "row 1 (counted from 0): student 'b' has no response" in next(iter(log.report.examples.values()))
    assert len(log.study) == 0
    assert log.study.kinds.tolist() == []


def test_a_row_of_an_event_needs_a_student_and_an_order():
    with pytest.raises(ResponsesError, match="column student: an empty cell"):
        Responses.from_arrays(["a", None], [1, None], skill=["x", "x"], event=[None, "read"])
    with pytest.raises(ResponsesError, match="column order: an empty cell"):
        Responses.from_arrays(["a", "a"], [1, None], skill=["x", "x"], order=[1, None], event=[None, "read"])
    with pytest.raises(ResponsesError, match="all valid rows are study events, .* such as 'read'"):
        Responses.from_arrays(["a"], [None], skill=["x"], event=["read"])


def test_values_that_mean_no_response_keep_study_events(tmp_path):
    """The answer of a study event is not read, whichever value it has."""
    (tmp_path / "log.csv").write_text("student,skill,correct,kind\na,x,1,\na,x,-1,read\na,x,-1,\nb,x,0,\n")
    log = read_responses(tmp_path / "log.csv", columns={"event": "kind"}, missing=[-1])
    assert (len(log), log.report.skipped) == (2, {"no response": 1})
    assert events_of(log) == [("a", 1, "read", ("x",))]


@pytest.mark.parametrize("seed", range(20))
def test_responses_are_the_same_without_the_events(seed):
    """The responses of a log are those that remain when its study events are removed first."""
    rows = random_rows(seed)
    log = Responses.from_table(rows, {name: name for name in rows})
    is_response = np.array([event is None for event in rows["event"]])
    chosen = np.flatnonzero(is_response)
    alone = {name: [column[k] for k in chosen] for name, column in rows.items() if name != "event"}
    expected = Responses.from_table(alone, {name: name for name in alone})
    assert_sound(log)
    for field in dataclasses.fields(log):
        if field.name not in ("report", "row", "study"):
            np.testing.assert_array_equal(getattr(log, field.name), getattr(expected, field.name))
    assert log.row.tolist() == chosen[expected.row].tolist()


def scalar_events(rows):
    """Return the study events as `events_of` does, one row at a time."""
    answered = [k for k, event in enumerate(rows["event"]) if event is None]
    students = list(dict.fromkeys(rows["student"][k] for k in answered))
    key = {k: (rows["order"][k], k) for k in range(len(rows["event"]))}
    found = []
    for student in students:
        own = [k for k in answered if rows["student"][k] == student]
        events = [k for k, e in enumerate(rows["event"]) if e is not None and rows["student"][k] == student]
        for k in sorted(events, key=key.__getitem__):
            before = sum(key[r] < key[k] for r in own)
            found.append((student, before, rows["event"][k], tuple(rows["skill"][k])))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_events_are_placed_as_a_scalar_twin_places_them(seed):
    rows = random_rows(seed)
    log = Responses.from_table(rows, {name: name for name in rows})
    assert events_of(log) == scalar_events(rows)
    assert log.study.time.tolist() == [rows["time"][k] for k in log.study.row]
    assert log.study.seconds.tolist() == [rows["seconds"][k] for k in log.study.row]


@pytest.mark.parametrize("seed", range(20))
def test_parts_of_a_log_keep_values_and_events_aligned(seed):
    rows = random_rows(seed)
    log = Responses.from_table(rows, {name: name for name in rows})
    rng = np.random.default_rng(seed)
    students = rng.permutation(log.num_students)[: rng.integers(1, log.num_students)]
    subset = log.subset(students)
    names = [str(log.students[s]) for s in students]
    assert events_of(subset) == [event for name in names for event in events_of(log) if event[0] == name]
    taken = log.take(rng.random(len(log)) < 0.5)
    assert len(taken.study) == len(log.study)
    kept = set(taken.row.tolist())
    for e, (before, after) in enumerate(zip(log.study.position, taken.study.position, strict=True)):
        assert after == sum(row in kept for row in log.row[:before].tolist()), e
    for part in (subset, taken, *log.split(0.4, seed)):
        for name in PER_RESPONSE:
            assert getattr(part, name).tolist() == [rows[name][k] for k in part.row]
        for e in range(len(part.study)):
            s = part.study.student[e]
            assert part.start[s] <= part.study.position[e] <= part.start[s + 1]
    same = pickle.loads(pickle.dumps(subset))
    assert events_of(same) == events_of(subset)


def test_a_real_log_with_study_trials(published):
    """Memphis DataShop set 5513: 239 students with 122 trials each."""
    frame = pd.read_csv(published / "calibration" / "memphis_cloze.csv")
    frame["event"] = frame["outcome"].where(frame["outcome"] == "study")
    frame["right"] = (frame["outcome"] == "correct").where(frame["event"].isna())
    frame["spent"] = frame["response_ms"].where(frame["response_ms"] >= 0) / 1000
    columns = {"student": "student", "skill": "item", "correct": "right", "time": "time", "seconds": "spent"}
    log = Responses.from_table(frame, columns | {"item": None, "event": "event"})
    assert log.num_students == 239
    assert len(log) + len(log.study) == 239 * 122 == log.report.rows
    assert len(log.study) == (frame["outcome"] == "study").sum() > 0
    assert log.report.unknown == {}
    assert (np.diff(log.time)[np.diff(log.student) == 0] >= 0).all()
    first = frame[frame["student"] == 1]
    assert log.time[0] == pd.Timestamp(first[first["event"].isna()]["time"].min()).timestamp()
