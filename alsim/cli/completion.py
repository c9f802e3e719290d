"""Shell completion of names of policies and dynamics. Neither alsim's packages nor plugins are loaded for it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import entry_points

POLICIES = (
    *("uniform", "rules", "epsilon-greedy", "mix", "round-robin", "weakest", "video-weakest", "mastery-gated"),
    *("zpd", "zpdes", "cat", "leitner", "sm2", "fsrs", "threshold", "random-due", "bkt", "student", "engine", "oracle"),
    *("thompson", "lints", "ucb1", "linucb", "softmax", "igw", "exp3"),
)
DYNAMICS = ("standard", "linked", "bkt", "prerequisites", "fatigue", "half-life", "fsrs")
POLICY_GROUP, DYNAMICS_GROUP = "alsim.policies", "alsim.dynamics"
POLICY_FILE = "policy.json"
"""Names, groups of entry points, and file of a saved policy; repeated here, because their modules load numba."""


def one_of(*names: str) -> Callable[[str], list[str]]:
    """Return a function that completes one of these names."""
    return lambda incomplete: _matches(names, incomplete)


def complete_policy(incomplete: str) -> list[str]:
    """Return the names of policies that begin with a text, and the directories of saved policies.

    If there is none, the shell completes names of files, and thus of the directories in between.
    """
    return _matches((*POLICIES, *_plugins(POLICY_GROUP), *_saved_policies(incomplete)), incomplete)


def complete_dynamics(incomplete: str) -> list[str]:
    """Return the names of dynamics that begin with a text."""
    return _matches((*DYNAMICS, *_plugins(DYNAMICS_GROUP)), incomplete)


def _matches(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that begin with a text, each once."""
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _plugins(group: str) -> list[str]:
    """Return the names of the entry points of a group."""
    return sorted(point.name for point in entry_points(group=group))


def _saved_policies(incomplete: str) -> Iterator[str]:
    """Yield the saved policies in the directory that an incomplete path is in.

    Paths that a shell would have to quote are left out: shells insert the text as it is.
    """
    start = os.path.basename(incomplete)
    directory = incomplete[: len(incomplete) - len(start)]
    try:
        names = sorted(os.listdir(directory or "."))
    except OSError:
        return
    for name in names:
        path = directory + name
        if name.startswith(start) and shlex.quote(path) == path and os.path.isfile(os.path.join(path, POLICY_FILE)):
            yield path
