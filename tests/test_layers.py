"""The architecture: imports point downwards, rules have no loops, and `import alsim` is light."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import alsim

pytestmark = pytest.mark.versionless

PACKAGE = Path(alsim.__file__).parent
PAGE = PACKAGE.parent / "docs/api.md"
SOURCES = {
    ".".join(("alsim", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# From the ground up: one rank per package. A module may import from packages of its own rank and below.
LAYERS = [
    ["alsim._version", "alsim.types", "alsim.errors"],
    ["alsim.jit", "alsim.utils"],
    ["alsim.assignment", "alsim.numerics"],
    ["alsim.mdp", "alsim.responses"],
    ["alsim.dynamics", "alsim.models", "alsim.curriculum"],
    ["alsim.config", "alsim.policies"],
    ["alsim.bank"],
    ["alsim.simulator", "alsim.metrics"],
    ["alsim.arguments"],
    ["alsim.rollouts", "alsim.envs", "alsim.engine"],
    ["alsim.datasets", "alsim.evaluation", "alsim.sanity", "alsim.testing", "alsim.precompile"],
    ["alsim.training"],
    ["alsim.cli"],
    ["alsim.__main__", "alsim"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

TOP_LEVEL = {
    *("__init__", "__main__", "_version", "arguments", "errors", "metrics"),
    *("precompile", "types"),
}
"""Modules that may lie at the top level of the package; every other one belongs to a package."""


LAZY = {
    *("alsim", "alsim.engine", "alsim.envs", "alsim.evaluation", "alsim.evaluation.experiments"),
    *("alsim.models", "alsim.training"),
}
"""Packages whose `__init__` names the modules of its public names, and loads them on first use."""


def home(module):
    """Return the entry of LAYERS that a module belongs to: itself, or its package."""
    while module not in RANK:
        module = module.rpartition(".")[0]
        assert module, "no layer"
    return module


@cache
def imports(module, *, types=True):
    """Return the modules that a module imports, also within functions; `types` includes imports for type checkers."""
    tree = ast.parse(SOURCES[module].read_text(encoding="utf-8"))
    if not types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in SOURCES else node.module for name in names}
    return frozenset(found)


def outside(module):
    """Return the top-level packages that a module imports, except its own."""
    return {name.partition(".")[0] for name in imports(module)} - {"alsim"}


def part(module):
    """Return the package or top-level module that a module belongs to, by its path alone."""
    return ".".join(module.split(".")[:2])


def parts():
    """Return the parts of the package, each with the other parts that it imports."""
    edges = {part(module): set() for module in SOURCES}
    for module in SOURCES.keys() - LAZY:
        edges[part(module)] |= {part(name) for name in imports(module) if name in SOURCES} - {part(module)}
    return edges


def chain(edges):
    """Return the number of nodes in the longest path; raise AssertionError for a cycle."""
    depth = {}
    while len(depth) < len(edges):
        free = [node for node, targets in edges.items() if node not in depth and targets <= depth.keys()]
        assert free, f"a cycle among {sorted(edges.keys() - depth.keys())}"
        depth |= {node: 1 + max((depth[target] for target in edges[node]), default=0) for node in free}
    return max(depth.values())


def test_imports_point_downwards():
    upwards = [
        f"{module} imports {name}, which is above it"
        for module in SOURCES
        if module not in LAZY
        for name in imports(module)
        if name.partition(".")[0] == "alsim" and RANK[home(name)] > RANK[home(module)]
    ]
    assert upwards == []


def test_every_module_has_a_layer_and_every_layer_a_module():
    assert {home(module) for module in SOURCES} == set(RANK)


def test_the_top_level_holds_a_short_list_of_modules():
    assert {path.stem for path in PACKAGE.glob("*.py")} == TOP_LEVEL


def test_the_layout_stays_as_simple_as_it_was_drawn():
    """Decisions 16, 17, 18, 20, 23, 29 and 30 have the figures; `chain` also shows that the parts have no cycle."""
    edges = parts()
    assert len(edges) <= 30
    assert sum(map(len, edges.values())) <= 192
    assert chain(edges) <= 13


def test_modules_have_no_import_cycle():
    edges = {module: {n for n in imports(module, types=False) if n in SOURCES} for module in SOURCES.keys() - LAZY}
    for module, names in edges.items():
        # Importing a module runs its package, so the two count as one.
        edges[module] = {n for n in names if n != module and n not in LAZY and part(n) != part(module)}
    chain(edges)


def test_the_modules_of_responses_have_no_cycle():
    """Not even among imports that only type checkers see."""
    modules = {module for module in SOURCES if home(module) == "alsim.responses"}
    edges = {module: imports(module) & modules for module in modules}
    done = set()
    while len(done) < len(edges):
        free = {module for module, names in edges.items() if module not in done and names <= done}
        assert free, f"a cycle among {sorted(modules - done)}"
        done |= free


# ── the three prohibitions ───────────────────────────────────────────────────────────────────────

LOOPS = (ast.For, ast.While, ast.AsyncFor, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def rules(tree):
    """Functions that are compiled into the loops."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(d).partition("(")[0] in ("rule", "dispatch") for d in node.decorator_list)
    ]


def test_no_loops_in_the_rules_of_one_learner():
    checks = "definition_checks", "examples", "gain_checks", "messages", "number_types", "rule_checks"
    others = tuple(f"alsim.dynamics.{name}" for name in ("parameters", "registry", *checks))
    modules = [m for m in SOURCES if m.startswith(("alsim.dynamics.", "alsim.mdp.")) and m not in others]
    for module in modules:
        tree = ast.parse(SOURCES[module].read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, LOOPS)], module
    assert sum(len(rules(ast.parse(SOURCES[module].read_text(encoding="utf-8")))) for module in modules) >= 8


@pytest.mark.parametrize("module", ["alsim.simulator.step", "alsim.envs.single", "alsim.envs.vector"])
def test_no_formulas_in_the_loop_and_the_environments(module):
    """They call the rules, and know none of the functions that formulas are made of."""
    called = set()
    for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called.add(ast.unparse(node.func).rpartition(".")[2])
    assert not called & {"exp", "log", "sqrt", "tanh", "p_correct", "answer", "study", "clip"}
    assert not imports(module) & {"alsim.dynamics.irt", "alsim.dynamics.standard", "alsim.numerics.elementary"}


def test_numba_is_known_to_one_package():
    assert {home(module) for module in SOURCES if "numba" in outside(module)} == {"alsim.jit"}


def test_types_are_the_ground():
    assert outside("alsim.types") <= {"__future__", "collections", "dataclasses", "enum", "typing", "numpy"}


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_the_command_line_is_known_to_itself(package):
    assert {home(module) for module in SOURCES if package in outside(module)} == {"alsim.cli"}


def test_arrow_is_known_to_tables_only():
    known = {home(module) for module in SOURCES if "pyarrow" in outside(module)}
    assert known <= {"alsim.datasets", "alsim.models", "alsim.responses", "alsim.bank", "alsim.utils"}
    utils = {module for module in SOURCES if home(module) == "alsim.utils" and "pyarrow" in outside(module)}
    assert utils == {"alsim.utils.arrow"}


# ── the public names ─────────────────────────────────────────────────────────────────────────────

HEAVY = ("numba", "llvmlite", "pyarrow", "pydantic", "typer", "rich", "torch", "scipy", "pandas")


def modules_after(statements):
    """Heavy modules that are loaded after these statements, in a new interpreter."""
    code = f"import sys\n{statements}\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.split())


OWN = {"_version", "envs", "envs.registration", "envs.specs", "errors", "utils", "utils.lazy"}
"""Modules of the package that `import alsim` loads."""


def test_import_alsim_loads_few_modules():
    code = "import sys, alsim; print(*(m.removeprefix('alsim.') for m in sys.modules if m.startswith('alsim.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert set(done.stdout.split()) == OWN


def test_import_alsim_is_light():
    assert modules_after("import alsim") == set()
    assert modules_after("import alsim, gymnasium; gymnasium.spec('alsim/AdaptiveLearning-v0'); dir(alsim)") == set()
    assert modules_after("import alsim.cli") == {"typer"}


@pytest.mark.ci
def test_an_environment_needs_no_tables():
    assert "pyarrow" not in modules_after("import alsim; alsim.AdaptiveLearningEnv()")
    assert "typer" not in modules_after("import alsim; alsim.rollout")


@pytest.mark.parametrize("name", alsim.__all__)
def test_every_public_name_is_there(name):
    value = getattr(alsim, name)
    assert value is getattr(alsim, name)
    assert name in dir(alsim)
    assert name == "__version__" or value.__doc__


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="module 'alsim' has no attribute 'Teacher'"):
        _ = alsim.Teacher
    with pytest.raises(AttributeError, match="module 'alsim.envs' has no attribute 'Teacher'"):
        _ = alsim.envs.Teacher


def test_public_names_are_sorted_and_complete():
    assert sorted(alsim.__all__) == alsim.__all__
    assert set(alsim.__all__) == {*alsim._HOMES, "__version__"}
    tree = ast.parse(SOURCES["alsim"].read_text(encoding="utf-8"))
    checked = next(n for n in tree.body if isinstance(n, ast.If))
    for_types = {alias.name: node.module for node in checked.body for alias in node.names}
    assert for_types == {**alsim._HOMES, **dict.fromkeys(alsim._MODULES, "alsim")}


def test_the_public_modules_are_those_of_the_page_on_the_api():
    """Also the modules in them: `alsim.envs.sb3.make` of the page is an attribute of `alsim.envs.sb3`."""
    names = re.findall(r"^\| \[?`([a-z0-9_]+)\.", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(set(names)) == sorted(alsim._MODULES)


MODULES = [
    "envs.AdaptiveLearningEnv",
    "numerics.elementary.exp",
    *(
        pytest.param(name, marks=pytest.mark.ci)  # half a second each
        for name in (
            *("dynamics.irt.p_correct", "models.irt.fit", "policies.View", "policies.compiled.weakest"),
            *("testing.check_vector_env", "training.train", "types.Learner"),
        )
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_public_modules_are_attributes_after_import_alsim(name):
    code = f"import alsim\nassert alsim.{name}.__doc__\nassert {name.partition('.')[0]!r} in dir(alsim)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_help_of_a_class_in_a_public_module():
    code = "import alsim\nhelp(alsim.policies.View)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.startswith("Help on class View in module alsim.policies.base")


def test_modules_of_other_libraries_are_attributes():
    for module in ("puffer", "sb3", "tianshou"):
        assert module in dir(alsim.envs)
    assert "elementary" in dir(alsim.numerics)
