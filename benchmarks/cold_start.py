"""Cold start against the truth: `python -m benchmarks.cold_start` measures; `--draw` also draws the page's picture.

Simulated students, whose abilities and skills are known, answer quizzes of 1 to 20 questions, and new items get
responses. The script prints the numbers with 95% intervals, in about half a minute. `--students 200` is quicker.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from alsim.engine.catalogue import Catalogue
from alsim.engine.difficulties import shrunken_difficulties
from alsim.engine.information import information
from alsim.engine.models import EngineModel
from alsim.engine.quiz_choice import QuizDesign
from alsim.models.irt import ItemParameters, probability
from alsim.models.student import AbilityModel
from alsim.types import Bools, Doubles, Longs
from benchmarks.plot import BLUE, finish

IMAGE = Path(__file__).parent.parent / "docs" / "images" / "cold-start.png"
STUDENTS, LENGTH = 2_000, 20
ITEMS = 200
SKILLS, WIDTH, QUESTIONS = 30, 6, 4
GUESS, SLIP = 0.2, 0.1
EXPERT_SD = 0.5
COUNTS = (0, 1, 2, 5, 10, 20, 50, 100, 200)
ORANGE, GREY = "#b5532a", "#777777"
SPANNING, INFERRED, ALONE = "adaptive, spanning the graph", "random, with inference", "random, each skill alone"
COLOURS = {"adaptive": BLUE, "random": ORANGE, SPANNING: BLUE, INFERRED: ORANGE, "shrunken": BLUE, "responses": ORANGE}
LABELS = {"expert": "expert only", "responses": "responses only"}
Z = 1.96


class Curve(NamedTuple):
    """Estimates with half the width of their 95% intervals, by number of questions or responses."""

    value: Doubles
    half: Doubles


def rmse(errors: Doubles) -> tuple[float, float]:
    """Return the root of the mean square of errors (n,), and half the width of its interval (delta method)."""
    squares = errors**2
    root = float(np.sqrt(squares.mean()))
    return root, Z * float(squares.std(ddof=1)) / np.sqrt(len(squares)) / (2 * max(root, 1e-12))


def mean(values: Doubles) -> tuple[float, float]:
    """Return the mean of values (n,), and half the width of its interval."""
    return float(values.mean()), Z * float(values.std(ddof=1)) / np.sqrt(len(values))


def curve(pairs: list[tuple[float, float]]) -> Curve:
    """Return the curve of pairs of value and half width."""
    return Curve(*np.array(pairs).T)


# ── ability ─────────────────────────────────────────────────────────────────────────────────────


def ability_errors(n: int, *, adaptive: bool, seed: int = 0) -> Doubles:
    """Return the error of the estimated ability after 0 to LENGTH questions, (LENGTH + 1, n), logits.

    Abilities are N(0, 1). The items have a = exp(N(0, 0.3)) and b = N(0, 1), and are calibrated.
    """
    bank, people, luck = (np.random.default_rng((seed, k)) for k in range(3))
    parameters = ItemParameters(a=np.exp(0.3 * bank.normal(size=ITEMS)), b=bank.normal(size=ITEMS))
    model, theta = AbilityModel.of_parameters(parameters), people.normal(size=n)
    chance, uniforms = probability(theta, parameters), people.random((n, ITEMS))
    students, everyone, every = model.start(n), np.arange(n), np.arange(ITEMS)
    is_free, errors = np.ones((n, ITEMS), np.bool_), [-theta]
    for _ in range(LENGTH):
        score = information(model, students, every) if adaptive else luck.random((n, ITEMS))
        item = np.where(is_free, score, -1.0).argmax(axis=1)
        is_free[everyone, item] = False
        model.update(students, item, (uniforms[everyone, item] < chance[everyone, item]).astype(int))
        errors.append(model.ability(students).mean - theta)
    return np.array(errors)


# ── placement ───────────────────────────────────────────────────────────────────────────────────


def skill_catalogue(seed: int = 0) -> Catalogue:
    """Return questions about 30 skills in layers of 6; each skill needs one or two skills of the layer before."""
    random = np.random.default_rng((seed, 3))
    graph: dict[str, list[str]] = {}
    for k in range(SKILLS):
        layer = k // WIDTH
        before = np.arange((layer - 1) * WIDTH, layer * WIDTH)
        parents = random.choice(before, random.integers(1, 3), replace=False) if layer else ()
        graph[f"s{k}"] = [f"s{j}" for j in parents]
    items = [
        {"id": f"{skill}-{q}", "skills_taught": [skill], "skills_assessed": [skill], "guess": GUESS, "slip": SLIP}
        for skill in graph
        for q in range(QUESTIONS)
    ]
    return Catalogue(items, graph)


def known_skills(catalogue: Catalogue, n: int, seed: int = 0) -> Bools:
    """Return which skills students know, (n, K): only skills whose prerequisites they know.

    The chance of knowing the next skill rises with a student's level, N(0, 1.5) logits, so students differ more than
    the inference assumes.
    """
    random = np.random.default_rng((seed, 4))
    level = 1.0 + 1.5 * random.normal(size=n)
    chance, uniforms = 1 / (1 + np.exp(-level)), random.random((n, SKILLS))
    known = np.zeros((n, SKILLS), np.bool_)
    parents = catalogue.graph.prerequisites()
    for k, skill in enumerate(catalogue.skills):
        allowed = known[:, [catalogue.graph.index[p] for p in parents[skill]]].all(axis=1)
        known[:, k] = allowed & (uniforms[:, k] < chance)
    return known


class Placed(NamedTuple):
    """Quality of placements after 0 to LENGTH questions, (LENGTH + 1, n) each."""

    accuracy: Doubles
    """Share of the skills that are rightly called known (probability of at least one half) or unknown."""
    wrongly_mastered: Doubles
    """Share of the skills that are unknown, but have a probability of at least 0.9."""


def placements(n: int, *, adaptive: bool, infer: bool = True, seed: int = 0) -> Placed:
    """Return the quality of placements by a quiz that spans the graph, or by random questions.

    infer  False to let an answer say nothing about other skills than its own, with the prior 0.3 of `bkt`
    """
    catalogue = skill_catalogue(seed)
    design = QuizDesign(catalogue, EngineModel("bkt", catalogue))
    known, people, luck = known_skills(catalogue, n, seed), *(np.random.default_rng((seed, k)) for k in (5, 6))
    uniforms, skill_of = people.random((n, len(catalogue))), np.repeat(np.arange(SKILLS), QUESTIONS)
    belief = design.placement.start(n) if infer else np.full((n, SKILLS), 0.3)
    is_free, everyone = np.ones((n, len(catalogue)), np.bool_), np.arange(n)
    found = [_quality(belief, known)]
    for _ in range(LENGTH):
        tie = luck.random(is_free.shape)
        gain = design.gains(belief)[:, design.classes.of] if adaptive else np.zeros(is_free.shape)
        item = np.where(is_free, gain + 1e-9 * tie, -1.0).argmax(axis=1)
        is_free[everyone, item] = False
        skill = skill_of[item]
        right = np.where(known[everyone, skill], 1 - SLIP, GUESS)
        correct = (uniforms[everyone, item] < right).astype(np.int8)
        if infer:
            design.answer(belief, item, correct)
        else:
            _alone(belief, skill, correct)
        found.append(_quality(belief, known))
    return Placed(*np.array(found).transpose(1, 0, 2))


def _quality(belief: Doubles, known: Bools) -> tuple[Doubles, Doubles]:
    """Return accuracy, and the share of wrongly mastered skills, (n,) each."""
    return ((belief >= 0.5) == known).mean(axis=1), ((belief >= 0.9) & ~known).mean(axis=1)


def _alone(belief: Doubles, skill: Longs, correct: Any) -> None:
    """Update the belief about the skill that was asked only, in place."""
    rows = np.arange(len(belief))
    prior = belief[rows, skill]
    if_known, if_unknown = np.where(correct == 1, 1 - SLIP, SLIP), np.where(correct == 1, GUESS, 1 - GUESS)
    belief[rows, skill] = prior * if_known / (prior * if_known + (1 - prior) * if_unknown)


# ── difficulties ────────────────────────────────────────────────────────────────────────────────


def difficulty_errors(n: int, responses: int, seed: int = 0) -> dict[str, Doubles]:
    """Return the errors of the difficulties of n new items after some responses, (n,), logits, by kind of estimate.

    Difficulties are N(0, 1), and the expert errs by N(0, 0.5). The abilities are N(0, 1); the engine knows each from
    10 responses to calibrated items of suitable difficulty, with an SD of about 0.5.
    """
    random = np.random.default_rng((seed, 7, responses))
    b, nodes = random.normal(size=n), np.linspace(-6, 6, 61)
    expert, item = b + EXPERT_SD * random.normal(size=n), np.repeat(np.arange(n), responses)
    theta = random.normal(size=len(item))
    sd = 0.6  # of the likelihood: with the prior, the posterior has an SD of 0.51
    seen = theta + sd * random.normal(size=len(item))
    posterior = np.exp(-(((nodes - seen[:, None]) / sd) ** 2) / 2 - nodes**2 / 2)
    correct = (random.random(len(item)) < 1 / (1 + np.exp(b[item] - theta))).astype(int)
    alone = shrunken_difficulties(item, correct, posterior, nodes, np.zeros(n), 1.0)
    shrunken = shrunken_difficulties(item, correct, posterior, nodes, expert, EXPERT_SD)
    return {"expert": expert - b, "responses": alone.difficulty - b, "shrunken": shrunken.difficulty - b}


# ── report ──────────────────────────────────────────────────────────────────────────────────────


def measure(n: int) -> dict[str, dict[str, Curve]]:
    """Return all curves, by panel and by line."""
    abilities = {name: ability_errors(n, adaptive=name == "adaptive") for name in ("adaptive", "random")}
    arms = {
        SPANNING: placements(n, adaptive=True),
        INFERRED: placements(n, adaptive=False),
        ALONE: placements(n, adaptive=False, infer=False),
    }
    errors = [difficulty_errors(n, count) for count in COUNTS]
    return {
        "ability": {name: curve([*map(rmse, rows)]) for name, rows in abilities.items()},
        "placement": {name: curve([*map(mean, arm.accuracy)]) for name, arm in arms.items()},
        "wrongly mastered": {name: curve([*map(mean, arm.wrongly_mastered)]) for name, arm in arms.items()},
        "difficulty": {name: curve([rmse(row[name]) for row in errors]) for name in errors[0]},
    }


def draw(curves: dict[str, dict[str, Curve]]) -> None:
    """Draw three panels: ability, placement and difficulties."""
    figure = Figure(figsize=(10.5, 3.4), dpi=160, layout="constrained")
    panels = {
        "ability": ("questions of the quiz", "RMSE of ability, logits"),
        "placement": ("questions of the quiz", "share of skills placed rightly"),
        "difficulty": ("responses to a new item", "RMSE of its difficulty, logits"),
    }
    for axes, (panel, (below, title)) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for name, (value, half) in curves[panel].items():
            x = np.array(COUNTS) if panel == "difficulty" else np.arange(len(value))
            colour = COLOURS.get(name, GREY)
            axes.plot(x, value, color=colour, label=LABELS.get(name, name))
            axes.fill_between(x, value - half, value + half, color=colour, alpha=0.2, linewidth=0)
        if panel == "difficulty":
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
            axes.set_xticks([], minor=True)
        axes.set_xlabel(below)
        axes.legend(frameon=False, fontsize=8)
        finish(axes, title)
    figure.savefig(IMAGE)


def main() -> None:
    """Measure and print; draw on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=STUDENTS, help="number of students, and of new items")
    parser.add_argument("--draw", action="store_true", help="overwrite docs/images/cold-start.png")
    options = parser.parse_args()
    n = options.students
    curves = measure(n)
    for panel, lines in curves.items():
        print(f"{panel}, n = {n:,}")
        for name, (value, half) in lines.items():
            x = COUNTS if panel == "difficulty" else range(len(value))
            shown = [k for k, count in enumerate(x) if panel == "difficulty" or count in (0, 1, 2, 5, 8, 10, 20)]
            print(f"  {name}: " + ", ".join(f"{x[k]}: {value[k]:.3f} ± {half[k]:.3f}" for k in shown))
    if options.draw:
        draw(curves)
        print(f"{IMAGE}: written")


if __name__ == "__main__":
    main()
