"""Steps of a fit on the command line: check the outputs, read, fit, score, write and print."""

from __future__ import annotations

import csv
import io
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from alsim.cli.fit_notes import unknown_names
from alsim.cli.fit_overlap import is_in_sample, shared_students
from alsim.cli.fit_report import Tested, print_log, print_scores, report, score_predictions, verdict
from alsim.cli.fit_tables import print_estimates, write_estimates
from alsim.cli.output import (
    check_distinct,
    counted_progress,
    elapsed_progress,
    is_same_file,
    log_to_stderr,
    muted,
    print_sentence,
    print_warning,
    write_report,
)
from alsim.errors import AlsimError
from alsim.utils.file_groups import finish_group
from alsim.utils.files import check_writable

if TYPE_CHECKING:
    from alsim.models.base import Fit, Progress
    from alsim.responses.log import Responses


TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".pq", ".xlsx")
"""Suffixes of tables, which a fit must not have."""
WITH_TIMES = ("hlr",)
"""Models that read the times of a dataset."""


class ModelRequest(NamedTuple):
    """Options of one model."""

    arguments: Mapping[str, Any]  # keyword arguments of the model's `fit`
    scores: Path | None = None  # file to write abilities to; irt only


class Inputs(NamedTuple):
    """Options that all models share."""

    log: Path
    test: Path | None
    out: Path | None
    table: Path | None
    report: Path | None
    force: bool
    reading: Mapping[str, Any]  # keyword arguments of `read_responses`
    file_options: Sequence[str]  # options on the command line that apply to files only, such as "--format"


class FitRequest(NamedTuple):
    """A model to fit, with its options."""

    name: str
    model: ModelRequest
    inputs: Inputs


def run_fit(request: FitRequest) -> None:
    """Fit a model, score its predictions of the held-out responses, and write and print the results."""
    name, model, inputs = request
    _check_outputs(_outputs(request), inputs.force)
    check_file_options(inputs)
    responses = read_log(inputs.log, _reading(inputs, inputs.log), times=name in WITH_TIMES)
    _check_log(name, inputs.log, responses)
    held_out = _read_held_out(name, inputs, responses)
    module = import_module(f"alsim.models.{name.replace('-', '_')}")
    with _progress() as progress:
        fitted: Fit = module.fit(responses, **model.arguments, progress=progress)
    tested = None if held_out is None else _score(fitted, held_out)
    rows = fitted.table()
    _write_fit(fitted, tested, inputs)
    if model.scores is not None:
        _write_abilities(fitted, responses, model.scores)
    if inputs.table is not None:
        write_estimates(rows, inputs.table)
    write_report(inputs.report, None if inputs.report is None else report(fitted, rows, responses, inputs.log, tested))
    print_estimates(name, rows)
    if model.scores is not None:
        print(f"abilities: {model.scores}, EAP (posterior means) with their standard errors, logits")
    print_log(responses, fitted, rows)
    if tested is not None:
        print_scores(tested)
    print_sentence(verdict(fitted, tested, rows))


# ── checks before the work ───────────────────────────────────────────────────────────────────────


def _outputs(request: FitRequest) -> dict[str, Path]:
    """Return the files that will be written, by the option that names them."""
    outputs = {"--out": request.inputs.out, "--scores": request.model.scores, "--table": request.inputs.table}
    outputs["--json"] = request.inputs.report
    if request.name == "dkt" and request.inputs.out is not None:
        from alsim.models.dkt.result import weights_file

        outputs["--out, weights:"] = weights_file(request.inputs.out)
    return {option: path for option, path in outputs.items() if path is not None}


def _check_outputs(outputs: Mapping[str, Path], force: bool) -> None:
    """Raise AlsimError for outputs that cannot be written, or that would replace an existing file.

    All commands check that no output is an input or another output, except for outputs that no option names.
    """
    from alsim.models.io import check_table

    check_distinct(outputs.items(), ())
    if (out := outputs.get("--out")) is not None:
        finish_group(out.parent, out.name)
    for option, path in outputs.items():
        if option != "--json":  # checked for all commands; it may go to a pipe
            if path.exists() and not path.is_file():
                raise AlsimError(f"{option} {path}: is not a regular file; expected a file to write")
            if path.exists() and not force:
                raise AlsimError(f"{option} {path} already exists; --force overwrites it")
        check_writable(path, option)
        if option in ("--scores", "--table"):
            check_table(path)
        elif option == "--out" and path.suffix.lower() in TABLE_SUFFIXES:
            raise AlsimError(
                f"--out {path}: is named like a table, but a fit is written as JSON; name it .json, or write the table "
                f"of estimates with --table {path}"
            )


def check_file_options(inputs: Inputs) -> None:
    """Raise AlsimError if options that apply to files only are combined with a dataset."""
    from alsim.responses.formats.registry import reads_directory

    if reads_directory(inputs.reading["format"]):
        return
    for path in (inputs.log, inputs.test):
        if path is not None and path.is_dir() and inputs.file_options:
            options = ", ".join(inputs.file_options)
            apply, them = ("applies", "it") if len(inputs.file_options) == 1 else ("apply", "them")
            raise AlsimError(f"{path} is a dataset, but {options} {apply} to response files only; remove {them}")


# ── reading and fitting ──────────────────────────────────────────────────────────────────────────


def read_log(path: Path, reading: Mapping[str, Any], *, times: bool = False) -> Responses:
    """Read responses from a file or a dataset; print warnings about its columns, skipped rows and duplicates.

    times  True for the times and study events of a dataset
    """
    from alsim.responses.formats.registry import reads_directory, recognise_directory
    from alsim.responses.log import Responses
    from alsim.responses.reading import read_responses
    from alsim.responses.report import ResponsesError

    if path.is_dir() and not reads_directory(reading["format"]) and recognise_directory(path) is None:
        from alsim.datasets.store import load_dataset

        responses = Responses.from_dataset(load_dataset(path, verify=True), times=times)
    else:
        try:
            with log_to_stderr("alsim.responses"), elapsed_progress(f"reading {path}"):
                responses = read_responses(path, **reading)
        except ResponsesError as error:
            raise AlsimError(error.message(*starmap(_as_flag, error.options.items()))) from None
    report = responses.report
    for reason, number in report.skipped.items():
        print_warning(f"{path}: {number:,} skipped, {reason}; the first one: {report.examples[reason]}")
    for column, number in report.unknown.items():
        print_warning(
            f"{path}: invalid values of {column} are read as unknown: {number:,}; the first one: "
            f"{report.unknown_examples[column]}"
        )
    if report.covariates:
        options = ",".join(f"{name}=" for name in report.covariates)
        print_warning(
            f"{path}: items with the name of a covariate: {', '.join(report.covariates)}; "
            f"if they are not items, omit them with --columns {shlex.quote(options)}"
        )
    if report.duplicates and reading["duplicates"] == "keep":
        print_warning(
            f"{path}: {report.duplicates:,} of {report.rows:,} rows repeat a response, which reveals to a model "
            f"answers that it should predict; --duplicates merge merges them into one response; "
            f"the first one: {report.duplicate}"
        )
    return responses


def _reading(inputs: Inputs, path: Path) -> Mapping[str, Any]:
    """Return the arguments for reading one of the two logs.

    Arguments for text files do not apply to a binary table if the other log is a text file. They are refused if both
    logs are binary tables.
    """
    from alsim.responses.applicable import CHARACTERS, LINES, Arguments
    from alsim.responses.reading import is_binary

    logs = [log for log in (inputs.log, inputs.test) if log is not None]
    if not is_binary(path) or all(map(is_binary, logs)):
        return inputs.reading
    defaults = Arguments()._asdict()
    return {**inputs.reading, **{name: defaults[name] for name in CHARACTERS | LINES}}


class HeldOut(NamedTuple):
    """Held-out responses, the notes about them, and whether they are those that the model is fitted to."""

    path: Path
    responses: Responses
    notes: Sequence[str]
    in_sample: bool


def _read_held_out(model: str, inputs: Inputs, responses: Responses) -> HeldOut | None:
    """Read the held-out responses, and compare them with the responses that the model is fitted to; None without."""
    path = inputs.test
    if path is None:
        return None
    if is_same_file(path, inputs.log):
        return HeldOut(path, responses, (), in_sample=True)
    held_out = read_log(path, _reading(inputs, path), times=model in WITH_TIMES)
    found = unknown_names(model, responses, held_out, path)
    in_sample = is_in_sample(responses, held_out)
    # Learners of two datasets have the same names also if the seeds, and so the learners, differ.
    if not (in_sample or path.is_dir() or inputs.log.is_dir()):
        found += shared_students(responses, held_out)
    return HeldOut(path, held_out, found, in_sample)


def _score(fitted: Fit, held_out: HeldOut) -> Tested:
    """Score the predictions of the held-out responses."""
    with muted("alsim.models.names"):  # the notes count the unknown names
        tested = score_predictions(fitted, held_out.responses, held_out.path)
    return tested._replace(notes=held_out.notes, in_sample=held_out.in_sample)


def _check_log(model: str, path: Path, responses: Responses) -> None:
    """Raise AlsimError for a log that a model cannot be fitted to without arguments that only Python has."""
    if model == "dkt" and responses.num_students < 2:
        raise AlsimError(f"{path}: has one student, but dkt needs one more for validation; add the responses of others")
    if model == "irt":
        correct = set(responses.item[responses.correct == 1].tolist())
        if correct.isdisjoint(responses.item[responses.correct == 0].tolist()):
            raise AlsimError(
                f"{path}: no item has both correct and wrong responses, so none has a finite estimate; "
                "add responses, or fit skill-mean"
            )


def _as_flag(name: str, value: Any) -> str:
    """Return an argument of `read_responses` as an option of the command line."""
    flag = f"--{name.replace('_', '-')}"
    if value is True:
        return flag
    if value is False:
        return f"--no-{name}"
    if isinstance(value, int):
        return f"{flag} {value}"
    if value is None:
        return f"{flag} ''"
    if isinstance(value, Mapping):
        parts = [f"{column}={'' if title is None else title}" for column, title in value.items()]
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(parts)
        value = text.getvalue()
    elif isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    separator = "=" if value.startswith("-") else " "
    return f"{flag}{separator}{shlex.quote(value)}"


@contextmanager
def _progress() -> Iterator[Progress]:
    """Yield a callback that shows the progress of a fit."""
    with counted_progress("steps of the fit") as show:
        yield lambda done, total, message: show(done, message, total)


# ── results ──────────────────────────────────────────────────────────────────────────────────────


def _write_fit(fitted: Fit, tested: Tested | None, inputs: Inputs) -> None:
    """Write a fit as JSON to the file of --out, if there is one, with the scores of the test."""
    if inputs.out is None:
        return
    scores = {} if tested is None else tested.scores._asdict()
    finite = {name: None if math.isnan(value) else value for name, value in scores.items()}
    fitted.save(inputs.out, test=finite if scores else None, force=inputs.force)


def _write_abilities(fitted: Any, responses: Responses, file: Path) -> None:
    """Write the ability of each student."""
    from alsim.models.io import write_table

    abilities = fitted.scores(responses)
    columns = {
        "student": responses.students.tolist(),
        "ability": abilities.theta.tolist(),
        "se": abilities.se.tolist(),
        "responses": abilities.responses.tolist(),
    }
    write_table(columns, file)
