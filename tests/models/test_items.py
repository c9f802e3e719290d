"""Calibrated items from files and tables, under the names that other programs give to the parameters."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from alsim import AlsimError
from alsim.bank.files import complete_bank, save_bank
from alsim.config import Config
from alsim.models import irt
from alsim.models.cat import CAT
from alsim.models.irt.items import option_index

A, B, C = [1.5, 0.5], [0.25, -2.0], [0.0, 0.25]


def read(tmp_path, text, columns=None, name="items.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return irt.read_items(path, columns)


def assert_parameters(items, names=("x", "y"), a=A, b=B, c=C, d=(1, 1)):
    assert items.names.tolist() == list(names)
    for column, expected in zip(items.columns, (a, b, c, d), strict=True):
        assert np.array_equal(column, expected)


# ── names of columns ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "header",
    ["item,a,b,c", "ID,A,B,C", "name,irt_a,irt_b,irt_c", "Item ID,Discrimination,Difficulty,Guessing"]
    + ['"",Dscrmn,Dffclt,Gussng', "item;a;b;c", "item\ta\tb\tc", "item a b c"],
)
def test_the_names_of_other_programs_are_recognized(tmp_path, header):
    """catR and catsim: a, b, c. ltm: Dffclt, Dscrmn, Gussng, after names of rows. The order of columns is free."""
    delimiter = next(mark for mark in ",;\t " if mark in header)
    rows = [("x", 1.5, 0.25, 0), ("y", 0.5, -2.0, 0.25)]
    lines = [header, *(delimiter.join(map(str, row)) for row in rows)]
    assert_parameters(read(tmp_path, "\n".join(lines)).item_parameters)


def test_the_intercept_of_mirt_is_converted_to_a_difficulty(tmp_path):
    items = read(tmp_path, '"","a1","d","g","u"\n"x",1.5,-0.375,0,1\n"y",0.5,1,0.25,0.95\n').item_parameters
    assert_parameters(items, d=(1, 0.95))
    assert items.notes[-1] == "column d is an intercept, as mirt writes it: b = -d / a"
    mapped = read(tmp_path, "item,slope,cut\nx,1.5,-0.375\ny,0.5,1\n", {"intercept": "cut", "irt_a": "slope"})
    assert_parameters(mapped.item_parameters, c=(0, 0))


def test_a_column_d_without_b_may_be_either(tmp_path):
    message = "there is no column b, and column d is either the intercept of mirt or an upper asymptote; --columns int"
    with pytest.raises(AlsimError, match=message):
        read(tmp_path, "item,a,d\nx,1,0.5\n")
    items = read(tmp_path, "item,a,d\nx,1,0.5\n", {"intercept": "d"}).item_parameters
    assert_parameters(items, ["x"], [1], [-0.5], [0], [1])


def test_a_matrix_without_header_has_the_columns_a_b_c_d(tmp_path):
    """As NumPy writes a bank of catsim, and after names."""
    items = irt.ItemParameters(A, B, C)
    np.savetxt(tmp_path / "bank.txt", np.column_stack(items.columns))
    matrix = irt.read_items(tmp_path / "bank.txt").item_parameters
    assert_parameters(matrix, ["0", "1"])
    assert matrix.notes == ("there is no header: the columns are a, b, c, d",)
    assert_parameters(read(tmp_path, "x,1.5,0.25,0\ny,0.5,-2,0.25").item_parameters)
    rasch = read(tmp_path, "1,0,0,1\n1,0.5,0,1\n").item_parameters  # equal numbers are not names of columns
    assert_parameters(rasch, ["0", "1"], [1, 1], [0, 0.5], [0, 0])


def test_row_names_of_r_are_the_names_of_the_items(tmp_path):
    """R's write.table writes one name less than cells."""
    assert_parameters(read(tmp_path, '"a" "b" "c"\n"x" 1.5 0.25 0\n"y" 0.5 -2 0.25\n').item_parameters)
    assert_parameters(read(tmp_path, "a,b,c\n1.5,0.25,0,\n0.5,-2,0.25,\n").item_parameters, ["0", "1"])


def test_rows_of_empty_cells_are_skipped(tmp_path):
    """Spreadsheets write them below a table."""
    assert_parameters(read(tmp_path, "item,a,b,c\nx,1.5,0.25,0\n,,,\ny,0.5,-2,0.25\n,,,\n,,,\n").item_parameters)


def test_decimal_commas_are_read(tmp_path):
    """R's write.csv2, and spreadsheets in many countries."""
    assert_parameters(read(tmp_path, "item;a;b;c\nx;1,5;0,25;0\ny;0,5;-2;0,25\n").item_parameters)


def test_a_table_of_difficulties_is_a_rasch_model(tmp_path):
    items = read(tmp_path, "item,b\nx,0.25\ny,-2\n").item_parameters
    assert_parameters(items, a=(1, 1), c=(0, 0))
    assert items.notes == ("there is no discrimination: a = 1, the Rasch model",)


def test_a_column_of_words_is_not_a_difficulty(tmp_path):
    assert_parameters(read(tmp_path, "id,difficulty,a,b,c\nx,Easy,1.5,0.25,0\ny,Hard,0.5,-2,.25\n").item_parameters)
    with pytest.raises(AlsimError, match="there is no column b; the columns are id, difficulty, a; expected one row"):
        read(tmp_path, "id,difficulty,a\nx,Easy,1.5\n")


def test_texts_keys_and_options_are_read(tmp_path):
    items = read(tmp_path, "item,b,stem,key,options\nx,0,2 + 2?,4,3|4|5\ny,1,Say yes,yes,\n")
    assert items.text == ("2 + 2?", "Say yes")
    assert items.answer == ("4", "yes")
    assert items.options == (("3", "4", "5"), ())
    assert read(tmp_path, "item,b\nx,0\n").options == ((),)


def test_the_directory_of_a_bank_is_read_without_its_copies(tmp_path):
    """A copy of a question, which fills an empty cell, is not a second item."""
    (tmp_path / "items.csv").write_text("id,a,b\nx,1,0\ny,2,1\ny@Easy,2,3\n")
    bank = complete_bank(tmp_path / "items.csv", Config(), fill_empty=True)
    assert bank.questions.id == ("x", "y", "y@Easy", "x@Easy")
    save_bank(bank, tmp_path / "bank")
    for items in (irt.read_items(tmp_path / "bank").item_parameters, bank.item_parameters, CAT(bank).items):
        assert items.names.tolist() == ["x", "y", "y@Easy"]
        assert items.notes[-1] == "items left out: x@Easy has an original with the same parameters"


def test_parquet_holds_the_same_items(tmp_path):
    table = pa.table({"item": ["x", "y"], "a": A, "b": B, "c": C, "difficulty": ["Easy", "Hard"]})
    pa.parquet.write_table(table, tmp_path / "items.parquet")
    assert_parameters(irt.read_items(tmp_path / "items.parquet").item_parameters)


@pytest.mark.parametrize(
    "table",
    [
        {"item": ["x", "y"], "a": A, "b": np.array(B), "c": C},
        pd.DataFrame({"a": A, "b": B, "c": C}, index=["x", "y"]),
        pd.DataFrame({"Item": ["x", "y"], "Dscrmn": A, "Dffclt": B, "Gussng": C}),
        pa.table({"item": ["x", "y"], "a": A, "b": B, "c": C}),
        np.array([("x", 1.5, 0.25, 0), ("y", 0.5, -2, 0.25)], [("item", "U1"), ("a", "f8"), ("b", "f8"), ("c", "f8")]),
    ],
    ids=["mapping", "index", "ltm", "arrow", "structured"],
)
def test_tables_in_memory_are_read(table):
    assert_parameters(irt.ItemParameters.from_table(table))


@pytest.mark.parametrize("wrap", [np.array, pd.DataFrame])
def test_arrays_have_the_columns_a_b_c_d(wrap):
    array = np.column_stack([A, B, C])
    assert_parameters(irt.ItemParameters.from_table(wrap(array)), ["0", "1"])
    assert_parameters(irt.ItemParameters.from_table(wrap(array[:, :2])), ["0", "1"], c=(0, 0))
    for refused in (array[:, :1], array[0], np.ones((2, 5))):
        with pytest.raises(AlsimError, match=r"expected an array of numbers of shape \(I, 2\), .*; got "):
            irt.ItemParameters.from_table(wrap(refused))


def test_numbers_keep_every_bit():
    array = np.random.default_rng(0).lognormal(size=(50, 2))
    items = irt.ItemParameters.from_table(array)
    assert np.array_equal(np.column_stack([items.a, items.b]), array)


ESTIMATES = """\
item,a,b,c,se_a,se_b,se_c,responses
x,1.5,0.25,0,0.1,0.1,,50
empty,,,,,,,50
low,-0.5,1,0,0.1,0.1,,50
y,0.5,-2,0,0.1,0.1,,50
"""


def test_a_table_of_estimates_is_read_as_its_fit(tmp_path):
    items = read(tmp_path, ESTIMATES).item_parameters
    assert items.names.tolist() == ["x", "y"] and items.b.tolist() == [0.25, -2]
    assert items.notes == (
        "items left out: empty has no finite estimates, as all responses are equal or missing",
        "items left out: low has a <= 0; check the answer key",
    )
    bank = complete_bank(tmp_path / "items.csv", Config(), fill_empty=True)
    assert bank.questions.id[:2] == ("x", "y")
    with pytest.raises(AlsimError, match="no item has estimates with a > 0; items left out: empty has no finite"):
        read(tmp_path, "".join(ESTIMATES.splitlines(keepends=True)[k] for k in (0, 2, 3)))


def test_keys_are_options_their_numbers_or_their_letters(tmp_path):
    head = "item,b,answer,options\nw,0,b,2|4\nx,0,.50,0.25|0.5\n"
    assert read(tmp_path, head).answer == ("b", ".50")
    with pytest.raises(AlsimError, match="items.csv, line 4: the answer '5' is not among the options 3, 4; expected"):
        read(tmp_path, head + "y,0,5,3|4\n")


# ── invalid tables ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item,a,b\nx,1,0\ny,0,1\n", "items.csv, line 3, column a: '0'; expected a finite number > 0; such an item"),
        ("item,a,b\nx,1,0\ny,,1\n", "line 3, column a: an empty cell; expected a finite number > 0"),
        ("item,a,b\nx,1,NA\ny,1,1\n", "line 2, column b: 'NA'; expected a finite number, logits"),
        ("item,a,b\nx,1,inf\n", "line 2, column b: 'inf'"),
        ("item,a,b,c\nx,1,0,1\n", r"line 2, column c: '1'; expected a number in \[0, 1\)"),
        ("item,a,b,c,d\nx,1,0,0.5,0.4\n", "line 2, column d: '0.4'; expected a number above c and at most 1"),
        ("item,a1,d\nx,0,0.5\n", "line 2, column a1: '0'; expected a finite number > 0"),
        ("item,a1,d,g\nx,1,?,0\n", r"line 2, column d: '\?'; expected a finite number"),
        ("item,a,b\nx,1,0\nx,1,1\n", "line 3, column item: 'x' is also the name in line 2; expected unique names"),
        ("item,a,b\n,1,0\n", "line 2, column item: an empty cell; expected the name of an item"),
        ("item,a1,a2,d\nx,1,1,0\n", "column a2 is a second dimension; expected items of one dimension"),
        ("item,a,b1,b2\nx,1,0,1\n", "column b2 is a threshold of items with several scores; expected items that are"),
        ("1,0,0,1,0.5\n1,1,0,1,0.5\n", "there is no header, and 5 columns of numbers; expected 2 to 4"),
        ("student,item,correct\n1,x,1\n", "there is no column b; the columns are student, item, correct; expected one"),
        ("item,a,b\n", "there is no row below the header"),
        ("", "the file is empty; expected a header and one row per item"),
        ("item,a,b\nx,1\n", "line 2: 2 cells; expected 3, as in the header"),
        (b"PK\x03\x04\x00\x00\x00", "is a spreadsheet or another zip archive; save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\x00", "is an old Excel file; save the sheet as CSV"),
        ("item,a,b\nä,1,0\n".encode("latin-1"), "byte 9 is not UTF-8; .*: save it in that encoding"),
    ],
)
def test_invalid_files_are_refused_with_the_place_and_the_cure(tmp_path, text, message):
    with pytest.raises(AlsimError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": "disc"}, "there is no column disc; the columns are item, a, b"),
        ({"e": "a"}, r"columns \(--columns\) must map the roles name, a, b, c, d, intercept, .*; got 'e'"),
    ],
)
def test_invalid_mappings_are_refused(tmp_path, columns, message):
    with pytest.raises(AlsimError, match=message):
        read(tmp_path, "item,a,b\nx,1,0\n", columns)


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(AlsimError, match="absent.csv: there is no such file; check the path"):
        irt.read_items(tmp_path / "absent.csv")
    with pytest.raises(AlsimError, match="is a directory without questions.csv; expected a table with one row per"):
        irt.read_items(tmp_path)
    with pytest.raises(AlsimError, match="is not a fit: "):
        read(tmp_path, "{}", name="fit.json")
    with pytest.raises(AlsimError, match="a column must be a sequence with one cell per item; got str"):
        irt.ItemParameters.from_table({"b": "many"})
    with pytest.raises(AlsimError, match="the columns must have equal lengths, one cell per item; got a 1, b 2"):
        irt.ItemParameters.from_table({"a": [1], "b": [1, 2]})


def test_a_reply_is_an_option_or_its_letter():
    """Some letters have two characters in lower case, such as the Turkish İ."""
    options = ["two", "0.5", "B"]
    replies = {"TWO": 0, ".5": 1, "a": 0, "b": 2, "C": 2, "d": None, "İ": None, "é": None, "": None}
    assert {reply: option_index(reply, options) for reply in replies} == replies


def test_a_column_d_that_equals_minus_a_b_is_an_intercept(tmp_path):
    """Its values would be valid upper asymptotes."""
    table = {"a": [1.23, 0.87, 1.5], "b": [-0.5, -0.9, -0.2], "c": [0.0, 0.1, 0.2], "d": [0.62, 0.78, 0.3]}
    items = irt.ItemParameters.from_table(table)
    assert items.d.tolist() == [1, 1, 1] and items.b.tolist() == table["b"]
    assert items.notes[-1] == "column d equals -a b: it is the intercept, not an upper asymptote, and not used"
    upper = irt.ItemParameters.from_table(table | {"d": [0.95, 0.98, 1.0]})
    assert upper.d.tolist() == [0.95, 0.98, 1.0] and upper.notes == ()
    (tmp_path / "items.csv").write_text("a,b,c,d\n1.2,0.5,0,-0.6\n0.8,-0.5,0,0.9\n")
    with pytest.raises(AlsimError, match="line 2, column d: '-0.6'; expected .* at most 1: if d is the intercept"):
        irt.read_items(tmp_path / "items.csv")


# ── files from other programs ────────────────────────────────────────────────────────────────────


def test_the_line_of_excel_and_other_encodings_are_read(tmp_path):
    text = "item,a,b\ncafé,1.2,-0.5\nthé,0.8,0.5\n"
    file = tmp_path / "items.csv"
    for content, encoding in (
        (b"sep=,\r\n" + text.encode(), None),
        (text.encode("utf-16"), None),
        (text.encode("latin-1"), "latin-1"),
    ):
        file.write_bytes(content)
        assert irt.read_items(file, encoding=encoding).item_parameters.names.tolist() == ["café", "thé"]
    with pytest.raises(AlsimError, match=r"byte 12 is not UTF-8.*or pass its own, such as encoding='latin-1' \(--enc"):
        irt.read_items(file)
    with pytest.raises(AlsimError, match="the encoding 'utf-9' is unknown"):
        irt.read_items(file, encoding="utf-9")
    file.write_text("sep=;\nitem;a;b\nx;1;y\n")
    with pytest.raises(AlsimError, match="line 3, column b: 'y'"):
        irt.read_items(file)


@pytest.mark.parametrize("above", ["Items of 2024\n", "Items of 2024\n\n", "# by hand, in 2024\n"])
def test_lines_above_the_header_of_items_are_named(tmp_path, above):
    file = tmp_path / "items.csv"
    file.write_text(above + "item,a,b\nx,1.2,-0.5\ny,0.8,0.5\n")
    line = above.count("\n") + 1
    with pytest.raises(AlsimError, match=f"is no header of the columns below; .*remove the lines above line {line}"):
        irt.read_items(file)


def test_a_scale_of_scores_is_noted(tmp_path):
    file = tmp_path / "items.csv"
    file.write_text("item,a,b\nx,0.012,500\ny,0.01,650\n")
    notes = irt.read_items(file).item_parameters.notes
    assert any("b is from 500 to 650, far outside the usual -4 to 4 logits" in note for note in notes)
    file.write_text("item,a,b\nx,1.2,-3.5\ny,1,4.5\n")
    assert not irt.read_items(file).item_parameters.notes


def test_a_column_of_the_scaling_constant_is_no_asymptote(tmp_path):
    file = tmp_path / "items.csv"
    for header in ("item,a,b,D", "item,a1,D"):
        file.write_text(f"{header}\nx,1.2,{'0.5,' * (',b' in header)}1.7\n")
        with pytest.raises(AlsimError, match="column D has the scaling constant .* 1.7; .*: multiply a by the"):
            irt.read_items(file)
