"""Candidate lists for item selection: the items in order of an upper bound of the criterion, per cell of abilities.

The range of abilities is divided into cells. In each cell, the items are sorted by an upper bound of their criterion
anywhere in the cell. A search follows the list and ends where the bound is below the best value so far. It selects the
same item as a scan of all items, ties included.
"""

from __future__ import annotations

import numpy as np

from alsim.models.irt.curves import ItemParameters, curves, informations
from alsim.types import Doubles, Ints

CELLS = 161
"""Number of cells: 1/20 logit each in [-4, 4]."""

MARGIN = 1e-9
"""Margin of a cell, in logits, and of a bound, relative; far larger than the rounding errors of both."""

BISECTIONS = 60
"""Number of bisections of an interval of probabilities, which exhaust the precision of float64."""


def peaks(items: ItemParameters) -> tuple[Doubles, Doubles]:
    """Return the location (I,) and the height (I,) of each item's maximum of information, logits and 1/logit^2.

    With s, c and d as in `curve`, information is a^2 (P - c)^2 (d - P)^2 / ((d - c)^2 P Q). The derivative of its
    logarithm with respect to P is

        h(P) = 2 / (P - c) - 2 / (d - P) - 1 / P + 1 / Q

    Since P - c <= P and d - P <= Q, h decreases from c to d. It therefore has one root, and information has one
    maximum, for any four parameters. The location is infinite or NaN for an item with a = 0, which has no information.
    Source: Magis (2013), who gives the root in closed form.
    """
    c, d = items.c, items.d
    low, high = c.copy(), d.copy()
    for _ in range(BISECTIONS):
        p = (low + high) / 2
        with np.errstate(divide="ignore"):  # a midpoint may round to c or d
            is_rising = 2 / (p - c) - 2 / (d - p) - 1 / p + 1 / (1 - p) > 0
        low, high = np.where(is_rising, p, low), np.where(is_rising, high, p)
    with np.errstate(divide="ignore"):  # a = 0
        location = items.b + np.log((low - c) / (d - low)) / items.a
    height = informations(*curves(np.where(np.isfinite(location), location, 0.0), *items.columns)[:3])
    return location, height


def information_bounds(items: ItemParameters, edges: Doubles) -> Doubles:
    """Return upper bounds (C, I) of each item's information in each cell, 1/logit^2.

    edges  (C+1,) edges of the cells, logits
    """
    low, high = edges[:-1, None] - MARGIN, edges[1:, None] + MARGIN
    location, height = peaks(items)
    at_edges = [informations(*curves(edge, *items.columns)[:3]) for edge in (low, high)]
    # A peak near an edge counts as inside the cell, since rounding may have moved it.
    has_peak = (location >= low - MARGIN) & (location <= high + MARGIN)
    return np.where(has_peak, height, np.maximum(*at_edges)) * (1 + MARGIN) + 1e-300


def closeness_bounds(items: ItemParameters, edges: Doubles) -> Doubles:
    """Return upper bounds (C, I) of minus the distance of each difficulty from an ability in each cell, logits.

    edges  (C+1,) edges of the cells, logits
    """
    low, high = edges[:-1, None] - MARGIN, edges[1:, None] + MARGIN
    return MARGIN - np.maximum(np.maximum(low - items.b, items.b - high), 0.0) * (1 - MARGIN)


def sorted_lists(bounds: Doubles) -> tuple[Ints, Doubles]:
    """Return the items (C * I,) of each cell in order of decreasing bound, and their bounds (C * I,); ties by index."""
    order = np.argsort(-bounds, axis=1, kind="stable")
    return order.astype(np.int32).ravel(), np.take_along_axis(bounds, order, axis=1).ravel()
