"""Deep knowledge tracing without PyTorch: forecasts, tracking, files and checkpoints."""

import io
import json
import math
import pickle
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest

from alsim.models import Responses, load_fit
from alsim.models.base import ModelError
from alsim.models.dkt import DKTFit, fit
from alsim.models.dkt.checkpoints import read_checkpoint, write_checkpoint
from alsim.models.dkt.network import Weights, logistic, shapes_of
from alsim.models.dkt.sequences import batches, digest, padded, sequences_of
from alsim.models.dkt.settings import Epoch, Settings, read_settings, schedule
from alsim.utils import file_groups, files
from alsim.utils.npz import sha256, to_npz
from alsim.utils.optional import MissingExtra

SKILLS = np.array(["add", "carry", "borrow"])
COUNTS = np.array([5, 1, 4])
E, H = 3, 4
SETTINGS = Settings(hidden=H, embedding=E)

ROUNDING = 1e-12
"""Bound on the difference of two computations of the same network in float64, u = 2**-53.

A gate is a sum of E + H + 1 < 10 products below 10, so its error is at most 10 * 100 u = 1e-13. logistic and tanh do
not enlarge it, and the error in a state decays like the state.
"""


def weights_of(seed=0):
    random = np.random.default_rng(seed)
    shapes = shapes_of(len(SKILLS), E, H)
    return Weights(**{name: random.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()})


def fit_of(weights=None):
    epochs = [Epoch(0.7, 0.69), Epoch(0.6, 0.65), Epoch(0.5, 0.66)]
    return DKTFit(SKILLS, COUNTS, weights_of() if weights is None else weights, SETTINGS, epochs, -12.5, 10)


def log_of(*students):
    """A log of students, each a list of (skill or skills, correct)."""
    rows = [(f"s{k}", skill, correct) for k, student in enumerate(students) for skill, correct in student]
    names, skill, correct = zip(*rows, strict=True)
    skill = [[s] if isinstance(s, str) else [*s] for s in skill]
    return Responses.from_arrays(names, correct, skill=skill)


def random_student(length, random, most=1):
    """Responses to one to `most` skills each, among them an unknown one."""
    names = [*SKILLS, "unheard of"]
    sizes = random.integers(1, most + 1, length)
    return [([*random.choice(names, m, replace=False)], int(random.random() < 0.6)) for m in sizes]


def random_log(lengths, most=1):
    random = np.random.default_rng(0)
    return log_of(*(random_student(length, random, most) for length in lengths))


# ── forecasts ─────────────────────────────────────────────────────────────────────────────


def plain_forecasts(weights, student):
    """The same network for one student in plain Python: one-hot code, LSTM, logistic.

    An unknown skill's row is the mean of all skills' rows, weighted by their responses.
    """

    def sigma(x):
        return 1 / (1 + math.exp(-x))

    share = COUNTS / COUNTS.sum()
    w = {name: values.astype(float).tolist() for name, values in weights._asdict().items()}

    def row(table, code, offset=0):
        if code is not None:
            return table[offset + code]
        return [sum(share[k] * table[offset + k][j] for k in range(3)) for j in range(len(table[0]))]

    def mean(rows):
        return [sum(column) / len(rows) for column in zip(*rows, strict=True)]

    x, h, c, found = w["embedding"][6], [0.0] * H, [0.0] * H, []
    for skills, correct in student:
        skills = [skills] if isinstance(skills, str) else skills
        codes = [[*SKILLS].index(s) if s in SKILLS else None for s in skills]
        gates = [
            sum(w["into"][g][e] * x[e] for e in range(E))
            + sum(w["again"][g][k] * h[k] for k in range(H))
            + w["gate_bias"][g]
            for g in range(4 * H)
        ]
        i, f, g, o = (gates[part * H : (part + 1) * H] for part in range(4))
        c = [sigma(f[k]) * c[k] + sigma(i[k]) * math.tanh(g[k]) for k in range(H)]
        h = [sigma(o[k]) * math.tanh(c[k]) for k in range(H)]
        asked = mean([row([[*a, b] for a, b in zip(w["output"], w["output_bias"], strict=True)], k) for k in codes])
        found.append(sigma(sum(asked[k] * h[k] for k in range(H)) + asked[H]))
        x = mean([row(w["embedding"], k, 3 * correct) for k in codes])
    return found


@pytest.mark.parametrize("most", [1, 3])
def test_forecasts_match_the_equations_with_several_and_unknown_skills(most):
    random = np.random.default_rng(most)
    students = [random_student(length, random, most) for length in (7, 1, 12, 3)]
    predicted = fit_of().predict(log_of(*students))
    expected = np.concatenate([plain_forecasts(weights_of(), student) for student in students])
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=ROUNDING)
    assert np.ptp(predicted) > 0.1  # otherwise the test would prove nothing


def test_a_forecast_does_not_depend_on_later_responses():
    log = random_log([6, 6])
    before = fit_of().predict(log)
    correct = log.correct.copy()
    for r in range(5, -1, -1):
        correct[r] ^= 1
        changed = fit_of().predict(Responses.from_arrays(log.student, correct, skill=log.skills[log.skill]))
        np.testing.assert_allclose(changed[: r + 1], before[: r + 1], rtol=0, atol=ROUNDING)
        np.testing.assert_allclose(changed[6:], before[6:], rtol=0, atol=ROUNDING)  # nor on another student
        if r < 5:
            assert abs(changed[r + 1] - before[r + 1]) > 1e-6


def test_empty_logs_and_students_without_responses():
    log = random_log([4, 3])
    assert fit_of().predict(log.take(np.zeros(len(log), bool))).shape == (0,)
    rest = log.take(log.student == 1)
    assert rest.num_students == 2
    np.testing.assert_allclose(fit_of().predict(rest), fit_of().predict(log)[4:], rtol=0, atol=ROUNDING)


def test_logistic_never_overflows():
    np.testing.assert_array_equal(logistic(np.array([-1e308, -800.0, 0, 800, 1e308])), [0, 0, 0.5, 1, 1])
    x = np.linspace(-30, 30, 601)
    np.testing.assert_allclose(logistic(x), [1 / (1 + math.exp(-v)) for v in x], rtol=0, atol=1e-15)


# ── one response at a time ───────────────────────────────────────────────────────────────────────


def test_a_tracker_forecasts_the_same_as_predict_at_any_length():
    log = random_log([450, 1, 210, 33], most=2)
    fitted = fit_of()
    expected = fitted.predict(log)
    tracker = fitted.tracker()
    steps = np.random.default_rng(1).permutation(np.repeat(np.arange(4), np.diff(log.start)))
    place = log.start[:-1].copy()
    for s in steps:  # students answer in turns
        r = place[s]
        skill = log.skills[log.skill[log.skill_start[r] : log.skill_start[r + 1]]]
        assert abs(tracker.probability(s, skill) - expected[r]) < ROUNDING
        of_each = tracker.forecast(s)
        assert of_each.shape == (3,)
        if len(skill) == 1 and skill[0] in SKILLS:
            assert abs(of_each[[*SKILLS].index(skill[0])] - expected[r]) < ROUNDING
        np.testing.assert_array_equal(tracker.update(s, skill, log.correct[r]), tracker.forecast(s))
        place[s] += 1
    assert len(tracker) == 4
    tracker.forget(0)
    tracker.forget("unknown")
    np.testing.assert_array_equal(tracker.forecast(0), tracker.forecast("unknown"))
    assert len(tracker) == 3


@pytest.mark.parametrize("correct", [2, -1, 0.5, "1", None, float("nan")])
def test_invalid_responses_are_refused(correct):
    tracker = fit_of().tracker()
    with pytest.raises(ModelError, match="correct must be 0 or 1; got .* for student 'ann'"):
        tracker.update("ann", "add", correct)
    with pytest.raises(ModelError, match="must have at least one skill; got none"):
        tracker.update("ann", [], 1)
    assert len(tracker) == 0


# ── sequences ────────────────────────────────────────────────────────────────────────────────────


def test_logs_become_padded_sequences_of_sets_of_skills():
    log = log_of([(["carry", "add"], 1), ("add", 0)], [("x", 1)], [(["add", "carry"], 0), ("borrow", 1), ("add", 1)])
    sequences = sequences_of(log, SKILLS)
    sets = [
        [*zip(m[s > 0].tolist(), s[s > 0].tolist(), strict=True)]
        for m, s in zip(sequences.members, sequences.share, strict=True)
    ]
    assert [sorted(sets[w]) for w in sequences.skill_set] == [
        *([(0, 0.5), (1, 0.5)], [(0, 1.0)], [(3, 1.0)], [(0, 0.5), (1, 0.5)], [(2, 1.0)], [(0, 1.0)]),
    ]
    assert padded(sequences, np.array([2, 1])).tolist() == [[3, 4, 5], [2, 6, 6]]
    assert padded(sequences, np.array([], np.intp)).shape == (0, 0)
    assert digest(sequences, SKILLS) != digest(sequences._replace(correct=1 - sequences.correct), SKILLS)
    assert digest(sequences, SKILLS) != digest(sequences, SKILLS[::-1])


def test_batches_have_each_student_with_responses_once():
    log = random_log([5, 1, 9, 2, 30, 7])
    sequences = sequences_of(log.take(log.student != 1), SKILLS)
    sequences.weight[3] = 0
    found = batches(sequences, 3, 0.3, np.random.default_rng(0))
    assert sorted(map(len, found)) == [1, 3]
    assert sorted(np.concatenate(found)) == [0, 2, 4, 5]
    again = batches(sequences, 3, 0.3, np.random.default_rng(0))
    assert [*map(list, found)] == [*map(list, again)]


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hidden": 0}, "hidden must be an integer of at least 1; got 0"),
        ({"embedding": 2.0}, "embedding must be an integer of at least 1; got 2.0"),
        ({"epochs": True}, "epochs must be an integer of at least 1; got True"),
        ({"batch_size": "32"}, "batch_size must be an integer of at least 1; got '32'"),
        ({"patience": 0}, "patience must be an integer of at least 1; got 0"),
        ({"seed": -1}, "seed must be an integer of at least 0; got -1"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\); got 1.0"),
        ({"dropout": "half"}, "dropout must be a number; got 'half'"),
        ({"validation": float("nan")}, r"validation must be a number in \[0, 1\); got nan"),
        ({"learning_rate": 0}, r"learning_rate must be a number in \(0, 1\]; got 0.0"),
        ({"learning_rate": 1e38}, r"learning_rate must be a number in \(0, 1\]; got 1e\+38"),
    ],
)
def test_invalid_settings_are_refused(setting, message):
    with pytest.raises(ModelError, match=message):
        fit(random_log([4, 4]), **setting)


def test_the_defaults_are_the_settings():
    named = {k: v for k, v in fit.__kwdefaults__.items() if k in Settings._fields}
    assert Settings(**named) == Settings() == read_settings(**named)


def test_too_few_responses_or_students_are_refused():
    log = random_log([4, 4])
    with pytest.raises(ModelError, match="is fitted to at least one response; got none"):
        fit(log.take(np.zeros(8, bool)))
    with pytest.raises(ModelError, match="validation=0.5 leaves (4|0) of 4 responses to train on"):
        fit(log.take(log.student == 0), validation=0.5)
    with pytest.raises(ModelError, match="validation=0.1 needs at least 2 students; the log has 1: pass validation=0"):
        fit(random_log([4]))


def test_epochs_without_improvement_halve_the_learning_rate():
    def after(*losses):
        return schedule([Epoch(9.0, loss) for loss in losses], 0.8)

    assert after() == (-1, 0, 0.8)
    assert after(5.0, 4.0) == (1, 0, 0.8)
    assert after(5.0, 4.0, 4.0) == (1, 1, 0.4)  # an equal loss is no improvement
    assert after(5.0, 4.0, 4.5, 3.0, 3.5, 3.2) == (3, 2, 0.1)
    assert schedule([Epoch(2.0, None), Epoch(1.0, None)], 0.8) == (1, 0, 0.8)


def test_without_pytorch_the_error_names_the_optional_dependency(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "alsim.models.dkt.trainer", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra) as raised:
        fit(random_log([4, 4]))
    assert str(raised.value) == (
        "alsim.models.dkt needs torch, which is not installed; "
        "install it with `pip install '.[dkt]'` in a clone of alsim"
    )


def test_a_saved_fit_is_used_without_pytorch(tmp_path):
    fit_of().save(tmp_path / "fit.json")
    code = (
        f"import sys; from alsim.models import load_fit; f = load_fit({str(tmp_path / 'fit.json')!r});"
        "f.tracker().update(1, 'add', 1);"
        "print(sorted({'torch', 'numba', 'pyarrow', 'pandas', 'scipy'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"


# ── the fit and its files ────────────────────────────────────────────────────────────────────────


def test_fields_and_table_of_a_fit():
    fitted = fit_of()
    assert (fitted.iterations, fitted.best_epoch, fitted.converged) == (3, 2, False)
    assert (fitted.log_likelihood, fitted.num_responses) == (-12.5, 10)
    table = fitted.table()
    assert [(row["skill"], row["responses"]) for row in table] == [("add", 5), ("carry", 1), ("borrow", 4)]
    for row in table:
        assert row["first"] == pytest.approx(plain_forecasts(weights_of(), [(row["skill"], 1)])[0], abs=ROUNDING)
    waited = DKTFit(SKILLS, COUNTS, weights_of(), SETTINGS, [Epoch(0.7, 0.6)] * 4, -1.0, 10)
    assert (waited.best_epoch, waited.converged) == (1, True)


def same(one, other):
    log = random_log([9, 30], most=2)
    np.testing.assert_array_equal(one.predict(log), other.predict(log))
    assert one.to_dict() == other.to_dict()
    return True


def test_saved_fits_are_the_same_to_the_bit(tmp_path):
    fitted = fit_of()
    path = fitted.save(tmp_path / "new" / "fit.json")
    assert sorted(p.name for p in path.parent.iterdir()) == ["fit.json", "fit.npz"]
    assert same(DKTFit.load(path), fitted) and same(load_fit(path), fitted)
    text = json.loads(path.read_text())
    assert (text["format"], text["version"], text["model"]) == ("alsim-fit", 1, "dkt")
    assert same(DKTFit.from_dict(json.loads(json.dumps(fitted.to_dict()))), fitted)
    fit_of(weights_of(seed=1)).save(path)
    assert same(load_fit(path), fit_of(weights_of(seed=1)))
    for name in ("fit.npz", "fit.NPZ"):  # one file on systems that ignore case
        with pytest.raises(ModelError, match=r"JSON of a fit must not be named \.npz"):
            fitted.save(tmp_path / name)


def edited(path, **changes):
    text = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in {**text, **changes}.items() if v is not None}))


def with_arrays(path, content):
    path.with_suffix(".npz").write_bytes(content)
    edited(path, weights=sha256(content))


def changed_array(**changes):
    return to_npz(weights_of()._asdict() | changes)


def squeezed(values):
    stream = io.BytesIO()
    np.savez_compressed(stream, output=values)
    return stream.getvalue()


class Hostile:
    def __reduce__(self):
        return (pytest.fail, ("a loaded file executed code",))


BREAKS = [
    (lambda p: p.with_suffix(".npz").unlink(), r"fit\.npz cannot be read"),
    (lambda p: p.with_suffix(".npz").write_bytes(to_npz(weights_of(seed=2)._asdict())), "SHA-256 differs"),
    (lambda p: with_arrays(p, pickle.dumps(Hostile())), r"fit\.npz does not have the weights"),
    (lambda p: with_arrays(p, changed_array(output=np.array([Hostile()]))), r"fit\.npz does not have the weights"),
    (lambda p: with_arrays(p, changed_array(output=np.zeros((3, H)))), "output must be float32 of shape"),
    (lambda p: with_arrays(p, changed_array(output=np.zeros((2, H), np.float32))), "output must be float32 of shape"),
    (
        lambda p: with_arrays(p, changed_array(output=np.full((3, H), np.nan, np.float32))),
        r"output must be \(3, 4\) finite",
    ),
    (lambda p: with_arrays(p, to_npz({"output": weights_of().output})), r"fit\.npz does not have the weights"),
    (
        lambda p: with_arrays(p, changed_array(more=np.zeros(10**5, np.float32))),
        "SHA-256 differs",
    ),  # not read to its end
    (
        lambda p: with_arrays(p, squeezed(np.zeros(10**6, np.float32))),
        "unpacks to 4,000,128 bytes; expected at most 7,824",
    ),
    (lambda p: edited(p, version=2), "has version 2"),
    (lambda p: edited(p, skills=None), "'skills' is missing"),
    (lambda p: edited(p, skills=["add", "add", "x"]), "skills must be distinct"),
    (lambda p: edited(p, skills=["add", 1, "x"]), "skills must be a list of at least one name"),
    (lambda p: edited(p, skills=[]), "skills must be a list of at least one name"),
    (lambda p: edited(p, responses=[1, 2]), "responses must be counts of 3 skills"),
    (lambda p: edited(p, responses=[0, 0, 0]), "responses must be counts of 3 skills"),
    (lambda p: edited(p, responses=[1, 2, -3]), "number of responses must be an integer .*; got -3"),
    (lambda p: edited(p, num_responses=1.5), "number of responses must be an integer .*; got 1.5"),
    (lambda p: edited(p, settings={**SETTINGS._asdict(), "hidden": 10**9}), "at most 100,000,000 weights"),
    (lambda p: edited(p, settings={**SETTINGS._asdict(), "hidden": "4"}), "hidden must be an integer"),
    (lambda p: edited(p, settings={"hidden": 4}), "not a valid fit of 'dkt'"),
    (lambda p: edited(p, settings=[]), "not a valid fit of 'dkt'"),
    (lambda p: edited(p, epochs=[]), "epochs must contain at least one epoch"),
    (
        lambda p: edited(p, epochs=[{"loss": "low", "validation_loss": None}]),
        "losses of an epoch must be .*; got 'low'",
    ),
    (lambda p: edited(p, epochs=[{"win": 1}]), "not a valid fit of 'dkt'"),
    (lambda p: edited(p, log_likelihood=float("nan")), "NaN is not finite"),
    (lambda p: edited(p, weights={}), "'embedding' is missing"),
    (lambda p: edited(p, weights=[1]), "weights must be an object of arrays; got list"),
]


@pytest.mark.parametrize(("breaks", "message"), BREAKS, ids=map(str, range(len(BREAKS))))
def test_damaged_and_hostile_files_are_refused(tmp_path, breaks, message):
    path = fit_of().save(tmp_path / "fit.json")
    breaks(path)
    with pytest.raises(ModelError, match=message) as raised:
        load_fit(path)
    assert "fit.json" in str(raised.value)


# ── checkpoints ──────────────────────────────────────────────────────────────────────────────────

ARRAYS = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7, np.float32)}
SHAPES = {"x": (2, 3), "steps": ()}
LOSSES = [Epoch(0.7, None), Epoch(0.6 + 2**-50, 0.5)]


def test_checkpoints_load_the_same_bits_and_only_the_last_is_kept(tmp_path):
    folder = tmp_path / "new"
    assert read_checkpoint(folder, SETTINGS, "log", SHAPES) is None
    for epochs in (LOSSES[:1], LOSSES):
        write_checkpoint(folder, SETTINGS, "log", epochs, ARRAYS)
        found, arrays = read_checkpoint(folder, SETTINGS, "log", SHAPES)
        assert found == epochs
        for name, values in ARRAYS.items():
            np.testing.assert_array_equal(arrays[name], values, strict=True)
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint.json", "epoch-2.npz"]


def test_other_files_in_the_folder_of_a_checkpoint_are_kept(tmp_path):
    (tmp_path / "epoch-best.npz").write_text("dear")
    for number in (1, 2):
        write_checkpoint(tmp_path, SETTINGS, "log", LOSSES[:number], ARRAYS)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checkpoint.json", "epoch-2.npz", "epoch-best.npz"]


@pytest.mark.parametrize("renames", range(4))
def test_an_interrupted_write_leaves_one_checkpoint(tmp_path, monkeypatch, renames):
    """The first rename is that of the journal; the other two are those of the files that it names."""
    write_checkpoint(tmp_path, SETTINGS, "log", LOSSES[:1], ARRAYS)
    renaming, done = file_groups.move, []

    def until(source, target):
        if len(done) == renames:
            raise OSError("no space left")
        done.append(target)
        renaming(source, target)

    with monkeypatch.context() as patched, suppress(OSError):
        patched.setattr(file_groups, "move", until)
        patched.setattr(files, "move", until)
        write_checkpoint(tmp_path, SETTINGS, "log", LOSSES, ARRAYS)
    assert len(done) == min(renames, 3)
    found, arrays = read_checkpoint(tmp_path, SETTINGS, "log", SHAPES)
    assert found == (LOSSES if renames else LOSSES[:1])
    np.testing.assert_array_equal(arrays["x"], ARRAYS["x"])
    write_checkpoint(tmp_path, SETTINGS, "log", [*LOSSES, LOSSES[0]], ARRAYS)
    assert len(read_checkpoint(tmp_path, SETTINGS, "log", SHAPES)[0]) == 3


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_file_that_a_later_epoch_would_replace_is_refused_before_the_work(tmp_path, epochs):
    if epochs:
        write_checkpoint(tmp_path, SETTINGS, "log", LOSSES[:epochs], ARRAYS)
    (tmp_path / "epoch-0.npz").write_text("never replaced")
    read_checkpoint(tmp_path, SETTINGS, "log", SHAPES)
    (tmp_path / "epoch-20.npz").write_text("of another program")
    with pytest.raises(ModelError, match=r"epoch-20\.npz is not of a checkpoint and would be replaced; move"):
        read_checkpoint(tmp_path, SETTINGS, "log", SHAPES)


def test_a_checkpoint_must_be_a_directory(tmp_path):
    """The path may be a user's file by mistake, so the message does not ask to remove it."""
    (tmp_path / "log.csv").write_text("dear")
    with pytest.raises(ModelError, match="checkpoint must be a directory; .*log.csv is a file: pass another path$"):
        read_checkpoint(tmp_path / "log.csv", SETTINGS, "log", SHAPES)


BROKEN = [
    (  # the directory may have a checkpoint.json of another program, so the message does not ask to remove it
        lambda d: (d / "checkpoint.json").write_text("{"),
        r"cannot resume from .*; pass another directory, or remove checkpoint\.json and epoch-\*\.npz to start again$",
    ),
    (lambda d: (d / "checkpoint.json").write_text("[" * 10**5), "cannot resume from"),
    (lambda d: (d / "checkpoint.json").write_text("{}"), "not an alsim-dkt-checkpoint of version 1"),
    (lambda d: edited(d / "checkpoint.json", version=2), "not an alsim-dkt-checkpoint of version 1"),
    (lambda d: edited(d / "checkpoint.json", epochs=None), "cannot resume from .*: 'epochs'"),
    (lambda d: edited(d / "checkpoint.json", epochs=[[1, 2, 3]] * 2), "cannot resume from"),
    (lambda d: edited(d / "checkpoint.json", settings=3), "other settings: hidden=None there, 4 here"),
    (lambda d: (d / "epoch-2.npz").unlink(), "cannot resume from"),
    (lambda d: (d / "epoch-2.npz").write_bytes(b"x"), "the SHA-256 of epoch-2.npz differs"),
    (
        lambda d: (
            (d / "epoch-2.npz").write_bytes(pickle.dumps(Hostile()))
            and edited(d / "checkpoint.json", arrays=sha256(pickle.dumps(Hostile())))
        ),
        "cannot resume from",
    ),
]


@pytest.mark.parametrize(("breaks", "message"), BROKEN, ids=map(str, range(len(BROKEN))))
def test_damaged_checkpoints_are_refused(tmp_path, breaks, message):
    write_checkpoint(tmp_path, SETTINGS, "log", LOSSES, ARRAYS)
    breaks(tmp_path)
    with pytest.raises(ModelError, match=message):
        read_checkpoint(tmp_path, SETTINGS, "log", SHAPES)


def test_checkpoints_of_other_fits_are_refused(tmp_path):
    write_checkpoint(tmp_path, SETTINGS, "log", LOSSES, ARRAYS)
    with pytest.raises(ModelError, match="other settings: hidden=4 there, 5 here; seed=0 there, 1 here"):
        read_checkpoint(tmp_path, SETTINGS._replace(hidden=5, seed=1), "log", SHAPES)
    with pytest.raises(ModelError, match="to other responses"):
        read_checkpoint(tmp_path, SETTINGS, "another", SHAPES)


# ── files of other fits and programs ─────────────────────────────────────────────────────────────


def test_fits_whose_names_differ_after_a_point_have_weights_of_their_own(tmp_path):
    one, two = fit_of(), fit_of(weights_of(seed=1))
    one.save(tmp_path / "fit.v1")
    two.save(tmp_path / "fit.v2")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fit.v1", "fit.v1.npz", "fit.v2", "fit.v2.npz"]
    assert load_fit(tmp_path / "fit.v1").to_dict() == one.to_dict()
    assert load_fit(tmp_path / "fit.v2").to_dict() == two.to_dict()


def test_weights_of_another_program_are_replaced_with_force_only(tmp_path):
    (tmp_path / "fit.npz").write_bytes(b"of another program")
    with pytest.raises(ModelError, match=r"fit\.npz exists and is not the file of the weights of .*fit\.json; choose"):
        fit_of().save(tmp_path / "fit.json")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"fit.npz": b"of another program"}
    fit_of().save(tmp_path / "fit.json", force=True)
    other = fit_of(weights_of(seed=1))
    other.save(tmp_path / "fit.json")  # replaces a fit of its own
    assert load_fit(tmp_path / "fit.json").to_dict() == other.to_dict()
    with pytest.raises(ModelError, match=r"fit\.npz exists and is not the file of the weights of .*fit; choose"):
        fit_of().save(tmp_path / "fit")
