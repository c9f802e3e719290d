"""The engine against the guide's rules in plain Python, and what it promises about logs, keys and errors."""

import math
import pickle
from datetime import UTC, datetime

import numpy as np
import pytest
from courses import GRAPH, ITEMS, question, random_course
from guide import Guide

from alsim.engine import (
    AdaptiveEngine,
    Catalogue,
    DeletedStudent,
    EngineError,
    KeyConflict,
    OutOfOrder,
    StoreError,
    UnknownName,
    UnknownStudent,
)
from alsim.engine.stores.base import Commit
from alsim.engine.stores.memory import MemoryStore
from alsim.models.student import BKTModel


def engine(**options):
    return AdaptiveEngine(GRAPH, ITEMS, **options)


# ── the behaviour of the guide ───────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.parametrize("seed", range(4))
def test_responses_and_relevance_are_those_of_the_guide(seed):
    graph, items = random_course(seed)
    random = np.random.default_rng(seed)
    ours, theirs = AdaptiveEngine(graph, items, seed=seed), Guide(graph, items)
    questions = [item["id"] for item in items if item["type"] == "question"]
    for _ in range(150):
        student = f"student {random.integers(3)}"
        item, correct = questions[random.integers(len(questions))], bool(random.random() < 0.7)
        ours.process_response(student, item, correct)
        theirs.respond(student, item, correct)
        assert ours.mastery(student) == pytest.approx(theirs.mastery(student), abs=1e-12)
        assert ours.ready_skills(student) == theirs.ready(student)
    for student in theirs.students:  # they have not been shown anything yet
        relevance = theirs.relevance(student)
        found = ours.recommend(student, 1000)
        assert {r.item: r.score for r in found} == pytest.approx(relevance, abs=1e-12)
        assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)


def test_mastery_starts_at_three_tenths_and_nine_tenths_are_mastered():
    one = engine()
    assert one.mastery("anna") == dict.fromkeys(GRAPH, 0.3)
    assert one.ready_skills("anna") == ["counting", "shapes"]
    for _ in range(2):
        one.process_response("anna", "c0", True)
    assert one.mastery("anna")["counting"] > 0.9
    assert one.mastered_skills("anna") == ["counting"]
    assert one.ready_skills("anna") == ["addition", "shapes"]


def test_an_item_that_teaches_more_ready_skills_comes_first():
    first = engine().recommend("anna", 1)[0]
    assert first.item == "video" and first.score == pytest.approx(1.4) and first.propensity == 1
    assert first.reason == "teaches 'counting', mastered with probability 0.30"


def test_an_unready_skill_counts_nothing():
    scores = {r.item: r.score for r in engine().recommend("anna", 100)}
    assert scores["ca"] == pytest.approx(0.7) and not scores.keys() & {"a0", "f", "text"}


def test_a_student_who_has_mastered_everything_gets_no_item():
    one = AdaptiveEngine({"a": []}, [question("q", "a")])
    for _ in range(3):
        one.process_response("anna", "q", True)
    assert one.recommend("anna") == [] and one.ready_skills("anna") == []


def test_remedial_skills_are_unmastered_needs_of_practised_skills():
    one = engine()
    assert one.remedial_skills("anna") == []
    one.process_response("anna", "f", False)
    assert one.remedial_skills("anna") == ["counting", "addition"]
    for _ in range(2):
        one.process_response("anna", "c0", True)
    assert one.remedial_skills("anna") == ["addition"]


def test_a_content_changes_mastery_if_the_model_learns_from_contents():
    assert engine().process_content("anna", "text").mastery == {"fractions": 0.3}
    model = BKTModel(
        {
            "counting": "counting",
            "addition": "addition",
            "fractions": "fractions",
            "shapes": "shapes",
            "ca": ["counting", "addition"],
            "video": ["counting", "shapes"],
        },
        p_content=0.25,
    )
    found = engine(model=model).process_content("anna", "video").mastery
    assert found == pytest.approx({"counting": 0.3 + 0.7 * 0.25, "shapes": 0.3 + 0.7 * 0.25}, abs=1e-15)


# ── ties, propensities, candidates ───────────────────────────────────────────────────────────────


def test_items_shown_without_a_response_lose_half_of_their_relevance_each_time():
    one = AdaptiveEngine({"a": []}, [question("p", "a"), question("q", "a")])
    first, second = (one.recommend("anna", 1)[0] for _ in range(2))
    assert {first.item, second.item} == {"p", "q"} and second.score == pytest.approx(0.7)
    both = {r.item: r.score for r in one.recommend("anna")}
    assert both == pytest.approx({"p": 0.35, "q": 0.35})
    one.process_response("anna", first.item, False)
    after = one.recommend("anna")
    assert after[0].item == first.item and after[1].score == pytest.approx(after[0].score / 4)


def test_the_propensity_is_one_of_the_ties_that_are_left():
    found = AdaptiveEngine({"a": []}, [question(f"q{k}", "a") for k in range(5)]).recommend("anna", 3)
    assert [r.propensity for r in found] == [1 / 5, 1 / 4, 1 / 3]
    assert [r.num_candidates for r in found] == [5, 4, 3]
    assert found[1].candidates == [f"q{k}" for k in range(5) if f"q{k}" != found[0].item]


def test_ties_are_broken_evenly_and_by_the_seed():
    """n = 4,000 students, four tied items. Chi-square with 3 degrees of freedom: above 21.1 with probability 1e-4."""
    items = [question(f"q{k}", "a") for k in range(4)]
    one = AdaptiveEngine({"a": []}, items, seed=3)
    names = [f"student {i}" for i in range(4000)]
    chosen = [found[0].item for found in one.recommend_many(names, 1)]
    counts = np.unique(chosen, return_counts=True)[1]
    assert ((counts - 1000) ** 2 / 1000).sum() < 21.1
    again = AdaptiveEngine({"a": []}, items[::-1], seed=3)
    assert [again.recommend(name, 1)[0].item for name in names[:50]] == chosen[:50]
    other = AdaptiveEngine({"a": []}, items, seed=4)
    assert [found[0].item for found in other.recommend_many(names, 1)] != chosen


@pytest.mark.ci
def test_many_students_get_what_each_would_get_alone():
    graph, items = random_course(7)
    names = [f"student {i}" for i in range(300)]
    batch, alone = AdaptiveEngine(graph, items, seed=1), AdaptiveEngine(graph, items, seed=1)
    for one in (batch, alone):
        for name in names[::2]:
            one.process_response(name, items[0]["id"], True) if items[0]["type"] == "question" else None
    for _ in range(3):
        assert batch.recommend_many(names, 3) == [alone.recommend(name, 3) for name in names]


def test_a_student_may_occur_twice_in_a_call():
    one = AdaptiveEngine({"a": []}, [question("p", "a"), question("q", "a")])
    first, second = one.recommend_many(["anna", "anna"], 1)
    assert {first[0].item, second[0].item} == {"p", "q"}
    assert [event["decision"] for event in one.events("anna")] == [0, 1]


# ── the log ──────────────────────────────────────────────────────────────────────────────────────


def test_the_log_has_what_was_shown_and_answered():
    one = engine()
    found = one.recommend("anna", 2, time=10)
    one.process_response("anna", found[1].item, True, time=15.5, seconds=4)
    one.process_content("anna", "video", time=20)
    events = one.export("anna")["events"]
    assert [(e["number"], e["event"], e["time"]) for e in events] == [
        (0, "content_shown", 10),
        (1, "question_shown", 10),
        (2, "answered", 15.5),
        (3, "content_studied", 20),
    ]
    for rank, (event, recommendation) in enumerate(zip(events, found, strict=False)):
        assert (event["item"], event["rank"], event["decision"]) == (recommendation.item, rank, 0)
        assert (event["propensity"], event["score"]) == (recommendation.propensity, recommendation.score)
        assert event["ready"] == ["counting", "shapes"] and event["candidates"] == recommendation.num_candidates
    assert (events[2]["correct"], events[2]["seconds"]) == (1, 4)
    assert events[2]["chance"] == pytest.approx(0.3 * 0.9 + 0.7 * 0.2)


def test_the_state_is_made_again_from_the_log():
    graph, items = random_course(5)
    one = AdaptiveEngine(graph, items)
    random = np.random.default_rng(0)
    for _ in range(60):
        name, item = f"student {random.integers(4)}", items[random.integers(len(items))]
        if item["type"] == "question":
            one.process_response(name, item["id"], bool(random.integers(2)))
        else:
            one.process_content(name, item["id"])
        one.recommend(name, 3)
    before = {name: one.store.load(name).state for name in one.students()}
    assert one.replay() == len(before) == 4
    assert {name: one.store.load(name).state for name in one.students()} == before


def test_another_model_replays_the_log():
    store = MemoryStore()
    first = engine(store=store)
    first.process_response("anna", "c0", True)
    quick = BKTModel(first.model.model.items, p_learn=0.5)
    second = engine(store=store, model=quick)
    known = 0.27 / (0.27 + 0.14)
    assert second.mastery("anna")["counting"] == pytest.approx(known + (1 - known) * 0.5)
    second.process_response("anna", "c0", True)
    assert first.mastery("anna") == pytest.approx(
        {**dict.fromkeys(GRAPH, 0.3), "counting": first.mastery("anna")["counting"]}
    )
    assert first.events("anna")[0]["model"] != second.events("anna")[1]["model"]


def test_another_catalogue_keeps_the_students():
    store = MemoryStore()
    engine(store=store).process_response("anna", "c0", True)
    smaller = AdaptiveEngine(GRAPH, [item for item in ITEMS if item["id"] != "c0"], store=store)
    assert smaller.mastery("anna") == dict.fromkeys(GRAPH, 0.3)  # the response is to an item that is gone
    larger = AdaptiveEngine({**GRAPH, "algebra": ["fractions"]}, [*ITEMS, question("x", "algebra")], store=store)
    assert larger.mastery("anna")["counting"] > 0.6 and larger.mastery("anna")["algebra"] == 0.3


def test_a_deleted_student_is_gone_and_late_events_are_refused():
    one = engine()
    one.process_response("anna", "c0", True)
    one.delete("anna")
    assert list(one.students()) == [] and one.events("anna") == []
    late = [
        lambda: one.recommend("anna"),
        lambda: one.process_response("anna", "c0", True),
        lambda: one.mastery("anna"),
    ]
    for call in late:
        with pytest.raises(DeletedStudent, match="'anna' was deleted"):
            call()
    for call in (one.export, one.delete):
        with pytest.raises(UnknownStudent, match="'anna': it was deleted"):
            call("anna")
    with pytest.raises(UnknownStudent, match="'ben': it has no events"):
        one.export("ben")


# ── idempotency ──────────────────────────────────────────────────────────────────────────────────


def test_a_repeated_key_has_no_effect_and_gets_the_first_answer():
    one = engine()
    first = one.process_response("anna", "c0", True, key="k1")
    one.process_response("anna", "c0", False, key="k2")
    assert one.process_response("anna", "c0", True, key="k1") == first
    assert len(one.events("anna")) == 2
    assert one.process_response("ben", "c1", False, key="k1").interactions == 1  # keys belong to a student


OTHER_REQUESTS = {
    "answer": lambda one: one.process_response("anna", "c0", False, key="k"),
    "item": lambda one: one.process_response("anna", "c1", True, key="k"),
    "seconds": lambda one: one.process_response("anna", "c0", True, key="k", seconds=3),
    "time": lambda one: one.process_response("anna", "c0", True, key="k", time=3e10),
    "content": lambda one: one.process_content("anna", "video", key="k"),
}


@pytest.mark.parametrize("call", OTHER_REQUESTS.values(), ids=OTHER_REQUESTS)
def test_a_key_of_another_request_is_refused(call):
    one = engine()
    one.process_response("anna", "c0", True, key="k")
    with pytest.raises(KeyConflict, match="the idempotency key 'k' was used before"):
        call(one)
    assert len(one.events("anna")) == 1


# ── times ────────────────────────────────────────────────────────────────────────────────────────


def test_events_are_in_order_of_time():
    one = engine()
    one.process_response("anna", "c0", True, time=datetime(2026, 5, 1, tzinfo=UTC))
    for call in (
        lambda: one.process_response("anna", "c0", True, time=datetime(2026, 4, 30, tzinfo=UTC)),
        lambda: one.recommend("anna", time=5),
    ):
        with pytest.raises(OutOfOrder, match="earlier than its last one"):
            call()
    assert len(one.events("anna")) == 1
    one.process_response("anna", "c0", True, time=datetime(2026, 5, 1, tzinfo=UTC))  # the same moment is in order


def test_now_is_never_before_the_last_event():
    one = engine()
    one.process_response("anna", "c0", True, time=3e10)
    one.process_response("anna", "c0", True)
    assert one.events("anna")[1]["time"] == 3e10


# ── bad input ────────────────────────────────────────────────────────────────────────────────────


BAD_CALLS = [
    (lambda e: e.process_response("anna", "c9", True), UnknownName, "no item 'c9': use the id of an item"),
    (lambda e: e.process_response("anna", 5, True), UnknownName, "no item 5"),
    (lambda e: e.process_response("anna", [], True), UnknownName, r"no item \[\]"),
    (lambda e: e.process_response("anna", "video", True), EngineError, "is a content: report that it was studied"),
    (lambda e: e.process_content("anna", "c0"), EngineError, "is a question: report the answer"),
    (lambda e: e.process_response("anna", "c0", 2), EngineError, "correct must be True or False"),
    (lambda e: e.process_response("anna", "c0", math.nan), EngineError, "correct must be .* got nan"),
    (lambda e: e.process_response("anna", "c0", "yes"), EngineError, "correct must be .* got 'yes'"),
    (lambda e: e.process_response("anna", "c0", None), EngineError, "correct must be"),
    (lambda e: e.process_response("anna", "c0", True, seconds=-1), EngineError, "seconds must be"),
    (lambda e: e.process_response("anna", "c0", True, seconds=math.inf), EngineError, "seconds must be"),
    (lambda e: e.process_response("anna", "c0", True, time=math.nan), EngineError, "time must be seconds since 1970"),
    (
        lambda e: e.process_response("anna", "c0", True, time=1.7e12 * 1e3),
        EngineError,
        "time must be seconds since 1970",
    ),
    (lambda e: e.process_response("anna", "c0", True, time="noon"), EngineError, "time must be seconds since 1970"),
    (lambda e: e.process_response("anna", "c0", True, time=datetime(2026, 5, 1)), EngineError, "must have a time zone"),
    (lambda e: e.process_response("anna", "c0", True, time=datetime(1960, 5, 1, tzinfo=UTC)), EngineError, "from 1970"),
    (lambda e: e.process_response("anna", "c0", True, time=datetime.max.replace(tzinfo=UTC)), EngineError, "to 2999"),
    (lambda e: e.process_response("anna", "c0", True, time=10**400), EngineError, "from 1970 to 2999"),
    (lambda e: e.process_response("anna", "c0", True, seconds=10**400), EngineError, "seconds must be"),
    (lambda e: e.process_response("anna", "c0", True, satisfaction=10**400), EngineError, "satisfaction must be"),
    (lambda e: e.recommend_many(None), EngineError, "must be a list of names; got None"),
    (lambda e: e.process_response("anna", "c0", True, key=""), EngineError, "key must be text"),
    (lambda e: e.process_response("anna", "c0", True, key="k" * 257), EngineError, "key must be text"),
    (lambda e: e.process_response("", "c0", True), EngineError, "name of a student must be text"),
    (lambda e: e.recommend(7), EngineError, "name of a student must be text .* got 7"),
    (lambda e: e.recommend("a\nb"), EngineError, "printable"),
    (lambda e: e.recommend("anna", 0), EngineError, "n must be an integer from 1 to 1,000"),
    (lambda e: e.recommend("anna", 2.5), EngineError, "n must be an integer"),
    (lambda e: e.recommend("anna", True), EngineError, "n must be an integer"),
    (lambda e: e.recommend_many("anna"), EngineError, "must be a list of names"),
    (lambda e: e.recommend_many(["ben", None]), EngineError, "name of a student"),
]


@pytest.mark.parametrize(("call", "kind", "message"), BAD_CALLS, ids=range(len(BAD_CALLS)))
def test_bad_input_changes_nothing(call, kind, message):
    one = engine()
    with pytest.raises(kind, match=message):
        call(one)
    assert list(one.students()) == []


BAD_OPTIONS = [
    ({"seed": -1}, "seed must be an integer"),
    ({"seed": 2**64}, "seed must be an integer"),
    ({"seed": 1.5}, "seed must be an integer"),
    ({"threshold": 0}, "threshold must be a mastery"),
    ({"threshold": math.nan}, "threshold must be a mastery"),
    ({"policy": "guid"}, "did you mean 'guide'"),
    ({"policy": None}, "there is no policy None"),
    ({"model": "bkd"}, "there is no student model 'bkd'; did you mean 'bkt'"),
    ({"model": 5}, "model must be one of"),
    ({"model": BKTModel(["other"])}, "neither the item 'c0' nor one for its skills"),
    ({"store": "postgres://x"}, "the address of a store must be"),
    ({"store": None}, "the address of a store must be"),
    ({"store": "sqlite"}, "must be sqlite:PATH with a file"),
    ({"store": "sqlite::memory:"}, "must be sqlite:PATH with a file"),
    ({"model": ""}, "there is no student model ''"),
    ({"model": "/"}, "there is no student model '/'"),
    ({"model": __file__}, "neither a student model nor a fit|is neither|not a"),
    ({"model": "glicko"}, "needs items with one skill each"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=range(len(BAD_OPTIONS)))
def test_invalid_options_are_refused(options, message):
    with pytest.raises(EngineError, match=message):
        engine(**options)


def test_an_engine_closes_its_store(tmp_path):
    with engine(store=f"sqlite:{tmp_path / 'students.db'}") as one:
        one.recommend("anna")
    with pytest.raises(StoreError, match="closed"):
        one.recommend("anna")


def test_a_catalogue_has_its_graph():
    catalogue = Catalogue(ITEMS, GRAPH)
    one = AdaptiveEngine(None, catalogue)
    assert one.catalogue is catalogue and one.ready_skills("anna") == ["counting", "shapes"]
    assert AdaptiveEngine({**GRAPH, "algebra": []}, catalogue).ready_skills("a") == ["counting", "shapes", "algebra"]


@pytest.mark.parametrize("model", ["irt", "elo", "glicko"])
def test_other_models_follow_students(model):
    items = [question("easy", "counting", difficulty=-2), question("hard", "counting", difficulty=2)]
    one = AdaptiveEngine({"counting": [], "shapes": []}, items, model=model)
    before = one.mastery("anna")["counting"]
    assert one.process_response("anna", "hard", True).mastery["counting"] > before
    assert one.process_response("ben", "easy", False).mastery["counting"] < before
    state = one.store.load("anna").state
    one.replay()
    assert one.store.load("anna").state == state


# ── larger catalogues, lost items, own models ────────────────────────────────────────────────────


def test_a_failing_batch_of_several_parts_logs_nothing():
    one = engine()
    one.recommend("s1999", 1, time=5)
    one.delete("s1999")
    names = [f"s{i}" for i in range(2000)]
    with pytest.raises(DeletedStudent, match="'s1999'"):
        one.recommend_many(names, 1)
    one.recommend("s1998", 1, time=100)
    with pytest.raises(OutOfOrder, match="'s1998'"):
        one.recommend_many(names[:-1], 1, time=50)
    assert list(one.students()) == ["s1998"]


def test_events_of_lost_items_keep_their_time_and_number():
    store = MemoryStore()
    first = engine(store=store)
    first.process_response("anna", "c0", True, time=100)
    first.process_response("anna", "c1", True, time=1000)
    second = AdaptiveEngine(GRAPH, [item for item in ITEMS if item["id"] != "c1"], store=store)
    with pytest.raises(OutOfOrder):
        second.process_response("anna", "c2", True, time=500)
    assert second.process_response("anna", "c2", True, time=1000).interactions == 3


class OwnModel:
    """A StudentModel that is no BaseStudentModel: it passes everything to another one."""

    def __init__(self, inner, digest=None):
        self.items, self._inner = inner.items, inner
        self.start, self.update, self.mastery = inner.start, inner.update, inner.mastery
        self.chance, self.chances, self.save = inner.chance, inner.chances, inner.save
        if digest is not None:
            self.digest = digest


@pytest.mark.parametrize("digests", [("slow", "quick"), (None, None)])
def test_a_model_of_the_user_has_the_digest_of_its_parameters(digests):
    store, items = MemoryStore(), engine().model.model.items
    first, second = (
        engine(store=store, model=OwnModel(BKTModel(items, p_learn=p), digest))
        for p, digest in zip((0.1, 0.5), digests, strict=True)
    )
    first.process_response("anna", "c0", True)
    known = 0.27 / (0.27 + 0.14)
    assert first.digest != second.digest
    assert second.mastery("anna")["counting"] == pytest.approx(known + (1 - known) * 0.5)


def test_a_model_of_the_user_that_cannot_be_saved_needs_a_digest():
    model = OwnModel(BKTModel(engine().model.model.items))
    model.save = lambda path: (_ for _ in ()).throw(NotImplementedError("no files"))
    with pytest.raises(EngineError, match="give it an attribute digest"):
        engine(model=model)


def test_items_may_teach_many_skills():
    graph = {f"a skill with a long name, number {k:03d}": [] for k in range(120)}
    one = AdaptiveEngine(graph, [question("x", *graph), question("y", *list(graph)[:60])])
    assert one.recommend("anna")[0].score == pytest.approx(120 * 0.7)
    assert len(one.process_response("anna", "y", True).mastery) == 60


def test_an_engine_is_not_pickled():
    with pytest.raises(EngineError, match="make one in each process"):
        pickle.dumps(engine())


def test_a_damaged_state_is_made_again_and_a_damaged_event_is_named():
    one = engine()
    one.process_response("anna", "c0", True)
    before = one.mastery("anna")
    stored = one.store.load("anna")
    for state in (stored.state[:-3], stored.state + b"x", stored.state[:60], b""):
        assert one.store.commit(Commit("anna", one.store.load("anna").version, state))
        assert one.mastery("anna") == before
    assert one.store.commit(Commit("anna", one.store.load("anna").version, b"", (b'{"event":"answered","time":1}',)))
    with pytest.raises(StoreError, match="damaged event"):
        one.mastery("anna")


def test_a_mastery_at_the_threshold_is_mastered():
    """A model without learning whose mastery of each skill is exactly the threshold."""
    model = BKTModel([*GRAPH], p_init=[0.5, 0.25, 0.25, 0.5], p_learn=0.0)
    one = AdaptiveEngine(GRAPH, [item for item in ITEMS if len(item["skills_taught"]) == 1], model=model, threshold=0.5)
    assert one.mastered_skills("anna") == ["counting", "shapes"]
    assert one.ready_skills("anna") == ["addition"]
    assert {r.item for r in one.recommend("anna", 100)} == {"a0", "a1", "a2"}
    one.process_response("anna", "f", True)  # fractions need addition, which is not mastered, and counting, which is
    assert one.remedial_skills("anna") == ["addition"]
