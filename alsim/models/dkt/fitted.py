"""A fitted network: forecasts of logs, its two files, and a tracker of students as they answer."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from alsim.models.base import Fit, ModelError
from alsim.models.dkt.network import Network, Weights, at_rest, forecasts, logistic, network_of, read, shapes_of, times
from alsim.models.dkt.sequences import sequences_of
from alsim.models.dkt.settings import MOST_WEIGHTS, Epoch, Settings, read_settings, schedule
from alsim.responses.cells import Names
from alsim.responses.log import Responses
from alsim.types import Doubles, Longs
from alsim.utils.files import write_whole
from alsim.utils.npz import Shapes, packed, read_at_most, sha256, unpacked

WEIGHTS = ".npz"
"""How the file of a fit's weights is named, beside its JSON."""


class DKTFit(Fit):
    """A network for deep knowledge tracing: `fit` makes one, and it needs no PyTorch.

    skills         (K,) names, in the order of a tracker's forecasts
    counts         (K,) responses to each that it was fitted to
    weights        what was learnt, of the best epoch
    settings       what it was fitted with
    epochs         what each epoch left: its loss, and that of the held-out students; best_epoch counts from 1
    iterations     epochs
    converged      whether early stopping ended it
    log_likelihood of all responses, those of the held-out students included, as forecast one by one
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

    @cached_property
    def network(self) -> Network:
        """The network over the skills and an unknown one."""
        return network_of(self.weights, self.counts)

    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) that each response is correct, of the same student's responses before it.

        A first response is forecast from the start alone. A response with several skills is forecast by the mean of
        their logits, and read as the mean of their embeddings. A skill that is unknown counts as the mean of all
        skills, weighted by their responses.
        """
        return forecasts(self.network, sequences_of(responses, self.skills))

    def tracker(self) -> DKTTracker:
        """Return a tracker of students, none of whom has answered yet."""
        return DKTTracker(self)

    def table(self) -> list[dict[str, str | int | float]]:
        """Return a row a skill: its responses, and the forecast for a student of whom nothing is known."""
        first = self.tracker().forecast(None)
        return [
            {"skill": name, "responses": int(count), "first": float(p)}
            for name, count, p in zip(self.skills.tolist(), self.counts, first, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as JSON holds it, weights included."""
        return {**self._description(), "weights": {k: v.tolist() for k, v in self.weights._asdict().items()}}

    def _description(self) -> dict[str, Any]:
        """Return all but the weights."""
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
        """Return the fit that `to_dict` gave; raises KeyError, TypeError or ValueError for anything else."""
        skills, settings, shapes = _read_shapes(content)
        told, weights = content["weights"], {}
        if not isinstance(told, dict):
            raise TypeError("weights is a table")
        for name, shape in shapes.items():
            weights[name] = np.asarray(told[name], np.float32)
            if weights[name].shape != shape or not np.isfinite(weights[name]).all():
                raise ValueError(f"{name} is {shape} finite numbers")
        counts = np.array([_count(n) for n in content["responses"]], np.int64)
        if len(counts) != len(skills) or counts.sum() == 0:
            raise ValueError(f"responses are counts of {len(skills)} skills, not all 0; got {content['responses']!r}")
        epochs = [_read_epoch(**epoch) for epoch in content["epochs"]]
        likelihood, responses = content["log_likelihood"], _count(content["num_responses"])
        if type(likelihood) is not float or not np.isfinite(likelihood) or not epochs:
            raise ValueError(f"log_likelihood is a number after one epoch or more; got {likelihood!r}")
        return cls(np.array(skills), counts, Weights(**weights), settings, epochs, likelihood, responses)

    def save(self, file: str | Path) -> Path:
        """Write the fit as JSON, and its weights beside it as an npz file of the same name; return the JSON's path.

        Each file is whole or not there, and the JSON holds the other's checksum: of two that do not belong together,
        as where writing was cut short over an older fit, none is read. Raises ModelError for a file named .npz.
        """
        path = Path(file)
        beside = weights_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = packed(self.weights._asdict())
        write_whole(beside, content)
        self._write(path, {**self._description(), "weights": sha256(content)})
        return path

    @classmethod
    def read(cls, content: dict[str, Any], path: Path) -> Self:
        """Return the fit whose JSON, at `path`, holds `content`; raises as `from_dict`."""
        if not isinstance(content.get("weights"), str):
            return cls.from_dict(content)
        file, (_, _, shapes) = path.with_suffix(WEIGHTS), _read_shapes(content)
        try:
            packed_weights = read_at_most(file, shapes)
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {error}") from None
        if sha256(packed_weights) != content["weights"]:
            raise ValueError(f"{file} is not what was saved with it: its SHA-256 differs")
        try:
            weights = unpacked(packed_weights, shapes)
        except ValueError as error:
            raise ValueError(f"{file} is not the network that is described: {error}") from None
        return cls.from_dict({**content, "weights": weights})


def weights_file(path: Path) -> Path:
    """Return where the weights of a fit stand whose JSON is at `path`. Raises ModelError for one named .npz."""
    if path.suffix == WEIGHTS:
        raise ModelError(f"a fit's JSON is not named {WEIGHTS}: so its weights are; got {path}")
    return path.with_suffix(WEIGHTS)


def _read_shapes(content: dict[str, Any]) -> tuple[list[str], Settings, Shapes]:
    """Return the skills, the settings and the arrays' shapes that a fit's JSON tells."""
    skills, settings = content["skills"], read_settings(**content["settings"])
    if not isinstance(skills, list) or not skills or not all(isinstance(name, str) for name in skills):
        raise ValueError("skills are names, at least one")
    if len(set(skills)) != len(skills):
        raise ValueError("skills are named once each")
    shapes = shapes_of(len(skills), settings.embedding, settings.hidden)
    if sum(math.prod(shape) for shape in shapes.values()) > MOST_WEIGHTS:
        raise ValueError(f"a network has at most {MOST_WEIGHTS:,} weights; its shapes are {shapes}")
    return skills, settings, shapes


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"responses are counted; got {value!r}")
    return value


def _read_epoch(loss: float, validation_loss: float | None) -> Epoch:
    for value in (loss, validation_loss):
        if value is not None and type(value) is not float:
            raise ValueError(f"an epoch's losses are numbers; got {value!r}")
    return Epoch(loss, validation_loss)


class State(NamedTuple):
    """What is kept of a student: the hidden state and the cell, (H,) each."""

    hidden: Doubles
    cell: Doubles


class DKTTracker:
    """Students as they answer, one response at a time: each one's state is kept, in 16 H bytes.

    A forecast is within 1e-12 of the one that `DKTFit.predict` makes of the student's whole log.
    """

    def __init__(self, fit: DKTFit) -> None:
        self.fit, self._network = fit, fit.network
        self._codes = {name: code for code, name in enumerate(fit.skills.tolist())}
        self._states: dict[Any, State] = {}
        self._start = State(*read(self._network, self._network.begin, *at_rest(self._network)))

    def __len__(self) -> int:
        return len(self._states)

    def update(self, student: Hashable, skill: Any, correct: Any) -> Doubles:
        """Take in a response, and return the probability (K,) that the student's next one to each skill is correct.

        student  anything that a dictionary takes; one that is not known yet begins
        skill    a name, or a list of the names of a response that has several; names may be unknown
        correct  0 or 1, or a bool

        Raises ModelError for another `correct`, and for no skill.
        """
        codes = self._read_skills(skill)
        if not isinstance(correct, bool | int | np.bool_ | np.integer) or correct not in (0, 1):
            raise ModelError(f"correct is 0 or 1; got {correct!r} of student {student!r}")
        x = self._network.answered[int(correct), codes].mean(axis=0)
        self._states[student] = State(*read(self._network, x, *self._states.get(student, self._start)))
        return self.forecast(student)

    def forecast(self, student: Hashable) -> Doubles:
        """Return the probability (K,) that the student's next response to each skill is correct."""
        return logistic(self._logits(student))[:-1]

    def probability(self, student: Hashable, skill: Any) -> float:
        """Return the probability that the student's next response is correct, if it is to `skill`, as in `update`."""
        return float(logistic(self._logits(student)[self._read_skills(skill)].mean()))

    def forget(self, student: Hashable) -> None:
        """Let a student go, so that they begin anew. Nothing happens if they are not known."""
        self._states.pop(student, None)

    def _logits(self, student: Hashable) -> Doubles:
        """Return the logit of each skill and of an unknown one (K + 1,)."""
        hidden = self._states.get(student, self._start).hidden
        return times(hidden, self._network.asked.T) + self._network.ease

    def _read_skills(self, skill: Any) -> Longs:
        names = skill if isinstance(skill, list | tuple | set | frozenset | np.ndarray) else [skill]
        if len(names) == 0:
            raise ModelError("a response has at least one skill; got none")
        return np.array([self._codes.get(str(name), len(self._codes)) for name in names], np.int64)


__all__ = ["DKTFit", "DKTTracker"]
