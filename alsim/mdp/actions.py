"""Actions: what an action id means (clauses S3.1 and S3.2)."""

from __future__ import annotations

from typing import Any

from alsim.errors import AlsimError
from alsim.types import DIFFICULTIES, MODALITIES

LEVELS, KINDS = len(DIFFICULTIES), len(MODALITIES)
MOST_LOS = 2**15 // (LEVELS + KINDS)
"""Learning outcomes of which every action still fits int16, as datasets store it: 3640."""


def num_actions(num_los: int) -> int:
    """Number of actions over `num_los` learning outcomes: 3 questions and 6 contents each."""
    return (LEVELS + KINDS) * num_los


def question_action(lo: int, difficulty: int) -> int:
    """Action that asks a question of `difficulty` (0 Easy, 1 Medium, 2 Hard) about outcome `lo`."""
    return lo * LEVELS + difficulty


def content_action(lo: int, modality: int, num_los: int) -> int:
    """Action that shows a content of `modality` (index into MODALITIES) about outcome `lo`."""
    return LEVELS * num_los + lo * KINDS + modality


def decode_action(action: int, num_los: int) -> dict[str, Any]:
    """What an action means: type, lo, and difficulty or modality as an index.

    Raises ValueError if `action` is not in [0, 9 num_los).
    """
    if not 0 <= action < num_actions(num_los):
        raise AlsimError(f"an action is an integer in [0, {num_actions(num_los)}); got {action}")
    questions = LEVELS * num_los
    if action < questions:
        return {"type": "question", "lo": action // LEVELS, "difficulty": action % LEVELS}
    return {"type": "content", "lo": (action - questions) // KINDS, "modality": (action - questions) % KINDS}
