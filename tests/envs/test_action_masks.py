"""Action masks of the environments."""

import json
import pickle
import re
from copy import deepcopy
from typing import Any

import gymnasium
import masks as examples
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.vector import SyncVectorEnv
from masks import EDGES, about_weak, allowed_by_prerequisites, random_mask
from vector_envs import DISABLED, NEXT_STEP, SAME_STEP, SHORT, A, make, same

import alsim
from alsim import AdaptiveLearningEnv, AdaptiveLearningVectorEnv
from alsim.curriculum import Curriculum
from alsim.envs.tianshou import AdaptiveLearningTianshouEnv
from alsim.testing import same as alike

pytestmark = pytest.mark.gymnasium

ID = "alsim/AdaptiveLearning-v0"
MODES = (NEXT_STEP, SAME_STEP, DISABLED)
THRESHOLD = 0.3
MASKED: dict[str, Any] = {"config": {**SHORT, "curriculum": EDGES}, "action_mask": f"curriculum:{THRESHOLD}"}


def choose(masks: Any, generator: Any) -> Any:
    """Return a random allowed action of each lane."""
    return np.array([generator.choice(np.flatnonzero(mask)) for mask in masks])


def expected_masks(observations: Any, finished: Any, threshold: float = THRESHOLD) -> Any:
    """Return the masks of the curriculum for observations, by the plain twin; all actions where an episode is over."""
    rows = [
        [True] * A if over else allowed_by_prerequisites(row[:4], EDGES, threshold)
        for row, over in zip(observations, finished, strict=True)
    ]
    return np.array(rows)


@pytest.mark.heavy
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("info", ["none", "minimal", "flat"])
def test_masks_by_a_curriculum_in_every_mode(mode: Any, info: str) -> None:
    """After resets, steps, automatic and partial resets; `infos` have the same masks."""
    env, generator = make(20, autoreset_mode=mode, info=info, mask_in_info=True, **MASKED), np.random.default_rng(0)
    observations, infos = env.reset(seed=3)
    finished, seen = np.zeros(20, bool), set()
    for _ in range(60):
        masks = env.action_masks()
        same(masks, expected_masks(observations, finished))
        same(infos["action_mask"], masks)
        seen |= {tuple(mask) for mask in masks}
        masks[:] = False  # the caller's own array
        observations, _, terminated, truncated, infos = env.step(choose(infos["action_mask"], generator))
        finished = np.zeros(20, bool) if mode == SAME_STEP else terminated | truncated
        same(infos["_action_mask"], np.ones(20, bool))
        if "final_info" in infos:
            ended = infos["_final_info"]
            same(infos["final_info"]["_action_mask"], ended)
            assert infos["final_info"]["action_mask"][ended].all()
        if mode == DISABLED and finished.any():
            observations, reset_infos = env.reset(options={"reset_mask": finished})
            same(reset_infos["_action_mask"], finished)
            infos, finished = reset_infos, np.zeros(20, bool)
    assert len(seen) >= 5


def test_masks_follow_partial_resets_subsets_and_snapshots() -> None:
    env, generator = make(12, autoreset_mode=DISABLED, mask_in_info=True, **MASKED), np.random.default_rng(1)
    observations, _ = env.reset(seed=0)
    for _ in range(30):
        over = env.snapshot().over
        if over.any():
            observations, _ = env.reset(options={"reset_mask": over})
        lanes = generator.permutation(12)[: generator.integers(1, 13)]
        actions = choose(env.action_masks()[lanes], generator)
        _, _, _, _, infos = env.step_lanes(actions, lanes)
        current = env.snapshot()
        expected = expected_masks(current.observations, current.over)
        same(env.action_masks(), expected)
        same(infos["action_mask"], expected[lanes])
        same(infos["_action_mask"], np.ones(len(lanes), bool))
    kept, masks = env.snapshot(), env.action_masks()
    for copied in (pickle.loads(pickle.dumps(env)), deepcopy(env)):
        same(copied.action_masks(), masks)
        copied.reset(seed=5)
        assert not np.array_equal(copied.action_masks(), masks)
    env.reset(seed=9)
    assert not np.array_equal(env.action_masks(), masks)
    _, infos = env.restore(kept)
    same(env.action_masks(), masks)
    same(infos["action_mask"], masks)


@pytest.mark.heavy
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("info", ["none", "minimal", "flat"])
def test_infos_equal_those_of_gymnasiums_vector_environments(mode: Any, info: str) -> None:
    """Also with resets; where no lane is reset, Gymnasium fills the others with zeros, so only valid rows compare."""
    ours = make(6, autoreset_mode=mode, info=info, mask_in_info=True, **MASKED)
    theirs = SyncVectorEnv(
        [lambda: AdaptiveLearningEnv(info=info, mask_in_info=True, **MASKED)] * 6, autoreset_mode=mode
    )
    generator = np.random.default_rng(2)
    _, got = ours.reset(seed=[*range(6)])
    _, expected = theirs.reset(seed=[*range(6)])
    for _ in range(40):
        valid = got["_action_mask"]
        same(valid, np.asarray(expected["_action_mask"]))
        same(got["action_mask"][valid], np.asarray(expected["action_mask"])[valid])
        if "final_info" in expected:
            for key in ("action_mask", "_action_mask"):
                same(got["final_info"][key], np.asarray(expected["final_info"][key]))
        actions = choose(ours.action_masks(), generator)
        *_, terminated, truncated, got = ours.step(actions)
        *_, expected = theirs.step(actions)
        over = terminated | truncated
        if mode == DISABLED and over.any():
            _, got = ours.reset(options={"reset_mask": over})
            _, expected = theirs.reset(options={"reset_mask": over})


@pytest.mark.parametrize("mode", MODES)
def test_the_single_environment_is_a_lane(mode: Any) -> None:
    one = AdaptiveLearningEnv(mask_in_info=True, **MASKED)
    many = make(3, autoreset_mode=DISABLED, **MASKED)
    generator = np.random.default_rng(4)
    _, info = one.reset(seed=8, options={"learner": 2})
    many.reset(seed=8)
    done = False
    while not done:
        mask = one.action_masks()
        assert mask.shape == (A,)
        same(mask, many.action_masks()[2])
        same(mask, info["action_mask"])
        action = generator.choice(np.flatnonzero(mask))
        _, _, terminated, truncated, info = one.step(action)
        many.step_lanes([action], [2])
        done = terminated or truncated
    assert one.action_masks().all() and info["action_mask"].all()


@pytest.mark.parametrize("rows", [(), (5,)])
def test_arrays(rows: Any) -> None:
    """One row for all lanes, or one row per lane; lists are arrays; the caller's array is copied."""
    mask = random_mask(0, (*rows, A))
    env, again = make(5, action_mask=mask), make(5, action_mask=mask.tolist())
    given = mask.copy()
    mask[:] = True
    for each in (env, again):
        each.reset(seed=0)
        same(each.action_masks(), np.broadcast_to(given, (5, A)).copy())


def test_functions_of_the_view() -> None:
    """The function sees the learners' state, and its result may be one row."""
    seen: list[Any] = []

    def keep(view: Any) -> Any:
        seen.append(view)
        return about_weak(view)

    env, over = make(9, action_mask=keep), np.zeros(9, bool)
    observations, _ = env.reset(seed=0)
    generator = np.random.default_rng(0)
    for _ in range(5):
        weak = observations[:, :4] <= observations[:, :4].mean(axis=1, keepdims=True)
        same(env.action_masks()[:, 0:12:3], weak | over[:, np.newaxis])
        observations, _, terminated, truncated, _ = env.step(choose(env.action_masks(), generator))
        over = terminated | truncated
    assert len(seen) == 5  # once for each state
    view = seen[-1]
    assert (view.num_lanes, view.num_los, view.kind, view.mask) == (9, 4, "mastery", None)
    same(view.last_seconds, env.snapshot().learners.response_time)
    for array in (view.observation, view.last_seconds):
        assert not array.flags.writeable
    for name in ("step", "asked", "shown"):
        with pytest.raises(ValueError, match="an environment keeps no history of its lanes"):
            getattr(view, name)
    with pytest.raises(ValueError, match="an environment keeps no history of its lanes"):
        view.items[0]
    assert "View" in repr(view)
    row = make(2, action_mask=examples.no_hard)
    row.reset(seed=0)
    assert row.action_masks()[:, 2:12:3].sum() == 0 and row.action_masks().sum() == 2 * (A - 4)


def test_a_function_may_read_the_clock_where_there_is_one() -> None:
    def early(view: Any) -> Any:
        return np.repeat(view.hours[:, np.newaxis] < 100, view.num_actions, axis=1)

    sessions = {**SHORT, "sessions": {"interactions": 1, "break_hours": 200}}
    env = AdaptiveLearningEnv(sessions, action_mask=early)
    env.reset(seed=0)
    assert env.action_masks().all()
    env.step(0)
    with pytest.raises(ValueError, match="the action mask 'early' allows no action in lane 0"):
        env.step(0)
    without = AdaptiveLearningEnv(SHORT, action_mask=early)
    without.reset(seed=0)
    with pytest.raises(ValueError, match="needs a clock") as raised:
        without.action_masks()
    assert raised.value.__notes__ == ["raised by the action mask 'early'"]


@pytest.mark.parametrize("mode", MODES)
def test_masked_actions_are_refused_and_nothing_changes(mode: Any) -> None:
    mask = np.ones((5, A), bool)
    mask[3, 7] = mask[4, 8] = False
    env = make(5, autoreset_mode=mode, action_mask=mask)
    env.reset(seed=0)
    before, out = env.snapshot(), env.new_buffers()
    sentence = (
        "the action mask does not allow action 7 in lane 3; choose an action that action_masks() allows, or create the "
        "environment with masked_actions='allow'"
    )
    for call in (
        lambda: env.step(np.array([7, 7, 7, 7, 8])),
        lambda: env.step([7, 7, 7, 7, 8], out=out),
        lambda: env.step_lanes([1, 7], [0, 3]),
        lambda: env.step_lanes([7], [3]),
    ):
        with pytest.raises(alsim.AlsimError, match=f"^{re.escape(sentence)}$"):
            call()
        assert env.snapshot() == before and not out.rewards.any()
    for actions in ([0, 0, 0, 0, A], [-1, 7, 7, 0, 0], [0, 0, 0]):  # the usual errors
        with pytest.raises(alsim.AlsimError, match="actions must"):
            env.step(np.array(actions))
        assert env.snapshot() == before
    env.step_lanes([8], [3])
    env.step(np.array([7, 8, 7, 8, 7]))
    one = AdaptiveLearningEnv(SHORT, action_mask=mask[3])
    one.reset(seed=0)
    with pytest.raises(alsim.AlsimError, match=f"^{re.escape(sentence.replace(' in lane 3', ''))}$"):
        one.step(7)
    assert one.step_count == 0 and one.episode_log == []


@pytest.mark.parametrize("mode", MODES)
def test_allowed_masked_actions_change_nothing_else(mode: Any) -> None:
    """With masked_actions="allow", and with allowed actions, an environment returns what it returns without a mask."""
    generator = np.random.default_rng(0)
    plain = make(7, autoreset_mode=mode, info="full")
    masked = make(7, autoreset_mode=mode, info="full", action_mask=random_mask(1, (7, A)), masked_actions="allow")
    assert alike(plain.reset(seed=1), masked.reset(seed=1))
    for _ in range(30):
        actions = generator.integers(A, size=7)
        one = plain.step(actions)
        assert alike(one, masked.step(actions))
        over = one[2] | one[3]
        if mode == DISABLED and over.any():
            reset = {"reset_mask": over}
            assert alike(plain.reset(options=reset), masked.reset(options=dict(reset)))


def test_actions_of_lanes_that_are_only_reset_are_not_refused() -> None:
    env = make(4, autoreset_mode=NEXT_STEP, action_mask=np.arange(A) < 3, max_episode_steps=2)
    env.reset(seed=0)
    for _ in range(2):
        env.step(np.zeros(4, int))
    assert env.action_masks().all()
    env.step(np.full(4, 30))  # resets
    assert env.action_masks().sum() == 4 * 3


def test_thresholds_of_mastery() -> None:
    """By default, that of the end of an episode; a word or a mapping sets another."""
    config = {**SHORT, "curriculum": EDGES}
    masteries = {None: 0.4, 0.2: 0.2, 0.7: 0.7, 1: 1.0}
    for mastered, threshold in masteries.items():
        given: list[Any] = [{} if mastered is None else {"mastered": mastered}]
        given.append("curriculum" if mastered is None else f"curriculum:{mastered}")
        given.append({"curriculum": {1: [0], 2: [0], 3: [1, 2]}, **given[0]})
        if mastered is None:
            given.append(Curriculum(EDGES))
        for mask in given:
            env = make(50, config=config, action_mask=mask)
            observations, _ = env.reset(seed=0)
            same(env.action_masks(), expected_masks(observations, np.zeros(50, bool), threshold))


def test_all_actions_are_allowed_once_every_outcome_is_mastered() -> None:
    env = make(200, config={**SHORT, "curriculum": EDGES}, action_mask="curriculum:0.05")
    observations, _ = env.reset(seed=0)
    all_mastered = (observations[:, :4] >= np.float32(0.05)).all(axis=1)
    assert 20 < all_mastered.sum() < 200
    same(env.action_masks().all(axis=1), all_mastered)


def test_masks_in_infos_without_a_mask() -> None:
    env = AdaptiveLearningEnv(SHORT, mask_in_info=True, info="none")
    assert env.reset(seed=0)[1].keys() == {"action_mask"}
    assert env.step(35)[4]["action_mask"].tolist() == [True] * A
    assert "action_mask" not in AdaptiveLearningEnv(SHORT, action_mask=[True] * A).reset(seed=0)[1]


def test_masks_need_a_reset() -> None:
    for env in (make(2, action_mask=[True] * A), AdaptiveLearningEnv(SHORT, action_mask=[True] * A)):
        with pytest.raises(ResetNeeded, match=r"call reset\(\) before action_masks\(\)"):
            env.action_masks()


INVALID: list[tuple[Any, str]] = [
    (np.ones(35, bool), "action_mask must have the shape (36,), or (3, 36) with one row per lane; got (35,)"),
    (np.ones((2, 36), bool), "action_mask must have the shape (36,), or (3, 36) with one row per lane; got (2, 36)"),
    (np.ones(36), "action_mask must be booleans, True if allowed; got float64; convert them with astype(bool)"),
    ([1] * 36, "action_mask must be booleans, True if allowed; got int64; convert them with astype(bool)"),
    ([[True], [True, False]], "action_mask must have rows of equal length; got lists of different lengths"),
    (np.zeros(36, bool), "action_mask must allow at least one action; got only False; allow an action"),
    (np.arange(3)[:, None] != np.ones((1, 36)), "action_mask must allow at least one action in row 1; got only False"),
    (3, "action_mask must be an array of booleans, a function of the view, 'curriculum', a Curriculum, a mapping"),
    ("curiculum", "or the name of a function as module:function; got 'curiculum'; did you mean 'curriculum'?"),
    ("curriculum", "action_mask='curriculum' needs a curriculum, and the configuration has none; set its key"),
    ("curriculum:high", "mastered must be a mastery in (0, 1], from which an outcome is mastered; got 'high'"),
    ({"mastered": 0}, "mastered must be a mastery in (0, 1], from which an outcome is mastered; got 0"),
    ({"mastered": np.nan}, "mastered must be a mastery in (0, 1], from which an outcome is mastered; got nan"),
    ({"edges": EDGES}, "an action_mask that is a mapping has the keys curriculum and mastered; got 'edges'"),
    (Curriculum([[0, 9]]), "the curriculum has the learning outcome 9; expected an index in [0, 4)"),
    ("masks:EDGES", "'masks:EDGES' is [[0, 1], [0, 2], [1, 3], [2, 3]]; name a function"),
    ("masks:none", "the module 'masks' has no 'none'; it defines"),
]


@pytest.mark.parametrize(("mask", "sentence"), INVALID)
def test_invalid_masks(mask: Any, sentence: str) -> None:
    config = SHORT if isinstance(mask, str) and mask == "curriculum" else {**SHORT, "curriculum": EDGES}
    with pytest.raises(alsim.AlsimError, match=re.escape(sentence)) as raised:
        make(3, config=config, action_mask=mask)
    assert "\n" not in str(raised.value)


def test_hidden_mastery_and_unknown_words() -> None:
    with pytest.raises(alsim.AlsimError, match="needs observation='mastery'; got 'responses', which hides the mastery"):
        make(3, observation="responses", **MASKED)
    with pytest.raises(alsim.AlsimError, match="masked_actions must be 'refuse', .* or 'allow', .*; got 'ignore'"):
        make(3, masked_actions="ignore")


def test_invalid_results_of_functions() -> None:
    for function, sentence in (
        (lambda view: np.ones(4, bool), "must return booleans of the shape (3, 36) or (36,); got bool of shape (4,)"),
        (lambda view: np.ones(36), "must return booleans of the shape (3, 36) or (36,); got float64 of shape (36,)"),
        (lambda view: None, "must return booleans of the shape (3, 36) or (36,); got object of shape ()"),
        (examples.nothing, "the action mask 'nothing' allows no action in lane 1; allow at least one, or end the"),
    ):
        env = make(3, action_mask=function)
        env.reset(seed=0)
        before = env.snapshot()
        for call in (env.action_masks, lambda: env.step(np.zeros(3, int))):  # noqa: B023 - called at once
            with pytest.raises(alsim.AlsimError, match=re.escape(sentence)):
                call()
        assert env.snapshot() == before


@pytest.mark.parametrize(
    "mask",
    [
        "curriculum:0.3",
        "masks:about_weak",
        about_weak,
        Curriculum(EDGES),
        {"curriculum": EDGES, "mastered": 0.2},
        np.arange(A) % 3 > 0,
        (np.arange(A) % 3 > 0).tolist(),
    ],
    ids=["word", "name", "function", "curriculum", "mapping", "array", "list"],
)
def test_specs_with_masks_survive_json(mask: Any) -> None:
    config = {**SHORT, "curriculum": EDGES}
    env = gymnasium.make(ID, config=config, action_mask=mask, masked_actions="allow", mask_in_info=True)
    text = env.spec.to_json()  # type: ignore[union-attr]
    json.loads(text)
    other = gymnasium.make(EnvSpec.from_json(text))
    for each in (env, other):
        each.reset(seed=0)
    same(env.get_wrapper_attr("action_masks")(), other.get_wrapper_attr("action_masks")())
    same(env.step(30)[4]["action_mask"], other.step(30)[4]["action_mask"])
    many = gymnasium.make_vec(ID, 3, config=config, action_mask=mask)
    assert isinstance(many, AdaptiveLearningVectorEnv) and many.spec is not None
    again = gymnasium.make_vec(EnvSpec.from_json(many.spec.to_json()), 3)
    for each_vector in (many, again):
        each_vector.reset(seed=0)
    same(many.action_masks(), again.action_masks())  # type: ignore[attr-defined]


def test_the_adapter_for_tianshou_has_dictionaries_with_masks() -> None:
    env, plain = AdaptiveLearningTianshouEnv(5, **MASKED), make(5, autoreset_mode=DISABLED, **MASKED)
    observations, _ = env.reset(seed=3)
    expected, _ = plain.reset(seed=3)
    generator = np.random.default_rng(0)
    for _ in range(12):
        assert observations.dtype == object and all(env.observation_space.contains(row) for row in observations)
        lanes = generator.permutation(5)[: generator.integers(1, 6)]
        actions = choose(plain.action_masks()[lanes], generator)
        expected, *_ = plain.step_lanes(actions, lanes)
        observations, _, terminated, truncated, _ = env.step(actions, lanes)
        same(np.stack([row["obs"] for row in observations]), expected)
        same(np.stack([row["mask"] for row in observations]), plain.action_masks()[lanes])
        same(env.action_masks(), plain.action_masks())
        if (over := terminated | truncated).any():
            plain.reset(options={"reset_mask": np.isin(np.arange(5), lanes[over])})
            observations, _ = env.reset(lanes[over])
            same(np.stack([row["mask"] for row in observations]), plain.action_masks()[lanes[over]])
    with pytest.raises(alsim.AlsimError, match="the action mask does not allow action"):
        env.step(np.argmin(env.action_masks(), axis=1))
