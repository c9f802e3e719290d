"""Bandits: a step of many lanes, with choice and update, compared with an online step of MABWiser in the same run."""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from alsim.policies.bandits import linucb, thompson
from alsim.policies.bandits.ridge import learn_ridge, start_ridge
from benchmarks.measure import alternate
from benchmarks.report import Row, judged, missing, quartiles

ARMS, FEATURES = 6, 32
SIZES = (256, 1024)
STATE_BYTES = ARMS * FEATURES * (FEATURES + 1) * 8
"""Size of the regressions of a lane of linucb, bytes."""
TARGET = "≥ 200"
PEER_STEPS = 20  # online steps of MABWiser per timed call

Step = Callable[[], Any]


def linucb_step(lanes: int, seed: int = 0) -> Step:
    """Return a step of LinUCB in each lane: the arm of the largest bound, then an update with its reward."""
    random = np.random.default_rng(seed)
    contexts, rewards = random.normal(size=(lanes, FEATURES)), random.random(lanes)
    state, rows = start_ridge(lanes, ARMS, FEATURES), np.arange(lanes)

    def step() -> None:
        arms = linucb.scores(state, contexts, 1.0).argmax(axis=1)
        learn_ridge(state, rows, arms, contexts, rewards)

    return step


def thompson_step(lanes: int, seed: int = 0) -> Step:
    """Return a step of Thompson sampling in each lane: the arm of the largest draw, then an update with its reward."""
    random = np.random.default_rng(seed)
    success = random.random(lanes) < 0.5
    alpha, beta, rows = np.ones((lanes, ARMS)), np.ones((lanes, ARMS)), np.arange(lanes)
    keys = random.integers(2**63, size=lanes).astype(np.uint64)

    def step() -> None:
        keys[:] += np.uint64(1)
        arms = thompson.choose(alpha, beta, keys)
        alpha[rows, arms] += success
        beta[rows, arms] += ~success

    return step


def exact_step(lanes: int, arms: int, seed: int = 0) -> Step:
    """Return the computation of exact propensities of Thompson sampling in each lane."""
    random = np.random.default_rng(seed)
    alpha, beta = (1.0 + random.integers(0, 40, (lanes, arms)) for _ in range(2))
    return lambda: thompson.propensities(alpha, beta)


def peer_step(name: str, seed: int = 0) -> Step:
    """Return PEER_STEPS online steps of MABWiser: predict, then partial_fit with the reward of the arm."""
    from mabwiser.mab import MAB, LearningPolicy

    random = np.random.default_rng(seed)
    arms, contexts = list(range(ARMS)), random.normal(size=(256, FEATURES))
    rewards = (random.random(256) < 0.5).astype(int).tolist()
    linear = name == "linucb"
    policy = LearningPolicy.LinUCB(alpha=1.0, l2_lambda=1.0) if linear else LearningPolicy.ThompsonSampling()
    bandit = MAB(arms, policy, seed=seed)
    start = random.integers(0, ARMS, 12).tolist()
    bandit.fit(start, rewards[:12], *([contexts[:12]] if linear else []))
    at = 0

    def steps() -> None:
        nonlocal at
        for _ in range(PEER_STEPS):
            row = [contexts[at : at + 1]] if linear else []
            bandit.partial_fit([bandit.predict(*row)], [rewards[at]], *row)
            at = (at + 1) % 256

    return steps


def rows(rounds: int = 7, budget: float = 0.1) -> Iterator[Row]:
    """Yield the rows of the table about bandits."""
    has_peer = importlib.util.find_spec("mabwiser") is not None
    for name, ours in (("linucb", linucb_step), ("thompson", thompson_step)):
        for lanes in SIZES:
            detail = f", d = {FEATURES}" if name == "linucb" else ", choice only"
            quantity = f"{name}{detail}, {lanes:,} lanes, compared with an online step of MABWiser"
            if not has_peer:
                yield missing(quantity, "MABWiser is not installed", TARGET)
                continue
            times = alternate({"alsim": ours(lanes), "peer": peer_step(name)}, rounds, budget)
            ratios = sorted(
                peer / PEER_STEPS / (own / lanes) for own, peer in zip(times["alsim"], times["peer"], strict=True)
            )
            limit = f"{statistics.median(times['alsim']) / lanes * 1e6:.2f} µs per lane"
            if name == "linucb":
                limit += f"; state of {lanes * STATE_BYTES / 1e6:.0f} MB, read once per step"
            yield judged(quantity, statistics.median(ratios), TARGET, "×", spread=quartiles(ratios), limit=limit)
    for arms in (6, 32):
        times = alternate({"": exact_step(256, arms)}, rounds, budget)
        each = sorted(t / 256 * 1e6 for t in times[""])
        quantity = f"thompson, exact propensities of {arms} arms, per lane"
        yield judged(quantity, statistics.median(each), "≤ 1000", "µs", spread=quartiles(each))


if __name__ == "__main__":
    for row in rows():
        print(row)
