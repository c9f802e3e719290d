"""Group of commands `alsim engine`, and those that write the directory of an engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alsim.cli.app import app
from alsim.cli.command import Application
from alsim.cli.completion import one_of
from alsim.cli.help import examples
from alsim.cli.options import ConfigOption, ForceOption, JsonOption, SeedOption
from alsim.cli.output import counted, print_facts, print_sentence, write_report
from alsim.errors import AlsimError

if TYPE_CHECKING:
    from alsim.engine.catalogue import Catalogue
    from alsim.engine.engine import AdaptiveEngine
    from alsim.engine.engine_settings import EngineSettings

MODELS = ("bkt", "alosi", "irt", "elo", "glicko", "hlr", "fsrs")
"""Models without a fit, for shell completion, which does not load the engine."""
POLICIES = ("guide", "alosi", "thompson")
"""Recommenders, for shell completion."""

engine = Application(
    name="engine",
    help="Recommend items to real students, and follow what they know.",
    epilog=examples(
        "alsim engine example shop",
        "alsim engine recommend shop ada",
        "alsim engine respond shop ada addition-1 --correct",
    ),
    subcommand_metavar="COMMAND ...",
)
app.add_typer(engine, name="engine")

DirectoryArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="Directory of an engine, as alsim engine init writes it.")
]
NewDirectoryArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Directory to write.")]
StudentArgument = Annotated[str, typer.Argument(metavar="STUDENT", help="Name of the student.")]


@contextmanager
def opened(directory: Path) -> Iterator[AdaptiveEngine]:
    """Open the engine of a directory within the context."""
    from alsim.engine.directory import load_engine

    loaded = load_engine(directory)
    try:
        yield loaded
    finally:
        loaded.close()


@engine.command(epilog=examples("alsim engine example shop", "alsim engine recommend shop ada"))
def example(directory: NewDirectoryArgument, force: ForceOption = False, report: JsonOption = None) -> None:
    """Write a small engine to try: 60 items about 12 skills, from addition to linear equations.

    An existing engine is replaced with --force only; the events of its students are kept.
    """
    from alsim.engine.directory import write_example

    catalogue = write_example(directory, force=force)
    _report(directory, catalogue, report)


@engine.command(
    epilog=examples(
        "alsim engine init school --graph skills.csv --catalogue items.csv",
        "alsim engine init school --bank my-bank --config alsim.toml --model irt",
        "alsim engine init school --graph skills.csv --catalogue items.csv --force",
    )
)
def init(
    directory: NewDirectoryArgument,
    graph: Annotated[
        Path | None,
        typer.Option(
            "--graph",
            metavar="FILE",
            help="Skills and their prerequisites: a table, JSON or TOML.  [default: that of the bank]",
        ),
    ] = None,
    catalogue: Annotated[
        Path | None,
        typer.Option("--catalogue", metavar="FILE", help="Items: a table or JSON.  [default: those of the bank]"),
    ] = None,
    bank: Annotated[
        Path | None,
        typer.Option("--bank", metavar="DIR", help="Item bank, instead of graph and catalogue; see alsim bank."),
    ] = None,
    config: ConfigOption = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="NAME",
            autocompletion=one_of(*MODELS),
            help="Student model: bkt, irt, elo, glicko, alosi, hlr or fsrs, or a file of alsim fit, which is copied.",
        ),
    ] = "bkt",
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            metavar="NAME",
            autocompletion=one_of(*POLICIES),
            help="Recommender of items: guide, alosi, thompson, policy:NAME or experiment:NAME.",
        ),
    ] = "guide",
    experiments: Annotated[
        Path | None,
        typer.Option(
            "--experiments",
            metavar="FILE",
            help="TOML with a table per experiment, of which the policy is one.  [default: none]",
        ),
    ] = None,
    store: Annotated[
        str,
        typer.Option(
            "--store",
            metavar="ADDRESS",
            help="Store of the events: sqlite:PATH, relative to the directory, or redis://HOST:PORT/DB.",
        ),
    ] = "sqlite:students.db",
    threshold: Annotated[
        float, typer.Option("--threshold", help="Mastery from which a skill counts as mastered, in (0, 1].")
    ] = 0.9,
    seed: SeedOption = 0,
    force: ForceOption = False,
    report: JsonOption = None,
) -> None:
    """Write the directory of an engine from files, or from an item bank.

    Files are copied. With --bank, the learning outcomes are the skills, and the curriculum of --config has their
    prerequisites. The store must be reachable. An existing engine is replaced with --force only, at one moment; the
    events of its students are kept, and their states are made again from the events. Restart running servers
    afterwards.
    """
    from alsim.engine.directory import check_reachable, write_engine

    if store == "memory":
        raise AlsimError(
            "store memory forgets the students when a command ends; use sqlite:PATH, or load_engine(DIR, "
            'store="memory") in Python'
        )
    source, items = _sources(graph, catalogue, bank, config)
    check_reachable(directory, store)
    written = write_engine(
        directory,
        source,
        items,
        model=model,
        policy=policy,
        store=store,
        seed=seed,
        threshold=threshold,
        experiments=() if experiments is None else experiments,
        force=force,
    )
    _report(directory, written, report)


def _sources(graph: Path | None, catalogue: Path | None, bank: Path | None, config: Path | None) -> tuple[Any, Any]:
    """Return graph and catalogue, as files or from a bank. Raises AlsimError for a wrong combination of options."""
    if bank is not None:
        if graph is not None or catalogue is not None:
            raise AlsimError("--bank has graph and items: remove --graph and --catalogue, or --bank")
        from alsim.bank.files import load_bank
        from alsim.config import Config
        from alsim.engine.catalogue import Catalogue

        return None, Catalogue.of_bank(load_bank(bank), Config.read(config).curriculum)
    if config is not None:
        raise AlsimError("--config has the curriculum of a bank: add --bank, or remove --config")
    if graph is None or catalogue is None:
        missing = "--graph" if graph is None else "--catalogue"
        raise AlsimError(f"{missing} is missing: pass --graph FILE and --catalogue FILE, or --bank DIR")
    return graph, catalogue


def _report(directory: Path, catalogue: Catalogue, report: Path | None) -> None:
    """Print and write what a directory has."""
    from alsim.engine.directory import read_directory

    settings = read_directory(directory).settings
    print_facts([("directory", str(directory)), *engine_facts(settings, catalogue)])
    print_sentence(f"The engine is ready: alsim engine recommend {directory} STUDENT recommends items to a student.")
    write_report(report, {"directory": str(directory), **engine_numbers(settings, catalogue)})


def engine_facts(settings: EngineSettings, catalogue: Catalogue) -> list[tuple[str, str]]:
    """Return labels and texts about an engine."""
    numbers = engine_numbers(settings, catalogue)
    items = f"{counted(numbers['questions'], 'question')} and {counted(numbers['contents'], 'content')}"
    skills = f"{counted(numbers['skills'], 'skill')}, {counted(numbers['prerequisites'], 'prerequisite')}"
    return [
        ("items", items),
        ("graph", skills),
        ("model", settings.model),
        ("policy", f"{settings.policy}, seed {settings.seed}"),
        *((one.name, one.summary) for one in settings.experiments),
        ("mastered", f"from a mastery of {settings.threshold:g}"),
        *((("due", f"below a recall of {settings.retention:g}"),) if "retention" in settings.single() else ()),
        ("store", settings.store),
    ]


def engine_numbers(settings: EngineSettings, catalogue: Catalogue) -> dict[str, Any]:
    """Return what an engine has, as JSON values."""
    questions = int(catalogue.is_question.sum())
    return {
        "questions": questions,
        "contents": len(catalogue) - questions,
        "skills": len(catalogue.graph),
        "prerequisites": len(catalogue.graph.edges),
        "catalogue": catalogue.digest,
        **settings.plain(),
    }
