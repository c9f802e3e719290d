"""Notice that kernels are being compiled, which can take half a minute without any other output."""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakSet

from numba.core import event as _events

from alsim.jit.cache import CACHE_DIRECTORY

logger = logging.getLogger("alsim.jit")
# numba leaves these untyped.
events: Any = _events
Listener: Any = _events.Listener

STORED = "alsim: compiling, once, up to 30 s: later calls and processes load the result from disk"
NOT_STORED = (
    "alsim: compiling, up to 30 s, in every process, since there is no cache: "
    "set ALSIM_CACHE_DIR to a directory that is writable"
)

_kernels: WeakSet[Any] = WeakSet()
"""Kernels of alsim: numba also reports the compilation of rules, and of functions of other packages."""


class _FirstCompilation(Listener):  # type: ignore[misc]  # numba's class is untyped
    """Listener that logs one warning when the first kernel of this process is compiled."""

    def __init__(self) -> None:
        self._is_logged = False

    def on_start(self, event: Any) -> None:
        """Log the warning. Kernels that are loaded from the cache start no event."""
        if not self._is_logged and event.data["dispatcher"] in _kernels:
            self._is_logged = True
            logger.warning(STORED if CACHE_DIRECTORY else NOT_STORED)

    def on_end(self, event: Any) -> None:
        """Do nothing."""


def announce(kernel: Any) -> None:
    """Log a warning when this kernel is compiled, unless another kernel of this process was compiled before.

    Without other configuration of `logging`, Python prints warnings on stderr.
    """
    if not _kernels:
        events.register("numba:compile", _FirstCompilation())
    _kernels.add(kernel)
