"""Store in Redis: several machines may use it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha1
from typing import Any, ClassVar, Self, TypeVar

from alsim.engine.errors import StoreError
from alsim.engine.stores.base import DELETED, UNKNOWN, Answer, Commit, Store, Stored, tombstone
from alsim.engine.stores.redis_client import Address, connect, errors, sentence

VERSION = 1
"""Version of the keys."""
SHARDS = 64
"""Number of shards of a new store in a Redis Cluster: at most so many nodes share its students."""
BATCH = 1000
"""Largest number of commands that are sent before their replies are read."""

# KEYS: the hash of the student, its log, the counters of its shard.
# ARGV: version, version after, state, name, field of the key or "", answer, number of entries, entries, counters.
# All checks, also of types (LLEN, HLEN), precede all changes. Redis tests its limit of memory before a script only.
COMMIT = """
local found = redis.call('HMGET', KEYS[1], 'v', 's', ARGV[5])
if (found[1] or '0') ~= ARGV[1] or (found[1] and not found[2]) or found[3] then return 0 end
redis.call('LLEN', KEYS[2])
redis.call('HLEN', KEYS[3])
redis.call('HSET', KEYS[1], 'v', ARGV[2], 's', ARGV[3])
if not found[1] then redis.call('HSET', KEYS[1], 'n', ARGV[4]) end
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], ARGV[5], ARGV[6]) end
local last = 7 + ARGV[7]
for i = 8, last do redis.call('RPUSH', KEYS[2], ARGV[i]) end
for i = last + 1, #ARGV, 2 do redis.call('HINCRBY', KEYS[3], ARGV[i], ARGV[i + 1]) end
return 1
"""
# The version remains as the tombstone. HDEL and DEL are allowed while the memory is full; HSET is not.
DELETE = """
if redis.call('HEXISTS', KEYS[1], 's') == 0 then return 0 end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if field ~= 'v' then redis.call('HDEL', KEYS[1], field) end
end
redis.call('DEL', KEYS[2])
return 1
"""
ADD = """
for i = 1, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
"""
Result = TypeVar("Result")


class RedisStore(Store):
    """Students in a Redis server or a Redis Cluster.

    address  `redis://HOST:PORT/DB`, `rediss://` with TLS, or `unix://PATH?db=DB`, as `redis_client.Address` describes
    client   client of redis-py with `decode_responses=False`, such as one of Sentinel; None makes one for the address

    A student is a hash with version `v`, state `s`, name `n` and idempotency keys, and a list, its log. The keys of a
    shard of students share one slot of a cluster with the counters of the shard, so that one script changes all of
    them. Counters are sums over shards; a single server has one shard.
    Raises StoreError if Redis cannot be reached or would evict students, and if the keys have another version.
    """

    kind: ClassVar[str] = "redis"

    def __init__(self, address: str, *, client: Any = None) -> None:
        self._address = Address.read(address)
        self._client = connect(self._address) if client is None else client
        self._is_cluster = hasattr(self._client, "get_primaries")
        self._hashes = {script: sha1(script.encode()).hexdigest() for script in (COMMIT, DELETE, ADD)}
        self._prefix = self._address.prefix
        try:
            self._shards = self._call(self._prepare)
        except StoreError:
            if client is None:
                self._client.close()
            raise

    @classmethod
    def at(cls, address: str) -> Self:
        """Return the store at an address."""
        return cls(address)

    def __repr__(self) -> str:
        return f"RedisStore({self._address.public!r})"

    # ── interface ───────────────────────────────────────────────────────────────────────────────

    def load(self, student: str, key: str | None = None) -> Stored:
        """Return what the store has of a student, with the answer to an idempotency key."""
        fields = ["v", "s"] if key is None else ["v", "s", _field(key)]
        return _stored(self._call(lambda: self._client.hmget(self._key(student), fields)))

    def load_many(self, students: Sequence[str]) -> list[Stored]:
        """Return what the store has of each student."""
        return [_stored(found) for found in self._pipelined("HMGET", [(self._key(s), "v", "s") for s in students])]

    def commit(self, change: Commit) -> bool:
        """Make a change in one script, and return whether it was made."""
        return bool(self._run(COMMIT, self._keys(change.student), _arguments(change)))

    def commit_many(self, changes: Sequence[Commit]) -> list[bool]:
        """Make changes, one script each, sent together; return whether each was made."""
        script = ("EVAL", COMMIT) if self._is_cluster else ("EVALSHA", self._hashes[COMMIT])
        calls = [(script[1], 3, *self._keys(change.student), *_arguments(change)) for change in changes]
        return [*map(bool, self._pipelined(script[0], calls))]

    def entries(self, student: str) -> list[bytes]:
        """Return the log of a student."""
        found: list[bytes] = self._call(lambda: self._client.lrange(self._keys(student)[1], 0, -1))
        return found

    def students(self) -> Iterator[str]:
        """Return the names of the students."""
        match = f"{self._prefix}:{{*}}:?*"
        own = re.compile(re.escape(f"{self._prefix}:").encode() + rb"\{\w+\}:[0-9a-f]{32}")
        keys = self._call(lambda: {*filter(own.fullmatch, self._client.scan_iter(match=match, count=BATCH))})
        names = self._pipelined("HGET", [(key, "n") for key in keys])
        return iter([_name(name) for name in names if name is not None])

    def delete(self, student: str) -> bool:
        """Delete log, state and keys of a student."""
        return bool(self._run(DELETE, self._keys(student)[:2], []))

    def counters(self) -> dict[str, int]:
        """Return the shared counters by name, without those that are 0."""
        found: dict[str, int] = {}
        for shard in self._pipelined("HGETALL", [(self._counters(k),) for k in range(self._shards)]):
            for name, value in _pairs(shard):
                found[_name(name)] = found.get(_name(name), 0) + int(value)
        return {name: value for name, value in found.items() if value}

    def read_counters(self, names: Sequence[str]) -> list[int]:
        """Return the shared counters with some names, 0 for unknown ones."""
        if not names:
            return []
        fields = [_bytes(name) for name in names]
        shards = self._pipelined("HMGET", [(self._counters(k), *fields) for k in range(self._shards)])
        return [sum(int(value or 0) for value in values) for values in zip(*shards, strict=True)]

    def set_counters(self, counters: Mapping[str, int]) -> None:
        """Replace all shared counters, by adding the differences in one script: changes by others meanwhile remain."""
        present = self.counters()
        changes = {name: counters.get(name, 0) - present.get(name, 0) for name in (*present, *counters)}
        added = [value for name, change in changes.items() if change for value in (_bytes(name), change)]
        self._run(ADD, [self._counters(0)], added)

    def read_note(self, name: str) -> str | None:
        """Return a text by name."""
        found = self._call(lambda: self._client.hget(f"{self._prefix}:notes", _bytes(name)))
        return None if found is None else _name(found)

    def write_note(self, name: str, text: str) -> None:
        """Store a text under a name."""
        self._call(lambda: self._client.hset(f"{self._prefix}:notes", _bytes(name), _bytes(text)))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # ── keys ────────────────────────────────────────────────────────────────────────────────────

    def _key(self, student: str) -> str:
        """Return the key of the hash of a student. It has a hash of the name, so that tombstones do not contain it."""
        name = tombstone(student)
        return f"{self._prefix}:{{{int.from_bytes(name[:4], 'little') % self._shards}}}:{name.hex()}"

    def _keys(self, student: str) -> list[str]:
        """Return the keys that a commit changes."""
        key = self._key(student)
        return [key, f"{key}:log", f"{key.rpartition(':')[0]}:counters"]

    def _counters(self, shard: int) -> str:
        """Return the key of the counters of a shard."""
        return f"{self._prefix}:{{{shard}}}:counters"

    def _prepare(self) -> int:
        """Write the format of a new store, and return the number of shards. Raises StoreError for another format."""
        _check_server(self._client, self._address.public, self._is_cluster)
        text = json.dumps({"version": VERSION, "shards": SHARDS if self._is_cluster else 1})
        key = f"{self._prefix}:format"
        self._client.set(key, text, nx=True)
        stored = self._client.get(key)
        try:
            found = json.loads(stored)
            version, shards = int(found["version"]), int(found["shards"])
        except (KeyError, TypeError, ValueError):
            raise StoreError(
                f"{self._address.public}: {key!r} is no format of a store of alsim; choose another prefix with "
                "`?prefix=NAME`"
            ) from None
        if version != VERSION:
            raise StoreError(
                f"{self._address.public} has a store of version {version}; expected version {VERSION}: use the version "
                "of alsim that wrote it, or another prefix with `?prefix=NAME`"
            )
        return shards

    # ── calls ───────────────────────────────────────────────────────────────────────────────────

    def _call(self, call: Callable[[], Result]) -> Result:
        """Return the result of a call. Raises StoreError, with the address and the cure, for an error of Redis."""
        try:
            return call()
        except errors() as error:
            raise StoreError(f"{self._address.public}: {sentence(error, self._address.timeout)}") from error

    def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Return the result of a script, which is loaded if Redis does not have it, for example after a restart."""
        from redis.exceptions import NoScriptError

        def run() -> Any:
            try:
                return self._client.evalsha(self._hashes[script], len(keys), *keys, *arguments)
            except NoScriptError:
                return self._client.eval(script, len(keys), *keys, *arguments)

        return self._call(run)

    def _pipelined(self, command: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the results of a command with several lists of arguments, sent together."""
        batches = [calls[begin : begin + BATCH] for begin in range(0, len(calls), BATCH)]
        found = [result for batch in batches for result in self._batch(command, batch)]
        for result in found:
            if isinstance(result, Exception):
                raise StoreError(f"{self._address.public}: {sentence(result, self._address.timeout)}") from result
        return found

    def _batch(self, command: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the results of one batch; commands that changed nothing, as their script was lost, are sent again."""
        from redis.exceptions import NoScriptError

        results = self._call(partial(self._sent, command, calls))
        lost = [i for i, result in enumerate(results) if isinstance(result, NoScriptError)]
        if lost:
            self._call(lambda: self._client.script_load(COMMIT))
            again = self._call(partial(self._sent, command, [calls[i] for i in lost]))
            for i, result in zip(lost, again, strict=True):
                results[i] = result
        return results

    def _sent(self, command: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the results of a command with several lists of arguments; an error of one is its result."""
        pipeline = self._client.pipeline() if self._is_cluster else self._client.pipeline(transaction=False)
        for arguments in calls:
            pipeline.execute_command(command, *arguments)
        results: list[Any] = pipeline.execute(raise_on_error=False)
        return results


def _check_server(client: Any, address: str, is_cluster: bool) -> None:
    """Raise StoreError for a server that deletes keys when its memory is full, and for a node of a cluster alone."""
    from redis.exceptions import ResponseError

    try:
        found, kind = client.info("memory"), {} if is_cluster else client.info("cluster")
    except ResponseError:  # not permitted, or renamed, by the provider
        return
    if int(kind.get("cluster_enabled", 0)):
        raise StoreError(f"{address} belongs to a Redis Cluster: add `?cluster=true` to the address")
    for values in found.values() if all(isinstance(v, dict) for v in found.values()) else [found]:
        policy = str(values.get("maxmemory_policy", ""))
        if policy.startswith("allkeys") and int(values.get("maxmemory", 0)) > 0:
            raise StoreError(
                f"{address} deletes students when its memory is full (maxmemory-policy {policy}): set it to noeviction"
            )


def _stored(found: Sequence[Any]) -> Stored:
    """Return what a store has of a student, from its version, its state, and the answer to a key."""
    version, state, *others = found
    if state is None:
        return UNKNOWN if version is None else DELETED
    answer = others[0] if others else None
    if answer is None:
        return Stored(int(version), state)
    size = int.from_bytes(answer[:4], "little")
    return Stored(int(version), state, answer=Answer(answer[4 : 4 + size], answer[4 + size :]))


def _arguments(change: Commit) -> list[Any]:
    """Return the arguments of the script of a commit."""
    field, answer = b"", b""
    if change.key is not None and change.answer is not None:
        field = _field(change.key)
        answer = len(change.answer.request).to_bytes(4, "little") + change.answer.request + change.answer.body
    counts = [value for name, addend in change.counts for value in (_bytes(name), addend)]
    return [
        *(change.version, change.version + 1, change.state, _bytes(change.student), field, answer),
        *(len(change.entries), *change.entries, *counts),
    ]


def _field(key: str) -> bytes:
    """Return the field of an idempotency key."""
    return b"k" + _bytes(key)


def _pairs(found: Any) -> list[tuple[bytes, bytes]]:
    """Return the fields of a hash: clients return a dictionary, or a list of names and values from pipelines."""
    if isinstance(found, Mapping):
        return list(found.items())
    return list(zip(found[::2], found[1::2], strict=True))


def _bytes(text: str) -> bytes:
    """Return a text as Redis stores it."""
    return text.encode("utf-8", "surrogatepass")


def _name(stored: bytes) -> str:
    """Return the text that `_bytes` has converted."""
    return stored.decode("utf-8", "surrogatepass")


__all__ = ["RedisStore"]
