"""Train PPO with TorchRL, on hundreds of simulated learners at once.

python docs/examples/torchrl_ppo.py --steps 1500000 --num-envs 256 --seed 0
"""

import argparse
import time

import numpy as np

try:
    import torch
    from tensordict.nn import TensorDictModule
    from torch import nn
    from torchrl.collectors import Collector
    from torchrl.envs import GymWrapper, RewardSum, TransformedEnv
    from torchrl.envs.utils import ExplorationType, set_exploration_type
    from torchrl.modules import MLP, ProbabilisticActor, ValueOperator
    from torchrl.objectives import ClipPPOLoss
    from torchrl.objectives.value import GAE
except ModuleNotFoundError:
    raise SystemExit("torchrl_ppo.py needs TorchRL, which is not installed: pip install torch torchrl") from None

import alsim

torch.set_num_threads(1)  # more threads are much slower for such small networks

HELD_OUT = 2**31  # training never uses learners from this index on
NUM_STEPS, EPOCHS, BATCH_SIZE = 128, 4, 4096


def make_env(num_envs: int, **kwargs: object) -> GymWrapper:
    """Return a TorchRL environment; `kwargs` are arguments of the vector environment, such as `config`.

    TorchRL resets lanes whose episode is over, so the autoreset mode is "Disabled". TorchRL reads the mode from
    the environment: do not put a Gymnasium wrapper around it.
    """
    envs = alsim.AdaptiveLearningVectorEnv(num_envs, autoreset_mode="Disabled", info="none", **kwargs)
    return GymWrapper(envs, categorical_action_encoding=True)


def make_agent(env: GymWrapper) -> tuple[ProbabilisticActor, ValueOperator]:
    """Return an actor and a critic with separate networks for an environment."""
    observations, actions = env.observation_spec["observation"].shape[-1], env.full_action_spec["action"].space.n
    body = {"num_cells": [64, 64], "activation_class": nn.Tanh}
    actor = ProbabilisticActor(
        TensorDictModule(MLP(observations, actions, **body), in_keys=["observation"], out_keys=["logits"]),
        in_keys=["logits"],
        distribution_class=torch.distributions.Categorical,
        return_log_prob=True,
    )
    return actor, ValueOperator(MLP(observations, 1, **body), in_keys=["observation"])


def train(steps: int, num_envs: int, seed: int) -> ProbabilisticActor:
    """Train, and print the mean return of the episodes that ended in each batch."""
    torch.manual_seed(seed)
    env = TransformedEnv(make_env(num_envs), RewardSum())
    env.set_seed(seed)
    actor, critic = make_agent(env)
    loss = ClipPPOLoss(actor, critic, entropy_coeff=0.003, critic_coeff=0.5, normalize_advantage=True)
    estimator = GAE(gamma=0.995, lmbda=0.95, value_network=critic)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3, eps=1e-5)
    per_batch = num_envs * NUM_STEPS
    collector = Collector(
        *(env, actor),
        frames_per_batch=per_batch,
        total_frames=-(-steps // per_batch) * per_batch,
        auto_register_policy_transforms=False,  # the actor has none
    )
    start_time, done = time.perf_counter(), 0
    for batch in collector:
        done += batch.numel()
        with torch.no_grad():
            estimator(batch)
        rows = batch.reshape(-1)
        for _ in range(EPOCHS):
            for indices in torch.randperm(len(rows)).split(BATCH_SIZE):
                losses = loss(rows[indices])
                optimizer.zero_grad()
                (losses["loss_objective"] + losses["loss_critic"] + losses["loss_entropy"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
        returns = batch["next", "episode_reward"][batch["next", "done"]]
        if len(returns):
            seconds = time.perf_counter() - start_time
            print(
                f"{done:>9,} steps {seconds:6.1f} s {done / seconds:8,.0f} steps/s  return {returns.mean():6.1f}",
                flush=True,
            )
    collector.shutdown()
    return actor


@torch.no_grad()
def evaluate(actor: ProbabilisticActor, learners: int, seed: int) -> np.ndarray:
    """Return the return of one episode of each held-out learner, (learners,), under the most likely actions."""
    envs = alsim.AdaptiveLearningVectorEnv(learners, info="none")
    obs, _ = envs.reset(seed=seed, options={"learner": HELD_OUT})
    returns, running = np.zeros(learners), np.ones(learners, bool)
    while running.any():
        with set_exploration_type(ExplorationType.DETERMINISTIC):
            actions = actor(observation=torch.from_numpy(obs))[1]
        obs, rewards, terminated, truncated, _ = envs.step(actions.numpy())
        returns += rewards * running
        running &= ~(terminated | truncated)
    return returns


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_500_000, help="interactions")
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    returns = evaluate(train(args.steps, args.num_envs, args.seed), 1000, args.seed)
    error = returns.std(ddof=1) / len(returns) ** 0.5
    print(f"held-out learners: return {returns.mean():.1f} ± {error:.1f} (n = {len(returns):,})")
