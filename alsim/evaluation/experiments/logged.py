"""Experiments in datasets of simulated learners, one per arm, and in exported logs of an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.config import independent_unit
from alsim.datasets.engine_log import EngineLog
from alsim.datasets.store import Dataset
from alsim.datasets.tables import numpy_column
from alsim.errors import AlsimError, did_you_mean
from alsim.evaluation.experiments.data import ExperimentData, ordered_arms
from alsim.evaluation.experiments.student_metrics import StudentMetric
from alsim.metrics import METRICS
from alsim.types import Doubles, Longs, Reason

ENGINE_METRICS: Mapping[str, str] = {
    "learning": "change of the estimated mastery, summed over skills",
    "interactions": "number of interactions",
    "answers": "number of answered questions",
    "correct": "number of correct answers",
    "sessions": "number of sessions",
    "returned": "1 for a student with a second session, 0 otherwise",
    "satisfaction": "sum of the ratings",
    "ratings": "number of the ratings, so that satisfaction/ratings is their mean",
    "session_minutes": "time from the first to the last event of each session, added up, minutes",
}
"""Metrics of students in the log of an engine, from their first exposure to the experiment on."""
DATASET_METRICS: Mapping[str, str] = {
    "learning": "mastery gained, summed over LOs",
    "interactions": "number of interactions",
    "give_up_rate": "share of the episodes that ended by frustration",
    **{name: metric.description for name, metric in METRICS.items()},
}
"""Metrics of learners in a dataset: sums, or means over the episodes of the learner."""


def from_datasets(
    datasets: Sequence[Dataset], metrics: Iterable[StudentMetric], *, control: str | None = None
) -> ExperimentData:
    """Return the learners of datasets, each of which is one arm with the name of its policy.

    The control is the first one, or that of the policy `control`. Learners of a class are a cluster if the
    configuration has effects of classes. The arms take turns in the order of arrival, so that a sequence has learners
    of all of them at each look. Raises AlsimError for one dataset, for datasets with other rules or numbers of
    episodes, and for learners who are in two of them.
    """
    names = [str(one.manifest["policy"]["name"]) for one in datasets]
    if len(set(names)) < len(names):
        raise AlsimError(
            f"the datasets must have different policies, whose names are those of the arms; got {names[0]!r:.60} "
            "twice: generate the other arm with another policy"
        )
    cure = "pass one dataset per arm, such as those of two policies"
    ordered = ordered_arms(names, names[0] if control is None else control, "the datasets", cure)
    parts = sorted(zip(names, datasets, strict=True), key=lambda pair: ordered.index(pair[0]))
    _check_datasets([one for _, one in parts])
    wanted = tuple(dict.fromkeys(name for metric in metrics for name in metric.columns))
    found = [_of_learners(one, wanted) for _, one in parts]
    unit = independent_unit(parts[0][1].manifest["config"])
    clusters = None
    if unit.name == "class":
        keys = [learner // unit.size + 2**40 * int(k) for k, (learner, _) in enumerate(found)]
        clusters = np.unique(np.concatenate(keys), return_inverse=True)[1].astype(np.int64)
    sizes = [len(learner) for learner, _ in found]
    planned = sum(int(one.manifest["num_learners"]) for _, one in parts)
    data = ExperimentData(
        source="the datasets",
        names=tuple(ordered),
        arms=np.repeat(np.arange(len(found)), sizes),
        values={name: np.concatenate([values[name] for _, values in found]) for name in wanted},
        clusters=clusters,
        shares=tuple(float(one.manifest["num_learners"]) / planned for _, one in parts),
    )
    return data.taken(np.argsort(np.concatenate([np.arange(size) / size for size in sizes]), kind="stable"))


def from_engine(
    log: EngineLog,
    metrics: Iterable[StudentMetric],
    *,
    experiment: str | None = None,
    control: str | None = None,
) -> ExperimentData:
    """Return the students of an experiment in the log of an engine, in the order of their first exposure.

    The classes of an experiment that assigns classes are clusters.

    experiment  name of the experiment; None: the only one of the log
    control     name of the control; None: the first arm of the experiment

    Raises AlsimError for a log without experiments, an unknown experiment, and students in two arms.
    """
    known = log.experiments
    name = _experiment_of(log, known, experiment)
    exposures = log.exposures().only(name)
    order = np.argsort(exposures.time, kind="stable")
    exposures = exposures._replace(**{key: values[order] for key, values in exposures._asdict().items()})
    if exposures.overlapping.any():
        who = exposures.student[exposures.overlapping.argmax()]
        raise AlsimError(
            f"{log!r:.100}: the arms overlap: the student {who!r:.60} is in more than one arm of {name!r}, as are "
            f"{int(exposures.overlapping.sum())} in all: leave them out, or begin a new experiment"
        )
    arms = [*known[name].arms] if name in known else sorted(set(exposures.arm.tolist()))
    cure = "wait for students of another arm"
    ordered = ordered_arms(arms, arms[0] if control is None else control, f"experiment {name}", cure)
    wanted = tuple(dict.fromkeys(column for metric in metrics for column in metric.columns))
    is_class = name in known and known[name].unit == "class"
    classes = np.unique(exposures.unit, return_inverse=True)[1].astype(np.int64) if is_class else None
    return ExperimentData(
        source=f"experiment {name}",
        names=tuple(ordered),
        arms=np.array([ordered.index(arm) for arm in exposures.arm.tolist()], np.int64),
        values=_of_students(log, name, exposures.student.tolist(), exposures.time, wanted),
        clusters=classes,
        shares=tuple(known[name].arms[arm] for arm in ordered) if name in known else None,
    )


# ── datasets ─────────────────────────────────────────────────────────────────────────────────────


def _check_datasets(datasets: Sequence[Dataset]) -> None:
    """Raise AlsimError unless datasets are arms of one experiment: with the same rules, and other learners."""
    first = datasets[0].manifest
    for number, one in enumerate(datasets[1:], 1):
        if one.manifest["config"] != first["config"]:
            raise AlsimError(f"the arms {datasets[0]!r} and {one!r} differ in their configuration: generate both alike")
        if (own := one.manifest["episodes_per_learner"]) != (other_own := first["episodes_per_learner"]):
            raise AlsimError(
                f"the arms {datasets[0]!r} and {one!r} differ in the episodes per learner; got {other_own} and {own}, "
                "whose sums cannot be compared: generate both with the same --episodes"
            )
        for other in datasets[:number]:
            if one.manifest["seed"] == other.manifest["seed"]:
                raise AlsimError(
                    f"the arms overlap: {other!r} and {one!r} have the same learners, as their seeds are equal; "
                    "generate one of them with another --seed, or compare the policies by alsim compare"
                )


def _of_learners(dataset: Dataset, names: Sequence[str]) -> tuple[Longs, dict[str, Doubles]]:
    """Return the learners of a dataset, (n,), and their values, (n,) each."""
    episodes = dataset.episodes
    learners, place = np.unique(numpy_column(episodes, "learner_id"), return_inverse=True)
    count = np.bincount(place).astype(np.float64)
    values = dict[str, Doubles]()
    for name in names:
        if name not in DATASET_METRICS:
            raise _unknown(name, DATASET_METRICS, repr(dataset))
        if name == "learning":
            row, sums = np.searchsorted(learners, dataset.learner_id), dataset.transitions.column("mastery_gain")
            values[name] = np.bincount(row, sums.to_numpy().astype(np.float64), len(learners)).astype(np.float64)
        elif name == "interactions":
            values[name] = np.bincount(place, numpy_column(episodes, "total_steps")).astype(np.float64)
        else:
            values[name] = np.asarray(np.bincount(place, _by_episode(dataset, name)) / count)
    return learners.astype(np.int64), values


def _by_episode(dataset: Dataset, name: str) -> Doubles:
    """Return the value of a metric for each episode, (E,). Raises AlsimError where it is undefined."""
    if name == "give_up_rate":
        reason = numpy_column(dataset.episodes, "termination_reason")
        return np.asarray(reason == Reason.CRITICAL_FRUSTRATION, np.float64)
    column = dataset.episodes.column(name)
    if column.null_count:
        raise AlsimError(
            f"{dataset!r}: {name} is undefined for {column.null_count:,} of {len(column):,} episodes: use a metric "
            "that every episode has"
        )
    return np.asarray(column.to_numpy(), np.float64)


# ── engines ──────────────────────────────────────────────────────────────────────────────────────


def _experiment_of(log: EngineLog, known: Mapping[str, Any], experiment: str | None) -> str:
    """Return the name of an experiment of a log. Raises AlsimError for an unknown one."""
    names = sorted({*known, *log.exposures().experiment.tolist()})
    if not names:
        raise AlsimError(f"{log!r:.100} has no experiment: export the log of an engine with policy experiment:NAME")
    if experiment is None:
        if len(names) > 1:
            raise AlsimError(f"the log has {len(names)} experiments, {', '.join(names[:8])}: choose one (--experiment)")
        return str(names[0])
    if experiment not in names:
        raise AlsimError(
            f"there is no experiment {experiment!r:.60} in the log{did_you_mean(experiment, names)}; it has "
            f"{', '.join(names[:8])}"
        )
    return experiment


def _of_students(
    log: EngineLog, experiment: str, students: Sequence[str], since: Doubles, names: Sequence[str]
) -> dict[str, Doubles]:
    """Return values of students, (n,) each, from their first exposure on.

    since  time of the first exposure, (n,)
    """
    number = _numbers_of(log, students)
    episode_learner = numpy_column(log.episodes, "learner_id").astype(np.int64)
    begun = np.full(int(episode_learner.max(initial=0)) + 1, np.inf)
    begun[number] = since
    learner = log.learner_id.astype(np.int64)
    rows = log.time >= begun[learner]
    starts, ends = (numpy_column(log.episodes, key).astype(np.float64) for key in ("start", "end"))
    sessions = ends >= begun[episode_learner]
    minutes = np.maximum(ends - np.maximum(starts, begun[episode_learner]), 0.0) / 60
    credit = log.numbers("transitions", "credit")
    rater, rating = _ratings(log, begun)

    def total(who: Longs, values: NDArray[Any] | None = None) -> Doubles:
        """Return the sums of values over students, or the numbers of rows."""
        return np.bincount(who, values, len(begun)).astype(np.float64)

    formulas: dict[str, Callable[[], Doubles]] = {
        "learning": lambda: total(learner[rows], log.reward[rows].astype(np.float64)),
        "interactions": lambda: total(learner[rows]),
        "answers": lambda: total(learner[rows], ~np.isnan(credit[rows])),
        "correct": lambda: total(learner[rows], np.nan_to_num(credit[rows])),
        "sessions": lambda: total(episode_learner[sessions]),
        "returned": lambda: (total(episode_learner[sessions]) > 1).astype(np.float64),
        "satisfaction": lambda: total(rater, rating),
        "ratings": lambda: total(rater),
        "session_minutes": lambda: total(episode_learner[sessions], minutes[sessions]),
    }
    for name in names:
        if name not in formulas:
            raise _unknown(name, ENGINE_METRICS, f"experiment {experiment}")
    return {name: formulas[name]()[number] for name in names}


def _ratings(log: EngineLog, begun: Doubles) -> tuple[Longs, Doubles]:
    """Return the students who have rated since a time (n,), and their ratings, one per rating."""
    rating, who = log.numbers("events", "satisfaction"), numpy_column(log.events, "learner_id").astype(np.int64)
    rows = ~np.isnan(rating) & (log.numbers("events", "time") >= begun[who])
    return who[rows], rating[rows]


def _numbers_of(log: EngineLog, students: Sequence[str]) -> Longs:
    """Return the numbers of students in the tables of a log, (n,)."""
    if not log.manifest["names"]:
        return np.array([int(student) for student in students], np.int64)
    learners, first = np.unique(numpy_column(log.events, "learner_id"), return_index=True)
    names = log.events.column("learner_name").take(first).to_pylist()
    number = dict(zip(map(str, names), learners.tolist(), strict=True))
    return np.array([number[student] for student in students], np.int64)


def _unknown(name: str, known: Mapping[str, str], source: str) -> AlsimError:
    """Return the error about an unknown metric."""
    return AlsimError(
        f"{source}: unknown metric {name!r:.60}{did_you_mean(name, known)}; expected some of {', '.join(known)}"
    )


__all__ = ["DATASET_METRICS", "ENGINE_METRICS", "from_datasets", "from_engine"]
