"""A fit from responses to weights: who is held out, when to stop, and going on after a break."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from alsim.models.cells import Names
from alsim.models.dkt.checkpoints import read_checkpoint, write_checkpoint
from alsim.models.dkt.fitted import DKTFit
from alsim.models.dkt.network import Weights, forecasts, network_of
from alsim.models.dkt.sequences import Sequences, counts_of, digest, sequences_of, total
from alsim.models.dkt.settings import Epoch, Settings, read_settings, schedule
from alsim.models.fits import ModelError, Progress
from alsim.models.responses import Responses
from alsim.models.scores import NEAREST
from alsim.types import Longs

if TYPE_CHECKING:
    from alsim.models.dkt.learning import Learner

INITIAL, EPOCH = range(2)
"""What randomness is for: each has a stream of its own."""


def fit(
    responses: Responses,
    *,
    hidden: int = 128,
    embedding: int = 64,
    dropout: float = 0.5,
    epochs: int = 40,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    patience: int = 3,
    validation: float = 0.1,
    seed: int = 0,
    device: str | None = None,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
) -> DKTFit:
    """Fit deep knowledge tracing: a long short-term memory that reads a student's responses one by one.

        x_1 = start,  x_t = E[skill_{t-1}, correct_{t-1}],  h_t = LSTM(x_t, h_{t-1}),
        P(correct_t) = logistic(w[skill_t] h_t + b[skill_t])

    It minimises the cross-entropy of each next response by Adam, gradients clipped to norm 1 and cut after 200
    responses, dropout on h. After each epoch the loss of held-out students is looked at: one that is no better than
    the best halves the learning rate, `patience` of them in a row end the fit, and the best epoch's weights stay.

    responses      one log; those with several skills: see `DKTFit.predict`
    hidden         entries of h
    embedding      entries of x
    dropout        share of h that a step of training leaves out, in [0, 1)
    epochs         at most
    batch_size     students
    learning_rate  of Adam, at the beginning
    patience       epochs
    validation     share of students held out, in [0, 1); with 0 the training loss is looked at in place of theirs
    seed           of held-out students, first weights, order and dropout
    device         where to train: None is the processor, "auto" a graphics card if one is there, "cuda" one
    checkpoint     a directory to keep each epoch in; where an unfinished fit with the same settings to the same
                   responses is, it goes on, and a finished one is returned
    progress       called after each epoch

    On one machine and one thread of PyTorch's (`torch.set_num_threads(1)`) the result is the same bit for bit, also
    after breaks; on more threads, other machines and graphics cards, sums differ in their last bits.

    Raises ModelError for settings that cannot be, no responses, nobody left to train on or to hold out, a training
    that diverged, and a checkpoint that is broken or another fit's; MissingExtra without PyTorch.

    Source: Piech et al. (2015), Deep knowledge tracing, NIPS 28.
    """
    settings = read_settings(
        hidden=hidden,
        embedding=embedding,
        dropout=dropout,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
        validation=validation,
        seed=seed,
    )
    if len(responses) == 0:
        raise ModelError("deep knowledge tracing is fitted to responses; got none")
    log = _Log.of(responses, settings)
    from alsim.models.dkt.learning import Learner, device_of

    random = np.random.default_rng([settings.seed, INITIAL])
    learner = Learner(len(log.skills), settings, device_of(device), random)
    weights, done = _train(learner, log, settings, checkpoint, progress)
    likelihood = _log_likelihood(weights, log, log.everybody)
    return DKTFit(log.skills, log.counts, weights, settings, done, likelihood, len(responses))


class _Log(NamedTuple):
    """What is fitted to: all responses, and those of the students who are trained on and who are held out.

    skills  (K,) of the training students' responses: what nobody of them answered is unknown
    counts  (K,) their responses to each
    """

    skills: Names
    counts: Longs
    everybody: Sequences
    training: Sequences
    held_out: Sequences | None

    @classmethod
    def of(cls, responses: Responses, settings: Settings) -> _Log:
        training, held_out = responses, None
        if settings.validation > 0:
            training, held_out = responses.split(settings.validation, settings.seed)
        skills = training.skills[np.unique(training.skill)]
        log = cls(
            skills=skills,
            counts=counts_of(sequences_of(training, skills), len(skills)),
            everybody=sequences_of(responses, skills),
            training=sequences_of(training, skills),
            held_out=None if held_out is None else sequences_of(held_out, skills),
        )
        if total(log.training) == 0 or (log.held_out is not None and total(log.held_out) == 0):
            raise ModelError(
                f"validation={settings.validation:g} leaves {total(log.training):g} responses to train on, "
                f"of {total(log.everybody):g}: both those and the held-out students' are more than none"
            )
        return log


def _train(
    learner: Learner, log: _Log, settings: Settings, checkpoint: str | Path | None, progress: Progress | None
) -> tuple[Weights, list[Epoch]]:
    """Train until early stopping or for want of epochs; return the best epoch's weights, and all epochs."""
    done: list[Epoch] = []
    best = learner.weights()
    if checkpoint is not None:
        folder, name = Path(checkpoint), digest(log.everybody, log.skills)
        shapes = {**learner.shapes(), **{f"best.{k}": values.shape for k, values in best._asdict().items()}}
        if (found := read_checkpoint(folder, settings, name, shapes)) is not None:
            done, arrays = found
            learner.restore(arrays)
            best = Weights(*(arrays[f"best.{k}"] for k in Weights._fields))
    while (now := schedule(done, settings.learning_rate)).waited < settings.patience and len(done) < settings.epochs:
        learner.set_rate(now.learning_rate)
        loss = learner.epoch(log.training, np.random.default_rng([settings.seed, EPOCH, len(done)]))
        weights = learner.weights()
        if not all(np.isfinite(values).all() for values in (loss, *weights)):
            raise ModelError(
                f"the fit diverged in epoch {len(done) + 1}: its loss is {loss}; "
                f"try a learning_rate below {settings.learning_rate:g}"
            )
        done.append(Epoch(loss, _held_out_loss(weights, log)))
        if schedule(done, settings.learning_rate).waited == 0:
            best = weights
        if checkpoint is not None:
            kept = {f"best.{k}": values for k, values in best._asdict().items()}
            write_checkpoint(folder, settings, name, done, {**learner.arrays(), **kept})
        if progress is not None:
            progress(len(done), settings.epochs, _told(done, settings))
    return best, done


def _told(done: list[Epoch], settings: Settings) -> str:
    """Return in words how a training goes."""
    best = schedule(done, settings.learning_rate).best
    of_whom = "training" if done[-1].validation_loss is None else "validation"
    return f"{of_whom} loss {done[-1].watched:.4f}, the best {done[best].watched:.4f} in epoch {best + 1}"


def _held_out_loss(weights: Weights, log: _Log) -> float | None:
    """Return the mean loss of the held-out students' responses, nats; None where nobody is held out."""
    if log.held_out is None:
        return None
    return -_log_likelihood(weights, log, log.held_out) / total(log.held_out)


def _log_likelihood(weights: Weights, log: _Log, sequences: Sequences) -> float:
    """Return the log-likelihood of responses as they are forecast, nats."""
    forecast = np.clip(forecasts(network_of(weights, log.counts), sequences), NEAREST, 1 - NEAREST)
    of_each = np.log(np.where(sequences.correct == 1, forecast, 1 - forecast))
    return float(of_each @ np.repeat(sequences.weight, np.diff(sequences.start)))
