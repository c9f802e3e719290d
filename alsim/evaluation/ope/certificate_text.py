"""Certificates as text: tables within 80 columns, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from alsim.utils.text import counted, printable

WIDTH = 80
HEADINGS = ("estimator", "bias", "± se", "sd", "mean se", "abs. error", "coverage", "undefined", "recommended")
FEWEST_LOGS = 20
"""Number of logs from which coverage is compared with the nominal level."""
MOST_REGRETS = 3
"""Largest k for which regret@k is printed; the JSON has all."""
LEGEND = (
    "bias: mean estimate − true value, in units of reward. sd: of the estimates over the logs; mean se: the error that "
    "they report. abs. error: mean. coverage: share of the intervals that contain the true value. undefined, "
    "recommended: numbers of logs."
)
RANK_LEGEND = (
    "rank correlation: Spearman's, of estimates and true values, mean over logs. regret@k: true value of the best "
    "target − that of the best among the k with the highest estimates."
)
CHOSEN = "recommended"
"""Name under which the estimates of the recommended estimator of each log are scored."""

Report = Mapping[str, Any]


def certificate_text(report: Report) -> str:
    """Return the tables and the verdict of a certificate, `Certificate.to_dict()`."""
    size = f"{counted(report['learners'], 'learner')}"
    if report["episodes_per_learner"] != 1:
        size += f" with {report['episodes_per_learner']:,} episodes each"
    lines = _wrapped(
        f"{counted(report['logs'], 'log')} of {_short(report['behaviour'])}, {size}, {report['dynamics']} dynamics, "
        f"seed {report['seed']}"
    )
    for target, entry in report["targets"].items():
        truth = entry["truth"]
        lines += ["", *_wrapped(f"{_short(target)}: true value {_number(truth['mean'])} ± {_number(truth['se'])} (se)")]
        lines += _table(HEADINGS, _score_rows(entry))
    lines += ["", *_wrapped(LEGEND)]
    if report["ranking"]:
        lines += ["", *_rank_table(report["ranking"], len(report["targets"])), *_wrapped(RANK_LEGEND)]
    return "\n".join([*lines, "", *_wrapped(verdict_of(report))])


def verdict_of(report: Report) -> str:
    """Return how far the recommended estimates of a certificate are from the truth, one sentence for each target."""
    return " ".join(_verdict(target, entry, report) for target, entry in report["targets"].items())


def _verdict(target: str, entry: Report, report: Report) -> str:
    """Return the sentence about a target."""
    chosen, logs = entry["recommended"], report["logs"]
    if chosen["logs"] == 0:
        return f"{_short(target)}: no estimator was recommended in any of {counted(logs, 'log')}."
    names = " or ".join(sorted(chosen["counts"], key=lambda name: -chosen["counts"][name]))
    text = f"{_short(target)}: {names} was recommended in {chosen['logs']:,} of {counted(logs, 'log')}"
    text += f", with a mean absolute error of {_number(chosen['mean_absolute_error'])}"
    coverage = chosen["coverage"]
    if coverage is None:
        return f"{text}."
    if chosen["logs"] < FEWEST_LOGS:
        return f"{text}; these are too few logs to measure the coverage of its intervals."
    low, high = coverage["ci"]
    nominal, share = report["confidence"], _percent(coverage["mean"])
    agrees = f"which agrees with {100 * nominal:g} %" if low <= nominal <= high else f"instead of {100 * nominal:g} %"
    return f"{text}; its intervals contain the true value in {share} of them, {agrees}."


def _score_rows(entry: Report) -> list[list[str]]:
    """Return the rows of the table of a target, one per estimator."""
    counts = entry["recommended"]["counts"]
    return [
        [
            name,
            *(_number(found[key]) for key in ("bias", "bias_se", "sd", "mean_se", "mean_absolute_error")),
            "-" if found["coverage"] is None else _percent(found["coverage"]["mean"], 1),
            f"{found['undefined']:,}",
            f"{counts.get(name, 0):,}",
        ]
        for name, found in entry["estimators"].items()
    ]


def _rank_table(ranking: Report, num_targets: int) -> list[str]:
    """Return the lines of the table of ranks, one per estimator."""
    tried = [str(k) for k in range(1, min(num_targets - 1, MOST_REGRETS) + 1)]
    rows = [
        [
            name,
            _number(found["correlation"]["mean"], 3),
            *(_number(found["regret"][k]["mean"]) for k in tried),
            f"{found['logs']:,}",
        ]
        for name, found in ranking.items()
    ]
    return _table(["estimator", "rank correlation", *(f"regret@{k}" for k in tried), "logs"], rows)


def _percent(share: float, places: int = 0) -> str:
    """Return a share as text."""
    return f"{100 * share:.{places}f} %"


def _number(value: float | None, places: int = 2) -> str:
    """Return a number with some decimals, fewer if it is large; "-" for none."""
    if value is None:
        return "-"
    if abs(value) >= 1e5:
        return f"{value:.0e}"
    digits = max(0, places - (abs(value) >= 100) - (abs(value) >= 1000))
    return f"{round(value, digits) + 0.0:,.{digits}f}"


def _short(name: str, width: int = 60) -> str:
    """Return a printable name of at most this many characters; the middle of a longer one is left out."""
    text = printable(name)
    half = (width - 1) // 2
    return text if len(text) <= width else f"{text[: width - half - 1]}…{text[-half:]}"


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


__all__ = ["certificate_text", "verdict_of"]
