"""Deep knowledge tracing with PyTorch installed: `nox -s compat-dkt`; `-m long` trains to the published figures."""

import signal
import subprocess
import sys
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import torch

from alsim.engine import AdaptiveEngine
from alsim.models import Responses, load_fit, score
from alsim.models.base import ModelError
from alsim.models.dkt import fit, trainer
from alsim.models.dkt.network import forecasts, initial_state, logistic, network_of, step
from alsim.models.dkt.sequences import batches, padded, sequences_of
from alsim.models.dkt.settings import Settings
from alsim.models.dkt.trainer import Trainer, device_of, loss_of
from alsim.responses.reading import read_responses
from alsim.utils.file_groups import read_group
from alsim.utils.reading import read_json
from benchmarks import plain_dkt

DOCS = Path(__file__).parent.parent.parent / "docs"
EXAMPLE, PAGE = DOCS / "examples" / "dkt.py", DOCS / "models" / "dkt.md"
torch.set_num_threads(1)  # for the same bits each time, and no waiting of threads on a busy machine
K, SMALL = 5, Settings(hidden=6, embedding=4, dropout=0.0, batch_size=3)
TINY = {"hidden": 8, "embedding": 4, "batch_size": 4}

ROUNDING = 1e-12
"""Bound on the difference of two computations of the same sums in float64, u = 2**-53.

The error of a hundred terms below 10 is at most 100 * 10 * 100 u = 1e-11. It is about 1e-13 if the roundings have
random signs.
"""

FLOAT32 = 1e-5
"""Bound on the relative difference of a mean loss in float32 and in float64, u = 2**-24.

An LSTM of T steps whose sums have n terms has errors of about T n u; here T n is at most 150, so that the error is at
most 1e-5. It is about 1e-7 if the roundings have random signs.
"""


def random_log(lengths, num_skills=K, seed=0, most=1):
    random = np.random.default_rng(seed)
    total = sum(lengths)
    skill = [random.choice(num_skills, random.integers(1, most + 1), replace=False) for _ in range(total)]
    return Responses.from_arrays(
        np.repeat(np.arange(len(lengths)), lengths), (random.random(total) < 0.6).astype(int), skill=skill
    )


def trainer_of(log, settings=SMALL, double=True):
    """Return an untrained network, in float64 for small rounding errors, and the log as sequences."""
    trainer_ = Trainer(log.num_skills, settings, torch.device("cpu"), np.random.default_rng(1))
    if double:
        trainer_.network.double()
    return trainer_, sequences_of(log, log.skills)


def as_doubles(chunk):
    return type(chunk)(*(part.double() if part.is_floating_point() else part for part in chunk))


def chunks_of(trainer_, sequences, students):
    return [as_doubles(chunk) for chunk in trainer_.chunks(trainer_.encoded(sequences), np.asarray(students))]


def gradients(trainer_, chunks):
    """Return the loss of chunks that follow each other, and its gradient as one vector."""
    trainer_.network.zero_grad()
    state, total = None, 0.0
    for chunk in chunks:
        logits, state = trainer_.forward(chunk, state)
        total = total + loss_of(logits, chunk)
    total.backward()
    return float(total.detach()), torch.cat([p.grad.reshape(-1) for p in trainer_.network.parameters()]).numpy()


# ── the network ──────────────────────────────────────────────────────────────────────────────────


class OneHotNetwork(torch.nn.Module):
    """Deep knowledge tracing as it is usually shown: one-hot codes of (skill, correct) into an LSTM."""

    def __init__(self, num_skills, hidden_size):
        super().__init__()
        self.lstm = torch.nn.LSTM(num_skills * 2, hidden_size, batch_first=True)
        self.output = torch.nn.Linear(hidden_size, num_skills)

    def forward(self, x, state):
        out, _ = self.lstm(x, state)
        return torch.sigmoid(self.output(out))


def test_the_embedding_is_equivalent_to_one_hot_codes():
    """The equivalent input weights are the product W E' of the input weights and the embedding."""
    log = random_log([40])
    trainer_, sequences = trainer_of(log, double=False)
    weights = trainer_.weights()
    network = network_of(weights, np.ones(K))
    one_hot_network = OneHotNetwork(K, SMALL.hidden).double()
    with torch.no_grad():
        w = {name: torch.from_numpy(values.astype(np.float64)) for name, values in weights._asdict().items()}
        one_hot_network.lstm.weight_ih_l0.copy_(w["into"] @ w["embedding"][:-1].T)
        one_hot_network.lstm.weight_hh_l0.copy_(w["again"])
        one_hot_network.lstm.bias_ih_l0.copy_(w["gate_bias"])
        one_hot_network.lstm.bias_hh_l0.zero_()
        one_hot_network.output.weight.copy_(w["output"])
        one_hot_network.output.bias.copy_(w["output_bias"])
        one_hot = torch.zeros(1, 40, 2 * K, dtype=torch.float64)
        one_hot[0, torch.arange(40), torch.from_numpy(log.skill + K * log.correct.astype(int))] = 1
        # The one-hot network starts from zeros, ours from the state after the start input.
        initial = [torch.from_numpy(part)[None, None] for part in step(network, network.start, *initial_state(network))]
        every_skill = one_hot_network(one_hot, tuple(initial))[0].numpy()
    asked = every_skill[np.arange(39), log.skill[1:]]
    np.testing.assert_allclose(forecasts(network, sequences)[1:], asked, rtol=0, atol=ROUNDING)
    assert np.ptp(asked) > 0.02


@pytest.mark.parametrize("most", [1, 3])
def test_forecasts_in_numpy_match_the_network_in_pytorch(most):
    log = random_log([30, 4, 1, 17], most=most)
    trainer_, sequences = trainer_of(log)
    (chunk,) = chunks_of(trainer_, sequences, range(4))
    with torch.no_grad():
        logits, _ = trainer_.forward(chunk, None)
    trained = {n: p.detach().numpy() for n, p in trainer_.network.named_parameters()}
    predicted = forecasts(network_of(trainer_.weights(), np.ones(K)), sequences)
    real = padded(sequences, np.arange(4)) < len(log)
    bound = ROUNDING + 2.0**-24 * np.abs(trained["lstm.bias_ih_l0"] + trained["lstm.bias_hh_l0"]).max() * 4 * 30
    np.testing.assert_allclose(logistic(logits.numpy()[real]), predicted, rtol=0, atol=bound)


@pytest.mark.parametrize("most", [1, 3])
def test_the_validation_loss_matches_the_forecasts_in_numpy(most, monkeypatch):
    """Some responses are to an unknown skill; students without responses, and those of weight 0, count nothing."""
    log = random_log([30, 4, 1, 17, 9], most=most)
    trainer_ = Trainer(K - 1, SMALL, torch.device("cpu"), np.random.default_rng(1))
    with torch.no_grad():
        trainer_.network["ease"].weight.normal_(generator=torch.Generator().manual_seed(0))
    sequences = sequences_of(log.take(log.student != 3), log.skills[:-1])
    sequences.weight[:] = [1, 3, 0, 1, 2]
    assert (sequences.members == K - 1).any()
    counts = np.arange(1, K)
    predicted = forecasts(network_of(trainer_.weights(), counts), sequences)
    of_each = -np.log(np.where(sequences.correct == 1, predicted, 1 - predicted))
    weight = np.repeat(sequences.weight, np.diff(sequences.start))
    for chunk in (200, 7):
        monkeypatch.setattr(trainer, "CHUNK", chunk)
        loss = trainer_.loss(trainer_.encoded(sequences), counts)
        assert loss == pytest.approx(of_each @ weight / weight.sum(), rel=FLOAT32)


def test_an_epoch_computes_few_padded_responses():
    """Geometric lengths, as in published logs: padding adds a tenth, and less than a fifth of the responses."""
    lengths = np.random.default_rng(0).geometric(1 / 35, 3000)
    trainer_, sequences = trainer_of(random_log(lengths), Settings(), double=False)
    computed = sum(
        padded(sequences, batch).size
        for batch in batches(sequences, Settings().batch_size, trainer.JITTER, np.random.default_rng(0))
    )
    assert lengths.sum() <= computed < 1.2 * lengths.sum()


def test_a_wide_set_of_skills_does_not_widen_other_responses():
    """A set of 50 skills is stored once; each of 1,000 responses has four numbers."""
    skills = [[*range(50)], *([k % 50] for k in range(999))]
    log = Responses.from_arrays(np.repeat(np.arange(10), 100), np.tile([0, 1], 500), skill=skills)
    trainer_, sequences = trainer_of(log)
    encoded = trainer_.encoded(sequences)
    assert len(sequences.members) == 51
    sizes = [encoded.correct, encoded.weight, *encoded.inputs, *encoded.skills]
    assert sum(map(torch.numel, sizes)) == 4 * 1001 + 2 * 50 * (2 * 51 + 1) + 2 * 50 * (51 + 1)


def test_responses_are_encoded_once_per_fit(monkeypatch):
    calls, encoded = [], Trainer.encoded
    monkeypatch.setattr(Trainer, "encoded", lambda self, sequences: calls.append(sequences) or encoded(self, sequences))
    fit(random_log([9, 30, 3, 14]), **TINY, epochs=3)
    assert len(calls) == 2  # training and held-out students


def test_the_plain_network_of_the_benchmark_is_the_same_model():
    log = random_log([12, 5, 20])
    trainer_, sequences = trainer_of(log)
    model = plain_dkt.network(K, SMALL).double()
    with torch.no_grad():
        trainer_.network["ease"].weight.normal_(generator=torch.Generator().manual_seed(0))
        named = dict(trainer_.network.named_parameters())
        for name, parameter in model.named_parameters():
            parameter.copy_(named["ease.weight"][:, 0] if name == "output.bias" else named[name])
    (batch,) = plain_dkt.batches_of(log, log.skills, 3)
    (chunk,) = chunks_of(trainer_, sequences, [1, 0, 2])  # in order of length
    np.testing.assert_array_equal(batch.weight, chunk.weight)
    batch = batch._replace(correct=batch.correct.double(), weight=batch.weight.double())
    logits, _ = trainer_.forward(chunk, None)
    real = batch.weight > 0
    torch.testing.assert_close(plain_dkt.logits_of(model, batch)[real], logits[real], rtol=0, atol=ROUNDING)
    torch.testing.assert_close(plain_dkt.loss_of(model, batch), loss_of(logits, chunk), rtol=0, atol=37 * ROUNDING)


@pytest.mark.parametrize("most", [1, 2])
def test_padding_changes_no_bit_of_loss_or_gradient(most):
    log = random_log([9, 4, 1], most=most)
    trainer_, sequences = trainer_of(log)
    (chunk,) = chunks_of(trainer_, sequences, range(3))
    loss, gradient = gradients(trainer_, [chunk])
    beyond = torch.from_numpy(padded(sequences, np.arange(3)) == len(log))
    random = torch.Generator().manual_seed(0)
    other = {
        "inputs": torch.randint(2 * K, chunk.inputs.shape, generator=random),
        "skills": torch.randint(K, chunk.skills.shape, generator=random),
        "correct": torch.rand(chunk.correct.shape, generator=random, dtype=torch.float64),
        "input_share": 9 * torch.rand(chunk.skill_share.shape, generator=random, dtype=torch.float64),
        "skill_share": 9 * torch.rand(chunk.skill_share.shape, generator=random, dtype=torch.float64),
    }
    mixed = {}
    for name, values in other.items():
        where = beyond if values.ndim == 2 else beyond[..., None]
        mixed[name] = torch.where(where, values, getattr(chunk, name))
        assert (mixed[name] != getattr(chunk, name)).any()
    again, changed = gradients(trainer_, [chunk._replace(**mixed)])
    assert again == loss
    np.testing.assert_array_equal(changed, gradient)


def test_a_batch_equals_its_students_one_by_one():
    log = random_log([9, 4, 1, 15], most=2)
    trainer_, sequences = trainer_of(log)
    loss, gradient = gradients(trainer_, chunks_of(trainer_, sequences, range(4)))
    alone = [gradients(trainer_, chunks_of(trainer_, sequences, [s])) for s in range(4)]
    assert abs(sum(each for each, _ in alone) - loss) < ROUNDING * 29
    np.testing.assert_allclose(sum(each for _, each in alone), gradient, rtol=0, atol=ROUNDING * 29)


def test_a_weight_counts_as_that_many_students():
    log = random_log([6, 3])
    trainer_, sequences = trainer_of(log)
    sequences.weight[1] = 3
    loss, gradient = gradients(trainer_, chunks_of(trainer_, sequences, [0, 1]))
    sequences.weight[1] = 1
    several = chunks_of(trainer_, sequences, [0, 1, 1, 1])
    expected, as_expected = gradients(trainer_, several)
    assert abs(loss - expected) < ROUNDING * 15
    np.testing.assert_allclose(gradient, as_expected, rtol=0, atol=ROUNDING * 15)


def test_chunks_carry_the_state(monkeypatch):
    log = random_log([23, 9, 16])
    trainer_, sequences = trainer_of(log)
    whole = chunks_of(trainer_, sequences, range(3))
    monkeypatch.setattr(trainer, "CHUNK", 7)
    parts = chunks_of(trainer_, sequences, range(3))
    assert [len(whole), *(part.correct.shape[1] for part in parts)] == [1, 7, 7, 7, 2]
    loss, gradient = gradients(trainer_, whole)
    again, same = gradients(trainer_, parts)  # gradients are propagated through all chunks here
    assert abs(loss - again) < ROUNDING * 48
    np.testing.assert_allclose(gradient, same, rtol=0, atol=ROUNDING * 48)


def test_dropout_leaves_the_mean_logit_as_it_is():
    """Logits are linear in what is dropped. n = 20,000 masks, 12 logits: 6 standard errors, false alarm below 1e-7."""
    n = 20_000
    log = random_log([12])
    trainer_, sequences = trainer_of(log, SMALL._replace(dropout=0.5))
    (chunk,) = chunks_of(trainer_, sequences, [0] * n)
    with torch.no_grad():
        exact = trainer_.forward(chunk, None)[0][0].numpy()
        dropped = trainer_.forward(chunk, None, torch.Generator().manual_seed(0))[0].numpy()
    error = dropped.std(axis=0) / n**0.5
    assert (error > 1e-5).all()
    assert (np.abs(dropped.mean(axis=0) - exact) < 6 * error).all()


def test_gradients_are_clipped():
    trainer_, sequences = trainer_of(random_log([20] * 12), double=False)
    with torch.no_grad():
        trainer_.network["output"].weight.mul_(30)  # steep
    norms, before, step_ = [], [], trainer_.optimizer.step
    clip = torch.nn.utils.clip_grad_norm_

    def recorded(*args):
        norms.append(float(torch.cat([p.grad.reshape(-1) for p in trainer_.network.parameters()]).norm()))
        return step_(*args)

    trainer_.optimizer.step = recorded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *args: before.append(float(clip(*args))))
        trainer_.epoch(trainer_.encoded(sequences), np.random.default_rng(0))
    assert len(norms) == 4 and max(before) > 1
    assert max(norms) <= 1 + 1e-5  # float32


# ── fitting ──────────────────────────────────────────────────────────────────────────────────────


def test_a_small_log_can_be_memorised():
    """Answers alternate, and the first skill determines the first one, so each follows from the earlier responses."""
    skills = [[k % 2, *((k + t) % 3 + 2 for t in range(1, 9))] for k in range(12)]
    correct = [[(k + t) % 2 for t in range(9)] for k in range(12)]
    log = Responses.from_arrays(np.repeat(np.arange(12), 9), np.ravel(correct), skill=np.ravel(skills))
    fitted = fit(log, hidden=16, embedding=8, dropout=0, epochs=150, learning_rate=0.02, validation=0, patience=150)
    predicted = fitted.predict(log)
    assert score(log.correct, predicted).log_loss < 0.02
    assert ((predicted > 0.9) == (log.correct == 1)).all() and ((predicted < 0.1) == (log.correct == 0)).all()
    assert not fitted.converged and fitted.iterations == 150
    assert fitted.epochs[0].validation_loss is None


def test_fields_of_a_fit_and_progress():
    log = random_log([12] * 30, most=2)
    calls = []
    fitted = fit(log, **TINY, epochs=30, patience=2, learning_rate=0.05, progress=lambda *args: calls.append(args))
    assert fitted.converged and fitted.iterations == fitted.best_epoch + 2 < 30
    losses = [epoch.validation_loss for epoch in fitted.epochs]
    assert losses.index(min(losses)) + 1 == fitted.best_epoch
    predicted = fitted.predict(log)
    assert fitted.log_likelihood == pytest.approx(
        np.log(np.where(log.correct == 1, predicted, 1 - predicted)).sum(), rel=1e-12
    )
    training, held_out = log.split(0.1)
    assert score(held_out.correct, fitted.predict(held_out)).log_loss == pytest.approx(min(losses), rel=FLOAT32)
    assert fitted.counts.tolist() == np.bincount(training.skill, minlength=K)[np.unique(training.skill)].tolist()
    assert [(done, total) for done, total, _ in calls] == [(k + 1, 30) for k in range(fitted.iterations)]
    assert calls[0][2] == f"validation loss {losses[0]:.4f}, the best {losses[0]:.4f} in epoch 1"


def test_skills_that_only_held_out_students_met_are_unknown():
    training, held_out = random_log([5] * 10).split(0.1)
    rare = int(np.searchsorted(np.arange(10), int(held_out.students[0])))
    student = np.repeat(np.arange(10), 5)
    log = Responses.from_arrays(
        student, np.tile([0, 1, 1, 0, 1], 10), skill=np.where(student == rare, "rare", "common")
    )
    fitted = fit(log, **TINY, epochs=1)
    assert fitted.skills.tolist() == ["common"]
    assert np.isfinite(fitted.predict(log)).all()


def test_a_seed_determines_the_result():
    log = random_log([9, 30, 3, 14, 8, 21, 2, 17])
    one, same, other = (fit(log, **TINY, epochs=3, seed=seed) for seed in (5, 5, 6))
    assert one.to_dict() == same.to_dict()
    assert (one.predict(log) != other.predict(log)).all()
    before = torch.random.get_rng_state()
    np.random.seed(0)  # noqa: NPY002  # the generator that must not matter
    torch.manual_seed(1)
    assert fit(log, **TINY, epochs=3, seed=5).to_dict() == one.to_dict()
    torch.random.set_rng_state(before)
    fit(log, **TINY, epochs=1)
    assert (torch.random.get_rng_state() == before).all()


def test_a_saved_fit_is_the_same(tmp_path):
    log = random_log([9, 30, 3, 14])
    fitted = fit(log, **TINY, epochs=2)
    loaded = load_fit(fitted.save(tmp_path / "fit.json"))
    assert loaded.to_dict() == fitted.to_dict()
    np.testing.assert_array_equal(loaded.predict(log), fitted.predict(log))


def test_unknown_devices_are_refused():
    assert device_of(None) == device_of("cpu") == torch.device("cpu")
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ModelError, match="device must be None, 'auto' or one of 'cpu'.*; got 'cuda:99'"):
        fit(random_log([4, 4]), device="cuda:99")


def test_weights_stay_finite_at_the_largest_learning_rate():
    fitted = fit(random_log([9] * 20), **TINY, epochs=5, learning_rate=1)
    assert all(np.isfinite(values).all() for values in (fitted.log_likelihood, *fitted.weights))


# ── resuming ─────────────────────────────────────────────────────────────────────────────────────

KILLED = """
import sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, {folder!r})
from test_dkt import TINY, random_log
from alsim.models.dkt import fit
fit(random_log([9, 30, 3, 14] * 5), **TINY, epochs=9, patience=9, checkpoint={checkpoint!r},
    progress=lambda *call: print(*call, flush=True))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_fit_resumes_to_the_same_bits(tmp_path):
    log, settings = random_log([9, 30, 3, 14] * 5), {**TINY, "epochs": 9, "patience": 9}
    whole = fit(log, **settings)
    code = KILLED.format(folder=str(Path(__file__).parent), checkpoint=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as killed:
        for _ in range(3):
            assert killed.stdout.readline()
        killed.send_signal(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    left = read_group(tmp_path, "checkpoint.json", lambda path_of: read_json(path_of("checkpoint.json")))["epochs"]
    calls = []
    resumed = fit(log, **settings, checkpoint=tmp_path, progress=lambda *args: calls.append(args))
    assert 3 <= len(left) < 9 and [done for done, _, _ in calls] == [*range(len(left) + 1, 10)]
    assert resumed.to_dict() == whole.to_dict()
    finished = fit(log, **settings, checkpoint=tmp_path, progress=pytest.fail)
    assert finished.to_dict() == whole.to_dict()
    with pytest.raises(ModelError, match="belongs to a fit with other settings: seed=0 there, 1 here"):
        fit(log, **settings, seed=1, checkpoint=tmp_path)
    with pytest.raises(ModelError, match="belongs to a fit to other responses"):
        fit(random_log([9, 30, 3, 15] * 5), **settings, checkpoint=tmp_path)


def test_early_stopping_survives_an_interruption(tmp_path):
    """A fit that is interrupted after each epoch ends like an uninterrupted one."""
    log, settings = random_log([12] * 30), {**TINY, "epochs": 30, "patience": 2, "learning_rate": 0.05}
    whole = fit(log, **settings)

    class Interruption(Exception):
        pass

    def stop(done, total, message):
        raise Interruption

    for _ in range(whole.iterations):
        with pytest.raises(Interruption):
            fit(log, **settings, checkpoint=tmp_path, progress=stop)
    assert whole.converged
    assert fit(log, **settings, checkpoint=tmp_path).to_dict() == whole.to_dict()


# ── published figures, and the example ───────────────────────────────────────────────────────────


def reached(training, test, name, **settings):
    """Train with the defaults, and return the AUC on the test log, first responses included."""
    began = process_time()
    fitted = fit(training, **settings)
    seconds = process_time() - began
    found = score(test.correct, fitted.predict(test))
    print(f"\n{name}: test AUC {found.auc:.4f}, best epoch {fitted.best_epoch} of {fitted.iterations}, {seconds:.0f} s")
    return found.auc


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
def test_assist2015(published, seed):
    """Published: .727 to .730. Seeds 0 to 3 are within .0015 of each other."""
    folder = published / "kt_assist2015"
    training, test = (read_responses(folder / f"{part}.csv", format="three-line") for part in ("train", "test"))
    assert reached(training, test, f"assist2015, seed {seed}", seed=seed) >= 0.727


@pytest.mark.long
@pytest.mark.parametrize("version", ["v0", "v1", "v2"])
def test_synthetic5(published, version):
    """Simulated students of the DKT paper; the first half is for training, the other for testing."""
    answers = np.loadtxt(published / "kt_synthetic5" / f"{version}.csv", delimiter=",", dtype=int)
    log = Responses.from_arrays(np.repeat(np.arange(4000), 50), answers.ravel(), skill=np.tile(np.arange(50), 4000))
    halves = (log.subset(np.arange(2000)), log.subset(np.arange(2000, 4000)))
    assert reached(*halves, f"synthetic5 {version}") >= 0.81


def test_the_example_prints_the_output_on_its_page(tmp_path):
    done = subprocess.run([sys.executable, EXAMPLE], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"```text\n{done.stdout}```\n" in PAGE.read_text(encoding="utf-8")


# ── the engine ───────────────────────────────────────────────────────────────────────────────────

SKILLS = ["k0", "k1", "k2"]


def engine_of(model, store="memory", extra=()):
    skills = [*SKILLS, *extra]
    items = [{"id": f"q-{skill}", "skills_assessed": [skill]} for skill in skills]
    return AdaptiveEngine({skill: [] for skill in skills}, items, model=model, store=store)


def test_a_model_of_dkt_is_fitted_again_to_the_log(tmp_path):
    """The network is that of a fit to the same log, made by hand, and mastery is its forecast of the next response."""
    random = np.random.default_rng(2)
    rows = [(f"s{k // 15:02}", SKILLS[k % 3], int(random.random() < 0.2 + 0.05 * (k % 15))) for k in range(450)]
    students, skills, correct = map(list, zip(*rows, strict=True))
    early = fit(Responses.from_arrays(students, [1 - c for c in correct], skill=skills), **TINY)
    address = f"sqlite:{tmp_path / 'students.db'}"
    engine = engine_of(early, address)
    for student, skill, right in rows:
        engine.process_response(student, f"q-{skill}", right)
    before = engine.digest
    report = engine.recalibrate(held_out=0.3)
    expected = fit(Responses.from_arrays(students, correct, skill=skills), hidden=8, embedding=4)
    assert (report.model, report.students, report.responses, report.is_stored) == ("DKTModel", 30, 450, True)
    assert report.change < 0 < report.held_out_students and report.digest == engine.digest != before
    place = [engine.model.model.items.skills.tolist().index(str(skill)) for skill in expected.skills]
    arrays, network = engine.model.model.arrays(), expected.network
    for name in ("into", "again", "gate_bias"):
        np.testing.assert_array_equal(arrays[name], getattr(network, name))
    np.testing.assert_array_equal(arrays["output"][place], network.output[: len(SKILLS)])
    for number, student in enumerate(("s00", "s29")):
        own = [(skill, right) for name, skill, right in rows if name == student]
        for skill in SKILLS:
            log = Responses.from_arrays([student] * 16, [r for _, r in own] + [1], skill=[s for s, _ in own] + [skill])
            assert engine.mastery(student)[skill] == pytest.approx(expected.predict(log)[-1], abs=1e-9), number
    again = engine_of(early, address)
    assert again.digest == engine.digest
    assert again.mastery("s07") == engine.mastery("s07")
    larger = engine_of(early, address, ("other",))
    assert {skill: larger.mastery("s07")[skill] for skill in SKILLS} == pytest.approx(engine.mastery("s07"), abs=1e-12)
    output = larger.model.model.arrays()["output"]
    names = larger.model.model.items.skills.tolist()
    mean = np.mean([output[names.index(skill)] for skill in SKILLS], axis=0)
    np.testing.assert_allclose(output[names.index("other")], mean)
