"""vSGD: no learning rate to tune; each weight takes the rate that is best for the noise of its own gradient.

    g_bar <- (1 - 1/tau) g_bar + 1/tau g
    v_bar <- (1 - 1/tau) v_bar + 1/tau g^2
    h_bar <- (1 - 1/tau) h_bar + 1/tau h               h: curvature along this weight, see below
    eta   =  1 / h_bar  g_bar^2 / v_bar
    tau   <- (1 - g_bar^2 / v_bar) tau + 1
    w     <- w - eta g

and before all that, tau <- tau + 1 where g is an outlier: more than 2 deviations from g_bar.

In a bowl of curvature h, with gradients of mean g_bar and variance s^2, the expected loss after a step is lowest for
eta = 1/h  g_bar^2 / (g_bar^2 + s^2): Newton's step where gradients agree, and ever smaller ones near the minimum, where
noise is all there is. v_bar estimates g_bar^2 + s^2. The memory tau grows by 1 a step while noise rules, so that
averages are over all that was seen, and falls to 1 in a clear direction, where what was seen is out of date. For
mini-batches, and for problems that change. g is the gradient of the batch, and so is its noise: the second paper's
factors for the number of rows are for a v_bar of single rows.

Start. In the first `samples` steps the weights stay, tau = t makes the averages arithmetic, and then v_bar and h_bar
are raised `slow_start` times (the paper's C), which fades as the averages go on. The paper advises a tenth of the
number of weights, its authors' code 2, which is the default here: on the tables below losses rose with C from 2 to 10
to 100, and 1 was no better.

    form="l"     h = |z H z|, weight by weight: z random signs, H z an exact Hessian-vector product
    form="fd"    h = |(gradient at w + g_bar) - g| / |g_bar|, both on the same batch;
                 h2_bar averages h^2, eta = h_bar / h2_bar  g_bar^2 / v_bar, and h may be the outlier

Form l is the first paper's, whose h is the diagonal of the Hessian by a second backward pass that drops its off-
diagonal terms (bbprop). z H z has that diagonal as its mean, for any network; its size, by the off-diagonal terms,
averages to more than the diagonal where weights interact, which makes steps shorter just there. Averaging the signed z
H z instead diverged on five of five tables, and |H g_bar| / |g_bar| (form fd's curvature for a small g_bar) gave losses
1.1 to 7 times as high. Measured by the training loss after 30 epochs of batches of 32: form l ended below Adam at .01
on five of seven tables (.02 to 1.5 times its loss), form fd, whose step costs about as much, on two (.24 to 42 times).
Without the outliers of the second paper form fd's loss was .9 to 1.1 times as high on six tables, and 5 times on the
seventh. The first paper has none, but form l needs them too: at tau = 1 the averages are the last gradient alone,
g_bar^2 / v_bar is 1 and tau stays 1 for ever, so that a few gradients that agree by chance make every later step a
Newton step on noise. (Measured on 4,000 weights whose gradients have a mean as large as their deviation: the rate that
is best is .5 / h; the median weight took 1 / h without outliers, .47 / h with them.)

Deviations. At the end of the start h_bar is raised to at least its mean over all weights, and h2_bar to h_bar^2: a
weight without gradient in those steps (a rare feature) has h = 0, and would take a step of any length when it gets one
(the authors' code takes 1 for that mean). Where g_bar is 0, form fd keeps h_bar. Gradients aren't reweighted for
sparsity, which the second paper adds.

Source: the notes' "LeCun's latest"; Schaul, Zhang and LeCun 2013, "No more pesky learning rates", algorithm 1 (vSGD-l);
Schaul and LeCun 2013, "Adaptive learning rates and parallelization for stochastic, sparse, non-smooth gradients",
algorithm 1 (vSGD-fd). Not the "variational SGD" of the same name.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from axonic.errors import InputError
from axonic.optimizers.base import Flat, ObjectiveLike, Optimizer, StepInfo, flat, n_weights, one_of, scalar
from axonic.specs import Number, spec, static
from axonic.types import Params

OUTLIER = 2.0


class VSGDState(NamedTuple):
    """Vectors of one number a weight.

    Attributes
    ----------
    g_bar, v_bar, h_bar : moving averages of g, g^2 and h.
    h2_bar : that of h^2, None in form l.
    tau : memory of the averages, in steps.
    t : steps taken.
    """

    g_bar: Float[Any, " n"]
    v_bar: Float[Any, " n"]
    h_bar: Float[Any, " n"]
    h2_bar: Float[Any, " n"] | None
    tau: Float[Any, " n"]
    t: Int[Any, ""]


FORMS = ("l", "fd")


@spec
class VSGD(Optimizer):
    """vSGD; see the module for its two forms.

    samples : steps in which the averages start and the weights stay; a whole number of at least 1.
    slow_start : factor on v_bar and h_bar at the start; at least 1.
    seed : of the random signs; a whole number; form l.
    """

    has_rate: ClassVar[bool] = False

    samples: Number = 10
    slow_start: Number = 2.0
    seed: Number = 0
    form: str = static(default="l")

    ranges: ClassVar[Mapping[str, str]] = {"samples": "[1, inf)", "slow_start": "[1, inf)", "seed": "(-inf, inf)"}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("samples", "seed"):
            value = vars(self)[name]
            if not isinstance(value, int | np.integer | np.ndarray | jax.Array):
                how = f"give a whole number in {self.ranges[name]}"
                raise InputError(f"{name} = {value!r} is impossible", how, type(self).__name__)
        one_of("form", self.form, FORMS)

    def init(self, params: Params) -> VSGDState:
        zero = np.zeros(n_weights(params), jax.tree.leaves(params)[0].dtype)
        return VSGDState(zero, zero, zero, zero if self.form == "fd" else None, zero, np.zeros((), np.int32))

    def step(self, objective: ObjectiveLike, params: Params, state: VSGDState) -> tuple[Params, VSGDState, StepInfo]:
        w, f = flat(objective, params)
        value, g = f.value_and_grad(w)
        h = self._curvature(f, w, g, state)
        t = state.t + 1
        starting = t <= self.samples
        raised = jnp.where(t == self.samples, scalar(self.slow_start, w), 1)

        tau = jnp.where(starting, t.astype(w.dtype), state.tau)
        far = _far(g, state.g_bar, state.v_bar)
        if state.h2_bar is not None:
            far |= _far(h, state.h_bar, state.h2_bar)
        tau = jnp.where(far & ~starting, tau + 1, tau)

        average = lambda old, new: (1 - 1 / tau) * old + new / tau  # noqa: E731
        g_bar = average(state.g_bar, g)
        v_bar = raised * average(state.v_bar, g * g)
        h_bar = raised * average(state.h_bar, h)
        h_bar = jnp.where(t == self.samples, jnp.maximum(h_bar, jnp.mean(h_bar)), h_bar)
        share = jnp.minimum(_ratio(g_bar * g_bar, v_bar), 1)  # more than 1 by rounding would make tau less than 1
        if state.h2_bar is None:
            h2_bar, eta = None, _ratio(share, h_bar)
        else:
            h2_bar = raised * raised * average(state.h2_bar, h * h)
            h2_bar = jnp.where(t == self.samples, jnp.maximum(h2_bar, h_bar * h_bar), h2_bar)
            eta = share * _ratio(h_bar, h2_bar)
        tau = (1 - share) * tau + 1

        w = jnp.where(starting, w, w - eta * g)
        return f.unravel(w), VSGDState(g_bar, v_bar, h_bar, h2_bar, tau, t), StepInfo(value, f.unravel(g), 2)

    def _curvature(self, f: Flat, w: Float[Any, " n"], g: Float[Any, " n"], state: VSGDState) -> Float[Any, " n"]:
        if self.form == "l":
            key = jax.random.fold_in(jax.random.key(jnp.asarray(self.seed).astype(jnp.uint32)), state.t)
            z = jax.random.rademacher(key, w.shape, w.dtype)
            return jnp.abs(z * f.hvp(w, z))
        ahead = jnp.where(state.t == 0, g, state.g_bar)
        change = f.value_and_grad(w + ahead)[1] - g
        return jnp.where(ahead == 0, state.h_bar, jnp.abs(change) / jnp.where(ahead == 0, 1, jnp.abs(ahead)))


def _ratio(a: Float[Any, " n"], b: Float[Any, " n"]) -> Float[Any, " n"]:
    """a / b, and 0 where b is 0: a weight that has seen no gradient stays."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)


def _far(x: Float[Any, " n"], mean: Float[Any, " n"], square: Float[Any, " n"]) -> Any:
    """Whether x is more than `OUTLIER` deviations from its mean, given the mean of its square."""
    return (x - mean) ** 2 > OUTLIER**2 * (square - mean**2)
