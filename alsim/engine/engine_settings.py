"""Settings of an engine in the file engine.toml."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from alsim.assignment import Experiment, experiments_of, experiments_toml
from alsim.engine.checks import checked_retention, checked_seed, checked_switch, checked_threshold
from alsim.engine.errors import EngineError
from alsim.engine.models import RETENTION, WITH_CLOCK
from alsim.errors import AlsimError, did_you_mean
from alsim.types import short_repr
from alsim.utils.reading import MAX_TOML, read_text, read_toml, reason

MAIN = "engine.toml"
"""File of the settings: the presence of this file makes a directory that of an engine."""
FORMAT = 1
"""Version of the file."""


@short_repr
class EngineSettings(NamedTuple):
    """Settings of an engine: arguments of `AdaptiveEngine` other than graph and catalogue."""

    model: str = "bkt"
    """Name of a student model, or the path of its file."""
    policy: str = "guide"
    """Name of the recommender."""
    store: str = "sqlite:students.db"
    """Address of the store."""
    seed: int = 0
    """Seed of random choices."""
    threshold: float = 0.9
    """Mastery from which a skill counts as mastered."""
    experiments: tuple[Experiment, ...] = ()
    """Experiments, of which the policy may be one."""
    retention: float = RETENTION
    """Recall below which a practised skill is due, under a model of memory."""
    due_first: bool = True
    """Whether items are recommended for due skills, if there are any."""

    def plain(self) -> dict[str, Any]:
        """Return the settings as JSON values; experiments only if there are some."""
        listed = {"experiments": {one.name: one.to_dict() for one in self.experiments}} if self.experiments else {}
        return self.single() | listed

    def single(self) -> dict[str, Any]:
        """Return the settings of one value; those of reviews only if the model needs them, or if they are not usual."""
        values = {key: getattr(self, key) for key in SINGLE}
        is_usual = all(values[key] == EngineSettings._field_defaults[key] for key in OF_REVIEWS)
        if is_usual and self.model not in WITH_CLOCK:
            return {key: value for key, value in values.items() if key not in OF_REVIEWS}
        return values


EXPERIMENTS = "experiments"
"""Key of the table of experiments."""
SINGLE = tuple(key for key in EngineSettings._fields if key != EXPERIMENTS)
"""Keys of single values."""
OF_REVIEWS = ("retention", "due_first")
"""Keys that only models of memory read."""
KEYS = ("format", *EngineSettings._fields)
COMMENTS = {
    "format": "version of this file",
    "model": "bkt, irt, elo, glicko, alosi, hlr or fsrs, or a file with a fit",
    "policy": "recommender of items",
    "store": "sqlite:PATH or redis://HOST:PORT/DB, with the events of the students",
    "seed": "seed of random choices",
    "threshold": "mastery from which a skill counts as mastered",
    "retention": "recall below which a practised skill is due, under hlr or fsrs",
    "due_first": "whether items for due skills are recommended before others",
}


def settings_text(settings: EngineSettings) -> str:
    """Return the content of engine.toml. Raises EngineError for invalid values."""
    single = settings.single()
    for key, value in single.items():
        if fault := _fault(key, value):
            raise EngineError(f"{key} must be {fault}; got {value!r:.100}")
    values = {"format": FORMAT, **single}
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    width = max(map(len, lines))
    rows = [f"{line:<{width}}  # {COMMENTS[key]}" for line, key in zip(lines, values, strict=True)]
    text = "\n".join(["# Settings of an adaptive engine of alsim.", *rows, ""])
    return text + "".join(f"\n{experiments_toml([one], f'{EXPERIMENTS}.')}" for one in settings.experiments)


def read_settings(path: Path, name: Path, *, inside: Path) -> EngineSettings:
    """Return the settings in engine.toml; keys that are not set have defaults.

    path    file to read
    name    path in messages
    inside  directory out of which the path must not lead

    Raises EngineError, which names file, line, value and cure.
    """
    try:
        table = read_toml(path, inside=inside)
    except (OSError, ValueError) as error:
        raise EngineError(f"{name}: {reason(error)}; expected settings as alsim engine init writes them") from None
    places = _places(path, inside)

    def place(key: str) -> str:
        return f"{name}, line {places[key]}" if key in places else str(name)

    version = table.pop("format", None)
    if isinstance(version, bool) or version != FORMAT:
        cure = "use the version of alsim that wrote it, or write the directory again with alsim engine init --force"
        raise EngineError(f"{place('format')}: format = {version!r:.100}; this alsim reads {FORMAT}: {cure}")
    experiments = table.pop(EXPERIMENTS, {})
    for key, value in table.items():
        if key not in EngineSettings._fields:
            cure = did_you_mean(key, KEYS) or f"; expected one of {', '.join(KEYS)}"
            raise EngineError(f"{place(key)}: unknown key {key!r:.100}{cure}")
        if fault := _fault(key, value):
            raise EngineError(f"{place(key)}: {key} must be {fault}; got {value!r:.100}")
    try:
        found = tuple(experiments_of(experiments if isinstance(experiments, dict) else [experiments]).values())
    except AlsimError as error:
        raise EngineError(f"{place(EXPERIMENTS)}: {error}") from None
    return EngineSettings(**table, experiments=found)


def is_own(path: Path, *, inside: Path) -> bool:
    """Return whether a file has settings of an engine, of any version."""
    try:
        table = read_toml(path, inside=inside)
    except (OSError, ValueError):
        return False
    return isinstance(table.get("format"), int) and {"model", "policy", "store"} <= table.keys()


def _fault(key: str, value: Any) -> str:
    """Return what the value of a key should be, "" if it is valid."""
    try:
        if key == "seed":
            checked_seed(value)
        elif key == "threshold":
            checked_threshold(value)
        elif key == "retention":
            checked_retention(value)
        elif key == "due_first":
            checked_switch(key, value)
        elif not isinstance(value, str) or not value or not value.isprintable():
            return "printable text"
    except AlsimError as error:
        return str(error).partition(" must be ")[2].rpartition("; got ")[0]
    return ""


def _places(path: Path, inside: Path) -> dict[str, int]:
    """Return the line of each key of the file."""
    found: dict[str, int] = {}
    text = read_text(path, MAX_TOML, encoding="utf-8-sig", inside=inside)
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if match := re.match(r"""\s*\[?\[?\s*["']?([^"'\s=\].]+)["']?\s*[=\].]""", line):
            found.setdefault(match[1], number)
    return found


def _toml(value: Any) -> str:
    """Return a value in the notation of TOML."""
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)


__all__ = ["MAIN", "EngineSettings", "is_own", "read_settings", "settings_text"]
