"""Shared set-up: types of arrays are checked, and 64-bit numbers are had where a test asks for them."""

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("axonic", "beartype.beartype")


@pytest.fixture
def float64():
    """Compute in float64 inside the test."""
    with jax.enable_x64(True):
        yield
