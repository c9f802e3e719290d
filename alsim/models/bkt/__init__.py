"""Bayesian knowledge tracing: whether a student knows a skill, inferred from responses.

Each student and skill has a Markov chain of two hidden states, known and unknown. The skill is known at the first
opportunity with probability p_init. A response is correct with probability 1 - p_slip if the skill is known, and with
probability p_guess if it is not. After each response, an unknown skill becomes known with probability p_learn, and a
known skill becomes unknown with probability p_forget.

Source: Corbett and Anderson (1995), Knowledge tracing: modeling the acquisition of procedural knowledge. User
Modeling and User-Adapted Interaction 4, 253-278; p_forget = 0 there.
"""

from alsim.models.bkt.estimation import fit
from alsim.models.bkt.result import BKTFit, SkillFit
from alsim.models.bkt.skill import BKT, Smoothed
from alsim.models.bkt.tracker import Tracker

__all__ = ["BKT", "BKTFit", "SkillFit", "Smoothed", "Tracker", "fit"]
