"""Time to a trained policy: `python -m benchmarks.training_time --part alsim` measures, and updates the pages.

Each contender runs in a process of its own, on one core, and replaces its part of training_time.json. The parts torch
and jax need the packages of these names (`nox -s training-time-torch`, `nox -s training-time-jax`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from benchmarks import child
from benchmarks.training_time import page, results
from benchmarks.training_time.child import ONE_THREAD
from benchmarks.training_time.contenders import CONTENDERS, PARTS, SEEDS, Contender


def chosen(parts: Sequence[str], names: Sequence[str]) -> dict[str, Contender]:
    """Return the contenders of some parts, or those with some names."""
    return {name: one for name, one in CONTENDERS.items() if (name in names if names else one.part in parts)}


def merged(old: Mapping[str, results.Result], new: Mapping[str, results.Result]) -> dict[str, results.Result]:
    """Return all results, the new ones instead of old ones, in the order of the table."""
    found = {**old, **new}
    return {name: found[name] for name in CONTENDERS if name in found}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure according to the command line, and update the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=(), help="parts to measure; none only renders")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=(), help="contenders to measure instead")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="largest number of seeds")
    parser.add_argument("--steps", type=int, default=0, help="interactions of each training; 0: those of the settings")
    parser.add_argument(
        "--print", action="store_true", help="print the table, and leave pages and the file as they are"
    )
    options = parser.parse_args(arguments)
    measured: dict[str, results.Result] = {}
    for name, contender in chosen(options.part, options.only).items():
        seeds = SEEDS[: min(options.seeds, contender.seeds)]
        command = ("-m", "benchmarks.training_time.child", name, options.steps, *seeds)
        measured[name] = child.output_of(child.start(*command, **ONE_THREAD))
        if not options.print:
            results.save(merged(results.read(), measured))
    found = merged(results.read(), measured)
    print(page.described(found), page.table(found), sep="\n\n")
    if not options.print:
        page.render()


if __name__ == "__main__":
    sys.exit(main())
