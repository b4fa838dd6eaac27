"""The notes' untested proposal for momentum, tested: as written, with its sign repaired, and classical momentum.

    python benchmarks/physical_momentum.py [--steps 2000] [--seeds 3]

Three tables (one hidden layer of 32 tanh units, batches of 32, standardised inputs, the training loss over all rows at
the end) and a ravine (a quadratic of two weights with curvatures 1 and 100, from (1, 1), no noise), at rates half a
decade apart from 10 to 1e-10, momentum .9. A cell is the lowest final loss over the rates, the median over the seeds,
its rate, and how many of the rates ended below a tenth of the loss they started from. Lanes of one program run the
rates.
"""

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler
from tables import load

from axonic import layers, losses, objective
from axonic.optimizers import Momentum, PhysicalMomentum
from axonic.types import Batch

RATES = np.geomspace(10, 1e-10, 23, dtype=np.float32)
RULES = {
    "as written": PhysicalMomentum(form="notes"),
    "repaired": PhysicalMomentum(form="repaired"),
    "classical": Momentum(dampening=False),
}
TABLES = ("iris", "wine", "diabetes")
ROWS = 32


def table(name: str, steps: int, seed: int) -> tuple[Any, Any, Any]:
    """(objective of all rows, objective of step t, starting weights)."""
    x, y, task = load(name)
    x = jnp.asarray(StandardScaler().fit_transform(x), jnp.float32)
    if task == "classification":
        y, loss, n_out = jnp.asarray(pd.factorize(y)[0], jnp.int32), losses.log_likelihood, y.nunique()
    else:
        y, loss, n_out = jnp.asarray(StandardScaler().fit_transform(y.to_numpy()[:, None]), x.dtype), losses.mse(), 1
    network = layers.chain(layers.dense(32, "tanh"), layers.dense(n_out))
    rng = np.random.default_rng(seed)
    params = network.init(rng, x.shape[1])
    epochs = [rng.permutation(len(x))[: len(x) // ROWS * ROWS].reshape(-1, ROWS) for _ in range(steps)]
    index = jnp.asarray(np.concatenate(epochs)[:steps])

    def of(rows: Any) -> objective.Objective:
        return objective.Objective(network, loss, Batch(x[rows], y[rows], jnp.ones(len(rows), x.dtype)))

    return of(jnp.arange(len(x))), lambda t: of(index[t]), params


def ravine() -> tuple[Any, Any, Any]:
    """The same of a quadratic."""
    bowl = objective.from_function(lambda w: 0.5 * (w[0] ** 2 + 100 * w[1] ** 2))
    return bowl, lambda t: bowl, np.ones(2, np.float32)


def ends(rule: Any, problem: tuple[Any, Any, Any], steps: int) -> tuple[float, np.ndarray]:
    """(the loss at the start, the final loss at each rate)."""
    whole, at, start = problem

    @jax.jit
    @jax.vmap
    def run(rate: Any) -> Any:
        one = rule.replace(learning_rate=rate)
        first = jax.tree.map(jnp.asarray, (start, one.init(start)))
        (params, _), _ = jax.lax.scan(lambda c, t: (one.step(at(t), *c)[:2], None), first, jnp.arange(steps))
        return whole.value(params).loss

    return float(whole.value(start).loss), np.nan_to_num(run(RATES), nan=np.inf)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print("| problem | start |", " | ".join(RULES), "|")
    print("|---|---|", "---|" * len(RULES), sep="")
    for name in (*TABLES, "ravine"):
        problems = [ravine()] if name == "ravine" else [table(name, options.steps, s) for s in range(options.seeds)]
        cells = []
        for rule in RULES.values():
            runs = [ends(rule, problem, options.steps) for problem in problems]
            start, final = np.median([r[0] for r in runs]), np.median([r[1] for r in runs], axis=0)
            best = int(np.argmin(final))
            good = int(np.sum(final < 0.1 * start))
            cells.append(f"{final[best]:.2g} at {RATES[best]:.1g}, {good} of {len(RATES)}")
        print(f"| {name} | {start:.2g} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
