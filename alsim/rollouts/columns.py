"""Tables of a rollout as columns: transitions, events and episodes (clauses S10.1 and S10.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alsim.metrics import ANSWERED, EVENTS
from alsim.types import Reason, i32

if TYPE_CHECKING:
    from alsim.rollouts.rollout import Rollout


class Words(NamedTuple):
    """A column of words from a list."""

    codes: NDArray[Any]
    """Index of each word in `words`, integers (M,); -1 for a missing value."""
    words: tuple[str, ...]
    """All words, without duplicates."""
    ordered: bool = False
    """Whether the words are in ascending order, as difficulties are."""


Column: TypeAlias = NDArray[Any] | Words
"""A column: an array, with a mask if values are missing, or words. Observations have two dimensions."""


def transition_columns(rollout: Rollout) -> dict[str, Column]:
    """Return the columns of the table of transitions; "obs" is absent if the rollout did not keep observations."""
    x = rollout.interactions
    is_question = x.item < rollout.bank.num_questions
    return {
        **({} if rollout.obs is None else {"obs": rollout.obs}),
        "action": x.action,
        "reward": x.reward,
        "terminated": rollout.terminated,
        "truncated": rollout.truncated,
        **_identifiers(rollout),
        "propensity": rollout.propensity,
        "termination_reason": rollout.termination_reason,
        "item": x.item,
        "correct": np.ma.masked_array(x.correct, ~is_question),
        "mastery_gain": x.mastery_gain,
        "frustration": x.frustration,
        "response_time": np.ma.masked_array(x.response_time, ~is_question),
        "mean_mastery": x.mean_mastery,
    }


def event_columns(rollout: Rollout) -> dict[str, Column]:
    """Return the columns of the table of events."""
    events, x = rollout.events, rollout.interactions
    return {
        "event": Words(events.kind.astype(i32), EVENTS),
        **{name: column[events.row] for name, column in _identifiers(rollout).items()},
        "seconds": events.seconds,
        "item": x.item[events.row],
        "propensity": rollout.propensity[events.row],
        "correct": np.ma.masked_array(x.correct[events.row], events.kind != ANSWERED),
    }


def episode_columns(rollout: Rollout) -> dict[str, Column]:
    """Return the columns of the table of episodes."""
    metrics = {
        name: np.ma.masked_invalid(column) if column.dtype.kind == "f" else column
        for name, column in rollout.metrics._asdict().items()
    }
    rows = np.zeros(len(rollout.episode), i32) if rollout.population_row is None else rollout.population_row
    return {
        "learner_id": rollout.learner_id,
        "episode": rollout.episode.astype(i32),
        "population_row": rows,
        "population_name": Words(rows, rollout.config.population_names),
        **metrics,
        "terminated": rollout.reason != Reason.STEP_LIMIT,
        "truncated": rollout.reason == Reason.STEP_LIMIT,
        "termination_reason": rollout.reason,
        "ability_start": rollout.ability_start,
        "ability_final": rollout.ability_final,
        "final_obs": rollout.final_obs,
    }


def _identifiers(rollout: Rollout) -> dict[str, NDArray[Any]]:
    """Return learner, episode and number of each interaction."""
    length = rollout.interactions.length
    return {
        "learner_id": np.repeat(rollout.learner_id, length),
        "episode": np.repeat(rollout.episode, length).astype(i32),
        "step": rollout.interactions.step.astype(i32),
    }


TABLE_COLUMNS: Mapping[str, Any] = {
    "transitions": transition_columns,
    "events": event_columns,
    "episodes": episode_columns,
}
"""Functions that return the columns of each table of a rollout."""
