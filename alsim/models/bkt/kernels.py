"""Compiled loops over responses: the two-state hidden Markov model of one skill.

A chain is the sequence of one student's responses to one skill. A response is a code, 2 * group + correct. The
responses of a group share their parameters: a group is a skill or, if parameters differ by item, a class of items of
one skill. `table` (2C, 4) has one row per code:

    0  probability of the response if the skill is known
    1  probability of the response if it is not known
    2  p_learn
    3  p_forget

The two states have separate weights: their probabilities, up to a common factor. Neither weight is computed as one
minus the other, because after twenty correct responses the difference would be only a rounding error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.jit.compile import kernel, rule
from alsim.types import Bools, Codes, Doubles, Floats, Ints, Longs, f32, u64

TINY, HUGE = 2.0**-100, 2.0**100
"""Two weights whose sum is below TINY are multiplied by HUGE. The product is exact, and rarely needed."""
LOG_HUGE = float(np.log(HUGE))

LEAST_WEIGHT = 2.0**-600
"""Least weight of a state. Chains with a smaller positive weight are computed in logarithms, at ten times the cost.

Such a weight must not round to 0, because the state may become likely again after hundreds of further responses.
"""

KNOWN, UNKNOWN, LEARNT, FORGOT, LAST_KNOWN, LAST_UNKNOWN = range(6)
"""Columns of the expected counts (2C, 6).

KNOWN and UNKNOWN count the responses in each state, except the last response of a chain. LEARNT and FORGOT count the
changes of state after these responses. LAST_KNOWN and LAST_UNKNOWN count the last responses, after which there is no
change of state.
"""

MOST_ODDS = 1e38
"""Largest odds that the tracker stores; float32 reaches 3.4e38."""


class ChainArrays(NamedTuple):
    """H chains of K skills, ordered by skill.

    start   (K+1,) the chains of skill k are start[k] to start[k + 1]
    begin   (H+1,) the responses of chain h are begin[h] to begin[h + 1]
    code    (T,)   code of each response
    weight  (H,)   number of students with this chain
    """

    start: Longs
    begin: Longs
    code: Ints
    weight: Doubles


class Expectations(NamedTuple):
    """Output of the E-step for C groups, K skills and H chains.

    counts          (2C, 6) expected counts, added to
    initial         (K,)    sum of `chain_initial` over the chains of each skill, added to
    chain_initial   (H,)    weight of the chain times the probability that the skill was known at first, overwritten
    log_likelihood  (K,)    nats, added to
    """

    counts: Doubles
    initial: Doubles
    chain_initial: Doubles
    log_likelihood: Doubles


class Scratch(NamedTuple):
    """Working memory for chains of at most T responses.

    predicted  (T, 2) weights of the states before each response
    smoothed   (T,)   weight of the chain times the probability that the skill was known, given all responses
    """

    predicted: Doubles
    smoothed: Doubles


@rule
def transit(known: float, unknown: float, learn: float, forget: float) -> tuple[float, float]:
    """Return the weights of the two states at the next opportunity."""
    return known * (1.0 - forget) + unknown * learn, known * forget + unknown * (1.0 - learn)


@rule
def forward(code: Ints, begin: int, end: int, table: Doubles, init: float, predicted: Doubles) -> float:
    """Return the log-likelihood of a chain, nats, and write the weights of the states before each response.

    Returns NaN for a chain in which a positive weight of a state falls below LEAST_WEIGHT.
    """
    known, unknown, scalings = init, 1.0 - init, 0
    for t in range(begin, end):
        predicted[t - begin, 0], predicted[t - begin, 1] = known, unknown
        row = code[t]
        known, unknown = transit(known * table[row, 0], unknown * table[row, 1], table[row, 2], table[row, 3])
        if known + unknown < TINY:
            known, unknown, scalings = known * HUGE, unknown * HUGE, scalings + 1
        if 0.0 < min(known, unknown) < LEAST_WEIGHT:
            return np.nan
    if known + unknown <= 0.0:
        return -np.inf
    return float(np.log(known + unknown)) - scalings * LOG_HUGE


@rule
def backward(
    code: Ints, begin: int, end: int, table: Doubles, weight: float, scratch: Scratch, counts: Doubles
) -> None:
    """Add the expected counts of a chain, and write `scratch.smoothed`.

    Source: Rabiner (1989), A tutorial on hidden Markov models, equations 25, 27 and 37.
    """
    predicted, smoothed = scratch.predicted, scratch.smoothed
    after_known, after_unknown = 1.0, 1.0  # likelihood of the later responses, by the state at the next opportunity
    for t in range(end - 1, begin - 1, -1):
        row = code[t]
        learn, forget = table[row, 2], table[row, 3]
        known, unknown = predicted[t - begin, 0] * table[row, 0], predicted[t - begin, 1] * table[row, 1]
        if_known = after_known * (1.0 - forget) + after_unknown * forget
        if_unknown = after_known * learn + after_unknown * (1.0 - learn)
        share = weight / (known * if_known + unknown * if_unknown)
        smoothed[t - begin] = known * if_known * share
        if t == end - 1:
            counts[row, LAST_KNOWN] += known * share
            counts[row, LAST_UNKNOWN] += unknown * share
        else:
            counts[row, KNOWN] += known * if_known * share
            counts[row, UNKNOWN] += unknown * if_unknown * share
            counts[row, LEARNT] += unknown * learn * after_known * share
            counts[row, FORGOT] += known * forget * after_unknown * share
        after_known, after_unknown = table[row, 0] * if_known, table[row, 1] * if_unknown
        if after_known + after_unknown < TINY:
            after_known, after_unknown = after_known * HUGE, after_unknown * HUGE


@rule
def log(x: float) -> float:
    """Return the natural logarithm of x; minus infinity for 0."""
    return float(np.log(x)) if x > 0.0 else -np.inf


@rule
def log_sum(a: float, b: float) -> float:
    """Return the logarithm of exp(a) + exp(b), without overflow."""
    larger, smaller = max(a, b), min(a, b)
    return larger + np.log1p(np.exp(smaller - larger)) if smaller > -np.inf else larger


@rule
def log_forward(code: Ints, begin: int, end: int, table: Doubles, init: float, predicted: Doubles) -> float:
    """Return the log-likelihood of a chain, and write the logarithms of the weights of the states before each response.

    Unlike `forward`, it works for any chain.
    """
    known, unknown = log(init), log(1.0 - init)
    for t in range(begin, end):
        predicted[t - begin, 0], predicted[t - begin, 1] = known, unknown
        row = code[t]
        learn, forget = table[row, 2], table[row, 3]
        known, unknown = known + log(table[row, 0]), unknown + log(table[row, 1])
        known, unknown = (
            log_sum(known + log(1.0 - forget), unknown + log(learn)),
            log_sum(known + log(forget), unknown + log(1.0 - learn)),
        )
    return log_sum(known, unknown)


@rule
def log_backward(
    code: Ints, begin: int, end: int, table: Doubles, weight: float, scratch: Scratch, counts: Doubles
) -> None:
    """Add the expected counts of a chain, and write `scratch.smoothed`, after `log_forward`."""
    predicted, smoothed = scratch.predicted, scratch.smoothed
    after_known, after_unknown = 0.0, 0.0
    for t in range(end - 1, begin - 1, -1):
        row = code[t]
        learn, forget = table[row, 2], table[row, 3]
        known, unknown = predicted[t - begin, 0] + log(table[row, 0]), predicted[t - begin, 1] + log(table[row, 1])
        if_known = log_sum(after_known + log(1.0 - forget), after_unknown + log(forget))
        if_unknown = log_sum(after_known + log(learn), after_unknown + log(1.0 - learn))
        total = log_sum(known + if_known, unknown + if_unknown)
        share_known, share_unknown = np.exp(known + if_known - total), np.exp(unknown + if_unknown - total)
        smoothed[t - begin] = weight * share_known
        if t == end - 1:
            counts[row, LAST_KNOWN] += weight * share_known
            counts[row, LAST_UNKNOWN] += weight * share_unknown
        else:
            counts[row, KNOWN] += weight * share_known
            counts[row, UNKNOWN] += weight * share_unknown
            counts[row, LEARNT] += weight * np.exp(unknown + log(learn) + after_known - total)
            counts[row, FORGOT] += weight * np.exp(known + log(forget) + after_unknown - total)
        after_known, after_unknown = log(table[row, 0]) + if_known, log(table[row, 1]) + if_unknown


@rule
def forward_backward(
    code: Ints, begin: int, end: int, table: Doubles, init: float, weight: float, scratch: Scratch, counts: Doubles
) -> float:
    """Return the log-likelihood of a chain, add its expected counts, and write `scratch.smoothed`.

    An impossible chain, one of likelihood 0, adds no counts, and its first entry of `smoothed` is 0.
    """
    log_likelihood = forward(code, begin, end, table, init, scratch.predicted)
    in_logarithms = np.isnan(log_likelihood)
    if in_logarithms:
        log_likelihood = log_forward(code, begin, end, table, init, scratch.predicted)
    if log_likelihood == -np.inf:
        scratch.smoothed[0] = 0.0
    elif in_logarithms:
        log_backward(code, begin, end, table, weight, scratch, counts)
    else:
        backward(code, begin, end, table, weight, scratch, counts)
    return log_likelihood


@kernel
def expect(
    skills: Longs, chains: ChainArrays, table: Doubles, init_of: Longs, init: Doubles, out: Expectations, s: Scratch
) -> None:
    """Compute the E-step for some skills.

    skills   numbers of the skills to process
    chains   responses of all skills
    table    (2C, 4) described in this module's docstring
    init_of  (H,) p_init of chain h is init[init_of[h]]
    out      expectations, added to for these skills
    s        working memory for the longest chain

    An impossible chain makes the log-likelihood of its skill minus infinity. Chains of weight 0 are skipped.
    """
    for skill in skills:
        for chain in range(chains.start[skill], chains.start[skill + 1]):
            weight = chains.weight[chain]
            if weight == 0.0:  # skipped even if it is impossible
                continue
            first, end = chains.begin[chain], chains.begin[chain + 1]
            log_likelihood = forward_backward(
                chains.code, first, end, table, init[init_of[chain]], weight, s, out.counts
            )
            out.log_likelihood[skill] += log_likelihood if log_likelihood == -np.inf else weight * log_likelihood
            out.chain_initial[chain] = s.smoothed[0]
            out.initial[skill] += s.smoothed[0]


@kernel
def decode(code: Ints, table: Doubles, init: float, came_from: Bools, states: Bools) -> float:
    """Find the most likely states of one chain by the Viterbi algorithm.

    table      (2C, 6) logarithms: of the response if the skill is known and if not; of learning and not learning; of
               forgetting and not forgetting
    init       p_init
    came_from  (T, 2) working memory
    states     (T,) output, True where the skill is known

    Returns the logarithm of the joint probability of the states and the responses, nats. Between equally likely paths,
    the state in which the skill is not known is preferred. Source: Viterbi (1967).
    """
    known, unknown = log(init), log(1.0 - init)
    last = len(code) - 1
    for t in range(last + 1):
        row = code[t]
        known, unknown = known + table[row, 0], unknown + table[row, 1]
        if t < last:
            stays, learns = known + table[row, 5], unknown + table[row, 2]
            forgets, lacks = known + table[row, 4], unknown + table[row, 3]
            came_from[t, 1], came_from[t, 0] = stays > learns, forgets > lacks
            known, unknown = max(stays, learns), max(forgets, lacks)
    states[last] = known > unknown
    for t in range(last - 1, -1, -1):
        states[t] = came_from[t, 1] if states[t + 1] else came_from[t, 0]
    return float(max(known, unknown))


@kernel
def forecast(
    student: Ints,
    skill: Ints,
    skill_start: Longs,
    code: Ints,
    table: Doubles,
    init: Doubles,
    offset: Doubles,
    forecasts: Doubles,
) -> None:
    """Forecast each response from the student's earlier ones, as the mean over the skills of the response.

    student, skill, skill_start  the arrays of `Responses` with these names
    code       (X,) code of each response to each of its skills
    table      (2C, 4)
    init       (K,) p_init of each skill
    offset     (S,) added to the logit of p_init of each student, logits
    forecasts  (R,) output, probabilities of a correct response
    """
    state = np.empty((len(init), 2))
    owner = np.full(len(init), -1, np.int32)  # the student whose state each skill's row holds
    for r in range(len(student)):
        s, total = student[r], 0.0
        for x in range(skill_start[r], skill_start[r + 1]):
            k, row, right = skill[x], code[x], code[x] | 1
            if owner[k] != s:
                odds = init[k] * np.exp(offset[s])
                unknown = 1.0 - init[k]
                state[k, 0], state[k, 1] = odds / (odds + unknown), unknown / (odds + unknown)
                owner[k] = s
            known, unknown = state[k, 0], state[k, 1]
            total += known * table[right, 0] + unknown * table[right, 1]
            joint_known, joint_unknown = known * table[row, 0], unknown * table[row, 1]
            if joint_known + joint_unknown > 0.0:  # an impossible response leaves the probabilities unchanged
                known, unknown = joint_known, joint_unknown
            known, unknown = transit(known, unknown, table[row, 2], table[row, 3])
            state[k, 0], state[k, 1] = known / (known + unknown), unknown / (known + unknown)
        forecasts[r] = total / (skill_start[r + 1] - skill_start[r])


@kernel
def track(students: Longs, skills: Longs, correct: Codes, table: Floats, odds: Floats) -> None:
    """Update the odds that skills are known, one response after the other.

    students, skills, correct  (R,) the responses in order
    table                      (2K, 4) described in this module's docstring
    odds                       (N * K,) p / (1 - p) of each student and skill, changed in place
    """
    num_skills = len(table) // 2
    for i in range(len(students)):
        row = 2 * skills[i] + correct[i]
        place = u64(students[i] * num_skills + skills[i])
        before = float(odds[place])
        known, unknown = before * float(table[row, 0]), float(table[row, 1])
        if known + unknown <= 0.0:  # an impossible response leaves the odds unchanged
            known, unknown = before, 1.0
        known, unknown = transit(known, unknown, float(table[row, 2]), float(table[row, 3]))
        odds[place] = f32(known / unknown if known < unknown * MOST_ODDS else MOST_ODDS)
