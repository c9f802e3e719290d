"""Tables for papers: reports of comparisons as CSV, with one row per statistic, and as LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from alsim.utils.reading import read_start

COLUMNS = (
    *("policy", "compared_with", "metric", "unit", "value", "se", "ci_low", "ci_high", "n", "left_out"),
    *("p", "p_adjusted", "variance_reduction"),
)
"""Columns of a table as CSV, after the first: a mean, or a paired difference from another policy."""
GROUPS = ("group", "dynamics")
"""Possible first columns of a table as CSV."""
COMMENT = "% written by alsim"
"""Beginning of a table as LaTeX."""
SPECIAL = re.compile(r"[\\{}$&#_%^~]")
ESCAPED = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}


def csv_table(group: str, blocks: Mapping[str, Mapping[str, Any]], units: Mapping[str, str]) -> str:
    """Return statistics and pairs of reports as CSV.

    group   heading of the first column, one of GROUPS
    blocks  reports with the keys policies and pairs, by the entry in the first column
    units   unit of each metric
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([group, *COLUMNS])
    for name, block in blocks.items():
        for row in _rows(block):
            cells = {**row, "unit": units[row["metric"]]}
            writer.writerow([name, *("" if cells.get(c) is None else cells[c] for c in COLUMNS)])
    return stream.getvalue()


def _rows(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row for each statistic and each pair of a report."""
    for policy, statistics in block["policies"].items():
        for metric, found in statistics.items():
            low, high = found["ci"] or (None, None)
            yield {"policy": policy, "metric": metric, "value": found["mean"], "ci_low": low, "ci_high": high, **found}
    for pair in block["pairs"]:
        low, high = pair["ci"] or (None, None)
        names = {"policy": pair["a"], "compared_with": pair["b"], "value": pair["difference"]}
        yield {**pair, **names, "ci_low": low, "ci_high": high}


def latex_table(headings: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """Return a table as LaTeX, for the package booktabs: text on the left, numbers on the right.

    headings, rows  cells as plain text, in which " ± " becomes a sign of mathematics
    caption         plain text
    """
    lines = [
        f"{COMMENT}; needs \\usepackage{{booktabs}}",
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{latex_text(caption)}}}",
        f"  \\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
        r"    \toprule",
        f"    {_line(headings)}",
        r"    \midrule",
        *(f"    {_line(row)}" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"


def latex_text(text: str) -> str:
    """Return plain text with the characters escaped that LaTeX reads as commands."""
    escaped = SPECIAL.sub(lambda match: ESCAPED.get(match[0], f"\\{match[0]}"), text)
    negative = re.sub(r"(?<![\w.-])-(?=\d)", r"$-$", escaped)
    return negative.replace(" ± ", r" $\pm$ ")


def is_csv(file: Path) -> bool:
    """Return whether a file is a table that `csv_table` made."""
    return any(_begins(file, ",".join([group, *COLUMNS])) for group in GROUPS)


def is_latex(file: Path) -> bool:
    """Return whether a file is a table that `latex_table` made."""
    return _begins(file, COMMENT)


def _begins(file: Path, text: str) -> bool:
    try:
        return read_start(file, len(text.encode())) == text.encode()
    except OSError:
        return False


__all__ = ["csv_table", "is_csv", "is_latex", "latex_table", "latex_text"]
