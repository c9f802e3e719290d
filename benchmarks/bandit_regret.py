"""Regret of the bandits on stationary problems: `python -m benchmarks.bandit_regret` draws a picture for the docs.

Regret is the sum over steps of the mean reward of the best arm minus that of the chosen arm, so 0 is perfect. Two
problems: six Bernoulli arms with fixed chances, and six arms whose expected reward is linear in a random context. The
script takes about a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from alsim.policies.bandits import exp3, igw, lints, linucb, softmax, thompson, ucb1
from alsim.policies.bandits.means import learn_means, start_means
from alsim.policies.bandits.ridge import learn_ridge, start_ridge
from alsim.types import Doubles, Longs
from benchmarks.plot import BLUE, GREY, INK, finish

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "bandit-regret.png"
CHANCES = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
"""Chance of success of each arm of the first problem."""
FEATURES, NOISE = 5, 0.1
LANES, STEPS = 200, 2_000
ORANGE, GREEN, RED = "#b5532a", "#4c8a3b", "#a03060"
STYLES = {
    "thompson": (BLUE, "-"),
    "lints": (BLUE, "--"),
    "ucb1": (ORANGE, "-"),
    "linucb": (ORANGE, "--"),
    "softmax": (GREEN, "-"),
    "igw": (RED, "-"),
    "exp3": (INK, "-"),
    "uniform": (GREY, ":"),
}


class Bandit(NamedTuple):
    """A bandit in each of N lanes.

    probabilities  function of the contexts (N, d): the probability of each arm, (N, K)
    learn          function of contexts, arms (N,), rewards (N,), and the propensities of these arms (N,)
    """

    probabilities: Callable[[Doubles], Doubles]
    learn: Callable[[Doubles, Longs, Doubles, Doubles], None]


Start = Callable[[int, int, int], Bandit]
"""Function of the numbers of lanes, arms and features."""


def start_uniform(lanes: int, arms: int, features: int) -> Bandit:
    """Return the choice of each arm with the same probability."""
    return Bandit(lambda x: np.full((lanes, arms), 1 / arms), lambda x, a, r, p: None)


def start_thompson(lanes: int, arms: int, features: int) -> Bandit:
    """Return Thompson sampling of Bernoulli arms, with a uniform prior; a reward is the share of a success."""
    alpha, beta, rows = np.ones((lanes, arms)), np.ones((lanes, arms)), np.arange(lanes)

    def learn(x: Doubles, chosen: Longs, rewards: Doubles, p: Doubles) -> None:
        alpha[rows, chosen] += rewards
        beta[rows, chosen] += 1 - rewards

    return Bandit(lambda x: thompson.propensities(alpha, beta), learn)


def of_means(choice: Callable[..., Doubles]) -> Start:
    """Return the start of a bandit that chooses by the mean rewards."""

    def start(lanes: int, arms: int, features: int) -> Bandit:
        state, rows = start_means(lanes, arms), np.arange(lanes)
        return Bandit(lambda x: choice(state), lambda x, a, r, p: learn_means(state, rows, a, r))

    return start


def of_ridge(choice: Callable[..., Doubles]) -> Start:
    """Return the start of a bandit with a linear regression per arm."""

    def start(lanes: int, arms: int, features: int) -> Bandit:
        state, rows = start_ridge(lanes, arms, features), np.arange(lanes)
        return Bandit(lambda x: choice(state, x), lambda x, a, r, p: learn_ridge(state, rows, a, x, r))

    return start


def start_exp3(lanes: int, arms: int, features: int, gamma: float = 0.1) -> Bandit:
    """Return Exp3."""
    weights, rows = np.zeros((lanes, arms)), np.arange(lanes)
    return Bandit(
        lambda x: exp3.probabilities(weights, gamma), lambda x, a, r, p: exp3.learn(weights, rows, a, r, p, gamma)
    )


BANDITS: dict[str, Start] = {
    "uniform": start_uniform,
    "exp3": start_exp3,
    "softmax": of_means(softmax.probabilities),
    "igw": of_means(igw.probabilities),
    "ucb1": of_means(ucb1.probabilities),
    "thompson": start_thompson,
    "linucb": of_ridge(linucb.probabilities),
    "lints": of_ridge(lints.probabilities),
}


class Problem(NamedTuple):
    """A stationary problem with K arms and d features in each of N lanes.

    draw      function of a random generator: contexts (N, d) and expected rewards (N, K)
    rewards   function of the expected rewards of the chosen arms (N,) and a random generator: rewards in [0, 1], (N,)
    """

    lanes: int
    arms: int
    features: int
    draw: Callable[[np.random.Generator], tuple[Doubles, Doubles]]
    rewards: Callable[[Doubles, np.random.Generator], Doubles]


def bernoulli(lanes: int) -> Problem:
    """Return the problem of Bernoulli arms; the context is constant."""
    expected = np.tile(CHANCES, (lanes, 1))
    return Problem(
        lanes,
        len(CHANCES),
        1,
        lambda random: (np.ones((lanes, 1)), expected),
        lambda chances, random: (random.random(len(chances)) < chances).astype(float),
    )


def linear(lanes: int) -> Problem:
    """Return the problem of linear arms: x'w with weights w of sum 1, and noise; x is uniform in [0, 1]."""
    weights = np.random.default_rng(1).dirichlet(np.full(FEATURES, 0.5), size=len(CHANCES))

    def draw(random: np.random.Generator) -> tuple[Doubles, Doubles]:
        x = random.random((lanes, FEATURES))
        return x, x @ weights.T

    return Problem(
        lanes,
        len(CHANCES),
        FEATURES,
        draw,
        lambda expected, random: np.clip(random.normal(expected, NOISE), 0, 1),
    )


PROBLEMS = {"Bernoulli arms": bernoulli, "linear arms with contexts": linear}


def regret(start: Start, problem: Problem, steps: int = STEPS, seed: int = 0) -> Doubles:
    """Return the regret of each lane after each step, (N, T)."""
    random, lanes = np.random.default_rng(seed), problem.lanes
    rows = np.arange(lanes)
    bandit = start(lanes, problem.arms, problem.features)
    lost = np.empty((lanes, steps))
    for step in range(steps):
        contexts, expected = problem.draw(random)
        p = bandit.probabilities(contexts)
        chosen = np.minimum((p.cumsum(axis=1) <= random.random((lanes, 1))).sum(axis=1), problem.arms - 1)
        rewards = problem.rewards(expected[rows, chosen], random)
        bandit.learn(contexts, chosen, rewards, p[rows, chosen])
        lost[:, step] = expected.max(axis=1) - expected[rows, chosen]
    return lost.cumsum(axis=1)


def draw_figure(lanes: int = LANES, steps: int = STEPS) -> Figure:
    """Return the figure: mean regret by step, one panel per problem."""
    figure = Figure(figsize=(9.6, 4.0), dpi=160, layout="constrained")
    for axes, (title, problem) in zip(figure.subplots(1, 2), PROBLEMS.items(), strict=True):
        means = {name: regret(start, problem(lanes), steps).mean(axis=0) for name, start in BANDITS.items()}
        for name in sorted(means, key=lambda name: -means[name][-1]):
            colour, line = STYLES[name]
            axes.plot(np.arange(1, steps + 1), means[name], line, color=colour, linewidth=1.6, label=name)
        axes.set(xlabel="steps", xlim=(1, steps), ylim=(0, 300))
        finish(axes, f"mean regret, {title}")
        axes.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    draw_figure().savefig(PICTURE)
