"""A fitted item response model: what its items are like, and what it says of students."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from alsim.jit.compile import kernel
from alsim.models.base import Fit, ModelError
from alsim.models.irt.ability import Abilities, Answers, Method, estimate_ability
from alsim.models.irt.curves import ItemParameters, probability
from alsim.models.irt.estimation import RANGE, Groups, log_prior, quadrature
from alsim.models.irt.maximisation import MODELS, Priors
from alsim.responses.log import Responses, codes_of
from alsim.types import Bools, Codes, Doubles, Ints, Longs, f64

CERTAIN = 1e-12
"""A forecast is held this far from 0 and 1, so that a surprise leaves a posterior."""

COLUMNS = ("a", "b", "c", "se_a", "se_b", "se_c")


@dataclass(frozen=True, eq=False)
class IRTFit(Fit):
    """Items calibrated on one scale, where the students' ability is N(0, 1).

        P = c + (1 - c) / (1 + exp(-(a theta + d))),    d = -a b

    variant         "rasch", "1pl", "2pl" or "3pl"
    items           (I,) names
    a, d, c         (I,) estimates; NaN for an item that nobody answered, or all alike, which has no finite one
    se_a … se_c     (I,) standard errors, b's among them; NaN for what is not estimated
    responses       (I,) responses to the item, weights counted
    correct         (I,) of them correct
    num_students    weights counted
    priors          prior densities that the estimates are under
    nodes           of the quadrature
    between         whether standard errors count what is known between items
    notes           sentences on what is unlike the usual

    The log-likelihood is marginal, in nats, and without the priors' densities.
    """

    model: ClassVar[str] = "irt"
    variant: str
    items: NDArray[np.str_]
    a: Doubles
    d: Doubles
    c: Doubles
    se_a: Doubles
    se_b: Doubles
    se_c: Doubles
    se_d: Doubles
    responses: Doubles
    correct: Doubles
    num_students: float
    priors: Priors
    nodes: int
    between: bool
    log_likelihood: float
    iterations: int
    converged: bool
    num_responses: int
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return f"<IRTFit: {self.variant} of {len(self.items):,} items, log-likelihood {self.log_likelihood:.3f}>"

    @property
    def b(self) -> Doubles:
        """Difficulty (I,), logits: -d / a."""
        return np.asarray(-self.d / self.a)

    @property
    def estimated(self) -> Bools:
        """Which items (I,) have estimates."""
        return np.isfinite(self.d)

    @property
    def item_parameters(self) -> ItemParameters:
        """The parameters of the items that have estimates, in their order."""
        there = self.estimated
        return ItemParameters(self.a[there], self.b[there], self.c[there])

    @property
    def num_parameters(self) -> int:
        """How many parameters were estimated."""
        many = int(self.estimated.sum())
        return {"rasch": many, "1pl": many + 1, "2pl": 2 * many, "3pl": 3 * many}[self.variant]

    @property
    def aic(self) -> float:
        """Akaike's information criterion: 2 parameters - 2 log-likelihood."""
        return 2 * self.num_parameters - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's: parameters log(students) - 2 log-likelihood."""
        return self.num_parameters * math.log(self.num_students) - 2 * self.log_likelihood

    @cached_property
    def _chances(self) -> Doubles:
        """Chances (I + 1, K) of a correct answer at each node.

        The curve of each item; of one that all answered alike, (correct + 1) / (responses + 2) at every ability; of
        one that nobody answered and in the last row, for items that the fit has not met, the mean curve of all
        responses.
        """
        curves = np.empty((len(self.items) + 1, self.nodes))
        alike = (self.correct + 1) / (self.responses + 2)
        curves[:-1] = alike[:, None]
        curves[:-1][self.estimated] = probability(quadrature(self.nodes), self.item_parameters).T
        curves[-1] = self.responses @ curves[:-1] / self.responses.sum()
        curves[:-1][self.responses == 0] = curves[-1]
        return np.clip(curves, CERTAIN, 1 - CERTAIN)

    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) of a correct response: its mean under the posterior of the student's ability.

        The posterior is of the student's earlier responses in `responses`, and N(0, 1) before the first. An item that
        the fit has not met is taken for one drawn at random from the responses that it was fitted to.
        """
        codes = codes_of(responses.items, self.items)[responses.item]
        rows = np.where(codes < 0, len(self.items), codes).astype(np.int32)
        prior = np.exp(log_prior(Groups(np.zeros(1), np.ones(1)), quadrature(self.nodes)))[0]
        forecasts = np.empty(len(responses))
        forecast(responses.start, rows, responses.correct, self._chances.ravel(), prior, forecasts)
        return forecasts

    def scores(self, responses: Responses, method: Method = "eap") -> Abilities:
        """Return the ability (S,) of each student, its standard error, and how many responses it rests on.

        method  "eap", "map", "ml" or "wle", as `estimate_ability` takes it; EAP on the nodes of the fit

        Responses to items that the fit has not met, or has no estimate of, do not count.
        """
        place = np.full(len(self.items) + 1, -1, np.int32)
        place[:-1][self.estimated] = np.arange(self.estimated.sum())
        item = place[codes_of(responses.items, self.items)][responses.item]
        known = item >= 0
        counts = np.bincount(responses.student[known], minlength=responses.num_students)
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        answers = Answers(start, item[known], responses.correct[known])
        if method == "eap":
            return estimate_ability(self.item_parameters, answers, method, bounds=(-RANGE, RANGE), nodes=self.nodes)
        return estimate_ability(self.item_parameters, answers, method)

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as JSON holds it; null stands for what is not estimated."""
        columns = {name: getattr(self, name) for name in (*COLUMNS, "d", "se_d")}
        rows = {
            str(name): {
                **{key: _number(column[i]) for key, column in columns.items()},
                "responses": _count(self.responses[i]),
                "correct": _count(self.correct[i]),
            }
            for i, name in enumerate(self.items)
        }
        return {
            "variant": self.variant,
            "items": rows,
            "log_likelihood": self.log_likelihood,
            "iterations": self.iterations,
            "converged": self.converged,
            "responses": self.num_responses,
            "students": self.num_students,
            "parameters": self.num_parameters,
            "aic": self.aic,
            "bic": self.bic,
            "priors": self.priors._asdict(),
            "nodes": self.nodes,
            "between": self.between,
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the fit that `to_dict` gave; raises KeyError, TypeError or ValueError for anything else."""
        rows = content["items"]
        columns = {
            name: np.array([math.nan if row[name] is None else float(row[name]) for row in rows.values()])
            for name in ("a", "d", "c", "se_a", "se_b", "se_c", "se_d", "responses", "correct")
        }
        if content["variant"] not in MODELS:
            raise ValueError(f"variant is one of {', '.join(MODELS)}; got {content['variant']!r}")
        if not rows or not np.isfinite(columns["d"]).any():
            raise ValueError("no item has estimates")
        if not (columns["responses"] >= 0).all() or not np.isfinite(columns["responses"]).all():
            raise ValueError("responses of an item are a number of at least 0")
        if not (columns["responses"][np.isfinite(columns["d"])] > 0).all():
            raise ValueError("an item has estimates and no responses")
        nodes = content["nodes"]
        if type(nodes) is not int or not LEAST_NODES <= nodes <= MOST_NODES:
            raise ValueError(f"nodes is an integer from {LEAST_NODES} to {MOST_NODES}; got {nodes!r}")
        fit = cls(
            variant=content["variant"],
            items=np.array(list(rows), np.str_),
            **columns,
            num_students=float(content["students"]),
            priors=Priors(
                **{k: None if v is None else (float(v[0]), float(v[1])) for k, v in content["priors"].items()}
            ),
            nodes=nodes,
            between=bool(content["between"]),
            log_likelihood=float(content["log_likelihood"]),
            iterations=int(content["iterations"]),
            converged=bool(content["converged"]),
            num_responses=int(content["responses"]),
            notes=tuple(map(str, content["notes"])),
        )
        _ = fit.item_parameters  # which refuses what no item can be
        return fit

    def table(self) -> list[dict[str, str | int | float]]:
        """Return a row an item: name, estimates with standard errors, responses; empty where there is none."""
        rows: list[dict[str, str | int | float]] = []
        for i, name in enumerate(self.items):
            row: dict[str, str | int | float] = {"item": str(name)}
            for key in COLUMNS:
                value = _number(getattr(self, key)[i])
                row[key] = "" if value is None else value
            rows.append({**row, "responses": round(float(self.responses[i]))})
        return rows


LEAST_NODES, MOST_NODES = 11, 10_001


def _number(value: float) -> float | None:
    """Return a number as JSON has it: None for one that is not finite."""
    return float(value) if math.isfinite(value) else None


def _count(value: float) -> float:
    """Return how many as JSON has it: an integer, but where students stand for parts of one."""
    return int(value) if float(value).is_integer() else float(value)


@kernel
def forecast(start: Longs, row: Ints, correct: Codes, chances: Doubles, prior: Doubles, forecasts: Doubles) -> None:
    """Write the chance (R,) of each response, student by student, and then learn from the response.

    row      (R,) of `chances`
    chances  flat (rows, K), in (0, 1)
    prior    (K,) sums to 1
    """
    nodes = len(prior)
    post = np.empty(nodes, f64)
    for s in range(len(start) - 1):
        post[:] = prior
        for r in range(start[s], start[s + 1]):
            base = row[r] * nodes
            chance = f64(0)
            for k in range(nodes):
                chance += post[k] * chances[base + k]
            forecasts[r] = chance
            right = correct[r] == 1
            total = f64(0)
            for k in range(nodes):
                p = chances[base + k]
                post[k] *= p if right else f64(1) - p
                total += post[k]
            for k in range(nodes):
                post[k] /= total


__all__ = ["IRTFit", "ModelError"]
