"""Scorecards as text: tables within 80 columns, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from alsim.evaluation.estimates import Statistic, normal_half_width
from alsim.evaluation.monitoring import Calibration
from alsim.evaluation.scorecards.measures import Errors
from alsim.utils.text import counted, printable

if TYPE_CHECKING:
    from alsim.evaluation.scorecards.results import Scorecard, Section

WIDTH = 80
SHOWN_NAME = 40
"""Largest number of characters of the name of a model that is printed."""
UNITS = {"a": "a, 1/logit", "b": "b, logits"}
"""Labels of parameters with a unit."""
PARAMETER_LEGEND = (
    "bias: mean of estimate − truth, with its standard error over the logs. stated SE: root mean square of those "
    "of the fits. coverage: share of the 95 % intervals that contain the truth, with its standard error."
)
FOLLOWS_LEGEND = (
    "mastery, ability: correlation of the estimate with the truth, of answers to one item with as many earlier answers "
    "to its skill. bias: mean of forecast − answer. ECE: calibration error; expected: of calibrated forecasts."
)
AUC_LEGEND = (
    "oracle: AUC of the true chances of a correct answer. No honest model exceeds it, except by sampling error. "
    "± se: of the number before it, over learners."
)


def text_of(card: Scorecard) -> str:
    """Return the tables and the verdict of a scorecard."""
    lines = _wrapped(
        f"Scorecard of {short(card.model)}: {counted(card.own.logs, 'log')} for each kind of learners, "
        f"{card.learners:,} learners to fit to and {card.learners // 2:,} held out in each, seed {card.seed}"
    )
    for one in (card.own, *card.others):
        lines += ["", *_wrapped(f"{one.world}: {one.description}"), *_truth_lines(one, "recovery")]
    if card.misfit is not None:
        title = f"Misfit, not a recovery. {card.misfit.world}: {card.misfit.description}"
        lines += ["", *_wrapped(title), *_truth_lines(card.misfit, "errors")]
    lines += ["", "Held-out answers", *_auc_table(card), *_wrapped(AUC_LEGEND)]
    lines += ["", "Knowledge and forecasts", *_follows_table(card), *_wrapped(FOLLOWS_LEGEND)]
    return "\n".join([*lines, "", *_wrapped(verdict_of(card))])


def verdict_of(card: Scorecard) -> str:
    """Return a sentence each about leaks, recovery and misfit."""
    name = short(card.model)
    found = [_leak_sentence(card, name), _recovery_sentence(card.own, name)]
    if card.misfit is not None:
        found.append(_misfit_sentence(card))
    return " ".join(found)


def _leak_sentence(card: Scorecard, name: str) -> str:
    """Return the sentence about leaks."""
    auc = card.canary.auc
    if card.leaks:
        return f"{name} leaks: {'; '.join(card.leaks)}."
    half = normal_half_width(0.95) * auc.se
    return f"{name} shows no leak: coin flips are forecast with an AUC of {auc.mean:.3f} ± {half:.3f} (95 %)."


def _recovery_sentence(own: Section, name: str) -> str:
    """Return the sentence about recovery."""
    reached = f"its AUC is {own.auc.mean:.3f}, where the oracle has {own.oracle_auc.mean:.3f}"
    if own.parameters is None:
        return f"Recovery is undefined, since {own.note}; on {own.world}, {reached}."
    stated = [one for one in own.parameters.values() if one.estimates > one.without_se]
    if not stated:
        return f"On {own.world}, {reached}; it states no standard errors."
    low, high = (f(stated, key=lambda one: one.coverage.mean).coverage.mean for f in (min, max))
    return (
        f"On {own.world}, its intervals of 95 % contain {percent(low)} to {percent(high)} of the truth, and {reached}."
    )


def _misfit_sentence(card: Scorecard) -> str:
    """Return the sentence about the misfit."""
    misfit = card.misfit
    assert misfit is not None
    if misfit.parameters is not None and misfit.ability is not None:
        worst, one = min(
            misfit.parameters.items(), key=lambda pair: pair[1].coverage.mean if pair[1].coverage.n else 1.0
        )
        return (
            f"Under {misfit.world} dynamics, a misfit, the bias of {worst} is {signed(one.bias.mean, 2)}, and its "
            f"intervals contain {percent(one.coverage.mean)} of the truth."
        )
    mastery, ability = misfit.follows["mastery"].mean, misfit.follows["ability"].mean
    return (
        f"Under {misfit.world} dynamics, a misfit, its estimate has a correlation of {mastery:.2f} with mastery, "
        f"and of {ability:.2f} with ability."
    )


def _truth_lines(one: Section, name: str) -> list[str]:
    """Return the tables of parameters, abilities and mastery of a section; `name` is that of the first."""
    lines: list[str] = []
    if one.parameters is not None:
        lines += _parameter_table(one, name)
    else:
        lines += _wrapped(f"no {name}: {one.note}")
    if one.ability is not None:
        a = one.ability
        row = [
            "ability, logits",
            f"{a.learners:,}",
            signed(a.bias.mean, 3),
            number(a.bias.se, 3),
            number(a.rmse, 3),
            number(a.stated_se, 3),
            percent(a.coverage.mean, 1),
            number(a.correlation, 3),
        ]
        lines += [
            "",
            *_table(["held-out", "learners", "bias", "± se", "RMSE", "stated SE", "coverage", "corr."], [row]),
        ]
    if one.mastery is not None:
        lines += ["", *_calibration_table(one.mastery)]
    if one.unconverged:
        lines += _wrapped(f"{one.unconverged:,} of {counted(one.logs, 'fit')} did not converge.")
    return lines


def _parameter_table(one: Section, name: str) -> list[str]:
    """Return the table of parameters, and its legend."""
    headings = [name, "estimates", "bias", "± se", "RMSE", "stated SE", "coverage", "± se"]
    assert one.parameters is not None
    rows = [_parameter_row(UNITS.get(key, key), errors) for key, errors in one.parameters.items()]
    return [*_table(headings, rows), *_wrapped(PARAMETER_LEGEND)]


def _parameter_row(label: str, errors: Errors) -> list[str]:
    """Return the row of a parameter."""
    covers = errors.coverage
    return [
        label,
        f"{errors.estimates:,}",
        signed(errors.bias.mean, 4),
        number(errors.bias.se, 4),
        number(errors.rmse, 4),
        number(errors.stated_se, 4),
        percent(covers.mean, 1),
        percent(covers.se, 1),
    ]


def _calibration_table(found: Calibration) -> list[str]:
    """Return the table of the calibration of mastery."""
    rows = [
        [
            f"{one.low:.1f} to {one.high:.1f}",
            f"{one.answers:,}",
            number(one.chance, 3),
            number(one.correct.mean, 3),
            f"{number(one.correct.ci[0], 3)} to {number(one.correct.ci[1], 3)}",
        ]
        for one in found.bins
        if one.answers
    ]
    headings = ["P(known)", "answers", "mean P(known)", "true mastery", "95 % interval"]
    return [*_table(headings, rows), *_wrapped(f"bias {with_error(found.bias, 4, sign=True)}; ECE {found.ece:.4f}.")]


def _auc_table(card: Scorecard) -> list[str]:
    """Return the table of AUCs, with the canary."""
    rows = [
        [
            _label(card, one),
            f"{one.forecast:,}",
            *(number(value, 4) for value in (one.auc.mean, one.auc.se, one.oracle_auc.mean)),
            signed(one.excess.mean, 4),
            number(one.excess.se, 4),
        ]
        for one in card.sections
    ]
    auc = card.canary.auc
    flips = ["coin flips", f"{card.own.forecast:,}", number(auc.mean, 4), number(auc.se, 4), "0.5000"]
    rows.append([*flips, signed(auc.mean - 0.5, 4), number(auc.se, 4)])
    return _table(["learners", "answers", "AUC", "± se", "oracle", "difference", "± se"], rows)


def _follows_table(card: Scorecard) -> list[str]:
    """Return the table of correlations with the truth, and of the calibration of forecasts."""
    rows = [
        [
            _label(card, one),
            *(with_error(one.follows[name], 3) for name in ("mastery", "ability")),
            with_error(one.forecasts.bias, 4, sign=True),
            number(one.forecasts.ece, 4),
            number(one.forecasts.ece_if_calibrated, 4),
        ]
        for one in card.sections
    ]
    return _table(["learners", "mastery ± se", "ability ± se", "bias ± se", "ECE", "expected"], rows)


def _label(card: Scorecard, one: Section) -> str:
    """Return the name of a kind of learners, marked if it is a misfit."""
    return f"{one.world}, misfit" if one is card.misfit else one.world


def percent(value: float, places: int = 0) -> str:
    """Return a share as text; "-" for NaN."""
    return "-" if value != value else f"{100 * value:.{places}f} %"


def number(value: float, places: int) -> str:
    """Return a number with some decimals; "-" for NaN."""
    return "-" if value != value else f"{round(value, places) + 0.0:,.{places}f}"


def signed(value: float, places: int) -> str:
    """Return a number with its sign; "-" for NaN."""
    text = number(value, places)
    return text if text == "-" or text.startswith("-") else f"+{text}"


def with_error(found: Statistic, places: int, *, sign: bool = False) -> str:
    """Return an estimate with its standard error."""
    value = (signed if sign else number)(found.mean, places)
    return value if value == "-" else f"{value} ± {number(found.se, places)}"


def short(name: str) -> str:
    """Return a printable name of at most SHOWN_NAME characters."""
    text = printable(name)
    return text if len(text) <= SHOWN_NAME else f"{text[: SHOWN_NAME - 1]}…"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; all columns but the first are aligned on the right."""
    table = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    gap = "  " if sum(widths) + 2 * len(widths) - 2 <= WIDTH else " "
    pads = [str.ljust, *[str.rjust] * (len(headings) - 1)]
    return [
        gap.join(pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)).rstrip() for row in table
    ]


def _wrapped(text: str) -> list[str]:
    """Return the lines of a text, at most WIDTH characters each, unless a word is longer."""
    return wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


__all__ = ["text_of", "verdict_of"]
