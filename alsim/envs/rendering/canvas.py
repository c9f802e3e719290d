"""Canvas: text and shapes on a picture, drawn with Pillow, which is imported at the first picture."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.utils.optional import require

SMOOTHING = 3
"""Lines are drawn this many times larger and reduced, for smooth edges."""

Colour = tuple[int, int, int]
Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels; the right and bottom edges are outside."""

BITMAP_METRICS = (9, 3)
"""Pixels above and below the baseline of the font without FreeType."""

ALIGNMENT = {"left": 0.0, "middle": 0.5, "right": 1.0}


class Pillow(NamedTuple):
    """Modules of Pillow."""

    image: ModuleType
    draw: ModuleType
    font: ModuleType


@lru_cache(maxsize=1)
def pillow() -> Pillow:
    """Return the modules of Pillow. Raises MissingExtra if it is not installed."""
    names = ("PIL.Image", "PIL.ImageDraw", "PIL.ImageFont")
    return Pillow(*(require(name, "render", "render_mode='rgb_array'") for name in names))


@lru_cache(maxsize=32)
def font(size: int) -> Any:
    """Return the font that Pillow includes, in a size in pixels; in its only size if Pillow lacks FreeType."""
    try:
        return pillow().font.load_default(size)
    except ImportError:
        return pillow().font.load_default()


@lru_cache(maxsize=2048)
def text_mask(text: str, size: int) -> tuple[Any, int, float]:
    """Return a line of text as a mask, the height of its baseline in it, and its width, in pixels.

    Most texts recur in every picture.
    """
    face = font(size)
    ascent, descent = face.getmetrics() if hasattr(face, "getmetrics") else BITMAP_METRICS
    width = float(face.getlength(text))
    mask = pillow().image.new("L", (round(width) + 2, ascent + descent), 0)
    pillow().draw.Draw(mask).text((0, 0), text, font=face, fill=255)
    return mask, ascent, width


class Canvas:
    """A picture in progress.

    image  image of Pillow to draw on
    """

    def __init__(self, image: Any) -> None:
        self.image = image
        self._draw = pillow().draw.Draw(image)

    @classmethod
    def blank(cls, width: int, height: int, colour: Colour) -> Canvas:
        """Return a canvas of one colour."""
        return cls(pillow().image.new("RGB", (width, height), colour))

    def copy(self) -> Canvas:
        """Return a copy."""
        return Canvas(self.image.copy())

    def array(self) -> NDArray[np.uint8]:
        """Return the picture as a new array (H, W, 3)."""
        return np.array(self.image, np.uint8)

    def text(self, x: float, y: float, text: str, size: int, colour: Colour, align: str = "left") -> None:
        """Write a line of text.

        x, y   position of its left end, middle or right end, on the baseline
        size   in pixels
        align  "left", "middle" or "right"
        """
        mask, ascent, width = text_mask(text, size)
        left = round(x - ALIGNMENT[align] * width)
        self.image.paste(colour, (left, round(y) - ascent), mask)

    def width_of(self, text: str, size: int) -> float:
        """Return the width of a line of text in pixels."""
        return text_mask(text, size)[2]

    def shortened(self, text: str, size: int, width: float) -> str:
        """Return a text that fits a width in pixels: the text, or its beginning and an ellipsis."""
        if len(text) <= width and self.width_of(text, size) <= width:
            return text
        text = text[: max(0, int(width))]  # every character is wider than a pixel
        while text and self.width_of(f"{text}...", size) > width:
            text = text[:-1]
        return f"{text.rstrip()}..."

    def fill(self, box: Box, colour: Colour, radius: int = 0) -> None:
        """Fill a rectangle, with rounded corners of a radius in pixels; an empty rectangle is not drawn."""
        left, top, right, bottom = map(round, box)
        if right <= left or bottom <= top:
            return
        inside = (left, top, right - 1, bottom - 1)
        if radius:
            self._draw.rounded_rectangle(inside, min(radius, (right - left) // 2), fill=colour)
        else:
            self._draw.rectangle(inside, fill=colour)

    def dashed(self, left: float, right: float, y: float, colour: Colour) -> None:
        """Draw a horizontal dashed line, 1 pixel thick."""
        for x in range(round(left), round(right), 7):
            self.fill((x, y, min(x + 4, right), y + 1), colour)

    def curve(self, points: list[Point], box: Box, colour: Colour, thickness: float = 2.0) -> None:
        """Draw a smooth line through points within a box, both in pixels."""
        left, top, right, bottom = map(round, box)
        size = ((right - left) * SMOOTHING, (bottom - top) * SMOOTHING)
        mask = pillow().image.new("L", size, 0)
        scaled = [((x - left) * SMOOTHING, (y - top) * SMOOTHING) for x, y in points]
        width = round(thickness * SMOOTHING)
        draw = pillow().draw.Draw(mask)
        if len(scaled) > 1:
            draw.line(scaled, fill=255, width=width, joint="curve")
        end_x, end_y = scaled[-1]
        draw.ellipse((end_x - 1.5 * width, end_y - 1.5 * width, end_x + 1.5 * width, end_y + 1.5 * width), fill=255)
        self.image.paste(colour, (left, top, right, bottom), mask.reduce(SMOOTHING))

    def triangle(self, x: float, y: float, size: int, colour: Colour) -> None:
        """Draw a triangle that points up to (x, y)."""
        self._draw.polygon([(x, y), (x - size, y + size), (x + size, y + size)], fill=colour)
