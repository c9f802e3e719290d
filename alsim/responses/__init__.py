"""Response logs: the type, and reading it from files, arrays and datasets."""
