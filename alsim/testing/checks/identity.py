"""Checks that the same is the same: by seeds, in other lanes, by pickle and spec, beside others, and as singles."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import SyncVectorEnv

from alsim.testing.comparing import (
    CheckError,
    expect_error,
    expect_same,
    expect_same_call,
    expect_same_lane,
    require,
    same,
)
from alsim.testing.driving import Array, Call, Subject, drive, roll_actions


def check_seed_lists(s: Subject) -> None:
    """A list of seeds seeds each lane; None in it lets that lane go on."""
    seeds = s.seeds
    expect_same(s.play(seed=seeds), s.play(seed=seeds), "a list of seeds gives the same", "once", "again")
    longer = [*seeds, s.seed]
    expect_error(lambda seed: s.env.reset(seed=seed), longer, ValueError, "a list of seeds of a wrong length")
    seeded = s.rows(s.env.reset(seed=seeds)[0])
    onward = s.rows(s.env.reset()[0])
    s.env.reset(seed=seeds)
    mixed = [seed if lane % 2 else None for lane, seed in enumerate(seeds)]
    for lane, row in enumerate(s.rows(s.env.reset(seed=mixed)[0])):
        if mixed[lane] is None:
            require(same(row, onward[lane]), f"None in a list of seeds lets lane {lane} go on, as reset() does")
        else:
            require(same(row, seeded[lane]), f"a seed beside None seeds lane {lane} as it does beside seeds")


def check_independent_lanes(s: Subject) -> None:
    """A lane's episodes hang on its seed and its actions, not on its place or on the other lanes."""
    if "seed_lists" not in s.skipped:
        here = [call for call in s.play(seed=s.seeds) if call.is_step]
        rolled = [roll_actions(s, actions) for actions in s.actions]
        there = [call for call in s.play(seed=[s.seeds[-1], *s.seeds[:-1]], actions=rolled) if call.is_step]
        for lane in range(s.lanes):
            other = (lane + 1) % s.lanes
            rule = f"the same seed and actions give the same in lanes {lane} and {other}"
            expect_same_lane(s, here, lane, there, other, rule)
    if "reset_mask" not in s.skipped:
        lane_0, early = np.arange(s.lanes) == 0, len(s.actions) // 3
        whole = [call for call in s.play() if call.is_step]
        driven = drive(s.env, s.actions, s.seed, interrupt=lambda number, call: lane_0 if number == early else None)
        parted = [deepcopy(call) for call in driven if call.is_step]
        for lane in range(1, s.lanes):
            rule = f"resetting lane 0 by a reset_mask leaves lane {lane} as it is"
            expect_same_lane(s, parted, lane, whole, lane, rule)


def check_pickling(s: Subject) -> None:
    """A copy by pickle goes on as the environment itself does."""
    half = len(s.actions) // 2
    s.play(actions=s.actions[:half])
    try:
        twin = pickle.loads(pickle.dumps(s.env))
    except Exception as error:
        raise CheckError(f"the environment can be pickled; {error!r}") from error
    its, mine = ([deepcopy(c) for c in drive(env, s.actions[half:], reset=False)] for env in (twin, s.env))
    expect_same(its, mine, "a pickled environment goes on with the same", "in the copy", "in the original")
    twin.close()


def check_spec(s: Subject) -> bool:
    """Gymnasium makes the same environment again from its spec, also after a journey through JSON."""
    if s.env.spec is None:
        return False
    try:
        specs = {"spec": s.env.spec, "spec.to_json()": EnvSpec.from_json(s.env.spec.to_json())}
    except Exception as error:
        raise CheckError(f"the spec goes to JSON and back; {error!r}") from error
    expected = s.play()
    for name, spec in specs.items():
        try:
            twin = gymnasium.make_vec(spec)
        except Exception as error:
            raise CheckError(f"gymnasium.make_vec makes an environment of {name}; {error!r}") from error
        for attribute in ("num_envs", "observation_space", "action_space", "metadata"):
            mine, its = getattr(s.env, attribute), getattr(twin, attribute)
            require(mine == its, f"the environment made of {name} has the same {attribute}, {mine}; got {its}")
        expect_same(s.play(twin), expected, f"the environment made of {name} gives the same", "there", "here")
        twin.close()
    return True


def check_instances(s: Subject) -> bool:
    """Environments made alike are alike, and share nothing."""
    if s.make is None:
        return False
    one, two = s.make(), s.make()
    require(one.unwrapped.metadata is not two.unwrapped.metadata, "two environments have two metadata; they share one")
    expected = s.play()
    expect_same(s.play(one), expected, "an environment made anew gives the same", "there", "here")
    disturbed, other = [], drive(two, s.actions, s.seed + 1)
    for call in drive(one, s.actions, s.seed):
        disturbed.append(deepcopy(call))
        next(other, None)
    expect_same(disturbed, expected, "stepping another environment changes nothing", "beside it", "alone")
    one.close()
    two.close()
    return True


def check_singles(s: Subject) -> bool:
    """The environment is N single ones, reset as the mode says, in all but the rest of the infos."""
    if s.single is None:
        return False
    rule = f"{s.mode.name}: the environment gives what SyncVectorEnv makes of single ones"
    singles = SyncVectorEnv([s.single] * s.lanes, autoreset_mode=s.mode)
    interrupt = None if "reset_mask" in s.skipped else _reset_some(s.lanes)
    for mine, its in zip(
        *(drive(env, s.actions, s.seeds, interrupt=interrupt) for env in (s.env, singles)), strict=True
    ):
        if its.is_step:
            its = its._replace(rewards=its.rewards.astype(mine.rewards.dtype))
        expect_same_call(mine._replace(infos=None), its._replace(infos=None), rule, "here", "there")
        for lane in np.flatnonzero(its.infos.get("_final_obs", [])):
            last, expected = mine.infos["final_obs"][lane], its.infos["final_obs"][lane]
            if not same(np.asarray(last), np.asarray(expected)):
                raise CheckError(f"{rule}: infos['final_obs'][{lane}] of {mine.where} is {last} here, {expected} there")
    singles.close()
    return True


def _reset_some(lanes: int) -> Callable[[int, Call], Array | None]:
    """After steps of even number, reset what ended, which then does not wait for the next step, and lane 0."""
    lane_0 = np.arange(lanes) == 0
    return lambda number, call: call.done | lane_0 if number % 2 == 0 and call.done.any() else None
