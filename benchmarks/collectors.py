"""Interactions per second on one core from 256 learners, by training library, and of the environment alone.

    python -m benchmarks.collectors torchrl   # in the environment of `nox -s compat-torchrl`

Each library runs with uniform actions, which shows its overhead, and with the networks of docs/examples.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np

import alsim

os.environ["OMP_NUM_THREADS"] = "1"  # set before torch is imported; processor time is then the time of one core
sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "examples"))

LANES, STEPS, REPEATS = 256, 128, 9
Collect = Callable[[], int]
"""Function that collects interactions and returns their number."""


def bare() -> Iterator[tuple[str, Collect]]:
    """Yield the environment alone, under uniform actions."""
    envs = alsim.AdaptiveLearningVectorEnv(LANES, info="none")
    actions = np.random.default_rng(0).integers(270, size=(STEPS, LANES))
    envs.reset(seed=0)

    def collect() -> int:
        for _ in range(40):
            for chosen in actions:
                envs.step(chosen)
        return 40 * actions.size

    yield "uniform", collect


def cleanrl() -> Iterator[tuple[str, Collect]]:
    """Yield the collector of docs/examples/cleanrl_ppo.py, with its networks."""
    import cleanrl_ppo
    from gymnasium.wrappers.vector import RecordEpisodeStatistics

    envs = RecordEpisodeStatistics(alsim.AdaptiveLearningVectorEnv(LANES, info="none"))
    collector = cleanrl_ppo.Collector(envs, seed=0)
    agent = cleanrl_ppo.Agent(32, 270)
    yield "networks", lambda: int(collector.collect(agent, STEPS).live.sum())


def torchrl() -> Iterator[tuple[str, Collect]]:
    """Yield the collector of TorchRL, under uniform actions and with networks."""
    import torchrl_ppo
    from torchrl.collectors import Collector, RandomPolicy

    env = torchrl_ppo.make_env(LANES)
    policies = {"uniform": RandomPolicy(env.full_action_spec), "networks": torchrl_ppo.make_agent(env)[0]}
    for name, policy in policies.items():
        settings = {"frames_per_batch": LANES * STEPS, "total_frames": -1, "auto_register_policy_transforms": False}
        batches = iter(Collector(env, policy, **settings))
        yield name, lambda batches=batches: next(batches).numel()


def rllib() -> Iterator[tuple[str, Collect]]:
    """Yield the env runner of RLlib, under uniform actions and with networks."""
    import rllib_ppo
    from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

    runner = SingleAgentEnvRunner(config=rllib_ppo.configure(LANES, seed=0))
    for name, uniform in (("uniform", True), ("networks", False)):

        def collect(uniform: bool = uniform) -> int:
            return sum(map(len, runner.sample(num_timesteps=LANES * STEPS, random_actions=uniform)))

        yield name, collect


LIBRARIES = {"bare": bare, "cleanrl": cleanrl, "torchrl": torchrl, "rllib": rllib}


def rates(collect: Collect) -> list[float]:
    """Return interactions per second of processor time for each repeat; other processes affect it less."""
    collect()
    measured = []
    for _ in range(REPEATS):
        start = time.process_time()
        count = collect()
        measured.append(count / (time.process_time() - start))
    return measured


if __name__ == "__main__":
    for library in sys.argv[1:] or ["bare"]:
        for actions, collect in LIBRARIES[library]():
            measured = rates(collect)
            spread = f"({min(measured):,.0f} to {max(measured):,.0f})"
            print(f"{library:8} {actions:9} {median(measured):12,.0f} /s   {spread}")
