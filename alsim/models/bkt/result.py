"""The result of fitting Bayesian knowledge tracing: parameters of each skill, forecasts, and files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from alsim.models.base import Fit
from alsim.models.bkt.chains import groups_of
from alsim.models.bkt.kernels import forecast
from alsim.models.bkt.likelihood import MAX_LOGIT
from alsim.models.bkt.skill import BKT, PARAMETERS, is_probability, make_table
from alsim.responses.log import Responses
from alsim.types import Doubles, short_repr

BY_ITEM = ("p_learn", "p_guess", "p_slip")
"""Parameters that may differ by item."""

LISTED_SKILLS = 5
"""Largest number of skills that a note lists by name."""


@short_repr
class SkillFit(NamedTuple):
    """The fit of one skill.

    parameters      its BKT; a parameter that differs by item is the mean over the responses to the skill
    log_likelihood  log-likelihood of its responses, nats
    iterations      number of EM steps and extrapolations
    converged       whether the fit converged within the maximum number of iterations
    responses       number of responses
    se              standard errors by parameter; None for one that is fixed, at a bound, or not identified
    at_bounds       names of the parameters that equal a bound, 0 and 1 included
    items           for each class of items: the parameters that differ by item, their standard errors (`se_p_guess`),
                    and the number of responses; empty if no parameter differs by item
    identified      False if the responses do not determine the parameters: other parameters have the same likelihood
    """

    parameters: BKT
    log_likelihood: float
    iterations: int
    converged: bool
    responses: int
    se: dict[str, float | None]
    at_bounds: tuple[str, ...]
    items: dict[str, dict[str, float | None]]
    identified: bool = True


@short_repr
@dataclass(frozen=True)
class BKTFit(Fit):
    """Fitted Bayesian knowledge tracing.

    skills        the fit of each skill, by name
    by_item       names of the parameters that differ by item
    classes       class of each item by name, if items have classes; an unlisted item is its own class
    students      offset of each student by name, added to the logit of p_init, logits; empty without offsets
    penalised     maximised objective: log-likelihood plus log-priors, up to a constant, nats
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
    def notes(self) -> tuple[str, ...]:
        """Sentences about unusual results: the skills that are not identified."""
        names = [name for name, skill_fit in self.skills.items() if not skill_fit.identified]
        if not names:
            return ()
        others = f" and {len(names) - LISTED_SKILLS:,} others" if len(names) > LISTED_SKILLS else ""
        return (
            f"{_share(len(names), len(self.skills))} not identified: {', '.join(names[:LISTED_SKILLS])}{others}; other "
            "parameters have the same likelihood, as with one response per student; fix parameters or give them priors",
        )

    @property
    def caveats(self) -> tuple[str, ...]:
        """Clauses that qualify the fit: skills that are not identified, and skills with parameters at a bound."""
        unidentified = sum(not skill_fit.identified for skill_fit in self.skills.values())
        bounded = sum(bool(skill_fit.at_bounds) for skill_fit in self.skills.values())
        found = [f"{_share(unidentified, len(self.skills))} not identified"] if unidentified else []
        verb = "has" if bounded == 1 else "have"
        return (
            *found,
            *([f"{bounded:,} of {len(self.skills):,} skills {verb} a parameter at a bound"] if bounded else []),
        )

    @property
    def pooled(self) -> BKT:
        """The parameters of a skill that is not in the fit: the mean over its skills, weighted by their responses."""
        return mean_of([(s.parameters, s.responses) for s in self.skills.values()])

    def predict(self, responses: Responses) -> Doubles:
        """Return the probability (R,) that each response is correct, given the student's earlier ones in `responses`.

        A response updates the chain of each of its skills as if it had no other skill. The forecast is the mean over
        these chains. Their product would be too low, because each chain was fitted to forecast the response alone.

        A skill that is not in the fit has the parameters `pooled`. An item that is not in the fit has the mean
        parameters of its skill. A student who is not in the fit has an offset of 0.
        """
        responses = self._matched(responses)
        groups = groups_of(responses, bool(self.by_item), self.classes)
        pooled = self.pooled
        pairs = zip(groups.skill.tolist(), groups.name.tolist(), strict=True)
        rows = np.array([self.of_class(str(responses.skills[k]), c, pooled) for k, c in pairs]).reshape(-1, 4)
        inits = [self.skills[s].parameters.p_init if s in self.skills else pooled.p_init for s in responses.skills]
        offsets = np.array([self.students.get(name, 0.0) for name in responses.students.tolist()])
        offsets = np.clip(offsets, -2 * MAX_LOGIT, 2 * MAX_LOGIT)  # at these limits p_init is 0 or 1
        forecasts = np.empty(len(responses))
        forecast(
            *(responses.student, responses.skill, responses.skill_start, groups.code),
            *(make_table(*rows.T), np.array(inits), offsets, forecasts),
        )
        return forecasts

    def of_class(self, skill: str, item: str, pooled: BKT) -> tuple[float, float, float, float]:
        """Return p_learn, p_guess, p_slip and p_forget of a skill, for one class of items; `pooled` if unknown."""
        if skill not in self.skills:
            return pooled.p_learn, pooled.p_guess, pooled.p_slip, pooled.p_forget
        skill_fit = self.skills[skill]
        of_item = skill_fit.items.get(item, {})
        learn, guess, slip = (of_item.get(name) for name in BY_ITEM)
        p = skill_fit.parameters
        return (
            p.p_learn if learn is None else learn,
            p.p_guess if guess is None else guess,
            p.p_slip if slip is None else slip,
            p.p_forget,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as a dictionary of JSON values."""
        content: dict[str, Any] = {
            "skills": {name: _skill_to_dict(skill_fit) for name, skill_fit in self.skills.items()},
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
        """Return the fit whose `to_dict` is `content`. Raises KeyError, TypeError or ValueError for any other."""
        by_item = tuple(content["by_item"])
        if not set(by_item) <= set(BY_ITEM):
            raise ValueError(f"by_item must contain only {', '.join(BY_ITEM)}; got {by_item!r}")
        if not content["skills"]:
            raise ValueError("skills must contain at least one skill; got none")
        classes = content["classes"]
        return cls(
            skills={str(name): _skill_from_dict(name, part) for name, part in content["skills"].items()},
            log_likelihood=_number(content, "log_likelihood"),
            iterations=_count(content, "iterations", 0),
            converged=_bool(content, "converged"),
            num_responses=_count(content, "responses", 1),
            penalised=_number(content, "penalised"),
            by_item=by_item,
            classes=None if classes is None else {str(item): str(kind) for item, kind in classes.items()},
            students={str(name): _number(content["students"], name) for name in content["students"]},
        )

    def table(self) -> list[dict[str, str | int | float]]:
        """Return one row per skill: parameters, log-likelihood (nats), responses, convergence, bounds, identification.

        The standard errors, such as se_p_init, are NaN for parameters that have none (see SkillFit).
        """
        return [
            {
                "skill": name,
                **{parameter: getattr(skill_fit.parameters, parameter) for parameter in PARAMETERS},
                **{f"se_{name}": math.nan if (se := skill_fit.se[name]) is None else se for name in PARAMETERS},
                "log_likelihood": skill_fit.log_likelihood,
                "responses": skill_fit.responses,
                "iterations": skill_fit.iterations,
                "converged": "yes" if skill_fit.converged else "no",
                "at bounds": ", ".join(skill_fit.at_bounds),
                "identified": "yes" if skill_fit.identified else "no",
            }
            for name, skill_fit in self.skills.items()
        ]


def _share(number: int, total: int) -> str:
    """Return the subject and the verb of a sentence about some of the skills."""
    return f"{number:,} of {total:,} skills {'is' if number == 1 else 'are'}"


def mean_of(parts: list[tuple[BKT, int]]) -> BKT:
    """Return the mean of skills' parameters, weighted by their numbers of responses.

    parts  parameters and number of responses of each skill
    """
    weights = np.array([count for _, count in parts], np.float64)
    values = np.array([[getattr(skill, name) for name in PARAMETERS] for skill, _ in parts])
    return BKT(*np.clip(weights @ values / weights.sum(), 0, 1).tolist())


def _skill_to_dict(skill_fit: SkillFit) -> dict[str, Any]:
    """Return the fit of a skill as a dictionary of JSON values."""
    content: dict[str, Any] = {name: getattr(skill_fit.parameters, name) for name in PARAMETERS}
    content |= {
        "log_likelihood": skill_fit.log_likelihood,
        "iterations": skill_fit.iterations,
        "converged": skill_fit.converged,
        "responses": skill_fit.responses,
        "se": skill_fit.se,
        "at_bounds": list(skill_fit.at_bounds),
        "identified": skill_fit.identified,
    }
    return content | ({"items": skill_fit.items} if skill_fit.items else {})


def _skill_from_dict(skill: str, content: Mapping[str, Any]) -> SkillFit:
    """Return the fit of a skill whose `_skill_to_dict` is `content`. Raises an error for any other content."""
    items = {str(name): dict(values) for name, values in content.get("items", {}).items()}
    for name, values in items.items():
        if not all(is_probability(values[key]) for key in values.keys() & set(BY_ITEM)):
            raise ValueError(
                f"the parameters of item {name!r} of skill {skill!r} must be probabilities; got {values!r}"
            )
        for key in values:
            if values[key] is not None:
                _number(values, key)
    return SkillFit(
        parameters=BKT(**{name: content[name] for name in PARAMETERS}),
        log_likelihood=_number(content, "log_likelihood"),
        iterations=_count(content, "iterations", 0),
        converged=_bool(content, "converged"),
        responses=_count(content, "responses", 1),
        se={name: None if content["se"][name] is None else _number(content["se"], name) for name in PARAMETERS},
        at_bounds=tuple(map(str, content["at_bounds"])),
        items=items,
        identified=_bool(content, "identified") if "identified" in content else True,
    )


def _number(content: Mapping[str, Any], key: str) -> float:
    """Return the number at a key. Raises ValueError unless it is finite."""
    value = content[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"{key} must be a finite number; got {value!r}")
    return float(value)


def _count(content: Mapping[str, Any], key: str, least: int) -> int:
    """Return the integer at a key. Raises ValueError unless it is at least `least`."""
    value = content[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{key} must be an integer of at least {least}; got {value!r}")
    return value


def _bool(content: Mapping[str, Any], key: str) -> bool:
    """Return the truth value at a key. Raises ValueError for anything else."""
    value = content[key]
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false; got {value!r}")
    return value
