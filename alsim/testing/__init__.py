"""A checker for Gymnasium's vector environments, which Gymnasium itself has for single ones only."""

from __future__ import annotations

from collections.abc import Callable, Collection
from copy import deepcopy
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from alsim.testing.checks import autoreset, identity, protocol
from alsim.testing.comparing import CheckError, same
from alsim.testing.driving import AnyVectorEnv, Subject

# In the order in which they run: what a later one relies on, an earlier one has seen.
_IN_ORDER: tuple[Callable[[Subject], bool | None], ...] = (
    protocol.check_spaces,
    protocol.check_metadata,
    protocol.check_reset,
    protocol.check_steps,
    protocol.check_infos,
    protocol.check_episode_key,
    protocol.check_determinism,
    protocol.check_np_random,
    protocol.check_fresh_arrays,
    protocol.check_actions_kept,
    autoreset.check_autoreset,
    autoreset.check_ignored_actions,
    autoreset.check_ignored_invalid_actions,
    autoreset.check_reset_mask,
    protocol.check_options,
    identity.check_seed_lists,
    identity.check_independent_lanes,
    identity.check_pickling,
    identity.check_spec,
    identity.check_instances,
    identity.check_singles,
    protocol.check_close,
)

CHECKS = {check.__name__.removeprefix("check_"): check for check in _IN_ORDER}
"""Every check by its name, in order. It raises CheckError, or returns False where there is nothing to check."""


def check_vector_env(
    env: AnyVectorEnv,
    *,
    make: Callable[[], AnyVectorEnv] | None = None,
    single: Callable[[], gymnasium.Env[Any, Any]] | None = None,
    seed: int = 123,
    steps: int = 300,
    exclusive_flags: bool = False,
    skip: Collection[str] = (),
) -> list[str]:
    """Check that a vector environment follows Gymnasium's API, in the autoreset mode that it declares.

    env              of any class; it is driven by random actions, and closed at the end
    make             makes another one just like it: adds the check `instances`
    single           makes the single environment that a lane is: adds the check `singles`, against
                     gymnasium.vector.SyncVectorEnv under the same list of seeds
    seed             of the resets and the random actions
    steps            how long it is driven; an episode must end in that time
    exclusive_flags  the environment promises that no step both terminates and truncates
    skip             names of checks (keys of CHECKS) that are left out: the environment does not promise
                     what they check. One that hands out its own arrays skips "fresh_arrays"; Gymnasium's
                     SyncVectorEnv skips "options", since it takes reset_mask out of the caller's dict

    Returns the names of the checks that ran. Raises CheckError, an AssertionError, for the first that
    fails, and ValueError for a name that is no check.
    """
    if unknown := sorted(set(skip) - set(CHECKS)):
        raise ValueError(f"skip holds names of checks, {', '.join(CHECKS)}; got {unknown[0]!r}")
    if not isinstance(env, VectorEnv):
        raise CheckError(f"type: the environment is a gymnasium.vector.VectorEnv; got {type(env)}")
    subject = Subject(env, make, single, seed, [], exclusive_flags, frozenset(skip))
    ran: list[str] = []
    for name, check in CHECKS.items():
        if name in skip:
            continue
        if len(ran) > 0 and not subject.actions:  # the spaces are sound by now
            space = deepcopy(env.action_space)
            space.seed(seed)
            subject.actions.extend(space.sample() for _ in range(steps))
        try:
            applies = check(subject)
        except CheckError as error:
            raise CheckError(f"{name}: {error}") from error.__cause__
        except Exception as error:
            raise CheckError(f"{name}: the environment does what is asked of it; it raised {error!r}") from error
        if applies is not False:
            ran.append(name)
    return ran


__all__ = ["CHECKS", "CheckError", "check_vector_env", "same"]
