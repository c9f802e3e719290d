"""The contract of stores, over all stores that need no server; tests/compat/test_redis.py has those of Redis."""

import pytest

from alsim.engine.stores import open_store
from alsim.engine.stores.contract import CHECKS, check_store, closing_all
from alsim.engine.stores.memory import MemoryStore


@pytest.fixture(params=["memory", "sqlite", "sqlite full"])
def make(request, tmp_path):
    """Function that makes an empty store, and returns a function that opens it."""
    made = []

    def make():
        if request.param == "memory":
            store = MemoryStore()
            return lambda: store
        made.append(f"sqlite:{tmp_path / f'{len(made)}.db'}" + "?synchronous=full" * request.param.endswith("full"))
        address = made[-1]
        return lambda: open_store(address)

    return make


@pytest.mark.parametrize("name", CHECKS)
def test_a_store_keeps_its_contract(make, name):
    with closing_all(make()) as connect:
        CHECKS[name](connect)


class Forgetful(MemoryStore):
    """A store that appends entries before it checks the version."""

    def commit(self, change):
        self._entries.setdefault(change.student, []).extend(change.entries)
        return super().commit(change._replace(entries=()))


def test_the_contract_finds_a_half_written_commit():
    def make():
        store = Forgetful()
        return lambda: store

    with pytest.raises(AssertionError, match="versions: a refused change leaves no entry"):
        check_store(make)


def test_a_store_passes_all_checks():
    def make():
        store = MemoryStore()
        return lambda: store

    assert check_store(make) == list(CHECKS)
