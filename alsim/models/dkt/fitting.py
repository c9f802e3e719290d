"""Deep knowledge tracing from responses to a fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alsim.models.base import Progress
from alsim.models.dkt.fitted import DKTFit
from alsim.models.dkt.logs import Log
from alsim.models.dkt.settings import INITIAL, read_settings
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
    learning_rate  of Adam, at the beginning, in (0, 1]
    patience       epochs
    validation     share of students held out, in [0, 1); with 0 the training loss is looked at in place of theirs
    seed           of held-out students, first weights, order and dropout
    device         where to train: None is the processor, "auto" a graphics card if one is there, "cuda" one
    checkpoint     a directory to keep each epoch in; where an unfinished fit with the same settings to the same
                   responses is, it goes on, and a finished one is returned
    progress       called after each epoch

    On one machine and one thread of PyTorch's (`torch.set_num_threads(1)`) the result is the same bit for bit, also
    after breaks; on more threads, other machines and graphics cards, sums differ in their last bits.

    Raises ModelError for settings that cannot be, no responses, nobody left to train on or to hold out, and a
    checkpoint that is broken or another fit's; MissingExtra without PyTorch.

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
    log = Log.of(responses, settings)
    from alsim.models.dkt.learning import Learner, device_of
    from alsim.models.dkt.training import log_likelihood, train

    random = np.random.default_rng([settings.seed, INITIAL])
    learner = Learner(len(log.skills), settings, device_of(device), random)
    weights, done = train(learner, log, settings, checkpoint, progress)
    likelihood = log_likelihood(weights, log, log.everybody)
    return DKTFit(log.skills, log.counts, weights, settings, done, likelihood, len(responses))
