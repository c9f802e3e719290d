"""The server of the engine against its OpenAPI schema: requests made by schemathesis (`nox -s compat-server`)."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from served import in_thread, make_engine

from alsim.engine.server import create_app

KEY = "correct-horse-battery-staple"
HERE = Path(__file__).parents[1]


@pytest.mark.parametrize(("phases", "examples"), [("examples,coverage,fuzzing", 50), ("stateful", 3)])
def test_answers_follow_the_schema(tmp_path, phases, examples):
    """All checks: statuses, bodies, headers, valid data accepted, invalid data refused, methods, the API key.

    `coverage` tries each boundary of each value, `fuzzing` random values, and `stateful` sequences of requests on the
    students that earlier ones have made.
    """
    engine = make_engine()
    with in_thread(create_app(engine, api_key=KEY)) as url:
        done = subprocess.run(
            [
                *(shutil.which("schemathesis"), "run", f"{url}/openapi.json", "--header", f"X-API-Key: {KEY}"),
                *("--checks", "all", "--phases", phases, "--max-examples", str(examples), "--seed", "0", "--no-color"),
            ],
            capture_output=True,
            text=True,
            timeout=500,
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": f"{HERE}:{HERE.parent}"},
        )
    assert done.returncode == 0, done.stdout + done.stderr
    (generated,) = re.findall(r"([\d,]+) generated, ", done.stdout)
    assert int(generated.replace(",", "")) > 300
    assert len(list(engine.students())) > 10
