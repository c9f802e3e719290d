"""Command `alsim engine audit`: mastery, calibration, sessions, returns and satisfaction, by group and over time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from alsim.cli.engine import DirectoryArgument, engine, opened
from alsim.cli.help import examples
from alsim.cli.options import ForceOption, JsonOption
from alsim.cli.output import (
    counted,
    elapsed_progress,
    fixed_point,
    print_facts,
    print_sentence,
    print_table,
    shortened,
    write_report,
)
from alsim.errors import AlsimError

STUDENTS = "students.csv"
"""Default table of students in the directory of an engine."""
LEVEL = 0.05
"""Probability of a false alarm of the verdict."""
EVERYBODY = "all students"
MOST_WEEKS = 8
"""Weeks in a printed table; a report has all."""
LEGEND = (
    "n: students. Numbers: mean over students ± 95 % interval; (-n): n students or sessions not yet observable. Bias: "
    "forecast minus answer. ECE: mean error of bins of forecasts, and in parentheses its expectation for calibrated "
    "forecasts."
)
WIDTH = 18
"""Columns to which names of groups are shortened."""

Report = Mapping[str, Any]


@engine.command(
    short_help="Audit the log: mastery, calibration, sessions, returns, satisfaction.",
    epilog=examples(
        "alsim engine audit shop",
        "alsim engine audit shop --group school --students students.csv",
        "alsim engine audit shop --group students.csv:school --plot audit.svg --json audit.json",
    ),
)
def audit(
    directory: DirectoryArgument,
    group: Annotated[
        str | None,
        typer.Option(
            "--group", metavar="COLUMN", help="Column of groups; FILE:COLUMN names the table, too.  [default: none]"
        ),
    ] = None,
    students: Annotated[
        Path | None,
        typer.Option(
            "--students",
            metavar="FILE",
            help=f"Table with one row per student and the columns student and COLUMN.  [default: DIR/{STUDENTS}]",
        ),
    ] = None,
    session_gap: Annotated[
        float, typer.Option("--session-gap", metavar="MIN", help="Minutes without an event that end a session.")
    ] = 30.0,
    force: ForceOption = False,
    report: JsonOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw calibration and mastery by group: .png, .svg, .pdf."),
    ] = None,
) -> None:
    """Report what the log of an engine says about its students.

    Statistics are means over students with 95 % intervals. Students and sessions that cannot be observed yet are left
    out and counted.
    """
    from alsim.evaluation.engine_audit import audit_engine, read_groups

    groups, column = None, None
    if group is not None:
        file, column = _table_of(directory, group, students)
        groups = read_groups(file, column)
    elif students is not None:
        raise AlsimError("--students needs --group COLUMN, the column with the groups; add it")
    with opened(directory) as loaded, elapsed_progress(f"auditing {directory}"):
        found = audit_engine(loaded, groups, session_gap=60 * session_gap)
    result = {"directory": str(directory), "group": column, **found}
    result["verdict"] = print_audit(result)
    if plot is not None:
        from alsim.cli.engine_audit_plot import draw_engine_audit

        draw_engine_audit(plot, result)
        print(f"{plot}: calibration and mastery")
    write_report(report, result)


def _table_of(directory: Path, group: str, students: Path | None) -> tuple[Path, str]:
    """Return the table of students and the column of their groups. Raises AlsimError."""
    file, colon, column = group.rpartition(":")
    if students is not None:
        return students, group
    if colon and Path(file).is_file():
        return Path(file), column
    if (directory / STUDENTS).is_file():
        return directory / STUDENTS, group
    raise AlsimError(
        f"--group {group} needs a table of students: add --students FILE, write FILE:COLUMN, or put {STUDENTS} into "
        f"{directory}"
    )


def print_audit(result: Report) -> str:
    """Print an audit, and return its verdict."""
    sections = {EVERYBODY: result["all"], **result["by_group"]}
    print_facts(_facts(result))
    print()
    _print_table("Mastery (share of the skills) and forecasts (chance of a correct answer):", sections, _knowledge)
    _print_table("Sessions and satisfaction:", sections, _sessions)
    _print_table("Share of students who come back after their first session:", sections, _returns)
    _print_weeks(result)
    print_sentence(LEGEND)
    print()
    verdict = verdict_of(result)
    print_sentence(verdict)
    return verdict


def _facts(result: Report) -> list[tuple[str, str]]:
    """Return labels and texts about the log."""
    start, end = (_date(result[key]) for key in ("log_start", "log_end"))
    facts = [
        ("students", f"{result['students']:,} with events"),
        ("log", f"{start} to {end}, {counted(result['interactions'], 'interaction')}"),
        ("session", f"ends after {result['session_gap_seconds'] / 60:g} min without an event"),
        ("mastered", f"from a mastery of {result['threshold']:g}, by the present student model"),
    ]
    if result["group"] is not None:
        lacking = f"{result['without_group']:,} without group, {result['without_events']:,} without events"
        facts.append(("group", f"{shortened(result['group'], 40)}; {lacking}"))
    return facts


def _date(seconds: float) -> str:
    """Return the day of a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _print_table(title: str, sections: Mapping[str, Report], columns: Any) -> None:
    """Print a table with one row per group."""
    from alsim.cli.comparison_text import print_blocks

    print(title)
    rows = [[name, *columns(one).values()] for name, one in sections.items()]
    print_blocks(["group", *columns(next(iter(sections.values())))], rows)
    print()


def _knowledge(one: Report) -> dict[str, str]:
    """Return what is printed of mastery and calibration, by heading."""
    found = one["calibration"]
    return {
        "n": f"{one['students']:,}",
        "mastery": interval(one["mastery"]["rate"], 3),
        "answers": f"{found['answers']:,}",
        "bias": interval(found["bias"], 3, signed=True),
        "Brier": fixed_point(found["brier"]["mean"], 3),
        "ECE": f"{fixed_point(found['ece'], 3)} ({fixed_point(found['ece_if_calibrated'], 3)})",
    }


def _sessions(one: Report) -> dict[str, str]:
    """Return what is printed of sessions and satisfaction, by heading."""
    sessions, satisfaction = one["sessions"], one["satisfaction"]
    return {
        "sessions": f"{sessions['count']:,}{_left_out(sessions['minutes'])}",
        "minutes": interval(sessions["minutes"], 1),
        "interactions": interval(sessions["interactions"], 1),
        "satisfaction": interval(satisfaction["mean"], 2),
        "ratings": f"{satisfaction['rated']:,}",
    }


def _returns(one: Report) -> dict[str, str]:
    """Return what is printed of returns, by heading."""
    return {
        f"in {days} d": interval(rate, 3) + _left_out(rate) if rate["n"] else f"-{_left_out(rate)}"
        for days, rate in one["returns"].items()
    }


def _left_out(found: Report) -> str:
    """Return the number of units that are left out as text."""
    return f" (-{found['left_out']:,})" if found["left_out"] else ""


def _print_weeks(result: Report) -> None:
    """Print mastery by week since the first event, and bias by week of the log."""
    mastery, bias = result["all"]["mastery"]["by_week"], result["all"]["calibration"]["by_week"]
    print("Mastery by full weeks since a student's first event:")
    rows = [
        [str(x["week"]), interval(x["rate"], 3), f"{x['rate']['n']:,}{_left_out(x['rate'])}"]
        for x in mastery[:MOST_WEEKS]
    ]
    print_table(["week", "mastery", "students"], rows, texts=())
    print()
    if bias:
        print("Forecasts by week of the log:")
        last = [
            [x["start"], f"{x['answers']:,}", interval(x["bias"], 3, signed=True), fixed_point(x["brier"]["mean"], 3)]
            for x in bias[-MOST_WEEKS:]
        ]
        print_table(["week of", "answers", "bias", "Brier"], last, texts=("week of",))
        print()
    if len(mastery) > MOST_WEEKS or len(bias) > MOST_WEEKS:
        print_sentence(f"Only {MOST_WEEKS} weeks are shown: the first of mastery, the last of forecasts.")


def interval(found: Report, places: int, *, signed: bool = False) -> str:
    """Return a mean with the reach of its interval as text, "-" if it is undefined."""
    if found["mean"] is None:
        return "-"
    sign = "+" if signed and round(found["mean"], places) > 0 else ""
    text = f"{sign}{fixed_point(found['mean'], places)}"
    if found["ci"] is None:
        return text
    reach = max(found["ci"][1] - found["mean"], found["mean"] - found["ci"][0])
    return f"{text} ± {fixed_point(reach, places)}"


def verdict_of(result: Report) -> str:
    """Return a sentence about the calibration of the forecasts, and about differences between groups."""
    sentences = [_calibration_verdict(result["all"]["calibration"])]
    if result["by_group"]:
        sentences.append(_group_verdict(result["differences"]))
    return " ".join(sentences)


def _calibration_verdict(found: Report) -> str:
    """Return a sentence about the mean error of the forecasts, and about that of bins of them."""
    bias = found["bias"]
    if bias["mean"] is None:
        return "There are no answers, so the forecasts cannot be judged."
    if bias["ci"] is None:
        return "The answers are those of one student, so the forecasts cannot be judged."
    low, high = bias["ci"]
    word = "too high" if low > 0 else "too low"
    text = "right on average" if low <= 0 <= high else f"{word} by {abs(bias['mean']):.3f} on average"
    return (
        f"The forecasts are {text} (bias {low:.3f} to {high:.3f}), and their calibration error in bins is "
        f"{found['ece']:.3f}, where {found['ece_if_calibrated']:.3f} is expected of calibrated forecasts."
    )


def _group_verdict(differences: Report) -> str:
    """Return a sentence about the groups that differ from the other students."""
    words = {"mastery": ("masters more", "masters less"), "bias": ("is forecast higher", "is forecast lower")}
    found = [
        (one["p_adjusted"], f"{shortened(group, WIDTH)} {words[key][one['mean'] < 0]} ({interval(one, 3)})")
        for group, both in differences.items()
        for key, one in both.items()
        if one["p_adjusted"] is not None and one["p_adjusted"] <= LEVEL
    ]
    if not differences:
        return "There is one group, which cannot be compared."
    if not found:
        return "No group differs from the others in mastery or in the error of its forecasts (5 %, Holm)."
    return f"Compared with the others (5 %, Holm): {'; '.join(text for _, text in sorted(found))}."


__all__ = ["interval", "print_audit", "verdict_of"]
