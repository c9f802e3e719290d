"""The OpenAPI schema: routes, bodies, statuses and API key."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from alsim.engine.checks import LONGEST_NAME
from alsim.engine.server.bodies import (
    ContentRequest,
    Error,
    Health,
    Interaction,
    Recommendations,
    RecommendRequest,
    Request,
    Student,
)
from alsim.engine.server.routes import NAME, Routes
from alsim.utils.optional import require

if TYPE_CHECKING:
    import fastapi

STUDENT = "/v1/students/{student}"
RECOMMEND, RESPONSES, CONTENTS = f"{STUDENT}/recommend", f"{STUDENT}/responses", f"{STUDENT}/contents"
HEALTH, METRICS = "/health", "/metrics"
ERRORS = {
    401: "The API key is missing or wrong.",
    404: "The student or the item is unknown.",
    409: "The student was deleted or is in another class, the time is too early, or the key is another request's.",
    413: "The body is too large.",
    415: "The body is not JSON in UTF-8, or is compressed.",
    422: "The name, the key, a parameter or the body is invalid.",
    503: "The store cannot be reached, is full or locked, or the server is busy: try again after Retry-After seconds.",
}
"""Statuses of errors, and their meanings."""
LINKS = {
    name: {"operationId": name, "parameters": {"student": "$response.body#/student"}}
    for name in ("recommend", "respond", "study", "export", "delete")
}
"""Operations on the student of a recommendation."""
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def operations(routes: Routes) -> Iterator[dict[str, Any]]:
    """Return the arguments of `add_api_route` for each route."""
    yield {
        **_operation("POST", RECOMMEND, routes.recommend, Recommendations, 401, 409, 413, 415, 422, 503),
        "openapi_extra": _body(RecommendRequest, required=False),
    }
    for path, endpoint, body in (
        (RESPONSES, routes.respond, routes.response_kind),
        (CONTENTS, routes.study, ContentRequest),
    ):
        yield {
            **_operation("POST", path, endpoint, Interaction, 401, 404, 409, 413, 415, 422, 503),
            "openapi_extra": _body(body, required=True),
        }
    yield _operation("GET", STUDENT, routes.export, Student, 401, 404, 413, 422, 503)
    yield {
        **_operation("DELETE", STUDENT, routes.delete, None, 401, 404, 413, 422, 503),
        "status_code": 204,
        "response_description": "The student is deleted.",
    }
    yield _operation("GET", HEALTH, routes.health, Health, 413, 422, 503)
    yield {
        **_operation("GET", METRICS, routes.numbers, None, 401, 413, 422),
        "response_class": require("fastapi", "server", "alsim.engine.server").Response,
        "response_description": "Counts and latencies.",
        "openapi_extra": {"responses": {"200": {"content": {"text/plain": {"schema": {"type": "string"}}}}}},
    }


@cache
def printable_pattern() -> str:
    """Return a regular expression of text of printable characters, as `str.isprintable` defines them.

    It lists the ranges of all such characters, because neither JSON Schema nor Python has a shorter way to say so.
    """
    found = []
    for is_printable, group in groupby(range(sys.maxunicode + 1), lambda code: chr(code).isprintable()):
        if is_printable:
            codes = [*group]
            found.append(f"{chr(codes[0])}-{chr(codes[-1])}" if len(codes) > 1 else chr(codes[0]))
    return f"^[{''.join(found)}]+$"


def complete_schema(app: fastapi.FastAPI, *, has_key: bool) -> None:
    """Add names of students, and the API key if the application has one, to the schema of an application."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        schema: dict[str, Any] = make()
        schema["components"]["schemas"]["StudentName"] = {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_NAME,
            "pattern": printable_pattern(),
            "description": "Text of printable characters: letters, digits, signs and spaces of any language, but no "
            "control characters, and no spaces other than the usual one.",
        }
        if not has_key:
            return schema
        schema["components"]["securitySchemes"] = SECURITY
        for path, methods in schema["paths"].items():
            if path != HEALTH:
                for operation in methods.values():
                    operation["security"] = [{name: []} for name in SECURITY]
        return schema

    app.openapi = openapi


def _operation(method: str, path: str, endpoint: Any, answer: Any, *statuses: int) -> dict[str, Any]:
    """Return the arguments of `add_api_route` for a route that answers with a model and with some errors."""
    responses: dict[int | str, dict[str, Any]] = {
        status: {"model": Error, "description": ERRORS[status]} for status in statuses
    }
    if 503 in responses:
        responses[503]["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer"}}
        }
    if path == RECOMMEND:
        responses[200] = {"links": LINKS}
    return {
        "path": path,
        "endpoint": endpoint,
        "methods": [method],
        "response_model": answer,
        "responses": responses,
        "operation_id": endpoint.__name__,
    }


def _body(kind: type[Request], *, required: bool) -> dict[str, Any]:
    """Return the schema of the body of a request. The name of a class has the schema of the name of a student."""
    schema = kind.model_json_schema()
    if "class_name" in schema["properties"]:  # pydantic refuses a reference to a schema that it does not know
        schema["properties"]["class_name"]["anyOf"][0] = NAME
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


__all__ = [
    "CONTENTS",
    "ERRORS",
    "HEALTH",
    "METRICS",
    "RECOMMEND",
    "RESPONSES",
    "STUDENT",
    "complete_schema",
    "operations",
    "printable_pattern",
]
