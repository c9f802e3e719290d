"""Simulated logs of scorecards, with the truth about every answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from alsim.arguments import read_rules
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.datasets.generate import generate_dataset
from alsim.errors import AlsimError
from alsim.responses.log import Responses
from alsim.types import MODALITIES, Bools, Doubles, Longs, short_repr

ITEMS = {"num_los": 5, "num_questions_per_lo": 6}
"""Size of the bank under the standard rules: few items, so that each has many answers."""


@dataclass(frozen=True)
class World:
    """A kind of simulated learners.

    name         name of the kind
    description  clause that describes the learners
    config       configuration of the simulator
    times        whether the logs have the times of the answers, and contents as study events
    """

    name: str
    description: str
    config: Mapping[str, Any]
    times: bool = False


STANDARD = World("standard", "ability decides on answers, and rises by 0.02 logits with each correct one", ITEMS)
CONSTANT = World(
    "constant-ability",
    "ability is constant, and decides on answers",
    {**ITEMS, "dynamics": {"name": "standard", "ability_gain": 0.0}},
)
# Contents teach nothing and learners never give up, so that the model of the log is the fitted one. An end by mastery
# would depend on the hidden bits; with 20 outcomes, nearly no learner gets to know all of them.
BKT = World(
    "bkt",
    "each outcome is known or not, and questions teach it",
    {
        "num_los": 20,
        "num_questions_per_lo": 3,
        "max_episode_steps": 600,
        "termination": {"mastery_threshold": 1.0},
        "dynamics": {"name": "bkt", "p_content": 0.0, "frustration_rise": 0.0, "hard_rise": 0.0},
    },
)
# Daily sessions. A content counts as one correct answer, and a correct answer is recall: there is no guessing.
DAILY: Mapping[str, Any] = {
    "num_los": 10,
    "num_questions_per_lo": 3,
    "max_episode_steps": 200,
    "sessions": {"interactions": 10, "break_hours": 24.0},
    "content": {"effectiveness_by_modality": dict.fromkeys(MODALITIES, [0.15, 0.15])},
    "irt": {"guessing_range": [0.0, 0.0]},
    "termination": {"mastery_threshold": 1.0, "max_frustration": 1.0},
}
UNFRUSTRATED = {"frustration_rise": 0.0, "hard_rise": 0.0}
HALF_LIFE = World(
    "half-life",
    "recall decays exponentially between daily sessions; right answers make it last",
    {
        **DAILY,
        "dynamics": {"name": "half-life", "right_weight": 0.5, "wrong_weight": -0.2, "base": 0.2, **UNFRUSTRATED},
    },
    times=True,
)
FSRS = World(
    "fsrs",
    "recall decays between daily sessions by the memory state of FSRS-6",
    {**DAILY, "dynamics": {"name": "fsrs", **UNFRUSTRATED}},
    times=True,
)
POLICY = "uniform"
"""Policy of all logs; under the uniform one, a third of the interactions are questions."""


def with_items(world: World, **irt: Any) -> World:
    """Return a world whose items are drawn from other ranges, which are keys of the table `irt`."""
    return replace(world, config={**world.config, "irt": irt}) if irt else world


@short_repr
class TrueLog(NamedTuple):
    """A simulated log of R answers, and the truth before each of them.

    log      answers of S learners, with one episode each
    chance   (R,) probability of a correct answer before it is drawn
    mastery  (R,) mastery of the outcome of the question; under `bkt`, 0 or 1
    ability  (R,) ability, logits
    bank     the items
    config   configuration of the simulator
    """

    log: Responses
    chance: Doubles
    mastery: Doubles
    ability: Doubles
    bank: Bank
    config: Config

    @property
    def learner(self) -> Longs:
        """Number (S,) of the learner of each student of the log, whose name is "learner/episode"."""
        return np.array([int(name.partition("/")[0]) for name in self.log.students.tolist()], np.int64)

    def of_students(self, chosen: Bools) -> TrueLog:
        """Return the log of the chosen ones of S students, with their truth."""
        rows = chosen[self.log.student]
        return self._replace(
            log=self.log.subset(chosen),
            chance=self.chance[rows],
            mastery=self.mastery[rows],
            ability=self.ability[rows],
        )


def simulate(world: World, num_learners: int, seed: int) -> TrueLog:
    """Simulate one episode of each learner under the uniform policy, and return the answers with the truth.

    num_learners  learners 0 ... num_learners - 1 of the seed
    """
    config, bank = read_rules(dict(world.config), None, None)
    dataset = generate_dataset(
        num_learners, 1, POLICY, seed, config=config, bank=bank, store_observations=False, truth=True
    )
    log, table = Responses.from_dataset(dataset, times=world.times), dataset.transitions
    asked = ~np.asarray(table["chance"].is_null())
    chance, mastery, ability = (
        table[name].to_numpy()[asked].astype(np.float64) for name in ("chance", "mastery", "ability")
    )
    if not np.array_equal(log.correct, table["correct"].to_numpy()[asked].astype(np.int8)):
        raise AlsimError(f"the log of {world.name} has another order than its dataset; report this error")
    return TrueLog(log, chance, mastery, ability, bank, config)


def divide(truth: TrueLog, num_fitted: int) -> tuple[TrueLog, TrueLog]:
    """Return the log of the first learners, to fit a model to, and that of the others, which are held out."""
    fitted = truth.learner < num_fitted
    return truth.of_students(fitted), truth.of_students(~fitted)


__all__ = ["BKT", "CONSTANT", "FSRS", "HALF_LIFE", "STANDARD", "TrueLog", "World", "divide", "simulate", "with_items"]
