"""Checks of the bound of gains that a user's dynamics declares, on examples (decision 25)."""

from __future__ import annotations

from typing import Any

import numpy as np

from alsim.dynamics.examples import Results
from alsim.dynamics.registry import Dynamics
from alsim.errors import AlsimError, InputTypeError
from alsim.jit.interpreted import interpreted
from alsim.types import Doubles, Draws, f64

TOLERANCE = 1e-6
"""Rounding error of gains in float32."""
DEVIATIONS = 6
"""Standard errors by which a mean may differ from its expectation, so that a correct bound is never refused."""
NUM_DRAWS = 5_000
GRID = np.linspace(0, 1, 7)
"""Values of mastery and of effectiveness at which the bound and its expectation are compared."""


def check_gains(dynamics: Dynamics, parameters: Any, results: Results) -> None:
    """Raise AlsimError unless the declared bound of gains is at least each gain, and has the properties of a bound.

    parameters  one value each
    results     results of both rules for examples
    """
    if dynamics.largest_gain is None:
        return
    p = type(parameters)(*(np.full((1, 1), value, f64) for value in parameters))
    starts = _starts(dynamics, parameters, results)
    _check_domination(dynamics, p, [one for one in results if one.learner.mastery in starts])
    grid = GRID if any(0 < mastery < 1 for mastery in starts) else GRID[[0, -1]]
    draws = _many_draws(dynamics)
    gain = np.array([[_gains(dynamics, p, mastery, best, draws) for best in GRID] for mastery in grid])
    mean, error = gain.mean(axis=2), DEVIATIONS * gain.std(axis=2) / np.sqrt(NUM_DRAWS) + TOLERANCE
    _refuse(dynamics, np.diff(grid[:, np.newaxis, np.newaxis] + gain, axis=0) < -TOLERANCE, "plus mastery falls")
    _refuse(dynamics, np.diff(gain, axis=1) < -TOLERANCE, "falls if effectiveness rises")
    rise = np.diff(gain, axis=0)
    slack = DEVIATIONS * rise.std(axis=2) / np.sqrt(NUM_DRAWS) + TOLERANCE
    _refuse(dynamics, rise.mean(axis=2) > slack, "has an expectation that rises with mastery")
    if dynamics.expected_gain is not None:
        mastery, effectiveness = (part.reshape(-1, 1) for part in np.meshgrid(grid, GRID, indexing="ij"))
        expected = _as_numbers(dynamics, "expected_gain", dynamics.expected_gain(p, mastery, effectiveness), mastery)
        wrong = np.abs(expected.reshape(mean.shape) - mean) > error
        _refuse(dynamics, wrong, f"has another expectation than expected_gain: a mean of {NUM_DRAWS} draws differs")


def _starts(dynamics: Dynamics, parameters: Any, results: Results) -> set[float]:
    """Return starting masteries of examples: a rule `begin` may return 0 and 1 only, and the bound need hold there."""
    if dynamics.begin is None:
        return {float(one.learner.mastery) for one in results}
    begin = interpreted(dynamics.begin)
    return {float(begin(parameters, one.learner.mastery, one.draws.answer)[0]) for one in results}


def _check_domination(dynamics: Dynamics, parameters: Any, results: Results) -> None:
    """Raise AlsimError if the gain of an example is above the bound for its mastery, effectiveness and draws."""
    draws = Draws(*(_column([one.draws[k] for one in results]) for k in range(2)))
    if dynamics.further_draws:
        draws = draws._replace(further=tuple(_column([one.draws.further[k] for one in results]) for k in range(4)))
    mastery = _column([one.learner.mastery for one in results])
    bound = _gains(dynamics, parameters, mastery, _column([one.item.effectiveness for one in results]), draws)
    gain = np.array([one.outcome.gain for one in results], f64)
    if (above := gain > bound + TOLERANCE).any():
        k = int(above.argmax())
        kind = "question" if results[k].item.is_question else "content"
        raise AlsimError(
            f"largest_gain of the dynamics {dynamics.name!r} returns {bound[k]:.6g}, but a {kind} gains {gain[k]:.6g} "
            f"from mastery {float(mastery[k, 0]):.4g} with the same draws; return a bound of all gains"
        )


def _gains(dynamics: Dynamics, parameters: Any, mastery: Any, effectiveness: Any, draws: Draws) -> Doubles:
    """Return the bound for arrays of draws (N, 1), (N,)."""
    assert dynamics.largest_gain is not None  # callers make sure of it
    size = np.zeros_like(draws.noise)
    found = dynamics.largest_gain(parameters, size + mastery, size + effectiveness, draws)
    return _as_numbers(dynamics, "largest_gain", found, size)[:, 0]


def _as_numbers(dynamics: Dynamics, title: str, found: Any, like: Any) -> Doubles:
    """Return a result as float64 of the shape of `like`. Raises AlsimError unless it has finite numbers."""
    try:
        numbers = np.broadcast_to(np.asarray(found, f64), np.shape(like))
    except (TypeError, ValueError):
        raise InputTypeError(
            f"{title} of the dynamics {dynamics.name!r} must return an array of the shape of mastery; got "
            f"{type(found).__name__} of shape {np.shape(found)}: compute elementwise, with NumPy"
        ) from None
    _refuse(dynamics, ~np.isfinite(numbers), "is not finite", title)
    return np.asarray(numbers)


def _many_draws(dynamics: Dynamics) -> Draws:
    """Return NUM_DRAWS random draws, (NUM_DRAWS, 1) each; the same at each call."""
    rng = np.random.default_rng(0)
    columns = [rng.random((NUM_DRAWS, 1)) for _ in range(5)]
    further: Any = tuple(columns[1:]) if dynamics.further_draws else ()
    return Draws(columns[0], rng.standard_normal((NUM_DRAWS, 1)), further)  # type: ignore[arg-type]  # arrays


def _column(values: list[Any]) -> Any:
    """Return numbers as a column of float64."""
    return np.array(values, f64)[:, np.newaxis]


def _refuse(dynamics: Dynamics, wrong: Any, problem: str, title: str = "largest_gain") -> None:
    """Raise AlsimError if any entry is wrong."""
    if wrong.any():
        raise AlsimError(
            f"{title} of the dynamics {dynamics.name!r} {problem}; see the conditions in the documentation of "
            "alsim.register_dynamics"
        )


__all__ = ["check_gains"]
