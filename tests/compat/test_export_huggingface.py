"""The package datasets of Hugging Face loads exports of alsim without network access."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from datasets import load_dataset  # noqa: E402
from exported import same, taught  # noqa: E402
from huggingface_hub import DatasetCard  # noqa: E402

from alsim.datasets.export import EXPORTERS, export_dataset  # noqa: E402


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return taught(tmp_path_factory.mktemp("hub") / "taught", policy="rules")


@pytest.fixture
def hub(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return export_dataset(dataset, "huggingface", "hub", next_observations=True, license="cc-by-4.0")


def test_every_table_is_loaded_bit_for_bit(dataset, hub, tmp_path):
    for table in ("transitions", "episodes", "events"):
        loaded = load_dataset(str(hub), table, split="train", cache_dir=tmp_path / "cache")
        held = getattr(dataset, table)
        assert len(loaded) == held.num_rows
        assert loaded.column_names[: held.num_columns] == held.column_names
        for name in held.column_names:
            assert loaded[name][:] == held.column(name).to_pylist(), name
    loaded = load_dataset(str(hub), split="train", cache_dir=tmp_path / "cache").with_format("numpy")
    assert same(np.asarray(loaded["obs"][:]), dataset.obs)
    assert same(np.asarray(loaded["next_obs"][:]), dataset.next_obs)


def test_streaming(dataset, hub):
    rows = iter(load_dataset(str(hub), split="train", streaming=True))
    assert [next(rows)["action"] for _ in range(5)] == dataset.action[:5].tolist()


def test_the_printed_code_loads_the_export(dataset, hub, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    exec(EXPORTERS["huggingface"].loading_code(hub), {})
    assert "(3, 5)" in capsys.readouterr().out


def test_the_hub_reads_the_card(hub):
    card = DatasetCard.load(hub / "README.md")
    assert card.data.license == "cc-by-4.0" and card.data.task_categories == ["reinforcement-learning"]
    assert card.data.pretty_name == "Simulated learners taught by rules"
    assert [config["config_name"] for config in card.data.to_dict()["configs"]] == ["transitions", "events", "episodes"]
