"""The sanity checks: they pass under any configuration, and each fails when its rule is broken."""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pytest
from by_dynamics import case
from scipy import stats

from alsim.bank.items import Bank, sample_bank
from alsim.config import Config
from alsim.dynamics import DYNAMICS, register_dynamics, standard
from alsim.dynamics.standard import Standard
from alsim.jit.compile import COMPILED, rule
from alsim.sanity import bounds
from alsim.sanity import checks as sanity
from alsim.sanity.checks import CHECKS, validate
from alsim.simulator.simulator import Simulator
from alsim.types import Outcome

# The checks in their order.
NAMES = [
    "rules on examples",
    "vector environment",
    "state bounds",
    "every action",
    "mastery progression",
    "termination reasons",
    "starting mastery",
    "starting ability",
    "population",
    "classes",
    "correct rate",
    "chance of answers",
    "response times",
    "clock",
    "seeds",
]

UNUSUAL = {
    "the defaults": {},
    "one LO": {"num_los": 1, "num_questions_per_lo": 3},
    "huge spread of response times": {"irt": {"response_time_std": 1e6}},
    "tiny spread of response times": {"irt": {"response_time_std": 1e-5}},
    "most response times at the minimum": {"irt": {"response_time_mean": 1.0, "response_time_std": 3.0}},
    "mean response time at the minimum": {"irt": {"response_time_mean": 5.0, "response_time_std": 0}},
    "response times near the minimum": {"irt": {"response_time_mean": 5.0, "response_time_std": 1e-5}},
    "response times without a minimum": {"dynamics": {"response_time_min": 0}},
    "long minimum response time": {"dynamics": {"response_time_min": 12345.678}},
    "no spread of response times": {"irt": {"response_time_std": 0}},
    "all response times at the minimum": {"irt": {"response_time_mean": 1.0, "response_time_std": 0}},
    "equal abilities": {"learner": {"ability_std": 0, "ability_mean": 1.3}},
    "extreme abilities": {"learner": {"ability_std": 0.5, "ability_mean": -5000.3}},
    "huge spread of abilities": {"learner": {"ability_std": 1e6}},
    "mastery near 0 and 1, one LO": {"num_los": 1, "learner": {"mastery_alpha": 0.01, "mastery_beta": 0.01}},
    "mastery near 0 and 1": {"learner": {"mastery_alpha": 1e-3, "mastery_beta": 1e-3}},
    "tiny mastery": {"num_los": 1, "learner": {"mastery_alpha": 1e-3, "mastery_beta": 1e6}},
    "mastery nearly always 0": {"num_los": 1, "learner": {"mastery_alpha": 1e-3, "mastery_beta": 1}},
    "equal mastery": {"learner": {"mastery_alpha": 1e6, "mastery_beta": 1e6}},
    "mastered at the start": {"num_los": 1, "learner": {"mastery_alpha": 50, "mastery_beta": 0.01}},
    "nearly equal mastery": {"learner": {"mastery_alpha": 300, "mastery_beta": 300}},
    "learning rate 1": {"num_los": 1, "dynamics": {"learning_rate": 1}},
    "no learning": {"dynamics": {"learning_rate": 0, "gain_noise": 0}},
    "one interaction": {"max_episode_steps": 1},
    "episodes that end at once": {
        "max_episode_steps": 1,
        "termination": {"mastery_threshold": 0, "max_frustration": 0},
    },
    "long episodes": {"max_episode_steps": 1000, "num_los": 2},
    "frustrated at once": {"dynamics": {"frustration_rise": 1, "hard_rise": 1}},
    "easy questions only": {"irt": {"difficulty_ranges": {k: [-9, -9] for k in ("easy", "medium", "hard")}}},
    "certain guesses": {"irt": {"guessing_range": [0.99, 0.99]}},
    "many items": {"num_questions_per_lo": 40, "num_contents_per_lo": 13, "num_los": 4},
}


def failed(tables, bank=None, seed=0):
    """Return the names of the checks that fail."""
    config = Config.read(tables)
    return [f.name for f in validate(config, bank or sample_bank(config), seed) if f.passed is False]


@pytest.fixture
def few(monkeypatch):
    """Use few lanes, so that tests are fast without compilation; the checks adapt their bounds."""
    monkeypatch.setattr(sanity, "LANES", 64)
    monkeypatch.setattr(sanity, "EPISODES", 64)


class Knowing(NamedTuple):
    """Parameters of a dynamics that is not the standard one."""

    boost: float = 1.0


@pytest.fixture
def own_dynamics():
    """Register a dynamics that is not the standard one; return its name."""

    @rule
    def study(p, learner, item, draws):
        after, _ = standard.study(Standard(*map(np.float32, Standard())), learner, item, draws)
        mastery = after.mastery * p.boost
        return after._replace(mastery=mastery), Outcome(correct=False, gain=mastery - learner.mastery)

    @rule
    def answer(p, learner, item, draws):
        return standard.answer(Standard(*map(np.float32, Standard())), learner, item, draws)

    register_dynamics("knowing", Knowing, answer, study)
    return "knowing"


def test_names_and_order_of_the_checks():
    assert list(CHECKS) == NAMES


@pytest.mark.compiled
@pytest.mark.parametrize(
    "name", ["the defaults", *(pytest.param(name, marks=pytest.mark.ci) for name in UNUSUAL if name != "the defaults")]
)
def test_checks_pass_under_unusual_configurations(name):
    """Seed 0, four statistical checks each: the probability of a false alarm is below 4e-6, and 1.2e-4 in all."""
    assert failed(UNUSUAL[name]) == []


@pytest.mark.ci
@pytest.mark.compiled
def test_checks_pass_with_any_seed():
    """Four statistical checks, each below 1e-6 for all its tests, and 6 seeds: false alarm below 2.4e-5."""
    for seed in (1, 2, 3, 2**32, 2**64 - 2, 2**64 - 1):
        assert failed({"num_los": 5}, seed=seed) == []


@pytest.mark.compiled
def test_bank_of_another_size():
    assert failed({}, bank=sample_bank(Config.read({"num_los": 3, "bank": {"seed": 4}}))) == []


@pytest.mark.heavy
def test_details_of_findings(few):
    config = Config.read({"num_los": 2, "max_episode_steps": 4})
    findings = list(validate(config, sample_bank(config)))
    assert [f.name for f in findings] == NAMES
    assert all(f.passed for f in findings), findings
    details = {f.name: f.detail for f in findings}
    assert "Beta(2, 5)" in details["starting mastery"]
    assert "18 actions" in details["every action"]
    assert "critical_frustration" in details["termination reasons"]
    assert "the 3PL says" in details["correct rate"]


@pytest.mark.heavy
@pytest.mark.skipif(COMPILED, reason="the interpreter runs the same checks without compiling these rules")
def test_rules_of_the_standard_dynamics_are_skipped_for_others(own_dynamics, few):
    """A check without data has not passed, and it is not counted as passed."""
    config = Config.read({"num_los": 2, "max_episode_steps": 4, "dynamics": own_dynamics})
    findings = {f.name: f for f in validate(config, sample_bank(config))}
    skipped = {name for name, f in findings.items() if f.passed is None}
    assert skipped == {"mastery progression", "correct rate", "chance of answers", "response times"}
    for name in skipped - {"chance of answers"}:
        assert findings[name].detail == "there is no second formula of the rules of 'knowing'"
    assert findings["chance of answers"].detail.startswith("the dynamics 'knowing' declares no chance")
    assert all(f.passed for name, f in findings.items() if name not in skipped), findings
    assert "rules of 'knowing' give valid results" in findings["rules on examples"].detail


def test_invalid_rules_fail_once_and_the_other_checks_are_skipped(own_dynamics, few):
    """The rules are valid with the default parameters only."""
    tables = {"num_los": 2, "max_episode_steps": 4, "dynamics": {"name": own_dynamics, "boost": 2}}
    config = Config.read(tables)
    first, *others = validate(config, sample_bank(config))
    assert (first.name, first.passed) == ("rules on examples", False)
    assert "returns mastery = " in first.detail and "boost=2" in first.detail
    assert {f.passed for f in others} == {None}
    assert {f.detail for f in others} == {"the rules of the dynamics are invalid"}


def other_rules(change=lambda tables: None, change_bank=lambda bank: bank):
    """Return a simulator class that runs under other rules than those that it receives."""

    class OtherRules(Simulator):
        def __init__(self, config, bank, lanes, **kwargs):
            tables = config.to_dict()
            change(tables)
            super().__init__(Config.read(tables), change_bank(bank), lanes, **kwargs)

    return OtherRules


def set_at(section, key, value):
    return lambda tables: tables[section].__setitem__(key, value)


# ── other dynamics, and populations ──────────────────────────────────────────────────────────────

OWN = tuple(name for name, known in DYNAMICS.items() if known.parameters.__module__.startswith("alsim."))
LEARNERS = {
    "num_los": 5,
    "max_episode_steps": 40,
    "curriculum": [[0, 1], [1, 2], [0, 2], [3, 4]],
    "sessions": {"interactions": 6, "break_hours": 24.0},
    "classes": {"size": 3, "mastery_std": 0.5, "ability_std": 1.5},
    "population": [
        {"share": 0.3, "name": "slow", "dynamics": {"response_time_min": 20.0}, "learner": {"mastery_alpha": 4.0}},
        {"share": 0.5, "learner": {"ability_mean": 1.0, "ability_std": 0.3}},
        {"share": 0.2, "dynamics": {"ability_gain": 0.05}},
    ],
}
OF_DYNAMICS = {
    "bkt": {"p_forget": 0.05, "p_guess": "item"},
    "fatigue": {"learning_loss": 0.9, "slowing": 2.0},
    "half-life": {"strength": 1.0, "ability_weight": 0.5},
    "fsrs": {"strength": 1.0, "ability_weight": 0.5},
}
"""Parameters that make the effects of a dynamics large."""


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "population"),
    [case(name, p, quick=False, compiled=p or name == "standard") for name in OWN for p in (True, False)],
)
def test_all_checks_run_and_pass_for_every_dynamics_of_the_package(name, population, few):
    """Seed 0; five statistical checks each: the probability of a false alarm is below 5e-5 in all."""
    tables = {**LEARNERS, "max_episode_steps": 8, "dynamics": {"name": name, **OF_DYNAMICS.get(name, {})}}
    if not population:
        del tables["population"], tables["sessions"], tables["classes"]
    config = Config.read(tables)
    findings = list(validate(config, sample_bank(config)))
    assert [f.passed for f in findings] == [True] * len(NAMES), findings


@pytest.mark.compiled
@pytest.mark.parametrize("name", [case(name) for name in OWN])
def test_checks_pass_for_every_dynamics_with_many_learners(name):
    """As above: below 3e-5 in all."""
    assert failed({**LEARNERS, "dynamics": {"name": name, **OF_DYNAMICS.get(name, {})}}) == []


@pytest.mark.ci
def test_a_population_of_a_thousand_rows(few):
    rows = [{"share": 0.001, "dynamics": {"learning_rate": k / 1000, "response_time_min": k / 50}} for k in range(1000)]
    config = Config.read({"num_los": 2, "max_episode_steps": 4, "population": rows})
    findings = {f.name: f for f in validate(config, sample_bank(config))}
    assert all(f.passed for f in findings.values()), findings
    assert "16 of 1000 kinds of learners" in findings["rules on examples"].detail
    assert "keep their rows of 1,000 and have their" in findings["population"].detail


@pytest.mark.ci
def test_details_name_the_rules_of_the_dynamics(few):
    details = {}
    for name in OWN:
        config = Config.read({**LEARNERS, "dynamics": name})
        for check in ("starting mastery", "starting ability", "correct rate", "response times", "clock"):
            details[name, check] = CHECKS[check](config, sample_bank(config), 0)[1]
    assert "the 3PL with mastery says" in details["linked", "correct rate"]
    assert "the model of slips and guesses says" in details["bkt", "correct rate"]
    assert "p_init says 0.3000" in details["bkt", "starting mastery"]
    assert details["fatigue", "response times"].endswith("; without fatigue")
    assert "distributions have" in details["standard", "starting ability"]
    assert "3 breaks each" in details["standard", "clock"]


BROKEN_DYNAMICS = {
    # dynamics, broken parameter: (another value, names of the checks that fail)
    ("linked", "mastery_weight"): (1.5, {"correct rate"}),
    ("prerequisites", "strength"): (1.1, {"mastery progression"}),
    ("fatigue", "learning_loss"): (0.8, {"mastery progression"}),
    ("fatigue", "slowing"): (2.4, {"response times"}),
    ("bkt", "p_init"): (0.4, {"starting mastery"}),
    ("bkt", "p_learn"): (0.15, {"mastery progression"}),
    ("bkt", "p_forget"): (0.1, {"mastery progression"}),
    ("bkt", "p_slip"): (0.15, {"correct rate"}),
    ("half-life", "right_weight"): (0.3, {"mastery progression"}),
    ("half-life", "strength"): (1.1, {"mastery progression"}),
    ("fsrs", "w6"): (3.1, {"mastery progression"}),
    ("fsrs", "ability_weight"): (1.0, {"correct rate"}),
}


@pytest.mark.compiled
@pytest.mark.parametrize(("name", "parameter"), [case(*broken, quick=False) for broken in BROKEN_DYNAMICS])
def test_a_broken_rule_of_a_dynamics_fails_its_check(monkeypatch, name, parameter):
    value, expected = BROKEN_DYNAMICS[name, parameter]
    monkeypatch.setattr(sanity, "Simulator", other_rules(set_at("dynamics", parameter, value)))
    found = set(failed({**LEARNERS, "dynamics": {"name": name, **OF_DYNAMICS.get(name, {})}}))
    assert found == {*expected, "population"}  # the parameters of learners are not those of their row


def other_shares(tables):
    tables["population"][0]["share"], tables["population"][1]["share"] = 0.4, 0.4


def other_classes(**values):
    """Return a simulator class whose learners, if they have classes, have these settings of classes."""
    return other_rules(lambda tables: tables["classes"] and tables["classes"].update(values))


BROKEN_LEARNERS = {
    "another spread of ability between classes": (other_classes(ability_std=2.0), {"classes"}),
    "another spread of mastery between classes": (other_classes(mastery_std=0.7), {"classes"}),
    "smaller classes": (other_classes(size=2), {"classes"}),
    "another parameter of a row": (
        other_rules(lambda t: t["population"][2]["dynamics"].update(ability_gain=0.06)),
        {"population"},
    ),
    "other starts of a row": (
        other_rules(lambda t: t["population"][0].setdefault("learner", {}).update(mastery_alpha=5)),
        {"starting mastery"},
    ),
    "another ability of a row": (
        other_rules(lambda t: t["population"][1].setdefault("learner", {}).update(ability_mean=1.2)),
        {"starting ability"},
    ),
    "longer breaks": (other_rules(set_at("sessions", "break_hours", 25)), {"clock"}),
}


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize("name", BROKEN_LEARNERS)
def test_learners_of_another_population_fail_their_check(monkeypatch, name):
    simulator, expected = BROKEN_LEARNERS[name]
    monkeypatch.setattr(sanity, "Simulator", simulator)
    assert set(failed(LEARNERS)) == expected


@pytest.mark.ci
@pytest.mark.compiled
def test_other_shares_fail(monkeypatch):
    monkeypatch.setattr(sanity, "Simulator", other_rules(other_shares))
    assert "population" in failed(LEARNERS)


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_a_wrong_chance_fails(monkeypatch, factor):
    original = sanity.TruthReplay.__call__

    def wrong(self, run):
        truth = original(self, run)
        return truth._replace(chance=truth.chance * np.float32(factor))

    monkeypatch.setattr(sanity.TruthReplay, "__call__", wrong)
    monkeypatch.setattr(sanity, "EPISODES", 4096)
    assert failed({"num_los": 5}) == ["chance of answers"]


# ── each check fails when its rule is broken ─────────────────────────────────────────────────────


def other_results(change):
    """Return a simulator class whose arrays are changed after each step."""

    class OtherResults(Simulator):
        def step(self, actions, mode):
            out = super().step(actions, mode)
            change(self, out)
            return out

    return OtherResults


def with_questions(**columns):
    """Return a function that changes columns of a bank's questions, each by a function."""

    def change(bank):
        questions = bank.questions
        changed = {name: function(getattr(questions, name)) for name, function in columns.items()}
        return Bank(bank.outcomes, questions._replace(**changed), bank.contents)

    return change


def too_frustrated(simulator, out):
    simulator.observation[7, -2] = 1.5


def below_zero(simulator, out):
    simulator.observation[7, 0] = -0.01


def not_a_number(simulator, out):
    simulator.observation[7, -1] = np.nan


def next_cell(simulator, out):
    simulator.interaction.item[:] = np.roll(simulator.interaction.item, 1)


def another_outcome(simulator, out):
    simulator.mastery[0, 1] += np.float32(0.01)


def no_reward(simulator, out):
    out.reward[3] = np.inf


def forgetting(simulator, out):
    simulator.mastery[:, :] *= np.float32(0.999)


def both_flags(simulator, out):
    out.truncated[:] |= out.terminated


def other_reason(simulator, out):
    out.reason[out.reason == 3] = 2


BROKEN = {
    # broken rule: (simulator class, names of the checks that fail)
    "frustration above 1": (other_results(too_frustrated), {"state bounds"}),
    "mastery below 0": (other_results(below_zero), {"state bounds"}),
    "an observation that is NaN": (other_results(not_a_number), {"state bounds"}),
    "an item of another cell": (other_results(next_cell), {"every action"}),
    "mastery of another outcome": (other_results(another_outcome), {"every action"}),
    "an infinite reward": (other_results(no_reward), {"every action"}),
    "mastery falls": (other_results(forgetting), {"mastery progression"}),
    "both flags": (other_results(both_flags), {"termination reasons"}),
    "a wrong reason": (other_results(other_reason), {"termination reasons"}),
    "another learning rate": (other_rules(set_at("dynamics", "learning_rate", 0.051)), {"mastery progression"}),
    "frustration without a limit": (other_rules(set_at("termination", "max_frustration", 1)), {"termination reasons"}),
    "mastery without a limit": (other_rules(set_at("termination", "mastery_threshold", 1)), {"termination reasons"}),
    "another step limit": (other_rules(lambda t: t.update(max_episode_steps=9)), {"termination reasons"}),
    "another alpha": (other_rules(set_at("learner", "mastery_alpha", 2.1)), {"starting mastery"}),
    "another beta": (other_rules(set_at("learner", "mastery_beta", 4.8)), {"starting mastery"}),
    "another spread of mastery": (
        other_rules(lambda t: t["learner"].update(mastery_alpha=2.2, mastery_beta=5.5)),
        {"starting mastery"},
    ),
    "another mean ability": (other_rules(set_at("learner", "ability_mean", 0.15)), {"starting ability"}),
    "another spread of ability": (other_rules(set_at("learner", "ability_std", 1.15)), {"starting ability"}),
    "harder questions": (
        other_rules(change_bank=with_questions(irt_b=lambda b: b + np.float32(0.2))),
        {"correct rate"},
    ),
    "less guessing": (other_rules(change_bank=with_questions(irt_c=lambda c: c * np.float32(0.8))), {"correct rate"}),
    "slower answers": (
        other_rules(change_bank=with_questions(response_time_mean=lambda m: m + np.float32(0.5))),
        {"response times"},
    ),
    "no minimum response time": (other_rules(set_at("dynamics", "response_time_min", 0)), {"response times"}),
}


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.parametrize("name", BROKEN)
def test_broken_rule_fails_its_check(monkeypatch, name):
    simulator, expected = BROKEN[name]
    monkeypatch.setattr(sanity, "Simulator", simulator)
    names = set(failed({"num_los": 5}))
    if simulator.__name__ == "OtherRules":
        assert names == expected
    else:  # changed results may affect other checks, too
        assert expected <= names
        assert "seeds" not in names


def even_sample(distribution, like):
    """Return values at evenly spaced quantiles of a distribution, shuffled, in the shape of `like`."""
    shares = (np.arange(like.size) + 0.5) / like.size
    return np.random.default_rng(0).permutation(distribution.ppf(shares)).reshape(like.shape)


def another_mastery(simulator, out=None):
    """Replace mastery by uniform values, with the mean 2/7 and variance 5/196 of Beta(2, 5)."""
    half = np.sqrt(3 * 5 / 196)
    simulator.mastery[:] = even_sample(stats.uniform(2 / 7 - half, 2 * half), simulator.mastery)


def another_ability(simulator, out=None):
    """Replace ability by three values with the mean 0, variance 1 and fourth moment 3 of the normal."""
    distribution = stats.rv_discrete(values=([-1, 0, 1], [1 / 6, 2 / 3, 1 / 6]))
    simulator.learners.ability[:] = np.sqrt(3) * even_sample(distribution, simulator.learners.ability)


def other_times(simulator, out=None):
    """Replace response times by uniform values, with the mean and variance of N(30, 10)."""
    half = np.sqrt(3) * 10
    simulator.interaction.seconds[:] = even_sample(stats.uniform(30 - half, 2 * half), simulator.interaction.seconds)


def without_an_atom(simulator, out=None):
    """Move times at the minimum up by 0.1 s: 0.6 % of the answers, and 0.0006 s in the mean."""
    seconds = simulator.interaction.seconds
    seconds[seconds == 5] += np.float32(0.1)


class OtherStart(Simulator):
    def begin(self, lanes):
        super().begin(lanes)
        another_mastery(self)
        another_ability(self)


SHAPES = {
    "starting mastery": OtherStart,
    "starting ability": OtherStart,
    "response times": other_results(other_times),
}


@pytest.mark.compiled
@pytest.mark.parametrize("name", SHAPES)
def test_wrong_distribution_with_the_right_mean_and_variance_fails(monkeypatch, name):
    """The shares below the quantiles differ; without them, the check passes."""
    monkeypatch.setattr(sanity, "Simulator", SHAPES[name])
    config = Config.read({"num_los": 5})
    assert not CHECKS[name](config, sample_bank(config), 0)[0]
    monkeypatch.setattr(sanity, "check_shares", lambda *_: (True, ""))
    passed = CHECKS[name](config, sample_bank(config), 0)[0]
    assert passed == (name != "response times")  # its atom is missing, too


@pytest.mark.compiled
def test_missing_atom_of_response_times_fails(monkeypatch):
    """The share of times at the minimum differs; mean and quantiles do not."""
    monkeypatch.setattr(sanity, "Simulator", other_results(without_an_atom))
    config = Config.read({"num_los": 5})
    passed, detail = CHECKS["response times"](config, sample_bank(config), 0)
    assert not passed
    assert "0.00 % at 5 s; the rule says 30.020 s, 5 s, 0.62 %" in detail
    monkeypatch.setattr(sanity, "Simulator", Simulator)
    assert CHECKS["response times"](config, sample_bank(config), 0)[0]


# ── the checks' own arithmetic ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("a", [1e-3, 0.1, 1, 2, 300, 1e6])
@pytest.mark.parametrize("b", [1e-3, 0.3, 1, 5, 300, 1e6])
def test_beta_quantiles_equal_those_of_scipy(a, b):
    for share, quantile in zip((0.1, 0.5, 0.9), bounds.beta_quantiles(a, b), strict=True):
        # Shares cannot be compared if the quantile is rounded to 0 or 1.
        if 1e-300 < quantile < 1 - 1e-12:
            assert stats.beta(a, b).cdf(quantile) == pytest.approx(share, abs=1e-6)
        else:
            assert stats.beta(a, b).ppf(share) == pytest.approx(quantile, abs=1e-12)


def test_beta_quantiles_of_tiny_parameters():
    assert set(bounds.beta_quantiles(5e-324, 5e-324)) <= {0.0, 1.0}
    assert bounds.beta_quantiles(5e-324, 1) == [0, 0, 0]


@pytest.mark.parametrize("n", [1, 64, 4096, 122_880])
@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 0.9])
def test_rare_shares_are_rare_by_the_binomial_test(n, p):
    """The bound is conservative: a share counts as rare only if its one-sided probability is below 1e-6 / 10."""
    counts = np.arange(n + 1) if n < 1000 else np.arange(0, n + 1, n // 500)
    rare = np.array([bounds.is_rare(k / n, p, n) for k in counts])
    tail = np.where(counts / n > p, stats.binom.sf(counts - 1, n, p), stats.binom.cdf(counts, n, p))
    assert (tail[rare] < 1e-7).all()
    assert rare.any() == (tail < 1e-8).any()


def test_mean_bound_for_the_normal_and_its_square():
    """The bound is above the exact quantile of the mean of n normals and of n squares, by less than 20 %."""
    n, false_alarm = 1000, 1e-6 / 5
    exact = NormalDist().inv_cdf(1 - false_alarm / 2) / np.sqrt(n)
    assert exact < bounds.mean_bound(1, 0, n) < 1.2 * exact
    exact = stats.chi2(n).isf(false_alarm / 2) / n - 1
    assert exact < bounds.mean_bound(2, 2, n) < 1.2 * exact


@pytest.mark.ci
@pytest.mark.parametrize("name", ["frustration above 1", "an observation that is NaN", "an item of another cell"])
def test_broken_rule_fails_its_check_with_few_lanes(monkeypatch, few, name):
    simulator, expected = BROKEN[name]
    monkeypatch.setattr(sanity, "Simulator", simulator)
    assert expected <= set(failed({"num_los": 2, "max_episode_steps": 4}))


@pytest.mark.ci
@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda a: {"seed": a["seed"] + a["num_learners"]}, "NOT the same alone"),
        (lambda a: {"seed": 0}, "DOES NOT differ"),
    ],
)
def test_ignored_seed_fails(monkeypatch, few, change, detail):
    rollout = sanity.rollout
    monkeypatch.setattr(sanity, "rollout", lambda *p, **a: rollout(*p, **{**a, **change(a)}))
    config = Config.read({"num_los": 2, "max_episode_steps": 4})
    finding = next(f for f in validate(config, sample_bank(config)) if f.name == "seeds")
    assert not finding.passed
    assert detail in finding.detail


@pytest.mark.heavy
def test_results_that_do_not_repeat_fail(monkeypatch, few):
    rollout, seeds = sanity.rollout, iter(range(100))
    monkeypatch.setattr(sanity, "rollout", lambda *p, **a: rollout(*p, **{**a, "seed": next(seeds)}))
    config = Config.read({"num_los": 2, "max_episode_steps": 4})
    finding = next(f for f in validate(config, sample_bank(config)) if f.name == "seeds")
    assert not finding.passed
    assert "DIFFERENTLY" in finding.detail


@pytest.mark.heavy
def test_error_in_a_check_fails_it_and_the_others_run(monkeypatch, few):
    monkeypatch.setitem(CHECKS, "correct rate", lambda *_: 1 / 0)
    config = Config.read({"num_los": 2, "max_episode_steps": 4})
    findings = {f.name: f for f in validate(config, sample_bank(config))}
    assert list(findings) == NAMES
    assert findings.pop("correct rate") == ("correct rate", False, "ZeroDivisionError: division by zero")
    assert all(f.passed for f in findings.values())
