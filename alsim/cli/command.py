"""Classes of all commands: plain help, errors of usage in one sentence, and reports on stdout."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from alsim.cli.help import choices, help_text, left, placeholder, value_type
from alsim.cli.output import STDOUT, check_distinct, check_replaceable, check_report, is_report, report_on_stdout
from alsim.errors import AlsimError, did_you_mean
from alsim.evaluation.paper_tables import is_csv, is_latex
from alsim.utils.figures import check_figure, is_figure
from alsim.utils.files import check_writable
from alsim.utils.run_directory import FORCE

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Base of the errors that typer raises for an invalid command line. It has no public name."""
Function = TypeVar("Function", bound=Callable[..., Any])
NOUNS = {int: "an integer", float: "a number"}
OUTPUTS = ("out", "scores", "table", "plot", "report", "csv", "latex")
"""Parameters of all commands that name what the command writes; other paths are inputs."""


class Command(TyperCommand):
    """A command."""

    dialog = False
    """True if the command asks questions, which are then printed also with `--json -`."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the command."""
        formatter.write(help_text(self, ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments. Raises AlsimError, in one sentence."""
        with sentences(ctx, args):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. With `--json -`, stdout has the report only."""
        report = None if ctx.params.get("report") is None else Path(ctx.params["report"])
        check_report(report)
        _check_paths(self, ctx)
        _check_files(ctx, report)
        try:
            with report_on_stdout(report, dialog=self.dialog):
                return super().invoke(ctx)
        except AlsimError as error:
            raise _with_options(error, self) from error


class ListCommand(Command):
    """A command with options that take one or more values, as in `--dynamics standard bkt`.

    These are the options that may be repeated and have the metavar `...` at its end. The values end at the next option.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments. Raises AlsimError, in one sentence."""
        found = {name: p for p in self.params if str(p.metavar).endswith("...") for name in p.opts if name[:2] == "--"}
        for one, other in pairwise([*args, "--"]):
            if one in found and other.startswith("--"):
                raise AlsimError(_with_help(f"{one} needs a value, {found[one].metavar}", ctx))
        try:
            return super().parse_args(ctx, repeated(args, found))
        except AlsimError as error:
            used = next((option for option in found if option in args), None)
            if used is None or " is missing" not in str(error):
                raise
            raise AlsimError(
                _with_help(
                    f"{str(error).partition(' is missing')[0]} is missing: arguments after {used} are its values, "
                    f"so write the others before it",
                    ctx,
                )
            ) from None


def repeated(args: Sequence[str], lists: Collection[str]) -> list[str]:
    """Return arguments in which an option of `lists` is repeated before each of its values.

    Values end at the next argument that begins with a hyphen. An option without a value stays as it is.
    """
    found: list[str] = []
    option, values = "", 0
    for arg in args:
        if arg in lists:
            option, values = arg, 0
            found.append(arg)
        elif not option or arg.startswith("-"):
            option = ""
            found.append(arg)
        else:
            found += [option, arg] if values else [arg]
            values += 1
    return found


class DialogCommand(Command):
    """A command that asks questions."""

    dialog = True


class Group(TyperGroup):
    """A group of commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the group."""
        formatter.write(help_text(self, ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments up to the name of a command. Raises AlsimError, in one sentence.

        Without arguments, print the help and end.
        """
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            ctx.exit()
        try:
            with sentences(ctx, args):
                return super().parse_args(ctx, args)
        except typer.Exit as ended:
            if ended.exit_code:  # of --install-completion and --show-completion
                raise AlsimError(
                    "the shell is not supported; run the command in bash, zsh, fish or PowerShell"
                ) from None
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the arguments name. Raises AlsimError for an unknown name."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            raise AlsimError(_with_help(_unknown(self, ctx, name), ctx))
        return super().resolve_command(ctx, args)


class Application(typer.Typer):
    """An application, or a group of commands in it, whose commands are of the classes above."""

    def __init__(self, **settings: Any) -> None:
        plain: dict[str, Any] = {"cls": Group, "pretty_exceptions_enable": False, "rich_markup_mode": None}
        super().__init__(**{**plain, **settings})

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        """Return a decorator that registers a function as a command."""
        return super().command(name, **{"cls": Command, **settings})


def _check_paths(command: Any, ctx: Any) -> None:
    """Raise AlsimError if an output of the command is also one of its inputs, or another output."""
    paths = {p: ctx.params.get(p.name) for p in command.params if value_type(p, command) is Path}
    given = [(p, Path(path)) for p, path in paths.items() if path not in (None, STDOUT, str(STDOUT))]
    outputs = [(_label(p, command), path) for p, path in given if p.name in OUTPUTS]
    if hyphen := next((p for p in command.params if p.name in OUTPUTS and _is_stdout(ctx, p)), None):
        raise AlsimError(f"{_label(hyphen, command)} must be a file; got -, which only --json accepts; name a file")
    several = [p for p in command.params if value_type(p, command) == list[Path] or p.name == "policies"]
    inputs = [Path(path) for p in several for path in ctx.params.get(p.name) or ()]
    check_distinct(outputs, inputs + [path for p, path in given if p.name not in OUTPUTS])


def _is_stdout(ctx: Any, parameter: Any) -> bool:
    """Return whether the value of an option, other than that of a report, is the name that stands for stdout."""
    return parameter.name != "report" and str(ctx.params.get(parameter.name)) == str(STDOUT)


class OwnFile(NamedTuple):
    """A file that a command writes in addition to its main output."""

    kind: str
    is_own: Callable[[Path], bool]
    """Returns whether a file is of this kind."""
    check: Callable[[Path, str], None]
    """Raises AlsimError if the file cannot be written, given the option."""


OWN_FILES = {
    "plot": OwnFile("a figure of alsim", is_figure, check_figure),
    "csv": OwnFile("a table of alsim", is_csv, check_writable),
    "latex": OwnFile("a table of alsim", is_latex, check_writable),
}
"""Files of all commands by parameter; every command checks them before its work."""


def _check_files(ctx: Any, report: Path | None) -> None:
    """Raise AlsimError if a report, figure or table cannot be written, or would replace a file of another origin."""
    force = ctx.params.get("force")
    if report not in (None, STDOUT) and not ctx.params.get("resume"):
        check_replaceable("--json", report, force, "a report of alsim", is_report)
    for name, own in OWN_FILES.items():
        if ctx.params.get(name) is not None:
            file = Path(ctx.params[name])
            check_replaceable(f"--{name}", file, force, own.kind, own.is_own)
            own.check(file, f"--{name}")


def _with_options(error: AlsimError, command: Any) -> AlsimError:
    """Return an error that names an option, as in "--threads must be", where `error` names the argument of Python."""
    argument, space, rest = str(error).partition(" ")
    options = {p.name: _label(p, command) for p in command.params if p.param_type_name == "option"}
    text = f"{options.get(argument, argument)}{space}{rest}".replace(FORCE, "--force")
    renamed = AlsimError(text)
    for note in getattr(error, "__notes__", ()):
        renamed.add_note(note)
    return renamed


def _unknown(group: Group, ctx: Any, name: str) -> str:
    """Return a message about an unknown command, with the most probable intention."""
    known = group.list_commands(ctx)
    suggestion = did_you_mean(name, known)
    noun = (group.subcommand_metavar or "COMMAND").split()[0].strip("[]").lower()
    if Path(name).exists() and not suggestion:
        path = ctx.command_path
        if Path(name).is_dir():
            return f"{name} is a directory, not a {noun}; describe a dataset with: alsim info {name}"
        log = f"alsim fit {known[0]} {name}" if path.endswith(" fit") else f"alsim fit MODEL {name}"
        return f"{name} is a file, not a {noun}; fit a student model to a response log with: {log}"
    return f"unknown {noun} {name!r}" + (suggestion or f"; expected one of {', '.join(known)}")


@contextmanager
def sentences(ctx: Any, args: Sequence[str]) -> Iterator[None]:
    """Turn errors of typer about the command line into AlsimError.

    ctx   context of the command
    args  its arguments
    """
    given = list(args)  # a copy: typer consumes the list
    try:
        yield
    except UsageError as error:
        raise AlsimError(_with_help(_sentence(error, ctx, given), ctx)) from None


def _with_help(message: str, ctx: Any) -> str:
    """Return a message that ends with the command that explains the usage."""
    return f"{message}{' See' if message.endswith('?') else '; see'} {ctx.command_path} --help"


def _sentence(error: Any, ctx: Any, args: list[str]) -> str:
    """Return a message for an error of typer."""
    command, parameter = ctx.command, getattr(error, "param", None)
    if parameter is not None:
        if type(error).__name__ == "MissingParameter":
            meaning = parameter.help[:1].lower() + parameter.help[1:].rstrip(".")
            values, extra, _ = command.make_parser(ctx).parse_args(list(args))
            cure = _option_of_file(command, values, extra)
            return f"{_label(parameter, command, value=True)} is missing: {meaning}{cure}"
        return _invalid(error, parameter, ctx, args)
    option = getattr(error, "option_name", None)
    if option is None:  # too many arguments
        message = f"unexpected argument{str(error.message).partition('argument(s)')[2]}"
        values, extra, _ = command.make_parser(ctx).parse_args(list(args))
        return message + _option_of_file(command, values, extra)
    for parameter in command.get_params(ctx):
        if option in (*parameter.opts, *parameter.secondary_opts):
            needs = "takes no value" if parameter.is_flag else f"needs a value, {placeholder(parameter, command)}"
            return f"{option} {needs}"
    known = [name for p in command.get_params(ctx) for name in (*p.opts, *p.secondary_opts) if name[:2] == "--"]
    known = [name for name in known if name != "--force"]  # a typing error must not overwrite files
    return f"unknown option {option!r}{did_you_mean(option, known)}"


def _option_of_file(command: Any, values: dict[str, Any], extra: list[str]) -> str:
    """Return the hint that a file, passed as an argument, is the value of the first required option without one."""
    missing = [p for p in command.params if p.param_type_name == "option" and p.required and not values.get(p.name)]
    missing = [p for p in missing if value_type(p, command) is Path and p.name not in OUTPUTS]
    return f"; write {_label(missing[0], command)} {extra[0]}" if missing and len(extra) == 1 else ""


def _invalid(error: Any, parameter: Any, ctx: Any, args: list[str]) -> str:
    """Return a message for an invalid value."""
    kind, label = value_type(parameter, ctx.command), _label(parameter, ctx.command)
    values, _, _ = ctx.command.make_parser(ctx).parse_args(list(args))
    value = values.get(parameter.name)
    if isinstance(kind, type) and issubclass(kind, Enum):
        known = choices(kind)
        expected = " or ".join([", ".join(known[:-1]), known[-1]])
        return f"{label} must be {expected}; got {value!r}{did_you_mean(str(value), known)}"
    low = getattr(parameter, "min", getattr(getattr(parameter, "type", None), "min", None))
    if kind in NOUNS:
        return f"{label} must be {NOUNS[kind]}{'' if low is None else f' of at least {low}'}; got {value!r}"
    return f"{label}: {error.message}".rstrip(".")


def _label(parameter: Any, command: Any, *, value: bool = False) -> str:
    """Return the name of a parameter as users know it, with the placeholder of an option's value if `value`."""
    text = left(parameter, command).split(", ")[-1]
    return text if value or parameter.param_type_name == "argument" else text.split()[0]
