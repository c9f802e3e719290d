"""Repeated logs of simulated learners and true values by rollouts, in one or several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config, independent_unit
from alsim.datasets.generate import generate_dataset
from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.estimates import Statistic, estimate
from alsim.evaluation.ope.evaluation import Evaluation, evaluate_log
from alsim.evaluation.ope.features import NUM_FEATURES
from alsim.evaluation.ope.simulated import SimulatedLog
from alsim.policies import Policy
from alsim.rollouts.rollout import rollout
from alsim.types import FIRST_HELD_OUT, Doubles, Observation
from alsim.utils.workers import cure_of_main, depend_on_parent, dump, load, one_thread_each

TRUTH_LEARNERS = 10_000
"""Learners of one part of the rollouts of a true value."""
MOST_BYTES = 2**29
"""Memory of the features of the targets that one pass over a log reads; one target may take more."""

Progress = Callable[[int, int], None]
"""Function that is called with the numbers of finished and of all parts of the work."""


class CertificatePlan(NamedTuple):
    """Valid arguments of a certificate."""

    behaviour: Policy
    targets: dict[str, Policy]
    """Targets by label."""
    num_learners: int
    episodes_per_learner: int
    logs: int
    truth_learners: int
    seed: int
    """Seed of the first log, and of the held-out learners of the true values; log k has seed + k."""
    estimators: tuple[str, ...]
    gamma: float
    confidence: float
    window: int
    """Number of the last actions in the weights of `window`."""
    config: Config
    bank: Bank
    observation: Observation
    action_mask: Any

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that logs and rollouts share."""
        return {
            "config": self.config,
            "bank": self.bank,
            "observation": self.observation,
            "action_mask": self.action_mask,
        }

    @property
    def targets_at_once(self) -> int:
        """Number of targets for which one pass over a log is made, so that memory is bounded."""
        rows = self.num_learners * self.episodes_per_learner * self.config.max_episode_steps
        return max(1, MOST_BYTES // (rows * NUM_FEATURES * 4))


class Found(NamedTuple):
    """Estimates for one target from one log."""

    estimates: dict[str, tuple[float, float, float, float]]
    """Value, standard error, and ends of the interval, by estimator; NaN where they are undefined."""
    families: dict[str, str]
    """Kind of each of these estimators."""
    recommended: str | None
    predicted_ess: float
    """Effective sample size that the diagnosis predicts, episodes."""


class Part(NamedTuple):
    """Part of the work: a log, or some learners of a true value."""

    target: str | None
    """Target of a true value; None: a log."""
    number: int
    """Number of the log, or the first learner, both from 0."""


def parts_of(plan: CertificatePlan) -> list[Part]:
    """Return all parts of the work, in a fixed order."""
    starts = range(0, plan.truth_learners, TRUTH_LEARNERS)
    truths = [Part(target, start) for target in plan.targets for start in starts]
    return truths + [Part(None, number) for number in range(plan.logs)]


def run_part(plan: CertificatePlan, part: Part) -> Any:
    """Return the returns (n,) of a part of a true value, or one Found per target from a log."""
    if part.target is None:
        return evaluate_one(plan, part.number)
    return returns_of(plan, part.target, part.number)


def evaluate_one(plan: CertificatePlan, number: int) -> list[Found]:
    """Generate log `number`, and return what is found for each target. It has seed + number as its seed."""
    dataset = generate_dataset(
        plan.num_learners,
        plan.episodes_per_learner,
        policy=plan.behaviour,
        seed=(plan.seed + number) % 2**64,
        **plan.settings,
    )
    targets, size = [*plan.targets.values()], plan.targets_at_once
    found: list[Found] = []
    for start in range(0, len(targets), size):
        logs = SimulatedLog.of_targets(dataset, targets[start : start + size], plan.action_mask)
        while logs:
            found.append(_found(evaluate_log(logs.pop(0), **_options(plan))))
    return found


def _options(plan: CertificatePlan) -> dict[str, Any]:
    """Return the arguments of `evaluate_log`."""
    names = ("gamma", "confidence", "estimators", "window")
    return {name: getattr(plan, name) for name in names}


def _found(evaluation: Evaluation) -> Found:
    """Return the numbers of an evaluation that a certificate needs."""
    estimates = evaluation.estimators
    return Found(
        {name: (one.value, one.se, *(one.ci or (np.nan, np.nan))) for name, one in estimates.items()},
        {name: one.family for name, one in estimates.items()},
        evaluation.recommended,
        evaluation.diagnostics.predicted_ess,
    )


def returns_of(plan: CertificatePlan, target: str, start: int) -> Doubles:
    """Return the discounted returns (n,) of one episode of each of some held-out learners, from number `start` on."""
    run = rollout(
        plan.targets[target],
        num_learners=min(TRUTH_LEARNERS, plan.truth_learners - start),
        seed=plan.seed,
        first_learner=FIRST_HELD_OUT + start,
        keep_observations=False,
        **plan.settings,
    )
    steps = run.interactions
    discounted = steps.reward.astype(np.float64) * plan.gamma ** (steps.step - 1)
    return np.bincount(steps.episode, discounted, len(steps.length)).astype(np.float64)


def truth_of(plan: CertificatePlan, returns: Doubles) -> Statistic:
    """Return the true value of a target from the returns (n,) of held-out learners, in order."""
    unit = independent_unit(plan.config.to_dict())
    learners = FIRST_HELD_OUT + np.arange(len(returns))
    return estimate(returns, unit.of_learners(learners) if unit.name == "class" else None)


# ── processes ────────────────────────────────────────────────────────────────────────────────────


def run_parts(plan: CertificatePlan, parts: Sequence[Part], processes: int) -> Iterator[tuple[Part, Any]]:
    """Yield the parts of the work with their results, in order of completion.

    processes  number of processes; with 1, this process does the work. The results do not depend on it

    Raises the exception of a part, and AlsimError if a process ends unexpectedly.
    """
    if min(processes, len(parts)) <= 1:
        yield from ((part, run_part(plan, part)) for part in parts)
        return
    context = get_context("spawn")  # forks would share locks and threads of this process
    pool = ProcessPoolExecutor(min(processes, len(parts)), context, _begin_worker, (_dumped(plan),))
    try:
        with one_thread_each():
            waiting = {pool.submit(_work, part): part for part in parts}
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    except BrokenProcessPool:
        raise AlsimError(
            "a process of the certificate ended unexpectedly; if memory is short, use processes=1 or fewer learners; "
            f"otherwise, {cure_of_main('the policies', 'processes=1')}"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _dumped(plan: CertificatePlan) -> bytes:
    """Return the pickle of a plan. Raises InputTypeError if its policies or dynamics cannot be pickled."""
    try:
        return dump(plan)
    except Exception as error:  # a class of the user may raise any exception
        raise InputTypeError(
            f"policies and dynamics cannot be sent to processes: {error}; define them in a module, or use processes=1"
        ) from None


_job = b""
"""Pickled plan of this worker process."""


def _begin_worker(job: bytes) -> None:
    """Prepare a worker process."""
    global _job  # noqa: PLW0603  # the tasks of a pool get their common argument from its initializer
    depend_on_parent()
    _job = job


def _work(part: Part) -> Any:
    """Run a part of the work in a worker process."""
    return run_part(_plan(_job), part)


@cache
def _plan(job: bytes) -> CertificatePlan:
    """Return the plan of this worker process."""
    return load(job)  # type: ignore[no-any-return]  # `_dumped` pickles nothing else


__all__ = ["CertificatePlan", "Found", "Part", "Progress", "evaluate_one", "parts_of", "run_parts", "truth_of"]
