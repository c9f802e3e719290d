"""A trained network as a policy: the same bits in any batch and on every machine, and no code in its files."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError
from alsim.jit.compile import kernel, phase, wide_vectors
from alsim.mdp.actions import num_actions
from alsim.numerics.elementary import exp
from alsim.numerics.perceptron import AT_ONCE, RELU, TANH, Layers, forward
from alsim.policies.base import PolicyDraws, View
from alsim.types import OBSERVATIONS, Doubles, Floats, Longs, Observation, f32, f64, u64
from alsim.utils.files import write_whole
from alsim.utils.npz import packed, read_at_most, sha256, unpacked

Acting = Literal["sample", "greedy", "epsilon"]
Activation = Literal["tanh", "relu"]
CODES: dict[Activation, int] = {"tanh": TANH, "relu": RELU}

DESCRIPTION, WEIGHTS = "policy.json", "policy.npz"
FORMAT, VERSION = "alsim-policy", 1
MOST_WEIGHTS = 10**8
"""Of a network that is loaded: 400 MB."""

STRIPES = 16
"""Sums of probabilities kept side by side, so that adding up vectorises: entry j counts in sum j % STRIPES."""
ZERO = f32(0)


class PolicyError(AlsimError):
    """A policy that cannot be saved or loaded: the message names the file."""


class Network:
    """A multilayer perceptron from observations (R,) to a number for each action (A,).

    layers      of each, weights (inputs, outputs) and biases (outputs,), float32
    activation  "tanh" or "relu", between layers

    Raises PolicyError for layers that do not fit together, and for numbers that are not finite.
    """

    def __init__(self, layers: Sequence[tuple[NDArray[Any], NDArray[Any]]], activation: Activation = "tanh") -> None:
        if activation not in CODES:
            raise PolicyError(f"activation is one of {', '.join(map(repr, CODES))}; got {activation!r}")
        self.activation: Activation = activation
        self.layers = [(np.asarray(w, f32), np.asarray(b, f32)) for w, b in layers]
        if not self.layers:
            raise PolicyError("a network has at least one layer; got none")
        before = None
        for k, (weights, biases) in enumerate(self.layers):
            fitting = weights.ndim == 2 and biases.shape == weights.shape[1:] and 0 not in weights.shape
            if not fitting or before not in (None, weights.shape[0]):
                raise PolicyError(
                    f"layer {k} has weights (inputs, outputs) and biases (outputs,), its inputs the outputs of the one "
                    f"before; got {weights.shape} and {biases.shape} after {before}"
                )
            if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
                raise PolicyError(f"layer {k} has weights or biases that are not finite float32")
            before = weights.shape[1]
        self.inputs, self.outputs = self.layers[0][0].shape[0], self.layers[-1][0].shape[1]
        self._compiled = _padded(self.layers, CODES[activation])

    def forward(self, rows: NDArray[Any]) -> Floats:
        """Return the outputs (N, A) float32 of observations (N, R): the same bits for a row in any batch."""
        rows = np.ascontiguousarray(rows, f32)
        if rows.ndim != 2 or rows.shape[1] != self.inputs:
            raise AlsimError(f"the network takes observations (N, {self.inputs}); got shape {rows.shape}")
        out = np.empty((len(rows), self.outputs), f32)
        forward(self._compiled, rows.ravel(), self.inputs, out.ravel())
        return out


def _padded(layers: Sequence[tuple[Floats, Floats]], activation: int) -> Layers:
    """Return layers as the kernel takes them: zeros where inputs are no multiple of AT_ONCE."""
    sizes = [-(-len(weights) // AT_ONCE) * AT_ONCE for weights, _ in layers] + [len(layers[-1][1])]
    weights, biases = [], []
    for (w, b), inputs, outputs in zip(layers, sizes, sizes[1:], strict=False):
        wide = np.zeros((inputs, outputs), f32)
        wide[: w.shape[0], : w.shape[1]] = w
        weights.append(wide.ravel())
        biases.append(np.concatenate([b, np.zeros(outputs - len(b), f32)]))
    return Layers(np.array(sizes, np.int64), np.concatenate(weights), np.concatenate(biases), activation)


class NetworkPolicy:
    """Acts by a network's outputs, one for each action.

    network      from observations to actions
    name         names the policy in a dataset's manifest
    acting       "sample": an action with the probability that the softmax of the outputs gives it; "greedy": the
                 first of the largest; "epsilon": that, but any action, each as likely, with probability epsilon
    epsilon      in [0, 1], for acting="epsilon"
    observation  "mastery" or "responses": what the network was trained on

    An action depends on the learner's observation and random words alone: not on the batch, the number of threads,
    or the machine.
    """

    def __init__(
        self,
        network: Network,
        *,
        name: str = "network",
        acting: Acting = "sample",
        epsilon: float = 0.0,
        observation: Observation = "mastery",
    ) -> None:
        if not isinstance(name, str) or not name or not name.isprintable():  # terminals obey what is not
            raise PolicyError(f"a policy's name is a word; got {name!r}")
        if acting not in get_args(Acting):
            raise PolicyError(f"acting is one of {', '.join(map(repr, get_args(Acting)))}; got {acting!r}")
        if observation not in OBSERVATIONS:
            raise PolicyError(f"observation is one of {', '.join(map(repr, OBSERVATIONS))}; got {observation!r}")
        if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 <= epsilon <= 1:
            raise PolicyError(f"epsilon is a number in [0, 1]; got {epsilon!r}")
        self.network, self.name = network, name
        self.acting: Acting = acting
        self.epsilon = float(epsilon) if acting == "epsilon" else 0.0
        self.observation: Observation = observation

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides how the policy acts, in hexadecimal."""
        digest = hashlib.sha256(json.dumps(self._description(), sort_keys=True).encode())
        for weights, biases in self.network.layers:
            digest.update(weights.astype("<f4").tobytes() + biases.astype("<f4").tobytes())
        return digest.hexdigest()

    def act(self, view: View, draws: PolicyDraws) -> tuple[Longs, Doubles]:
        """Return an action for each lane, and the probability it had."""
        self._check(view)
        outputs = self.network.forward(view.observation)
        if self.acting == "sample":
            return _sampled(outputs, draws.uniform())
        greedy = outputs.argmax(axis=1)
        if self.acting == "greedy":
            return greedy, np.ones(len(greedy))
        explores, other = draws.uniform() < self.epsilon, draws.integers(view.num_actions)
        actions = np.where(explores, other, greedy)
        anyone = self.epsilon / view.num_actions
        return actions, np.where(actions == greedy, 1 - self.epsilon + anyone, anyone)

    def _check(self, view: View) -> None:
        """Raise AlsimError unless the network is for such learners."""
        if view.kind != self.observation:
            raise AlsimError(
                f"the policy {self.name!r} reads observation={self.observation!r}; it was given {view.kind!r}"
            )
        inputs, outputs = view.observation.shape[1], num_actions(view.num_los)
        if (inputs, outputs) != (self.network.inputs, self.network.outputs):
            raise AlsimError(
                f"the policy {self.name!r} is for observations of {self.network.inputs} entries and "
                f"{self.network.outputs} actions; with {view.num_los} learning outcomes they are {inputs} and {outputs}"
            )

    def save(self, directory: str | Path) -> None:
        """Write policy.json and policy.npz into a directory, over those that are there, each whole or not at all."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        content = packed({f"{kind}_{k}": x for k, layer in enumerate(self.network.layers) for kind, x in _named(layer)})
        text = {**self._description(), "weights": sha256(content)}
        write_whole(folder / WEIGHTS, content)
        write_whole(folder / DESCRIPTION, (json.dumps(text, indent=2, sort_keys=True) + "\n").encode())

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
        """Read what `save` wrote: numbers and words only, so that no file can execute code.

        acting, epsilon  in place of the saved ones

        Raises PolicyError, which names the file.
        """
        file = Path(directory) / DESCRIPTION
        text = _read_description(file)
        network = _read_network(Path(directory) / WEIGHTS, text)
        try:
            return cls(
                network,
                name=text["name"],
                acting=text["acting"] if acting is None else acting,
                epsilon=text["epsilon"] if epsilon is None else epsilon,
                observation=text["observation"],
            )
        except PolicyError as error:
            raise PolicyError(f"{file}: {error}") from None


def _named(layer: tuple[Floats, Floats]) -> list[tuple[str, Floats]]:
    return [("weights", layer[0]), ("biases", layer[1])]


def is_saved(directory: str | Path) -> bool:
    """Whether a directory holds a policy."""
    return (Path(directory) / DESCRIPTION).is_file()


def _read_description(file: Path) -> dict[str, Any]:
    try:
        _refuse_irregular(file)
        text = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PolicyError(f"{file.parent} holds no policy: there is no {DESCRIPTION}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise PolicyError(f"{file} cannot be read: {error}") from None
    if not isinstance(text, Mapping) or text.get("format") != FORMAT:
        raise PolicyError(f"{file} is not a policy of alsim")
    version = text.get("version")
    if type(version) is not int or version != VERSION:  # True is equal to 1
        raise PolicyError(f"{file} has version {version!r}; this version of alsim reads {VERSION}")
    missing = {"name", "acting", "epsilon", "observation", "activation", "sizes", "weights"} - text.keys()
    if missing:
        raise PolicyError(f"{file} lacks {', '.join(sorted(missing))}")
    sizes = text["sizes"]
    counts = isinstance(sizes, list) and len(sizes) > 1 and all(type(n) is int and n > 0 for n in sizes)
    if not counts or sum(a * b for a, b in zip(sizes, sizes[1:], strict=False)) > MOST_WEIGHTS:
        raise PolicyError(f"{file}: sizes are two or more counts, of at most {MOST_WEIGHTS:,} weights; got {sizes!r}")
    return dict(text)


def _refuse_irregular(file: Path) -> None:
    """Raise OSError unless a file is a regular one: to open a named pipe waits for whoever writes to it."""
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError("it is not a regular file")


def _read_network(file: Path, text: Mapping[str, Any]) -> Network:
    """Return the network whose weights are in `file` and whose shape `text` describes."""
    sizes = text["sizes"]
    shapes: dict[str, tuple[int, ...]] = {}
    for k, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        shapes |= {f"weights_{k}": (inputs, outputs), f"biases_{k}": (outputs,)}
    try:
        _refuse_irregular(file)
        content = read_at_most(file, shapes)
    except OSError as error:
        raise PolicyError(f"{file} cannot be read: {error}") from None
    if sha256(content) != text["weights"]:
        raise PolicyError(f"{file} is not what was saved: its SHA-256 differs from the one in {DESCRIPTION}")
    try:
        arrays = unpacked(content, shapes)
        layers = [(arrays[f"weights_{k}"], arrays[f"biases_{k}"]) for k in range(len(sizes) - 1)]
        return Network(layers, text["activation"])
    except (TypeError, ValueError) as error:
        raise PolicyError(f"{file} is not the network that {DESCRIPTION} describes: {error}") from None


def _sampled(outputs: Floats, uniform: Doubles) -> tuple[Longs, Doubles]:
    """Return an action drawn from the softmax of each row of outputs (N, A), and its probability."""
    lanes, many = outputs.shape
    actions, odds = np.empty(lanes, np.int64), np.empty(lanes)
    sample_rows(outputs.ravel(), uniform, actions, odds, np.empty(-(-many // STRIPES) * STRIPES, f32))
    return actions, odds


@phase
def _weigh(outputs: Floats, begin: int, many: int, weight: Floats, sums: Doubles) -> None:
    """Write exp(output - largest) of `many` outputs to `weight`, zeros after them, and add them up in stripes."""
    wide_vectors()
    largest = outputs[u64(begin)]
    for j in range(many):
        largest = max(largest, outputs[u64(begin + j)])
    for j in range(many):
        weight[u64(j)] = exp(outputs[u64(begin + j)] - largest)
    for j in range(many, len(weight)):
        weight[u64(j)] = ZERO
    for k in range(STRIPES):
        sums[u64(k)] = f64(0)
    for j in range(0, len(weight), STRIPES):
        for k in range(STRIPES):
            sums[u64(k)] += f64(weight[u64(j + k)])


@kernel
def sample_rows(outputs: Floats, uniform: Doubles, actions: Longs, odds: Doubles, weight: Floats) -> None:
    """Draw an action for each of N rows of outputs (N * A,), stripe by stripe; `weight` is scratch.

    An output 87 below the largest or less counts as 87 below: its probability is under 1e-37.
    """
    lanes = len(actions)
    many = len(outputs) // lanes if lanes > 0 else 0
    sums = np.zeros(STRIPES, f64)
    for n in range(lanes):
        _weigh(outputs, n * many, many, weight, sums)
        total = f64(0)
        for k in range(STRIPES):
            total += sums[k]
        rest = uniform[n] * total
        stripe, chosen = 0, 0
        while stripe < min(STRIPES, many) - 1 and rest >= sums[stripe]:
            rest -= sums[stripe]
            stripe += 1
        chosen = stripe
        while chosen + STRIPES < many and rest >= f64(weight[chosen]):
            rest -= f64(weight[chosen])
            chosen += STRIPES
        actions[n] = chosen
        odds[n] = f64(weight[chosen]) / total


__all__ = ["Acting", "Network", "NetworkPolicy", "PolicyError", "is_saved"]
