"""Network policies: outputs, actions, files, and refused input."""

import hashlib
import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from scipy import stats

import alsim
from alsim.config import Config
from alsim.jit.compile import COMPILED
from alsim.numerics import perceptron
from alsim.policies import Network, NetworkPolicy, PolicyDraws, PolicyError, View, make_policy
from alsim.policies.network import FORBIDDEN
from alsim.rollouts.rollout import rollout

SMALL = Config.read({"num_los": 3, "max_episode_steps": 12})
R, A = 5, 27
f32 = np.float32


def layers_of(*sizes, seed=0, scale=1.0):
    """Return random layers with these sizes."""
    g = np.random.default_rng(seed)
    return [
        (g.normal(scale=scale, size=(a, b)).astype(f32), g.normal(size=b).astype(f32))
        for a, b in zip(sizes, sizes[1:], strict=False)
    ]


def policy_of(acting="sample", *, seed=0, scale=1.0, sizes=(R, 6, A), **arguments):
    return NetworkPolicy(Network(layers_of(*sizes, seed=seed, scale=scale)), acting=acting, **arguments)


def rows_of(lanes, width=R, seed=1):
    return np.random.default_rng(seed).random((lanes, width), f32)


def view_of(rows, num_los=3, kind="mastery"):
    lanes = len(rows)
    return View(rows, kind, num_los, np.ones(lanes, np.bool_), np.zeros(lanes, f32))


def draws_of(lanes, seed=0):
    g = np.random.default_rng(seed)
    return PolicyDraws(lambda block: g.integers(0, 2**32, (lanes, 4), dtype=np.uint32))


# ── outputs ──


def in_order(rows, layers, activation):
    """Return the outputs by definition: each is a float32 sum over the inputs in their order."""
    for k, (weights, biases) in enumerate(layers):
        total = np.broadcast_to(biases, (len(rows), len(biases))).copy()
        for i in range(len(weights)):
            total = total + rows[:, i : i + 1] * weights[i]
        rows = activation(total) if k + 1 < len(layers) else total
    return rows


@pytest.mark.parametrize("sizes", [(5, 27), (32, 64, 64, 270), (7, 3, 1, 9), (4, 8, 4), (1, 1)])
def test_outputs_equal_the_definition_bit_for_bit(sizes):
    layers, rows = layers_of(*sizes), rows_of(9, sizes[0])
    wanted = in_order(rows, layers, lambda x: np.maximum(x, f32(0)))
    np.testing.assert_array_equal(Network(layers, "relu").forward(rows), wanted, strict=True)


def test_tanh_networks_are_within_the_error_of_their_arithmetic():
    """Compare with float64: a sum of n rounded products errs by less than (n + 1) eps times the sum of magnitudes."""
    layers, rows = layers_of(32, 64, 10), rows_of(50, 32)
    (w0, b0), (w1, b1) = [(w.astype(float), b.astype(float)) for w, b in layers]
    hidden = np.tanh(rows.astype(float) @ w0 + b0)
    wanted = hidden @ w1 + b1
    eps = 2.0**-24
    off_before = 33 * eps * (rows @ abs(w0) + abs(b0))  # tanh does not enlarge it
    off = (off_before + 2e-7) @ abs(w1) + 65 * eps * (abs(hidden) @ abs(w1) + abs(b1))
    assert (abs(Network(layers).forward(rows) - wanted) <= 1.01 * off).all()


def test_a_row_has_the_same_bits_in_any_batch():
    network, rows = Network(layers_of(32, 64, 270)), rows_of(67, 32)
    whole = network.forward(rows)
    for start, stop in ((0, 1), (5, 6), (3, 40), (66, 67)):
        np.testing.assert_array_equal(network.forward(rows[start:stop]), whole[start:stop], strict=True)
    np.testing.assert_array_equal(network.forward(rows[::-1]), whole[::-1], strict=True)
    assert network.forward(rows[:0]).shape == (0, 270)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "at least one layer"),
        ([(np.zeros((5, 4)), np.zeros(3))], r"layer 0 must have weights .* got shapes \(5, 4\) and \(3,\)"),
        ([(np.zeros((5, 4)), np.zeros(4)), (np.zeros((3, 2)), np.zeros(2))], "layer 1 .* after a layer with 4 outputs"),
        ([(np.zeros(5), np.zeros(5))], "layer 0"),
        ([(np.zeros((0, 4)), np.zeros(4))], "layer 0"),
        ([(np.full((5, 4), np.nan), np.zeros(4))], "layer 0 has weights or biases that are not finite"),
        ([(np.full((5, 4), 3e38), np.full(4, np.inf))], "not finite"),
    ],
)
def test_invalid_layers_are_refused(layers, message):
    with pytest.raises(PolicyError, match=message):
        Network(layers)


def test_other_rows_and_activations_are_refused():
    with pytest.raises(PolicyError, match="activation must be one of 'tanh', 'relu'; got 'gelu'"):
        Network(layers_of(R, A), "gelu")
    with pytest.raises(ValueError, match=r"observations must have the shape \(N, 5\); got \(2, 4\)"):
        Network(layers_of(R, A)).forward(np.zeros((2, 4), f32))


# ── actions ──


def softmax(outputs):
    e = np.exp(outputs.astype(float) - outputs.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.heavy
@pytest.mark.parametrize("many", [1, 5, 16, 17, pytest.param(270, marks=pytest.mark.compiled)])
def test_frequencies_of_sampled_actions_follow_the_softmax(many):
    """Chi-square test over n = 20,000 draws of one row (5,000 interpreted); seed 3, false alarm 1e-4 per case."""
    network = Network(layers_of(R, many, seed=4, scale=0.5))
    row = rows_of(1)
    odds = softmax(network.forward(row))[0]
    n = 20_000 if COMPILED else 5_000
    u = (np.random.default_rng(3).integers(0, 2**32, n) + 0.5) / 2.0**32
    actions, given = np.empty(n, np.int64), np.empty(n)
    from alsim.policies.network import STRIPES, sample_rows

    outputs = np.tile(network.forward(row), (n, 1)).ravel()
    sample_rows(outputs, u, actions, given, np.empty(-(-many // STRIPES) * STRIPES, f32))
    # Float32 exponentials: relative error 1.2e-7, and as much by rounding of the exponent, in numerator and total.
    np.testing.assert_allclose(given, odds[actions], rtol=1e-5)
    if many > 1:
        counts = np.bincount(actions, minlength=many)
        rare = n * odds < 5
        pooled = [*counts[~rare], counts[rare].sum()], [*odds[~rare], odds[rare].sum()]
        if pooled[1][-1] * n < 5:
            pooled = [(*c[:-2], c[-2] + c[-1]) for c in pooled]
        expected = np.array(pooled[1]) / sum(pooled[1]) * n
        assert stats.chisquare(pooled[0], expected).pvalue > 1e-4


def test_sampling_at_the_edges_of_the_unit_interval():
    """The smallest and the largest uniform variate select valid actions with their probabilities."""
    from alsim.policies.network import sample_rows

    outputs = np.array([[0.0, -200.0, 5.0], [1e38, -1e38, 0.0]], f32)
    for word in (0, 2**32 - 1):
        actions, odds = np.empty(2, np.int64), np.empty(2)
        sample_rows(outputs.ravel(), np.full(2, (word + 0.5) / 2.0**32), actions, odds, np.empty(16, f32))
        assert ((actions >= 0) & (actions < 3)).all()
        np.testing.assert_allclose(odds[0], softmax(outputs[:1])[0, actions[0]], rtol=1e-5)
        assert 0 < odds[1] <= 1


def test_greedy_takes_the_first_of_the_largest():
    weights = np.zeros((R, A), f32)
    biases = np.zeros(A, f32)
    biases[[4, 9]] = 2
    actions, odds = NetworkPolicy(Network([(weights, biases)]), acting="greedy").act(view_of(rows_of(3)), draws_of(3))
    assert actions.tolist() == [4, 4, 4]
    assert odds.tolist() == [1, 1, 1]


@pytest.mark.heavy
def test_epsilon_is_the_frequency_of_exploration():
    """Binomial test over 20,000 lanes at epsilon = 0.3; seed 0, false alarm 1e-4."""
    lanes, epsilon = 20_000, 0.3
    policy = policy_of("epsilon", epsilon=epsilon)
    rows = np.tile(rows_of(1), (lanes, 1))
    best = int(policy.network.forward(rows[:1]).argmax())
    actions, odds = policy.act(view_of(rows), draws_of(lanes))
    greedy = 1 - epsilon + epsilon / A
    assert stats.binomtest(int((actions == best).sum()), lanes, greedy).pvalue > 1e-4
    np.testing.assert_allclose(odds, np.where(actions == best, greedy, epsilon / A), rtol=1e-15)
    assert set(actions.tolist()) == set(range(A))


def test_exploration_takes_only_actions_that_the_biases_allow():
    layers = layers_of(R, A, scale=0.1)
    layers[-1][1][3:] = FORBIDDEN
    policy = NetworkPolicy(Network(layers), acting="epsilon", epsilon=1.0)
    view = view_of(rows_of(500))
    actions, odds = policy.act(view, draws_of(500))
    assert set(actions.tolist()) == {0, 1, 2}
    np.testing.assert_allclose(odds, 1 / 3)
    np.testing.assert_allclose(policy.probabilities(view), np.tile(np.arange(A) < 3, (500, 1)) / 3)
    layers[-1][1][:] = FORBIDDEN
    with pytest.raises(PolicyError, match="must have an output with a bias above -1e\\+30; got none"):
        NetworkPolicy(Network(layers))


@pytest.mark.heavy
@pytest.mark.parametrize("acting", ["sample", "greedy", "epsilon"])
def test_a_learner_has_the_same_episode_alone_and_in_a_batch(acting):
    policy = policy_of(acting, epsilon=0.2)
    crowd = rollout(policy, num_learners=40, config=SMALL, seed=7)
    alone = rollout(policy, num_learners=1, first_learner=23, config=SMALL, seed=7)
    here = crowd.learner_id[crowd.interactions.episode] == 23
    for name in ("action", "reward", "item"):
        np.testing.assert_array_equal(
            getattr(crowd.interactions, name)[here], getattr(alone.interactions, name), strict=True
        )
    np.testing.assert_array_equal(crowd.propensity[here], alone.propensity, strict=True)
    np.testing.assert_array_equal(crowd.obs[here], alone.obs, strict=True)


def test_other_sizes_and_kinds_of_observation_are_refused():
    policy = policy_of(name="little")
    with pytest.raises(
        ValueError, match="the policy 'little' was trained with observations of 5 entries and 27 actions; got 32"
    ):
        rollout(policy, num_learners=1)
    with pytest.raises(ValueError, match="the policy 'little' needs observation='mastery'; got 'responses'"):
        rollout(policy, num_learners=1, config=SMALL, observation="responses")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"acting": "boldly"}, "acting must be one of 'sample', 'greedy', 'epsilon'; got 'boldly'"),
        ({"acting": "epsilon", "epsilon": 1.5}, r"epsilon must be a number in \[0, 1\]; got 1.5"),
        ({"acting": "epsilon", "epsilon": float("nan")}, "epsilon must be a number"),
        ({"acting": "epsilon", "epsilon": True}, "epsilon must be a number"),
        ({"name": ""}, "the name of a policy must be printable text, not empty; got ''"),
        ({"observation": "all"}, "observation must be one of 'mastery', 'responses'; got 'all'"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(PolicyError, match=message):
        NetworkPolicy(Network(layers_of(R, A)), **arguments)


# ── saved and loaded ──


def test_a_policy_replaces_an_earlier_one_and_no_file_of_another_program(tmp_path):
    policy_of(seed=1).save(tmp_path)
    policy_of(seed=2).save(tmp_path)
    assert NetworkPolicy.load(tmp_path).digest == policy_of(seed=2).digest
    for text in ('{"format": "iam-policy"}', "[]", "dear", '"' * 9):
        (tmp_path / "policy.json").write_text(text)
        with pytest.raises(PolicyError, match="policy.json is not a policy of alsim, so it is not overwritten; choose"):
            policy_of(seed=3).save(tmp_path)
        assert (tmp_path / "policy.json").read_text() == text
    (tmp_path / "policy.json").unlink()
    (tmp_path / "policy.npz").write_text("dear")
    with pytest.raises(PolicyError, match="policy.npz is not a policy of alsim, so it is not overwritten; choose"):
        policy_of(seed=3).save(tmp_path)
    assert (tmp_path / "policy.npz").read_text() == "dear"


def test_a_first_policy_whose_writer_was_killed_between_two_renames_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr("alsim.utils.file_groups._complete", lambda folder, main: None)
    policy_of(seed=1).save(tmp_path)
    monkeypatch.undo()
    for file in tmp_path.glob(".policy.npz-*"):
        file.rename(tmp_path / "policy.npz")
    policy_of(seed=2).save(tmp_path)
    assert NetworkPolicy.load(tmp_path).digest == policy_of(seed=2).digest


def test_a_pending_replacement_is_read_and_then_finished(tmp_path, monkeypatch):
    """The process is killed after the journal is written, before the files are renamed."""
    policy_of(seed=1).save(tmp_path)
    monkeypatch.setattr("alsim.utils.file_groups._complete", lambda folder, main: None)
    policy_of(seed=2).save(tmp_path)
    monkeypatch.undo()
    journal = tmp_path / ".policy.json.replacing"
    assert journal.exists()
    assert NetworkPolicy.load(tmp_path).digest == policy_of(seed=2).digest
    for text in (
        "[]",
        '{"moves": {"../x": "y"}, "obsolete": []}',
        '{"moves": {"policy.json": "policy.npz"}}',
        "[" * 9999,
    ):
        before = journal.read_text()
        journal.write_text(text)
        with pytest.raises(PolicyError, match="policy.json.replacing is not a journal of alsim: .*; delete it"):
            NetworkPolicy.load(tmp_path)
        journal.write_text(before)
    policy_of(seed=3).save(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["policy.json", "policy.npz"]
    assert NetworkPolicy.load(tmp_path).digest == policy_of(seed=3).digest


def test_a_loaded_policy_equals_the_saved_one(tmp_path):
    policy = NetworkPolicy(
        Network(layers_of(R, 6, A), "relu"), name="q", acting="epsilon", epsilon=0.05, observation="mastery"
    )
    policy.save(tmp_path / "run")
    for loaded in (
        NetworkPolicy.load(tmp_path / "run"),
        make_policy(str(tmp_path / "run")),
        make_policy(tmp_path / "run"),
    ):
        assert (loaded.name, loaded.acting, loaded.epsilon, loaded.observation) == ("q", "epsilon", 0.05, "mastery")
        assert loaded.digest == policy.digest
        rows = rows_of(20)
        np.testing.assert_array_equal(loaded.network.forward(rows), policy.network.forward(rows), strict=True)
    greedy = NetworkPolicy.load(tmp_path / "run", acting="greedy")
    assert greedy.acting == "greedy" and greedy.digest != policy.digest
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    policy.save(tmp_path / "run")
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before  # and no temporary file is left


def test_the_digest_differs_between_policies():
    digests = {
        policy_of().digest,
        policy_of(seed=1).digest,
        policy_of("greedy").digest,
        policy_of("epsilon", epsilon=0.1).digest,
        policy_of("epsilon", epsilon=0.2).digest,
    }
    assert len(digests) == 5
    assert policy_of().digest == policy_of().digest


def test_a_directory_is_accepted_as_a_policy(tmp_path):
    policy_of(name="ppo").save(tmp_path / "run")
    dataset = alsim.generate_dataset(6, 2, tmp_path / "run", config=SMALL, out=tmp_path / "dataset")
    assert dataset.manifest["policy"]["name"] == "ppo"
    assert dataset.propensity.min() > 0 and len(set(dataset.propensity.tolist())) > 10


def test_a_name_has_precedence_over_a_directory(tmp_path, monkeypatch):
    policy_of(name="mine").save(tmp_path / "uniform")
    monkeypatch.chdir(tmp_path)
    assert make_policy("uniform").name == "uniform"
    assert make_policy("./uniform").name == "mine"


def test_the_error_for_an_unknown_policy_names_names_and_directories(tmp_path):
    with pytest.raises(
        ValueError, match="unknown policy 'other'; known are uniform, rules, .*, directories with a saved policy, and"
    ):
        make_policy("other")
    with pytest.raises(ValueError, match="a Path must lead to the directory of a saved policy, .*; correct the path"):
        make_policy(tmp_path / "other")
    with pytest.raises(ValueError, match="the directory .* holds no policy: there is no policy.json; pass a directory"):
        make_policy(str(tmp_path))


@pytest.mark.parametrize(("acting", "epsilon"), [("sample", 0.0), ("greedy", 0.0), ("epsilon", 0.3)])
def test_probabilities_are_those_that_act_returns_bit_for_bit(acting, epsilon):
    policy, view = policy_of(acting, epsilon=epsilon, scale=0.5), view_of(rows_of(50))
    odds = policy.probabilities(view)
    assert odds.shape == (50, A)
    np.testing.assert_allclose(odds.sum(axis=1), 1, rtol=0, atol=1e-12)
    for seed in range(20):
        actions, propensities = policy.act(view, draws_of(50, seed))
        np.testing.assert_array_equal(odds[np.arange(50), actions], propensities)
    with pytest.raises(ValueError, match="needs observation='mastery'; got 'responses'"):
        policy.probabilities(view_of(rows_of(2), kind="responses"))


def edited(folder, **changes):
    """Change the description of a saved policy."""
    file = folder / "policy.json"
    text = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in text.items() if v is not None}))


def with_weights(folder, content):
    """Replace the weights, and their checksum."""
    (folder / "policy.npz").write_bytes(content)
    edited(folder, weights=hashlib.sha256(content).hexdigest())


class Hostile:
    """Object that executes code when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def pickled_arrays():
    stream = io.BytesIO()
    np.savez(stream, weights_0=np.array([Hostile()], object), biases_0=np.zeros(A, f32))
    return stream.getvalue()


def other_arrays(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def zipped(content, compression=zipfile.ZIP_DEFLATED, **at):
    """Return an archive with one array and changed bytes in both headers of the entry."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("weights_0.npy", content)
    changed = bytearray(stream.getvalue())
    for name, value in at.items():
        offset = {"flags": 6, "method": 8}[name]
        changed[offset] = changed[changed.index(b"PK\x01\x02") + offset + 2] = value
    return bytes(changed)


def a_header(entries):
    """Return the header of an array with a number of entries."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (entries,)})
    return stream.getvalue()


def not_deflated(content):
    """Return an archive with invalid compressed bytes."""
    changed = bytearray(zipped(content))
    begin = 30 + len("weights_0.npy")
    changed[begin : begin + 8] = b"\xff" * 8
    return bytes(changed)


BREAKS = [
    (lambda d: edited(d, version=2), "policy.json has version 2; this version of alsim reads 1"),
    (lambda d: edited(d, version=True), "policy.json has version True; this version of alsim reads 1"),
    (lambda d: edited(d, format="pickle"), "policy.json is not a policy of alsim"),
    (lambda d: edited(d, acting=None), "policy.json lacks acting"),
    (lambda d: edited(d, acting="boldly"), "policy.json: acting must be one of"),
    (lambda d: edited(d, epsilon="much"), "policy.json: epsilon must be a number"),
    (lambda d: edited(d, acting=["x"]), "policy.json: acting must be one of"),
    (lambda d: edited(d, sizes=[5]), "policy.json: sizes must be two or more integers"),
    (lambda d: edited(d, sizes=[5, 10**9]), "at most 100,000,000 weights"),
    (lambda d: edited(d, sizes=[5, True]), "sizes must be two or more integers"),
    (lambda d: edited(d, sizes=[5, 4, 27]), "policy.npz is not the network"),
    (lambda d: edited(d, activation="gelu"), "policy.npz is not the network .* activation must be one of"),
    (lambda d: edited(d, activation=["tanh"]), "policy.npz is not the network"),
    (lambda d: (d / "policy.json").write_text("[1]"), "policy.json is not a policy of alsim"),
    (lambda d: (d / "policy.json").write_text("{"), "policy.json cannot be read"),
    (lambda d: (d / "policy.json").unlink(), "holds no policy: there is no policy.json"),
    (lambda d: (d / "policy.npz").unlink(), "policy.npz cannot be read"),
    (lambda d: (d / "policy.npz").write_bytes(b"x"), "policy.npz was changed after it was saved"),
    (lambda d: with_weights(d, b"x"), "policy.npz is not the network"),
    (lambda d: with_weights(d, pickle.dumps(Hostile())), "policy.npz is not the network"),
    (lambda d: with_weights(d, pickled_arrays()), "policy.npz is not the network"),
    (lambda d: with_weights(d, other_arrays(weights_0=np.zeros((5, A), f32))), "policy.npz is not the network"),
    (
        lambda d: with_weights(d, other_arrays(weights_0=np.zeros((5, A)), biases_0=np.zeros(A))),
        "weights_0 must be float32 of shape",
    ),
    (
        lambda d: with_weights(d, other_arrays(weights_0=np.full((5, A), np.inf, f32), biases_0=np.zeros(A, f32))),
        "not finite",
    ),
    (lambda d: edited(d, name="x\x1b[2J"), "policy.json: the name of a policy must be printable text"),
    (lambda d: (d / "policy.json").write_text("[" * 10**5), "policy.json cannot be read"),
    (lambda d: with_weights(d, zipped(a_header(10**14))), "policy.npz is not the network"),
    (lambda d: with_weights(d, zipped(b"", flags=1)), "policy.npz is not the network .* encrypted"),
    (lambda d: with_weights(d, zipped(b"", method=77)), "policy.npz is not the network .* not supported"),
    (lambda d: with_weights(d, not_deflated(bytes(1000))), "policy.npz is not the network .* decompressing"),
    (
        lambda d: with_weights(d, zipped(a_header(5 * 10**5) + bytes(2 * 10**6))),  # of 2 kB
        r"policy.npz is not the network .* unpacks to 2,000,128 bytes; expected at most 3,\d\d\d",
    ),
    (lambda d: with_weights(d, bytes(10**6)), "policy.npz was changed after it was saved"),  # not read to its end
]


@pytest.mark.parametrize(("breaks", "message"), BREAKS, ids=map(str, range(len(BREAKS))))
def test_broken_and_hostile_files_are_refused_by_name(tmp_path, breaks, message):
    policy_of(sizes=(R, A)).save(tmp_path)
    breaks(tmp_path)
    with pytest.raises(PolicyError, match=message):
        NetworkPolicy.load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("name", ["policy.json", "policy.npz"])
def test_a_named_pipe_is_refused_without_blocking(tmp_path, name):
    policy_of(sizes=(R, A)).save(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(PolicyError, match=rf"{name} cannot be read: it is a named pipe, not a regular file"):
        NetworkPolicy.load(tmp_path)


def test_the_weights_are_a_plain_archive_of_numbers(tmp_path):
    policy_of(sizes=(R, 4, A)).save(tmp_path)
    with zipfile.ZipFile(tmp_path / "policy.npz") as archive:
        assert archive.namelist() == ["weights_0.npy", "biases_0.npy", "weights_1.npy", "biases_1.npy"]
    assert perceptron.UNROLL == 4  # so (5, 4, 27) is padded in memory, and saved without padding
    with np.load(tmp_path / "policy.npz") as arrays:
        assert arrays["weights_0"].shape == (5, 4)


@pytest.mark.parametrize(("inputs", "expected"), [(5, "mastery"), (8, "responses"), (7, "mastery")])
def test_the_kind_of_observation_follows_from_the_sizes(inputs, expected):
    network = Network([(np.ones((inputs, 27), np.float32), np.zeros(27, np.float32))])
    assert NetworkPolicy(network).observation == expected


def test_the_other_kind_of_observation_is_refused(tmp_path):
    network = Network([(np.ones((8, 27), np.float32), np.zeros(27, np.float32))])
    message = "observation must be 'responses' for a network with 8 inputs and 27 outputs; got 'mastery'; leave"
    with pytest.raises(PolicyError, match=message):
        NetworkPolicy(network, observation="mastery")
    NetworkPolicy(network).save(tmp_path)
    file = tmp_path / "policy.json"
    file.write_text(file.read_text().replace('"responses"', '"mastery"'))
    with pytest.raises(PolicyError, match=f"^{file}: {message}"):
        NetworkPolicy.load(tmp_path)
