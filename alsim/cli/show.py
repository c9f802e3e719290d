"""Command `alsim show`: one episode, step by step."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from alsim.cli.app import app
from alsim.cli.options import (
    BankOption,
    ConfigOption,
    DynamicsOption,
    ImportOption,
    JsonOption,
    Observation,
    ObservationOption,
    PolicyOption,
    SeedOption,
    read_large_integer,
)
from alsim.cli.output import check_report, printable, write_report

WIDTH = 80
"""Columns of the printed table."""
COLUMNS: dict[str, tuple[str, str]] = {
    "step": ("step", "{}"),
    "kind": ("kind", "{}"),
    "level": ("level", "{}"),
    "outcome": ("LO", "{}"),
    "item": ("item", "{}"),
    "result": ("answer", "{}"),
    "response_time": ("time, s", "{:.1f}"),
    "mastery_gain": ("gain", "{:.4f}"),
    "mean_mastery": ("mastery", "{:.4f}"),
    "frustration": ("frustr.", "{:.3f}"),
    "reward": ("reward", "{:.3f}"),
    "cumulative_reward": ("return", "{:.2f}"),
}
"""Heading and format of each printed column, by its name in the report."""
TEXTS = ("kind", "level", "outcome", "item", "result")
"""Columns that are aligned on the left."""
KINDS = {"question": "ask", "content": "show"}
"""Words for the kinds of interaction in the printed table."""
LEAST = 4
"""Smallest width to which names are shortened."""
LEGEND = (
    "gain: mastery of the LO added by the interaction; mastery: mean over all LOs after it; frustr.: frustration after "
    "it; return: sum of the rewards so far."
)


@app.command(short_help="Show one episode of one learner, step by step.")
def show(
    policy: PolicyOption = "rules",
    learner: Annotated[
        int,
        typer.Option(
            "--learner",
            metavar="I",
            parser=read_large_integer,
            help="Learner of the seed, from 0 to 2**32 - 1; 2**31+5 can be written so.",
        ),
    ] = 0,
    episode: Annotated[int, typer.Option("--episode", metavar="K", help="Episode of the learner, counted from 0.")] = 0,
    seed: SeedOption = 0,
    config: ConfigOption = None,
    bank: BankOption = None,
    dynamics: DynamicsOption = None,
    imports: ImportOption = None,
    observation: ObservationOption = Observation.mastery,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Also draw the episode, as .png, .svg or .pdf (extra plot)."),
    ] = None,
    report: JsonOption = None,
) -> None:
    """Show one episode of one learner, step by step.

    The numbers are those of alsim generate for the same seed, learner, episode and policy. Learners from 2**31 on are
    held out for evaluation.
    """
    from alsim.cli.episode_plot import check_plot, draw_episode
    from alsim.cli.training_info import is_training, training_rules
    from alsim.rollouts.episode import describe_episode

    check_report(report)
    check_plot(plot)
    result = describe_episode(
        policy,
        learner=learner,
        episode=episode,
        seed=seed,
        config=config,
        bank=bank,
        dynamics=dynamics,
        observation=observation.value,
    )
    training = training_rules(Path(policy)) if is_training(Path(policy)) else ""
    _print_episode(result, training)
    if plot is not None:
        draw_episode(plot, result)
        print(f"{plot}: diagram of the episode")
    write_report(report, result)


# ── the table ────────────────────────────────────────────────────────────────────────────────────


def _print_episode(result: dict[str, Any], training: str) -> None:
    """Print the settings of an episode and of the `training` of its policy, one line per interaction, and its end."""
    bank = result["bank"]
    place = f"learner {result['learner']}, episode {result['episode']}, seed {result['seed']}"
    size = f"{bank['questions']:,} questions and {bank['contents']:,} contents on {bank['outcomes']:,} outcomes"
    _print_text(f"{place}, policy {result['policy']}")
    if training:
        _print_text(f"trained by {training}")
    _print_text(f"bank of {size}, dynamics {result['dynamics']}")
    _print_text(
        f"return {result['return']:.2f} over {result['steps']:,} steps, ended by {result['termination_reason']}"
    )
    print()
    lines, shortened = table_lines(result["interactions"])
    for line in lines:
        print(line)
    print()
    _print_text(LEGEND)
    if shortened:
        _print_text("Names that end in … are shortened; --json FILE writes them in full.")
    _print_text(result["verdict"])


def _print_text(text: str) -> None:
    """Print a text, wrapped at WIDTH columns."""
    print(textwrap.fill(printable(text), WIDTH, break_long_words=False, break_on_hyphens=False))


def table_lines(interactions: Sequence[dict[str, Any]]) -> tuple[list[str], bool]:
    """Return the lines of the table, at most WIDTH columns wide, and whether names were shortened."""
    from rich.cells import cell_len, set_cell_size

    cells = {name: [heading] for name, (heading, _) in COLUMNS.items()}
    for interaction in interactions:
        for name, (_, form) in COLUMNS.items():
            value = interaction[name]
            cells[name].append("-" if value is None else printable(KINDS.get(value, form.format(value))))
    widths = {name: max(map(cell_len, column)) for name, column in cells.items()}
    excess = sum(widths.values()) + len(widths) - 1 - WIDTH
    if excess > 0:
        _shorten(cells, widths, excess)
    lines = []
    for row in zip(*cells.values(), strict=True):
        padded = (
            set_cell_size(cell, widths[name]) if name in TEXTS else cell.rjust(widths[name])
            for name, cell in zip(cells, row, strict=True)
        )
        lines.append(" ".join(padded).rstrip())
    return lines, excess > 0


def _shorten(cells: dict[str, list[str]], widths: dict[str, int], excess: int) -> None:
    """Shorten the names of outcomes and items, and their widths, by `excess` columns together."""
    from rich.cells import cell_len, set_cell_size

    room = max(widths["outcome"] + widths["item"] - excess, 2 * LEAST)
    widths["item"] = min(widths["item"], max(room // 2, room - widths["outcome"]))
    widths["outcome"] = min(widths["outcome"], room - widths["item"])
    for name in ("outcome", "item"):
        width = widths[name]
        cells[name] = [c if cell_len(c) <= width else set_cell_size(c, width - 1) + "…" for c in cells[name]]
