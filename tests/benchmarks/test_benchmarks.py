"""Helpers of the benchmarks: alternating rounds, comparison with targets, number formats and tables."""

import itertools
import json

import numpy as np
import pytest

import alsim
from alsim.jit.compile import COMPILED
from alsim.jit.structs import leaves
from benchmarks import floors, measure, phases, report, steps, table
from benchmarks.contenders import cells
from benchmarks.specification import items


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [
        (0, 3, "0"),
        (0.3456, 3, "0.346"),
        (0.4, 3, "0.400"),
        (5.0, 3, "5.00"),
        (54.26, 3, "54.3"),
        (999.6, 3, "1,000"),
        (20_312, 3, "20,300"),
        (10**8, 3, "100,000,000"),
        (-7.46, 2, "-7.5"),
    ],
)
def test_numbers_are_rounded_to_significant_digits(value, digits, written):
    assert report.number(value, digits) == written


@pytest.mark.parametrize(
    ("value", "target", "met"),
    [
        (0.9, "≥ 0.9", "yes"),
        (0.89, "≥ 0.9", "**no**"),
        (6, "≤ 6", "yes"),
        (6.1, "≤ 6", "**no**"),
        (15, "< 15", "**no**"),
    ],
)
def test_a_figure_is_compared_with_its_target(value, target, met):
    row = report.judged("a step", value, target, "µs", limit="memory")
    assert (row.met, row.target, row.limit) == (met, f"{target} µs", "memory")


def test_both_forms_of_a_table_have_one_line_per_row():
    rows = [report.judged("a step", 1.5, "≥ 1.2", "×", spread="1.4–1.6"), report.missing("another", "one core", "≥ 2")]
    assert report.markdown(report.HEADER, rows, left=(0, 4)).splitlines() == [
        "| measurement | result | target | met? | limiting factor |",
        "| --- | --: | --: | --: | --- |",
        "| a step | 1.50× (1.4–1.6) | ≥ 1.2× | yes |  |",
        "| another | – | ≥ 2 |  | one core |",
    ]
    lines = report.columns(report.HEADER, rows).splitlines()
    assert len(lines) == 4
    assert lines[2].index("yes") == lines[0].index("met?")


def test_rounds_alternate():
    order = []
    times = measure.alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3, budget=0.0, warm=1)
    assert [name for name, _ in itertools.groupby(order)][-6:] == ["a", "b"] * 3
    assert {name: len(t) for name, t in times.items()} == {"a": 3, "b": 3}


def test_speeds_are_compared_round_by_round():
    times = {"slow": [4.0, 9.0, 2.0], "fast": [1.0, 3.0, 1.0]}
    assert measure.ratios(times, "fast", "slow") == [2.0, 3.0, 4.0]
    assert measure.ratios(times, "slow", "fast") == [1 / 4, 1 / 3, 1 / 2]


def test_batches_are_repeated_in_order():
    seen = []
    call = measure.over([1, 2, 3], seen.append)
    for _ in range(5):
        call()
    assert seen == [1, 2, 3, 1, 2]


def test_the_curve_groups_speeds_by_contender():
    measured = {1: {"a": [2e-6, 1e-6, 3e-6]}, 10: {"a": [1e-6] * 3, "b": [5e-6] * 3}}
    curve = steps.curve(measured)
    assert {name: np.round(points, 6).tolist() for name, points in curve.items()} == {
        "a": [[1, 2000], [10, 100]],
        "b": [[10, 500]],
    }
    assert "| b |  | 500 |" in table.by_lanes(curve)


def test_slow_contenders_run_few_lanes_and_threads_run_many(monkeypatch):
    monkeypatch.setattr(steps, "cores", lambda: 2)
    assert steps.takes_part("AsyncVectorEnv", 16) and not steps.takes_part("AsyncVectorEnv", 4096)
    assert steps.takes_part(steps.TWO, 4096) and not steps.takes_part(steps.TWO, 256)
    monkeypatch.setattr(steps, "cores", lambda: 1)
    assert not steps.takes_part(steps.TWO, 4096)


def test_the_time_of_a_phase_is_divided_by_its_repetitions():
    done = []
    found = phases.nanoseconds({"draw": done.append}, lanes=1000, repetitions=7, rounds=3)
    assert set(done) == {7}
    assert 0 < found["draw"] < 1e6
    written = phases.table({"draw": 6.0, "copy": 3.0, phases.STEP: 8.0})
    assert "| draw | 6.00 | 75% |" in written
    assert "| sum, each in a separate loop | 9.00 | 112% |\n| step | 8.00 |  |" in written


@pytest.mark.ci
@pytest.mark.versionless
def test_a_repeated_phase_keeps_learners_in_range():
    """States stay within bounds and contain no subnormal numbers, which processors compute slowly."""
    lanes = phases.Lanes(130)
    assert 0 < lanes.world.learners.finished.sum() + lanes.begun < 130
    ability = lanes.world.learners.ability.copy()
    advance = lanes.phase(phases.over_blocks(phases.advance))
    advance(3)
    after = lanes.world.learners.ability.copy()
    advance(300)
    population = lanes.world.learners
    for column in (population.ability, population.frustration, population.response_time):
        assert np.isfinite(column).all()
        assert (np.abs(column[column != 0]) > np.finfo(np.float32).tiny).all()
    assert population.frustration.min() >= 0 and population.frustration.max() <= 1
    assert np.abs(population.ability).max() < 20
    advance(3)
    assert (population.ability == after).all() and (after != ability).any()


@pytest.mark.skipif(COMPILED, reason="compiling every phase alone takes longer than all other tests of this file")
def test_the_phases_in_order_equal_a_step(monkeypatch):
    monkeypatch.setattr(phases, "STEPS_BEFORE", 4)
    one, other = phases.Lanes(9), phases.Lanes(9)
    one.step(1)
    for phase in phases.BY_BLOCK.values():
        phases.over_blocks(phase)(other.reference, other.actions[0], other.output, 9, 1)
    for (name, column), (_, same) in zip(leaves(one.world.learners), leaves(other.world.learners), strict=True):
        assert column.tobytes() == same.tobytes(), name
    for name, column in one.output._asdict().items():
        assert column.tobytes() == getattr(other.output, name).tobytes(), name


def test_tables_are_inserted_between_the_marks():
    begin, end = "<!-- measured: begin -->", "<!-- measured: end -->"
    text = f"before\n{begin}\nold\n{end}\nafter"
    assert report.between_marks(text, r"new \1") == f"before\n{begin}\n\nnew \\1\n\n{end}\nafter"
    with pytest.raises(ValueError, match="once each"):
        report.between_marks(text + end, "new")
    with pytest.raises(ValueError, match="<!-- other: begin -->"):
        report.between_marks(text, "new", "other")
    report.between_marks(table.README.read_text(encoding="utf-8"), "")


def test_saved_figures_can_be_read(tmp_path):
    rows = [report.plain("a step", 2.0, "µs")]
    found = table.Results(rows, {"a": [(1, 2000.04)]}, {"draw": 3.00001}, {})
    table.keep(tmp_path / "measured.json", found, {"cores": "2"})
    kept = json.loads((tmp_path / "measured.json").read_text(encoding="utf-8"))
    assert kept == {
        "machine": {"cores": "2"},
        "curve": {"a": {"1": 2000.0}},
        "phases": {"draw": 3.0},
        "rows": {"a step": "2.00 µs"},
    }


def test_only_measured_tables_are_printed():
    whole = table.Results([], {"a": [(1, 2000.0)]}, {"draw": 6.0, phases.STEP: 8.0}, {})
    assert [part.count("\n") for part in table.more(whole)] == [2, 4]
    assert table.more(table.Results([], {}, {}, {})) == []


def test_the_description_of_the_machine_has_no_host_name():
    found = measure.machine()
    needed = {"date", "cores", "processor", "memory", "system", "python", "numpy", "numba", "gymnasium", "pyarrow"}
    assert needed <= set(found) <= needed | {"jax"}
    assert all(found[name] in table.described(found) for name in needed)


def test_the_page_states_the_bytes_of_a_step():
    stated = f"{floors.BYTES:.0f} bytes per lane"
    assert stated in " ".join(table.README.read_text(encoding="utf-8").split())


def test_the_cells_have_the_items_of_the_bank():
    """Each item equals the row that the class of the specification reads."""
    columns, (questions, contents) = cells(alsim.sample_bank(alsim.Config())), items()
    assert columns["size"].sum() == len(questions) + len(contents) == len(columns["place"])
    assert (columns["first"][1:] == np.cumsum(columns["size"])[:-1]).all()
    hard = [q for q in questions if q["learning_outcome"] == 4 and q["difficulty"] == "Hard"]
    action = 4 * 3 + 2
    cell = slice(columns["first"][action], columns["first"][action] + columns["size"][action])
    assert columns["hard"][action] and columns["asks"][action] and columns["outcome"][action] == 4
    assert columns["steepness"][cell].tolist() == [q["irt_a"] for q in hard]
    assert columns["guessing"][cell].tolist() == [q["irt_c"] for q in hard]
    blog = next(c for c in contents if c["learning_outcome"] == 7 and c["modality"] == "blog")
    item = columns["first"][90 + 7 * 6 + 3]
    assert not columns["asks"][90 + 7 * 6 + 3] and columns["outcome"][90 + 7 * 6 + 3] == 7
    assert columns["steepness"][item] == np.float32(blog["effectiveness"])
    assert columns["place"][item] == np.float32(blog["engagement_impact"])


def test_the_cost_of_a_reset_is_estimated_from_disturbed_steps():
    generator = np.random.default_rng(0)
    begun = generator.poisson(35, 8000).astype(float)
    took = 50e-6 + 0.1e-6 * begun + generator.exponential(1e-6, 8000)
    took[generator.random(8000) < 0.05] += 1e-3
    slope, error, share = steps.growth(begun, took)
    assert abs(slope - 0.1e-6) < 5 * error < 0.02e-6
    assert share == pytest.approx(3.5 / 50.7, rel=0.1)
