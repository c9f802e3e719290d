"""The picture of watched intervals."""

import numpy as np

from benchmarks import sequences
from benchmarks.sequences import FIXED, STYLES, alarms, ever


def test_watched_fixed_horizon_intervals_have_many_false_alarms():
    """400 sequences of 300 values; a sequence of 5 % false alarms exceeds 9 % with a probability below 0.001."""
    found = {name: ever(flags)[-1] for name, flags in alarms(np.random.default_rng(1).random((400, 300))).items()}
    assert found.pop(FIXED) > 0.25
    assert max(found.values()) < 0.09


def test_the_picture_has_two_panels_and_all_methods():
    figure = sequences.draw_figure(sequences=50, length=200)
    left, right = figure.axes
    assert {text.get_text() for text in left.get_legend().get_texts()} == {FIXED, "betting"}
    assert {text.get_text() for text in right.get_legend().get_texts()} == {*STYLES}
