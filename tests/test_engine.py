"""What is asked of JAX before anything is compiled."""

import jax
import pytest

from axonic.engine import use_full_precision


@pytest.fixture
def precision():
    """The setting, put back afterwards."""
    before = jax.config.values["jax_default_matmul_precision"]
    yield lambda: jax.config.values["jax_default_matmul_precision"]
    jax.config.update("jax_default_matmul_precision", before)


@pytest.mark.parametrize(
    ("backend", "chosen", "expected"),
    [("gpu", None, "float32"), ("gpu", "tensorfloat32", "tensorfloat32"), ("cpu", None, None)],
)
def test_an_accelerator_multiplies_in_float32_unless_the_user_chose(precision, monkeypatch, backend, chosen, expected):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    jax.config.update("jax_default_matmul_precision", chosen)
    use_full_precision()
    assert precision() == expected
