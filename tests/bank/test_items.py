"""The sampled bank (clauses S2.1 to S2.4) and its table for the batch loop (S3.1, S3.2)."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from alsim.bank.items import Bank, BankError, Contents, Questions, sample_bank
from alsim.config import Config

LEVELS = ["Easy", "Medium", "Hard"]
KINDS = ["video", "PPT", "text", "blog", "article", "handout"]  # S2.3's order

# Lower and upper bound of each draw in S2.2 and S2.3.
QUESTION_RANGES = {
    "irt_b": [(-2.0, -0.5), (-0.5, 0.5), (0.5, 2.0)],
    "irt_a": [(0.5, 1.0), (1.0, 1.5), (1.5, 2.0)],
    "irt_c": [(0.10, 0.25)] * 3,
}
CONTENT_RANGES = {
    "duration": [(15, 25), (10, 20), (5, 10), (8, 15), (10, 18), (5, 12)],
    "effectiveness": [(0.10, 0.15), (0.08, 0.12), (0.05, 0.08), (0.07, 0.10), (0.06, 0.09), (0.05, 0.08)],
}
IMPACTS = [-0.08, -0.05, 0.02, -0.03, 0.0, 0.05]

# ── sampling ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("per_lo", "split"), [(20, (7, 7, 6)), (3, (1, 1, 1)), (4, (2, 1, 1)), (11, (4, 4, 3))])
def test_s2_1_questions_are_split_evenly_the_remainder_to_easy_then_medium(per_lo, split):
    questions = sample_bank(Config(num_los=4, num_questions_per_lo=per_lo)).questions
    counts = Counter(zip(questions.learning_outcome.tolist(), questions.difficulty.tolist(), strict=True))
    assert counts == {(lo, level): split[level] for lo in range(4) for level in range(3)}


def test_s2_1_a_configured_split_is_used():
    config = Config.read({"num_los": 2, "questions_per_difficulty": {"easy": 1, "medium": 2, "hard": 17}})
    questions = sample_bank(config).questions
    counts = Counter(zip(questions.learning_outcome.tolist(), questions.difficulty.tolist(), strict=True))
    assert counts == {(lo, level): n for lo in range(2) for level, n in enumerate((1, 2, 17))}


def test_s2_1_to_s2_3_the_default_bank_has_600_questions_and_180_contents():
    bank = sample_bank(Config())
    assert (bank.num_los, bank.num_questions, bank.num_contents) == (30, 600, 180)
    assert len(set(bank.questions.id)) == 600
    assert len(set(bank.contents.id)) == 180
    assert bank != bank.questions


def test_s2_2_response_times_are_properties_of_the_question():
    questions = sample_bank(Config()).questions
    assert np.all(questions.response_time_mean == 30)
    assert np.all(questions.response_time_std == 10)


def test_s2_3_one_content_per_lo_and_modality_in_order_with_fixed_impacts():
    bank = sample_bank(Config())
    rows = [bank.content(k) for k in range(bank.num_contents)]
    assert [(row["learning_outcome"], row["modality"]) for row in rows] == [
        (lo, kind) for lo in range(30) for kind in KINDS
    ]
    expected = np.tile(np.array(IMPACTS, np.float32), 30)
    assert np.array_equal(bank.contents.engagement_impact, expected)


# 9 + 12 draws of n = 1000 each, seed 0: the probability of a false alarm is 1e-6 per test, 2.1e-5 in total.
WIDE = sample_bank(Config(num_los=500, num_questions_per_lo=6, num_contents_per_lo=12))


@pytest.mark.parametrize("level", range(3))
@pytest.mark.parametrize("column", QUESTION_RANGES)
def test_s2_2_question_parameters_are_uniform_on_their_ranges(column, level):
    low, high = QUESTION_RANGES[column][level]
    values = getattr(WIDE.questions, column)[WIDE.questions.difficulty == level].astype(np.float64)
    assert len(values) == 1000
    assert np.float32(low) <= values.min()
    assert values.max() <= np.float32(high)
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-6


@pytest.mark.parametrize("kind", range(6))
@pytest.mark.parametrize("column", CONTENT_RANGES)
def test_s2_3_content_parameters_are_uniform_on_their_ranges(column, kind):
    low, high = CONTENT_RANGES[column][kind]
    values = getattr(WIDE.contents, column)[WIDE.contents.modality == kind].astype(np.float64)
    assert len(values) == 1000
    assert np.float32(low) <= values.min()
    assert values.max() <= np.float32(high)
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-6


def test_s2_2_s2_3_draws_are_independent_of_one_another():
    # Spearman's rank correlation of every pair of columns and of successive rows, within one level or kind:
    # n = 1000 or 999, 3 * (3 + 3) + 6 * (1 + 2) = 36 tests at 1e-6 each, 3.6e-5 in total.
    pvalues = []
    tables = [(WIDE.questions, "difficulty", QUESTION_RANGES), (WIDE.contents, "modality", CONTENT_RANGES)]
    for items, code, ranges in tables:
        for k in range(len(next(iter(ranges.values())))):
            columns = [getattr(items, name)[getattr(items, code) == k] for name in ranges]
            pairs = [(x, y) for i, x in enumerate(columns) for y in columns[i + 1 :]]
            pairs += [(x[:-1], x[1:]) for x in columns]
            pvalues += [stats.spearmanr(x, y).pvalue for x, y in pairs]
    assert len(pvalues) == 36
    assert min(pvalues) > 1e-6


def test_s2_2_the_configuration_sets_the_ranges():
    config = Config.read(
        {
            "irt": {
                "difficulty_ranges": {"easy": [3, 4]},
                "guessing_range": [0, 0],
                "response_time_mean": 7,
                "response_time_std": 0,
            },
            "content": {"frustration_impact_by_modality": {"PPT": 0.5}},
        }
    )
    bank = sample_bank(config)
    easy = bank.questions.difficulty == 0
    assert bank.questions.irt_b[easy].min() >= 3
    assert bank.questions.irt_b[~easy].max() <= 2
    assert np.all(bank.questions.irt_c == 0)
    assert np.all(bank.questions.response_time_mean == 7)
    assert np.all(bank.questions.response_time_std == 0)
    assert np.all(bank.contents.engagement_impact[bank.contents.modality == 1] == 0.5)


def test_s2_4_only_the_seed_of_the_bank_changes_the_bank():
    bank = sample_bank(Config())
    others = {
        "max_episode_steps": 7,
        "learner": {"ability_mean": 3},
        "reward_weights": "learning",
        "dynamics": {"learning_rate": 0.5},
    }
    np.random.seed(1)  # noqa: NPY002  # the global generator must not be used
    assert sample_bank(Config.read(others)) == bank
    assert sample_bank(Config.read({"bank": {"seed": 0}})) == bank
    for seed in (1, 2**32, 2**64 - 1):
        other = sample_bank(Config.read({"bank": {"seed": seed}}))
        assert not np.any(other.questions.irt_b == bank.questions.irt_b)
        assert not np.any(other.contents.duration == bank.contents.duration)


# ── the table of the batch loop ────────────────────────────────────────────────────────────────


@st.composite
def shuffled_banks(draw):
    """Return a bank with items in any order and cells of any size."""
    num_los = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def cells(codes):
        every = [(lo, code) for lo in range(num_los) for code in range(codes)]
        more = rng.integers(0, len(every), 20)
        return rng.permutation(np.array(every + [every[k] for k in more]))

    def numbers(n):
        return rng.random(n, np.float32)

    q, c = cells(3), cells(6)
    return Bank(
        tuple(f"outcome {lo}" for lo in range(num_los)),
        Questions(
            tuple(f"q{k}" for k in range(len(q))),
            q[:, 0].astype(np.int32),
            q[:, 1].astype(np.int8),
            *(numbers(len(q)) for _ in range(5)),
        ),
        Contents(
            tuple(f"c{k}" for k in range(len(c))),
            c[:, 0].astype(np.int32),
            c[:, 1].astype(np.int8),
            *(numbers(len(c)) for _ in range(3)),
        ),
    )


@given(shuffled_banks())
@settings(max_examples=40, deadline=None)
def test_s3_1_s3_2_the_cell_of_each_action_has_exactly_its_items(bank):
    table, num_los = bank.table, bank.num_los
    cells = {}
    for k in range(bank.num_questions):
        row = bank.question(k)
        cells.setdefault(row["learning_outcome"] * 3 + LEVELS.index(row["difficulty"]), []).append(k)
    for k in range(bank.num_contents):
        row = bank.content(k)
        action = 3 * num_los + row["learning_outcome"] * 6 + KINDS.index(row["modality"])
        cells.setdefault(action, []).append(bank.num_questions + k)
    assert sorted(cells) == list(range(9 * num_los))
    slots = []
    for action, items in cells.items():
        cell = table.cells[action]
        first, count = int(cell["first"]), int(cell["size"])
        slots += range(first, first + count)
        assert table.slots["item"][first : first + count].tolist() == items
        for slot, item in zip(range(first, first + count), items, strict=True):
            is_question = item < bank.num_questions
            row = bank.question(item) if is_question else bank.content(item - bank.num_questions)
            assert cell["learning_outcome"] == row["learning_outcome"]
            assert cell["kind"] == is_question + 2 * (row.get("difficulty") == "Hard")
            expected = {name: row.get(f"irt_{name}", row.get(name, 0.0)) for name in table.slots.dtype.names}
            expected |= {"impact": row.get("engagement_impact", 0.0), "item": item}
            if not is_question:  # the time of a content is its duration, in seconds
                expected["response_time_mean"] = np.float32(60) * np.float32(row["duration"])
            assert {name: table.slots[name][slot] for name in expected} == expected
    assert sorted(slots) == list(range(bank.num_questions + bank.num_contents))


def test_a_bank_with_an_empty_cell_is_refused_by_name():
    bank = sample_bank(Config(num_los=2))
    keep = bank.contents.modality != 4
    contents = Contents(tuple(np.array(bank.contents.id)[keep]), *(column[keep] for column in bank.contents[1:]))
    with pytest.raises(BankError, match=r"\(0, article\), \(1, article\)"):
        Bank(bank.outcomes, bank.questions, contents)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"irt_a": np.full(9, np.nan)}, "questions: irt_a of 'q0' is nan; expected a finite number > 0"),
        ({"irt_c": np.linspace(0, 1, 9)}, "questions: irt_c of 'q8' is 1.0; expected a number in [0, 1)"),
        ({"response_time_mean": np.full(9, -3.0)}, "questions: response_time_mean of 'q0' is -3.0; expected a finite"),
        ({"learning_outcome": np.arange(9)}, "questions: learning_outcome of 'q3' is 3; expected an index below 3"),
        ({"difficulty": np.full(9, -1)}, "questions: difficulty of 'q0' is -1; expected an index below 3"),
        ({"irt_b": np.zeros(8)}, "questions: irt_b must have one entry per item, shape (9,); got shape (8,)"),
    ],
)
def test_invalid_columns_are_refused(columns, message):
    bank = sample_bank(Config(num_los=3, num_questions_per_lo=3))
    with pytest.raises(BankError) as caught:
        Bank(bank.outcomes, bank.questions._replace(**columns), bank.contents)
    assert str(caught.value).startswith(message)


def test_columns_are_converted_to_their_types_and_read_only():
    """Otherwise kernels would compile for other types, or an edit after the first step would have no effect."""
    bank = sample_bank(Config(num_los=3, num_questions_per_lo=3))
    wide = [
        c if k == 0 else np.asarray(c).astype(np.float64 if k > 2 else np.int64) for k, c in enumerate(bank.questions)
    ]
    same = Bank(list(bank.outcomes), type(bank.questions)._make(wide), bank.contents)
    assert same == bank
    assert [c.dtype for c in same.questions[1:]] == [c.dtype for c in bank.questions[1:]]
    with pytest.raises(ValueError, match="read-only"):
        same.questions.irt_a[0] = 1
