"""Printed results of `alsim fairness`: rates and gaps within 80 columns, and a verdict in one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from alsim.cli.comparison_text import middle_shortened, print_blocks, statistics_column
from alsim.cli.output import counted, fixed_point, print_facts, print_sentence, print_table
from alsim.evaluation.fairness import Fairness, Gap, GroupMetrics
from alsim.evaluation.fairness.items import DIF

MARK = "*"
MOST_ITEMS = 10
"""Largest number of printed items."""
NAME = 18
"""Columns to which names of groups and items are shortened."""
TITLES = {
    "policy": "Results of the policy, per episode",
    "mastery": "Estimated and true mastery of outcomes at the end of episodes",
    "decisions": "Decisions",
    "forecasts": "Forecasts",
}
LABELS = {
    ("policy", "return"): "return",
    ("policy", "learning"): "mastery gained, LOs",
    ("policy", "final_mastery"): "final mastery",
    ("policy", "gave_up"): "gave up, share",
    ("policy", "interactions"): "interactions",
    ("policy", "accuracy"): "accuracy, share",
    ("policy", "time_on_task"): "time on task, min",
    ("mastery", "bias"): "estimate - truth",
    ("mastery", "declared"): "declared, share",
    ("mastery", "true"): "mastered, share",
    ("mastery", "tpr"): "declared if mastered",
    ("mastery", "fpr"): "declared if not",
    ("decisions", "selection_rate"): "selected, share",
    ("decisions", "tpr"): "selected if 1",
    ("decisions", "fpr"): "selected if 0",
    ("decisions", "accuracy"): "accuracy, share",
    ("forecasts", "bias"): "forecast - outcome",
    ("forecasts", "brier"): "Brier score",
}
"""Printed names of the metrics."""
RECALIBRATED = (
    ("mastery", "bias"),
    ("mastery", "tpr"),
    ("mastery", "fpr"),
    ("forecasts", "bias"),
    ("forecasts", "brier"),
)
"""Metrics whose gaps are printed before and after recalibration."""
AFTER = ("", " after recalibration", " after recalibration by group")


def print_fairness(found: Fairness, confidence: float) -> str:
    """Print an evaluation of fairness; return its verdict."""
    names = short_names(found.groups)
    print_facts([(f"group {names[g]}", counted(found.members[g], found.unit)) for g in found.groups])
    for section, title in TITLES.items():
        if section in found.sections:
            _print_section(section, title, found.sections[section], names, confidence)
    _print_recalibration(found, confidence)
    for tests in found.items:
        _print_items(tests, names)
    for note in found.notes:
        print_sentence(f"note: {note}")
    print()
    print_sentence(
        f"{MARK} significant at {100 * (1 - confidence):.3g} %, Holm's correction within each table. ± reaches the "
        f"farther end of the {100 * confidence:g} % interval. Gap: highest - lowest group."
    )
    print()
    verdict = verdict_of(found, confidence)
    print_sentence(verdict)
    return verdict


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return names of at most NAME columns. Long ones lose their middle; those that would become equal get a number."""
    found: dict[str, str] = {}
    for name in names:
        short, number = middle_shortened(name, NAME), 2
        while short in found.values():
            end = f" ({number})"
            short, number = middle_shortened(name, NAME - len(end)) + end, number + 1
        found[name] = short
    return found


def label(section: str, metric: str) -> str:
    """Return the printed name of a metric."""
    return LABELS.get((section, metric), metric)


def _print_section(
    section: str, title: str, metrics: GroupMetrics, names: Mapping[str, str], confidence: float
) -> None:
    """Print the rates of the groups, and the gaps."""
    print(f"\n{title}:")
    rows = [_rates_row(label(section, name), metrics, name) for name in metrics.gaps]
    print_blocks(["", *(names[group] for group in metrics.groups)], rows)
    print()
    headings = ("", "", "gap", f"{100 * confidence:g} % interval", "p", "highest")
    table = [_gap_row(label(section, name), gap, names) for name, gap in metrics.gaps.items()]
    print_table(headings, table, texts=("", "highest"))


def _rates_row(heading: str, metrics: GroupMetrics, name: str) -> list[str]:
    """Return the rates of the groups as text."""
    return statistics_column(heading, [found.to_dict() for found in metrics.by_group[name].values()])


def _gap_row(heading: str, gap: Gap, names: Mapping[str, str]) -> tuple[str, ...]:
    """Return a gap as text; that of a metric that is not tested has no p."""
    return (MARK if gap.flagged else "", heading, *gap_cells(gap), names.get(gap.highest, "-"))


def gap_cells(gap: Gap) -> tuple[str, str, str]:
    """Return difference, interval and adjusted p as text."""
    places = 3 if abs(gap.difference) < 10 else 1
    interval = "-" if math.isnan(gap.ci[0]) else " to ".join(fixed_point(end, places) for end in gap.ci)
    return fixed_point(gap.difference, places), interval, p_text(gap.p_adjusted)


def p_text(p: float) -> str:
    """Return a p-value as text."""
    return "-" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def _print_recalibration(found: Fairness, confidence: float) -> None:
    """Print gaps before and after recalibration."""
    rows = []
    for section, metric in RECALIBRATED:
        versions = [found.sections[section + after] for after in AFTER if section + after in found.sections]
        if len(versions) == len(AFTER):
            cells = (_marked(one.gaps[metric]) for one in versions)
            rows.append((f"{section}: {label(section, metric)}", *cells))
    if rows:
        print("\nGaps before and after recalibration (Platt scaling on held-out learners):")
        print_table(("", "before", "one map", "map by group"), rows)


def _marked(gap: Gap) -> str:
    """Return a gap as text, with a mark if it is significant."""
    return fixed_point(gap.difference, 3) + (MARK if gap.flagged else " ")


def _print_items(tests: DIF, names: Mapping[str, str]) -> None:
    """Print the items with the smallest p-values."""
    rows = tested_items(tests)
    print(f"\nItems that differ for {names[tests.focal]} at equal scores (Mantel-Haenszel):")
    if not rows:
        print_sentence(
            "No item has right and wrong answers of both groups at an equal score: use few classes of scores."
        )
        return
    items = short_names(row["item"] for row in rows[:MOST_ITEMS])
    shown = [
        (
            MARK if row["flagged"] else "",
            items[row["item"]],
            f"{row['answers']:,}",
            _two_places(row["odds_ratio"]),
            _two_places(row["delta"]),
            p_text(row["p_adjusted"]),
            row["class"],
        )
        for row in rows[:MOST_ITEMS]
    ]
    print_table(("", "item", "answers", "odds ratio", "delta, ETS", "p", "class"), shown, texts=("", "item", "class"))
    if len(rows) > MOST_ITEMS:
        print(f"… and {len(rows) - MOST_ITEMS:,} more; --json FILE writes all")


def _two_places(number: float) -> str:
    """Return a number, which may be infinite, with two decimals."""
    return f"{number:.2f}" if math.isinf(number) else fixed_point(number, 2)


def tested_items(tests: DIF) -> list[dict[str, Any]]:
    """Return the rows of the items that have a test, with infinite numbers, in ascending order of p."""
    columns = zip(tests.table(), tests.odds_ratio.tolist(), tests.delta.tolist(), strict=True)
    rows = (row | {"odds_ratio": ratio, "delta": delta} for row, ratio, delta in columns if row["p"] is not None)
    return sorted(rows, key=lambda row: row["p"])


# ── the verdict ──────────────────────────────────────────────────────────────────────────────────


def verdict_of(found: Fairness, confidence: float) -> str:
    """Return a sentence: who is underestimated, which gaps are significant, and which items are flagged."""
    parts = [*_misjudged(found), _gaps(found, confidence), *_items(found.items)]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _misjudged(found: Fairness) -> Iterator[str]:
    """Yield how far the mastery of the most and the least favoured group is from the truth."""
    if "mastery" not in found.sections:
        return
    metrics = found.sections["mastery"]
    names = short_names(found.groups)
    gap, bias = metrics.gaps["bias"], metrics.by_group["bias"]
    if not gap.highest:
        return
    low, high = (bias[group].mean for group in (gap.lowest, gap.highest))
    words = [f"{'under' if one < 0 else 'over'}estimates" for one in (low, high)]
    second = "that" if words[0] == words[1] else f"{words[1]} that"
    yield (
        f"the model {words[0]} the mastery of {names[gap.lowest]} by {fixed_point(abs(low), 3)} and {second} "
        f"of {names[gap.highest]} by {fixed_point(abs(high), 3)} on average"
    )


def _gaps(found: Fairness, confidence: float) -> str:
    """Return the part about significant gaps, before recalibration; the results of a policy are only counted."""
    level = f"{100 * (1 - confidence):.3g} %"
    judged = {section: metrics for section, metrics in found.sections.items() if section in TITLES}
    names = [
        f"{label(section, name)} ({fixed_point(metrics.gaps[name].difference, 3)})"
        for section, metrics in judged.items()
        if section != "policy"
        for name in metrics.flags
    ]
    if "policy" in judged and judged["policy"].flags:
        names.append(f"{len(judged['policy'].flags)} of {len(judged['policy'].gaps)} results of the policy")
    if not judged:
        return "there are no predictions to compare"
    if not names:
        return f"no gap between the groups is significant at {level}"
    return f"significant gaps at {level}: {', '.join(names)}"


def _items(items: Sequence[DIF]) -> Iterator[str]:
    """Yield the part about flagged items."""
    if not items:
        return
    flagged = sorted({name for tests in items for name in tests.flags})
    tested = max(sum(not math.isnan(p) for p in tests.p) for tests in items)
    names = f" ({', '.join(short_names(flagged[:3]).values())}{', …' if len(flagged) > 3 else ''})"
    yield f"flagged for DIF: {len(flagged)} of {counted(tested, 'tested item')}{names if flagged else ''}"


__all__ = ["gap_cells", "label", "print_fairness", "verdict_of"]
