"""What an adaptive test is: its items, how the next one is chosen, how ability is estimated, when it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError
from alsim.models.cat.candidates import CELLS, closeness_bounds, information_bounds, sorted_lists
from alsim.models.cat.report import CATRun, together
from alsim.models.cat.selection import CLOSEST, KULLBACK_LEIBLER, MAX_INFO, Pool, SelectionPlan
from alsim.models.cat.session import Session
from alsim.models.irt.ability import Estimator, Method, make_estimator
from alsim.models.irt.curves import ItemParameters, as_finite
from alsim.types import Codes, Doubles, Ints, Longs

Select = Literal["max-info", "b-opt", "kullback-leibler", "a-stratified"]
WANTS: dict[str, int] = {
    "max-info": MAX_INFO,
    "b-opt": CLOSEST,
    "kullback-leibler": KULLBACK_LEIBLER,
    "a-stratified": CLOSEST,
}
POINTS = 9
"""Of the Kullback-Leibler integral: exact for polynomials up to degree 17."""

HALF_WIDTH = 3.0
"""Of that integral after one answer, logits: it shrinks with the root of their number, as the standard error does."""

TOGETHER = 1024
"""Examinees simulated side by side: the state of a test is about a byte an item and 0.3 kB, 2 kB for a mode."""

ROUNDS = 10
"""Of simulations that `control_exposure` learns from."""

Responder = Callable[[Longs, Longs], ArrayLike]
"""Told which examinees (M,) are asked which items (M,); returns their answers (M,), 0 or 1."""


@dataclass(frozen=True, eq=False)
class CAT:
    """A computerized adaptive test.

    items       the bank, of I items; no item is given twice in a test
    select      "max-info": the item that tells most at the estimate of ability; "b-opt": of the closest difficulty;
                "kullback-leibler": by the integral of Kullback-Leibler information from theta - 3 / sqrt(n) to
                theta + 3 / sqrt(n), after n answers; "a-stratified": the items in strata of rising a, each for its
                part of a test of max_items, and within a stratum the closest difficulty
    estimate    "eap", "map", "ml" or "wle", after each answer; with prior_mean, prior_sd and bounds, in logits, as of
                `estimate_ability`
    start       ability by which the first item is chosen, logits
    max_items   a test ends after so many
    min_items   and not before so many, unless nothing is left to ask
    stop_se     it ends when the standard error is at most this, logits
    stop_information        when the test's information at the estimate is at least this, 1/logit^2
    least_item_information  when the next item would tell less than this at the estimate, 1/logit^2
    randomesque  the item is drawn from so many best ones
    exposure     (I,) chances in (0, 1] with which a selected item is given and not set aside: `control_exposure`
    groups       (I,) content groups, by name or number
    blueprint    the share of a test that each group should have: the next item is of the group that is furthest below
                 its share. A group that is not named is not asked
    strata       of "a-stratified"

    Ties go to the item that comes first, and to the group that the blueprint names first. Raises AlsimError for
    settings that cannot be.
    Source: Lord (1980) for maximum information; Urry (1970) for the closest difficulty; Chang & Ying (1996) and (1999)
    for Kullback-Leibler information and strata; Kingsbury & Zara (1989) for randomesque selection and the blueprint;
    Sympson & Hetter (1985) for exposure control.
    """

    items: ItemParameters
    select: Select = "max-info"
    estimate: Method = "eap"
    prior_mean: float = 0.0
    prior_sd: float = 1.0
    bounds: tuple[float, float] = (-4.0, 4.0)
    start: float = 0.0
    max_items: int = 20
    min_items: int = 1
    stop_se: float | None = None
    stop_information: float | None = None
    least_item_information: float | None = None
    randomesque: int = 1
    exposure: ArrayLike | None = None
    groups: ArrayLike | None = None
    blueprint: Mapping[str, float] | Mapping[int, float] | None = None
    strata: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.items, ItemParameters):
            raise AlsimError(f"items are ItemParameters; got {type(self.items).__name__}")
        if self.select not in get_args(Select):
            raise AlsimError(f"select is one of {', '.join(get_args(Select))}; got {self.select!r}")
        for name, most in (
            ("max_items", len(self.items)),
            ("min_items", self.max_items),
            ("randomesque", len(self.items)),
            ("strata", len(self.items) if self.select == "a-stratified" else 2**31),
        ):
            _check_count(name, getattr(self, name), most)
        for name in ("stop_se", "stop_information", "least_item_information"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float | np.number) and 0 < value < math.inf):
                raise AlsimError(f"{name} is {value}; expected a positive finite number, or None")
        nodes = self.estimator.nodes
        if not isinstance(self.start, int | float | np.number) or not nodes[0] <= self.start <= nodes[-1]:
            raise AlsimError(f"start is {self.start}; expected an ability within the bounds {self.bounds}")
        _ = self.pool, self.plan

    @cached_property
    def estimator(self) -> Estimator:
        """How ability is estimated, for kernels."""
        return make_estimator(
            self.items,
            self.estimate,
            prior_mean=self.prior_mean,
            prior_sd=self.prior_sd,
            bounds=self.bounds,
            least_se=self.stop_se or math.inf,
        )

    @cached_property
    def pool(self) -> Pool:
        """The items, for kernels."""
        edges, many = np.linspace(*self.bounds, CELLS + 1), len(self.items)
        want = WANTS[self.select]
        if want == MAX_INFO:
            bounds = information_bounds(self.items, edges)
        elif want == CLOSEST:
            bounds = closeness_bounds(self.items, edges)
        else:
            bounds = np.full((CELLS, many), np.inf)  # a bound of its own is not known: the search is a full scan
        order, bound = sorted_lists(bounds)
        stratum = np.zeros(many, np.int32)
        if self.select == "a-stratified":
            stratum[np.argsort(self.items.a, kind="stable")] = np.arange(many) * self.strata // many
        return Pool(*self.items.columns, self._content[0], stratum, self._release, order, bound)

    @cached_property
    def plan(self) -> SelectionPlan:
        """What is wanted and when a test ends, for kernels."""
        points, weights = np.polynomial.legendre.leggauss(POINTS)
        low, high = self.bounds
        return SelectionPlan(
            want=WANTS[self.select],
            best_of=int(self.randomesque),
            strata=int(self.strata) if self.select == "a-stratified" else 1,
            share=self._content[1],
            low=float(low),
            cells_per_logit=CELLS / (high - low),
            cells=CELLS,
            points=points,
            weights=weights,
            half_width=HALF_WIDTH,
            max_items=int(self.max_items),
            min_items=int(self.min_items),
            stop_se=float(self.stop_se or 0.0),
            stop_information=float(self.stop_information or np.inf),
            least_information=float(self.least_item_information or 0.0),
        )

    @cached_property
    def _content(self) -> tuple[Ints, Doubles]:
        """Group of each item, in order of the blueprint, and share of each group; -1 is no group of the blueprint."""
        many = len(self.items)
        if self.blueprint is None and self.groups is None:
            return np.zeros(many, np.int32), np.ones(1)
        if self.blueprint is None or self.groups is None:
            raise AlsimError("groups and blueprint go together: the one names each item's, the other its share")
        if not isinstance(self.blueprint, Mapping):
            raise AlsimError(f"blueprint maps a group to its share; got {type(self.blueprint).__name__}")
        groups = np.asarray(self.groups)
        if groups.shape != (many,):
            raise AlsimError(f"groups has a group for each of {many} items; got shape {groups.shape}")
        shares = as_finite(list(self.blueprint.values()), "blueprint")
        if (shares < 0).any() or abs(shares.sum() - 1) > 1e-6:
            raise AlsimError(f"blueprint has shares of at least 0 that add up to 1; got {dict(self.blueprint)}")
        codes = np.full(many, -1, np.int32)
        for k, (group, share) in enumerate(self.blueprint.items()):
            codes[groups == group] = k
            if share > 0 and not (groups == group).any():
                raise AlsimError(f"blueprint gives {group!r} a share of {share}, but no item is of that group")
        return codes, shares

    @cached_property
    def _release(self) -> Doubles:
        many = len(self.items)
        if self.exposure is None:
            return np.ones(many)
        release = as_finite(self.exposure, "exposure")
        if release.shape != (many,) or not ((release > 0) & (release <= 1)).all():
            raise AlsimError(f"exposure has a chance in (0, 1] for each of {many} items; got {self.exposure!r}")
        return release

    def session(self, num_examinees: int = 1, *, seed: int = 0, first: int = 0) -> Session:
        """Begin tests, to be taken step by step.

        num_examinees  N
        seed           of what is drawn: randomesque selection, exposure control, simulated answers
        first          number of the first examinee: the tests of an examinee are the same in any batch
        """
        return Session(self.pool, self.plan, self.estimator, self.start, num_examinees, seed=seed, first=first)

    def run(
        self,
        abilities: ArrayLike | None = None,
        *,
        responder: Responder | None = None,
        num_examinees: int | None = None,
        seed: int = 0,
        first: int = 0,
    ) -> CATRun:
        """Test many examinees to the end: simulated ones, or those whom `responder` answers for.

        abilities      (N,) true abilities, logits: each answers by the items' curves
        responder      a function of the numbers of examinees (M,) and their items (M,), which returns (M,) answers
        num_examinees  N, with a responder
        seed, first    as of `session`

        Raises AlsimError unless there are either abilities or a responder and num_examinees.
        """
        if (abilities is None) == (responder is None) or (responder is None) != (num_examinees is None):
            raise AlsimError("run takes either abilities, or responder and num_examinees")
        truth = None if abilities is None else as_finite(abilities, "abilities")
        if truth is not None and truth.ndim != 1:
            raise AlsimError(f"abilities have shape (N,); got {truth.shape}")
        many: int = len(truth) if truth is not None else 0 if num_examinees is None else num_examinees
        if isinstance(many, bool) or not isinstance(many, int | np.integer) or many < 0:
            raise AlsimError(f"num_examinees is {many!r}; expected an integer of at least 0")
        parts = []
        for begin in range(0, max(many, 1), TOGETHER):
            session = self.session(min(TOGETHER, many - begin), seed=seed, first=first + begin)
            while not session.all_finished:
                items = session.next_items()
                if truth is not None:
                    session.answer(session.simulated(truth[begin : begin + TOGETHER]))
                elif responder is not None and (items >= 0).any():
                    session.answer(_asked(responder, session.examinees, items))
            parts.append(session.result())
        return together(parts, truth)

    def control_exposure(self, rate: float, abilities: ArrayLike, *, seed: int = 0) -> CAT:
        """Return this test with chances of release that hold the most exposed item near `rate`.

        Tests of simulated examinees of these abilities show how often each item is selected; one that is selected more
        often than `rate` is released with the chance rate / selected, and so again, ten times.

        rate       share of examinees who may get an item, in (0, 1]
        abilities  (N,) of the population, logits: the more of them, the closer
        seed       of the simulation

        Raises AlsimError if even items given equally often would exceed the rate, and without abilities.
        Source: Sympson & Hetter (1985), Controlling item-exposure rates in computerized adaptive testing.
        """
        if np.size(as_finite(abilities, "abilities")) == 0:
            raise AlsimError("exposure control learns from tests of simulated examinees; abilities has none")
        if not self.max_items / len(self.items) <= as_finite(rate, "rate") <= 1:
            raise AlsimError(
                f"rate is {rate}; tests of {self.max_items} of {len(self.items)} items need one from "
                f"{self.max_items / len(self.items):.3g} to 1"
            )
        controlled = replace(self, exposure=None)
        for k in range(ROUNDS):
            tests = controlled.run(abilities, seed=seed + k)
            controlled = replace(self, exposure=np.minimum(1.0, rate / np.maximum(tests.selection_rates, rate)))
        return controlled


def _check_count(name: str, value: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= most:
        raise AlsimError(f"{name} is {value!r}; expected an integer from 1 to {most}")


def _asked(responder: Responder, examinees: Longs, items: Longs) -> Codes:
    """Return the answers (N,) of those who wait for an item, -1 of the others."""
    waiting = items >= 0
    answers: NDArray[np.generic] = np.asarray(responder(examinees[waiting], items[waiting]))
    if answers.shape != (int(waiting.sum()),) or not np.isin(answers, (0, 1)).all():
        raise AlsimError(f"a responder returns an answer, 0 or 1, for each of {int(waiting.sum())}; got {answers!r}")
    correct = np.full(len(items), -1, np.int8)
    correct[waiting] = answers
    return correct
