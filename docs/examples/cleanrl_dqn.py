"""Train a DQN in one file, on many simulated learners at once.

    python docs/examples/cleanrl_dqn.py --total-steps 150000 --seed 0

It requires PyTorch and alsim, and no training library. Copy the file and change it as needed.
"""

import argparse
import time
from dataclasses import dataclass, fields
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers.vector import RecordEpisodeStatistics

try:
    import torch
    from torch import nn
except ModuleNotFoundError:
    raise SystemExit("cleanrl_dqn.py needs PyTorch, which is not installed: pip install torch") from None

torch.set_num_threads(1)  # more threads are much slower for such small networks

HELD_OUT = 2**31  # training never uses learners from this index on


@dataclass
class Args:
    """Hyperparameters. Each is an option of the command line, such as `--num-envs 64`."""

    total_steps: int = 150_000  # interactions
    num_envs: int = 64
    seed: int = 0
    learning_rate: float = 1e-3
    gamma: float = 0.9  # with higher values, the greedy policy may repeat one content until the episode ends
    buffer_size: int = 300_000
    learning_starts: int = 5_000
    batch_size: int = 256
    updates_per_step: int = 4  # one step is one interaction in every lane
    target_every: int = 2_000  # interactions
    epsilon: float = 0.03  # at the end of exploration, and in evaluation
    exploration: float = 0.2  # share of the steps during which epsilon decreases from 1
    report_every: int = 10_000  # interactions
    eval_learners: int = 1000


class QNetwork(nn.Sequential):
    """Values of all actions, (N, A), from observations."""

    def __init__(self, observations: int, actions: int, hidden: int = 128) -> None:
        super().__init__(
            *(nn.Linear(observations, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()),
            nn.Linear(hidden, actions),
        )

    @torch.no_grad()
    def act(self, obs: np.ndarray, epsilon: float, rng: np.random.Generator) -> np.ndarray:
        """Return one action per lane, (N,): the best one or, with probability epsilon, a random one."""
        values = self(torch.from_numpy(obs)).numpy()
        lanes, actions = values.shape
        return np.where(rng.random(lanes) < epsilon, rng.integers(actions, size=lanes), values.argmax(1))


class ReplayBuffer:
    """A ring buffer of the last transitions."""

    def __init__(self, size: int, observations: int) -> None:
        self.obs = np.empty((size, observations), np.float32)
        self.next_obs = np.empty_like(self.obs)
        self.actions = np.empty(size, np.int64)
        self.rewards = np.empty(size, np.float32)
        self.terminated = np.empty(size, np.float32)
        self.size, self.written = size, 0

    def add(
        self, obs: np.ndarray, actions: np.ndarray, rewards: np.ndarray, terminated: np.ndarray, next_obs: np.ndarray
    ) -> None:
        """Add one transition per lane."""
        rows = (self.written + np.arange(len(obs))) % self.size
        self.obs[rows], self.next_obs[rows] = obs, next_obs
        self.actions[rows], self.rewards[rows], self.terminated[rows] = actions, rewards, terminated
        self.written += len(obs)

    def sample(self, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
        """Return `count` random transitions."""
        rows = rng.integers(min(self.written, self.size), size=count)
        columns = (self.obs, self.actions, self.rewards, self.terminated, self.next_obs)
        return tuple(torch.from_numpy(column[rows]) for column in columns)


def interact(
    envs: gym.vector.VectorEnv, obs: np.ndarray, actions: np.ndarray, replay: ReplayBuffer
) -> tuple[np.ndarray, dict[str, Any]]:
    """Step every lane and store the transitions. Return the next observations and the infos of the step.

    Under "SameStep", a lane whose episode has ended returns the first observation of the next episode. The last
    observation of the ended episode, which belongs to the transition, is in the infos.
    """
    next_obs, rewards, terminated, truncated, infos = envs.step(actions)
    last_obs = next_obs
    if "final_obs" in infos:
        ended = infos["_final_obs"]
        last_obs = next_obs.copy()
        last_obs[ended] = np.stack(infos["final_obs"][ended])
    replay.add(obs, actions, rewards, terminated, last_obs)
    return next_obs, infos


@torch.no_grad()
def td_targets(
    target: QNetwork, rewards: torch.Tensor, terminated: torch.Tensor, next_obs: torch.Tensor, gamma: float
) -> torch.Tensor:
    """Return the temporal-difference targets, (batch_size,).

    The value of the next observation counts as 0 after termination. It is kept after truncation: the step limit ends
    the episode, but the learner could have continued.
    """
    return rewards + gamma * (1 - terminated) * target(next_obs).amax(1)


def update(
    network: QNetwork, target: QNetwork, optimizer: torch.optim.Optimizer, rows: tuple[torch.Tensor, ...], gamma: float
) -> None:
    """Take one gradient step on a batch of transitions."""
    obs, actions, rewards, terminated, next_obs = rows
    values = network(obs).gather(1, actions[:, None]).squeeze(1)
    loss = nn.functional.smooth_l1_loss(values, td_targets(target, rewards, terminated, next_obs, gamma))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def evaluate(network: QNetwork, args: Args) -> np.ndarray:
    """Return the return of one episode of each held-out learner, (eval_learners,), with exploration `args.epsilon`."""
    rng = np.random.default_rng(args.seed)
    envs = gym.make_vec("alsim:alsim/AdaptiveLearning-v0", num_envs=args.eval_learners, info="none")
    obs, _ = envs.reset(seed=args.seed, options={"learner": HELD_OUT})
    returns, running = np.zeros(args.eval_learners), np.ones(args.eval_learners, bool)
    while running.any():
        obs, rewards, terminated, truncated, _ = envs.step(network.act(obs, args.epsilon, rng))
        returns += rewards * running
        running &= ~(terminated | truncated)
    return returns


def train(args: Args) -> QNetwork:
    """Train a network, and print the mean return of the episodes that ended since the last line."""
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    envs = gym.make_vec(
        "alsim:alsim/AdaptiveLearning-v0", num_envs=args.num_envs, autoreset_mode="SameStep", info="none"
    )
    observations, actions = envs.single_observation_space.shape[0], int(envs.single_action_space.n)
    network, target = QNetwork(observations, actions), QNetwork(observations, actions)
    target.load_state_dict(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), lr=args.learning_rate)
    replay = ReplayBuffer(args.buffer_size, observations)
    envs = RecordEpisodeStatistics(envs)
    obs, _ = envs.reset(seed=args.seed)
    start_time, returns = time.perf_counter(), []
    for steps in range(args.num_envs, args.total_steps + args.num_envs, args.num_envs):
        progress = steps / (args.exploration * args.total_steps)
        action = network.act(obs, max(args.epsilon, 1 - progress * (1 - args.epsilon)), rng)
        obs, infos = interact(envs, obs, action, replay)
        if "episode" in infos:
            returns += infos["episode"]["r"][infos["_episode"]].tolist()
        if replay.written >= args.learning_starts:
            for _ in range(args.updates_per_step):
                update(network, target, optimizer, replay.sample(args.batch_size, rng), args.gamma)
        if steps % args.target_every < args.num_envs:
            target.load_state_dict(network.state_dict())
        if steps % args.report_every < args.num_envs and returns:
            seconds, mean = time.perf_counter() - start_time, np.mean(returns)
            print(f"{steps:>9,} steps {seconds:6.1f} s {steps / seconds:8,.0f} steps/s  return {mean:6.1f}", flush=True)
            returns.clear()
    envs.close()
    return network


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
