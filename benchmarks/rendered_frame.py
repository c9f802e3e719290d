"""Picture of an episode's end: `python -m benchmarks.rendered_frame` draws docs/images/rendered-frame.png.

It shows a learner of seed 0 whom the policy `rules` frustrates. The processor time of one picture is printed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import alsim

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "rendered-frame.png"
LEARNER = 7
PICTURES = 100


def environment() -> alsim.AdaptiveLearningEnv:
    """Return the environment at the end of the episode."""
    actions = alsim.rollout("rules", first_learner=LEARNER, num_learners=1, seed=0).interactions.action
    env = alsim.AdaptiveLearningEnv(render_mode="rgb_array")
    env.reset(seed=0, options={"learner": LEARNER})
    for action in actions:
        env.step(action)
    return env


def frame() -> NDArray[np.uint8]:
    """Return the picture at the end of the episode, (H, W, 3)."""
    picture: Any = environment().render()
    return np.asarray(picture)


def milliseconds() -> float:
    """Return the mean processor time of a picture, without the first, which loads fonts."""
    env = environment()
    env.render()
    start = time.process_time()
    for _ in range(PICTURES):
        env.render()
    return 1e3 * (time.process_time() - start) / PICTURES


if __name__ == "__main__":
    from PIL import Image

    PICTURE.parent.mkdir(exist_ok=True)
    Image.fromarray(frame()).save(PICTURE, optimize=True)
    print(f"{PICTURE}: {milliseconds():.1f} ms of processor time per picture")
