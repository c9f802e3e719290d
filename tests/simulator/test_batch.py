"""Equal bits in any batch, compiled and interpreted (clauses S11.2, S11.5)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest
from golden import actions_of, outputs_of
from worlds import MODES, Lanes

import alsim
from alsim.config import Config
from alsim.jit.compile import COMPILED
from alsim.simulator import step as step_kernels

# Made once, when compiled machine code, the interpreter and (to float32 tolerance, test_oracle.py) the oracle
# agreed on numba 0.68, NumPy 2.4, x86-64. A change here is a change of the environment's version (S11.5).
GOLDEN = {
    "default bank": "3cd72fdf7167ab6e3373f0a88a70f0f102a7e7ef6a4f42e664a295e46823ac48",
    "specified, next step": "5a6517daae3a850cfb348164c9c8d470c76ea6730eff81e1ee56e7e5714a8e6d",
    "specified, same step": "10b19eb4cba71d20510ef8b64fd084e9b79409c5cd8bf7f9228f5d3b0ffb30e4",
    "responses, same step": "262e130eb26fb6bb590641c4a1968b72cb3362607fbc5dd2f9561bba38c6ffbf",
    "other parameters, next step": "7a96285578390c2c80607cd03273ba68887c2531d26ad09a1919355bfee0f1c5",
    "700 outcomes, disabled": "242313c6c98557eef22e65e40e25fd937b818943c3da7b04740a8028d751457b",
}

MOST = 4096 if COMPILED else 257
SIZES = [1, 255, 256, 257, 4096] if COMPILED else [1, 256]
CUTS = [(1,), (255,), (100, 101, 256)] if COMPILED else [(100, 101, 256)]
# Episodes of ten steps, so that lanes end and begin all the time, at different times by frustration.
SHORT = {"num_los": 5, "max_episode_steps": 10, "termination": {"max_frustration": 0.4}}
STEPS = 25


@pytest.mark.ci
@pytest.mark.parametrize("name", GOLDEN)
def test_s11_5_golden_sums(name: str) -> None:
    made = golden.bank_sum() if name == "default bank" else golden.run_sum(**golden.RUNS[name])
    assert made == GOLDEN[name]


def test_s11_5_every_golden_run_has_its_sum() -> None:
    assert set(GOLDEN) == {"default bank", *golden.RUNS}


@pytest.mark.ci
@pytest.mark.skipif(not COMPILED, reason="this process is the interpreted one")
def test_compiled_equals_interpreted_in_another_process() -> None:
    tests, sources = Path(__file__).parents[1], Path(alsim.__file__).parent.parent
    path = os.pathsep.join([str(sources), str(tests), os.environ.get("PYTHONPATH", "")])
    interpreted = subprocess.run(
        [sys.executable, "-W", "error", str(tests / "golden.py")],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(interpreted.stdout) == golden.sums()


def history(lanes: Lanes, steps: int = STEPS) -> list[dict[str, Any]]:
    """Return the outputs and the state after the reset and after every step."""
    record = [outputs_after_reset(lanes)]
    for _ in range(steps):
        lanes.step(actions_of(lanes))
        record.append(outputs_of(lanes))
        restart_finished(lanes)
    return record


def outputs_after_reset(lanes: Lanes) -> dict[str, Any]:
    return {"rows": lanes.rows.copy(), "ability": lanes.learners.ability.copy()}


def restart_finished(lanes: Lanes) -> None:
    """Begin the next episode in finished lanes, as a caller does under DISABLED."""
    if lanes.mode == step_kernels.DISABLED:
        ended = np.flatnonzero(lanes.learners.finished)
        lanes.learners.episode[ended] += np.uint32(1)
        step_kernels.begin_lanes(lanes.reference, ended)


def assert_same(mine: list[dict[str, Any]], theirs: list[dict[str, Any]], lanes: Any) -> None:
    """Assert that one history has the same bits as some lanes of another."""
    for step, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        for name in a:
            assert a[name].tobytes() == b[name][lanes].tobytes(), f"{name} differs in step {step}"


@pytest.fixture(scope="module")
def crowd() -> dict[Any, list[dict[str, Any]]]:
    """Return the histories of the largest batch, by mode and observation."""
    return {
        (mode, responses): history(Lanes(MOST, Config.read(SHORT), mode=MODES[mode], responses=responses, seed=9))
        for mode in MODES
        for responses in (False, True)
    }


@pytest.mark.heavy
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize("n", SIZES)
def test_s11_2_lanes_of_few_are_lanes_of_many(n: int, responses: bool, mode: str, crowd: Any) -> None:
    many = crowd[mode, responses]
    few = history(Lanes(n, Config.read(SHORT), mode=MODES[mode], responses=responses, seed=9))
    assert_same(few, many, slice(0, n))
    if n > 1:
        ended = sum(int((step["reason"] != 0).sum()) for step in few[1:])
        assert ended > 1.5 * n


@pytest.mark.parametrize("mode", MODES)
def test_s11_2_one_learner_alone_is_one_of_many(mode: str, crowd: Any) -> None:
    """Also at the borders between blocks."""
    for lane in (k for k in (0, 100, 254, 255, 256, 511, 512, 4095) if k < MOST):
        alone = history(Lanes(1, Config.read(SHORT), mode=MODES[mode], seed=9, learner=lane))
        assert_same(alone, crowd[mode, False], slice(lane, lane + 1))


@pytest.mark.heavy
@pytest.mark.parametrize("mode", MODES)
def test_s11_2_the_order_of_lanes_does_not_matter(mode: str, crowd: Any) -> None:
    order = np.random.default_rng(1).permutation(MOST)
    shuffled = history(Lanes(MOST, Config.read(SHORT), mode=MODES[mode], seed=9, learner=order))
    assert_same(shuffled, crowd[mode, False], order)


@pytest.mark.heavy
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cuts", CUTS)
def test_s11_2_how_lanes_are_split_does_not_matter(cuts: tuple[int, ...], mode: str, crowd: Any) -> None:
    """A step in several calls, as threads make it, the last part first."""
    config, ends = Config.read(SHORT), [0, *cuts, MOST]
    lanes = Lanes(MOST, config, mode=MODES[mode], seed=9)
    record = [outputs_after_reset(lanes)]
    for _ in range(STEPS):
        actions = actions_of(lanes)
        for start, stop in reversed(list(zip(ends[:-1], ends[1:], strict=True))):
            lanes.step(actions, start, stop)
        record.append(outputs_of(lanes))
        restart_finished(lanes)
    assert_same(record, crowd[mode, False], slice(None))


def interactions_of(record: list[dict[str, Any]], lane: int) -> list[bytes]:
    """Return the interactions of the learner in a lane, without the steps in which the lane was reset."""
    names = ("reward", "terminated", "truncated", "reason", "item", "correct", "gain")
    return [b"".join(step[name][lane].tobytes() for name in names) for step in record[1:] if step["live"][lane]]


def test_s11_2_all_autoreset_modes_have_the_same_interactions(crowd: Any) -> None:
    for lane in range(0, MOST, 13):
        by_caller = interactions_of(crowd["DISABLED", False], lane)
        same_step = interactions_of(crowd["SAME_STEP", False], lane)
        next_step = interactions_of(crowd["NEXT_STEP", False], lane)
        assert len(by_caller) == STEPS
        assert same_step == by_caller
        assert STEPS / 2 < len(next_step) < STEPS
        assert next_step == by_caller[: len(next_step)]


def test_s11_2_same_step_keeps_the_last_observation(crowd: Any) -> None:
    """`final` is the observation that DISABLED shows before the reset."""
    compared = 0
    for by_caller, in_place in zip(crowd["DISABLED", True][1:], crowd["SAME_STEP", True][1:], strict=True):
        ended = in_place["reason"] != 0
        assert np.array_equal(in_place["final"][ended], by_caller["observation"][ended])
        compared += int(ended.sum())
    assert compared > MOST


def test_s11_2_two_policies_have_common_random_numbers() -> None:
    """Earlier actions do not change the random numbers of a step."""
    one, other = Lanes(50, seed=4), Lanes(50, seed=4)
    assert np.array_equal(one.rows, other.rows)
    for step in range(10):
        one.step(one.question(step, 0))
        other.step(other.content(step, 5))
    for lanes in (one, other):
        lanes.put(mastery=0.3, ability=0.1, frustration=0.2)
        lanes.step(lanes.question(20, 1))
    assert np.array_equal(one.interaction.correct, other.interaction.correct)
    assert np.array_equal(one.interaction.item, other.interaction.item)
    assert np.array_equal(one.learners.response_time, other.learners.response_time)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"seed": 2**32}, {"learner": 1}, {"episode": 1}])
def test_s11_1_seed_learner_and_episode_each_make_another_stream(changed: dict[str, int]) -> None:
    base, other = Lanes(1, learner=0), Lanes(1, **{"learner": 0, **changed})
    assert not np.isclose(base.mastery, other.mastery).any()
    assert base.learners.ability[0] != other.learners.ability[0]


def test_s11_1_neighbouring_seeds_and_learners_have_no_common_stream() -> None:
    """With the convention seed + i, lane 1 of seed 0 would equal lane 0 of seed 1.

    Of n = 8 * 8 * 30 draws, two coincide in float32 with a probability of 3.9e-8 (the integral of the squared
    density times the float's spacing): 0.07 pairs expected, and four or more, a false alarm, 1.0e-6.
    """
    grid = [Lanes(8, seed=seed).mastery.copy() for seed in range(8)]
    values = np.concatenate(grid).ravel()
    assert len(np.unique(values)) >= len(values) - 3
