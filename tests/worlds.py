"""Worlds for tests below the environments: the kernel steps lanes of learners directly."""

from functools import lru_cache
from typing import Any

import numpy as np
from oracle import Oracle

from alsim.bank.items import Bank, sample_bank
from alsim.config import Config
from alsim.jit import references
from alsim.simulator import step as step_kernels
from alsim.simulator.state import new_output, new_world

MODES = {"NEXT_STEP": step_kernels.NEXT_STEP, "SAME_STEP": step_kernels.SAME_STEP, "DISABLED": step_kernels.DISABLED}


@lru_cache(maxsize=1)
def default_bank() -> Bank:
    return sample_bank(Config())


class Lanes:
    """Lanes of learners at the start of an episode; `learners` and `out` are the arrays of the kernel."""

    def __init__(
        self,
        n: int = 1,
        config: Config | None = None,
        *,
        bank: Bank | None = None,
        seed: Any = 0,
        learner: Any = None,
        episode: Any = 0,
        responses: bool = False,
        mode: int = step_kernels.DISABLED,
    ) -> None:
        self.config = config or Config()
        self.bank = bank or (default_bank() if config is None else sample_bank(self.config))
        self.n, self.mode, self.responses = n, mode, responses
        self.num_los = self.bank.num_los
        self.world = new_world(self.config, self.bank, n, responses=responses, record=True)
        self.reference = references.by_reference(self.world)
        self.learners, self.interaction = self.world.learners, self.world.interaction
        self.width = 2 * self.num_los + 2 if responses else self.num_los + 2
        self.final = np.zeros(n * self.width if mode == step_kernels.SAME_STEP else 0, np.float32)
        self.out = new_output(n, self.final)
        self._out = references.by_reference(self.out)  # the type that environments pass: no other code is compiled
        self.learners.key[:] = seed
        self.learners.learner[:] = np.arange(n) if learner is None else learner
        self.learners.episode[:] = episode
        step_kernels.begin_lanes(self.reference, np.arange(n))

    @property
    def rows(self) -> Any:
        """Observation S8.1, (n, L + 2)."""
        return self.learners.rows.reshape(self.n, self.num_los + 2)

    @property
    def mastery(self) -> Any:
        return self.rows[:, : self.num_los]

    @property
    def observations(self) -> Any:
        """Observations of the configured kind, (n, R)."""
        return (self.learners.responses if self.responses else self.learners.rows).reshape(self.n, self.width)

    def put(self, *, mastery: Any = None, **fields: Any) -> "Lanes":
        """Set fields of the state; `mastery` broadcasts to (n, L)."""
        if mastery is not None:
            self.mastery[:] = mastery
            self.learners.mastery_sum[:] = self.mastery.astype(np.float64).sum(axis=1)
        for name, value in fields.items():
            getattr(self.learners, name)[:] = value
        if "frustration" in fields:
            self.rows[:, self.num_los] = self.learners.frustration
        return self

    def step(self, actions: Any, start: int = 0, stop: int | None = None) -> Any:
        """Step all lanes, or those from start to stop; return the outputs."""
        actions = np.array(np.broadcast_to(actions, (self.n,)), np.int64)  # writable, as those of environments
        step_kernels.step(self.reference, actions, self._out, start, self.n if stop is None else stop, self.mode)
        return self.out

    def question(self, lo: int = 0, difficulty: int = 0) -> int:
        """Return the action of a question by clause S3.1."""
        return lo * 3 + difficulty

    def content(self, lo: int = 0, modality: int = 0) -> int:
        """Return the action of a content by clause S3.1."""
        return 3 * self.num_los + lo * 6 + modality


def bank_dicts(bank: Bank) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the questions and contents of a bank as lists of dicts."""
    return (
        [bank.question(k) for k in range(bank.num_questions)],
        [bank.content(k) for k in range(bank.num_contents)],
    )


def oracle_of(config: Config, bank: Bank, observation: str = "mastery") -> Oracle:
    """Return an oracle with the same configuration and bank."""
    weights, termination, start = config.reward_weights, config.termination, config.learner
    return Oracle(
        *bank_dicts(bank),
        max_episode_steps=config.max_episode_steps,
        max_response_time=config.irt.max_response_time,
        blueprint=config.metrics.blueprint,
        observation=observation,
        **config.dynamics._asdict(),
        **weights.model_dump(exclude={"recall"}),
        **termination.model_dump(),
        **start.model_dump(),
    )
