"""Response logs as chains: one student's responses to one skill, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from alsim.responses.cells import Names, starts
from alsim.responses.log import Responses
from alsim.types import Bools, Doubles, Ints, Keys, Longs


@dataclass(frozen=True)
class Groups:
    """Which responses share parameters: C groups, skill by skill.

    skill  (C,)    of each
    name   (C,)    of its class of items, "" where parameters do not differ by item
    code   (X,)    2 * group + correct, of each response to each of its skills
    """

    skill: Ints
    name: Names
    code: Ints

    def __len__(self) -> int:
        return len(self.skill)


@dataclass(frozen=True)
class Chains:
    """H chains, skill by skill, as `expect` takes them.

    start    (K+1,)  the chains of each skill
    begin    (H+1,)  the responses of each chain
    code     (T,)    of each response
    weight   (H,)    how often each was seen
    student  (H,)    whose it is; of those that several had, one of them
    longest  how many responses the longest has
    """

    start: Longs
    begin: Longs
    code: Ints
    weight: Doubles
    student: Ints
    longest: int

    def only(self, skills: Bools, groups: Bools) -> Chains:
        """Return the chains of some skills, and so of some groups, numbered by themselves."""
        sizes, lengths = np.diff(self.start), np.diff(self.begin)
        chains = np.repeat(skills, sizes)
        code = self.code[np.repeat(chains, lengths)]
        return Chains(
            starts(sizes[skills]),
            starts(lengths[chains]),
            2 * (np.cumsum(groups, dtype=np.int32) - 1)[code // 2] + code % 2,
            self.weight[chains],
            self.student[chains],
            self.longest,
        )


def groups_of(responses: Responses, by_item: bool, classes: Mapping[str, str] | None) -> Groups:
    """Return the groups of a log: its skills, or the classes of items of each skill."""
    correct = np.repeat(responses.correct, np.diff(responses.skill_start)).astype(np.int32)
    if not by_item:
        skills = np.arange(responses.num_skills, dtype=np.int32)
        return Groups(skills, np.full(len(skills), "", np.str_), 2 * responses.skill + correct)
    named = responses.items if classes is None else np.array([classes.get(i, i) for i in responses.items.tolist()])
    names, kind = np.unique(named, return_inverse=True)
    item = np.repeat(responses.item, np.diff(responses.skill_start))
    pairs, group = np.unique(responses.skill.astype(np.int64) * len(names) + kind[item], return_inverse=True)
    skill = (pairs // len(names)).astype(np.int32)
    return Groups(skill, names[pairs % len(names)].astype(np.str_), (2 * group + correct).astype(np.int32))


def chains_of(responses: Responses, groups: Groups, *, merge: bool) -> Chains:
    """Return a log's chains; `merge` makes one of all that are alike, with the sum of their weights."""
    small = responses.num_skills < 2**16  # which NumPy sorts several times as fast
    order = np.argsort(responses.skill.astype(np.uint16 if small else np.int32), kind="stable")
    skill = responses.skill[order]
    student = np.repeat(responses.student, np.diff(responses.skill_start))[order]
    first = np.flatnonzero(np.r_[True, (np.diff(skill) != 0) | (np.diff(student) != 0)])
    begin = np.append(first, len(skill))
    whole = _Whole(skill[first], student[first], begin, groups.code[order], responses.weight[student[first]])
    if merge:
        whole = _merged(whole)
    start = np.searchsorted(whole.skill, np.arange(responses.num_skills + 1)).astype(np.int64)
    longest = int(np.diff(whole.begin).max())
    return Chains(start, whole.begin, whole.code, whole.weight, whole.student, longest)


@dataclass(frozen=True)
class _Whole:
    skill: Ints
    student: Ints
    begin: Longs
    code: Ints
    weight: Doubles


def _merged(whole: _Whole) -> _Whole:
    """Return each chain once, with the sum of the weights of all that are alike: often a fifth of them.

    Those with the same digest lie side by side and are compared; if digests clash, alike ones may stay apart.
    """
    order = np.lexsort((_digests(whole), whole.skill))
    ordered = _taken(whole, order)
    first = np.flatnonzero(~_like_the_one_before(ordered))
    return replace(_taken(ordered, first), weight=np.add.reduceat(ordered.weight, first))


def _taken(whole: _Whole, chains: Longs) -> _Whole:
    """Return some of the chains, in this order."""
    lengths = np.diff(whole.begin)[chains]
    begin = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places = np.repeat(whole.begin[:-1][chains] - begin[:-1], lengths) + np.arange(begin[-1])
    return _Whole(whole.skill[chains], whole.student[chains], begin, whole.code[places], whole.weight[chains])


def _like_the_one_before(whole: _Whole) -> Bools:
    """Tell of each chain whether the one before it has the same codes, and so the same skill."""
    lengths, begin = np.diff(whole.begin), whole.begin[:-1]
    before = np.maximum(np.arange(len(whole.code)) - np.repeat(lengths, lengths), 0)
    alike = np.logical_and.reduceat(whole.code == whole.code[before], begin)
    return np.asarray(alike & np.r_[False, np.diff(lengths) == 0])


def _digests(whole: _Whole) -> Keys:
    """Return a number for each chain, the same for the same codes in the same order."""
    lengths = np.diff(whole.begin)
    place = np.arange(len(whole.code)) - np.repeat(whole.begin[:-1], lengths)
    mixed = (whole.code.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= (place.astype(np.uint64) + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(32)
    return np.add.reduceat(mixed, whole.begin[:-1])
