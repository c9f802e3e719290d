"""Base class of fitted student models, and their JSON format."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from alsim.errors import AlsimError
from alsim.models.matching import compare_names
from alsim.models.serialization import count, number, truth
from alsim.responses.cells import Names
from alsim.responses.log import Responses, check_answers, codes_of
from alsim.types import Doubles, Ints, i32
from alsim.utils.file_groups import read_group, replace_group
from alsim.utils.files import to_json
from alsim.utils.reading import missing_file_cure, read_json, reason

FORMAT, VERSION = "alsim-fit", 1

Progress = Callable[[int, int, str], None]
"""Callback of a fit: receives the completed steps, the total number of steps, and a status message."""

HOMES = {
    "bkt": "alsim.models.bkt:BKTFit",
    "irt": "alsim.models.irt:IRTFit",
    "dkt": "alsim.models.dkt:DKTFit",
    "pfa": "alsim.models.pfa:PFAFit",
    "best-lr": "alsim.models.best_lr:BestLRFit",
    "hlr": "alsim.models.hlr:HLRFit",
    "skill-mean": "alsim.models.skill_mean:SkillMeanFit",
}
"""Module and class of the fit of each model."""

MATCHED = {"irt": ("item",), "best-lr": ("skill", "item")}
"""Kinds of names by which a model recognises responses; of the other models, skills."""

_log = logging.getLogger("alsim.models.names")


class ModelError(AlsimError):
    """Exception for a student model that cannot be fitted, saved or loaded."""


class Fit(ABC):
    """A fitted student model.

    model           name of the model, a key of HOMES
    log_likelihood  log-likelihood of the responses that the model was fitted to, nats
    iterations      number of iterations of the algorithm
    converged       True if the algorithm reached its tolerance, False if it reached its limit of iterations
    num_responses   number of responses that the model was fitted to; those of a row that stands for n students count n
                    times
    """

    model: ClassVar[str]
    log_likelihood: float
    iterations: int
    converged: bool
    num_responses: int

    @property
    def caveats(self) -> tuple[str, ...]:
        """Clauses that qualify the result of the fit, such as "1 of 7 items is at a bound"; empty without any."""
        return ()

    @abstractmethod
    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) that each response is correct, in the order of `responses`.

        Each prediction uses the fitted parameters and the earlier responses of the same student in `responses`.
        Students, and some skills and items, may be absent from the fitted responses. A warning of the logger
        alsim.models.names counts the unknown skills or items. Raises ModelError if all of them are unknown, or if the
        columns of a matrix or a file without names of items are not those of the fit.
        """

    def _matched(self, responses: Responses) -> Responses:
        """Return the responses with their skills and items spelled as in the fit: 10.0 may be its 10.

        Names that the fit does not distinguish, such as 10 and 10.0, have one code.
        Logs a warning about unknown names. Raises ModelError if all of them are unknown, or if they are numbers of
        columns without names that are not those of the fit. Raises ResponsesError for partial credit if the model needs
        answers of 0 and 1.
        """
        if not getattr(self, "partial_credit", False):
            check_answers(responses, f"the {self.model} fit")
        known = {
            kind: of_fit
            for kind in MATCHED.get(self.model, ("skill",))
            if len(of_fit := np.array(list(getattr(self, f"{kind}s")), np.str_))  # else the items are the skills
        }
        try:
            unknown = compare_names(responses, known, "the responses")
        except AlsimError as error:
            raise ModelError(str(error)) from None
        for found in unknown:
            lacks = f"unknown to the {self.model} fit, which has no estimates of"
            _log.warning("%s", found.sentence("the responses", f"is {lacks} its own", f"are {lacks} their own"))
        names: dict[str, Any] = {}
        for kind, of_fit in known.items():
            of_log = getattr(responses, f"{kind}s")
            codes = codes_of(of_log, of_fit)
            spelled = np.where(codes < 0, of_log, np.append(of_fit, "")[codes])
            names[f"{kind}s"] = spelled
            names[kind] = _first_codes(spelled)[getattr(responses, kind)]
        return replace(responses, **names)

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the fit as a dictionary of JSON values; `from_dict` restores the fit from it."""

    @classmethod
    @abstractmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the fit from the result of `to_dict`.

        Raises KeyError for a missing key, and TypeError or ValueError for an invalid value.
        """

    @classmethod
    def read(cls, content: dict[str, Any], path: Path, path_of: Callable[[str], Path]) -> Self:
        """Return the fit that the JSON file at `path` describes.

        content  the parsed file, without the keys "format", "version" and "model"
        path     the file, for models that store arrays in a second file
        path_of  returns the path from which a file in the same directory is read, see `read_group`

        Raises the same errors as `from_dict`.
        """
        return cls.from_dict(content)

    @abstractmethod
    def table(self) -> list[dict[str, str | int | float]]:
        """Return one row per skill, item or parameter, for printing; all rows have the same columns."""

    def save(self, file: str | Path, *, test: Mapping[str, float | None] | None = None, force: bool = False) -> Path:
        """Write the fit as JSON, and return the path. An existing file is replaced: a kill leaves either of them.

        test   scores of a test with other responses, which are written under the key "test"
        force  if True, a second file that belongs to the fit, as that of the weights of a network, is replaced even if
               another program or another fit wrote it; otherwise it raises ModelError
        """
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        contents = self._contents(path, {} if test is None else {"test": dict(test)})
        replace_group(path.parent, contents, check=lambda: None if force else self._check_files(path))
        return path

    @classmethod
    def load(cls, file: str | Path) -> Self:
        """Return the fit that `save` wrote to `file`. Raises ModelError for any other file or model."""
        fit = load_fit(file)
        if not isinstance(fit, cls):
            raise ModelError(
                f"{file} is a fit of {fit.model!r}; expected {cls.model!r}: load it with alsim.models.load_fit"
            )
        return fit

    def _contents(self, path: Path, more: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the content of each file of the fit by name, the JSON first; `more` is added to the JSON."""
        return {path.name: self._json({**self.to_dict(), **more})}

    def _check_files(self, path: Path) -> None:  # noqa: B027  # most fits have one file
        """Raise ModelError if a file besides the JSON at `path` would be replaced that is not of the fit there."""

    def _json(self, content: Mapping[str, Any]) -> bytes:
        """Return the JSON of a fit: `content` after the keys that identify format and model."""
        return to_json({"format": FORMAT, "version": VERSION, "model": self.model, **content})

    def _summary(self) -> dict[str, Any]:
        """Return the attributes that all fits share, under their names in JSON."""
        return {
            "log_likelihood": self.log_likelihood,
            "iterations": self.iterations,
            "converged": self.converged,
            "responses": self.num_responses,
        }

    @staticmethod
    def _read_summary(content: dict[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments of a fit that `_summary` wrote; raises the same errors as `from_dict`."""
        return {
            "log_likelihood": number(content["log_likelihood"]),
            "iterations": count(content["iterations"]),
            "converged": truth(content["converged"]),
            "num_responses": count(content["responses"]),
        }


def _first_codes(names: Names) -> Ints:
    """Return for each name the index of the first equal one."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(name, code) for code, name in enumerate(names.tolist())], i32)


def load_fit(file: str | Path) -> Fit:
    """Return the fit of any model that `Fit.save` wrote to `file`. Raises ModelError for any other file."""
    path = Path(file)
    try:
        return read_group(path.parent, path.name, partial(_load, path))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error}") from None


def _load(path: Path, path_of: Callable[[str], Path]) -> Fit:
    """Return the fit at `path`; `path_of` returns the path from which a file is read."""
    content = _parse(path, path_of(path.name))
    version, model = content.pop("version", None), content.pop("model", None)
    if version is True or version != VERSION:
        raise ModelError(
            f"{path} has version {version!r:.100}; this alsim reads {VERSION}: "
            "use the alsim that wrote it, or fit it again"
        )
    if not isinstance(model, str) or model not in HOMES:
        raise ModelError(f"{path} is a fit of {model!r:.100}; the models are {', '.join(HOMES)}")
    module, _, name = HOMES[model].partition(":")
    fit_class: type[Fit] = getattr(import_module(module), name)
    try:
        return fit_class.read(content, path, path_of)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is not a valid fit of {model!r}: {reason(error)}; fit the model again") from None


def _parse(path: Path, source: Path) -> dict[str, Any]:
    """Return the JSON object of the fit at `path`, without its key "format"; raises ModelError for any other file.

    source  path from which the file is read
    """
    cure = "expected a file that Fit.save wrote"
    try:
        content = read_json(source, parse_float=_finite, parse_constant=_finite)
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file; {missing_file_cure(path)}") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {reason(error)}; {cure}") from None
    except ValueError as error:
        raise ModelError(f"{path} is not a fit: {reason(error)}; {cure}") from None
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ModelError(f'{path} is not a fit: it has no "format": "{FORMAT}"; {cure}')
    return content


def _finite(text: str) -> float:
    """Return a number of a fit's JSON; raises ValueError if it is not finite, since no fit contains such a number."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is not finite")
    return value
