"""Report of `alsim fit`: the log, the convergence, the scores of the held-out responses, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from alsim.cli.fit_notes import notes, uncertain_items
from alsim.cli.fit_tables import Row, summary
from alsim.cli.output import print_sentence, print_table, rounded
from alsim.errors import AlsimError

if TYPE_CHECKING:
    from alsim.models.base import Fit
    from alsim.models.scores import ScoreErrors, Scores
    from alsim.responses.log import Responses

Z = NormalDist().inv_cdf(0.975)
"""Half-width of a normal interval of 95 %, in standard errors."""
SCORES = {"auc": ("AUC", ""), "rmse": ("RMSE", ""), "log_loss": ("log loss", "nats"), "accuracy": ("accuracy", "")}
"""Label and unit of each score."""
LIMITS = {"dkt": "; a larger --epochs lets it continue"}
"""Cure for a fit that has not converged, by model."""


class Tested(NamedTuple):
    """Scores of the held-out responses, their standard errors, and the log that holds them."""

    path: Path
    scores: Scores
    errors: ScoreErrors
    notes: Sequence[str] = ()


def score_predictions(fitted: Fit, responses: Responses, path: Path, notes: Sequence[str] = ()) -> Tested:
    """Score predictions of responses; the responses of a row that stands for n students count n times."""
    from alsim.models.scores import score, score_errors

    weight = responses.weight[responses.student]
    counts = weight.astype(np.int64)
    if not (counts == weight).all():
        invalid = weight[counts != weight][0]
        raise AlsimError(
            f"the column freq of the held-out responses must contain integers; got {invalid:g}: round it in {path}"
        )
    correct, predicted = np.repeat(responses.correct, counts), np.repeat(fitted.predict(responses), counts)
    copies = np.arange(len(correct)) - np.repeat(np.cumsum(counts) - counts, counts)
    student = np.repeat(responses.student, counts) + copies * len(responses.students)  # each copy is a student
    return Tested(path, score(correct, predicted), score_errors(correct, predicted, student), notes)


def print_log(responses: Responses, fitted: Fit, rows: Sequence[Row]) -> None:
    """Print the size of the log, the log-likelihood, and the notes of a fit with these rows of estimates."""
    size = _size(responses)
    sizes = [_counted(size["students"], "student")]
    sizes += [_counted(size[f"{kind}s"], kind) for kind in _kinds(fitted.model, responses)]
    patterns = f", in {_counted(size['patterns'], 'pattern')}" if "patterns" in size else ""
    print_sentence(
        f"{fitted.model}: {_counted(size['responses'], 'response')} of {sizes[0]}{patterns}, {', '.join(sizes[1:])}"
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
        "students": round(float(weight.sum())),
        "items": responses.num_items,
        "skills": responses.num_skills,
    }
    return size if (weight == 1).all() else size | {"patterns": responses.num_students}


def _counted(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
    print_sentence(f"test: {tested.path}, {scores.responses:,} responses of {errors.students:,} students")
    rows = []
    for name, (label, unit) in SCORES.items():
        value, error = rounded(_finite(getattr(scores, name)), _finite(getattr(errors, name)))
        rows.append((f"{label}, {unit}" if unit else label, value, error))
    print_table(("score", "", "±"), rows)
    for note in tested.notes:
        print_sentence(f"note: {note}")


def verdict(fitted: Fit, tested: Tested | None, rows: Sequence[Row]) -> str:
    """Return the sentence that says whether the fit converged, and how well it predicts the held-out responses."""
    steps = f"{fitted.iterations:,} {'epochs' if fitted.model == 'dkt' else 'iterations'}"
    if not fitted.iterations:
        convergence = "The estimates are exact"
    elif fitted.converged:
        convergence = f"The fit converged after {steps}"
    else:
        convergence = f"The fit did not converge within {steps}{LIMITS.get(fitted.model, '')}"
    caveats = [*getattr(fitted, "caveats", ())]
    if fitted.model == "irt" and (uncertain := uncertain_items(rows)):
        caveats.append(f"{len(uncertain):,} of {len(rows):,} items have large standard errors")
    if caveats:
        convergence += f", but {', '.join(caveats[:-1])}{' and ' if len(caveats) > 1 else ''}{caveats[-1]}"
    return f"{convergence}{_test_verdict(tested)}."


def _test_verdict(tested: Tested | None) -> str:
    """Return the part of the verdict about the held-out responses."""
    if tested is None:
        return ""
    auc, error = tested.scores.auc, tested.errors.auc
    if math.isnan(auc):
        return "; the AUC of the test is undefined, since all its responses are equal"
    shown, se = rounded(auc, _finite(error))
    against = ""
    if not math.isnan(error):
        low, high = auc - Z * error, auc + Z * error
        against = (
            ", better than chance" if low > 0.5 else ", worse than chance" if high < 0.5 else ", as good as chance"
        )
        shown = f"{shown}±{se}"
    return f"; the AUC of the test is {shown}{against} (0.5)" if against else f"; the AUC of the test is {shown}"


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
            "duplicates": read.duplicates,
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
        content["test"] = {"path": str(tested.path), "responses": tested.scores.responses} | statistics(tested)
    return content | {"verdict": verdict(fitted, tested, rows)}


def statistics(tested: Tested) -> dict[str, Any]:
    """Return each score as a mean, standard error and 95 % interval over n students; None where undefined."""
    found = {}
    for name in SCORES:
        value, error = getattr(tested.scores, name), getattr(tested.errors, name)
        limits = [value - Z * error, value + Z * error]
        found[name] = {
            "mean": _finite(value),
            "se": _finite(error),
            "ci": None if math.isnan(error) else limits,
            "n": tested.errors.students,
        }
    return found


def _finite(value: float) -> float | None:
    """Return a number for JSON; None if it is not finite."""
    return value if math.isfinite(value) else None
