"""The training loop: early stopping, the best weights, and checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alsim.models.base import Progress
from alsim.models.dkt.checkpoints import read_checkpoint, write_checkpoint
from alsim.models.dkt.encoding import EncodedLog
from alsim.models.dkt.network import Weights, forecasts, network_of
from alsim.models.dkt.sequences import Sequences, digest
from alsim.models.dkt.settings import EPOCH, Epoch, Settings, schedule
from alsim.models.dkt.trainer import Trainer
from alsim.models.scores import NEAREST


def train(
    trainer: Trainer, log: EncodedLog, settings: Settings, checkpoint: str | Path | None, progress: Progress | None
) -> tuple[Weights, list[Epoch]]:
    """Train until early stopping or the maximum number of epochs; return the best epoch's weights and all epochs.

    trainer     the untrained network, changed in place
    log         the responses
    settings    hyperparameters of the fit
    checkpoint  directory in which the state after each epoch is saved, and from which an unfinished fit is resumed;
                None for no checkpoints
    progress    called after each epoch

    Raises ModelError for a checkpoint that is damaged or belongs to another fit.
    """
    epochs: list[Epoch] = []
    best = trainer.weights()
    if checkpoint is not None:
        folder, log_digest = Path(checkpoint), digest(log.all_students, log.skills)
        shapes = {**trainer.shapes(), **{f"best.{k}": values.shape for k, values in best._asdict().items()}}
        if (saved := read_checkpoint(folder, settings, log_digest, shapes)) is not None:
            epochs, arrays = saved
            trainer.restore(arrays)
            best = Weights(*(arrays[f"best.{k}"] for k in Weights._fields))
    training, held_out = trainer.encoded(log.training), None if log.held_out is None else trainer.encoded(log.held_out)
    while len(epochs) < settings.epochs:
        now = schedule(epochs, settings.learning_rate)
        if now.waited >= settings.patience:
            break
        trainer.set_rate(now.learning_rate)
        loss = trainer.epoch(training, np.random.default_rng([settings.seed, EPOCH, len(epochs)]))
        epochs.append(Epoch(loss, None if held_out is None else trainer.loss(held_out, log.counts)))
        if schedule(epochs, settings.learning_rate).waited == 0:
            best = trainer.weights()
        if checkpoint is not None:
            best_arrays = {f"best.{k}": values for k, values in best._asdict().items()}
            write_checkpoint(folder, settings, log_digest, epochs, {**trainer.arrays(), **best_arrays})
        if progress is not None:
            progress(len(epochs), settings.epochs, _message(epochs, settings))
    return best, epochs


def _message(epochs: list[Epoch], settings: Settings) -> str:
    """Return the message for the progress callback after an epoch."""
    best = schedule(epochs, settings.learning_rate).best
    kind = "training" if epochs[-1].validation_loss is None else "validation"
    return f"{kind} loss {epochs[-1].monitored:.4f}, the best {epochs[best].monitored:.4f} in epoch {best + 1}"


def log_likelihood(weights: Weights, log: EncodedLog, sequences: Sequences) -> float:
    """Return the log-likelihood of responses, each forecast from the earlier ones, nats."""
    forecast = np.clip(forecasts(network_of(weights, log.counts), sequences), NEAREST, 1 - NEAREST)
    of_each = np.log(np.where(sequences.correct == 1, forecast, 1 - forecast))
    return float(of_each @ np.repeat(sequences.weight, np.diff(sequences.start)))
