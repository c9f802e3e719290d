"""Encoding of actions as integers (clauses S3.1 and S3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError, InputTypeError
from alsim.types import DIFFICULTIES, MODALITIES, Bools, Longs, short_repr

LEVELS, KINDS = len(DIFFICULTIES), len(MODALITIES)
MOST_LOS = 2**15 // (LEVELS + KINDS)
"""Largest number of learning outcomes whose actions fit int16, the type in datasets: 3640."""
ACTION_KINDS = ("question", "content")
"""Kinds of action."""

Index: TypeAlias = int | np.integer[Any]
Entries: TypeAlias = Sequence[Any] | NDArray[Any]
"""Several values: a list, an array, or a column of a data frame."""


@short_repr
class DecodedAction(NamedTuple):
    """Meaning of an action, or of an array of actions (the result of `decode_action`)."""

    kind: Any
    """"question" or "content"; for actions of any shape, an array of that shape."""
    lo: Any
    """Index of the learning outcome."""
    level: Any
    """Difficulty of the question ("Easy", "Medium" or "Hard"), or modality of the content, such as "video"."""


def num_actions(num_los: int) -> int:
    """Return the number of actions for `num_los` learning outcomes: 3 questions and 6 contents each."""
    return (LEVELS + KINDS) * num_los


def question_action(lo: Any, difficulty: Any) -> Any:
    """Return the action that asks a question of `difficulty` (0 Easy, 1 Medium, 2 Hard) about learning outcome `lo`.

    The arguments are integers or arrays of integers. They are not checked.
    """
    return lo * LEVELS + difficulty


def content_action(lo: Any, modality: Any, num_los: Any) -> Any:
    """Return the action that shows a content of `modality` (index into MODALITIES) about learning outcome `lo`.

    The arguments are integers or arrays of integers. They are not checked.
    """
    return LEVELS * num_los + lo * KINDS + modality


@overload
def encode_action(  # type: ignore[overload-overlap]  # a str is a sequence, too
    kind: str, lo: Index, level: str | Index, num_los: int
) -> int: ...
@overload
def encode_action(kind: str | Entries, lo: Index | Entries, level: str | Index | Entries, num_los: int) -> Longs: ...


def encode_action(kind: str | Entries, lo: Index | Entries, level: str | Index | Entries, num_los: int) -> int | Longs:
    """Return the action of a kind and a level about a learning outcome.

    kind     "question" or "content"
    lo       index of the learning outcome, in [0, num_los)
    level    difficulty of a question ("Easy", "Medium", "Hard"), or modality of a content ("video", "PPT", "text",
             "blog", "article", "handout"); or its index
    num_los  number of learning outcomes L of the environment

    The first three arguments may be arrays, whose shapes are broadcast. Returns an int64 array of that shape, or an
    int if all three are scalars. `decode_action` is the inverse. Raises ValueError for any other value.
    """
    num_los = _read_num_los(num_los)
    asks = _codes(kind, ACTION_KINDS, "kind", indices=False) == 0
    los, levels = _indices(lo, num_los, "lo"), _array(level, "level")
    shapes = ", ".join(map(str, map(np.shape, (asks, los, levels))))
    try:
        asks, los, levels = np.broadcast_arrays(asks, los, levels)
    except ValueError:
        raise AlsimError(
            f"kind, lo and level must be scalars or arrays of shapes that broadcast; got the shapes {shapes}"
        ) from None
    codes = np.empty(los.shape, np.int64)
    codes[asks] = _codes(levels[asks], DIFFICULTIES, "the level of a question")
    codes[~asks] = _codes(levels[~asks], MODALITIES, "the level of a content")
    actions: Any = np.where(asks, question_action(los, codes), content_action(los, codes, num_los))
    return actions if actions.ndim else int(actions)


def decode_action(action: Index | Entries, num_los: int) -> DecodedAction:
    """Return the meaning of an action: its kind, its learning outcome, and its difficulty or modality.

    action   integer in [0, 9 num_los), or an array of them
    num_los  number of learning outcomes L of the environment

    For an array, each field of the result is an array of its shape. `encode_action(*decoded, num_los)` is the inverse.
    The method `decode_action` of the environment returns the same as a dictionary, with indices instead of words.

    Raises ValueError for any other value.
    """
    num_los = _read_num_los(num_los)
    asks, lo, code = split_actions(_indices(action, num_actions(num_los), f"an action for {num_los} LOs"), num_los)
    kind = np.where(asks, *ACTION_KINDS)
    level = np.array(DIFFICULTIES + MODALITIES)[np.where(asks, code, LEVELS + code)]
    if lo.ndim:
        return DecodedAction(kind, lo, level)
    return DecodedAction(str(kind), int(lo), str(level))


def action_meanings(num_los: int) -> list[dict[str, Any]]:
    """Return a dictionary that describes each action.

    The keys are "type" ("question" or "content"), "lo", and "difficulty" of a question or "modality" of a content. All
    values but the type are indices.
    """
    columns = split_actions(np.arange(num_actions(num_los)), num_los)
    return list(map(_meaning, *map(np.ndarray.tolist, columns)))


def _meaning(asks: bool, lo: int, level: int) -> dict[str, Any]:
    """Return the dictionary that describes one action."""
    if asks:
        return {"type": "question", "lo": lo, "difficulty": level}
    return {"type": "content", "lo": lo, "modality": level}


def split_actions(actions: Longs, num_los: int) -> tuple[Bools, Longs, Longs]:
    """Return whether each action is a question, its learning outcome, and the index of its difficulty or modality.

    The actions are not checked.
    """
    contents = actions - LEVELS * num_los
    asks = contents < 0
    lo = np.where(asks, actions // LEVELS, contents // KINDS)
    return asks, lo, np.where(asks, actions % LEVELS, contents % KINDS)


def _read_num_los(value: Any) -> int:
    """Return a number of learning outcomes as an int. Raises ValueError or TypeError for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputTypeError(f"num_los must be an integer, the number of learning outcomes; got {value!r}")
    if value < 1:
        raise AlsimError(f"num_los must be at least 1; got {value}")
    return int(value)


def _array(values: Any, name: str) -> NDArray[Any]:
    """Return values as an array. Raises ValueError for nested lists of different lengths."""
    try:
        return np.asarray(values)
    except ValueError:
        raise AlsimError(
            f"{name} must be a scalar or an array; got lists of different lengths, {values!r}; make the lengths equal"
        ) from None


def _indices(values: Any, size: int, name: str) -> Longs:
    """Return integers in [0, size) as an array. Raises ValueError for any other value."""
    array = _array(values, name)
    if array.dtype == object:  # a list of integers too large for int64, or of other objects
        array = _array(array.tolist(), name)
    if array.dtype.kind in "iu":
        valid = (array >= 0) & (array < size)
    else:
        valid = np.vectorize(_is_index, otypes=[np.bool_])(array, size)
    if not np.all(valid):
        raise AlsimError(f"{name} must be an integer in [0, {size}); got {array[~valid].tolist()[0]!r}")
    return array.astype(np.int64)


def _is_index(value: Any, size: int) -> bool:
    """Return whether a value is a Python integer in [0, size)."""
    return type(value) is int and 0 <= value < size


def _codes(values: Any, words: tuple[str, ...], name: str, *, indices: bool = True) -> Longs:
    """Return the index in `words` of each value, which is a word or, if `indices`, an index.

    Raises ValueError for any other value.
    """
    array = _array(values, name)
    if array.dtype.kind in "OT":  # columns of data frames
        array = array.astype(str)
    codes, valid = np.zeros(array.shape, np.int64), np.zeros(array.shape, np.bool_)
    if array.dtype.kind == "U":
        matches = array[..., np.newaxis] == np.array(words)
        codes, valid = matches.argmax(axis=-1), matches.any(axis=-1)
    elif indices and array.dtype.kind in "iu":
        codes, valid = array.astype(np.int64), (array >= 0) & (array < len(words))
    if not np.all(valid):
        listed = ", ".join(map(repr, words)) + (f" or an index in [0, {len(words)})" if indices else "")
        raise AlsimError(f"{name} must be one of {listed}; got {array[~valid].tolist()[0]!r}")
    return codes
