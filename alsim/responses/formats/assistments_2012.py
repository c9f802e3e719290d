"""ASSISTments 2012–2013, school data with affect.

Rows without a skill and with partial credit are not read. Responses are sorted by `start_time`, which is also their
time; its time zone is not published, and is read as UTC. Cells of `actions`, a column that is not
read, are texts of several lines in quotes.

Source: https://sites.google.com/site/assistmentsdata/datasets/2012-13-school-data-with-affect; conventions:
https://github.com/pykt-team/pykt-toolkit, pykt/preprocess/assist2012_preprocess.py.
"""

from __future__ import annotations

from alsim.responses.formats.base import header
from alsim.responses.formats.conversion import PARTIAL_CREDIT, Layout, no_skill
from alsim.responses.formats.delimited import delimited_format

HEADER = header(
    "problem_log_id,skill,problem_id,user_id,assignment_id,assistment_id,start_time,end_time,"
    "problem_type,original,correct,bottom_hint,hint_count,actions,attempt_count,ms_first_response,"
    "tutor_mode,sequence_id,student_class_id,position,type,base_sequence_id,skill_id,teacher_id,"
    "school_id,overlap_time,template_id,answer_id,answer_text,first_action,problemlogid,"
    "Average_confidence(FRUSTRATED),Average_confidence(CONFUSED),Average_confidence(CONCENTRATING),"
    "Average_confidence(BORED)"
)

FORMAT = delimited_format(
    "assistments-2012",
    "ASSISTments 2012–2013, school data with affect",
    (HEADER,),
    Layout(
        columns={
            "student": "user_id",
            "skill": "skill_id",
            "item": "problem_id",
            "correct": "correct",
            "order": "start_time",
            "response": "problem_log_id",
            "time": "start_time",
            "seconds": "ms_first_response",
            "attempts": "attempt_count",
            "hints": "hint_count",
        },
        drops=(no_skill("skill_id"), PARTIAL_CREDIT),
        units={"seconds": 1e3},
    ),
)
