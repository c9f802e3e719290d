"""Train a DQN with Tianshou 2 and print what it earns: python tianshou_dqn.py --steps 200000."""

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
    raise SystemExit("tianshou_dqn.py needs Tianshou, which is not installed: pip install 'alsim[tianshou]'") from None

LANES, HELD_OUT = 64, 2**31  # learners from there on are for evaluation


def evaluate(algorithm: DQN, episodes: int = 256) -> np.ndarray:
    """Returns (E,) of held-out learners under the greedy policy."""
    envs = AdaptiveLearningTianshouEnv(episodes)
    collector = Collector(algorithm, envs)
    collector.reset_env({"seed": 0, "options": {"learner": HELD_OUT}})
    return collector.collect(n_episode=episodes).returns


def main() -> None:
    """Train, and print returns before and after."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--steps", type=int, default=200_000, help="interactions to train on")
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    torch.manual_seed(given.seed)
    np.random.seed(given.seed)  # noqa: NPY002  # Tianshou draws its exploration from there

    envs = AdaptiveLearningTianshouEnv(LANES)
    net = Net(state_shape=envs.observation_space.shape, action_shape=envs.action_space.n, hidden_sizes=[128, 128])
    policy = DiscreteQLearningPolicy(model=net, action_space=envs.action_space, eps_training=0.1)
    algorithm = DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), gamma=0.99, target_update_freq=500)
    collector = Collector(algorithm, envs, VectorReplayBuffer(100_000, LANES), exploration_noise=True)

    before = evaluate(algorithm)
    envs.seed(given.seed)
    collector.reset()
    collector.collect(n_step=min(given.steps, 10 * LANES), random=True)
    algorithm.run_training(
        OffPolicyTrainerParams(
            training_collector=collector,
            max_epochs=1,
            epoch_num_steps=given.steps,
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
