"""Deep knowledge tracing without PyTorch: forecasts, tracking, files, and what a fit goes on from."""

import io
import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

from alsim.models import Responses, load_fit
from alsim.models.base import ModelError
from alsim.models.dkt import DKTFit, fit
from alsim.models.dkt.checkpoints import read_checkpoint, write_checkpoint
from alsim.models.dkt.network import Weights, logistic, shapes_of
from alsim.models.dkt.sequences import batches, counts_of, digest, padded, sequences_of
from alsim.models.dkt.settings import Epoch, Settings, read_settings, schedule
from alsim.utils.npz import packed, sha256
from alsim.utils.optional import MissingExtra

SKILLS = np.array(["add", "carry", "borrow"])
COUNTS = np.array([5, 1, 4])
E, H = 3, 4
SETTINGS = Settings(hidden=H, embedding=E)

ROUNDING = 1e-12
"""Between two ways through the same network in float64, u = 2**-53.

A gate is a sum of E + H + 1 < 10 products below 10: off by 10 * 100 u = 1e-13 at most; logistic and tanh do not
enlarge it, and a state forgets what it was off by as it forgets all else.
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
    who, skill, correct = zip(*rows, strict=True)
    skill = [[s] if isinstance(s, str) else [*s] for s in skill]
    return Responses.from_arrays(who, correct, skill=skill)


def random_student(length, random, most=1):
    """Responses to one to `most` skills each, among them an unknown one."""
    names = [*SKILLS, "unheard of"]
    sizes = random.integers(1, most + 1, length)
    return [([*random.choice(names, m, replace=False)], int(random.random() < 0.6)) for m in sizes]


def random_log(lengths, most=1):
    random = np.random.default_rng(0)
    return log_of(*(random_student(length, random, most) for length in lengths))


# ── what it computes ─────────────────────────────────────────────────────────────────────────────


def plain_forecasts(weights, student):
    """The same network for one student, in Python's own numbers: one-hot code, LSTM, logistic.

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
def test_forecasts_are_those_of_the_equations_also_of_several_and_unknown_skills(most):
    random = np.random.default_rng(most)
    students = [random_student(length, random, most) for length in (7, 1, 12, 3)]
    predicted = fit_of().predict(log_of(*students))
    expected = np.concatenate([plain_forecasts(weights_of(), student) for student in students])
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=ROUNDING)
    assert np.ptp(predicted) > 0.1  # or the test would say nothing


def test_a_forecast_knows_nothing_of_what_comes_after():
    log = random_log([6, 6])
    before = fit_of().predict(log)
    correct = log.correct.copy()
    for r in range(5, -1, -1):
        correct[r] ^= 1
        changed = fit_of().predict(Responses.from_arrays(log.student, correct, skill=log.skills[log.skill]))
        np.testing.assert_allclose(changed[: r + 1], before[: r + 1], rtol=0, atol=ROUNDING)
        np.testing.assert_allclose(changed[6:], before[6:], rtol=0, atol=ROUNDING)  # nor of another student
        if r < 5:
            assert abs(changed[r + 1] - before[r + 1]) > 1e-6


def test_logs_that_are_empty_or_of_students_without_responses():
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


def test_a_tracker_forecasts_what_predict_does_however_long_a_student():
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
    tracker.forget("nobody")
    np.testing.assert_array_equal(tracker.forecast(0), tracker.forecast("nobody"))
    assert len(tracker) == 3


@pytest.mark.parametrize("correct", [2, -1, 0.5, "1", None, float("nan")])
def test_responses_that_cannot_be_are_named(correct):
    tracker = fit_of().tracker()
    with pytest.raises(ModelError, match="correct is 0 or 1; got .* of student 'ann'"):
        tracker.update("ann", "add", correct)
    with pytest.raises(ModelError, match="at least one skill; got none"):
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
    assert [sorted(sets[w]) for w in sequences.which] == [
        *([(0, 0.5), (1, 0.5)], [(0, 1.0)], [(3, 1.0)], [(0, 0.5), (1, 0.5)], [(2, 1.0)], [(0, 1.0)]),
    ]
    assert counts_of(sequences, 3).tolist() == [4, 2, 1]
    side_by_side = padded(sequences, np.array([2, 1]))
    assert side_by_side.real.tolist() == [[True] * 3, [True, False, False]]
    assert side_by_side.correct.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert side_by_side.which[0].tolist() == sequences.which[3:].tolist()
    assert digest(sequences, SKILLS) != digest(sequences._replace(correct=1 - sequences.correct), SKILLS)
    assert digest(sequences, SKILLS) != digest(sequences, SKILLS[::-1])


def test_batches_hold_every_student_who_answered_once():
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
    ("setting", "said"),
    [
        ({"hidden": 0}, "hidden is an integer of at least 1; got 0"),
        ({"embedding": 2.0}, "embedding is an integer of at least 1; got 2.0"),
        ({"epochs": True}, "epochs is an integer of at least 1; got True"),
        ({"batch_size": "32"}, "batch_size is an integer of at least 1; got '32'"),
        ({"patience": 0}, "patience is an integer of at least 1; got 0"),
        ({"seed": -1}, "seed is an integer of at least 0; got -1"),
        ({"dropout": 1.0}, r"dropout is a number in \[0, 1\); got 1.0"),
        ({"dropout": "half"}, "dropout is a number; got 'half'"),
        ({"validation": float("nan")}, r"validation is a number in \[0, 1\); got nan"),
        ({"learning_rate": 0}, r"learning_rate is a number in \(0, 1\]; got 0.0"),
        ({"learning_rate": 1e38}, r"learning_rate is a number in \(0, 1\]; got 1e\+38"),
    ],
)
def test_settings_that_cannot_be_are_named(setting, said):
    with pytest.raises(ModelError, match=said):
        fit(random_log([4, 4]), **setting)


def test_the_defaults_are_the_settings():
    named = {k: v for k, v in fit.__kwdefaults__.items() if k in Settings._fields}
    assert Settings(**named) == Settings() == read_settings(**named)


def test_nothing_to_fit_to():
    log = random_log([4, 4])
    with pytest.raises(ModelError, match="is fitted to responses; got none"):
        fit(log.take(np.zeros(8, bool)))
    with pytest.raises(ModelError, match="validation=0.5 leaves (4|0) responses to train on, of 4"):
        fit(log.take(log.student == 0), validation=0.5)
    with pytest.raises(ModelError, match="to hold out students takes 2 or more; there is one, and validation=0"):
        fit(random_log([4]))


def test_early_stopping_halves_the_learning_rate_where_it_waits():
    def after(*losses):
        return schedule([Epoch(9.0, loss) for loss in losses], 0.8)

    assert after() == (-1, 0, 0.8)
    assert after(5.0, 4.0) == (1, 0, 0.8)
    assert after(5.0, 4.0, 4.0) == (1, 1, 0.4)  # as good is no better
    assert after(5.0, 4.0, 4.5, 3.0, 3.5, 3.2) == (3, 2, 0.1)
    assert schedule([Epoch(2.0, None), Epoch(1.0, None)], 0.8) == (1, 0, 0.8)


def test_without_pytorch_a_fit_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "alsim.models.dkt.learning", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra) as raised:
        fit(random_log([4, 4]))
    assert str(raised.value) == ("alsim.models.dkt needs torch, which is not installed: pip install 'alsim[dkt]'")


def test_what_is_fitted_is_used_without_pytorch(tmp_path):
    fit_of().save(tmp_path / "fit.json")
    code = (
        f"import sys; from alsim.models import load_fit; f = load_fit({str(tmp_path / 'fit.json')!r});"
        "f.tracker().update(1, 'add', 1);"
        "print(sorted({'torch', 'numba', 'pyarrow', 'pandas', 'scipy'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"


# ── the fit and its files ────────────────────────────────────────────────────────────────────────


def test_what_a_fit_tells():
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
    with pytest.raises(ModelError, match=r"JSON is not named \.npz"):
        fitted.save(tmp_path / "fit.npz")


def edited(path, **changes):
    text = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in {**text, **changes}.items() if v is not None}))


def with_arrays(path, content):
    path.with_suffix(".npz").write_bytes(content)
    edited(path, weights=sha256(content))


def changed_array(**changes):
    return packed(weights_of()._asdict() | changes)


def squeezed(values):
    stream = io.BytesIO()
    np.savez_compressed(stream, output=values)
    return stream.getvalue()


class Hostile:
    def __reduce__(self):
        return (pytest.fail, ("a loaded file executed code",))


BREAKS = [
    (lambda p: p.with_suffix(".npz").unlink(), r"fit\.npz cannot be read"),
    (lambda p: p.with_suffix(".npz").write_bytes(packed(weights_of(seed=2)._asdict())), "SHA-256 differs"),
    (lambda p: with_arrays(p, pickle.dumps(Hostile())), r"fit\.npz is not the network"),
    (lambda p: with_arrays(p, changed_array(output=np.array([Hostile()]))), r"fit\.npz is not the network"),
    (lambda p: with_arrays(p, changed_array(output=np.zeros((3, H)))), "output is float32 of shape"),
    (lambda p: with_arrays(p, changed_array(output=np.zeros((2, H), np.float32))), "output is float32 of shape"),
    (lambda p: with_arrays(p, changed_array(output=np.full((3, H), np.nan, np.float32))), "finite numbers"),
    (lambda p: with_arrays(p, packed({"output": weights_of().output})), r"fit\.npz is not the network"),
    (lambda p: with_arrays(p, changed_array(more=np.zeros(10**5, np.float32))), "SHA-256 differs"),  # read in part
    (lambda p: with_arrays(p, squeezed(np.zeros(10**6, np.float32))), "unpacks to 4,000,128 bytes, more than 7,824"),
    (lambda p: edited(p, version=2), "has version 2"),
    (lambda p: edited(p, skills=None), "'skills' is missing"),
    (lambda p: edited(p, skills=["add", "add", "x"]), "named once each"),
    (lambda p: edited(p, skills=["add", 1, "x"]), "skills are names"),
    (lambda p: edited(p, skills=[]), "skills are names"),
    (lambda p: edited(p, responses=[1, 2]), "responses are counts of 3 skills"),
    (lambda p: edited(p, responses=[0, 0, 0]), "responses are counts of 3 skills"),
    (lambda p: edited(p, responses=[1, 2, -3]), "responses are counted; got -3"),
    (lambda p: edited(p, num_responses=1.5), "responses are counted; got 1.5"),
    (lambda p: edited(p, settings={**SETTINGS._asdict(), "hidden": 10**9}), "at most 100,000,000 weights"),
    (lambda p: edited(p, settings={**SETTINGS._asdict(), "hidden": "4"}), "hidden is an integer"),
    (lambda p: edited(p, settings={"hidden": 4}), "not a valid fit of 'dkt'"),
    (lambda p: edited(p, settings=[]), "not a valid fit of 'dkt'"),
    (lambda p: edited(p, epochs=[]), "after one epoch or more"),
    (lambda p: edited(p, epochs=[{"loss": "low", "validation_loss": None}]), "losses are numbers; got 'low'"),
    (lambda p: edited(p, epochs=[{"win": 1}]), "not a valid fit of 'dkt'"),
    (lambda p: edited(p, log_likelihood=float("nan")), "NaN is not finite"),
    (lambda p: edited(p, weights={}), "'embedding' is missing"),
    (lambda p: edited(p, weights=[1]), "weights is a table"),
]


@pytest.mark.parametrize(("breaks", "said"), BREAKS, ids=map(str, range(len(BREAKS))))
def test_files_that_are_broken_or_hostile_are_named_and_refused(tmp_path, breaks, said):
    path = fit_of().save(tmp_path / "fit.json")
    breaks(path)
    with pytest.raises(ModelError, match=said) as raised:
        load_fit(path)
    assert "fit.json" in str(raised.value)


# ── checkpoints ──────────────────────────────────────────────────────────────────────────────────

ARRAYS = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7, np.float32)}
SHAPES = {"x": (2, 3), "steps": ()}
LOSSES = [Epoch(0.7, None), Epoch(0.6 + 2**-50, 0.5)]


def test_checkpoints_come_back_to_the_bit_and_the_last_one_stays(tmp_path):
    folder = tmp_path / "new"
    assert read_checkpoint(folder, SETTINGS, "log", SHAPES) is None
    for epochs in (LOSSES[:1], LOSSES):
        write_checkpoint(folder, SETTINGS, "log", epochs, ARRAYS)
        found, arrays = read_checkpoint(folder, SETTINGS, "log", SHAPES)
        assert found == epochs
        for name, values in ARRAYS.items():
            np.testing.assert_array_equal(arrays[name], values, strict=True)
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint.json", "epoch-2.npz"]


def test_a_checkpoint_cut_short_leaves_the_one_before(tmp_path, monkeypatch):
    from alsim.models.dkt import checkpoints

    write_checkpoint(tmp_path, SETTINGS, "log", LOSSES[:1], ARRAYS)
    writing = checkpoints.write_whole
    for written in range(2):

        def until(file, content, left=[written]):  # noqa: B006  # counts down from call to call
            left[0] -= 1
            if left[0] < 0:
                raise OSError("no space left")
            writing(file, content)

        monkeypatch.setattr(checkpoints, "write_whole", until)
        with pytest.raises(OSError, match="no space"):
            write_checkpoint(tmp_path, SETTINGS, "log", LOSSES, ARRAYS)
        assert read_checkpoint(tmp_path, SETTINGS, "log", SHAPES)[0] == LOSSES[:1]


def test_a_checkpoint_is_no_file(tmp_path):
    """What is asked for may be a file of somebody's: nobody is told to remove it."""
    (tmp_path / "log.csv").write_text("dear")
    with pytest.raises(ModelError, match="a checkpoint is a directory; .*log.csv is a file$"):
        read_checkpoint(tmp_path / "log.csv", SETTINGS, "log", SHAPES)


BROKEN = [
    (lambda d: (d / "checkpoint.json").write_text("{"), "cannot be gone on from: .*; remove .* to begin anew"),
    (lambda d: (d / "checkpoint.json").write_text("[" * 10**5), "cannot be gone on from"),
    (lambda d: (d / "checkpoint.json").write_text("{}"), "no alsim-dkt-checkpoint of version 1"),
    (lambda d: edited(d / "checkpoint.json", version=2), "no alsim-dkt-checkpoint of version 1"),
    (lambda d: edited(d / "checkpoint.json", epochs=None), "cannot be gone on from: 'epochs'"),
    (lambda d: edited(d / "checkpoint.json", epochs=[[1, 2, 3]] * 2), "cannot be gone on from"),
    (lambda d: edited(d / "checkpoint.json", settings=3), "other settings: hidden=None there, 4 here"),
    (lambda d: (d / "epoch-2.npz").unlink(), "cannot be gone on from"),
    (lambda d: (d / "epoch-2.npz").write_bytes(b"x"), "the SHA-256 of epoch-2.npz differs"),
    (
        lambda d: (
            (d / "epoch-2.npz").write_bytes(pickle.dumps(Hostile()))
            and edited(d / "checkpoint.json", arrays=sha256(pickle.dumps(Hostile())))
        ),
        "cannot be gone on from",
    ),
]


@pytest.mark.parametrize(("breaks", "said"), BROKEN, ids=map(str, range(len(BROKEN))))
def test_broken_checkpoints_are_named(tmp_path, breaks, said):
    write_checkpoint(tmp_path, SETTINGS, "log", LOSSES, ARRAYS)
    breaks(tmp_path)
    with pytest.raises(ModelError, match=said):
        read_checkpoint(tmp_path, SETTINGS, "log", SHAPES)


def test_checkpoints_of_other_fits_are_named(tmp_path):
    write_checkpoint(tmp_path, SETTINGS, "log", LOSSES, ARRAYS)
    with pytest.raises(ModelError, match="other settings: hidden=4 there, 5 here; seed=0 there, 1 here"):
        read_checkpoint(tmp_path, SETTINGS._replace(hidden=5, seed=1), "log", SHAPES)
    with pytest.raises(ModelError, match="to other responses"):
        read_checkpoint(tmp_path, SETTINGS, "another", SHAPES)
