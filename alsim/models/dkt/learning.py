"""Training by PyTorch: the network with its gradients, its optimiser, and one epoch."""

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
"""Responses through which gradients go back in time; the state goes on through all of a student's."""
LONGEST_GRADIENT = 1.0
"""The norm that gradients are clipped to."""
JITTER = 0.3
"""Of lengths, as batches are made."""
MOMENTS = ("exp_avg", "exp_avg_sq")
"""What Adam keeps of each parameter, by PyTorch's names."""


def device_of(name: str | None) -> Any:
    """Return PyTorch's device: None is the processor, "auto" a graphics card if one is there.

    Raises ModelError for one that is not there.
    """
    there = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    chosen = {None: "cpu", "auto": there[-1] if len(there) == 1 else there[1], "cuda": "cuda:0"}.get(name, name)
    if chosen not in there:
        raise ModelError(f"device is one of None, 'auto', {', '.join(map(repr, there))} on this machine; got {name!r}")
    return torch.device(chosen)


class Chunk(NamedTuple):
    """Responses of B students side by side, T steps, of M skills each at most: arrays, then tensors.

    read        (B, T, M)  rows of the embedding that a step reads: of the response before, or of the start
    read_share  (B, T, M)  their shares
    asked       (B, T, M)  skills of the response that is forecast
    share       (B, T, M)
    correct     (B, T)     whether it was correct
    weight      (B, T)     what it weighs, 0 where there is none
    """

    read: Any
    read_share: Any
    asked: Any
    share: Any
    correct: Any
    weight: Any


class Learner:
    """A network of K skills as it is trained.

    initial  generator of the weights before the first epoch
    """

    def __init__(self, num_skills: int, settings: Settings, device: Any, initial: np.random.Generator) -> None:
        self.num_skills, self.settings, self.device = num_skills, settings, device
        nn, size, hidden = torch.nn, settings.embedding, settings.hidden
        with torch.random.fork_rng(devices=[]):  # modules draw weights, which we replace, from the global generator
            self.network = nn.ModuleDict(
                {
                    "embedding": nn.Embedding(2 * num_skills + 1, size),
                    "lstm": nn.LSTM(size, hidden, batch_first=True),
                    "output": nn.Embedding(num_skills, hidden),
                    "ease": nn.Embedding(num_skills, 1),
                }
            )
        self._begin(initial)
        self.network.to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)

    def _begin(self, random: np.random.Generator) -> None:
        """Draw weights as PyTorch does, from a generator of our own: the same on every device."""
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
        """Train on each student once; return the mean loss of their responses, nats."""
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
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), LONGEST_GRADIENT)
                self.optimizer.step()
                total, weight = total + float(loss.detach()), weight + float(responses)
        return total / weight

    def forward(self, chunk: Chunk, state: Any, dropout: Any = None) -> tuple[Any, Any]:
        """Return the logits (B, T) of a chunk's responses, and the state after it.

        state    after the chunk before; None before the first
        dropout  generator of what is dropped of the hidden states; None drops nothing
        """
        nn, share = self.network, self.settings.dropout
        x = (nn["embedding"](chunk.read) * chunk.read_share[..., None]).sum(2)
        hidden, state = nn["lstm"](x, state)
        if dropout is not None and share > 0:
            kept = torch.rand(hidden.shape, generator=dropout, device=self.device) >= share
            hidden = hidden * kept / (1 - share)
        asked = (nn["output"](chunk.asked) * chunk.share[..., None]).sum(2)
        ease = (nn["ease"](chunk.asked)[..., 0] * chunk.share).sum(2)
        return (hidden * asked).sum(2) + ease, state

    def chunks(self, sequences: Sequences, students: NDArray[np.intp]) -> Iterator[Chunk]:
        """Yield the responses of some students, CHUNK at a time, on the device."""
        whole = self._read(sequences, padded(sequences, students))
        for begin in range(0, whole.asked.shape[1], CHUNK):
            part = (torch.from_numpy(values[:, begin : begin + CHUNK]) for values in whole)
            yield Chunk(*(values.to(self.device) for values in part))

    def _read(self, sequences: Sequences, batch: Padded) -> Chunk:
        """Return what is read and asked at each step; what is read at one is the response of the step before."""
        asked, share = sequences.members[batch.which], sequences.share[batch.which].astype(f32)
        answered = asked + self.num_skills * batch.correct[..., None].astype(np.int64)
        read, read_share = np.full_like(asked, 2 * self.num_skills), np.zeros_like(share)
        read_share[:, 0, 0] = 1
        read[:, 1:], read_share[:, 1:] = answered[:, :-1], share[:, :-1]
        weight = np.where(batch.real, batch.weight[:, None], 0).astype(f32)
        return Chunk(read, read_share, asked, share, batch.correct.astype(f32), weight)

    def weights(self) -> Weights:
        """Return the weights as they are now."""
        now = {name: array_of(values).copy() for name, values in self.network.named_parameters()}
        return Weights(
            embedding=now["embedding.weight"],
            into=now["lstm.weight_ih_l0"],
            again=now["lstm.weight_hh_l0"],
            gate_bias=now["lstm.bias_ih_l0"] + now["lstm.bias_hh_l0"],  # both are trained; what counts is the sum
            output=now["output.weight"],
            output_bias=now["ease.weight"][:, 0],
        )

    def shapes(self) -> Shapes:
        """Return the shape of each of `arrays`."""
        of_each = {name: tuple(values.shape) for name, values in self.network.named_parameters()}
        moments = {f"{kind}.{name}": shape for name, shape in of_each.items() for kind in MOMENTS}
        return {**of_each, **moments, "steps": ()}

    def arrays(self) -> dict[str, Floats]:
        """Return all that the next epoch depends on, after one epoch or more."""
        found: dict[str, Floats] = {}
        for name, parameter in self.network.named_parameters():
            kept = self.optimizer.state[parameter]
            found |= {name: array_of(parameter), **{f"{kind}.{name}": array_of(kept[kind]) for kind in MOMENTS}}
            found["steps"] = array_of(kept["step"])  # of each parameter the same
        return found

    def restore(self, arrays: Mapping[str, Floats]) -> None:
        """Go on from what `arrays` returned."""
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(torch.from_numpy(arrays[name]))
                kept = self.optimizer.state[parameter]
                kept["step"] = torch.tensor(float(arrays["steps"]))
                for kind in MOMENTS:
                    kept[kind] = torch.tensor(arrays[f"{kind}.{name}"], device=self.device)

    def set_rate(self, learning_rate: float) -> None:
        """Set the learning rate of the steps that follow."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate


def loss_of(logits: Any, chunk: Chunk) -> Any:
    """Return the loss of a chunk's responses, nats: binary cross-entropy, in which padding weighs nothing."""
    function = torch.nn.functional.binary_cross_entropy_with_logits
    return function(logits, chunk.correct, weight=chunk.weight, reduction="sum")


def array_of(values: Any) -> Floats:
    """Return a tensor as a NumPy array."""
    found: Floats = values.detach().cpu().numpy()
    return found
