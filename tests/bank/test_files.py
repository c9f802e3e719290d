"""Banks in files: saved, loaded, and completed from a table of questions (clause S2.5)."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alsim.bank import files
from alsim.bank.files import complete_bank, level_limits, load_bank, save_bank
from alsim.bank.items import Bank, BankError, sample_bank
from alsim.config import Config
from alsim.models import irt

LEVELS = ["Easy", "Medium", "Hard"]
KINDS = ["video", "PPT", "text", "blog", "article", "handout"]  # S2.3's order

configs = st.builds(
    lambda num_los, questions, contents, seed: Config.read(
        {
            "num_los": num_los,
            "num_questions_per_lo": questions,
            "num_contents_per_lo": contents,
            "bank": {"seed": seed},
        }
    ),
    st.integers(1, 12),
    st.integers(3, 25),
    st.integers(6, 15),
    st.integers(0, 2**64 - 1),
)


# ── saved and loaded ─────────────────────────────────────────────────────────────────────────────


def assert_same_bits(one, other):
    assert one == other
    for mine, theirs in zip((one.questions, one.contents), (other.questions, other.contents), strict=True):
        assert mine.id == theirs.id
        for a, b in zip(mine[1:], theirs[1:], strict=True):
            assert (a.dtype, a.tobytes()) == (b.dtype, b.tobytes())


@given(configs)
@settings(max_examples=30, deadline=None)
def test_s2_5_a_sampled_bank_reads_back_to_the_same_bits(config):
    bank = sample_bank(config)
    with TemporaryDirectory() as folder:
        save_bank(bank, folder)
        assert sorted(os.listdir(folder)) == ["contents.csv", "questions.csv"]
        assert_same_bits(load_bank(folder), bank)


@given(st.lists(st.floats(-1, 1, width=32), min_size=6, max_size=6), st.floats(width=32, allow_nan=False))
@settings(deadline=None)
def test_s2_5_any_float32_reads_back_to_the_same_bits(impacts, b):
    bank = sample_bank(Config(num_los=1))
    irt_b = np.full_like(bank.questions.irt_b, b)
    contents = bank.contents._replace(engagement_impact=np.array(impacts, np.float32))
    questions = bank.questions._replace(irt_b=irt_b)
    if not np.isfinite(b):
        with pytest.raises(BankError, match=r"questions: irt_b of 'q0' is -?inf; expected a finite number"):
            Bank(bank.outcomes, questions, contents)
        return
    bank = Bank(bank.outcomes, questions, contents)
    with TemporaryDirectory() as folder:
        save_bank(bank, folder)
        assert_same_bits(load_bank(folder), bank)


def test_s2_5_another_reader_sees_the_specified_columns_and_words(tmp_path):
    bank = sample_bank(Config(num_los=2))
    save_bank(bank, tmp_path / "new" / "folder")
    questions = pa.csv.read_csv(tmp_path / "new" / "folder" / "questions.csv")
    contents = pa.csv.read_csv(tmp_path / "new" / "folder" / "contents.csv")
    assert questions.column_names == (
        ["id", "learning_outcome", "difficulty", "irt_a", "irt_b", "irt_c", "response_time_mean", "response_time_std"]
    )
    assert contents.column_names == [
        "id",
        "learning_outcome",
        "modality",
        "duration",
        "effectiveness",
        "engagement_impact",
    ]
    assert questions.to_pylist()[13]["difficulty"] == "Medium"
    assert contents["modality"].to_pylist() == KINDS * 2
    assert np.array_equal(questions["irt_b"].to_numpy().astype(np.float32), bank.questions.irt_b)


@pytest.mark.parametrize("number", [pa.float32(), pa.float64()])
@pytest.mark.parametrize("outcome", [pa.int64(), pa.float64(), pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_s2_5_parquet_holds_the_same_bank(tmp_path, number, outcome):
    bank = sample_bank(Config(num_los=12))
    for stem, items in (("questions", bank.questions), ("contents", bank.contents)):
        code, words = ("difficulty", LEVELS) if stem == "questions" else ("modality", KINDS)
        columns = {name: pa.array(getattr(items, name), number) for name in items._fields[3:]}
        columns[code] = pa.array([words[k] for k in getattr(items, code)])
        outcomes = items.learning_outcome.tolist()
        textual = not (pa.types.is_integer(outcome) or pa.types.is_floating(outcome))
        columns["learning_outcome"] = pa.array([str(lo) for lo in outcomes] if textual else outcomes).cast(outcome)
        columns["id"] = pa.array(items.id)
        pa.parquet.write_table(pa.table(columns), tmp_path / f"{stem}.parquet")
    assert_same_bits(load_bank(tmp_path), bank)


def test_save_refuses_to_overwrite_unless_forced(tmp_path):
    old, new = sample_bank(Config(num_los=2)), sample_bank(Config(num_los=3))
    save_bank(old, tmp_path)
    message = r"already holds a bank \(questions.csv, contents.csv\); force=True \(--force\) overwrites it"
    with pytest.raises(BankError, match=message):
        save_bank(new, tmp_path)
    assert load_bank(tmp_path) == old
    pa.parquet.write_table(pa.csv.read_csv(tmp_path / "contents.csv"), tmp_path / "contents.parquet")
    (tmp_path / "contents.csv").unlink()
    save_bank(new, tmp_path, force=True)
    assert sorted(os.listdir(tmp_path)) == ["contents.csv", "questions.csv"]
    assert load_bank(tmp_path) == new


def test_save_finishes_a_replacement_that_was_interrupted_before_it_refuses(tmp_path, monkeypatch):
    """The process that saved was killed after the journal was written, before the files were renamed."""
    bank = sample_bank(Config(num_los=2))
    with monkeypatch.context() as patch:
        patch.setattr("alsim.utils.file_groups._complete", lambda folder, main: None)
        save_bank(bank, tmp_path)
    assert {name[0] for name in os.listdir(tmp_path)} == {"."}
    with pytest.raises(BankError, match=r"already holds a bank \(questions.csv, contents.csv\); force=True"):
        save_bank(sample_bank(Config(num_los=3)), tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["contents.csv", "questions.csv"]
    assert load_bank(tmp_path) == bank


def test_a_bank_that_another_process_saves_meanwhile_is_kept(tmp_path, monkeypatch):
    first, second = sample_bank(Config(num_los=2)), sample_bank(Config(num_los=3))
    check = files._check_round_trip

    def check_and_lose(bank, staged):
        check(bank, staged)
        monkeypatch.undo()
        save_bank(first, tmp_path)

    monkeypatch.setattr(files, "_check_round_trip", check_and_lose)
    with pytest.raises(BankError, match="already holds a bank"):
        save_bank(second, tmp_path)
    assert load_bank(tmp_path) == first


def test_a_failed_save_leaves_the_old_bank(tmp_path, monkeypatch):
    old = sample_bank(Config(num_los=2))
    save_bank(old, tmp_path)

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BankError, match="cannot be written there: No space left"):
        save_bank(sample_bank(Config(num_los=3)), tmp_path, force=True)
    assert sorted(os.listdir(tmp_path)) == ["contents.csv", "questions.csv"]
    assert load_bank(tmp_path) == old


def test_save_refuses_a_path_that_is_not_a_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BankError, match="file: a bank cannot be written there"):
        save_bank(sample_bank(Config(num_los=1)), tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bank: {"outcomes": ("b", "a")}, None),
        (lambda bank: {"outcomes": ("7", "8")}, "no row has 0"),
        (lambda bank: {"outcomes": ("same", "same")}, "must be in the order"),
        (lambda bank: {"outcomes": (" a", "b")}, "must not begin or end with a space"),
        (lambda bank: {"questions": bank.questions._replace(id=("q",) * 40)}, "a unique id; line 2 has the same"),
        (lambda bank: {"contents": bank.contents._replace(id=("",) * 12)}, "an empty cell; expected a name"),
    ],
)
def test_save_refuses_a_bank_that_tables_cannot_represent(tmp_path, change, message):
    bank = sample_bank(Config(num_los=2))
    bank = Bank(**({name: getattr(bank, name) for name in ("outcomes", "questions", "contents")} | change(bank)))
    if message is None:
        save_bank(bank, tmp_path)
        assert load_bank(tmp_path) == bank
    else:
        with pytest.raises(BankError, match=f"tables cannot represent the bank: .*{message}") as error:
            save_bank(bank, tmp_path)
        assert ".bank-" not in str(error.value)
        assert os.listdir(tmp_path) == []


# ── tables of users ──────────────────────────────────────────────────────────────────────────────

QUESTIONS = """\
id,learning_outcome,difficulty,irt_a,irt_b,irt_c,response_time_mean,response_time_std
e,algebra,Easy,0.5,-1,0.1,30,10
m,algebra,MEDIUM,1,0,0.2,20.5,0
h,algebra,hard,2e0,+1.5,0,40,5
"""
CONTENTS = """\
id,learning_outcome,modality,duration,effectiveness,engagement_impact
v,algebra,video,20,0.1,-1
p,algebra,ppt,15,0,-0.05
t,algebra,TEXT,7,0.06,0.02
b,algebra,Blog,9,1,1
a,algebra,article,12,0.07,0
o,algebra,handout,6,0.05,0.05
"""


def write(folder, questions=QUESTIONS, contents=CONTENTS, encoding="utf-8"):
    (folder / "questions.csv").write_bytes(questions.encode(encoding))
    (folder / "contents.csv").write_bytes(contents.encode(encoding))
    return folder


def test_s2_5_tables_of_users_are_read(tmp_path):
    bank = load_bank(str(write(tmp_path)))
    assert bank.outcomes == ("algebra",)
    assert [bank.question(k) for k in range(3)] == [
        dict(
            zip(
                ["id", "learning_outcome", "difficulty", "irt_a", "irt_b", "irt_c"]
                + ["response_time_mean", "response_time_std"],
                row,
                strict=True,
            )
        )
        for row in [
            ("e", 0, "Easy", 0.5, -1.0, float(np.float32(0.1)), 30.0, 10.0),
            ("m", 0, "Medium", 1.0, 0.0, float(np.float32(0.2)), 20.5, 0.0),
            ("h", 0, "Hard", 2.0, 1.5, 0.0, 40.0, 5.0),
        ]
    ]
    assert [bank.content(k)["modality"] for k in range(6)] == KINDS
    assert bank.contents.duration.tolist() == [20, 15, 7, 9, 12, 6]
    assert bank.contents.engagement_impact[[0, 3]].tolist() == [-1, 1]


def quoted(text):
    return "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines())


def reordered(text):
    return "\n".join(",".join(reversed(line.split(","))) for line in text.splitlines())


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.rstrip("\n"),
        lambda text: "\n" + text.replace("\n", "\n\n") + "\n  \n",
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(",", " | "),
        lambda text: text.replace(",", ", "),
        lambda text: text.replace(",", "   "),
        lambda text: text.replace(",", " \t "),
        lambda text: "  " + text.replace(",", "  ").replace("algebra", '"algebra"') + "  ",
        lambda text: text.replace(",algebra,", ' , "algebra", '),
        quoted,
        lambda text: "\ufeff" + quoted(text),
        reordered,
    ],
    ids=[
        "BOM",
        "CRLF",
        "CR",
        "no-last-newline",
        "blank-lines",
        "semicolon",
        "tab",
        "pipe",
        "comma-space",
        "spaces",
        "tabs-and-spaces",
        "spaces-and-quotes",
        "comma-space-quotes",
        "quoted",
        "BOM-quoted",
        "reordered",
    ],
)
def test_s2_5_equivalent_texts_give_the_same_bank(tmp_path, change):
    plain = load_bank(write(tmp_path))
    assert_same_bits(load_bank(write(tmp_path, change(QUESTIONS), change(CONTENTS))), plain)


def test_s2_5_names_may_hold_delimiters_quotes_line_ends_and_any_script(tmp_path):
    name = 'Brüche, "gemischt"; 分数|\nTeil 2'
    cell = '"' + name.replace('"', '""') + '"'
    bank = load_bank(write(tmp_path, QUESTIONS.replace("algebra", cell), CONTENTS.replace("algebra", cell)))
    assert bank.outcomes == (name,)
    save_bank(bank, tmp_path, force=True)
    assert load_bank(tmp_path) == bank


def test_s2_5_outcomes_are_indices_if_all_are_integers_else_names_in_order(tmp_path):
    def two(first, second):
        return [
            text + "".join(f"2{row}\n" for row in text.replace("algebra", second).splitlines()[1:])
            for text in (QUESTIONS.replace("algebra", first), CONTENTS.replace("algebra", first))
        ]

    def swapped(first, second):
        return [text.replace("algebra", first) for text in two("algebra", second)]

    by_index = load_bank(write(tmp_path, *swapped("1", "0")))
    assert by_index.outcomes == ("0", "1")
    assert by_index.questions.learning_outcome.tolist() == [1, 1, 1, 0, 0, 0]
    by_name = load_bank(write(tmp_path, *swapped("z", "1")))
    assert by_name.outcomes == ("z", "1")
    assert by_name.questions.learning_outcome.tolist() == [0, 0, 0, 1, 1, 1]


def edited(text, line, column, cell):
    """Return a table with one cell changed; line 1 is the header."""
    lines = [row.split(",") for row in text.splitlines()]
    lines[line - 1][lines[0].index(column)] = cell
    return "\n".join(map(",".join, lines)) + "\n"


NUMBERS = ["irt_a", "irt_b", "irt_c", "response_time_mean", "response_time_std"]
BAD_QUESTIONS = [
    *((column, cell, "a ") for column in NUMBERS for cell in ["x", "nan", "inf", "-inf", "", "1e39", "0_1"]),
    *(("irt_a", cell, "a finite number > 0") for cell in ["0", "-1", "1e-60"]),
    *(("irt_c", cell, r"a number in \[0, 1\)") for cell in ["-0.1", "1", "0.999999999999"]),
    *(("response_time_mean", cell, "a finite number of seconds > 0") for cell in ["0", "-30"]),
    ("response_time_std", "-1", "a finite number of seconds >= 0"),
    ("difficulty", "Harder", "one of Easy, Medium, Hard"),
    ("difficulty", "", "one of Easy, Medium, Hard"),
    ("learning_outcome", "", "a name"),
    ("learning_outcome", "geometry", "an outcome that is also in contents.csv"),
    ("id", "e", "a unique id; line 2 has the same"),
    ("id", "", "a name"),
]
BAD_CONTENTS = [
    *((column, "x", "a ") for column in ("duration", "effectiveness", "engagement_impact")),
    *(("duration", cell, "a finite number of minutes > 0") for cell in ["0", "-1", "inf"]),
    *(("effectiveness", cell, r"a number in \[0, 1\]") for cell in ["-0.01", "1.01", "nan"]),
    *(("engagement_impact", cell, r"a number in \[-1, 1\]") for cell in ["-1.01", "1.01", ""]),
    ("modality", "film", "one of video, PPT, text, blog, article, handout"),
    ("learning_outcome", "geometry", "an outcome that is also in questions.csv"),
    ("id", "v", "a unique id; line 2 has the same"),
]


@pytest.mark.parametrize(
    ("stem", "column", "cell", "expected"),
    [("questions", *case) for case in BAD_QUESTIONS] + [("contents", *case) for case in BAD_CONTENTS],
)
def test_a_bad_cell_is_named_by_file_line_column_and_value(tmp_path, stem, column, cell, expected):
    write(tmp_path)
    path = tmp_path / f"{stem}.csv"
    path.write_text(edited(path.read_text(), 4, column, cell))
    value = f"'{cell}'" if cell else "an empty cell"
    with pytest.raises(
        BankError, match=rf"{stem}\.csv, line 4, column {column}: {value}; expected {expected}"
    ) as error:
        load_bank(tmp_path)
    assert str(tmp_path) in str(error.value)


def without(text, column):
    k = text.split("\n")[0].split(",").index(column)
    return "\n".join(",".join(line.split(",")[:k] + line.split(",")[k + 1 :]) for line in text.splitlines())


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ("", "questions.csv: the file is empty"),
        (" \n\t\n", "questions.csv: the file is empty"),
        ('""', "questions.csv: there is no row below the header"),
        (QUESTIONS.splitlines()[0], "questions.csv: there is no row below the header"),
        (without(QUESTIONS, "irt_b"), r"questions.csv: there is no column irt_b; the columns are id, learning_outcome"),
        (
            QUESTIONS.replace("irt_b", "b"),
            r"questions.csv: there is no column irt_b; the columns are id, .*, irt_a, b, irt_c, ",
        ),
        (QUESTIONS.replace("\n", ",\n"), "questions.csv: unknown column ''; the columns of a bank are id, "),
        (QUESTIONS.replace("\n", ",irt_a\n"), "questions.csv: more than one column is named irt_a"),
        (QUESTIONS.replace("40,5", "40"), "questions.csv, line 4: 7 cells; expected 8, as in the header"),
        (QUESTIONS.replace("40,5", "40,5,6"), "questions.csv, line 4: 9 cells; expected 8, as in the header"),
        (
            QUESTIONS.replace("m,algebra", 'm,"algebra'),
            "questions.csv, line 3: the row is invalid: unexpected end",
        ),
        (QUESTIONS.replace("m,algebra", 'm,"al"gebra'), "questions.csv, line 3: the row is invalid"),
        (QUESTIONS + "x" * 200_000, "questions.csv, line 5: the row is invalid: field larger"),
        (QUESTIONS.replace("hard", "easy"), r": every learning outcome needs .* there is none for \(algebra, Hard\)"),
        (
            QUESTIONS.replace("algebra", "0"),
            "questions.csv, line 2, column learning_outcome: '0'; expected an outcome ",
        ),
    ],
)
def test_a_bad_table_of_questions_is_named(tmp_path, questions, message):
    with pytest.raises(BankError, match=message) as error:
        load_bank(write(tmp_path, questions))
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(("label", "gap"), [("1", "0"), ("999999999", "0")])
def test_a_gap_in_the_indices_is_refused(tmp_path, label, gap):
    write(tmp_path, QUESTIONS.replace("algebra", label), CONTENTS.replace("algebra", label))
    with pytest.raises(BankError, match=rf"line 2, column learning_outcome: '{label}'; .*no row has {gap}"):
        load_bank(tmp_path)


@pytest.mark.ci
@given(st.one_of(st.binary(max_size=60), st.text(st.sampled_from('ax1.,;|\t "\n\r\0\ufeff')).map(str.encode)))
@settings(max_examples=300, deadline=None)
def test_garbage_is_a_bank_error_or_a_blank_line(garbage):
    with TemporaryDirectory() as folder:
        plain = load_bank(write(Path(folder)))
        for text in (garbage, QUESTIONS.encode() + garbage):
            Path(folder, "questions.csv").write_bytes(text)
            try:
                bank = load_bank(folder)
            except BankError as error:
                assert "questions.csv" in str(error)
            else:
                assert text.startswith(QUESTIONS.encode())
                assert garbage.decode().replace('"', "").strip() == ""
                assert bank == plain


def test_text_that_is_not_utf8_is_refused(tmp_path):
    assert load_bank(write(tmp_path, encoding="utf-16")).num_questions  # its byte order mark names it
    file = write(tmp_path) / "questions.csv"
    file.write_bytes(b"\xff" + file.read_bytes())
    with pytest.raises(BankError, match=r"questions\.csv: byte 0 is not UTF-8"):
        load_bank(tmp_path)


def test_a_directory_without_a_bank_or_with_two_is_refused(tmp_path):
    for nowhere in (tmp_path, tmp_path / "absent", write(tmp_path) / "questions.csv"):
        if nowhere != tmp_path:
            with pytest.raises(BankError, match=r"a bank must be a directory with questions.csv or questions.parquet"):
                load_bank(nowhere)
    (tmp_path / "contents.parquet").write_bytes(b"")
    with pytest.raises(BankError, match=r"found contents.csv and contents.parquet; delete one"):
        load_bank(tmp_path)
    (tmp_path / "contents.parquet").unlink()
    (tmp_path / "contents.csv").unlink()
    with pytest.raises(BankError, match=r"contents.csv or contents.parquet; found neither"):
        load_bank(tmp_path)
    (tmp_path / "contents.csv").mkdir()
    with pytest.raises(BankError, match=r"contents.csv: cannot be read: "):
        load_bank(tmp_path)


def parquet_of(text, **changes):
    """Return a table of strings, with some columns replaced."""
    header, *rows = [line.split(",") for line in text.splitlines()]
    return pa.table(dict(zip(header, zip(*rows, strict=True), strict=True)) | changes)


@pytest.mark.parametrize("damage", ["truncated", "empty", "another format", "flipped"])
def test_a_broken_parquet_file_is_named(tmp_path, damage):
    write(tmp_path)
    (tmp_path / "questions.csv").unlink()
    path = tmp_path / "questions.parquet"
    pa.parquet.write_table(parquet_of(QUESTIONS), path, write_page_checksum=True)
    complete = path.read_bytes()
    assert load_bank(tmp_path).num_questions == 3
    middle = complete.index(b"algebra")
    broken = {
        "truncated": complete[: len(complete) // 2],
        "empty": b"",
        "another format": QUESTIONS.encode(),
        "flipped": complete[:middle] + b"A" + complete[middle + 1 :],
    }
    path.write_bytes(broken[damage])
    with pytest.raises(BankError, match=r"questions\.parquet: (expected a complete Parquet file|cannot be read)"):
        load_bank(tmp_path)


@pytest.mark.parametrize(
    ("column", "cells", "message"),
    [
        ("irt_b", [0.5, None, 1.0], "row 2, column irt_b: an empty cell; expected a finite number"),
        ("irt_b", [0.5, 1.0, float("nan")], "row 3, column irt_b: 'nan'; expected a finite number"),
        ("irt_c", [False, True, False], r"row 1, column irt_c: 'False'; expected a number in \[0, 1\)"),
        ("irt_a", [[1.0], [1.0], [1.0]], r"row 1, column irt_a: '\[1.0\]'; expected a finite number > 0"),
        ("difficulty", ["Easy", None, "Hard"], "row 2, column difficulty: an empty cell; expected one of"),
        ("id", [7, 8, 7], "row 3, column id: '7'; expected a unique id; row 1 has the same"),
    ],
)
def test_a_bad_cell_of_a_parquet_file_is_named_by_its_row(tmp_path, column, cells, message):
    write(tmp_path)
    (tmp_path / "questions.csv").unlink()
    pa.parquet.write_table(parquet_of(QUESTIONS, **{column: pa.array(cells)}), tmp_path / "questions.parquet")
    with pytest.raises(BankError, match=rf"questions\.parquet, {message}"):
        load_bank(tmp_path)


def test_importing_the_reader_does_not_load_arrow():
    code = "import sys, alsim.bank.files; print([m for m in ('pyarrow', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ── a table of questions completed to a bank ─────────────────────────────────────────────────────

MAPPED = {"irt_a": "a", "irt_b": "b", "irt_c": "c", "learning_outcome": "Group"}
CALIBRATED = """\
a;b;c;d;Group;note
1;-2;0.2;1;x;one
1;-0.500001;0.2;1.000;x;two
1;-0.5;0.2;1;x;three
1;0.499999;0.2;1;x;
1;0.5;0.2;1;x;five
1;3;0.2;1;x;six
"""


def completed(tmp_path, text=CALIBRATED, columns=MAPPED, **options):
    path = tmp_path / "items.txt"
    path.write_text(text)
    return complete_bank(path, options.pop("config", Config()), columns, **options)


def test_s2_5_missing_columns_of_a_calibrated_table_have_defaults(tmp_path):
    config = Config.read({"irt": {"response_time_mean": 44, "response_time_std": 3}, "bank": {"seed": 9}})
    bank = completed(tmp_path, config=config)
    assert bank.outcomes == ("x",)
    assert bank.questions.id == ("0", "1", "2", "3", "4", "5")
    assert [LEVELS[k] for k in bank.questions.difficulty] == ["Easy", "Easy", "Medium", "Medium", "Hard", "Hard"]
    assert bank.questions.response_time_mean.tolist() == [44] * 6
    assert bank.questions.response_time_std.tolist() == [3] * 6
    assert bank.questions.irt_c.tolist() == [np.float32(0.2)] * 6
    sampled = sample_bank(Config.read({"num_los": 1, "bank": {"seed": 9}})).contents
    assert all(np.array_equal(a, b) for a, b in zip(bank.contents, sampled, strict=True))
    save_bank(bank, tmp_path / "out")
    assert_same_bits(load_bank(tmp_path / "out"), bank)


@pytest.mark.parametrize("delimiter", ["\t", ",", ";", "|", " ", "  "])
def test_s2_5_the_delimiter_of_a_calibrated_table_is_detected(tmp_path, delimiter):
    text = CALIBRATED.replace("x;\n", "x;four\n")
    assert_same_bits(completed(tmp_path, text.replace(";", delimiter)), completed(tmp_path, text))


def test_s2_5_columns_with_alsims_names_need_no_mapping_and_replace_defaults(tmp_path):
    text = QUESTIONS.replace("algebra,Easy", "algebra,Medium").replace("algebra,MEDIUM", "algebra,easy")
    bank = completed(tmp_path, text, None)
    assert bank.questions.id == ("e", "m", "h")
    assert [LEVELS[k] for k in bank.questions.difficulty] == ["Medium", "Easy", "Hard"]
    assert bank.questions.response_time_mean.tolist() == [30, 20.5, 40]
    assert bank.questions.response_time_std.tolist() == [10, 0, 5]


def test_s2_5_a_two_parameter_table_has_no_guessing(tmp_path):
    columns = {name: title for name, title in MAPPED.items() if name != "irt_c"}
    bank = completed(tmp_path, CALIBRATED.replace("c;", "unknown;", 1), columns)
    assert bank.questions.irt_c.tolist() == [0] * 6


def test_s2_5_a_mapped_column_is_not_also_read_by_its_name(tmp_path):
    # The file's "difficulty" is b, and its "d" is the discrimination.
    text = CALIBRATED.replace("a;b;c;d;", "other;difficulty;c;d;")
    columns = {"irt_a": "d", "irt_b": "difficulty", "learning_outcome": "Group"}
    bank = completed(tmp_path, text, columns)
    assert bank.questions.irt_a.tolist() == [1] * 6
    assert [LEVELS[k] for k in bank.questions.difficulty] == ["Easy", "Easy", "Medium", "Medium", "Hard", "Hard"]


def test_s2_5_a_calibrated_table_may_be_parquet(tmp_path):
    table = pa.csv.read_csv(pa.py_buffer(CALIBRATED.encode()), parse_options=pa.csv.ParseOptions(delimiter=";"))
    pa.parquet.write_table(table, tmp_path / "items.parquet")
    assert_same_bits(complete_bank(tmp_path / "items.parquet", Config(), MAPPED), completed(tmp_path))


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (
            CALIBRATED.replace("1.000", "0.95"),
            MAPPED,
            "line 3, column d: '0.95'; expected 1: an upper asymptote below 1",
        ),
        (
            CALIBRATED.replace("1.000", "0.95").replace("d;", "upper;"),
            MAPPED | {"irt_d": "upper"},
            "line 3, column upper: '0.95'; expected 1",
        ),
        (
            CALIBRATED.replace("d;", "irt_d;").replace("1.000", ""),
            MAPPED,
            "line 3, column irt_d: an empty cell; expected 1",
        ),
        (
            CALIBRATED.replace("b;", "hardness;", 1).replace("d;", "", 1).replace(";1;x", ";x").replace("1.000;", ""),
            {},
            "there is no column b; the columns are a, hardness, c, Group, note; expected one row per item with the "
            r"parameters a, b and c; --columns b=NAME",
        ),
        (
            CALIBRATED,
            MAPPED | {"irt_a": "A"},
            "there is no column A; the columns are a, b, c, d, Group, note; ",
        ),
        (CALIBRATED, MAPPED | {"irt_c": "guess"}, "there is no column guess; "),
        (CALIBRATED, MAPPED | {"irt_e": "a"}, "columns: keys must be among id, learning_outcome, difficulty, irt_a"),
        (CALIBRATED, MAPPED | {"id": "note"}, "line 5, column note: an empty cell; expected a name"),
        (CALIBRATED, MAPPED | {"difficulty": "note"}, "line 2, column note: 'one'; expected one of Easy, Medium, Hard"),
        (CALIBRATED.replace("3;0.2", "3;0,2"), MAPPED, r"line 7, column c: '0,2'; expected a number in \[0, 1\)"),
        (CALIBRATED.replace(";x;", ";1;"), MAPPED, "line 2, column Group: '1'; expected 0-based indices without a gap"),
        (CALIBRATED.replace("1;3", "0;3"), MAPPED, "line 7, column a: '0'; expected a finite number > 0"),
        ("", MAPPED, "the file is empty"),
    ],
)
def test_s2_5_invalid_calibrated_tables_are_refused(tmp_path, text, columns, message):
    with pytest.raises(BankError, match=message):
        completed(tmp_path, text, columns)


def bank_of(tmp_path, text, name="items.csv", **options):
    path = tmp_path / name
    path.write_text(text)
    return complete_bank(path, Config(), options.pop("columns", None), **options)


PLAIN = "a,b,c\n1.5,-1.5,0.25\n0.5,0,0\n1,2,0.125\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "A;B;C\n1,5;-1,5;0,25\n0,5;0;0\n1;2;0,125\n",
        PLAIN.replace("a,b,c", "irt_a,irt_b,irt_c"),
        PLAIN.replace("a,b,c", "Discrimination,Difficulty,Guessing"),
        PLAIN.replace("a,b,c", "Dscrmn,Dffclt,Gussng"),
        PLAIN.partition("\n")[2],
        "a1 d g u\n1.5 2.25 0.25 1\n0.5 0 0 1\n1 -2 0.125 1\n",
    ],
    ids=["a b c", "decimal commas", "alsim", "difficulty", "ltm", "no header", "mirt"],
)
def test_s2_5_a_table_of_parameters_is_a_bank_with_one_outcome(tmp_path, text):
    bank = bank_of(tmp_path, text)
    assert bank.outcomes == ("0",)
    assert bank.questions.id == ("0", "1", "2")
    assert [LEVELS[k] for k in bank.questions.difficulty] == LEVELS
    for name, expected in (("irt_a", [1.5, 0.5, 1]), ("irt_b", [-1.5, 0, 2]), ("irt_c", [0.25, 0, 0.125])):
        assert getattr(bank.questions, name).tolist() == expected
    save_bank(bank, tmp_path / "out")
    assert_same_bits(load_bank(tmp_path / "out"), bank)


def test_s2_5_the_columns_of_a_bank_have_any_case_and_outcomes_other_names(tmp_path, caplog):
    text = "Item,Skill,Difficulty,IRT_A,IRT_B\nx,sums,easy,1,3\ny,sums,MEDIUM,1,0\nz,sums,Hard,1,0\n"
    with caplog.at_level("INFO", "alsim.bank"):
        bank = bank_of(tmp_path, text)
    assert (bank.outcomes, bank.questions.id) == (("sums",), ("x", "y", "z"))
    assert [LEVELS[k] for k in bank.questions.difficulty] == LEVELS
    assert caplog.messages == ["items.csv: column Skill has the learning outcomes"]


def test_s2_5_assumptions_are_logged(tmp_path, caplog):
    with caplog.at_level("INFO", "alsim.bank"):
        bank = bank_of(tmp_path, "difficulty,b,Group\n0.3,-1,x\n0.4,0,x\n0.5,1,y\n")
    assert bank.questions.irt_a.tolist() == [1, 1, 1]
    assert caplog.messages == [
        "items.csv: there is no discrimination: a = 1, the Rasch model",
        "items.csv: column difficulty has numbers, and is not used: the levels follow from b",
        "items.csv: there is no column of learning outcomes, so all questions have one outcome, 0; "
        "--columns learning_outcome=NAME names a column (unused columns: Group)",
    ]


def test_s2_5_levels_follow_from_the_ranges_of_the_configuration(tmp_path):
    """The limits are midway between the ranges of neighbouring levels."""
    assert level_limits(Config()) == (-0.5, 0.5)
    ranges = {"easy": [-3, -1.5], "medium": [-0.5, 1], "hard": [1, 3]}
    config = Config.read({"irt": {"difficulty_ranges": ranges}})
    assert level_limits(config) == (-1, 1)
    (tmp_path / "items.csv").write_text("b\n-1.01\n-1\n0.99\n1\n")
    bank = complete_bank(tmp_path / "items.csv", config)
    assert [LEVELS[k] for k in bank.questions.difficulty] == ["Easy", "Medium", "Medium", "Hard"]


def test_a_fitted_model_is_a_bank(tmp_path):
    a, unknown, ones = np.array([1.0, np.nan, -1.0, 0.5, 2.0]), np.full(5, np.nan), np.ones(5)
    fit = irt.IRTFit(
        **{"variant": "2pl", "items": np.array(list("vwxyz")), "a": a, "d": -a * [-1, 0, 0, 0, 1], "c": 0 * ones},
        **{f"se_{name}": unknown for name in "abcd"},
        **{"responses": 10 * ones, "correct": 5 * ones, "num_students": 10.0, "priors": irt.Priors(), "nodes": 61},
        **{"between": True, "log_likelihood": -1.0, "iterations": 1, "converged": True, "num_responses": 50},
    )
    bank = complete_bank(fit.save(tmp_path / "fit.json"), Config())
    assert bank.questions.id == ("v", "y", "z")
    assert (bank.questions.irt_a.tolist(), bank.questions.irt_b.tolist()) == ([1, 0.5, 2], [-1, 0, 1])
    assert bank.item_parameters.names.tolist() == ["v", "y", "z"]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("a,b,c\n0,1,0\n", "items.csv", "items.csv, line 2, column a: '0'; expected a finite number > 0"),
        ("a,b,c\n1,1,1\n", "items.csv", r"line 2, column c: '1'; expected a number in \[0, 1\)"),
        ("a,b\n1,nan\n", "items.csv", "line 2, column b: 'nan'; expected a finite number"),
        ("a1,d,g\n1,NA,0\n", "items.csv", "line 2, column d: 'nan'; expected a finite number"),
        ("item,a,b\nx,1,0\nx,1,1\n", "items.csv", "line 3, column item: 'x'; expected a unique id; line 2 has the"),
        ("a,b\n1,0\n", "items.csv", r"there is none for \(0, Easy\), \(0, Hard\); fill_empty=True \(--fill-empty\)"),
        ("student,item,correct\n1,x,1\n", "log.csv", "there is no column b; the columns are student, item, correct;"),
        ("PK\x03\x04", "items.xlsx", "is a spreadsheet or another zip archive; save the sheet as CSV"),
        ("{}", "fit.json", "is not a fit: "),
        (
            "skill,a,b\n1,1,0\n",
            "items.csv",
            "'1'; expected 0-based indices .*; no row has 0: number the outcomes from 0",
        ),
    ],
)
def test_s2_5_files_that_are_no_table_of_items_are_refused(tmp_path, text, name, message):
    with pytest.raises(BankError, match=message):
        bank_of(tmp_path, text, name)


def test_s2_5_a_missing_table_is_refused(tmp_path):
    with pytest.raises(BankError, match=r"absent\.csv: there is no such file; check the path$"):
        complete_bank(tmp_path / "absent.csv", Config())


def items(*rows):
    return "id a b Group\n" + "\n".join(" ".join(map(str, row)) for row in rows)


FILL = {"irt_a": "a", "irt_b": "b", "learning_outcome": "Group"}


def test_s2_5_an_empty_cell_is_refused_by_name(tmp_path):
    with pytest.raises(BankError, match=r"items\.txt: .*none for \(x, Medium\), \(x, Hard\); fill_empty=True"):
        completed(tmp_path, items(("p", 1, -1, "x")), FILL)


@pytest.mark.parametrize(
    ("rows", "copies"),
    [
        ([("e1", -1), ("e2", -2)], {"e1@Medium": 1, "e2@Medium": 1, "e1@Hard": 2, "e2@Hard": 2}),
        ([("e", -1), ("m", 0)], {"m@Hard": 2}),
        ([("m", 0), ("h", 1)], {"m@Easy": 0}),
        ([("h", 1)], {"h@Easy": 0, "h@Medium": 1}),
        ([("e", -1), ("h", 0.9)], {"h@Medium": 1}),  # equally near: mean b nearer to 0
        ([("e", -0.8), ("e2", -0.9), ("h", 0.9)], {"e@Medium": 1, "e2@Medium": 1}),
        ([("h", 1), ("e", -1)], {"e@Medium": 1}),  # and equal there: Easy
    ],
)
def test_s2_5_an_empty_cell_is_filled_from_the_nearest_difficulty(tmp_path, rows, copies):
    full = [("z1", 1, -1, "z"), ("z2", 1, 0, "z"), ("z3", 1, 1, "z")]
    text = items(*((id, 1.5, b, "x") for id, b in rows), *full)
    bank = completed(tmp_path, text, FILL, fill_empty=True)
    n = len(rows) + 3
    assert {id: bank.questions.difficulty[n + k] for k, id in enumerate(bank.questions.id[n:])} == copies
    by_id = {bank.questions.id[k]: bank.question(k) for k in range(bank.num_questions)}
    for id, level in copies.items():
        original = by_id[id.split("@")[0]]
        assert by_id[id] == original | {"id": id, "difficulty": LEVELS[level]}
    assert bank.empty_cells() == []


def test_s2_5_a_copy_with_a_used_id_is_refused(tmp_path):
    text = items(("m", 1, 0, "x"), ("h", 1, 1, "x"), ("m@Easy", 1, 0, "x"))
    with pytest.raises(BankError, match="m@Easy is the id of a question of the file and of a copy"):
        completed(tmp_path, text, FILL, fill_empty=True)


# ── a bank of real items ─────────────────────────────────────────────────────────────────


@pytest.fixture
def real_items(published):
    """Five groups of listening and reading items (Raîche 2002): tab separated, CRLF, a b c d Group."""
    return published / "cat" / "tcals_3pl_bank.txt"


def test_s2_5_the_real_bank_names_its_empty_cells(real_items):
    cells = r"\(Audio1, Hard\), \(Written1, Medium\), \(Written1, Hard\), \(Written2, Hard\);"
    with pytest.raises(BankError, match=f"there is none for {cells}"):
        complete_bank(real_items, Config(), MAPPED)


def test_s2_5_the_real_bank_is_completed_and_saved(real_items, tmp_path):
    bank = complete_bank(real_items, Config(), MAPPED, fill_empty=True)
    rows = [line.split("\t") for line in real_items.read_text().splitlines()[1:]]
    assert len(rows) == 85
    assert bank.outcomes == ("Audio1", "Audio2", "Written1", "Written2", "Written3")
    for column, name in enumerate(("irt_a", "irt_b", "irt_c")):
        published = np.array([float(row[column]) for row in rows])
        assert np.array_equal(getattr(bank.questions, name)[:85], published.astype(np.float32))
    assert [bank.outcomes[lo] for lo in bank.questions.learning_outcome[:85]] == [row[4] for row in rows]
    b = [float(row[1]) for row in rows]
    levels = ["Easy" if x < -0.5 else "Hard" if x >= 0.5 else "Medium" for x in b]
    assert [LEVELS[k] for k in bank.questions.difficulty[:85]] == levels
    cells = Counter((row[4], level) for row, level in zip(rows, levels, strict=True))
    medium, easy = cells["Audio1", "Medium"] + cells["Written2", "Medium"], cells["Written1", "Easy"]
    assert bank.num_questions == 85 + medium + 2 * easy
    assert bank.num_contents == 30
    save_bank(bank, tmp_path)
    assert_same_bits(load_bank(tmp_path), bank)
