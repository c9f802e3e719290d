"""Driving an environment, and copies of what it hands out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array, iterate
from numpy.typing import NDArray

AnyVectorEnv = VectorEnv[Any, Any, Any]
Array = NDArray[Any]
Seed = int | Sequence[int | None] | None

SEED_DISTANCE = 1000  # between lanes: environments that add the lane to the seed share no learner then


class Call(NamedTuple):
    """What one call handed out; a reset has neither rewards nor flags."""

    where: str
    observations: Any
    infos: Any
    rewards: Any = None
    terminated: Any = None
    truncated: Any = None

    @property
    def is_step(self) -> bool:
        """Whether the call was a step."""
        return self.rewards is not None

    @property
    def done(self) -> Array:
        """Lanes whose episode ended in this call, (N,)."""
        return np.asarray(self.terminated | self.truncated)


@dataclass(frozen=True)
class Subject:
    """The environment under test, what it is compared with, and the actions it is driven by."""

    env: Any  # a VectorEnv: Gymnasium's own types know no list of seeds
    make: Callable[[], AnyVectorEnv] | None
    single: Callable[[], gymnasium.Env[Any, Any]] | None
    seed: int
    actions: list[Any]  # of each step, for all lanes
    exclusive_flags: bool
    skipped: frozenset[str]

    @property
    def lanes(self) -> int:
        """Number of lanes N."""
        return int(self.env.num_envs)

    @property
    def mode(self) -> AutoresetMode:
        """The mode that the environment declares."""
        return AutoresetMode(self.env.metadata["autoreset_mode"])

    @property
    def seeds(self) -> list[int]:
        """A seed for each lane."""
        return [self.seed + SEED_DISTANCE * lane for lane in range(self.lanes)]

    def play(self, env: Any = None, *, seed: Seed = None, actions: Sequence[Any] | None = None) -> list[Call]:
        """Return copies of what `env` hands out from a seeded reset on."""
        driven = drive(
            self.env if env is None else env,
            self.actions if actions is None else actions,
            self.seed if seed is None else seed,
        )
        return [deepcopy(call) for call in driven]

    def rows(self, observations: Any) -> list[Any]:
        """Return copies of each lane's observation."""
        return [deepcopy(row) for row in iterate(self.env.observation_space, observations)]

    def reset_keys(self) -> set[str]:
        """Return the keys of the infos of a reset."""
        return set(self.env.reset(seed=self.seed)[1])


def drive(
    env: Any,
    actions: Sequence[Any],
    seed: Seed = None,
    *,
    reset: bool = True,
    interrupt: Callable[[int, Call], Array | None] | None = None,
) -> Iterator[Call]:
    """Yield what reset and each step hand out, as it is, not copied.

    seed       of the first reset; with reset=False there is none
    interrupt  names lanes to reset after a step, by the step's number and its Call

    Without autoreset, lanes that ended are reset after the step.
    """
    disabled = env.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    if reset:
        yield Call(f"reset(seed={seed})", *env.reset(seed=seed))
    for number, batch in enumerate(actions, 1):
        call = Call(f"step {number}", *in_order(env.step(deepcopy(batch))))
        named = call.done.copy() if disabled else np.zeros(env.num_envs, np.bool_)
        if interrupt is not None and (more := interrupt(number, call)) is not None:
            named |= more
        yield call
        if named.any():
            yield Call(f"the reset after step {number}", *env.reset(options={"reset_mask": named}))


def in_order(returned: Any) -> tuple[Any, ...]:
    """What step returned, in a Call's order."""
    observations, rewards, terminated, truncated, infos = returned
    return observations, infos, rewards, terminated, truncated


def replace_actions(s: Subject, actions: Any, replacements: dict[int, Any]) -> Any:
    """Return `actions` with those of some lanes replaced."""
    one = s.env.single_action_space
    each = [replacements.get(lane, action) for lane, action in enumerate(iterate(s.env.action_space, actions))]
    empty: Any = create_empty_array(one, n=s.lanes)
    return deepcopy(concatenate(one, each, empty))


def roll_actions(s: Subject, actions: Any) -> Any:
    """Return `actions` with each lane's moved to the next."""
    each = enumerate(iterate(s.env.action_space, actions))
    return replace_actions(s, actions, {(lane + 1) % s.lanes: action for lane, action in each})
