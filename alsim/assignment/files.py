"""Experiments in TOML files: one table per experiment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from alsim.assignment.errors import AssignmentError
from alsim.assignment.experiment import Experiment
from alsim.errors import AlsimError
from alsim.types import describe
from alsim.utils.reading import missing_file_cure, read_toml, reason

EXPECTED = "expected TOML with a table [NAME] per experiment"


def read_experiments(path: str | Path) -> dict[str, Experiment]:
    """Return the experiments in a TOML file, {name: experiment}; the name of a table is that of its experiment.

    Raises AssignmentError, which names the file, the key and the cure.
    """
    file = Path(path)
    try:
        return experiments_of(read_toml(file))
    except FileNotFoundError:
        raise AssignmentError(f"{file} does not exist; {missing_file_cure(file)}") from None
    except AlsimError as error:
        raise AssignmentError(f"{file}: {error}") from None
    except (OSError, ValueError) as error:
        raise AssignmentError(f"{file}: {reason(error)}; {EXPECTED}") from None


def experiments_of(source: Any) -> dict[str, Experiment]:
    """Return experiments by name.

    source  path of a TOML file, an Experiment, several of them, or a mapping {name: table or Experiment}

    Raises AssignmentError for other values, and for two experiments of one name.
    """
    if isinstance(source, str | Path):
        return read_experiments(source)
    if isinstance(source, Experiment):
        return {source.name: source}
    if isinstance(source, Mapping):
        return {name: _named(name, value) for name, value in source.items()}
    listed = list(source) if isinstance(source, Iterable) else [source]
    found: dict[str, Experiment] = {}
    for one in listed:
        if not isinstance(one, Experiment):
            raise AssignmentError(f"an experiment must be an Experiment; got {describe(one)}: use Experiment.from_dict")
        if one.name in found:
            raise AssignmentError(f"there are two experiments with the name {one.name!r}: rename one of them")
        found[one.name] = one
    return found


def _named(name: str, value: Any) -> Experiment:
    """Return the experiment of a table under a name. Raises AssignmentError."""
    found = value if isinstance(value, Experiment) else Experiment.from_dict(value, name)
    if found.name != name:
        raise AssignmentError(f"the experiment {found.name!r} is in the table {name!r}: give both the same name")
    return found


def experiments_toml(experiments: Iterable[Experiment], prefix: str = "") -> str:
    """Return experiments as TOML.

    prefix  text before the names of the tables, such as "experiments."
    """
    return "\n".join("".join(f"{line}\n" for line in _lines(one, prefix)) for one in experiments)


def _lines(experiment: Experiment, prefix: str) -> Iterable[str]:
    """Yield the lines of the table of an experiment."""
    values = experiment.to_dict()
    yield f"[{prefix}{values.pop('name')}]"
    for key, value in values.items():
        if isinstance(value, dict):
            yield f"{key} = {{{', '.join(f'{name} = {_toml(entry)}' for name, entry in value.items())}}}"
        else:
            yield f"{key} = {_toml(value)}"


def _toml(value: str | float) -> str:
    """Return a value in the notation of TOML."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


__all__ = ["experiments_of", "experiments_toml", "read_experiments"]
