"""KDD Cup 2010, and DataShop exports by student and step: one row per step, delimited by tabs.

An item is a step of a problem, named "problem / step". The skills are those of the first column KC(...), separated by
~~; `columns={"skill": "KC(...)"}` chooses another model of skills. Rows without a skill are not read. Responses are
sorted by the time of the first transaction, which is also their time; its time zone is not published, and is read as
UTC. The response time is the duration of the step, so it contains later attempts. Attempts are incorrect and correct
ones. In DataShop exports, a hint as the first attempt is not correct.

Source: Stamper, Niculescu-Mizil, Ritter, Gordon & Koedinger (2010), data of the KDD Cup 2010 Educational Data Mining
Challenge, https://www.kdd.org/kdd-cup/view/kdd-cup-2010-student-performance-evaluation/Data; header:
https://github.com/tswsxk/EduData, docs/KDD Cup 2010.md; columns of DataShop exports:
https://github.com/tswsxk/EduData, docs/OLI_Fall2011/OLI_2011F_step.ipynb. The conventions about items, skills and
order are those of https://github.com/pykt-team/pykt-toolkit, pykt/preprocess/algebra2005_preprocess.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alsim.responses import cells
from alsim.responses.formats.conversion import Derived, Layout, no_skill
from alsim.responses.formats.delimited import delimited_format

if TYPE_CHECKING:
    import pyarrow as pa

STEPS = (
    *("Problem Hierarchy", "Problem Name", "Problem View", "Step Name", "Step Start Time", "First Transaction Time"),
    *("Correct Transaction Time", "Step End Time", "Step Duration (sec)", "Correct Step Duration (sec)"),
    "Error Step Duration (sec)",
)
COUNTS = ("Incorrects", "Hints", "Corrects")
KDD_CUP = ("Row", "Anon Student Id", *STEPS, "Correct First Attempt", *COUNTS)
DATASHOP = ("Row", "Sample", "Anon Student Id", *STEPS, "First Attempt", *COUNTS, "Condition")
"""Names of the columns, except those of the models of skills."""

MODEL = re.compile(r"(?:KC|Opportunity|Predicted Error Rate) ?\(.*\)")
SKILLS = re.compile(r"KC ?\(.*\)")
"""Names of the columns that a model of skills has, and of the one with the skills."""


def layout(header: Sequence[str]) -> Layout:
    """Return the columns of a file: those of the KDD Cup or of DataShop, with the first model of skills."""
    models = [name for name in header if SKILLS.fullmatch(name)]
    skill = models[0] if models else "KC(Default)"
    first_attempt = "Correct First Attempt" not in header and "First Attempt" in header
    return Layout(
        columns={
            "student": "Anon Student Id",
            "skill": skill,
            "item": Derived(("Problem Name", "Step Name"), _join) if "Step Name" in header else "Problem Name",
            "correct": Derived(("First Attempt",), _is_correct) if first_attempt else "Correct First Attempt",
            "order": "First Transaction Time",
            "time": "First Transaction Time",
            "seconds": Derived(("Step Duration (sec)",), _without_points),
            "attempts": Derived(("Incorrects", "Corrects"), _sum),
            "hints": "Hints",
        },
        drops=(no_skill(skill, "."),),
        separator="~~",
        recognised={"skill": skill} if len(models) > 1 else {},
    )


def is_header(names: Sequence[str]) -> bool:
    """Return whether a header is that of the KDD Cup or of DataShop, whichever models of skills it has."""
    own = sorted(name for name in names if not MODEL.fullmatch(name))
    return own in (sorted(KDD_CUP), sorted(DATASHOP)) and len(own) < len(names)


def _join(problem: pa.ChunkedArray, step: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the names of steps; missing if the name of the problem is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = pc.binary_join_element_wise(problem, step, " / ")
    return pc.if_else(pa.array(cells.is_missing(problem, ())), None, names)


def _is_correct(first_attempt: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return 1 and 0 for the outcomes of first attempts; other cells stay as they are."""
    import pyarrow.compute as pc

    outcome = pc.utf8_lower(pc.utf8_trim_whitespace(first_attempt))
    wrong = pc.or_(pc.equal(outcome, "incorrect"), pc.equal(outcome, "hint"))
    return pc.if_else(pc.equal(outcome, "correct"), "1", pc.if_else(wrong, "0", first_attempt))


def _without_points(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers, with empty cells in place of the points that mean a missing one."""
    import pyarrow.compute as pc

    return pc.replace_substring_regex(column, r"^\s*\.\s*$", "")


def _sum(a: pa.ChunkedArray, b: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the sums of two columns of numbers."""
    return cells.as_arrow(cells.parse_numbers(a) + cells.parse_numbers(b))


FORMAT = delimited_format(
    "kdd-cup",
    "KDD Cup 2010, and DataShop exports by student and step",
    ((*KDD_CUP, "KC(Default)", "Opportunity(Default)"),),
    layout,
    is_header=is_header,
)
