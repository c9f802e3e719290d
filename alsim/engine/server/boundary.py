"""Checks of requests before they reach the application: key, path, size, and number of requests at once."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any
from urllib.parse import unquote_to_bytes

from alsim.engine.errors import EngineError
from alsim.engine.server.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 2**16
"""Largest body of a request, bytes. The bodies of the routes have a few hundred."""
MOST_WAITING = 256
"""Largest number of requests at once in one process. Further ones are refused, so that waiting times are bounded."""
RETRY_SECONDS = 1
"""Time after which a refused client should try again, seconds."""
OPEN = ("/health", "/openapi.json")
"""Paths that need no API key."""
LIMITED = "/v1/"
"""Begin of the paths that are refused if too many requests wait."""
SHORTEST_KEY = 16
"""Smallest length of an API key, characters."""

log = logging.getLogger("alsim.engine.server")


class Refusal(Exception):
    """Answer to a request that is not passed on."""

    def __init__(self, status: int, error: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.headers = status, error, headers or {}


class Disconnected(Exception):
    """Client that is gone before its body was read."""


class Boundary:
    """ASGI middleware that refuses requests with a sentence in JSON, and counts all.

    app           application
    metrics       counts and latencies
    api_key       key that requests must have; None for none
    max_body      largest body, bytes
    most_waiting  largest number of requests at once

    The path that the application gets is percent-encoded: %2F is a part of a name, and / is not.
    """

    def __init__(
        self, app: Application, *, metrics: Metrics, api_key: str | None, max_body: int, most_waiting: int
    ) -> None:
        self.app, self.metrics, self.max_body, self.most_waiting = app, metrics, max_body, most_waiting
        self._key = None if api_key is None else checked_key(api_key).encode()
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = perf_counter(), 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._answer(scope, receive, counted)
        except Refusal as refusal:
            await _send(counted, refusal.status, refusal.error, refusal.headers)
        except Disconnected:
            return
        except Exception:
            log.exception("internal error at %s", getattr(scope.get("route"), "path", "an unknown route"))
            if status:
                raise
            await _send(counted, 500, "the server has an internal error: its log has the details")
        finally:
            if status:
                route = getattr(scope.get("route"), "path", None)
                self.metrics.observe(scope["method"], route, status, perf_counter() - begin)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and pass it on. Raises Refusal."""
        path = _encoded_path(scope)
        headers = dict(scope["headers"])
        if path not in OPEN and self._key is not None and not self._is_authorized(headers):
            raise Refusal(
                401,
                "the API key is missing or wrong: send the header Authorization: Bearer KEY, or X-API-Key: KEY",
                {"WWW-Authenticate": "Bearer"},
            )
        body = await self._body(headers, receive)
        if path.startswith(LIMITED) and self._waiting >= self.most_waiting:
            raise Refusal(
                503,
                f"the server is busy with {self.most_waiting} requests: try again later",
                {"Retry-After": str(RETRY_SECONDS)},
            )
        scope["path"] = path
        self._waiting += 1
        try:
            await self.app(scope, _replayed(body, receive), send)
        finally:
            self._waiting -= 1

    def _is_authorized(self, headers: dict[bytes, bytes]) -> bool:
        """Return whether a request has the API key. The time does not depend on how much of a key is right.

        X-API-Key is for clients behind a proxy that uses the header Authorization with another scheme.
        """
        assert self._key is not None
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        found = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        return hmac.compare_digest(found, self._key)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Return the body of a request. Raises Refusal as soon as it is too large."""
        refusal = Refusal(413, f"the body must have at most {self.max_body:,} bytes: send one event per request")
        length = headers.get(b"content-length", b"")
        if length.isdigit() and (len(length) > 18 or int(length) > self.max_body):
            raise refusal
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.max_body:
                raise refusal
            if not message.get("more_body", False):
                return b"".join(parts)


def checked_key(key: Any) -> str:
    """Return an API key. Raises EngineError, which does not have the key, for one that cannot be sent or is short."""
    is_text = isinstance(key, str) and key.isascii() and key.isprintable() and " " not in key
    if not is_text or len(key) < SHORTEST_KEY:
        raise EngineError(
            f"the API key must have at least {SHORTEST_KEY} printable ASCII characters without spaces: make one with "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return str(key)


def decoded(text: str) -> str:
    """Return a percent-encoded part of a path. Raises ValueError unless it is UTF-8."""
    return unquote_to_bytes(text.encode("latin-1")).decode("utf-8")


def _encoded_path(scope: Scope) -> str:
    """Return the percent-encoded path of a request. Raises Refusal unless it is UTF-8."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        raise Refusal(500, "the server does not pass raw_path to applications (ASGI 2.1): use another one")
    path = raw.partition(b"?")[0].decode("latin-1")
    try:
        decoded(path)
    except ValueError:
        # Replacement characters would make one name of several.
        raise Refusal(422, "the path must be percent-encoded UTF-8: encode names with an URL library") from None
    return path


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a function that returns the body, and then what the client sends."""
    parts = [body]

    async def replayed() -> Message:
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        return await receive()

    return replayed


async def _send(send: Send, status: int, error: str, headers: dict[str, str] | None = None) -> None:
    """Send an error."""
    body = encoded({"error": error})
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in lines.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def encoded(content: Any) -> bytes:
    """Return JSON as bytes. Names that are no UTF-8, which Python may pass to an engine, are escaped."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


__all__ = ["MAX_BODY", "MOST_WAITING", "RETRY_SECONDS", "Boundary", "checked_key", "decoded", "encoded"]
