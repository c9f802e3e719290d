"""Configuration: one definition for each hyperparameter; the defaults are the specification.

Sections and keys are those of SIMULATOR_CONFIG in the specification. Values that the specification states elsewhere
have additional keys. The parameters of a dynamics are defined by that dynamics.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self, get_type_hints

import numpy as np
from pydantic import Field, ValidationError, create_model, field_serializer, field_validator, model_validator
from pydantic_core import PydanticCustomError

from alsim.config.population import Population, PopulationError, Row
from alsim.config.sections import (
    Change,
    Count,
    GuessingRange,
    NotNegative,
    Positive,
    PositiveRange,
    Range,
    Section,
    Shape,
    Share,
    ShareRange,
    Spread,
    error_message,
)
from alsim.curriculum import Curriculum, CurriculumError
from alsim.dynamics import DYNAMICS, Moment, find_dynamics, known_dynamics, of_parameters, unknown_dynamics
from alsim.dynamics.parameters import Word
from alsim.dynamics.standard import Standard
from alsim.errors import AlsimError, did_you_mean
from alsim.mdp.actions import MOST_LOS
from alsim.types import MAX_LEARNERS, MODALITIES, Ints, i32
from alsim.utils.reading import read_toml, reason

BANK_KEYS = (
    *("num_los", "num_questions_per_lo", "num_contents_per_lo", "questions_per_difficulty", "irt", "content", "bank"),
)
"""Keys that determine a sampled bank (clauses S2.1 to S2.4)."""
MOST_STEPS = 2**31 - 2
"""Largest step limit: the number of the next step must fit in int32."""


class DifficultyRanges(Section):
    """Ranges of b, logits, by difficulty."""

    easy: Range = (-2.0, -0.5)
    medium: Range = (-0.5, 0.5)
    hard: Range = (0.5, 2.0)


class DiscriminationRanges(Section):
    """Ranges of a, 1/logit, by difficulty."""

    easy: PositiveRange = (0.5, 1.0)
    medium: PositiveRange = (1.0, 1.5)
    hard: PositiveRange = (1.5, 2.0)


class Split(Section):
    """Number of questions of each difficulty per learning outcome."""

    easy: Count
    medium: Count
    hard: Count


class Irt(Section):
    """Ranges from which the parameters of questions are drawn (clause S2.2)."""

    difficulty_ranges: DifficultyRanges = DifficultyRanges()
    discrimination_ranges: DiscriminationRanges = DiscriminationRanges()
    guessing_range: GuessingRange = (0.10, 0.25)
    response_time_mean: Positive = 30.0  # seconds
    response_time_std: NotNegative = 10.0  # seconds
    max_response_time: Positive = 120.0  # seconds


class EffectivenessByModality(Section):
    """Ranges of the mastery gained at mastery 0 and frustration 0, by modality."""

    video: ShareRange = (0.10, 0.15)
    PPT: ShareRange = (0.08, 0.12)
    text: ShareRange = (0.05, 0.08)
    blog: ShareRange = (0.07, 0.10)
    article: ShareRange = (0.06, 0.09)
    handout: ShareRange = (0.05, 0.08)


class DurationByModality(Section):
    """Ranges of durations, minutes, by modality."""

    video: PositiveRange = (15.0, 25.0)
    PPT: PositiveRange = (10.0, 20.0)
    text: PositiveRange = (5.0, 10.0)
    blog: PositiveRange = (8.0, 15.0)
    article: PositiveRange = (10.0, 18.0)
    handout: PositiveRange = (5.0, 12.0)


class ImpactByModality(Section):
    """Change of frustration, by modality."""

    video: Change = -0.08
    PPT: Change = -0.05
    text: Change = 0.02
    blog: Change = -0.03
    article: Change = 0.0
    handout: Change = 0.05


class Content(Section):
    """Ranges from which contents are drawn (clause S2.3)."""

    effectiveness_by_modality: EffectivenessByModality = EffectivenessByModality()
    duration_by_modality: DurationByModality = DurationByModality()
    frustration_impact_by_modality: ImpactByModality = ImpactByModality()


class LearnerStart(Section):
    """Distributions of the starting state of learners (clauses S1.1, S1.2)."""

    mastery_alpha: Shape = 2.0
    mastery_beta: Shape = 5.0
    ability_mean: float = 0.0  # logits
    ability_std: NotNegative = 1.0  # logits


class RewardConfig(Section):
    """Weights of the reward (clauses S6.1 to S6.3)."""

    correctness: float = 1.0
    mastery_gain: float = 0.5
    frustration_penalty: float = 0.3
    post_content_gain: float = 2.0
    engagement: float = 0.5
    recall: float = 0.0


REWARD_PRESETS: dict[str, RewardConfig] = {
    "specified": RewardConfig(),
    "learning": RewardConfig(
        correctness=0.0, mastery_gain=1.0, frustration_penalty=0.0, post_content_gain=1.0, engagement=0.0
    ),
    "recall": RewardConfig(
        correctness=0.0, mastery_gain=0.0, frustration_penalty=0.0, post_content_gain=0.0, engagement=0.0, recall=1.0
    ),
}
"""Presets of the reward weights by name (clause S6.3): those of the specification, the mastery gained, and the change
of recall after `retention.delay_hours`."""


class TerminationConfig(Section):
    """Thresholds at which an episode ends before its step limit (clause S7.1)."""

    mastery_threshold: Share = 0.8
    max_frustration: Share = 0.95


class Metrics(Section):
    """Settings of the metrics (clause S9.2)."""

    blueprint: tuple[Share, Share, Share] = (0.2, 0.6, 0.2)

    @field_validator("blueprint")
    @classmethod
    def _sums_to_one(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the shares, or raise if they do not sum to 1."""
        if abs(sum(value) - 1) > 1e-6:
            raise PydanticCustomError("blueprint", "shares of Easy, Medium and Hard that sum to 1")
        return value


class SessionSettings(Section):
    """Breaks within an episode (clause S13.1)."""

    text_keys = frozenset({"observe_at"})

    interactions: Annotated[int, Field(ge=1, le=MOST_STEPS)]
    """Interactions between two breaks."""
    break_hours: NotNegative
    """Length of a break, hours."""
    observe_at: Moment | None = None
    """When the recall of all LOs is observed, if learners forget: "interaction", after each; "break", after each break,
    which is faster; None: as the dynamics declares."""


class ClassSettings(Section):
    """Effects that the learners of a class share (clause S12.2)."""

    size: Annotated[int, Field(ge=1, le=MAX_LEARNERS)]
    """Learners per class: learner // size is the class of a learner."""
    mastery_std: Spread = 0.0
    """Standard deviation of the shift of starting masteries between classes, logits."""
    ability_std: Spread = 0.0
    """Standard deviation of the shift of starting ability between classes, logits."""


class Retention(Section):
    """Settings of delayed retention (clause S13.3)."""

    delay_hours: NotNegative = 24.0
    """Hours between the last interaction and the recall."""


class BankSettings(Section):
    """Settings of the sampled bank (clause S2.4)."""

    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0


class Config(Section):
    """The configuration of a simulator; `Config()` is the specification."""

    text_keys = frozenset({"dynamics", "reward_weights", "population", "curriculum"})

    num_los: Annotated[int, Field(ge=1, le=MOST_LOS)] = 30
    num_questions_per_lo: Annotated[int, Field(ge=3, le=1_000_000)] = 20
    num_contents_per_lo: Annotated[int, Field(ge=len(MODALITIES), le=1_000_000)] = 6
    max_episode_steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 140
    questions_per_difficulty: Split | None = None
    irt: Irt = Irt()
    content: Content = Content()
    learner: LearnerStart = LearnerStart()
    dynamics: Any = Field(default=Standard(), validate_default=True)
    reward_weights: RewardConfig = RewardConfig()
    termination: TerminationConfig = TerminationConfig()
    metrics: Metrics = Metrics()
    population: Any = Field(default=None, validate_default=True)
    classes: ClassSettings | None = None
    curriculum: Any = Field(default=None, validate_default=True)
    sessions: SessionSettings | None = None
    retention: Retention = Retention()
    bank: BankSettings = BankSettings()

    @field_validator("reward_weights", mode="before")
    @classmethod
    def _read_preset(cls, value: object) -> object:
        """Return the reward weights of a preset, or the value itself if it is not a string."""
        if isinstance(value, str):
            if value not in REWARD_PRESETS:
                raise PydanticCustomError("preset", f"a table, or one of {', '.join(map(repr, REWARD_PRESETS))}")
            return REWARD_PRESETS[value]
        return value

    @field_validator("dynamics", mode="before")
    @classmethod
    def _read_dynamics(cls, value: object) -> object:
        """Return the parameters of a dynamics from its name, a table {name = ..., parameters}, or the parameters."""
        name: object = "standard"
        table: dict[Any, Any] = {}
        if isinstance(value, str):
            name = value
        elif isinstance(value, Mapping):
            table = dict(value)
            name = table.pop("name", name)
        else:
            name = next((known.name for known in DYNAMICS.values() if known.parameters is type(value)), None)
            table = _with_words(value) if name is not None else table
        if not isinstance(name, str) or (dynamics := find_dynamics(name)) is None:
            known = ", ".join(known_dynamics(without=name))
            expected = f"a registered dynamics: {known}; {unknown_dynamics(str(name))}"
            raise PydanticCustomError("dynamics", "{expected}", {"expected": expected})
        parameters: Any = dynamics.parameters
        return parameters(**_read_parameters(parameters, table))

    @field_validator("population", mode="before")
    @classmethod
    def _read_population(cls, value: object) -> object:
        """Return a population from its rows or a table, or None."""
        try:
            return None if value is None else Population.read(value)
        except PopulationError as error:
            raise PydanticCustomError("population", "{fault}", {"fault": str(error)}) from None

    @field_validator("curriculum", mode="before")
    @classmethod
    def _read_curriculum(cls, value: object) -> object:
        """Return a curriculum from its edges or a file, or None."""
        try:
            return None if value is None else Curriculum.read(value)
        except CurriculumError as error:
            raise PydanticCustomError("curriculum", "{fault}", {"fault": str(error)}) from None

    @model_validator(mode="after")
    def _check_curriculum(self) -> Self:
        """Raise if the dynamics reads prerequisites, and there is no curriculum."""
        if self.reads_parents and self.curriculum is None:
            dynamics = of_parameters(type(self.dynamics))
            condition = f" if {dynamics.reads_parents} > 0" if isinstance(dynamics.reads_parents, str) else ""
            raise PydanticCustomError(
                "curriculum",
                f"the dynamics {dynamics.name!r} reads prerequisites{condition}, but the configuration has no "
                "curriculum; set curriculum to a file, or to pairs of outcomes such as [[0, 1], [1, 2]]",
            )
        return self

    @model_validator(mode="after")
    def _check_population(self) -> Self:
        """Raise unless the rows of the population override existing parameters with valid values."""
        for k, row in enumerate(() if self.population is None else self.population.rows):
            try:
                _check_row(row, type(self.dynamics))
            except PydanticCustomError as error:
                fault = f"row {k} of the population: {error.message()}"
                raise PydanticCustomError("population", "{fault}", {"fault": fault}) from None
        return self

    @field_serializer("curriculum")
    def _curriculum_to_edges(self, value: Any) -> list[list[int | str]] | None:
        """Return the edges of the curriculum."""
        return None if value is None else [list(edge) for edge in value.edges]

    @field_serializer("population")
    def _population_to_rows(self, value: Any) -> list[dict[str, Any]] | None:
        """Return the rows of the population."""
        return None if value is None else value.to_rows()

    @field_serializer("dynamics")
    def _dynamics_to_table(self, value: Any) -> dict[str, Any]:
        """Return the name and the parameters of a dynamics."""
        return {"name": of_parameters(type(value)).name, **_with_words(value)}

    @model_validator(mode="after")
    def _check_split(self) -> Self:
        """Raise unless the numbers of questions by difficulty sum to the questions per learning outcome."""
        split = self.questions_per_difficulty
        if split is not None and split.easy + split.medium + split.hard != self.num_questions_per_lo:
            raise PydanticCustomError(
                "split",
                f"questions_per_difficulty = {split.model_dump()}: expected numbers that sum to "
                f"num_questions_per_lo = {self.num_questions_per_lo}",
            )
        return self

    @classmethod
    def load(cls, path: str | Path, **replaced: Any) -> Config:
        """Return the configuration in a TOML file; missing keys have their defaults.

        replaced  see `read`

        Raises ConfigError, which names the file, the key, its value and the expected value.
        """
        try:
            table = read_toml(path)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{path}: cannot be read as a TOML file: {reason(error)}; "
                "`alsim init-config` writes a valid configuration"
            ) from None
        for key in ("population", "curriculum"):
            if isinstance(table.get(key), str):  # relative to the file that names it
                table[key] = str(Path(path).parent / table[key])
        try:
            return cls.read(table, **replaced)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @classmethod
    def read(cls, source: Config | Mapping[str, Any] | str | Path | None, **replaced: Any) -> Config:
        """Return a configuration read from a mapping or a TOML file, or `source` itself if it is a Config.

        source    None stands for the defaults
        replaced  values of keys that replace those of the source, before the values are checked

        Raises ConfigError for other sources and for invalid configurations.
        """
        if isinstance(source, Config):
            if not replaced:
                return source
            source = source.to_dict()
        if isinstance(source, str | Path):
            return cls.load(source, **replaced)
        if not isinstance(source, Mapping | None):
            raise ConfigError(f"a configuration must be a Config, a mapping or the path of a TOML file; got {source!r}")
        try:
            return cls.model_validate({**(source or {}), **replaced})
        except ValidationError as error:
            raise ConfigError("; ".join(error_message(e, cls) for e in error.errors())) from None

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as nested dicts that JSON can represent.

        Raises TypeError for parameters of an earlier definition of a dynamics.
        """
        of_parameters(type(self.dynamics))  # pydantic would wrap the error of the serializer in its own
        return dict(json.loads(self.model_dump_json()))

    @property
    def population_names(self) -> tuple[str, ...]:
        """Names of the rows of the population; without one, all learners have the row "all"."""
        return ("all",) if self.population is None else self.population.names

    def population_rows_of(self, seed: int, learners: Any) -> Ints:
        """Return the row of the population of each learner of a seed, (N,), see `Population.rows_of`."""
        if self.population is None:
            return np.zeros(len(learners), i32)
        rows: Ints = self.population.rows_of(seed, learners)
        return rows

    def overrides(self, part: str) -> list[dict[str, float]]:
        """Return the values of "dynamics" or "learner" that each row of the population replaces, as numbers."""
        if part == "learner":
            return [row.learner for row in self.population.rows]
        kind: Any = type(self.dynamics)
        return [{**row.dynamics, **_numbers_of_words(kind, row.dynamics)} for row in self.population.rows]

    @property
    def reads_parents(self) -> bool:
        """True if the rules of some learners read the mastery of prerequisites."""

        def values(parameter: str) -> list[Any]:
            rows = () if self.population is None else self.overrides("dynamics")
            return [getattr(self.dynamics, parameter), *(row[parameter] for row in rows if parameter in row)]

        return of_parameters(type(self.dynamics)).parents_matter(values)

    def with_single_row(self) -> Config:
        """Return the same rules without a population if it has only one row, whose values apply to all learners."""
        if self.population is None or len(self.population) > 1:
            return self
        changes = {"dynamics": self.dynamics._replace(**self.overrides("dynamics")[0]), "population": None}
        learner = self.learner.model_copy(update=self.overrides("learner")[0])
        return self.model_copy(update={**changes, "learner": learner})

    def split(self) -> tuple[int, int, int]:
        """Return the number of Easy, Medium and Hard questions per learning outcome (clause S2.1)."""
        if self.questions_per_difficulty is not None:
            split = self.questions_per_difficulty
            return split.easy, split.medium, split.hard
        each, rest = divmod(self.num_questions_per_lo, 3)
        return each + (rest > 0), each + (rest > 1), each


class ConfigError(AlsimError):
    """An invalid configuration: the message names the key, its value and the expected value."""


def _read_parameters(parameters: Any, table: Mapping[Any, Any], *, some: bool = False) -> dict[str, Any]:
    """Return the values in a table of a dynamics' parameters, with the numbers that stand for words.

    some  whether the table may leave out parameters without a default

    Raises PydanticCustomError, which names the invalid values.
    """
    named = _numbers_of_words(parameters, table)
    others = {k: v for k, v in table.items() if k not in named}
    return {**_validated(_parameter_model(parameters, some), others, "dynamics", _words_of(parameters)), **named}


def _check_row(row: Row, parameters: Any) -> None:
    """Raise PydanticCustomError unless a row of a population overrides existing parameters with valid values."""
    if "name" in row.dynamics:
        fault = f"a row cannot choose a dynamics; got {row.dynamics['name']!r}: set dynamics.name for all rows"
        raise PydanticCustomError("parameter", "{fault}", {"fault": fault})
    if row.dynamics:
        _read_parameters(parameters, row.dynamics, some=True)
    if row.learner:
        _validated(LearnerStart, row.learner, "learner")


def _numbers_of_words(parameters: Any, table: Mapping[Any, Any]) -> dict[str, float]:
    """Return the numbers that stand for the words among the parameters in a table."""
    words = _words_of(parameters)
    return {k: words[k].number for k, v in table.items() if k in words and isinstance(v, str) and v == words[k].word}


def _validated(
    model: type[Section], table: Mapping[Any, Any], part: str, words: Mapping[str, Word] | None = None
) -> dict[str, Any]:
    """Return the values in a table. Raises PydanticCustomError, which names the invalid ones.

    part   name of the table, for messages
    words  parameters that may also be a word
    """
    try:
        return model.model_validate(dict(table)).model_dump(exclude_unset=True)
    except ValidationError as error:
        faults = "; ".join(f"{part}.{error_message(e, model)}{_or_word(e, words or {})}" for e in error.errors())
        raise PydanticCustomError("parameter", "{faults}", {"faults": faults}) from None


@cache
def _words_of(parameters: Any) -> dict[str, Word]:
    """Return the parameters of a dynamics that may be a word."""
    hints = get_type_hints(parameters, include_extras=True)
    words = {
        name: [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Word)] for name, hint in hints.items()
    }
    return {name: found[0] for name, found in words.items() if found}


def _or_word(error: Any, words: Mapping[str, Word]) -> str:
    """Return the end of a message about a parameter that may also be a word; "" for another one."""
    key = error["loc"][0] if error["loc"] else ""
    return f", or {words[key].word!r}" if key in words else ""


def _with_words(value: Any) -> dict[str, Any]:
    """Return the parameters of a dynamics in which words have replaced the numbers that stand for them."""
    kind: Any = type(value)
    words = _words_of(kind)
    return {k: words[k].word if k in words and v == words[k].number else v for k, v in value._asdict().items()}


@cache
def _parameter_model(parameters: Any, some: bool) -> type[Section]:
    """Return a subclass of Section with the fields of a dynamics' parameters, their bounds and their defaults.

    some  whether fields may be absent; their defaults are then not checked
    """
    defaults = parameters._field_defaults
    fields = {
        name: (hint, Field(None) if some else Field(defaults.get(name, ...), validate_default=True))
        for name, hint in get_type_hints(parameters, include_extras=True).items()
    }
    return create_model(parameters.__name__, __base__=Section, **fields)  # type: ignore[call-overload, no-any-return]


CONFIG_PRESETS = ("default", "spaced")
"""Configurations that are shipped as TOML: the defaults, and spaced practice over weeks."""


def default_toml() -> str:
    """Return the defaults as TOML with comments; ``alsim init-config`` writes this text."""
    return preset_toml("default")


def preset_toml(name: str) -> str:
    """Return a shipped configuration, one of CONFIG_PRESETS, as TOML with comments. Raises ConfigError for another."""
    if name not in CONFIG_PRESETS:
        cure = did_you_mean(name, CONFIG_PRESETS)
        raise ConfigError(f"preset must be one of {', '.join(map(repr, CONFIG_PRESETS))}; got {name!r}{cure}")
    return resources.files("alsim").joinpath(f"{name}.toml").read_text(encoding="utf-8")
