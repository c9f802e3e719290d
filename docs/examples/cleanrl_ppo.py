"""Train PPO in one file, on hundreds of simulated learners at once.

    python docs/examples/cleanrl_ppo.py --total-steps 2000000 --seed 0

It requires PyTorch and alsim, and no training library. Copy the file and change it as needed.
"""

import argparse
import time
from dataclasses import dataclass, fields

import gymnasium as gym
import numpy as np
from gymnasium.wrappers.vector import RecordEpisodeStatistics

try:
    import torch
    from torch import nn
    from torch.distributions import Categorical
except ModuleNotFoundError:
    raise SystemExit("cleanrl_ppo.py needs PyTorch, which is not installed: pip install torch") from None

torch.set_num_threads(1)  # more threads are much slower for such small networks

HELD_OUT = 2**31  # training never uses learners from this index on


@dataclass
class Args:
    """Hyperparameters. Each is an option of the command line, such as `--num-envs 64`."""

    total_steps: int = 2_000_000  # interactions
    num_envs: int = 256
    num_steps: int = 128  # steps of each lane between two updates
    seed: int = 0
    learning_rate: float = 1e-3
    gamma: float = 0.995
    gae_lambda: float = 0.95
    epochs: int = 4
    batch_size: int = 4096
    clip: float = 0.2
    entropy: float = 0.003
    value: float = 0.5
    max_grad_norm: float = 0.5
    eval_learners: int = 1000


class Agent(nn.Module):
    """A policy network and a separate value network."""

    def __init__(self, observations: int, actions: int, hidden: int = 64) -> None:
        super().__init__()
        self.actor = network(observations, hidden, actions, last_gain=0.01)
        self.critic = network(observations, hidden, 1, last_gain=1.0)

    def policy(self, obs: torch.Tensor) -> Categorical:
        """Return the distribution of actions for observations (..., R)."""
        return Categorical(logits=self.actor(obs), validate_args=False)

    def values(self, obs: torch.Tensor) -> torch.Tensor:
        """Return the values (...) of observations (..., R)."""
        return self.critic(obs).squeeze(-1)


def network(inputs: int, hidden: int, outputs: int, last_gain: float) -> nn.Sequential:
    """Return a multilayer perceptron with orthogonal weights; those of the last layer have gain `last_gain`."""
    layers = [nn.Linear(inputs, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)]
    for layer, gain in zip(layers, (2**0.5, 2**0.5, last_gain), strict=True):
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


@dataclass
class Batch:
    """A rollout of T steps in N lanes; arrays have shape (T, N, ...)."""

    obs: torch.Tensor
    actions: torch.Tensor
    log_probs: torch.Tensor
    values: torch.Tensor  # (T + 1, N): the last row is the value after the last step
    rewards: torch.Tensor
    terminated: torch.Tensor
    truncated: torch.Tensor
    live: torch.Tensor  # False where the environment ignored the action and started the next episode


class Collector:
    """Collects rollouts, and keeps the state of the lanes between them."""

    def __init__(self, envs: gym.vector.VectorEnv, seed: int) -> None:
        self.envs = envs
        self.obs = torch.from_numpy(envs.reset(seed=seed)[0])
        self.ended = torch.zeros(envs.num_envs, dtype=torch.bool)
        self.returns: list[float] = []

    @torch.no_grad()
    def collect(self, agent: Agent, num_steps: int) -> Batch:
        """Take `num_steps` steps in every lane.

        In the row after an episode's end, the observation is the last one of that episode. The action is ignored,
        so the row is not a transition, and `live` is False.
        """
        rows = []
        for _ in range(num_steps):
            policy = agent.policy(self.obs)
            action = policy.sample()
            obs, reward, terminated, truncated, infos = self.envs.step(action.numpy())
            outcome = (torch.from_numpy(a) for a in (reward.astype(np.float32), terminated, truncated))
            rows.append((self.obs, action, policy.log_prob(action), *outcome, ~self.ended))
            self.obs = torch.from_numpy(obs)
            self.ended = torch.from_numpy(terminated | truncated)
            if "episode" in infos:
                self.returns += infos["episode"]["r"][infos["_episode"]].tolist()
        obs, actions, log_probs, rewards, terminated, truncated, live = map(torch.stack, zip(*rows, strict=True))
        values = agent.values(torch.cat([obs, self.obs[None]]))
        return Batch(obs, actions, log_probs, values, rewards, terminated, truncated, live)


def advantages(batch: Batch, gamma: float, gae_lambda: float) -> torch.Tensor:
    """Return generalised advantage estimates, (T, N), which are valid where `live` is True.

    The observation after an episode's last step belongs to that episode. Its value counts if the episode was
    truncated, and is replaced by 0 if it terminated. No estimate includes rewards of the next episode.
    """
    future = gamma * batch.values[1:] * ~batch.terminated
    errors = batch.rewards + future - batch.values[:-1]
    weights = gamma * gae_lambda * ~(batch.terminated | batch.truncated)
    estimates = torch.zeros_like(errors)
    estimate = torch.zeros_like(errors[0])
    for t in reversed(range(len(errors))):
        estimate = errors[t] + weights[t] * estimate
        estimates[t] = estimate
    return estimates


def update(agent: Agent, optimizer: torch.optim.Optimizer, batch: Batch, args: Args) -> None:
    """Update the agent with the transitions of a rollout, which are the rows with `live` True."""
    estimates = advantages(batch, args.gamma, args.gae_lambda)
    live = batch.live
    obs, actions, log_probs = batch.obs[live], batch.actions[live], batch.log_probs[live]
    targets, estimates = (estimates + batch.values[:-1])[live], estimates[live]
    for _ in range(args.epochs):
        for rows in torch.randperm(len(obs)).split(args.batch_size):
            policy = agent.policy(obs[rows])
            advantage = estimates[rows]
            advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
            ratio = (policy.log_prob(actions[rows]) - log_probs[rows]).exp()
            gain = torch.min(ratio * advantage, ratio.clamp(1 - args.clip, 1 + args.clip) * advantage).mean()
            error = (agent.values(obs[rows]) - targets[rows]).square().mean()
            loss = args.value * error - gain - args.entropy * policy.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
            optimizer.step()


@torch.no_grad()
def evaluate(agent: Agent, args: Args) -> np.ndarray:
    """Return the return of one episode of each held-out learner, (eval_learners,), under the most likely actions."""
    envs = gym.make_vec("alsim:alsim/AdaptiveLearning-v0", num_envs=args.eval_learners, info="none")
    obs, _ = envs.reset(seed=args.seed, options={"learner": HELD_OUT})
    returns, running = np.zeros(args.eval_learners), np.ones(args.eval_learners, bool)
    while running.any():
        actions = agent.actor(torch.from_numpy(obs)).argmax(-1)
        obs, rewards, terminated, truncated, _ = envs.step(actions.numpy())
        returns += rewards * running
        running &= ~(terminated | truncated)
    return returns


def train(args: Args) -> Agent:
    """Train an agent, and print the mean return of the episodes that ended since the last line."""
    torch.manual_seed(args.seed)
    envs = gym.make_vec("alsim:alsim/AdaptiveLearning-v0", num_envs=args.num_envs, info="none")
    agent = Agent(envs.single_observation_space.shape[0], int(envs.single_action_space.n))
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    collector = Collector(RecordEpisodeStatistics(envs), args.seed)
    start_time = time.perf_counter()
    per_update = args.num_envs * args.num_steps
    for number in range(1, -(-args.total_steps // per_update) + 1):
        update(agent, optimizer, collector.collect(agent, args.num_steps), args)
        steps, seconds = number * per_update, time.perf_counter() - start_time
        if collector.returns:
            mean = np.mean(collector.returns)
            print(f"{steps:>9,} steps {seconds:6.1f} s {steps / seconds:8,.0f} steps/s  return {mean:6.1f}", flush=True)
        collector.returns.clear()
    envs.close()
    return agent


def parse() -> Args:
    """Return the hyperparameters from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in fields(Args):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=field.type, default=field.default)
    return Args(**vars(parser.parse_args()))


if __name__ == "__main__":
    args = parse()
    returns = evaluate(train(args), args)
    error = returns.std(ddof=1) / len(returns) ** 0.5
    print(f"held-out learners: return {returns.mean():.1f} ± {error:.1f} (n = {len(returns):,})")
