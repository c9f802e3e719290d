"""Bayesian knowledge tracing as a student model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.jit.compile import lean_kernel
from alsim.models.base import ModelError
from alsim.models.bkt.likelihood import MAX_LOGIT
from alsim.models.bkt.result import BKTFit
from alsim.models.bkt.skill import BKT, PARAMETERS
from alsim.models.student.base import BaseStudentModel, Students, parameters
from alsim.models.student.items import as_items
from alsim.responses.log import codes_of
from alsim.types import Codes, Doubles, Longs


class BKTModel(BaseStudentModel):
    """Bayesian knowledge tracing of many students, by default without a fit: mastery is the probability of knowing.

    items      Items, a number or list of skills, or {item: skill or skills}
    p_init     probability that a skill is known at the first opportunity: a number, or (K,) for the skills
    p_learn, p_guess, p_slip, p_forget
               see `BKT`: a number, or (X,) for the skills of the items, as `items.skill`
    p_content  probability that an unknown skill is learnt from an item that is not answered, as a content
    offsets    offset of students by name, added to the logit of p_init, logits; used by `start_of`

    The state is `known` and `unknown` (n, K), the probabilities of both states. The smaller keeps its precision,
    and the larger is one minus it; so one number suffices to store both, see `compact`. A response to several skills
    updates each as if it were alone, and its chance is the mean over them. The defaults are those of the dynamics
    `bkt`.
    Raises ModelError for parameters outside [0, 1].
    Source: Corbett & Anderson (1995), Knowledge tracing.
    """

    kind: ClassVar[str] = "bkt"

    def __init__(
        self,
        items: Any,
        p_init: ArrayLike = 0.3,
        p_learn: ArrayLike = 0.1,
        p_guess: ArrayLike = 0.2,
        p_slip: ArrayLike = 0.1,
        p_forget: ArrayLike = 0.0,
        *,
        p_content: float = 0.0,
        offsets: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(as_items(items))
        self.p_init = parameters("p_init", p_init, (self.items.num_skills,), 0, 1)
        pairs = (len(self.items.skill),)
        self.p_learn = parameters("p_learn", p_learn, pairs, 0, 1)
        self.p_guess = parameters("p_guess", p_guess, pairs, 0, 1)
        self.p_slip = parameters("p_slip", p_slip, pairs, 0, 1)
        self.p_forget = parameters("p_forget", p_forget, pairs, 0, 1)
        self.p_content = float(parameters("p_content", p_content, (), 0, 1))
        self.offsets = {str(k): float(parameters(f"offset of {k!r}", v, ())) for k, v in (offsets or {}).items()}
        learn, guess, slip, forget = map(self.items.padded, (self.p_learn, self.p_guess, self.p_slip, self.p_forget))
        self._learn, self._forget = learn, forget
        self._if_known, self._if_unknown = np.stack([slip, 1 - slip]), np.stack([1 - guess, guess])  # (2, I, M)

    @classmethod
    def of_fit(cls, fit: BKTFit, items: Any = None) -> Self:
        """Return the model with the parameters of a fit.

        items  as for the class; by default the skills of the fit. A skill that is not in the fit has the parameters
               `fit.pooled`, and an item that is not in it those of its skill
        """
        table = as_items(list(fit.skills) if items is None else items)
        classes, pooled, names = fit.classes or {}, fit.pooled, np.array(list(fit.skills), np.str_)
        codes = codes_of(table.skills, names)
        skills = [
            str(names[code]) if code >= 0 else str(skill) for code, skill in zip(codes, table.skills, strict=True)
        ]
        owners = np.repeat(table.names, table.sizes).tolist()
        groups = [fit.of_class(skills[k], classes.get(o, o), pooled) for k, o in zip(table.skill, owners, strict=True)]
        inits = [fit.skills[skill].parameters.p_init if skill in fit.skills else pooled.p_init for skill in skills]
        return cls(table, np.array(inits), *np.array(groups).T, offsets=fit.students)

    @classmethod
    def of_skills(cls, skills: Mapping[str, BKT], items: Any = None) -> Self:
        """Return the model with the parameters of each skill; `items` as for `of_fit`.

        Raises ModelError for a skill of the items without parameters.
        """
        if not skills or not all(isinstance(skill, BKT) for skill in skills.values()):
            raise ModelError(f"skills must be a dictionary {{name: BKT}} of at least one skill; got {skills!r:.100}")
        table = as_items(list(skills) if items is None else items)
        if lacking := [str(name) for name in table.skills if str(name) not in skills]:
            raise ModelError(f"skills has no BKT for {lacking[0]!r}; expected one for each skill of the items: add it")
        by_skill = np.array([[getattr(skills[str(k)], name) for name in PARAMETERS] for k in table.skills]).T
        return cls(table, by_skill[0], *by_skill[1:, table.skill])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the parameters by name."""
        return {name: getattr(self, name) for name in PARAMETERS}

    def options(self) -> dict[str, Any]:
        """Return `p_content` and `offsets`."""
        return {"p_content": self.p_content, "offsets": self.offsets}

    def _start(self, n: int) -> Students:
        """Return the probabilities of both states before the first response."""
        return _state(np.broadcast_to(self.p_init, (n, len(self.p_init))))

    def start_of(self, names: ArrayLike) -> Students:
        """Return the state of new students (n,), whose p_init has the offset of their name."""
        offset = np.array([self.offsets.get(name, 0.0) for name in np.asarray(names, np.str_).tolist()])
        factor = np.exp(np.clip(offset, -2 * MAX_LOGIT, 2 * MAX_LOGIT))[:, None]
        known, unknown = normalized(self.p_init * factor, 1.0 - self.p_init)
        return {"known": known, "unknown": unknown}

    def place(self, students: Students, skills: Longs, mastery: Doubles) -> None:
        """Raise the probability that all students know some skills (M,) to a mastery (M,), in place.

        A larger probability stays. Engines place new students by it, after a quiz.
        """
        known = np.maximum(students["known"][:, skills], mastery)
        raised = known > students["known"][:, skills]
        unknown = np.where(raised, 1.0 - known, students["unknown"][:, skills])
        students["known"][:, skills], students["unknown"][:, skills] = normalized(known, unknown)

    @staticmethod
    def compact(students: Students) -> Students:
        """Return a state as one array (n, K): the smaller probability, negative if it is that of not knowing."""
        known, unknown = students["known"], students["unknown"]
        return {"smaller": np.where(known <= unknown, known, -unknown)}

    @staticmethod
    def expand(students: Students) -> Students:
        """Return the state that `compact` has made smaller, bit for bit."""
        smaller = np.ascontiguousarray(students["smaller"])
        known, unknown = np.empty(smaller.shape), np.empty(smaller.shape)
        write_both(smaller.ravel(), known.ravel(), unknown.ravel())
        return {"known": known, "unknown": unknown}

    def _update(self, students: Students, rows: Longs, items: Longs, correct: Codes) -> None:
        """Apply Bayes' rule and the transition to each skill of the items."""
        for m in range(self.items.has.shape[1]):
            here = self.items.has[items, m]
            place = rows[here], self.items.members[items[here], m]
            case = items[here], m
            known, unknown = students["known"][place], students["unknown"][place]
            joint_known, joint_unknown = self._weighed(case, correct[here], known, unknown)
            possible = joint_known + joint_unknown > 0  # an impossible response leaves the probabilities unchanged
            known, unknown = np.where(possible, joint_known, known), np.where(possible, joint_unknown, unknown)
            _transit(students, place, known, unknown, self._learn[case], self._forget[case])

    def _weighed(
        self, case: tuple[Longs, int], correct: Any, known: Doubles, unknown: Doubles
    ) -> tuple[Doubles, Doubles]:
        """Return the weights of both states after answers (M,), given those before; `case` is item and place."""
        return known * self._if_known[correct, *case], unknown * self._if_unknown[correct, *case]

    def _study(self, students: Students, rows: Longs, items: Longs) -> None:
        """Learn each unknown skill of a content with probability `p_content`."""
        if self.p_content == 0:
            return
        for m in range(self.items.has.shape[1]):
            here = self.items.has[items, m]
            place = rows[here], self.items.members[items[here], m]
            learn = np.full(len(place[0]), self.p_content)
            _transit(students, place, students["known"][place], students["unknown"][place], learn, 0 * learn)

    def _chance(self, students: Students, items: Longs) -> Doubles:
        """Return the mean over the skills of an item of known (1 - p_slip) + unknown p_guess."""
        lanes = np.arange(len(students["known"]))[:, None]
        total = np.zeros(np.broadcast_shapes(lanes.shape, items.shape))
        for m in range(self.items.has.shape[1]):
            skill = self.items.members[items, m]
            if self.items.has.shape[1] > 1:
                right, guess = (t[1, items, m] * self.items.has[items, m] for t in (self._if_known, self._if_unknown))
            else:
                right, guess = self._if_known[1, items, m], self._if_unknown[1, items, m]
            total += students["known"][lanes, skill] * right + students["unknown"][lanes, skill] * guess
        return np.asarray(total / self.items.sizes[items])

    def _mastery(self, students: Students) -> Doubles:
        """Return the probability that each skill is known."""
        return np.array(students["known"])


def _state(init: Doubles) -> Students:
    """Return the state in which each skill is known with a probability (n, K)."""
    known, unknown = normalized(init, 1.0 - init)
    return {"known": known, "unknown": unknown}


@lean_kernel
def write_both(smaller: Doubles, known: Doubles, unknown: Doubles) -> None:
    """Write the probabilities of both states, (m,), from the smaller one, which is negative if it is `unknown`."""
    for x in range(len(smaller)):
        magnitude = abs(smaller[x])
        is_unknown = math.copysign(1.0, smaller[x]) < 0.0  # also for -0.0
        known[x] = 1.0 - magnitude if is_unknown else magnitude
        unknown[x] = magnitude if is_unknown else 1.0 - magnitude


def _transit(
    students: Students, place: tuple[Longs, Longs], known: Doubles, unknown: Doubles, learn: Doubles, forget: Doubles
) -> None:
    """Write the probabilities of both states at the next opportunity, given their weights (M,) at this one."""
    known, unknown = known * (1.0 - forget) + unknown * learn, known * forget + unknown * (1.0 - learn)
    students["known"][place], students["unknown"][place] = normalized(known, unknown)


def normalized(known: Doubles, unknown: Doubles) -> tuple[Doubles, Doubles]:
    """Return the probabilities of two states with these weights: the larger is exactly one minus the smaller."""
    smaller = np.minimum(known, unknown) / (known + unknown)
    larger = 1.0 - smaller
    return np.where(known <= unknown, smaller, larger), np.where(known <= unknown, larger, smaller)


__all__ = ["BKTModel", "normalized"]
