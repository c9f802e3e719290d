"""Code of users: modules that are imported by name, and entry points of installed distributions."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from operator import attrgetter
from types import ModuleType
from typing import Any

from alsim.errors import AlsimError

_imported: dict[str, None] = {}
"""Modules imported by `import_modules`, in order; worker processes import them too."""

_loaded: set[tuple[str, str, str]] = set()
"""Group, name and distribution of the entry points that were loaded."""


class PluginWarning(UserWarning):
    """Warning about an entry point that cannot be used; the message names its distribution."""


def import_modules(names: Iterable[str]) -> None:
    """Import modules that register policies or dynamics. Raises AlsimError, which names the module.

    Worker processes of `generate_dataset` import the same modules before they start.
    """
    for name in names:
        import_by_name(name)
        _imported[name] = None


def imported_modules() -> tuple[str, ...]:
    """Return the names of the modules imported by `import_modules`, in order."""
    return tuple(_imported)


def import_by_name(name: str) -> ModuleType:
    """Return the module with a dotted name, imported if necessary. Raises AlsimError."""
    if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        stem = name.removesuffix(".py").replace("\\", "/").rpartition("/")[2]
        cure = f"write {stem}, and run from its directory" if name.endswith(".py") else "such as package.module"
        raise AlsimError(f"the name of a module must be identifiers separated by dots; got {name!r}; {cure}")
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):  # a dependency of the module
            raise _import_error(name, error) from error
        raise AlsimError(
            f"the module {name!r} cannot be found ({error}); run from the directory that contains it, add that "
            "directory to PYTHONPATH, or install its package"
        ) from None
    except (Exception, SystemExit) as error:  # the code of a user may raise any exception, and a script may exit
        raise _import_error(name, error) from error


def can_be_found(name: str) -> bool:
    """Return whether the top-level package of a dotted name can be found, without importing it."""
    package = name.partition(".")[0]
    try:
        return package.isidentifier() and (package in sys.modules or find_spec(package) is not None)
    except (ImportError, ValueError):  # a module without a specification
        return False


def _import_error(name: str, error: BaseException) -> AlsimError:
    """Return the error for a module that raises an exception while it is imported."""
    file = getattr(sys.modules.get(name), "__file__", None) or name
    place = _line_in(name, error) or file
    return AlsimError(f"the module {name!r} cannot be imported: {describe(error)}, in {place}; correct the module")


def _line_in(name: str, error: BaseException) -> str:
    """Return the file and the line of a module at which it raised an exception, "" if unknown."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    trace, place = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == name:
            place = f"{trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


def describe(error: BaseException) -> str:
    """Return the type of an exception and the first line of its message."""
    message = (error.msg if isinstance(error, SyntaxError) else str(error)).strip().partition("\n")[0]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def import_object(reference: str) -> Any:
    """Return the object with a reference `module:Name`, where Name may contain dots. Raises AlsimError."""
    module_name, _, attribute = reference.partition(":")
    if not attribute or not all(part.isidentifier() for part in attribute.split(".")):
        raise AlsimError(f"a class must be named as module:Class; got {reference!r}")
    module = import_by_name(module_name)
    try:
        return attrgetter(attribute)(module)
    except AttributeError:
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module_name]
        names = ", ".join(name for name in own if not name.startswith("_"))
        defined = f"it defines {names}" if names else "it defines no class and no function"
        raise AlsimError(f"the module {module_name!r} has no {attribute!r}; {defined}") from None


def plugins(group: str, registered: Mapping[str, object]) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, without loading them.

    group       group of the entry points, such as "alsim.policies"
    registered  registered objects by name, which take precedence

    A warning names each distribution whose entry point has a name that is already in use.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        if point.name not in registered:
            other = found.setdefault(point.name, point)
            if other.value != point.value:
                _warn(f"{_title(point)} is ignored: {_title(other)} has the same name; uninstall one of them")
        elif _key(point) not in _loaded and package_of(registered[point.name]) != point.module.partition(".")[0]:
            _warn(f"{_title(point)} is ignored: the name is already registered; ask its authors for another name")
    return found


def load_plugin(point: EntryPoint) -> Any:
    """Return the object of an entry point; if it cannot be loaded, warn and return None."""
    try:
        found = point.load()
    except (Exception, SystemExit) as error:  # the code of a plugin may raise any exception
        warn_of_plugin(point, f"cannot be loaded: {describe(error)}")
        return None
    _loaded.add(_key(point))
    return found


def _key(point: EntryPoint) -> tuple[str, str, str]:
    """Return what identifies an entry point."""
    return point.group, point.name, _distribution(point)


def warn_of_plugin(point: EntryPoint, fault: str) -> None:
    """Warn that an entry point cannot be used."""
    _warn(f"{_title(point)} {fault}; update or uninstall {_distribution(point)}")


def package_of(registered: object) -> str:
    """Return the top-level package of a class, a function, or the class of an instance."""
    defined = getattr(registered, "func", registered)  # of a partial function
    module = getattr(defined, "__module__", None) or type(defined).__module__
    return str(module).partition(".")[0]


def _distribution(point: EntryPoint) -> str:
    """Return the name of the distribution of an entry point."""
    return "its distribution" if point.dist is None else point.dist.name


def _title(point: EntryPoint) -> str:
    """Return the name, the group and the distribution of an entry point, for messages."""
    version = "" if point.dist is None else f" {point.dist.version}"
    return f"the entry point {point.name!r} ({point.group}) of {_distribution(point)}{version}"


def _warn(message: str) -> None:
    """Warn of an entry point."""
    warnings.warn(message, PluginWarning, stacklevel=2)
