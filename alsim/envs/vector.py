"""The vector environment: N learners behind Gymnasium's VectorEnv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from alsim import lockstep
from alsim.bank import Bank
from alsim.config import Config
from alsim.errors import AlsimError, InputTypeError
from alsim.outputs import Outputs
from alsim.rim import (
    fresh_seed,
    read_learner,
    read_observation,
    read_options,
    read_positive,
    read_rules,
    read_seed,
)
from alsim.simulator import MOST_LEARNERS, Simulator
from alsim.types import Bools, Codes, Floats, Keys, Longs

INT64 = np.dtype(np.int64)
"""NumPy has one object for it, in the machine's byte order."""

Info = Literal["none", "minimal", "full"]
INFOS: tuple[Info, ...] = ("none", "minimal", "full")

MODES = {
    AutoresetMode.NEXT_STEP: lockstep.NEXT_STEP,
    AutoresetMode.SAME_STEP: lockstep.SAME_STEP,
    AutoresetMode.DISABLED: lockstep.DISABLED,
}


BEFORE_THE_FIRST = np.uint32(2**32 - 1)
"""Episode of a learner that none has begun for: the next is 0."""


class AdaptiveLearningVectorEnv(VectorEnv[Any, Any, Any]):
    """N simulated learners, stepped in lockstep.

    num_envs        lanes N
    config          Config, mapping or TOML file; None is the specification
    bank            Bank, mapping of rows, or directory of tables; None is drawn from the configuration
    dynamics        name or parameters of a registered dynamics, in place of the configuration's
    observation     "mastery" (clause S8.1) or "responses" (S8.2)
    autoreset_mode  gymnasium.vector.AutoresetMode, or its value as a string
    copy            hand out fresh arrays at every call; False hands out the environment's own, which
                    the next call writes over (observations are then read-only)
    info            "none", "minimal" (termination_reason) or "full"
    num_threads     threads that share a step; the results are the same bits with any number

    The page "The environment" of the documentation describes spaces, rewards and infos.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(
        self,
        num_envs: int = 1,
        *,
        config: Config | Mapping[str, Any] | str | Path | None = None,
        bank: Bank | Mapping[str, Any] | str | Path | None = None,
        dynamics: Any = None,
        observation: str = "mastery",
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        info: str = "minimal",
        num_threads: int = 1,
        render_mode: None = None,
    ) -> None:
        self.num_envs = read_positive(num_envs, "num_envs")
        if self.num_envs > MOST_LEARNERS:
            raise AlsimError(f"num_envs is at most 2**32, the learners of a seed; got {self.num_envs}")
        self.autoreset_mode = _mode(autoreset_mode)
        if info not in INFOS:
            raise AlsimError(f"info is one of {', '.join(map(repr, INFOS))}; got {info!r}")
        if render_mode is not None:
            raise AlsimError(f"render_mode is None, there is nothing to render; got {render_mode!r}")
        self.info = info
        self.copy = bool(copy)
        self.render_mode = None
        self.config, self.bank = read_rules(config, bank, dynamics)
        # Of this instance: wrappers and other environments of the class must not share it.
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self._mode = MODES[self.autoreset_mode]
        try:
            self._simulator = Simulator(
                self.config,
                self.bank,
                self.num_envs,
                observation=read_observation(observation),
                record=info == "full",
                num_threads=read_positive(num_threads, "num_threads"),
            )
        except MemoryError as error:
            raise AlsimError(f"num_envs = {self.num_envs}: so many lanes do not fit in memory ({error})") from None
        self.single_observation_space = Box(0.0, 1.0, (self._simulator.width,), np.float32)
        self.single_action_space = Discrete(self._simulator.num_actions)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._began = False
        self._over = 0  # lanes whose episode is over, which DISABLED does not step; -1: not counted yet
        self._shape = (self.num_envs,)
        same_step = self._mode == lockstep.SAME_STEP
        make = partial(self._simulator.output_buffer, observations=self.copy, last=same_step)
        self._outputs = Outputs(make, shared=not self.copy)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode in every lane, or in those of `options["reset_mask"]`.

        seed     an integer makes lane i learner i of that seed; a list, one entry a lane, makes lane i
                 learner 0 of seed[i], or lets it go on where seed[i] is None; None goes on to each
                 learner's next episode, and takes a seed from the operating system the first time
        options  "reset_mask", bool (N,): the lanes to begin anew; "learner": with an integer seed, the
                 learner of lane 0 (lane i is then learner + i) or an array of N learners

        Returns observations (N, R) float32 and an empty info. Raises TypeError or ValueError, with
        nothing changed, for seeds and options that cannot be.
        """
        given = read_options(options, ("reset_mask", "learner"))
        chosen = self._chosen(given.get("reset_mask"))
        named, seeds, learners = self._identities(seed, given.get("learner"))
        if not self._began and len(chosen) < self.num_envs:
            raise AlsimError("the first reset begins every lane; options['reset_mask'] is for later ones")
        people = self._simulator.population
        generator_seed = int(seeds[np.argmax(named)]) if named.any() else None
        if not self._began:
            fresh = fresh_seed()
            people.key[:] = fresh
            people.learner[:] = np.arange(self.num_envs)
            people.episode[:] = BEFORE_THE_FIRST
            generator_seed = fresh if generator_seed is None else generator_seed
        super().reset(seed=generator_seed)
        anew = chosen[named[chosen]]
        people.key[anew], people.learner[anew], people.episode[anew] = seeds[anew], learners[anew], BEFORE_THE_FIRST
        people.episode[chosen] += np.uint32(1)
        self._simulator.begin(chosen)
        self._over = int(np.count_nonzero(people.finished))
        self._began = True
        return self._observations(), {}

    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take every lane one interaction further.

        actions  integers (N,) in [0, 9 L)

        Returns observations (N, R) float32, rewards (N,) float64, terminated and truncated (N,) bool,
        and infos. Raises TypeError or ValueError, which name the lane, for actions that cannot be, and
        gymnasium.error.ResetNeeded before the first reset and, without autoreset, for a lane whose
        episode is over; in each case nothing has changed.
        """
        if not self._began:
            raise ResetNeeded("call reset() before step()")
        if self._mode == lockstep.DISABLED:
            self._refuse_if_over()
        known = type(actions) is np.ndarray and actions.dtype is INT64 and actions.shape == self._shape
        chosen = actions if known and actions.flags.c_contiguous else self._actions(actions)
        buffer = self._outputs.take()
        over, self._over = self._over, -1  # until the step is done: it may be interrupted
        count = self._simulator.step_into(buffer, chosen, self._mode)
        if count < 0:
            lane = -1 - count
            self._over, got = over, np.asarray(actions)[lane]
            raise AlsimError(f"actions are integers in [0, {self._simulator.num_actions}); got {got} in lane {lane}")
        self._over = count
        observation, reward, terminated, truncated, reason, live = buffer.hand_out()
        if not self.copy:
            observation = self._observations()
        infos = self._infos(reason, live, buffer.arrays.final, count)
        return observation, reward, terminated, truncated, infos

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads."""
        if hasattr(self, "_simulator"):  # older Gymnasium closes what the constructor refused, too
            self._simulator.close()

    @property
    def lanes(self) -> dict[str, NDArray[Any]]:
        """Who is in each lane, (N,) each: seed, learner, episode, and interactions so far (step)."""
        p = self._simulator.population
        return {"seed": p.key.copy(), "learner": p.learner.copy(), "episode": p.episode.copy(), "step": p.step.copy()}

    def _observations(self) -> NDArray[np.float32]:
        if self.copy:
            return self._simulator.observation.copy()
        view = self._simulator.observation.view()
        view.flags.writeable = False
        return view

    def _refuse_if_over(self) -> None:
        """Raise ResetNeeded if a lane's episode is over."""
        finished = self._simulator.population.finished
        if self._over < 0:
            self._over = int(np.count_nonzero(finished))
        if self._over:
            raise ResetNeeded(
                f"the episode in lane {int(np.argmax(finished))} is over, and without autoreset the next begins by "
                "reset(options={'reset_mask': ...})"
            )

    def _actions(self, actions: Any) -> Longs:
        """Return actions as the kernel takes them; it looks at their values."""
        array = np.asarray(actions)
        if array.shape != self._shape:
            raise AlsimError(f"actions have shape ({self.num_envs},), one a lane; got shape {array.shape}")
        if array.dtype.kind not in "iu":
            raise InputTypeError(f"actions are integers; got dtype {array.dtype}")
        return np.ascontiguousarray(array, dtype=np.int64)

    def _chosen(self, mask: Any) -> Longs:
        """Return the lanes that a reset mask names: Gymnasium's checks, in its order."""
        if mask is None:
            return np.arange(self.num_envs)
        if not isinstance(mask, np.ndarray):
            raise InputTypeError(f"options['reset_mask'] is a NumPy array; got {type(mask).__name__}")
        if mask.shape != (self.num_envs,):
            raise AlsimError(f"options['reset_mask'] has shape ({self.num_envs},); got {mask.shape}")
        if mask.dtype != np.bool_:
            raise InputTypeError(f"options['reset_mask'] has dtype bool; got {mask.dtype}")
        if not mask.any():
            raise AlsimError("options['reset_mask'] names no lane: at least one entry is True")
        return np.flatnonzero(mask)

    def _identities(self, seed: Any, learner: Any) -> tuple[Bools, Keys, Longs]:
        """Return which lanes get a seed, and each one's seed and learner, as `reset` is asked; (N,) each."""
        lanes, nobody = self.num_envs, np.zeros(self.num_envs, np.int64)
        if learner is not None and (seed is None or _is_list(seed)):
            got = "seed=None" if seed is None else "a list of seeds"
            raise AlsimError(f"options['learner'] goes with an integer seed; got {got}")
        if seed is None:
            return np.zeros(lanes, np.bool_), np.zeros(lanes, np.uint64), nobody
        if _is_list(seed):
            if len(seed) != lanes:
                raise AlsimError(f"a list of seeds has one entry a lane, {lanes}; got {len(seed)}")
            each = [None if s is None else read_seed(s, f"seed[{i}]") for i, s in enumerate(seed)]
            named = np.array([s is not None for s in each])
            return named, np.array([s or 0 for s in each], np.uint64), nobody
        seeds = np.full(lanes, read_seed(seed), np.uint64)
        return np.ones(lanes, np.bool_), seeds, self._learners(0 if learner is None else learner)

    def _learners(self, learner: Any) -> Longs:
        """Return each lane's learner, (N,): the given ones, or those that follow the given one."""
        lanes = self.num_envs
        if _is_list(learner):
            if len(learner) != lanes:
                raise AlsimError(f"options['learner'] has one entry a lane, {lanes}; got {len(learner)}")
            return np.array([read_learner(k, f"options['learner'][{i}]") for i, k in enumerate(learner)], np.int64)
        first = read_learner(learner)
        if first + lanes > MOST_LEARNERS:
            raise AlsimError(f"options['learner'] = {first}: {lanes} lanes from there pass the last learner, 2**32 - 1")
        return first + np.arange(lanes)

    def _infos(self, reason: Codes, live: Bools, final: Floats, count: int) -> dict[str, Any]:
        """Return the infos of a step: arrays with masks, as Gymnasium has them.

        final  (N * R,) last observations, under SAME_STEP
        count  lanes that were begun anew
        """
        if self._mode == lockstep.SAME_STEP and count > 0:
            return self._infos_of_ended(self._columns(reason), reason != 0, final)
        if self._mode == lockstep.NEXT_STEP and count == self.num_envs:
            return {}  # Gymnasium leaves out what no lane has
        if self.info == "minimal":
            return {"termination_reason": reason, "_termination_reason": live}
        columns = self._columns(reason)
        if self._mode == lockstep.NEXT_STEP and count > 0:
            columns = {key: np.where(live, column, column.dtype.type(0)) for key, column in columns.items()}
        return _masked(columns, live)

    def _columns(self, reason: Codes) -> dict[str, NDArray[Any]]:
        """Return what infos tell of a step, (N,) each."""
        if self.info == "none":
            return {}
        return {"termination_reason": reason} | (self._full() if self.info == "full" else {})

    def _infos_of_ended(
        self, columns: dict[str, NDArray[Any]], ended: NDArray[np.bool_], last: Floats
    ) -> dict[str, Any]:
        """Return the infos of a step in which episodes ended and others began at once."""
        lanes = np.flatnonzero(ended)
        final = {key: np.zeros_like(column) for key, column in columns.items()}
        current = {key: column.copy() for key, column in columns.items()}
        for key, column in columns.items():
            final[key][lanes] = column[lanes]
            current[key][lanes] = 0
        rows = np.empty(self.num_envs, dtype=object)  # of None
        for lane, row in zip(lanes.tolist(), last.reshape(self.num_envs, -1)[lanes], strict=True):
            rows[lane] = row
        going_on = ~ended
        infos = _masked(current, going_on) if len(lanes) < self.num_envs else {}
        infos |= {
            "final_obs": rows,
            "_final_obs": ended,
            "final_info": _masked(final, ended.copy()),
            "_final_info": ended.copy(),
        }
        return infos

    def _full(self) -> dict[str, NDArray[Any]]:
        """Return what happened in the last step, (N,) each."""
        happened = self._simulator.interaction
        return {
            "item": happened.item.copy(),
            "correct": happened.correct.copy(),
            "mastery_gain": happened.gain.copy(),
            "frustration": happened.frustration.copy(),
            "response_time": happened.seconds.copy(),
            "fail_streak": happened.fail_streak.copy(),
            "engagement": np.float32(1) - happened.frustration,
            "ability": happened.ability.copy(),
            "mean_mastery": happened.mastery_sum / self.bank.num_los,
            "step": happened.step.copy(),
        }


def _masked(columns: dict[str, NDArray[Any]], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return columns, each beside a mask of its own: the first gets `mask` itself."""
    infos: dict[str, Any] = {}
    for key, column in columns.items():
        infos[key] = column
        infos[f"_{key}"] = mask.copy() if infos.keys() > {key} else mask
    return infos


def _is_list(value: Any) -> bool:
    """Whether a seed or a learner is given for each lane: an array without axes is one number."""
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _mode(mode: str | AutoresetMode) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        names = ", ".join(repr(m.value) for m in AutoresetMode)
        raise AlsimError(f"autoreset_mode is an AutoresetMode or one of {names}; got {mode!r}") from None
