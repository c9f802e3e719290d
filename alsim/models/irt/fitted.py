"""Fitted item response model: item parameters, predictions and ability estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError
from alsim.jit.compile import kernel
from alsim.models.base import Fit, ModelError
from alsim.models.irt.ability import Abilities, Answers, Method, as_method, estimate_ability
from alsim.models.irt.curves import NO_ESTIMATES, ItemParameters, left_out, probability
from alsim.models.irt.estimation import RANGE, node_weights, quadrature
from alsim.models.irt.maximisation import MODELS, PARAMETERS_PER_ITEM, Priors, at_bounds
from alsim.models.matching import check_columns
from alsim.responses.cells import starts
from alsim.responses.log import Responses, check_answers, codes_of
from alsim.types import Bools, Codes, Doubles, Ints, Longs, f64
from alsim.utils.names import name_array

PREDICTION_MARGIN = 1e-12
"""Predictions are clipped to [margin, 1 - margin], so that no response makes the posterior zero everywhere."""

MIN_NODES, MAX_NODES = 11, 10_001
"""Bounds of the number of quadrature nodes."""

NOT_A_MAXIMUM = "no standard errors: the information is not positive definite, so the estimates are not a maximum"
"""Note of a fit without standard errors."""

COLUMNS = ("a", "b", "c", "se_a", "se_b", "se_c")


@dataclass(frozen=True, eq=False)
class IRTFit(Fit):
    """A calibrated item response model, on the scale on which the students' ability is N(0, 1).

        P = c + (1 - c) / (1 + exp(-(a theta + d))),    d = -a b

    variant         "rasch", "1pl", "2pl" or "3pl"
    items           (I,) names
    a, d, c         (I,) estimates, a in 1/logit, d in logits; d is the intercept, as in mirt, also as `intercept`.
                    NaN for an item without a finite estimate: it has no responses, or its responses are all correct or
                    all wrong
    se_a … se_d     (I,) standard errors; se_b is that of the difficulty b. NaN for parameters that are not estimated,
                    for a c at a bound, and for items whose a or d is at a bound
    responses       (I,) sum of the weights of the responses to each item
    correct         (I,) sum of the weights of the correct responses
    num_students    sum of the weights of the students with responses
    priors          prior densities of the item parameters
    nodes           number of quadrature nodes
    between         True if the standard errors use the information between items
    notes           sentences about unusual results, such as an estimate at a bound

    The log-likelihood is marginal, in nats, and excludes the priors' densities.
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
        """Difficulty (I,), -d / a, logits."""
        return np.asarray(-self.d / self.a)

    @property
    def intercept(self) -> Doubles:
        """Intercept (I,), d = -a b, logits, as in mirt; not the upper asymptote d of `ItemParameters`."""
        return self.d

    @property
    def estimated(self) -> Bools:
        """(I,) True for the items that have estimates."""
        return np.isfinite(self.d)

    @property
    def at_bounds(self) -> Bools:
        """(I,) True for the items whose a or d is at a bound, |a| = 10 or |d| = 30; they have no standard errors."""
        return at_bounds(self.a, self.d)

    @property
    def caveats(self) -> tuple[str, ...]:
        """Clauses that qualify the fit: estimates at a bound, and estimates that are not a maximum."""
        count, total = int(self.at_bounds.sum()), len(self.items)
        found = [f"{count:,} of {total:,} items {'is' if count == 1 else 'are'} at a bound"] if count else []
        return (*found, *(["the estimates are not a maximum"] if NOT_A_MAXIMUM in self.notes else []))

    @property
    def item_parameters(self) -> ItemParameters:
        """Parameters and names of the items that have estimates, in the order of `items`; `notes` list the others."""
        estimated = self.estimated
        notes = left_out(self.items[~estimated], NO_ESTIMATES)
        notes += () if self.converged else ("the fit has not converged, so the parameters may be inaccurate",)
        return ItemParameters(
            self.a[estimated], self.b[estimated], self.c[estimated], names=self.items[estimated], notes=notes
        )

    @property
    def num_parameters(self) -> int:
        """Number of estimated parameters."""
        return PARAMETERS_PER_ITEM[self.variant] * int(self.estimated.sum()) + (self.variant == "1pl")

    @property
    def aic(self) -> float:
        """Akaike's information criterion, 2 num_parameters - 2 log_likelihood."""
        return 2 * self.num_parameters - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's Bayesian information criterion, num_parameters log(num_students) - 2 log_likelihood."""
        return self.num_parameters * math.log(self.num_students) - 2 * self.log_likelihood

    @cached_property
    def curves(self) -> Doubles:
        """Probabilities (I + 1, K) of a correct answer at each node; the last row is for unknown items.

        An item without estimates has the constant probability (correct + 1) / (responses + 2). An item without
        responses, and an unknown item, have the mean curve, weighted by the number of responses.
        """
        curves = np.empty((len(self.items) + 1, self.nodes))
        constant = (self.correct + 1) / (self.responses + 2)
        curves[:-1] = constant[:, None]
        curves[:-1][self.estimated] = probability(quadrature(self.nodes), self.item_parameters).T
        curves[-1] = self.responses @ curves[:-1] / self.responses.sum()
        curves[:-1][self.responses == 0] = curves[-1]
        return np.clip(curves, PREDICTION_MARGIN, 1 - PREDICTION_MARGIN)

    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) that each response is correct: its mean under the posterior of ability.

        responses  any log; items are matched by name

        The posterior is N(0, 1) before a student's first response, and is updated after each response. An item that was
        absent from the fitted log has the mean curve of the items, weighted by their numbers of responses.
        """
        responses = self._matched(responses)
        codes = codes_of(responses.items, self.items)[responses.item]
        rows = np.where(codes < 0, len(self.items), codes).astype(np.int32)
        predictions = np.empty(len(responses))
        prior = node_weights(self.nodes)
        predict_responses(responses.start, rows, responses.correct, self.curves.ravel(), prior, predictions)
        return predictions

    def scores(self, responses: Responses, method: Method = "eap") -> Abilities:
        """Estimate the ability of each student.

        responses  responses of S students; items are matched by name
        method     "eap", "map", "ml" or "wle", see `estimate_ability`; EAP uses the nodes of the fit

        Returns the Abilities. Responses to unknown items are ignored, with a warning that counts them. Responses to
        items without estimates, which `notes` list, are ignored too. Raises AlsimError for another method, and if no
        item is known.
        """
        return abilities_of(self, self._matched(responses), method)

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as a dictionary of JSON values; None for parameters that are not estimated."""
        columns = {name: getattr(self, name) for name in (*COLUMNS, "d", "se_d")}
        rows = {
            str(name): {
                **{key: _finite_or_none(column[i]) for key, column in columns.items()},
                "responses": _int_if_whole(self.responses[i]),
                "correct": _int_if_whole(self.correct[i]),
            }
            for i, name in enumerate(self.items)
        }
        return {
            "variant": self.variant,
            "items": rows,
            **self._summary(),
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
        """Return the fit from the result of `to_dict`.

        Raises KeyError for a missing key, and TypeError or ValueError for an invalid value.
        """
        rows = content["items"]
        columns: dict[str, Any] = {
            name: np.array([math.nan if row[name] is None else float(row[name]) for row in rows.values()])
            for name in ("a", "d", "c", "se_a", "se_b", "se_c", "se_d", "responses", "correct")
        }
        _check_columns(columns)
        if content["variant"] not in MODELS:
            raise ValueError(f"variant must be one of {', '.join(MODELS)}; got {content['variant']!r}")
        nodes = content["nodes"]
        if type(nodes) is not int or not MIN_NODES <= nodes <= MAX_NODES:
            raise ValueError(f"nodes must be an integer from {MIN_NODES} to {MAX_NODES}; got {nodes!r}")
        fit = cls(
            variant=content["variant"],
            items=name_array(list(rows)),
            **columns,
            num_students=float(content["students"]),
            priors=Priors(
                **{k: None if v is None else (float(v[0]), float(v[1])) for k, v in content["priors"].items()}
            ),
            nodes=nodes,
            between=bool(content["between"]),
            **cls._read_summary(content),
            notes=tuple(map(str, content["notes"])),
        )
        _ = fit.item_parameters  # raises AlsimError, a ValueError, for invalid parameters
        return fit

    def table(self) -> list[dict[str, str | int | float]]:
        """Return one row per item: name, estimates, standard errors and responses; an empty string for no estimate."""
        rows: list[dict[str, str | int | float]] = []
        for i, name in enumerate(self.items):
            row: dict[str, str | int | float] = {"item": str(name)}
            for key in COLUMNS:
                value = _finite_or_none(getattr(self, key)[i])
                row[key] = "" if value is None else value
            rows.append({**row, "responses": round(float(self.responses[i]))})
        return rows


def abilities_of(fit: IRTFit, responses: Responses, method: Method) -> Abilities:
    """Return the result of `IRTFit.scores`, without a warning about unknown items."""
    item = estimated_item_index(fit, responses)
    known = item >= 0
    counts = np.bincount(responses.student[known], minlength=responses.num_students)
    answers = Answers(starts(counts), item[known], responses.correct[known])
    limits: dict[str, Any] = {"bounds": (-RANGE, RANGE), "nodes": fit.nodes} if as_method(method) == "eap" else {}
    estimates = estimate_ability(fit.item_parameters, answers, method, **limits)
    return Abilities.of(*estimates, responses.students)


def estimated_item_index(fit: IRTFit, responses: Responses) -> Ints:
    """Return the index (R,) of each response's item among the items that have estimates; -1 for other items.

    Raises ModelError for columns without names that are not those of the fit.
    """
    check_answers(responses, "a statistic of an item response model")
    try:
        check_columns(responses, "item", fit.items)
    except AlsimError as error:
        raise ModelError(str(error)) from None
    index = np.full(len(fit.items) + 1, -1, np.int32)
    index[:-1][fit.estimated] = np.arange(fit.estimated.sum())
    return np.asarray(index[codes_of(responses.items, fit.items)][responses.item])


def _finite_or_none(value: float) -> float | None:
    """Return a number for JSON: None if it is not finite."""
    return float(value) if math.isfinite(value) else None


def _int_if_whole(value: float) -> float:
    """Return a sum of weights for JSON: an int if it is a whole number, else a float."""
    return int(value) if float(value).is_integer() else float(value)


def _check_columns(columns: dict[str, Doubles]) -> None:
    """Raise ValueError for invalid columns of items."""
    has_estimate, responses = np.isfinite(columns["d"]), columns["responses"]
    if not has_estimate.any():
        raise ValueError("no item has estimates")
    if not (responses >= 0).all() or not np.isfinite(responses).all():
        raise ValueError("the number of responses of an item must be finite and at least 0")
    if not (responses[has_estimate] > 0).all():
        raise ValueError("an item has estimates but no responses")


@kernel
def predict_responses(
    start: Longs, row: Ints, correct: Codes, probabilities: Doubles, prior: Doubles, predictions: Doubles
) -> None:
    """Write the probability (R,) that each response is correct, given the earlier responses of the same student.

    row            (R,) row of each response's item in `probabilities`
    probabilities  (rows * K,) flat table, in (0, 1)
    prior          (K,) weights of the nodes, which sum to 1
    """
    nodes = len(prior)
    posterior = np.empty(nodes, f64)
    for s in range(len(start) - 1):
        posterior[:] = prior
        for r in range(start[s], start[s + 1]):
            base = row[r] * nodes
            expected = f64(0)
            for k in range(nodes):
                expected += posterior[k] * probabilities[base + k]
            predictions[r] = expected
            is_correct = correct[r] == 1
            total = f64(0)
            for k in range(nodes):
                p = probabilities[base + k]
                posterior[k] *= p if is_correct else f64(1) - p
                total += posterior[k]
            for k in range(nodes):
                posterior[k] /= total
