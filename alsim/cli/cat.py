"""Command `alsim cat`."""

from __future__ import annotations

import math
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alsim.cli.app import app
from alsim.cli.cat_dialog import UNKNOWN, Dialog, Ended, at_bound, estimate
from alsim.cli.cat_record import (
    RESUMED_REASONS,
    Request,
    answers_of,
    holds_test,
    is_record,
    read_replies,
    settings_of,
    write_test,
)
from alsim.cli.command import DialogCommand
from alsim.cli.completion import one_of
from alsim.cli.help import examples
from alsim.cli.options import (
    COLUMNS_METAVAR,
    EncodingOption,
    ForceOption,
    ItemsOption,
    JsonOption,
    PriorMeanOption,
    PriorSdOption,
    SeedOption,
    read_mapping,
)
from alsim.cli.output import (
    STDOUT,
    counted,
    finite,
    fixed_point,
    print_sentence,
    print_table,
    print_warning,
    shortened,
    write_report,
)
from alsim.errors import AlsimError

if TYPE_CHECKING:
    from alsim.models.cat import CAT, CATRun

MAX_NAME = 30
"""Columns to which the names of items are shortened."""
MAX_PRIOR_OUTSIDE = 0.01
"""Share of the prior outside the bounds of ability above which a warning is printed."""


class Selection(StrEnum):
    """Criteria of item selection."""

    information = "max-info"
    difficulty = "b-opt"
    divergence = "kullback-leibler"
    stratified = "a-stratified"


class Estimate(StrEnum):
    """Ability estimators."""

    eap = "eap"
    map = "map"
    ml = "ml"
    wle = "wle"


@app.command(
    "cat",
    cls=DialogCommand,
    short_help="Run an adaptive test in the terminal, or simulate tests.",
    epilog=examples(
        "alsim cat --items items.csv --stop-se 0.4 --json anna.json",
        "alsim cat --items items.csv --stop-se 0.4 --json anna.json --resume",
        "alsim cat --items fit.json --simulate 0.5 --plot test.png",
        "alsim cat --items fit.json --simulate normal --examinees 500",
    ),
)
def cat_command(
    items: ItemsOption,
    columns: Annotated[
        str,
        typer.Option("--columns", metavar=COLUMNS_METAVAR, help="Column names of the table, such as a=disc,b=diff."),
    ] = "",
    encoding: EncodingOption = None,
    max_items: Annotated[int, typer.Option("--max-items", help="Largest number of items of a test.")] = 20,
    min_items: Annotated[int, typer.Option("--min-items", help="Smallest number of items of a test.")] = 1,
    stop_se: Annotated[
        float, typer.Option("--stop-se", help="End at this standard error of ability, logits; 0 for no such rule.")
    ] = 0.3,
    select: Annotated[
        Selection, typer.Option("--select", case_sensitive=False, help="Criterion of selection.")
    ] = Selection.information,
    estimator: Annotated[
        Estimate, typer.Option("--estimate", case_sensitive=False, help="Ability estimator.")
    ] = Estimate.eap,
    randomesque: Annotated[
        int, typer.Option("--randomesque", help="Draw each item from this number of best items.")
    ] = 1,
    start: Annotated[
        float | None,
        typer.Option("--start", help="Ability at which the first item is selected, logits.  [default: the prior mean]"),
    ] = None,
    prior_mean: PriorMeanOption = 0.0,
    prior_sd: PriorSdOption = 1.0,
    bounds: Annotated[
        str,
        typer.Option("--bounds", metavar="LOW,HIGH", help="Lowest and highest ability, logits, such as --bounds=-6,6."),
    ] = "-4,4",
    simulate: Annotated[
        str | None,
        typer.Option(
            "--simulate",
            metavar="ABILITY",
            autocompletion=one_of("normal"),
            help="Simulate the answers at this true ability, logits; normal draws it from the prior.  "
            "[default: you answer]",
        ),
    ] = None,
    examinees: Annotated[
        int, typer.Option("--examinees", help="Number of simulated examinees; of several, a summary is printed.")
    ] = 1,
    seed: SeedOption = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the unfinished test in the file of --json.")] = False,
    force: ForceOption = False,
    report: JsonOption = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="Draw ability and standard error over the items: .png, .svg, .pdf."
        ),
    ] = None,
) -> None:
    """Run an adaptive test in the terminal, or simulate tests.

    The items are read from a text or Parquet file with one row per item, or from a fit of alsim fit irt. The columns
    are item, a, b, c and d; b is required. The column names of catR, catsim, ltm and mirt are recognized.

    Each item is shown by its name, and by its text if the table has a column text. The answer is 1 (correct) or 0
    (wrong). With a column answer, the examinee's answer is compared with it, and a column options lists choices,
    separated by | or ;. The reply q ends the test, and u removes the last answer. Answers can also be piped to the
    command, one per line.

    With --json FILE, the test is written to FILE after each answer. If it is interrupted, the same command with
    --resume continues it after the last answer.
    """
    from alsim.models.cat import CAT
    from alsim.models.irt import read_items

    if examinees < 1 or (examinees > 1 and (simulate is None or plot is not None)):
        raise AlsimError(_examinees_fault(examinees, plot))
    _check_record(report, resume, force, simulated=simulate is not None)
    table = read_items(items, read_mapping(columns), encoding=encoding)
    _check_stop_se(stop_se)
    _check_num_items(min_items, max_items, len(table.item_parameters))
    cat = CAT(
        table.item_parameters,
        select.value,
        estimator.value,
        max_items=max_items,
        min_items=min_items,
        stop_se=stop_se or None,
        randomesque=randomesque,
        start=start,
        prior_mean=prior_mean,
        prior_sd=prior_sd,
        bounds=read_bounds(bounds),
    )
    cat.session(0, seed=seed)  # checks the seed
    abilities = None if simulate is None else _abilities(simulate, cat, examinees, seed)
    outside = prior_mass_outside(prior_mean, prior_sd, cat.bounds)
    if outside > MAX_PRIOR_OUTSIDE and estimator in (Estimate.eap, Estimate.map):
        print_warning(
            f"{outside:.0%} of the prior of ability is outside the bounds {bounds}, within which estimates remain; "
            "--bounds=LOW,HIGH sets wider ones"
        )
    for note in table.item_parameters.notes:
        print_warning(f"{items}: {note}")
    request = Request(cat, table, items, seed, report, plot)
    if abilities is None:
        _administer(request, resume)
    else:
        _simulate(request, abilities)


def _examinees_fault(examinees: int, plot: Path | None) -> str:
    """Return the message for an invalid number of examinees."""
    if examinees < 1:
        return f"--examinees is {examinees}; expected an integer of at least 1"
    if plot is not None:
        return f"--plot draws one test, and --examinees is {examinees}; remove one of them"
    return f"--examinees {examinees} needs simulated answers; add --simulate normal, or --simulate ABILITY"


def _check_num_items(min_items: int, max_items: int, bank_size: int) -> None:
    """Raise AlsimError if a test cannot have `min_items` to `max_items` items."""
    if max_items < 1:
        raise AlsimError(f"--max-items is {max_items}; expected an integer of at least 1")
    if min_items < 1 or max_items < min_items:
        raise AlsimError(f"--min-items is {min_items}; expected an integer from 1 to {max_items}, as --max-items is")
    if bank_size < min_items:
        raise AlsimError(
            f"--min-items is {min_items}; expected an integer from 1 to {bank_size}, the number of items of the bank"
        )


def _check_stop_se(stop_se: float) -> None:
    """Raise AlsimError unless a test can end at this standard error; 0 stands for no such rule."""
    if not 0 <= stop_se < math.inf:
        raise AlsimError(f"--stop-se is {stop_se}; expected a positive number of logits, or 0 for no such rule")


def read_bounds(text: str) -> tuple[float, float]:
    """Return the bounds of ability, logits. Raises AlsimError."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise AlsimError(f"--bounds is {text!r}; expected two abilities in logits, the lower first: --bounds=-4,4")
    return low, high


def prior_mass_outside(mean: float, sd: float, bounds: tuple[float, float]) -> float:
    """Return the probability that an ability from the prior N(mean, sd) is outside the bounds, all in logits."""
    low, high = ((bound - mean) / (sd * math.sqrt(2)) for bound in bounds)
    return (math.erfc(-low) + math.erfc(high)) / 2


def _abilities(simulate: str, cat: CAT, examinees: int, seed: int) -> Any:
    """Return the true abilities (N,) of simulated examinees, logits."""
    import numpy as np

    if simulate == "normal":
        return np.random.default_rng(seed).normal(cat.prior_mean, cat.prior_sd, examinees)
    try:
        ability = float(simulate)
    except ValueError:
        ability = math.nan
    if not math.isfinite(ability):
        raise AlsimError(f"--simulate is {simulate!r}; expected an ability in logits, such as 0.5, or normal")
    return np.full(examinees, ability)


def _print_heading(request: Request, examinees: int = 1) -> None:
    """Print the size of the bank, the stopping rules and, for one examinee, the meaning of the estimates."""
    cat = request.cat
    precision = f", or until the standard error is {cat.stop_se:.2f} logits" if cat.stop_se else ""
    print(f"{request.file}: {counted(len(cat.items), 'item')}")
    print(f"At most {counted(cat.longest, 'item')} per test{precision}.")
    if examinees == 1:
        print("Each ability is an estimate ± its standard error.")


# ── one test ─────────────────────────────────────────────────────────────────────────────────────


def _check_record(report: Path | None, resume: bool, force: bool, *, simulated: bool) -> None:
    """Raise AlsimError if a report would replace the record of a test in the terminal, or cannot be resumed."""
    if resume and simulated:
        raise AlsimError("--resume continues a test of a person, and --simulate simulates one; remove one of them")
    if resume and force:
        raise AlsimError("--resume continues a test, and --force replaces it; remove one of them")
    if report in (None, STDOUT) or not report.is_file() or resume or force:
        return
    if simulated and holds_test(report):
        raise AlsimError(f"--json {report} is the record of a test of a person; choose another file, or add --force")
    if not simulated:
        raise AlsimError(
            f"--json {report} already exists; --resume continues an unfinished test, and --force overwrites this "
            "record of a test"
        )


def _administer(request: Request, resume: bool) -> None:
    """Run a test in the terminal. After Ctrl-C, the results so far are written, and the exit status is 130."""
    replies = read_replies(request) if resume else []
    _print_heading(request)
    ended = Dialog(request, replies).run()
    _finish(request, ended)
    if is_record(request.report) and ended.reason in RESUMED_REASONS:
        print("The same command with --resume continues this test.")
    if ended.reason == "interrupted":
        raise typer.Exit(130)


def _simulate(request: Request, abilities: Any) -> None:
    """Simulate tests, and print their answers, or a summary of several."""
    _print_heading(request, len(abilities))
    tests = request.cat.run(abilities, seed=request.seed)
    if len(abilities) > 1:
        _print_summary(request, tests)
        return
    rows = [
        [
            shortened(row["item"], MAX_NAME),
            "correct" if row["correct"] else "wrong",
            fixed_point(row["ability"], 2, UNKNOWN),
            fixed_point(row["se"], 2, UNKNOWN),
        ]
        for row in answers_of(tests)
    ]
    print_table(["item", "answer", "ability, logits", "SE"], rows, texts=["item", "answer"])
    _finish(request, Ended(tests, str(request.cat.stop_reasons(tests)[0]), []))


def _finish(request: Request, ended: Ended) -> None:
    """Print the verdict of one test, and write its report and its plot."""
    tests = ended.tests
    print(_verdict(request.cat, tests, ended.reason))
    write_test(request, tests, ended.reason, ended.replies)
    if request.plot is not None and tests.lengths[0]:
        from alsim.models.cat.drawing import draw_test

        draw_test(tests, request.plot)


def _verdict(cat: CAT, tests: CATRun, reason: str) -> str:
    """Return the result of one test as a sentence of at most two lines."""
    reasons = {
        "stop_se": f"the standard error reached {cat.stop_se or 0:.2f} logits",
        "max_items": f"the largest number of items, {cat.max_items:,}, was reached",
        "no item left": "no item is left",
        "quit": "you quit",
        "end of input": "the input ended",
        "interrupted": "it was interrupted",
    }
    count = int(tests.lengths[0])
    if count == 0:
        return f"no ability was estimated, since no item was answered: {reasons[reason]}"
    truth = "" if tests.abilities is None else f" (true ability {tests.abilities[0]:.2f})"
    ability = estimate(tests.theta[0], tests.se[0], cat.bounds)
    return f"ability {ability}{truth} after {counted(count, 'item')}:\nstopped because {reasons[reason]}"


# ── several tests ────────────────────────────────────────────────────────────────────────────────


def _print_summary(request: Request, tests: CATRun) -> None:
    """Print the accuracy, the length and the exposure of simulated tests, and write the report."""
    summary, rates = tests.summary(), tests.exposure_rates
    at_bounds = sum(at_bound(theta, request.cat.bounds) != "" for theta in tests.theta)
    most = str(tests.names[rates.argmax()])
    reasons = Counter(map(str, request.cat.stop_reasons(tests)))
    rows = [
        ("examinees", f"{len(tests.lengths):,}"),
        ("bias of ability, logits", f"{tests.bias:.3f} ± {tests.bias_se:.3f}"),
        ("RMSE of ability, logits", f"{tests.rmse:.3f} ± {tests.rmse_se:.3f}"),
        ("median standard error, logits", fixed_point(summary["median_se"], 3, UNKNOWN)),
        ("examinees with an ability at a bound", f"{at_bounds:,}"),
        ("mean test length, items", f"{tests.mean_length:.1f}"),
        (f"highest exposure, share of tests (item {shortened(most, MAX_NAME)})", f"{rates.max():.3f}"),
        ("unused items, share of the bank", f"{summary['unused']:.3f}"),
        ("overlap, share of a test, between two examinees", f"{tests.overlap:.3f}"),
        *((f"tests ended by {_rule(reason)}", f"{count:,}") for reason, count in reasons.most_common()),
    ]
    print_table(["statistic", "value"], rows)
    print_sentence(
        f"{len(tests.lengths):,} tests of {tests.mean_length:.1f} items on average: "
        f"the typical error of ability is {tests.rmse:.2f} logits"
    )
    content = {
        "summary": {**{name: finite(value) for name, value in summary.items()}, "at_bounds": at_bounds},
        "reasons": dict(reasons),
        "exposure": dict(zip(map(str, tests.names), rates.tolist(), strict=True)),
        "true_abilities": [] if tests.abilities is None else tests.abilities.tolist(),
        "abilities": [finite(value) for value in tests.theta],
        "se": [finite(value) for value in tests.se],
        "lengths": tests.lengths.tolist(),
    }
    write_report(request.report, {**settings_of(request), **content})


def _rule(reason: str) -> str:
    """Return the option that ended a test."""
    return {"stop_se": "--stop-se", "max_items": "--max-items"}.get(reason, reason)
