"""What is computed for each response of a chain: the two-state hidden Markov model of one skill.

A response is a code, 2 * group + correct. Responses of one group share their parameters: a group is a skill or, where
parameters differ by item, a class of items of one skill. `table` (2C, 4) has a row a code:

    0  probability of the response where the skill is known
    1  and where it is not
    2  p_learn
    3  p_forget

Each state's number is kept apart, up to a factor that both share. Neither is ever one minus the other, which after
twenty correct responses would be rounding error.
"""

from __future__ import annotations

import numpy as np

from alsim.jit.compile import kernel, rule
from alsim.types import Bools, Codes, Doubles, Floats, Ints, Longs, f32, u64

TINY, HUGE = 2.0**-100, 2.0**100
"""A pair of numbers below TINY is multiplied by HUGE: exact, and rare."""
LOG_HUGE = float(np.log(HUGE))

FAINT = 2.0**-600
"""A state that is this much less likely than the other may still come back after hundreds of responses more: chains
that come to this are computed by logarithms, at ten times the cost."""

KNOWN, UNKNOWN, LEARNT, FORGOT, LAST_KNOWN, LAST_UNKNOWN = range(6)
"""Columns of expected counts (2C, 6): of responses, where the skill was known and where not, but for a chain's last;
of skills learnt and forgotten after them; and of chains' last responses, which nothing follows."""

MOST_ODDS = 1e38
"""Odds that float32 can hold."""


@rule
def transit(known: float, unknown: float, learn: float, forget: float) -> tuple[float, float]:
    """Return the two states' numbers one opportunity later."""
    return known * (1.0 - forget) + unknown * learn, known * forget + unknown * (1.0 - learn)


@rule
def forward(code: Ints, begin: int, end: int, table: Doubles, init: float, ahead: Doubles) -> float:
    """Return the log-likelihood of a chain; `ahead` (T, 2) gets the states' numbers before each response.

    NaN for a chain in which a state becomes faint.
    """
    known, unknown, scalings = init, 1.0 - init, 0
    for t in range(begin, end):
        ahead[t - begin, 0], ahead[t - begin, 1] = known, unknown
        row = code[t]
        known, unknown = transit(known * table[row, 0], unknown * table[row, 1], table[row, 2], table[row, 3])
        if known + unknown < TINY:
            known, unknown, scalings = known * HUGE, unknown * HUGE, scalings + 1
        if 0.0 < min(known, unknown) < FAINT:
            return np.nan
    if known + unknown <= 0.0:
        return -np.inf
    return float(np.log(known + unknown)) - scalings * LOG_HUGE


@rule
def backward(
    code: Ints, begin: int, end: int, table: Doubles, weight: float, ahead: Doubles, counts: Doubles, smoothed: Doubles
) -> None:
    """Add a chain's expected counts, and write `smoothed` (T,): weight times the probability that it was known.

    Rabiner (1989), A tutorial on hidden Markov models, equations 25, 27 and 37.
    """
    after_known, after_unknown = 1.0, 1.0  # likelihood of what follows, by the state at the next opportunity
    for t in range(end - 1, begin - 1, -1):
        row = code[t]
        learn, forget = table[row, 2], table[row, 3]
        known, unknown = ahead[t - begin, 0] * table[row, 0], ahead[t - begin, 1] * table[row, 1]
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
    """Logarithm; minus infinity of 0."""
    return float(np.log(x)) if x > 0.0 else -np.inf


@rule
def log_sum(a: float, b: float) -> float:
    """Logarithm of a sum, of the logarithms of its terms."""
    larger, smaller = max(a, b), min(a, b)
    return larger + np.log1p(np.exp(smaller - larger)) if smaller > -np.inf else larger


@rule
def forward_by_logs(code: Ints, begin: int, end: int, table: Doubles, init: float, ahead: Doubles) -> float:
    """Do as `forward`, for any chain; `ahead` gets logarithms."""
    known, unknown = log(init), log(1.0 - init)
    for t in range(begin, end):
        ahead[t - begin, 0], ahead[t - begin, 1] = known, unknown
        row = code[t]
        learn, forget = table[row, 2], table[row, 3]
        known, unknown = known + log(table[row, 0]), unknown + log(table[row, 1])
        known, unknown = (
            log_sum(known + log(1.0 - forget), unknown + log(learn)),
            log_sum(known + log(forget), unknown + log(1.0 - learn)),
        )
    return log_sum(known, unknown)


@rule
def backward_by_logs(
    code: Ints, begin: int, end: int, table: Doubles, weight: float, ahead: Doubles, counts: Doubles, smoothed: Doubles
) -> None:
    """Do as `backward`, after `forward_by_logs`."""
    after_known, after_unknown = 0.0, 0.0
    for t in range(end - 1, begin - 1, -1):
        row = code[t]
        learn, forget = table[row, 2], table[row, 3]
        known, unknown = ahead[t - begin, 0] + log(table[row, 0]), ahead[t - begin, 1] + log(table[row, 1])
        if_known = log_sum(after_known + log(1.0 - forget), after_unknown + log(forget))
        if_unknown = log_sum(after_known + log(learn), after_unknown + log(1.0 - learn))
        whole = log_sum(known + if_known, unknown + if_unknown)
        share_known, share_unknown = np.exp(known + if_known - whole), np.exp(unknown + if_unknown - whole)
        smoothed[t - begin] = weight * share_known
        if t == end - 1:
            counts[row, LAST_KNOWN] += weight * share_known
            counts[row, LAST_UNKNOWN] += weight * share_unknown
        else:
            counts[row, KNOWN] += weight * share_known
            counts[row, UNKNOWN] += weight * share_unknown
            counts[row, LEARNT] += weight * np.exp(unknown + log(learn) + after_known - whole)
            counts[row, FORGOT] += weight * np.exp(known + log(forget) + after_unknown - whole)
        after_known, after_unknown = log(table[row, 0]) + if_known, log(table[row, 1]) + if_unknown


@rule
def run(
    code: Ints,
    begin: int,
    end: int,
    table: Doubles,
    init: float,
    weight: float,
    ahead: Doubles,
    counts: Doubles,
    smoothed: Doubles,
) -> float:
    """Run a chain forward and backward; return its log-likelihood.

    A chain that cannot be counts nothing, and was known with probability 0.
    """
    found = forward(code, begin, end, table, init, ahead)
    faint = np.isnan(found)
    if faint:
        found = forward_by_logs(code, begin, end, table, init, ahead)
    if found == -np.inf:
        smoothed[0] = 0.0
    elif faint:
        backward_by_logs(code, begin, end, table, weight, ahead, counts, smoothed)
    else:
        backward(code, begin, end, table, weight, ahead, counts, smoothed)
    return found


@kernel
def expect(
    skills: Longs,
    start: Longs,
    begin: Longs,
    code: Ints,
    weight: Doubles,
    table: Doubles,
    whose: Longs,
    init: Doubles,
    counts: Doubles,
    opened: Doubles,
    begun: Doubles,
    log_likelihood: Doubles,
    ahead: Doubles,
    smoothed: Doubles,
) -> None:
    """Compute what the M-step needs of some skills.

    skills          whose chains are met
    start           (K+1,) the chains of each skill
    begin           (H+1,) the responses of each chain
    weight          (H,) how often each chain was seen
    whose, init     p_init of each chain is init[whose[chain]]
    counts          (2C, 6) to add to
    opened          (K,) to add the sum of a skill's `begun` to
    begun           (H,) gets weight times the probability that the skill was known at first
    log_likelihood  (K,) to add to
    ahead, smoothed (T, 2) and (T,) scratch, for the longest chain

    A chain that cannot be makes its skill's log-likelihood minus infinity. Those of weight 0 are passed over.
    """
    for skill in skills:
        for chain in range(start[skill], start[skill + 1]):
            if weight[chain] == 0.0:  # it tells nothing, not even when it cannot be
                continue
            first, end = begin[chain], begin[chain + 1]
            found = run(code, first, end, table, init[whose[chain]], weight[chain], ahead, counts, smoothed)
            log_likelihood[skill] += found if found == -np.inf else weight[chain] * found
            begun[chain] = smoothed[0]
            opened[skill] += smoothed[0]


@kernel
def decode(code: Ints, table: Doubles, init: float, came_from: Bools, states: Bools) -> float:
    """Find the likeliest states of one chain; return the logarithm of their probability with the responses.

    table      of logarithms, (2C, 6): of the response where the skill is known and where not; of learning and not
               learning; of forgetting and not forgetting
    init       p_init
    came_from  (T, 2) scratch
    states     (T,) gets whether the skill was known
    Of equally likely ones, that in which the skill is not known. Viterbi (1967).
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
    """Forecast each response of students' logs from the earlier ones: the mean over its skills.

    student, skill, skill_start  as of `Responses`
    code       (X,) of each response to each of its skills
    init       (K,) p_init
    offset     (S,) to be added to its logit
    forecasts  (R,)
    """
    state = np.empty((len(init), 2))
    whose = np.full(len(init), -1, np.int32)
    for r in range(len(student)):
        s, total = student[r], 0.0
        for x in range(skill_start[r], skill_start[r + 1]):
            k, row, right = skill[x], code[x], code[x] | 1
            if whose[k] != s:
                odds = init[k] * np.exp(offset[s])
                unknown = 1.0 - init[k]
                state[k, 0], state[k, 1] = odds / (odds + unknown), unknown / (odds + unknown)
                whose[k] = s
            known, unknown = state[k, 0], state[k, 1]
            total += known * table[right, 0] + unknown * table[right, 1]
            known_too, unknown_too = known * table[row, 0], unknown * table[row, 1]
            if known_too + unknown_too > 0.0:  # what cannot be tells nothing
                known, unknown = known_too, unknown_too
            known, unknown = transit(known, unknown, table[row, 2], table[row, 3])
            state[k, 0], state[k, 1] = known / (known + unknown), unknown / (known + unknown)
        forecasts[r] = total / (skill_start[r + 1] - skill_start[r])


@kernel
def track(students: Longs, skills: Longs, correct: Codes, table: Floats, odds: Floats) -> None:
    """Update the odds (N * K,) that skills are known, response by response."""
    num_skills = len(table) // 2
    for i in range(len(students)):
        row = 2 * skills[i] + correct[i]
        place = u64(students[i] * num_skills + skills[i])
        before = float(odds[place])
        known, unknown = before * float(table[row, 0]), float(table[row, 1])
        if known + unknown <= 0.0:  # what cannot be tells nothing
            known, unknown = before, 1.0
        known, unknown = transit(known, unknown, float(table[row, 2]), float(table[row, 3]))
        odds[place] = f32(known / unknown if known < unknown * MOST_ODDS else MOST_ODDS)
