"""Files and directories that are written under a temporary name."""

import pytest

from alsim.utils.files import renamed_file, temporary_directory


@pytest.mark.parametrize("write", [renamed_file, temporary_directory])
def test_an_error_names_the_path_and_not_the_temporary_name(tmp_path, write):
    path = tmp_path / "absent" / "report.json"
    with pytest.raises(FileNotFoundError) as raised, write(path):
        pass
    assert raised.value.filename == str(path)
