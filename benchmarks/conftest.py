"""Hooks of pytest-benchmark that remove the host, the commit and unused statistics from saved files."""

from __future__ import annotations

from typing import Any

from benchmarks.measure import machine

COMPARED = ("min", "max", "mean", "stddev", "median", "iqr", "outliers", "ops", "rounds", "iterations", "total")


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """Keep the properties that results depend on, and remove the host name and other details of the processor."""
    kept = {name: machine_info[name] for name in ("machine", "python_version", "system")}
    cpu = {"brand_raw": machine_info.get("cpu", {}).get("brand_raw", "")}
    machine_info.clear()
    machine_info.update(kept, cpu=cpu, **machine())


def pytest_benchmark_generate_commit_info(config: Any) -> dict[str, Any]:
    """Return an empty commit, because the file is part of a commit."""
    return {"id": "", "dirty": False}


def pytest_benchmark_update_json(config: Any, benchmarks: Any, output_json: dict[str, Any]) -> None:
    """Round the statistics to four digits, and remove those that are not compared."""
    for benchmark in output_json["benchmarks"]:
        stats = {name: benchmark["stats"][name] for name in COMPARED}
        benchmark["stats"] = {n: float(f"{x:.4g}") if isinstance(x, float) else x for n, x in stats.items()}
        benchmark["options"] = {}
