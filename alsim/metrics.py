"""Metrics (clauses S9.1 to S9.6) and events (clause S10.1) of episodes, computed from columns of interactions.

Environments and rollouts record the same columns. Their rows are sorted by learner, then by episode, then by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.errors import AlsimError
from alsim.jit.compile import lean_kernel, rule
from alsim.mdp.actions import KINDS, LEVELS
from alsim.types import (
    HOURS_PER_SECOND,
    MODALITIES,
    Bools,
    Codes,
    Doubles,
    Floats,
    Ints,
    Longs,
    f32,
    f64,
    fields_repr,
    i8,
    i32,
    i64,
    safe_repr,
    short_repr,
)

SECONDS_PER_MINUTE = f64(60)
EVENTS = ("question_shown", "answered", "content_shown")
"""Kinds of event, indexed by code."""
SHOWN, ANSWERED, CONTENT = range(len(EVENTS))


Better = Literal["higher", "lower"]


class Metric(NamedTuple):
    """A metric of an episode; `unit` is empty for a quantity without unit.

    `better` says which values are better; None if it depends on the purpose.
    """

    name: str
    label: str
    unit: str
    description: str
    better: Better | None = None

    @property
    def heading(self) -> str:
        """Label with unit, as in "time on task, min"."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("total_steps", "episode length", "interactions", "length of the episode (S9.1)"),
        Metric("final_mastery", "final mastery", "", "mean mastery over LOs at the end (S9.1)", "higher"),
        Metric("cumulative_reward", "return", "", "sum of rewards (S9.1)", "higher"),
        Metric("question_accuracy", "accuracy", "", "share of questions answered correctly (S9.1)"),
        Metric("content_count", "contents shown", "", "number of contents shown (S9.1)"),
        Metric("blueprint_adherence", "blueprint adherence", "percent", "closeness to the blueprint (S9.2)", "higher"),
        Metric("post_content_gain", "gain per content", "", "mean mastery gained per content (S9.3)", "higher"),
        *(
            Metric(
                f"post_content_gain_{word}",
                f"gain per {word}",
                "",
                f"mean mastery gained per {word} (S9.3)",
                "higher",
            )
            for word in MODALITIES
        ),
        Metric(
            "time_to_mastery",
            "time to mastery",
            "interactions",
            "interactions until mean mastery first reached the threshold (S9.4)",
            "lower",
        ),
        Metric("time_on_task", "time on task", "min", "response times and content durations (S9.5)"),
        Metric("delayed_retention", "delayed retention", "", "mean recall over LOs after a delay (S13.3)", "higher"),
    )
}
"""The metrics of an episode by name: one definition for `EpisodeMetrics`, JSON and printed tables."""


class Interactions(NamedTuple):
    """Columns of M interactions in E episodes. The properties `episode` and `step` are columns, too."""

    action: Ints  # (M,)
    reward: Floats  # (M,)
    item: Ints  # (M,) index in the bank, questions first
    correct: Bools  # (M,) False for content
    mastery_gain: Floats  # (M,)
    response_time: Floats  # (M,) seconds; NaN for content
    frustration: Floats  # (M,) after the interaction
    mean_mastery: Doubles  # (M,) after the interaction
    length: Longs  # (E,) interactions of each episode, at least 1

    @safe_repr
    def __repr__(self) -> str:
        """Return the columns by shape and type, also those of the properties."""
        rows = f"({len(self.action)},) int64"
        return f"{fields_repr(self)[:-1]}, episode {rows}, step {rows})"

    @classmethod
    def from_rows(cls, rows: Sequence[tuple[Any, ...]]) -> Interactions:
        """Return the columns of one episode from its rows, whose entries are in the order of the fields."""
        kinds = (i32, f32, i32, np.bool_, f32, f32, f32, f64)
        columns: list[Any] = [np.array(c, kind) for c, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
        return cls._make([*columns, np.array([len(rows)], i64)])

    @property
    def episode(self) -> Longs:
        """Index of the episode of each interaction, (M,), from 0."""
        return np.repeat(np.arange(len(self.length)), self.length)

    @property
    def last(self) -> Longs:
        """Row of the last interaction of each episode, (E,)."""
        return np.cumsum(self.length) - 1

    @property
    def step(self) -> Longs:
        """Number of each interaction within its episode, (M,), from 1."""
        first = np.cumsum(self.length) - self.length
        return np.arange(len(self.action)) - np.repeat(first, self.length) + 1


@short_repr
class EpisodeMetrics(NamedTuple):
    """Metrics of E episodes, arrays (E,); undefined values are NaN (clause S9.6). METRICS describes the fields."""

    total_steps: Longs
    final_mastery: Doubles
    cumulative_reward: Doubles
    question_accuracy: Doubles
    content_count: Longs
    blueprint_adherence: Doubles
    post_content_gain: Doubles
    post_content_gain_video: Doubles
    post_content_gain_PPT: Doubles
    post_content_gain_text: Doubles
    post_content_gain_blog: Doubles
    post_content_gain_article: Doubles
    post_content_gain_handout: Doubles
    time_to_mastery: Doubles
    time_on_task: Doubles
    delayed_retention: Doubles


@short_repr
class Events(NamedTuple):
    """Events of interactions in chronological order, arrays (V,) (clause S10.1)."""

    kind: Codes  # index into EVENTS
    row: Longs  # row of the interaction
    seconds: Doubles  # since the episode began


@rule
def _seconds(item: Any, response_time: f32, minutes: Floats, num_questions: int) -> f64:
    """Return the seconds that an interaction took: response time of a question, duration of a content (clause S9.5)."""
    if item < num_questions:
        return f64(response_time)
    return f64(minutes[item - num_questions]) * SECONDS_PER_MINUTE


class _Sums(NamedTuple):
    """Counts and sums over the interactions of E episodes."""

    questions: Longs  # (3 E,) questions of each difficulty
    correct: Longs  # (E,) questions answered correctly
    contents: Longs  # (6 E,) contents of each modality
    reward: Doubles  # (E,)
    content_gain: Doubles  # (E,) mastery gained by contents
    modality_gain: Doubles  # (6 E,) mastery gained by contents of each modality
    seconds: Doubles  # (E,)
    mastered: Longs  # (E,) first step after which mean mastery reaches the threshold, 0 if none


def add_time(clock: Doubles, item: Ints, seconds: Floats, step: int, bank: Bank, config: Config) -> None:
    """Add the time of an interaction and of a break to clocks (N,), hours, bit for bit as the simulator does (S13.1).

    item, seconds  (N,) items, and response times, NaN for contents
    step           number of the interaction in its episode, from 0
    """
    shown = np.isnan(seconds)
    content = f32(SECONDS_PER_MINUTE) * bank.contents.duration[np.where(shown, item - bank.num_questions, 0)]
    clock += np.where(shown, content, seconds).astype(f64) * HOURS_PER_SECOND
    if config.sessions is not None and (step + 1) % config.sessions.interactions == 0:
        clock += config.sessions.break_hours


def clocks_after(item: Ints, seconds: Floats, length: Longs, bank: Bank, config: Config) -> Doubles:
    """Return the hours since the episode began, after each of M interactions, (M,), see `add_time`.

    item, seconds  (M,) items, and response times, NaN for contents, one episode after the other
    length         (E,) interactions per episode
    """
    clock, first = np.zeros(len(length)), np.cumsum(length) - length
    after = np.empty(len(item))
    for step in range(int(length.max(initial=0))):
        lanes = np.flatnonzero(length > step)
        rows, own = first[lanes] + step, clock[lanes]
        add_time(own, item[rows], seconds[rows], step, bank, config)
        clock[lanes] = after[rows] = own
    return after


@lean_kernel
def _accumulate(
    x: Interactions, minutes: Floats, num_questions: int, modality: Codes, threshold: float, sums: _Sums
) -> None:
    """Add the interactions to `sums` in the order of the rows, so that every machine computes the same bits."""
    row = 0
    for e in range(len(x.length)):
        for step in range(1, x.length[e] + 1):
            item, gain = x.item[row], f64(x.mastery_gain[row])
            sums.reward[e] += f64(x.reward[row])
            sums.seconds[e] += _seconds(item, x.response_time[row], minutes, num_questions)
            if item < num_questions:
                sums.questions[LEVELS * e + x.action[row] % LEVELS] += 1
                sums.correct[e] += int(x.correct[row])
            else:
                kind = KINDS * e + int(modality[item - num_questions])
                sums.contents[kind] += 1
                sums.content_gain[e] += gain
                sums.modality_gain[kind] += gain
            if sums.mastered[e] == 0 and x.mean_mastery[row] >= threshold:
                sums.mastered[e] = step
            row += 1


def episode_metrics(x: Interactions, bank: Bank, config: Config, retention: Doubles | None = None) -> EpisodeMetrics:
    """Return the metrics of each episode in `x`.

    x          interactions of E episodes
    bank       bank that the interactions used
    config     source of the mastery threshold and of the blueprint
    retention  (E,) delayed retention; None: the final mastery, as under dynamics without forgetting

    Raises ValueError for columns of inconsistent lengths, and for items that are not in the bank.
    """
    _check(x, bank)
    sums = _sum_episodes(x, bank, float(config.termination.mastery_threshold))
    num_episodes = len(x.length)
    by_difficulty = sums.questions.reshape(num_episodes, LEVELS)
    by_modality = sums.contents.reshape(num_episodes, KINDS)
    modality_gain = sums.modality_gain.reshape(num_episodes, KINDS)
    num_questions, num_contents = by_difficulty.sum(axis=1), by_modality.sum(axis=1)
    return EpisodeMetrics(
        total_steps=x.length.copy(),
        final_mastery=x.mean_mastery[x.last],
        cumulative_reward=sums.reward,
        question_accuracy=_ratio(sums.correct, num_questions),
        content_count=num_contents,
        blueprint_adherence=_adherence(by_difficulty, config.metrics.blueprint),
        post_content_gain=_ratio(sums.content_gain, num_contents),
        **{
            f"post_content_gain_{word}": _ratio(modality_gain[:, k], by_modality[:, k])
            for k, word in enumerate(MODALITIES)
        },
        time_to_mastery=np.where(sums.mastered > 0, sums.mastered, np.nan),
        time_on_task=sums.seconds / SECONDS_PER_MINUTE,
        delayed_retention=x.mean_mastery[x.last] if retention is None else retention,
    )


def _sum_episodes(x: Interactions, bank: Bank, threshold: float) -> _Sums:
    """Return the counts and sums of each episode in `x`."""
    num_episodes = len(x.length)

    def counts(width: int = 1) -> Longs:
        return np.zeros(width * num_episodes, i64)

    def zeros(width: int = 1) -> Doubles:
        return np.zeros(width * num_episodes)

    sums = _Sums(
        questions=counts(LEVELS),
        correct=counts(),
        contents=counts(KINDS),
        reward=zeros(),
        content_gain=zeros(),
        modality_gain=zeros(KINDS),
        seconds=zeros(),
        mastered=counts(),
    )
    columns, minutes = Interactions._make(map(_writeable, x)), _writeable(bank.contents.duration)
    _accumulate(columns, minutes, bank.num_questions, bank.contents.modality.astype(i8), threshold, sums)
    return sums


def _adherence(by_difficulty: Longs, blueprint: Sequence[float]) -> Doubles:
    """Return the blueprint adherence, percent, (E,): 100 (1 - mean |share - target|) over difficulties (clause S9.2).

    by_difficulty  numbers of questions, (E, 3); an episode without questions has NaN
    """
    num_questions = by_difficulty.sum(axis=1)
    easy, medium, hard = (
        abs(_ratio(by_difficulty[:, k], num_questions) - target) for k, target in enumerate(blueprint)
    )
    return 100 * (1 - (easy + medium + hard) / LEVELS)


@lean_kernel
def _fill_events(x: Interactions, minutes: Floats, num_questions: int, session: int, pause: float, out: Events) -> None:
    """Write the events of every interaction; the clock starts at 0 in each episode.

    session, pause  interactions between breaks, 0 without breaks, and length of a break, seconds
    """
    row, event = 0, 0
    for e in range(len(x.length)):
        clock = f64(0)
        for step in range(x.length[e]):
            if session > 0 and step > 0 and step % session == 0:
                clock += pause
            is_question = x.item[row] < num_questions
            out.kind[event] = i8(SHOWN) if is_question else i8(CONTENT)
            out.row[event] = row
            out.seconds[event] = clock
            clock += _seconds(x.item[row], x.response_time[row], minutes, num_questions)
            if is_question:
                out.kind[event + 1] = i8(ANSWERED)
                out.row[event + 1] = row
                out.seconds[event + 1] = clock
            event += 2 if is_question else 1
            row += 1


def events(x: Interactions, bank: Bank, config: Config | None = None) -> Events:
    """Return the events of every interaction.

    config  source of the breaks between sessions (clause S13.1); None: there are none

    A question has two events (shown, answered), and a content has one.

    Raises ValueError for columns of inconsistent lengths, and for items that are not in the bank.
    """
    _check(x, bank)
    num_events = len(x.item) + int(np.count_nonzero(x.item < bank.num_questions))
    out = Events(kind=np.empty(num_events, i8), row=np.empty(num_events, i64), seconds=np.empty(num_events))
    columns, minutes = Interactions._make(map(_writeable, x)), _writeable(bank.contents.duration)
    sessions = None if config is None else config.sessions
    session, pause = (0, 0.0) if sessions is None else (sessions.interactions, 3600 * sessions.break_hours)
    _fill_events(columns, minutes, bank.num_questions, session, pause, out)
    return out


def _check(x: Interactions, bank: Bank) -> None:
    """Raise ValueError for inconsistent lengths or items outside the bank: kernels do not check array bounds."""
    num_rows, num_items = len(x.item), bank.num_questions + bank.num_contents
    sizes = [len(column) for column in x[:-1]]
    if any(size != num_rows for size in sizes) or x.length.sum() != num_rows or x.length.min(initial=1) < 1:
        raise AlsimError(
            f"columns of interactions must have equal sizes, and lengths of episodes must be at least 1 and sum to "
            f"that size; got sizes {sizes} and a sum of {x.length.sum()}; pass columns of the same interactions"
        )
    if num_rows and not (x.item.min() >= 0 and x.item.max() < num_items):
        raise AlsimError(
            f"items must be indices in [0, {num_items}) of the bank; got {x.item.min()} to {x.item.max()}; "
            "pass the bank that the interactions used"
        )


def _writeable(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array in the layout that compiled kernels require; a read-only or strided array is copied."""
    return array if array.flags.writeable and array.flags.c_contiguous else np.array(array, order="C")


def _ratio(numerator: NDArray[Any], denominator: Longs) -> Doubles:
    """Return numerator / denominator, NaN where the denominator is 0."""
    undefined = np.full(len(denominator), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=denominator > 0))
