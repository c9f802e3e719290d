"""The command line: exit status 0 done, 1 a check failed, 2 bad input, said in one sentence on stderr."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from alsim.errors import AlsimError

if TYPE_CHECKING:
    from alsim.datasets.collect import Progress
    from alsim.datasets.store import Dataset

app = typer.Typer(
    name="alsim",
    help="A flight simulator for adaptive learning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="TOML file; see init-config.")]
BankOption = Annotated[Path | None, typer.Option("--bank", metavar="DIR", help="Directory of a bank; see bank.")]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the report here as JSON, too.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Integer in [0, 2**64).")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]


class Format(StrEnum):
    """File formats of a dataset."""

    parquet = "parquet"
    arrow = "arrow"


def main() -> None:
    """Run the command line; bad input ends in one sentence and status 2, Ctrl-C in 130 (by typer)."""
    # As Ctrl-C does: whatever is half-written is cleaned up on the way out.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        app()
    except (AlsimError, OSError) as error:
        print(f"alsim: {error}", file=sys.stderr)
        sys.exit(2)


@app.command()
def generate(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory to write.")],
    learners: Annotated[int, typer.Option("--learners", help="Learners 0 … N - 1 of the seed.")] = 200,
    episodes: Annotated[int, typer.Option("--episodes", help="Episodes per learner.")] = 3,
    policy: Annotated[str, typer.Option("--policy", help="Name of a policy; see policies.")] = "uniform",
    seed: SeedOption = 0,
    config: ConfigOption = None,
    bank: BankOption = None,
    observation: Annotated[str, typer.Option("--observation", help="mastery or responses.")] = "mastery",
    file_format: Annotated[Format, typer.Option("--format", help="File format.")] = Format.parquet,
    num_threads: Annotated[int, typer.Option("--threads", help="Threads; they change nothing in the dataset.")] = 1,
    force: ForceOption = False,
    report: JsonOption = None,
) -> None:
    """Let a policy teach learners, and write all that happened as a dataset."""
    from alsim.datasets.collect import generate_dataset

    _check_report(report)
    with _progress(learners * episodes) as progress:
        dataset = generate_dataset(
            learners,
            episodes,
            policy,
            seed,
            out=out,
            config=config,
            bank=bank,
            observation=observation,
            file_format=file_format.value,
            num_threads=num_threads,
            force=force,
            progress=progress,
        )
    _print_dataset(dataset, report)


@app.command()
def info(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a dataset.")],
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its checksum.")] = False,
    report: JsonOption = None,
) -> None:
    """Say what a dataset holds."""
    from alsim.datasets.store import load_dataset

    _check_report(report)
    _print_dataset(load_dataset(directory, verify=verify), report)


@app.command()
def validate(
    config: ConfigOption = None, bank: BankOption = None, seed: SeedOption = 0, report: JsonOption = None
) -> None:
    """Run the specification's sanity checks; status 1 if one fails."""
    from alsim.rim import read_rules, read_seed
    from alsim.validation import validate as checks

    _check_report(report)
    settings, items = read_rules(config, bank, None)
    number = read_seed(seed)
    console = Console(highlight=False, soft_wrap=True)
    findings = []
    for finding in checks(settings, items, number):
        mark = "[green]ok[/]  " if finding.passed else "[red]FAIL[/]"
        console.print(f"{mark} {finding.name}: {escape(finding.detail)}")
        findings.append(finding)
    failed = sum(not finding.passed for finding in findings)
    console.print(f"{len(findings) - failed} passed, {failed} failed")
    _write_report(report, {"seed": number, "checks": [finding._asdict() for finding in findings], "failed": failed})
    if failed:
        raise typer.Exit(1)


@app.command("bank")
def bank_command(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory to write.")],
    questions: Annotated[
        Path | None, typer.Option("--questions", metavar="FILE", help="A 3PL table to complete with contents.")
    ] = None,
    columns: Annotated[
        str, typer.Option("--columns", metavar="OURS=THEIRS,…", help="Columns of the table, as irt_a=a,irt_b=b.")
    ] = "",
    fill_empty: Annotated[
        bool, typer.Option("--fill-empty", help="Fill an empty cell from the nearest difficulty.")
    ] = False,
    config: ConfigOption = None,
    force: ForceOption = False,
) -> None:
    """Write a bank as questions.csv and contents.csv: drawn from the configuration, or around a 3PL table."""
    from alsim.bank import sample_bank
    from alsim.bank_files import complete_bank, save_bank
    from alsim.config import Config

    settings = Config.read(config)
    if questions is None and (columns or fill_empty):
        raise AlsimError("--columns and --fill-empty go with --questions")
    if questions is None:
        bank = sample_bank(settings)
    else:
        bank = complete_bank(questions, settings, columns=_mapping(columns), fill_empty=fill_empty)
    save_bank(bank, out, force=force)
    print(f"{out}: {bank.num_questions} questions and {bank.num_contents} contents on {bank.num_los} learning outcomes")


@app.command()
def policies(report: JsonOption = None) -> None:
    """List the policies."""
    from alsim.policies import POLICIES

    table = Table("policy", "what it does", box=None)
    rows = {name: (make.__doc__ or "").strip().partition("\n")[0] for name, make in POLICIES.items()}
    for name, does in rows.items():
        table.add_row(escape(name), escape(does))
    Console(highlight=False).print(table)
    _write_report(report, rows)


@app.command("init-config")
def init_config(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML file to write.")] = Path("alsim.toml"),
    force: ForceOption = False,
) -> None:
    """Write the commented configuration file of the defaults."""
    from alsim.config import default_toml

    if file.is_dir():
        raise AlsimError(f"{file} is a directory; expected a file to write")
    if file.exists() and not force:
        raise AlsimError(f"{file} is there already; --force overwrites it")
    _write_whole(file, default_toml())
    print(f"wrote {file}")


def _mapping(columns: str) -> dict[str, str]:
    """Read --columns."""
    mapping = {}
    for part in columns.split(",") if columns else ():
        ours, equals, theirs = part.partition("=")
        if not (ours.strip() and equals and theirs.strip()):
            raise AlsimError(f"--columns is OURS=THEIRS, separated by commas; got {part!r}")
        mapping[ours.strip()] = theirs.strip()
    return mapping


@contextmanager
def _progress(episodes: int) -> Iterator[Progress]:
    """Show a progress bar on a terminal, and none in a pipe."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if not sys.stderr.isatty():
        yield lambda done, rows: None
        return
    bar = Progress(
        TextColumn("episodes"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("episodes", total=episodes, rate="")

        def show(done: int, rows: int) -> None:
            seconds = bar.tasks[0].elapsed or 0
            rate = f"{rows / seconds / 1e6:.2f} M transitions/s" if seconds > 0 else ""
            bar.update(task, completed=done, rate=rate)

        yield show


def _print_dataset(dataset: Dataset, report: Path | None) -> None:
    """Print what a dataset holds."""
    from alsim.datasets.store import summary

    numbers = summary(dataset)
    manifest = dataset.manifest
    console = Console(highlight=False, soft_wrap=True)
    print(
        f"{dataset.path}: {numbers['transitions']:,} transitions, {numbers['episodes']:,} episodes of "
        f"{manifest['num_learners']:,} learners, {numbers['events']:,} events"
    )
    print(
        f"policy {manifest['policy']['name']}, seed {manifest['seed']}, {manifest['environment']}, "
        f"observation {manifest['observation']}, {manifest['format']}, alsim {manifest['alsim_version']}"
    )
    ends = ", ".join(f"{reason} {count:,}" for reason, count in numbers["termination"].items())
    print(f"episodes ended by: {ends}")
    table = Table(
        "per episode",
        *(_right_aligned(name) for name in ("mean", "standard error", "undefined")),
        box=None,
        pad_edge=False,
    )
    for name, value in numbers["metrics"].items():
        mean, se = value["mean"], value["se"]
        table.add_row(
            name,
            "-" if mean is None else f"{mean:,.3f}",
            "-" if se is None else f"{se:,.3f}",
            f"{value['undefined']:,}" if value["undefined"] else "",
        )
    console.print(table)
    _write_report(report, numbers)


def _right_aligned(name: str) -> Any:
    """A right-aligned column of a table."""
    from rich.table import Column

    return Column(name, justify="right")


def _check_report(file: Path | None) -> None:
    """Refuse a report that cannot be written before the work, not after it."""
    if file is not None and file.is_dir():
        raise AlsimError(f"--json {file}: is a directory; expected a file")


def _write_report(file: Path | None, value: Any) -> None:
    """Write a report as JSON, if asked."""
    if file is not None:
        _write_whole(file, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _write_whole(file: Path, text: str) -> None:
    """Write a file whole or not at all; through a link, and straight into a pipe or a device."""
    file = file.resolve()
    if file.exists() and not file.is_file():
        with file.open("w", encoding="utf-8") as stream:
            stream.write(text)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise
