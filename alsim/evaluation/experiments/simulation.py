"""Simulated students of planned experiments: their arms, and their values under their own arm and under the control."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.assignment import Experiment
from alsim.bank.items import Bank
from alsim.config import Config, class_of, independent_unit
from alsim.errors import AlsimError
from alsim.evaluation.experiments.batched import Sample
from alsim.evaluation.experiments.plan import ExperimentPlan
from alsim.evaluation.experiments.student_metrics import (
    CENSORED,
    TO_LO,
    StudentMetric,
    censored_share,
    student_values,
)
from alsim.evaluation.outcomes import observation_of
from alsim.policies import Policy, make_policy
from alsim.policies.rounds import round_size_of
from alsim.rollouts.plan import RolloutPlan, block_episodes, read_plan
from alsim.rollouts.rollout import run_parts
from alsim.types import FIRST_HELD_OUT, MAX_LEARNERS, Doubles, Longs

PILOT = 500
"""Students of the pilot that shows whether a metric is censored."""


class World(NamedTuple):
    """Rules, policies and assignment of a plan."""

    plan: ExperimentPlan
    experiment: Experiment
    config: Config
    bank: Bank
    policies: tuple[Policy, ...]
    """Policy of each arm."""
    num_threads: int

    @property
    def class_size(self) -> int:
        """Students per class; 0 if students are independent."""
        unit = independent_unit(self.config.to_dict())
        return unit.size if unit.name == "class" else 0

    @property
    def first_learner(self) -> int:
        """First held-out learner, at the beginning of a class."""
        size = max(1, self.class_size)
        return -(-FIRST_HELD_OUT // size) * size

    def rollout(self, arm: int, learners: Longs) -> RolloutPlan:
        """Return the rollout of an arm's policy with some learners (n,)."""
        policy, columns = self.policies[arm], self.plan.columns
        found = read_plan(
            policy,
            num_learners=len(learners),
            episodes_per_learner=1,
            seed=self.plan.seed,
            first_learner=int(learners[0]),
            config=self.config,
            bank=self.bank,
            dynamics=None,
            observation=observation_of(policy, "mastery"),
            num_threads=self.num_threads,
            keep_observations=TO_LO in columns,
        )
        return found._replace(learners=learners)


class Students(NamedTuple):
    """Values of the students of R experiments, N students each, in the order in which they arrive."""

    arms: Longs
    """Arm of each student, (R, N)."""
    clusters: Longs | None
    """Class of each student, (N,) from 0, the same in all experiments; None if students are independent."""
    are_classes_assigned: bool
    """Whether classes are assigned to arms, instead of students."""
    values: dict[str, Doubles]
    """(R, N) for each column of the plan, under the student's own arm."""
    control: dict[str, Doubles]
    """(R, N) for each column, under the policy of the control."""

    def sample(self, metric: StudentMetric, covariate: str = "") -> Sample:
        """Return the values of a metric, with a covariate unless its name is empty."""
        return self._sample(self.values, metric, covariate)

    def without_effect(self, metric: StudentMetric, covariate: str = "") -> Sample:
        """Return the same students, all taught by the control, so that the arms do not differ."""
        return self._sample(self.control, metric, covariate)

    def _sample(self, values: dict[str, Doubles], metric: StudentMetric, covariate: str) -> Sample:
        """Return some of the columns."""
        return Sample(
            arms=self.arms,
            value=values[metric.numerator],
            denominator=None if metric.denominator is None else values[metric.denominator],
            covariate=values[covariate] if covariate else None,
            clusters=self.clusters,
        )

    def sizes(self, num_arms: int) -> Longs:
        """Return the number of assigned units of each arm, (R, K): students, or classes."""
        if not self.are_classes_assigned or self.clusters is None:
            assigned = self.arms
        else:
            assigned = self.arms[:, np.flatnonzero(np.diff(self.clusters, prepend=-1))]
        return np.stack([(assigned == arm).sum(axis=1) for arm in range(num_arms)], axis=1)


def read_world(plan: ExperimentPlan, num_threads: int) -> World:
    """Return the rules, policies and assignment of a plan.

    Raises AlsimError for an invalid one, and for a policy that learns across learners: the students of one arm would
    not be independent.
    """
    config, bank = plan.rules()
    policies = tuple(make_policy(arm.policy) for arm in plan.arms.values())
    for name, policy in zip(plan.arms, policies, strict=True):
        if round_size_of(policy) is not None:
            raise AlsimError(
                f"arms.{name}: the policy {policy.name!r:.60} learns across learners, so students of its arm are not "
                "independent; use a policy that learns from each student alone"
            )
    world = World(plan, plan.experiment, config, bank, policies, num_threads)
    if plan.students * plan.repetitions > MAX_LEARNERS - world.first_learner:
        raise AlsimError(f"students times repetitions must be at most {FIRST_HELD_OUT:,}: use fewer repetitions")
    return world


def check_censoring(world: World) -> dict[str, float]:
    """Return the share of the control's students for whom each metric of mastery is censored.

    Raises AlsimError if it is above the largest one of the plan.
    """
    plan, limit = world.plan, world.config.max_episode_steps
    wanted = [name for name in plan.columns if name in CENSORED]
    if not wanted:
        return {}
    values = simulated(world, 0, world.first_learner + np.arange(PILOT))
    shares = {name: censored_share(values[name], limit) for name in wanted}
    for name, share in shares.items():
        if share > plan.most_censored:
            raise AlsimError(
                f"{name} would be censored for {100 * share:.0f} % of the students under the control "
                f"{world.policies[0].name!r:.60}: they do not reach mastery within {limit} interactions (clause S7.3), "
                "so the experiment would compare step limits; use learning/interactions, or longer episodes as in the "
                "plan 'mastery'"
            )
    return shares


def simulate(world: World, start: int, stop: int) -> Students:
    """Return the students of the experiments start … stop - 1; each experiment has students of its own."""
    plan = world.plan
    number = np.arange(start * plan.students, stop * plan.students).reshape(stop - start, plan.students)
    learners = world.first_learner + number
    arms = _assigned(world, learners)
    control = {name: column.reshape(arms.shape) for name, column in simulated(world, 0, learners.ravel()).items()}
    values = {name: column.copy() for name, column in control.items()}
    for arm in range(1, len(world.policies)):
        own = arms == arm
        if own.any():
            for name, column in simulated(world, arm, learners[own]).items():
                values[name][own] = column
    clusters = class_of(np.arange(plan.students), world.class_size) if world.class_size else None
    return Students(arms, clusters, plan.unit == "class", values, control)


def simulated(world: World, arm: int, learners: Longs) -> dict[str, Doubles]:
    """Return the values of some learners (n,), ascending, under the policy of an arm, (n,) for each column."""
    plan, columns = world.rollout(arm, learners), world.plan.columns
    parts = [student_values(run, columns) for run in run_parts(plan, block_episodes(plan.config))]
    found = {name: np.concatenate([part[name] for part in parts]) for name in columns}
    for name, column in found.items():
        if not np.isfinite(column).all():
            raise AlsimError(
                f"{name} is undefined for {int((~np.isfinite(column)).sum()):,} of {len(column):,} simulated students "
                f"under {world.policies[arm].name!r:.60}: use a metric that every student has"
            )
    return found


def _assigned(world: World, learners: Longs) -> Longs:
    """Return the arm of each learner, (R, N)."""
    if world.plan.unit == "student":
        return np.asarray(world.experiment.assign_many(learners.ravel().astype(str)).reshape(learners.shape))
    names, place = np.unique(class_of(learners, world.class_size), return_inverse=True)
    return np.asarray(world.experiment.assign_many(names.astype(str))[place].reshape(learners.shape))


__all__ = ["Students", "World", "check_censoring", "read_world", "simulate", "simulated"]
