"""The simulator proper: a population of learners, stepped by compiled kernels. Environments and rollouts drive it."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.dynamics import rules_fingerprint
from alsim.jit.compile import entry
from alsim.jit.references import by_reference
from alsim.mdp.actions import num_actions
from alsim.numerics.philox import random_words
from alsim.simulator import step as step_kernels
from alsim.simulator.buffers import OutputBuffer
from alsim.simulator.state import new_scratch, new_world
from alsim.types import BLOCK, Floats, Interaction, Longs, Observation, Output, Population, Purpose, Words
from alsim.utils.threads import ThreadPool

FEWEST_A_THREAD = 4096
"""Lanes that are worth a thread: to wake one takes as long as to step a thousand."""
POLL_SECONDS = 5e-5
"""Seconds between looks at what other threads have in hand, where they are slow."""


OF_THIS_PROCESS = frozenset(
    ("_references", "_own", "_step", "_step_shared", "_move", "_begin", "_first_invalid", "_pool")
)
"""Attributes of a simulator that are compiled code, references or threads: none goes into a pickle."""


class Simulator:
    """N lanes, each with one learner in one episode.

    config, bank  the rules and the items
    lanes         N, at least 1
    observation   "mastery" (clause S8.1) or "responses" (S8.2)
    record        keep what happened in each step, in `interaction`
    num_threads   the most threads that share a step, each with FEWEST_A_THREAD lanes at least

    Actions and seeds are trusted here; whoever drives the simulator checks them.
    """

    def __init__(
        self,
        config: Config,
        bank: Bank,
        lanes: int,
        *,
        observation: Observation = "mastery",
        record: bool = False,
        num_threads: int = 1,
    ) -> None:
        self.config = config
        self.bank = bank
        self.lanes = lanes
        self.num_actions = num_actions(bank.num_los)
        self.observes: Observation = observation
        self.responses = observation == "responses"
        self.width = 2 * bank.num_los + 2 if self.responses else bank.num_los + 2
        self._world = new_world(config, bank, lanes, responses=self.responses, record=record)
        self._ready = False
        self.num_threads = max(1, min(num_threads, lanes // FEWEST_A_THREAD))
        self._edges = self._edges_of(lanes)
        self._generation, self._step_number = np.zeros(1, np.int64), 0
        self._pool: ThreadPool | None = None

    def _edges_of(self, lanes: int) -> Longs:
        """Return where each thread's own part of so many lanes begins, and where the last one ends."""
        blocks, threads = -(-lanes // BLOCK), self.num_threads
        return np.array([min(lanes, BLOCK * (blocks * k // threads)) for k in range(threads + 1)], np.int64)

    def _prepare(self) -> None:
        """Compile, or load from the cache, what a step calls; take the arrays by reference."""
        scratches = [self._world.scratch, *(new_scratch() for _ in range(self.num_threads - 1))]
        rules = rules_fingerprint(type(self._world.parameters))
        self._references = [by_reference(self._world._replace(scratch=s), rules) for s in scratches]
        self._own = self.output_buffer(observations=False)
        world, actions, out = self._references[0], np.zeros(self.lanes, np.int64), self._own.reference
        self._step: Callable[..., int] = entry(step_kernels.step, world, actions, out, 0, 0, 0, own_cache=rules)
        self._step_shared: Callable[..., bool] = (
            self._step
            if self.num_threads == 1
            else entry(
                step_kernels.step_shared,
                world,
                actions,
                out,
                self._edges,
                actions,
                self._generation,
                0,
                0,
                0,
                own_cache=rules,
            )
        )
        self._move: Callable[..., None] | None = None  # compiled when it is asked for
        self._begin: Callable[..., None] = entry(step_kernels.begin_lanes, world, actions, own_cache=rules)
        self._first_invalid: Callable[..., int] = entry(
            step_kernels.first_invalid, world, actions, False, own_cache=rules
        )
        self._ready = True

    def __getstate__(self) -> dict[str, Any]:
        """Everything but compiled code, references and threads."""
        return {k: v for k, v in self.__dict__.items() if k not in OF_THIS_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up what was pickled; code is compiled again at the next step."""
        self.__dict__.update(state, _ready=False, _pool=None)

    @property
    def population(self) -> Population:
        """The learners' arrays."""
        return self._world.population

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """All arrays that a step reads or writes, what it hands out left aside."""
        parts = (self._world.start, self._world.items, self.population, self.interaction, self._world.scratch)
        return [field for part in parts for field in part if isinstance(field, np.ndarray)]

    @property
    def interaction(self) -> Interaction:
        """What happened in the last step, if recorded."""
        return self._world.interaction

    @property
    def observation(self) -> Floats:
        """What is observed now, (N, R) float32: the simulator's own array, which the next step writes over."""
        p = self._world.population
        return (p.responses if self.responses else p.rows).reshape(self.lanes, self.width)

    @property
    def mastery(self) -> Floats:
        """Mastery now, (N, L) float32: the simulator's own array."""
        return self._world.population.rows.reshape(self.lanes, self.bank.num_los + 2)[:, : self.bank.num_los]

    def begin(self, lanes: Longs) -> None:
        """Start the learners in `lanes` (M,) as the population's key, learner and episode say."""
        if not self._ready:
            self._prepare()
        self._begin(self._references[0], lanes)

    def of_size(self, lanes: int) -> Simulator:
        """Return another under the same rules, with so many lanes."""
        return Simulator(
            self.config,
            self.bank,
            lanes,
            observation=self.observes,
            record=len(self.interaction.item) > 0,
            num_threads=self.num_threads,
        )

    def move(self, these: Longs, target: Simulator, there: Longs) -> None:
        """Copy the learners in lanes `these` (M,) to lanes `there` (M,) of another simulator of the same rules."""
        for simulator in (self, target):
            if not simulator._ready:
                simulator._prepare()
        source, other = self._references[0], target._references[0]
        if self._move is None:
            rules = rules_fingerprint(type(self._world.parameters))
            self._move = entry(step_kernels.move_lanes, source, these, other, there, own_cache=rules)
        self._move(source, these, other, there)

    def first_invalid(self, actions: Longs, *, ignore_finished: bool) -> int:
        """Return the first lane whose action does not exist, or -1."""
        if not self._ready:
            self._prepare()
        return self._first_invalid(self._references[0], actions, ignore_finished)

    def output_buffer(self, *, observations: bool, last: bool = False) -> OutputBuffer:
        """Return memory for what a step hands out.

        observations  copy what is observed there, too
        last          leave room for the last observations of episodes, which SAME_STEP needs
        """
        final = np.zeros(self.lanes * self.width if last else 0, np.float32)
        rules = rules_fingerprint(type(self._world.parameters))
        return OutputBuffer(self.lanes, self.width, final, observations=observations, own_cache=rules)

    def step(self, actions: Longs, mode: int) -> Output:
        """Take every lane one interaction further, and return what came of it, in arrays that the next step uses."""
        if not self._ready:
            self._prepare()
        if mode == step_kernels.SAME_STEP and len(self._own.arrays.final) == 0:
            self._own = self.output_buffer(observations=False, last=True)
        self.step_into(self._own.reference, actions, mode)
        return self._own.arrays

    def step_into(self, out: Any, actions: Longs, mode: int) -> int:
        """Take the first M lanes one interaction further, and write what came of it to `out`.

        out      reference to an Output of M lanes at least
        actions  (M,)

        Returns what `step_kernels.step` does.
        """
        if not self._ready:
            self._prepare()
        lanes = len(actions)
        if self.num_threads == 1 or lanes < self.num_threads * FEWEST_A_THREAD:
            return self._step(self._references[0], actions, out, 0, lanes, mode)
        lane = self._first_invalid(self._references[0], actions, mode == step_kernels.NEXT_STEP)
        if lane >= 0:
            return -1 - lane  # before any thread has changed anything
        # Of this step alone: a thread that comes late finds nothing left to do.
        counters, errors = np.zeros(self.num_threads + 2, np.int64), list[BaseException]()
        self._step_number += 1
        edges = self._edges if lanes == self.lanes else self._edges_of(lanes)
        share = (actions, out, edges, counters, self._generation, self._step_number)
        pool = self._own_pool()
        try:
            try:
                for me, world in enumerate(self._references[1:], start=1):
                    pool.submit(self._step_shared, world, *share, me, mode, errors=errors)
            finally:
                self._finish(share, mode, errors)
        except BaseException:
            self._finish(share, mode, errors)  # what interrupts may have come just before it could be held back
            raise
        if errors:
            raise errors[0]
        return int(counters[-1])

    def _finish(self, share: tuple[Any, ...], mode: int, errors: list[BaseException]) -> None:
        """Take part in a step until all of it is done, or another thread failed.

        What interrupts is raised after that: no thread must write to arrays that the caller has again.
        """
        interrupted: BaseException | None = None
        done = False
        while not done and not errors:
            try:
                done = self._step_shared(self._references[0], *share, 0, mode)
                if not done:
                    sleep(POLL_SECONDS)  # the others have some lanes in hand
            except BaseException as error:
                interrupted = error
        if interrupted is not None:
            raise interrupted

    def _own_pool(self) -> ThreadPool:
        """Return the threads of this process."""
        if self._pool is None or not self._pool.in_this_process():
            self._pool = ThreadPool(self.num_threads - 1)
        return self._pool

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None and self._pool.in_this_process():
            self._pool.close()
        self._pool = None

    def words(self, purpose: Purpose, block: int) -> NDArray[np.uint32]:
        """Four random words (N, 4) for each lane at its present step, for a purpose (clause S11.1)."""
        words: Words = np.empty(4 * self.lanes, np.uint32)
        p = self._world.population
        random_words(p.step, p.episode, p.learner, np.uint32(purpose | block << 16), p.key, words)
        return words.reshape(self.lanes, 4)
