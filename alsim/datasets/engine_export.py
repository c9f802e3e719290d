"""Export of the log of an engine as a dataset: events, interactions and sessions of all students."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from alsim._version import __version__
from alsim.datasets.engine_schema import COLUMNS, LOG_VERSION
from alsim.datasets.engine_tables import tables_of_part
from alsim.datasets.export.writing import created_parents, files_in, new_directory
from alsim.datasets.manifest import ENGINE_LOG, MANIFEST, DatasetError
from alsim.datasets.store import write_json, write_shard
from alsim.engine.catalogue_files import items_file
from alsim.engine.engine import AdaptiveEngine
from alsim.engine.experiments import begun_experiments
from alsim.engine.graph_files import graph_file
from alsim.engine.histories import SESSION_GAP, Part, parts
from alsim.types import describe
from alsim.utils.reading import read_json
from alsim.utils.run_directory import FORCE, check_foreign_files, check_location, file_entry

EMPTY = (Part(0, [], []),)
"""A part without students, which a log without students consists of."""
MODEL = "model.npz"
"""File with the student model."""


def export_log(
    engine: AdaptiveEngine,
    out: str | Path,
    *,
    names: bool = False,
    session_gap: float = SESSION_GAP,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write the log of all students of an engine as a dataset, which `load_log` reads, and return its directory.

    out          directory to write
    names        whether it has the names of the students; otherwise only numbers, in the order of a hash of the names
    session_gap  time without an event after which a session, an episode of the dataset, has ended, seconds, > 0
    force        whether a dataset of an engine in `out` is replaced
    progress     function that is called with the number of students done

    The dataset has transitions, events and episodes, the catalogue, the graph, and the student model. Mastery is that
    by the present student model, as a replay gives it. A student model with parameters of students is left out without
    `names`: it has their names. The directory appears at one moment, complete. Students are processed in parts: only
    their names are in memory together. Raises DatasetError for an invalid argument and for a directory that must not be
    written, and StoreError.
    """
    target, gap = Path(out), _checked_gap(session_gap)
    with (
        created_parents(target),
        new_directory(target, lambda: _check_directory(target, force=force)) as folder,
    ):
        tables: dict[str, dict[str, Any]] = {name: {"rows": 0, "shards": []} for name in COLUMNS}
        for name in COLUMNS:
            (folder / name).mkdir()
        students = 0
        for number, part in enumerate(chain(parts(engine), EMPTY)):
            if number > 0 and not part.names:
                break
            for name, content in tables_of_part(engine, part, gap, names=names).items():
                entry = write_shard(folder, name, number, content, "parquet")
                tables[name]["shards"].append(entry)
                tables[name]["rows"] += entry["rows"]
            students += len(part.names)
            if progress is not None:
                progress(students)
        manifest = _manifest(engine, gap, names=names, students=students)
        write_json(
            folder / MANIFEST, {**manifest, "files": _write_engine(engine, folder, names=names), "tables": tables}
        )
    return target


def _write_engine(engine: AdaptiveEngine, folder: Path, *, names: bool) -> list[dict[str, Any]]:
    """Write catalogue, graph and student model, and return their entries in the manifest."""
    contents = {}
    for stem, (suffix, content) in (
        ("skills", graph_file(engine.catalogue.graph)),
        ("catalogue", items_file(engine.catalogue.items)),
    ):
        contents[f"{stem}{suffix}"] = content
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    if names or not getattr(engine.model.model, "offsets", None):
        engine.model.model.save(folder / MODEL)
    return [file_entry(folder, entry.name) for entry in sorted(folder.iterdir()) if entry.is_file()]


def _manifest(engine: AdaptiveEngine, gap: float, *, names: bool, students: int) -> dict[str, Any]:
    """Return the manifest without the files."""
    return {
        "kind": ENGINE_LOG,
        "log_version": LOG_VERSION,
        "alsim_version": __version__,
        "engine": {
            "policy": engine.recommender.name,
            "model": getattr(engine.model.model, "kind", type(engine.model.model).__name__),
            "digest": engine.digest,
            "catalogue": engine.catalogue.digest,
            "seed": engine.seed,
            "threshold": engine.threshold,
            **({"retention": engine.retention, "due_first": engine.due_first} if engine.model.has_clock else {}),
        },
        "experiments": {name: one.to_dict() for name, one in begun_experiments(engine.store).items()},
        "skills": list(engine.catalogue.skills),
        "num_items": len(engine.catalogue),
        "num_learners": students,
        "names": names,
        "session_gap": gap,
        "format": "parquet",
    }


def _checked_gap(gap: Any) -> float:
    """Return a time between sessions. Raises DatasetError."""
    if isinstance(gap, bool) or not isinstance(gap, int | float) or not 0 < gap < math.inf:
        raise DatasetError(f"session_gap must be a positive number of seconds; got {describe(gap)}; 1800 is usual")
    return float(gap)


def _check_directory(out: Path, *, force: bool) -> None:
    """Raise DatasetError if a directory must not be written: one that is not empty, unless it is replaced."""
    check_location(out, "dataset", DatasetError)
    files = files_in(out) if out.exists() else set()
    if not files:
        return
    manifest = read_kind(out)
    if manifest is None:
        check_foreign_files(out, files, "dataset", DatasetError)
        return
    listed = [*manifest["files"], *(shard for table in manifest["tables"].values() for shard in table["shards"])]
    check_foreign_files(out, files - {MANIFEST, *(entry["path"] for entry in listed)}, "dataset", DatasetError)
    if not force:
        raise DatasetError(f"{out} already holds the log of an engine; {FORCE} replaces it")


def read_kind(directory: Path) -> dict[str, Any] | None:
    """Return the manifest of a dataset of an engine, unchecked; None for any other directory."""
    try:
        manifest = read_json(directory / MANIFEST, inside=directory)
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("kind") == ENGINE_LOG else None


__all__ = ["MODEL", "export_log", "read_kind"]
