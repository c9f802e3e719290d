"""The training loops with PyTorch and Stable-Baselines3, with which benchmarks compare alsim, in short trainings."""

import numpy as np
import pytest
import torch

import alsim
from alsim.training import PPO, SB3PPO
from benchmarks.training_time import by_sb3, by_torch
from benchmarks.training_time.clock import Clock

SHORT = {"num_envs": 8, "n_steps": 4, "minibatches": 2, "steps": 96}


@pytest.mark.parametrize(("loop", "settings"), [(by_torch, PPO(**SHORT)), (by_sb3, SB3PPO(**SHORT))])
def test_trainings_are_read_before_each_rollout_and_at_the_end(loop, settings):
    policies = []
    watch = Clock([32, 64, 96], lambda policy: policies.append(policy) or (0.0, 0.0))
    loop.train(settings, 3, alsim.Config(), watch)
    assert [reading.steps for reading in watch.readings] == [32, 64, 96]
    assert len({policy.digest for policy in policies}) == 3
    assert policies[-1].network.outputs == 270 and policies[-1].acting == "sample"


def test_draws_have_their_probabilities():
    """20,000 draws of three actions: six standard errors are at most 0.022."""
    torch.manual_seed(0)
    odds = torch.tensor([0.2, 0.5, 0.3])
    actions = by_torch.sample(odds.log().expand(20_000, 3))
    assert np.bincount(actions, minlength=3) / 20_000 == pytest.approx(odds.numpy(), abs=0.022)


def test_the_policy_has_the_outputs_of_the_agent():
    agent, rows = by_torch.Agent(32, 270, (64, 64)), torch.rand(5, 32)
    outputs = agent.policy().network.forward(rows.numpy())
    log_probs = agent(rows)[0].detach()
    assert torch.from_numpy(outputs).log_softmax(-1).numpy() == pytest.approx(log_probs.numpy(), abs=1e-5)


@pytest.mark.parametrize(("loop", "settings"), [(by_torch, PPO(**SHORT)), (by_sb3, SB3PPO(**SHORT))])
def test_shares_of_the_parts_are_at_most_the_whole(loop, settings, monkeypatch):
    monkeypatch.setattr(loop, "ROLLOUTS", 2)
    multinomial = torch.multinomial
    shares = loop.shares(settings, alsim.Config())
    assert all(share > 0 for share in shares.values()) and sum(shares.values()) <= 1.001
    assert torch.multinomial is multinomial
