"""A small response log, and checks of the invariants of logs."""

import numpy as np

STUDENTS = ["ann", "bob", "ann", "bob", "ann"]
SKILLS = ["add", "add", "mul", "mul", "add"]
CORRECT = [1, 0, 1, 1, 0]


def as_rows(log):
    """Return a log as tuples: row, student, item, skills, correct."""
    return [
        (
            int(log.row[r]),
            str(log.students[log.student[r]]),
            str(log.items[log.item[r]]),
            tuple(map(str, log.skills[log.skill[log.skill_start[r] : log.skill_start[r + 1]]])),
            int(log.correct[r]),
        )
        for r in range(len(log))
    ]


def assert_sound(log):
    """Assert the documented invariants of the fields."""
    assert log.student.dtype == log.item.dtype == log.skill.dtype == np.int32
    assert log.correct.dtype == np.int8
    assert log.skill_start.dtype == log.row.dtype == log.start.dtype == np.int64
    assert (np.diff(log.student) >= 0).all()
    assert (np.diff(log.skill_start) >= 1).all()
    assert log.skill_start[-1] == len(log.skill)
    for codes, names in ((log.student, log.students), (log.item, log.items), (log.skill, log.skills)):
        assert len(set(names.tolist())) == len(names)
        assert codes.min() >= 0
        assert codes.max() < len(names)
    assert log.weight.shape == log.students.shape
    for s in range(log.num_students):
        assert (log.student[log.start[s] : log.start[s + 1]] == s).all()


COLUMNS = {"user": STUDENTS, "kc": SKILLS, "right": CORRECT, "when": [5, 4, 3, 2, 1]}
MAPPING = {"student": "user", "skill": "kc", "correct": "right", "order": "when"}
MATRIX = [[1, 0, -1], [0, 1, 1]]


def events_of(log):
    """Return the study events as tuples: student, position within the student's responses, kind, skills."""
    study = log.study
    return [
        (
            str(log.students[study.student[e]]),
            int(study.position[e] - log.start[study.student[e]]),
            str(study.kinds[study.kind[e]]),
            tuple(map(str, study.skills[study.skill[study.skill_start[e] : study.skill_start[e + 1]]])),
        )
        for e in range(len(study))
    ]


def random_rows(seed, num_rows=300):
    """Return columns with ties in the order, several skills, and study events of some students without responses."""
    rng = np.random.default_rng(seed)
    is_event = rng.random(num_rows) < 0.3
    student = rng.integers(0, 9, num_rows)
    is_event |= student == 8  # has no responses
    return {
        "student": [f"s{k}" for k in student],
        "correct": np.where(is_event, -5, rng.integers(0, 2, num_rows)),
        "skill": [[f"k{k}" for k in rng.choice(6, rng.integers(0 if e else 1, 3), replace=False)] for e in is_event],
        "order": rng.integers(0, 40, num_rows),
        "time": rng.integers(0, 10**6, num_rows) / 8,
        "seconds": rng.integers(0, 100, num_rows) / 4,
        "attempts": rng.integers(0, 5, num_rows),
        "hints": rng.integers(0, 5, num_rows),
        "event": [("read", "hint")[k % 2] if e else None for k, e in enumerate(is_event)],
    }
