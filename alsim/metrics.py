"""Episodes as columns: what happened, its metrics (clauses S9.1 to S9.6) and its events (S10.1).

Interactions lie learner by learner, episode by episode, in order; environments and rollouts make the same
columns, and everything here is computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.errors import AlsimError
from alsim.jit.compile import kernel, rule
from alsim.mdp.actions import KINDS, LEVELS
from alsim.types import MODALITIES, Bools, Codes, Doubles, Floats, Ints, Longs, f32, f64, i8, i32, i64

SECONDS_A_MINUTE = f64(60)
EVENTS = ("question_shown", "answered", "content_shown")
"""Kinds of event, by code."""
SHOWN, ANSWERED, CONTENT = range(len(EVENTS))


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


@rule
def _seconds(item: Any, response_time: f32, minutes: Floats, num_questions: int) -> f64:
    """Seconds that an interaction took: the response time, or the content's duration (clause S9.5)."""
    if item < num_questions:
        return f64(response_time)
    return f64(minutes[item - num_questions]) * SECONDS_A_MINUTE


class _Sums(NamedTuple):
    """Counts and sums over the interactions of E episodes."""

    asked: Longs  # (3 E,) questions of each difficulty
    right: Longs  # (E,) of them answered correctly
    shown: Longs  # (6 E,) contents of each modality
    reward: Doubles  # (E,)
    gain: Doubles  # (E,) mastery gained by contents
    gain_of: Doubles  # (6 E,) by contents of each modality
    seconds: Doubles  # (E,)
    mastered: Longs  # (E,) first interaction after which mean mastery reaches the threshold, 0 if none


@kernel
def _sum_up(
    x: Interactions, minutes: Floats, num_questions: int, modality: Codes, threshold: float, sums: _Sums
) -> None:
    """Fill `sums`, zero at first; in order of the rows, so that they are the same bits on every machine."""
    row = 0
    for e in range(len(x.length)):
        for step in range(1, x.length[e] + 1):
            item, gain = x.item[row], f64(x.mastery_gain[row])
            sums.reward[e] += f64(x.reward[row])
            sums.seconds[e] += _seconds(item, x.response_time[row], minutes, num_questions)
            if item < num_questions:
                sums.asked[LEVELS * e + x.action[row] % LEVELS] += 1
                sums.right[e] += int(x.correct[row])
            else:
                kind = KINDS * e + int(modality[item - num_questions])
                sums.shown[kind] += 1
                sums.gain[e] += gain
                sums.gain_of[kind] += gain
            if sums.mastered[e] == 0 and x.mean_mastery[row] >= threshold:
                sums.mastered[e] = step
            row += 1


def episode_metrics(x: Interactions, bank: Bank, config: Config) -> EpisodeMetrics:
    """Return the metrics of every episode in `x`. Raises ValueError for columns that do not fit together."""
    _check(x, bank)
    e = len(x.length)

    def counts(each: int = 1) -> Longs:
        return np.zeros(each * e, i64)

    def zeros(each: int = 1) -> Doubles:
        return np.zeros(each * e)

    sums = _Sums(counts(LEVELS), counts(), counts(KINDS), zeros(), zeros(), zeros(KINDS), zeros(), counts())
    modality, threshold = bank.contents.modality.astype(i8), float(config.termination.mastery_threshold)
    columns, minutes = Interactions._make(map(_writeable, x)), _writeable(bank.contents.duration)
    _sum_up(columns, minutes, bank.num_questions, modality, threshold, sums)
    asked, shown, gained = sums.asked.reshape(e, -1), sums.shown.reshape(e, -1), sums.gain_of.reshape(e, -1)
    questions, contents = asked.sum(axis=1), shown.sum(axis=1)
    target = np.array(config.metrics.blueprint)
    share = [_ratio(asked[:, k], questions) for k in range(LEVELS)]
    adherence = 100 * (1 - (abs(share[0] - target[0]) + abs(share[1] - target[1]) + abs(share[2] - target[2])) / LEVELS)
    return EpisodeMetrics(
        total_steps=x.length.copy(),
        final_mastery=x.mean_mastery[x.last],
        cumulative_reward=sums.reward,
        question_accuracy=_ratio(sums.right, questions),
        content_count=contents,
        blueprint_adherence=adherence,
        post_content_gain=_ratio(sums.gain, contents),
        **{f"post_content_gain_{word}": _ratio(gained[:, k], shown[:, k]) for k, word in enumerate(MODALITIES)},
        time_to_mastery=np.where(sums.mastered > 0, sums.mastered, np.nan),
        time_on_task=sums.seconds / SECONDS_A_MINUTE,
    )


@kernel
def _fill_events(x: Interactions, minutes: Floats, num_questions: int, out: Events) -> None:
    """Write the events of every interaction; the clock starts anew with each episode."""
    row, place = 0, 0
    for e in range(len(x.length)):
        clock = f64(0)
        for _ in range(x.length[e]):
            asks = x.item[row] < num_questions
            out.kind[place] = i8(SHOWN) if asks else i8(CONTENT)
            out.row[place] = row
            out.seconds[place] = clock
            clock += _seconds(x.item[row], x.response_time[row], minutes, num_questions)
            if asks:
                out.kind[place + 1] = i8(ANSWERED)
                out.row[place + 1] = row
                out.seconds[place + 1] = clock
            place += 2 if asks else 1
            row += 1


def events(x: Interactions, bank: Bank) -> Events:
    """Return the events of every interaction: a question is shown, then answered; a content is shown.

    Raises ValueError for columns that do not fit together.
    """
    _check(x, bank)
    many = len(x.item) + int(np.count_nonzero(x.item < bank.num_questions))
    out = Events(kind=np.empty(many, i8), row=np.empty(many, i64), seconds=np.empty(many))
    columns, minutes = Interactions._make(map(_writeable, x)), _writeable(bank.contents.duration)
    _fill_events(columns, minutes, bank.num_questions, out)
    return out


def _check(x: Interactions, bank: Bank) -> None:
    """Raise ValueError unless a loop over the columns stays within them and the bank."""
    rows, items = len(x.item), bank.num_questions + bank.num_contents
    if any(len(column) != rows for column in x[:-1]) or x.length.sum() != rows or x.length.min(initial=1) < 1:
        raise AlsimError(
            f"columns of interactions have one entry a row, and lengths of at least 1 add up to the rows; got "
            f"{[len(column) for column in x[:-1]]} entries and lengths that add up to {x.length.sum()}"
        )
    if rows and not (x.item.min() >= 0 and x.item.max() < items):
        raise AlsimError(f"items are in [0, {items}); got {x.item.min()} … {x.item.max()}")


def _writeable(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that kernels were compiled for: of a read-only or strided one, a copy."""
    return array if array.flags.writeable and array.flags.c_contiguous else np.array(array, order="C")


def _ratio(numerator: NDArray[Any], denominator: Longs) -> Doubles:
    """numerator / denominator, NaN where there is nothing to divide by."""
    undefined = np.full(len(denominator), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=denominator > 0))
