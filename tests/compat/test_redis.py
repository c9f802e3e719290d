"""Stores in Redis, on servers that the tests start and stop: `nox -s compat-redis`."""

import os
import socket
import subprocess
import threading
import time

import engine_writers as writers
import pytest
from typer.testing import CliRunner

from alsim.cli.app import app
from alsim.engine import EngineError, StoreError
from alsim.engine.stores import open_store
from alsim.engine.stores.base import Answer, Commit, Stored
from alsim.engine.stores.contract import CHECKS, closing_all
from alsim.engine.stores.redis import RedisStore
from alsim.utils.optional import MissingExtra
from benchmarks.redis_server import DURABLE, PROGRAM, RedisServer

redis = pytest.importorskip("redis")

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*cluster_error_retry_attempts:DeprecationWarning"),  # of redis-py 6.2 itself
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster with one node, which refuses commands on keys of several slots."""
    with RedisServer(tmp_path_factory.mktemp("cluster"), "--cluster-enabled", "yes") as started:
        client = redis.Redis(port=started.port)
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO", **{"NEVER_DECODE": True}):
            time.sleep(0.05)
        client.close()
        yield started


def emptied(server):
    """Return the client of a server without keys."""
    client = redis.Redis(port=server.port, protocol=2)
    client.flushall()
    client.script_flush()  # so that scripts are loaded again
    return client


@pytest.mark.parametrize("kind", ["one server", "prefix", "cluster"])
@pytest.mark.parametrize("name", CHECKS)
def test_a_store_in_redis_keeps_its_contract(request, name, kind):
    server = request.getfixturevalue("cluster" if kind == "cluster" else "server")
    options = {"one server": "", "prefix": "?prefix=school:1&timeout=20", "cluster": "?cluster=true"}[kind]
    with emptied(server), closing_all(lambda: open_store(server.address + options)) as connect:
        CHECKS[name](connect)


def test_stores_with_other_prefixes_do_not_see_each_other(server):
    with emptied(server), open_store(server.address) as one, open_store(server.address + "?prefix=alsim:2") as two:
        assert one.commit(Commit("ann", 0, b"1", (b"e",), counts=(("n", 1),)))
        assert list(two.students()) == [] and two.counters() == {} and two.load("ann") == Stored(0, None)
        assert two.commit(Commit("bob", 0, b"2"))
        assert (list(one.students()), list(two.students())) == (["ann"], ["bob"])


def test_a_tombstone_has_no_name(server):
    with emptied(server) as client, open_store(server.address) as store:
        store.commit(Commit("Ann Nym", 0, b"state", (b"entry",), "key", Answer(b"r", b"b")))
        store.delete("Ann Nym")
        (key,) = [key for key in client.scan_iter() if client.type(key) == b"hash"]
        assert client.hgetall(key) == {b"v": b"1"} and b"Nym" not in key


# ── addresses and formats ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("redis://user:s3cret@127.0.0.1:no/0", "invalid host or port"),
        ("redis://user:s3cret@127.0.0.1:1/zero", "must be a number, such as redis://127.0.0.1:1/0"),
        ("redis://user:s3cret@127.0.0.1:1/0?prefix=a b", "prefix must be 1 to 64 letters"),
        ("redis://user:s3cret@127.0.0.1:1/0?timeout=-1", "timeout must be a positive number of seconds; got '-1'"),
        ("redis://user:s3cret@127.0.0.1:1/0?timeout=nan", "timeout must be a positive number of seconds; got 'nan'"),
        ("redis://user:s3cret@127.0.0.1:1/0?cluster=1", "cluster must be true or false; got '1'"),
        ("redis://127.0.0.1:1/0?password=s3cret", "got 'password'"),
        ("redis://user:s3cret@127.0.0.1:1/0?ssl_nonsense=1", "Redis cannot be reached|invalid option"),
        ("redsi://user:s3cret@127.0.0.1:1/0", "the address of a store must be"),
        ("user:s3cret@127.0.0.1", "the address of a store must be"),
        ("redis://user:s3cret@127.0.0.1:1/0", "redis://127.0.0.1:1/0: Redis cannot be reached: start it"),
        ("rediss://user:s3cret@127.0.0.1:1/0", "rediss://127.0.0.1:1/0: Redis cannot be reached: start it"),
        ("redis://user:s3cret@127.0.0.1:1/0?cluster=true", "redis://127.0.0.1:1/0: Redis cannot be reached: start it"),
        ("unix://user:s3cret@/nowhere/redis.sock?db=1", "unix:///nowhere/redis.sock: Redis cannot be reached"),
    ],
)
def test_an_address_that_does_not_work_is_explained_without_its_password(address, message):
    with pytest.raises(EngineError, match=message) as caught:
        open_store(address)
    error = caught.value
    while error is not None:
        assert "s3cret" not in str(error) + repr(error)
        error = error.__cause__ or error.__context__


def test_a_password_is_needed_used_and_not_shown(tmp_path):
    with RedisServer(tmp_path, "--requirepass", "s3cret") as server:
        at = f"127.0.0.1:{server.port}/0"
        with open_store(f"redis://:s3cret@{at}") as store:
            assert store.commit(Commit("ann", 0, b"1"))
            assert repr(store) == f"RedisStore('redis://{at}')"
            assert "s3cret" not in repr(store._address)
        with pytest.raises(StoreError, match="wants a password: write redis://USER:PASSWORD@HOST"):
            open_store(f"redis://{at}")
        with pytest.raises(StoreError, match="refuses user and password: correct them"):
            open_store(f"redis://:other@{at}")


def test_a_unix_socket_and_another_database(tmp_path):
    path = tmp_path / "s"
    with RedisServer(tmp_path, "--unixsocket", str(path)) as server, open_store(f"unix://{path}?db=3") as store:
        store.commit(Commit("ann", 0, b"1"))
        with open_store(f"redis://127.0.0.1:{server.port}/3") as same:
            assert list(same.students()) == ["ann"]
        with open_store(server.address) as other:
            assert list(other.students()) == []
        with pytest.raises(StoreError, match="no such database: correct its number"):
            open_store(f"redis://127.0.0.1:{server.port}/99")


def test_another_version_and_another_use_of_the_keys_are_refused(server):
    with emptied(server) as client:
        client.set("alsim:format", '{"version": 2, "shards": 1}')
        with pytest.raises(StoreError, match=r"has a store of version 2; expected version 1: use the version of alsim"):
            open_store(server.address)
        for other in ("text", "[]", '{"version": 1}', '"x"', "null"):
            client.set("alsim:format", other)
            with pytest.raises(StoreError, match=r"'alsim:format' is no format of a store of alsim; choose another"):
                open_store(server.address)
        client.delete("alsim:format")
        client.rpush("alsim:format", "x")
        with pytest.raises(StoreError, match="changed by another program"):
            open_store(server.address)


def test_keys_of_another_type_are_refused_before_anything_changes(server):
    with emptied(server) as client, open_store(server.address) as store:
        student, log, counters = store._keys("ann")
        for key in (log, counters, student):
            client.set(key, "x")
            with pytest.raises(StoreError, match="changed by another program"):
                store.commit(Commit("ann", 0, b"1", (b"e",), counts=(("n", 1),)))
            client.delete(key)
            assert not client.exists(student, log, counters)


def test_a_cluster_without_its_option_and_a_server_with_it(server, cluster):
    with emptied(server), pytest.raises(StoreError, match="belongs to no Redis Cluster|cannot be reached"):
        open_store(server.address + "?cluster=true")
    with emptied(cluster), pytest.raises(StoreError, match=r"belongs to a Redis Cluster: add `\?cluster=true`"):
        open_store(cluster.address)


def test_a_missing_package_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises((MissingExtra, EngineError), match="redis"):
        RedisStore("redis://127.0.0.1:1/0")


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


def test_a_full_redis_refuses_changes_and_allows_reading_and_deleting(tmp_path):
    with RedisServer(tmp_path, "--maxmemory", "4mb", "--maxmemory-policy", "noeviction") as server:
        store, count = open_store(server.address), 0
        with pytest.raises(StoreError, match="out of memory, and nothing was changed: raise maxmemory"):
            while True:
                state = b"%d" % count
                change = Commit(f"s{count}", 0, state * 5000, (state * 5000,), "k", Answer(b"r", state), (("n", 1),))
                assert store.commit(change)
                count += 1
        assert count > 10
        assert store.load(f"s{count}", "k") == Stored(0, None) and store.entries(f"s{count}") == []
        assert store.counters() == {"n": count} and len(list(store.students())) == count
        with pytest.raises(StoreError, match="out of memory"):
            store.commit_many([Commit("s0", 1, b"x"), Commit("s1", 1, b"x")])
        assert store.load_many(["s0", "s1"]) == [store.load("s0"), store.load("s1")]
        assert store.load("s0").version == 1
        for k in range(count // 2):  # deleting is allowed, and frees memory
            assert store.delete(f"s{k}")
        assert store.load("s0").is_deleted
        assert store.commit(Commit(f"s{count - 1}", 1, b"x"))
        store.close()


def test_a_redis_that_deletes_students_is_refused(tmp_path):
    message = r"deletes students .* \(maxmemory-policy allkeys-lru\): set it to noeviction"
    with (
        RedisServer(tmp_path, "--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru") as server,
        pytest.raises(StoreError, match=message),
    ):
        open_store(server.address)


def test_redis_goes_away_and_comes_back(tmp_path):
    with RedisServer(tmp_path, *DURABLE, "--appendfsync", "always") as server, open_store(server.address) as store:
        changes = [Commit(f"s{k}", 0, b"1", (b"e",)) for k in range(3)]
        assert store.commit_many(changes) == [True] * 3
        server.kill()
        for call in (
            lambda: store.commit(Commit("s0", 1, b"2", (b"f",))),
            lambda: store.load("s0"),
            lambda: store.load_many(["s0"]),
            lambda: store.commit_many(changes),
            lambda: store.entries("s0"),
            lambda: list(store.students()),
            store.counters,
        ):
            with pytest.raises(StoreError, match=r"Redis cannot be reached: start it, .* with its idempotency key"):
                call()
        server.start()
        assert store.load("s0") == Stored(1, b"1")
        assert store.commit(Commit("s0", 1, b"2", (b"f",)))  # the script was lost
        server.stop()
        server.start()
        many = [Commit("s1", 1, b"2", (b"f",)), Commit("s2", 0, b"late"), Commit("s3", 0, b"1")]
        assert store.commit_many(many) == [True, False, True]  # also in a pipeline
        assert store.entries("s1") == [b"e", b"f"]


def test_a_redis_that_hangs_is_given_up_after_the_timeout(tmp_path):
    with RedisServer(tmp_path) as server, open_store(server.address + "?timeout=0.2") as store:
        assert store.commit(Commit("bob", 0, b"1"))  # loads the script
        os.kill(server.process.pid, 19)  # SIGSTOP
        try:
            start = time.monotonic()
            with pytest.raises(StoreError, match=r"did not answer within 0\.2 s: .* with its idempotency key"):
                store.commit(Commit("ann", 0, b"1"))
            assert time.monotonic() - start < 5
        finally:
            os.kill(server.process.pid, 18)  # SIGCONT
        while store.load("ann").version == 0:  # the command was sent
            time.sleep(0.01)
        assert not store.commit(Commit("ann", 0, b"1"))


def test_a_replica_refuses_changes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with RedisServer(tmp_path / "a") as primary, RedisServer(tmp_path / "b") as replica:
        open_store(primary.address).close()
        with open_store(replica.address) as store:
            client = redis.Redis(port=replica.port)
            client.replicaof("127.0.0.1", primary.port)
            with pytest.raises(StoreError, match="is a replica, and nothing was changed: use the address of the prim"):
                store.commit(Commit("ann", 0, b"1"))
            client.close()


def test_a_user_without_permissions(server):
    with emptied(server) as client:
        client.acl_setuser("reader", enabled=True, passwords=["+pw"], keys=["*"], categories=["+@read", "+@connection"])
        with pytest.raises(StoreError, match="lacks a permission: allow reads, writes, EVAL"):
            open_store(f"redis://reader:pw@127.0.0.1:{server.port}/0")
        client.acl_deluser("reader")


def test_a_forked_process_and_threads_share_a_store(server):
    with emptied(server), open_store(server.address) as store:
        assert store.commit(Commit("ann", 0, b"1"))
        child = os.fork()
        if child == 0:
            os._exit(0 if store.commit(Commit("ann", 1, b"2")) else 1)
        assert os.waitpid(child, 0)[1] == 0
        threads = [threading.Thread(target=store.commit, args=(Commit(f"t{k}", 0, b""),)) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.load("ann").version == 2 and len(list(store.students())) == 9


# ── writers ──────────────────────────────────────────────────────────────────────────────────────


def test_the_final_state_of_many_writers_is_that_of_a_sequential_replay(server):
    with emptied(server):
        writers.check_many_writers(server.address)


def test_concurrent_repeats_of_a_key_have_one_effect(server):
    with emptied(server):
        writers.check_repeats(server.address)


def test_writers_that_are_killed_twenty_times_lose_nothing_that_was_acknowledged(server):
    with emptied(server):
        writers.check_killed_writers(server.address)


def test_a_redis_that_is_killed_loses_about_a_second_at_most(tmp_path):
    with RedisServer(tmp_path, *DURABLE) as server:
        writers.check_killed_server(server)


def test_tls(tmp_path):
    if not (openssl := __import__("shutil").which("openssl")):
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2"]
        + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    with RedisServer(tmp_path) as plain:
        tls = plain.port + 1 if plain.port < 65000 else plain.port - 1
        plain.stop()
        options = ("--tls-port", str(tls), "--tls-cert-file", str(certificate), "--tls-key-file", str(key))
        plain.start(*options, "--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no")
        with open_store(f"rediss://127.0.0.1:{tls}/0?ssl_ca_certs={certificate}") as store:
            assert store.commit(Commit("ann", 0, b"1"))
        with pytest.raises(StoreError, match="rediss://127.0.0.1"):
            open_store(f"rediss://127.0.0.1:{tls}/0")


def test_init_checks_that_redis_is_reached(server, tmp_path, monkeypatch):
    """Without a server, `alsim engine init` says what other commands say, and writes nothing."""
    monkeypatch.chdir(tmp_path)
    call = lambda *arguments: CliRunner().invoke(app, ["engine", *arguments])  # noqa: E731
    assert call("example", "shop").exit_code == 0
    with socket.create_server(("127.0.0.1", 0)) as free:
        absent = f"redis://127.0.0.1:{free.getsockname()[1]}/0"
    files = "--graph", "shop/skills.csv", "--catalogue", "shop/catalogue.csv"
    done = call("init", "own", *files, "--store", absent)
    assert done.exit_code != 0 and "Redis cannot be reached: start it, or correct the address" in str(done.exception)
    assert not (tmp_path / "own").exists() and "ready" not in done.stdout
    assert call("init", "own", *files, "--store", f"redis://127.0.0.1:{server.port}/0").exit_code == 0
    text = (tmp_path / "own" / "engine.toml").read_text()
    (tmp_path / "own" / "engine.toml").write_text(text.replace(str(server.port), absent.split(":")[2].split("/")[0]))
    assert str(call("show", "own").exception) == str(done.exception)
