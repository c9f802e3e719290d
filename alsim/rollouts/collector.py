"""Runs compiled episodes in threads and concatenates their trajectories."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Condition
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.dynamics import of_parameters, rules_fingerprint
from alsim.errors import AlsimError
from alsim.jit.compile import entry
from alsim.jit.references import by_reference
from alsim.mdp.actions import num_actions
from alsim.policies import is_rule
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
from alsim.rollouts.plan import RolloutPlan
from alsim.simulator.state import new_output, new_world
from alsim.types import BLOCK, Floats, Longs, f32, f64, i8, i64
from alsim.utils.threads import POLL_SECONDS, ThreadGroup

BLOCK_BYTES, MAX_BLOCK_BYTES = 2 * 10**6, 25 * 10**6
"""Target and limit for the memory of an EpisodeBlock: trajectories are packed while they are still in a cache of the
core (decision 21)."""
ENOUGH_EPISODES = 4 * BLOCK
"""Episodes for which a block may exceed its target: with fewer, most lanes would wait for the last episodes."""
MAX_BLOCK_EPISODES, MIN_BLOCK_EPISODES = 1024, 16

INITIAL_STEPS = 160
"""Interactions per episode for which a buffer has space at first; pages that are never written cost nothing."""


def episodes_per_block(plan: RolloutPlan) -> int:
    """Return the capacity of an EpisodeBlock in episodes; 0 if a single episode may be too long for it."""
    *columns, observation, mastery = new_trajectories(0, 0, observations=False, mastery=False)
    row = sum(column.itemsize for column in columns)
    if rebuilds_observations(plan):
        row += mastery.itemsize
    elif plan.keep_observations:
        row += observation.itemsize * plan.width
    episode = row * plan.config.max_episode_steps
    if episode > MAX_BLOCK_BYTES:
        return 0
    wanted = min(max(BLOCK_BYTES // episode, ENOUGH_EPISODES), MAX_BLOCK_BYTES // episode)
    return min(MAX_BLOCK_EPISODES, max(wanted, MIN_BLOCK_EPISODES))


def rebuilds_observations(plan: RolloutPlan) -> bool:
    """Return whether observations are rebuilt from changes of mastery, or stored by the kernel.

    They are stored if they are those of S8.2, and if mastery changes in other LOs than that of the interaction.
    """
    dynamics = of_parameters(type(plan.config.dynamics))
    return plan.keep_observations and plan.observation == "mastery" and dynamics.observe is None


def is_compiled(plan: RolloutPlan) -> bool:
    """Return whether a plan runs in compiled code.

    Its policy is a compiled rule, there is no action mask, and its episodes fit in a block.
    """
    return is_rule(plan.policy) and plan.action_mask is None and episodes_per_block(plan) > 0


class EpisodeBlock:
    """A block of lanes that runs the episodes of a compiled policy, for use by one thread.

    trajectories, summaries  results of the last call of `run_episodes`
    """

    def __init__(self, plan: RolloutPlan, capacity: int) -> None:
        """Allocate the arrays of at most `capacity` episodes, and compile the kernel or load it from the cache."""
        config, bank, policy = plan.config, plan.bank, plan.policy
        assert is_rule(policy)  # for type checkers: see is_compiled
        lanes, width, rebuilds = min(BLOCK, capacity), plan.width, rebuilds_observations(plan)
        self.max_steps = config.max_episode_steps
        self._name, self._num_actions = policy.name, num_actions(bank.num_los)
        world = new_world(config, bank, lanes, responses=plan.observation == "responses", record=False, clock=True)
        world.learners.key[:] = plan.seed
        self.trajectories = new_trajectories(
            (capacity + 1) * self.max_steps,
            width,
            observations=plan.keep_observations and not rebuilds,
            mastery=rebuilds,
        )
        self.summaries = new_summaries(capacity + 1, width, first=rebuilds)
        self._rebuild_arguments = bank.table.cells["learning_outcome"].copy(), bank.num_los, world.scale.max_time
        output = new_output(lanes, np.empty(0, f32))
        self._referenced = world, output  # keeps alive the arrays that the references borrow
        rules = rules_fingerprint(type(world.parameters))
        memory = np.zeros(lanes * policy.memory, f32)
        self._decisions = Decisions(np.zeros(lanes, i64), np.zeros(lanes, f64), np.zeros(lanes, i64), memory)
        self._world, self._parameters = by_reference(world), typed(policy.parameters)
        self._output = by_reference(output)
        no_episodes = np.zeros(0, i64)
        own_cache = "-".join(filter(None, (rules, policy_fingerprint(policy))))
        self._run_episodes = entry(run_episodes, *self._arguments(no_episodes, no_episodes), own_cache=own_cache)

    def _arguments(self, learner: Longs, episode: Longs) -> tuple[Any, ...]:
        results = self.trajectories, self.summaries, self._decisions, self._output
        return self._world, self._parameters, learner, episode, *results

    def run_episodes(self, learner: Longs, episode: Longs) -> None:
        """Run episode[e] of learner[e] for all e, (E,) each. Raises AlsimError for an invalid decision."""
        lane = self._run_episodes(*self._arguments(learner, episode))
        if lane >= 0:
            action, propensity = self._decisions.action[lane], self._decisions.propensity[lane]
            raise AlsimError(
                f"the policy {self._name!r} chose action {action} with probability {propensity}; actions must be "
                f"in [0, {self._num_actions}), and probabilities in (0, 1]"
            )

    def rebuild_observations(self, length: Longs, target: Floats, row: int) -> None:
        """Write observations to rows row, row + 1, … of `target`, unless the trajectories contain them already."""
        if len(self.trajectories.mastery):
            first = self.summaries.first
            rebuild(self.trajectories, first, length, self.max_steps, *self._rebuild_arguments, target, row)


class TrajectoryBuffer:
    """Trajectories of several EpisodeBlocks, one after the other without gaps.

    rows               initial number of interactions for which there is space; the buffer grows
    episodes           maximum number of episodes
    width              R, entries of an observation
    keep_observations  whether the trajectories include observations
    """

    def __init__(self, rows: int, episodes: int, width: int, keep_observations: bool) -> None:
        self.trajectories = new_trajectories(rows, width, observations=keep_observations, mastery=False)
        self.summaries = new_summaries(episodes, width, first=False)
        self._width = width
        self._rows = self._episodes = 0

    def clear(self) -> None:
        """Remove all episodes; the memory is kept for reuse."""
        self._rows = self._episodes = 0

    def reserve(self, length: Longs) -> tuple[int, int]:
        """Reserve space for episodes of lengths (E,); return the index of its first row and of its first episode."""
        place, rows = (self._rows, self._episodes), int(length.sum())
        if self._rows + rows > len(self.trajectories.action):
            self._grow(2 * (self._rows + rows))
        self._rows += rows
        self._episodes += len(length)
        return place

    def write(self, block: EpisodeBlock, length: Longs, place: tuple[int, int]) -> None:
        """Copy the first E episodes of a block to the place that `reserve` returned for their lengths (E,)."""
        (row, episode), episodes, rows = place, len(length), len(block.trajectories.action)
        columns: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(block.trajectories, self.trajectories, strict=True)
        for source, target in columns:
            if len(source) and len(target):
                size = source.itemsize * (len(source) // rows)
                pack(source.view(i8), target.view(i8), length, block.max_steps, size, row)
        if len(self.trajectories.observation):
            block.rebuild_observations(length, self.trajectories.observation, row)
        summaries: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(block.summaries, self.summaries, strict=True)
        for source, target in summaries:
            if len(target):
                each = len(target) // len(self.summaries.length)
                target[episode * each : (episode + episodes) * each] = source[: episodes * each]

    def _grow(self, rows: int) -> None:
        """Move the trajectories to larger arrays, of `rows` rows."""
        before, width = len(self.trajectories.action), self._width
        larger = new_trajectories(rows, width, observations=len(self.trajectories.observation) > 0, mastery=False)
        columns: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(self.trajectories, larger, strict=True)
        for source, target in columns:
            used = len(source) // before * self._rows
            target[:used] = source[:used]
        self.trajectories = larger

    def view(self) -> tuple[Trajectories, EpisodeSummaries]:
        """Return views of the contents, valid until the buffer changes."""
        rows, episodes = len(self.trajectories.action), len(self.summaries.length)
        return (
            Trajectories._make(column[: len(column) // rows * self._rows] for column in self.trajectories),
            EpisodeSummaries._make(column[: len(column) // episodes * self._episodes] for column in self.summaries),
        )

    def release(self) -> tuple[Trajectories, EpisodeSummaries]:
        """Return the contents without unused space; the buffer must not be used afterwards."""
        before = len(self.trajectories.action)
        for column in self.trajectories:
            column.resize(len(column) // before * self._rows, refcheck=False)  # in place if the system can
        return self.trajectories, self.summaries


class Collector:
    """Collector of the trajectories of a compiled policy: it runs a list of episodes, one EpisodeBlock at a time.

    buffer  trajectories of the last call of `collect` or `collect_in_threads`
    """

    def __init__(self, plan: RolloutPlan, capacity: int) -> None:
        """Allocate space for lists of at most `capacity` episodes."""
        if is_rule(plan.policy):
            plan.policy.check(plan.observation)
        self._plan = plan
        self._max_steps = plan.config.max_episode_steps
        self.part = min(capacity, episodes_per_block(plan))
        """Episodes per part."""
        rows = capacity * min(self._max_steps, INITIAL_STEPS)
        self.buffer = TrajectoryBuffer(rows, capacity, plan.width, plan.keep_observations)
        self._block: EpisodeBlock | None = None

    def collect(self, learner: Longs, episode: Longs) -> None:
        """Run episode[e] of learner[e] for all e, (E,) each. Raises AlsimError for an invalid decision."""
        self._block = self._block or EpisodeBlock(self._plan, self.part)
        self.buffer.clear()
        for start in range(0, len(learner), self.part):
            length = self._run_part(self._block, learner, episode, start)
            self.buffer.write(self._block, length, self.buffer.reserve(length))

    def _run_part(self, block: EpisodeBlock, learner: Longs, episode: Longs, start: int) -> Longs:
        """Run the part of a list that begins at `start`; return the lengths of its episodes."""
        stop = min(start + self.part, len(learner))
        block.run_episodes(learner[start:stop], episode[start:stop])
        return block.summaries.length[: stop - start]

    def collect_in_threads(self, learner: Longs, episode: Longs, num_threads: int) -> None:
        """Run episodes as `collect` does, in several threads; the result is the same, bit for bit."""
        self.buffer.clear()
        parts = iter(range(0, len(learner), self.part))
        order, reserved = Condition(), 0
        # If the buffer may have to grow, it must not move while another thread writes to it.
        may_grow = len(self.buffer.trajectories.action) < len(learner) * self._max_steps

        def work(stopped: Callable[[], bool]) -> None:
            nonlocal reserved
            block = EpisodeBlock(self._plan, self.part)
            while not stopped():
                with order:
                    part = next(parts, None)
                if part is None:
                    return
                length = self._run_part(block, learner, episode, part)
                with order:
                    while reserved != part:
                        if stopped():
                            return
                        order.wait(POLL_SECONDS)
                    place = self.buffer.reserve(length)
                    if may_grow:
                        self.buffer.write(block, length, place)
                    reserved = part + self.part
                    order.notify_all()
                if not may_grow:
                    self.buffer.write(block, length, place)

        with ThreadGroup(num_threads, work) as threads:
            threads.wait()
