"""Configuration: one definition for each hyperparameter; the defaults are the specification.

Sections and keys are those of SIMULATOR_CONFIG in the specification. Values that the specification states elsewhere
have additional keys. The parameters of a dynamics are defined by that dynamics.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from alsim.dynamics import DYNAMICS, find_dynamics, known_dynamics, of_parameters, unknown_dynamics
from alsim.dynamics.standard import Standard
from alsim.errors import AlsimError, did_you_mean
from alsim.mdp.actions import MOST_LOS
from alsim.types import LONGEST_REPR, MODALITIES
from alsim.utils.reading import read_toml, reason

Share = Annotated[float, Field(ge=0, le=1)]
Change = Annotated[float, Field(ge=-1, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Shape = Annotated[float, Field(gt=0, le=1e6)]  # above, the s.d. of Beta is < 5e-4: too small for the quantile table
Count = Annotated[int, Field(ge=1)]

BANK_KEYS = (
    *("num_los", "num_questions_per_lo", "num_contents_per_lo", "questions_per_difficulty", "irt", "content", "bank"),
)
"""Keys that determine a sampled bank (clauses S2.1 to S2.4)."""
MOST_STEPS = 2**31 - 2
"""Largest step limit: the number of the next step must fit in int32."""


def _check_order(value: tuple[float, float]) -> tuple[float, float]:
    """Return a range, or raise if its bounds are not in ascending order."""
    low, high = value
    if low > high:
        raise PydanticCustomError("range", "a range [low, high] with low <= high")
    return value


def _check_length(value: object) -> object:
    """Return a value, or raise if it is a list without exactly two entries."""
    if isinstance(value, list | tuple) and len(value) != 2:
        raise PydanticCustomError("range", "a range of two numbers, [low, high]")
    return value


Range = Annotated[tuple[float, float], BeforeValidator(_check_length), AfterValidator(_check_order)]
PositiveRange = Annotated[tuple[Positive, Positive], BeforeValidator(_check_length), AfterValidator(_check_order)]
ShareRange = Annotated[tuple[Share, Share], BeforeValidator(_check_length), AfterValidator(_check_order)]
GuessingRange = Annotated[
    tuple[Share, Annotated[float, Field(ge=0, lt=1)]], BeforeValidator(_check_length), AfterValidator(_check_order)
]


FLOAT32_RANGE = "0, or a number of magnitude 1e-30 to 1e30"


def _fits_float32(value: Any) -> bool:
    """Return whether a number neither underflows nor overflows float32; True for values that are not finite numbers."""
    if not isinstance(value, Real) or value == 0 or value != value or abs(value) == float("inf"):
        return True
    return bool(1e-30 <= abs(value) <= 1e30)  # type: ignore[operator]  # Real does not declare comparisons


def _is_convertible(value: object) -> bool:
    """Return whether a value is not a number, but pydantic would convert it to one."""
    return isinstance(value, bool | bytes) or (hasattr(value, "__float__") and not isinstance(value, Real))


def _model_of(annotation: Any) -> Any:
    """Return the Section class in the annotation of a field, None if the field is not a section."""
    return next((kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")), None)


def _kind(annotation: Any) -> str:
    """Return the kind of value that a field expects, for error messages."""
    if _model_of(annotation) is not None:
        return "a table"
    if get_origin(annotation) is tuple:
        return "a list of numbers"
    return "an integer" if int in (annotation, *get_args(annotation)) else "a number"


class Section(BaseModel):
    """An immutable table of the configuration. Unknown keys and values that are not finite raise an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)

    text_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys whose value may be a string."""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the fields that differ from their defaults, for `repr`."""
        for name, field in type(self).model_fields.items():
            if (value := getattr(self, name)) != field.get_default(call_default_factory=True):
                yield name, value

    def __repr__(self) -> str:
        """Return the fields that differ from their defaults; a long text ends with "…"."""
        text = super().__repr__()
        return text if len(text) <= LONGEST_REPR else f"{text[:LONGEST_REPR]}…)"

    @field_validator("*", mode="before")
    @classmethod
    def _check_numbers(cls, value: object, info: ValidationInfo) -> object:
        """Raise for values that pydantic would convert to numbers, such as "3", and for numbers out of range."""
        key = str(info.field_name)
        annotation = cls.model_fields[key].annotation
        if annotation is Any:  # checked by the field's own validator
            return value
        if annotation is bool:
            if not isinstance(value, bool):
                raise PydanticCustomError("boolean", "true or false")
            return value
        entries = value if isinstance(value, list | tuple) else [value]
        if any(_is_convertible(v) or (isinstance(v, str) and key not in cls.text_keys) for v in entries):
            raise PydanticCustomError("number", _kind(annotation))
        if not all(map(_fits_float32, entries)):
            raise PydanticCustomError("number", FLOAT32_RANGE)
        return value


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


REWARD_PRESETS: dict[str, RewardConfig] = {
    "specified": RewardConfig(),
    "learning": RewardConfig(
        correctness=0.0, mastery_gain=1.0, frustration_penalty=0.0, post_content_gain=1.0, engagement=0.0
    ),
}
"""Presets of the reward weights by name (clause S6.3): those of the specification, and the mastery gained."""


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

    interactions: Annotated[int, Field(ge=1, le=MOST_STEPS)]
    """Interactions between two breaks."""
    break_hours: NotNegative
    """Length of a break, hours."""


class Retention(Section):
    """Settings of delayed retention (clause S13.3)."""

    delay_hours: NotNegative = 24.0
    """Hours between the last interaction and the recall."""


class BankSettings(Section):
    """Settings of the sampled bank (clause S2.4)."""

    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0


class Config(Section):
    """The configuration of a simulator; `Config()` is the specification."""

    text_keys = frozenset({"dynamics", "reward_weights"})

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
            table = value._asdict() if name is not None else table  # type: ignore[attr-defined]  # a NamedTuple
        if not isinstance(name, str) or (dynamics := find_dynamics(name)) is None:
            known = ", ".join(known_dynamics(without=name))
            expected = f"a registered dynamics: {known}; {unknown_dynamics(str(name))}"
            raise PydanticCustomError("dynamics", "{expected}", {"expected": expected})
        parameters: Any = dynamics.parameters
        model = _parameter_model(parameters)
        try:
            return parameters(**model.model_validate(table).model_dump(exclude_unset=True))
        except ValidationError as error:
            faults = "; ".join(f"dynamics.{error_message(e, model)}" for e in error.errors())
            raise PydanticCustomError("parameter", "{faults}", {"faults": faults}) from None

    @field_serializer("dynamics")
    def _dynamics_to_table(self, value: Any) -> dict[str, Any]:
        """Return the name and the parameters of a dynamics."""
        return {"name": of_parameters(type(value)).name, **value._asdict()}

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
    def load(cls, path: str | Path) -> Config:
        """Return the configuration in a TOML file; missing keys have their defaults.

        Raises ConfigError, which names the file, the key, its value and the expected value.
        """
        try:
            table = read_toml(path)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{path}: cannot be read as a TOML file: {reason(error)}; "
                "`alsim init-config` writes a valid configuration"
            ) from None
        try:
            return cls.read(table)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @classmethod
    def read(cls, source: Config | Mapping[str, Any] | str | Path | None) -> Config:
        """Return a configuration read from a mapping or a TOML file, or `source` itself if it is a Config.

        None returns the defaults. Raises ConfigError for other values and for invalid configurations.
        """
        if source is None:
            return cls()
        if isinstance(source, Config):
            return source
        if isinstance(source, str | Path):
            return cls.load(source)
        if not isinstance(source, Mapping):
            raise ConfigError(f"a configuration must be a Config, a mapping or the path of a TOML file; got {source!r}")
        try:
            return cls.model_validate(dict(source))
        except ValidationError as error:
            raise ConfigError("; ".join(error_message(e, cls) for e in error.errors())) from None

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as nested dicts that JSON can represent."""
        return dict(json.loads(self.model_dump_json()))

    def split(self) -> tuple[int, int, int]:
        """Return the number of Easy, Medium and Hard questions per learning outcome (clause S2.1)."""
        if self.questions_per_difficulty is not None:
            split = self.questions_per_difficulty
            return split.easy, split.medium, split.hard
        each, rest = divmod(self.num_questions_per_lo, 3)
        return each + (rest > 0), each + (rest > 1), each


class ConfigError(AlsimError):
    """An invalid configuration: the message names the key, its value and the expected value."""


@cache
def _parameter_model(parameters: Any) -> type[Section]:
    """Return a subclass of Section with the fields of a dynamics' parameters, their bounds and their defaults."""
    fields = {
        name: (hint, Field(parameters._field_defaults.get(name, ...), validate_default=True))
        for name, hint in get_type_hints(parameters, include_extras=True).items()
    }
    return create_model(parameters.__name__, __base__=Section, **fields)  # type: ignore[call-overload, no-any-return]


def _expected(error: ErrorDetails) -> str:
    """Return a description of the expected value."""
    kind, context = error["type"], error.get("ctx", {})
    bounds = {
        "greater_than_equal": "a number >= {ge}",
        "greater_than": "a number > {gt}",
        "less_than_equal": "a number <= {le}",
        "less_than": "a number < {lt}",
        "finite_number": "a finite number",
        "invalid_key": "keys that are strings",
        "model_type": "a table",
        "model_attributes_type": "a table",
        "tuple_type": "a list of numbers",
        "too_long": "{max_length} numbers",
        "literal_error": "{expected}",
    }
    if kind in bounds:
        return bounds[kind].format(**context)
    if kind.startswith("float"):
        return "a number"
    if kind.startswith("int"):
        return "an integer"
    return error["msg"]


def error_message(error: ErrorDetails, model: type[Section]) -> str:
    """Return a sentence with the key, the value and the expected value of one of pydantic's errors about a model."""
    if error["type"] in ("split", "parameter", "hyperparameters"):
        return error["msg"]
    key, value = ".".join(map(str, error["loc"])), repr(error["input"])
    if error["type"] == "missing":
        return f"{key} is missing: expected a value in {value}"
    if error["type"] == "extra_forbidden":
        known = _known(model, error["loc"][:-1])
        suggestion = did_you_mean(str(error["loc"][-1]), known)
        return f"{key} = {value}: unknown key; expected one of {', '.join(known)}{suggestion}"
    return f"{f'{key} = {value}' if key else 'the configuration'}: expected {_expected(error)}"


def _known(root: type[Section], path: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the table at `path` below `root`."""
    model: Any = root
    for part in path:
        model = _model_of(model.model_fields[part].annotation)
    return list(model.model_fields)


def default_toml() -> str:
    """Return the defaults as TOML with comments; ``alsim init-config`` writes this text."""
    return resources.files("alsim").joinpath("default.toml").read_text(encoding="utf-8")
