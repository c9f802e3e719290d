"""What fitting a student model returns: one shape for all models, in files that hold no code."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

from alsim.errors import AlsimError
from alsim.responses.log import Responses
from alsim.types import Doubles
from alsim.utils.files import write_whole

FORMAT, VERSION = "alsim-fit", 1

Progress = Callable[[int, int, str], None]
"""Told while a model is fitted: what is done, of how much, and in words how it goes."""

HOMES = {
    "bkt": "alsim.models.bkt:BKTFit",
    "irt": "alsim.models.irt:IRTFit",
    "dkt": "alsim.models.dkt:DKTFit",
    "pfa": "alsim.models.pfa:PFAFit",
    "best-lr": "alsim.models.best_lr:BestLRFit",
    "skill-mean": "alsim.models.skill_mean:SkillMeanFit",
}
"""Where each model's fit is defined."""


class ModelError(AlsimError):
    """A model that cannot be fitted, saved or loaded."""


class Fit(ABC):
    """A fitted student model.

    model           its name
    log_likelihood  of the responses that it was fitted to, in nats
    iterations      of the algorithm
    converged       whether it ended by itself, and not for want of iterations
    num_responses   that it was fitted to
    """

    model: ClassVar[str]
    log_likelihood: float
    iterations: int
    converged: bool
    num_responses: int

    @abstractmethod
    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) that each response is correct, in the order of `responses`.

        It is a forecast: of what the model was fitted to, and of this student's earlier responses in `responses`.
        Skills, items and students that the model has not met are allowed.
        """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the fit as JSON holds it: `from_dict` makes the same fit of it."""

    @classmethod
    @abstractmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the fit that `to_dict` gave; raises KeyError, TypeError or ValueError for anything else."""

    @classmethod
    def read(cls, content: dict[str, Any], path: Path) -> Self:
        """Return the fit whose JSON, at `path`, holds `content`; raises as `from_dict`."""
        return cls.from_dict(content)

    @abstractmethod
    def table(self) -> list[dict[str, str | int | float]]:
        """Return what is to be printed: a row a skill or item or parameter, each with the same columns."""

    def save(self, file: str | Path) -> Path:
        """Write the fit as JSON, whole or not at all, over what is there; return the path."""
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write(path, self.to_dict())
        return path

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        """Write the JSON of a fit of which `content` tells."""
        said = {"format": FORMAT, "version": VERSION, "model": self.model, **content}
        write_whole(path, (json.dumps(said, indent=2, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, file: str | Path) -> Self:
        """Read a fit that `save` has written. Raises ModelError for anything else."""
        fit = load_fit(file)
        if not isinstance(fit, cls):
            raise ModelError(f"{file} is a fit of {fit.model!r}; expected {cls.model!r}")
        return fit


def load_fit(file: str | Path) -> Fit:
    """Read a fit of any model. Raises ModelError for a file that `save` has not written."""
    path = Path(file)
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_float=_finite, parse_constant=_finite)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not a fit: {error}") from None
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ModelError(f'{path} is not a fit: it has no "format": "{FORMAT}"')
    version, model = content.pop("version", None), content.pop("model", None)
    if version is True or version != VERSION:
        raise ModelError(f"{path} has version {version!r}; this alsim reads {VERSION}")
    if not isinstance(model, str) or model not in HOMES:
        raise ModelError(f"{path} is a fit of {model!r}; the models are {', '.join(HOMES)}")
    module, _, name = HOMES[model].partition(":")
    kind: type[Fit] = getattr(import_module(module), name)
    try:
        return kind.read(content, path)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{path} is no whole fit of {model!r}: {said}") from None


def _finite(text: str) -> float:
    """Return a number of a fit's JSON; raises ValueError for one that is not finite: no fit has any."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is not finite")
    return value
