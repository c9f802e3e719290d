"""LOs in their order, each until its mastery reaches a threshold."""

from __future__ import annotations

from typing import NamedTuple

from alsim.jit.compile import rule
from alsim.mdp.actions import LEVELS
from alsim.policies.compiled import PolicyInput, PolicyWords, RulePolicy, content_action, question_action, weakest
from alsim.policies.sampling import read_number
from alsim.types import MODALITIES, Floats, f32, f64, i64, u64

VIDEO = i64(MODALITIES.index("video"))
CERTAIN = f64(1)


class Gate(NamedTuple):
    """Thresholds of the policy that teaches one LO after the other."""

    threshold: float = 0.8  # mastery from which the next LO is taught; the mastery threshold of clause S7.1
    video_above: float = 0.5  # frustration above which a video is shown instead of a question


@rule
def teach_in_order(p: Gate, observation: Floats, inputs: PolicyInput, words: PolicyWords) -> tuple[i64, f64]:
    """Return a question on the first LO below the threshold, or its video, and the probability 1."""
    lo = inputs.num_los
    for k in range(inputs.num_los):
        below = observation[inputs.row + u64(k)] < p.threshold
        lo = min(lo, i64(k) if below else inputs.num_los)
    if lo == inputs.num_los:  # all are at the threshold
        lo = weakest(observation, inputs)
    # Thirds of the way to the threshold; Hard at the threshold, too.
    share = f32(LEVELS) * observation[inputs.row + u64(lo)]
    level = i64(share >= p.threshold) + i64(share >= p.threshold + p.threshold)
    frustration: f32 = observation[inputs.row + u64(inputs.num_los)]
    video = content_action(inputs, lo, VIDEO)
    return video if frustration > p.video_above else question_action(inputs, lo, level), CERTAIN


class MasteryGated(RulePolicy):
    """Policy that teaches the first LO below a mastery threshold.

    The question is Easy in the first third of the way from 0 to the threshold, Medium in the second, and Hard in the
    last. At frustration above 1/2, the policy shows the video of this LO instead. Once all LOs have reached the
    threshold, it teaches the weakest one.

    threshold  mastery from which the next LO is taught, in (0, 1]

    Raises AlsimError for another threshold.
    Source: Bloom (1968), Learning for mastery, Evaluation Comment 1(2), for the gate.
    """

    name = "mastery-gated"
    parameters = Gate()
    choose = teach_in_order
    reads = "mastery"

    def __init__(self, threshold: float = Gate().threshold) -> None:
        self.parameters = Gate(threshold=read_number(self.name, "threshold", threshold, positive=True))
        if self.parameters != type(self).parameters:
            self.name = f"{self.name}:{self.parameters.threshold!r}"
