"""The vector environment as Stable-Baselines3 has it: N learners behind its VecEnv."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from alsim.arguments import fresh_seed, read_learner, read_positive, read_seed
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.envs.infos import Infos
from alsim.envs.vector import AdaptiveLearningVectorEnv
from alsim.errors import AlsimError
from alsim.simulator.simulator import Simulator
from alsim.types import FIRST_HELD_OUT, Bools, Codes, Doubles, Floats, Longs, Reason
from alsim.utils.optional import require

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv
else:
    VecEnv = require("stable_baselines3.common.vec_env", "sb3", "alsim.envs.sb3").VecEnv

MICROSECOND = 6
"""Digits after the second that Stable-Baselines3 gives times with."""
WORDS = {int(reason): reason.word for reason in Reason}


def make(
    num_envs: int = 256,
    *,
    config: Config | Mapping[str, Any] | str | Path | None = None,
    bank: Bank | Mapping[str, Any] | str | Path | None = None,
    dynamics: Any = None,
    observation: str = "mastery",
    seed: int | None = None,
    first_learner: int = 0,
    held_out: bool = False,
    num_threads: int = 1,
) -> AdaptiveLearningVecEnv:
    """Return N learners as a Stable-Baselines3 VecEnv.

    num_envs       lanes N
    config, bank, dynamics, observation, num_threads   as of the environments
    seed           of the first reset; a model that is given a seed puts its own in its place
    first_learner  lane i is learner first_learner + i of the seed
    held_out       lane i is learner 2**31 + first_learner + i: for evaluation alone (clause S11.4)

    Raises ValueError or TypeError for arguments that cannot be.
    """
    lanes, first = read_positive(num_envs, "num_envs"), read_learner(first_learner, "first_learner")
    if first + lanes > FIRST_HELD_OUT:
        raise AlsimError(
            f"learners from 2**31 on are held out (held_out=True counts from there); got first_learner = {first} and "
            f"num_envs = {lanes}"
        )
    envs = Lanes(
        lanes,
        config=config,
        bank=bank,
        dynamics=dynamics,
        observation=observation,
        autoreset_mode=AutoresetMode.SAME_STEP,
        copy=False,  # Stable-Baselines3 keeps more batches than the environment has buffers: `step_wait` copies
        info="full",  # keeps what happened, mastery too, which not every observation shows
        num_threads=num_threads,
    )
    return AdaptiveLearningVecEnv(envs, first + FIRST_HELD_OUT * bool(held_out), seed)


class Left(Infos):
    """What a step left, where it lies, in place of Gymnasium's infos: most of those would be built for nobody."""

    def of(self, simulator: Simulator, reason: Codes, live: Bools, final: Floats, count: int) -> dict[str, Any]:
        """Return arrays that are good until the next step."""
        return {"reason": reason, "final": final.reshape(-1, self._width), "count": count}


class Lanes(AdaptiveLearningVectorEnv):
    """The vector environment whose infos are what a step left."""

    def __init__(self, num_envs: int, **arguments: Any) -> None:
        super().__init__(num_envs, **arguments)
        self._infos = Left(self._mode, "full", self.bank.num_los, self._simulator.width).of

    def final_mastery(self, lanes: Longs) -> Doubles:
        """Return the mean mastery of lanes after their last interaction, of the episode that ended with it."""
        return np.asarray(self._simulator.interaction.mastery_sum[lanes] / self.bank.num_los)


class Blank(dict[str, Any]):
    """The info of a lane that has nothing to tell: one for all of them, so that it cannot be written to."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("lanes whose episode goes on share one empty info: copy it before you write to it")

    __setitem__ = __ior__ = setdefault = update = _refuse


class AdaptiveLearningVecEnv(VecEnv):
    """N learners as Stable-Baselines3 takes them; `make` is how to get one.

    An episode's last step has in its info `terminal_observation`, `TimeLimit.truncated`, `episode` (return `r`,
    length `l`, seconds since the environment was made `t`), `final_mastery` and `termination_reason`; the other lanes
    share one empty info. Rewards are float32, and all arrays are the caller's.

    envs           the vector environment, under SAME_STEP
    first_learner  lane i is learner first_learner + i
    seed           of the first reset
    """

    def __init__(self, envs: Lanes, first_learner: int, seed: int | None) -> None:
        self.envs = envs
        self._learners = first_learner + np.arange(envs.num_envs)
        self._began, self._began_at = False, perf_counter()
        self._steps, self._returns = 0, np.zeros(envs.num_envs)
        self._steps_before = np.zeros(envs.num_envs, np.int64)  # each lane's episode
        self._actions: NDArray[Any] = np.zeros(0, np.int64)
        self._blank: list[dict[str, Any]] = [Blank()] * envs.num_envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        if seed is not None:
            self.seed(seed)

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Have the next reset begin the learners of this seed: lane i is learner first_learner + i.

        seed  an integer in [0, 2**64); None takes one from NumPy's global generator, as Stable-Baselines3 does

        Returns the seed, once a lane.
        """
        if seed is None:
            seed = int(np.random.randint(0, 2**32 - 1, dtype=np.uint32))  # noqa: NPY002  # the one that it seeds
        self._seeds: list[int | None] = [read_seed(seed)] * self.num_envs
        return self._seeds

    def set_options(self, options: Any = None) -> None:
        """Refuse options: a reset has none here."""
        if options and any(options if isinstance(options, list) else [options]):
            raise AlsimError(f"a reset takes no options here: seed and learners are `make`'s; got {options!r}")

    def reset(self) -> Floats:
        """Begin an episode in every lane; returns observations (N, R).

        After `seed`, the first of that seed's learners; else the next of each learner, and the first time the first
        under a seed from the operating system.
        """
        seed = self._seeds[0]
        if seed is None and not self._began:
            seed = fresh_seed()
        options = None if seed is None else {"learner": self._learners}
        observations, _ = self.envs.reset(seed=seed, options=options)
        self._reset_seeds()
        self._returns[:], self._steps_before[:] = 0, self._steps
        self.reset_infos = self._blank.copy()
        self._began = True
        return observations.copy()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Note the actions (N,) of the next `step_wait`."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[Floats, Floats, Bools, list[dict[str, Any]]]:
        """Take every lane one interaction further.

        Returns observations (N, R), rewards (N,) float32, dones (N,) bool, and an info for each lane.
        """
        observations, rewards, _, _, told = self.envs.step(self._actions)
        self._steps += 1
        self._returns += rewards
        infos = self._blank.copy()
        if told["count"]:
            self._tell(infos, told["reason"], told["final"])
        return observations.copy(), rewards.astype(np.float32), told["reason"] != 0, infos

    def _tell(self, infos: list[dict[str, Any]], reason: Codes, final: Floats) -> None:
        """Put into `infos` what there is to tell of the episodes that ended, and begin to count anew."""
        lanes = np.flatnonzero(reason)
        seconds = round(perf_counter() - self._began_at, MICROSECOND)
        lengths = self._steps - self._steps_before[lanes]
        for lane, row, code, earned, length, mastery in zip(
            lanes.tolist(),
            final[lanes],
            reason[lanes].tolist(),
            self._returns[lanes].tolist(),
            lengths.tolist(),
            self.envs.final_mastery(lanes).tolist(),
            strict=True,
        ):
            infos[lane] = {
                "terminal_observation": row,
                "TimeLimit.truncated": code == Reason.STEP_LIMIT,
                "episode": {"r": earned, "l": length, "t": seconds},
                "final_mastery": mastery,
                "termination_reason": WORDS[code],
            }
        self._returns[lanes], self._steps_before[lanes] = 0, self._steps

    def close(self) -> None:
        """End the threads."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the vector environment, once for each index."""
        return [getattr(self.envs, attr_name)] * len(self._get_indices(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the vector environment: one for all lanes."""
        self._refuse_some(f"the attribute {attr_name!r}", indices)
        setattr(self.envs, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Call a method of the vector environment, which is for all lanes; returns its result once a lane."""
        self._refuse_some(f"the method {method_name!r}", indices)
        return [getattr(self.envs, method_name)(*method_args, **method_kwargs)] * self.num_envs

    def _refuse_some(self, what: str, indices: Any) -> None:
        """Raise AlsimError unless `indices` are all lanes."""
        if {*self._get_indices(indices)} != {*range(self.num_envs)}:
            raise AlsimError(f"{what} is of all {self.num_envs} lanes: they are one environment; got {indices!r}")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Return False for each index: no lane has a wrapper of its own."""
        return [False] * len(self._get_indices(indices))
