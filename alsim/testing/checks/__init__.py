"""The checks. Each is a function of a Subject. It raises CheckError, or returns False if it does not apply."""
