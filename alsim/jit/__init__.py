"""Compilation with numba: decorators, compile cache, checks of users' rules, references and atomics."""
