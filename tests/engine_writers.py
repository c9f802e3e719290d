"""Processes that write responses through engines into one store, and what must be true of the store afterwards."""

import json
import multiprocessing
import os
import signal
import struct
import time
from contextlib import suppress

from alsim.engine import AdaptiveEngine, StoreError

GRAPH = {"count": [], "add": ["count"], "subtract": ["count"], "multiply": ["add"]}
ITEMS = [
    {"id": f"{skill}-{k}", "skills_taught": [skill], "skills_assessed": [skill], "type": "question"}
    for skill in GRAPH
    for k in range(3)
]
STUDENTS = 10
RECORD = struct.Struct("<qd")
"""Acknowledged response: its number, and the time of the acknowledgement, seconds."""
PATIENCE = 20.0
"""Time for which a writer repeats a response while the store is away, seconds."""


def engine_at(address):
    """Return an engine."""
    return AdaptiveEngine(GRAPH, ITEMS, store=address)


def respond(engine, number):
    """Process a response, which its number determines; `seconds` identifies it in the log."""
    item, correct = ITEMS[number * 7 % len(ITEMS)]["id"], number % 3 > 0
    return engine.process_response(f"s{number % STUDENTS}", item, correct, key=f"key {number}", seconds=number)


def compile_kernels():
    """Compile in this process, so that the processes that it forks need not."""
    engine = engine_at("memory")
    respond(engine, 0)
    engine.recommend("s0", 2)


def write(address, numbers, pipe, recommend=False):
    """Process responses, repeat them while the store is away, and write each acknowledgement into a pipe."""
    engine = engine_at(address)
    for number in numbers:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                if recommend:
                    engine.recommend(f"s{number % STUDENTS}", 2)
                respond(engine, number)
                break
            except StoreError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
        os.write(pipe, RECORD.pack(number, time.monotonic()))
    engine.close()


class Writers:
    """Processes that write; their acknowledgements are read at the end, or while they run."""

    def __init__(self, address):
        self.address, self.processes, self.acknowledged = address, [], {}
        compile_kernels()
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._rest = b""

    def start(self, numbers, recommend=False):
        """Start a process, which processes the responses with these numbers."""
        context = multiprocessing.get_context("fork")
        process = context.Process(target=write, args=(self.address, numbers, self._writing, recommend))
        process.start()
        self.processes.append(process)
        return process

    def read(self):
        """Read acknowledgements; return the number of all so far."""
        with suppress(BlockingIOError):
            while part := os.read(self._reading, 2**16):
                self._rest += part
        size = len(self._rest) // RECORD.size * RECORD.size
        self.acknowledged |= dict(RECORD.iter_unpack(self._rest[:size]))
        self._rest = self._rest[size:]
        return len(self.acknowledged)

    def wait_for(self, count):
        """Wait until that many responses are acknowledged, or all processes have ended."""
        while self.read() < count and any(process.is_alive() for process in self.processes):
            time.sleep(0.002)

    def kill(self, process):
        """End a process with SIGKILL."""
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        self.processes.remove(process)

    def join(self):
        """Wait for all processes; each must end without an error."""
        while any(process.is_alive() for process in self.processes):
            self.read()
            time.sleep(0.005)
        self.read()
        assert [process.exitcode for process in self.processes] == [0] * len(self.processes)
        os.close(self._reading)
        os.close(self._writing)


def logged(engine):
    """Return the numbers of the responses in the log, by student, in the order of the log."""
    found = {}
    for name in engine.students():
        entries = map(json.loads, engine.store.entries(name))
        found[name] = [int(entry["seconds"]) for entry in entries if entry["event"] == "answered"]
    return found


def check_states(engine, students):
    """Check that each student's log belongs to it, and that its state is what a sequential replay makes of the log."""
    found, records = logged(engine), {}
    for name, numbers in found.items():
        assert all(f"s{number % STUDENTS}" == name for number in numbers)
        assert len(numbers) == len(set(numbers)), f"a response of {name} was counted twice"
        records[name] = engine.store.load(name).state
        times = [event["time"] for event in engine.events(name)]
        assert times == sorted(times)
    assert engine.replay() == len(records) == students
    for name, record in records.items():
        assert engine.store.load(name).state == record
    return {number for numbers in found.values() for number in numbers}


def check_twin(engine):
    """Check that an engine in memory that gets the logged responses one by one has the same states."""
    twin = engine_at("memory")
    for name in engine.students():
        for entry in map(json.loads, engine.store.entries(name)):
            if entry["event"] == "shown":
                twin.recommend(name, 2, time=entry["time"])
            else:
                twin.process_response(name, entry["item"], entry["correct"], time=entry["time"])
        assert twin.store.load(name).state == engine.store.load(name).state
        assert len(twin.store.entries(name)) == len(engine.store.entries(name))


def check_many_writers(address, processes=8, responses=150):
    """Check that responses of several processes are all stored, once, and that the states are those of a replay."""
    writers = Writers(address)
    for k in range(processes):
        writers.start(range(k * responses, (k + 1) * responses), recommend=k % 2 == 0)
    writers.join()
    engine = engine_at(address)
    assert check_states(engine, STUDENTS) == set(range(processes * responses)) == writers.acknowledged.keys()
    interactions = [respond(engine, processes * responses + k).interactions for k in range(STUDENTS)]
    assert sum(interactions) == processes * responses + STUDENTS
    check_twin(engine)
    engine.close()


def repeat(address, start, answers):
    """Process one response, at the same time as other processes."""
    engine = engine_at(address)
    start.wait()
    answers.put(respond(engine, 5))
    engine.close()


def check_repeats(address, processes=8):
    """Check that concurrent repeats of one key have one effect, and get the same answer."""
    compile_kernels()
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(processes), context.Queue()
    started = [context.Process(target=repeat, args=(address, start, answers)) for _ in range(processes)]
    for process in started:
        process.start()
    found = [answers.get(timeout=60) for _ in started]
    for process in started:
        process.join()
    assert found == [found[0]] * processes
    assert found[0].interactions == 1
    engine = engine_at(address)
    assert check_states(engine, 1) == {5}
    engine.close()


def check_killed_writers(address, kills=20):
    """Check that what was acknowledged is stored when writers are killed again and again."""
    writers, begin = Writers(address), 0
    running = [writers.start(range(begin := begin + 100_000, begin + 100_000)) for _ in range(3)]
    for k in range(kills):
        writers.wait_for(len(writers.acknowledged) + 20)
        time.sleep(k % 7 * 0.0007)  # at another place of a commit
        writers.kill(running.pop(0))
        running.append(writers.start(range(begin := begin + 100_000, begin + 100_000)))
    for process in running:
        writers.kill(process)
    writers.join()
    engine = engine_at(address)
    stored = check_states(engine, STUDENTS)
    assert writers.acknowledged.keys() <= stored
    assert len(stored - writers.acknowledged.keys()) <= kills + 3  # the last of each, before its acknowledgement
    assert len(stored) >= 20 * kills
    check_twin(engine)
    engine.close()


def check_killed_server(server, kills=3, responses=1500):
    """Check that a Redis server that is killed loses about a second at most, and never half a commit.

    Returns how many acknowledged responses were lost.
    """
    writers, ends = Writers(server.address), []
    for k in range(4):
        writers.start(range(k * responses, (k + 1) * responses), recommend=k % 2 == 0)
    for k in range(kills):
        writers.wait_for((k + 1) * responses)
        ends.append(time.monotonic())
        server.kill()
        time.sleep(0.05)
        server.start()
    writers.join()
    engine = engine_at(server.address)
    stored = check_states(engine, STUDENTS)
    lost = writers.acknowledged.keys() - stored
    assert all(any(0 <= end - writers.acknowledged[number] < 2.5 for end in ends) for number in lost)
    check_twin(engine)
    engine.close()
    return len(lost)
