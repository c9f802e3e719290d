"""Command `alsim validate`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import typer

from alsim._version import __version__
from alsim.cli.app import app
from alsim.cli.help import examples
from alsim.cli.options import BankOption, ConfigOption, DynamicsOption, ImportOption, JsonOption, SeedOption
from alsim.cli.output import WIDTH, elapsed_progress, print_sentence, printable, write_report
from alsim.cli.rules import print_learner_facts

if TYPE_CHECKING:
    from alsim.sanity import Finding

INDENT = " " * 9


@app.command(epilog=examples("alsim validate", "alsim validate --config alsim.toml --bank my-bank"))
def validate(
    config: ConfigOption = None,
    bank: BankOption = None,
    dynamics: DynamicsOption = None,
    imports: ImportOption = None,
    seed: SeedOption = 0,
    report: JsonOption = None,
) -> None:
    """Compare the simulator with its specification, under any dynamics and population.

    A rule of a dynamics from outside the package is skipped, where only its own code says what is right. The exit
    status is 1 if a check fails.
    """
    from alsim.arguments import read_rules, read_seed
    from alsim.evaluation.dataset_summary import config_differences
    from alsim.sanity import dynamics_of, is_standard
    from alsim.sanity import validate as checks

    settings, items = read_rules(config, bank, dynamics)
    seed = read_seed(seed)
    print_learner_facts(settings.to_dict())
    results: list[Finding] = []
    remaining = iter(checks(settings, items, seed))
    while True:
        with elapsed_progress("checking the simulator"):
            result = next(remaining, None)
        if result is None:
            break
        _print_result(result)
        results.append(result)
    numbers = _report(results) | {
        "seed": seed,
        "version": __version__,
        "dynamics": dynamics_of(settings).name,
        "config_differences": config_differences(settings.to_dict()),
        "population": list(settings.population_names),
        "bank": {"outcomes": items.num_los, "questions": items.num_questions, "contents": items.num_contents},
    }
    print_sentence(_verdict(results, numbers, is_standard(settings)))
    write_report(report, numbers)
    if numbers["failed"]:
        raise typer.Exit(1)


def _report(results: list[Finding]) -> dict[str, Any]:
    """Return the results of all checks and their counts, JSON-ready; `passed` is None for a check that was skipped."""
    outcomes = [result.passed for result in results]
    return {
        "checks": [result._asdict() for result in results],
        "passed": outcomes.count(True),
        "skipped": outcomes.count(None),
        "failed": outcomes.count(False),
    }


def _verdict(results: list[Finding], numbers: dict[str, Any], is_standard: bool) -> str:
    """Return a sentence about the results of all checks."""
    failed = [result.name for result in results if result.passed is False]
    if failed:
        skipped = f" {numbers['skipped']} were skipped." if numbers["skipped"] else ""
        return f"{len(failed)} of {len(results)} checks failed: {', '.join(failed)}.{skipped}"
    if is_standard and not numbers["skipped"]:
        return f"All {len(results)} checks passed: the simulator follows its specification."
    if not numbers["skipped"]:
        return f"All {len(results)} checks passed: the dynamics {numbers['dynamics']!r} follows its rules."
    skipped = ", ".join(result.name for result in results if result.passed is None)
    return (
        f"{numbers['passed']} passed, {numbers['skipped']} skipped ({skipped}): only the code of the dynamics "
        f"{numbers['dynamics']!r} has these rules."
    )


def _print_result(result: Finding) -> None:
    """Print the result of a check, wrapped at WIDTH columns."""
    label = "skipped" if result.passed is None else "ok" if result.passed else "FAIL"
    text = printable(f"{label:<{len(INDENT)}}{result.name}: {result.detail}")
    print(textwrap.fill(text, WIDTH, subsequent_indent=INDENT, break_on_hyphens=False), flush=True)
