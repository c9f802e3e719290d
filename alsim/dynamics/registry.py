"""The registered dynamics, and checks of those from outside the package."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import EntryPoint
from typing import Any, Literal, NamedTuple, get_type_hints

import numpy as np

from alsim.dynamics.parameters import Unit, Word
from alsim.errors import AlsimError, InputTypeError, RuleWarning, did_you_mean
from alsim.jit.fingerprints import fingerprint, own_cache_of
from alsim.types import Draws, Item, Learner, Outcome
from alsim.utils.plugins import load_plugin, plugins, warn_of_plugin

PACKAGE = __name__.rpartition(".")[0]
GROUP = "alsim.dynamics"
"""Group of the entry points of dynamics. An entry point leads to a module that calls `register_dynamics`."""

MOST_ROWS = 8
"""Largest number of rows of a population for which the rules of a user's dynamics run on examples."""
REGISTER_DYNAMICS = (
    "on the command line, --import MODULE registers the dynamics of a module; in Python, import the module that calls "
    "alsim.register_dynamics"
)
"""Cure for an unknown dynamics, in error messages."""

Rule = Callable[[Any, Learner, Item, Draws], tuple[Learner, Outcome]]
LargestGain = Callable[[Any, Any, Any, Draws], Any]
ExpectedGain = Callable[[Any, Any, Any], Any]
Moment = Literal["interaction", "break"]


class Dynamics(NamedTuple):
    """A registered dynamics: what its file declares, see `register_dynamics`."""

    name: str
    parameters: type[Any]
    answer: Rule
    study: Rule
    chance: Callable[[Any, Learner, Item], Any] | None = None
    lo_state: type[Any] | None = None
    learner_state: type[Any] | None = None
    begin: Callable[[Any, Any, Any], Any] | None = None
    observe: Callable[[Any, Any, Any, Any], Any] | None = None
    observe_at: Moment = "interaction"
    reads_clock: bool = False
    reads_parents: bool | str = False
    further_draws: bool = False
    source: str = ""
    largest_gain: LargestGain | None = None
    expected_gain: ExpectedGain | None = None

    @property
    def timed(self) -> bool:
        """True if its rules read the clock of the learner."""
        return self.reads_clock or self.observe is not None

    def parents_matter(self, values: Callable[[str], Any]) -> bool:
        """Return whether the rules read `item.unready`; `values` returns the values of a parameter, by name."""
        if isinstance(self.reads_parents, str):
            return bool(np.any(np.asarray(values(self.reads_parents)) > 0))
        return self.reads_parents

    @property
    def rules(self) -> dict[str, Callable[..., Any]]:
        """The rules that it declares, by name."""
        given = {name: getattr(self, name) for name in ("answer", "study", "chance", "begin", "observe")}
        return {name: rule for name, rule in given.items() if rule is not None}

    @property
    def identity(self) -> str:
        """Digest of the rules and of the states; equal ones compile to the same code."""
        states = [(*kind._fields, *kind._field_defaults.values()) for kind in self.states]
        declared = (self.observe_at, self.timed, self.reads_parents, self.further_draws, *self.rules, *states)
        return fingerprint(self.parameters, *self.rules.values(), declared)

    @property
    def states(self) -> list[type[Any]]:
        """The classes of the states of its own."""
        return [kind for kind in (self.lo_state, self.learner_state) if kind is not None]


DYNAMICS: dict[str, Dynamics] = {}
"""The registered dynamics by name."""


def register_dynamics(
    name: str,
    parameters: type[Any],
    answer: Rule,
    study: Rule,
    *,
    chance: Callable[[Any, Learner, Item], Any] | None = None,
    lo_state: type[Any] | None = None,
    learner_state: type[Any] | None = None,
    begin: Callable[[Any, Any, Any], Any] | None = None,
    observe: Callable[[Any, Any, Any, Any], Any] | None = None,
    observe_at: Moment = "interaction",
    reads_clock: bool = False,
    reads_parents: bool | str = False,
    further_draws: bool = False,
    source: str = "",
    largest_gain: LargestGain | None = None,
    expected_gain: ExpectedGain | None = None,
) -> None:
    """Register a dynamics under a name.

    name           unique name
    parameters     NamedTuple class of floats with defaults; the batch loop selects the rules by this class
    answer         rule of a question, compiled by `alsim.rule`: answer(p, learner, item, draws) returns the new state
                   of the learner and the outcome
    study          rule of a content, with the same signature
    chance         rule chance(p, learner, item), which returns the probability of a correct answer before it is drawn
    lo_state       NamedTuple class of a state of its own per LO: fields of f32 or i32, whose defaults are the start
                   values. `learner.lo_state` is that of the item's LO, and each rule returns the new one
    learner_state  such a class of a state per learner, `learner.learner_state`
    begin          rule begin(p, mastery, uniform), called for each LO at the start of an episode with the starting
                   mastery of clause S1.1 and a random number in (0, 1); returns the mastery and, with `lo_state`, the
                   state: (mastery, state)
    observe        rule observe(p, mastery, state, hours), which returns the mastery that is observed of an LO: given
                   what was observed before, its state, and the hours since the episode began
    observe_at     "interaction": all LOs are observed after each interaction; "break": after a break between sessions
    reads_clock    whether the rules read `item.hours`; always if there is a rule `observe`
    reads_parents  whether the rules read `item.unready`; or the name of a parameter: they read it if this is above 0,
                   and it is 0 otherwise
    further_draws  whether the rules read `draws.further`
    source         where the rules come from: a clause or a publication, for `alsim dynamics`
    largest_gain   function largest_gain(p, mastery, effectiveness, draws) of arrays, without `alsim.rule`: a bound of
                   the gain from any interaction with an LO, given these draws. `effectiveness` is the largest of its
                   contents. Mastery plus bound must not fall if mastery rises, the bound must not fall if
                   effectiveness rises, and its expectation must not rise with mastery (decision 25). Mastery must not
                   rise between interactions
    expected_gain  function expected_gain(p, mastery, effectiveness), the expectation of `largest_gain`. It makes the
                   bound of mastery tighter if the contents of the LOs differ

    The rules first run on a few hundred examples in the interpreter, with the default parameters. A class that is
    defined again, with the same module and name, replaces the earlier one, as in a notebook or a reloaded module.

    Raises ValueError if another dynamics has the same name or class, or if a result of a rule is invalid: outside its
    bounds, not finite, of another type, different for the same input, a gain that is not the change of mastery, or a
    correct answer to a content. Raises TypeError for arguments of invalid types. Warns of a rule that computes in
    float64 or int64, of one that never returns correct=True, and of a fail streak or response time that differs from
    clauses S1.3 and S5.2.
    """
    new = Dynamics(
        name,
        parameters,
        answer,
        study,
        chance,
        lo_state,
        learner_state,
        begin,
        observe,
        observe_at,
        reads_clock,
        reads_parents,
        further_draws,
        source,
        largest_gain,
        expected_gain,
    )
    if not _is_own(parameters):
        from alsim.dynamics.definition_checks import check_definition
        from alsim.dynamics.rule_checks import check_rules_once

        check_definition(new)
        with suppress(NameError):  # the rest of the module may define it; the first use checks again
            check_rules_once(new, parameters())
    for known in DYNAMICS.values():
        if known.name == name or known.parameters is parameters:
            _check_replacement(known, new)
    DYNAMICS[name] = new


def describe(dynamics: Dynamics) -> dict[str, Any]:
    """Return what a dynamics declares, JSON-ready: description, parameters, latent state and source.

    Ability is latent under all dynamics; its start is that of the configuration.
    """
    states = {"lo_state": dynamics.lo_state, "learner_state": dynamics.learner_state}
    own = {name: _fields(kind) for name, kind in states.items() if kind is not None}
    return {
        "description": _description(dynamics.parameters),
        "parameters": _fields(dynamics.parameters),
        "latent_state": {"learner": {"ability": {"unit": "logits"}}, **own},
        "observed": "mastery" if dynamics.observe is None else f"recall, after each {dynamics.observe_at}",
        "reads_prerequisites": _when_parents_matter(dynamics),
        "source": dynamics.source,
    }


def _when_parents_matter(dynamics: Dynamics) -> bool | str:
    """Return whether the rules read prerequisites, or the condition on a parameter."""
    flag = dynamics.reads_parents
    return f"if {flag} > 0" if isinstance(flag, str) else flag


def _description(kind: Any) -> str:
    """Return the first line of the docstring of a NamedTuple class; "" if it has only the one of all such classes."""
    first = (kind.__doc__ or "").strip().partition("\n")[0]
    return "" if first.startswith(f"{kind.__name__}(") else first


def _fields(kind: Any) -> dict[str, dict[str, Any]]:
    """Return default, bounds and unit of each field of a NamedTuple class."""
    described: dict[str, dict[str, Any]] = {}
    hints = get_type_hints(kind, include_extras=True)
    for name in kind._fields:
        hint = hints.get(name)
        entry: dict[str, Any] = {"default": np.asarray(kind._field_defaults[name]).item()}
        for metadata in getattr(hint, "__metadata__", ()):
            if isinstance(metadata, Unit):
                entry["unit"] = metadata.unit
            elif isinstance(metadata, Word):
                entry["word"] = metadata.word
            else:
                bounds = {key: getattr(metadata, key, None) for key in ("ge", "gt", "le", "lt")}
                entry |= {key: bound for key, bound in bounds.items() if bound is not None}
        described[name] = entry
    return described


def _check_replacement(known: Dynamics, new: Dynamics) -> None:
    """Raise AlsimError unless a dynamics is a later definition of a registered one.

    Compiled kernels select the rules by the class. Other rules thus need another class, or the class defined again.
    """
    title, other = new.parameters.__name__, known.parameters
    if known.name != new.name:
        raise AlsimError(
            f"the class {title} already selects the rules of {known.name!r}; got {new.name!r}: use another class"
        )
    if other is new.parameters:
        if known.identity != new.identity:
            raise AlsimError(
                f"the class {title} already selects other rules of {known.name!r}; define the class again before its "
                "rules (in a notebook, run its cell again), and register it then"
            )
    elif (other.__module__, other.__qualname__) != (new.parameters.__module__, new.parameters.__qualname__):
        raise AlsimError(
            f"the name of a dynamics must be unique; got {new.name!r} with {title}, but {known.name!r} with "
            f"{other.__module__}.{other.__qualname__} is registered; use another name"
        )


def _is_own(parameters: Any) -> bool:
    """Return whether a class of parameters belongs to a dynamics of this package."""
    return str(getattr(parameters, "__module__", "")).startswith(f"{PACKAGE}.")


def check_parameters(parameters: Any) -> None:
    """Run the rules of a user's dynamics on examples with these parameters, the first time. Raises AlsimError."""
    if not _is_own(type(parameters)):
        from alsim.dynamics.rule_checks import check_rules_once

        dynamics = of_parameters(type(parameters))
        try:
            check_rules_once(dynamics, parameters)
        except NameError as error:
            raise AlsimError(
                f"a rule of the dynamics {dynamics.name!r} uses an unknown name: {error}; import or define it"
            ) from None


def check_rows(parameters: Any) -> None:
    """Call `check_parameters` for the rows of a population with the extremes of each parameter, at most MOST_ROWS.

    parameters  struct of arrays (S,)

    Raises AlsimError, which names the row.
    """
    if _is_own(type(parameters)):
        return
    extremes = {int(k): None for column in parameters for k in (column.argmin(), column.argmax())}
    for k in [*extremes][:MOST_ROWS]:
        row = type(parameters)(*(column[k].item() for column in parameters))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuleWarning)  # those of the configuration's parameters were given
                check_parameters(row)
        except AlsimError as error:
            raise AlsimError(f"row {k} of the population: {error}") from None


def check_rules_of(parameters: Any) -> list[str]:
    """Run the rules of a dynamics on examples with these parameters, and return warnings. Raises AlsimError."""
    from alsim.dynamics.rule_checks import check_rules

    dynamics = of_parameters(type(parameters))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_rules(dynamics, parameters)
    return [str(warning.message) for warning in caught]


def find_dynamics(name: str) -> Dynamics | None:
    """Return the dynamics with a name, None for an unknown one. The module of an entry point is loaded."""
    if name not in DYNAMICS and (point := _plugins().get(name)) is not None:
        found = load_plugin(point)
        if name not in DYNAMICS and found is not None:
            warn_of_plugin(point, "does not register a dynamics of this name")
    return DYNAMICS.get(name)


def known_dynamics(*, without: object = None) -> list[str]:
    """Return the names of the registered dynamics, with those of plugins, which are not loaded.

    without  name that is left out, of a plugin that is unusable
    """
    return [name for name in (*DYNAMICS, *_plugins()) if name != without]


def unknown_dynamics(name: str) -> str:
    """Return the cure for an unknown name of a dynamics, with the most similar known name, for error messages."""
    return f"{REGISTER_DYNAMICS}{did_you_mean(name, known_dynamics())}"


def _plugins() -> dict[str, EntryPoint]:
    """Return the entry points of dynamics by name."""
    return plugins(GROUP, {name: dynamics.parameters for name, dynamics in DYNAMICS.items()})


def of_parameters(parameters: type[Any]) -> Dynamics:
    """Return the dynamics with this class of parameters. Raises TypeError for an unregistered class."""
    found = _registered(parameters)
    if found is None:  # for example in a worker, which imported only the module of the class
        for name in _plugins():
            find_dynamics(name)
        found = _registered(parameters)
    if found is not None:
        return found
    if any(d.parameters.__qualname__ == parameters.__qualname__ for d in DYNAMICS.values()):
        raise InputTypeError(
            f"these parameters are of an earlier definition of {parameters.__name__}, which was registered again; make "
            "the parameters and the configuration again"
        )
    known = ", ".join(f"{dynamics.parameters.__name__} ({dynamics.name})" for dynamics in DYNAMICS.values())
    raise InputTypeError(
        f"parameters of a dynamics must be of a registered class, {known}; got {parameters.__name__}; register it with "
        "alsim.register_dynamics"
    )


def _registered(parameters: type[Any]) -> Dynamics | None:
    """Return the registered dynamics with this class of parameters, or None."""
    return next((dynamics for dynamics in DYNAMICS.values() if dynamics.parameters is parameters), None)


def rules_fingerprint(parameters: type[Any]) -> str:
    """Return a digest of the rules of a user's dynamics; "" for the dynamics of this package.

    Raises ValueError if the rules have changed since their first use, see `own_cache_of`.
    """
    dynamics = of_parameters(parameters)
    if _is_own(parameters):
        return ""
    return own_cache_of(f"the rules of {dynamics.name!r}", parameters, dynamics.identity)
