"""Arguments of other types than those that are documented: the error names the argument."""

import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alsim.models import Responses, ResponsesError, read_responses


@pytest.mark.parametrize("missing", ["-1", "99", b"0", 9])
def test_values_that_mean_no_response_are_a_list(write, missing):
    """The text -1 would be the values - and 1, so that each correct answer would be missing."""
    file = write("q1,q2\n1,0\n1,1\n")
    for read in (lambda: read_responses(file, missing=missing), lambda: Responses.from_matrix([[1]], missing=missing)):
        with pytest.raises(ResponsesError) as error:
            read()
        assert str(error.value) == f"missing must be a list of values; got {missing!r}; pass missing=[{missing!r}]"


def assert_names(column, names):
    log = Responses.from_arrays(column, [1] * len(column), skill=column)
    assert log.students.tolist() == log.skills.tolist() == names


def test_uuids_are_names():
    first = uuid.UUID(int=1)
    assert_names([first, first], [str(first)])
    if hasattr(pa, "uuid"):  # since Arrow 18
        assert_names(pa.array([first.bytes, first.bytes], pa.uuid()), [str(first)])


def test_objects_of_polars_are_names():
    polars = pytest.importorskip("polars")
    first, second = uuid.UUID(int=1), uuid.UUID(int=2)
    assert_names(polars.Series([first, second, first], dtype=polars.Object), [str(first), str(second)])


@pytest.mark.parametrize(
    ("column", "fault"),
    [
        (5, "expected one value per row; got 5; pass a list"),
        (np.array(5), r"expected one value per row; got array\(5\); pass a list"),
        (np.ones((2, 1)), r"expected one value per row; got an array of shape \(2, 1\); pass a list"),
        (pd.DataFrame({"a": [1, 2]}), r"expected one value per row; got an array of shape \(2, 1\); pass a list"),
        ([b"a", b"\xff"], "has bytes that are not in UTF-8; decode them"),
        (pa.array([b"a", b"\xff"], pa.binary(1)), "has bytes that are not in UTF-8; decode them"),
        ([["a"], ["b"]], "has cells of the type list<item: string>; convert each cell to a text"),
        (pa.array([{"a": 1}, {"a": 2}]), "has cells of the type struct<a: int64>; convert each cell to a text"),
    ],
)
def test_a_column_has_one_value_per_row(tmp_path, column, fault):
    for name in ("student", "item", "correct", "order", "seconds"):
        columns = {"student": ["a", "b"], "skill": ["x", "x"], "correct": [1, 0], name: column}
        with pytest.raises(ResponsesError, match=f"^responses, column {name}: {fault}"):
            Responses.from_arrays(**columns)
    if isinstance(column, list | pa.Array):
        pq.write_table(pa.table({"student": column, "skill": ["x", "x"], "correct": [1, 0]}), tmp_path / "log.parquet")
        with pytest.raises(ResponsesError, match=f"log.parquet, column student: {fault.split(' of the')[0]}"):
            read_responses(tmp_path / "log.parquet")


def test_a_matrix_and_its_labels_have_equal_lengths():
    with pytest.raises(ResponsesError, match="rows of the matrix have different lengths; pass one cell for each item"):
        Responses.from_matrix([[1, 0], [1]])
    with pytest.raises(ResponsesError, match="weight: expected one value per row; got 3; pass a list"):
        Responses.from_matrix([[1, 0]], weight=3)


@pytest.mark.parametrize("value", [9, 2.5, "x"])
def test_values_of_numpy_are_named_as_numbers(value):
    with pytest.raises(ResponsesError, match=f"the matrix, row 1 .*, column 0: {value!r}; expected 0, 1"):
        Responses.from_matrix(np.array([[1], [value], [0]], object if value == "x" else None))


def test_names_do_not_end_with_a_null_character(write):
    """NumPy would remove it, so that two students would have one name."""
    with pytest.raises(ResponsesError, match=r"the name 'a\\x00' ends with a null character: remove it"):
        Responses.from_arrays(["a\0", "a"], [1, 0], skill=["x", "x"])
    file = write("student,skill,correct\na,x,1\na,x\0,0\n")
    with pytest.raises(ResponsesError, match=r"log.csv: the name 'x\\x00' ends with a null character: remove it"):
        read_responses(file)


@pytest.mark.parametrize("columns", [["student"], "student=id", 5])
def test_columns_are_a_mapping(write, columns):
    for read in (read_responses, Responses.from_table):
        source = {"student": ["a"], "skill": ["x"], "correct": [1]}
        if read is read_responses:
            source = write("student,skill,correct\na,x,1\n")
        with pytest.raises(ResponsesError, match="columns must be a mapping; got .*; pass columns={'student': 'NAME'}"):
            read(source, columns=columns)


@pytest.mark.parametrize("separator", ["", 5])
def test_a_separator_is_a_text(separator):
    with pytest.raises(ResponsesError, match=f"separator must be .*; got {separator!r}; pass separator=';'"):
        Responses.from_arrays(["a"], [1], skill=["x"], separator=separator)


def test_a_table_of_values_is_no_table_of_columns():
    for names in (("student", "skill", "correct"), ("user_id", "skill_name", "is_correct")):
        with pytest.raises(ResponsesError, match="the table, column .*: expected one value per row; got"):
            Responses.from_table(dict(zip(names, [5, 6, 1], strict=True)))
