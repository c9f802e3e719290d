"""The policy of an adaptive engine, which a package above has."""

from __future__ import annotations

from alsim.policies.base import PolicyWithMemory
from alsim.utils.plugins import import_object

HOME = "alsim.engine.policy:of_directory"
"""Function that returns the policy. The packages of policies do not import the engine: it is above them."""


def engine_policy(directory: str) -> PolicyWithMemory:
    """Return a policy that teaches as the adaptive engine of a directory.

    directory  directory of an engine, as `alsim engine init` writes it. Its store is not used
    """
    policy: PolicyWithMemory = import_object(HOME)(directory)
    return policy


__all__ = ["engine_policy"]
