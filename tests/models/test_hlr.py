"""Half-life regression on arrays, against the formula and the bounds of the authors."""

import json

import numpy as np
import pytest

from alsim.models import ModelError, hlr


def test_rows_of_the_authors_formula(published):
    """128 rows with the weights (0.25, -0.2, 1); the authors hold the probability of recall in its bounds."""
    cases = json.loads((published / "learners/spacing.json").read_text(encoding="utf-8"))
    (case,) = (value for name, value in cases.items() if name.startswith("HLR"))
    right, wrong, days, half_life, p = np.array(case["rows"]).T
    assert len(right) == 128
    found = hlr.half_life(right, wrong, (0.25, -0.2, 1))
    np.testing.assert_allclose(found, half_life, rtol=1e-14)
    np.testing.assert_allclose(np.clip(hlr.recall(days, found), *hlr.RECALLS), p, rtol=1e-13)


def test_the_default_half_life_before_any_practice_is_one_day():
    assert hlr.half_life(0, 0) == 1


def test_half_lives_are_held_in_their_bounds():
    found = hlr.half_life(0, 0, [[0, 0, -50], [0, 0, 50]])
    assert found.tolist() == [15 / 1440, 274]


def test_recall_is_a_half_after_each_half_life():
    np.testing.assert_allclose(hlr.recall(np.arange(5) * 3.5, 3.5), 0.5 ** np.arange(5), rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hlr.half_life(-1, 0), "right must be a number of answers from 0; got -1"),
        (lambda: hlr.half_life(0, np.nan), "wrong must be a number of answers from 0; got nan"),
        (lambda: hlr.half_life(0, 0, (1, 2)), r"three finite numbers, \(..., 3\); got \(1, 2\)"),
        (lambda: hlr.half_life(0, 0, (1, 2, np.inf)), "three finite numbers"),
        (lambda: hlr.half_life(0, 0, "heavy"), "three finite numbers, .*; got 'heavy'"),
        (lambda: hlr.recall(-0.5, 1), "at least 0; got -0.5: times run backwards"),
        (lambda: hlr.recall(np.nan, 1), "days since the last practice must be finite; got nan"),
        (lambda: hlr.recall(1, 0), "half_life must be a number of days above 0; got 0"),
    ],
)
def test_invalid_values_are_named(call, message):
    with pytest.raises(ModelError, match=message):
        call()
