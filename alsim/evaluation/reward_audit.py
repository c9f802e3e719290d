"""Audit of a reward: whether the policies that earn it also teach, and whether the goal of mastery can be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alsim.bank.items import Bank
from alsim.config import MOST_STEPS, Config
from alsim.errors import AlsimError
from alsim.evaluation.bounds import MasteryBound, mastery_bound
from alsim.evaluation.comparison import to_json
from alsim.evaluation.defaults import AUDIT_LEARNERS
from alsim.evaluation.estimates import Statistic, estimate, paired
from alsim.evaluation.outcomes import Course, Outcomes
from alsim.evaluation.ranks import RankCorrelation, rank_correlation
from alsim.evaluation.setting import (
    PolicySource,
    PolicySources,
    Progress,
    Setting,
    read_policies,
    read_setting,
    run_all,
)
from alsim.policies import make_policy
from alsim.policies.names import POLICIES, load_plugins, parameters_of
from alsim.types import FIRST_HELD_OUT, MAX_LEARNERS, safe_repr

BOUND_LEARNERS = 10_000
"""Least number of learners of the upper bound, whose limit is wide for few learners."""
BASELINE = "uniform"
"""Policy whose return and learning the others are compared with."""
RETURN, LEARNING, MASTERY = "cumulative_reward", "learning", "final_mastery"
LONGER = (1, 2, 4, 8)
"""Multiples of the step limit within which the best policy is followed until it reaches the goal."""


@dataclass(frozen=True)
class Audit:
    """Results of policies with N held-out learners, and of the best of them under a longer limit."""

    setting: Setting
    goal: float
    """Mean mastery to reach."""
    outcomes: Mapping[str, Outcomes]
    """Values of metrics and course of each policy, by label."""
    bound: MasteryBound | None
    """Upper bound of the mean mastery of any policy; None if the dynamics declares none."""
    longer: Course
    """Course of the best policy without an end by mastery, until the goal or the longest limit."""

    @safe_repr
    def __repr__(self) -> str:
        """Return the number of policies and the goal."""
        return f"<Audit of {len(self.outcomes)} policies, goal {self.goal:g}>"

    @property
    def best_policy(self) -> str:
        """Policy with the highest mean mastery at the end."""
        return best_of(self.outcomes)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values, see the page "Auditing a reward" of the documentation."""
        config = self.setting.config
        found = self._under(RETURN)
        return {
            "learners": self.setting.learners,
            "seed": self.setting.seed,
            "first_learner": self.setting.first_learner,
            "independent_unit": self.setting.unit,
            "reward_weights": config.reward_weights.model_dump(),
            "goal": self._goal(),
            **found,
            "policies": {
                label: {
                    "return": to_json(self.statistic(label, RETURN)),
                    "learning": to_json(self.statistic(label, LEARNING)),
                    "final_mastery": to_json(self.statistic(label, MASTERY)),
                    "earns_without_teaching": label in found["earns_without_teaching"],
                }
                for label in self.outcomes
            },
            "under_learning": self._under(LEARNING),
        }

    def statistic(self, policy: str, metric: str) -> Statistic:
        """Return the mean of a metric of a policy, with its interval."""
        return estimate(self.outcomes[policy].values[metric], self.setting.units)

    def correlation(self, earned: str = RETURN) -> RankCorrelation:
        """Return the rank correlation over the policies of their mean return and their mean learning.

        earned  metric that stands for the return: "learning" for that of the reward preset
        """
        columns = [
            np.stack([one.values[metric] for one in self.outcomes.values()], axis=1) for metric in (earned, LEARNING)
        ]
        return rank_correlation(columns[0], columns[1], self.setting.units, seed=self.setting.seed)

    def earns_without_teaching(self, earned: str = RETURN) -> list[str]:
        """Return the policies whose return is above that of uniform, and whose learning is not above, by intervals."""
        return [label for label in self.outcomes if self._above(label, earned) and not self._above(label, LEARNING)]

    def _above(self, policy: str, metric: str) -> bool:
        """Return whether the interval of the difference from the baseline lies above 0."""
        values = self.outcomes[policy].values[metric] - self.outcomes[BASELINE].values[metric]
        return bool(paired(values, self.setting.units).ci[0] > 0)

    def _under(self, earned: str) -> dict[str, Any]:
        """Return the part of the report that depends on the reward."""
        found = self.correlation(earned)
        ci = None if found.ci is None else [*found.ci]
        return {
            "rank_correlation": {"value": found.value, "ci": ci},
            "earns_without_teaching": self.earns_without_teaching(earned),
        }

    def _surely_reached(self) -> float | None:
        """Return the highest lower end of an interval of the best mastery within the limit; None for one unit."""
        units = self.setting.learner_id if self.setting.units is None else self.setting.units
        if units[0] == units[-1]:
            return None
        return float(self.longer.low[: self.setting.config.max_episode_steps + 1].max())

    def _goal(self) -> dict[str, Any]:
        """Return what is known about the goal."""
        steps, course = self.setting.config.max_episode_steps, self.longer
        upper = None if self.bound is None else float(self.bound.upper[steps])
        reached = np.flatnonzero(course.mastery >= self.goal)
        # The best is within the limit, not at its end: mastery falls under dynamics with forgetting.
        best = float(course.mastery[: steps + 1].max())
        return {
            "mastery": self.goal,
            "steps": steps,
            "feasible": _feasible(self.goal, self._surely_reached(), best, upper),
            "best_mastery": best,
            "best_policy": self.best_policy,
            "upper_bound": upper,
            "steps_needed": int(reached[0]) if len(reached) else None,
        }


def _feasible(goal: float, reached: float | None, mean: float, upper: float | None) -> bool | None:
    """Return True if a policy reached the goal, False if no policy can, and None if it is unknown.

    reached  lower end of the interval of the mastery of the best policy; None if there is no interval
    mean     mastery of the best policy, which few learners may lift above the bound of many
    upper    upper bound of the mastery of all policies
    """
    if upper is not None and upper < goal:
        return False if mean < goal else None
    return True if reached is not None and reached >= goal else None


def best_of(outcomes: Mapping[str, Outcomes]) -> str:
    """Return the label with the highest mean mastery at the end."""
    return max(outcomes, key=lambda label: float(outcomes[label].values[MASTERY].mean()))


def audit(
    policies: PolicySources | None = None,
    *,
    goal: float | None = None,
    learners: int = AUDIT_LEARNERS,
    seed: int = 0,
    first_learner: int = FIRST_HELD_OUT,
    config: Config | Mapping[str, Any] | str | Path | None = None,
    bank: Bank | Mapping[str, Any] | str | Path | None = None,
    dynamics: Any = None,
    observation: str = "mastery",
    num_threads: int = 1,
    progress: Progress = lambda *_: None,
) -> Audit:
    """Find out whether a reward rewards learning, and whether a goal of mastery can be reached within the step limit.

    policies  list of policies, or a mapping of labels to policies; None: all registered policies that need no argument.
              `uniform` is always included
    goal      mean mastery to reach, in (0, 1]; None: the mastery threshold of the configuration
    learners, seed, first_learner, config, bank, dynamics, observation, num_threads  see `compare`
    progress  called with the label of the running policy, and the number of finished episodes; the best policy under a
              longer limit counts as another policy

    Returns an Audit. Raises AlsimError for invalid arguments.
    """
    setting = read_setting(
        learners=learners,
        seed=seed,
        first_learner=first_learner,
        config=config,
        bank=bank,
        dynamics=dynamics,
        observation=observation,
        num_threads=num_threads,
    )
    mastery = _read_goal(goal, setting.config)
    found, _ = read_policies(without_arguments() if policies is None else policies)
    if getattr(make_policy(found.setdefault(BASELINE, BASELINE)), "name", None) != BASELINE:
        raise AlsimError(
            f"the label {BASELINE!r} is that of the policy with which the others are compared; got another policy, "
            f"{found[BASELINE]!r:.100}; give it another label"
        )
    outcomes = run_all(setting, found, progress)
    bound = mastery_bound(
        setting.config,
        setting.bank,
        learners=max(setting.learners, BOUND_LEARNERS),
        seed=setting.seed,
        first_learner=min(setting.first_learner, MAX_LEARNERS - max(setting.learners, BOUND_LEARNERS)),
    )
    best, before = best_of(outcomes), setting.learners * len(found)
    # All longer limits together count as one policy.
    longer = _course_to_the_goal(
        setting, found[best], mastery, lambda done: progress(f"{best}, longer", before + done // len(LONGER))
    )
    return Audit(setting, mastery, outcomes, bound, longer)


def without_arguments() -> list[str]:
    """Return the registered policies that need no argument, also those of plugins."""
    load_plugins()
    return [name for name, make in POLICIES.items() if not any(p.required for p in parameters_of(make))]


def _read_goal(goal: float | None, config: Config) -> float:
    """Return the goal, by default the mastery threshold. Raises AlsimError for other values."""
    if goal is None:
        return float(config.termination.mastery_threshold)
    if isinstance(goal, bool) or not isinstance(goal, int | float | np.integer | np.floating) or not 0 < goal <= 1:
        raise AlsimError(f"goal must be a mastery in (0, 1]; got {goal!r:.100}; leave it out for the mastery threshold")
    return float(goal)


def _course_to_the_goal(setting: Setting, policy: PolicySource, goal: float, progress: Callable[[int], None]) -> Course:
    """Return the course of a policy without an end by mastery, until it reaches the goal or the longest limit.

    progress  called with the number of finished episodes under all limits
    """
    course = None
    for number, multiple in enumerate(LONGER):
        steps = min(setting.config.max_episode_steps * multiple, MOST_STEPS)
        ends = setting.config.termination.model_copy(update={"mastery_threshold": 1.0})
        rules = setting.config.model_copy(update={"max_episode_steps": steps, "termination": ends})
        before = number * setting.learners
        shown: Progress = partial(_report_sum, progress, before)
        course = run_all(replace(setting, config=rules), {"": policy}, shown)[""].course
        if course.mastery[-1] >= goal:
            break
    assert course is not None
    return course


def _report_sum(progress: Callable[[int], None], before: int, label: str, done: int) -> None:
    """Report the number of finished episodes, given that under earlier limits."""
    progress(before + done)


__all__ = ["Audit", "audit", "best_of", "without_arguments"]
