"""The `repr` of every public object: short, with the name of the class, without addresses, and without exceptions."""

import pickle
import re
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from courses import GRAPH, ITEMS

import alsim
from alsim import models, training
from alsim.bank.course import course_of
from alsim.engine import errors
from alsim.engine.progress import Progress
from alsim.envs.tianshou import AdaptiveLearningTianshouEnv
from alsim.metrics import Interactions
from alsim.models import bkt, cat, irt
from alsim.policies import EpsilonGreedy, Mix, Network, NetworkPolicy, View
from alsim.policies.zpdes import ZoneRule
from alsim.types import Draws, Item, Learner, Outcome, f32, i32, short_repr

LONGEST = 500
API = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
ELSEWHERE = {
    "alsim.training.Training",  # needs a directory
    *("alsim.training.SeedTrainings", "alsim.training.SeedsMoment"),  # in tests/training/test_seeds.py
    *("alsim.models.dkt.DKTFit", "alsim.models.dkt.DKTTracker"),  # fitted with PyTorch, in tests/compat
    *("alsim.models.Fit", "alsim.models.irt.HasItemParameters"),  # a base class and a protocol
}


class Watcher:
    """A policy that keeps its view and its draws."""

    name = "watcher"

    def act(self, view, draws):
        self.view, self.draws = view, draws
        return view.question(np.zeros(view.num_lanes, int), "Easy"), np.ones(view.num_lanes)


def environments():
    single, envs, tianshou = (
        make()
        for make in (
            alsim.AdaptiveLearningEnv,
            lambda: alsim.AdaptiveLearningVectorEnv(50),
            lambda: AdaptiveLearningTianshouEnv(2),
        )
    )
    envs.reset(seed=0)
    return [single, envs, tianshou, envs.snapshot(), envs.new_buffers(), alsim.decode_action(np.arange(90), 30)]


class Learning:
    name = "learning"

    def start(self, n):
        return np.zeros(n)

    def act(self, view, state, draws):
        return draws.integers(view.num_actions), np.full(view.num_lanes, 1 / view.num_actions)

    def learn(self, state, transitions):
        self.transitions = transitions


def rollouts():
    rollout = alsim.rollout(num_learners=30, seed=0)
    watcher = Watcher()
    alsim.rollout(watcher, num_learners=30)
    learning = Learning()
    alsim.rollout(learning, num_learners=30)
    network = Network([(np.zeros((32, 270)), np.zeros(270))])
    return [
        *(rollout, rollout.interactions, rollout.metrics, rollout.events, watcher.view, watcher.draws),
        *(learning.transitions, Mix({alsim.make_policy("rules"): 0.5, alsim.make_policy("uniform"): 0.5})),
        *(rollout.bank, rollout.bank.questions, rollout.bank.contents, rollout.bank.table),
        *(alsim.make_policy("uniform"), alsim.make_policy("rules"), network, NetworkPolicy(network)),
        EpsilonGreedy(alsim.make_policy("rules"), 0.1),
        *(alsim.make_policy("zpd"), alsim.make_policy("zpdes"), alsim.make_policy("cat"), ZoneRule()),
        *map(alsim.make_policy, ("leitner", "sm2", "fsrs", "threshold", "random-due")),
        *map(alsim.make_policy, ("oracle", "thompson", "lints", "ucb1", "linucb", "softmax", "igw", "exp3")),
        course_of(rollout.bank, alsim.Config()),
        alsim.Config(),
        alsim.Config.read({"num_los": 3, "termination": {"max_frustration": 0.3}}),
        alsim.generate_dataset(num_learners=30, episodes_per_learner=1, seed=0),
    ]


def trainings():
    updates = []
    config, small = {"num_los": 3, "max_episode_steps": 12}, {"num_envs": 16, "net_arch": (8,), "steps": 128}
    agent = training.ppo(config, progress=updates.append, **small)
    population, curriculum = alsim.Population([{"share": 1.0}]), alsim.curriculum.Curriculum([(0, 1)])
    settings = (training.PPO(), training.DQN(), training.SB3PPO(), training.SB3DQN())
    return [agent, updates[0], *settings, population, curriculum]


def student_models():
    generator = np.random.default_rng(0)
    ability, difficulty = generator.normal(size=(200, 1)), np.linspace(-1, 1, 8)
    matrix = (generator.random((200, 8)) < 1 / (1 + np.exp(difficulty - ability))).astype(int)
    log = models.Responses.from_matrix(matrix)
    fit, knowledge = irt.fit(log, "2pl"), bkt.fit(log, starts=1)
    events = ["", "read"] * 50
    studied = models.Responses.from_arrays(np.arange(100) // 2, [1, None] * 50, skill=["x"] * 100, event=events)
    items = irt.ItemParameters(np.ones(50), np.linspace(-2, 2, 50))
    test = cat.CAT(items)
    skill = next(iter(knowledge.skills.values()))
    group = np.arange(200) % 2
    tracker, ability = models.student.BKTModel(30), models.student.AbilityModel.of_parameters(items)
    who, days = np.repeat(np.arange(40), 10), np.tile(np.arange(10) ** 2.0, 40)
    times = models.Responses.from_arrays(who, generator.random(400) < 0.6, skill=["x"] * 400, time=days * 86400)
    network = (0.0, 0.0, np.zeros((3, 8)), np.zeros((2, 8)), 0.0, 0.0, 0.0)
    return [
        *(log, log.report, studied.study, models.score(np.array([0, 1, 1]), np.array([0.1, 0.7, 0.6]))),
        *(knowledge, skill, skill.parameters, skill.parameters.forward_backward(np.zeros(40, int))),
        *(bkt.Tracker(knowledge, 100), fit, irt.Priors(), irt.item_fit(fit, log), irt.person_fit(fit, log)),
        *(irt.pattern_fit(fit, log), irt.mantel_haenszel(log, group, 1), irt.likelihood_ratio(log, group, 1, "2pl")),
        irt.CalibratedItems(items, ("",) * 50, ("",) * 50, ((),) * 50),
        *(items, irt.estimate_ability(fit.item_parameters, matrix)),
        irt.Answers(np.arange(200), np.zeros(200, int), np.zeros(200, int)),
        *(test, test.session(20), test.run(np.zeros(30)), models.skill_mean.fit(log)),
        *(models.pfa.fit(log), models.best_lr.fit(log), models.ScoreErrors(0.1, 0.1, 0.1, 0.1, 3)),
        *(tracker, tracker.items, ability, ability.ability(ability.start(40)), models.student.EloModel(30)),
        alsim.policies.StudentModelPolicy(tracker),
        *(models.hlr.fit(times), models.student.HLRModel(30), models.student.FSRSModel(30)),
        *(models.student.GlickoModel(30), models.student.PFAModel(30, 0.0), models.student.DKTModel(30, *network)),
        models.student.AlosiModel(30),
        models.Responses.from_arrays(["a", "a"], [1, None], skill=["x", "x"], event=[None, "read"]).study,
    ]


def statistics() -> list[Any]:
    found, ope = alsim.evaluation, alsim.evaluation.ope
    half, one = np.full((40, 3), 0.5), np.ones((40, 3, 1))
    config = {"num_los": 3, "max_episode_steps": 12}
    compared = found.compare(["rules", "uniform"], learners=20, config=config)
    steps, reason = np.full(20, 3), np.full(20, 3, np.int8)
    dataset = alsim.generate_dataset(num_learners=20, seed=0, config=config)
    table = ope.TableLog({"episode": [0, 1], "reward": [0, 1], "behaviour": [0.5, 0.5], "target": [0.5, 0.5]})
    actions = np.arange(40) % 2
    card = found.scorecards.scorecard("irt", num_learners=20, logs=1)
    return [
        *(card, card.own, card.canary, card.own.ability, card.own.parameters["b"], card.own.first["b"]),
        alsim.models.auc_difference([0, 1], [0.5, 0.5], [0.5, 0.75], [0, 1]),
        *(found.mean([0.5, 1.0]), found.paired_difference([0.5, 1.0], [0.25, 1.5])),
        *(compared, compared.courses["rules"], found.cumulative_incidence(steps, reason, 12)),
        found.matrix(["rules", "uniform"], ["standard"], learners=20, config=config),
        found.audit(["rules"], learners=20, config=config),
        *(ope.pdis(half, half, half), ope.diagnose(half, half), ope.fitted_q(half, one, one)),
        ope.clipping_bias(half[:, 0], half[:, 0], half[:, 0], 1),
        *(ope.evaluate(dataset, "uniform"), ope.SimulatedLog(dataset, alsim.make_policy("uniform"))),
        ope.certify("uniform", "uniform", num_learners=4, logs=2, truth_learners=4, config=config),
        *(table, ope.JoinedLog([table, table]), ope.FileOptions()),
        ope.estimate_propensities(np.ones((40, 1)), actions, np.arange(40)),
        *experiments(),
        *fairness(),
    ]


def experiments() -> list[Any]:
    found, (c, t) = alsim.evaluation.experiments, np.random.default_rng(0).random((2, 40))
    times, events = np.arange(40), np.arange(40) % 2
    difference = found.compare_means(c, t)
    return [
        *(difference, difference.control, found.relative_lift(c, t), found.cuped(c, t, t, c)),
        *(found.compare_ratios(c, c**2, t, t**2), found.kaplan_meier(times, events)),
        *(found.log_rank(times, events, times, events), found.censored_incidence(times, events)),
        *(found.Moments.of(np.stack([c, t])), found.confidence_sequence(c), found.anytime_test(0.5, 1.0, 40)),
        *abtests(c, t),
    ]


def abtests(control: Any, treatment: Any) -> list[Any]:
    found, values = alsim.evaluation.experiments, np.concatenate([control, treatment])
    arms = {"control": {"policy": "uniform", "share": 0.5}, "new": {"policy": "rules", "share": 0.5}}
    plan = {
        "name": "a",
        "arms": arms,
        "students": 20,
        "repetitions": 100,
        "looks": 2,
        "config": {"max_episode_steps": 3},
    }
    data = found.read_experiment({"arm": np.repeat(["a", "b"], 40), "y": values}, ["y"], arm="arm")
    test = found.analyse(data, ["y"], guardrails={"y": 1.0}, sequential=True)
    one = test.comparisons[0]
    return [data, test, one, one.sequence, test.guardrails[0], found.read_experiment_plan(plan), found.rehearse(plan)]


def fairness() -> list[Any]:
    found = alsim.evaluation.fairness
    y, group, items = np.arange(40) % 2, np.arange(40) // 20, irt.ItemParameters(np.ones(5), np.zeros(5), np.zeros(5))
    metrics = found.group_metrics(y, y, group)
    planted = found.plant_dif(items, 0.5, np.zeros(40), group == 1)
    tests = found.dif(planted.answers, group)
    return [
        *(metrics, metrics.gaps["tpr"], planted, tests, found.detection(tests, planted.has_dif)),
        *(found.mantel_haenszel(y, group, y), found.evaluate_table({"outcome": y, "prediction": y, "group": group})),
    ]


def assignments(folder: Path) -> list[Any]:
    found = alsim.assignment
    arms = {f"arm-{k}": 1 / 25 for k in range(25)}
    one = found.Experiment("a" * 64, arms, policies=dict.fromkeys(arms, "guide"))
    log, exposure = found.ExposureLog(folder / "exposures"), found.Exposure("x", "a", "a" * 1000, "new", 0.0)
    return [one, log, exposure, found.Exposures.of([exposure])]


def engines(folder: Path) -> list[Any]:
    found = alsim.engine
    one = found.AdaptiveEngine(GRAPH, ITEMS)
    store, quiz, catalogue = one.store, one.quiz("ben", 1), one.catalogue
    shown = one.recommend("anna", 1)
    pending = quiz.next()
    processed = one.process_response("ben", pending.item, True)
    situation = found.Situation.without_store(
        np.full((1, len(GRAPH)), 0.3), 0.9, Progress.start(1), np.zeros((1, 4), np.uint32), 0, one.model
    )
    answer = found.Answer(b"", b"")
    return [
        *(one, catalogue, catalogue.items[0], catalogue.graph, one.recommender, store, *shown, processed),
        *(quiz, pending, quiz.result(), one.recalibrate(dry_run=True, held_out=0)),
        *(situation, one.recommender.choose(situation, 2), store.load("ben"), answer, found.EnginePolicy(one)),
        found.Commit("ben", 1, b"", answer=answer),
        found.shrunken_difficulties([0], [1], [[0.5, 0.5]], [-1.0, 1.0], [0.0], 1.0),
        found.load_log(found.export_log(one, folder / "log")),
        alsim.evaluation.ope.EngineEpisodes(found.load_log(folder / "log"), "uniform"),
        *(getattr(errors, name)("message") for name in errors.__all__),
    ]


@pytest.fixture(scope="module")
def objects(tmp_path_factory) -> list[Any]:
    folder = tmp_path_factory.mktemp("objects")
    return [
        *environments(),
        *rollouts(),
        *trainings(),
        *student_models(),
        *statistics(),
        *engines(folder),
        *assignments(folder),
    ]


@pytest.mark.ci
@pytest.mark.compiled
def test_every_public_object_has_a_short_repr(objects):
    for value in objects:
        text = repr(value)
        assert len(text) <= LONGEST, type(value)
        assert type(value).__name__ in text and "\n" not in text
        assert " at 0x" not in text


@pytest.mark.compiled
def test_every_public_class_is_among_these_objects(objects):
    public = set(re.findall(r"^\.\. autoclass:: ([\w.]+)", API, re.MULTILINE)) - ELSEWHERE
    missing = []
    for name in public:
        module, _, attribute = name.rpartition(".")
        kind = getattr(import_module(module), attribute)
        if not getattr(kind, "_is_protocol", False) and not any(isinstance(value, kind) for value in objects):
            missing.append(name)
    assert not missing


@pytest.mark.parametrize("name", ["alsim.models.dkt.DKTFit", "alsim.models.dkt.DKTTracker"])
def test_classes_that_are_not_built_here_have_a_repr_of_their_own(name):
    module, _, attribute = name.rpartition(".")
    assert "__repr__" in vars(getattr(import_module(module), attribute))


def test_a_rollout_is_described_by_policy_and_counts():
    config = {"num_los": 3, "max_episode_steps": 12}
    kept = alsim.rollout("uniform", num_learners=4, episodes_per_learner=2, config=config)
    assert repr(kept) == (
        f"Rollout(policy='uniform', 4 learners, 8 episodes, {len(kept.propensity)} interactions, "
        f"obs ({len(kept.propensity)}, 5) float32)"
    )
    assert kept.policy == "uniform"
    assert repr(kept.interactions).startswith(f"Interactions(action ({len(kept.propensity)},) int32, reward (")
    rows = f"({len(kept.propensity)},) int64"
    assert repr(kept.interactions).endswith(f"length (8,) int64, episode {rows}, step {rows})")
    without = alsim.rollout("rules", num_learners=1, config=config, keep_observations=False)
    assert repr(without).endswith(", no observations)")


def test_a_dataset_is_described_as_a_rollout_is(tmp_path):
    arguments = {"num_learners": 4, "episodes_per_learner": 2, "config": {"num_los": 3, "max_episode_steps": 12}}
    dataset = alsim.generate_dataset(**arguments)
    counts = f"Dataset(policy='uniform', 8 episodes, {len(dataset)} transitions, "
    assert repr(dataset) == f"{counts}in memory)"
    assert repr(alsim.generate_dataset(**arguments, out=tmp_path / "d")) == f"{counts}in {tmp_path / 'd'})"


def test_a_configuration_shows_what_differs_from_the_default():
    assert repr(alsim.Config()) == "Config()"
    changed = alsim.Config.read({"num_los": 3, "termination": {"max_frustration": 0.3}})
    assert repr(changed) == "Config(num_los=3, termination=TerminationConfig(max_frustration=0.3))"


def test_the_structs_of_rules_show_their_numbers():
    values = [
        Learner(f32(0.5), f32(0), f32(0), f32(30), i32(2)),
        Item(True, False, *map(f32, (1, 0, 0.25, 30, 10, 0, 0))),
        *(Draws(f32(0.5), f32(0)), Outcome(True, f32(0.1))),
    ]
    for value in values:
        assert type(value).__name__ in repr(value) and len(repr(value)) <= LONGEST


def test_a_tuple_with_a_short_repr_is_still_a_tuple():
    x = Interactions.from_rows([(0, 1.0, 0, True, 0.1, 30.0, 0.0, 0.5)])
    again = pickle.loads(pickle.dumps(x))
    assert isinstance(again, tuple) and type(again) is Interactions and repr(again) == repr(x)
    assert x._replace(action=None).action is None and len(x) == len(Interactions._fields)


class Faulty:
    def __repr__(self):
        raise RuntimeError


@short_repr
class Pair(NamedTuple):
    first: Any
    second: Any


CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (np.float32(0.1), "first=0.1"),
        (np.array(3), "first () int64"),
        (np.ma.masked_array([1.0], [True]), "first (1,) float64"),
        (np.array(["a", None], object), "first (2,) object"),
        (np.zeros(2, "i4,f8"), "first (2,) [('f0', '<i4'), ('f1', '<f8')]"),
        ("x" * 10_000, f"first='{'x' * 40}'…"),
        (range(10**9), "first=range(0, 1000000000)"),
        (dict.fromkeys(range(1000)), "first=<dict of 1000>"),
        ([np.zeros(3)] * 2, "first=[(3,) float64, (3,) float64]"),
        ((np.zeros(99), 1), "first=<tuple of 2>"),
        (object(), "first=object(…)"),
        (None, "first=None"),
        (float("nan"), "first=nan"),
        (np.float64, "first=<class 'numpy.float64'>"),
    ],
)
def test_fields_of_any_type_are_described(first, text):
    assert repr(Pair(first, 1)) == f"Pair({text}, second=1)"


@pytest.mark.parametrize("first", [Faulty(), [Faulty()], CIRCULAR])
def test_a_repr_never_raises(first):
    assert repr(Pair(first, 1)) == "Pair(…)"


def test_a_repr_never_raises_for_incomplete_objects():
    empty = dict.fromkeys(alsim.Rollout.__dataclass_fields__)
    assert repr(alsim.Rollout(**empty)) == "Rollout(…)"
    assert repr(alsim.Dataset({}, {})) == "Dataset(…)"
    assert repr(View(None, "mastery", 3, None, None)).startswith("View(observation=None, kind='mastery', ")
