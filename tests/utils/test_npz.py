"""Content of npz files that is not valid."""

import io
import zipfile

import numpy as np
import pytest

from alsim.utils.npz import from_npz, to_npz


@pytest.mark.parametrize(
    ("valid", "damaged"),
    [
        (b"'shape': (3,)", b"'shape': 3, )"),  # SyntaxError, and then TokenError: NumPy looks for Python 2's integers
        (b"'shape': (3,)", b"'shape': (3x)"),
        (b"'shape'", b"'shade'"),
        (b"'<f4'", b"'<x4'"),
    ],
    ids=["unbalanced", "not a tuple", "another key", "another type"],
)
def test_a_damaged_header_is_a_value_error(valid, damaged):
    content = to_npz({"weights": np.zeros(3, np.float32)})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = archive.read("weights.npy")
    assert member.count(valid) == 1
    assert len(valid) == len(damaged)
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        archive.writestr("weights.npy", member.replace(valid, damaged))
    with pytest.raises(ValueError, match=r".") as raised:
        from_npz(changed.getvalue(), {"weights": (3,)})
    assert type(raised.value) is ValueError
