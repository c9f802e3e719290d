"""How things are timed: contenders in alternating rounds, so that a drift of the machine's speed meets all alike."""

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
"""Seconds a call, of each contender, round by round."""

PACKAGES = ("numpy", "numba", "gymnasium", "pyarrow", "jax", "torch", "stable-baselines3")


def seconds(call: Call, calls: int = 1) -> float:
    """Return how long one of `calls` calls takes."""
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - began) / calls


def alternate(contenders: Mapping[str, Call], rounds: int = 9, budget: float = 0.1, warm: int = 20) -> Times:
    """Time each contender in turn, `rounds` times, for about `budget` seconds each time.

    warm  calls before, within the budget: they compile, load and touch what is to be timed
    """
    calls = {name: _calls(call, budget, warm) for name, call in contenders.items()}
    times: Times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            times[name].append(seconds(call, calls[name]))
    return times


def _calls(call: Call, budget: float, warm: int) -> int:
    """Warm up, and return how many calls fill the budget."""
    call()
    began = time.perf_counter()
    done = 0
    while done < warm and (done == 0 or time.perf_counter() - began < budget):
        call()
        done += 1
    return max(1, int(budget * done / (time.perf_counter() - began)))


def over(batches: list[Any], step: Callable[[Any], Any]) -> Call:
    """Return a call that steps through the batches of actions, one after the other, for ever."""
    position = 0

    def call() -> None:
        nonlocal position
        step(batches[position])
        position = (position + 1) % len(batches)

    return call


def median(times: Times, name: str) -> float:
    """Return the median of a contender's rounds."""
    return statistics.median(times[name])


def ratios(times: Times, name: str, beside: str) -> list[float]:
    """Return the speed of one relative to another, round by round, in order of size."""
    return sorted(theirs / own for own, theirs in zip(times[name], times[beside], strict=True))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, str]:
    """Return what figures depend on: processor, memory, versions, the day."""
    return {
        "date": time.strftime("%d %B %Y").lstrip("0"),
        "cores": str(cores()),
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """Return the processor's name and its caches, where the system tells."""
    if sys.platform != "linux":
        return platform.processor()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    vectors = next((f", {v}" for v in ("avx512f", "avx2") if any(v in line.split() for line in lines)), "")
    return name + vectors + _caches()


def _caches() -> str:
    found = []
    for level in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = (level / "type").read_text().strip()
        if kind != "Instruction":
            found.append(f"L{(level / 'level').read_text().strip()} {(level / 'size').read_text().strip()}")
    return f" ({', '.join(found)})" if found else ""
