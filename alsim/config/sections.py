"""Tables of settings: their base class, the kinds of their values, and messages about invalid ones."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Annotated, Any, ClassVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from alsim.errors import did_you_mean
from alsim.types import LONGEST_REPR

Share = Annotated[float, Field(ge=0, le=1)]
Change = Annotated[float, Field(ge=-1, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Shape = Annotated[float, Field(gt=0, le=1e6)]  # above, the s.d. of Beta is < 5e-4: too small for the quantile table
Spread = Annotated[float, Field(ge=0, le=10)]  # of logits; a shift of 6 such standard deviations fits in float32
Count = Annotated[int, Field(ge=1)]


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
    if _model_of(annotation) is not None or get_origin(annotation) is dict:
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
        "dict_type": "a table",
        "string_type": "a string",
        "string_too_long": "a string of at most {max_length} characters",
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
    if error["type"] in ("split", "parameter", "hyperparameters", "population", "curriculum"):
        return error["msg"]
    key, value = ".".join(map(str, error["loc"])), repr(error["input"])
    if error["type"] == "missing":
        return f"{key} is missing in {value}; set it"
    if error["type"] == "extra_forbidden":
        known = _known(model, error["loc"][:-1])
        suggestion = did_you_mean(str(error["loc"][-1]), known)
        return f"{key} = {value}: unknown key; expected one of {', '.join(known)}{suggestion}"
    return f"{f'{key} = {value}' if key else 'the configuration'}: expected {_expected(error)}"


def _known(root: type[Section], path: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the table at `path` below `root`."""
    model: Any = root
    for part in path:
        if part in model.model_fields:  # other parts are keys of a table of tables
            model = _model_of(model.model_fields[part].annotation)
    return list(model.model_fields)
