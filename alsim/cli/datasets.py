"""Commands `alsim generate` and `alsim info`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alsim.cli.app import app
from alsim.cli.help import examples
from alsim.cli.options import (
    BankOption,
    ConfigOption,
    DynamicsOption,
    ForceOption,
    ImportOption,
    JsonOption,
    MaskOption,
    Observation,
    ObservationOption,
    PolicyOption,
    SeedOption,
)
from alsim.cli.output import (
    counted,
    counted_progress,
    elapsed_progress,
    log_to_stderr,
    megabytes,
    print_facts,
    print_sentence,
    print_table,
    printable,
    resumable,
    rounded,
    shortened,
    write_report,
)
from alsim.cli.rules import learner_facts, other_differences, print_learner_facts
from alsim.errors import AlsimError

if TYPE_CHECKING:
    from alsim.datasets.store import Dataset


LISTED_VALUES = 4
"""Number of differences from the defaults, and of parameters, that `alsim info` lists; the JSON has all."""
LISTED_ROWS = 10
"""Number of rows of a population whose results `alsim info` lists; the JSON has all."""


ROW_HEADINGS = {"cumulative_reward": "return", "total_steps": "interactions", "final_mastery": "final mastery"}
"""Headings of the metrics in the table of the rows of a population."""
MAX_NAME = 20
"""Width to which the name of a row is shortened."""


class Format(StrEnum):
    """File formats of a dataset."""

    parquet = "parquet"
    arrow = "arrow"


class Engine(StrEnum):
    """Executors of the shards of a dataset."""

    local = "local"
    ray = "ray"


StoreObservationsOption = Annotated[
    bool,
    typer.Option(
        "--store-observations/--no-store-observations", help="Store observations, or recompute them on first use."
    ),
]
TruthOption = Annotated[
    bool,
    typer.Option(
        "--truth", help="Add columns with the latent state before each interaction, and the chance of a correct answer."
    ),
]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw mastery over the episodes, and at their end: .png, .svg, .pdf."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        show_default="1; ray: all processors",
        help="Number of processes; the dataset does not depend on it.",
    ),
]


@app.command(
    short_help="Simulate learners under a policy and write a dataset.",
    epilog=examples(
        "alsim generate --learners 1000 --policy rules -o by-rules",
        "alsim generate --policy ppo-run --threads 4 -o by-ppo",
    ),
)
def generate(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Directory to write.")],
    num_learners: Annotated[int, typer.Option("--learners", metavar="N", help="Number of learners.")] = 200,
    episodes_per_learner: Annotated[int, typer.Option("--episodes", metavar="N", help="Episodes per learner.")] = 3,
    policy: PolicyOption = "uniform",
    seed: SeedOption = 0,
    config: ConfigOption = None,
    bank: BankOption = None,
    dynamics: DynamicsOption = None,
    imports: ImportOption = None,
    observation: ObservationOption = Observation.mastery,
    action_mask: MaskOption = None,
    store_observations: StoreObservationsOption = True,
    truth: TruthOption = False,
    file_format: Annotated[Format, typer.Option("--format", help="File format.")] = Format.parquet,
    episodes_per_shard: Annotated[
        int | None,
        typer.Option(
            "--episodes-per-shard",
            metavar="N",
            show_default="4096, fewer for long episodes",
            help="Episodes per file.",
        ),
    ] = None,
    num_threads: Annotated[
        int, typer.Option("--threads", metavar="N", help="Number of threads; the dataset does not depend on it.")
    ] = 1,
    num_workers: WorkersOption = None,
    engine: Annotated[Engine, typer.Option("--engine", help="Run on this machine or on a Ray cluster.")] = Engine.local,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address", metavar="ADDRESS", show_default="chosen by Ray", help="Address of a Ray cluster."
        ),
    ] = None,
    force: ForceOption = False,
    report: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Let a policy teach simulated learners, and write the episodes as a dataset.

    The same command resumes an interrupted run.
    """
    from alsim.datasets.generate import generate_dataset

    resumed = not force and out.is_dir() and any(out.iterdir())
    speed = _Speedometer()
    with (
        resumable(lambda: _resume_hint(force)),
        counted_progress("episodes", num_learners * episodes_per_learner) as show,
        log_to_stderr("alsim.datasets"),
    ):
        dataset = generate_dataset(
            num_learners,
            episodes_per_learner,
            policy,
            seed,
            out=out,
            config=config,
            bank=bank,
            dynamics=dynamics,
            observation=observation.value,
            action_mask=action_mask,
            store_observations=store_observations,
            truth=truth,
            file_format=file_format.value,
            episodes_per_shard=episodes_per_shard,
            num_threads=num_threads,
            num_workers=num_workers,
            engine=engine.value,
            ray_address=ray_address,
            force=force,
            progress=lambda done, rows: show(done, speed.after(rows)),
        )
    duration = f" in {speed.seconds:,.1f} s" + (f" ({speed.text})" if speed.text else "")
    _print_generated(dataset, "" if resumed else duration, report)
    _draw(dataset, plot)


@app.command(
    epilog=examples(
        "alsim info by-rules",
        "alsim info by-rules --plot by-rules.png",
        "alsim info by-rules --json - | jq .metrics.final_mastery",
    )
)
def info(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a dataset or a training.")],
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its checksum.")] = False,
    imports: ImportOption = None,
    report: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Describe a dataset: its size, its origin, and the metrics of its episodes. Or describe a training."""
    from alsim.cli.engine_export import print_log
    from alsim.cli.training_info import is_training, print_training
    from alsim.datasets.engine_export import read_kind
    from alsim.datasets.engine_log import load_log
    from alsim.datasets.store import load_dataset

    if is_training(directory):
        if verify or plot is not None:
            raise AlsimError(f"{directory} holds a training; --verify and --plot need a dataset; leave them out")
        print_training(directory, report)
        return
    if read_kind(directory) is not None:
        if plot is not None:
            raise AlsimError(
                f"{directory} holds the log of an engine; draw it with: alsim engine audit DIR --plot FILE"
            )
        print_log(load_log(directory, verify=verify).manifest, directory, report)
        return
    with elapsed_progress(f"reading {directory}"):
        dataset = load_dataset(directory, verify=verify)
    _draw(dataset, plot)
    _print_dataset(dataset, verify, report)


def _draw(dataset: Dataset, plot: Path | None) -> None:
    """Draw the figure of a dataset, if it is requested."""
    if plot is not None:
        from alsim.cli.dataset_plot import draw_dataset

        with elapsed_progress(f"drawing {plot}"):
            draw_dataset(plot, dataset)


def _resume_hint(force: bool) -> str:
    """Return how to resume an interrupted run."""
    command = "the same command without --force" if force else "the same command"
    return f"{command} keeps the files that are complete and simulates the others"


class _Speedometer:
    """Measures the speed of a simulation from its first to its last shard, without compilation and start."""

    def __init__(self) -> None:
        self._start = perf_counter()
        self._first: tuple[float, int] | None = None
        self.text = ""

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return perf_counter() - self._start

    def after(self, rows: int) -> str:
        """Return the speed as text, given the number of transitions so far; "" after the first shard."""
        if self._first is None:
            self._first = (self.seconds, rows)
        elif (elapsed := self.seconds - self._first[0]) > 0:
            rate = (rows - self._first[1]) / elapsed
            self.text = f"{rate / 1e6:.1f} M transitions/s" if rate >= 1e6 else f"{rate:,.0f} transitions/s"
        return self.text


def _print_generated(dataset: Dataset, duration: str, report: Path | None) -> None:
    """Print the size of a new dataset, and how long it took."""
    from alsim.evaluation.dataset_summary import summary

    print(f"{_counts(dataset)}{duration}")
    print_learner_facts(dataset.manifest["config"])
    print(f"{printable(str(dataset.path))} is complete; to describe it: alsim info {_quoted(dataset.path)}")
    if report is not None:  # a summary reads the whole table of episodes
        write_report(report, summary(dataset))


def _quoted(path: Path | None) -> str:
    """Return a path as a word of a shell command."""
    import shlex

    return printable(shlex.quote(str(path)))


def _counts(dataset: Dataset) -> str:
    """Return the numbers of transitions, episodes and learners as text."""
    episodes, learners = dataset.episodes.num_rows, dataset.manifest["num_learners"]
    return f"{counted(len(dataset), 'transition')}, {counted(episodes, 'episode')} of {counted(learners, 'learner')}"


def _print_dataset(dataset: Dataset, verified: bool, report: Path | None) -> None:
    """Print the contents of a dataset, and write them as JSON if `report` is given."""
    from alsim.evaluation.dataset_summary import summary
    from alsim.metrics import METRICS

    numbers = summary(dataset)
    print(printable(str(dataset.path)))
    print_facts(_facts(dataset, numbers, verified))
    print()
    rows = [
        (
            METRICS[name].heading,
            *rounded(value["mean"], value["se"]),
            f"{value['undefined']:,}" if value["undefined"] else "",
        )
        for name, value in numbers["metrics"].items()
    ]
    print_table(("per episode", "mean", "standard error", "undefined"), rows)
    print()
    if numbers["population"]:
        _print_rows(numbers["population"])
    if numbers["independent_unit"] != "episode":
        unit = numbers["independent_unit"]
        print_sentence(f"Means ± standard errors are those of means per {unit}, which is the independent unit.")
        print()
    verdict = _verdict(numbers)
    print_sentence(verdict)
    write_report(report, {"path": str(dataset.path), **numbers, "verified": verified, "verdict": verdict})


def _print_rows(results: list[dict[str, Any]]) -> None:
    """Print the results of each row of a population."""
    lines = []
    for result in results[:LISTED_ROWS]:
        statistics = [result["metrics"][name] for name in ROW_HEADINGS]
        cells = [" ± ".join(rounded(s["mean"], s["se"])).removesuffix(" ± -") for s in statistics]
        name = shortened(result["name"], MAX_NAME)
        lines.append((name, f"{100 * result['share']:.3g} %", f"{result['learners']:,}", *cells))
    print_table(("row", "share", "learners", *ROW_HEADINGS.values()), lines)
    if len(results) > LISTED_ROWS:
        print(f"and {len(results) - LISTED_ROWS:,} more rows, which --json FILE lists")
    print()


def _facts(dataset: Dataset, numbers: dict[str, Any], verified: bool) -> list[tuple[str, str]]:
    """Return size, origin and files of a dataset as labels and texts."""
    manifest, files = dataset.manifest, numbers["files"]
    stored = ("" if files["observations_stored"] else " (not stored)") + (", truth" if files["truth_stored"] else "")
    ends = ", ".join(f"{reason} {count:,}" for reason, count in numbers["termination"].items())
    return [
        ("size", f"{_counts(dataset)}, {counted(numbers['events'], 'event')}"),
        ("policy", f"{manifest['policy']['name']}, seed {manifest['seed']}"),
        ("origin", f"{manifest['environment']}, observation {manifest['observation']}{stored}"),
        ("rules", _rules(numbers["provenance"])),
        *learner_facts(manifest["config"]),
        ("files", f"{files['format']}, {megabytes(files['bytes'] or 0)}, alsim {manifest['alsim_version']}"),
        *([("checksums", "all files are unchanged")] if verified else []),
        ("ended by", ends),
    ]


def _rules(provenance: dict[str, Any]) -> str:
    """Return the dynamics and the values of the configuration that differ from the defaults."""
    dynamics = f"dynamics {provenance['dynamics']}"
    if not provenance["dynamics_known"]:
        parameters = _values(provenance["dynamics_parameters"]) or "no parameters"
        dynamics += f" with {parameters} (defaults unknown: --import the module)"
    if not provenance["config_differences"]:
        return f"{dynamics}; default configuration" + ("" if provenance["dynamics_known"] else " otherwise")
    differences = other_differences(provenance["config_differences"])
    if not differences:
        return dynamics
    ending = "differs from the default" if len(differences) == 1 else "differ from the defaults"
    return f"{dynamics}; {_values(differences)} ({ending})"


def _values(values: dict[str, Any]) -> str:
    """Return names and values as text, at most LISTED_VALUES of them."""
    listed = [
        f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in list(values.items())[:LISTED_VALUES]
    ]
    more = len(values) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more else "")


def _verdict(numbers: dict[str, Any]) -> str:
    """Return a sentence about the result of the episodes."""
    mastery, mastered = numbers["metrics"]["final_mastery"], numbers["termination"]["mastery_achieved"]
    text = f"{mastered:,} of {counted(numbers['episodes'], 'episode')} ended in mastery; mean mastery at the end: "
    if mastery["ci"] is None:
        return f"{text}{mastery['mean']:.3f}."
    low, high = mastery["ci"]
    return f"{text}{mastery['mean']:.3f} (95 % interval {low:.3f} to {high:.3f})."
