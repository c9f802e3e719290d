"""Checks of the autoreset modes and of options['reset_mask']."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from alsim.testing.calls import check_call, check_layout
from alsim.testing.comparison import CheckError, expect_error, expect_same, expect_same_call, require, same
from alsim.testing.driver import Call, Subject, drive, reorder, replace_actions

FINAL = ("final_obs", "final_info")


def check_autoreset(s: Subject) -> None:
    """Check that lanes whose episode ended start the next one as the mode requires."""
    by_mode = {
        AutoresetMode.NEXT_STEP: _next_step,
        AutoresetMode.SAME_STEP: _same_step,
        AutoresetMode.DISABLED: _disabled,
    }
    by_mode[s.mode](s)


def _next_step(s: Subject) -> None:
    ended, reset_keys = np.zeros(s.lanes, np.bool_), s.reset_keys()
    for call in drive(s.env, s.actions, s.seed):
        _no_final_keys(call, "NEXT_STEP")
        if not call.is_step:
            continue
        for lane in np.flatnonzero(ended).tolist():
            where = f"NEXT_STEP: lane {lane} ended before {call.where}, which only resets it"
            require(call.rewards[lane] == 0, f"{where}: the reward must be 0; got {call.rewards[lane]}")
            require(not call.terminated[lane], f"{where}: terminated must be False; got True")
            require(not call.truncated[lane], f"{where}: truncated must be False; got True")
            if more := _keys_of(call.infos, lane) - reset_keys:
                raise CheckError(f"{where}: its infos must be those of reset(); got {min(more)!r} too")
        ended = call.done


def _same_step(s: Subject) -> None:
    reset_keys = s.reset_keys()
    moved = []
    for call in drive(s.env, s.actions, s.seed):
        if not call.is_step:
            continue
        for key in FINAL:
            mask = call.infos.get(f"_{key}", np.zeros(s.lanes, np.bool_))
            if not same(mask, call.done):
                rule = f"SAME_STEP: infos['_{key}'] of {call.where} must be True for the lanes that ended"
                raise CheckError(f"{rule}, {call.done}; got {mask}")
        rows = s.rows(call.observations) if call.done.any() else []
        for lane in np.flatnonzero(call.done).tolist():
            last = call.infos["final_obs"][lane]
            where = f"SAME_STEP: infos['final_obs'][{lane}] of {call.where}"
            if last not in s.env.single_observation_space:
                raise CheckError(f"{where} must be in single_observation_space; got {last!r}")
            moved.append(not same(np.asarray(last), np.asarray(rows[lane])))
            if more := _keys_of(call.infos, lane) - reset_keys - set(FINAL):
                rule = f"SAME_STEP: infos of a lane that ended, {lane} in {call.where}, must be those of reset()"
                raise CheckError(f"{rule}; got {min(more)!r} too: put the infos of the step into final_info")
    # The last observation may equal the first of the next episode by chance, but not in every episode.
    require(any(moved), "SAME_STEP: observations must be the first of the next episode; they always equal final_obs")


def _disabled(s: Subject) -> None:
    for call in drive(s.env, s.actions, s.seed):
        _no_final_keys(call, "DISABLED")
    s.env.reset(seed=s.seed)
    for actions in s.actions:
        done = Call("", *reorder(s.env.step(actions))).done.copy()
        if done.any():
            break
    rule = f"DISABLED: step() must raise while lane {np.argmax(done)} has ended and was not reset"
    try:
        s.env.step(s.actions[0])
    except Exception:
        s.env.reset(options={"reset_mask": done})
        s.env.step(s.actions[0])
    else:
        raise CheckError(f"{rule}; it did not")


def _no_final_keys(call: Call, mode: str) -> None:
    for key in FINAL:
        require(key not in call.infos, f"{mode}: infos must not have the key {key!r}; those of {call.where} do")


def _keys_of(infos: dict[str, Any], lane: int) -> set[str]:
    """Return the keys of the infos whose mask is true for a lane."""
    return {key for key in infos if f"_{key}" in infos and infos[f"_{key}"][lane]}


def check_ignored_actions(s: Subject) -> bool:
    """Check that NEXT_STEP ignores the action of a lane that is about to be reset."""
    if s.mode != AutoresetMode.NEXT_STEP:
        return False
    space = deepcopy(s.env.single_action_space)
    space.seed(s.seed + 1)
    _compare_ignored(s, space.sample, "")
    return True


def check_ignored_invalid_actions(s: Subject) -> bool:
    """Check that NEXT_STEP ignores the action of a lane that is about to be reset, even if it is invalid."""
    dtype, shape = s.env.single_action_space.dtype, s.env.single_action_space.shape
    if s.mode != AutoresetMode.NEXT_STEP or dtype is None:
        return False
    invalid = np.nan if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).min
    _compare_ignored(s, lambda: np.full(shape, invalid, dtype), ", even an invalid one")
    return True


def _compare_ignored(s: Subject, replacement: Callable[[], Any], kind: str) -> None:
    """Raise CheckError if other actions, in lanes that a step only resets, change any result.

    replacement  returns another action
    kind         end of the requirement in the error message
    """
    rule = f"NEXT_STEP: the action of a lane that is about to be reset must be ignored{kind}"
    expected = s.play()
    ended, changed = np.zeros(s.lanes, np.bool_), []
    for actions, call in zip(s.actions, expected[1:], strict=True):
        changed.append(replace_actions(s, actions, {lane: replacement() for lane in np.flatnonzero(ended).tolist()}))
        ended = call.done
    try:
        got = s.play(actions=changed)
    except Exception as error:
        raise CheckError(f"{rule}; step() raised {error!r}") from error
    expect_same(got, expected, rule, "with another action", "with the first action")


def check_reset_mask(s: Subject) -> None:
    """Check that options['reset_mask'] resets the selected lanes, and that an invalid mask changes nothing."""
    expected = s.play(actions=s.actions[:2])
    invalid_masks: list[tuple[Any, type[Exception], str]] = [
        ([True] * s.lanes, TypeError, "that is a list"),
        (np.ones(s.lanes, np.int64), TypeError, "of integers"),
        (np.ones(s.lanes + 1, np.bool_), ValueError, "of a wrong shape"),
        (np.zeros(s.lanes, np.bool_), ValueError, "without any True"),
    ]
    s.env.reset(seed=s.seed)
    for mask, error, kind in invalid_masks:
        expect_error(lambda o: s.env.reset(options=o), {"reset_mask": mask}, error, f"a reset_mask {kind}")
    first = Call("step 1", *reorder(s.env.step(s.actions[0])))
    rule = "an invalid reset_mask must change nothing"
    expect_same_call(first, expected[1], rule, "after the error", "without it")

    before, mask = s.rows(first.observations), np.arange(s.lanes) == 0
    partial = Call("a reset by reset_mask", *s.env.reset(options={"reset_mask": mask.copy()}))
    check_call(s, partial)
    check_layout(partial.infos, s.lanes, f"the infos of {partial.where}")
    for lane, row in enumerate(s.rows(partial.observations)):
        require(mask[lane] or same(row, before[lane]), f"a reset_mask must not change lane {lane}, where it is False")
    for key, value in partial.infos.items():
        if key.startswith("_") and (value & ~mask).any():
            raise CheckError(f"infos of a reset must only have lanes of reset_mask; {key!r} has others, {value}")
