"""Planted DIF: answers of simulated students to items that are harder for one group, and the flags that find them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.fairness.items import DIF
from alsim.evaluation.statistics_input import read_array, read_seed
from alsim.models.irt.curves import ItemParameters, probability
from alsim.types import Bools, Doubles, Longs, describe, short_repr


@short_repr
class Planted(NamedTuple):
    """Answers with planted DIF.

    answers   (N, I) 1 right, 0 wrong
    is_focal  (N,) whether the student is in the focal group
    has_dif   (I,) whether the item differs between the groups
    """

    answers: Longs
    is_focal: Bools
    has_dif: Bools


@short_repr
class Detection(NamedTuple):
    """Flags compared with planted DIF.

    hits          number of flagged items with DIF
    planted       number of items with DIF
    false_flags   number of flagged items without DIF
    clean         number of items without DIF
    """

    hits: int
    planted: int
    false_flags: int
    clean: int


def plant_dif(
    items: ItemParameters,
    shift: ArrayLike,
    ability: ArrayLike,
    is_focal: ArrayLike,
    *,
    seed: int = 0,
) -> Planted:
    """Simulate answers of students to items whose difficulty differs in the focal group.

        P(right) = c + (d - c) / (1 + exp(-a (theta - b - shift)))  in the focal group, with shift 0 in the other

    items     I items
    shift     (I,) added to the difficulties in the focal group, logits; 0 is no DIF
    ability   (N,) abilities theta, logits
    is_focal  (N,) true for the students of the focal group
    seed      integer in [0, 2**64)

    Returns a Planted, the same for the same arguments. Raises AlsimError for invalid arguments.
    """
    if not isinstance(items, ItemParameters):
        raise InputTypeError(
            f"items must be ItemParameters; got {describe(items)}: pass alsim.models.irt.ItemParameters"
        )
    theta, focal = _numbers(ability, "ability"), read_array(is_focal, "is_focal")
    moved = _numbers(shift, "shift")
    if moved.shape not in ((), (len(items),)):
        raise AlsimError(
            f"shift must be one number, or one per item, ({len(items)},); got shape {moved.shape}: use 0 for no DIF"
        )
    moved = np.broadcast_to(moved, (len(items),))
    if focal.dtype != np.bool_ or focal.shape != theta.shape or theta.ndim != 1:
        raise AlsimError(
            f"ability and is_focal must be numbers and booleans of one shape (N,); got {theta.shape} and {focal.dtype} "
            f"{focal.shape}: pass one of each per student"
        )
    if not np.isfinite(moved).all():
        raise AlsimError(f"shift must be finite numbers; got {moved[~np.isfinite(moved)][0]}: use 0 for no DIF")
    a, b, c, d = items.columns
    other = ItemParameters(a, b + moved, c, d)
    chance: Doubles = np.where(focal[:, None], probability(theta, other), probability(theta, items))
    draws = np.random.default_rng(read_seed(seed)).random(chance.shape)
    return Planted((draws < chance).astype(np.int64), focal, moved != 0)


def _numbers(values: ArrayLike, name: str) -> Doubles:
    """Return numbers as float64. Raises InputTypeError for others."""
    array = read_array(values, name)
    if array.dtype.kind not in "iuf":
        raise InputTypeError(f"{name} must be numbers; got {array.dtype}: pass logits")
    return np.asarray(array, np.float64)


def detection(found: DIF, has_dif: ArrayLike) -> Detection:
    """Compare flags with planted DIF.

    found    tests of I items
    has_dif  (I,) true for the items with DIF

    Returns a Detection. Raises AlsimError for another number of items.
    """
    truth = np.asarray(has_dif)
    if truth.shape != found.flagged.shape or truth.dtype != np.bool_:
        raise AlsimError(f"has_dif must be {len(found.items)} booleans; got {truth.dtype} {truth.shape}: pass one each")
    flags = found.flagged
    return Detection(int((flags & truth).sum()), int(truth.sum()), int((flags & ~truth).sum()), int((~truth).sum()))


__all__ = ["Detection", "Planted", "detection", "plant_dif"]
