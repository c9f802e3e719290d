"""Schedulers of reviews, one per module, and what they share: the order of LOs, and the base of the policies."""
