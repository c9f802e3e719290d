"""Places of the labels of points in a diagram, without overlaps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

RADII = (0.0, 3.0, 7.0, 12.0, 18.0, 26.0, 36.0, 48.0, 62.0, 80.0, 100.0, 120.0)
"""Distances between a mark and its label that are tried, points."""
DIRECTIONS = 24
"""Number of directions that are tried at each distance, from the right."""


class Rectangle(NamedTuple):
    """Rectangle in a diagram, points from the lower left corner of the diagram."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Rectangle) -> bool:
        """Return whether the rectangles have common points within them."""
        across = self.left < other.right and other.left < self.right
        return across and self.bottom < other.top and other.bottom < self.top

    def contains(self, other: Rectangle) -> bool:
        """Return whether the other rectangle lies within this one."""
        across = self.left <= other.left and other.right <= self.right
        return across and self.bottom <= other.bottom and other.top <= self.top


Position = tuple[float, float]


def place_labels(
    points: Mapping[str, Position],
    sizes: Mapping[str, Position],
    mark: float,
    frame: Rectangle,
    *,
    obstacles: Sequence[Rectangle] = (),
    farthest: float = RADII[-1],
) -> dict[str, Rectangle] | None:
    """Return the place of the label of each point: the closest one that overlaps no mark, obstacle or other label.

    The line from a point to its label crosses no other label. The points with the fewest free places around them come
    first (a greedy method). The result depends on the arguments only.

    points     position of each point, points from the lower left corner
    sizes      width and height of each label
    mark       width of a mark
    frame      rectangle that contains all labels
    obstacles  rectangles that the labels leave free, too
    farthest   largest distance between a mark and its label

    Returns None if a label has no place.
    """
    half = mark / 2
    taken = [*(Rectangle(x - half, y - half, x + half, y + half) for x, y in points.values()), *obstacles]
    free = {
        label: [
            place for place in _candidates(points[label], sizes[label], half, farthest) if _fits(place, taken, frame)
        ]
        for label in points
    }
    found: dict[str, Rectangle] = {}
    for label in sorted(points, key=lambda label: len(free[label])):
        others = [(points[other], place) for other, place in found.items()]
        place = next((one for one in free[label] if _is_clear(points[label], one, others)), None)
        if place is None:
            return None
        found[label] = place
    return {label: found[label] for label in points}


def _fits(place: Rectangle, taken: Sequence[Rectangle], frame: Rectangle) -> bool:
    return frame.contains(place) and not any(map(place.overlaps, taken))


def _is_clear(point: Position, place: Rectangle, others: Sequence[tuple[Position, Rectangle]]) -> bool:
    """Return whether a label overlaps no other one, and no line to a label crosses another label."""
    own = _line(point, place)
    return not any(
        place.overlaps(other) or any(map(other.overlaps, own)) or any(map(place.overlaps, _line(start, other)))
        for start, other in others
    )


def _line(point: Position, place: Rectangle) -> list[Rectangle]:
    """Return small rectangles along the line from a point to the middle of its label."""
    middle = (place.left + place.right) / 2, (place.bottom + place.top) / 2
    count = max(1, math.ceil(math.dist(point, middle) / 2))
    places = ((point[k] + (middle[k] - point[k]) * step / count for k in range(2)) for step in range(count + 1))
    return [Rectangle(x - 0.5, y - 0.5, x + 0.5, y + 0.5) for x, y in places]


def _candidates(point: Position, size: Position, half: float, farthest: float) -> Iterator[Rectangle]:
    """Yield places for a label around a point, the closest ones first."""
    width, height = size
    for radius in (one for one in RADII if one <= farthest):
        for k in range(DIRECTIONS):
            angle = math.tau * k / DIRECTIONS
            x, y = math.cos(angle), math.sin(angle)
            # The centre moves on a rectangle with round corners around the mark.
            scale = max(abs(x), abs(y))
            across = point[0] + x / scale * (half + width / 2) + x * radius
            up = point[1] + y / scale * (half + height / 2) + y * radius
            yield Rectangle(across - width / 2, up - height / 2, across + width / 2, up + height / 2)


__all__ = ["Rectangle", "place_labels"]
