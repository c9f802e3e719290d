"""Checks of spaces, metadata and what reset, step and close take and return."""

from __future__ import annotations

from copy import deepcopy
from itertools import combinations
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from alsim.testing.calls import sound_call, sound_infos
from alsim.testing.comparing import CheckError, expect_same, expect_same_call, leaves_of, require, same, scribble
from alsim.testing.driving import Array, Call, Seed, Subject, drive


def check_spaces(s: Subject) -> None:
    """Spaces are there, and the batched ones are those of N single ones."""
    n = s.env.num_envs
    require(isinstance(n, int) and n >= 1, f"num_envs is a Python integer of at least 1; got {n!r}")
    for kind in ("observation", "action"):
        one, many = (getattr(s.env, f"{prefix}{kind}_space", None) for prefix in ("single_", ""))
        for name, space in ((f"single_{kind}_space", one), (f"{kind}_space", many)):
            require(isinstance(space, gymnasium.Space), f"{name} is a gymnasium.Space; got {space!r}")
        batched: Any = batch_space(one, n)  # type: ignore[arg-type]
        require(many == batched, f"{kind}_space is batch_space(single_{kind}_space, {n}) = {batched}; got {many}")


def check_metadata(s: Subject) -> None:
    """The metadata are the instance's own, and declare the autoreset mode."""
    metadata, base = s.env.metadata, s.env.unwrapped
    mode = metadata.get("autoreset_mode")
    require(isinstance(mode, AutoresetMode), f"metadata['autoreset_mode'] is an AutoresetMode; got {mode!r}")
    require(
        all(base.metadata is not vars(kind).get("metadata") for kind in type(base).__mro__),
        f"metadata belong to the instance; those of {type(base).__name__} are its class's, which all instances share",
    )
    declared = getattr(base, "autoreset_mode", mode)
    require(declared == mode, f"env.autoreset_mode is metadata['autoreset_mode'], {mode}; got {declared!r}")


def check_reset(s: Subject) -> None:
    """Without a seed or options, reset returns observations in the space, and an info."""
    returned = s.env.reset()
    two = isinstance(returned, tuple) and len(returned) == 2
    require(two, f"reset() returns a tuple (observations, infos); got {_kind(returned)}")
    sound_call(s, Call("reset()", *returned))


def check_steps(s: Subject) -> None:
    """Every step returns five values of the right kinds, and episodes end."""
    s.env.reset(seed=s.seed)
    returned = s.env.step(s.actions[0])
    five = isinstance(returned, tuple) and len(returned) == 5
    require(
        five, f"step() returns a tuple of observations, rewards, terminated, truncated, infos; got {_kind(returned)}"
    )
    ended = False
    for call in drive(s.env, s.actions, s.seed):
        sound_call(s, call)
        ended |= call.is_step and bool(call.done.any())
    require(ended, f"an episode ends in {len(s.actions)} steps of random actions; none did: give more `steps`")


def _kind(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, tuple) else repr(type(value))


def check_infos(s: Subject) -> None:
    """Infos hold an array (N, ...) for each key, or again a dict of them, beside a mask (N,)."""
    for call in drive(s.env, s.actions, s.seed):
        sound_infos(call.infos, s.lanes, f"the infos of {call.where}")


def check_episode_key(s: Subject) -> None:
    """The key `episode` is left to RecordEpisodeStatistics, which refuses infos that hold it."""
    for call in drive(s.env, s.actions, s.seed):
        absent = "episode" not in call.infos and "_episode" not in call.infos
        require(absent, f"infos leave the key 'episode' to RecordEpisodeStatistics; those of {call.where} hold it")


def check_determinism(s: Subject) -> None:
    """The same seed and actions give the same bits; a reset without a seed goes on from there."""
    expect_same(s.play(), s.play(), "the same seed and actions give the same", "once", "again")
    onward = []
    for _ in range(2):
        s.env.reset(seed=s.seed)
        onward.append(deepcopy(s.env.reset()[0]))
    require(same(*onward), f"reset() after reset(seed={s.seed}) goes on from there, to the same observations each time")


def check_np_random(s: Subject) -> None:
    """np_random is one generator or one a lane, and is seeded by reset, also by a list of seeds."""
    rule = f"np_random is the same after each reset(seed={s.seed}), by super().reset(seed=seed)"
    require(same(*(_random_states(s, s.seed) for _ in range(2))), f"{rule}; it is not")
    if "seed_lists" in s.skipped or not _takes_lists(s):
        return
    states = []
    for before in (s.seed, s.seed + 1):
        s.env.reset(seed=before)
        states.append(_random_states(s, s.seeds))
    rule = "np_random is the same after each reset with the same list of seeds, whatever was before"
    require(same(*states), f"{rule}; it is not: seed it by the list, as super().reset(seed=seed[0]) does")


def _random_states(s: Subject, seed: Seed) -> list[Any]:
    """The state of each generator of np_random after a reset."""
    s.env.reset(seed=seed)
    held = s.env.np_random
    generators = held if isinstance(held, tuple) else (held,)
    for generator in generators:
        require(isinstance(generator, np.random.Generator), f"np_random is of generators; got {generator!r}")
    return [deepcopy(generator.bit_generator.state) for generator in generators]


def _takes_lists(s: Subject) -> bool:
    """Whether reset takes a list of seeds; where it raises, the check `seed_lists` says so."""
    try:
        s.env.reset(seed=s.seeds)
    except Exception:
        return False
    return True


def check_fresh_arrays(s: Subject) -> None:
    """What a call returns is the caller's: no later call writes to it, and writing to it changes nothing."""
    rule = "writing to what earlier calls returned changes nothing"
    recent: list[tuple[Call, list[tuple[str, Array]]]] = []
    expected = s.play()
    for call, clean in zip(drive(s.env, s.actions, s.seed), expected, strict=True):
        leaves = leaves_of(call)
        for (name, one), (other, two) in combinations(leaves, 2):
            require(not np.may_share_memory(one, two), f"{name} and {other} of {call.where} share memory")
        for before, earlier in recent:
            require(call.infos is not before.infos, f"{before.where} and {call.where} return the same info dict")
            for name, one in earlier:
                for other, two in leaves:
                    if np.may_share_memory(one, two):
                        raise CheckError(f"{name} of {before.where} and {other} of {call.where} share memory")
        expect_same_call(call, clean, rule, "after it", "without it")
        scribble(call, leaves)
        recent = [*recent[-2:], (call, leaves)]


def check_actions_kept(s: Subject) -> None:
    """A step does not write to the actions that it is given."""
    given = deepcopy(s.actions[0])
    s.env.reset(seed=s.seed)
    s.env.step(given)
    require(same(given, s.actions[0]), "step() leaves the caller's actions as they are; it wrote to them")


def check_options(s: Subject) -> None:
    """Reset does not change the options that it is given."""
    mask = {} if "reset_mask" in s.skipped else {"reset_mask": np.ones(s.lanes, np.bool_)}
    for options in ({}, mask):
        given = deepcopy(options)
        s.env.reset(options=given)
        if not same(given, options):
            raise CheckError(f"reset() leaves the caller's options as they are, {options}; it made them {given}")


def check_close(s: Subject) -> None:
    """The environment can be closed, and once more."""
    s.env.close()
    require(s.env.closed, "env.closed is True after close(); it is False: override close_extras, not close")
    try:
        s.env.close()
    except Exception as error:
        raise CheckError(f"a second close() does nothing; it raised {error!r}") from error
