"""The rules of the design that a machine can check: imports go upwards, no autodiff and no pickle in the engine."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "axonic"
ORDER = [
    "errors",
    "specs",
    "seeds",
    "records",
    "types",
    "engine",
    "programs",
    "distributed",
    "data.values",
    "data.reading",
    "data.columns",
    "data.duplicates",
    "data.schema",
    "data.encoding",
    "data.targets",
    "data.ragged",
    "data.autoregression",
    "data.sequences",
    "data.batches",
    "data.store",
    "checks",
    "checks_sequences",
    "layers",
    "rbf_closed_form",
    "losses",
    "objective",
    "health",
    "optimizers",
    "minimization",
    "regularization",
    "training",
    "calibration",
    "model",
    "sensitivity",
    "settings",
    "recipe",
    "baselines",
    "correction",
    "diagnosis",
    "race",
    "storage",
    "run_directory",
    "export",
    "report",
    "runs",
    "estimators",
    "options",
    "cli",
    "__main__",
]
FILES = sorted(path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).as_posix() != "__init__.py")


def module(path):
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def place(name):
    """Where a module stands in the order; a part of a package stands where the package does."""
    for known in sorted(ORDER, key=len, reverse=True):
        if name == known or name.startswith(f"{known}."):
            return ORDER.index(known)
    return None


def imported(path):
    """The modules of the package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "axonic":
            base = node.module.removeprefix("axonic").lstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                yield full if place(full) is not None else base
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("axonic.") for a in node.names if a.name.startswith("axonic."))


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_go_upwards_only(path):
    name = module(path)
    if name == "data":
        return
    assert place(name) is not None, f"{name} has no place in the order"
    for other in imported(path):
        assert place(other) is not None, f"{name} imports {other}"
        assert place(other) <= place(name), f"{name} imports {other}, which stands below it"


@pytest.mark.parametrize("path", [f for f in FILES if f.parent.name == "optimizers"], ids=module)
def test_rules_import_no_other_rule(path):
    allowed = {"optimizers.base", "optimizers.from_optax", "optimizers.line_search", "optimizers.schedules"}
    if path.name == "__init__.py":
        return
    others = {".".join(name.split(".")[:2]) for name in imported(path) if name.startswith("optimizers")}
    assert others <= allowed


def without(source, names):
    """The source text with the bodies of these classes blanked."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name in names:
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(lines)


@pytest.mark.parametrize("path", FILES, ids=module)
def test_no_autodiff_no_pickle_no_eval(path):
    """But for objectives of a user's own function, whose gradient nobody has derived."""
    source = path.read_text()
    if module(path) == "objective":
        source = without(source, {"Function", "Residuals"})
    found = re.findall(
        r"jax\.(?:grad|vjp|value_and_grad|custom_vjp|hessian|jacfwd|jacrev)\b"
        r"|\bimport (?:pickle|joblib|marshal)\b|\b(?:eval|exec)\(",
        source,
    )
    assert found == []
