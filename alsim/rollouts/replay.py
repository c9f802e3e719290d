"""Observations made again: what was done to learners is done to them once more, and what is seen written down."""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.dynamics import rules_fingerprint
from alsim.errors import AlsimError
from alsim.jit.compile import entry, kernel, phase, wide_vectors
from alsim.jit.references import borrow, by_reference
from alsim.rollouts.collector import observed_width
from alsim.simulator.reset import begin
from alsim.simulator.state import new_output, new_world
from alsim.simulator.step import REWARD, advance, count_responses, draw, finish, gather, list_finished, scatter
from alsim.types import BLOCK, Codes, Floats, Longs, Observation, Output, Population, Scratch, f32, i8, i64, u32, u64


def replay(
    config: Config,
    bank: Bank,
    seed: int,
    observation: Observation,
    learner: Longs,
    episode: Longs,
    length: Longs,
    action: Longs,
    reward: Floats,
    reason: Codes,
) -> tuple[Floats, Floats]:
    """Return the observations of episodes whose actions are known, bit for bit as they were (clause S11.1).

    learner, episode, length, reason   (E,) of each episode
    action, reward                     (M,) of each interaction, episode by episode

    Returns observations before each interaction, (M, R) float32, and after each episode's last, (E, R).
    Raises AlsimError where a reward, or when and why an episode ended, is not what the simulator gives.
    """
    episodes, rows, width = len(length), len(action), observed_width(bank, observation)
    if not (len(learner) == len(episode) == len(reason) == episodes and len(reward) == rows):
        raise AlsimError("the columns of a replay are of different lengths")
    if rows != length.sum() or (length < 1).any() or (length > rows).any():  # a sum may overflow to what it should be
        raise AlsimError(f"the episodes are {length.sum()} interactions long, and there are {rows}")
    world = new_world(config, bank, min(BLOCK, episodes), responses=observation == "responses", record=False)
    world.population.key[:] = seed
    output = new_output(len(world.population.key), np.empty(0, f32))
    rules = rules_fingerprint(type(world.parameters))
    obs, final = np.empty(rows * width, f32), np.empty(episodes * width, f32)
    arguments = (
        by_reference(world, rules),
        by_reference(output, rules),
        *(np.ascontiguousarray(column, i64) for column in (learner, episode, np.cumsum(length) - length, length)),
        *(np.ascontiguousarray(column, kind) for column, kind in ((action, i64), (reward, f32), (reason, i8))),
        *(np.zeros(len(world.population.key), i64) for _ in range(2)),
        obs,
        final,
    )
    strange = entry(play, *arguments, own_cache=rules)(*arguments)
    if strange >= 0:
        raise AlsimError(
            f"learner {learner[strange]} in episode {episode[strange]} does not answer as recorded: "
            "the dynamics, or the version of alsim, is another"
        )
    return obs.reshape(rows, width), final.reshape(episodes, width)


@kernel
def play(
    world: Any,
    output: Any,
    learner: Longs,
    episode: Longs,
    first: Longs,
    length: Longs,
    action: Longs,
    reward: Floats,
    reason: Codes,
    playing: Longs,
    chosen: Longs,
    obs: Floats,
    final: Floats,
) -> int:
    """Play episode after episode in each lane of a block, and write what is observed.

    first    (E,) row of each episode's first interaction
    playing  (B,) and chosen, (B,): block for the episode that each lane is in, and its action

    Returns -1, or an episode that does not go as recorded.
    """
    w, out = borrow(world), borrow(output)
    lanes, items, scratch, num_los = w.population, w.items, w.scratch, w.scale.num_los
    parameters, weights, limits, max_time = w.parameters, w.weights, w.termination, w.scale.max_time
    listed, responses = scratch.listed, len(lanes.responses) > 0
    rows, width = (lanes.responses, 2 * num_los + 2) if responses else (lanes.rows, num_los + 2)
    episodes, count = len(learner), len(lanes.key)
    upcoming, done, ended = 0, 0, count
    for k in range(count):
        listed[k] = k
    while done < episodes:
        # A lane that has nothing left to do plays the last episode again, to no effect.
        for j in range(ended):
            k = listed[j]
            playing[k] = min(upcoming, episodes)
            taken = min(upcoming, episodes - 1)
            upcoming += 1
            lanes.learner[k] = u32(learner[taken])
            lanes.episode[k] = u32(episode[taken])
        if ended > 0:
            begin(w, listed, 0, ended)
        copy_and_decide(rows, width, lanes, playing, first, action, chosen, obs, count)
        draw(lanes, scratch, 0, count)
        gather(lanes, items, num_los, scratch, chosen, 0, count)
        advance(parameters, weights, max_time, lanes, scratch, 0, count)
        finish(limits, num_los, lanes, scratch, out, 0, count)
        scatter(lanes, scratch, num_los, 0, count)
        if responses:
            count_responses(limits.max_steps, num_los, lanes, scratch, 0, count)
        strange = compare(lanes, scratch, out, playing, first, length, reward, reason, count)
        if strange >= 0:
            return strange
        ended = list_finished(lanes.finished, listed, 0, 0, count)
        for j in range(ended):
            e = playing[listed[j]]
            if e < episodes:
                done += 1
                for cell in range(width):
                    final[e * width + cell] = rows[listed[j] * width + cell]
    return -1


@phase
def copy_and_decide(
    rows: Floats,
    width: int,
    lanes: Population,
    playing: Longs,
    first: Longs,
    action: Longs,
    chosen: Longs,
    obs: Floats,
    count: int,
) -> None:
    """Write what is observed in each lane, and take the action that followed."""
    wide_vectors()
    for k in range(count):
        e = playing[k]
        chosen[k] = 0
        if e < len(first):
            place = first[e] + i64(lanes.step[k])
            chosen[k] = action[place]
            for cell in range(width):
                obs[u64(place * width + cell)] = rows[u64(k * width + cell)]


@phase
def compare(
    lanes: Population,
    scratch: Scratch,
    out: Output,
    playing: Longs,
    first: Longs,
    length: Longs,
    reward: Floats,
    reason: Codes,
    count: int,
) -> int:
    """Return an episode whose interaction was another than recorded, or -1."""
    for k in range(count):
        e = playing[k]
        if e < len(first):
            step = i64(lanes.step[k])
            last = step == length[e]
            same = scratch.floats[REWARD + k] == reward[first[e] + step - 1]
            if not same or last != lanes.finished[k] or (last and out.reason[k] != reason[e]):
                return int(e)
    return -1
