"""The result of fitting deep knowledge tracing: weights, forecasts, and files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from alsim.models.base import Fit, ModelError
from alsim.models.dkt.network import Network, Weights, forecasts, network_of, shapes_of
from alsim.models.dkt.sequences import sequences_of
from alsim.models.dkt.settings import MAX_WEIGHTS, Epoch, Settings, read_settings, schedule
from alsim.models.dkt.tracker import DKTTracker
from alsim.responses.cells import Names
from alsim.responses.log import Responses
from alsim.types import Doubles, Longs
from alsim.utils.file_groups import arrays_name
from alsim.utils.files import sha256_of_file
from alsim.utils.names import name_array
from alsim.utils.npz import Shapes, from_npz, read_at_most, sha256, to_npz
from alsim.utils.reading import read_json, reason

WEIGHTS = ".npz"
"""Suffix of the file of weights, in place of .json."""


class DKTFit(Fit):
    """A fitted network for deep knowledge tracing. PyTorch is not needed.

    skills         (K,) names, in the order of a tracker's forecasts
    counts         (K,) number of training responses to each skill
    weights        weights of the best epoch
    settings       hyperparameters of the fit
    epochs         training loss and validation loss of each epoch, nats per response
    best_epoch     number of the best epoch, from 1
    iterations     number of epochs
    converged      whether early stopping ended the fit
    log_likelihood log-likelihood of all responses, each forecast from the earlier ones, nats; held-out students are
                   included
    num_responses  number of responses, held-out students included
    """

    model: ClassVar[str] = "dkt"

    def __init__(
        self,
        skills: Names,
        counts: Longs,
        weights: Weights,
        settings: Settings,
        epochs: Sequence[Epoch],
        log_likelihood: float,
        num_responses: int,
    ) -> None:
        self.skills, self.counts = skills, counts
        self.weights, self.settings, self.epochs = weights, settings, [*epochs]
        self.log_likelihood, self.num_responses = log_likelihood, num_responses
        self.iterations = len(self.epochs)
        self.best_epoch = schedule(self.epochs, settings.learning_rate).best + 1
        self.converged = self.iterations - self.best_epoch >= settings.patience

    def __repr__(self) -> str:
        return f"<DKTFit: {len(self.skills):,} skills, log-likelihood {self.log_likelihood:.3f}>"

    @cached_property
    def network(self) -> Network:
        """The network whose units are the K skills and an unknown skill."""
        return network_of(self.weights, self.counts)

    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) that each response is correct, given the student's earlier ones in `responses`.

        The first response of a student is forecast without any information about the student. A response with several
        skills is forecast by the mean of their logits, and read as the mean of their embeddings. An unknown skill has
        the mean weights of all skills, weighted by their number of training responses.
        """
        responses = self._matched(responses)
        return forecasts(self.network, sequences_of(responses, self.skills))

    def tracker(self) -> DKTTracker:
        """Return a tracker without students."""
        return DKTTracker(self)

    def table(self) -> list[dict[str, str | int | float]]:
        """Return one row per skill: number of training responses, and probability that a first response is correct."""
        first = self.tracker().forecast(None)
        return [
            {"skill": name, "responses": int(count), "first": float(p)}
            for name, count, p in zip(self.skills.tolist(), self.counts, first, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as a dictionary of JSON values, weights included."""
        return {**self._description(), "weights": {k: v.tolist() for k, v in self.weights._asdict().items()}}

    def _description(self) -> dict[str, Any]:
        """Return the fit without its weights as a dictionary of JSON values."""
        return {
            "settings": self.settings._asdict(),
            "skills": self.skills.tolist(),
            "responses": self.counts.tolist(),
            "epochs": [epoch._asdict() for epoch in self.epochs],
            "num_responses": self.num_responses,
            "log_likelihood": self.log_likelihood,
            "iterations": self.iterations,
            "converged": self.converged,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the fit whose `to_dict` is `content`. Raises KeyError, TypeError or ValueError for any other."""
        skills, settings, shapes = _read_shapes(content)
        arrays, weights = content["weights"], {}
        if not isinstance(arrays, dict):
            raise TypeError(f"weights must be an object of arrays; got {type(arrays).__name__}")
        for name, shape in shapes.items():
            weights[name] = np.asarray(arrays[name], np.float32)
            infinite = np.count_nonzero(~np.isfinite(weights[name]))
            if weights[name].shape != shape or infinite:
                raise ValueError(
                    f"{name} must be {shape} finite numbers; got shape {weights[name].shape}, {infinite} not finite"
                )
        counts = np.array([_count(n) for n in content["responses"]], np.int64)
        if len(counts) != len(skills) or counts.sum() == 0:
            raise ValueError(
                f"responses must be counts of {len(skills)} skills, not all 0; got {content['responses']!r}"
            )
        epochs = [_read_epoch(**epoch) for epoch in content["epochs"]]
        if not epochs:
            raise ValueError("epochs must contain at least one epoch; got none")
        likelihood, responses = content["log_likelihood"], _count(content["num_responses"])
        if type(likelihood) is not float or not np.isfinite(likelihood):
            raise ValueError(f"log_likelihood must be a finite number; got {likelihood!r}")
        return cls(name_array(skills), counts, Weights(**weights), settings, epochs, likelihood, responses)

    def _contents(self, path: Path, more: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the content of the JSON file, and of an npz file of the same name with the weights.

        Raises ModelError for a file named .npz.
        """
        npz, weights = weights_file(path), to_npz(self.weights._asdict())
        return {path.name: self._json({**self._description(), "weights": sha256(weights), **more}), npz.name: weights}

    def _check_files(self, path: Path) -> None:
        """Raise ModelError if the npz file exists, and is not that of the fit in the JSON file at `path`."""
        npz = weights_file(path)
        if not npz.exists():
            return
        with suppress(OSError, ValueError, LookupError, TypeError):
            if read_json(path)["weights"] == sha256_of_file(npz):
                return
        raise ModelError(
            f"{npz} exists and is not the file of the weights of {path}; choose another name, or replace it with "
            "force=True (--force)"
        )

    @classmethod
    def read(cls, content: dict[str, Any], path: Path, path_of: Callable[[str], Path]) -> Self:
        """Return the fit in the JSON file at `path` and its npz file. Raises the errors of `from_dict`.

        content  content of the JSON file
        path_of  returns the path from which a file in the same directory is read
        """
        if not isinstance(content.get("weights"), str):
            return cls.from_dict(content)
        file, (_, _, shapes) = weights_file(path), _read_shapes(content)
        try:
            packed_weights = read_at_most(path_of(file.name), shapes, inside=path.parent)
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {reason(error)}") from None
        if sha256(packed_weights) != content["weights"]:
            raise ValueError(f"{file} was not saved with this fit: its SHA-256 differs; save the fit again")
        try:
            weights = from_npz(packed_weights, shapes)
        except ValueError as error:
            raise ValueError(f"{file} does not have the weights that {path.name} describes: {error}") from None
        return cls.from_dict({**content, "weights": weights})


def weights_file(path: Path) -> Path:
    """Return the path of the npz file of the JSON file at `path`. Raises ModelError if `path` is named .npz."""
    if path.suffix.lower() == WEIGHTS:
        raise ModelError(f"the JSON of a fit must not be named {WEIGHTS}, like its weights; got {path}: use .json")
    return path.with_name(arrays_name(path.name))


def _read_shapes(content: dict[str, Any]) -> tuple[list[str], Settings, Shapes]:
    """Return the skills, the settings and the shapes of the weights that the JSON of a fit describes.

    Raises KeyError, TypeError, ValueError or ModelError for an invalid description.
    """
    skills, settings = content["skills"], read_settings(**content["settings"])
    if not isinstance(skills, list) or not skills or not all(isinstance(name, str) for name in skills):
        raise ValueError(f"skills must be a list of at least one name; got {skills!r:.100}")
    if len(set(skills)) != len(skills):
        name, _ = Counter(skills).most_common(1)[0]
        raise ValueError(f"skills must be distinct; got {name!r} more than once")
    shapes = shapes_of(len(skills), settings.embedding, settings.hidden)
    if sum(math.prod(shape) for shape in shapes.values()) > MAX_WEIGHTS:
        raise ValueError(f"a network must have at most {MAX_WEIGHTS:,} weights; got shapes {shapes}")
    return skills, settings, shapes


def _count(value: Any) -> int:
    """Return a number of responses. Raises ValueError for anything else."""
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"a number of responses must be an integer from 0 to 2**53 - 1; got {value!r}")
    return value


def _read_epoch(loss: float, validation_loss: float | None) -> Epoch:
    """Return the losses of an epoch. Raises ValueError for anything else."""
    for value in (loss, validation_loss):
        if value is not None and type(value) is not float:
            raise ValueError(f"the losses of an epoch must be numbers; got {value!r}")
    return Epoch(loss, validation_loss)
