"""Deep knowledge tracing in plain PyTorch, with which the time of `alsim.models.dkt.fit` is compared.

The network has the sizes of alsim's, and the same training: Adam, dropout, clipped gradients, early stopping, and a
learning rate that is halved after epochs without improvement. Padded batches of students with similar numbers of
responses are made once. PyTorch computes the validation loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

from alsim.models import Responses
from alsim.models.dkt.settings import Settings
from alsim.responses.cells import Names
from alsim.responses.log import codes_of
from alsim.types import Codes, Doubles
from alsim.utils.optional import require

torch: Any = require("torch", "dkt", "benchmarks.plain_dkt")

VALIDATION_BATCH = 256
"""Number of students per batch of which the loss is computed without gradients."""


class Batch(NamedTuple):
    """T responses of B students, padded, as tensors (B, T).

    inputs  codes of the responses before each one: skill + K * correct; 2 K before the first response
    skills  skills of the responses to predict
    correct 1 for a correct response, else 0
    weight  1, and 0 for padding
    """

    inputs: Any
    skills: Any
    correct: Any
    weight: Any


def network(num_skills: int, settings: Settings) -> Any:
    """Return an untrained network for K skills."""
    nn = torch.nn
    return nn.ModuleDict(
        {
            "embedding": nn.Embedding(2 * num_skills + 1, settings.embedding),
            "lstm": nn.LSTM(settings.embedding, settings.hidden, batch_first=True),
            "dropout": nn.Dropout(settings.dropout),
            "output": nn.Linear(settings.hidden, num_skills),
        }
    )


def logits_of(model: Any, batch: Batch) -> Any:
    """Return the logits (B, T) of the responses."""
    hidden, _ = model["lstm"](model["embedding"](batch.inputs))
    of_each_skill = model["output"](model["dropout"](hidden))
    return of_each_skill.gather(2, batch.skills[..., None])[..., 0]


def loss_of(model: Any, batch: Batch) -> Any:
    """Return the sum of the losses of the responses, nats."""
    function = torch.nn.functional.binary_cross_entropy_with_logits
    return function(logits_of(model, batch), batch.correct, weight=batch.weight, reduction="sum")


def batches_of(log: Responses, skills: Names, size: int) -> list[Batch]:
    """Return the students of a log in batches of similar length.

    log     responses with one of the skills each
    skills  (K,) names of the skills
    """
    return [*_padded(log, codes_of(log.skills, skills)[log.skill], len(skills), size)]


def _padded(log: Responses, codes: Codes, num_skills: int, size: int) -> Iterator[Batch]:
    pad, order = torch.nn.utils.rnn.pad_sequence, np.argsort(np.diff(log.start), kind="stable")
    skill, correct = (torch.from_numpy(values.astype(np.int64)) for values in (codes, log.correct))
    for begin in range(0, len(order), size):
        rows = [slice(log.start[s], log.start[s + 1]) for s in order[begin : begin + size]]
        skills, answers = (pad([values[r] for r in rows], batch_first=True) for values in (skill, correct))
        inputs = torch.full_like(skills, 2 * num_skills)
        inputs[:, 1:] = (skills + num_skills * answers)[:, :-1]
        present = pad([torch.ones(r.stop - r.start) for r in rows], batch_first=True)
        yield Batch(inputs, skills, answers.float(), present)


def fit(log: Responses, settings: Settings, epochs: int) -> Any:
    """Return the network of the epoch with the lowest validation loss.

    log     responses with one skill each
    epochs  number of epochs
    """
    torch.manual_seed(settings.seed)
    model, random = network(log.num_skills, settings), np.random.default_rng(settings.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    training, held_out = log.split(settings.validation, settings.seed)
    batches = batches_of(training, log.skills, settings.batch_size)
    validation = batches_of(held_out, log.skills, VALIDATION_BATCH)
    lowest, best = np.inf, model
    for _ in range(epochs):
        train(model, optimizer, [batches[k] for k in random.permutation(len(batches))])
        loss = validation_loss(model, validation)
        if loss < lowest:
            lowest, best = loss, deepcopy(model)
        else:
            optimizer.param_groups[0]["lr"] /= 2
    return best


def train(model: Any, optimizer: Any, batches: list[Batch]) -> None:
    """Train on each batch once."""
    model.train()
    for batch in batches:
        loss = loss_of(model, batch) / batch.weight.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def validation_loss(model: Any, batches: list[Batch]) -> float:
    """Return the mean loss per response, nats."""
    model.eval()
    with torch.no_grad():
        return sum(float(loss_of(model, b)) for b in batches) / sum(float(b.weight.sum()) for b in batches)


def predict(model: Any, log: Responses, skills: Names) -> tuple[Doubles, Doubles]:
    """Return answers and probabilities of all responses, in the order of batches; see `batches_of`."""
    model.eval()
    correct, predicted = [], []
    with torch.no_grad():
        for batch in batches_of(log, skills, VALIDATION_BATCH):
            real = batch.weight > 0
            correct.append(batch.correct[real].double().numpy())
            predicted.append(logits_of(model, batch)[real].double().sigmoid().numpy())
    return np.concatenate(correct), np.concatenate(predicted)
