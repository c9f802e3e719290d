"""Commands of `alsim engine` about all students: replay and serve."""

from __future__ import annotations

from time import monotonic
from typing import Annotated

import typer

from alsim.cli.engine import DirectoryArgument, engine, opened
from alsim.cli.help import examples
from alsim.cli.options import JsonOption
from alsim.cli.output import counted_progress, print_sentence, print_warning, write_report


@engine.command(epilog=examples("alsim engine replay shop"))
def replay(directory: DirectoryArgument, report: JsonOption = None) -> None:
    """Make the state of every student again from the events.

    States of another model or catalogue are made again when a student returns; this command makes all of them at once.
    """
    start = monotonic()
    with opened(directory) as loaded:
        total = sum(1 for _ in loaded.students())
        with counted_progress("students", total) as advance:
            done = loaded.replay(lambda count: advance(count, ""))
        digest = loaded.digest
    seconds = monotonic() - start
    states = "The state of 1 student was" if done == 1 else f"The states of {done:,} students were"
    print_sentence(f"{states} made again from the events in {seconds:.1f} s.")
    write_report(report, {"students": done, "model": digest, "seconds": seconds})


@engine.command(
    epilog=examples(
        "alsim engine serve shop",
        "ALSIM_API_KEY=secret alsim engine serve shop --host 0.0.0.0 --port 80 --workers 4",
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
