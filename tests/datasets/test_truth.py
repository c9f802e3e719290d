"""Columns of the truth in datasets (clause S15.1), under every dynamics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import dash
import numpy as np
import outside_dynamics
import pyarrow as pa
import pyarrow.parquet
import pytest
from by_dynamics import case

import alsim
from alsim.config import Config
from alsim.datasets.export import export_dataset
from alsim.datasets.generate import generate_dataset
from alsim.datasets.schema import TABLES, TRUTH, columns_of, truth_columns
from alsim.datasets.store import Dataset, DatasetError, load_dataset
from alsim.dynamics import DYNAMICS, standard
from alsim.errors import AlsimError, InputTypeError
from alsim.jit.compile import COMPILED
from alsim.policies import Uniform

OWN = tuple(name for name, dynamics in DYNAMICS.items() if dynamics.parameters.__module__.startswith("alsim."))
ALL = (*OWN, "dash", "fading", "fading-at-breaks")
EDGES = [[0, 1], [1, 2], [0, 2], [2, 3], [4, 3]]
BREAKS = {"interactions": 7, "break_hours": 24.0}
ROWS = [
    {"share": 0.5, "name": "first"},
    {"share": 0.3, "learner": {"ability_mean": 1.0, "mastery_alpha": 4.0}},
    {"share": 0.2, "learner": {"ability_std": 0.5, "mastery_beta": 1.0}},
]
SMALL = {"num_los": 5, "max_episode_steps": 25, "curriculum": EDGES, "sessions": BREAKS, "population": ROWS}
FALSE_ALARM = 1e-6
"""Probability with which a correct rule fails, for each dynamics; the seed is fixed."""

everyone = pytest.mark.parametrize(
    "name", [case(name, quick=False, compiled=name in ("dash", "fading-at-breaks")) for name in ALL]
)


@pytest.fixture(autouse=True)
def registered() -> None:
    dash.register()
    outside_dynamics.register()


def rules(name: str, **others: Any) -> Config:
    return Config.read({**SMALL, "dynamics": name, **others})


def dataset(name: str = "fading", learners: int = 12, episodes: int = 1, **arguments: Any) -> Dataset:
    arguments = {"config": rules(name), "seed": 4, "truth": True, **arguments}
    return generate_dataset(learners, episodes, **arguments)


def column(data: Dataset, name: str) -> Any:
    return data.transitions.column(name).to_numpy()


def states_of(data: Dataset) -> list[str]:
    """Return the names of the columns of the truth."""
    return data.transitions.column_names[len(columns_of("transitions", True)) :]


@pytest.mark.heavy
@pytest.mark.ci
@everyone
@pytest.mark.parametrize("observation", ["mastery", "responses"])
def test_the_truth_is_that_of_the_environment_before_each_interaction(name: str, observation: str) -> None:
    """Equal bit for bit, step by step; the ability after the last interaction is `ability_final`."""
    learners = 12
    data = dataset(name, learners, observation=observation)
    env = alsim.AdaptiveLearningVectorEnv(learners, config=rules(name), autoreset_mode="NextStep")
    env.reset(seed=4)
    questions, names = np.arange(env.bank.num_questions), states_of(data)
    stored = {key: column(data, key) for key in [*names, "learner_id", "step", "action", "item"]}
    assert names == [c.name for c in truth_columns(DYNAMICS[name])]
    ability = np.empty(learners, np.float32)
    for step in range(1, stored["step"].max() + 1):
        (rows,) = np.nonzero(stored["step"] == step)
        lane, item, action = (stored[key][rows] for key in ("learner_id", "item", "action"))
        truth = env.truth(questions)
        lo, asked = np.where(action < 15, action // 3, (action - 15) // 6), item < len(questions)
        for key in names:
            found = truth[key.replace("state_", "state.", 1)]
            expected = (
                found[lane, np.where(asked, item, 0) if key == "chance" else lo] if found.ndim > 1 else found[lane]
            )
            if key == "chance":
                expected[~asked] = np.nan
            assert np.array_equal(expected, stored[key][rows], equal_nan=True), key
            assert expected.dtype == stored[key].dtype, key
        actions = np.zeros(learners, np.int64)
        actions[lane] = action
        env.step(actions)
        ability[lane] = env.truth()["ability"][lane]
    assert np.array_equal(ability, data.episodes.column("ability_final").to_numpy())


@pytest.mark.heavy
@pytest.mark.ci
@everyone
def test_the_ability_of_a_row_is_that_after_the_row_before(name: str) -> None:
    data = dataset(name, 10, 2)
    step, ability = column(data, "step"), column(data, "ability")
    first = data.episodes.column("ability_start").to_numpy()
    assert np.array_equal(ability[step == 1], first)
    correct, gain = data.transitions.column("correct").fill_null(False).to_numpy(), column(data, "mastery_gain")
    follows = np.flatnonzero(step[1:] > 1)
    risen = np.float32(0.02) * correct[follows] if "ability_gain" in DYNAMICS[name].parameters._fields else 0
    assert np.allclose(ability[follows + 1], ability[follows] + risen, rtol=0, atol=1e-6)
    assert (column(data, "mastery") + gain <= 1 + 1e-6).all()


@pytest.mark.heavy
@pytest.mark.ci
@everyone
def test_answers_are_as_frequent_as_their_chances(name: str) -> None:
    """By Freedman's inequality for martingales, a correct rule fails with a probability below FALSE_ALARM."""
    data = dataset(name, 1500 if COMPILED else 60, policy="uniform", seed=9)
    chance, correct = column(data, "chance"), data.transitions.column("correct")
    asked = ~np.isnan(chance)
    assert np.array_equal(asked, correct.is_valid().to_numpy())
    p, right = chance[asked].astype(float), correct.drop_null().to_numpy().sum()
    assert p.min() >= 0 and p.max() <= 1 and 0.05 < p.mean() < 0.95
    rare, variance = np.log(2 / FALSE_ALARM), (p * (1 - p)).sum()
    assert abs(right - p.sum()) < np.sqrt(2 * variance * rare) + rare / 3


@pytest.mark.ci
@pytest.mark.parametrize("name", ["standard", pytest.param("fatigue", marks=pytest.mark.ci)])
def test_a_policy_in_python_has_the_same_truth(name: str) -> None:
    class Python:
        name = "uniform"

        def act(self, view: Any, draws: Any) -> Any:
            return Uniform().act(view, draws)

    assert dataset(name, policy=Python()).transitions == dataset(name, policy="uniform").transitions


# ── files ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.ci
@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_files_hold_the_truth_and_are_otherwise_the_same_bytes(tmp_path: Path, file_format: str) -> None:
    arguments = {"episodes": 2, "episodes_per_shard": 5, "file_format": file_format}
    data, without = (
        dataset(**arguments, out=tmp_path / str(truth), truth=truth)  # type: ignore[arg-type]
        for truth in (True, False)
    )
    assert data.manifest["truth"] is True and "truth" not in without.manifest
    names = states_of(data)
    assert names[:3] == [c.name for c in TRUTH] and "lo_state_recall" in names and "learner_state_interactions" in names
    assert data.transitions.select(without.transitions.column_names) == without.transitions
    for table in ("events", "episodes"):
        assert data.manifest["tables"][table] == without.manifest["tables"][table]
    in_memory = dataset(**arguments)  # type: ignore[arg-type]
    for table in TABLES:
        assert getattr(load_dataset(tmp_path / "True", verify=True), table) == getattr(in_memory, table)
    field = data.transitions.schema.field("ability")
    assert field.metadata[b"unit"] == b"logits" and not field.nullable
    assert data.transitions.schema.field("chance").nullable


@pytest.mark.ci
def test_the_page_on_datasets_has_the_columns() -> None:
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    section = page.split("### Truth\n")[1].split("\n## ")[0]
    kinds = {"float": "float32", "int32": "int32"}
    for c in TRUTH:
        assert f"| `{c.name}` | {kinds[str(c.type)]} | {c.unit} | {c.meaning} |".replace("|  |", "| |") in section


@pytest.mark.ci
def test_units_of_own_states_are_stored() -> None:
    schema = dataset("fatigue").transitions.schema
    units = {name: (schema.field(name).metadata or {}).get(b"unit") for name in schema.names if "_state_" in name}
    assert units == {"learner_state_effort": None, "learner_state_ended": b"h"}


@pytest.mark.ci
def test_bytes_do_not_depend_on_workers_threads_and_shards(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"name": "fatigue", "learners": 20, "episodes_per_shard": 6}
    one = dataset(**arguments, out=tmp_path / "one").path
    for number, more in enumerate(({"num_workers": 2}, {"num_threads": 3})):
        other = dataset(**arguments, out=tmp_path / str(number), **more).path
        assert {p.relative_to(one): p.read_bytes() for p in one.rglob("*") if p.is_file()} == {
            p.relative_to(other): p.read_bytes() for p in other.rglob("*") if p.is_file()
        }
    whole = dataset("fatigue", 20)
    assert whole.transitions == load_dataset(one).transitions


@pytest.mark.ci
def test_frames_have_the_truth() -> None:
    data = dataset()
    names = states_of(data)
    pandas, polars = data.to_pandas(), data.to_polars()
    assert list(pandas.columns)[-len(names) :] == names == polars.columns[-len(names) :]
    assert list(pandas.columns)[: -len(names)] == list(dataset(truth=False).to_pandas().columns)
    is_content = (pandas["kind"] == "content").to_numpy()
    assert np.array_equal(pandas["chance"].isna(), is_content)
    assert np.array_equal(polars["chance"].is_null().to_numpy(), is_content)
    assert str(pandas["lo_state_right"].dtype) == "int32" and str(pandas["ability"].dtype) == "float32"
    assert polars["ability"].to_numpy().tolist() == column(data, "ability").tolist()


@pytest.mark.ci
def test_arrays_and_recomputed_observations_do_not_change(tmp_path: Path) -> None:
    stored = dataset(out=tmp_path / "d", store_observations=False, episodes_per_shard=5)
    with_observations = dataset(truth=False)
    for name, values in with_observations.arrays.items():
        assert np.array_equal(stored.arrays[name], values), name
    assert [len(part.transitions.schema) for part in stored.parts()] == [len(stored.transitions.schema)] * 3


@pytest.mark.ci
def test_an_export_to_the_hub_has_the_truth_and_its_code_generates_it(tmp_path: Path, monkeypatch: Any) -> None:
    data = dataset("fatigue")
    out = export_dataset(data, "huggingface", tmp_path / "hub")
    read = pyarrow.parquet.read_table(out / "data")
    assert read.column_names == data.transitions.column_names
    card = (out / "README.md").read_text(encoding="utf-8")
    for c in truth_columns(DYNAMICS["fatigue"]):
        assert f"| `{c.name}` | {c.unit} | {c.meaning} |" in card
    assert "`ability_final`, `ability`, `mastery`, `chance`, `learner_state_effort` and" in card
    assert "The independent unit is the learner, not the interaction." in card
    monkeypatch.chdir(out)
    exec(card.split("```python\n")[1].split("```")[0], {})
    assert load_dataset(out / "dataset").transitions == data.transitions


@pytest.mark.ci
def test_exports_for_offline_learning_do_not_have_the_truth(tmp_path: Path) -> None:
    for truth in (True, False):
        export_dataset(dataset("standard", truth=truth), "npz", tmp_path / f"{truth}.npz")
    with np.load(tmp_path / "True.npz") as ours, np.load(tmp_path / "False.npz") as theirs:
        assert ours.files == theirs.files and "ability" not in ours.files


@pytest.mark.ci
def test_a_dataset_is_read_where_its_dynamics_is_not_registered(tmp_path: Path, monkeypatch: Any) -> None:
    data = dataset("dash", out=tmp_path / "d")
    expected = data.transitions
    monkeypatch.delitem(DYNAMICS, "dash")
    assert load_dataset(data.path, verify=True).transitions == expected
    assert "lo_state_tried_1" in states_of(load_dataset(data.path))


# ── bad input ────────────────────────────────────────────────────────────────────────────────────


class Silent(NamedTuple):
    """A dynamics without a chance."""

    rate: float = 0.5


@pytest.mark.ci
def test_a_dynamics_without_a_chance_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    alsim.register_dynamics("silent", Silent, silent_answer, silent_study)
    with pytest.raises(AlsimError, match=r"the dynamics 'silent' declares no chance .*; pass chance=\.\.\. to alsim"):
        dataset("silent", out=tmp_path / "d")
    assert not (tmp_path / "d").exists()
    if not COMPILED:  # the interpreter runs the same code without compiling these rules
        dataset("silent", truth=False)


@alsim.rule
def silent_answer(p: Any, learner: Any, item: Any, draws: Any) -> Any:
    return standard.answer(standard.Standard(*map(np.float32, standard.Standard())), learner, item, draws)


@alsim.rule
def silent_study(p: Any, learner: Any, item: Any, draws: Any) -> Any:
    return standard.study(standard.Standard(*map(np.float32, standard.Standard())), learner, item, draws)


@pytest.mark.ci
@pytest.mark.parametrize("truth", ["yes", 1, None])
def test_truth_is_true_or_false(truth: Any) -> None:
    with pytest.raises(InputTypeError, match=f"truth must be True or False; got {truth!r}"):
        dataset(truth=truth)


@pytest.mark.ci
def test_an_unfinished_dataset_without_the_truth_is_another_one(tmp_path: Path) -> None:
    def stop(episodes: int, rows: int) -> None:
        raise KeyboardInterrupt

    arguments: dict[str, Any] = {"out": tmp_path / "d", "episodes_per_shard": 4}
    with pytest.raises(KeyboardInterrupt):
        dataset(**arguments, truth=False, progress=stop)
    with pytest.raises(DatasetError, match="unfinished dataset with other settings: truth was null and is now true"):
        dataset(**arguments)
    dataset(**arguments, truth=False)


def replaced(directory: Path, change: Any) -> Dataset:
    """Return a dataset whose transitions were changed, with the manifest of the new file."""
    (file,) = (directory / "transitions").glob("*.parquet")
    pyarrow.parquet.write_table(change(pyarrow.parquet.read_table(file)), file)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["tables"]["transitions"]["shards"][0]["bytes"] = file.stat().st_size
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return load_dataset(directory)


DAMAGED = {
    "a column is missing": (lambda t: t.drop_columns(["chance"]), "has columns obs, .*; expected those of transitions"),
    "another column": (lambda t: t.append_column("more", t.column("mastery")), "has columns obs, .*more; expected"),
    "an odd name": (
        lambda t: t.append_column("lo_state_a | b", t.column("mastery")),
        r"has columns obs, .*a \| b; expected those of",
    ),
    "another type": (
        lambda t: t.set_column(t.schema.get_field_index("ability"), "ability", t.column("step")),
        "has ability of type int32; expected float",
    ),
    "a null": (
        lambda t: t.set_column(t.schema.get_field_index("ability"), "ability", pa.array([None] * len(t), pa.float32())),
        r"has \d+ nulls in ability; expected none",
    ),
    "a null in an own state": (
        lambda t: t.set_column(
            t.schema.get_field_index("lo_state_right"), "lo_state_right", pa.array([None] * len(t), pa.int32())
        ),
        r"has \d+ nulls in lo_state_right; expected none",
    ),
}


@pytest.mark.ci
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_column_is_an_error(tmp_path: Path, damage: str) -> None:
    change, message = DAMAGED[damage]
    changed = replaced(dataset(out=tmp_path / "d").path, change)
    with pytest.raises(DatasetError, match=message):
        _ = changed.transitions


@pytest.mark.ci
def test_a_manifest_with_the_wrong_key_truth_is_an_error(tmp_path: Path) -> None:
    out = dataset(out=tmp_path / "d").path
    manifest = json.loads((out / "manifest.json").read_text())
    for value, message in ((False, "has columns obs, .*; expected those of transitions"), ("yes", "truth = 'yes'")):
        (out / "manifest.json").write_text(json.dumps({**manifest, "truth": value}))
        with pytest.raises(DatasetError, match=message):
            _ = load_dataset(out).transitions
