"""The rule-based teacher of the specification's authors."""

from __future__ import annotations

from typing import NamedTuple

from alsim.jit.compile import rule
from alsim.mdp.actions import KINDS, LEVELS
from alsim.numerics.variates import below
from alsim.policies.compiled import PolicyInput, PolicyWords, RulePolicy, weakest
from alsim.types import MODALITIES, Floats, f32, f64, i64, u32, u64

HANDOUT, TEXT, PPT, VIDEO = (i64(MODALITIES.index(word)) for word in ("handout", "text", "PPT", "video"))
TWO, HEADS = u32(2), u32(1)
SURE, ONE_OF_TWO = f64(1), f64(0.5)


class Thresholds(NamedTuple):
    """When the teacher changes what it does."""

    frustrated: float = 0.7  # from here, content instead of a question
    slow: float = 60.0  # seconds; after an answer that took this long, too
    easy_below: float = 0.4  # mastery
    medium_below: float = 0.7  # mastery
    reading_above: float = 0.6  # frustration; handout or text instead of PPT or video


@rule
def teach(p: Thresholds, observation: Floats, seen: PolicyInput, luck: PolicyWords) -> tuple[i64, f64]:
    """Return an action on the weakest LO, and its probability: 1 for a question, 1/2 for a content."""
    lo = weakest(observation, seen)
    mastery: f32 = observation[seen.row + u64(lo)]
    frustration: f32 = observation[seen.row + u64(seen.num_los)]
    level = i64(mastery >= p.easy_below) + i64(mastery >= p.medium_below)
    heads = below(luck.w0, TWO) == HEADS
    reading = TEXT if heads else HANDOUT
    watching = VIDEO if heads else PPT
    modality = reading if frustration > p.reading_above else watching
    study = frustration >= p.frustrated or seen.last_seconds >= p.slow
    # Chosen without a branch, which the processor would mostly guess wrong.
    content = LEVELS * seen.num_los + lo * KINDS + modality
    question = lo * LEVELS + level
    return content if study else question, ONE_OF_TWO if study else SURE


class Rules(RulePolicy):
    """Teaches the LO of lowest mastery: questions of rising difficulty, content when frustrated or slow.

    Two pathologies are the authors' own and kept: at high frustration it shows only what raises
    frustration, and one answer of 60 s or more locks it into content for the rest of the episode.
    """

    name = "rules"
    parameters = Thresholds()
    choose = teach
    reads = "mastery"
