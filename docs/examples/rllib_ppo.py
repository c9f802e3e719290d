"""Train PPO with RLlib's new API stack, on hundreds of simulated learners at once.

python docs/examples/rllib_ppo.py --steps 800000 --num-envs 256 --seed 0
"""

import argparse
import time

import gymnasium as gym
import numpy as np

try:
    import torch
    from ray.rllib.algorithms.ppo import PPO, PPOConfig
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
    from ray.rllib.core.rl_module.rl_module import RLModule
except ModuleNotFoundError:
    raise SystemExit("rllib_ppo.py needs RLlib, which is not installed: pip install torch 'ray[rllib]'") from None

torch.set_num_threads(1)  # more threads are much slower for such small networks

ENVIRONMENT = "alsim:alsim/AdaptiveLearning-v0"  # the prefix imports alsim in every process
HELD_OUT = 2**31  # training never uses learners from this index on


def configure(num_envs: int, seed: int, num_env_runners: int = 0, **env_config: object) -> PPOConfig:
    """Return the configuration of a training; with 0 env runners, this process collects the interactions.

    RLlib treats the row after an episode's end as a reset in every autoreset mode. The mode must therefore be
    "NextStep": in other modes, RLlib joins episodes and reports no error. `info="none"` saves Python calls per lane.
    """
    return (
        PPOConfig()
        .environment(ENVIRONMENT, env_config={"autoreset_mode": "NextStep", "info": "none", **env_config})
        .env_runners(
            num_env_runners=num_env_runners,
            num_envs_per_env_runner=num_envs,
            gym_env_vectorize_mode="vector_entry_point",
        )
        .training(
            train_batch_size_per_learner=128 * num_envs * max(num_env_runners, 1),
            minibatch_size=16 * num_envs,
            num_epochs=4,
            lr=1e-3,
            gamma=0.995,
            lambda_=0.95,
            entropy_coeff=0.003,
            use_kl_loss=False,
            clip_param=0.2,
            vf_loss_coeff=0.5,
            vf_clip_param=float("inf"),  # the default clips errors above 10, but returns are near 100
            grad_clip=0.5,
        )
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], vf_share_layers=False))
        .debugging(seed=seed)  # env runner k gets seed + k, so no two runners share learners
    )


def train(steps: int, num_envs: int, seed: int, num_env_runners: int = 0) -> PPO:
    """Train, and print the mean return after every iteration."""
    algorithm = configure(num_envs, seed, num_env_runners).build_algo()
    start_time, done = time.perf_counter(), 0
    while done < steps:
        result = algorithm.train()["env_runners"]
        done, seconds = int(result["num_env_steps_sampled_lifetime"]), time.perf_counter() - start_time
        mean = result.get("episode_return_mean", float("nan"))
        print(f"{done:>9,} steps {seconds:6.1f} s {done / seconds:8,.0f} steps/s  return {mean:6.1f}", flush=True)
    return algorithm


@torch.no_grad()
def evaluate(module: RLModule, learners: int, seed: int) -> np.ndarray:
    """Return the return of one episode of each held-out learner, (learners,), under the most likely actions.

    RLlib's own evaluation passes no options to `reset`, so it cannot select learners.
    """
    envs = gym.make_vec(ENVIRONMENT, num_envs=learners, info="none")
    obs, _ = envs.reset(seed=seed, options={"learner": HELD_OUT})
    returns, running = np.zeros(learners), np.ones(learners, bool)
    while running.any():
        logits = module.forward_inference({"obs": torch.from_numpy(obs)})["action_dist_inputs"]
        obs, rewards, terminated, truncated, _ = envs.step(logits.argmax(-1).numpy())
        returns += rewards * running
        running &= ~(terminated | truncated)
    return returns


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800_000, help="interactions")
    parser.add_argument("--num-envs", type=int, default=256, help="lanes of each env runner")
    parser.add_argument("--num-env-runners", type=int, default=0, help="worker processes; 0 collects in this process")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    algorithm = train(args.steps, args.num_envs, args.seed, args.num_env_runners)
    returns = evaluate(algorithm.get_module(), 1000, args.seed)
    error = returns.std(ddof=1) / len(returns) ** 0.5
    print(f"held-out learners: return {returns.mean():.1f} ± {error:.1f} (n = {len(returns):,})")
    algorithm.stop()
