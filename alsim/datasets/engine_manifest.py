"""Manifests of logs of engines: the keys that readers rely on."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from alsim.datasets.manifest import Count, FileEntry, TableEntry
from alsim.engine.models import RETENTION


class EngineEntry(BaseModel):
    """The engine: names, digests and settings."""

    model_config = ConfigDict(strict=True)

    policy: str
    model: str
    digest: str
    catalogue: str
    seed: int
    threshold: float
    retention: float = RETENTION
    due_first: bool = True


class LogTables(BaseModel):
    """The tables."""

    transitions: TableEntry
    events: TableEntry
    episodes: TableEntry


class LogManifest(BaseModel):
    """The keys of a manifest that readers rely on."""

    model_config = ConfigDict(strict=True)

    log_version: int
    engine: EngineEntry
    experiments: dict[str, dict[str, Any]] = {}
    skills: list[str]
    num_learners: Count
    names: bool
    session_gap: float
    files: list[FileEntry]
    tables: LogTables


__all__ = ["EngineEntry", "LogManifest", "LogTables"]
