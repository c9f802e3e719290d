"""Printed results of `alsim ope`: diagnosis, estimates, warnings and a verdict, within 80 columns."""

from __future__ import annotations

import math

from alsim.cli.output import MAX_DECIMALS, counted, decimals, fixed_point, print_facts, print_sentence, print_table
from alsim.evaluation.ope import Diagnosis, Estimate, Evaluation

MARK = "*"
LEGEND = "value: expected return. ESS: effective sample size, in episodes."
LARGE = 1e6
"""Value or standard error from which numbers have an exponent."""


def print_evaluation(found: Evaluation, confidence: float) -> str:
    """Print an evaluation; return its verdict."""
    print_facts(
        [
            ("log", f"{counted(found.episodes, 'episode')}, {counted(found.transitions, 'interaction')}"),
            ("its policy", found.behaviour),
            ("its return", _with_interval(found.behaviour_value, confidence)),
            ("target", found.target),
            *diagnosis_facts(found.diagnostics),
        ]
    )
    print()
    headings = ("", "estimator", "value", "se", f"{100 * confidence:g} % interval", "ESS", "family")
    rows = [(MARK if name == found.recommended else "", name, *_cells(e)) for name, e in found.estimators.items()]
    print_table(headings, rows, texts=("", "estimator", "family"))
    print_sentence(LEGEND + (f" {MARK} recommended." if found.recommended else ""))
    for warned in found.warnings:
        print()
        print_sentence(f"Warning: {warned.sentence}.")
    print()
    verdict = verdict_of(found, confidence)
    print_sentence(verdict)
    return verdict


def _with_interval(found: Estimate, confidence: float) -> str:
    """Return a value with its interval as text."""
    value, _, interval, _, _ = _cells(found)
    return f"{value} ({100 * confidence:g} % interval {interval})"


def diagnosis_facts(found: Diagnosis) -> list[tuple[str, str]]:
    """Return what is known before estimation as labels and texts."""
    largest = float(found.chi2_per_step.max())
    ess = found.predicted_ess
    budget = "enough for weights of histories" if found.within_budget else "too few for weights of histories"
    return [
        ("χ² per step", f"largest {largest:.3g}, mean {float(found.chi2_per_step.mean()):.3g}"),
        ("predicted ESS", f"{ess:,.0f} episodes: {budget}" if ess >= 1 else f"less than one episode: {budget}"),
        ("ESS at the end", f"{found.ess_by_step[-1]:,.0f} episodes in this log"),
        ("largest weight", f"{found.max_weight:,.3g} times the mean" if math.isfinite(found.max_weight) else "-"),
        ("unsupported", f"{100 * found.unsupported_share:.3g} % of the actions of the target"),
    ]


def _cells(found: Estimate) -> tuple[str, str, str, str, str]:
    """Return value, standard error, interval, effective sample size and family as text."""
    places = min(decimals(found.se), MAX_DECIMALS) if found.se > 0 else 3
    interval = "-" if found.ci is None else " to ".join(_number(end, places) for end in found.ci)
    return _number(found.value, places), _number(found.se, places), interval, f"{found.ess:,.0f}", found.family


def _number(value: float, places: int) -> str:
    """Return a number as text."""
    return f"{value:.3g}" if abs(value) >= LARGE else fixed_point(value, places)


def verdict_of(found: Evaluation, confidence: float) -> str:
    """Return a sentence: the value that the recommended estimator gives, or that none is to be believed."""
    if found.recommended is None:
        return f"None of these estimates of the value of {found.target} is recommended."
    chosen = found.estimators[found.recommended]
    bias = ", which ignores its bias" if chosen.family in ("marginalised", "window") else ""
    return f"The value of {found.target} is about {_with_interval(chosen, confidence)} by {found.recommended}{bias}."


__all__ = ["print_evaluation", "verdict_of"]
