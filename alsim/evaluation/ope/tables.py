"""Logs of episodes from users' own tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.errors import AlsimError
from alsim.evaluation.ope.episodes import EpisodeLog, Pooled, Steps, Warned
from alsim.evaluation.ope.fitted_q import FOLDS, ActionValues
from alsim.evaluation.ope.propensities import Propensities, default_floor
from alsim.evaluation.ope.propensities import estimate_propensities as estimate_from_arrays
from alsim.evaluation.ope.roles import Chosen, choose_columns
from alsim.evaluation.ope.table_rows import TableRows
from alsim.responses.named_columns import FileOptions, read_named_columns
from alsim.types import Doubles, Longs

Columns = Mapping[str, str | Sequence[str] | None]


class TableLog(EpisodeLog):
    """Log in a table with one row per step, and named columns.

    table      mapping of names to columns, table of Arrow, pandas or polars, structured array, or path of a text file
               with a header, or of a Parquet or Arrow file
    columns    mapping of roles to names of columns, see below; None for a role that the table does not have. Roles that
               are not mapped are those of columns of the same names
    target     name of the target policy, for reports
    behaviour  name of the policy of the log, for reports, if there is no column with names
    estimate_propensities
               estimate the propensities, for a table without them, see `alsim.evaluation.ope.estimate_propensities`
    folds, floor
               see `alsim.evaluation.ope.estimate_propensities`
    options    options of a text file: delimiter, encoding, skip_lines and quoting, see
               `alsim.responses.reading.read_responses`

    The roles of columns are

    episode    id of the episode, text or integer; required
    reward     reward of the step; required
    behaviour  probability of the action under the policy of the log, in (0, 1]; required unless it is estimated
    target     probability of the action under the target policy, in [0, 1]; required
    step       number or time that sorts the steps of an episode; without it, they are in the order of the rows
    learner    independent unit of the episode: learner or class; without it, each episode is one
    policy     name of the policy of the log, of which a log may have several
    cluster    cluster before the action, text or integer, for `mis`
    behaviour_group, target_group
               probabilities of the group of the action, for `mis`; without them, those of the action
    q, v       predicted later rewards of the action, and of the target policy, for `dr` and `wdr`
    action     action that was taken, text or integer, for estimated propensities
    features   list of the columns that the policy of the log could see, for estimated propensities

    Episodes are sorted by their ids, so that the order of the rows does not matter if there is a column for step.
    Raises AlsimError, which names the row, the episode and the step, for invalid values.
    """

    def __init__(
        self,
        table: Any,
        columns: Columns | None = None,
        *,
        target: str = "target",
        behaviour: str = "behaviour",
        estimate_propensities: bool = False,
        folds: int = FOLDS,
        floor: float | None = None,
        options: FileOptions | None = None,
    ) -> None:
        found: list[Chosen] = []

        def choose(available: Sequence[str], source: str) -> list[str]:
            found.append(choose_columns(columns, available, source, estimate=estimate_propensities))
            return [*found[0].read()]

        rows = TableRows(read_named_columns(table, choose, options), found[0])
        self.target, self.behaviour, self.warnings = target, behaviour, []
        self.unit_names = rows.unit_names
        policies = _Policies(rows)
        if policies.names is not None:
            self.behaviour = ", ".join(map(str, policies.names))
            self.warnings += policies.changes()
        padded = rows.place.padded
        odds: Doubles
        if estimate_propensities:
            estimates = _estimated(rows, policies, folds, floor)
            odds = estimates.probability
            self.warnings.append(_about(estimates, found[0].features or ()))
        else:
            odds = rows.probabilities("behaviour", least=False)
        self.steps = Steps(
            padded(rows.numbers("reward")),
            padded(odds, 1.0),
            padded(rows.probabilities("target"), 1.0),
            rows.lengths,
            rows.units,
        )
        self._values = self._pooled = None
        if "q" in rows.names:
            self._values = ActionValues(*(padded(rows.numbers(role)) for role in ("q", "v")))
        if "cluster" in rows.names:
            self._pooled = self._read_pooled(rows)

    def _read_pooled(self, rows: TableRows) -> Pooled:
        """Return clusters and groups of actions."""
        padded, clusters = rows.place.padded, rows.place.padded(rows.ranked("cluster")[0])
        if "behaviour_group" not in rows.names:
            return Pooled(self.steps.behaviour, self.steps.target, clusters)
        behaviour, target = rows.probabilities("behaviour_group", least=False), rows.probabilities("target_group")
        return Pooled(padded(behaviour, 1.0), padded(target, 1.0), clusters)

    def pooled(self) -> Pooled | None:
        """Return clusters and groups of actions; None without a column for cluster."""
        return self._pooled

    def values(self, gamma: float) -> ActionValues | None:
        """Return the predicted values in the table; None without columns for q and v. `gamma` is theirs."""
        return self._values


class _Policies:
    """Policies of the rows of a log.

    codes  (M,) number of the policy of each row
    names  names of the policies; None for one that is not named
    """

    def __init__(self, rows: TableRows) -> None:
        self._rows = rows
        self.codes: Longs = np.zeros(rows.table.num_rows, np.int64)
        self.names: NDArray[Any] | None = None
        if "policy" in rows.names:
            self.codes, self.names = rows.ranked("policy")

    def changes(self) -> list[Warned]:
        """Return the warning about episodes with several policies, if there are any."""
        episode = self._rows.place.episode
        changed = np.unique(episode[1:][(np.diff(episode) == 0) & (np.diff(self.codes) != 0)])
        if len(changed) == 0:
            return []
        sentence = (
            f"the policy of the log changes within {len(changed):,} of {len(self._rows.lengths):,} episodes, such as "
            f"{self._rows.episode(int(changed[0]))}: the propensities of each row are used as they are"
        )
        return [Warned("policy-changes", sentence)]


def _estimated(rows: TableRows, policies: _Policies, folds: int, floor: float | None) -> Propensities:
    """Return estimated propensities, each from the rows of the same policy."""
    features, (actions, names) = rows.feature_matrix(), rows.ranked("action")
    learners, least = rows.units[rows.place.episode], default_floor(len(names)) if floor is None else floor
    if policies.names is None:
        return estimate_from_arrays(features, actions, learners, folds, least)
    odds, clipped = np.empty(len(actions)), 0
    for code, name in enumerate(policies.names):
        own = policies.codes == code
        try:
            found = estimate_from_arrays(features[own], actions[own], learners[own], folds, least)
        except AlsimError as error:
            raise AlsimError(f"policy {name} of the log: {error}") from None
        odds[own], clipped = found.probability, clipped + found.clipped
    return Propensities(odds, clipped, found.floor)


def _about(estimates: Propensities, features: Sequence[str]) -> Warned:
    """Return the warning about estimated propensities."""
    seen = f"on {', '.join(features)}" if features else "without features"
    return Warned(
        "estimated-propensities",
        f"the propensities are estimates, by a logistic regression of the actions {seen}: estimators are biased if the "
        f"policy of the log saw more, or used it otherwise; {estimates.clipped:,} of {len(estimates.probability):,} "
        f"estimates were below {estimates.floor:.2g} and were raised to it",
    )


__all__ = ["TableLog"]
