"""Figures of comparisons, matrices and audits: their texts, marks, sizes, contrasts and places, for any input.

The figures are checked as Matplotlib lays them out, before they are written. Nothing is compared with stored pictures.
"""

import itertools
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from alsim.cli import plot_page
from alsim.cli.label_places import Rectangle, place_labels
from alsim.evaluation import compare, mean
from alsim.evaluation.outcomes import Course
from alsim.utils.text import printable

pytest.importorskip("matplotlib")
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle as Patch
from matplotlib.text import Text

from alsim.cli.audit_plot import draw_audit
from alsim.cli.comparison_plot import draw_comparison
from alsim.cli.matrix_plot import draw_matrix

pytestmark = pytest.mark.versionless

PHONE = 390
"""Width of a telephone in pixels."""
SCALE = 4
"""Pixels of the renderer per pixel of the telephone: with few pixels, hinting makes text wider."""
FEW = ["rules", "uniform", "weakest", "video-weakest", "epsilon-greedy:rules:0.05"]
MANY = [
    *("uniform", "round-robin", "rules", "epsilon-greedy:rules:0.1", "mix:rules=0.7,uniform=0.3", "weakest"),
    *("video-weakest", "mastery-gated", "zpd", "zpdes", "cat", "bkt", "oracle", "oracle:8:2", "thompson", "lints"),
    *("ucb1", "linucb", "softmax", "igw", "exp3", "thompson:0.1:0.05:true", "linucb:1.0:0.05:true"),
    *("runs/ppo-learning/seed-3", "runs/a-directory-with-a-long-name/and-another-one/ppo-learning/seed-4"),
]
WORLDS = ["standard", "linked", "bkt", "prerequisites", "fatigue", "school a", "a population of a long name", "$x_1$"]


# ── inputs ───────────────────────────────────────────────────────────────────────────────────────


def statistic(values):
    """Return the statistic of some values as a report has it."""
    return mean(values).to_dict() | {"left_out": int(np.isnan(values).sum())}


def course(rng, steps, kind):
    """Return a course with random endings, or with all endings at one step."""
    mastery = np.cumsum(rng.random(steps + 1)) / (2 * steps) + 0.2
    if kind == "constant":
        mastery[:] = 0.5
    ended = np.zeros((4, steps + 1))
    if kind == "random":
        ended[1] = np.linspace(0, rng.random() / 2, steps + 1)
        ended[3] = np.linspace(0, rng.random() / 2, steps + 1)
    if kind == "one step":
        ended[3, steps // 2 :] = 1
    ended[2, -1] = 1 - ended[1, -1] - ended[3, -1]
    ended[0] = 1 - ended[1:].sum(axis=0)
    return Course(mastery, mastery - 0.01, mastery + 0.01, ended)


def comparison(labels, learners=40, kind="random", undefined=(), steps=140):
    """Return a report and courses with invented numbers."""
    rng = np.random.default_rng(len(labels))
    policies = {}
    for k, label in enumerate(labels):
        spread = 0.0 if kind == "constant" else 1.0
        values = {"learning": 5 + spread * (k % 7 + rng.normal(size=learners))}
        values["cumulative_reward"] = 30 - spread * 20 * (k % 5) + spread * 9 * rng.normal(size=learners)
        if label in undefined:
            values = {name: np.full(learners, np.nan) for name in values}
        policies[label] = {name: statistic(one) for name, one in values.items()}
    report = {"learners": learners, "seed": 0, "independent_unit": "learner", "policies": policies}
    return report, {label: course(rng, steps, kind) for label in labels}


def matrix(labels, worlds, scale=1.0, metric="learning", undefined=()):
    """Return a report of a matrix with invented numbers."""
    rng = np.random.default_rng(len(labels) * len(worlds))
    cells = {a: {b: statistic(scale * (rng.random() * 10 + rng.normal(size=30))) for b in worlds} for a in labels}
    best = {b: max(cells[a][b]["mean"] for a in labels) for b in worlds}
    regret = {a: {b: best[b] - cells[a][b]["mean"] for b in worlds} for a in labels}
    for a, b in undefined:
        cells[a][b], regret[a][b] = statistic(np.full(2, np.nan)), None
    worst = {}
    for a in labels:
        defined = {b: value for b, value in regret[a].items() if value is not None}
        where = max(defined, key=defined.get, default=None)
        worst[a] = {"dynamics": where, "regret": defined.get(where), "mean": cells[a][where]["mean"] if where else None}
    choose = min((a for a in labels if worst[a]["regret"] is not None), key=lambda a: worst[a]["regret"], default=None)
    return {
        "metric": metric,
        "policies": labels,
        "dynamics": worlds,
        "cells": cells,
        "regret": regret,
        "worst_case": worst,
        "choose": choose,
    }


def audit(labels, learners=40, kind="random", undefined=(), feasible=None, bound=0.83):
    """Return a report of an audit with invented numbers."""
    report, courses = comparison(labels, learners, kind, undefined)
    policies = {}
    for k, (label, one) in enumerate(report["policies"].items()):
        final = np.full(learners, np.nan if label in undefined else courses[label].mastery[-1])
        policies[label] = {
            "return": one["cumulative_reward"],
            "learning": one["learning"],
            "final_mastery": statistic(final),
            "earns_without_teaching": k % 4 == 1,
        }
    goal = {"mastery": 0.8, "steps": 140, "feasible": feasible, "best_mastery": 0.6, "best_policy": labels[0]}
    goal |= {"upper_bound": bound, "steps_needed": 236}
    return {"policies": policies, "rank_correlation": {"value": -0.31, "ci": [-0.4, -0.2]}, "goal": goal}


# ── figures as they are laid out ─────────────────────────────────────────────────────────────────


@pytest.fixture
def laid_out(tmp_path, monkeypatch):
    """Draw a figure and return it with its texts and their boxes in pixels of the renderer."""

    def draw(function, *arguments):
        kept = []
        monkeypatch.setattr(f"{function.__module__}.write_figure", lambda figure, file: kept.append(figure))
        function(tmp_path / "figure.svg", *arguments)
        figure = kept[0]
        figure.dpi = SCALE * PHONE / figure.get_figwidth()
        renderer, drawn, draw_text = FigureCanvasAgg(figure).get_renderer(), [], Text.draw
        with monkeypatch.context() as patched:  # labels of ticks outside their axis exist, but are not drawn
            patched.setattr(Text, "draw", lambda text, renderer: (drawn.append(text), draw_text(text, renderer)))
            figure.draw(renderer)
        texts = [one for one in drawn if one.get_visible() and one.get_text().strip()]
        return figure, [(one, Text.get_window_extent(one, renderer)) for one in texts]

    return draw


def check_layout(figure, texts):
    """Raise AssertionError unless the texts are large enough, within the page, and do not overlap."""
    width, height = figure.bbox.width, figure.bbox.height
    assert 5 <= figure.get_figwidth() <= 5.4
    for text, box in texts:
        assert text.get_fontsize() * PHONE / (72 * figure.get_figwidth()) >= 8.8, text
        assert box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height, text
    for (one, a), (other, b) in itertools.combinations(texts, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        up = min(a.y1, b.y1) - max(a.y0, b.y0)
        # Boxes contain the space of accents and descenders, so that those of adjacent lines may meet.
        assert across <= 0.5 * SCALE or up <= 2.5 * SCALE, (one, other)


def words(texts):
    """Return the contents of the texts."""
    return [text.get_text() for text, _ in texts]


CASES = {
    "few": (draw_comparison, *comparison(FEW)),
    "many": (draw_comparison, *comparison(MANY)),
    "nine": (draw_comparison, *comparison(MANY[:9])),
    "one policy": (draw_comparison, *comparison(["rules"])),
    "one learner": (draw_comparison, *comparison(FEW, learners=1)),
    "no means": (draw_comparison, *comparison(FEW, undefined=FEW)),
    "some means": (draw_comparison, *comparison(FEW, undefined=FEW[1:3])),
    "constant": (draw_comparison, *comparison(FEW, kind="constant")),
    "one step": (draw_comparison, *comparison(MANY, kind="one step")),
    "short": (draw_comparison, *comparison(FEW, steps=1)),
    "dollars": (draw_comparison, *comparison(["$a_b$", "x$", "\\frac", "two\nlines"])),
    "matrix, few": (draw_matrix, matrix(FEW, WORLDS[:2])),
    "matrix, many": (draw_matrix, matrix(MANY, WORLDS)),
    "matrix, large": (draw_matrix, matrix(MANY, WORLDS, -123.4, "cumulative_reward")),
    "matrix, thousands": (draw_matrix, matrix(MANY, WORLDS, -90_000.0, "cumulative_reward")),
    "matrix, small": (draw_matrix, matrix(FEW, WORLDS, 0.001, "mastery_per_hour")),
    "matrix, undefined": (draw_matrix, matrix(FEW, WORLDS[:3], undefined=[(FEW[0], w) for w in WORLDS[:3]])),
    "matrix, one": (draw_matrix, matrix(FEW[:1], WORLDS[:1])),
    "matrix, dollars": (draw_matrix, matrix(["$a_b$", "x$"], ["$x_1$", "y_1$"])),
    "matrix, zero": (draw_matrix, matrix(FEW, WORLDS[:3], 0.0)),
    "audit, few": (draw_audit, audit(FEW)),
    "audit, many": (draw_audit, audit(MANY)),
    "audit, one": (draw_audit, audit(["uniform"])),
    "audit, one learner": (draw_audit, audit(MANY, learners=1)),
    "audit, constant": (draw_audit, audit(MANY, kind="constant", feasible=False, bound=0.7)),
    "audit, undefined": (draw_audit, audit(FEW, undefined=FEW)),
    "audit, no bound": (draw_audit, audit(FEW, undefined=FEW[:2], feasible=True, bound=None)),
    "audit, dollars": (draw_audit, audit(["$a_b$", "x$"])),
}


QUICK = ("few", "dollars", "matrix, few", "audit, few")
"""Cases whose layout every session checks; `tests_ci` checks all."""


@pytest.mark.ci
@pytest.mark.parametrize(
    "case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.ci) for case in CASES]
)
def test_every_text_is_large_enough_on_the_page_and_free_of_others(laid_out, case):
    figure, texts = laid_out(*CASES[case])
    check_layout(figure, texts)
    assert not any(word in " ".join(words(texts)).lower().split() for word in ("nan", "none", "inf"))


@pytest.mark.ci
@pytest.mark.parametrize(
    "ending", ["svg", pytest.param("png", marks=pytest.mark.ci), pytest.param("pdf", marks=pytest.mark.ci)]
)
@pytest.mark.parametrize("case", ["few", "matrix, few", "audit, few"])
def test_the_same_input_gives_the_same_bytes(tmp_path, case, ending):
    function, *arguments = CASES[case]
    files = [tmp_path / f"{k}.{ending}" for k in range(2)]
    for file in files:
        function(file, *arguments)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert b"dc:date" not in files[0].read_bytes() and b"CreationDate" not in files[0].read_bytes()


@pytest.mark.ci
@pytest.mark.parametrize("case", ["few", "dollars", "matrix, few", "matrix, dollars", "audit, few", "audit, dollars"])
def test_names_are_text_in_svg(tmp_path, case):
    function, report, *others = CASES[case]
    function(tmp_path / "figure.svg", report, *others)
    found = {one.text for one in ElementTree.parse(tmp_path / "figure.svg").iter("{http://www.w3.org/2000/svg}text")}
    assert {printable(label) for label in report["policies"]} <= found
    assert {*report.get("dynamics", ())} <= found


@pytest.mark.ci
def test_matplotlib_is_loaded_by_drawing_only():
    names = ", ".join(f"alsim.cli.{name}_plot" for name in ("comparison", "matrix", "audit"))
    code = f"import sys, {names}; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "False\n"


# ── comparison ───────────────────────────────────────────────────────────────────────────────────


def lines_of(figure, gid):
    """Return the lines of a figure whose id begins with some words."""
    return [line for axes in figure.axes for line in axes.lines if str(line.get_gid()).startswith(gid)]


@pytest.mark.ci
@pytest.mark.parametrize("case", ["few", "many"])
def test_a_comparison_shows_each_policy_in_each_panel(laid_out, case):
    function, report, courses = CASES[case]
    figure, texts = laid_out(function, report, courses)
    count = len(courses)
    assert len(lines_of(figure, "mean of policy")) == 2 * count
    assert len(lines_of(figure, "line of policy")) == 4 * count  # mastery, and three endings
    shown = words(texts)
    assert {"learning (LOs)", "return (sum of rewards)", "mean mastery (0 to 1)", "learners (%)"} <= {*shown}
    assert shown.count("interactions") == 4
    assert [word for word in shown if word.startswith(("gave up", "reached mastery", "still running"))]
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    learning = {plot_page.short_names([a])[a]: one["learning"]["mean"] for a, one in report["policies"].items()}
    assert rows == sorted(learning, key=learning.get, reverse=True)
    x = [line.get_xdata()[0] for line in lines_of(figure, "mean of policy")[:count]]
    assert x == sorted(learning.values(), reverse=True)


def test_lines_end_at_the_shares_of_the_report(laid_out):
    function, report, courses = CASES["few"]
    figure, _ = laid_out(function, report, courses)
    order = sorted(courses, key=lambda label: -report["policies"][label]["learning"]["mean"])
    for axes, rows in zip(figure.axes[3:], ([3], [1], [0, 2]), strict=True):
        for line in axes.lines:
            if line.get_gid() and line.get_gid().startswith("line of policy"):
                label = order[int(line.get_gid().split()[-1]) - 1]
                assert line.get_ydata()[-1] == pytest.approx(100 * courses[label].ended[rows, -1].sum())


@pytest.mark.ci
def test_with_many_policies_the_leaders_are_highlighted_and_the_text_says_so(laid_out):
    function, report, courses = CASES["many"]
    figure, texts = laid_out(function, report, courses)
    thick = [line for line in lines_of(figure, "line of policy") if line.get_linewidth() > 1]
    means = {label: one["learning"]["mean"] for label, one in report["policies"].items()}
    returns = {label: one["cumulative_reward"]["mean"] for label, one in report["policies"].items()}
    best = {*sorted(means, key=means.get)[-5:], max(returns, key=returns.get), "uniform"}
    assert len(thick) == 4 * len(best)
    assert f"the other {len(courses) - len(best)}." in " ".join(words(texts))


def test_an_ending_that_does_not_occur_is_a_sentence(laid_out):
    report, courses = comparison(FEW, kind="constant")
    figure, texts = laid_out(draw_comparison, report, courses)
    assert "reached mastery: no learner under any policy" in words(texts)
    assert len(figure.axes) == 4  # two of the leaderboard, mastery, still running


@pytest.mark.ci
def test_undefined_means_and_missing_intervals_are_named(laid_out):
    _, texts = laid_out(*CASES["some means"])
    assert words(texts).count("undefined") == 4
    _, texts = laid_out(*CASES["one learner"])
    assert "No intervals: they need at least two learners." in " ".join(words(texts))


def test_lines_differ_without_their_colours():
    """In grey, lines that cross differ by their dashes and marks; both are visible on white."""
    from matplotlib.colors import to_rgb

    assert len({style.marker for style in plot_page.STYLES}) == len(plot_page.STYLES)
    assert len({style.line for style in plot_page.STYLES[1:]}) == len(plot_page.STYLES) - 1
    for style in plot_page.STYLES:
        assert contrast(to_rgb(style.color), (1, 1, 1)) >= 3
    for color in (plot_page.INK, plot_page.MUTED):
        assert contrast(to_rgb(color), (1, 1, 1)) >= 4.5


@pytest.mark.ci
@pytest.mark.parametrize("dynamics", ["standard", "bkt"])
def test_real_comparisons_are_drawn(laid_out, dynamics):
    found = compare(FEW, learners=200, dynamics=dynamics)
    figure, texts = laid_out(draw_comparison, found.to_dict(), found.courses)
    check_layout(figure, texts)


# ── matrix ───────────────────────────────────────────────────────────────────────────────────────


def contrast(a, b):
    """Return the ratio of contrast of two colours. Source: WCAG 2.2."""

    def light(color):
        parts = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in color[:3]]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((light(a), light(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.ci
@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("matrix")])
def test_the_text_of_each_cell_lies_in_it_and_contrasts_with_it(laid_out, case):
    from matplotlib.colors import to_rgb

    function, report = CASES[case]
    figure, texts = laid_out(function, report)
    cells = [one for one in figure.findobj(Patch) if one.get_fill() and one is not figure.patch]
    boxes = [(one.get_window_extent(), one.get_facecolor()) for one in cells]
    inside = 0
    for text, box in texts:
        middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
        for cell, color in boxes:
            if cell.contains(*middle):
                inside += 1
                assert contrast(to_rgb(text.get_color()), color) >= 4.5
                assert cell.x0 <= box.x0 and box.x1 <= cell.x1, text
    statistics = [one for row in report["cells"].values() for one in row.values()]
    key, last = 5, len(report["policies"])
    assert inside == key + last + len(statistics) + sum(one["ci"] is not None for one in statistics)
    assert len(cells) == key + last + len(statistics)


@pytest.mark.ci
def test_a_darker_cell_has_a_larger_regret(laid_out):
    figure, texts = laid_out(*CASES["matrix, many"])
    report = CASES["matrix, many"][1]
    order = sorted(report["policies"], key=lambda label: report["worst_case"][label]["regret"])
    colors = [one.get_facecolor() for one in figure.findobj(Patch) if one.get_fill() and one is not figure.patch][5:]
    columns = len(report["dynamics"]) + 1
    regret = [[*(report["regret"][a][b] for b in report["dynamics"]), report["worst_case"][a]["regret"]] for a in order]
    light = [plot_page.luminance(color) for color in colors]
    by_regret = np.argsort(np.ravel(regret))
    assert len(light) == columns * len(order)
    assert (np.diff(np.array(light)[by_regret]) <= 1e-9).all()
    assert plot_page.luminance(colors[by_regret[0]]) == pytest.approx(1)


def test_the_choice_is_framed_and_named(laid_out):
    report = CASES["matrix, few"][1]
    figure, texts = laid_out(draw_matrix, report)
    (frame,) = (one for one in figure.findobj(Patch) if not one.get_fill())
    box = frame.get_window_extent()
    named = [text for text, own in texts if text.get_text() == report["choose"] and box.y0 < own.y0 and own.y1 < box.y1]
    assert named[0].get_fontweight() == "bold"
    assert f"Framed: {report['choose']}, the choice by minimax regret." in " ".join(words(texts))


# ── audit ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.parametrize("case", ["audit, few", "audit, many"])
def test_each_policy_has_the_mark_of_its_kind(laid_out, case):
    report = CASES[case][1]
    figure, texts = laid_out(draw_audit, report)
    marks = [line.get_marker() for line in figure.axes[1].lines if line.get_marker() != "None"]
    earning = sum(one["earns_without_teaching"] for label, one in report["policies"].items() if label != "uniform")
    assert (marks.count("D"), marks.count("s"), len(marks)) == (earning, 1, len(report["policies"]))
    assert {"return (sum of rewards)", "learning (LOs)", "mean mastery over LOs (0 to 1)"} <= {*words(texts)}


@pytest.mark.parametrize(
    ("feasible", "words_of_it"),
    [
        (True, "was reached."),
        (False, "is out of reach:"),
        (None, "is undecided: no policy surely reached it, and no upper bound excludes it."),
    ],
)
def test_the_goal_is_described(laid_out, feasible, words_of_it):
    _, texts = laid_out(draw_audit, audit(FEW, feasible=feasible))
    shown = " ".join(words(texts))
    assert f"The goal, a mean mastery of 0.8, {words_of_it}" in shown
    assert {"goal 0.8", "upper bound 0.83"} <= {*words(texts)}
    assert "It reaches the goal after 236 interactions, under a longer limit." in shown


def test_crowded_points_have_numbers_of_the_list(laid_out):
    _, texts = laid_out(draw_audit, audit(MANY, kind="constant"))
    rows = [word for word in words(texts) if word.split(".")[0].isdigit() and ". " in word]
    assert len(rows) == len(MANY)
    assert f"1–{len(MANY)}" in words(texts)  # all points are in one place


# ── places and names ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(20))
def test_spread_positions_keep_distance_and_order_and_are_optimal(seed):
    """No exchange of two adjacent groups is closer by least squares: checked against many feasible alternatives."""
    rng = np.random.default_rng(seed)
    wanted = rng.random(5) * 60
    found = plot_page.spread(wanted, 10.0, 0.0, 100.0)
    order = np.argsort(wanted)
    assert (np.diff(found[order]) >= 10 - 1e-9).all() and found.min() >= 0 and found.max() <= 100 + 1e-9
    alternatives = np.sort(found[order] + rng.normal(scale=3, size=(20_000, 5)), axis=1)
    feasible = alternatives[(np.diff(alternatives, axis=1) >= 10).all(axis=1) & (alternatives[:, 0] >= 0)]
    cost = np.square(feasible - wanted[order]).sum(axis=1)
    assert len(cost) > 3 and np.square(found - wanted).sum() <= cost.min() + 1e-9


@pytest.mark.ci
def test_labels_lie_in_the_frame_without_overlaps():
    rng = np.random.default_rng(0)
    points = {str(k): (x, y) for k, (x, y) in enumerate(rng.random((24, 2)) * (300, 250))}
    frame = Rectangle(0, 0, 300, 250)
    places = place_labels(points, dict.fromkeys(points, (20.0, 10.0)), 8, frame)
    marks = [Rectangle(x - 4, y - 4, x + 4, y + 4) for x, y in points.values()]
    for one, other in itertools.combinations([*places.values()], 2):
        assert not one.overlaps(other)
    assert all(frame.contains(place) and not any(map(place.overlaps, marks)) for place in places.values())
    assert place_labels(points, dict.fromkeys(points, (200.0, 100.0)), 8, frame) is None


@pytest.mark.ci
def test_long_names_are_shortened_and_stay_different():
    labels = ["short", *(f"{'x' * 60}-{middle}-{'y' * 60}" for middle in "abc"), "a\nb"]
    found = plot_page.short_names(labels)
    assert found["short"] == "short" and found["a\nb"] == "a\\nb"
    assert len({*found.values()}) == len(labels)
    assert all(plot_page.width_of(name, plot_page.SMALL) <= plot_page.NAME_WIDTH for name in found.values())


def test_a_name_in_a_script_that_the_font_lacks_gives_no_warning(tmp_path):
    report = compare({"学生": "rules", "uniform": "uniform"}, learners=3, config={"num_los": 2, "max_episode_steps": 4})
    draw_comparison(tmp_path / "names.png", report.to_dict(), report.courses)
    assert (tmp_path / "names.png").stat().st_size > 0
