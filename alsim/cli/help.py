"""Help texts of commands: plain, wrapped at the width of the terminal, and in the same form for every option."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin


def examples(*commands: str) -> str:
    """Return the end of a help text: commands that can be copied."""
    return "\n".join(["", "Examples:", *(f"  {command}" for command in commands)])


METAVARS: dict[Any, str] = {int: "N", float: "X", Path: "PATH", str: "TEXT"}
"""Placeholder of a value by its type, for options that name none."""
COLUMN = 24
"""Largest width of the left column; longer entries have a line of their own."""
NARROW, INDENT = 28, 6
"""Smallest width of the right column; on a narrower terminal, it is below the left one, at this indent."""
WIDEST, NARROWEST = 78, 28
"""Largest and smallest width of a help text, in columns."""
GLUED = 40
"""Length up to which a note in brackets, such as [default: 3], stays on one line that is long enough."""


def help_text(command: Any, ctx: Any) -> str:
    """Return the help of a command or of a group of commands, at the width of the terminal.

    command  command or group of typer
    ctx      its context
    """
    width = max(min(shutil.get_terminal_size().columns - 2, WIDEST), NARROWEST)
    parameters = [p for p in command.get_params(ctx) if not getattr(p, "hidden", False)]
    sections = [usage(command, ctx, width), _paragraphs(inspect.cleandoc(command.help or ""), width)]
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        rows = [(left(p, command), right(p)) for p in parameters if p.param_type_name == kind]
        sections.append(_section(title, rows, width))
    children = [(name, command.get_command(ctx, name)) for name in names_of(command, ctx)]
    rows = [(name, child.get_short_help_str(10**6)) for name, child in children if not child.hidden]
    sections.append(_section("Commands", rows, width))
    if command.epilog:
        sections.append(_continued(textwrap.dedent(command.epilog).strip(), width))
    return "\n\n".join(section for section in sections if section) + "\n"


def usage(command: Any, ctx: Any, width: int) -> str:
    """Return the line that shows how a command is called, with everything that is required."""
    parameters = command.get_params(ctx)
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    words = [placeholder(p, command) if p.required else f"[{placeholder(p, command)}]" for p in arguments]
    required = [left(p, command) for p in parameters if p.param_type_name == "option" and p.required]
    words += [entry.split(", ")[-1] for entry in required]
    words += [getattr(command, "subcommand_metavar", "[OPTIONS]")]
    first = f"Usage: {ctx.command_path} "
    return textwrap.fill(" ".join(words), width, initial_indent=first, subsequent_indent=" " * 7, **WHOLE_WORDS)


WHOLE_WORDS: Any = {"break_long_words": False, "break_on_hyphens": False}


def names_of(command: Any, ctx: Any) -> Sequence[str]:
    """Return the names of the commands in a group; none for a command."""
    names: Sequence[str] = command.list_commands(ctx) if hasattr(command, "list_commands") else ()
    return names


def left(parameter: Any, command: Any) -> str:
    """Return the left column of a parameter: its names, and the placeholder of its value unless it is a flag."""
    if parameter.param_type_name == "argument":
        return placeholder(parameter, command)
    names = ", ".join(sorted(parameter.opts, key=len))
    if parameter.secondary_opts:
        names += " / " + ", ".join(parameter.secondary_opts)
    return names if parameter.is_flag else f"{names} {placeholder(parameter, command)}"


def right(parameter: Any) -> str:
    """Return the right column of a parameter: its description and its default."""
    text, default = parameter.help or "", default_text(parameter)
    if parameter.required:
        return f"{text}  [required]"
    return f"{text}  [default: {default}]" if default else text


def default_text(parameter: Any) -> str:
    """Return the default of a parameter; "" for flags that are off, and for values that are not set."""
    shown, value = parameter.show_default, parameter.default
    if isinstance(shown, str):
        return shown
    if parameter.param_type_name == "option" and parameter.is_flag:
        names = parameter.opts if value else parameter.secondary_opts
        return str(names[0]) if parameter.secondary_opts and value is not None else ""
    if not shown or value is None:
        return ""
    return str(value.value if isinstance(value, Enum) else value)


def placeholder(parameter: Any, command: Any) -> str:
    """Return the word that stands for the value of a parameter, such as DIR, N or parquet|arrow."""
    if parameter.metavar:
        return str(parameter.metavar)
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper().replace("_", "-")
    kind = value_type(parameter, command)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(choices(kind))
    return METAVARS.get(kind, "TEXT")


def choices(kind: type[Enum]) -> list[str]:
    """Return the values of an option that takes one of several words."""
    return [str(choice.value) for choice in kind]


def value_type(parameter: Any, command: Any) -> Any:
    """Return the type of a parameter's value, such as int, Path or an Enum, from the function of its command."""
    function: Callable[..., Any] | None = command.callback
    declared = inspect.signature(function, eval_str=True).parameters if function else {}
    kind = declared[parameter.name].annotation if parameter.name in declared else str
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        kind = next(choice for choice in get_args(kind) if choice is not type(None))
    return kind


def _section(title: str, rows: Sequence[tuple[str, str]], width: int) -> str:
    """Return a titled table of two columns; "" without rows."""
    if not rows:
        return ""
    indent = 2 + min(COLUMN, max(len(first) for first, _ in rows)) + 2
    indent = indent if width - indent >= NARROW else INDENT
    return "\n".join([f"{title}:", *(line for row in rows for line in _entry(*row, indent, width))])


def _entry(first: str, second: str, indent: int, width: int) -> Iterable[str]:
    """Yield the lines of a row: the right column begins in the same line if the left column leaves room.

    A left column that is wider than the terminal is divided between words, and after "|".
    """
    lines = _wrap(second, width - indent)
    parts = _wrap(first.replace("|", "| "), width - 2) if len(first) + 2 > width else [first]
    *others, last = (part.replace("| ", "|") for part in parts)
    yield from (f"  {other}" for other in others)
    if len(last) + 4 > indent:
        yield f"  {last}"
    else:
        yield f"  {last:<{indent - 2}}{lines.pop(0) if lines else ''}".rstrip()
    yield from (" " * indent + line for line in lines)


def _continued(text: str, width: int) -> str:
    """Return commands in which lines longer than `width` are continued as in a shell, after a backslash."""
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        parts = textwrap.wrap(
            line.strip(), width - 2, initial_indent=indent, subsequent_indent=f"{indent}  ", **WHOLE_WORDS
        )
        lines.append(" \\\n".join(parts))
    return "\n".join(lines)


def _paragraphs(text: str, width: int) -> str:
    """Return paragraphs, wrapped and indented."""
    paragraphs = (_wrap(paragraph, width - 2) for paragraph in text.split("\n\n"))
    return "\n\n".join("\n".join(f"  {line}" for line in lines) for lines in paragraphs)


def _wrap(text: str, width: int) -> list[str]:
    """Return the lines of a text; words, and short notes in brackets, are not divided."""
    note = re.compile(rf"\[[^\[\]]{{1,{min(GLUED, width) - 2}}}\]")
    glued = note.sub(lambda match: match[0].replace(" ", "\xa0"), " ".join(text.split()))
    return [line.replace("\xa0", " ") for line in textwrap.wrap(glued, width, **WHOLE_WORDS)]
