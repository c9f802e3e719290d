"""The single-file PPO and DQN, docs/examples/cleanrl_ppo.py and cleanrl_dqn.py: common mistakes."""

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import cleanrl_dqn as dqn
import cleanrl_ppo as ppo
import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import wrappers
from notices import without_notice
from replay import SHORT, Episode, Learners, same

import alsim  # noqa: F401  # registers the environment

EXAMPLES = Path(ppo.__file__).parent


def make_env(env_id, index, capture_video, run_name):
    """The environment of CleanRL's scripts (https://docs.cleanrl.dev/rl-algorithms/ppo/): statistics, and videos."""

    def create():
        env = gym.make(env_id, render_mode="rgb_array" if capture_video and index == 0 else None, config=SHORT)
        if env.render_mode:
            env = wrappers.RecordVideo(env, f"videos/{run_name}")
        return wrappers.RecordEpisodeStatistics(env)

    return create


def test_first_example(first_example, tmp_path, monkeypatch):
    """Runs the loop of CleanRL's scripts: statistics of episodes are in the infos, and the first lane has videos."""
    monkeypatch.chdir(tmp_path)
    first_example.check_version()
    envs = first_example.run(globals())["envs"]
    envs.action_space.seed(0)
    envs.reset(seed=1)
    returns = []
    for _ in range(10):
        *_, infos = envs.step(envs.action_space.sample())
        if "episode" in infos:
            returns += infos["episode"]["r"][infos["_episode"]].tolist()
    envs.close()
    assert len(returns) >= 4
    assert (tmp_path / "videos" / "run" / "rl-video-episode-0.mp4").stat().st_size > 1000


@pytest.fixture
def batch():
    """Return eighty steps of four lanes with short episodes, and the agent that acted."""
    torch.manual_seed(0)
    agent = ppo.Agent(32, 270)
    envs = gym.make_vec("alsim:alsim/AdaptiveLearning-v0", num_envs=4, config=SHORT, info="none")
    return ppo.Collector(envs, seed=11).collect(agent, 80), agent


def episodes_of(batch, lane):
    """Yield the rows of each episode of a lane. The row after an episode's end belongs to no episode."""
    start = 0
    while start < len(batch.rewards):
        end = start
        ended = batch.terminated[:, lane] | batch.truncated[:, lane]
        while end < len(ended) - 1 and not ended[end]:
            end += 1
        yield slice(start, end + 1)
        start = end + 2 if ended[end] else end + 1


def test_collected_episodes_equal_those_of_single_environments(batch):
    batch, _ = batch
    learners, live, flags = Learners(11, 4, 80, SHORT), np.zeros((80, 4), bool), set()
    for lane in range(4):
        for number, rows in enumerate(episodes_of(batch, lane)):
            live[rows, lane] = True
            flag = bool(batch.terminated[rows, lane].any()), bool(batch.truncated[rows, lane].any())
            theirs = learners.replay(batch.actions[rows, lane].numpy(), lane, number)
            # The row after an end has the last observation; the last episode may continue after the rollout.
            reached = batch.obs[rows.start : rows.stop + 1, lane].numpy()
            ours = Episode(reached, batch.actions[rows, lane].numpy(), batch.rewards[rows, lane].numpy(), *flag)
            theirs.observations = theirs.observations[: len(reached)]
            assert same(theirs, ours), (lane, number)
            flags.add(flag)
    assert np.array_equal(batch.live.numpy(), live)
    assert flags == {(True, False), (False, True), (False, False)}


def plain_advantages(rewards, values, terminated, gamma, gae_lambda):
    """Return the advantages of an episode by definition: discounted sums of temporal-difference errors.

    values  of every observation including the last one, whose value is 0 if the episode terminated
    """
    values = [*values[:-1], 0.0 if terminated else values[-1]]
    errors = [r + gamma * after - before for r, before, after in zip(rewards, values[:-1], values[1:], strict=True)]
    return [sum((gamma * gae_lambda) ** k * error for k, error in enumerate(errors[t:])) for t in range(len(errors))]


def test_advantages_of_a_short_sequence():
    """Lane 0 terminates twice; lane 1 is truncated, starts again, and is cut off by the end of the rollout."""
    t, f = True, False
    rewards = torch.tensor([[1.0, 2.0], [3.0, 4.0], [0.0, 5.0], [6.0, 0.0], [7.0, 8.0]])
    values = torch.tensor([[0.5, 1.5], [2.5, 3.5], [4.5, 5.5], [6.5, 7.5], [8.5, 9.5], [10.5, 11.5]])
    terminated = torch.tensor([[f, f], [t, f], [f, f], [f, f], [t, f]])
    truncated = torch.tensor([[f, f], [f, f], [f, t], [f, f], [f, f]])
    live = torch.tensor([[t, t], [t, t], [f, t], [t, f], [t, t]])
    batch = ppo.Batch(rewards, rewards, rewards, values, rewards, terminated, truncated, live)
    estimates = ppo.advantages(batch, 0.9, 0.8)
    expected = {
        0: [*plain_advantages([1, 3], [0.5, 2.5, 4.5], True, 0.9, 0.8), None]
        + plain_advantages([6, 7], [6.5, 8.5, 10.5], True, 0.9, 0.8),
        1: [*plain_advantages([2, 4, 5], [1.5, 3.5, 5.5, 7.5], False, 0.9, 0.8), None]
        + plain_advantages([8], [9.5, 11.5], False, 0.9, 0.8),
    }
    # Single precision: sums of at most three terms below 16, each within half a unit in the last place.
    for lane, column in expected.items():
        for step, value in enumerate(column):
            assert (value is None) == (not live[step, lane])
            assert value is None or float(estimates[step, lane]) == pytest.approx(value, abs=1e-5)
    assert expected[0][1] == 3 - 2.5  # no future value after termination
    assert expected[1][2] == pytest.approx(5 + 0.9 * 7.5 - 5.5)  # future value 7.5 after truncation


def test_advantages_of_collected_episodes(batch):
    batch, _ = batch
    estimates = ppo.advantages(batch, 0.99, 0.9)
    for lane in range(4):
        for rows in episodes_of(batch, lane):
            values = batch.values[rows.start : rows.stop + 1, lane].tolist()
            terminated = bool(batch.terminated[rows, lane].any())
            expected = plain_advantages(batch.rewards[rows, lane].tolist(), values, terminated, 0.99, 0.9)
            assert estimates[rows, lane].tolist() == pytest.approx(expected, abs=1e-5)


def updated(agent, batch):
    """Return the parameters of a copy of the agent after an update."""
    copy = ppo.Agent(32, 270)
    copy.load_state_dict(agent.state_dict())
    torch.manual_seed(1)
    ppo.update(copy, torch.optim.Adam(copy.parameters(), lr=1e-3), batch, ppo.Args(batch_size=64))
    return torch.cat([p.detach().flatten() for p in copy.parameters()])


def test_rows_after_an_end_do_not_change_the_update(batch):
    batch, agent = batch
    ignored = ~batch.live
    assert ignored.sum() > 20
    other = replace(
        batch,
        obs=batch.obs.masked_fill(ignored[..., None], torch.nan),
        actions=batch.actions.masked_fill(ignored, 5),
        log_probs=batch.log_probs.masked_fill(ignored, torch.nan),
        rewards=batch.rewards.masked_fill(ignored, 1e6),
    )
    after = updated(agent, batch)
    assert torch.equal(after, updated(agent, other))
    assert after.isfinite().all()
    assert not torch.equal(after, updated(agent, replace(batch, rewards=batch.rewards + ~ignored)))


def test_replay_buffer_equals_transitions_of_single_environments():
    envs = gym.make_vec(
        "alsim:alsim/AdaptiveLearning-v0", num_envs=4, config=SHORT, autoreset_mode="SameStep", info="none"
    )
    obs, _ = envs.reset(seed=11)
    replay, rng = dqn.ReplayBuffer(320, 32), np.random.default_rng(0)
    ends = np.zeros((80, 4), bool)
    for step in range(80):
        obs, infos = dqn.interact(envs, obs, rng.integers(270, size=4), replay)
        ends[step] = infos.get("_final_obs", False)
    learners, terminated = Learners(11, 4, 80, SHORT), 0
    columns = (replay.obs, replay.actions, replay.rewards, replay.terminated, replay.next_obs)
    for lane in range(4):
        before, actions, rewards, flags, after = (column[lane::4] for column in columns)
        bounds = [0, *(np.flatnonzero(ends[:, lane]) + 1)]
        for number, (start, end) in enumerate(zip(bounds, [*bounds[1:], 80], strict=True)):
            if start < end:
                ours = learners.replay(actions[start:end], lane, number)
                assert np.array_equal(before[start:end], ours.observations[:-1])
                assert np.array_equal(after[start:end], ours.observations[1:])
                assert np.array_equal(rewards[start:end], ours.rewards.astype(np.float32))
                assert flags[start:end].tolist() == [0.0] * (end - start - 1) + [float(ours.terminated)]
                terminated += ours.terminated
    assert 0 < terminated < ends.sum()


def test_replay_buffer_overwrites_the_oldest_rows():
    replay = dqn.ReplayBuffer(5, 2)
    for step in range(4):
        rows = np.arange(2) + 2 * step
        replay.add(np.ones((2, 2)) * rows[:, None], rows, rows, rows > 100, np.zeros((2, 2)))
    assert sorted(replay.actions) == [3, 4, 5, 6, 7]
    assert np.array_equal(replay.obs[:, 0], replay.actions)
    drawn = replay.sample(100, np.random.default_rng(0))[1]
    assert set(drawn.tolist()) == {3, 4, 5, 6, 7}  # each is missed with probability 0.8 ** 100 = 2e-10


def test_targets_include_future_value_after_truncation_only():
    target = dqn.QNetwork(2, 3)
    with torch.no_grad():
        target[-1].weight.zero_()
        target[-1].bias.copy_(torch.tensor([1.0, 4.0, 2.0]))
    targets = dqn.td_targets(target, torch.tensor([1.0, 1.0]), torch.tensor([0.0, 1.0]), torch.zeros(2, 2), 0.5)
    assert targets.tolist() == [3.0, 1.0]


@pytest.mark.parametrize(
    "command",
    [
        "cleanrl_ppo.py --total-steps 3000 --num-envs 8 --eval-learners 20 --seed 1",
        "cleanrl_dqn.py --total-steps 4000 --num-envs 16 --learning-starts 1000 --report-every 2000 --eval-learners 20",
    ],
)
def test_scripts_run(command):
    script, *arguments = command.split()
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / script, *arguments], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, without_notice(done.stderr)) == (0, "")
    *progress, last = done.stdout.splitlines()
    assert progress and all(" steps/s  return " in line for line in progress)
    assert last.startswith("held-out learners: return ") and last.endswith("(n = 20)")


@pytest.mark.long
@pytest.mark.parametrize("recipe", [ppo, dqn])
def test_learning(recipe):
    args = recipe.Args()
    returns = recipe.evaluate(recipe.train(args), args)
    print(f"{recipe.__name__}, torch {version('torch')}: held-out return {returns.mean():.1f}")
    assert returns.mean() > 100  # the uniform policy: 30
