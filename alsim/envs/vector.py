"""The vector environment: N learners as a Gymnasium VectorEnv."""

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
from alsim.envs.action_masks import MaskInfoBuilder, read_lane_masks
from alsim.envs.caller_buffers import CallerBuffers, new_buffers
from alsim.envs.infos import RECORDED, InfoBuilder, read_info_level
from alsim.envs.lane_subset import LaneSubset
from alsim.envs.rendering.renderer import Rendered, Renderer, read_render_mode, render, render_metadata
from alsim.envs.snapshots import Snapshot, identities, take_snapshot
from alsim.envs.specs import SpecOwner
from alsim.errors import AlsimError, InputTypeError
from alsim.jit.structs import leaves
from alsim.simulator import step as step_kernels
from alsim.simulator.buffers import BufferPool
from alsim.simulator.simulator import Simulator
from alsim.simulator.truth import truth_of
from alsim.types import MAX_LEARNERS, Bools, Buffers, Keys, Longs

INT64 = np.dtype(np.int64)
"""The only dtype object of NumPy for int64 in native byte order, so that `is` can compare it."""

MODES = {
    AutoresetMode.NEXT_STEP: step_kernels.NEXT_STEP,
    AutoresetMode.SAME_STEP: step_kernels.SAME_STEP,
    AutoresetMode.DISABLED: step_kernels.DISABLED,
}


BEFORE_FIRST_EPISODE = np.uint32(2**32 - 1)
"""Episode number of a learner that has not started one: adding 1 gives 0."""

NOT_COUNTED = -1
"""Placeholder for the number of lanes whose episode is over, if it must be counted again."""


Step = tuple[NDArray[np.float32], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]
"""Observations, rewards, terminated, truncated, infos. Rewards are float64, or float32 in a float32 array of `out`."""


class AdaptiveLearningVectorEnv(SpecOwner, VectorEnv[Any, Any, Any]):
    """N simulated learners, stepped together by one compiled loop.

    num_envs        number of lanes N
    config          Config, mapping or TOML file; None: the values of the specification
    bank            Bank, mapping of rows, or directory of tables; None: sampled from the configuration
    dynamics        name or parameters of a registered dynamics, which replaces that of the configuration
    observation     "mastery" (clause S8.1) or "responses" (S8.2)
    autoreset_mode  gymnasium.vector.AutoresetMode, or its value as a string
    copy            True returns new arrays from every call; False returns the environment's own arrays, which
                    the next call overwrites (observations are then read-only)
    info            "none", "minimal" (termination_reason), "full", or "flat" (numbers, with the same keys at resets and
                    steps)
    num_threads     number of threads that share a step; it does not change the results in any bit
    max_episode_steps   step limit, which replaces that of the configuration
    render_mode     "ansi" or "rgb_array", the form of the frames that `render` returns; None: no frames
    action_mask     allowed actions: a bool array (A,) or (N, A), a function of the view, "curriculum", or a Curriculum,
                    see the page "Masking actions" of the documentation; None: all actions
    masked_actions  "refuse" raises an error for an action that the mask does not allow; "allow" executes it
    mask_in_info    whether infos contain the masks (N, A) under the key "action_mask", at resets and at steps

    The page "The environment" of the documentation describes spaces, rewards and infos.
    """

    metadata: dict[str, Any] = render_metadata()

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
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        action_mask: Any = None,
        masked_actions: str = "refuse",
        mask_in_info: bool = False,
    ) -> None:
        self.num_envs = read_positive(num_envs, "num_envs")
        if self.num_envs > MAX_LEARNERS:
            raise AlsimError(f"num_envs must be at most 2**32, the number of learners of a seed; got {self.num_envs}")
        self.autoreset_mode = _read_mode(autoreset_mode)
        self.info = read_info_level(info)
        self.render_mode = read_render_mode(render_mode)
        self.copy = bool(copy)
        self.config, self.bank = read_rules(config, bank, dynamics, max_episode_steps)
        # An attribute of this instance: wrappers and other environments of the class must not share it.
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self._mode = MODES[self.autoreset_mode]
        try:
            self._simulator = Simulator(
                self.config,
                self.bank,
                self.num_envs,
                observation=read_observation(observation),
                record=self.info in RECORDED or self.render_mode is not None,
                num_threads=read_positive(num_threads, "num_threads"),
            )
        except MemoryError as error:
            raise AlsimError(f"num_envs = {self.num_envs} does not fit in memory ({error}): use fewer lanes") from None
        self.single_observation_space = Box(0.0, 1.0, (self._simulator.width,), np.float32)
        self.single_action_space = Discrete(self._simulator.num_actions)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._was_reset = False
        self._num_finished = 0  # number of lanes whose episode is over, or NOT_COUNTED; DISABLED does not step them
        self._shape = (self.num_envs,)
        self._create_buffers()
        self._renderer = Renderer(self.render_mode, self._simulator, single=False) if self.render_mode else None
        self._infos = InfoBuilder(self._mode, self.info, self.bank.num_los, self._simulator.width)
        self._masks = read_lane_masks(action_mask, masked_actions, mask_in_info, self._simulator)
        self._is_guarded = self._mode == step_kernels.DISABLED or self._masks is not None
        if mask_in_info and self._masks is not None:
            self._infos = MaskInfoBuilder(self._infos, self._masks)

    def _create_buffers(self) -> None:
        """Create the output buffers of all lanes and of subsets."""
        same_step = self._mode == step_kernels.SAME_STEP
        make_buffer = partial(self._simulator.output_buffer, last=same_step)
        self._buffers = BufferPool(partial(make_buffer, observations=self.copy), shared=not self.copy)
        self._caller_buffers = CallerBuffers(
            partial(make_buffer, observations=False), shared=not self.copy, simulators=(self._simulator,)
        )
        self._subset = LaneSubset(self._simulator, copy=self.copy, last=same_step)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
        out: Buffers | None = None,
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode in every lane, or in the lanes of `options["reset_mask"]`.

        seed     an integer makes lane i learner i of that seed. A list has one entry per lane: lane i becomes
                 learner 0 of seed[i], or starts its learner's next episode if seed[i] is None. None starts
                 each learner's next episode; at the first reset it takes a seed from the operating system
        options  "reset_mask", bool (N,): the lanes to reset. "learner", only with an integer seed: an integer k
                 makes lane i learner k + i of the seed; an array (N,) has the learner of each lane
        out      Buffers of the caller; observations are written to `out.observations`, which is returned. The
                 other arrays are not changed

        Returns observations (N, R) float32, and infos, which are empty unless info="flat". Raises TypeError or
        ValueError for invalid seeds, options and `out`; the environment is then unchanged.
        """
        options = read_options(options, ("reset_mask", "learner"))
        lanes = self._read_mask(options.get("reset_mask"))
        seeded, seeds, learners = self._read_identities(seed, options.get("learner"))
        if not self._was_reset and len(lanes) < self.num_envs:
            raise AlsimError(
                f"the first reset must start all {self.num_envs} lanes; options['reset_mask'] selects {len(lanes)}: "
                "call reset() without it first"
            )
        if out is not None:
            self._caller_buffers.take(out, self.num_envs)
        state = self._simulator.learners
        generator_seed = int(seeds[np.argmax(seeded)]) if seeded.any() else None
        if not self._was_reset:
            fresh = fresh_seed()
            state.key[:] = fresh
            state.learner[:] = np.arange(self.num_envs)
            state.episode[:] = BEFORE_FIRST_EPISODE
            generator_seed = fresh if generator_seed is None else generator_seed
        super().reset(seed=generator_seed)
        new = lanes[seeded[lanes]]
        state.key[new], state.learner[new] = seeds[new], learners[new]
        state.episode[new] = BEFORE_FIRST_EPISODE
        state.episode[lanes] += np.uint32(1)
        self._simulator.begin(lanes)
        self._num_finished = int(np.count_nonzero(state.finished))
        self._was_reset = True
        self._state_changed()
        if self._renderer is not None:
            self._renderer.begin(lanes)
        was_reset = np.zeros(self.num_envs, np.bool_)
        was_reset[lanes] = True
        return self._observations(out), self._infos.at_reset(self._simulator, was_reset)

    def step(self, actions: Any, *, out: Buffers | None = None) -> Step:
        """Perform one interaction in every lane.

        actions  integers (N,) in [0, 9 L)
        out      Buffers of the caller, which are written and returned

        Returns observations (N, R) float32, rewards (N,) float64, terminated and truncated (N,) bool,
        and infos. Raises TypeError or ValueError for invalid actions or an invalid `out`. Raises
        gymnasium.error.ResetNeeded before the first reset and, without autoreset, if the episode of a lane is
        over. On error, neither the environment nor `out` is modified.
        """
        if not self._was_reset:
            raise ResetNeeded("call reset() before step()")
        if self._is_guarded:
            self._guard(actions, self.num_envs)
        known = type(actions) is np.ndarray and actions.dtype is INT64 and actions.shape == self._shape
        checked = actions if known and actions.flags.c_contiguous else self._read_actions(actions, self.num_envs)
        if out is None:
            buffer = self._buffers.take()
            reference = buffer.reference
        else:
            buffer, reference = self._caller_buffers.take(out, self.num_envs)
        simulator = self._simulator
        num_finished, self._num_finished = self._num_finished, NOT_COUNTED  # the step may be interrupted
        count = simulator.step_into(reference, checked, self._mode)
        if count < 0:
            lane = -1 - count
            self._num_finished = num_finished
            raise self._invalid_action(np.asarray(actions)[lane], lane)
        self._num_finished = count
        observation, reward, terminated, truncated, reason, live = buffer.take_arrays()
        if self._renderer is not None:
            self._renderer.record(simulator, reward, reason)
        infos = self._infos.build(simulator, reason, live, buffer.arrays.final, count)
        if out is not None:
            self._caller_buffers.fill(out, reward)
            return *out, infos
        if not self.copy:
            observation = self._observations()
        return observation, reward, terminated, truncated, infos

    def step_lanes(self, actions: Any, lanes: Any, *, out: Buffers | None = None) -> Step:
        """Perform one interaction in some lanes, and leave the others unchanged.

        actions  integers (M,) in [0, 9 L)
        lanes    integers (M,) in [0, N), in any order, without duplicates
        out      Buffers of the caller with M lanes, which are written and returned

        The results for these lanes equal those of `step`, in every autoreset mode. Returned arrays and infos have
        M rows, in the order of `lanes`. Raises the errors of `step`, and TypeError or ValueError for invalid
        lanes; on error, nothing is modified. Without autoreset, ResetNeeded is raised only if the episode of a
        selected lane is over.
        """
        if not self._was_reset:
            raise ResetNeeded("call reset() before step_lanes()")
        subset, selected = self._subset, self._subset.read(lanes)
        size = len(selected)
        checked = self._read_actions(actions, size)
        if size == self.num_envs and (selected[1:] > selected[:-1]).all():
            # All lanes in order. Not self.step: a subclass may call step_lanes from there.
            return AdaptiveLearningVectorEnv.step(self, checked, out=out)
        if self._is_guarded:
            self._guard(checked, size, selected)
        subset.reserve(size)
        if out is None:
            buffer = subset.buffers.take()
            reference = buffer.reference
        else:
            buffer, reference = subset.caller_buffers.take(out, size)
        subset.load(selected)
        count = subset.simulator.step_into(reference, checked, self._mode)
        if count < 0:
            raise self._invalid_action(np.asarray(actions)[-1 - count], int(selected[-1 - count]))
        num_finished, self._num_finished = self._num_finished, NOT_COUNTED  # storing may be interrupted
        subset.store(selected)
        self._num_finished = num_finished + count if num_finished >= 0 else num_finished
        observation, reward, terminated, truncated, reason, live = buffer.take_first(size)
        if self._renderer is not None:
            self._renderer.record(subset.simulator, reward, reason, selected)
        infos = self._infos.build(subset.simulator, reason, live, buffer.arrays.final, count, selected)
        if out is not None:
            subset.caller_buffers.fill(out, reward)
            return *out, infos
        observation.flags.writeable = self.copy
        return observation, reward, terminated, truncated, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Return a new array (N, A), True for each action that the mask of the environment allows.

        Without a mask, and in lanes whose episode is over, these are all actions. With a mask, raises
        gymnasium.error.ResetNeeded before the first reset, and AlsimError if the mask is a function that returns
        something else.
        """
        if self._masks is None:
            return np.ones((self.num_envs, self._simulator.num_actions), np.bool_)
        if not self._was_reset:
            raise ResetNeeded("call reset() before action_masks()")
        return self._masks.current().copy()

    def render(self) -> tuple[Rendered, ...] | None:
        """Return the current frame of each lane, N in total.

        A frame is a text with render_mode "ansi", or a picture (540, 960, 3) uint8 with "rgb_array". It shows the true
        state of the learner, with any `observation`. Under SAME_STEP, the frame after the end of an episode shows the
        start of the next one. Without a render mode, returns None and gives a warning. Raises
        gymnasium.error.ResetNeeded before the first reset, and MissingExtra if "rgb_array" lacks Pillow.
        """
        return render(self._renderer, was_reset=self._was_reset, maker="make_vec")

    def new_buffers(self, num_lanes: int | None = None) -> Buffers:
        """Return zero-filled arrays to pass as `out`.

        num_lanes  number of lanes M of a subset, for `step_lanes`; None: all N lanes

        Returns observations (M, R) float32, rewards (M,) float64, terminated and truncated (M,) bool. Raises
        ValueError for an invalid number.
        """
        lanes = self.num_envs if num_lanes is None else read_positive(num_lanes, "num_lanes")
        return new_buffers(lanes, self._simulator.width)

    def truth(self, questions: Any = None) -> dict[str, NDArray[Any]]:
        """Return the latent state of the learners, for code that scores a method (clause S15.1).

        questions  indices of K questions in the bank, for which to include the chance of a correct answer; None: none

        The keys are ability (N,), logits; mastery (N, L); population_row (N,); class_id (N,), if there are classes;
        hours (N,) since the episode began, if there are breaks or the dynamics reads the clock; the fields of the
        dynamics' own states, such as learner_state.effort (N,) or lo_state.stability (N, L); and chance (N, K), before
        an answer is drawn. Policies must not read it.

        Raises gymnasium.error.ResetNeeded before the first reset, and ValueError or TypeError for invalid questions.
        """
        if not self._was_reset:
            raise ResetNeeded("call reset() before truth()")
        return truth_of(self._simulator, questions)

    def snapshot(self) -> Snapshot:
        """Return the current state of the learners, for `restore`.

        Raises gymnasium.error.ResetNeeded before the first reset.
        """
        if not self._was_reset:
            raise ResetNeeded("call reset() before snapshot()")
        return take_snapshot(self.config, self.bank, self._simulator.observation_kind, self._simulator.learners)

    def restore(self, snapshot: Snapshot, *, out: Buffers | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Restore the learners of a snapshot.

        The same actions then give the same results, bit for bit, as after the snapshot was taken.

        snapshot  from an environment with the same config, bank, observation and number of lanes; its
                  autoreset_mode, info, copy and num_threads may differ. SAME_STEP rejects a snapshot with lanes
                  whose episode is over, because this mode has no such lanes
        out       see `reset`

        Returns observations (N, R) float32, and infos, which are empty unless info="flat". Raises TypeError or
        ValueError for a snapshot of other rules and for an invalid `out`; the environment is then unchanged.
        """
        if not isinstance(snapshot, Snapshot):
            raise InputTypeError(
                f"snapshot must be an alsim.Snapshot; got {type(snapshot).__name__}: snapshot() returns one"
            )
        if (
            difference := snapshot.difference(self.config, self.bank, self._simulator.observation_kind, self.num_envs)
        ) != "":
            raise AlsimError(
                "the snapshot must come from an environment with the same rules and number of lanes; "
                f"this one has {difference}: create an environment with the snapshot's config, bank, observation and "
                "num_envs, in a version of alsim that has the snapshot's environment"
            )
        finished = np.flatnonzero(snapshot.over)
        if self._mode == step_kernels.SAME_STEP and len(finished) > 0:
            raise AlsimError(
                f"a snapshot for SAME_STEP must have no lane whose episode is over; in this one the episode in lane "
                f"{finished[0]} is over: take the snapshot after resetting that lane"
            )
        if out is not None:
            self._caller_buffers.take(out, self.num_envs)
        for (_, column), (_, saved) in zip(leaves(self._simulator.learners), leaves(snapshot.learners), strict=True):
            column[:] = saved
        self._num_finished = len(finished)
        self._was_reset = True
        self._state_changed()
        if self._renderer is not None:
            self._renderer.forget()
        return self._observations(out), self._infos.at_reset(self._simulator, np.ones(self.num_envs, np.bool_))

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the threads of the environment."""
        if hasattr(self, "_simulator"):  # older Gymnasium also closes an object whose constructor raised
            self._simulator.close()
        if hasattr(self, "_subset"):
            self._subset.close()

    @property
    def lanes(self) -> dict[str, NDArray[Any]]:
        """Identity of the learner in each lane, (N,) each: seed, learner, episode, and step (interactions so far)."""
        return identities(self._simulator.learners)

    def _observations(self, out: Buffers | None = None) -> NDArray[np.float32]:
        if out is not None:
            out.observations[:] = self._simulator.observation
            return out.observations
        if self.copy:
            return self._simulator.observation.copy()
        view = self._simulator.observation.view()
        view.flags.writeable = False
        return view

    def _invalid_action(self, action: Any, lane: int) -> AlsimError:
        return AlsimError(
            f"actions must be integers in [0, {self._simulator.num_actions}); got {action} in lane {lane}"
        )

    def _guard(self, actions: Any, size: int, lanes: Longs | None = None) -> None:
        """Raise an error for lanes (M,) whose episode is over, without autoreset, and for actions that are refused."""
        if self._mode == step_kernels.DISABLED:
            self._check_not_finished(lanes)
        if self._masks is not None:
            self._masks.before_step(self._read_actions(actions, size), lanes)

    def _state_changed(self) -> None:
        """Discard the masks of the previous state."""
        if self._masks is not None:
            self._masks.changed()

    def _check_not_finished(self, lanes: Longs | None = None) -> None:
        """Raise ResetNeeded if the episode of any lane is over, or of any in `lanes`."""
        finished = self._simulator.learners.finished
        if lanes is None:
            if self._num_finished == NOT_COUNTED:
                self._num_finished = int(np.count_nonzero(finished))
            first = int(np.argmax(finished)) if self._num_finished else -1
        else:
            first = next(iter(lanes[finished[lanes]].tolist()), -1)
        if first >= 0:
            raise ResetNeeded(
                f"the episode in lane {first} is over, and autoreset is disabled: start the next episode with "
                "reset(options={'reset_mask': ...})"
            )

    def _read_actions(self, actions: Any, lanes: int) -> Longs:
        """Return actions (M,) as a C-contiguous int64 array, as the kernel requires. The kernel checks their values."""
        array = np.asarray(actions)
        if array.shape != (lanes,):
            raise AlsimError(f"actions must have shape ({lanes},), one per lane; got shape {array.shape}")
        if array.dtype.kind not in "iu":
            raise InputTypeError(f"actions must be integers; got dtype {array.dtype}: convert them to integers")
        return np.ascontiguousarray(array, dtype=np.int64)

    def _read_mask(self, mask: Any) -> Longs:
        """Return the lanes that a reset mask selects. The checks and their order are those of Gymnasium."""
        if mask is None:
            return np.arange(self.num_envs)
        if not isinstance(mask, np.ndarray):
            raise InputTypeError(f"options['reset_mask'] must be a NumPy array; got {type(mask).__name__}")
        if mask.shape != (self.num_envs,):
            raise AlsimError(f"options['reset_mask'] must have shape ({self.num_envs},); got {mask.shape}")
        if mask.dtype != np.bool_:
            raise InputTypeError(f"options['reset_mask'] must have dtype bool; got {mask.dtype}")
        if not mask.any():
            raise AlsimError("options['reset_mask'] must be True in at least one lane; got only False")
        return np.flatnonzero(mask)

    def _read_identities(self, seed: Any, learner: Any) -> tuple[Bools, Keys, Longs]:
        """Return for each lane, (N,) each: True if it has a new seed, the seed, and the learner."""
        lanes, zeros = self.num_envs, np.zeros(self.num_envs, np.int64)
        if learner is not None and (seed is None or _is_list(seed)):
            kind = "seed=None" if seed is None else "a list of seeds"
            raise AlsimError(f"options['learner'] requires an integer seed; got {kind}: pass one seed for all lanes")
        if seed is None:
            return np.zeros(lanes, np.bool_), np.zeros(lanes, np.uint64), zeros
        if _is_list(seed):
            if len(seed) != lanes:
                raise AlsimError(f"a list of seeds must have one entry per lane, {lanes}; got {len(seed)}")
            each = [None if s is None else read_seed(s, f"seed[{i}]") for i, s in enumerate(seed)]
            seeded = np.array([s is not None for s in each])
            return seeded, np.array([s or 0 for s in each], np.uint64), zeros
        seeds = np.full(lanes, read_seed(seed), np.uint64)
        return np.ones(lanes, np.bool_), seeds, self._read_learners(0 if learner is None else learner)

    def _read_learners(self, learner: Any) -> Longs:
        """Return the learner of each lane, (N,), from a list with one per lane, or from the learner of lane 0."""
        lanes = self.num_envs
        if _is_list(learner):
            if len(learner) != lanes:
                raise AlsimError(f"options['learner'] must have one entry per lane, {lanes}; got {len(learner)}")
            return np.array([read_learner(k, f"options['learner'][{i}]") for i, k in enumerate(learner)], np.int64)
        first = read_learner(learner)
        if first + lanes > MAX_LEARNERS:
            raise AlsimError(
                f"options['learner'] must be at most {MAX_LEARNERS - lanes} with {lanes} lanes, since the last learner "
                f"is 2**32 - 1; got {first}"
            )
        return first + np.arange(lanes)


def _is_list(value: Any) -> bool:
    """Return whether a value is a list or an array with entries; an array without axes is a single number."""
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _read_mode(mode: str | AutoresetMode) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        names = ", ".join(repr(m.value) for m in AutoresetMode)
        raise AlsimError(f"autoreset_mode must be an AutoresetMode or one of {names}; got {mode!r}") from None
