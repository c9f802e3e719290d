"""The selection of the best items against a sort in plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alsim.engine.selection import Classes, Fading, Scores, best_items, mixed

MASK = 2**32 - 1


def plain_hash(x):
    """Return the hash of a 64-bit number: the published finalizer of MurmurHash3 on both halves."""

    def finalized(h):
        h ^= h >> 16
        h = h * 0x85EBCA6B & MASK
        h ^= h >> 13
        h = h * 0xC2B2AE35 & MASK
        return h ^ h >> 16

    return finalized(finalized(x >> 32) ^ x & MASK)


@pytest.mark.parametrize("x", [0, 1, 2**32, 2**64 - 1, 0x0123456789ABCDEF])
def test_the_hash_is_the_published_one(x):
    assert int(mixed(np.uint64(x))) == plain_hash(x)


def sorted_items(scores, of, hashes, salt, shown, fading, ranks):
    """Return items, scores and propensities of the best ranks, and the number of candidates."""
    values = {}
    for item, c in enumerate(of):
        if scores[c] > -np.inf:
            score = scores[c]
            for _ in range(shown.get(item, 0)):
                score = score * fading.factor - fading.step
            values[item] = score
    order = sorted(values, key=lambda item: (-values[item], plain_hash(int(hashes[item]) ^ int(salt))))[:ranks]
    propensities = []
    for rank, item in enumerate(order):
        tied = [other for other in values if values[other] == values[item] and other not in order[:rank]]
        propensities.append(1 / len(tied))
    return order, [values[item] for item in order], propensities, len(values)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 8), st.integers(1, 12), st.booleans())
def test_the_selection_is_a_sort(seed, num_items, num_classes, ranks, by_step):
    random = np.random.default_rng(seed)
    classes = Classes.of_keys(random.integers(0, num_classes, num_items).tolist())
    n = 3
    scores = random.choice([-np.inf, 0.25, 0.5, 0.7, 1.0, 1.4], (n, len(classes)))
    hashes, salts = random.integers(0, 2**64, num_items, np.uint64), random.integers(0, 2**64, n, np.uint64)
    fading = Fading(1.0, 0.25) if by_step else Fading(0.5)
    shown, counts = np.full((n, 6), -1, np.int32), np.zeros((n, 6), np.int32)
    rows = []
    for i in range(n):
        listed = random.permutation(num_items)[: random.integers(0, min(6, num_items) + 1)]
        shown[i, : len(listed)], counts[i, : len(listed)] = listed, random.integers(1, 4, len(listed))
        rows.append(dict(zip(listed.tolist(), counts[i].tolist(), strict=False)))
    found = best_items(Scores.of_all(scores), classes, hashes[classes.item], salts, shown, counts, fading, ranks)
    for i in range(n):
        items, values, propensities, size = sorted_items(
            scores[i], classes.of, hashes, salts[i], rows[i], fading, ranks
        )
        r = len(items)
        assert found.items[i, :r].tolist() == items and (found.items[i, r:] == -1).all()
        assert found.scores[i, :r].tolist() == values
        assert found.propensities[i, :r].tolist() == propensities
        assert found.candidates[i] == size
