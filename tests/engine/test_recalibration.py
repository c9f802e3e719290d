"""Recalibration: models fitted to the log recover the truth, and other processes on the store use them."""

import json
import multiprocessing
import threading

import numpy as np
import pytest
from courses import question
from scipy import optimize

from alsim.engine import AdaptiveEngine, EngineError, StoreError
from alsim.engine.calibration import ENOUGH, refit
from alsim.engine.stores.memory import MemoryStore
from alsim.models import Responses
from alsim.models.student import BKTModel, EloModel

SKILLS = ("s0", "s1", "s2")
GRAPH = {skill: [] for skill in SKILLS}
NUM = 24
RANDOM = np.random.default_rng(3)
TRUE = RANDOM.normal(size=NUM)
EXPERT = TRUE + 0.8 + 0.5 * RANDOM.normal(size=NUM)  # the expert finds all items too difficult
ITEMS = [
    {"id": f"q{i}", "skills_taught": [SKILLS[i % 3]], "skills_assessed": [SKILLS[i % 3]], "difficulty": EXPERT[i]}
    for i in range(NUM)
]
MODELS = ("bkt", "irt", "elo", "glicko")
SLOW_IRT = pytest.param("irt", marks=pytest.mark.compiled)
"""Without compilation, recalibrations of this model take seconds: only one test makes them."""


def filled(model, students=60, each=8, store="memory", seed=5):
    """Return an engine with responses of students whose abilities are N(0, 1)."""
    engine, random = AdaptiveEngine(GRAPH, ITEMS, model=model, store=store), np.random.default_rng(seed)
    for s in range(students):
        theta = random.normal()
        for i in random.choice(NUM, each, replace=False).tolist():
            correct = bool(random.random() < 1 / (1 + np.exp(TRUE[i] - theta)))
            engine.process_response(f"student {s}", f"q{i}", correct, time=1.0 + s)
    return engine


def difficulties(model):
    """Return the difficulty of each question: where the curve is one half."""
    found = {str(name): k for k, name in enumerate(model.items.names)}
    rows = [found[f"q{i}"] for i in range(NUM)]
    if hasattr(model, "difficulty"):
        return model.difficulty[rows]
    return np.array([np.interp(0.5, model.curves[k], model.nodes) for k in rows])


def rmse(values):
    return np.sqrt(((values - TRUE) ** 2).mean())


@pytest.mark.ci
@pytest.mark.parametrize("model", ["bkt", SLOW_IRT, "elo", "glicko"])
def test_the_report_and_the_forecasts(model):
    engine = filled(model)
    before = engine.digest
    report = engine.recalibrate(held_out=0.5)
    assert (report.students, report.responses) == (60, 480)
    assert report.items == (3 if model == "bkt" else NUM) == report.items_total
    assert 20 <= report.held_out_students <= 40
    assert report.held_out_responses == 8 * report.held_out_students
    assert report.change == pytest.approx(report.log_loss_after - report.log_loss_before)
    assert report.change < 0 < report.change_se  # the expert was wrong by 0.8 logits
    assert (report.digest_before, report.digest) == (before, engine.digest)
    assert before != engine.digest
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()


@pytest.mark.ci
@pytest.mark.parametrize("model", [SLOW_IRT, "elo", "glicko"])
def test_difficulties_move_towards_the_truth(model):
    engine = filled(model)
    assert rmse(EXPERT) > 0.8
    engine.recalibrate(held_out=0)
    assert rmse(difficulties(engine.model.model)) < 0.8 * rmse(EXPERT)


@pytest.mark.ci
def test_items_with_enough_responses_are_calibrated_without_the_expert():
    """About 400 responses per item: standard errors of about 0.15 logits, so that 0.3 is far outside."""
    assert ENOUGH <= 300
    engine = filled("irt", students=1_200)
    engine.recalibrate(held_out=0)
    assert rmse(difficulties(engine.model.model)) < 0.3


def test_the_parameters_of_bkt_move_towards_the_truth():
    graph, items = {"s": []}, [{"id": "q", "skills_assessed": ["s"]}]
    engine, random = AdaptiveEngine(graph, items), np.random.default_rng(0)
    for s in range(150):
        known = random.random() < 0.7
        for _ in range(6):
            engine.process_response(f"{s}", "q", bool(random.random() < (0.95 if known else 0.1)))
            known = known or random.random() < 0.02
    engine.recalibrate(held_out=0)
    model = engine.model.model
    assert model.p_init[0] == pytest.approx(0.7, abs=0.12)
    assert model.p_learn[0] < 0.06
    assert model.p_slip[0] < 0.09
    assert model.p_guess[0] < 0.17


def pfa_engine(store="memory", extra=()):
    """Return an engine with a fit of PFA to a few responses; `extra` are skills without one in the fit."""
    pytest.importorskip("sklearn")
    from alsim.models.pfa import fit

    random = np.random.default_rng(8)
    skills = [SKILLS[k] for k in random.integers(0, 3, 300)]
    first = fit(Responses.from_arrays(np.arange(300) // 10, random.integers(0, 2, 300), skill=skills))
    others = [{"id": f"q-{skill}", "skills_assessed": [skill]} for skill in extra]
    return AdaptiveEngine(GRAPH | {skill: [] for skill in extra}, ITEMS + others, model=first, store=store)


def pfa_by_hand(answers):
    """Return intercept, win and failure of each skill of answers [(student, skill, correct)], and the counts.

    The counts are those of plain Python, and the fit is scikit-learn's, with a normal prior of variance 1.
    """
    from sklearn.linear_model import LogisticRegression

    counts, rows, right = {}, [], []
    for student, skill, correct in answers:
        own = counts.setdefault((student, skill), [0, 0])
        row = np.zeros((3, 3))
        row[SKILLS.index(skill)] = 1, *own
        rows.append(row.ravel())
        right.append(correct)
        own[0 if correct else 1] += 1
    found = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(rows, right)
    return found.coef_.reshape(3, 3), counts


def test_a_model_of_pfa_is_fitted_again_to_the_log():
    engine, random, answers = pfa_engine(), np.random.default_rng(1), []
    for s in range(40):
        for k, i in enumerate(random.choice(NUM, 12).tolist()):
            answers.append((f"s{s}", SKILLS[i % 3], bool(random.random() < 0.2 + 0.06 * k)))
            engine.process_response(f"s{s}", f"q{i}", answers[-1][2], time=float(k))
    before = engine.digest
    report = engine.recalibrate(held_out=0.3)
    expected, counts = pfa_by_hand(answers)
    model = engine.model.model
    order = [model.items.skills.tolist().index(skill) for skill in SKILLS]
    np.testing.assert_allclose(model.coefficients[order], expected, atol=1e-4)
    assert (report.model, report.students, report.responses, report.is_stored) == ("PFAModel", 40, 480, True)
    assert report.change < 0 and report.digest == engine.digest != before
    for student in ("s0", "s39"):
        for k, skill in enumerate(SKILLS):
            logit = expected[k] @ [1, *counts.get((student, skill), (0, 0))]
            assert engine.mastery(student)[skill] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-4)


def test_a_model_of_pfa_is_that_of_the_store_also_for_a_larger_catalogue():
    engine = pfa_engine()
    for s in range(20):
        for k in range(6):
            engine.process_response(f"s{s}", f"q{3 * k + s % 2}", (s + k) % 3 > 0)  # s0 and s1 only
    old = engine.model.model
    engine.recalibrate(held_out=0)
    new = engine.model.model
    assert not np.isclose(new.coefficients[:2], old.coefficients[:2]).any()
    np.testing.assert_array_equal(new.coefficients[2], old.coefficients[2])  # no responses
    assert pfa_engine(engine.store).digest == engine.digest
    larger = pfa_engine(engine.store, ("other",)).model.model
    fresh = pfa_engine("memory", ("other",)).model.model
    found = dict(zip(larger.items.skills.tolist(), larger.coefficients.tolist(), strict=True))
    assert found == dict(zip(new.items.skills.tolist(), new.coefficients.tolist(), strict=True)) | {
        "other": fresh.coefficients[fresh.items.skills.tolist().index("other")].tolist()
    }


def test_a_log_to_which_a_model_cannot_be_fitted():
    engine = pfa_engine()
    for s in range(4):
        engine.process_response(f"s{s}", "q0", True)
    before = engine.digest
    with pytest.raises(EngineError, match="the student model cannot be fitted to the log: .*all"):
        engine.recalibrate(held_out=0)
    assert engine.digest == before


def test_the_prior_of_bkt_is_worth_20_observations():
    """The maximum of likelihood times Beta priors, by SciPy on the sum over all paths of the hidden states."""
    random = np.random.default_rng(4)
    answers = random.random((20, 3)) < [[0.6], [0.9]] * 10
    engine = AdaptiveEngine({"s": []}, [{"id": "q", "skills_assessed": ["s"]}])
    for s, row in enumerate(answers):
        for correct in row:
            engine.process_response(f"{s}", "q", bool(correct))
    engine.recalibrate(held_out=0)
    start = np.array([0.3, 0.1, 0.2, 0.1])  # p_init, p_learn, p_guess, p_slip of the guide

    def loss(parameters):
        p_init, p_learn, p_guess, p_slip = parameters
        total = 0.0
        for row in answers:
            likelihood = 0.0
            for learnt in range(4):  # the answer from which on the skill is known; 3 for never
                path = p_init if learnt == 0 else (1 - p_init) * (1 - p_learn) ** (learnt - 1)
                path *= p_learn if learnt in (1, 2) else 1.0
                for t, correct in enumerate(row):
                    right = 1 - p_slip if t >= learnt else p_guess
                    path *= right if correct else 1 - right
                likelihood += path
            total += np.log(likelihood)
        return -total - 20 * (start @ np.log(parameters) + (1 - start) @ np.log1p(-parameters))

    limits = [(0.001, 0.999)] * 4
    expected = optimize.minimize(loss, start, method="L-BFGS-B", bounds=limits, options={"ftol": 1e-14, "gtol": 1e-9})
    found = engine.model.model
    values = [getattr(found, name)[0] for name in ("p_init", "p_learn", "p_guess", "p_slip")]
    np.testing.assert_allclose(values, expected.x, atol=2e-4)
    assert np.abs(expected.x - start).max() > 0.02


@pytest.mark.heavy
def test_items_with_200_responses_are_calibrated_without_the_expert_and_others_with():
    """The expert is sure (SD 0.01), and wrong by 3 logits; 199 responses leave the item where the expert sees it."""
    counts = {"a": 200, "b": 200, "c": 199}
    items = [question(name, "s", difficulty=3.0, difficulty_sd=0.01) for name in counts]
    engine, random, rows = AdaptiveEngine({"s": []}, items, model="irt"), np.random.default_rng(6), []
    for s in range(200):
        theta = random.normal()
        rows += [(f"{s}", name, int(random.random() < 1 / (1 + np.exp(-theta)))) for name, n in counts.items() if s < n]
    students, names, correct = zip(*rows, strict=True)
    found = refit(engine.model.model, engine.catalogue, Responses.from_arrays(students, correct, item=names)).model
    places = [found.items.names.tolist().index(name) for name in counts]
    a, b, c = (np.interp(0.5, found.curves[k], found.nodes) for k in places)
    assert abs(a) < 0.6 and abs(b) < 0.6  # the truth is 0, with a standard error of 0.2
    assert c == pytest.approx(3.0, abs=0.1)


def test_what_has_no_responses_keeps_its_parameters():
    for model in ("bkt", "irt", "elo", "glicko"):
        engine = AdaptiveEngine(GRAPH, ITEMS, model=model)
        old = {name: values.copy() for name, values in engine.model.model.arrays().items()}
        for s in range(4):
            engine.process_response(f"{s}", "q0", s > 0)
        engine.recalibrate(held_out=0)
        new = engine.model.model.arrays()
        name = {"bkt": "p_init", "irt": "curves"}.get(model, "difficulty")
        assert not np.array_equal(old[name][0], new[name][0])
        np.testing.assert_array_equal(old[name][1:], new[name][1:])


def test_all_states_follow_from_the_log_under_the_new_model():
    for replay in (False, True):
        engine = filled("bkt", students=10)
        engine.recalibrate(replay=replay)
        fresh = AdaptiveEngine(GRAPH, ITEMS, model=engine.model.model, store=engine.store)
        states = {name: engine.store.load(name).state for name in engine.students()}
        assert all(engine.states.codec.is_current(state) == replay for state in states.values())
        assert [fresh.mastery(name) for name in states] == [engine.mastery(name) for name in states]


# ── other processes ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.parametrize("model", ["bkt", SLOW_IRT, "elo", "glicko"])
def test_engines_on_the_store_use_the_new_model(model, tmp_path):
    address = f"sqlite:{tmp_path / 'store.db'}"
    engine = filled(model, students=30, store=address)
    old = AdaptiveEngine(GRAPH, ITEMS, model=model, store=address)
    assert engine.recalibrate().is_stored
    new = AdaptiveEngine(GRAPH, ITEMS, model=model, store=address)
    assert new.digest == engine.digest != old.digest
    assert new.mastery("student 3") == engine.mastery("student 3") != old.mastery("student 3")

    old.process_response("student 3", "q1", True)  # by the old model: the new one must not read its state
    assert not engine.states.codec.is_current(engine.store.load("student 3").state)
    found = engine.mastery("student 3")
    engine.replay()
    assert engine.states.codec.is_current(engine.store.load("student 3").state)
    assert engine.mastery("student 3") == found

    assert old.refresh()
    assert not old.refresh()
    assert old.digest == engine.digest
    other = AdaptiveEngine(GRAPH, ITEMS, model="elo" if model != "elo" else "bkt", store=address)
    assert other.digest != engine.digest  # a model that was not recalibrated is used as it is
    assert not other.refresh()


@pytest.mark.ci
@pytest.mark.parametrize("model", MODELS)
def test_a_larger_catalogue_keeps_what_was_learnt(model):
    engine = filled(model, students=30)
    engine.recalibrate(held_out=0)
    extra = [{"id": "new", "skills_assessed": ["s0", "other"], "difficulty": 1.5}]
    if model == "glicko":
        extra[0]["skills_assessed"] = ["other"]
    graph = GRAPH | {"other": []}
    default = AdaptiveEngine(graph, ITEMS + extra, model=model).model.model
    larger = AdaptiveEngine(graph, extra + ITEMS, model=model, store=engine.store).model.model
    if model == "bkt":
        found = dict(zip(larger.items.skills.tolist(), larger.p_init.tolist(), strict=True))
        learnt = dict(zip(engine.model.model.items.skills.tolist(), engine.model.model.p_init.tolist(), strict=True))
        assert found == learnt | {"other": 0.3}
        return
    np.testing.assert_array_equal(difficulties(larger), difficulties(engine.model.model))
    name = "curves" if model == "irt" else "difficulty"
    of_new = [m.arrays()[name][m.items.names.tolist().index("new")] for m in (default, larger)]
    np.testing.assert_array_equal(*of_new)


def _mastery(address, queue):
    queue.put(AdaptiveEngine(GRAPH, ITEMS, model="irt", store=address).mastery("student 1"))


@pytest.mark.ci
def test_another_process_has_the_same_mastery(tmp_path):
    address = f"sqlite:{tmp_path / 'store.db'}"
    engine = filled("irt", students=20, store=address)
    engine.recalibrate()
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_mastery, args=(address, queue))
    process.start()
    assert queue.get(timeout=120) == engine.mastery("student 1")
    process.join()


@pytest.mark.heavy
def test_threads_use_one_model_for_each_event():
    """While the model changes, every state that counts as current is that of a replay under its model."""
    engine = filled("bkt", students=3)
    models = [BKTModel(engine.model.model.items, p) for p in (0.2, 0.5)]
    stop, errors = threading.Event(), []

    def respond(k):
        random = np.random.default_rng(k)
        try:
            while not stop.is_set():
                student = f"student {random.integers(3)}"
                engine.process_response(student, f"q{random.integers(NUM)}", bool(random.integers(2)))
                engine.recommend(student, 1)
        except Exception as error:  # noqa: BLE001  # it is raised again below
            errors.append(error)

    threads = [threading.Thread(target=respond, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(20):
        engine.recalibrate(held_out=0, refit=lambda log, model, turn=turn: models[turn % 2])
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    for name in engine.students():
        state = engine.store.load(name).state
        if engine.states.codec.is_current(state):
            engine.replay()
            assert engine.store.load(name).state == state


# ── arguments and errors ─────────────────────────────────────────────────────────────────────────


@pytest.mark.heavy
def test_a_dry_run_changes_nothing():
    engine = filled("elo", students=10)
    before, notes = engine.digest, engine.store.read_note("model")
    report = engine.recalibrate(dry_run=True)
    assert report.digest != before == engine.digest == report.digest_before
    assert not report.is_stored
    assert engine.store.read_note("model") is notes is None


def test_another_fit():
    engine = filled("elo", students=10)

    def refit(log, model):
        assert len(log) == 80
        return EloModel(model.items, 0.25)

    report = engine.recalibrate(held_out=0, refit=refit)
    assert (report.change, report.held_out_students) == (None, 0)
    assert (engine.model.model.difficulty == 0.25).all()
    with pytest.raises(EngineError, match="refit must return a StudentModel; got"):
        engine.recalibrate(held_out=0, refit=lambda log, model: 3)


def test_an_empty_log():
    engine = AdaptiveEngine(GRAPH, ITEMS)
    engine.recommend("ada")
    with pytest.raises(EngineError, match=r"^the log has no responses .* call recalibrate after process_response$"):
        engine.recalibrate()


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan"), "half", True])
def test_invalid_shares(share):
    with pytest.raises(EngineError, match=r"held_out must be a share of the students in \[0, 1\); got"):
        filled("elo", students=1).recalibrate(held_out=share)


def test_a_model_of_another_class_needs_a_function():
    class Own:
        """A student model of a user."""

        def __init__(self, model):
            self.inner, self.items = model, model.items

        def __getattr__(self, name):
            return getattr(self.inner, name)

    engine = AdaptiveEngine(GRAPH, ITEMS, model=Own(AdaptiveEngine(GRAPH, ITEMS).model.model))
    engine.process_response("ada", "q0", True)
    with pytest.raises(EngineError, match="cannot be fitted again: make an engine with another model, or pass refit="):
        engine.recalibrate(held_out=0)


@pytest.mark.parametrize("text", ["", "{}", '{"format": 2}', "nonsense"])
def test_a_damaged_pointer(text):
    engine = filled("elo", students=2)
    engine.store.write_note("model", text)
    with pytest.raises(StoreError, match="damaged note 'model': recalibrate again"):
        AdaptiveEngine(GRAPH, ITEMS, model="elo", store=engine.store)


def test_a_damaged_model(monkeypatch):
    monkeypatch.setattr("alsim.engine.stored_model.WAIT", 0.0)
    engine = filled("elo", students=2)
    engine.recalibrate(held_out=0)
    engine.store.write_note(json.loads(engine.store.read_note("model"))["slot"], "AAAA")
    with pytest.raises(StoreError, match="damaged student model"):
        AdaptiveEngine(GRAPH, ITEMS, model="elo", store=engine.store)


def test_the_next_model_does_not_replace_the_current_one_while_it_is_read():
    engine = filled("elo", students=4)
    slots = []
    for p in (0.1, 0.2, 0.3):
        engine.recalibrate(held_out=0, refit=lambda log, model, p=p: EloModel(model.items, p))
        slots.append(json.loads(engine.store.read_note("model"))["slot"])
    assert len(set(slots)) == 3
    assert [bool(engine.store.read_note(slot)) for slot in slots] == [False, True, True]


def test_each_skill_of_bkt_is_shrunken_to_its_own_parameters():
    """One response per skill, against priors worth 20 observations: no parameter can move by more than 1/21."""
    before = BKTModel(["a", "b"], p_init=[0.05, 0.8], p_learn=[0.3, 0.02], p_guess=[0.05, 0.45], p_slip=[0.02, 0.3])
    engine = AdaptiveEngine({"a": [], "b": []}, [question("qa", "a"), question("qb", "b")], model=before)
    engine.process_response("x", "qa", False)
    engine.process_response("y", "qb", True)
    engine.recalibrate(held_out=0)
    for name, values in before.arrays().items():
        assert engine.model.model.arrays()[name] == pytest.approx(values, abs=1 / 21)


class Interrupted(MemoryStore):
    """A store in which another engine recalibrates between the two notes of a recalibration."""

    other = None

    def write_note(self, name, text):
        super().write_note(name, text)
        if name != "model" and self.other is not None:
            other, self.other = self.other, None
            other.process_response("z", "q", False)
            other.recalibrate(held_out=0)


def test_two_recalibrations_at_a_time_leave_one_of_their_models():
    store = Interrupted()
    course = {"a": []}, [question("q", "a")]
    first, second = (AdaptiveEngine(*course, store=store) for _ in range(2))
    first.process_response("x", "q", True)
    store.other = second
    first.recalibrate(held_out=0)
    third = AdaptiveEngine(*course, store=store)
    assert third.digest in (first.digest, second.digest)
    second.refresh()
    assert second.digest == third.digest


def test_a_store_keeps_two_models_only():
    store = MemoryStore()
    engine = AdaptiveEngine({"a": []}, [question("q", "a")], store=store)
    for k in range(5):
        engine.process_response("x", "q", k % 2 == 0)
        engine.recalibrate(held_out=0)
    assert sum(bool(text) for name, text in store._notes.items() if name != "model") == 2
