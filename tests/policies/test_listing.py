"""Facts about the registered policies, against the policies themselves."""

import json
import math
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from alsim import rule
from alsim.policies import POLICIES, RulePolicy, has_memory, is_rule, make_policy
from alsim.policies.listing import facts_of, list_policies
from alsim.rollouts.rollout import rollout
from alsim.types import f64, i64

KEYS = ("name", "signature", "arguments", "description", "reads", "stochastic", "memory", "source", "package")
COMPLETE = {
    "epsilon-greedy": "epsilon-greedy:rules:0.2",
    "mix": "mix:rules=0.7,uniform=0.3",
    "oracle": "oracle:1",
    "student": f"student:{Path(__file__).with_name('elo-30.npz')}",
    "engine": f"engine:{Path(__file__).with_name('engine-3')}",
}
SMALL = {"max_episode_steps": 12}


def test_every_policy_has_all_facts():
    listed = list_policies()
    assert list(listed) == list(POLICIES)
    for name, facts in listed.items():
        assert tuple(facts) == KEYS
        assert facts["name"] == name
        assert facts["description"].startswith(("Policy that ", "Return a policy that "))
        assert facts["description"].endswith(".")
    json.dumps(listed, allow_nan=False)


@pytest.mark.ci
@pytest.mark.parametrize("name", sorted(POLICIES))
def test_the_facts_are_those_of_the_policy(name):
    facts, policy = list_policies()[name], make_policy(COMPLETE.get(name, name))
    if facts["memory"] is not None:
        assert facts["memory"] == has_memory(policy)
    run = rollout(policy, num_learners=30 if is_rule(policy) else 5, seed=1, config=SMALL)
    if facts["stochastic"] is not None:
        assert facts["stochastic"] == bool((run.propensity < 1).any())
    if facts["reads"] == "any":
        rollout(policy, num_learners=2, config=SMALL, observation="responses")
    elif facts["reads"] is not None:
        with pytest.raises(ValueError, match=f"needs observation='{facts['reads']}'|observation='{facts['reads']}'"):
            rollout(policy, num_learners=2, config=SMALL, observation="responses")


def test_the_facts_of_some_policies():
    listed = list_policies()
    table = {name: [listed[name][key] for key in ("reads", "stochastic", "memory")] for name in listed}
    assert table["uniform"] == ["any", True, False]
    assert table["rules"] == ["mastery", True, False]
    assert table["round-robin"] == ["any", False, True]
    assert table["weakest"] == table["video-weakest"] == table["mastery-gated"] == ["mastery", False, False]
    assert table["epsilon-greedy"] == table["mix"] == [None, True, None]
    assert table["zpd"] == table["zpdes"] == table["cat"] == ["any", True, True]
    assert {tuple(table[name]) for name in ("leitner", "sm2", "fsrs", "threshold", "random-due")} == {
        ("any", True, True)
    }
    assert table["bkt"] == table["student"] == ["any", False, True]
    assert listed["mastery-gated"]["arguments"] == [
        {"name": "threshold", "type": "float", "required": False, "default": 0.8}
    ]
    assert listed["mix"]["arguments"] == [{"name": "weights", "type": "weights of policies", "required": True}]
    assert listed["epsilon-greedy"]["arguments"][0] == {"name": "base", "type": "policy", "required": True}
    assert listed["epsilon-greedy"]["source"] == "Sutton & Barto (2018), Reinforcement Learning, section 2.2."
    assert listed["rules"]["source"] is None


class Own(NamedTuple):
    pass


@rule
def first(p, observation, inputs, words):
    return i64(0), f64(1)


class OwnRule(RulePolicy):
    """Asks the first question.

    Source: A book
    of two lines.
    """

    name = "own-rule"
    parameters = Own()
    choose = first


def test_facts_of_own_policies():
    class Plain:
        name = "plain"

        def __init__(self, width=math.inf, kind: str = "x"):
            self.width = width

        def act(self, view, draws):
            return np.zeros(view.num_lanes, np.int64), np.ones(view.num_lanes)

    facts = facts_of("own", OwnRule)
    assert facts["source"] == "A book of two lines."
    assert (facts["reads"], facts["stochastic"], facts["memory"]) == ("any", False, False)
    facts = facts_of("plain", Plain)
    assert [facts[key] for key in ("description", "reads", "stochastic", "memory")] == ["", None, None, False]
    assert [argument["default"] for argument in facts["arguments"]] == ["inf", "x"]
    assert facts_of("made", lambda: Plain())["memory"] is None
    assert facts_of("partial", partial(OwnRule))["description"] == "Asks the first question."
