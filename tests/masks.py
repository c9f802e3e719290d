"""Masks for tests, and a plain twin of the mask by a curriculum."""

from typing import Any

import numpy as np

EDGES = [[0, 1], [0, 2], [1, 3], [2, 3]]
"""A curriculum of four outcomes: a diamond."""


def allowed_by_prerequisites(mastery: Any, edges: Any, threshold: float) -> list[bool]:
    """Return whether each action is allowed for one learner, in plain Python (clause S3.1 numbers the actions)."""
    mastered = [float(m) >= float(np.float32(threshold)) for m in mastery]
    ready = [not known and all(mastered[p] for p, c in edges if c == lo) for lo, known in enumerate(mastered)]
    if not any(ready):
        ready = [True] * len(ready)
    questions = [ready[lo] for lo in range(len(ready)) for _ in range(3)]
    return questions + [ready[lo] for lo in range(len(ready)) for _ in range(6)]


def about_weak(view: Any) -> Any:
    """Allow the actions about outcomes below the mean mastery of the learner; all actions if all are equal."""
    weak = view.mastery <= view.mastery.mean(axis=1, keepdims=True)
    return np.concatenate([np.repeat(weak, 3, axis=1), np.repeat(weak, 6, axis=1)], axis=1)


def no_hard(view: Any) -> Any:
    """Allow everything but Hard questions, in one row for all lanes."""
    mask = np.ones(view.num_actions, bool)
    mask[2 : 3 * view.num_los : 3] = False
    return mask


def nothing(view: Any) -> Any:
    """Allow nothing in lane 1."""
    mask = np.ones((view.num_lanes, view.num_actions), bool)
    mask[1:2] = False
    return mask


def random_mask(seed: int, shape: tuple[int, ...], share: float = 0.2) -> Any:
    """Return a random mask in which every row allows something."""
    generator = np.random.default_rng(seed)
    mask = generator.random(shape) < share
    chosen = generator.integers(shape[-1], size=shape[:-1])
    np.put_along_axis(mask, np.expand_dims(chosen, -1), True, axis=-1)
    return mask
