"""Encoding of actions as integers (clauses S3.1 and S3.2)."""

from __future__ import annotations

from typing import Any

from alsim.errors import AlsimError
from alsim.types import DIFFICULTIES, MODALITIES

LEVELS, KINDS = len(DIFFICULTIES), len(MODALITIES)
MOST_LOS = 2**15 // (LEVELS + KINDS)
"""Largest number of learning outcomes whose actions fit int16, the type in datasets: 3640."""


def num_actions(num_los: int) -> int:
    """Return the number of actions for `num_los` learning outcomes: 3 questions and 6 contents each."""
    return (LEVELS + KINDS) * num_los


def question_action(lo: int, difficulty: int) -> int:
    """Return the action that asks a question of `difficulty` (0 Easy, 1 Medium, 2 Hard) about learning outcome `lo`."""
    return lo * LEVELS + difficulty


def content_action(lo: int, modality: int, num_los: int) -> int:
    """Return the action that shows a content of `modality` (index into MODALITIES) about learning outcome `lo`."""
    return LEVELS * num_los + lo * KINDS + modality


def decode_action(action: int, num_los: int) -> dict[str, Any]:
    """Return a dictionary that describes an action.

    The keys are "type" ("question" or "content"), "lo", and "difficulty" of a question or "modality" of a content. All
    values but the type are indices.

    Raises ValueError if `action` is not in [0, 9 num_los).
    """
    if not 0 <= action < num_actions(num_los):
        raise AlsimError(f"an action for {num_los} LOs must be an integer in [0, {num_actions(num_los)}); got {action}")
    questions = LEVELS * num_los
    if action < questions:
        return {"type": "question", "lo": action // LEVELS, "difficulty": action % LEVELS}
    return {"type": "content", "lo": (action - questions) // KINDS, "modality": (action - questions) % KINDS}
