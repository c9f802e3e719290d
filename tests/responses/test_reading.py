"""Response logs from files: formats, their detection, and the place of the first invalid row."""

import csv
import gzip
import io
import zipfile

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from logged import COLUMNS, CORRECT, MAPPING, MATRIX, SKILLS, STUDENTS, as_rows, assert_sound

from alsim.models import Responses, ResponsesError, read_responses

LONG = "user,kc,right,when,note\n" + "".join(
    f'{s},{k},{c},{o},"a, b"\n' for s, k, c, o in zip(*COLUMNS.values(), strict=True)
)
"""The log of COLUMNS, with an additional column."""
EXPECTED = as_rows(Responses.from_arrays(STUDENTS, CORRECT, skill=SKILLS, order=[5, 4, 3, 2, 1]))


# ── long ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (str, {}),
        (lambda text: text.replace("\n", "\r\n"), {}),
        (lambda text: text.replace("\n", "\n\n"), {}),
        (lambda text: text.replace("user,kc", " user , kc"), {}),
        (lambda text: text.replace('"a, b"', "a b").replace(",", ";"), {}),
        (lambda text: text.replace('"a, b"', "a b").replace(",", "\t"), {}),
        (lambda text: text.replace('"a, b"', "a b").replace(",", "|"), {"delimiter": "|"}),
        (lambda text: text.replace('"a, b"', "a b").replace(",", "#"), {"delimiter": "#"}),
        (lambda text: text.replace('"a, b"', '"a\nb"'), {}),
        (lambda text: b"\xef\xbb\xbf" + text.encode(), {}),
        (lambda text: text.encode("utf-16"), {}),
        (lambda text: text.encode("utf-16-le"), {"encoding": "utf-16-le"}),
        (lambda text: text.replace("a, b", "é").encode("latin-1"), {"encoding": "latin-1"}),
        (lambda text: text.rstrip("\n"), {"format": "long"}),
    ],
)
def test_a_long_text(write, change, options):
    log = read_responses(write(change(LONG)), columns=MAPPING, **options)
    assert_sound(log)
    assert as_rows(log) == EXPECTED
    assert log.report.rows == 5


def test_names_of_any_script(write):
    text = "student,skill,correct\nÅsa,β,1\n李,β,0\n"
    log = read_responses(write(text))
    assert log.students.tolist() == ["Åsa", "李"]
    with pytest.raises(
        ResponsesError, match="not in UTF-8; pass its encoding, such as encoding='latin-1'|not in the expected encoding"
    ):
        read_responses(write("student,skill,correct\nÅsa,b,1\n".encode("latin-1")))
    assert (
        read_responses(write("student,skill,correct\nÅsa,b,1\n".encode("latin-1")), encoding="latin-1").students
        == "Åsa"
    )


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("log.parquet", pq.write_table),
        ("log.PQ", pq.write_table),
        ("log.arrow", pyarrow.feather.write_feather),
        ("log.feather", pyarrow.feather.write_feather),
    ],
)
def test_a_long_binary(tmp_path, name, save):
    save(pa.table(COLUMNS), tmp_path / name)
    assert as_rows(read_responses(tmp_path / name, columns=MAPPING)) == EXPECTED
    bad = COLUMNS | {"right": [1, 0, 2, 1, 1]}
    save(pa.table(bad), tmp_path / name)
    with pytest.raises(ResponsesError, match=rf"{name}, row 3, column right: 2; expected 0 or 1"):
        read_responses(tmp_path / name, columns=MAPPING)


def test_lists_of_skills_in_parquet(tmp_path):
    file = tmp_path / "log.parquet"
    pq.write_table(pa.table({"student": ["a", "a"], "skill": [["x", "y"], ["x"]], "correct": [True, False]}), file)
    assert as_rows(read_responses(file)) == [(0, "a", "x~~y", ("x", "y"), 1), (1, "a", "x", ("x",), 0)]


BAD = (
    "student,skill,correct,order\na,x,1,1\n\nb,,0,1\nb,x,maybe,2\n" + 'b,"x\ny",1,3\n' + ",x,1,1\nb,x,1,soon\na,x,0,2\n"
)


def test_bad_rows_of_a_text_are_named_by_line(write):
    """Lines are counted as in an editor, including empty lines and line breaks within cells."""
    messages = [
        "line 4, column skill: an empty cell; expected a name",
        "line 5, column correct: 'maybe'; expected 0 or 1",
        "line 8, column student: an empty cell; expected a name",
        "line 9, column order: 'soon'; expected a number, or a time such as 2024-05-02 10:01:30, as in most rows",
    ]
    file = write(BAD)
    with pytest.raises(ResponsesError) as caught:
        read_responses(file)
    assert caught.value.problem == f"{file}, {messages[0]}"
    assert str(caught.value) == f"{file}, {messages[0]}; correct the cell, or skip invalid rows with skip_bad=True"
    log = read_responses(file, skip_bad=True)
    assert sorted(log.report.examples.values()) == [f"{file}, {line}" for line in messages]
    assert sum(log.report.skipped.values()) == 5  # and a skill with a line break, in line 6
    assert as_rows(log) == [(0, "a", "x", ("x",), 1), (6, "a", "x", ("x",), 0)]


def test_ragged_rows_are_named_by_line(write):
    file = write("student,skill,correct\na,x,1\n\na,x\nb,x,1,7\nb,x,0\nb,x,9\n")
    with pytest.raises(ResponsesError, match=r"log.csv, line 4: 2 cells; expected 3, as in the first line; "):
        read_responses(file)
    log = read_responses(file, skip_bad=True)
    assert as_rows(log) == [(0, "a", "x", ("x",), 1), (3, "b", "x", ("x",), 0)]
    assert log.report.skipped == {"more or fewer cells than columns": 2, "correct is neither 0 nor 1": 1}
    assert log.report.rows == 5
    assert "line 7, column correct: '9'" in log.report.examples["correct is neither 0 nor 1"]


def test_duplicates_of_a_text_are_named_by_line(write):
    file = write("student,item,skill,correct,order\na,p,x,1,7\na,p,y,1,7\na,q,y,1,8\n")
    assert read_responses(file).report.duplicate == f"{file}, line 3 repeats the response of line 2"
    merged = read_responses(file, duplicates="merge")
    assert as_rows(merged) == [(0, "a", "p", ("x", "y"), 1), (2, "a", "q", ("y",), 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        ("student,skill,correct\n", "there is no response"),
        (
            "who,skill,correct\na,x,1\n",
            "there is no column for student; the columns are 'who', 'skill'",
        ),
        ("student,student,skill,correct\na,a,x,1\n", "more than one column is named 'student'"),
        ('student,skill,correct\na,"x,1\n', "log.csv"),
        (b"student,skill,correct\na,\xff,1\n", "encoding"),
        (b"\x00\x01\x02", "log.csv"),
    ],
)
def test_texts_that_are_not_logs(write, content, message):
    with pytest.raises(ResponsesError, match=message) as caught:
        read_responses(write(content))
    assert "log.csv" in str(caught.value)


def test_invalid_options_are_refused(write, tmp_path):
    file = write(LONG)
    for options, message in (
        ({"format": "json"}, "one of long, wide, three-line, .*, junyi, kdd-cup; got 'json'; pass one of them"),
        ({"delimiter": "::"}, "delimiter must be one character, and neither a quote nor a line break; got '::'"),
        ({"encoding": "klingon"}, "unknown encoding"),
        ({"columns": {"student": "pupil"}}, "there is no column 'pupil' for student"),
    ):
        with pytest.raises(ResponsesError, match=message):
            read_responses(file, **options)
    with pytest.raises(ResponsesError, match="there is no such file"):
        read_responses(tmp_path / "nowhere.csv")
    with pytest.raises(ResponsesError, match="is a directory; expected a file"):
        read_responses(tmp_path)
    with pytest.raises(ResponsesError, match="is not a valid table"):
        read_responses(write("no parquet", "log.parquet"))


@pytest.mark.parametrize("error", [MemoryError(), pa.ArrowMemoryError("malloc of size 64 failed")], ids=repr)
def test_a_log_that_does_not_fit_into_memory_is_named(error, write, monkeypatch):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("alsim.responses.text._parse", fail)
    with pytest.raises(ResponsesError, match=r"log.csv: does not fit into memory; split it by students, or write only"):
        read_responses(write(LONG), columns=MAPPING)


def test_cells_of_many_lines_are_read_in_the_time_of_their_bytes(write, monkeypatch):
    """Each line within quotes is tested for being a row; a parser per line would take minutes for 80 million lines."""
    parsers = []
    reader = csv.reader
    monkeypatch.setattr(
        "alsim.responses.text.csv.reader", lambda *args, **kwargs: parsers.append(0) or reader(*args, **kwargs)
    )
    cell = '"' + 'a, ""b"" c\n' * 200 + '"'
    log = read_responses(write("student,skill,correct,actions\n" + f"s,x,1,{cell}\n" * 20))
    assert len(log) == 20
    assert len(parsers) < 400  # of 4,000 lines


def test_a_byte_of_another_encoding_far_into_a_file(write):
    text = "student,skill,correct\n" + "ann,x,1\n" * 5_000
    file = write(text.encode() + "Åsa,x,1\n".encode("latin-1"))
    with pytest.raises(ResponsesError, match="log.csv: is not in UTF-8; pass its encoding, such as encoding='latin-1'"):
        read_responses(file)
    assert len(read_responses(file, encoding="latin-1")) == 5_001


WHOLE = "student,item,skill,correct\n7,10,3,1\n7.0,10.0,3.00,0\n 7.,010,03~~3.0,1\n8,010.0,1.50,1\n"
"""Whole numbers with and without decimals, and with leading zeros."""


def test_whole_numbers_are_one_name_with_and_without_decimals(write, tmp_path):
    """The same within one file, in two files, and in a Parquet file; 010 is another name than 10."""
    log = read_responses(write(WHOLE))
    assert (log.students.tolist(), log.items.tolist()) == (["7", "8"], ["10", "010"])
    assert log.skills.tolist() == ["3", "03", "1.50"]
    assert [row[3] for row in as_rows(log)] == [("3",), ("3",), ("03", "3"), ("1.50",)]
    other = read_responses(write(WHOLE.replace("7,10,3,", "7.0,10.0,3.0,")))
    assert as_rows(other) == as_rows(log)
    table = pa.table({"student": ["7", "7.0"], "item": ["10", "10.0"], "skill": ["3", "3."], "correct": [1, 0]})
    pq.write_table(table, tmp_path / "log.parquet")
    assert read_responses(tmp_path / "log.parquet").items.tolist() == ["10"]
    split = read_responses(write("student,skill,correct\n7,1.0,1\n"), separator=".")
    assert sorted(split.skills.tolist()) == ["0", "1"]


def test_whole_numbers_name_one_item_of_a_wide_file(write):
    with pytest.raises(ResponsesError, match="the items must have distinct names; got '10' more than once"):
        read_responses(write("student,10,10.0\nx,1,0\ny,1,1\n"))
    with pytest.raises(ResponsesError, match="column 1.0: '7'; .*") as error:
        read_responses(write("student,1.0,1.1,1.2\na,7,0,1\nb,8,0,0\nc,1,0,1\n"), format="wide")
    assert error.value.options == {"columns": {"1.0": None}}
    assert len(read_responses(write("student,1.0,1.1,1.2\na,7,0,1\nb,8,0,0\n"), **error.value.options)) == 4


@pytest.mark.parametrize("cell", ["9", "9.0", "9.", " 9.00 "])
@pytest.mark.parametrize("missing", [9, 9.0, "9", "9.0"], ids=repr)
def test_values_that_mean_no_response_are_compared_as_numbers(cell, missing, write):
    wide = read_responses(write(f"student,p,q\na,1,{cell}\nb,0,1\n"), missing=[missing])
    assert len(wide) == 3
    detected = read_responses(write(f"{cell},1\n{cell},1\n0,1\n1,0\n"), missing=[missing])
    assert (len(detected), detected.report.is_wide, detected.report.has_header) == (6, True, False)
    long = read_responses(write(f"student,skill,correct\na,x,1\na,x,{cell}\n"), missing=[missing])
    assert (len(long), long.report.skipped) == (1, {"no response": 1})
    with pytest.raises(ResponsesError):
        read_responses(write("student,skill,correct\na,x,1\na,x,09\n"), missing=[missing])


def test_minus_one_with_decimals_means_no_response_in_a_wide_file(write):
    assert len(read_responses(write("student,p,q\na,1,-1.0\nb,0,1.0\n"))) == 3


def test_blank_lines_are_skipped(write):
    log = read_responses(write("student,skill,correct\n   \na,x,1\n \nb,x,0\n"))
    assert as_rows(log) == [(0, "a", "x", ("x",), 1), (1, "b", "x", ("x",), 0)]
    with pytest.raises(ResponsesError, match="line 5, column correct: '2'"):
        read_responses(write("student,skill,correct\n   \na,x,1\n \nb,x,2\n"))


# ── wide ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "items", "options"),
    [
        ("x,y,z\n1,0,\n0,1,1\n", "xyz", {}),
        ("x,y,z\n1,0,NA\n0,1,1\n", "xyz", {}),
        ("x,y,z\n1.0,0.0,NaN\n0.0,1.0,1.0\n", "xyz", {}),
        ("x;y;z\n1;0;-1\n0;1;1\n", "xyz", {}),
        ("x,y,z\n1,0,9\n0,1,1\n", "xyz", {"missing": ["9"], "format": "wide"}),
        ("1,0,-1\n0,1,1\n", "012", {}),
        ("1,0,.\n0,1,1\n", "012", {"missing": ["."]}),
        ("1\t0\t\n0\t1\t1\n", "012", {"format": "wide"}),
    ],
)
def test_a_wide_text(write, content, items, options):
    log = read_responses(write(content), **options)
    assert_sound(log)
    assert log.matrix().tolist() == MATRIX
    assert log.items.tolist() == list(items)
    assert log.students.tolist() == ["0", "1"]


def test_a_wide_text_with_students_and_weights(write):
    file = write("student,x,freq,y\nann,1,3,0\nbob,0,20,\n")
    log = read_responses(file)
    assert log.items.tolist() == ["x", "y"]
    assert log.students.tolist() == ["ann", "bob"]
    assert log.weight.tolist() == [3, 20]
    named = write("id,x,n,y\nann,1,3,0\nbob,0,20,\n")
    assert read_responses(named, columns={"student": "id", "freq": "n"}).weight.tolist() == [3, 20]


def test_a_wide_binary(tmp_path):
    file = tmp_path / "log.parquet"
    pq.write_table(pa.table({"x": [1, 0], "y": [0.0, None], "freq": [5, 6]}), file)
    log = read_responses(file)
    assert log.matrix().tolist() == [[1, 0], [0, -1]]
    assert log.weight.tolist() == [5, 6]
    pq.write_table(pa.table({"x": [1, 3], "y": [0.0, None]}), file)
    with pytest.raises(ResponsesError, match="row 2, column x: 3; expected 0, 1 or a missing value"):
        read_responses(file, format="wide")
    with pytest.raises(ResponsesError, match="the format three-line is for text files; choose long or wide"):
        read_responses(file, format="three-line")


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("x,y\n1,0\n\n1,2\n", None, "line 4, column y: '2'; expected 0, 1 or a missing value"),
        ("x,x\n1,0\n", None, "more than one column is named 'x'"),
        ("x,y\n1,0\n1\n", None, "line 3: 1 cells; expected 2"),
        ("x,freq\n1,-2\n", None, "line 2: its weight -2 is invalid; expected a number >= 0"),
        ("x,freq\n1,\n", None, "line 2: its weight nan is invalid; expected a number >= 0"),
        ("student,x\nann,1\nann,0\n", None, "log.csv: the students must have distinct names; got 'ann' more than once"),
        ("student,freq\nann,1\n", None, "there is no response"),
        ("x,y\n", None, "there is no response"),
        ("x,y\n1,0\n", {"skill": "x"}, "can map only student and freq, since all others are items; got 'skill'"),
        ("x,y\n1,0\n", {"freq": "n"}, "there is no column 'n' for freq; the columns are 'x', 'y'"),
    ],
)
def test_invalid_wide_texts_are_refused(write, content, columns, message):
    with pytest.raises(ResponsesError, match=message):
        read_responses(write(content), format="wide", columns=columns)


def test_bad_cells_and_rows_of_a_wide_text_are_skipped(write):
    file = write("x,y\n1,0\n1\n0,7\n1,1\n")
    log = read_responses(file, format="wide", skip_bad=True)
    assert log.matrix().tolist() == [[1, 0], [0, -1], [1, 1]]
    assert log.report.skipped == {"more or fewer cells than columns": 1, "correct is neither 0 nor 1": 1}
    assert "line 4, column y: '7'" in log.report.examples["correct is neither 0 nor 1"]
    assert sorted(set(log.row.tolist())) == [0, 2, 3]


# ── three lines per student ──────────────────────────────────────────────────────────────────────

TRACED = [
    (0, "0", "4", ("4",), 1),
    (1, "0", "5", ("5",), 0),
    (2, "0", "4", ("4",), 1),
    (3, "1", "7", ("7",), 0),
    (4, "1", "4", ("4",), 1),
]


@pytest.mark.parametrize(
    "content",
    [
        "3\n4,5,4\n1,0,1\n2\n7,4\n0,1\n",
        "3\n4,5,4,\n1,0,1,\n2\n7,4,\n0,1,",
        "3\r\n4,5,4\r\n1,0,1\r\n\r\n2\r\n7,4\r\n0,1\r\n\r\n",
        "3\n4.0,5.0,4.0\n1.0,0.0,1.0\n2\n7.0,4\n0.0,1\n",
        "3,\n4, 5, 4\n1, 0, 1\n2,\n7, 4\n0, 1\n",
        "\ufeff3\n4,5,4\n1,0,1\n2\n7,4\n0,1\n",
    ],
)
def test_three_lines_per_student(write, content):
    log = read_responses(write(content))
    assert_sound(log)
    assert as_rows(log) == TRACED
    assert as_rows(read_responses(write(content), format="three-line")) == TRACED


def test_a_student_without_responses_is_counted(write):
    log = read_responses(write("0\n\n\n1\n4\n1\n0\n\n\n"), format="three-line")
    assert as_rows(log) == [(0, "1", "4", ("4",), 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("2\n4,5\n1,2\n", "lines 1 to 3, response 2, column correct: '2'; expected 0 or 1"),
        ("1\n4\n1\n2\n4,5\n1,0.5\n", "lines 4 to 6, response 2, column correct: '0.5'"),
        (
            "2\n4,,5\n1,0\n",
            "line 1: 2 responses, but 3 skills and 2 answers in the next two lines; expected equal numbers",
        ),
        ("3\n4,,5\n1,0,1\n", "lines 1 to 3, response 2, column skill: an empty cell"),
        ("x\n4\n1\n", "line 1: 'x'; expected the number of responses of a student"),
        ("1\n4\n", "line 1: the file ends within the three lines of a student"),
        ("0\n\n\n", "there is no response"),
    ],
)
def test_invalid_three_lines_are_refused(write, content, message):
    with pytest.raises(ResponsesError, match=message):
        read_responses(write(content), format="three-line")


def test_bad_responses_of_three_lines_are_skipped(write):
    file = write("2\n4,5\n1,2\n3\n1,2\n1,0,1\n1\n4\n0\n")
    log = read_responses(file, format="three-line", skip_bad=True)
    assert [row[1:] for row in as_rows(log)] == [("0", "4", ("4",), 1), ("2", "4", ("4",), 0)]
    assert log.report.skipped == {"three lines of different lengths": 3, "correct is neither 0 nor 1": 1}
    with pytest.raises(ResponsesError, match="there is no valid row"):
        read_responses(write("3\n1,2\n1,0,1\n"), format="three-line", skip_bad=True)


def test_lines_above_those_of_the_students_count(write):
    log = read_responses(write("a title\n\n2\n4,5\n1,0\n"), format="three-line", skip_lines=2)
    assert log.correct.tolist() == [1, 0]
    with pytest.raises(ResponsesError, match="lines 3 to 5, response 2, column correct: '7'"):
        read_responses(write("a title\n\n2\n4,5\n1,7\n"), format="three-line", skip_lines=2)


ROWS = "".join(f"u{k % 50},s{k % 7},{k % 2},note\n" for k in range(2000))


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ('u1,"add,1,note\n', 1002),  # the rest has too few cells
        ('u1,add,1,"note\n', 1002),  # the rest is a cell that is not read
        ('u1,add,"1,note\n', 1002),
        ('u1,"add\nsub,1,"note\n', 1003),  # an even number of quotes
        ('u1,"a""dd,1,note\n', 1002),
    ],
)
def test_a_quote_that_is_not_closed_is_an_error_with_its_line(write, skip_bad, broken, line):
    """Otherwise the rest of the file would be skipped as one row, or read as a cell of another column."""
    lines = ROWS.splitlines(keepends=True)
    if line == 1003:
        broken = broken.replace('"add\nsub', '"add\nsub"')
    for rest in (lines[1000:], lines[:100] * 400, []):  # also more than csv's limit of a cell, and none
        file = write("".join(["student,skill,correct,remark\n", *lines[:1000], broken, *rest]))
        with pytest.raises(ResponsesError, match=f"line {line}: the quote that opens here is not closed") as caught:
            read_responses(file, skip_bad=skip_bad)
        assert caught.value.cure.startswith("close it or remove it, or read all quotes as")


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ('u1,add,1,"5 inches\n', 'u2,add,1,"6 inches\n'),  # a cell that is not read
        ('u1,add,1,"5 inches\n', 'u2,add,1,6"\n'),
        ('u1,"add,1,note\n', 'u2,add",1,note\n'),
    ],
)
def test_a_quote_that_is_closed_in_a_later_row_is_an_error_with_its_line(write, opening, closing, skip_bad):
    """Otherwise the rows between them would be a part of one cell."""
    lines = ROWS.splitlines(keepends=True)[:50]
    file = write("".join(["student,skill,correct,remark\n", *lines, opening, *lines, closing, *lines]))
    with pytest.raises(ResponsesError, match="line 52: the quote that opens here is closed in a later row"):
        read_responses(file, skip_bad=skip_bad)
    assert len(read_responses(file, quoting=False)) == 152


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('student,skill,note,correct\nb,x,"oops,0\nb,x,n,0\nb,x,n",0\nc,x,k,1\n', 2),
        ('student,skill,note,correct\na,x,n,1\nb,x,"oops,0\nb,x,n",0\n', 3),
        ('student,skill,note,correct\nb,x,"oops,0\nb,x,n,0\nb,x,"good, but late",0\n', 2),
        ('id,q1,q2\na,1,"0\nb,1,1\nc,1",0\nd,1,1\n', 2),
    ],
)
def test_one_or_two_rows_within_a_quote_are_not_lost(write, content, line, skip_bad):
    with pytest.raises(ResponsesError, match=f"line {line}: the quote that opens here is closed in a later row"):
        read_responses(write(content), skip_bad=skip_bad)


@pytest.mark.parametrize("text", ["two\nlines", "one, two\nlines", "a, b\nc, d\ne", "a\nb, c, d", "a\n\nb,c,d,e"])
@pytest.mark.parametrize("place", [2, 3])
def test_a_text_of_several_lines_is_one_cell(write, text, place):
    rows = [["a", "x", "1"], ["b", "x", "0"]]
    for row in rows:
        row.insert(place, f'"{text}"')
    header = ["student", "skill", "correct"]
    header.insert(place, "note")
    content = "\n".join(map(",".join, [header, *rows])) + "\n"
    assert len(read_responses(write(content))) == 2


def test_a_quote_that_is_not_closed_in_the_header_or_in_a_wide_file(write):
    for content, line in (
        ('student,"skill,correct\n' + "a,b,1\n" * 30_000, 1),
        ('student,"skill,correct\na,b,1\n', 1),
        ('q1,q2,q3\n1,0,1\n1,"0,1\n1,1,1\n0,0,0\n', 3),
        ("student,skill,correct\ra,b,1\r", None),
    ):
        if line:
            with pytest.raises(ResponsesError, match=f"log.csv, line {line}: .*quote"):
                read_responses(write(content), skip_bad=True)


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_quote_does_not_make_a_row_part_of_the_name_of_a_student(write, skip_bad):
    file = write('id,q1,q2\n"a\nb",1,1\nc,1,0\n')
    with pytest.raises(ResponsesError) as error:
        read_responses(file, skip_bad=skip_bad)
    assert str(error.value) == (
        f"{file}, line 2, column id: 'a\\nb'; expected a name without a line break; is a quote not closed?; "
        "close the quote, or rename the student"
    )


def test_quotes_that_are_closed_are_read(write):
    content = 'student,skill,correct,remark\na,"x, y",1,"two\nlines"\n\nb,x 5" z,0,""\n"b","say ""x""",1,odd"\n'
    log = read_responses(write(content))
    assert log.skills.tolist() == ["x, y", 'x 5" z', 'say "x"']
    text = 'student,skill,correct,remark\na,x,1,"one, two\n\n1, 2, 3, 4\n5, 6, 7\n"\nb,x,0,""\n'
    assert len(read_responses(write(text))) == 2
    long = "two\n" * 50_000  # more than csv's limit of a cell
    assert len(read_responses(write(f'student,skill,correct,remark\na,x,1,""\na,x,0,"{long}"\n'))) == 2
    with pytest.raises(ResponsesError, match="line 2: field larger than field limit .*; shorten the cell"):
        read_responses(write(f'user,skill,right\na,x,"{long}"\n'))


def test_columns_of_answers_are_not_searched_in_an_unclosed_quote(write):
    with pytest.raises(ResponsesError, match="line 2: the quote that opens here is not closed"):
        read_responses(write('user,skill,right\na,"x,1\n' + "b,x,0\n" * 30_000), skip_bad=True)


def test_a_compressed_binary_table_is_named(tmp_path):
    file = tmp_path / "log.parquet"
    pq.write_table(pa.table({"student": ["a", "b"], "skill": ["x", "x"], "correct": [1, 0]}), file)
    packed = tmp_path / "log.parquet.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    with pytest.raises(ResponsesError, match="is a Parquet file; expected a text file; decompress it, and rename it"):
        read_responses(packed)


def test_line_breaks_in_names_are_invalid(write):
    file = write('student,skill,correct\na,x,1\na,"y\nx",1\nb,x,0\n')
    with pytest.raises(
        ResponsesError, match="line 3, column skill: .* expected a name without a line break; is a quote"
    ):
        read_responses(file)
    log = read_responses(file, skip_bad=True)
    assert len(log) == 2 and sum(log.report.skipped.values()) == 1
    for column in ("student", "item", "skill"):
        columns = {"student": ["a", "b"], "item": ["i", "j"], "skill": [["s", "t"], ["u"]], "correct": [0, 1]}
        columns[column] = [["s", "t\nt"], ["u"]] if column == "skill" else ["a", "b\nc"]
        with pytest.raises(ResponsesError, match=f"column {column}"):
            Responses.from_arrays(**columns)


def test_duplicates_without_an_order_are_dropped_by_item(write, caplog):
    """The first row of a student with the same item and answer is kept, and the number of the others is logged."""
    file = write("student,item,correct\na,x,1\na,y,1\na,x,1\na,x,0\nb,x,1\na,x,1\n")
    log = read_responses(file, duplicates="drop")
    assert log.row.tolist() == [0, 1, 3, 4] and log.report.duplicates == 2
    assert "the first of them is kept, and 2 are dropped" in caplog.text
    caplog.clear()
    assert len(read_responses(file, duplicates="merge")) == 6  # the rows of several attempts have no other skills
    assert "log.csv: duplicates are not detected" in caplog.text
    caplog.clear()
    assert len(read_responses(file)) == 6 and not caplog.text


def test_duplicates_cannot_be_dropped_without_items_and_an_order(write):
    """Equal rows of one skill are usually several attempts."""
    with pytest.raises(ResponsesError, match="may be several attempts; name one of these columns with columns=.*order"):
        read_responses(write("student,skill,correct\na,x,1\na,x,1\n"), duplicates="drop")


def test_a_row_that_is_skipped_as_a_whole_is_no_student(write):
    """A student without responses is counted by BIC; a row of means is no student."""
    rows = "id,x,y,z\na,1,0,1\nb,0,,1\nc,,,\nMean,0.5,0.25,1.75\nSD,0.4,0.6,0.1\n"
    with pytest.raises(ResponsesError, match="line 5.*0.5.*remove the row if it is not a student, such as"):
        read_responses(write(rows))
    log = read_responses(write(rows), skip_bad=True)
    assert log.students.tolist() == ["a", "b", "c"] and log.row.tolist() == [0, 0, 0, 1, 1]
    assert log.report.skipped == {"correct is neither 0 nor 1": 6} and log.report.rows == 5
    assert (log.num_students, log.num_respondents) == (3, 2)


# ── compressed files ─────────────────────────────────────────────────────────────────────────────


def zipped(**members):
    """Return a zip archive."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return archive.getvalue()


def test_compressed_files_are_read(write):
    text = "student,skill,correct\nann,add,1\nbob,add,0\n"
    expected = as_rows(read_responses(write(text)))
    for content in (gzip.compress(text.encode()), zipped(**{"a/log.csv": text, "a/": ""})):
        assert as_rows(read_responses(write(content, "log.csv.gz"))) == expected
        with pytest.raises(ResponsesError, match="log.csv.gz, line 3, column correct: '0.5'"):
            broken = text.replace("add,0", "add,0.5")
            packed = gzip.compress(broken.encode()) if content[:2] == b"\x1f\x8b" else zipped(log=broken)
            read_responses(write(packed, "log.csv.gz"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(**{"[Content_Types].xml": "", "xl/workbook.xml": ""}), "is an Excel workbook; expected a text file"),
        (zipped(mimetype="application/vnd.oasis", content=""), "is an OpenDocument spreadsheet; expected a text file"),
        (zipped(a="x", b="y"), r"is an archive of 2 files \(a, b\); expected one; extract the file of the responses"),
        (zipped(**{"a/": ""}), r"is an archive of 0 files \(\); expected one"),
        (gzip.compress(b"student,skill,correct\n" * 9, mtime=0)[:-9], "cannot be decompressed: .*; write it again"),
        (b"\x1f\x8b\x08not", "cannot be decompressed"),
        (b"PK\x03\x04not", "cannot be decompressed"),
        (gzip.compress(b"PAR1", mtime=0), "is a Parquet file"),
        (b"$FL2@(#) SPSS DATA FILE", "is an SPSS file; .*pandas.read_spss"),
        (b"<stata_dta><header>", "is a Stata file"),
    ],
)
def test_other_archives_and_files_are_named(write, content, message):
    with pytest.raises(ResponsesError, match=message):
        read_responses(write(content))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_archives_of_every_method_are_refused(write, method):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", method) as file:
        file.writestr("log", "student,skill,correct\n" + "a,x,1\n" * 200)
    content = bytearray(archive.getvalue())
    content[50:60] = b"\xff" * 10
    with pytest.raises(ResponsesError, match="log.csv: cannot be"):
        read_responses(write(bytes(content)))


def test_a_decompressed_file_is_bounded(write, monkeypatch):
    monkeypatch.setattr("alsim.responses.compressed.MAX_BYTES", 1000)
    with pytest.raises(ResponsesError, match="has more than 1,000 bytes when decompressed; decompress it, or split"):
        read_responses(write(gzip.compress(b"student,skill,correct\n" + b"a,x,1\n" * 1000)))


def test_a_small_file_that_decompresses_to_a_large_one_is_refused(write, monkeypatch):
    monkeypatch.setattr("alsim.responses.compressed.FREE_BYTES", 10_000)
    text = b"student,skill,correct,remark\n" + (b"a,x,1," + b"y" * 500 + b"\n") * 3000
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("log.csv", text)
    size = len(archive.getvalue())
    assert 1000 * size < len(text)
    with pytest.raises(ResponsesError, match=f"has more than {1000 * size:,} bytes when decompressed; decompress it"):
        read_responses(write(archive.getvalue()))
    assert len(read_responses(write(gzip.compress(text)))) == 3000
    lines = gzip.compress(b"student,skill,correct\n" + b"a,x,1\n" * 200_000)
    limit = 1000 * len(lines) // 128
    with pytest.raises(ResponsesError, match=f"has more than {limit:,} lines when decompressed; decompress it"):
        read_responses(write(lines))


def test_invalid_lines_to_skip_are_refused(write):
    for invalid in (-1, 1.0, True, "1"):
        with pytest.raises(ResponsesError, match="skip_lines must be an integer of at least 0; got"):
            read_responses(write("student,skill,correct\na,x,1\n"), skip_lines=invalid)
