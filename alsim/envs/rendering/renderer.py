"""Rendering of an environment: its modes, and frames in the form that each mode returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from alsim.envs.rendering.ansi import panel
from alsim.envs.rendering.frame import Frame
from alsim.envs.rendering.recorder import EpisodeRecorder
from alsim.errors import AlsimError
from alsim.simulator.simulator import Simulator
from alsim.types import Longs

RENDER_MODES = ("ansi", "rgb_array")
RENDER_FPS = 4
"""Frames per second of videos: an episode of 140 interactions takes 35 seconds.

A power of two: moviepy adds up the duration of the frames, and otherwise rounds away the last one of many videos.
"""

MANY_LANES = 64
"""Most lanes whose pictures are drawn without a warning."""

Rendered = str | NDArray[np.uint8]
"""A frame: a text panel ("ansi"), or a picture (H, W, 3) ("rgb_array")."""


def render_metadata() -> dict[str, Any]:
    """Return the entries of an environment's metadata about rendering."""
    return {"render_modes": list(RENDER_MODES), "render_fps": RENDER_FPS}


def read_render_mode(mode: Any) -> str | None:
    """Return a valid render mode. Raises ValueError."""
    if mode is None:
        return None
    for known in RENDER_MODES:
        if isinstance(mode, str) and mode == known:
            return known
    raise AlsimError(
        f"render_mode must be None or one of {', '.join(map(repr, RENDER_MODES))}; got {mode!r}: for a window, "
        "gymnasium.make(..., render_mode='human') shows the pictures of 'rgb_array'"
    )


class Renderer:
    """Rendering of the lanes of a simulator. An environment has one only if it has a render mode.

    mode       "ansi" or "rgb_array"
    simulator  the simulator of the environment, which records interactions
    single     the environment is the single one: frames have no lane
    """

    def __init__(self, mode: str, simulator: Simulator, *, single: bool) -> None:
        self._mode = mode
        self._single = single
        self._lanes = simulator.lanes
        self._recorder = EpisodeRecorder(simulator)
        self._warned = False

    def begin(self, lanes: Longs) -> None:
        """Record the start of the episodes in `lanes` (M,)."""
        self._recorder.begin(lanes)

    def record(
        self, stepped: Simulator, reward: NDArray[Any], reason: NDArray[Any], lanes: Longs | None = None
    ) -> None:
        """Record a step, see `EpisodeRecorder.record`."""
        self._recorder.record(stepped, reward, reason, lanes)

    def forget(self) -> None:
        """Forget the episodes, after a snapshot was restored."""
        self._recorder.forget()

    def frames(self) -> Sequence[Frame]:
        """Return the frame of each lane, as data."""
        return [self._recorder.frame(lane, single=self._single) for lane in range(self._lanes)]

    def render(self) -> tuple[Rendered, ...]:
        """Return the frame of each lane, as text or picture. Raises MissingExtra without Pillow."""
        if self._mode == "ansi":
            return tuple(map(panel, self.frames()))
        from alsim.envs.rendering.dashboard import draw

        first, *others = self.frames()
        pictures = [draw(first)]
        if self._lanes > MANY_LANES and not self._warned:
            self._warned = True
            gymnasium.logger.warn(
                f"render() draws a picture of each of the {self._lanes} lanes, "
                f"{self._lanes * pictures[0].nbytes / 1e6:,.0f} MB in total: create an environment with fewer lanes "
                "for videos"
            )
        return (*pictures, *map(draw, others))


def render(renderer: Renderer | None, *, was_reset: bool, maker: str) -> tuple[Rendered, ...] | None:
    """Return the frames of an environment's lanes.

    renderer   of the environment; None if it has no render mode: a warning is given, and None is returned
    was_reset  whether the environment was reset
    maker      function that makes such an environment, for the warning

    Raises gymnasium.error.ResetNeeded before the first reset.
    """
    if renderer is None:
        gymnasium.logger.warn(
            "render() returns None, because the environment has no render mode: create it with "
            f'gymnasium.{maker}("alsim/AdaptiveLearning-v0", render_mode="rgb_array") or render_mode="ansi"'
        )
        return None
    if not was_reset:
        raise ResetNeeded("call reset() before render()")
    return renderer.render()
