"""Functions of memory on arrays: values that are no numbers, and shapes that do not fit, are named."""

import numpy as np
import pytest

from alsim.models import ModelError, fsrs, hlr, sm2

NAN, TWO, THREE = np.nan, np.full(2, 2.0), np.full(3, 3.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fsrs.review(NAN, NAN, 0, "good"), "rating must be numbers; got <U4, as in 'good': convert them"),
        (lambda: fsrs.review(NAN, NAN, 0, [True]), "rating must be numbers; got bool"),  # recalled would be forgotten
        (lambda: fsrs.review(2, 5, np.timedelta64(72, "h"), 3), r"days must be numbers; got timedelta64\[h\]"),
        (lambda: fsrs.review(TWO, 5, THREE, 3), r"shapes must broadcast; got stability \(2,\), difficulty \(\), days"),
        (lambda: fsrs.retrievability("2", 1), "stability must be numbers"),
        (lambda: fsrs.retrievability([[1], [2, 3]], 1), r"stability must be numbers; got \[\[1\], \[2, 3\]\]"),
        (lambda: fsrs.retrievability(1, np.datetime64("2026-01-01")), r"days must be numbers; got datetime64\[D\]"),
        (lambda: fsrs.retrievability(TWO, THREE), r"shapes must broadcast; got stability \(2,\), days \(3,\)"),
        (lambda: fsrs.interval(2, 0.9j), "retention must be numbers; got complex128"),
        (lambda: fsrs.interval(TWO, THREE / 4), r"shapes must broadcast; got stability \(2,\), retention"),
        (lambda: hlr.half_life("3", 0), "right must be numbers"),
        (lambda: hlr.half_life(TWO, THREE), r"shapes must broadcast; got right \(2,\), wrong \(3,\), weights \(\)"),
        (lambda: hlr.recall(np.timedelta64(3, "h"), 1), r"days must be numbers; got timedelta64\[h\].* for days"),
        (lambda: hlr.recall(TWO, THREE), r"shapes must broadcast; got days \(2,\), half_life \(3,\)"),
        (lambda: sm2.review(2.5, 0, 0, True), "quality must be numbers; got bool"),  # right would be wrong
        (lambda: sm2.review("2.5", 0, 0, 4), "easiness must be numbers"),
        (lambda: sm2.review(2.5, 0, [None, 1], 4), "repetitions must be a count from 0; got nan"),
        (lambda: sm2.review(2.5, 0, np.inf, 4), "repetitions must be a count from 0; got inf"),
        (lambda: sm2.review(TWO, 0, THREE, 4), r"shapes must broadcast; got easiness \(2,\), interval"),
        (lambda: sm2.changed_easiness(TWO, THREE), r"shapes must broadcast; got easiness \(2,\), quality"),
    ],
)
def test_values_without_a_meaning_are_named(call, message):
    with pytest.raises(ModelError, match=f"^{message}") as found:
        call()
    assert "\n" not in str(found.value)


def test_missing_values_of_objects_are_nan():
    stability, difficulty = fsrs.review([None, 2.0], [None, 5.0], 1, 3)
    assert (stability[0], difficulty[1]) == (fsrs.WEIGHTS[2], fsrs.review(2, 5, 1, 3)[1])


def test_small_types_do_not_wrap():
    assert sm2.review(2.5, 6.0, np.uint8(255), 4)[2] == 256


def test_results_have_the_common_shape():
    found = sm2.review(np.full((2, 1), 2.5), 6.0, np.arange(3), 4)
    assert [part.shape for part in found] == [(2, 3)] * 3
    assert [part.shape for part in fsrs.review(np.ones((2, 1)), 5, np.arange(3), 3)] == [(2, 3)] * 2
