"""Rules that are in force: the dynamics, and population, classes, sessions and curriculum of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alsim.cli.output import print_sentence
from alsim.utils.text import counted

LISTED_ROWS = 4
"""Number of rows of a population that a line names; the JSON has all."""
LEARNER_KEYS = ("population", "classes", "sessions", "curriculum")
"""Keys of the configuration that have lines of their own."""


def learner_facts(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a label and a text for population, classes, sessions and curriculum, if a configuration has them.

    config  a configuration as nested dicts, see `Config.to_dict`
    """
    texts = {
        "population": _population(config.get("population") or []),
        "classes": _classes(config.get("classes") or {}),
        "sessions": _sessions(config.get("sessions") or {}),
        "curriculum": _curriculum(config.get("curriculum") or [], config),
    }
    return [(label, text) for label, text in texts.items() if text]


def print_learner_facts(config: Mapping[str, Any]) -> None:
    """Print one line for each of `learner_facts`."""
    for label, text in learner_facts(config):
        print_sentence(f"{label}: {text}")


def other_differences(differences: Mapping[str, Any]) -> dict[str, Any]:
    """Return differences from the default configuration without those that have lines of their own."""
    return {key: value for key, value in differences.items() if key.partition(".")[0] not in LEARNER_KEYS}


def _population(rows: list[Mapping[str, Any]]) -> str:
    """Return the number of rows, and the names and shares of the first ones."""
    if not rows:
        return ""
    listed = [f"{row.get('name') or k} ({100 * row['share']:.3g} %)" for k, row in enumerate(rows[:LISTED_ROWS])]
    more = len(rows) - len(listed)
    return f"{counted(len(rows), 'row')}: {', '.join(listed)}" + (f" and {more:,} more" if more else "")


def _classes(classes: Mapping[str, Any]) -> str:
    """Return the size of a class, and the standard deviations between classes."""
    if not classes:
        return ""
    spreads = f"{classes['mastery_std']:g} in starting mastery, {classes['ability_std']:g} in ability"
    return f"of {counted(classes['size'], 'learner')}; standard deviations between them: {spreads} (logits)"


def _sessions(sessions: Mapping[str, Any]) -> str:
    """Return the length of a break, and when it comes."""
    if not sessions:
        return ""
    every = counted(sessions["interactions"], "interaction")
    return f"a break of {sessions['break_hours']:g} h after every {every}"


def _curriculum(edges: list[Any], config: Mapping[str, Any]) -> str:
    """Return the number of edges, and whether the dynamics ignores them."""
    from alsim.dynamics import find_dynamics

    if not edges:
        return ""
    name = str(config.get("dynamics", {}).get("name", "standard"))
    dynamics = find_dynamics(name)
    values = config.get("dynamics", {})
    unread = dynamics is not None and not dynamics.parents_matter(lambda parameter: values.get(parameter, 0))
    outcomes = len({end for edge in edges for end in edge})
    text = f"{counted(len(edges), 'edge')} between {counted(outcomes, 'outcome')}"
    return f"{text}, which the dynamics {name} does not read" if unread else text


__all__ = ["learner_facts", "other_differences", "print_learner_facts"]
