"""Design of an adaptive test: item bank, item selection, ability estimation and stopping rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError
from alsim.models.cat.candidates import CELLS, closeness_bounds, information_bounds, sorted_lists
from alsim.models.cat.results import CATRun, concatenate
from alsim.models.cat.selection import (
    CLOSEST_DIFFICULTY,
    KULLBACK_LEIBLER,
    MAX_INFORMATION,
    ItemPool,
    SelectionPlan,
)
from alsim.models.cat.session import Session
from alsim.models.irt.ability import Estimator, Method, make_estimator
from alsim.models.irt.curves import HasItemParameters, ItemParameters, as_finite, curves, informations, items_of
from alsim.types import Codes, Doubles, Ints, Longs, short_repr

Select = Literal["max-info", "b-opt", "kullback-leibler", "a-stratified"]
CRITERIA: dict[str, int] = {
    "max-info": MAX_INFORMATION,
    "b-opt": CLOSEST_DIFFICULTY,
    "kullback-leibler": KULLBACK_LEIBLER,
    "a-stratified": CLOSEST_DIFFICULTY,
}
QUADRATURE_POINTS = 9
"""Number of Gauss-Legendre points of the Kullback-Leibler integral; exact for polynomials up to degree 17."""

HALF_WIDTH = 3.0
"""Half the width of the integral's interval after one answer, logits; after n answers, it is divided by sqrt(n)."""

BATCH_SIZE = 1024
"""Examinees per batch in `run`. A test's state takes one byte per item and 0.3 kB, or 2 kB for MAP, ML and WLE."""

EXPOSURE_ROUNDS = 10
"""Number of simulations in `control_exposure`."""

Responder = Callable[[Longs, Longs], ArrayLike]
"""Function of examinee numbers (M,) and their items (M,) that returns their answers (M,), 0 or 1."""


ROUNDING = 1e-9
"""Largest relative difference between two sums of the same information."""

STOP_REASONS = ("", "max_items", "stop_se", "stop_information", "least_item_information", "no item left")
"""Reasons for the end of a test: the setting that ended it, or no item left; an empty string before the end."""


class ItemsField:
    """Field `CAT.items`, which is set to any object with item parameters, and read as ItemParameters."""

    def __get__(self, cat: CAT | None, owner: type | None = None) -> ItemParameters:
        """Return the item parameters."""
        if cat is None:
            raise AttributeError("items")  # the field has no default
        return cast(ItemParameters, cat.__dict__["items"])

    def __set__(self, cat: CAT, items: ItemParameters | HasItemParameters) -> None:
        """Convert the object and set the item parameters."""
        cat.__dict__["items"] = items_of(items)


@short_repr
@dataclass(frozen=True, eq=False)
class CAT:
    """A computerized adaptive test.

    items       item bank of I items: ItemParameters, a fitted item response model (IRTFit), a Bank, or the result of
                `read_items`. A test administers each item at most once. Items of a fit without estimates, or with
                a <= 0, are left out; `items.notes` lists them, and `items.names` has the names of the others
    select      criterion of item selection at the current estimate of ability:
                "max-info", the largest information; "b-opt", the closest difficulty; "kullback-leibler", the largest
                integral of Kullback-Leibler information from theta - 3 / sqrt(n) to theta + 3 / sqrt(n), after n
                answers; "a-stratified", the closest difficulty within a stratum. The items are divided into strata by
                increasing a, and each stratum is used for an equal part of a test of max_items
    estimate    ability estimator after each answer: "eap", "map", "ml" or "wle", see `estimate_ability`
    prior_mean, prior_sd, bounds  settings of the estimator, logits, see `estimate_ability`
    start       ability at which the first item is selected, logits; None for the prior mean, see `first_ability`
    max_items   largest number of items of a test; a bank with fewer items ends it earlier
    min_items   smallest number of items, unless no item is left
    stop_se     the test ends if the standard error is at most this, logits
    stop_information        the test ends if the test information at the estimate is at least this, 1/logit^2
    least_item_information  the test ends if the information of the next item at the estimate is below this, 1/logit^2.
                            None or 0 in one of these three is no such rule
    randomesque  number of best items from which the next item is drawn at random
    exposure     (I,) probabilities, in (0, 1], that a selected item is administered, see `control_exposure`; or a
                 mapping from names of items to probabilities, 1 for other items
    groups       (I,) content group of each item, a name or a number; or a mapping from the name of each item to its
                 group
    blueprint    target share of each group in a test. The next item is selected from the group furthest below its
                 share. Items of groups that the blueprint does not name are not used
    strata       number of strata of "a-stratified"

    Ties are resolved in favour of the item with the lowest index, and of the group that the blueprint names first.
    Raises AlsimError for invalid settings.
    Source: Lord (1980) for maximum information; Urry (1970) for the closest difficulty; Chang & Ying (1996) and (1999)
    for Kullback-Leibler information and strata; Kingsbury & Zara (1989) for randomesque selection and the blueprint;
    Sympson & Hetter (1985) for exposure control.
    """

    items: ItemsField = ItemsField()
    select: Select = "max-info"
    estimate: Method = "eap"
    prior_mean: float = 0.0
    prior_sd: float = 1.0
    bounds: tuple[float, float] = (-4.0, 4.0)
    start: float | None = None
    max_items: int = 20
    min_items: int = 1
    stop_se: float | None = None
    stop_information: float | None = None
    least_item_information: float | None = None
    randomesque: int = 1
    exposure: ArrayLike | Mapping[str, float] | Mapping[int, float] | None = None
    groups: ArrayLike | Mapping[str, str] | Mapping[str, int] | None = None
    blueprint: Mapping[str, float] | Mapping[int, float] | None = None
    strata: int = 4

    def __post_init__(self) -> None:
        for name, choices in (("select", get_args(Select)), ("estimate", get_args(Method))):
            if (lower := str(getattr(self, name)).lower()) in choices:
                object.__setattr__(self, name, lower)
        if self.select not in get_args(Select):
            raise AlsimError(f"select must be one of {', '.join(get_args(Select))}; got {self.select!r}")
        for name, largest in (
            ("max_items", 2**31 - 1),
            ("min_items", self.max_items),
            ("randomesque", len(self.items)),
            ("strata", len(self.items) if self.select == "a-stratified" else 2**31),
        ):
            _check_count(name, getattr(self, name), largest)
        for name in ("stop_se", "stop_information", "least_item_information"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float | np.number) and 0 <= value < math.inf):
                raise AlsimError(f"{name} is {value}; expected a positive finite number, or None or 0 for no such rule")
        nodes, start = self.estimator.nodes, self.start
        if start is not None and not (isinstance(start, int | float | np.number) and nodes[0] <= start <= nodes[-1]):
            raise AlsimError(f"start is {self.start}; expected an ability within the bounds {self.bounds}")
        _ = self.pool, self.plan  # check the other settings

    @property
    def first_ability(self) -> float:
        """Ability at which the first item is selected, logits: `start`, or the prior mean, clipped to the bounds."""
        low, high = self.bounds
        return float(min(max(self.prior_mean, low), high) if self.start is None else self.start)

    @property
    def longest(self) -> int:
        """Largest possible number of items of a test: `max_items`, or the size of a smaller bank."""
        return min(int(self.max_items), len(self.items))

    @cached_property
    def estimator(self) -> Estimator:
        """Ability estimator, for kernels."""
        return make_estimator(
            self.items,
            self.estimate,
            prior_mean=self.prior_mean,
            prior_sd=self.prior_sd,
            bounds=self.bounds,
            min_se=self.stop_se or math.inf,
        )

    @cached_property
    def pool(self) -> ItemPool:
        """Items and candidate lists, for kernels."""
        edges, num_items = np.linspace(*self.bounds, CELLS + 1), len(self.items)
        criterion = CRITERIA[self.select]
        if criterion == MAX_INFORMATION:
            bounds = information_bounds(self.items, edges)
        elif criterion == CLOSEST_DIFFICULTY:
            bounds = closeness_bounds(self.items, edges)
        else:
            bounds = np.full((CELLS, num_items), np.inf)  # without a useful bound, the search is a full scan
        order, bound = sorted_lists(bounds)
        stratum = np.zeros(num_items, np.int32)
        if self.select == "a-stratified":
            stratum[np.argsort(self.items.a, kind="stable")] = np.arange(num_items) * self.strata // num_items
        return ItemPool(*self.items.columns, self._content[0], stratum, self._exposure, order, bound)

    @cached_property
    def plan(self) -> SelectionPlan:
        """Settings of item selection and of the stopping rules, for kernels."""
        points, weights = np.polynomial.legendre.leggauss(QUADRATURE_POINTS)
        low, high = self.bounds
        return SelectionPlan(
            criterion=CRITERIA[self.select],
            randomesque=int(self.randomesque),
            strata=int(self.strata) if self.select == "a-stratified" else 1,
            blueprint=self._content[1],
            low=float(low),
            cells_per_logit=CELLS / (high - low),
            cells=CELLS,
            points=points,
            weights=weights,
            half_width=HALF_WIDTH,
            max_items=self.longest,
            min_items=int(self.min_items),
            stop_se=float(self.stop_se or 0.0),
            stop_information=float(self.stop_information or np.inf),
            min_item_information=float(self.least_item_information or 0.0),
        )

    @cached_property
    def _content(self) -> tuple[Ints, Doubles]:
        """Group index (I,) of each item, -1 outside the blueprint, and share (G,) of each group."""
        num_items = len(self.items)
        if self.blueprint is None and self.groups is None:
            return np.zeros(num_items, np.int32), np.ones(1)
        if self.blueprint is None or self.groups is None:
            raise AlsimError(
                "groups and blueprint are both required: the group of each item, and the share of each group"
            )
        if not isinstance(self.blueprint, Mapping):
            raise AlsimError(f"blueprint must be a mapping from group to share; got {type(self.blueprint).__name__}")
        groups = np.asarray(_by_item(self.groups, self.items, "groups", None))
        if groups.shape != (num_items,):
            raise AlsimError(f"groups must have one group for each of {num_items} items; got shape {groups.shape}")
        shares = as_finite(list(self.blueprint.values()), "blueprint")
        if (shares < 0).any() or abs(shares.sum() - 1) > 1e-6:
            raise AlsimError(f"the shares of blueprint must be at least 0 and sum to 1; got {dict(self.blueprint)}")
        codes = np.full(num_items, -1, np.int32)
        for k, (group, share) in enumerate(self.blueprint.items()):
            codes[groups == group] = k
            if share > 0 and not (groups == group).any():
                raise AlsimError(f"blueprint gives group {group!r} a share of {share}, but no item is in that group")
        return codes, shares

    @cached_property
    def _exposure(self) -> Doubles:
        """Probability (I,) that a selected item is administered."""
        num_items = len(self.items)
        if self.exposure is None:
            return np.ones(num_items)
        exposure = as_finite(_by_item(self.exposure, self.items, "exposure", 1.0), "exposure")
        if exposure.shape != (num_items,) or not ((exposure > 0) & (exposure <= 1)).all():
            raise AlsimError(
                f"exposure must have one probability in (0, 1] for each of {num_items} items; got {self.exposure!r}"
            )
        return exposure

    def session(self, num_examinees: int = 1, *, seed: int = 0, first: int = 0) -> Session:
        """Start tests that are administered step by step.

        num_examinees  number N of examinees
        seed           random seed of randomesque selection, exposure control and simulated answers
        first          number of the first examinee. The draws depend only on the seed and the examinee's number, so
                       that a test is the same in any batch

        Returns the session. Raises AlsimError for values that are not integers in range.
        """
        return Session(
            *(self.pool, self.plan, self.estimator, self.first_ability, num_examinees),
            names=self.items.names,
            seed=seed,
            first=first,
        )

    def run(
        self,
        abilities: ArrayLike | None = None,
        *,
        responder: Responder | None = None,
        num_examinees: int | None = None,
        seed: int = 0,
        first: int = 0,
    ) -> CATRun:
        """Run complete tests, of simulated examinees or of examinees for whom `responder` answers.

        abilities      (N,) true abilities of simulated examinees, logits
        responder      function of examinee numbers (M,) and their items (M,) that returns their answers (M,), 0 or 1
        num_examinees  number N of examinees, with a responder
        seed, first    see `session`

        Returns the results. Raises AlsimError unless either abilities, or both responder and num_examinees, are given.
        """
        if (abilities is None) == (responder is None) or (responder is None) != (num_examinees is None):
            raise AlsimError("pass either abilities, or responder and num_examinees")
        truth = None if abilities is None else as_finite(abilities, "abilities")
        if truth is not None and truth.ndim != 1:
            raise AlsimError(f"abilities must have shape (N,); got {truth.shape}")
        count: int = len(truth) if truth is not None else 0 if num_examinees is None else num_examinees
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
            raise AlsimError(f"num_examinees is {count!r}; expected an integer of at least 0")
        batches = []
        for begin in range(0, max(count, 1), BATCH_SIZE):
            session = self.session(min(BATCH_SIZE, count - begin), seed=seed, first=first + begin)
            while not session.all_finished:
                items = session.next_items()
                if truth is not None:
                    session.answer(session.simulated(truth[begin : begin + BATCH_SIZE]))
                elif responder is not None and (items >= 0).any():
                    session.answer(_answers(responder, session.examinees, items))
            batches.append(session.result())
        return concatenate(batches, truth)

    def stop_reasons(self, tests: CATRun) -> NDArray[np.str_]:
        """Return the reason (N,) why each test ended, one of STOP_REASONS; an empty string before the end.

        tests  results of this test

        If several rules apply, the precision comes first: stop_se, stop_information, max_items.
        """
        parameters = (column[tests.items] for column in self.items.columns)
        of_items = informations(*curves(tests.theta[:, None], *parameters)[:3])
        information = np.where(tests.items >= 0, of_items, 0.0).sum(axis=1) * (1 + ROUNDING)
        exhausted = tests.lengths >= int((self.pool.group >= 0).sum())
        enough = tests.lengths >= min(self.min_items, self.longest)
        rules = {
            "": ~tests.finished,
            "stop_se": enough & (tests.se <= (self.stop_se or -1.0)),
            "stop_information": enough & (information >= (self.stop_information or math.inf)),
            "max_items": tests.lengths >= self.max_items,
            "no item left": exhausted | (self.least_item_information is None),
        }
        return np.select(list(rules.values()), list(rules), "least_item_information")

    def control_exposure(self, rate: float, abilities: ArrayLike, *, seed: int = 0) -> CAT:
        """Return this test with exposure probabilities that keep the highest exposure rate near `rate`.

        Ten rounds of simulated tests show how often each item is selected. After each round, an item that was selected
        at a higher rate than `rate` gets the exposure probability rate / selection rate.

        rate       target for the largest share of examinees who answer an item, in (0, 1]
        abilities  (N,) sample of the population's abilities, logits; a larger sample is more accurate
        seed       random seed of the simulations

        Returns a CAT with `exposure`. Raises AlsimError without abilities, and for a rate below max_items / I, which
        even equal use of all items would exceed.
        Source: Sympson & Hetter (1985), Controlling item-exposure rates in computerized adaptive testing.
        """
        if np.size(as_finite(abilities, "abilities")) == 0:
            raise AlsimError("abilities is empty; expected a sample of abilities to simulate tests with")
        if not self.longest / len(self.items) <= as_finite(rate, "rate") <= 1:
            raise AlsimError(
                f"rate is {rate}; tests of {self.longest} of {len(self.items)} items require one from "
                f"{self.max_items / len(self.items):.3g} to 1"
            )
        controlled = replace(self, exposure=None)
        for k in range(EXPOSURE_ROUNDS):
            tests = controlled.run(abilities, seed=seed + k)
            controlled = replace(self, exposure=np.minimum(1.0, rate / np.maximum(tests.selection_rates, rate)))
        return controlled


def _by_item(values: Any, items: ItemParameters, name: str, default: float | None) -> Any:
    """Return the values of a mapping from names of items as a list (I,); return any other value unchanged.

    Raises AlsimError for an unknown name, and for an item without a value if there is no default.
    """
    if not isinstance(values, Mapping):
        return values
    try:
        items.find(list(map(str, values)))
    except AlsimError as error:
        raise AlsimError(f"{name}: {error}") from None
    values = {str(item): value for item, value in values.items()}  # names may be integers, such as 102
    missing = [str(item) for item in items.names if item not in values]
    if missing and default is None:
        raise AlsimError(f"{name} has no value for the item {missing[0]!r}; pass a mapping with all {len(items)} items")
    return [values.get(str(item), default) for item in items.names]


def _check_count(name: str, value: int, largest: int) -> None:
    """Raise AlsimError unless the setting is an integer from 1 to `largest`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= largest:
        raise AlsimError(f"{name} is {value!r}; expected an integer from 1 to {largest}")


def _answers(responder: Responder, examinees: Longs, items: Longs) -> Codes:
    """Return the answers (N,) of the examinees with a pending item, and -1 for the others."""
    pending = items >= 0
    count = int(pending.sum())
    answers: NDArray[np.generic] = np.asarray(responder(examinees[pending], items[pending]))
    if answers.shape != (count,) or not np.isin(answers, (0, 1)).all():
        raise AlsimError(f"a responder must return one answer, 0 or 1, for each of {count} examinees; got {answers!r}")
    correct = np.full(len(items), -1, np.int8)
    correct[pending] = answers
    return correct
