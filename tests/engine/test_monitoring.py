"""Audits of engines: statistics against plain Python and SciPy, and the command."""

import json
import math
from contextlib import closing

import numpy as np
import pytest
from engine_logs import HOUR, engine_with_students
from scipy import stats
from typer.testing import CliRunner

from alsim.cli.app import app
from alsim.engine.directory import load_engine, write_engine
from alsim.errors import AlsimError
from alsim.evaluation.engine_audit import audit_engine, read_groups
from alsim.evaluation.estimates import Statistic, estimate
from alsim.evaluation.monitoring import DAY, calibration, difference, return_rate, session_lengths

WEEK = 7 * DAY


# ── functions on arrays ─────────────────────────────────────────────────────────────────────────


def by_student(values, students):
    """Return mean and interval over the means of the students, by SciPy."""
    means = [np.mean([v for v, s in zip(values, students, strict=True) if s == k]) for k in sorted(set(students))]
    half = stats.t.ppf(0.975, len(means) - 1) * stats.sem(means)
    return np.mean(means), (np.mean(means) - half, np.mean(means) + half), len(means)


def test_calibration_is_that_of_the_definitions():
    rng = np.random.default_rng(0)
    p, students = rng.random(400), rng.integers(0, 30, 400)
    y = (rng.random(400) < p**1.5).astype(int)
    p[:2], y[:2] = (0.0, 1.0), (0, 1)
    found = calibration(p, y, students)
    losses = [-math.log(q if a else 1 - q) if 0 < q < 1 else 0.0 for q, a in zip(p, y, strict=True)]
    for name, values in (("bias", p - y), ("brier", (p - y) ** 2), ("log_loss", losses)):
        statistic, (mean, ci, n) = getattr(found, name), by_student(values, students)
        assert statistic.mean == pytest.approx(mean, abs=1e-8)
        assert statistic.ci == pytest.approx(ci, abs=1e-7)
        assert statistic.n == n
    ece, noise = 0.0, 0.0
    for b, one in enumerate(found.bins):
        inside = [k for k, q in enumerate(p) if b / 10 <= q < (b + 1) / 10 or (b == 9 and q == 1)]
        assert (one.answers, one.low, one.high) == (len(inside), b / 10, (b + 1) / 10)
        assert one.chance == pytest.approx(np.mean(p[inside]))
        assert one.correct.mean == pytest.approx(by_student(y[inside], students[inside])[0])
        ece += abs(np.mean(p[inside]) - np.mean(y[inside])) * len(inside) / 400
        noise += math.sqrt(2 / math.pi * sum(p[inside] * (1 - p[inside]))) / 400
    assert found.ece == pytest.approx(ece)
    assert found.ece_if_calibrated == pytest.approx(noise)


def test_the_expected_error_of_calibrated_forecasts_is_that_of_a_simulation():
    """400 logs of 500 calibrated answers, seed 1; false alarm 1e-6, plus 2 % for the normal approximation."""
    rng = np.random.default_rng(1)
    p = rng.beta(2, 2, 500)
    errors = [calibration(p, rng.random(500) < p, np.arange(500)).ece for _ in range(400)]
    expected = calibration(p, p > 2, np.arange(500)).ece_if_calibrated
    assert abs(np.mean(errors) - expected) < 4.9 * np.std(errors) / 400**0.5 + 0.02 * expected


def test_calibration_without_answers_and_of_one_student_is_undefined():
    none = calibration([], [], np.zeros(0, int)).to_dict()
    assert (none["answers"], none["ece"], none["bias"]["mean"], none["bias"]["ci"]) == (0, None, None, None)
    assert json.dumps(none, allow_nan=False)
    one = calibration([0.5, 0.7], [1, 0], [3, 3]).to_dict()
    assert (one["bias"]["mean"], one["bias"]["ci"], one["bias"]["n"]) == (pytest.approx(0.1), None, 1)
    assert calibration([0.0], [1], [0]).log_loss.mean == pytest.approx(-math.log(1e-9))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5], [1, 0], [1, 1]), "one value per answer"),
        (([1.5], [1], [1]), r"chance must be probabilities in \[0, 1\]; got 1.5"),
        (([math.nan], [1], [1]), "chance must be probabilities"),
        (([0.5], [2], [1]), r"correct must be in \[0, 1\]; got 2"),
        (([0.5], [1], [0.5]), "students must be integers"),
        (([0.5], [1], [1], 0), "bins must be an integer of at least 1; got 0"),
    ],
)
def test_invalid_arguments_of_calibration(arguments, message):
    with pytest.raises(AlsimError, match=message):
        calibration(*arguments)


def test_students_who_cannot_be_back_yet_are_left_out_of_the_return_rate():
    end = np.array([0.0, 0.0, 0.0, 6 * DAY, 8.5 * DAY])
    second = np.array([0.5 * DAY, 3 * DAY, math.nan, 6.1 * DAY, 9 * DAY])
    day = return_rate(end, second, 1, 9 * DAY).to_dict()
    assert (day["mean"], day["n"], day["left_out"]) == (0.5, 4, 1)
    assert day["ci"] == pytest.approx(list(stats.binomtest(2, 4).proportion_ci(method="wilson")))
    week = return_rate(end, second, 7, 9 * DAY).to_dict()
    assert (week["mean"], week["n"], week["left_out"]) == (pytest.approx(2 / 3), 3, 2)
    month = return_rate(end, second, 28, 9 * DAY).to_dict()
    assert (month["mean"], month["ci"], month["n"], month["left_out"]) == (None, None, 0, 5)


def test_sessions_that_may_go_on_are_left_out():
    minutes, counts = session_lengths([0, 0, 1], [0.0, 5000, 0], [600.0, 5600, 9000], [4, 2, 9], 1800, 9000)
    assert (minutes.statistic.mean, minutes.statistic.n, minutes.left_out) == (10, 1, 1)
    assert counts.statistic.mean == 3
    # An event exactly one gap later would belong to the next session.
    for log_end, ended in ((2400.0, 1), (2399.9, 0)):
        assert session_lengths([0], [0.0], [600.0], [4], 1800, log_end)[0].statistic.n == ended


def test_differences_have_the_error_of_welch():
    rng = np.random.default_rng(2)
    one, other = rng.normal(0, 1, 12), rng.normal(1, 3, 30)
    found = difference(estimate(one), estimate(other))
    welch = stats.ttest_ind(one, other, equal_var=False)
    assert found.se == pytest.approx(abs((one.mean() - other.mean()) / welch.statistic))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(welch.statistic), 11))
    assert found.p >= welch.pvalue
    assert found.ci[1] - found.mean == pytest.approx(stats.t.ppf(0.975, 11) * found.se)
    assert math.isnan(difference(estimate(one[:1]), estimate(other)).p)
    same = Statistic(0.5, 0.0, (0.5, 0.5), 4)
    assert difference(same, same).p == 1.0


# ── audits ──────────────────────────────────────────────────────────────────────────────────────


def test_an_audit_agrees_with_plain_python():
    engine = engine_with_students(12, seed=5)
    groups = {f"s{k}": "even" if k % 2 == 0 else "odd" for k in range(11)} | {"stranger": "odd"}
    found = audit_engine(engine, groups)
    assert (found["students"], found["without_group"], found["without_events"]) == (12, 1, 1)
    assert json.dumps(found, allow_nan=False)
    log_end = max(engine.events(name)[-1]["time"] for name in engine.students())
    sections = {"all": [*engine.students()]} | {
        group: [name for name in engine.students() if groups.get(name) == group] for group in ("even", "odd")
    }
    for group, names in sections.items():
        section = found["all"] if group == "all" else found["by_group"][group]
        events = {name: engine.events(name) for name in names}
        assert section["students"] == len(names)
        mastered = [len(engine.mastered_skills(name)) / 3 for name in names]
        assert section["mastery"]["rate"]["mean"] == pytest.approx(np.mean(mastered))
        answers = [(k, e) for k, name in enumerate(names) for e in events[name] if e["event"] == "answered"]
        errors = [e["chance"] - e["correct"] for _, e in answers]
        mean, ci, _ = by_student(errors, [k for k, _ in answers])
        assert section["calibration"]["answers"] == len(answers)
        assert section["calibration"]["bias"]["mean"] == pytest.approx(mean)
        assert section["calibration"]["bias"]["ci"] == pytest.approx(list(ci))
        assert sum(week["answers"] for week in section["calibration"]["by_week"]) == len(answers)
        lengths, returns, ratings = [], {1: [], 7: [], 28: []}, []
        for name in names:
            times = [e["time"] for e in events[name]]
            cuts = [0, *(k for k in range(1, len(times)) if times[k] - times[k - 1] >= 1800), len(times)]
            spans = [times[a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
            ended = [(x[-1] - x[0]) / 60 for x in spans if x[-1] + 1800 <= log_end]
            lengths += [np.mean(ended)] if ended else []
            for days, flags in returns.items():
                if spans[0][-1] + days * DAY <= log_end:
                    flags.append(len(spans) > 1 and spans[1][0] - spans[0][-1] <= days * DAY)
            rated = [e["satisfaction"] for e in events[name] if "satisfaction" in e]
            ratings += [np.mean(rated)] if rated else []
        assert section["sessions"]["minutes"]["mean"] == pytest.approx(np.mean(lengths))
        for days, flags in returns.items():
            statistic = section["returns"][str(days)]
            assert (statistic["n"], statistic["left_out"]) == (len(flags), len(names) - len(flags))
            assert statistic["mean"] == (pytest.approx(np.mean(flags)) if flags else None)
        assert section["satisfaction"]["mean"]["mean"] == pytest.approx(np.mean(ratings))
        assert 1 <= section["satisfaction"]["low"] <= section["satisfaction"]["high"] <= 5
        for week in section["mastery"]["by_week"]:
            shares = []
            for name in names:
                first = events[name][0]["time"]
                if first + week["week"] * WEEK <= log_end:
                    shares.append(mastered_at(engine, events[name], first + week["week"] * WEEK))
            assert week["rate"]["mean"] == pytest.approx(np.mean(shares))
            assert (week["rate"]["n"], week["rate"]["left_out"]) == (len(shares), len(names) - len(shares))
    both = found["differences"]
    gap = found["by_group"]["even"]["mastery"]["rate"]["mean"] - found["by_group"]["odd"]["mastery"]["rate"]["mean"]
    assert both["even"]["mastery"]["mean"] == pytest.approx(gap) == pytest.approx(-both["odd"]["mastery"]["mean"])
    assert all(one["p_adjusted"] >= one["p"] for pair in both.values() for one in pair.values())


def mastered_at(engine, events, moment):
    """Return the share of skills mastered at a moment, by an engine that gets the interactions until then."""
    twin = engine_with_students(0)
    for event in events:
        if event["time"] <= moment and event["event"] == "answered":
            twin.process_response("x", event["item"], event["correct"])
        elif event["time"] <= moment and event["event"] == "content_studied":
            twin.process_content("x", event["item"])
    return len(twin.mastered_skills("x")) / 3


@pytest.mark.parametrize("is_last", [True, False])
def test_a_placement_counts_from_its_week_on(is_last):
    """Mastery by week is that of the engine at that moment: a placement in week 1, and perhaps an answer in week 3."""
    engine = engine_with_students(0)
    engine.process_content("other", "v", time=6 * WEEK)  # the log is observed for six weeks
    quiz, time, live = engine.quiz("ada", 3), 0.0, []
    while (question := quiz.next(time=time)) is not None:
        engine.process_response("ada", question.item, True, time=time + 1)
        time += 10
    live += 2 * [len(engine.mastered_skills("ada")) / 3]  # at the first event only the question was shown: week 0
    quiz.place(time=1.5 * WEEK)
    live += 2 * [len(engine.mastered_skills("ada")) / 3]
    if not is_last:
        engine.process_response("ada", "q0", False, time=3.5 * WEEK)
        engine.process_response("ada", "q0", False, time=3.5 * WEEK)
    live += 3 * [len(engine.mastered_skills("ada")) / 3]
    live[0] = 0.0
    assert live[1] < live[2] and (live[4] < live[3]) != is_last
    found = audit_engine(engine, {"ada": "x"})["by_group"]["x"]["mastery"]
    assert [week["rate"]["mean"] for week in found["by_week"]] == pytest.approx(live)
    assert found["rate"]["mean"] == pytest.approx(live[-1])


def audit_of(events, log_end, threshold=0.9, **options):
    """Return the audit of the student ada, with answers [(time, correct)] to q0 in a log with another student."""
    engine = engine_with_students(0, threshold=threshold)
    engine.process_content("other", "v", time=log_end)
    for time, correct in events:
        engine.process_response("ada", "q0", correct, time=time)
    return audit_engine(engine, {"ada": "x"}, **options)["by_group"]["x"], engine


def test_the_time_of_a_return_counts_from_the_end_of_the_first_session():
    """20 hours from the end of the first session to the second one, and 30 hours from its start."""
    events = [(0, True), (10 * HOUR, True), (30 * HOUR, True)]
    found, _ = audit_of(events, 5 * DAY, session_gap=12 * HOUR)
    assert found["sessions"]["count"] == 2
    assert (found["returns"]["1"]["mean"], found["returns"]["1"]["n"]) == (1, 1)


def test_a_gap_of_exactly_the_limit_ends_a_session():
    for pause, sessions in ((1800, 2), (1799, 1)):
        assert audit_of([(0, True), (pause, True)], DAY)[0]["sessions"]["count"] == sessions


def test_a_skill_whose_mastery_is_exactly_the_threshold_is_mastered():
    """As `mastered_skills` has it; the threshold is the mastery after one correct answer by the guide's numbers."""
    mastery = engine_with_students(0).process_response("ada", "q0", True).mastery["a"]
    assert mastery == pytest.approx(0.27 / 0.41 + 0.1 * 0.14 / 0.41)
    for threshold, share in ((mastery, 1 / 3), (np.nextafter(mastery, 1), 0)):
        found, engine = audit_of([(0, True)], DAY, float(threshold))
        assert len(engine.mastered_skills("ada")) / 3 == share == found["mastery"]["rate"]["mean"]


def test_an_event_at_the_end_of_a_week_counts_in_the_next_one():
    """Answers at 0, just before one week, and at exactly one week, which is the end of the log."""
    for time, share in ((WEEK, 1 / 3), (WEEK + 1, 0)):
        found, _ = audit_of([(0, True), (time, True)], WEEK, threshold=0.8)
        by_week = found["mastery"]["by_week"]
        assert [week["rate"]["n"] for week in by_week] == [1, 1]
        assert [week["rate"]["mean"] for week in by_week] == [0, share]
    found, _ = audit_of([(0, True), (WEEK - 1, True), (WEEK, True), (2 * WEEK, True)], 3 * WEEK)
    assert [(week["week"], week["answers"]) for week in found["calibration"]["by_week"]] == [(0, 2), (1, 1), (2, 1)]


def test_p_values_are_adjusted_by_the_method_of_holm():
    """Three groups and two statistics: six p-values, adjusted by the definition of Holm (1979)."""
    engine = engine_with_students(30, seed=2)
    found = audit_engine(engine, {f"s{k}": "xyz"[k % 3] for k in range(30)})["differences"]
    pairs = sorted((one["p"], one["p_adjusted"]) for both in found.values() for one in both.values())
    assert len(pairs) == 6 and len({p for p, _ in pairs}) >= 5
    largest = 0.0
    for k, (p, adjusted) in enumerate(pairs):
        largest = max(largest, min(1.0, (6 - k) * p))
        assert adjusted == pytest.approx(largest, rel=1e-12)
    assert sum(0 < adjusted < 1 for _, adjusted in pairs) >= 2


def test_ratings_are_logged_checked_and_part_of_a_request():
    engine = engine_with_students(0)
    engine.process_response("ada", "q0", True, satisfaction=4, key="k", time=1)
    engine.process_content("ada", "v", time=2)
    assert [event.get("satisfaction") for event in engine.events("ada")] == [4.0, None]
    engine.process_response("ada", "q0", True, satisfaction=4, key="k", time=1)
    with pytest.raises(ValueError, match="the idempotency key 'k' was used before"):
        engine.process_response("ada", "q0", True, satisfaction=5, key="k", time=1)
    for rating in ("4", math.inf, math.nan, True):
        with pytest.raises(ValueError, match="satisfaction must be a finite number, or None; got"):
            engine.process_response("ada", "q0", True, satisfaction=rating)
    assert len(engine.events("ada")) == 2


def test_invalid_audits():
    with pytest.raises(AlsimError, match="the engine has no events yet"):
        audit_engine(engine_with_students(0))
    engine = engine_with_students(2)
    with pytest.raises(AlsimError, match="the gap between sessions must be positive; got 0 s"):
        audit_engine(engine, session_gap=0)
    with pytest.raises(AlsimError, match="there must be at most 50 groups; got 51"):
        many = engine_with_students(0)
        for k in range(51):
            many.process_content(f"s{k}", "v", time=k)
        audit_engine(many, {name: name for name in many.students()})


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("pupil,school\na,x\n", "school", "has no column of students; expected one named student"),
        ("student,school\na,x\n", "scool", "has no column 'scool' with groups; did you mean 'school'"),
        ("student,school\n", "school", "has a header and no rows; expected one row per student: add the students"),
        ("", "school", "the file is empty"),
        ("student,school\na,x\na,y\n", "school", "line 3: the student 'a' occurs more than once"),
    ],
)
def test_invalid_tables_of_students(tmp_path, text, column, message):
    (tmp_path / "students.csv").write_text(text)
    with pytest.raises(AlsimError, match=message):
        read_groups(tmp_path / "students.csv", column)


# ── the command ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    folder, source = tmp_path_factory.mktemp("engine") / "shop", engine_with_students(10, seed=3)
    write_engine(folder, None, source.catalogue)
    with closing(load_engine(folder)) as engine:
        for name in source.students():
            for event in source.events(name):
                options = {"time": event["time"] + 1.7e9}
                if event["event"] == "answered":
                    engine.process_response(name, event["item"], event["correct"], **options)
                elif event["event"] == "content_studied":
                    engine.process_content(name, event["item"], **options)
    rows = [f"s{k},{'north' if k < 5 else ''},{k % 2}" for k in range(10)]
    (folder / "students.csv").write_text("\n".join(["student,school,Grade Level", *rows, ""]))
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["engine", *map(str, arguments)])


@pytest.mark.heavy
def test_the_command_prints_80_columns_and_a_verdict_and_writes_json(directory, tmp_path):
    report, plot = tmp_path / "audit.json", tmp_path / "audit.svg"
    done = run("audit", directory, "--group", "Grade Level", "--json", report, "--plot", plot)
    assert done.exit_code == 0, done.exception
    lines = [line for line in done.stdout.splitlines() if str(plot) not in line]
    assert max(map(len, lines)) <= 80
    found = json.loads(report.read_text())
    assert set(found["by_group"]) == {"0", "1"} and found["group"] == "Grade Level"
    assert found["verdict"].startswith("The forecasts are ")
    assert found["verdict"].split()[-1] in done.stdout
    assert "forecast chance of a correct answer" in plot.read_text()
    with closing(load_engine(directory)) as engine:
        assert found["all"] == audit_engine(engine)["all"]
    again = run("audit", directory, "--group", f"{directory / 'students.csv'}:school")
    assert "5 without group" in again.stdout and "one group, which cannot be compared" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--group", "age"], "has no column 'age' with groups; expected one of school, Grade Level"),
        (["--students", "students.csv"], "--students needs --group COLUMN"),
        (["--session-gap", "0"], "the gap between sessions must be positive"),
    ],
)
def test_invalid_options_of_the_command(directory, arguments, message):
    done = run("audit", directory, *arguments)
    assert isinstance(done.exception, AlsimError)
    assert message in str(done.exception)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("student,school\n", "students.csv has a header and no rows; expected one row per student: add the students"),
        ("student,school\nanna,x\nben,y\n", "no student of the log is in the table of groups: the log has 's"),
        ("student,school\nanna,x\nben,y\n", "and the table 'anna'; use the names of the log as the column student"),
        ("student,school\ns0,\ns1, \nben,x\n", "the 2 students of the log that the table of groups has are without"),
    ],
)
def test_a_table_without_a_group_of_any_student_is_refused(directory, tmp_path, text, message):
    (tmp_path / "students.csv").write_text(text)
    done = run("audit", directory, "--group", "school", "--students", tmp_path / "students.csv")
    assert done.exit_code != 0 and done.stdout == ""
    assert message in str(done.exception) and "\n" not in str(done.exception)


def test_a_group_without_a_table_is_refused(tmp_path):
    write_engine(tmp_path / "shop", None, engine_with_students(0).catalogue)
    done = run("audit", tmp_path / "shop", "--group", "school")
    assert "needs a table of students: add --students FILE" in str(done.exception)


def test_the_commands_of_the_export(directory, tmp_path):
    report = tmp_path / "export.json"
    done = run("export", directory, "--out", tmp_path / "log", "--session-gap", 60, "--json", report)
    assert done.exit_code == 0, done.exception
    assert "10, without names" in done.stdout and "60 min" in done.stdout
    found = json.loads(report.read_text())
    assert (found["students"], found["session_gap_seconds"], found["names"]) == (10, HOUR, False)
    info = CliRunner().invoke(app, ["info", str(tmp_path / "log"), "--verify"])
    assert "log of an engine" in info.stdout
    for arguments, message in (
        (["ada", "--out", tmp_path / "x"], "--out writes the log of all students; remove the student 'ada'"),
        ([], "STUDENT is missing: name a student, or write the log of all students with --out DATASET"),
        (["ada", "--names"], "--names needs --out"),
        (["--out", tmp_path / "log"], "already holds the log of an engine"),
    ):
        assert message in str(run("export", directory, *arguments).exception)
