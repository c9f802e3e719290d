"""Policies under action masks: the contract of every policy, and the restriction of distributions."""

import json
import re
from pathlib import Path
from typing import Any

import masks as examples
import numpy as np
import pytest
from masks import EDGES, about_weak, allowed_by_prerequisites, random_mask
from scipy.stats import chisquare
from typer.testing import CliRunner

import alsim
from alsim.bank.items import sample_bank
from alsim.cli.app import app
from alsim.config import Config
from alsim.engine import AdaptiveEngine, Catalogue
from alsim.engine.policy import EnginePolicy
from alsim.jit.compile import COMPILED
from alsim.models.student import EloModel, Items
from alsim.policies import EpsilonGreedy, NetworkPolicy, PolicyDraws, StudentModelPolicy, View, masks, memory, one_hot
from alsim.policies.action_masks import MaskRules, los_with_actions, read_action_mask
from alsim.policies.network import Network
from alsim.policies.rules import Rules

L, A, R = 4, 36, 6
CONFIG: dict[str, Any] = {"num_los": L, "max_episode_steps": 12, "curriculum": EDGES}
LEARNERS = 30 if COMPILED else 6
ALARM = 1e-6
"""Probability of a false alarm of each statistical test; seeds are fixed."""


def network(acting: Any, epsilon: float = 0.0) -> NetworkPolicy:
    generator = np.random.default_rng(5)
    layers = [
        (generator.normal(size=(R, 8)).astype("f4"), np.zeros(8, "f4")),
        (generator.normal(size=(8, A)).astype("f4"), np.zeros(A, "f4")),
    ]
    return NetworkPolicy(Network(layers), name=f"network-{acting}", acting=acting, epsilon=epsilon)


class Momentum:
    """Policy with memory and without reads_mask: prefers the actions about the LO of the last interaction."""

    name = "momentum"

    def start(self, n: int) -> Any:
        return {"lo": np.zeros(n, np.int64)}

    def probabilities(self, view: View, state: Any, draws: Any = None) -> Any:
        los = np.concatenate([np.repeat(np.arange(view.num_los), 3), np.repeat(np.arange(view.num_los), 6)])
        odds = np.where(los == state["lo"][:, np.newaxis], 3.0, 1.0)
        return odds / odds.sum(axis=1, keepdims=True)

    def act(self, view: View, state: Any, draws: PolicyDraws) -> Any:
        odds = self.probabilities(view, state)
        actions = masks.sample(odds, draws.uniform())
        return actions, odds[np.arange(len(odds)), actions]

    def learn(self, state: Any, transitions: Any) -> None:
        state["lo"][:] = transitions.los


ARGUMENTS = {"epsilon-greedy": "epsilon-greedy:rules:0.3", "mix": "mix:rules=0.7,uniform=0.3", "oracle": "oracle:2"}
"""Names with arguments, of registered policies that need some; few samples suffice for the oracle."""


def policies() -> list[Any]:
    """Return every registered policy, and others of each kind."""
    fixed = "student", "engine"  # they need a model or a catalogue of L outcomes
    names = [name for name in alsim.policies.POLICIES if name not in fixed]
    registered = [alsim.make_policy(ARGUMENTS.get(name, name)) for name in names]
    own = [network("sample"), network("greedy"), network("epsilon", 0.3), Momentum(), EpsilonGreedy(Momentum(), 0.4)]
    own.append(StudentModelPolicy(EloModel(Items.of_cells(L))))
    own.append(EnginePolicy(AdaptiveEngine(None, Catalogue.of_bank(sample_bank(Config.read({"num_los": L}))))))
    return [*registered, *own, alsim.make_policy("epsilon-greedy:(epsilon-greedy:rules:0.1):0.2")]


POLICIES = [pytest.param(policy, id=policy.name) for policy in policies()]
KINDS: dict[str, Any] = {
    "row": random_mask(1, (A,)),
    "learners": random_mask(2, (LEARNERS, A)),
    "sparse": random_mask(3, (LEARNERS, A), 0.0),
    "curriculum": "curriculum:0.35",
    "mapping": {"curriculum": [[3, 0]], "mastered": 0.3},
    "function": about_weak,
    "one row": examples.no_hard,
}


def pairs(policies: list[Any], *kinds: str) -> Any:
    """Parametrize a test by kinds of masks and policies. Policies of seconds in the interpreter have one kind there."""
    slow = ("thompson", "lints", "oracle")
    return pytest.mark.parametrize(
        ("kind", "policy"),
        [
            pytest.param(
                *(kind, *policy.values),
                id=f"{kind}-{policy.id}",
                marks=[pytest.mark.compiled] if str(policy.id).startswith(slow) and kind != "learners" else [],
            )
            for kind in kinds
            for policy in policies
        ],
    )


def allowed_in(rollout: Any, mask: Any) -> Any:
    """Return the mask of each interaction of a rollout, (M, A), by plain code."""
    learners = np.repeat(rollout.learner_id, rollout.interactions.length)
    mastery = rollout.obs[:, :L]
    if isinstance(mask, str):
        return np.array([allowed_by_prerequisites(row, EDGES, 0.35) for row in mastery])
    if isinstance(mask, dict):
        return np.array([allowed_by_prerequisites(row, mask["curriculum"], mask["mastered"]) for row in mastery])
    if callable(mask):
        view = View(rollout.obs, "mastery", L, np.ones(len(mastery), bool), np.zeros(len(mastery), "f4"))
        return np.broadcast_to(mask(view), (len(mastery), A))
    return np.broadcast_to(mask[learners] if mask.ndim == 2 else mask, (len(mastery), A))


@pytest.mark.heavy
@pairs(POLICIES, *KINDS)
def test_no_policy_chooses_a_masked_action(policy: Any, kind: str) -> None:
    run = alsim.rollout(policy, num_learners=LEARNERS, seed=4, config=CONFIG, action_mask=KINDS[kind])
    allowed, actions = allowed_in(run, KINDS[kind]), run.interactions.action
    assert allowed[np.arange(len(actions)), actions].all()
    assert ((run.propensity > 0) & (run.propensity <= 1)).all()
    if kind == "sparse":
        assert np.allclose(run.propensity, 1, rtol=0, atol=1e-12)


IN_LOGS = [policy for policy in POLICIES if policy.id != ARGUMENTS["oracle"]]
"""Policies that do not need the truth, which logs and views of tests do not have."""


@pytest.mark.heavy
@pairs(IN_LOGS, "learners", "curriculum", "function")
def test_logs_have_the_exact_propensities(policy: Any, kind: str) -> None:
    """`Dataset.probabilities` recomputes the masks, and `distributions` sum to 1 over allowed actions."""
    mask = KINDS[kind]
    dataset = alsim.generate_dataset(LEARNERS, 1, policy, seed=3, config=CONFIG, action_mask=mask)
    given = {"action_mask": mask} if callable(mask) else {}
    np.testing.assert_allclose(dataset.probabilities(policy, **given), dataset.propensity, rtol=1e-6, atol=0)
    for (rows, view), (again, odds) in zip(dataset.views(**given), dataset.distributions(policy, **given), strict=True):
        np.testing.assert_array_equal(rows, again)
        assert view.mask is not None and not view.mask.flags.writeable
        assert not odds[~view.mask].any()
        np.testing.assert_allclose(odds.sum(axis=1), 1, rtol=1e-9)


@pytest.mark.ci
@pytest.mark.compiled  # integrals of 20,000 lanes take half an hour in the interpreter
@pytest.mark.parametrize("policy", IN_LOGS)
def test_frequencies_match_the_restricted_probabilities(policy: Any) -> None:
    """20,000 lanes with the same view and different draws; chi-square, false alarm ALARM per policy."""
    lanes = 20_000
    generator = np.random.default_rng(11)
    row = np.array([0.5, 0.2, 0.7, 0.4, 0.2, 0.1], np.float32)
    mask = random_mask(8, (A,), 0.4)
    view = View(
        np.tile(row, (lanes, 1)), "mastery", L, np.ones(lanes, bool), np.zeros(lanes, "f4"), clock=np.zeros(lanes)
    )
    rules = MaskRules(tuple("abcd"), None, 0.8, "mastery", lanes, "lane")
    view = masks.with_mask(view, read_action_mask(mask, rules))
    words = generator.integers(2**32, size=(8, lanes, 4), dtype=np.uint32)
    draws = PolicyDraws(lambda block: words[block])
    state = memory.start(policy, lanes)
    odds = masks.probabilities(policy, view, state, draws.copy())
    actions, propensities = masks.act(policy, view, state, draws)
    np.testing.assert_allclose(propensities, odds[np.arange(lanes), actions], rtol=1e-9)
    assert mask[actions].all()
    expected = odds.mean(axis=0)
    possible = expected > 0
    assert not (possible & ~mask).any()
    counts = np.bincount(actions, minlength=A)
    assert not counts[~possible].any()
    if possible.sum() > 1:
        assert chisquare(counts[possible], lanes * expected[possible] / expected[possible].sum()).pvalue > ALARM


@pytest.mark.ci
@pairs(POLICIES, "learners", "curriculum")
def test_a_learner_does_not_depend_on_the_batch(policy: Any, kind: str) -> None:
    mask = KINDS[kind]
    together = alsim.rollout(policy, num_learners=LEARNERS, seed=2, config=CONFIG, action_mask=mask)
    for learner in (0, LEARNERS // 4, LEARNERS - 1):
        own = mask[learner : learner + 1] if kind == "learners" else mask
        alone = alsim.rollout(policy, num_learners=1, first_learner=learner, seed=2, config=CONFIG, action_mask=own)
        rows = np.repeat(together.learner_id, together.interactions.length) == learner
        for name in ("action", "reward", "item"):
            np.testing.assert_array_equal(getattr(together.interactions, name)[rows], getattr(alone.interactions, name))
        np.testing.assert_array_equal(together.propensity[rows], alone.propensity)


def test_restrict_by_plain_code() -> None:
    generator = np.random.default_rng(0)
    odds = generator.dirichlet(np.full(A, 0.1), size=200)
    odds[::4] = one_hot(generator.integers(A, size=50), A)
    allowed = random_mask(1, (200, A))
    empty = 0
    for row, mask, got in zip(odds, allowed, masks.restrict(odds, allowed), strict=True):
        mass = sum(p for p, a in zip(row, mask, strict=True) if a)
        empty += mass == 0
        expected = [0.0 if not a else p / mass if mass > 0 else 1 / mask.sum() for p, a in zip(row, mask, strict=True)]
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=0)
    assert 20 < empty < 60


def test_sample_is_the_inverse_of_the_cumulative_distribution() -> None:
    odds = np.array([[0.0, 0.25, 0.0, 0.75]] * 4 + [[1.0, 0, 0, 0], [0, 0, 0, 1.0]])
    variates = np.array([2.0**-33, 0.2499, 0.25, 1 - 2.0**-33, 0.5, 1 - 2.0**-33])
    assert masks.sample(odds, variates).tolist() == [1, 1, 3, 3, 0, 3]


def test_a_mask_that_allows_all_changes_no_propensity() -> None:
    everything = np.ones(A, bool)
    assert set(alsim.rollout("uniform", num_learners=20, config=CONFIG, action_mask=everything).propensity) == {1 / A}
    plain = alsim.rollout("epsilon-greedy:rules:0.3", num_learners=20, config=CONFIG)
    masked = alsim.rollout("epsilon-greedy:rules:0.3", num_learners=20, config=CONFIG, action_mask=everything)
    assert set(plain.propensity.round(12)) == set(masked.propensity.round(12))


def test_rules_see_closed_outcomes_as_mastered() -> None:
    """`rules` teaches the weakest of the LOs about which an action is allowed."""
    run = alsim.rollout("rules", num_learners=50, seed=1, config=CONFIG, action_mask="curriculum:0.35")
    allowed = allowed_in(run, "curriculum:0.35")
    is_open = los_with_actions(allowed)
    assert (~is_open).any(axis=1).mean() > 0.5
    weakest = np.where(is_open, run.obs[:, :L], 1).argmin(axis=1)  # type: ignore[index]
    _, los, _ = alsim.mdp.actions.split_actions(run.interactions.action, L)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(los, weakest)


def test_functions_see_the_history_in_rollouts() -> None:
    def no_repetition(view: Any) -> Any:
        mask = np.ones((view.num_lanes, view.num_actions), bool)
        if view.step:
            mask[np.arange(view.num_lanes), view.actions[-1]] = False
        return mask

    run = alsim.rollout("epsilon-greedy:rules:0.1", num_learners=20, config=CONFIG, action_mask=no_repetition)
    episode = np.repeat(np.arange(20), run.interactions.length)
    actions = run.interactions.action
    assert not ((actions[1:] == actions[:-1]) & (episode[1:] == episode[:-1])).any()


class Stubborn:
    """Policy without `probabilities`."""

    name = "stubborn"

    def act(self, view: View, draws: Any) -> Any:
        return np.zeros(view.num_lanes, np.int64), np.ones(view.num_lanes)


class Careless(Stubborn):
    """Policy that claims to read the mask."""

    name, reads_mask = "careless", True

    def probabilities(self, view: View) -> Any:
        return one_hot(self.act(view, None)[0], view.num_actions)


def test_errors_name_the_policy() -> None:
    mask = np.arange(A) > 0
    for call in (alsim.rollout, lambda policy, **given: alsim.generate_dataset(5, 1, policy, **given)):
        with pytest.raises(
            alsim.AlsimError, match="with an action mask, the policy must be a policy with .*'stubborn'"
        ):
            call(Stubborn(), config=CONFIG, action_mask=mask)
        with pytest.raises(
            alsim.AlsimError,
            match="the policy 'careless' chose action 0 in lane 0, which the action mask does not allow; let it choose",
        ):
            call(Careless(), config=CONFIG, action_mask=mask)
    dataset = alsim.generate_dataset(5, 1, "uniform", config=CONFIG, action_mask=mask)
    with pytest.raises(
        alsim.AlsimError, match="the policy 'careless' gives action 0 in lane 0 the probability 1.0, but"
    ):
        dataset.probabilities(Careless())
    with pytest.raises(alsim.AlsimError, match="'nothing' allows no action in lane 1"):
        alsim.rollout("uniform", num_learners=5, config=CONFIG, action_mask=examples.nothing)
    with pytest.raises(alsim.AlsimError, match=r"shape \(36,\), or \(5, 36\) with one row per learner; got \(4, 36\)"):
        alsim.rollout("uniform", num_learners=5, config=CONFIG, action_mask=np.ones((4, A), bool))


def test_functions_in_datasets(tmp_path: Path) -> None:
    """A function is recorded by name, and never imported because a manifest says so."""
    with pytest.raises(alsim.AlsimError, match="the action mask '<lambda>' cannot be recorded, since it cannot be"):
        alsim.generate_dataset(2, 1, config=CONFIG, action_mask=lambda view: np.ones(view.num_actions, bool))
    alsim.generate_dataset(5, 1, "rules", out=tmp_path / "data", config=CONFIG, action_mask="masks:about_weak")
    dataset = alsim.load_dataset(tmp_path / "data")
    assert dataset.manifest["action_mask"] == "masks:about_weak"
    for call in (dataset.probabilities, dataset.distributions):
        with pytest.raises(
            alsim.AlsimError, match="a function as action mask, 'masks:about_weak', which is not imported"
        ):
            call("rules")
    with pytest.raises(alsim.AlsimError, match=re.escape("'masks:about_weak'; got 'masks:no_hard'; leave out")):
        dataset.probabilities("rules", action_mask=examples.no_hard)
    for mask in (about_weak, "masks:about_weak"):
        np.testing.assert_allclose(dataset.probabilities("rules", action_mask=mask), dataset.propensity, rtol=1e-9)


def test_other_masks_are_recorded_as_data(tmp_path: Path) -> None:
    for name in ("row", "learners", "curriculum", "mapping"):
        out = tmp_path / name
        alsim.generate_dataset(LEARNERS, 1, "rules", out=out, config=CONFIG, action_mask=KINDS[name])
        dataset = alsim.load_dataset(out)
        np.testing.assert_allclose(dataset.probabilities("rules"), dataset.propensity, rtol=1e-9)
        assert "action_mask" in json.loads((out / "manifest.json").read_text())
        with pytest.raises(alsim.AlsimError, match="already holds a finished dataset"):  # of another mask
            alsim.generate_dataset(LEARNERS, 1, "rules", out=out, config=CONFIG)
    plain = alsim.generate_dataset(2, 1, config=CONFIG)
    assert "action_mask" not in plain.manifest


@pytest.mark.compiled  # the learners begin before the error
def test_masks_of_many_learners_are_refused() -> None:
    with pytest.raises(alsim.AlsimError, match="at most 1,000,000 entries; got 1,080,000; use one row for all"):
        alsim.generate_dataset(30_000, 1, config=CONFIG, action_mask=np.ones((30_000, A), bool))


def test_workers_and_threads_do_not_matter(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"config": CONFIG, "action_mask": KINDS["learners"], "episodes_per_shard": 7}
    one = alsim.generate_dataset(LEARNERS, 1, "rules", **arguments)
    other = alsim.generate_dataset(LEARNERS, 1, "rules", out=tmp_path / "data", num_threads=2, **arguments)
    assert one.transitions.equals(other.transitions)


def test_commands(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f"num_los = {L}\nmax_episode_steps = 12\ncurriculum = {EDGES}\n")
    common = ["--config", str(config), "--action-mask", "curriculum:0.35", "--policy", "rules", "--seed", "3"]
    done = CliRunner().invoke(app, ["generate", *common, "--learners", "5", "--out", str(tmp_path / "data")])
    assert done.exit_code == 0, done.output
    dataset = alsim.load_dataset(tmp_path / "data")
    assert dataset.manifest["action_mask"] == {"curriculum": EDGES, "mastered": 0.35}
    report = tmp_path / "show.json"
    done = CliRunner().invoke(app, ["show", *common, "--learner", "2", "--json", str(report)])
    assert done.exit_code == 0, done.output
    shown = json.loads(report.read_text())
    assert shown["action_mask"] == dataset.manifest["action_mask"]
    first = dataset.learner_id == 2
    assert [row["action"] for row in shown["interactions"]] == dataset.action[first & (dataset.episode == 0)].tolist()
    bad = [*common]
    bad[3] = "curriculum:2"
    done = CliRunner().invoke(app, ["show", *bad])
    assert done.exit_code != 0


def test_the_view_without_a_mask() -> None:
    seen: list[Any] = []

    class Looks(Rules):
        def probabilities(self, view: View, draws: Any = None) -> Any:
            seen.append(view)
            return super().probabilities(view)

    alsim.rollout(Looks(), num_learners=3, config=CONFIG, action_mask=np.arange(A) < 9)
    assert seen[0].mask.shape == (3, A) and not seen[0].observation.flags.writeable
    assert masks.reads_mask(EpsilonGreedy(Rules(), 0.1)) and not masks.reads_mask(Rules())
