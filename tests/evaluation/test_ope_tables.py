"""Off-policy evaluation of users' own tables, and of several logs as one, compared with plain Python and the arrays."""

import csv
import random
import re

import numpy as np
import pytest

import alsim
from alsim.errors import AlsimError
from alsim.evaluation import ope
from alsim.evaluation.ope.evaluation import evaluate_log
from alsim.evaluation.ope.simulated import SimulatedLog

STEPS = ("rewards", "behaviour", "target", "lengths", "units")
EXACT = 1e-12
"""Tolerance of sums of fewer than 1,000 numbers of magnitude 1 in float64."""


def table(seed=0, episodes=30, longest=6, learners=12):
    """Return the columns of a log of episodes of unequal length, sorted by episode and step."""
    draw = random.Random(seed)
    rows = [
        {
            "episode": 10 * episode + 3,
            "step": 2 * step + 1,
            "reward": draw.gauss(1, 1),
            "behaviour": draw.uniform(0.3, 1),
            "target": draw.uniform(0.3, 1),
            "learner": f"learner {episode % learners}",
            "q": draw.gauss(0, 1),
            "v": draw.gauss(0, 1),
            "cluster": draw.choice(["low", "middle", "high"]),
            "behaviour_group": draw.uniform(0.5, 1),
            "target_group": draw.uniform(0.5, 1),
        }
        for episode in range(episodes)
        for step in range(draw.randint(1, longest))
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def without(columns, *names):
    return {name: values for name, values in columns.items() if name not in names}


def shuffled(columns, seed=1):
    """Return the same rows in another order."""
    order = list(range(len(columns["episode"])))
    random.Random(seed).shuffle(order)
    return {name: [values[k] for k in order] for name, values in columns.items()}


def by_episode(columns, name, fill):
    """Return a column as rows of episodes in the order of their ids, filled up to the longest."""
    found = {}
    for episode, _, value in sorted(zip(columns["episode"], columns["step"], columns[name], strict=True)):
        found.setdefault(episode, []).append(value)
    longest = max(map(len, found.values()))
    return [found[episode] + [fill] * (longest - len(found[episode])) for episode in sorted(found)]


def assert_same(log, other):
    """Assert that two logs have the same bits."""
    for name in STEPS:
        np.testing.assert_array_equal(getattr(log.steps, name), getattr(other.steps, name), strict=True)
    assert (log.target, log.behaviour, tuple(log.warnings)) == (other.target, other.behaviour, tuple(other.warnings))


def test_arrays_are_those_of_plain_python():
    columns = table()
    log = ope.TableLog(columns, target="new", behaviour="old")
    assert (log.target, log.behaviour, list(log.warnings)) == ("new", "old", [])
    for name, column, fill in (("rewards", "reward", 0), ("behaviour", "behaviour", 1), ("target", "target", 1)):
        assert getattr(log.steps, name).tolist() == by_episode(columns, column, fill)
    learner = dict(zip(columns["episode"], columns["learner"], strict=True))
    names = sorted({*learner.values()})
    assert log.steps.units.tolist() == [names.index(learner[episode]) for episode in sorted(learner)]
    assert log.unit_names.tolist() == names
    assert log.steps.lengths.tolist() == [columns["episode"].count(episode) for episode in sorted(learner)]
    assert log.transitions == len(columns["reward"])
    values, pooled = log.values(1.0), log.pooled()
    assert values.q.tolist() == by_episode(columns, "q", 0) and values.v.tolist() == by_episode(columns, "v", 0)
    assert pooled.behaviour.tolist() == by_episode(columns, "behaviour_group", 1)
    assert pooled.target.tolist() == by_episode(columns, "target_group", 1)
    code = {"high": 0, "low": 1, "middle": 2}
    coded = {**columns, "cluster": [code[name] for name in columns["cluster"]]}
    assert pooled.clusters.tolist() == by_episode(coded, "cluster", 0)
    assert log.features() is None


def test_estimates_are_those_of_the_functions_on_arrays():
    columns = table()
    steps = [np.array(by_episode(columns, name, 1)) for name in ("reward", "behaviour", "target")]
    lengths = np.array([columns["episode"].count(episode) for episode in sorted({*columns["episode"]})])
    learner = dict(zip(columns["episode"], columns["learner"], strict=True))
    options = {"gamma": 0.9, "learners": [learner[episode] for episode in sorted(learner)]}
    values = {name: np.array(by_episode(columns, name, 0)) for name in ("q", "v")}
    groups = [np.array(by_episode(columns, name, 1)) for name in ("behaviour_group", "target_group")]
    coded = {**columns, "cluster": [len(name) for name in columns["cluster"]]}
    clusters = np.array(by_episode(coded, "cluster", 0))
    expected = {name: getattr(ope, name)(*steps, lengths, **options) for name in ("tis", "pdis", "snpdis", "window")}
    expected |= {name: getattr(ope, name)(*steps, lengths, **options, **values) for name in ("dr", "wdr")}
    expected["mis"] = ope.mis(steps[0], *groups, lengths, clusters=clusters, **options)
    found = evaluate_log(ope.TableLog(columns), gamma=0.9).estimators
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        other = found[name]
        assert (other.value, other.se, other.ess) == pytest.approx((one.value, one.se, one.ess), rel=EXACT), name


def test_a_log_is_evaluated_with_its_own_target():
    log = ope.TableLog(table(), target="new")
    assert ope.evaluate(log, gamma=0.9).to_dict() == evaluate_log(log, gamma=0.9).to_dict()
    with pytest.raises(AlsimError, match="a TableLog has the probabilities of its own target: leave target out"):
        ope.evaluate(log, "rules")
    dataset = alsim.generate_dataset(num_learners=2, policy="uniform")
    with pytest.raises(AlsimError, match="target must be a policy with probabilities; got None: name one"):
        ope.evaluate(dataset)


def test_a_policy_has_the_mean_return_of_its_own_episodes_of_unequal_length():
    columns = table()
    size = len(columns["episode"])
    columns |= {"behaviour": [0.25] * size, "target": [0.25] * size}
    columns |= {"behaviour_group": [0.5] * size, "target_group": [0.5] * size, "v": columns["q"]}
    mean = sum(columns["reward"]) / len({*columns["episode"]})
    found = evaluate_log(ope.TableLog(columns)).estimators
    assert found.keys() == {"tis", "pdis", "snpdis", "dr", "wdr", "mis", "window"}
    for name, estimate in found.items():
        assert estimate.value == pytest.approx(mean, rel=EXACT), name


def test_the_order_of_rows_does_not_matter_with_steps():
    columns = table()
    for seed in range(3):
        assert_same(ope.TableLog(shuffled(columns, seed)), ope.TableLog(columns))


def test_steps_are_in_the_order_of_rows_without_a_column_for_them():
    columns = table()
    by_rows = without(columns, "step")
    assert_same(ope.TableLog(by_rows), ope.TableLog(columns))
    backwards = {name: values[::-1] for name, values in by_rows.items()}
    lengths = ope.TableLog(columns).steps.lengths
    rewards = [row[:n][::-1] for row, n in zip(by_episode(columns, "reward", 0), lengths, strict=True)]
    found = ope.TableLog(backwards).steps.rewards
    assert [row[:n].tolist() for row, n in zip(found, lengths, strict=True)] == rewards


def test_steps_may_be_times():
    columns = table()
    times = {**columns, "step": [f"2024-05-02 10:{step:02d}:00" for step in columns["step"]]}
    assert_same(ope.TableLog(shuffled(times)), ope.TableLog(columns))


def write_csv(columns, path):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def test_all_kinds_of_tables_are_the_same_log(tmp_path):
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = shuffled(table())
    expected = ope.TableLog(columns)
    arrays = {name: np.array(values) for name, values in columns.items()}
    structured = np.empty(len(arrays["reward"]), [(name, array.dtype) for name, array in arrays.items()])
    for name, array in arrays.items():
        structured[name] = array
    pq.write_table(pa.table(columns), tmp_path / "log.parquet")
    write_csv(columns, tmp_path / "log.csv")
    for source in (
        *(arrays, structured, pd.DataFrame(columns), pl.DataFrame(columns), pl.LazyFrame(columns), pa.table(columns)),
        *(tmp_path / "log.parquet", tmp_path / "log.csv", str(tmp_path / "log.csv")),
    ):
        assert_same(ope.TableLog(source), expected)
        found = ope.evaluate(source, estimators="snpdis")
        assert found.estimators == ope.evaluate(expected, estimators="snpdis").estimators


def test_text_files_have_options(tmp_path):
    columns = table()
    text = write_csv(columns, tmp_path / "log.csv").read_text(encoding="utf-8")
    file = tmp_path / "other.txt"
    file.write_text("A title\n" + text.replace(",", "\t").replace("learner ", "élève "), encoding="latin-1")
    options = ope.FileOptions(encoding="latin-1", skip_lines=1)
    found = ope.TableLog(file, options=options)
    assert found.unit_names[0] == "élève 0"
    np.testing.assert_array_equal(found.steps.rewards, ope.TableLog(columns).steps.rewards)


def test_roles_are_mapped_to_columns():
    columns = table()
    mapping = {"episode": "session", "reward": "score", "behaviour": "p", "cluster": None, "learner": "class"}
    mapping |= {"behaviour_group": None, "target_group": None}
    renamed = {mapping.get(name) or name: values for name, values in columns.items()}
    log = ope.TableLog(renamed, mapping)
    assert_same(log, ope.TableLog(columns))
    assert log.pooled() is None


def test_groups_are_the_actions_without_their_own_probabilities():
    log = ope.TableLog(without(table(), "behaviour_group", "target_group"))
    assert log.pooled().behaviour is log.steps.behaviour and log.pooled().target is log.steps.target


def test_each_episode_is_a_unit_without_learners():
    columns = without(table(), "learner", "q", "v")
    log = ope.TableLog(columns)
    assert log.steps.units.tolist() == list(range(30))
    assert log.values(1.0) is None


def test_cells_of_unusual_types_are_read():
    columns = table()
    size = len(columns["episode"])
    plain = ope.TableLog({**columns, "reward": [0, 1] * (size // 2) + [0] * (size % 2)})
    booleans = ope.TableLog({**columns, "reward": [False, True] * (size // 2) + [False] * (size % 2)})
    np.testing.assert_array_equal(plain.steps.rewards, booleans.steps.rewards)
    for write in (np.float16, lambda code: [code], lambda code: {"code": code}):
        found = ope.TableLog({**columns, "cluster": [write(len(name)) for name in columns["cluster"]]}).pooled()
        order = np.argsort(["3", "4", "6"])
        lengths = {**columns, "cluster": [int(order[[3, 4, 6].index(len(name))]) for name in columns["cluster"]]}
        assert found.clusters.tolist() == by_episode(lengths, "cluster", 0)


def test_ids_of_any_kind_are_sorted_as_numbers_or_texts():
    columns = table(episodes=12)
    rewards = ope.TableLog(columns).steps.rewards
    for write in (str, float, lambda k: f"{k}.0"):
        found = ope.TableLog({**columns, "episode": [write(k) for k in columns["episode"]]})
        assert {*map(tuple, found.steps.rewards.tolist())} == {*map(tuple, rewards.tolist())}
    found = ope.TableLog({**columns, "episode": [str(k) for k in columns["episode"]]})
    np.testing.assert_array_equal(found.steps.rewards, rewards)  # "13" is before "103"
    zeros = ope.TableLog({**columns, "episode": [f"0{k}" if k < 20 else str(k - 10) for k in columns["episode"]]})
    assert len(zeros.steps.lengths) == 12  # "013" and "13" are two episodes


def test_several_policies_are_named_and_each_row_keeps_its_propensity():
    columns = table()
    names = {episode: ["b", "a", "c"][k % 3] for k, episode in enumerate(dict.fromkeys(columns["episode"]))}
    columns["policy"] = [names[episode] for episode in columns["episode"]]
    log = ope.TableLog(shuffled(columns))
    assert (log.behaviour, list(log.warnings)) == ("a, b, c", [])
    assert log.steps.behaviour.tolist() == by_episode(columns, "behaviour", 1)
    k = next(k for k, step in enumerate(columns["step"]) if step > 1)
    columns["policy"][k] = "d"
    (warned,) = ope.TableLog(columns).warnings
    assert warned.code == "policy-changes"
    assert f"within 1 of 30 episodes, such as {columns['episode'][k]}:" in warned.sentence
    assert warned in evaluate_log(ope.TableLog(columns)).warnings


def test_the_value_from_the_population_of_two_policies_is_exact():
    """Two steps, two actions with rewards 1 and 4; a target that takes the first with probability 1/4 has 6.5.

    Policy a takes the first action with probability 1/2 (4 histories, each in 4 of 16 episodes), b with 1/4.
    """
    rows = []
    for policy, p in (("a", 2), ("b", 1)):  # of 4
        for first in (0, 1):
            for second in (0, 1):
                odds = [[p, 4 - p][action] for action in (first, second)]
                for _ in range(odds[0] * odds[1]):
                    episode = len(rows) // 2
                    for action, share in zip((first, second), odds, strict=True):
                        rows.append((episode, [1, 4][action], share / 4, [0.25, 0.75][action], policy))
    names = ("episode", "reward", "behaviour", "target", "policy")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    log = ope.TableLog(columns)
    assert (log.behaviour, len(log.steps.lengths)) == ("a, b", 32)
    joined = ope.JoinedLog([*map(ope.TableLog, halves(columns))])
    for one in (log, joined):
        found = evaluate_log(one).estimators
        for name in ("tis", "pdis", "snpdis", "window"):
            assert found[name].value == pytest.approx(2 * (0.25 * 1 + 0.75 * 4), abs=EXACT), name


def changed(name, row, value):
    """Return a change of one cell of the table."""

    def change(columns):
        columns[name][row] = value

    return change


BAD_CELLS = [
    (changed("reward", 1, None), "reward must be a finite number; got a missing value (NaN) in episode 3, step 3"),
    (
        changed("reward", 1, float("nan")),
        "reward must be a finite number; got a missing value (NaN) in episode 3, step 3",
    ),
    (changed("reward", 1, float("inf")), "reward must be a finite number; got inf in episode 3, step 3"),
    (changed("reward", 1, "good"), "reward must be a finite number; got 'good' in episode 3, step 3"),
    (changed("q", 1, None), "q must be a finite number; got a missing value (NaN) in episode 3, step 3"),
    (changed("behaviour", 1, 0.0), "behaviour must be a probability in (0, 1], as the action was taken; got 0.0 in"),
    (changed("behaviour", 1, 1.5), "behaviour must be a probability in (0, 1], as the action was taken; got 1.5 in"),
    (
        changed("behaviour", 1, None),
        "behaviour must be a finite number; got a missing value (NaN) in episode 3, step 3",
    ),
    (changed("target", 1, -0.1), "target must be a probability in [0, 1]; got -0.1 in episode 3, step 3"),
    (changed("target_group", 1, 2), "target_group must be a probability in [0, 1]; got 2.0 in episode 3, step 3"),
    (changed("episode", 1, None), "episode must not be missing; got a missing value (NaN): correct the row"),
    (changed("learner", 1, ""), "learner must not be missing; got a missing value (NaN) in episode 3, step 3"),
    (changed("learner", 1, "me"), "episode 3, step 3, is of learner me, and the first step of the episode of learner"),
    (changed("cluster", 1, None), "cluster must not be missing; got a missing value (NaN) in episode 3, step 3"),
    (changed("step", 1, None), "step must be a number or a time; got a missing value (NaN) in episode 3"),
    (changed("step", 1, 1), "episode 3, step 1 occurs more than once: keep one row per step"),
]


@pytest.mark.parametrize(("change", "message"), BAD_CELLS, ids=map(str, range(len(BAD_CELLS))))
def test_a_bad_cell_is_named_in_one_sentence(change, message, tmp_path):
    columns = table()
    assert columns["episode"][1] == 3
    change(columns)
    with pytest.raises(AlsimError, match=re.escape(f"the table, row 1 (counted from 0): {message}")) as error:
        ope.TableLog(columns)
    assert "\n" not in str(error.value)
    file = write_csv(columns, tmp_path / "log.csv")
    by_line = message.replace("inf in", "'inf' in").replace("got 2.0", "got '2'")
    by_line = re.sub(r"got (-?[0-9.]+) in", r"got '\1' in", by_line)
    with pytest.raises(AlsimError, match=re.escape(f"{file}, line 3: {by_line}")):
        ope.TableLog(file)


def one(name):
    """Return a change that removes a column."""
    return lambda columns: columns.pop(name)


BAD_TABLES = [
    (one("reward"), {}, "there is no column for reward, the reward of the step; name it with columns={'reward': ...}"),
    (one("target"), {}, "there is no column for target, the probability of the action under the target policy"),
    (one("q"), {}, "there is a column for v, 'v', and none for q; name it with columns={'q': ...}, or ignore the"),
    (one("target_group"), {}, "there is a column for behaviour_group, 'behaviour_group', and none for target_group"),
    (one("cluster"), {}, "there are probabilities of groups, and no column for cluster"),
    (
        one("behaviour"),
        {},
        "there are no propensities: no column for behaviour; did you mean 'behaviour_group'?; name it with "
        "columns={'behaviour': ...}, or estimate them with estimate_propensities=True (--estimate-propensities)",
    ),
    (
        lambda columns: columns.update(Reward=columns.pop("reward")),
        {},
        "there is no column for reward, the reward of the step; did you mean 'Reward'?",
    ),
    (None, {"columns": {"reward": "rewad"}}, "there is no column 'rewad' for reward; did you mean 'reward'?"),
    (None, {"columns": {"rewards": "reward"}}, "there is no role 'rewards' of a column; did you mean 'reward'?"),
    (None, {"columns": ["reward"]}, "columns must be a mapping of roles to names of columns; got list"),
    (None, {"columns": {"reward": 3}}, "columns must map reward to the name of a column; got 3"),
    (None, {"estimate_propensities": True}, "there is no column for action, the action that was taken"),
    (
        lambda columns: columns.update(action=columns["cluster"]),
        {"estimate_propensities": True},
        "has propensities in the column 'behaviour', which are better than estimates: leave",
    ),
    (
        lambda columns: columns.update(action=columns["cluster"], behaviour_=columns.pop("behaviour")),
        {"estimate_propensities": True},
        "no column is named: name them with columns={'features': [...]}; the list is empty if the policy saw nothing",
    ),
    (lambda columns: [values.clear() for values in columns.values()], {}, "the table is empty: add one row per step"),
    (
        lambda columns: columns.update(episode=[5] * len(columns["episode"]), step=range(len(columns["episode"]))),
        {},
        "are of one episode, 5, and a standard error needs at least 2",
    ),
    (
        lambda columns: columns.update(learner=["me"] * len(columns["episode"])),
        {},
        "all episodes are of one learner, me, and a standard error needs at least 2 independent learners",
    ),
    (lambda columns: columns["q"].pop(), {}, "the column 'q' has"),
    (lambda columns: columns.clear(), {}, "has no columns with names; pass a table with one row per step"),
    (
        lambda columns: columns.update(learner=["x" * 2000] * len(columns["q"])),
        {},
        "the table, column learner: a name has",
    ),
    (lambda columns: columns.update(cluster=3), {}, "the table, column cluster: expected one value per row; got 3"),
]


@pytest.mark.parametrize(("change", "options", "message"), BAD_TABLES, ids=map(str, range(len(BAD_TABLES))))
def test_a_bad_table_is_refused_in_one_sentence(change, options, message):
    columns = table()
    if change is not None:
        change(columns)
    with pytest.raises(AlsimError, match=re.escape(message)) as error:
        ope.TableLog(columns, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        ("", "the file is empty; choose another file"),
        ("episode,reward,behaviour,target\n", "the table is empty: add one row per step"),
        (
            "episode,reward,behaviour,target\n1,2,1,1\n1,2,1\n",
            "line 3: 3 cells; expected 4, as in the first line; correct",
        ),
        ("episode,reward,reward,target\n1,2,1,1\n", "more than one column is named 'reward'; rename all but one"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(content, message, tmp_path):
    file = tmp_path / "log.csv"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(AlsimError, match=re.escape(message)) as error:
        ope.TableLog(file)
    assert "\n" not in str(error.value)


def test_a_very_long_episode_is_refused_before_its_arrays_are_made(monkeypatch):
    monkeypatch.setattr("alsim.evaluation.ope.table_rows.MAX_CELLS", 100)
    with pytest.raises(AlsimError, match="the longest of 30 episodes, [0-9]+, has 6 steps"):
        ope.TableLog(table())


# ── several logs ─────────────────────────────────────────────────────────────────────────────────


def halves(columns):
    """Return the first and the second half of the episodes of a table."""
    ids = sorted({*columns["episode"]})
    first = {*ids[: len(ids) // 2]}
    rows = range(len(columns["episode"]))
    for is_first in (True, False):
        own = [k for k in rows if (columns["episode"][k] in first) == is_first]
        yield {name: [values[k] for k in own] for name, values in columns.items()}


def test_the_halves_of_a_log_are_the_log():
    columns = without(table(), "cluster", "behaviour_group", "target_group")
    whole, (one, other) = ope.TableLog(columns, behaviour="old, older"), halves(columns)
    other = {**other, "policy": ["older"] * len(other["episode"])}
    joined = ope.JoinedLog([ope.TableLog(one, behaviour="old"), ope.TableLog(other)], keys=["same", "same"])
    assert_same(joined, whole)
    assert joined.values(1.0).q.tolist() == whole.values(1.0).q.tolist()
    assert evaluate_log(joined).to_dict() == evaluate_log(whole).to_dict()


def test_units_and_clusters_of_several_logs_are_distinct():
    one, other = map(ope.TableLog, halves(table(learners=5)))
    joined = ope.JoinedLog([one, other])
    assert joined.behaviour == "behaviour"
    assert joined.steps.units.tolist() == [*one.steps.units, *(5 + other.steps.units)]
    pooled = joined.pooled()
    alive = np.arange(joined.steps.rewards.shape[1]) < joined.steps.lengths[:, None]
    assert {*pooled.clusters[:15][alive[:15]]} == {0, 1, 2} and {*pooled.clusters[15:][alive[15:]]} == {3, 4, 5}
    n = [len(log.steps.lengths) for log in (one, other)]
    parts = [evaluate_log(log, estimators="mis").estimators["mis"].value for log in (one, other)]
    mean = (n[0] * parts[0] + n[1] * parts[1]) / sum(n)
    assert evaluate_log(joined, estimators="mis").estimators["mis"].value == pytest.approx(mean, rel=EXACT)


def test_keys_may_be_in_any_order():
    logs = [*map(ope.TableLog, halves(table(learners=5))), ope.TableLog(table(2, learners=7))]
    units = ope.JoinedLog(logs, keys=["a", "b", "a"]).steps.units
    first, second, third = units[:15], units[15:30], units[30:]
    assert {*first} == {0, 1, 2, 3, 4} and {*third} == set(range(7)) and {*second} == set(range(7, 12))


def test_arrays_that_one_log_lacks_are_left_out():
    full, bare = (
        ope.TableLog(table(0)),
        ope.TableLog(without(table(1), "q", "v", "cluster", "behaviour_group", "target_group")),
    )
    joined = ope.JoinedLog([full, bare])
    assert joined.pooled() is None and joined.values(1.0) is None and joined.features() is None
    assert evaluate_log(joined).estimators.keys() == {"tis", "pdis", "snpdis", "window"}


def test_bad_lists_of_logs_are_refused_in_one_sentence():
    one, other = ope.TableLog(table(), target="a"), ope.TableLog(table(), target="b")
    for arguments, message in (
        (([],), "logs must have at least one log; got none"),
        (([one, other],), "the logs must have the same target policy; got a and b"),
        (([one, one], [1]), "keys must have one key per log, 2; got 1"),
    ):
        with pytest.raises(AlsimError, match=message):
            ope.JoinedLog(*arguments)


@pytest.mark.heavy
def test_datasets_of_several_policies_are_one_log():
    """The target is one of the policies, so its own episodes have the weight 1."""
    datasets = [alsim.generate_dataset(n, 2, policy=p, seed=5) for n, p in ((6, "uniform"), (8, "rules"))]
    target = alsim.policies.make_policy("uniform")
    logs = [SimulatedLog(dataset, target) for dataset in datasets]
    joined = ope.JoinedLog(logs, keys=[dataset.manifest["seed"] for dataset in datasets])
    assert joined.behaviour == "uniform, rules"
    first = len(logs[0].steps.lengths)
    assert joined.steps.units[:first].tolist() == logs[0].steps.units.tolist()
    assert {*joined.steps.units[first:]} == set(range(8))
    width = logs[0].steps.rewards.shape[1]
    np.testing.assert_array_equal(joined.features().taken[:first, :width], logs[0].features().taken)
    assert (joined.features().taken[:first, width:] == 0).all()
    np.testing.assert_array_equal(joined.steps.behaviour[:first, :width], joined.steps.target[:first, :width])
    assert joined.values(1.0).q.shape == joined.steps.rewards.shape
