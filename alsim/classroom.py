"""Who calls compiled teaching: a classroom a thread, and what comes out of many put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from threading import Condition
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim._jit import by_reference, entry
from alsim.actions import num_actions
from alsim.bank import Bank
from alsim.config import Config
from alsim.dynamics import code_of
from alsim.errors import AlsimError
from alsim.helpers import MOMENT, Crew
from alsim.policies import RulePolicy
from alsim.policies.compiled import own_code, typed
from alsim.simulator import Observation
from alsim.state import new_output, new_world
from alsim.teaching import Choices, Ends, Log, new_ends, new_log, pack, rebuild, teach
from alsim.types import BLOCK, Floats, Longs, f32, f64, i8, i64


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
        # Observations S8.1 are rebuilt from how mastery changes; of S8.2, each is written down.
        rebuilds, rows = keep_observations and observation == "mastery", (episodes + 1) * config.max_episode_steps
        self.log = new_log(rows, width, observations=keep_observations and not rebuilds, mastery=rebuilds)
        self.ends = new_ends(episodes + 1, width, first=rebuilds)
        self._rules_of_rows = bank.table.learning_outcome, bank.num_los, world.scale.max_time
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

    def rebuild(self, length: Longs, target: Floats, row: int) -> None:
        """Write observations to rows row, row + 1, … of `target`, if the log does not have them itself."""
        if len(self.log.mastery):
            rebuild(self.log, self.ends.first, length, self.most_steps, *self._rules_of_rows, target, row)


def observed_width(bank: Bank, observation: Observation) -> int:
    """Entries R of an observation."""
    return 2 * bank.num_los + 2 if observation == "responses" else bank.num_los + 2


BYTES_AT_ONCE = 25 * 10**6
"""Memory of a classroom: what was written is packed while it still is in a cache."""
MOST_AT_ONCE, FEWEST_AT_ONCE = 1024, 16


def episodes_at_once(config: Config, bank: Bank, observation: Observation, keep_observations: bool) -> int:
    """Episodes that a classroom has room for; 0 where a single one may be too long for it."""
    width = observed_width(bank, observation)
    *columns, observed, mastery = new_log(0, 0, observations=False, mastery=False)
    kept = 0 if not keep_observations else mastery.itemsize if observation == "mastery" else observed.itemsize * width
    row = sum(column.itemsize for column in columns) + kept
    fitting = BYTES_AT_ONCE // (row * config.max_episode_steps)
    return min(MOST_AT_ONCE, max(fitting, FEWEST_AT_ONCE if fitting else 0))


class Together:
    """The logs of many classrooms, one after the other, without gaps."""

    def __init__(self, rows: int, episodes: int, width: int, keep_observations: bool) -> None:
        self.log = new_log(rows, width, observations=keep_observations, mastery=False)
        self.ends = new_ends(episodes, width, first=False)
        self._width = width
        self._rows = self._episodes = 0

    def clear(self) -> None:
        """Begin anew: what is there will be written over."""
        self._rows = self._episodes = 0

    def reserve(self, length: Longs) -> tuple[int, int]:
        """Keep room for episodes of these lengths; returns the first row and the first episode of it."""
        place, rows = (self._rows, self._episodes), int(length.sum())
        if self._rows + rows > len(self.log.action):
            self._grow(2 * (self._rows + rows))
        self._rows += rows
        self._episodes += len(length)
        return place

    def put(self, room: Classroom, length: Longs, place: tuple[int, int]) -> None:
        """Write what a classroom's first episodes left in it to a reserved place."""
        (row, episode), episodes, places = place, len(length), len(room.log.action)
        columns: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(room.log, self.log, strict=True)
        for source, target in columns:
            if len(source) and len(target):
                size = source.itemsize * (len(source) // places)
                pack(source.view(i8), target.view(i8), length, room.most_steps, size, row)
        if len(self.log.observation):
            room.rebuild(length, self.log.observation, row)
        ends: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(room.ends, self.ends, strict=True)
        for source, target in ends:
            if not len(target):
                continue
            each = len(target) // len(self.ends.length)
            target[episode * each : (episode + episodes) * each] = source[: episodes * each]

    def _grow(self, rows: int) -> None:
        """Move to a log of so many rows."""
        before, width = len(self.log.action), self._width
        larger = new_log(rows, width, observations=len(self.log.observation) > 0, mastery=False)
        columns: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(self.log, larger, strict=True)
        for source, target in columns:
            used = len(source) // before * self._rows
            target[:used] = source[:used]
        self.log = larger

    def look(self) -> tuple[Log, Ends]:
        """Return views of all of it, good until something is added or cleared."""
        rows, episodes = len(self.log.action), len(self.ends.length)
        return (
            Log._make(column[: len(column) // rows * self._rows] for column in self.log),
            Ends._make(column[: len(column) // episodes * self._episodes] for column in self.ends),
        )

    def let_go(self) -> tuple[Log, Ends]:
        """Return all of it, without the room that is left; nothing can be added any more."""
        before = len(self.log.action)
        for column in self.log:
            column.resize(len(column) // before * self._rows, refcheck=False)  # in place, where the system can
        return self.log, self.ends


STEPS_AT_FIRST = 160
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
        self.at_once = min(episodes, episodes_at_once(config, bank, observation, keep_observations))
        self.together = Together(episodes * min(most_steps, STEPS_AT_FIRST), episodes, width, keep_observations)
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
        order, reserved = Condition(), 0
        # Where the log may have to grow, it must not move while another thread writes to it.
        growing = len(self.together.log.action) < len(learner) * self.most_steps

        def work(stopped: Callable[[], bool]) -> None:
            nonlocal reserved
            room = self.new_room()
            while not stopped():
                with order:
                    part = next(parts, None)
                if part is None:
                    return
                length = self._teach_part(room, learner, episode, part)
                with order:
                    while reserved != part:
                        if stopped():
                            return
                        order.wait(MOMENT)
                    place = self.together.reserve(length)
                    if growing:
                        self.together.put(room, length, place)
                    reserved = part + self.at_once
                    order.notify_all()
                if not growing:
                    self.together.put(room, length, place)

        with Crew(num_threads, work) as crew:
            crew.wait()
