"""Trainings with the algorithms of alsim, without PyTorch."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from alsim.policies.network import NetworkPolicy
from alsim.training.algorithms.on_policy import OnPolicy
from alsim.training.algorithms.proximal import ProximalPolicy
from alsim.training.algorithms.q_learning import QLearning
from alsim.training.lanes import Episodes, Lanes
from alsim.training.settings import DQN, PPO, Algorithm
from alsim.training.simulated import SimulatedLanes
from alsim.utils.npz import UNREADABLE, check_unpacked_size, read_array, to_npz
from alsim.utils.reading import parse_json

if TYPE_CHECKING:
    from alsim.training.plan import TrainingPlan

ARRAYS, COUNTERS = "arrays.npz", "counters.json"
LANES = "lanes."
"""Start of the names of the arrays of the lanes in a checkpoint."""
VERSION = 1
"""Version of the checkpoints of this backend."""

ALGORITHMS: dict[Algorithm, type[OnPolicy]] = {"ppo": ProximalPolicy, "dqn": QLearning}


def new_algorithm(algorithm: Algorithm, lanes: Lanes, settings: PPO | DQN, seed: int) -> OnPolicy:
    """Return an untrained algorithm."""
    return ALGORITHMS[algorithm](lanes, settings, seed)


class BlasLimit:
    """Limit of one thread for matrix products, which all trainings of the process share."""

    def __init__(self) -> None:
        self._lock, self._trainings = Lock(), 0
        self._limiter: Any = None

    def acquire(self) -> None:
        """Set the limit, unless another training has set it."""
        with self._lock:
            if self._trainings == 0:
                self._limiter = ThreadpoolController().limit(limits=1, user_api="blas")
            self._trainings += 1

    def release(self) -> None:
        """Restore the number of threads after the last training."""
        with self._lock:
            self._trainings -= 1
            if self._trainings == 0:
                self._limiter.restore_original_limits()


BLAS_LIMIT = BlasLimit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let NumPy's matrix products use one thread: more threads are slower at these sizes, and may change the bits.

    The limit holds for the whole process, until the last training that runs at the same time ends.
    """
    BLAS_LIMIT.acquire()
    try:
        yield
    finally:
        BLAS_LIMIT.release()


class NativeTrainer:
    """A training of simulated learners; see `Trainer`.

    A restored training continues with the same learners and random numbers, so it gives the same bits as one that was
    not interrupted.
    """

    packages = ("numpy", "numba")
    unreadable = UNREADABLE

    def __init__(self, plan: TrainingPlan, breaks: int) -> None:
        self._plan = plan
        settings = plan.hyperparameters
        assert isinstance(settings, PPO | DQN)
        self._lanes = SimulatedLanes(
            settings.num_envs,
            plan.seed,
            config=plan.config,
            bank=plan.bank,
            observation=plan.observation,
            num_threads=plan.num_threads,
        )
        self._algorithm = new_algorithm(plan.algorithm, self._lanes, settings, plan.seed)

    @property
    def steps(self) -> int:
        """Number of interactions so far."""
        return self._algorithm.steps

    def learn(self, before_rollout: Callable[[], object]) -> None:
        """Train to the end."""
        with one_blas_thread():
            self._algorithm.learn(before_rollout)

    def take_episodes(self) -> Episodes:
        """Return the episodes that ended since the last call."""
        return self._lanes.take_episodes()

    def policy(self) -> NetworkPolicy:
        """Return the current policy."""
        algorithm, plan = self._algorithm, self._plan
        return NetworkPolicy(
            algorithm.network,
            name=plan.name,
            acting=algorithm.acting,
            epsilon=getattr(plan.hyperparameters, "epsilon", 0.0),
            observation=plan.observation,
        )

    def has_diverged(self) -> bool:
        """Return whether a parameter is NaN or implausibly large."""
        return self._algorithm.has_diverged

    def parameters(self) -> bytes:
        """Return the network and the scale of observations."""
        return to_npz(self._algorithm.weights)

    def set_parameters(self, content: bytes) -> None:
        """Set the parameters, from `parameters`."""
        _copy(_arrays(content), self._algorithm.weights)

    def state(self) -> dict[str, bytes]:
        """Return the state for a checkpoint."""
        lanes = {f"{LANES}{name}": array for name, array in self._lanes.state.items()}
        counters = {
            "version": VERSION,
            "steps": self.steps,
            "updates": self._algorithm.optimizer.updates,
            "random": self._algorithm.random.bit_generator.state,
        }
        return {ARRAYS: to_npz(self._algorithm.state | lanes), COUNTERS: json.dumps(counters).encode()}

    def set_state(self, files: Mapping[str, bytes]) -> None:
        """Restore a state."""
        counters, arrays = parse_json(files[COUNTERS]), _arrays(files[ARRAYS])
        if counters["version"] != VERSION:
            raise ValueError(f"it has version {counters['version']!r}, and this version of alsim reads {VERSION}")
        lanes = {name[len(LANES) :]: array for name, array in arrays.items() if name.startswith(LANES)}
        check_arrays(lanes, self._lanes.state)
        _copy({name: array for name, array in arrays.items() if not name.startswith(LANES)}, self._algorithm.state)
        self._lanes.restore(lanes)
        self._algorithm.steps = int(counters["steps"])
        self._algorithm.optimizer.updates = int(counters["updates"])
        self._algorithm.random.bit_generator.state = counters["random"]

    def models(self) -> dict[str, bytes]:
        """Return no further files: policy.npz has the whole policy."""
        return {}

    def close(self) -> None:
        """Release the environment."""
        self._lanes.close()


def _arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file's content. Raises one of UNREADABLE."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        check_unpacked_size(archive, len(content))  # `to_npz` does not compress
        return {
            name.removesuffix(".npy"): read_array(archive, name.removesuffix(".npy")) for name in archive.namelist()
        }


def check_arrays(arrays: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]]) -> None:
    """Raise ValueError unless arrays have the names, shapes and types of the expected ones."""
    found, wanted = ({name: f"{a.dtype} {a.shape}" for name, a in m.items()} for m in (arrays, expected))
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise ValueError(
                f"its array {name} is {found.get(name, 'missing')}; this version of alsim expects "
                f"{wanted.get(name, 'no such array')}"
            )


def _copy(arrays: Mapping[str, NDArray[Any]], targets: Mapping[str, NDArray[Any]]) -> None:
    """Copy arrays to those of the same names. Raises ValueError for other arrays."""
    check_arrays(arrays, targets)
    for name, target in targets.items():
        np.copyto(target, arrays[name])


__all__ = ["NativeTrainer", "new_algorithm", "one_blas_thread"]
