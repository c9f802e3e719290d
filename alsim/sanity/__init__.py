"""Sanity checks of the simulator: the specification's rules, for any configuration, dynamics, population and bank."""

from alsim.sanity.checks import CHECKS, Finding, dynamics_of, is_standard, validate

__all__ = ["CHECKS", "Finding", "dynamics_of", "is_standard", "validate"]
