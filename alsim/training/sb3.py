"""Trainings with Stable-Baselines3: models, their serialization, and the callback."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from alsim.envs.sb3 import AdaptiveLearningVecEnv, make
from alsim.policies.network import NetworkPolicy
from alsim.training.actors import policy_of
from alsim.training.directory import MODEL
from alsim.training.lanes import Episodes
from alsim.training.settings import SB3DQN, SB3PPO, Settings
from alsim.types import FIRST_HELD_OUT, Reason
from alsim.utils import npz
from alsim.utils.npz import check_unpacked_size, read_array
from alsim.utils.optional import require
from alsim.utils.reading import parse_json

torch = require("torch", "sb3", "--backend sb3")
sb3 = require("stable_baselines3", "sb3", "--backend sb3")
if TYPE_CHECKING:
    from stable_baselines3.common.callbacks import BaseCallback

    from alsim.training.plan import TrainingPlan
else:
    BaseCallback = require("stable_baselines3.common.callbacks", "sb3", "--backend sb3").BaseCallback
LinearSchedule = require("stable_baselines3.common.utils", "sb3", "--backend sb3").LinearSchedule

PARAMETERS, COUNTERS, REPLAY = "parameters.pt", "counters.json", "replay.npz"
COUNTED = ("num_timesteps", "_n_updates", "_episode_num")
"""Counters of a model that are restored on resuming; DQN has one more."""
REPLAYED = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")

UNREADABLE = (*npz.UNREADABLE, pickle.UnpicklingError, AttributeError)
"""Exceptions that an invalid checkpoint may raise."""

MAX_WEIGHT = 10**6
"""Largest plausible weight; above it, a network has diverged. Inputs are in [0, 1], and outputs in the hundreds."""

Bytes = dict[str, bytes]


class SB3Trainer:
    """A training with a model of Stable-Baselines3; see `Trainer`.

    A restored training continues with new learners, because Stable-Baselines3 keeps their episodes in its own arrays.
    """

    packages = ("stable-baselines3", "torch", "numpy", "numba")

    def __init__(self, plan: TrainingPlan, breaks: int) -> None:
        self._plan = plan
        self.unreadable = UNREADABLE
        lanes = plan.hyperparameters.num_envs
        env = make(
            lanes,
            config=plan.config,
            bank=plan.bank,
            observation=plan.observation,
            seed=plan.seed,
            first_learner=breaks * lanes % (FIRST_HELD_OUT - lanes + 1),
            num_threads=plan.num_threads,
        )
        self._model = new_model(plan.hyperparameters, env, plan.seed, plan.seed + breaks)
        self._episodes: list[tuple[float, int, float, bool]] = []

    @property
    def steps(self) -> int:
        """Number of interactions so far."""
        return int(self._model.num_timesteps)

    def learn(self, before_rollout: Callable[[], object]) -> None:
        """Train to the end."""
        h = self._plan.hyperparameters
        assert isinstance(h, SB3PPO | SB3DQN)
        callback = TrainingCallback(self._record_episode, before_rollout)
        threads = torch.get_num_threads()
        torch.set_num_threads(h.torch_threads)
        try:
            # Remaining interactions, not all: Stable-Baselines3 adds those so far.
            self._model.learn(h.steps - self.steps, callback=callback, reset_num_timesteps=False, log_interval=None)
        finally:
            torch.set_num_threads(threads)

    def _record_episode(self, episode_return: float, length: int, mastery: float, reason: str) -> None:
        self._episodes.append((episode_return, length, mastery, reason == Reason.CRITICAL_FRUSTRATION.word))

    def take_episodes(self) -> Episodes:
        """Return the episodes that ended since the last call."""
        episodes, self._episodes = self._episodes, []
        return Episodes(*np.array(episodes, np.float64).reshape(-1, len(Episodes._fields)).T)

    def policy(self) -> NetworkPolicy:
        """Return the current policy."""
        plan = self._plan
        epsilon = getattr(plan.hyperparameters, "epsilon", 0.0)
        return policy_of(self._model, name=plan.name, epsilon=epsilon, observation=plan.observation)

    def has_diverged(self) -> bool:
        """Return whether a weight is NaN or implausibly large."""
        return has_diverged(self._model)

    def parameters(self) -> bytes:
        """Return the networks, without the optimizer."""
        return parameters_of(self._model)

    def set_parameters(self, content: bytes) -> None:
        """Set the networks, from `parameters`."""
        set_parameters(self._model, content)

    def state(self) -> Bytes:
        """Return the state for a checkpoint. It contains no executable code."""
        return state_of(self._model)

    def set_state(self, files: Mapping[str, bytes]) -> None:
        """Restore a state."""
        set_state(self._model, files)

    def models(self) -> Bytes:
        """Return the model in the format of Stable-Baselines3, which contains pickles."""
        stream = io.BytesIO()
        self._model.save(stream)
        return {MODEL: stream.getvalue()}

    def close(self) -> None:
        """Release the environment."""
        self._model.get_env().close()


def new_model(hyperparameters: Settings, env: AdaptiveLearningVecEnv, seed: int, own_seed: int) -> Any:
    """Return an untrained model for an environment.

    seed      seed of the learners
    own_seed  seed of the networks and of exploration
    """
    h = hyperparameters
    assert isinstance(h, SB3PPO | SB3DQN)
    activations = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
    common = {
        "learning_rate": LinearSchedule(h.learning_rate, h.final_learning_rate, 1.0),
        "gamma": h.gamma,
        "max_grad_norm": h.max_grad_norm,
        "policy_kwargs": {"net_arch": [*h.net_arch], "activation_fn": activations[h.activation]},
        "device": "cpu",  # faster than a GPU for such small networks
        "seed": own_seed % 2**32,  # NumPy's global generator accepts only 32 bits
    }
    names: tuple[str, ...]
    if isinstance(h, SB3PPO):
        names = ("n_steps", "n_epochs", "gae_lambda", "clip_range", "ent_coef", "vf_coef")
        extra = {"batch_size": h.num_envs * h.n_steps // h.minibatches}
        make = sb3.PPO
    else:
        names = (
            *("buffer_size", "learning_starts", "batch_size", "train_freq", "gradient_steps"),
            *("target_update_interval", "exploration_fraction", "exploration_final_eps"),
        )
        extra, make = {}, sb3.DQN
    model = make("MlpPolicy", env, **common, **extra, **{name: getattr(h, name) for name in names})
    env.seed(seed)  # replaces the seed that the model has set
    return model


def parameters_of(model: Any) -> bytes:
    """Return the networks of a model as bytes, without the optimizer."""
    return _serialize(model.policy.state_dict())


def set_parameters(model: Any, content: bytes) -> None:
    """Load networks, from `parameters_of`, into a model."""
    model.policy.load_state_dict(_deserialize(content))


def has_diverged(model: Any) -> bool:
    """Return whether any weight of a model is NaN, or larger in absolute value than MAX_WEIGHT."""
    return not all((weights.abs() <= MAX_WEIGHT).all() for weights in model.policy.parameters())


def state_of(model: Any) -> Bytes:
    """Return the state of a model for a checkpoint, as file contents by name. They contain no executable code."""
    counters = {name: getattr(model, name) for name in _counters(model)}
    files = {
        PARAMETERS: _serialize(model.get_parameters()),
        COUNTERS: json.dumps(counters).encode(),
    }
    if isinstance(model, sb3.DQN):
        files[REPLAY] = _replay(model.replay_buffer)
    return files


def set_state(model: Any, files: Mapping[str, bytes]) -> None:
    """Restore the state of a model from the files of `state_of`. Invalid files raise one of UNREADABLE."""
    model.set_parameters(_deserialize(files[PARAMETERS]))
    counters = parse_json(files[COUNTERS])
    for name in _counters(model):  # these attributes and no others; the file cannot set others
        setattr(model, name, int(counters[name]))
    if isinstance(model, sb3.DQN):
        _set_replay(model.replay_buffer, files[REPLAY])


def _counters(model: Any) -> tuple[str, ...]:
    """Return the names of the counters of a model."""
    return (*COUNTED, "_n_calls") if isinstance(model, sb3.DQN) else COUNTED


def _serialize(value: Any) -> bytes:
    """Return tensors as bytes."""
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def _deserialize(content: bytes) -> Any:
    """Return tensors from bytes, without executing code. Raises one of UNREADABLE."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        check_unpacked_size(archive, len(content))  # PyTorch does not compress
    return torch.load(io.BytesIO(content), weights_only=True)


def _replay(buffer: Any) -> bytes:
    """Return the content of a replay buffer as an npz file."""
    used, stream = buffer.size(), io.BytesIO()
    arrays = {name: getattr(buffer, name)[:used] for name in REPLAYED}
    np.savez(stream, pos=np.int64(buffer.pos), full=np.bool_(buffer.full), **arrays)
    return stream.getvalue()


def _set_replay(buffer: Any, content: bytes) -> None:
    """Restore the content of a replay buffer."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        check_unpacked_size(archive, len(content))  # `_replay` does not compress
        for name in REPLAYED:
            rows = read_array(archive, name)
            getattr(buffer, name)[: len(rows)] = rows
        buffer.pos, buffer.full = int(read_array(archive, "pos")), bool(read_array(archive, "full"))


class TrainingCallback(BaseCallback):
    """Callback of Stable-Baselines3 that reports finished episodes and the start of each rollout.

    on_episode  called with (return, length, final mastery, termination reason) of each finished episode
    on_rollout  called without arguments before each rollout
    """

    def __init__(self, on_episode: Callable[[float, int, float, str], None], on_rollout: Callable[[], object]) -> None:
        super().__init__()
        self._on_episode, self._on_rollout = on_episode, on_rollout

    def _on_rollout_start(self) -> None:
        self._on_rollout()

    def _on_step(self) -> bool:
        infos = self.locals["infos"]
        for lane in np.flatnonzero(self.locals["dones"]).tolist():
            info = infos[lane]
            episode = info["episode"]
            self._on_episode(episode["r"], episode["l"], info["final_mastery"], info["termination_reason"])
        return True
