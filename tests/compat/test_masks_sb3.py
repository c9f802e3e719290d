"""MaskablePPO of sb3-contrib on environments that refuse masked actions."""

from typing import Any

import masks as examples
import numpy as np
import pytest
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

from alsim import AdaptiveLearningEnv, AlsimError
from alsim.envs.sb3 import make

CONFIG = {"num_los": 4, "max_episode_steps": 14, "curriculum": examples.EDGES}
SETTINGS: dict[str, Any] = {"config": CONFIG, "action_mask": "curriculum:0.35"}


@pytest.mark.parametrize("many", [True, False])
def test_maskable_ppo_takes_only_allowed_actions(many: bool) -> None:
    """The environment would refuse any other action."""
    env = make(8, seed=0, **SETTINGS) if many else AdaptiveLearningEnv(**SETTINGS)
    assert is_masking_supported(env)
    model = MaskablePPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=2, seed=0, device="cpu")
    model.learn(600)
    venv = model.get_env()
    assert venv is not None
    observations: Any = venv.reset()
    blocked = 0
    for _ in range(30):
        masks = get_action_masks(venv)
        blocked += int((~masks).sum())
        actions, _ = model.predict(observations, action_masks=masks)
        assert masks[np.arange(len(masks)), actions].all()
        observations, *_ = venv.step(actions)
    assert blocked > 0


def test_the_vec_env_refuses_and_allows() -> None:
    venv = make(3, seed=0, **SETTINGS)
    venv.reset()
    masks = venv.env_method("action_masks")
    assert [mask.tolist() for mask in masks] == venv.action_masks().tolist()
    worst = np.array([int(np.argmin(mask)) for mask in masks])
    with pytest.raises(AlsimError, match="the action mask does not allow action"):
        venv.step(worst)
    allowing = make(3, seed=0, masked_actions="allow", **SETTINGS)
    allowing.reset()
    allowing.step(worst)
    assert venv.get_attr("spec")[0].kwargs["action_mask"] == "curriculum:0.35"
