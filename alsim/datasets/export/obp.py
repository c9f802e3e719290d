"""Logged bandit feedback of Open Bandit Pipeline: each interaction is one round of a contextual bandit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.datasets.export.exporter import (
    Columns,
    Exporter,
    ExportError,
    Options,
    collect_arrays,
    number_of_actions,
    provenance,
)
from alsim.datasets.export.npz import JSON, read_provenance, write_npz
from alsim.datasets.store import Dataset
from alsim.policies import PolicyDraws, View, make_policy
from alsim.types import Doubles, Floats

OUTCOMES: dict[str, Callable[[int], int]] = {"uniform": lambda actions: actions, "rules": lambda actions: 2}
"""Number of equally likely random draws from which each policy computes its action, as a function of A."""


def to_obp(dataset: Dataset, *, action_distribution: bool = False) -> dict[str, Any]:
    """Return a dataset as the feedback dict of Open Bandit Pipeline, in memory.

    action_distribution  add `pi_b` (M, A, 1) float64, for the policies uniform and rules; otherwise it is None

    Returns the keys n_rounds M, n_actions A, context (M, R) float32, action_context None, action (M,), position None,
    reward (M,) float32, expected_reward None, pi_b, pscore (M,) float64. `pscore` is the logged propensity. Raises
    ExportError if the memory is too small, and if `pi_b` is requested for another policy.
    """
    return {
        **_attributes(dataset),
        **collect_arrays(_columns(dataset, action_distribution), len(dataset), "the feedback of Open Bandit Pipeline"),
    }


def _attributes(dataset: Dataset) -> dict[str, Any]:
    empty = dict.fromkeys(("action_context", "position", "expected_reward", "pi_b"))
    return {"n_rounds": len(dataset), "n_actions": number_of_actions(dataset), **empty}


def _columns(dataset: Dataset, action_distribution: bool) -> Iterator[Columns]:
    for part in dataset.parts():
        columns = {
            "context": part.obs,
            "action": part.action.astype(np.int64),
            "reward": part.reward,
            "pscore": part.propensity,
        }
        if action_distribution:
            columns["pi_b"] = distribution(part)[:, :, None]
        yield columns


def distribution(dataset: Dataset) -> Doubles:
    """Return the behaviour policy's probability of every action at every transition, (M, A).

    The policy is evaluated for each of its equally likely random draws. Raises ExportError if any result differs from
    the logged propensity in any bit, and for policies that are not in OUTCOMES.
    """
    name = dataset.manifest["policy"]["name"]
    if name not in OUTCOMES:
        raise ExportError(
            f"action_distribution requires a dataset of one of the policies {', '.join(OUTCOMES)}; got {name!r}; "
            "leave action_distribution out"
        )
    actions, rows = number_of_actions(dataset), np.arange(len(dataset))
    odds = np.zeros((len(dataset), actions))
    view, policy, outcomes = _view(dataset), make_policy(name), OUTCOMES[name](actions)
    for k in range(outcomes):
        action, probability = policy.act(view, _draws(k, outcomes, len(dataset)))
        odds[rows, action] = probability
    if not np.allclose(odds.sum(1), 1, atol=1e-12, rtol=0) or (odds[rows, dataset.action] != dataset.propensity).any():
        raise ExportError(
            f"the logged propensities are not those of the policy {name!r}, so its distribution is unknown; "
            "leave action_distribution out"
        )
    return odds


def _view(dataset: Dataset) -> View:
    """Return the input of the policy at each transition."""
    return View(
        observation=dataset.obs,
        kind=dataset.manifest["observation"],
        num_los=dataset.manifest["bank"]["num_los"],
        active=np.ones(len(dataset), bool),
        last_seconds=last_seconds(dataset),
    )


def last_seconds(dataset: Dataset) -> Floats:
    """Return the response time of the last question before each interaction, (M,) seconds; 0 if there is none."""
    seconds = dataset.transitions["response_time"].to_numpy()  # NaN for contents
    rows = np.arange(len(seconds))
    latest = np.maximum.accumulate(np.where(np.isnan(seconds), -1, rows))
    before = np.concatenate([[-1], latest[:-1]])
    first = rows - (dataset.step - 1)
    return np.where(before >= first, seconds[before], 0).astype(np.float32)


def _draws(k: int, outcomes: int, lanes: int) -> PolicyDraws:
    """Return random draws that give all lanes the k-th of `outcomes` equally likely outcomes."""
    word = -(-k * 2**32 // outcomes)
    words: NDArray[np.uint32] = np.full((lanes, 4), word, np.uint32)
    return PolicyDraws(lambda block: words)


def write(dataset: Dataset, out: Path, options: Options) -> None:
    """Write the feedback as an npz file, part by part."""
    attributes = {**_attributes(dataset), "alsim": provenance(dataset, "obp")}
    if options.action_distribution:
        del attributes["pi_b"]
    write_npz(out, _columns(dataset, bool(options.action_distribution)), len(dataset), attributes)


def loading_code(out: Path) -> str:
    """Return the Python code that loads the export."""
    return f"""import json, numpy as np
with np.load({str(out)!r}) as file:
    feedback = {{**file, **json.loads(str(file["{JSON}"]))}}  # for OffPolicyEvaluation(bandit_feedback=feedback, …)"""


EXPORTER = Exporter(
    name="obp",
    title="feedback dict of Open Bandit Pipeline, as npz",
    write=write,
    loading_code=loading_code,
    suffix=".npz",
    options=("action_distribution",),
    aliases=("open-bandit-pipeline",),
    read_provenance=read_provenance,
)
