"""Conversion of Stable-Baselines3 models to policies of alsim."""

from __future__ import annotations

from typing import Any

from alsim.policies.network import Acting, Network, NetworkPolicy
from alsim.training.settings import Activation, TrainingError
from alsim.types import OBSERVATIONS, Observation
from alsim.utils.optional import require

EXPECTED = "a PPO or DQN model of Stable-Baselines3 with an MlpPolicy of linear layers and tanh or ReLU"


def policy_of(
    model: Any,
    *,
    name: str | None = None,
    acting: Acting | None = None,
    epsilon: float = 0.0,
    observation: Observation = "mastery",
) -> NetworkPolicy:
    """Return the trained policy of a Stable-Baselines3 model.

    model        PPO (its actor), or DQN (its Q-network), with an MlpPolicy
    name         name of the policy; None: "ppo" or "dqn"
    acting       "sample", "greedy" or "epsilon", see `NetworkPolicy`; None: "sample" for PPO; for DQN "greedy", or
                 "epsilon" if epsilon > 0
    epsilon      probability of a random action if `acting` is "epsilon"
    observation  "mastery" or "responses", as in training

    Network outputs equal those of PyTorch within float32 accuracy. Raises TrainingError for another kind of model, and
    for a model whose observations VecNormalize normalizes.
    """
    if observation not in OBSERVATIONS:
        raise TrainingError(f"observation must be one of {', '.join(map(repr, OBSERVATIONS))}; got {observation!r}")
    sb3 = require("stable_baselines3", "sb3", "alsim.training.policy_of")
    if isinstance(model, sb3.PPO):
        kind, extractor = "ppo", model.policy.pi_features_extractor
        modules = [*model.policy.mlp_extractor.policy_net, model.policy.action_net]
    elif isinstance(model, sb3.DQN):
        kind, extractor, modules = "dqn", model.q_net.features_extractor, [*model.q_net.q_net]
    else:
        raise TrainingError(f"model must be {EXPECTED}; got {type(model).__name__}")
    normalised = model.get_vec_normalize_env()
    if normalised is not None and normalised.norm_obs:
        raise TrainingError(
            "model must be trained on observations without normalization, which policies do not have; got VecNormalize "
            "with norm_obs=True: train with norm_obs=False"
        )
    default: Acting = "sample" if kind == "ppo" else "epsilon" if epsilon > 0 else "greedy"
    return NetworkPolicy(
        _network(extractor, modules),
        name=kind if name is None else name,
        acting=default if acting is None else acting,
        epsilon=epsilon,
        observation=observation,
    )


def _network(extractor: Any, modules: list[Any]) -> Network:
    """Return the network of a model. Raises TrainingError for modules that it does not support.

    extractor  features extractor; must be a FlattenExtractor, which does not change observations
    modules    linear layers and the activations between them
    """
    nn = require("torch.nn", "sb3", "alsim.training.policy_of")
    flat = require("stable_baselines3.common.torch_layers", "sb3", "alsim.training.policy_of").FlattenExtractor
    kinds: dict[Any, Activation] = {nn.Tanh: "tanh", nn.ReLU: "relu"}
    linear, activations = modules[::2], {type(module) for module in modules[1::2]} or {nn.Tanh}
    supported = len(modules) % 2 == 1 and all(
        type(module) is nn.Linear and module.bias is not None for module in linear
    )
    if not (supported and type(extractor) is flat and len(activations) == 1 and activations <= kinds.keys()):
        got = ", ".join(type(module).__name__ for module in (extractor, *modules))
        raise TrainingError(f"model must be {EXPECTED}; got {got}")
    layers = [
        (module.weight.detach().cpu().numpy().T.copy(), module.bias.detach().cpu().numpy().copy()) for module in linear
    ]
    return Network(layers, activation=kinds[activations.pop()])
