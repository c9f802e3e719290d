"""alsim fit: a proposed command cures the error, or leads to another one; messy files are read or refused."""

import re
import shlex
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

pytestmark = pytest.mark.versionless

ANSWERS = (np.random.default_rng(0).random((12, 5)) < 0.5).astype(int).tolist()
IDS = [f"s{k:02d}" for k in range(12)]
NUMBERS = [str(101 + k) for k in range(12)]
HEADER = "i0,i1,i2,i3,i4"


@pytest.fixture
def run(run, monkeypatch, tmp_path):
    """Run `alsim fit` in this process, in an empty directory: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    return partial(run, "fit", "skill-mean", "log.csv")


def wide(header, *columns, answers=ANSWERS, separator=","):
    """Return a wide file with a header, if any, and with these columns before the answers."""
    rows = [[*map(str, cells), *map(str, row)] for *cells, row in zip(*columns, answers, strict=False)]
    lines = [] if header is None else [header.replace(",", separator)]
    return "\n".join([*lines, *map(separator.join, rows), ""])


def totals():
    return [sum(row) for row in ANSWERS]


def answers(text):
    """Return the answers as other texts, such as "FT" for F and T."""
    return [[text[answer] for answer in row] for row in ANSWERS]


def proposed(message):
    """Return the options that a message proposes, by flag; skipping is not proposed if there is an alternative."""
    options = {}
    for match in re.finditer(r"--(columns|format|missing|delimiter|encoding|skip-lines|no-header)\b", message):
        words = shlex.split(message[match.start() :])
        options[match.group(0)] = words[:1] if "=" in words[0] or words[0] == "--no-header" else words[:2]
    return options or ({"--skip-bad": ["--skip-bad"]} if "--skip-bad" in message else {})


def follow(run, content, tmp_path):
    """Pass all options that the errors propose; return the last error ("" if the command succeeds), and the output."""
    (tmp_path / "log.csv").write_text(content)
    passed, seen = {}, []
    for _ in range(6):
        status, out, err = run(*(word for words in passed.values() for word in words))
        error = err.splitlines()[-1] if status else ""
        assert error not in seen, f"again, with {passed}: {error}"
        options = proposed(error)
        if not options:
            return error, out
        seen.append(error)
        passed |= options
    raise AssertionError(f"no end: {seen}")


CURED = {
    "ids, no header": (wide(None, IDS), 12, 5),
    "numbers, no header": (wide(None, NUMBERS), 12, 5),
    "numbers from 1, no header": (wide(None, range(1, 13)), 12, 5),
    "numbers from 0, no header": (wide(None, range(12)), 12, 5),
    "tabs, no header": (wide(None, NUMBERS, separator="\t"), 12, 5),
    "spaces, no header": (wide(None, NUMBERS, separator=" "), 12, 5),
    "quotes and commas, no header": (wide(None, [f'"Doe, {name}"' for name in IDS]), 12, 5),
    "a comma at the end of each line, no header": (wide(None, NUMBERS).replace("\n", ",\n"), 12, 5),
    "sums, no header": (wide(None, IDS, totals()), 12, 5),
    "numbers and sums, no header": (wide(None, NUMBERS, totals()), 12, 5),
    "other columns, no header": (wide(None, IDS, ["M"] * 12, [12] * 12, ["A"] * 12), 12, 5),
    "a repeated id, no header": (wide(None, [*IDS[:11], "s00"]), 12, 5),
    "score": (wide(f"student_id,score,{HEADER}", IDS, totals()), 12, 5),
    "score and numbers": (wide(f"student_id,score,{HEADER}", NUMBERS, totals()), 12, 5),
    "result": (wide(f"Student,Result,{HEADER}", IDS, [f"{20 * total} %" for total in totals()]), 12, 5),
    "correct": (wide(f"student,correct,{HEADER}", IDS, totals()), 12, 5),
    "total": (wide(f"id,total,{HEADER}", IDS, totals()), 12, 5),
    "another name of the students": (wide(f"who,{HEADER}", IDS), 12, 5),
    "a name and other columns": (wide(f"who,age,{HEADER}", IDS, [12] * 12), 12, 5),
    "more columns than items": (wide(f"id,sex,age,school,country,town,{HEADER}", IDS, *[["x"] * 12] * 5), 12, 5),
    "two columns of students": (wide(f"student_name,student_id,{HEADER}", ["Ann"] * 12, NUMBERS), 12, 5),
    "a repeated student": (wide(f"id,{HEADER}", [*IDS[:11], "s00"]), 12, 5),
    "a student without a name": (wide(f"id,{HEADER}", [*IDS[:11], ""]), 12, 5),
    "a repeated student with another name": (wide(f"who,{HEADER}", [*IDS * 9], answers=ANSWERS * 9), 108, 5),
    "coded gender": (wide(f"id,gender,{HEADER}", IDS, [1 + k % 2 for k in range(12)]), 12, 5),
    "a row of sums": (wide(f"id,{HEADER}", IDS) + "all,5,7,8,6,9\n", 12, 5),
    "another value without a response, no header": ("a,1,0,-9\nb,0,1,1\nc,1,1,0\nd,0,0,1\n", 4, 3),
    "several values that mean no response": ("id,a,b,c\n1,1,99,0\n2,.,1,1\n3,0,1,0\n4,1,1,1\n", 4, 3),
    "a title": ("Results of 2024\n\n" + wide(f"id,{HEADER}", IDS), 12, 5),
    "a title with commas": ("Results,,,,,\n" + wide(f"id,{HEADER}", IDS), 12, 5),
    "comments": ("# made by hand, in 2024\n# version 2\n" + wide(f"id,{HEADER}", IDS), 12, 5),
    "a title above the names of a long table": ("Log\nstudent,skill,correct\na,x,1\nb,x,0\nb,y,0\n", 2, 2),
    "a long table, no header": ("ann,add,1\nann,mul,0\nbob,add,1\n", 2, 2),
    "numbers, no header, long": ("1,10,1\n1,11,0\n2,10,1\n2,11,1\n", 2, 2),
    "another order, no header, long": ("1,ann,add\n0,ann,mul\n1,bob,add\n", 2, 2),
    "covariates with the codes of ratings": (wide(f"id,grade,school,{HEADER}", IDS, [1, 5] * 6, [1, 2] * 6), 12, 5),
    "names of long tables": ("usr,skil,corect\na,x,1\na,y,0\n", 1, 2),
}


@pytest.mark.parametrize("name", CURED)
def test_the_proposed_options_lead_to_a_fit(run, tmp_path, name):
    content, students, items = CURED[name]
    error, out = follow(run, content, tmp_path)
    assert error == ""
    assert f"of {students:,} student{'s' * (students > 1)}, {items} skills" in out


@pytest.mark.ci
def test_frequencies_with_another_name_are_proposed(run, tmp_path):
    for name in ("count", "n", "Frequency"):
        error, out = follow(run, f"a,b,c,{name}\n0,0,1,15\n1,0,1,13\n1,1,1,27\n", tmp_path)
        assert error == "" and "165 responses of 55 students, in 3 patterns" in out


FREQUENCIES = "0,0,1,1\n1,0,1,13\n1,1,1,27\n0,1,0,1\n"
"""Rows of three items and their frequencies; the first frequencies are 1, so that the column looks like an item."""


def test_the_column_freq_is_recognised_in_any_case(run, tmp_path):
    for name in ("freq", "Freq", "FREQ"):
        (tmp_path / "log.csv").write_text(f"a,b,c,{name}\n{FREQUENCIES}")
        status, out, err = run()
        assert status == 0 and "126 responses of 42 students, in 4 patterns, 3 skills" in out
        assert ("recognised by their names: freq='" in err) == (name != "freq")
    (tmp_path / "log.csv").write_text("a,b,c,Freq\n0,0,1,1\n1,0,1,0\n1,1,1,1\n")  # only 0 and 1
    status, out, err = run()
    assert status == 0 and "6 responses of 2 students, in 3 patterns, 3 skills" in out


@pytest.mark.ci
@pytest.mark.parametrize("name", ["n", "N", "count", "Weight", "Frequency"])
def test_frequencies_with_another_name_are_proposed_before_they_are_omitted(run, tmp_path, name):
    error, out = follow(run, f"a,b,c,{name}\n{FREQUENCIES}", tmp_path)
    assert error == "" and "126 responses of 42 students, in 4 patterns" in out
    (tmp_path / "log.csv").write_text(f"a,b,c,{name}\n{FREQUENCIES}")
    status, _, err = run()
    assert status == 2 and "--skip-bad" not in err and "--missing" not in err
    (tmp_path / "log.csv").write_text(f"a,b,c,{name}\n0,0,1,1\n1,0,1,0\n1,1,1,1\n")
    status, _, err = run()
    assert status == 0 and f"column {name!r} is read as an item" in err and f"--columns freq={name}" in err


HARD = "1,0,0\n0,0,0\n0,1,0\n0,0,1\n1,0,0\n1,1,0\n"
"""Answers to three hard items: few sums of a row exceed 1, so that a column of sums looks like an item."""


@pytest.mark.ci
@pytest.mark.parametrize("rows", [5, 6])
@pytest.mark.parametrize("name", ["total", "score", "Sum", "result", "correct"])
def test_sums_that_look_like_answers_are_omitted(run, tmp_path, name, rows):
    """The sums of the first five rows are 0 and 1; the sixth one is 2."""
    lines = [f"s{k},{row},{row.count('1')}" for k, row in enumerate(HARD.split()[:rows])]
    error, out = follow(run, "\n".join([f"id,p,q,r,{name}", *lines]), tmp_path)
    assert error == "" and f"{3 * rows} responses of {rows} students, 3 skills" in out


def test_sums_without_a_name_are_omitted(run, tmp_path):
    error, out = follow(run, "".join(f"{row},{row.count('1')}\n" for row in HARD.split()), tmp_path)
    assert error == "" and "18 responses of 6 students, 3 skills" in out


def test_a_total_is_never_proposed_as_the_students(run, tmp_path):
    for name in ("total", "Percent", "Freq,freq"):
        answers = ["1,0,1", "1,1,1", "0,0,1", "0,0,0"]
        numbers = [5, 9, 3, 2]
        lines = [f"{row},{k}{',1' * (',' in name)}" for row, k in zip(answers, numbers, strict=True)]
        (tmp_path / "log.csv").write_text("\n".join([f"p,q,r,{name}", *lines]))
        status, _, err = run()
        assert status == 2 and f"omit it with --columns {name.partition(',')[0]}=" in err


def test_a_second_column_of_frequencies_is_refused_or_named(run, tmp_path):
    for names in ("freq,Freq", "Freq,FREQ"):
        (tmp_path / "log.csv").write_text(f"p,q,{names}\n1,0,5,1\n0,1,4,0\n")
        status, _, err = run()
        first, second = names.split(",")
        assert status == 2 and f"{first!r} and {second!r} can each be the number of students of each row" in err
        error, out = follow(run, f"p,q,{names}\n1,0,5,1\n0,1,4,0\n", tmp_path)
        assert error == "" and "18 responses of 9 students, in 2 patterns, 2 skills" in out
    (tmp_path / "log.csv").write_text("p,q,n,freq\n1,0,5,1\n0,1,4,0\n")
    status, _, err = run("--columns", "freq=n")
    assert status == 2 and "'n' and 'freq' can each be" in err and "rename or remove the column 'freq'" in err
    (tmp_path / "log.csv").write_text("p,q,freq,n\n1,0,5,1\n0,1,4,0\n")
    status, _, err = run()
    assert status == 0 and "column 'n' is read as an item; if it is none, omit it with" in err and "--columns n=" in err
    assert run("--columns", "n=")[2].count("is read as an item") == 0


def test_frequencies_of_a_long_table_have_a_warning(run, tmp_path):
    (tmp_path / "log.csv").write_text("student,item,correct,Freq\na,x,1,3\na,y,0,2\n")
    status, _, err = run()
    assert status == 0 and "log.csv: the column 'Freq' is not read, since each row of a log is one response" in err


def test_whole_numbers_of_a_test_are_the_names_of_the_log(run, tmp_path):
    def log(letter, decimals=""):
        rows = [f"{letter}{k % 7},{10 + k % 3}{decimals},{int(k % 5 > 1)}" for k in range(30)]
        return "\n".join(["student,skill,correct", *rows])

    text = log("t", ".0")
    (tmp_path / "log.csv").write_text(log("s"))
    (tmp_path / "test.csv").write_text(text)
    status, out, err = run("--test", "test.csv")
    assert status == 0 and "unknown" not in out + err
    (tmp_path / "test.csv").write_text(text.replace(",10.0,", ",x,"))
    status, out, err = run("--test", "test.csv")
    assert status == 0 and "1 of 3 skills of test.csv is unknown to the fit" in " ".join(out.split()) and not err
    (tmp_path / "test.csv").write_text(re.sub(r",(1[0-9])", r",z\1", text))
    status, _, err = run("--test", "test.csv")
    assert status == 2 and "no skill of the held-out responses is known to the fit, such as 'z1" in err


def test_frequencies_are_bounded_before_they_are_expanded(run, tmp_path):
    (tmp_path / "log.csv").write_text("a,b,c\n0,0,1\n1,0,1\n1,1,1\n")
    (tmp_path / "test.csv").write_text("a,b,c,freq\n0,0,1,3e9\n1,0,1,2\n")
    status, _, err = run("--test", "test.csv")
    assert status == 2 and "stands for 9,000,000,006 responses; expected at most 20,000,000" in err


REFUSED = {
    "letters": (
        wide(f"id,{HEADER}", IDS, answers=answers("AB")),
        "such as 'A'; expected 0, 1 or a missing value; write 1",
    ),
    "T and F": (wide(f"id,{HEADER}", IDS, answers=answers("FT")), "write 1 for a correct answer and 0 for a wrong one"),
    "an answer key": (f"id,{HEADER}\nKEY,A,B,A,A,B\n" + wide(None, IDS, answers=answers("AB")), "such as 'A'"),
    "scores above 1": (wide(f"id,{HEADER}", IDS, answers=answers([2, 3])), "such as '2'; expected 0, 1 or a missing"),
    "answers in one cell": (
        "101 01110\n102 11010\n103 00110\n",
        "several answers per cell, such as '00110'; write one",
    ),
    "answers in one cell, no ids": (
        "01110\n11010\n00110\n",
        "the column '01110' seems to hold several answers per cell",
    ),
    "no rows": ("id,i0,i1,i2\n", "there is no response; expected at least one row; add one row per response"),
    "two items of one name": (wide("id,i0,i0,i2,i3,i4", IDS), "more than one column is named 'i0'; rename all but one"),
    "unknown names": (
        "pers,thing,ok\nann,add,1\nann,mul,0\n",
        "there is no column 'NAME' for skill; the columns are 'pers'",
    ),
    "percentages": ("student,item,score\nann,add,100\nbob,add,50\n", "no column 'NAME' for correct; the columns are"),
    "an answer key in a long table": (
        "student,item,response,key\na,x,A,A\n",
        "no column 'NAME' for correct; the columns",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_proposed_options_lead_to_an_error_that_no_option_cures(run, tmp_path, name):
    content, part = REFUSED[name]
    error, _ = follow(run, content, tmp_path)
    assert part in error


def test_the_first_column_of_a_file_without_a_header_has_the_students(run, tmp_path):
    (tmp_path / "log.csv").write_text(wide(None, IDS))
    notice = "alsim: log.csv: has no header; its first column is read as the names of the students\n"
    status, out, err = run()
    assert (status, err) == (0, notice)
    assert [line.split()[0] for line in out.splitlines()[1:6]] == ["1", "2", "3", "4", "5"]
    for options in (["--columns", "student=0"], ["--columns", "0="]):
        assert run(*options)[0::2] == (0, "")
    status, _, err = run("--columns", "student=s00")
    assert "no column 's00' for student; the file has no header, so its columns are numbered from 0: the columns" in err


@pytest.mark.ci
def test_items_are_not_read_as_a_header(run, tmp_path):
    """A header with distinct numbers stays a header, and so do names of items that are 0 and 1."""
    for content, items in (
        (wide("1,2,3,4,5"), "12345"),
        (wide("id,1,2,3,4,5", IDS), "12345"),
        ("id,0,1\na,1,0\nb,0,0\n", "01"),
        ("id,1,10,2,3\na,1,0,1,1\nb,0,0,0,1\n", ["1", "10", "2", "3"]),
        ("1,10,2\n1,0,1\n0,0,1\n", ["1", "10", "2"]),
        (wide(None), "01234"),
    ):
        (tmp_path / "log.csv").write_text(content)
        status, out, _ = run()
        assert status == 0
        assert [line.split()[0] for line in out.splitlines()[1:] if line[0].isdigit()] == [*items]
        assert "12 students" in out or "2 students" in out


def test_the_same_option_is_not_mapped_twice(run, tmp_path):
    (tmp_path / "log.csv").write_text("student,skill,correct\na,x,1\n")
    status, _, err = run("--columns", "order=,order=x")
    assert (status, err) == (2, "alsim: --columns maps order more than once; map it to one name\n")


def table(codes, columns=4, rows=20, names=True):
    """Return a wide file with these codes, each of which occurs in each column."""
    cells = [[codes[(s * 7 + i * 3) % len(codes)] for i in range(columns)] for s in range(rows)]
    return wide(",".join(["id"] * names + [f"i{k}" for k in range(columns)]), *[range(rows)] * names, answers=cells)


@pytest.mark.ci
@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize(
    ("codes", "kind", "cure"),
    [
        ("012", "scores from 0 to 2 (partial credit), such as '2'", "1 for its highest score and 0 for lower ones"),
        (
            [0, 0.5, 1],
            "scores between 0 and 1, such as '0.5'",
            "only the column credit of a file with one row per response may",
        ),
        (
            range(11),
            "scores from 0 to 10 (partial credit)",
            "only the column credit of a file with one row per response may",
        ),
        ("12", "the codes 1 and 2, such as '2'", "write 1 for the code of a correct answer"),
        ("12345", "the codes 1 to 5, as of ratings or chosen options", "divide ratings into high and low ones"),
        (["yes", "no"], "the words 'yes' and 'no'", "write 1 for 'yes' and 0 for 'no'"),
        (["Right", "Wrong", ""], "the words 'right' and 'wrong'", "write 1 for 'right' and 0 for 'wrong'"),
        ("ABCD", "letters, as of chosen options, such as 'A'", "by comparison with the answer key"),
    ],
)
def test_answers_that_are_not_scored_are_described_and_never_dropped(run, tmp_path, codes, kind, cure, names):
    """Dropping the scores above 1 would drop the best scorers."""
    for columns in (2, 4):
        (tmp_path / "log.csv").write_text(table(codes, columns, names=names))
        for options in ([], ["--format", "wide"], ["--skip-bad"]):
            status, _, err = run(*options)
            assert status == 2 and err.startswith("alsim: log.csv: seems to have one column per item, but with ")
            assert kind in err and cure in err and "--skip-bad" not in err and "--missing" not in err


def test_codes_that_mean_no_response_are_still_proposed(run, tmp_path):
    error, out = follow(run, table([0, 1, 9, 1, 0, 99]), tmp_path)
    assert error == "" and "students, 4 skills" in out


def test_one_item_with_partial_credit_is_scored_and_not_dropped(run, tmp_path):
    (tmp_path / "log.csv").write_text(wide(f"id,{HEADER}", IDS).replace("s03,1", "s03,2").replace("s03,0", "s03,2"))
    status, _, err = run()
    assert status == 2 and "with one row per response may have other scores); correct the cell, or score the" in err
    assert "--skip-bad" not in err and "--missing" not in err
    (tmp_path / "log.csv").write_text("student,item,correct\na,x,1\na,y,0.5\nb,x,0\nb,y,1\n")
    status, _, err = run()
    assert status == 2 and "score the answers as 0 and 1" in err and "--skip-bad" not in err


def test_the_line_of_excel_names_the_delimiter(run, tmp_path):
    for line in ("sep=;\n", '"sep=;"\r\n', "SEP=;\n"):
        (tmp_path / "log.csv").write_text(line + wide(f"id,{HEADER}", IDS, separator=";"))
        status, out, err = run()
        assert status == 0 and "60 responses of 12 students, 5 skills" in out, err
    (tmp_path / "log.csv").write_text("sep=,\nstudent,skill,correct\na,x,1\na,y,maybe\n")
    assert "log.csv, line 4, column correct: 'maybe'" in run()[2]


def test_a_header_of_answers_is_named(run, tmp_path):
    (tmp_path / "log.csv").write_text("0,1\n1,0\n0,0\n1,1\n")
    status, out, err = run()
    assert status == 0 and "8 responses of 4 students" in out
    assert "the first line, 0,1, is read as answers; if it has the names of the items, pass header=True" in err
    assert "6 responses of 3 students" in run("--header")[1]
    status, out, err = run("--no-header")
    assert (status, err) == (0, "") and "8 responses of 4 students" in out


def test_literal_quotes(run, tmp_path):
    text = 'student\tskill\tcorrect\na\t5" pipe\t1\nb\t"half\t0\nc\t5" pipe\t1\n'
    (tmp_path / "log.csv").write_text(text)
    status, _, err = run()
    assert status == 2 and "line 3: the quote that opens here is closed in a later row; close it or remove it" in err
    assert "--no-quoting" in err
    status, out, _ = run("--no-quoting")
    assert status == 0 and "3 responses of 3 students, 2 skills" in out and '"half' in out


def test_skipped_lines_count_in_messages(run, tmp_path):
    (tmp_path / "log.csv").write_text('A "title\n\nstudent,skill,correct\na,x,1\na,y,maybe\n')
    status, _, err = run("--skip-lines", "2")
    assert status == 2 and "log.csv, line 5, column correct: 'maybe'" in err
    status, _, err = run("--skip-lines", "-1")
    assert status == 2 and "--skip-lines" in err


def test_columns_whose_names_have_commas(run, tmp_path):
    (tmp_path / "log.csv").write_text('"Name, first",skill,correct\nann,x,1\nbob,x,0\n')
    status, out, _ = run("--columns", '"student=Name, first"')
    assert status == 0 and "2 responses of 2 students" in out


@pytest.mark.ci
def test_all_codes_of_no_response_are_proposed_at_once(run, tmp_path):
    (tmp_path / "log.csv").write_text(table([0, 1, 1, 0, 9, 1, 0, 1, 99, 1, 0, 1, "omit"], rows=52))
    status, _, err = run()
    assert status == 2 and "or pass --missing=-1,9,99,omit if these values mean no response" in err
    assert run("--missing=-1,9,99,omit")[0] == 0


def test_texts_of_spreadsheets_and_of_statistics_programs_are_missing(run, tmp_path):
    for text in ("N/A", "#N/A", ".", "NA", "null"):
        (tmp_path / "log.csv").write_text(f"id,x,y,z\na,1,{text},0\nb,{text},1,0\nc,0,1,1\n")
        assert "7 responses of 3 students, 3 skills" in run()[1]
    (tmp_path / "log.csv").write_text("id,x,y,z\na,1,-,0\nb,-,1,0\nc,0,1,1\n")  # it may mean a wrong answer
    assert "or pass --missing=-1,- if this value means no response" in run()[2]


@pytest.mark.ci
def test_options_that_cannot_apply_are_refused_with_the_option_to_remove(run, tmp_path):
    (tmp_path / "log.csv").write_text("id,x,y,z\na,1,0,0\nb,0,1,0\nc,0,1,1\n")
    for option in ("--duplicates drop", "--separator ';'", "--separator ''"):
        status, _, err = run(*shlex.split(option))
        assert status == 2 and f"cannot apply; remove {option}" in err
    assert run("--duplicates", "keep")[0] == 0
    (tmp_path / "log.csv").write_text("2\n4,5\n1,0\n1\n4\n0\n")
    for option in ("--missing 9", "--no-header", "--header", "--no-quoting", "--columns student=x"):
        status, _, err = run(*shlex.split(option))
        assert status == 2 and "is a file with three lines per student, to which " in err
        assert f"cannot apply; remove {option}" in err


@pytest.mark.ci
@pytest.mark.parametrize("own", [",", ";", "\t", "|"])
def test_a_delimiter_that_the_file_does_not_have_is_corrected(run, tmp_path, own):
    for content in ("student,skill,correct\na,x,1\nb,x,0\n", "id,p,q\na,1,0\nb,0,1\n", "2\n4,5\n1,0\n1\n4\n1\n"):
        (tmp_path / "log.csv").write_text(content.replace(",", own))
        options = ("--format", "three-line") if content.startswith("2") else ()
        status, _, err = run(*options, "--delimiter", "#")
        assert status == 2
        options += tuple(shlex.split(err.rpartition("; pass ")[2]))
        status, out, err = run(*options)
        assert status == 0 and " responses of 2 students" in out


def test_options_of_a_text_file_do_not_apply_to_a_binary_test(run, tmp_path):
    rows = [(f"s{k % 9}", "è"[: k % 2] or "x", int(k % 5 > 1)) for k in range(40)]
    text = "student#skill#correct\n" + "".join("#".join(map(str, row)) + "\n" for row in rows)
    (tmp_path / "log.csv").write_bytes(text.encode("latin-1"))
    names = ("student", "skill", "correct")
    table = pa.table({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})
    pyarrow.parquet.write_table(table, tmp_path / "test.parquet")
    options = ("--delimiter", "#", "--encoding", "latin-1")
    status, out, err = run(*options, "--test", "test.parquet")
    assert (status, err) == (0, "") and "test: test.parquet, 40 responses" in out
    (tmp_path / "log.csv").unlink()
    status, _, err = run(*options, "--test", "test.parquet")
    assert status == 2 and "there is no such file" in err


def test_values_of_a_long_file_that_mean_no_response(run, tmp_path):
    (tmp_path / "log.csv").write_text("student,skill,correct\na,x,1\na,y,9\nb,x,0\nb,y,-9\nb,y,1\n")
    assert run()[0] == 2
    status, out, err = run("--missing=9,-9")
    assert status == 0 and "3 responses of 2 students, 2 skills" in out
    assert "log.csv: 2 skipped, no response; the first one: log.csv, line 3, column correct: '9'" in err
    assert "--missing" not in run("--missing=9")[2] and run("--missing=9")[0] == 2
