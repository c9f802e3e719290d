"""TorchRL's ActionMask on an environment that refuses masked actions."""

import masks as examples
import torch
from torchrl.data import Binary, Composite
from torchrl.envs import ActionMask, GymWrapper, TransformedEnv
from torchrl.envs.libs.gym import default_info_dict_reader

from alsim import AdaptiveLearningEnv

A = 36
CONFIG = {"num_los": 4, "max_episode_steps": 14, "curriculum": examples.EDGES}


def test_random_actions_follow_the_mask_of_the_infos() -> None:
    env = AdaptiveLearningEnv(CONFIG, info="none", mask_in_info=True, action_mask="curriculum:0.35")
    wrapped = GymWrapper(env, categorical_action_encoding=True)
    masks = Composite(action_mask=Binary(A, dtype=torch.bool), shape=[])
    wrapped.set_info_dict_reader(default_info_dict_reader(["action_mask"], spec=masks))
    masked = TransformedEnv(wrapped, ActionMask())
    torch.manual_seed(0)
    steps = blocked = 0
    for seed in range(20):
        masked.set_seed(seed)
        rollout = masked.rollout(20)
        mask, actions = rollout["action_mask"], rollout["action"]
        assert mask.dtype == torch.bool and mask.shape == (len(actions), A)
        assert mask.gather(1, actions.unsqueeze(1)).all()
        steps, blocked = steps + len(actions), blocked + int((~mask).sum())
    assert steps > 100 and blocked > 100
