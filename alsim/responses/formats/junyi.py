"""Junyi Academy, problem log of 2015 (`junyi_ProblemLog_original.csv`).

An exercise is both the item and the skill. `correct` is false if any hint was used; `earned_proficiency` is not
correctness. `time_done` is in microseconds since 1970 and the time at which the problem was finished.

Source: https://pslcdatashop.web.cmu.edu/DatasetInfo?datasetId=1198; Chang, Hsu & Chen (2015), Modeling exercise
relationships in e-learning: a unified approach, EDM. Header and meaning of the columns:
https://github.com/tswsxk/EduData, docs/junyi.md.
"""

from __future__ import annotations

from alsim.responses.formats.base import header
from alsim.responses.formats.conversion import Layout, no_skill
from alsim.responses.formats.delimited import delimited_format

HEADER = header(
    "user_id,exercise,problem_type,problem_number,topic_mode,suggested,review_mode,time_done,time_taken,"
    "time_taken_attempts,correct,count_attempts,hint_used,count_hints,hint_time_taken_list,"
    "earned_proficiency,points_earned"
)

FORMAT = delimited_format(
    "junyi",
    "Junyi Academy, problem log of 2015",
    (HEADER,),
    Layout(
        columns={
            "student": "user_id",
            "skill": "exercise",
            "correct": "correct",
            "order": "time_done",
            "time": "time_done",
            "seconds": "time_taken",
            "attempts": "count_attempts",
            "hints": "count_hints",
        },
        drops=(no_skill("exercise"),),
        units={"time": 1e6},
    ),
)
