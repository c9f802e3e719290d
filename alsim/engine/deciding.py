"""Recommendations for students, and the entries of the log that hold them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from alsim.engine import events
from alsim.engine.errors import ClassConflict
from alsim.engine.progress import Progress, times, with_shown
from alsim.engine.randomness import decision_words
from alsim.engine.recommendation import Decisions, Recommendation
from alsim.engine.recommenders import Group, Situation
from alsim.engine.selection import Choice
from alsim.engine.states import ATTEMPTS, CHECKED, States, busy
from alsim.engine.stores import Commit

Made = list[list[Recommendation]]
"""Recommendations by student."""
Classes = Sequence[str | None]
"""Name of the class of each student, None to leave it as it is."""
number_text = lru_cache(4096)(float.__repr__)
"""Function that returns a number as JSON."""


@lru_cache(4096)
def numbers_text(numbers: tuple[float, ...]) -> str:
    """Return numbers as JSON, without brackets."""
    return ",".join(map(number_text, numbers))


class Deciding:
    """Decisions for many students of a store at once.

    states  states of the students
    seed    seed of the random choices
    """

    def __init__(self, states: States, seed: int) -> None:
        self._states, self._seed = states, seed
        catalogue = states.catalogue
        self._quoted = np.array([json.dumps(item.id, ensure_ascii=False) for item in catalogue.items], object)
        self._kinds = np.where(catalogue.is_question, events.QUESTION, events.CONTENT).astype("S1")

    def check(self, names: Sequence[str], classes: Classes) -> None:
        """Raise EngineError for a student who is in another class, or who needs a class and has none."""
        states = self._states
        if not states.recommender.needs_class and not any(classes):
            return
        for begin in range(0, len(names), CHECKED):
            part = names[begin : begin + CHECKED]
            _, progress = states.codec.decode(part, states.load(part)[1])
            set_classes(part, progress, classes[begin : begin + CHECKED])
            states.recommender.check_classes(part, progress.classes)

    def recommend(self, names: Sequence[str], ranks: int, moment: float | None, classes: Classes | None = None) -> Made:
        """Return the recommendations for students, again for those whom others change meanwhile."""
        found: Made = [[]] * len(names)
        labels = [None] * len(names) if classes is None else classes
        waiting = list(range(len(names)))
        for _ in range(ATTEMPTS):
            with self._states.lock.reading():
                changes, made = self.decide([names[i] for i in waiting], ranks, moment, [labels[i] for i in waiting])
                done = self._states.store.commit_many(changes)
            for i, is_done, recommendations in zip(waiting, done, made, strict=True):
                if is_done:
                    found[i] = recommendations
            waiting = [i for i, is_done in zip(waiting, done, strict=True) if not is_done]
            if not waiting:
                return found
        raise busy(names[waiting[0]])

    def decide(
        self, names: list[str], ranks: int, moment: float | None, classes: Classes | None = None
    ) -> tuple[list[Commit], Made]:
        """Return the changes of students by recommendations, and the recommendations."""
        states = self._states
        stored, records = states.load(names)
        students, progress = states.codec.decode(names, records)
        now = times(names, progress, moment)
        if classes is not None:
            set_classes(names, progress, classes)
        states.model.advance(students, now)
        mastery = states.model.mastery(students)
        situation = Situation(
            students=names,
            mastery=mastery,
            ready=states.model.wanted(students, mastery, states.threshold),
            threshold=states.threshold,
            progress=progress,
            now=now,
            words=decision_words(self._seed, names, progress.decisions),
            seed=self._seed,
            model=states.model,
            counters=states.store.read_counters,
            log=lambda i: [events.decode(entry) for entry in states.store.entries(names[i])],
        )
        changes, made = [Commit("", 0, b"")] * len(names), list[list[Recommendation]]([[]] * len(names))
        for group in states.recommender.groups(situation):
            choice = group.recommender.choose(group.situation, ranks)
            own = group.rows.tolist()
            after = with_shown(group.situation.progress, choice, [*group.situation.now])
            new = states.codec.encode_progress([records[i] for i in own], after)
            rows = zip(own, new, self._entries(group, choice), self._recommendations(group, choice), strict=True)
            for i, state, entry, made[i] in rows:
                changes[i] = Commit(names[i], stored[i].version, state, (entry,))
        return changes, made

    def _recommendations(self, group: Group, choice: Choice) -> Made:
        """Return the recommendations of a choice."""
        decisions = Decisions(group.recommender, group.situation, choice)
        return [[Recommendation(decisions, i, rank) for rank in range(r)] for i, r in enumerate(choice.sizes.tolist())]

    def _entries(self, group: Group, choice: Choice) -> list[bytes]:
        """Return the entry of each decision. Its JSON is put together by hand: an encoder takes twice the time."""
        states, situation = self._states, group.situation
        policy = json.dumps(group.recommender.name)
        experiment = f'"experiment":"{group.experiment}","arm":"{group.arm}",' if group.experiment else ""
        common = f'"policy":{policy},"catalogue":"{states.catalogue.digest}","model":"{states.codec.digest:016x}"'
        bits = np.packbits(situation.ready, axis=1)
        ready, width = bits.tobytes().hex(), 2 * bits.shape[1]
        kinds, ranks = self._kinds[choice.items].tobytes().decode(), choice.items.shape[1]
        progress = situation.progress
        own = [f'{experiment}"class_name":{json.dumps(name)},' if name else experiment for name in progress.classes]
        columns = (situation.now, progress.decisions.tolist(), choice.candidates.tolist(), own)
        lists = (self._quoted[choice.items].tolist(), choice.scores.tolist(), choice.propensities.tolist())
        text = number_text
        entries: list[bytes] = []
        rows = zip(choice.sizes.tolist(), *columns, *lists, strict=True)
        for i, (r, moment, decision, candidates, assigned, items, scores, propensities) in enumerate(rows):
            if r < ranks:
                del items[r:], scores[r:], propensities[r:]
            entries.append(
                f'{{"event":"shown","time":{text(moment)},"decision":{decision},{assigned}{common},'
                f'"ready":"{ready[i * width : (i + 1) * width]}",'
                f'"candidates":{candidates},"items":[{",".join(items)}],'
                f'"kinds":"{kinds[i * ranks : i * ranks + r]}",'
                f'"scores":[{",".join(map(text, scores))}],'
                f'"propensities":[{numbers_text(tuple(propensities))}]}}'.encode("utf-8", "surrogatepass")
            )
        return entries


def set_classes(names: Sequence[str], progress: Progress, classes: Classes) -> None:
    """Set the classes of students, in place. Raises ClassConflict for a student who is in another one."""
    for i, (name, known, new) in enumerate(zip(names, progress.classes, classes, strict=True)):
        if new is not None and known and new != known:
            raise ClassConflict(
                f"the student {name!r} is in the class {known!r}; got the class {new!r}: a student stays in one class, "
                "so that experiments by class keep the arm; leave the class out"
            )
        progress.classes[i] = new or known


__all__ = ["Classes", "Deciding", "set_classes"]
