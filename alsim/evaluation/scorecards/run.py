"""Scorecards: fits of a student model to simulated logs, held against the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from alsim.arguments import read_integer, read_positive, read_seed
from alsim.errors import AlsimError
from alsim.evaluation.defaults import SCORECARD_LEARNERS
from alsim.evaluation.estimates import Statistic
from alsim.evaluation.monitoring import calibration
from alsim.evaluation.scorecards.canary import changed_from, largest_change, with_coin_flips
from alsim.evaluation.scorecards.measures import (
    Answers,
    Estimates,
    ability_errors,
    auc_of,
    between_auc,
    errors_of,
    excess_of,
    mean_over_logs,
    within_correlation,
)
from alsim.evaluation.scorecards.models import Candidate, candidate_of, forecasts_of
from alsim.evaluation.scorecards.results import LARGEST_CHANGE, Canary, Scorecard, Section
from alsim.evaluation.scorecards.truths import abilities_of, mastery_of, parameters_of
from alsim.evaluation.scorecards.worlds import TrueLog, World, divide, simulate
from alsim.models.features import earlier_of_skills
from alsim.types import Doubles

FEWEST_LEARNERS = 20
"""Smallest number of learners to fit to: half as many must answer often enough for an AUC."""

Progress = Callable[[int, int, str], None]
"""Callback with the number of finished fits, their total, and the kind of the learners."""


def scorecard(
    model: Any,
    *,
    num_learners: int = SCORECARD_LEARNERS,
    logs: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Scorecard:
    """Fit a student model to simulated logs, and hold it against the truth of the simulated learners.

    model         a model of alsim.models by name, such as "irt", "irt:2pl" or "bkt"; a student model without a fit,
                  such as "elo"; "module:Name"; a class of student models, which is called with `Items`; or a function
                  that takes a log, and returns an object with `predict(log)`, or a student model
    num_learners  learners of each log to which the model is fitted, at least 20; half as many are held out
    logs          number of logs; None: 10, and 1 for "dkt"
    seed          seed of the first log; log k has seed + k
    progress      called with the number of finished fits, their total, and the kind of the learners

    `irt` meets learners of constant ability, and `bkt` those of the dynamics `bkt`: learners of their own kind. Their
    misfit is measured on learners of the standard dynamics. `hlr` and student models that know time, such as `fsrs`,
    meet learners who forget, in logs with times. Other models meet the first three kinds.

    Returns a Scorecard, the same for the same arguments; that of `dkt` depends on the machine. Raises AlsimError for
    invalid arguments, and for a model whose optional dependency is missing.
    """
    candidate = candidate_of(model)
    if (number := read_integer(num_learners)) is None or number < FEWEST_LEARNERS:
        raise AlsimError(
            f"num_learners must be an integer of at least {FEWEST_LEARNERS}; got {num_learners!r:.100}: 1000 is usual"
        )
    runs = candidate.logs if logs is None else read_positive(logs, "logs")
    plan = Plan(candidate, number, runs, read_seed(seed), progress or (lambda *_: None))
    own, *others = [section_of(plan, world, k) for k, world in enumerate(candidate.own)]
    misfit = None if candidate.misfit is None else section_of(plan, candidate.misfit, len(candidate.own))
    return Scorecard(candidate.name, plan.seed, number, own, tuple(others), misfit, canary_of(plan, plan.num_worlds))


@dataclass(frozen=True)
class Plan:
    """Arguments of a scorecard."""

    candidate: Candidate
    num_learners: int
    logs: int
    seed: int
    progress: Progress

    @property
    def num_worlds(self) -> int:
        """Number of kinds of learners."""
        return len(self.candidate.own) + (self.candidate.misfit is not None)

    def report(self, world: str, before: int, done: int) -> None:
        """Report progress: the finished fits of a kind, after those of earlier kinds."""
        self.progress(before * self.logs + done, (self.num_worlds + 1) * self.logs, world)

    def log(self, world: World, number: int) -> tuple[TrueLog, int]:
        """Return a log, and its seed."""
        seed = (self.seed + number) % 2**64
        return simulate(world, self.num_learners + self.num_learners // 2, seed), seed


class Found(NamedTuple):
    """Results of one log."""

    parameters: dict[str, Estimates] | str
    ability: Estimates | None
    known: Doubles | None
    held: TrueLog
    forecast: Doubles
    group: Any
    num_fitted: int
    num_answers: int
    converged: bool


def section_of(plan: Plan, world: World, before: int) -> Section:
    """Return the measures on learners of one kind; `before` is the number of earlier kinds."""
    found = []
    for k in range(plan.logs):
        plan.report(world.name, before, k)
        found.append(result_of(plan.candidate, *plan.log(world, k), plan.num_learners))
    plan.report(world.name, before, plan.logs)
    return summary_of(world, found)


def result_of(candidate: Candidate, truth: TrueLog, seed: int, num_learners: int) -> Found:
    """Fit a model to the first learners of a log, and compare it with the truth of the others."""
    fitted_to, held = divide(truth, num_learners)
    fitted = candidate.fit(fitted_to.log, truth.log, seed)
    forecast = forecasts_of(fitted, held.log, candidate.name)
    return Found(
        parameters_of(fitted, truth),
        abilities_of(fitted, held),
        mastery_of(fitted, held, forecast),
        held,
        forecast,
        group_of(held),
        fitted_to.log.num_students,
        len(fitted_to.log),
        bool(getattr(fitted, "converged", True)),
    )


def group_of(held: TrueLog) -> Any:
    """Return the group (R,) of each answer: its item, and the number of earlier answers to its skill."""
    earlier = np.asarray(earlier_of_skills(held.log)[1], np.int64)
    return earlier * held.log.num_items + held.log.item


def summary_of(world: World, found: list[Found]) -> Section:
    """Return the measures of all logs of one kind of learners."""
    student = offset([one.held.log.student for one in found])
    group = offset([one.group for one in found])
    correct = np.concatenate([one.held.log.correct for one in found])
    forecast = np.concatenate([one.forecast for one in found])
    mastery = np.concatenate([one.held.mastery for one in found])
    ability = np.concatenate([one.held.ability for one in found])
    known = None if found[0].known is None else np.concatenate([one.known for one in found if one.known is not None])
    estimate = forecast if known is None else np.where(np.isnan(known), 0.0, known)
    answers = [Answers(one.held.log.correct, one.forecast, one.held.chance, one.held.log.student) for one in found]
    first = found[0].parameters
    has = None if known is None else ~np.isnan(known)
    return Section(
        world=world.name,
        description=world.description,
        logs=len(found),
        learners=float(np.mean([one.num_fitted for one in found])),
        held_out=sum(one.held.log.num_students for one in found),
        fitted=sum(one.num_answers for one in found),
        forecast=len(correct),
        unconverged=sum(not one.converged for one in found),
        parameters=None if isinstance(first, str) else {name: errors_of(_of_parameter(found, name)) for name in first},
        note=first if isinstance(first, str) else "",
        ability=None if found[0].ability is None else ability_errors([one.ability for one in found if one.ability]),
        mastery=None if known is None or has is None else calibration(known[has], mastery[has], student[has]),
        forecasts=calibration(forecast, correct, student),
        follows={
            "mastery": within_correlation(estimate, mastery, group, student),
            "ability": within_correlation(estimate, ability, group, student),
        },
        auc=mean_over_logs([auc_of(one.correct, one.forecast, one.student) for one in answers]),
        oracle_auc=mean_over_logs([auc_of(one.correct, one.chance, one.student) for one in answers]),
        excess=mean_over_logs([excess_of(one) for one in answers]),
        first={} if isinstance(first, str) else first,
    )


def _of_parameter(found: list[Found], name: str) -> list[Estimates]:
    """Return the estimates of a parameter in all logs."""
    return [one.parameters[name] for one in found if not isinstance(one.parameters, str)]


def offset(columns: list[Any]) -> Any:
    """Return codes of all logs, numbered on from log to log."""
    ends = np.cumsum([0, *(int(one.max(initial=-1)) + 1 for one in columns)])
    return np.concatenate([one.astype(np.int64) + end for one, end in zip(columns, ends[:-1], strict=True)])


def canary_of(plan: Plan, before: int) -> Canary:
    """Return the checks for leaks, on logs of the first kind with coin flips as answers."""
    aucs: list[Statistic] = []
    change = 0.0
    for k in range(plan.logs):
        plan.report("coin flips", before, k)
        truth, seed = plan.log(plan.candidate.own[0], k)
        flipped = truth._replace(log=with_coin_flips(truth.log, seed))
        fitted_to, held = divide(flipped, plan.num_learners)
        fitted = (plan.candidate.flips or plan.candidate.fit)(fitted_to.log, flipped.log, seed)
        forecast = forecasts_of(fitted, held.log, plan.candidate.name)
        aucs.append(between_auc(held.log.correct, forecast, held.log.student))
        changed, cut = changed_from(held.log, seed)
        after = forecasts_of(fitted, changed, plan.candidate.name)
        change = max(change, largest_change(held.log, cut, forecast, after))
        if change > LARGEST_CHANGE:
            _check_repeated(forecast, forecasts_of(fitted, held.log, plan.candidate.name), plan.candidate.name)
    plan.report("coin flips", before, plan.logs)
    return Canary(mean_over_logs(aucs), change)


def _check_repeated(first: Doubles, second: Doubles, name: str) -> None:
    """Raise AlsimError if two forecasts of one log differ: their change would not be that of a leak."""
    if (size := float(np.abs(first - second).max())) > LARGEST_CHANGE:
        raise AlsimError(
            f"{name} must forecast the same log equally; got differences of up to {size:.2g}: fix the seed of the model"
        )


__all__ = ["scorecard"]
