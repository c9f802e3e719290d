"""The engine as a policy of the simulator: the same decisions and states as the engine, and exact propensities."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alsim
from alsim.bank.course import course_of
from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.engine import AdaptiveEngine, Catalogue, EngineError
from alsim.engine.correspondence import cells_of
from alsim.engine.policy import EnginePolicy
from alsim.engine.selection import Classes, Fading, Scores, best_items
from alsim.engine.shares import shares_of_best
from alsim.evaluation import compare
from alsim.policies import PolicyDraws, View, make_policy

CONFIG = Config.read({"num_los": 3, "max_episode_steps": 40, "curriculum": [[0, 1], [1, 2]]})
BANK = sample_bank(CONFIG)
COURSE = course_of(BANK, CONFIG)
DIRECTORY = Path(__file__).parent.parent / "policies" / "engine-3"


def engine_of_bank(**options):
    return AdaptiveEngine(None, Catalogue.of_bank(BANK, CONFIG.curriculum), **options)


# ── probabilities of groups of candidates ───────────────────────────────────────────────────────


def shares_in_python(scores, of, shown, above, fading, groups, size):
    """Return the shares of one student, by the definition."""
    values = {}
    for item, c in enumerate(of):
        if scores[c] == -np.inf or item in above:
            continue
        value = scores[c]
        for _ in range(shown.count(item)):
            value = value * fading.factor - fading.step
        values[item] = value
    best = [item for item, value in values.items() if value == max(values.values())]
    return [sum(groups[item] == g for item in best) / max(len(best), 1) for g in range(size)]


@given(st.integers(0, 2**32 - 1))
def test_shares_are_those_of_the_definition(seed):
    """Also those after items above: then they are the propensities of `best_items`, rank by rank."""
    rng = np.random.default_rng(seed)
    of = np.sort(rng.integers(0, 4, 9))
    classes = Classes.of_keys(of.tolist())
    scores = rng.choice([-np.inf, 0.25, 0.5, 1.0], (1, len(classes)))
    shown_items = rng.choice(9, int(rng.integers(0, 5)), replace=False)
    shown, counts = np.full((1, 6), -1, np.int32), np.zeros((1, 6), np.int32)
    shown[0, : len(shown_items)], counts[0, : len(shown_items)] = shown_items, rng.integers(1, 3, len(shown_items))
    fading = [Fading(0.5), Fading(1.0, 0.25)][seed % 2]
    repeated = np.repeat(shown[0, : len(shown_items)], counts[0, : len(shown_items)]).tolist()
    groups = rng.integers(0, 3, 9)
    hashes, salts = rng.integers(0, 2**63, 9).astype(np.uint64), np.array([seed], np.uint64)
    choice = best_items(Scores.of_all(scores), classes, hashes, salts, shown, counts, fading, 9)
    chosen = choice.items[0][choice.items[0] >= 0].tolist()
    for rank in range(len(chosen) + 1):
        above = np.array([[*chosen[:rank], -1]], np.int32)
        arguments = Scores.of_all(scores), classes, shown, counts, fading, above
        found = shares_of_best(*arguments, groups, 3)[0]
        wanted = shares_in_python(scores[0], classes.of.tolist(), repeated, chosen[:rank], fading, groups.tolist(), 3)
        assert found.tolist() == wanted
        if rank < len(chosen):
            single = shares_of_best(*arguments, np.arange(9), 9)[0]
            assert single[chosen[rank]] == choice.propensities[0, rank]
            assert sum(single) == pytest.approx(1)


# ── the same decisions as the engine ────────────────────────────────────────────────────────────


class Recorder:
    """The policy of an engine, which records its probabilities and its states."""

    name = "recorder"

    def __init__(self, policy):
        self.policy, self.odds, self.mastery = policy, [], []

    def bind(self, course):
        twin = Recorder(self.policy.bind(course))
        twin.odds, twin.mastery = self.odds, self.mastery
        return twin

    def start(self, n):
        return self.policy.start(n)

    def act(self, view, state, draws):
        self.odds.append(self.policy.probabilities(view, state))
        self.mastery.append(self.policy.model.mastery(state.students))
        return self.policy.act(view, state, draws)

    def learn(self, state, transitions):
        self.policy.learn(state, transitions)


@pytest.mark.heavy
@pytest.mark.parametrize(("policy", "model"), [("guide", "bkt"), ("guide", "elo"), ("alosi", "bkt")])
def test_the_policy_decides_and_learns_as_the_engine(policy, model):
    """The engine gets the same responses: its recommendations tie among the cells that the policy may choose."""
    recorder = Recorder(EnginePolicy(engine_of_bank(policy=policy, model=model)))
    run = alsim.rollout(recorder, num_learners=3, config=CONFIG, seed=4)
    engine, ids = engine_of_bank(policy=policy, model=model), [*BANK.questions.id, *BANK.contents.id]
    actions = dict(zip(ids, cells_of(engine.catalogue, COURSE).action.tolist(), strict=True))
    x = run.interactions
    ends = np.cumsum(x.length)
    for lane, (begin, end) in enumerate(zip(ends - x.length, ends, strict=True)):
        for step, row in enumerate(range(begin, end)):
            student = f"{lane} {step}"  # a new one: items that were shown before and not answered lose relevance
            for earlier in range(begin, row):
                item = ids[x.item[earlier]]
                if item in BANK.questions.id:
                    engine.process_response(student, item, bool(x.correct[earlier]))
                else:
                    engine.process_content(student, item)
            shown = engine.recommend(student, 1000)
            best = [actions[r.item] for r in shown if r.score == shown[0].score] or [*actions.values()]
            wanted = np.bincount(best, minlength=27) / len(best)
            np.testing.assert_allclose(recorder.odds[step][lane], wanted, rtol=0, atol=1e-15)
            assert run.propensity[row] == recorder.odds[step][lane][x.action[row]] > 0
            np.testing.assert_array_equal(recorder.mastery[step][lane], list(engine.mastery(student).values()))


def test_a_learner_is_the_same_alone_and_in_a_batch():
    policy = EnginePolicy(engine_of_bank())
    together = alsim.rollout(policy, num_learners=6, config=CONFIG, seed=2)
    alone = [alsim.rollout(policy, num_learners=1, first_learner=k, config=CONFIG, seed=2) for k in range(6)]
    assert np.concatenate([run.interactions.action for run in alone]).tolist() == together.interactions.action.tolist()
    assert np.concatenate([run.propensity for run in alone]).tolist() == together.propensity.tolist()


def test_a_copy_in_another_process_decides_the_same():
    policy = EnginePolicy(engine_of_bank())
    copied = pickle.loads(pickle.dumps(policy))
    runs = [alsim.rollout(p, num_learners=4, config=CONFIG, seed=2) for p in (policy, copied)]
    assert runs[0].interactions.action.tolist() == runs[1].interactions.action.tolist()
    assert policy.digest == copied.digest
    assert policy.digest != EnginePolicy(engine_of_bank(threshold=0.8)).digest


def test_a_learner_who_has_mastered_everything_gets_any_item():
    policy = EnginePolicy(engine_of_bank(threshold=0.1)).bind(COURSE)  # mastery starts at 0.3
    view = View(np.zeros((2, 5), np.float32), "mastery", 3, np.ones(2, bool), np.zeros(2, np.float32))
    odds = policy.probabilities(view, policy.start(2))
    counts = np.bincount(cells_of(policy.catalogue, COURSE).action, minlength=27)
    np.testing.assert_allclose(odds, np.tile(counts / counts.sum(), (2, 1)), rtol=1e-15)
    draws = PolicyDraws(lambda block: np.full((2, 4), 7, np.uint32))
    actions, propensities = policy.act(view, policy.start(2), draws)
    assert propensities.tolist() == [odds[0, actions[0]], odds[1, actions[1]]]


def easy_engine(config):
    """Return an engine with the contents and the Easy questions of a bank: guide, and BKT with its defaults."""
    bank = sample_bank(config)
    full = Catalogue.of_bank(bank, config.curriculum)
    easy = {name for name, level in zip(bank.questions.id, bank.questions.difficulty, strict=True) if level == 0}
    return AdaptiveEngine(None, Catalogue([i for i in full.items if i.type == "content" or i.id in easy], full.graph))


@pytest.mark.compiled
@pytest.mark.parametrize("dynamics", ["standard", pytest.param("prerequisites", marks=pytest.mark.ci)])
def test_the_engine_teaches_more_than_uniform(dynamics):
    """n = 400 learners, seed 3; the 95 % interval of the paired difference of learning is above 0.

    At n = 2,000, the difference is 0.37 ± 0.06 (standard) and 0.38 ± 0.04: at n = 400 it is five standard errors.
    """
    chain = {} if dynamics == "standard" else {"curriculum": [[k, k + 1] for k in range(29)]}
    config = Config.read({"reward_weights": "learning", "dynamics": dynamics, **chain})
    found = compare([EnginePolicy(easy_engine(config)), "uniform"], learners=400, seed=3, config=config).to_dict()
    pair = next(pair for pair in found["pairs"] if pair["metric"] == "learning")
    assert (pair["a"], pair["b"], pair["n"]) == ("engine", "uniform", 400)
    assert pair["ci"][0] > 0


# ── correspondence of items ─────────────────────────────────────────────────────────────────────


def test_items_of_the_bank_are_found_by_id_and_others_by_cell():
    bank = Catalogue.of_bank(BANK)
    cells = cells_of(bank, COURSE)
    q = BANK.questions
    assert cells.action[:60].tolist() == (3 * q.learning_outcome + q.difficulty).tolist()
    assert cells.by_item.tolist() == list(range(len(bank)))
    renamed = Catalogue([item._replace(id=f"my-{item.id}") for item in bank.items], bank.graph)
    other = cells_of(renamed, COURSE)
    los = other.action[:60] // 3
    assert los.tolist() == q.learning_outcome.tolist()
    cell = 3 * q.learning_outcome + q.difficulty
    means = np.array([q.irt_b[cell == k].mean() for k in range(9)]).reshape(3, 3)
    nearest = np.abs(means[q.learning_outcome] - q.irt_b[:, None]).argmin(axis=1)
    assert (other.action[:60] % 3).tolist() == nearest.tolist()
    for j in range(60):  # the item of the same cell with the nearest difficulty
        same = np.flatnonzero(other.action == cell[j])
        assert other.by_item[j] == same[np.abs(q.irt_b[same] - q.irt_b[j]).argmin()]


def test_equal_ids_of_another_bank_are_not_taken_for_the_same_items():
    small = Catalogue.of_bank(sample_bank(Config.read({"num_los": 3, "num_questions_per_lo": 3})))
    assert {item.id for item in small.items} <= {*BANK.questions.id, *BANK.contents.id}
    cells = cells_of(small, COURSE)
    los = [int(item.skills_taught[0]) for item in small.items[:9]]
    assert (cells.action[:9] // 3).tolist() == los  # q3 is about outcome 1 there, and about outcome 0 in the bank


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"id": "x", "skills_assessed": ["7"]}], "assesses '7', but the bank has no outcome of this name"),
        ([{"id": "x", "skills_assessed": ["0", "1"]}], "assesses 2 skills, but an item of the simulator has one"),
        ([{"id": "x", "type": "content", "skills_taught": ["1", "0"]}], "teaches 2 skills"),
    ],
)
def test_items_without_a_cell_are_refused(items, message):
    engine = AdaptiveEngine({"0": [], "1": [], "7": []}, items)
    with pytest.raises(EngineError, match=message):
        EnginePolicy(engine).bind(COURSE)


def test_names_and_invalid_engines():
    policy = make_policy(f"engine:{DIRECTORY}")
    assert policy.name == f"engine:{DIRECTORY}"
    assert "guide" in repr(policy) and "BKTModel" in repr(policy)
    with pytest.raises(EngineError, match="expected the directory of an engine"):
        make_policy("engine:nowhere")
    with pytest.raises(TypeError, match="needs an AdaptiveEngine; got"):
        EnginePolicy("engine")
    view = View(np.zeros((2, 6), np.float32), "mastery", 4, np.ones(2, bool), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="is bound to 3 outcomes, but the view has 4"):
        policy.probabilities(view, policy.start(2))
    for name in ("thompson", "policy:weakest"):
        with pytest.raises(EngineError, match="does not compute the probabilities of all candidates"):
            EnginePolicy(engine_of_bank(policy=name))
