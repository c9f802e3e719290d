"""Deep knowledge tracing with PyTorch installed: `nox -s compat-dkt`; `-m long` trains to the published figures."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import torch

from alsim.models import Responses, load_fit, score
from alsim.models.base import ModelError
from alsim.models.dkt import fit, learning
from alsim.models.dkt.learning import Learner, device_of, loss_of
from alsim.models.dkt.network import at_rest, forecasts, logistic, network_of, read
from alsim.models.dkt.sequences import padded, sequences_of
from alsim.models.dkt.settings import Settings
from alsim.responses.reading import read_responses

EXAMPLE = Path(__file__).parent.parent.parent / "docs" / "examples" / "dkt.py"
torch.set_num_threads(1)  # the same bits each time; and more wait for each other on a busy machine
K, SMALL = 5, Settings(hidden=6, embedding=4, dropout=0.0, batch_size=3)
TINY = {"hidden": 8, "embedding": 4, "batch_size": 4}

ROUNDING = 1e-12
"""Between two ways through the same sums in float64, u = 2**-53: some hundred terms below 10 are off by
100 * 10 * 100 u = 1e-11 at the very most, and by their root, 1e-13, where roundings are not all of one sign."""


def random_log(lengths, num_skills=K, seed=0, most=1):
    random = np.random.default_rng(seed)
    total = sum(lengths)
    skill = [random.choice(num_skills, random.integers(1, most + 1), replace=False) for _ in range(total)]
    return Responses.from_arrays(
        np.repeat(np.arange(len(lengths)), lengths), (random.random(total) < 0.6).astype(int), skill=skill
    )


def learner_of(log, settings=SMALL, double=True):
    """An untrained network and the log as it reads it; in float64, in which sums hardly round."""
    learner = Learner(log.num_skills, settings, torch.device("cpu"), np.random.default_rng(1))
    if double:
        learner.network.double()
    return learner, sequences_of(log, log.skills)


def as_doubles(chunk):
    return type(chunk)(*(part.double() if part.is_floating_point() else part for part in chunk))


def chunks_of(learner, sequences, students):
    return [as_doubles(chunk) for chunk in learner.chunks(sequences, np.asarray(students))]


def gradients(learner, chunks):
    """Return the loss of chunks that follow each other, and its gradient as one vector."""
    learner.network.zero_grad()
    state, total = None, 0.0
    for chunk in chunks:
        logits, state = learner.forward(chunk, state)
        total = total + loss_of(logits, chunk)
    total.backward()
    return float(total.detach()), torch.cat([p.grad.reshape(-1) for p in learner.network.parameters()]).numpy()


# ── the network ──────────────────────────────────────────────────────────────────────────────────


class Guide(torch.nn.Module):
    """Deep knowledge tracing as it is usually shown: one-hot codes of (skill, correct) into an LSTM."""

    def __init__(self, num_skills, hidden_size):
        super().__init__()
        self.lstm = torch.nn.LSTM(num_skills * 2, hidden_size, batch_first=True)
        self.output = torch.nn.Linear(hidden_size, num_skills)

    def forward(self, x, state):
        out, _ = self.lstm(x, state)
        return torch.sigmoid(self.output(out))


def test_ids_into_an_embedding_are_the_one_hot_code_of_skill_and_correct():
    """Its input weights are the embedding's image: W E' in place of W after E."""
    log = random_log([40])
    learner, sequences = learner_of(log, double=False)
    weights = learner.weights()
    network = network_of(weights, np.ones(K))
    guide = Guide(K, SMALL.hidden).double()
    with torch.no_grad():
        w = {name: torch.from_numpy(values.astype(np.float64)) for name, values in weights._asdict().items()}
        guide.lstm.weight_ih_l0.copy_(w["into"] @ w["embedding"][:-1].T)
        guide.lstm.weight_hh_l0.copy_(w["again"])
        guide.lstm.bias_ih_l0.copy_(w["gate_bias"])
        guide.lstm.bias_hh_l0.zero_()
        guide.output.weight.copy_(w["output"])
        guide.output.bias.copy_(w["output_bias"])
        one_hot = torch.zeros(1, 40, 2 * K, dtype=torch.float64)
        one_hot[0, torch.arange(40), torch.from_numpy(log.skill + K * log.correct.astype(int))] = 1
        # Theirs begins with nothing, ours with having read the start.
        begun = [torch.from_numpy(part)[None, None] for part in read(network, network.begin, *at_rest(network))]
        of_every_skill = guide(one_hot, tuple(begun))[0].numpy()
    asked = of_every_skill[np.arange(39), log.skill[1:]]
    np.testing.assert_allclose(forecasts(network, sequences)[1:], asked, rtol=0, atol=ROUNDING)
    assert np.ptp(asked) > 0.02


@pytest.mark.parametrize("most", [1, 3])
def test_forecasts_without_pytorch_are_those_of_the_network_that_is_trained(most):
    log = random_log([30, 4, 1, 17], most=most)
    learner, sequences = learner_of(log)
    (chunk,) = chunks_of(learner, sequences, range(4))
    with torch.no_grad():
        logits, _ = learner.forward(chunk, None)
    trained = {n: p.detach().numpy() for n, p in learner.network.named_parameters()}
    predicted = forecasts(network_of(learner.weights(), np.ones(K)), sequences)
    real = padded(sequences, np.arange(4)).real
    bound = ROUNDING + 2.0**-24 * np.abs(trained["lstm.bias_ih_l0"] + trained["lstm.bias_hh_l0"]).max() * 4 * 30
    np.testing.assert_allclose(logistic(logits.numpy()[real]), predicted, rtol=0, atol=bound)


@pytest.mark.parametrize("most", [1, 2])
def test_what_is_padding_changes_no_bit_of_loss_or_gradient(most):
    log = random_log([9, 4, 1], most=most)
    learner, sequences = learner_of(log)
    (chunk,) = chunks_of(learner, sequences, range(3))
    loss, gradient = gradients(learner, [chunk])
    beyond = ~torch.from_numpy(padded(sequences, np.arange(3)).real)
    random = torch.Generator().manual_seed(0)
    other = {
        "read": torch.randint(2 * K, chunk.read.shape, generator=random),
        "asked": torch.randint(K, chunk.asked.shape, generator=random),
        "correct": torch.rand(chunk.correct.shape, generator=random, dtype=torch.float64),
        "read_share": 9 * torch.rand(chunk.share.shape, generator=random, dtype=torch.float64),
        "share": 9 * torch.rand(chunk.share.shape, generator=random, dtype=torch.float64),
    }
    mixed = {}
    for name, values in other.items():
        where = beyond if values.ndim == 2 else beyond[..., None]
        mixed[name] = torch.where(where, values, getattr(chunk, name))
        assert (mixed[name] != getattr(chunk, name)).any()
    again, changed = gradients(learner, [chunk._replace(**mixed)])
    assert again == loss
    np.testing.assert_array_equal(changed, gradient)


def test_a_padded_batch_is_its_students_one_by_one():
    log = random_log([9, 4, 1, 15], most=2)
    learner, sequences = learner_of(log)
    loss, gradient = gradients(learner, chunks_of(learner, sequences, range(4)))
    alone = [gradients(learner, chunks_of(learner, sequences, [s])) for s in range(4)]
    assert abs(sum(each for each, _ in alone) - loss) < ROUNDING * 29
    np.testing.assert_allclose(sum(each for _, each in alone), gradient, rtol=0, atol=ROUNDING * 29)


def test_a_student_who_stands_for_several_weighs_as_many():
    log = random_log([6, 3])
    learner, sequences = learner_of(log)
    sequences.weight[1] = 3
    loss, gradient = gradients(learner, chunks_of(learner, sequences, [0, 1]))
    sequences.weight[1] = 1
    several = chunks_of(learner, sequences, [0, 1, 1, 1])
    expected, as_expected = gradients(learner, several)
    assert abs(loss - expected) < ROUNDING * 15
    np.testing.assert_allclose(gradient, as_expected, rtol=0, atol=ROUNDING * 15)


def test_chunks_carry_the_state_on(monkeypatch):
    log = random_log([23, 9, 16])
    learner, sequences = learner_of(log)
    whole = chunks_of(learner, sequences, range(3))
    monkeypatch.setattr(learning, "CHUNK", 7)
    parts = chunks_of(learner, sequences, range(3))
    assert [len(whole), *(part.correct.shape[1] for part in parts)] == [1, 7, 7, 7, 2]
    loss, gradient = gradients(learner, whole)
    again, same = gradients(learner, parts)  # here gradients go through all of them
    assert abs(loss - again) < ROUNDING * 48
    np.testing.assert_allclose(gradient, same, rtol=0, atol=ROUNDING * 48)


def test_dropout_leaves_the_mean_logit_as_it_is():
    """Logits are linear in what is dropped. n = 20,000 masks, 12 logits: 6 standard errors, false alarm below 1e-7."""
    n = 20_000
    log = random_log([12])
    learner, sequences = learner_of(log, SMALL._replace(dropout=0.5))
    (chunk,) = chunks_of(learner, sequences, [0] * n)
    with torch.no_grad():
        exact = learner.forward(chunk, None)[0][0].numpy()
        dropped = learner.forward(chunk, None, torch.Generator().manual_seed(0))[0].numpy()
    error = dropped.std(axis=0) / n**0.5
    assert (error > 1e-5).all()
    assert (np.abs(dropped.mean(axis=0) - exact) < 6 * error).all()


def test_gradients_are_clipped():
    learner, sequences = learner_of(random_log([20] * 12), double=False)
    with torch.no_grad():
        learner.network["output"].weight.mul_(30)  # steep
    norms, before, step = [], [], learner.optimizer.step
    clip = torch.nn.utils.clip_grad_norm_

    def noting(*given):
        norms.append(float(torch.cat([p.grad.reshape(-1) for p in learner.network.parameters()]).norm()))
        return step(*given)

    learner.optimizer.step = noting
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *given: before.append(float(clip(*given))))
        learner.epoch(sequences, np.random.default_rng(0))
    assert len(norms) == 4 and max(before) > 1
    assert max(norms) <= 1 + 1e-5  # float32


# ── fitting ──────────────────────────────────────────────────────────────────────────────────────


def test_it_learns_a_small_set_by_heart():
    """Answers alternate, from one that the first skill decides: all is known from what came before."""
    skills = [[k % 2, *((k + t) % 3 + 2 for t in range(1, 9))] for k in range(12)]
    correct = [[(k + t) % 2 for t in range(9)] for k in range(12)]
    log = Responses.from_arrays(np.repeat(np.arange(12), 9), np.ravel(correct), skill=np.ravel(skills))
    fitted = fit(log, hidden=16, embedding=8, dropout=0, epochs=150, learning_rate=0.02, validation=0, patience=150)
    predicted = fitted.predict(log)
    assert score(log.correct, predicted).log_loss < 0.02
    assert ((predicted > 0.9) == (log.correct == 1)).all() and ((predicted < 0.1) == (log.correct == 0)).all()
    assert not fitted.converged and fitted.iterations == 150
    assert fitted.epochs[0].validation_loss is None


def test_what_a_fit_holds_and_tells():
    log = random_log([12] * 30, most=2)
    told = []
    fitted = fit(log, **TINY, epochs=30, patience=2, learning_rate=0.05, progress=lambda *args: told.append(args))
    assert fitted.converged and fitted.iterations == fitted.best_epoch + 2 < 30
    losses = [epoch.validation_loss for epoch in fitted.epochs]
    assert losses.index(min(losses)) + 1 == fitted.best_epoch
    predicted = fitted.predict(log)
    assert fitted.log_likelihood == pytest.approx(
        np.log(np.where(log.correct == 1, predicted, 1 - predicted)).sum(), rel=1e-12
    )
    training, held_out = log.split(0.1)
    assert score(held_out.correct, fitted.predict(held_out)).log_loss == pytest.approx(min(losses), rel=1e-12)
    assert fitted.counts.tolist() == np.bincount(training.skill, minlength=K)[np.unique(training.skill)].tolist()
    assert [(done, total) for done, total, _ in told] == [(k + 1, 30) for k in range(fitted.iterations)]
    assert told[0][2] == f"validation loss {losses[0]:.4f}, the best {losses[0]:.4f} in epoch 1"


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


def test_one_seed_one_result_and_another_another():
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


def test_devices_that_are_not_there_are_named():
    assert device_of(None) == device_of("cpu") == torch.device("cpu")
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ModelError, match="device is one of None, 'auto', 'cpu'.* on this machine; got 'cuda:99'"):
        fit(random_log([4, 4]), device="cuda:99")


def test_the_largest_learning_rate_leaves_numbers():
    fitted = fit(random_log([9] * 20), **TINY, epochs=5, learning_rate=1)
    assert all(np.isfinite(values).all() for values in (fitted.log_likelihood, *fitted.weights))


# ── going on ─────────────────────────────────────────────────────────────────────────────────────

KILLED = """
import sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, {folder!r})
from test_dkt import TINY, random_log
from alsim.models.dkt import fit
fit(random_log([9, 30, 3, 14] * 5), **TINY, epochs=9, patience=9, checkpoint={checkpoint!r},
    progress=lambda *told: print(*told, flush=True))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_fit_that_is_killed_goes_on_to_the_same_bits(tmp_path):
    log, settings = random_log([9, 30, 3, 14] * 5), {**TINY, "epochs": 9, "patience": 9}
    whole = fit(log, **settings)
    code = KILLED.format(folder=str(Path(__file__).parent), checkpoint=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as killed:
        for _ in range(3):
            assert killed.stdout.readline()
        killed.send_signal(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    left = json.loads((tmp_path / "checkpoint.json").read_text())["epochs"]
    told = []
    resumed = fit(log, **settings, checkpoint=tmp_path, progress=lambda *args: told.append(args))
    assert 3 <= len(left) < 9 and [done for done, _, _ in told] == [*range(len(left) + 1, 10)]
    assert resumed.to_dict() == whole.to_dict()
    assert fit(log, **settings, checkpoint=tmp_path, progress=pytest.fail).to_dict() == whole.to_dict()  # was finished
    with pytest.raises(ModelError, match="of a fit with other settings: seed=0 there, 1 here"):
        fit(log, **settings, seed=1, checkpoint=tmp_path)
    with pytest.raises(ModelError, match="of a fit to other responses"):
        fit(random_log([9, 30, 3, 15] * 5), **settings, checkpoint=tmp_path)


def test_early_stopping_survives_a_break(tmp_path):
    """Stopped after any epoch, it ends where it would have: what it waited for is kept."""
    log, settings = random_log([12] * 30), {**TINY, "epochs": 30, "patience": 2, "learning_rate": 0.05}
    whole = fit(log, **settings)

    class Break(Exception):
        pass

    def stop(done, total, words):
        raise Break

    for _ in range(whole.iterations):
        with pytest.raises(Break):
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
    """Published: .727 to .730. Other seeds are within .0005 of each other."""
    folder = published / "kt_assist2015"
    training, test = (read_responses(folder / f"{part}.csv", format="three-line") for part in ("train", "test"))
    assert reached(training, test, f"assist2015, seed {seed}", seed=seed) >= 0.727


@pytest.mark.long
@pytest.mark.parametrize("version", ["v0", "v1", "v2"])
def test_synthetic5(published, version):
    """The DKT paper's simulated students: the first half trains, the other tests."""
    answers = np.loadtxt(published / "kt_synthetic5" / f"{version}.csv", delimiter=",", dtype=int)
    log = Responses.from_arrays(np.repeat(np.arange(4000), 50), answers.ravel(), skill=np.tile(np.arange(50), 4000))
    halves = (log.subset(np.arange(2000)), log.subset(np.arange(2000, 4000)))
    assert reached(*halves, f"synthetic5 {version}") >= 0.81


def test_the_example_runs(tmp_path):
    done = subprocess.run([sys.executable, EXAMPLE], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
