"""The adaptive engine: the same student models and policies, for real students."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsim.utils.lazy import attach as _attach

if TYPE_CHECKING:
    from alsim.datasets.engine_export import export_log
    from alsim.datasets.engine_log import EngineLog, load_log
    from alsim.engine.catalogue import Catalogue, Item
    from alsim.engine.difficulties import Difficulties, shrunken_difficulties
    from alsim.engine.engine import AdaptiveEngine
    from alsim.engine.errors import (
        DeletedStudent,
        EngineError,
        KeyConflict,
        OutOfOrder,
        StoreError,
        UnknownName,
        UnknownStudent,
    )
    from alsim.engine.graph import SkillGraph
    from alsim.engine.quiz import Quiz, QuizItem, QuizResult
    from alsim.engine.recalibration import Recalibration
    from alsim.engine.recommendation import Processed, Recommendation

_HOMES = {
    "AdaptiveEngine": "alsim.engine.engine",
    "Catalogue": "alsim.engine.catalogue",
    "DeletedStudent": "alsim.engine.errors",
    "Difficulties": "alsim.engine.difficulties",
    "EngineError": "alsim.engine.errors",
    "EngineLog": "alsim.datasets.engine_log",
    "Item": "alsim.engine.catalogue",
    "KeyConflict": "alsim.engine.errors",
    "OutOfOrder": "alsim.engine.errors",
    "Processed": "alsim.engine.recommendation",
    "Quiz": "alsim.engine.quiz",
    "QuizItem": "alsim.engine.quiz",
    "QuizResult": "alsim.engine.quiz",
    "Recalibration": "alsim.engine.recalibration",
    "Recommendation": "alsim.engine.recommendation",
    "SkillGraph": "alsim.engine.graph",
    "StoreError": "alsim.engine.errors",
    "UnknownName": "alsim.engine.errors",
    "UnknownStudent": "alsim.engine.errors",
    "export_log": "alsim.datasets.engine_export",
    "load_log": "alsim.datasets.engine_log",
    "shrunken_difficulties": "alsim.engine.difficulties",
}

__all__ = [
    "AdaptiveEngine",
    "Catalogue",
    "DeletedStudent",
    "Difficulties",
    "EngineError",
    "EngineLog",
    "Item",
    "KeyConflict",
    "OutOfOrder",
    "Processed",
    "Quiz",
    "QuizItem",
    "QuizResult",
    "Recalibration",
    "Recommendation",
    "SkillGraph",
    "StoreError",
    "UnknownName",
    "UnknownStudent",
    "export_log",
    "load_log",
    "shrunken_difficulties",
]

__getattr__, __dir__ = _attach(__name__, _HOMES)
