"""Difficulties of items: those that experts expect, and those that follow from responses with shrinkage to them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from alsim.engine.catalogue import Catalogue
from alsim.engine.errors import EngineError
from alsim.jit.compile import kernel
from alsim.models.irt.estimation import node_weights, quadrature
from alsim.models.logistic import logistic
from alsim.models.student.ability import NODES
from alsim.models.student.base import StudentModel
from alsim.types import Codes, Doubles, Longs, short_repr

EXPERT_SD = 0.5
"""Standard deviation of an expected difficulty whose item has none, logits."""
UNKNOWN_SD = 1.0
"""Standard deviation of the difficulty of an item without an expected one, logits: as that of abilities."""
POINTS = 73
"""Number of points of the grid of difficulties of an item."""
WIDTH = 6.0
"""Half the width of the grid, standard deviations of the prior; as well as for the mean curve of a new item."""


@short_repr
class ItemPriors(NamedTuple):
    """Expectations of I items before their first response: normal priors of difficulty, and fixed parameters."""

    mean: Doubles
    """Mean of the difficulty b, (I,), logits."""
    sd: Doubles
    """Standard deviation of the difficulty, (I,), logits."""
    a: Doubles
    """Discrimination, (I,), 1/logit."""
    c: Doubles
    """Probability of a correct answer by guessing, (I,)."""


@short_repr
class Difficulties(NamedTuple):
    """Difficulties of I items, given their responses."""

    difficulty: Doubles
    """Mean of the posterior of the difficulty, (I,), logits; that of the prior for an item without responses."""
    sd: Doubles
    """Standard deviation of the posterior, (I,), logits: the standard error of the difficulty."""
    responses: Longs
    """Number of responses of each item, (I,)."""


def priors_of(catalogue: Catalogue, names: Any) -> ItemPriors:
    """Return what the catalogue says of items (I,) by name.

    A name that is not in the catalogue, as that of a skill without questions, has the values of an item without any.
    """
    rows = [catalogue.items[k] if (k := catalogue.index.get(str(name), -1)) >= 0 else None for name in names]
    known = [row is not None and row.difficulty is not None for row in rows]

    def column(field: str, default: Doubles) -> Doubles:
        values = [None if row is None else getattr(row, field) for row in rows]
        return np.array([d if value is None else value for value, d in zip(values, default.tolist(), strict=True)])

    zeros = np.zeros(len(rows))
    sd = column("difficulty_sd", np.where(known, EXPERT_SD, UNKNOWN_SD))
    return ItemPriors(column("difficulty", zeros), sd, column("discrimination", zeros + 1), column("guess", zeros))


def expert_model(name: str, catalogue: Catalogue) -> StudentModel:
    """Return the model `irt`, `elo` or `glicko` with the expected difficulties of the questions, 0 where unknown.

    The curves of `irt` are means over the prior of the difficulty, and `glicko` has its standard deviation; `elo` has
    no place for it.
    """
    from alsim.engine.models import catalogue_items

    items = catalogue_items(catalogue, by_item=True)
    return model_of_difficulties(name, items, priors_of(catalogue, items.names.tolist()))


def model_of_difficulties(name: str, items: Any, priors: ItemPriors) -> StudentModel:
    """Return the model `irt`, `elo` or `glicko` of items whose difficulties are uncertain.

    priors  of the items; or, after responses, the posterior
    """
    from alsim.models.student.files import class_of

    if name == "irt":
        curves = mean_curves(priors, quadrature(NODES))
        irt: StudentModel = class_of(name)(items, curves, quadrature(NODES), node_weights(NODES))  # type: ignore[call-arg]  # AbilityModel has these
        return irt
    extra = priors.sd if name == "glicko" else priors.c
    made: StudentModel = class_of(name)(items, priors.mean, extra)  # type: ignore[call-arg]  # both have these
    return made


def mean_curves(priors: ItemPriors, nodes: Doubles) -> Doubles:
    """Return the probability of a correct answer at each node, (I, G), averaged over the prior of the difficulty.

        P(theta) = integral of  (c + (1 - c) / (1 + exp(-a (theta - b))))  N(b; mean, sd)  over b

    The integral is a sum over equally spaced points. Such a curve is flatter than that of the mean difficulty: one
    response to a new item says less of a student than one to a calibrated item.
    """
    z = np.linspace(-WIDTH, WIDTH, 25)
    weights = np.exp(-z * z / 2)
    weights /= weights.sum()
    total = np.zeros((len(priors.mean), len(nodes)))
    for x, weight in zip(z.tolist(), weights.tolist(), strict=True):
        b = priors.mean + x * priors.sd
        total += weight * logistic(priors.a[:, None] * (nodes - b[:, None]))
    return np.asarray(priors.c[:, None] + (1.0 - priors.c[:, None]) * total)


def shrunken_difficulties(
    item: ArrayLike,
    correct: ArrayLike,
    posterior: ArrayLike,
    nodes: ArrayLike,
    prior_mean: ArrayLike,
    prior_sd: ArrayLike,
    *,
    a: ArrayLike = 1.0,
    c: ArrayLike = 0.0,
) -> Difficulties:
    """Return the difficulties of I items by Bayes' rule: the responses, shrunken towards what was expected.

        p(b | responses)  is proportional to  N(b; prior_mean, prior_sd) prod over responses of
                                              sum over g of posterior_g P(answer | nodes_g, b)

    item        (R,) item of each response, from 0
    correct     (R,) 0 or 1
    posterior   (R, G) weights of the abilities of the student who gave the response, without that response
    nodes       (G,) abilities, logits
    prior_mean  (I,) expected difficulty, logits
    prior_sd    (I,) or a number: standard deviation of its error, logits, > 0
    a           (I,) or a number: discrimination, 1/logit, > 0
    c           (I,) or a number: probability of a correct answer by guessing, in [0, 1)

    Returns mean and standard deviation of the posterior of each item: the prior's own for an item without responses,
    and nearly the maximum-likelihood estimate with its standard error for one with many. If the abilities are the
    posteriors given all other responses, the product is the marginal likelihood of the difficulty, up to a factor.
    Raises EngineError for other shapes and values.
    Source: Mislevy (1986), Bayes modal estimation in item response models, Psychometrika 51, 177-195.
    """
    mean = np.atleast_1d(np.asarray(prior_mean, np.float64))
    size = mean.shape
    sd, slope, guess = (np.array(np.broadcast_to(np.asarray(v, np.float64), size)) for v in (prior_sd, a, c))
    codes, right = np.asarray(item), np.asarray(correct)
    weights, grid = np.asarray(posterior, np.float64), np.asarray(nodes, np.float64)
    _check_responses(codes, right, weights, grid, len(mean))
    for name, values, valid, words in (
        ("prior_mean", mean, np.isfinite(mean), "finite"),
        ("prior_sd", sd, np.isfinite(sd) & (sd > 0), "positive"),
        ("a", slope, np.isfinite(slope) & (slope > 0), "positive"),
        ("c", guess, (guess >= 0) & (guess < 1), "in [0, 1)"),
    ):
        if not valid.all():
            raise EngineError(f"{name} must be {words}; got {values[~valid][0]} of item {int(np.argmin(valid))}")
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes.astype(np.int64), minlength=len(mean))
    first = np.concatenate([[0], np.cumsum(counts)])
    found = np.stack([mean, sd])
    rows = order.astype(np.int64), right.astype(np.int8), np.ascontiguousarray(weights), np.ascontiguousarray(grid)
    _posteriors(*rows, first, np.linspace(-WIDTH, WIDTH, POINTS), mean, sd, slope, guess, found)
    return Difficulties(found[0], found[1], counts)


def _check_responses(item: Any, correct: Any, posterior: Doubles, nodes: Doubles, num_items: int) -> None:
    """Raise EngineError unless these are R responses to some of the items."""
    if item.ndim != 1 or (item.dtype.kind not in "iu" and item.size):
        raise EngineError(f"item must be R integers; got {item.dtype} of shape {item.shape}: number the items from 0")
    if item.size and not 0 <= item.min() <= item.max() < num_items:
        lost = item.min() if item.min() < 0 else item.max()
        raise EngineError(f"item must be in [0, {num_items}), as prior_mean has {num_items} entries; got {lost}")
    if correct.shape != item.shape or not np.isin(correct, (0, 1)).all():
        raise EngineError(f"correct must be {item.size} answers, 0 or 1; got shape {correct.shape} or other values")
    if nodes.ndim != 1 or not np.isfinite(nodes).all():
        raise EngineError(f"nodes must be finite abilities (G,); got shape {nodes.shape}")
    if posterior.shape != (item.size, nodes.size):
        raise EngineError(f"posterior must have shape ({item.size}, {nodes.size}); got {posterior.shape}")
    if not (np.isfinite(posterior).all() and (posterior >= 0).all() and (posterior.sum(axis=1) > 0).all()):
        raise EngineError("posterior must have weights of at least 0 with a positive sum in each row; got others")


@kernel
def _posteriors(
    order: Longs,
    correct: Codes,
    posterior: Doubles,
    nodes: Doubles,
    first: Longs,
    z: Doubles,
    mean: Doubles,
    sd: Doubles,
    a: Doubles,
    c: Doubles,
    found: Doubles,
) -> None:
    """Write mean and standard deviation (2, I) of the posterior of each item with responses.

    order  (R,) responses by item; item i has those from first[i] to first[i + 1] - 1
    z      (B,) points of the grid around its centre, in units of its scale

    The grid is that of the prior first, and then around the posterior, with its standard deviation.
    """
    for i in range(len(mean)):
        if first[i] == first[i + 1]:
            continue
        centre, scale = mean[i], sd[i]
        for _ in range(3):
            b = centre + scale * z
            log_density = -(((b - mean[i]) / sd[i]) ** 2) / 2
            curves = np.empty((len(nodes), len(b)))
            for g in range(len(nodes)):
                curves[g] = c[i] + (1.0 - c[i]) / (1.0 + np.exp(a[i] * (b - nodes[g])))
            for x in range(first[i], first[i + 1]):
                r = order[x]
                right, total = np.zeros(len(b)), 0.0
                for g in range(len(nodes)):
                    weight = posterior[r, g]
                    total += weight
                    for k in range(len(b)):  # an expression on rows would create arrays
                        right[k] += weight * curves[g, k]
                log_density += np.log(right if correct[r] == 1 else total - right)
            density = np.exp(log_density - log_density.max())
            centre = (density * b).sum() / density.sum()
            width = math.sqrt((density * (b - centre) ** 2).sum() / density.sum())
            found[0, i], found[1, i] = centre, width
            scale = max(width, b[1] - b[0])  # the posterior may be narrower than the distance of the points


__all__ = [
    "Difficulties",
    "ItemPriors",
    "expert_model",
    "mean_curves",
    "model_of_difficulties",
    "priors_of",
    "shrunken_difficulties",
]
