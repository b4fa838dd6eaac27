"""The examples draw what the documentation says they draw."""

import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py") if path.stem != "picture")
FEWER_EPOCHS = {"small_weights": ("epochs=2000", "epochs=300")}
"""What is changed in examples that show the same much sooner; as they are they run with `make test-all`."""


def run_example(name, folder, monkeypatch, *change):
    """An example as its command line runs it, every warning an error, with that part of its text replaced."""
    path = ROOT / "examples" / f"{name}.py"
    text = path.read_text()
    if change:
        assert text.count(change[0]) == 1
        path = folder / path.name
        path.write_text(text.replace(*change))
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setattr(sys, "argv", [str(path), "--out", str(folder)])
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs_its_assertions_hold_and_it_is_shown(name, tmp_path, monkeypatch, capsys):
    """Each asserts its own claim; the figures that the page gives are those that it prints."""
    run_example(name, tmp_path, monkeypatch, *FEWER_EPOCHS.get(name, ()))
    said = capsys.readouterr().out
    assert (tmp_path / f"{name}.svg").read_text().startswith("<svg")
    page = (ROOT / "docs" / "examples.md").read_text()
    assert f"pictures/{name}.svg" in page
    assert (ROOT / "docs" / "pictures" / f"{name}.svg").exists()
    if name == "slow_sigmoid":
        took = {line.split(":")[0]: int(re.search(r"after (\d+)", line).group(1)) for line in said.splitlines()}
        assert took["squared error from 2, 2"] >= 5 * took["cross-entropy from 2, 2"]
        for epochs in took.values():
            assert f" {epochs} " in page


@pytest.mark.long
@pytest.mark.parametrize("name", FEWER_EPOCHS)
def test_example_runs_as_it_is(name, tmp_path, monkeypatch):
    run_example(name, tmp_path, monkeypatch)
    assert (tmp_path / f"{name}.svg").exists()
