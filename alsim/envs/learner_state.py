"""State of a learner, as the specification's attribute `learner_state`."""

from __future__ import annotations

from typing import Any

from alsim.simulator.simulator import Simulator


def learner_state(simulator: Simulator, lane: int) -> dict[str, Any]:
    """Return the state of the learner in a lane of a simulator.

    The keys are mastery (L,), ability (logits), frustration, response_time (s), fail_streak and engagement.
    """
    p = simulator.learners
    frustration = p.frustration[lane].item()
    return {
        "mastery": simulator.mastery[lane].copy(),
        "ability": p.ability[lane].item(),
        "frustration": frustration,
        "response_time": p.response_time[lane].item(),
        "fail_streak": p.fail_streak[lane].item(),
        "engagement": 1.0 - frustration,
    }
