"""False alarms of intervals that are watched: `python -m benchmarks.sequences` draws a picture for the docs.

Uniform values in [0, 1], whose mean is 0.5. Left: the intervals of one sequence of values. Right: the share of 2,000
sequences whose interval has excluded 0.5 after at most n values. The script takes ten seconds.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from alsim.evaluation.estimates import half_width
from alsim.evaluation.experiments.asymptotic import FIRST, asymptotic_limits
from alsim.evaluation.experiments.betting import log_growth
from alsim.evaluation.experiments.mixture import TUNED_FOR, mixture_bound, mixture_scale
from alsim.evaluation.experiments.predictable import Limits, empirical_bernstein, hoeffding, nested, variance_bets
from alsim.evaluation.experiments.sequences import confidence_sequence
from alsim.types import Bools, Doubles
from benchmarks.plot import BLUE, GREY, INK, finish

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "sequences.png"
SEQUENCES, LENGTH, SEED = 2_000, 1_000, 0
MEAN, SD = 0.5, math.sqrt(1 / 12)
NEEDED = math.log(2 / 0.05)
ORANGE, GREEN, RED = "#b5532a", "#4c8a3b", "#a03060"
FIXED = "fixed horizon (Student's t)"
STYLES = {
    FIXED: (ORANGE, "-"),
    "betting": (BLUE, "-"),
    "empirical-bernstein": (GREEN, "--"),
    "hoeffding": (GREY, "--"),
    "normal-mixture": (RED, ":"),
    "asymptotic": (INK, "-."),
}


def student_limits(x: Doubles) -> Limits:
    """Return the limits of Student's t after each of values (..., n); nothing is excluded before `FIRST` values."""
    n = np.arange(1.0, x.shape[-1] + 1)
    mean = np.cumsum(x, axis=-1) / n
    variance = (np.cumsum(x**2, axis=-1) - n * mean**2) / np.maximum(n - 1, 1)
    width = np.array([half_width(int(k)) if k >= FIRST else 0 for k in n])
    half = np.where(n < FIRST, np.inf, width * np.sqrt(np.maximum(variance, 0) / n))
    return mean - half, mean + half


def excludes(limits: Limits) -> Bools:
    """Return whether each interval excludes the mean."""
    return np.asarray((limits[0] > MEAN) | (limits[1] < MEAN))


def alarms(x: Doubles) -> dict[str, Bools]:
    """Return whether the interval of each method excludes the mean of values (R, n), after each value."""
    t = np.arange(1.0, x.shape[-1] + 1)
    bets = variance_bets(x, NEEDED)
    capital = [np.cumsum(log_growth(y, bets, MEAN), axis=1) for y in (x, 1 - x)]
    normal = SD * mixture_bound(t, mixture_scale(TUNED_FOR))
    return {
        FIXED: excludes(student_limits(x)),
        "betting": np.maximum(*capital) >= NEEDED,
        "empirical-bernstein": excludes(nested(empirical_bernstein(x, NEEDED))),
        "hoeffding": excludes(nested(hoeffding(x, NEEDED))),
        "normal-mixture": np.abs(np.cumsum(x - MEAN, axis=1)) > normal,
        "asymptotic": excludes(asymptotic_limits(x, tuned_for=TUNED_FOR, first=FIRST, confidence=0.95)),
    }


def ever(excluded: Bools) -> Doubles:
    """Return the share of sequences that have excluded the mean after at most n values, from (R, n) flags."""
    return np.asarray(np.logical_or.accumulate(excluded, axis=1).mean(axis=0))


def draw_figure(sequences: int = SEQUENCES, length: int = LENGTH) -> Figure:
    """Return the figure: the intervals of a sequence with a false alarm of Student's t, and the false alarms of all."""
    x = np.random.default_rng(SEED).random((sequences, length))
    found = alarms(x)
    watched = found[FIXED].any(axis=1) & ~found[FIXED][:, -1]
    figure = Figure(figsize=(9.6, 4.0), dpi=160, layout="constrained")
    left, right = figure.subplots(1, 2)
    n = np.arange(1, length + 1)
    one = x[int(watched.argmax())]
    sequence = confidence_sequence(one, "betting")
    for name, limits in ((FIXED, student_limits(one)), ("betting", (sequence.lower, sequence.upper))):
        colour, line = STYLES[name]
        for end, label in zip(limits, (name, None), strict=True):
            left.plot(n, end, line, color=colour, linewidth=1.4, label=label)
    left.axhline(MEAN, color=INK, linewidth=0.8, linestyle=":")
    left.set(xlabel="values", xlim=(FIRST, length), ylim=(0.3, 0.7))
    finish(left, "95 % intervals of one sequence; the mean is 0.5")
    for name, excluded in found.items():
        colour, line = STYLES[name]
        right.plot(n, 100 * ever(excluded), line, color=colour, linewidth=1.6, label=name)
    right.axhline(5, color=INK, linewidth=0.8, linestyle=":")
    right.set(xlabel="values so far, looked at after each one", xlim=(FIRST, length), ylim=(0, 50))
    finish(right, f"sequences with a false alarm so far, % of {sequences:,}")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8, loc="upper right" if axes is left else "upper left")
    return figure


if __name__ == "__main__":
    draw_figure().savefig(PICTURE)
