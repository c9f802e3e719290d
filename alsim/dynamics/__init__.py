"""Dynamics: rules that change the state of one learner.

A dynamics is one file, with its parameters, its rules and what they need. This module registers those of the package.
"""

from __future__ import annotations

from alsim.dynamics import bkt, fatigue, linked, prerequisites, standard
from alsim.dynamics.registry import (
    DYNAMICS,
    GROUP,
    Dynamics,
    check_parameters,
    check_rules_of,
    find_dynamics,
    known_dynamics,
    of_parameters,
    register_dynamics,
    rules_fingerprint,
    unknown_dynamics,
)

register_dynamics("standard", standard.Standard, standard.answer, standard.study, chance=standard.chance)
register_dynamics("linked", linked.Linked, linked.answer, linked.study, chance=linked.chance)
register_dynamics("bkt", bkt.Bkt, bkt.answer, bkt.study, chance=bkt.chance, begin=bkt.begin, further_draws=True)
register_dynamics(
    "prerequisites",
    prerequisites.Prerequisites,
    prerequisites.answer,
    prerequisites.study,
    chance=prerequisites.chance,
    reads_parents=True,
)
register_dynamics(
    "fatigue",
    fatigue.Fatigue,
    fatigue.answer,
    fatigue.study,
    chance=fatigue.chance,
    learner_state=fatigue.Effort,
)

__all__ = [
    "DYNAMICS",
    "GROUP",
    "Dynamics",
    "check_parameters",
    "check_rules_of",
    "find_dynamics",
    "known_dynamics",
    "of_parameters",
    "register_dynamics",
    "rules_fingerprint",
    "unknown_dynamics",
]
