"""Response logs: the one type that models take, what builds it of columns and matrices, and what reads files."""
