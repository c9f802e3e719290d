"""Features and clusters of observations of simulated learners, for models of the values of a policy.

Actions are pooled into the kinds of clause S2: questions by difficulty and contents by modality. The dynamics treat all
outcomes alike, so the effect of an action depends on its kind and on the mastery of its outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alsim.jit.compile import lean_kernel
from alsim.mdp.actions import KINDS, LEVELS, split_actions
from alsim.types import Doubles, Floats, Longs, Observation, f32

NUM_KINDS = LEVELS + KINDS
"""Number of kinds of actions: three difficulties and six modalities."""
BINS = (6, 5, 4)
"""Numbers of bins of frustration, the mean level of the outcomes and the level of the weakest one."""
NUM_FEATURES = 10 + 3 * NUM_KINDS - 1
"""Number of features of an observation and an action."""


class Kinds(NamedTuple):
    """Probabilities of kinds of actions in M rows, and the level of the outcomes that they are about."""

    share: Floats
    """Probability of each kind, (M, 9)."""
    level: Floats
    """Sum over the actions of a kind of their probability times the level of their outcome, (M, 9)."""


def levels_of(observation: Floats, kind: Observation, num_los: int) -> Floats:
    """Return the observed level of each outcome, (M, L) in [0, 1]: mastery, or the share of correct answers."""
    return observation[:, :num_los] if kind == "mastery" else observation[:, num_los : 2 * num_los]


def kinds_of_actions(actions: Longs, levels: Floats) -> tuple[Longs, Kinds]:
    """Return the kind of each action, (M,) in [0, 9), and the same as probabilities of 1."""
    asks, lo, level = split_actions(actions, levels.shape[1])
    kind = np.asarray(np.where(asks, level, LEVELS + level), np.int64)
    share = np.zeros((len(kind), NUM_KINDS), f32)
    rows = np.arange(len(kind))
    share[rows, kind] = 1
    return kind, Kinds(share, share * levels[rows, lo][:, np.newaxis])


def kinds_of_odds(odds: Doubles, levels: Floats) -> Kinds:
    """Return the kinds under probabilities of all actions, (M, A), and levels (M, L)."""
    found = Kinds(np.empty((len(odds), NUM_KINDS), f32), np.empty((len(odds), NUM_KINDS), f32))
    sum_kinds(np.ascontiguousarray(odds), levels, *found)
    return found


@lean_kernel
def sum_kinds(odds: Doubles, levels: Floats, share: Floats, level: Floats) -> None:
    """Write the fields of `Kinds`."""
    num_los, kinds = levels.shape[1], share.shape[1]
    contents = LEVELS * num_los
    for i in range(len(odds)):
        for k in range(kinds):
            stride, first = (LEVELS, k) if k < LEVELS else (KINDS, contents + k - LEVELS)
            total, weighted = 0.0, 0.0
            for lo in range(num_los):
                p = odds[i, first + lo * stride]
                total += p
                weighted += p * levels[i, lo]
            share[i, k], level[i, k] = total, weighted


def ratio_moments(behaviour: Doubles, target: Doubles) -> tuple[Doubles, Doubles]:
    """Return the means of the ratio of two policies' probabilities and of its square, over actions of the first, (M,).

    behaviour, target  probabilities of all actions, (M, A)

    Actions that `behaviour` never takes count for neither, so the first mean is the share of `target` with support.
    """
    first, second = np.empty(len(behaviour)), np.empty(len(behaviour))
    sum_ratios(np.ascontiguousarray(behaviour), np.ascontiguousarray(target), first, second)
    return first, second


@lean_kernel
def sum_ratios(behaviour: Doubles, target: Doubles, first: Doubles, second: Doubles) -> None:
    """Write the results of `ratio_moments`."""
    for i in range(len(behaviour)):
        total, square = 0.0, 0.0
        for a in range(behaviour.shape[1]):
            b, e = behaviour[i, a], target[i, a]
            if b > 0 and e > 0:
                total += e
                square += e * (e / b)
        first[i], second[i] = total, square


def features(observation: Floats, levels: Floats, kinds: Kinds) -> Floats:
    """Return the features of M rows, (M, d): those of the observation, of the kinds, and of both.

    They are linear in the probabilities of the actions: their mean under a policy is that of its probabilities.
    """
    frustration, seconds, mean = observation[:, -2], observation[:, -1], levels.mean(axis=1)
    columns = [
        *(np.ones_like(mean), mean, levels.min(axis=1), (levels > 0.5).mean(axis=1), (levels**2).mean(axis=1)),
        *(frustration, frustration**2, frustration * mean, frustration > 0.5, seconds),
    ]
    return np.concatenate(
        [
            np.stack(columns, axis=1).astype(f32),
            kinds.share[:, 1:],
            kinds.level,
            kinds.share * frustration[:, np.newaxis],
        ],
        axis=1,
    )


def clustered_by(observation: Floats, levels: Floats) -> Floats:
    """Return what `clusters` divides into bins, (M, 3): frustration, mean level, and level of the weakest outcome."""
    return np.stack([observation[:, -2], levels.mean(axis=1), levels.min(axis=1)], axis=1)


def clusters(values: Floats, bins: Sequence[int] = BINS) -> Longs:
    """Return the cluster of each of M rows, (M,), from columns (M, B) that are divided into bins with as many rows."""
    code = np.zeros(len(values), np.int64)
    for column, count in zip(values.T, bins, strict=True):
        edges = np.quantile(column, np.arange(1, count) / count)
        code = code * count + np.searchsorted(edges, column, side="right")
    return code


__all__ = [
    "BINS",
    "NUM_FEATURES",
    "NUM_KINDS",
    "Kinds",
    "clustered_by",
    "clusters",
    "features",
    "kinds_of_actions",
    "kinds_of_odds",
    "levels_of",
    "ratio_moments",
]
