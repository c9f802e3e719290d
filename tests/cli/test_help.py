"""Help texts: at 80 columns, no line is wider than that, and no name, value or summary is truncated."""

import inspect
import re
import sys

import pytest
import typer
from typer.testing import CliRunner

from alsim import cli

WIDTH = 80
GROUP = typer.main.get_command(cli.app)


def walk(command, path=()):
    """Yield the path and the object of each command, from the application down."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


COMMANDS = dict(walk(GROUP))

WITHOUT_DEFAULT = {
    *("--dynamics", "--import", "--plot"),
    *("--config", "--bank", "--settings", "--reward", "--questions", "--columns"),
    *("--json", "--out", "--scores", "--test", "--checkpoint"),
    *("--action-distribution", "--help"),
}
"""Optional inputs and outputs: without the option, nothing is read or written there."""


def help_of(path):
    """Return the help of a command on a terminal of 80 columns."""
    environment = {"COLUMNS": str(WIDTH), "NO_COLOR": "1", "TERM": "dumb"}
    result = CliRunner().invoke(cli.app, [*path, "--help"], env=environment, prog_name="alsim")
    assert result.exit_code == 0
    return result.output


def unwrapped(text):
    return " ".join(text.split())


def test_the_walk_reaches_commands_and_subcommands():
    assert {(), ("generate",), ("fit",), ("fit", "bkt"), ("fit", "skill-mean")} <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "alsim")
def test_help_fits_80_columns_and_nothing_is_truncated(path):
    text = help_of(path)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "…" not in text
    if commands := getattr(COMMANDS[path], "commands", {}):
        summaries = text.partition("Commands:")[2]
        assert "..." not in summaries
        for name in commands:
            assert re.search(rf"^ *{name} +\S.+\.$", summaries, re.MULTILINE), name


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "alsim")
def test_help_names_every_option_and_default(path):
    text = unwrapped(help_of(path))
    for parameter in COMMANDS[path].params:
        assert parameter.help, parameter.name
        for option in (*parameter.opts, *parameter.secondary_opts):
            assert parameter.param_type_name == "argument" or option in text
        if getattr(parameter, "is_bool_flag", False):
            assert f"{parameter.opts[0]} <bool>" not in text
        elif parameter.default not in (None, ""):
            assert f"default: {parameter.default}" in text
        elif not parameter.required and parameter.opts[0] not in WITHOUT_DEFAULT:
            assert "[default: " in parameter.help, f"{parameter.opts[0]} has a computed default, which help must state"


def test_help_says_what_alsim_is():
    assert "Simulate adaptive learning: teaching policies, simulated learners and student models." in unwrapped(
        help_of(())
    )


@pytest.mark.parametrize("field", ["steps", "num_envs"])
def test_the_defaults_of_train_are_those_of_the_algorithms(field):
    from alsim.training.settings import ALGORITHMS

    defaults = {name: kind.model_fields[field].default for name, kind in ALGORITHMS.items()}
    assert f"[default: ppo {defaults['ppo']:,}; dqn {defaults['dqn']:,}]" in unwrapped(help_of(("train",)))


@pytest.mark.compiled
@pytest.mark.parametrize("model", ["bkt", "irt", "dkt", "pfa", "best-lr", "skill-mean"])
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
