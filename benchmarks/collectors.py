"""Interactions that training libraries collect from 256 learners in a second of a core, beside the bare environment's.

    python -m benchmarks.collectors torchrl   # in the environment of `nox -s compat-torchrl`, and so on

Of each: under uniform actions, which is the library's own cost, and under the networks of docs/examples, on one core.
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

os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads; processor time is then the time of one core
sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "examples"))

LANES, STEPS, REPEATS = 256, 128, 9
Collect = Callable[[], int]
"""Collects, and returns how many interactions it has collected."""


def bare() -> Iterator[tuple[str, Collect]]:
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
    import cleanrl_ppo
    from gymnasium.wrappers.vector import RecordEpisodeStatistics

    envs = RecordEpisodeStatistics(alsim.AdaptiveLearningVectorEnv(LANES, info="none"))
    collector = cleanrl_ppo.Collector(envs, seed=0)
    agent = cleanrl_ppo.Agent(32, 270)
    yield "networks", lambda: int(collector.collect(agent, STEPS).live.sum())


def torchrl() -> Iterator[tuple[str, Collect]]:
    import torchrl_ppo
    from torchrl.collectors import Collector, RandomPolicy

    env = torchrl_ppo.make_env(LANES)
    policies = {"uniform": RandomPolicy(env.full_action_spec), "networks": torchrl_ppo.make_agent(env)[0]}
    for name, policy in policies.items():
        settings = {"frames_per_batch": LANES * STEPS, "total_frames": -1, "auto_register_policy_transforms": False}
        batches = iter(Collector(env, policy, **settings))
        yield name, lambda batches=batches: next(batches).numel()


def rllib() -> Iterator[tuple[str, Collect]]:
    import rllib_ppo
    from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

    runner = SingleAgentEnvRunner(config=rllib_ppo.configure(LANES, seed=0))
    for name, uniform in (("uniform", True), ("networks", False)):

        def collect(uniform: bool = uniform) -> int:
            return sum(map(len, runner.sample(num_timesteps=LANES * STEPS, random_actions=uniform)))

        yield name, collect


LIBRARIES = {"bare": bare, "cleanrl": cleanrl, "torchrl": torchrl, "rllib": rllib}


def rates(collect: Collect) -> list[float]:
    """Interactions a second, repeat by repeat; of processor time, in which other work on the machine counts less."""
    collect()
    found = []
    for _ in range(REPEATS):
        began = time.process_time()
        count = collect()
        found.append(count / (time.process_time() - began))
    return found


if __name__ == "__main__":
    for library in sys.argv[1:] or ["bare"]:
        for actions, collect in LIBRARIES[library]():
            found = rates(collect)
            print(f"{library:8} {actions:9} {median(found):12,.0f} /s   ({min(found):,.0f} to {max(found):,.0f})")
