"""Command `alsim cat`."""

from __future__ import annotations

import math
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from alsim.cli.app import app
from alsim.cli.cat_dialog import Dialog, Ended, at_bound, estimate, rounded
from alsim.cli.command import DialogCommand
from alsim.cli.help import examples
from alsim.cli.options import COLUMNS_METAVAR, ForceOption, JsonOption, SeedOption, read_mapping
from alsim.cli.output import STDOUT, print_sentence, print_table, print_warning, write_report
from alsim.errors import AlsimError

if TYPE_CHECKING:
    from alsim.models.cat import CAT, CATRun
    from alsim.models.irt import CalibratedItems


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


class Request(NamedTuple):
    """A test to run, and where its results go."""

    cat: CAT
    items: CalibratedItems
    file: Path
    seed: int
    report: Path | None
    plot: Path | None


@app.command(
    "cat",
    cls=DialogCommand,
    short_help="Run an adaptive test in the terminal, or simulate tests.",
    epilog=examples(
        "alsim cat --items items.csv --stop-se 0.4",
        "alsim cat --items fit.json --simulate 0.5 --plot test.png",
        "alsim cat --items fit.json --simulate normal --examinees 500",
    ),
)
def cat_command(
    items: Annotated[
        Path,
        typer.Option("--items", metavar="FILE", help="Table of item parameters a, b and c, or a fit of alsim fit irt."),
    ],
    columns: Annotated[
        str,
        typer.Option("--columns", metavar=COLUMNS_METAVAR, help="Column names of the table, such as a=disc,b=diff."),
    ] = "",
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
    prior_mean: Annotated[
        float, typer.Option("--prior-mean", help="Mean of the prior of ability, for eap and map, logits.")
    ] = 0.0,
    prior_sd: Annotated[
        float, typer.Option("--prior-sd", help="Standard deviation of the prior of ability, logits.")
    ] = 1.0,
    bounds: Annotated[
        str,
        typer.Option("--bounds", metavar="LOW,HIGH", help="Lowest and highest ability, logits, such as --bounds=-6,6."),
    ] = "-4,4",
    simulate: Annotated[
        str | None,
        typer.Option(
            "--simulate",
            metavar="ABILITY",
            help="Simulate the answers at this true ability, logits; normal draws it from the prior.  "
            "[default: you answer]",
        ),
    ] = None,
    examinees: Annotated[
        int, typer.Option("--examinees", help="Number of simulated examinees; of several, a summary is printed.")
    ] = 1,
    seed: SeedOption = 0,
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
    """
    from alsim.models.cat import CAT
    from alsim.models.irt import read_items

    if examinees < 1 or (examinees > 1 and (simulate is None or plot is not None)):
        raise AlsimError(_examinees_fault(examinees, plot))
    if simulate is None and report not in (None, STDOUT) and report.is_file() and not force:
        raise AlsimError(f"--json {report} already exists; --force overwrites this record of a test")
    if plot is not None:
        from alsim.models.cat.drawing import check_drawing

        check_drawing(plot)
    table = read_items(items, read_mapping(columns))
    _check_min_items(min_items, max_items, len(table.item_parameters))
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
        bounds=_read_bounds(bounds),
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
    _print_heading(request, examinees)
    if abilities is None:
        _administer(request)
    else:
        _simulate(request, abilities)


def _examinees_fault(examinees: int, plot: Path | None) -> str:
    """Return the message for an invalid number of examinees."""
    if examinees < 1:
        return f"--examinees is {examinees}; expected an integer of at least 1"
    if plot is not None:
        return f"--plot draws one test, and --examinees is {examinees}; remove one of them"
    return f"--examinees {examinees} needs simulated answers; add --simulate normal, or --simulate ABILITY"


def _check_min_items(min_items: int, max_items: int, bank_size: int) -> None:
    """Raise AlsimError if a test cannot have `min_items` items."""
    if 1 <= max_items < min_items:
        raise AlsimError(f"--min-items is {min_items}; expected an integer from 1 to {max_items}, as --max-items is")
    if bank_size < min_items:
        raise AlsimError(
            f"--min-items is {min_items}; expected an integer from 1 to {bank_size}, the number of items of the bank"
        )


def _read_bounds(text: str) -> tuple[float, float]:
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


def _print_heading(request: Request, examinees: int) -> None:
    """Print the size of the bank, the stopping rules and, for one examinee, the meaning of the estimates."""
    cat = request.cat
    precision = f", or until the standard error is {cat.stop_se:.2f} logits" if cat.stop_se else ""
    print(f"{request.file}: {_count(len(cat.items))}")
    print(f"At most {_count(cat.longest)} per test{precision}.")
    if examinees == 1:
        print("Each ability is an estimate ± its standard error.")


# ── one test ─────────────────────────────────────────────────────────────────────────────────────


def _administer(request: Request) -> None:
    """Run a test in the terminal. After Ctrl-C, the results so far are written, and the exit status is 130."""
    ended = Dialog(request.cat, request.items, request.seed).run()
    _finish(request, ended)
    if ended.reason == "interrupted":
        raise typer.Exit(130)


def _simulate(request: Request, abilities: Any) -> None:
    """Simulate tests, and print their answers, or a summary of several."""
    tests = request.cat.run(abilities, seed=request.seed)
    if len(abilities) > 1:
        _print_summary(request, tests)
        return
    print_table(
        ["item", "answer", "ability, logits", "SE"],
        [
            [
                _short(row["item"]),
                "correct" if row["correct"] else "wrong",
                rounded(row["ability"]),
                rounded(row["se"]),
            ]
            for row in _answers(tests, [])
        ],
    )
    _finish(request, Ended(tests, str(request.cat.stop_reasons(tests)[0]), []))


def _finish(request: Request, ended: Ended) -> None:
    """Print the verdict of one test, and write its report and its plot."""
    tests, cat = ended.tests, request.cat
    print(_verdict(cat, tests, ended.reason))
    answers = _answers(tests, ended.replies)
    content = {
        "ability": _finite(tests.theta[0]) if answers else None,
        "se": _finite(tests.se[0]),
        "true_ability": None if tests.abilities is None else float(tests.abilities[0]),
        "reason": ended.reason,
        "answers": answers,
    }
    write_report(request.report, {**_settings(request), **content})
    if request.plot is not None and answers:
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
    return f"ability {ability}{truth} after {_count(count)}:\nstopped because {reasons[reason]}"


def _count(items: int) -> str:
    """Return a number of items as text."""
    return f"{items:,} item{'' if items == 1 else 's'}"


def _answers(tests: CATRun, replies: list[str]) -> list[dict[str, Any]]:
    """Return one row per answer of the first examinee: item, correctness, and the estimate after it."""
    return [
        {
            "item": str(tests.item_names[0, k]),
            **({"reply": replies[k]} if replies else {}),
            "correct": int(tests.correct[0, k]),
            "ability": _finite(tests.theta_after[0, k]),
            "se": _finite(tests.se_after[0, k]),
        }
        for k in range(int(tests.lengths[0]))
    ]


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
        ("median standard error, logits", rounded(summary["median_se"], 3)),
        ("examinees with an ability at a bound", f"{at_bounds:,}"),
        ("mean test length, items", f"{tests.mean_length:.1f}"),
        (f"highest exposure, share of tests (item {_short(most)})", f"{rates.max():.3f}"),
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
        "summary": {**{name: _finite(value) for name, value in summary.items()}, "at_bounds": at_bounds},
        "reasons": dict(reasons),
        "exposure": dict(zip(map(str, tests.names), rates.tolist(), strict=True)),
        "true_abilities": [] if tests.abilities is None else tests.abilities.tolist(),
        "abilities": [_finite(value) for value in tests.theta],
        "se": [_finite(value) for value in tests.se],
        "lengths": tests.lengths.tolist(),
    }
    write_report(request.report, {**_settings(request), **content})


def _rule(reason: str) -> str:
    """Return the option that ended a test."""
    return {"stop_se": "--stop-se", "max_items": "--max-items"}.get(reason, reason)


def _short(name: str) -> str:
    """Return the name of an item as text of at most 30 characters."""
    return name if len(name) <= 30 else name[:27] + "..."


def _settings(request: Request) -> dict[str, Any]:
    """Return the settings of a test, for its report."""
    names = (
        "select",
        "estimate",
        "max_items",
        "min_items",
        "stop_se",
        "randomesque",
        "start",
        "prior_mean",
        "prior_sd",
        "bounds",
    )
    settings = {name: getattr(request.cat, name) for name in names} | {"start": request.cat.first_ability}
    return {"items": str(request.file), "bank_size": len(request.cat.items), "seed": request.seed, "settings": settings}


def _finite(value: float | None) -> float | None:
    """Return a number for JSON; None if it is None or not finite."""
    if value is None or isinstance(value, int):
        return value
    return float(value) if math.isfinite(value) else None
