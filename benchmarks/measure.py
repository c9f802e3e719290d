"""Timing of contenders in alternating rounds, so that a drift of the machine affects all contenders equally."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Call = Callable[[], Any]
Times = dict[str, list[float]]
"""Seconds per call, by contender and round."""

PACKAGES = ("numpy", "numba", "gymnasium", "pyarrow", "jax", "torch", "stable-baselines3")


def seconds(call: Call, calls: int = 1) -> float:
    """Return the seconds per call, averaged over `calls` calls."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def alternate(contenders: Mapping[str, Call], rounds: int = 9, budget: float = 0.1, warm: int = 20) -> Times:
    """Time each contender in turn, `rounds` times, for about `budget` seconds each time.

    warm  maximum number of calls before the timing, within the budget, which compile code and load memory
    """
    calls = {name: _calls(call, budget, warm) for name, call in contenders.items()}
    times: Times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            times[name].append(seconds(call, calls[name]))
    return times


def _calls(call: Call, budget: float, warm: int) -> int:
    """Warm up, and return the number of calls that fill the budget."""
    call()
    start = time.perf_counter()
    done = 0
    while done < warm and (done == 0 or time.perf_counter() - start < budget):
        call()
        done += 1
    return max(1, int(budget * done / (time.perf_counter() - start)))


def over(batches: list[Any], step: Callable[[Any], Any]) -> Call:
    """Return a call that steps with the next batch of actions, in a cycle."""
    position = 0

    def call() -> None:
        nonlocal position
        step(batches[position])
        position = (position + 1) % len(batches)

    return call


def median(times: Times, name: str) -> float:
    """Return the median of a contender's rounds."""
    return statistics.median(times[name])


def ratios(times: Times, name: str, reference: str) -> list[float]:
    """Return the speed of a contender relative to a reference in each round, sorted."""
    return sorted(other / own for own, other in zip(times[name], times[reference], strict=True))


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, str]:
    """Return the properties that results depend on: processor, memory, versions, date."""
    return {
        "date": time.strftime("%d %B %Y").lstrip("0"),
        "cores": str(cores()),
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: number for name in PACKAGES if (number := _version(name))},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """Return the name of the processor, its vectors and caches, as far as the system reports them."""
    if sys.platform != "linux":
        return platform.processor()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    vectors = next((f", {v}" for v in ("avx512f", "avx2") if any(v in line.split() for line in lines)), "")
    return name + vectors + _caches()


def _caches() -> str:
    caches = []
    for level in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = (level / "type").read_text().strip()
        if kind != "Instruction":
            caches.append(f"L{(level / 'level').read_text().strip()} {(level / 'size').read_text().strip()}")
    return f" ({', '.join(caches)})" if caches else ""
