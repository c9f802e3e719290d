"""Results of a scorecard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alsim.evaluation.estimates import Statistic, normal_half_width
from alsim.evaluation.monitoring import Calibration
from alsim.evaluation.scorecards.measures import AbilityErrors, Errors, Estimates
from alsim.types import short_repr

LEAK_CONFIDENCE = 0.999
"""Level of the interval of a canary's AUC, and of the excess over the oracle, outside which a leak is reported."""
LARGEST_CHANGE = 1e-6
"""Largest change of an honest forecast when later answers change: rounding of float32."""


@short_repr
@dataclass(frozen=True)
class Section:
    """Measures of a model on simulated learners of one kind.

    world         name of the kind
    description   clause that describes the learners
    logs          number of logs
    learners      learners that each fit has, with at least one answer; a mean over the logs
    held_out      number of held-out learners of all logs, with at least one answer
    fitted        number of answers of all logs to which the model is fitted
    forecast      number of held-out answers of all logs
    unconverged   number of logs whose fit did not converge
    parameters    errors of each parameter; None without parameters that have true values
    note          reason for absent parameters; "" otherwise
    ability       errors of the abilities of held-out learners; None for a model that states none
    mastery       calibration of the probability of knowing, of true mastery; None for a model that states none
    forecasts     calibration of the forecasts of held-out answers
    follows       correlation of the estimate, the probability of knowing or else the forecast, with true mastery and
                  with true ability, of answers to the same item with as many earlier answers to its skill
    auc           AUC of the forecasts of held-out answers
    oracle_auc    AUC of their true chances
    excess        auc - oracle_auc, of the same answers
    first         estimates of the first log, by parameter
    """

    world: str
    description: str
    logs: int
    learners: float
    held_out: int
    fitted: int
    forecast: int
    unconverged: int
    parameters: Mapping[str, Errors] | None
    note: str
    ability: AbilityErrors | None
    mastery: Calibration | None
    forecasts: Calibration
    follows: Mapping[str, Statistic]
    auc: Statistic
    oracle_auc: Statistic
    excess: Statistic
    first: Mapping[str, Estimates] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the section as JSON values."""
        return {
            "world": self.world,
            "description": self.description,
            "logs": self.logs,
            "learners": self.learners,
            "held_out": self.held_out,
            "fitted_answers": self.fitted,
            "held_out_answers": self.forecast,
            "unconverged": self.unconverged,
            "parameters": _each(self.parameters),
            "note": self.note,
            "ability": None if self.ability is None else self.ability.to_dict(),
            "calibration": None if self.mastery is None else self.mastery.to_dict(),
            "forecasts": self.forecasts.to_dict(),
            "follows": _each(self.follows),
            "auc": self.auc.to_dict(),
            "oracle_auc": self.oracle_auc.to_dict(),
            "excess": self.excess.to_dict(),
        }


@short_repr
@dataclass(frozen=True)
class Canary:
    """Checks for leaks, on logs whose answers are coin flips.

    auc            AUC of the forecasts of held-out coin flips; .50 is expected without a leak
    future_change  largest change of a forecast when its answer and the later ones are replaced; 0 without a leak
    """

    auc: Statistic
    future_change: float


@short_repr
@dataclass(frozen=True)
class Scorecard:
    """A student model held against the truth of simulated learners.

    model     name of the model
    seed      seed of the first log; log k has seed + k
    learners  learners of each log to which the model is fitted; half as many are held out
    own       measures on learners of the model's own kind; of a model without one, on the first kind
    others    measures on further kinds, for a model that assumes no kind
    misfit    measures on learners of another kind than the model's: errors there are not those of a recovery. None for
              a model that assumes no kind
    canary    checks for leaks
    """

    model: str
    seed: int
    learners: int
    own: Section
    others: tuple[Section, ...]
    misfit: Section | None
    canary: Canary

    @property
    def sections(self) -> tuple[Section, ...]:
        """All sections: own, others and misfit."""
        return (self.own, *self.others, *(() if self.misfit is None else (self.misfit,)))

    @property
    def leaks(self) -> tuple[str, ...]:
        """Clauses that name the signs of a leak; empty without any.

        With probability .001 each, the sampling error alone is as large as the ones of the AUCs.
        """
        found = []
        if is_beyond(self.canary.auc, 0.5):
            found.append(f"coin flips are forecast with an AUC of {self.canary.auc.mean:.3f}")
        if self.canary.future_change > LARGEST_CHANGE:
            found.append(
                f"forecasts change by up to {self.canary.future_change:.2g} with the answer itself or later ones"
            )
        found += [
            f"the AUC on {one.world} is {one.excess.mean:.3f} above the oracle's"
            for one in self.sections
            if one.excess.mean > 0 and is_beyond(one.excess, 0.0)
        ]
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return the scorecard as JSON values.

        The measures of `own` are at the top level, its parameters under `recovery`. In the other sections, the key is
        `parameters`.
        """
        own = self.own.to_dict()
        recovery, note = own.pop("parameters"), own.pop("note")
        return {
            "model": self.model,
            "seed": self.seed,
            **own,
            "recovery": recovery,
            "recovery_note": note,
            "canary_auc": self.canary.auc.to_dict(),
            "future_change": self.canary.future_change,
            "leaks": [*self.leaks],
            "others": [one.to_dict() for one in self.others],
            "misfit": None if self.misfit is None else self.misfit.to_dict(),
            "verdict": self.verdict,
        }

    @property
    def verdict(self) -> str:
        """One sentence each on leaks, recovery and misfit."""
        from alsim.evaluation.scorecards.text import verdict_of

        return verdict_of(self)

    @property
    def text(self) -> str:
        """Tables within 80 columns, and the verdict."""
        from alsim.evaluation.scorecards.text import text_of

        return text_of(self)

    def __str__(self) -> str:
        return self.text


def is_beyond(found: Statistic, expected: float) -> bool:
    """Return whether an estimate is further from an expected value than its sampling error explains.

    The interval has the level LEAK_CONFIDENCE. Without a standard error, the result is False.
    """
    return abs(found.mean - expected) > normal_half_width(LEAK_CONFIDENCE) * found.se


def _each(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the entries as JSON values; None for None."""
    return None if found is None else {name: one.to_dict() for name, one in found.items()}


__all__ = ["LEAK_CONFIDENCE", "Canary", "Scorecard", "Section", "is_beyond"]
