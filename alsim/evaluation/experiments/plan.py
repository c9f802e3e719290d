"""Plans of experiments in TOML: arms, students, metrics and tests."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError

from alsim.arguments import read_rules
from alsim.assignment import Experiment
from alsim.bank.items import Bank
from alsim.config import Config, independent_unit
from alsim.config.sections import Count, Section, Share, error_message
from alsim.errors import AlsimError, did_you_mean
from alsim.evaluation.experiments.asymptotic import FIRST
from alsim.evaluation.experiments.student_metrics import StudentMetric, read_student_metric
from alsim.utils.reading import MAX_TOML, missing_file_cure, read_text, read_toml, reason

SHIPPED = ("learning", "mastery", "classes")
"""Names of the plans that are part of the package."""
LEAST = 4
"""Least number of students or classes per arm: with fewer, chance often leaves an arm without two of them."""
LARGEST = 10**9
"""Largest number of students of all repetitions."""
Level = Annotated[float, Field(gt=0, lt=1)]


class Arm(Section):
    """One arm of a planned experiment."""

    text_keys = frozenset({"policy"})

    policy: str
    """Policy of its students: a name, the directory of a trained one, or module:Class."""
    share: Annotated[float, Field(gt=0, lt=1)]
    """Expected share of the students, or of the classes."""


class ExperimentPlan(Section):
    """Plan of an experiment with simulated students."""

    text_keys: ClassVar[frozenset[str]] = frozenset(
        {"name", "metrics", "unit", "method", "dynamics", "covariate", "config"}
    )

    name: str
    """Name of the experiment, on which the assignment depends."""
    arms: dict[str, Arm]
    """Arms by name; the first one is the control."""
    students: Count
    """Number of students of one experiment, in all arms together."""
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Seed of the simulated students."""
    repetitions: Annotated[int, Field(ge=100)] = 1000
    """Number of rehearsals."""
    metrics: tuple[str, ...] = ("learning/interactions",)
    """Metrics that are tested; the first one is the primary one."""
    guardrails: dict[str, float] = {"give_up_rate": 0.02, "interactions": -5.0}
    """Tolerated change of each guardrail metric: a rise if it is positive, a fall if it is negative."""
    covariate: Literal["", "starting_mastery"] = ""
    """Covariate measured before assignment, for CUPED; empty: none."""
    unit: Literal["student", "class"] = "student"
    """Unit that is assigned to an arm."""
    cluster_robust: bool = True
    """Whether standard errors count classes as units; must be true if classes are assigned."""
    method: Literal["fixed", "sequential"] = "fixed"
    """Test: once at the planned end, or at each look."""
    looks: Annotated[int, Field(ge=1, le=1000)] = 20
    """Number of looks at the data, equally spaced; a fixed test uses the last one only."""
    confidence: Level = 0.95
    """Level of the intervals; 1 - confidence is the nominal rate of false alarms."""
    power: Level = 0.8
    """Power for which the minimum effect is computed."""
    most_censored: Share = 0.9
    """Largest share of students for whom a metric may be censored."""
    dynamics: str = "standard"
    """Dynamics of the simulated students."""
    config: dict[str, Any] | str = {}
    """Configuration of the simulator, as a table or the path of its file."""

    @property
    def control(self) -> str:
        """Name of the first arm."""
        return next(iter(self.arms))

    @property
    def tested(self) -> tuple[StudentMetric, ...]:
        """Metrics that are tested, the primary one first."""
        return tuple(read_student_metric(text, "metrics") for text in self.metrics)

    @property
    def guarded(self) -> dict[StudentMetric, float]:
        """Tolerated change of each guardrail."""
        return {read_student_metric(text, "guardrails"): margin for text, margin in self.guardrails.items()}

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all values per student that the analysis needs."""
        wanted = [column for metric in (*self.tested, *self.guarded) for column in metric.columns]
        return tuple(dict.fromkeys([*wanted, *([self.covariate] if self.covariate else [])]))

    @property
    def experiment(self) -> Experiment:
        """Assignment of the students, or of the classes."""
        return Experiment(self.name, {name: arm.share for name, arm in self.arms.items()}, unit=self.unit)

    def rules(self) -> tuple[Config, Bank]:
        """Return configuration and bank of the simulated students. Raises AlsimError for invalid ones."""
        return read_rules(self.config or None, None, self.dynamics)


def read_experiment_plan(source: ExperimentPlan | Mapping[str, Any] | str | Path) -> ExperimentPlan:
    """Return a plan from a TOML file, a mapping with its keys, or the name of a plan of the package.

    Raises AlsimError for a file that cannot be read, unknown keys, and values that contradict each other.
    """
    if isinstance(source, ExperimentPlan):
        return source
    tables, where = (source, "plan") if isinstance(source, Mapping) else _read(source)
    try:
        plan = ExperimentPlan(**tables)
    except ValidationError as error:
        raise AlsimError(f"{where}: {_fault(error)}") from None
    _check(plan, where)
    return plan


def _fault(error: ValidationError) -> str:
    """Return the first fault of a plan as a sentence; an unknown key before a missing one, which it may stand for."""
    found = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")[0]
    key = ".".join(map(str, found["loc"]))
    if found["type"] == "missing":
        return f"the key {key} is missing: add it"
    if found["type"] == "tuple_type":
        return f'{key} = {found["input"]!r:.100}: expected a list of names, such as ["learning/interactions"]'
    return error_message(found, ExperimentPlan)


def plan_text(name: str) -> str:
    """Return the content of a plan of the package."""
    return read_text(_shipped(name), MAX_TOML, encoding="utf-8")


def _shipped(name: str) -> str:
    """Return the path of a plan of the package. Raises AlsimError for another name."""
    if name not in SHIPPED:
        raise AlsimError(
            f"there is no plan {name!r:.100} in the package{did_you_mean(name, SHIPPED)}; it has {', '.join(SHIPPED)}"
        )
    return str(files("alsim.evaluation.experiments").joinpath("plans", f"{name}.toml"))


def _read(source: str | Path) -> tuple[dict[str, Any], str]:
    """Return the tables of a plan, and its name for messages."""
    path = Path(source)
    if str(source) in SHIPPED and not path.exists():
        return read_toml(_shipped(str(source))), str(source)
    try:
        return read_toml(path), str(path)
    except FileNotFoundError:
        cure = did_you_mean(str(source), SHIPPED) or f"; {missing_file_cure(path)}"
        raise AlsimError(f"there is no plan {path}{cure}, or use one of {', '.join(SHIPPED)}") from None
    except (OSError, ValueError) as error:
        raise AlsimError(f"{path} is no plan of an experiment: {reason(error)}; correct the file") from None


def _check(plan: ExperimentPlan, where: str) -> None:
    """Raise AlsimError for values that contradict each other."""
    if len(plan.arms) < 2:
        raise AlsimError(f"{where}: an experiment needs at least 2 arms; got {len(plan.arms)}: add a table [arms.NAME]")
    total = sum(arm.share for arm in plan.arms.values())
    if abs(total - 1) > 1e-9:
        raise AlsimError(f"{where}: the shares of the arms must add up to 1; got {total:g}: divide them by it")
    if not plan.metrics:
        raise AlsimError(f"{where}: metrics must name at least one metric; got none: add learning/interactions")
    try:
        _ = plan.tested, plan.guarded, plan.experiment  # raise for invalid ones
    except AlsimError as error:
        raise AlsimError(f"{where}: {error}") from None
    if zero := [name for name, margin in plan.guardrails.items() if margin == 0]:
        raise AlsimError(
            f"{where}: the tolerated change of the guardrail {zero[0]} must not be 0, as its sign tells the direction; "
            "use a small number"
        )
    if plan.students < plan.looks * 2 * len(plan.arms):
        raise AlsimError(
            f"{where}: {plan.students} students are too few for {plan.looks} looks at {len(plan.arms)} arms: use more "
            "students, or fewer looks"
        )
    if plan.students * plan.repetitions > LARGEST:
        raise AlsimError(f"{where}: students times repetitions must be at most {LARGEST:,}: use fewer repetitions")
    unit = independent_unit(plan.rules()[0].to_dict())
    units, kind = plan.students, "students"
    if unit.name == "class":
        _check_classes(plan, unit.size, where)
        units, kind = plan.students // unit.size, "classes"
    elif plan.unit == "class":
        raise AlsimError(
            f"{where}: unit = 'class' needs effects of classes: add a table [config.classes] with size and mastery_std"
        )

    if (plan.unit == "class" and units < LEAST * len(plan.arms)) or units < 2 * LEAST:
        raise AlsimError(f"{where}: {units} {kind} are too few for {len(plan.arms)} arms: plan {LEAST} for each arm")
    if plan.method == "sequential" and units < FIRST:
        raise AlsimError(
            f"{where}: {units} {kind} are too few for a confidence sequence, which begins at {FIRST}: plan more, or "
            "use method = 'fixed'"
        )


def _check_classes(plan: ExperimentPlan, size: int, where: str) -> None:
    """Raise AlsimError if students of a class would count as independent, and for incomplete classes."""
    if not plan.cluster_robust:
        raise AlsimError(
            f"{where}: students of a class are not independent here, so the errors must be cluster-robust: remove "
            "cluster_robust = false"
        )
    if plan.students % size:
        raise AlsimError(
            f"{where}: students must be a multiple of the class size, {size}; got {plan.students}: use "
            f"{-(-plan.students // size) * size}"
        )


__all__ = ["SHIPPED", "Arm", "ExperimentPlan", "plan_text", "read_experiment_plan"]
