"""How long until the first batch of 4096, in a process of its own, and where the time goes.

`python -m benchmarks.startup` prints the moments of one start, as JSON: seconds of the system's steady clock.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.child import start, told
from benchmarks.report import Row, judged

PHASES = ("Python", "import gymnasium", "import alsim", "make", "reset", "first step")
"""`make` loads numba; `reset` and `first step` load what was compiled before, or compile."""


def clock() -> float:
    """Return seconds of a clock that all processes share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def moments() -> list[float]:
    """Start up, in this process, and return when each phase but the first ended."""
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
    """Return the seconds of each phase of one start; `cache` is where compiled code is kept, if not where usual."""
    began = clock()
    environment = {} if cache is None else {"ALSIM_CACHE_DIR": str(cache)}
    ends = told(start("-m", "benchmarks.startup", **environment))
    lengths = [after - before for before, after in zip([began, *ends], ends, strict=False)]
    return dict(zip(PHASES, lengths, strict=True))


def rows(rounds: int = 7, cold_rounds: int = 1) -> Iterator[Row]:
    """Yield the table's rows about start-up."""
    phases()  # compiles what is not yet
    warm = _medians([phases() for _ in range(rounds)])
    limit = f"beside {warm['import gymnasium'] * 1e3:.0f} ms of import gymnasium; nothing heavy is loaded"
    yield judged("import alsim, above import gymnasium", warm["import alsim"] * 1e3, "≤ 40", "ms", limit=limit)
    yield judged("start to the first batch of 4096, warm", sum(warm.values()), "≤ 1.5", "s", limit=_shares(warm))
    cold = _medians([_cold() for _ in range(cold_rounds)])
    what = "start to the first batch of 4096, nothing compiled"
    yield judged(what, sum(cold.values()), "≤ 15", "s", limit=_shares(cold))


def _cold() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as cache:
        return phases(cache)


def _medians(starts: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(s[name] for s in starts) for name in PHASES}


def _shares(lengths: dict[str, float]) -> str:
    return ", ".join(f"{name} {length:.2f} s" for name, length in lengths.items())


if __name__ == "__main__":
    print(json.dumps(moments()))
