"""Snapshots: the state of all learners at one moment, which an environment can restore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alsim.arguments import read_seed
from alsim.bank.items import Bank
from alsim.config import Config
from alsim.envs.registration import ENVIRONMENT_ID
from alsim.errors import AlsimError, InputTypeError
from alsim.jit.structs import is_absent, leaves, with_leaves
from alsim.types import LearnerArrays, Observation, short_repr


@short_repr
@dataclass(frozen=True, eq=False)
class Snapshot:
    """The learners of N lanes at one moment, with the rules of their environment.

    `AdaptiveLearningVectorEnv.snapshot()` creates one. It is immutable and can be pickled. Any environment with
    the same rules and number of lanes can restore it by `restore()`.
    """

    environment: str
    """Name and version of the environment. Another version gives other results, so it cannot restore the snapshot."""
    config: Config
    bank: Bank
    observation: Observation
    """Kind of observation, "mastery" or "responses"."""
    learners: LearnerArrays
    """The learners' arrays, read-only. Their layout is not part of the public interface."""

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for _, column in leaves(self.learners):
            column.flags.writeable = False

    def __reduce__(self) -> Any:
        """Pickle the fields only, so that unpickling makes the arrays read-only again."""
        return Snapshot, (self.environment, self.config, self.bank, self.observation, self.learners)

    def __eq__(self, other: object) -> bool:
        """Return whether both contain the same learners, bit for bit, under the same rules."""
        if not isinstance(other, Snapshot):
            return NotImplemented
        if self.difference(other.config, other.bank, other.observation, other.num_envs) != "":
            return False
        pairs = zip(leaves(self.learners), leaves(other.learners), strict=True)
        return all(np.array_equal(a.view(np.uint8), b.view(np.uint8)) for (_, a), (_, b) in pairs)

    __hash__ = None  # type: ignore[assignment]  # unhashable, like arrays

    @property
    def num_envs(self) -> int:
        """Number of lanes N."""
        return len(self.learners.key)

    @property
    def lanes(self) -> dict[str, NDArray[Any]]:
        """Identity of the learner in each lane, (N,) each: seed, learner, episode, and step (interactions so far)."""
        return identities(self.learners)

    @property
    def observations(self) -> NDArray[np.float32]:
        """The observations at this moment, (N, R); read-only."""
        p = self.learners
        return (p.responses if self.observation == "responses" else p.rows).reshape(self.num_envs, -1)

    @property
    def over(self) -> NDArray[np.bool_]:
        """True for lanes whose episode is over and whose next one has not started, (N,); read-only."""
        return self.learners.finished

    def take(self, lanes: Any) -> Snapshot:
        """Return a snapshot of the M selected lanes, in the order of `lanes`.

        lanes  integers (M,) in [0, N). A lane may be selected several times. Its copies use the same random
               numbers, so the same actions give the same answers

        Raises TypeError or ValueError.
        """
        array = np.asarray(lanes)
        if array.ndim != 1 or len(array) == 0:
            raise AlsimError(
                f"lanes must have shape (M,), with M at least 1; got shape {array.shape}: pass a list of lanes"
            )
        if array.dtype.kind not in "iu":
            raise InputTypeError(f"lanes must be integers; got dtype {array.dtype}")
        outside = (array < 0) | (array >= self.num_envs)
        if outside.any():
            index = int(np.argmax(outside))
            raise AlsimError(f"lanes must be integers in [0, {self.num_envs}); got {array[index]} at index {index}")
        lanes = len(self.learners.key)
        taken = with_leaves(self.learners, lambda column: column.reshape(lanes, -1)[array].reshape(-1))
        return replace(self, learners=taken)

    def with_seeds(self, seeds: Any) -> Snapshot:
        """Return the same learners with other seeds, so that their future random numbers differ.

        seeds  integers (N,) in [0, 2**64)

        Each learner keeps its state, index, episode and step, and its row of the population until the end of the
        episode. All later random numbers are those of
        (new seed, learner, episode, step), see clause S11.1. Later episodes are those of the same learner of the
        new seed. The current episode started under another seed, so no reset can repeat it; `restore` can.
        Raises TypeError or ValueError.
        """
        if not isinstance(seeds, np.ndarray | Sequence) or isinstance(seeds, str | bytes):
            raise InputTypeError(
                f"seeds must be a list or array with one entry for each of {self.num_envs} lanes; got {seeds!r}"
            )
        if len(np.shape(seeds)) != 1 or len(seeds) != self.num_envs:
            raise AlsimError(f"seeds must have shape ({self.num_envs},), one per lane; got shape {np.shape(seeds)}")
        keys = np.array([read_seed(seed, f"seeds[{lane}]") for lane, seed in enumerate(seeds)], np.uint64)
        row = self.learners.row
        # In a negative row, the number is inverted: the learner of the new seed may have another one, see `begin_next`.
        later = row if is_absent(row) else np.where(row < 0, row, ~row)
        return replace(self, learners=self.learners._replace(key=keys, row=later))

    def difference(self, config: Config, bank: Bank, observation: str, num_envs: int) -> str:
        """Return the first difference from an environment as text; "" if it can restore the snapshot."""
        if self.environment != ENVIRONMENT_ID:
            return f"learners of {self.environment}, not of {ENVIRONMENT_ID}"
        if self.observation != observation:
            return f"observation = {self.observation!r}, not {observation!r}"
        if self.config != config or type(self.config.dynamics) is not type(config.dynamics):
            return _first_difference(self.config.to_dict(), config.to_dict())
        if self.bank is not bank and self.bank != bank:
            return "another bank"
        if self.num_envs != num_envs:
            return f"{self.num_envs} lanes, not {num_envs}"
        return ""


def identities(p: LearnerArrays) -> dict[str, NDArray[Any]]:
    """Return seed, learner, episode and step of each lane as new arrays, (N,) each."""
    return {"seed": p.key.copy(), "learner": p.learner.copy(), "episode": p.episode.copy(), "step": p.step.copy()}


def take_snapshot(config: Config, bank: Bank, observation: Observation, learners: LearnerArrays) -> Snapshot:
    """Return a snapshot of the current state of learners."""
    return Snapshot(ENVIRONMENT_ID, config, bank, observation, with_leaves(learners, np.copy))


def _first_difference(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> str:
    """Return the first key with different values in two configurations, with both values."""
    for key, value in one.items():
        other_value = other.get(key)
        if value == other_value:
            continue
        if isinstance(value, Mapping) and isinstance(other_value, Mapping):
            return _first_difference(value, other_value, f"{prefix}{key}.")
        return f"{prefix}{key} = {value!r}, not {other_value!r}"
    return "another configuration"


__all__ = ["Snapshot", "identities", "take_snapshot"]
