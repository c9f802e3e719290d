"""Stores of the engine, by address."""

from __future__ import annotations

from typing import Any

from alsim.engine.errors import EngineError
from alsim.engine.stores.base import Answer, Commit, Store, Stored

ADDRESSES = ("memory", "sqlite:PATH", "redis://HOST:PORT/DB")
"""Addresses of stores."""


def open_store(address: Any) -> Store:
    """Return the store with an address: `memory`, `sqlite:PATH`, or `redis://HOST:PORT/DB`; a Store is returned.

    Raises EngineError for another address, and StoreError if the store cannot be opened.
    """
    if isinstance(address, Store):
        return address
    kind, _, rest = address.partition(":") if isinstance(address, str) else ("", "", "")
    if address == "memory":
        from alsim.engine.stores.memory import MemoryStore

        return MemoryStore()
    if kind == "sqlite" and rest:
        from alsim.engine.stores.sqlite import SQLiteStore

        return SQLiteStore.at(rest)
    raise EngineError(
        f"the address of a store must be {', '.join(ADDRESSES[:-1])} or {ADDRESSES[-1]}; got {address!r:.100}"
    )


__all__ = ["ADDRESSES", "Answer", "Commit", "Store", "Stored", "open_store"]
