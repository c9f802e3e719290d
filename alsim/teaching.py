"""Whole episodes in one call of compiled code: a policy's rule teaches learner after learner.

A block of lanes goes through interaction after interaction without leaving the L1 cache. A lane whose
episode ends takes up the next one that waits; what happened is written episode by episode.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Condition
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim._jit import borrow, by_reference, entry, kernel, phase, wide_vectors
from alsim.actions import KINDS, LEVELS, num_actions
from alsim.bank import Bank
from alsim.config import Config
from alsim.dynamics import code_of
from alsim.errors import AlsimError
from alsim.lockstep import (
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
    conclude,
    draw,
    gather,
    list_finished,
    scatter,
    tally,
)
from alsim.numerics.philox import WORD_BITS, philox
from alsim.policies import RulePolicy
from alsim.policies.compiled import Luck, Seen, choose, own_code, typed
from alsim.simulator import Observation
from alsim.start import begin
from alsim.state import new_output, new_world
from alsim.types import (
    BLOCK,
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


class Log(NamedTuple):
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


class Ends(NamedTuple):
    """How E episodes began and ended."""

    length: Longs  # (E,)
    reason: Codes  # (E,)
    ability_start: Floats  # (E,)
    ability_final: Floats  # (E,)
    observation: Floats  # (E * R,) after the last interaction


class Choices(NamedTuple):
    """What the policy chose in each lane of the block, and which episode the lane is in."""

    action: Longs  # (B,)
    propensity: Doubles  # (B,)
    episode: Longs  # (B,) index among the episodes of the call


def new_log(rows: int, width: int, keep_observations: bool) -> Log:
    """Return a log of so many rows."""
    return Log(
        action=np.empty(rows, i32),
        reward=np.empty(rows, f32),
        item=np.empty(rows, i32),
        correct=np.empty(rows, np.bool_),
        mastery_gain=np.empty(rows, f32),
        response_time=np.empty(rows, f32),
        frustration=np.empty(rows, f32),
        mean_mastery=np.empty(rows, f64),
        propensity=np.empty(rows, f64),
        observation=np.empty(rows * width if keep_observations else 0, f32),
    )


def new_ends(episodes: int, width: int) -> Ends:
    """Return room for the ends of so many episodes."""
    return Ends(
        length=np.empty(episodes, i64),
        reason=np.empty(episodes, i8),
        ability_start=np.empty(episodes, f32),
        ability_final=np.empty(episodes, f32),
        observation=np.empty(episodes * width, f32),
    )


@phase
def decide(
    policy: Any,
    rows: Floats,
    width: int,
    num_los: int,
    lanes: Population,
    scratch: Scratch,
    choices: Choices,
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
        luck = Luck(words[WORD_0 + i], words[WORD_1 + i], words[WORD_2 + i], words[WORD_3 + i])
        seen = Seen(u64(i) * u64(width), i64(num_los), lanes.response_time[i])
        action, propensity = choose(policy, rows, seen, luck)
        choices.action[i] = action
        choices.propensity[i] = propensity
        wrong |= (u64(action) >= actions) | (not (propensity > 0)) | (propensity > 1)
    if wrong:
        for i in range(count):
            propensity = choices.propensity[i]
            if u64(choices.action[i]) >= actions or not (propensity > 0) or propensity > 1:
                return i
    return -1


@phase
def log_observations(
    rows: Floats, width: int, lanes: Population, choices: Choices, log: Log, most_steps: int, count: int
) -> None:
    """Write what is observed in each lane before its interaction."""
    wide_vectors()
    for i in range(count):
        place = (u64(choices.episode[i]) * u64(most_steps) + u64(lanes.step[i])) * u64(width)
        row = u64(i) * u64(width)
        for cell in range(width):
            log.observation[place + u64(cell)] = rows[row + u64(cell)]


@phase
def log_interactions(
    num_los: int,
    table: ItemTable,
    lanes: Population,
    scratch: Scratch,
    choices: Choices,
    log: Log,
    most_steps: int,
    count: int,
) -> None:
    """Write what happened in each lane, after its interaction."""
    floats, ints = scratch.floats, scratch.ints
    for i in range(count):
        place = u64(choices.episode[i]) * u64(most_steps) + u64(lanes.step[i]) - u64(1)
        log.action[place] = i32(choices.action[i])
        log.reward[place] = floats[REWARD + i]
        log.item[place] = table.item[u64(ints[SLOT + i])]
        log.correct[place] = ints[CORRECT + i] != I0
        log.mastery_gain[place] = floats[GAIN + i]
        log.response_time[place] = lanes.response_time[i] if ints[QUESTION + i] != I0 else NAN
        log.frustration[place] = lanes.frustration[i]
        log.mean_mastery[place] = lanes.mastery_sum[i] / f64(num_los)
        log.propensity[place] = choices.propensity[i]


@kernel
def teach(
    world: Any, policy: Any, learner: Longs, episode: Longs, log: Log, ends: Ends, choices: Choices, output: Any
) -> int:
    """Let a policy teach learner[e] in its episode[e], for every e in 0 … E - 1.

    world   of lanes that have their seed; at most a block
    log     of E + 1 episodes, and so `ends`: the last is where lanes go that have nothing left to do

    Returns -1, or the first lane for which the policy chose what cannot be: it then stops.
    """
    w, out = borrow(world), borrow(output)
    lanes, items, scratch, num_los = w.population, w.items, w.scratch, w.scale.num_los
    parameters, weights, limits, max_time = w.parameters, w.weights, w.termination, w.scale.max_time
    listed, most_steps = scratch.listed, int(limits.max_steps)
    responses, keeps = len(lanes.responses) > 0, len(log.observation) > 0
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
            choices.episode[k] = min(upcoming, episodes)
            taken = min(upcoming, episodes - 1)
            upcoming += 1
            lanes.learner[k] = u32(learner[taken])
            lanes.episode[k] = u32(episode[taken])
        if ended > 0:
            begin(w, listed, 0, ended)
        for j in range(ended):
            k = listed[j]
            ends.ability_start[choices.episode[k]] = lanes.ability[k]
        wrong = decide(policy, rows, width, num_los, lanes, scratch, choices, count)
        if wrong >= 0:
            return wrong
        if keeps:
            log_observations(rows, width, lanes, choices, log, most_steps, count)
        draw(lanes, scratch, 0, count)
        gather(lanes, items, num_los, scratch, choices.action, 0, count)
        advance(parameters, weights, max_time, lanes, scratch, 0, count)
        conclude(limits, num_los, lanes, scratch, out, 0, count)
        scatter(lanes, scratch, num_los, 0, count)
        if responses:
            tally(limits.max_steps, num_los, lanes, scratch, 0, count)
        log_interactions(num_los, items, lanes, scratch, choices, log, most_steps, count)
        ended = list_finished(lanes.finished, listed, 0, 0, count)
        for j in range(ended):
            k = listed[j]
            e = choices.episode[k]
            done += int(e < episodes)
            ends.length[e] = i64(lanes.step[k])
            ends.reason[e] = out.reason[k]
            ends.ability_final[e] = lanes.ability[k]
            for cell in range(width):
                ends.observation[e * width + cell] = rows[k * width + cell]
    return -1


@kernel
def pack(source: Codes, target: Codes, length: Longs, stride: int, size: int, first: int) -> None:
    """Move the first length[e] of each `stride` entries of `source`, `size` bytes each, to `target`, row after row.

    first  row of `target` where they begin
    """
    place = first * size
    for e in range(len(length)):
        move(source, target, e * stride * size, place, length[e] * size)
        place += length[e] * size


@phase
def move(source: Codes, target: Codes, begin_at: int, place: int, count: int) -> None:
    """Copy `count` bytes."""
    for k in range(count):
        target[u64(place + k)] = source[u64(begin_at + k)]


class Classroom:
    """A block of lanes in which a policy's rule teaches, episode after episode; one thread's own.

    episodes  the most that it is given at once
    """

    def __init__(
        self,
        config: Config,
        bank: Bank,
        policy: RulePolicy,
        seed: int,
        episodes: int,
        *,
        observation: Observation,
        keep_observations: bool,
    ) -> None:
        lanes, width = min(BLOCK, episodes), observed_width(bank, observation)
        self.most_steps = config.max_episode_steps
        self._name, self._num_actions = policy.name, num_actions(bank.num_los)
        world = new_world(config, bank, lanes, responses=observation == "responses", record=False)
        world.population.key[:] = seed
        self.log = new_log((episodes + 1) * config.max_episode_steps, width, keep_observations)
        self.ends = new_ends(episodes + 1, width)
        output = new_output(lanes, np.empty(0, f32))
        self._held = world, output  # what the references borrow
        rules = code_of(type(world.parameters))
        self._choices = Choices(np.zeros(lanes, i64), np.zeros(lanes, f64), np.zeros(lanes, i64))
        self._taught_with = by_reference(world, rules), typed(policy.parameters)
        self._output = by_reference(output, rules)
        nobody = np.zeros(0, i64)
        own_cache = "-".join(filter(None, (rules, own_code(policy))))
        self._teach = entry(teach, *self._arguments(nobody, nobody), own_cache=own_cache)

    def _arguments(self, learner: Longs, episode: Longs) -> tuple[Any, ...]:
        return *self._taught_with, learner, episode, self.log, self.ends, self._choices, self._output

    def teach(self, learner: Longs, episode: Longs) -> None:
        """Run the episodes (learner[e], episode[e]), and leave what happened in `log` and `ends`."""
        lane = self._teach(*self._arguments(learner, episode))
        if lane >= 0:
            action, propensity = self._choices.action[lane], self._choices.propensity[lane]
            raise AlsimError(
                f"the policy {self._name!r} chose action {action} with probability {propensity}; actions are in "
                f"[0, {self._num_actions}), and probabilities in (0, 1]"
            )


def observed_width(bank: Bank, observation: Observation) -> int:
    """Entries R of an observation."""
    return 2 * bank.num_los + 2 if observation == "responses" else bank.num_los + 2


ROWS_AT_ONCE = 1024 * 140
"""Interactions that a classroom has room for: what was written is packed while it still is in a cache."""
FEWEST_AT_ONCE = 16


class Together:
    """The logs of many classrooms, one after the other, without gaps."""

    def __init__(self, rows: int, episodes: int, width: int, keep_observations: bool) -> None:
        self.log = new_log(rows, width, keep_observations)
        self.ends = new_ends(episodes, width)
        self._rows = self._episodes = 0

    def clear(self) -> None:
        """Begin anew: what is there will be written over."""
        self._rows = self._episodes = 0

    def reserve(self, length: Longs) -> tuple[int, int]:
        """Keep room for episodes of these lengths; returns the first row and the first episode of it."""
        place, rows = (self._rows, self._episodes), int(length.sum())
        if self._rows + rows > len(self.log.action):
            self._resize(2 * (self._rows + rows))
        self._rows += rows
        self._episodes += len(length)
        return place

    def put(self, room: Classroom, length: Longs, place: tuple[int, int]) -> None:
        """Write what a classroom's first episodes left in it to a reserved place."""
        (row, episode), episodes, places = place, len(length), len(room.log.action)
        columns: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(room.log, self.log, strict=True)
        for source, target in columns:
            if len(source):
                size = source.itemsize * (len(source) // places)
                pack(source.view(i8), target.view(i8), length, room.most_steps, size, row)
        ends: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(room.ends, self.ends, strict=True)
        for source, target in ends:
            each = len(target) // len(self.ends.length)
            target[episode * each : (episode + episodes) * each] = source[: episodes * each]

    def _resize(self, rows: int) -> None:
        """Give the log so many rows, in place where the system can: nobody else has its arrays yet."""
        before = len(self.log.action)
        for column in self.log:
            column.resize(len(column) // before * rows, refcheck=False)

    def look(self) -> tuple[Log, Ends]:
        """Return views of all of it, good until something is added or cleared."""
        rows, episodes = len(self.log.action), len(self.ends.length)
        return (
            Log._make(column[: len(column) // rows * self._rows] for column in self.log),
            Ends._make(column[: len(column) // episodes * self._episodes] for column in self.ends),
        )

    def let_go(self) -> tuple[Log, Ends]:
        """Return all of it, without the room that is left; nothing can be added any more."""
        self._resize(self._rows)
        return self.log, self.ends


USUAL_STEPS = 160
"""Room for so many interactions an episode is made at first: memory that nothing is written to costs nothing."""


class Teacher:
    """Teaches lists of episodes, one classroom full after the other, in one thread.

    episodes  the most that a list has
    """

    def __init__(
        self,
        config: Config,
        bank: Bank,
        policy: RulePolicy,
        seed: int,
        episodes: int,
        *,
        observation: Observation = "mastery",
        keep_observations: bool = True,
    ) -> None:
        policy.check(observation)
        most_steps, width = config.max_episode_steps, observed_width(bank, observation)
        self.most_steps = most_steps
        self.at_once = min(episodes, max(FEWEST_AT_ONCE, min(1024, ROWS_AT_ONCE // most_steps)))
        self.together = Together(episodes * min(most_steps, USUAL_STEPS), episodes, width, keep_observations)
        self.new_room = partial(
            Classroom,
            *(config, bank, policy, seed, self.at_once),
            observation=observation,
            keep_observations=keep_observations,
        )
        self._room: Classroom | None = None

    def teach(self, learner: Longs, episode: Longs) -> None:
        """Let the policy teach learner[e] in its episode[e], (E,) each; `together` has what happened."""
        self._room = self._room or self.new_room()
        self.together.clear()
        for start in range(0, len(learner), self.at_once):
            length = self._teach_part(self._room, learner, episode, start)
            self.together.put(self._room, length, self.together.reserve(length))

    def _teach_part(self, room: Classroom, learner: Longs, episode: Longs, start: int) -> Longs:
        """Fill a classroom once; returns the lengths of the episodes."""
        stop = min(start + self.at_once, len(learner))
        room.teach(learner[start:stop], episode[start:stop])
        return room.ends.length[: stop - start]

    def teach_in_threads(self, learner: Longs, episode: Longs, num_threads: int) -> None:
        """Do the same in several threads: the same bits, since places are reserved in order."""
        self.together.clear()
        parts = iter(range(0, len(learner), self.at_once))
        order, reserved, stopped = Condition(), 0, False
        # Where the log may have to grow, it must not move while another thread writes to it.
        growing = len(self.together.log.action) < len(learner) * self.most_steps

        def work() -> None:
            nonlocal reserved, stopped
            room = self.new_room()
            try:
                while True:
                    with order:
                        part = None if stopped else next(parts, None)
                    if part is None:
                        return
                    length = self._teach_part(room, learner, episode, part)
                    with order:
                        while reserved != part and not stopped:
                            order.wait()
                        if stopped:
                            return
                        place = self.together.reserve(length)
                        if growing:
                            self.together.put(room, length, place)
                        reserved = part + self.at_once
                        order.notify_all()
                    if not growing:
                        self.together.put(room, length, place)
            except BaseException:
                stopped = True
                with order:
                    order.notify_all()
                raise

        with ThreadPoolExecutor(num_threads, thread_name_prefix="alsim") as pool:
            try:
                for working in [pool.submit(work) for _ in range(num_threads)]:
                    working.result()
            finally:
                stopped = True  # without effect, unless this was interrupted
                with order:
                    order.notify_all()
