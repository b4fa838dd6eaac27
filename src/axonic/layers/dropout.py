"""Dropout.

    forward     a = x * keep / (1 - rate),  keep ~ Bernoulli(1 - rate) for each entry, while training
                a = x at prediction
    backward    dL/dx = error * keep / (1 - rate)

Dividing by 1 - rate while training ("inverted" dropout) keeps the expected activation, so that prediction needs no
scaling. The rate is a value, not part of the program: lanes with different rates are one program. Rate 0 is exact:
every entry is kept and divided by 1.

Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014, section 4.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from axonic.errors import InputError
from axonic.layers.base import Key, Layer
from axonic.specs import Number, spec


@spec
class Dropout(Layer):
    """See `dropout`."""

    rate: Number

    @property
    def draws(self) -> bool:
        return True

    def forward(
        self, params: tuple, x: Float[Array, "batch n"], key: Key | None = None
    ) -> tuple[Float[Array, "batch n"], Array]:
        """The cache is the factor keep / (1 - rate), (batch, n), or the number 1 at prediction."""
        del params
        if key is None:
            factor = jnp.ones((), x.dtype)
        else:
            keep = jax.random.uniform(key, x.shape, x.dtype) >= self.rate
            factor = keep / jnp.asarray(1.0 - self.rate, x.dtype)
        return x * factor, factor

    def backward(
        self, params: tuple, cache: Array, error: Float[Array, "batch n"]
    ) -> tuple[tuple, Float[Array, "batch n"]]:
        del params
        return (), error * cache


def dropout(rate: float) -> Dropout:
    """Drop each entry with probability `rate` while training, 0 <= rate < 1.

    Raises
    ------
    InputError : another rate, unless it is an array, which may be a value of a program.
    """
    number = isinstance(rate, int | float | np.number) and not isinstance(rate, bool)
    if not isinstance(rate, jax.Array) and not (number and 0 <= rate < 1):
        raise InputError(f"a dropout rate of {rate!r} is impossible", "give a number from 0 to below 1")
    return Dropout(rate)
