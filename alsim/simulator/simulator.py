"""Simulator: learners that compiled kernels advance. Environments and rollouts use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from time import sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.dynamics import of_parameters, rules_fingerprint
from alsim.jit.compile import entry
from alsim.jit.references import by_reference
from alsim.jit.structs import is_absent, leaves
from alsim.mdp.actions import num_actions
from alsim.mdp.observation import observation_width
from alsim.numerics.philox import random_words
from alsim.simulator import step as step_kernels
from alsim.simulator.buffers import OutputBuffer
from alsim.simulator.state import new_scratch, new_world
from alsim.types import (
    BLOCK,
    Doubles,
    Floats,
    Interaction,
    LearnerArrays,
    Longs,
    Observation,
    Output,
    Purpose,
    Scratch,
    Words,
)
from alsim.utils.threads import ThreadPool

MIN_LANES_PER_THREAD = 4096
"""Fewer lanes are not worth a thread: waking one takes as long as a step of a thousand lanes."""
POLL_SECONDS = 5e-5
"""Seconds between polls of other threads that still work on a step."""


@dataclass(slots=True)
class _Compiled:
    """Parts of a simulator that belong to a process: compiled kernels, references to arrays, and threads."""

    references: list[Any]  # to the World, with the scratch arrays of each thread
    output: OutputBuffer  # of `Simulator.step`
    step: Callable[..., int]
    step_shared: Callable[..., bool]  # compiled only for several threads
    begin: Callable[..., None]
    first_invalid: Callable[..., int]  # compiled only for several threads
    move: Callable[..., None] | None = None  # compiled on first use
    pool: ThreadPool | None = None


class Simulator:
    """N lanes, each with one learner in one episode.

    config, bank  rules and items
    lanes         N, at least 1
    observation   "mastery" (clause S8.1) or "responses" (S8.2)
    record        record each interaction, in `interaction`
    num_threads   maximum number of threads that share a step, each with at least MIN_LANES_PER_THREAD lanes

    The callers must validate actions and seeds.
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
        self.observation_kind: Observation = observation
        self.width = observation_width(bank.num_los, observation)
        self._world = new_world(config, bank, lanes, responses=observation == "responses", record=record)
        self.num_threads = max(1, min(num_threads, lanes // MIN_LANES_PER_THREAD))
        self._edges = self._edges_of(lanes)
        self._generation, self._step_number = np.zeros(1, np.int64), 0

    def _edges_of(self, lanes: int) -> Longs:
        """Return the edges (num_threads + 1,) of the threads' parts of `lanes` lanes; parts consist of whole blocks."""
        blocks, threads = -(-lanes // BLOCK), self.num_threads
        return np.array([min(lanes, BLOCK * (blocks * k // threads)) for k in range(threads + 1)], np.int64)

    @property
    def _rules(self) -> str:
        """Fingerprint of the rules, empty for those of the package."""
        return rules_fingerprint(type(self._world.parameters))

    @cached_property
    def _compiled(self) -> _Compiled:
        """Kernels, compiled or loaded from the cache, and references to the arrays."""
        rules = self._rules
        scratches = [
            self._world.scratch,
            *(self._new_scratch() for _ in range(self.num_threads - 1)),
        ]
        references = [by_reference(self._world._replace(scratch=s)) for s in scratches]
        output = self.output_buffer(observations=False)
        world, actions, out = references[0], np.zeros(self.lanes, np.int64), output.reference
        shared = (world, actions, out, self._edges, actions, self._generation, 0, 0, 0)
        return _Compiled(
            references=references,
            output=output,
            step=entry(step_kernels.step, world, actions, out, 0, 0, 0, own_cache=rules),
            step_shared=step_kernels.step_shared
            if self.num_threads == 1
            else entry(step_kernels.step_shared, *shared, own_cache=rules),
            begin=entry(step_kernels.begin_lanes, world, actions, own_cache=rules),
            first_invalid=step_kernels.first_invalid
            if self.num_threads == 1
            else entry(step_kernels.first_invalid, world, actions, False, own_cache=rules),
        )

    def _new_scratch(self) -> Scratch:
        """Return scratch arrays of another thread."""
        w = self._world
        return new_scratch(of_parameters(type(w.parameters)), w.rows, w.graph, self.bank.num_los)

    def __getstate__(self) -> dict[str, Any]:
        """Return everything except the parts that belong to this process; they are made again on first use."""
        return {name: value for name, value in self.__dict__.items() if name != "_compiled"}

    @property
    def reference(self) -> Any:
        """Reference to everything that a step reads and writes, for kernels."""
        return self._compiled.references[0]

    @property
    def learners(self) -> LearnerArrays:
        """Arrays of the learners."""
        return self._world.learners

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """All arrays that a step reads or writes, except outputs."""
        parts = (self._world.start, self._world.items, self.learners, self.interaction, self._world.scratch)
        return [array for _, array in leaves(parts) if isinstance(array, np.ndarray)]

    @property
    def interaction(self) -> Interaction:
        """Record of the last interaction of each lane, empty unless recorded."""
        return self._world.interaction

    @property
    def observation(self) -> Floats:
        """Current observations, (N, R) float32: the simulator's own array, which the next step overwrites."""
        p = self._world.learners
        return (p.responses if self.observation_kind == "responses" else p.rows).reshape(self.lanes, self.width)

    @property
    def mastery(self) -> Floats:
        """Current mastery, (N, L) float32: the simulator's own array."""
        return self._world.learners.rows.reshape(self.lanes, self.bank.num_los + 2)[:, : self.bank.num_los]

    def begin(self, lanes: Longs) -> None:
        """Start the episodes of `lanes` (M,) that their key, learner and episode determine."""
        self._compiled.begin(self._compiled.references[0], lanes)

    def of_size(self, lanes: int) -> Simulator:
        """Return a new simulator of `lanes` lanes with the same settings."""
        return Simulator(
            self.config,
            self.bank,
            lanes,
            observation=self.observation_kind,
            record=len(self.interaction.item) > 0,
            num_threads=self.num_threads,
        )

    def move(self, lanes: Longs, target: Simulator, target_lanes: Longs) -> None:
        """Copy the learners in `lanes` (M,) to `target_lanes` (M,) of another simulator with the same rules."""
        compiled = self._compiled
        arguments = (compiled.references[0], lanes, target._compiled.references[0], target_lanes)
        if compiled.move is None:
            compiled.move = entry(step_kernels.move_lanes, *arguments, own_cache=self._rules)
        compiled.move(*arguments)

    def first_invalid(self, actions: Longs, *, ignore_finished: bool) -> int:
        """Return the first lane whose action is invalid, or -1.

        actions          (N,) or (M,) for the first M lanes
        ignore_finished  whether to accept any action in a lane whose episode has ended
        """
        return self._compiled.first_invalid(self._compiled.references[0], actions, ignore_finished)

    def output_buffer(self, *, observations: bool, last: bool = False) -> OutputBuffer:
        """Return a buffer for the outputs of a step.

        observations  whether the outputs include a copy of the observations
        last          whether to reserve space for the last observations of episodes, which SAME_STEP needs
        """
        final = np.zeros(self.lanes * self.width if last else 0, np.float32)
        return OutputBuffer(self.lanes, self.width, final, observations=observations, own_cache=self._rules)

    def step(self, actions: Longs, mode: int) -> Output:
        """Advance every lane by one interaction, and return the outputs, in arrays that the next step overwrites.

        actions  (N,), valid
        mode     NEXT_STEP, SAME_STEP or DISABLED, see `alsim.simulator.step`
        """
        compiled = self._compiled
        if mode == step_kernels.SAME_STEP and len(compiled.output.arrays.final) == 0:
            compiled.output = self.output_buffer(observations=False, last=True)
        self.step_into(compiled.output.reference, actions, mode)
        return compiled.output.arrays

    def step_into(self, out: Any, actions: Longs, mode: int) -> int:
        """Advance the first M lanes by one interaction, and write the outputs to `out`.

        out      reference to an Output of at least M lanes
        actions  (M,)
        mode     NEXT_STEP, SAME_STEP or DISABLED, see `alsim.simulator.step`

        Returns the number of lanes that were reset or, under DISABLED, of lanes whose episode has ended. If an action
        is invalid, returns -1 - k for the first such lane k, and nothing has changed.
        """
        compiled, lanes = self._compiled, len(actions)
        if self.num_threads == 1 or lanes < self.num_threads * MIN_LANES_PER_THREAD:
            return compiled.step(compiled.references[0], actions, out, 0, lanes, mode)
        lane = compiled.first_invalid(compiled.references[0], actions, mode == step_kernels.NEXT_STEP)
        if lane >= 0:
            return -1 - lane  # nothing has been changed yet
        # New counters for each step: a thread that starts late finds no lanes left in them.
        counters, errors = np.zeros(self.num_threads + 2, np.int64), list[BaseException]()
        self._step_number += 1
        edges = self._edges if lanes == self.lanes else self._edges_of(lanes)
        share = (actions, out, edges, counters, self._generation, self._step_number)
        pool = self._thread_pool()
        try:
            try:
                for thread, world in enumerate(compiled.references[1:], start=1):
                    pool.submit(compiled.step_shared, world, *share, thread, mode, errors=errors)
            finally:
                self._finish(share, mode, errors)
        except BaseException:
            self._finish(share, mode, errors)  # an interrupt may have come just before it could be deferred
            raise
        if errors:
            raise errors[0]
        return int(counters[-1])

    def _finish(self, share: tuple[Any, ...], mode: int, errors: list[BaseException]) -> None:
        """Work on a step until all lanes are done, or another thread has failed.

        Interrupts are deferred until then: no thread may write to the arrays after they are returned to the caller.
        """
        interrupt: BaseException | None = None
        compiled, done = self._compiled, False
        while not done and not errors:
            try:
                done = compiled.step_shared(compiled.references[0], *share, 0, mode)
                if not done:
                    sleep(POLL_SECONDS)
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def _thread_pool(self) -> ThreadPool:
        """Return the thread pool of this process, created on first use."""
        compiled = self._compiled
        if compiled.pool is None or not compiled.pool.in_this_process():
            compiled.pool = ThreadPool(self.num_threads - 1)
        return compiled.pool

    def close(self) -> None:
        """End the threads."""
        compiled: _Compiled | None = self.__dict__.get("_compiled")
        if compiled is not None and compiled.pool is not None:
            if compiled.pool.in_this_process():
                compiled.pool.close()
            compiled.pool = None

    def retention(self) -> Doubles:
        """Return the delayed retention of each lane if no further interaction follows, (N,) (clause S13.3)."""
        retention: Doubles = self.learners.mastery_sum / self.bank.num_los
        if not is_absent(self._world.retention):
            arguments = (self._compiled.references[0], np.arange(self.lanes), retention)
            entry(step_kernels.retention_of, *arguments, own_cache=self._rules)(*arguments)
        return retention

    def words(self, purpose: Purpose, block: int) -> NDArray[np.uint32]:
        """Return four random words (N, 4) for each lane at its current step (clause S11.1).

        purpose, block  last word of the counter: purpose in the low 16 bits, block of four words in the high 16 bits
        """
        words: Words = np.empty(4 * self.lanes, np.uint32)
        p = self._world.learners
        random_words(p.step, p.episode, p.learner, np.uint32(purpose | block << 16), p.key, words)
        return words.reshape(self.lanes, 4)
