"""The server of the engine: every status and sentence, in this process (`nox -s compat-server`)."""

import gzip
import http.client
import json
import logging
import re
import socket
import sys
import threading
import time
import zlib
from contextlib import contextmanager
from urllib.parse import quote

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import in_thread, make_engine, until

from alsim.assignment import Experiment
from alsim.engine import EngineError, StoreError
from alsim.engine.server import create_app, routes, serve, serving
from alsim.engine.server.app import STATUSES
from alsim.engine.server.boundary import MAX_BODY
from alsim.engine.stores.memory import MemoryStore

KEY = "correct-horse-battery-staple"
JSON = {"Content-Type": "application/json"}
ANSWER = {"item": "count-1", "correct": True}


@contextmanager
def client_of(app, **options):
    with in_thread(app) as url, httpx.Client(base_url=url, timeout=30, **options) as client:
        yield client


@pytest.fixture(scope="module")
def client():
    """A client of a server without a key, over an engine in memory."""
    with client_of(create_app(make_engine())) as made:
        yield made


@pytest.fixture(scope="module")
def guarded():
    """A client of a server with a key, which the client does not send."""
    with client_of(create_app(make_engine(), api_key=KEY)) as made:
        yield made


@pytest.fixture
def student(request):
    """Path of a student whom no other test uses."""
    return f"/v1/students/{quote(request.node.name, safe='')}"


def error_of(response, status):
    """Return the sentence of an error, and check its form."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    assert "\n" not in body["error"]
    assert "Traceback" not in body["error"]
    return body["error"]


# ── the routes ───────────────────────────────────────────────────────────────────────────────────


def test_the_routes_do_what_the_engine_does(client, student):
    """The twin is an engine in Python, which sees the same events at the same times."""
    twin, name = make_engine(), "test_the_routes_do_what_the_engine_does"
    made = client.post(f"{student}/recommend", json={"n": 2, "time": 100})
    expected = [found.to_dict() for found in twin.recommend(name, 2, time=100)]
    assert made.status_code == 200
    assert made.json() == {"student": name, "recommendations": expected}
    done = client.post(f"{student}/responses", json={**ANSWER, "seconds": 12.5, "satisfaction": -2, "time": 101})
    assert (
        done.json() == twin.process_response(name, "count-1", True, seconds=12.5, satisfaction=-2, time=101)._asdict()
    )
    done = client.post(f"{student}/contents", json={"item": "video", "seconds": 60, "satisfaction": 4.5, "time": 102})
    assert done.json() == twin.process_content(name, "video", seconds=60, satisfaction=4.5, time=102)._asdict()
    assert client.get(student).json() == json.loads(json.dumps(twin.export(name)))
    short = client.get(f"{student}?events=false").json()
    assert short == {key: value for key, value in twin.export(name).items() if key != "events"}
    assert client.delete(student).status_code == 204
    assert error_of(client.get(student), 404).startswith(f"there is no student {name!r}: it was deleted")


def test_recommend_has_defaults(client, student):
    plain = client.post(f"{student}/recommend")
    assert [found["item"] for found in plain.json()["recommendations"]] != []
    for body in ({}, {"n": 5}, {"n": 5.0}, {"n": 1, "time": None}):
        assert client.post(f"{student}/recommend", json=body).status_code == 200


@pytest.mark.parametrize("correct", [True, 1, 1.0])
def test_answers_may_be_numbers(client, student, correct):
    assert client.post(f"{student}/responses", json={"item": "count-1", "correct": correct}).status_code == 200
    assert client.get(student).json()["events"][0]["correct"] == 1


def test_scores_are_for_models_with_partial_credit(student):
    with client_of(create_app(make_engine(model="alosi"))) as client:
        send = lambda score: client.post(f"{student}/responses", json={"item": "count-1", "correct": score})  # noqa: E731
        assert [send(score).status_code for score in (0.25, True, 0)] == [200] * 3
        assert [event["correct"] for event in client.get(student).json()["events"]] == [0.25, 1, 0]
        for score in (-0.1, 1.1, "0.5", None):
            assert "correct of the body" in error_of(send(score), 422)


def test_a_recalibrated_model_is_used_without_a_restart(monkeypatch, tmp_path):
    """Another engine on the same store has fitted the model again."""
    monkeypatch.setattr(routes, "REFRESH_SECONDS", 0.05)
    address = f"sqlite:{tmp_path}/students.sqlite"
    with client_of(create_app(make_engine(address), close_engine=True)) as client:
        other = make_engine(address)
        for k in range(40):
            for i in range(4):
                other.process_response(f"s{k}", "count-1", (k + i) % 4 > 0)
        before = client.get("/v1/students/s0?events=false").json()
        other.recalibrate()
        assert other.digest != before["model"]
        until(lambda: client.get("/v1/students/s0?events=false").json()["model"] == other.digest)
        assert client.get("/v1/students/s0?events=false").json()["mastery"] == other.mastery("s0")
        other.close()


def test_a_repeated_key_has_one_effect(client, student):
    send = lambda body, key: client.post(f"{student}/responses", json=body, headers={"Idempotency-Key": key})  # noqa: E731
    first = send(ANSWER, "event 1")
    assert first.json()["interactions"] == 1
    assert [send(ANSWER, "event 1").content for _ in range(3)] == [first.content] * 3
    assert len(client.get(student).json()["events"]) == 1
    assert "was used before" in error_of(send({**ANSWER, "correct": False}, "event 1"), 409)
    assert "was used before" in error_of(send({**ANSWER, "time": 1}, "event 1"), 409)
    assert send(ANSWER, "event 2").json()["interactions"] == 2


NAMES = (
    *("anna", "a/b", "a%2Fb", "..", ".", "a b", "a+b", "?events=false", "#", "a\\b", "a;b=c", "é", "e\u0301"),
    *("日本語", "🦊🦊", "Ω" * 256, "recommend", "x/recommend", "%", "%00", "warm-up", "'\"<script>"),
)


def test_names_of_all_kinds_are_students_of_their_own():
    """http.client sends paths as they are, while other clients remove dots."""
    engine = make_engine()
    with in_thread(create_app(engine)) as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        headers = {"Content-Type": "application/json"}
        for name in NAMES:
            path = f"/v1/students/{quote(name, safe='')}"
            connection.request("POST", f"{path}/recommend", "{}", headers)
            assert json.loads(connection.getresponse().read())["student"] == name
            connection.request("GET", path)
            assert json.loads(connection.getresponse().read())["student"] == name
        connection.close()
    assert sorted(engine.students()) == sorted(NAMES)


def test_health_reads_from_the_store(client):
    assert client.get("/health").json() == {"status": "ok", "store": "memory"}


def test_metrics_have_counts_and_seconds(student):
    with client_of(create_app(make_engine())) as client:
        for _ in range(3):
            client.post(f"{student}/recommend")
        client.get(student)
        client.get(f"{student}-unknown")
        client.request("BREW", "/coffee")
        response = client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert student.rpartition("/")[2] not in response.text
    counts, sums = {}, {}
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            labels = tuple(sample.labels.get(name) for name in ("method", "route", "status"))
            if sample.name == "alsim_request_seconds_count":
                counts[labels] = sample.value
            elif sample.name == "alsim_request_seconds_sum":
                sums[labels] = sample.value
    assert counts == {
        ("POST", "/v1/students/{student}/recommend", "200"): 3,
        ("GET", "/v1/students/{student}", "200"): 1,
        ("GET", "/v1/students/{student}", "404"): 1,
        ("other", "other", "404"): 1,
    }
    assert all(0 < seconds < 30 for seconds in sums.values())


# ── 401 ──────────────────────────────────────────────────────────────────────────────────────────

PATHS = ["/metrics", "/v1/students/anna", "/v1/students/anna/recommend", "/elsewhere"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": KEY + "x"},
        {"X-API-Key": "ключ".encode()},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong", "X-API-Key": KEY},
        {"Authorization": "Basic YTpi", "X-API-Key": "wrong"},
    ],
)
def test_a_request_without_the_key_is_refused(guarded, headers):
    for path in PATHS:
        response = guarded.get(path, headers=headers)
        assert "the API key is missing or wrong" in error_of(response, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert KEY not in response.text


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {KEY}"},
        {"Authorization": "Basic YTpi", "X-API-Key": KEY},
    ],
)
def test_a_request_with_the_key_is_answered(guarded, headers):
    assert guarded.post("/v1/students/anna/recommend", headers=headers).status_code == 200
    assert guarded.get("/metrics", headers=headers).status_code == 200


def test_health_and_schema_need_no_key(guarded):
    assert guarded.get("/health").status_code == 200
    schema = guarded.get("/openapi.json").json()
    assert KEY not in json.dumps(schema)
    assert schema["components"]["securitySchemes"].keys() == {"bearer", "key"}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == (path != "/health")


@pytest.mark.parametrize("key", ["", "short", "x" * 15, "with spaces in the key", "ключ" * 8, 5, "line\nbreak" * 4])
def test_a_bad_key_is_refused_without_showing_it(key):
    with pytest.raises(EngineError, match="the API key must have at least 16 printable ASCII characters") as caught:
        create_app(make_engine(), api_key=key)
    assert not key or str(key) not in str(caught.value).replace("16", "")


# ── 404, 405 ─────────────────────────────────────────────────────────────────────────────────────


def test_unknown_students_and_items_are_404(client, student):
    assert "there is no student" in error_of(client.get(student), 404)
    assert "there is no student" in error_of(client.delete(student), 404)
    for route, body in (("responses", {"item": "count-9", "correct": True}), ("contents", {"item": "vide"})):
        assert "did you mean" in error_of(client.post(f"{student}/{route}", json=body), 404)
    body = b'{"item": "\\ud800"}'
    assert r"no item '\ud800'" in error_of(client.post(f"{student}/contents", content=body, headers=JSON), 404)
    assert client.get(student).status_code == 404  # none of these has made a student


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/students", "/v1/students/", "/v1/students/a/b", "//health", "/docs"])
def test_other_paths_are_404(client, path):
    assert "there is no route" in error_of(client.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/students/a", "DELETE, GET"),
        ("GET", "/v1/students/a/recommend", "POST"),
        ("TRACE", "/health", "GET"),
        ("BREW", "/v1/students/a/contents", "POST"),
    ],
)
def test_other_methods_are_405(client, method, path, allowed):
    response = client.request(method, path)
    assert f"this route has no method {method}: use " in error_of(response, 405)
    assert response.headers["Allow"] == allowed


# ── 409 ──────────────────────────────────────────────────────────────────────────────────────────


def test_deleted_students_are_409(client, student):
    client.post(f"{student}/responses", json=ANSWER)
    assert client.delete(student).status_code == 204
    for route, body in (("recommend", {}), ("responses", ANSWER), ("contents", {"item": "video"})):
        assert "was deleted, and its events are refused" in error_of(client.post(f"{student}/{route}", json=body), 409)
    assert client.delete(student).status_code == 404


def test_events_out_of_order_are_409(client, student):
    client.post(f"{student}/responses", json={**ANSWER, "time": 1000})
    for route, body in (("recommend", {}), ("responses", ANSWER), ("contents", {"item": "video"})):
        response = client.post(f"{student}/{route}", json={**body, "time": 999.5})
        assert "0.5 s earlier than its last one" in error_of(response, 409)
    assert len(client.get(student).json()["events"]) == 1


# ── 413 ──────────────────────────────────────────────────────────────────────────────────────────


def padded(size):
    """Return a valid body of a number of bytes."""
    body = json.dumps(ANSWER).encode()
    return body + b" " * (size - len(body))


def in_chunks(body, size=1000):
    for begin in range(0, len(body), size):
        yield body[begin : begin + size]


@pytest.mark.parametrize("chunked", [False, True], ids=["Content-Length", "chunked"])
@pytest.mark.parametrize("size", [MAX_BODY + 1, 20 * MAX_BODY])
def test_large_bodies_are_413(client, student, size, chunked):
    content = in_chunks(padded(size)) if chunked else padded(size)
    response = client.post(f"{student}/responses", content=content, headers={"Content-Type": "application/json"})
    assert f"the body must have at most {MAX_BODY:,} bytes" in error_of(response, 413)
    assert client.get(student).status_code == 404
    content = in_chunks(padded(MAX_BODY)) if chunked else padded(MAX_BODY)
    response = client.post(f"{student}/responses", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 200


def test_a_large_body_is_refused_before_it_has_arrived(client):
    """The client sends a byte more than the limit, and never ends the body."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
    connection.putrequest("POST", "/v1/students/anna/responses")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders(b"%x\r\n%b\r\n" % (MAX_BODY + 1, padded(MAX_BODY + 1)))
    assert connection.getresponse().status == 413
    connection.close()


def test_a_client_that_leaves_in_its_body_changes_nothing(client, student):
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
    connection.putrequest("POST", f"{student}/responses")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "100")
    connection.endheaders(json.dumps(ANSWER).encode())
    connection.close()
    assert client.get(student).status_code == 404
    assert client.get("/health").status_code == 200


# ── 422 ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "the body lacks 'item'; expected item, seconds, satisfaction, time, correct"),
        ("{}", "the body lacks 'item'"),
        ('{"item": "count-1"}', "the body lacks 'correct'"),
        ('{"item": "count-1", "correct": true', "the body must be a JSON object in UTF-8; it cannot be read"),
        ("[]", "the body must be a JSON object; got"),
        ("null", "the body must be a JSON object; got"),
        ('"text"', "the body must be a JSON object; got"),
        ("[" * 50_000, "the body must be a JSON object in UTF-8; it cannot be read"),
        ('{"a":' * 9_000, "the body must be a JSON object in UTF-8; it cannot be read"),
        (b"\xff\xfe{}", "the body must be a JSON object in UTF-8; it cannot be read"),
        ('{"item": "count-1", "correct": "yes"}', "correct of the body: input should be a valid boolean; got 'yes'"),
        ('{"item": "count-1", "correct": 2}', "correct of the body: input should be a valid boolean; got 2"),
        ('{"item": "count-1", "correct": 0.5}', "correct of the body"),
        ('{"item": "count-1", "correct": null}', "correct of the body"),
        ('{"item": "count-1", "correct": NaN}', "NaN is no number of JSON: use null"),
        ('{"item": 5, "correct": true}', "item of the body: input should be a valid string; got 5"),
        ('{"item": null, "correct": true}', "item of the body"),
        ('{"item": ["count-1"], "correct": true}', "item of the body"),
        ('{"item": "video", "correct": true}', "'video' is a content: report that it was studied"),
        ('{"item": "count-1", "correct": true, "secnods": 3}', "unknown key 'secnods'; did you mean 'seconds'"),
        ('{"item": "count-1", "correct": true, "student": "eve"}', "the body has the unknown key 'student'"),
        *(
            (f'{{"item": "count-1", "correct": true, "{key}": {value}}}', sentence)
            for key in ("seconds", "time", "satisfaction")
            for value, sentence in (
                ("NaN", "NaN is no number of JSON"),
                ("Infinity", "Infinity is no number of JSON"),
                ("-Infinity", "-Infinity is no number of JSON"),
                ("1e999", f"{key} of the body: "),
                ('"3"', f"{key} of the body: input should be a valid number; got '3'"),
                ("true", f"{key} of the body: input should be a valid number"),
                ("1" * 5000, "the body must be a JSON object in UTF-8; it cannot be read"),
            )
        ),
        ('{"item": "count-1", "correct": true, "time": -1}', "time of the body: input should be greater than or equal"),
        ('{"item": "count-1", "correct": true, "seconds": -1}', "seconds of the body: input should be greater than"),
        ('{"item": "count-1", "correct": true, "time": 1700000000000}', "time of the body: input should be less than"),
        (f'{{"item": "count-1", "correct": true, "time": {10**400}}}', "time of the body: "),
    ],
)
def test_bad_bodies_are_422(client, student, body, sentence):
    assert sentence in error_of(client.post(f"{student}/responses", content=body, headers=JSON), 422)
    assert client.get(student).status_code == 404


@pytest.mark.parametrize("n", ["0", "1001", "-1", "2.5", '"5"', "null", "true", "[5]", "1.5e3", str(10**30)])
def test_bad_numbers_of_items_are_422(client, student, n):
    sentence = error_of(client.post(f"{student}/recommend", content=f'{{"n": {n}}}', headers=JSON), 422)
    assert sentence.startswith("n of the body: input should be ")


def test_a_question_is_not_a_content(client, student):
    assert "process_response" in error_of(client.post(f"{student}/contents", json={"item": "count-1"}), 422)


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_other_types_of_bodies_are_415(client, student, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    response = client.post(f"{student}/responses", content=json.dumps(ANSWER), headers=headers)
    assert "send Content-Type: application/json" in error_of(response, 415)
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post(f"{student}/responses", content=json.dumps(ANSWER), headers=headers).status_code == 200


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "ISO-8859-1", '"utf-7"', "", "nix", "utf-8-sig"])
def test_other_charsets_are_415(client, student, charset):
    headers = {"Content-Type": f"application/json; charset={charset}"}
    response = client.post(f"{student}/responses", content=json.dumps(ANSWER), headers=headers)
    assert error_of(response, 415).endswith(": encode it as UTF-8")
    assert client.get(student).status_code == 404
    for known in ("UTF-8", '"utf-8"', "utf8", "us-ascii"):
        headers = {"Content-Type": f"application/json; charset={known}", "Content-Encoding": "identity"}
        assert client.post(f"{student}/responses", content=json.dumps(ANSWER), headers=headers).status_code == 200


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", bytes)])
def test_compressed_bodies_are_415(client, student, encoding, pack):
    content = pack(json.dumps(ANSWER).encode())
    response = client.post(f"{student}/responses", content=content, headers={**JSON, "Content-Encoding": encoding})
    expected = f"the body must not be compressed; got Content-Encoding: {encoding}: send it without this header"
    assert error_of(response, 415) == expected
    assert client.get(student).status_code == 404


@pytest.mark.parametrize("key", ["", "x" * 257, "tab\tinside", "é".encode(), b"\x80"])
def test_bad_idempotency_keys_are_422(client, student, key):
    response = client.post(f"{student}/responses", json=ANSWER, headers={"Idempotency-Key": key})
    sentence = error_of(response, 422)
    assert sentence.startswith("Idempotency-Key: ") and "^" not in sentence
    assert client.get(student).status_code == 404


def test_two_idempotency_keys_are_422(client, student):
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert "several headers" in error_of(client.post(f"{student}/responses", json=ANSWER, headers=headers), 422)


@pytest.mark.parametrize("name", ["x" * 257, "%00", "%0A", "%E2%80%AE", "%C2%85"])
def test_bad_names_are_422(client, name):
    for method, path in (("POST", "/recommend"), ("GET", ""), ("DELETE", "")):
        assert "printable characters" in error_of(client.request(method, f"/v1/students/{name}{path}"), 422)


@pytest.mark.parametrize("name", ["%FF", "%C0%AF", "%ED%A0%80", "a%80b"])
def test_names_that_are_not_utf_8_are_422(client, name):
    """With a replacement character, they would all be one student."""
    assert "percent-encoded UTF-8" in error_of(client.get(f"/v1/students/{name}"), 422)


@pytest.mark.parametrize("query", ["event=false", "n=5", "events=no", "events=0", "events="])
def test_bad_parameters_are_422(client, query):
    assert "events" in error_of(client.get(f"/v1/students/anna?{query}"), 422)
    sentence = error_of(client.post(f"/v1/students/anna/recommend?{query}"), 422)
    assert "this route has no parameters" in sentence


@pytest.mark.parametrize(
    "query", ["events=true&events=false", "events=true&events=true", "events=false&event%73=false"]
)
def test_parameters_that_occur_twice_are_422(client, query):
    sentence = error_of(client.get(f"/v1/students/anna?{query}"), 422)
    assert sentence == "the query string has the parameter 'events' more than once: send it once"


def test_the_pattern_of_names_is_that_of_the_engine(client):
    """Every character, alone and within a name: the pattern of the schema against `str.isprintable`."""
    rule = client.get("/openapi.json").json()["components"]["schemas"]["StudentName"]
    assert (rule["minLength"], rule["maxLength"]) == (1, 256)
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))
    one = re.compile(rule["pattern"].removeprefix("^").removesuffix("+$"))
    assert one.findall(every) == [*filter(str.isprintable, every)]
    assert not any(re.search(rule["pattern"], text) for text in ("", "a\x00b", "a\u200bb", "\u00a0"))
    assert re.search(rule["pattern"], "Zoë a/b ]^-\\ 日本語🦊")


# ── 400 ──────────────────────────────────────────────────────────────────────────────────────────

POST = "POST /v1/students/a/recommend HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "request_text",
    [
        *("HELLO\r\n\r\n", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", "GET /health HTTP/1.1\r\n\r\n"),
        *(f"{POST}Content-Length: {length}\r\n\r\n" for length in ("-1", "x", "2\r\nContent-Length: 3")),
        *(f"{POST}{header}\r\n\r\n" for header in ("Transfer-Encoding: gzip", "X y: z", "X: a\0b")),
    ],
)
def test_requests_that_are_no_http_are_400(guarded, request_text):
    """As the page says: before the check of the key, in plain text, and the connection is closed."""
    with socket.create_connection((guarded.base_url.host, guarded.base_url.port), 30) as connection:
        connection.sendall(request_text.encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    assert answer.startswith("HTTP/1.1 400 ") and "text/plain" in answer


# ── 503 and 500 ──────────────────────────────────────────────────────────────────────────────────


class Broken(MemoryStore):
    """A store that fails from some moment on."""

    kind = "broken"
    failure = None

    def load(self, student, key=None):
        if self.failure:
            raise self.failure
        return super().load(student, key)

    def load_many(self, students):
        return [self.load(student) for student in students]

    def read_note(self, name):
        if self.failure:
            raise self.failure
        return super().read_note(name)


@pytest.fixture
def broken():
    store = Broken()
    with client_of(create_app(make_engine(store))) as client:
        client.post("/v1/students/anna/recommend")
        store.failure = StoreError("/secret/store.sqlite: the disk is full, and nothing was changed: free space")
        yield client, store


def test_a_store_that_fails_is_503(broken, caplog):
    client, store = broken
    requests = [("POST", "/recommend", {}), ("POST", "/responses", ANSWER), ("GET", "", None), ("DELETE", "", None)]
    for method, path, body in requests:
        response = client.request(method, f"/v1/students/anna{path}", json=body)
        assert "the disk is full" in error_of(response, 503)
        assert int(response.headers["Retry-After"]) >= 1
    response = client.get("/health")
    assert "/secret" not in error_of(response, 503)
    assert int(response.headers["Retry-After"]) >= 1
    assert "/secret/store.sqlite" in caplog.text
    store.failure = None
    assert client.get("/health").status_code == 200


def test_an_error_of_ours_is_500_without_a_traceback(broken, caplog):
    client, store = broken
    store.failure = RuntimeError("secret")
    response = client.post("/v1/students/anna/recommend")
    assert error_of(response, 500) == "the server has an internal error: its log has the details"
    assert "RuntimeError: secret" in caplog.text
    assert "/v1/students/{student}/recommend" in caplog.text
    store.failure = None
    assert client.post("/v1/students/anna/recommend").status_code == 200


class Waiting(MemoryStore):
    """A store that answers after an event is set."""

    kind = "waiting"

    def __init__(self):
        super().__init__()
        self.free, self.entered = threading.Event(), []
        self.free.set()

    def load_many(self, students):
        self.entered.append(students)
        self.free.wait(30)
        return super().load_many(students)

    def read_note(self, name):
        self.free.wait(30)
        return super().read_note(name)


def test_a_server_that_waits_for_its_store_is_503_and_still_answers(monkeypatch):
    monkeypatch.setattr(routes, "HEALTH_SECONDS", 0.2)
    store = Waiting()
    with client_of(create_app(make_engine(store), most_waiting=3, threads=3)) as client:
        store.free.clear()
        store.entered.clear()
        found = []
        send = lambda k: found.append(client.post(f"/v1/students/s{k}/recommend").status_code)  # noqa: E731
        threads = [threading.Thread(target=send, args=(k,)) for k in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: len(store.entered) == 3)
        refused = client.post("/v1/students/s4/recommend")
        assert error_of(refused, 503) == "the server is busy with 3 requests: try again later"
        assert int(refused.headers["Retry-After"]) >= 1
        begin = time.monotonic()
        assert "the store cannot be read now" in error_of(client.get("/health"), 503)
        assert client.get("/metrics").status_code == 200
        assert time.monotonic() - begin < 10  # the store answers after 30 s
        store.free.set()
        for thread in threads:
            thread.join(60)
        assert found == [200] * 3
        assert client.get("/health").status_code == 200


def test_every_error_of_the_engine_has_a_status():
    from alsim.engine import errors

    ours = {kind for name in errors.__all__ if issubclass(kind := getattr(errors, name), EngineError)}
    assert {next(STATUSES[k] for k in kind.__mro__ if k in STATUSES) for kind in ours} == {404, 409, 422, 503}
    assert ours - {EngineError} <= STATUSES.keys()


# ── serve ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"host": "0.0.0.0"}, "without an API key, other machines could read and delete students at 0.0.0.0"),
        ({"host": "::"}, "without an API key"),
        ({"host": ""}, "without an API key"),
        ({"host": "no.such.host.invalid", "insecure": True}, "host must be an address of this machine"),
        ({"host": "192.0.2.1", "api_key": KEY}, "192.0.2.1:8000 cannot be used"),
        ({"port": 70_000}, "port must be an integer from 0 to 65,535; got 70000"),
        ({"port": "80"}, "port must be an integer"),
        ({"workers": 0}, "workers must be an integer from 1 to 64; got 0"),
        ({"workers": True}, "workers must be an integer"),
        ({"workers": 2}, "2 workers cannot share the store memory: use sqlite:PATH"),
        ({"api_key": "short"}, "the API key must have at least 16"),
    ],
)
def test_serve_refuses_bad_arguments(options, sentence):
    options = {"port": 0, **options} if "host" not in options else options
    with pytest.raises(EngineError, match=None) as caught:
        serve(make_engine, **options)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_serve_refuses_a_key_of_the_environment_that_is_empty(monkeypatch):
    monkeypatch.setenv(serving.API_KEY, "")
    with pytest.raises(EngineError, match="the API key must have at least 16"):
        serve(make_engine)


def test_serve_refuses_a_port_in_use(client):
    with pytest.raises(EngineError, match=rf"127.0.0.1:{client.base_url.port} cannot be used: .*; choose another port"):
        serve(make_engine, port=client.base_url.port)


@pytest.mark.parametrize("source", [5, None, lambda: 5])
def test_serve_refuses_other_sources(source):
    with pytest.raises(EngineError, match="serve needs the directory|must return an AdaptiveEngine"):
        serve(source, port=0)


def test_the_warm_up_leaves_no_trace_and_comes_before_the_first_request(monkeypatch):
    engine = make_engine()
    with client_of(create_app(engine)) as client:
        assert list(engine.students()) == []
        assert client.get("/v1/students/warm-up").status_code == 404
    assert engine.store.counters() == {}


def test_the_log_has_no_key(caplog):
    with caplog.at_level(logging.DEBUG), client_of(create_app(make_engine(), api_key=KEY)) as client:
        client.get("/v1/students/anna", headers={"X-API-Key": KEY})
        client.get("/v1/students/anna", headers={"X-API-Key": KEY + "-wrong"})
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert KEY not in "\n".join(record.getMessage() for record in ours)


# ── experiments ──────────────────────────────────────────────────────────────────────────────────


def test_the_class_of_a_student_is_passed_with_a_recommendation():
    one = Experiment(
        "tutoring", {"control": 0.5, "new": 0.5}, unit="class", policies={"control": "guide", "new": "alosi"}
    )
    engine = make_engine(policy="experiment:tutoring", experiments=one)
    with client_of(create_app(engine)) as client:
        path = "/v1/students/ada/recommend"
        assert "the student 'ada' has no class" in error_of(client.post(path), 422)
        assert client.post(path, json={"class_name": "7b"}).status_code == 200
        assert client.post(path, json={"n": 1}).status_code == 200
        assert "is in the class '7b'; got the class '8a'" in error_of(client.post(path, json={"class_name": "8a"}), 409)
        assert "class_name of the body" in error_of(client.post(path, json={"class_name": 7}), 422)
        assert "the name of a class must be text" in error_of(client.post(path, json={"class_name": ""}), 422)
        events = client.get("/v1/students/ada").json()["events"]
        assert {(e["experiment"], e["arm"], e["class_name"]) for e in events} == {("tutoring", one.assign("7b"), "7b")}
        schema = client.get("/openapi.json").text
        assert '"class_name"' in schema
