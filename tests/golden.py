"""Golden runs (clause S11.5): SHA-256 sums of all outputs of steps, and of the state after them.

`python golden.py` prints them as JSON; test_batch.py runs it compiled and interpreted.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from worlds import MODES, Lanes

from alsim.bank.items import sample_bank
from alsim.config import Config

LEARNERS = np.array([0, 1, 2, 2**31 - 1, 2**32 - 1])

RUNS: dict[str, dict[str, Any]] = {
    "specified, next step": {"steps": 300, "mode": "NEXT_STEP"},
    "specified, same step": {"steps": 150, "mode": "SAME_STEP", "seed": 2**64 - 1, "episode": 2**32 - 3},
    "responses, same step": {
        "steps": 100,
        "mode": "SAME_STEP",
        "responses": True,
        "config": {"num_los": 4, "max_episode_steps": 12, "num_questions_per_lo": 10, "num_contents_per_lo": 11},
    },
    "other parameters, next step": {
        "steps": 100,
        "mode": "NEXT_STEP",
        "config": {
            "num_los": 2,
            "max_episode_steps": 50,
            "learner": {"mastery_alpha": 0.1, "mastery_beta": 3.0, "ability_mean": -0.5, "ability_std": 2.0},
            "dynamics": {"learning_rate": 0.3, "gain_noise": 0.1, "response_time_min": 25.0, "hard_below": 0.9},
            "termination": {"mastery_threshold": 0.7, "max_frustration": 0.6},
            "reward_weights": "learning",
            "bank": {"seed": 2**64 - 1},
        },
    },
    "700 outcomes, disabled": {"steps": 3, "mode": "DISABLED", "config": {"num_los": 700, "num_questions_per_lo": 3}},
}


def mixed(learner: Any, episode: Any, step: Any) -> Any:
    """Return 31 bits that depend on all three arguments: pseudo-random actions without a generator."""
    word = np.asarray(learner, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    word = word + np.asarray(episode, np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    word = word + np.asarray(step, np.uint64) * np.uint64(0x165667B19E3779F9)
    word = (word ^ (word >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    return (word >> np.uint64(33)).astype(np.int64)


def actions_of(lanes: Lanes) -> Any:
    """Return actions that depend only on the learner, its episode and its step."""
    state = lanes.learners
    return mixed(state.learner, state.episode, state.step) % (9 * lanes.num_los)


def outputs_of(lanes: Lanes) -> dict[str, Any]:
    """Return the outputs of a step and the state after it, (n, ...) each; undefined entries of reset lanes are 0."""
    out, happened, state = lanes.out, lanes.interaction, lanes.learners
    fields = {
        "observation": lanes.observations,
        "reward": out.reward,
        "terminated": out.terminated,
        "truncated": out.truncated,
        "reason": out.reason,
        "live": out.live,
        "item": np.where(out.live, happened.item, 0),
        "correct": happened.correct & out.live,
        "gain": np.where(out.live, happened.gain, np.float32(0)),
        "rows": lanes.rows,
        "ability": state.ability,
        "frustration": state.frustration,
        "response_time": state.response_time,
        "fail_streak": state.fail_streak,
        "mastery_sum": state.mastery_sum,
        "episode": state.episode,
        "step": state.step,
    }
    if len(lanes.final):
        ended = (out.reason != 0)[:, None]
        fields["final"] = np.where(ended, lanes.final.reshape(lanes.n, lanes.width), np.float32(0))
    return {name: value.copy() for name, value in fields.items()}


def little_endian(fields: dict[str, Any]) -> Iterator[bytes]:
    for name, value in fields.items():
        yield name.encode()
        yield np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes()


def run_sum(steps: int, mode: str, config: Any = None, **options: Any) -> str:
    lanes = Lanes(len(LEARNERS), config and Config.read(config), learner=LEARNERS, mode=MODES[mode], **options)
    digest = hashlib.sha256()
    start = {"rows": lanes.rows, "ability": lanes.learners.ability, "mastery_sum": lanes.learners.mastery_sum}
    for part in little_endian(start):
        digest.update(part)
    for _ in range(steps):
        lanes.step(actions_of(lanes))
        for part in little_endian(outputs_of(lanes)):
            digest.update(part)
    return digest.hexdigest()


def bank_sum() -> str:
    """Return the sum of the default bank."""
    bank = sample_bank(Config())
    digest = hashlib.sha256()
    for columns in (bank.questions, bank.contents):
        digest.update(" ".join(columns.id).encode())
        for part in little_endian(dict(zip(columns._fields[1:], columns[1:], strict=True))):
            digest.update(part)
    return digest.hexdigest()


def sums() -> dict[str, str]:
    return {"default bank": bank_sum(), **{name: run_sum(**run) for name, run in RUNS.items()}}


if __name__ == "__main__":
    print(json.dumps(sums(), indent=4))
