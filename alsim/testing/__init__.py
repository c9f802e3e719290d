"""A checker for Gymnasium's vector environments. Gymnasium's own checker supports only single environments."""

from __future__ import annotations

from collections.abc import Callable, Collection
from copy import deepcopy
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from alsim.testing.checks import autoreset, identity, protocol
from alsim.testing.comparison import CheckError, same
from alsim.testing.driver import AnyVectorEnv, Subject

# Each check may rely on the earlier ones, so the order matters.
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
"""The checks by name, in order. A check raises CheckError, or returns False if it does not apply."""


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
    """Check that a vector environment follows Gymnasium's API in the autoreset mode that it declares.

    env              environment of any class; it is stepped with random actions, and closed at the end
    make             function that returns a new environment equal to `env`; adds the check `instances`
    single           function that returns the single environment of one lane; adds the check `singles`, which
                     compares with gymnasium.vector.SyncVectorEnv under the same list of seeds
    seed             seed of the resets and the random actions
    steps            number of steps; an episode must end within them
    exclusive_flags  also check that no step both terminates and truncates
    skip             names of checks (keys of CHECKS) to leave out. Skip "fresh_arrays" for an environment that
                     reuses the arrays it returns, and "options" for Gymnasium's SyncVectorEnv, which removes
                     reset_mask from the caller's dict

    Returns the names of the checks that ran. Raises CheckError, an AssertionError, for the first check that
    fails, and ValueError for an unknown name in `skip`.
    """
    if unknown := sorted(set(skip) - set(CHECKS)):
        raise ValueError(f"skip must contain names of checks, {', '.join(CHECKS)}; got {unknown[0]!r}")
    if not isinstance(env, VectorEnv):
        raise CheckError(f"type: the environment must be a gymnasium.vector.VectorEnv; got {type(env)}")
    subject = Subject(env, make, single, seed, [], exclusive_flags, frozenset(skip))
    ran: list[str] = []
    for name, check in CHECKS.items():
        if name in skip:
            continue
        if len(ran) > 0 and not subject.actions:  # only after the check of the spaces, which may be invalid
            space = deepcopy(env.action_space)
            space.seed(seed)
            subject.actions.extend(space.sample() for _ in range(steps))
        try:
            applies = check(subject)
        except CheckError as error:
            raise CheckError(f"{name}: {error}") from error.__cause__
        except Exception as error:
            raise CheckError(f"{name}: the environment must not raise an error here; it raised {error!r}") from error
        if applies is not False:
            ran.append(name)
    return ran


__all__ = ["CHECKS", "CheckError", "check_vector_env", "same"]
