"""Training with PyTorch: the network with its gradients, the optimiser, and one epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.models.base import ModelError
from alsim.models.dkt.network import Weights
from alsim.models.dkt.sequences import Padded, Sequences, batches, padded
from alsim.models.dkt.settings import Settings
from alsim.types import Floats, f32
from alsim.utils.npz import Shapes
from alsim.utils.optional import require

torch: Any = require("torch", "dkt", "alsim.models.dkt")

CHUNK = 200
"""Largest number of responses through which gradients are propagated back.

The state of a student is carried through all responses.
"""
MAX_GRADIENT_NORM = 1.0
"""Norm to which gradients are clipped."""
JITTER = 0.3
"""Standard deviation of the noise on the logarithm of lengths when batches are drawn; see `batches`."""
MOMENTS = ("exp_avg", "exp_avg_sq")
"""PyTorch's names of the state of Adam for each parameter: the averages of gradients and of their squares."""


def device_of(name: str | None) -> Any:
    """Return a device of PyTorch by name.

    name  "cpu", "cuda", "cuda:0" and so on; None for the CPU; "auto" for a graphics card if there is one

    Raises ModelError for a device that this machine does not have.
    """
    available = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    auto = available[-1] if len(available) == 1 else available[1]
    chosen = {None: "cpu", "auto": auto, "cuda": "cuda:0"}.get(name, name)
    if chosen not in available:
        raise ModelError(
            f"device must be None, 'auto' or one of {', '.join(map(repr, available))} on this machine; got {name!r}"
        )
    return torch.device(chosen)


class Chunk(NamedTuple):
    """T consecutive responses of B students, with at most M skills each, as arrays or tensors.

    inputs       (B, T, M)  rows of the embedding for the response before each one, or for the start
    input_share  (B, T, M)  weights of these rows in their mean
    skills       (B, T, M)  skills of the response to forecast
    skill_share  (B, T, M)  weights of these skills in their mean
    correct      (B, T)     1 for a correct response, else 0
    weight       (B, T)     weight of the response, 0 for padding
    """

    inputs: Any
    input_share: Any
    skills: Any
    skill_share: Any
    correct: Any
    weight: Any


class Trainer:
    """A network for K skills and its optimiser.

    num_skills  number of skills, K
    settings    hyperparameters of the fit
    device      device of PyTorch
    initial     generator of the initial weights
    """

    def __init__(self, num_skills: int, settings: Settings, device: Any, initial: np.random.Generator) -> None:
        self.num_skills, self.settings, self.device = num_skills, settings, device
        nn, size, hidden = torch.nn, settings.embedding, settings.hidden
        with torch.random.fork_rng(devices=[]):  # modules draw weights globally; _initialise replaces them
            self.network = nn.ModuleDict(
                {
                    "embedding": nn.Embedding(2 * num_skills + 1, size),
                    "lstm": nn.LSTM(size, hidden, batch_first=True),
                    "output": nn.Embedding(num_skills, hidden),
                    "ease": nn.Embedding(num_skills, 1),
                }
            )
        self._initialise(initial)
        self.network.to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)

    def _initialise(self, random: np.random.Generator) -> None:
        """Draw the initial weights from PyTorch's distributions with a NumPy generator, the same on every device."""
        bound = self.settings.hidden**-0.5
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                if name == "embedding.weight":
                    drawn = random.standard_normal(parameter.shape)
                elif name == "ease.weight":
                    drawn = np.zeros(parameter.shape)
                else:
                    drawn = random.uniform(-bound, bound, parameter.shape)
                parameter.copy_(torch.from_numpy(drawn.astype(f32)))

    def epoch(self, sequences: Sequences, random: np.random.Generator) -> float:
        """Train on each student once, and return the mean loss per response, nats.

        sequences  sequences of the training students
        random     generator of the order of students and of dropout
        """
        generator = torch.Generator(self.device).manual_seed(int(random.integers(2**63)))
        total, weight = 0.0, 0.0
        for batch in batches(sequences, self.settings.batch_size, JITTER, random):
            state = None
            for chunk in self.chunks(sequences, batch):
                logits, state = self.forward(chunk, state, generator)
                state = tuple(part.detach() for part in state)
                loss, responses = loss_of(logits, chunk), chunk.weight.sum()
                self.optimizer.zero_grad()
                (loss / responses).backward()
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
                self.optimizer.step()
                total, weight = total + float(loss.detach()), weight + float(responses)
        return total / weight

    def forward(self, chunk: Chunk, state: Any, dropout: Any = None) -> tuple[Any, Any]:
        """Return the logits (B, T) of the responses in a chunk, and the state after it.

        chunk    the responses
        state    state after the previous chunk; None before the first chunk
        dropout  generator of dropout; None for no dropout
        """
        nn, share = self.network, self.settings.dropout
        x = (nn["embedding"](chunk.inputs) * chunk.input_share[..., None]).sum(2)
        hidden, state = nn["lstm"](x, state)
        if dropout is not None and share > 0:
            kept = torch.rand(hidden.shape, generator=dropout, device=self.device) >= share
            hidden = hidden * kept / (1 - share)
        output = (nn["output"](chunk.skills) * chunk.skill_share[..., None]).sum(2)
        bias = (nn["ease"](chunk.skills)[..., 0] * chunk.skill_share).sum(2)
        return (hidden * output).sum(2) + bias, state

    def chunks(self, sequences: Sequences, students: NDArray[np.intp]) -> Iterator[Chunk]:
        """Yield the responses of some students, CHUNK at a time, on the device."""
        arrays = self._arrays_of(sequences, padded(sequences, students))
        for begin in range(0, arrays.skills.shape[1], CHUNK):
            part = (torch.from_numpy(values[:, begin : begin + CHUNK]) for values in arrays)
            yield Chunk(*(values.to(self.device) for values in part))

    def _arrays_of(self, sequences: Sequences, batch: Padded) -> Chunk:
        """Return a batch as one chunk of arrays. The input of each step is the previous response."""
        skills, share = sequences.members[batch.skill_set], sequences.share[batch.skill_set].astype(f32)
        answered = skills + self.num_skills * batch.correct[..., None].astype(np.int64)
        inputs, input_share = np.full_like(skills, 2 * self.num_skills), np.zeros_like(share)
        input_share[:, 0, 0] = 1
        inputs[:, 1:], input_share[:, 1:] = answered[:, :-1], share[:, :-1]
        weight = np.where(batch.present, batch.weight[:, None], 0).astype(f32)
        return Chunk(inputs, input_share, skills, share, batch.correct.astype(f32), weight)

    def weights(self) -> Weights:
        """Return a copy of the current weights."""
        now = {name: array_of(values).copy() for name, values in self.network.named_parameters()}
        return Weights(
            embedding=now["embedding.weight"],
            into=now["lstm.weight_ih_l0"],
            again=now["lstm.weight_hh_l0"],
            gate_bias=now["lstm.bias_ih_l0"] + now["lstm.bias_hh_l0"],  # PyTorch trains both; only the sum matters
            output=now["output.weight"],
            output_bias=now["ease.weight"][:, 0],
        )

    def shapes(self) -> Shapes:
        """Return the shapes of the arrays that `arrays` returns."""
        parameters = {name: tuple(values.shape) for name, values in self.network.named_parameters()}
        moments = {f"{kind}.{name}": shape for name, shape in parameters.items() for kind in MOMENTS}
        return {**parameters, **moments, "steps": ()}

    def arrays(self) -> dict[str, Floats]:
        """Return the training state from which the next epoch continues. At least one epoch must have been trained."""
        arrays: dict[str, Floats] = {}
        for name, parameter in self.network.named_parameters():
            adam = self.optimizer.state[parameter]
            arrays |= {name: array_of(parameter), **{f"{kind}.{name}": array_of(adam[kind]) for kind in MOMENTS}}
            arrays["steps"] = array_of(adam["step"])  # the same for each parameter
        return arrays

    def restore(self, arrays: Mapping[str, Floats]) -> None:
        """Restore the state that `arrays` has returned."""
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(torch.from_numpy(arrays[name]))
                adam = self.optimizer.state[parameter]
                adam["step"] = torch.tensor(float(arrays["steps"]))
                for kind in MOMENTS:
                    adam[kind] = torch.tensor(arrays[f"{kind}.{name}"], device=self.device)

    def set_rate(self, learning_rate: float) -> None:
        """Set the learning rate of the following steps."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate


def loss_of(logits: Any, chunk: Chunk) -> Any:
    """Return the binary cross-entropy of the responses in a chunk, nats; padding has weight 0."""
    function = torch.nn.functional.binary_cross_entropy_with_logits
    return function(logits, chunk.correct, weight=chunk.weight, reduction="sum")


def array_of(values: Any) -> Floats:
    """Return a tensor as a NumPy array."""
    array: Floats = values.detach().cpu().numpy()
    return array
