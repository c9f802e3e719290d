"""Epoch after epoch: when to stop, whose weights to keep, and going on after a break."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alsim.models.base import Progress
from alsim.models.dkt.checkpoints import read_checkpoint, write_checkpoint
from alsim.models.dkt.learning import Learner
from alsim.models.dkt.logs import Log
from alsim.models.dkt.network import Weights, forecasts, network_of
from alsim.models.dkt.sequences import Sequences, digest, total
from alsim.models.dkt.settings import EPOCH, Epoch, Settings, schedule
from alsim.models.scores import NEAREST


def train(
    learner: Learner, log: Log, settings: Settings, checkpoint: str | Path | None, progress: Progress | None
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


def _held_out_loss(weights: Weights, log: Log) -> float | None:
    """Return the mean loss of the held-out students' responses, nats; None where nobody is held out."""
    if log.held_out is None:
        return None
    return -log_likelihood(weights, log, log.held_out) / total(log.held_out)


def log_likelihood(weights: Weights, log: Log, sequences: Sequences) -> float:
    """Return the log-likelihood of responses as they are forecast, nats."""
    forecast = np.clip(forecasts(network_of(weights, log.counts), sequences), NEAREST, 1 - NEAREST)
    of_each = np.log(np.where(sequences.correct == 1, forecast, 1 - forecast))
    return float(of_each @ np.repeat(sequences.weight, np.diff(sequences.start)))
