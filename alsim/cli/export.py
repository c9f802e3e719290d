"""Command `alsim export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alsim.cli.app import app
from alsim.cli.completion import one_of
from alsim.cli.help import examples
from alsim.cli.options import ForceOption, ImportOption, JsonOption, allow_classes
from alsim.cli.output import counted, elapsed_progress, megabytes, printable, write_report
from alsim.errors import AlsimError

FORMATS = ("minari", "d4rl", "npz", "obp", "scope-rl", "rllib", "torchrl", "huggingface")
"""Names of formats, repeated here because help and completion do not load the exporters."""


@app.command(
    "export",
    short_help="Write a dataset in the format of another tool.",
    epilog=examples(
        "alsim export by-rules --to minari -o by-rules-minari", "alsim export by-rules --to npz -o by-rules.npz"
    ),
)
def export_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a dataset.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            autocompletion=one_of(*FORMATS),
            help=f"Format: {', '.join(FORMATS[:-1])} or {FORMATS[-1]}; d3rlpy is d4rl.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PATH", help="File or directory to write.")],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME-vN", show_default="POLICY-v0", help="Only minari: name of the dataset."),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="ID",
            show_default="unknown",
            help="Only huggingface: license, such as cc-by-4.0.",
        ),
    ] = None,
    next_observations: Annotated[
        bool | None,
        typer.Option(
            "--next-observations/--no-next-observations",
            show_default="yes for d4rl and npz",
            help="Only d4rl, npz, huggingface: add the next observations.",
        ),
    ] = None,
    action_distribution: Annotated[
        bool | None,
        typer.Option(
            "--action-distribution", help="Only obp: add the probabilities of all actions, pi_b, under the policy."
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            metavar="NAME",
            callback=allow_classes,
            show_default="the name in the dataset",
            help="Only obp, with --action-distribution: the policy of the dataset, such as the directory of a trained "
            "one.",
        ),
    ] = None,
    imports: ImportOption = None,
    force: ForceOption = False,
    report: JsonOption = None,
) -> None:
    """Write a dataset in the format of another tool, and print the code that loads it."""
    from alsim.datasets.export import export_dataset, find_exporter
    from alsim.datasets.store import load_dataset

    exporter = find_exporter(to)
    if policy is not None and not action_distribution:
        raise AlsimError(
            f"--policy {policy} has no effect without --action-distribution; add it, or leave --policy out"
        )
    with elapsed_progress(f"writing {out}"):
        dataset = load_dataset(directory)
        path = export_dataset(
            dataset,
            to,
            out,
            name=name,
            license=license,
            next_observations=next_observations,
            action_distribution=action_distribution if policy is None else policy,
            force=force,
        )
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    print(f"{exporter.title}; to load the data:")
    print()
    print(exporter.loading_code(path))
    print()
    print(f"Wrote {counted(len(dataset), 'transition')}, {megabytes(size)}, to {printable(str(path))}.")
    write_report(report, {"format": exporter.name, "path": str(path), "transitions": len(dataset), "bytes": size})
