"""Episodes as columns: what happened, its metrics (clauses S9.1 to S9.6) and its events (S10.1).

Interactions lie learner by learner, episode by episode, in order; environments and rollouts make the same
columns, and everything here is computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.actions import LEVELS
from alsim.bank import Bank
from alsim.config import Config
from alsim.types import MODALITIES, Bools, Codes, Doubles, Floats, Ints, Longs, f32, f64, i8, i32, i64

SECONDS_A_MINUTE = 60.0
EVENTS = ("question_shown", "answered", "content_shown")
"""Kinds of event, by code."""


class Interactions(NamedTuple):
    """M interactions of E episodes."""

    action: Ints  # (M,)
    reward: Floats  # (M,)
    item: Ints  # (M,) index in the bank, questions first
    correct: Bools  # (M,) False for content
    mastery_gain: Floats  # (M,)
    response_time: Floats  # (M,) seconds; NaN for content
    frustration: Floats  # (M,) after the interaction
    mean_mastery: Doubles  # (M,) after the interaction
    length: Longs  # (E,) interactions of each episode, at least 1

    @classmethod
    def of_rows(cls, rows: Sequence[tuple[Any, ...]]) -> Interactions:
        """Return the columns of one episode from its rows, fields in this order."""
        kinds = (i32, f32, i32, np.bool_, f32, f32, f32, f64)
        columns: list[Any] = [np.array(c, kind) for c, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
        return cls._make([*columns, np.array([len(rows)], i64)])

    @property
    def episode(self) -> Longs:
        """Number of each interaction's episode, (M,), counted from 0."""
        return np.repeat(np.arange(len(self.length)), self.length)

    @property
    def last(self) -> Longs:
        """Row of each episode's last interaction, (E,)."""
        return np.cumsum(self.length) - 1

    @property
    def step(self) -> Longs:
        """Number of each interaction in its episode, (M,), counted from 1."""
        first = np.cumsum(self.length) - self.length
        return np.arange(len(self.action)) - np.repeat(first, self.length) + 1


class EpisodeMetrics(NamedTuple):
    """Metrics of E episodes, (E,) each; what is undefined is NaN (clause S9.6)."""

    total_steps: Longs
    final_mastery: Doubles  # mean over LOs after the last interaction
    cumulative_reward: Doubles
    question_accuracy: Doubles  # share of questions answered correctly
    content_count: Longs
    blueprint_adherence: Doubles  # percent
    post_content_gain: Doubles  # mean mastery gained by a content
    post_content_gain_video: Doubles
    post_content_gain_PPT: Doubles
    post_content_gain_text: Doubles
    post_content_gain_blog: Doubles
    post_content_gain_article: Doubles
    post_content_gain_handout: Doubles
    time_to_mastery: Doubles  # interactions until mean mastery first reached the threshold
    time_on_task: Doubles  # minutes


class Events(NamedTuple):
    """Events of interactions, in order (clause S10.1), (V,) each."""

    kind: Codes  # index into EVENTS
    row: Longs  # interaction
    seconds: Doubles  # since the episode began


def episode_metrics(x: Interactions, bank: Bank, config: Config) -> EpisodeMetrics:
    """Return the metrics of every episode in `x`.

    Sums run in order of the rows, so that they are the same bits on every machine.
    """
    episodes, episode = len(x.length), x.episode
    asks = x.item < bank.num_questions
    modality = np.where(asks, -1, bank.contents.modality[np.maximum(x.item - bank.num_questions, 0)])

    def total(values: NDArray[Any], where: Bools | None = None) -> Doubles:
        chosen = slice(None) if where is None else where
        return np.asarray(np.bincount(episode[chosen], weights=values[chosen].astype(f64), minlength=episodes), f64)

    def count(where: Bools) -> Longs:
        return np.bincount(episode[where], minlength=episodes)

    questions, contents = count(asks), count(~asks)
    target = np.array(config.metrics.blueprint)
    level = np.where(asks, x.action % LEVELS, -1)
    share = np.stack([_ratio(count(level == k), questions) for k in range(LEVELS)])
    adherence = 100 * (1 - (abs(share[0] - target[0]) + abs(share[1] - target[1]) + abs(share[2] - target[2])) / LEVELS)
    reached = x.mean_mastery >= config.termination.mastery_threshold
    first = np.full(episodes, np.iinfo(i64).max)
    np.minimum.at(first, episode[reached], x.step[reached])
    return EpisodeMetrics(
        total_steps=x.length.copy(),
        final_mastery=x.mean_mastery[x.last],
        cumulative_reward=total(x.reward),
        question_accuracy=_ratio(count(asks & x.correct), questions),
        content_count=contents,
        blueprint_adherence=adherence,
        post_content_gain=_ratio(total(x.mastery_gain, ~asks), contents),
        **{
            f"post_content_gain_{word}": _ratio(total(x.mastery_gain, modality == k), count(modality == k))
            for k, word in enumerate(MODALITIES)
        },
        time_to_mastery=np.where(first < np.iinfo(i64).max, first, np.nan),
        time_on_task=total(durations(x, bank)) / SECONDS_A_MINUTE,
    )


def durations(x: Interactions, bank: Bank) -> Doubles:
    """Seconds that each interaction took, (M,): the response time, or the content's duration (clause S9.5)."""
    content = np.maximum(x.item - bank.num_questions, 0)
    minutes = bank.contents.duration[content].astype(f64)
    return np.asarray(np.where(x.item < bank.num_questions, x.response_time.astype(f64), minutes * SECONDS_A_MINUTE))


def events(x: Interactions, bank: Bank) -> Events:
    """Return the events of every interaction: a question is shown, then answered; a content is shown."""
    asks = x.item < bank.num_questions
    took = durations(x, bank)
    starts = _sums_before(took, x.length)
    per_row = 1 + asks
    row = np.repeat(np.arange(len(asks)), per_row)
    second = np.zeros(len(row), np.bool_)
    second[(np.cumsum(per_row) - 1)[asks]] = True
    kind = np.where(asks[row], np.where(second, 1, 0), 2).astype(i8)
    return Events(kind=kind, row=row, seconds=np.where(second, (starts + took)[row], starts[row]))


def _sums_before(values: Doubles, length: Longs) -> Doubles:
    """Sum of the values before each one within its episode, (M,), added one after the other."""
    out = np.empty_like(values)
    first = np.cumsum(length) - length
    running = np.zeros(len(length))
    # Step by step over all episodes at once: a sum across episodes would cancel differently in another batch.
    for step in range(int(length.max(initial=0))):
        alive = length > step
        out[first[alive] + step] = running[alive]
        running[alive] += values[first[alive] + step]
    return out


def _ratio(numerator: NDArray[Any], denominator: Longs) -> Doubles:
    """numerator / denominator, NaN where there is nothing to divide by."""
    undefined = np.full(len(denominator), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=denominator > 0))
