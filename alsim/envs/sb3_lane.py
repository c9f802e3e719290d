"""One lane of the VecEnv for Stable-Baselines3, with the attributes of a single environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from alsim.arguments import read_action
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.types import Bools

if TYPE_CHECKING:
    from alsim.envs.raw_infos import RawInfoVectorEnv

NOT_KEPT = ("get_episode_metrics", "episode_log", "interactions")
"""Attributes of a single environment that need the interactions of the episode so far."""


class Lane:
    """One lane of an `AdaptiveLearningVecEnv`, for its methods `get_attr` and `env_method`.

    It has the attributes of a single environment that Stable-Baselines3 and its users read.

    envs   the vector environment
    index  number of the lane
    """

    # Named in the class, so that `set_attr` of the VecEnv recognises them. User values go to `__dict__`.
    __slots__ = ("__dict__", "_envs", "index")

    def __init__(self, envs: RawInfoVectorEnv, index: int) -> None:
        self.index = index
        self._envs = envs

    @property
    def observation_space(self) -> Any:
        """Space of an observation (R,)."""
        return self._envs.single_observation_space

    @property
    def action_space(self) -> Any:
        """Space of an action."""
        return self._envs.single_action_space

    @property
    def render_mode(self) -> str | None:
        """Render mode of the environment."""
        return self._envs.render_mode

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata about rendering."""
        return {key: value for key, value in self._envs.metadata.items() if key != "autoreset_mode"}

    @property
    def spec(self) -> Any:
        """Specification for `gymnasium.make`, with the arguments of the environment."""
        return self._envs.spec

    @property
    def config(self) -> Config:
        """Configuration, which all lanes share."""
        return self._envs.config

    @property
    def bank(self) -> Bank:
        """Items, which all lanes share."""
        return self._envs.bank

    @property
    def num_los(self) -> int:
        """Number of learning outcomes L."""
        return self.bank.num_los

    @property
    def num_questions(self) -> int:
        """Number of questions."""
        return self.bank.num_questions

    @property
    def num_contents(self) -> int:
        """Number of contents."""
        return self.bank.num_contents

    @property
    def questions(self) -> list[dict[str, Any]]:
        """The questions, with the specification's keys."""
        return [self.bank.question(k) for k in range(self.num_questions)]

    @property
    def contents(self) -> list[dict[str, Any]]:
        """The contents, with the specification's keys."""
        return [self.bank.content(k) for k in range(self.num_contents)]

    @property
    def max_steps(self) -> int:
        """Step limit of an episode."""
        return self.config.max_episode_steps

    @property
    def step_count(self) -> int:
        """Number of interactions in the current episode."""
        return int(self._envs.lanes["step"][self.index])

    @property
    def learner_state(self) -> dict[str, Any]:
        """State of the current learner, see `AdaptiveLearningEnv`. Raises ResetNeeded before the first reset."""
        return self._envs.learner_state(self.index)

    @property
    def unwrapped(self) -> Lane:
        """This lane: it has no wrappers."""
        return self

    def action_masks(self) -> Bools:
        """Return True for each action that is allowed, (A,)."""
        masks: Bools = self._envs.action_masks()[self.index]
        return masks

    def decode_action(self, action: Any) -> dict[str, Any]:
        """Return the meaning of an action, see `AdaptiveLearningEnv.decode_action`.

        Raises TypeError or ValueError for an invalid action.
        """
        meanings = self._envs.action_meanings
        return dict(meanings[read_action(action, len(meanings))])

    def render(self) -> Any:
        """Return the current frame, see `AdaptiveLearningEnv.render`. It draws the frames of all lanes."""
        frames = self._envs.render()
        return None if frames is None else frames[self.index]

    def get_wrapper_attr(self, name: str) -> Any:
        """Return an attribute."""
        return getattr(self, name)

    def __getattr__(self, name: str) -> NoReturn:
        if name in NOT_KEPT:
            raise AttributeError(
                f"a lane has no attribute or method {name!r}, because the VecEnv keeps no interactions: read "
                "`episode`, `final_mastery` and `termination_reason` of the info of an episode's last step, or get "
                "all metrics from alsim.rollout(alsim.training.policy_of(model))",
                name=name,
                obj=self,
            )
        known = ", ".join(sorted(key for key in dir(type(self)) if not key.startswith("_")))
        raise AttributeError(
            f"a lane has no attribute or method {name!r}; it has {known}: the attribute `envs` of the VecEnv is the "
            "vector environment, which has further ones for all lanes",
            name=name,
            obj=self,
        )
