"""Commands of `alsim engine` about all students: replay, recalibrate and serve."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from alsim.cli.engine import DirectoryArgument, engine, opened
from alsim.cli.help import examples
from alsim.cli.options import JsonOption
from alsim.cli.output import (
    counted,
    counted_progress,
    elapsed_progress,
    print_facts,
    print_sentence,
    print_warning,
    write_report,
)

if TYPE_CHECKING:
    from alsim.engine.engine import AdaptiveEngine


@engine.command(epilog=examples("alsim engine replay shop"))
def replay(directory: DirectoryArgument, report: JsonOption = None) -> None:
    """Make the state of every student again from the events.

    States of another model or catalogue are made again when a student returns; this command makes all of them at once.
    """
    start = monotonic()
    with opened(directory) as loaded:
        done, digest = _replay(loaded), loaded.digest
    seconds = monotonic() - start
    states = "The state of 1 student was" if done == 1 else f"The states of {done:,} students were"
    print_sentence(f"{states} made again from the events in {seconds:.1f} s.")
    write_report(report, {"students": done, "model": digest, "seconds": seconds})


def _replay(loaded: AdaptiveEngine) -> int:
    """Make the states of an engine again, with progress, and return the number of students."""
    total = sum(1 for _ in loaded.students())
    with counted_progress("students", total) as advance:
        return loaded.replay(lambda count: advance(count, ""))


@engine.command(
    epilog=examples("alsim engine recalibrate shop --dry-run", "alsim engine recalibrate shop --json report.json")
)
def recalibrate(
    directory: DirectoryArgument,
    held_out: Annotated[
        float,
        typer.Option("--held-out", help="Share of the students on whom a fit to the others is scored; 0 for none."),
    ] = 0.2,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report only, and keep the present model.")] = False,
    report: JsonOption = None,
) -> None:
    """Fit the student model again to all responses in the log.

    The new model is put into the store, and used from then on; a server uses it within 10 seconds. States are made
    again from the events.
    """
    with opened(directory) as loaded:
        with elapsed_progress("fitting the student model"):
            found = loaded.recalibrate(held_out=held_out, dry_run=dry_run)
        if not dry_run:
            _replay(loaded)
    students = counted(found.held_out_students, "student")
    print_facts(
        [
            ("model", found.model),
            ("log", f"{counted(found.responses, 'response')} of {counted(found.students, 'student')}"),
            ("items of the model", f"{found.items:,} of {found.items_total:,} have responses"),
            ("held out", f"{counted(found.held_out_responses, 'response')} of {students}"),
            ("log loss", _loss(found.log_loss_before, found.log_loss_after)),
            ("digest", _digest(found.digest_before, found.digest, dry_run)),
        ]
    )
    print_sentence(f"{_judgement(found.change, found.change_se)} {_outcome(dry_run, found.is_stored)}")
    write_report(report, {**found.to_dict(), "dry_run": dry_run})


def _digest(before: str, new: str, dry_run: bool) -> str:
    """Return the digest before and with the new fit as text."""
    if before == new:
        return f"{before}, which the new fit leaves as it is"
    return f"{before} now, {new} with the new fit" if dry_run else f"{before} before, {new} now"


def _loss(before: float | None, after: float | None) -> str:
    """Return the losses before and after as text."""
    if before is None or after is None:
        return "not scored"
    return f"{before:.4f} before, {after:.4f} with the new fit, nats per response"


def _judgement(change: float | None, se: float | None) -> str:
    """Return a sentence about the change of the loss."""
    if change is None:
        return "The new fit was not scored: no students were held out."
    error = "" if se is None else f" (standard error {se:.4f})"
    is_clear = se is not None and abs(change) > 2 * se
    verdict = "no clear difference" if not is_clear else "better forecasts" if change < 0 else "worse forecasts"
    return f"Held-out loss changed by {change:+.4f}{error}: {verdict}."


def _outcome(dry_run: bool, is_stored: bool) -> str:
    """Return a sentence about what became of the new model."""
    if dry_run:
        return "Nothing was changed: without --dry-run, the new model would be put into the store and used."
    return "The new model is in the store." if is_stored else "The store cannot keep such a model: it is not used."


@engine.command(
    epilog=examples(
        "alsim engine serve shop",
        "alsim engine serve shop --host 0.0.0.0 --port 80 --workers 4",
    )
)
def serve(
    directory: DirectoryArgument,
    host: Annotated[str, typer.Option("--host", metavar="NAME", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="TCP port; 0 for a free one.")] = 8000,
    workers: Annotated[int, typer.Option("--workers", help="Number of processes.")] = 1,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen without a key on an address that other machines reach.")
    ] = False,
) -> None:
    """Serve an engine over HTTP until Ctrl-C or SIGTERM (extra server).

    Each request must have the key in the environment variable ALSIM_API_KEY, if that is set.
    """
    from alsim.engine.directory import read_directory
    from alsim.engine.server import serve as serve_engine

    read_directory(directory)
    serve_engine(directory, host=host, port=port, workers=workers, insecure=insecure, report=print_warning)


__all__: list[str] = []
