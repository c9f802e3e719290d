"""Notes of `alsim fit`: unusual estimates, priors, repeated responses, and unknown names of the held-out responses."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alsim.cli.fit_tables import Row
from alsim.errors import AlsimError
from alsim.utils.names import listed

if TYPE_CHECKING:
    from alsim.models.base import Fit
    from alsim.responses.log import Responses

LARGE_B = 10.0
"""Absolute difficulty above which a note says that it has no meaning, logits."""
_ITEM_NAME = re.compile(r"(?:i|q|v|x|item|question|var|task|problem)[ _.-]?[0-9]+", re.IGNORECASE)
"""Names of items in tests."""
MOST_AT_A_BOUND = 0.9
"""Share of half-lives at one of their bounds above which a note says so."""
LARGE_SE_OF_B = 1.0
"""Standard error of a difficulty above which a note names the item, logits: the standard deviation of ability."""


def notes(fitted: Fit, rows: Sequence[Row], responses: Responses) -> list[str]:
    """Return the notes of a fit to these responses: its own, and those about its priors and estimates."""
    found = [*getattr(fitted, "notes", ())]
    for key, value, text in (
        ("converged", "no", "did not converge"),
        ("at bounds", None, "have a parameter at a bound, which has no standard error"),
    ):
        number = sum(bool(row[key]) if value is None else row[key] == value for row in rows if key in row)
        if number:
            text = text.replace("have", "has", 1) if number == 1 else text
            found.append(f"{number:,} of {len(rows):,} skills {text}")
    if fitted.model == "irt":
        found += [*repeated_pairs(responses), *_large_errors(rows), *_without_meaning(rows), *_priors(fitted)]
    if fitted.model == "hlr":
        found += _bounded_half_lives(fitted, responses)
    return found + _transposed(responses)


def _bounded_half_lives(fitted: Any, responses: Responses) -> list[str]:
    """Return the note about half-lives that are mostly at a bound, as those of times in another unit."""
    from alsim.models.hlr.memory import HALF_LIVES

    half_lives, days = fitted.half_lives(responses)
    if len(days) == 0:
        return []
    shortest, longest = np.mean(half_lives <= HALF_LIVES[0]), np.mean(half_lives >= HALF_LIVES[1])
    share, median = max(shortest, longest), float(np.median(days))
    if share <= MOST_AT_A_BOUND:
        return []
    time = f"{1440 * median:.2g} minutes" if median < 0.1 else f"{median:,.1f} days"
    bound = "shortest one, 15 minutes" if shortest == share else "longest one, 274 days"
    return [
        f"the half-lives of {100 * share:.0f} % of the answers to practised skills are at the {bound}, so the weights "
        f"have no meaning; the median time since the last practice is {time}: if that is wrong, convert the times to "
        "seconds"
    ]


def uncertain_items(rows: Sequence[Row]) -> list[str]:
    """Return the items of an item response model whose standard errors are large."""
    return [
        str(row["item"])
        for row in rows
        if "se_b" in row
        and "item" in row
        and (_number(row["se_b"]) > LARGE_SE_OF_B or _number(row["se_a"]) > abs(_number(row["a"])))
    ]


def _large_errors(rows: Sequence[Row]) -> list[str]:
    """Return the note about items with large standard errors."""
    if not (names := uncertain_items(rows)):
        return []
    return [
        f"large standard errors (SE of b above 1 logit, or SE of a above a) of {len(names):,} of {len(rows):,} items, "
        f"whose estimates are unreliable: {listed(names)}; add responses, or fit a model with fewer parameters"
    ]


def _without_meaning(rows: Sequence[Row]) -> list[str]:
    """Return the note about items that hardly depend on ability, so that their difficulty has no meaning."""
    names = [str(row["item"]) for row in rows if abs(_number(row.get("b"))) > LARGE_B]
    if not names:
        return []
    count = f"{len(names):,} of {len(rows):,} items"
    return [
        f"b of {count} is outside [-{LARGE_B:g}, {LARGE_B:g}] logits and has no meaning, since a is near 0 or nearly "
        f"all responses are equal: {listed(names)}; check the answer keys of these items, or leave them out"
    ]


def _transposed(responses: Responses) -> list[str]:
    """Return the note about a table that seems to have one row per item: fewer rows than columns, named like items."""
    names = responses.students.tolist()
    if not (1 < len(names) < responses.num_items and all(map(_ITEM_NAME.fullmatch, names))):
        return []
    return [
        f"the log has fewer students ({len(names):,}) than items ({responses.num_items:,}), and the students are named "
        f"like items, such as {names[0]}: if the table has one row per item, transpose it"
    ]


def _priors(fitted: Any) -> list[str]:
    """Return the note about the priors of an item response model."""
    priors = getattr(fitted, "priors", None)
    if priors is None:
        return []
    texts = [
        f"{label} ~ N({prior[0]:g}, SD {prior[1]:g})"
        for label, prior in (("log a", priors.a), ("d", priors.d))
        if prior is not None
    ]
    if priors.c is not None:
        texts.append(f"c ~ Beta({priors.c[0]:g}, {priors.c[1]:g})")
    return [f"priors: {', '.join(texts)}; the log-likelihood, AIC and BIC exclude them"] if texts else []


def repeated_pairs(responses: Responses) -> list[str]:
    """Return the note about students who responded to an item several times."""
    pairs = responses.student.astype(np.int64) * responses.num_items + responses.item
    number = int((np.unique(pairs, return_counts=True)[1] > 1).sum())
    if not number:
        return []
    subject = "1 student-item pair has" if number == 1 else f"{number:,} student-item pairs have"
    return [f"{subject} several responses, which count as independent"]


def unknown_names(model: str, responses: Responses, held_out: Responses, path: Path) -> list[str]:
    """Return notes about names of the held-out responses that are absent from the fitted responses.

    Raises AlsimError if the model knows none of the names, or not all of them and they are numbers of columns.
    """
    from alsim.models.base import MATCHED
    from alsim.models.matching import compare_names

    known = {kind: np.array(_used(responses, kind), np.str_) for kind in MATCHED.get(model, ("skill",))}
    try:
        unknown = compare_names(held_out, known, "the held-out responses", responses)
    except AlsimError as error:
        raise AlsimError(f"{path}: {error}") from None
    predicted = "unknown to the fit, which predicts"
    return [
        found.sentence(
            str(path),
            f"is {predicted} it without estimates of its own",
            f"are {predicted} them without estimates of their own",
        )
        for found in unknown
    ]


def _used(responses: Responses, kind: str) -> list[str]:
    """Return the names of the skills or items that have responses."""
    names, codes = (responses.items, responses.item) if kind == "item" else (responses.skills, responses.skill)
    used: list[str] = names[np.bincount(codes, minlength=len(names)) > 0].tolist()
    return used


def _number(value: Any) -> float:
    """Return an estimate; NaN for a missing one."""
    return float(value) if isinstance(value, int | float) else math.nan
