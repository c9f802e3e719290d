"""The script that draws the pictures of the pages on dynamics."""

import numpy as np
import pytest

import alsim
from benchmarks import dynamics_pictures as pictures

pytestmark = pytest.mark.versionless


def test_the_curve_is_the_mean_mastery_after_each_interaction() -> None:
    """At the ends: the starting mastery of the learners, and the mean of the metric."""
    curve = pictures.mean_mastery("standard", pictures.Videos(), num_learners=20)
    envs = alsim.AdaptiveLearningVectorEnv(20)
    start = envs.reset(seed=0)[0][:, :30].mean(dtype=float)
    final = alsim.rollout(pictures.Videos(), num_learners=20, seed=0).metrics.final_mastery.mean()
    assert curve.shape == (141,)
    assert abs(curve[0] - start) < 1e-6 and abs(curve[-1] - final) < 1e-6
    assert (np.diff(curve) > 0).all()  # no learner forgets, and no episode with videos ends early


def test_learners_keep_their_mastery_after_the_end() -> None:
    rollout = alsim.rollout("rules", num_learners=20, seed=0)
    assert rollout.metrics.total_steps.min() < 140
    curve = pictures.mean_mastery("standard", "rules", num_learners=20)
    assert abs(curve[-1] - rollout.metrics.final_mastery.mean()) < 1e-6


def test_the_figure_shows_the_standard_dynamics_for_comparison() -> None:
    curves = {name: np.linspace(0.3, 0.5, 141) for name in pictures.COLOURS}
    figure = pictures.draw("linked", curves, curves)
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels == ["videos", "videos, standard", "rules", "rules, standard"]
    assert len(pictures.draw("standard", curves, curves).axes[0].lines) == 2
