"""Losses, each paired with an output activation, computed from the pre-activation z of the output layer.

    loss                activation   value of one row                            delta = d value / dz
    squared_error       identity     1/2 sum (z - y)^2                           a - y
    cross_entropy       sigmoid      sum softplus(z) - y z                       a - y
    log_likelihood      softmax      logsumexp(z) - y . z                        a - y
    mse(activation)     any          1/2 sum (a - y)^2                           (a - y) * activation'(z)
    matching(phi)       phi          sum of the integral of phi(u) - y to z      a - y
    huber(threshold)    identity     squared up to the threshold, then linear    a - y, at most the threshold
    absolute            identity     sum |z - y|                                 sign(a - y)
    quantile(tau)       identity     sum max(tau (y - z), (tau - 1) (y - z))     -tau below y, 1 - tau above
    poisson             exp          sum e^z - y z + y ln y - y                  a - y
    each_step(loss)     the loss's   mean of the loss over the steps             the loss's / number of steps

`docs/losses.md` says when to use which.
"""

from axonic.losses.base import Loss, Target, targets
from axonic.losses.classic import (
    CrossEntropy,
    LogLikelihood,
    MeanSquaredError,
    SquaredError,
    cross_entropy,
    log_likelihood,
    mse,
    squared_error,
)
from axonic.losses.counts import Poisson, poisson
from axonic.losses.matched import Matching, matching
from axonic.losses.robust import Absolute, Huber, Quantile, Robust, absolute, huber, quantile
from axonic.losses.steps import EachStepLoss, each_step

LOSSES: dict[str, type[Loss]] = {
    "squared_error": SquaredError,
    "cross_entropy": CrossEntropy,
    "log_likelihood": LogLikelihood,
    "mse": MeanSquaredError,
    "matching": Matching,
    "huber": Huber,
    "absolute": Absolute,
    "quantile": Quantile,
    "poisson": Poisson,
}

__all__ = [
    "LOSSES",
    "Absolute",
    "CrossEntropy",
    "EachStepLoss",
    "Huber",
    "LogLikelihood",
    "Loss",
    "Matching",
    "MeanSquaredError",
    "Poisson",
    "Quantile",
    "Robust",
    "SquaredError",
    "Target",
    "absolute",
    "cross_entropy",
    "each_step",
    "huber",
    "log_likelihood",
    "matching",
    "mse",
    "poisson",
    "quantile",
    "squared_error",
    "targets",
]
