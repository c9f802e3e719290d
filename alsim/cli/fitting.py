"""The command fit."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alsim.cli.app import app
from alsim.cli.options import ForceOption, read_mapping
from alsim.cli.output import printable, progress_bar, right_aligned
from alsim.errors import AlsimError
from alsim.utils.files import write_whole

if TYPE_CHECKING:
    from alsim.models.base import Fit, Progress
    from alsim.models.scores import Scores
    from alsim.responses.log import Responses


class Model(StrEnum):
    """What can be fitted."""

    bkt = "bkt"
    irt = "irt"
    dkt = "dkt"
    pfa = "pfa"
    best_lr = "best-lr"
    skill_mean = "skill-mean"


class ItemModel(StrEnum):
    """Models of items."""

    rasch = "rasch"
    one = "1pl"
    two = "2pl"
    three = "3pl"


class LogFormat(StrEnum):
    """Formats of a response log."""

    long = "long"
    wide = "wide"
    three_line = "three-line"


class Duplicates(StrEnum):
    """What to do with rows that repeat a response."""

    keep = "keep"
    merge = "merge"
    drop = "drop"


GOES_WITH = {
    "--model": (Model.irt,),
    "--scores": (Model.irt,),
    "--forgets": (Model.bkt,),
    "--unbounded": (Model.bkt,),
    "--starts": (Model.bkt,),
    "--seed": (Model.bkt, Model.dkt),
    "--hidden": (Model.dkt,),
    "--device": (Model.dkt,),
    "--epochs": (Model.dkt,),
    "--checkpoint": (Model.dkt,),
}
"""The models that an option is about; an option that is not here goes with all."""


@app.command()
def fit(
    model: Annotated[Model, typer.Argument(metavar="bkt|irt|dkt|pfa|best-lr|skill-mean", help="What to fit.")],
    file: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="A response log, or a dataset.")],
    item_model: Annotated[
        ItemModel | None, typer.Option("--model", help="Of irt: rasch, 1pl, 2pl or 3pl.  [default: 2pl]")
    ] = None,
    forgets: Annotated[bool, typer.Option("--forgets", help="Of bkt: skills may be lost again.")] = False,
    unbounded: Annotated[bool, typer.Option("--unbounded", help="Of bkt: guess and slip may be 0.5 and more.")] = False,
    starts: Annotated[int | None, typer.Option("--starts", help="Of bkt: starts, of which the best counts.")] = None,
    hidden: Annotated[int | None, typer.Option("--hidden", help="Of dkt: size of the hidden state.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Of dkt: epochs at most.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Of dkt: cpu, cuda, or auto.  [default: cpu]")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="DIR", help="Of dkt: where to go on after a break.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of bkt with several starts, and of dkt.")] = None,
    log_format: Annotated[
        LogFormat | None, typer.Option("--format", help="long, wide or three-line; without, found.")
    ] = None,
    columns: Annotated[
        str, typer.Option("--columns", metavar="OURS=THEIRS,…", help="As student=user_id,skill=skill_name,order=id.")
    ] = "",
    delimiter: Annotated[str | None, typer.Option("--delimiter", help="Of the columns; without, found.")] = None,
    encoding: Annotated[str | None, typer.Option("--encoding", help="Such as latin-1.  [default: UTF-8]")] = None,
    separator: Annotated[str, typer.Option("--separator", help="Of the skills of one response.")] = "~~",
    missing: Annotated[
        str, typer.Option("--missing", help="Of wide files: values for no response, beside empty cells, NA and NaN.")
    ] = "-1",
    duplicates: Annotated[
        Duplicates, typer.Option("--duplicates", help="Rows that repeat a response: keep, merge or drop them.")
    ] = Duplicates.keep,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out, and count them.")] = False,
    test: Annotated[
        Path | None, typer.Option("--test", metavar="FILE|DIR", help="Responses to forecast, of the same format.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FIT.json", help="Write the fit here.")] = None,
    scores: Annotated[
        Path | None,
        typer.Option("--scores", metavar="FILE", help="Of irt: write each student's ability, as .csv or .parquet."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Fit a student model to responses, say how well it forecasts others, and write it.

    FILE is a table with a row a response, a matrix with a row a student, or three lines a student; CSV, Parquet or
    Arrow. A dataset's answered questions are responses, too.
    """
    options = {
        "--model": None if item_model is None else item_model.value,
        "--forgets": forgets or None,
        "--unbounded": unbounded or None,
        "--starts": starts,
        "--seed": seed,
        "--hidden": hidden,
        "--device": device,
        "--epochs": epochs,
        "--checkpoint": checkpoint,
        "--scores": scores,
    }
    _check_options(model, options)
    outputs = {"--out": out, "--scores": scores}
    if model is Model.dkt and out is not None:
        from alsim.models.dkt.result import weights_file

        outputs["--out, weights:"] = weights_file(out)
    _check_outputs(outputs, (file, test), force)
    reading = {
        "format": None if log_format is None else log_format.value,
        "columns": read_mapping(columns) or None,
        "delimiter": {"\\t": "\t", "tab": "\t"}.get(delimiter or "", delimiter),
        "encoding": encoding,
        "separator": separator or None,
        "missing": [value.strip() for value in missing.split(",") if value.strip()],
        "duplicates": duplicates.value,
        "skip_bad": skip_bad,
    }
    responses = _read(file, reading)
    held_out = None if test is None else _read(test, reading)
    module = import_module(f"alsim.models.{model.value.replace('-', '_')}")
    with _progress() as progress:
        fitted: Fit = module.fit(responses, **_arguments(options), progress=progress)
    found = None if held_out is None else _score(fitted, held_out)
    if out is not None:
        _write_fit(fitted, found, out)
    if scores is not None:
        _write_scores(fitted, responses, scores)
    _print_fit(model, fitted, responses, found)


def _check_options(model: Model, options: Mapping[str, Any]) -> None:
    """Refuse options that are about other models."""
    for option, value in options.items():
        if value is not None and model not in GOES_WITH[option]:
            raise AlsimError(f"{option} goes with {' and '.join(GOES_WITH[option])}; {model} has no such option")


def _arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is passed to `fit`: what was said."""
    said = {option: value for option, value in options.items() if value is not None and option != "--scores"}
    if said.pop("--unbounded", False):
        said["--bounded"] = False
    return {option.removeprefix("--"): value for option, value in said.items()}


def _check_outputs(outputs: Mapping[str, Path | None], inputs: Sequence[Path | None], force: bool) -> None:
    """Refuse what cannot be written, or would be written over, before the work."""
    from alsim.models.io import check_table

    taken = [path.resolve() for path in inputs if path is not None]
    for option, path in outputs.items():
        if path is None:
            continue
        if path.resolve() in taken:
            raise AlsimError(f"{option} {path}: is read or written already; expected a file of its own")
        taken.append(path.resolve())
        if path.exists() and not path.is_file():
            raise AlsimError(f"{option} {path}: is no file; expected one to write")
        if path.exists() and not force:
            raise AlsimError(f"{option} {path} is there already; --force overwrites it")
        above = next(parent for parent in path.resolve().parents if parent.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise AlsimError(f"{option} {path}: cannot be written, as {above} is no directory that can be written to")
    if (scores := outputs["--scores"]) is not None:
        check_table(scores)


def _read(path: Path, reading: Mapping[str, Any]) -> Responses:
    """Read responses, and say what is to be known of them."""
    from alsim.responses.log import Responses
    from alsim.responses.reading import read_responses

    if path.is_dir():
        from alsim.datasets.store import load_dataset

        if reading["format"] or reading["columns"]:
            raise AlsimError(f"{path} is a dataset, whose columns are known: --format and --columns go with files")
        responses = Responses.from_dataset(load_dataset(path))
    else:
        responses = read_responses(path, **reading)
    report = responses.report
    for reason, number in report.skipped.items():
        _warn(f"{path}: {number:,} skipped, {reason}; the first: {report.examples[reason]}")
    if report.duplicates and reading["duplicates"] == "keep":
        _warn(
            f"{path}: {report.duplicates:,} of {report.rows:,} rows repeat a response, which tells a model answers "
            f"that it is to forecast; --duplicates merge makes one of them, of several skills; "
            f"the first: {report.duplicate}"
        )
    return responses


def _warn(said: str) -> None:
    print(f"alsim: {printable(said)}", file=sys.stderr)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show a progress bar on a terminal, and none in a pipe."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

    words = TextColumn("{task.fields[told]}", markup=False)
    with progress_bar(TextColumn("fitting"), BarColumn(), MofNCompleteColumn(), words) as bar:
        if bar is None:
            yield lambda done, total, told: None
            return
        task = bar.add_task("fitting", total=None, told="")
        yield lambda done, total, told: bar.update(task, completed=done, total=total, told=printable(told))


def _score(fitted: Fit, responses: Responses) -> Scores:
    """Score forecasts of responses; those of a row that stands for n students count n times."""
    from alsim.models.scores import score

    weight = responses.weight[responses.student]
    times = weight.astype(np.int64)
    if not (times == weight).all():
        raise AlsimError("the test's rows stand for a number of students that is not whole: its responses are no list")
    return score(np.repeat(responses.correct, times), np.repeat(fitted.predict(responses), times))


def _write_fit(fitted: Fit, found: Scores | None, out: Path) -> None:
    """Write a fit, and beside it how it forecast the test."""
    fitted.save(out)
    if found is not None:
        content = json.loads(out.read_text(encoding="utf-8"))
        content["test"] = {name: None if math.isnan(value) else value for name, value in found._asdict().items()}
        write_whole(out, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def _write_scores(fitted: Any, responses: Responses, file: Path) -> None:
    """Write each student's ability."""
    from alsim.models.io import write_table

    found = fitted.scores(responses)
    columns = {
        "student": responses.students.tolist(),
        "ability": found.theta.tolist(),
        "se": found.se.tolist(),
        "responses": found.responses.tolist(),
    }
    write_table(columns, file)


def _print_fit(model: Model, fitted: Fit, responses: Responses, found: Scores | None) -> None:
    """Print what was fitted, how it ended, and how it forecast the test."""
    rows = fitted.table()
    names = list(rows[0]) if rows else []
    texts = {name for name in names if any(isinstance(row[name], str) for row in rows)}
    table = Table(*(name if name in texts else right_aligned(name) for name in names), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(_shown(row[name]), no_wrap=True) for name in names))
    # Not of the terminal's width: a pipe has none, and numbers that are cut short are no numbers.
    Console(highlight=False, width=400).print(table)
    ended = f"{'converged' if fitted.converged else 'not converged'} after {fitted.iterations:,} iterations"
    print(
        f"{model}: {len(responses):,} responses of {responses.num_students:,} students, {responses.num_items:,} items, "
        f"{responses.num_skills:,} skills; log-likelihood {fitted.log_likelihood:,.3f}, {ended}"
    )
    for note in getattr(fitted, "notes", ()):
        print(f"note: {printable(note)}")
    if found is not None:
        print(
            f"test: AUC {found.auc:.4f}, RMSE {found.rmse:.4f}, log loss {found.log_loss:.4f}, "
            f"accuracy {found.accuracy:.4f} over {found.responses:,} responses"
        )


def _shown(value: str | int | float) -> str:
    """Show a cell of a table."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if math.isnan(value):
        return "-"
    return f"{value:,.4f}" if abs(value) < 1000 else f"{value:,.3f}"
