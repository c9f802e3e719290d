"""Every hyperparameter, one definition each; the defaults are the specification.

Sections and keys are those of the specification's SIMULATOR_CONFIG; what it leaves in its text or its
code has keys beside them. The parameters of a dynamics are defined by that dynamics.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from importlib import resources
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from alsim.dynamics import DYNAMICS, of_parameters
from alsim.dynamics.standard import Standard
from alsim.errors import AlsimError
from alsim.mdp.actions import MOST_LOS
from alsim.types import MODALITIES

Share = Annotated[float, Field(ge=0, le=1)]
Change = Annotated[float, Field(ge=-1, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Shape = Annotated[float, Field(gt=0, le=1e6)]  # beyond, the s.d. is under 5e-4 and the table's arithmetic gives out
Count = Annotated[int, Field(ge=1)]


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if low > high:
        raise PydanticCustomError("range", "a range [low, high] with low <= high")
    return value


def _pair(value: object) -> object:
    if isinstance(value, list | tuple) and len(value) != 2:
        raise PydanticCustomError("range", "a range of two numbers, [low, high]")
    return value


Range = Annotated[tuple[float, float], BeforeValidator(_pair), AfterValidator(_ordered)]
PositiveRange = Annotated[tuple[Positive, Positive], BeforeValidator(_pair), AfterValidator(_ordered)]
ShareRange = Annotated[tuple[Share, Share], BeforeValidator(_pair), AfterValidator(_ordered)]
GuessingRange = Annotated[
    tuple[Share, Annotated[float, Field(ge=0, lt=1)]], BeforeValidator(_pair), AfterValidator(_ordered)
]


HELD = "0, or a number of magnitude 1e-30 to 1e30"


def _held(value: Any) -> bool:
    """Whether float32 holds a number; whatever else is wrong with a value is told elsewhere."""
    if not isinstance(value, Real) or value == 0 or value != value or abs(value) == float("inf"):
        return True
    return bool(1e-30 <= abs(value) <= 1e30)  # type: ignore[operator]  # Real does not say that it compares


def _pretends(value: object) -> bool:
    """Whether a value converts to a number and is none."""
    return isinstance(value, bool | bytes) or (hasattr(value, "__float__") and not isinstance(value, Real))


class Section(BaseModel):
    """A table of the configuration: its keys are known, its values finite and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)

    words: ClassVar[frozenset[str]] = frozenset()
    """Keys whose value may be a word."""

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: object, info: ValidationInfo) -> object:
        """Refuse what pydantic would take for a number: true, "3"; and what float32 would not hold."""
        entries = value if isinstance(value, list | tuple) else [value]
        words = info.field_name in cls.words
        if any(_pretends(v) or (isinstance(v, str) and not words) for v in entries):
            raise PydanticCustomError("number", "numbers" if entries is value else "a number or a table")
        if not all(map(_held, entries)):
            raise PydanticCustomError("number", HELD)
        return value


class DifficultyRanges(Section):
    """Range of b, logits, for each difficulty."""

    easy: Range = (-2.0, -0.5)
    medium: Range = (-0.5, 0.5)
    hard: Range = (0.5, 2.0)


class DiscriminationRanges(Section):
    """Range of a, 1/logit, for each difficulty."""

    easy: PositiveRange = (0.5, 1.0)
    medium: PositiveRange = (1.0, 1.5)
    hard: PositiveRange = (1.5, 2.0)


class Split(Section):
    """Questions of each difficulty per learning outcome."""

    easy: Count
    medium: Count
    hard: Count


class Irt(Section):
    """Ranges from which the items' parameters are drawn (clause S2.2)."""

    difficulty_ranges: DifficultyRanges = DifficultyRanges()
    discrimination_ranges: DiscriminationRanges = DiscriminationRanges()
    guessing_range: GuessingRange = (0.10, 0.25)
    response_time_mean: Positive = 30.0
    response_time_std: NotNegative = 10.0
    max_response_time: Positive = 120.0


class EffectivenessByModality(Section):
    """Range of base gains, for each modality."""

    video: ShareRange = (0.10, 0.15)
    PPT: ShareRange = (0.08, 0.12)
    text: ShareRange = (0.05, 0.08)
    blog: ShareRange = (0.07, 0.10)
    article: ShareRange = (0.06, 0.09)
    handout: ShareRange = (0.05, 0.08)


class DurationByModality(Section):
    """Range of durations, for each modality."""

    video: PositiveRange = (15.0, 25.0)
    PPT: PositiveRange = (10.0, 20.0)
    text: PositiveRange = (5.0, 10.0)
    blog: PositiveRange = (8.0, 15.0)
    article: PositiveRange = (10.0, 18.0)
    handout: PositiveRange = (5.0, 12.0)


class ImpactByModality(Section):
    """Frustration impact of each modality."""

    video: Change = -0.08
    PPT: Change = -0.05
    text: Change = 0.02
    blog: Change = -0.03
    article: Change = 0.0
    handout: Change = 0.05


class Content(Section):
    """Ranges from which the contents are drawn (clause S2.3)."""

    effectiveness_by_modality: EffectivenessByModality = EffectivenessByModality()
    duration_by_modality: DurationByModality = DurationByModality()
    frustration_impact_by_modality: ImpactByModality = ImpactByModality()


class LearnerStart(Section):
    """How learners start (clauses S1.1, S1.2)."""

    mastery_alpha: Shape = 2.0
    mastery_beta: Shape = 5.0
    ability_mean: float = 0.0
    ability_std: NotNegative = 1.0


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
"""Named rewards: the specification's, and `learning`, which pays mastery gained and nothing else (clause S6.3)."""


class TerminationConfig(Section):
    """When an episode ends before its step limit (clause S7.1)."""

    mastery_threshold: Share = 0.8
    max_frustration: Share = 0.95


class Metrics(Section):
    """Settings of the metrics (clause S9.2)."""

    blueprint: tuple[Share, Share, Share] = (0.2, 0.6, 0.2)

    @field_validator("blueprint")
    @classmethod
    def _sums_to_one(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if abs(sum(value) - 1) > 1e-6:
            raise PydanticCustomError("blueprint", "shares of Easy, Medium and Hard that sum to 1")
        return value


class BankSettings(Section):
    """How the bank is drawn (clause S2.4)."""

    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0


class Config(Section):
    """The whole configuration. `Config()` is the specification."""

    words = frozenset({"dynamics", "reward_weights"})

    num_los: Annotated[int, Field(ge=1, le=MOST_LOS)] = 30
    num_questions_per_lo: Annotated[int, Field(ge=3, le=1_000_000)] = 20
    num_contents_per_lo: Annotated[int, Field(ge=len(MODALITIES), le=1_000_000)] = 6
    max_episode_steps: Annotated[int, Field(ge=1, le=2**31 - 2)] = 140
    questions_per_difficulty: Split | None = None
    irt: Irt = Irt()
    content: Content = Content()
    learner: LearnerStart = LearnerStart()
    dynamics: Any = Field(default=Standard(), validate_default=True)
    reward_weights: RewardConfig = RewardConfig()
    termination: TerminationConfig = TerminationConfig()
    metrics: Metrics = Metrics()
    bank: BankSettings = BankSettings()

    @field_validator("reward_weights", mode="before")
    @classmethod
    def _preset(cls, value: object) -> object:
        if isinstance(value, str):
            if value not in REWARD_PRESETS:
                raise PydanticCustomError("preset", f"a table, or one of {', '.join(map(repr, REWARD_PRESETS))}")
            return REWARD_PRESETS[value]
        return value

    @field_validator("dynamics", mode="before")
    @classmethod
    def _of_its_class(cls, value: object) -> object:
        """Read {name = ..., its parameters}, a name, or a parameter struct, against the dynamics' own definition."""
        if isinstance(value, str):
            value = {"name": value}
        if isinstance(value, Mapping):
            given = dict(value)
            name = given.pop("name", "standard")
        else:
            name = next((known.name for known in DYNAMICS.values() if known.parameters is type(value)), None)
            given = value._asdict() if name is not None else {}  # type: ignore[attr-defined]  # a NamedTuple then
        if not isinstance(name, str) or name not in DYNAMICS:
            raise PydanticCustomError("dynamics", f"a registered dynamics: {', '.join(DYNAMICS)}")
        return _parameters(DYNAMICS[name].parameters, given)

    @field_serializer("dynamics")
    def _with_its_name(self, value: Any) -> dict[str, Any]:
        return {"name": of_parameters(type(value)).name, **value._asdict()}

    @model_validator(mode="after")
    def _split_agrees(self) -> Self:
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
        """Read a TOML file. Raises ConfigError, which names the file, the key, its value and what was expected."""
        try:
            table = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: a configuration is a TOML file; {error}") from None
        try:
            return cls.read(table)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @classmethod
    def read(cls, source: Config | Mapping[str, Any] | str | Path | None) -> Config:
        """Return the configuration that `source` is or names: an object, a mapping, a TOML file, None for defaults."""
        if source is None:
            return cls()
        if isinstance(source, Config):
            return source
        if isinstance(source, str | Path):
            return cls.load(source)
        if not isinstance(source, Mapping):
            raise ConfigError(f"a configuration is a Config, a mapping or a path of a TOML file; got {source!r}")
        try:
            return cls.model_validate(dict(source))
        except ValidationError as error:
            raise ConfigError("; ".join(sentence(e, cls) for e in error.errors())) from None

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON-ready tables."""
        return dict(json.loads(self.model_dump_json()))

    def split(self) -> tuple[int, int, int]:
        """Questions of each difficulty per learning outcome (clause S2.1)."""
        if self.questions_per_difficulty is not None:
            given = self.questions_per_difficulty
            return given.easy, given.medium, given.hard
        whole, rest = divmod(self.num_questions_per_lo, 3)
        return whole + (rest > 0), whole + (rest > 1), whole


class ConfigError(AlsimError):
    """A configuration that cannot be: the message names the key, its value and what was expected."""


def _parameters(parameters: type[Any], given: Mapping[str, Any]) -> Any:
    """Return `parameters` filled from `given`, or raise for the first key that cannot be."""
    hints = get_type_hints(parameters, include_extras=True)
    values = {}
    for key, value in given.items():
        told = {"key": str(key), "value": repr(value)}
        if key not in hints:
            raise PydanticCustomError("parameter", "one of the keys {known}", {**told, "known": ", ".join(hints)})
        if isinstance(value, str) or _pretends(value):
            raise PydanticCustomError("parameter", "a number", told)
        if not _held(value):
            raise PydanticCustomError("parameter", HELD, told)
        try:
            values[key] = TypeAdapter(hints[key], config=ConfigDict(allow_inf_nan=False)).validate_python(value)
        except ValidationError as error:
            raise PydanticCustomError(
                "parameter", "{expected}", {**told, "expected": _expected(error.errors()[0])}
            ) from None
    return parameters(**values)


def _expected(error: ErrorDetails) -> str:
    """What was expected, in words."""
    kind, context = error["type"], error.get("ctx", {})
    bounds = {
        "greater_than_equal": "a number >= {ge}",
        "greater_than": "a number > {gt}",
        "less_than_equal": "a number <= {le}",
        "less_than": "a number < {lt}",
        "finite_number": "a finite number",
        "invalid_key": "keys that are words",
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
        return "a whole number"
    return error["msg"]


def sentence(error: ErrorDetails, model: type[Section]) -> str:
    """One of pydantic's errors about a `model` as: key, value, what was expected."""
    path, value = list(error["loc"]), repr(error["input"])
    if error["type"] == "parameter":
        path, value = [*path, error["ctx"]["key"]], error["ctx"]["value"]
    key = ".".join(str(part) for part in path)
    if error["type"] == "split":
        return error["msg"]
    if error["type"] == "missing":
        return f"{key} is missing: expected a value in {value}"
    if error["type"] == "extra_forbidden":
        return f"{key} = {value}: no such key; known here are {', '.join(_known(model, error['loc'][:-1]))}"
    where = f"{key} = {value}" if key else "the configuration"
    return f"{where}: expected {_expected(error)}"


def _known(root: type[Section], path: tuple[int | str, ...]) -> list[str]:
    """Keys of the table at `path` below `root`."""
    model: Any = root
    for part in path:
        annotation = model.model_fields[part].annotation
        model = annotation if hasattr(annotation, "model_fields") else Split  # the one optional table
    return list(model.model_fields)


def default_toml() -> str:
    """Return the commented TOML file of the defaults, as ``alsim init-config`` writes it."""
    return resources.files("alsim").joinpath("default.toml").read_text(encoding="utf-8")
