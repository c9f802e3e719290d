"""The server of the engine in processes: workers, signals, kills under load (`nox -s compat-server`).

`-- -m long -s` kills each server 20 times.
"""

import http.client
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import Processes, accepts, until

from benchmarks.redis_server import DURABLE, PROGRAM, RedisServer

KEY = "correct-horse-battery-staple"
STORES = [
    "sqlite",
    pytest.param("redis", marks=pytest.mark.skipif(not PROGRAM, reason="redis-server is not installed")),
]
ANSWER = {"item": "count-1", "correct": True}


@pytest.fixture
def address(request, tmp_path):
    """Address of a new store, which is not killed with the server."""
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path}/students.sqlite"
    else:
        with RedisServer(tmp_path, *DURABLE) as server:
            yield server.address


class Sender(threading.Thread):
    """A client that answers questions of some students until it is stopped, and repeats what was not acknowledged.

    acknowledged  {number of the response: (student, key, body of the request, answer)}
    """

    students = ("anna", "ben", "chris")

    def __init__(self, server, numbers):
        super().__init__()
        self.server, self.numbers = server, numbers
        self.acknowledged, self.repeats, self.problems = {}, 0, []
        self.end = threading.Event()

    def run(self):
        with httpx.Client(base_url=self.server.url, timeout=60) as client:
            while not self.end.is_set():
                number = next(self.numbers)
                student, key = self.students[number % 3], f"response {number}"
                body = {"item": "count-1", "correct": number % 5 != 0, "seconds": number}
                answer = self.answered(client, student, key, body)
                if answer is None:
                    return
                self.acknowledged[number] = student, key, body, answer

    def answered(self, client, student, key, body):
        """Return the answer to a request, which is repeated while the server is away; None after a problem."""
        while True:
            try:
                headers = {"Idempotency-Key": key}
                response = client.post(f"/v1/students/{student}/responses", json=body, headers=headers)
            except httpx.TransportError:
                self.repeats += 1
                time.sleep(0.02)
                continue
            if response.status_code == 200:
                return response.content
            if response.status_code != 503:
                self.problems.append(response.text)
                return None


def kill_under_load(address, kills):
    """Kill a server again and again while clients write, and check that each acknowledged response is stored once."""
    numbers, moments = itertools.count(), random.Random(0)
    with Processes(address, workers=2) as server:
        senders = [Sender(server, numbers) for _ in range(4)]
        for sender in senders:
            sender.start()
        done = lambda: sum(len(sender.acknowledged) for sender in senders)  # noqa: E731
        for _ in range(kills):
            before = done()
            until(lambda before=before: done() >= before + 20 or any(s.problems for s in senders))
            time.sleep(moments.uniform(0, 0.2))
            server.kill()
            assert not accepts(server.port)
            server.start()
        before = done()
        until(lambda: done() >= before + 20)
        for sender in senders:
            sender.end.set()
        for sender in senders:
            sender.join(120)
        assert not any(sender.problems for sender in senders)
        acknowledged = {number: row for sender in senders for number, row in sender.acknowledged.items()}
        assert len(acknowledged) >= 20 * (kills + 1)
        check(server, acknowledged)
        lost = sum(sender.repeats for sender in senders)
    print(f"{address.partition(':')[0]}: {kills} kills, {len(acknowledged):,} responses, {lost:,} requests repeated")


def check(server, acknowledged):
    """Check that the server has each acknowledged response once, and that a repetition gets the first answer."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        export = lambda student: client.get(f"/v1/students/{student}").json()["events"]  # noqa: E731
        stored = {student: export(student) for student in Sender.students}
        for student, events in stored.items():
            expected = sorted(number for number, row in acknowledged.items() if row[0] == student)
            assert sorted(event["seconds"] for event in events) == expected
            assert [event["number"] for event in events] == list(range(len(events)))
            for event in events:
                assert event["correct"] == (event["seconds"] % 5 != 0)
        for number in random.Random(1).sample(sorted(acknowledged), 20):
            student, key, body, answer = acknowledged[number]
            headers = {"Idempotency-Key": key}
            assert client.post(f"/v1/students/{student}/responses", json=body, headers=headers).content == answer
        assert {student: export(student) for student in Sender.students} == stored


@pytest.mark.parametrize("address", STORES, indirect=True)
def test_what_was_acknowledged_is_stored_once_after_3_kills(address):
    kill_under_load(address, 3)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("address", STORES, indirect=True)
def test_what_was_acknowledged_is_stored_once_after_20_kills(address):
    kill_under_load(address, 20)


@pytest.mark.parametrize("address", STORES, indirect=True)
def test_two_workers_are_one_server(address):
    """Concurrent repetitions of a key have one effect, and a scrape of any worker has the requests to both."""
    with Processes(address, workers=2) as server:
        answers, counts = [], []

        def send():
            with httpx.Client(base_url=server.url, timeout=60) as client:
                for _ in range(5):
                    response = client.post("/v1/students/anna/responses", json=ANSWER, headers={"Idempotency-Key": "k"})
                    answers.append((response.status_code, response.content))

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert len(answers) == 40
        assert set(answers) == {(200, answers[0][1])}
        assert len(httpx.get(f"{server.url}/v1/students/anna").json()["events"]) == 1
        for _ in range(8):
            text = httpx.get(f"{server.url}/metrics").text
            counts.append(
                sum(
                    sample.value
                    for family in text_string_to_metric_families(text)
                    for sample in family.samples
                    if sample.name == "alsim_request_seconds_count" and sample.labels["method"] == "POST"
                )
            )
        assert set(counts) == {40}
        assert server.stop() == f"{server.url}: 2 workers, store {address.partition(':')[0]}, without an API key\n"
        assert server.process.returncode == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_finishes_the_requests_that_have_begun(tmp_path, workers):
    with Processes(f"sqlite:{tmp_path}/students.sqlite", workers, ALSIM_API_KEY=KEY) as server:
        lines = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        assert str(server.port) in lines
        assert KEY not in lines
        assert httpx.get(f"{server.url}/v1/students/anna").status_code == 401
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.putrequest("POST", "/v1/students/anna/responses")
        for name, value in (("Content-Type", "application/json"), ("X-API-Key", KEY)):
            connection.putheader(name, value)
        body = json.dumps(ANSWER).encode()
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:5])
        time.sleep(1)  # the server has read the head
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not accepts(server.port))
        assert server.process.poll() is None
        connection.send(body[5:])
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["interactions"]) == (200, 1)
        connection.close()
        printed = server.stop()
        assert server.process.returncode == 0
        assert KEY not in printed
        assert "Traceback" not in printed
        server.start()
        found = httpx.get(f"{server.url}/v1/students/anna", headers={"X-API-Key": KEY})
        assert len(found.json()["events"]) == 1


def test_killed_workers_are_replaced_and_those_of_a_killed_supervisor_end(tmp_path):
    """Otherwise they would keep the port, so that the server could not start again."""
    with Processes(f"sqlite:{tmp_path}/students.sqlite", 2) as server:
        httpx.post(f"{server.url}/v1/students/anna/responses", json=ANSWER)
        until(lambda: len(workers_of(server)) == 2)
        first = workers_of(server)
        os.kill(first[0], signal.SIGKILL)
        until(lambda: len(set(workers_of(server)) - set(first)) == 1)
        for _ in range(20):
            assert answered(server)
        second = workers_of(server)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len(workers_of(server)) == 2 and not set(workers_of(server)) & set(second))
        assert len(httpx.get(f"{server.url}/v1/students/anna").json()["events"]) == 1
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(60)
        until(lambda: not accepts(server.port), 60)
        server.process.communicate(timeout=60)
        server.start()
        assert httpx.get(f"{server.url}/health").status_code == 200


def answered(server):
    """Return whether a request is answered; a connection to the killed worker may be reset once."""
    for _ in range(2):
        try:
            return httpx.get(f"{server.url}/health", timeout=60).status_code == 200
        except httpx.TransportError:
            continue
    return False


def workers_of(server):
    """Return the processes that serve, by their command line."""
    listed = subprocess.run(
        ["pgrep", "-P", str(server.process.pid), "-f", "spawn_main"], capture_output=True, text=True
    )
    return [int(line) for line in listed.stdout.split()]


def test_a_server_whose_store_cannot_be_opened_says_so(tmp_path):
    line = [sys.executable, "-m", "served", f"sqlite:{tmp_path}/absent/students.sqlite", "0", "2"]
    path = os.pathsep.join(sys.path)
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 1
    assert "create its directory" in done.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_lines_of_the_log_have_the_time_in_utc(tmp_path, workers):
    """A line for each error, in the time zone of UTC also where another one is set."""
    address, begin = f"sqlite:{tmp_path}/students.sqlite", datetime.now(UTC)
    with Processes(address, workers, TZ="America/New_York") as server:
        assert httpx.get(f"{server.url}/v1/students/ann", timeout=30).status_code == 404
        (tmp_path / "students.sqlite").rename(tmp_path / "moved")
        assert httpx.get(f"{server.url}/v1/students/ann", timeout=30).status_code == 503
        printed = server.stop().splitlines()
    assert len(printed) == 2 and printed[0].startswith(server.url)
    time, level, process, message = printed[1].split(" ", 3)
    assert time.endswith("Z") and begin - timedelta(seconds=1) < datetime.fromisoformat(time) < datetime.now(UTC)
    assert level == "ERROR" and process.strip("[]").isdigit()
    assert "was removed or replaced while it was open" in message
