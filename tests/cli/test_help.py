"""Help of all commands, and shell completion: one form for every option, and nothing is truncated."""

import inspect
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from enum import Enum
from unittest import mock

import pytest
import shellingham
import typer
from terminal import Terminal

from alsim import cli
from alsim.cli import completion
from alsim.cli.command import Command, Group
from alsim.cli.completion import POLICY_FILE
from alsim.cli.help import choices, default_text, left, value_type
from alsim.utils.plugins import package_of

WIDTH = 80
GROUP = typer.main.get_command(cli.app)


def walk(command, path=()):
    """Yield the path and the object of each command, from the application down."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


COMMANDS = dict(walk(GROUP))

WITHOUT_DEFAULT = {
    *("--dynamics", "--import", "--item-columns", "--plot", "--csv", "--latex"),
    *("--config", "--bank", "--settings", "--reward", "--questions", "--columns"),
    "--metric",
    *("--json", "--out", "--table", "--scores", "--test", "--checkpoint", "--plot"),
    "--action-distribution",
}
"""Optional inputs and outputs: without the option, nothing is read or written there."""

PATHS = [pytest.param(path, id=" ".join(path) or "alsim") for path in COMMANDS]


def help_of(path, option="--help", columns=WIDTH, **variables):
    """Return the help of a command on a terminal with this number of columns."""
    environment = {"COLUMNS": str(columns), "TERM": "xterm", **variables}
    with mock.patch.dict(os.environ, environment), redirect_stdout(io.StringIO()) as printed:
        assert GROUP.main([*path, option], prog_name="alsim", standalone_mode=False) == 0
    return printed.getvalue()


def unwrapped(text):
    return " ".join(text.split())


def options_of(path):
    return [p for p in COMMANDS[path].params if p.param_type_name == "option"]


def choices_of(parameter, command):
    """Return the words that an option takes; none for an option that takes any text."""
    kind = value_type(parameter, command)
    return choices(kind) if isinstance(kind, type) and issubclass(kind, Enum) else []


def test_the_walk_reaches_commands_and_subcommands():
    assert {(), ("generate",), ("fit",), ("fit", "bkt"), ("fit", "skill-mean")} <= set(COMMANDS)


@pytest.mark.parametrize("path", PATHS)
def test_every_command_is_of_our_classes(path):
    """They give help, errors and reports their form: make groups with Application, and commands with its decorator."""
    assert isinstance(COMMANDS[path], Command | Group)


@pytest.mark.heavy
@pytest.mark.parametrize("columns", [40, 60, 80, 200])
@pytest.mark.parametrize("path", PATHS)
def test_help_fits_the_terminal_and_nothing_is_truncated(path, columns):
    text = help_of(path, columns=columns)
    body, _, example = text.partition("Examples:")
    assert max(map(len, body.splitlines())) <= min(columns, 80)
    assert max(map(len, example.splitlines()), default=0) <= min(columns, 80)
    assert "…" not in text
    if commands := getattr(COMMANDS[path], "commands", {}):
        summaries = body.partition("Commands:")[2]
        assert "..." not in summaries
        for name, command in commands.items():
            assert re.search(rf"^ *{name}\s+\S", summaries, re.MULTILINE), name
            assert command.get_short_help_str(10**6) in unwrapped(summaries)
            assert command.get_short_help_str(10**6).endswith(".")


@pytest.mark.parametrize("path", PATHS)
def test_help_on_a_narrow_terminal_says_the_same(path):
    """Also of examples: a long one is continued after a backslash, as in a shell."""
    narrow = help_of(path, columns=40).replace("\\\n", " ").replace("|\n", "|")
    wide = help_of(path).replace("\\\n", " ")
    assert re.sub(r"(?<=\|)\s+", "", unwrapped(narrow)) == re.sub(r"(?<=\|)\s+", "", unwrapped(wide))


@pytest.mark.parametrize("path", PATHS)
def test_help_on_a_tiny_terminal_is_as_on_a_narrow_one(path):
    assert help_of(path, columns=1) == help_of(path, columns=30)


def test_entries_on_a_narrow_terminal():
    text = help_of(("cat",), columns=40)
    entry = "  --select max-info|b-opt|\n  kullback-leibler|a-stratified\n      Criterion of selection.\n"
    assert entry in text
    assert "  alsim cat --items fit.json \\\n    --simulate 0.5 --plot test.png\n" in text


@pytest.mark.parametrize("path", PATHS)
def test_help_is_plain_in_every_terminal(path):
    plain = help_of(path)
    assert help_of(path, "-h") == help_of(path, FORCE_COLOR="1", TERM="xterm-256color") == plain
    assert "\x1b" not in plain


@pytest.mark.parametrize("path", PATHS)
def test_placeholders_of_values_are_conventional(path):
    """Types are not shown as <int> or {DIR}, and flags have no placeholder."""
    text = help_of(path)
    assert not re.search(r"[<>{}]", text)
    for parameter in options_of(path):
        if parameter.is_flag:
            assert not re.search(rf"{parameter.opts[0]} [A-Z]", unwrapped(left(parameter, COMMANDS[path])))
        else:
            placeholder = left(parameter, COMMANDS[path]).rpartition(" ")[2]
            assert re.fullmatch(r"[A-Z][A-Za-z=,.-]*|[a-z0-9-]+(\|[a-z0-9-]+)+", placeholder), placeholder


@pytest.mark.parametrize("path", PATHS)
def test_out_and_help_have_short_forms(path):
    assert re.search(r"^  -h, --help +Show this message and exit\.$", help_of(path), re.MULTILINE)
    for parameter in options_of(path):
        if "--out" in parameter.opts:
            assert "-o" in parameter.opts


@pytest.mark.parametrize("path", PATHS)
def test_help_names_every_option_and_default(path):
    text = unwrapped(help_of(path))
    for parameter in COMMANDS[path].params:
        assert parameter.help, parameter.name
        for option in (*parameter.opts, *parameter.secondary_opts):
            assert parameter.param_type_name == "argument" or option in text
        default = default_text(parameter)
        if default:
            assert f"[default: {default}]" in text
        elif not parameter.required and not getattr(parameter, "is_flag", False):
            computed = "[default: " in parameter.help  # written out, in the same form
            assert computed or parameter.opts[0] in WITHOUT_DEFAULT, f"{parameter.opts[0]}: help must state its default"


@pytest.mark.parametrize("path", PATHS)
def test_examples_in_help_are_valid_commands(path):
    examples = help_of(path).partition("Examples:\n")[2].replace("\\\n", " ")
    for line in examples.splitlines():
        words = shlex.split(line.partition("|")[0])
        assert words.pop(0) == "alsim"
        command, context = GROUP, None
        while hasattr(command, "commands"):
            context = typer.Context(command, info_name="alsim", parent=context)
            command = command.commands[words.pop(0)]
        command.make_context("alsim", words, parent=context)


def test_help_says_what_alsim_is():
    assert "Simulate adaptive learning: teaching policies, simulated learners and student models." in unwrapped(
        help_of(())
    )


def test_the_formats_of_export_are_those_that_exist():
    from alsim.cli.export import FORMATS
    from alsim.datasets.export import EXPORTERS

    assert tuple(EXPORTERS) == FORMATS


@pytest.mark.parametrize("field", ["steps", "num_envs"])
def test_the_defaults_of_train_are_those_of_the_algorithms(field):
    from alsim.training.settings import HYPERPARAMETERS

    defaults = {name: kind.model_fields[field].default for name, kind in HYPERPARAMETERS["alsim"].items()}
    assert f"[default: ppo {defaults['ppo']:,}; dqn {defaults['dqn']:,}]" in unwrapped(help_of(("train",)))


@pytest.mark.compiled
@pytest.mark.parametrize("model", ["bkt", "irt", "dkt", "pfa", "best-lr", "skill-mean", "hlr"])
def test_the_defaults_of_a_subcommand_are_those_of_the_model(model, monkeypatch):
    """The command line does not import the models for their defaults, so it repeats them."""
    from alsim.cli import fitting, fitting_run

    requests = []
    monkeypatch.setattr(fitting, "run_fit", requests.append)
    monkeypatch.setattr(sys, "argv", ["alsim", "fit", model, "log.csv"])
    with pytest.raises(SystemExit):
        cli.main()
    (request,) = requests
    assert isinstance(request, fitting_run.FitRequest)
    module = pytest.importorskip(f"alsim.models.{model.replace('-', '_')}")
    defaults = {name: p.default for name, p in inspect.signature(module.fit).parameters.items()}
    expected = {name: defaults[name] for name in request.model.arguments}
    if model == "dkt":
        assert expected["device"] is None  # the processor
        expected["device"] = "cpu"
    assert request.model.arguments == expected


# ── shell completion ─────────────────────────────────────────────────────────────────────────────


def complete(*words, **options):
    """Return what bash would offer for the last of these words, and the modules that were loaded."""
    code = (
        "import atexit, sys; sys.argv[0] = 'alsim'\n"
        "heavy = ('numba', 'pyarrow', 'torch', 'pandas', 'numpy', 'gymnasium')\n"
        "atexit.register(lambda: print(*(m for m in heavy if m in sys.modules), file=sys.stderr))\n"
        "from alsim.cli import main; main()"
    )
    line = {"_ALSIM_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **line}, timeout=60, **options
    )
    return done.stdout.split(), done.stderr.split()


@pytest.mark.ci
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("alsim", "ge"), ["generate"]),
        (("alsim", "fit", "sk"), ["skill-mean"]),
        (("alsim", "generate", "--lea"), ["--learners"]),
        (("alsim", "generate", "--format", ""), ["parquet", "arrow"]),
        (("alsim", "generate", "--observation", "r"), ["responses"]),
        (("alsim", "export", "--to", "mi"), ["minari"]),
        (("alsim", "train", "p"), ["ppo"]),
        (("alsim", "generate", "--policy", "ru"), ["rules"]),
        (("alsim", "show", "--policy", "saved/"), ["saved/ppo-run"]),
        (("alsim", "show", "--policy", "none/"), []),
        (("alsim", "train", "ppo", "--dynamics", ""), [*completion.DYNAMICS, "forgetting"]),
        (("alsim", "generate", "--policy", "pr"), ["printed", "pretested"]),
        (("alsim", "cat", "--simulate", "n"), ["normal"]),
    ],
)
def test_completion_offers_names_and_loads_nothing_heavy(words, offered, tmp_path, monkeypatch):
    for name in ("saved/ppo-run", "saved/ppo run", "printed", "other"):
        (tmp_path / name).mkdir(parents=True)
        if name != "other":
            (tmp_path / name / POLICY_FILE).touch()
    plugin = tmp_path / "kit-1.0.dist-info"
    plugin.mkdir()
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: kit\nVersion: 1.0\n")
    (plugin / "entry_points.txt").write_text("[alsim.policies]\npretested = kit\n[alsim.dynamics]\nforgetting = kit\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    found, heavy = complete(*words, cwd=tmp_path)
    assert sorted(found) == sorted(offered)
    assert "numba" not in heavy
    assert "pyarrow" not in heavy
    assert "torch" not in heavy


@pytest.mark.ci
@pytest.mark.parametrize(
    ("path", "option", "offered"),
    [
        pytest.param(path, p.opts[0], words, id=" ".join((*path, p.opts[0])))
        for path, command in COMMANDS.items()
        for p in command.params
        if p.param_type_name == "option" and (words := choices_of(p, command))
    ],
)
def test_every_option_of_one_of_several_words_completes_them(run, monkeypatch, path, option, offered):
    words = ["alsim", *path, option, ""]
    monkeypatch.setenv("_ALSIM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    status, out, err = run()
    assert (status, out.split(), err) == (0, offered, "")


def test_completion_in_fish_and_zsh(run, monkeypatch):
    """Names with a colon are one word there, unlike in bash."""
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "alsim generate --policy epsilon-greedy")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    for shell, out in (("fish", "epsilon-greedy\n"), ("zsh", "_arguments '*: :((\"epsilon-greedy\"))'\n")):
        monkeypatch.setenv("_ALSIM_COMPLETE", f"complete_{shell}")
        assert run() == (0, out, "")


def test_completed_names_are_those_that_exist():
    from alsim.dynamics import DYNAMICS, GROUP
    from alsim.policies import names, network

    own = {name for name, dynamics in DYNAMICS.items() if package_of(dynamics.parameters) == "alsim"}
    assert set(completion.DYNAMICS) == own
    assert set(completion.POLICIES) == {name for name, make in names.POLICIES.items() if package_of(make) == "alsim"}
    assert (completion.DYNAMICS_GROUP, completion.POLICY_GROUP) == (GROUP, names.GROUP)
    assert network.DESCRIPTION == POLICY_FILE


@pytest.mark.parametrize("option", ["--show-completion", "--install-completion"])
def test_completion_needs_a_known_shell(option, monkeypatch, capsys):
    def detect_shell():
        raise shellingham.ShellDetectionFailure

    monkeypatch.setattr(shellingham, "detect_shell", detect_shell)
    monkeypatch.setattr(sys, "argv", ["alsim", option])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    expected = "alsim: the shell is not supported; run the command in bash, zsh, fish or PowerShell\n"
    assert capsys.readouterr().err.endswith(expected)


@pytest.mark.ci
@pytest.mark.versionless
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_works_in_bash(tmp_path):
    """The script of --show-completion, loaded by an interactive bash, completes commands, names and files.

    Ctrl-A goes to the start of the line, where echo is inserted. The names of files, among them the directories on the
    way to a saved policy, are completed by bash.
    """
    (tmp_path / "runs" / "ppo").mkdir(parents=True)
    (tmp_path / "runs" / "ppo" / POLICY_FILE).touch()
    (tmp_path / "small.toml").touch()
    (tmp_path / "alsim").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m alsim "$@"\n')
    (tmp_path / "alsim").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "PS1": "> ", "TERM": "dumb"}
    with Terminal(["bash", "--norc", "-i"], env=env, cwd=tmp_path) as terminal:
        terminal.type("alsim --show-completion > script; . ./script\n")
        terminal.type("alsim init-con\ttab.toml; alsim --vers\t > version\n")
        terminal.type(
            "alsim show --policy ru\t --policy run\tp\t --dynamics st\t --config sm\t > words\x01echo \nexit\n"
        )
        terminal.read_all()
        terminal.process.wait(timeout=60)
    assert (tmp_path / "tab.toml").exists()
    assert (tmp_path / "version").read_text().startswith("alsim ")
    words = "alsim show --policy rules --policy runs/ppo --dynamics standard --config small.toml\n"
    assert (tmp_path / "words").read_text() == words
