"""Random words: known answers, and distinct counters (clause S11.1)."""

from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import Lanes

from alsim.config import Config
from alsim.numerics.philox import random_words
from alsim.simulator import reset
from alsim.simulator import step as step_kernels
from alsim.types import Purpose

# philox4x32 with 10 rounds: counter, key, words. Source: kat_vectors of Random123 1.14 (BSD-3), which is
# Salmon et al.'s own: all zeros, all ones, and the digits of pi.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
WORD = st.integers(0, 2**32 - 1)


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in text.split())


def alsims_words(counter: Any, key: Any) -> tuple[int, ...]:
    words = np.empty(4, np.uint32)
    step, episode, learner = (np.array([word], np.uint32) for word in counter[:3])
    random_words(step, episode, learner, np.uint32(counter[3]), np.array([key[0] | key[1] << 32], np.uint64), words)
    return tuple(map(int, words))


@pytest.mark.parametrize("counter, key, words", [tuple(map(numbers, line)) for line in KNOWN])
def test_known_answers(counter: Any, key: Any, words: Any) -> None:
    assert alsims_words(counter, key) == words
    assert oracle.philox4x32(counter, key) == words


def test_known_answers_of_random123(published: Path) -> None:
    text = Path(published, "rng", "random123_kat_vectors.txt").read_text(encoding="utf-8")
    lines = [line.split() for line in text.splitlines() if line.startswith("philox4x32 ")]
    tens = 0
    for _, rounds, *fields in lines:
        line = numbers(" ".join(fields))
        counter, key, words = line[:4], line[4:6], line[6:]
        assert oracle.philox4x32(counter, key, int(rounds)) == words
        if rounds == "10":
            assert alsims_words(counter, key) == words
            tens += 1
    assert tens >= 3


@given(counter=st.tuples(WORD, WORD, WORD, WORD), key=st.tuples(WORD, WORD))
def test_equals_the_oracle(counter: Any, key: Any) -> None:
    assert alsims_words(counter, key) == oracle.philox4x32(counter, key)


def test_s11_1_purposes_are_distinct() -> None:
    assert len({int(p) for p in Purpose}) == len(Purpose)
    assert all(0 < p < 2**16 for p in Purpose)


def test_s11_1_counters_are_distinct() -> None:
    """The counters of a learner, derived from the clauses, for the largest number of LOs of a configuration."""
    most = next(m.le for m in Config.model_fields["num_los"].metadata if hasattr(m, "le"))
    assert most == 3640
    for num_los in (1, 2, 3, 30, 254, 255, most):
        # A dynamics may ask for a second block per interaction, and for a number per LO at the start.
        blocks = {Purpose.START: -(-(num_los + 2) // 4), Purpose.OWN_START: -(-num_los // 4), Purpose.INTERACTION: 2}
        assert max(blocks.values()) <= 2**16
        last_words = {p: {p | block << 16 for block in range(blocks.get(p, 1))} for p in Purpose}
        everything = [word for words in last_words.values() for word in words]
        assert all(word < 2**32 for word in everything)
        # Two counters of one (step, episode, learner) differ in the last word, for all purposes.
        assert len(everything) == len(set(everything))


@pytest.mark.heavy
@pytest.mark.parametrize("num_los", [1, 30, 253, 254, 255, 300, 600])
@pytest.mark.parametrize("lanes", [1, 3])
def test_s11_1_the_loop_uses_these_counters(num_los: int, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions of the loop, run in the interpreter, use the counters of the clauses, each once."""
    config = Config(num_los=num_los, num_questions_per_lo=3, learner={"mastery_alpha": 1.0, "mastery_beta": 1.0})
    world = Lanes(lanes, config, seed=2**63 + 5, learner=7 + np.arange(lanes), episode=3)
    seen: list[tuple[int, ...]] = []

    def recording(*words: Any) -> tuple[np.uint32, ...]:
        seen.append(tuple(map(int, words)))
        return tuple(map(np.uint32, oracle.philox4x32(seen[-1][:4], seen[-1][4:])))

    # A rule of the package that the interpreter runs: each calls the next by its module's name for it.
    for module in (step_kernels, reset):
        for name, value in vars(module).copy().items():
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, name, value.py_func)
            elif name == "wide_vectors":
                monkeypatch.setattr(module, name, lambda: None)
        monkeypatch.setattr(module, "philox", recording)
    before = world.rows.copy()
    world.rows[:] = -1
    for lane in range(lanes):
        reset.begin(world.world, np.array([lane]), 0, 1)
    # Not to the bit: called one by one, compiled rules hand back Python's floats, which are wider.
    np.testing.assert_allclose(world.rows, before, rtol=0, atol=2e-7)
    for step in (0, 1, 139):
        world.learners.step[:] = step
        step_kernels.draw(world.learners, world.world.scratch, 0, lanes)
    key = (5, 2**31)
    wanted = [
        (0, 3, 7 + lane, Purpose.START | block << 16, *key)
        for lane in range(lanes)
        for block in range(-(-(num_los + 2) // 4))
    ]
    wanted += [(step, 3, 7 + lane, Purpose.INTERACTION, *key) for step in (0, 1, 139) for lane in range(lanes)]
    assert seen == wanted
    assert len(set(seen)) == len(seen)
