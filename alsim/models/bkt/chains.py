"""Response logs as chains: the sequence of one student's responses to one skill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from alsim.models.bkt.kernels import ChainArrays
from alsim.responses.cells import Names, starts
from alsim.responses.log import Responses
from alsim.types import Bools, Doubles, Ints, Keys, Longs


@dataclass(frozen=True)
class Groups:
    """C groups of responses that share parameters, ordered by skill.

    skill  (C,)    skill of each group
    name   (C,)    class of items of each group; "" if parameters do not differ by item
    code   (X,)    2 * group + correct, for each response and each of its skills
    """

    skill: Ints
    name: Names
    code: Ints

    def __len__(self) -> int:
        return len(self.skill)


@dataclass(frozen=True)
class Chains:
    """H chains with T responses, ordered by skill.

    start    (K+1,)  the chains of skill k are start[k] to start[k + 1]
    begin    (H+1,)  the responses of chain h are begin[h] to begin[h + 1]
    code     (T,)    code of each response
    weight   (H,)    number of students with this chain
    student  (H,)    student of each chain; one of them if several students have it
    longest  number of responses in the longest chain
    """

    start: Longs
    begin: Longs
    code: Ints
    weight: Doubles
    student: Ints
    longest: int

    @property
    def arrays(self) -> ChainArrays:
        """The arrays that the kernel `expect` reads."""
        return ChainArrays(self.start, self.begin, self.code, self.weight)

    def subset(self, skills: Bools, groups: Bools) -> Chains:
        """Return the chains of some skills, with their skills and groups renumbered from 0.

        skills  (K,) True for the skills to keep
        groups  (C,) True for the groups of these skills
        """
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
    """Return the groups of a log: its skills or, with `by_item`, the classes of items within each skill.

    classes  class of each item by name; an unlisted item is its own class; None if no item has a class
    """
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
    """Return the chains of a log.

    merge  whether to replace equal chains by one chain with the sum of their weights
    """
    small = responses.num_skills < 2**16  # NumPy sorts uint16 several times as fast as int32
    order = np.argsort(responses.skill.astype(np.uint16 if small else np.int32), kind="stable")
    skill = responses.skill[order]
    student = np.repeat(responses.student, np.diff(responses.skill_start))[order]
    first = np.flatnonzero(np.r_[True, (np.diff(skill) != 0) | (np.diff(student) != 0)])
    begin = np.append(first, len(skill))
    table = _ChainTable(skill[first], student[first], begin, groups.code[order], responses.weight[student[first]])
    if merge:
        table = _merge_equal(table)
    start = np.searchsorted(table.skill, np.arange(responses.num_skills + 1)).astype(np.int64)
    longest = int(np.diff(table.begin).max())
    return Chains(start, table.begin, table.code, table.weight, table.student, longest)


@dataclass(frozen=True)
class _ChainTable:
    """H chains in any order. `skill` (H,) is the skill of each chain; `Chains` defines the other fields."""

    skill: Ints
    student: Ints
    begin: Longs
    code: Ints
    weight: Doubles


def _merge_equal(table: _ChainTable) -> _ChainTable:
    """Return each distinct chain once, with the sum of the weights of all equal chains.

    Often a fifth of the chains remain. Chains are sorted by digest, and each is compared with its predecessor. If
    digests collide, some equal chains may remain separate, which costs time but does not change the result.
    """
    ordered = _select(table, np.lexsort((_digests(table), table.skill)))
    first = np.flatnonzero(~_equals_previous(ordered))
    return replace(_select(ordered, first), weight=np.add.reduceat(ordered.weight, first))


def _select(table: _ChainTable, chains: Longs) -> _ChainTable:
    """Return some of the chains, in the order of `chains`."""
    lengths = np.diff(table.begin)[chains]
    begin = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places = np.repeat(table.begin[:-1][chains] - begin[:-1], lengths) + np.arange(begin[-1])
    return _ChainTable(table.skill[chains], table.student[chains], begin, table.code[places], table.weight[chains])


def _equals_previous(table: _ChainTable) -> Bools:
    """Return whether each chain (H,) has the same codes, and therefore the same skill, as the chain before it."""
    lengths, begin = np.diff(table.begin), table.begin[:-1]
    before = np.maximum(np.arange(len(table.code)) - np.repeat(lengths, lengths), 0)
    equal = np.logical_and.reduceat(table.code == table.code[before], begin)
    return np.asarray(equal & np.r_[False, np.diff(lengths) == 0])


def _digests(table: _ChainTable) -> Keys:
    """Return a 64-bit hash (H,) of each chain's codes and their order."""
    lengths = np.diff(table.begin)
    place = np.arange(len(table.code)) - np.repeat(table.begin[:-1], lengths)
    mixed = (table.code.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= (place.astype(np.uint64) + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(32)
    return np.add.reduceat(mixed, table.begin[:-1])
