"""Shared set-up: types of arrays are checked, the same examples are drawn every time, 64-bit numbers are had where a
test asks for them, and nothing may be executed where a test reads files that were forged."""

from contextlib import nullcontext
from pathlib import Path

import jax
import pytest
from beartype._decor._nontype._wrap import _wrapargs, _wrapreturn
from hypothesis import settings
from jaxtyping import install_import_hook

import axonic

SOURCE = Path(axonic.__file__).parent
SHAPED = [path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if "from jaxtyping" in path.read_text()]
"""The modules that name shapes: every call of a checked function takes some fifty microseconds."""

for module in (_wrapargs, _wrapreturn):
    module.catch_warnings = lambda **_: nullcontext([])
"""What beartype does when it checks a function for the first time: in two threads at once it leaves nobody's warnings
where they were, so that `pytest.warns` hears none."""

settings.register_profile("fixed", derandomize=True, database=None)
settings.load_profile("fixed")


def pytest_configure(config):
    if not config.getoption("--no-shapes"):
        install_import_hook([".".join(("axonic", *path.with_suffix("").parts)) for path in SHAPED], "beartype.beartype")
    config.addinivalue_line(
        "markers", "long: takes long and seldom says what others do not; `make test-all` runs it too"
    )


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the tests that take long as well")
    parser.addoption("--no-shapes", action="store_true", help="do not check the shapes of arrays: 7/8 of the time")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--all"):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    """Every compiled program takes a place in the process's address space, of which there are only so many."""
    yield
    jax.clear_caches()


@pytest.fixture
def float64():
    """Compute in float64 inside the test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def nothing_runs(monkeypatch):
    """Reading a file must not execute anything."""

    def execute(*args, **kwargs):  # noqa: ARG001
        raise AssertionError("something was executed")

    load_nothing = ("pickle.load", "pickle.loads", "pickle.Unpickler", "numpy.load", "os.system", "subprocess.Popen")
    for name in (*load_nothing, "builtins.eval", "builtins.exec"):
        monkeypatch.setattr(name, execute)
