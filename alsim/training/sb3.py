"""What Stable-Baselines3 does in a training: models, their state as bytes, and the callback that watches."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from alsim.envs.sb3 import AdaptiveLearningVecEnv
from alsim.training.settings import DQN, PPO, Hyperparameters
from alsim.utils.optional import require

torch = require("torch", "sb3", "alsim.training")
sb3 = require("stable_baselines3", "sb3", "alsim.training")
if TYPE_CHECKING:
    from stable_baselines3.common.callbacks import BaseCallback
else:
    BaseCallback = require("stable_baselines3.common.callbacks", "sb3", "alsim.training").BaseCallback
LinearSchedule = require("stable_baselines3.common.utils", "sb3", "alsim.training").LinearSchedule

PARAMETERS, COUNTERS, REPLAY = "parameters.pt", "counters.json", "replay.npz"
COUNTED = ("num_timesteps", "_n_updates", "_episode_num")
"""Counters of a model that go on where they were; DQN's have one more."""
REPLAYED = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")

LARGEST = 10**6
"""Weight of a network that may still act: its observations are in [0, 1], and what it answers in the hundreds."""

Bytes = dict[str, bytes]


def new_model(hyperparameters: Hyperparameters, env: AdaptiveLearningVecEnv, seed: int, own_seed: int) -> Any:
    """Return an untrained model for an environment.

    seed      of the learners
    own_seed  of networks and exploration
    """
    h = hyperparameters
    activations = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
    common = {
        "learning_rate": LinearSchedule(h.learning_rate, h.final_learning_rate, 1.0),
        "gamma": h.gamma,
        "max_grad_norm": h.max_grad_norm,
        "policy_kwargs": {"net_arch": [*h.net_arch], "activation_fn": activations[h.activation]},
        "device": "cpu",  # networks as small as these are faster there
        "seed": own_seed % 2**32,  # the most that NumPy's generator takes
    }
    named: tuple[str, ...]
    if isinstance(h, PPO):
        named = ("n_steps", "n_epochs", "gae_lambda", "clip_range", "ent_coef", "vf_coef")
        own = {"batch_size": h.num_envs * h.n_steps // h.minibatches}
        make = sb3.PPO
    else:
        assert isinstance(h, DQN)
        named = (
            *("buffer_size", "learning_starts", "batch_size", "train_freq", "gradient_steps"),
            *("target_update_interval", "exploration_fraction", "exploration_final_eps"),
        )
        own, make = {}, sb3.DQN
    model = make("MlpPolicy", env, **common, **own, **{name: getattr(h, name) for name in named})
    env.seed(seed)  # in place of the model's
    return model


def parameters_of(model: Any) -> bytes:
    """Return a model's networks, without their optimiser."""
    return _saved(model.policy.state_dict())


def set_parameters(model: Any, content: bytes) -> None:
    """Give a model these networks."""
    model.policy.load_state_dict(_loaded(content))


def has_diverged(model: Any) -> bool:
    """Whether a model's networks have weights that are not finite, or larger than any that was learnt."""
    return not all((weights.abs() <= LARGEST).all() for weights in model.policy.parameters())


def state_of(model: Any) -> Bytes:
    """Return all of a model that goes on after a break, as files: numbers and words, nothing that executes."""
    counters = {name: getattr(model, name) for name in _counted(model)}
    files = {
        PARAMETERS: _saved(model.get_parameters()),
        COUNTERS: json.dumps(counters).encode(),
    }
    if isinstance(model, sb3.DQN):
        files[REPLAY] = _replay(model.replay_buffer)
    return files


def set_state(model: Any, files: Mapping[str, bytes]) -> None:
    """Have a model go on where another stopped."""
    model.set_parameters(_loaded(files[PARAMETERS]))
    for name, value in json.loads(files[COUNTERS]).items():
        setattr(model, name, value)
    if isinstance(model, sb3.DQN):
        _set_replay(model.replay_buffer, files[REPLAY])


def _counted(model: Any) -> tuple[str, ...]:
    return (*COUNTED, "_n_calls") if isinstance(model, sb3.DQN) else COUNTED


def _saved(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def _loaded(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), weights_only=True)


def _replay(buffer: Any) -> bytes:
    """Return what a replay buffer remembers."""
    used, stream = buffer.size(), io.BytesIO()
    arrays = {name: getattr(buffer, name)[:used] for name in REPLAYED}
    np.savez(stream, pos=np.int64(buffer.pos), full=np.bool_(buffer.full), **arrays)
    return stream.getvalue()


def _set_replay(buffer: Any, content: bytes) -> None:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for name in REPLAYED:
            getattr(buffer, name)[: len(arrays[name])] = arrays[name]
        buffer.pos, buffer.full = int(arrays["pos"]), bool(arrays["full"])


class Watch(BaseCallback):
    """Tells of every episode that ended, and of every moment between rollouts, when the model is at rest.

    ended  takes (return, length, final mastery, reason for ending)
    rest   takes nothing
    """

    def __init__(self, ended: Callable[[float, int, float, str], None], rest: Callable[[], None]) -> None:
        super().__init__()
        self._ended, self._rest = ended, rest

    def _on_rollout_start(self) -> None:
        self._rest()

    def _on_step(self) -> bool:
        infos = self.locals["infos"]
        for lane in np.flatnonzero(self.locals["dones"]).tolist():
            info = infos[lane]
            episode = info["episode"]
            self._ended(episode["r"], episode["l"], info["final_mastery"], info["termination_reason"])
        return True
