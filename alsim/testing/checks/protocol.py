"""Checks of spaces, metadata, and arguments and results of reset, step and close."""

from __future__ import annotations

from copy import deepcopy
from itertools import combinations
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from alsim.testing.calls import check_call, check_layout
from alsim.testing.comparison import CheckError, arrays_in, expect_same, expect_same_call, overwrite, require, same
from alsim.testing.driver import Array, Call, Seed, Subject, drive


def check_spaces(s: Subject) -> None:
    """Check that num_envs and the spaces are valid, and that batched spaces are batches of N single spaces."""
    n = s.env.num_envs
    require(isinstance(n, int) and n >= 1, f"num_envs must be a Python integer of at least 1; got {n!r}")
    for kind in ("observation", "action"):
        one, many = (getattr(s.env, f"{prefix}{kind}_space", None) for prefix in ("single_", ""))
        for name, space in ((f"single_{kind}_space", one), (f"{kind}_space", many)):
            require(isinstance(space, gymnasium.Space), f"{name} must be a gymnasium.Space; got {space!r}")
        batched: Any = batch_space(one, n)  # type: ignore[arg-type]
        require(many == batched, f"{kind}_space must be batch_space(single_{kind}_space, {n}) = {batched}; got {many}")


def check_metadata(s: Subject) -> None:
    """Check that the metadata belong to the instance and declare the autoreset mode."""
    metadata, base = s.env.metadata, s.env.unwrapped
    mode = metadata.get("autoreset_mode")
    require(isinstance(mode, AutoresetMode), f"metadata['autoreset_mode'] must be an AutoresetMode; got {mode!r}")
    require(
        all(base.metadata is not vars(kind).get("metadata") for kind in type(base).__mro__),
        f"metadata must belong to the instance; all instances of {type(base).__name__} share those of their class",
    )
    declared = getattr(base, "autoreset_mode", mode)
    require(declared == mode, f"env.autoreset_mode must equal metadata['autoreset_mode'], {mode}; got {declared!r}")


def check_reset(s: Subject) -> None:
    """Check that reset without arguments returns observations in the space, and infos."""
    returned = s.env.reset()
    two = isinstance(returned, tuple) and len(returned) == 2
    require(two, f"reset() must return a tuple (observations, infos); got {_kind(returned)}")
    check_call(s, Call("reset()", *returned))


def check_steps(s: Subject) -> None:
    """Check that every step returns five values of the right types, and that episodes end."""
    s.env.reset(seed=s.seed)
    returned = s.env.step(s.actions[0])
    five = isinstance(returned, tuple) and len(returned) == 5
    values = "observations, rewards, terminated, truncated, infos"
    require(five, f"step() must return a tuple ({values}); got {_kind(returned)}")
    ended = False
    for call in drive(s.env, s.actions, s.seed):
        check_call(s, call)
        ended |= call.is_step and bool(call.done.any())
    require(ended, f"an episode must end in {len(s.actions)} steps of random actions; none did: pass a larger `steps`")


def _kind(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, tuple) else repr(type(value))


def check_infos(s: Subject) -> None:
    """Check that each key of the infos has an array (N, ...) or a dict of such arrays, and a mask (N,)."""
    for call in drive(s.env, s.actions, s.seed):
        check_layout(call.infos, s.lanes, f"the infos of {call.where}")


def check_episode_key(s: Subject) -> None:
    """Check that infos do not use the key `episode`, which is reserved for RecordEpisodeStatistics."""
    for call in drive(s.env, s.actions, s.seed):
        absent = "episode" not in call.infos and "_episode" not in call.infos
        require(absent, f"infos must leave the key 'episode' to RecordEpisodeStatistics; those of {call.where} have it")


def check_determinism(s: Subject) -> None:
    """Check that equal seeds and actions give equal results, also after another reset without a seed."""
    rule = "the same seed and actions must give the same results"
    expect_same(s.play(), s.play(), rule, "the first time", "the second time")
    later = []
    for _ in range(2):
        s.env.reset(seed=s.seed)
        later.append(deepcopy(s.env.reset()[0]))
    rule = f"reset() after reset(seed={s.seed}) must give the same observations each time"
    require(same(*later), f"{rule}; it does not")


def check_np_random(s: Subject) -> None:
    """Check that np_random is a generator or a tuple of them, and that reset seeds it by a seed or a list of seeds."""
    rule = f"np_random must be the same after each reset(seed={s.seed})"
    require(same(*(_random_states(s, s.seed) for _ in range(2))), f"{rule}; it is not: call super().reset(seed=seed)")
    if "seed_lists" in s.skipped or not _takes_lists(s):
        return
    states = []
    for before in (s.seed, s.seed + 1):
        s.env.reset(seed=before)
        states.append(_random_states(s, s.seeds))
    rule = "np_random must be the same after each reset with the same list of seeds"
    require(same(*states), f"{rule}; it is not: seed it by the list, for example super().reset(seed=seed[0])")


def _random_states(s: Subject, seed: Seed) -> list[Any]:
    """Return the state of each generator of np_random after a reset with a seed. Raises CheckError for other types."""
    s.env.reset(seed=seed)
    np_random = s.env.np_random
    generators = np_random if isinstance(np_random, tuple) else (np_random,)
    for generator in generators:
        require(
            isinstance(generator, np.random.Generator),
            f"np_random must be a numpy.random.Generator or a tuple of them; got {generator!r}",
        )
    return [deepcopy(generator.bit_generator.state) for generator in generators]


def _takes_lists(s: Subject) -> bool:
    """Return whether reset accepts a list of seeds; if it does not, the check `seed_lists` reports it."""
    try:
        s.env.reset(seed=s.seeds)
    except Exception:
        return False
    return True


def check_fresh_arrays(s: Subject) -> None:
    """Check that returned arrays belong to the caller: they do not change later, and changing them has no effect."""
    rule = "writing to arrays of earlier calls must change nothing"
    recent: list[tuple[Call, list[tuple[str, Array]]]] = []
    expected = s.play()
    for call, clean in zip(drive(s.env, s.actions, s.seed), expected, strict=True):
        arrays = arrays_in(call)
        for (name, one), (other, two) in combinations(arrays, 2):
            require(not np.may_share_memory(one, two), f"{name} and {other} of {call.where} must not share memory")
        for before, earlier in recent:
            require(
                call.infos is not before.infos, f"{before.where} and {call.where} must not return the same info dict"
            )
            for name, one in earlier:
                for other, two in arrays:
                    if np.may_share_memory(one, two):
                        raise CheckError(f"{name} of {before.where} and {other} of {call.where} must not share memory")
        expect_same_call(call, clean, rule, "after writing", "without writing")
        overwrite(call, arrays)
        recent = [*recent[-2:], (call, arrays)]


def check_actions_kept(s: Subject) -> None:
    """Check that a step does not write to the caller's actions."""
    actions = deepcopy(s.actions[0])
    s.env.reset(seed=s.seed)
    s.env.step(actions)
    require(same(actions, s.actions[0]), "step() must not write to the caller's actions; it did")


def check_options(s: Subject) -> None:
    """Check that reset does not change the caller's options."""
    mask = {} if "reset_mask" in s.skipped else {"reset_mask": np.ones(s.lanes, np.bool_)}
    for options in ({}, mask):
        passed = deepcopy(options)
        s.env.reset(options=passed)
        if not same(passed, options):
            raise CheckError(f"reset() must not change the caller's options, {options}; it changed them to {passed}")


def check_close(s: Subject) -> None:
    """Check that the environment can be closed twice."""
    s.env.close()
    require(s.env.closed, "env.closed must be True after close(); it is False: override close_extras, not close")
    try:
        s.env.close()
    except Exception as error:
        raise CheckError(f"a second close() must do nothing; it raised {error!r}") from error
