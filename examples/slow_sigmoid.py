"""A saturated sigmoid learns slowly from the squared error, and as fast as any other from cross-entropy.

One unit, one input 1, target 0, gradient descent at rate 0.15: the argument of the notes for matching the loss with the
output. From weight 2 and bias 2 the output is .98, and the squared error has delta = (a - y) a (1 - a), of which the
last factor is .02; cross-entropy has a - y.
"""

import jax
import jax.numpy as jnp
from picture import folder, lines

from axonic import layers, losses, optimizers
from axonic.objective import Objective
from axonic.types import Batch

STARTS = {"2, 2": (2.0, 2.0), ".6, .9": (0.6, 0.9)}
LOSSES = {"squared error": losses.mse("sigmoid"), "cross-entropy": losses.cross_entropy}
RATE, EPOCHS, LEARNED = 0.15, 400, 0.2


def outputs(loss: losses.Loss, weight: float, bias: float) -> list[float]:
    """The output before each epoch."""
    network = layers.chain(layers.dense(1))
    objective = Objective(network, loss, Batch(jnp.ones((1, 1)), jnp.zeros((1, 1)), jnp.ones(1)))
    params = (layers.DenseParams(jnp.full((1, 1), weight), jnp.full(1, bias)),)
    rule = optimizers.get("gd").replace(learning_rate=RATE)

    def epoch(carry: tuple, _: None) -> tuple:
        params, state = carry
        z, _ = network.forward(params, objective.batch.x)
        params, state, _ = rule.step(objective, params, state)
        return (params, state), loss.activation.value(z)[0, 0]

    _, seen = jax.lax.scan(epoch, (params, rule.init(params)), None, EPOCHS)
    return seen.tolist()


def epochs(curve: list[float]) -> int:
    """When the output has come below `LEARNED`; the target is 0."""
    return next((epoch for epoch, a in enumerate(curve) if a < LEARNED), EPOCHS)


def main() -> dict[str, int]:
    """Draw the curves; returns the epochs that each took."""
    curves = {
        f"{name} from {start}": outputs(loss, *values)
        for start, values in STARTS.items()
        for name, loss in LOSSES.items()
    }
    drawn = {name: (range(EPOCHS), curve) for name, curve in curves.items()}
    lines(folder() / "slow_sigmoid.svg", drawn, "epoch", "output (target 0)")
    took = {name: epochs(curve) for name, curve in curves.items()}
    for name, count in took.items():
        print(f"{name}: below {LEARNED} after {count} epochs")
    slow, fast = took["squared error from 2, 2"], took["cross-entropy from 2, 2"]
    assert slow >= 5 * fast, "the saturated unit should learn slowly"
    return took


if __name__ == "__main__":
    main()
