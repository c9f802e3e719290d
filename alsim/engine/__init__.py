"""The adaptive engine: the same student models and policies, for real students."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsim.utils.lazy import attach as _attach

if TYPE_CHECKING:
    from alsim.datasets.engine_export import export_log
    from alsim.datasets.engine_log import EngineLog, load_log
    from alsim.engine.catalogue import Catalogue, Item
    from alsim.engine.catalogue_files import read_items
    from alsim.engine.difficulties import Difficulties, shrunken_difficulties
    from alsim.engine.directory import load_engine, write_engine, write_example
    from alsim.engine.engine import AdaptiveEngine
    from alsim.engine.errors import (
        ClassConflict,
        DeletedStudent,
        EngineError,
        KeyConflict,
        OutOfOrder,
        StoreError,
        UnknownName,
        UnknownStudent,
    )
    from alsim.engine.graph import SkillGraph
    from alsim.engine.policy import EnginePolicy
    from alsim.engine.quiz import Quiz, QuizItem, QuizResult
    from alsim.engine.recalibration import Recalibration
    from alsim.engine.recommendation import Processed, Recommendation
    from alsim.engine.recommenders import Recommender, Situation, make_recommender
    from alsim.engine.selection import Choice
    from alsim.engine.stores import Answer, Commit, Store, Stored, open_store
    from alsim.engine.stores.contract import check_store

_HOMES = {
    "AdaptiveEngine": "alsim.engine.engine",
    "Answer": "alsim.engine.stores",
    "Catalogue": "alsim.engine.catalogue",
    "Choice": "alsim.engine.selection",
    "ClassConflict": "alsim.engine.errors",
    "Commit": "alsim.engine.stores",
    "DeletedStudent": "alsim.engine.errors",
    "Difficulties": "alsim.engine.difficulties",
    "EngineError": "alsim.engine.errors",
    "EngineLog": "alsim.datasets.engine_log",
    "EnginePolicy": "alsim.engine.policy",
    "Item": "alsim.engine.catalogue",
    "KeyConflict": "alsim.engine.errors",
    "OutOfOrder": "alsim.engine.errors",
    "Processed": "alsim.engine.recommendation",
    "Quiz": "alsim.engine.quiz",
    "QuizItem": "alsim.engine.quiz",
    "QuizResult": "alsim.engine.quiz",
    "Recalibration": "alsim.engine.recalibration",
    "Recommendation": "alsim.engine.recommendation",
    "Recommender": "alsim.engine.recommenders",
    "Situation": "alsim.engine.recommenders",
    "SkillGraph": "alsim.engine.graph",
    "Store": "alsim.engine.stores",
    "StoreError": "alsim.engine.errors",
    "Stored": "alsim.engine.stores",
    "UnknownName": "alsim.engine.errors",
    "UnknownStudent": "alsim.engine.errors",
    "check_store": "alsim.engine.stores.contract",
    "export_log": "alsim.datasets.engine_export",
    "load_engine": "alsim.engine.directory",
    "load_log": "alsim.datasets.engine_log",
    "make_recommender": "alsim.engine.recommenders",
    "open_store": "alsim.engine.stores",
    "read_items": "alsim.engine.catalogue_files",
    "shrunken_difficulties": "alsim.engine.difficulties",
    "write_engine": "alsim.engine.directory",
    "write_example": "alsim.engine.directory",
}

__all__ = [
    "AdaptiveEngine",
    "Answer",
    "Catalogue",
    "Choice",
    "ClassConflict",
    "Commit",
    "DeletedStudent",
    "Difficulties",
    "EngineError",
    "EngineLog",
    "EnginePolicy",
    "Item",
    "KeyConflict",
    "OutOfOrder",
    "Processed",
    "Quiz",
    "QuizItem",
    "QuizResult",
    "Recalibration",
    "Recommendation",
    "Recommender",
    "Situation",
    "SkillGraph",
    "Store",
    "StoreError",
    "Stored",
    "UnknownName",
    "UnknownStudent",
    "check_store",
    "export_log",
    "load_engine",
    "load_log",
    "make_recommender",
    "open_store",
    "read_items",
    "shrunken_difficulties",
    "write_engine",
    "write_example",
]

__getattr__, __dir__ = _attach(__name__, _HOMES)
