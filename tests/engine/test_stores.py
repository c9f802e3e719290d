"""The contract of stores, over all stores that need no server; tests/compat/test_redis.py has those of Redis."""

from collections import defaultdict
from importlib.metadata import EntryPoint

import pytest

from alsim.engine import AdaptiveEngine, EngineError
from alsim.engine import stores as registry
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


@pytest.mark.ci
@pytest.mark.parametrize("name", CHECKS)
def test_a_store_keeps_its_contract(make, name):
    with closing_all(make()) as connect:
        CHECKS[name](connect)


class Forgetful(MemoryStore):
    """A store that appends entries before it checks the version."""

    def __init__(self):
        super().__init__()
        self.appended = defaultdict(list)

    def commit(self, change):
        self.appended[change.student].extend(change.entries)
        return super().commit(change)

    def entries(self, student):
        return list(self.appended[student])


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


# ── addresses ────────────────────────────────────────────────────────────────────────────────────


class Toy(MemoryStore):
    """A store of another distribution."""

    kind = "toy"

    @classmethod
    def at(cls, address):
        store = cls()
        store.write_note("address", address)
        return store


@pytest.fixture
def distributed(monkeypatch):
    """Entry points of other distributions: a store, and something else."""
    points = {name: EntryPoint(name, f"alsim.{name}:Toy", registry.GROUP) for name in ("toy", "other")}
    monkeypatch.setattr(registry, "plugins", lambda group, registered: points if group == registry.GROUP else {})
    monkeypatch.setattr(registry, "load_plugin", lambda point: Toy if point.name == "toy" else dict)


def test_a_store_of_another_distribution_has_an_address(distributed):
    engine = AdaptiveEngine({"a": []}, [{"id": "q", "skills_assessed": ["a"]}], store="toy:host/db?x=1")
    assert isinstance(engine.store, Toy) and engine.store.read_note("address") == "toy:host/db?x=1"
    with pytest.raises(EngineError, match="the address of a store must be memory, sqlite:PATH or redis"):
        open_store("other:x")


def test_a_store_that_is_passed_is_used():
    store = Toy()
    assert open_store(store) is store


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("mysql://user:s3cret@host/db", "mysql://***@host/db"),
        ("mysql://user:s3c@ret@host", "mysql://***@host"),
        ("s3cret", "s3cret"),
        ("", ""),
        (None, None),
        (3, 3),
    ],
)
def test_an_unknown_address_is_shown_without_its_password(address, shown):
    with pytest.raises(EngineError, match="the address of a store must be") as caught:
        open_store(address)
    assert str(caught.value).endswith(f"got {shown!r}")
