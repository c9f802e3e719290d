"""Report of `alsim fit`: the log, the convergence, the scores of the held-out responses, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from alsim.cli.fit_notes import notes, uncertain_items
from alsim.cli.fit_tables import Row, summary
from alsim.cli.output import counted, finite, print_sentence, print_table, rounded
from alsim.errors import AlsimError
from alsim.evaluation.estimates import t_interval

if TYPE_CHECKING:
    from alsim.models.base import Fit
    from alsim.models.scores import ScoreErrors, Scores
    from alsim.responses.log import Responses

SCORES = {"auc": "AUC", "rmse": "RMSE", "log_loss": "log loss, nats", "accuracy": "accuracy"}
"""Label of each score, with its unit."""
UNBOUNDED = ("log_loss",)
"""Scores that may exceed 1; all scores are at least 0."""
CHANCE = 0.5
"""AUC of guessing."""
MAX_RESPONSES = 20_000_000
"""Largest number of held-out responses that a column freq may stand for: each of them is scored, in about 40 bytes."""
LIMITS = {"dkt": "; a larger --epochs lets it continue"}
"""Cure for a fit that has not converged, by model."""


class Tested(NamedTuple):
    """Scores of the held-out responses, their standard errors, and the log that holds them.

    in_sample  True if the model was fitted to these responses
    """

    path: Path
    scores: Scores
    errors: ScoreErrors
    notes: Sequence[str] = ()
    in_sample: bool = False


def score_predictions(fitted: Fit, responses: Responses, path: Path) -> Tested:
    """Score predictions of responses; the responses of a row that stands for n students count n times."""
    from alsim.models.outcomes import outcomes_of
    from alsim.models.scores import score, score_errors

    weight = responses.weight[responses.student]
    if weight.sum() > MAX_RESPONSES and (weight > 1).any():
        raise AlsimError(
            f"{path}: the column freq stands for {weight.sum():,.0f} responses; expected at most {MAX_RESPONSES:,} "
            "held-out responses: divide the frequencies by a common factor"
        )
    counts = weight.astype(np.int64)
    if not (counts == weight).all():
        invalid = weight[counts != weight][0]
        raise AlsimError(
            f"the column freq of the held-out responses must contain integers; got {invalid:g}: round it in {path}"
        )
    outcomes = outcomes_of(responses, getattr(fitted, "partial_credit", False))
    correct, predicted = np.repeat(outcomes, counts), np.repeat(fitted.predict(responses), counts)
    copies = np.arange(len(correct)) - np.repeat(np.cumsum(counts) - counts, counts)
    student = np.repeat(responses.student, counts) + copies * len(responses.students)  # each copy is a student
    return Tested(path, score(correct, predicted), score_errors(correct, predicted, student))


def print_log(responses: Responses, fitted: Fit, rows: Sequence[Row]) -> None:
    """Print the size of the log, the log-likelihood, and the notes of a fit with these rows of estimates."""
    size = _size(responses)
    sizes = [counted(size["students"], "student")]
    sizes += [counted(size[f"{kind}s"], kind) for kind in _kinds(fitted.model, responses)]
    if responses.study is not None:
        sizes.append(counted(len(responses.study), "study event"))
    patterns = f", in {counted(size['patterns'], 'pattern')}" if "patterns" in size else ""
    print_sentence(
        f"{fitted.model}: {counted(size['responses'], 'response')} of {sizes[0]}{patterns}, {', '.join(sizes[1:])}"
    )
    criteria = "".join(f", {name.upper()} {value:,.3f}" for name, value in _criteria(fitted).items())
    print(f"log-likelihood {fitted.log_likelihood:,.3f} nats{criteria}")
    for note in notes(fitted, rows, responses):
        print_sentence(f"note: {note}")


def _size(responses: Responses) -> dict[str, int]:
    """Return the size of a log. A pattern counts as many students, and its responses as many, as it stands for."""
    weight = responses.weight
    size = {
        "responses": round(float(weight[responses.student].sum())),
        "students": round(responses.num_respondents),
        "items": responses.num_items,
        "skills": responses.num_skills,
    }
    return size if (weight == 1).all() else size | {"patterns": int((np.diff(responses.start) > 0).sum())}


def _kinds(model: str, responses: Responses) -> list[str]:
    """Return which names of a log a model uses: items, skills or, if both differ, both."""
    if model == "irt":
        return ["item"]
    same = np.array_equal(responses.items, responses.skills)  # as in a log with only one of them
    return ["skill"] if same else ["item", "skill"]


def _criteria(fitted: Fit) -> dict[str, float]:
    """Return the information criteria of a fit, by name; none for a model without them."""
    return {name: float(getattr(fitted, name)) for name in ("aic", "bic") if hasattr(fitted, name)}


def print_scores(tested: Tested) -> None:
    """Print the scores of the held-out responses with their standard errors."""
    scores, errors = tested.scores, tested.errors
    print_sentence(
        f"test: {tested.path}, {counted(scores.responses, 'response')} of {counted(errors.students, 'student')}"
    )
    rows = []
    for name, label in SCORES.items():
        rows.append((label, *rounded(finite(getattr(scores, name)), finite(getattr(errors, name)))))
    print_table(("score", "", "±"), rows)
    for note in tested.notes:
        print_sentence(f"note: {note}")


def verdict(fitted: Fit, tested: Tested | None, rows: Sequence[Row]) -> str:
    """Return the sentence that says whether the fit converged, and how well it predicts the held-out responses."""
    steps = f"{fitted.iterations:,} {'epochs' if fitted.model == 'dkt' else 'iterations'}"
    if not fitted.iterations:
        convergence = "The estimates are computed without iterations"
    elif fitted.converged:
        convergence = f"The fit converged after {steps}"
    else:
        convergence = f"The fit did not converge within {steps}{LIMITS.get(fitted.model, '')}"
    caveats = [*getattr(fitted, "caveats", ())]
    if fitted.model == "irt" and (uncertain := uncertain_items(rows)):
        have = "has" if len(uncertain) == 1 else "have"
        caveats.append(f"{len(uncertain):,} of {len(rows):,} items {have} large standard errors")
    if caveats:
        convergence += f", but {', '.join(caveats[:-1])}{' and ' if len(caveats) > 1 else ''}{caveats[-1]}"
    return f"{convergence}{_test_verdict(tested)}."


def _test_verdict(tested: Tested | None) -> str:
    """Return the part of the verdict about the held-out responses."""
    if tested is None:
        return ""
    auc, error = tested.scores.auc, tested.errors.auc
    if math.isnan(auc):
        reason = "all its responses are equal"
        if math.isnan(tested.scores.accuracy):
            reason = "some of its responses have partial credit"
        return f"; the AUC of the test is undefined, since {reason}"
    shown, se = rounded(auc, finite(error))
    shown = shown if math.isnan(error) else f"{shown}±{se}"
    if tested.in_sample:
        return (
            f"; the AUC is {shown} on the responses that the model was fitted to (in-sample), which does not show how "
            "well it predicts new students"
        )
    return f"; the AUC of the test is {shown}{_against_chance(tested)}"


def _against_chance(tested: Tested) -> str:
    """Return the comparison of the AUC with chance; "" without a standard error, or with one of 0.

    The linearised error is 0 if all students have the same ranks, as in a perfect prediction, and is no estimate then.
    """
    ci = interval("auc", tested)
    if ci is None or (tested.errors.auc == 0 and tested.scores.auc != CHANCE):
        return ""
    if ci[0] <= CHANCE <= ci[1]:
        return f", not distinguishable from chance ({CHANCE})"
    return f", {'better' if ci[0] > CHANCE else 'worse'} than chance ({CHANCE})"


def report(fitted: Fit, rows: Sequence[Row], responses: Responses, log: Path, tested: Tested | None) -> dict[str, Any]:
    """Return the report as JSON values; None for undefined numbers."""
    read = responses.report
    content: dict[str, Any] = {
        "model": fitted.model,
        "log": {
            "path": str(log),
            "rows": read.rows,
            **_size(responses),
            "skipped": dict(read.skipped),
            "study_events": 0 if responses.study is None else len(responses.study),
            "duplicates": read.duplicates,
            "removed": read.removed,
            **({"cells": read.cells, "empty": read.empty} if read.is_wide else {}),
            "recognised_columns": dict(read.columns),
        },
        "log_likelihood": fitted.log_likelihood,
        **_criteria(fitted),
        "iterations": fitted.iterations,
        "converged": fitted.converged,
        "notes": [*notes(fitted, rows, responses), *(tested.notes if tested is not None else ())],
        "estimates": summary(rows),
    }
    if tested is not None:
        content["test"] = {
            "path": str(tested.path),
            "responses": tested.scores.responses,
            "in_sample": tested.in_sample,
            **statistics(tested),
        }
    return content | {"verdict": verdict(fitted, tested, rows)}


def interval(name: str, tested: Tested) -> list[float] | None:
    """Return the 95 % interval [low, high] of a score, within its range; None without a standard error.

    The half-width is that of Student's t, since the errors of few students are uncertain themselves.
    """
    value, error = getattr(tested.scores, name), getattr(tested.errors, name)
    if math.isnan(error):
        return None
    low, high = t_interval(value, error, tested.errors.students)
    return [max(0.0, low), high if name in UNBOUNDED else min(1.0, high)]


def statistics(tested: Tested) -> dict[str, Any]:
    """Return each score as a mean, standard error and 95 % interval over n students; None where undefined."""
    return {
        name: {
            "mean": finite(getattr(tested.scores, name)),
            "se": finite(getattr(tested.errors, name)),
            "ci": interval(name, tested),
            "n": tested.errors.students,
        }
        for name in SCORES
    }
