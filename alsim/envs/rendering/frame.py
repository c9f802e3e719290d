"""Frame: the data of one lane that a panel or a picture shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.types import DIFFICULTIES, MODALITIES, Floats, Observation


class LastInteraction(NamedTuple):
    """Last interaction of a lane."""

    item: str  # id in the bank
    is_question: bool
    lo: int  # index of the learning outcome
    level: str  # difficulty of a question, modality of a content
    correct: bool  # False for content
    seconds: float  # response time of a question, duration of a content
    gain: float  # increase of mastery
    reward: float


class Frame(NamedTuple):
    """State of one lane, its episode so far, and its last interaction.

    Values that are unknown after `restore` are NaN, and `last` is then None.
    """

    lane: int | None  # None: the single environment
    seed: int
    learner: int
    episode: int  # from 0
    step: int  # interactions so far
    max_steps: int
    outcomes: tuple[str, ...]  # names of the L learning outcomes
    observation: Observation  # "responses" hides mastery from the policy
    mastery: Floats  # (L,)
    mastery_at_start: Floats  # (L,) at the start of the episode
    mean_mastery: Floats  # (step + 1,) over LOs, from the start of the episode to now
    frustration: Floats  # (step + 1,) from the start of the episode to now
    mastery_threshold: float  # mean mastery at which the episode ends
    max_frustration: float  # frustration at which the episode ends
    ability: float  # logits; latent
    fail_streak: int  # wrong answers since the last correct one or content
    episode_return: float  # sum of rewards so far
    last: LastInteraction | None  # None before the first interaction
    reason: str | None  # the reason for the end of the episode; None while it continues

    @property
    def mastery_is_hidden(self) -> bool:
        """True if the policy does not observe mastery."""
        return self.observation == "responses"

    @property
    def is_restored(self) -> bool:
        """True if the start of the episode is unknown, because a snapshot was restored."""
        return bool(np.isnan(self.episode_return))

    @property
    def names(self) -> str:
        """Seed, learner and episode, and the lane in a vector environment."""
        lane = "" if self.lane is None else f"lane {self.lane}: "
        return f"{lane}seed {self.seed}, learner {self.learner}, episode {self.episode}"


def interaction_of(
    bank: Bank, item: int, *, correct: bool, seconds: float, gain: float, reward: float
) -> LastInteraction:
    """Return the description of an interaction.

    item     index in the bank, questions first
    correct  whether the answer was correct
    seconds  response time of a question; ignored for content
    gain     increase of mastery
    """
    if item < bank.num_questions:
        questions = bank.questions
        return LastInteraction(
            item=questions.id[item],
            is_question=True,
            lo=int(questions.learning_outcome[item]),
            level=DIFFICULTIES[questions.difficulty[item]],
            correct=correct,
            seconds=seconds,
            gain=gain,
            reward=reward,
        )
    contents, row = bank.contents, item - bank.num_questions
    return LastInteraction(
        item=contents.id[row],
        is_question=False,
        lo=int(contents.learning_outcome[row]),
        level=MODALITIES[contents.modality[row]],
        correct=False,
        seconds=60.0 * float(contents.duration[row]),
        gain=gain,
        reward=reward,
    )


def limits_of(config: Config) -> dict[str, float]:
    """Return the limits that end an episode, as fields of a Frame."""
    return {
        "max_steps": config.max_episode_steps,
        "mastery_threshold": float(config.termination.mastery_threshold),
        "max_frustration": float(config.termination.max_frustration),
    }
