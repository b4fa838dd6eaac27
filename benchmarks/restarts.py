"""Powell's restart threshold of conjugate gradients: gradient evaluations to a common loss.

    python benchmarks/restarts.py [--steps 300] [--seeds 3] [--formula polak_ribiere]

On the functions of `tests/problems.py`, until no entry of the gradient exceeds 1e-5; and on networks (16 tanh units,
the rows of four tables standardised, all of them at every step, l2 = 1 / n, float32) to two losses: 1 % and 0.1 % of
the way from the start above the highest loss that any of the thresholds ends with, so that all of them get there. A
cell is the number of gradient evaluations over that of threshold 0.2, geometric mean; in brackets on how many of the
problems it was at least 5 % lower, and higher.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import harness
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler
from tables import load

from axonic import layers, losses, minimize, objective
from axonic.optimizers import ConjugateGradient
from axonic.types import Batch

THRESHOLDS = (0.1, 0.2, 0.5, np.inf)
TABLES = ("iris", "wine", "breast_cancer", "diabetes")
SHARES = (1e-2, 1e-3)


def functions(formula: str) -> dict[str, list[float]]:
    """Gradient evaluations of each threshold; NaN where the tolerance was not reached."""
    sys.path.append(str(Path(__file__).parents[1]))
    from tests.problems import FUNCTIONS

    counts = {}
    for name, (f, start, _) in FUNCTIONS.items():
        rules = (ConjugateGradient(restart=value, formula=formula) for value in THRESHOLDS)
        ends = [minimize(f, np.array(start), rule, max_steps=5000, tol=1e-5) for rule in rules]
        counts[name] = [end.n_evaluations if end.success else np.nan for end in ends]
    return counts


def network(name: str, seed: int) -> tuple[Any, Any]:
    """(objective, starting weights)."""
    x, y, task = load(name)
    x = jnp.asarray(StandardScaler().fit_transform(x), jnp.float32)
    if task == "classification":
        y, loss, n_out = jnp.asarray(pd.factorize(y)[0], jnp.int32), losses.log_likelihood, y.nunique()
    else:
        y, loss, n_out = jnp.asarray(StandardScaler().fit_transform(y.to_numpy()[:, None]), x.dtype), losses.mse(), 1
    chain = layers.chain(layers.dense(16, "tanh"), layers.dense(n_out))
    batch = Batch(x, y, jnp.ones(len(x), x.dtype))
    return objective.Objective(chain, loss, batch, 1 / len(x)), chain.init(np.random.default_rng(seed), x.shape[1])


def train(problem: Any, params: Any, steps: int, formula: str) -> tuple[np.ndarray, np.ndarray]:
    """(thresholds, steps): the loss, and the gradients evaluated up to it."""

    @jax.jit
    def run(restart: Any) -> tuple[Any, Any]:
        rule = ConjugateGradient(restart=restart, formula=formula)

        def step(carry: Any, _: Any) -> tuple[Any, Any]:
            params, state, n = carry
            params, state, info = rule.step(problem, params, state)
            n = n + info.evaluations
            return (params, state, n), (state.value.total, n)

        start = jax.tree.map(jnp.asarray, (params, rule.init(params), 0))
        return jax.lax.scan(step, start, length=steps)[1]

    curves, counts = zip(*(run(value) for value in THRESHOLDS), strict=True)
    return np.array(curves), np.array(counts)


def networks(steps: int, seeds: int, formula: str) -> dict[str, list[float]]:
    """Gradient evaluations of each threshold, to each loss, on each table and seed."""
    result = {}
    for name in TABLES:
        for seed in range(seeds):
            problem, params = network(name, seed)
            first = float(problem.value(params).total)
            curves, counts = train(problem, params, steps, formula)
            highest = float(np.max(curves[:, -1]))
            for share in SHARES:
                below = curves <= highest + share * (first - highest)
                result[f"{name} {share:.1%} {seed}"] = [n[np.argmax(row)] for row, n in zip(below, counts, strict=True)]
    return result


def ratios(counts: dict[str, list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """(geometric means over threshold 0.2, on how many problems at least 5 % fewer and more)."""
    logs = np.log(np.array(list(counts.values())))
    logs = logs - logs[:, [THRESHOLDS.index(0.2)]]
    few = np.log(1.05)
    return np.exp(np.nanmean(logs, axis=0)), np.array([np.sum(logs < -few, axis=0), np.sum(logs > few, axis=0)])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--formula", default="polak_ribiere")
    options = parser.parse_args()
    trained = networks(options.steps, options.seeds, options.formula)
    groups = {"functions": functions(options.formula)}
    for start in (f"{name} {share:.1%}" for share in SHARES for name in TABLES):
        groups[start] = {name: counts for name, counts in trained.items() if name.startswith(start)}
    groups["networks, all"] = trained
    for name, counts in (groups["functions"] | trained).items():
        print(name, *counts)
    rows = []
    for name, counts in groups.items():
        means, (fewer, more) = ratios(counts)
        cells = (f"{mean:.2f} ({a}, {b})" for mean, a, b in zip(means, fewer, more, strict=True))
        rows.append([f"{name} ({len(counts)})", *cells])
    print("\n" + harness.table(["", *(f"restart {value:g}" for value in THRESHOLDS)], rows))


if __name__ == "__main__":
    main()
