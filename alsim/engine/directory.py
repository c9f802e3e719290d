"""Directories of engines: settings, graph and catalogue in files, and by default the store.

`engine.toml` is the first file of a group that is replaced at one moment, with the graph `skills.*` and the catalogue
`catalogue.*`. A kill at any time leaves the old group or the new one. The store is not part of the group.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from alsim.assignment import Experiment, experiments_of
from alsim.engine.catalogue import Catalogue
from alsim.engine.catalogue_files import items_file, read_items
from alsim.engine.engine import AdaptiveEngine
from alsim.engine.engine_settings import MAIN, EngineSettings, is_own, read_settings, settings_text
from alsim.engine.errors import EngineError, StoreError
from alsim.engine.graph_files import bounded_errors, graph_file, read_graph
from alsim.engine.models import DEFAULTS, RETENTION
from alsim.engine.stores import ADDRESSES, known_kinds, open_store
from alsim.errors import AlsimError
from alsim.utils.file_groups import arrays_name, finish_group, read_group, replace_group
from alsim.utils.files import sha256, temporary_directory, write_atomic
from alsim.utils.reading import MAX_JSON, MAX_TABLE, OutsideDirectory, path_inside, read_bytes, reason
from alsim.utils.tables import PARQUET_SUFFIXES

GRAPHS = tuple(f"skills{suffix}" for suffix in (".csv", ".json", ".toml"))
"""Possible names of the file with the graph."""
CATALOGUES = tuple(f"catalogue{suffix}" for suffix in (".csv", ".json", ".parquet"))
"""Possible names of the file with the items."""
MODEL = re.compile(r"model-[0-9a-f]{16}(\.json|\.npz)")
"""Names of the files with a student model: they have a digest, so that a new one does not replace the old one."""
EXAMPLE = ("skills.csv", "catalogue.csv")
WRITES = "alsim engine init or alsim engine example writes one"


class Parts(NamedTuple):
    """Content of an engine directory, without the store."""

    settings: EngineSettings
    catalogue: Catalogue
    """Items and their graph."""


def load_engine(directory: str | Path, **overrides: Any) -> AdaptiveEngine:
    """Return the engine of a directory.

    directory  directory that `write_engine`, `write_example`, `alsim engine init` or `alsim engine example` wrote
    overrides  model, policy, store, seed, threshold and experiments that replace those of engine.toml; see
               `AdaptiveEngine`. Relative paths in engine.toml are relative to the directory, and those of overrides
               are not

    Raises EngineError, which names file, line, value and cure, for an invalid directory, and StoreError if the store
    cannot be opened.
    """
    folder = Path(directory)
    unknown = sorted(overrides.keys() - {*EngineSettings._fields})
    if unknown:
        raise EngineError(f"an engine has no argument {unknown[0]!r}; expected {', '.join(EngineSettings._fields)}")
    settings, catalogue = read_directory(folder)
    arguments = {**settings._asdict(), "model": _model(folder, settings.model), "store": _store(folder, settings.store)}
    return AdaptiveEngine(None, catalogue, **{**arguments, **overrides})


def read_directory(directory: str | Path) -> Parts:
    """Return settings and catalogue of an engine directory, all of one moment. Raises EngineError."""
    folder = Path(directory)
    try:
        return read_group(folder, MAIN, partial(_read, folder))
    except OSError as error:
        raise EngineError(f"{folder} cannot be read: {reason(error)}; choose the directory of an engine") from None


def write_engine(
    directory: str | Path,
    graph: Any,
    catalogue: Any,
    *,
    model: str | Path = "bkt",
    policy: str = "guide",
    store: str = "sqlite:students.db",
    seed: int = 0,
    threshold: float = 0.9,
    retention: float = RETENTION,
    due_first: bool = True,
    experiments: Any = (),
    force: bool = False,
) -> Catalogue:
    """Write the directory of an engine, which `load_engine` reads, and return its catalogue.

    directory  directory to write; it is created if it does not exist, and its other files are kept
    graph      file, see `read_graph`, or a graph as that of `AdaptiveEngine`; None for that of a Catalogue
    catalogue  file, see `read_items`, or a catalogue as that of `AdaptiveEngine`
    model      name of a model without a fit, or a file with a fit or a student model, which is copied
    store      address of the store; a relative path of SQLite is relative to the directory
    experiments
               an Experiment, several, or a TOML file, of which the policy "experiment:NAME" is one
    force      if True, an existing engine is replaced. Its store, with the events of the students, is kept

    The other arguments are those of `AdaptiveEngine`. Everything is read back before it replaces other files, all at
    one moment: a kill leaves the old engine or the new one. Raises EngineError for invalid arguments, and for a
    directory with an engine, or with files of these names that are no engine's.
    """
    folder = Path(directory)
    check = partial(_check_replaceable, folder, force)
    try:
        finish_group(folder, MAIN)
        check()
        _check_address(store)
        found = _catalogue(graph, catalogue)
        listed = _experiments(experiments)
        due: dict[str, Any] = {"retention": retention, "due_first": due_first}
        AdaptiveEngine(
            None, found, model=model, policy=policy, seed=seed, threshold=threshold, experiments=listed, **due
        )
        models = {} if str(model) in DEFAULTS else _model_files(Path(model))
        settings = EngineSettings(next(iter(models), str(model)), policy, store, seed, threshold, listed, **due)
        contents = {MAIN: settings_text(settings).encode(), **_contents(graph, catalogue, found)}
        folder.mkdir(parents=True, exist_ok=True)
        with temporary_directory(folder / "engine") as staged:
            for name, content in contents.items():
                (staged / name).write_bytes(content)
            written = read_directory(staged)
            if (written.settings, written.catalogue.digest) != (settings, found.digest):
                raise EngineError(f"{catalogue!r:.100} was changed while it was read; run the command again")
        _publish(folder, contents, models, check)
    except OSError as error:
        raise EngineError(
            f"{folder}: an engine cannot be written there: {reason(error)}; choose another directory"
        ) from None
    return found


def write_example(directory: str | Path, *, force: bool = False) -> Catalogue:
    """Write the directory of a small engine, from arithmetic to linear equations, and return its catalogue.

    directory, force  see `write_engine`
    """
    source = resources.files("alsim.engine") / "example_data"
    with resources.as_file(source) as data:
        return write_engine(directory, *(data / name for name in EXAMPLE), force=force)


def check_reachable(directory: str | Path, address: str) -> None:
    """Open and close the store that the engine of a directory would use. A new SQLite file is not created.

    directory, address  see `write_engine`; the directory may be one that is yet to be written

    Raises EngineError for an invalid address, and StoreError for an unusable store.
    """
    folder = Path(directory)
    _check_address(address)
    found = _store(folder, address)
    path = Path(found.removeprefix("sqlite:").partition("?")[0])
    if found.startswith("sqlite:") and not path.exists():
        if path.parent.is_dir() or path.parent.resolve() == folder.resolve():
            return
        raise StoreError(f"{path}: the store cannot be opened: create its directory, or choose a writable path")
    open_store(found).close()


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def _read(folder: Path, path_of: Callable[[str], Path]) -> Parts:
    """Read an engine directory; `path_of` returns the path from which a file is read. Raises EngineError."""
    if not path_of(MAIN).exists():
        what = "is a file" if folder.is_file() else f"has no {MAIN}" if folder.is_dir() else "does not exist"
        raise EngineError(f"{folder} {what}: expected the directory of an engine; {WRITES}")
    settings = read_settings(path_of(MAIN), folder / MAIN, inside=folder)
    skills, items = _one(folder, GRAPHS, path_of), _one(folder, CATALOGUES, path_of)
    graph = read_graph(folder / skills, inside=folder, source=path_of(skills))
    listed = read_items(folder / items, inside=folder, source=path_of(items))
    with bounded_errors():
        try:
            return Parts(settings, Catalogue(listed, graph))
        except EngineError as error:
            raise type(error)(f"{folder / items}: {error}") from None


def _one(folder: Path, names: tuple[str, ...], path_of: Callable[[str], Path]) -> str:
    """Return the one of these names that has a file. Raises EngineError."""
    existing = [name for name in names if path_of(name).exists()]
    if len(existing) != 1:
        found = f"found {' and '.join(existing)}; delete one of them" if existing else f"found none; {WRITES}"
        raise EngineError(f"{folder}: an engine must have one of the files {', '.join(names)}; {found}")
    return existing[0]


def _model(folder: Path, model: str) -> str | Path:
    """Return a model of engine.toml: its name, or the path of its file. Raises EngineError."""
    return model if model in DEFAULTS else _path(folder, "model", model)


def _store(folder: Path, address: str) -> str:
    """Return the address of a store, in which a relative path is made absolute. Raises EngineError."""
    kind, _, rest = address.partition(":")
    if kind != "sqlite" or not rest:
        return address
    path, question, option = rest.partition("?")
    return f"sqlite:{_path(folder, 'store', path)}{question}{option}"


def _path(folder: Path, key: str, name: str) -> Path:
    """Return a path in engine.toml: relative paths lie in the directory. Raises EngineError."""
    if Path(name).is_absolute():
        return Path(name)
    try:
        return path_inside(folder, name)
    except OutsideDirectory:
        raise EngineError(
            f"{folder / MAIN}: the {key} {name!r} leads out of the directory: move the file there, or write an "
            "absolute path"
        ) from None


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def _catalogue(graph: Any, catalogue: Any) -> Catalogue:
    """Return the catalogue of files or values. Raises EngineError."""
    if isinstance(catalogue, str | Path):
        return Catalogue.read(catalogue, graph)
    if isinstance(catalogue, Catalogue) and graph is None:
        return catalogue
    items = catalogue.items if isinstance(catalogue, Catalogue) else catalogue
    return Catalogue(items, read_graph(graph) if isinstance(graph, str | Path) else graph)


def _experiments(source: Any) -> tuple[Experiment, ...]:
    """Return experiments. Raises EngineError."""
    try:
        return tuple(experiments_of(source).values())
    except AlsimError as error:
        raise EngineError(str(error)) from None


def _contents(graph: Any, catalogue: Any, found: Catalogue) -> dict[str, bytes]:
    """Return names and contents of the files with graph and items: copies of files, except of Parquet files."""
    skills, items = _copied(graph, GRAPHS), _copied(catalogue, CATALOGUES)
    return (skills or _named("skills", graph_file(found.graph))) | (
        items or _named("catalogue", items_file(found.items))
    )


def _copied(source: Any, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the content of a file under the one of these names with its suffix; {} for values and Parquet files."""
    if not isinstance(source, str | Path) or Path(source).suffix.lower() in PARQUET_SUFFIXES:
        return {}
    suffix = Path(source).suffix.lower()
    name = next((name for name in names if suffix and name.endswith(suffix)), names[0])
    return {name: read_bytes(source, MAX_TABLE)}


def _named(stem: str, file: tuple[str, bytes]) -> dict[str, bytes]:
    """Return the content of a file under its name."""
    suffix, content = file
    return {f"{stem}{suffix}": content}


def _model_files(model: Path) -> dict[str, bytes]:
    """Return the files of a student model under names with their digest; the first is that of the model."""
    arrays = model.with_name(arrays_name(model.name))
    files = [model, arrays] if arrays != model and arrays.exists() else [model]
    contents = [read_bytes(file, MAX_JSON) for file in files]
    digest = sha256(b"".join(contents))[:16]
    suffixes = (".npz",) if contents[0][:2] == b"PK" else (".json", ".npz")
    return {f"model-{digest}{suffix}": content for suffix, content in zip(suffixes, contents, strict=False)}


def _publish(folder: Path, contents: dict[str, bytes], models: dict[str, bytes], check: Callable[[], object]) -> None:
    """Replace the files of an engine at one moment. A new model has a new name, so that it replaces no other."""
    for name, content in models.items():
        write_atomic(folder / name, content)
    obsolete = [name for name in (*GRAPHS, *CATALOGUES) if name not in contents]
    obsolete += [entry.name for entry in folder.iterdir() if MODEL.fullmatch(entry.name) and entry.name not in models]
    replace_group(folder, contents, obsolete, check)


def _check_address(address: Any) -> None:
    """Raise EngineError unless a value has the form of a store's address."""
    kinds = known_kinds()
    kind, colon, rest = address.partition(":") if isinstance(address, str) else ("", "", "")
    if kind not in kinds or bool(colon) != bool(rest) or (kind != "memory" and not rest):
        raise EngineError(f"store must be {', '.join(ADDRESSES[:-1])} or {ADDRESSES[-1]}; got {address!r:.100}")


def _check_replaceable(folder: Path, force: bool) -> None:
    """Raise EngineError if a directory has an engine, without `force`, or files of these names of another origin."""
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise EngineError(f"{folder} is not a directory; choose a new directory for the engine")
    existing = [name for name in (MAIN, *GRAPHS, *CATALOGUES) if (folder / name).exists()]
    if not existing:
        return
    if not is_own(folder / MAIN, inside=folder):
        raise EngineError(
            f"{folder / existing[0]} is not a file of an engine, so it is not overwritten; move it, or choose another "
            "directory"
        )
    if not force:
        raise EngineError(
            f"{folder} already has an engine; force=True (--force) replaces settings, graph and catalogue, and keeps "
            "the students"
        )


__all__ = ["Parts", "check_reachable", "load_engine", "read_directory", "write_engine", "write_example"]
