"""Infos of a step: arrays with masks, as Gymnasium has them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from alsim.simulator import step as step_kernels
from alsim.simulator.simulator import Simulator
from alsim.types import Bools, Codes, Floats, Interaction

Info = Literal["none", "minimal", "full"]
INFOS: tuple[Info, ...] = ("none", "minimal", "full")


class Infos:
    """What the infos of steps tell.

    mode     step_kernels.NEXT_STEP, SAME_STEP or DISABLED
    info     "none", "minimal" or "full"
    num_los  learning outcomes L
    width    numbers of an observation R
    """

    def __init__(self, mode: int, info: Info, num_los: int, width: int) -> None:
        self._mode = mode
        self._info = info
        self._num_los = num_los
        self._width = width

    def of(self, simulator: Simulator, reason: Codes, live: Bools, final: Floats, count: int) -> dict[str, Any]:
        """Return the infos of a step of a simulator's first M lanes.

        reason  (M,)
        live    (M,)
        final   (M * R,) at least, last observations, under SAME_STEP
        count   lanes that were begun anew
        """
        if self._mode == step_kernels.SAME_STEP and count > 0:
            return _infos_of_ended(self._columns(simulator, reason), reason != 0, final.reshape(-1, self._width))
        if self._mode == step_kernels.NEXT_STEP and count == len(reason):
            return {}  # Gymnasium leaves out what no lane has
        if self._info == "minimal":
            return {"termination_reason": reason, "_termination_reason": live}
        columns = self._columns(simulator, reason)
        if self._mode == step_kernels.NEXT_STEP and count > 0:
            columns = {key: np.where(live, column, column.dtype.type(0)) for key, column in columns.items()}
        return _masked(columns, live)

    def _columns(self, simulator: Simulator, reason: Codes) -> dict[str, NDArray[Any]]:
        """Return what infos tell of a step, (M,) each."""
        if self._info == "none":
            return {}
        return {"termination_reason": reason} | (
            self._full(simulator.interaction, len(reason)) if self._info == "full" else {}
        )

    def _full(self, happened: Interaction, lanes: int) -> dict[str, NDArray[Any]]:
        """Return what happened in the last step of the first M lanes, (M,) each."""
        first: list[Any] = [column[:lanes] for column in happened]
        now = Interaction(*first)
        return {
            "item": now.item.copy(),
            "correct": now.correct.copy(),
            "mastery_gain": now.gain.copy(),
            "frustration": now.frustration.copy(),
            "response_time": now.seconds.copy(),
            "fail_streak": now.fail_streak.copy(),
            "engagement": np.float32(1) - now.frustration,
            "ability": now.ability.copy(),
            "mean_mastery": now.mastery_sum / self._num_los,
            "step": now.step.copy(),
        }


def _infos_of_ended(columns: dict[str, NDArray[Any]], ended: NDArray[np.bool_], last: Floats) -> dict[str, Any]:
    """Return the infos of a step in which episodes ended and others began at once.

    ended  (M,)
    last   (M, R) at least, last observations
    """
    lanes = np.flatnonzero(ended)
    final = {key: np.zeros_like(column) for key, column in columns.items()}
    current = {key: column.copy() for key, column in columns.items()}
    for key, column in columns.items():
        final[key][lanes] = column[lanes]
        current[key][lanes] = 0
    rows = np.empty(len(ended), dtype=object)  # of None
    for lane, row in zip(lanes.tolist(), last[lanes], strict=True):
        rows[lane] = row
    going_on = ~ended
    infos = _masked(current, going_on) if len(lanes) < len(ended) else {}
    infos |= {
        "final_obs": rows,
        "_final_obs": ended,
        "final_info": _masked(final, ended.copy()),
        "_final_info": ended.copy(),
    }
    return infos


def _masked(columns: dict[str, NDArray[Any]], mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return columns, each beside a mask of its own: the first gets `mask` itself."""
    infos: dict[str, Any] = {}
    for key, column in columns.items():
        infos[key] = column
        infos[f"_{key}"] = mask.copy() if infos.keys() > {key} else mask
    return infos
