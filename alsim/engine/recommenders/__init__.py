"""Recommenders of the engine, by name."""

from __future__ import annotations

from importlib import import_module

from alsim.engine.catalogue import Catalogue
from alsim.engine.errors import EngineError
from alsim.engine.recommenders.base import Recommender, Situation
from alsim.errors import did_you_mean

PRESETS = {"guide": "alsim.engine.recommenders.guide:Guide"}
"""Module and class of each recommender."""


def make_recommender(policy: str, catalogue: Catalogue) -> Recommender:
    """Return the recommender with a name. Raises EngineError for an unknown name."""
    if not isinstance(policy, str) or policy not in PRESETS:
        cure = did_you_mean(str(policy), PRESETS) or f"; expected {' or '.join(map(repr, PRESETS))}"
        raise EngineError(f"there is no policy {policy!r:.100} of the engine{cure}")
    module, _, name = PRESETS[policy].partition(":")
    made: Recommender = getattr(import_module(module), name)(catalogue)
    return made


__all__ = ["PRESETS", "Recommender", "Situation", "make_recommender"]
