"""alsim fit --test: the intervals of the scores, the verdict, and responses that the model was fitted to."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from alsim.cli import fit_report
from alsim.models import Responses, score, score_errors, skill_mean

pytestmark = pytest.mark.versionless


@pytest.fixture
def run(run, monkeypatch, tmp_path):
    """Run `alsim fit` in this process, in an empty directory: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    return partial(run, "fit")


def scored(correct, predicted, student, **options):
    """Return the scores of predictions."""
    scores, errors = score(correct, predicted), score_errors(correct, predicted, student)
    return fit_report.Tested(Path("test.csv"), scores, errors, **options)


def words(result):
    """Return the verdict of a fit with these scores."""
    fitted = skill_mean.fit(Responses.from_arrays(["a", "b"], [0, 1], skill=["x", "y"]))
    return fit_report.verdict(fitted, result, [])


def log(students, seed=0, ability=1.0):
    """Return a log of 5 skills with a header: half of the skills are easy, and the others are difficult."""
    random = np.random.default_rng(seed)
    chances = 1 / (1 + np.exp(-ability * np.array([-1, -1, 0, 1, 1])))
    rows = [f"{name},s{k},{int(random.random() < chances[k])}" for name in students for k in range(5)]
    return "\n".join(["student,skill,correct", *rows, ""])


# ── intervals ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.parametrize("num_students", [5, 10, 50])
def test_the_auc_of_guesses_rarely_differs_from_chance(num_students):
    """2,000 tests of 20 responses per student, seed 0; abilities differ, and predictions are random.

    The nominal rate is 5 %. The probability of a false alarm is below 2e-3 for true rates from 5 % to 6 %. The rates of
    the normal quantile are 12 % and 9 % for 5 and 10 students.
    """
    random, size, n = np.random.default_rng(0), 20, 2000
    student = np.repeat(np.arange(num_students), size)
    false = 0
    for _ in range(n):
        chance = 1 / (1 + np.exp(-random.normal(size=num_students)))
        correct = (random.random(len(student)) < chance[student]).astype(float)
        low, high = fit_report.interval("auc", scored(correct, random.random(len(student)), student))
        false += not low <= 0.5 <= high
    assert 0.035 < false / n < 0.08


def test_intervals_are_those_of_students_t_within_the_range_of_a_score():
    random = np.random.default_rng(0)
    student = np.repeat(np.arange(6), 30)
    result = scored(random.integers(0, 2, 180), random.random(180), student)
    for name in ("auc", "rmse", "log_loss", "accuracy"):
        value, error = getattr(result.scores, name), getattr(result.errors, name)
        assert fit_report.interval(name, result) == pytest.approx(stats.t.interval(0.95, 5, value, error))
    two = scored([1, 0, 1, 0], [0.9, 0.2, 0.3, 0.4], [0, 0, 1, 1])
    assert fit_report.interval("auc", two) == [0, 1]
    assert fit_report.interval("log_loss", two)[0] == 0 and fit_report.interval("log_loss", two)[1] > 1


def test_the_verdict_compares_the_auc_with_chance_where_the_interval_allows_it():
    correct, student = np.tile([1, 0], 20), np.repeat(np.arange(10), 4)
    noise = np.random.default_rng(0).random(40)
    assert words(scored(correct, 0.4 * correct + 0.6 * noise, student)).endswith(", better than chance (0.5).")
    assert words(scored(correct, 0.6 * noise + 0.4 * (1 - correct), student)).endswith(", worse than chance (0.5).")
    for predicted in (noise, np.full(40, 0.5)):
        assert words(scored(correct, predicted, student)).endswith(", not distinguishable from chance (0.5).")


def test_no_verdict_without_a_standard_error():
    one = scored([1, 0, 1], [0.9, 0.2, 0.3], [0, 0, 0])  # one student
    assert words(one) == "The estimates are computed without iterations; the AUC of the test is 1.000."
    perfect = scored([1, 0, 1, 0], [0.9, 0.2, 0.9, 0.2], [0, 0, 1, 1])  # the linearised error is 0
    assert perfect.errors.auc == 0
    assert words(perfect) == "The estimates are computed without iterations; the AUC of the test is 1.000±0.000."


# ── responses that the model was fitted to ───────────────────────────────────────────────────────

IN_SAMPLE = "on the responses that the model was fitted to (in-sample), which does not show how well it predicts new"


def fit_and_test(run, first, second, *options):
    """Fit skill-mean to the file `first` and test on `second`; return its output on one line, and its report."""
    status, out, err = run("skill-mean", first, "--test", second, "--json", "report.json", *options)
    assert status == 0, err
    return " ".join(out.split()), json.loads(Path("report.json").read_text())


def test_the_log_itself_is_no_test_of_new_students(run, tmp_path):
    names = [f"u{k}" for k in range(30)]
    content = log(names)
    header, *rows = content.splitlines()
    (tmp_path / "log.csv").write_text(content)
    (tmp_path / "link.csv").symlink_to("log.csv")
    (tmp_path / "copy.csv").write_text(content)
    (tmp_path / "shuffled.csv").write_text("\n".join([header, *reversed(rows)]))
    (tmp_path / "part.csv").write_text("\n".join([header, *rows[:50]]))
    for second in ("log.csv", "link.csv", "copy.csv", "shuffled.csv", "part.csv"):
        out, report = fit_and_test(run, "log.csv", second)
        assert IN_SAMPLE in out and "chance" not in out
        assert report["test"]["in_sample"] is True and IN_SAMPLE in report["verdict"]


def test_other_students_are_a_test(run, tmp_path):
    (tmp_path / "log.csv").write_text(log([f"u{k}" for k in range(30)]))
    (tmp_path / "test.csv").write_text(log([f"v{k}" for k in range(30)], seed=1))
    out, report = fit_and_test(run, "log.csv", "test.csv")
    assert out.endswith("better than chance (0.5).") and "note" not in out
    assert report["test"]["in_sample"] is False


def test_students_of_both_logs_are_counted_in_a_note(run, tmp_path):
    names = [f"u{k}" for k in range(30)]
    (tmp_path / "log.csv").write_text(log(names))
    (tmp_path / "test.csv").write_text(log(names[:3] + [f"v{k}" for k in range(9)], seed=1))
    out, report = fit_and_test(run, "log.csv", "test.csv")
    note = "3 students of the test, of 12, also have responses in the log, by name; so the scores are not those of new"
    assert f"note: {note} students only" in out and "in-sample" not in out
    assert any(note in text for text in report["notes"])
    (tmp_path / "one.csv").write_text(log(["u1", "v1", "v2"], seed=2))
    out, _ = fit_and_test(run, "log.csv", "one.csv")
    assert "note: 1 student of the test, of 3, also has responses in the log" in out


def test_columns_without_names_are_not_matched_to_other_columns(run, tmp_path):
    rows = [f"{k % 3 % 2},{k % 4 % 2},{k % 5 % 2}\n" for k in range(30)]
    (tmp_path / "test.csv").write_text("".join(rows))
    more = "".join(f"{row.strip()},{k % 2}\n" for k, row in enumerate(rows))  # the last column is not in the test
    for content in ("".join(f"s{k},{row}" for k, row in enumerate(rows)), "q1,q2,q3\n" + "".join(rows), more):
        (tmp_path / "log.csv").write_text(content)
        status, _, err = run("irt", "log.csv", "--model", "rasch", "--test", "test.csv")
        assert status == 2 and "columns without names have their numbers as names: write the names" in err


def test_students_named_by_whole_numbers_are_the_same_with_decimals(run, tmp_path):
    (tmp_path / "log.csv").write_text(log(range(7, 37)))
    (tmp_path / "test.csv").write_text(log([f"{k}.0" for k in range(35, 40)], seed=1))
    assert "note: 2 students of the test, of 5, also have" in fit_and_test(run, "log.csv", "test.csv")[0]
    (tmp_path / "twice.csv").write_text(log(["7", "8.0"], seed=2))
    assert "note: 2 students of the test, of 2, also have" in fit_and_test(run, "log.csv", "twice.csv")[0]


def test_students_without_names_are_the_same_only_in_equal_logs(run, tmp_path):
    random = np.random.default_rng(0)
    rows = [",".join(map(str, row)) for row in (random.random((40, 4)) < [0.2, 0.4, 0.6, 0.8]).astype(int)]
    for name, chosen in (("log", rows), ("copy", rows), ("part", rows[:20]), ("other", rows[::-1])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["q1,q2,q3,q4", *chosen]))
    assert IN_SAMPLE in fit_and_test(run, "log.csv", "copy.csv")[0]
    for name in ("part.csv", "other.csv"):
        out, report = fit_and_test(run, "log.csv", name)
        assert "in-sample" not in out and "note" not in out and not report["test"]["in_sample"]


def test_patterns_with_other_frequencies_are_other_students(run, tmp_path):
    (tmp_path / "log.csv").write_text("x,y,freq\n1,0,3\n0,1,2\n")
    (tmp_path / "same.csv").write_text("x,y,freq\n1,0,3\n0,1,2\n")
    (tmp_path / "other.csv").write_text("x,y,freq\n1,0,4\n0,1,2\n")
    assert "in-sample" in fit_and_test(run, "log.csv", "same.csv")[0]
    assert "in-sample" not in fit_and_test(run, "log.csv", "other.csv")[0]


@pytest.mark.ci
def test_partial_credit_on_the_command_line(run, tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"s{k % 20},{'xy'[k % 2]},{rng.choice([0, 0.5, 1])}" for k in range(200)]
    (tmp_path / "log.csv").write_text("\n".join(["student,skill,points", *rows[:100]]))
    (tmp_path / "test.csv").write_text("\n".join(["student,skill,points", *rows[100:]]))
    options = ("--columns", "credit=points", "--partial-credit", "--test", "test.csv", "--json", "report.json")
    for model in ("skill-mean", "pfa", "best-lr"):
        status, out, err = run(model, "log.csv", *options)
        assert (status, err) == (0, "")
        assert "the AUC of the test is undefined, since some of its responses have partial credit." in " ".join(
            out.split()
        )
        content = json.loads((tmp_path / "report.json").read_text())
        assert content["test"]["auc"]["mean"] is content["test"]["accuracy"]["mean"] is None
        assert 0 < content["test"]["rmse"]["mean"] < 0.6
    status, _, err = run("skill-mean", "log.csv", "--partial-credit", "--columns", "correct=points")
    assert status == 2 and "--columns credit=points" in err
    status, _, err = run("bkt", "log.csv", *options)
    assert (
        status == 2 and "--partial-credit' of the model bkt; it belongs to pfa, best-lr and skill-mean: omit it" in err
    )
    for model in ("bkt", "irt", "pfa", "skill-mean"):
        status, _, err = run(model, "log.csv", "--columns", "credit=points")
        assert status == 2 and "responses have partial credit; map a column of answers to correct, choose" in err
