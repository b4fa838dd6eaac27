"""How much a wiggle of an input moves the output: the Jacobian of the network, from its own backward.

    J_oj = dz_o / dx_j          the error that arrives at input j when output o alone has an error of 1

The notes call delta and dy/dx the network's immaturity: where they are large, what it says of a row hangs on details of
that row. `jacobian` is the root mean square of J over rows, its outputs added up in squares. Inputs are standardised,
so it is the change of the output for a change of one deviation; shuffling a column says how much the answers get worse
without it (`axonic.report.evidence.importance`), which is another question: a column can move the output much and
rightly.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from axonic.layers.base import Chain
from axonic.model import BLOCK, Model
from axonic.programs import compiled
from axonic.types import Params

ROWS = 1024


def jacobian(model: Model, x: Float[np.ndarray, "n n_in"]) -> Float[np.ndarray, " n_in"]:
    """Root mean square of dz/dx_j for each input, over up to `ROWS` rows and the networks of the model.

    Parameters
    ----------
    model : whose networks take rows of numbers.
    x : encoded rows.
    """
    few = np.unique(np.linspace(0, len(x) - 1, min(ROWS, len(x))).round().astype(int))
    total = np.zeros(x.shape[1])
    for params in model.members:
        for start in range(0, len(few), BLOCK):
            rows = x[few[start : start + BLOCK]]
            block = np.zeros((BLOCK, x.shape[1]), np.float32)
            block[: len(rows)] = rows
            real = (np.arange(BLOCK) < len(rows)).astype(np.float32)
            total += np.asarray(_squares(model.network, params, block, real), np.float64)
    return np.sqrt(total / (len(few) * len(model.members)))


@compiled(quickly=True)
def _squares(
    network: Chain, params: Params, x: Float[Array, "row n_in"], real: Float[Array, " row"]
) -> Float[Array, " n_in"]:
    """The sum over rows and outputs of the squares of J."""
    z, cache = network.forward(params, x)

    def output(one: Float[Array, " n_out"]) -> Float[Array, " n_in"]:
        _, error = network.backward(params, cache, jnp.broadcast_to(one, z.shape))
        return jnp.sum(real[:, None] * error**2, axis=0)

    return jnp.sum(jax.lax.map(output, jnp.eye(z.shape[1], dtype=z.dtype)), axis=0)
