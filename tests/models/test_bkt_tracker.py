"""The online tracker, against `BKT.update` of one response after the other."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alsim.models import ModelError, Responses
from alsim.models.bkt import BKT, Tracker, fit, tracker

SKILLS = {"add": BKT(), "carry": BKT(0.6, 0.05, 0.3, 0.2, 0.1), "sure": BKT(1.0, 0.2, 0.1, 0.05, 0.2)}


def by_update(students: np.ndarray, skills: np.ndarray, correct: np.ndarray, num_students: int) -> np.ndarray:
    """The probabilities (N, K), in double precision."""
    parameters = list(SKILLS.values())
    p = np.tile([skill.p_init for skill in parameters], (num_students, 1))
    for s, k, c in zip(students, skills, correct, strict=True):
        p[s, k] = parameters[k].update(p[s, k], c)
    return p


def random_log(num_students: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return (
        generator.integers(0, num_students, size),
        generator.integers(0, len(SKILLS), size),
        generator.integers(0, 2, size),
    )


def test_batches_are_updates_one_after_the_other() -> None:
    """A student and a skill occur about eight times in 500 responses. Each of some 30 updates rounds by 6e-8."""
    log = random_log(20, 2000)
    expected = by_update(*log, 20)
    for size in (1, 500, 2000):
        tracker = Tracker(SKILLS, 20)
        for k in range(0, 2000, size):
            tracker.update(*(part[k : k + size] for part in log))
        np.testing.assert_allclose(tracker.mastery, expected, rtol=4e-6)
    chances = [list(SKILLS.values())[k].predict(expected[s, k]) for s, k in zip(*log[:2], strict=True)]
    np.testing.assert_allclose(tracker.predict(*log[:2]), chances, rtol=4e-6)


def test_the_state_starts_at_p_init() -> None:
    tracker = Tracker(SKILLS, 2)
    np.testing.assert_allclose(tracker.mastery, [[0.3, 0.6, 1.0]] * 2, rtol=1e-6)
    assert tracker.mastery.dtype == np.float32
    assert tracker.skills == ("add", "carry", "sure")


def test_near_certainty_can_be_revised() -> None:
    """Twenty correct responses leave 1 - p < 1e-13, which no float32 p could tell from 0."""
    tracker, p = Tracker({"x": BKT()}, 1), 0.3
    answers = [1] * 20 + [0] * 18
    for answer in answers:
        p = BKT().update(p, answer)
    tracker.update([0] * 38, [0] * 38, answers)
    assert tracker.mastery[0, 0] == pytest.approx(p, rel=1e-3)
    assert p < 0.9


def test_extremes_stay_numbers() -> None:
    tracker = Tracker({"x": BKT(0, 0, 0, 0), "y": BKT(1, 0, 1, 1), "z": BKT(0.5, 1, 0, 0, 0)}, 1)
    for answer in (0, 1, 0):
        for _ in range(300):
            tracker.update([0, 0, 0], [0, 1, 2], [answer] * 3)
            assert np.isfinite(tracker.mastery).all()


def test_a_fit_is_tracked_as_it_predicts() -> None:
    generator = np.random.default_rng(3)
    log = Responses.from_arrays(np.repeat(np.arange(40), 10), generator.integers(0, 2, 400), skill=["a", "b"] * 200)
    found = fit(log, errors=False)
    tracker, forecasts = Tracker(found, 40), []
    for r in range(len(log)):
        forecasts.append(tracker.predict([log.student[r]], [log.skill[r]])[0])
        tracker.update([log.student[r]], [log.skill[r]], [log.correct[r]])
    np.testing.assert_allclose(forecasts, found.predict(log), rtol=1e-5)


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint16, np.float64, np.bool_])
def test_any_kind_of_responses(kind: Any) -> None:
    tracker = Tracker(SKILLS, 3)
    tracker.update(np.array([0, 2], np.uint8), np.array([0, 1], np.int32), np.array([1, 0], kind))
    assert tracker.mastery[0, 0] == pytest.approx(BKT().update(0.3, 1))
    tracker.update([], [], [])
    wide = np.array([0, 2], np.uint64), np.array([0, 1], np.uint64)
    np.testing.assert_array_equal(tracker.predict(*wide), tracker.predict([0, 2], [0, 1]))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (([0, 3], [0, 0], [1, 1]), r"students must be numbers in \[0, 3\); got 3"),
        (([0, -1], [0, 0], [1, 1]), r"students must be numbers in \[0, 3\); got -1"),
        (([0, 1], [0, 7], [1, 1]), r"skills must be numbers in \[0, 3\); got 7"),
        (([0.0, 1.0], [0, 0], [1, 1]), r"students must be an array \(R,\) of integers; got float64"),
        (([[0]], [[0]], [[1]]), r"students must be an array \(R,\) of integers"),
        (([0, 1], [0], [1, 1]), "students and skills must have the same length; got 2 and 1"),
        (([0, 1], [0, 0], [1]), r"correct must be an array \(2,\) of 0 and 1"),
        (([0, 1], [0, 0], ["1", "0"]), r"correct must be an array \(2,\) of 0 and 1"),
        (([0, 1], [0, 0], [1, 2]), r"responses must be 0 \(wrong\) or 1 \(correct\); got"),
        (([0, 1], [0, 0], [1, -1]), r"responses must be 0 \(wrong\) or 1 \(correct\); got"),
        (([0, 1], [0, 0], [1, 257]), r"responses must be 0 \(wrong\) or 1 \(correct\); got"),
        (([0, 1], [0, 0], [1, 0.5]), r"responses must be 0 \(wrong\) or 1 \(correct\); got"),
        (([0, 1], [0, 0], [1, float("nan")]), r"responses must be 0 \(wrong\) or 1 \(correct\); got"),
    ],
)
def test_an_invalid_batch_changes_nothing(batch: Any, message: str) -> None:
    tracker = Tracker(SKILLS, 3)
    before = tracker.mastery
    with pytest.raises(ModelError, match=message):
        tracker.update(*batch)
    np.testing.assert_array_equal(tracker.mastery, before)


@pytest.mark.parametrize(
    ("skills", "students", "message"),
    [
        ({}, 3, "skills must be a BKTFit, or a dictionary of at least one BKT"),
        ([BKT()], 3, "skills must be a BKTFit, or a dictionary of at least one BKT"),
        ({"a": 0.3}, 3, "skills must be a BKTFit, or a dictionary of at least one BKT"),
        (SKILLS, 0, "num_students must be an integer of at least 1"),
        (SKILLS, True, "num_students must be an integer of at least 1"),
        (SKILLS, 2.0, "num_students must be an integer of at least 1"),
    ],
)
def test_invalid_arguments_are_refused(skills: Any, students: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Tracker(skills, students)


def test_a_fit_by_item_is_refused() -> None:
    log = Responses.from_arrays([0, 0, 1], [1, 0, 1], skill=["a"] * 3, item=["x", "y", "x"])
    with pytest.raises(ModelError, match="this fit has p_guess by item"):
        Tracker(fit(log, by_item=["p_guess"]), 3)


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    path = Tracker(SKILLS, 4).save(tmp_path / "tracker.npz")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not a saved tracker: .* is encrypted"):
        Tracker.load(path)


def test_saved_and_loaded(tmp_path: Path) -> None:
    tracker = Tracker(SKILLS, 20)
    tracker.update(*random_log(20, 300))
    path = tracker.save(tmp_path / "deep" / "tracker.npz")
    again = Tracker.load(path)
    assert again.parameters == tracker.parameters
    np.testing.assert_array_equal(again.mastery, tracker.mastery)
    for one in (tracker, again):
        one.update(*random_log(20, 300, seed=1))
    np.testing.assert_array_equal(again.mastery, tracker.mastery)


def npy(values: np.ndarray) -> bytes:
    """The content of an npy file."""
    content = io.BytesIO()
    np.lib.format.write_array(content, values)
    return content.getvalue()


def test_sizes_are_checked_before_odds_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the description, a few hundred bytes, is unpacked from a file whose odds have another size."""
    path = Tracker(SKILLS, 4).save(tmp_path / "tracker.npz")
    with np.load(path) as arrays:
        np.savez(path, about=arrays["about"], odds=np.zeros(10**6, np.float32))
    read, names = tracker.read_array, []

    def recorded(archive: zipfile.ZipFile, name: str) -> np.ndarray:
        names.append(name)
        return read(archive, name)

    monkeypatch.setattr(tracker, "read_array", recorded)
    with pytest.raises(ModelError, match=r"odds are float32 of shape \(1000000,\), not float32 of shape \(12,\)"):
        Tracker.load(path)
    assert names == ["about"]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("text", "not a zip file"),
        ("cut", "not a zip file"),
        ("odds", r"odds are not numbers in \[0, 1e\+38\]"),
        ("size", r"odds are float32 of shape \(11,\), not float32 of shape \(12,\)"),
        ("compressed", "unpacks to .* bytes; expected at most .*"),
        ("short", "odds have .* bytes, not 48"),
        ("version", "version 9"),
        ("skills", "items"),
        ("parameters", "p_init must be a probability"),
        ("missing", "No such file"),
    ],
)
def test_files_that_are_not_trackers_are_refused(tmp_path: Path, broken: str, message: str) -> None:
    path = Tracker(SKILLS, 4).save(tmp_path / "tracker.npz")
    with np.load(path) as arrays:
        about, odds = arrays["about"], arrays["odds"]
    if broken == "text":
        path.write_text("not a tracker")
    elif broken == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif broken == "odds":
        np.savez(path, about=about, odds=np.full(12, np.nan, np.float32))
    elif broken == "size":
        np.savez(path, about=about, odds=odds[:-1])
    elif broken == "compressed":
        np.savez_compressed(path, about=about, odds=np.zeros(10**6, np.float32))
    elif broken == "short":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("about.npy", npy(about))
            archive.writestr("odds.npy", npy(odds)[:-40])
    elif broken == "version":
        np.savez(
            path, about=np.frombuffer(about.tobytes().replace(b'"version": 1', b'"version": 9'), np.uint8), odds=odds
        )
    elif broken == "skills":
        text = b'{"format": "alsim-bkt-tracker", "version": 1, "num_students": 4, "skills": [1]}'
        np.savez(path, about=np.frombuffer(text, np.uint8), odds=odds)
    elif broken == "parameters":
        text = about.tobytes().replace(b'"p_init": 0.3', b'"p_init": 3.0')
        np.savez(path, about=np.frombuffer(text, np.uint8), odds=odds)
    else:
        path.unlink()
    with pytest.raises(ModelError, match=f"is not a saved tracker: .*{message}.*; expected a file of Tracker.save"):
        Tracker.load(path)
