"""Command `alsim export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alsim.cli.app import app
from alsim.cli.options import ForceOption, ImportOption, JsonOption
from alsim.cli.output import check_report, write_report


@app.command("export", short_help="Write a dataset in the format of another tool.")
def export_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a dataset.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="Format: minari, d4rl, npz, obp, scope-rl, rllib, torchrl or huggingface.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="File or directory to write.")],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME-vN", help="Only minari: name of the dataset.  [default: POLICY-v0]"),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(
            "--license", metavar="ID", help="Only huggingface: license, such as cc-by-4.0.  [default: unknown]"
        ),
    ] = None,
    next_observations: Annotated[
        bool | None,
        typer.Option(
            "--next-observations/--no-next-observations",
            help="Only d4rl, npz, huggingface: add the next observations.  [default: yes for d4rl and npz]",
        ),
    ] = None,
    action_distribution: Annotated[
        bool | None,
        typer.Option(
            "--action-distribution", help="Only obp: add the action distribution pi_b of the policy uniform or rules."
        ),
    ] = None,
    imports: ImportOption = None,
    force: ForceOption = False,
    report: JsonOption = None,
) -> None:
    """Write a dataset in the format of another tool, and print the code that loads it."""
    from alsim.datasets.export import export_dataset, find_exporter
    from alsim.datasets.store import load_dataset

    check_report(report)
    exporter = find_exporter(to)
    dataset = load_dataset(directory)
    path = export_dataset(
        dataset,
        to,
        out,
        name=name,
        license=license,
        next_observations=next_observations,
        action_distribution=action_distribution,
        force=force,
    )
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    print(f"{path}: {len(dataset):,} transitions, {size / 1e6:,.1f} MB, {exporter.title}")
    print()
    print(exporter.loading_code(path))
    write_report(report, {"format": exporter.name, "path": str(path), "transitions": len(dataset), "bytes": size})
