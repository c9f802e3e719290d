"""Columns that are recognised by the names that public logs give them, and the messages about the others."""

import logging
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alsim.models import Responses, ResponsesError, read_responses
from alsim.responses.names import SYNONYMS, plain

# ── public logs ──────────────────────────────────────────────────────────────────────────────────

ASSISTMENTS_2009 = (
    "order_id,assignment_id,user_id,assistment_id,problem_id,original,correct,attempt_count,skill_id,skill_name"
)
ASSISTMENTS_2017 = "studentId,MiddleSchoolId,AveKnow,skill,problemId,startTime,endTime,timeTaken,correct"
KDD = "Row,Anon Student Id,Problem Hierarchy,Problem Name,Step Start Time,Correct First Attempt,KC(Default)"
RIIID = "row_id,timestamp,user_id,content_id,content_type_id,task_container_id,user_answer,answered_correctly"
JUNYI = "user_id,exercise,problem_type,problem_number,time_done,time_taken,correct,count_attempts"
PUBLIC = {
    "ASSISTments 2009": (
        ASSISTMENTS_2009,
        "1,9,u,8,p,1,1,1,4,add",
        {"student": "user_id", "skill": "skill_name", "item": "problem_id", "order": "order_id"},
    ),
    "ASSISTments 2017": (
        ASSISTMENTS_2017,
        "u,1,0.3,add,p,5,6,1,1",
        {"student": "studentId", "item": "problemId", "order": "startTime"},
    ),
    "KDD Cup 2010": (
        KDD,
        "1,u,h,p,2005-09-09 12:24:35.0,1,add",
        {
            "student": "Anon Student Id",
            "skill": "KC(Default)",
            "item": "Problem Name",
            "correct": "Correct First Attempt",
            "order": "Step Start Time",
        },
    ),
    "Riiid": (
        RIIID,
        "0,0,115,5692,0,1,3,1",
        {"student": "user_id", "item": "content_id", "correct": "answered_correctly"},
    ),
    "Eedi": (
        "QuestionId,UserId,AnswerId,IsCorrect,CorrectAnswer,AnswerValue",
        "16997,11967,9471208,0,1,4",
        {"student": "UserId", "item": "QuestionId", "correct": "IsCorrect"},
    ),
    "Junyi": (
        JUNYI,
        "12884,time_terminology,0,44,1420714810324490,7,1,1",
        {"student": "user_id", "item": "exercise", "order": "time_done"},
    ),
    "pyBKT": (
        "order_id,skill_name,correct,user_id",
        "1,add,1,u",
        {"student": "user_id", "skill": "skill_name", "order": "order_id"},
    ),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_columns_of_public_logs_are_recognised(write, name):
    header, row, expected = PUBLIC[name]
    log = read_responses(write(f"{header}\n{row}\n"))
    assert log.report.columns == expected
    assert len(log) == 1


@pytest.mark.parametrize("spelling", ["user_id", "user id", "USER_ID", "UserId", " User-ID ", "user.id"])
def test_case_and_separators_of_names_do_not_matter(write, spelling):
    log = read_responses(write(f"{spelling},skill,correct\na,x,1\n"))
    assert log.report.columns == {"student": spelling.strip()}


@pytest.mark.parametrize("kind", ["text", "binary", "pandas", "dictionary", "structured"])
def test_columns_are_recognised_in_every_source(write, tmp_path, kind, caplog):
    columns = {"learner": ["a", "b"], "kc": ["x", "y"], "is_correct": [1, 0], "score": [0.5, 2.0]}
    if kind == "text":
        log = read_responses(write("learner,kc,is_correct,score\na,x,1,0.5\nb,y,0,2.0\n"))
    elif kind == "binary":
        pq.write_table(pa.table(columns), tmp_path / "log.parquet")
        log = read_responses(tmp_path / "log.parquet")
    elif kind == "structured":
        rows = np.array([*zip(*columns.values(), strict=True)], "U1,U1,i8,f8")
        rows.dtype.names = tuple(columns)
        log = Responses.from_table(rows)
    else:
        log = Responses.from_table(pd.DataFrame(columns) if kind == "pandas" else columns)
    assert log.correct.tolist() == [1, 0]
    assert log.report.columns == {"student": "learner", "skill": "kc", "correct": "is_correct"}
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("alsim.responses", logging.WARNING)
    assert record.getMessage().endswith(
        "columns recognised by their names: student='learner', skill='kc', correct='is_correct'"
    )


PLAIN = "user_id,skill_name,is_correct\n7,add,1\n7,mul,0\n12345678901234567890123,add,1\n"


UNTIDY = {
    "semicolons": lambda text: text.replace(",", ";"),
    "tabs": lambda text: text.replace(",", "\t"),
    "spaces": lambda text: text.replace(",", " , "),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "byte order mark": lambda text: "\ufeff" + text,
    "UTF-16": lambda text: text.encode("utf-16"),
    "quotes": lambda text: text.replace("add", '"add"').replace("user_id", '"User Id"'),
    "booleans": lambda text: text.replace(",1\n", ",TRUE\n").replace(",0\n", ",FALSE\n"),
    "floats": lambda text: text.replace(",1\n", ",1.0\n").replace(",0\n", ",0.0\n"),
}


@pytest.mark.parametrize("kind", UNTIDY)
def test_untidy_files_are_read_alike(write, kind):
    log = read_responses(write(UNTIDY[kind](PLAIN)))
    assert log.students.tolist() == ["7", "12345678901234567890123"]
    assert log.skills[log.skill].tolist() == ["add", "mul", "add"]
    assert log.correct.tolist() == [1, 0, 1]


# ── sources that are read without synonyms ───────────────────────────────────────────────────────


def test_names_of_alsim_and_mapped_names_suffice(write, caplog):
    """Items and order would be recognised, but the log is complete without them, and reading it must not change."""
    text = "student,skill,correct,problem_id,order_id,user_id\na,x,1,p,2,u\na,x,0,q,1,u\n"
    log = read_responses(write(text))
    assert (log.correct.tolist(), log.items.tolist()) == ([1, 0], ["x"])
    mapped = read_responses(write(text), columns={"student": "user_id", "skill": "problem_id"})
    assert (mapped.correct.tolist(), mapped.students.tolist()) == ([1, 0], ["u"])
    assert log.report.columns == mapped.report.columns == {}
    assert not caplog.records


def test_a_name_of_alsim_wins_over_a_synonym(write):
    log = read_responses(write("user_id,skill,skill_name,correct,is_correct\na,x,X,1,0\n"))
    assert (log.skills.tolist(), log.correct.tolist()) == (["x"], [1])
    assert log.report.columns == {"student": "user_id"}


def test_a_mapped_or_omitted_column_is_not_recognised(write):
    text = "user_id,skill_name,is_correct,order_id\na,x,1,2\na,y,0,1\n"
    log = read_responses(write(text), columns={"skill": "is_correct", "correct": "is_correct"})
    assert log.report.columns == {"student": "user_id", "order": "order_id"}
    assert read_responses(write(text), columns={"order": None}).correct.tolist() == [1, 0]
    assert read_responses(write(text)).correct.tolist() == [0, 1]


@pytest.mark.parametrize("name", ["score", "response", "result", "topic", "user", "id", "time"])
def test_an_item_of_a_wide_file_may_have_any_name(write, name, caplog):
    log = read_responses(write(f"q1,{name}\n1,0\n0,1\n1,1\n"))
    assert log.items.tolist() == ["q1", name]
    assert log.report.columns == {}
    assert not caplog.records


# ── choices ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("header", "row", "column", "name"),
    [
        ("user_id,skill_id,skill_name,is_correct", "a,1,x,1", "skill", "skill_name"),
        ("user_name,user_id,skill,is_correct", "Ann,a,x,1", "student", "user_id"),
        ("user_id,question,question_id,is_correct", "a,2+2,q,1", "item", "question_id"),
        ("user_id,item_id,score,response", "a,q,1,B", "correct", "score"),
        ("user_id,item_id,score,response", "a,q,0.5,1", "correct", "response"),
        ("user_id,item_id,Outcome,is_correct", "a,q,CORRECT,1", "correct", "is_correct"),
        ("user_id,item_id,is_correct,end_time,start_time,time", "a,q,1,6,5,1", "order", "start_time"),
    ],
)
def test_the_preferred_of_two_names_is_read(write, header, row, column, name):
    assert read_responses(write(f"{header}\n{row}\n")).report.columns[column] == name


def test_a_response_is_an_answer_only_if_no_other_column_is(write):
    log = read_responses(write("person,item,response\na,p,1\na,q,0\n"))
    assert log.report.columns == {"student": "person", "correct": "response"}
    assert log.correct.tolist() == [1, 0]
    log = read_responses(write("person,item,response,is_correct\na,p,r7,1\na,p,r7,1\n"))
    assert log.report.duplicates == 1  # `response` is the id of a response, as in alsim's names


def test_a_duration_is_not_an_order(write):
    assert "time" not in SYNONYMS["order"][0]
    log = read_responses(write("user_id,skill,is_correct,time\na,x,1,9\na,x,0,5\n"))
    assert log.correct.tolist() == [1, 0]


def test_names_of_different_meanings_are_ambiguous(write):
    file = write("user_id,question_id,problem_id,kc,topic,is_correct\na,1,2,3,4,1\n")
    with pytest.raises(ResponsesError) as caught:
        read_responses(file)
    columns = {
        "student": "user_id",
        "correct": "is_correct",
        "skill": "kc",
        "item": "question_id",
    }
    assert caught.value.problem == (
        f"{file}: 'kc' and 'topic' can each be the column skill, "
        "and 'question_id' and 'problem_id' can each be the column item"
    )
    assert str(caught.value).endswith(f"; choose with columns={columns!r}")
    assert read_responses(file, columns=caught.value.options["columns"]).items.tolist() == ["1"]
    with pytest.raises(ResponsesError, match="'user_id' and 'UserID' can each be the column student"):
        read_responses(write("user_id,UserID,skill,correct\na,b,x,1\n"))
    with pytest.raises(ResponsesError, match=r"'KC \(A\)' and 'KC \(B\)' can each be the column skill"):
        read_responses(write("Anon Student Id,KC (A),KC (B),correct\na,b,x,1\n"))


def test_a_few_other_values_are_errors_of_their_rows(write):
    """Among the first rows of a column named like correctness, at most one in ten may have another value."""
    rows = "".join(f"s{k},x,{k % 2}\n" for k in range(18))
    one, two = f"student,skill,score\n{rows}a,x,maybe\n", f"student,skill,score\n{rows}a,x,0.5\nb,x,7\nc,x,9\n"
    with pytest.raises(ResponsesError, match="line 20, column score: 'maybe'; expected 0 or 1"):
        read_responses(write(one))
    assert len(read_responses(write(one), skip_bad=True)) == 18
    for source in (lambda: read_responses(write(two)), lambda: Responses.from_table(pd.read_csv(write(two)))):
        with pytest.raises(ResponsesError, match="'score' is named like correct, but its first rows .*, such as "):
            source()


def test_columns_with_equal_answers_are_one_choice_in_files_as_in_tables(write):
    file = write("student,skill,score,result\na,x,1,1\na,x,0,0\n")
    assert read_responses(file).correct.tolist() == Responses.from_table(pd.read_csv(file)).correct.tolist() == [1, 0]
    with pytest.raises(ResponsesError, match="'score' and 'result' can each be the column correct"):
        read_responses(write("student,skill,score,result\na,x,1,1\na,x,0,1\n"))


def test_values_that_cannot_be_read_are_named(write):
    """DataShop's outcomes are words: the message names the first one."""
    file = write("Anon Student Id,KC (Default),Outcome\na,x,CORRECT\na,x,HINT\n")
    cure = "; write the answers as 0 and 1, or name another column with columns="
    with pytest.raises(
        ResponsesError, match=f"'Outcome' is named like correct, but its first rows are not all 0 or 1.*{cure}"
    ):
        read_responses(file)
    with pytest.raises(ResponsesError, match=f"line 2, column Outcome: 'CORRECT'; expected 0 or 1{cure}"):
        read_responses(file, columns={"correct": "Outcome"})
    with pytest.raises(ResponsesError, match=f"first rows are not all 0 or 1, such as 'CORRECT'{cure}"):
        Responses.from_table(pd.read_csv(file))
    with pytest.raises(ResponsesError, match=f"line 2, column correct: 'yes'; expected 0 or 1{cure}"):
        read_responses(write("student,skill,correct\na,x,yes\na,x,no\n"))


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize(
    ("name", "values"), [("score", [1, 57, 0]), ("result", ["1", "pass", "0"]), ("right", [1, 2, 0])]
)
def test_points_and_words_are_not_answers(write, name, values, skip_bad):
    """With skip_bad, only the rows with 0 and 1 points would be left, as if they were answers."""
    columns = {"user_id": ["a"] * 3, "skill": ["x"] * 3, name: values}
    with pytest.raises(
        ResponsesError, match=f"'{name}' is named like correct.* such as {values[1]!r}; write the answers"
    ):
        Responses.from_table(columns, skip_bad=skip_bad)
    rows = "".join(f"a,x,{value}\n" for value in values)
    with pytest.raises(ResponsesError, match=f"'{name}' is named like correct"):
        read_responses(write(f"user_id,skill,{name}\n{rows}"), skip_bad=skip_bad)


RAW = {"letters": "ABCD", "1 to 5": "12345", "1 and 2": "12", "mostly 1": "1" * 7 + "234"}


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize("options", RAW.values(), ids=RAW)
@pytest.mark.parametrize("first", [0, 150])
def test_raw_answers_in_a_log_with_skills_only_are_refused(write, options, first, skip_bad):
    """Also after `first` rows of 0 and 1, and with skip_bad, which would leave the rows with these options only."""
    answers = ["01"[k % 2] for k in range(first)] + [options[k % len(options)] for k in range(300)]
    rows = "".join(f"s{k % 7},x,{answer}\n" for k, answer in enumerate(answers))
    file = write(f"student,skill,response\n{rows}")
    for read in (read_responses, lambda file, **options: Responses.from_table(pd.read_csv(file, dtype=str), **options)):
        with pytest.raises(ResponsesError, match="'response' is named like correct, .*; write the answers as 0 and 1"):
            read(file, skip_bad=skip_bad)


# ── keys, answers and counts ─────────────────────────────────────────────────────────────────────

KEYED = [
    ("user_id,item_id,correct_answer,response", "a,q,1,1|a,r,0,1"),
    ("user_id,item_id,Answer Key,response", "a,q,1,1|a,r,0,1"),
    ("user_id,item_id,key,answer", "a,q,1,1|a,r,0,1"),
    ("user_id,item_id,solution,user_response", "1,1,1,1|1,0,0,1"),
    ("user_id,question_id,user_answer,correct_answer", "1,1,1,1|1,0,0,1"),
    ("user_id,question_id,user_answer,correct_answer", "u,q,b,c|u,r,a,a"),
]


@pytest.mark.parametrize(("header", "rows"), KEYED)
def test_an_answer_beside_its_key_is_not_correctness(write, header, rows):
    file = write(f"{header}\n{rows}\n".replace("|", "\n"))
    for read in (read_responses, lambda file: Responses.from_table(pd.read_csv(file))):
        with pytest.raises(
            ResponsesError, match="no column for correct; .* with the key .*'correct': 'NAME'}"
        ) as caught:
            read(file)
        assert caught.value.options["columns"]["correct"] == "NAME"
    columns = caught.value.options["columns"] | {"correct": "agrees"}
    first, second = rows.split("|")
    log = read_responses(write(f"{header},agrees\n{first},1\n{second},0\n"), columns=columns)
    assert log.correct.tolist() == [1, 0]


def test_a_mapped_column_is_no_key(write):
    log = read_responses(write("user_id,key,response\na,q,1\na,r,0\n"), columns={"item": "key"})
    assert log.report.columns == {"student": "user_id", "correct": "response"}


def test_correctness_beside_a_key_is_read(write):
    log = read_responses(write("user_id,item_id,correct_answer,user_answer,score\na,q,1,0,0\na,r,0,0,1\n"))
    assert (log.report.columns["correct"], log.correct.tolist()) == ("score", [0, 1])


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (("score", "right"), ([1, 1], [1, 0])),
        (("is_correct", "outcome"), ([1, 0], [0, 1])),
        (("is_correct", "response"), ([1, 0], [1, 1])),
        (("score", "right"), ([1, 1], [1, None])),
    ],
)
def test_columns_of_different_answers_are_ambiguous(write, names, values):
    columns = {"user_id": ["a", "a"], "item_id": ["p", "q"], **dict(zip(names, values, strict=True))}
    file = write(pd.DataFrame(columns).to_csv(index=False))
    message = f"{names[0]!r} and {names[1]!r} can each be the column correct; choose with columns="
    for read, source in ((read_responses, file), (Responses.from_table, columns)):
        with pytest.raises(ResponsesError, match=message) as caught:
            read(source)
        assert read(source, **caught.value.options).correct.tolist() == values[0]


def test_columns_of_the_same_answers_are_one():
    log = Responses.from_table(
        {"user_id": ["a", "b"], "item_id": ["p", "q"], "right": [True, False], "score": [1.0, 0.0]}
    )
    assert log.report.columns == {"student": "user_id", "item": "item_id", "correct": "score"}


def test_a_certain_name_is_read_before_a_score_even_if_an_answer_is_invalid(write):
    with pytest.raises(ResponsesError, match="line 3, column is_correct: 'maybe'; expected 0 or 1"):
        read_responses(write("user_id,skill,is_correct,score\na,x,1,1\na,x,maybe,0\n"))


def test_a_step_is_an_item_only_as_a_name_or_an_id(write):
    with pytest.raises(ResponsesError, match="there is no column for skill or item"):
        read_responses(write("user_id,step,correct\na,1,1\na,2,0\n"))
    for name in ("Step Name", "step_id"):
        assert read_responses(write(f"user_id,{name},correct\na,s,1\n")).report.columns["item"] == name


@pytest.mark.parametrize(
    "names", ["attempt,hint_count", "time,original", "correct_answer,key", "skill_id,order_id", "a,b"]
)
def test_only_a_column_that_may_be_correctness_is_proposed(write, names):
    """None of two columns is proposed if nothing but their place distinguishes them."""
    with pytest.raises(ResponsesError, match="no column for correct") as caught:
        read_responses(write(f"student,skill,{names}\na,x,1,0\na,x,1,1\n"))
    proposed = caught.value.options["columns"]["correct"]
    assert proposed == ("original" if "original" in names else "NAME")


def test_a_similar_name_without_answers_is_not_proposed(write):
    with pytest.raises(ResponsesError, match="columns={'correct': 'NAME'}"):
        read_responses(write("student,skill,corect\na,x,B\n"))


@pytest.mark.parametrize(
    ("name", "title"), [("Id", "id"), ("user id", "User_ID"), ("USER-ID", "user_id"), ("user", "UserId")]
)
def test_case_and_spacing_of_a_mapped_name_are_mended(write, name, title):
    file = write(f"{title},skill,correct\na,x,1\n")
    with pytest.raises(ResponsesError, match=f"there is no column {name!r} for student") as caught:
        read_responses(file, columns={"student": name})
    assert caught.value.options == {"columns": {"student": title}}
    assert len(read_responses(file, **caught.value.options)) == 1


def test_two_columns_of_students_are_ambiguous(write):
    with pytest.raises(ResponsesError, match="'user_id' and 'student_id' can each be the column student"):
        read_responses(write("user_id,student_id,skill,correct\n1,2,x,1\n1,3,x,0\n"))


def test_a_skill_is_named_rather_than_numbered(write):
    named = read_responses(write("user_id,skill_id,skill_name,correct\na,7,add,1\n"))
    assert named.skills.tolist() == ["add"]
    own = read_responses(write("user_id,skill_id,skill_name,skill,correct\na,7,add,s,1\n"))
    assert own.skills.tolist() == ["s"]


UNRELATED = (
    "attempt",
    "hint_count",
    "time",
    "step",
    "answer",
    "correct_answer",
    "age",
    "original",
    "grade",
    "id",
    "ms",
)
LOGS = {
    "user_id,skill_name,is_correct,order_id": "a,x,1,2|a,y,0,1|b,x,1,3",
    "Anon Student Id,Problem Name,Correct First Attempt": "a,p,0|b,q,1|b,p,1",
    "learner,kc,score": "1,1,1|1,1,0|0,1,1",
    "student,item,skill,correct": "1,1,1,1|1,0,1,0|0,1,0,1",
}


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(LOGS)), st.lists(st.sampled_from(UNRELATED), unique=True), st.data())
def test_the_sequence_of_columns_and_unrelated_columns_do_not_matter(header, unrelated, data):
    rows = [row.split(",") for row in LOGS[header].split("|")]
    columns = dict(zip(header.split(","), map(list, zip(*rows, strict=True)), strict=True))
    cells = st.lists(st.sampled_from(["0", "1", "7", "B", "", "2.5"]), min_size=len(rows), max_size=len(rows))
    more = columns | {name: data.draw(cells) for name in unrelated}
    shuffled = {name: more[name] for name in data.draw(st.permutations(sorted(more)))}
    expected = Responses.from_table(columns)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "log.csv"
        file.write_text("".join(",".join(row) + "\n" for row in [shuffled, *zip(*shuffled.values(), strict=True)]))
        for log in (Responses.from_table(shuffled), read_responses(file)):
            assert log.report.columns == expected.report.columns
            assert log.report.duplicates == expected.report.duplicates
            for name in ("student", "item", "skill", "correct", "row", "students", "items", "skills"):
                assert getattr(log, name).tolist() == getattr(expected, name).tolist()


def test_synonyms_are_distinct():
    for groups in SYNONYMS.values():
        words = [plain(name) for group in groups for name in group]
        assert len(set(words)) == len(words)


# ── wide files ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "content",
    [
        "student_id,x,y\nann,1,0\nbob,0,1\n",
        "id,x,y\n1,1,0\n2,0,1\n",
        '"","x","y"\n"1",1,0\n"2",0,1\n',
        ",x,y\n0,1,0\n1,0,1\n2,1,1\n",
        "Unnamed: 0,x,y\n1,1,0\n2,0,1\n",
    ],
)
def test_students_of_a_wide_file_are_recognised(write, content, caplog):
    log = read_responses(write(content))
    assert log.items.tolist() == ["x", "y"]
    assert [*log.report.columns] == ["student"]
    assert len(caplog.records) == 1


def test_a_delimiter_at_the_end_of_each_line_is_no_item(write):
    assert read_responses(write("x,y,\n1,0,\n0,1,\n")).items.tolist() == ["x", "y"]


ITEMS = "q1,q2,q3,q4,q5"


def test_columns_of_a_wide_file_without_answers_are_named_and_can_be_omitted(write):
    file = write(f"id,sex,age,{ITEMS}\n1,F,20,1,0,1,1,0\n2,M,1,1,0,1,1,0\n")
    with pytest.raises(ResponsesError, match="one column per item, but 'sex', 'age' have no answers") as caught:
        read_responses(file)
    cure = "if they are no items, omit them with columns={'sex': None, 'age': None}"
    assert str(caught.value).endswith(cure)
    log = read_responses(file, **caught.value.options)
    assert (log.items.tolist(), log.students.tolist()) == (ITEMS.split(","), ["1", "2"])
    with pytest.raises(ResponsesError, match="column age: '20'; .*, omit it with columns={'age': None}"):
        read_responses(write("q1,age\n1,1\n0,20\n1,21\n"))
    with pytest.raises(ResponsesError, match="there is no column 'sx' to omit; the columns are 'q1', 'age'; name an"):
        read_responses(file, columns={"sx": None}, format="wide")
    coded = write(f"code,{ITEMS}\nx7,1,0,1,1,0\n")
    assert read_responses(coded, columns={"student": "code"}).students.tolist() == ["x7"]
    assert read_responses(coded, columns={"code": None}).students.tolist() == ["0"]


def test_invalid_cells_of_a_wide_file_have_a_cure(write):
    with pytest.raises(ResponsesError, match="column q1: '4'; .*; score the item as 0 and 1, or, if the column is not"):
        read_responses(write("q1,q2\n1,0\n4,1\n3,1\n"))
    with pytest.raises(ResponsesError, match=r"column q2: '9'; .*, or pass missing=\['-1', '9'\] if this value means"):
        read_responses(write("q1,q2\n1,0\n1,9\n1,1\n"))
    with pytest.raises(ResponsesError, match="or, if the column is not an item, remove it"):
        Responses.from_matrix([[1, 2], [1, 3]])


def test_a_long_file_whose_first_row_is_of_zeros_and_ones_is_long(write):
    log = read_responses(write("user_id,skill_id,is_correct\n1,1,1\n2,1,0\n"))
    assert log.students.tolist() == ["1", "2"]


# ── messages ─────────────────────────────────────────────────────────────────────────────────────


def test_the_most_similar_columns_are_proposed(write):
    with pytest.raises(ResponsesError) as caught:
        read_responses(write("usr,skil,corect\na,x,1\n"))
    columns = {"student": "usr", "correct": "corect", "skill": "skil"}
    assert caught.value.options == {"columns": columns}
    assert str(caught.value).endswith(f"'corect'; name the columns with columns={columns!r}")
    assert len(read_responses(write("usr,skil,corect\na,x,1\n"), **caught.value.options)) == 1


def test_a_column_of_answers_is_proposed_for_correct(write):
    with pytest.raises(ResponsesError, match="no column for correct; .*columns={'correct': 'ok'}"):
        read_responses(write("student,skill,step,ok\na,x,3,1\n"))


def test_many_columns_are_not_all_listed(write):
    with pytest.raises(ResponsesError, match="'c19' and 80 more; name the columns"):
        read_responses(write(",".join(f"c{k}" for k in range(100)) + "\n" + ",".join(["x"] * 100) + "\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04\x14\x00", "cannot be decompressed"),
        (b"\xd0\xcf\x11\xe0", "is an Excel workbook"),
        (b"\x1f\x8b\x08", "cannot be decompressed: .*; write it again"),
        (b"PAR1\x15\x04", "is a Parquet file; expected a text file; rename it to .parquet"),
        (b'[{"user_id": 1}]', "is JSON"),
        (b'{"user_id": 1}\n', "is JSON"),
        ("student,skill,correct\n".encode("utf-16-le"), "zero bytes, .*; pass its encoding with encoding='utf-16-le'"),
    ],
)
def test_files_of_another_kind_are_named(write, content, message):
    with pytest.raises(ResponsesError, match=message):
        read_responses(write(content))


def test_a_similar_file_is_proposed(write, tmp_path):
    write("x", "answers.csv")
    with pytest.raises(ResponsesError, match=r"anwsers.csv: there is no such file; did you mean .*answers.csv\?"):
        read_responses(tmp_path / "anwsers.csv")
    with pytest.raises(ResponsesError, match="there is no such file; check the path$"):
        read_responses(tmp_path / "q" / "z")


@pytest.mark.parametrize("order", ["9/28/2012", "soon"])
def test_an_order_that_cannot_be_read_is_refused(write, order):
    file = write(f"user_id,skill,is_correct,date\na,x,1,{order}\na,x,0,{order}\n")
    with pytest.raises(
        ResponsesError, match="column date: .*; convert the column, or read the log without order"
    ) as caught:
        read_responses(file)
    assert len(read_responses(file, **caught.value.options)) == 2


def test_names_in_another_case_are_proposed(write):
    with pytest.raises(ResponsesError, match="there is no column 'Id' for student; .*did you mean 'id'"):
        read_responses(write("id,q1,q2\na,1,0\nb,0,1\n"), columns={"student": "Id"})
    with pytest.raises(ResponsesError) as caught:
        read_responses(write("id,skill,correct\na,x,0\n"), columns={"student": "ID"})
    assert caught.value.options == {"columns": {"student": "id"}}


def test_a_wide_table_in_memory_is_for_from_matrix():
    table = {"id": ["a", "b"], "q1": [1, 0], "q2": [0, 1], "q3": [1, 1]}
    with pytest.raises(ResponsesError, match="seems to have one column per item; .* to Responses.from_matrix"):
        Responses.from_table(table)
