"""Replay: observations recomputed from recorded actions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.dynamics import rules_fingerprint
from alsim.errors import AlsimError
from alsim.jit.compile import entry, lean_kernel, phase, wide_vectors
from alsim.jit.references import borrow, by_reference
from alsim.mdp.observation import observation_width
from alsim.rollouts.kernels import begin_upcoming
from alsim.simulator.layout import REWARD
from alsim.simulator.state import new_output, new_world
from alsim.simulator.step import interact, list_finished, observation_rows
from alsim.types import BLOCK, Codes, Floats, LearnerArrays, Longs, Observation, Output, Scratch, f32, i8, i64, u64


class Recorded(NamedTuple):
    """Recorded episodes, and their M interactions, one episode after the other."""

    learner: Longs  # (E,)
    episode: Longs  # (E,)
    first: Longs  # (E,) row of the first interaction
    length: Longs  # (E,) number of interactions
    reason: Codes  # (E,) Reason for the end
    action: Longs  # (M,)
    reward: Floats  # (M,)


def replay(
    config: Config,
    bank: Bank,
    seed: int,
    observation: Observation,
    *,
    learner: Longs,
    episode: Longs,
    length: Longs,
    reason: Codes,
    action: Longs,
    reward: Floats,
) -> tuple[Floats, Floats]:
    """Return the observations of recorded episodes, bit for bit as they were (clause S11.1).

    config, bank      rules and items with which the episodes were generated
    seed              their seed
    observation       "mastery" or "responses"
    learner, episode  (E,) learner and episode number of each episode
    length, reason    (E,) number of interactions, and Reason for the end
    action, reward    (M,) of each interaction, one episode after the other

    Returns the observations before each interaction, (M, R) float32, and after the last one of each episode, (E, R).
    Raises AlsimError for columns of invalid lengths, and if a reward or the end of an episode differs from the result
    of the simulation.
    """
    episodes, rows, width = len(length), len(action), observation_width(bank.num_los, observation)
    if not (len(learner) == len(episode) == len(reason) == episodes and len(reward) == rows):
        raise AlsimError(
            "learner, episode, length and reason must have equal lengths, and so must action and reward; got "
            f"{len(learner)}, {len(episode)}, {episodes} and {len(reason)}, and {rows} and {len(reward)}"
        )
    if rows != length.sum() or (length < 1).any() or (length > rows).any():  # the sum may overflow to the right value
        raise AlsimError(
            f"lengths of episodes must be at least 1 and sum to the {rows} interactions; got a sum of {length.sum()}, "
            f"and {(length < 1).sum()} lengths below 1"
        )
    world = new_world(config, bank, min(BLOCK, episodes), responses=observation == "responses", record=False)
    world.learners.key[:] = seed
    lanes = len(world.learners.key)
    output = new_output(lanes, np.empty(0, f32))
    columns = (learner, episode, np.cumsum(length) - length, length, reason, action, reward)
    kinds = (i64, i64, i64, i64, i8, i64, f32)
    recorded = Recorded(*(np.ascontiguousarray(c, kind) for c, kind in zip(columns, kinds, strict=True)))
    obs, final = np.empty(rows * width, f32), np.empty(episodes * width, f32)
    rules = rules_fingerprint(type(world.parameters))
    references = by_reference(world), by_reference(output)
    arguments = (*references, recorded, np.zeros(lanes, i64), np.zeros(lanes, i64), obs, final)
    differing = entry(replay_episodes, *arguments, own_cache=rules)(*arguments)
    if differing >= 0:
        raise AlsimError(
            f"the replay of learner {learner[differing]} in episode {episode[differing]} differs from the record: the "
            "data were generated with other dynamics or another version of alsim; use these for the replay"
        )
    return obs.reshape(rows, width), final.reshape(episodes, width)


@lean_kernel
def replay_episodes(
    world: Any, output: Any, recorded: Recorded, current: Longs, actions: Longs, obs: Floats, final: Floats
) -> int:
    """Repeat the recorded actions of all episodes, and write the observations.

    current, actions  (B,) scratch for the episode and the action of each lane

    Returns -1, or the index of an episode whose interactions differ from the recorded ones.
    """
    w, out = borrow(world), borrow(output)
    lanes, scratch, listed = w.learners, w.scratch, w.scratch.listed
    rows, width = observation_rows(w)
    episodes, count = len(recorded.learner), len(lanes.key)
    upcoming, done, ended = 0, 0, count
    for k in range(count):
        listed[k] = k
    while done < episodes:
        upcoming = begin_upcoming(w, ended, recorded.learner, recorded.episode, upcoming, current, episodes)
        take_actions(rows, width, lanes, current, recorded, actions, obs, count)
        interact(w, actions, out, 0, count)
        differing = compare(lanes, scratch, out, current, recorded, count)
        if differing >= 0:
            return differing
        ended = list_finished(lanes.finished, listed, 0, 0, count)
        for j in range(ended):
            e = current[listed[j]]
            if e < episodes:
                done += 1
                for cell in range(width):
                    final[e * width + cell] = rows[listed[j] * width + cell]
    return -1


@phase
def take_actions(
    rows: Floats,
    width: int,
    lanes: LearnerArrays,
    current: Longs,
    recorded: Recorded,
    actions: Longs,
    obs: Floats,
    count: int,
) -> None:
    """Write the observation of each lane, and read the recorded action of its next interaction."""
    wide_vectors()
    for k in range(count):
        e = current[k]
        actions[k] = 0
        if e < len(recorded.first):
            place = recorded.first[e] + i64(lanes.step[k])
            actions[k] = recorded.action[place]
            for cell in range(width):
                obs[u64(place * width + cell)] = rows[u64(k * width + cell)]


@phase
def compare(lanes: LearnerArrays, scratch: Scratch, out: Output, current: Longs, recorded: Recorded, count: int) -> int:
    """Return the index of an episode whose last interaction differs from the recorded one, or -1."""
    for k in range(count):
        e = current[k]
        if e < len(recorded.first):
            step = i64(lanes.step[k])
            last = step == recorded.length[e]
            same = scratch.floats[REWARD + k] == recorded.reward[recorded.first[e] + step - 1]
            if not same or last != lanes.finished[k] or (last and out.reason[k] != recorded.reason[e]):
                return int(e)
    return -1
