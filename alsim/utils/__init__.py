"""General utilities: threads, files, output directories, optional dependencies."""
