"""Ability estimation by ML, MAP, EAP and WLE from answers to calibrated items, for many people at once."""

from __future__ import annotations

import logging
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError
from alsim.jit.compile import kernel, phase, rule
from alsim.models.irt.curves import (
    HasItemParameters,
    ItemColumns,
    ItemParameters,
    as_finite,
    as_indices,
    curve,
    curves,
    informations,
    item_information,
    items_of,
)
from alsim.models.matching import Unknown, match_items, unknown_names
from alsim.models.serialization import table_of
from alsim.responses.cells import Names, places, starts
from alsim.responses.log import Responses, check_answers
from alsim.types import Bools, Codes, Doubles, Ints, Longs, short_repr, u64
from alsim.utils.names import listed

_log = logging.getLogger("alsim.models.names")

Method = Literal["eap", "map", "ml", "wle"]

EAP_NODES, MODE_NODES = 33, 65
"""Default numbers of nodes in [-4, 4]: 1/4 logit apart for the integrals of EAP, as in catR, and 1/8 for modes."""

MIN_SD_IN_STEPS = 0.6
"""Smallest posterior SD that EAP resolves, in distances between nodes.

At 0.6, the trapezoid rule has a relative error of 2 exp(-2 pi^2 0.6^2) = 1/600. The SD of a
narrower posterior is overestimated: it is 0.5 for an arbitrarily narrow posterior in the middle between two nodes. The
grid is then refined."""

REFINEMENT, MAX_REFINED_NODES = 4, 1000
"""Factor by which a refinement divides the distance between nodes, and the largest number of nodes it may lead to."""

MIN_LIKELIHOOD = 1e-150
"""Smallest product of probabilities that is used; below it, logarithms are summed. float64 ends at 1e-308."""

MODE_TOLERANCE = 1e-11
"""The search for a mode ends when a step is shorter than this, in logits; the next step would be far shorter."""

MAX_MODE_STEPS = 200
"""Limit of steps in the search for a mode; bisection alone would take 45."""


@short_repr
class Answers(NamedTuple):
    """Answers of S people to calibrated items, as a list; person s has the rows start[s]:start[s + 1].

    start    (S+1,) int64; start[0] is 0 and start[S] is R
    item     (R,)   int32, index of the item
    correct  (R,)   int8, 0 or 1
    """

    start: Longs
    item: Ints
    correct: Codes


class _Estimates(NamedTuple):
    """The fields of `Abilities` that are unpacked."""

    theta: Doubles
    se: Doubles
    responses: Longs


@short_repr
class Abilities(_Estimates):
    """Ability estimates of S people, which are unpacked as `theta, se, responses`.

    theta      (S,) ability, logits; NaN where no estimate exists: ML and WLE without information
    se         (S,) standard error of theta, logits; infinite where no estimate exists
    responses  (S,) number of answers that the estimate uses
    students   (S,) names of the people in a response log; None for answers without names
    """

    students: Names | None = None

    @classmethod
    def of(cls, theta: Doubles, se: Doubles, responses: Longs, students: Names | None = None) -> Abilities:
        """Return the estimates with the names of the people."""
        abilities = cls(theta, se, responses)
        abilities.students = students
        return abilities

    def table(self) -> list[dict[str, Any]]:
        """Return one row per person: student, theta, se and responses. Without names, student is the index."""
        names = np.arange(len(self.theta)) if self.students is None else self.students
        return table_of({"student": names, "theta": self.theta, "se": self.se, "responses": self.responses})


class Estimator(NamedTuple):
    """Precomputed tables and settings of an estimation method, for kernels.

    For EAP, a row of `table` is the log-likelihood of an answer at the nodes. For the other methods, a row is four
    curves over the nodes, one after another: log-likelihood, its derivative, item information, and the term
    P' P'' / (P Q) of Warm's correction.
    """

    is_eap: bool  # True: integrate the posterior; False: find a mode
    nodes: Doubles  # (G,) equally spaced abilities, logits
    log_weight: Doubles  # (G,) log of the node's quadrature weight times the prior density, up to a constant
    table: Doubles  # (I * 2 * W,) one row per item and answer: W = G for EAP, 4 G for a mode
    prior_mean: float  # logits
    prior_precision: float  # 1/logit^2; 0 without a prior
    warm: float  # 1 for WLE, else 0: factor of Warm's correction


def as_method(name: str) -> Method:
    """Return the name of a method in lower case; raises AlsimError for any other name."""
    if not isinstance(name, str) or name.lower() not in get_args(Method):
        raise AlsimError(f"method must be one of {', '.join(get_args(Method))}; got {name!r}")
    return cast(Method, name.lower())


def make_estimator(
    items: ItemParameters,
    method: Method,
    *,
    prior_mean: float = 0.0,
    prior_sd: float = 1.0,
    bounds: tuple[float, float] = (-4.0, 4.0),
    nodes: int | None = None,
    min_se: float = np.inf,
) -> Estimator:
    """Return the estimator of a method for a set of items.

    min_se  smallest standard error, logits, that EAP must resolve; the nodes are refined if necessary

    The other arguments are those of `estimate_ability`. Raises AlsimError for invalid settings.
    """
    method = as_method(method)
    if np.ndim(as_finite(prior_sd, "prior_sd")) or not 1e-100 < prior_sd < 1e100:
        raise AlsimError(f"prior_sd is {prior_sd}; expected a positive number, from 1e-100 to 1e100")
    if np.ndim(as_finite(prior_mean, "prior_mean")):
        raise AlsimError(f"prior_mean is {prior_mean}; expected a number")
    limits = as_finite(bounds, "bounds")
    if limits.shape != (2,) or not limits[0] < limits[1]:
        raise AlsimError(f"bounds must be two abilities, the lower first; got {bounds}")
    low, high = limits
    if method in ("eap", "map") and not limits[0] <= prior_mean <= limits[1]:
        raise AlsimError(
            f"prior_mean is {prior_mean}; expected an ability within the bounds {tuple(limits.tolist())}: "
            "widen bounds (--bounds)"
        )
    is_eap = method == "eap"
    num_nodes = nodes if nodes is not None else _num_eap_nodes(min_se, high - low) if is_eap else MODE_NODES
    if not isinstance(num_nodes, int | np.integer) or num_nodes < 3:
        raise AlsimError(f"nodes is {num_nodes!r}; expected an integer of at least 3")
    grid = np.linspace(low, high, num_nodes)
    log_trapezoid = np.where((grid == low) | (grid == high), np.log(0.5), 0.0)
    precision = prior_sd**-2 if method in ("eap", "map") else 0.0
    return Estimator(
        is_eap=is_eap,
        nodes=grid,
        log_weight=log_trapezoid - precision * (grid - prior_mean) ** 2 / 2,
        table=_table(items, grid, 1 if is_eap else 4),
        prior_mean=float(as_finite(prior_mean, "prior_mean")),
        prior_precision=float(precision),
        warm=float(method == "wle"),
    )


def _table(items: ItemParameters, nodes: Doubles, num_curves: int) -> Doubles:
    """Return the first `num_curves` curves of `Estimator.table`, flat."""
    p, q, slope, curvature = curves(nodes, *(column[:, None] for column in items.columns))
    info, warm_term = informations(p, q, slope), slope * (curvature / (p * q))
    wrong, right = (np.log(q), -slope / q, info, warm_term), (np.log(p), slope / p, info, warm_term)
    return np.stack([np.stack(wrong[:num_curves], 1), np.stack(right[:num_curves], 1)], 1).ravel()


def estimate_ability(
    items: ItemParameters | HasItemParameters,
    responses: ArrayLike | Responses | Answers,
    method: Method = "eap",
    *,
    prior_mean: float = 0.0,
    prior_sd: float = 1.0,
    bounds: tuple[float, float] = (-4.0, 4.0),
    nodes: int | None = None,
) -> Abilities:
    """Estimate the abilities of S people, each from the items that this person answered.

        EAP   mean of the posterior L(theta) N(theta; mean, sd), integrated on equally spaced nodes by the trapezoid
              rule;                                               SE = standard deviation of the posterior
        MAP   mode of the posterior;                              SE = 1 / sqrt(I(theta) + 1 / sd^2)
        ML    mode of the likelihood L;                           SE = 1 / sqrt(I(theta))
        WLE   root of dlog L / dtheta + J / (2 I) = 0, where J is the sum of P' P'' / (P Q); of several roots, the mode
              of the weighted likelihood;                         SE = 1 / sqrt(I(theta))

    items       I items, as `CAT` accepts them: of a fit, those with a > 0
    responses   one of: an array (S, I), or (I,) for one person, of 0, 1 and -1, where -1 is an item without an answer;
                `Responses` or a data frame, whose items are matched by name; `Answers`. If either the items or those
                of the `Responses` have no names, as in a matrix or a file without a header, they are matched by
                position, with a warning, and must be equal in number
    prior_mean  mean of the normal prior of EAP and MAP, logits, within the bounds
    prior_sd    its standard deviation, logits
    bounds      lowest and highest ability, logits. MAP, ML and WLE estimates are clipped to them: the ML estimate for
                all correct answers is the upper bound. EAP integrates between them
    nodes       number of nodes. The default is 33 for EAP and 65 for the other methods, which search for a mode between
                neighbouring nodes. For people with a narrow posterior, after hundreds of answers, EAP divides the
                distance between the nodes by 4 or 16

    I(theta) is the test information of the answered items. Returns the Abilities of the S people. Responses to unknown
    items are ignored, with a warning that counts them. Raises AlsimError for invalid answers, items and settings, for
    responses to unknown items only, and for items without names that differ in number or have no position.
    Source: Bock & Mislevy (1982) for EAP; Samejima (1969) for MAP; Warm (1989), eq. 9 and 13, for WLE, whose weight is
    sqrt(I) for one and two parameters only; Magis & Raiche (2012), catR.
    """
    if isinstance(responses, Answers) and not isinstance(items, ItemParameters):
        raise AlsimError("Answers have indices of items, so items must be ItemParameters: pass items.item_parameters")
    items = items_of(items)
    if not isinstance(responses, Responses | Answers) and hasattr(responses, "columns"):
        # A data frame, whose columns may be in another order than the items.
        responses = Responses.from_matrix(responses)
    students = responses.students if isinstance(responses, Responses) else None
    if isinstance(responses, Responses):
        responses = _matched(responses, items)
    method = as_method(method)
    answers = as_answers(responses, len(items))
    estimator = make_estimator(items, method, prior_mean=prior_mean, prior_sd=prior_sd, bounds=bounds, nodes=nodes)
    theta, se = np.empty((2, len(answers.start) - 1))
    if estimator.is_eap:
        integrate_all(answers, estimator, np.exp(estimator.table), theta, se)
        step, refined = estimator.nodes[1] - estimator.nodes[0], REFINEMENT * (len(estimator.nodes) - 1) + 1
        narrow = np.flatnonzero(se < MIN_SD_IN_STEPS * step)
        if len(narrow) and refined <= MAX_REFINED_NODES:
            subset = _answers_of(answers, narrow)
            again = estimate_ability(
                items, subset, method, prior_mean=prior_mean, prior_sd=prior_sd, bounds=bounds, nodes=refined
            )
            theta[narrow], se[narrow] = again.theta, again.se
    else:
        find_modes(answers, estimator, items.columns, theta, se)
    return Abilities.of(theta, se, np.diff(answers.start), students)


def _matched(log: Responses, items: ItemParameters) -> Responses | Answers:
    """Return the answers in a log to `items`; the log itself if its items are all of these, in the same order.

    Logs a warning if items are matched by position, and about unknown items, whose responses are ignored. Raises
    AlsimError as `match_items` does, and if no item is known.
    """
    check_answers(log, "an estimate of ability")
    codes, note = match_items(log, items.names, "the responses", "the item parameters")
    if note:
        _log.warning("%s", note)
    if np.array_equal(codes, np.arange(len(items))):
        return log
    known = codes[log.item] >= 0
    unknown = unknown_names(log, "item", codes)
    if unknown.names:
        _warn_of_unknown(unknown, int((~known).sum()), items.names)
    counts = np.bincount(log.student[known], minlength=log.num_students)
    return Answers(starts(counts), codes[log.item[known]].astype(np.int32), log.correct[known])


def _warn_of_unknown(unknown: Unknown, num_responses: int, names: Names) -> None:
    """Log a warning about the unknown items of a log. Raises AlsimError if all are unknown.

    num_responses  number of responses to them
    names          (J,) of the items that have parameters
    """
    if unknown.is_all:
        raise AlsimError(
            f"none of the {unknown.total:,} items of the responses has parameters, such as {unknown.names[0]!r}; the "
            f"parameters are those of {listed(names.tolist())}: use the same names in both"
        )
    left_out = f"no parameters, so {num_responses:,} responses to such items are ignored"
    _log.warning(
        "%s; the parameters are those of %s",
        *(unknown.sentence("the responses", f"has {left_out}", f"have {left_out}"), listed(names.tolist())),
    )


def _num_eap_nodes(min_se: float, width: float) -> int:
    """Return the number of nodes in `width` logits with which EAP resolves standard errors of `min_se`, logits."""
    num_nodes = EAP_NODES
    while min_se < MIN_SD_IN_STEPS * width / (num_nodes - 1) and REFINEMENT * (num_nodes - 1) < MAX_REFINED_NODES:
        num_nodes = REFINEMENT * (num_nodes - 1) + 1
    return num_nodes


def _answers_of(answers: Answers, people: Longs) -> Answers:
    """Return the answers of the people with these indices."""
    sizes = np.diff(answers.start)[people]
    rows = places(answers.start[people], sizes)
    return Answers(starts(sizes), answers.item[rows], answers.correct[rows])


def as_answers(responses: ArrayLike | Responses | Answers, num_items: int) -> Answers:
    """Return answers to `num_items` items as a list; raises AlsimError for invalid responses."""
    if isinstance(responses, Responses):
        if responses.num_items != num_items:
            raise AlsimError(
                f"the log has {responses.num_items} items; expected {num_items}, the given items in the same order: "
                "select the parameters of the log's items with ItemParameters.take"
            )
        return Answers(responses.start, responses.item, responses.correct)
    if isinstance(responses, Answers):
        return _checked(responses, num_items)
    try:
        dense = np.atleast_2d(_without_mask(responses))
    except ValueError as error:  # rows of different lengths
        raise AlsimError(f"responses must have shape (S, {num_items}), one column per item: {error}") from None
    if dense.ndim != 2 or dense.shape[1] != num_items:
        raise AlsimError(f"responses must have shape (S, {num_items}), one column per item; got {np.shape(responses)}")
    codes = _codes(dense, "responses must be 0, 1 or, for an item without an answer, -1", lowest=-1)
    start = np.concatenate([[0], np.cumsum((codes >= 0).sum(axis=1, dtype=np.int64))])
    answers = Answers(start, np.empty(start[-1], np.int32), np.empty(start[-1], np.int8))
    list_answers(codes.ravel(), num_items, answers.item, answers.correct)
    return answers


def _without_mask(responses: ArrayLike) -> NDArray[np.generic]:
    """Return a matrix of answers as an array in which masked answers are -1."""
    if not isinstance(responses, np.ma.MaskedArray):
        return np.asarray(responses)
    values = np.ma.getdata(responses)
    return np.where(np.ma.getmaskarray(responses), -1, values.astype(np.int8) if values.dtype == bool else values)


def _checked(answers: Answers, num_items: int) -> Answers:
    """Return the answers with the documented types; raises AlsimError if they are invalid."""
    start, item = np.asarray(answers.start), as_indices(answers.item, num_items, "items of answers")
    correct = _codes(np.asarray(answers.correct), "answers must be 0 or 1", lowest=0)
    is_sorted = (
        start.ndim == 1 and len(start) > 0 and np.issubdtype(start.dtype, np.integer) and (np.diff(start) >= 0).all()
    )
    if not is_sorted or start[0] != 0 or item.shape != (start[-1],) or correct.shape != item.shape:
        raise AlsimError(
            "Answers must have start (S+1,), integers from 0 to R that never decrease, item (R,) and correct (R,); "
            f"got shapes {start.shape}, {item.shape} and {correct.shape}"
        )
    return Answers(start.astype(np.int64), item.astype(np.int32), correct)


def _codes(values: NDArray[np.generic], expected: str, lowest: int) -> Codes:
    """Return answers as int8; raises AlsimError, which starts with `expected`, for a value outside `lowest` to 1."""
    if values.dtype.kind not in "biuf":
        raise AlsimError(f"{expected}; got {values.dtype}")
    with np.errstate(invalid="ignore"):  # NaN is converted to an integer; the comparison below detects it
        codes = values.astype(np.int8)
    invalid = cast(Bools, (codes < lowest) | (codes > 1) | (codes != values if values.dtype != np.int8 else False))
    if invalid.any():
        raise AlsimError(f"{expected}; got {values[invalid].ravel()[0]}")
    return codes


@kernel
def list_answers(codes: Codes, num_items: int, item: Ints, correct: Codes) -> None:
    """Write the item and the correctness of each answer in `codes` (S * I,), row by row; -1 is no answer."""
    row = 0
    for begin in range(0, len(codes), num_items):
        for i in range(num_items):
            if codes[begin + i] >= 0:
                item[row] = i
                correct[row] = codes[begin + i]
                row += 1


@rule
def sum_rows(answers: Answers, person: int, e: Estimator, sums: Doubles) -> None:
    """Write the sum of the table's rows that belong to a person's answers; its first G values are log-likelihoods."""
    for j in range(len(sums)):
        sums[u64(j)] = 0.0
    for r in range(answers.start[person], answers.start[person + 1]):
        add_row(e.table, answers.item[r], answers.correct[r], sums)


@rule
def add_row(table: Doubles, item: int, correct: int, sums: Doubles) -> None:
    """Add the table's row of an item and an answer to `sums`."""
    row = (2 * item + correct) * len(sums)
    for j in range(len(sums)):
        sums[u64(j)] += table[u64(row + j)]


@phase
def moments(weight: Doubles, nodes: Doubles) -> tuple[float, float]:
    """Return the weighted mean and standard deviation of the nodes."""
    total, first, second = 0.0, 0.0, 0.0
    for g in range(len(nodes)):
        total += weight[g]
        first += weight[g] * nodes[g]
    mean = first / total
    for g in range(len(nodes)):
        second += weight[g] * (nodes[g] - mean) ** 2
    return mean, np.sqrt(second / total)


@rule
def integrate(sums: Doubles, e: Estimator, weight: Doubles) -> tuple[float, float]:
    """Return the mean and standard deviation of the posterior.

    sums    (G,) log-likelihood at the nodes
    weight  (G,) scratch
    """
    top = -np.inf
    for g in range(len(e.nodes)):
        top = max(top, sums[g] + e.log_weight[g])
    for g in range(len(e.nodes)):
        weight[g] = np.exp(sums[g] + e.log_weight[g] - top)
    return moments(weight, e.nodes)


@phase
def multiply_row(table: Doubles, row: int, weight: Doubles) -> None:
    """Multiply `weight` by the part of the table that begins at `row`."""
    for g in range(len(weight)):
        weight[u64(g)] *= table[u64(row + g)]


@kernel
def integrate_all(answers: Answers, e: Estimator, probabilities: Doubles, theta: Doubles, se: Doubles) -> None:
    """Write the EAP estimate and the SE of each person.

    probabilities  (I * 2 * G,) exponential of the estimator's table

    Probabilities are multiplied, which needs no exponential. Logarithms are summed where the product is near underflow.
    """
    num_nodes = len(e.nodes)
    prior, weight, sums = np.exp(e.log_weight), np.empty(num_nodes), np.empty(num_nodes)
    for s in range(len(theta)):
        for g in range(num_nodes):
            weight[u64(g)] = prior[u64(g)]
        for r in range(answers.start[s], answers.start[s + 1]):
            multiply_row(probabilities, (2 * answers.item[r] + answers.correct[r]) * num_nodes, weight)
        top = 0.0
        for g in range(num_nodes):
            top = max(top, weight[g])
        if top > MIN_LIKELIHOOD:
            theta[s], se[s] = moments(weight, e.nodes)
        else:
            sum_rows(answers, s, e, sums)
            theta[s], se[s] = integrate(sums, e, weight)


@rule
def _bracket(sums: Doubles, e: Estimator) -> tuple[float, float]:
    """Return the neighbouring nodes around the highest mode, or a bound twice; NaN without any information.

    Of several modes, the function takes the mode with the highest adjacent node. The logarithm of Warm's weight is
    the integral of its derivative J / (2 I), computed along the nodes.
    """
    num_nodes = len(e.nodes)
    half_step = (e.nodes[1] - e.nodes[0]) / 2
    low, high, best, max_info = np.nan, np.nan, -np.inf, e.prior_precision
    log_weight, ratio_before, slope_before, value_before = 0.0, 0.0, np.inf, -np.inf
    for g in range(num_nodes):
        deviation, info = e.nodes[g] - e.prior_mean, sums[2 * num_nodes + g]
        max_info = max(max_info, info)
        ratio = e.warm * sums[3 * num_nodes + g] / (2 * info) if info > 0 else 0.0
        log_weight += half_step * (ratio + ratio_before) if g > 0 else 0.0
        value = sums[g] - e.prior_precision * deviation * deviation / 2 + log_weight
        slope = sums[num_nodes + g] - e.prior_precision * deviation + ratio
        height = max(value, value_before)
        if slope <= 0 < slope_before and height > best:
            low, high, best = e.nodes[max(g - 1, 0)], e.nodes[g], height
        if g == num_nodes - 1 and slope > 0 and value > best:
            low, high = e.nodes[g], e.nodes[g]
        ratio_before, slope_before, value_before = ratio, slope, value
    return (low, high) if max_info > 0 else (np.nan, np.nan)


@rule
def _derivative(theta: float, e: Estimator, items: ItemColumns, item: Ints, correct: Codes) -> tuple[float, float]:
    """Return the derivative of the log of the function to maximise, and the information at theta, the prior's included.

    item, correct  (J,) answers of one person
    """
    a, b, c, d = items
    score, info, warm_sum = -e.prior_precision * (theta - e.prior_mean), 0.0, 0.0
    for r in range(len(item)):
        i = item[r]
        p, q, slope, curvature = curve(theta, a[i], b[i], c[i], d[i])
        score += slope / p if correct[r] else -slope / q
        info += item_information(p, q, slope)
        warm_sum += slope * (curvature / (p * q))
    return score + e.warm * warm_sum / (2 * info) if info > 0 else score, info + e.prior_precision


@kernel
def find_mode(sums: Doubles, e: Estimator, items: ItemColumns, item: Ints, correct: Codes) -> tuple[float, float]:
    """Return the mode of one person and its SE, by secant steps, or bisection where a step would leave the bracket.

    sums           (4 G,) sum of the table's rows that belong to the answers
    item, correct  (J,) answers
    """
    low, high = _bracket(sums, e)
    theta = (low + high) / 2
    info, theta_before, slope_before = 0.0, np.nan, np.nan
    for _ in range(MAX_MODE_STEPS if low == low else 0):
        slope, info = _derivative(theta, e, items, item, correct)
        if slope > 0:
            low = theta
        else:
            high = theta
        if slope == 0 or high - low < MODE_TOLERANCE:
            break
        secant = (slope - slope_before) / (theta - theta_before)
        step = np.inf  # causes a bisection, unless there is information and the slope decreases
        if secant < 0:
            step = -slope / secant
        elif secant != secant and info > 0:
            step = slope / info
        theta_before, slope_before = theta, slope
        theta = theta + step if low < theta + step < high else (low + high) / 2
        if abs(theta - theta_before) < MODE_TOLERANCE:
            break
    return theta, 1 / np.sqrt(info) if info > 0 else np.inf


@kernel
def find_modes(answers: Answers, e: Estimator, items: ItemColumns, theta: Doubles, se: Doubles) -> None:
    """Write the mode and the SE of each person."""
    sums = np.empty(4 * len(e.nodes))
    for s in range(len(theta)):
        sum_rows(answers, s, e, sums)
        begin, end = answers.start[s], answers.start[s + 1]
        theta[s], se[s] = find_mode(sums, e, items, answers.item[begin:end], answers.correct[begin:end])
