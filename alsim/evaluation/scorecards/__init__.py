"""Scorecards: student models held against the truth of simulated learners."""

from alsim.evaluation.scorecards.measures import AbilityErrors, Errors, Estimates
from alsim.evaluation.scorecards.results import Canary, Scorecard, Section
from alsim.evaluation.scorecards.run import scorecard

__all__ = ["AbilityErrors", "Canary", "Errors", "Estimates", "Scorecard", "Section", "scorecard"]
