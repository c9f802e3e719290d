"""Recovery of the true state of simulated learners by student models: `python -m benchmarks.simulated_logs`.

The script draws docs/images/simulated-logs.png and saves the figures of docs/models/simulated-logs.md in
simulated_logs.json. It takes minutes, mostly for DKT, which needs the optional dependency `dkt`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

import alsim
from alsim.models import Responses, bkt, irt
from alsim.types import Doubles
from benchmarks.measure import machine
from benchmarks.plot import BLUE, GREY, INK

MEASURED = Path(__file__).parent / "simulated_logs.json"
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "simulated-logs.png"
LEARNERS, OUTCOMES = 20_000, 5
TRAINING = 4_000
"""Number of learners that DKT is fitted to; it forecasts all learners."""

ORANGE = "#b5532a"
BINS = 20


class Truth(NamedTuple):
    """A simulated log and the true state of its learners.

    responses   R responses to I questions
    mastery     (R,) mastery of the learning outcome of the question, before the response, in [0, 1]
    ability     (R,) ability before the response, logits
    difficulty  (I,) b of each question, logits
    """

    responses: Responses
    mastery: Doubles
    ability: Doubles
    difficulty: Doubles


def simulate(num_learners: int, seed: int = 0) -> Truth:
    """Simulate one episode of each learner with random items."""
    dataset = alsim.generate_dataset(num_learners, 1, "uniform", seed, config={"num_los": OUTCOMES})
    responses, arrays = Responses.from_dataset(dataset), dataset.arrays
    correct = dataset.transitions["correct"].fill_null(False).to_numpy()
    lengths = dataset.episodes["total_steps"].to_numpy()
    begin = np.repeat(np.cumsum(lengths) - lengths, lengths)
    before = np.cumsum(correct) - correct
    start = np.repeat(dataset.episodes["ability_start"].to_numpy(), lengths)
    ability = start + 0.02 * (before - before[begin])  # S4.2
    asked = np.flatnonzero(arrays["action"] < 3 * OUTCOMES)  # S3.1
    questions = dataset.bank.questions
    place = {str(name): k for k, name in enumerate(questions.id)}
    codes = [place[name] for name in responses.items.tolist()]
    return Truth(
        responses,
        arrays["obs"][asked, arrays["action"][asked] // 3].astype(float),
        ability[asked],
        np.asarray(questions.irt_b, float)[codes],
    )


def opportunity(responses: Responses) -> np.ndarray:
    """Return the number (R,) of earlier responses of the student to the same skill."""
    from alsim.models.features import earlier_of_skills

    return earlier_of_skills(responses)[1]


def known(fit: bkt.BKTFit, responses: Responses) -> Doubles:
    """Return P(known) (R,) before each response, from the forecast P (1 - slip) + (1 - P) guess."""
    skills = [fit.skills[name].parameters for name in responses.skills.tolist()]
    guess, slip = (np.array([getattr(skill, name) for skill in skills]) for name in ("p_guess", "p_slip"))
    guess, slip = guess[responses.skill], slip[responses.skill]
    return np.clip((fit.predict(responses) - guess) / (1 - slip - guess), 0, 1)


def shuffled(estimate: Doubles, responses: Responses, seed: int = 0) -> Doubles:
    """Permute estimates among the responses of all students that are the n-th to the same skill, for each n and skill.

    The correlation that remains with the truth is explained by skill and n alone, and not by the answers.
    """
    order = np.random.default_rng(seed).permutation(len(estimate))
    group = opportunity(responses) * responses.num_skills + responses.skill
    mixed, place = order[np.argsort(group[order], kind="stable")], np.argsort(group, kind="stable")
    exchanged = np.empty_like(estimate)
    exchanged[place] = estimate[mixed]
    return exchanged


def recovered(fit: irt.IRTFit, truth: Truth) -> dict[str, float]:
    """Return statistics of the estimated difficulties compared with the true ones."""
    estimate = difficulty(fit, truth.responses)
    slope, constant = np.polyfit(truth.difficulty, estimate, 1)
    return {
        "correlation": float(np.corrcoef(truth.difficulty, estimate)[0, 1]),
        "rmse": float(np.sqrt(np.mean((estimate - truth.difficulty) ** 2))),
        "shift": float(np.mean(estimate - truth.difficulty)),
        "rmse_without_shift": float(np.std(estimate - truth.difficulty)),
        "slope": float(slope),
        "constant": float(constant),
        "mean_ability": float(truth.ability.mean()),
        "sd_ability": float(truth.ability.std()),
    }


def difficulty(fit: irt.IRTFit, responses: Responses) -> Doubles:
    """Return the estimated difficulties (I,) in the order of the log's items, logits."""
    place = {name: k for k, name in enumerate(fit.items.tolist())}
    return np.asarray(fit.b)[[place[name] for name in responses.items.tolist()]]


def correlations(estimate: Doubles, truth: Truth) -> dict[str, float]:
    """Return the correlations of an estimate (R,) of a student's knowledge with true mastery and true ability."""

    def correlation(one: Doubles, other: Doubles) -> float:
        return float(np.corrcoef(one, other)[0, 1])

    return {
        "mastery": correlation(estimate, truth.mastery),
        "mastery_shuffled": correlation(shuffled(estimate, truth.responses), truth.mastery),
        "ability": correlation(estimate, truth.ability),
        "ability_shuffled": correlation(shuffled(estimate, truth.responses), truth.ability),
    }


def draw(truth: Truth, calibrated: irt.IRTFit, estimates: dict[str, Doubles]) -> Figure:
    """Return the figure: estimated against true difficulty, and mastery and ability by rank of the estimates."""
    figure = Figure(figsize=(10.8, 3.7), dpi=160, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    ends = [-2.4, 2.4]
    left.plot(ends, ends, color=GREY, linewidth=1)
    left.plot(truth.difficulty, difficulty(calibrated, truth.responses), "o", color=BLUE, markersize=3)
    left.set(xlabel="true difficulty b", ylabel="estimated by IRT, 3PL")
    left.set_title("difficulty of the questions, logits", loc="left", fontsize=10, color=INK)
    for axes, values, title in (
        (middle, truth.mastery, "true mastery"),
        (right, truth.ability, "true ability, logits"),
    ):
        for (name, estimate), colour in zip(estimates.items(), (BLUE, ORANGE), strict=False):
            share, low, mean, high = by_estimate(estimate, values)
            axes.fill_between(share, low, high, color=colour, alpha=0.12, linewidth=0)
            axes.plot(share, mean, color=colour, linewidth=2, label=name)
        axes.set(xlabel="rank of the estimate")
        axes.set_title(title, loc="left", fontsize=10, color=INK)
    middle.set_ylim(0, 1)
    right.legend(frameon=False, fontsize=9, loc="upper left")
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK, labelsize=9)
    return figure


def by_estimate(estimate: Doubles, values: Doubles) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Return the rank, lower quartile, mean and upper quartile of values in BINS equal parts by ascending estimate."""
    parts = np.array_split(values[np.argsort(estimate, kind="stable")], BINS)
    low, high = np.array([np.quantile(part, [0.25, 0.75]) for part in parts]).T
    return (np.arange(BINS) + 0.5) / BINS, low, np.array([part.mean() for part in parts]), high


def formatted(figure: float) -> str:
    """Return a number as text, in the format of the page."""
    return f"{figure:.2f}".replace("-", "−")


def main() -> None:
    """Simulate, fit, save the figures, and draw the picture."""
    from alsim.models import dkt

    truth = simulate(LEARNERS)
    responses = truth.responses
    calibrated = irt.fit(responses, "3pl")
    traced = bkt.fit(responses)
    trained = dkt.fit(responses.subset(np.arange(TRAINING)))
    estimates = {"BKT, P(known)": known(traced, responses), "DKT, P(correct)": trained.predict(responses)}
    results: dict[str, Any] = {
        "machine": machine(),
        "learners": LEARNERS,
        "responses": len(responses),
        "items": responses.num_items,
        "irt": recovered(calibrated, truth),
        **{name.partition(",")[0].lower(): correlations(estimate, truth) for name, estimate in estimates.items()},
        "mastery_where_known": float(truth.mastery[estimates["BKT, P(known)"] > 0.95].mean()),
        "mastery_of_all": float(truth.mastery.mean()),
    }
    rounded = json.loads(json.dumps(results), parse_float=lambda text: float(f"{float(text):.4g}"))
    MEASURED.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
    draw(truth, calibrated, estimates).savefig(PICTURE)
    print(json.dumps(rounded, indent=1))


if __name__ == "__main__":
    main()
