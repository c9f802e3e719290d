"""Item response functions of one to four parameters, and their information: float64, on the logistic scale.

Each formula is defined once, as a `rule` that uses NumPy functions. Compiled loops call it for one person and one item,
and the public functions call it for arrays. Simulated learners answer by `alsim.dynamics.irt.p_correct`: the same curve
with d = 1, in float32, with an exponential that returns the same bits on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError, did_you_mean
from alsim.jit.compile import rule
from alsim.types import Doubles, Longs
from alsim.utils.names import listed, name_array

ItemColumns = tuple[Doubles, Doubles, Doubles, Doubles]
"""The arrays a, b, c and d (I,) of `ItemParameters`, for kernels."""

NO_ESTIMATES = "have no finite estimates, as all responses are equal or missing"
LOW_A = "have a <= 0; check the answer key"
"""Reasons why items are left out, see `left_out`."""

INTERCEPT_CURE = ": if d is the intercept, as of IRTFit and mirt, leave it out, since b is given"
"""End of an error about an upper asymptote."""

INTERCEPT_ROUNDING = 1e-9
"""Largest difference between d and -a b of intercepts in memory, relative to 1 + |a| + |b|."""

MAX_EXPONENT = 700.0
"""Limit of |a (theta - b)|: there, the curve is within 1e-304 of its asymptote, and float64 does not overflow."""


@rule
def curve(theta: float, a: float, b: float, c: float, d: float) -> tuple[float, float, float, float]:
    """Return P and Q, the probabilities of a correct and of a wrong answer, and P' and P'', the derivatives of P.

        s = 1 / (1 + exp(-a (theta - b)))      P = c + (d - c) s           Q = 1 - P
        P' = dP / dtheta = a (d - c) s (1 - s)                             P'' = a P' (1 - 2 s)

    theta   ability, logits
    a       discrimination, 1/logit, without a scaling constant (D = 1)
    b       difficulty, logits
    c       lower asymptote (pseudo-guessing)
    d       upper asymptote

    1 - s and Q are computed without subtraction from 1, so that both tails keep their relative precision.
    Source: Barton & Lord (1981), An upper asymptote for the three-parameter logistic item-response model.
    """
    x = np.minimum(np.maximum(a * (theta - b), -MAX_EXPONENT), MAX_EXPONENT)
    decay = np.exp(-x)
    s = 1.0 / (1.0 + decay)
    complement = decay * s
    slope = a * (d - c) * s * complement
    return c + (d - c) * s, (1.0 - d) + (d - c) * complement, slope, a * slope * (complement - s)


@rule
def item_information(p: float, q: float, slope: float) -> float:
    """Return the Fisher information of one answer about ability, 1/logit^2, from results of `curve`.

        I = P'^2 / (P Q)

    p, q    probabilities of a correct and of a wrong answer
    slope   P', 1/logit

    Source: Birnbaum (1968) in Lord & Novick, ch. 20; Magis (2013), A note on the item information function of the
    four-parameter logistic model.
    """
    return slope * (slope / (p * q))


# The same functions, for arrays that broadcast.
curves = cast(Callable[..., tuple[Doubles, Doubles, Doubles, Doubles]], getattr(curve, "py_func", curve))
informations = cast(Callable[..., Doubles], getattr(item_information, "py_func", item_information))


class ItemParameters:
    """Parameters of I calibrated items.

    a  (I,) discrimination, 1/logit; finite, 1 in the Rasch model. An estimate may be negative
    b  (I,) difficulty, logits; finite
    c  (I,) lower asymptote, in [0, 1): the limit of P at low ability
    d  (I,) upper asymptote, in (c, 1]: the limit of P at high ability
    names  (I,) unique names of the items; by default their indices, "0", "1", ...
    notes  sentences about items that were left out or converted

    A scalar applies to all items. Raises AlsimError for different lengths, for no items, for values out of range, and
    for names that are empty or not unique. `from_table` converts arrays and tables with other column names.
    """

    def __init__(
        self,
        a: ArrayLike,
        b: ArrayLike,
        c: ArrayLike = 0.0,
        d: ArrayLike = 1.0,
        *,
        names: ArrayLike | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.a, self.b, self.c, self.d = _columns(a, b, c, d)
        self.names, self.notes = _names(names, len(self.a)), tuple(notes)
        for name, valid, expected in (
            ("a", np.isfinite(self.a), "finite"),
            ("b", np.isfinite(self.b), "finite"),
            ("c", (self.c >= 0) & (self.c < 1), "in [0, 1)"),
            ("d", (self.d > self.c) & (self.d <= 1), "above c and at most 1"),
        ):
            if not valid.all():
                first = int(np.argmin(valid))
                item = first if names is None else repr(str(self.names[first]))
                cure = INTERCEPT_CURE if name == "d" else ""
                raise AlsimError(f"{name} of item {item} is {getattr(self, name)[first]}; expected {expected}{cure}")
        if is_intercept(self.a, self.b, self.d, INTERCEPT_ROUNDING):
            raise AlsimError(f"d equals -a b; expected upper asymptotes{INTERCEPT_CURE}")

    @classmethod
    def from_table(cls, table: Any, columns: Mapping[str, str] | None = None) -> ItemParameters:
        """Return the parameters in an array or a table, such as a DataFrame or a dictionary of columns.

        table    array (I, 2), (I, 3) or (I, 4) of a, b, c and d; or a table with columns that `read_items` accepts
        columns  {role: name in the table} of columns with another name, see `read_items`

        Raises AlsimError, which names row, column, value and the expected value.
        """
        from alsim.models.irt.items import items_from_table

        return items_from_table(table, columns).item_parameters

    def __len__(self) -> int:
        return len(self.a)

    def __repr__(self) -> str:
        return f"<ItemParameters: {len(self):,} items>"

    @property
    def columns(self) -> ItemColumns:
        """The arrays a, b, c and d."""
        return self.a, self.b, self.c, self.d

    def take(self, items: ArrayLike) -> ItemParameters:
        """Return a subset of the items.

        items  (J,) integer indices in [0, I), or an (I,) boolean mask

        Raises AlsimError for other indices, and for a mask of another length.
        """
        chosen = np.asarray(items)
        if chosen.dtype != np.bool_:
            chosen = as_indices(chosen, len(self), "items")
        elif chosen.shape != self.a.shape:
            raise AlsimError(
                f"a mask of items must have shape ({len(self)},), one value per item; got shape {chosen.shape}"
            )
        return ItemParameters(*(column[chosen] for column in self.columns), names=self.names[chosen], notes=self.notes)

    def find(self, names: ArrayLike) -> Longs:
        """Return the indices of items, in the shape of `names`.

        Raises AlsimError for an unknown name.
        """
        wanted = np.asarray(names, np.str_)
        index = {str(name): i for i, name in enumerate(self.names)}
        if unknown := [str(name) for name in wanted.ravel() if str(name) not in index]:
            few = ", ".join([*index][:5]) + (", ..." if len(index) > 5 else "")
            cure = did_you_mean(unknown[0], index) or f"; the {len(index):,} items are {few}"
            raise AlsimError(f"there is no item {unknown[0]!r}{cure}")
        return np.array([index[str(name)] for name in wanted.ravel()], np.int64).reshape(wanted.shape)


def is_intercept(a: Doubles, b: Doubles, d: Doubles, rounding: float) -> bool:
    """Return whether d (I,) is the intercept -a b of each of several items, up to rounding, and not 1."""
    close = np.abs(d + a * b) <= rounding * (1 + np.abs(a) + np.abs(b))
    return len(d) > 1 and bool(close.all()) and not bool((d == 1).all())


def _names(names: ArrayLike | None, num_items: int) -> NDArray[np.str_]:
    """Return the names (I,) of the items, by default their indices. Raises AlsimError unless they are unique."""
    if names is None:
        return np.arange(num_items).astype(np.str_)
    array = name_array(names)
    if array.shape != (num_items,):
        raise AlsimError(f"names must have one name for each of {num_items} items; got shape {array.shape}")
    unique, counts = np.unique(array, return_counts=True)
    if "" in unique or (counts > 1).any():
        fault = "an empty name" if "" in unique else f"{str(unique[counts > 1][0])!r} more than once"
        raise AlsimError(f"names must be unique and not empty; got {fault}: give each item a name of its own")
    return array


def left_out(names: NDArray[np.str_], reason: str) -> tuple[str, ...]:
    """Return a note about items that are left out, of which five are named; no note without items."""
    few = listed(names.tolist())
    return (f"items left out: {few} {reason if len(names) > 1 else reason.replace('have', 'has', 1)}",) * (
        len(names) > 0
    )


@runtime_checkable
class HasItemParameters(Protocol):
    """An object with calibrated items: a fitted item response model, a bank, or items from a file."""

    @property
    def item_parameters(self) -> ItemParameters:
        """Parameters and names of the items."""


def items_of(source: ItemParameters | HasItemParameters) -> ItemParameters:
    """Return the items of a test; of a fit or a bank, items with a <= 0 are left out, with a note.

    Raises AlsimError for an object without items, and if no item is left.
    """
    if isinstance(source, ItemParameters):
        return source
    items = getattr(source, "item_parameters", None)
    if not isinstance(items, ItemParameters):
        raise AlsimError(
            "items must be ItemParameters, a fitted item response model or a bank; "
            f"got {type(source).__name__}; irt.read_items reads a file, ItemParameters.from_table an array or a table"
        )
    positive = items.a > 0
    if positive.all():
        return items
    notes = (*items.notes, *left_out(items.names[~positive], LOW_A))
    if not positive.any():
        raise AlsimError(f"no item has a > 0: the answer keys may be wrong; {'; '.join(notes)}")
    columns = (column[positive] for column in items.columns)
    return ItemParameters(*columns, names=items.names[positive], notes=notes)


def _columns(*columns: ArrayLike) -> list[Doubles]:
    """Return a, b, c and d as float64 arrays of equal length."""
    try:
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(column, np.float64)) for column in columns))
    except (TypeError, ValueError) as error:
        raise AlsimError(
            f"a, b, c and d must be numbers or arrays of equal length, one number per item: {error}"
        ) from None
    if arrays[0].ndim != 1 or arrays[0].size == 0:
        raise AlsimError(f"a, b, c and d must have shape (I,), I at least 1; got {arrays[0].shape}")
    return [array.copy() for array in arrays]


def as_indices(values: ArrayLike, size: int, name: str) -> Longs:
    """Return integers in [0, size) as int64; raises AlsimError, which names `name`, for any other value."""
    indices = np.asarray(values)
    if indices.size == 0:
        return np.zeros(indices.shape, np.int64)
    if not np.issubdtype(indices.dtype, np.integer) or indices.min() < 0 or indices.max() >= size:
        is_integer = np.issubdtype(indices.dtype, np.integer)
        value = f"{indices.min()} to {indices.max()}" if is_integer else indices.dtype
        raise AlsimError(f"{name} must be integers in [0, {size}); got {value}")
    return indices.astype(np.int64)


def as_finite(values: ArrayLike, name: str) -> Doubles:
    """Return finite numbers as float64; raises AlsimError, which names `name`, for any other value."""
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise AlsimError(f"{name} must contain only numbers: {error}") from None
    if not np.isfinite(numbers).all():
        raise AlsimError(f"{name} must contain only finite numbers; got {numbers[~np.isfinite(numbers)].ravel()[0]}")
    return numbers


def _at(theta: ArrayLike, items: ItemParameters | HasItemParameters) -> tuple[Any, ...]:
    """Return theta (…, 1) and a, b, c, d (I,), which broadcast to (…, I)."""
    return as_finite(theta, "theta")[..., None], *items_of(items).columns


def probability(theta: ArrayLike, items: ItemParameters | HasItemParameters) -> Doubles:
    """Compute the probability of a correct answer of each person to each item.

        P = c + (d - c) / (1 + exp(-a (theta - b)))

    theta  (…,) abilities, logits
    items  I items, as `CAT` accepts them: of a fit, those with a > 0

    Returns P (…, I), in [c, d]. Raises AlsimError for abilities that are not finite.
    Source: Barton & Lord (1981); with d = 1 Birnbaum (1968), with c = 0 and a = 1 Rasch (1960).
    """
    return curves(*_at(theta, items))[0]


def slope(theta: ArrayLike, items: ItemParameters | HasItemParameters) -> Doubles:
    """Compute the slope of each item response function, dP / dtheta.

        P' = a (d - c) s (1 - s),    s = 1 / (1 + exp(-a (theta - b)))

    theta  (…,) abilities, logits
    items  I items, as `CAT` accepts them: of a fit, those with a > 0

    Returns P' (…, I), 1/logit. Raises AlsimError for abilities that are not finite.
    """
    return curves(*_at(theta, items))[2]


def information(theta: ArrayLike, items: ItemParameters | HasItemParameters) -> Doubles:
    """Compute the item information: the Fisher information about ability in an answer to each item.

        I = P'^2 / (P (1 - P))

    theta  (…,) abilities, logits
    items  I items, as `CAT` accepts them: of a fit, those with a > 0

    Returns I (…, I), 1/logit^2; it equals a^2 P (1 - P) where c = 0 and d = 1.
    Raises AlsimError for abilities that are not finite.
    Source: Birnbaum (1968) in Lord & Novick, ch. 20; Magis (2013) for four parameters.
    """
    return informations(*curves(*_at(theta, items))[:3])


def test_information(theta: ArrayLike, items: ItemParameters | HasItemParameters) -> Doubles:
    """Compute the test information: the sum of `information` over the items.

    theta  (…,) abilities, logits
    items  I items, as `CAT` accepts them: of a fit, those with a > 0

    Returns the information (…,), 1/logit^2. Raises AlsimError for abilities that are not finite.
    Source: Birnbaum (1968) in Lord & Novick, ch. 20.
    """
    return cast(Doubles, information(theta, items).sum(axis=-1))


test_information.__test__ = False  # type: ignore[attr-defined]  # keeps pytest from collecting it as a test


def standard_error(theta: ArrayLike, items: ItemParameters | HasItemParameters) -> Doubles:
    """Compute the standard error of measurement: the asymptotic SE of the maximum-likelihood estimate of ability.

        SE = 1 / sqrt(test information)

    theta  (…,) abilities, logits
    items  I items, as `CAT` accepts them: of a fit, those with a > 0

    Returns the SE (…,), logits; infinite where the test information is 0.
    Raises AlsimError for abilities that are not finite.
    Source: Birnbaum (1968) in Lord & Novick, ch. 20.
    """
    with np.errstate(divide="ignore"):
        return 1 / np.sqrt(test_information(theta, items))
