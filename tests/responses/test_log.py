"""Response logs: construction, invalid rows, duplicates and parts."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from logged import COLUMNS, CORRECT, MAPPING, MATRIX, SKILLS, STUDENTS, as_rows, assert_sound

import alsim
from alsim.models import Report, Responses, ResponsesError, codes_of, read_responses
from alsim.responses.cells import lexsort

# ── columns ──────────────────────────────────────────────────────────────────────────────────────


def test_columns_become_a_log_student_by_student():
    log = Responses.from_arrays(STUDENTS, CORRECT, skill=SKILLS)
    assert_sound(log)
    assert as_rows(log) == [
        (0, "ann", "add", ("add",), 1),
        (2, "ann", "mul", ("mul",), 1),
        (4, "ann", "add", ("add",), 0),
        (1, "bob", "add", ("add",), 0),
        (3, "bob", "mul", ("mul",), 1),
    ]
    assert log.single_skill
    assert (log.num_students, log.num_items, log.num_skills, len(log)) == (2, 2, 2, 5)
    assert repr(log) == "<Responses: 5 of 2 students to 2 items of 2 skills>"
    assert log.report == Report(rows=5)


@pytest.mark.parametrize(
    "order",
    [
        [5, 4, 3, 2, 1],
        np.array([5, 4, 3, 2, 1], np.uint64) + np.uint64(2**63),
        [2**62 + 5, 2**62 + 4, 2**62 + 3, 2**62 + 2, 2**62 + 1],  # equal as float64
        [-1.0, -2.5, -3.0, -4.0, -math.inf],
        ["10", "9", "8", "7", "6"],  # as numbers, not as texts
        ["1e3", "9", "8.5", "7", "-6"],
        ["2024-01-01 10:00:00.5", "2024-01-01 10:00:00", "2023-12-31", "2023-12-30T23:59", "2023-12-30 23:58:00"],
        ["2024-01-01T12:00:00+01:00", "2024-01-01T10:30:00Z", "2024-01-01T10:00:00Z", "2024-01-01T09:00:00Z"]
        + ["2024-01-01T09:30:00+01:00"],
        [f"2024-01-01T10:00:00.00000000{k}Z" for k in (5, 4, 3, 2, 1)],
        pd.to_datetime([f"2024-01-0{k}" for k in (5, 4, 3, 2, 1)]),
        pd.Series(pd.to_datetime([f"2024-01-0{k}" for k in (5, 4, 3, 2, 1)]).tz_localize("UTC")),
        np.array([5, 4, 3, 2, 1], "datetime64[s]"),
        pa.array([5, 4, 3, 2, 1], pa.date32()),
        pa.array(["5.1", "4.2", "4.1", "2", "1"]).cast(pa.decimal128(5, 2)),
    ],
)
def test_an_order_sorts_each_student(order):
    log = Responses.from_arrays(STUDENTS, CORRECT, skill=SKILLS, order=order)
    assert log.row.tolist() == [4, 2, 0, 3, 1]
    assert log.correct.tolist() == [0, 1, 1, 1, 0]


def test_equal_orders_stay_as_they_are():
    log = Responses.from_arrays(["a"] * 4, [0, 1, 1, 0], item=["w", "x", "y", "z"], order=[1, 0, 1, 0])
    assert log.row.tolist() == [1, 3, 0, 2]


@given(
    st.integers(0, 40).flatmap(
        lambda n: st.tuples(
            hnp.arrays(np.int64, n, elements=st.sampled_from([-(2**63), -5, 0, 1, 2**40, 2**63 - 1])),
            hnp.arrays(np.float64, n, elements=st.floats(allow_nan=False)),
            hnp.arrays(np.uint64, n, elements=st.integers(0, 2**64 - 1)),
            hnp.arrays(np.int32, n, elements=st.integers(0, 3)),
        )
    )
)
def test_rows_are_sorted_as_numpy_sorts_them(keys):
    for key in keys:
        assert (lexsort(key, keys[-1]) == np.lexsort((key, keys[-1]))).all()


@pytest.mark.parametrize(
    "names",
    [
        [7, 3, 7],
        [7.0, 3.0, 7.0],  # as pandas reads integers where some are missing
        [7, "3", 7.0],
        np.array(["7", 3.0, np.float32(7)], object),
        np.array([7, 3, 7], np.uint8),
        ["7", "3", " 7 "],
        [7, "3", "7"],
        np.array(["7", "3", "7"]),
        np.array(["7", "3", "7"], ">U9"),
        np.array(["7", "x", "3", "x", "7"])[::2],
        np.array([b"7", b"3", b"7"]),
        np.array([7, "3", "7"], object),
        pd.Series(["7", "3", "7"], dtype="category"),
        pd.Series([7, 3, 7], dtype="Int64"),
        pa.chunked_array([["7"], ["3", "7"]]),
        pa.array(["7", "3", "7"]).dictionary_encode(),
    ],
)
def test_names_of_any_type_are_equal(names):
    log = Responses.from_arrays(names, [1, 0, 1], skill=names, item=names)
    for labels in (log.students, log.skills, log.items):
        assert labels.tolist() == ["7", "3"]
        assert labels.dtype.kind == "U"
    assert log.student.tolist() == [0, 0, 1]


def test_fractions_are_distinct_names():
    log = Responses.from_arrays([1.5, 2.0, 1e300], [1, 0, 1], skill=["a"] * 3)
    assert len(set(log.students.tolist())) == 3


@pytest.mark.parametrize(
    "correct",
    [
        [1, 0, 1],
        [True, False, True],
        [1.0, 0.0, 1.0],
        ["1", "0", " 1.0"],
        ["true", "FALSE", "True"],
        ["1.", "0.00", "1"],
        [1, False, "true"],
        pd.Series([True, False, True], dtype="boolean"),
        pa.array(["1", "0", "1"]).dictionary_encode(),
        pa.array(["1.0", "0.0", "1.0"]).cast(pa.decimal128(3, 1)),
        np.array([1, 0, 1], np.int8),
    ],
)
def test_answers_of_any_type_become_zero_and_one(correct):
    assert Responses.from_arrays(["a"] * 3, correct, skill=["x"] * 3).correct.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "bad", [0.5, 2, -1, math.nan, None, "maybe", "", "yes", "10", "0.50", "-0", "1e0", "½", b"x", 1e300], ids=repr
)
def test_other_values_are_not_answers(bad):
    with pytest.raises(
        ResponsesError,
        match=r"^responses, row 2 \(counted from 0\), column correct: .+; expected 0 or 1"
        r"(; correct the cell, or skip invalid rows with skip_bad=True| \(only skill-mean.*, or pass .* as credit=)$",
    ):
        Responses.from_arrays(["a"] * 4, [1, 0, bad, 1], skill=["x"] * 4)


def test_columns_of_other_types_are_not_answers():
    for column in (np.array(["2020-01-01"], "datetime64[D]"), pa.array([[1]]), pa.array([None])):
        with pytest.raises(ResponsesError, match="column correct"):
            Responses.from_arrays(["a"], column, skill=["x"])


@pytest.mark.parametrize("absent", [None, math.nan, "", "  ", "NA", "NaN", "null"], ids=repr)
@pytest.mark.parametrize("column", ["student", "skill", "item", "response"])
def test_missing_names_are_refused(column, absent):
    columns = {name: ["a", "b", "c"] for name in ("student", "skill", "item", "response")}
    columns[column] = ["a", absent, "c"]
    with pytest.raises(ResponsesError, match=rf"row 1 \(counted from 0\), column {column}: .+; expected a"):
        Responses.from_arrays(correct=[1, 0, 1], **columns)


@pytest.mark.parametrize(
    "order",
    [
        [1, math.nan, 3],
        [1, None, 3],
        [1, "soon", 3],
        ["1", "2024-01-01", "3"],
        ["2024-01-01", "2024-02-30", "2024-01-03"],
        ["2024-01-01", "yesterday", "2024-01-03"],
        ["2024-01-01", "", "2024-01-03"],
        ["2024-01-01", "2024-01-01T00:00:00Z", "2024-01-03"],  # with a time zone, and without
        np.array(["2024-01-01", "NaT", "2024-01-01"], "datetime64[D]"),
    ],
)
def test_an_invalid_order_is_refused(order):
    with pytest.raises(
        ResponsesError, match=r"row 1 \(counted from 0\), column order: .+; expected a number, or a time"
    ):
        Responses.from_arrays(["a"] * 3, [1, 0, 1], skill=["x"] * 3, order=order)
    log = Responses.from_arrays(["a"] * 3, [1, 0, 1], skill=["x"] * 3, order=order, skip_bad=True)
    assert log.report.skipped == {"order is not a number or time like the others": 1}


@pytest.mark.parametrize("when", ["09/28/2012 15:11", "28.9.2012", "9/28/12 3:11 PM", "15:11:05", "1 Oct 2012"])
def test_ambiguous_times_are_refused(when):
    message = rf"row 0 .*'{when}'; expected a number, or a time such as 2024-05-02 10:01:30"
    with pytest.raises(ResponsesError, match=message):
        Responses.from_arrays(["a"] * 2, [1, 0], skill=["x"] * 2, order=[when, when])


def test_texts_of_numpy_are_kept():
    names = np.array(["é😀", "", "a~~b", "z" * 40, "é😀"])
    log = Responses.from_arrays(np.arange(5), [1] * 5, skill=["x"] * 5, item=names, skip_bad=True)
    assert log.items.tolist() == ["é😀", "a~~b", "z" * 40]
    assert log.item.tolist() == [0, 1, 2, 0]
    with pytest.raises(ResponsesError, match="is not valid Unicode text"):
        Responses.from_arrays(np.array(["a", "\ud800"]), [1, 0], skill=["x"] * 2)


def test_an_order_of_another_type_is_refused():
    with pytest.raises(ResponsesError, match="column order"):
        Responses.from_arrays(["a"], [1], skill=["x"], order=pa.array([[1]]))


def test_the_first_bad_row_is_named():
    with pytest.raises(ResponsesError, match=r"row 1 \(counted from 0\), column skill: an empty cell"):
        Responses.from_arrays(["a", "b", None], [1, 1, 2], skill=["x", "", "z"])


def test_bad_rows_are_skipped_and_counted_each_once():
    log = Responses.from_arrays(
        ["a", None, "c", "d", None, "e", "a"],
        [1, 1, 2, 0, 7, "0", 1],
        skill=["x", "y", "z", "", "", "w", "x"],
        order=[3, 1, 1, 1, 1, math.nan, 1],
        skip_bad=True,
    )
    assert_sound(log)
    assert as_rows(log) == [(6, "a", "x", ("x",), 1), (0, "a", "x", ("x",), 1)]
    assert log.students.tolist() == ["a"]  # no name that occurs in bad rows only
    assert log.skills.tolist() == log.items.tolist() == ["x"]
    assert log.report.rows == 7
    assert log.report.skipped == {
        "no student": 2,
        "no skill": 1,
        "correct is neither 0 nor 1": 1,
        "order is not a number or time like the others": 1,
    }
    assert (
        log.report.examples["no student"]
        == "responses, row 1 (counted from 0), column student: an empty cell; expected a name"
    )


def test_ratings_in_a_mapped_column_do_not_leave_the_lowest_only(tmp_path):
    rows = "".join(f"s{k},x,{k % 5 + 1}\n" for k in range(50))
    (tmp_path / "log.csv").write_text(f"student,skill,rating\n{rows}")
    with pytest.raises(ResponsesError, match="'rating' has mostly other values than 0 and 1, such as '2'; write"):
        read_responses(tmp_path / "log.csv", columns={"correct": "rating"}, skip_bad=True)
    few = rows.replace(",2\n", ",0\n").replace(",3\n", ",1\n").replace(",4\n", ",1\n")
    (tmp_path / "log.csv").write_text(f"student,skill,rating\n{few}")
    log = read_responses(tmp_path / "log.csv", columns={"correct": "rating"}, skip_bad=True)
    assert len(log) == 40


def test_a_log_without_valid_rows_is_refused():
    with pytest.raises(ResponsesError, match="there is no valid row"):
        Responses.from_arrays(["a"], [2], skill=["x"], skip_bad=True)
    with pytest.raises(ResponsesError, match="there is no response"):
        Responses.from_arrays([], [], skill=[])


def test_columns_and_options_that_do_not_match_are_refused():
    with pytest.raises(ResponsesError, match="different lengths: student 2, skill 1, correct 2"):
        Responses.from_arrays(["a", "b"], [1, 0], skill=["x"])
    with pytest.raises(ResponsesError, match="skills or items, or both"):
        Responses.from_arrays(["a"], [1])
    with pytest.raises(ResponsesError, match="'keep', 'merge' or 'drop'; got 'first'"):
        Responses.from_arrays(["a"], [1], skill=["x"], duplicates="first")
    with pytest.raises(ResponsesError, match="a non-empty string, or None for no separator; got ''"):
        Responses.from_arrays(["a"], [1], skill=["x"], separator="")


# ── several skills ───────────────────────────────────────────────────────────────────────────────

SEVERAL = [(0, "s", "i", ("add", "mul"), 1), (1, "s", "j", ("add",), 0), (2, "s", "i", ("mul",), 1)]


@pytest.mark.parametrize(
    ("skill", "separator"),
    [
        (["add~~mul", "add", "mul"], "~~"),
        (["add~~ mul~~add", "add~~", "mul"], "~~"),
        (["add;mul", "add", " mul ;"], ";"),
        ([["add", "mul"], ["add"], ["mul"]], None),
        ([("add", "mul", "add"), ("add", None), ("mul",)], "~~"),
        (pa.array([["add", "mul"], ["add"], ["mul"]]), "~~"),
        (pa.chunked_array([pa.array([["add", "mul"]]), pa.array([["add"], ["mul"]])]), "~~"),
        (pd.Series([["add", "mul"], ["add"], ["mul"]]), "~~"),
        (pd.Series([np.array(["add", "mul"]), np.array(["add"]), np.array(["mul"])]), "~~"),
    ],
)
def test_a_response_may_have_several_skills(skill, separator):
    log = Responses.from_arrays(["s"] * 3, [1, 0, 1], skill=skill, item=["i", "j", "i"], separator=separator)
    assert_sound(log)
    assert as_rows(log) == SEVERAL
    assert not log.single_skill


def test_skills_without_items_are_items_together():
    log = Responses.from_arrays(["s"] * 4, [1, 0, 1, 1], skill=["a~~b", "a", "b~~a", "a~~b"])
    assert log.items.tolist() == ["a~~b", "a", "b~~a"]
    assert log.item.tolist() == [0, 1, 2, 0]


def test_no_separator():
    log = Responses.from_arrays(["s"], [1], skill=["a~~b"], separator=None)
    assert log.skills.tolist() == ["a~~b"]


@pytest.mark.parametrize("absent", ["~~", " ~~ ", "NA~~", None])
def test_a_separator_without_skills_is_refused(absent):
    with pytest.raises(ResponsesError, match=r"row 1 \(counted from 0\), column skill"):
        Responses.from_arrays(["s"] * 2, [1, 0], skill=["a~~b", absent])


def test_an_empty_list_of_skills_is_refused():
    with pytest.raises(ResponsesError, match=r"row 1 \(counted from 0\), column skill"):
        Responses.from_arrays(["s"] * 3, [1, 0, 1], skill=[["a"], [], ["b"]])


# ── duplicates ───────────────────────────────────────────────────────────────────────────────────

# The first two rows are one response to an item of two skills; the third is a second attempt at the item.
EXPANDED = {
    "student": ["u", "u", "u", "u", "v"],
    "item": ["p", "p", "p", "q", "p"],
    "order": [7, 7, 8, 9, 7],
    "skill": ["add", "mul", "add", "mul", "add"],
    "correct": [1, 1, 0, 1, 1],
}


def test_duplicates_are_found_and_kept():
    log = Responses.from_arrays(**EXPANDED)
    assert len(log) == 5
    assert log.report.duplicates == 1
    assert log.report.duplicate == "responses, row 1 (counted from 0) repeats the response of row 0 (counted from 0)"


def test_duplicates_are_merged_into_one_response_of_all_skills():
    log = Responses.from_arrays(**EXPANDED, duplicates="merge")
    assert_sound(log)
    assert log.report.duplicates == 1
    assert as_rows(log) == [
        (0, "u", "p", ("add", "mul"), 1),
        (2, "u", "p", ("add",), 0),
        (3, "u", "q", ("mul",), 1),
        (4, "v", "p", ("add",), 1),
    ]


def test_dropping_keeps_the_first_of_duplicates():
    log = Responses.from_arrays(**EXPANDED, duplicates="drop")
    assert [row[0] for row in as_rows(log)] == [0, 2, 3, 4]
    assert log.single_skill


def test_duplicates_need_not_be_adjacent_and_merge_once():
    log = Responses.from_arrays(
        ["u"] * 5, [1, 0, 1, 1, 1], skill=["b", "c", "a", "b", "a~~d"], item=["p", "q", "p", "p", "p"],
        order=[2, 1, 2, 2, 2], duplicates="merge",
    )  # fmt: skip
    assert as_rows(log) == [(1, "u", "q", ("c",), 0), (0, "u", "p", ("b", "a", "d"), 1)]
    assert log.report.duplicates == 3


def test_duplicates_without_items_are_identified_by_order():
    columns = {name: EXPANDED[name] for name in ("student", "order", "skill", "correct")}
    log = Responses.from_arrays(**columns, duplicates="merge")
    assert log.items.tolist() == ["add~~mul", "add", "mul"]
    assert log.report.duplicates == 1


@pytest.mark.parametrize("convert", [list, pd.to_datetime, lambda days: pd.to_datetime(days).date])
def test_dates_identify_no_responses_in_a_log_without_items(convert, caplog):
    """A student may answer several questions about a skill on one day."""
    days = convert(["2024-05-01"] * 3 + ["2024-05-02"])
    log = Responses.from_arrays(list("aaab"), [1, 1, 1, 1], skill=list("xxyx"), order=days, duplicates="merge")
    assert (len(log), log.report.duplicates) == (4, 0)
    assert "map order or response to one" in caplog.text
    log = Responses.from_arrays(list("aaab"), [1, 1, 1, 1], skill=list("xxyx"), item=list("iijk"), order=days)
    assert log.report.duplicates == 1


def test_duplicates_are_identified_by_the_response_id():
    log = Responses.from_arrays(**EXPANDED, response=[1, 2, 3, 4, 5])
    assert log.report.duplicates == 0
    log = Responses.from_arrays(
        ["u"] * 3, [1, 1, 0], skill=["a", "b", "a"], response=["x", "x", "y"], duplicates="merge"
    )
    assert as_rows(log) == [(0, "u", "a~~b", ("a", "b"), 1), (2, "u", "a", ("a",), 0)]


OPTIONS = "a,add,1,{}\na,add,1,{}\na,mul,0,{}\nb,add,1,{}\n"
"""Rows of a log with skills only, with the option that the student chose. Student a chose one of them three times."""


@pytest.mark.parametrize("options", ["BBBA", "2221", "1110"])
@pytest.mark.parametrize("duplicates", ["keep", "merge", "drop"])
def test_chosen_options_are_no_ids_of_responses(tmp_path, caplog, options, duplicates):
    """The same option in two responses does not make them one."""
    text = "student,skill,correct,response,order\n"
    text += "".join(f"{row},{k}\n" for k, row in enumerate(OPTIONS.format(*options).splitlines()))
    (tmp_path / "log.csv").write_text(text)
    log = read_responses(tmp_path / "log.csv", duplicates=duplicates)
    assert (len(log), log.report.duplicates) == (4, 0)
    assert (
        f"the column 'response' is not read as ids of the responses, since one student has '{options[0]}' in different "
        "responses, line 3 and line 4; it may hold the answers that students chose. If it holds ids, rename it, and "
        "map response to its new name"
    ) in caplog.text
    caplog.clear()
    assert len(read_responses(tmp_path / "log.csv", columns={"response": None})) == 4
    assert not caplog.records


def test_ids_of_responses_are_read_without_a_warning(tmp_path, caplog):
    (tmp_path / "log.csv").write_text("student,skill,correct,response\na,x,1,7\na,y,1,7\na,x,0,8\nb,x,0,7\n")
    log = read_responses(tmp_path / "log.csv", duplicates="merge")
    assert (len(log), log.report.duplicates, caplog.records) == (3, 1, [])


def test_chosen_answers_with_items_are_no_ids_of_responses(tmp_path):
    """A column named response may hold the options that students chose, some of them omitted."""
    (tmp_path / "log.csv").write_text("student,item,correct,response\na,p,1,B\na,q,1,A\na,r,0,\n")
    with pytest.raises(ResponsesError, match="response: an empty cell; .*, or read the log without response") as error:
        read_responses(tmp_path / "log.csv")
    assert len(read_responses(tmp_path / "log.csv", **error.value.options)) == 3
    (tmp_path / "log.csv").write_text("student,item,correct,response\na,p,1,B\na,q,1,B\na,q,1,B\na,r,0,\n")
    assert len(read_responses(tmp_path / "log.csv")) == 4
    log = Responses.from_arrays(list("aaa"), [1, 1, 1], item=list("pqq"), response=list("BBB"), duplicates="merge")
    assert (log.items[log.item].tolist(), log.report.duplicates) == (["p", "q"], 1)


def test_rows_with_different_answers_are_not_duplicates():
    columns = EXPANDED | {"correct": [1, 0, 0, 1, 1]}
    assert Responses.from_arrays(**columns).report.duplicates == 0


def test_without_an_order_there_are_no_duplicates():
    columns = {name: EXPANDED[name] for name in ("student", "item", "skill", "correct")}
    assert Responses.from_arrays(**columns).report == Report(rows=5)


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 4, st.integers(0, 1)), min_size=1, max_size=30))
def test_merging_equals_merging_with_a_dictionary(rows):
    student, item, order, skill, correct = map(list, zip(*rows, strict=True))
    log = Responses.from_arrays(student, correct, item=item, order=order, skill=skill, duplicates="merge")
    assert_sound(log)
    expected = {}
    for k, (s, i, o, name, c) in enumerate(rows):
        expected.setdefault((s, i, o, c), (k, []))[1].append(str(name))
    merged = {row[0]: (row[1], row[2], row[3], row[4]) for row in as_rows(log)}
    assert merged == {
        k: (str(s), str(i), tuple(dict.fromkeys(skills)), c) for (s, i, o, c), (k, skills) in expected.items()
    }
    assert log.report.duplicates == len(rows) - len(expected)
    assert [order[k] for k in log.row] == sorted_within(log, [order[k] for k in log.row])


def sorted_within(log, values):
    """Sort the values of each student."""
    return [v for s in range(log.num_students) for v in sorted(values[log.start[s] : log.start[s + 1]])]


# ── tables ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "table",
    [
        COLUMNS,
        {name: np.array(values) for name, values in COLUMNS.items()},
        pd.DataFrame(COLUMNS),
        pd.DataFrame(COLUMNS, index=[9, 9, 3, 1, 0]),
        pa.table(COLUMNS),
        pa.RecordBatch.from_pydict(COLUMNS),
        np.array(
            list(zip(*COLUMNS.values(), strict=True)), [("user", "U3"), ("kc", "U3"), ("right", "i1"), ("when", "f4")]
        ),
    ],
    ids=["lists", "arrays", "pandas", "pandas indexed", "Arrow", "batch", "structured"],
)
def test_tables_of_any_kind_with_a_mapping(table):
    expected = Responses.from_arrays(STUDENTS, CORRECT, skill=SKILLS, order=[5, 4, 3, 2, 1])
    log = Responses.from_table(table, MAPPING)
    assert_sound(log)
    assert as_rows(log) == as_rows(expected)
    assert as_rows(Responses.from_table(table, MAPPING | {"order": None, "timestamp": "when"})) == as_rows(expected)
    assert [row[0] for row in as_rows(Responses.from_table(table, MAPPING | {"order": None}))] == [0, 2, 4, 1, 3]


def test_columns_have_default_names():
    table = {"student": STUDENTS, "item": SKILLS, "correct": CORRECT, "timestamp": [5, 4, 3, 2, 1], "other": [0] * 5}
    assert Responses.from_table(table).row.tolist() == [4, 2, 0, 3, 1]


def test_invalid_tables_are_refused():
    with pytest.raises(
        ResponsesError, match=r"no column for student, skill or item; the columns are 'who', 'correct'; "
    ):
        Responses.from_table({"who": ["a"], "correct": [1]})
    with pytest.raises(ResponsesError, match="there is no column 'who' for student; the columns are 'user'"):
        Responses.from_table(COLUMNS, MAPPING | {"student": "who"})
    with pytest.raises(ResponsesError, match="no column for skill or item"):
        Responses.from_table(COLUMNS, {"student": "user", "correct": "right", "skill": None})
    with pytest.raises(ResponsesError, match="has no column 'learner'; its columns are student, skill"):
        Responses.from_table(COLUMNS, {"learner": "user"})
    with pytest.raises(ResponsesError, match="order and timestamp are two names"):
        Responses.from_table(COLUMNS, MAPPING | {"timestamp": "when"})
    with pytest.raises(ResponsesError, match="got list"):
        Responses.from_table([1, 2])
    twice = pa.table([["a"], ["b"], [1], ["x"]], names=["student", "student", "correct", "skill"])
    with pytest.raises(ResponsesError, match="more than one column is named 'student'"):
        Responses.from_table(twice)
    with pytest.raises(ResponsesError, match=r"the table, row 1 \(counted from 0\), column right: 2; expected 0 or 1"):
        Responses.from_table({"student": ["a", "b"], "skill": [1, 2], "right": [1, 2]}, {"correct": "right"})


# ── matrices ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "matrix",
    [
        MATRIX,
        np.array(MATRIX, np.int8),
        np.array([[1, 0, math.nan], [0, 1, 1]]),
        [[1, 0, None], [0, 1, 1]],
        [["1", "0", "NA"], ["0", "1.0", "true"]],
        np.array([["1", "0", ""], ["0", "1", "1"]]),
        pd.DataFrame([[1, 0, None], [0, 1, 1]]),
    ],
)
def test_a_matrix_is_a_log(matrix):
    log = Responses.from_matrix(matrix)
    assert_sound(log)
    assert as_rows(log) == [
        (0, "0", "0", ("0",), 1),
        (0, "0", "1", ("1",), 0),
        (1, "1", "0", ("0",), 0),
        (1, "1", "1", ("1",), 1),
        (1, "1", "2", ("2",), 1),
    ]
    assert log.matrix().tolist() == MATRIX
    assert log.weight.tolist() == [1, 1]


def test_a_matrix_with_names_and_weights():
    frame = pd.DataFrame(MATRIX, columns=["x", "y", "z"])
    log = Responses.from_matrix(frame, skills=["f", "g", "f"], students=["ann", "bob"], weight=[3, 2.5])
    assert log.items.tolist() == ["x", "y", "z"]
    assert log.skills.tolist() == ["f", "g"]
    assert log.skills[log.skill].tolist() == ["f", "g", "f", "g", "f"]
    assert log.students.tolist() == ["ann", "bob"]
    assert log.weight.tolist() == [3, 2.5]
    assert Responses.from_matrix([[1, 9], [0, 1]], missing=[9]).matrix().tolist() == [[1, -1], [0, 1]]


def test_a_student_without_responses_is_kept():
    log = Responses.from_matrix([[1, 0], [-1, -1], [0, 1]])
    assert log.num_students == 3
    assert log.start.tolist() == [0, 2, 2, 4]


def test_invalid_matrices_are_refused():
    for matrix, message in (
        ([[1, 0], [2, 1]], r"the matrix, row 1 \(counted from 0\), column 0: .*2.*; expected 0, 1 or a missing value"),
        ([[1, 0.5]], r"row 0 \(counted from 0\), column 1: .*0.5"),
        ([[1, "x"]], "column 1: .*'x'"),
        ([1, 0], r"of shape \(students, items\), not empty; got shape \(2,\)"),
        (np.zeros((0, 3)), r"got shape \(0, 3\)"),
        ([[-1, None]], "there is no response"),
    ):
        with pytest.raises(ResponsesError, match=message):
            Responses.from_matrix(matrix)
    for options, message in (
        (
            {"items": ["a", "b"]},
            "the matrix: items must have one name for each of 3 items; got 2 names; pass as many names",
        ),
        ({"items": ["a", "b", "a"]}, "the matrix: the items must have distinct names; got 'a' more than once"),
        ({"students": ["a", None]}, "students must have distinct names; got an empty name"),
        ({"skills": ["a", "b"]}, "one name for each of 3 items"),
        ({"weight": [1]}, "one weight for each of 2 students; got 1"),
        ({"weight": [1, -1]}, r"row 1 \(counted from 0\): its weight -1 is invalid; expected a number >= 0"),
        ({"weight": [math.inf, 1]}, r"row 0 \(counted from 0\): its weight inf is invalid"),
        ({"weight": [1, "x"]}, r"row 1 \(counted from 0\): its weight nan is invalid"),
    ):
        with pytest.raises(ResponsesError, match=message):
            Responses.from_matrix(MATRIX, **options)


def test_bad_cells_are_skipped_and_counted():
    log = Responses.from_matrix([[1, 7], [0.5, 0]], skip_bad=True)
    assert log.matrix().tolist() == [[1, -1], [-1, 0]]
    assert log.report.skipped == {"correct is neither 0 nor 1": 2}


# ── parts of logs ────────────────────────────────────────────────────────────────────────────────


def some_log():
    columns = {"skill": ["a~~b", "a", "c", "b", "c~~a"], "item": ["p", "q", "r", "q", "p"]}
    return Responses.from_arrays(["u", "v", "u", "w", "v"], [1, 0, 0, 1, 1], **columns)


def test_a_subset_keeps_codes_and_the_requested_order():
    log = some_log()
    part = log.subset([2, 0])
    assert part.students.tolist() == ["w", "u"]
    assert part.student.tolist() == [0, 1, 1]
    assert as_rows(part) == [row for name in ("w", "u") for row in as_rows(log) if row[1] == name]
    assert part.skills is log.skills
    assert as_rows(log.subset([True, False, True])) == [row for row in as_rows(log) if row[1] != "v"]
    assert len(log.subset([])) == 0
    assert log.subset([]).start.tolist() == [0]


@pytest.mark.parametrize("students", [[3], [-1], [0, 0], [0.5], ["u"], [[0]], [True]])
def test_invalid_subsets_are_refused(students):
    with pytest.raises(ResponsesError):
        some_log().subset(students)


def test_responses_are_taken_with_their_skills():
    log = some_log()
    part = log.take(log.correct == 1)
    assert as_rows(part) == [row for row in as_rows(log) if row[4] == 1]
    assert part.num_students == 3


@pytest.mark.parametrize(
    "rows", [[1, 0], [0, 0], [-1], [0, 5], [0.0], [[0]], "x", [True], [True] * 6, [False] * 4, ["a"], 0, None]
)
def test_invalid_rows_are_refused(rows):
    """Otherwise the mask of another log would be read, or the responses of students would be mixed."""
    with pytest.raises(ResponsesError, match=r"^rows must be .*; (pass indices|sort the indices)"):
        Responses.from_arrays(STUDENTS, CORRECT, skill=SKILLS).take(rows)


@pytest.mark.parametrize(("fraction", "size"), [(0.25, 25), (0.001, 1), (0.999, 99)])
def test_a_split_is_by_student(fraction, size):
    log = Responses.from_arrays(np.arange(300) % 100, np.arange(300) % 2, skill=np.arange(300) % 7)
    most, part = log.split(fraction, seed=3)
    assert (most.num_students, part.num_students) == (100 - size, size)
    assert set(most.students) | set(part.students) == set(log.students)
    assert sorted(as_rows(most) + as_rows(part)) == sorted(as_rows(log))
    again = log.split(fraction, seed=3)[1]
    assert again.students.tolist() == part.students.tolist()
    if size == 25:
        assert log.split(fraction, seed=4)[1].students.tolist() != part.students.tolist()
        assert (np.diff(codes_of(part.students, log.students)) > 0).all()


def test_invalid_splits_are_refused():
    for fraction in (0, 1, -0.5, math.nan, "0.5", None):
        with pytest.raises(ResponsesError, match=r"in \(0, 1\)"):
            some_log().split(fraction)
    with pytest.raises(ResponsesError, match="requires at least 2 students; the log has 1"):
        some_log().subset([0]).split(0.5)


def test_a_log_is_a_matrix_unless_an_item_is_repeated():
    assert some_log().matrix().tolist() == [[1, -1, 0], [1, 0, -1], [-1, 1, -1]]
    log = Responses.from_arrays(["u", "u"], [1, 0], item=["p", "p"])
    with pytest.raises(ResponsesError, match="student 'u' answered item 'p' more than once"):
        log.matrix()


def test_codes_of_known_names():
    codes = codes_of(np.array(["b", "x", "a"]), np.array(["a", "b"]))
    assert codes.tolist() == [1, -1, 0]
    assert codes.dtype == np.int32


# ── datasets of simulated learners ───────────────────────────────────────────────────────────────


def test_a_dataset_becomes_the_log_of_its_answered_questions(tmp_path):
    dataset = alsim.generate_dataset(5, 2, seed=3, out=tmp_path / "d", episodes_per_shard=3)
    log = Responses.from_dataset(dataset)
    assert_sound(log)
    rows = [row for row in dataset.transitions.to_pylist() if row["correct"] is not None]
    assert len(log) == len(rows) > 0
    questions = dataset.bank.questions
    outcomes = dataset.bank.outcomes
    events = dataset.events.to_pylist()
    for response, row, index in zip(as_rows(log), rows, log.row, strict=True):
        item = row["item"]
        assert response[1:] == (
            f"{row['learner_id']}/{row['episode']}",
            questions.id[item],
            (outcomes[questions.learning_outcome[item]],),
            row["correct"],
        )
        assert (events[index]["event"], events[index]["step"]) == ("answered", row["step"])
    assert log.num_students == 10
    assert len(Responses.from_dataset(alsim.load_dataset(tmp_path / "d"))) == len(log)


# ── real logs ────────────────────────────────────────────────────────────────────────────────────


def test_real_logs(published):
    lsat = read_responses(published / "irt" / "lsat6_patterns.csv")
    assert lsat.weight.sum() == 1000
    assert (lsat.num_students, lsat.num_items, len(lsat)) == (30, 5, 150)
    sat = read_responses(published / "irt" / "sat12_scored_key5.csv")
    assert (sat.num_students, sat.num_items, len(sat)) == (600, 32, 19_200)
    matrix = read_responses(published / "kt_synthetic5" / "v0.csv")
    assert matrix.matrix().shape == (4000, 50)
    expected = np.loadtxt(published / "kt_synthetic5" / "v0.csv", delimiter=",")
    assert (matrix.matrix() == expected).all()


def test_a_real_log_of_three_lines(published):
    train = read_responses(published / "kt_assist2015" / "train.csv")
    test = read_responses(published / "kt_assist2015" / "test.csv")
    assert (len(train), len(test), train.num_skills) == (484_040, 199_761, 100)  # as published
    lines = (published / "kt_assist2015" / "test.csv").read_text().splitlines()
    correct = [int(cell) for line in lines[2::3] for cell in line.split(",") if cell.strip()]
    skills = [cell.strip() for line in lines[1::3] for cell in line.split(",") if cell.strip()]
    assert test.correct.tolist() == correct
    assert test.skills[test.skill].tolist() == skills


def test_a_real_log_with_a_duplicate(published):
    columns = {
        "student": "Anon Student Id",
        "item": "Problem Name",
        "skill": "KC(Default)",
        "correct": "Correct First Attempt",
        "order": "Row",
    }
    file = published / "bkt_cognitive_tutor" / "responses.csv"
    log = read_responses(file, columns=columns)
    assert (len(log), log.num_students, log.num_skills) == (16_858, 587, 12)
    assert log.report.duplicates == 1
    lines = file.read_text().splitlines()
    first, second = (k for k, line in enumerate(lines, 1) if line.startswith("1978,"))
    assert log.report.duplicate == f"{file}, line {second} repeats the response of line {first}"
    assert len(read_responses(file, columns=columns, duplicates="drop")) == 16_857


# ── tables of other libraries, and masks ─────────────────────────────────────────────────────────


def test_a_matrix_of_booleans():
    expected = [[1, 0], [0, 1]]
    assert Responses.from_matrix(np.array(expected, np.bool_)).matrix().tolist() == expected
    frame = pd.DataFrame({"a": [True, False], "b": [None, True]})
    assert Responses.from_matrix(frame).matrix().tolist() == [[1, -1], [0, 1]]


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.bool_, object])
def test_masked_cells_of_a_matrix_are_missing(dtype):
    masked = np.ma.MaskedArray(np.array([[1, 0], [1, 1]], dtype), mask=[[False, True], [False, False]])
    assert Responses.from_matrix(masked).matrix().tolist() == [[1, -1], [1, 1]]


@pytest.mark.parametrize("names", [["ann", "bob", "cat"], [1, 2, 3]])
def test_masked_names_are_missing(names):
    with pytest.raises(ResponsesError, match=r"row 1 \(counted from 0\), column student: an empty cell"):
        Responses.from_arrays(np.ma.MaskedArray(names, mask=[False, True, False]), [1, 0, 1], skill=["x"] * 3)


def test_the_index_of_a_data_frame_names_the_students():
    frame = pd.DataFrame({"id": ["ann", "bob"], "a": [1, 0], "b": [0, 1]})
    assert Responses.from_matrix(frame.set_index("id")).students.tolist() == ["ann", "bob"]
    assert Responses.from_matrix(frame[["a", "b"]]).students.tolist() == ["0", "1"]
    assert Responses.from_matrix(frame.set_index("id"), students=["x", "y"]).students.tolist() == ["x", "y"]
    assert Responses.from_matrix(frame.set_index(["id", "b"])[["a"]]).students.tolist() == ["ann/0", "bob/1"]
    repeated = frame.assign(id="ann").set_index("id")
    with pytest.raises(ResponsesError, match="distinct names; got 'ann' more than once.*or pass other names as stud"):
        Responses.from_matrix(repeated)


def test_tables_of_polars():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"student": ["ann", "bob"], "skill": [["x", "y"], ["x"]], "correct": [1, 0]})
    for table in (frame, frame.lazy()):
        log = Responses.from_table(table)
        assert log.skills.tolist() == ["x", "y"] and log.skill_start.tolist() == [0, 2, 3]
    log = Responses.from_arrays(frame["student"], frame["correct"], skill=frame["skill"])
    assert log.skills.tolist() == ["x", "y"]
    wide = polars.DataFrame({"a": [1, 0], "b": [None, 1]})
    for table in (wide, wide.lazy()):
        log = Responses.from_matrix(table)
        assert log.matrix().tolist() == [[1, -1], [0, 1]] and log.items.tolist() == ["a", "b"]


def test_a_column_named_like_frequencies_is_named(caplog):
    frame = pd.DataFrame({"a": [1, 0], "b": [0, 1], "n": [1, 0]})
    Responses.from_matrix(frame)
    assert "column 'n' is read as an item" in caplog.text and "weight=" in caplog.text
    with pytest.raises(ResponsesError, match="holds the number of students of each row, pass it as weight="):
        Responses.from_matrix(frame.assign(n=[1, 40]))
