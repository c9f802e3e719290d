"""The regret of the bandits on stationary problems is within the proven bounds."""

import math

import numpy as np
import pytest

from benchmarks import bandit_regret
from benchmarks.bandit_regret import BANDITS, CHANCES, bernoulli, linear, regret, start_exp3

pytestmark = [pytest.mark.compiled, pytest.mark.versionless]
GAPS = CHANCES.max() - CHANCES
ARMS = len(CHANCES)


def test_uniform_choice_loses_the_mean_gap_at_each_step():
    """n = 100 lanes of 200 steps; the mean is within 5 standard errors with probability 1 - 6e-7 (seed 0)."""
    lost = regret(BANDITS["uniform"], bernoulli(100), steps=200)
    assert lost.shape == (100, 200)
    assert (np.diff(lost, axis=1) >= 0).all()
    assert abs(lost[:, -1].mean() - 200 * GAPS.mean()) < 5 * math.sqrt(200 * GAPS.var() / 100)


def test_ucb1_keeps_its_bound():
    """Auer, Cesa-Bianchi & Fischer (2002), theorem 1."""
    t = 500
    bound = 8 * math.log(t) * (1 / GAPS[GAPS > 0]).sum() + (1 + math.pi**2 / 3) * GAPS.sum()
    lost = regret(BANDITS["ucb1"], bernoulli(100), steps=t)[:, -1].mean()
    assert 0 < lost < min(bound, t * GAPS.mean())


def test_exp3_keeps_its_bound():
    """Auer et al. (2002), corollary 3.2, with the exploration that it prescribes."""
    t = 1000
    largest = CHANCES.max() * t
    gamma = min(1, math.sqrt(ARMS * math.log(ARMS) / ((math.e - 1) * largest)))
    lost = regret(lambda *sizes: start_exp3(*sizes, gamma=gamma), bernoulli(100), steps=t)[:, -1].mean()
    assert 0 < lost < 2 * math.sqrt((math.e - 1) * largest * ARMS * math.log(ARMS))
    assert lost < t * GAPS.mean()


@pytest.mark.ci
def test_thompson_keeps_its_bound():
    """Russo & Van Roy (2016), proposition 5: arms whose chances are drawn from the prior, so each lane has its own."""
    t, lanes = 300, 100
    chances = np.random.default_rng(2).random((lanes, ARMS))
    problem = bernoulli(lanes)._replace(draw=lambda random: (np.ones((lanes, 1)), chances))
    lost = regret(BANDITS["thompson"], problem, steps=t)[:, -1].mean()
    assert 0 < lost < math.sqrt(0.5 * math.log(ARMS) * ARMS * t)
    uniform = t * (chances.max(axis=1) - chances.mean(axis=1)).mean()
    assert lost < uniform / 3


@pytest.mark.ci
@pytest.mark.parametrize("name", [name for name in BANDITS if name != "uniform"])
def test_only_bandits_that_read_the_context_learn_linear_arms(name):
    lost = regret(BANDITS[name], linear(50), steps=400)[:, -1].mean()
    uniform = regret(BANDITS["uniform"], linear(50), steps=400)[:, -1].mean()
    assert (lost < 0.85 * uniform) == (name in {"linucb", "lints"})


@pytest.mark.ci
def test_the_picture_has_two_panels_and_all_bandits():
    figure = bandit_regret.draw_figure(lanes=3, steps=5)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert {line.get_label() for line in axes.lines} == set(BANDITS)
