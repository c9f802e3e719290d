"""Statements of the pages about the code: keys, defaults, names, columns, clauses."""

import ast
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import alsim
from alsim import models
from alsim.config import Split
from alsim.config.settings import ClassSettings, SessionSettings
from alsim.models.base import HOMES
from alsim.responses.formats.registry import PUBLISHED

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def leaves(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return every key of nested tables, with its path, and its value."""
    flat = {}
    for key, value in table.items():
        flat |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def toml(value: Any) -> str:
    """Return a value in the notation of TOML."""
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def test_the_configuration_page_has_every_key_and_default() -> None:
    expected = leaves(alsim.Config().to_dict())
    assert expected.pop("questions_per_difficulty") is None
    expected |= {f"questions_per_difficulty.{key}": None for key in Split.model_fields}
    assert expected.pop("classes") is None
    assert expected.pop("sessions") is None
    expected |= {f"sessions.{key}": None for key in SessionSettings.model_fields}
    expected |= {
        f"classes.{key}": None if field.is_required() else field.default
        for key, field in ClassSettings.model_fields.items()
    }
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \|", text("configuration.md"), re.MULTILINE)
    stated = dict(rows)
    assert len(stated) == len(rows)
    assert stated == {k: "not set" if v is None else f"`{toml(v)}`" for k, v in expected.items()}


def test_every_test_that_is_named_exists() -> None:
    named = [
        name
        for page in DOCS.rglob("*.md")
        for name in re.findall(r"`(?:tests/)?([\w/]+\.py)::(\w+)`", page.read_text("utf-8"))
    ]
    assert len(named) > 20
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{name}"


def test_every_clause_that_is_cited_is_stated() -> None:
    stated = set(re.findall(r"^\*\*(S\d+\.\d+)\*\*", text("spec.md"), re.MULTILINE))
    assert len(stated) > 30
    sources = [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("alsim/**/*.py"), *ROOT.glob("tests/*.py")]
    for source in [*sources, ROOT / "alsim" / "default.toml"]:
        cited = set(re.findall(r"\bS\d+\.\d+\b", source.read_text(encoding="utf-8")))
        assert cited <= stated, f"{source.relative_to(ROOT)} cites {sorted(cited - stated)}"


def test_every_clause_has_a_test() -> None:
    """Tests of clauses S1 to S11 are named after them; a table of the page names those of the others."""
    stated = set(re.findall(r"^\*\*S(\d+\.\d+)\*\*", text("spec.md"), re.MULTILINE))
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    named = {f"{a}.{b}" for source in sources for a, b in re.findall(r"^ *def test_s(\d+)_(\d+)", source, re.MULTILINE)}
    rows = re.findall(
        r"^\| S(\d+\.\d+) \| (`[\w/]+\.py::\w+`(?:, `[\w/]+\.py::\w+`)*) \|$", text("spec.md"), re.MULTILINE
    )
    assert [clause for clause, _ in rows] == sorted(stated - named, key=lambda clause: [*map(int, clause.split("."))])
    assert len(rows) > 10


def bounds_of(parameter: dict[str, Any]) -> str:
    """Return the bounds of a parameter of a dynamics in the words of the pages."""
    if "word" in parameter:
        return f'0 to {parameter["le"]}, or `"{parameter["word"]}"`'
    if "ge" in parameter and "le" in parameter:
        return f"{parameter['ge']} to {parameter['le']}"
    return " ".join(f"{sign} {parameter[key]}" for key, sign in (("ge", "≥"), ("gt", ">")) if key in parameter)


def test_the_pages_of_the_dynamics_have_every_parameter() -> None:
    from alsim.dynamics import DYNAMICS, describe

    ours = [name for name, dynamics in DYNAMICS.items() if dynamics.parameters.__module__.startswith("alsim.")]
    assert re.findall(r"^\| \[`([\w-]+)`\]\(\1\.md\) \|", text("dynamics/index.md"), re.MULTILINE) == ours
    standard = describe(DYNAMICS["standard"])["parameters"]
    for name in ours:
        page, described = text(f"dynamics/{name}.md"), describe(DYNAMICS[name])
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?) ?\| (.*?) ?\| ", page.split("## Parameters")[1], re.MULTILINE)
        own = {key: p for key, p in described["parameters"].items() if name == "standard" or standard.get(key) != p}
        expected = [(key, f"{p['default']:g}", bounds_of(p), p.get("unit", "")) for key, p in own.items()]
        assert rows == expected, name
        left_out = standard.keys() - described["parameters"].keys()
        intro = page.split("## Parameters")[1].split("|")[0]
        assert {key for key in re.findall(r"`(\w+)`", intro) if key in standard} == left_out, name
        latent = described["latent_state"]
        assert latent.pop("learner") == {"ability": {"unit": "logits"}}
        assert "Ability" in page.partition("**Latent state.**")[2]
        fields = [f"{part}.{field}" for part, state in latent.items() for field in state]
        assert all(f"`{field}`" in page for field in fields), name
        assert f"images/dynamics-{name}.png" in page


def kind(column: Any) -> str:
    """Return a column's type in the words of the page."""
    from alsim.datasets.schema import OBSERVATION

    if column.type is OBSERVATION:
        return "list of float32"
    arrow = str(column.type)
    return "string" if arrow.startswith("dictionary<values=string") else ARROW_WORDS.get(arrow, arrow)


ARROW_WORDS = {"float": "float32", "double": "float64"}


def test_the_datasets_page_has_every_column() -> None:
    from alsim.datasets.schema import COLUMNS

    for table, columns in COLUMNS.items():
        section = re.search(rf"^### {table}\n(.+?)(?=^##|\Z)", text("datasets.md"), re.MULTILINE | re.DOTALL)
        assert section, f"datasets.md has no section {table}"
        cells = [[c.strip() for c in row.split("|")[1:-1]] for row in section[1].splitlines() if row.startswith("| `")]
        assert cells == [[f"`{c.name}`", kind(c), c.unit, c.meaning] for c in columns], table


def types_of_frames() -> dict[str, list[str]]:
    """Return the types of the columns of all frames, in pandas and in Polars."""
    rollout = alsim.rollout(num_learners=2, config={"num_los": 2, "max_episode_steps": 30})
    found = {}
    for table in ("transitions", "events", "episodes"):
        ours, theirs = rollout.to_pandas(table), rollout.to_polars(table)
        for name in ours.columns:
            ordered = "ordered " * bool(getattr(ours[name].dtype, "ordered", False))
            found[name] = [f"{ordered}{ours[name].dtype}", str(theirs[name].dtype.base_type())]
    return found


def test_the_datasets_page_has_every_decoded_column_of_a_frame_with_its_types() -> None:
    from alsim.datasets.schema import COLUMNS

    section = text("datasets.md").split("## Data frames")[1].split("## Files")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (\w+) \| ", section, re.MULTILINE)
    types = types_of_frames()
    assert {name: [ours, theirs] for name, ours, theirs in rows} == {name: types[name] for name, _, _ in rows}
    stored = {column.name: kind(column) for columns in COLUMNS.values() for column in columns}
    assert {name for name, _, _ in rows} == {
        name for name, (ours, _) in types.items() if stored.get(name) not in (ours, ours.replace("object", "string"))
    }


def test_the_api_page_has_every_public_name() -> None:
    index, _, full = text("api.md").partition("## Reference")
    named = set(re.findall(r"\[`([\w.]+)`\]\(#alsim\.\1\)", index))
    documented = set(re.findall(r"^\.\. auto\w+:: alsim\.([\w.]+)", full, re.MULTILINE))
    assert named == documented
    assert {name for name in named if "." not in name} == set(alsim.__all__) - {"__version__"}
    assert "alsim.__version__" in index


def test_the_api_page_has_every_name_of_the_student_models() -> None:
    public = {f"alsim.models.{name}" for name in models.__all__}
    for package in (models.bkt, models.cat, models.dkt, models.irt, models.student):
        public |= {f"{package.__name__}.{name}" for name in package.__all__}
    public |= {home.replace(":", ".") for home in HOMES.values()}
    public |= {f"alsim.models.hlr.{name}" for name in ("half_life", "recall")}
    public |= {f"alsim.models.fsrs.{name}" for name in ("review", "retrievability", "interval")}
    public |= {f"{home.partition(':')[0]}.fit" for home in HOMES.values()}
    what_types_need = {"alsim.models.cat.Responder", "alsim.models.cat.Select", "alsim.models.irt.Method"}
    what_types_need |= {"alsim.models.student.Students", "alsim.models.student.as_items"}
    documented = set(re.findall(r"^\.\. auto\w+:: (alsim\.models\.[\w.]+)", text("api.md"), re.MULTILINE))
    assert documented == public - what_types_need


def test_the_models_page_has_every_model() -> None:
    assert set(re.findall(r"`alsim fit ([\w-]+)`", text("models/index.md"))) == set(HOMES)


def test_the_api_page_has_every_command() -> None:
    from alsim.cli import app

    commands = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    commands |= {str(group.name) for group in app.registered_groups}
    assert set(re.findall(r"^\| `alsim ([\w-]+)` \|", text("api.md"), re.MULTILINE)) == commands


def options() -> dict[str, set[str]]:
    """Return the long options of each command, by the command's words."""
    from typer.main import get_command

    from alsim.cli import app

    def visit(command: Any, words: str) -> dict[str, set[str]]:
        own = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
        found = {words: own}
        for name, inner in getattr(command, "commands", {}).items():
            found |= visit(inner, f"{words} {name}")
        return found

    return visit(get_command(app), "alsim")


def test_a_page_explains_every_option() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    stated = set(re.findall(r"--[a-z][a-z-]*", pages))
    found = options()
    assert len(found) > 12
    assert {words: names - stated for words, names in found.items() if names - stated} == {}


def test_the_page_on_adaptive_tests_has_the_arguments_behind_options() -> None:
    section = text("models/cat.md").split("| option | argument |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`--.+?) \| (.+?) \|", section, re.MULTILINE)
    stated = [(re.findall(r"--([\w-]+)", names), re.findall(r"`(\w+)`", arguments)) for names, arguments in rows]
    parameters = inspect.signature(models.cat.CAT).parameters
    assert stated
    for names, arguments in stated:
        assert [name.replace("-", "_") for name in names] == arguments
        assert {*arguments} <= {*parameters}
        assert {f"--{name}" for name in names} <= options()["alsim cat"]


def test_the_policies_page_has_every_policy() -> None:
    from alsim.policies.names import POLICIES, signature

    ours = [name for name, make in POLICIES.items() if make.__module__.startswith("alsim.")]
    table = text("policies.md").split("| name | description |")[1].split("\n\n")[0]
    stated = re.findall(r"^\| `([\w:\[\]=,.-]+)` \|", table, re.MULTILINE)
    assert stated == [signature(name, POLICIES[name]) for name in ours]


def test_the_exports_page_has_every_format() -> None:
    from alsim.datasets.export import EXPORTERS

    rows = re.findall(r"^\| `(\w[\w-]*)`((?:, `[\w-]+`)*) \| (.+?) \|", text("exports.md"), re.MULTILINE)
    stated = {name: (set(re.findall(r"`([\w-]+)`", also)), written) for name, also, written in rows}
    assert set(stated) == set(EXPORTERS)
    for name, (also, written) in stated.items():
        assert also <= set(EXPORTERS[name].aliases)
        assert EXPORTERS[name].suffix in written


def test_the_architecture_page_has_every_module() -> None:
    package = Path(alsim.__file__).parent
    there = {p.name + "/" * p.is_dir() for p in package.iterdir() if p.name not in {"__pycache__", "py.typed"}}
    assert set(re.findall(r"`alsim/([\w.]+/?)`", text("architecture.md"))) == there


def test_the_installation_page_has_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(re.findall(r"^\| `(\w+)` \|", text("install.md"), re.MULTILINE)) == set(extras)


ARITHMETIC = re.compile(
    r"\b(90|3 ?\*? ?(\w+\.)?(num_los|L)) ?\+"  # the first content, as in 90 + 6 * lo
    r"|\b[369] ?\*(?!\*) ?(lo\b|los\b|outcomes?\b|weakest\b|\w+\.argm|(\w+\.)?num_los\b|L\b)"
    r"|\b(lo|los|outcomes?|weakest|num_los) ?\*(?!\*) ?[369]\b"
    r"|\b(actions?|env\.step\() ?(<|>=|-|//|%) ?(90|3|6)\b"
)


def shown_to_users() -> dict[str, str]:
    """Return the texts that show users how to write code, by name: pages, examples, and docstrings of the package."""
    pages = [ROOT / "README.md", *DOCS.rglob("*.md"), *DOCS.glob("examples/*.py"), *DOCS.glob("notebooks/*.ipynb")]
    texts = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in pages}
    del texts["docs/spec.md"]  # the definition, S3.1
    for path in ROOT.glob("alsim/**/*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        docstrings = [ast.get_docstring(node) or "" for node in nodes if isinstance(node, kinds)]
        texts[str(path.relative_to(ROOT))] = "\n".join(docstrings)
    return texts


@pytest.mark.ci
def test_no_text_computes_actions_from_constants() -> None:
    """With another number of learning outcomes, 90 + 6 * lo would be a question; `encode_action` has no such trap."""
    found = {name: match[0] for name, text in shown_to_users().items() if (match := ARITHMETIC.search(text))}
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "np.where(view.frustration > 0.5, 90 + 6 * lo, 3 * lo)",
        "video = 3 * view.num_los + 6 * lo + VIDEO",
        "question = 3 * lo",
        "env.step(3 * num_los + 6 * weakest)",
        "`lo * 3 + difficulty`",
        "is_question = action < 90",
        "3 L + lo * 6 + modality",
    ],
)
def test_the_search_for_such_computations_finds_them(code: str) -> None:
    assert ARITHMETIC.search(code)


def test_the_glossary_has_no_word_twice() -> None:
    words = re.findall(r"^(\w[^\n]*)\n: ", text("glossary.md"), re.MULTILINE)
    assert len(words) == len(set(words)) > 30


def test_the_environment_page_has_every_argument_and_default() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| .+? \| `?(.+?)`? \| ", text("environment.md").split("## Arguments")[1], re.MULTILINE
    )
    for environment, part in ((alsim.AdaptiveLearningEnv, 0), (alsim.AdaptiveLearningVectorEnv, -1)):
        # A cell may state two defaults: that of the single environment, and that of the vector environment.
        stated = {name: cell.split("`; vector environment: `")[part] for name, cell in rows}
        for name, parameter in inspect.signature(environment).parameters.items():
            default = getattr(parameter.default, "value", parameter.default)
            assert stated[name] == (f'"{default}"' if isinstance(default, str) else repr(default)), name


def test_the_environment_page_has_every_info_key() -> None:
    envs = alsim.AdaptiveLearningVectorEnv(2, info="full")
    envs.reset(seed=0)
    infos = envs.step([0, 100])[4]
    page = text("environment.md").split("### Infos of the vector environment")[1].split("\n\n")[2]
    stated = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE))
    assert stated == {k: str(v.dtype) for k, v in infos.items() if k[0] != "_" and k != "termination_reason"}


def test_the_environment_page_has_every_result_key() -> None:
    page = text("environment.md").split("| key of `result` |")[1].split("\n\n")[0]
    env = alsim.AdaptiveLearningEnv()
    env.reset(seed=0)
    for column, action in ((1, 0), (2, 100)):
        cells = [[c.strip() for c in row.split("|")[1:-1]] for row in page.splitlines() if row.startswith("| `")]
        stated = {row[0].strip("`") for row in cells if row[column]}
        assert stated == set(env.step(action)[4]["result"])


def test_the_page_of_published_logs_has_every_format() -> None:
    formats, values = text("models/published-logs.md").split("## Details")[0].split("Each format fills")
    row = re.compile(r"^\| `(\w+-?\w*)` \| ([^|]+) \|", re.MULTILINE)
    titles = {"format": "log"} | {name: published.title for name, published in PUBLISHED.items()}
    assert dict(row.findall(formats)) == titles
    assert [name for name, _ in row.findall(values)] == list(titles)


def test_the_training_page_has_the_measured_time_to_a_trained_policy() -> None:
    from benchmarks.training_time import page, results

    assert page.table(results.read()) in text("training.md")


def test_rollouts_and_datasets_hold_the_same_data_side_by_side() -> None:
    """Each row of the table names two expressions with equal values, of the stated shape."""
    rows = re.findall(
        r"^\| .+ \| \(([MER, ]+)\) \| `(rollout\..+)` \| `(dataset\..+)` \|$", text("datasets.md"), re.MULTILINE
    )
    assert len(rows) >= 14
    arguments: dict[str, Any] = {"num_learners": 4, "episodes_per_learner": 3, "config": {"max_episode_steps": 9}}
    rollout, dataset = alsim.rollout("uniform", **arguments), alsim.generate_dataset(policy="uniform", **arguments)
    sizes = {"M": len(dataset), "E": 12, "R": 32}
    for shape, *expressions in rows:
        one, two = (np.asarray(eval(e, {"rollout": rollout, "dataset": dataset})) for e in expressions)
        assert one.shape == two.shape == tuple(sizes[letter] for letter in re.findall("[MER]", shape)), expressions
        np.testing.assert_array_equal(one, two, err_msg=str(expressions))
