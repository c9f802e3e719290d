"""Arrays of names of limited length, and names of whole numbers."""

from __future__ import annotations

import re
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


WHOLE_NUMBER = r"^(-?[0-9]+)\.0*$"
"""Names of whole numbers with decimals, such as 10.0; its group is the name without them. Leading zeros stay: the names
010 and 10 differ. The syntax is that of both Python and Arrow."""
_WHOLE_NUMBER = re.compile(WHOLE_NUMBER)


def whole_name(name: str) -> str:
    """Return a name; that of a whole number, such as 10.0, without its decimals."""
    return _WHOLE_NUMBER.sub(r"\1", name) if "." in name else name


def name_array(names: ArrayLike) -> NDArray[np.str_]:
    """Return names as an array of strings. Raises AlsimError for an invalid name.

    A name has at most MAX_NAME characters, and does not end with a null character, which NumPy would remove.

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
        if (name := next((name for name in values if isinstance(name, str) and name.endswith("\0")), None)) is not None:
            raise AlsimError(f"the name {name!r} ends with a null character: remove it")
    return np.array(names, np.str_)
