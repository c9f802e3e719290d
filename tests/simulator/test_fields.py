"""The table of the learner's fields: allocation, reset and copies of lanes derive from it."""

import numpy as np
import pytest
from worlds import Lanes

from alsim.jit.structs import leaves
from alsim.simulator import step as step_kernels
from alsim.simulator.fields import LEARNER_FIELDS
from alsim.simulator.simulator import Simulator
from alsim.types import LearnerArrays

IDENTITY = {"key", "learner", "episode"}


def lanes_of(column, n):
    """Return a field by lanes, (n, entries per lane)."""
    return column.reshape(n, -1)


def test_the_table_has_every_field_with_its_type_and_length():
    assert (
        *LEARNER_FIELDS,
        "hours",
        "row",
        "parameters",
        "lo_state",
        "learner_state",
        "recall",
    ) == LearnerArrays._fields
    lanes = Lanes(3, responses=True)
    width = {"rows": 32, "asked": 30, "right": 30, "responses": 62}
    for name, column in leaves(lanes.learners):
        assert column.dtype == LEARNER_FIELDS[name].dtype
        assert column.shape == (3 * width.get(name, 1),), name
    plain = Lanes(3).learners
    assert [name for name, column in leaves(plain) if len(column) == 0] == ["asked", "right", "responses"]
    assert plain.hours == plain.row == plain.parameters == plain.lo_state == plain.learner_state == plain.recall == ()


@pytest.mark.parametrize("responses", [False, True])
def test_a_reset_leaves_nothing_of_the_previous_episode(responses):
    """Every field but the identity is filled with 1, and equals that of a new learner after the reset."""
    new, used = Lanes(70, seed=3, responses=responses), Lanes(70, seed=3, responses=responses)
    for name, column in leaves(used.learners):
        if name not in IDENTITY:
            column[:] = 1
    some = np.arange(5, 70, 2)
    step_kernels.begin_lanes(used.reference, some)
    for (name, column), (_, expected) in zip(leaves(used.learners), leaves(new.learners), strict=True):
        if len(column):
            assert np.array_equal(lanes_of(column, 70)[some], lanes_of(expected, 70)[some]), name
            if name not in IDENTITY:
                assert (lanes_of(column, 70)[:5] == 1).all(), name


@pytest.mark.parametrize("responses", [False, True])
def test_moved_lanes_take_every_field_along(responses):
    """Random bits in every field; lanes that are not named keep theirs."""
    some = Lanes(1)
    kind = "responses" if responses else "mastery"
    source, target = (Simulator(some.config, some.bank, lanes, observation=kind) for lanes in (40, 9))
    random = np.random.default_rng(5)
    for simulator in (source, target):
        for _, column in leaves(simulator.learners):
            column.view(np.uint8)[:] = random.integers(0, 2, column.nbytes)
    before = [column.copy() for _, column in leaves(target.learners)]
    these, there = np.array([39, 0, 17]), np.array([2, 8, 5])
    source.move(these, target, there)
    others = np.setdiff1d(np.arange(9), there)
    for old, (name, new), (_, origin) in zip(before, leaves(target.learners), leaves(source.learners), strict=True):
        if len(new):
            assert np.array_equal(lanes_of(new, 9)[there], lanes_of(origin, 40)[these]), name
            assert np.array_equal(lanes_of(new, 9)[others], lanes_of(old, 9)[others]), name
