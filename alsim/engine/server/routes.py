"""Handlers of the routes: from a request to the engine, and from its result to an answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from alsim.engine.checks import LONGEST_NAME
from alsim.engine.engine import AdaptiveEngine
from alsim.engine.errors import EngineError, StoreError
from alsim.engine.server.bodies import (
    Body,
    ContentRequest,
    RecommendRequest,
    ResponseRequest,
    ScoreRequest,
    check_headers,
    read_body,
)
from alsim.engine.server.boundary import decoded, encoded
from alsim.engine.server.metrics import CONTENT_TYPE, Metrics
from alsim.utils.optional import require

if TYPE_CHECKING:
    import fastapi
else:
    fastapi = require("fastapi", "server", "alsim.engine.server")

HEALTH_SECONDS = 2.0
"""Time that the store has to answer a check, seconds."""
REFRESH_SECONDS = 10.0
"""Time between two checks for a new student model, seconds."""
NAME = {"$ref": "#/components/schemas/StudentName"}
"""Schema of the name of a student, which `alsim.engine.server.schema` has."""
KEY_PATTERN = "^[!-~]([ -~]*[!-~])?$"
"""Pattern of idempotency keys: printable ASCII characters, without spaces at the ends, which HTTP removes."""
Result = TypeVar("Result")

log = logging.getLogger("alsim.engine.server")


StudentName = Annotated[
    str,
    fastapi.Path(
        description="Name of the student, percent-encoded UTF-8: up to 256 printable characters, with / as %2F.",
        json_schema_extra=NAME,
    ),
]
Key = Annotated[
    str | None,
    fastapi.Header(
        alias="Idempotency-Key",
        description="Text that the client makes for each event: a repetition with the same key has no effect, and gets "
        "the first answer.",
        max_length=LONGEST_NAME,
        pattern=KEY_PATTERN,
    ),
]
WithEvents = Annotated[Literal["true", "false"], fastapi.Query(description="false leaves the events out.")]
# Dependencies of FastAPI would check names, keys and query strings as well, and take 0.1 ms per request.


class Routes:
    """Handlers of the routes of an engine.

    engine   AdaptiveEngine
    metrics  counts and latencies of the requests
    threads  number of threads that call the engine
    """

    def __init__(self, engine: AdaptiveEngine, metrics: Metrics, threads: int) -> None:
        self.engine, self.metrics = engine, metrics
        self.threads = ThreadPoolExecutor(threads, "engine")
        self.checks = ThreadPoolExecutor(1, "health")
        self.response_kind: type[ResponseRequest | ScoreRequest]
        self.response_kind = ScoreRequest if engine.model.partial_credit else ResponseRequest

    async def recommend(self, request: fastapi.Request, student: StudentName) -> fastapi.Response:
        """Recommend items to a student, and log that they were shown. A new student starts without responses."""
        name, body = decoded(student), await _body(request, RecommendRequest)

        def call() -> bytes:
            made = self.engine.recommend(name, body.n, time=body.time, class_name=body.class_name)
            return encoded({"student": name, "recommendations": [found.to_dict() for found in made]})

        return _reply(await self._run(call))

    async def respond(
        self, request: fastapi.Request, student: StudentName, idempotency_key: Key = None
    ) -> fastapi.Response:
        """Log the answer to a question, and update what is known of the student."""
        name, body = decoded(student), await _body(request, self.response_kind)

        def call() -> bytes:
            done = self.engine.process_response(
                name,
                body.item,
                body.correct,
                key=idempotency_key,
                time=body.time,
                seconds=body.seconds,
                satisfaction=body.satisfaction,
            )
            return encoded(done._asdict())

        return _reply(await self._run(call))

    async def study(
        self, request: fastapi.Request, student: StudentName, idempotency_key: Key = None
    ) -> fastapi.Response:
        """Log that a student has studied a content, and update what is known of the student."""
        name, body = decoded(student), await _body(request, ContentRequest)

        def call() -> bytes:
            done = self.engine.process_content(
                name,
                body.item,
                key=idempotency_key,
                time=body.time,
                seconds=body.seconds,
                satisfaction=body.satisfaction,
            )
            return encoded(done._asdict())

        return _reply(await self._run(call))

    async def export(
        self, request: fastapi.Request, student: StudentName, events: WithEvents = "true"
    ) -> fastapi.Response:
        """Return everything that the engine has of a student."""
        _check_query(request, "events")
        name = decoded(student)
        return _reply(await self._run(lambda: encoded(self.engine.export(name, events=events == "true"))))

    async def delete(self, request: fastapi.Request, student: StudentName) -> fastapi.Response:
        """Delete the events and the state of a student. Late events of the student are refused with status 409."""
        _check_query(request)
        name = decoded(student)
        await self._run(lambda: self.engine.delete(name))
        return fastapi.Response(status_code=204)

    async def health(self, request: fastapi.Request) -> fastapi.Response:
        """Read from the store, and return status 200 if it has answered within 2 s."""
        _check_query(request)
        store = self.engine.store
        check = asyncio.get_running_loop().run_in_executor(self.checks, store.read_note, "health")
        try:
            await asyncio.wait_for(check, HEALTH_SECONDS)
        except TimeoutError:
            raise StoreError(f"the store has not answered within {HEALTH_SECONDS:g} s: try again later") from None
        return _reply(encoded({"status": "ok", "store": store.kind}))

    async def numbers(self, request: fastapi.Request) -> fastapi.Response:
        """Return counts and latencies of the requests to all workers, in the text format of Prometheus."""
        _check_query(request)
        return fastapi.Response(self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def refresh(self) -> None:
        """Use the student model that another process has recalibrated, from a few seconds afterwards, for ever."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                is_new = await asyncio.get_running_loop().run_in_executor(self.checks, self.engine.refresh)
            except EngineError as error:
                log.warning("the student model of the store cannot be read: %s", error)
            else:
                if is_new:
                    log.warning("the student model has changed: its digest is %s", self.engine.digest)

    def close(self) -> None:
        """Stop the threads, after the calls that they have begun."""
        self.threads.shutdown()
        self.checks.shutdown(wait=False)

    async def _run(self, call: Callable[[], Result]) -> Result:
        """Return the result of a function that calls the engine, in a thread.

        A call waits for its store, up to 30 s for a file that is locked, and must not stop other answers meanwhile.
        With 16 clients, calls in the event loop had the same 99th percentile, also with a store in memory.
        """
        return await asyncio.get_running_loop().run_in_executor(self.threads, call)


async def _body(request: fastapi.Request, kind: type[Body]) -> Body:
    """Return the body of a request. Raises EngineError for an invalid request."""
    _check_query(request)
    if len(request.headers.getlist("Idempotency-Key")) > 1:
        raise EngineError("the request has several headers Idempotency-Key: send one")
    content = await request.body()
    if content:
        check_headers(request.headers.get("Content-Type"), request.headers.get("Content-Encoding"))
    return read_body(kind, content)


def _check_query(request: fastapi.Request, *known: str) -> None:
    """Raise EngineError for an unknown parameter in the query string, such as a misspelt one, or a repeated one."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            expected = f"expected {' or '.join(known)}" if known else "this route has no parameters"
            raise EngineError(f"the query string has the unknown parameter {name!r:.100}; {expected}")
        if names.count(name) > 1:
            raise EngineError(f"the query string has the parameter {name!r} more than once: send it once")


def _reply(body: bytes) -> fastapi.Response:
    """Return an answer with JSON."""
    return fastapi.Response(body, media_type="application/json")


__all__ = ["Routes"]
