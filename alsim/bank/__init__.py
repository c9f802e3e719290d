"""Banks of questions and contents, sampled from a configuration or read from files."""
