"""Which rule finds the minimum of which test function, and in how many gradient evaluations, next to SciPy.

    python benchmarks/functions.py [--rules lbfgs,newton] [--steps 10000]

The functions, starts and least-squares problems are those of `tests/problems.py`; `axonic.minimize` in float64 until
no entry of the gradient exceeds 1e-5. Rules with a rate run at 1, 0.3, 0.1, ... 1e-5 and show their best. A cell in
brackets ended with the value right to 1e-8 and a gradient above that (by rounding, or because steps of one size never
come to rest); a dash did not get there. Products with the Hessian count as a gradient in scaled conjugate gradients;
Newton's Hessians, one a step, do not count. SciPy's totals are compared where SciPy reaches the tolerance.

Least squares: steps of Levenberg-Marquardt until every parameter has six digits of NIST's certified ones (of the exact
ones where there are no data), 2,000 at most, and the digits it ends with; for SciPy, Jacobians until it stops at
tolerances of 1e-15. From NIST's two starts, of which the second is More, Garbow and Hillstrom's for meyer and osborne1.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import jax
import numpy as np
import scipy.optimize

from axonic import minimize, optimizers

sys.path.append(str(Path(__file__).parents[1]))
from tests.problems import FUNCTIONS, NIST, powell_singular, rosenbrock_residuals

TOL = 1e-5
RATES = (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
SCIPY = {"L-BFGS-B": {"ftol": 0.0, "maxcor": 10, "maxfun": 100_000}, "CG": {}}
PEERS = {"lbfgs": "L-BFGS-B", "conjugate_gradient": "CG"}
ASKED = 1.25
EXACT = {
    "rosenbrock": (rosenbrock_residuals, ([-1.2, 1.0],), [1.0, 1.0]),
    "powell-singular": (powell_singular, ([3.0, -1.0, 0.0, 1.0],), [0.0, 0.0, 0.0, 0.0]),
}


def close_to(value: float, lowest: float | None) -> bool:
    """Whether a value is that of the minimum to 1e-8."""
    return lowest is not None and abs(value - lowest) <= 1e-8 * max(1.0, lowest)


def ours(rule: str, name: str, steps: int) -> tuple[float, bool]:
    """(gradient evaluations, whether the tolerance was reached); infinity for a rule that did not get there."""
    f, start, lowest = FUNCTIONS[name]
    rates = RATES if optimizers.RULES[rule].has_rate else (None,)
    reached, close = [], []
    for rate in rates:
        hyper = {} if rate is None else {"learning_rate": rate}
        end = minimize(f, np.array(start), rule, max_steps=steps, tol=TOL, **hyper)
        if end.success or close_to(end.fun, lowest):
            (reached if end.success else close).append((float(end.n_evaluations), end.success))
    return min(reached or close, default=(np.inf, False))


def scipys(method: str, name: str) -> tuple[float, bool]:
    """The same for SciPy."""
    f, start, lowest = FUNCTIONS[name]
    derive = jax.jit(jax.value_and_grad(f))

    def value_and_grad(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, grads = derive(x)
        return float(value), np.asarray(grads)

    options = {"gtol": TOL, "maxiter": 100_000} | SCIPY[method]
    end = scipy.optimize.minimize(value_and_grad, np.array(start), jac=True, method=method, options=options)
    reached = bool(np.max(np.abs(end.jac)) <= TOL)
    return (float(end.njev) if reached or close_to(end.fun, lowest) else np.inf, reached)


def shown(evaluations: float, reached: bool) -> str:
    """A cell."""
    if not np.isfinite(evaluations):
        return "-"
    return f"{evaluations:.0f}" if reached else f"({evaluations:.0f})"


def functions(rules: list[str], steps: int) -> None:
    """The table of functions and the verdicts."""
    columns = [*SCIPY, *rules]
    counts: dict[str, list[tuple[float, bool]]] = {column: [] for column in columns}
    rows = []
    for name in FUNCTIONS:
        for column in columns:
            counts[column].append(scipys(column, name) if column in SCIPY else ours(column, name, steps))
        rows.append([name, *(shown(*counts[column][-1]) for column in columns)])
        print(" ".join(rows[-1]), flush=True)
    rows.append(["reached", *(str(sum(reached for _, reached in counts[column])) for column in columns)])
    print("\n" + harness.table(["function", *columns], rows) + "\n")
    for rule, method in PEERS.items():
        if rule not in rules:
            continue
        both = [(a, b) for (a, _), (b, reached) in zip(counts[rule], counts[method], strict=True) if reached]
        ratio = sum(a for a, _ in both) / sum(b for _, b in both)
        mean = np.exp(np.mean(np.log([a / b for a, b in both])))
        above = sum(a > ASKED * b for a, b in both)
        verdict = "met" if ratio <= ASKED else "MISSED"
        print(
            f"{rule} over SciPy's {method}, {len(both)} functions: {ratio:.2f} in total, asked {ASKED}: {verdict}; "
            f"geometric mean {mean:.2f}, {above} functions above {ASKED}"
        )


def arrival(residuals: Callable[[Any], Any], start: list[float], exact: np.ndarray, steps: int) -> list[str]:
    """Steps until six digits are right, and the digits at the end."""

    def wrong(points: np.ndarray) -> np.ndarray:
        return np.max(np.abs(points - exact) / np.where(exact == 0, 1.0, np.abs(exact)), axis=-1)

    end = minimize(residuals, np.array(start), "levenberg_marquardt", max_steps=steps, tol=0.0, keep_points=True)
    there = np.flatnonzero(wrong(end.points) <= 1e-6)
    return [str(there[0]) if len(there) else "-", f"{-np.log10(max(wrong(end.x), 1e-16)):.1f}"]


def least_squares(steps: int) -> None:
    """The table of least-squares problems."""
    rows = []
    problems = EXACT | {name: (f, starts, certified) for name, (f, starts, certified, _) in NIST.items()}
    for name, (residuals, starts, exact) in problems.items():
        for i, start in enumerate(starts):
            model = jax.jit(residuals)
            jacobian = jax.jit(jax.jacfwd(residuals))
            peer = scipy.optimize.least_squares(
                lambda x, f=model: np.asarray(f(x)),
                np.array(start),
                jac=lambda x, f=jacobian: np.asarray(f(x)),
                method="lm",
                x_scale="jac",
                xtol=1e-15,
                ftol=1e-15,
                gtol=1e-15,
                max_nfev=steps,
            )
            exact = np.asarray(exact)
            off = np.max(np.abs(peer.x - exact) / np.where(exact == 0, 1.0, np.abs(exact)))
            digits = f"{-np.log10(max(off, 1e-16)):.1f}"
            rows.append([f"{name}, start {i + 1}", *arrival(residuals, start, exact, steps), str(peer.njev), digits])
    header = ["problem", "steps", "digits", "SciPy's Jacobians", "SciPy's digits"]
    print("\n" + harness.table(header, rows))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    every = ",".join(name for name in optimizers.names() if name != "levenberg_marquardt")
    parser.add_argument("--rules", default=every)
    parser.add_argument("--steps", type=int, default=10_000)
    options = parser.parse_args()
    with jax.enable_x64(True):
        functions(options.rules.split(","), options.steps)
        least_squares(2000)


if __name__ == "__main__":
    main()
