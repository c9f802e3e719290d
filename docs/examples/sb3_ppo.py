"""Train PPO by hand, keep its actor as a policy, and judge it on held-out learners. Needs alsim[sb3]."""

try:
    from stable_baselines3 import PPO
except ModuleNotFoundError:
    raise SystemExit("sb3_ppo.py needs stable_baselines3, which is not installed: pip install 'alsim[sb3]'") from None

import alsim
from alsim.envs.sb3 import make
from alsim.training import policy_of

# Lane i is learner i of seed 0. Longer than this for a policy that is worth its name: see `alsim train`.
env = make(256, seed=0)
model = PPO("MlpPolicy", env, n_steps=128, batch_size=4096, n_epochs=4, gamma=0.95, learning_rate=1e-3, device="cpu")
model.learn(200_000)

# A policy of alsim's own: it acts without PyTorch, and the same bits everywhere.
policy = policy_of(model)
policy.save("by-hand")

for name in ("uniform", "by-hand"):
    held_out = alsim.rollout(name, num_learners=200, first_learner=2**31, keep_observations=False)
    print(name, held_out.metrics.cumulative_reward.mean(), held_out.metrics.final_mastery.mean())
