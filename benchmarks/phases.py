"""Times of the phases of a step, each measured alone over all blocks of N lanes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.jit.compile import kernel, rule
from alsim.jit.references import borrow, by_reference
from alsim.simulator import step as step_kernels
from alsim.simulator.buffers import OutputBuffer
from alsim.simulator.state import new_world
from alsim.simulator.step import NEXT_STEP
from alsim.types import BLOCK, u64
from benchmarks.contenders import uniform_actions
from benchmarks.measure import alternate
from benchmarks.report import markdown, number

Phase = Callable[[int], object]
"""Function that repeats a phase over all lanes a number of times, in compiled code."""

LANES, STEPS_BEFORE = 4096, 600
STEP, RESET = "step", "reset"


@rule
def check(w: Any, actions: Any, out: Any, first: int, count: int) -> None:
    # The result is stored, because the compiler removes computations without an effect.
    w.scratch.listed[0] = step_kernels.invalid(w.learners, actions, u64(len(w.items.cells)), True, first, first + count)


@rule
def draw(w: Any, actions: Any, out: Any, first: int, count: int) -> None:
    step_kernels.draw(w.learners, w.scratch, first, count)


@rule
def gather(w: Any, actions: Any, out: Any, first: int, count: int) -> None:
    step_kernels.gather(w.learners, w.items, w.scale.num_los, w.scratch, actions, first, count)


@rule
def advance(w: Any, actions: Any, out: Any, first: int, count: int) -> None:
    step_kernels.advance(w.parameters, w.weights, w.scale.max_time, w.learners, w.scratch, first, count)


@rule
def finish(w: Any, actions: Any, out: Any, first: int, count: int) -> None:
    step_kernels.finish(w.termination, w.scale.num_los, w.learners, w.scratch, out, first, count)


@rule
def list_finished(w: Any, actions: Any, out: Any, first: int, count: int) -> None:
    step_kernels.list_finished(w.learners.finished, w.scratch.listed, 0, first, count)


@rule
def scatter(w: Any, actions: Any, out: Any, first: int, count: int) -> None:
    step_kernels.scatter(w.learners, w.scratch, w.scale.num_los, first, count)


@rule
def copy(w: Any, actions: Any, out: Any, first: int, count: int) -> None:
    width = w.scale.num_los + 2
    step_kernels.copy_observation(w.learners.rows, out.observation, first * width, (first + count) * width)


BY_BLOCK = {
    "check of actions": check,
    "draw": draw,
    "gather": gather,
    "advance": advance,
    "finish": finish,
    "list of finished lanes": list_finished,
    "scatter": scatter,
    "copy": copy,
}
"""Phases of a step for each block, in order; the first phase runs over all blocks before the others."""


def over_blocks(phase: Callable[..., None]) -> Callable[..., None]:
    """Return a kernel that repeats a phase over all blocks."""

    def repeat(world: Any, actions: Any, output: Any, lanes: int, repetitions: int) -> None:
        w, out = borrow(world), borrow(output)
        for _ in range(repetitions):
            for first in range(0, lanes, BLOCK):
                phase(w, actions, out, first, min(BLOCK, lanes - first))

    return kernel(repeat, None)


@kernel
def begin_again(world: Any, listed: Any, output: Any, repetitions: int) -> None:
    """Start the next episode of the listed lanes, and clear the outputs of their step."""
    w, out = borrow(world), borrow(output)
    w.scratch.listed[: len(listed)] = listed
    for _ in range(repetitions):
        step_kernels.reset_listed(w, out, len(listed), NEXT_STEP)


@kernel
def step_again(world: Any, actions: Any, output: Any, lanes: int, repetitions: int) -> int:
    """Take complete steps with successive batches of actions (K, N); return the number of lanes that were reset."""
    num_reset = 0
    for k in range(repetitions):
        num_reset += step_kernels.step(world, actions[k % len(actions)], output, 0, lanes, NEXT_STEP)
    return num_reset


class Lanes:
    """Learners within their episodes, with the arrays of a Simulator and all outputs of a step.

    begun  mean number of lanes that a step resets
    """

    def __init__(self, lanes: int = LANES) -> None:
        self.lanes, bank = lanes, sample_bank(Config())
        self.world = new_world(Config(), bank, lanes, responses=False, record=False)
        self.world.learners.learner[:] = np.arange(lanes)
        self._buffer = OutputBuffer(lanes, bank.num_los + 2, np.empty(0, np.float32), observations=True)
        self.reference, self.output = by_reference(self.world), self._buffer.reference
        self.actions = np.stack([uniform_actions(lanes, seed) for seed in range(8)])
        step_kernels.begin_lanes(self.reference, np.arange(lanes))
        self.step(STEPS_BEFORE // 2)
        self.begun = max(1, round(self.step(STEPS_BEFORE // 2) / (STEPS_BEFORE // 2)))
        self._kept = [column.copy() for column in self._columns()]

    def step(self, repetitions: int) -> int:
        """Step all lanes a number of times; return the number of resets."""
        return step_again(self.reference, self.actions, self.output, self.lanes, repetitions)

    def reset(self, repetitions: int) -> None:
        """Reset as many lanes as a step does."""
        listed = np.linspace(0, self.lanes - 1, self.begun).astype(np.int64)
        begin_again(self.reference, listed, self.output, repetitions)

    def phase(self, repeat: Callable[..., None]) -> Phase:
        """Return a phase over these lanes that starts from their current state."""

        def run(repetitions: int) -> None:
            self._restore()
            repeat(self.reference, self.actions[0], self.output, self.lanes, repetitions)

        return run

    def _columns(self) -> list[Any]:
        """Return the columns that a repeated phase would move out of the range of real learners."""
        p = self.world.learners
        return [p.ability, p.frustration, p.response_time, p.fail_streak, p.mastery_sum, p.step, p.finished]

    def _restore(self) -> None:
        for column, kept in zip(self._columns(), self._kept, strict=True):
            column[:] = kept


def measure(rounds: int = 9, lanes: int = LANES) -> dict[str, float]:
    """Return nanoseconds per learner of each phase of a step and, last, of a complete step.

    Each phase has separate lanes. `draw`, `gather` and `advance` run once before it, because later phases read their
    results.
    """
    repeats = {name: over_blocks(phase) for name, phase in BY_BLOCK.items()}
    calls: dict[str, Phase] = {}
    for name, repeat in repeats.items():
        own = Lanes(lanes)
        for before in ("draw", "gather", "advance"):
            own.phase(repeats[before])(1)
        calls[name] = own.phase(repeat)
    reset, step = Lanes(lanes), Lanes(lanes)
    measured = nanoseconds({**calls, RESET: reset.reset, STEP: step.step}, lanes, rounds=rounds)
    all_resets, complete = measured.pop(RESET) * lanes, measured.pop(STEP)
    label = f"{RESET} of {reset.begun} lanes, {number(all_resets / reset.begun)} ns each"
    return {**measured, label: all_resets / lanes, STEP: complete}


def nanoseconds(phases: Mapping[str, Phase], lanes: int, repetitions: int = 100, rounds: int = 9) -> dict[str, float]:
    """Return nanoseconds per learner of each phase; one call from Python runs all repetitions."""
    calls = {name: _repeated(phase, repetitions) for name, phase in phases.items()}
    times = alternate(calls, rounds, budget=0.03, warm=2)
    return {name: statistics.median(t) / repetitions / lanes * 1e9 for name, t in times.items()}


def _repeated(phase: Phase, repetitions: int) -> Callable[[], object]:
    return lambda: phase(repetitions)


def table(measured: Mapping[str, float]) -> str:
    """Return the measured phases as a table. The last row is a complete step, which runs all phases in one loop."""
    measured = dict(measured)
    step = measured.pop(STEP)
    rows = [(name, number(each), f"{each / step:.0%}") for name, each in measured.items()]
    total = sum(measured.values())
    rows += [
        ("sum, each in a separate loop", number(total), f"{total / step:.0%}"),
        (STEP, number(step), ""),
    ]
    return markdown((f"phase, N = {LANES:,}", "ns per learner", "share of a step"), rows)
