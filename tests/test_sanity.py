"""The installed package's own checks: they pass on any configuration, and each fails when its rule is broken."""

from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from alsim import sanity
from alsim.bank.items import Bank, sample_bank
from alsim.config import Config
from alsim.sanity import CHECKS, validate
from alsim.simulator.simulator import Simulator

# What is checked, in this order.
NAMES = [
    "state bounds",
    "every action",
    "mastery progression",
    "termination reasons",
    "starting mastery",
    "starting ability",
    "correct rate",
    "response times",
    "seeds",
]

ODD = {
    "the defaults": {},
    "one LO": {"num_los": 1, "num_questions_per_lo": 3},
    "huge spread of response times": {"irt": {"response_time_std": 1e6}},
    "hardly a spread of response times": {"irt": {"response_time_std": 1e-5}},
    "response times mostly cut": {"irt": {"response_time_mean": 1.0, "response_time_std": 3.0}},
    "response times at the least": {"irt": {"response_time_mean": 5.0, "response_time_std": 0}},
    "response times about the least": {"irt": {"response_time_mean": 5.0, "response_time_std": 1e-5}},
    "response times without a least": {"dynamics": {"response_time_min": 0}},
    "response times of a long least": {"dynamics": {"response_time_min": 12345.678}},
    "no spread of response times": {"irt": {"response_time_std": 0}},
    "response times always cut": {"irt": {"response_time_mean": 1.0, "response_time_std": 0}},
    "everybody as able": {"learner": {"ability_std": 0, "ability_mean": 1.3}},
    "abilities far away": {"learner": {"ability_std": 0.5, "ability_mean": -5000.3}},
    "huge spread of abilities": {"learner": {"ability_std": 1e6}},
    "mastery at both ends": {"num_los": 1, "learner": {"mastery_alpha": 0.01, "mastery_beta": 0.01}},
    "mastery at either end": {"learner": {"mastery_alpha": 1e-3, "mastery_beta": 1e-3}},
    "mastery next to nothing": {"num_los": 1, "learner": {"mastery_alpha": 1e-3, "mastery_beta": 1e6}},
    "mastery nearly always nothing": {"num_los": 1, "learner": {"mastery_alpha": 1e-3, "mastery_beta": 1}},
    "mastery all alike": {"learner": {"mastery_alpha": 1e6, "mastery_beta": 1e6}},
    "mastered before they start": {"num_los": 1, "learner": {"mastery_alpha": 50, "mastery_beta": 0.01}},
    "mastery much alike": {"learner": {"mastery_alpha": 300, "mastery_beta": 300}},
    "learning at once": {"num_los": 1, "dynamics": {"learning_rate": 1}},
    "never learning": {"dynamics": {"learning_rate": 0, "gain_noise": 0}},
    "one interaction": {"max_episode_steps": 1},
    "hard limits": {"max_episode_steps": 1, "termination": {"mastery_threshold": 0, "max_frustration": 0}},
    "long episodes": {"max_episode_steps": 1000, "num_los": 2},
    "frustrated at once": {"dynamics": {"frustration_rise": 1, "hard_rise": 1}},
    "easy questions only": {"irt": {"difficulty_ranges": {k: [-9, -9] for k in ("easy", "medium", "hard")}}},
    "certain guesses": {"irt": {"guessing_range": [0.99, 0.99]}},
    "many items": {"num_questions_per_lo": 40, "num_contents_per_lo": 13, "num_los": 4},
}


def failed(tables, bank=None, seed=0):
    """Names of the checks that fail."""
    config = Config.read(tables)
    return [f.name for f in validate(config, bank or sample_bank(config), seed) if not f.passed]


@pytest.fixture
def few(monkeypatch):
    """Few lanes, so that the interpreter keeps up; the checks widen their bounds by themselves."""
    monkeypatch.setattr(sanity, "LANES", 64)


def test_the_checks_are_those_that_were_asked_for():
    assert list(CHECKS) == NAMES


@pytest.mark.compiled
@pytest.mark.parametrize("name", ODD)
def test_every_check_passes_on_odd_configurations(name):
    """Seed 0, four statistical checks each: a false alarm has a probability under 4e-6, 1.2e-4 in all."""
    assert failed(ODD[name]) == []


@pytest.mark.compiled
def test_every_check_passes_with_any_seed():
    """Four statistical checks, each under 1e-6 for all its tests (5 + 5 + 1 + 5), 6 seeds: false alarm under 2.4e-5."""
    for seed in (1, 2, 3, 2**32, 2**64 - 2, 2**64 - 1):
        assert failed({"num_los": 5}, seed=seed) == []


@pytest.mark.compiled
def test_a_bank_of_another_size_is_validated():
    assert failed({}, bank=sample_bank(Config.read({"num_los": 3, "bank": {"seed": 4}}))) == []


def test_findings_say_what_was_compared(few):
    config = Config.read({"num_los": 2, "max_episode_steps": 4})
    findings = list(validate(config, sample_bank(config)))
    assert [f.name for f in findings] == NAMES
    assert all(f.passed for f in findings), findings
    details = {f.name: f.detail for f in findings}
    assert "Beta(2, 5)" in details["starting mastery"]
    assert "18 actions" in details["every action"]
    assert "critical_frustration" in details["termination reasons"]
    assert "the 3PL says" in details["correct rate"]


def test_of_another_dynamics_the_standards_rules_are_not_asked(monkeypatch, few):
    class Standard:
        """What the parameters are no instance of."""

    monkeypatch.setattr(sanity, "Standard", Standard)
    config = Config.read({"num_los": 2, "max_episode_steps": 4})
    findings = {f.name: f for f in validate(config, sample_bank(config))}
    assert all(f.passed for f in findings.values())
    assert findings["correct rate"].detail == "not for the dynamics Standard"
    assert findings["response times"].detail == "not for the dynamics Standard"
    assert "0 answers" in findings["mastery progression"].detail


# ── each check fails when its rule is broken ─────────────────────────────────────────────────────


def other_rules(change=lambda tables: None, change_bank=lambda bank: bank):
    """A simulator that runs under other rules than those it was asked for."""

    class Disobedient(Simulator):
        def __init__(self, config, bank, lanes, **kwargs):
            tables = config.to_dict()
            change(tables)
            super().__init__(Config.read(tables), change_bank(bank), lanes, **kwargs)

    return Disobedient


def other_results(spoil):
    """A simulator whose arrays are spoilt after each step."""

    class Spoilt(Simulator):
        def step(self, actions, mode):
            out = super().step(actions, mode)
            spoil(self, out)
            return out

    return Spoilt


def with_questions(**columns):
    """A change of a bank's questions: functions of their columns."""

    def change(bank):
        questions = bank.questions
        changed = {name: function(getattr(questions, name)) for name, function in columns.items()}
        return Bank(bank.outcomes, questions._replace(**changed), bank.contents)

    return change


def set_at(section, key, value):
    return lambda tables: tables[section].__setitem__(key, value)


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
    # what is broken: (a simulator, the checks that notice)
    "frustration above 1": (other_results(too_frustrated), {"state bounds"}),
    "mastery below 0": (other_results(below_zero), {"state bounds"}),
    "an observation that is no number": (other_results(not_a_number), {"state bounds"}),
    "an item of another cell": (other_results(next_cell), {"every action"}),
    "mastery of another outcome": (other_results(another_outcome), {"every action"}),
    "a reward that is no number": (other_results(no_reward), {"every action"}),
    "mastery falls": (other_results(forgetting), {"mastery progression"}),
    "both flags": (other_results(both_flags), {"termination reasons"}),
    "a wrong reason": (other_results(other_reason), {"termination reasons"}),
    "another learning rate": (other_rules(set_at("dynamics", "learning_rate", 0.051)), {"mastery progression"}),
    "frustration without a limit": (other_rules(set_at("termination", "max_frustration", 1)), {"termination reasons"}),
    "mastery without a limit": (other_rules(set_at("termination", "mastery_threshold", 1)), {"termination reasons"}),
    "another step limit": (other_rules(lambda t: t.update(max_episode_steps=9)), {"termination reasons"}),
    "another alpha": (other_rules(set_at("learner", "mastery_alpha", 2.1)), {"starting mastery"}),
    "another beta": (other_rules(set_at("learner", "mastery_beta", 4.8)), {"starting mastery"}),
    "mastery as it should be but for its spread": (
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
    "answers of no time": (other_rules(set_at("dynamics", "response_time_min", 0)), {"response times"}),
}


@pytest.mark.compiled
@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_rule_is_noticed_by_its_check(monkeypatch, what):
    simulator, noticing = BROKEN[what]
    monkeypatch.setattr(sanity, "Simulator", simulator)
    found = set(failed({"num_los": 5}))
    if simulator.__name__ == "Disobedient":
        assert found == noticing
    else:  # what spoils results after a step may disturb other checks
        assert noticing <= found
        assert "seeds" not in found


def in_equal_parts(law, like):
    """As many values of a law as `like` has, evenly over its quantiles, in any order."""
    shares = (np.arange(like.size) + 0.5) / like.size
    return np.random.default_rng(0).permutation(law.ppf(shares)).reshape(like.shape)


def another_mastery(simulator, out=None):
    """Uniform, with the mean 2/7 and variance 5/196 of Beta(2, 5)."""
    half = np.sqrt(3 * 5 / 196)
    simulator.mastery[:] = in_equal_parts(stats.uniform(2 / 7 - half, 2 * half), simulator.mastery)


def another_ability(simulator, out=None):
    """Mean 0, variance 1 and fourth moment 3 as of a normal: 0 for two thirds, else the root of 3 up or down."""
    law = stats.rv_discrete(values=([-1, 0, 1], [1 / 6, 2 / 3, 1 / 6]))
    simulator.population.ability[:] = np.sqrt(3) * in_equal_parts(law, simulator.population.ability)


def other_times(simulator, out=None):
    """Uniform, with the mean and variance of N(30, 10)."""
    half = np.sqrt(3) * 10
    simulator.interaction.seconds[:] = in_equal_parts(stats.uniform(30 - half, 2 * half), simulator.interaction.seconds)


def without_an_atom(simulator, out=None):
    """Times that should be at the least are 0.1 s above it: 0.6 % of the answers, 0.0006 s in the mean."""
    seconds = simulator.interaction.seconds
    seconds[seconds == 5] += np.float32(0.1)


class BegunOtherwise(Simulator):
    def begin(self, lanes):
        super().begin(lanes)
        another_mastery(self)
        another_ability(self)


SHAPES = {
    "starting mastery": BegunOtherwise,
    "starting ability": BegunOtherwise,
    "response times": other_results(other_times),
}


@pytest.mark.compiled
@pytest.mark.parametrize("name", SHAPES)
def test_a_wrong_shape_with_the_right_mean_and_variance_is_noticed(monkeypatch, name):
    """By the shares below the quantiles: without these the check passes."""
    monkeypatch.setattr(sanity, "Simulator", SHAPES[name])
    config = Config.read({"num_los": 5})
    assert not CHECKS[name](config, sample_bank(config), 0)[0]
    monkeypatch.setattr(sanity, "_shares", lambda *_: (True, ""))
    passed = CHECKS[name](config, sample_bank(config), 0)[0]
    assert passed == (name != "response times")  # whose atom is missing too


@pytest.mark.compiled
def test_a_missing_atom_of_response_times_is_noticed(monkeypatch):
    """The mean and the quantiles alone do not tell."""
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
def test_quantiles_of_the_beta_are_scipys(a, b):
    for share, quantile in zip((0.1, 0.5, 0.9), sanity.beta_quantiles(a, b), strict=True):
        # Where the quantile itself is no more a float64 than 0 or 1, its share cannot be compared.
        if 1e-300 < quantile < 1 - 1e-12:
            assert stats.beta(a, b).cdf(quantile) == pytest.approx(share, abs=1e-6)
        else:
            assert stats.beta(a, b).ppf(share) == pytest.approx(quantile, abs=1e-12)


def test_quantiles_of_impossibly_small_shapes_are_the_ends():
    assert set(sanity.beta_quantiles(5e-324, 5e-324)) <= {0.0, 1.0}
    assert sanity.beta_quantiles(5e-324, 1) == [0, 0, 0]


@pytest.mark.parametrize("n", [1, 64, 4096, 122_880])
@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 0.9])
def test_a_share_is_rare_by_the_binomial_test_too(n, p):
    """The bound is never below the probability: whatever is called rare has less than 1e-6 / 10 on its side."""
    right = np.arange(n + 1) if n < 1000 else np.arange(0, n + 1, n // 500)
    rare = np.array([sanity._rare(k / n, p, n) for k in right])
    tail = np.where(right / n > p, stats.binom.sf(right - 1, n, p), stats.binom.cdf(right, n, p))
    assert (tail[rare] < 1e-7).all()
    assert rare.any() == (tail < 1e-8).any()


def test_deviations_cover_the_normal_and_its_square():
    """Of the mean of n normals, and of n squares: no nearer than the exact quantile of half the false alarm a test."""
    n, each = 1000, 1e-6 / 5
    exact = NormalDist().inv_cdf(1 - each / 2) / np.sqrt(n)
    assert exact < sanity._within(1, 0, n) < 1.2 * exact
    exact = stats.chi2(n).isf(each / 2) / n - 1
    assert exact < sanity._within(2, 2, n) < 1.2 * exact


@pytest.mark.parametrize("what", ["frustration above 1", "an observation that is no number", "an item of another cell"])
def test_a_broken_rule_is_noticed_among_few(monkeypatch, few, what):
    simulator, noticing = BROKEN[what]
    monkeypatch.setattr(sanity, "Simulator", simulator)
    assert noticing <= set(failed({"num_los": 2, "max_episode_steps": 4}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda a: {"seed": a["seed"] + a["num_learners"]}, "NOT the same alone"),
        (lambda a: {"seed": 0}, "DOES NOT differ"),
    ],
)
def test_seeds_that_do_not_hold_are_noticed(monkeypatch, few, spoil, said):
    rollout = sanity.rollout
    monkeypatch.setattr(sanity, "rollout", lambda *p, **a: rollout(*p, **{**a, **spoil(a)}))
    config = Config.read({"num_los": 2, "max_episode_steps": 4})
    finding = next(f for f in validate(config, sample_bank(config)) if f.name == "seeds")
    assert not finding.passed
    assert said in finding.detail


def test_randomness_that_does_not_repeat_is_noticed(monkeypatch, few):
    rollout, seeds = sanity.rollout, iter(range(100))
    monkeypatch.setattr(sanity, "rollout", lambda *p, **a: rollout(*p, **{**a, "seed": next(seeds)}))
    config = Config.read({"num_los": 2, "max_episode_steps": 4})
    finding = next(f for f in validate(config, sample_bank(config)) if f.name == "seeds")
    assert not finding.passed
    assert "DIFFERENTLY" in finding.detail


def test_a_check_that_breaks_has_failed_and_the_others_run(monkeypatch, few):
    monkeypatch.setitem(CHECKS, "correct rate", lambda *_: 1 / 0)
    config = Config.read({"num_los": 2, "max_episode_steps": 4})
    findings = {f.name: f for f in validate(config, sample_bank(config))}
    assert list(findings) == NAMES
    assert findings.pop("correct rate") == ("correct rate", False, "ZeroDivisionError: division by zero")
    assert all(f.passed for f in findings.values())
