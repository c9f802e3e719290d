"""Description of a single episode, step by step, with words instead of codes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from alsim.arguments import read_episode, read_learner
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.dynamics import of_parameters
from alsim.policies import Policy
from alsim.rollouts.plan import RolloutPlan, read_plan
from alsim.rollouts.rollout import Rollout, run_block
from alsim.types import DIFFICULTIES, MODALITIES, Reason
from alsim.utils.text import counted


def describe_episode(
    policy: str | Path | Policy,
    *,
    learner: int = 0,
    episode: int = 0,
    seed: int = 0,
    config: Config | Mapping[str, Any] | str | Path | None = None,
    bank: Bank | Mapping[str, Any] | str | Path | None = None,
    dynamics: Any = None,
    observation: str = "mastery",
    action_mask: Any = None,
) -> dict[str, Any]:
    """Run one episode of one learner, and return its settings, its end and its interactions as plain values.

    learner  index of the learner of the seed, from 0 to 2**32 - 1
    episode  number of the episode of the learner, from 0
    policy, seed, config, bank, dynamics, observation, action_mask
             see `alsim.rollout`, which gives the same interactions

    The result can be written as JSON; undefined values are None. `units` has the unit of each quantity that has one.
    Raises ValueError or TypeError as `alsim.rollout`.
    """
    number = read_episode(episode, "episode")
    plan = read_plan(
        policy,
        num_learners=1,
        episodes_per_learner=number + 1,
        seed=seed,
        first_learner=read_learner(learner, "learner"),
        config=config,
        bank=bank,
        dynamics=dynamics,
        observation=observation,
        num_threads=1,
        keep_observations=False,
        action_mask=action_mask,
    )
    return _description(plan, run_block(plan, number, number + 1))


def _description(plan: RolloutPlan, run: Rollout) -> dict[str, Any]:
    """Return the description of a rollout of one episode."""
    interactions, bank = _interactions(run), run.bank
    first, last = run.interactions, interactions[-1]
    start = float(first.mean_mastery[0]) - float(first.mastery_gain[0]) / bank.num_los
    reason = Reason(int(run.reason[0]))
    return {
        "policy": plan.policy.name,
        "seed": plan.seed,
        "learner": int(run.learner_id[0]),
        "episode": int(run.episode[0]),
        "observation": plan.observation,
        **({} if plan.action_mask is None else {"action_mask": plan.action_mask.to_plain()}),
        "dynamics": of_parameters(type(plan.config.dynamics)).name,
        "bank": {
            "outcomes": bank.num_los,
            "questions": bank.num_questions,
            "contents": bank.num_contents,
        },
        "limits": {**plan.config.termination.model_dump(), "max_episode_steps": plan.config.max_episode_steps},
        "units": {"response_time": "s"},
        "steps": len(interactions),
        "start_mastery": start,
        "final_mastery": last["mean_mastery"],
        "final_frustration": last["frustration"],
        "return": last["cumulative_reward"],
        "termination_reason": reason.word,
        "verdict": _verdict(run, reason, start),
        "interactions": interactions,
    }


def _interactions(run: Rollout) -> list[dict[str, Any]]:
    """Return one dictionary per interaction."""
    x, questions, contents = run.interactions, run.bank.questions, run.bank.contents
    totals = accumulate(map(float, x.reward))
    rows = []
    for row, total in enumerate(totals):
        item = int(x.item[row])
        is_question = item < run.bank.num_questions
        table, place = (questions, item) if is_question else (contents, item - run.bank.num_questions)
        level = DIFFICULTIES[questions.difficulty[place]] if is_question else MODALITIES[contents.modality[place]]
        rows.append(
            {
                "step": row + 1,
                "kind": "question" if is_question else "content",
                "outcome": run.bank.outcomes[int(table.learning_outcome[place])],
                "level": level,
                "item": table.id[place],
                "result": ("correct" if x.correct[row] else "wrong") if is_question else None,
                "response_time": float(x.response_time[row]) if is_question else None,
                "mastery_gain": float(x.mastery_gain[row]),
                "mean_mastery": float(x.mean_mastery[row]),
                "frustration": float(x.frustration[row]),
                "reward": float(x.reward[row]),
                "cumulative_reward": total,
                "action": int(x.action[row]),
                "propensity": float(run.propensity[row]),
            }
        )
    return rows


def _verdict(run: Rollout, reason: Reason, start: float) -> str:
    """Return a sentence about the end of an episode."""
    limits, x = run.config.termination, run.interactions
    count, mastery = len(x.action), float(x.mean_mastery[-1])
    steps = counted(count, "step")
    change = f"mean mastery went from {start:.3f} to {mastery:.3f}"
    if reason == Reason.MASTERY_ACHIEVED:
        return f"The learner reached the mastery threshold {limits.mastery_threshold:g} after {steps}: {change}."
    if reason == Reason.CRITICAL_FRUSTRATION:
        frustration = float(x.frustration[-1])
        return f"The learner gave up after {steps}, at frustration {frustration:.3f}: {change}."
    return f"The episode ended at the limit of {steps}: {change}, below the threshold {limits.mastery_threshold:g}."
