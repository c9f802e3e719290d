"""Command `alsim validate`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import typer

from alsim.cli.app import app
from alsim.cli.help import examples
from alsim.cli.options import BankOption, ConfigOption, DynamicsOption, ImportOption, JsonOption, SeedOption
from alsim.cli.output import WIDTH, elapsed_progress, print_sentence, printable, write_report

if TYPE_CHECKING:
    from alsim.sanity import Finding

INDENT = " " * 6


@app.command(epilog=examples("alsim validate", "alsim validate --config alsim.toml --bank my-bank"))
def validate(
    config: ConfigOption = None,
    bank: BankOption = None,
    dynamics: DynamicsOption = None,
    imports: ImportOption = None,
    seed: SeedOption = 0,
    report: JsonOption = None,
) -> None:
    """Compare the simulator with its specification.

    The exit status is 1 if a check fails.
    """
    from alsim.arguments import read_rules, read_seed
    from alsim.sanity import validate as checks

    settings, items = read_rules(config, bank, dynamics)
    seed = read_seed(seed)
    results: list[Finding] = []
    remaining = iter(checks(settings, items, seed))
    while True:
        with elapsed_progress("checking the simulator"):
            result = next(remaining, None)
        if result is None:
            break
        _print_result(result)
        results.append(result)
    failed = [result.name for result in results if not result.passed]
    if failed:
        print_sentence(f"{len(failed)} of {len(results)} checks failed: {', '.join(failed)}.")
    else:
        print_sentence(f"All {len(results)} checks passed: the simulator follows its specification.")
    write_report(report, {"seed": seed, "checks": [result._asdict() for result in results], "failed": len(failed)})
    if failed:
        raise typer.Exit(1)


def _print_result(result: Finding) -> None:
    """Print the result of a check, wrapped at WIDTH columns."""
    text = printable(f"{'ok' if result.passed else 'FAIL':<6}{result.name}: {result.detail}")
    print(textwrap.fill(text, WIDTH, subsequent_indent=INDENT, break_on_hyphens=False), flush=True)
