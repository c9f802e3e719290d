"""Item response curves of one to four parameters, and the information in them: float64, on the logistic scale.

Each formula stands here once, as a `rule`: for one person and one item within compiled loops, and for whole arrays
in the public functions, since it is written with NumPy functions. `alsim.dynamics.irt.p_correct` is the same curve with
d = 1 in float32, with an exponential that gives the same bits on every machine: what simulated learners answer by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError
from alsim.jit.compile import rule
from alsim.types import Doubles, Longs

FARTHEST = 700.0
"""|a (theta - b)| counts as no more: the curve is within 1e-304 of its asymptote, and no float64 overflows."""


@rule
def curve(theta: float, a: float, b: float, c: float, d: float) -> tuple[float, float, float, float]:
    """Return the chances of a correct and of a wrong answer, and the slope and bend of the first.

        s = 1 / (1 + exp(-a (theta - b)))      P = c + (d - c) s           Q = 1 - P
        P' = dP / dtheta = a (d - c) s (1 - s)                             P'' = a P' (1 - 2 s)

    theta   ability, logits
    a       discrimination, 1/logit; D = 1
    b       difficulty, logits
    c       lower asymptote: pseudo-guessing
    d       upper asymptote

    1 - s and Q are not differences from 1, so that both tails keep their digits.
    Source: Barton & Lord (1981), An upper asymptote for the three-parameter logistic item-response model.
    """
    x = np.minimum(np.maximum(a * (theta - b), -FARTHEST), FARTHEST)
    falling = np.exp(-x)
    s = 1.0 / (1.0 + falling)
    rest = falling * s
    slope = a * (d - c) * s * rest
    return c + (d - c) * s, (1.0 - d) + (d - c) * rest, slope, a * slope * (rest - s)


@rule
def item_information(p: float, q: float, slope: float) -> float:
    """Return the Fisher information in one answer about ability, 1/logit^2, of what `curve` returns.

        I = P'^2 / (P Q)

    Source: Birnbaum (1968) in Lord & Novick, ch. 20; Magis (2013), A note on the item information function of the
    four-parameter logistic model.
    """
    return slope * (slope / (p * q))


# The same, of arrays that broadcast.
curves = cast(Callable[..., tuple[Doubles, Doubles, Doubles, Doubles]], getattr(curve, "py_func", curve))
informations = cast(Callable[..., Doubles], getattr(item_information, "py_func", item_information))


class ItemParameters:
    """I calibrated items.

    a  (I,) discrimination, 1/logit: 1 for the Rasch model. Finite; a calibration may find it below 0
    b  (I,) difficulty, logits; finite
    c  (I,) lower asymptote, the chance of those who know nothing, in [0, 1)
    d  (I,) upper asymptote, in (c, 1]

    A number stands for all items. Raises AlsimError for lengths that differ, no items, and values out of range.
    """

    def __init__(self, a: ArrayLike, b: ArrayLike, c: ArrayLike = 0.0, d: ArrayLike = 1.0) -> None:
        self.a, self.b, self.c, self.d = _columns(a, b, c, d)
        for name, good, expected in (
            ("a", np.isfinite(self.a), "finite"),
            ("b", np.isfinite(self.b), "finite"),
            ("c", (self.c >= 0) & (self.c < 1), "in [0, 1)"),
            ("d", (self.d > self.c) & (self.d <= 1), "above c and at most 1"),
        ):
            if not good.all():
                worst = int(np.argmin(good))
                raise AlsimError(f"{name} of item {worst} is {getattr(self, name)[worst]}; expected {expected}")

    def __len__(self) -> int:
        return len(self.a)

    def __repr__(self) -> str:
        return f"<ItemParameters: {len(self):,} items>"

    @property
    def columns(self) -> tuple[Doubles, Doubles, Doubles, Doubles]:
        """a, b, c, d."""
        return self.a, self.b, self.c, self.d

    def take(self, items: ArrayLike) -> ItemParameters:
        """Return some of the items, by index or by a mask."""
        chosen = np.asarray(items)
        if chosen.dtype != np.bool_:
            chosen = as_indices(chosen, len(self), "items")
        elif chosen.shape != self.a.shape:
            raise AlsimError(f"a mask of {len(self)} items has as many values; got shape {chosen.shape}")
        return ItemParameters(*(column[chosen] for column in self.columns))


def _columns(*columns: ArrayLike) -> list[Doubles]:
    """Return a, b, c, d as arrays of one length."""
    try:
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(column, np.float64)) for column in columns))
    except (TypeError, ValueError) as error:
        raise AlsimError(f"a, b, c and d are numbers, one an item: {error}") from None
    if arrays[0].ndim != 1 or arrays[0].size == 0:
        raise AlsimError(f"a, b, c and d have shape (I,), I at least 1; got {arrays[0].shape}")
    return [array.copy() for array in arrays]


def as_indices(values: ArrayLike, size: int, name: str) -> Longs:
    """Return integers in [0, size) as int64; raises AlsimError for anything else."""
    indices = np.asarray(values)
    if indices.size == 0:
        return np.zeros(indices.shape, np.int64)
    if not np.issubdtype(indices.dtype, np.integer) or indices.min() < 0 or indices.max() >= size:
        odd = indices.dtype if not np.issubdtype(indices.dtype, np.integer) else f"{indices.min()} to {indices.max()}"
        raise AlsimError(f"{name} are integers in [0, {size}); got {odd}")
    return indices.astype(np.int64)


def as_finite(values: ArrayLike, name: str) -> Doubles:
    """Return numbers as float64; raises AlsimError for what is none, or is not finite."""
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise AlsimError(f"{name} is made of numbers: {error}") from None
    if not np.isfinite(numbers).all():
        raise AlsimError(f"{name} is made of finite numbers; got {numbers[~np.isfinite(numbers)].ravel()[0]}")
    return numbers


def _at(theta: ArrayLike, items: ItemParameters) -> tuple[Any, ...]:
    """Return the arguments of the rules, (…, 1) and (I,)."""
    return as_finite(theta, "theta")[..., None], *items.columns


def probability(theta: ArrayLike, items: ItemParameters) -> Doubles:
    """Chance of a correct answer of each person to each item.

        P = c + (d - c) / (1 + exp(-a (theta - b)))

    theta  (…,) abilities, logits
    items  I items

    Returns P (…, I), in [c, d]. Raises AlsimError for abilities that are not finite.
    Source: Barton & Lord (1981); with d = 1 Birnbaum (1968), with c = 0 and a = 1 Rasch (1960).
    """
    return curves(*_at(theta, items))[0]


def slope(theta: ArrayLike, items: ItemParameters) -> Doubles:
    """How fast each chance rises with ability, dP / dtheta.

        P' = a (d - c) s (1 - s),    s = 1 / (1 + exp(-a (theta - b)))

    Arguments and shapes as of `probability`; 1/logit.
    """
    return curves(*_at(theta, items))[2]


def information(theta: ArrayLike, items: ItemParameters) -> Doubles:
    """Fisher information that an answer to each item holds about ability.

        I = P'^2 / (P (1 - P))

    Arguments and shapes as of `probability`; 1/logit^2. It is a^2 P (1 - P) where c = 0 and d = 1.
    Source: Birnbaum (1968) in Lord & Novick, ch. 20; Magis (2013) for four parameters.
    """
    return informations(*curves(*_at(theta, items))[:3])


def test_information(theta: ArrayLike, items: ItemParameters) -> Doubles:
    """Fisher information in the answers to all the items: the sum over items of `information`.

    theta  (…,) abilities, logits

    Returns (…,), 1/logit^2.
    """
    return cast(Doubles, information(theta, items).sum(axis=-1))


test_information.__test__ = False  # type: ignore[attr-defined]  # by its name pytest would take it for a test


def standard_error(theta: ArrayLike, items: ItemParameters) -> Doubles:
    """Standard error of measurement: what the maximum-likelihood estimate of ability tends to with many items.

        SE = 1 / sqrt(test information)

    theta  (…,) abilities, logits

    Returns (…,), logits; infinite where no item tells anything.
    """
    with np.errstate(divide="ignore"):
        return 1 / np.sqrt(test_information(theta, items))
