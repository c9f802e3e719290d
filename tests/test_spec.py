"""Tests of the clauses (docs/spec.md): each clause has at least one test here, with its number in the name.

Other files have tests with the same naming: the distributions of draws (S1.1, S1.2, S4.1, S4.4, S5.1) are in
test_oracle.py, the bank (S2.2, S2.3) in bank/, counters and batches (S11.1, S11.2, S11.5) in numerics/test_philox.py
and simulator/test_batch.py.
"""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import DIFFICULTIES, MODALITIES, Oracle, philox4x32
from oracle import uniform as uniform_of
from scipy import stats
from worlds import Lanes, bank_dicts, default_bank, oracle_of

import alsim
from alsim.bank.items import Bank, sample_bank
from alsim.config import REWARD_PRESETS, Config
from alsim.jit.compile import COMPILED
from alsim.mdp.actions import action_meanings, content_action, decode_action, num_actions, question_action
from alsim.simulator import step as step_kernels
from alsim.types import FIRST_HELD_OUT, Reason

EASY, MEDIUM, HARD = range(3)
VIDEO, PPT, TEXT, BLOG, ARTICLE, HANDOUT = range(6)
IMPACTS = (-0.08, -0.05, 0.02, -0.03, 0.0, 0.05)
ABLE, UNABLE = 60.0, -60.0  # abilities at which P(correct) is 1 and c

# Without guessing, an extreme ability determines the answer.
NO_GUESSING = {"irt": {"guessing_range": [0.0, 0.0]}}
near = pytest.approx


def answering(correct: bool, n: int = 1, config: dict[str, Any] | None = None, **state: Any) -> Lanes:
    """Return lanes whose next question is certainly answered correctly, or wrongly."""
    lanes = Lanes(n, Config.read({**NO_GUESSING, "num_los": 4, **(config or {})}))
    return lanes.put(ability=ABLE if correct else UNABLE, **state)


def f(x: Any) -> float:
    return float(np.asarray(x).item())


# S1: the learner


@pytest.mark.heavy
def test_s1_1_thirty_outcomes_with_random_mastery() -> None:
    """Mean 2/7, s.d. sqrt(5/196): n = 1000 * 30, four standard errors are 0.0037, a false alarm 6.4e-5.

    18 pairs are expected to coincide in float32; 100 or more have a probability under 1e-40.
    """
    lanes = Lanes(1000, seed=1)
    assert lanes.mastery.shape == (1000, 30)
    assert abs(lanes.mastery.astype(float).mean() - 2 / 7) < 4 * math.sqrt(5 / 196 / 30_000)
    assert len(np.unique(lanes.mastery)) > 29_900


def test_s1_2_ability_is_not_observed() -> None:
    """Observations do not depend on ability; n = 4000 (400), four standard errors, false alarm 6.4e-5."""
    n = 4000 if COMPILED else 400
    one, other = Lanes(3, seed=2), Lanes(3, seed=2).put(ability=[-3, 0, 3])
    assert np.array_equal(one.observations, other.observations)
    assert abs(f(Lanes(n, seed=3).learners.ability.astype(float).mean())) < 4 / math.sqrt(n)


def test_s1_3_frustration_response_time_and_fail_streak_start_at_zero() -> None:
    lanes = Lanes(5)
    for field in ("frustration", "response_time", "fail_streak", "step", "finished"):
        assert not getattr(lanes.learners, field).any()
    assert not lanes.rows[:, 30:].any()


def test_s1_3_a_new_episode_starts_at_zero() -> None:
    lanes = answering(False)
    for _ in range(4):
        lanes.step(lanes.question())
    assert lanes.learners.fail_streak[0] == 4
    lanes.learners.episode[:] = 1
    step_kernels.begin_lanes(lanes.reference, np.zeros(1, np.int64))
    for field in ("frustration", "response_time", "fail_streak", "step", "finished"):
        assert not getattr(lanes.learners, field).any()


def test_s1_4_engagement_is_one_minus_frustration() -> None:
    env = alsim.AdaptiveLearningEnv()
    env.reset(seed=0)
    assert env.learner_state["engagement"] == 1.0
    for action in range(2, 90, 9):
        env.step(action)
        assert env.learner_state["engagement"] == 1.0 - env.learner_state["frustration"]
    assert env.learner_state["frustration"] > 0


@pytest.mark.heavy
def test_s1_5_no_fatigue() -> None:
    """Learners with 30 interactions, reset to the state and counter of fresh ones, take the same step."""
    fresh, tired = Lanes(200, seed=5), Lanes(200, seed=5)
    for step in range(30):
        tired.step((np.arange(200) + 7 * step) % 90)
    tired.learners.step[:] = 0
    for lanes in (fresh, tired):
        lanes.put(mastery=0.3, ability=0.2, frustration=0.1, fail_streak=0, finished=False)
        lanes.step(np.arange(200) % 270)
    for field in ("correct", "gain"):
        assert np.array_equal(getattr(fresh.interaction, field), getattr(tired.interaction, field))
    questions = np.arange(200) % 270 < 90
    assert np.array_equal(fresh.learners.response_time[questions], tired.learners.response_time[questions])
    assert np.array_equal(fresh.learners.frustration, tired.learners.frustration)


def test_s1_6_learner_and_episode_select_a_stream() -> None:
    first, second = Lanes(3, episode=0), Lanes(3, episode=1)
    assert not (first.mastery == second.mastery).any()
    assert not (first.learners.ability == second.learners.ability).any()


# S2: the bank


@pytest.mark.parametrize(
    "each, split", [(20, (7, 7, 6)), (3, (1, 1, 1)), (4, (2, 1, 1)), (5, (2, 2, 1)), (21, (7, 7, 7))]
)
def test_s2_1_questions_are_split_evenly(each: int, split: tuple[int, ...]) -> None:
    bank = sample_bank(Config(num_los=3, num_questions_per_lo=each))
    assert bank.num_questions == 3 * each
    for lo in range(3):
        of_lo = bank.questions.difficulty[bank.questions.learning_outcome == lo]
        assert tuple(np.bincount(of_lo, minlength=3)) == split


def test_s2_1_the_configuration_may_set_the_split() -> None:
    config = Config.read({"num_questions_per_lo": 10, "questions_per_difficulty": {"easy": 1, "medium": 2, "hard": 7}})
    assert tuple(np.bincount(sample_bank(config).questions.difficulty)) == (30, 60, 210)


def test_s2_2_response_times_are_properties_of_the_question() -> None:
    bank = default_bank()
    assert (bank.questions.response_time_mean == 30).all()
    assert (bank.questions.response_time_std == 10).all()
    slow = Lanes(1, bank=with_questions(bank, response_time_mean=200.0, response_time_std=0.0))
    slow.step(slow.question())
    assert slow.learners.response_time[0] == 200


def with_questions(bank: Bank, **columns: Any) -> Bank:
    full = {name: np.full(bank.num_questions, value, np.float32) for name, value in columns.items()}
    return Bank(bank.outcomes, bank.questions._replace(**full), bank.contents)


def test_s2_3_one_content_per_outcome_and_modality() -> None:
    bank = default_bank()
    assert bank.num_contents == 180
    assert [bank.content(k)["modality"] for k in range(6)] == ["video", "PPT", "text", "blog", "article", "handout"]
    cells = set(zip(bank.contents.learning_outcome.tolist(), bank.contents.modality.tolist(), strict=True))
    assert len(cells) == 180


def test_s2_4_the_bank_has_a_separate_seed() -> None:
    assert Config().bank.seed == 0
    assert sample_bank(Config()) == sample_bank(Config.read({"bank": {"seed": 0}}))
    assert sample_bank(Config()) != sample_bank(Config.read({"bank": {"seed": 1}}))
    vectors = [alsim.AdaptiveLearningVectorEnv(2) for _ in range(2)]
    for seed, env in enumerate(vectors):
        env.reset(seed=seed)
    assert vectors[0].bank == vectors[1].bank


def test_s2_4_the_bank_is_drawn_at_its_counters() -> None:
    """Item k of a table uses the words of the counter (0, table, k, 4) under the seed of the bank."""
    bank = sample_bank(Config.read({"bank": {"seed": 2**63 + 9}}))
    key = (9, 2**31)
    for k in (0, 1, 599):
        u = [(word + 0.5) / 2**32 for word in philox4x32((0, 0, k, 4), key)]
        question = bank.question(k)
        low, high = {"Easy": (-2, -0.5), "Medium": (-0.5, 0.5), "Hard": (0.5, 2)}[question["difficulty"]]
        assert question["irt_b"] == near(low + (high - low) * u[1], abs=1e-6)
        assert question["irt_c"] == near(0.1 + 0.15 * u[2], abs=1e-6)
    for k in (0, 6, 174):
        u = [(word + 0.5) / 2**32 for word in philox4x32((0, 1, k, 4), key)]
        assert bank.content(k)["duration"] == near(15 + 10 * u[0], abs=1e-5)
        assert bank.content(k)["effectiveness"] == near(0.10 + 0.05 * u[1], abs=1e-7)


def test_s2_5_tables_of_users_make_a_bank(tmp_path: Any) -> None:
    """Outcomes may have names, difficulty and modality any case; bank/test_files.py has more tests."""
    questions = ["id,learning_outcome,difficulty,irt_a,irt_b,irt_c,response_time_mean,response_time_std"]
    questions += [f"q{k},algebra,{word},1.0,{k - 1},0.2,40,8" for k, word in enumerate(("easy", "MEDIUM", "Hard"))]
    contents = ["id,learning_outcome,modality,duration,effectiveness,engagement_impact"]
    words = ("VIDEO", "ppt", "Text", "blog", "article", "handout")
    contents += [f"c{k},algebra,{word},12,0.1,{IMPACTS[k]}" for k, word in enumerate(words)]
    (tmp_path / "questions.csv").write_text("\n".join(questions) + "\n", encoding="utf-8")
    (tmp_path / "contents.csv").write_text("\n".join(contents) + "\n", encoding="utf-8")
    bank = alsim.load_bank(tmp_path)
    assert bank.num_los == 1
    assert bank.outcomes == ("algebra",)
    assert [bank.question(k)["difficulty"] for k in range(3)] == list(DIFFICULTIES)
    assert [bank.content(k)["modality"] for k in range(6)] == list(MODALITIES)
    (tmp_path / "contents.csv").write_text("\n".join(contents[:-1]) + "\n", encoding="utf-8")
    with pytest.raises(alsim.BankError, match="algebra, handout"):
        alsim.load_bank(tmp_path)


# S3: actions


def test_s3_1_270_actions() -> None:
    """The encoding is that of the specification's decoder."""
    assert num_actions(30) == len(action_meanings(30)) == 270
    for action, meaning in enumerate(action_meanings(30)):
        if action < 90:
            assert meaning == {"type": "question", "lo": action // 3, "difficulty": action % 3}
            assert question_action(meaning["lo"], meaning["difficulty"]) == action
        else:
            assert meaning == {"type": "content", "lo": (action - 90) // 6, "modality": (action - 90) % 6}
            assert content_action(meaning["lo"], meaning["modality"], 30) == action
    for action in (-1, 270):
        with pytest.raises(ValueError, match=str(action)):
            decode_action(action, 30)


@pytest.mark.parametrize("num_los", [1, 2, 30])
def test_s3_1_an_action_shows_an_item_of_its_cell(num_los: int) -> None:
    config = Config(num_los=num_los)
    actions = np.arange(9 * num_los)
    lanes = Lanes(len(actions), config)
    before = lanes.mastery.copy()
    lanes.put(ability=ABLE).step(actions)
    questions, contents = bank_dicts(lanes.bank)
    for action, index in zip(actions.tolist(), lanes.interaction.item.tolist(), strict=True):
        meaning = action_meanings(num_los)[action]
        if meaning["type"] == "question":
            item = questions[index]
            assert item["difficulty"] == DIFFICULTIES[meaning["difficulty"]]
        else:
            item = contents[index - len(questions)]
            assert item["modality"] == MODALITIES[meaning["modality"]]
        assert item["learning_outcome"] == meaning["lo"]
        changed = np.flatnonzero(lanes.mastery[action] != before[action])
        assert set(changed) <= {meaning["lo"]}


@pytest.mark.compiled
def test_s3_2_items_of_a_cell_are_equally_likely() -> None:
    """Chi-square test, n = 5000 over 7 items, seed 8, false alarm 1e-6."""
    lanes = Lanes(5000, seed=8)
    lanes.step(lanes.question(29, EASY))
    items, counts = np.unique(lanes.interaction.item, return_counts=True)
    assert items.tolist() == list(range(29 * 20, 29 * 20 + 7))
    assert stats.chisquare(counts).pvalue > 1e-6


# S4: a question


def test_s4_1_extreme_abilities_determine_the_answer() -> None:
    able, unable = answering(True, 300), answering(False, 300)
    able.step(able.question())
    unable.step(unable.question())
    assert able.interaction.correct.all()
    assert not unable.interaction.correct.any()


@pytest.mark.heavy
def test_s4_1_mastery_has_no_influence() -> None:
    low, high = (Lanes(500, seed=9).put(mastery=m, ability=0.0) for m in (0.0, 1.0))
    for lanes in (low, high):
        lanes.step(lanes.question(4, HARD))
    assert np.array_equal(low.interaction.correct, high.interaction.correct)


def test_s4_2_a_correct_answer() -> None:
    lanes = answering(True, mastery=0.4, frustration=0.3, fail_streak=5)
    lanes.step(lanes.question(2, MEDIUM))
    assert f(lanes.mastery[0, 2]) == near(0.4 + 0.05 * 0.6)
    assert lanes.mastery[0, [0, 1, 3]].tolist() == [np.float32(0.4)] * 3
    assert f(lanes.learners.ability) == near(ABLE + 0.02)
    assert lanes.learners.fail_streak[0] == 0
    assert f(lanes.learners.frustration) == near(0.25)
    assert f(lanes.interaction.gain) == near(0.03, abs=1e-7)


def test_s4_2_frustration_never_falls_below_0() -> None:
    lanes = answering(True, frustration=0.03)
    lanes.step(lanes.question())
    assert lanes.learners.frustration[0] == 0


def test_s4_2_ability_grows_by_each_correct_answer() -> None:
    lanes = answering(True).put(ability=10.0)
    for _ in range(50):
        lanes.step(lanes.question())
    assert f(lanes.learners.ability) == near(11.0, abs=1e-4)


@given(before=st.floats(0, 1, width=32))
def test_s4_2_mastery_stays_in_its_range(before: float) -> None:
    lanes = answering(True, mastery=before)
    lanes.step(lanes.question())
    assert before <= lanes.mastery[0, 0] <= 1


def test_s4_3_a_wrong_answer() -> None:
    lanes = answering(False, mastery=0.6, frustration=0.2, fail_streak=2)
    lanes.step(lanes.question(1, MEDIUM))
    assert lanes.mastery[0].tolist() == [np.float32(0.6)] * 4
    assert lanes.learners.ability[0] == UNABLE
    assert lanes.learners.fail_streak[0] == 3
    assert f(lanes.learners.frustration) == near(0.30)
    assert lanes.interaction.gain[0] == 0


@pytest.mark.parametrize(
    "difficulty, mastery, rise",
    [
        (HARD, 0.499, 0.15),
        (HARD, 0.5, 0.10),
        (HARD, 0.7, 0.10),
        (MEDIUM, 0.1, 0.10),
        (EASY, 0.1, 0.10),
    ],
)
def test_s4_3_a_hard_question_at_low_mastery_frustrates_more(difficulty: int, mastery: float, rise: float) -> None:
    lanes = answering(False, mastery=mastery, frustration=0.1)
    lanes.step(lanes.question(0, difficulty))
    assert f(lanes.learners.frustration) == near(0.1 + rise)


def test_s4_3_the_mastery_of_that_outcome_counts() -> None:
    lanes = answering(False, mastery=[[0.1, 0.9, 0.1, 0.1]])
    lanes.step(lanes.question(1, HARD))
    assert f(lanes.learners.frustration) == near(0.10)


@pytest.mark.parametrize("before", [0.86, 0.93, 1.0])
def test_s4_3_frustration_never_rises_above_1(before: float) -> None:
    """The bound includes the 0.05 that the code of the specification adds without a bound."""
    lanes = answering(False, mastery=0.1, frustration=before)
    lanes.step(lanes.question(0, HARD))
    assert lanes.learners.frustration[0] == 1


def test_s4_4_response_time_follows_its_draw() -> None:
    """The response time is mean + s.d. * z, at least 5 s."""
    lanes = Lanes(300, Config.read({"irt": {"response_time_std": 20.0}}), seed=10)
    oracle = oracle_of(lanes.config, lanes.bank)
    lanes.step(lanes.question(0, EASY))
    for lane in range(300):
        oracle.reset(10, lane)
        _, _, _, _, info = oracle.step(0)
        assert f(lanes.learners.response_time[lane]) == near(max(5.0, 30 + 20 * oracle.draws["noise"]), abs=1e-4)
        assert info["result"]["response_time"] == near(f(lanes.learners.response_time[lane]), abs=1e-4)
    assert (lanes.learners.response_time == 5).any()


# S5: a content


def test_s5_1_gain_without_noise() -> None:
    config = Config.read({"dynamics": {"gain_noise": 0.0}})
    for modality in range(6):
        lanes = Lanes(1, config).put(mastery=0.3, frustration=0.4)
        effect = lanes.bank.content(6 * 7 + modality)["effectiveness"]
        lanes.step(lanes.content(7, modality))
        assert f(lanes.interaction.gain) == near(effect * 0.7 * 0.8, abs=1e-7)
        assert f(lanes.mastery[0, 7]) == near(0.3 + effect * 0.7 * 0.8)
        assert np.array_equal(np.delete(lanes.mastery[0], 7), np.full(29, np.float32(0.3)))


@pytest.mark.compiled
def test_s5_1_gain_is_not_negative_and_mastery_at_most_1() -> None:
    """Near mastery 1 the noise dominates: 49 % of the gains are 0, and 31 % raise mastery to 1.

    Binomial tests, n = 2000, seed 11, false alarm 1e-6 per test.
    """
    n, before = 2000, float(np.float32(0.99))
    lanes = Lanes(n, seed=11).put(mastery=before)
    lanes.step(lanes.content(0, HANDOUT))
    gain, after = lanes.interaction.gain, lanes.mastery[:, 0]
    assert gain.min() == 0
    assert after.max() == 1
    assert np.array_equal(gain, after - np.float32(0.99))
    effect = lanes.bank.content(HANDOUT)["effectiveness"] * (1 - before)
    none, full = stats.norm.cdf(-effect / 0.02), stats.norm.sf((1 - before - effect) / 0.02)
    assert (none, full) == near((0.49, 0.32), abs=0.01)
    assert stats.binomtest(int((gain == 0).sum()), n, none).pvalue > 1e-6
    assert stats.binomtest(int((after == 1).sum()), n, full).pvalue > 1e-6


def test_s5_1_noise_is_drawn_at_the_counter() -> None:
    lanes = Lanes(200, seed=12).put(mastery=0.2)
    lanes.step(lanes.content(3, VIDEO))
    effect = lanes.bank.content(18)["effectiveness"] * 0.8
    oracle = oracle_of(lanes.config, lanes.bank)
    for lane in range(200):
        oracle.reset(12, lane)
        oracle.step(lanes.content(3, VIDEO))
        assert f(lanes.interaction.gain[lane]) == near(max(0.0, effect + 0.02 * oracle.draws["noise"]), abs=5e-7)


@pytest.mark.parametrize("modality", range(6))
@pytest.mark.parametrize("before", [0.0, 0.02, 0.5, 0.97])
def test_s5_2_frustration_changes_by_the_impact(modality: int, before: float) -> None:
    lanes = Lanes(1).put(frustration=before, fail_streak=3, response_time=77.0, ability=0.5)
    lanes.step(lanes.content(1, modality))
    assert f(lanes.learners.frustration) == near(min(1, max(0, before + IMPACTS[modality])), abs=1e-6)
    assert lanes.learners.fail_streak[0] == 0
    assert lanes.learners.ability[0] == 0.5
    assert lanes.learners.response_time[0] == 77
    assert f(lanes.rows[0, -1]) == near(77 / 120)


# S6: the reward


def test_s6_1_reward_of_a_question() -> None:
    right = answering(True, mastery=0.4, frustration=0.3)
    assert f(right.step(right.question()).reward) == near(1.0 + 0.5 * 0.03 - 0.3 * 0.25)
    wrong = answering(False, mastery=0.4, frustration=0.3)
    assert f(wrong.step(wrong.question(0, HARD)).reward) == near(-0.3 * 0.45)


@pytest.mark.parametrize("modality", range(6))
def test_s6_2_reward_of_a_content(modality: int) -> None:
    lanes = Lanes(1).put(mastery=0.4, frustration=0.5)
    reward = f(lanes.step(lanes.content(0, modality)).reward)
    assert reward == near(2.0 * f(lanes.interaction.gain) - 0.5 * IMPACTS[modality], abs=1e-6)


def test_s6_2_the_nominal_impact_counts_at_the_bound() -> None:
    lanes = Lanes(1).put(mastery=0.4, frustration=0.0)
    reward = f(lanes.step(lanes.content(0, VIDEO)).reward)
    assert lanes.learners.frustration[0] == 0
    assert reward == near(2.0 * f(lanes.interaction.gain) + 0.04, abs=1e-6)


def test_s6_3_weights_are_configuration() -> None:
    weights = {
        "correctness": 3.0,
        "mastery_gain": 7.0,
        "frustration_penalty": 11.0,
        "post_content_gain": 13.0,
        "engagement": 17.0,
    }
    right = answering(True, config={"reward_weights": weights}, mastery=0.4, frustration=0.3)
    assert f(right.step(right.question()).reward) == near(3.0 + 7.0 * 0.03 - 11.0 * 0.25)
    shown = answering(True, config={"reward_weights": weights}, mastery=0.4, frustration=0.3)
    reward = f(shown.step(shown.content(0, HANDOUT)).reward)
    assert reward == near(13.0 * f(shown.interaction.gain) - 17.0 * 0.05, abs=1e-5)


@pytest.mark.heavy
def test_s6_3_the_preset_learning_rewards_only_mastery_gained() -> None:
    assert set(REWARD_PRESETS) == {"specified", "learning", "recall"}
    assert REWARD_PRESETS["specified"] == Config().reward_weights
    lanes = Lanes(90, Config.read({"reward_weights": "learning"}), seed=13)
    start, rewards = lanes.learners.mastery_sum.copy(), np.zeros(90)
    for step in range(60):
        rewards += lanes.step((np.arange(90) * 37 + step * 101) % 270).reward
    assert rewards == near(lanes.learners.mastery_sum - start, abs=1e-5)
    assert (rewards > 0).all()


# S7: the episode

ENDS = {"max_episode_steps": 10}


def at_the_end(mastery: float, step: int, frustration: float) -> Any:
    """Return the outputs of a wrong answer at a step and frustration; frustration then rises by 0.1."""
    lanes = answering(False, config=ENDS, mastery=mastery, frustration=frustration)
    lanes.learners.step[:] = step - 1
    return lanes.step(lanes.question())


@pytest.mark.parametrize(
    "mastery, step, frustration, reason",
    [
        (0.79, 9, 0.84, Reason.NONE),
        (0.81, 9, 0.2, Reason.MASTERY_ACHIEVED),
        (0.3, 10, 0.2, Reason.STEP_LIMIT),
        (0.3, 9, 0.86, Reason.CRITICAL_FRUSTRATION),
        (0.81, 10, 0.2, Reason.MASTERY_ACHIEVED),
        (0.81, 9, 0.9, Reason.MASTERY_ACHIEVED),
        (0.3, 10, 0.9, Reason.STEP_LIMIT),
        (0.81, 10, 0.9, Reason.MASTERY_ACHIEVED),
    ],
)
def test_s7_1_reasons_in_their_order(mastery: float, step: int, frustration: float, reason: Reason) -> None:
    out = at_the_end(mastery, step, frustration)
    assert out.reason[0] == reason


def test_s7_1_an_exact_bound_ends_the_episode() -> None:
    """The comparison is >=: frustration is exactly the float32 0.95, or mastery exactly the threshold."""
    lanes = Lanes(1).put(frustration=np.float32(0.95), mastery=0.2)
    assert lanes.step(lanes.content(0, ARTICLE)).reason[0] == Reason.CRITICAL_FRUSTRATION
    lanes = Lanes(1).put(frustration=np.nextafter(np.float32(0.95), np.float32(0)), mastery=0.2)
    assert lanes.step(lanes.content(0, ARTICLE)).reason[0] == Reason.NONE
    lanes = answering(False, config={"termination": {"mastery_threshold": 0.5}}, mastery=0.5)
    assert lanes.step(lanes.question()).reason[0] == Reason.MASTERY_ACHIEVED


def test_s7_1_codes_and_words() -> None:
    assert [(int(r), r.word) for r in Reason] == [
        (0, None),
        (1, "mastery_achieved"),
        (2, "step_limit"),
        (3, "critical_frustration"),
    ]


def test_s7_1_mean_mastery_counts() -> None:
    lanes = answering(True, mastery=[[1.0, 1.0, 1.0, 0.1]])
    assert lanes.step(lanes.question(3)).reason[0] == Reason.NONE
    lanes = answering(True, mastery=[[1.0, 1.0, 1.0, 0.199]])
    assert lanes.step(lanes.question(3)).reason[0] == Reason.MASTERY_ACHIEVED


def test_s7_1_the_limit_is_140_interactions() -> None:
    lanes = Lanes(1)
    for step in range(1, 141):
        out = lanes.put(frustration=0.0, mastery=0.2).step(lanes.content(0, ARTICLE))
        assert out.reason[0] == (Reason.STEP_LIMIT if step == 140 else Reason.NONE)


@pytest.mark.parametrize("mastery", [0.3, 0.81])
@pytest.mark.parametrize("step", [9, 10])
@pytest.mark.parametrize("frustration", [0.2, 0.9])
def test_s7_2_the_reason_decides_the_flags(mastery: float, step: int, frustration: float) -> None:
    out = at_the_end(mastery, step, frustration)
    reason = Reason(int(out.reason[0]))
    assert bool(out.truncated[0]) == (reason == Reason.STEP_LIMIT)
    assert bool(out.terminated[0]) == (reason in {Reason.MASTERY_ACHIEVED, Reason.CRITICAL_FRUSTRATION})
    assert not (out.truncated[0] and out.terminated[0])


def test_s7_2_the_environment_is_registered_without_a_time_limit() -> None:
    import gymnasium

    assert gymnasium.spec("alsim/AdaptiveLearning-v0").max_episode_steps is None


def weakest_by_video(config: Config, lanes: int, steps: int) -> tuple[float, Any]:
    """Return mean mastery after `steps`, and the step at which each lane ended."""
    world = Lanes(lanes, config, seed=14)
    ended = np.zeros(lanes, int)
    for step in range(1, steps + 1):
        out = world.step(3 * world.num_los + 6 * world.mastery.argmin(axis=1) + VIDEO)
        ended[(ended == 0) & (out.reason != 0)] = step
    return float(world.mastery.mean()), ended


@pytest.mark.heavy
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_s7_3_mastery_is_not_reached_in_140_interactions(seed: int) -> None:
    bank = {"bank": {"seed": seed}}
    reached, ended = weakest_by_video(Config.read(bank), 20, 140)
    assert 0.60 < reached < 0.64
    assert (ended == 140).all()


@pytest.mark.heavy
def test_s7_3_even_with_the_largest_effects() -> None:
    largest = {word: [0.15, 0.15] for word in MODALITIES}
    reached, _ = weakest_by_video(Config.read({"content": {"effectiveness_by_modality": largest}}), 40, 140)
    assert reached == near(0.675, abs=0.01)


def test_s7_3_it_is_reached_with_a_longer_limit() -> None:
    _, ended = weakest_by_video(Config(max_episode_steps=400), 10, 330)
    assert 265 < ended.mean() < 295
    assert ended.min() > 200


@pytest.mark.compiled
def test_s7_4_about_a_fifth_of_episodes_are_shorter_than_80() -> None:
    """Under the uniform policy. n = 3000, seed 15, four standard errors of 0.0075: false alarm 6.4e-5."""
    n = 3000
    run = alsim.rollout("uniform", num_learners=n, seed=15, keep_observations=False)
    short = (run.metrics.total_steps < 80).mean()
    assert abs(short - 0.21) < 4 * math.sqrt(0.21 * 0.79 / n)
    assert run.metrics.total_steps.max() == 140


# S8: the observation


def test_s8_1_mastery_frustration_and_response_time() -> None:
    lanes = Lanes(40, seed=16)
    for step in range(30):
        lanes.step((np.arange(40) * 31 + step * 17) % 270)
        observed, state = lanes.observations, lanes.learners
        assert observed.dtype == np.float32
        assert observed.shape == (40, 32)
        assert observed.min() >= 0
        assert observed.max() <= 1
        assert np.array_equal(observed[:, 30], state.frustration)
        assert observed[:, 31] == near(np.minimum(1, state.response_time / 120), abs=1e-7)


def test_s8_1_a_response_time_above_120_s_is_observed_as_1() -> None:
    lanes = Lanes(1, bank=with_questions(default_bank(), response_time_mean=121.0, response_time_std=0.0))
    lanes.step(lanes.question())
    assert lanes.learners.response_time[0] == 121
    assert lanes.rows[0, -1] == 1


def test_s8_2_questions_asked_and_share_answered_correctly() -> None:
    lanes = Lanes(3, Config.read({**NO_GUESSING, "num_los": 4}), responses=True)
    assert lanes.observations.dtype == np.float32
    assert lanes.observations.tolist() == [[0.0] * 4 + [0.5] * 4 + [0.0, 0.0]] * 3
    lanes.put(ability=[ABLE, UNABLE, ABLE])
    lanes.step(lanes.question(1, EASY))
    lanes.step([lanes.question(1, EASY), lanes.question(3, EASY), lanes.content(2, VIDEO)])
    lanes.put(ability=[UNABLE, ABLE, ABLE])
    lanes.step(lanes.question(1, EASY))
    asked, right = lanes.observations[:, :4] * 140, lanes.observations[:, 4:8]
    assert asked == near(np.array([[0, 3, 0, 0], [0, 2, 0, 1], [0, 2, 0, 0]]), abs=1e-5)
    assert right == near(np.array([[0.5, 2 / 3, 0.5, 0.5], [0.5, 0.5, 0.5, 0.0], [0.5, 1, 0.5, 0.5]]))
    assert np.array_equal(lanes.observations[:, 8], lanes.learners.frustration)
    assert lanes.observations[:, 9] == near(lanes.learners.response_time / 120, abs=1e-7)


def test_s8_2_mastery_is_not_in_it() -> None:
    one, other = (Lanes(5, seed=17, responses=True).put(mastery=m, ability=UNABLE) for m in (0.6, 0.7))
    for lanes in (one, other):
        lanes.step(lanes.question(2, EASY))
    assert np.array_equal(one.observations, other.observations)


# S9 and S10: metrics and events, compared with the oracle


def taught(actions: Any, seed: int = 18, **config: Any) -> tuple[Any, Oracle]:
    """Return an environment and an oracle after the same episode."""
    env = alsim.AdaptiveLearningEnv(config)
    env.reset(seed=seed)
    oracle = oracle_of(env.config, env.bank)
    oracle.reset(seed)
    for action in actions:
        *_, done, cut, info = env.step(int(action))
        *_, expected = oracle.step(int(action))
        assert info["termination_reason"] == expected["termination_reason"]
        if done or cut:
            break
    return env, oracle


def flat(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of the oracle with the names of the package."""
    by_modality = metrics.pop("post_content_gain_by_modality")
    return metrics | {f"post_content_gain_{word}": gain for word, gain in by_modality.items()}


EPISODES = {
    "mixed": [(k * 37) % 270 for k in range(140)],
    "questions only": [(k * 7) % 90 for k in range(40)],
    "contents only": [90 + (k * 7) % 180 for k in range(140)],
    "one question": [5],
    "one content": [100],
}


@pytest.mark.parametrize("name", EPISODES)
def test_s9_1_metrics_equal_those_of_the_oracle(name: str) -> None:
    env, oracle = taught(EPISODES[name])
    expected = flat(oracle.get_episode_metrics())
    assert env.get_episode_metrics() == near(expected, rel=1e-5, abs=1e-5, nan_ok=True)
    assert set(expected) == set(env.get_episode_metrics())


def test_s9_1_no_metrics_before_the_first_step() -> None:
    env = alsim.AdaptiveLearningEnv()
    assert env.get_episode_metrics() == {}
    env.reset(seed=0)
    assert env.get_episode_metrics() == {}


@pytest.mark.parametrize(
    "difficulties, percent",
    [
        ([EASY, MEDIUM, MEDIUM, MEDIUM, HARD], 100.0),
        ([EASY] * 4, 100 * (1 - (0.8 + 0.6 + 0.2) / 3)),
        ([MEDIUM] * 2, 100 * (1 - (0.2 + 0.4 + 0.2) / 3)),
        ([EASY, HARD], 100 * (1 - (0.3 + 0.6 + 0.3) / 3)),
    ],
)
def test_s9_2_blueprint_adherence(difficulties: list[int], percent: float) -> None:
    env, _ = taught([100, *difficulties, 101])
    assert env.get_episode_metrics()["blueprint_adherence"] == near(percent)


def test_s9_2_the_target_is_a_setting() -> None:
    env, _ = taught([EASY] * 3, metrics={"blueprint": [1.0, 0.0, 0.0]})
    assert env.get_episode_metrics()["blueprint_adherence"] == near(100.0)


def test_s9_3_post_content_gain_is_the_mean_by_modality_too() -> None:
    env, _ = taught([90 + VIDEO, 0, 96 + VIDEO, 102 + TEXT])
    gains = [e["result"]["mastery_gain"] for e in env.episode_log if e["result"]["type"] == "content"]
    metrics = env.get_episode_metrics()
    assert metrics["post_content_gain"] == near(sum(gains) / 3)
    assert metrics["post_content_gain_video"] == near(sum(gains[:2]) / 2)
    assert metrics["post_content_gain_text"] == near(gains[2])
    assert math.isnan(metrics["post_content_gain_handout"])


def test_s9_4_time_to_mastery_is_the_step_that_first_reaches_it() -> None:
    video = [3] * 120
    env, _ = taught(video, num_los=1, termination={"mastery_threshold": 0.6})
    assert env.episode_log[-1]["termination_reason"] == "mastery_achieved"
    assert env.get_episode_metrics()["time_to_mastery"] == env.step_count


def test_s9_5_time_on_task_in_minutes() -> None:
    env, _ = taught([90 + ARTICLE, 0, 1])
    seconds = [e["result"].get("response_time", 0.0) for e in env.episode_log]
    duration = env.contents[ARTICLE]["duration"]
    assert env.get_episode_metrics()["time_on_task"] == near(duration + sum(seconds) / 60)


def test_s9_6_undefined_metrics_are_nan() -> None:
    """Undefined metrics are not 0, and time to mastery is not the length of the episode."""
    contents, _ = taught(EPISODES["contents only"])
    questions, _ = taught(EPISODES["questions only"])
    metrics = contents.get_episode_metrics()
    assert math.isnan(metrics["question_accuracy"])
    assert math.isnan(metrics["blueprint_adherence"])
    assert math.isnan(metrics["time_to_mastery"])
    assert math.isnan(questions.get_episode_metrics()["post_content_gain"])


def test_s10_1_events_equal_those_of_the_oracle() -> None:
    from alsim.metrics import EVENTS, events

    env, oracle = taught(EPISODES["mixed"])
    result, interactions = events(env.interactions(), env.bank), env.interactions()
    expected = oracle.events()
    assert [EVENTS[kind] for kind in result.kind] == [e["event"] for e in expected]
    assert interactions.step[result.row].tolist() == [e["step"] for e in expected]
    assert interactions.item[result.row].tolist() == [e["item"] for e in expected]
    assert result.seconds == near(np.array([e["seconds"] for e in expected]), abs=0.01)


def test_s10_1_events_of_a_rollout_have_learner_episode_and_propensity() -> None:
    from alsim.datasets.tables import tables_of

    table = tables_of(alsim.rollout("uniform", num_learners=2, episodes_per_learner=2, seed=19))["events"]
    rows = table.to_pylist()
    assert {row["event"] for row in rows} == {"question_shown", "answered", "content_shown"}
    assert {(row["learner_id"], row["episode"]) for row in rows} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert all(row["propensity"] == near(1 / 270) for row in rows)
    assert all(row["seconds"] == 0 for row in rows if row["step"] == 1 and row["event"] != "answered")


def test_s10_2_two_hundred_learners_need_three_episodes() -> None:
    import inspect

    defaults = inspect.signature(alsim.generate_dataset).parameters
    assert defaults["num_learners"].default == 200
    assert defaults["episodes_per_learner"].default == 3
    if COMPILED:
        run = alsim.rollout("uniform", num_learners=200, episodes_per_learner=3, seed=0, keep_observations=False)
        assert 65_000 < run.metrics.total_steps.sum() < 75_000


def test_s10_3_names_and_types() -> None:
    import pyarrow as pa

    from alsim.datasets.schema import arrow_schema

    schema = arrow_schema("transitions", 32)
    assert [(field.name, field.type) for field in schema][:10] == [
        ("obs", pa.list_(pa.float32(), 32)),
        ("action", pa.int16()),
        ("reward", pa.float32()),
        ("terminated", pa.bool_()),
        ("truncated", pa.bool_()),
        ("learner_id", pa.int64()),
        ("episode", pa.int32()),
        ("step", pa.int32()),
        ("propensity", pa.float64()),
        ("termination_reason", pa.int8()),
    ]
    assert "next_obs" not in schema.names
    assert "final_obs" in arrow_schema("episodes", 32).names


# S11: randomness


def test_s11_1_an_answer_uses_the_first_word_of_its_counter() -> None:
    """The counter is (step, episode, learner, purpose), the key the seed; purpose 2 is an interaction."""
    seed, learner, episode = 2**40 + 3, 77, 5
    lanes = Lanes(1, seed=seed, learner=learner, episode=episode)
    lanes.learners.step[:] = 9
    word = philox4x32((9, episode, learner, 2), (3, 2**8))[0]
    theta = 0.3
    lanes.put(ability=theta).step(lanes.question(0, MEDIUM))
    q = lanes.bank.question(int(lanes.interaction.item[0]))
    p = q["irt_c"] + (1 - q["irt_c"]) / (1 + math.exp(-q["irt_a"] * (theta - q["irt_b"])))
    assert bool(lanes.interaction.correct[0]) == (uniform_of(word) < p)


def test_s11_2_the_single_environment_equals_a_lane_of_a_vector() -> None:
    vector = alsim.AdaptiveLearningVectorEnv(3)
    many, _ = vector.reset(seed=20)
    single = alsim.AdaptiveLearningEnv()
    for lane in range(3):
        alone, _ = single.reset(seed=20, options={"learner": lane})
        assert np.array_equal(alone, many[lane])


def test_s11_3_seeds_of_vector_and_single_environments() -> None:
    vector, single = alsim.AdaptiveLearningVectorEnv(3), alsim.AdaptiveLearningEnv()
    first, _ = vector.reset(seed=21)
    zero, _ = single.reset(seed=21)
    assert np.array_equal(first[0], zero)
    listed, _ = vector.reset(seed=[21, 2**64 - 1, np.uint64(22)])
    for lane, seed in enumerate((21, 2**64 - 1, 22)):
        assert np.array_equal(listed[lane], single.reset(seed=seed)[0])
    # None in a list keeps the learner of its lane: learner 0 of seed 2**64 - 1, second episode.
    continued, _ = vector.reset(seed=[21, None, 21])
    single.reset(seed=2**64 - 1)
    assert np.array_equal(continued[1], single.reset()[0])
    assert np.array_equal(continued[0], first[0])


def test_s11_3_a_second_reset_starts_the_next_episode() -> None:
    env = alsim.AdaptiveLearningEnv()
    env.reset(seed=22)
    second, _ = env.reset()
    assert np.array_equal(second, Lanes(1, seed=22, episode=1).observations[0])


def test_s11_3_without_seed_one_is_drawn_from_the_operating_system() -> None:
    one, other = alsim.AdaptiveLearningEnv().reset()[0], alsim.AdaptiveLearningEnv().reset()[0]
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("seed", [-1, 2**64, 0.5, "1", True])
def test_s11_3_seeds_are_integers_below_2_to_the_64(seed: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="seed"):
        alsim.AdaptiveLearningEnv().reset(seed=seed)


def test_s11_4_held_out_learners() -> None:
    assert FIRST_HELD_OUT == 2**31
    single = alsim.AdaptiveLearningEnv()
    held_out, _ = single.reset(seed=23, options={"learner": 2**32 - 1})
    assert np.array_equal(held_out, Lanes(1, seed=23, learner=2**32 - 1).observations[0])
    with pytest.raises(ValueError, match="learner"):
        single.reset(seed=23, options={"learner": 2**32})


def test_s11_4_generation_refuses_held_out_learners(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match=r"2\*\*31|2147483648|held out"):
        alsim.generate_dataset(num_learners=2**31 + 1, episodes_per_learner=1, out=tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_s11_5_the_version_of_the_environment() -> None:
    """Golden sums (simulator/test_batch.py) protect the stream of this version."""
    import gymnasium

    assert gymnasium.spec("alsim/AdaptiveLearning-v0").version == 0
    assert "alsim/AdaptiveLearning-v1" not in gymnasium.registry


# Invariants of every configuration, action and draw


@given(
    seed=st.integers(0, 2**64 - 1),
    num_los=st.integers(1, 5),
    limit=st.integers(1, 30),
    actions=st.lists(st.integers(0, 44), min_size=1, max_size=30),
    noise=st.just(0.0) | st.floats(1e-30, 1),
    std=st.just(0.0) | st.floats(1e-30, 100),
    responses=st.booleans(),
)
def test_bounds_flags_and_rewards(
    seed: int, num_los: int, limit: int, actions: list[int], noise: float, std: float, responses: bool
) -> None:
    config = Config.read(
        {
            "num_los": num_los,
            "num_questions_per_lo": 3,
            "max_episode_steps": limit,
            "dynamics": {"gain_noise": noise},
            "irt": {"response_time_std": std},
        }
    )
    lanes = Lanes(1, config, seed=seed, responses=responses)
    state, happened, w = lanes.learners, lanes.interaction, config.reward_weights
    for step, action in enumerate(actions, start=1):
        before = lanes.mastery.copy()
        out = lanes.step(action % (9 * num_los))
        assert lanes.observations.min() >= 0
        assert lanes.observations.max() <= 1
        assert (lanes.mastery >= before).all()
        assert state.response_time[0] == 0 or state.response_time[0] >= 5
        assert state.step[0] == step
        assert out.terminated[0] + out.truncated[0] == (out.reason[0] != 0)
        assert state.mastery_sum[0] == near(lanes.mastery.astype(float).sum(), abs=1e-9)
        assert f(lanes.mastery.max(initial=0) - before.max(initial=0)) <= f(happened.gain) + 1e-6
        gain, frustration = f(happened.gain), f(state.frustration)
        if action % (9 * num_los) < 3 * num_los:
            expected = w.correctness * happened.correct[0] + w.mastery_gain * gain - w.frustration_penalty * frustration
        else:
            impact = lanes.bank.content(int(happened.item[0]) - lanes.bank.num_questions)["engagement_impact"]
            expected = w.post_content_gain * gain - w.engagement * impact
        assert f(out.reward) == near(expected, abs=1e-6)
        if out.reason[0]:
            break
    assert state.step[0] <= limit
