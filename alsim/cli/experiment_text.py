"""Printed results of A/B tests and of their rehearsals, within 80 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from alsim.cli.output import WIDTH as COLUMNS
from alsim.cli.output import (
    counted,
    decimals,
    fixed_point,
    print_facts,
    print_sentence,
    print_table,
    shortened,
    table_lines,
)
from alsim.evaluation.experiments.abtest import AbTest, Comparison
from alsim.evaluation.experiments.rehearsal_report import MISMATCH, Rehearsal

WIDTH, ARM = 30, 16
"""Columns to which names of metrics, and those of arms, are shortened."""
MOST_SAVED = 100
"""Largest factor of saved students that is printed: a covariate that predicts even more may be the metric itself."""
MOST_DECIMALS = 6
LABELS = 21
"""Columns of the labels of facts."""


# ── A/B tests ────────────────────────────────────────────────────────────────────────────────────


def print_abtest(found: AbTest) -> str:
    """Print the results of an A/B test; return its verdict."""
    level = f"{100 * found.confidence:g} %"
    print_facts(_facts(found))
    kind = "sequence" if found.method == "sequential" else "interval"
    several = len(found.data.names) > 2
    headings = (
        "metric",
        *(("arm",) if several else ()),
        "control",
        "difference",
        f"{level} {kind}",
        "lift",
        "p",
        "adj. p",
    )
    print()
    _print_within(headings, [_row(one, several) for one in found.comparisons], ("metric", "arm"))
    print_sentence(_legend(found))
    if found.guardrails:
        print()
        rows = [
            (
                shortened(rail.metric, WIDTH),
                shortened(rail.arm, ARM),
                f"{rail.tolerated:+g}",
                _number(rail.change, rail.limits),
                _limits(rail.limits),
                rail.state,
            )
            for rail in found.guardrails
        ]
        headings = ("guardrail", "arm", "tolerated", "change", f"{level} {kind}", "state")
        _print_within(headings, rows, ("guardrail", "arm"))
    for warning in _warnings(found):
        print()
        print_sentence(f"Warning: {warning}.")
    print()
    verdict = abtest_verdict(found)
    print_sentence(verdict)
    return verdict


def _print_within(headings: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[str]) -> None:
    """Print a table; if it would else be too wide, columns are one space apart, and those of texts become one."""
    lines = table_lines(headings, rows, texts=texts)
    if _width(lines) > COLUMNS:
        lines = table_lines(headings, rows, texts=texts, gap=" ", wrapped=headings[0])
    if _width(lines) > COLUMNS and headings[1] in texts:
        headings, *rows = [[", ".join(row[:2]), *row[2:]] for row in (headings, *rows)]
        lines = table_lines(headings, rows, gap=" ", wrapped=headings[0])
    print("\n".join(lines))


def _width(lines: Sequence[str]) -> int:
    """Return the number of columns of the widest line."""
    from rich.cells import cell_len

    return max(map(cell_len, lines))


def _facts(found: AbTest) -> list[tuple[str, str]]:
    """Return labels and texts about the data."""
    data, sizes = found.data, found.data.sizes.tolist()
    arms = _counts(found, sizes)
    unit = "student" if data.clusters is None else "class"
    kind = (
        "confidence sequence, valid at every look"
        if found.method == "sequential"
        else "fixed horizon, valid at one look"
    )
    return [
        ("data", shortened(data.source, COLUMNS - LABELS)),
        *_lines("students", f"{sum(sizes):,}: {arms}"),
        ("independent unit", unit),
        ("test", kind),
        *_lines("sizes of the arms", _sizes(found)),
    ]


def _lines(label: str, text: str) -> list[tuple[str, str]]:
    """Return a label and its text as facts of one line each."""
    lines = textwrap.wrap(text, COLUMNS - LABELS, break_on_hyphens=False)
    return [(label if number == 0 else "", line) for number, line in enumerate(lines)]


def _counts(found: AbTest, counts: Sequence[int]) -> str:
    """Return the numbers of students or classes of the arms as text."""
    return ", ".join(f"{shortened(arm, ARM)} {size:,}" for arm, size in zip(found.data.names, counts, strict=True))


def _sizes(found: AbTest) -> str:
    """Return the result of the test of the sizes of the arms."""
    sign = "" if found.srm_p < 0.001 else "= "
    is_class = found.data.are_classes_assigned
    of = f" of classes: {_counts(found, found.data.unit_sizes.tolist())}" if is_class else ""
    return f"p {sign}{_p(found.srm_p)} for the expected shares{of}"


def _row(one: Comparison, several: bool) -> tuple[str, ...]:
    """Return the row of a comparison."""
    lift = "-" if one.lift is None or one.lift.control_near_zero else f"{100 * one.lift.lift:+.1f} %"
    return (
        shortened(one.metric, WIDTH),
        *((shortened(one.arm, ARM),) if several else ()),
        _number(one.difference.control.mean, one.difference.ci),
        _number(one.difference.difference, one.difference.ci),
        _limits(one.limits),
        lift,
        _p(one.p),
        _p(one.p_adjusted),
    )


def _legend(found: AbTest) -> str:
    """Return the legend of the table."""
    text = "difference: treatment - control. lift: difference / control."
    text += f" adj. p: Holm's correction for {counted(len(found.comparisons), 'test')}."
    reductions = [one.variance_reduction for one in found.comparisons if one.variance_reduction is not None]
    if reductions:
        most = max(reductions)
        times = f"up to {most:.2g}" if most < MOST_SAVED else f"over {MOST_SAVED}"
        text += f" With the covariate, the students count as {times} times as many."
    return text


def _warnings(found: AbTest) -> list[str]:
    """Return the warnings about the data."""
    warnings = []
    if found.srm_p < MISMATCH:
        warnings.append(
            "the sizes of the arms do not agree with the expected shares, so students were lost or assigned wrongly, "
            "and no difference can be trusted"
        )
    clusters = found.data.clusters
    if clusters is not None:
        least = min(len(set(clusters[found.data.arms == k].tolist())) for k in range(len(found.data.names)))
        if least < 20:
            warnings.append(
                f"an arm has {least} classes, and with fewer than about 20 the cluster-robust errors are too small"
            )
    return warnings


def abtest_verdict(found: AbTest) -> str:
    """Return one sentence: which effects were found, and which guardrails are broken."""
    alpha = 1 - found.confidence
    effects = [
        f"{one.metric} {'higher' if one.difference.difference > 0 else 'lower'} in {one.arm}"
        for one in found.comparisons
        if one.p_adjusted < alpha
    ]
    broken = [f"{rail.metric} in {rail.arm}" for rail in found.guardrails if rail.state == "broken"]
    text = f"Found: {', '.join(effects)}" if effects else "No difference was found"
    if found.srm_p < MISMATCH:
        text += ", but the sizes of the arms do not agree with the expected shares"
    if broken:
        text += f"; broken guardrails: {', '.join(broken)}"
    return f"{text}."


# ── rehearsals ───────────────────────────────────────────────────────────────────────────────────


def print_rehearsal(found: Rehearsal) -> str:
    """Print the results of a rehearsal; return its verdict."""
    print_facts(_plan_facts(found))
    print()
    _print_shares(found)
    if found.plan.guardrails:
        print()
        _print_rehearsed_guardrails(found)
    for name, share in found.censored.items():
        print_sentence(f"{name} is censored for {100 * share:.0f} % of the students under the control.")
    print()
    verdict = rehearsal_verdict(found)
    print_sentence(verdict)
    return verdict


def _plan_facts(found: Rehearsal) -> list[tuple[str, str]]:
    """Return labels and texts about the plan, and about the effect of the first treatment."""
    plan, effect = found.plan, found.effect
    arms = ", ".join(f"{name} ({arm.policy}, {100 * arm.share:g} %)" for name, arm in plan.arms.items())
    looks = f"{counted(len(found.ends), 'look')}" if plan.method == "sequential" else "one look, at the end"
    lift = "" if found.lift is None else f" ({100 * found.lift:+.2g} % of the control)"
    least = "not known, as there is no interval"
    places = max(2, decimals(effect.se) if effect.se else 3)
    if found.minimum_effect is not None:
        least = f"{found.minimum_effect:.{places}f}, found with a power of {100 * plan.power:g} %"
    return [
        ("experiment", f"{plan.name}, {plan.students:,} students, assigned by {plan.unit}"),
        *_lines("arms", arms),
        ("rehearsals", f"{plan.repetitions:,} with other simulated students, {plan.dynamics} dynamics"),
        ("metric", plan.tested[0].name),
        ("test", f"{plan.method}, {looks}, {100 * plan.confidence:g} %"),
        ("true effect", f"{effect.mean:+.{places}f}{lift}"),
        ("minimum effect", least),
        ("decision", _decision(found)),
    ]


def _print_shares(found: Rehearsal) -> None:
    """Print the table of the shares of rehearsals."""
    naive = f"the same, by a fixed test at each of {len(found.ends)} looks"
    shares = {
        "power": (found.power, "the effect is found"),
        "false alarms": (found.false_alarms, "an effect is found where there is none"),
        "false alarms, naive": (found.false_alarms_naive, naive),
        "coverage": (found.coverage, "the interval contains the true effect"),
    }
    if found.plan.unit == "class":
        ignoring = "the same, with errors that ignore classes"
        shares["false alarms, no clusters"] = (found.false_alarms_unclustered, ignoring)
    headings = ("share of rehearsals", "", "95 % interval", "in which")
    rows = [
        (name, f"{100 * one.mean:.1f} %", f"{100 * one.ci[0]:.1f} to {100 * one.ci[1]:.1f} %", meaning)
        for name, (one, meaning) in shares.items()
    ]
    print_table(headings, rows, texts=("share of rehearsals", "in which"), wrapped="in which")


def _print_rehearsed_guardrails(found: Rehearsal) -> None:
    """Print the table of the guardrails."""
    rows = [
        (
            name,
            f"{rail['tolerated']:+g}",
            f"{rail['change']:+.3g}",
            f"{100 * rail['found_kept']:.0f} %",
            f"{100 * rail['found_broken']:.0f} %",
        )
        for name, rail in found.guardrails().items()
    ]
    print_table(("guardrail", "tolerated", "true change", "found kept", "found broken"), rows)


def _decision(found: Rehearsal) -> str:
    """Return when an effect is found."""
    time = found.decision_time
    if found.plan.method == "fixed":
        return f"after {found.plan.students:,} students"
    return "not within the plan in half of the rehearsals" if time is None else f"after {time:,.0f} students (median)"


def rehearsal_verdict(found: Rehearsal) -> str:
    """Return one sentence: whether the plan has its power, and whether its false alarms keep their level."""
    plan, power, alarms = found.plan, found.power, found.false_alarms
    enough = power.mean >= plan.power
    text = f"The plan finds the effect in {100 * power.mean:.0f} % of the rehearsals"
    text += f", {'as' if enough else 'and not in'} {'planned' if enough else f'{100 * plan.power:g} % as planned'}"
    nominal = 1 - plan.confidence
    level = "within" if alarms.mean <= nominal else "above" if alarms.ci[0] > nominal else "not significantly above"
    return f"{text}; its false alarms, {100 * alarms.mean:.1f} %, are {level} the level of {100 * nominal:g} %."


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────


def _number(value: float, limits: tuple[float, float]) -> str:
    """Return a number with the decimals that its interval carries."""
    return fixed_point(value, _places(limits))


def _limits(limits: tuple[float, float]) -> str:
    """Return an interval as text; "-" if a limit is infinite."""
    if not all(map(math.isfinite, limits)):
        return "-"
    places = _places(limits)
    return f"{fixed_point(limits[0], places)} to {fixed_point(limits[1], places)}"


def _places(limits: tuple[float, float]) -> int:
    """Return the decimals that an interval carries."""
    half = (limits[1] - limits[0]) / 4
    return min(MOST_DECIMALS, decimals(half, 1)) if math.isfinite(half) and half > 0 else 3


def _p(p: float) -> str:
    """Return a p-value as text."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


__all__ = ["abtest_verdict", "print_abtest", "print_rehearsal", "rehearsal_verdict"]
