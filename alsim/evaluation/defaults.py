"""Defaults of evaluations, shared by the functions and the command line, which loads this module only at its start."""

COMPARE_LEARNERS = 10_000
"""Learners of a comparison."""
MATRIX_LEARNERS = 2000
"""Learners of each column of a matrix."""
AUDIT_LEARNERS = 1000
"""Learners of an audit."""
CERTIFIED_LOGS = 20
"""Repeated logs of a certificate."""
SCORECARD_LEARNERS = 1000
"""Learners of each log of a scorecard to which the model is fitted; half as many are held out."""
SCORECARD_LOGS = 10
"""Simulated logs of a scorecard; of `dkt`, one."""
