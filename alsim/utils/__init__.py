"""Utilities without knowledge of learners: threads, files, optional dependencies."""
