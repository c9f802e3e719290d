"""Data frames: their columns and types, the same in pandas and Polars, for rollouts and for datasets."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

import alsim
from alsim.bank.items import Contents, Questions
from alsim.config import Config
from alsim.mdp.actions import action_meanings
from alsim.rollouts import plan
from alsim.types import DIFFICULTIES, MODALITIES

SMALL = Config.read({"num_los": 3, "max_episode_steps": 12, "termination": {"max_frustration": 0.3}})
RUN = {"num_learners": 6, "episodes_per_learner": 2, "seed": 5, "config": SMALL}
TABLES = ("transitions", "events", "episodes")


@pytest.fixture(scope="module")
def taught():
    return alsim.rollout(**RUN)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A dataset in three shards on disk, and the same interactions as `taught`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "BLOCK_EPISODES", 5)
        return alsim.generate_dataset(**RUN, out=tmp_path_factory.mktemp("frames") / "taught")


def plain(frame):
    """Return a frame of either library as lists of Python values, with None for a missing value."""
    if isinstance(frame, pl.DataFrame):
        return frame.to_dict(as_series=False)
    return {name: [None if pd.isna(value) else value for value in frame[name].tolist()] for name in frame.columns}


@pytest.mark.parametrize("observations", [False, True])
@pytest.mark.parametrize("table", TABLES)
def test_both_libraries_have_the_same_content(taught, table, observations):
    if table == "events" and observations:
        return
    ours = [frame(table, observations=observations) for frame in (taught.to_pandas, taught.to_polars)]
    assert plain(ours[0]) == plain(ours[1])
    assert len(ours[0].columns) == len(set(ours[0].columns))


@pytest.mark.parametrize("table", TABLES)
def test_a_dataset_has_the_frames_of_its_rollout(taught, written, table):
    stored = alsim.load_dataset(written.path)
    assert sum(1 for _ in stored.parts()) == 3
    observations = table != "events"
    expected = taught.to_pandas(table, observations=observations)
    pd.testing.assert_frame_equal(stored.to_pandas(table, observations=observations), expected)
    assert stored.to_polars(table).equals(taught.to_polars(table))
    assert stored.to_polars(table).schema == taught.to_polars(table).schema
    assert table not in vars(stored), "the whole table was read at once"
    _ = getattr(stored, table)
    pd.testing.assert_frame_equal(stored.to_pandas(table, observations=observations), expected)


@pytest.mark.ci
def test_a_dataset_in_memory_and_one_without_observations_have_the_same_frames(taught):
    for options in ({}, {"store_observations": False}):
        dataset = alsim.generate_dataset(**RUN, **options)
        for table in ("transitions", "episodes"):
            expected = taught.to_pandas(table, observations=True)
            pd.testing.assert_frame_equal(dataset.to_pandas(table, observations=True), expected)


def test_a_transition_describes_its_action_and_its_item(taught):
    frame, x, bank = taught.to_pandas(), taught.interactions, taught.bank
    items = [bank.question(k) for k in range(bank.num_questions)] + [bank.content(k) for k in range(bank.num_contents)]
    meanings = action_meanings(3)
    parameters = [*Questions._fields[3:], *Contents._fields[3:]]
    for row, action, index in zip(frame.itertuples(), x.action.tolist(), x.item.tolist(), strict=True):
        meaning, item = meanings[action], items[index]
        assert (row.kind, row.lo) == (meaning["type"], str(meaning["lo"]))
        assert row.item_id == item["id"] and row.item == index and row.action == action
        word = DIFFICULTIES[meaning["difficulty"]] if row.kind == "question" else None
        assert word is None and pd.isna(row.difficulty) or row.difficulty == word == item["difficulty"]
        word = MODALITIES[meaning["modality"]] if row.kind == "content" else None
        assert word is None and pd.isna(row.modality) or row.modality == word == item["modality"]
        for name in parameters:
            value = getattr(row, name)
            assert value == item[name] if name in item else np.isnan(value), name


def test_an_action_of_a_frame_can_be_encoded_again(taught):
    frame = taught.to_pandas()
    level = np.where(frame.kind == "question", frame.difficulty.astype(object), frame.modality.astype(object))
    assert (alsim.encode_action(frame.kind, frame.lo.cat.codes, level, 3) == frame.action).all()


def test_correct_and_response_time_are_missing_for_contents(taught):
    frame, x = taught.to_pandas(), taught.interactions
    asked = (frame.kind == "question").to_numpy()
    assert frame.correct.dtype == "boolean" and frame.response_time.dtype == np.float32
    assert (frame.correct.isna() == ~asked).all() and (frame.response_time.isna() == ~asked).all()
    assert (frame.correct[asked].astype(bool) == x.correct[asked]).all()
    assert frame.correct.mean() == x.correct[asked].mean()


def test_the_reason_of_termination_is_a_word_in_the_last_row(taught):
    frame = taught.to_pandas()
    last = taught.interactions.last
    assert frame.termination_reason[last].tolist() == taught.to_pandas("episodes").termination_reason.tolist()
    assert frame.termination_reason.drop(last).isna().all()
    reached = frame.terminated | frame.truncated
    assert (frame.termination_reason.notna() == reached).all()
    assert set(frame.termination_reason.dropna()) == {"step_limit", "critical_frustration"}


def test_difficulties_are_ordered(taught):
    frame = taught.to_pandas()
    assert frame.difficulty.cat.ordered and not frame.modality.cat.ordered
    assert (frame.difficulty.dropna() >= "Medium").sum() == frame.difficulty.isin(["Medium", "Hard"]).sum()
    frame = taught.to_polars()
    assert frame["difficulty"].dtype == pl.Enum(DIFFICULTIES)
    assert frame["difficulty"].drop_nulls().sort().unique(maintain_order=True).to_list() == list(DIFFICULTIES)


def test_a_join_with_episodes_needs_only_the_identifiers(taught):
    both = taught.to_pandas().merge(taught.to_pandas("episodes"), on=["learner_id", "episode"])
    assert len(both) == len(taught.propensity)
    rewards = both.groupby(["learner_id", "episode"]).reward.sum()
    assert np.allclose(rewards, taught.metrics.cumulative_reward, rtol=1e-5)


def test_events_are_words_with_their_items(taught):
    frame = taught.to_pandas("events")
    assert len(frame) == len(taught.events.kind)
    assert (frame.event == "content_shown").sum() == (frame.kind == "content").sum()
    assert (frame.correct.notna() == (frame.event == "answered")).all()


@pytest.mark.parametrize(("kind", "first", "width"), [("mastery", "obs_mastery_0", 5), ("responses", "obs_asked_0", 8)])
def test_observations_become_columns(kind, first, width):
    rollout = alsim.rollout(**RUN, observation=kind)
    names = [name for name in rollout.to_pandas(observations=True).columns if name.startswith("obs_")]
    assert len(names) == width and names[0] == first
    assert names[-2:] == ["obs_frustration", "obs_response_time"]
    assert np.array_equal(rollout.to_pandas(observations=True)[names], rollout.obs)
    assert np.array_equal(rollout.to_polars("episodes", observations=True)[names].to_numpy(), rollout.final_obs)


def renamed(bank, outcomes, question_ids, content_ids):
    questions, contents = bank.questions._replace(id=question_ids), bank.contents._replace(id=content_ids)
    return alsim.Bank(outcomes, questions, contents)


def test_names_of_outcomes_and_items_are_those_of_the_bank():
    bank = alsim.sample_bank(SMALL)
    same = tuple(map(str, range(1000)))  # a question and a content may have the same id
    bank = renamed(bank, ("add", "subtract", "multiply"), same[: bank.num_questions], same[: bank.num_contents])
    rollout = alsim.rollout(**RUN, bank=bank)
    frame = rollout.to_pandas(observations=True)
    assert frame.lo.cat.categories.tolist() == ["add", "subtract", "multiply"]
    position = np.where(frame.kind == "question", frame.item, frame.item - bank.num_questions)
    assert frame.item_id.tolist() == list(map(str, position))
    assert "obs_mastery_subtract" in frame.columns
    assert plain(rollout.to_polars(observations=True)) == plain(frame)


def test_outcomes_of_equal_names_are_distinguished_by_index():
    bank = alsim.sample_bank(SMALL)
    bank = renamed(bank, ("a", "a", "b"), bank.questions.id, bank.contents.id)
    frame = alsim.rollout(**RUN, bank=bank).to_polars(observations=True)
    assert set(frame["lo"]) == {"a", "b"}
    assert {"obs_mastery_0", "obs_mastery_1", "obs_mastery_2"} <= set(frame.columns)


def test_a_frame_is_a_copy(taught):
    frame = taught.to_pandas(observations=True)
    before = taught.interactions.reward.copy(), taught.obs.copy()
    frame.loc[:, "reward"] = 9
    frame.loc[:, "obs_mastery_0"] = 9
    assert np.array_equal(taught.interactions.reward, before[0]) and np.array_equal(taught.obs, before[1])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_invalid_requests_raise_one_sentence(taught, written, library):
    for source in (taught, written):
        frame = getattr(source, f"to_{library}")
        with pytest.raises(
            alsim.AlsimError, match=r"^table must be one of 'transitions', 'events', 'episodes'; got 'x'$"
        ):
            frame("x")
        with pytest.raises(alsim.AlsimError, match="^events have no observations; pass table='transitions' or "):
            frame("events", observations=True)
    without = alsim.rollout(**RUN, keep_observations=False)
    with pytest.raises(alsim.AlsimError, match="^this rollout has no observations; call rollout with keep_obs"):
        getattr(without, f"to_{library}")(observations=True)
    assert len(getattr(without, f"to_{library}")()) == len(taught.propensity)


def test_items_outside_the_bank_are_an_error(written):
    dataset = alsim.load_dataset(written.path)
    item = dataset.transitions.column("item").to_numpy() + 1000
    table = dataset.transitions.set_column(dataset.transitions.column_names.index("item"), "item", [item])
    dataset.transitions = table
    with pytest.raises(alsim.DatasetError, match=r"items must be indices in \[0, \d+\) of the bank; got .* generate"):
        dataset.to_pandas()


@pytest.mark.ci
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_missing_library_is_named_with_its_extra(library):
    code = f"""
import sys
sys.modules[{library!r}] = None
import alsim
try:
    alsim.rollout(num_learners=1, config={{"num_los": 1, "max_episode_steps": 2}}).to_{library}()
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.startswith(f"to_{library} needs {library}, which is not installed; install it with")
    assert f".[{library}]" in done.stdout
