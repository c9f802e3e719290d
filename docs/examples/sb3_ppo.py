"""Train PPO with Stable-Baselines3, save its actor as a policy, and evaluate it on held-out learners.

It requires Stable-Baselines3: run `pip install '.[sb3]'` in a clone of alsim.
"""

try:
    from stable_baselines3 import PPO
except ModuleNotFoundError:
    raise SystemExit("sb3_ppo.py needs stable_baselines3, which is not installed: pip install '.[sb3]'") from None

import torch

import alsim
from alsim.envs.sb3 import make
from alsim.training import policy_of

torch.set_num_threads(1)  # more threads are much slower for such small networks

# Lane i is learner i of seed 0. This run is short; `alsim train` trains longer and reports its progress.
env = make(256, seed=0)
model = PPO(
    "MlpPolicy",
    env,
    n_steps=128,
    batch_size=4096,
    n_epochs=4,
    gamma=0.95,
    learning_rate=1e-3,
    seed=0,
    device="cpu",
)
model.learn(200_000)

# The saved policy needs no PyTorch, and its actions are bit for bit the same on every machine.
policy = policy_of(model)
policy.save("my-ppo")

for name in ("uniform", "my-ppo"):
    held_out = alsim.rollout(name, num_learners=200, first_learner=2**31, seed=0, keep_observations=False).metrics
    print(f"{name}: return {held_out.cumulative_reward.mean():.1f}, mastery {held_out.final_mastery.mean():.2f}")
