"""Addresses of Redis, clients for them, and the sentences for their errors. Passwords occur in none of the texts."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from alsim.engine.errors import EngineError, StoreError
from alsim.utils.optional import require

PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
OPTIONS = ("prefix", "timeout", "cluster", "db")


class Address(NamedTuple):
    """Address of a store in Redis: `redis://USER:PASSWORD@HOST:PORT/DB?OPTION=VALUE&…`.

    The options are `prefix` (text with which the keys begin, `alsim`), `timeout` (seconds to wait for an answer, 5),
    `cluster` (`true` for a Redis Cluster, of which HOST is any node), and those of TLS, such as `ssl_ca_certs`.
    """

    url: str
    """URL for the client, with the password."""
    public: str
    """Address without user and password, for messages."""
    prefix: str = "alsim"
    timeout: float = 5.0
    is_cluster: bool = False

    def __repr__(self) -> str:
        return f"Address({self.public!r})"

    @classmethod
    def read(cls, address: str) -> Address:
        """Return the address in a text. Raises EngineError, whose message has no password."""
        try:
            parts = urlsplit(address)
            _ = parts.port
        except ValueError:
            raise EngineError(
                "the address of a store in Redis has an invalid host or port: write redis://HOST:PORT/DB, with special "
                "characters of a password as %XX"
            ) from None
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        for name in options:
            if name not in OPTIONS and not name.startswith("ssl_"):
                raise EngineError(
                    f"a store in Redis has the options {', '.join(OPTIONS)} and ssl_…; got {name!r:.50}; write user "
                    "and password before the host, as redis://USER:PASSWORD@HOST:PORT/DB"
                )
        place = parts.netloc.rpartition("@")[2]
        public = f"{parts.scheme}://{place}{parts.path}"
        if parts.scheme != "unix" and not re.fullmatch(r"/?\d*", parts.path):
            raise EngineError(f"the database of a store in Redis must be a number, such as {parts.scheme}://{place}/0")
        prefix, cluster = options.pop("prefix", "alsim"), options.pop("cluster", "false")
        if not PREFIX.fullmatch(prefix):
            raise EngineError(f"{public}: prefix must be 1 to 64 letters, digits, or _ . : -; got {prefix!r:.100}")
        if cluster not in ("true", "false"):
            raise EngineError(f"{public}: cluster must be true or false; got {cluster!r:.100}")
        timeout = _timeout(public, options.pop("timeout", "5"))
        url = f"{parts.scheme}://{parts.netloc}{parts.path}?{urlencode(options)}"
        return cls(url, public, prefix, timeout, cluster == "true")


def _timeout(public: str, text: str) -> float:
    """Return a timeout, seconds. Raises EngineError."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise EngineError(f"{public}: timeout must be a positive number of seconds; got {text!r:.100}")
    return found


def connect(address: Address) -> Any:
    """Return a client. Raises EngineError for an address that it does not accept, and MissingExtra without redis-py.

    The client does not send a command again: after a lost connection, a change may have been made already.
    """
    redis = require("redis", "redis", "a store in Redis")
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    options: dict[str, Any] = {
        "socket_timeout": address.timeout,
        "socket_connect_timeout": address.timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # with it, all versions of redis-py notice that an idle connection was closed by the server
    }
    try:
        if address.is_cluster:
            return redis.cluster.RedisCluster.from_url(address.url, **options)
        client = redis.Redis.from_url(address.url, **options)
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)  # checks the options
        return client
    except errors() as error:
        raise StoreError(f"{address.public}: {sentence(error, address.timeout)}") from error
    except (TypeError, ValueError):  # their messages may repeat the URL
        raise EngineError(f"{address.public}: the address has an invalid option; write redis://HOST:PORT/DB") from None


def errors() -> tuple[type[Exception], ...]:
    """Return the classes of errors of a client."""
    from redis.exceptions import RedisClusterException, RedisError

    return RedisError, RedisClusterException, OSError


def sentence(error: Exception, timeout: float) -> str:
    """Return what is wrong with a store, and the cure.

    timeout  seconds that the client waits
    """
    text = str(error)
    full = "Redis is out of memory, and nothing was changed: raise maxmemory, or use a larger machine"
    lacking = "the user lacks a permission: allow reads, writes, EVAL, EVALSHA and SCRIPT on keys with the prefix"
    cures = {
        "OOM ": full,
        "maxmemory": full,
        "MISCONF": "Redis cannot write to its disk, and nothing was changed: free space on its disk",
        "NOAUTH": "Redis wants a password: write redis://USER:PASSWORD@HOST:PORT/DB",
        "Authentication required": "Redis wants a password: write redis://USER:PASSWORD@HOST:PORT/DB",
        "WRONGPASS": "Redis refuses user and password: correct them in the address",
        "invalid username-password": "Redis refuses user and password: correct them in the address",
        "invalid password": "Redis refuses user and password: correct them in the address",
        "without any password": "Redis has no password for this user: remove it from the address",
        "NOPERM": lacking,
        "no permissions": lacking,
        "read only replica": "the server is a replica, and nothing was changed: use the address of the primary",
        "loading the dataset": "Redis is still loading its data: try again",
        "MOVED": "the server belongs to a Redis Cluster: add `?cluster=true` to the address",
        "Cluster mode is not enabled": "the server belongs to no Redis Cluster: remove `cluster=true` from the address",
        "WRONGTYPE": "a key of the store has been changed by another program: restore a copy, or use another prefix",
        "DB index": "Redis has no such database: correct its number in the address",
    }
    found = next((cure for part, cure in cures.items() if part in text), None)
    if found is not None:
        return found
    from redis.exceptions import ConnectionError, TimeoutError

    again = "if this was a response, repeat it with its idempotency key, because it may have been stored"
    if isinstance(error, TimeoutError):
        return f"Redis did not answer within {timeout:g} s: {again}"
    if isinstance(error, ConnectionError | OSError) or "cannot be connected" in text:
        return f"Redis cannot be reached: start it, or correct the address; {again}"
    return f"the store cannot be used: {text}"


__all__ = ["Address", "connect", "errors", "sentence"]
