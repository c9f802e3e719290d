"""Experiments with students: tests of A/B experiments, and their rehearsal on simulated learners."""

from alsim.evaluation.experiments.moments import Moments

__all__ = ["Moments"]
