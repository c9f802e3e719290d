"""Diagram of one episode: mastery, frustration and events over the interactions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alsim.utils.figures import new_figure, write_figure

TEXT_COLOR, LINE_COLOR = "#333333", "#0b6e99"
EVENTS: dict[str, tuple[str, str]] = {
    "correct": ("#2a7f3f", "o"),
    "wrong": ("#b3261e", "x"),
    "content": ("#0b6e99", "s"),
}
"""Colour and marker of each kind of event."""


def draw_episode(file: Path, result: dict[str, Any]) -> None:
    """Draw an episode that `describe_episode` returned, and write the file atomically."""
    figure = new_figure(8, 6.4, dpi=130)
    mastery, frustration, events = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1.2))
    figure.suptitle(
        f"policy {result['policy']}, learner {result['learner']}, episode {result['episode']}, seed {result['seed']}",
        fontsize=10,
        color=TEXT_COLOR,
        parse_math=False,  # a name may contain dollar signs
    )
    rows = result["interactions"]
    steps = [row["step"] for row in rows]
    values = [result["start_mastery"], *(row["mean_mastery"] for row in rows)]
    mastery.plot([0, *steps], values, color=LINE_COLOR)
    _finish(mastery, "mean mastery", result["limits"]["mastery_threshold"])
    frustration.plot(steps, [row["frustration"] for row in rows], color=LINE_COLOR)
    _finish(frustration, "frustration", result["limits"]["max_frustration"])
    frustration.set_ylim(-0.03, 1.03)
    for level, (kind, (color, marker)) in enumerate(EVENTS.items()):
        chosen = [row["step"] for row in rows if (row["result"] or row["kind"]) == kind]
        events.plot(chosen, [-level] * len(chosen), linestyle="", marker=marker, markersize=4, color=color)
    _finish(events, "event", None)
    events.set_yticks([-level for level in range(len(EVENTS))], list(EVENTS))
    events.set_ylim(-len(EVENTS) + 0.5, 0.5)
    events.set_xlabel("interactions")
    write_figure(figure, file)


def _finish(axes: Any, title: str, limit: float | None) -> None:
    """Add a title, and a dotted line at the value that ends an episode, to a diagram."""
    axes.set_title(title, loc="left", fontsize=9, color=TEXT_COLOR)
    if limit is not None:
        axes.axhline(limit, color=TEXT_COLOR, linewidth=0.8, linestyle=":")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
