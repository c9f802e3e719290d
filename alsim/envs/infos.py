"""Infos of resets and steps, in Gymnasium's layout: each key has an array over lanes, and a mask."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError
from alsim.simulator import step as step_kernels
from alsim.simulator.simulator import Simulator
from alsim.types import Bools, Codes, Floats, Interaction, Longs, Reason

InfoLevel = Literal["none", "minimal", "full", "flat"]
INFO_LEVELS: tuple[InfoLevel, ...] = ("none", "minimal", "full", "flat")
RECORDED: tuple[InfoLevel, ...] = ("full", "flat")
"""Levels for which the simulator must record the interactions."""

UNDEFINED = -1
"""Value of an integer that is undefined in flat infos. Undefined floats are NaN."""

REASON_WORDS = {int(reason): reason.word for reason in Reason}
"""The specification's name of each termination reason, by code; None for 0, while the episode continues."""


def read_info_level(info: str) -> InfoLevel:
    """Return the level of the infos. Raises ValueError for an unknown level."""
    for level in INFO_LEVELS:
        if info == level:
            return level
    raise AlsimError(f"info must be one of {', '.join(map(repr, INFO_LEVELS))}; got {info!r}")


class InfoBuilder:
    """Builder of the infos that a reset or a step returns.

    mode     autoreset mode: step_kernels.NEXT_STEP, SAME_STEP or DISABLED
    level    "none", "minimal", "full" or "flat"
    num_los  number of learning outcomes L
    width    length of an observation R
    """

    def __init__(self, mode: int, level: InfoLevel, num_los: int, width: int) -> None:
        self._mode = mode
        self._level = level
        self._num_los = num_los
        self._width = width

    def at_reset(self, simulator: Simulator, was_reset: Bools) -> dict[str, Any]:
        """Return the infos of a reset of some lanes of a simulator.

        was_reset  True for lanes that were reset, (N,). The flat infos of other lanes are valid, too, but masked
        """
        if self._level != "flat":
            return {}
        lanes = len(was_reset)
        columns = flat_columns(simulator, np.zeros(lanes, np.int8), np.zeros(lanes, np.bool_), self._num_los)
        return _with_masks(columns, was_reset)

    def build(
        self,
        simulator: Simulator,
        reason: Codes,
        live: Bools,
        final: Floats,
        count: int,
        lanes: Longs | None = None,
    ) -> dict[str, Any]:
        """Return the infos of a step of a simulator's first M lanes.

        reason  codes of termination reasons (M,); 0 while the episode continues
        live    True for lanes that were stepped, False for lanes that were only reset, (M,)
        final   (M * R,) or longer: last observations of the episodes that ended, under SAME_STEP
        count   number of lanes that were reset in this step; without autoreset, of those whose episode ended
        lanes   (M,) the environment's lanes that they are; None: all of them
        """
        if self._level == "flat":
            return self._build_flat(simulator, reason, live, final, count)
        if self._mode == step_kernels.SAME_STEP and count > 0:
            columns, ended = self._columns(simulator, reason), reason != 0
            final_columns = {key: _where(ended, column, 0) for key, column in columns.items()}
            current = {key: _where(~ended, column, 0) for key, column in columns.items()}
            infos = {} if ended.all() else _with_masks(current, ~ended)
            return infos | _final_infos(final_columns, ended, final.reshape(-1, self._width))
        if self._mode == step_kernels.NEXT_STEP and count == len(reason):
            return {}  # Gymnasium omits a key that no lane has
        if self._level == "minimal":
            return {"termination_reason": reason, "_termination_reason": live}
        columns = self._columns(simulator, reason)
        if self._mode == step_kernels.NEXT_STEP and count > 0:
            columns = {key: _where(live, column, 0) for key, column in columns.items()}
        return _with_masks(columns, live)

    def _build_flat(
        self, simulator: Simulator, reason: Codes, live: Bools, final: Floats, count: int
    ) -> dict[str, Any]:
        """Return the flat infos of a step, see `build`. The infos of every lane are valid.

        Under SAME_STEP, a lane whose episode ended has the infos of its reset, as in Gymnasium. Those of the step are
        in `final_info`.
        """
        valid = np.ones(len(reason), np.bool_)
        if self._mode != step_kernels.SAME_STEP or count == 0:
            return _with_masks(flat_columns(simulator, reason, live, self._num_los), valid)
        ended = reason != 0
        current = flat_columns(simulator, np.zeros_like(reason), ~ended, self._num_los)
        final_columns = _flat_final_columns(simulator, reason, self._num_los)
        return _with_masks(current, valid) | _final_infos(final_columns, ended, final.reshape(-1, self._width))

    def _columns(self, simulator: Simulator, reason: Codes) -> dict[str, NDArray[Any]]:
        """Return the arrays of the infos at this level, (M,) each, without masks."""
        if self._level == "none":
            return {}
        return {"termination_reason": reason} | (
            _full_columns(simulator, len(reason), self._num_los) if self._level == "full" else {}
        )


def _first_lanes(interaction: Interaction, lanes: int) -> Interaction:
    """Return views of the first M lanes."""
    columns: list[Any] = [column[:lanes] for column in interaction]
    return Interaction(*columns)


def _full_columns(simulator: Simulator, lanes: int, num_los: int) -> dict[str, NDArray[Any]]:
    """Return the last interaction of the first M lanes as new arrays, (M,) each."""
    last = _first_lanes(simulator.interaction, lanes)
    return {
        "item": last.item.copy(),
        "correct": last.correct.copy(),
        "mastery_gain": last.gain.copy(),
        "frustration": last.frustration.copy(),
        "response_time": last.seconds.copy(),
        "fail_streak": last.fail_streak.copy(),
        "engagement": np.float32(1) - last.frustration,
        "ability": last.ability.copy(),
        "mean_mastery": last.mastery_sum / num_los,
        "step": last.step.copy(),
    }


def _flat_final_columns(simulator: Simulator, reason: Codes, num_los: int) -> dict[str, NDArray[Any]]:
    """Return the flat columns of the episodes that ended; those of other lanes are undefined.

    reason  codes of termination reasons (M,); 0 in lanes whose episode continues
    """
    ended = reason != 0
    columns = {"termination_reason": reason} | _full_columns(simulator, len(reason), num_los)
    columns["correct"] = _flat_correct(columns["correct"], columns["response_time"])
    return {key: _where(ended, column, _undefined(column)) for key, column in columns.items()}


class FlatInfo(NamedTuple):
    """Entries of flat infos, in their order: arrays (M,), scalars or dtypes."""

    termination_reason: Any
    item: Any
    correct: Any  # 0 or 1; UNDEFINED for content
    mastery_gain: Any
    frustration: Any
    response_time: Any  # s
    fail_streak: Any
    engagement: Any
    ability: Any  # logits
    mean_mastery: Any
    step: Any


FLAT_DTYPES = FlatInfo(
    termination_reason=np.int8,
    item=np.int32,
    correct=np.int8,
    mastery_gain=np.float32,
    frustration=np.float32,
    response_time=np.float32,
    fail_streak=np.int32,
    engagement=np.float32,
    ability=np.float32,
    mean_mastery=np.float64,
    step=np.int32,
)


def flat_columns(simulator: Simulator, reason: Codes, live: Bools, num_los: int) -> dict[str, NDArray[Any]]:
    """Return the flat columns of the first M lanes as new arrays, (M,) each.

    reason  codes of termination reasons (M,)
    live    True for lanes with an interaction in this call, (M,); in the other lanes its columns are undefined

    The learner's state is always defined: after the interaction, or at the start of the episode.
    """
    lanes = len(reason)
    last, p = _first_lanes(simulator.interaction, lanes), simulator.learners
    columns = FlatInfo(
        termination_reason=reason,
        item=_where(live, last.item, UNDEFINED),
        correct=_where(live, _flat_correct(last.correct, last.seconds), UNDEFINED),
        mastery_gain=_where(live, last.gain, np.nan),
        frustration=p.frustration[:lanes].copy(),
        response_time=_where(live, last.seconds, np.nan),
        fail_streak=p.fail_streak[:lanes].copy(),
        engagement=np.float32(1) - p.frustration[:lanes],
        ability=p.ability[:lanes].copy(),
        mean_mastery=p.mastery_sum[:lanes] / num_los,
        step=p.step[:lanes].astype(FLAT_DTYPES.step),
    )
    return columns._asdict()


def flat_scalars(simulator: Simulator, reason: int, live: bool, num_los: int) -> dict[str, Any]:
    """Return the flat info of lane 0 as NumPy scalars: row 0 of `flat_columns`.

    For one lane, `flat_columns` takes about 12 microseconds or more, and the rest of a step takes 3.

    reason  code of the termination reason
    live    True after an interaction, False at a reset
    """
    last, p = simulator.interaction, simulator.learners
    frustration, seconds = p.frustration[0], last.seconds[0]
    answered = live and seconds == seconds  # content has no response time: NaN differs from itself
    values = FlatInfo(
        termination_reason=reason,
        item=last.item[0] if live else UNDEFINED,
        correct=last.correct[0] if answered else UNDEFINED,
        mastery_gain=last.gain[0] if live else np.nan,
        frustration=frustration,
        response_time=seconds if live else np.nan,
        fail_streak=p.fail_streak[0],
        engagement=np.float32(1) - frustration,
        ability=p.ability[0],
        mean_mastery=p.mastery_sum[0] / num_los,
        step=p.step[0],
    )
    return {key: dtype(value) for key, dtype, value in zip(FlatInfo._fields, FLAT_DTYPES, values, strict=True)}


def _flat_correct(correct: Bools, seconds: Floats) -> Codes:
    """Return 0 or 1 for a question and UNDEFINED for a content, which has no response time, (M,)."""
    return np.where(np.isnan(seconds), UNDEFINED, correct).astype(FLAT_DTYPES.correct)


def _undefined(column: NDArray[Any]) -> float:
    """Return the value of undefined entries of a flat column."""
    return np.nan if column.dtype.kind == "f" else UNDEFINED


def _where(mask: Bools, column: NDArray[Any], other: float) -> NDArray[Any]:
    """Return a new array with the entries of a column where the mask is True, and `other` elsewhere."""
    return np.where(mask, column, column.dtype.type(other))


def _final_infos(columns: dict[str, NDArray[Any]], ended: Bools, last: Floats) -> dict[str, Any]:
    """Return the last observations and infos of the episodes that ended, in Gymnasium's layout.

    columns  last infos without masks, (M,) each
    ended    True for lanes whose episode ended, (M,)
    last     (M, R) or longer: last observations of these lanes
    """
    lanes = np.flatnonzero(ended)
    rows = np.empty(len(ended), dtype=object)  # filled with None
    for lane, row in zip(lanes.tolist(), last[lanes], strict=True):
        rows[lane] = row
    return {
        "final_obs": rows,
        "_final_obs": ended,
        "final_info": _with_masks(columns, ended.copy()),
        "_final_info": ended.copy(),
    }


def _with_masks(columns: dict[str, NDArray[Any]], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the columns, each with its own mask. The first column gets `mask` itself, the others get copies."""
    infos: dict[str, Any] = {}
    for key, column in columns.items():
        infos[key] = column
        infos[f"_{key}"] = mask.copy() if infos.keys() > {key} else mask
    return infos
