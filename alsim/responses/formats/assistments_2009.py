"""ASSISTments 2009–2010, skill builder data.

The file has one row per skill of a response, all with the `order_id` of the response, so rows are merged by default.
In the "collapsed" file, the skills of a response are one text, such as 10_12. Scaffolding questions (`original` = 0)
and rows without a skill are not read. `order_id` is chronological; the log has no times.

Source: https://sites.google.com/site/assistmentsdata, 2009–2010 skill builder data; Feng, Heffernan & Koedinger (2009),
Addressing the assessment challenge with an online system that tutors as it assesses, UMUAI 19. Scaffolding questions
and repeated rows: Xiong, Zhao, Van Inwegen & Beck (2016), Going deeper with deep knowledge tracing, EDM. Encoding and
meaning of the columns: https://github.com/ckyeungac/DeepKnowledgeTracing; header:
https://github.com/tswsxk/EduData, docs/ASSISTments2009-2010.ipynb.
"""

from __future__ import annotations

from alsim.responses.formats.base import header
from alsim.responses.formats.conversion import PARTIAL_CREDIT, Drop, Layout, equals, no_skill
from alsim.responses.formats.delimited import delimited_format

HEADER = header(
    "order_id,assignment_id,user_id,assistment_id,problem_id,original,correct,attempt_count,"
    "ms_first_response,tutor_mode,answer_type,sequence_id,student_class_id,position,type,base_sequence_id,"
    "skill_id,skill_name,teacher_id,school_id,hint_count,hint_total,overlap_time,template_id,answer_id,"
    "answer_text,first_action,bottom_hint,opportunity,opportunity_original"
)

FORMAT = delimited_format(
    "assistments-2009",
    "ASSISTments 2009–2010, skill builder data",
    (HEADER, ("", *HEADER)),
    Layout(
        columns={
            "student": "user_id",
            "skill": "skill_id",
            "item": "problem_id",
            "correct": "correct",
            "order": "order_id",
            "response": "order_id",
            "seconds": "ms_first_response",
            "attempts": "attempt_count",
            "hints": "hint_count",
        },
        drops=(
            Drop("scaffolding question (original is 0)", "original", equals(0)),
            no_skill("skill_id"),
            PARTIAL_CREDIT,
        ),
        units={"seconds": 1e3},
        separator="_",
    ),
    encoding="latin-1",
    duplicates="merge",
)
