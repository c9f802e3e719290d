"""What fitting Bayesian knowledge tracing returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from alsim.models.base import Fit
from alsim.models.bkt.chains import Groups, groups_of
from alsim.models.bkt.em import FARTHEST_LOGIT
from alsim.models.bkt.kernels import forecast
from alsim.models.bkt.skill import BKT, NAMES, is_probability, make_table
from alsim.responses.log import Responses
from alsim.types import Doubles

BY_ITEM = ("p_learn", "p_guess", "p_slip")
"""Parameters that may differ by item."""


class SkillFit(NamedTuple):
    """What was found of one skill.

    parameters      its BKT; of parameters that differ by item, the mean over its responses
    log_likelihood  of its responses
    iterations      of the algorithm
    converged       whether it ended by itself
    responses       how many it was fitted to
    se              standard errors by name; None for a parameter that is fixed, at a bound, or not identified
    at_bounds       names of parameters that a bound holds, 0 and 1 included
    items           by class of items, its parameters that differ by item and its number of responses; often empty
    """

    parameters: BKT
    log_likelihood: float
    iterations: int
    converged: bool
    responses: int
    se: dict[str, float | None]
    at_bounds: tuple[str, ...]
    items: dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class BKTFit(Fit):
    """Fitted Bayesian knowledge tracing.

    skills        what was found of each, by name
    by_item       names of the parameters that differ by item
    classes       the class of each item by name, where items have classes; one that is not there is its own
    students      by name, what is added to the logit of p_init for a student; empty without offsets
    penalised     what was maximised: the log-likelihood and the logarithm of the priors, up to a constant
    """

    model: ClassVar[str] = "bkt"

    skills: dict[str, SkillFit]
    log_likelihood: float
    iterations: int
    converged: bool
    num_responses: int
    penalised: float
    by_item: tuple[str, ...] = ()
    classes: dict[str, str] | None = None
    students: dict[str, float] = field(default_factory=dict)

    @property
    def pooled(self) -> BKT:
        """What is taken for a skill that the fit has not met: the mean of its skills, by their responses."""
        return mean_of([(s.parameters, s.responses) for s in self.skills.values()])

    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) that each response is correct, given the student's earlier ones there.

        Each skill of a response has its own chain, which sees the response as if it were the only one; the forecast
        is the mean of theirs. (Their product would ask for all skills at once, but each chain was fitted as a
        forecast of the response itself.) A skill not met in fitting is taken for `pooled`, an item not met for the
        mean of its skill's, a student not met for one without an offset.
        """
        groups = groups_of(responses, bool(self.by_item), self.classes)
        pooled = self.pooled
        rows = np.array([self._group(str(responses.skills[k]), c, pooled) for k, c in _pairs(groups)]).reshape(-1, 4)
        inits = [self.skills[s].parameters.p_init if s in self.skills else pooled.p_init for s in responses.skills]
        offsets = np.array([self.students.get(name, 0.0) for name in responses.students.tolist()])
        offsets = np.clip(offsets, -2 * FARTHEST_LOGIT, 2 * FARTHEST_LOGIT)  # with which p_init is 0 or 1
        forecasts = np.empty(len(responses))
        forecast(
            *(responses.student, responses.skill, responses.skill_start, groups.code),
            *(make_table(*rows.T), np.array(inits), offsets, forecasts),
        )
        return forecasts

    def _group(self, skill: str, item: str, pooled: BKT) -> tuple[float, float, float, float]:
        """Return p_learn, p_guess, p_slip and p_forget of a skill, for one class of items."""
        if skill not in self.skills:
            return pooled.p_learn, pooled.p_guess, pooled.p_slip, pooled.p_forget
        found = self.skills[skill]
        own = found.items.get(item, {})
        learn, guess, slip = (own.get(name) for name in BY_ITEM)
        p = found.parameters
        return (
            p.p_learn if learn is None else learn,
            p.p_guess if guess is None else guess,
            p.p_slip if slip is None else slip,
            p.p_forget,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as JSON holds it."""
        content: dict[str, Any] = {
            "skills": {name: _written(found) for name, found in self.skills.items()},
            "log_likelihood": self.log_likelihood,
            "iterations": self.iterations,
            "converged": self.converged,
            "responses": self.num_responses,
            "penalised": self.penalised,
            "by_item": list(self.by_item),
            "classes": self.classes,
            "students": self.students,
        }
        return content

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return the fit that `to_dict` gave."""
        by_item = tuple(content["by_item"])
        if not set(by_item) <= set(BY_ITEM):
            raise ValueError(f"by_item names some of {', '.join(BY_ITEM)}; got {by_item!r}")
        if not content["skills"]:
            raise ValueError("it has no skills")
        classes = content["classes"]
        return cls(
            skills={str(name): _read(name, found) for name, found in content["skills"].items()},
            log_likelihood=_number(content, "log_likelihood"),
            iterations=_count(content, "iterations", 0),
            converged=_truth(content, "converged"),
            num_responses=_count(content, "responses", 1),
            penalised=_number(content, "penalised"),
            by_item=by_item,
            classes=None if classes is None else {str(item): str(kind) for item, kind in classes.items()},
            students={str(name): _number(content["students"], name) for name in content["students"]},
        )

    def table(self) -> list[dict[str, str | int | float]]:
        """Return a row a skill: its parameters, how the fit ended, and which parameters a bound holds."""
        return [
            {
                "skill": name,
                **{parameter: getattr(found.parameters, parameter) for parameter in NAMES},
                "log_likelihood": found.log_likelihood,
                "responses": found.responses,
                "iterations": found.iterations,
                "converged": "yes" if found.converged else "no",
                "at bounds": ", ".join(found.at_bounds),
            }
            for name, found in self.skills.items()
        ]


def mean_of(parts: list[tuple[BKT, int]]) -> BKT:
    """Return the mean of parameters, weighted by numbers of responses."""
    weights = np.array([count for _, count in parts], np.float64)
    values = np.array([[getattr(skill, name) for name in NAMES] for skill, _ in parts])
    return BKT(*np.clip(weights @ values / weights.sum(), 0, 1).tolist())


def _pairs(groups: Groups) -> list[tuple[int, str]]:
    return list(zip(groups.skill.tolist(), groups.name.tolist(), strict=True))


def _written(found: SkillFit) -> dict[str, Any]:
    content: dict[str, Any] = {name: getattr(found.parameters, name) for name in NAMES}
    content |= {
        "log_likelihood": found.log_likelihood,
        "iterations": found.iterations,
        "converged": found.converged,
        "responses": found.responses,
        "se": found.se,
        "at_bounds": list(found.at_bounds),
    }
    return content | ({"items": found.items} if found.items else {})


def _read(skill: str, content: Mapping[str, Any]) -> SkillFit:
    items = {str(name): dict(own) for name, own in content.get("items", {}).items()}
    for name, own in items.items():
        if not all(is_probability(own[key]) for key in own.keys() & set(BY_ITEM)):
            raise ValueError(f"the parameters of {name!r} of skill {skill!r} are probabilities; got {own!r}")
        for key in own:
            if own[key] is not None:
                _number(own, key)
    return SkillFit(
        parameters=BKT(**{name: content[name] for name in NAMES}),
        log_likelihood=_number(content, "log_likelihood"),
        iterations=_count(content, "iterations", 0),
        converged=_truth(content, "converged"),
        responses=_count(content, "responses", 1),
        se={name: None if content["se"][name] is None else _number(content["se"], name) for name in NAMES},
        at_bounds=tuple(map(str, content["at_bounds"])),
        items=items,
    )


def _number(content: Mapping[str, Any], key: str) -> float:
    value = content[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"{key} is a finite number; got {value!r}")
    return float(value)


def _count(content: Mapping[str, Any], key: str, least: int) -> int:
    value = content[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{key} is an integer from {least}; got {value!r}")
    return value


def _truth(content: Mapping[str, Any], key: str) -> bool:
    value = content[key]
    if not isinstance(value, bool):
        raise ValueError(f"{key} is true or false; got {value!r}")
    return value
