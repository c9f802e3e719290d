"""Arrays of names of limited length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alsim.errors import AlsimError

MAX_NAME = 1000
"""Largest number of characters of the name of a student, item or skill."""


SHOWN_NAMES = 5
"""Number of names that a message lists at most."""


def listed(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others."""
    more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(map(str, names[:SHOWN_NAMES])) + more


def name_array(names: ArrayLike) -> NDArray[np.str_]:
    """Return names as an array of strings. Raises AlsimError for a name of more than MAX_NAME characters.

    NumPy gives every string of an array the width of the longest, 4 bytes per character. Without a limit, one name of
    600 kB among 20,000 would need 44 GiB.
    """
    if not isinstance(names, np.ndarray) or names.dtype.kind == "O":
        values: list[Any] = names.ravel().tolist() if isinstance(names, np.ndarray) else [*names]  # type: ignore[misc]
        longest = max((name for name in values if isinstance(name, str)), key=len, default="")
        if len(longest) > MAX_NAME:
            raise AlsimError(
                f"a name has {len(longest):,} characters: {longest[:20]!r}...; expected at most {MAX_NAME:,}: "
                "shorten it"
            )
    return np.array(names, np.str_)
