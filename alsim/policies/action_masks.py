"""Action masks: which actions are allowed in each lane, by an array, a function of the view, or a curriculum."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from alsim.curriculum import Curriculum
from alsim.curriculum.readiness import ready_outcomes
from alsim.errors import AlsimError, InputTypeError
from alsim.mdp.actions import KINDS, LEVELS, num_actions
from alsim.policies.base import View
from alsim.types import Bools, Graph, Longs, Observation, describe
from alsim.utils.plugins import import_object

WORD = "curriculum"
"""Word that selects the curriculum of the configuration, alone or with a threshold, as in "curriculum:0.7"."""
FORMS = (
    "an array of booleans, a function of the view, 'curriculum', a Curriculum, a mapping with the keys curriculum and "
    "mastered, or the name of a function as module:function"
)
"""Valid forms of an action mask, for messages."""
MOST_ENTRIES = 1_000_000
"""Largest number of entries of a mask array in the manifest of a dataset."""
KEYS = ("curriculum", "mastered")
"""Keys of a mask that is a mapping."""


class ActionMask(Protocol):
    """Mask of the actions of N lanes."""

    def allowed(self, view: View, rows: Longs | None = None) -> Bools:
        """Return True for each allowed action, (N, A), in an array that must not be changed.

        rows  rows of a mask array that the lanes of the view have, (N,); None: rows 0 to N - 1

        Each lane that is active has at least one allowed action; rows of other lanes are undefined. Raises AlsimError
        if the mask is a function that returns something else.
        """
        ...

    def to_plain(self) -> Any:
        """Return the mask as data that JSON can represent. Raises AlsimError for a function without a name."""
        ...


class MaskRules(NamedTuple):
    """Properties of an environment or a rollout that its mask depends on."""

    outcomes: Sequence[str]
    """Names of the L learning outcomes."""
    curriculum: Curriculum | None
    """Curriculum of the configuration."""
    mastered: float
    """Mastery from which an outcome counts as mastered, unless the mask says otherwise."""
    kind: Observation
    """Kind of observation."""
    rows: int
    """Number of rows of a mask array with one row per lane or learner."""
    unit: str
    """Noun for such a row, for messages."""


class FixedMask:
    """Mask that does not change: one row for all lanes, (A,), or one row for each, (rows, A)."""

    def __init__(self, mask: NDArray[Any], rules: MaskRules) -> None:
        """Check the array. Raises AlsimError for another shape or type, and for a row that allows nothing."""
        shape = (rules.rows, num_actions(len(rules.outcomes)))
        if mask.dtype != np.bool_:
            raise InputTypeError(
                f"action_mask must be booleans, True if allowed; got {mask.dtype}; convert them with astype(bool)"
            )
        if mask.shape not in (shape, shape[1:]):
            raise AlsimError(
                f"action_mask must have the shape {shape[1:]}, or {shape} with one row per {rules.unit}; "
                f"got {mask.shape}"
            )
        self._mask = mask.copy()
        self._mask.flags.writeable = False
        blocked = ~np.atleast_2d(self._mask).any(axis=1)
        if blocked.any():
            place = "" if mask.ndim == 1 else f" in row {int(np.argmax(blocked))}"
            raise AlsimError(f"action_mask must allow at least one action{place}; got only False; allow an action")

    def allowed(self, view: View, rows: Longs | None = None) -> Bools:
        """Return True for each allowed action, (N, A)."""
        if self._mask.ndim == 1:
            return np.broadcast_to(self._mask, (view.num_lanes, len(self._mask)))
        return self._mask if rows is None else self._mask[rows]

    def to_plain(self) -> Any:
        """Return the rows as lists. Raises AlsimError for a very large array."""
        if self._mask.size > MOST_ENTRIES:
            raise AlsimError(
                f"an action mask that is recorded must have at most {MOST_ENTRIES:,} entries; got {self._mask.size:,}; "
                "use one row for all learners, or a function of the view"
            )
        return self._mask.tolist()


class CurriculumMask:
    """Mask that allows the actions about ready LOs: not mastered, with prerequisites that are all mastered.

    A learner who has mastered every LO may get any action.

    curriculum  prerequisites of the LOs
    mastered    mastery from which an LO counts as mastered, in (0, 1]
    graph       the same prerequisites as arrays
    """

    def __init__(self, curriculum: Curriculum, mastered: float, graph: Graph) -> None:
        self.curriculum, self.mastered, self._graph = curriculum, mastered, graph

    def allowed(self, view: View, rows: Longs | None = None) -> Bools:
        """Return True for each allowed action, (N, A)."""
        ready = ready_outcomes(view.mastery, self._graph, self.mastered)
        learns_nothing: Bools = np.logical_not(ready.any(axis=1))
        return actions_about(ready | learns_nothing[:, np.newaxis])

    def to_plain(self) -> Any:
        """Return the edges and the threshold."""
        return {WORD: [list(edge) for edge in self.curriculum.edges], "mastered": self.mastered}


class FunctionMask:
    """Mask by a function of the view, f(view) -> (N, A) or (A,), True for allowed actions.

    function  the function
    """

    def __init__(self, function: Callable[[View], Any]) -> None:
        self.function = function

    def __repr__(self) -> str:
        """Return the name of the function."""
        return f"<FunctionMask: {_title(self.function)}>"

    def allowed(self, view: View, rows: Longs | None = None) -> Bools:
        """Return True for each allowed action, (N, A). Raises AlsimError for an invalid result of the function."""
        title = _title(self.function)
        try:
            mask = np.asarray(self.function(view))
        except Exception as error:  # the code of a user may raise any exception
            error.add_note(f"raised by the action mask {title}")
            raise
        shape = (view.num_lanes, view.num_actions)
        if mask.dtype != np.bool_ or mask.shape not in (shape, shape[1:]):
            raise AlsimError(
                f"the action mask {title} must return booleans of the shape {shape} or {shape[1:]}; got {mask.dtype} "
                f"of shape {mask.shape}; return True for allowed actions"
            )
        mask = np.broadcast_to(mask, shape)
        blocked = view.active & ~mask.any(axis=1)
        if blocked.any():
            raise AlsimError(
                f"the action mask {title} allows no action in lane {int(np.argmax(blocked))}; allow at least one, or "
                "end the episode earlier, by the thresholds of the configuration"
            )
        return mask

    def to_plain(self) -> Any:
        """Return the reference to the function. Raises AlsimError if there is none."""
        if not (name := reference_of(self.function)):
            raise AlsimError(
                f"the action mask {_title(self.function)} cannot be recorded, since it cannot be imported by name; "
                "define it at the top level of a module, and pass it as 'module:function'"
            )
        return name


def read_action_mask(action_mask: Any, rules: MaskRules) -> ActionMask | None:
    """Return a mask from one of its forms (see FORMS), or None. Raises AlsimError for an invalid one."""
    if action_mask is None:
        return None
    if isinstance(action_mask, str):
        word, colon, rest = action_mask.partition(":")
        if word == WORD:
            return _curriculum_mask({"mastered": _number(rest)} if colon else {}, rules)
        return _named_function(action_mask)
    if isinstance(action_mask, Curriculum):
        return _curriculum_mask({WORD: action_mask}, rules)
    if isinstance(action_mask, Mapping):
        return _curriculum_mask(action_mask, rules)
    if callable(action_mask):
        return FunctionMask(action_mask)
    if isinstance(action_mask, np.ndarray | list | tuple) or hasattr(action_mask, "__array__"):
        return FixedMask(_array(action_mask), rules)
    raise InputTypeError(f"action_mask must be {FORMS}; got {describe(action_mask)}")


def actions_about(los: Bools) -> Bools:
    """Return True for each action about the LOs of each lane, (N, A), from True for each of these LOs, (N, L)."""
    return np.concatenate([np.repeat(los, LEVELS, axis=1), np.repeat(los, KINDS, axis=1)], axis=1)


def los_with_actions(allowed: Bools) -> Bools:
    """Return True for each LO about which an action is allowed, (N, L), from the allowed actions, (N, A)."""
    lanes, los = len(allowed), allowed.shape[1] // (LEVELS + KINDS)
    questions, contents = allowed[:, : LEVELS * los], allowed[:, LEVELS * los :]
    asked, shown = questions.reshape(lanes, los, LEVELS), contents.reshape(lanes, los, KINDS)
    return np.asarray(asked.any(axis=2) | shown.any(axis=2))


def plain_form(value: Any) -> Any:
    """Return a form of a mask that JSON can represent, for a Curriculum and a function with a name; otherwise None."""
    if isinstance(value, Curriculum):
        return {WORD: [list(edge) for edge in value.edges]}
    return reference_of(value) or None if isinstance(value, FunctionType) else None


def reference_of(function: Any) -> str:
    """Return the name of a function as module:function, "" if another process could not import it by that name."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not name or module == "__main__" or not all(part.isidentifier() for part in name.split(".")):
        return ""
    try:
        found = import_object(f"{module}:{name}")
    except AlsimError:
        return ""
    return f"{module}:{name}" if found is function else ""


def _curriculum_mask(options: Mapping[Any, Any], rules: MaskRules) -> CurriculumMask:
    """Return the mask of a curriculum, that of the configuration unless the options have one. Raises AlsimError."""
    for key in options:
        if key not in KEYS:
            raise AlsimError(f"an action_mask that is a mapping has the keys {' and '.join(KEYS)}; got {key!r}")
    given = options.get(WORD)
    curriculum = rules.curriculum if given is None else Curriculum.read(given)
    if curriculum is None:
        raise AlsimError(
            "action_mask='curriculum' needs a curriculum, and the configuration has none; set its key curriculum, or "
            "pass a Curriculum as action_mask"
        )
    if rules.kind != "mastery":
        raise AlsimError(
            f"an action_mask by a curriculum needs observation='mastery'; got {rules.kind!r}, which hides the mastery; "
            "pass a function of the view that estimates it"
        )
    mastered = options.get("mastered")
    threshold = rules.mastered if mastered is None else mastered
    if isinstance(threshold, bool) or not isinstance(threshold, int | float | np.number) or not 0 < threshold <= 1:
        raise AlsimError(f"mastered must be a mastery in (0, 1], from which an outcome is mastered; got {threshold!r}")
    return CurriculumMask(curriculum, float(threshold), curriculum.graph(rules.outcomes))


def _named_function(name: str) -> FunctionMask:
    """Return the mask by a function that is named module:function. Raises AlsimError for another name."""
    if ":" not in name:
        raise AlsimError(f"action_mask must be {FORMS}; got {name!r}; did you mean 'curriculum'?")
    function = import_object(name)
    if not callable(function) or isinstance(function, type):
        raise InputTypeError(f"action_mask must be {FORMS}; {name!r} is {describe(function)}; name a function")
    return FunctionMask(function)


def _number(text: str) -> Any:
    """Return the number in a text, or the text itself, which then raises an error."""
    try:
        return float(text)
    except ValueError:
        return text


def _array(values: Any) -> NDArray[Any]:
    """Return values as an array. Raises InputTypeError for rows of different lengths."""
    try:
        return np.asarray(values)
    except ValueError:
        raise InputTypeError("action_mask must have rows of equal length; got lists of different lengths") from None


def _title(function: Any) -> str:
    """Return the name of a function, for messages."""
    return repr(getattr(function, "__name__", None) or type(function).__name__)


__all__ = [
    "ActionMask",
    "CurriculumMask",
    "FixedMask",
    "FunctionMask",
    "MaskRules",
    "actions_about",
    "los_with_actions",
    "plain_form",
    "read_action_mask",
    "reference_of",
]
