"""The vector environment: N learners behind Gymnasium's VectorEnv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from alsim.arguments import (
    fresh_seed,
    read_learner,
    read_observation,
    read_options,
    read_positive,
    read_rules,
    read_seed,
)
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.envs.caller_buffers import CallerBuffers, new_buffers
from alsim.envs.infos import INFOS, Infos
from alsim.envs.lane_subset import LaneSubset
from alsim.envs.snapshots import Snapshot, identities, take_snapshot
from alsim.errors import AlsimError, InputTypeError
from alsim.simulator import step as step_kernels
from alsim.simulator.buffers import BufferPool
from alsim.simulator.simulator import Simulator
from alsim.types import MAX_LEARNERS, Bools, Buffers, Keys, Longs

INT64 = np.dtype(np.int64)
"""NumPy has one object for it, in the machine's byte order."""

MODES = {
    AutoresetMode.NEXT_STEP: step_kernels.NEXT_STEP,
    AutoresetMode.SAME_STEP: step_kernels.SAME_STEP,
    AutoresetMode.DISABLED: step_kernels.DISABLED,
}


BEFORE_THE_FIRST = np.uint32(2**32 - 1)
"""Episode of a learner that none has begun for: the next is 0."""


Step = tuple[NDArray[np.float32], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]
"""Observations, rewards, terminated, truncated, infos; rewards are float64, but in a caller's buffer of float32."""


class AdaptiveLearningVectorEnv(VectorEnv[Any, Any, Any]):
    """N simulated learners, stepped in step_kernels.

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
        if self.num_envs > MAX_LEARNERS:
            raise AlsimError(f"num_envs is at most 2**32, the learners of a seed; got {self.num_envs}")
        self.autoreset_mode = _mode(autoreset_mode)
        told = next((known for known in INFOS if info == known), None)
        if told is None:
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
        same_step = self._mode == step_kernels.SAME_STEP
        make = partial(self._simulator.output_buffer, last=same_step)
        self._outputs = BufferPool(partial(make, observations=self.copy), shared=not self.copy)
        self._loans = CallerBuffers(
            partial(make, observations=False), shared=not self.copy, simulators=(self._simulator,)
        )
        self._party = LaneSubset(self._simulator, copy=self.copy, last=same_step)
        self._infos = Infos(self._mode, told, self.bank.num_los, self._simulator.width).of

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
        out: Buffers | None = None,
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode in every lane, or in those of `options["reset_mask"]`.

        seed     an integer makes lane i learner i of that seed; a list, one entry a lane, makes lane i
                 learner 0 of seed[i], or lets it go on where seed[i] is None; None goes on to each
                 learner's next episode, and takes a seed from the operating system the first time
        options  "reset_mask", bool (N,): the lanes to begin anew; "learner": with an integer seed, the
                 learner of lane 0 (lane i is then learner + i) or an array of N learners
        out      Buffers of the caller's own, whose observations are written and returned; the rest of it is
                 left alone

        Returns observations (N, R) float32 and an empty info. Raises TypeError or ValueError, with
        nothing changed, for seeds and options that cannot be.
        """
        given = read_options(options, ("reset_mask", "learner"))
        chosen = self._chosen(given.get("reset_mask"))
        named, seeds, learners = self._identities(seed, given.get("learner"))
        if not self._began and len(chosen) < self.num_envs:
            raise AlsimError("the first reset begins every lane; options['reset_mask'] is for later ones")
        if out is not None:
            self._loans.take(out, self.num_envs)
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
        return self._observations(out), {}

    def step(self, actions: Any, *, out: Buffers | None = None) -> Step:
        """Take every lane one interaction further.

        actions  integers (N,) in [0, 9 L)
        out      Buffers of the caller's own, which are written and returned

        Returns observations (N, R) float32, rewards (N,) float64, terminated and truncated (N,) bool,
        and infos. Raises TypeError or ValueError, which name the lane, for actions that cannot be, and
        gymnasium.error.ResetNeeded before the first reset and, without autoreset, for a lane whose
        episode is over; in each case nothing has changed, `out` neither.
        """
        if not self._began:
            raise ResetNeeded("call reset() before step()")
        if self._mode == step_kernels.DISABLED:
            self._refuse_if_over()
        known = type(actions) is np.ndarray and actions.dtype is INT64 and actions.shape == self._shape
        chosen = actions if known and actions.flags.c_contiguous else self._actions(actions, self.num_envs)
        if out is None:
            buffer = self._outputs.take()
            reference = buffer.reference
        else:
            buffer, reference = self._loans.take(out, self.num_envs)
        simulator = self._simulator
        over, self._over = self._over, -1  # until the step is done: it may be interrupted
        count = simulator.step_into(reference, chosen, self._mode)
        if count < 0:
            lane = -1 - count
            self._over = over
            raise self._no_action(np.asarray(actions)[lane], lane)
        self._over = count
        observation, reward, terminated, truncated, reason, live = buffer.take_arrays()
        infos = self._infos(simulator, reason, live, buffer.arrays.final, count)
        if out is not None:
            self._loans.fill(out, reward)
            return *out, infos
        if not self.copy:
            observation = self._observations()
        return observation, reward, terminated, truncated, infos

    def step_lanes(self, actions: Any, lanes: Any, *, out: Buffers | None = None) -> Step:
        """Take some lanes one interaction further, and leave the others as they are.

        actions  integers (M,) in [0, 9 L)
        lanes    integers (M,) in [0, N), in any order, none twice
        out      Buffers of M lanes, the caller's own, which are written and returned

        For those lanes it is exactly `step`, in every autoreset mode. Returns what `step` does, in arrays of M
        in the order of `lanes`, infos too; and raises what `step` does, in each case with nothing changed.
        Without autoreset, only the named lanes must not be over.
        """
        if not self._began:
            raise ResetNeeded("call reset() before step_lanes()")
        party, named = self._party, self._party.read(lanes)
        moved = len(named)
        chosen = self._actions(actions, moved)
        if moved == self.num_envs and (named[1:] > named[:-1]).all():
            return AdaptiveLearningVectorEnv.step(self, chosen, out=out)  # all, in order; a subclass may step by lanes
        if self._mode == step_kernels.DISABLED:
            self._refuse_if_over(named)
        party.make_room(moved)
        if out is None:
            buffer = party.outputs.take()
            reference = buffer.reference
        else:
            buffer, reference = party.loans.take(out, moved)
        party.take_out(named)
        count = party.simulator.step_into(reference, chosen, self._mode)
        if count < 0:
            raise self._no_action(np.asarray(actions)[-1 - count], int(named[-1 - count]))
        over, self._over = self._over, -1  # until they are back
        party.put_back(named)
        self._over = over + count if over >= 0 else over
        observation, reward, terminated, truncated, reason, live = buffer.take_first(moved)
        infos = self._infos(party.simulator, reason, live, buffer.arrays.final, count)
        if out is not None:
            party.loans.fill(out, reward)
            return *out, infos
        observation.flags.writeable = self.copy
        return observation, reward, terminated, truncated, infos

    def new_buffers(self, num_lanes: int | None = None) -> Buffers:
        """Return arrays, all zero, that a step can write to: of all lanes, or of as many as `step_lanes` names."""
        lanes = self.num_envs if num_lanes is None else read_positive(num_lanes, "num_lanes")
        return new_buffers(lanes, self._simulator.width)

    def snapshot(self) -> Snapshot:
        """Return the learners as they are now, to go on from by `restore`.

        Raises gymnasium.error.ResetNeeded before the first reset.
        """
        if not self._began:
            raise ResetNeeded("call reset() before snapshot()")
        return take_snapshot(self.config, self.bank, self._simulator.observation_kind, self._simulator.population)

    def restore(self, snapshot: Snapshot, *, out: Buffers | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Take up the learners of a snapshot: the same actions then bring the same bits as after it was taken.

        snapshot  of an environment of the same config, bank, observation and number of lanes; its
                  autoreset_mode, info, copy and num_threads may differ. Lanes whose episode is over stay so,
                  which SAME_STEP does not know: it refuses them
        out       as of `reset`

        Returns observations and infos as `reset` does. Raises TypeError or ValueError, with nothing changed,
        for a snapshot of other rules.
        """
        if not isinstance(snapshot, Snapshot):
            raise InputTypeError(f"snapshot is an alsim.Snapshot; got {type(snapshot).__name__}")
        if (
            difference := snapshot.difference(self.config, self.bank, self._simulator.observation_kind, self.num_envs)
        ) != "":
            raise AlsimError(f"a snapshot goes back under the rules that it was taken under; this one has {difference}")
        over = np.flatnonzero(snapshot.over)
        if self._mode == step_kernels.SAME_STEP and len(over) > 0:
            raise AlsimError(
                "under SAME_STEP no lane waits for its next episode; in the snapshot the one in lane "
                f"{over[0]} is over, and the next has not begun"
            )
        if out is not None:
            self._loans.take(out, self.num_envs)
        columns: list[Any] = list(self._simulator.population)
        for column, kept in zip(columns, snapshot.population, strict=True):
            column[:] = kept
        self._over = len(over)
        self._began = True
        return self._observations(out), {}

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads."""
        if hasattr(self, "_simulator"):  # older Gymnasium closes what the constructor refused, too
            self._simulator.close()
        if hasattr(self, "_party"):
            self._party.close()

    @property
    def lanes(self) -> dict[str, NDArray[Any]]:
        """Who is in each lane, (N,) each: seed, learner, episode, and interactions so far (step)."""
        return identities(self._simulator.population)

    def _observations(self, out: Buffers | None = None) -> NDArray[np.float32]:
        if out is not None:
            out.observations[:] = self._simulator.observation
            return out.observations
        if self.copy:
            return self._simulator.observation.copy()
        view = self._simulator.observation.view()
        view.flags.writeable = False
        return view

    def _no_action(self, got: Any, lane: int) -> AlsimError:
        return AlsimError(f"actions are integers in [0, {self._simulator.num_actions}); got {got} in lane {lane}")

    def _refuse_if_over(self, lanes: Longs | None = None) -> None:
        """Raise ResetNeeded if the episode of a lane is over: of any, or of `lanes`."""
        finished = self._simulator.population.finished
        if lanes is None:
            if self._over < 0:
                self._over = int(np.count_nonzero(finished))
            over = int(np.argmax(finished)) if self._over else -1
        else:
            over = next(iter(lanes[finished[lanes]].tolist()), -1)
        if over >= 0:
            raise ResetNeeded(
                f"the episode in lane {over} is over, and without autoreset the next begins by "
                "reset(options={'reset_mask': ...})"
            )

    def _actions(self, actions: Any, lanes: int) -> Longs:
        """Return actions of so many lanes as the kernel takes them; it looks at their values."""
        array = np.asarray(actions)
        if array.shape != (lanes,):
            raise AlsimError(f"actions have shape ({lanes},), one a lane; got shape {array.shape}")
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
        if first + lanes > MAX_LEARNERS:
            raise AlsimError(f"options['learner'] = {first}: {lanes} lanes from there pass the last learner, 2**32 - 1")
        return first + np.arange(lanes)


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
