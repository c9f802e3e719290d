"""Parts of the figures about policies: a narrow page with a layout in points, names, labels and colours.

The pages are 5.2 inches wide: on a telephone, at 390 pixels, the smallest text has 8.8 pixels. Colours differ in
lightness from white, and lines also by style and marker, so that the figures are readable in grey.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from alsim.types import Doubles
from alsim.utils.figures import new_figure
from alsim.utils.optional import require
from alsim.utils.text import printable

POINTS = 72
"""Points per inch."""
WIDTH = 5.2 * POINTS
"""Width of a page, points. All lengths below are points, from the upper left corner."""
MARGIN = 6.0
INNER = WIDTH - 2 * MARGIN
TEXT, SMALL, TITLE = 9.0, 8.5, 11.0
"""Sizes of the text."""
LINE = 11.5
"""Height of a line of text."""
INK, MUTED, FAINT, GRID = "#222222", "#5f5f5f", "#a8a8a8", "#e6e6e6"
"""Colours of text, of less important text, of lines in the background, and of the grid."""
NAME_WIDTH = 124.0
"""Largest width of the name of a policy; longer names lose their middle."""
ELLIPSIS = "…"


class Style(NamedTuple):
    """Marks of a policy in all panels of a figure."""

    color: str
    line: str
    marker: str


STYLES = (
    Style("#111111", "-", "o"),
    Style("#0b6e99", "-", "s"),
    Style("#b5532a", "--", "^"),
    Style("#2e7d32", "-.", "D"),
    Style("#8e4b9e", ":", "v"),
    Style("#8a6d00", (0, (5, 1, 1, 1, 1, 1)), "P"),  # type: ignore[arg-type]  # lengths of dashes and gaps
    Style("#c2416b", (0, (3, 3)), "X"),  # type: ignore[arg-type]
    Style("#4a4fb0", (0, (8, 2)), "p"),  # type: ignore[arg-type]
)
"""Styles of the highlighted policies: each differs from the others by line and marker, not by colour alone."""
OTHERS = Style(FAINT, "-", ".")
"""Style of the policies in the background."""


class Page:
    """Figure of a height in points, in which texts and diagrams have positions in points."""

    def __init__(self, height: float) -> None:
        """Create an empty page."""
        self.height = height
        self.figure = new_figure(WIDTH / POINTS, height / POINTS)
        self.figure.set_layout_engine("none")

    def text(self, left: float, top: float, text: str, size: float = TEXT, **options: Any) -> Any:
        """Write text, by default below and to the right of a point; dollar signs are ordinary characters."""
        settings = {"color": INK, "va": "top", "parse_math": False} | options
        return self.figure.text(left / WIDTH, 1 - top / self.height, text, fontsize=size, **settings)

    def box(self, left: float, top: float, width: float, height: float, color: Any, **options: Any) -> None:
        """Draw a rectangle, filled with a colour unless that is None, by default with a grey edge."""
        patch = require("matplotlib.patches", "plot", "a figure").Rectangle(
            (left / WIDTH, 1 - (top + height) / self.height),
            width / WIDTH,
            height / self.height,
            fill=color is not None,
            facecolor=color,
            transform=self.figure.transFigure,
            **({"edgecolor": GRID, "linewidth": 0.6} | options),
        )
        self.figure.add_artist(patch)

    def axes(self, left: float, top: float, width: float, height: float) -> Any:
        """Add a diagram, whose frame is this rectangle."""
        box = (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        axes = self.figure.add_axes(box)
        axes.tick_params(labelsize=SMALL, labelcolor=INK, color=FAINT, length=2.5, pad=2)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        axes.set_axisbelow(True)
        return axes


class Block(NamedTuple):
    """Part of a page over its whole width: its height, and the function that draws it below a distance from the top."""

    height: float
    draw: Callable[[Page, float], None]


def stack(blocks: Sequence[Block]) -> Any:
    """Return a figure with blocks one below the other."""
    page, top = Page(sum(block.height for block in blocks) + 2 * MARGIN), MARGIN
    for block in blocks:
        block.draw(page, top)
        top += block.height
    return page.figure


def paragraph(text: str, size: float = SMALL, *, after: float = 4.0, **options: Any) -> Block:
    """Return a block of text, with a space after it."""
    lines, height = wrap(text, size, INNER), LINE * max(1.0, size / TEXT)

    def draw(page: Page, top: float) -> None:
        for number, line in enumerate(lines):
            page.text(MARGIN, top + number * height, line, size, **options)

    return Block(len(lines) * height + after, draw)


def heading(text: str) -> Block:
    """Return the title of a panel."""
    return paragraph(text, TEXT, after=2.0, weight="bold")


def note(text: str) -> Block:
    """Return a remark about a panel."""
    return paragraph(text, color=MUTED)


def width_of(text: str, size: float) -> float:
    """Return the width of a line of text in points."""
    font = require("matplotlib.font_manager", "plot", "a figure").FontProperties(size=size)
    path = require("matplotlib.textpath", "plot", "a figure").text_to_path
    return float(path.get_text_width_height_descent(text, font, False)[0])


def wrap(text: str, size: float, width: float) -> list[str]:
    """Return the lines of a paragraph, each at most this wide unless one word is wider."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and width_of(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def short_names(labels: Iterable[str], size: float = SMALL, width: float = NAME_WIDTH) -> dict[str, str]:
    """Return the labels without control characters, at most this wide: long ones lose characters in the middle.

    Labels that would become equal get a number.
    """
    found: dict[str, str] = {}
    for label in labels:
        name, number = _shorten(printable(label), size, width), 2
        while name in found.values():
            end = f" ({number})"
            name, number = _shorten(printable(label), size, width - width_of(end, size)) + end, number + 1
        found[label] = name
    return found


def _shorten(text: str, size: float, width: float) -> str:
    """Return the text, or as many characters of its start and its end as fit."""
    if width_of(text, size) <= width:
        return text
    for kept in range(min(len(text) - 1, 200), 0, -1):
        head = kept // 2
        shorter = text[:head] + ELLIPSIS + text[len(text) - (kept - head) :]
        if width_of(shorter, size) <= width:
            return shorter
    return ELLIPSIS


def spread(wanted: Sequence[float], distance: float, low: float, high: float) -> Doubles:
    """Return the positions closest to the wanted ones, by least squares, that keep a distance and their order.

    wanted     (n,) positions
    low, high  limits of the positions; n labels need at least (n - 1) * distance
    """
    order = np.argsort(wanted, kind="stable")
    steps = np.arange(len(order)) * distance
    blocks: list[tuple[float, int]] = []  # mean and size of groups of adjacent labels, ascending (isotonic regression)
    for value in np.asarray(wanted, np.float64)[order] - steps:
        mean, size = float(value), 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean, size = (mean * size + before * count) / (size + count), size + count
        blocks.append((mean, size))
    fitted = np.repeat([mean for mean, _ in blocks], [size for _, size in blocks])
    positions = np.empty(len(order))
    positions[order] = np.clip(fitted, low, max(low, high - (len(order) - 1) * distance)) + steps
    return positions


def label_ends(axes: Any, ends: Mapping[str, tuple[float, float, str]], height: float) -> None:
    """Write names to the right of the ends of lines, each with a line to its end; names do not overlap.

    ends    horizontal and vertical position of each end in the data, and the colour, by name
    height  height of the diagram, points
    """
    low, high = axes.get_ylim()
    scale = height / (high - low)
    heights = [(y - low) * scale for _, y, _ in ends.values()]
    places = spread(heights, SMALL + 1.5, 0.0, height)
    for (name, (x, y, color)), own, place in zip(ends.items(), heights, places, strict=True):
        line = {"arrowstyle": "-", "color": color, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
        axes.annotate(
            name,
            (x, y),
            (14, place - own),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=INK,
            parse_math=False,
            arrowprops=line,
            annotation_clip=False,
        )


def limits(values: Iterable[float], share: float = 0.06) -> tuple[float, float]:
    """Return limits of an axis that contain all defined values, with a margin; also for equal values, or none."""
    defined = [value for value in values if np.isfinite(value)]
    low, high = (min(defined), max(defined)) if defined else (0.0, 1.0)
    margin = (high - low) * share or max(abs(high), 1.0) * share
    return low - margin, high + margin


def luminance(color: Sequence[float]) -> float:
    """Return the relative luminance of a colour, red, green and blue in [0, 1]. Source: WCAG 2.2."""
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in color[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrasting(color: Sequence[float]) -> str:
    """Return black or white, the one with the larger contrast to a background colour: at least 4.5."""
    own = luminance(color)
    return "#000000" if (own + 0.05) / 0.05 >= 1.05 / (own + 0.05) else "#ffffff"


__all__ = [
    "FAINT",
    "GRID",
    "INK",
    "INNER",
    "LINE",
    "MARGIN",
    "MUTED",
    "NAME_WIDTH",
    "OTHERS",
    "SMALL",
    "STYLES",
    "TEXT",
    "TITLE",
    "WIDTH",
    "Block",
    "Page",
    "Style",
    "contrasting",
    "heading",
    "label_ends",
    "limits",
    "luminance",
    "note",
    "paragraph",
    "short_names",
    "spread",
    "stack",
    "width_of",
    "wrap",
]
