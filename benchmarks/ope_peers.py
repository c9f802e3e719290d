"""Off-policy estimates of alsim, Open Bandit Pipeline and SCOPE-RL, on the same arrays in the same run.

`nox -s ope-peers` installs both and prints values and times. The libraries compute their estimates and bootstrap
intervals of 100 draws, their default; alsim computes an estimate with its interval by the delta method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from alsim.evaluation import ope

ROUNDS, ARMS = 1_000_000, 10
EPISODES, STEPS = 8_000, 100
DRAWS = 100


class Row(NamedTuple):
    """Values and times of an estimator, seconds."""

    library: str
    estimator: str
    theirs: float
    ours: float
    their_seconds: float
    their_interval_seconds: float
    our_seconds: float


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call, and its time, seconds."""
    start = perf_counter()
    found = call()
    return found, perf_counter() - start


def compared(library: str, name: str, theirs: Any, arguments: dict[str, Any], ours: Callable[[], ope.Estimate]) -> Row:
    """Return one row; `theirs` is an estimator of the library."""
    interval = {"n_bootstrap_samples": DRAWS, "random_state": 0}
    value, seconds = timed(lambda: theirs.estimate_policy_value(**arguments))
    _, with_interval = timed(lambda: theirs.estimate_interval(**arguments, **interval))
    ours()  # compiles, once
    found, own = timed(ours)
    return Row(library, name, float(value), found.value, seconds, with_interval, own)


def bandit_rows() -> Iterator[Row]:
    """Yield the estimators for bandits."""
    from obp.ope import DoublyRobust, InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting

    random, rows = np.random.default_rng(0), np.arange(ROUNDS)
    logging = random.dirichlet(np.ones(ARMS), ROUNDS).clip(0.01)
    logging /= logging.sum(axis=1, keepdims=True)
    target = random.dirichlet(np.ones(ARMS), ROUNDS)
    action = (logging.cumsum(axis=1) > random.random((ROUNDS, 1))).argmax(axis=1)
    mean = 0.3 + 0.04 * np.arange(ARMS)
    reward = random.binomial(1, mean[action]).astype(float)
    model = mean + random.normal(0, 0.05, (ROUNDS, ARMS))
    behaviour, chosen, q, v = logging[rows, action], target[rows, action], model[rows, action], (target * model).sum(1)
    log = {
        "reward": reward,
        "action": action,
        "pscore": behaviour,
        "action_dist": target[:, :, np.newaxis],
        "position": np.zeros(ROUNDS, int),
    }
    arrays = reward, behaviour, chosen
    yield compared("obp", "ips", InverseProbabilityWeighting(), log, lambda: ope.ips(*arrays))
    yield compared("obp", "snips", SelfNormalizedInverseProbabilityWeighting(), log, lambda: ope.snips(*arrays))
    with_model = log | {"estimated_rewards_by_reg_model": model[:, :, np.newaxis]}
    yield compared("obp", "dr", DoublyRobust(), with_model, lambda: ope.dr(*arrays, q=q, v=v))


def episode_rows() -> Iterator[Row]:
    """Yield the estimators for episodes."""
    from scope_rl.ope.discrete import PerDecisionImportanceSampling as PDIS
    from scope_rl.ope.discrete import SelfNormalizedPDIS as SNPDIS
    from scope_rl.ope.discrete import TrajectoryWiseImportanceSampling as TIS

    random, shape = np.random.default_rng(0), (EPISODES, STEPS)
    action, reward = random.integers(0, ARMS, shape), random.normal(1, 1, shape)
    target = random.dirichlet(np.full(ARMS, 200.0), EPISODES * STEPS)
    behaviour = np.full(shape, 1 / ARMS)
    chosen = target[np.arange(EPISODES * STEPS), action.ravel()].reshape(shape)
    log = {
        "step_per_trajectory": STEPS,
        "action": action.ravel(),
        "reward": reward.ravel(),
        "pscore": behaviour.ravel(),
        "evaluation_policy_action_dist": target,
    }
    arrays = reward, behaviour, chosen
    yield compared("SCOPE-RL", "tis", TIS(), log, lambda: ope.tis(*arrays))
    yield compared("SCOPE-RL", "pdis", PDIS(), log, lambda: ope.pdis(*arrays))
    yield compared("SCOPE-RL", "snpdis", SNPDIS(), log, lambda: ope.snpdis(*arrays))


def main() -> None:
    """Print the rows."""
    print("library   estimator      theirs       alsim  s: theirs  with interval  alsim, with interval")
    for row in (*bandit_rows(), *episode_rows()):
        print(
            f"{row.library:8}  {row.estimator:9}  {row.theirs:10.6f}  {row.ours:10.6f}  {row.their_seconds:9.3f}  "
            f"{row.their_interval_seconds:13.3f}  {row.our_seconds:20.3f}"
        )
        assert abs(row.theirs - row.ours) <= 1e-6 * abs(row.ours), "the estimates differ"


if __name__ == "__main__":
    main()
