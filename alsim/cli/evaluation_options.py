"""Options of the commands that evaluate policies on held-out learners, and their progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alsim.cli.completion import complete_policy
from alsim.cli.options import allow_classes, read_large_integer
from alsim.cli.output import counted_progress

if TYPE_CHECKING:
    from alsim.evaluation.setting import Progress


REACH = "± reaches the farther end of the 95 % interval"
"""Meaning of the numbers after ± in tables."""


def _allow_classes(policies: list[str] | None) -> list[str] | None:
    """Let policies `module:Class` be found in the working directory."""
    for policy in policies or ():
        allow_classes(policy)
    return policies


PoliciesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="POLICY...",
        callback=_allow_classes,
        autocompletion=complete_policy,
        show_default=False,
        help="Policies: names (see alsim policies), directories of trained ones, or module:Class.",
    ),
]
OptionalPoliciesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="POLICY...",
        callback=_allow_classes,
        autocompletion=complete_policy,
        show_default="all registered policies that need no argument",
        help="Policies: names (see alsim policies), directories of trained ones, or module:Class.",
    ),
]
FirstLearnerOption = Annotated[
    int,
    typer.Option(
        "--first-learner",
        metavar="I",
        parser=read_large_integer,
        show_default="2**31",
        help="First held-out learner, at least 2**31.",
    ),
]
ThreadsOption = Annotated[
    int, typer.Option("--threads", metavar="N", help="Number of threads; the results do not depend on it.")
]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Also write all statistics and differences as CSV.")
]
LatexOption = Annotated[
    Path | None, typer.Option("--latex", metavar="FILE", help="Also write the first table for a paper, as LaTeX.")
]


@contextmanager
def episodes_progress(total: int) -> Iterator[Progress]:
    """Yield a function that shows the progress of episodes: the running policy and the number of finished ones."""
    with counted_progress("episodes", total) as show:
        yield lambda label, done: show(done, label)
