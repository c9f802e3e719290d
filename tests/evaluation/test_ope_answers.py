"""Off-policy estimators on arrays, compared with published programs, and with enumeration of decision processes."""

import json
from typing import Any

import numpy as np
import pytest

from alsim.evaluation import ope

EXACT = 1e-12
"""Tolerance of sums of fractions in float64."""


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def processes(published) -> list[Any]:
    return load(published / "evaluation/exact_mdps.json")["cases"]


@pytest.fixture(params=("two_states", "early_end", "hidden_ability"))
def process(request, processes):
    """A log that is the population, as padded arrays: entries after the end are wrong on purpose."""
    (case,) = [one for one in processes if one["name"] == request.param]
    rows = case["trajectories"]
    lengths = np.array([len(row["reward"]) for row in rows])

    def padded(name, fill):
        return np.array([row[name] + [fill] * (case["horizon"] - len(row[name])) for row in rows])

    log = [padded("reward", np.nan), padded("behaviour", -1.0), padded("target", 7.0), lengths, case["discount"]]
    columns = {name: padded(name, 0) for name in ("state", "obs", "action")}
    return case, log, np.array([row["count"] for row in rows]), columns


def indicators(case, columns, name, lengths):
    """Return indicators of (code, action), and their mean under the target, (n, T, d)."""
    code, action = columns[name], columns["action"]
    num_actions = action.max() + 1
    policy = np.zeros((code.max() + 1, num_actions))
    for i, row in enumerate(case["trajectories"]):
        for t in range(lengths[i]):
            policy[code[i, t], action[i, t]] = row["target"][t]
    cells = np.eye(policy.size)
    taken = cells[code * num_actions + action]
    return taken, (policy[code][..., None] * cells.reshape(*policy.shape, -1)[code]).sum(axis=2)


@pytest.mark.parametrize("name", ["tis", "sntis", "pdis", "snpdis"])
def test_the_value_of_a_population_is_exact(process, name):
    case, log, counts, _ = process
    found = getattr(ope, name)(*log, weights=counts)
    assert found.value == pytest.approx(case["target_value"]["value"], abs=EXACT)
    assert found.family == "importance"


def test_the_variance_and_the_effective_size_of_a_population_are_exact(process):
    case, log, counts, _ = process
    total = counts.sum()
    for name in ("tis", "pdis"):
        # The standard error has n - 1 in the denominator, the variance of the population n.
        variance = getattr(ope, name)(*log, weights=counts).se ** 2 * (total - 1)
        assert variance == pytest.approx(case[f"variance_one_{name.upper()}"]["value"], rel=EXACT)
    assert ope.tis(*log, weights=counts).ess / total == pytest.approx(case["ess_share"]["value"], abs=EXACT)


def test_the_value_by_states_is_exact_and_by_observations_has_the_known_bias(process):
    case, log, counts, columns = process
    target = case["target_value"]["value"]
    for name in ("state", "obs"):
        known = "state" if name == "state" else "observation"
        expected = case[f"tabular_fitted_q_on_{known}"]["value"]
        features = indicators(case, columns, name, log[3])
        reward, lengths, gamma = log[0], log[3], log[4]
        found = ope.fqe(reward, *features, lengths, gamma, counts, ridge=0.0)
        assert found.value == pytest.approx(expected, abs=EXACT)
        assert found.family == "direct" and found.ci is None
        values = ope.fitted_q(reward, *features, lengths, gamma, counts, ridge=0.0, folds=1)
        for estimator in (ope.dr, ope.wdr):
            assert estimator(*log, weights=counts, q=values.q, v=values.v).value == pytest.approx(target, abs=EXACT)
        marginal = ope.mis(*log, weights=counts, clusters=columns[name])
        assert marginal.value == pytest.approx(expected, abs=EXACT)
        assert marginal.family == "marginalised"
        assert (marginal.terms * counts).sum() / counts.sum() == pytest.approx(marginal.value, abs=1e-9)
    bias = case["bias_of_fitted_q_on_observation"]["value"]
    assert marginal.value - target == pytest.approx(bias, abs=EXACT)
    assert (bias != 0) == (case["name"] == "hidden_ability")


def test_repeated_rows_and_weights_are_the_same(process):
    _, log, counts, columns = process
    every = np.repeat(np.arange(len(counts)), counts)
    repeated = [*(column[every] for column in log[:4]), log[4]]
    clusters = columns["obs"]
    for estimator in (ope.tis, ope.pdis, ope.snpdis, ope.window):
        one, other = estimator(*log, weights=counts), estimator(*repeated)
        assert one.value == pytest.approx(other.value, abs=EXACT)
        assert (one.se, one.ess) == pytest.approx((other.se, other.ess), rel=1e-10)
    one = ope.mis(*log, weights=counts, clusters=clusters)
    other = ope.mis(*repeated, clusters=clusters[every])
    assert (one.value, one.se, one.ess) == pytest.approx((other.value, other.se, other.ess), rel=1e-10)


def test_doubly_robust_estimates_are_those_of_cobs(published):
    case = load(published / "evaluation/sequential_dr_cobs.json")
    action = np.array(case["action"])[..., None]
    behaviour, target, q = (np.array(case[name]) for name in ("behaviour", "target", "q_hat"))
    taken = [np.take_along_axis(a, action, 2)[..., 0] for a in (behaviour, target, q)]
    for gamma in (1.0, 0.9):
        options = {"gamma": gamma, "q": taken[2], "v": (target * q).sum(axis=2)}
        for estimator, name in ((ope.dr, "dr"), (ope.wdr, "weighted_dr")):
            found = estimator(case["reward"], *taken[:2], **options)
            assert found.value == pytest.approx(case["answers"][f"{name}_gamma_{gamma}"], abs=1e-9)


def test_estimates_of_bandits_are_those_of_obp(published):
    for case in load(published / "ope/ope_oracle.json")["cases"]:
        rows, action = np.arange(case["n"]), np.array(case["action"])
        policy, model = np.array(case["action_dist"]), np.array(case["q_hat"])
        log = case["reward"], case["pscore"], policy[rows, action]
        values = {"q": model[rows, action], "v": (policy * model).sum(axis=1)}
        found = {
            "ipw": ope.ips(*log),
            "ipw_clip_2": ope.ips(*log, clip=2),
            "ipw_clip_5": ope.ips(*log, clip=5.0),
            "snipw": ope.snips(*log),
            "dm": ope.dm(values["v"]),
            "dr": ope.dr(*log, **values),
            "dr_clip_2": ope.dr(*log, clip=2, **values),
            "sndr": ope.sndr(*log, **values),
            "switch_dr_1": ope.switch(*log, threshold=1, **values),
            "switch_dr_3": ope.switch(*log, threshold=3, **values),
            "dr_os_1": ope.dros(*log, shrinkage=1, **values),
            "dr_os_10": ope.dros(*log, shrinkage=10, **values),
        }
        expected = {name: case["sb_obp_0.5.10"][name] for name in found}
        assert {name: one.value for name, one in found.items()} == pytest.approx(expected, abs=1e-9)
        other = case["vw_estimators_0.2.2"]
        assert (found["ipw"].value, found["snipw"].value) == pytest.approx((other["ips"], other["snips"]), abs=1e-9)
        assert found["ipw"].ess == pytest.approx(case["weights"]["ess"], rel=1e-12)


def test_estimates_of_episodes_are_those_of_scope_rl(published):
    """Its self-normalised estimators add 1e-10 to the denominator."""
    for case in load(published / "ope/seq_ope_oracle.json")["cases"]:
        shape = case["n_trajectories"], case["step_per_trajectory"]
        action = np.array(case["action"]).reshape(*shape, 1)
        reward, behaviour = (np.reshape(case[name], shape) for name in ("reward", "pscore"))
        policy, model = (np.reshape(case[name], (*shape, -1)) for name in ("evaluation_policy_action_dist", "q_hat"))
        target, q = (np.take_along_axis(a, action, 2)[..., 0] for a in (policy, model))
        values = {"q": q, "v": (policy * model).sum(axis=2)}
        log = reward, behaviour, target
        found = {
            "tis": ope.tis(*log),
            "pdis": ope.pdis(*log),
            "sntis": ope.sntis(*log),
            "snpdis": ope.snpdis(*log),
            "dr": ope.dr(*log, **values),
            "sndr": ope.wdr(*log, **values),
            "dm": ope.dm(values["v"][:, 0]),
        }
        expected = {name: case["scope_rl"][name] for name in found}
        assert {name: one.value for name, one in found.items()} == pytest.approx(expected, abs=1e-9)


def test_lower_bounds_and_the_choice_of_a_clip_are_those_of_obp(published):
    """Its bounds have one side: the lower end of an interval at 1 - 2 delta is one at 1 - delta."""
    case = load(published / "evaluation/lower_bounds_and_slope.json")
    weight, reward, q = (np.array(case[name]) for name in ("weight", "reward", "q"))
    behaviour = np.full(len(weight), 1 / weight.max())
    log = reward, behaviour, weight * behaviour
    level, most = 1 - 2 * case["delta"], case["x_max"]
    found = ope.ips(*log, confidence=level)
    assert ope.hoeffding(found.terms, 0, most, confidence=level)[0] == pytest.approx(case["hoeffding_lower"], abs=1e-9)
    assert ope.bernstein(found.terms, 0, most, confidence=level)[0] == pytest.approx(case["bernstein_lower"], abs=1e-9)
    assert found.ci[0] == pytest.approx(case["student_t_lower"], abs=1e-9)
    for row in case["bias_of_clipping"]:
        options = {"clip": row["clip"], "confidence": 1 - case["delta"]}
        bias = ope.clipping_bias(*log, **options)
        assert (bias.bias, bias.upper) == pytest.approx((row["bias"], row["bias_upper"]), abs=1e-9)
        assert ope.clipping_bias(*log, q=q, **options).bias == pytest.approx(row["bias_dr"], abs=1e-9)
    clipped = [ope.ips(*log, clip=clip, confidence=level) for clip in case["slope"]["clips"]]
    values, widths = [one.value for one in clipped], [one.ci[1] - one.value for one in clipped]
    assert pytest.approx(np.array(case["slope"]["value_and_width"]), abs=1e-9) == np.array([values, widths]).T
    assert case["slope"]["clips"][ope.slope(values, widths)] == case["slope"]["chosen_clip"]
