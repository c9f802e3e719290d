"""Names of policies: the registry, and the grammar of the names that commands and functions accept.

A name is one of these, in this order of precedence:

    NAME             registered, by `register_policy` or by an entry point of the group `alsim.policies`
    NAME:ARGUMENTS   NAME is registered; the arguments are separated by colons, as in epsilon-greedy:rules:0.2, and an
                     argument with a colon is in parentheses, as in epsilon-greedy:(epsilon-greedy:rules:0.1):0.2;
                     weights of policies are written as in mix:rules=0.7,uniform=0.3
    DIRECTORY        a directory with a saved policy
    MODULE:CLASS     a class, a function or an instance in a module that can be imported; arguments may follow a class
                     or a function, as in theirs:Teacher:0.2
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import EntryPoint
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, NoReturn, Union, get_args, get_origin

from alsim.errors import AlsimError, InputTypeError, closest_name
from alsim.policies.adaptive_engine import engine_policy
from alsim.policies.base import Policy
from alsim.policies.cat import CATPolicy
from alsim.policies.checks import checked_policy
from alsim.policies.epsilon_greedy import EpsilonGreedy
from alsim.policies.exceptions import add_place, place_of
from alsim.policies.exp3 import Exp3
from alsim.policies.igw import InverseGap
from alsim.policies.knowledge import BKT, student_policy
from alsim.policies.lints import LinTS
from alsim.policies.linucb import LinUCB
from alsim.policies.mastery_gated import MasteryGated
from alsim.policies.mix import Mix, Weights, read_weights, weights_text
from alsim.policies.nested import keep_arguments
from alsim.policies.network import DESCRIPTION, NetworkPolicy, is_saved
from alsim.policies.oracle import Oracle
from alsim.policies.parentheses import enclosed, split
from alsim.policies.round_robin import RoundRobin
from alsim.policies.rules import Rules
from alsim.policies.schedulers.fsrs import FSRS
from alsim.policies.schedulers.leitner import Leitner
from alsim.policies.schedulers.random_due import RandomDue
from alsim.policies.schedulers.sm2 import SM2
from alsim.policies.schedulers.threshold import RecallThreshold
from alsim.policies.softmax import Softmax
from alsim.policies.thompson import Thompson
from alsim.policies.ucb1 import UCB1
from alsim.policies.uniform import Uniform
from alsim.policies.video_weakest import VideoWeakest
from alsim.policies.weakest import Weakest
from alsim.policies.zpd import NearestChance
from alsim.policies.zpdes import ZPDES
from alsim.utils.plugins import can_be_found, describe, import_object, load_plugin, package_of, plugins, warn_of_plugin

GROUP = "alsim.policies"
"""Group of the entry points of policies."""

Make = Callable[..., Policy]

POLICIES: dict[str, Make] = {
    "uniform": Uniform,
    "rules": Rules,
    "epsilon-greedy": EpsilonGreedy,
    "mix": Mix,
    "round-robin": RoundRobin,
    "weakest": Weakest,
    "video-weakest": VideoWeakest,
    "mastery-gated": MasteryGated,
    "zpd": NearestChance,
    "zpdes": ZPDES,
    "cat": CATPolicy,
    "leitner": Leitner,
    "sm2": SM2,
    "fsrs": FSRS,
    "threshold": RecallThreshold,
    "random-due": RandomDue,
    "bkt": BKT,
    "student": student_policy,
    "engine": engine_policy,
    "oracle": Oracle,
    "thompson": Thompson,
    "lints": LinTS,
    "ucb1": UCB1,
    "linucb": LinUCB,
    "softmax": Softmax,
    "igw": InverseGap,
    "exp3": Exp3,
}
"""Registered policies by name: classes, or functions, that return a policy when they are called."""

RESERVED = ":()"
"""Characters with a meaning in the grammar, which a registered name must not contain."""


def register_policy(name: str, make: Make) -> None:
    """Register a policy under a name, which `make_policy`, rollouts and the command line then accept.

    name  unique name, not empty, without colons and parentheses
    make  class of the policy, or function that returns a policy

    The positional parameters of `make` are the arguments that may follow the name, as in `name:0.2`. They are converted
    to the type of the parameter: str, int, float, bool or Policy (a nested name). The type is the annotation, or else
    that of the default. The name of the policy in the manifest of a dataset then includes the arguments.

    A class or function may be registered again, as when a cell of a notebook is run again: the last one replaces one
    that has the same module and qualified name. Raises ValueError if the name is otherwise in use, and TypeError for
    arguments of another type.
    """
    if not isinstance(name, str) or not name or not callable(make):
        raise InputTypeError(
            f"register_policy needs a name, not empty, and a class or function; got {name!r} and {make!r}"
        )
    if not _is_allowed(name):
        raise AlsimError(f"the name of a policy must have no colon, parenthesis or outer space; got {name!r}")
    if name in POLICIES and not _is_new_version(make, POLICIES[name]):
        own = package_of(POLICIES[name]) != "alsim"
        cure = f", or first remove the other one: alsim.policies.POLICIES.pop({name!r})" if own else ""
        raise AlsimError(
            f"the policy {name!r} is already registered; registered are {', '.join(POLICIES)}; use another name{cure}"
        )
    POLICIES[name] = make


def _is_new_version(make: Make, registered: Make) -> bool:
    """Return whether two classes or functions have the same module and qualified name."""
    places = [(getattr(m, "__module__", None), getattr(m, "__qualname__", None)) for m in (make, registered)]
    return make is registered or (places[0] == places[1] and None not in places[0])


def make_policy(policy: str | Path | Policy) -> Policy:
    """Return the policy with a name, the policy saved in a directory, or the policy itself.

    A name is registered (`rules`), registered with arguments (`epsilon-greedy:rules:0.2`), a directory, or
    `module:Class`. See docs/policies.md.

    Raises ValueError for an unknown name or an invalid saved policy, and TypeError for other objects.
    """
    if isinstance(policy, str):
        return _from_name(policy)
    if isinstance(policy, Path):
        return _from_directory(policy) or _no_directory(policy)
    return checked_policy(policy)


def is_registered(name: str) -> bool:
    """Return whether a name, and every policy in its arguments, is registered. No module and no directory is read.

    Raises ValueError for parentheses that are not balanced.
    """
    head, colon, rest = name.partition(":")
    make = _find(head) if head else None
    if make is None:
        return False
    arguments = split(name, rest) if colon else []
    pairs = zip(parameters_of(make), arguments, strict=False)
    return all(is_registered(nested) for parameter, text in pairs for nested in _nested_names(parameter, text))


def _nested_names(parameter: Parameter, text: str) -> list[str]:
    """Return the names of policies in an argument."""
    if parameter.kind == Weights:
        return [base for base, _ in read_weights(text, text)]
    return [text] if parameter.kind is Policy else []


def known_policies() -> list[str]:
    """Return the names of the registered policies, with those of plugins, which are not loaded."""
    return [*POLICIES, *_plugins()]


def load_plugins() -> None:
    """Load and register the policies of all entry points. A plugin that cannot be loaded gives a warning."""
    for name, point in _plugins().items():
        _load(name, point)


def signature(name: str, make: Make) -> str:
    """Return a registered name with its parameters, as in "epsilon-greedy:POLICY:EPSILON"; optional ones in brackets.

    A parameter that takes a policy is named POLICY.
    """
    text = name
    for parameter in parameters_of(make):
        words = {Policy: "POLICY", Weights: "POLICY=WEIGHT,..."}
        word = words.get(parameter.kind, parameter.name.upper().replace("_", "-"))
        text += f":{word}" if parameter.required else f"[:{word}]"
    return text


# ── registered names, with arguments ─────────────────────────────────────────────────────────────


class Parameter(NamedTuple):
    """A parameter of a registered class or function; `kind` is the type that an argument is converted to."""

    name: str
    kind: Any
    required: bool
    default: Any = None


def _from_name(name: str) -> Policy:
    """Return the policy with a name of the grammar. Raises AlsimError."""
    head, colon, rest = name.partition(":")
    if not head:
        _unknown(name)
    make = _find(head)
    if make is not None:
        return _make(head, make, split(name, rest) if colon else [])
    return _from_directory(Path(name)) or _from_module(name) or _unknown(name)


def _similar(name: str) -> str:
    """Return a valid name that a user may have meant, "" if there is none: a typo, or a point instead of a colon."""
    head, colon, rest = name.partition(":")
    module, point, attribute = head.rpartition(".")
    if point and not colon and attribute.isidentifier() and can_be_found(module):
        return f"{module}:{attribute}"
    if colon and can_be_found(head):
        return ""
    match = closest_name(head, [known for known in known_policies() if known != name])
    return f"{match}{colon}{rest}" if match else ""


def _find(name: str) -> Make | None:
    """Return the class or function with a registered name; an entry point is loaded and registered."""
    if name not in POLICIES and (point := _plugins().get(name)) is not None:
        _load(name, point)
    return POLICIES.get(name)


def _plugins() -> dict[str, EntryPoint]:
    """Return the entry points of policies by name; a name that the grammar does not allow gives a warning."""
    found = plugins(GROUP, POLICIES)
    for name in [name for name in found if not _is_allowed(name)]:
        warn_of_plugin(found.pop(name), "is ignored: its name has a colon, a parenthesis or outer space")
    return found


def _is_allowed(name: str) -> bool:
    """Return whether the grammar allows the name of a registered policy."""
    return not any(character in RESERVED for character in name) and name == name.strip()


def _load(name: str, point: EntryPoint) -> None:
    """Load an entry point and register its class, function or policy; a plugin that is unusable gives a warning."""
    made = load_plugin(point)
    if name in POLICIES or made is None:  # its module may have registered the name
        return
    if callable(made):
        POLICIES[name] = made
    elif isinstance(made, Policy):
        POLICIES[name] = _always(made)
    else:
        warn_of_plugin(point, f"must be a class, a function or a policy; got {made!r}")


def _always(policy: Policy) -> Make:
    """Return a function without arguments that returns a policy, described as the class of the policy."""

    def make() -> Policy:
        return policy

    make.__doc__, make.__module__ = type(policy).__doc__, type(policy).__module__
    return make


def _make(name: str, make: Make, arguments: list[str], *, registered: bool = True) -> Policy:
    """Return the policy that a class or function returns for the arguments of a name. Raises AlsimError.

    registered  whether the policy gets the name `name:arguments`; otherwise, its own name with the arguments
    """
    parameters, form = parameters_of(make), signature(name, make)
    required = sum(parameter.required for parameter in parameters)
    if not required <= len(arguments) <= len(parameters):
        counts = str(required) if required == len(parameters) else f"{required} to {len(parameters)}"
        noun = "argument" if counts == "1" else "arguments"
        got = ", ".join(map(repr, arguments)) or "none"
        cure = f"write {form}" if parameters else f"write {name}"
        nested = ", with a nested name in parentheses" if any(p.kind in (Policy, Weights) for p in parameters) else ""
        raise AlsimError(f"the policy {name!r} takes {counts} {noun}; got {got}; {cure}{nested}")
    values = _values(name, form, parameters, arguments)
    policy = _call(name, make, values)
    if arguments:
        suffix = ":" + ":".join(map(_normal, values))
        if registered or not policy.name.endswith(suffix):
            _rename(policy, (name if registered else policy.name) + suffix)
        keep_arguments(policy, [value for value in values if isinstance(value, Policy)])
    return policy


def _values(name: str, form: str, parameters: list[Parameter], arguments: list[str]) -> list[Any]:
    """Return the converted arguments of a name. Raises AlsimError, which shows the right order if another is valid."""
    try:
        return [_convert(form, p, text) for p, text in zip(parameters, arguments, strict=False)]
    except AlsimError:
        kinds = [p.kind for p in parameters]
        if kinds == [Policy, float] and _is_number(arguments[0]) and not _is_number(arguments[1]):
            correct = ":".join([name, enclosed(arguments[1]), arguments[0]])
            raise AlsimError(
                f"the arguments of {name} are in the wrong order; did you mean {correct!r}? The form is {form}"
            ) from None
        raise


def _is_number(text: str) -> bool:
    """Return whether a text can be converted to a float."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def parameters_of(make: Make) -> list[Parameter]:
    """Return the positional parameters of a class or function."""
    try:
        parameters = inspect.signature(make, eval_str=True).parameters.values()
    except NameError:  # an annotation that only type checkers can resolve
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # compiled code without a signature
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        Parameter(p.name, _kind(p), p.default is inspect.Parameter.empty, p.default)
        for p in parameters
        if p.kind in positional
    ]


def _kind(parameter: inspect.Parameter) -> Any:
    """Return the type of a parameter: from its annotation, without None, or from its default; otherwise str."""
    annotation, default = parameter.annotation, parameter.default
    if annotation is inspect.Parameter.empty:
        return type(default) if isinstance(default, bool | int | float) else str
    if annotation == Weights:
        return Weights
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    kinds = [kind for kind in members if kind is not NoneType]
    for kind in kinds:
        if isinstance(kind, type) and callable(getattr(kind, "act", None)):  # Policy, or a class of policies
            return Policy
    by_name = {"str": str, "int": int, "float": float, "bool": bool, "Policy": Policy}
    return by_name.get(kinds[0], kinds[0]) if isinstance(kinds[0], str) else kinds[0]


BOOLEANS = {"true": True, "false": False}


def _convert(form: str, parameter: Parameter, text: str) -> Any:
    """Return the value of an argument. Raises AlsimError for a text of another type."""
    if parameter.kind is Policy:
        return _from_name(text)
    if parameter.kind == Weights:
        return [(_from_name(base), weight) for base, weight in read_weights(f"mix:{text}", text)]
    readers: dict[Any, tuple[str, Callable[[str], Any]]] = {
        str: ("text", str),
        int: ("an integer", int),
        float: ("a number", float),
        bool: ("true or false", lambda word: BOOLEANS[word.lower()]),
    }
    if parameter.kind not in readers:
        raise AlsimError(
            f"the parameter {parameter.name!r} of {form} has the type {parameter.kind!r}; arguments in a name can be "
            "str, int, float, bool or Policy; pass a policy object instead"
        )
    expected, read = readers[parameter.kind]
    try:
        return read(text)
    except (KeyError, ValueError):
        raise AlsimError(f"the argument {parameter.name!r} of {form} must be {expected}; got {text!r}") from None


def _normal(value: Any) -> str:
    """Return an argument as it is written in the name of a policy."""
    if isinstance(value, list):
        return weights_text(value)
    return enclosed(value.name if isinstance(value, Policy) else value if isinstance(value, str) else repr(value))


def _rename(policy: Policy, name: str) -> None:
    """Give a policy its name with arguments. Raises InputTypeError if its class does not allow it."""
    if policy.name == name:
        return
    frozen = dataclasses.is_dataclass(policy) and type(policy).__dataclass_params__.frozen
    with suppress(AttributeError):  # a property, or __slots__
        (object.__setattr__ if frozen else setattr)(policy, "name", name)
    if policy.name != name:
        raise InputTypeError(
            f"the name of the policy must become {name!r}, which identifies its arguments, but stays {policy.name!r}; "
            f"let {type(policy).__name__} have an attribute `name` that can be assigned"
        )


# ── directories and modules ──────────────────────────────────────────────────────────────────────


def _from_directory(path: Path) -> Policy | None:
    """Return the policy in a directory; None if there is no directory. Raises AlsimError if it holds no policy."""
    try:
        saved, exists = is_saved(path), path.is_dir()
    except OSError:  # the name is too long, or a folder may not be searched
        return None
    if saved:
        return NetworkPolicy.load(path)
    if not exists:
        return None
    if (path / "manifest.json").is_file():
        raise AlsimError(
            f"{path} is a dataset, but a policy is needed; pass the name of a policy, such as rules, or the directory "
            "of a trained one"
        )
    if (path / "settings.json").is_file() and (seeds := sorted(path.glob("seed-*"))):
        raise AlsimError(f"{path} holds a training with several seeds; pass the directory of one, such as {seeds[0]}")
    if (path / "settings.json").is_file() and not (path / "evaluation.json").is_file():
        raise AlsimError(
            f"{path} holds an unfinished training, which has no policy yet; the same alsim train command resumes it"
        )
    raise AlsimError(
        f"the directory {path} holds no policy: there is no {DESCRIPTION}; pass a directory that alsim train or "
        "NetworkPolicy.save wrote"
    )


def _from_module(name: str) -> Policy | None:
    """Return the policy with a name `module:Class`, None for a name without a colon. Raises AlsimError."""
    is_path = any(separator in name for separator in "/\\") and not name.partition(":")[0].endswith(".py")
    if ":" not in name or is_path or _similar(name):
        return None
    module, _, rest = name.partition(":")
    attribute, colon, arguments = rest.partition(":")
    reference = f"{module}:{attribute}"
    found = import_object(reference)
    if isinstance(found, type) or (callable(found) and not isinstance(found, Policy)):
        return _make(reference, found, split(name, arguments) if colon else [], registered=False)
    policy = checked_policy(found, reference)
    if colon:
        raise AlsimError(f"{reference} is an instance, which takes no arguments; got {arguments!r}; write {reference}")
    return policy


def _call(name: str, make: Make, values: Sequence[Any]) -> Policy:
    """Return the policy that a class or function returns. Raises AlsimError for an exception of the user's code."""
    try:
        policy = make(*values)
    except AlsimError as error:
        add_place(error, name)
        raise
    except Exception as error:  # the code of a user may raise any exception
        reason = f"{describe(error)}{place_of(error)}"
        raise AlsimError(f"the policy {name!r} cannot be created: {reason}; correct {make!r}") from error
    return checked_policy(policy, name)


def _no_directory(path: Path) -> NoReturn:
    """Raise AlsimError for a path without a directory."""
    is_name = str(path).partition(":")[0] in known_policies()
    raise AlsimError(
        f"a Path must lead to the directory of a saved policy, and a name must be a str; got {path!r}, which does not "
        f"exist; {f'pass {str(path)!r}' if is_name else 'correct the path'}"
    )


def _unknown(name: str) -> NoReturn:
    """Raise AlsimError for an unknown name, or for the name of a plugin that is unusable."""
    if name.endswith(".zip"):
        raise AlsimError(
            f"unknown policy {name!r}; a model that Stable-Baselines3 saved must be converted: "
            f"alsim.training.policy_of(PPO.load({name!r})).save('DIRECTORY'); then pass the directory"
        )
    known = [
        signature(known, POLICIES[known]) if known in POLICIES else known for known in known_policies() if known != name
    ]
    similar = _similar(name)
    begin = f"did you mean {similar!r}? Known" if similar else "known"
    raise AlsimError(
        f"unknown policy {name!r}; {begin} are {', '.join(known)}, directories with a saved policy, and "
        "module:Class; alsim.register_policy adds a name, and --import MODULE imports a module that calls it"
    )


__all__ = [
    "POLICIES",
    "is_registered",
    "known_policies",
    "load_plugins",
    "make_policy",
    "parameters_of",
    "register_policy",
    "signature",
]
