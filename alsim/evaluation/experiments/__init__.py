"""Experiments with students: tests of A/B experiments, and their rehearsal on simulated learners."""

from alsim.evaluation.experiments.asymptotic import AnytimeTest, anytime_test, asymptotic_difference
from alsim.evaluation.experiments.bounded import bounded_difference, planned_interval
from alsim.evaluation.experiments.looks import confidence_per_look
from alsim.evaluation.experiments.moments import Moments
from alsim.evaluation.experiments.sequences import ConfidenceSequence, confidence_sequence
from alsim.evaluation.experiments.shares import bernoulli_interval

__all__ = [
    "AnytimeTest",
    "ConfidenceSequence",
    "Moments",
    "anytime_test",
    "asymptotic_difference",
    "bernoulli_interval",
    "bounded_difference",
    "confidence_per_look",
    "confidence_sequence",
    "planned_interval",
]
