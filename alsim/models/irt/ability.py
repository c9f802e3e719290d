"""Ability of people from their answers to calibrated items: ML, MAP, EAP and WLE, many people at once."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError
from alsim.jit.compile import kernel, phase, rule
from alsim.models.irt.curves import ItemParameters, as_finite, as_indices, curve, curves, informations, item_information
from alsim.responses.cells import places, starts
from alsim.responses.log import Responses
from alsim.types import Bools, Codes, Doubles, Ints, Longs, u64

Method = Literal["eap", "map", "ml", "wle"]

EAP_NODES, MODE_NODES = 33, 65
"""In [-4, 4] steps of 1/4, as catR integrates, and of 1/8, within which one mode is looked for."""

NARROW, FINER, MOST_NODES = 0.6, 4, 1000
"""A posterior with an sd below 0.6 of the nodes' distance falls between them: two nodes beside one as narrow as may be
have an sd of 0.5. At 0.6 the trapezoid rule is off by 2 exp(-2 pi^2 0.6^2), a part in 600; more answers, and it soon
tells nothing. The distance is then divided by four, and again, as long as there are no more nodes than these."""

TINY = 1e-150
"""Below it, a product of chances is taken anew as a sum of logarithms; float64 ends at 1e-308."""

CLOSE = 1e-11
"""A mode is found when a secant step is no longer than this, in logits: the next one would be far shorter."""

MOST_STEPS = 200
"""Of a search for a mode: bisection alone would take 45."""


class Answers(NamedTuple):
    """Who answered what: the rows of person s are those from start[s] to start[s + 1].

    start    (S+1,) int64
    item     (R,)   int32, index of the item
    correct  (R,)   int8, 0 or 1
    """

    start: Longs
    item: Ints
    correct: Codes


class Abilities(NamedTuple):
    """Estimates of S people.

    theta      (S,) ability, logits; NaN where there is no estimate: ML and WLE of answers that tell nothing
    se         (S,) its standard error, logits; infinite there
    responses  (S,) how many answers it rests on
    """

    theta: Doubles
    se: Doubles
    responses: Longs


class Estimator(NamedTuple):
    """How ability is estimated, as kernels take it.

    For a mode a row of `table` holds four curves over the nodes, one after another: log-likelihood of the answer,
    its slope, information, and P' P'' / (P Q) of Warm's correction.
    """

    integrates: bool  # EAP; else a mode is looked for
    nodes: Doubles  # (G,) equally spaced abilities, logits
    log_weight: Doubles  # (G,) of a node in the integral: its width and the prior's density
    table: Doubles  # (I * 2 * W,) of item, answer: W = G log-likelihoods, or 4 G for a mode
    mean: float  # of the prior, logits
    precision: float  # of the prior, 1/logit^2; 0 without one
    warm: float  # how much of Warm's correction: 0 or 1


def make_estimator(
    items: ItemParameters,
    method: Method,
    *,
    prior_mean: float = 0.0,
    prior_sd: float = 1.0,
    bounds: tuple[float, float] = (-4.0, 4.0),
    nodes: int | None = None,
    least_se: float = np.inf,
) -> Estimator:
    """Return an estimator of ability by these items; arguments as of `estimate_ability`.

    least_se  EAP is to tell standard errors down to this, logits, and takes finer nodes where it must
    """
    if method not in get_args(Method):
        raise AlsimError(f"method is one of {', '.join(get_args(Method))}; got {method!r}")
    if np.ndim(as_finite(prior_sd, "prior_sd")) or not 1e-100 < prior_sd < 1e100:
        raise AlsimError(f"prior_sd is {prior_sd}; expected a positive number, from 1e-100 to 1e100")
    if np.ndim(as_finite(prior_mean, "prior_mean")):
        raise AlsimError(f"prior_mean is {prior_mean}; expected a number")
    limits = as_finite(bounds, "bounds")
    if limits.shape != (2,) or not limits[0] < limits[1]:
        raise AlsimError(f"bounds are two abilities, the lower first; got {bounds}")
    low, high = limits
    integrates = method == "eap"
    many = nodes if nodes is not None else _nodes_for(least_se, high - low) if integrates else MODE_NODES
    if not isinstance(many, int | np.integer) or many < 3:
        raise AlsimError(f"nodes is {many!r}; expected an integer of at least 3")
    grid = np.linspace(low, high, many)
    ends = np.where((grid == low) | (grid == high), np.log(0.5), 0.0)  # of the trapezoid rule
    precision = prior_sd**-2 if method in ("eap", "map") else 0.0
    return Estimator(
        integrates=integrates,
        nodes=grid,
        log_weight=ends - precision * (grid - prior_mean) ** 2 / 2,
        table=_table(items, grid, 1 if integrates else 4),
        mean=float(as_finite(prior_mean, "prior_mean")),
        precision=float(precision),
        warm=float(method == "wle"),
    )


def _table(items: ItemParameters, nodes: Doubles, parts: int) -> Doubles:
    """Return the first `parts` of the curves that `Estimator` tells of, flat."""
    p, q, slope, bend = curves(nodes, *(column[:, None] for column in items.columns))
    told, skew = informations(p, q, slope), slope * (bend / (p * q))
    wrong, right = (np.log(q), -slope / q, told, skew), (np.log(p), slope / p, told, skew)
    return np.stack([np.stack(wrong[:parts], 1), np.stack(right[:parts], 1)], 1).ravel()


def estimate_ability(
    items: ItemParameters,
    responses: ArrayLike | Responses | Answers,
    method: Method = "eap",
    *,
    prior_mean: float = 0.0,
    prior_sd: float = 1.0,
    bounds: tuple[float, float] = (-4.0, 4.0),
    nodes: int | None = None,
) -> Abilities:
    """Estimate the abilities of S people, each from the items that this person answered.

        EAP   mean of the posterior L(theta) N(theta; mean, sd) on equally spaced nodes, by the trapezoid rule;
              SE is the posterior's standard deviation
        MAP   its highest point;                                  SE = 1 / sqrt(I(theta) + 1 / sd^2)
        ML    the highest point of the likelihood L;              SE = 1 / sqrt(I(theta))
        WLE   root of dlog L / dtheta + J / (2 I) = 0, where J is the sum of P' P'' / (P Q), highest of the likelihood
              so weighted;                                        SE = 1 / sqrt(I(theta))

    items       I items
    responses   (S, I) of 0, 1 and -1 for an item that was not answered, or (I,) of one person; `Responses`, whose items
                are these in their order; or `Answers`
    prior_mean  of EAP and MAP, logits
    prior_sd    of EAP and MAP, logits
    bounds      MAP, ML and WLE are looked for between them, and held there: all right is ML 4. EAP integrates from one
                to the other
    nodes       of EAP's integral, 33 unless told; for those whose posterior falls between them, after hundreds of
                answers, four times as many, or 16. Of the other methods, 65: a mode is looked for between each pair of
                neighbours

    I(theta) is the test information of what was answered. Raises AlsimError for other answers, items and settings.
    Source: Bock & Mislevy (1982) for EAP; Samejima (1969) for MAP; Warm (1989), eq. 9 and 13, for WLE, whose weight is
    sqrt(I) for one and two parameters only; Magis & Raiche (2012), catR.
    """
    if not isinstance(items, ItemParameters):
        raise AlsimError(f"items are ItemParameters; got {type(items).__name__}")
    answers = as_answers(responses, len(items))
    estimator = make_estimator(items, method, prior_mean=prior_mean, prior_sd=prior_sd, bounds=bounds, nodes=nodes)
    theta, se = np.empty((2, len(answers.start) - 1))
    if estimator.integrates:
        integrate_all(answers, estimator, np.exp(estimator.table), theta, se)
        step, finer = estimator.nodes[1] - estimator.nodes[0], FINER * (len(estimator.nodes) - 1) + 1
        narrow = np.flatnonzero(se < NARROW * step)
        if len(narrow) and finer <= MOST_NODES:
            some = _of_people(answers, narrow)
            again = estimate_ability(
                items, some, method, prior_mean=prior_mean, prior_sd=prior_sd, bounds=bounds, nodes=finer
            )
            theta[narrow], se[narrow] = again.theta, again.se
    else:
        find_modes(answers, estimator, *items.columns, theta, se)
    return Abilities(theta, se, np.diff(answers.start))


def _nodes_for(se: float, width: float) -> int:
    """Return how many nodes, over so many logits, EAP takes where standard errors go down to `se`."""
    many = EAP_NODES
    while se < NARROW * width / (many - 1) and FINER * (many - 1) < MOST_NODES:
        many = FINER * (many - 1) + 1
    return many


def _of_people(answers: Answers, people: Longs) -> Answers:
    """Return the answers of some people."""
    sizes = np.diff(answers.start)[people]
    rows = places(answers.start[people], sizes)
    return Answers(starts(sizes), answers.item[rows], answers.correct[rows])


def as_answers(responses: ArrayLike | Responses | Answers, num_items: int) -> Answers:
    """Return answers to `num_items` items as a list; raises AlsimError for what are none."""
    if isinstance(responses, Responses):
        if responses.num_items != num_items:
            raise AlsimError(f"the log has {responses.num_items} items; expected these {num_items}, in their order")
        return Answers(responses.start, responses.item, responses.correct)
    if isinstance(responses, Answers):
        return _checked(responses, num_items)
    try:
        dense = np.atleast_2d(np.asarray(responses))
    except ValueError as error:  # rows of different lengths
        raise AlsimError(f"responses have shape (S, {num_items}), a column an item: {error}") from None
    if dense.ndim != 2 or dense.shape[1] != num_items:
        raise AlsimError(f"responses have shape (S, {num_items}), a column an item; got {np.shape(responses)}")
    codes = _codes(dense, "responses are 0, 1 or, where there is none, -1", lowest=-1)
    given = codes >= 0
    start = np.concatenate([[0], np.cumsum(given.sum(axis=1, dtype=np.int64))])
    answers = Answers(start, np.empty(start[-1], np.int32), np.empty(start[-1], np.int8))
    list_answers(codes.ravel(), num_items, answers.item, answers.correct)
    return answers


def _checked(answers: Answers, num_items: int) -> Answers:
    start, item = np.asarray(answers.start), as_indices(answers.item, num_items, "items answered")
    correct = _codes(np.asarray(answers.correct), "answers are 0 or 1", lowest=0)
    rising = (
        start.ndim == 1 and len(start) > 0 and np.issubdtype(start.dtype, np.integer) and (np.diff(start) >= 0).all()
    )
    if not rising or start[0] != 0 or item.shape != (start[-1],) or correct.shape != item.shape:
        raise AlsimError(
            "answers have start (S+1,), which goes from 0 to R and never falls, item (R,) and correct (R,); "
            f"got {start.shape}, {item.shape} and {correct.shape}"
        )
    return Answers(start.astype(np.int64), item.astype(np.int32), correct)


def _codes(values: NDArray[np.generic], said: str, lowest: int) -> Codes:
    """Return answers as int8; raises AlsimError, which says `said`, for any that is not from `lowest` to 1."""
    if values.dtype.kind not in "biuf":
        raise AlsimError(f"{said}; got {values.dtype}")
    with np.errstate(invalid="ignore"):  # NaN becomes some integer, which it does not equal
        codes = values.astype(np.int8)
    odd = cast(Bools, (codes < lowest) | (codes > 1) | (codes != values if values.dtype != np.int8 else False))
    if odd.any():
        raise AlsimError(f"{said}; got {values[odd].ravel()[0]}")
    return codes


@kernel
def list_answers(codes: Codes, num_items: int, item: Ints, correct: Codes) -> None:
    """Write which items of each row of codes (S * I,) are 0 or 1, and which of both."""
    many = 0
    for begin in range(0, len(codes), num_items):
        for i in range(num_items):
            if codes[begin + i] >= 0:
                item[many] = i
                correct[many] = codes[begin + i]
                many += 1


@rule
def log_likelihood(answers: Answers, person: int, e: Estimator, sums: Doubles) -> None:
    """Add up the rows of the estimator's table that belong to a person's answers."""
    for j in range(len(sums)):
        sums[u64(j)] = 0.0
    for r in range(answers.start[person], answers.start[person + 1]):
        add_row(e.table, answers.item[r], answers.correct[r], sums)


@rule
def add_row(table: Doubles, item: int, correct: int, sums: Doubles) -> None:
    """Add the row of an item and an answer."""
    row = (2 * item + correct) * len(sums)
    for j in range(len(sums)):
        sums[u64(j)] += table[u64(row + j)]


@phase
def moments(weight: Doubles, nodes: Doubles) -> tuple[float, float]:
    """Return mean and standard deviation of the nodes by their weights."""
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
    """Return the posterior's mean and standard deviation from log-likelihoods (G,); `weight` (G,) is scratch."""
    top = -np.inf
    for g in range(len(e.nodes)):
        top = max(top, sums[g] + e.log_weight[g])
    for g in range(len(e.nodes)):
        weight[g] = np.exp(sums[g] + e.log_weight[g] - top)
    return moments(weight, e.nodes)


@phase
def multiply_row(table: Doubles, row: int, weight: Doubles) -> None:
    """Multiply by a row of the table that begins at `row`."""
    for g in range(len(weight)):
        weight[u64(g)] *= table[u64(row + g)]


@kernel
def integrate_all(answers: Answers, e: Estimator, chances: Doubles, theta: Doubles, se: Doubles) -> None:
    """Write EAP and SE of each person.

    chances  (I * 2 * G,) exp of the estimator's table: a product of chances needs no exponential, and is taken for
             what it is while it is far from underflow
    """
    many = len(e.nodes)
    prior, weight, sums = np.exp(e.log_weight), np.empty(many), np.empty(many)
    for s in range(len(theta)):
        for g in range(many):
            weight[u64(g)] = prior[u64(g)]
        for r in range(answers.start[s], answers.start[s + 1]):
            multiply_row(chances, (2 * answers.item[r] + answers.correct[r]) * many, weight)
        top = 0.0
        for g in range(many):
            top = max(top, weight[g])
        if top > TINY:
            theta[s], se[s] = moments(weight, e.nodes)
        else:
            log_likelihood(answers, s, e, sums)
            theta[s], se[s] = integrate(sums, e, weight)


@rule
def _bracket(sums: Doubles, e: Estimator) -> tuple[float, float]:
    """Return the neighbouring nodes between which the highest mode lies, or a bound twice; NaN if nothing is told.

    Of several modes the one with the higher node beside it. Warm's weight is known by the slope of its logarithm,
    J / (2 I), which is added up along the nodes.
    """
    many = len(e.nodes)
    half_step = (e.nodes[1] - e.nodes[0]) / 2
    low, high, best, told = np.nan, np.nan, -np.inf, e.precision
    weight, ratio_before, slope_before, value_before = 0.0, 0.0, np.inf, -np.inf
    for g in range(many):
        off, info = e.nodes[g] - e.mean, sums[2 * many + g]
        told = max(told, info)
        ratio = e.warm * sums[3 * many + g] / (2 * info) if info > 0 else 0.0
        weight += half_step * (ratio + ratio_before) if g > 0 else 0.0
        value = sums[g] - e.precision * off * off / 2 + weight
        slope = sums[many + g] - e.precision * off + ratio
        height = max(value, value_before)
        if slope <= 0 < slope_before and height > best:
            low, high, best = e.nodes[max(g - 1, 0)], e.nodes[g], height
        if g == many - 1 and slope > 0 and value > best:
            low, high = e.nodes[g], e.nodes[g]
        ratio_before, slope_before, value_before = ratio, slope, value
    return (low, high) if told > 0 else (np.nan, np.nan)


@kernel
def find_mode(
    sums: Doubles,
    e: Estimator,
    a: Doubles,
    b: Doubles,
    c: Doubles,
    d: Doubles,
    item: Ints,
    correct: Codes,
    begin: int,
    end: int,
) -> tuple[float, float]:
    """Return the mode of one person and its SE: secant steps, and bisection where they leave the bracket.

    sums  (4 G,) of the estimator's table over the answers from `begin` to `end`
    """
    low, high = _bracket(sums, e)
    theta = (low + high) / 2
    told, x_before, slope_before = 0.0, np.nan, np.nan
    for _ in range(MOST_STEPS if low == low else 0):
        score, info, skew = -e.precision * (theta - e.mean), 0.0, 0.0
        for r in range(begin, end):
            i = item[r]
            p, q, rise, bend = curve(theta, a[i], b[i], c[i], d[i])
            score += rise / p if correct[r] else -rise / q
            info += item_information(p, q, rise)
            skew += rise * (bend / (p * q))
        told = info + e.precision
        slope = score + e.warm * skew / (2 * info) if info > 0 else score
        if slope > 0:
            low = theta
        else:
            high = theta
        if slope == 0 or high - low < CLOSE:
            break
        secant = (slope - slope_before) / (theta - x_before)
        step = np.inf  # to be halved instead: nothing is told here, or the slope does not fall
        if secant < 0:
            step = -slope / secant
        elif secant != secant and told > 0:
            step = slope / told
        x_before, slope_before = theta, slope
        theta = theta + step if low < theta + step < high else (low + high) / 2
        if abs(theta - x_before) < CLOSE:
            break
    return theta, 1 / np.sqrt(told) if told > 0 else np.inf


@kernel
def find_modes(
    answers: Answers, e: Estimator, a: Doubles, b: Doubles, c: Doubles, d: Doubles, theta: Doubles, se: Doubles
) -> None:
    """Write the mode and SE of each person."""
    sums = np.empty(4 * len(e.nodes))
    for s in range(len(theta)):
        log_likelihood(answers, s, e, sums)
        begin, end = answers.start[s], answers.start[s + 1]
        theta[s], se[s] = find_mode(sums, e, a, b, c, d, answers.item, answers.correct, begin, end)
