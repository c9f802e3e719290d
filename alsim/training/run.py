"""Training runs: settings, checkpoints, resuming and evaluation."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from alsim.bank.items import Bank
from alsim.config import Config
from alsim.evaluation.estimates import StatisticJSON
from alsim.evaluation.held_out import (
    EVALUATION_SEED,
    FINAL,
    SELECTION,
    HeldOut,
    evaluate,
    is_specified,
    under_specified_reward,
)
from alsim.policies.network import NetworkPolicy
from alsim.training import directory
from alsim.training.curve import Row, draw_curve, read_curve, row_is_due, training_row, write_curve
from alsim.training.plan import BASELINES, TrainingPlan, log_notes, read_plan
from alsim.training.settings import Settings, TrainingError, divergence
from alsim.training.trainer import Trainer, trainer_class
from alsim.utils.files import write_atomic
from alsim.utils.reading import parse_json
from alsim.utils.run_directory import FORCE

BEST, PROGRESS = "best", "progress.json"

log = logging.getLogger(__name__)


class Moment(NamedTuple):
    """Progress of a training: interactions so far and in total."""

    steps: int
    total: int
    row: Row | None
    """The last row of the learning curve if it is new, otherwise None."""


Progress = Callable[[Moment], None]
"""Callback that is called with a Moment."""


@dataclass(frozen=True)
class Training:
    """A finished training.

    path        directory of the training
    policy      trained policy: the one with the best evaluation
    evaluation  content of evaluation.json; its key "training" has the numbers of interactions, "steps" and
                "requested_steps"
    curve       rows of curve.csv
    """

    path: Path
    policy: NetworkPolicy
    evaluation: dict[str, Any]
    curve: list[Row]


def train(
    algorithm: str = "ppo",
    *,
    out: str | Path,
    backend: str = "alsim",
    steps: int | None = None,
    num_envs: int | None = None,
    name: str | None = None,
    seed: int = 0,
    config: Config | Mapping[str, Any] | str | Path | None = None,
    bank: Bank | Mapping[str, Any] | str | Path | None = None,
    dynamics: Any = None,
    observation: str = "mastery",
    reward: str | None = None,
    hyperparameters: Settings | Mapping[str, Any] | str | Path | None = None,
    eval_every: int | None = None,
    num_threads: int = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> Training:
    """Train a policy on simulated learners, and evaluate it on held-out learners.

    algorithm        "ppo" or "dqn"
    out              directory to write; an unfinished training with the same settings is resumed
    backend          "alsim", or "sb3" for Stable-Baselines3
    steps, num_envs  numbers of interactions (over all lanes) and of lanes; None: as in the hyperparameters. The number
                     of interactions is rounded up to complete rollouts, as the logger alsim.training and
                     evaluation["training"] (steps and requested_steps) report
    name             name of the policy, which datasets and rollouts show; None: that of the algorithm
    seed             seed of learners, networks and exploration
    config, bank, dynamics, observation   as for the environments
    reward           preset "specified", "learning" or "recall", which replaces the reward weights of the configuration
    hyperparameters  object of PPO or DQN (of SB3PPO or SB3DQN with the backend "sb3"), mapping or TOML file; None: the
                     defaults
    eval_every       interactions between evaluations, rounded up to complete rollouts; each writes a checkpoint. None:
                     a twentieth of `steps`
    num_threads      threads for simulation and evaluation; results do not depend on it
    force            delete the training in `out`, finished or not
    progress         called with a Moment before each rollout and at the end

    Returns the trained policy with its evaluation and learning curve, which are also written to `out`. Raises
    ValueError or TypeError for invalid arguments, and MissingExtra if the backend "sb3" is not installed. Raises
    TrainingError if `out` must not be overwritten, if a checkpoint is damaged, or if the training diverges.
    """
    plan = read_plan(
        algorithm=algorithm,
        backend=backend,
        hyperparameters=hyperparameters,
        steps=steps,
        num_envs=num_envs,
        name=name,
        seed=seed,
        config=config,
        bank=bank,
        dynamics=dynamics,
        observation=observation,
        reward=reward,
        eval_every=eval_every,
        num_threads=num_threads,
    )
    folder = Path(out)
    directory.check_directory(folder, force=force)
    trainer_class(plan.backend)  # before anything is written: its packages may be missing
    with directory.open_directory(folder, plan.settings, force=force):
        return Run(plan, folder, progress or (lambda moment: None)).finish()


class Run:
    """A training in progress: the trainer, its learning curve, and the parameters with the best evaluation."""

    def __init__(self, plan: TrainingPlan, out: Path, progress: Progress) -> None:
        self.plan, self.out, self.progress = plan, out, progress
        self.rows: list[Row] = []
        self.best: bytes = b""
        self.best_return, self.best_steps = -np.inf, 0
        self.seconds, self.breaks = 0.0, 0
        self.versions: dict[str, str] = {}
        self.trainer = self._restored(directory.latest_checkpoint(out))
        self._start_time = perf_counter()

    def _restored(self, checkpoint: Path | None) -> Trainer:
        """Return a trainer, with the state of a checkpoint if there is one. Raises TrainingError for a damaged one."""
        if checkpoint is None:
            return trainer_class(self.plan.backend)(self.plan, 0)
        files = directory.read_checkpoint(checkpoint)
        self._restore_progress(checkpoint, files)
        trainer = trainer_class(self.plan.backend)(self.plan, self.breaks)
        try:
            trainer.set_parameters(self.best)  # shows that they can be read; the state replaces them
            trainer.set_state(files)
        except trainer.unreadable as error:
            raise directory.damaged(checkpoint, error) from None
        try:
            rows = read_curve(self.out / directory.CURVE)
        except TrainingError as error:
            raise TrainingError(f"{str(error).partition('; pass ')[0]}; {FORCE} starts the training again") from None
        self.rows = [row for row in rows if row.steps <= trainer.steps]
        if not self.rows or self.rows[-1].steps != trainer.steps:
            raise TrainingError(
                f"{self.out / directory.CURVE} lacks the row of {checkpoint}, at {trainer.steps:,} interactions; "
                f"{FORCE} starts the training again"
            )
        return trainer

    def _restore_progress(self, checkpoint: Path, files: Mapping[str, bytes]) -> None:
        """Restore the progress in the files of a checkpoint. Raises TrainingError for invalid ones."""
        try:
            progress = parse_json(files[PROGRESS])
            self.best, self.best_return, self.best_steps = files[BEST], progress["best_return"], progress["best_steps"]
            self.seconds, self.breaks = progress["seconds"], progress["breaks"] + 1
            self.versions = dict(progress.get("versions", {}))  # early checkpoints do not have them
        except (KeyError, TypeError, ValueError) as error:
            raise directory.damaged(checkpoint, error) from None

    @property
    def steps(self) -> int:
        """Number of interactions so far."""
        return self.trainer.steps

    def finish(self) -> Training:
        """Train for the remaining interactions, evaluate the best policy, and write all files."""
        self._log_start()
        if self.steps < self.plan.hyperparameters.steps:
            self._learn()
        self.trainer.set_parameters(self.best)
        policy = self.trainer.policy()
        self.trainer.close()
        evaluation = self._evaluation(policy)
        for name, content in self.trainer.models().items():
            write_atomic(self.out / name, content)
        policy.save(self.out)
        if find_spec("matplotlib") is not None:
            levels = {name: evaluation["policies"][name] for name in BASELINES}
            draw_curve(self.out / directory.PICTURE, self.rows, levels)
        directory.write_json(self.out / directory.EVALUATION, evaluation)
        directory.delete_checkpoints(self.out)
        return Training(self.out, policy, evaluation, self.rows)

    def _log_start(self) -> None:
        """Log notes on the number of interactions, and where a resumed training continues."""
        log_notes(self.plan)
        if self.breaks:
            log.info(f"resumed at {self.steps:,} of {self.plan.hyperparameters.total_steps:,} interactions")
            self._log_other_versions()

    def _log_other_versions(self) -> None:
        """Log the packages whose versions differ from those that wrote the checkpoint."""
        before, now = self.versions, self._versions()
        changes = [f"{name} {before[name]} to {now[name]}" for name in now if before.get(name, now[name]) != now[name]]
        if changes:
            log.info(
                f"versions changed since the checkpoint: {', '.join(changes)}; the result may differ from that of a "
                "training without interruption"
            )

    def _learn(self) -> None:
        """Train for the remaining interactions. Raises TrainingError if the training diverges."""
        try:
            self.trainer.learn(self._before_rollout)
        except (ValueError, RuntimeError):  # raised by PyTorch for NaN; names neither the cause nor the directory
            self._check_divergence()
            raise
        self._add_evaluation()

    def _check_divergence(self) -> None:
        """Raise TrainingError if a weight of the networks is not finite or too large."""
        if self.trainer.has_diverged():
            raise divergence(self.steps, f"{self.out}: ") from None

    def _before_rollout(self) -> None:
        """Evaluate the policy if an evaluation is due, or add a row to the learning curve if one is due."""
        evaluated = max((row.steps for row in self.rows if row.evaluated), default=-self.plan.eval_every)
        if self.steps - evaluated >= self.plan.eval_every:
            self._add_evaluation()
        elif row_is_due(self.rows, self.steps, self.plan.hyperparameters.total_steps):
            row = self._training_row()
            self._add_row(row)
            self._report(row)
        else:
            self._report(None)

    def _add_evaluation(self) -> None:
        """Evaluate the policy, add a row to the learning curve, and write a checkpoint."""
        row = self._training_row()
        self._check_divergence()
        row = self._with_evaluation(row)
        self._add_row(row)
        self._write_checkpoint()
        self._report(row)

    def _add_row(self, row: Row) -> None:
        """Add a row to the learning curve."""
        self.rows.append(row)
        write_curve(self.out / directory.CURVE, self.rows)

    def _report(self, row: Row | None) -> None:
        """Report the progress, and the row of the learning curve if it is new."""
        self.progress(Moment(self.steps, self.plan.hyperparameters.total_steps, row))

    def _training_row(self) -> Row:
        """Return a row with means over the episodes since the previous row."""
        return training_row(self.steps, self._seconds(), self.trainer.take_episodes())

    def _seconds(self) -> float:
        """Return the duration of the training so far in seconds, without breaks."""
        return self.seconds + perf_counter() - self._start_time

    def _with_evaluation(self, row: Row) -> Row:
        """Return a row with an evaluation of the policy, and keep its parameters if they are the best so far."""
        policy = self.trainer.policy()
        metrics = self._evaluate(policy, SELECTION, self.plan.config)
        mean_return = metrics["cumulative_reward"]["mean"]
        if mean_return > self.best_return:
            self.best, self.best_return, self.best_steps = self.trainer.parameters(), mean_return, self.steps
        specified = metrics
        if not is_specified(self.plan.config):
            specified = self._evaluate(policy, SELECTION, under_specified_reward(self.plan.config))
        return row._replace(
            seconds=self._seconds(),
            eval_return=mean_return,
            eval_return_specified=specified["cumulative_reward"]["mean"],
            eval_episode_length=metrics["total_steps"]["mean"],
            eval_final_mastery=metrics["final_mastery"]["mean"],
            eval_give_ups=metrics["give_ups"]["mean"],
        )

    def _evaluate(self, policy: str | NetworkPolicy, learners: HeldOut, config: Config) -> dict[str, StatisticJSON]:
        """Return the statistics of a policy on held-out learners, see `alsim.evaluation.held_out.evaluate`."""
        # The policy `rules` needs observations of mastery.
        observation = policy.observation if isinstance(policy, NetworkPolicy) else "mastery"
        return evaluate(
            *(policy, learners, config, self.plan.bank), observation=observation, num_threads=self.plan.num_threads
        )

    def _write_checkpoint(self) -> None:
        """Write a checkpoint of the trainer, the best parameters and the progress."""
        progress = {
            "best_return": self.best_return,
            "best_steps": self.best_steps,
            "seconds": self._seconds(),
            "breaks": self.breaks,
            "versions": self._versions(),
        }
        files = self.trainer.state() | {BEST: self.best, PROGRESS: json.dumps(progress).encode()}
        directory.write_checkpoint(self.out, self.steps, files)

    def _evaluation(self, policy: NetworkPolicy) -> dict[str, Any]:
        """Return the content of evaluation.json."""
        config = self.plan.config
        policies: dict[str, str | NetworkPolicy] = {policy.name: policy, **{name: name for name in BASELINES}}
        evaluation = {
            "learners": {"seed": EVALUATION_SEED, "first": FINAL.first, "num_learners": FINAL.num_learners},
            "policies": {name: self._evaluate(p, FINAL, config) for name, p in policies.items()},
        }
        if not is_specified(config):
            specified = under_specified_reward(config)
            evaluation["under_specified_reward"] = {
                name: self._evaluate(p, FINAL, specified) for name, p in policies.items()
            }
        evaluation["training"] = {
            "steps": self.steps,
            "requested_steps": self.plan.hyperparameters.steps,
            "seconds": round(self._seconds(), 1),
            "breaks": self.breaks,
            "best_steps": self.best_steps,
            "selected_on": {"seed": EVALUATION_SEED, "first": SELECTION.first, "num_learners": SELECTION.num_learners},
            "versions": self._versions(),
        }
        return evaluation

    def _versions(self) -> dict[str, str]:
        """Return the versions of the packages that determine the result."""
        return {name: version(name) for name in ("alsim", *self.trainer.packages)}
