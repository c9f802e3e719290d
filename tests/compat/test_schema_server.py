"""The server of the engine against its OpenAPI schema: requests made by schemathesis (`nox -s compat-server`)."""

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import in_thread, make_engine

from alsim.engine.server import create_app

KEY = "correct-horse-battery-staple"
HERE = Path(__file__).parents[1]


def run(folder, *options, hooks=None, header=f"Authorization: Bearer {KEY}"):
    """Run schemathesis against a server; return what it has printed, and the number of answers by status."""
    paths = {"PYTHONPATH": f"{HERE}:{HERE.parent}"} | ({} if hooks is None else {"SCHEMATHESIS_HOOKS": hooks})
    with in_thread(create_app(make_engine(), api_key=KEY)) as url:
        done = subprocess.run(
            [
                *(shutil.which("schemathesis"), "run", f"{url}/openapi.json", "--header", header),
                *("--seed", "0", "--no-color", *options),
            ],
            capture_output=True,
            text=True,
            timeout=500,
            cwd=folder,
            env={**os.environ, **paths},
        )
        metrics = httpx.get(f"{url}/metrics", headers={"X-API-Key": KEY}, timeout=30).text
    assert done.returncode == 0, done.stdout + done.stderr
    counts = Counter()
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "alsim_request_seconds_count":
                counts[sample.labels["status"]] += sample.value
    assert counts["200"] >= 10  # requests that only fail would pass all checks as well
    assert counts.keys() >= {"200", "401", "404", "422"}
    assert "500" not in counts
    return done.stdout


def test_a_plain_run_passes(tmp_path):
    """As a stranger runs it, with the key and without further options: all checks and phases are the default."""
    printed = run(tmp_path)
    assert all(f"{phase} (in " in printed for phase in ("Coverage", "Fuzzing", "Stateful"))


@pytest.mark.parametrize(("phases", "examples"), [("coverage,fuzzing", 40), ("stateful", 15)])
def test_answers_about_known_items_follow_the_schema(tmp_path, phases, examples):
    """All checks: statuses, bodies, headers, valid data accepted, invalid data refused, methods, the API key.

    `coverage` tries each boundary of each value, `fuzzing` random values, and `stateful` sequences of requests on the
    students that earlier ones have made.
    """
    # Otherwise it adds a random header Authorization to the header with the right key.
    options = "--generation-with-security-parameters", "false"
    limits = "--checks", "all", "--phases", phases, "--max-examples", str(examples)
    run(tmp_path, *limits, *options, hooks="schemathesis_hooks", header=f"X-API-Key: {KEY}")
