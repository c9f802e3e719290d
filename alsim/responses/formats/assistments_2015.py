"""ASSISTments 2015, 100 skill builders, main problems only.

A problem set (`sequence_id`) is the skill; the log has no items and no times. Rows with partial credit are not read.

Source: https://sites.google.com/site/assistmentsdata, 2015 skill builder data; header and meaning of the columns:
https://github.com/tswsxk/EduData, docs/ASSISTments/ASSISTments2015.ipynb.
"""

from __future__ import annotations

from alsim.responses.formats.base import header
from alsim.responses.formats.conversion import PARTIAL_CREDIT, Layout, no_skill
from alsim.responses.formats.delimited import delimited_format

FORMAT = delimited_format(
    "assistments-2015",
    "ASSISTments 2015, 100 skill builders",
    (header("user_id,log_id,sequence_id,correct"),),
    Layout(
        columns={
            "student": "user_id",
            "skill": "sequence_id",
            "correct": "correct",
            "order": "log_id",
            "response": "log_id",
        },
        drops=(no_skill("sequence_id"), PARTIAL_CREDIT),
    ),
)
