"""Checks of reproducibility: with seeds, in other lanes, after pickling, from specs, and with single environments."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import SyncVectorEnv

from alsim.testing.comparison import (
    CheckError,
    expect_error,
    expect_same,
    expect_same_call,
    expect_same_lane,
    require,
    same,
)
from alsim.testing.driver import Array, Call, Subject, drive, roll_actions


def check_seed_lists(s: Subject) -> None:
    """Check that a list has the seed of each lane, and that None in it starts the next episode of its lane."""
    seeds = s.seeds
    expect_same(
        s.play(seed=seeds),
        s.play(seed=seeds),
        "a list of seeds must give the same results",
        "the first time",
        "the second time",
    )
    longer = [*seeds, s.seed]
    expect_error(lambda seed: s.env.reset(seed=seed), longer, ValueError, "a list of seeds of a wrong length")
    seeded = s.rows(s.env.reset(seed=seeds)[0])
    later = s.rows(s.env.reset()[0])
    s.env.reset(seed=seeds)
    mixed = [seed if lane % 2 else None for lane, seed in enumerate(seeds)]
    for lane, row in enumerate(s.rows(s.env.reset(seed=mixed)[0])):
        if mixed[lane] is None:
            rule = f"None in a list of seeds must start the next episode in lane {lane}, as reset() does"
            require(same(row, later[lane]), rule)
        else:
            rule = f"a list of seeds with None must seed lane {lane} as a list without None does"
            require(same(row, seeded[lane]), rule)


def check_independent_lanes(s: Subject) -> None:
    """Check that episodes depend only on seed and actions of their lane, not on its index or on other lanes."""
    if "seed_lists" not in s.skipped:
        original = [call for call in s.play(seed=s.seeds) if call.is_step]
        rolled = [roll_actions(s, actions) for actions in s.actions]
        moved = [call for call in s.play(seed=[s.seeds[-1], *s.seeds[:-1]], actions=rolled) if call.is_step]
        for lane in range(s.lanes):
            other = (lane + 1) % s.lanes
            rule = f"the same seed and actions must give the same results in lanes {lane} and {other}"
            expect_same_lane(s, original, lane, moved, other, rule)
    if "reset_mask" not in s.skipped:
        lane_0, early = np.arange(s.lanes) == 0, len(s.actions) // 3
        undisturbed = [call for call in s.play() if call.is_step]
        driven = drive(s.env, s.actions, s.seed, interrupt=lambda number, call: lane_0 if number == early else None)
        disturbed = [deepcopy(call) for call in driven if call.is_step]
        for lane in range(1, s.lanes):
            rule = f"resetting lane 0 by a reset_mask must not change lane {lane}"
            expect_same_lane(s, disturbed, lane, undisturbed, lane, rule)


def check_pickling(s: Subject) -> None:
    """Check that an unpickled copy continues with the same results as the environment itself."""
    half = len(s.actions) // 2
    s.play(actions=s.actions[:half])
    try:
        twin = pickle.loads(pickle.dumps(s.env))
    except Exception as error:
        raise CheckError(f"the environment must be picklable; it raised {error!r}") from error
    copied, original = ([deepcopy(c) for c in drive(env, s.actions[half:], reset=False)] for env in (twin, s.env))
    rule = "a pickled environment must continue with the same results"
    expect_same(copied, original, rule, "in the copy", "in the original")
    twin.close()


def check_spec(s: Subject) -> bool:
    """Check that Gymnasium creates the same environment from its spec, also after conversion to JSON and back."""
    if s.env.spec is None:
        return False
    try:
        specs = {"spec": s.env.spec, "spec.to_json()": EnvSpec.from_json(s.env.spec.to_json())}
    except Exception as error:
        raise CheckError(f"the spec must be convertible to JSON and back; it raised {error!r}") from error
    expected = s.play()
    for name, spec in specs.items():
        try:
            twin = gymnasium.make_vec(spec)
        except Exception as error:
            raise CheckError(
                f"gymnasium.make_vec must create an environment from {name}; it raised {error!r}"
            ) from error
        for attribute in ("num_envs", "observation_space", "action_space", "metadata"):
            mine, theirs = getattr(s.env, attribute), getattr(twin, attribute)
            require(mine == theirs, f"the environment from {name} must have the same {attribute}, {mine}; got {theirs}")
        rule = f"the environment from {name} must give the same results"
        expect_same(s.play(twin), expected, rule, "in the new one", "in the original")
        twin.close()
    return True


def check_instances(s: Subject) -> bool:
    """Check that environments from `make` give the same results, and share no state."""
    if s.make is None:
        return False
    one, two = s.make(), s.make()
    require(
        one.unwrapped.metadata is not two.unwrapped.metadata,
        "two environments must not share one metadata dict; they do",
    )
    expected = s.play()
    expect_same(s.play(one), expected, "another instance must give the same results", "in the other", "in the original")
    disturbed, other = [], drive(two, s.actions, s.seed + 1)
    for call in drive(one, s.actions, s.seed):
        disturbed.append(deepcopy(call))
        next(other, None)
    expect_same(disturbed, expected, "stepping another instance must change nothing", "with it", "without it")
    one.close()
    two.close()
    return True


def check_singles(s: Subject) -> bool:
    """Check that results equal those of SyncVectorEnv with N single environments. Of the infos, compare final_obs."""
    if s.single is None:
        return False
    rule = f"{s.mode.name}: the environment must give the same results as SyncVectorEnv of single environments"
    singles = SyncVectorEnv([s.single] * s.lanes, autoreset_mode=s.mode)
    interrupt = None if "reset_mask" in s.skipped else _reset_some(s.lanes)
    for mine, theirs in zip(
        *(drive(env, s.actions, s.seeds, interrupt=interrupt) for env in (s.env, singles)), strict=True
    ):
        if theirs.is_step:
            theirs = theirs._replace(rewards=theirs.rewards.astype(mine.rewards.dtype))
        expect_same_call(
            mine._replace(infos=None), theirs._replace(infos=None), rule, "in the environment", "in SyncVectorEnv"
        )
        for lane in np.flatnonzero(theirs.infos.get("_final_obs", [])):
            last, expected = mine.infos["final_obs"][lane], theirs.infos["final_obs"][lane]
            if not same(np.asarray(last), np.asarray(expected)):
                raise CheckError(
                    f"{rule}; infos['final_obs'][{lane}] of {mine.where} are {last} in the environment, "
                    f"{expected} in SyncVectorEnv"
                )
    singles.close()
    return True


def _reset_some(lanes: int) -> Callable[[int, Call], Array | None]:
    """Return an `interrupt` for `drive`: in even steps with ended episodes, it selects their lanes and lane 0."""
    lane_0 = np.arange(lanes) == 0
    return lambda number, call: call.done | lane_0 if number % 2 == 0 and call.done.any() else None
