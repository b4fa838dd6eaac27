"""The examples of sequences run, and do what they say."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.long
FOLDER = Path(__file__).parents[1] / "examples" / "sequences"


def example(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text():
    constant, ours = example("text").main(epochs=20)
    assert ours < 0.85 * constant


def classification():
    assert example("classification").main(epochs=12) > 0.9


def forecast():
    ours, seasonal = example("forecast").main(epochs=60)
    assert ours < seasonal


CHECKS = {"text": text, "classification": classification, "forecast": forecast}


def test_every_example_is_run():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_examples(name):
    CHECKS[name]()
