"""The checks. Each is a function of a Subject, which raises CheckError or returns False if it does not apply."""
