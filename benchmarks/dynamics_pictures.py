"""Pictures of mastery over an episode under each dynamics: `python -m benchmarks.dynamics_pictures` draws them.

The script draws docs/images/dynamics-NAME.png for each dynamics of the package, in about a minute.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import alsim
from alsim.dynamics import DYNAMICS
from alsim.policies import PolicyDraws, View
from alsim.types import Doubles
from benchmarks.plot import BLUE, finish

IMAGES = Path(__file__).parent.parent / "docs" / "images"
LEARNERS, STEPS = 2_000, 140
ORANGE = "#b5532a"
COLOURS = {"videos": ORANGE, "rules": BLUE}
DAYS = {"sessions": {"interactions": 20, "break_hours": 24}, "termination": {"mastery_threshold": 1.0}}
SETTINGS: dict[str, dict[str, Any]] = {
    "prerequisites": {"curriculum": [[k, k + 1] for k in range(29)]},
    "half-life": DAYS,
    "fsrs": DAYS,
}
"""Settings in addition to the name of a dynamics: each outcome is the prerequisite of the next one; breaks."""


class Videos:
    """Policy that always shows a video about the LO with the lowest mastery."""

    name = "videos"

    def act(self, view: View, draws: PolicyDraws) -> tuple[Any, Doubles]:
        """Return the actions and their probabilities, (N,) each."""
        weakest = view.mastery.argmin(axis=1)
        return view.content(weakest, "video"), np.ones(len(weakest))


def settings(dynamics: str) -> dict[str, Any]:
    """Return a configuration with this dynamics."""
    return {"dynamics": dynamics, **SETTINGS.get(dynamics, {})}


def mean_mastery(dynamics: str, policy: Any, num_learners: int = LEARNERS) -> Doubles:
    """Return the mean over learners and LOs of mastery after 0 to 140 interactions, (141,).

    After the end of its episode, a learner keeps its last mastery.
    """
    rollout = alsim.rollout(policy, num_learners=num_learners, seed=0, config=settings(dynamics))
    num_los = rollout.config.num_los
    mastery = np.repeat(rollout.final_obs[:, None, :num_los].mean(axis=2, dtype=float), STEPS + 1, axis=1)
    interactions = rollout.interactions
    mastery[interactions.episode, interactions.step - 1] = rollout.obs[:, :num_los].mean(axis=1, dtype=float)
    means: Doubles = mastery.mean(axis=0)
    return means


def draw(dynamics: str, curves: dict[str, Doubles], standard: dict[str, Doubles]) -> Figure:
    """Return the figure: the curves by policy of a dynamics, and those of the standard dynamics as dashed lines."""
    figure = Figure(figsize=(6.4, 3.6), dpi=160, layout="constrained")
    axes = figure.subplots()
    for policy, colour in COLOURS.items():
        axes.plot(curves[policy], color=colour, linewidth=2, label=policy)
        if dynamics != "standard":
            axes.plot(standard[policy], color=colour, linewidth=1.2, linestyle="--", label=f"{policy}, standard")
    axes.set(xlabel="interactions", xlim=(0, STEPS), ylim=(0.2, 1.0 if dynamics in ("half-life", "fsrs") else 0.9))
    finish(axes, f"mean mastery under {dynamics}")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def main() -> None:
    """Draw the pictures of the dynamics of the package."""
    policies: dict[str, Any] = {"videos": Videos(), "rules": "rules"}
    standard: dict[str, Doubles] = {}
    for name in DYNAMICS:
        curves = {policy: mean_mastery(name, made) for policy, made in policies.items()}
        standard = standard or curves
        draw(name, curves, standard).savefig(IMAGES / f"dynamics-{name}.png")
        print(name, *(f"{policy} {curve[-1]:.3f}" for policy, curve in curves.items()))


if __name__ == "__main__":
    main()
