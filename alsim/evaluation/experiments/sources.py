"""Experiments from sources of any kind: tables, datasets of simulated learners, and exported logs of engines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from alsim.datasets.engine_log import EngineLog
from alsim.datasets.sources import opened
from alsim.datasets.store import Dataset
from alsim.errors import AlsimError, InputTypeError, did_you_mean
from alsim.evaluation.experiments.data import ExperimentData
from alsim.evaluation.experiments.logged import from_datasets, from_engine
from alsim.evaluation.experiments.student_metrics import StudentMetric, split_metric
from alsim.evaluation.experiments.tables import ROLES, Roles, read_table


def read_experiment(
    source: Any,
    metrics: Iterable[str],
    *,
    arm: str | None = None,
    control: str | None = None,
    experiment: str | None = None,
    **columns: str | None,
) -> ExperimentData:
    """Return the students of an experiment.

    source      table with one row per student: a mapping, a table of Arrow, pandas or polars, or a file; list of
                datasets or of their directories, one per arm; or the exported log of an engine, or its directory
    metrics     names of values, or ratios such as "correct/answers", of all metrics and guardrails
    arm         column of the arms, of a table
    control     name of the control; None: "control", or else the first arm
    experiment  name of the experiment, of a log of an engine with several
    columns     other columns of a table, see `Roles`

    Raises AlsimError for invalid sources, and InputTypeError for options that a source does not have.
    """
    if isinstance(metrics, str):
        raise InputTypeError(f"metrics must be a list of names; got {metrics!r:.60}: pass [{metrics!r:.60}]")
    for name in columns:
        if name not in ROLES:
            cure = did_you_mean(name, ROLES) or f"; expected {', '.join(ROLES)}"
            raise InputTypeError(f"read_experiment has no argument {name!r:.60}{cure}")
    chosen = [split_metric(metric) for metric in metrics]
    found = [opened(one) for one in (source if isinstance(source, list | tuple) else [source])]
    if not found:
        raise AlsimError("an experiment needs a table, or datasets; got none: pass a file, or one directory per arm")
    is_table = not isinstance(found[0], Dataset | EngineLog)
    given = [name for name, column in {"arm": arm, **columns}.items() if column is not None]
    if not is_table and given:
        raise InputTypeError(f"{given[0]} is a column of a table, and {found[0]!r:.100} is none: leave it out")
    if experiment is not None and not isinstance(found[0], EngineLog):
        raise InputTypeError("experiment is for logs of engines, which may have several: leave it out")
    if isinstance(found[0], Dataset):
        return from_datasets(_all(found), chosen, control=control)
    _check_single(found)
    if isinstance(found[0], EngineLog):
        return from_engine(found[0], chosen, experiment=experiment, control=control)
    return _from_table(found[0], chosen, arm, control, columns)


def _from_table(
    table: Any, metrics: Sequence[StudentMetric], arm: str | None, control: str | None, columns: dict[str, Any]
) -> ExperimentData:
    """Return the students of a table."""
    if arm is None:
        raise InputTypeError("a table needs arm, the column with the arm of each student (--arm)")
    return read_table(table, Roles(arm, **columns), metrics, control=control)


def _all(found: Sequence[Any]) -> list[Dataset]:
    """Return datasets. Raises AlsimError for other sources among them."""
    datasets = [one for one in found if isinstance(one, Dataset)]
    if len(datasets) < len(found):
        raise AlsimError("the arms must all be datasets; got another source, too: pass one dataset per arm")
    return datasets


def _check_single(found: Sequence[Any]) -> None:
    """Raise AlsimError for several tables or logs."""
    if len(found) > 1:
        kind = Path(found[0]).name if isinstance(found[0], str | Path) else type(found[0]).__name__
        raise AlsimError(
            f"an experiment is one table, one log of an engine, or several datasets; got {len(found)}, the first of "
            f"which is {kind!r:.60}: join the rows, with a column of the arms"
        )


__all__ = ["read_experiment"]
