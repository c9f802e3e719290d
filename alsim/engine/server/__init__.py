"""The server: an engine over HTTP, with FastAPI and uvicorn (extra `server`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsim.utils.lazy import attach as _attach

if TYPE_CHECKING:
    from alsim.engine.server.app import create_app
    from alsim.engine.server.serving import serve

_HOMES = {"create_app": "alsim.engine.server.app", "serve": "alsim.engine.server.serving"}

__all__ = ["create_app", "serve"]

__getattr__, __dir__ = _attach(__name__, _HOMES)
