"""Datasets under every dynamics, with populations, sessions and curricula; and statistics by learner."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dash
import numpy as np
import outside_dynamics
import pyarrow as pa
import pyarrow.parquet
import pytest
from by_dynamics import case

from alsim.config import Config, Population
from alsim.datasets.generate import generate_dataset
from alsim.datasets.store import Dataset, DatasetError, load_dataset
from alsim.dynamics import DYNAMICS
from alsim.evaluation.dataset_summary import summary
from alsim.evaluation.estimates import estimate, unit_means
from alsim.policies import Uniform

OWN = tuple(name for name, dynamics in DYNAMICS.items() if dynamics.parameters.__module__.startswith("alsim."))
ALL = (*OWN, "dash", "fading", "fading-at-breaks")
ROWS = 1000
RUN: dict[str, Any] = {"num_learners": 24, "episodes_per_learner": 2, "seed": 5, "episodes_per_shard": 8, "truth": True}
SHARDS = 6


@pytest.fixture(autouse=True)
def registered() -> None:
    dash.register()
    outside_dynamics.register()


def configuration(folder: Path, name: str) -> Path:
    """Write a configuration whose population and curriculum are files next to it; return its path."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    columns = {
        "share": np.full(ROWS, 1 / ROWS),
        "name": [f"learner {k}" for k in range(ROWS)],
        "learner.ability_mean": random.normal(size=ROWS),
        "learner.mastery_alpha": random.uniform(1, 4, ROWS).round(1),
    }
    if "frustration_rise" in DYNAMICS[name].parameters._fields:
        columns["dynamics.frustration_rise"] = random.uniform(0.02, 0.2, ROWS)
    pyarrow.parquet.write_table(pa.table(columns), folder / "people.parquet")
    (folder / "edges.csv").write_text("parent,child\n0,1\n1,2\n0,2\n")
    (folder / "config.toml").write_text(
        f'num_los = 3\nmax_episode_steps = 12\ndynamics = "{name}"\npopulation = "people.parquet"\n'
        'curriculum = "edges.csv"\nsessions = {interactions = 5, break_hours = 24.0}\n'
    )
    return folder / "config.toml"


def files_of(directory: Any) -> dict[str, bytes]:
    """Return the bytes of every file below a directory, by relative path."""
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in Path(directory).rglob("*") if p.is_file()}


@pytest.mark.heavy
@pytest.mark.parametrize("name", [case("fatigue", compiled=False), case("dash")])
def test_bytes_do_not_depend_on_workers_and_interruptions(tmp_path: Path, name: str) -> None:
    arguments = {**RUN, "config": configuration(tmp_path / "code", name)}
    expected = files_of(generate_dataset(**arguments, out=tmp_path / "one").path)
    assert files_of(generate_dataset(**arguments, out=tmp_path / "two", num_workers=2).path) == expected

    def stop(episodes: int, rows: int) -> None:
        if episodes >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_dataset(**arguments, out=tmp_path / "three", progress=stop)
    assert 0 < len([*(tmp_path / "three" / "shards").glob("0*.json")]) < SHARDS
    assert files_of(generate_dataset(**arguments, out=tmp_path / "three").path) == expected


@pytest.mark.heavy
@pytest.mark.parametrize("name", [case(name, quick=False, compiled=False) for name in ALL])
def test_the_manifest_is_sufficient_on_another_machine(tmp_path: Path, name: str) -> None:
    """It holds the rows and the edges, and no path: the files of the configuration are not needed."""
    file = configuration(tmp_path / "code", name)
    dataset = generate_dataset(**RUN, config=file, out=tmp_path / "one")
    text = (tmp_path / "one" / "manifest.json").read_text()
    assert str(tmp_path) not in text and "people.parquet" not in text and "edges.csv" not in text
    for part in file.parent.iterdir():
        part.unlink()
    manifest = json.loads(text)
    assert len(manifest["config"]["population"]) == ROWS
    assert manifest["config"]["curriculum"] == [["0", "1"], ["1", "2"], ["0", "2"]]
    again = generate_dataset(**RUN, config=manifest["config"], out=tmp_path / "two")
    assert files_of(again.path) == files_of(dataset.path)
    names = Population(manifest["config"]["population"]).names
    episodes = load_dataset(again.path).episodes.to_pylist()
    rows = Config.read(manifest["config"]).population_rows_of(5, [e["learner_id"] for e in episodes])
    assert [(e["population_row"], e["population_name"]) for e in episodes] == [(row, names[row]) for row in rows]
    assert len(set(rows)) > 15


class Slow:
    """The uniform policy, which takes its time."""

    name = "uniform"

    def act(self, view: Any, draws: Any) -> Any:
        time.sleep(0.02)
        return Uniform().act(view, draws)


DRIVER = """
import sys
sys.path[:0] = sys.argv[3:]
import test_learners
if __name__ == "__main__":
    run = {**test_learners.RUN, "config": sys.argv[1], "out": sys.argv[2]}
    test_learners.generate_dataset(**run, policy=test_learners.Slow())
"""


@pytest.mark.heavy
@pytest.mark.interpreted
def test_a_killed_run_is_resumed(tmp_path: Path) -> None:
    file = configuration(tmp_path / "code", "fatigue")
    (tmp_path / "driver.py").write_text(DRIVER)
    here = Path(__file__).parent
    command = [sys.executable, str(tmp_path / "driver.py"), str(file), str(tmp_path / "d"), str(here), str(here.parent)]
    with subprocess.Popen(command) as driver:
        deadline = time.monotonic() + 120
        while len([*(tmp_path / "d" / "shards").glob("0*.json")]) < 2:
            assert time.monotonic() < deadline and driver.poll() is None
            time.sleep(0.01)
        driver.kill()
    with pytest.raises(DatasetError, match="holds no finished dataset"):
        load_dataset(tmp_path / "d")
    subprocess.run(command, check=True)
    expected = generate_dataset(**RUN, config=file, policy=Slow(), out=tmp_path / "plain")
    assert files_of(tmp_path / "d") == files_of(expected.path)


@pytest.mark.ci
def test_another_population_is_another_plan_in_one_short_sentence(tmp_path: Path) -> None:
    def stop(episodes: int, rows: int) -> None:
        raise KeyboardInterrupt

    config = Config.read(configuration(tmp_path / "code", "standard")).to_dict()
    with pytest.raises(KeyboardInterrupt):
        generate_dataset(**RUN, config=config, out=tmp_path / "d", progress=stop)
    config["population"] = config["population"][::-1]
    with pytest.raises(DatasetError, match=r"other settings: config\.population\[0\].* and .* more") as error:
        generate_dataset(**RUN, config=config, out=tmp_path / "d")
    assert len(str(error.value)) < 1500
    config["population"] = None
    with pytest.raises(DatasetError, match=r"config\.population was .{,80} and is now null"):
        generate_dataset(**RUN, config=config, out=tmp_path / "d")


@pytest.mark.ci
def test_frames_and_views_do_not_need_the_dynamics(tmp_path: Path, monkeypatch: Any) -> None:
    run = {**RUN, "config": configuration(tmp_path / "code", "dash")}
    dataset = generate_dataset(**run, out=tmp_path / "d")
    frame, clock = dataset.to_pandas("episodes"), [view.hours.tolist() for _, view in dataset.views()]
    assert max(map(max, clock)) > 48
    monkeypatch.delitem(DYNAMICS, "dash")
    loaded = load_dataset(dataset.path)
    assert loaded.to_pandas("episodes").equals(frame)
    assert [view.hours.tolist() for _, view in loaded.views()] == clock
    assert summary(loaded)["provenance"]["dynamics_known"] is False


# ── statistics by learner (clause S12.2) ─────────────────────────────────────────────────────────

TWO = [
    {"share": 0.4, "name": "slow", "dynamics": {"learning_rate": 0.01}},
    {"share": 0.6, "learner": {"ability_mean": 1}},
]


def two_rows(population: Any = TWO, **others: Any) -> Dataset:
    config = {"num_los": 3, "max_episode_steps": 12, "population": population, **others}
    return generate_dataset(15, 4, seed=3, config=config)


@pytest.mark.ci
def test_under_a_population_the_unit_of_statistics_is_the_learner() -> None:
    dataset = two_rows()
    numbers, frame = summary(dataset), dataset.to_pandas("episodes")
    assert numbers["independent_unit"] == "learner" and numbers["episodes"] == 60
    for name in ("final_mastery", "cumulative_reward", "post_content_gain_video"):
        means = frame.groupby("learner_id")[name].mean().dropna()
        found = numbers["metrics"][name]
        assert found["n"] == len(means) and found["undefined"] == frame[name].isna().sum()
        assert found["mean"] == pytest.approx(means.mean())
        assert found["se"] == pytest.approx(means.std() / len(means) ** 0.5)
    assert numbers["metrics"]["time_to_mastery"]["mean"] is None


@pytest.mark.parametrize("population", [None, [{"share": 1.0, "learner": {"ability_mean": 1}}]])
def test_without_several_rows_it_is_the_episode(population: Any) -> None:
    numbers = summary(two_rows(population))
    assert numbers["independent_unit"] == "episode" and numbers["population"] == []
    assert numbers["metrics"]["final_mastery"]["n"] == 60


@pytest.mark.ci
def test_results_by_row_of_the_population() -> None:
    dataset = two_rows()
    results, frame = summary(dataset)["population"], dataset.to_pandas("episodes")
    assert [(r["row"], r["name"], r["share"]) for r in results] == [(0, "slow", 0.4), (1, "1", 0.6)]
    assert sum(r["learners"] for r in results) == 15 and sum(r["episodes"] for r in results) == 60
    for result in results:
        own = frame[frame["population_name"] == result["name"]]
        assert result["learners"] == own["learner_id"].nunique() and result["episodes"] == len(own)
        means = own.groupby("learner_id")["final_mastery"].mean()
        assert result["metrics"]["final_mastery"]["mean"] == pytest.approx(means.mean())
        assert result["metrics"]["final_mastery"]["n"] == len(means)
    json.dumps(summary(dataset), allow_nan=False)


@pytest.mark.ci
def test_a_row_that_does_not_exist_is_an_error() -> None:
    dataset = two_rows()
    dataset.manifest["config"]["population"] = [{"share": 0.5}, {"share": 0.5}]
    place = dataset.episodes.column_names.index("population_row")
    vars(dataset)["episodes"] = dataset.episodes.set_column(
        place, dataset.episodes.field(place), pa.array([2] * 60, pa.int32())
    )
    with pytest.raises(DatasetError, match=r"population_row is in \[2, 2\]; expected \[0, 1\]; generate the data"):
        summary(dataset)


def test_means_of_units() -> None:
    values, units = np.array([1.0, 2.0, 4.0, 8.0]), np.array([7, 3, 7, 3])
    assert unit_means(values, units).tolist() == [5.0, 2.5]
    assert unit_means(values[:0], units[:0]).tolist() == []
    assert unit_means(np.full(9, 0.1), np.arange(9) // 3).tolist() == [0.1] * 3
    assert estimate(values, units) == estimate(np.array([5.0, 2.5]))
    assert estimate(values[:2], units[:2] * 0).to_dict() == {"mean": 1.5, "se": None, "ci": None, "n": 1}
    assert estimate(values[:0]).to_dict() == {"mean": None, "se": None, "ci": None, "n": 0}


def test_standard_errors_by_learner_are_right_where_those_by_episode_are_not() -> None:
    """400 data sets of 40 learners with 10 values each. z by learner has variance 1: chi-squared, false alarm 1e-6."""
    random = np.random.default_rng(1)
    learner = np.repeat(np.arange(40), 10)
    by_learner, by_episode = [], []
    for _ in range(400):
        values = random.normal(size=40)[learner] + random.normal(size=400)
        for zs, units in ((by_learner, learner), (by_episode, None)):
            found = estimate(values, units)
            zs.append(found.mean / found.se)
    from scipy import stats

    df, variance_of_t = 399, 39 / 37
    low, high = (stats.chi2.ppf(p, df) / df for p in (5e-7, 1 - 5e-7))
    assert low < np.var(by_learner, ddof=1) / variance_of_t < high
    assert np.var(by_episode, ddof=1) > 3
