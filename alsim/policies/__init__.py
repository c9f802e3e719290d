"""Teaching policies, one per file. A policy acts on a batch: `act(view, draws) -> actions, propensities`."""

from alsim.policies.base import (
    Policy,
    PolicyDraws,
    PolicyWithMemory,
    PolicyWithProbabilities,
    Transitions,
    View,
    has_memory,
    one_hot,
)
from alsim.policies.binding import bound
from alsim.policies.compiled import RulePolicy, is_rule
from alsim.policies.epsilon_greedy import EpsilonGreedy
from alsim.policies.knowledge import StudentModelPolicy
from alsim.policies.mix import Mix
from alsim.policies.names import POLICIES, known_policies, make_policy, register_policy
from alsim.policies.network import Network, NetworkPolicy, PolicyError
from alsim.policies.uniform import Uniform

__all__ = [
    "POLICIES",
    "EpsilonGreedy",
    "Mix",
    "Network",
    "NetworkPolicy",
    "Policy",
    "PolicyDraws",
    "PolicyError",
    "PolicyWithMemory",
    "PolicyWithProbabilities",
    "RulePolicy",
    "StudentModelPolicy",
    "Transitions",
    "Uniform",
    "View",
    "bound",
    "has_memory",
    "is_rule",
    "known_policies",
    "make_policy",
    "one_hot",
    "register_policy",
]
