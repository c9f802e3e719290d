"""Student models against numbers from outside: enumeration, quadrature, and published worked examples of ratings."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import integrate

from alsim.models import Responses
from alsim.models.irt import ItemParameters
from alsim.models.student import AbilityModel, BKTModel, EloModel, GlickoModel, Items, PFAModel
from alsim.models.student.glicko import POINTS, START_SD, attenuation, rate


def follow(model, items, correct):
    """State of one student after responses."""
    students = model.start(1)
    for i, c in zip(items, correct, strict=True):
        model.update(students, [i], [c])
    return students


# ── Bayesian knowledge tracing ───────────────────────────────────────────────────────────────────


def enumerated(correct, p_init, p_learn, p_guess, p_slip, p_forget):
    """Probability of knowing at the next opportunity, by a sum over all paths of states."""
    known = total = 0.0
    for path in product((0, 1), repeat=len(correct) + 1):
        weight = p_init if path[0] else 1 - p_init
        for t, c in enumerate(correct):
            right = 1 - p_slip if path[t] else p_guess
            weight *= right if c else 1 - right
            forward = (1 - p_forget) if path[t] else p_learn
            weight *= forward if path[t + 1] else 1 - forward
        total += weight
        known += weight * path[-1]
    return known / total


@pytest.mark.parametrize("correct", [*product((0, 1), repeat=5)])
@pytest.mark.parametrize("p_forget", [0.0, 0.15])
def test_bkt_is_the_sum_over_all_paths(correct, p_forget):
    p = (0.3, 0.1, 0.2, 0.1, p_forget)
    students = follow(BKTModel(1, *p), [0] * 5, correct)
    expected = enumerated(correct, *p)
    assert students["known"][0, 0] == pytest.approx(expected, rel=1e-12)
    assert students["unknown"][0, 0] == pytest.approx(1 - expected, rel=1e-10)
    chance = expected * 0.9 + (1 - expected) * 0.2
    assert BKTModel(1, *p).chance(students, [0])[0] == pytest.approx(chance, rel=1e-12)


def test_bkt_defaults_are_those_of_the_dynamics():
    model = BKTModel(1)
    assert model.mastery(model.start(1))[0, 0] == 0.3
    assert model.chances(model.start(1))[0, 0] == pytest.approx(0.3 * 0.9 + 0.7 * 0.2)


def test_a_content_teaches_an_unknown_skill():
    model = BKTModel(2, p_content=0.3)
    students = follow(model, [1], [-1])
    assert model.mastery(students)[0].tolist() == pytest.approx([0.3, 0.3 + 0.7 * 0.3])


def test_bkt_recovers_from_long_runs_of_correct_answers():
    """The probability of not knowing stays positive, so that wrong answers still count."""
    model = BKTModel(1)
    students = follow(model, [0] * 200, [1] * 100 + [0] * 100)
    assert model.mastery(students)[0, 0] < 0.5


# ── item response theory ─────────────────────────────────────────────────────────────────────────

A, B, C = np.array([0.8, 1.5, 1.1, 2.0]), np.array([-1.0, 0.3, 1.2, 0.0]), np.array([0.1, 0.2, 0.25, 0.0])


def curve(theta, i):
    """The three-parameter logistic model."""
    return C[i] + (1 - C[i]) / (1 + math.exp(-A[i] * (theta - B[i])))


def integral(function):
    """Integral over ability, by adaptive quadrature; absolute error below 1e-10."""
    return integrate.quad(function, -12, 12, epsabs=1e-12, epsrel=1e-12, limit=500)[0]


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.5, 0.7)])
def test_the_posterior_of_ability_is_that_of_numerical_integration(mean, sd):
    """The nodes end at 6 logits, which cuts off less than 1e-8 of the prior."""
    items, correct = [0, 3, 1, 2, 2, 1], [1, 1, 0, 1, 0, 1]
    model = AbilityModel.of_parameters(ItemParameters(A, B, C), prior_mean=mean, prior_sd=sd)
    students = follow(model, items, correct)

    def density(theta):
        value = math.exp(-(((theta - mean) / sd) ** 2) / 2)
        for i, c in zip(items, correct, strict=True):
            value *= curve(theta, i) if c else 1 - curve(theta, i)
        return value

    total = integral(density)
    expected = integral(lambda t: t * density(t)) / total
    variance = integral(lambda t: (t - expected) ** 2 * density(t)) / total
    ability = model.ability(students)
    assert ability.mean[0] == pytest.approx(expected, abs=1e-6)
    assert ability.variance[0] == pytest.approx(variance, abs=1e-6)
    chances = [integral(lambda t, i=i: curve(t, i) * density(t)) / total for i in range(4)]
    np.testing.assert_allclose(model.chances(students)[0], chances, atol=1e-6)
    assert model.mastery(students)[0, 0] == pytest.approx(np.mean(chances), abs=1e-6)


def test_cells_have_the_mean_curve_and_share_the_state():
    questions = ItemParameters(A, B, C)
    model = AbilityModel.of_parameters(questions)
    cells = AbilityModel.of_parameters(questions, groups=[0, 1, 0, 1])
    students = follow(model, [0, 3, 2], [1, 0, 1])
    chances = model.chances(students)[0]
    np.testing.assert_allclose(cells.chances(students)[0], [chances[[0, 2]].mean(), chances[[1, 3]].mean()], atol=1e-14)


# ── ratings ──────────────────────────────────────────────────────────────────────────────────────

PLAYER, RIVALS, SCORES = 1613, [1609, 1477, 1388, 1586, 1720], [0, 0.5, 1, 1, 0]
"""The example of a tournament in the article on the Elo rating system in Wikipedia, with K = 32 points."""


def tournament():
    """One lane per game, all from the same rating."""
    return EloModel([*"abcde"], np.array(RIVALS) / POINTS, start=PLAYER / POINTS, a=32 / POINTS, b=0)


def test_expected_scores_of_the_published_tournament():
    """Published: 0.51, 0.69, 0.79, 0.54, 0.35, rounded."""
    model = tournament()
    assert model.chances(model.start(1))[0].round(2).tolist() == [0.51, 0.69, 0.79, 0.54, 0.35]


def test_the_rating_after_the_published_tournament():
    """Published: 1613 + 32 (2.5 - 2.88) = 1601, with the sum of rounded scores.

    All games are rated from one rating, and a draw is half a win.
    """
    model, change = tournament(), 0.0
    for score in (0, 1):
        students = model.start(5)
        model.update(students, np.arange(5), np.full(5, score))
        moved = students["rating"][np.arange(5), np.arange(5)] * POINTS - PLAYER
        change += (moved * np.where(np.array(SCORES) == 0.5, 0.5, np.array(SCORES) == score)).sum()
    assert round(PLAYER + change) == 1601


def test_elo_with_the_uncertainty_function_by_hand():
    """Pelanek's a / (1 + b n) with a = 1 and b = 0.05: the steps are 1, 1/1.05 and 1/1.1."""
    model = EloModel(Items(["x", "y"], ["one", "one"]), [0.0, 1.0], [0.0, 0.25])
    students = follow(model, [0, 1, 0], [1, 0, 1])
    first = 0.5
    expected = 0.25 + 0.75 / (1 + math.exp(1 - first))
    second = first - expected / 1.05
    third = second + (1 - 1 / (1 + math.exp(-second))) / 1.1
    assert students["rating"][0, 0] == pytest.approx(third, rel=1e-14)
    assert students["count"][0, 0] == 3


def test_elo_estimates_difficulties_in_one_pass():
    """A plain loop over the responses in order of time; it shares no code with the kernel."""
    rng = np.random.default_rng(4)
    student, item = rng.integers(0, 8, 200), rng.integers(0, 5, 200)
    correct, time = rng.integers(0, 2, 200), rng.permutation(200)
    log = Responses.from_arrays(
        student, correct, skill=[[["a"], ["b"], ["a", "b"]][i % 3] for i in item], item=item, time=time
    )
    model = EloModel.of_log(log, a=0.9, b=0.1, guess=0.2)
    rating, seen, hard, asked = {}, {}, {}, {}
    for r in np.argsort(time):
        s, i = student[r], item[r]
        keys = [(s, k) for k in [["a"], ["b"], ["a", "b"]][i % 3]]
        ability = sum(rating.get(k, 0.0) for k in keys) / len(keys)
        p = 0.2 + 0.8 / (1 + math.exp(hard.get(i, 0.0) - ability))
        for k in keys:
            rating[k] = rating.get(k, 0.0) + 0.9 / (1 + 0.1 * seen.get(k, 0)) * (correct[r] - p)
            seen[k] = seen.get(k, 0) + 1
        hard[i] = hard.get(i, 0.0) + 0.9 / (1 + 0.1 * asked.get(i, 0)) * (p - correct[r])
        asked[i] = asked.get(i, 0) + 1
    np.testing.assert_allclose(model.difficulty, [hard[int(name)] for name in model.items.names], rtol=1e-12)
    assert (model.a, model.b, model.guess.tolist()) == (0.9, 0.1, [0.2] * 5)


def test_glicko_reproduces_the_example_of_its_author():
    """Glickman, The Glicko system: 1500 and RD 200 becomes 1464 and RD 151.4 after three games.

    Published on the way: g = .9955, .9531, .7242 and E = .639, .432, .303.
    """
    rivals, deviations = np.array([1400, 1550, 1700]) / POINTS, np.array([30, 100, 300]) / POINTS
    g = attenuation(deviations**2)
    assert g.round(4).tolist() == [0.9955, 0.9531, 0.7242]
    expected = 1 / (1 + np.exp(-g * (1500 / POINTS - rivals)))
    assert expected.round(3).tolist() == [0.639, 0.432, 0.303]
    outcome = np.array([[1.0, 0.0, 0.0]])
    mean, variance = rate(
        np.array([1500 / POINTS]), np.array([(200 / POINTS) ** 2]), rivals[None], deviations[None] ** 2, outcome
    )
    assert round(mean[0] * POINTS) == 1464
    assert math.sqrt(variance[0]) * POINTS == pytest.approx(151.4, abs=0.05)


def test_glicko_expects_the_published_outcome():
    """Glickman, The Glicko system: 1400 with RD 80 against 1500 with RD 150 has an expected outcome of .376."""
    model = GlickoModel(1, 1500 / POINTS, 150 / POINTS, 1400 / POINTS, 80 / POINTS)
    assert model.chances(model.start(1))[0, 0] == pytest.approx(0.376, abs=0.0005)


def test_one_answer_of_the_glicko_model_is_a_period_of_one_game():
    model = GlickoModel(2, [0.3, -0.2], [0.1, 0.4])
    students = follow(model, [1], [1])
    mean, variance = rate(
        *(np.zeros(1), np.array([START_SD**2])), *(np.array([[-0.2]]), np.array([[0.16]]), np.ones((1, 1)))
    )
    assert students["rating"][0].tolist() == [0.0, pytest.approx(mean[0], rel=1e-14)]
    assert students["variance"][0].tolist() == pytest.approx([START_SD**2, variance[0]], rel=1e-14)


def test_the_drift_of_glicko_ends_at_the_first_variance():
    drifting = follow(GlickoModel(1, start_sd=0.5, drift=9.0), [0] * 30, [1, 0] * 15)["variance"][0, 0]
    steady = follow(GlickoModel(1, start_sd=0.5), [0] * 30, [1, 0] * 15)["variance"][0, 0]
    assert steady < drifting < 0.25
    assert drifting == pytest.approx(1 / (1 / 0.25 + 0.25), rel=0.02)  # P is near 1/2, so g^2 E (1 - E) is near 1/4


# ── performance factors analysis ─────────────────────────────────────────────────────────────────


def test_pfa_by_hand():
    model = PFAModel({"x": "a", "y": ["a", "b"]}, [[-0.5, 0.3, -0.1], [0.2, 0.1, 0.05]])
    students = follow(model, [0, 1, 1, 0], [1, 1, 0, -1])
    logit_a, logit_b = -0.5 + 2 * 0.3 - 0.1, 0.2 + 0.1 + 0.05
    expected = [1 / (1 + math.exp(-logit_a)), 1 / (1 + math.exp(-logit_a - logit_b))]
    np.testing.assert_allclose(model.chances(students)[0], expected, rtol=1e-14)
    np.testing.assert_allclose(model.mastery(students)[0], [expected[0], 1 / (1 + math.exp(-logit_b))], rtol=1e-14)
