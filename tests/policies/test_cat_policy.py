"""The policy `cat`: information, estimates, selection, and the accuracy of its estimates of ability."""

import math

import numpy as np
import pytest
from scipy import integrate, stats
from teachers import Play, view_of

from alsim.bank.course import course_of
from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.errors import AlsimError
from alsim.models.irt.ability import estimate_ability
from alsim.models.irt.curves import ItemParameters
from alsim.policies import make_policy, memory
from alsim.policies.cat import CATPolicy, best, chances, estimate, record_answers, selection, start_posterior
from alsim.policies.cells import GRID, NOMINAL, at_abilities, at_ability, cell_tables, place

CONFIG = Config()
COURSE = course_of(sample_bank(CONFIG), CONFIG)


def probability(theta, a, b, c):
    """Return the probability of a correct answer under the three-parameter model."""
    return c + (1 - c) / (1 + math.exp(-a * (theta - b)))


def catsim_information(theta, a, b, c):
    """Return the information of an item, by the formula of catsim (Magis 2013) with d = 1."""
    p = probability(theta, a, b, c)
    return a**2 * (p - c) ** 2 * (1 - p) ** 2 / ((1 - c) ** 2 * p * (1 - p))


# ── tables ───────────────────────────────────────────────────────────────────────────────────────


def test_cells_hold_the_means_over_their_questions():
    tables = cell_tables(COURSE)
    for lo, level, node in ((0, 0, 0), (7, 1, 256), (29, 2, 300), (12, 2, 512), (3, 1, 255)):
        items = np.flatnonzero((COURSE.learning_outcome == lo) & (COURSE.difficulty == level))
        assert len(items) in (6, 7)
        parameters = [(float(COURSE.a[i]), float(COURSE.b[i]), float(COURSE.c[i])) for i in items]
        theta = -4 + node / 64
        assert GRID[node] == theta
        chance = sum(probability(theta, *x) for x in parameters) / len(items)
        information = sum(catsim_information(theta, *x) for x in parameters) / len(items)
        assert tables.chance[node, 3 * lo + level] == pytest.approx(chance, rel=1e-12)
        assert tables.information[node, 3 * lo + level] == pytest.approx(information, rel=1e-9)


def test_lookups_round_to_the_nearest_ability():
    assert place(np.array([-9.0, -4.0, 0.0, 1 / 64, 0.007, 0.009, 4.0, 99.0])).tolist() == [
        0,
        0,
        256,
        257,
        256,
        257,
        512,
        512,
    ]
    tables, theta = cell_tables(COURSE), np.array([[-0.3] * 30, [1.25] * 30])
    table = tables.chance
    assert np.array_equal(at_abilities(table, theta), at_ability(table, theta[:, 0], 30))
    nominal = cell_tables(NOMINAL).chance
    assert np.array_equal(at_abilities(nominal, theta), at_ability(nominal, theta[:, 0], 30))


# ── the estimate ─────────────────────────────────────────────────────────────────────────────────


def test_estimates_equal_those_of_the_package_and_of_quadrature():
    generator = np.random.default_rng(3)
    items, lanes = ItemParameters(COURSE.a, COURSE.b, COURSE.c), 6
    posterior, log = start_posterior(lanes), np.full((lanes, len(items)), -1)
    table = chances(COURSE)
    for _ in range(15):
        shown = generator.integers(len(items), size=lanes)
        correct = (generator.random(lanes) < 0.5).astype(np.int8)
        fresh = log[np.arange(lanes), shown] < 0
        record_answers(posterior, np.flatnonzero(fresh), table[shown[fresh]], correct[fresh])
        log[np.flatnonzero(fresh), shown[fresh]] = correct[fresh]
    theta, sd = estimate(posterior)
    expected = estimate_ability(items, log)
    np.testing.assert_allclose(theta, expected.theta, atol=1e-12)
    np.testing.assert_allclose(sd, expected.se, atol=1e-12)
    answered = np.flatnonzero(log[0] >= 0)

    def density(x):
        value = math.exp(-x * x / 2)
        for i in answered:
            p = probability(x, COURSE.a[i], COURSE.b[i], COURSE.c[i])
            value *= p if log[0, i] == 1 else 1 - p
        return value

    total = integrate.quad(density, -4, 4)[0]
    mean = integrate.quad(lambda x: x * density(x), -4, 4)[0] / total
    assert theta[0] == pytest.approx(mean, abs=2e-3)


def test_thousands_of_answers_do_not_underflow():
    posterior, table = start_posterior(1), chances(NOMINAL)
    for k in range(5000):
        record_answers(posterior, np.array([0]), table[[k % 3]], np.array([k % 2], np.int8))
    theta, sd = estimate(posterior)
    assert np.isfinite(theta).all() and np.isfinite(sd).all()


# ── the selection ────────────────────────────────────────────────────────────────────────────────


def plain_selection(information, asked, blueprint, randomesque, allowed):
    """Return the probability of each question of one learner, in plain Python."""
    num_los = len(information)
    odds = [[0.0] * 3 for _ in range(num_los)]
    levels = [d for d in range(3) if any(allowed[lo][d] for lo in range(num_los))]
    wanted = [d for d in levels if blueprint[d] > 0] or levels
    if not wanted:
        return odds
    total = max(sum(asked), 1)
    level = max(wanted, key=lambda d: (blueprint[d] - asked[d] / total, -d)) if blueprint[wanted[0]] > 0 else wanted[0]
    ranked = sorted((lo for lo in range(num_los) if allowed[lo][level]), key=lambda lo: (-information[lo][level], lo))
    for lo in ranked[:randomesque]:
        odds[lo][level] = 1 / len(ranked[:randomesque])
    return odds


@pytest.mark.parametrize("blueprint", [(0.2, 0.6, 0.2), (0.0, 0.5, 0.5), (0.0, 1.0, 0.0), (1 / 3, 1 / 3, 1 / 3)])
@pytest.mark.parametrize("randomesque", [1, 3, 50])
def test_selection_equals_plain_python(blueprint, randomesque):
    generator = np.random.default_rng(5)
    lanes, num_los = 200, 6
    information = np.round(generator.random((lanes, num_los, 3)), 1)  # with ties
    asked = generator.integers(0, 8, (lanes, 3))
    allowed = generator.random((lanes, num_los, 3)) < generator.choice([0.05, 0.5, 1.0], lanes)[:, None, None]
    found = selection(information, asked, np.array(blueprint), randomesque, allowed)
    expected = [
        plain_selection(*(x.tolist() for x in (information[n], asked[n])), blueprint, randomesque, allowed[n].tolist())
        for n in range(lanes)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-15)
    free = selection(information, asked, np.array(blueprint), randomesque)
    np.testing.assert_array_equal(free, selection(information, asked, np.array(blueprint), randomesque, allowed | True))


def test_the_best_are_the_first_of_equals():
    values, allowed = np.array([[1.0, 3.0, 3.0, 3.0, 2.0]]), np.array([[True, False, True, True, True]])
    assert np.flatnonzero(best(values, allowed, 1)[0]).tolist() == [2]
    assert np.flatnonzero(best(values, allowed, 3)[0]).tolist() == [2, 3, 4]
    assert np.flatnonzero(best(values, allowed, 9)[0]).tolist() == [0, 2, 3, 4]


@pytest.mark.parametrize("masked", [False, True])
def test_the_policy_equals_plain_python(masked):
    """Nominal questions: posterior, rounded estimate, mean information, blueprint, masks and exploration."""
    policy, los = make_policy("cat:2:0.1"), 4
    answers = [[] for _ in range(6)]
    parameters = [(0.75, -1.25, 0.175), (1.25, 0.0, 0.175), (1.75, 1.25, 0.175)]
    for _, view, state, actions, propensities, correct in Play(policy, los, range(6), 40, masked=masked, ends={4: 11}):
        odds = policy.probabilities(view, state)
        for n in np.flatnonzero(view.active):
            weights = [math.exp(-x * x / 2) * (0.5 if abs(x) == 4 else 1) for x in np.linspace(-4, 4, 33)]
            for level, right in answers[n]:
                for j, x in enumerate(np.linspace(-4, 4, 33)):
                    p = probability(x, *parameters[level])
                    weights[j] *= p if right else 1 - p
            theta = sum(w * x for w, x in zip(weights, np.linspace(-4, 4, 33), strict=True)) / sum(weights)
            theta = round(theta * 64) / 64
            information = [[catsim_information(theta, *parameters[d]) for d in range(3)] for _ in range(los)]
            asked = [sum(level == d for level, _ in answers[n]) for d in range(3)]
            allowed = np.ones(36, bool) if not masked else view.mask[n]
            own = plain_selection(information, asked, (0.2, 0.6, 0.2), 2, allowed[:12].reshape(4, 3).tolist())
            own = np.concatenate([np.ravel(own), np.zeros(24)])
            expected = 0.1 * allowed / allowed.sum() + 0.9 * own if own.any() else allowed / allowed.sum()
            np.testing.assert_allclose(odds[n], expected, atol=1e-12)
            assert propensities[n] == odds[n, actions[n]] > 0
            if actions[n] < 12:
                answers[n].append((int(actions[n] % 3), bool(correct[n])))


def test_shares_of_difficulties_follow_the_blueprint():
    """Without exploration, after 50 questions each share is within one question of its target."""
    for blueprint in ((0.2, 0.6, 0.2), (0.5, 0.0, 0.5)):
        policy, counts = CATPolicy(floor=0.0, blueprint=blueprint), np.zeros((5, 3))
        for _, _, _, actions, _, _ in Play(policy, 5, range(5), 50):
            counts[np.arange(5), actions % 3] += 1
        assert np.abs(counts / 50 - blueprint).max() <= 1 / 50 + 1e-12


# ── accuracy ─────────────────────────────────────────────────────────────────────────────────────


def squared_errors(policy, abilities, steps, seed):
    """Return squared errors (N,) of EAP estimates from `steps` answers, by the estimator of alsim.models."""
    lanes, generator = len(abilities), np.random.default_rng(seed)
    cells = [np.flatnonzero(COURSE.learning_outcome * 3 + COURSE.difficulty == cell) for cell in range(90)]
    start, items, answers = np.arange(lanes + 1) * steps, np.empty((lanes, steps), np.int32), np.empty((lanes, steps))
    state, view = memory.start(policy, lanes) if policy else None, view_of(lanes, 30)
    from teachers import draws_of, transitions_of

    from alsim.models.irt.ability import Answers

    for step in range(steps):
        words = generator.integers(0, 2**32, (lanes, 4), dtype=np.uint32)
        actions = generator.integers(90, size=lanes) if policy is None else policy.act(view, state, draws_of(words))[0]
        variates = generator.random(lanes)
        items[:, step] = [cells[a][int(u * len(cells[a]))] for a, u in zip(actions, variates, strict=True)]
        a, b, c = (column[items[:, step]] for column in (COURSE.a, COURSE.b, COURSE.c))
        answers[:, step] = generator.random(lanes) < c + (1 - c) / (1 + np.exp(-a * (abilities - b)))
        if policy is not None:
            memory.learn(policy, state, transitions_of(view, actions, answers[:, step], items=items[:, step]))
    table = Answers(start.astype(np.int64), items.ravel(), answers.ravel().astype(np.int8))
    found = estimate_ability(ItemParameters(COURSE.a, COURSE.b, COURSE.c), table)
    if policy is not None:  # the estimate of the policy is that of the package, up to its grid
        np.testing.assert_allclose(estimate(state.posterior)[0], found.theta, atol=1e-9)
    return (found.theta - abilities) ** 2


@pytest.mark.heavy
def test_cat_estimates_ability_better_than_uniform_questions():
    """n = 1,500 learners, 20 questions each, seed 11; one-sided paired t test, false alarm 1e-6.

    Theory: at most 20 answers to the most informative questions tell more than 20 answers to any questions.
    """
    abilities = np.random.default_rng(11).normal(size=1500)
    policy = CATPolicy(floor=0.0).bind(COURSE)
    ours, uniform = (squared_errors(p, abilities, 20, seed=12) for p in (policy, None))
    result = stats.ttest_rel(ours, uniform, alternative="less")
    assert result.pvalue < 1e-6
    assert ours.mean() < 0.9 * uniform.mean()


# ── invalid input ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cat:0", "the randomesque of cat must be an integer of at least 1; got 0"),
        ("cat:5:-1", r"the floor of cat must be a number in \[0, 1\]; got -1.0"),
        ("cat:5:nan", r"the floor of cat must be a number in \[0, 1\]; got nan"),
    ],
)
def test_invalid_names(name, message):
    with pytest.raises(AlsimError, match=f"^{message}$"):
        make_policy(name)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.6, 0.1), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_invalid_blueprints(shares):
    with pytest.raises(
        AlsimError, match="the blueprint of cat must be three shares, of Easy, Medium and Hard, that sum"
    ):
        CATPolicy(blueprint=shares)
