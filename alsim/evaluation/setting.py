"""Setting of an evaluation: the policies, and the held-out learners that each of them teaches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from alsim.arguments import read_integer, read_observation, read_positive, read_rules, read_seed
from alsim.bank.items import Bank
from alsim.config import Config, independent_unit
from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.outcomes import Outcomes, observation_of, outcomes_of
from alsim.policies import Policy, make_policy
from alsim.rollouts.plan import RolloutPlan, read_plan
from alsim.types import FIRST_HELD_OUT, MAX_LEARNERS, Longs, Observation

PolicySource = str | Path | Policy
"""Name of a policy, directory of a trained one, or a policy object."""
PolicySources = Sequence[PolicySource] | Mapping[str, PolicySource]
"""Policies, or policies by label."""
Progress = Callable[[str, int], None]
"""Function that is called with the label of the running policy and the number of finished learners of all policies."""


@dataclass(frozen=True)
class Setting:
    """Setting in which policies are compared: the same learners, rules and items for each."""

    config: Config
    bank: Bank
    learners: int
    seed: int
    first_learner: int
    observation: Observation
    """Kind of observation of policies that read any kind."""
    num_threads: int

    @cached_property
    def learner_id(self) -> Longs:
        """Index of each learner, (N,)."""
        return self.first_learner + np.arange(self.learners)

    @cached_property
    def units(self) -> Longs | None:
        """Class of each learner, (N,); None if each learner is independent, who has one episode."""
        unit = independent_unit(self.config.to_dict())
        return unit.of_learners(self.learner_id) if unit.name == "class" else None

    @property
    def unit(self) -> str:
        """Independent unit: "learner", or "class" under effects of classes."""
        return "learner" if self.units is None else "class"

    def plan(self, policy: PolicySource) -> RolloutPlan:
        """Return the rollout of a policy with the learners. Raises AlsimError for an invalid policy."""
        made = make_policy(policy)
        return read_plan(
            made,
            num_learners=self.learners,
            episodes_per_learner=1,
            seed=self.seed,
            first_learner=self.first_learner,
            config=self.config,
            bank=self.bank,
            dynamics=None,
            observation=observation_of(made, self.observation),
            num_threads=self.num_threads,
            keep_observations=False,
        )


def read_setting(
    *,
    learners: int,
    seed: int,
    first_learner: int,
    config: Config | Mapping[str, Any] | str | Path | None,
    bank: Bank | Mapping[str, Any] | str | Path | None,
    dynamics: Any,
    observation: str,
    num_threads: int,
) -> Setting:
    """Return the validated setting of an evaluation. Raises AlsimError."""
    rules, items = read_rules(config, bank, dynamics)
    count, first = read_positive(learners, "learners"), read_integer(first_learner)
    if first is None:
        raise InputTypeError(f"first_learner must be an integer; got {first_learner!r:.100}: use 2**31, the default")
    if count > FIRST_HELD_OUT:
        raise AlsimError(f"learners must be at most 2**31, the number of held-out learners (clause S11.4); got {count}")
    if not FIRST_HELD_OUT <= first <= MAX_LEARNERS - count:
        raise AlsimError(
            f"first_learner must be from 2**31 to 2**32 - {count}, so that all {count} learners are held out (clause "
            f"S11.4); got {first}: leave it out for 2**31"
        )
    return Setting(
        config=rules,
        bank=items,
        learners=count,
        seed=read_seed(seed),
        first_learner=first,
        observation=read_observation(observation),
        num_threads=read_positive(num_threads, "num_threads"),
    )


def read_policies(policies: PolicySources) -> tuple[dict[str, PolicySource], list[tuple[str, str]]]:
    """Return the policies by label, and the pairs of labels to compare, in the order of the policies.

    A policy that is listed twice is also compared with itself. The label of a policy is the given name or path, and
    the name of a policy object. Raises AlsimError for other arguments, and for two objects with the same name.
    """
    if isinstance(policies, str | Path) or not isinstance(policies, Sequence | Mapping):
        raise InputTypeError(
            f"policies must be a list of policies, or a mapping of labels to policies; got {policies!r:.100}; write "
            "['rules', 'uniform']"
        )
    entries = list(policies.items()) if isinstance(policies, Mapping) else [(_label(one), one) for one in policies]
    found: dict[str, PolicySource] = {}
    repeated = []
    for label, policy in entries:
        if not isinstance(label, str) or not label:
            raise InputTypeError(f"the label of a policy must be a string, not empty; got {label!r:.100}; rename it")
        if label not in found:
            found[label] = policy
        elif found[label] is policy or found[label] == policy:
            repeated.append(label)
        else:
            raise AlsimError(
                f"two policies have the name {label!r}; pass a mapping with a label for each, such as "
                f"{{'first': ..., 'second': ...}}"
            )
    labels = list(found)
    pairs = [(a, b) for k, a in enumerate(labels) for b in ([a] if a in repeated else []) + labels[k + 1 :]]
    return found, pairs


def other_policy(policies: Mapping[str, PolicySource]) -> str:
    """Return the name of a policy that is not in a list, as a proposal for messages."""
    return "rules" if "uniform" in policies else "uniform"


def _label(policy: PolicySource) -> str:
    """Return the label of a policy: its name, or the path as it was given."""
    return str(policy) if isinstance(policy, str | Path) else str(getattr(policy, "name", ""))


def run_all(
    setting: Setting, policies: Mapping[str, PolicySource], progress: Progress = lambda *_: None
) -> dict[str, Outcomes]:
    """Run all policies with the same learners and return their outcomes by label. All plans are checked first.

    Raises AlsimError.
    """
    plans = {label: setting.plan(policy) for label, policy in policies.items()}
    units, found = setting.units, {}
    for number, (label, plan) in enumerate(plans.items()):
        shown = partial(_report, progress, label, number * setting.learners)
        shown(0)
        found[label] = outcomes_of(plan, units, shown)
    return found


def _report(progress: Progress, label: str, before: int, done: int) -> None:
    """Report the progress of a policy, given the number of episodes of earlier policies."""
    progress(label, before + done)


__all__ = [
    "PolicySource",
    "PolicySources",
    "Progress",
    "Setting",
    "other_policy",
    "read_policies",
    "read_setting",
    "run_all",
]
