"""Student models of scorecards: those of the package by name, and models of users."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from alsim.errors import AlsimError, InputTypeError, did_you_mean
from alsim.evaluation.defaults import SCORECARD_LOGS
from alsim.evaluation.scorecards.worlds import BKT, CONSTANT, FSRS, HALF_LIFE, STANDARD, World, with_items
from alsim.models.base import HOMES
from alsim.models.student.base import StudentModel
from alsim.models.student.files import KINDS, class_of
from alsim.models.student.fits import forecasts
from alsim.models.student.items import Items
from alsim.policies.exceptions import place_of
from alsim.responses.log import Responses
from alsim.types import Doubles, describe
from alsim.utils.optional import require
from alsim.utils.plugins import import_object


class Forecaster(Protocol):
    """A fitted model of a user."""

    def predict(self, log: Responses, /) -> ArrayLike:
        """Return the probability (R,) that each answer is correct, given the student's earlier ones in the log."""
        ...


@dataclass(frozen=True)
class Candidate:
    """A student model, and the simulated learners for its scorecard.

    name    name of the model
    fit     function that fits the model: it takes the log to fit to, a log with all items, and a seed
    own     learners against whose truth the model is held
    misfit  learners of another kind; None if the model assumes no kind
    logs    default number of logs
    flips   function that fits the model to coin flips; None: `fit`
    """

    name: str
    fit: Callable[[Responses, Responses, int], Any]
    own: tuple[World, ...]
    misfit: World | None = None
    logs: int = SCORECARD_LOGS
    flips: Callable[[Responses, Responses, int], Any] | None = None


FLAT = [1.0, 1.0]
IRT_ITEMS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "3pl": {},
        "2pl": {"guessing_range": [0.0, 0.0]},
        **{
            name: {
                "guessing_range": [0.0, 0.0],
                "discrimination_ranges": {"easy": FLAT, "medium": FLAT, "hard": FLAT},
            }
            for name in ("1pl", "rasch")
        },
    }
)
"""Items of each variant of `irt`: ranges of the configuration that differ from the specification."""
ALL = (CONSTANT, BKT, STANDARD)
FLIP_ITERATIONS = 100
"""Largest number of EM steps of `bkt` on coin flips."""
SLOW = ("dkt",)
"""Models with one log by default."""


def names() -> list[str]:
    """Return the names of the models of the package."""
    return [*HOMES, *(f"irt:{variant}" for variant in IRT_ITEMS), *(kind for kind in KINDS if kind not in HOMES)]


def candidate_of(model: Any) -> Candidate:
    """Return the candidate of a model: a name, "module:Name", a class of student models, or a function that fits one.

    Raises AlsimError for an unknown name, MissingExtra for a model whose optional dependency is missing, and
    InputTypeError for other objects.
    """
    if not isinstance(model, str):
        return _of_user(model, getattr(model, "__name__", type(model).__name__))
    name, _, variant = model.partition(":")
    if name == "irt" and (not variant or variant in IRT_ITEMS):
        return _irt(variant or "3pl")
    if model in HOMES:
        return _of_package(model)
    if model in KINDS:
        return _of_class(class_of(model), model)
    if variant and name != "irt":
        return _of_user(import_object(model), model)
    raise AlsimError(
        f"the model {model!r} is unknown{did_you_mean(model, names())}; expected {', '.join(names())}, or module:Name "
        "of a model of your own"
    )


def _irt(variant: str) -> Candidate:
    """Return the candidate of a variant of `irt`, with items of its kind."""
    from alsim.models import irt

    own, misfit = (with_items(world, **IRT_ITEMS[variant]) for world in (CONSTANT, STANDARD))
    return Candidate(f"irt:{variant}", lambda log, _, __: irt.fit(log, variant), (own,), misfit)


def _of_package(name: str) -> Candidate:
    """Return the candidate of a model of `alsim.models`, with the defaults of its `fit`."""
    if name == "dkt":
        require("torch", "dkt", "alsim scorecard dkt")
    if name in ("pfa", "best-lr"):
        require("sklearn.linear_model", "baselines", f"alsim scorecard {name}")
    fit = import_module(HOMES[name].partition(":")[0]).fit
    seeded = "seed" in inspect.signature(fit).parameters

    def fitted(log: Responses, _: Responses, seed: int) -> Any:
        return fit(log, seed=seed % 2**32) if seeded else fit(log)

    if name == "hlr":
        return Candidate(name, fitted, (HALF_LIFE,), FSRS)
    if name == "bkt":
        # Coin flips identify no parameter: EM would make its largest number of steps, and have no standard errors.
        limited = {"max_iterations": FLIP_ITERATIONS, "errors": False}
        return Candidate(name, fitted, (BKT,), STANDARD, flips=lambda log, _, __: fit(log, **limited))
    return Candidate(name, fitted, ALL, logs=1 if name in SLOW else SCORECARD_LOGS)


def _of_class(model: Any, name: str) -> Candidate:
    """Return the candidate of a class of student models. One that knows time needs logs with times."""
    own, misfit = ((FSRS,), HALF_LIFE) if hasattr(model, "advance") else (ALL, None)

    def made(_: Responses, both: Responses, __: int) -> Any:
        with naming(name):
            return model(Items.of_log(both))

    return Candidate(name, made, own, misfit)


def _of_user(model: Any, name: str) -> Candidate:
    """Return the candidate of a user's class or function. Raises InputTypeError for other objects."""
    if not callable(model):
        raise InputTypeError(
            f"a model must be a name, a class of student models, or a function that fits one to a log; got "
            f"{describe(model)}: pass, for example, lambda log: alsim.models.irt.fit(log, '2pl')"
        )

    if is_student_class(model):
        return _of_class(model, name)

    def fitted(log: Responses, _: Responses, __: int) -> Any:
        with naming(name):
            return model(log)

    return Candidate(name, fitted, ALL)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Raise AlsimError in place of an exception of a user's model, with the file and line of the user's code."""
    try:
        yield
    except AlsimError:
        raise
    except Exception as error:
        if name in names():
            raise
        raise AlsimError(
            f"the model {name} raised {type(error).__name__}: {error}{place_of(error)}: correct the model"
        ) from error


def is_student_class(model: Any) -> bool:
    """Return whether a model is a class of student models, which is called with items."""
    return isinstance(model, type) and all(hasattr(model, part) for part in ("start", "update", "chance"))


def forecasts_of(fitted: Any, log: Responses, name: str) -> Doubles:
    """Return the forecasts (R,) of a fitted model. Raises AlsimError for anything but probabilities."""
    if not hasattr(fitted, "predict") and not isinstance(fitted, StudentModel):
        raise InputTypeError(
            f"{name} must be fitted to an object with predict(log), or to a student model; got {describe(fitted)}: "
            "return such an object"
        )
    with naming(name):
        found = fitted.predict(log) if hasattr(fitted, "predict") else forecasts(fitted, log)
    try:
        values = np.asarray(found, np.float64)
    except (TypeError, ValueError):
        values = np.full(1, np.nan)
    if values.shape != (len(log),):
        raise AlsimError(
            f"{name} must forecast {len(log):,} answers, one number each; got shape {values.shape}: return one "
            "probability per answer of the log"
        )
    if not (valid := (values >= 0) & (values <= 1)).all():
        raise AlsimError(f"{name} must forecast probabilities in [0, 1]; got {values[~valid][0]:g}: correct the model")
    return values


__all__ = ["ALL", "Candidate", "Forecaster", "candidate_of", "forecasts_of", "is_student_class", "names"]
