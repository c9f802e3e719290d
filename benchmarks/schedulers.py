"""Retention under each scheduler and dynamics with memory: `python -m benchmarks.schedulers` prints and draws it.

It prints the table of docs/memory.md, and draws docs/images/retention.png: the mean recall of all LOs at the start of
each session, and after the last one. The configuration is that of `alsim init-config --preset spaced`. It takes about
five minutes.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

import alsim
from alsim.config import Config, preset_toml
from alsim.types import Doubles
from benchmarks.plot import finish
from benchmarks.report import markdown

IMAGES = Path(__file__).parent.parent / "docs" / "images"
LEARNERS, SEED = 500, 0
POLICIES = (*("uniform", "round-robin", "random-due", "leitner", "sm2", "fsrs:0.9", "fsrs:0.7", "threshold"),)
DYNAMICS: dict[str, dict[str, Any]] = {
    "fsrs": {"name": "fsrs"},
    "half-life": {"name": "half-life"},
    "half-life, practice counts more": {"name": "half-life", "right_weight": 1.0, "base": -0.85},
}
"""Dynamics of the columns. In the last one, the half-life before any practice is a day, too: 1.0 - 0.15 - 0.85 = 0."""
DRAWN = "fsrs"
AFTER_DAYS = (0, 1, 3, 7, 14, 21, 28)
"""Days after the last session at which recall is drawn."""
COLOURS = dict(
    zip(POLICIES, ("#999999", "#555555", "#c9a227", "#2a7f62", "#1f5fa8", "#b5532a", "#e39b7b", "#7a3b8f"), strict=True)
)


class Retained(NamedTuple):
    """Results of a policy under a dynamics."""

    mean: float
    """Mean of delayed retention."""
    error: float
    """Its standard error."""
    accuracy: float
    """Mean share of correct answers."""
    days: Doubles
    """Days since the start of each session, then of the recall after the last one."""
    recall: Doubles
    """Mean recall over learners and LOs at these days."""


def configuration(dynamics: dict[str, Any], delay_hours: float | None = None) -> Config:
    """Return the configuration of spaced practice with another dynamics, and another delay of retention."""
    table = tomllib.loads(preset_toml("spaced"))
    table["dynamics"] = {**table["dynamics"], **dynamics}
    if delay_hours is not None:
        table["retention"]["delay_hours"] = delay_hours
    return Config.read(table)


def retained(policy: str, dynamics: dict[str, Any], learners: int = LEARNERS, after: tuple[int, ...] = ()) -> Retained:
    """Run a policy, and return the recall of its learners.

    after  days after the last session at which recall is measured; each takes another run
    """
    config = configuration(dynamics)
    run = alsim.rollout(policy, num_learners=learners, seed=SEED, config=config)
    x, every = run.interactions, config.sessions.interactions
    starts = (x.step - 1) % every == 0
    session, recall = (x.step[starts] - 1) // every, run.obs[starts, : config.num_los].mean(axis=1, dtype=float)
    sessions = config.max_episode_steps // every
    practice = np.bincount(session, recall, sessions) / np.bincount(session, minlength=sessions)
    later = [
        alsim.rollout(policy, num_learners=learners, seed=SEED, config=configuration(dynamics, 24.0 * day))
        for day in after
    ]
    values = run.metrics.delayed_retention
    return Retained(
        mean=float(values.mean()),
        error=float(values.std(ddof=1) / np.sqrt(len(values))),
        accuracy=float(run.metrics.question_accuracy.mean()),
        days=np.array([*range(sessions), *(sessions - 1 + day for day in after)], float),
        recall=np.array([*practice, *(one.metrics.delayed_retention.mean() for one in later)]),
    )


def draw(curves: dict[str, Retained]) -> Figure:
    """Return the figure of recall over days by policy."""
    figure = Figure(figsize=(7.2, 4.2), dpi=160, layout="constrained")
    axes = figure.subplots()
    for policy, found in curves.items():
        axes.plot(found.days, found.recall, color=COLOURS[policy], linewidth=1.8, label=policy)
    last = configuration({}).max_episode_steps // configuration({}).sessions.interactions - 1
    axes.axvline(last, color="#bbbbbb", linewidth=1, linestyle=":")
    axes.annotate("last session", (last, 0.02), textcoords="offset points", xytext=(4, 0), fontsize=8, color="#777777")
    axes.set(xlabel="days", ylabel="mean recall of 60 LOs", xlim=(0, last + AFTER_DAYS[-1]), ylim=(0, 1))
    finish(axes, f"recall at the start of each session, and after the last one, under {DRAWN}")
    axes.legend(frameon=False, fontsize=8, loc="lower right", ncols=2)
    return figure


def table(found: dict[str, dict[str, Retained]]) -> str:
    """Return delayed retention by policy and dynamics, with standard errors, as Markdown."""
    rows = [
        [policy, *(f"{one.mean:.3f} ± {one.error:.3f}" for one in (found[name][policy] for name in DYNAMICS))]
        for policy in POLICIES
    ]
    return markdown(["policy", *DYNAMICS], rows)


def main() -> None:
    """Print the table, and draw the figure."""
    found = {
        name: {policy: retained(policy, parameters, after=AFTER_DAYS if name == DRAWN else ()) for policy in POLICIES}
        for name, parameters in DYNAMICS.items()
    }
    print(table(found))
    draw(found[DRAWN]).savefig(IMAGES / "retention.png")


if __name__ == "__main__":
    main()
