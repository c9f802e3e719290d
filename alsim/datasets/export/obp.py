"""Logged bandit feedback of Open Bandit Pipeline: each interaction is one round of a contextual bandit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

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
from alsim.policies import Policy, make_policy
from alsim.policies.checks import TOLERANCE
from alsim.policies.names import is_registered
from alsim.types import Doubles


def to_obp(dataset: Dataset, *, action_distribution: bool | str | Path | Policy = False) -> dict[str, Any]:
    """Return a dataset as the feedback dict of Open Bandit Pipeline, in memory.

    action_distribution  add `pi_b` (M, A, 1) float64, for a policy with a method `probabilities`; otherwise it is None.
                         True: the policy is registered under its name in the manifest, such as rules or
                         epsilon-greedy:rules:0.2; or the name, the directory or the object of the policy

    Returns the keys n_rounds M, n_actions A, context (M, R) float32, action_context None, action (M,), position None,
    reward (M,) float32, expected_reward None, pi_b, pscore (M,) float64. `pscore` is the logged propensity. Raises
    ExportError if the memory is too small, and if `pi_b` is requested for a policy that is unknown, or whose
    probabilities are not those of the log.
    """
    return {
        **_attributes(dataset),
        **collect_arrays(_columns(dataset, action_distribution), len(dataset), "the feedback of Open Bandit Pipeline"),
    }


def _attributes(dataset: Dataset) -> dict[str, Any]:
    empty = dict.fromkeys(("action_context", "position", "expected_reward", "pi_b"))
    return {"n_rounds": len(dataset), "n_actions": number_of_actions(dataset), **empty}


def _columns(dataset: Dataset, action_distribution: bool | str | Path | Policy) -> Iterator[Columns]:
    policy = None if isinstance(action_distribution, bool) else action_distribution
    for part in dataset.parts():
        columns = {
            "context": part.obs,
            "action": part.action.astype(np.int64),
            "reward": part.reward,
            "pscore": part.propensity,
        }
        if action_distribution is not False:
            columns["pi_b"] = distribution(part, policy)[:, :, None]
        yield columns


def distribution(dataset: Dataset, policy: str | Path | Policy | None = None) -> Doubles:
    """Return the behaviour policy's probability of every action at every transition, (M, A).

    policy  the behaviour policy; None: the one that the name in the manifest leads to

    Raises ExportError if the logged propensities are not those of the policy, and if the name leads to no policy.
    Raises TypeError for a policy without a method `probabilities`.
    """
    name = dataset.manifest["policy"]["name"]
    if policy is None:
        # A manifest may come from an untrusted source, so its name must not import a module or read a directory.
        if not is_registered(name):
            raise ExportError(
                f"action_distribution requires the policy of the dataset, and no policy is registered as {name!r}; "
                "pass the policy or its directory, as in to_obp(dataset, action_distribution=policy) (--policy DIR), "
                "import the module that registers it (--import MODULE), or leave action_distribution out"
            )
        policy = name
    odds = np.empty((len(dataset), number_of_actions(dataset)))
    for rows, part in dataset.distributions(policy):
        odds[rows] = part
    expected = odds[np.arange(len(dataset)), dataset.action]
    if not np.isclose(dataset.propensity, expected, rtol=TOLERANCE, atol=0).all():
        raise ExportError(
            f"the logged propensities are not those of the policy {make_policy(policy).name!r}, so the distribution is "
            "unknown; pass the policy of the dataset, or leave action_distribution out"
        )
    return odds


def write(dataset: Dataset, out: Path, options: Options) -> None:
    """Write the feedback as an npz file, part by part."""
    attributes = {**_attributes(dataset), "alsim": provenance(dataset, "obp")}
    requested = options.action_distribution or False
    if requested is not False:
        del attributes["pi_b"]
    write_npz(out, _columns(dataset, requested), len(dataset), attributes)


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
