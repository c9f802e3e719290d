"""PPO in one file with PyTorch, in the style of CleanRL, on alsim's vector environment."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import alsim
from alsim.config import Config
from alsim.policies.network import Network, NetworkPolicy
from alsim.training.settings import PPO
from benchmarks.training_time.clock import Clock, Profile

ROLLOUTS = 40
"""Number of rollouts of a profile."""


class Agent(nn.Module):
    """A network with the logits of all actions and the value; both share the hidden layers."""

    def __init__(self, observations: int, actions: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        sizes = (observations, *widths)
        hidden = [(linear(a, b, 2**0.5), nn.Tanh()) for a, b in zip(sizes, sizes[1:], strict=False)]
        self.trunk = nn.Sequential(*(module for pair in hidden for module in pair))
        self.actor, self.critic = linear(sizes[-1], actions, 0.01), linear(sizes[-1], 1, 1.0)

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log probabilities (N, A) and values (N,)."""
        features = self.trunk(observations)
        return self.actor(features).log_softmax(-1), self.critic(features).squeeze(-1)

    @torch.no_grad()
    def policy(self) -> NetworkPolicy:
        """Return the policy for alsim."""
        layers = [module for module in self.trunk if isinstance(module, nn.Linear)]
        return NetworkPolicy(
            Network([(layer.weight.T.numpy().copy(), layer.bias.numpy().copy()) for layer in (*layers, self.actor)])
        )


def linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    """Return a layer with orthogonal weights."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class Rollout(NamedTuple):
    """Tensors of a rollout, (T, N, ...)."""

    observations: torch.Tensor
    actions: torch.Tensor
    log_probs: torch.Tensor
    advantages: torch.Tensor
    targets: torch.Tensor


def sample(log_probs: torch.Tensor) -> torch.Tensor:
    """Draw an action of each row by cumulative sums, ten times as fast as `torch.multinomial`."""
    sums = log_probs.exp().cumsum(-1)
    drawn = torch.rand(len(sums), 1) * sums[:, -1:]
    return torch.searchsorted(sums, drawn).squeeze(1).clamp_(max=sums.shape[1] - 1)


class Collector:
    """Collects rollouts."""

    def __init__(self, settings: PPO, config: Config, seed: int) -> None:
        self.settings = settings
        self.envs = alsim.AdaptiveLearningVectorEnv(
            settings.num_envs, config=config, autoreset_mode="SameStep", info="minimal"
        )
        self.observations = torch.from_numpy(self.envs.reset(seed=seed)[0])

    @torch.no_grad()
    def collect(self, agent: Agent) -> Rollout:
        """Step every lane, and estimate advantages."""
        rows, ends = [], []
        for _ in range(self.settings.n_steps):
            log_probs, values = agent(self.observations)
            actions = sample(log_probs)
            chosen = log_probs.gather(1, actions[:, None]).squeeze(1)
            observations, rewards, terminated, truncated, infos = self.envs.step(actions.numpy())
            rewards = torch.from_numpy(rewards.astype(np.float32))
            if truncated.any():
                final = torch.from_numpy(np.stack(infos["final_obs"][truncated]))
                rewards[torch.from_numpy(truncated)] += self.settings.gamma * agent(final)[1]
            rows.append((self.observations, actions, chosen, values, rewards))
            ends.append(torch.from_numpy(terminated | truncated))
            self.observations = torch.from_numpy(observations)
        seen, actions, log_probs, values, rewards = map(torch.stack, zip(*rows, strict=True))
        last = agent(self.observations)[1]
        advantages = estimate(rewards, torch.cat([values, last[None]]), torch.stack(ends), self.settings)
        return Rollout(seen, actions, log_probs, advantages, advantages + values)


def estimate(rewards: torch.Tensor, values: torch.Tensor, ended: torch.Tensor, settings: PPO) -> torch.Tensor:
    """Return advantages by generalized advantage estimation, (T, N)."""
    live = settings.gamma * ~ended
    errors = rewards + live * values[1:] - values[:-1]
    advantages, advantage = torch.empty_like(rewards), torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        advantage = errors[t] + live[t] * settings.gae_lambda * advantage
        advantages[t] = advantage
    return advantages


def improve(agent: Agent, optimizer: torch.optim.Optimizer, rollout: Rollout, settings: PPO) -> None:
    """Make the gradient steps of a rollout."""
    flat = Rollout(*(tensor.flatten(0, 1) for tensor in rollout))
    for _ in range(settings.n_epochs):
        for rows in torch.randperm(len(flat.actions)).chunk(settings.minibatches):
            batch = Rollout(*(tensor[rows] for tensor in flat))
            log_probs, values = agent(batch.observations)
            chosen = log_probs.gather(1, batch.actions[:, None]).squeeze(1)
            advantages = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8)
            ratio = (chosen - batch.log_probs).exp()
            clipped = ratio.clamp(1 - settings.clip_range, 1 + settings.clip_range)
            gain = torch.min(ratio * advantages, clipped * advantages).mean()
            entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
            error = (values - batch.targets).square().mean()
            loss = settings.vf_coef * error - gain - settings.ent_coef * entropy
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(agent.parameters(), settings.max_grad_norm)
            optimizer.step()


def run(settings: PPO, seed: int, config: Config, clock: Clock | None = None, profile: Profile | None = None) -> None:
    """Train once."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    collector = Collector(settings, config, seed)
    envs = collector.envs
    agent = Agent(envs.single_observation_space.shape[0], int(envs.single_action_space.n), settings.net_arch)
    optimizer = torch.optim.Adam(agent.parameters(), settings.learning_rate, eps=1e-5, fused=True)
    if profile is not None:
        profile.watch(envs, "step", "environment")
        profile.watch(collector, "collect", "collection")
    start, end = settings.learning_rate, settings.final_learning_rate
    for steps in range(0, settings.total_steps, settings.rollout_steps):
        if clock is not None:
            clock.read(steps, agent.policy)
        optimizer.param_groups[0]["lr"] = start + (end - start) * steps / settings.total_steps
        improve(agent, optimizer, collector.collect(agent), settings)
    if clock is not None:
        clock.read(settings.total_steps, agent.policy)


def train(settings: PPO, seed: int, config: Config, clock: Clock) -> None:
    """Train once."""
    clock.start()
    run(settings, seed, config, clock)


def prepare(settings: PPO, config: Config) -> None:
    """Compile the environment, and warm up."""
    run(_short(settings, 2), 0, config)


def shares(settings: PPO, config: Config) -> dict[str, float]:
    """Return the shares of the parts of a training."""
    profile = Profile()
    with profile.part("training"):
        run(_short(settings, ROLLOUTS), 0, config, profile=profile)
    found = profile.shares("training")
    choice = found["collection"] - found["environment"]
    return {"environment": found["environment"], "choice of actions": choice, "update": 1 - found["collection"]}


def _short(settings: PPO, rollouts: int) -> Any:
    return settings.model_copy(update={"steps": rollouts * settings.rollout_steps})
