"""Off-policy evaluation of logs of any kind: datasets, logs of engines, tables, and several of them as one log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from alsim.datasets.engine_log import EngineLog
from alsim.datasets.sources import opened
from alsim.datasets.store import Dataset
from alsim.errors import AlsimError, InputTypeError
from alsim.evaluation.estimates import CONFIDENCE
from alsim.evaluation.ope.engine_logs import EngineEpisodes
from alsim.evaluation.ope.episodes import EpisodeLog
from alsim.evaluation.ope.evaluation import Evaluation, checked_estimators, evaluate_log
from alsim.evaluation.ope.joined import JoinedLog
from alsim.evaluation.ope.simulated import SimulatedLog
from alsim.evaluation.ope.tables import TableLog
from alsim.policies import make_policy
from alsim.responses.tables import is_table
from alsim.types import describe


def evaluate(
    log: Any,
    target: Any = None,
    *,
    gamma: float = 1.0,
    confidence: float = CONFIDENCE,
    estimators: Collection[str] | None = None,
    window: int = 1,
    refit: int = 0,
    seed: int = 0,
    action_mask: Any = None,
) -> Evaluation:
    """Evaluate a target policy on a log of another one: diagnosis, estimates, and which of them to believe.

    log          Dataset of the simulator, or the directory of one; EngineLog, or its directory; a file or table with
                 the columns of `TableLog`; a log with the probabilities of its target, such as a `TableLog`; or a list
                 of these, as one log
    target       policy with probabilities: a name, the directory of a trained one, or an object. None: that of the log
    gamma        discount factor, in [0, 1]
    confidence   level of the intervals, in (0, 1)
    estimators   names of the estimators to compute, see `ESTIMATORS`; None: all
    window       number of the last actions that the weights of `window` contain, at least 1
    refit        number of refits of `fqe` to resampled learners, for its standard error and interval; 0: none. Its
                 interval ignores the bias of the model
    seed         seed of the resampling, integer in [0, 2**64)
    action_mask  the function, if the dataset was generated with a function as action mask

    Only what a policy could see is used: observations, actions, rewards and propensities.
    Returns an Evaluation; estimators that are undefined for the log are left out, with a warning.
    Raises AlsimError for a log without episodes, an unknown target, or one without probabilities.
    """
    names = checked_estimators(estimators)
    found = read_episodes(log, target, action_mask=action_mask)
    options: dict[str, Any] = {"window": window, "refit": refit, "seed": seed}
    return evaluate_log(found, gamma=gamma, confidence=confidence, estimators=names, **options)


def read_episodes(
    log: Any,
    target: Any = None,
    *,
    action_mask: Any = None,
    columns: Mapping[str, Any] | None = None,
    estimate_propensities: bool = False,
    missing: float | None = None,
) -> EpisodeLog:
    """Return the episodes of a log with the probabilities of a target, see `evaluate`.

    columns                see `TableLog`; of a log of an engine, {"reward": column}
    estimate_propensities  see `TableLog`
    missing                see `EngineEpisodes`

    Datasets of one seed have the same learners. Raises AlsimError for others.
    """
    if isinstance(log, Sequence) and not isinstance(log, str):
        sources = [opened(one) for one in log]
        _check_together(sources)
        options: dict[str, Any] = {
            "columns": columns,
            "estimate_propensities": estimate_propensities,
            "missing": missing,
        }
        parts = [read_episodes(one, target, action_mask=action_mask, **options) for one in sources]
        keys = [("seed", one.manifest["seed"]) if isinstance(one, Dataset) else k for k, one in enumerate(sources)]
        return parts[0] if len(parts) == 1 else JoinedLog(parts, keys)
    source = opened(log)
    if isinstance(source, EpisodeLog):
        if target is not None:
            raise InputTypeError(f"a {type(source).__name__} has the probabilities of its own target: leave target out")
        return source
    if isinstance(source, Path) or is_table(source):
        if missing is not None:
            raise InputTypeError("missing (--missing) is for logs of engines; fill empty rewards in the table")
        if target is not None:
            raise InputTypeError(
                f"the probabilities of the target are a column of the table; got the target {describe(target)}: leave "
                "it out, and name the column (--columns target=NAME)"
            )
        label = str((columns or {}).get("target") or "target")
        return TableLog(source, columns, target=label, estimate_propensities=estimate_propensities)
    if not isinstance(source, Dataset | EngineLog):
        raise InputTypeError(
            f"log must be a Dataset, an EngineLog, a directory of one, a table or a log of episodes; got "
            f"{describe(log)}: pass one of these"
        )
    if target is None:
        raise InputTypeError("target must be a policy with probabilities; got None: name one, such as 'rules'")
    _check_options(source, columns, estimate_propensities, missing)
    if isinstance(source, EngineLog):
        return EngineEpisodes(source, target, **(columns or {}), missing=missing)
    return SimulatedLog(source, make_policy(target), action_mask)


def _check_together(sources: Sequence[Any]) -> None:
    """Raise AlsimError unless logs can be one: of one kind, with the same observations, and all different."""
    kinds = {type(source).__name__ for source in sources}
    if len(kinds) > 1:
        raise AlsimError(
            f"logs of several kinds have no common unit of reward; got {' and '.join(sorted(kinds))}: evaluate each "
            "kind by itself"
        )
    for k, source in enumerate(sources):
        for other in sources[:k]:
            is_same = source is other or (isinstance(source, Path) and source.resolve() == other.resolve())
            if isinstance(source, Dataset):
                one, two = source.manifest, other.manifest
                is_same = is_same or all(one[key] == two[key] for key in ("seed", "policy", "config", "num_learners"))
                for key, name in (("observation", "kind of observation"), ("config", "configuration")):
                    if one[key] != two[key]:
                        raise AlsimError(f"the datasets {other!r} and {source!r} differ in their {name}: evaluate each")
            if is_same:
                raise AlsimError(f"the log {source!r} is given twice, which adds no information: pass it once")


def _check_options(
    source: Any, columns: Mapping[str, Any] | None, estimate_propensities: bool, missing: float | None
) -> None:
    """Raise InputTypeError for options that a dataset or a log of an engine does not have."""
    if missing is not None and not isinstance(source, EngineLog):
        raise InputTypeError(f"{source!r} has all rewards: leave out missing (--missing)")
    if estimate_propensities:
        raise InputTypeError(f"{source!r} has propensities: leave out estimate_propensities (--estimate-propensities)")
    allowed = {"reward"} if isinstance(source, EngineLog) else set()
    if unknown := [role for role in columns or () if role not in allowed]:
        has = "only the column for reward can be chosen" if allowed else "all columns are known"
        raise InputTypeError(f"columns has {unknown[0]!r}; of {source!r}, {has}: leave it out")


__all__ = ["evaluate", "read_episodes"]
