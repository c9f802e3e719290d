"""Bandit algorithms on arrays, one per module, and the base of the bandit policies."""
