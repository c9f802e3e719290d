"""The command validate."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.markup import escape

from alsim.cli.app import app
from alsim.cli.options import BankOption, ConfigOption, JsonOption, SeedOption
from alsim.cli.output import check_report, write_report


@app.command()
def validate(
    config: ConfigOption = None, bank: BankOption = None, seed: SeedOption = 0, report: JsonOption = None
) -> None:
    """Run the specification's sanity checks; status 1 if one fails."""
    from alsim.arguments import read_rules, read_seed
    from alsim.sanity import validate as checks

    check_report(report)
    settings, items = read_rules(config, bank, None)
    number = read_seed(seed)
    console = Console(highlight=False, soft_wrap=True)
    findings = []
    for finding in checks(settings, items, number):
        mark = "[green]ok[/]  " if finding.passed else "[red]FAIL[/]"
        console.print(f"{mark} {finding.name}: {escape(finding.detail)}")
        findings.append(finding)
    failed = sum(not finding.passed for finding in findings)
    console.print(f"{len(findings) - failed} passed, {failed} failed")
    write_report(report, {"seed": number, "checks": [finding._asdict() for finding in findings], "failed": failed})
    if failed:
        raise typer.Exit(1)
