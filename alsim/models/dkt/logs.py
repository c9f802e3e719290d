"""What a fit is made of: a log as sequences, and who of it is held out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alsim.models.base import ModelError
from alsim.models.dkt.sequences import Sequences, counts_of, sequences_of, total
from alsim.models.dkt.settings import Settings
from alsim.responses.cells import Names
from alsim.responses.log import Responses
from alsim.types import Longs


class Log(NamedTuple):
    """What is fitted to: all responses, and those of the students who are trained on and who are held out.

    skills  (K,) of the training students' responses: what nobody of them answered is unknown
    counts  (K,) their responses to each
    """

    skills: Names
    counts: Longs
    everybody: Sequences
    training: Sequences
    held_out: Sequences | None

    @classmethod
    def of(cls, responses: Responses, settings: Settings) -> Log:
        """Return a log whose held-out students are drawn by the seed. Raises ModelError if either part is empty."""
        if len(responses) == 0:
            raise ModelError("deep knowledge tracing is fitted to responses; got none")
        training, held_out = responses, None
        if settings.validation > 0:
            if responses.num_students < 2:
                raise ModelError("to hold out students takes 2 or more; there is one, and validation=0 holds out none")
            training, held_out = responses.split(settings.validation, settings.seed)
        skills = training.skills[np.unique(training.skill)]
        log = cls(
            skills=skills,
            counts=counts_of(sequences_of(training, skills), len(skills)),
            everybody=sequences_of(responses, skills),
            training=sequences_of(training, skills),
            held_out=None if held_out is None else sequences_of(held_out, skills),
        )
        if total(log.training) == 0 or (log.held_out is not None and total(log.held_out) == 0):
            raise ModelError(
                f"validation={settings.validation:g} leaves {total(log.training):g} responses to train on, "
                f"of {total(log.everybody):g}: both those and the held-out students' are more than none"
            )
        return log
