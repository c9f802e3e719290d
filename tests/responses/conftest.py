import pytest


@pytest.fixture
def write(tmp_path):
    """Write a file."""

    def written(content, name="log.csv"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return written
