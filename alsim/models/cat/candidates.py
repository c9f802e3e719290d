"""Which items may be the best at an ability: lists with bounds that hold, so that few items are looked at.

[bounds of ability] are cut into cells. For each, the items are sorted by how good they can be anywhere in the cell. A
search goes along the list of its cell and ends where the bound falls below what it has found: a full scan finds the
same item, ties included.
"""

from __future__ import annotations

import numpy as np

from alsim.models.irt.curves import ItemParameters, curves, informations
from alsim.types import Doubles, Ints

CELLS = 161
"""Cells of the bounds: 1/20 logit each in [-4, 4]."""

WIDER = 1e-9
"""By which a cell is widened, in logits, and a bound, relatively: far more than rounding can move either."""

HALVINGS = 60
"""Of an interval of chances: it ends as narrow as float64 tells apart."""


def peaks(items: ItemParameters) -> tuple[Doubles, Doubles]:
    """Return where each item tells most, logits, and how much, 1/logit^2.

    With s and its bounds as of `curve`, information is a^2 (P - c)^2 (d - P)^2 / ((d - c)^2 P Q), and its logarithm has
    the slope

        h(P) = 2 / (P - c) - 2 / (d - P) - 1 / P + 1 / Q

    in P. Since P - c <= P and d - P <= Q, h falls all the way from c to d: it has one root, and information one peak,
    with any four parameters. Source: Magis (2013), who gives the root in closed form.
    """
    c, d = items.c, items.d
    low, high = c.copy(), d.copy()
    for _ in range(HALVINGS):
        p = (low + high) / 2
        with np.errstate(divide="ignore"):  # a middle may round to c or d
            rising = 2 / (p - c) - 2 / (d - p) - 1 / p + 1 / (1 - p) > 0
        low, high = np.where(rising, p, low), np.where(rising, high, p)
    with np.errstate(divide="ignore"):  # an item with a = 0 has no peak: it tells nothing anywhere
        where = items.b + np.log((low - c) / (d - low)) / items.a
    height = informations(*curves(np.where(np.isfinite(where), where, 0.0), *items.columns)[:3])
    return where, height


def information_bounds(items: ItemParameters, edges: Doubles) -> Doubles:
    """Return the most that each item tells in each cell between `edges` (C+1,): (C, I), 1/logit^2."""
    low, high = edges[:-1, None] - WIDER, edges[1:, None] + WIDER
    where, height = peaks(items)
    at_ends = [informations(*curves(edge, *items.columns)[:3]) for edge in (low, high)]
    # Where rounding leaves open on which side of an edge the peak lies, it is in the cell.
    within = (where >= low - WIDER) & (where <= high + WIDER)
    return np.where(within, height, np.maximum(*at_ends)) * (1 + WIDER) + 1e-300


def closeness_bounds(items: ItemParameters, edges: Doubles) -> Doubles:
    """Return minus the least distance of each difficulty from each cell: (C, I), logits."""
    low, high = edges[:-1, None] - WIDER, edges[1:, None] + WIDER
    return WIDER - np.maximum(np.maximum(low - items.b, items.b - high), 0.0) * (1 - WIDER)


def sorted_lists(bounds: Doubles) -> tuple[Ints, Doubles]:
    """Return for each cell the items, best bound first, and their bounds: flat."""
    order = np.argsort(-bounds, axis=1, kind="stable")
    return order.astype(np.int32).ravel(), np.take_along_axis(bounds, order, axis=1).ravel()
