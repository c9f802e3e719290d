"""Fitting deep knowledge tracing to a response log."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alsim.models.base import Progress
from alsim.models.dkt.encoding import EncodedLog
from alsim.models.dkt.result import DKTFit
from alsim.models.dkt.settings import INITIAL, Settings, read_settings
from alsim.responses.log import Responses


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
    """Fit a long short-term memory network (LSTM) that reads a student's responses and forecasts the next one.

        x_1 = start,  x_t = E[skill_{t-1}, correct_{t-1}],  h_t = LSTM(x_t, h_{t-1}),
        P(correct_t) = logistic(w[skill_t] h_t + b[skill_t])

    Adam minimises the cross-entropy of each response given the earlier ones. Gradients are clipped to norm 1 and
    propagated back through at most 200 responses. After each epoch whose loss on held-out students is not the lowest so
    far, the learning rate is halved. After `patience` such epochs in a row, the fit ends. The weights of the epoch with
    the lowest loss are kept.

    responses      a log; `DKTFit.predict` describes responses with several skills
    hidden         size of h
    embedding      size of x
    dropout        share of h that is dropped in training, in [0, 1)
    epochs         maximum number of epochs
    batch_size     number of students per training step
    learning_rate  learning rate of Adam in the first epoch, in (0, 1]
    patience       number of consecutive epochs without improvement after which the fit ends
    validation     share of students to hold out, in [0, 1); with 0 the training loss is monitored
    seed           seed for the choice of held-out students, initial weights, order of students and dropout
    device         "cpu", "cuda", "auto" for a graphics card if there is one, or None for the CPU
    checkpoint     directory in which the state after each epoch is saved; the same call resumes an unfinished fit
    progress       called after each epoch with the number of epochs so far, the maximum, and a message

    With `torch.set_num_threads(1)`, the result on one machine is the same bit for bit, even if the fit was resumed.
    With more threads, on other machines and on graphics cards, sums differ in their last bits.

    Raises ModelError for invalid settings, for too few responses or students, and for a checkpoint that is damaged or
    belongs to another fit. Raises MissingExtra without PyTorch.

    Source: Piech et al. (2015), Deep knowledge tracing, NIPS 28.
    """
    settings = Settings(hidden, embedding, dropout, epochs, batch_size, learning_rate, patience, validation, seed)
    return _fit(responses, read_settings(**settings._asdict()), device, checkpoint, progress)


def _fit(
    responses: Responses,
    settings: Settings,
    device: str | None,
    checkpoint: str | Path | None,
    progress: Progress | None,
) -> DKTFit:
    """Fit a network with checked settings."""
    log = EncodedLog.of(responses, settings)
    from alsim.models.dkt.trainer import Trainer, device_of
    from alsim.models.dkt.training import log_likelihood, train

    random = np.random.default_rng([settings.seed, INITIAL])
    trainer = Trainer(len(log.skills), settings, device_of(device), random)
    weights, epochs = train(trainer, log, settings, checkpoint, progress)
    likelihood = log_likelihood(weights, log, log.all_students)
    return DKTFit(log.skills, log.counts, weights, settings, epochs, likelihood, responses.num_responses)
