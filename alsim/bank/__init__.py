"""Item banks: questions and contents, sampled or read from files."""
