"""Published response logs: the conventions of each format, invalid rows, and files of other formats."""

import gzip
import logging
from contextlib import suppress

import numpy as np
import pytest
from logged import assert_sound
from published_logs import BRIDGE, DATASHOP, EDNET, EDNET_FILES, LOGS, rows_of, table, write_log

from alsim.models import ResponsesError, read_responses
from alsim.responses.formats.base import FORMATS, PUBLISHED_NAMES
from alsim.responses.formats.registry import PUBLISHED, recognise

NAN = np.nan


def responses_of(log):
    """Return the responses as tuples: student, item, skills, correct."""
    return [
        (
            str(log.students[log.student[r]]),
            str(log.items[log.item[r]]),
            "+".join(log.skills[log.skill[log.skill_start[r] : log.skill_start[r + 1]]]),
            int(log.correct[r]),
        )
        for r in range(len(log))
    ]


def assert_values(log, **expected):
    """Assert the optional columns; a column that is not given must be absent."""
    for name in ("time", "seconds", "attempts", "hints"):
        values = getattr(log, name)
        if name in expected:
            np.testing.assert_array_equal(values, expected[name], err_msg=name)
        else:
            assert values is None, name


def read(name, tmp_path, **options):
    log = read_responses(write_log(name, tmp_path), format=name, **options)
    assert_sound(log)
    return log


# ── the conventions of each format ───────────────────────────────────────────────────────────────


def test_assistments_2009(tmp_path):
    """Rows per skill are merged; scaffolding, missing skills and partial credit are not read; hints are 0 or more."""
    log = read("assistments-2009", tmp_path)
    assert responses_of(log) == [
        ("u1", "5", "11+12", 0),
        ("u1", "7", "10", 1),
        ("u2", "8", "10+12", 1),
        ("u2", "9", "10", 1),
    ]
    assert_values(log, seconds=[NAN, 32.0, 2.5, 2.5], attempts=[2, 1, 1, 1], hints=[1, 0, -1, 0])
    assert log.report.rows == 8
    assert log.report.skipped == {
        "scaffolding question (original is 0)": 1,
        "no skill": 1,
        "correct is between 0 and 1 (partial credit)": 1,
    }
    assert (
        "assistments-2009.txt, line 5, column original: 0"
        in log.report.examples["scaffolding question (original is 0)"]
    )
    assert log.report.duplicates == 1
    assert log.report.unknown == {"seconds": 2}


def test_rows_per_skill_of_assistments_2009_are_kept_on_request(tmp_path):
    log = read("assistments-2009", tmp_path, duplicates="keep")
    assert [skills for _, _, skills, _ in responses_of(log)] == ["11", "12", "10", "10+12", "10"]
    assert log.report.duplicates == 1


def test_assistments_2012(tmp_path):
    """Equal times stay in the order of the file; scaffolding questions are read."""
    log = read("assistments-2012", tmp_path)
    assert responses_of(log) == [("u1", "8", "10", 0), ("u1", "7", "10", 1), ("u2", "9", "11", 1), ("u2", "7", "10", 0)]
    assert_values(
        log,
        time=[1348845000.25, 1348845065, 1349078400, 1349078400],
        seconds=[2, 1.5, NAN, 0.1],
        attempts=[3, 1, 1, 1],
        hints=[2, 0, 0, 0],
    )
    assert log.report.skipped == {"no skill": 1, "correct is between 0 and 1 (partial credit)": 1}


def test_assistments_2015(tmp_path):
    log = read("assistments-2015", tmp_path)
    assert responses_of(log) == [
        ("501", "7014", "7014", 0),
        ("501", "7014", "7014", 1),
        ("502", "7020", "7020", 1),
    ]
    assert_values(log)
    assert log.report.skipped == {"correct is between 0 and 1 (partial credit)": 1}


def test_assistments_2017(tmp_path):
    log = read("assistments-2017", tmp_path)
    assert responses_of(log) == [
        ("8", "1118", "area", 0),
        ("8", "1119", "area", 1),
        ("8", "1120", "angle", 0),
        ("9", "1120", "angle", 1),
    ]
    assert_values(
        log,
        time=[1100000301, 1100000350, 1100000350, 1100000000],
        seconds=[49, 4, 6.5, NAN],
        attempts=[0, 1, 1, 1],
        hints=[1, 0, 0, 0],
    )
    assert log.report.skipped == {"no skill": 2}  # an empty cell, and the value noskill
    assert log.report.unknown == {}


def test_junyi(tmp_path):
    """`earned_proficiency` is not correctness, and times are in microseconds."""
    log = read("junyi", tmp_path)
    assert responses_of(log) == [
        ("101", "multiplication_1", "multiplication_1", 0),
        ("101", "time_terminology", "time_terminology", 0),
        ("102", "multiplication_1", "multiplication_1", 1),
    ]
    np.testing.assert_allclose(log.time, [1400000000, 1400000010.32449, 1390000000.83666], rtol=0, atol=1e-6)
    assert log.seconds.tolist() == [9, 4, 2]
    assert log.attempts.tolist() == [0, 2, 1]
    assert log.hints.tolist() == [3, 0, 0]


def test_kdd_cup(tmp_path):
    log = read("kdd-cup", tmp_path)
    assert responses_of(log) == [
        ("stuA", "P2 / R1C1", "Rates", 0),
        ("stuA", "P1 / R1C2", "Units+Rates", 1),
        ("stuA", "P1 / R2C1", "Units", 1),
        ("stuB", "P2 / R1C1", "Rates", 1),
    ]
    assert_values(
        log,
        time=[1161856420.5, 1161856421, 1161856421, 1161331200],
        seconds=[5, 11, NAN, 5],
        attempts=[2, 1, 1, 1],
        hints=[3, 0, 0, 0],
    )
    assert log.report.skipped == {"no skill": 1}
    assert log.report.columns == {}


def test_the_model_of_skills_can_be_chosen(write, caplog):
    content = table(
        BRIDGE,
        {
            **rows_of("Anon Student Id,Problem Name,Step Name,Correct First Attempt", "a P S 1")[0],
            "First Transaction Time": "2006-10-26 09:52:30.0",
            "KC(SubSkills)": "x~~y",
            "KC(KTracedSkills)": "",
        },
        {
            **rows_of("Anon Student Id,Problem Name,Step Name,Correct First Attempt", "a P T 0")[0],
            "First Transaction Time": "2006-10-26 09:52:31.0",
            "KC(SubSkills)": "x",
            "KC(KTracedSkills)": "z",
        },
        delimiter="\t",
    )
    with caplog.at_level(logging.WARNING, "alsim.responses"):
        log = read_responses(write(content), format="kdd-cup")
    assert [skills for *_, skills, _ in responses_of(log)] == ["x+y", "x"]
    assert log.report.columns == {"skill": "KC(SubSkills)"}
    assert "columns recognised by their names: skill='KC(SubSkills)'" in caplog.text
    other = read_responses(write(content), format="kdd-cup", columns={"skill": "KC(KTracedSkills)", "item": None})
    assert responses_of(other) == [("a", "z", "z", 0)]
    assert other.report.skipped == {"no skill": 1}
    assert other.report.columns == {}
    with pytest.raises(ResponsesError, match=r"no column 'KC\(Traced\)' for skill.*name an existing column"):
        read_responses(write(content), format="kdd-cup", columns={"skill": "KC(Traced)"})
    with pytest.raises(
        ResponsesError, match="the format kdd-cup determines the columns, except the skill and the item"
    ):
        read_responses(write(content), format="kdd-cup", columns={"student": "Row"})


def test_a_datashop_export(write):
    """A hint as the first attempt is not correct; a point is a missing value."""
    rows = rows_of(
        "Anon Student Id,Problem Name,Step Name,First Attempt,Step Duration (sec),Incorrects,Corrects,Hints,KC (F2011)",
        """
        Stu_1 P S correct   11.5 0 1 0 a~~b
        Stu_1 P T hint      .    0 1 2 a
        Stu_1 P U incorrect 7    2 . 0 b
        Stu_1 P V correct   7    2 1 0 -
        Stu_1 P W correct   7    2 1 0 .
        """,
    )
    rows = [row | {"First Transaction Time": f"2011-09-21 17:35:1{k}"} for k, row in enumerate(rows)]
    log = read_responses(write(table(DATASHOP, *rows, delimiter="\t")), format="kdd-cup")
    assert responses_of(log) == [
        ("Stu_1", "P / S", "a+b", 1),
        ("Stu_1", "P / T", "a", 0),
        ("Stu_1", "P / U", "b", 0),
    ]
    assert log.seconds.tolist()[0] == 11.5
    assert np.isnan(log.seconds[1])
    assert log.attempts.tolist() == [1, 1, -1]
    assert log.report.unknown == {}
    assert log.report.skipped == {"no skill": 2}


def test_ednet_kt1(tmp_path, monkeypatch):
    log = read("ednet-kt1", tmp_path)
    assert responses_of(log) == [
        ("u9", "q1", "1+2", 1),
        ("u9", "q1", "1+2", 0),
        ("u10", "q1", "1+2", 1),
        ("u10", "q2", "3", 0),
        ("u10", "q3", "2", 1),
    ]
    assert_values(
        log,
        time=[1565300000, 1565400000, 1565332027.449, 1565332057.449, 1565332057.449],
        seconds=[NAN, 30, 24, 19, 19],
    )
    assert log.report.rows == 8
    assert log.report.skipped == {"no answer": 1, "question is not in the key": 1, "no skill": 1}
    assert "u9.csv, line 5" in log.report.examples["no answer"]
    assert log.report.unknown_examples == {
        "seconds": f"{tmp_path / 'KT1'}, u9.csv, line 3, column elapsed_time: '-5'; expected a number of at least 0"
    }
    whole = read_responses(tmp_path, format="ednet-kt1")
    assert responses_of(whole) == responses_of(log)
    monkeypatch.setattr("alsim.responses.formats.ednet_kt1.BLOCK", 1)  # each student is parsed alone
    assert responses_of(read_responses(tmp_path, format="ednet-kt1")) == responses_of(log)


def test_the_key_of_ednet_is_found_or_named(tmp_path):
    directory = write_log("ednet-kt1", tmp_path)
    key = (tmp_path / "contents" / "questions.csv").rename(tmp_path / "answers.csv")
    with pytest.raises(
        ResponsesError, match=r"key questions.csv is neither .* name it with key='contents/questions.csv'"
    ):
        read_responses(directory, format="ednet-kt1")
    named = read_responses(directory, format="ednet-kt1", key=key)
    assert len(named) == 5
    key.rename(directory / "questions.csv")
    assert responses_of(read_responses(directory, format="ednet-kt1")) == responses_of(named)
    with pytest.raises(ResponsesError, match="is not the answer key of EdNet; it has no column 'correct_answer'"):
        read_responses(directory, format="ednet-kt1", key=directory / "u9.csv")
    with pytest.raises(ResponsesError, match="there is no such file"):
        read_responses(directory, format="ednet-kt1", key="nowhere.csv")


@pytest.mark.parametrize(
    "change",
    [
        gzip.compress,
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: b"sep=,\n" + content,
        lambda content: content.replace(b",", b"|"),
        lambda content: content.decode().encode("utf-16"),
    ],
    ids=["gzip", "mark", "separator line", "bars", "utf-16"],
)
def test_the_key_of_ednet_may_be_compressed_or_saved_by_a_spreadsheet(change, tmp_path):
    expected = read("ednet-kt1", tmp_path)
    key = tmp_path / "contents" / "questions.csv"
    changed = tmp_path / "changed"
    changed.write_bytes(change(key.read_bytes()))
    log = read_responses(tmp_path / "KT1", format="ednet-kt1", key=changed)
    assert responses_of(log) == responses_of(expected)


def test_a_key_that_is_found_is_no_link_out_of_its_directory(tmp_path):
    """An error about such a file would print its first line."""
    outside = tmp_path / "outside"
    outside.write_text(EDNET_FILES["contents/questions.csv"])
    (tmp_path / "log").mkdir()
    directory = write_log("ednet-kt1", tmp_path / "log")
    key = tmp_path / "log" / "contents" / "questions.csv"
    key.unlink()
    key.symlink_to(outside)
    with pytest.raises(
        ResponsesError, match="questions.csv: is a symbolic link that leads out of its directory"
    ) as error:
        read_responses(directory, format="ednet-kt1")
    assert len(read_responses(directory, format="ednet-kt1", **error.value.options)) == 5
    lines = [line[:-3] if "++" in line else line for line in LOGS["duolingo-slam"].splitlines()]
    test = tmp_path / "log" / "en_es.test"
    test.write_text("\n".join(lines))
    test.with_name("en_es.test.key").symlink_to(outside)
    with pytest.raises(ResponsesError, match="en_es.test.key: is a symbolic link that leads out of its directory"):
        read_responses(test, format="duolingo-slam")


def test_files_of_ednet_that_cannot_be_read_are_named(tmp_path):
    directory = write_log("ednet-kt1", tmp_path)
    (directory / "u11.csv").symlink_to(tmp_path / "nowhere.csv")
    with pytest.raises(ResponsesError, match=r"KT1.u11.csv: cannot be read: .*; remove it, or replace it"):
        read_responses(directory, format="ednet-kt1")


def test_invalid_files_of_ednet_are_refused(tmp_path):
    directory = write_log("ednet-kt1", tmp_path)
    with pytest.raises(ResponsesError, match=r"u9.csv: is a file; expected the directory KT1.*unzip"):
        read_responses(directory / "u9.csv", format="ednet-kt1")
    ragged = directory / "u11.csv"
    ragged.write_text(f"{EDNET}\n\n1565332027449,1,q1\n1565332027449,1,q1,b,5\n\r\n")
    with pytest.raises(ResponsesError, match=r"u11.csv, line 3: expected 5 cells.*skip_bad=True"):
        read_responses(directory, format="ednet-kt1")
    log = read_responses(directory, format="ednet-kt1", skip_bad=True)
    assert log.report.skipped["more or fewer cells than columns"] == 1
    assert "u11" in log.students
    assert log.report.rows == 10
    ragged.write_text(EDNET_FILES["contents/questions.csv"])
    with pytest.raises(ResponsesError, match="u11.csv, line 1: 'question_id,.*; expected 'timestamp,"):
        read_responses(directory, format="ednet-kt1")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "questions.csv").write_text(EDNET_FILES["contents/questions.csv"])
    with pytest.raises(ResponsesError, match="there is no response; expected files such as u1.csv"):
        read_responses(empty, format="ednet-kt1")


def test_an_invalid_row_of_ednet_is_named_by_file_and_line(tmp_path):
    directory = write_log("ednet-kt1", tmp_path)
    (directory / "u11.csv").write_text(f"{EDNET}\n1565332027449,1,q1,b,5\nsoon,1,q1,b,5\n")
    with pytest.raises(ResponsesError, match="KT1, u11.csv, line 3, column timestamp: 'soon'"):
        read_responses(directory, format="ednet-kt1")
    assert read_responses(directory, format="ednet-kt1", skip_bad=True).students.tolist() == ["u9", "u10", "u11"]


def test_duolingo_slam(tmp_path):
    """A label of 1 is a mistake; tokens are in lower case; exercises are sorted by days."""
    log = read("duolingo-slam", tmp_path)
    assert responses_of(log) == [
        ("learnr1+", "a", "a", 0),
        ("learnr1+", "i", "i", 1),
        ("learnr1+", "am", "am", 1),
        ("learnr1+", "a", "a", 0),
        ("learnr2+", "am", "am", 0),
    ]
    np.testing.assert_allclose(log.time, [86.4, 259.2, 259.2, 259.2, 129600])
    np.testing.assert_array_equal(log.seconds, [NAN, 9, 9, 9, NAN])
    assert log.report.unknown == {"seconds": 1}
    assert log.report.rows == 5


def test_the_labels_of_duolingo_slam_may_be_in_a_key(tmp_path):
    labels = {"AAAAbbbb0101": 0, "AAAAbbbb0102": 0, "AAAAbbbb0103": 1, "CC/Cdddd0101": 1}
    lines = [line[:-3] if "++" in line else line for line in LOGS["duolingo-slam"].splitlines()]
    test = tmp_path / "en_es.slam.20190204.test"
    test.write_text("\n".join(lines))
    with pytest.raises(ResponsesError, match=r"no labels.*name the file with the labels with key='en_es.*\.test\.key'"):
        read_responses(test, format="duolingo-slam")
    key = tmp_path / "labels"
    key.write_text("".join(f"{token} {label}\n" for token, label in labels.items()))
    log = read_responses(test, format="duolingo-slam", key=key)
    assert log.correct.tolist() == [1, 1, 0, 0]
    assert log.report.skipped == {"no label": 1}
    key.rename(tmp_path / f"{test.name}.key")
    assert read_responses(test, format="duolingo-slam").correct.tolist() == [1, 1, 0, 0]
    with pytest.raises(ResponsesError, match="line 1: .*; expected the id of a token and its label"):
        read_responses(test, format="duolingo-slam", key=test)


def test_the_log_and_the_labels_of_duolingo_slam_may_be_compressed(tmp_path):
    lines = [line[:-3] if "++" in line else line for line in LOGS["duolingo-slam"].splitlines()]
    labels = b"AAAAbbbb0101 0\nAAAAbbbb0102 0\nAAAAbbbb0103 1\nAAAAbbbb0201 1\nCC/Cdddd0101 1\n"
    log = tmp_path / "en_es.dev.gz"
    log.write_bytes(gzip.compress("\n".join(lines).encode()))
    (tmp_path / "en_es.dev.key").write_bytes(labels)
    key = tmp_path / "labels.gz"
    key.write_bytes(gzip.compress(labels))
    for options in ({}, {"key": key}, {"key": tmp_path / "en_es.dev.key"}):
        assert read_responses(log, format="duolingo-slam", **options).correct.tolist() == [0, 1, 1, 0, 0]


@pytest.mark.parametrize("duplicates", ["keep", "merge", "drop"])
def test_tokens_of_an_exercise_of_duolingo_slam_repeat_no_response(duplicates, tmp_path):
    log = read("duolingo-slam", tmp_path, duplicates=duplicates)
    assert (len(log), log.report.duplicates, log.single_skill) == (5, 0, True)


def test_invalid_lines_of_duolingo_slam(write):
    content = LOGS["duolingo-slam"]
    broken = content.replace("CC/Cdddd0101  am", "CC/Cdddd0101  am  VERB\nCC/Cdddd0102  am").replace(
        " 0  1\n", " 0  7\n"
    )
    with pytest.raises(
        ResponsesError, match=r"line 11: 'CC/Cdddd0101  am  VERB'; expected 6 or 7 cells.*skip_bad=True"
    ):
        read_responses(write(broken), format="duolingo-slam")
    with pytest.raises(ResponsesError, match=r"line 11, column correct: '7'; expected 0 or 1"):
        read_responses(write(broken.replace("CC/Cdddd0101  am  VERB\n", "")), format="duolingo-slam")
    log = read_responses(write(broken), format="duolingo-slam", skip_bad=True)
    assert len(log) == 4
    assert log.report.skipped == {"more or fewer cells than columns": 1, "correct is neither 0 nor 1": 1}
    assert log.report.rows == 6
    with pytest.raises(ResponsesError, match="line 1: 'AAAA.*; expected a line that begins with '# user:'"):
        read_responses(write(content.partition("\n")[2]), format="duolingo-slam", skip_bad=True)


# ── invalid rows ─────────────────────────────────────────────────────────────────────────────────

BAD = {
    "assistments-2009": ("30,,u1,", "30,,,", "user_id: an empty cell; expected a name"),
    "assistments-2012": ("1,a,7,u1", "1,a,,u1", "problem_id: an empty cell; expected a name"),
    "assistments-2015": ("7014,1\n", "7014,yes\n", "correct: 'yes'; expected 0 or 1"),
    "assistments-2017": ("1100000301", "soon", "startTime: 'soon'; expected a number"),
    "junyi": (",true,1,", ",maybe,1,", "correct: 'maybe'; expected 0 or 1"),
    "kdd-cup": (
        "2006-10-20 08:00:00.0",
        "20 Oct 2006",
        "First Transaction Time: '20 Oct 2006'; expected a number, or a time",
    ),
}
"""A text to replace in the file of a format, the invalid one, and the message about it."""


@pytest.mark.parametrize("name", BAD)
def test_an_invalid_row_is_refused_or_skipped(name, tmp_path):
    file = write_log(name, tmp_path)
    valid = read_responses(file, format=name)
    old, new, message = BAD[name]
    content = file.read_bytes().decode("latin-1")
    assert old in content
    file.write_bytes(content.replace(old, new, 1).encode("latin-1"))
    with pytest.raises(ResponsesError) as refused:
        read_responses(file, format=name)
    assert f"column {message}" in str(refused.value)
    assert "line " in str(refused.value)
    assert refused.value.options == {"skip_bad": True}
    log = read_responses(file, format=name, skip_bad=True)
    assert len(log) == len(valid) - 1
    assert sum(log.report.skipped.values()) == sum(valid.report.skipped.values()) + 1
    assert log.report.rows == valid.report.rows


@pytest.mark.parametrize("name", [name for name in BAD if name != "assistments-2015"])
def test_a_ragged_row_is_refused_or_skipped(name, tmp_path):
    file = write_log(name, tmp_path)
    valid = read_responses(file, format=name)
    header, _, rest = file.read_bytes().partition(b"\n")
    file.write_bytes(header + b"\nx" + (b"\t" if name == "kdd-cup" else b",") + b"y\n" + rest)
    with pytest.raises(ResponsesError, match="line 2: 2 cells; expected"):
        read_responses(file, format=name)
    log = read_responses(file, format=name, skip_bad=True)
    assert responses_of(log) == responses_of(valid)
    assert log.row.tolist() == (valid.row + 1).tolist()
    assert log.report.skipped["more or fewer cells than columns"] == 1


def test_a_file_whose_rows_are_all_dropped_has_no_valid_row(write):
    content = table("user_id,log_id,sequence_id,correct", {"user_id": "a", "log_id": "1", "correct": "1"})
    with pytest.raises(ResponsesError, match="no valid row: 1 skipped, no skill; the first one: .*line 2") as error:
        read_responses(write(content), format="assistments-2015")
    assert "skip_bad" not in str(error.value)
    with pytest.raises(ResponsesError, match="there is no response"):
        read_responses(write("user_id,log_id,sequence_id,correct\n"), format="assistments-2015")
    with pytest.raises(ResponsesError, match="the file is empty"):
        read_responses(write(""), format="assistments-2015")


def test_optional_columns_and_their_sequence_do_not_matter(write):
    content = "skill_id,correct,order_id,user_id,note\n10,1,2,a,x\n11,0,1,a,y\n"
    log = read_responses(write(content), format="assistments-2009")
    assert responses_of(log) == [("a", "11", "11", 0), ("a", "10", "10", 1)]
    assert_values(log)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_that_were_saved_in_another_encoding(encoding, write, tmp_path):
    expected = responses_of(read("assistments-2009", tmp_path))
    content = LOGS["assistments-2009"].encode(encoding)
    assert responses_of(read_responses(write(content), format="assistments-2009")) == expected


@pytest.mark.parametrize("name", [name for name in LOGS if name != "duolingo-slam"])
@pytest.mark.parametrize("delimiter", [None, ";"])
def test_files_that_were_saved_by_a_spreadsheet(name, delimiter, write, caplog):
    """Excel writes a line with the delimiter, and semicolons in some countries."""
    content = LOGS[name].replace("1,5", "1.5")
    own = "\t" if name == "kdd-cup" else ","
    expected = read_responses(write(content.encode("latin-1")), format=name)
    changed = content.replace(own, delimiter or own)
    for first in ("", f"sep={delimiter or own}\n"):
        file = write((first + changed).encode("latin-1"))
        log = read_responses(file, format=name)
        assert responses_of(log) == responses_of(expected)
        lines = {
            reason: int(text.partition("line ")[2].partition(",")[0]) for reason, text in log.report.examples.items()
        }
        for reason, text in expected.report.examples.items():
            assert f"line {lines[reason] - bool(first)}, " in text
        other = "junyi" if name != "junyi" else "kdd-cup"
        with pytest.raises(ResponsesError, match=f"is not in the format {other}") as refused:
            read_responses(file, format=other)
        assert refused.value.options == {"format": name}
        with caplog.at_level(logging.WARNING, "alsim.responses"), suppress(ResponsesError):
            read_responses(file)
        assert f"the format {name} reads it by the conventions of this log" in caplog.text
        caplog.clear()


@pytest.mark.parametrize("name", [name for name in LOGS if name != "duolingo-slam"])
def test_a_delimiter_that_the_file_does_not_have_is_corrected(name, tmp_path):
    file = write_log(name, tmp_path)
    with pytest.raises(ResponsesError, match="cells with the delimiter .*, but one with '#'; pass delimiter=") as error:
        read_responses(file, format=name, delimiter="#")
    assert len(read_responses(file, format=name, **error.value.options)) == len(read_responses(file, format=name))


# ── other formats ────────────────────────────────────────────────────────────────────────────────


def test_the_registry_has_every_name_once():
    assert tuple(PUBLISHED) == PUBLISHED_NAMES
    assert set(PUBLISHED) == {*LOGS, "ednet-kt1"}
    assert not {*FORMATS} & {*PUBLISHED}


@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("wrong", PUBLISHED_NAMES)
def test_a_file_of_another_format_is_refused_with_the_name_of_its_format(name, wrong, tmp_path):
    file = write_log(name, tmp_path)
    assert recognise(file.read_text("latin-1").partition("\n")[0]) is PUBLISHED[name]
    if name == wrong:
        return
    with pytest.raises(ResponsesError) as refused:
        read_responses(file, format=wrong)
    assert refused.value.options == {"format": name}
    assert f"is not in the format {wrong}" in str(refused.value)


@pytest.mark.parametrize("name", [name for name in LOGS if name != "duolingo-slam"])
def test_a_table_without_the_columns_of_a_format_is_refused(name, write):
    with pytest.raises(
        ResponsesError, match=f"is not in the format {name} .*; expected the column .*the columns are 'a"
    ):
        read_responses(write("a,b\n1,2\n"), format=name)


@pytest.mark.parametrize("name", LOGS)
def test_a_file_that_is_read_without_its_format_is_noticed(name, tmp_path, caplog):
    file = write_log(name, tmp_path)
    # Some files cannot be read without their conventions.
    with caplog.at_level(logging.WARNING, "alsim.responses"), suppress(ResponsesError):
        read_responses(file)
    assert f"the format {name} reads it by the conventions of this log" in caplog.text


def test_other_files_are_not_noticed(write, caplog):
    with caplog.at_level(logging.WARNING, "alsim.responses"):
        read_responses(write("user_id,log_id,sequence_id,skill,correct\n1,1,1,1,1\n"))
        read_responses(write("student,skill,correct\n1,1,1\n"))
    assert "conventions" not in caplog.text


@pytest.mark.parametrize("name", ["assistment-2009", "ASSISTments 2009", "ednet", "kdd", "duolingo", "asistments-2015"])
def test_a_misspelled_format_gets_a_suggestion(name, write):
    with pytest.raises(
        ResponsesError, match=f"got '{name}'; did you mean '(assistments-20|ednet-kt1|kdd-cup|duolingo-slam)"
    ):
        read_responses(write("a,b\n1,2\n"), format=name)


def test_arguments_of_other_formats_are_refused(tmp_path):
    file = write_log("assistments-2015", tmp_path)
    for name in ("assistments-2015", "long", None):
        with pytest.raises(ResponsesError, match="key is for the formats duolingo-slam and ednet-kt1 only; got"):
            read_responses(file, format=name, key="key.csv")
    with pytest.raises(ResponsesError, match="is a directory; expected a file"):
        read_responses(tmp_path, format="junyi")
    write_log("ednet-kt1", tmp_path)
    for path in (tmp_path, tmp_path / "KT1"):
        with pytest.raises(ResponsesError, match="is a directory with the files of EdNet KT1; name its format with"):
            read_responses(path)


def test_quotes_in_a_log_with_tabs_may_be_characters(write):
    content = LOGS["kdd-cup"].replace("R1C1", '"R1C1')
    with pytest.raises(ResponsesError, match="quote that opens here is closed in a later row.*with quoting=False"):
        read_responses(write(content), format="kdd-cup")
    log = read_responses(write(content), format="kdd-cup", quoting=False)
    assert [item.replace('"', "") for item in log.items] == [
        *read_responses(write(LOGS["kdd-cup"]), format="kdd-cup").items
    ]


def test_a_compressed_file_of_another_format_is_refused_with_the_name_of_its_format(write):
    file = write(gzip.compress(LOGS["assistments-2012"].encode()))
    with pytest.raises(ResponsesError, match="has the header of ASSISTments 2012.*format='assistments-2012'"):
        read_responses(file, format="assistments-2009")


def test_compressed_files_are_read_and_damaged_ones_refused(write, tmp_path):
    content = LOGS["junyi"].encode()
    plain = read_responses(write(content), format="junyi")
    assert read_responses(write(gzip.compress(content)), format="junyi").correct.tolist() == plain.correct.tolist()
    for damaged in (gzip.compress(content)[:-9], b"PK\x03\x04" + content):
        with pytest.raises(ResponsesError, match="cannot be decompressed: .*; write it again"):
            read_responses(write(damaged), format="junyi")


def test_merged_rows_are_noticed(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "alsim.responses"):
        read("assistments-2009", tmp_path)
    assert "rows that repeat a response with another skill are merged into it: 1 of 8" in caplog.text


def test_a_binary_table_has_no_published_format(tmp_path):
    with pytest.raises(ResponsesError, match="the published format junyi is for text files; read it as a table"):
        read_responses(tmp_path / "junyi.parquet", format="junyi")


# ── damaged files ────────────────────────────────────────────────────────────────────────────────

NUM_DAMAGES = 150
"""Number of damaged files per format."""


def damaged(content, rng):
    """Return a file with some bytes replaced, removed or repeated."""
    for _ in range(rng.integers(1, 4)):
        start = int(rng.integers(0, len(content)))
        end = start + int(rng.integers(0, 30))
        piece = [b"", b'"', b"\n", b"\x00", b"\xff\xfe", b",,", b"\t", b"-1", b"1e999", b"#", content[start:end] * 2]
        content = content[:start] + piece[rng.integers(0, len(piece))] + content[end:]
    return content


@pytest.mark.ci
@pytest.mark.parametrize("name", PUBLISHED_NAMES)
def test_damaged_files_are_read_or_refused(name, tmp_path):
    """The only exception is ResponsesError, and a log that is read is sound."""
    path = write_log(name, tmp_path)
    file = path / "u9.csv" if path.is_dir() else path
    content = file.read_bytes()
    rng = np.random.default_rng(PUBLISHED_NAMES.index(name))
    outcomes = {True: 0, False: 0}
    for k in range(NUM_DAMAGES):
        file.write_bytes(damaged(content, rng))
        try:
            log = read_responses(path, format=name, skip_bad=bool(k % 2))
        except ResponsesError:
            outcomes[False] += 1
        else:
            assert_sound(log)
            outcomes[True] += 1
    assert min(outcomes.values()) > NUM_DAMAGES / 20, outcomes
