"""Diagram of one episode: mastery, frustration and events over the interactions."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from alsim.errors import AlsimError
from alsim.utils.files import write_atomic
from alsim.utils.optional import require

FORMATS = ("png", "svg", "pdf")
TEXT_COLOR, LINE_COLOR = "#333333", "#0b6e99"
EVENTS: dict[str, tuple[str, str]] = {
    "correct": ("#2a7f3f", "o"),
    "wrong": ("#b3261e", "x"),
    "content": ("#0b6e99", "s"),
}
"""Colour and marker of each kind of event."""


def check_plot(file: Path | None) -> None:
    """Raise AlsimError if a diagram cannot be written to the file, or MissingExtra without matplotlib."""
    if file is None:
        return
    if file.suffix.lower().removeprefix(".") not in FORMATS:
        raise AlsimError(f"--plot must be a file with the ending .{', .'.join(FORMATS)}; got {file}")
    if file.is_dir():
        raise AlsimError(f"--plot {file} is a directory; expected a file to write")
    require("matplotlib.figure", "plot", "--plot")


def draw_episode(file: Path, result: dict[str, Any]) -> None:
    """Draw an episode that `describe_episode` returned, and write the file atomically."""
    # Not pyplot, which keeps figures in memory and may need a display.
    figure = require("matplotlib.figure", "plot", "--plot").Figure(figsize=(8, 6.4), dpi=130, layout="constrained")
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
    stream = io.BytesIO()
    figure.savefig(stream, format=file.suffix.lower().removeprefix("."))
    file.absolute().parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, stream.getvalue())


def _finish(axes: Any, title: str, limit: float | None) -> None:
    """Add a title, and a dotted line at the value that ends an episode, to a diagram."""
    axes.set_title(title, loc="left", fontsize=9, color=TEXT_COLOR)
    if limit is not None:
        axes.axhline(limit, color=TEXT_COLOR, linewidth=0.8, linestyle=":")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
