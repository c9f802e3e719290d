"""Compilation with numba: decorators, compile cache, references and atomics."""
