"""Half-life regression fitted to logs of simulated learners under the dynamics half-life, whose truth is known."""

import numpy as np
import pytest
from scipy import stats

import alsim
from alsim.models import Responses, hlr

TRUTH = (0.5, -0.2, 0.2)
"""Weights of right answers, of wrong answers, and of the base."""
LOGS, LEARNERS = 20, 200
CONFIG = {
    "num_los": 10,
    "max_episode_steps": 150,
    "sessions": {"interactions": 10, "break_hours": 20.0},
    "dynamics": {
        "name": "half-life",
        **dict(zip(("right_weight", "wrong_weight", "base"), TRUTH, strict=True)),
        "frustration_rise": 0.0,
        "hard_rise": 0.0,
    },
    "irt": {"guessing_range": [0.2, 0.2]},
    "termination": {"mastery_threshold": 1.0, "max_frustration": 1.0},
}


@pytest.mark.ci
@pytest.mark.compiled
def test_a_fit_recovers_the_parameters_of_simulated_learners(tmp_path):
    """Bias and coverage over 20 logs of 200 learners with 150 answers each, seeds 0 to 19.

    False alarms: the mean error is compared with 4.5 of its standard errors (7e-6 per parameter, two-sided), and the
    number of intervals that cover with a quantile of the binomial distribution (at most 1e-5 per parameter).
    """
    estimates, errors = np.empty((LOGS, 3)), np.empty((LOGS, 3))
    for seed in range(LOGS):
        dataset = alsim.generate_dataset(
            LEARNERS, 1, "random-due:0:0", seed, out=tmp_path / str(seed), config=CONFIG, store_observations=False
        )
        fit = hlr.fit(Responses.from_dataset(dataset, times=True), guess=0.2, by_skill=False)
        assert fit.converged and fit.num_responses == 150 * LEARNERS
        estimates[seed], errors[seed] = fit.weights, fit.weight_errors
    mean, error = estimates.mean(axis=0), estimates.std(axis=0, ddof=1) / np.sqrt(LOGS)
    assert (np.abs(mean - TRUTH) < 4.5 * error).all(), (mean, error)
    covered = (np.abs(estimates - TRUTH) < stats.norm.ppf(0.975) * errors).sum(axis=0)
    assert (covered >= stats.binom.ppf(1e-5, LOGS, 0.95)).all(), covered
