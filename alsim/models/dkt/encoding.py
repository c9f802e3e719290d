"""A response log encoded for fitting: sequences of skill numbers, split into training and held-out students."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.models.base import ModelError
from alsim.models.dkt.sequences import Sequences, sequences_of, total
from alsim.models.dkt.settings import Settings
from alsim.responses.cells import Names
from alsim.responses.log import Responses
from alsim.types import Longs


class EncodedLog(NamedTuple):
    """A response log as sequences, split into training and held-out students.

    skills       (K,) names of the skills that training students have answered; all others are unknown
    counts       (K,) number of responses of the training students to each skill
    all_students sequences of all students
    training     sequences of the students to train on
    held_out     sequences of the held-out students; None if there are none
    """

    skills: Names
    counts: Longs
    all_students: Sequences
    training: Sequences
    held_out: Sequences | None

    @classmethod
    def of(cls, responses: Responses, settings: Settings) -> EncodedLog:
        """Return an encoded log. The held-out students are drawn with `settings.seed`.

        Raises ModelError for a log without responses, and for a log with one student if `settings.validation` is not 0.
        Raises it also if the training students or the held-out students have no responses.
        """
        if len(responses) == 0:
            raise ModelError(
                "deep knowledge tracing is fitted to at least one response; got none: pass a log with responses"
            )
        training, held_out = responses, None
        if settings.validation > 0:
            if responses.num_students < 2:
                raise ModelError(
                    f"validation={settings.validation:g} needs at least 2 students; the log has 1: pass validation=0"
                )
            training, held_out = responses.split(settings.validation, settings.seed)
        answered = np.unique(training.skill)
        skills = training.skills[answered]
        log = cls(
            skills=skills,
            counts=training.skill_counts()[answered],
            all_students=sequences_of(responses, skills),
            training=sequences_of(training, skills),
            held_out=None if held_out is None else sequences_of(held_out, skills),
        )
        if total(log.training) == 0 or (log.held_out is not None and total(log.held_out) == 0):
            raise ModelError(
                f"validation={settings.validation:g} leaves {total(log.training):g} of {total(log.all_students):g} "
                "responses to train on; expected some in both parts: pass another validation or seed"
            )
        return log
