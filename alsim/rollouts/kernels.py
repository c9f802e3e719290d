"""Kernels of compiled rollouts: complete episodes of a policy that is a rule, in one call.

The kernel runs one block of lanes, which stays in the L1 cache. A lane whose episode ends begins the next episode of
the call. The trajectories are written episode by episode.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from alsim.jit.compile import lean_kernel, phase, sequence, wide_vectors
from alsim.jit.references import borrow
from alsim.mdp.actions import KINDS, LEVELS
from alsim.mdp.observation import observed_time
from alsim.policies.base import LARGEST_PROBABILITY
from alsim.policies.compiled import PolicyInput, PolicyTransition, PolicyWords, choose, learn
from alsim.simulator.clock import recall_later
from alsim.simulator.layout import AFTER, CORRECT, GAIN, QUESTION, REWARD, SLOT, WORD_0, WORD_1, WORD_2, WORD_3
from alsim.simulator.reset import begin_learners
from alsim.simulator.step import (
    draw_words,
    interact,
    list_finished,
    observation_rows,
)
from alsim.types import (
    I0,
    NAN,
    ZERO,
    Bools,
    Codes,
    Doubles,
    Floats,
    Ints,
    ItemTable,
    LearnerArrays,
    Longs,
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


class Trajectories(NamedTuple):
    """Interactions of E episodes, each of at most T interactions; interaction t of episode e is in row e T + t."""

    action: Ints  # (E * T,), as the fields below; see metrics.Interactions
    reward: Floats
    item: Ints
    correct: Bools
    mastery_gain: Floats
    response_time: Floats
    frustration: Floats
    mean_mastery: Doubles
    propensity: Doubles
    observation: Floats  # (E * T * R,) before the interaction, or (0,)
    mastery: Floats  # (E * T,) mastery of the interaction's LO after it, or (0,)


class EpisodeSummaries(NamedTuple):
    """Start and end of E episodes."""

    length: Longs  # (E,) number of interactions
    reason: Codes  # (E,) Reason for the end
    ability_start: Floats  # (E,) logits
    ability_final: Floats  # (E,) logits
    observation: Floats  # (E * R,) after the last interaction
    retention: Doubles  # (E,) delayed retention, if the dynamics says what is observed of mastery
    first: Floats  # (E * R,) observation before the first, or (0,)


class Decisions(NamedTuple):
    """Decision of the policy in each lane of the block, and the episode of the lane."""

    action: Longs  # (B,)
    propensity: Doubles  # (B,) probability of the action
    episode: Longs  # (B,) index among the episodes of the call
    memory: Floats  # (B * S,) memory of the policy, S values per lane


def new_trajectories(rows: int, width: int, *, observations: bool, mastery: bool) -> Trajectories:
    """Return uninitialised trajectories of `rows` rows, with or without the last two columns."""
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
    """Return uninitialised summaries of `episodes` episodes, with or without their first observations."""
    return EpisodeSummaries(
        length=np.empty(episodes, i64),
        reason=np.empty(episodes, i8),
        ability_start=np.empty(episodes, f32),
        ability_final=np.empty(episodes, f32),
        observation=np.empty(episodes * width, f32),
        retention=np.empty(episodes, f64),
        first=np.empty(episodes * width if first else 0, f32),
    )


@phase
def decide(
    policy: Any,
    rows: Floats,
    width: int,
    num_los: int,
    lanes: LearnerArrays,
    scratch: Scratch,
    decisions: Decisions,
    count: int,
) -> int:
    """Let the policy choose an action in each lane, with the words of counter (step, episode, learner, POLICY).

    Returns the first lane with an invalid action or probability, or -1.
    """
    wide_vectors()
    actions = u64((LEVELS + KINDS) * num_los)
    any_invalid: Any = False
    words, memory, values = scratch.words, decisions.memory, u64(len(decisions.memory) // count)
    draw_words(lanes, words, POLICY, 0, count)
    for i in range(count):
        policy_words = PolicyWords(words[WORD_0 + i], words[WORD_1 + i], words[WORD_2 + i], words[WORD_3 + i])
        row, place, hours = u64(i) * u64(width), u64(i) * values, f32(lanes.hours[i])
        policy_input = PolicyInput(row, i64(num_los), lanes.response_time[i], hours, memory, place)
        action, propensity = choose(policy, rows, policy_input, policy_words)
        decisions.action[i] = action
        decisions.propensity[i] = propensity
        any_invalid |= (u64(action) >= actions) | (not (propensity > 0)) | (propensity > 1)
    if any_invalid:
        for i in range(count):
            propensity = decisions.propensity[i]
            if u64(decisions.action[i]) >= actions or not (propensity > 0) or propensity > LARGEST_PROBABILITY:
                return i
            decisions.propensity[i] = min(propensity, f64(1))
    return -1


@phase
def record_observations(
    rows: Floats,
    width: int,
    lanes: LearnerArrays,
    decisions: Decisions,
    trajectories: Trajectories,
    most_steps: int,
    count: int,
) -> None:
    """Write the observation of each lane before its interaction."""
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
    lanes: LearnerArrays,
    scratch: Scratch,
    decisions: Decisions,
    trajectories: Trajectories,
    most_steps: int,
    count: int,
) -> None:
    """Write the interaction of each lane."""
    floats, ints = scratch.floats, scratch.ints
    for i in range(count):
        place = u64(decisions.episode[i]) * u64(most_steps) + u64(lanes.step[i]) - u64(1)
        trajectories.action[place] = i32(decisions.action[i])
        trajectories.reward[place] = floats[REWARD + i]
        trajectories.item[place] = table.slots[u64(ints[SLOT + i])]["item"]
        trajectories.correct[place] = ints[CORRECT + i] != I0
        trajectories.mastery_gain[place] = floats[GAIN + i]
        trajectories.response_time[place] = lanes.response_time[i] if ints[QUESTION + i] != I0 else NAN
        trajectories.frustration[place] = lanes.frustration[i]
        trajectories.mean_mastery[place] = lanes.mastery_sum[i] / f64(num_los)
        trajectories.propensity[place] = decisions.propensity[i]


@phase
def learn_in_lanes(
    policy: Any,
    rows: Floats,
    width: int,
    num_los: int,
    table: ItemTable,
    lanes: LearnerArrays,
    scratch: Scratch,
    decisions: Decisions,
    reason: Codes,
    count: int,
) -> None:
    """Change the memory of the policy in each lane after its interaction.

    rows    observations after it
    reason  (B,) reason for the end of the episode, 0 if it continues
    """
    floats, ints, memory = scratch.floats, scratch.ints, decisions.memory
    values = u64(len(memory) // count)
    for i in range(count):
        row, place, hours = u64(i) * u64(width), u64(i) * values, f32(lanes.hours[i])
        policy_input = PolicyInput(row, i64(num_los), lanes.response_time[i], hours, memory, place)
        asks = ints[QUESTION + i] != I0
        transition = PolicyTransition(
            i64(decisions.action[i]),
            decisions.propensity[i],
            i32(table.slots[u64(ints[SLOT + i])]["item"]),
            i64(ints[CORRECT + i]) if asks else i64(-1),
            lanes.response_time[i] if asks else NAN,
            floats[REWARD + i],
            i64(reason[i] != 0),
        )
        learn(policy, rows, policy_input, transition)


@phase
def clear_memory(listed: Longs, ended: int, memory: Floats, count: int) -> None:
    """Set the memory of the first `ended` listed lanes to 0, as at the start of an episode."""
    values = len(memory) // count
    for j in range(ended):
        for k in range(values):
            memory[u64(listed[j] * values + k)] = ZERO


@phase
def record_mastery(
    lanes: LearnerArrays,
    scratch: Scratch,
    decisions: Decisions,
    trajectories: Trajectories,
    most_steps: int,
    count: int,
) -> None:
    """Write the mastery after each lane's interaction, of the interaction's LO."""
    for i in range(count):
        place = u64(decisions.episode[i]) * u64(most_steps) + u64(lanes.step[i]) - u64(1)
        trajectories.mastery[place] = scratch.floats[AFTER + i]


@sequence
def begin_upcoming(
    w: Any, ended: int, learner: Longs, episode: Longs, upcoming: int, current: Longs, episodes: int
) -> int:
    """Begin the next of E episodes in each of the first `ended` listed lanes; return the index of the next one.

    learner, episode  (E,) of each episode
    current           (B,) index of each lane's episode, written; E in lanes for which no episode is left: they repeat
                      the last one, and the results are discarded
    """
    lanes, listed = w.learners, w.scratch.listed
    for j in range(ended):
        k = listed[j]
        current[k] = min(upcoming, episodes)
        number = min(upcoming, episodes - 1)
        upcoming += 1
        lanes.learner[k] = u32(learner[number])
        lanes.episode[k] = u32(episode[number])
    if ended > 0:
        begin_learners(w, listed, 0, ended)
    return upcoming


@lean_kernel
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

    world         World of at most one block of lanes, whose keys are set
    trajectories  space for E + 1 episodes, as in `summaries`: lanes for which no episode is left write to the last one

    Returns -1, or the first lane for which the policy made an invalid decision; the run stops there.
    """
    w, out = borrow(world), borrow(output)
    lanes, scratch, num_los = w.learners, w.scratch, w.scale.num_los
    listed, most_steps = scratch.listed, int(w.termination.max_steps)
    stores, rebuilds = len(trajectories.observation) > 0, len(trajectories.mastery) > 0
    rows, width = observation_rows(w)
    episodes, count = len(learner), len(lanes.key)
    upcoming, done, ended = 0, 0, count
    for k in range(count):
        listed[k] = k
    while done < episodes:
        upcoming = begin_upcoming(w, ended, learner, episode, upcoming, decisions.episode, episodes)
        record_starts(rows, width, lanes, listed, ended, decisions, summaries, rebuilds)
        clear_memory(listed, ended, decisions.memory, count)
        invalid_lane = decide(policy, rows, width, num_los, lanes, scratch, decisions, count)
        if invalid_lane >= 0:
            return invalid_lane
        if stores:
            record_observations(rows, width, lanes, decisions, trajectories, most_steps, count)
        interact(w, decisions.action, out, 0, count)
        record_interactions(num_los, w.items, lanes, scratch, decisions, trajectories, most_steps, count)
        if rebuilds:
            record_mastery(lanes, scratch, decisions, trajectories, most_steps, count)
        if len(decisions.memory) > 0:
            learn_in_lanes(policy, rows, width, num_los, w.items, lanes, scratch, decisions, out.reason, count)
        ended = list_finished(lanes.finished, listed, 0, 0, count)
        recall_later(w.retention, w, listed, ended, decisions.episode, summaries.retention)
        done += record_ends(rows, width, lanes, listed, ended, decisions, summaries, out.reason, episodes)
    return -1


@phase
def record_starts(
    rows: Floats,
    width: int,
    lanes: LearnerArrays,
    listed: Longs,
    ended: int,
    decisions: Decisions,
    summaries: EpisodeSummaries,
    observations: bool,
) -> None:
    """Write the initial ability and, on request, the first observation of the first `ended` listed lanes."""
    for j in range(ended):
        k = listed[j]
        e = decisions.episode[k]
        summaries.ability_start[e] = lanes.ability[k]
        if observations:
            for cell in range(width):
                summaries.first[e * width + cell] = rows[k * width + cell]


@phase
def record_ends(
    rows: Floats,
    width: int,
    lanes: LearnerArrays,
    listed: Longs,
    ended: int,
    decisions: Decisions,
    summaries: EpisodeSummaries,
    reason: Codes,
    episodes: int,
) -> int:
    """Write the summaries of the first `ended` listed lanes; return the number of them in the E episodes."""
    done = 0
    for j in range(ended):
        k = listed[j]
        e = decisions.episode[k]
        done += int(e < episodes)
        summaries.length[e] = i64(lanes.step[k])
        summaries.reason[e] = reason[k]
        summaries.ability_final[e] = lanes.ability[k]
        for cell in range(width):
            summaries.observation[e * width + cell] = rows[k * width + cell]
    return done


@lean_kernel
def pack(source: Codes, target: Codes, length: Longs, stride: int, size: int, first: int) -> None:
    """Copy the first length[e] entries of episode e from `source`, `stride` entries apart, to `target` without gaps.

    size   bytes per entry
    first  row of `target` for the first entry
    """
    place = first * size
    for e in range(len(length)):
        copy_bytes(source, target, e * stride * size, place, length[e] * size)
        place += length[e] * size


@lean_kernel
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
    """Write observations S8.1 to rows row, row + 1, … of `target`, each from the previous one.

    An interaction changes only three entries. Rebuilding the observations causes less memory traffic than storing and
    copying all of them, and gives the same bits.
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
    """Copy one row; source and target may be the same array, if the rows do not overlap."""
    wide_vectors()
    for cell in range(width):
        target[u64(place + cell)] = source[u64(begin_at + cell)]


@phase
def copy_bytes(source: Codes, target: Codes, begin_at: int, place: int, count: int) -> None:
    """Copy `count` bytes."""
    for k in range(count):
        target[u64(place + k)] = source[u64(begin_at + k)]
