"""Fairness of a student model and of a policy towards simulated learners, whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alsim.config import independent_unit
from alsim.datasets.manifest import population_of
from alsim.datasets.store import Dataset, load_dataset
from alsim.datasets.tables import numpy_column
from alsim.errors import AlsimError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.fairness.forecasts import Calibrations, forecast_sections
from alsim.evaluation.fairness.inputs import LEAST_MEMBERS, Grouping, read_grouping
from alsim.evaluation.fairness.items import DIF
from alsim.evaluation.fairness.judged import Judged, estimates_of, loaded, needs_times
from alsim.evaluation.fairness.mastery import mastery_sections, outcomes_of
from alsim.evaluation.fairness.questions import tests_of_questions
from alsim.evaluation.fairness.rates import Column, means_of
from alsim.evaluation.fairness.recalibration import notes_of
from alsim.evaluation.fairness.report import Fairness
from alsim.evaluation.statistics_input import read_confidence, read_number
from alsim.responses.log import Responses, codes_of
from alsim.types import Longs, Reason

MASTERED = 0.8
"""Default mastery from which an outcome is mastered, as `mastery_threshold` of the configuration."""

Groups = Mapping[int, str] | None


def evaluate_dataset(
    dataset: Dataset | str | Path,
    model: Any = None,
    *,
    groups: Groups = None,
    mastered: float = MASTERED,
    confidence: float = CONFIDENCE,
    items: bool = True,
) -> Fairness:
    """Compare a student model and a policy between groups of simulated learners, whose truth is known.

    dataset     dataset, or its directory
    model       student model, fit, file of one of them, or the name of a model that is fitted here: bkt, irt, pfa or
                hlr, each half of the learners followed by the model of the other half; "fsrs" with its published
                weights; None: only the policy
    groups      group of learners by learner_id; None: the rows of the population
    mastered    mastery from which an outcome is mastered, in the truth and in the estimates, in (0, 1]
    confidence  level of the intervals, in (0, 1)
    items       whether to test the questions for DIF

    The sections of the result are

    policy      return, mastery gained and others, of each episode
    mastery     of each episode and outcome at the end of the episode, estimated and true mastery: bias (estimated -
                true), declared (estimated mastery >= mastered), true (true mastery >= mastered), tpr (share declared of
                those truly mastered) and fpr
    forecasts   of each answer, forecast before it: bias (forecast - answer) and brier (mean squared error)

    "mastery" and "forecasts" have three versions: as they are, "after recalibration" of all learners together, and
    "after recalibration by group", by `platt_scaling`. That of mastery uses the truth, which only a simulation knows.
    The questions are tested by Mantel-Haenszel in 10 strata of ability, estimated with the parameters of the bank. The
    bank is the same for all groups, so there is no planted DIF: flags show that ability alone does not explain answers.

    Returns a Fairness. Raises AlsimError for a dataset without groups, and for a model that does not fit the dataset.
    """
    source = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    level, threshold = read_confidence(confidence), read_number(mastered, "mastered", "use 0.8, say")
    if not 0 < threshold <= 1:
        raise AlsimError(f"mastered must be in (0, 1]; got {threshold:g}: use 0.8, say")
    learner = numpy_column(source.episodes, "learner_id")
    grouping, unit = _grouping_of(source, learner, groups)
    sections = {"policy": means_of(_outcomes(source), grouping, level)}
    calibrations, tests, notes = Calibrations(), list[DIF](), list[str]()
    if model is not None or items:
        found = None if model is None else loaded(model)
        log = Responses.from_dataset(source, times=needs_times(found))
        episode = _episodes_of(log, source)
        if found is not None:
            judged = estimates_of(found, log, learner[episode])
            sections |= mastery_sections(judged, source, episode, grouping, threshold, level)
            of_answers, correct = grouping.take(episode[log.student]), log.correct.astype(np.float64)
            forecasts, calibrations = forecast_sections(judged.chance, correct, of_answers, level)
            sections |= forecasts
            notes += [*notes_of(of_answers), *_notes(judged, source)]
        if items:
            tests = tests_of_questions(source.bank, log, grouping.codes[episode], grouping.names, level)
    members = dict(zip(grouping.names, grouping.members.tolist(), strict=True))
    return Fairness(grouping.names, members, sections, calibrations, tests, unit, notes)


def _grouping_of(dataset: Dataset, learner: Longs, groups: Groups) -> tuple[Grouping, str]:
    """Return the groups of the episodes, and the name of the independent unit.

    A class has learners of several groups. The members of a class in a group are one unit. The effect of the class is
    common to its groups, so the standard error of a difference is then too large rather than too small.
    """
    names, unit = _groups_of(dataset, learner, groups), independent_unit(dataset.manifest["config"])
    if unit.name != "class":
        return read_grouping(names, learner, len(names)), "learner"
    labels = np.unique(names, return_inverse=True)[1].ravel()
    return read_grouping(names, (learner // unit.size) * (labels.max() + 1) + labels, len(names)), "class"


def _groups_of(dataset: Dataset, learner: Longs, groups: Groups) -> Any:
    """Return the group of each episode, (E,). Raises AlsimError if there are none."""
    if groups is not None:
        if missing := [one for one in np.unique(learner).tolist() if one not in groups]:
            raise AlsimError(
                f"groups must have every learner of the dataset; learner {missing[0]} is missing: add it, or make the "
                "unknown ones a group"
            )
        return np.array([str(groups[one]) for one in learner.tolist()])
    population = population_of(dataset.manifest)
    if population is None or len(population) < 2:
        raise AlsimError(
            f"{dataset!r} has one kind of learner, and fairness compares groups: generate it with a population of "
            "several rows (alsim generate --config), or pass groups"
        )
    row = numpy_column(dataset.episodes, "population_row")
    members = np.bincount(row[np.unique(learner, return_index=True)[1]], minlength=len(population))
    if (few := members < LEAST_MEMBERS).any():
        k = int(few.argmax())
        raise AlsimError(
            f"{dataset!r}: a group must have at least {LEAST_MEMBERS} learners; got {members[k]} in the row "
            f"{population.names[k]!r:.60} of the population: generate more learners, or give the row a larger share"
        )
    return np.array(population.names)[row]


def _outcomes(dataset: Dataset) -> dict[str, Column]:
    """Return what each episode brings its learner, (E,) each."""
    episodes = dataset.episodes
    everyone = np.ones(episodes.num_rows, np.bool_)
    gain = numpy_column(dataset.transitions, "mastery_gain").astype(np.float64)
    length = numpy_column(episodes, "total_steps").astype(np.int64)
    learning = np.add.reduceat(gain, np.cumsum(length) - length)
    gave_up = numpy_column(episodes, "termination_reason") == Reason.CRITICAL_FRUSTRATION
    accuracy = episodes.column("question_accuracy").to_numpy().astype(np.float64)
    return {
        "return": Column(numpy_column(episodes, "cumulative_reward").astype(np.float64), everyone),
        "learning": Column(learning, everyone),
        "final_mastery": Column(numpy_column(episodes, "final_mastery").astype(np.float64), everyone),
        "gave_up": Column(gave_up.astype(np.float64), everyone, True),
        "interactions": Column(length.astype(np.float64), everyone),
        "accuracy": Column(np.nan_to_num(accuracy), ~np.isnan(accuracy)),
        "time_on_task": Column(numpy_column(episodes, "time_on_task").astype(np.float64), everyone),
    }


def _episodes_of(log: Responses, dataset: Dataset) -> Longs:
    """Return the row of the episode of each student of a log, (S,)."""
    learner, episode = (numpy_column(dataset.episodes, name) for name in ("learner_id", "episode"))
    names = np.array([f"{a}/{b}" for a, b in zip(learner.tolist(), episode.tolist(), strict=True)])
    return codes_of(log.students, names).astype(np.int64)


def _notes(judged: Judged, dataset: Dataset) -> list[str]:
    """Return the note about outcomes that the model does not have as skills."""
    total = len(dataset.bank.outcomes)
    left_out = total - len(np.unique(outcomes_of(judged, dataset)[outcomes_of(judged, dataset) >= 0]))
    return [f"{left_out} of {total} outcomes are not skills of the model, and are left out"] if left_out else []


__all__ = ["MASTERED", "evaluate_dataset"]
