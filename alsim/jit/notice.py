"""Notice that kernels are being compiled, which takes about ten seconds without any other output."""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakKeyDictionary

from numba.core import event as _events

from alsim.jit.cache import CACHE_DIRECTORY
from alsim.jit.fingerprints import is_of_main, title_of

logger = logging.getLogger("alsim.jit")
# numba leaves these untyped.
events: Any = _events
Listener: Any = _events.Listener

STORED = "alsim: compiling, once, about 10 s on an idle machine: later calls and processes load the result from disk"
NOT_STORED = (
    "alsim: compiling, about 10 s on an idle machine, in every process, since there is no cache: "
    "set ALSIM_CACHE_DIR to a directory that is writable"
)
OF_MAIN = (
    "alsim: compiling, about 10 s on an idle machine, in every process, since the main program or a notebook defines "
    "these rules: "
    "define them in a module, and later processes load the result from disk"
)

_kernels: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
"""Kernels of alsim, with the names of their own caches: numba also reports rules, and functions of other packages."""


class _Compilations(Listener):  # type: ignore[misc]  # numba's class is untyped
    """Listener that logs one warning when a family of kernels is compiled: the package's, and each of users' rules."""

    def __init__(self) -> None:
        self._logged: set[Any] = set()

    def on_start(self, event: Any) -> None:
        """Log the warning. Kernels that are loaded from the cache start no event."""
        kernel = event.data["dispatcher"]
        if kernel not in _kernels:
            return
        own_cache = _kernels[kernel]
        family = _family(kernel, event.data.get("args") or ()) if own_cache else ()
        if family is not None and (own_cache, family) not in self._logged:
            self._logged.add((own_cache, family))
            logger.warning(_message(own_cache))

    def on_end(self, event: Any) -> None:
        """Do nothing."""


def _message(own_cache: str) -> str:
    """Return the notice for kernels of the package (""), or of users' rules."""
    message = STORED if CACHE_DIRECTORY else NOT_STORED
    if not own_cache:
        return message
    if CACHE_DIRECTORY and is_of_main(own_cache):
        message = OF_MAIN
    return message.replace("compiling", f"compiling {title_of(own_cache)}")


def _family(kernel: Any, arguments: Any) -> tuple[str, ...] | None:
    """Return what distinguishes kernels of users' rules that are compiled at other times; None for small kernels.

    These are the package of the kernel, for steps or rollouts, and the classes of its arguments, such as the
    parameters of a policy.
    """
    package = kernel.py_func.__module__.rpartition(".")[0]
    classes = (getattr(kind, "instance_class", None) for kind in arguments)
    return None if package == __name__.rpartition(".")[0] else (package, *(c.__name__ for c in classes if c))


def announce(kernel: Any, own_cache: str = "") -> None:
    """Log a warning when this kernel is compiled, unless a kernel of its family was compiled before in this process.

    own_cache  name of the cache directory of users' rules, "" for the package's kernels, which are one family

    Without other configuration of `logging`, Python prints warnings on stderr.
    """
    if not _kernels:
        events.register("numba:compile", _Compilations())
    _kernels[kernel] = own_cache
