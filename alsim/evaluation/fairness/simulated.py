"""Fairness of a student model and of a policy towards simulated learners, whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alsim.config import independent_unit
from alsim.datasets.manifest import population_of
from alsim.datasets.replayed import recompute_observations
from alsim.datasets.store import Dataset, load_dataset
from alsim.datasets.tables import numpy_column
from alsim.errors import AlsimError, did_you_mean
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.fairness.forecasts import FORECASTS, forecast_sections
from alsim.evaluation.fairness.inputs import Grouping, read_grouping
from alsim.evaluation.fairness.items import DIF, dif_of_answers
from alsim.evaluation.fairness.rates import Column, GroupMetrics, means_of
from alsim.evaluation.fairness.recalibration import scaled
from alsim.evaluation.fairness.report import Fairness
from alsim.evaluation.monitoring import Calibration
from alsim.evaluation.statistics_input import read_confidence, read_number
from alsim.models.base import Fit, ModelError, load_fit
from alsim.models.irt import ItemParameters, estimate_ability
from alsim.models.student import Items, StudentModel, load_student_model, student_model
from alsim.models.student.fits import Followed, followed
from alsim.responses.log import Responses, codes_of
from alsim.types import Doubles, Longs, Reason, describe

MASTERED = 0.8
"""Default mastery from which an outcome is mastered, as `mastery_threshold` of the configuration."""
STRATA = 10
"""Number of strata of ability in tests of items."""
FITTED = ("bkt", "irt", "pfa")
"""Student models that can be fitted to the dataset itself."""
FOLDS = 2
"""Number of folds of learners: a model that is fitted here follows the learners of other folds than its own."""

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
    model       student model, fit, file of one of them, or the name of a model that is fitted here: bkt, irt or pfa,
                each half of the learners followed by the model of the other half; None: only the policy
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
    names = _groups_of(source, learner, groups)
    unit = independent_unit(source.manifest["config"])
    by_class = unit.name == "class"
    # A class has learners of several groups: the class effect is common to them, so that this is conservative.
    labels = np.unique(names, return_inverse=True)[1].ravel()
    independent = (learner // unit.size) * (labels.max() + 1) + labels if by_class else learner
    grouping = read_grouping(names, independent, len(names))
    sections = {"policy": means_of(_outcomes(source), grouping, level)}
    calibrations: dict[str, Mapping[str, Calibration]] = {}
    found_items: list[DIF] = []
    notes: list[str] = []
    if model is not None or items:
        log = Responses.from_dataset(source)
        episode = _episodes_of(log, source)
        if model is not None:
            result = _followed(model, log, learner[episode])
            truth = true_mastery(source)
            sections |= _mastery_sections(
                result[0], result[1], log, truth, episode, grouping, threshold, level, source, notes
            )
            of_answers = grouping.take(episode[log.student])
            found, calibrations = forecast_sections(result[0].chance, log.correct.astype(np.float64), of_answers, level)
            sections |= found
        if items:
            found_items = _items_of(source, log, grouping.codes[episode], grouping.names, level)
    members = dict(zip(grouping.names, grouping.members.tolist(), strict=True))
    return Fairness(
        grouping.names, members, sections, calibrations, found_items, "class" if by_class else "learner", notes
    )


# ── groups, truth and outcomes ───────────────────────────────────────────────────────────────────


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
    return np.array(population.names)[numpy_column(dataset.episodes, "population_row")]


def true_mastery(dataset: Dataset) -> Doubles:
    """Return the true mastery of each outcome at the end of each episode, (E, L), by a replay of the actions."""
    num_los, found = dataset.manifest["bank"]["num_los"], []
    for part in dataset.parts():
        if part.manifest["observation"] == "mastery":
            final = part.final_obs
        else:
            manifest = {**part.manifest, "observation": "mastery"}
            columns = (numpy_column(part.transitions, name) for name in ("action", "reward"))
            final = recompute_observations(manifest, part.bank, part.episodes, *columns)[1]
        found.append(np.asarray(final[:, :num_los], np.float64))
    return np.concatenate(found)


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


# ── a student model ──────────────────────────────────────────────────────────────────────────────


def _followed(model: Any, log: Responses, learner: Longs) -> tuple[Followed, Items]:
    """Return forecasts and mastery by a model, and its items. Raises AlsimError."""
    if isinstance(model, str) and not Path(model).exists():
        if model not in FITTED:
            raise AlsimError(
                f"model must be a student model, a file of one, or one of {', '.join(FITTED)}; got {model!r:.60}"
                f"{did_you_mean(model, FITTED)}"
            )
        return _cross_fitted(model, log, learner)
    made = _model_of(model, log)
    return followed(made, log), made.items


def _model_of(model: Any, log: Responses) -> StudentModel:
    """Return a student model from a model, a fit, or a file of one of them. Raises AlsimError for others."""
    if isinstance(model, str | Path):
        try:
            model = load_fit(model)
        except ModelError:
            model = load_student_model(model)
    if isinstance(model, Fit):
        return student_model(model, Items.of_log(log))
    if not isinstance(model, StudentModel):
        raise AlsimError(f"model must be a student model, a fit, or a file of one; got {describe(model)}: fit one")
    return model


def _cross_fitted(name: str, log: Responses, learner: Longs) -> tuple[Followed, Items]:
    """Return forecasts and mastery of the learners of each fold by a model that is fitted to the other fold."""
    from importlib import import_module

    fit, items = import_module(f"alsim.models.{name}").fit, Items.of_log(log)
    fold = np.unique(learner, return_inverse=True)[1].ravel() % FOLDS
    chance, mastery = np.empty(len(log)), np.empty((log.num_students, items.num_skills))
    for k in range(FOLDS):
        fitted = fit(log.subset(fold != k))
        own = log.subset(fold == k)
        found = followed(student_model(fitted, items), own)
        chance[fold[log.student] == k], mastery[fold == k] = found.chance, found.mastery
    return Followed(chance, mastery), items


def _mastery_sections(
    found: Followed,
    items: Items,
    log: Responses,
    truth: Doubles,
    episode: Longs,
    grouping: Grouping,
    mastered: float,
    confidence: float,
    dataset: Dataset,
    notes: list[str],
) -> dict[str, GroupMetrics]:
    """Return the sections about mastery: each row is an outcome of an episode."""
    outcome = codes_of(items.skills, np.array(dataset.bank.outcomes, np.str_))
    known = outcome >= 0
    if not known.any():
        raise AlsimError(
            f"the skills of the model are not outcomes of the dataset, such as {str(items.skills[0])!r:.60}; the "
            f"outcomes are {', '.join(dataset.bank.outcomes[:3])}, ...: fit the model to a log of this bank"
        )
    if (left_out := len(dataset.bank.outcomes) - int(known.sum())) > 0:
        notes.append(f"{left_out} of {len(dataset.bank.outcomes)} outcomes are not skills of the model: left out")
    estimate = found.mastery[:, known].ravel()
    true = np.clip(truth[episode][:, outcome[known]], 0.0, 1.0).ravel()
    rows = grouping.take(np.repeat(episode, int(known.sum())))
    one_map = np.zeros_like(rows.codes)
    versions = {
        "mastery": estimate,
        "mastery after recalibration": scaled(estimate, true, one_map, rows.units),
        "mastery after recalibration by group": scaled(estimate, true, rows.codes, rows.units),
    }
    return {name: mastery_metrics(one, true, rows, mastered, confidence) for name, one in versions.items()}


def mastery_metrics(
    estimate: Doubles, true: Doubles, groups: Grouping, mastered: float, confidence: float
) -> GroupMetrics:
    """Return how estimates of mastery (R,) differ from the truth, by group, see `evaluate_dataset`."""
    everyone, declared, has = np.ones(len(true), np.bool_), (estimate >= mastered).astype(np.float64), true >= mastered
    columns = {
        "bias": Column(estimate - true, everyone),
        "declared": Column(declared, everyone, True),
        "true": Column(has.astype(np.float64), everyone, True, False),
        "tpr": Column(declared, has, True),
        "fpr": Column(declared, ~has, True),
    }
    return means_of(columns, groups, confidence)


# ── questions ────────────────────────────────────────────────────────────────────────────────────


def _items_of(dataset: Dataset, log: Responses, group: Longs, names: tuple[str, ...], confidence: float) -> list[DIF]:
    """Return the tests of the questions for each focal group, against all others; once for two groups."""
    q = dataset.bank.questions
    parameters = ItemParameters(q.irt_a, q.irt_b, q.irt_c, names=q.id)
    ability = estimate_ability(parameters, log).theta
    edges = np.quantile(ability, np.arange(1, STRATA) / STRATA)
    stratum = np.searchsorted(edges, ability, side="right").astype(np.int64)
    pairs = log.student.astype(np.int64) * len(log.items) + log.item
    rows = np.unique(pairs, return_index=True)[1]  # the first answer of a student to a question
    student, item = log.student[rows], log.item[rows].astype(np.int64)
    found = []
    for g in range(1 if len(names) == 2 else 0, len(names)):
        is_focal = (group == g)[student]
        columns = item, stratum[student], is_focal, log.correct[rows].astype(np.int64)
        found.append(dif_of_answers(*columns, log.items, confidence, names[g]))
    return found


__all__ = ["FORECASTS", "MASTERED", "evaluate_dataset", "mastery_metrics", "true_mastery"]
