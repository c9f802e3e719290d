"""Policies that choose actions by a trained network.

Their outputs are bit for bit the same in any batch and on every machine, and their files hold no code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError
from alsim.jit.compile import kernel, phase, wide_vectors
from alsim.mdp.actions import num_actions
from alsim.mdp.observation import observation_width
from alsim.numerics.elementary import exp
from alsim.numerics.perceptron import RELU, TANH, UNROLL, Layers, forward
from alsim.policies.base import PolicyDraws, View, check_observation, one_hot
from alsim.policies.checks import is_fraction
from alsim.policies.masks import uniform_action
from alsim.types import (
    OBSERVATIONS,
    ZERO,
    Activation,
    Bools,
    Doubles,
    Floats,
    Longs,
    Observation,
    describe,
    f32,
    f64,
    u64,
)
from alsim.utils.file_groups import read_group, replace_group
from alsim.utils.files import to_json
from alsim.utils.npz import from_npz, read_at_most, sha256, to_npz
from alsim.utils.reading import MIB, read_json, reason

Acting = Literal["sample", "greedy", "epsilon"]
ACTIVATIONS: dict[Activation, int] = {"tanh": TANH, "relu": RELU}

DESCRIPTION, WEIGHTS = "policy.json", "policy.npz"
FORMAT, VERSION = "alsim-policy", 1
MAX_WEIGHTS = 10**8
"""Largest number of weights of a network that is loaded: 400 MB."""

FORBIDDEN = f32(-1e30)
"""Output of an action that a mask does not allow. A constant mask is in the biases of the last layer."""

STRIPES = 16
"""Number of partial sums: entry j is added to sum j % STRIPES, so that the loop vectorises with a fixed order."""


class PolicyError(AlsimError):
    """Invalid network, settings or file of a policy."""


class Network:
    """A multilayer perceptron from an observation (R,) to one number per action (A,).

    layers      weights (inputs, outputs) and biases (outputs,) of each layer, float32
    activation  "tanh" or "relu", between layers

    Raises PolicyError for layers with incompatible shapes, and for numbers that are not finite.
    """

    def __init__(self, layers: Sequence[tuple[NDArray[Any], NDArray[Any]]], activation: Activation = "tanh") -> None:
        if activation not in ACTIVATIONS:
            raise PolicyError(f"activation must be one of {', '.join(map(repr, ACTIVATIONS))}; got {activation!r}")
        self.activation: Activation = activation
        self.layers = [(np.asarray(w, f32), np.asarray(b, f32)) for w, b in layers]
        if not self.layers:
            raise PolicyError("a network must have at least one layer; got none; pass weights and biases")
        before = None
        for k, (weights, biases) in enumerate(self.layers):
            fitting = weights.ndim == 2 and biases.shape == weights.shape[1:] and 0 not in weights.shape
            if not fitting or before not in (None, weights.shape[0]):
                previous = "" if before is None else f" after a layer with {before} outputs"
                raise PolicyError(
                    f"layer {k} must have weights (inputs, outputs) and biases (outputs,), and as many inputs as the "
                    f"previous layer has outputs; got shapes {weights.shape} and {biases.shape}{previous}"
                )
            if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
                raise PolicyError(f"layer {k} has weights or biases that are not finite in float32; check the training")
            before = weights.shape[1]
        self.inputs, self.outputs = self.layers[0][0].shape[0], self.layers[-1][0].shape[1]
        self._compiled = _padded(self.layers, ACTIVATIONS[activation])

    def __repr__(self) -> str:
        """Return the sizes of the layers."""
        sizes = [self.inputs, *(len(biases) for _, biases in self.layers)]
        return f"<Network: {'-'.join(map(str, sizes))}>"

    def forward(self, rows: NDArray[Any]) -> Floats:
        """Return the outputs (N, A) float32 for observations (N, R).

        The outputs of a row do not depend on the other rows. Raises ValueError for another shape.
        """
        rows = np.ascontiguousarray(rows, f32)
        if rows.ndim != 2 or rows.shape[1] != self.inputs:
            raise AlsimError(f"observations must have the shape (N, {self.inputs}); got {rows.shape}")
        out = np.empty((len(rows), self.outputs), f32)
        flat = rows.reshape(-1)
        flat.flags.writeable = False  # part of the type that numba compiles for; the caller's array is not changed
        scratch = np.empty(4 * int(self._compiled.sizes.max()), f32)
        forward(self._compiled, flat, self.inputs, out.ravel(), scratch)
        return out


def _padded(layers: Sequence[tuple[Floats, Floats]], activation: int) -> Layers:
    """Return the layers for the kernel, with zeros up to a multiple of UNROLL inputs."""
    sizes = [-(-len(weights) // UNROLL) * UNROLL for weights, _ in layers] + [len(layers[-1][1])]
    weights, biases = [], []
    for (w, b), inputs, outputs in zip(layers, sizes, sizes[1:], strict=False):
        wide = np.zeros((inputs, outputs), f32)
        wide[: w.shape[0], : w.shape[1]] = w
        weights.append(wide.ravel())
        biases.append(np.concatenate([b, np.zeros(outputs - len(b), f32)]))
    return Layers(np.array(sizes, np.int64), np.concatenate(weights), np.concatenate(biases), activation)


class NetworkPolicy:
    """A policy that chooses actions by the outputs of a network, one output per action.

    network      network from observations to actions
    name         name of the policy in the manifest of a dataset
    acting       "sample": each action with its softmax probability; "greedy": the first action with the largest
                 output; "epsilon": greedy, but with probability epsilon an action drawn uniformly from those whose
                 bias in the last layer is above FORBIDDEN
    epsilon      probability of exploration in [0, 1], used if acting is "epsilon"
    observation  kind of observation that the network was trained on, "mastery" or "responses"; None: the kind that has
                 as many entries as the network has inputs, or "mastery" if none has

    Raises PolicyError for invalid settings, and if the network has the inputs and outputs of the other kind.

    An action depends only on the observation of the learner and on random words. It does not depend on the batch, the
    number of threads or the machine.
    """

    def __init__(
        self,
        network: Network,
        *,
        name: str = "network",
        acting: Acting = "sample",
        epsilon: float = 0.0,
        observation: Observation | None = None,
    ) -> None:
        check_name(name)
        if acting not in get_args(Acting):
            raise PolicyError(f"acting must be one of {', '.join(map(repr, get_args(Acting)))}; got {acting!r}")
        if observation not in (None, *OBSERVATIONS):
            raise PolicyError(f"observation must be one of {', '.join(map(repr, OBSERVATIONS))}; got {observation!r}")
        widths = observation_widths(network.outputs)
        fitting = next((kind for kind, width in widths.items() if width == network.inputs), None)
        if None not in (observation, fitting) and observation != fitting:
            raise PolicyError(
                f"observation must be {fitting!r} for a network with {network.inputs} inputs and {network.outputs} "
                f"outputs; got {observation!r}; leave observation out, or correct it in {DESCRIPTION}"
            )
        if not is_fraction(epsilon):
            raise PolicyError(f"epsilon must be a number in [0, 1]; got {epsilon!r}")
        self._allowed = network.layers[-1][1] > FORBIDDEN
        if not self._allowed.any():
            raise PolicyError(
                f"a network must have an output with a bias above {FORBIDDEN:g}; got none; allow an action"
            )
        self.network, self.name = network, name
        self.acting: Acting = acting
        self.epsilon = float(epsilon) if acting == "epsilon" else 0.0
        self.observation: Observation = observation or fitting or "mastery"

    def __repr__(self) -> str:
        """Return the name, the setting and the network."""
        return f"<NetworkPolicy: {describe(self.name)}, acting={self.acting!r}, {self.network!r}>"

    @property
    def digest(self) -> str:
        """SHA-256 of the settings and weights, in hexadecimal."""
        digest = hashlib.sha256(json.dumps(self._description(), sort_keys=True).encode())
        for weights, biases in self.network.layers:
            digest.update(weights.astype("<f4").tobytes() + biases.astype("<f4").tobytes())
        return digest.hexdigest()

    def act(self, view: View, draws: PolicyDraws) -> tuple[Longs, Doubles]:
        """Return the action of each lane and its probability."""
        self._check(view)
        outputs = self.network.forward(view.observation)
        if self.acting == "sample":
            return sample_actions(outputs, draws.uniform())
        allowed = self._allowed_in(view)
        greedy = _best(outputs, allowed)
        if self.acting == "greedy":
            return greedy, np.ones(len(greedy))
        within = replace(view, mask=allowed)
        explores, explored = draws.uniform() < self.epsilon, uniform_action(within, draws)
        actions = np.where(explores, explored, greedy)
        exploration = self.epsilon / allowed.sum(axis=1)
        return actions, np.where(actions == greedy, 1 - self.epsilon + exploration, exploration)

    def probabilities(self, view: View, draws: PolicyDraws | None = None) -> Doubles:
        """Return the probability of each action in each lane, (N, A). Raises AlsimError as `act` does."""
        self._check(view)
        outputs = self.network.forward(view.observation)
        if self.acting == "sample":
            odds = np.empty(outputs.shape)
            softmax_rows(outputs.ravel(), len(outputs), odds.ravel(), _scratch(outputs))
            return odds
        allowed = self._allowed_in(view)
        greedy = one_hot(_best(outputs, allowed), view.num_actions)
        exploration = self.epsilon / allowed.sum(axis=1, keepdims=True)
        return np.where(greedy == 1, 1 - self.epsilon + exploration, np.where(allowed, exploration, 0.0))

    @property
    def reads(self) -> Observation:
        """Kind of observation that the network was made for."""
        return self.observation

    @property
    def reads_mask(self) -> bool:
        """True for a greedy network: it takes the best of the allowed actions, or explores them."""
        return self.acting != "sample"

    def _allowed_in(self, view: View) -> Bools:
        """Return the actions from which the policy chooses, (N, A): by the mask, and by the network if any are left."""
        shape = (view.num_lanes, view.num_actions)
        if view.mask is None:
            return np.broadcast_to(self._allowed, shape)
        both = view.mask & self._allowed
        return np.where(both.any(axis=1, keepdims=True), both, view.mask)

    def _check(self, view: View) -> None:
        """Raise AlsimError unless the network fits the observations and actions."""
        check_observation(self, view.kind)
        inputs, outputs = view.observation.shape[1], num_actions(view.num_los)
        if (inputs, outputs) != (self.network.inputs, self.network.outputs):
            raise AlsimError(
                f"the policy {self.name!r} was trained with observations of {self.network.inputs} entries and "
                f"{self.network.outputs} actions; got {inputs} and {outputs}, of {view.num_los} learning outcomes; "
                "use a policy trained with this bank"
            )

    def save(self, directory: str | Path) -> None:
        """Write policy.json and policy.npz into a directory.

        The directory is created if it does not exist. Existing files are replaced at one moment: a kill leaves either
        policy. Raises OSError, and PolicyError if the directory has a policy.json or policy.npz of another program.
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        _check_replaceable(folder)
        arrays: dict[str, Floats] = {}
        for k, (weights, biases) in enumerate(self.network.layers):
            arrays |= {f"weights_{k}": weights, f"biases_{k}": biases}
        content = to_npz(arrays)
        description = {**self._description(), "weights": sha256(content)}
        contents = {DESCRIPTION: to_json(description, sort_keys=True), WEIGHTS: content}
        replace_group(folder, contents, check=lambda: _check_replaceable(folder))

    def _description(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "acting": self.acting,
            "epsilon": self.epsilon,
            "observation": self.observation,
            "activation": self.network.activation,
            "sizes": [self.network.inputs, *(len(biases) for _, biases in self.network.layers)],
        }

    @classmethod
    def load(
        cls, directory: str | Path, *, acting: Acting | None = None, epsilon: float | None = None
    ) -> NetworkPolicy:
        """Read a policy that `save` wrote. The files hold numbers and text only, so they cannot execute code.

        directory  directory of the policy
        acting     replaces the saved value; None keeps it
        epsilon    replaces the saved value; None keeps it

        Raises PolicyError, which names the file.
        """
        file = Path(directory) / DESCRIPTION

        def load(path_of: Callable[[str], Path]) -> tuple[dict[str, Any], Network]:
            description = _read_description(path_of(DESCRIPTION))
            return description, _read_network(path_of(WEIGHTS), description)

        try:
            description, network = read_group(Path(directory), DESCRIPTION, load)
        except OSError as error:
            raise PolicyError(f"{directory} cannot be read: {error}") from None
        try:
            return cls(
                network,
                name=description["name"],
                acting=description["acting"] if acting is None else acting,
                epsilon=description["epsilon"] if epsilon is None else epsilon,
                observation=description["observation"],
            )
        except PolicyError as error:
            raise PolicyError(f"{file}: {error}") from None


def _best(outputs: Floats, allowed: Bools) -> Longs:
    """Return the allowed action with the largest output, (N,)."""
    return np.asarray(np.where(allowed, outputs, -np.inf).argmax(axis=1), np.int64)


def observation_widths(outputs: int) -> dict[Observation, int]:
    """Return the entries of each kind of observation, for a number of actions; {} if no environment has so many."""
    num_los, rest = divmod(outputs, num_actions(1))
    return {} if rest else {kind: observation_width(num_los, kind) for kind in OBSERVATIONS}


def check_name(name: Any) -> None:
    """Raise PolicyError unless a name is printable text: terminals execute control characters."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise PolicyError(f"the name of a policy must be printable text, not empty; got {name!r}")


def is_saved(directory: str | Path) -> bool:
    """Return whether a directory holds a saved policy."""
    try:
        return read_group(Path(directory), DESCRIPTION, lambda path_of: path_of(DESCRIPTION).is_file())
    except OSError:  # a damaged journal
        return True


def _check_replaceable(folder: Path) -> None:
    """Raise PolicyError unless policy.json is one of alsim, of any version, or neither file of a policy exists."""
    file = folder / DESCRIPTION
    if not file.exists():
        if not (folder / WEIGHTS).exists() or is_saved(folder):  # by a journal: a process was killed
            return
        file = folder / WEIGHTS
    try:
        description = read_json(folder / DESCRIPTION)
    except (OSError, ValueError):
        description = None
    if not isinstance(description, Mapping) or description.get("format") != FORMAT:
        raise PolicyError(f"{file} is not a policy of alsim, so it is not overwritten; choose another directory")


def _read_description(file: Path) -> dict[str, Any]:
    """Return the checked content of policy.json. Raises PolicyError."""
    try:
        description = read_json(file, MIB, inside=file.parent)
    except FileNotFoundError:
        raise PolicyError(f"{file.parent} holds no policy: there is no {DESCRIPTION}; save a policy there") from None
    except (OSError, ValueError) as error:
        raise PolicyError(f"{file} cannot be read: {reason(error)}; save the policy again") from None
    if not isinstance(description, Mapping) or description.get("format") != FORMAT:
        raise PolicyError(f"{file} is not a policy of alsim; NetworkPolicy.save writes one")
    version = description.get("version")
    if type(version) is not int or version != VERSION:  # True is equal to 1
        raise PolicyError(f"{file} has version {version!r:.100}; this version of alsim reads {VERSION}; save it again")
    missing = {"name", "acting", "epsilon", "observation", "activation", "sizes", "weights"} - description.keys()
    if missing:
        raise PolicyError(f"{file} lacks {', '.join(sorted(missing))}; save the policy again")
    sizes = description["sizes"]
    are_counts = isinstance(sizes, list) and len(sizes) > 1 and all(type(n) is int and n > 0 for n in sizes)
    if not are_counts or sum(a * b for a, b in zip(sizes, sizes[1:], strict=False)) > MAX_WEIGHTS:
        raise PolicyError(
            f"{file}: sizes must be two or more integers of at least 1, with at most {MAX_WEIGHTS:,} weights; "
            f"got {sizes!r:.100}"
        )
    return dict(description)


def _read_network(file: Path, description: Mapping[str, Any]) -> Network:
    """Return the network with the weights in `file` and the shapes in `description`. Raises PolicyError."""
    sizes = description["sizes"]
    shapes: dict[str, tuple[int, ...]] = {}
    for k, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        shapes |= {f"weights_{k}": (inputs, outputs), f"biases_{k}": (outputs,)}
    try:
        content = read_at_most(file, shapes, inside=file.parent)
    except OSError as error:
        raise PolicyError(f"{file} cannot be read: {reason(error)}; save the policy again") from None
    if sha256(content) != description["weights"]:
        raise PolicyError(
            f"{file} was changed after it was saved: its SHA-256 differs from that in {DESCRIPTION}; "
            "save the policy again"
        )
    try:
        arrays = from_npz(content, shapes)
        layers = [(arrays[f"weights_{k}"], arrays[f"biases_{k}"]) for k in range(len(sizes) - 1)]
        return Network(layers, description["activation"])
    except (TypeError, ValueError) as error:
        raise PolicyError(f"{file} is not the network that {DESCRIPTION} describes: {reason(error)}") from None


def sample_actions(outputs: Floats, uniform: Doubles) -> tuple[Longs, Doubles]:
    """Return an action drawn from the softmax of each row of outputs (N, A), and its probability."""
    actions, propensities = np.empty(len(outputs), np.int64), np.empty(len(outputs))
    sample_rows(outputs.ravel(), uniform, actions, propensities, _scratch(outputs))
    return actions, propensities


def _scratch(outputs: Floats) -> Floats:
    """Return a scratch array for the weights of one row of outputs (N, A)."""
    return np.empty(-(-outputs.shape[1] // STRIPES) * STRIPES, f32)


@phase
def _weigh(outputs: Floats, begin: int, num_outputs: int, weights: Floats, sums: Doubles) -> f64:
    """Write exp(output - largest) of one row of outputs to `weights`, then zeros; return their sum.

    sums  (STRIPES,) array for the partial sums
    """
    wide_vectors()
    largest = outputs[u64(begin)]
    for j in range(num_outputs):
        largest = max(largest, outputs[u64(begin + j)])
    for j in range(num_outputs):
        weights[u64(j)] = exp(outputs[u64(begin + j)] - largest)
    for j in range(num_outputs, len(weights)):
        weights[u64(j)] = ZERO
    for k in range(STRIPES):
        sums[u64(k)] = f64(0)
    for j in range(0, len(weights), STRIPES):
        for k in range(STRIPES):
            sums[u64(k)] += f64(weights[u64(j + k)])
    total = f64(0)
    for k in range(STRIPES):
        total += sums[u64(k)]
    return total


@kernel
def sample_rows(outputs: Floats, uniform: Doubles, actions: Longs, propensities: Doubles, weights: Floats) -> None:
    """Draw an action from the softmax of each of N rows of outputs (N * A,); `weights` is a scratch array.

    An output that is more than 87 below the largest is treated as 87 below it. Its probability is then below 1e-37.
    """
    lanes = len(actions)
    num_outputs = len(outputs) // lanes if lanes > 0 else 0
    sums = np.empty(STRIPES, f64)
    for n in range(lanes):
        total = _weigh(outputs, n * num_outputs, num_outputs, weights, sums)
        rest = uniform[n] * total
        stripe = 0
        while stripe < min(STRIPES, num_outputs) - 1 and rest >= sums[stripe]:
            rest -= sums[stripe]
            stripe += 1
        action = stripe
        while action + STRIPES < num_outputs and rest >= f64(weights[action]):
            rest -= f64(weights[action])
            action += STRIPES
        actions[n] = action
        propensities[n] = f64(weights[action]) / total


@kernel
def softmax_rows(outputs: Floats, lanes: int, odds: Doubles, weights: Floats) -> None:
    """Write the softmax of each row of outputs (N * A,) to `odds`, with the bits of `sample_rows`."""
    num_outputs = len(outputs) // lanes if lanes > 0 else 0
    sums = np.empty(STRIPES, f64)
    for n in range(lanes):
        total = _weigh(outputs, n * num_outputs, num_outputs, weights, sums)
        for j in range(num_outputs):
            odds[n * num_outputs + j] = f64(weights[j]) / total


__all__ = ["Acting", "Network", "NetworkPolicy", "PolicyError", "is_saved"]
