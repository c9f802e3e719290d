"""The checks, each a function of a Subject: it raises CheckError, or returns False where nothing is to check."""
