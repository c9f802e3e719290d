"""Picture of an episode's end: `python -m benchmarks.rendered_frame` draws docs/images/rendered-frame.png.

It shows a learner of seed 0 whom the policy `rules` frustrates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import alsim

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "rendered-frame.png"
LEARNER = 7


def frame() -> NDArray[np.uint8]:
    """Return the picture at the end of the episode, (H, W, 3)."""
    actions = alsim.rollout("rules", first_learner=LEARNER, num_learners=1, seed=0).interactions.action
    env = alsim.AdaptiveLearningEnv(render_mode="rgb_array")
    env.reset(seed=0, options={"learner": LEARNER})
    for action in actions:
        env.step(action)
    picture: Any = env.render()
    return np.asarray(picture)


if __name__ == "__main__":
    from PIL import Image

    PICTURE.parent.mkdir(exist_ok=True)
    Image.fromarray(frame()).save(PICTURE, optimize=True)
    print(PICTURE)
