"""Check of arrays that broadcast: all entries are valid, or the first invalid one is named."""

from __future__ import annotations

import numpy as np

from alsim.models.base import ModelError
from alsim.types import Bools, Doubles, describe


def require_all(valid: Bools, values: Doubles, expected: str, cure: str) -> None:
    """Raise ModelError with the first invalid value unless all are valid.

    valid     whether each value is valid
    expected  begin of the message, such as "rating must be 1, 2, 3 or 4"
    cure      its end
    """
    if not np.all(valid):
        bad = np.asarray(values)[~np.asarray(valid)].flat[0]
        raise ModelError(f"{expected}; got {describe(bad)}: {cure}")


__all__ = ["require_all"]
