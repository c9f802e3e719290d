"""The manifest of a dataset: its contents, provenance and checksums."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as short
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from alsim.config import Population, PopulationError
from alsim.datasets.schema import SCHEMA_VERSION, TABLES
from alsim.errors import AlsimError
from alsim.mdp.actions import MOST_LOS
from alsim.types import Observation
from alsim.utils.reading import read_json, reason

MANIFEST = "manifest.json"
PLAN = "plan.json"
"""File with everything that determines the bytes of a dataset. It is deleted when the dataset is published."""
ENGINE_LOG = "engine_log"
"""Value of the key `kind` in the manifest of the log of an engine, a dataset of another layout."""
BANK = "bank"
BANK_FILES = ("questions.csv", "contents.csv")

Count = Annotated[int, Field(ge=0)]


class DatasetError(AlsimError):
    """Error for an invalid dataset, or one that must not be written. The message names the file or directory."""


class _Entry(BaseModel):
    """A JSON object whose values have exact types. Unknown keys are allowed."""

    model_config = ConfigDict(strict=True)


class FileEntry(_Entry):
    """A file of the dataset."""

    path: str
    bytes: Count
    sha256: str


class ShardEntry(FileEntry):
    """A file with a part of a table."""

    rows: Count


class TableEntry(_Entry):
    """A table: its number of rows and its shards."""

    rows: Count
    shards: Annotated[list[ShardEntry], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_shards(self) -> Self:
        total = sum(shard.rows for shard in self.shards)
        if self.rows != total:
            _fail(f"rows = {self.rows}: expected {total}, the sum over its shards")
        if len({shard.path for shard in self.shards}) < len(self.shards):
            _fail("shards: expected a different path for each shard")
        return self


class TableEntries(_Entry):
    """The tables of a dataset."""

    transitions: TableEntry
    events: TableEntry
    episodes: TableEntry

    @model_validator(mode="after")
    def _check_tables(self) -> Self:
        counts = {name: len(getattr(self, name).shards) for name in TABLES}
        if len(set(counts.values())) > 1:
            _fail(f"numbers of shards = {counts}: expected the same number for every table")
        for name in ("transitions", "episodes"):
            if not all(shard.rows for shard in getattr(self, name).shards):
                _fail(f"{name}.shards: rows = 0: expected at least 1 row in each shard")
        return self


class BankEntry(_Entry):
    """The bank: number of learning outcomes, and its files."""

    num_los: Annotated[int, Field(ge=1, le=MOST_LOS)]
    files: list[FileEntry]

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        paths, expected = [file.path for file in self.files], [f"{BANK}/{name}" for name in BANK_FILES]
        if paths != expected:
            _fail(f"files: paths = {short(paths)}: expected {expected}")
        return self


class PolicyEntry(_Entry):
    """The behaviour policy."""

    name: str


class Manifest(_Entry):
    """The keys of a manifest that readers rely on."""

    alsim_version: str
    environment: str
    config: dict[str, Any]
    bank: BankEntry
    observation: Observation
    observations: Literal["full", "none"]
    truth: bool = False
    action_mask: Any = None
    policy: PolicyEntry
    seed: Annotated[int, Field(ge=0, lt=2**64)]
    num_learners: Count
    episodes_per_learner: Count
    format: str
    tables: TableEntries


def _content(directory: Path) -> str:
    """Return a message about a path without manifest: its actual content, and the path or command to use instead."""
    expected = "expected the output directory of generate_dataset (alsim generate)"
    if not directory.exists():
        return f"it does not exist; {expected}"
    if not directory.is_dir():
        return f"it is a file; {expected}"
    if (directory / PLAN).exists():
        return f"there is no {MANIFEST}; the command that started it resumes it"
    if (directory / "policy.npz").exists():
        return f"it is a trained policy; to teach with it: alsim generate --policy {directory}"
    if any((directory / f"questions.{ending}").exists() for ending in ("csv", "parquet")):
        return f"it is an item bank; to use it: alsim generate --bank {directory}"
    inside = sorted(str(file.parent) for file in directory.glob(f"*/{MANIFEST}"))
    return f"there is no {MANIFEST}; " + (f"did you mean {inside[0]}?" if inside else expected)


def manifest_version(directory: Path) -> tuple[int, int]:
    """Return what changes if a dataset is replaced by another; (0, 0) if there is none."""
    try:
        found = (directory / MANIFEST).stat()
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the manifest of a dataset. Raises DatasetError, which names the file, the key and the value."""
    file = directory / MANIFEST
    try:
        manifest = read_json(file, inside=directory)
        json.dumps(manifest, allow_nan=False)  # exports write it again, and not every reader accepts NaN
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(f"{directory} holds no finished dataset: {_content(directory)}") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file} cannot be read: {reason(error)}; generate the dataset again") from None
    if isinstance(manifest, dict) and manifest.get("kind") == ENGINE_LOG:
        raise DatasetError(
            f"{directory} holds the log of an engine, which alsim.engine.load_log opens; a dataset of the simulator is "
            "needed"
        )
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise DatasetError(
            f"{file} has schema version {short(version)}; this version of alsim reads {SCHEMA_VERSION}; "
            "generate the dataset again"
        )
    try:
        Manifest.model_validate(manifest)
    except ValidationError as error:
        raise DatasetError(
            f"{file} is not a valid manifest: {_sentence(error.errors()[0])}; generate the dataset again"
        ) from None
    return dict(manifest)


def population_of(manifest: Mapping[str, Any]) -> Population | None:
    """Return the population of a dataset, None if it has none. Raises DatasetError.

    The dynamics need not be registered here, as it must be to read the whole configuration.
    """
    rows = manifest["config"].get("population")
    try:
        return None if rows is None else Population.read(rows)
    except PopulationError as error:
        raise DatasetError(f"the manifest has an invalid population: {error}; generate the dataset again") from None


def _fail(sentence: str) -> NoReturn:
    """Raise the error of a validator. The sentence names the key, its value and the expected value."""
    raise PydanticCustomError("manifest", "{sentence}", {"sentence": sentence})


def _sentence(error: ErrorDetails) -> str:
    """Return a sentence with the key, its value and the expected value of one of pydantic's errors."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "manifest":
        return f"{key}.{error['msg']}" if key else error["msg"]
    if error["type"] == "missing":
        return f"{key} is missing"
    expected = error["msg"].removeprefix("Input should be ").replace("a valid dictionary", "an object")
    if error["type"] == "model_type":
        expected = "an object"
    return f"{key} = {short(error['input'])}: expected {expected}"
