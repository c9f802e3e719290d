"""Engines with student models of memory: recall at a time, due skills first, settings, logs and recalibration."""

import numpy as np
import pytest
from courses import GRAPH, ITEMS, content, question

import alsim
from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.engine import AdaptiveEngine, Catalogue, EngineError, OutOfOrder, export_log, load_log
from alsim.engine.directory import load_engine, write_engine
from alsim.engine.policy import EnginePolicy
from alsim.models import fsrs, hlr
from alsim.models.student import FSRSModel, HLRModel, Items

HOUR = 3600.0
T0 = 1.7e9
EVERY = ("hlr", "fsrs")
every_model = pytest.mark.parametrize("model", EVERY)


def engine(model="hlr", **options):
    return AdaptiveEngine(GRAPH, ITEMS, model=model, **options)


def taught(one, items):
    """The skills that the items teach."""
    return [set(one.catalogue.items[one.catalogue.number(item.item)].skills_taught) for item in items]


def practised(one, student="ada", days=(0, 0.01, 0.02, 3)):
    """An engine after answers about counting and addition."""
    for k, day in enumerate(days):
        one.process_response(student, ("c0", "c1", "a0", "c2")[k % 4], k != 1, time=T0 + 24 * HOUR * day)
    return one


# ── recall and due skills ────────────────────────────────────────────────────────────────────────


def test_mastery_is_the_recall_of_hlr_at_a_time():
    """Counting: right at 0 and 3 days, wrong at 0.01 days; addition: right at 0.02 days."""
    one = practised(engine())
    for day in (3, 3.1, 5, 40):
        found = one.mastery("ada", time=T0 + 24 * HOUR * day)
        counting = hlr.recall(day - 3, hlr.half_life(2, 1))
        addition = hlr.recall(day - 0.02, hlr.half_life(1, 0))
        assert found == pytest.approx(
            {"counting": float(counting), "addition": float(addition), "fractions": 0.3, "shapes": 0.3}, rel=1e-6
        )


def test_mastery_is_the_retrievability_of_fsrs_at_a_time():
    one = practised(engine("fsrs"))
    state = fsrs.review(*fsrs.review(*fsrs.review(np.nan, np.nan, 0, 3), 0.01, 1), 2.99, 3)
    found = one.mastery("ada", time=T0 + 24 * HOUR * 10)
    assert found["counting"] == pytest.approx(float(fsrs.retrievability(state[0], 7)), rel=1e-6)


@every_model
def test_a_practised_skill_is_due_from_when_recall_falls_below_the_retention(model):
    """FSRS computes that time for each retention; a skill without practice is never due."""
    for retention in (0.7, 0.9, 0.97):
        one = engine(model, retention=retention)
        one.process_response("ada", "f", True, time=T0)
        stability = hlr.half_life(1, 0) if model == "hlr" else fsrs.WEIGHTS[2]
        days = -np.log2(retention) * stability if model == "hlr" else float(fsrs.interval(stability, retention))
        for factor, due in ((0, []), (0.999, []), (1.001, ["fractions"]), (50, ["fractions"])):
            assert one.due_skills("ada", time=T0 + 24 * HOUR * days * factor) == due
        assert one.due_skills("ben") == []


def test_recall_without_a_time_is_that_of_now():
    """The events are of 2023: now, years later, recall of HLR is 0, and every practised skill is due."""
    one = practised(engine())
    assert one.due_skills("ada") == ["counting", "addition"]
    assert one.mastery("ada")["counting"] < 1e-6
    assert one.export("ada")["due"] == ["counting", "addition"]
    with pytest.raises(OutOfOrder, match="is .* s earlier than its last"):
        one.mastery("ada", time=T0)


@pytest.mark.parametrize("model", ["bkt", "irt", "elo"])
def test_models_without_memory_have_no_due_skills(model):
    one = practised(engine(model))
    assert one.due_skills("ada") == []
    assert "due" not in one.export("ada")
    assert one.mastery("ada") == one.mastery("ada", time=T0 + 1e8)


# ── recommendations ──────────────────────────────────────────────────────────────────────────────


@every_model
def test_items_of_due_skills_are_recommended_first(model):
    one = practised(engine(model))
    later = T0 + 24 * HOUR * 100
    due = {*one.due_skills("ada", time=later)}
    assert due == {"counting", "addition"}
    found = one.recommend("ada", 50, time=later)
    assert found
    assert all(skills & due for skills in taught(one, found))
    assert {item for item in ("c0", "a0", "ca", "video")} <= {r.item for r in found}
    assert one.events("ada")[-1]["ready"] == ["counting", "addition"]
    fresh = T0 + 24 * HOUR * 3.001
    early = practised(engine(model, retention=0.05))
    assert early.due_skills("ada", time=fresh) == []
    assert not any(
        "counting" in skills and len(skills) == 1 for skills in taught(early, early.recommend("ada", 50, time=fresh))
    )


@every_model
def test_the_order_is_a_setting(model):
    one = practised(engine(model, due_first=False))
    later = T0 + 24 * HOUR * 100
    ready = {*one.ready_skills("ada", time=later)}
    found = taught(one, one.recommend("ada", 50, time=later))
    assert all(skills & ready for skills in found)
    assert any("shapes" in skills for skills in found)
    assert one.events("ada")[-1]["ready"] == one.ready_skills("ada", time=later)
    assert one.due_skills("ada", time=later) == ["counting", "addition"]


@every_model
def test_a_due_skill_that_no_item_teaches_does_not_hide_others(model):
    """The question assesses a skill that it does not teach."""
    items = [{**question("q", "lost"), "skills_taught": []}, content("text", "other")]
    one = AdaptiveEngine({"lost": [], "other": []}, items, model=model)
    one.process_response("ada", "q", True, time=T0)
    later = T0 + 1e8
    assert one.due_skills("ada", time=later) == ["lost"]
    assert [r.item for r in one.recommend("ada", time=later)] == ["text"]


@every_model
@pytest.mark.parametrize("policy", ["guide", "alosi", "thompson", "policy:uniform"])
def test_every_recommender_runs_with_memory(model, policy):
    one = practised(engine(model, policy=policy))
    assert one.recommend("ada", 3, time=T0 + 24 * HOUR * 50)
    one.process_content("ada", "video", time=T0 + 24 * HOUR * 50)
    assert one.mastery("ada", time=T0 + 24 * HOUR * 50)["shapes"] == 1


# ── stores and logs ──────────────────────────────────────────────────────────────────────────────


@every_model
def test_a_state_made_again_from_the_log_is_the_same(model, tmp_path):
    address = f"sqlite:{tmp_path / 'students.db'}"
    with practised(engine(model, store=address)) as one:
        one.recommend("ada", 3, time=T0 + 24 * HOUR * 9)
        one.process_content("ada", "video", time=T0 + 24 * HOUR * 9.5)
        before = one.store.load("ada").state
        one.replay()
        assert one.store.load("ada").state == before
        moment = T0 + 24 * HOUR * 30
        known = one.mastery("ada", time=moment)
    with engine(model, store=address) as other:
        assert other.mastery("ada", time=moment) == known
    with engine("bkt", store=address) as other:  # a state of another model is made again
        assert set(other.mastery("ada").values()) - {0.3}
    with engine(model, store=address) as other:
        assert other.mastery("ada", time=moment) == known


@every_model
def test_propensities_follow_from_an_exported_log(model, tmp_path):
    """A log of 12 students over weeks, with contents: the probability of each item that was shown is the logged one."""
    one, rng = engine(model, policy="alosi", retention=0.8), np.random.default_rng(3)
    for s in range(12):
        time = T0
        for _ in range(8):
            found = one.recommend(f"s{s}", 2, time=time)
            time += float(rng.choice([60, HOUR, 50 * HOUR, 400 * HOUR]))
            if found and one.catalogue.is_question[one.catalogue.number(found[0].item)]:
                one.process_response(f"s{s}", found[0].item, bool(rng.random() < 0.6), time=time)
            elif found:
                one.process_content(f"s{s}", found[0].item, time=time)
    log = load_log(export_log(one, tmp_path / "log"), verify=True)
    assert log.manifest["engine"]["retention"] == 0.8
    rows = np.flatnonzero(log.events.column("rank").is_valid().to_numpy())
    odds, items = log.probabilities(rows), log.events.column("item").to_numpy()[rows]
    np.testing.assert_allclose(odds[np.arange(len(rows)), items], log.events.column("propensity").to_numpy()[rows])


@every_model
def test_the_policy_of_the_simulator_has_the_clock_of_learners(model):
    config = Config.read({"num_los": 6, "max_episode_steps": 30, "sessions": {"interactions": 4, "break_hours": 48}})
    one = AdaptiveEngine(None, Catalogue.of_bank(sample_bank(config), config.curriculum), model=model)
    policy = EnginePolicy(one)
    log = alsim.generate_dataset(10, 1, policy=policy, seed=2, config=config)
    assert log.probabilities(policy).tobytes() == log.propensity.tobytes()
    ready_first = AdaptiveEngine(None, one.catalogue, model=model, due_first=False)
    other = EnginePolicy(ready_first)
    assert other.digest != policy.digest
    assert not np.array_equal(log.probabilities(other), log.propensity)


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retention": 1}, r"retention must be a probability of recall in \(0, 1\); got 1"),
        ({"retention": 0.0}, r"retention must be a probability of recall in \(0, 1\); got 0"),
        ({"retention": float("nan")}, r"retention must be a probability of recall in \(0, 1\); got nan"),
        ({"retention": True}, r"retention must be a probability of recall in \(0, 1\); got True"),
        ({"due_first": 1}, "due_first must be True or False; got 1"),
    ],
)
def test_invalid_settings_are_named(options, message):
    with pytest.raises(EngineError, match=message):
        engine(**options)


def test_settings_of_reviews_are_in_the_file_of_engines_with_memory(tmp_path):
    write_engine(tmp_path / "a", GRAPH, ITEMS, model="fsrs", retention=0.85, due_first=False)
    text = (tmp_path / "a/engine.toml").read_text(encoding="utf-8")
    assert "\nretention = 0.85 " in text
    assert "\ndue_first = false " in text
    with load_engine(tmp_path / "a", store="memory") as one:
        assert (one.retention, one.due_first) == (0.85, False)
    write_engine(tmp_path / "b", GRAPH, ITEMS)
    plain = (tmp_path / "b/engine.toml").read_text(encoding="utf-8")
    assert "retention" not in plain
    with load_engine(tmp_path / "b", store="memory", model="hlr", retention=0.7) as one:
        assert (one.retention, one.due_first) == (0.7, True)
    (tmp_path / "b/engine.toml").write_text(plain + "retention = 2\n", encoding="utf-8")
    with pytest.raises(EngineError, match=r"line \d+: retention must be a probability of recall in \(0, 1\); got 2"):
        load_engine(tmp_path / "b")


# ── models ───────────────────────────────────────────────────────────────────────────────────────


def test_a_fit_is_the_model_of_an_engine(tmp_path):
    rng = np.random.default_rng(1)
    student, skill = np.repeat(np.arange(80), 20), rng.choice(list(GRAPH), 1600)
    time = np.tile(np.arange(20), 80) * 20 * HOUR
    log = alsim.models.Responses.from_arrays(student, rng.random(1600) < 0.6, skill=skill, time=time)
    fit = hlr.fit(log, guess=0.1)
    file = fit.save(tmp_path / "fit.json")
    one, other = practised(engine(fit)), practised(engine(str(file)))
    moment = T0 + 24 * HOUR * 20
    assert one.mastery("ada", time=moment) == other.mastery("ada", time=moment)
    k = fit.skills.tolist().index("addition")
    theta = fit.weights + [0, 0, fit.intercepts[k]]
    expected = hlr.recall(20 - 0.02, hlr.half_life(1, 0, theta))
    assert one.mastery("ada", time=moment)["addition"] == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.heavy
def test_recalibration_fits_hlr_to_the_times_of_the_log():
    """The true half-life is that of other weights: forecasts of held-out students become better."""
    rng, one = (
        np.random.default_rng(4),
        AdaptiveEngine({"a": [], "b": []}, [question("qa", "a"), question("qb", "b")], model="hlr"),
    )
    theta = (0.5, -0.1, 1.5)
    for s in range(80):
        time, counts, last = T0, {"a": [0, 0], "b": [0, 0]}, {}
        for _ in range(16):
            time += float(rng.exponential(3 * 24 * HOUR))
            k = str(rng.choice(["a", "b"]))
            p = 0.3 if k not in last else hlr.recall((time - last[k]) / 24 / HOUR, hlr.half_life(*counts[k], theta))
            correct = bool(rng.random() < p)
            one.process_response(f"s{s}", f"q{k}", correct, time=time)
            counts[k][0 if correct else 1] += 1
            last[k] = time
    report = one.recalibrate(held_out=0.3)
    assert report.model == "HLRModel"
    assert report.change < -3 * report.change_se
    assert isinstance(one.model.model, HLRModel)
    assert np.abs(one.model.model.weights - theta)[:, :2].max() < 0.5
    with pytest.raises(EngineError, match="cannot be fitted again"):
        practised(engine("fsrs")).recalibrate()


@pytest.mark.parametrize("make", [HLRModel, FSRSModel])
def test_a_larger_catalogue_keeps_what_was_fitted(make):
    from alsim.engine.calibration import adapted

    small, large = Items.of_skills(["a", "b"]), Items.of_skills(["new", "b", "a"])
    found, base = make(small, prior=[0.1, 0.2], guess=[0.05, 0.1], p_content=0.5), make(large)
    mixed = adapted(found, base)
    assert mixed.prior.tolist() == [0.3, 0.2, 0.1]
    assert mixed.guess.tolist() == [0, 0.1, 0.05]
    assert mixed.p_content == 0.5
    if make is HLRModel:
        weights = adapted(HLRModel(small, [[1, 2, 3], [4, 5, 6]]), base).weights
        assert weights.tolist() == [list(hlr.WEIGHTS), [4, 5, 6], [1, 2, 3]]
