"""Contract of student models, run over each of them: ranges, batches, masks, files, forecasts and errors."""

import io
import json
import pickle

import numpy as np
import pytest

from alsim.models import ModelError, Responses, bkt, irt, load_fit, pfa
from alsim.models.bkt import BKT
from alsim.models.dkt import DKTFit
from alsim.models.dkt.network import Weights, shapes_of
from alsim.models.dkt.settings import Epoch, Settings
from alsim.models.irt import ItemParameters
from alsim.models.skill_mean import fit as fit_skill_mean
from alsim.models.student import (
    AbilityModel,
    AlosiModel,
    BKTModel,
    DKTModel,
    EloModel,
    FSRSModel,
    GlickoModel,
    HLRModel,
    Items,
    PFAModel,
    StudentModel,
    as_items,
    forecasts,
    load_student_model,
    student_model,
)
from alsim.models.student.files import KINDS

RNG = np.random.default_rng(15)
SEVERAL = Items(["q0", "q1", "q2", "q3", "q4"], [["a"], ["b"], ["a", "b"], ["c"], ["b", "c", "a"]])
CELLS = Items.of_cells(30)
E, H = 3, 5


def dkt_model(items):
    """A network of random weights, standard deviation 0.7."""
    skills = items.num_skills
    shapes = ((2, skills, E), (E,), (E, 4 * H), (H, 4 * H), (4 * H,), (skills, H), (skills,))
    rng = np.random.default_rng(3)
    return DKTModel(items, *(rng.normal(0, 0.7, shape) for shape in shapes))


MODELS = {
    "bkt": BKTModel(30),
    "bkt cells": BKTModel(CELLS, p_guess=np.tile([0.3, 0.2, 0.1], 30)),
    "bkt several": BKTModel(SEVERAL, [0.1, 0.5, 0.9], p_forget=0.05, p_content=0.3, offsets={"Ada": 1.5}),
    "bkt certain": BKTModel(3, [0, 1, 0.5], 0.0, 0.0, 0.0),
    "alosi": AlosiModel(30),
    "alosi several": AlosiModel(SEVERAL, [0.1, 0.5, 0.9], p_forget=0.05, p_content=0.3, offsets={"Ada": 1.5}),
    "irt": AbilityModel.of_parameters(ItemParameters(RNG.uniform(0.5, 2, 90), RNG.normal(size=90), 0.15), CELLS),
    "elo": EloModel(CELLS, np.tile([-1.25, 0, 1.25], 30)),
    "elo several": EloModel(SEVERAL, RNG.normal(size=5), 0.2, [0.1, 0, -0.3], a=0.8, b=0),
    "glicko": GlickoModel(CELLS, np.tile([-1.25, 0, 1.25], 30), 0.3, drift=0.1),
    "pfa": PFAModel(30, RNG.normal(size=(30, 3))),
    "pfa several": PFAModel(SEVERAL, RNG.normal(size=(3, 3))),
    "dkt": dkt_model(as_items(30)),
    "dkt several": dkt_model(SEVERAL),
    "hlr": HLRModel(30),
    "hlr several": HLRModel(SEVERAL, RNG.normal(size=(3, 3)), [0.1, 0.3, 0.5], RNG.uniform(0, 0.3, 5)),
    "hlr without contents": HLRModel(CELLS, guess=0.2, p_content=0),
    "fsrs": FSRSModel(CELLS),
    "fsrs several": FSRSModel(SEVERAL, prior=[0.1, 0.3, 0.5], guess=RNG.uniform(0, 0.3, 5), p_content=0.5),
    "fsrs without contents": FSRSModel(30, p_content=0),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def responses(model, n, steps=12, seed=0):
    """Items, answers and masks (steps, n): a fifth of the answers is missing, and a fifth of the rows ignored."""
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, len(model.items), (steps, n)),
        rng.choice([-1, 0, 0, 1, 1], (steps, n)).astype(np.int8),
        rng.random((steps, n)) < 0.8,
    )


def after(model, rows, n=33):
    """State of some of 33 students after all of their responses."""
    items, correct, active = (values[:, rows] for values in responses(model, n))
    students = model.start(items.shape[1])
    for step in zip(items, correct, active, strict=True):
        model.update(students, *step)
    return students


def equal(one, other):
    """Return True for two states that are equal to the bit."""
    return one.keys() == other.keys() and all(one[k].tobytes() == other[k].tobytes() for k in one)


def test_every_kind_is_tested():
    assert {model.kind for model in MODELS.values()} == set(KINDS)


@every_model
def test_ranges_shapes_and_protocol(model):
    assert isinstance(model, StudentModel)
    students = after(model, slice(None))
    assert all(isinstance(v, np.ndarray) and len(v) == 33 for v in students.values())
    mastery, chances = model.mastery(students), model.chances(students)
    assert mastery.shape == (33, model.items.num_skills)
    assert chances.shape == (33, len(model.items))
    for values in (mastery, chances):
        assert values.dtype == np.float64
        assert ((values >= 0) & (values <= 1)).all()
    assert model.mastery(model.start(0)).shape == (0, model.items.num_skills)
    assert model.chance(model.start(0), np.zeros((0, 3), int)).shape == (0, 3)


@every_model
def test_the_chance_of_some_items_is_that_of_all_items(model):
    students = after(model, slice(None))
    chances, items = model.chances(students), responses(model, 33, seed=1)[0].T
    assert model.chance(students, items).tobytes() == np.take_along_axis(chances, items, axis=1).tobytes()
    assert model.chance(students, items[:, 0]).tobytes() == chances[np.arange(33), items[:, 0]].tobytes()


@pytest.mark.heavy
@every_model
def test_bits_of_a_student_do_not_depend_on_the_batch(model):
    students = after(model, slice(None))
    mastery, chances = model.mastery(students), model.chances(students)
    for rows in ([7], [31, 2, 7], [*range(1, 18)], [*range(33)][::-1]):
        others = after(model, rows)
        assert equal(others, {k: v[rows] for k, v in students.items()})
        assert model.mastery(others).tobytes() == mastery[rows].tobytes()
        assert model.chances(others).tobytes() == chances[rows].tobytes()
        sliced = {k: v[rows[0] : rows[0] + 1] for k, v in students.items()}
        assert model.chances(sliced).tobytes() == chances[rows[0]].tobytes()


@every_model
def test_a_state_is_copied_and_written_as_arrays(model):
    students = after(model, slice(None))
    file = io.BytesIO()
    np.savez(file, **students)
    file.seek(0)
    with np.load(file, allow_pickle=False) as saved:
        assert equal(dict(saved), students)
    assert equal(pickle.loads(pickle.dumps(students)), students)


@every_model
def test_missing_answers_and_ignored_rows_change_nothing(model):
    students = after(model, slice(None))
    before = {k: v.copy() for k, v in students.items()}
    items, _, _ = responses(model, 33)
    model.update(students, np.full(33, -1), np.full(33, -1))
    assert equal(students, before)
    model.update(students, np.full(33, 10**6), np.full(33, np.nan), active=np.zeros(33, bool))
    assert equal(students, before)
    if not getattr(model, "p_content", 0):
        model.update(students, items[0], np.full(33, -1))
        assert equal(students, before)
    one = np.arange(33) == 5
    model.update(students, np.where(one, items[0], -7), np.where(one, 1, 9), active=one)
    changed = {k: {*np.flatnonzero((v != before[k]).reshape(33, -1).any(axis=1))} for k, v in students.items()}
    assert set.union(*changed.values()) <= {5}
    if model is not MODELS["bkt certain"]:
        assert set.union(*changed.values()) == {5}


@every_model
def test_acting_does_not_change_the_state(model):
    students = after(model, slice(None))
    before = {k: v.copy() for k, v in students.items()}
    model.mastery(students)[:] = 0.123
    model.chances(students)[:] = 0.123
    assert equal(students, before)


@every_model
def test_a_saved_model_is_the_same_to_the_bit(model, tmp_path):
    file = model.save(tmp_path / "deeper" / "model.npz")
    again = load_student_model(file)
    assert type(again) is type(model) is type(type(model).load(file))
    assert again.options() == model.options()
    assert equal(again.arrays(), model.arrays())
    assert again.items.names.tolist() == model.items.names.tolist()
    assert again.items.skills.tolist() == model.items.skills.tolist()
    assert again.items.are_skills == model.items.are_skills
    assert equal(after(again, slice(None)), after(model, slice(None)))
    assert again.chances(again.start(2)).tobytes() == model.chances(model.start(2)).tobytes()
    assert again.save(tmp_path / "again.npz").read_bytes() == file.read_bytes()


@every_model
def test_a_correct_answer_is_evidence_of_ability(model):
    """A correct answer never gives less than a wrong one; networks and negative coefficients may differ."""
    if model.kind in ("dkt", "pfa"):
        return
    right, wrong = model.start(len(model.items)), model.start(len(model.items))
    items = np.arange(len(model.items))
    model.update(right, items, np.ones(len(items)))
    model.update(wrong, items, np.zeros(len(items)))
    assert (model.chance(right, items) >= model.chance(wrong, items)).all()
    assert (model.mastery(right) >= model.mastery(wrong)).all()


# ── fits ─────────────────────────────────────────────────────────────────────────────────────────


def log(seed=0, students=60, several=False, items=9):
    """A log of random responses to items of three skills, or of up to three skills each."""
    rng = np.random.default_rng(seed)
    of_item = [
        [f"k{i % 3}"] + ([f"k{j}" for j in range(3) if j != i % 3][: i % 3] if several else []) for i in range(items)
    ]
    lengths = rng.integers(1, 25, students)
    student = np.repeat(np.arange(students), lengths)
    item = rng.integers(0, items, len(student))
    correct = rng.random(len(student)) < 0.3 + 0.05 * item
    return Responses.from_arrays(
        [f"s{s}" for s in student], correct, skill=[of_item[i] for i in item], item=[f"q{i}" for i in item]
    )


def dkt_fit():
    """A fit with random weights, of two of the skills of `log`."""
    rng = np.random.default_rng(1)
    weights = Weights(**{k: rng.normal(0, 0.7, v).astype(np.float32) for k, v in shapes_of(2, E, H).items()})
    return DKTFit(
        np.array(["k0", "k2"]), np.array([5, 2]), weights, Settings(hidden=H, embedding=E), [Epoch(0.7, None)], -1.0, 7
    )


FITS = {
    "bkt": lambda: bkt.fit(log(several=True), max_iterations=30),
    "bkt by item": lambda: bkt.fit(log(), by_item=("p_guess", "p_learn"), max_iterations=30),
    "bkt students": lambda: bkt.fit(log(), student_sd=1.0, max_iterations=30),
    "irt": lambda: irt.fit(log(), "2pl"),
    "pfa": lambda: pfa.fit(log(several=True)),
    "dkt": dkt_fit,
}
every_fit = pytest.mark.parametrize("name", FITS)


@pytest.fixture(scope="module")
def fits():
    """One fit of each model."""
    return {name: fit() for name, fit in FITS.items()}


@pytest.mark.heavy
@every_fit
@pytest.mark.parametrize("several", [False, True])
def test_forecasts_are_the_predictions_of_the_fit(fits, name, several):
    """Also of another log, with an unknown item, and of unknown students."""
    for of_log in (log(several=several), log(7, 90, several, items=10)):
        model = student_model(fits[name], Items.of_log(of_log))
        np.testing.assert_allclose(forecasts(model, of_log), fits[name].predict(of_log), rtol=0, atol=1e-12)


@every_fit
def test_a_model_by_default_has_the_skills_or_items_of_the_fit(fits, name, tmp_path):
    fit, of_log = fits[name], log()
    model = student_model(fit)
    if name not in ("dkt", "bkt by item"):  # that network knows two of the skills; items are not among the skills
        np.testing.assert_allclose(forecasts(model, of_log), fit.predict(of_log), rtol=0, atol=1e-12)
    assert equal(
        load_student_model(fit.save(tmp_path / "fit.json")).arrays(),
        student_model(load_fit(tmp_path / "fit.json")).arrays(),
    )
    saved = load_student_model(model.save(tmp_path / "model.npz"))
    assert equal(saved.arrays(), model.arrays())


def test_forecasts_do_not_depend_on_the_order_of_the_columns_of_a_log(fits):
    with pytest.raises(ModelError, match=r"items of the model are single skills.*Items.of_log"):
        forecasts(student_model(fits["bkt"]), log(several=True))
    with pytest.raises(ModelError, match=r"1 of 3 skills of the log are not items of the model: k1; .*Items.of_log"):
        forecasts(student_model(fits["dkt"]), log())


def test_models_without_a_tracker_are_named():
    with pytest.raises(
        ModelError, match=r"'skill-mean' does not follow students; expected a fit of bkt, irt, pfa, dkt, hlr"
    ):
        student_model(fit_skill_mean(log()))
    with pytest.raises(ModelError, match="from a fit or from {skill: BKT}; got 3"):
        student_model(3)


def test_a_model_of_parameters_by_skill():
    skills = {"a": BKT(0.2, 0.3, 0.1, 0.05), "b": BKT(0.5), "c": BKT(0.9, p_forget=0.2)}
    model = student_model(skills, SEVERAL)
    assert model.mastery(model.start(1)).tolist() == [[0.2, 0.5, 0.9]]
    expected = [skills["a"].predict(0.2), skills["b"].predict(0.5), skills["c"].predict(0.9)]
    np.testing.assert_allclose(model.chances(model.start(1))[0, [0, 1, 3]], expected, atol=1e-15)
    with pytest.raises(ModelError, match="skills has no BKT for 'c'"):
        student_model({"a": BKT(), "b": BKT()}, SEVERAL)
    with pytest.raises(ModelError, match="dictionary {name: BKT}"):
        student_model({"a": 0.3})


# ── items ────────────────────────────────────────────────────────────────────────────────────────


def test_items_of_cells_are_the_actions_of_questions():
    items = Items.of_cells(4)
    assert items.names[[0, 5, 11]].tolist() == ["0:Easy", "1:Hard", "3:Hard"]
    assert items.skill.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_items_from_other_values():
    assert as_items(3).names.tolist() == as_items(["0", "1", "2"]).names.tolist() == ["0", "1", "2"]
    mapped = as_items({"x": "a", "y": ["b", "a"]})
    assert mapped.members.tolist() == [[0, 0], [1, 0]]
    assert mapped.has.tolist() == [[True, False], [True, True]]
    found = mapped.mean_by_skill(np.array([[0.5, 1.0]]))
    assert found.tolist() == [[0.75, 1.0]]


def test_a_log_with_an_item_of_changing_skills_is_refused():
    for skill in ([["a"], ["b"]], [["a"], ["a", "b"]], [["a", "b"], ["a", "c"]]):
        changing = Responses.from_arrays([1, 1], [0, 1], skill=skill, item=["x", "x"])
        with pytest.raises(ModelError, match="item 'x' has different skills in different responses"):
            Items.of_log(changing)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: as_items(0), "items must be Items, a positive number of skills"),
        (lambda: as_items("abc"), "items must be Items"),
        (lambda: Items([], []), "at least one name"),
        (lambda: Items(["a"], []), "one entry for each of 1 items; got 0"),
        (lambda: Items(["a", "a"], ["x", "y"]), "unique; got 'a' more than once"),
        (lambda: Items(["a"], [[]]), r"at least one skill, each once; got \[\] for item 'a'"),
        (lambda: BKTModel(2, p_init=1.5), r"p_init must be finite numbers in \[0, 1\]; got 1.5"),
        (lambda: BKTModel(2, p_guess=[0.1, np.nan]), r"p_guess must be finite numbers in \[0, 1\]; got nan"),
        (
            lambda: BKTModel(2, p_slip=[0.1] * 3),
            r"p_slip must be one number or an array of shape \(2,\); got shape \(3,\)",
        ),
        (lambda: BKTModel(2, p_slip="much"), "p_slip must be numbers; got 'much'"),
        (lambda: EloModel(2, a=0), "a must be above 0"),
        (lambda: EloModel(2, b=-1), r"b must be finite numbers in \[0, inf\]; got -1"),
        (lambda: EloModel(2, guess=1), "guess must be finite numbers"),
        (lambda: GlickoModel(SEVERAL), "item 'q4' has several: use EloModel"),
        (lambda: PFAModel(2, np.ones((2, 2))), r"coefficients must be one number or an array of shape \(2, 3\)"),
        (lambda: AbilityModel(2, np.ones((2, 3)), [0, 1, 1], 1), "nodes must ascend"),
        (lambda: AbilityModel(2, np.ones((2, 2)), [0, 1], 0), "positive sum"),
        (lambda: AbilityModel(2, [0.5, 0.5], [0, 1], 1), r"curves must be probabilities \(I, G\)"),
        (lambda: AbilityModel(2, np.ones((2, 2)), 3, 0), "at least 2 abilities"),
        (lambda: AbilityModel.of_parameters(ItemParameters([1, 1], [0, 0]), groups=[0, 2]), "group 1 has none"),
        (lambda: AbilityModel.of_parameters(ItemParameters([1, 1], [0, 0]), groups=[0]), "groups must be 2 integers"),
        (
            lambda: AbilityModel.of_parameters(ItemParameters([1], [0]), nodes=2),
            "nodes must be an integer of at least 3",
        ),
        (lambda: DKTModel(2, 1, 1, np.ones((9, 0)), np.ones((0, 0)), 1, 1, 1), "hidden states of 0 numbers; expected"),
        (
            lambda: Items(np.arange(9000), [["a"]] * 8999 + [[*range(500)]]),
            "must be at most 4,194,304; got 9,000 times 500",
        ),
        (lambda: DKTModel(2, 1, 1, np.ones(3), 1, 1, 1, 1), r"into must be \(E, 4H\) and again \(H, 4H\)"),
    ],
)
def test_invalid_parameters_are_named(make, message):
    with pytest.raises(ModelError, match=message):
        make()


@pytest.mark.parametrize(
    ("items", "correct", "active", "message"),
    [
        ([0, 30], [1, 1], None, r"items must be integers in \[0, 30\); got 30 of student 1: use the numbers of"),
        ([0, -1], [1, 1], None, r"got -1 of student 1"),
        ([0, -2], [1, -1], None, r"got -2 of student 1"),
        ([0.0, 1.0], [1, 1], None, "items must be integers of shape"),
        ([0], [1, 1], None, r"items must be integers of shape \(2,\), one per student"),
        ([0, 1], [1, 2], None, r"correct must be 1, 0 or -1 \(not answered\); got 2 of student 1"),
        ([0, 1], [np.nan, 1], None, "got nan of student 0"),
        ([0, 1], [0.5, 1], None, "got 0.5 of student 0"),
        ([0, 1], [1], None, r"correct must be 2 numbers, one per student; got int64 of shape \(1,\)"),
        ([0, 1], ["1", "0"], None, "correct must be 2 numbers"),
        ([0, 1], [1, 0], [1, 0], "active must be 2 bools"),
        ([0, 1], [1, 0], [True], "active must be 2 bools"),
    ],
)
def test_invalid_responses_are_named_and_change_nothing(items, correct, active, message):
    model = MODELS["bkt"]
    students = model.start(2)
    with pytest.raises(ModelError, match=message):
        model.update(students, items, correct, active)
    assert equal(students, model.start(2))


def test_invalid_states_are_named():
    model = MODELS["elo"]
    students = model.start(2)
    with pytest.raises(ModelError, match=r"the arrays known, unknown; got \['count', 'rating'\]; make it with start"):
        MODELS["bkt"].mastery(students)
    with pytest.raises(ModelError, match=r"rating of students must be float64 \(n, 30\); got float32 \(2, 30\)"):
        model.mastery({**students, "rating": students["rating"].astype(np.float32)})
    with pytest.raises(ModelError, match=r"rating of students must be float64 \(n, 30\); got list"):
        model.mastery({**students, "rating": [0]})
    with pytest.raises(ModelError, match=r"must have one length; got \[1, 2\]"):
        model.mastery({**students, "rating": students["rating"][:1]})
    with pytest.raises(ModelError, match="students must be a state of the model 'elo'.* got list"):
        model.chances([1, 2])
    with pytest.raises(ModelError, match="number of students must be an integer of at least 0; got -1"):
        model.start(-1)
    with pytest.raises(ModelError, match=r"items must have one row for each of 2 students"):
        model.chance(students, [1, 2, 3])


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def test_other_files_are_refused(tmp_path):
    file = tmp_path / "model.npz"
    with pytest.raises(ModelError, match="there is no such file"):
        load_student_model(file)
    with pytest.raises(ModelError, match="is not a student model"):
        load_student_model(tmp_path)
    file.write_text("once upon a time")
    with pytest.raises(ModelError, match="is neither a student model nor a fit"):
        load_student_model(file)
    np.savez(file, x=np.zeros(3))
    with pytest.raises(ModelError, match="is not a student model: .*expected a file that save"):
        load_student_model(file)
    bkt.Tracker({"a": BKT()}, 2).save(file)
    with pytest.raises(ModelError, match="it has no format 'alsim-student-model'"):
        load_student_model(file)
    EloModel(2).save(file)
    with pytest.raises(ModelError, match="is a student model of kind 'elo'; use load_student_model"):
        BKTModel.load(file)


def test_damaged_files_are_refused(tmp_path):
    file = EloModel(3, [0, 1, 2]).save(tmp_path / "model.npz")
    content = file.read_bytes()
    for end in range(0, len(content), 37):
        file.write_bytes(content[:end])
        with pytest.raises(ModelError):
            load_student_model(file)
    for changed in (b'"elo"', b'"irt"'), (b'"elo"', b'"efg"'), (b'"a": 1.0', b'"a": 0.0'), (b'"a": 1.0', b'"q": 1.0'):
        with np.load(io.BytesIO(content)) as saved:
            arrays = dict(saved)
        arrays["about"] = np.frombuffer(arrays["about"].tobytes().replace(*changed), np.uint8)
        np.savez(file, **arrays)
        with pytest.raises(ModelError, match="is not a student model"):
            load_student_model(file)
    with np.load(io.BytesIO(content)) as saved:
        arrays = dict(saved)
    np.savez(file, **{**arrays, "difficulty": np.float64(1)})
    with pytest.raises(ModelError, match=r"its difficulty are float64 of shape \(\), not an array of float64"):
        load_student_model(file)
    np.savez(file, **{**arrays, "about": np.array([{"format": "x"}], object)})
    with pytest.raises(ModelError, match="objects, not numbers"):
        load_student_model(file)


@every_model
def test_a_file_that_has_lost_a_parameter_is_refused(model, tmp_path):
    """A default must not replace what a damaged file has lost."""
    file = model.save(tmp_path / "model.npz")
    with np.load(file) as saved:
        arrays = dict(saved)
    for name in model.arrays():
        np.savez(file, **{key: array for key, array in arrays.items() if key != name})
        with pytest.raises(ModelError, match=f"is not a student model: .*{name}"):
            load_student_model(file)
    for name in model.options():
        about = json.loads(arrays["about"].tobytes())
        del about["options"][name]
        np.savez(file, **{**arrays, "about": np.frombuffer(json.dumps(about).encode(), np.uint8)})
        with pytest.raises(ModelError, match=f"is not a student model: .*{name}"):
            load_student_model(file)
