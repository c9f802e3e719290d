"""Functions that run an environment, and the results of its calls."""

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

SEED_DISTANCE = 1000  # between lanes, so that environments that add the lane to the seed share no learner


class Call(NamedTuple):
    """The results of one call of reset or step. A reset has neither rewards nor flags.

    where  name of the call in error messages
    """

    where: str
    observations: Any
    infos: Any
    rewards: Any = None
    terminated: Any = None
    truncated: Any = None

    @property
    def is_step(self) -> bool:
        """True for a step, False for a reset."""
        return self.rewards is not None

    @property
    def done(self) -> Array:
        """True for lanes whose episode ended in this call, (N,)."""
        return np.asarray(self.terminated | self.truncated)


@dataclass(frozen=True)
class Subject:
    """The environment under test, with the arguments of `check_vector_env` and the actions of the steps."""

    env: Any  # a VectorEnv; the type annotations of Gymnasium do not allow a list of seeds
    make: Callable[[], AnyVectorEnv] | None
    single: Callable[[], gymnasium.Env[Any, Any]] | None
    seed: int
    actions: list[Any]  # one batch per step
    exclusive_flags: bool
    skipped: frozenset[str]

    @property
    def lanes(self) -> int:
        """Number of lanes N."""
        return int(self.env.num_envs)

    @property
    def mode(self) -> AutoresetMode:
        """The autoreset mode that the environment declares in its metadata."""
        return AutoresetMode(self.env.metadata["autoreset_mode"])

    @property
    def seeds(self) -> list[int]:
        """Different seeds, one per lane."""
        return [self.seed + SEED_DISTANCE * lane for lane in range(self.lanes)]

    def play(self, env: Any = None, *, seed: Seed = None, actions: Sequence[Any] | None = None) -> list[Call]:
        """Run the environment under test, or `env`; return copies of the results of a seeded reset and all steps."""
        calls = drive(
            self.env if env is None else env,
            self.actions if actions is None else actions,
            self.seed if seed is None else seed,
        )
        return [deepcopy(call) for call in calls]

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
    """Run an environment, and yield the results of reset and of each step, without copying them.

    seed       seed of the first reset
    reset      True to reset before the first step
    interrupt  function of the number of a step, from 1, and its Call. It returns a mask (N,) of lanes to reset after
               the step, or None

    Without autoreset, lanes whose episode ended are reset after the step.
    """
    disabled = env.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    if reset:
        yield Call(f"reset(seed={seed})", *env.reset(seed=seed))
    for number, batch in enumerate(actions, 1):
        call = Call(f"step {number}", *reorder(env.step(deepcopy(batch))))
        mask = call.done.copy() if disabled else np.zeros(env.num_envs, np.bool_)
        if interrupt is not None and (more := interrupt(number, call)) is not None:
            mask |= more
        yield call
        if mask.any():
            yield Call(f"the reset after step {number}", *env.reset(options={"reset_mask": mask}))


def reorder(returned: Any) -> tuple[Any, ...]:
    """Return the results of a step in the order of the fields of Call."""
    observations, rewards, terminated, truncated, infos = returned
    return observations, infos, rewards, terminated, truncated


def replace_actions(s: Subject, actions: Any, replacements: dict[int, Any]) -> Any:
    """Return a copy of `actions` with other actions in some lanes: `replacements` by lane."""
    space = s.env.single_action_space
    each = [replacements.get(lane, action) for lane, action in enumerate(iterate(s.env.action_space, actions))]
    empty: Any = create_empty_array(space, n=s.lanes)
    return deepcopy(concatenate(space, each, empty))


def roll_actions(s: Subject, actions: Any) -> Any:
    """Return `actions` with the action of each lane moved to the next lane."""
    each = enumerate(iterate(s.env.action_space, actions))
    return replace_actions(s, actions, {(lane + 1) % s.lanes: action for lane, action in each})
