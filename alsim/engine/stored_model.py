"""The refitted student model in a store: other processes on the same store use it as well.

A note holds a model, and its name has the checksum of the model; so no process overwrites the model of another. A
second note, the pointer, says which model is current. It is written last, so that a reader finds the old model or the
new one. The model before the previous one is emptied.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import zlib
from typing import Any, NamedTuple

from alsim.engine.errors import StoreError
from alsim.engine.stores import Store
from alsim.errors import AlsimError
from alsim.models.base import Fit
from alsim.models.student.base import BaseStudentModel
from alsim.models.student.files import from_bytes, to_bytes
from alsim.utils.reading import parse_json

POINTER = "model"
"""Name of the note that says which model is current; the names of models begin with it."""
FORMAT = 1
"""Version of the pointer."""
TRIES, WAIT = 50, 0.1
"""Number of tries to read a model that others are replacing, and seconds between them."""
CURE = "recalibrate again, or restore a copy of the store"


class Pointer(NamedTuple):
    """Which stored model is current."""

    source: str
    """The model that was refitted: its name, or the digest of its parameters."""
    slot: str
    """Name of the note with the model."""
    checksum: str
    """SHA-256 of the model, hexadecimal."""
    previous: str = ""
    """Name of the note with the model before."""


def source_of(requested: Any, model: Any) -> str:
    """Return the source of a model: its name if it has one, or else the digest of its parameters.

    requested  the argument `model` of the engine
    model      the fit or the student model that it stands for. A fit has the same source for every catalogue
    """
    from alsim.engine.models import DEFAULTS
    from alsim.models.student.fits import student_model

    if isinstance(requested, str) and requested in DEFAULTS:
        return requested
    if isinstance(model, Fit):
        model = student_model(model)
    if not isinstance(model, BaseStudentModel):
        return ""
    return hashlib.sha256(to_bytes(model)).hexdigest()


def read_pointer(store: Store) -> Pointer | None:
    """Return which model of a store is current; None if there is none. Raises StoreError for a damaged note."""
    text = store.read_note(POINTER)
    if text is None:
        return None
    try:
        found = parse_json(text.encode())
        if found["format"] != FORMAT:
            raise ValueError
        return Pointer(*(str(found[name]) for name in Pointer._fields))
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"the store has a damaged note {POINTER!r}: {CURE}") from None


def read_model(store: Store, pointer: Pointer) -> tuple[BaseStudentModel, Pointer]:
    """Return the current model, and what points to it. Raises StoreError for a damaged one."""
    for _ in range(TRIES):
        content = _unpacked(store.read_note(pointer.slot))
        if hashlib.sha256(content).hexdigest() == pointer.checksum:
            try:
                return from_bytes(content), pointer
            except AlsimError as error:
                raise StoreError(f"the store has a damaged student model: {error}: {CURE}") from None
        time.sleep(WAIT)
        pointer = read_pointer(store) or pointer
    raise StoreError(f"the store has a damaged student model: {CURE}")


def write_model(store: Store, source: str, model: BaseStudentModel) -> Pointer:
    """Store a model as the current one, and return what points to it."""
    content = to_bytes(model)
    old = read_pointer(store)
    checksum = hashlib.sha256(content).hexdigest()
    slot = f"{POINTER}-{checksum[:16]}"
    pointer = Pointer(source, slot, checksum, "" if old is None else old.slot)
    store.write_note(slot, base64.b64encode(zlib.compress(content, 1)).decode())
    store.write_note(POINTER, json.dumps({"format": FORMAT, **pointer._asdict()}))
    if old is not None and old.previous and old.previous not in (slot, old.slot):
        store.write_note(old.previous, "")
    return pointer


def _unpacked(text: str | None) -> bytes:
    """Return the bytes of a model in a note; b"" if it is damaged."""
    try:
        return zlib.decompress(base64.b64decode(text or "", validate=True))
    except (ValueError, zlib.error):
        return b""


__all__ = ["Pointer", "read_model", "read_pointer", "source_of", "write_model"]
