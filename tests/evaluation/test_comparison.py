"""Comparisons of policies: values against plain loops over the log, statistics against SciPy, and invalid input."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

import alsim
from alsim.config import Config
from alsim.errors import AlsimError
from alsim.evaluation import Comparison, compare, outcomes, setting
from alsim.evaluation.metrics import COMPARED, PRIMARY, mastery_curve, values_of
from alsim.evaluation.paper_tables import csv_table, latex_table, latex_text
from alsim.metrics import METRICS
from alsim.types import FIRST_HELD_OUT, MODALITIES, Reason

SMALL = {"num_los": 3, "max_episode_steps": 25, "termination": {"mastery_threshold": 0.45, "max_frustration": 0.6}}
POPULATION = [
    {"share": 0.5, "name": "slow", "dynamics": {"learning_rate": 0.01}},
    {"share": 0.5, "name": "fast", "dynamics": {"learning_rate": 0.2}},
]


def held_out(policy, learners, config=SMALL, **arguments):
    """Return the episodes that a comparison should have run, by the public function."""
    return alsim.rollout(policy, num_learners=learners, first_learner=FIRST_HELD_OUT, config=config, **arguments)


@pytest.fixture(scope="module")
def small():
    """A comparison whose episodes end for all three reasons."""
    return compare(["uniform", "rules", "video-weakest"], learners=40, seed=3, config=SMALL)


# ── values ───────────────────────────────────────────────────────────────────────────────────────


def plain_values(run):
    """Return the metrics of each episode by loops over its interactions, with an undefined value as None."""
    x, bank, threshold = run.interactions, run.bank, run.config.termination.mastery_threshold
    first = 0
    for e, length in enumerate(x.length.tolist()):
        rows = range(first, first + length)
        first += length
        questions = [r for r in rows if x.item[r] < bank.num_questions]
        contents = [r for r in rows if x.item[r] >= bank.num_questions]
        word = {r: MODALITIES[(int(x.action[r]) - 3 * bank.num_los) % 6] for r in contents}
        gains = [float(x.mastery_gain[r]) for r in rows]
        minutes = sum(float(x.response_time[r]) / 60 for r in questions) + sum(
            float(bank.contents.duration[x.item[r] - bank.num_questions]) for r in contents
        )
        reached = [k for k, r in enumerate(rows, 1) if x.mean_mastery[r] >= threshold]
        shares = [sum(int(x.action[r]) % 3 == k for r in questions) / len(questions) for k in range(3) if questions]
        targets = (0.2, 0.6, 0.2)
        distance = sum(abs(s - t) for s, t in zip(shares, targets, strict=True)) if shares else 0
        own = {
            "cumulative_reward": sum(float(x.reward[r]) for r in rows),
            "learning": sum(gains),
            "final_mastery": float(x.mean_mastery[rows[-1]]),
            "question_accuracy": sum(bool(x.correct[r]) for r in questions) / len(questions) if questions else None,
            "give_up_rate": float(run.reason[e] == 3),
            "blueprint_adherence": 100 * (1 - distance / 3) if shares else None,
            "content_share": len(contents) / length,
            "post_content_gain": mean_of([float(x.mastery_gain[r]) for r in contents]),
            "time_on_task": minutes,
            "mastery_per_hour": sum(gains) / (minutes / 60),
            "share_mastered": float(bool(reached)),
            "restricted_mean_time_to_mastery": float(min([*reached, run.config.max_episode_steps])),
            "delayed_retention": float(x.mean_mastery[rows[-1]]),
        }
        for modality in MODALITIES:
            own[f"post_content_gain_{modality}"] = mean_of(
                [float(x.mastery_gain[r]) for r in contents if word[r] == modality]
            )
        yield own


def mean_of(values):
    return sum(values) / len(values) if values else None


@pytest.mark.parametrize("policy", ["uniform", "rules", "video-weakest"])
def test_values_are_those_of_plain_loops(small, policy):
    run = held_out(policy, 40, seed=3)
    assert {*run.reason.tolist()} <= {1, 2, 3}
    for e, expected in enumerate(plain_values(run)):
        assert expected.keys() == COMPARED.keys()
        for name, value in expected.items():
            found = small.values[policy][name][e]
            assert math.isnan(found) if value is None else found == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_the_episodes_of_the_fixture_end_for_all_reasons(small):
    for policy in small.policies:
        assert small.courses[policy].ended.shape == (4, 26)
    ends = sum(small.courses[policy].ended[1:, -1] for policy in small.policies)
    assert (ends > 0).all()


def test_learning_is_the_return_under_the_preset():
    specified = compare(["rules", "uniform"], learners=30, config=SMALL)
    learning = compare(["rules", "uniform"], learners=30, config=SMALL | {"reward_weights": "learning"})
    for policy in specified.policies:
        assert (learning.values[policy]["cumulative_reward"] == learning.values[policy]["learning"]).all()
        assert (specified.values[policy]["learning"] == learning.values[policy]["learning"]).all()
        assert (specified.values[policy]["cumulative_reward"] != specified.values[policy]["learning"]).any()


def test_metrics_of_an_episode_have_one_definition():
    shared = COMPARED.keys() & METRICS.keys()
    assert all(COMPARED[name] is METRICS[name] for name in shared)
    assert len(COMPARED) == 19
    assert tuple(COMPARED)[:2] == PRIMARY
    assert len({metric.label for metric in COMPARED.values()}) == len(COMPARED)


# ── courses ──────────────────────────────────────────────────────────────────────────────────────


def plain_curve(run):
    """Return the mean mastery of each episode after 0 … T interactions, from the observations."""
    x, steps, los = run.interactions, run.config.max_episode_steps, run.bank.num_los
    first, curves = 0, []
    for e, length in enumerate(x.length.tolist()):
        own = [float(run.obs[first + t, :los].mean()) for t in range(length)] + [float(run.final_obs[e, :los].mean())]
        curves.append([own[min(t, length)] for t in range(steps + 1)])
        first += length
    return np.array(curves)


def test_courses_follow_everybody_to_the_step_limit(small):
    for policy in small.policies:
        run, course = held_out(policy, 40, seed=3), small.courses[policy]
        curves = plain_curve(run)
        assert mastery_curve(run, 25) == pytest.approx(curves, abs=2e-7)  # float32
        assert course.mastery == pytest.approx(curves.mean(axis=0), abs=2e-7)
        interval = scipy.stats.t.interval(0.95, 39, curves.mean(axis=0), scipy.stats.sem(curves, axis=0))
        assert (course.low, course.high) == (pytest.approx(interval[0], abs=1e-6), pytest.approx(interval[1], abs=1e-6))
        for t in range(26):
            for reason in (1, 2, 3):
                share = np.mean((run.interactions.length <= t) & (run.reason == reason))
                assert course.ended[reason, t] == pytest.approx(share, abs=1e-12)
        assert course.ended.sum(axis=0) == pytest.approx(np.ones(26))
        assert course.ended[Reason.NONE, -1] == 0


@pytest.mark.interpreted  # a kernel of its own
def test_courses_of_classes_weigh_each_class_once(monkeypatch):
    """The classes of 7 of 30 learners cross the ends of parts of 4 learners; the last class has 1 or 2 learners."""
    config = SMALL | {"classes": {"size": 7, "mastery_std": 1.0}}
    monkeypatch.setattr(outcomes, "PART_EPISODES", 4)
    monkeypatch.setattr(outcomes, "block_episodes", lambda config: 4)
    found = compare(["rules", "epsilon-greedy:rules:0.1"], learners=30, config=config)
    assert found.to_dict()["independent_unit"] == "class"
    for policy in found.policies:
        run = held_out(policy, 30, config)
        unit = run.learner_id // 7
        curves = plain_curve(run)
        means = np.array([curves[unit == own].mean(axis=0) for own in np.unique(unit)])
        course = found.courses[policy]
        assert course.mastery == pytest.approx(means.mean(axis=0), abs=2e-7)
        half = scipy.stats.t.ppf(0.975, len(means) - 1) * scipy.stats.sem(means, axis=0)
        assert course.high - course.mastery == pytest.approx(half, abs=1e-6)
        assert found.statistic(policy, "learning").n == len(means)


# ── statistics ───────────────────────────────────────────────────────────────────────────────────


def test_statistics_and_pairs_are_those_of_scipy(small):
    report = small.to_dict()
    assert [(pair["a"], pair["b"]) for pair in report["pairs"] if pair["metric"] == "learning"] == [
        ("uniform", "rules"),
        ("uniform", "video-weakest"),
        ("rules", "video-weakest"),
    ]
    for pair in report["pairs"]:
        a, b = (small.values[pair[key]][pair["metric"]] for key in "ab")
        both = ~np.isnan(a) & ~np.isnan(b)
        a, b = a[both], b[both]
        assert (pair["n"], pair["left_out"]) == (len(a), 40 - len(a))
        if len(a) < 2:
            continue
        assert pair["difference"] == pytest.approx((a - b).mean(), abs=1e-12)
        assert pair["share_above"] == np.mean(a > b)
        assert pair["share_below"] == np.mean(a < b)
        if np.ptp(a - b) == 0:
            assert pair["variance_reduction"] is None
            continue
        test = scipy.stats.ttest_rel(a, b)
        assert pair["p"] == pytest.approx(test.pvalue, rel=1e-6)
        interval = test.confidence_interval()
        assert pair["ci"] == pytest.approx([interval.low, interval.high], rel=1e-5, abs=1e-9)
        assert pair["variance_reduction"] == pytest.approx((a.var() + b.var()) / (a - b).var(), rel=1e-9)
    for policy, statistics in report["policies"].items():
        for name, found in statistics.items():
            values = small.values[policy][name]
            assert found["left_out"] == np.isnan(values).sum()
            assert found["n"] == 40 - found["left_out"]
            if found["n"]:
                assert found["mean"] == pytest.approx(np.nanmean(values), abs=1e-12)


def test_shares_have_wilson_intervals(small):
    found = small.to_dict()["policies"]["uniform"]["give_up_rate"]
    given_up = int(small.values["uniform"]["give_up_rate"].sum())
    interval = scipy.stats.binomtest(given_up, 40).proportion_ci(method="wilson")
    assert 0 < given_up < 40
    assert found["ci"] == pytest.approx([interval.low, interval.high], abs=1e-9)


def test_p_values_are_adjusted_over_all_pairs_and_metrics(small):
    pairs = [pair for pair in small.to_dict()["pairs"] if pair["p"] is not None]
    assert len(pairs) > 30
    ordered = sorted(pairs, key=lambda pair: pair["p"])
    largest = 0.0
    for k, pair in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - k) * pair["p"]))
        assert pair["p_adjusted"] == pytest.approx(largest, rel=1e-12)


def test_a_policy_compared_with_itself_has_no_effect():
    for policies in (["rules", "rules"], {"first": "rules", "again": "rules"}):
        report = compare(policies, learners=20, config=SMALL).to_dict()
        assert report["pairs"]
        for pair in report["pairs"]:
            if pair["n"] > 1:
                assert (pair["difference"], pair["ci"], pair["p"], pair["p_adjusted"]) == (0, [0, 0], 1, 1)
            assert pair["variance_reduction"] is None
    assert [(pair["a"], pair["b"]) for pair in report["pairs"]][0] == ("first", "again")
    itself = compare(["rules", "uniform", "rules"], learners=5, config=SMALL)
    assert [*itself.pairs] == [("rules", "rules"), ("rules", "uniform")]


def test_effects_are_differences_of_twins(small):
    effects = small.effects("rules", "uniform", "learning")
    assert effects.tolist() == (small.values["rules"]["learning"] - small.values["uniform"]["learning"]).tolist()
    found = small.difference("rules", "uniform", "learning")
    assert (found.mean, found.n) == (pytest.approx(effects.mean()), 40)


@pytest.mark.interpreted  # a kernel of its own
def test_groups_are_the_rows_of_the_population():
    config = SMALL | {"population": POPULATION}
    found = compare(["rules", "uniform"], learners=60, config=config, by="population")
    rows = Config.read(config).population_rows_of(0, found.learner_id)
    report = found.to_dict()
    assert report["groups"].keys() == {"slow", "fast"}
    for row, name in enumerate(("slow", "fast")):
        own = rows == row
        statistics = report["groups"][name]["policies"]["rules"]["learning"]
        assert statistics["n"] == own.sum()
        assert statistics["mean"] == pytest.approx(found.values["rules"]["learning"][own].mean(), abs=1e-12)
    tests = [pair for group in report["groups"].values() for pair in group["pairs"] if pair["p"] is not None]
    smallest = min(tests, key=lambda pair: pair["p"])
    assert smallest["p_adjusted"] == pytest.approx(min(1, smallest["p"] * len(tests)))  # one family over all groups
    assert compare(["rules", "uniform"], learners=5, config=config).to_dict()["groups"] == {}


@pytest.mark.interpreted  # kernels of its own
@pytest.mark.parametrize("learners", [1, 2, 3])
def test_few_learners_give_undefined_numbers_and_no_nan(learners):
    config = SMALL | {"population": POPULATION}
    report = compare(["rules", "video-weakest"], learners=learners, config=config, by="population").to_dict()
    json.dumps(report, allow_nan=False)
    one = report["policies"]["rules"]["learning"]
    assert one["mean"] is not None
    assert (one["se"] is None) == (one["ci"] is None) == (learners == 1)
    accuracy = report["policies"]["video-weakest"]["question_accuracy"]
    assert accuracy == {"mean": None, "se": None, "ci": None, "n": 0, "left_out": learners}
    assert sum(group["policies"]["rules"]["learning"]["n"] for group in report["groups"].values()) == learners


def test_learning_per_hour_is_undefined_for_an_episode_that_takes_no_time():
    """Response times of 1e-30 s with a deviation of 1 s, and a minimum of 0: half of the questions take no time."""
    config = {
        "num_los": 3,
        "max_episode_steps": 1,
        "dynamics": {"response_time_min": 0.0},
        "irt": {"response_time_mean": 1e-30, "response_time_std": 1.0},
    }
    found = compare(["rules", "video-weakest"], learners=40, config=config)
    rules = found.to_dict()["policies"]["rules"]["mastery_per_hour"]
    none = found.values["rules"]["time_on_task"] == 0
    assert 0 < none.sum() < 40
    assert rules["left_out"] == none.sum()
    assert (np.isnan(found.values["rules"]["mastery_per_hour"]) == none).all()
    json.dumps(found.to_dict(), allow_nan=False)


# ── rollouts ─────────────────────────────────────────────────────────────────────────────────────


def same(one, other):
    assert one.values.keys() == other.values.keys()
    for policy, values in one.values.items():
        for name in COMPARED:
            assert values[name].tobytes() == other.values[policy][name].tobytes(), (policy, name)


def test_results_do_not_depend_on_threads_parts_or_the_other_policies(small, monkeypatch):
    policies = ["video-weakest", "uniform", "rules"]
    same(small, compare(policies, learners=40, seed=3, config=SMALL, num_threads=2))
    monkeypatch.setattr(outcomes, "PART_EPISODES", 7)
    monkeypatch.setattr(outcomes, "block_episodes", lambda config: 7)
    parts = compare(policies, learners=40, seed=3, config=SMALL)
    same(small, parts)
    for policy in policies:
        assert parts.courses[policy].mastery == pytest.approx(small.courses[policy].mastery, abs=1e-12)
        assert parts.courses[policy].high == pytest.approx(small.courses[policy].high, abs=1e-9)
        assert (parts.courses[policy].ended == small.courses[policy].ended).all()


@pytest.mark.heavy
def test_a_policy_that_learns_across_learners_runs_in_its_rounds():
    config = SMALL | {"max_episode_steps": 5}
    name = "thompson:0.1:0.05:true"
    found = compare([name, "rules"], learners=300, config=config)  # rounds of 256 learners
    run = held_out(name, 300, config)
    assert found.values[name]["learning"].tolist() == values_of(run)["learning"].tolist()


def test_policies_may_read_different_observations():
    reads = type("Responses", (), {"name": "responses", "reads": "responses", "act": reading_responses})()
    found = compare([reads, "rules", "epsilon-greedy:rules:0.5"], learners=4, config=SMALL)
    assert found.policies == ["responses", "rules", "epsilon-greedy:rules:0.5"]


def reading_responses(self, view, draws):
    assert view.observation.shape[1] == 2 * view.num_los + 2
    return np.zeros(view.num_lanes, int), np.ones(view.num_lanes)


def test_progress_counts_the_episodes_of_all_policies(monkeypatch):
    monkeypatch.setattr(outcomes, "PART_EPISODES", 10)
    calls = []
    policies = ["rules", "epsilon-greedy:rules:0.5"]
    compare(policies, learners=25, config=SMALL, progress=lambda label, done: calls.append((label, done)))
    assert [done for label, done in calls if label == policies[1]] == [25, 35, 45, 50]
    assert calls[0] == ("rules", 0)
    assert [done for _, done in calls] == sorted(done for _, done in calls)


# ── tables ───────────────────────────────────────────────────────────────────────────────────────


def test_the_csv_has_one_row_per_statistic_and_pair(small):
    import csv
    import io

    report = small.to_dict()
    text = csv_table("group", {"all learners": report}, {name: metric.unit for name, metric in COMPARED.items()})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 3 * len(COMPARED) + len(report["pairs"])
    first = rows[0]
    found = report["policies"]["uniform"]["cumulative_reward"]
    assert (first["policy"], first["compared_with"], first["metric"]) == ("uniform", "", "cumulative_reward")
    assert (float(first["value"]), float(first["ci_low"]), int(first["n"])) == (found["mean"], found["ci"][0], 40)
    last, pair = rows[-1], report["pairs"][-1]
    assert (last["policy"], last["compared_with"], last["metric"]) == (pair["a"], pair["b"], pair["metric"])
    assert all("nan" not in cell.lower() for row in rows for cell in row.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & c%", r"a\_b \& c\%"),
        ("-0.50 ± 0.10", r"$-$0.50 $\pm$ 0.10"),
        ("epsilon-greedy:0.1", "epsilon-greedy:0.1"),
        ("1e-5", "1e-5"),
        ("C:\\x^2~{}$#", r"C:\textbackslash{}x\textasciicircum{}2\textasciitilde{}\{\}\$\#"),
    ],
)
def test_latex_escapes_plain_text(text, expected):
    assert latex_text(text) == expected


def test_a_table_as_latex_has_a_column_per_heading():
    text = latex_table(("policy", "return"), [("rules", "1.0 ± 0.1"), ("a_b", "-2")], "100 % of them")
    lines = text.splitlines()
    assert lines[4].strip() == r"\begin{tabular}{lr}"
    assert r"policy & return \\" in text
    assert r"a\_b & $-$2 \\" in text
    assert text.count("&") == 3
    assert r"\caption{100 \% of them}" in text


# ── invalid input ────────────────────────────────────────────────────────────────────────────────


class Named:
    name = "named"

    def act(self, view, draws):
        return np.zeros(view.num_lanes, int), np.ones(view.num_lanes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policies": ["rules"]}, r"a comparison needs at least two policies; got \['rules'\]; add another"),
        ({"policies": []}, "a comparison needs at least two policies"),
        ({"policies": "rules"}, "policies must be a list of policies, or a mapping"),
        ({"policies": ["rules", "uniforn"]}, "unknown policy 'uniforn'.*did you mean 'uniform'"),
        ({"policies": [Named(), Named()]}, "two policies have the name 'named'; pass a mapping"),
        ({"policies": {"": "rules", "b": "uniform"}}, "the label of a policy must be a string, not empty; got ''"),
        ({"policies": ["rules", 7]}, "the label of a policy must be a string, not empty|policy"),
        ({"learners": 0}, "learners must be an integer of at least 1; got 0"),
        ({"learners": 2.5}, "learners must be an integer of at least 1; got 2.5"),
        ({"learners": 2**31 + 1}, "learners must be at most 2\\*\\*31"),
        ({"first_learner": 0}, "first_learner must be from 2.*got 0: leave it out"),
        ({"first_learner": "x"}, "first_learner must be an integer; got 'x'"),
        ({"seed": -1}, "seed must be an integer in"),
        ({"by": "age"}, "by must be 'population', or None; got 'age'"),
        ({"by": "population"}, r"by \(population\) needs a configuration with a population of several rows"),
        ({"observation": "none"}, "observation must be one of"),
    ],
)
def test_invalid_arguments_are_named(arguments, message):
    settings = {"policies": ["rules", "uniform"], "learners": 3, "config": SMALL} | arguments
    with pytest.raises(AlsimError, match=message):
        compare(**settings)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_reward_that_is_not_finite_is_named(monkeypatch, value):
    """Weights are bounded, so that only the gain of a user's dynamics can cause it."""
    run = held_out("rules", 3)
    rewards = run.interactions.reward.copy()
    rewards[run.interactions.length[0] + 1] = value
    damaged = replace(run, interactions=run.interactions._replace(reward=rewards))
    monkeypatch.setattr(outcomes, "run_parts", lambda plan, episodes: [damaged])
    message = f"the reward of learner {FIRST_HELD_OUT + 1} at step 2 under the policy 'rules' is {value}; rewards must"
    with pytest.raises(AlsimError, match=message):
        compare(["rules", "uniform"], learners=3, config=SMALL)


def test_unknown_names_in_results_are_named(small):
    with pytest.raises(AlsimError, match="metric must be one of .*; got 'learnin'; did you mean 'learning'"):
        small.statistic("rules", "learnin")
    with pytest.raises(AlsimError, match="policy must be one of 'uniform', 'rules', 'video-weakest'; got 'x'"):
        small.difference("rules", "x", "learning")


def test_all_policies_are_checked_before_the_first_runs(monkeypatch):
    monkeypatch.setattr(setting, "outcomes_of", lambda *_: pytest.fail("a policy ran"))
    with pytest.raises(AlsimError, match="unknown policy 'nonsense'"):
        compare(["rules", "nonsense"], learners=3)


def test_a_comparison_describes_itself(small):
    assert repr(small) == "<Comparison of uniform, rules, video-weakest with 40 learners>"
    assert isinstance(small, Comparison)
