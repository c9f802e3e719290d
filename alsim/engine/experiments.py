"""Definitions of the experiments that a store has students of: a note, by which a changed definition is detected."""

from __future__ import annotations

import json

from alsim.assignment import Experiment, experiments_of
from alsim.engine.errors import EngineError, StoreError
from alsim.engine.stores import Store
from alsim.errors import AlsimError
from alsim.utils.reading import parse_json

NOTE = "experiments"
"""Name of the note."""


def begun_experiments(store: Store) -> dict[str, Experiment]:
    """Return the experiments of a store by name, as they were begun. Raises StoreError for a damaged note."""
    text = store.read_note(NOTE)
    if text is None:
        return {}
    try:
        tables = parse_json(text.encode())
        if not isinstance(tables, dict):
            raise ValueError
        return experiments_of(tables)
    except ValueError:
        raise StoreError(f"the store has a damaged note {NOTE!r}: restore a copy of the store") from None


def check_begun(store: Store, experiment: Experiment) -> bool:
    """Return whether a store has an experiment with this definition.

    Raises EngineError if the experiment was begun with another definition, under which students may be in other arms.
    """
    known = begun_experiments(store).get(experiment.name)
    if known is None:
        return False
    try:
        known.check_same(experiment)
    except AlsimError as error:
        raise EngineError(str(error)) from None
    return known == experiment


def begin(store: Store, experiment: Experiment) -> None:
    """Write the definition of an experiment into a store, unless it is there. Raises EngineError, see `check_begun`."""
    if check_begun(store, experiment):
        return
    experiments = {**begun_experiments(store), experiment.name: experiment}
    store.write_note(NOTE, json.dumps({name: one.to_dict() for name, one in experiments.items()}))
    check_begun(store, experiment)


__all__ = ["begin", "begun_experiments", "check_begun"]
