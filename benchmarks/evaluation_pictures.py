"""Pictures of the pages about evaluation: `python -m benchmarks.evaluation_pictures` draws them, in six minutes.

The script draws docs/images/comparison.svg, matrix.svg and audit.svg, of held-out learners under seed 0 and the default
configuration, except a curriculum of one chain under `prerequisites`. Arguments are the pictures to draw; by default,
all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alsim.cli.audit_plot import draw_audit
from alsim.cli.comparison_plot import draw_comparison
from alsim.cli.matrix_plot import draw_matrix
from alsim.evaluation import audit, compare, matrix

IMAGES = Path(__file__).parent.parent / "docs" / "images"
LEARNERS = 2_000
COMPARED = ["rules", "uniform", "weakest", "video-weakest", "epsilon-greedy:rules:0.05"]
TABULATED = [*COMPARED, "zpd", "bkt", "thompson", "oracle"]
WORLDS = ["standard", "linked", "bkt", "prerequisites", "fatigue"]
CHAIN: dict[str, Any] = {"curriculum": [[k, k + 1] for k in range(29)]}


def draw_compared(file: Path, learners: int = LEARNERS) -> None:
    """Draw the comparison of five policies."""
    found = compare(COMPARED, learners=learners)
    draw_comparison(file, found.to_dict(), found.courses)


def draw_tabulated(file: Path, learners: int = LEARNERS) -> None:
    """Draw the matrix of learning under all dynamics."""
    draw_matrix(file, matrix(TABULATED, WORLDS, learners=learners, config=CHAIN).to_dict())


def draw_audited(file: Path, learners: int = LEARNERS) -> None:
    """Draw the audit of the default reward."""
    draw_audit(file, audit(learners=learners).to_dict())


PICTURES: dict[str, Callable[[Path], None]] = {
    "comparison": draw_compared,
    "matrix": draw_tabulated,
    "audit": draw_audited,
}


def main() -> None:
    """Draw the pictures that the arguments name."""
    for name in sys.argv[1:] or PICTURES:
        PICTURES[name](IMAGES / f"{name}.svg")


if __name__ == "__main__":
    main()
