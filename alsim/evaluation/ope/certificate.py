"""Certification of off-policy estimates: repeated logs of simulated learners, compared with the true values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from alsim.arguments import read_positive, read_seed
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.datasets.store import Dataset
from alsim.datasets.views import logged_mask
from alsim.errors import AlsimError
from alsim.evaluation.defaults import CERTIFIED_LOGS
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.ope.certificate_report import Certificate, certificate_of
from alsim.evaluation.ope.certificate_runs import CertificatePlan, Part, Progress, parts_of, run_parts
from alsim.evaluation.ope.evaluation import checked_estimators, read_window
from alsim.evaluation.ope.inputs import read_gamma
from alsim.evaluation.setting import PolicySource, PolicySources, read_policies
from alsim.evaluation.statistics_input import read_confidence, read_count
from alsim.policies import Policy, make_policy
from alsim.policies.checks import with_probabilities
from alsim.policies.names import is_registered
from alsim.policies.rounds import round_size_of
from alsim.rollouts.plan import read_plan
from alsim.types import FIRST_HELD_OUT, MAX_LEARNERS

TRUTH_LEARNERS = 50_000
"""Default number of learners of a true value."""


def certify(
    behaviour: PolicySource,
    targets: PolicySource | PolicySources,
    *,
    num_learners: int = 1000,
    episodes_per_learner: int = 1,
    logs: int = CERTIFIED_LOGS,
    truth_learners: int = TRUTH_LEARNERS,
    estimators: Collection[str] | None = None,
    gamma: float = 1.0,
    confidence: float = CONFIDENCE,
    window: int = 1,
    seed: int = 0,
    config: Config | Mapping[str, Any] | str | Path | None = None,
    bank: Bank | Mapping[str, Any] | str | Path | None = None,
    dynamics: Any = None,
    observation: str = "mastery",
    action_mask: Any = None,
    processes: int = 1,
    progress: Progress = lambda *_: None,
) -> Certificate:
    """Measure the errors of off-policy estimates on repeated logs of simulated learners.

    The true value of each target is the mean return of held-out learners (clause S11.4). Each log has other learners.

    behaviour             policy of the logs: a name, the directory of a trained policy, or an object
    targets               policy with `probabilities`, a list of them, or a mapping of labels to policies
    num_learners          learners of each log, at least 2
    episodes_per_learner  episodes of each learner
    logs                  number of logs R, at least 2
    truth_learners        learners of the true value, at least 2; its standard error should be far below that of the
                          estimates
    estimators            names of estimators; None: all
    gamma                 discount factor, in [0, 1]
    confidence            nominal level of the intervals, in (0, 1)
    window                number of the last actions in the weights of `window`, at least 1
    seed                  log k = 0, ..., R - 1 has seed + k, and the true value has seed
    config, bank, dynamics, observation, action_mask  see `alsim.generate_dataset`
    processes             number of processes; the result does not depend on it
    progress              called with the numbers of finished and of all parts of the work

    Returns a Certificate. Raises AlsimError for invalid arguments, and for targets without `probabilities` or that
    learn across learners.
    """
    plan = read_plan(
        behaviour,
        num_learners=read_count(
            num_learners, "num_learners", 2, FIRST_HELD_OUT, "an estimate needs 2 learners or more"
        ),
        episodes_per_learner=episodes_per_learner,
        seed=seed,
        config=config,
        bank=bank,
        dynamics=dynamics,
        observation=observation,
        num_threads=1,
        keep_observations=True,
        action_mask=action_mask,
    )
    level = read_confidence(confidence)
    most = MAX_LEARNERS - FIRST_HELD_OUT
    found = CertificatePlan(
        behaviour=plan.policy,
        targets={},
        num_learners=plan.num_learners,
        episodes_per_learner=plan.episodes_per_learner,
        logs=read_count(logs, "logs", 2, 2**31 - 1, "the spread of the estimates needs 2 logs or more"),
        truth_learners=read_count(truth_learners, "truth_learners", 2, most, "a standard error needs 2 or more"),
        seed=read_seed(seed),
        estimators=checked_estimators(estimators),
        gamma=read_gamma(gamma),
        confidence=level,
        window=read_window(window),
        config=plan.config,
        bank=plan.bank,
        observation=plan.observation,
        action_mask=action_mask,
    )
    return run(found._replace(targets=_read_targets(targets, found)), read_positive(processes, "processes"), progress)


def certify_dataset(
    dataset: Dataset,
    targets: PolicySource | PolicySources,
    *,
    behaviour: PolicySource | None = None,
    seed: int | None = None,
    action_mask: Any = None,
    **options: Any,
) -> Certificate:
    """Measure the errors of off-policy estimates on logs like a dataset of simulated learners.

    The logs have the configuration, bank, dynamics, policy and numbers of learners and episodes of the dataset, and
    other seeds.

    dataset      dataset that `alsim.generate_dataset` or `alsim generate` has made
    targets      see `certify`
    behaviour    the policy of the dataset; None: the policy of the name in the manifest
    seed         seed of the first log; None: the seed of the dataset plus 1
    action_mask  the function, if the dataset was generated with a function as action mask
    options      logs, truth_learners, estimators, gamma, confidence, window, processes and progress, see `certify`

    Returns a Certificate. Raises AlsimError for invalid arguments, and for a dataset without known rules.
    """
    manifest = dataset.manifest
    if missing := [key for key in ("policy", "config", "num_learners", "seed") if key not in manifest]:
        raise AlsimError(
            f"a certificate needs logs like the dataset, and the manifest of {dataset!r:.100} has no {missing[0]!r}: "
            "call certify with the policy and the configuration"
        )
    logged_mask(dataset, action_mask)  # raises for another function
    first = (int(manifest["seed"]) + 1) % 2**64 if seed is None else seed
    return certify(
        _policy_of(manifest["policy"], behaviour),
        targets,
        num_learners=manifest["num_learners"],
        episodes_per_learner=manifest["episodes_per_learner"],
        seed=first,
        config=manifest["config"],
        bank=dataset.bank,
        observation=manifest["observation"],
        action_mask=manifest.get("action_mask") if action_mask is None else action_mask,
        **options,
    )


def _policy_of(entry: Mapping[str, Any], given: PolicySource | None) -> Policy:
    """Return the policy of a dataset. Raises AlsimError if it is unknown here, or another one."""
    name = entry["name"]
    try:
        if given is None and not is_registered(name):  # the manifest may come from others
            raise AlsimError("no policy of this name is registered")
        policy = make_policy(name if given is None else given)
    except (AlsimError, OSError, TypeError, ValueError) as error:
        if given is not None:
            raise
        raise AlsimError(
            f"the policy of the dataset, {name!r:.100}, is needed for new logs: {error}; pass it as behaviour"
        ) from None
    if entry.get("digest") != getattr(policy, "digest", None) or policy.name != name:
        raise AlsimError(
            f"the policy of the dataset is {name!r:.100}; got {policy.name!r:.100}, or another state of it; pass the "
            "policy that has made the dataset as behaviour"
        )
    return policy


def _read_targets(targets: PolicySource | PolicySources, plan: CertificatePlan) -> dict[str, Policy]:
    """Return the targets by label. Raises AlsimError for policies whose value off-policy estimates cannot have."""
    single = isinstance(targets, str | Path) or hasattr(targets, "act")
    sources = read_policies([targets] if single else targets)[0]  # type: ignore[list-item, arg-type]  # a policy or some
    if not sources:
        raise AlsimError("targets must be at least one policy; got none: pass a policy with probabilities")
    found: dict[str, Policy] = {}
    for label, source in sources.items():
        checked = read_plan(
            source,
            num_learners=plan.num_learners,
            episodes_per_learner=1,
            seed=plan.seed,
            num_threads=1,
            keep_observations=False,
            dynamics=None,
            **plan.settings,
        )
        policy: Policy = with_probabilities(checked.policy, "the target")
        if round_size_of(policy) is not None:
            raise AlsimError(
                f"the target {label!r:.100} learns across learners, so its value depends on their number; pass a "
                "policy that learns from each learner alone"
            )
        found[label] = policy
    return found


def run(plan: CertificatePlan, processes: int, progress: Progress = lambda *_: None) -> Certificate:
    """Return the certificate of valid arguments."""
    parts, results = parts_of(plan), dict[Part, Any]()
    for part, result in run_parts(plan, parts, processes):
        results[part] = result
        progress(len(results), len(parts))
    return certificate_of(plan, results)


__all__ = ["Certificate", "certify", "certify_dataset", "run"]
