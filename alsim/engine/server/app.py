"""The application: the routes of an engine, with the status and the sentence of each error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from alsim._version import __version__
from alsim.engine.engine import AdaptiveEngine
from alsim.engine.errors import (
    ClassConflict,
    DeletedStudent,
    EngineError,
    KeyConflict,
    OutOfOrder,
    StoreError,
    UnknownName,
    UnknownStudent,
)
from alsim.engine.server.bodies import UnsupportedBody
from alsim.engine.server.boundary import MAX_BODY, MOST_WAITING, RETRY_SECONDS, Boundary, checked_key, encoded
from alsim.engine.server.metrics import Metrics
from alsim.engine.server.routes import Routes
from alsim.engine.server.schema import HEALTH, complete_schema, operations
from alsim.engine.warmup import warm_up
from alsim.types import describe
from alsim.utils.optional import require

if TYPE_CHECKING:
    import fastapi
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
    from starlette.routing import Match
else:
    fastapi = require("fastapi", "server", "alsim.engine.server")
    RequestValidationError = require("fastapi.exceptions", "server", "alsim.engine.server").RequestValidationError
    HTTPException = require("starlette.exceptions", "server", "alsim.engine.server").HTTPException
    Match = require("starlette.routing", "server", "alsim.engine.server").Match

THREADS = 4
"""Number of threads of a process that call the engine."""
STATUSES = {
    UnknownName: 404,
    UnknownStudent: 404,
    ClassConflict: 409,
    DeletedStudent: 409,
    KeyConflict: 409,
    OutOfOrder: 409,
    StoreError: 503,
    UnsupportedBody: 415,
    EngineError: 422,
}
"""HTTP status of each error of the engine."""

KEY_RULE = "text should have printable ASCII characters only, without spaces at the ends"
"""Rule of the header Idempotency-Key, the one value with a pattern that is checked before the engine is called."""

log = logging.getLogger("alsim.engine.server")


def create_app(
    engine: AdaptiveEngine,
    *,
    api_key: str | None = None,
    max_body: int = MAX_BODY,
    most_waiting: int = MOST_WAITING,
    threads: int = THREADS,
    close_engine: bool = False,
) -> fastapi.FastAPI:
    """Return a FastAPI application that serves an engine.

    engine        AdaptiveEngine
    api_key       key that each request must have, at least 16 characters; None for no key
    max_body      largest body of a request, bytes
    most_waiting  largest number of requests at once; further ones get status 503
    threads       number of threads that call the engine and wait for its store
    close_engine  True to close the engine when the server stops

    The engine is warmed up before the first request, and uses a student model that another process has recalibrated
    some seconds after it. Raises EngineError for an invalid key, MissingExtra without the
    extra `server`.
    """
    metrics = Metrics()
    routes = Routes(engine, metrics, threads)

    @asynccontextmanager
    async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
        warm_up(engine)
        refreshing = asyncio.create_task(routes.refresh())
        yield
        refreshing.cancel()
        routes.close()
        if close_engine:
            engine.close()

    # The pages of FastAPI with the schema load scripts from another site, so there are none.
    app = fastapi.FastAPI(
        title="alsim: adaptive engine",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for operation in operations(routes):
        app.add_api_route(**operation)
    for kind, handler in ((EngineError, _engine_error), (RequestValidationError, _invalid), (HTTPException, _no_route)):
        app.add_exception_handler(kind, handler)
    complete_schema(app, has_key=api_key is not None)
    if api_key is not None:
        api_key = checked_key(api_key)
    app.add_middleware(Boundary, metrics=metrics, api_key=api_key, max_body=max_body, most_waiting=most_waiting)
    return app


async def _engine_error(request: fastapi.Request, error: EngineError) -> fastapi.Response:
    """Return the answer to an error of the engine."""
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    if status != 503:
        return _reply(status, str(error))
    log.error("%s", error)
    text = str(error)
    if request.scope["path"] == HEALTH:  # needs no key, so that it tells no path or address
        text = "the store cannot be read now: the log of the server has the cause"
    return _reply(status, text, {"Retry-After": str(RETRY_SECONDS)})


async def _invalid(request: fastapi.Request, error: RequestValidationError) -> fastapi.Response:
    """Return the answer to an invalid header or parameter."""
    first = error.errors()[0]
    text = str(first["msg"])
    text = KEY_RULE if first["type"] == "string_pattern_mismatch" else f"{text[:1].lower()}{text[1:]}"
    return _reply(422, f"{first['loc'][-1]}: {text}; got {describe(first['input'])}")


async def _no_route(request: fastapi.Request, error: HTTPException) -> fastapi.Response:
    """Return the answer to a path without a route, or to a method that the route does not have."""
    app, scope = request.app, request.scope
    matching = [route for route in app.routes if route.matches(scope)[0] != Match.NONE]
    methods = sorted({method for route in matching for method in route.methods})
    if not methods:
        text = f"there is no route {scope['path']!r:.300}: /openapi.json lists the routes; write / in a name as %2F"
        return _reply(404, text)
    text = f"this route has no method {request.method:.20}: use {' or '.join(methods)}"
    return _reply(405, text, {"Allow": ", ".join(methods)})


def _reply(status: int, error: str, headers: dict[str, str] | None = None) -> fastapi.Response:
    """Return an answer with an error."""
    content: dict[str, Any] = {"error": error}
    return fastapi.Response(encoded(content), status, headers=headers, media_type="application/json")


__all__ = ["STATUSES", "THREADS", "create_app"]
