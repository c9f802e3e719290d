"""Tables and figure of the time to a trained policy, from training_time.json, for docs/training.md and claims.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import PACKAGES
from benchmarks.report import HEADER, Row, between_marks, judged, markdown, missing, number
from benchmarks.training_time.contenders import CONTENDERS
from benchmarks.training_time.results import (
    Result,
    finals,
    limits,
    median_and_range,
    read,
    seconds_to,
    speeds,
    written,
)

ROOT = Path(__file__).parent.parent.parent
PAGE, CLAIMS = ROOT / "docs" / "training.md", ROOT / "benchmarks" / "claims.md"
PICTURE = ROOT / "docs" / "images" / "training-time.png"
MARK = "training-time"
"""Name of the marks around the tables."""
LEVELS = (115, 119)
"""Returns that a policy must reach."""
TABLE = (
    "training loop",
    "interactions per CPU s",
    *(f"CPU s to {level}" for level in LEVELS),
    "return at the end",
    "time spent on",
)
COLOURS = {
    "alsim": "#0b6e99",
    "alsim-dqn": "#6fb7d1",
    "jax": "#2f7d32",
    "torch": "#b5532a",
    "sb3": "#777777",
    "sb3-long": "#b0b0b0",
}
INK = "#333333"

Results = Mapping[str, Result]


def table(results: Results) -> str:
    """Return the table of all contenders under the specified reward."""
    rows = [
        _cells(contender.label, contender.part, results[name])
        for name, contender in CONTENDERS.items()
        if name in results and contender.reward == "specified"
    ]
    return markdown(TABLE, rows, left=(0, len(TABLE) - 1))


def _cells(label: str, part: str, result: Result) -> list[str]:
    compiling = f" (+ {result['preparation']:.0f} s to compile)" if part == "jax" else ""
    count = len(result["seeds"])
    seeds = f", {count} seed{'s' * (count > 1)}" if count < CONTENDERS["alsim"].seeds else ""
    return [
        label + compiling + seeds,
        number(statistics.median(speeds(result)), 2),
        *(median_and_range(seconds_to(result, level)) for level in LEVELS),
        median_and_range(finals(result), 4),
        limits(result),
    ]


def targets(results: Results) -> Iterator[Row]:
    """Yield the rows that compare alsim with its targets."""
    for name, bound, least in (("alsim", 2, 118), ("alsim-dqn", 10, 117)):
        label = CONTENDERS[name].label
        if name not in results:
            yield missing(f"{label}: CPU s to a return of 119", "not measured", f"≤ {bound}")
            continue
        yield _reached(f"{label}: CPU s to a return of 119", seconds_to(results[name], 119), bound)
        last = finals(results[name])
        share = sum(value >= least for value in last)
        yield judged(
            f"{label}: trainings that end with a return of at least {least}",
            share,
            f"≥ {len(last)}",
            digits=len(str(share)),
            limit=f"returns {median_and_range(last, 4)}",
        )
    if "alsim-learning" in results:
        times = seconds_to(results["alsim-learning"], 0.62, "mastery")
        yield _reached("alsim, reward `learning`: CPU s to a final mastery of 0.62", times, 10)


def _reached(quantity: str, seconds: list[float], bound: float) -> Row:
    median = statistics.median(seconds)
    if median > 1e9:
        return Row(quantity, "never", f"≤ {bound} s", "**no**", f"{sum(s < 1e9 for s in seconds)} of {len(seconds)} do")
    spread = "–".join(written(value) for value in (min(seconds), max(seconds)))
    return judged(quantity, median, f"≤ {bound}", "s", digits=2, spread=spread, limit=f"median of {len(seconds)} seeds")


def described(results: Results) -> str:
    """Return a sentence about machine, versions, dates and load."""
    found: dict[str, dict[str, None]] = {}  # values by property, in order and once each
    for result in results.values():
        for key, value in result["machine"].items():
            found.setdefault(key, {})[value] = None
    texts = {key: " and ".join(values) for key, values in found.items()}
    loads = sorted(map(float, found["load at the start"]))
    versions = ", ".join(f"{name} {texts[name]}" for name in ("python", *PACKAGES) if name in texts)
    versions += f"; {texts['kernels']}" if "kernels" in texts else ""
    return (
        f"Measured on one core of {texts['processor']}, {texts['system']}; {versions}; {texts['date']}; load average "
        f"{loads[0]:.0f} to {loads[-1]:.0f}."
    )


def section(results: Results) -> str:
    """Return the part of claims.md, with its marks."""
    tables = [described(results), table(results), markdown(HEADER, list(targets(results)), left=(0, 4))]
    body = "\n\n".join(tables) if results else "Not measured yet."
    return f"## Time to a trained policy\n\n<!-- {MARK}: begin -->\n\n{body}\n\n<!-- {MARK}: end -->"


def draw(results: Results) -> Any:
    """Return the figure: return against processor seconds, the median and the range over seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 4.8), dpi=160, layout="constrained")
    axes = figure.subplots()
    for name, contender in CONTENDERS.items():
        if contender.is_drawn and name in results:
            runs = list(results[name]["seeds"].values())
            seconds = [statistics.median(at) for at in zip(*(run["seconds"] for run in runs), strict=True)]
            returns = list(zip(*(run["returns"] for run in runs), strict=True))
            colour, label = COLOURS[name], contender.label.replace("`", "")
            axes.plot(seconds, [statistics.median(at) for at in returns], color=colour, linewidth=2, label=label)
            axes.fill_between(seconds, [*map(min, returns)], [*map(max, returns)], color=colour, alpha=0.2, linewidth=0)
    for level in LEVELS:
        axes.axhline(level, color="#cccccc", linewidth=0.8, zorder=0)
    ticks = (0.1, 0.3, 1, 3, 10, 30, 100, 300)
    axes.set(xscale="log", xlabel="processor seconds of training, on one core", ylim=(40, 125))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_yticks([40, 60, 80, 100, *LEVELS])
    axes.set_title("return of held-out learners: median and range of the seeds", loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def render(page: Path = PAGE, claims: Path = CLAIMS, picture: Path = PICTURE) -> None:
    """Write the table into docs/training.md, table and targets into claims.md, and the figure."""
    results = read()
    text = f"{described(results)}\n\n{table(results)}"
    page.write_text(between_marks(page.read_text(encoding="utf-8"), text, MARK), encoding="utf-8")
    body = section(results).split(" begin -->\n\n")[1].split("\n\n<!--")[0]
    claims.write_text(between_marks(claims.read_text(encoding="utf-8"), body, MARK), encoding="utf-8")
    draw(results).savefig(picture)
