"""The acting part of a Stable-Baselines3 model as a policy of alsim."""

from __future__ import annotations

from typing import Any

from alsim.policies.network import Acting, Network, NetworkPolicy
from alsim.training.settings import Activation, TrainingError
from alsim.types import OBSERVATIONS, Observation
from alsim.utils.optional import require

EXPECTED = "a PPO or DQN of Stable-Baselines3 with an MlpPolicy of linear layers between which is tanh or ReLU"


def policy_of(
    model: Any,
    *,
    name: str | None = None,
    acting: Acting | None = None,
    epsilon: float = 0.0,
    observation: Observation = "mastery",
) -> NetworkPolicy:
    """Return the policy that a Stable-Baselines3 model has learnt.

    model        PPO (its actor), or DQN (its Q-network), with an MlpPolicy
    name         names the policy; by default "ppo" or "dqn"
    acting, epsilon   as of NetworkPolicy; by default PPO samples, and DQN is greedy, or epsilon-greedy with an epsilon
    observation  "mastery" or "responses": what the model was trained on

    Its outputs are PyTorch's to float32 accuracy. Raises TrainingError for another model, and for one that sees
    observations through VecNormalize.
    """
    if observation not in OBSERVATIONS:
        raise TrainingError(f"observation is one of {', '.join(map(repr, OBSERVATIONS))}; got {observation!r}")
    sb3 = require("stable_baselines3", "sb3", "alsim.training.policy_of")
    if isinstance(model, sb3.PPO):
        kind, sees = "ppo", model.policy.pi_features_extractor
        modules = [*model.policy.mlp_extractor.policy_net, model.policy.action_net]
    elif isinstance(model, sb3.DQN):
        kind, sees, modules = "dqn", model.q_net.features_extractor, [*model.q_net.q_net]
    else:
        raise TrainingError(f"a model is {EXPECTED}; got {type(model).__name__}")
    normalised = model.get_vec_normalize_env()
    if normalised is not None and normalised.norm_obs:
        raise TrainingError("the model sees observations through VecNormalize, which a policy does not: norm_obs=False")
    usual: Acting = "sample" if kind == "ppo" else "epsilon" if epsilon > 0 else "greedy"
    return NetworkPolicy(
        _network(sees, modules),
        name=kind if name is None else name,
        acting=usual if acting is None else acting,
        epsilon=epsilon,
        observation=observation,
    )


def _network(sees: Any, modules: list[Any]) -> Network:
    """Return the linear layers among a model's modules, and what is between them.

    sees  what extracts features from observations; must leave them as they are
    """
    nn = require("torch.nn", "sb3", "alsim.training.policy_of")
    flat = require("stable_baselines3.common.torch_layers", "sb3", "alsim.training.policy_of").FlattenExtractor
    kinds: dict[Any, Activation] = {nn.Tanh: "tanh", nn.ReLU: "relu"}
    linear, between = modules[::2], {type(module) for module in modules[1::2]} or {nn.Tanh}
    sound = len(modules) % 2 == 1 and all(type(module) is nn.Linear and module.bias is not None for module in linear)
    if not (sound and type(sees) is flat and len(between) == 1 and between <= kinds.keys()):
        got = ", ".join(type(module).__name__ for module in (sees, *modules))
        raise TrainingError(f"a model is {EXPECTED}; got {got}")
    layers = [
        (module.weight.detach().cpu().numpy().T.copy(), module.bias.detach().cpu().numpy().copy()) for module in linear
    ]
    return Network(layers, activation=kinds[between.pop()])
