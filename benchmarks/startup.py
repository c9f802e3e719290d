"""Time to the first batch of 4096 in a new process, by phase.

`python -m benchmarks.startup` prints the end of each phase of one start as JSON, in seconds of the monotonic clock.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.child import output_of, start
from benchmarks.report import Row, judged

PHASES = ("Python", "import gymnasium", "import alsim", "make", "reset", "first step")
"""`make` imports numba; `reset` and `first step` load compiled code, or compile it."""


def clock() -> float:
    """Return seconds of the clock that all processes share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def moments() -> list[float]:
    """Run all phases but the first in this process, and return the times: the end of each phase, the first included."""
    ends = [clock()]
    import gymnasium

    ends.append(clock())
    import alsim  # noqa: F401  # registers the environment

    ends.append(clock())
    envs = gymnasium.make_vec("alsim/AdaptiveLearning-v0", num_envs=4096)
    ends.append(clock())
    envs.reset(seed=0)
    ends.append(clock())
    envs.step([0] * 4096)
    return [*ends, clock()]


def phases(cache: str | Path | None = None) -> dict[str, float]:
    """Return the seconds of each phase of one start; `cache` replaces the directory of compiled code."""
    start_time = clock()
    environment = {} if cache is None else {"ALSIM_CACHE_DIR": str(cache)}
    ends = output_of(start("-m", "benchmarks.startup", **environment))
    lengths = [after - before for before, after in zip([start_time, *ends], ends, strict=False)]
    return dict(zip(PHASES, lengths, strict=True))


def rows(rounds: int = 7, cold_rounds: int = 1) -> Iterator[Row]:
    """Yield the rows of the table about start-up."""
    phases()  # compiles, if necessary
    warm = _medians([phases() for _ in range(rounds)])
    limit = f"import gymnasium takes {warm['import gymnasium'] * 1e3:.0f} ms; no large package is loaded"
    yield judged("import alsim, after import gymnasium", warm["import alsim"] * 1e3, "≤ 40", "ms", limit=limit)
    yield judged("start to the first batch of 4096, warm", sum(warm.values()), "≤ 1.5", "s", limit=_shares(warm))
    cold = _medians([_cold() for _ in range(cold_rounds)])
    quantity = "start to the first batch of 4096, nothing compiled"
    yield judged(quantity, sum(cold.values()), "≤ 10", "s", limit=_shares(cold))


def _cold() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as cache:
        return phases(cache)


def _medians(starts: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(s[name] for s in starts) for name in PHASES}


def _shares(lengths: dict[str, float]) -> str:
    return ", ".join(f"{name} {length:.2f} s" for name, length in lengths.items())


if __name__ == "__main__":
    print(json.dumps(moments()))
