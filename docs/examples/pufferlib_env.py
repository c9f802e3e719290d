"""Step 4096 learners in two processes of PufferLib 3's: python pufferlib_env.py --steps 1000."""

from __future__ import annotations

import argparse
import time

import numpy as np

try:
    import pufferlib.vector
except ModuleNotFoundError:
    # Without what it pins: alsim needs a later NumPy and a later Gymnasium.
    raise SystemExit(
        "pufferlib_env.py needs PufferLib, which is not installed: pip install --no-deps pufferlib"
    ) from None

from alsim.envs.puffer import AdaptiveLearningPufferEnv

WORKERS, LANES = 2, 2048


def main() -> None:
    """Step under random actions, and print what the environments tell of the episodes that ended."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--steps", type=int, default=1000)
    steps = arguments.parse_args().steps

    # Each worker writes to its part of the memory that all of them share.
    envs = pufferlib.vector.make(
        AdaptiveLearningPufferEnv,
        backend=pufferlib.vector.Multiprocessing,
        num_envs=WORKERS,
        num_workers=WORKERS,
        env_kwargs={"num_envs": LANES},
    )
    actions = np.random.default_rng(0).integers(envs.single_action_space.n, size=(steps, WORKERS * LANES))
    envs.reset(seed=0)
    began = time.perf_counter()
    told = {}
    for batch in actions:
        *_, infos = envs.step(batch)
        for info in infos:
            told = info
    spent = time.perf_counter() - began
    print(f"{steps * WORKERS * LANES / spent:,.0f} learner-steps a second; the latest of episodes: {told}")
    envs.close()


if __name__ == "__main__":
    main()
