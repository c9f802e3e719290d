"""Time to generate a dataset: in this process, in a new process, and without a compile cache."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import alsim


@pytest.mark.parametrize("policy", ["uniform", "rules"])
def test_generate_in_process(benchmark, policy):
    """Time 200 learners × 3 episodes to Arrow tables in memory, about 73,000 transitions."""
    dataset = benchmark(alsim.generate_dataset, policy=policy)
    benchmark.extra_info["transitions"] = len(dataset)


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_generate_to_files(benchmark, tmp_path, file_format):
    """Time 2,000 learners × 3 episodes to files, about 720,000 transitions."""

    def generate():
        return alsim.generate_dataset(2000, 3, out=tmp_path / "dataset", file_format=file_format, force=True)

    benchmark.extra_info["transitions"] = len(benchmark.pedantic(generate, rounds=5, warmup_rounds=1))


def command_line(out, **environment):
    """Run `alsim generate` in a new process, with additional environment variables."""
    subprocess.run(
        [sys.executable, "-m", "alsim", "generate", "--out", str(out), "--force"],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def test_generate_process(benchmark, tmp_path):
    """Time the complete command `alsim generate`, including the start of Python, with compiled code on disk."""
    benchmark.pedantic(command_line, (tmp_path / "dataset",), rounds=7, warmup_rounds=1)


def test_generate_first_ever(benchmark, tmp_path):
    """Time the complete command `alsim generate` with an empty compile cache, so that all kernels are compiled."""
    caches = iter(range(100))

    def first_ever():
        command_line(tmp_path / "dataset", ALSIM_CACHE_DIR=str(tmp_path / f"cache-{next(caches)}"))

    benchmark.pedantic(first_ever, rounds=3)


def test_import(benchmark):
    """Time `import alsim`, including the start of Python."""
    benchmark.pedantic(subprocess.run, ([sys.executable, "-c", "import alsim"],), {"check": True}, rounds=7)


def test_import_gymnasium(benchmark):
    """Time `import gymnasium`, for comparison: every environment of Gymnasium imports it."""
    benchmark.pedantic(subprocess.run, ([sys.executable, "-c", "import gymnasium"],), {"check": True}, rounds=7)
