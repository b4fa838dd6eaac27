"""Calls as a user makes them: in a process of its own, where arguments are not checked against their annotations
(`conftest.py`) before the package can say what is wrong with them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def call(function) -> Any:
    """What a function of a test module without arguments returns there, as plain JSON."""
    script = f"import json; from {function.__module__} import {function.__name__} as f; print(json.dumps(f()))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
