"""The examples draw what the documentation says they draw."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py") if path.stem != "picture")


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs_its_assertions_hold_and_it_is_shown(name, tmp_path):
    """Each asserts its own claim; the figures that the page gives are those that it prints."""
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"{name}.svg").read_text().startswith("<svg")
    page = (ROOT / "docs" / "examples.md").read_text()
    assert f"pictures/{name}.svg" in page
    assert (ROOT / "docs" / "pictures" / f"{name}.svg").exists()
    if name == "slow_sigmoid":
        took = {line.split(":")[0]: int(re.search(r"after (\d+)", line).group(1)) for line in done.stdout.splitlines()}
        assert took["squared error from 2, 2"] >= 5 * took["cross-entropy from 2, 2"]
        for epochs in took.values():
            assert f" {epochs} " in page
