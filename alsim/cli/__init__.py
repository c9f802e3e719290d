"""Command line of alsim.

The exit status is 0 on success, 1 if a check failed, and 2 for invalid input, which one sentence on stderr explains.
"""

from alsim.cli import (  # noqa: F401  # registers the commands
    abtest,
    audit,
    banks,
    cat,
    checks,
    compare,
    datasets,
    engine,
    engine_audit,
    engine_export,
    engine_students,
    engine_upkeep,
    export,
    fairness,
    fitting,
    matrix,
    ope,
    rehearse,
    scorecard,
    scoring,
    settings,
    show,
    training,
)
from alsim.cli.app import app, main

__all__ = ["app", "main"]
