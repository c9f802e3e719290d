"""Text panel of a frame, 80 columns wide, in ASCII so that every terminal and log file shows it."""

from __future__ import annotations

import numpy as np

from alsim.envs.rendering.frame import Frame, LastInteraction
from alsim.utils.text import ascii_text

WIDTH = 80
BAR, CELL_BAR = 40, 7
COLUMNS = 4
MAX_LISTED = 120
"""Most learning outcomes with a bar each; of more, the panel counts the outcomes by level of mastery."""
BINS = 10


def panel(frame: Frame) -> str:
    """Return the text panel of a frame: lines of at most 80 characters, without a newline at the end."""
    lines = [
        _ends(frame.names, f"step {frame.step} of {frame.max_steps}"),
        "-" * WIDTH,
        *_last_lines(frame),
        f"frustration   {_gauge(frame.frustration[-1], frame.max_frustration)}",
        f"mean mastery  {_gauge(frame.mean_mastery[-1], frame.mastery_threshold)}",
        _ends(f"return        {_number(frame.episode_return)}", f"ability {frame.ability:+.2f} logits (latent)"),
        "",
        _ends("mastery by learning outcome (LO)", _observed(frame)),
        *(_listed(frame) if len(frame.mastery) <= MAX_LISTED else _counted(frame)),
    ]
    if frame.reason is not None:
        lines += ["", f"end of the episode: {frame.reason}"]
    return "\n".join(lines)


def _ends(left: str, right: str) -> str:
    """Return a line with text at both ends, and a space between them; a long left text is shortened."""
    room = WIDTH - len(right) - 1
    return f"{shortened(left, room):<{room}} {right}"


def shortened(text: str, width: int) -> str:
    """Return a text of at most `width` characters: the text, or its beginning and an ellipsis."""
    return text if len(text) <= width else f"{text[: max(0, width - 3)]}..."[:width]


def _observed(frame: Frame) -> str:
    """Return a note on whether the policy observes mastery."""
    return "hidden from the policy" if frame.mastery_is_hidden else "observed by the policy"


def _last_lines(frame: Frame) -> list[str]:
    """Return two lines on the last interaction."""
    if frame.last is None:
        unknown = "unknown, a snapshot was restored" if frame.step > 0 else "none yet"
        return [f"last          {unknown}", ""]
    last = frame.last
    numbers = f"mastery {last.gain:+.3f}, reward {last.reward:+.3f}"
    if frame.fail_streak > 1:
        numbers += f", {frame.fail_streak} wrong answers in a row"
    return [shortened(f"last          {describe(last)}", WIDTH), f"              {numbers}"]


def describe(last: LastInteraction) -> str:
    """Return a phrase that describes an interaction, in ASCII: the id of the item is escaped if necessary."""
    item = ascii_text(last.item)
    if last.is_question:
        answer = "correct" if last.correct else "wrong"
        return f"{last.level} question, LO {last.lo}: {answer} after {last.seconds:.1f} s ({item})"
    return f"{last.level}, LO {last.lo}: {last.seconds / 60:.0f} min ({item})"


def _number(value: float) -> str:
    return "unknown" if np.isnan(value) else f"{value:.2f}"


def _gauge(value: float, limit: float) -> str:
    """Return a bar with a mark at the limit that ends the episode, and both numbers."""
    filled, mark = round(float(value) * BAR), min(BAR - 1, round(limit * BAR))
    cells = ["#" if k < filled else "." for k in range(BAR)]
    cells[mark] = "|"
    return f"[{''.join(cells)}] {value:.2f}, limit {limit:.2f}"


def _listed(frame: Frame) -> list[str]:
    """Return rows of bars, one bar per LO, numbered down the columns; ">" marks the last interaction."""
    last = None if frame.last is None else frame.last.lo
    cells = []
    for lo, mastery in enumerate(frame.mastery.tolist()):
        filled = round(mastery * CELL_BAR)
        bar = "#" * filled + "." * (CELL_BAR - filled)
        cells.append(f"{'>' if lo == last else ' '}{lo:3d} [{bar}] {mastery:.2f}")
    rows = -(-len(cells) // COLUMNS)
    return [" ".join(cells[row::rows]).rstrip() for row in range(rows)]


def _counted(frame: Frame) -> list[str]:
    """Return a histogram of mastery over LOs, and the mastery of the LO of the last interaction."""
    counts, _ = np.histogram(frame.mastery, BINS, (0, 1))
    longest = max(1, counts.max())
    lines = [
        f"  {k / BINS:.1f} to {(k + 1) / BINS:.1f}  {'#' * round(BAR * count / longest):<{BAR}}  {count:4d} LOs"
        for k, count in enumerate(counts.tolist())
    ]
    if frame.last is not None:
        lo = frame.last.lo
        lines.append(f"  LO {lo} has mastery {frame.mastery[lo]:.2f}")
    return lines
