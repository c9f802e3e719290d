"""The layout of Hugging Face's hub: sharded Parquet, and a dataset card that says what it is."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from alsim.bank.files import save_bank
from alsim.bank.items import sample_bank
from alsim.config import Config
from alsim.datasets.export.exporter import Exporter, ExportError, Options, config_sha256
from alsim.datasets.manifest import BANK
from alsim.datasets.schema import COLUMNS, OBSERVATION, TABLES, Column
from alsim.datasets.store import ROW_GROUP, Dataset
from alsim.datasets.tables import observation_column
from alsim.types import Floats

FOLDERS = {"transitions": "data", "events": "events", "episodes": "episodes"}
"""Where each table's files are; the hub's name for the first is a convention."""
NEXT = Column("next_obs", OBSERVATION, "", "observation after the interaction (S8)")
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")

CARD = """---
{front}
---

# {name}

**This dataset is synthetic. No person is in it.** It was made by alsim, a simulator of learners: people who
answer questions, study content, get frustrated and improve, by rules that are written down. Most of the rules
are assumptions without empirical support; no conclusion about people follows from them alone.

## What is in it

{rows:,} interactions of {learners:,} simulated learners, {episodes:,} episodes each.

{facts}

`load_dataset(path, "transitions")`, `"episodes"` and `"events"` are its tables; `bank/` holds the questions and
contents that the column `item` counts. (S…) are clauses of alsim's specification.

{columns}
## How to make it again

```{language}
{made_by}
```

The same arguments give the same tables on any machine. `alsim-export.json` has the whole configuration.

## What it is for

Developing and comparing methods of offline reinforcement learning, off-policy evaluation and knowledge tracing
against a known truth. `propensity` is exact. `ability_start` and `ability_final` are the truth, which no policy
may see: to train on them is to cheat. The independent unit is the episode, not the interaction.

Not for statements about how people learn, nor for decisions about any person.
"""


def write(dataset: Dataset, out: Path, options: Options) -> None:
    """Write the three tables, a file a part, the bank, and the card."""
    license = options.license or "unknown"
    if not LICENSE.fullmatch(license):
        raise ExportError(f"license is an identifier of the hub, such as cc-by-4.0, or unknown; got {license!r}")
    of = max(1, len(dataset.manifest["tables"]["transitions"]["shards"]))
    for folder in FOLDERS.values():
        (out / folder).mkdir()
    for number, part in enumerate(dataset.parts()):
        for table, folder in FOLDERS.items():
            file = out / folder / f"train-{number:05d}-of-{of:05d}.parquet"
            content = hub_table(part, table, bool(options.next_observations))
            pyarrow.parquet.write_table(content, file, compression="zstd", row_group_size=ROW_GROUP)
    save_bank(dataset.bank, out / BANK)
    text = card(dataset, license, bool(options.next_observations))
    (out / "README.md").write_text(text, encoding="utf-8")


def hub_table(part: Dataset, table: str, next_observations: bool) -> pa.Table:
    """Return a table of a part as the hub shows it: words where we keep a dictionary, perhaps next observations."""
    held = {"transitions": part.transitions, "events": part.events, "episodes": part.episodes}[table]
    observed: dict[str, Callable[[], Floats]] = {
        "obs": lambda: part.obs,
        "final_obs": lambda: part.final_obs,
        "next_obs": lambda: part.next_obs,
    }
    arrays: list[Any] = []
    fields = []
    for column in columns_of(table, next_observations):
        if column.name in observed:
            array = observation_column(observed[column.name]())
        else:
            array = held.column(column.name)
            if pa.types.is_dictionary(array.type):
                array = array.cast(pa.string())
        arrays.append(array)
        fields.append(pa.field(column.name, array.type, nullable=column.nullable))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def columns_of(table: str, next_observations: bool) -> tuple[Column, ...]:
    """Return the columns of a table on the hub."""
    extra = (NEXT,) if table == "transitions" and next_observations else ()
    return (*COLUMNS[table], *extra)


def card(dataset: Dataset, license: str, next_observations: bool) -> str:
    """Return the dataset card, README.md: what the hub reads between the dashes, and what people read below."""
    manifest, name = dataset.manifest, f"Simulated learners taught by {plain(dataset.manifest['policy']['name'])}"
    tables = [line for table in TABLES for line in _column_table(table, columns_of(table, next_observations))]
    return CARD.format(
        front="\n".join(_front_matter(name, license, len(dataset))),
        name=name,
        rows=len(dataset),
        learners=manifest["num_learners"],
        episodes=manifest["episodes_per_learner"],
        facts="\n".join(_facts(manifest)),
        columns="\n".join(tables),
        language="bash" if is_plain(dataset) else "python",
        made_by="\n".join(_made_by(dataset)),
    )


def _front_matter(name: str, license: str, rows: int) -> Iterator[str]:
    yield f"pretty_name: {json.dumps(name)}"
    yield f"license: {license}"
    yield from ("task_categories:", "- reinforcement-learning")
    yield from ("tags:", "- reinforcement-learning", "- education", "- synthetic", "- offline-rl")
    yield from ("size_categories:", f"- {size_category(rows)}")
    yield "configs:"
    for table, folder in FOLDERS.items():
        yield f"- config_name: {table}"
        if table == "transitions":
            yield "  default: true"
        yield from ("  data_files:", "  - split: train", f"    path: {folder}/train-*.parquet")


def size_category(rows: int) -> str:
    """Return the hub's word for a number of rows."""
    return SIZES[min(max(len(str(rows)) - 3, 0), len(SIZES) - 1)]


def _facts(manifest: dict[str, Any]) -> list[str]:
    facts = {
        "environment": manifest["environment"],
        "behaviour policy": manifest["policy"]["name"],
        "seed": manifest["seed"],
        "observation": manifest["observation"],
        "alsim": manifest["alsim_version"],
        "SHA-256 of the configuration": config_sha256(manifest),
    }
    return ["| | |", "|---|---|", *(f"| {name} | `{plain(str(value))}` |" for name, value in facts.items())]


def plain(word: str) -> str:
    """Return a word without what would end a cell, a line or a code span of Markdown."""
    return re.sub(r"[^\w./:+ -]", "?", word)


def _column_table(table: str, columns: tuple[Column, ...]) -> Iterator[str]:
    yield from (f"### {table}", "", "| column | unit | meaning |", "|---|---|---|")
    yield from (f"| `{column.name}` | {column.unit} | {column.meaning} |" for column in columns)
    yield ""


def is_plain(dataset: Dataset) -> bool:
    """Whether configuration and bank are the defaults, so that one command makes the dataset again."""
    return bool(dataset.manifest["config"] == Config().to_dict()) and dataset.bank == sample_bank(Config())


def _made_by(dataset: Dataset) -> list[str]:
    """Return the command that generates the dataset, or lines of Python where it takes a configuration."""
    manifest = dataset.manifest
    learners, episodes = manifest["num_learners"], manifest["episodes_per_learner"]
    policy, seed, observation = manifest["policy"]["name"], manifest["seed"], manifest["observation"]
    if is_plain(dataset):
        return [
            f"alsim generate --learners {learners} --episodes {episodes} --policy {shlex.quote(plain(policy))} "
            f"--seed {seed} --observation {observation} --out dataset"
        ]
    return [
        "import alsim, json, pathlib",
        'config = json.loads(pathlib.Path("alsim-export.json").read_text())["dataset"]["config"]',
        f'alsim.generate_dataset({learners}, {episodes}, {plain(policy)!r}, {seed}, config=config, bank="bank",',
        f'                       observation={observation!r}, out="dataset")',
    ]


def load(out: Path) -> str:
    """Lines that load it."""
    return f"""from datasets import load_dataset
transitions = load_dataset({str(out)!r}, split="train")  # and load_dataset(…, "episodes"), "events"
print(transitions.with_format("numpy")[:3]["obs"].shape)"""


EXPORTER = Exporter(
    name="huggingface",
    title="sharded Parquet and a dataset card, as on Hugging Face's hub",
    write=write,
    load=load,
    options=("license", "next_observations"),
    aliases=("hf", "hugging-face"),
)
