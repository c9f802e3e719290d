"""Dashboard: the picture of a frame, 960 by 540 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from alsim.envs.rendering.canvas import Box, Canvas, Colour, Point
from alsim.envs.rendering.frame import Frame, LastInteraction

WIDTH, HEIGHT = 960, 540
"""Size of a picture in pixels; even numbers, as video codecs require."""

# Colours that people with colour-vision deficiency can distinguish (Okabe and Ito); each also has a label.
WHITE, INK, MUTED, GRID, TRACK = (255, 255, 255), (31, 41, 51), (99, 110, 123), (226, 230, 234), (236, 239, 242)
BLUE, LIGHT_BLUE, VERMILLION, GREEN, LOST = (0, 114, 178), (153, 199, 224), (213, 94, 0), (0, 128, 96), (204, 211, 218)

TITLE, HEADING, LARGE, BODY, SMALL = 22, 15, 18, 14, 12
"""Sizes of text in pixels."""

MARGIN = 28
TOP, MIDDLE = 98, 348  # baselines of the headings
RULE = 58  # y of the progress of the episode
BARS: Box = (62, 122, 640, 282)
COURSE: Box = (62, 374, 640, 486)
SIDE_LEFT, SIDE_RIGHT = 688, WIDTH - MARGIN
GAUGES = (TOP, 172)  # baselines of the names of the gauges

WIDEST_BAR, NARROWEST_BAR = 56, 2
LABEL_ROOM = 26
"""Pixels to both sides of the label of the last interaction that have no other label."""

LEVELS = (0.0, 0.5, 1.0)
STEPS = (1, 2, 5)


def draw(frame: Frame) -> NDArray[np.uint8]:
    """Return the picture of a frame, (540, 960, 3). Raises MissingExtra without Pillow."""
    limits = (frame.mastery_threshold, frame.max_frustration)
    canvas = _background(len(frame.mastery), frame.max_steps, *limits, frame.mastery_is_hidden).copy()
    _draw_header(canvas, frame)
    _draw_bars(canvas, frame)
    _draw_course(canvas, frame)
    _draw_gauges(canvas, frame)
    _draw_last(canvas, frame)
    _draw_totals(canvas, frame)
    return canvas.array()


@lru_cache(maxsize=8)
def _background(num_los: int, max_steps: int, mastery_threshold: float, max_frustration: float, hidden: bool) -> Canvas:
    """Return the parts that all pictures of an environment have: headings, grids, axes and limits."""
    canvas = Canvas.blank(WIDTH, HEIGHT, WHITE)
    notes = ["hidden from the policy"] if hidden else []
    if (group := _group_size(num_los)) > 1:
        notes.append(f"each bar: mean of {group} outcomes")
    _draw_heading(canvas, TOP, "Mastery by learning outcome", "; ".join(notes))
    _draw_heading(canvas, MIDDLE, "Course of the episode", "dashed lines: limits that end it")
    _draw_legend(canvas, MIDDLE, (("frustration", VERMILLION), ("mean mastery", BLUE)))
    for box in (BARS, COURSE):
        for level in LEVELS:
            y = _height(box, level)
            canvas.fill((box[0], y, box[2], y + 1), GRID)
            canvas.text(box[0] - 10, y + 4, f"{level:.1f}", SMALL, MUTED, "right")
    for value, colour in ((mastery_threshold, BLUE), (max_frustration, VERMILLION)):
        canvas.dashed(COURSE[0], COURSE[2], _height(COURSE, value), colour)
    _draw_step_axis(canvas, max_steps)
    canvas.text(SIDE_LEFT, 264, "Last interaction", HEADING, INK)
    canvas.fill((SIDE_LEFT, 236, SIDE_RIGHT, 237), GRID)
    canvas.fill((SIDE_LEFT, 406, SIDE_RIGHT, 407), GRID)
    return canvas


def _draw_heading(canvas: Canvas, y: float, heading: str, note: str) -> None:
    """Draw the heading of a chart, and a note on it."""
    canvas.text(MARGIN, y, heading, HEADING, INK)
    canvas.text(MARGIN + canvas.width_of(heading, HEADING) + 14, y, note, SMALL, MUTED)


def _draw_legend(canvas: Canvas, y: float, entries: Sequence[tuple[str, Colour]]) -> None:
    """Draw a legend at the right end of a heading; the first entry is the rightmost."""
    x: float = BARS[2]
    for name, colour in entries:
        canvas.text(x, y, name, SMALL, MUTED, "right")
        x -= canvas.width_of(name, SMALL) + 16
        canvas.fill((x, y - 9, x + 10, y + 1), colour, 2)
        x -= 14


def _draw_step_axis(canvas: Canvas, max_steps: int) -> None:
    """Draw the axis of interactions."""
    left, _, right, bottom = COURSE
    for step in _ticks(max_steps + 1, (right - left) / max_steps):
        x = left + (right - left) * step / max_steps
        canvas.fill((x, bottom, x + 1, bottom + 5), MUTED)
        canvas.text(x, bottom + 19, str(step), SMALL, MUTED, "middle")
    canvas.fill((left, bottom, right, bottom + 1), MUTED)
    canvas.text(right, bottom + 37, "interactions", SMALL, MUTED, "right")


def _draw_header(canvas: Canvas, frame: Frame) -> None:
    """Draw who is taught and the progress of the episode."""
    title = f"Learner {frame.learner}"
    canvas.text(MARGIN, 42, title, TITLE, INK)
    x = MARGIN + canvas.width_of(title, TITLE) + 14
    lane = "" if frame.lane is None else f"lane {frame.lane} · "
    progress = f"step {frame.step} of {frame.max_steps}"
    room = SIDE_RIGHT - canvas.width_of(progress, LARGE) - 14 - x
    names = f"{lane}seed {frame.seed} · episode {frame.episode}"
    canvas.text(x, 42, canvas.shortened(names, BODY, room), BODY, MUTED)
    canvas.text(SIDE_RIGHT, 42, progress, LARGE, INK, "right")
    canvas.fill((MARGIN, RULE, SIDE_RIGHT, RULE + 4), TRACK)
    share = min(1.0, frame.step / frame.max_steps)
    canvas.fill((MARGIN, RULE, MARGIN + share * (SIDE_RIGHT - MARGIN), RULE + 4), INK)


def _draw_bars(canvas: Canvas, frame: Frame) -> None:
    """Draw one bar per learning outcome, or per group of neighbours if there are too many."""
    left, _, right, bottom = BARS
    num_los = len(frame.mastery)
    group = _group_size(num_los)
    mastery, start = _means(frame.mastery, group), _means(frame.mastery_at_start, group)
    pitch = min(float(WIDEST_BAR), (right - left) / len(mastery))
    gap = 0.0 if pitch < 4 else max(1.0, 0.22 * pitch)
    origin = (left + right - pitch * len(mastery)) / 2
    start = np.where(np.isnan(start), mastery, start)
    lost = bool((mastery < start).any())
    for k, (now, before) in enumerate(zip(mastery.tolist(), start.tolist(), strict=True)):
        x0, x1 = origin + k * pitch + gap / 2, origin + (k + 1) * pitch - gap / 2
        canvas.fill((x0, _height(BARS, before), x1, _height(BARS, now)), LOST)
        canvas.fill((x0, _height(BARS, now), x1, _height(BARS, before)), BLUE)
        canvas.fill((x0, _height(BARS, min(before, now)), x1, bottom), LIGHT_BLUE)
    canvas.fill((left, bottom, right, bottom + 1), MUTED)
    entries = [("gained", BLUE), *([("lost", LOST)] if lost else []), ("at the start", LIGHT_BLUE)]
    _draw_legend(canvas, TOP, [("now; start unknown", LIGHT_BLUE)] if frame.is_restored else entries)
    _draw_outcome_axis(canvas, frame, group, origin, pitch)


def _draw_outcome_axis(canvas: Canvas, frame: Frame, group: int, origin: float, pitch: float) -> None:
    """Draw the numbers of the learning outcomes, and a mark below that of the last interaction."""
    bottom, num_los = BARS[3], len(frame.mastery)
    last = None if frame.last is None else frame.last.lo
    marked = None if last is None else origin + (last // group + 0.5) * pitch
    for lo in _ticks(num_los, pitch / group):
        x = origin + (lo // group + 0.5) * pitch
        if marked is None or abs(x - marked) > LABEL_ROOM:
            canvas.text(x, bottom + 19, str(lo), SMALL, MUTED, "middle")
    if marked is not None:
        canvas.triangle(marked, bottom + 4, 4, INK)
        canvas.text(marked, bottom + 22, str(last), BODY, INK, "middle")


def _draw_course(canvas: Canvas, frame: Frame) -> None:
    """Draw mean mastery and frustration from the start of the episode, and the limits that end it."""
    left, top, right, bottom = COURSE
    inside = (left - 6, top - 6, right + 6, bottom + 6)
    for values, colour in ((frame.frustration, VERMILLION), (frame.mean_mastery, BLUE)):
        if points := _points(values, frame.max_steps):
            canvas.curve(points, inside, colour)


def _points(values: NDArray[np.float32], max_steps: int) -> list[Point]:
    """Return the points of a curve in COURSE; steps before a restored snapshot are unknown, and left out."""
    left, _, right, _ = COURSE
    known = np.flatnonzero(np.isfinite(values))
    x = left + (right - left) * known / max_steps
    return [(px, _height(COURSE, value)) for px, value in zip(x.tolist(), values[known].tolist(), strict=True)]


def _draw_gauges(canvas: Canvas, frame: Frame) -> None:
    """Draw frustration and mean mastery as gauges with their limits."""
    width = SIDE_RIGHT - SIDE_LEFT
    gauges = (
        ("Frustration", frame.frustration[-1], frame.max_frustration, VERMILLION),
        ("Mean mastery", frame.mean_mastery[-1], frame.mastery_threshold, BLUE),
    )
    for y, (name, value, limit, colour) in zip(GAUGES, gauges, strict=True):
        canvas.text(SIDE_LEFT, y, name, HEADING, INK)
        canvas.text(SIDE_RIGHT, y, f"{value:.2f}", LARGE, INK, "right")
        canvas.fill((SIDE_LEFT, y + 12, SIDE_RIGHT, y + 24), TRACK, 3)
        canvas.fill((SIDE_LEFT, y + 12, SIDE_LEFT + float(value) * width, y + 24), colour, 3)
        mark, caption = SIDE_LEFT + limit * width, f"ends the episode at {limit:.2f}"
        canvas.fill((mark - 1, y + 9, mark + 1, y + 27), INK)
        half = canvas.width_of(caption, SMALL) / 2
        canvas.text(min(max(mark, SIDE_LEFT + half), SIDE_RIGHT - half), y + 42, caption, SMALL, MUTED, "middle")


def _draw_last(canvas: Canvas, frame: Frame) -> None:
    """Draw the last interaction: what it was, its result, and what it changed."""
    last = frame.last
    if last is None:
        text = "none yet" if frame.step == 0 else "unknown: a snapshot was restored"
        canvas.text(SIDE_LEFT, 292, text, BODY, MUTED)
        return
    canvas.text(SIDE_LEFT, 292, f"{last.level} question" if last.is_question else f"Content: {last.level}", LARGE, INK)
    canvas.text(SIDE_LEFT, 313, _place(canvas, frame, last), SMALL, MUTED)
    if last.is_question:
        word, colour = ("correct", GREEN) if last.correct else ("wrong", VERMILLION)
        width = canvas.width_of(word, BODY) + 20
        canvas.fill((SIDE_RIGHT - width, 274, SIDE_RIGHT, 298), colour, 5)
        canvas.text(SIDE_RIGHT - 10, 291, word, BODY, WHITE, "right")
    rows = (
        ("response time", f"{last.seconds:.1f} s")
        if last.is_question
        else ("duration", f"{last.seconds / 60:.0f} min"),
        ("gain in mastery", f"{last.gain:+.3f}"),
        ("reward", f"{last.reward:+.3f}"),
    )
    for k, row in enumerate(rows):
        _draw_row(canvas, 341 + 22 * k, *row)


def _place(canvas: Canvas, frame: Frame, last: LastInteraction) -> str:
    """Return the LO and the item of an interaction; the font has printable ASCII only: other names are omitted."""
    name = frame.outcomes[last.lo]
    others = [text for text in (name, last.item) if text.isascii() and text.isprintable() and text != str(last.lo)]
    words = [f"LO {last.lo}", *others]
    return canvas.shortened(" · ".join(words), SMALL, SIDE_RIGHT - SIDE_LEFT)


def _draw_totals(canvas: Canvas, frame: Frame) -> None:
    """Draw the return, the latent ability, and the end of the episode."""
    total = "unknown" if frame.is_restored else f"{frame.episode_return:.2f}"
    _draw_row(canvas, 431, "return so far", total)
    _draw_row(canvas, 453, "wrong answers in a row", str(frame.fail_streak))
    _draw_row(canvas, 475, "ability, latent", f"{frame.ability:+.2f} logits")
    if frame.reason is not None:
        canvas.fill((SIDE_LEFT, 493, SIDE_RIGHT, 521), INK, 5)
        text = f"episode over: {frame.reason.replace('_', ' ')}"
        canvas.text((SIDE_LEFT + SIDE_RIGHT) / 2, 512, text, BODY, WHITE, "middle")


def _draw_row(canvas: Canvas, y: float, name: str, value: str) -> None:
    """Draw a name and its value at both ends of the right column."""
    canvas.text(SIDE_LEFT, y, name, BODY, MUTED)
    canvas.text(SIDE_RIGHT, y, value, BODY, INK, "right")


def _height(box: Box, value: float) -> float:
    """Return the y of a value in [0, 1] in a box."""
    return box[3] - value * (box[3] - box[1])


def _group_size(num_los: int) -> int:
    """Return the number of learning outcomes that share a bar: more than 1 if their bars would be too narrow."""
    return -(-num_los * NARROWEST_BAR // int(BARS[2] - BARS[0]))


def _means(values: NDArray[np.float32], group: int) -> NDArray[np.float64]:
    """Return the means of groups of neighbours; the last group may be smaller."""
    starts = np.arange(0, len(values), group)
    sums = np.add.reduceat(values.astype(np.float64), starts)
    return np.asarray(sums / np.diff(np.append(starts, len(values))))


def _ticks(count: int, pixels: float) -> list[int]:
    """Return round numbers in [0, count), with room for the label of each.

    pixels  between two consecutive numbers
    """
    room = 12 + 8 * len(str(count))
    step = next(m * 10**e for e in range(12) for m in STEPS if m * 10**e * pixels >= room)
    return list(range(0, count, step))
