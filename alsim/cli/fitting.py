"""Command `alsim fit`, with one subcommand per student model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from alsim.cli.app import app
from alsim.cli.command import Application, Command, Group
from alsim.cli.fitting_run import FitRequest, Inputs, ModelRequest, run_fit
from alsim.cli.options import COLUMNS_METAVAR, EncodingOption, ForceOption, ImportOption, JsonOption, read_columns
from alsim.errors import AlsimError, did_you_mean
from alsim.responses.formats.base import FORMATS, PUBLISHED_NAMES


class ItemModel(StrEnum):
    """Item response models."""

    rasch = "rasch"
    one = "1pl"
    two = "2pl"
    three = "3pl"


LogFormat: Any = StrEnum("LogFormat", {name: name for name in (*FORMATS, *PUBLISHED_NAMES)})  # type: ignore[misc]  # its members are not literals
"""Formats of a response log."""


class Duplicates(StrEnum):
    """Treatments of rows that repeat a response."""

    keep = "keep"
    merge = "merge"
    drop = "drop"


FILE_OPTIONS = {
    "log_format": "--format",
    "columns": "--columns",
    "key": "--key",
    "delimiter": "--delimiter",
    "encoding": "--encoding",
    "separator": "--separator",
    "missing": "--missing",
    "duplicates": "--duplicates",
    "skip_bad": "--skip-bad",
    "skip_lines": "--skip-lines",
    "header": "--header",
    "quoting": "--no-quoting",
}
"""Options that describe a response file, by parameter of `shared_options`; a dataset accepts none of them."""


class Models(Group):
    """The group of the models."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command of the model that the arguments name. Raises AlsimError for a log in place of a model."""
        name, known = args[0], self.list_commands(ctx)
        if name in list(ItemModel):
            log = args[1] if len(args) > 1 and not args[1].startswith("-") else "LOG"
            raise AlsimError(f"{name} is a variant of the model irt; fit it with: alsim fit irt {log} --model {name}")
        is_log = Path(name).exists() or Path(name).suffix or Path(name).parent != Path()
        if name not in known and is_log and not did_you_mean(name, known):
            models = f"{', '.join(known[:-1])} or {known[-1]}"
            raise AlsimError(
                f"{name} is not a model; name the model first: alsim fit MODEL {name}, MODEL being {models}"
            )
        return super().resolve_command(ctx, args)


class FitCommand(Command):
    """The command of a model."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments. Raises AlsimError, in one sentence, which names the model of a foreign option."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except AlsimError as error:
            own = {option for parameter in self.get_params(ctx) for option in parameter.opts}
            for option in (word.partition("=")[0] for word in given):
                models = [] if option in own else _models_with(option, ctx.parent)
                if models and f"unknown option {option!r}" in str(error):
                    owners = " and ".join(filter(None, [", ".join(models[:-1]), models[-1]]))
                    message = f"unknown option {option!r} of the model {self.name}; it belongs to {owners}"
                    raise AlsimError(f"{message}: omit it; see {ctx.command_path} --help") from None
            raise


def _models_with(option: str, group: Any) -> list[str]:
    """Return the models that have an option."""
    commands = {name: group.command.get_command(group, name) for name in group.command.list_commands(group)}
    return [name for name, command in commands.items() if any(option in p.opts for p in command.params)]


fit_app = Application(
    cls=Models,
    help="""Fit a student model to a response log.

    LOG is a file (text, Parquet or Arrow) or the directory of a dataset. The options depend on the model: see alsim
    fit MODEL --help.
    """,
    short_help="Fit a student model to a response log.",
    subcommand_metavar="MODEL ...",
)
app.add_typer(fit_app, name="fit")

SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]


def shared_options(
    context: typer.Context,
    log: Annotated[
        Path,
        typer.Argument(
            metavar="LOG", help="Response log: a file, the directory of a dataset, or that of a published log."
        ),
    ],
    test: Annotated[
        Path | None, typer.Option("--test", metavar="LOG", help="Held-out responses to predict, in the format of LOG.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the fitted model as JSON.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", metavar="FILE", help="Write all rows of the table of estimates as .csv or .parquet."),
    ] = None,
    report: JsonOption = None,
    force: ForceOption = False,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"Format of the log: {', '.join(FORMATS)}, or a published log: {', '.join(PUBLISHED_NAMES)}.  "
            "[default: detected among the first three]",
        ),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            "--columns",
            metavar=COLUMNS_METAVAR,
            help="Column names of the file, such as student=user,skill=topic; COLUMN= omits a column.  "
            "[default: alsim's names, else common ones such as user_id]",
        ),
    ] = "",
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="Answer key of ednet-kt1, or labels of duolingo-slam.  [default: the usual place, next to the log]",
        ),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter", metavar="CHAR", help="Delimiter of a text file: a character, or tab.  [default: detected]"
        ),
    ] = None,
    encoding: EncodingOption = None,
    separator: Annotated[
        str,
        typer.Option(
            "--separator",
            metavar="TEXT",
            show_default="~~, or that of a published log",
            help="Separator between the skills of one response.",
        ),
    ] = "~~",
    missing: Annotated[
        str | None,
        typer.Option(
            "--missing",
            metavar="VALUES",
            help="Comma-separated values that mean no response, besides empty cells, NA, NaN, null, N/A, #N/A and "
            "points of a wide file.  [default: -1 in a wide file]",
        ),
    ] = None,
    duplicates: Annotated[
        Duplicates | None,
        typer.Option(
            "--duplicates",
            help="Treatment of rows that repeat a response.  [default: keep; merge for assistments-2009]",
        ),
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Skip and count invalid rows.")] = False,
    skip_lines: Annotated[
        int,
        typer.Option("--skip-lines", min=0, help="Number of lines above the names of the columns."),
    ] = 0,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether the first line has the names of the columns, which else are numbered from 0.  "
            "[default: detected]",
        ),
    ] = None,
    quoting: Annotated[
        bool,
        typer.Option("--quoting/--no-quoting", help="Whether quotes enclose cells."),
    ] = True,
    imports: ImportOption = None,
) -> Inputs:
    """Return the values of the options that all models share."""
    from alsim.responses.formats.registry import default_duplicates

    name = None if log_format is None else log_format.value
    passed = [
        flag
        for name, flag in FILE_OPTIONS.items()
        if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    ]
    reading = {
        "format": name,
        "columns": read_columns(columns) or None,
        "key": key,
        "delimiter": {"\\t": "\t", "tab": "\t"}.get(delimiter or "", delimiter),
        "encoding": encoding,
        "separator": separator or None,
        "missing": None if missing is None else [value.strip() for value in missing.split(",") if value.strip()],
        "duplicates": default_duplicates(name) if duplicates is None else duplicates.value,
        "skip_bad": skip_bad,
        "skip_lines": skip_lines,
        "header": header,
        "quoting": quoting,
    }
    return Inputs(
        log=log,
        test=test,
        out=out,
        table=table,
        report=report,
        force=force,
        reading=reading,
        file_options=tuple(passed),
    )


def model_command(name: str) -> Callable[[Callable[..., ModelRequest]], Callable[..., ModelRequest]]:
    """Return a decorator that registers a function of a model's options as subcommand `name`, with shared options."""

    def register(model_options: Callable[..., ModelRequest]) -> Callable[..., ModelRequest]:
        own = inspect.signature(model_options, eval_str=True).parameters
        shared = inspect.signature(shared_options, eval_str=True).parameters

        def command(**values: Any) -> None:
            model = model_options(**{option: value for option, value in values.items() if option in own})
            inputs = shared_options(**{option: value for option, value in values.items() if option in shared})
            run_fit(FitRequest(name, model, inputs))

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own.values(), *shared.values())]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
        fit_app.command(name, cls=FitCommand, help=inspect.getdoc(model_options))(command)
        return model_options

    return register


@model_command("bkt")
def bkt(
    forgets: Annotated[bool, typer.Option("--forgets", help="Fit p_forget; without this option, it is 0.")] = False,
    unbounded: Annotated[bool, typer.Option("--unbounded", help="Allow p_guess and p_slip above 0.5.")] = False,
    starts: Annotated[
        int,
        typer.Option("--starts", help="Number of starts, all but the first at random; the best fit is kept."),
    ] = 1,
    seed: SeedOption = 0,
) -> ModelRequest:
    """Fit Bayesian knowledge tracing."""
    return ModelRequest({"forgets": forgets, "bounded": not unbounded, "starts": starts, "seed": seed})


@model_command("irt")
def irt(
    item_model: Annotated[
        ItemModel,
        typer.Option(
            "--model",
            case_sensitive=False,
            help="Item response model. Ability is N(0, 1): the Rasch model of mirt, TAM and ConQuest is 1pl.",
        ),
    ] = ItemModel.two,
    scores: Annotated[
        Path | None,
        typer.Option("--scores", metavar="FILE", help="Write the EAP ability of each student as .csv or .parquet."),
    ] = None,
) -> ModelRequest:
    """Fit an item response model: rasch, 1pl, 2pl or 3pl."""
    return ModelRequest({"model": item_model.value}, scores)


@model_command("dkt")
def dkt(
    hidden: Annotated[int, typer.Option("--hidden", help="Size of the hidden state.")] = 128,
    epochs: Annotated[int, typer.Option("--epochs", help="Maximum number of epochs.")] = 40,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="cpu, cuda or auto.")] = "cpu",
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="DIR",
            help="Directory of checkpoints, one per epoch, from which an interrupted fit is resumed.",
        ),
    ] = None,
    seed: SeedOption = 0,
) -> ModelRequest:
    """Fit deep knowledge tracing."""
    arguments = {"hidden": hidden, "epochs": epochs, "device": device, "checkpoint": checkpoint, "seed": seed}
    return ModelRequest(arguments)


PartialCreditOption = Annotated[
    bool,
    typer.Option(
        "--partial-credit", help="Fit the credit, scores from 0 to 1 in a column that --columns credit=NAME names."
    ),
]


@model_command("pfa")
def pfa(partial_credit: PartialCreditOption = False) -> ModelRequest:
    """Fit performance factors analysis."""
    return ModelRequest({"partial_credit": partial_credit})


@model_command("best-lr")
def best_lr(partial_credit: PartialCreditOption = False) -> ModelRequest:
    """Fit a logistic regression on counts of earlier responses."""
    return ModelRequest({"partial_credit": partial_credit})


@model_command("skill-mean")
def skill_mean(partial_credit: PartialCreditOption = False) -> ModelRequest:
    """Fit the smoothed share of correct responses to each skill."""
    return ModelRequest({"partial_credit": partial_credit})


@model_command("hlr")
def hlr(
    guess: Annotated[
        float,
        typer.Option("--guess", help="Probability of a correct answer without recall, in [0, 1); it is not estimated."),
    ] = 0.0,
    shared: Annotated[
        bool, typer.Option("--shared", help="Fit the same half-life for all skills: no intercepts of skills.")
    ] = False,
    penalty: Annotated[
        float, typer.Option("--penalty", help="Precision of the normal prior of the intercepts of skills, above 0.")
    ] = 1.0,
) -> ModelRequest:
    """Fit half-life regression: forgetting between the times of the responses, which --columns time=NAME names."""
    return ModelRequest({"guess": guess, "by_skill": not shared, "penalty": penalty})
