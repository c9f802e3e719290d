"""Infos of a step, in Gymnasium's layout: each key has an array over lanes, and a mask."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from alsim.simulator import step as step_kernels
from alsim.simulator.simulator import Simulator
from alsim.types import Bools, Codes, Floats, Interaction, Reason

InfoLevel = Literal["none", "minimal", "full"]
INFO_LEVELS: tuple[InfoLevel, ...] = ("none", "minimal", "full")

REASON_WORDS = {int(reason): reason.word for reason in Reason}
"""The specification's name of each termination reason, by code; None for 0, while the episode continues."""


class InfoBuilder:
    """Builder of the infos that a step returns.

    mode     autoreset mode: step_kernels.NEXT_STEP, SAME_STEP or DISABLED
    level    "none", "minimal" or "full"
    num_los  number of learning outcomes L
    width    length of an observation R
    """

    def __init__(self, mode: int, level: InfoLevel, num_los: int, width: int) -> None:
        self._mode = mode
        self._level = level
        self._num_los = num_los
        self._width = width

    def build(self, simulator: Simulator, reason: Codes, live: Bools, final: Floats, count: int) -> dict[str, Any]:
        """Return the infos of a step of a simulator's first M lanes.

        reason  codes of termination reasons (M,); 0 while the episode continues
        live    True for lanes that were stepped, False for lanes that were only reset, (M,)
        final   (M * R,) or longer: last observations of the episodes that ended, under SAME_STEP
        count   number of lanes that were reset in this step; without autoreset, of those whose episode ended
        """
        if self._mode == step_kernels.SAME_STEP and count > 0:
            return _infos_with_final(self._columns(simulator, reason), reason != 0, final.reshape(-1, self._width))
        if self._mode == step_kernels.NEXT_STEP and count == len(reason):
            return {}  # Gymnasium omits a key that no lane has
        if self._level == "minimal":
            return {"termination_reason": reason, "_termination_reason": live}
        columns = self._columns(simulator, reason)
        if self._mode == step_kernels.NEXT_STEP and count > 0:
            columns = {key: np.where(live, column, column.dtype.type(0)) for key, column in columns.items()}
        return _with_masks(columns, live)

    def _columns(self, simulator: Simulator, reason: Codes) -> dict[str, NDArray[Any]]:
        """Return the arrays of the infos at this level, (M,) each, without masks."""
        if self._level == "none":
            return {}
        return {"termination_reason": reason} | (
            self._full_columns(simulator.interaction, len(reason)) if self._level == "full" else {}
        )

    def _full_columns(self, interaction: Interaction, lanes: int) -> dict[str, NDArray[Any]]:
        """Return the last interaction of the first M lanes as new arrays, (M,) each."""
        first: list[Any] = [column[:lanes] for column in interaction]
        last = Interaction(*first)
        return {
            "item": last.item.copy(),
            "correct": last.correct.copy(),
            "mastery_gain": last.gain.copy(),
            "frustration": last.frustration.copy(),
            "response_time": last.seconds.copy(),
            "fail_streak": last.fail_streak.copy(),
            "engagement": np.float32(1) - last.frustration,
            "ability": last.ability.copy(),
            "mean_mastery": last.mastery_sum / self._num_los,
            "step": last.step.copy(),
        }


def _infos_with_final(columns: dict[str, NDArray[Any]], ended: NDArray[np.bool_], last: Floats) -> dict[str, Any]:
    """Return the infos of a step in which episodes ended and the next ones started at once.

    columns  infos of the step without masks, (M,) each
    ended    True for lanes whose episode ended, (M,)
    last     (M, R) or longer: last observations of the episodes that ended
    """
    lanes = np.flatnonzero(ended)
    final = {key: np.zeros_like(column) for key, column in columns.items()}
    current = {key: column.copy() for key, column in columns.items()}
    for key, column in columns.items():
        final[key][lanes] = column[lanes]
        current[key][lanes] = 0
    rows = np.empty(len(ended), dtype=object)  # filled with None
    for lane, row in zip(lanes.tolist(), last[lanes], strict=True):
        rows[lane] = row
    infos = _with_masks(current, ~ended) if len(lanes) < len(ended) else {}
    infos |= {
        "final_obs": rows,
        "_final_obs": ended,
        "final_info": _with_masks(final, ended.copy()),
        "_final_info": ended.copy(),
    }
    return infos


def _with_masks(columns: dict[str, NDArray[Any]], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the columns, each with its own mask. The first column gets `mask` itself, the others get copies."""
    infos: dict[str, Any] = {}
    for key, column in columns.items():
        infos[key] = column
        infos[f"_{key}"] = mask.copy() if infos.keys() > {key} else mask
    return infos
