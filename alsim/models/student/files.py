"""Files of student models: npz files with numbers and text, and no code."""

from __future__ import annotations

import io
import json
import os
import zipfile
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy as np

from alsim.models.base import ModelError, load_fit
from alsim.models.student.base import BaseStudentModel
from alsim.models.student.items import Items
from alsim.utils.files import write_atomic
from alsim.utils.npz import UNREADABLE, array_header, check_unpacked_size, read_array, to_npz
from alsim.utils.reading import open_file, parse_json, reason

FORMAT, VERSION = "alsim-student-model", 1
ABOUT = "about"
"""Array of the bytes of the JSON that describes the model."""

KINDS = {
    "bkt": "alsim.models.student.bkt:BKTModel",
    "alosi": "alsim.models.student.alosi:AlosiModel",
    "irt": "alsim.models.student.ability:AbilityModel",
    "elo": "alsim.models.student.elo:EloModel",
    "glicko": "alsim.models.student.glicko:GlickoModel",
    "pfa": "alsim.models.student.pfa:PFAModel",
    "dkt": "alsim.models.student.dkt:DKTModel",
    "hlr": "alsim.models.student.hlr:HLRModel",
    "fsrs": "alsim.models.student.fsrs:FSRSModel",
}
"""Module and class of each student model."""


def class_of(kind: str) -> type[BaseStudentModel]:
    """Return the class of a kind of student model, a key of KINDS."""
    module, _, name = KINDS[kind].partition(":")
    found: type[BaseStudentModel] = getattr(import_module(module), name)
    return found


def write(model: BaseStudentModel, path: Path) -> Path:
    """Write a student model, and return the path; an existing file is replaced."""
    content = to_bytes(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    return path


def to_bytes(model: BaseStudentModel) -> bytes:
    """Return the content of the file of a student model."""
    items = model.items
    rows = np.split(items.skills[items.skill], items.start[1:-1])
    about = {
        "format": FORMAT,
        "version": VERSION,
        "kind": model.kind,
        "items": items.names.tolist(),
        "skills": [row.tolist() for row in rows],
        "are_skills": items.are_skills,
        "options": model.options(),
    }
    text = np.frombuffer(json.dumps(about, allow_nan=False).encode(), np.uint8)
    return to_npz({ABOUT: text, **model.arrays()})


def from_bytes(content: bytes) -> BaseStudentModel:
    """Return the student model that `to_bytes` has converted. Raises ModelError for other bytes."""
    try:
        return _read(io.BytesIO(content), len(content))
    except (*UNREADABLE, ModelError, AttributeError) as error:
        raise ModelError(f"the bytes are not a student model: {reason(error)}; expected those of to_bytes") from None


def load_student_model(file: str | Path) -> BaseStudentModel:
    """Return the student model in a file that `save` of a student model or of a fit wrote.

    A file contains numbers and text, and no code; sizes are checked before arrays are unpacked. The items of a model
    from a fit are those of `student_model`. Raises ModelError for any other file.
    """
    path = Path(file)
    expected = "expected a file that save of a student model, or of a fit, wrote"
    try:
        with open_file(path) as stream:
            if stream.peek(4)[:4] == b"PK\x03\x04":
                return _read(stream, os.fstat(stream.fileno()).st_size)
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file; {expected}") from None
    except (*UNREADABLE, ModelError, AttributeError) as error:
        raise ModelError(f"{path} is not a student model: {reason(error)}; {expected}") from None
    from alsim.models.student.fits import student_model

    try:
        fit = load_fit(path)
    except ModelError as error:
        raise ModelError(f"{path} is neither a student model nor a fit: {error}") from None
    return student_model(fit)


def _read(stream: IO[bytes], size: int) -> BaseStudentModel:
    """Return the model in an npz file. Other content raises one of the errors that `load_student_model` catches."""
    with zipfile.ZipFile(stream) as archive:
        check_unpacked_size(archive, size)  # `write` does not compress
        about: dict[str, Any] = parse_json(read_array(archive, ABOUT).tobytes())
        if not isinstance(about, dict) or about.get("format") != FORMAT or about.get("version") != VERSION:
            raise ValueError(f"it has no format {FORMAT!r} of version {VERSION}")
        if about["kind"] not in KINDS:
            raise ValueError(f"its kind is {about['kind']!r:.100}; the kinds are {', '.join(KINDS)}")
        names = [entry.filename.removesuffix(".npy") for entry in archive.infolist()]
        arrays: dict[str, Any] = {}
        for name in (name for name in names if name != ABOUT):
            shape, dtype = array_header(archive, name)
            if dtype != np.float64 or not shape:  # a number would be broadcast, to a size that is not the file's
                raise ValueError(f"its {name} are {dtype} of shape {shape}, not an array of float64")
            arrays[name] = read_array(archive, name)
    items = Items(about["items"], about["skills"], are_skills=about["are_skills"])
    model = class_of(about["kind"])(items, **arrays, **about["options"])
    # Defaults would replace what a damaged file has lost, without an error.
    for found, expected in ((arrays, model.arrays()), (about["options"], model.options())):
        if lost := ", ".join(sorted(expected.keys() - found.keys())):
            raise ValueError(f"it has no {lost}")
    return model
