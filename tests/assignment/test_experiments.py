"""Experiments: the hash against its definition, shares, independence, traffic, and invalid definitions."""

import hashlib
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
from scipy.stats import chi2, norm

from alsim.assignment import OUTSIDE, AssignmentError, Experiment, experiments_of, experiments_toml, read_experiments

EVEN = {"control": 0.5, "new": 0.5}
IDS = [str(k) for k in range(100_000)]


def numbers(experiment, unit):
    """Return the two uniform numbers of a unit, from the definition."""
    content = b"".join(len(b).to_bytes(8, "little") + b for b in (experiment.encode(), unit.encode()))
    digest = hashlib.blake2b(content, digest_size=16, person=b"alsim assignment").digest()
    return [(int.from_bytes(part, "little") >> 11) / 2**53 for part in (digest[:8], digest[8:])]


# ── the hash ─────────────────────────────────────────────────────────────────────────────────────


def test_arms_follow_from_the_definition_of_the_hash():
    """Another implementation: one call of hashlib per unit, Python's exact integers, and a loop over the shares."""
    arms = {"control": 0.2, "b": 0.3, "c": 0.5}
    experiment = Experiment("tutoring", arms, traffic=0.6)
    units = [*IDS[:2000], "ada", "Zoë", "学生", "a" * 300, "7b "]
    expected = []
    for unit in units:
        arm, enrolment = numbers("tutoring", unit)
        expected.append(OUTSIDE if enrolment >= 0.6 else 0 if arm < 0.2 else 1 if arm < 0.5 else 2)
    assert experiment.assign_many(units).tolist() == expected
    assert [experiment.assign(unit) for unit in units] == [None if k < 0 else [*arms][k] for k in expected]
    assert {*expected} == {-1, 0, 1, 2}


def test_known_answers():
    """Published on the page: a change of any of them would move students of running experiments to other arms."""
    published = {"ada": 0.8757185, "ben": 0.7794260, "0": 0.4240785, "1": 0.5982860}
    assert {unit: round(numbers("tutoring", unit)[0], 7) for unit in published} == published
    experiment = Experiment("tutoring", EVEN)
    assert [experiment.assign(unit) for unit in published] == [
        "new" if u >= 0.5 else "control" for u in published.values()
    ]


def test_names_do_not_run_into_each_other():
    """Without lengths, the pairs (a, bc) and (ab, c) would have one hash."""
    pairs = [("a", "bc"), ("ab", "c")]
    assert len({numbers(*pair)[0] for pair in pairs}) == 2
    found = {Experiment(name, EVEN).assign_many([unit + str(k) for k in range(64)]).tobytes() for name, unit in pairs}
    assert len(found) == 2


def test_another_process_has_the_same_arms():
    """Python's own hashes of texts differ between processes."""
    code = (
        "from alsim.assignment import Experiment; "
        "print(*Experiment('x', {'a': 0.3, 'b': 0.7}).assign_many(map(str, range(500))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert [*map(int, done.stdout.split())] == Experiment("x", {"a": 0.3, "b": 0.7}).assign_many(IDS[:500]).tolist()


@pytest.mark.ci
@pytest.mark.parametrize("arms", [EVEN, {"a": 0.1, "b": 0.2, "c": 0.7}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}])
def test_shares_are_those_stated(arms):
    """Chi-squared over 100,000 ids of each of 10 experiments; the probability of a false alarm is 10⁻⁶ per table.

    The ids are consecutive numbers, as those of simulated learners, and the hash has no seed: the result is fixed.
    """
    statistic = 0.0
    for k in range(10):
        counts = np.bincount(Experiment(f"shares-{k}", arms).assign_many(IDS), minlength=len(arms))
        expected = len(IDS) * np.array([*arms.values()])
        statistic += ((counts - expected) ** 2 / expected).sum()
    freedom = 10 * (len(arms) - 1)
    assert chi2.ppf(1e-6, freedom) < statistic < chi2.isf(1e-6, freedom)


@pytest.mark.heavy
def test_experiments_are_independent():
    """The arms of 12 experiments are uncorrelated in all 66 pairs, over 100,000 ids.

    Under independence, a correlation has the standard deviation 1/√n; with Bonferroni over pairs, the probability of a
    false alarm is 10⁻⁶.
    """
    names = [*(f"test-{k}" for k in range(10)), "test", "TEST"]
    arms = np.array([Experiment(name, EVEN).assign_many(IDS) for name in names])
    correlation = np.corrcoef(arms)[np.triu_indices(12, 1)]
    assert np.abs(correlation).max() * np.sqrt(len(IDS)) < norm.isf(1e-6 / (2 * 66))


def test_enrolment_is_independent_of_the_arm_and_grows_with_the_traffic():
    """The share of a tenth of 100,000 ids, and of the arms among them; false alarms have the probability 10⁻⁶ each."""
    small, large = (Experiment("ramp", EVEN, traffic=traffic) for traffic in (0.1, 0.5))
    few, many, all_ = (e.assign_many(IDS) for e in (small, large, Experiment("ramp", EVEN)))
    inside = few != OUTSIDE
    assert abs(inside.mean() - 0.1) < norm.isf(5e-7) * np.sqrt(0.09 / len(IDS))
    assert abs(few[inside].mean() - 0.5) < norm.isf(5e-7) * np.sqrt(0.25 / inside.sum())
    assert (few[inside] == many[inside]).all() and (many != OUTSIDE)[inside].all()
    assert (all_[many != OUTSIDE] == many[many != OUTSIDE]).all()


def test_the_share_of_an_arm_may_be_tiny():
    experiment = Experiment("rare", {"control": 1 - 1e-4, "new": 1e-4})
    assert 0 < (experiment.assign_many(IDS) == 1).sum() < 40


def test_the_same_ids_in_other_containers():
    experiment = Experiment("tutoring", EVEN)
    expected = experiment.assign_many(IDS[:50]).tolist()
    assert expected == experiment.assign_many(np.array(IDS[:50])).tolist()
    assert expected == experiment.assign_many(iter(IDS[:50])).tolist()
    assert experiment.assign_many([]).tolist() == []
    assert experiment.assign_many([]).dtype == np.int64


@pytest.mark.compiled
def test_a_million_learners_take_about_two_seconds():
    ids = [str(k) for k in range(10**6)]
    start = time.process_time()
    assert len(Experiment("tutoring", EVEN).assign_many(ids)) == 10**6
    assert time.process_time() - start < 6  # 1.1 s on an idle machine


# ── definitions ──────────────────────────────────────────────────────────────────────────────────


def make(name="x", arms=None, **others):
    return Experiment(name, EVEN if arms is None else arms, **others)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make(arms={"a": 1.0}), "the experiment 'x' must have at least two arms; got 'a': add a control"),
        (lambda: make(arms={}), "must have at least two arms; got none"),
        (lambda: make(arms={"a": 0.5, "b": 0.6}), r"must add up to 1; got .* which add up to 1.1: correct them"),
        (lambda: make(arms={"a": 0.5, "b": 0.5 - 1e-8}), "must add up to 1"),
        (lambda: make(arms={"a": 0.0, "b": 1.0}), "the share of the arm 'a' of 'x' must be a number between 0 and 1"),
        (lambda: make(arms={"a": -0.5, "b": 1.5}), "share of the arm 'a'"),
        (lambda: make(arms={"a": float("nan"), "b": 0.5}), "got nan"),
        (lambda: make(arms={"a": True, "b": 0.5}), "got True"),
        (lambda: make(arms={"a": "half", "b": 0.5}), "got 'half'"),
        (lambda: make(arms=["a", "b"]), r"the arms of 'x' must be a table of shares; got \['a', 'b'\]: write arms = "),
        (lambda: make(arms={"a:b": 0.5, "b": 0.5}), "the name of an arm of 'x' must have 1 to 64 letters"),
        (lambda: make("a:b"), "the name of an experiment must have 1 to 64 letters, digits, - and _, .* got 'a:b'"),
        (lambda: make("a.b"), "got 'a.b': leave out other characters"),
        (lambda: make(""), "got '': leave"),
        (lambda: make("-a"), "the first a letter or a digit"),
        (lambda: make("x" * 65), "1 to 64"),
        (lambda: make("x\n"), r"got 'x\\n'"),
        (lambda: make(3), "got 3"),
        (lambda: make(unit="clas"), "the unit of 'x' must be 'student' or 'class'; got 'clas'; did you mean 'class'?"),
        (lambda: make(unit=3), "got 3: choose one of them"),
        (lambda: make(traffic=0), r"the traffic of 'x' must be a number in \(0, 1\]; got 0: 1 is all students"),
        (lambda: make(traffic=1.01), "traffic"),
        (
            lambda: make(policies={"nwe": "guide"}),
            "the policies of 'x' have the unknown arm 'nwe'; did you mean 'new'?",
        ),
        (lambda: make(policies={"new": "guide"}), "the arm 'control' of 'x' has no policy: add it to the policies"),
        (lambda: make(policies={"new": 3, "control": "a"}), "must be the name of a recommender; got 3"),
        (lambda: make(policies="guide"), "the policies of 'x' must be a table; got 'guide'"),
        (lambda: Experiment.from_dict({"name": "x", "arm": EVEN}), "has the unknown key 'arm'; did you mean 'arms'?"),
        (
            lambda: Experiment.from_dict({"name": "x", "zzz": 1}),
            "key 'zzz'; expected name, arms, unit, traffic, policies",
        ),
        (lambda: Experiment.from_dict({"arms": EVEN}), "an experiment has no key 'name': add it"),
        (lambda: Experiment.from_dict({"name": "x"}), "the experiment 'x' has no key 'arms': add it"),
        (lambda: Experiment.from_dict([1]), r"an experiment must be a table; got \[1\]"),
        (
            lambda: make().assign(7),
            r"must be a text of at least one character; got 7: pass names, such as str\(number\)",
        ),
        (lambda: make().assign(""), "at least one character; got ''"),
        (lambda: make().assign_many(["a", None]), "got None"),
        (lambda: make().assign_many(5), "units must be a list of ids; got 5"),
        (lambda: make().assign_many("ada"), "units must be a list of ids; got 'ada': use assign for one unit"),
        (lambda: make().assign_many(np.arange(3)), "got 0: pass names"),
        (lambda: make(unit="class").unit_of("ada"), "the student 'ada' has no class, and the experiment 'x' assigns"),
        (lambda: experiments_of([make(), make()]), "there are two experiments with the name 'x': rename one of them"),
        (lambda: experiments_of({"y": make()}), "the experiment 'x' is in the table 'y'"),
        (lambda: experiments_of(3), "an experiment must be an Experiment; got 3"),
    ],
)
def test_invalid_definitions_are_refused_in_one_sentence(call, message):
    with pytest.raises(AssignmentError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_three_thirds_add_up():
    assert Experiment("x", dict.fromkeys("abc", 1 / 3)).names == ("a", "b", "c")


def test_definitions_are_kept_in_files(tmp_path):
    one = Experiment(
        "tutoring", {"control": 0.25, "new": 0.75}, "class", 0.5, {"control": "guide", "new": "policy:zpd"}
    )
    two = Experiment("second", {"b": 0.5, "a": 0.5})
    file = tmp_path / "experiments.toml"
    file.write_text(experiments_toml([one, two]))
    assert read_experiments(file) == {"tutoring": one, "second": two}
    assert [*read_experiments(file)["second"].arms] == ["b", "a"]
    assert Experiment.from_dict(one.to_dict()) == one == pickle.loads(pickle.dumps(one))
    assert (
        experiments_of(file) == experiments_of([one, two]) == experiments_of({"tutoring": one.to_dict(), "second": two})
    )
    assert experiments_of(one) == {"tutoring": one}
    assert "tutoring" in repr(one) and len(repr(one)) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x]\narms = {a = 0.5, b = 0.4}", r"e\.toml: the shares of the arms of 'x' must add up to 1"),
        (
            "[x]\narms = {a = 0.5, b = 0.5}\ntrafic = 1",
            r"e\.toml: the experiment 'x' has the unknown key 'trafic'; did",
        ),
        ("x = 3", r"e\.toml: an experiment must be a table; got 3"),
        ("[x", r"e\.toml: .*; expected TOML with a table \[NAME\] per experiment"),
    ],
)
def test_errors_in_files_name_the_file(tmp_path, text, message):
    (tmp_path / "e.toml").write_text(text)
    with pytest.raises(AssignmentError, match=message):
        read_experiments(tmp_path / "e.toml")


def test_absent_files_are_named(tmp_path):
    (tmp_path / "plan.toml").write_text("")
    with pytest.raises(AssignmentError, match=r"plam\.toml does not exist; did you mean .*plan\.toml\?"):
        read_experiments(tmp_path / "plam.toml")


# ── changes ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("later", "message"),
    [
        (make(arms={"control": 0.4, "new": 0.6}), r"arms = \{'control': 0.5.* before, and \{'control': 0.4"),
        (make(arms={"new": 0.5, "control": 0.5}), "arms = "),  # the same shares in another order
        (make(arms={"control": 0.5, "b": 0.5}), "arms = .*'b'"),
        (make(unit="class", traffic=0.5), "unit = 'student' before, and 'class' now"),
        (make(traffic=0.5, policies={"control": "guide", "new": "alosi"}), "policies = {} before"),
        (make(traffic=0.4), "traffic = 0.5 before, and 0.4 now"),
    ],
)
def test_a_changed_definition_is_detected(later, message):
    begun = make(traffic=0.5)
    assert begun != later
    with pytest.raises(AssignmentError, match=f"'x' has begun with another definition: {message}.*; restore it, or"):
        begun.check_same(later)


def test_more_traffic_is_no_contradiction():
    make(traffic=0.5).check_same(make(traffic=0.6))
    make().check_same(make())
