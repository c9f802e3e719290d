"""Ability under an item response model as a student model: the posterior of each student, updated online."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.models.base import ModelError
from alsim.models.irt.curves import HasItemParameters, ItemParameters, items_of, probability
from alsim.models.irt.estimation import RANGE, node_weights, quadrature
from alsim.models.irt.fitted import PREDICTION_MARGIN, IRTFit
from alsim.models.student.base import BaseStudentModel, Students, parameters
from alsim.models.student.items import Items, as_items
from alsim.responses.log import codes_of
from alsim.types import Codes, Doubles, Longs, short_repr

NODES = 61
"""Default number of nodes in [-6, 6], 0.2 logits apart: enough for a posterior SD of at least 0.12 logits."""

SKILL = "ability"
"""Name of the only skill of items without skills."""


@short_repr
class Ability(NamedTuple):
    """Posterior of the ability of n students.

    mean      (n,) logits
    variance  (n,) logits^2
    """

    mean: Doubles
    variance: Doubles


class AbilityModel(BaseStudentModel):
    """Ability of many students under an item response model: one posterior per student, on a grid of nodes.

    items   Items, or another value that `as_items` accepts
    curves  (I, G) probability of a correct answer to each item at each node
    nodes   (G,) abilities, logits, ascending
    prior   (G,) weights of the nodes before the first response; they are divided by their sum

    `of_parameters` makes the model from calibrated items. The state is `posterior` (n, G), whose rows sum to 1. The
    chance is the mean of the curve under the posterior, and the mastery of a skill the mean chance over its items.
    Two models with the same nodes may share the state of students, such as one of questions and one of their cells.
    Raises ModelError for invalid parameters.
    Source: Bock & Mislevy (1982), Adaptive EAP estimation of ability in a microcomputer environment.
    """

    kind: ClassVar[str] = "irt"

    def __init__(self, items: Any, curves: ArrayLike, nodes: ArrayLike, prior: ArrayLike) -> None:
        super().__init__(as_items(items))
        grid = np.shape(nodes)
        if len(grid) != 1 or grid[0] < 2:
            raise ModelError(f"nodes must be at least 2 abilities (G,); got shape {grid}")
        self.nodes = parameters("nodes", nodes, grid)
        if not (np.diff(self.nodes) > 0).all():
            raise ModelError("nodes must ascend; got abilities in another order: sort them")
        if np.ndim(curves) != 2:
            raise ModelError(f"curves must be probabilities (I, G); got shape {np.shape(curves)}")
        self.curves = parameters("curves", curves, (len(self.items), *grid), 0, 1)
        self.curves = np.clip(self.curves, PREDICTION_MARGIN, 1 - PREDICTION_MARGIN)
        self.prior = parameters("prior", prior, grid, 0)
        if not self.prior.sum() > 0:
            raise ModelError("prior must have a positive sum; got only 0")
        if abs(self.prior.sum() - 1) > 1e-12:  # else a saved model would change its last bits
            self.prior /= self.prior.sum()
        self._by_node = np.ascontiguousarray(self.curves.T)

    @classmethod
    def of_parameters(
        cls,
        source: ItemParameters | HasItemParameters,
        items: Any = None,
        *,
        groups: ArrayLike | None = None,
        prior_mean: float = 0.0,
        prior_sd: float = 1.0,
        nodes: int = NODES,
    ) -> Self:
        """Return the model of calibrated items.

        source      ItemParameters, a fit or a bank, with J items
        items       Items; by default the items of `source` with one skill, or with one skill per group
        groups      (J,) group of each item, from 0: the items of the model are the groups, each with the mean curve of
                    its members, such as cells of questions; None for the items themselves
        prior_mean  mean of the normal prior, logits, in [-6, 6]
        prior_sd    its standard deviation, logits, in [0.1, 100]
        nodes       number of nodes in [-6, 6]
        """
        calibrated = items_of(source)
        if isinstance(nodes, bool) or not isinstance(nodes, int | np.integer) or nodes < 3:
            raise ModelError(f"nodes must be an integer of at least 3; got {nodes!r:.100}")
        grid = quadrature(int(nodes))
        curves = probability(grid, calibrated).T
        if groups is not None:
            curves = _mean_curves(curves, groups)
        mean = parameters("prior_mean", prior_mean, (), -RANGE, RANGE)
        sd = parameters("prior_sd", prior_sd, (), 0.1, 100)
        if items is None:
            names = calibrated.names if groups is None else np.arange(len(curves)).astype(np.str_)
            items = Items(names, [SKILL] * len(names))
        return cls(items, curves, grid, np.exp(-(((grid - mean) / sd) ** 2) / 2))

    @classmethod
    def of_fit(cls, fit: IRTFit, items: Any = None) -> Self:
        """Return the model of a fit, with its nodes and its prior N(0, 1).

        items  Items; by default those of the fit, with one skill. An item that is not in the fit has its mean curve,
               weighted by the number of responses
        """
        table = Items(fit.items, [SKILL] * len(fit.items)) if items is None else as_items(items)
        codes = codes_of(table.names, fit.items)
        return cls(
            table,
            fit.curves[np.where(codes < 0, len(fit.items), codes)],
            quadrature(fit.nodes),
            node_weights(fit.nodes),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the curves, the nodes and the prior."""
        return {"curves": self.curves, "nodes": self.nodes, "prior": self.prior}

    def ability(self, students: Students) -> Ability:
        """Return mean and variance of the posterior of each student's ability. Raises ModelError for other states."""
        self._count(students)
        mean, square = np.zeros((2, len(students["posterior"])))
        for k, node in enumerate(self.nodes):
            mean += students["posterior"][:, k] * node
        for k, node in enumerate(self.nodes):
            square += students["posterior"][:, k] * (node - mean) ** 2
        return Ability(mean, square)

    def expected_reduction(self, students: Students, items: Longs) -> Doubles:
        """Return the expected reduction of the variance of ability by an answer to each item (M,), (n, M), logits^2.

            Cov(ability, P)^2 / (P (1 - P)), over the posterior of the student

        It equals the variance of the posterior mean over both answers.
        Source: van der Linden & Pashley (2000), Item selection and ability estimation in adaptive testing.
        """
        posterior, mean = students["posterior"], self.ability(students).mean
        chance, covariance = np.zeros((2, len(posterior), len(items)))
        for k, node in enumerate(self.nodes):
            curve = self._by_node[k][items]
            chance += posterior[:, k, None] * curve
            covariance += (posterior[:, k] * (node - mean))[:, None] * curve
        return np.asarray(covariance**2 / (chance * (1.0 - chance)))

    def _start(self, n: int) -> Students:
        """Return the prior of each student."""
        return {"posterior": np.tile(self.prior, (n, 1))}

    def _update(self, students: Students, rows: Longs, items: Longs, correct: Codes) -> None:
        """Multiply the posterior by the likelihood of the answer."""
        curves = self.curves[items]
        joint = students["posterior"][rows] * np.where(correct[:, None] == 1, curves, 1.0 - curves)
        # A cumulative sum adds in order; a plain sum may add in another order in another batch.
        students["posterior"][rows] = joint / np.cumsum(joint, axis=1)[:, -1:]

    def _chance(self, students: Students, items: Longs) -> Doubles:
        """Return the mean of the curves under the posterior."""
        posterior = students["posterior"]
        total = np.zeros(np.broadcast_shapes((len(posterior), 1), items.shape))
        for k in range(len(self.nodes)):
            total += posterior[:, k, None] * self._by_node[k][items]
        return total

    def _mastery(self, students: Students) -> Doubles:
        """Return the mean curve of the items of each skill, under the posterior."""
        posterior = students["posterior"]
        total = np.zeros((len(posterior), self.items.num_skills))
        for k in range(len(self.nodes)):
            total += posterior[:, k, None] * self._by_skill[k]
        return total

    @cached_property
    def _by_skill(self) -> Doubles:
        """Mean curve of the items of each skill, (G, K): mastery would else take the chance of every item."""
        return self.items.mean_by_skill(self._by_node)


def _mean_curves(curves: Doubles, groups: ArrayLike) -> Doubles:
    """Return the mean curve (I, G) of each group of items, given their curves (J, G). Raises ModelError for others."""
    codes = np.asarray(groups)
    if codes.shape != (len(curves),) or codes.dtype.kind not in "iu" or codes.min() < 0:
        raise ModelError(
            f"groups must be {len(curves)} integers from 0, one per calibrated item; got {codes.dtype} of shape "
            f"{codes.shape}"
        )
    counts = np.bincount(codes)
    if not counts.all():
        raise ModelError(f"each group must have an item; group {int(np.argmin(counts))} has none: number them from 0")
    total = np.zeros((len(counts), curves.shape[1]))
    np.add.at(total, codes, curves)
    return np.asarray(total / counts[:, None])
