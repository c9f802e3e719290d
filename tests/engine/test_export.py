"""The log of an engine as a dataset: its tables, the candidate sets, all propensities, and atomic writing."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from engine_logs import GRAPH, HOUR, ITEMS, engine_with_students

import alsim
from alsim.datasets.engine_schema import COLUMNS
from alsim.datasets.manifest import DatasetError
from alsim.engine import AdaptiveEngine, export_log, load_log
from alsim.engine.histories import interactions, mastery_after, mastery_paths, parts, session_numbers, student_order
from alsim.models.student import BKTModel


@pytest.fixture(scope="module")
def engine():
    return engine_with_students()


@pytest.fixture(scope="module")
def log(engine, tmp_path_factory):
    return load_log(export_log(engine, tmp_path_factory.mktemp("export") / "log", names=True), verify=True)


# ── histories ───────────────────────────────────────────────────────────────────────────────────


def test_mastery_paths_are_those_of_the_engine(engine):
    """Before each interaction, the mastery of a student with the same interactions so far."""
    (part,) = parts(engine)
    found = interactions(engine.catalogue, part.entries)
    start = engine.model.new_students(part.names)
    paths = mastery_paths(engine.model, start, found)
    before, following = paths.before, paths.following
    values, row = mastery_after(paths, part.entries)
    after = values[row][np.cumsum([len(entries) for entries in part.entries]) - 1]
    same = np.diff(found.student, append=-1) == 0
    np.testing.assert_array_equal(following[same], before[1:][same[:-1]])
    assert all(np.array_equal(start[name], values) for name, values in engine.model.model.start(6).items())
    for i, name in enumerate(part.names):
        assert after[i].tolist() == list(engine.mastery(name).values())
        twin, rows = AdaptiveEngine(GRAPH, ITEMS), np.flatnonzero(found.student == i)
        for row in rows:
            assert before[row].tolist() == list(twin.mastery("x").values())
            item = ITEMS[found.item[row]]["id"]
            if found.score[row] >= 0:
                twin.process_response("x", item, found.score[row], time=found.time[row])
            else:
                twin.process_content("x", item, time=found.time[row])


def test_sessions_are_split_by_gaps():
    student, time = np.array([0, 0, 0, 0, 3, 3, 4]), np.array([0.0, 10, 29.9, 60, 60, 89, 500])
    assert session_numbers(student, time, 30.0).tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert session_numbers(student, time, 30.5).tolist() == [0, 0, 0, 0, 0, 0, 0]
    assert session_numbers(student[:0], time[:0], 30.0).tolist() == []
    assert session_numbers(np.zeros(4, int), np.array([0.0, 30, 59, 89]), 30.0).tolist() == [0, 1, 1, 2]


def test_parts_have_all_students_in_an_order_that_the_store_does_not_change(engine, monkeypatch):
    order = student_order(engine)
    assert sorted(order) == sorted(engine.students())
    monkeypatch.setattr("alsim.engine.histories.MOST_STUDENTS", 4)
    monkeypatch.setattr("alsim.engine.histories.MOST_VALUES", 200)
    found = list(parts(engine))
    assert len(found) > 2
    assert [name for part in found for name in part.names] == order
    assert [part.first for part in found] == np.cumsum([0, *(len(part.names) for part in found[:-1])]).tolist()
    for part in found:
        assert len(part.names) == 1 or sum(map(len, part.entries)) * 3 <= 200


# ── tables ──────────────────────────────────────────────────────────────────────────────────────


def test_events_are_those_of_the_engine(engine, log):
    rows = log.events.to_pylist()
    for k, name in enumerate(student_order(engine)):
        own = [row for row in rows if row["learner_id"] == k]
        events = engine.events(name)
        assert len(own) == len(events)
        step, session, began, previous = 1, -1, 0.0, -np.inf
        shown = {}
        for row, event in zip(own, events, strict=True):
            if event["time"] - previous >= 1800:
                session, step, began = session + 1, 1, event["time"]
            previous = event["time"]
            assert (row["learner_name"], row["event"], row["item_id"]) == (name, event["event"], event["item"])
            assert (row["episode"], row["step"], row["time"]) == (session, step, event["time"])
            assert row["seconds"] == event["time"] - began
            assert ITEMS[row["item"]]["id"] == event["item"]
            for key in ("rank", "score", "candidates", "decision", "chance", "satisfaction", "policy", "catalogue"):
                assert row[key] == event.get(key)
            assert row["correct"] == (None if "correct" not in event else bool(event["correct"]))
            if "rank" in event:
                assert [engine.catalogue.skills[s] for s in row["ready"]] == event["ready"]
                assert row["propensity"] == event["propensity"]
                shown[event["item"]] = event["propensity"]
            else:
                assert row["response_time"] == event["seconds"]
                assert row["propensity"] == shown.pop(event["item"], None)
                step += 1


def test_transitions_and_episodes_agree_with_the_events(engine, log):
    rows = [row for row in log.events.to_pylist() if row["rank"] is None]
    t, e = log.transitions.to_pylist(), log.episodes.to_pylist()
    assert len(t) == len(rows) == len(log)
    for one, other in zip(t, rows, strict=True):
        keys = ("learner_id", "episode", "step", "time", "propensity", "correct", "chance", "response_time")
        assert [one[key] for key in keys] == [other[key] for key in keys]
        assert one["action"] == other["item"]
    np.testing.assert_allclose(log.reward, (log.next_obs - log.obs).sum(axis=1), atol=1e-6)
    threshold = engine.threshold
    for session in e:
        own = [row for row in t if (row["learner_id"], row["episode"]) == (session["learner_id"], session["episode"])]
        assert session["total_steps"] == len(own)
        assert [row["step"] for row in own] == list(range(1, len(own) + 1))
        assert session["content_count"] == sum(row["correct"] is None for row in own)
        answers = [row["correct"] for row in own if row["correct"] is not None]
        assert session["question_accuracy"] == (pytest.approx(np.mean(answers)) if answers else None)
        assert session["cumulative_reward"] == pytest.approx(sum(row["reward"] for row in own), abs=1e-5)
        assert session["terminated"] == all(m >= threshold for m in session["final_obs"]) != session["truncated"]
        flags = [(row["terminated"], row["truncated"]) for row in own]
        assert flags == [(False, False)] * (len(own) - 1) + [(session["terminated"], session["truncated"])]
    last = {session["learner_id"]: session["final_obs"] for session in e}
    for k, name in enumerate(student_order(engine)):
        np.testing.assert_allclose(last[k], list(engine.mastery(name).values()), rtol=1e-6)


def test_arrays_have_the_types_of_the_specification(log):
    kinds = {name: getattr(log, name).dtype.name for name in ("obs", "reward", "propensity", "learner_id", "episode")}
    assert kinds == dict(obs="float32", reward="float32", propensity="float64", learner_id="int64", episode="int32")
    assert log.obs.shape == log.next_obs.shape == (len(log), 3)
    assert np.isnan(log.propensity).sum() == log.transitions.column("propensity").null_count > 0
    assert "6 students" in repr(log)
    with pytest.raises(AttributeError, match="an EngineLog has the tables transitions, events, episodes"):
        _ = log.rewards


# ── candidates and propensities ─────────────────────────────────────────────────────────────────


def test_candidates_and_all_propensities_of_every_decision(engine, log):
    """The propensity of the shown item is the logged one, bit for bit, and those of all candidates sum to 1."""
    events = log.events.to_pylist()
    rows = [k for k, event in enumerate(events) if event["rank"] is not None]
    odds = log.probabilities(rows)
    assert odds.shape == (len(rows), len(ITEMS))
    for k, row in enumerate(rows):
        event, candidates = events[row], log.candidates(row)
        assert len(candidates) == event["candidates"]
        assert event["item_id"] in candidates
        ready = {engine.catalogue.skills[s] for s in event["ready"]}
        above = {x["item_id"] for x in events[row - event["rank"] : row]}
        assert candidates == [x["id"] for x in ITEMS if ready & {*x["skills_taught"]} and x["id"] not in above]
        assert odds[k, event["item"]] == event["propensity"]
        assert odds[k].sum() == pytest.approx(1, abs=1e-12)
        assert {ITEMS[i]["id"] for i in np.flatnonzero(odds[k])} <= {*candidates}
    some = [rows[5], rows[2], rows[-1], rows[2]]
    assert log.probabilities(some).tolist() == [odds[rows.index(row)].tolist() for row in some]


def test_candidates_and_propensities_of_other_rows_and_engines_are_refused(engine, log, tmp_path):
    answered = log.events.column("event").to_pylist().index("answered")
    for row in (answered, -1, log.events.num_rows):
        with pytest.raises(DatasetError, match=f"row {row} of the events of .* is no item that was shown"):
            log.candidates(row)
    other = AdaptiveEngine(GRAPH, ITEMS, model=BKTModel({s: s for s in "abc"} | {"b\x1fc": ["b", "c"]}, p_learn=0.2),
                           store=engine.store)  # fmt: skip
    later = load_log(export_log(other, tmp_path / "later"))
    with pytest.raises(DatasetError, match="was decided with the model .*, and the dataset has"):
        later.probabilities([0])
    assert later.events.column("propensity").to_pylist() == log.events.column("propensity").to_pylist()


# ── names ───────────────────────────────────────────────────────────────────────────────────────


def test_names_are_exported_only_on_request(engine, tmp_path):
    export_log(engine, tmp_path / "log")
    for file in (tmp_path / "log").rglob("*"):
        assert file.is_dir() or b"s3" not in file.read_bytes().replace(b"is3", b"")
    tables = load_log(tmp_path / "log")
    assert all("learner_name" not in getattr(tables, name).schema.names for name in COLUMNS)


def test_a_model_with_names_of_students_is_left_out_without_names(tmp_path):
    model = BKTModel({s: s for s in "abc"} | {"b\x1fc": ["b", "c"]}, offsets={"s1": 1.0})
    engine = engine_with_students(3, model=model)
    plain = load_log(export_log(engine, tmp_path / "plain"))
    assert not (tmp_path / "plain" / "model.npz").exists()
    with pytest.raises(DatasetError, match="has no student model, because its parameters have names of students"):
        plain.probabilities([0])
    named = load_log(export_log(engine, tmp_path / "named", names=True))
    rows = np.flatnonzero(~np.isnan(np.array(named.events.column("rank").to_pylist(), float)))
    odds, items = named.probabilities(rows), named.events.column("item").to_numpy()[rows]
    assert odds[np.arange(len(rows)), items].tolist() == named.events.column("propensity").take(rows).to_pylist()


# ── files ───────────────────────────────────────────────────────────────────────────────────────


def test_the_same_log_gives_the_same_bytes_and_parts_change_no_row(engine, log, tmp_path, monkeypatch):
    again = export_log(engine, tmp_path / "again", names=True)
    files = sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(log.path) for p in log.path.rglob("*") if p.is_file())
    assert all((again / name).read_bytes() == (log.path / name).read_bytes() for name in files)
    monkeypatch.setattr("alsim.engine.histories.MOST_STUDENTS", 2)
    seen = []
    cut = load_log(export_log(engine, tmp_path / "cut", names=True, progress=seen.append), verify=True)
    assert seen == [2, 4, 6]
    assert len(cut.manifest["tables"]["events"]["shards"]) == 3
    for name in COLUMNS:
        assert getattr(cut, name).to_pylist() == getattr(log, name).to_pylist()
    with pq.ParquetFile(tmp_path / "cut/events/part-00000.parquet") as file:  # any reader of Parquet opens it
        assert file.metadata.num_rows > 0


def test_an_engine_without_students_has_an_empty_log(tmp_path):
    log = load_log(export_log(AdaptiveEngine(GRAPH, ITEMS), tmp_path / "log"), verify=True)
    assert (len(log), log.events.num_rows, log.episodes.num_rows) == (0, 0, 0)
    assert log.obs.shape == log.next_obs.shape == (0, 3)
    assert log.probabilities([]).shape == (0, len(ITEMS))


class Stops(Exception):
    pass


def stop(done):
    raise Stops


def test_an_interrupted_export_leaves_nothing_or_the_old_one(engine, tmp_path):
    with pytest.raises(Stops):
        export_log(engine, tmp_path / "deep" / "log", progress=stop)
    assert list(tmp_path.iterdir()) == []
    export_log(engine, tmp_path / "log")
    before = (tmp_path / "log" / "manifest.json").read_bytes()
    with pytest.raises(Stops):
        export_log(engine, tmp_path / "log", names=True, force=True, progress=stop)
    assert (tmp_path / "log" / "manifest.json").read_bytes() == before
    load_log(tmp_path / "log", verify=True)
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith("lock")] == ["log"]


def test_only_logs_of_engines_are_replaced(engine, tmp_path):
    out = export_log(engine, tmp_path / "log")
    with pytest.raises(DatasetError, match="already holds the log of an engine; force=True"):
        export_log(engine, out)
    export_log(engine, out, force=True, session_gap=HOUR)
    assert load_log(out).manifest["session_gap"] == HOUR
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="contains other files"):
        export_log(engine, out, force=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="contains other files"):
        export_log(engine, tmp_path / "mine", force=True)
    for gap in (0, -1, float("nan"), "x", True):
        with pytest.raises(DatasetError, match="session_gap must be a positive number of seconds"):
            export_log(engine, tmp_path / "gap", session_gap=gap)


def test_damaged_and_foreign_directories_are_refused(log, tmp_path):
    with pytest.raises(DatasetError, match="holds no log of an engine; alsim engine export --out writes one"):
        load_log(tmp_path)
    with pytest.raises(DatasetError, match="holds the log of an engine, which alsim.engine.load_log opens"):
        alsim.load_dataset(log.path)
    copied = tmp_path / "copy"

    def damaged(change):
        shutil.rmtree(copied, ignore_errors=True)
        shutil.copytree(log.path, copied)
        manifest = json.loads((copied / "manifest.json").read_text())
        change(manifest)
        (copied / "manifest.json").write_text(json.dumps(manifest))
        return copied

    with pytest.raises(DatasetError, match=r"has log version 9; this version of alsim reads 1 and 2; export"):
        load_log(damaged(lambda m: m.update(log_version=9)))
    with pytest.raises(DatasetError, match=r"is not a valid manifest: engine\.threshold"):
        load_log(damaged(lambda m: m["engine"].pop("threshold")))
    with pytest.raises(DatasetError, match="which is outside of the dataset"):
        load_log(damaged(lambda m: m["files"][0].update(path="../x")))
    file = damaged(lambda m: None) / "events/part-00000.parquet"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(DatasetError, match="bytes; the manifest says"):
        load_log(copied)
    file.write_bytes(bytes(len(content)))
    with pytest.raises(DatasetError, match="is damaged: its SHA-256 differs"):
        load_log(copied, verify=True)
    with pytest.raises(DatasetError, match="cannot be read"):
        _ = load_log(copied).events
    shutil.copy(log.path / "episodes/part-00000.parquet", file)
    entry = {"bytes": file.stat().st_size}
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["tables"]["events"]["shards"][0].update(entry)
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match="its rows or columns are not those of the manifest"):
        _ = load_log(copied).events


def test_items_that_the_catalogue_has_lost_stay_in_the_log(engine, tmp_path):
    kept = [item for item in ITEMS if item["id"] not in ("q0", "w")]
    smaller = AdaptiveEngine(GRAPH, kept, store=engine.store)
    log = load_log(export_log(smaller, tmp_path / "log"))
    lost = [row for row in log.events.to_pylist() if row["item_id"] in ("q0", "w")]
    assert lost and all(row["item"] == -1 and row["ready"] is None for row in lost)
    is_lost = log.action == -1
    assert is_lost.any() and (log.reward[is_lost] == 0).all()
    with pytest.raises(DatasetError, match="was decided with the catalogue"):
        log.candidates(0)


def test_placements_after_a_quiz_are_exported_and_replayed(tmp_path):
    engine = AdaptiveEngine(GRAPH, ITEMS)
    engine.process_response("ada", "q4", True, time=1)
    quiz, time = engine.quiz("ada", 3), 10.0
    while (question := quiz.next(time=time)) is not None:
        engine.process_response("ada", question.item, True, time=time + 1)
        time += 10
    quiz.place(time=time)
    engine.recommend("ada", 3, time=time + 1)
    log = load_log(export_log(engine, tmp_path / "log"))
    events = log.events.to_pylist()
    placed = [event for event in events if event["event"] == "placed"]
    assert len(placed) == 1 and placed[0]["item_id"] is None and placed[0]["item"] == -1
    np.testing.assert_allclose(
        log.episodes.to_pylist()[-1]["final_obs"], list(engine.mastery("ada").values()), rtol=1e-6
    )
    rows = [k for k, event in enumerate(events) if event["policy"] == "guide"]
    odds = log.probabilities(rows)
    assert [odds[k, events[row]["item"]] for k, row in enumerate(rows)] == [events[row]["propensity"] for row in rows]
    with pytest.raises(DatasetError, match="was chosen by a quiz, and not by the policy of the engine"):
        log.candidates([event["policy"] for event in events].index("quiz"))


@pytest.mark.parametrize("pause", [5, 2 * HOUR])
def test_a_placement_counts_from_its_time_on(tmp_path, pause):
    """Between two interactions, in their session or between their sessions; against the engine at each moment."""
    engine = AdaptiveEngine(GRAPH, ITEMS)

    def known():
        return list(engine.mastery("ada").values())

    quiz, time, live = engine.quiz("ada", 3), 10.0, []
    while (question := quiz.next(time=time)) is not None:
        engine.process_response("ada", question.item, True, time=time + 1)
        time += 10
    live.append(known())
    quiz.place(time=time + pause)
    live.append(known())
    engine.process_response("ada", "q0", False, time=time + 2 * pause)
    live.append(known())
    assert np.abs(np.diff(live, axis=0)).max(axis=1).min() > 0.05  # each event changes what is known
    log = load_log(export_log(engine, tmp_path / "log"))
    is_apart = pause > 1800
    obs, after = log.obs[-1], log.next_obs[-2:]
    np.testing.assert_allclose(obs, live[1], rtol=1e-6)
    np.testing.assert_allclose(after, [live[0] if is_apart else live[1], live[2]], rtol=1e-6)
    final, flags = log.episodes.column("final_obs").to_pylist(), log.episodes.column("terminated").to_pylist()
    np.testing.assert_allclose(final, live if is_apart else live[2:], rtol=1e-6)
    assert flags == [min(mastery) >= engine.threshold for mastery in (live if is_apart else live[2:])]


def test_partial_credit_is_kept(tmp_path):
    engine = AdaptiveEngine(GRAPH, ITEMS, model="alosi", policy="alosi")
    for k, credit in enumerate((0.25, 0.5, 1.0)):
        shown = engine.recommend("ada", 2, time=2 * k)
        item = next((r.item for r in shown if r.item.startswith("q")), "q0")
        engine.process_response("ada", item, credit, time=2 * k + 1)
    log = load_log(export_log(engine, tmp_path / "log"))
    t = log.transitions.to_pydict()
    assert (t["credit"], t["correct"]) == ([0.25, 0.5, 1.0], [False, True, True])
    np.testing.assert_allclose(log.next_obs[-1], list(engine.mastery("ada").values()), rtol=1e-6)
    rows = np.flatnonzero(np.isfinite([np.nan if r is None else r for r in log.events.column("rank").to_pylist()]))
    odds, items = log.probabilities(rows), log.events.column("item").to_numpy()[rows]
    assert odds[np.arange(len(rows)), items].tolist() == log.events.column("propensity").take(rows).to_pylist()
