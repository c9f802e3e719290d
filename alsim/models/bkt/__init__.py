"""Bayesian knowledge tracing: a skill is known or not, and responses tell which.

A skill of a student is a chain of two hidden states. It is known at the first opportunity with probability p_init.
A response is correct with 1 - p_slip where it is known, with p_guess where it is not. After each response an unknown
skill becomes known with p_learn, and a known one is lost with p_forget.

Source: Corbett and Anderson (1995), Knowledge tracing: modeling the acquisition of procedural knowledge. User
Modeling and User-Adapted Interaction 4, 253-278; p_forget = 0 there.
"""

from alsim.models.bkt.fitted import BKTFit, SkillFit
from alsim.models.bkt.fitting import fit
from alsim.models.bkt.skill import BKT, Smoothed
from alsim.models.bkt.tracker import Tracker

__all__ = ["BKT", "BKTFit", "SkillFit", "Smoothed", "Tracker", "fit"]
