"""The fields that the fits of the baselines have in common, and their progress callback."""

from __future__ import annotations

from typing import Any, TypedDict

from alsim.models.base import Fit
from alsim.models.serialization import count, number, truth


class Summary(TypedDict):
    """Fields of a fit; `Fit` describes them."""

    log_likelihood: float
    iterations: int
    converged: bool
    num_responses: int


def summary_to_dict(fit: Fit) -> dict[str, Any]:
    """Return the common fields of a fit as a dictionary for JSON."""
    return {
        "log_likelihood": fit.log_likelihood,
        "iterations": fit.iterations,
        "converged": fit.converged,
        "responses": fit.num_responses,
    }


def summary_from_dict(content: dict[str, Any]) -> Summary:
    """Return the common fields from a fit's JSON, as arguments of the fit's class.

    Raises KeyError, TypeError or ValueError for a missing or invalid field.
    """
    return {
        "log_likelihood": number(content["log_likelihood"]),
        "iterations": count(content["iterations"]),
        "converged": truth(content["converged"]),
        "num_responses": count(content["responses"]),
    }


def no_progress(done: int, parts: int, message: str) -> None:
    """Ignore the progress of a fit."""
