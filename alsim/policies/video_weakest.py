"""Videos of the weakest LO."""

from __future__ import annotations

from typing import NamedTuple

from alsim.jit.compile import rule
from alsim.policies.compiled import PolicyInput, PolicyWords, RulePolicy, content_action, weakest
from alsim.types import MODALITIES, Floats, f64, i64

VIDEO, CERTAIN = i64(MODALITIES.index("video")), f64(1)


class NoParameters(NamedTuple):
    """Empty parameters of the policy that shows videos."""


@rule
def show_video(p: NoParameters, observation: Floats, inputs: PolicyInput, words: PolicyWords) -> tuple[i64, f64]:
    """Return the video of the weakest LO, and its probability 1."""
    return content_action(inputs, weakest(observation, inputs), VIDEO), CERTAIN


class VideoWeakest(RulePolicy):
    """Policy that shows a video of the weakest LO.

    The weakest LO is the first one with the lowest mastery. The policy asks no questions.
    """

    name = "video-weakest"
    parameters = NoParameters()
    choose = show_video
    reads = "mastery"
