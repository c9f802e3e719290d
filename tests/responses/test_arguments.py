"""Arguments of other types than those that are documented: the error names the argument."""

import pytest

from alsim.models import Responses, ResponsesError, read_responses


@pytest.mark.parametrize("missing", ["-1", "99", b"0", 9])
def test_values_that_mean_no_response_are_a_list(write, missing):
    """The text -1 would be the values - and 1, so that each correct answer would be missing."""
    file = write("q1,q2\n1,0\n1,1\n")
    for read in (lambda: read_responses(file, missing=missing), lambda: Responses.from_matrix([[1]], missing=missing)):
        with pytest.raises(ResponsesError) as error:
            read()
        assert str(error.value) == f"missing must be a list of values; got {missing!r}; pass missing=[{missing!r}]"
