"""Off-policy evaluation of datasets: against the truth of the simulator, and against plain Python."""

import json

import numpy as np
import pyarrow as pa
import pytest

import alsim
from alsim.datasets.views import joint_distributions
from alsim.errors import AlsimError
from alsim.evaluation import ope
from alsim.evaluation.ope.evaluation import evaluate_log
from alsim.evaluation.ope.joined import JoinedLog
from alsim.evaluation.ope.simulated import SimulatedLog
from alsim.policies import make_policy

pytestmark = pytest.mark.compiled  # test_ope_features.py has a small log for the interpreter
NORMALISED = ("snpdis", "mis", "window")
LATENT = ("ability", "mastery", "chance", "ability_start", "ability_final", "learner_state", "lo_state")
"""Prefixes of the columns of the truth."""


def logged(policy="epsilon-greedy:rules:0.2", learners=120, seed=0, **options):
    options.setdefault("episodes_per_learner", 1)
    return alsim.generate_dataset(num_learners=learners, policy=policy, seed=seed, **options)


def returns_of(dataset):
    """Return the return of each episode, in plain Python."""
    ends = np.cumsum(dataset.episodes.column("total_steps").to_numpy())
    return np.array([part.sum() for part in np.split(dataset.reward.astype(float), ends[:-1])])


@pytest.fixture(scope="module")
def log():
    return logged()


@pytest.mark.ci
@pytest.mark.parametrize("policy", ["uniform", "epsilon-greedy:rules:0.5"])
def test_the_own_policy_has_the_mean_return(policy):
    """Episodes have unequal lengths; weights are 1, so each normalised estimator is the mean; dr and wdr add V - Q."""
    dataset = logged(policy)
    assert len({*dataset.episodes.column("total_steps").to_pylist()}) > 20
    found = ope.evaluate(dataset, policy)
    mean = returns_of(dataset).mean()
    for name in (*NORMALISED, "tis", "pdis"):
        assert found.estimators[name].value == pytest.approx(mean, rel=1e-9), name
    for name in ("dr", "wdr"):  # n = 120, seed 0; false alarms have a probability below 1e-4
        assert found.estimators[name].value == pytest.approx(mean, abs=4 * found.behaviour_value.se), name
    assert found.behaviour_value.value == pytest.approx(mean, rel=1e-12)
    assert found.behaviour_value.se == pytest.approx(returns_of(dataset).std(ddof=1) / np.sqrt(120), rel=1e-12)
    assert found.recommended == "dr" and not found.warnings
    assert found.diagnostics.predicted_ess == pytest.approx(120) and found.diagnostics.unsupported_share == 0


@pytest.mark.ci
def test_the_estimates_are_those_of_the_functions_on_arrays(log):
    """With the probabilities of the target from `Dataset.probabilities`, padded here."""
    found = ope.evaluate(log, "epsilon-greedy:rules:0.15")
    lengths = log.episodes.column("total_steps").to_numpy()
    ends = np.cumsum(lengths)
    columns = (log.reward, log.propensity, log.probabilities("epsilon-greedy:rules:0.15"))
    rewards, behaviour, target = (np.full((len(lengths), max(lengths)), 0.5) for _ in range(3))
    for array, column in zip((rewards, behaviour, target), columns, strict=True):
        for i, (begin, end) in enumerate(zip(ends - lengths, ends, strict=True)):
            array[i, : end - begin] = column[begin:end]
    for name in ("tis", "pdis", "snpdis", "window"):
        again = getattr(ope, name)(rewards, behaviour, target, lengths, learners=np.arange(len(lengths)))
        one = found.estimators[name]
        assert (one.value, one.se, *one.ci, one.ess) == pytest.approx((again.value, again.se, *again.ci, again.ess))


@pytest.mark.ci
def test_the_truth_is_in_reach():
    """n = 1,500 episodes, seed 3. Four standard errors: false alarms have a probability below 1e-4 per estimator."""
    found = ope.evaluate(logged(learners=1500, seed=3), "epsilon-greedy:rules:0.19")
    truth = alsim.rollout("epsilon-greedy:rules:0.19", num_learners=8_000, seed=77).metrics.cumulative_reward
    assert found.recommended == "dr"
    for name in ("pdis", "snpdis", "dr", "wdr"):
        one = found.estimators[name]
        assert abs(one.value - truth.mean()) < 4 * np.hypot(one.se, truth.std() / np.sqrt(8_000)), name
    assert found.estimators["dr"].se < found.estimators["pdis"].se


@pytest.mark.ci
def test_a_distant_target_is_not_evaluated_by_weights_of_histories():
    found = ope.evaluate(logged("uniform", 1500), "epsilon-greedy:rules:0.1")
    assert found.estimators[found.recommended].family in ("marginalised", "window")
    assert [warned.code for warned in found.warnings] == ["beyond-budget", "biased"]
    found = ope.evaluate(logged("uniform", 300), "rules")
    assert found.recommended is None or found.estimators[found.recommended].family == "window"
    codes = [warned.code for warned in found.warnings]
    assert codes[0] == "beyond-budget" and "undefined" in codes and "no-weight" in codes
    assert "snpdis" not in found.estimators and found.estimators["dr"].ess == 0
    assert found.estimators["dr"].ci is None
    sentences = " ".join(warned.sentence for warned in found.warnings)
    assert "are undefined: all weights are 0 at step" in sentences and "nan" not in json.dumps(found.to_dict()).lower()


@pytest.mark.ci
def test_a_target_with_memory_beyond_the_budget_has_no_recommendation():
    """Clusters of observations do not contain the memory of `zpd`."""
    found = ope.evaluate(logged("uniform", 60), "epsilon-greedy:zpd:0.5")
    assert found.recommended is None and "memory" in [warned.code for warned in found.warnings]
    assert ope.evaluate(logged("zpd", 120), "zpd").recommended == "dr"


def test_too_few_episodes_recommend_nothing():
    found = ope.evaluate(logged("uniform", 40), "rules")
    assert found.recommended is None
    assert "more than a billion episodes" in found.warnings[0].sentence


def test_the_policy_of_a_log_without_exploration_supports_only_itself():
    found = ope.evaluate(logged("rules", 200), "uniform")
    assert found.recommended is None and found.diagnostics.unsupported_share > 0.9
    assert found.warnings[0].code == "unsupported"


def test_the_unsupported_share_is_known_if_both_policies_are():
    """By brute force: the probability under the target of the actions that the policy of the log never takes."""
    dataset = logged("rules", 40)
    lost = 0.0
    pairs = zip(dataset.distributions("rules"), dataset.distributions("uniform"), strict=True)
    for (rows, own), (others, odds) in pairs:
        assert (rows == others).all()
        lost += odds[own == 0].sum()
    found = ope.evaluate(dataset, "uniform").diagnostics.unsupported_share
    assert found == pytest.approx(lost / len(dataset), rel=1e-12)


def test_the_divergence_of_a_dataset_is_that_of_the_distributions_and_not_of_the_logged_actions():
    """By brute force. For one of 270 actions from `uniform`, it is 269; `rules` has few ties."""
    found = ope.evaluate(dataset := logged("uniform", 50), "rules").diagnostics.chi2_per_step
    squares, lengths = np.ones((50, len(found))), dataset.episodes.column("total_steps").to_numpy()
    episode = np.repeat(np.arange(50), lengths)
    for rows, odds in dataset.distributions("rules"):
        squares[episode[rows], dataset.step[rows] - 1] = 270 * (odds**2).sum(axis=1)
    np.testing.assert_allclose(found, squares.mean(axis=0) - 1, rtol=1e-12)
    assert 250 < found[0] <= 269


def test_the_divergence_of_two_mixtures_is_that_of_the_formula():
    """Mixtures of k best actions with 270 uniform ones: sum of e^2 / b, with e and b in the best and in the others."""
    log = SimulatedLog(logged("epsilon-greedy:rules:0.4", 60), make_policy("epsilon-greedy:rules:0.2"))
    k = np.arange(1, 10)
    best, other = (0.8 / k + 0.2 / 270, 0.6 / k + 0.4 / 270), (0.2 / 270, 0.4 / 270)
    expected = k * best[0] ** 2 / best[1] + (270 - k) * other[0] ** 2 / other[1]
    alive = np.arange(log.steps.rewards.shape[1]) < log.steps.lengths[:, np.newaxis]
    second = log.moments.second[alive]
    np.testing.assert_allclose(second, expected[np.abs(second[:, np.newaxis] - expected).argmin(axis=1)], rtol=1e-12)
    assert (np.abs(second - expected[0]) < 1e-9).mean() > 0.9
    np.testing.assert_allclose(log.moments.first[alive], 1, rtol=1e-12)
    assert (log.moments.second[~alive] == 1).all()


def test_a_policy_evaluated_on_its_own_short_log_needs_no_budget():
    found = ope.evaluate(logged("uniform", 30), "uniform")
    assert found.recommended == "dr" and found.warnings == ()
    assert found.diagnostics.predicted_ess == pytest.approx(30)


def test_joined_logs_have_the_moments_of_their_parts():
    logs = [SimulatedLog(logged(name, 20), make_policy("rules")) for name in ("uniform", "epsilon-greedy:rules:0.5")]
    joined = JoinedLog(logs)
    steps = logs[0].steps.rewards.shape[1]
    assert (joined.moments.second[:20, :steps] == logs[0].moments.second).all()
    assert JoinedLog([logs[0], _without_moments(logs[1])]).moments is None


def _without_moments(log):
    log.moments = None
    return log


def test_a_short_log_of_a_policy_that_takes_all_actions_supports_all_targets():
    """Also if no action of the log is that of the target: the estimate of the share from ratios of 0 would be 1."""
    found = ope.evaluate(logged("uniform", 20, config={"max_episode_steps": 1}), "rules")
    assert found.diagnostics.unsupported_share == 0 and "unsupported" not in [w.code for w in found.warnings]


# ── the truth never reaches an estimator ────────────────────────────────────────────────────────


def without_truth(dataset):
    """Return a dataset without the columns that no policy sees."""
    tables = {}
    for name in ("transitions", "events", "episodes"):
        table = getattr(dataset, name)
        kept = [column for column in table.column_names if not column.startswith(LATENT)]
        if name == "episodes":  # nor the metrics, which are computed with the truth
            kept = [c for c in kept if c in ("learner_id", "episode", "total_steps", "final_obs")]
        tables[name] = table.select(kept)
    return alsim.Dataset(dataset.manifest, tables, dataset.bank)


@pytest.mark.ci
def test_latent_columns_do_not_reach_the_estimators():
    dataset = logged(truth=True)
    assert {"ability", "mastery", "chance"} <= {*dataset.transitions.column_names}
    bare = without_truth(dataset)
    assert not {"ability", "mastery", "chance"} & {*bare.transitions.column_names}
    one, other = (json.dumps(ope.evaluate(d, "epsilon-greedy:rules:0.15").to_dict()) for d in (dataset, bare))
    assert one == other
    assert one == json.dumps(ope.evaluate(logged(), "epsilon-greedy:rules:0.15").to_dict())


@pytest.mark.ci
def test_observations_that_were_not_stored_give_the_same_bytes(log, tmp_path):
    options = {"num_learners": 120, "episodes_per_learner": 1, "policy": "epsilon-greedy:rules:0.2", "seed": 0}
    alsim.generate_dataset(**options, store_observations=False, out=tmp_path / "log", episodes_per_shard=64)
    one, other = (ope.evaluate(d, "epsilon-greedy:rules:0.15").to_dict() for d in (log, tmp_path / "log"))
    assert json.dumps(one) == json.dumps(other)


# ── kinds of actions ────────────────────────────────────────────────────────────────────────────


def test_pooled_probabilities_are_those_of_the_kind(log):
    """Both policies: the sum of the probabilities of the actions of the same kind, by brute force."""
    target = "epsilon-greedy:rules:0.1"
    pooled = SimulatedLog(log, make_policy(target)).pooled()
    lengths = log.episodes.column("total_steps").to_numpy()
    episode, step = np.repeat(np.arange(len(lengths)), lengths), log.step - 1
    kinds = np.array([alsim.decode_action(a, 30).level for a in range(270)])
    for policy, array in ((target, pooled.target), ("epsilon-greedy:rules:0.2", pooled.behaviour)):
        rows, odds = next(iter(log.distributions(policy)))
        same = kinds[log.action[rows]][:, np.newaxis] == kinds
        assert array[episode[rows], step[rows]] == pytest.approx((odds * same).sum(axis=1), abs=1e-6)


# ── kinds of policies, observations and learners ────────────────────────────────────────────────


def test_policies_with_memory_and_across_learners():
    """A policy that learns across learners needs a pass of its own; its probabilities are the logged ones."""
    policy = "ucb1"
    dataset = logged(policy, 60)
    own = SimulatedLog(dataset, make_policy(policy)).steps
    assert own.target == pytest.approx(own.behaviour, abs=1e-12)
    other = SimulatedLog(dataset, make_policy("uniform")).steps
    assert other.target[other.rewards != 0] == pytest.approx(1 / 270)


def test_observations_of_responses():
    dataset = logged("epsilon-greedy:uniform:0.5", 100, observation="responses")
    found = ope.evaluate(dataset, "uniform")
    assert found.estimators["mis"].value == pytest.approx(returns_of(dataset).mean(), rel=1e-9)


def test_learners_of_a_class_are_one_unit():
    config = alsim.Config.read({"classes": {"size": 10, "mastery_std": 1.0}})
    dataset = logged("uniform", 100, config=config)
    units = SimulatedLog(dataset, make_policy("uniform")).steps.units
    assert np.bincount(units).tolist() == [10] * 10
    means = returns_of(dataset).reshape(10, 10).mean(axis=1)
    se = ope.evaluate(dataset, "uniform").behaviour_value.se
    assert se == pytest.approx(means.std(ddof=1) / np.sqrt(10), rel=1e-9)


def test_episodes_of_a_learner_are_one_unit():
    dataset = logged("uniform", 50, episodes_per_learner=3)
    assert np.bincount(SimulatedLog(dataset, make_policy("uniform")).steps.units).tolist() == [3] * 50


def test_without_the_policy_of_the_log_actions_are_not_pooled(log):
    manifest = {**log.manifest, "policy": {**log.manifest["policy"], "name": "lost"}}
    tables = {name: getattr(log, name) for name in ("transitions", "events", "episodes")}
    found = ope.evaluate(alsim.Dataset(manifest, tables, log.bank), "epsilon-greedy:rules:0.15")
    assert found.behaviour == "lost" and found.warnings[-1].code == "not-pooled"
    pooled = ope.evaluate(log, "epsilon-greedy:rules:0.15").estimators
    assert found.estimators["mis"].value != pooled["mis"].value
    assert found.estimators["dr"].value == pooled["dr"].value


def test_another_version_of_the_policy_of_the_log_is_noticed(log):
    """A name that gives other propensities than those of the log is not the policy of the log."""
    manifest = {**log.manifest, "policy": {**log.manifest["policy"], "name": "epsilon-greedy:rules:0.3"}}
    tables = {name: getattr(log, name) for name in ("transitions", "events", "episodes")}
    found = ope.evaluate(alsim.Dataset(manifest, tables, log.bank), "epsilon-greedy:rules:0.15")
    assert "not-pooled" in [warned.code for warned in found.warnings]


# ── options ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
def test_chosen_estimators_and_refits(log):
    found = ope.evaluate(log, "epsilon-greedy:rules:0.15", estimators=["fqe", "pdis"], refit=40, seed=5)
    assert [*found.estimators] == ["pdis", "fqe"] and found.recommended is None
    again = ope.evaluate(log, "epsilon-greedy:rules:0.15", estimators="fqe", refit=40, seed=5)
    assert again.estimators["fqe"] == found.estimators["fqe"]
    plain = ope.evaluate(log, "epsilon-greedy:rules:0.15", estimators="fqe").estimators["fqe"]
    low, high = found.estimators["fqe"].ci
    assert plain.ci is None and plain.value == found.estimators["fqe"].value and low < plain.value < high
    assert found.estimators["fqe"].se > 2 * plain.se  # it counts the error of the fit


def test_the_discount_factor_reaches_every_estimator(log):
    """With gamma = 0, the value is the mean first reward, and the weight of the first action is all that counts."""
    found = ope.evaluate(log, "epsilon-greedy:rules:0.2", gamma=0.0)
    first = log.reward[log.step == 1].mean()
    for name in (*NORMALISED, "tis", "pdis"):
        assert found.estimators[name].value == pytest.approx(first, abs=1e-6), name
    for name in ("dr", "wdr", "fqe"):  # the model has an error; n = 120, seed 0, false alarms below 1e-4
        assert found.estimators[name].value == pytest.approx(first, abs=4 * found.behaviour_value.se), name


# ── bad input: one sentence ─────────────────────────────────────────────────────────────────────


def refused(match, *arguments, **options):
    with pytest.raises(alsim.AlsimError, match=match) as caught:
        ope.evaluate(*arguments, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.ci
def test_bad_input(log, tmp_path):
    refused("there is no log", tmp_path / "none", "rules")
    refused("no finished dataset", tmp_path, "rules")
    refused("ruls", log, "ruls")
    refused("got 'drr'; did you mean 'dr'", log, "rules", estimators=["drr"])
    refused("estimators must name at least one", log, "rules", estimators=[])
    refused("log must be a Dataset", 3, "rules")
    refused("gamma", log, "rules", gamma=1.5)
    refused("confidence", log, "rules", confidence=95)
    refused("draws|refit", log, "rules", refit=3)
    refused("at least 2 independent", logged(learners=1), "rules")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("reward", np.nan, "rewards must be finite; got nan in episode 2, step 0"),
        ("propensity", 0.0, r"behaviour must be probabilities in \(0, 1\].*; got 0 in episode 2, step 0"),
        ("propensity", np.nan, "behaviour must be finite; got nan in episode 2, step 0"),
    ],
)
def test_invalid_numbers_in_a_log_are_named(log, column, value, message):
    table = log.transitions
    values = table.column(column).to_numpy().copy()
    values[log.episodes.column("total_steps").to_numpy()[:2].sum()] = value
    place = table.column_names.index(column)
    changed = table.set_column(place, table.field(column), pa.array(values, table.field(column).type))
    tables = {"transitions": changed, "events": log.events, "episodes": log.episodes}
    refused(message, alsim.Dataset(log.manifest, tables, log.bank), "epsilon-greedy:rules:0.15")


def test_a_name_in_a_manifest_imports_no_code(log, tmp_path, monkeypatch):
    """The manifest may come from others. Neither an evaluation nor a certificate imports the module of its policy."""
    (tmp_path / "evil.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    manifest = {**log.manifest, "policy": {**log.manifest["policy"], "name": "evil:Policy"}}
    tables = {name: getattr(log, name) for name in ("transitions", "events", "episodes")}
    changed = alsim.Dataset(manifest, tables, log.bank)
    found = ope.evaluate(changed, "epsilon-greedy:rules:0.15", estimators="pdis")
    assert [warned.code for warned in found.warnings][-1] == "not-pooled"
    with pytest.raises(alsim.AlsimError, match="no policy of this name is registered"):
        ope.certify_dataset(changed, "rules", logs=2)


def test_logs_that_cannot_be_one(log):
    refused("is given twice", [log, log], "uniform")
    refused("is given twice", [log, logged()], "uniform")
    refused("differ in their configuration", [log, logged(config={"num_los": 3}, learners=5)], "uniform")
    own = logged("uniform", 5, observation="responses")
    refused("differ in their kind of observation", [log, own], "uniform")
    table = {"episode": [0, 1], "reward": [0, 1], "behaviour": [0.5, 0.5], "target": [0.5, 0.5]}
    refused("logs of several kinds have no common unit", [log, table], "uniform")
    refused("the probabilities of the target are a column", table, "rules")


def test_an_infinite_divergence_is_null_in_json():
    """At some step of a short uniform log, no action is that of the target; as a table, it does not know the others."""
    log = SimulatedLog(logged("uniform", 30), make_policy("rules"))
    log.moments = None
    found = evaluate_log(log)
    assert np.isinf(found.diagnostics.chi2_per_step).any()
    values = found.to_dict()
    json.dumps(values, allow_nan=False)
    assert None in values["diagnostics"]["chi2_per_step"] and found.recommended is None


class Silent:
    """A policy without probabilities."""

    name = "silent"

    def act(self, view, draws):
        return make_policy("uniform").act(view, draws)


def test_a_target_without_probabilities_is_named(log):
    refused("silent", log, Silent())


def test_a_dataset_without_episodes(log):
    empty = {name: getattr(log, name).slice(0, 0) for name in ("transitions", "events", "episodes")}
    refused("has no episodes", alsim.Dataset(log.manifest, empty, log.bank), "rules")


@pytest.mark.ci
def test_the_weights_of_window_contain_the_number_of_actions_that_is_passed(log):
    target = "epsilon-greedy:rules:0.1"
    steps = SimulatedLog(log, make_policy(target)).steps
    for size in (1, 3):
        found = ope.evaluate(log, target, window=size, estimators="window").estimators["window"]
        assert found.value == ope.window(*steps[:4], steps=size).value
    with pytest.raises(AlsimError, match="window must be"):
        ope.evaluate(log, target, window=0)


def test_the_probabilities_of_all_actions_are_never_in_memory_together():
    """Of 10**6 interactions, those of one policy would take 2 GB."""
    dataset = logged("uniform", 300)
    sizes = [batch.odds[0].nbytes for batch in joint_distributions(dataset, [make_policy("rules")])]
    assert sum(sizes) == len(dataset) * 270 * 8 > 60e6 and max(sizes) <= 16 * 2**20


def test_refits_resample_classes():
    """Learners of a class are not independent: the bootstrap draws 6 classes of 5."""
    config = alsim.Config.read({"classes": {"size": 5, "mastery_std": 1.0}, "max_episode_steps": 20})
    dataset = logged("uniform", 30, config=config)
    log = SimulatedLog(dataset, make_policy("rules"))
    assert np.unique(log.steps.units).tolist() == list(range(6))
    found = ope.evaluate(dataset, "rules", refit=40, seed=3, estimators="fqe").estimators["fqe"]
    steps, learners = log.steps, np.arange(30)
    options = {"draws": 40, "seed": 3}
    args = steps.rewards, *log.features(), steps.lengths
    assert found.se == ope.bootstrap(ope.fqe, *args, learners=learners // 5, **options).se
    assert found.se != ope.bootstrap(ope.fqe, *args, learners=learners, **options).se


def mask_of_questions(view):
    """An action mask of a user: questions only."""
    allowed = np.zeros((len(view.observation), 270), bool)
    allowed[:, :90] = True
    return allowed


def test_a_function_as_action_mask_is_passed():
    dataset = logged("uniform", 20, action_mask=mask_of_questions, config={"max_episode_steps": 10})
    with pytest.raises(AlsimError, match="--action-mask module:function"):
        ope.evaluate(dataset, "uniform")
    found = ope.evaluate(dataset, "uniform", action_mask=mask_of_questions)
    assert found.estimators["pdis"].value == pytest.approx(found.behaviour_value.value, rel=1e-12)
