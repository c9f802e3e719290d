"""Cost of a step by dynamics: the contenders, and the rows of the table."""

import pytest

from alsim.config import Config
from alsim.jit.compile import COMPILED
from benchmarks import dynamics
from benchmarks.child import output_of, start


def test_contenders_are_the_dynamics_that_the_table_names():
    listed = {name: Config.read(config) for name, (config, _) in dynamics.configurations().items()}
    assert next(iter(listed)) == dynamics.STANDARD and listed[dynamics.STANDARD] == Config()
    for name, config in listed.items():
        assert type(config.dynamics).__name__.lower() == name.partition(",")[0].replace("-", "")
    rows = next(config.population for config in listed.values() if config.population is not None)
    assert len(rows) == dynamics.NUM_ROWS
    assert len({row["dynamics"]["learning_rate"] for row in dynamics.randomised(dynamics.NUM_ROWS, 20)}) > 990


def test_edges_are_a_graph_without_cycles():
    edges = dynamics.edges()
    assert len({*map(tuple, edges)}) == dynamics.NUM_EDGES
    assert all(0 <= parent < child < dynamics.NUM_LOS for parent, child in edges)


def test_costs_are_relative_to_the_standard_of_the_same_round():
    names = [*dynamics.configurations()]
    times = {name: [2.0, 3.0, 40.0] for name in names} | {dynamics.STANDARD: [1.0, 2.0, 20.0]}
    rows = [*dynamics.rows({dynamics.JUDGED: times})]
    assert len(rows) == len(names) - 1
    assert {row.measured for row in rows} == {"2.00× (1.50–2.00)"}
    assert [row.met for row in rows if row.target] == ["**no**", "**no**", "**no**", *["yes"] * 6]
    lines = dynamics.table({dynamics.JUDGED: times}).splitlines()
    assert len(lines) == 2 + len(names) and lines[2].endswith("(1.00×) |") and lines[3].endswith("(2.00×) |")


@pytest.mark.ci
@pytest.mark.skipif(not COMPILED, reason="4,096 learners in the interpreter")
def test_the_command_prints_the_time_of_one_contender():
    assert 0 < output_of(start("-m", "benchmarks.dynamics", dynamics.STANDARD)) < 600
