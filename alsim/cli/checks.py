"""Command `alsim validate`."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.markup import escape

from alsim.cli.app import app
from alsim.cli.options import BankOption, ConfigOption, DynamicsOption, ImportOption, JsonOption, SeedOption
from alsim.cli.output import check_report, write_report


@app.command()
def validate(
    config: ConfigOption = None,
    bank: BankOption = None,
    dynamics: DynamicsOption = None,
    imports: ImportOption = None,
    seed: SeedOption = 0,
    report: JsonOption = None,
) -> None:
    """Run the sanity checks of the specification.

    The exit status is 1 if a check fails.
    """
    from alsim.arguments import read_rules, read_seed
    from alsim.sanity import validate as checks

    check_report(report)
    settings, items = read_rules(config, bank, dynamics)
    seed = read_seed(seed)
    console = Console(highlight=False, soft_wrap=True)
    results = []
    for result in checks(settings, items, seed):
        mark = "[green]ok[/]  " if result.passed else "[red]FAIL[/]"
        console.print(f"{mark} {result.name}: {escape(result.detail)}")
        results.append(result)
    failed = sum(not result.passed for result in results)
    console.print(f"{len(results) - failed} passed, {failed} failed")
    write_report(report, {"seed": seed, "checks": [result._asdict() for result in results], "failed": failed})
    if failed:
        raise typer.Exit(1)
