"""Commands `alsim generate` and `alsim info`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from alsim.cli.app import app
from alsim.cli.options import (
    BankOption,
    ConfigOption,
    DynamicsOption,
    ForceOption,
    ImportOption,
    JsonOption,
    ObservationOption,
    PolicyOption,
    SeedOption,
)
from alsim.cli.output import check_report, log_to_stderr, printable, progress_bar, right_aligned, write_report

if TYPE_CHECKING:
    from alsim.datasets.generate import Progress
    from alsim.datasets.store import Dataset


class Format(StrEnum):
    """File formats of a dataset."""

    parquet = "parquet"
    arrow = "arrow"


class Engine(StrEnum):
    """Executors of the shards of a dataset."""

    local = "local"
    ray = "ray"


StoreObservationsOption = Annotated[
    bool,
    typer.Option(
        "--store-observations/--no-store-observations", help="Store observations, or recompute them on first use."
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", help="Number of processes; the dataset does not depend on it.  [default: 1; ray: all processors]"
    ),
]


@app.command(short_help="Simulate learners under a policy and write a dataset.")
def generate(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory to write.")],
    learners: Annotated[int, typer.Option("--learners", help="Number of learners.")] = 200,
    episodes: Annotated[int, typer.Option("--episodes", help="Episodes per learner.")] = 3,
    policy: PolicyOption = "uniform",
    seed: SeedOption = 0,
    config: ConfigOption = None,
    bank: BankOption = None,
    dynamics: DynamicsOption = None,
    imports: ImportOption = None,
    observation: ObservationOption = "mastery",
    store_observations: StoreObservationsOption = True,
    file_format: Annotated[Format, typer.Option("--format", help="File format.")] = Format.parquet,
    episodes_per_shard: Annotated[
        int | None,
        typer.Option("--episodes-per-shard", help="Episodes per file.  [default: 4096, fewer for long episodes]"),
    ] = None,
    num_threads: Annotated[
        int, typer.Option("--threads", help="Number of threads; the dataset does not depend on it.")
    ] = 1,
    num_workers: WorkersOption = None,
    engine: Annotated[Engine, typer.Option("--engine", help="Run on this machine or on a Ray cluster.")] = Engine.local,
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", help="Address of a Ray cluster.  [default: chosen by Ray]")
    ] = None,
    force: ForceOption = False,
    report: JsonOption = None,
) -> None:
    """Let a policy teach simulated learners, and write the episodes as a dataset.

    The same command resumes an interrupted run.
    """
    from alsim.datasets.generate import generate_dataset

    check_report(report)
    with _progress(learners * episodes) as progress, log_to_stderr("alsim.datasets"):
        dataset = generate_dataset(
            learners,
            episodes,
            policy,
            seed,
            out=out,
            config=config,
            bank=bank,
            dynamics=dynamics,
            observation=observation,
            store_observations=store_observations,
            file_format=file_format.value,
            episodes_per_shard=episodes_per_shard,
            num_threads=num_threads,
            num_workers=num_workers,
            engine=engine.value,
            ray_address=ray_address,
            force=force,
            progress=progress,
        )
    _print_dataset(dataset, report)


@app.command()
def info(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a dataset.")],
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its checksum.")] = False,
    imports: ImportOption = None,
    report: JsonOption = None,
) -> None:
    """Show the contents of a dataset."""
    from alsim.datasets.store import load_dataset

    check_report(report)
    _print_dataset(load_dataset(directory, verify=verify), report)


@contextmanager
def _progress(episodes: int) -> Iterator[Progress]:
    """Show a progress bar if stderr is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

    columns = (TextColumn("episodes"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with progress_bar(*columns) as bar:
        if bar is None:
            yield lambda done, rows: None
            return
        task = bar.add_task("episodes", total=episodes, rate="")

        def show(done: int, rows: int) -> None:
            seconds = bar.tasks[0].elapsed or 0
            rate = f"{rows / seconds / 1e6:.2f} M transitions/s" if seconds > 0 else ""
            bar.update(task, completed=done, rate=rate)

        yield show


def _print_dataset(dataset: Dataset, report: Path | None) -> None:
    """Print the contents of a dataset, and write them as JSON if `report` is given."""
    from alsim.datasets.store import summary
    from alsim.metrics import METRICS

    numbers = summary(dataset)
    manifest = dataset.manifest
    console = Console(highlight=False, soft_wrap=True)
    print(
        f"{dataset.path}: {numbers['transitions']:,} transitions, {numbers['episodes']:,} episodes of "
        f"{manifest['num_learners']:,} learners, {numbers['events']:,} events"
    )
    stored = "" if manifest["observations"] == "full" else " (not stored)"
    origin = (
        f"policy {manifest['policy']['name']}, seed {manifest['seed']}, {manifest['environment']}, "
        f"observation {manifest['observation']}{stored}, {manifest['format']}, alsim {manifest['alsim_version']}"
    )
    print(printable(origin))
    ends = ", ".join(f"{reason} {count:,}" for reason, count in numbers["termination"].items())
    print(f"episodes ended by: {ends}")
    table = Table(
        "per episode",
        *(right_aligned(name) for name in ("mean", "standard error", "undefined")),
        box=None,
        pad_edge=False,
    )
    for name, value in numbers["metrics"].items():
        undefined = f"{value['undefined']:,}" if value["undefined"] else ""
        table.add_row(METRICS[name].heading, *_rounded(value["mean"], value["se"]), undefined)
    console.print(table)
    write_report(report, numbers)


def _rounded(mean: float | None, se: float | None) -> tuple[str, str]:
    """Return a mean and its standard error as text, both rounded to the second significant digit of the error."""
    decimals = max(0, 1 - math.floor(math.log10(se))) if se else 3
    return "-" if mean is None else f"{mean:,.{decimals}f}", "-" if se is None else f"{se:,.{decimals}f}"
