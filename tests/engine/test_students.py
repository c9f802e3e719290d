"""Records of students: every bit comes back, and only touched skills are stored."""

import numpy as np
import pytest

from alsim.engine.progress import MOST_SHOWN, Progress, Trial, remove_shown, show
from alsim.engine.students import HEADER, StudentCodec
from alsim.models.irt.curves import ItemParameters
from alsim.models.student import AbilityModel, BKTModel, EloModel, GlickoModel, PFAModel

SKILLS = [f"s{k}" for k in range(40)]
MODELS = {
    "bkt": lambda: BKTModel(SKILLS, p_init=np.linspace(0, 1, 40), p_forget=0.05),
    "bkt of named students": lambda: BKTModel(SKILLS, offsets={"student 1": 1.5, "student 3": -700.0}),
    "elo": lambda: EloModel(SKILLS),
    "glicko": lambda: GlickoModel(SKILLS),
    "pfa": lambda: PFAModel(SKILLS, np.tile([0.1, 0.2, 0.3], (40, 1))),
    "irt": lambda: AbilityModel.of_parameters(ItemParameters(np.ones(40), np.linspace(-2, 2, 40))),
    "two": lambda: BKTModel({"x": ["a", "b"], "y": ["b"]}),
}


def random_students(model, names, seed):
    """Return the state of students after random responses, and random progress."""
    random, n = np.random.default_rng(seed), len(names)
    students, progress = model.start_of(names), Progress.start(n)
    for _ in range(int(random.integers(0, 60))):
        model.update(
            students, random.integers(0, len(model.items), n), random.integers(0, 2, n), random.random(n) < 0.6
        )
    for name in ("decisions", "interactions"):
        getattr(progress, name)[:] = random.integers(0, 2**32, n)
    progress.last[:] = random.integers(-1, 1000, n)
    progress.first_time[:] = np.where(random.random(n) < 0.3, np.nan, random.random(n) * 1e9)
    progress.last_time[:] = progress.first_time + 5
    for i in range(n):
        for _ in range(int(random.integers(0, 3))):
            show(
                progress.shown[i : i + 1], progress.counts[i : i + 1], random.integers(0, 90, (1, 40)).astype(np.int32)
            )
        progress.trials[i] = [
            Trial(*row) for row in random.integers(0, 2**31, (int(random.integers(0, 4)), 3)).tolist()
        ]
        progress.classes[i] = ["", "7b", "Zoë" * 85][random.integers(0, 3)]
    return students, progress


@pytest.mark.ci
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("n", [1, 5])
def test_records_are_lossless(kind, n):
    model = MODELS[kind]()
    codec = StudentCodec(model, 2**64 - 1)
    names = [f"student {i}" for i in range(n)]
    for seed in range(8):
        students, progress = random_students(model, names, seed)
        records = codec.encode(names, students, progress)
        assert records == [
            codec.encode([name], {k: a[i : i + 1] for k, a in students.items()}, part(progress, i))[0]
            for i, name in enumerate(names)
        ]
        assert all(map(codec.is_current, records))
        again, also = codec.decode(names, records)
        assert again.keys() == students.keys()
        for name, values in students.items():
            assert again[name].dtype == values.dtype and again[name].tobytes() == values.tobytes()
        for name, values in vars(progress).items():
            other = getattr(also, name)
            assert other == values if isinstance(values, list) else other.tobytes() == values.tobytes()


def part(progress, i):
    """Return the progress of one student."""
    return Progress(**{name: values[i : i + 1] for name, values in vars(progress).items()})


def test_new_students_have_the_state_of_the_model():
    model = MODELS["bkt of named students"]()
    names = ["student 0", "student 1"]
    students, progress = StudentCodec(model, 1).decode(names, [None, None])
    assert all(students[k].tobytes() == a.tobytes() for k, a in model.start_of(names).items())
    assert progress.last.tolist() == [-1, -1] and np.isnan(progress.first_time).all()


def test_only_touched_skills_are_stored():
    model = MODELS["bkt"]()
    codec = StudentCodec(model, 7)
    sizes = []
    for touched in range(5):
        students = model.start(1)
        for k in range(touched):
            model.update(students, np.array([k + 3]), np.array([1]))
        (record,) = codec.encode(["anna"], students, Progress.start(1))
        sizes.append(len(record))
    assert sizes == [HEADER.itemsize + 10 * touched for touched in range(5)]  # 8 bytes and a number of 2


def test_a_record_of_another_digest_or_format_is_not_current():
    codec = StudentCodec(MODELS["bkt"](), 7)
    (record,) = codec.encode(["anna"], codec.model.start(1), Progress.start(1))
    assert not StudentCodec(codec.model, 8).is_current(record)
    assert (
        not codec.is_current(b"\x02" + record[1:]) and not codec.is_current(record[:20]) and not codec.is_current(b"")
    )


def test_progress_changes_without_the_state_of_the_model():
    model = MODELS["irt"]()
    codec, names = StudentCodec(model, 7), ["a", "b", "c"]
    students, progress = random_students(model, names, 3)
    records = codec.encode(names, students, progress)
    _, other = random_students(model, names, 4)
    assert codec.encode_progress(records, other) == codec.encode(names, students, other)
    assert codec.encode_progress([None] * 3, other) == codec.encode(names, model.start(3), other)


def test_the_earliest_of_many_shown_items_is_forgotten():
    progress = Progress.start(1)
    for item in range(MOST_SHOWN + 3):
        show(progress.shown, progress.counts, np.array([[item, -1]], np.int32))
    assert progress.shown[0].tolist() == list(range(3, MOST_SHOWN + 3)) and (progress.counts == 1).all()
    show(progress.shown, progress.counts, np.array([[5]], np.int32))
    assert progress.counts[0, 2] == 2
    remove_shown(progress, 5)
    assert progress.shown[0].tolist() == [3, 4, *range(6, MOST_SHOWN + 3), -1] and progress.counts[0, -1] == 0
