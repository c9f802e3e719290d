"""Metrics and events of episodes (clauses S9.1 to S9.6, S10.1), against hand-computed values and plain Python."""

import math
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.datasets.schema import EPISODES
from alsim.envs.single import AdaptiveLearningEnv
from alsim.metrics import EVENTS, METRICS, EpisodeMetrics, Interactions, episode_metrics, events
from alsim.rollouts.rollout import rollout

KINDS = ("video", "PPT", "text", "blog", "article", "handout")  # S2.3's order

# Two LOs, one item per cell, known durations: action and item numbers are then the same.
HAND = Config.read(
    {
        "num_los": 2,
        "num_questions_per_lo": 3,
        "content": {"duration_by_modality": {kind: [k + 1, k + 1] for k, kind in enumerate(KINDS)}},
        "termination": {"mastery_threshold": 0.5},
    }
)
HAND_BANK = sample_bank(HAND)
EASY, MEDIUM, HARD = 0, 1, 2
VIDEO, TEXT = 6, 8  # of the first LO


def episode(*rows):
    """Columns of one episode: (action, reward, correct, gain, seconds, mean mastery)."""
    nan = math.nan
    return Interactions.from_rows(
        [
            (a, reward, a, correct, gain, nan if a >= 6 else seconds, 0.0, mean)
            for a, reward, correct, gain, seconds, mean in rows
        ]
    )


def joined(*parts):
    return Interactions(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def metrics_of(x, bank=HAND_BANK, config=HAND):
    """Return one dict per episode."""
    columns = episode_metrics(x, bank, config)._asdict()
    return [{name: column[k].item() for name, column in columns.items()} for k in range(len(x.length))]


MIXED = episode(
    (EASY, 1.5, True, 0.25, 30.0, 0.25),
    (MEDIUM, -0.5, False, 0.0, 60.0, 0.25),
    (VIDEO, 0.25, False, 0.5, 0.0, 0.5),
    (3 + MEDIUM, 1.0, True, 0.125, 15.0, 0.45),
    (TEXT, 0.125, False, 0.25, 0.0, 0.55),
    (3 + MEDIUM, 1.0, True, 0.0, 15.0, 0.75),
)
QUESTIONS_ONLY = episode((HARD, 0.5, False, 0.0, 12.0, 0.125), (HARD, 0.25, False, 0.0, 18.0, 0.25))
CONTENT_ONLY = episode((TEXT, 1.0, False, 0.5, 0.0, 0.375))


# ── the table ────────────────────────────────────────────────────────────────────────────────────


def test_fields_of_episode_metrics_are_the_names_of_the_table():
    assert EpisodeMetrics._fields == tuple(METRICS)
    assert all(name == metric.name for name, metric in METRICS.items())


def test_s9_1_names_are_those_of_the_specification():
    specified = ("total_steps", "final_mastery", "cumulative_reward", "question_accuracy", "content_count")
    assert tuple(METRICS)[:5] == specified
    assert {"blueprint_adherence", "post_content_gain", "time_to_mastery", "time_on_task"} < METRICS.keys()


def test_labels_are_distinct_and_headings_have_the_unit():
    assert len({metric.label for metric in METRICS.values()}) == len(METRICS)
    assert METRICS["cumulative_reward"].heading == "return"
    assert METRICS["time_on_task"].heading == "time on task, min"


def test_columns_of_datasets_have_the_units_of_the_table():
    units = {column.name: column.unit for column in EPISODES if column.name in METRICS}
    assert units == {name: metric.unit for name, metric in METRICS.items()}


# ── hand-computed values ──────────────────────────────────────────────────────────────────────────────────────


def test_s9_1_to_s9_5_hand_computed_values():
    (found,) = metrics_of(MIXED)
    assert found.pop("blueprint_adherence") == pytest.approx(100 * (1 - (0.05 + 0.15 + 0.2) / 3))
    assert {k: v for k, v in found.items() if not math.isnan(v)} == {
        "total_steps": 6,
        "final_mastery": 0.75,
        "cumulative_reward": 3.375,
        "question_accuracy": 0.75,
        "content_count": 2,
        "post_content_gain": 0.375,
        "post_content_gain_video": 0.5,
        "post_content_gain_text": 0.25,
        "time_to_mastery": 3,  # the first interaction at the threshold, and not the one after it fell below
        "time_on_task": (30 + 60 + 15 + 15) / 60 + 1 + 3,
        "delayed_retention": 0.75,  # nothing is forgotten (S13.3)
    }


def test_s9_2_adherence_is_100_for_the_blueprint_and_follows_the_setting():
    rows = [EASY] + 3 * [MEDIUM] + [HARD]
    met = episode(*((a, 0.0, False, 0.0, 10.0, 0.1) for a in rows))
    assert metrics_of(met)[0]["blueprint_adherence"] == pytest.approx(100)
    hard = Config.read({**HAND.to_dict(), "metrics": {"blueprint": [0, 0, 1]}})
    assert metrics_of(QUESTIONS_ONLY, config=hard)[0]["blueprint_adherence"] == 100
    assert metrics_of(QUESTIONS_ONLY)[0]["blueprint_adherence"] == pytest.approx(100 * (1 - (0.2 + 0.6 + 0.8) / 3))


def test_s9_6_undefined_metrics_are_nan():
    (asked,) = metrics_of(QUESTIONS_ONLY)
    gains = {"post_content_gain", *(f"post_content_gain_{kind}" for kind in KINDS)}
    assert {name for name, value in asked.items() if math.isnan(value)} == gains | {"time_to_mastery"}
    assert asked["question_accuracy"] == 0
    (shown,) = metrics_of(CONTENT_ONLY)
    assert {name for name, value in shown.items() if math.isnan(value)} == {
        "question_accuracy",
        "blueprint_adherence",
        "time_to_mastery",  # never the episode's length
        *(f"post_content_gain_{kind}" for kind in KINDS if kind != "text"),
    }


def test_s10_1_hand_computed_events():
    happened = events(joined(MIXED, CONTENT_ONLY, QUESTIONS_ONLY), HAND_BANK)
    assert [(EVENTS[k], row, seconds) for k, row, seconds in zip(*happened, strict=True)] == [
        ("question_shown", 0, 0),
        ("answered", 0, 30),
        ("question_shown", 1, 30),
        ("answered", 1, 90),
        ("content_shown", 2, 90),
        ("question_shown", 3, 150),
        ("answered", 3, 165),
        ("content_shown", 4, 165),
        ("question_shown", 5, 345),
        ("answered", 5, 360),
        ("content_shown", 6, 0),
        ("question_shown", 7, 0),
        ("answered", 7, 12),
        ("question_shown", 8, 12),
        ("answered", 8, 30),
    ]


def test_episode_step_and_last_row_of_interactions():
    x = joined(MIXED, CONTENT_ONLY, QUESTIONS_ONLY)
    assert x.episode.tolist() == [0] * 6 + [1] + [2] * 2
    assert x.step.tolist() == [1, 2, 3, 4, 5, 6, 1, 1, 2]
    assert x.last.tolist() == [5, 6, 8]


@given(st.permutations([MIXED, QUESTIONS_ONLY, CONTENT_ONLY, MIXED, CONTENT_ONLY]))
def test_metrics_of_an_episode_do_not_depend_on_other_episodes(parts):
    together = metrics_of(joined(*parts))
    alone = [metrics_of(part)[0] for part in parts]
    assert repr(together) == repr(alone)  # repr, since NaN is not itself


# ── rollouts, compared with plain Python ───────────────────────────────────────────────────────────

SMALL = Config.read(
    {
        "num_los": 3,
        "max_episode_steps": 30,
        "learner": {"mastery_alpha": 4},
        "termination": {"mastery_threshold": 0.7, "max_frustration": 0.9},
    }
)


@pytest.fixture(scope="module", params=["uniform", "rules"])
def taught(request):
    return rollout(request.param, num_learners=12, episodes_per_learner=2, seed=3, config=SMALL)


def rows_of(run):
    """Return one list of plain rows per episode."""
    x = run.interactions
    rows = list(zip(*(column.tolist() for column in x[:-1]), strict=True))
    ends = list(accumulate(x.length.tolist()))
    return [rows[end - length : end] for end, length in zip(ends, x.length.tolist(), strict=True)]


def plain_metrics(rows, bank, config):
    """Return S9.1 to S9.6 of an episode; a row is (action, reward, item, correct, gain, seconds, frustration, mean)."""

    def mean(values):
        return math.fsum(values) / len(values) if values else math.nan

    asked = [r for r in rows if r[0] < 3 * bank.num_los]
    shown = [r for r in rows if r[0] >= 3 * bank.num_los]
    levels = [r[0] % 3 for r in asked]
    kind = {id(r): KINDS[(r[0] - 3 * bank.num_los) % 6] for r in shown}
    away = [abs(levels.count(k) / len(levels) - w) for k, w in enumerate(config.metrics.blueprint)] if asked else []
    reached = [k + 1 for k, r in enumerate(rows) if r[7] >= config.termination.mastery_threshold]
    minutes = [r[5] / 60 for r in asked] + [float(bank.contents.duration[r[2] - bank.num_questions]) for r in shown]
    return {
        "total_steps": len(rows),
        "final_mastery": rows[-1][7],
        "cumulative_reward": math.fsum(r[1] for r in rows),
        "question_accuracy": mean([r[3] for r in asked]),
        "content_count": len(shown),
        "blueprint_adherence": 100 * (1 - mean(away)),
        "post_content_gain": mean([r[4] for r in shown]),
        **{f"post_content_gain_{k}": mean([r[4] for r in shown if kind[id(r)] == k]) for k in KINDS},
        "time_to_mastery": reached[0] if reached else math.nan,
        "time_on_task": math.fsum(minutes),
        "delayed_retention": rows[-1][7],
    }


def test_metrics_of_a_rollout_equal_plain_python(taught):
    found = metrics_of(taught.interactions, taught.bank, SMALL)
    wanted = [plain_metrics(rows, taught.bank, SMALL) for rows in rows_of(taught)]
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-12, abs=1e-12, nan_ok=True)
        assert list(mine) == list(theirs)
    assert 0 < sum(math.isnan(m["time_to_mastery"]) for m in wanted) < len(wanted)  # some are defined and some are not


def test_events_of_a_rollout_are_in_order_and_add_up(taught):
    bank, wanted, row = taught.bank, [], 0
    for rows in rows_of(taught):
        clock = 0.0
        for action, _, item, _, _, seconds, _, _ in rows:
            if action < 3 * bank.num_los:
                wanted += [("question_shown", row, clock), ("answered", row, clock + seconds)]
                clock += seconds
            else:
                wanted.append(("content_shown", row, clock))
                clock += 60 * float(bank.contents.duration[item - bank.num_questions])
            row += 1
    assert [(EVENTS[k], r, s) for k, r, s in zip(*taught.events, strict=True)] == wanted


def test_metrics_and_events_are_the_same_bits_in_any_table(taught):
    """The rows of one episode alone give the same bits as the whole table."""
    x = taught.interactions
    whole, all_events = metrics_of(x, taught.bank, SMALL), taught.events
    for k, end in enumerate(x.last + 1):
        first = end - x.length[k]
        alone = Interactions(*(column[first:end] for column in x[:-1]), length=x.length[k : k + 1])
        assert repr(metrics_of(alone, taught.bank, SMALL)) == repr([whole[k]])
        mine = (all_events.row >= first) & (all_events.row < end)
        own = events(alone, taught.bank)
        assert np.array_equal(own.seconds, all_events.seconds[mine])
        assert np.array_equal(own.kind, all_events.kind[mine])


@pytest.mark.parametrize("observation", ["mastery", "responses"])
def test_the_single_environment_has_the_same_interactions_metrics_and_events(observation):
    run = rollout("uniform", num_learners=3, episodes_per_learner=2, seed=9, config=SMALL, observation=observation)
    found = metrics_of(run.interactions, run.bank, SMALL)
    env = AdaptiveLearningEnv(SMALL, observation=observation)
    last = (run.interactions.last + 1).tolist()
    for k, end in enumerate(last):
        learner, number, first = int(run.learner_id[k]), int(run.episode[k]), end - int(run.interactions.length[k])
        obs, _ = env.reset(seed=9, options={"learner": learner}) if number == 0 else env.reset()
        assert env.get_episode_metrics() == {}
        for row in range(first, end):
            assert np.array_equal(obs, run.obs[row])
            obs, reward, terminated, truncated, _ = env.step(run.interactions.action[row])
            assert (reward, terminated, truncated) == (
                run.interactions.reward[row],
                run.terminated[row],
                run.truncated[row],
            )
        assert terminated or truncated
        assert np.array_equal(obs, run.final_obs[k])
        assert env.learner_state["ability"] == run.ability_final[k]
        for mine, theirs in zip(env.interactions()[:-1], run.interactions[:-1], strict=True):
            assert mine.dtype == theirs.dtype
            assert np.array_equal(mine, theirs[first:end], equal_nan=mine.dtype.kind == "f")
        assert repr(env.get_episode_metrics()) == repr(found[k])
        own, mine = events(env.interactions(), env.bank), (run.events.row >= first) & (run.events.row < end)
        assert np.array_equal(own.seconds, run.events.seconds[mine])


def test_metrics_within_an_episode_count_the_steps_so_far():
    env = AdaptiveLearningEnv(SMALL)
    env.reset(seed=0)
    for step in range(1, 4):
        env.step(0)
        metrics = env.get_episode_metrics()
        assert metrics["total_steps"] == step
        assert metrics["cumulative_reward"] == pytest.approx(sum(e["reward"] for e in env.episode_log))
        assert metrics["final_mastery"] == env.episode_log[-1]["mean_mastery"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x._replace(length=x.length * 1000), "a sum of"),
        (lambda x: x._replace(length=np.array([0, *x.length])), "lengths of episodes must be at least 1"),
        (lambda x: x._replace(reward=x.reward[1:]), "equal sizes"),
        (lambda x: x._replace(item=x.item + np.int32(10_000)), "items must be indices in"),
        (lambda x: x._replace(item=x.item - np.int32(10_000)), "items must be indices in .* got -"),
    ],
)
def test_inconsistent_columns_are_refused(change, message):
    run = rollout("uniform", num_learners=3, config={"num_los": 2, "max_episode_steps": 5})
    for function in (lambda x: episode_metrics(x, run.bank, run.config), lambda x: events(x, run.bank)):
        with pytest.raises(ValueError, match=message):
            function(change(run.interactions))


def test_metrics_of_many_episodes():
    """The number of episodes exceeds the range of int8, in which an interpreted index would overflow."""
    run = rollout("uniform", num_learners=150, config={"num_los": 2, "max_episode_steps": 5})
    assert (
        run.metrics.content_count.sum() + (run.interactions.item < run.bank.num_questions).sum()
        == run.metrics.total_steps.sum()
    )
