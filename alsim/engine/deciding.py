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


class Deciding:
    """Decisions for many students of a store at once.

    states  states of the students
    seed    seed of the random choices
    """

    def __init__(self, states: States, seed: int) -> None:
        self._states, self._seed = states, seed
        catalogue = states.catalogue
        self._ids = [item.id for item in catalogue.items]
        self._quoted = [json.dumps(name, ensure_ascii=False) for name in self._ids]
        self._kinds = "".join(events.QUESTION if asks else events.CONTENT for asks in catalogue.is_question)

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
        rows = zip(choice.items.tolist(), choice.scores.tolist(), choice.propensities.tolist(), strict=True)
        ranks, ids = range(choice.items.shape[1]), self._ids
        return [
            [
                Recommendation(ids[item], score, propensity, decisions, i, rank)
                for item, score, propensity, rank in zip(*row, ranks, strict=True)
                if item >= 0
            ]
            for i, row in enumerate(rows)
        ]

    def _entries(self, situation: Situation, choice: Choice) -> list[bytes]:
        """Return the entry of each decision. Its JSON is put together by hand: an encoder takes twice the time."""
        states = self._states
        policy = json.dumps(states.recommender.name)
        common = f'"policy":{policy},"catalogue":"{states.catalogue.digest}","model":"{states.codec.digest:016x}"'
        ready = [row.tobytes().hex() for row in np.packbits(situation.ready, axis=1)]
        items, scores, propensities, sizes = (column.tolist() for column in choice)
        decisions, now = situation.progress.decisions.tolist(), situation.now
        text, kinds, quoted = number_text, self._kinds, self._quoted
        entries: list[bytes] = []
        for i, listed in enumerate(items):
            shown = [item for item in listed if item >= 0]
            r = len(shown)
            entries.append(
                f'{{"event":"shown","time":{now[i]!r},"decision":{decisions[i]},{common},"ready":"{ready[i]}",'
                f'"candidates":{sizes[i]},"items":[{",".join([quoted[k] for k in shown])}],'
                f'"kinds":"{"".join([kinds[k] for k in shown])}",'
                f'"scores":[{",".join(map(text, scores[i][:r]))}],'
                f'"propensities":[{",".join(map(text, propensities[i][:r]))}]}}'.encode("utf-8", "surrogatepass")
            )
        return entries


__all__ = ["Deciding"]
