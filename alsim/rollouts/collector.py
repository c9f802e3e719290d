"""Who calls compiled teaching: a classroom a thread, and what comes out of many write buffer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from threading import Condition
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.dynamics import rules_fingerprint
from alsim.errors import AlsimError
from alsim.jit.compile import entry
from alsim.jit.references import by_reference
from alsim.mdp.actions import num_actions
from alsim.policies import RulePolicy
from alsim.policies.compiled import policy_fingerprint, typed
from alsim.rollouts.kernels import (
    Decisions,
    EpisodeSummaries,
    Trajectories,
    new_summaries,
    new_trajectories,
    pack,
    rebuild,
    run_episodes,
)
from alsim.simulator.state import new_output, new_world
from alsim.types import BLOCK, Floats, Longs, Observation, f32, f64, i8, i64
from alsim.utils.threads import POLL_SECONDS, ThreadGroup


class EpisodeBlock:
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
        self.trajectories = new_trajectories(
            rows, width, observations=keep_observations and not rebuilds, mastery=rebuilds
        )
        self.summaries = new_summaries(episodes + 1, width, first=rebuilds)
        self._rules_of_rows = bank.table.learning_outcome, bank.num_los, world.scale.max_time
        output = new_output(lanes, np.empty(0, f32))
        self._held = world, output  # what the references borrow
        rules = rules_fingerprint(type(world.parameters))
        self._choices = Decisions(np.zeros(lanes, i64), np.zeros(lanes, f64), np.zeros(lanes, i64))
        self._taught_with = by_reference(world, rules), typed(policy.parameters)
        self._output = by_reference(output, rules)
        nobody = np.zeros(0, i64)
        own_cache = "-".join(filter(None, (rules, policy_fingerprint(policy))))
        self._run_episodes = entry(run_episodes, *self._arguments(nobody, nobody), own_cache=own_cache)

    def _arguments(self, learner: Longs, episode: Longs) -> tuple[Any, ...]:
        return *self._taught_with, learner, episode, self.trajectories, self.summaries, self._choices, self._output

    def run_episodes(self, learner: Longs, episode: Longs) -> None:
        """Run the episodes (learner[e], episode[e]), and leave what happened in `trajectories` and `summaries`."""
        lane = self._run_episodes(*self._arguments(learner, episode))
        if lane >= 0:
            action, propensity = self._choices.action[lane], self._choices.propensity[lane]
            raise AlsimError(
                f"the policy {self._name!r} chose action {action} with probability {propensity}; actions are in "
                f"[0, {self._num_actions}), and probabilities in (0, 1]"
            )

    def rebuild(self, length: Longs, target: Floats, row: int) -> None:
        """Write observations to rows row, row + 1, … of `target`, if the trajectories does not have them itself."""
        if len(self.trajectories.mastery):
            rebuild(self.trajectories, self.summaries.first, length, self.most_steps, *self._rules_of_rows, target, row)


def observed_width(bank: Bank, observation: Observation) -> int:
    """Entries R of an observation."""
    return 2 * bank.num_los + 2 if observation == "responses" else bank.num_los + 2


BYTES_AT_ONCE = 25 * 10**6
"""Memory of a classroom: what was written is packed while it still is in a cache."""
MOST_AT_ONCE, FEWEST_AT_ONCE = 1024, 16


def episodes_at_once(config: Config, bank: Bank, observation: Observation, keep_observations: bool) -> int:
    """Episodes that a classroom has block for; 0 where a single one may be too long for it."""
    width = observed_width(bank, observation)
    *columns, observed, mastery = new_trajectories(0, 0, observations=False, mastery=False)
    kept = 0 if not keep_observations else mastery.itemsize if observation == "mastery" else observed.itemsize * width
    row = sum(column.itemsize for column in columns) + kept
    fitting = BYTES_AT_ONCE // (row * config.max_episode_steps)
    return min(MOST_AT_ONCE, max(fitting, FEWEST_AT_ONCE if fitting else 0))


class TrajectoryBuffer:
    """The logs of many classrooms, one after the other, without gaps."""

    def __init__(self, rows: int, episodes: int, width: int, keep_observations: bool) -> None:
        self.trajectories = new_trajectories(rows, width, observations=keep_observations, mastery=False)
        self.summaries = new_summaries(episodes, width, first=False)
        self._width = width
        self._rows = self._episodes = 0

    def clear(self) -> None:
        """Begin anew: what is there will be written over."""
        self._rows = self._episodes = 0

    def reserve(self, length: Longs) -> tuple[int, int]:
        """Keep block for episodes of these lengths; returns the first row and the first episode of it."""
        place, rows = (self._rows, self._episodes), int(length.sum())
        if self._rows + rows > len(self.trajectories.action):
            self._grow(2 * (self._rows + rows))
        self._rows += rows
        self._episodes += len(length)
        return place

    def write(self, block: EpisodeBlock, length: Longs, place: tuple[int, int]) -> None:
        """Write what a classroom's first episodes left in it to a reserved place."""
        (row, episode), episodes, places = place, len(length), len(block.trajectories.action)
        columns: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(block.trajectories, self.trajectories, strict=True)
        for source, target in columns:
            if len(source) and len(target):
                size = source.itemsize * (len(source) // places)
                pack(source.view(i8), target.view(i8), length, block.most_steps, size, row)
        if len(self.trajectories.observation):
            block.rebuild(length, self.trajectories.observation, row)
        summaries: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(block.summaries, self.summaries, strict=True)
        for source, target in summaries:
            if not len(target):
                continue
            each = len(target) // len(self.summaries.length)
            target[episode * each : (episode + episodes) * each] = source[: episodes * each]

    def _grow(self, rows: int) -> None:
        """Move to a trajectories of so many rows."""
        before, width = len(self.trajectories.action), self._width
        larger = new_trajectories(rows, width, observations=len(self.trajectories.observation) > 0, mastery=False)
        columns: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(self.trajectories, larger, strict=True)
        for source, target in columns:
            used = len(source) // before * self._rows
            target[:used] = source[:used]
        self.trajectories = larger

    def view(self) -> tuple[Trajectories, EpisodeSummaries]:
        """Return views of all of it, good until something is added or cleared."""
        rows, episodes = len(self.trajectories.action), len(self.summaries.length)
        return (
            Trajectories._make(column[: len(column) // rows * self._rows] for column in self.trajectories),
            EpisodeSummaries._make(column[: len(column) // episodes * self._episodes] for column in self.summaries),
        )

    def release(self) -> tuple[Trajectories, EpisodeSummaries]:
        """Return all of it, without the block that is left; nothing can be added any more."""
        before = len(self.trajectories.action)
        for column in self.trajectories:
            column.resize(len(column) // before * self._rows, refcheck=False)  # in place, where the system can
        return self.trajectories, self.summaries


STEPS_AT_FIRST = 160
"""Room for so many interactions an episode is made at first: memory that nothing is written to costs nothing."""


class Collector:
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
        self.buffer = TrajectoryBuffer(episodes * min(most_steps, STEPS_AT_FIRST), episodes, width, keep_observations)
        self.new_block = partial(
            EpisodeBlock,
            *(config, bank, policy, seed, self.at_once),
            observation=observation,
            keep_observations=keep_observations,
        )
        self._block: EpisodeBlock | None = None

    def collect(self, learner: Longs, episode: Longs) -> None:
        """Run episode[e] of learner[e] for all e, (E,) each, and leave the trajectories in `buffer`."""
        self._block = self._block or self.new_block()
        self.buffer.clear()
        for start in range(0, len(learner), self.at_once):
            length = self._collect_part(self._block, learner, episode, start)
            self.buffer.write(self._block, length, self.buffer.reserve(length))

    def _collect_part(self, block: EpisodeBlock, learner: Longs, episode: Longs, start: int) -> Longs:
        """Fill a classroom once; returns the lengths of the episodes."""
        stop = min(start + self.at_once, len(learner))
        block.run_episodes(learner[start:stop], episode[start:stop])
        return block.summaries.length[: stop - start]

    def collect_in_threads(self, learner: Longs, episode: Longs, num_threads: int) -> None:
        """Do the same in several threads: the same bits, since places are reserved in order."""
        self.buffer.clear()
        parts = iter(range(0, len(learner), self.at_once))
        order, reserved = Condition(), 0
        # Where the trajectories may have to grow, it must not move while another thread writes to it.
        growing = len(self.buffer.trajectories.action) < len(learner) * self.most_steps

        def work(stopped: Callable[[], bool]) -> None:
            nonlocal reserved
            block = self.new_block()
            while not stopped():
                with order:
                    part = next(parts, None)
                if part is None:
                    return
                length = self._collect_part(block, learner, episode, part)
                with order:
                    while reserved != part:
                        if stopped():
                            return
                        order.wait(POLL_SECONDS)
                    place = self.buffer.reserve(length)
                    if growing:
                        self.buffer.write(block, length, place)
                    reserved = part + self.at_once
                    order.notify_all()
                if not growing:
                    self.buffer.write(block, length, place)

        with ThreadGroup(num_threads, work) as crew:
            crew.wait()
