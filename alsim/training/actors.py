"""Conversion of Stable-Baselines3 models to policies of alsim."""

from __future__ import annotations

from typing import Any

from alsim.policies.network import Acting, Network, NetworkPolicy, observation_widths
from alsim.training.settings import TrainingError
from alsim.types import OBSERVATIONS, Activation, Observation
from alsim.utils.optional import require
from alsim.utils.plugins import package_of

EXPECTED = (
    "a PPO, A2C, TRPO, MaskablePPO or DQN model of Stable-Baselines3 or sb3-contrib with an MlpPolicy of linear layers "
    "and tanh or ReLU"
)
ACTOR_NAMES = {"PPO": "ppo", "A2C": "a2c", "TRPO": "trpo", "MaskablePPO": "maskable-ppo"}
"""Default name of the policy for each class of models whose policy has an actor of the same form."""
LIBRARIES = ("stable_baselines3", "sb3_contrib")


def policy_of(
    model: Any,
    *,
    name: str | None = None,
    acting: Acting | None = None,
    epsilon: float = 0.0,
    observation: Observation | None = None,
) -> NetworkPolicy:
    """Return the trained policy of a Stable-Baselines3 model.

    model        PPO, A2C, TRPO or MaskablePPO (its actor), or DQN (its Q-network), with an MlpPolicy
    name         name of the policy; None: "ppo", "a2c", "trpo", "maskable-ppo" or "dqn"
    acting       "sample", "greedy" or "epsilon", see `NetworkPolicy`; None: "sample" for an actor; for DQN "greedy", or
                 "epsilon" if epsilon > 0
    epsilon      probability of a random action if `acting` is "epsilon"
    observation  "mastery" or "responses", as in training; None: from the number of inputs of the network

    Network outputs equal those of PyTorch within float32 accuracy. The policy has no action masks. Raises TrainingError
    for another kind of model, for a model whose observations VecNormalize normalizes or VecFrameStack stacks, and if
    the network does not fit `observation`.
    """
    if observation not in (None, *OBSERVATIONS):
        raise TrainingError(f"observation must be one of {', '.join(map(repr, OBSERVATIONS))}; got {observation!r}")
    kind, network = _converted(model)
    normalised = model.get_vec_normalize_env()
    if normalised is not None and normalised.norm_obs:
        raise TrainingError(
            "model must be trained on observations without normalization, which policies do not have; got VecNormalize "
            "with norm_obs=True: train with norm_obs=False"
        )
    default: Acting = "sample" if kind != "dqn" else "epsilon" if epsilon > 0 else "greedy"
    return NetworkPolicy(
        network,
        name=kind if name is None else name,
        acting=default if acting is None else acting,
        epsilon=epsilon,
        observation=_observation_of(network, observation),
    )


def _converted(model: Any) -> tuple[str, Network]:
    """Return the default name of a model's policy, and its network. Raises TrainingError for other models."""
    require("stable_baselines3", "sb3", "alsim.training.policy_of")
    # By name, because sb3-contrib may not be installed.
    bases = [base.__name__ for base in type(model).__mro__ if package_of(base) in LIBRARIES]
    if "DQN" in bases:
        return "dqn", _network(model.q_net.features_extractor, [*model.q_net.q_net])
    for base in bases:
        if base in ACTOR_NAMES:
            modules = [*model.policy.mlp_extractor.policy_net, model.policy.action_net]
            return ACTOR_NAMES[base], _network(model.policy.pi_features_extractor, modules)
    raise TrainingError(f"model must be {EXPECTED}; got {type(model).__name__}")


def _observation_of(network: Network, observation: Observation | None) -> Observation:
    """Return the kind of observation of a network. Raises TrainingError if it is not `observation`, or unknown."""
    inputs, outputs = network.inputs, network.outputs
    widths = observation_widths(outputs)
    if not widths:
        raise TrainingError(
            "model must be trained in an environment of alsim, with 9 actions per learning outcome; "
            f"got {outputs} actions"
        )
    fitting = next((kind for kind, width in widths.items() if width == inputs), None)
    if fitting is not None and observation in (None, fitting):
        return fitting
    if fitting is not None:
        raise TrainingError(
            f"observation must be {fitting!r} for a model with observations of {inputs} entries and {outputs} actions; "
            f"got {observation!r}; leave observation out"
        )
    expected = " or ".join(f"{width} ({kind})" for kind, width in widths.items())
    stacked = [f"{inputs // width} of {kind}" for kind, width in widths.items() if inputs % width == 0]
    cause = f"; it is as long as {' or '.join(stacked)}: train without VecFrameStack" if stacked else ""
    raise TrainingError(
        f"model must be trained on observations of {expected} entries, for {outputs} actions; got {inputs} entries"
        f"{cause or '; train without wrappers that change observations'}"
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
