"""What pytest-benchmark saves: nothing about whose machine it was, and nothing that changes without a change."""

from __future__ import annotations

from typing import Any

from benchmarks.measure import machine

COMPARED = ("min", "max", "mean", "stddev", "median", "iqr", "outliers", "ops", "rounds", "iterations", "total")


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """Keep what figures depend on, in place of the name of the host and all that it tells about its processor."""
    kept = {name: machine_info[name] for name in ("machine", "python_version", "system")}
    cpu = {"brand_raw": machine_info.get("cpu", {}).get("brand_raw", "")}
    machine_info.clear()
    machine_info.update(kept, cpu=cpu, **machine())


def pytest_benchmark_generate_commit_info(config: Any) -> dict[str, Any]:
    """Leave out the commit: the file is part of one."""
    return {"id": "", "dirty": False}


def pytest_benchmark_update_json(config: Any, benchmarks: Any, output_json: dict[str, Any]) -> None:
    """Round the statistics to what they are worth, and leave out what nobody compares."""
    for benchmark in output_json["benchmarks"]:
        stats = {name: benchmark["stats"][name] for name in COMPARED}
        benchmark["stats"] = {n: float(f"{x:.4g}") if isinstance(x, float) else x for n, x in stats.items()}
        benchmark["options"] = {}
