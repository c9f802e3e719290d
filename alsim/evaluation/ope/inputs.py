"""Checks of logged episodes in arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.statistics_input import LARGEST, read_confidence, read_number
from alsim.types import Bools, Doubles, Longs

LARGEST_RATIO = 2.0**400
"""Largest ratio of two probabilities, of which the square is finite."""
STATED = 1 + 1e-6
"""Largest number that is accepted as a probability of 1, for those in float32."""


class Log(NamedTuple):
    """Valid log of n episodes of up to T steps. After the end of an episode, rewards are 0 and ratios are 1."""

    rewards: Doubles
    """(n, T)."""
    ratios: Doubles
    """Probability of each action under the target, divided by that under the behaviour policy, (n, T)."""
    alive: Bools
    """True for the steps of an episode, False after its end, (n, T)."""
    discounts: Doubles
    """gamma**t, (T,)."""
    counts: Doubles
    """Number of times that each episode counts, (n,)."""
    units: Longs | None
    """Independent unit of each episode, in [0, U); None: each episode is one."""
    confidence: float
    """Level of the intervals."""

    @property
    def total(self) -> float:
        """Number of episodes, each as often as it counts."""
        return float(self.counts.sum())

    def mean(self, values: Doubles) -> Any:
        """Return the mean over episodes of values (n,) or (n, ...), each as often as it counts."""
        counts = self.counts.reshape(-1, *[1] * (values.ndim - 1))
        return (counts * values).sum(axis=0) / self.total


def read_log(
    rewards: ArrayLike,
    behaviour: ArrayLike,
    target: ArrayLike,
    lengths: ArrayLike | None,
    gamma: Any = 1.0,
    weights: ArrayLike | None = None,
    learners: ArrayLike | None = None,
    confidence: Any = CONFIDENCE,
) -> Log:
    """Return the log in arrays, see `alsim.evaluation.ope.pdis`. Raises AlsimError for invalid ones."""
    r = read_steps(rewards, "rewards")
    alive = read_alive(lengths, r.shape)
    r, ratios = np.where(alive, r, 0.0), read_ratios(behaviour, target, alive)
    if (wrong := ~np.isfinite(r)).any():
        raise AlsimError(f"rewards must be finite; got {_at(r, wrong)}: leave the episode out")
    if (wrong := np.abs(r) > LARGEST).any():
        raise AlsimError(f"rewards must be at most {LARGEST:g}; got {_at(r, wrong)}: use another unit")
    counts, units = read_counts(weights, len(r)), read_units(learners, len(r))
    discounts = np.cumprod(np.concatenate([[1.0], np.full(r.shape[1] - 1, read_gamma(gamma))]))
    if units is not None:
        present = np.unique(units[counts > 0])
        units = np.searchsorted(present, units).clip(0, len(present) - 1)
    size = len(present) if units is not None else counts.sum()
    if weights is not None and size < 2 <= (counts > 0).sum():
        raise AlsimError(
            f"weights are how often each episode counts, so they must add up to at least 2; got {size:g}: multiply "
            "normalised ones by the number of episodes"
        )
    if size < 2:
        raise AlsimError(
            "a standard error needs at least 2 independent learners (or classes, or episodes); got "
            f"{size:g}: collect more"
        )
    return Log(r, ratios, alive, discounts, counts, units, read_confidence(confidence))


def read_steps(values: ArrayLike, name: str) -> Doubles:
    """Return numbers of steps of episodes as float64 (n, T); (n,) is one step. Raises AlsimError for others."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            f"{name} must be an array (n, T): {error}; fill episodes up to the longest, and pass lengths"
        ) from None
    if array.dtype.kind not in "iufb":
        raise InputTypeError(f"{name} must be numbers (n, T); got {array.dtype}: convert them")
    if array.ndim not in (1, 2) or array.size == 0:
        raise AlsimError(
            f"{name} must have shape (n, T), or (n,) for one step, n and T at least 1; got {array.shape}: pass one row "
            "per episode"
        )
    return array.astype(np.float64).reshape(len(array), -1)


def read_like(values: ArrayLike, name: str, alive: Bools, fill: float) -> Doubles:
    """Return finite numbers of the shape of the rewards, with a value after the end. Raises AlsimError for others."""
    array = read_steps(values, name)
    if array.shape != alive.shape:
        raise AlsimError(
            f"{name} must have shape {alive.shape}, that of the rewards; got {array.shape}: pass one number per step"
        )
    filled = np.where(alive, array, fill)
    if (wrong := ~(np.abs(filled) <= LARGEST)).any():
        raise AlsimError(f"{name} must be finite; got {_at(filled, wrong)}: leave the episode out")
    return filled


def read_alive(lengths: ArrayLike | None, shape: tuple[int, ...]) -> Bools:
    """Return whether each step belongs to its episode, (n, T). Raises AlsimError for invalid lengths."""
    if lengths is None:
        return np.ones(shape, np.bool_)
    array = np.asarray(lengths)
    cure = "pass the number of steps of each episode"
    if array.shape != shape[:1]:
        raise AlsimError(f"lengths must have shape {shape[:1]}, one per episode; got {array.shape}: {cure}")
    if array.dtype.kind not in "iu":
        raise InputTypeError(f"lengths must be integers; got {array.dtype}: {cure}")
    if (wrong := (array < 1) | (array > shape[1])).any():
        raise AlsimError(f"lengths must be from 1 to {shape[1]}; got {_at(array, wrong)}: {cure}")
    return np.arange(shape[1]) < array[:, np.newaxis]


def read_ratios(behaviour: ArrayLike, target: ArrayLike, alive: Bools) -> Doubles:
    """Return the ratio of the probabilities of each action, 1 after the end. Raises AlsimError for invalid ones."""
    b, e = read_like(behaviour, "behaviour", alive, 1.0), read_like(target, "target", alive, 1.0)
    if (wrong := (b <= 0) | (b > STATED)).any():
        raise AlsimError(
            f"behaviour must be probabilities in (0, 1], as these actions were taken; got {_at(b, wrong)}: correct "
            "the propensities, or estimate them"
        )
    if (wrong := (e < 0) | (e > STATED)).any():
        raise AlsimError(f"target must be probabilities in [0, 1]; got {_at(e, wrong)}: correct the probabilities")
    with np.errstate(over="ignore"):
        ratios = np.asarray(e / b)
    if (wrong := ratios > LARGEST_RATIO).any():
        raise AlsimError(
            f"the ratio of target to behaviour must be at most {LARGEST_RATIO:.3g}; got {_at(ratios, wrong)}: correct "
            "the propensities, or clip them from below"
        )
    return ratios


def read_counts(weights: ArrayLike | None, n: int) -> Doubles:
    """Return how often each of n episodes counts. Raises AlsimError for invalid weights."""
    if weights is None:
        return np.ones(n)
    array = np.asarray(weights)
    cure = "pass how often each episode counts"
    if array.dtype.kind not in "iuf":
        raise InputTypeError(f"weights must be numbers; got {array.dtype}: {cure}")
    if array.shape != (n,):
        raise AlsimError(f"weights must have shape {(n,)}, one per episode; got {array.shape}: {cure}")
    if (wrong := ~((array >= 0) & (array <= LARGEST))).any():
        raise AlsimError(f"weights must be finite and at least 0; got {_at(array, wrong)}: {cure}")
    return array.astype(np.float64)


def read_units(learners: ArrayLike | None, n: int) -> Longs | None:
    """Return the independent unit of each episode, numbered from 0. Raises AlsimError for invalid learners."""
    if learners is None:
        return None
    array = np.asarray(learners)
    if array.shape != (n,):
        raise AlsimError(
            f"learners must have shape {(n,)}, one per episode; got {array.shape}: pass the learner of each episode"
        )
    if array.dtype.kind not in "iuSU":
        raise InputTypeError(
            f"learners must be integers or names; got {array.dtype}: pass the learner (or class) of each episode"
        )
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def read_gamma(gamma: Any) -> float:
    """Return a discount factor in [0, 1]. Raises AlsimError for others."""
    number = read_number(gamma, "gamma", "use 1 for the sum of the rewards")
    if not 0 <= number <= 1:
        raise AlsimError(f"gamma must be in [0, 1]; got {number:g}: use 1 for the sum of the rewards")
    return number


def read_clip(clip: Any) -> float:
    """Return the largest weight, infinite for None. Raises AlsimError for others."""
    if clip is None:
        return float("inf")
    number = read_number(clip, "clip", "pass the largest weight, such as 10, or None")
    if number <= 0:
        raise AlsimError(f"clip must be positive; got {number:g}: pass the largest weight, such as 10, or None")
    return number


def _at(array: Any, wrong: Bools) -> str:
    """Return the first wrong entry and its place, for messages."""
    place = np.argwhere(wrong)[0].tolist()
    where = f"episode {place[0]}" + (f", step {place[1]}" if len(place) > 1 and array.shape[1] > 1 else "")
    return f"{array[tuple(place)]:g} in {where}"


__all__ = [
    "Log",
    "read_alive",
    "read_clip",
    "read_counts",
    "read_gamma",
    "read_like",
    "read_log",
    "read_ratios",
    "read_steps",
    "read_units",
]
