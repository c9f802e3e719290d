"""Experiments of recommenders: each arm has one, and the arm of a student is a hash."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from alsim.assignment import OUTSIDE, Experiment
from alsim.engine.catalogue import Catalogue
from alsim.engine.errors import EngineError
from alsim.engine.progress import Trial
from alsim.engine.recommenders.base import EXPERIMENT, Counts, Group, Interaction, Recommender, Situation
from alsim.engine.selection import Choice
from alsim.errors import AlsimError
from alsim.types import Bools, Longs


class ExperimentRecommender(Recommender):
    """Recommenders of the arms of an experiment.

    catalogue   Catalogue
    experiment  Experiment with the policies of its arms
    make        function that returns the recommender with a name

    A student gets the items of the recommender of the own arm, or of the arm of the class. Students who do not take
    part get those of the first arm, the control. The log has the name of the recommender that chose, the experiment and
    the arm; propensities are those of the recommender. An arm that learns across students learns from its own students
    only: it has counters of its own. Raises EngineError for arms without policies or with invalid ones.
    """

    def __init__(
        self, catalogue: Catalogue, experiment: Experiment, make: Callable[[str, Catalogue], Recommender]
    ) -> None:
        super().__init__(catalogue)
        if not experiment.policies:
            raise EngineError(
                f"the experiment {experiment.name!r} has no policies for its arms: add them, such as "
                f"policies = {{{', '.join(f'{arm} = {chr(34)}guide{chr(34)}' for arm in experiment.names)}}}"
            )
        self.experiment, self.name = experiment, f"{EXPERIMENT}{experiment.name}"
        self.arms = tuple(_made(make, catalogue, experiment, arm) for arm in experiment.names)
        """Recommender of each arm."""
        self.needs_class = experiment.unit == "class"
        self.observes = any(arm.observes for arm in self.arms)

    def groups(self, situation: Situation) -> list[Group]:
        """Return the students of each arm, and those outside of the experiment. Raises EngineError."""
        arms = self.experiment.assign_many(self._units(situation.students, situation.progress.classes))
        return [self._group(situation, np.flatnonzero(arms == arm), arm) for arm in np.unique(arms).tolist()]

    def choose(self, situation: Situation, ranks: int) -> Choice:
        """Return up to `ranks` items for each student, chosen by the recommender of the arm."""
        groups = self.groups(situation)
        order = np.argsort(np.concatenate([group.rows for group in groups]))
        choices = [group.recommender.choose(group.situation, ranks) for group in groups]
        return Choice(*(np.concatenate(columns)[order] for columns in zip(*choices, strict=True)))

    def check_classes(self, students: Sequence[str], classes: Sequence[str]) -> None:
        """Raise EngineError for a student without class, "" in `classes`, in an experiment by class."""
        self._units(students, classes)

    def candidates(self, ready: Bools) -> Longs:
        """Return the numbers of the items that are candidates in any arm, ascending."""
        return np.unique(np.concatenate([arm.candidates(ready) for arm in self.arms]))

    def observe(self, trials: list[Trial], interaction: Interaction) -> tuple[list[Trial], Counts]:
        """Return the contents whose effect is awaited, and changes of counters, by the recommender of the arm."""
        if self.needs_class and not interaction.class_name:
            return trials, ()  # nothing was recommended yet
        units = self._units([interaction.student], [interaction.class_name])
        arm = int(self.experiment.assign_many(units)[0])
        recommender = self.arms[max(arm, 0)]
        if not recommender.observes:
            return trials, ()
        after, counts = recommender.observe(trials, interaction)
        prefix = self._prefix(arm)
        return after, tuple((f"{prefix}{name}", addend) for name, addend in counts)

    def _units(self, students: Sequence[str], classes: Sequence[str]) -> list[str]:
        """Return the ids that are assigned. Raises EngineError for a student without class."""
        try:
            return [self.experiment.unit_of(*pair) for pair in zip(students, classes, strict=True)]
        except AlsimError as error:
            raise EngineError(str(error)) from None

    def _group(self, situation: Situation, rows: Longs, arm: int) -> Group:
        """Return the group of some students."""
        recommender, prefix = self.arms[max(arm, 0)], self._prefix(arm)
        numbers = rows.tolist()

        def counters(names: Sequence[str]) -> list[int]:
            return situation.counters([f"{prefix}{name}" for name in names])

        part = situation.rows(rows)._replace(counters=counters, log=lambda i: situation.log(numbers[i]))
        label = ("", "") if arm == OUTSIDE else (self.experiment.name, self.experiment.names[arm])
        return Group(rows, part, recommender, *label)

    def _prefix(self, arm: int) -> str:
        """Return the begin of the names of the counters of an arm."""
        return f"{self.counter_prefix}{'' if arm == OUTSIDE else self.experiment.names[arm]}:"


def _made(
    make: Callable[[str, Catalogue], Recommender], catalogue: Catalogue, experiment: Experiment, arm: str
) -> Recommender:
    """Return the recommender of an arm. Raises EngineError, which names the arm."""
    policy = experiment.policies[arm]
    of = f"the arm {arm!r} of the experiment {experiment.name!r}"
    if policy.startswith(EXPERIMENT):
        raise EngineError(f"{of} has the policy {policy!r}, which is an experiment itself: choose a recommender")
    try:
        return make(policy, catalogue)
    except EngineError as error:
        raise EngineError(f"{of}: {error}") from None


__all__ = ["ExperimentRecommender"]
