"""Response logs: the type, and its construction from files, arrays, tables, matrices and datasets."""
