"""Resets, seeds and actions of the vector environment, valid and invalid."""

import operator
import pickle
import re
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from vector_envs import (
    DISABLED,
    NEXT_STEP,
    SAME_STEP,
    SHORT,
    A,
    L,
    batches,
    make,
    midway,
    play,
    same,
    same_calls,
)

from alsim import AdaptiveLearningEnv, AdaptiveLearningVectorEnv

pytestmark = pytest.mark.gymnasium


def identities(env: AdaptiveLearningVectorEnv) -> list[tuple[int, int, int]]:
    lanes = env.lanes
    return list(zip(lanes["seed"].tolist(), lanes["learner"].tolist(), lanes["episode"].tolist(), strict=True))


def test_learner_in_each_lane() -> None:
    """Clause S11.3."""
    env = make(3)
    env.reset(seed=7)
    assert identities(env) == [(7, 0, 0), (7, 1, 0), (7, 2, 0)]
    env.reset()
    assert identities(env) == [(7, 0, 1), (7, 1, 1), (7, 2, 1)]
    env.reset(seed=[5, None, 6])
    assert identities(env) == [(5, 0, 0), (7, 1, 2), (6, 0, 0)]
    env.reset(options={"reset_mask": np.array([False, True, True])})
    assert identities(env) == [(5, 0, 0), (7, 1, 3), (6, 0, 1)]
    env.reset(seed=9, options={"reset_mask": np.array([False, False, True])})
    assert identities(env) == [(5, 0, 0), (7, 1, 3), (9, 2, 0)]
    env.reset(seed=1, options={"learner": 10})
    assert identities(env) == [(1, 10, 0), (1, 11, 0), (1, 12, 0)]
    env.reset(seed=1, options={"learner": [4, 2**32 - 1, 2**31]})
    assert identities(env) == [(1, 4, 0), (1, 2**32 - 1, 0), (1, 2**31, 0)]
    env.reset(seed=2**64 - 1, options={"learner": np.array([1, 1, 0], np.uint8)})
    assert identities(env) == [(2**64 - 1, 1, 0), (2**64 - 1, 1, 0), (2**64 - 1, 0, 0)]


@pytest.mark.parametrize("mode", [NEXT_STEP, SAME_STEP])
def test_autoreset_starts_the_next_episode(mode: AutoresetMode) -> None:
    env = make(3, autoreset_mode=mode)
    episodes, waiting = np.zeros(3, int), np.zeros(3, np.bool_)
    env.reset(seed=3)
    for batch in batches(env.num_envs, 60):
        done = operator.or_(*env.step(batch)[2:4])
        episodes += done if mode == SAME_STEP else waiting
        waiting = done
        assert env.lanes["episode"].tolist() == episodes.tolist()
    assert episodes.min() > 2


def first_observations(**arguments: Any) -> Any:
    return make(3).reset(**arguments)[0]


def test_reset_by_learner_seed_and_list() -> None:
    all_lanes = first_observations(seed=7)
    alone = AdaptiveLearningEnv(SHORT)
    for lane in range(3):
        same(all_lanes[lane], alone.reset(seed=7, options={"learner": lane})[0])
    listed = first_observations(seed=[7, 8, 7])
    same(listed[0], all_lanes[0])
    same(listed[1], alone.reset(seed=8)[0])
    same(listed[2], all_lanes[0])
    same(first_observations(seed=7, options={"learner": 1})[:2], all_lanes[1:])
    same(first_observations(seed=7, options={"learner": [2, 0, 1]}), all_lanes[[2, 0, 1]])
    held_out = first_observations(seed=7, options={"learner": 2**31})
    assert not (held_out == all_lanes)[:, :L].any()
    # Different seeds share no learner, as they would if lane i had seed + i.
    assert len(np.unique(np.concatenate([all_lanes, first_observations(seed=8), held_out]), axis=0)) == 9


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.int8, np.array])
def test_numpy_seeds(kind: Any) -> None:
    same(first_observations(seed=kind(5)), first_observations(seed=5))
    same(first_observations(seed=[kind(5), None, 6])[[0, 2]], first_observations(seed=[5, None, 6])[[0, 2]])
    same(first_observations(seed=5, options={"learner": kind(3)}), first_observations(seed=5, options={"learner": 3}))


def test_list_of_seeds_may_be_an_array() -> None:
    same(first_observations(seed=np.array([5, 2**64 - 1, 7], np.uint64)), first_observations(seed=(5, 2**64 - 1, 7)))


def test_reset_without_a_seed_is_random() -> None:
    one, two = make(3), make(3)
    assert (one.reset()[0] != two.reset()[0])[:, :L].all()
    assert (one.reset()[0] != one.reset()[0])[:, :L].all()
    assert len(set(one.lanes["seed"].tolist())) == 1


def test_list_with_none_at_the_first_reset() -> None:
    env = make(3)
    env.reset(seed=[None, 4, None])
    seeds = env.lanes["seed"].tolist()
    assert seeds[1] == 4
    assert seeds[0] == seeds[2] != 4


def test_reset_by_mask_takes_effect_at_once() -> None:
    env = make(3)
    env.reset(seed=1)
    for batch in batches(env.num_envs, 20):
        done = operator.or_(*env.step(batch)[2:4])
        if done.any():
            break
    before, _ = env.reset(options={"reset_mask": done})
    after, _, _, _, infos = env.step(np.zeros(3, int))
    assert infos["_termination_reason"].all()
    assert (env.lanes["step"] >= 1).all()
    assert (before != after).any(axis=1).all()


BAD_ACTIONS: list[tuple[Any, type[Exception], str]] = [
    (np.zeros(2, int), ValueError, "actions must have shape (3,), one per lane; got shape (2,)"),
    (np.zeros((3, 1), int), ValueError, "actions must have shape (3,), one per lane; got shape (3, 1)"),
    (3, ValueError, "actions must have shape (3,), one per lane; got shape ()"),
    (None, ValueError, "actions must have shape (3,), one per lane; got shape ()"),
    (np.zeros(3), TypeError, "actions must be integers; got dtype float64"),
    (np.zeros(3, bool), TypeError, "actions must be integers; got dtype bool"),
    (["a", "b", "c"], TypeError, "actions must be integers; got dtype <U1"),
    ([0, 1, 2**70], TypeError, "actions must be integers; got dtype object"),
    ([0, 1, A], ValueError, f"actions must be integers in [0, {A}); got {A} in lane 2"),
    ([0, -1, A], ValueError, f"actions must be integers in [0, {A}); got -1 in lane 1"),
    (np.array([0, 2**63 + 1, 2**64 - 1], np.uint64), ValueError, f"got {2**63 + 1} in lane 1"),
    (np.array([-128, 0, 0], np.int8), ValueError, "got -128 in lane 0"),
]
BAD_RESETS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"seed": -1}, ValueError, "seed must be an integer in [0, 2**64); got -1"),
    ({"seed": 2**64}, ValueError, f"seed must be an integer in [0, 2**64); got {2**64}"),
    ({"seed": 1.0}, TypeError, "seed must be an integer in [0, 2**64); got 1.0"),
    ({"seed": "1"}, TypeError, "seed must be an integer in [0, 2**64); got '1'"),
    ({"seed": True}, TypeError, "seed must be an integer in [0, 2**64); got True"),
    ({"seed": np.True_}, TypeError, "seed must be an integer in [0, 2**64); got np.True_"),
    ({"seed": np.array(1.0)}, TypeError, "seed must be an integer in [0, 2**64); got array(1.)"),
    ({"seed": [1, 2]}, ValueError, "a list of seeds must have one entry per lane, 3; got 2"),
    ({"seed": [1, 2, 3, 4]}, ValueError, "a list of seeds must have one entry per lane, 3; got 4"),
    ({"seed": [1, -1, 3]}, ValueError, "seed[1] must be an integer in [0, 2**64); got -1"),
    ({"seed": [1, 2, 3.0]}, TypeError, "seed[2] must be an integer in [0, 2**64); got 3.0"),
    ({"seed": np.zeros((3, 2), int)}, TypeError, "seed[0] must be an integer in [0, 2**64); got array([0, 0])"),
    (
        {"options": {"mask": np.ones(3, bool)}},
        ValueError,
        "reset options must be among 'reset_mask', 'learner'; got 'mask'",
    ),
    ({"options": [1]}, TypeError, "options must be a mapping of 'reset_mask', 'learner'; got [1]"),
    ({"options": {"reset_mask": [True] * 3}}, TypeError, "options['reset_mask'] must be a NumPy array; got list"),
    ({"options": {"reset_mask": np.ones(4, bool)}}, ValueError, "options['reset_mask'] must have shape (3,); got (4,)"),
    ({"options": {"reset_mask": np.ones(3, int)}}, TypeError, "options['reset_mask'] must have dtype bool; got int64"),
    (
        {"options": {"reset_mask": np.zeros(3, bool)}},
        ValueError,
        "must be True in at least one lane; got only False",
    ),
    ({"options": {"learner": 1}}, ValueError, "options['learner'] requires an integer seed; got seed=None"),
    ({"seed": [1, 2, 3], "options": {"learner": 1}}, ValueError, "requires an integer seed; got a list of seeds"),
    (
        {"seed": 1, "options": {"learner": -1}},
        ValueError,
        "options['learner'] must be an integer in [0, 2**32); got -1",
    ),
    (
        {"seed": 1, "options": {"learner": 1.5}},
        TypeError,
        "options['learner'] must be an integer in [0, 2**32); got 1.5",
    ),
    (
        {"seed": 1, "options": {"learner": 2**32 - 2}},
        ValueError,
        "options['learner'] must be at most 4294967293 with 3 lanes, since the last learner is 2**32 - 1",
    ),
    (
        {"seed": 1, "options": {"learner": [1, 2]}},
        ValueError,
        "must have one entry per lane, 3; got 2",
    ),
    ({"seed": 1, "options": {"learner": [1, 2**32, 3]}}, ValueError, "options['learner'][1] must be an integer in"),
]


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(("actions", "error", "words"), BAD_ACTIONS)
def test_invalid_actions(actions: Any, error: type[Exception], words: str, mode: AutoresetMode) -> None:
    env = midway(mode)
    before = pickle.dumps(env)
    with pytest.raises(error, match=re.escape(words)):
        env.step(actions)
    assert pickle.dumps(env) == before


@pytest.mark.parametrize(("arguments", "error", "words"), BAD_RESETS)
def test_invalid_resets(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    for env in (midway(), make(3)):
        before = pickle.dumps(env)
        with pytest.raises(error, match=re.escape(words)):
            env.reset(**arguments)
        assert pickle.dumps(env) == before


def test_reset_does_not_modify_options() -> None:
    env = midway()
    options = {"reset_mask": np.array([True, False, False]), "learner": [1, 2, 3]}
    env.reset(seed=1, options=options)
    assert list(options) == ["reset_mask", "learner"]
    same(options["reset_mask"], np.array([True, False, False]))


def test_step_before_the_first_reset() -> None:
    env = make(3)
    before = pickle.dumps(env)
    with pytest.raises(ResetNeeded, match=re.escape("call reset() before step()")):
        env.step(np.zeros(3, int))
    assert pickle.dumps(env) == before


def test_first_reset_with_a_partial_mask() -> None:
    env = make(3)
    with pytest.raises(
        ValueError, match=re.escape("the first reset must start all 3 lanes; options['reset_mask'] selects 2")
    ):
        env.reset(seed=0, options={"reset_mask": np.array([True, False, True])})
    env.reset(seed=0, options={"reset_mask": np.ones(3, bool)})


def test_step_with_a_finished_lane_without_autoreset() -> None:
    env = make(3, autoreset_mode=DISABLED)
    env.reset(seed=0)
    for batch in batches(env.num_envs, 20):
        done = operator.or_(*env.step(batch)[2:4])
        if done.any():
            break
    before = pickle.dumps(env)
    with pytest.raises(ResetNeeded, match=f"the episode in lane {np.argmax(done)} is over"):
        env.step(np.zeros(3, int))
    assert pickle.dumps(env) == before
    env.reset(options={"reset_mask": done})
    env.step(np.zeros(3, int))


def test_actions_of_lanes_about_to_be_reset_are_ignored() -> None:
    one, two = make(3), make(3)
    actions = batches(one.num_envs, 60)
    calls = play(one, actions)
    two.reset(seed=0)
    ended, ignored = np.zeros(3, np.bool_), 0
    for batch, expected in zip(actions, calls[1:], strict=True):
        same_calls([two.step(np.where(ended, [-1, 2**40, -(2**63)], batch))], [expected])
        ended = expected[2] | expected[3]
        ignored += int(ended.sum())
    assert ignored > 6


@pytest.mark.parametrize("change", ["readonly", "int8", "big-endian", "strided", "list", "uint64"])
def test_integer_actions_of_any_dtype_and_layout(change: str) -> None:
    one, two = make(3), make(3)
    batch = np.array([30, 0, 35])
    frozen = batch.copy()
    frozen.flags.writeable = False
    changed: Any = {
        "readonly": frozen,
        "int8": batch.astype(np.int8),
        "big-endian": batch.astype(">i4"),
        "strided": np.repeat(batch, 2)[::2],
        "list": batch.tolist(),
        "uint64": batch.astype(np.uint64),
    }[change]
    same_calls(play(one, [batch] * 5), play(two, [changed] * 5))
