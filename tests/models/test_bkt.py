"""Bayesian knowledge tracing against enumeration of all paths, numerical derivatives, simulation and published runs."""

import csv
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alsim.models import ModelError, Responses, load_fit, score
from alsim.models.bkt import BKT, BKTFit, fit
from alsim.models.bkt.skill import PARAMETERS

SKILLS = [
    BKT(),
    BKT(0.5, 0.2, 0.3, 0.15, 0.1),
    BKT(0.9, 0.01, 0.6, 0.7, 0.4),
    BKT(0.0, 0.3, 0.2, 0.1),
    BKT(1.0, 0.3, 0.0, 0.2, 0.25),
]


def paths(skill: BKT, correct: Any) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every path of hidden states with its joint probability with the responses, by the definition."""
    for states in itertools.product((0, 1), repeat=len(correct)):
        chance = skill.p_init if states[0] else 1 - skill.p_init
        for t, state in enumerate(states):
            right = 1 - skill.p_slip if state else skill.p_guess
            chance *= right if correct[t] else 1 - right
            if t + 1 < len(states):
                up = 1 - skill.p_forget if state else skill.p_learn
                chance *= up if states[t + 1] else 1 - up
        yield states, chance


def likelihood(skill: BKT, correct: Any) -> float:
    return sum(chance for _, chance in paths(skill, correct))


def forecasts(skill: BKT, correct: Any) -> list[float]:
    """P(correct at t | before) as a ratio of likelihoods."""
    return [
        likelihood(skill, [*correct[:t], 1]) / (likelihood(skill, correct[:t]) if t else 1) for t in range(len(correct))
    ]


def simulate(skill: BKT, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Responses of chains; the last axis is time."""
    generator = np.random.default_rng(seed)
    known = generator.random(shape[:-1]) < skill.p_init
    correct = np.empty(shape, np.int8)
    for t in range(shape[-1]):
        correct[..., t] = generator.random(known.shape) < np.where(known, 1 - skill.p_slip, skill.p_guess)
        known = generator.random(known.shape) < np.where(known, 1 - skill.p_forget, skill.p_learn)
    return correct


def log_of(correct: np.ndarray) -> Responses:
    """Responses (K, S, T) of S students to K skills as a log."""
    skill, student, _ = np.indices(correct.shape)
    return Responses.from_arrays(student.ravel(), correct.ravel(), skill=skill.ravel())


def small_log(seed: int = 0, students: int = 30) -> Responses:
    """Two skills, chains of 1 to 5 responses."""
    generator = np.random.default_rng(seed)
    rows = [
        (s, k, c)
        for s in range(students)
        for k, skill in enumerate((SKILLS[0], SKILLS[1]))
        for c in simulate(skill, (int(generator.integers(1, 6)),), 1000 * seed + 2 * s + k)
    ]
    student, skill, correct = zip(*rows, strict=True)
    return Responses.from_arrays(student, correct, skill=skill)


def chains(log: Responses) -> dict[tuple[int, int], list[int]]:
    """The responses of each student to each skill."""
    found: dict[tuple[int, int], list[int]] = {}
    for r in range(len(log)):
        for x in range(log.skill_start[r], log.skill_start[r + 1]):
            found.setdefault((int(log.student[r]), int(log.skill[x])), []).append(int(log.correct[r]))
    return found


def log_likelihood(log: Responses, skills: dict[str, BKT]) -> float:
    """By enumeration, weights included."""
    return sum(
        log.weight[s] * np.log(likelihood(skills[str(log.skills[k])], correct))
        for (s, k), correct in chains(log).items()
    )


def parameters(found: BKTFit) -> dict[str, BKT]:
    return {name: skill.parameters for name, skill in found.skills.items()}


# ── one skill ────────────────────────────────────────────────────────────────────────────────────


def test_default_parameters() -> None:
    assert BKT() == BKT(p_init=0.3, p_learn=0.1, p_guess=0.2, p_slip=0.1, p_forget=0.0)


def test_update_and_predict_are_bayes_rule() -> None:
    """Correct: .27 / (.27 + .14). Wrong: .03 / (.03 + .56). Then a tenth of the rest is learnt."""
    skill = BKT()
    assert skill.predict(0.3) == pytest.approx(0.41, abs=1e-15)
    after = skill.update([0.3, 0.3], [1, 0])
    np.testing.assert_allclose(after, [27 / 41 + 14 / 41 / 10, 3 / 59 + 56 / 59 / 10], rtol=1e-14)
    assert isinstance(skill.update(0.3, True), float)
    assert skill.update(np.full((2, 3), 0.3), np.ones(3)).shape == (2, 3)


def test_an_impossible_response_changes_no_probability() -> None:
    assert BKT(p_slip=0).update(1.0, 0) == 1.0
    assert BKT(p_guess=0).update(0.0, 1) == 0.1
    with pytest.raises(ModelError, match="have probability 0 under BKT"):
        BKT(p_init=1, p_slip=0).forward_backward([1, 0])
    with pytest.raises(ModelError, match="have probability 0 under BKT"):
        BKT(p_init=1, p_slip=0).viterbi([1, 0])


@pytest.mark.parametrize("skill", SKILLS, ids=str)
def test_forward_backward_and_viterbi_are_the_sum_and_the_largest_of_all_paths(skill: BKT) -> None:
    generator = np.random.default_rng(1)
    for length in (1, 2, 3, 7):
        correct = generator.integers(0, 2, length)
        every = dict(paths(skill, correct))
        total = sum(every.values())
        found = skill.forward_backward(correct)
        assert found.log_likelihood == pytest.approx(np.log(total), rel=1e-12)
        known = [sum(chance for states, chance in every.items() if states[t]) / total for t in range(length)]
        np.testing.assert_allclose(found.known, known, rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(found.forecast, forecasts(skill, correct), rtol=1e-11)
        best = skill.viterbi(correct)
        assert every[tuple(best.astype(int).tolist())] == pytest.approx(max(every.values()), rel=1e-12)


def test_forecasts_are_those_of_update_and_predict() -> None:
    correct = simulate(SKILLS[1], (50,), 3)
    p, expected = SKILLS[1].p_init, []
    for answer in correct:
        expected.append(SKILLS[1].predict(p))
        p = SKILLS[1].update(p, answer)
    np.testing.assert_allclose(SKILLS[1].forward_backward(correct).forecast, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "correct",
    [np.ones(6_000), np.zeros(6_000), np.arange(6_000) % 2, np.repeat([1, 0, 1, 0], 1_500)],
    ids=["correct", "wrong", "alternating", "spells"],
)
@pytest.mark.parametrize("skill", [SKILLS[0], SKILLS[1]], ids=["learns", "forgets"])
def test_long_chains_do_not_underflow(skill: BKT, correct: np.ndarray) -> None:
    found = skill.forward_backward(correct)
    assert np.isfinite(found.log_likelihood)
    assert found.log_likelihood < 0
    for values in (found.known, found.forecast):
        assert ((values >= 0) & (values <= 1)).all()
    if correct.all() and not skill.p_forget:  # then the skill ends known, and each further response costs log(1 - slip)
        assert np.log(found.forecast[-1]) == pytest.approx(np.log(0.9), rel=1e-12)
    states = skill.viterbi(correct)
    assert states.shape == correct.shape


def test_chains_computed_in_logarithms_match_the_definition() -> None:
    """Without learning or forgetting there are two paths, however long: their odds are products, here of 1e-2000."""
    skill = BKT(p_init=0.5, p_learn=0, p_guess=0.2, p_slip=0.1)
    correct = np.repeat([1, 0], [2000, 1446])
    log_odds = 2000 * np.log(0.9 / 0.2) + 1446 * np.log(0.1 / 0.8)
    found = skill.forward_backward(correct)
    assert abs(log_odds) < 3
    np.testing.assert_allclose(found.known, 1 / (1 + np.exp(-log_odds)), rtol=1e-9)
    known = np.log(0.5) + 2000 * np.log(0.9) + 1446 * np.log(0.1)
    assert found.log_likelihood == pytest.approx(known + np.log1p(np.exp(-log_odds)), rel=1e-13)
    assert skill.viterbi(correct).all() == (log_odds > 0)


def test_chains_computed_in_logarithms_have_right_counts() -> None:
    """EM steps with a long chain raise the likelihood, and end at the rates of the two changes of state."""
    correct = np.repeat([1, 0, 1], 700)
    log = Responses.from_arrays(np.zeros(2100, int), correct, skill=np.zeros(2100, int))
    values = [
        fit(log, forgets=True, max_iterations=n, accelerate=False, errors=False).log_likelihood for n in (1, 2, 3)
    ]
    assert values[0] < values[1] < values[2] < 0
    found = fit(log, forgets=True).skills["0"].parameters
    assert found.p_slip < 0.01  # spells of knowing and of not knowing explain all
    assert found.p_guess < 0.01
    assert found.p_forget == pytest.approx(1 / 1400, rel=0.01)  # of 1400 known opportunities one was followed by a loss
    assert found.p_learn == pytest.approx(1 / 700, rel=0.01)


def test_long_evidence_is_not_rounded_away() -> None:
    """Thirty correct responses leave (2/9)^30 < 1e-16 for not knowing; 25 wrong ones, at 8 to 1, bring it back."""
    correct = [1] * 30 + [0] * 25
    skill = BKT(p_init=0.5, p_learn=1e-9, p_guess=0.2, p_slip=0.1)
    odds = (0.9 / 0.2) ** 30 * (0.1 / 0.8) ** 25 / (1 - 1e-9) ** 54
    # Paths with learning on the way add less than 1e-6 to the odds of having known the skill from the start.
    last = skill.forward_backward(correct).known[-1]
    assert last / (1 - last) == pytest.approx(odds, rel=1e-6)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), True, "0.5", None])
def test_parameters_are_probabilities(value: Any) -> None:
    with pytest.raises(ModelError, match=r"p_learn must be a probability, a number in \[0, 1\]; got"):
        BKT(p_learn=value)


@pytest.mark.parametrize("call", [BKT().forward_backward, BKT().viterbi])
@pytest.mark.parametrize("correct", [[], [[1, 0]], 1, [0.5], [2], ["1"], [float("nan")]])
def test_responses_are_0_or_1(call: Callable[[Any], Any], correct: Any) -> None:
    with pytest.raises(ModelError, match="responses (of a student )?must be"):
        call(correct)


def test_p_is_a_probability() -> None:
    for p in (-0.1, [0.5, 1.5], float("nan")):
        with pytest.raises(ModelError, match=r"p must be the probability that the skill is known, in \[0, 1\]; got"):
            BKT().predict(p)


# ── the maximum ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("options", [{}, {"forgets": True, "max_iterations": 30}], ids=str)
def test_the_log_likelihood_is_that_of_all_paths(options: dict[str, Any]) -> None:
    log = small_log()
    found = fit(log, **options)
    assert found.log_likelihood == pytest.approx(log_likelihood(log, parameters(found)), rel=1e-12)
    assert found.converged or options
    assert found.num_responses == len(log) == sum(skill.responses for skill in found.skills.values())


@pytest.mark.heavy
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accelerate": False},
        {"forgets": True, "bounded": False, "priors": {"p_slip": (2, 8), "p_init": (3, 3)}},
        {"student_sd": 1.0, "forgets": True},
    ],
    ids=str,
)
def test_the_objective_never_falls(options: dict[str, Any]) -> None:
    log, many = small_log(1), [*range(1, 12), 20, 21, 22, 40]
    values = [fit(log, max_iterations=n, errors=False, tolerance=0, **options).penalised for n in many]
    assert min(np.diff(values)) > -1e-10  # rounding of a sum of hundreds
    assert values[-1] > values[0]


@pytest.mark.compiled
def test_accelerated_em_reaches_the_same_maximum() -> None:
    log = log_of(simulate(SKILLS[1], (2, 100, 8), 5))
    fast = fit(log, forgets=True)
    slow = fit(log, forgets=True, accelerate=False, tolerance=1e-11, max_iterations=100_000)
    assert fast.iterations < slow.iterations
    assert fast.log_likelihood == pytest.approx(slow.log_likelihood, abs=1e-4)


def test_too_few_iterations_do_not_converge() -> None:
    found = fit(small_log(), max_iterations=3)
    assert not found.converged
    assert found.iterations == 3
    assert {skill.converged for skill in found.skills.values()} == {False}


@pytest.mark.compiled
def test_maximum_with_scipy() -> None:
    """The oracle is L-BFGS-B on the likelihood of all paths."""
    from scipy.optimize import minimize

    log = small_log(2, students=25)
    one = log.take(np.flatnonzero(log.skill == 1))
    patterns: dict[tuple[int, ...], int] = {}
    for correct in chains(one).values():
        patterns[tuple(correct)] = patterns.get(tuple(correct), 0) + 1

    def cost(x: np.ndarray) -> float:
        return -sum(n * np.log(likelihood(BKT(*x), correct)) for correct, n in patterns.items())

    low, high = 1e-6, 0.5
    limits = [(low, 1 - low), (low, 1 - low), (low, high), (low, high)]
    best = min(minimize(cost, x, bounds=limits).fun for x in ([0.3, 0.1, 0.2, 0.1], [0.6, 0.4, 0.1, 0.3]))
    assert fit(one, starts=5).log_likelihood == pytest.approx(-best, abs=2e-4)  # scipy's are kept from 0 and 1


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("correct", [[[1]], [[0]], [[1] * 9], [[0] * 9], [[1], [0]], [[0, 1]]], ids=str)
def test_few_and_uniform_responses(correct: list[list[int]], forgets: bool) -> None:
    log = log_of(np.array(correct)[None])
    found = fit(log, forgets=forgets)
    assert found.converged
    assert np.isfinite(found.log_likelihood)
    assert np.isfinite(found.predict(log)).all()
    skill = found.skills["0"]
    assert skill.parameters.p_guess <= 0.5
    assert skill.parameters.p_slip <= 0.5
    json.dumps(found.to_dict(), allow_nan=False)


def test_all_correct_has_the_likelihood_one() -> None:
    found = fit(log_of(np.ones((1, 5, 6), int)))
    assert found.log_likelihood == pytest.approx(0, abs=1e-6)
    assert found.skills["0"].parameters.p_slip == 0


def test_active_bounds_are_listed() -> None:
    """The true p_guess, 0.8, is above the bound of a half."""
    log = log_of(simulate(BKT(0.2, 0.1, 0.8, 0.05), (1, 100, 5), 7))
    bounded, free = fit(log).skills["0"], fit(log, bounded=False).skills["0"]
    assert bounded.parameters.p_guess == 0.5
    assert "p_guess" in bounded.at_bounds
    assert bounded.se["p_guess"] is None
    assert free.parameters.p_guess > 0.6
    assert "p_guess" not in free.at_bounds
    assert free.log_likelihood > bounded.log_likelihood
    narrow = fit(log, bounds={"p_guess": (0.1, 0.3), "p_learn": (0.2, 0.25)}).skills["0"].parameters
    assert narrow.p_guess == 0.3
    assert 0.2 <= narrow.p_learn <= 0.25


def test_fixed_parameters_stay() -> None:
    log = small_log()
    found = fit(log, fixed={"p_guess": 0.25, "p_forget": 0.02})
    for skill in found.skills.values():
        assert (skill.parameters.p_guess, skill.parameters.p_forget) == (0.25, 0.02)
        assert skill.se["p_guess"] is None
        assert not {"p_guess", "p_forget"} & set(skill.at_bounds)
    everything = fit(log, fixed={name: getattr(SKILLS[1], name) for name in PARAMETERS})
    assert everything.converged
    assert everything.log_likelihood == pytest.approx(log_likelihood(log, dict.fromkeys(("0", "1"), SKILLS[1])))


def test_impossible_responses_are_refused() -> None:
    log = log_of(np.array([[[1, 0, 1]]]))
    with pytest.raises(ModelError, match="some responses to skill '0' have probability 0 under the fixed parameters"):
        fit(log, fixed={"p_init": 1, "p_slip": 0})


def test_the_mode_of_the_posterior_has_no_slope() -> None:
    """The derivative of log-likelihood and log-density, by enumeration, is 0 in each parameter."""
    log, priors = small_log(3), dict.fromkeys(PARAMETERS, (2.0, 5.0))
    found = fit(log, forgets=True, priors=priors, bounded=False, tolerance=1e-12)
    best = found.skills["0"].parameters
    own = [c for (_, k), c in chains(log).items() if log.skills[k] == "0"]

    def value(skill: BKT) -> float:
        density = sum(np.log(getattr(skill, name)) + 4 * np.log(1 - getattr(skill, name)) for name in PARAMETERS)
        return sum(np.log(likelihood(skill, c)) for c in own) + density

    for name in PARAMETERS:
        p, h = getattr(best, name), 1e-5
        up, down = ({**vars(best), name: p + d} for d in (h, -h))
        assert abs(value(BKT(**up)) - value(BKT(**down))) / (2 * h) < 1e-2  # of a curvature of hundreds
    total = sum(
        np.log(getattr(s, name)) + 4 * np.log(1 - getattr(s, name))
        for s in parameters(found).values()
        for name in PARAMETERS
    )
    assert found.penalised == pytest.approx(found.log_likelihood + total, rel=1e-12)


def test_a_weight_counts_as_that_many_students() -> None:
    correct = simulate(SKILLS[1], (1, 12, 5), 9)
    times = np.arange(12) % 3 + 1
    one = log_of(correct)
    object.__setattr__(one, "weight", times[[int(s) for s in one.students]].astype(float))
    many = fit(log_of(np.repeat(correct, times, axis=1)), forgets=True)
    weighted = fit(one, forgets=True)
    assert weighted.log_likelihood == pytest.approx(many.log_likelihood, rel=1e-9)
    assert weighted.log_likelihood == pytest.approx(log_likelihood(one, parameters(weighted)), rel=1e-12)


def test_a_weight_of_0_has_no_effect() -> None:
    """Not even if the responses are impossible at the maximum, where p_guess and p_slip are 0."""
    matrix = np.array([[1, 0], [0, 1], [1, 1]])
    weighted = Responses.from_matrix(matrix, skills=["a", "a"], weight=[0, 2, 1])
    found = fit(weighted, forgets=False)
    assert found.log_likelihood == pytest.approx(fit(weighted.subset([1, 2])).log_likelihood, abs=1e-9)
    assert found.converged


@pytest.mark.heavy
def test_a_skill_does_not_depend_on_when_others_converge() -> None:
    """Skills that have converged are dropped, and the others are renumbered, with their items and leaps."""
    several = [item_log(seed, 20) for seed in range(5)]
    parts = [(log, [f"skill{k}"] * len(log)) for k, log in enumerate(several)]
    together = Responses.from_arrays(
        np.concatenate([log.student for log, _ in parts]),
        np.concatenate([log.correct for log, _ in parts]),
        skill=np.concatenate([skill for _, skill in parts]),
        item=np.concatenate([log.items[log.item] for log, _ in parts]),
    )
    options: dict[str, Any] = {"by_item": ["p_guess"], "priors": {"p_slip": (2, 6)}, "forgets": True}
    found = fit(together, **options).skills
    assert len({skill.iterations for skill in found.values()}) > 3
    for k, log in enumerate(several):
        (alone,) = fit(log, **options).skills.values()
        ours = found[f"skill{k}"]
        assert ours.log_likelihood == pytest.approx(alone.log_likelihood, rel=1e-8)
        for name in PARAMETERS:  # sums in another order make for other leaps
            assert getattr(ours.parameters, name) == pytest.approx(getattr(alone.parameters, name), abs=1e-4)
        for item, own in ours.items.items():
            assert own["p_guess"] == pytest.approx(alone.items[item]["p_guess"], abs=1e-4)


def test_several_starts_are_no_worse_than_one_and_reproducible() -> None:
    log = small_log(4)
    poor = fit(log, bounded=False, start=BKT(0.1, 0.1, 0.9, 0.9))
    several = fit(log, bounded=False, start=BKT(0.1, 0.1, 0.9, 0.9), starts=6, seed=1)
    assert several.log_likelihood >= poor.log_likelihood
    for name, skill in several.skills.items():
        assert skill.log_likelihood >= poor.skills[name].log_likelihood
    again = fit(log, bounded=False, start=BKT(0.1, 0.1, 0.9, 0.9), starts=6, seed=1)
    assert again.to_dict() == several.to_dict()


def test_progress_counts_skills() -> None:
    calls: list[tuple[int, int, str]] = []
    fit(small_log(), starts=2, progress=lambda *call: calls.append(call))
    assert calls[-1][:2] == (4, 4)
    assert all(a[0] <= b[0] for a, b in itertools.pairwise(calls))


@pytest.mark.compiled
def test_many_skills_of_one_response() -> None:
    log = Responses.from_arrays(np.arange(3000), np.arange(3000) % 2, skill=np.arange(3000))
    found = fit(log)
    assert len(found.skills) == 3000
    assert found.converged


# ── items, students, several skills ──────────────────────────────────────────────────────────────


def item_log(seed: int = 0, students: int = 400) -> Responses:
    """Two items of one skill in turn: one guessed with .1, one with .4."""
    generator = np.random.default_rng(seed)
    known = generator.random(students) < 0.3
    rows = []
    for t in range(8):
        item = (np.arange(students) + t) % 2
        chance = np.where(known, 0.9, np.where(item == 0, 0.1, 0.4))
        correct = generator.random(students) < chance
        rows.append((np.arange(students), item, correct))
        known |= generator.random(students) < 0.15
    student, item, correct = (np.stack(part, axis=1).ravel() for part in zip(*rows, strict=True))
    return Responses.from_arrays(
        student, correct.astype(int), skill=["fractions"] * len(student), item=[f"item{i}" for i in item]
    )


def test_guessing_by_item() -> None:
    """3200 responses: the standard error of each is below .03, and both lie within four of them."""
    log = item_log()
    found, plain = fit(log, by_item=["p_guess"]), fit(log)
    items = found.skills["fractions"].items
    assert set(items) == {"item0", "item1"}
    for name, truth in (("item0", 0.1), ("item1", 0.4)):
        guess, se = items[name]["p_guess"], items[name]["se_p_guess"]
        assert guess is not None
        assert se is not None
        assert se < 0.03
        assert abs(guess - truth) < 4 * se
    assert found.log_likelihood > plain.log_likelihood + 10
    assert score(log.correct, found.predict(log)).log_loss < score(log.correct, plain.predict(log)).log_loss
    mean = np.mean([items[name]["p_guess"] for name in items])  # as many responses to each
    assert found.skills["fractions"].parameters.p_guess == pytest.approx(mean)
    assert found.skills["fractions"].se["p_guess"] is None


def test_classes_of_items_share_parameters() -> None:
    log = item_log(1, 60)
    together = fit(log, by_item=("p_guess", "p_slip", "p_learn"), classes={"item0": "all", "item1": "all"})
    assert together.log_likelihood == pytest.approx(fit(log).log_likelihood, abs=1e-5)
    assert set(together.skills["fractions"].items) == {"all"}
    assert set(fit(log, by_item="p_slip", classes={"item0": "easy"}).skills["fractions"].items) == {"easy", "item1"}


def test_names_of_classes_and_items_may_be_numbers() -> None:
    log = item_log(1, 60)
    named = Responses.from_arrays(log.student, log.correct, skill=["x"] * len(log), item=log.item)
    found = fit(named, by_item=["p_guess"], classes={0: 7, 1: 8}, errors=False)
    assert set(found.skills["x"].items) == {"7", "8"}
    np.testing.assert_array_equal(found.predict(named), fit(log, by_item=["p_guess"], errors=False).predict(log))


def test_an_unknown_item_has_the_mean_parameters_of_its_skill() -> None:
    found = fit(item_log(1, 60), by_item=["p_guess"])
    other = Responses.from_arrays(["a"] * 2, [1, 0], skill=["fractions"] * 2, item=["new", "new"])
    skill = found.skills["fractions"].parameters
    np.testing.assert_allclose(found.predict(other), forecasts(skill, [1, 0]), rtol=1e-12)


@pytest.mark.compiled
def test_students_with_offsets() -> None:
    """Half of the students know every skill at first and half know none; the offsets separate them."""
    good = simulate(BKT(0.95, 0.05, 0.2, 0.1), (6, 60, 4), 11)
    poor = simulate(BKT(0.05, 0.05, 0.2, 0.1), (6, 60, 4), 12)
    log = log_of(np.concatenate([good, poor], axis=1))
    plain, found = fit(log), fit(log, student_sd=2.0)
    assert found.converged
    offsets = np.array([found.students[str(s)] for s in range(120)])
    assert offsets[:60].mean() > offsets[60:].mean() + 2
    assert found.log_likelihood > plain.log_likelihood
    assert found.penalised == pytest.approx(found.log_likelihood - (offsets**2).sum() / 8)
    assert score(log.correct, found.predict(log)).auc > score(log.correct, plain.predict(log)).auc
    stranger = Responses.from_arrays(["new"], [1], skill=["0"])
    assert found.predict(stranger)[0] == pytest.approx(forecasts(found.skills["0"].parameters, [1])[0])


def test_the_mode_with_offsets_has_no_slope() -> None:
    log = small_log(6, students=8)
    found = fit(log, student_sd=1.5, fixed={"p_learn": 0.1, "p_guess": 0.2, "p_slip": 0.1}, tolerance=1e-13)
    inits = {k: skill.parameters.p_init for k, skill in found.skills.items()}
    offsets = [found.students[str(s)] for s in log.students]

    def value(inits: dict[str, float], offsets: list[float]) -> float:
        total = -sum(o**2 for o in offsets) / (2 * 1.5**2)
        for (s, k), correct in chains(log).items():
            init = inits[str(log.skills[k])]
            odds = init / (1 - init) * np.exp(offsets[s])
            total += np.log(likelihood(BKT(odds / (1 + odds)), correct))
        return total

    assert found.penalised == pytest.approx(value(inits, offsets), rel=1e-12)
    h = 1e-4
    for name in inits:
        up, down = ({**inits, name: inits[name] + d} for d in (h, -h))
        assert abs(value(up, offsets) - value(down, offsets)) / (2 * h) < 1e-3
    for s in range(len(offsets)):
        up_, down_ = ([o + d * (i == s) for i, o in enumerate(offsets)] for d in (h, -h))
        assert abs(value(inits, up_) - value(inits, down_)) / (2 * h) < 1e-4


def test_forecasts_with_huge_offsets_are_finite() -> None:
    found = fit(small_log(6, students=8), student_sd=1.5, max_iterations=5, errors=False)
    log = Responses.from_arrays(["high", "low"], [1, 1], skill=["0", "0"])
    far = replace(found, students={"high": 1e4, "low": -1e4})
    skill = found.skills["0"].parameters
    np.testing.assert_allclose(far.predict(log), [1 - skill.p_slip, skill.p_guess], rtol=1e-9)


def test_skills_and_students_without_responses() -> None:
    """Logs of some students keep the names of all skills."""
    log = Responses.from_arrays([0, 0, 1], [1, 0, 1], skill=["a", "a", "b"])
    for options in ({}, {"student_sd": 1.0}, {"by_item": ["p_slip"]}):
        found = fit(log.subset([0]), **options)
        assert set(found.skills) == {"a"}
        assert found.converged
        assert found.predict(log).shape == (3,)
        assert found.predict(log.subset([])).shape == (0,)


def test_each_skill_of_a_response_sees_it() -> None:
    log = Responses.from_arrays([0, 0, 0, 1], [1, 0, 1, 1], skill=[["a", "b"], ["a"], ["b", "c"], ["c"]])
    found = fit(log, fixed={name: getattr(SKILLS[1], name) for name in PARAMETERS})
    expected = sum(np.log(likelihood(SKILLS[1], c)) for c in ([1, 0], [1, 1], [1], [1]))
    assert found.log_likelihood == pytest.approx(expected, rel=1e-12)
    assert {name: skill.responses for name, skill in found.skills.items()} == {"a": 2, "b": 2, "c": 2}
    f = forecasts(SKILLS[1], [1, 0])
    second = forecasts(SKILLS[1], [1, 1])[1]
    np.testing.assert_allclose(found.predict(log), [f[0], f[1], (second + f[0]) / 2, f[0]], rtol=1e-12)


# ── forecasts, files ─────────────────────────────────────────────────────────────────────────────


def test_forecasts_are_those_of_all_paths() -> None:
    log = small_log()
    found = fit(log, forgets=True, max_iterations=20, errors=False)
    expected: dict[tuple[int, int], list[float]] = {
        (s, k): forecasts(found.skills[str(log.skills[k])].parameters, c) for (s, k), c in chains(log).items()
    }
    want = [expected[int(log.student[r]), int(log.skill[r])].pop(0) for r in range(len(log))]
    np.testing.assert_allclose(found.predict(log), want, rtol=1e-11)


def test_an_unknown_skill_has_the_mean_parameters() -> None:
    found = fit(small_log())
    known = next(iter(found.skills))  # responses without any known skill are refused
    other = Responses.from_arrays([*"xxxy"], [1, 1, 0, 1], skill=["new", "other", "new", known])
    counts = [skill.responses for skill in found.skills.values()]
    mean = BKT(
        *(np.average([getattr(s.parameters, n) for s in found.skills.values()], weights=counts) for n in PARAMETERS)
    )
    first, second = forecasts(mean, [1, 0])
    np.testing.assert_allclose(found.predict(other)[:3], [first, first, second], rtol=1e-12)


def test_saved_json_has_the_keys_and_loads_as_the_same_fit(tmp_path: Path) -> None:
    for found in (fit(small_log()), fit(item_log(1, 60), by_item=["p_guess"], student_sd=1, classes={"item0": "x"})):
        path = found.save(tmp_path / "fit.json")
        content = json.loads(path.read_text())
        assert {"skills", "log_likelihood"} <= content.keys()
        for skill in content["skills"].values():
            assert {*PARAMETERS, "log_likelihood", "iterations", "converged", "responses"} <= skill.keys()
        again = load_fit(path)
        assert isinstance(again, BKTFit)
        assert again == found
        assert [row["skill"] for row in found.table()] == list(found.skills)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["skills"]["0"].update(p_init=2), "p_init must be a probability"),
        (lambda c: c["skills"]["0"].pop("p_slip"), "'p_slip' is missing"),
        (lambda c: c["skills"]["0"].update(log_likelihood="x"), "log_likelihood must be a finite number; got 'x'"),
        (lambda c: c["skills"]["0"].update(items={"i": {"p_guess": 7}}), "of skill '0' must be probabilities"),
        (lambda c: c.update(by_item=["p_init"]), "by_item must contain only"),
        (lambda c: c["skills"]["0"].update(items={"i": {"p_guess": 0.5, "se_p_guess": "x"}}), "se_p_guess"),
        (lambda c: c["skills"]["0"].update(responses=0), "responses must be an integer of at least 1; got 0"),
        (lambda c: c["skills"]["0"].update(converged="no"), "converged must be true or false; got 'no'"),
        (lambda c: c.update(iterations=1.5), "iterations must be an integer of at least 0; got 1.5"),
        (lambda c: c.update(skills={}), "skills must contain at least one skill"),
        (lambda c: c.update(skills=[1]), "not a valid fit of 'bkt': .*items"),
        (lambda c: c.update(students=[1]), "not a valid fit of 'bkt': .*index"),
        (lambda c: c.update(classes=[1]), "not a valid fit"),
        (lambda c: c.update(model=["bkt"]), "is a fit of"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    path = fit(small_log()).save(tmp_path / "fit.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=message):
        load_fit(path)


def test_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    for path, fault in ((tmp_path, "cannot be read"), (tmp_path / "none.json", "there is no such file; check")):
        with pytest.raises(ModelError, match=fault):
            load_fit(path)


# ── standard errors ──────────────────────────────────────────────────────────────────────────────


def test_standard_errors_are_those_of_the_curvature() -> None:
    """Second differences of the likelihood of all paths, inverted."""
    log = log_of(simulate(SKILLS[1], (1, 200, 5), 13))
    found = fit(log, forgets=True, bounded=False, priors=dict.fromkeys(PARAMETERS, (2, 3)), tolerance=1e-12).skills["0"]
    patterns: dict[tuple[int, ...], int] = {}
    for correct in chains(log).values():
        patterns[tuple(correct)] = patterns.get(tuple(correct), 0) + 1
    best = np.array([getattr(found.parameters, name) for name in PARAMETERS])

    def value(x: np.ndarray) -> float:
        density = (np.log(x) + 2 * np.log(1 - x)).sum()
        return float(sum(n * np.log(likelihood(BKT(*x), c)) for c, n in patterns.items()) + density)

    h, hessian = 1e-4, np.empty((5, 5))
    for i, j in itertools.product(range(5), repeat=2):
        a, b = np.eye(5)[i] * h, np.eye(5)[j] * h
        hessian[i, j] = (
            (value(best + a + b) - value(best + a - b) - value(best - a + b) + value(best - a - b)) / 4 / h**2
        )
    expected = np.sqrt(np.diag(np.linalg.inv(-hessian)))
    np.testing.assert_allclose([found.se[name] for name in PARAMETERS], expected, rtol=2e-3)


def test_parameters_that_are_not_identified_have_no_standard_error() -> None:
    """A single response per student identifies one number only, not p_init, p_guess and p_slip."""
    found = fit(log_of(np.array([[[1], [0], [1]]]))).skills["0"]
    assert set(found.se.values()) == {None}
    assert fit(small_log(), errors=False).skills["0"].se["p_init"] is None
    # If a slip is as likely as a guess, responses do not depend on the state.
    blind = fit(small_log(), fixed={"p_guess": 0.5, "p_slip": 0.5}).skills["0"]
    assert set(blind.se.values()) == {None}


def test_a_skill_with_too_many_parameters_has_no_standard_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their information would take the square of their number in memory."""
    monkeypatch.setattr("alsim.models.bkt.standard_errors.MAX_FREE_PARAMETERS", 4)
    few, many = fit(item_log(1, 60)), fit(item_log(1, 60), by_item=["p_guess"])
    assert any(value is not None for value in few.skills["fractions"].se.values())
    assert all(value is None for value in many.skills["fractions"].se.values())


@pytest.mark.ci
@pytest.mark.compiled
@pytest.mark.versionless
def test_standard_errors_and_estimates_under_simulation() -> None:
    """200 logs of 1000 students: z = (estimate - truth) / se is standard normal.

    The mean of z has a standard error of .07, that of z^2 of .1: four of either have a false alarm of 6e-5 each, to
    which .1 is allowed for what n = 1000 leaves of bias.
    """
    truth = BKT(0.4, 0.2, 0.2, 0.1, 0.1)
    found = fit(log_of(simulate(truth, (200, 1000, 8), 17)), forgets=True)
    for name in PARAMETERS:
        pairs = [(getattr(s.parameters, name), s.se[name]) for s in found.skills.values()]
        z = np.array([(p - getattr(truth, name)) / se for p, se in pairs if se is not None])
        assert len(z) > 190
        assert abs(z.mean()) < 4 / len(z) ** 0.5 + 0.1
        assert abs((z**2).mean() - 1) < 4 * (2 / len(z)) ** 0.5 + 0.1


# ── published data ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def tutor(published: Path) -> Responses:
    with (published / "bkt_cognitive_tutor" / "responses.csv").open() as file:
        rows = list(csv.DictReader(file))
    column = {name: [row[name] for row in rows] for name in rows[0]}
    return Responses.from_arrays(
        column["Anon Student Id"],
        [int(c) for c in column["Correct First Attempt"]],
        skill=column["KC(Default)"],
        order=[int(r) for r in column["Row"]],
    )


def iterates(published: Path) -> dict[str, Any]:
    return dict(json.loads((published / "bkt_cognitive_tutor" / "em_iterates.json").read_text())["skills"])


TUTOR: dict[str, Any] = {"bounded": False, "start": BKT(0.5, 0.2, 0.2, 0.1), "errors": False}


@pytest.mark.parametrize("iteration", [1, 2, 3, 4, 5, 10, 50, 100])
@pytest.mark.compiled
def test_em_is_the_published_one_iterate_by_iterate(tutor: Responses, published: Path, iteration: int) -> None:
    found = fit(tutor, max_iterations=iteration, accelerate=False, tolerance=0, **TUTOR)
    for name, skill in iterates(published).items():
        (published_,) = [i for i in skill["iterates"] if i.get("iter") == iteration]
        ours = found.skills[name]
        for name_, theirs in (("init", "prior"), ("learn", "learn"), ("guess", "guess"), ("slip", "slip")):
            assert getattr(ours.parameters, f"p_{name_}") == pytest.approx(published_[theirs], abs=1e-6)
        assert ours.log_likelihood == pytest.approx(published_["loglik"], abs=1e-6)


@pytest.mark.compiled
def test_the_maximum_is_the_published_one(tutor: Responses, published: Path) -> None:
    found = fit(tutor, **TUTOR)
    for name, skill in iterates(published).items():
        ours = found.skills[name]
        assert ours.converged
        assert ours.log_likelihood == pytest.approx(skill["converged"]["loglik"], abs=1e-3)
        own = tutor.take(np.flatnonzero(tutor.skill == list(tutor.skills).index(name)))
        scores = score(own.correct, found.predict(own))
        assert scores.auc == pytest.approx(skill["converged"]["auc"], abs=2e-3)
        assert scores.rmse == pytest.approx(skill["converged"]["rmse"], abs=5e-4)


@pytest.mark.ci
@pytest.mark.compiled
def test_starts_agree_on_real_sets(published: Path) -> None:
    files = sorted((published / "glops").glob("*.txt"))
    assert len(files) == 14
    for file in files:
        rows = [line.split() for line in file.read_text().splitlines() if line.split()]
        student = np.repeat(np.arange(len(rows)), [len(row) - 1 for row in rows])
        correct = [int(c) for row in rows for c in row[1:]]
        log = Responses.from_arrays(student, correct, skill=["one"] * len(correct))
        for forgets in (False, True):
            ours = [fit(log, forgets=forgets, starts=n, errors=False, seed=n).log_likelihood for n in (1, 8)]
            assert ours[0] == pytest.approx(ours[1], abs=1e-3), file.name
        values = [fit(log, max_iterations=n, tolerance=0, errors=False).log_likelihood for n in (1, 2, 4, 8, 16, 32)]
        assert min(np.diff(values)) > -1e-10


def three_lines(file: Path) -> Responses:
    """Read a file with three lines per student: count, skills, responses."""
    lines = [line.strip(", \n") for line in file.read_text().splitlines()]
    skills, answers = ([line.split(",") for line in lines[k::3]] for k in (1, 2))
    student = np.repeat(np.arange(len(skills)), [len(row) for row in skills])
    return Responses.from_arrays(
        student, [int(c) for row in answers for c in row], skill=[k for row in skills for k in row]
    )


@pytest.mark.ci
@pytest.mark.compiled
def test_assist2015(published: Path) -> None:
    """The maximum by plain EM, at a tolerance of 1e-12: -255257.8299 and, with forgetting, -254554.7345."""
    folder = published / "kt_assist2015"
    train, test = three_lines(folder / "train.csv"), three_lines(folder / "test.csv")
    for forgets, auc, highest in ((False, 0.704, -255257.8299), (True, 0.706, -254554.7345)):
        found = fit(train, forgets=forgets, errors=False)
        assert found.converged
        assert found.log_likelihood == pytest.approx(highest, abs=1e-3)
        assert score(test.correct, found.predict(test)).auc >= auc


@pytest.mark.compiled
def test_synthetic5_with_the_true_concepts(published: Path) -> None:
    """An independent implementation reached .793."""
    aucs = []
    for version in range(3):
        matrix = np.loadtxt(published / "kt_synthetic5" / f"v{version}.csv", delimiter=",", dtype=int)
        info = (published / "kt_synthetic5" / f"v{version}_info.txt").read_text().splitlines()
        concept = [line.replace("\t", ",").split(",")[2] for line in info]
        skill = np.tile(concept, 2000)
        student = np.repeat(np.arange(2000), 50)
        train, test = (
            Responses.from_arrays(student, part.ravel(), skill=skill) for part in (matrix[:2000], matrix[2000:])
        )
        aucs.append(score(test.correct, fit(train, errors=False).predict(test)).auc)
    assert np.mean(aucs) == pytest.approx(0.793, abs=0.02), aucs


# ── invalid arguments ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"starts": 0}, "starts must be an integer of at least 1; got 0"),
        ({"max_iterations": 1.5}, "max_iterations must be an integer of at least 1; got 1.5"),
        ({"tolerance": -1}, "tolerance must be a finite number of at least 0; got -1"),
        ({"student_sd": float("nan")}, "student_sd must be a finite number of at least 0; got nan"),
        ({"bounds": {"p_gess": (0, 1)}}, "bounds must contain only .*; got 'p_gess'"),
        ({"bounds": {"p_guess": (0.5, 0.1)}}, "the bounds of p_guess must be probabilities"),
        ({"bounds": {"p_guess": 0.5}}, "the bounds of p_guess must be probabilities"),
        ({"bounds": {"p_forget": (0, 0.1)}}, "bounds on p_forget need forgetting: pass forgets=True"),
        ({"fixed": {"p_guess": 1.5}}, "fixed p_guess must be a probability"),
        ({"fixed": {"guess": 0.5}}, "fixed must contain only .*; got 'guess'"),
        (
            {"priors": {"p_guess": (0.5, 1)}},
            r"the prior of p_guess must be \(alpha, beta\), both numbers of at least 1",
        ),
        ({"priors": {"p_guess": (float("nan"), 1)}}, "the prior of p_guess"),
        ({"priors": {"p_guess": ("a", 1)}}, "the prior of p_guess"),
        ({"start": {"p_init": 0.5}}, "start must be a BKT"),
        ({"by_item": ["p_init"]}, "by_item must contain only p_learn, p_guess, p_slip; got 'p_init'"),
        ({"classes": {"a": "b"}}, "by_item is empty"),
        ({"seed": -1}, "seed must be an integer of at least 0; got -1"),
        ({"fixed": ["p_guess"]}, r"fixed must be a dictionary, such as .*; got \['p_guess'\]"),
        ({"by_item": ["p_slip"], "classes": ["a"]}, "classes must be a dictionary"),
        ({"by_item": 5}, "by_item must contain only p_learn, p_guess, p_slip; got 5"),
        ({"start": BKT(p_slip=0)}, "EM never leaves p_slip = 0"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        fit(small_log(), **options)


def test_a_log_without_responses_is_refused() -> None:
    log = small_log().subset([])
    with pytest.raises(ModelError, match="the log has none"):
        fit(log)
    with pytest.raises(ModelError, match="is fitted to Responses; got list"):
        fit([[0, 1]])  # type: ignore[arg-type]  # the wrong type is tested


# ── identification ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.compiled
@pytest.mark.parametrize("errors", [True, False])
def test_skills_with_one_response_per_student_are_not_identified(errors):
    random = np.random.default_rng(0)
    log = Responses.from_matrix(random.integers(0, 2, (100, 3)))
    fitted = fit(log, errors=errors)
    assert not any(skill.identified for skill in fitted.skills.values())
    assert fitted.notes[0].startswith("3 of 3 skills are not identified: 0, 1, 2; ")
    assert "3 of 3 skills are not identified" in fitted.caveats
    assert {row["identified"] for row in fitted.table()} == {"no"}
    assert BKTFit.from_dict(fitted.to_dict()).notes == fitted.notes
    one = fit(log, errors=errors, fixed={"p_init": 0.3, "p_learn": 0.1, "p_slip": 0.1})
    assert one.notes == ()  # the share of correct responses determines p_guess


@pytest.mark.compiled
def test_priors_and_longer_sequences_identify_parameters():
    random = np.random.default_rng(0)
    single = Responses.from_matrix(random.integers(0, 2, (100, 1)))
    priors = dict.fromkeys(("p_init", "p_learn", "p_guess", "p_slip"), (2.0, 2.0))
    assert fit(single, priors=priors).notes == ()
    known = random.random(500) < 0.4
    rows = []
    for _ in range(6):
        rows.append(random.random(500) < np.where(known, 0.9, 0.2))
        known |= random.random(500) < 0.2
    long = Responses.from_arrays(np.tile(np.arange(500), 6), np.concatenate(rows).astype(int), skill=["x"] * 3000)
    fitted = fit(long)
    assert fitted.skills["x"].identified and fitted.notes == () and fitted.caveats == ()
