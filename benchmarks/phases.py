"""A step by its phases, each timed alone over all blocks of N lanes: gather, draw, advance, scatter, reset, copy."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

from benchmarks.measure import alternate
from benchmarks.report import markdown, number

Phase = Callable[[int], object]
"""Goes through a phase so many times, in compiled code, over all lanes."""


def nanoseconds(phases: Mapping[str, Phase], lanes: int, repetitions: int = 100, rounds: int = 9) -> dict[str, float]:
    """Return nanoseconds a learner of each phase; the call from Python is spread over the repetitions."""
    calls = {name: _repeated(phase, repetitions) for name, phase in phases.items()}
    times = alternate(calls, rounds, budget=0.03, warm=2)
    return {name: statistics.median(t) / repetitions / lanes * 1e9 for name, t in times.items()}


def _repeated(phase: Phase, repetitions: int) -> Callable[[], object]:
    return lambda: phase(repetitions)


def table(measured: Mapping[str, float], whole: float) -> str:
    """Return the phases as a table; `whole` is a step of all of them in one loop."""
    rows = [(name, number(each), f"{each / whole:.0%}") for name, each in measured.items()]
    total = sum(measured.values())
    rows += [
        ("together, each in a loop of its own", number(total), f"{total / whole:.0%}"),
        ("step", number(whole), ""),
    ]
    return markdown(("phase", "ns a learner", "of a step"), rows)
