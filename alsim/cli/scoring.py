"""Command `alsim score`: abilities of examinees from their responses to calibrated items."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from alsim.cli.app import app
from alsim.cli.cat import Estimate, read_bounds
from alsim.cli.command import Command
from alsim.cli.fit_notes import repeated_pairs
from alsim.cli.fitting import shared_options
from alsim.cli.fitting_run import Inputs, check_file_options, read_log
from alsim.cli.help import examples
from alsim.cli.options import COLUMNS_METAVAR, ItemsOption, PriorMeanOption, PriorSdOption, read_mapping
from alsim.cli.output import (
    counted,
    finite,
    fixed_point,
    print_sentence,
    print_table,
    print_warning,
    rounded,
    shortened,
    write_report,
)
from alsim.errors import AlsimError
from alsim.utils.files import check_writable

if TYPE_CHECKING:
    from alsim.models.irt import Abilities, ItemParameters
    from alsim.responses.log import Responses

SHOWN_STUDENTS = 10
"""Number of printed students."""
MAX_NAME = 30
"""Columns to which the names of students are shortened."""
BOUNDS = (-4.0, 4.0)
"""Default bounds of ability for a table of items, logits."""
UNUSED = ("test", "table", "out")
"""Options of `alsim fit` that do not apply, or have another meaning here."""


class ScoreOptions(NamedTuple):
    """Options of `alsim score`; those about the log are in `inputs`."""

    items: Path
    item_columns: Mapping[str, str]
    item_encoding: str | None
    method: str
    prior: tuple[float, float]  # mean and standard deviation, logits
    bounds: tuple[float, float] | None  # logits; None for the default
    out: Path | None
    inputs: Inputs


class Scored(NamedTuple):
    """Abilities of the students of a log, and what they were estimated from.

    abilities  estimates of S students; `responses` counts the responses used
    correct    (S,) number of correct responses used
    unknown    names of the items without parameters
    num_items  number of items with responses that were used
    warnings   sentences about items that are matched by position, and about unknown items
    notes      sentences about unusual data and estimates
    """

    responses: Responses
    abilities: Abilities
    correct: NDArray[np.int64]
    unknown: Sequence[str]
    num_items: int
    warnings: Sequence[str]
    notes: Sequence[str]


def score_options(
    items: ItemsOption,
    item_columns: Annotated[
        str,
        typer.Option(
            "--item-columns", metavar=COLUMNS_METAVAR, help="Column names of the items, such as a=disc,b=diff."
        ),
    ] = "",
    item_encoding: Annotated[
        str | None,
        typer.Option(
            "--item-encoding",
            metavar="NAME",
            help="Encoding of the table of items.  [default: UTF-8, or that of the byte order mark]",
        ),
    ] = None,
    method: Annotated[
        Estimate, typer.Option("--method", case_sensitive=False, help="Ability estimator.")
    ] = Estimate.eap,
    prior_mean: PriorMeanOption = 0.0,
    prior_sd: PriorSdOption = 1.0,
    bounds: Annotated[
        str,
        typer.Option(
            "--bounds",
            metavar="LOW,HIGH",
            help="Lowest and highest ability, logits, such as --bounds=-6,6.  [default: -4,4; -6,6 for a fit]",
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write the ability of each student as .csv or .parquet."),
    ] = None,
) -> dict[str, Any]:
    """Estimate the ability of each student from responses to calibrated items.

    The items are read from a text or Parquet file with one row per item, or from a fit of alsim fit irt. Their names
    are those of the items of LOG. Items without names are matched by position, if LOG has one column per item.
    Responses to other items are left out, with a warning.
    """
    return {
        "items": items,
        "item_columns": read_mapping(item_columns),
        "item_encoding": item_encoding,
        "method": method.value,
        "prior": (prior_mean, prior_sd),
        "bounds": read_bounds(bounds) if bounds else None,
        "out": out,
    }


def _register() -> None:
    """Add the command, which has the options of `score_options` and those of `alsim fit` that describe the log."""
    own = inspect.signature(score_options, eval_str=True).parameters
    shared = inspect.signature(shared_options, eval_str=True).parameters
    taken = {name: parameter for name, parameter in shared.items() if name not in UNUSED}

    def command(**values: Any) -> None:
        log_values: dict[str, Any] = {name: value for name, value in values.items() if name in taken}
        log_values |= dict.fromkeys(UNUSED)
        inputs = shared_options(**log_values)
        options = score_options(**{name: value for name, value in values.items() if name in own})
        run_score(ScoreOptions(**options, inputs=inputs))

    order = [*(taken[name] for name in ("context", "log")), *own.values()]
    order += [parameter for name, parameter in taken.items() if name not in ("context", "log")]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in order]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    register: Callable[[Any], Any] = app.command(
        "score",
        cls=Command,
        help=inspect.getdoc(score_options),
        short_help="Estimate abilities from responses to calibrated items.",
        epilog=examples(
            "alsim score answers.csv --items items.csv",
            "alsim score answers.csv --items fit.json --method wle --out abilities.csv",
        ),
    )
    register(command)


_register()


def run_score(options: ScoreOptions) -> None:
    """Read items and responses, estimate the abilities, and write and print them."""
    from alsim.models.io import write_table

    _check_outputs(options)
    check_file_options(options.inputs)
    items, nodes, default = _read_items(options)
    responses = read_log(options.inputs.log, options.inputs.reading)
    scored = score(items, responses, options, nodes, options.bounds or default)
    columns = _columns(scored)
    if options.out is not None:
        write_table(columns, options.out)
    write_report(options.inputs.report, _report(scored, columns, options))
    _print(scored, columns, options)


def _check_outputs(options: ScoreOptions) -> None:
    """Raise AlsimError for an output that is an input, that exists, or that cannot be written."""
    from alsim.models.io import check_table

    out = options.out
    if out is None:
        return
    check_table(out)
    if out.exists() and not (options.inputs.force and out.is_file()):
        raise AlsimError(f"--out {out} already exists; --force overwrites it, if it is a file")
    check_writable(out, "--out")


def _read_items(options: ScoreOptions) -> tuple[ItemParameters, int | None, tuple[float, float]]:
    """Return the items, and the number of nodes and the bounds with which their fit integrates, else the defaults."""
    from alsim.models.base import load_fit
    from alsim.models.irt import IRTFit, read_items
    from alsim.models.irt.estimation import RANGE

    try:
        items = read_items(options.items, options.item_columns, encoding=options.item_encoding).item_parameters
    except AlsimError as error:  # its cure names the option of alsim cat
        raise type(error)(
            str(error).replace("--columns", "--item-columns").replace("--encoding", "--item-encoding")
        ) from None
    for note in items.notes:
        print_warning(f"{options.items}: {note}")
    if options.items.suffix.lower() == ".json":
        fitted = load_fit(options.items)
        if isinstance(fitted, IRTFit):
            return items, fitted.nodes if options.method == "eap" else None, (-RANGE, RANGE)
    return items, None, BOUNDS


def score(
    items: ItemParameters,
    responses: Responses,
    options: ScoreOptions,
    nodes: int | None,
    bounds: tuple[float, float],
) -> Scored:
    """Estimate the abilities of the students of a log. Raises AlsimError if no item of the log has parameters."""
    from alsim.models.irt import Answers, estimate_ability
    from alsim.models.matching import match_items, unknown_names

    codes, note = match_items(responses, items.names, str(options.inputs.log), str(options.items))
    unknown = unknown_names(responses, "item", codes)
    if unknown.is_all:
        raise AlsimError(
            f"{options.inputs.log}: no item has parameters in {options.items}, such as {unknown.names[0]!r}; the items "
            f"there are, for example, {str(items.names[0])!r}: use the same names, or name their column with "
            "--item-columns name=NAME"
        )
    known = codes[responses.item] >= 0
    counts = np.bincount(responses.student[known], minlength=responses.num_students)
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    item = codes[responses.item[known]].astype(np.int32)
    right = responses.correct[known]
    mean, sd = options.prior
    method: Any = options.method
    abilities = estimate_ability(
        items, Answers(start, item, right), method, prior_mean=mean, prior_sd=sd, bounds=bounds, nodes=nodes
    )
    correct = np.bincount(responses.student[known], right, responses.num_students).astype(np.int64)
    warnings = [note] if note else []
    if unknown.names:
        lack = f"no parameters in {options.items}, so responses to them are left out"
        warnings.append(unknown.sentence(str(options.inputs.log), f"has {lack}", f"have {lack}"))
    notes = _notes(abilities, bounds, options.method, responses)
    return Scored(responses, abilities, correct, unknown.names, unknown.total - len(unknown.names), warnings, notes)


def _notes(abilities: Abilities, bounds: tuple[float, float], method: str, responses: Responses) -> list[str]:
    """Return the notes about students without responses, estimates at a bound, and repeated responses."""
    notes = []
    empty = int((abilities.responses == 0).sum())
    if empty:
        estimate = "the prior" if method in ("eap", "map") else "no estimate"
        notes.append(f"{counted(empty, 'student')} without responses to these items: {estimate}")
    at_bound = int(np.isin(abilities.theta, bounds).sum())
    if at_bound:
        notes.append(
            f"{counted(at_bound, 'estimate')} at a bound of ability, as after answers that are all correct or all wrong"
        )
    return notes + repeated_pairs(responses)


def _columns(scored: Scored) -> dict[str, list[Any]]:
    """Return the columns of the table of students; None for a missing estimate."""
    return {
        "student": scored.responses.students.tolist(),
        "ability": [finite(value) for value in scored.abilities.theta],
        "se": [finite(value) for value in scored.abilities.se],
        "responses": scored.abilities.responses.tolist(),
        "correct": scored.correct.tolist(),
    }


def _summary(scored: Scored) -> dict[str, float | None]:
    """Return mean, standard deviation and mean standard error of the estimates, weighted by the students, logits.

    Values are None without estimates; the standard deviation is None for one student, too.
    """
    has = np.isfinite(scored.abilities.theta) & (scored.abilities.responses > 0)
    weight = scored.responses.weight[has]
    if weight.sum() == 0:
        return {"mean": None, "sd": None, "mean_se": None}
    theta = scored.abilities.theta[has]
    mean = float(np.average(theta, weights=weight))
    sd = float(np.sqrt(np.average((theta - mean) ** 2, weights=weight))) if weight.sum() > 1 else None
    return {"mean": mean, "sd": sd, "mean_se": finite(np.average(scored.abilities.se[has], weights=weight))}


def _num_used(scored: Scored) -> int:
    """Return the number of responses used; those of a row that stands for n students count n times."""
    return round(float((scored.abilities.responses * scored.responses.weight).sum()))


def _report(scored: Scored, columns: Mapping[str, Sequence[Any]], options: ScoreOptions) -> dict[str, Any]:
    """Return the report as JSON values."""
    read = scored.responses.report
    return {
        "items": str(options.items),
        "method": options.method,
        "log": {
            "path": str(options.inputs.log),
            "rows": read.rows,
            "responses": round(float(scored.responses.weight[scored.responses.student].sum())),
            "students": round(scored.responses.num_respondents),
            "items": scored.num_items,
            "skipped": dict(read.skipped),
            "study_events": 0 if scored.responses.study is None else len(scored.responses.study),
            "removed": read.removed,
        },
        "used_responses": _num_used(scored),
        "unknown_items": list(scored.unknown),
        "notes": [*scored.warnings, *scored.notes],
        "summary": _summary(scored),
        "students": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
    }


def _print(scored: Scored, columns: Mapping[str, Sequence[Any]], options: ScoreOptions) -> None:
    """Print the first students, the size of the log, the notes and the distribution of the abilities."""
    rows = []
    for name, ability, se, count, right in list(zip(*columns.values(), strict=True))[:SHOWN_STUDENTS]:
        rows.append((shortened(str(name), MAX_NAME), *rounded(ability, se), f"{count:,}", f"{right:,}"))
    print_table(("student", "ability", "±", "responses", "correct"), rows)
    if len(columns["student"]) > len(rows):
        print(f"… and {len(columns['student']) - len(rows):,} more; --out FILE writes all")
    for warning in scored.warnings:
        print_warning(warning)
    for note in scored.notes:
        print_sentence(f"note: {note}")
    used = _num_used(scored)
    print_sentence(
        f"{options.method.upper()} of {counted(round(scored.responses.num_respondents), 'student')} from "
        f"{counted(used, 'response')} to {counted(scored.num_items, 'item')}, logits; ±: standard error"
    )
    summary = _summary(scored)
    if summary["mean"] is not None and summary["sd"] is not None:
        mean, sd = fixed_point(summary["mean"], 2), fixed_point(summary["sd"], 2)
        print_sentence(f"The abilities have the mean {mean} and the standard deviation {sd}.")
