"""Steps of a fit on the command line: check the outputs, read, fit, score, write and print."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alsim.cli.output import print_warning, printable, progress_bar, right_aligned
from alsim.errors import AlsimError
from alsim.utils.files import write_atomic

if TYPE_CHECKING:
    from alsim.models.base import Fit, Progress
    from alsim.models.scores import Scores
    from alsim.responses.log import Responses

TABLE_WIDTH = 400  # independent of the terminal: a pipe has no width, and numbers must not be truncated


class ModelRequest(NamedTuple):
    """Options of one model."""

    arguments: Mapping[str, Any]  # keyword arguments of the model's `fit`
    scores: Path | None = None  # file to write abilities to; irt only


class Inputs(NamedTuple):
    """Options that all models share."""

    log: Path
    test: Path | None
    out: Path | None
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
    _check_outputs(_outputs(request), (inputs.log, inputs.test), inputs.force)
    _check_file_options(inputs)
    responses = _read(inputs.log, inputs.reading)
    held_out = None if inputs.test is None else _read(inputs.test, inputs.reading)
    module = import_module(f"alsim.models.{name.replace('-', '_')}")
    with _progress() as progress:
        fitted: Fit = module.fit(responses, **model.arguments, progress=progress)
    scores = None if held_out is None else _score(fitted, held_out)
    if inputs.out is not None:
        _write_fit(fitted, scores, inputs.out)
    if model.scores is not None:
        _write_abilities(fitted, responses, model.scores)
    _print_table(fitted)
    _print_summary(name, fitted, responses)
    if scores is not None:
        _print_scores(scores)


# ── checks before the work ───────────────────────────────────────────────────────────────────────


def _outputs(request: FitRequest) -> dict[str, Path]:
    """Return the files that will be written, by the option that names them."""
    outputs = {"--out": request.inputs.out, "--scores": request.model.scores}
    if request.name == "dkt" and request.inputs.out is not None:
        from alsim.models.dkt.result import weights_file

        outputs["--out, weights:"] = weights_file(request.inputs.out)
    return {option: path for option, path in outputs.items() if path is not None}


def _check_outputs(outputs: Mapping[str, Path], inputs: Sequence[Path | None], force: bool) -> None:
    """Raise AlsimError for outputs that cannot be written, or that would replace an input or an existing file."""
    from alsim.models.io import check_table

    used = [path.resolve() for path in inputs if path is not None]
    for option, path in outputs.items():
        if path.resolve() in used:
            raise AlsimError(
                f"{option} {path}: is also an input or another output of this command; choose another file"
            )
        used.append(path.resolve())
        if path.exists() and not path.is_file():
            raise AlsimError(f"{option} {path}: is not a regular file; expected a file to write")
        if path.exists() and not force:
            raise AlsimError(f"{option} {path} already exists; --force overwrites it")
        parent = next(parent for parent in path.resolve().parents if parent.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise AlsimError(f"{option} {path}: cannot be written, as {parent} is not a writable directory")
    if "--scores" in outputs:
        check_table(outputs["--scores"])


def _check_file_options(inputs: Inputs) -> None:
    """Raise AlsimError if options that apply to files only are combined with a dataset."""
    for path in (inputs.log, inputs.test):
        if path is not None and path.is_dir() and inputs.file_options:
            options = ", ".join(inputs.file_options)
            apply, them = ("applies", "it") if len(inputs.file_options) == 1 else ("apply", "them")
            raise AlsimError(f"{path} is a dataset, but {options} {apply} to response files only; remove {them}")


# ── reading and fitting ──────────────────────────────────────────────────────────────────────────


def _read(path: Path, reading: Mapping[str, Any]) -> Responses:
    """Read responses from a file or a dataset; print warnings about skipped rows and duplicates."""
    from alsim.responses.log import Responses
    from alsim.responses.reading import read_responses

    if path.is_dir():
        from alsim.datasets.store import load_dataset

        responses = Responses.from_dataset(load_dataset(path))
    else:
        responses = read_responses(path, **reading)
    report = responses.report
    for reason, number in report.skipped.items():
        print_warning(f"{path}: {number:,} skipped, {reason}; the first one: {report.examples[reason]}")
    if report.duplicates and reading["duplicates"] == "keep":
        print_warning(
            f"{path}: {report.duplicates:,} of {report.rows:,} rows repeat a response, which reveals to a model "
            f"answers that it should predict; --duplicates merge merges them into one response; "
            f"the first one: {report.duplicate}"
        )
    return responses


@contextmanager
def _progress() -> Iterator[Progress]:
    """Yield a callback that updates a progress bar; it does nothing if stderr is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

    message_column = TextColumn("{task.fields[message]}", markup=False)
    with progress_bar(TextColumn("fitting"), BarColumn(), MofNCompleteColumn(), message_column) as bar:
        if bar is None:
            yield lambda done, total, message: None
            return
        task = bar.add_task("fitting", total=None, message="")
        yield lambda done, total, message: bar.update(task, completed=done, total=total, message=printable(message))


def _score(fitted: Fit, responses: Responses) -> Scores:
    """Score predictions of responses; the responses of a row that stands for n students count n times."""
    from alsim.models.scores import score

    weight = responses.weight[responses.student]
    counts = weight.astype(np.int64)
    if not (counts == weight).all():
        invalid = weight[counts != weight][0]
        raise AlsimError(f"the column freq of the held-out responses must contain integers; got {invalid:g}")
    return score(np.repeat(responses.correct, counts), np.repeat(fitted.predict(responses), counts))


# ── results ──────────────────────────────────────────────────────────────────────────────────────


def _write_fit(fitted: Fit, scores: Scores | None, out: Path) -> None:
    """Write a fit as JSON, with the scores of the test."""
    fitted.save(out)
    if scores is not None:
        content = json.loads(out.read_text(encoding="utf-8"))
        content["test"] = {name: None if math.isnan(value) else value for name, value in scores._asdict().items()}
        write_atomic(out, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


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


def _print_table(fitted: Fit) -> None:
    """Print the estimates as a table with one row per skill, item or coefficient."""
    rows = fitted.table()
    names = list(rows[0]) if rows else []
    texts = {name for name in names if any(isinstance(row[name], str) for row in rows)}
    table = Table(*(name if name in texts else right_aligned(name) for name in names), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(_cell(row[name]), no_wrap=True) for name in names))
    Console(highlight=False, width=TABLE_WIDTH).print(table)


def _print_summary(name: str, fitted: Fit, responses: Responses) -> None:
    """Print the size of the log, the likelihood, the convergence, and the notes of a fit."""
    convergence = f"{'converged' if fitted.converged else 'not converged'} after {fitted.iterations:,} iterations"
    print(
        f"{name}: {len(responses):,} responses of {responses.num_students:,} students, {responses.num_items:,} items, "
        f"{responses.num_skills:,} skills; log-likelihood {fitted.log_likelihood:,.3f}, {convergence}"
    )
    for note in getattr(fitted, "notes", ()):
        print(f"note: {printable(note)}")


def _print_scores(scores: Scores) -> None:
    """Print the scores of the test."""
    auc = "undefined (all responses alike)" if math.isnan(scores.auc) else f"{scores.auc:.4f}"
    print(
        f"test: AUC {auc}, RMSE {scores.rmse:.4f}, log loss {scores.log_loss:.4f}, "
        f"accuracy {scores.accuracy:.4f} over {scores.responses:,} responses"
    )


def _cell(value: str | int | float) -> str:
    """Format a cell of a table."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if math.isnan(value):
        return "-"
    return f"{value:,.4f}" if abs(value) < 1000 else f"{value:,.3f}"
