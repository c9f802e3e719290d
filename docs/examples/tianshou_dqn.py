"""Train a DQN with Tianshou 2, and print the mean return before and after training.

python docs/examples/tianshou_dqn.py --steps 200000 --seed 0
"""

from __future__ import annotations

import argparse

import numpy as np

from alsim.envs.tianshou import AdaptiveLearningTianshouEnv

try:
    import torch
    from tianshou.algorithm import DQN
    from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.trainer import OffPolicyTrainerParams
    from tianshou.utils.net.common import Net
except ModuleNotFoundError:
    raise SystemExit("tianshou_dqn.py needs Tianshou, which is not installed: pip install '.[tianshou]'") from None

torch.set_num_threads(1)  # more threads are much slower for such small networks

LANES = 64
HELD_OUT = 2**31  # training never uses learners from this index on


def evaluate(algorithm: DQN, episodes: int = 256) -> np.ndarray:
    """Return the return of one episode of each held-out learner, (episodes,), under the greedy policy."""
    envs = AdaptiveLearningTianshouEnv(episodes)
    collector = Collector(algorithm, envs)
    collector.reset_env({"seed": 0, "options": {"learner": HELD_OUT}})
    return collector.collect(n_episode=episodes).returns


def main() -> None:
    """Train, and print the mean return before and after training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200_000, help="interactions to train on")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)  # noqa: NPY002  # Tianshou explores with NumPy's global generator

    envs = AdaptiveLearningTianshouEnv(LANES)
    net = Net(state_shape=envs.observation_space.shape, action_shape=envs.action_space.n, hidden_sizes=[128, 128])
    policy = DiscreteQLearningPolicy(model=net, action_space=envs.action_space, eps_training=0.1)
    algorithm = DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), gamma=0.99, target_update_freq=500)
    collector = Collector(algorithm, envs, VectorReplayBuffer(100_000, LANES), exploration_noise=True)

    before = evaluate(algorithm)
    envs.seed(args.seed)
    collector.reset()
    collector.collect(n_step=min(args.steps, 10 * LANES), random=True)
    algorithm.run_training(
        OffPolicyTrainerParams(
            training_collector=collector,
            max_epochs=1,
            epoch_num_steps=args.steps,
            collection_step_num_env_steps=LANES,
            update_step_num_gradient_steps_per_sample=1 / 16,
            batch_size=256,
            verbose=False,
            show_progress=False,
        )
    )
    after = evaluate(algorithm)
    for name, returns in (("before", before), ("after", after)):
        error = returns.std(ddof=1) / np.sqrt(len(returns))
        print(f"return {name} training: {returns.mean():.2f} (standard error {error:.2f}, {len(returns)} learners)")


if __name__ == "__main__":
    main()
