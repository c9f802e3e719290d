"""Bodies of requests and answers: their fields, checks and schemas."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from typing import Annotated, Any, NoReturn, TypeVar

from annotated_types import Ge, Le, Lt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from alsim.engine.checks import LATEST, MOST_RECOMMENDED
from alsim.engine.errors import EngineError
from alsim.errors import did_you_mean
from alsim.types import describe
from alsim.utils.reading import parse_json

CHARSETS = ("utf-8", "utf8", "us-ascii")
"""Charsets that are UTF-8 or a part of it."""


def _as_bool(value: Any) -> Any:
    """Return 1 and 0 as True and False, and any other value as it is."""
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else value


def _as_integer(value: Any) -> Any:
    """Return 5.0, which JSON does not distinguish from 5, as an integer, and any other value as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Correct = Annotated[bool, BeforeValidator(_as_bool), WithJsonSchema({"enum": [True, False, 1, 0]})]
Score = Annotated[bool | Annotated[float, Ge(0), Le(1)], BeforeValidator(_as_bool)]
Seconds = Annotated[float, Ge(0)]
Moment = Annotated[float, Ge(0), Lt(LATEST)]
Ranks = Annotated[int, Ge(1), Le(MOST_RECOMMENDED), BeforeValidator(_as_integer)]


class Request(BaseModel):
    """Base class of the bodies of requests: other keys and other types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class RecommendRequest(Request):
    """Request of recommendations."""

    n: Ranks = Field(5, description="Number of items.")
    class_name: str | None = Field(
        None, description="Class of the student, which is stored at its first use; null leaves it as it is."
    )
    time: Moment | None = Field(None, description="Time of the decision, seconds since 1970; null is now.")


class EventRequest(Request):
    """Event of a student."""

    item: str = Field(description="Id of an item of the catalogue.")
    seconds: Seconds | None = Field(None, description="Time that the student took, seconds; null if unknown.")
    satisfaction: float | None = Field(None, description="Rating of the student, on any scale; null without one.")
    time: Moment | None = Field(None, description="Time of the event, seconds since 1970; null is now.")


class ContentRequest(EventRequest):
    """Content that a student has studied."""

    item: str = Field(description="Id of a content of the catalogue.", json_schema_extra={"format": "content"})


class ResponseRequest(EventRequest):
    """Answer of a student to a question."""

    item: str = Field(description="Id of a question of the catalogue.", json_schema_extra={"format": "question"})
    correct: Correct = Field(description="True for a correct answer; 1 and 0 are accepted.")


class ScoreRequest(EventRequest):
    """Answer of a student to a question, for a student model with partial credit."""

    item: str = Field(description="Id of a question of the catalogue.", json_schema_extra={"format": "question"})
    correct: Score = Field(description="True, False, or a score from 0 to 1.")


class RecommendedItem(BaseModel):
    """Recommended item."""

    item: str = Field(description="Id of the item.")
    score: float = Field(description="Score by which it was chosen, in the unit of the policy.")
    reason: str = Field(description="Sentence with the reason of the choice.")
    propensity: float = Field(ge=0, le=1, description="Probability of this item at this rank, given those above.")
    candidates: int = Field(ge=1, description="Number of items among which it was chosen.")


class Recommendations(BaseModel):
    """Recommended items, the best first."""

    student: str
    recommendations: list[RecommendedItem] = Field(description="Empty if the student has mastered every skill.")


class Interaction(BaseModel):
    """Result of a response or of a studied content."""

    item: str = Field(description="Id of the item.")
    mastery: dict[str, Annotated[float, Ge(0), Le(1)]] = Field(description="Mastery of the skills of the item.")
    interactions: int = Field(ge=1, description="Number of responses and contents of the student so far.")


class Student(BaseModel):
    """Everything that the engine has of a student."""

    student: str
    events: list[dict[str, Any]] | None = Field(None, description="Events, oldest first; absent with events=false.")
    mastery: dict[str, Annotated[float, Ge(0), Le(1)]] = Field(description="Mastery of each skill.")
    mastered: list[str] = Field(description="Skills whose mastery is at least the threshold.")
    ready: list[str] = Field(description="Skills that are not mastered while all their prerequisites are.")
    due: list[str] | None = Field(
        None, description="Practised skills to review; absent under a student model without memory."
    )
    model: str = Field(description="Digest of the student model and the catalogue.")
    catalogue: str = Field(description="Digest of the catalogue and the graph.")


class Health(BaseModel):
    """State of the server."""

    status: str = Field(description="ok")
    store: str = Field(description="Kind of the store, which has answered.")


class Error(BaseModel):
    """Error."""

    error: str = Field(description="Sentence with the invalid value, the expected one, and the cure.")


class UnsupportedBody(EngineError):
    """Body of another type, charset or encoding than the server reads."""


Body = TypeVar("Body", bound=Request)


def check_headers(content_type: str | None, content_encoding: str | None) -> None:
    """Raise UnsupportedBody unless the headers of a body are those of JSON in UTF-8 without compression.

    content_type, content_encoding  headers Content-Type and Content-Encoding; None without it
    """
    if (content_encoding or "identity").strip().lower() != "identity":
        raise UnsupportedBody(
            f"the body must not be compressed; got Content-Encoding: {content_encoding:.100}: "
            "send it without this header"
        )
    message = Message()
    message["Content-Type"] = content_type or ""
    if message.get_content_type() != "application/json":
        # A page of another site can make a browser send other types without asking the server (CORS).
        raise UnsupportedBody(f"the body must be JSON; got {content_type!r:.100}: send Content-Type: application/json")
    if message.get_param("charset") is not None and message.get_content_charset() not in CHARSETS:
        raise UnsupportedBody(f"the body must be JSON in UTF-8; got {content_type!r:.100}: encode it as UTF-8")


def read_body(kind: type[Body], content: bytes) -> Body:
    """Return the body of a request.

    kind     class of the body
    content  bytes of the body; none are an empty object

    Raises EngineError, with the key and the cure, for a body of another shape.
    """
    values = _object(content) if content else {}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise EngineError(_sentence(kind, error.errors(include_url=False)[0])) from None


def _object(content: bytes) -> Mapping[str, Any]:
    """Return the JSON object in a body. Raises EngineError."""
    try:
        values = parse_json(content, parse_constant=_refuse)
    except ValueError as error:
        raise EngineError(f"the body must be a JSON object in UTF-8; it cannot be read: {error!s:.200}") from None
    if not isinstance(values, dict):
        raise EngineError(f"the body must be a JSON object; got {describe(values)}")
    return values


def _refuse(name: str) -> NoReturn:
    """Raise ValueError for NaN or an infinity."""
    raise ValueError(f"{name} is no number of JSON: use null")


def _sentence(kind: type[Request], error: Mapping[str, Any]) -> str:
    """Return an error of pydantic as a sentence."""
    key, fields = str(error["loc"][0]), list(kind.model_fields)
    if error["type"] == "extra_forbidden":
        cure = did_you_mean(key, fields) or f"; expected {', '.join(fields)}"
        return f"the body has the unknown key {key!r:.100}{cure}"
    if error["type"] == "missing":
        return f"the body lacks {key!r}; expected {', '.join(fields)}"
    text = str(error["msg"])
    return f"{key} of the body: {text[:1].lower()}{text[1:]}; got {describe(error['input'])}"


__all__ = [
    "ContentRequest",
    "Error",
    "Health",
    "Interaction",
    "RecommendRequest",
    "Recommendations",
    "ResponseRequest",
    "ScoreRequest",
    "Student",
    "UnsupportedBody",
    "check_headers",
    "read_body",
]
