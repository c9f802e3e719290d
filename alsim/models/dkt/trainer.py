"""Training with PyTorch: the network with its gradients, the optimiser, and one epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.models.base import ModelError
from alsim.models.dkt.network import STUDENTS_PER_BLOCK, Weights
from alsim.models.dkt.sequences import Sequences, batches, padded, total
from alsim.models.dkt.settings import Settings
from alsim.types import Floats, Longs, f32, i64
from alsim.utils.npz import Shapes
from alsim.utils.optional import require

torch: Any = require("torch", "dkt", "alsim.models.dkt")

CHUNK = 200
"""Largest number of responses through which gradients are propagated back.

The state of a student is carried through all responses.
"""
MAX_GRADIENT_NORM = 1.0
"""Norm to which gradients are clipped."""
JITTER = 0.05
"""Standard deviation of the noise on the logarithm of lengths when batches are drawn; see `batches`.

Padding takes a tenth of the time. With a standard deviation of 0.3, it took two fifths, and AUC was no higher.
"""
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


class RowSets(NamedTuple):
    """The rows of a table that the network reads for each response, at most M, as arrays or tensors.

    number  (R + 1,)  number of the set of rows of each response; the last one is padding
    rows    (X, M)    numbers of the rows in each set
    share   (X, M)    weights of these rows in their mean
    """

    number: Any
    rows: Any
    share: Any

    def of(self, responses: Any) -> tuple[Any, Any]:
        """Return the rows (..., M) and shares (..., M) of some responses (...)."""
        number = self.number[responses]
        return self.rows[number], self.share[number]


class Encoded(NamedTuple):
    """R responses, encoded for all epochs, as tensors on the device.

    sequences  sequences of the responses
    inputs     rows of the embedding for the response before each one, or for the start
    skills     skills of each response
    correct    (R + 1,) 1 for a correct response, else 0
    weight     (R + 1,) weight of the response, 0 for padding
    """

    sequences: Sequences
    inputs: RowSets
    skills: RowSets
    correct: Any
    weight: Any


class Tables(NamedTuple):
    """Tables of which the network reads rows, as tensors. K skills or, with an unknown skill as the last, K + 1.

    embedding  (2K + 1, E)  as in Weights; after these rows, (2, E) for a wrong and a correct response to unknown skills
    output     (K, H)       from the hidden state to the logit of each skill
    ease       (K, 1)       logits
    """

    embedding: Any
    output: Any
    ease: Any


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
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate, fused=True)

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

    def encoded(self, sequences: Sequences) -> Encoded:
        """Return responses as tensors on the device. The input of each step is the previous response."""
        lengths, known, members = np.diff(sequences.start), self.num_skills, sequences.members
        sets, padding = len(members), np.zeros((1, members.shape[1]), f32)
        answered = [np.where(members < known, members + known * c, 2 * known + 1 + c) for c in (0, 1)]
        start = np.eye(1, members.shape[1], dtype=f32)
        inputs = np.roll(np.append(sequences.skill_set + sets * sequences.correct, 2 * sets), 1)
        inputs[sequences.start[:-1][lengths > 0]] = 2 * sets
        return Encoded(
            sequences,
            inputs=self._row_sets(inputs, [*answered, 2 * known + padding], [sequences.share, sequences.share, start]),
            skills=self._row_sets(np.append(sequences.skill_set, sets), [members, padding], [sequences.share, padding]),
            correct=self._tensor(np.append(sequences.correct, 0), f32),
            weight=self._tensor(np.append(np.repeat(sequences.weight, lengths), 0), f32),
        )

    def _row_sets(self, number: NDArray[Any], rows: list[NDArray[Any]], share: list[NDArray[Any]]) -> RowSets:
        """Return sets of rows as tensors; the sets are the concatenated ones of the lists."""
        return RowSets(
            number=self._tensor(number, i64),
            rows=self._tensor(np.concatenate(rows), i64),
            share=self._tensor(np.concatenate(share), f32),
        )

    def _tensor(self, values: NDArray[Any], kind: Any) -> Any:
        """Return an array as a tensor of a type on the device."""
        return torch.from_numpy(np.ascontiguousarray(values, kind)).to(self.device)

    def epoch(self, log: Encoded, random: np.random.Generator) -> float:
        """Train on each student once, and return the mean loss per response, nats.

        log     the responses of the training students
        random  generator of the order of students and of dropout
        """
        generator = torch.Generator(self.device).manual_seed(int(random.integers(2**63)))
        sum_of_losses, weight = 0.0, 0.0
        for batch in batches(log.sequences, self.settings.batch_size, JITTER, random):
            state = None
            for chunk in self.chunks(log, batch):
                logits, state = self.forward(chunk, state, generator)
                state = tuple(part.detach() for part in state)
                loss, responses = loss_of(logits, chunk), chunk.weight.sum()
                self.optimizer.zero_grad()
                (loss / responses).backward()
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
                self.optimizer.step()
                sum_of_losses, weight = sum_of_losses + float(loss.detach()), weight + float(responses)
        return sum_of_losses / weight

    def loss(self, log: Encoded, counts: Longs) -> float:
        """Return the mean loss per response without dropout, nats; rounding errors are those of float32.

        log     responses, also to an unknown skill
        counts  (K,) number of training responses to each skill, by which the mean for the unknown skill is weighted
        """
        sum_of_losses = 0.0
        with torch.no_grad():
            tables = self._tables_with_unknown(counts)
            for batch in batches(log.sequences, STUDENTS_PER_BLOCK, 0.0, np.random.default_rng(0)):
                state = None
                for chunk in self.chunks(log, batch):
                    logits, state = self.forward(chunk, state, tables=tables)
                    sum_of_losses += float(loss_of(logits, chunk))
        return sum_of_losses / total(log.sequences)

    def forward(self, chunk: Chunk, state: Any, dropout: Any = None, tables: Tables | None = None) -> tuple[Any, Any]:
        """Return the logits (B, T) of the responses in a chunk, and the state after it.

        chunk    the responses
        state    state after the previous chunk; None before the first chunk
        dropout  generator of dropout; None for no dropout
        tables   tables of the network; None for those of the K skills
        """
        nn, share = self.network, self.settings.dropout
        if tables is None:
            tables = Tables(*(nn[name].weight for name in Tables._fields))
        hidden, state = nn["lstm"](mean_row(tables.embedding, chunk.inputs, chunk.input_share), state)
        if dropout is not None and share > 0:
            kept = torch.rand(hidden.shape, generator=dropout, device=self.device) >= share
            hidden = hidden * kept / (1 - share)
        output = mean_row(tables.output, chunk.skills, chunk.skill_share)
        bias = mean_row(tables.ease, chunk.skills, chunk.skill_share)[..., 0]
        return (hidden * output).sum(2) + bias, state

    def _tables_with_unknown(self, counts: Longs) -> Tables:
        """Return the tables with rows for an unknown skill, the mean of all skills; see `network_of`."""
        embedding, output, ease = (self.network[name].weight for name in Tables._fields)
        share = torch.from_numpy(counts / counts.sum()).to(embedding)
        wrong, correct = embedding[:-1].split(self.num_skills)
        return Tables(
            embedding=torch.cat([embedding, (share @ wrong)[None], (share @ correct)[None]]),
            output=torch.cat([output, (share @ output)[None]]),
            ease=torch.cat([ease, (share @ ease)[None]]),
        )

    def chunks(self, log: Encoded, students: NDArray[np.intp]) -> Iterator[Chunk]:
        """Yield the responses of some students, CHUNK at a time, on the device."""
        for part in self._tensor(padded(log.sequences, students), i64).split(CHUNK, dim=1):
            yield Chunk(*log.inputs.of(part), *log.skills.of(part), log.correct[part], log.weight[part])

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
                adam["step"] = torch.tensor(float(arrays["steps"]), device=self.device)
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


def mean_row(table: Any, numbers: Any, share: Any) -> Any:
    """Return the weighted mean of some rows of a table for each response, (B, T, N).

    table    (..., N)   rows
    numbers  (B, T, M)  numbers of the rows
    share    (B, T, M)  weights of the rows; 1 for the only one
    """
    rows = torch.nn.functional.embedding
    if numbers.shape[2] == 1:
        return rows(numbers[..., 0], table)
    return (rows(numbers, table) * share[..., None]).sum(2)


def array_of(values: Any) -> Floats:
    """Return a tensor as a NumPy array."""
    array: Floats = values.detach().cpu().numpy()
    return array
