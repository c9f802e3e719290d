"""A training from its settings to its evaluation, which goes on after a break."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from alsim.arguments import read_observation, read_positive, read_rules, read_seed
from alsim.bank.items import Bank
from alsim.config import REWARD_PRESETS, Config
from alsim.evaluation.held_out import (
    EVALUATION_SEED,
    FINAL,
    SELECTION,
    HeldOut,
    evaluate,
    is_specified,
    under_specified_reward,
)
from alsim.evaluation.statistics import Statistic
from alsim.policies.network import NetworkPolicy
from alsim.training import directory
from alsim.training.curve import Row, draw_curve, read_curve, write_curve
from alsim.training.settings import DQN, PPO, TrainingError, read_hyperparameters
from alsim.types import FIRST_HELD_OUT, Observation, Reason
from alsim.utils.files import write_whole
from alsim.utils.optional import require

ROWS = 200
"""Of a learning curve, beside those of evaluations."""
EVALUATIONS = 20
"""Of a training that names no interval."""
BASELINES = ("uniform", "rules")
BEST, PROGRESS = "best.pt", "progress.json"


class Moment(NamedTuple):
    """How far a training is."""

    steps: int
    total: int
    row: Row | None
    """The newest of the learning curve, if it is new."""


Progress = Callable[[Moment], None]


class TrainingPlan(NamedTuple):
    """What is trained, under which rules: the arguments of `train`, read and checked."""

    algorithm: str
    hyperparameters: PPO | DQN
    seed: int
    config: Config
    bank: Bank
    observation: Observation
    eval_every: int
    num_threads: int

    @property
    def settings(self) -> dict[str, Any]:
        """All that a training's result depends on."""
        return {
            "algorithm": self.algorithm,
            "seed": self.seed,
            "observation": self.observation,
            "eval_every": self.eval_every,
            "hyperparameters": json.loads(self.hyperparameters.model_dump_json()),
            "config": self.config.to_dict(),
            "bank": bank_digest(self.bank),
        }


@dataclass(frozen=True)
class Training:
    """A finished training.

    path        its directory
    policy      what was learnt: the best of its evaluations
    evaluation  what evaluation.json holds
    curve       the rows of curve.csv
    """

    path: Path
    policy: NetworkPolicy
    evaluation: dict[str, Any]
    curve: list[Row]


def train(
    algorithm: str = "ppo",
    *,
    out: str | Path,
    steps: int | None = None,
    num_envs: int | None = None,
    seed: int = 0,
    config: Config | Mapping[str, Any] | str | Path | None = None,
    bank: Bank | Mapping[str, Any] | str | Path | None = None,
    dynamics: Any = None,
    observation: str = "mastery",
    reward: str | None = None,
    hyperparameters: PPO | DQN | Mapping[str, Any] | str | Path | None = None,
    eval_every: int | None = None,
    num_threads: int = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> Training:
    """Train a policy with Stable-Baselines3, and evaluate it on held-out learners.

    algorithm        "ppo" or "dqn"
    out              directory to write; where an unfinished training with the same settings is, it goes on
    steps, num_envs  interactions of all lanes together, and lanes; None leaves the hyperparameters' own
    seed             of learners, networks and exploration
    config, bank, dynamics, observation   as of the environments
    reward           "specified" or "learning", in place of the configuration's weights
    hyperparameters  an object, a mapping or a TOML file; None is the defaults
    eval_every       interactions between evaluations, each of which is a checkpoint; None makes 20 of them
    num_threads      that share a step of the environment and teach in evaluations; they change no bit of either
    force            overwrite what is there
    progress         called with a Moment between rollouts

    Raises ValueError or TypeError for arguments that cannot be, TrainingError for a directory that cannot be
    written, and MissingExtra without Stable-Baselines3.
    """
    plan = read_plan(
        *(algorithm, hyperparameters, steps, num_envs, seed, config, bank, dynamics, observation, reward, eval_every),
        num_threads,
    )
    folder = Path(out)
    directory.check_directory(folder, force=force)
    torch = require("torch", "sb3", "training")
    require("stable_baselines3", "sb3", "training")
    threads = torch.get_num_threads()
    torch.set_num_threads(plan.hyperparameters.torch_threads)
    try:
        with directory.open_directory(folder, plan.settings, force=force):
            return Run(plan, folder, progress or (lambda moment: None)).finish()
    finally:
        torch.set_num_threads(threads)


def read_plan(
    algorithm: str,
    hyperparameters: Any,
    steps: int | None,
    num_envs: int | None,
    seed: int,
    config: Any,
    bank: Any,
    dynamics: Any,
    observation: str,
    reward: str | None,
    eval_every: int | None,
    num_threads: int,
) -> TrainingPlan:
    """Return the arguments of `train`, read and checked. Raises AlsimError."""
    learnt = read_hyperparameters(algorithm, hyperparameters, steps=steps, num_envs=num_envs)
    rules, items = read_rules(config, bank, dynamics)
    if reward is not None:
        if reward not in REWARD_PRESETS:
            raise TrainingError(f"reward is one of {', '.join(map(repr, REWARD_PRESETS))}; got {reward!r}")
        rules = rules.model_copy(update={"reward_weights": REWARD_PRESETS[reward]})
    interval = max(1, learnt.steps // EVALUATIONS) if eval_every is None else eval_every
    return TrainingPlan(
        algorithm=algorithm,
        hyperparameters=learnt,
        seed=read_seed(seed),
        config=rules,
        bank=items,
        observation=read_observation(observation),
        eval_every=read_positive(interval, "eval_every"),
        num_threads=read_positive(num_threads, "num_threads"),
    )


def bank_digest(bank: Bank) -> str:
    """SHA-256 of all items, in hexadecimal."""
    digest = hashlib.sha256(json.dumps([bank.outcomes, bank.questions.id, bank.contents.id]).encode())
    for column in (*bank.questions[1:], *bank.contents[1:]):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


class Run:
    """A training under way: the model, its learning curve so far, and the best of its evaluations."""

    def __init__(self, plan: TrainingPlan, out: Path, progress: Progress) -> None:
        self.plan, self.out, self.progress = plan, out, progress
        self.rows: list[Row] = []
        self.best: bytes = b""
        self.best_return, self.best_steps = -np.inf, 0
        self.seconds, self.breaks = 0.0, 0
        self.episodes: list[tuple[float, int, float, bool]] = []
        self._take_up(directory.latest_checkpoint(out))
        self._since = perf_counter()

    def _take_up(self, checkpoint: Path | None) -> None:
        """Make the model, as it was at a checkpoint if there is one."""
        from alsim.envs.sb3 import make
        from alsim.training import sb3

        plan, files = self.plan, {}
        if checkpoint is not None:
            files = directory.read_checkpoint(checkpoint)
            told = json.loads(files[PROGRESS])
            self.best, self.best_return, self.best_steps = files[BEST], told["best_return"], told["best_steps"]
            self.seconds, self.breaks = told["seconds"], told["breaks"] + 1
        lanes = plan.hyperparameters.num_envs
        env = make(
            lanes,
            config=plan.config,
            bank=plan.bank,
            observation=plan.observation,
            seed=plan.seed,
            # After a break, learners that nobody met: how far each lane's was is not part of a checkpoint.
            first_learner=self.breaks * lanes % (FIRST_HELD_OUT - lanes + 1),
            num_threads=plan.num_threads,
        )
        self.model = sb3.new_model(plan.hyperparameters, env, plan.seed, plan.seed + self.breaks)
        if checkpoint is not None:
            sb3.set_state(self.model, files)
            kept = read_curve(self.out / directory.CURVE)
            self.rows = [row for row in kept if row.steps <= self.steps]
            if not self.rows or self.rows[-1].steps != self.steps:
                raise TrainingError(
                    f"{self.out / directory.CURVE} lacks the row of {checkpoint}, at {self.steps:,} interactions; "
                    "force begins anew"
                )

    @property
    def steps(self) -> int:
        """Interactions so far."""
        return int(self.model.num_timesteps)

    def finish(self) -> Training:
        """Train what is left, evaluate, and write all of it."""
        from alsim.training import sb3

        left = self.plan.hyperparameters.steps - self.steps
        if left > 0:
            self._learn(left)
        sb3.set_parameters(self.model, self.best)
        policy = self._policy()
        self.model.get_env().close()
        evaluation = self._evaluation(policy)
        stream = io.BytesIO()
        self.model.save(stream)
        write_whole(self.out / directory.MODEL, stream.getvalue())
        policy.save(self.out)
        levels = {name: evaluation["policies"][name] for name in BASELINES}
        draw_curve(self.out / directory.PICTURE, self.rows, levels)
        directory.write_json(self.out / directory.EVALUATION, evaluation)
        directory.delete_checkpoints(self.out)
        return Training(self.out, policy, evaluation, self.rows)

    def _learn(self, left: int) -> None:
        """Train for so many interactions. Raises TrainingError if the networks' numbers grow beyond all bounds."""
        from alsim.training import sb3

        watch = sb3.Watch(self._ended, self._rest)
        try:
            # Stable-Baselines3 adds what is done already to what it is asked for.
            self.model.learn(left, callback=watch, reset_num_timesteps=False, log_interval=None)
        except ValueError:  # PyTorch's, which names neither the cause nor the directory
            self._refuse_divergence()
            raise
        self._look(evaluating=True)

    def _refuse_divergence(self) -> None:
        """Raise TrainingError if the networks are of no use any more."""
        from alsim.training import sb3

        if sb3.has_diverged(self.model):
            raise TrainingError(
                f"{self.out}: the training diverged, after {self.steps:,} interactions: its networks have weights that "
                f"are not finite, or beyond {sb3.LARGEST:,}; a lower learning_rate keeps them small"
            ) from None

    def _ended(self, earned: float, length: int, mastery: float, reason: str) -> None:
        """Note an episode."""
        self.episodes.append((earned, length, mastery, reason == Reason.CRITICAL_FRUSTRATION.word))

    def _rest(self) -> None:
        """Look whether a row or an evaluation is due."""
        evaluated = max((row.steps for row in self.rows if row.evaluated), default=-self.plan.eval_every)
        written = self.rows[-1].steps if self.rows else -1
        if self.steps - evaluated >= self.plan.eval_every:
            self._look(evaluating=True)
        elif self.steps - written >= self.plan.hyperparameters.steps / ROWS:
            self._look(evaluating=False)
        else:
            self.progress(Moment(self.steps, self.plan.hyperparameters.steps, None))

    def _look(self, *, evaluating: bool) -> None:
        """Add a row to the curve; with an evaluation, keep what is best and make a checkpoint."""
        row = self._row()
        if evaluating:
            self._refuse_divergence()
            row = self._evaluated(row)
        self.rows.append(row)
        write_curve(self.out / directory.CURVE, self.rows)
        if evaluating:
            self._checkpoint()
        self.progress(Moment(self.steps, self.plan.hyperparameters.steps, row))

    def _row(self) -> Row:
        episodes, self.episodes = self.episodes, []
        if not episodes:
            return Row(self.steps, self._seconds(), 0, None, None, None, None)
        means = (float(np.mean(column)) for column in zip(*episodes, strict=True))
        return Row(self.steps, self._seconds(), len(episodes), *means)

    def _seconds(self) -> float:
        return self.seconds + perf_counter() - self._since

    def _policy(self) -> NetworkPolicy:
        from alsim.training.actors import policy_of

        h = self.plan.hyperparameters
        epsilon = h.epsilon if isinstance(h, DQN) else 0.0
        return policy_of(self.model, epsilon=epsilon, observation=self.plan.observation)

    def _evaluated(self, row: Row) -> Row:
        """Return a row with an evaluation of the model as it is, and keep the model if it is the best so far."""
        from alsim.training import sb3

        policy = self._policy()
        found = self._judge(policy, SELECTION, self.plan.config)
        earned = found["cumulative_reward"]["mean"]
        if earned > self.best_return:
            self.best, self.best_return, self.best_steps = sb3.parameters_of(self.model), earned, self.steps
        specified = found
        if not is_specified(self.plan.config):
            specified = self._judge(policy, SELECTION, under_specified_reward(self.plan.config))
        return row._replace(
            seconds=self._seconds(),
            eval_return=earned,
            eval_return_specified=specified["cumulative_reward"]["mean"],
            eval_episode_length=found["total_steps"]["mean"],
            eval_final_mastery=found["final_mastery"]["mean"],
            eval_give_ups=found["give_ups"]["mean"],
        )

    def _judge(self, policy: str | NetworkPolicy, learners: HeldOut, config: Config) -> dict[str, Statistic]:
        observation = policy.observation if isinstance(policy, NetworkPolicy) else "mastery"  # what `rules` reads
        return evaluate(
            *(policy, learners, config, self.plan.bank), observation=observation, num_threads=self.plan.num_threads
        )

    def _checkpoint(self) -> None:
        from alsim.training import sb3

        told = {
            "best_return": self.best_return,
            "best_steps": self.best_steps,
            "seconds": self._seconds(),
            "breaks": self.breaks,
        }
        files = sb3.state_of(self.model) | {BEST: self.best, PROGRESS: json.dumps(told).encode()}
        directory.write_checkpoint(self.out, self.steps, files)

    def _evaluation(self, policy: NetworkPolicy) -> dict[str, Any]:
        """Return what evaluation.json holds."""
        config = self.plan.config
        judged: dict[str, str | NetworkPolicy] = {policy.name: policy, **{name: name for name in BASELINES}}
        found = {
            "learners": {"seed": EVALUATION_SEED, "first": FINAL.first, "num_learners": FINAL.num_learners},
            "policies": {name: self._judge(p, FINAL, config) for name, p in judged.items()},
        }
        if not is_specified(config):
            specified = under_specified_reward(config)
            found["under_specified_reward"] = {name: self._judge(p, FINAL, specified) for name, p in judged.items()}
        found["training"] = {
            "steps": self.steps,
            "seconds": round(self._seconds(), 1),
            "breaks": self.breaks,
            "best_steps": self.best_steps,
            "selected_on": {"seed": EVALUATION_SEED, "first": SELECTION.first, "num_learners": SELECTION.num_learners},
            "versions": {name: version(name) for name in ("alsim", "stable-baselines3", "torch", "numpy", "numba")},
        }
        return found
