"""Evaluation of policies on held-out learners."""
