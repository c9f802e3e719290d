"""The fields of a response log, as the functions that build one return them."""

from __future__ import annotations

from typing import NamedTuple

from alsim.responses.cells import Names
from alsim.responses.report import Report
from alsim.responses.study import StudyEvents
from alsim.types import Codes, Doubles, Ints, Longs


class LogFields(NamedTuple):
    """The arguments of `alsim.responses.log.Responses`, which documents them."""

    students: Names
    items: Names
    skills: Names
    student: Ints
    item: Ints
    correct: Codes
    skill: Ints
    skill_start: Longs
    row: Longs
    weight: Doubles
    report: Report
    time: Doubles | None = None
    seconds: Doubles | None = None
    attempts: Ints | None = None
    hints: Ints | None = None
    credit: Doubles | None = None
    study: StudyEvents | None = None
