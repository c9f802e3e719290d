"""Batch simulator: N learners advanced in lockstep by compiled kernels."""
