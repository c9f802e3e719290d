"""Items without names: matches by position are announced, and refused if the numbers of items differ."""

import numpy as np
import pandas as pd
import pytest

from alsim.errors import AlsimError
from alsim.models import ModelError, Responses, bkt, irt, read_responses, skill_mean
from alsim.models.matching import are_positions, compare_names, match_items

MATRIX = (np.random.default_rng(0).random((30, 3)) < [0.3, 0.5, 0.7]).astype(int)
NAMED = irt.ItemParameters([1.0, 1.5, 2.0], [-1.0, 0.0, 1.0], names=["q1", "q2", "q3"])
UNNAMED = irt.ItemParameters(NAMED.a, NAMED.b)
EXPECTED = irt.estimate_ability(NAMED, MATRIX).theta


def written(directory, header, first=None):
    """Write MATRIX as a wide file, with names of students if `first` says so; return its path."""
    rows = [",".join(map(str, row)) for row in MATRIX]
    if first:
        rows = [f"s{k},{row}" for k, row in enumerate(rows)]
    path = directory / "log.csv"
    path.write_text("\n".join([*([header] if header else []), *rows]) + "\n")
    return path


def without_names(directory):
    """Return logs of MATRIX whose items have no names."""
    return {
        "matrix": Responses.from_matrix(MATRIX),
        "frame": Responses.from_matrix(pd.DataFrame(MATRIX)),
        "file": read_responses(written(directory, None)),
        "file with students": read_responses(written(directory, None, first=True)),
    }


KINDS = ("matrix", "frame", "file", "file with students")


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_without_names_is_matched_by_position_with_a_warning(kind, tmp_path, caplog):
    log = without_names(tmp_path)[kind]
    caplog.clear()
    assert np.array_equal(irt.estimate_ability(NAMED, log).theta, EXPECTED)
    assert caplog.messages == ["there are no names of items in the responses, so the items are matched by position"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_without_names_needs_as_many_items(kind, tmp_path):
    log = without_names(tmp_path)[kind]
    for items in (NAMED.take([0, 1]), irt.ItemParameters(np.ones(4), 0.0, names=list("0123"))):
        with pytest.raises(AlsimError, match=f"there are 3 items in the responses and {len(items)} in the item para"):
            irt.estimate_ability(items, log)


def test_the_columns_of_a_data_frame_are_matched_by_name():
    frame = pd.DataFrame(MATRIX, columns=NAMED.names, index=[f"s{k}" for k in range(len(MATRIX))])
    abilities = irt.estimate_ability(NAMED, frame[["q3", "q1", "q2"]])
    assert np.allclose(abilities.theta, EXPECTED, rtol=0, atol=1e-12)
    assert abilities.students.tolist() == frame.index.tolist()
    with pytest.raises(AlsimError, match="none of the 3 items of the responses has parameters, such as 'x'"):
        irt.estimate_ability(NAMED, pd.DataFrame(MATRIX, columns=list("xyz")))


def test_names_of_columns_are_numbers_and_no_names(tmp_path, caplog):
    """Items 1 to 3 in a bank are not the columns 1 to 3 of a matrix, which are counted from 0."""
    numbered = irt.ItemParameters(NAMED.a, NAMED.b, names=["1", "2", "3"])
    for names in (["1", "2", "3"], ["2", "1", "0"]):
        items = irt.ItemParameters(NAMED.a, NAMED.b, names=names)
        caplog.clear()
        assert np.array_equal(irt.estimate_ability(items, Responses.from_matrix(MATRIX)).theta, EXPECTED)
        assert "matched by position" in caplog.text
    log = read_responses(written(tmp_path, "id,1,2,3", first=True))
    caplog.clear()
    assert np.array_equal(irt.estimate_ability(numbered, log).theta, EXPECTED) and not caplog.records


def test_items_without_names_are_matched_by_position_with_a_warning(tmp_path, caplog):
    log = read_responses(written(tmp_path, "q1,q2,q3"))
    assert np.array_equal(irt.estimate_ability(UNNAMED, log).theta, EXPECTED)
    assert caplog.messages == [
        "there are no names of items in the item parameters, so the items are matched by position"
    ]
    with pytest.raises(AlsimError, match="3 items in the responses and 4 in the item parameters: add the names"):
        irt.estimate_ability(irt.ItemParameters(np.ones(4), 0.0), log)
    long = Responses.from_arrays(["a", "a", "a"], [1, 0, 1], item=["q1", "q2", "q3"])
    with pytest.raises(AlsimError, match="has an item 'q1', which is not a number of a row from 0 to 2: add the names"):
        irt.estimate_ability(UNNAMED, long)


def test_positions_on_both_sides_need_no_warning(caplog):
    assert np.array_equal(irt.estimate_ability(UNNAMED, Responses.from_matrix(MATRIX)).theta, EXPECTED)
    assert not caplog.records


def test_items_of_a_long_log_that_are_numbers_of_rows_are_announced(caplog):
    """They may be counted from 1, unless all rows have responses."""
    log = Responses.from_arrays(["a", "a"], [1, 0], item=[1, 2])
    irt.estimate_ability(UNNAMED, log)
    assert caplog.messages == [
        "there are no names of items in the item parameters, so each item of the log is the row with its number, from 0"
    ]
    caplog.clear()
    irt.estimate_ability(UNNAMED, Responses.from_arrays(["a"] * 3, [1, 0, 1], item=[2, 0, 1]))
    assert not caplog.records


def test_a_long_log_has_no_positions():
    """Items named 0, 1 and 2 in a log with one row per response are not the first three items of a bank."""
    log = Responses.from_arrays(["a"] * 3, [1, 0, 1], item=[0, 1, 2])
    with pytest.raises(AlsimError, match="none of the 3 items of the responses has parameters, such as '0'"):
        irt.estimate_ability(NAMED, log)


@pytest.mark.heavy
@pytest.mark.parametrize("model", [bkt, irt, skill_mean])
def test_a_fit_with_names_does_not_predict_columns_without_names(model):
    """By their numbers, the columns 1 and 2 would be taken for the items 1 and 2, which are the columns 0 and 1."""
    fit = model.fit(Responses.from_matrix(MATRIX, items=["1", "2", "3"]))
    for log in (Responses.from_matrix(MATRIX), Responses.from_matrix(MATRIX[:, :2])):
        with pytest.raises(ModelError, match="columns without names have their numbers as names: write the names"):
            fit.predict(log)
    fit = model.fit(Responses.from_matrix(MATRIX))
    assert len(fit.predict(Responses.from_matrix(MATRIX))) == MATRIX.size
    for log in (
        Responses.from_matrix(MATRIX, items=["1", "2", "3"]),  # the reverse
        Responses.from_matrix(MATRIX[:, :2]),  # fewer columns
    ):
        with pytest.raises(ModelError, match="columns without names have their numbers as names: write the names"):
            fit.predict(log)


@pytest.mark.parametrize("statistic", [irt.item_fit, irt.person_fit, irt.pattern_fit])
def test_statistics_of_a_fit_with_names_need_names(statistic):
    fit = irt.fit(Responses.from_matrix(MATRIX, items=["1", "2", "3"]), "rasch")
    with pytest.raises(ModelError, match="columns without names have their numbers as names: write the names"):
        statistic(fit, Responses.from_matrix(MATRIX))


def test_positions():
    assert are_positions(np.array(["0", "1", "2"]))
    for names in (["1", "2"], ["1", "0"], ["0.0"], ["a"]):
        assert not are_positions(np.array(names))


def test_messages_name_the_sources():
    log = Responses.from_matrix(MATRIX)
    assert match_items(log, NAMED.names, "log.csv", "items.csv").note.startswith(
        "there are no names of items in log.csv"
    )
    with pytest.raises(AlsimError, match="the items of test.csv are not those of the fit, such as 'q1'"):
        compare_names(log, {"item": NAMED.names}, "test.csv")
