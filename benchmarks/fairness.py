"""Error rates of `alsim.evaluation.fairness` in repeated samples: planted gaps and planted DIF, and none.

    python -m benchmarks.fairness [REPETITIONS] [PART ...]

The parts are rates, learners and items; the default is all of them, with 2,000 repetitions: some 10 minutes.
Each line has the share of repetitions, or of items, in which a gap or an item is flagged, at a level of 5 %.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np

import alsim
from alsim.evaluation import fairness
from alsim.evaluation.fairness.forecasts import forecast_metrics
from alsim.evaluation.fairness.inputs import read_grouping
from alsim.evaluation.fairness.mastery import mastery_metrics, true_mastery
from alsim.models.irt import ItemParameters
from alsim.models.student import BKTModel, Items
from alsim.models.student.fits import followed
from alsim.responses.log import Responses

REPETITIONS = 2000
LEARNERS = 200
"""Learners of a repetition on simulated learners."""
TOGETHER = 50
"""Repetitions that are simulated together: the learners of each are different ones of one seed."""
CONFIG = {"num_los": 5, "max_episode_steps": 40, "dynamics": {"name": "linked"}}
METRICS = ["selection_rate", "tpr", "fpr", "accuracy"]

Line = tuple[str, float]


def rows(rng: np.random.Generator, learners: int, per_learner: int, groups: int, gap: float) -> tuple[np.ndarray, ...]:
    """Return labels, decisions, groups and learners of a sample; the tpr of group 0 is smaller by the gap.

    Decisions of a learner with several rows depend on each other.
    """
    unit = np.repeat(np.arange(learners), per_learner)
    group = unit % groups
    own = rng.beta(4, 4, learners)[unit] if per_learner > 1 else np.full(len(unit), 0.5)
    y = rng.random(len(unit)) < 0.5
    chance = np.where(y, 0.3 + 0.8 * (own - 0.5) + 0.35, 0.3 + 0.8 * (own - 0.5))
    p = rng.random(len(unit)) < np.clip(chance - gap * (y & (group == 0)), 0, 1)
    return y, p, group, unit


def of_rates(repetitions: int) -> Iterator[Line]:
    """Yield the error rates of `group_metrics`."""
    for text, learners, per, groups, gap, clustered in (
        ("2 groups of 250 rows, no gap: any of 4 metrics flagged", 500, 1, 2, 0.0, False),
        ("2 groups of 250 rows, tpr lower by .2: tpr flagged", 500, 1, 2, 0.2, False),
        ("5 groups of 100 rows, no gap: any of 4 metrics flagged", 500, 1, 5, 0.0, False),
        ("2 groups of 15 rows, no gap: any of 4 metrics flagged", 30, 1, 2, 0.0, False),
        ("2 groups of 50 learners with 10 rows, no gap: any of 4 flagged", 100, 10, 2, 0.0, True),
        ("the same, learners ignored: any of 4 flagged", 100, 10, 2, 0.0, False),
        ("2 groups of 50 learners with 10 rows, tpr lower by .2: tpr flagged", 100, 10, 2, 0.2, True),
    ):
        count = 0
        for r in range(repetitions):
            y, p, group, unit = rows(np.random.default_rng([1, r]), learners, per, groups, gap)
            found = fairness.group_metrics(y, p, group, metrics=METRICS, learners=unit if clustered else None)
            count += "tpr" in found.flags if gap else bool(found.flags)
        yield text, count / repetitions


def of_items(repetitions: int) -> Iterator[Line]:
    """Yield the error rates of `dif`."""
    rng = np.random.default_rng(0)
    items = ItemParameters(rng.lognormal(0, 0.2, 30), rng.normal(0, 1, 30), np.zeros(30))
    one_sided = np.where(np.arange(30) < 6, 0.8, 0.0)
    for text, shift, impact, purify in (
        ("no DIF, equal abilities", np.zeros(30), 0.0, True),
        ("no DIF, focal group weaker by .5", np.zeros(30), 0.5, True),
        ("6 of 30 items harder by .8", one_sided, 0.0, True),
        ("6 of 30 items harder by .8, without purification", one_sided, 0.0, False),
    ):
        hits = false = some = 0
        for r in range(repetitions):
            focal = np.arange(1000) % 2 == 1
            ability = np.random.default_rng([2, r]).normal(0, 1, 1000) - impact * focal
            sample = fairness.plant_dif(items, shift, ability, focal, seed=r)
            found = fairness.detection(fairness.dif(sample.answers, focal, purify=purify), sample.has_dif)
            hits, false, some = hits + found.hits, false + found.false_flags, some + (found.false_flags > 0)
        if shift.any():
            yield f"{text}: items with DIF flagged", hits / (6 * repetitions)
        yield f"{text}: items without DIF flagged", false / (int((shift == 0).sum()) * repetitions)
        yield f"{text}: any item without DIF flagged", some / repetitions


def of_learners(repetitions: int) -> Iterator[Line]:
    """Yield the error rates of the sections about mastery and forecasts of simulated learners."""
    weak = {"mastery_alpha": 1.0, "mastery_beta": 8.0}
    for text, overrides in (("no gap", {}), ("group b starts with less mastery", {"learner": weak})):
        population = [{"share": 0.5, "name": "a"}, {"share": 0.5, "name": "b", **overrides}]
        counts = dict.fromkeys(("estimate - truth", "any of 4 of mastery", "any of 2 of forecasts"), 0)
        for start in range(0, repetitions, TOGETHER):
            number = min(TOGETHER, repetitions - start)
            for mastery, forecasts in samples({**CONFIG, "population": population}, start, number):
                counts["estimate - truth"] += mastery.gaps["bias"].p <= 0.05
                counts["any of 4 of mastery"] += bool(mastery.flags)
                counts["any of 2 of forecasts"] += bool(forecasts.flags)
        for name, count in counts.items():
            yield f"{LEARNERS} learners, {text}; {name}", count / repetitions


def samples(config: dict, seed: int, number: int) -> Iterator[tuple[fairness.GroupMetrics, fairness.GroupMetrics]]:
    """Yield the sections about mastery and forecasts of some samples of learners."""
    data = alsim.generate_dataset(LEARNERS * number, 1, policy="uniform", seed=seed, config=config)
    log = Responses.from_dataset(data)
    model = BKTModel(Items.of_log(log))
    found, truth = followed(model, log), true_mastery(data)
    learner = np.array([int(name.partition("/")[0]) for name in log.students.tolist()])
    group = np.asarray(data.episodes.column("population_row"))[learner]
    columns = [model.items.skills.tolist().index(name) for name in data.bank.outcomes]
    for k in range(number):
        own = learner // LEARNERS == k
        estimate, true = found.mastery[own][:, columns], truth[learner[own]]
        per = np.repeat(np.flatnonzero(own), len(columns))
        mastery = mastery_metrics(estimate.ravel(), true.ravel(), read_grouping(group[per], per, len(per)), 0.6, 0.95)
        answers = own[log.student]
        of_answer = log.student[answers].astype(np.int64)
        groups = read_grouping(group[of_answer], of_answer, len(of_answer))
        chance, correct = found.chance[answers], log.correct[answers].astype(float)
        yield mastery, forecast_metrics(chance, correct, groups, 0.95)


PARTS: dict[str, Callable[[int], Iterator[Line]]] = {"rates": of_rates, "learners": of_learners, "items": of_items}


def main(arguments: list[str]) -> None:
    """Print the lines of some parts."""
    numbers = [int(text) for text in arguments if text.isdigit()]
    repetitions = numbers[0] if numbers else REPETITIONS
    for name in [text for text in arguments if not text.isdigit()] or PARTS:
        for text, share in PARTS[name](repetitions):
            print(f"{text:<74} {share:.4f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
