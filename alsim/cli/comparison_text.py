"""Printed results of `alsim compare`: tables within 80 columns, and a verdict in one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich.cells import cell_len

from alsim.cli.evaluation_options import REACH
from alsim.cli.output import (
    MAX_DECIMALS,
    WIDTH,
    counted,
    decimals,
    fixed_point,
    print_sentence,
    print_table,
    printable,
    shortened,
    table_lines,
)
from alsim.cli.rules import print_learner_facts
from alsim.evaluation.comparison import LEVEL, Comparison
from alsim.evaluation.metrics import COMPARED, PRIMARY

USUAL = (*PRIMARY, "final_mastery", "give_up_rate")
"""Metrics of the first table."""
OTHERS = (
    *("question_accuracy", "blueprint_adherence", "content_share", "post_content_gain", "time_on_task"),
    *("mastery_per_hour", "share_mastered", "restricted_mean_time_to_mastery", "delayed_retention"),
)
"""Metrics of the second table; the JSON also has the gains by modality."""
MOST_COLUMNS = 6
"""Most policies for which the second table is printed."""
MOST_PAIRS = 10
"""Most pairs that are printed for a metric; for more policies, the differences from the best one."""
MOST_GROUPS = 8
"""Most groups that are printed."""
MOST_NAME, LEAST_NAME = 40, 16
"""Largest width of a first column, and smallest width to which it is shortened to keep a table in one block."""
MOST_CELL = 26
"""Largest width of a cell, such as the name of a policy above a column."""
MINUS = " − "
LEGEND = (
    "Δ: first − second policy with the same learners. p: paired t test, adjusted by Holm for all pairs and metrics. "
    "variance: ÷ 2 means that independent runs need twice as many learners."
)
NOISE = 1e-12
"""Half of an interval below this comes from the rounding of float64."""

Report = Mapping[str, Any]


def print_comparison(comparison: Comparison, result: Report, shown: Sequence[str] = ()) -> str:
    """Print the tables of a comparison and its verdict; return the verdict.

    result  `Comparison.to_dict()`
    shown   metrics of the first table, besides return and learning; by default, USUAL
    """
    setting = comparison.setting
    print_sentence(
        f"{counted(setting.learners, 'held-out learner')}, seed {setting.seed}, one episode each, at most "
        f"{setting.config.max_episode_steps:,} interactions; {REACH}"
    )
    print_learner_facts(setting.config.to_dict())
    print()
    print_blocks(*first_table(result, shown))
    if not shown and len(result["policies"]) <= MOST_COLUMNS:
        print()
        print_blocks(*_other_metrics(result))
    for metric in dict.fromkeys([*PRIMARY, *shown]):
        print()
        _print_pairs(result, metric)
    print()
    print_sentence(LEGEND)
    if "algorithms" in result:
        _print_algorithms(result, [*dict.fromkeys([*PRIMARY, *shown])])
    _print_groups(comparison, result, shown)
    print()
    verdict = verdict_of(result)
    print_sentence(verdict)
    return verdict


def first_table(result: Report, shown: Sequence[str] = ()) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the first table: one row per policy, the best first."""
    metrics = [COMPARED[name] for name in _first_columns(shown)]
    policies = result["policies"]
    order = sorted(policies, key=lambda name: _rank(policies[name], shown[0] if shown else "learning"))
    columns = [statistics_column(m.heading, [policies[name][m.name] for name in order]) for m in metrics]
    return from_columns(["policy", *order], *columns)


def _first_columns(shown: Sequence[str]) -> list[str]:
    """Return the metrics of the first table: return and learning, and the chosen ones or else the usual ones."""
    return list(dict.fromkeys([*PRIMARY, *(shown or USUAL)]))


def _rank(statistics: Report, metric: str) -> float:
    """Return a number by which the best policy comes first; undefined means come last."""
    mean = statistics[metric]["mean"]
    if mean is None:
        return math.inf
    return float(mean if COMPARED[metric].better == "lower" else -mean)


def _other_metrics(result: Report) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the second table: one row per metric, one column per policy."""
    policies = result["policies"]
    order = [row[0] for row in first_table(result)[1]]
    rows = [statistics_column(COMPARED[name].heading, [policies[p][name] for p in order]) for name in OTHERS]
    return ["metric", *order], rows


def from_columns(*columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of columns, each of which begins with its heading."""
    head, *rows = ([*row] for row in zip(*columns, strict=True))
    return head, rows


def statistics_column(heading: str, column: Sequence[Report]) -> list[str]:
    """Return a column of means with the reach of their intervals, with the same decimals, below its heading."""
    reach = max((reach_of(found) for found in column if found["ci"] is not None), default=0.0)
    places = min(decimals(reach), MAX_DECIMALS) if reach > NOISE else 3
    return [heading, *(with_interval(found, places) for found in column)]


def reach_of(found: Report) -> float:
    """Return the distance from a mean to the farther end of its interval; Wilson's interval is not symmetric."""
    low, high = found["ci"]
    return float(max(high - found["mean"], found["mean"] - low))


def with_interval(found: Report, places: int) -> str:
    """Return a mean with the reach of its interval; "-" for undefined numbers."""
    mean = fixed_point(found["mean"], places)
    if found["mean"] is None or found["ci"] is None:
        return mean
    return f"{mean} ± {reach_of(found):,.{places}f}"


def print_blocks(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column is text; columns beyond WIDTH follow in further blocks with the first column."""
    names, *columns = zip(headings, *rows, strict=True)
    widths = [min(max(map(cell_len, column)), MOST_CELL) + 2 for column in columns]
    room = WIDTH - sum(widths)
    longest = max(map(cell_len, names))
    width = min(longest, room if room >= LEAST_NAME else MOST_NAME)
    starts, used = [0], 0
    for k, own in enumerate(widths):
        used += own
        if used > WIDTH - width and k > starts[-1]:
            starts.append(k)
            used = own
    labels = [middle_shortened(name, width) for name in names]
    for start, stop in pairwise([*starts, len(columns)]):
        if start:
            print()
        shown = [[middle_shortened(cell, MOST_CELL) for cell in column] for column in columns[start:stop]]
        head, *body = zip(labels, *shown, strict=True)
        print_table(head, body)


def middle_shortened(text: str, width: int) -> str:
    """Return a printable text of at most this many columns; the middle of a longer one is replaced by an ellipsis."""
    text = printable(text)
    if cell_len(text) <= width:
        return text
    room = (width - 1) // 2  # of the end; characters of East Asia are two columns wide
    tail = next(text[k:] for k in range(len(text) - room, len(text) + 1) if cell_len(text[k:]) <= room)
    return f"{shortened(text, width - room)}{tail}"


def _print_pairs(result: Report, metric: str) -> None:
    """Print the paired differences of a metric."""
    pairs = [pair for pair in result["pairs"] if pair["metric"] == metric]
    hidden = 0
    if len(pairs) > MOST_PAIRS:
        best = min(result["policies"], key=lambda name: _rank(result["policies"][name], metric))
        own = [_from(best, pair) for pair in pairs if best in (pair["a"], pair["b"])]
        hidden, pairs = len(pairs) - len(own), own
    numbers = [(*_difference(pair), *_certainty(pair)) for pair in pairs]
    headings = (f"Δ {COMPARED[metric].heading}", "difference", "95 % interval", "p", "variance")
    widths = [max(map(len, column)) for column in zip(headings[1:], *numbers, strict=True)]
    room = (WIDTH - sum(widths) - 2 * len(widths) - len(MINUS)) // 2
    names = [MINUS.join(middle_shortened(pair[key], room) for key in "ab") for pair in pairs]
    for line in table_lines(headings, [(name, *cells) for name, cells in zip(names, numbers, strict=True)]):
        print(line)
    if hidden:
        print(f"and {hidden:,} more pairs, which --json FILE lists")


def _from(best: str, pair: Report) -> Report:
    """Return a pair as a difference from the policy `best` minus the other one."""
    if pair["a"] == best:
        return pair
    ci = None if pair["ci"] is None else [-pair["ci"][1], -pair["ci"][0]]
    difference = None if pair["difference"] is None else -pair["difference"]
    return {**pair, "a": pair["b"], "b": pair["a"], "difference": difference, "ci": ci}


def _difference(pair: Report) -> tuple[str, str]:
    """Return a difference and its interval as text."""
    if pair["difference"] is None:
        return "-", "-"
    if pair["ci"] is None:
        return f"{pair['difference']:,.4g}", "-"
    low, high = pair["ci"]
    places = min(decimals((high - low) / 2), 6) if high > low else 3
    number, low, high = (f"{round(x, places) + 0.0:,.{places}f}" for x in (pair["difference"], low, high))
    return number, f"{low} to {high}"


def _certainty(pair: Report) -> tuple[str, str]:
    """Return the adjusted p-value and the variance reduction as text."""
    reduction = pair["variance_reduction"]
    return p_text(pair["p_adjusted"]), "-" if reduction is None else f"÷ {reduction:.1f}"


def p_text(p: float | None) -> str:
    """Return a p-value as text."""
    if p is None:
        return "-"
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def _print_algorithms(result: Report, metrics: Sequence[str]) -> None:
    """Print the interquartile means of algorithms over their trainings, and the probabilities of improvement."""
    algorithms = result["algorithms"]
    shown = [metric for metric in metrics if all(metric in one["metrics"] for one in algorithms.values())]
    order = sorted(algorithms, key=lambda name: -float(algorithms[name]["metrics"].get("learning", {}).get("iqm", 0)))
    print()
    print_sentence("Interquartile means over trainings that differ only by seed, with 95 % bootstrap intervals:")
    columns = [[f"IQM {COMPARED[m].heading}", *(_iqm(algorithms[name]["metrics"][m]) for name in order)] for m in shown]
    counts = ["seeds", *(str(len(algorithms[name]["policies"])) for name in order)]
    print_blocks(*from_columns(["algorithm", *order], counts, *columns))
    for pair in [pair for pair in result["improvement"] if pair["metric"] in shown][:MOST_PAIRS]:
        ci = "" if pair["ci"] is None else f" ({pair['ci'][0]:.2f} to {pair['ci'][1]:.2f})"
        print_sentence(
            f"P({COMPARED[pair['metric']].label} higher with {pair['a']} than with {pair['b']}) = "
            f"{pair['probability']:.2f}{ci}"
        )


def _iqm(found: Report) -> str:
    """Return an interquartile mean with its interval as text."""
    if found["ci"] is None:
        return f"{found['iqm']:,.4g}"
    low, high = found["ci"]
    places = min(decimals((high - low) / 2), MAX_DECIMALS) if high - low > NOISE else 3
    return f"{found['iqm']:,.{places}f} ({low:,.{places}f} to {high:,.{places}f})"


def _print_groups(comparison: Comparison, result: Report, shown: Sequence[str]) -> None:
    """Print the first table for each group of learners."""
    sizes = {name: int(own.sum()) for name, own in comparison.groups.items()}
    for name, size in list(sizes.items())[:MOST_GROUPS]:
        print()
        print_sentence(f"{shortened(name, 40)}: {counted(size, 'learner')}")
        print_blocks(*first_table(result["groups"][name], shown))
    if len(sizes) > MOST_GROUPS:
        print(f"and {len(sizes) - MOST_GROUPS:,} more groups, which --json FILE lists")


# ── the verdict ──────────────────────────────────────────────────────────────────────────────────


def verdict_of(result: Report) -> str:
    """Return a sentence: which policy teaches most, how sure that is, and whether the return agrees."""
    policies = result["policies"]
    order = sorted(policies, key=lambda name: _rank(policies[name], "learning"))
    if len(order) == 1:
        return f"{order[0]} is compared with itself: there is no difference."
    best, second = order[:2]
    earns = min(policies, key=lambda name: _rank(policies[name], "cumulative_reward"))
    return f"{_most_learning(result, best, second)}{_most_return(result, best, earns)}."


def _most_learning(result: Report, best: str, second: str) -> str:
    """Return the beginning of the verdict, about the two policies with the most learning."""
    pair = _from(best, _pair(result, best, second, "learning"))
    text = f"{best} teaches most, {result['policies'][best]['learning']['mean']:.3g} LOs"
    if pair["ci"] is None:
        return f"{text}, but one independent unit says nothing about others"
    if pair["ci"] == [0, 0]:
        return f"{text}, as much as {second}"
    if pair["p_adjusted"] > LEVEL:
        return f"{text}, but not clearly more than {second} (p = {p_text(pair['p_adjusted'])})"
    difference, interval = _difference(pair)
    return f"{text}, {difference} LOs (95 % interval {interval}) more than {second}"


def _most_return(result: Report, best: str, earns: str) -> str:
    """Return the end of the verdict, about the policy with the highest return."""
    mean = result["policies"][earns]["cumulative_reward"]["mean"]
    if earns == best:
        return f", and has the highest return, {mean:.1f}"
    less = _from(best, _pair(result, best, earns, "learning"))
    if less["p_adjusted"] is None or less["p_adjusted"] > LEVEL:
        return f"; {earns} has the highest return, {mean:.1f}"
    return f"; {earns} has the highest return, {mean:.1f}, but teaches {_difference(less)[0]} LOs less"


def _pair(result: Report, a: str, b: str, metric: str) -> Report:
    """Return the entry of a pair, in any order."""
    return next(pair for pair in result["pairs"] if pair["metric"] == metric and {pair["a"], pair["b"]} == {a, b})


__all__ = ["first_table", "p_text", "print_blocks", "print_comparison", "verdict_of", "with_interval"]
