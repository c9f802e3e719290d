"""Trainings among the arguments of a comparison: directories with several seeds, and those that differ only by seed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alsim.errors import AlsimError
from alsim.training import directory
from alsim.training.seeds_directory import finished_seeds, folder_of, is_seeds_directory, stored_seeds
from alsim.utils.files import to_json


def expanded(policies: Sequence[str]) -> list[str]:
    """Return policies in which a directory with several seeds is replaced by its finished trainings.

    Raises AlsimError for such a directory without a finished training.
    """
    found: list[str] = []
    for policy in policies:
        path = Path(policy)
        if not path.is_dir() or not is_seeds_directory(path):
            found.append(policy)
            continue
        seeds = finished_seeds(path, stored_seeds(path))
        if not seeds:
            raise AlsimError(f"{policy} has no finished training; run the same alsim train command again to finish it")
        found += [str(folder_of(path, seed)) for seed in seeds]
    return found


def seed_groups(policies: Sequence[str]) -> dict[str, list[str]]:
    """Return the trainings that differ only by seed, two or more, by the name of their algorithm.

    The name is the common beginning of their paths, without the seed. Other policies belong to no group. A training
    that is named twice, by a link or as a copy, counts once: of equal seeds, the first is kept.
    """
    groups: dict[bytes, dict[str, str]] = {}
    for policy in dict.fromkeys(policies):
        settings = directory.json_object(Path(policy) / directory.SETTINGS)
        if directory.MARK in settings:
            groups.setdefault(_identity(dict(settings)), {}).setdefault(str(settings.get("seed")), policy)
    found: dict[str, list[str]] = {}
    for runs in ([*by_seed.values()] for by_seed in groups.values()):
        if len(runs) > 1:
            found[_unused(_common_name(runs), found)] = runs
    return found


def _identity(settings: dict[str, Any]) -> bytes:
    """Return the settings of a training without its seed, as bytes."""
    return to_json({key: settings[key] for key in sorted(settings) if key != "seed"})


def _common_name(runs: Sequence[str]) -> str:
    """Return the common beginning of paths, without separators, digits and the word seed at its end."""
    name = os.path.commonprefix([os.path.normpath(run) for run in runs])
    return name.rstrip("0123456789-_./").removesuffix("seed").rstrip("-_./") or "algorithm"


def _unused(name: str, used: dict[str, Any]) -> str:
    """Return a name that is not used, with a number if it is."""
    number = 2
    unique = name
    while unique in used:
        unique, number = f"{name} ({number})", number + 1
    return unique


__all__ = ["expanded", "seed_groups"]
