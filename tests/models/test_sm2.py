"""SM-2: sequences of the published rule, those of another program, and invalid values."""

import json

import numpy as np
import pytest

from alsim.models import ModelError, sm2


@pytest.fixture
def sequences(published):
    """Return sequences by the beginning of their name."""
    cases = json.loads((published / "learners/spacing.json").read_text(encoding="utf-8"))
    return {name.split(" (")[0]: case["sequences"] for name, case in cases.items() if name.startswith("SM-2")}


def test_sequences_of_the_published_rule(sequences):
    """57 repetitions; the file has four decimals."""
    compared = 0
    for sequence in sequences["SM-2 as published"]:
        state = (sm2.EASINESS, 0.0, 0)
        for quality, easiness, interval in sequence:
            state = sm2.review(*state, quality)
            assert state[0] == pytest.approx(easiness, abs=1e-9)
            assert state[1] == pytest.approx(interval, abs=1e-4)
            compared += 1
    assert compared == sum(map(len, sequences["SM-2 as published"])) == 57


def test_supermemo2_rounds_and_changes_the_easiness_after_failures(sequences):
    """Its sequences follow from the functions, with intervals rounded up before they are multiplied again."""
    compared, differs = 0, 0
    for sequence in sequences["SM-2 of supermemo2 3.0.1"]:
        state = (sm2.EASINESS, 0.0, 0)
        plain = state
        for quality, easiness, interval, repetitions in sequence:
            after, plain = sm2.review(*state, quality), sm2.review(*plain, quality)
            state = sm2.changed_easiness(state[0], quality), np.ceil(after[1]), after[2]
            assert state[0] == pytest.approx(easiness, abs=1e-9)
            assert state[1:] == (interval, repetitions)
            compared += 1
            differs += abs(plain[1] - interval) > 1
    assert compared == 57
    assert differs > 20  # the intervals of the two differ by more than rounding


def test_a_batch_equals_single_repetitions():
    generator = np.random.default_rng(0)
    easiness, interval = generator.uniform(1.3, 3, 50), generator.uniform(0, 90, 50)
    repetitions, quality = generator.integers(0, 5, 50), generator.integers(0, 6, 50)
    found = np.stack(sm2.review(easiness, interval, repetitions, quality), axis=1)
    single = [sm2.review(*row) for row in zip(easiness, interval, repetitions, quality, strict=True)]
    assert found.tolist() == np.array(single, np.float64).tolist()


def test_quality_4_leaves_the_easiness_and_1_3_is_its_bound():
    assert sm2.changed_easiness(2.5, 4) == pytest.approx(2.5, abs=1e-15)
    assert sm2.changed_easiness(1.35, 0) == 1.3
    assert sm2.review(2.5, 30.0, 7, 2)[0] == 2.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2.5, 1, 1, 6), "quality must be an integer from 0 to 5; got 6: 3 and more are correct answers"),
        ((2.5, 1, 1, [4, 3.5]), "quality must be an integer from 0 to 5; got 3.5: "),
        ((2.5, 1, 1, np.nan), "quality must be an integer from 0 to 5; got nan: "),
        ((1.2, 1, 1, 4), "easiness must be at least 1.3; got 1.2: 2.5 before the first"),
        ((np.inf, 1, 1, 4), "easiness must be at least 1.3; got inf: "),
        ((2.5, -1, 1, 4), "interval must be a number of days from 0; got -1: "),
        ((2.5, 1, -1, 4), "repetitions must be a count from 0; got -1: "),
        ((2.5, 1, 0.5, 4), "repetitions must be a count from 0; got 0.5: "),
    ],
)
def test_invalid_values_are_named(arguments, message):
    with pytest.raises(ModelError, match=f"^{message}"):
        sm2.review(*arguments)
