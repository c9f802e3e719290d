"""Time of a forecast by deep knowledge tracing, and AUC of complete fits (needs the optional dependency `dkt`).

`python -m benchmarks.models_dkt` prints the time of one student's next forecast. The fits are part of `nox -s claims`:
they use the defaults of `fit` and the published logs in the folder that ALSIM_TEST_DATA names.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, process_time, thread_time

import numpy as np

from alsim.models import Responses, score
from alsim.models.dkt import DKTFit, fit
from alsim.models.dkt.network import Weights, shapes_of
from alsim.models.dkt.settings import Epoch, Settings
from alsim.responses.reading import read_responses
from benchmarks.report import Row, judged, missing, plain

SKILLS, STUDENTS, UPDATES = 100, 1000, 20_000
LONGEST = 10
"""Limit for a fit to ASSISTments 2015 on two cores, minutes."""
MOST = 1.2
"""Limit for the time of an epoch, relative to an LSTM in plain PyTorch."""
EPOCHS = 5
"""Number of epochs of each network in the comparison of times."""


def untrained(num_skills: int = SKILLS) -> DKTFit:
    """Return a network of the default size with random weights; the values of weights do not affect the cost."""
    random, settings = np.random.default_rng(0), Settings()
    shapes = shapes_of(num_skills, settings.embedding, settings.hidden)
    weights = Weights(**{name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()})
    skills = np.arange(num_skills).astype(str)
    return DKTFit(skills, np.ones(num_skills, np.int64), weights, settings, [Epoch(0.7, 0.7)], -1.0, num_skills)


def updates() -> tuple[list[float], list[float]]:
    """Return the wall times and the CPU times of many updates of a tracker, sorted, seconds."""
    tracker, random = untrained().tracker(), np.random.default_rng(1)
    students, skills = random.integers(STUDENTS, size=UPDATES), random.integers(SKILLS, size=UPDATES)
    correct = random.integers(2, size=UPDATES)
    wall, processor = [], []
    for student, skill, answer in zip(students.tolist(), skills.astype(str).tolist(), correct.tolist(), strict=True):
        began, worked = perf_counter(), thread_time()
        tracker.update(student, skill, answer)
        processor.append(thread_time() - worked)
        wall.append(perf_counter() - began)
    return sorted(wall), sorted(processor)


def rows(*, long: bool) -> Iterator[Row]:
    """Yield the rows of the table: the time of one forecast and, if `long`, the fits, which take minutes."""
    wall, processor = updates()
    last = int(0.99 * UPDATES)
    limit = f"median {1e6 * statistics.median(wall):.0f} µs; of the processor, p99 {1e6 * processor[last]:.0f} µs"
    yield judged("DKT, from a response to the next forecasts, p99", 1e3 * wall[last], "≤ 5", "ms", limit=limit)
    if long:
        yield from _fits()


def _fits() -> Iterator[Row]:
    if find_spec("torch") is None or "ALSIM_TEST_DATA" not in os.environ:
        yield missing("DKT, test AUC", "PyTorch is not installed, or ALSIM_TEST_DATA not set", "≥ 0.727")
        return
    folder = Path(os.environ["ALSIM_TEST_DATA"])
    parts = [
        read_responses(folder / "kt_assist2015" / f"{part}.csv", format="three-line") for part in ("train", "test")
    ]
    auc, minutes = _reached(*parts)
    yield judged("DKT, test AUC on ASSISTments 2015", auc, "≥ 0.727", digits=4, limit="published .727 to .730")
    yield judged("DKT, fit to ASSISTments 2015", minutes, f"≤ {LONGEST}", "min", limit="PyTorch's LSTM")
    yield from compared(*parts)
    results = [_reached(*synthetic5(folder / "kt_synthetic5" / f"v{k}.csv")) for k in range(3)]
    each = ", ".join(f"{auc:.4f}" for auc, _ in results)
    mean = statistics.mean(auc for auc, _ in results)
    yield judged("DKT, test AUC on synthetic-5, mean of three", mean, "≥ 0.81", digits=4, limit=each)
    yield plain("DKT, three fits to synthetic-5", sum(minutes for _, minutes in results), "min")


def compared(training: Responses, test: Responses) -> Iterator[Row]:
    """Yield the rows that compare alsim's fit with an LSTM in plain PyTorch: epochs in turn, and complete fits.

    Both use one thread. Times are processor times.
    """
    import torch

    from benchmarks import plain_dkt

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = sorted(ours / theirs for ours, theirs in _epochs(training))
        spread = f"{times[0]:.2f}–{times[-1]:.2f}"
        name = "DKT, an epoch with validation, time / plain PyTorch"
        yield judged(name, statistics.median(times), f"≤ {MOST}", "×", spread=spread, limit="PyTorch's LSTM")
        began = process_time()
        fitted = fit(training)
        ours, began = process_time() - began, process_time()
        model = plain_dkt.fit(training, fitted.settings, fitted.iterations)
        theirs = process_time() - began
        limit = f"{ours:.0f} s and {theirs:.0f} s for {fitted.iterations} epochs"
        yield judged("DKT, complete fit, time / plain PyTorch", ours / theirs, f"≤ {MOST}", "×", limit=limit)
        auc = score(test.correct, fitted.predict(test)).auc
        plain_auc = score(*plain_dkt.predict(model, test, training.skills)).auc
        yield plain("DKT, test AUC on ASSISTments 2015 with one thread", auc, digits=4)
        yield plain("plain PyTorch, test AUC on ASSISTments 2015", plain_auc, digits=4)
    finally:
        torch.set_num_threads(threads)


def _epochs(training: Responses) -> Iterator[tuple[float, float]]:
    """Yield the processor times of an epoch with validation, of alsim and of plain PyTorch, seconds."""
    import torch

    from alsim.models.dkt.encoding import EncodedLog
    from alsim.models.dkt.trainer import Trainer
    from benchmarks import plain_dkt

    settings, random = Settings(), np.random.default_rng(0)
    log = EncodedLog.of(training, settings)
    trainer = Trainer(len(log.skills), settings, torch.device("cpu"), random)
    assert log.held_out is not None
    ours, held_out = trainer.encoded(log.training), trainer.encoded(log.held_out)
    model = plain_dkt.network(training.num_skills, settings)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    parts = zip(training.split(settings.validation), (settings.batch_size, plain_dkt.VALIDATION_BATCH), strict=True)
    theirs, validation = (plain_dkt.batches_of(part, training.skills, size) for part, size in parts)
    for _ in range(EPOCHS):
        began = process_time()
        trainer.epoch(ours, random)
        trainer.loss(held_out, log.counts)
        between = process_time()
        plain_dkt.train(model, optimizer, [theirs[k] for k in random.permutation(len(theirs))])
        plain_dkt.validation_loss(model, validation)
        yield between - began, process_time() - between


def synthetic5(file: Path) -> tuple[Responses, Responses]:
    """Return the training half and the test half of a simulated set of Piech et al.: 4,000 students, 50 questions."""
    answers = np.loadtxt(file, np.int64, delimiter=",")
    log = Responses.from_matrix(answers)
    return log.subset(np.arange(2000)), log.subset(np.arange(2000, 4000))


def _reached(training: Responses, test: Responses) -> tuple[float, float]:
    """Return the test AUC, first responses included, and the time of fitting, minutes."""
    began = perf_counter()
    fitted = fit(training)
    minutes = (perf_counter() - began) / 60
    return score(test.correct, fitted.predict(test)).auc, minutes


if __name__ == "__main__":
    for row in rows(long=False):
        print(row)
