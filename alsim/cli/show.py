"""Command `alsim show`: one episode, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    MaskOption,
    Observation,
    ObservationOption,
    PolicyOption,
    SeedOption,
    read_large_integer,
)
from alsim.cli.output import (
    WIDTH,
    counted,
    print_sentence,
    printable,
    shortened,
    table_lines,
    write_report,
)
from alsim.cli.rules import print_learner_facts

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
    action_mask: MaskOption = None,
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
    from alsim.arguments import read_rules
    from alsim.cli.episode_plot import draw_episode
    from alsim.cli.training_info import is_training, training_rules
    from alsim.rollouts.episode import describe_episode

    settings, items = read_rules(config, bank, dynamics)
    result = describe_episode(
        policy,
        learner=learner,
        episode=episode,
        seed=seed,
        config=settings,
        bank=items,
        observation=observation.value,
        action_mask=action_mask,
    )
    row = int(settings.population_rows_of(seed, [learner])[0])
    result |= {"population_row": row, "population_name": settings.population_names[row]}
    training = training_rules(Path(policy)) if is_training(Path(policy)) else ""
    _print_episode(result, settings.to_dict(), training)
    if plot is not None:
        draw_episode(plot, result)
        print(f"{plot}: diagram of the episode")
    write_report(report, result)


# ── the table ────────────────────────────────────────────────────────────────────────────────────


def _print_episode(result: dict[str, Any], config: Mapping[str, Any], training: str) -> None:
    """Print the settings of an episode and of the `training` of its policy, one line per interaction, and its end."""
    bank = result["bank"]
    place = f"learner {result['learner']}, episode {result['episode']}, seed {result['seed']}"
    sizes = [counted(bank[f"{noun}s"], noun) for noun in ("question", "content", "outcome")]
    size = f"{sizes[0]} and {sizes[1]} on {sizes[2]}"
    print_sentence(f"{place}, policy {result['policy']}")
    if training:
        print_sentence(f"trained by {training}")
    print_sentence(f"bank of {size}, dynamics {result['dynamics']}")
    print_learner_facts(config)
    if config["population"]:
        print_sentence(f"this learner has the row {result['population_name']}")
    steps, reason = counted(result["steps"], "step"), result["termination_reason"]
    print_sentence(f"return {result['return']:.2f} over {steps}, ended by {reason}")
    print()
    lines, is_shortened = episode_lines(result["interactions"])
    for line in lines:
        print(line)
    print()
    print_sentence(LEGEND)
    if is_shortened:
        print_sentence("Names that end in … are shortened; --json FILE writes them in full.")
    print_sentence(result["verdict"])


def episode_lines(interactions: Sequence[dict[str, Any]]) -> tuple[list[str], bool]:
    """Return the lines of the table, at most WIDTH columns wide, and whether names were shortened."""
    from rich.cells import cell_len

    cells = {name: [heading] for name, (heading, _) in COLUMNS.items()}
    for interaction in interactions:
        for name, (_, form) in COLUMNS.items():
            value = interaction[name]
            cells[name].append("-" if value is None else printable(KINDS.get(value, form.format(value))))
    widths = {name: max(map(cell_len, column)) for name, column in cells.items()}
    excess = sum(widths.values()) + len(widths) - 1 - WIDTH
    if excess > 0:
        _shorten(cells, widths, excess)
    headings, *rows = zip(*cells.values(), strict=True)
    texts = [COLUMNS[name][0] for name in TEXTS]
    return table_lines(headings, rows, texts=texts, gap=" "), excess > 0


def _shorten(cells: dict[str, list[str]], widths: dict[str, int], excess: int) -> None:
    """Shorten the names of outcomes and items by `excess` columns together."""
    room = max(widths["outcome"] + widths["item"] - excess, 2 * LEAST)
    item = min(widths["item"], max(room // 2, room - widths["outcome"]))
    for name, width in (("outcome", min(widths["outcome"], room - item)), ("item", item)):
        cells[name] = [shortened(cell, width) for cell in cells[name]]
