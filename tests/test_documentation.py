"""What the documentation says is run: examples in docstrings, the Python of every page, the commands of every help.
Links lead somewhere, and every row of the map of the notes to code, or it gives a reason."""

import ast
import dataclasses
import importlib
import inspect
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from sklearn.datasets import load_iris

import axonic
from axonic import cli, options

ROOT = Path(__file__).parents[1]
MADE = ("reference", "_build")
"""Folders of the site that `make docs` makes."""
PAGES = sorted(
    path for path in [*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")] if path.parent.name not in MADE
)
MODULES = sorted(m.name for m in pkgutil.walk_packages(axonic.__path__, "axonic.") if "__main__" not in m.name)
WITH_EXAMPLES = [
    name for name in MODULES if ">>> " in Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")
]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def test_every_public_layer_of_the_library_has_an_example():
    for layer in ("layers", "losses", "objective", "optimizers", "training"):
        assert any(f"{name}.".startswith(f"axonic.{layer}.") for name in WITH_EXAMPLES), layer


@pytest.mark.long  # `make docs` runs it
def test_docstrings():
    """In a process of their own, where arguments are not checked against their annotations."""
    script = f"""
import doctest, importlib, warnings
warnings.simplefilter("error")
for name in {WITH_EXAMPLES!r}:
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted
    if tried.failed:
        raise SystemExit(1)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr


def blocks(path, language):
    """The code of a page in a language, with the lines where it stands."""
    found = re.finditer(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.S | re.M)
    return [match.group(1) for match in found]


CODE = [path for path in PAGES if blocks(path, "python")]


LONG = [pytest.param(path, marks=[] if path == ROOT / "README.md" else pytest.mark.long) for path in CODE]


@pytest.mark.parametrize("path", LONG, ids=name_of)
def test_code_of_a_page(path, tmp_path):
    """All of it in one process, from top to bottom, as someone who types it in."""
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks(path, "python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?://|#|mailto:|reference/", link):  # the reference is made with the site
            assert (path.parent / link.split("#")[0]).exists(), link


MADE_UP = {"src/axonic/optimizers/lamb.py"}
"""Files that a page tells the reader to write."""


def test_files_that_pages_name_are_there():
    for path in PAGES:
        for name in re.findall(
            r"`((?:src|docs|tests|benchmarks|examples)/[\w/.-]+)`", path.read_text(encoding="utf-8")
        ):
            assert (ROOT / name).exists() or name in MADE_UP, f"{name_of(path)}: {name}"


# --- help ---

COMMANDS = ["", *(name for name in cli.app if not name.startswith("-"))]


@pytest.fixture
def help_of(monkeypatch, capsys):
    """The help of a command, as a terminal of 100 columns shows it."""
    monkeypatch.setattr(cli.app, "console", Console(width=100, no_color=True))
    monkeypatch.setattr(options.folded, "in_full", False)

    def shown(command, flag="--help"):
        assert cli.main([*command.split(), flag]) == 0
        return capsys.readouterr().out

    return shown


FAST = ["--hidden", "4", "--epochs", "2", "--learning-rate", "0.1", "--batch-size", "32"]
FAST += ["--ensemble", "1", "--regularization", "none", "--no-monitor", "--quiet"]


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder in which the examples of the help work, in the order in which they are needed."""
    path = tmp_path_factory.mktemp("help")
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])
    frame = pl.DataFrame(x, schema=["sl", "sw", "pl", "pw"]).with_columns(species=pl.Series(names[y]))
    frame.write_csv(path / "iris.csv")
    frame.drop("species").write_csv(path / "new.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        assert cli.main(["fit", "iris.csv", "--target", "species", "--out", "runs/iris-1", *FAST]) == 0
    return path


SHORTENED = {
    "fit": FAST,
    "compare": ["--hidden", "4", "--seconds", "0.02", "--seeds", "1", "--quiet"],
    "check": ["--hidden", "4"],
}
NOT_RUN = {"demo"}
"""Trains on the penguins with every stage; its own tests do that."""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_screen_and_its_example_works(command, place, help_of, monkeypatch, capsys):
    shown = help_of(command)
    lines = shown.splitlines()
    assert len(lines) <= (48 if command == "fit" else 30)
    assert max(map(len, lines)) <= 100
    examples = re.findall(r"Example: axonic (.*)", shown)
    assert examples, f"axonic {command} --help has no example"
    if command in NOT_RUN:
        return
    monkeypatch.chdir(place)
    monkeypatch.setattr("webbrowser.open", lambda address: address.startswith("file://"))
    words = shlex.split(examples[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cli.main([*words, *SHORTENED.get(words[0], [])]) == 0, capsys.readouterr().err


def test_options_that_help_only_names_are_explained_by_help_all(help_of):
    named = set(re.findall(r"--[\w-]+", help_of("fit").split("Against overfitting")[1]))
    explained = re.findall(r"^│\s+(--[\w-]+)", help_of("fit", "--help-all"), re.MULTILINE)
    assert named <= set(explained)
    assert len(named) > 20


# --- parameters ---


def public():
    """Functions and classes that a module of the package names in `__all__`."""
    for name in ("axonic", "axonic.layers", "axonic.losses", "axonic.optimizers"):
        module = importlib.import_module(name)
        for item in module.__all__:
            value = getattr(module, item)
            if inspect.isfunction(value) or inspect.isclass(value):
                yield pytest.param(value, id=f"{name}.{item}")


@pytest.mark.parametrize("value", list(public()))
def test_what_is_public_is_documented(value):
    assert inspect.getdoc(value), "no docstring"


def documented(doc):
    """The parameters that a docstring describes, in its section "Parameters"."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", doc, re.S | re.M)
    if section is None:
        return None
    heads = re.findall(r"^(?! )([\w*][\w*, ]*?)(?: :|\n)", section.group(1), re.M)
    return {name.strip(" *") for head in heads for name in head.split(",")}


@pytest.mark.parametrize("name", MODULES)
def test_parameters_documented_are_those_accepted(name):
    """Every parameter that a docstring describes is one of the signature, and the other way round."""
    source = Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        described = documented(ast.get_docstring(node) or "")
        if described is None:
            continue
        a = node.args
        accepted = {arg.arg for arg in [*a.posonlyargs, *a.args, *a.kwonlyargs]} - {"self", "cls"}
        accepted |= {arg.arg for arg in (a.vararg, a.kwarg) if arg}
        if name == "axonic.cli":
            accepted -= {"json", "quiet", *PANELS}  # their help stands where they are defined
        assert described == accepted, node.name


PANELS = {
    "together": options.Together,
    "sequences": options.Sequences,
    "radial": options.Radial,
    "against": options.Regularization,
}


@pytest.mark.parametrize("panel", PANELS.values())
def test_options_documented_are_those_of_the_panel(panel):
    assert documented(inspect.getdoc(panel)) == {field.name for field in dataclasses.fields(panel)}


# --- the map of the notes ---

MAP = ROOT / "docs" / "notes-map.md"


def test_every_row_of_the_map_leads_to_code_or_gives_a_reason():
    rows = [line for line in MAP.read_text(encoding="utf-8").splitlines() if re.match(r"\| [\d§]", line)]
    assert len(rows) > 60
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 4, row
        files = re.findall(r"\]\(\.\./([^)#]+)", row)
        assert files or "no code:" in row, row
        for name in files:
            assert (ROOT / name).exists(), row
