"""Checks of how lanes begin anew: by the autoreset mode, and by options['reset_mask']."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from alsim.testing.calls import sound_call, sound_infos
from alsim.testing.comparing import CheckError, expect_error, expect_same, expect_same_call, require, same
from alsim.testing.driving import Call, Subject, drive, in_order, replace_actions

FINAL = ("final_obs", "final_info")


def check_autoreset(s: Subject) -> None:
    """Lanes whose episode ended begin the next one as the mode says."""
    by_mode = {
        AutoresetMode.NEXT_STEP: _next_step,
        AutoresetMode.SAME_STEP: _same_step,
        AutoresetMode.DISABLED: _disabled,
    }
    by_mode[s.mode](s)


def _next_step(s: Subject) -> None:
    ended, begins = np.zeros(s.lanes, np.bool_), s.reset_keys()
    for call in drive(s.env, s.actions, s.seed):
        _no_final_keys(call, "NEXT_STEP")
        if not call.is_step:
            continue
        for lane in np.flatnonzero(ended).tolist():
            where = f"NEXT_STEP: lane {lane} ended before {call.where}, which only resets it"
            require(call.rewards[lane] == 0, f"{where}: the reward is 0; got {call.rewards[lane]}")
            require(not call.terminated[lane], f"{where}: terminated is False; got True")
            require(not call.truncated[lane], f"{where}: truncated is False; got True")
            if more := _keys_of(call.infos, lane) - begins:
                raise CheckError(f"{where}: its infos are those of reset(); there is {min(more)!r} too")
        ended = call.done


def _same_step(s: Subject) -> None:
    begins = s.reset_keys()
    moved = []
    for call in drive(s.env, s.actions, s.seed):
        if not call.is_step:
            continue
        for key in FINAL:
            mask = call.infos.get(f"_{key}", np.zeros(s.lanes, np.bool_))
            if not same(mask, call.done):
                raise CheckError(f"SAME_STEP: infos['_{key}'] of {call.where} is what ended, {call.done}; got {mask}")
        rows = s.rows(call.observations) if call.done.any() else []
        for lane in np.flatnonzero(call.done).tolist():
            last = call.infos["final_obs"][lane]
            where = f"SAME_STEP: infos['final_obs'][{lane}] of {call.where}"
            if last not in s.env.single_observation_space:
                raise CheckError(f"{where} is in single_observation_space; got {last!r}")
            moved.append(not same(np.asarray(last), np.asarray(rows[lane])))
            if more := _keys_of(call.infos, lane) - begins - set(FINAL):
                rule = f"SAME_STEP: infos of a lane that ended, {lane} in {call.where}, are those of reset()"
                raise CheckError(f"{rule}, and the step's are in final_info; there is {min(more)!r} too")
    # One episode may end as the next begins; all of them, nobody would believe.
    require(any(moved), "SAME_STEP: observations are the first of the next episode; they are always final_obs too")


def _disabled(s: Subject) -> None:
    for call in drive(s.env, s.actions, s.seed):
        _no_final_keys(call, "DISABLED")
    s.env.reset(seed=s.seed)
    for actions in s.actions:
        done = Call("", *in_order(s.env.step(actions))).done.copy()
        if done.any():
            break
    rule = f"DISABLED: a step raises while lane {np.argmax(done)} has ended and was not reset"
    try:
        s.env.step(s.actions[0])
    except Exception:
        s.env.reset(options={"reset_mask": done})
        s.env.step(s.actions[0])
    else:
        raise CheckError(f"{rule}; it did not")


def _no_final_keys(call: Call, mode: str) -> None:
    for key in FINAL:
        require(key not in call.infos, f"{mode}: infos hold no {key!r}, a key of SAME_STEP; those of {call.where} do")


def _keys_of(infos: dict[str, Any], lane: int) -> set[str]:
    """Keys that the infos hold for a lane."""
    return {key for key in infos if f"_{key}" in infos and infos[f"_{key}"][lane]}


def check_ignored_actions(s: Subject) -> bool:
    """NEXT_STEP: the action of a lane that is about to be reset changes nothing."""
    if s.mode != AutoresetMode.NEXT_STEP:
        return False
    others = deepcopy(s.env.single_action_space)
    others.seed(s.seed + 1)
    _compare_ignored(s, others.sample, "")
    return True


def check_ignored_invalid_actions(s: Subject) -> bool:
    """NEXT_STEP: nor does it where it is invalid."""
    dtype, shape = s.env.single_action_space.dtype, s.env.single_action_space.shape
    if s.mode != AutoresetMode.NEXT_STEP or dtype is None:
        return False
    invalid = np.nan if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).min
    _compare_ignored(s, lambda: np.full(shape, invalid, dtype), ", even an invalid one")
    return True


def _compare_ignored(s: Subject, replacement: Callable[[], Any], kind: str) -> None:
    """Play again with other actions in the lanes that are only reset."""
    rule = f"NEXT_STEP: the action of a lane that is about to be reset is ignored{kind}"
    expected = s.play()
    ended, changed = np.zeros(s.lanes, np.bool_), []
    for actions, call in zip(s.actions, expected[1:], strict=True):
        changed.append(replace_actions(s, actions, {lane: replacement() for lane in np.flatnonzero(ended).tolist()}))
        ended = call.done
    try:
        got = s.play(actions=changed)
    except Exception as error:
        raise CheckError(f"{rule}; step() raised {error!r}") from error
    expect_same(got, expected, rule, "with another", "with the first")


def check_reset_mask(s: Subject) -> None:
    """options['reset_mask'] resets the lanes that it names; one that cannot be is refused, and changes nothing."""
    expected = s.play(actions=s.actions[:2])
    wrong: list[tuple[Any, type[Exception], str]] = [
        ([True] * s.lanes, TypeError, "that is a list"),
        (np.ones(s.lanes, np.int64), TypeError, "of integers"),
        (np.ones(s.lanes + 1, np.bool_), ValueError, "of a wrong shape"),
        (np.zeros(s.lanes, np.bool_), ValueError, "that names no lane"),
    ]
    s.env.reset(seed=s.seed)
    for refused, error, words in wrong:
        expect_error(lambda o: s.env.reset(options=o), {"reset_mask": refused}, error, f"a reset_mask {words}")
    first = Call("step 1", *in_order(s.env.step(s.actions[0])))
    expect_same_call(first, expected[1], "a refused reset_mask changes nothing", "after it", "without it")

    before, mask = s.rows(first.observations), np.arange(s.lanes) == 0
    partial = Call("a reset by reset_mask", *s.env.reset(options={"reset_mask": mask.copy()}))
    sound_call(s, partial)
    sound_infos(partial.infos, s.lanes, f"the infos of {partial.where}")
    for lane, row in enumerate(s.rows(partial.observations)):
        require(mask[lane] or same(row, before[lane]), f"a reset_mask leaves lane {lane}, not named in it, as it is")
    for key, value in partial.infos.items():
        if key.startswith("_") and (value & ~mask).any():
            raise CheckError(f"infos of a reset are of the lanes that reset_mask names; {key!r} has others, {value}")
