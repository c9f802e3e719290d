"""Step 4,096 learners in two processes of PufferLib 3, and print the speed.

python docs/examples/pufferlib_env.py --steps 1000
"""

from __future__ import annotations

import argparse
import time

import numpy as np

try:
    import pufferlib.vector
except ModuleNotFoundError:
    # --no-deps, because PufferLib pins older versions of NumPy and Gymnasium than alsim requires.
    raise SystemExit(
        "pufferlib_env.py needs PufferLib, which is not installed: pip install --no-deps pufferlib"
    ) from None

from alsim.envs.puffer import AdaptiveLearningPufferEnv

WORKERS, LANES = 2, 2048


def main() -> None:
    """Step under random actions, and print the speed and the latest statistics of episodes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="steps of each lane")
    steps = parser.parse_args().steps

    # Each worker writes to its own part of the shared memory.
    envs = pufferlib.vector.make(
        AdaptiveLearningPufferEnv,
        backend=pufferlib.vector.Multiprocessing,
        num_envs=WORKERS,
        num_workers=WORKERS,
        env_kwargs={"num_envs": LANES},
    )
    actions = np.random.default_rng(0).integers(envs.single_action_space.n, size=(steps, WORKERS * LANES))
    envs.reset(seed=0)
    start_time = time.perf_counter()
    statistics = {}
    for batch in actions:
        *_, infos = envs.step(batch)
        for info in infos:
            statistics = info
    seconds = time.perf_counter() - start_time
    print(f"{steps * WORKERS * LANES / seconds:,.0f} interactions per second; latest episodes: {statistics}")
    envs.close()


if __name__ == "__main__":
    main()
