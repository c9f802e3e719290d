"""Stores of the engine, by address.

`STORES` is the table of kinds: the part of an address before the colon, with the class that opens it by its method
`at(address)`. A distribution adds a kind by an entry point of the group `alsim.engine.stores`.
"""

from __future__ import annotations

import re
from typing import Any

from alsim.engine.errors import EngineError, StoreError
from alsim.engine.stores.base import Answer, Commit, Store, Stored
from alsim.utils.plugins import import_object, load_plugin, plugins

GROUP = "alsim.engine.stores"
"""Group of the entry points of stores: the name is the kind, and the object a subclass of Store."""
ADDRESSES = ("memory", "sqlite:PATH", "redis://HOST:PORT/DB")
"""Addresses of stores."""
STORES = {
    "memory": "alsim.engine.stores.memory:MemoryStore",
    "sqlite": "alsim.engine.stores.sqlite:SQLiteStore",
    "redis": "alsim.engine.stores.redis:RedisStore",
    "rediss": "alsim.engine.stores.redis:RedisStore",
    "unix": "alsim.engine.stores.redis:RedisStore",
}
"""Module and class of each kind of store."""


def open_store(address: Any) -> Store:
    """Return the store with an address: `memory`, `sqlite:PATH`, or `redis://HOST:PORT/DB`; a Store is returned.

    Raises EngineError for another address, and StoreError if the store cannot be opened. Messages contain no password.
    """
    if isinstance(address, Store):
        return address
    kind = address.partition(":")[0] if isinstance(address, str) else ""
    reference = STORES.get(kind)
    if reference is not None:
        found = import_object(reference)
    else:
        point = plugins(GROUP, STORES).get(kind)
        found = None if point is None else load_plugin(point)
    if not (isinstance(found, type) and issubclass(found, Store)):
        raise EngineError(
            f"the address of a store must be {', '.join(ADDRESSES[:-1])} or {ADDRESSES[-1]}; "
            f"got {without_password(address)!r:.100}"
        )
    return found.at(address)


def known_kinds() -> set[str]:
    """Return the kinds of stores, with which addresses begin: our own and those of other packages."""
    return {*STORES, *plugins(GROUP, STORES)}


def without_password(address: Any) -> Any:
    """Return an address without what may be a password: all between the first colon and the last @."""
    return re.sub(r"(?s):.*@", "://***@", address) if isinstance(address, str) else address


__all__ = [
    "ADDRESSES",
    "STORES",
    "Answer",
    "Commit",
    "Store",
    "StoreError",
    "Stored",
    "known_kinds",
    "open_store",
    "without_password",
]
