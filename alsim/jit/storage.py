"""Compiled kernels on disk: a cache that is damaged, full or not readable costs time, and nothing else.

numba's cache raises the errors of damaged files, and loads machine code whose bytes have changed.
"""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core import caching

logger = logging.getLogger("alsim.jit")
# numba leaves these untyped.
FunctionCache: Any = caching.FunctionCache
IndexDataCacheFile: Any = caching.IndexDataCacheFile

_reported: set[str] = set()
"""Problems that this process has logged."""


class CheckedFiles(IndexDataCacheFile):  # type: ignore[misc]  # numba's class is untyped
    """The index and the data files of a kernel, with the SHA-256 of their contents, and the key of each data file.

    Two processes that add different keys to an index at the same time give them one file name.
    """

    def save(self, key: Any, data: Any) -> None:
        """Store data with their key."""
        super().save(key, (key, data))

    def load(self, key: Any) -> Any:
        """Return the data of a key; None if there are none, or those of another key under their name."""
        stored, data = super().load(key) or (None, None)
        return data if stored == key else None

    def _dump(self, value: Any) -> bytes:
        content: bytes = super()._dump(value)
        return hashlib.sha256(content).digest() + content

    def _load_index(self) -> dict[Any, Any]:
        try:
            stream = io.BytesIO(Path(self._index_path).read_bytes())
        except FileNotFoundError:
            return {}
        if pickle.load(stream) != self._version:
            return {}
        stamp, overloads = _loaded(stream.read())
        return dict(overloads) if stamp == self._source_stamp else {}

    def _load_data(self, name: str) -> Any:
        return _loaded(Path(self._data_path(name)).read_bytes())


class KernelCache(FunctionCache):  # type: ignore[misc]  # numba's class is untyped
    """Cache of one kernel. If it cannot be read or written, the kernel is compiled, and a warning is logged once."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file: Any = CheckedFiles(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Return the kernel for a signature, or None if it must be compiled."""
        try:
            return super().load_overload(signature, context)
        except Exception as error:  # unpickling damaged bytes can raise anything
            self._report("cannot be read", error)
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Store a kernel, in place of a damaged one."""
        try:
            try:
                super().save_overload(signature, data)
            except OSError:
                raise
            except Exception:  # the index is damaged
                self.flush()
                super().save_overload(signature, data)
        except Exception as error:
            self._report("cannot be written", error)

    def _report(self, problem: str, error: Exception) -> None:
        """Log a warning, unless this process has logged the same problem."""
        if problem in _reported:
            return
        _reported.add(problem)
        reason = (error.strerror if isinstance(error, OSError) else None) or f"{type(error).__name__}: {error}"
        logger.warning(
            "alsim: the cache of compiled kernels %s (%s), so kernels are compiled again; delete %s, or set "
            "ALSIM_CACHE_DIR to another directory",
            problem,
            reason,
            self._cache_path,
        )


def _loaded(content: bytes) -> Any:
    """Return the value whose pickle is stored with its SHA-256. Raises ValueError if the bytes have changed."""
    digest, pickled = content[:32], content[32:]
    if hashlib.sha256(pickled).digest() != digest:
        raise ValueError("a file was changed or cut off after it was written")
    return pickle.loads(pickled)
