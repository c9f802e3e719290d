"""Whole episodes in one call of compiled code: a policy's rule teaches learner after learner.

A block of lanes goes through interaction after interaction without leaving the L1 cache. A lane whose
episode summaries takes up the next one that waits; what happened is written episode by episode.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from alsim.jit.compile import kernel, phase, wide_vectors
from alsim.jit.references import borrow
from alsim.mdp.actions import KINDS, LEVELS
from alsim.mdp.observation import observed_time
from alsim.numerics.philox import WORD_BITS, philox
from alsim.policies.compiled import PolicyInput, PolicyWords, choose
from alsim.simulator.reset import begin
from alsim.simulator.step import (
    AFTER,
    CORRECT,
    GAIN,
    QUESTION,
    REWARD,
    SLOT,
    WORD_0,
    WORD_1,
    WORD_2,
    WORD_3,
    advance,
    count_responses,
    draw,
    finish,
    gather,
    list_finished,
    scatter,
)
from alsim.types import (
    Bools,
    Codes,
    Doubles,
    Floats,
    Ints,
    ItemTable,
    Longs,
    Population,
    Purpose,
    Scratch,
    f32,
    f64,
    i8,
    i32,
    i64,
    u32,
    u64,
)

POLICY = u32(Purpose.POLICY)
I0, NAN = i32(0), f32(np.nan)


class Trajectories(NamedTuple):
    """What happened in E episodes of at most T interactions: interaction t of episode e in row e T + t."""

    action: Ints  # (E * T,) and so the rest, as in episodes.Interactions
    reward: Floats
    item: Ints
    correct: Bools
    mastery_gain: Floats
    response_time: Floats
    frustration: Floats
    mean_mastery: Doubles
    propensity: Doubles
    observation: Floats  # (E * T * R,) before the interaction, or (0,)
    mastery: Floats  # (E * T,) after the interaction, of its LO; or (0,)


class EpisodeSummaries(NamedTuple):
    """How E episodes began and ended."""

    length: Longs  # (E,)
    reason: Codes  # (E,)
    ability_start: Floats  # (E,)
    ability_final: Floats  # (E,)
    observation: Floats  # (E * R,) after the last interaction
    first: Floats  # (E * R,) observation before the first, or (0,)


class Decisions(NamedTuple):
    """What the policy chose in each lane of the block, and which episode the lane is in."""

    action: Longs  # (B,)
    propensity: Doubles  # (B,)
    episode: Longs  # (B,) index among the episodes of the call


def new_trajectories(rows: int, width: int, *, observations: bool, mastery: bool) -> Trajectories:
    """Return a trajectories of so many rows, with those of its last two columns."""
    return Trajectories(
        action=np.empty(rows, i32),
        reward=np.empty(rows, f32),
        item=np.empty(rows, i32),
        correct=np.empty(rows, np.bool_),
        mastery_gain=np.empty(rows, f32),
        response_time=np.empty(rows, f32),
        frustration=np.empty(rows, f32),
        mean_mastery=np.empty(rows, f64),
        propensity=np.empty(rows, f64),
        observation=np.empty(rows * width if observations else 0, f32),
        mastery=np.empty(rows if mastery else 0, f32),
    )


def new_summaries(episodes: int, width: int, *, first: bool) -> EpisodeSummaries:
    """Return block for the summaries of so many episodes, and for their first observations."""
    return EpisodeSummaries(
        length=np.empty(episodes, i64),
        reason=np.empty(episodes, i8),
        ability_start=np.empty(episodes, f32),
        ability_final=np.empty(episodes, f32),
        observation=np.empty(episodes * width, f32),
        first=np.empty(episodes * width if first else 0, f32),
    )


@phase
def decide(
    policy: Any,
    rows: Floats,
    width: int,
    num_los: int,
    lanes: Population,
    scratch: Scratch,
    decisions: Decisions,
    count: int,
) -> int:
    """Let the policy choose for each lane, with the words of counter (step, episode, learner, POLICY).

    Returns the first lane for which it chose what cannot be, or -1.
    """
    wide_vectors()
    actions = u64((LEVELS + KINDS) * num_los)
    wrong: Any = False
    words = scratch.words
    for i in range(count):
        key = lanes.key[i]
        w0, w1, w2, w3 = philox(
            lanes.step[i], lanes.episode[i], lanes.learner[i], POLICY, u32(key), u32(key >> WORD_BITS)
        )
        words[WORD_0 + i] = w0
        words[WORD_1 + i] = w1
        words[WORD_2 + i] = w2
        words[WORD_3 + i] = w3
    for i in range(count):
        luck = PolicyWords(words[WORD_0 + i], words[WORD_1 + i], words[WORD_2 + i], words[WORD_3 + i])
        seen = PolicyInput(u64(i) * u64(width), i64(num_los), lanes.response_time[i])
        action, propensity = choose(policy, rows, seen, luck)
        decisions.action[i] = action
        decisions.propensity[i] = propensity
        wrong |= (u64(action) >= actions) | (not (propensity > 0)) | (propensity > 1)
    if wrong:
        for i in range(count):
            propensity = decisions.propensity[i]
            if u64(decisions.action[i]) >= actions or not (propensity > 0) or propensity > 1:
                return i
    return -1


@phase
def record_observations(
    rows: Floats,
    width: int,
    lanes: Population,
    decisions: Decisions,
    trajectories: Trajectories,
    most_steps: int,
    count: int,
) -> None:
    """Write what is observed in each lane before its interaction."""
    wide_vectors()
    for i in range(count):
        place = (u64(decisions.episode[i]) * u64(most_steps) + u64(lanes.step[i])) * u64(width)
        row = u64(i) * u64(width)
        for cell in range(width):
            trajectories.observation[place + u64(cell)] = rows[row + u64(cell)]


@phase
def record_interactions(
    num_los: int,
    table: ItemTable,
    lanes: Population,
    scratch: Scratch,
    decisions: Decisions,
    trajectories: Trajectories,
    most_steps: int,
    count: int,
) -> None:
    """Write what happened in each lane, after its interaction."""
    floats, ints = scratch.floats, scratch.ints
    for i in range(count):
        place = u64(decisions.episode[i]) * u64(most_steps) + u64(lanes.step[i]) - u64(1)
        trajectories.action[place] = i32(decisions.action[i])
        trajectories.reward[place] = floats[REWARD + i]
        trajectories.item[place] = table.item[u64(ints[SLOT + i])]
        trajectories.correct[place] = ints[CORRECT + i] != I0
        trajectories.mastery_gain[place] = floats[GAIN + i]
        trajectories.response_time[place] = lanes.response_time[i] if ints[QUESTION + i] != I0 else NAN
        trajectories.frustration[place] = lanes.frustration[i]
        trajectories.mean_mastery[place] = lanes.mastery_sum[i] / f64(num_los)
        trajectories.propensity[place] = decisions.propensity[i]


@phase
def record_mastery(
    lanes: Population, scratch: Scratch, decisions: Decisions, trajectories: Trajectories, most_steps: int, count: int
) -> None:
    """Write the mastery in play in each lane, after its interaction."""
    for i in range(count):
        place = u64(decisions.episode[i]) * u64(most_steps) + u64(lanes.step[i]) - u64(1)
        trajectories.mastery[place] = scratch.floats[AFTER + i]


@kernel
def run_episodes(
    world: Any,
    policy: Any,
    learner: Longs,
    episode: Longs,
    trajectories: Trajectories,
    summaries: EpisodeSummaries,
    decisions: Decisions,
    output: Any,
) -> int:
    """Run a policy in episode[e] of learner[e], for every e in 0 … E - 1.

    world   of lanes that have their seed; at most a block
    trajectories     of E + 1 episodes, and so `summaries`: the last is where lanes go that have nothing left to do

    Returns -1, or the first lane for which the policy chose what cannot be: it then stops.
    """
    w, out = borrow(world), borrow(output)
    lanes, items, scratch, num_los = w.population, w.items, w.scratch, w.scale.num_los
    parameters, weights, limits, max_time = w.parameters, w.weights, w.termination, w.scale.max_time
    listed, most_steps = scratch.listed, int(limits.max_steps)
    responses, keeps, rebuilds = (
        len(lanes.responses) > 0,
        len(trajectories.observation) > 0,
        len(trajectories.mastery) > 0,
    )
    rows, width = (lanes.responses, 2 * num_los + 2) if responses else (lanes.rows, num_los + 2)
    episodes, count = len(learner), len(lanes.key)
    upcoming, done = 0, 0
    for k in range(count):
        listed[k] = k
    ended = count
    while done < episodes:
        # Every listed lane takes up the episode that comes next, or the spare one over and over.
        for j in range(ended):
            k = listed[j]
            decisions.episode[k] = min(upcoming, episodes)
            taken = min(upcoming, episodes - 1)
            upcoming += 1
            lanes.learner[k] = u32(learner[taken])
            lanes.episode[k] = u32(episode[taken])
        if ended > 0:
            begin(w, listed, 0, ended)
        for j in range(ended):
            k = listed[j]
            e = decisions.episode[k]
            summaries.ability_start[e] = lanes.ability[k]
            if rebuilds:
                for cell in range(width):
                    summaries.first[e * width + cell] = rows[k * width + cell]
        wrong = decide(policy, rows, width, num_los, lanes, scratch, decisions, count)
        if wrong >= 0:
            return wrong
        if keeps:
            record_observations(rows, width, lanes, decisions, trajectories, most_steps, count)
        draw(lanes, scratch, 0, count)
        gather(lanes, items, num_los, scratch, decisions.action, 0, count)
        advance(parameters, weights, max_time, lanes, scratch, 0, count)
        finish(limits, num_los, lanes, scratch, out, 0, count)
        scatter(lanes, scratch, num_los, 0, count)
        if responses:
            count_responses(limits.max_steps, num_los, lanes, scratch, 0, count)
        record_interactions(num_los, items, lanes, scratch, decisions, trajectories, most_steps, count)
        if rebuilds:
            record_mastery(lanes, scratch, decisions, trajectories, most_steps, count)
        ended = list_finished(lanes.finished, listed, 0, 0, count)
        for j in range(ended):
            k = listed[j]
            e = decisions.episode[k]
            done += int(e < episodes)
            summaries.length[e] = i64(lanes.step[k])
            summaries.reason[e] = out.reason[k]
            summaries.ability_final[e] = lanes.ability[k]
            for cell in range(width):
                summaries.observation[e * width + cell] = rows[k * width + cell]
    return -1


@kernel
def pack(source: Codes, target: Codes, length: Longs, stride: int, size: int, first: int) -> None:
    """Move the first length[e] of each `stride` entries of `source`, `size` bytes each, to `target`, row after row.

    first  row of `target` where they begin
    """
    place = first * size
    for e in range(len(length)):
        copy_bytes(source, target, e * stride * size, place, length[e] * size)
        place += length[e] * size


@kernel
def rebuild(
    trajectories: Trajectories,
    first: Floats,
    length: Longs,
    most_steps: int,
    learning_outcome: Ints,
    num_los: int,
    max_time: f32,
    target: Floats,
    row: int,
) -> None:
    """Write observations S8.1 to rows row, row + 1, … of `target`: each is the one before with three entries changed.

    That takes a fraction of the memory traffic of writing all of them twice, and gives the same bits.
    """
    width = num_los + 2
    place = row * width
    for e in range(len(length)):
        copy_row(first, target, e * width, place, width)
        for t in range(e * most_steps, e * most_steps + length[e] - 1):
            after = place + width
            copy_row(target, target, place, after, width)
            target[after + learning_outcome[trajectories.action[t]]] = trajectories.mastery[t]
            target[after + num_los] = trajectories.frustration[t]
            if not np.isnan(trajectories.response_time[t]):
                target[after + num_los + 1] = observed_time(trajectories.response_time[t], max_time)
            place = after
        place += width


@phase
def copy_row(source: Floats, target: Floats, begin_at: int, place: int, width: int) -> None:
    """Copy one row; of two in the same array, which do not overlap, too."""
    wide_vectors()
    for cell in range(width):
        target[u64(place + cell)] = source[u64(begin_at + cell)]


@phase
def copy_bytes(source: Codes, target: Codes, begin_at: int, place: int, count: int) -> None:
    """Copy `count` bytes."""
    for k in range(count):
        target[u64(place + k)] = source[u64(begin_at + k)]
