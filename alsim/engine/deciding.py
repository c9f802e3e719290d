"""Recommendations for students, and the entries of the log that hold them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from alsim.engine import events
from alsim.engine.progress import times, with_shown
from alsim.engine.randomness import decision_words
from alsim.engine.recommendation import Decisions, Recommendation
from alsim.engine.recommenders import Situation
from alsim.engine.selection import Choice
from alsim.engine.states import ATTEMPTS, States, busy
from alsim.engine.stores import Commit

Made = list[list[Recommendation]]
"""Recommendations by student."""
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

    def recommend(self, names: Sequence[str], ranks: int, moment: float | None) -> Made:
        """Return the recommendations for students, again for those whom others change meanwhile."""
        found: Made = [[]] * len(names)
        waiting = list(range(len(names)))
        for _ in range(ATTEMPTS):
            with self._states.lock.reading():
                changes, made = self.decide([names[i] for i in waiting], ranks, moment)
                done = self._states.store.commit_many(changes)
            for i, is_done, recommendations in zip(waiting, done, made, strict=True):
                if is_done:
                    found[i] = recommendations
            waiting = [i for i, is_done in zip(waiting, done, strict=True) if not is_done]
            if not waiting:
                return found
        raise busy(names[waiting[0]])

    def decide(self, names: list[str], ranks: int, moment: float | None) -> tuple[list[Commit], Made]:
        """Return the changes of students by recommendations, and the recommendations."""
        states = self._states
        stored, records = states.load(names)
        students, progress = states.codec.decode(names, records)
        now = times(names, progress, moment)
        mastery = states.model.mastery(students)
        situation = Situation(
            students=names,
            mastery=mastery,
            ready=states.catalogue.graph.ready(mastery, states.threshold),
            threshold=states.threshold,
            progress=progress,
            now=now,
            words=decision_words(self._seed, names, progress.decisions),
            seed=self._seed,
            model=states.model,
            counters=states.store.read_counters,
            log=lambda i: [events.decode(entry) for entry in states.store.entries(names[i])],
        )
        choice = states.recommender.choose(situation, ranks)
        new = states.codec.encode_progress(records, with_shown(progress, choice, now))
        changes = [
            Commit(name, old.version, state, (entry,))
            for name, old, state, entry in zip(names, stored, new, self._entries(situation, choice), strict=True)
        ]
        return changes, self._recommendations(situation, choice)

    def _recommendations(self, situation: Situation, choice: Choice) -> Made:
        """Return the recommendations of a choice."""
        decisions = Decisions(self._states.recommender, situation, choice)
        return [[Recommendation(decisions, i, rank) for rank in range(r)] for i, r in enumerate(choice.sizes.tolist())]

    def _entries(self, situation: Situation, choice: Choice) -> list[bytes]:
        """Return the entry of each decision. Its JSON is put together by hand: an encoder takes twice the time."""
        states = self._states
        policy = json.dumps(states.recommender.name)
        common = f'"policy":{policy},"catalogue":"{states.catalogue.digest}","model":"{states.codec.digest:016x}"'
        bits = np.packbits(situation.ready, axis=1)
        ready, width = bits.tobytes().hex(), 2 * bits.shape[1]
        kinds, ranks = self._kinds[choice.items].tobytes().decode(), choice.items.shape[1]
        columns = (situation.now, situation.progress.decisions.tolist(), choice.candidates.tolist())
        lists = (self._quoted[choice.items].tolist(), choice.scores.tolist(), choice.propensities.tolist())
        text = number_text
        entries: list[bytes] = []
        rows = zip(choice.sizes.tolist(), *columns, *lists, strict=True)
        for i, (r, moment, decision, candidates, items, scores, propensities) in enumerate(rows):
            if r < ranks:
                del items[r:], scores[r:], propensities[r:]
            entries.append(
                f'{{"event":"shown","time":{text(moment)},"decision":{decision},{common},'
                f'"ready":"{ready[i * width : (i + 1) * width]}",'
                f'"candidates":{candidates},"items":[{",".join(items)}],'
                f'"kinds":"{kinds[i * ranks : i * ranks + r]}",'
                f'"scores":[{",".join(map(text, scores))}],'
                f'"propensities":[{numbers_text(tuple(propensities))}]}}'.encode("utf-8", "surrogatepass")
            )
        return entries


__all__ = ["Deciding"]
