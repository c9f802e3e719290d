"""Dynamics: rules that change the state of one learner.

A dynamics is one file, with its parameters, its rules and what they need. This module registers those of the package.
"""

from __future__ import annotations

from alsim.dynamics import bkt, fatigue, fsrs, half_life, linked, prerequisites, standard
from alsim.dynamics.registry import (
    DYNAMICS,
    GROUP,
    Dynamics,
    Moment,
    check_parameters,
    check_rows,
    check_rules_of,
    describe,
    find_dynamics,
    known_dynamics,
    of_parameters,
    register_dynamics,
    rules_fingerprint,
    unknown_dynamics,
)

register_dynamics(
    "standard",
    standard.Standard,
    standard.answer,
    standard.study,
    chance=standard.chance,
    largest_gain=standard.largest_gain,
    expected_gain=standard.expected_gain,
    source="the specification of the simulator, clauses S4 and S5",
)
register_dynamics(
    "linked",
    linked.Linked,
    linked.answer,
    linked.study,
    chance=linked.chance,
    largest_gain=standard.largest_gain,
    expected_gain=standard.expected_gain,
    source="the standard dynamics with a logistic term of mastery, clause S14.2",
)
register_dynamics(
    "bkt",
    bkt.Bkt,
    bkt.answer,
    bkt.study,
    chance=bkt.chance,
    largest_gain=bkt.largest_gain,
    expected_gain=bkt.expected_gain,
    begin=bkt.begin,
    further_draws=True,
    source="Corbett & Anderson, 1995, doi:10.1007/BF01099821",
)
register_dynamics(
    "prerequisites",
    prerequisites.Prerequisites,
    prerequisites.answer,
    prerequisites.study,
    chance=prerequisites.chance,
    largest_gain=standard.largest_gain,
    expected_gain=standard.expected_gain,
    reads_parents=True,
    source="after KSS of EduSim (Liu et al., 2019, doi:10.1145/3292500.3330922), clause S14.4",
)
register_dynamics(
    "fatigue",
    fatigue.Fatigue,
    fatigue.answer,
    fatigue.study,
    chance=fatigue.chance,
    largest_gain=standard.largest_gain,
    expected_gain=standard.expected_gain,
    learner_state=fatigue.Effort,
    reads_clock=True,
    source="a leaky integrator of work; there is no canonical source, clause S14.7",
)
register_dynamics(
    "half-life",
    half_life.HalfLife,
    half_life.answer,
    half_life.study,
    chance=half_life.chance,
    lo_state=half_life.Practice,
    observe=half_life.observe,
    reads_clock=True,
    reads_parents="strength",
    source="Settles & Meeder, 2016, doi:10.18653/v1/P16-1174, clause S14.5",
)
register_dynamics(
    "fsrs",
    fsrs.Fsrs,
    fsrs.answer,
    fsrs.study,
    chance=fsrs.chance,
    lo_state=fsrs.Memory,
    observe=fsrs.observe,
    reads_clock=True,
    reads_parents="strength",
    source="FSRS-6 of Open Spaced Repetition; Ye, Su & Cao, 2022, doi:10.1145/3534678.3539081, clause S14.6",
)

__all__ = [
    "DYNAMICS",
    "GROUP",
    "Dynamics",
    "Moment",
    "check_parameters",
    "check_rows",
    "check_rules_of",
    "describe",
    "find_dynamics",
    "known_dynamics",
    "of_parameters",
    "register_dynamics",
    "rules_fingerprint",
    "unknown_dynamics",
]
