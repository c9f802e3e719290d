"""Lower bounds on this machine for any implementation: memory traffic and random numbers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from benchmarks.contenders import Native
from benchmarks.measure import alternate, median
from benchmarks.native import NoCompiler

WIDTH, FLOAT, LINE = 32, 4, 64
OBSERVED = WIDTH * FLOAT  # bytes of an observation
# A step changes three entries of a row: the last two, and one of the first 30, of which 16 are in the first line.
DIRTY = LINE + LINE * 16 / 30
# Read and written per lane: five numbers of 4 bytes and one of 8. Read: action, seed, learner, episode, finished.
# Written: reward, three flags or codes, finished.
STATE = 2 * (5 * 4 + 8) + (8 + 8 + 4 + 4 + 1) + (8 + 3 + 1)
BYTES = 2 * OBSERVED + DIRTY + STATE
"""Bytes per lane that a step must move: observations read and written out, state read and written."""


class Floors(NamedTuple):
    """Lower bounds in nanoseconds per lane, for a given number of lanes, and the bandwidth."""

    memory: float  # to move BYTES
    bandwidth: float  # GB/s, read and written, of a copy as large as the observations
    randomness: float  # Philox and Box-Muller in C, split over the threads; NaN without a compiler

    @property
    def text(self) -> str:
        """The floors as text."""
        memory = f"memory {self.memory:.1f} ns ({BYTES:.0f} B at {self.bandwidth:.0f} GB/s)"
        return memory if np.isnan(self.randomness) else f"{memory}, randomness {self.randomness:.1f} ns"


@lru_cache
def floors(lanes: int, threads: int = 1) -> Floors:
    """Measure the floors for a number of lanes, on which they depend because few lanes fit in a faster cache."""
    source, target = np.ones((lanes, WIDTH), np.float32), np.empty((lanes, WIDTH), np.float32)
    parts = [slice(lanes * k // threads, lanes * (k + 1) // threads) for k in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def copy() -> None:
            if threads == 1:
                np.copyto(target, source)
            else:
                list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))

        calls = {"copy": copy}
        with suppress(NoCompiler):
            calls["draw"] = Native(lanes).draw
        times = alternate(calls, rounds=5, budget=0.03)
    speed = 2 * OBSERVED * lanes / median(times, "copy")
    randomness = median(times, "draw") / lanes / threads * 1e9 if "draw" in times else np.nan
    return Floors(BYTES / speed * 1e9, speed / 1e9, randomness)
