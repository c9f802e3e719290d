"""The single environment: a simulator with one lane, and the attributes that the specification lists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from alsim.arguments import (
    fresh_seed,
    read_action,
    read_episode,
    read_learner,
    read_observation,
    read_options,
    read_rules,
    read_seed,
)
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.envs.action_masks import ACTION_MASK, read_lane_masks
from alsim.envs.infos import REASON_WORDS, flat_scalars, read_info_level
from alsim.envs.learner_state import learner_state
from alsim.envs.rendering.renderer import Rendered, Renderer, read_render_mode, render, render_metadata
from alsim.envs.specs import SpecOwner
from alsim.errors import AlsimError
from alsim.mdp.actions import action_meanings
from alsim.metrics import Interactions, episode_metrics
from alsim.simulator import step as step_kernels
from alsim.simulator.simulator import Simulator
from alsim.simulator.truth import truth_of
from alsim.types import Bools, Reason


class AdaptiveLearningEnv(SpecOwner, gymnasium.Env[NDArray[np.float32], np.int64]):
    """One simulated learner, one episode after another.

    config       Config, mapping or TOML file; None: the values of the specification
    bank         Bank, mapping of rows, or directory of tables; None: sampled from the configuration
    dynamics     name or parameters of a registered dynamics, which replaces that of the configuration
    observation  "mastery" (clause S8.1) or "responses" (S8.2)
    info         "full", "flat" (numbers, with the same keys at resets and steps), "minimal" (termination_reason) or
                 "none"
    max_episode_steps   step limit, which replaces that of the configuration. `gymnasium.make` does not pass it on:
                        set it in `config` there
    render_mode  "ansi" or "rgb_array", the form of the frames that `render` returns; None: no frames
    action_mask  allowed actions: a bool array (A,), a function of the view, "curriculum", or a Curriculum, see the page
                 "Masking actions" of the documentation; None: all actions
    masked_actions  "refuse" raises an error for an action that the mask does not allow; "allow" executes it
    mask_in_info    whether infos contain the mask (A,) under the key "action_mask", at resets and at steps

    Attributes, as in the specification: `num_los`, `num_questions`, `num_contents`, `max_steps`,
    `questions`, `contents`, `learner_state`, `step_count`, `config`, `episode_log`.
    """

    metadata: dict[str, Any] = render_metadata()

    def __init__(
        self,
        config: Config | Mapping[str, Any] | str | Path | None = None,
        *,
        bank: Bank | Mapping[str, Any] | str | Path | None = None,
        dynamics: Any = None,
        observation: str = "mastery",
        info: str = "full",
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        action_mask: Any = None,
        masked_actions: str = "refuse",
        mask_in_info: bool = False,
    ) -> None:
        self.render_mode = read_render_mode(render_mode)
        self.info = read_info_level(info)
        self.config, self.bank = read_rules(config, bank, dynamics, max_episode_steps)
        self.num_los = self.bank.num_los
        self.num_questions = self.bank.num_questions
        self.num_contents = self.bank.num_contents
        self.max_steps = self.config.max_episode_steps
        self._simulator = Simulator(self.config, self.bank, 1, observation=read_observation(observation), record=True)
        self.observation_space = Box(0.0, 1.0, (self._simulator.width,), np.float32)
        self.action_space = Discrete(self._simulator.num_actions)
        self._masks = read_lane_masks(action_mask, masked_actions, mask_in_info, self._simulator, single=True)
        self._mask_in_info = bool(mask_in_info)
        self.step_count = 0
        self.episode_log: list[dict[str, Any]] = []
        self._rows: list[tuple[Any, ...]] = []  # the fields of Interactions, one row per step
        self._decoded = action_meanings(self.num_los)
        self._impacts = self.bank.contents.engagement_impact.tolist()
        self._action = np.zeros(1, np.int64)
        self._was_reset = False
        self._finished = False
        self._renderer = Renderer(self.render_mode, self._simulator, single=True) if self.render_mode else None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode.

        seed     an integer starts the first episode of learner 0 of that seed. None starts the learner's next
                 episode; at the first reset it takes a seed from the operating system
        options  {"learner": i} selects learner i instead of 0, and {"episode": k} its episode k instead of 0;
                 both keys require an integer seed

        Returns the observation (R,) float32, and an info, which is empty unless info="flat". Raises TypeError or
        ValueError for an invalid seed or option.
        """
        options = read_options(options, ("learner", "episode"))
        for key in options:
            if seed is None:
                raise AlsimError(f"options[{key!r}] requires an integer seed; got seed=None: pass seed to reset()")
        learner, episode = read_learner(options.get("learner", 0)), read_episode(options.get("episode", 0))
        if seed is None and not self._was_reset:
            seed = fresh_seed()
        if seed is not None:
            seed = read_seed(seed)
        super().reset(seed=seed)
        learners = self._simulator.learners
        if seed is None:
            learners.episode[0] += np.uint32(1)
        else:
            learners.key[0], learners.learner[0], learners.episode[0] = seed, learner, episode
        self._simulator.begin(self._lane_zero)
        self.step_count = 0
        self.episode_log = []
        self._rows = []
        self._was_reset, self._finished = True, False
        if self._renderer is not None:
            self._renderer.begin(self._lane_zero)
        if self._masks is not None:
            self._masks.changed()
        flat = self.info == "flat"
        info: dict[str, Any] = flat_scalars(self._simulator, Reason.NONE, False, self.num_los) if flat else {}
        if self._mask_in_info:
            info[ACTION_MASK] = self.action_masks()
        return self._simulator.observation[0].copy(), info

    _lane_zero = np.zeros(1, np.int64)

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Perform one interaction.

        action  an integer in [0, 9 L)

        Returns the observation (R,) float32, the reward, terminated, truncated, and the info, with the keys `result`,
        `termination_reason`, `step` and `mean_mastery` by default. Raises gymnasium.error.ResetNeeded before a reset
        or after the end of the episode, and TypeError or ValueError for an invalid action. On error, nothing
        is modified.
        """
        if not self._was_reset or self._finished:
            raise ResetNeeded("the episode is over; call reset()" if self._finished else "call reset() before step()")
        number = read_action(action, self._simulator.num_actions)
        self._action[0] = number
        if self._masks is not None:
            self._masks.before_step(self._action)
        out = self._simulator.step(self._action, step_kernels.DISABLED)
        last = self._simulator.interaction
        reward, reason = out.reward.item(), out.reason.item()
        self.step_count = step = last.step.item()
        mean_mastery = last.mastery_sum.item() / self.num_los
        gain, frustration = last.gain.item(), last.frustration.item()
        item, correct, seconds = last.item.item(), last.correct.item(), last.seconds.item()
        result = dict(self._decoded[number])
        if item < self.num_questions:
            result["correct"] = correct
            result["mastery_gain"] = gain
            result["frustration"] = frustration
            result["response_time"] = seconds
        else:
            result["mastery_gain"] = gain
            result["frustration_delta"] = self._impacts[item - self.num_questions]
            result["frustration"] = frustration
        info: dict[str, Any] = {
            "result": result,
            "termination_reason": REASON_WORDS[reason],
            "step": step,
            "mean_mastery": mean_mastery,
        }
        self._finished = reason != 0
        truncated = reason == Reason.STEP_LIMIT
        entry = {"step": step, "action": number, "reward": reward, "done": self._finished, **info}
        self.episode_log.append({**entry, "result": dict(result)})
        if self._renderer is not None:
            self._renderer.record(self._simulator, out.reward, out.reason)
        self._rows.append((number, reward, item, correct, gain, seconds, frustration, mean_mastery))
        if self.info == "flat":
            info = flat_scalars(self._simulator, reason, True, self.num_los)
        elif self.info != "full":
            info = {"termination_reason": info["termination_reason"]} if self.info == "minimal" else {}
        if self._mask_in_info:
            info[ACTION_MASK] = self.action_masks()
        return self._simulator.observation[0].copy(), reward, self._finished and not truncated, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Return a new array (A,), True for each action that the mask of the environment allows.

        Without a mask, and after the end of an episode, these are all actions. With a mask, raises
        gymnasium.error.ResetNeeded before the first reset, and AlsimError if the mask is a function that returns
        something else.
        """
        if self._masks is None:
            return np.ones(self._simulator.num_actions, np.bool_)
        if not self._was_reset:
            raise ResetNeeded("call reset() before action_masks()")
        masks: Bools = self._masks.current()[0].copy()
        return masks

    def render(self) -> Rendered | None:
        """Return the current frame: text with render_mode "ansi", or a picture (540, 960, 3) uint8 with "rgb_array".

        It shows the true state of the learner, with any `observation`. Without a render mode, returns None and gives
        a warning. Raises gymnasium.error.ResetNeeded before a reset, and MissingExtra if "rgb_array" lacks Pillow.
        """
        frames = render(self._renderer, was_reset=self._was_reset, maker="make")
        return None if frames is None else frames[0]

    def __repr__(self) -> str:
        """Return the number of learning outcomes and the step of the episode."""
        return f"AdaptiveLearningEnv(num_los={self.num_los}, step_count={self.step_count})"

    def decode_action(self, action: int) -> dict[str, Any]:
        """Return the meaning of an action: `type`, `lo`, and the index of its `difficulty` or `modality`.

        Raises TypeError or ValueError for an invalid action.
        """
        return dict(self._decoded[read_action(action, self._simulator.num_actions)])

    def get_episode_metrics(self) -> dict[str, Any]:
        """Return the metrics of the episode so far (clauses S9.1 to S9.6); {} before the first step.

        Undefined metrics are NaN.
        """
        if not self._rows:
            return {}
        metrics = episode_metrics(self.interactions(), self.bank, self.config, self._simulator.retention())
        return {name: column[0].tolist() for name, column in metrics._asdict().items()}

    def interactions(self) -> Interactions:
        """Return the T interactions of the episode so far, as columns (T,)."""
        return Interactions.from_rows(self._rows)

    @property
    def learner_state(self) -> dict[str, Any]:
        """Current learner: mastery (L,), ability (logits), frustration, response_time (s), fail_streak, engagement.

        Raises gymnasium.error.ResetNeeded before the first reset.
        """
        if not self._was_reset:
            raise ResetNeeded("call reset() before learner_state")
        return learner_state(self._simulator, 0)

    def truth(self, questions: Any = None) -> dict[str, Any]:
        """Return the latent state of the learner, for code that scores a method (clause S15.1).

        The keys and errors are those of `AdaptiveLearningVectorEnv.truth`, without the first axis.
        """
        if not self._was_reset:
            raise ResetNeeded("call reset() before truth()")
        return {name: values[0] for name, values in truth_of(self._simulator, questions).items()}

    @property
    def questions(self) -> list[dict[str, Any]]:
        """The questions, with the specification's keys."""
        return [self.bank.question(k) for k in range(self.num_questions)]

    @property
    def contents(self) -> list[dict[str, Any]]:
        """The contents, with the specification's keys."""
        return [self.bank.content(k) for k in range(self.num_contents)]
