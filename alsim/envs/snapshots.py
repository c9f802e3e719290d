"""Snapshots: all learners at one moment, to go on from."""

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
from alsim.types import Observation, Population


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The learners of N lanes at one moment, and the rules they live under.

    Of `AdaptiveLearningVectorEnv.snapshot()`; it never changes, pickles, and goes to `restore()` of any
    environment of the same rules and as many lanes.
    """

    environment: str
    """Name and version of the environment: another version has other bits."""
    config: Config
    bank: Bank
    observation: Observation
    """Kind of observation, "mastery" or "responses"."""
    population: Population
    """The learners' arrays, read-only; what they are is not part of the interface."""

    def __post_init__(self) -> None:
        """Keep the arrays from being written."""
        for column in self.population:
            column.flags.writeable = False

    def __reduce__(self) -> Any:
        """Pickle by the fields, so that arrays are read-only again."""
        return Snapshot, (self.environment, self.config, self.bank, self.observation, self.population)

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same learners, bit for bit, under the same rules."""
        if not isinstance(other, Snapshot):
            return NotImplemented
        mine, its = (np.concatenate([column.view(np.uint8) for column in s.population]) for s in (self, other))
        return bool(
            self.difference(other.config, other.bank, other.observation, other.num_envs) == ""
            and np.array_equal(mine, its)
        )

    __hash__ = None  # type: ignore[assignment]  # as of arrays

    @property
    def num_envs(self) -> int:
        """Number of lanes N."""
        return len(self.population.key)

    @property
    def lanes(self) -> dict[str, NDArray[Any]]:
        """Who is in each lane, (N,) each: seed, learner, episode, and interactions so far (step)."""
        return identities(self.population)

    @property
    def observations(self) -> NDArray[np.float32]:
        """What is observed at this moment, (N, R); read-only."""
        p = self.population
        return (p.responses if self.observation == "responses" else p.rows).reshape(self.num_envs, -1)

    @property
    def over(self) -> NDArray[np.bool_]:
        """Lanes whose episode is over, and whose next has not begun, (N,); read-only."""
        return self.population.finished

    def take(self, lanes: Any) -> Snapshot:
        """Return a snapshot of M lanes: those that `lanes` names, in its order.

        lanes  integers (M,) in [0, N); a lane may be named more than once, and then goes on in several lanes
               with the same luck: the same actions bring the same answers

        Raises TypeError or ValueError.
        """
        array = np.asarray(lanes)
        if array.ndim != 1 or len(array) == 0:
            raise AlsimError(f"lanes have shape (M,), with M at least 1; got shape {array.shape}")
        if array.dtype.kind not in "iu":
            raise InputTypeError(f"lanes are integers; got dtype {array.dtype}")
        beyond = (array < 0) | (array >= self.num_envs)
        if beyond.any():
            place = int(np.argmax(beyond))
            raise AlsimError(f"lanes are integers in [0, {self.num_envs}); got {array[place]} at place {place}")
        rows: list[Any] = [column.reshape(self.num_envs, -1)[array].reshape(-1) for column in self.population]
        return replace(self, population=Population(*rows))

    def with_seeds(self, seeds: Any) -> Snapshot:
        """Return the same learners, whose luck from here on is that of other seeds.

        seeds  integers (N,) in [0, 2**64)

        A lane's learner keeps its state, index, episode and step. Its seed is another: so every random number
        from here on is that of (seed, learner, episode, step), as clause S11.1 has it, and the episodes that
        follow are those of the new seed's learner. The present one began under another seed, and no reset
        brings it back. Raises TypeError or ValueError.
        """
        if not isinstance(seeds, np.ndarray | Sequence) or isinstance(seeds, str | bytes):
            raise InputTypeError(f"seeds has one entry a lane, {self.num_envs}; got {seeds!r}")
        if len(np.shape(seeds)) != 1 or len(seeds) != self.num_envs:
            raise AlsimError(f"seeds has one entry a lane, {self.num_envs}; got shape {np.shape(seeds)}")
        keys = np.array([read_seed(seed, f"seeds[{lane}]") for lane, seed in enumerate(seeds)], np.uint64)
        return replace(self, population=self.population._replace(key=keys))

    def difference(self, config: Config, bank: Bank, observation: str, num_envs: int) -> str:
        """Say what the snapshot has that an environment has not; "" if it goes with it."""
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


def identities(p: Population) -> dict[str, NDArray[Any]]:
    """Return who is in each lane, (N,) each."""
    return {"seed": p.key.copy(), "learner": p.learner.copy(), "episode": p.episode.copy(), "step": p.step.copy()}


def take_snapshot(config: Config, bank: Bank, observation: Observation, population: Population) -> Snapshot:
    """Return a snapshot of a population's learners as they are now."""
    columns: list[Any] = [column.copy() for column in population]
    return Snapshot(ENVIRONMENT_ID, config, bank, observation, Population(*columns))


def _first_difference(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> str:
    """Return the first key in which two configurations differ, with both values."""
    for key, value in one.items():
        its = other.get(key)
        if value == its:
            continue
        if isinstance(value, Mapping) and isinstance(its, Mapping):
            return _first_difference(value, its, f"{prefix}{key}.")
        return f"{prefix}{key} = {value!r}, not {its!r}"
    return "another configuration"


__all__ = ["Snapshot", "identities", "take_snapshot"]
