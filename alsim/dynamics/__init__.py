"""Dynamics: rules that change the state of one learner.

A dynamics is one file, with its parameters, its rules and what they need. This module registers those of the package.
"""

from __future__ import annotations

from alsim.dynamics import standard
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
