"""Easy questions on the weakest LO, and videos for frustrated learners."""

from __future__ import annotations

from typing import NamedTuple

from alsim.jit.compile import rule
from alsim.policies.compiled import PolicyInput, PolicyWords, RulePolicy, content_action, question_action, weakest
from alsim.types import DIFFICULTIES, MODALITIES, Floats, f32, f64, i64, u64

EASY, VIDEO = i64(DIFFICULTIES.index("Easy")), i64(MODALITIES.index("video"))
CERTAIN = f64(1)


class Thresholds(NamedTuple):
    """Thresholds of the policy for the weakest LO."""

    video_above: float = 0.5  # frustration above which a video is shown instead of a question


@rule
def ask_weakest(p: Thresholds, observation: Floats, inputs: PolicyInput, words: PolicyWords) -> tuple[i64, f64]:
    """Return an Easy question on the weakest LO, or its video, and the probability 1."""
    lo = weakest(observation, inputs)
    frustration: f32 = observation[inputs.row + u64(inputs.num_los)]
    question, video = question_action(inputs, lo, EASY), content_action(inputs, lo, VIDEO)
    return video if frustration > p.video_above else question, CERTAIN


class Weakest(RulePolicy):
    """Policy that asks an Easy question on the weakest LO.

    The weakest LO is the first one with the lowest mastery. At frustration above 1/2, the policy shows the video of
    this LO instead.
    """

    name = "weakest"
    parameters = Thresholds()
    choose = ask_weakest
    reads = "mastery"
