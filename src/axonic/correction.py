"""Whether a network that corrects a linear forecast is worth keeping, and whether what remains is worth anything.

    d_i = mean over the horizon of (y - linear)^2 - (y - linear - network)^2        of each validation window i
    kept if the mean of d is above twice its standard error, and above 1 % of the mean of (y - linear)^2

A series is short, and so is the part of it that is held out: of a few dozen windows half of all useless corrections do
a little better by chance, and more than half since these windows have also said which weights to keep. Breiman et al.
1984 ("Classification and Regression Trees", section 3.4.3) keep the simpler model unless the other is better by one
standard error; on 29 series two did better (`benchmarks/corrections.py`). Windows less than a horizon apart share
steps that are forecast, so their gains go together and vary more in the mean than as many by themselves (Diebold and
Mariano 1995, "Comparing predictive accuracy", section 1.1): see `standard_error`. Of thousands of windows a gain may
be certain and yet of no use: less than 1 %, within which a loss counts as flat while training, is none. What remains
where the network is not kept is the linear forecast, which has no more need of windows to be judged by, and is fitted
to these too.

Where the loss is another one with a linear output, such as huber or absolute, that loss takes the place of the squared
error. The linear forecast is of a mean: what makes a quantile other than the median of it is always kept.

What is kept is then held against what needs no training, the last value and the value of a season ago, in the same way
on the same windows. That one of these does better is said if it does so by two standard errors and 5 %, as of a linear
model beside another network, or by one and `MUCH`: of a dozen windows that share steps an error of half as much again
is seldom two standard errors off. Of random walks, with and without drift, and autoregressions of 123 or 200 steps (13
to 25 windows) this is said in 2 to 10 % although the linear forecast will do better on what follows; of 300 and more
in 6 % at most, and where it is worse by up to 6 % in as few.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from axonic.baselines import forecasts, rmse
from axonic.checks import by_severity
from axonic.data.autoregression import fit_linear, steps_ahead
from axonic.data.batches import Rows, Split
from axonic.data.sequences.windows import SeriesCoding, Windows
from axonic.data.targets import TargetEncoder
from axonic.losses import Quantile, SquaredError
from axonic.model import Model
from axonic.recipe import Fit
from axonic.recipe.constant import output
from axonic.settings import Settings, fit_target, takes_either_sign
from axonic.types import Finding

ERRORS = 2.0
"""Standard errors that the gain must be above."""
SHARE = 0.01
"""Share of the linear forecast's squared error, or of its loss, that it must be above as well."""
LEAST, MUCH = 0.05, 0.4
"""Shares of its loss by which a forecast must be worse than a simple one for that to be said: beyond `ERRORS` standard
errors, and beyond one."""
SIMPLE = {"last_value": "the last value", "season": "the value of a season ago"}

UNTOLD = {"data.no_signal", "train.vanishing", "data.idle_steps"}
"""Findings that say nothing of a network which corrects a linear forecast."""


class Series(NamedTuple):
    """A series as a network is trained on it.

    Attributes
    ----------
    values : (steps,) what is forecast.
    windows : its windows and the part that each belongs to.
    coding : what they look like to the network, and what its answers are added to.
    target : the encoder of the answers.
    rows : inputs and targets of the network, one row a window.
    """

    values: np.ndarray
    windows: Windows
    coding: SeriesCoding
    target: TargetEncoder
    rows: Rows

    @classmethod
    def of(
        cls, values: np.ndarray, encoded: np.ndarray, windows: Windows, window: int, horizon: int, settings: Settings
    ) -> "Series":
        """A series ready to be trained on.

        Parameters
        ----------
        values : (steps,) what is forecast.
        encoded : (steps, n_in) the encoded steps, whose first column is the series.
        windows : as `cut_windows` makes them.
        window : steps of each.
        horizon : steps that are forecast at a time.
        settings : how to train; changes and a linear forecast are for a loss of targets without limits.

        Raises
        ------
        InputError : the loss does not go with the values.
        """
        free = takes_either_sign(settings)
        linear = settings.autoregression and free
        coding = SeriesCoding.fit(encoded, values, windows, window, horizon, linear=linear, relative=free)
        y = coding.targets(values, windows.ends)
        target = fit_target(settings, y, "regression", windows.train)
        rows = Rows(coding.inputs(encoded, windows.ends), target.transform(y), np.ones(len(y), np.float32))
        return cls(values, windows, coding, target, rows)

    @property
    def split(self) -> Split:
        """The windows of each part."""
        return Split(self.windows.train, self.windows.valid, self.windows.test)


class Settled(NamedTuple):
    """What is used: networks, the coding they go with, and what is to be said of it: that the linear forecast is given
    alone, and that a simple one does better."""

    fit: Fit
    coding: SeriesCoding
    findings: list[Finding]
    beaten: Sequence[Finding] = ()

    def said(self, diagnosed: list[Finding], *, cut: bool = False) -> list[Finding]:
        """What is to be said in all. Where a linear forecast is corrected, the network is not told that it learned
        nothing or that errors fade, since what is left for it may be noise, nor that steps are idle, since the linear
        forecast looks at all of them; where that stands alone, nothing of how far the network remembered. Of a network
        whose training was cut short it is not said that a simple forecast does better."""
        beaten = () if cut and not self.findings else self.beaten
        untold: set[str] = set()
        if self.coding.linear:
            untold = {*UNTOLD, "train.short_memory"} if self.findings else UNTOLD
        return by_severity([*(f for f in diagnosed if f.code not in untold), *beaten, *self.findings])


def standard_error(gains: np.ndarray, horizon: int) -> float:
    """Of the mean of the gains of windows that follow each other, (n,) with n at least 2:

        sqrt((c_0 + 2 sum_{k < horizon} c_k) / n),    c_k their autocovariance at lag k

    and no less than that of gains that do not go together, sqrt(c_0 / n). Divided by n - 1, c_0 is the variance.
    """
    n, apart = len(gains), gains - gains.mean()
    c = np.array([apart[k:] @ apart[: n - k] / (n - 1) for k in range(min(horizon, n))])
    return float(np.sqrt(max(c[0] + 2 * c[1:].sum(), c[0]) / n))


def settle(fit: Fit, model: Model, series: Series) -> Settled:
    """Keep the networks of a fit, or the linear forecast alone; as it was where none was made, or nothing held out.

    Parameters
    ----------
    fit : as trained.
    model : its networks.
    series : what it was trained on.
    """
    values, windows, coding = series.values, series.windows, series.coding
    if len(windows.valid) < 2:
        return Settled(fit, coding, [])
    ends = windows.ends[windows.valid]
    truth, linear = values[steps_ahead(ends, coding.horizon)], coding.origin(values, ends)
    corrected = linear + model.numbers(series.rows.x[windows.valid]).reshape(linear.shape)
    if not coding.linear:
        return Settled(fit, coding, [], _beaten(model, series, corrected))
    squared = _is_squared(model)
    before, after = (_values(model, truth - linear, one - linear) for one in (linear, corrected))
    fall = before - after
    gain, error = float(fall.mean()), standard_error(fall, coding.horizon)
    bars = {
        "twice its standard error": ERRORS * error,
        f"{100 * SHARE:g} % of the {'squared error' if squared else 'loss'}": SHARE * float(before.mean()),
    }
    bar = max(bars, key=bars.__getitem__)
    of_no_mean = isinstance(model.loss, Quantile) and model.loss.tau != 0.5
    kept = of_no_mean or gain > bars[bar]
    key, name = ("rmse", "root mean squared error") if squared else ("loss", "loss")
    alone, with_network = (_four(np.sqrt(each.mean()) if squared else each.mean()) for each in (before, after))
    numbers = {
        "windows": len(ends),
        f"linear_{key}": alone,
        f"corrected_{key}": with_network,
        "gain": _four(gain),
        "standard_error": _four(error),
    }
    why = (
        f"it makes the quantile {model.loss.tau:g} of the forecast of a mean"
        if isinstance(model.loss, Quantile) and of_no_mean
        else f"what it gains is {'more' if kept else 'no more'} than {bar}"
    )
    stage: dict[str, Any] = {
        "stage": "correction",
        **numbers,
        "decision": "network" if kept else "linear",
        "reason": f"on {len(ends)} validation windows the linear forecast has a {name} of {alone:g}, with "
        f"the network's correction {with_network:g}; {why}",
    }
    stages = [*fit.stages, stage]
    if kept:
        return Settled(fit._replace(stages=stages, constant=()), coding, [], _beaten(model, series, corrected))
    nothing = tuple(_saying_nothing(params, model) for params in fit.members)
    return Settled(
        fit._replace(members=nothing, stages=stages, constant=()),
        _fitted_to_all(coding, values, windows),
        [
            Finding(
                "data.no_signal",
                "info",
                "",
                numbers,
                "What the network adds to the linear forecast is no better than chance on the validation windows, or "
                "too little to matter, so the linear forecast is given alone, fitted to these windows too.",
                "Give more steps of the series, or columns that tell more; autoregression=False (--no-autoregression) "
                "lets the network forecast by itself.",
            )
        ],
        _beaten(model, series, linear),
    )


def _beaten(model: Model, series: Series, forecast: np.ndarray) -> list[Finding]:
    """train.worse_than_naive: on the validation windows a forecast that needs no training does clearly better than this
    one, (n, horizon)."""
    values, windows, coding = series.values, series.windows, series.coding
    ends = windows.ends[windows.valid]
    truth, origin = values[steps_ahead(ends, coding.horizon)], coding.origin(values, ends)
    found = []
    with np.errstate(all="ignore"):
        own = _values(model, truth - origin, forecast - origin)
        simple = forecasts(values, ends, coding, windows.seen)
        for name in SIMPLE.keys() & simple.keys():
            fall = own - _values(model, truth - origin, simple[name] - origin)
            gain, error = fall.mean() / own.mean(), standard_error(fall, coding.horizon) / own.mean()
            if (gain > LEAST and gain > ERRORS * error) or (gain > MUCH and gain > error):
                found.append((gain, error, name))
    if not found:
        return []
    gain, error, name = max(found)
    other = simple[name]
    if squared := _is_squared(model):
        scores = rmse(truth - forecast), rmse(truth - other)
    else:
        scores = own.mean(), (1 - gain) * own.mean()
    key, what = ("rmse", "root mean squared error") if squared else ("loss", "loss")
    ours, theirs = map(_four, scores)
    return [
        Finding(
            "train.worse_than_naive",
            "warning",
            name.replace("_", " "),
            {
                "windows": len(ends),
                key: ours,
                f"{key}_of_{name}": theirs,
                "gain": _four(gain),
                "standard_error": _four(error),
            },
            f"A forecast without any training does better: on {len(ends)} validation windows {SIMPLE[name]} has a "
            f"{what} of {theirs:g}, and what was trained {ours:g}.",
            f"Forecast with {SIMPLE[name]} itself, until there is more of the series to learn from. Or give its "
            "differences, or its logarithms if it grows by shares of itself, or columns that tell what comes.",
        )
    ]


def _is_squared(model: Model) -> bool:
    """Whether forecasts are judged by their squared error: of that loss, and where the output is not linear."""
    return isinstance(model.loss, SquaredError) or model.loss.activation.name != "identity"


def _values(model: Model, truth: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """(n,) the squared error of forecasts (n, horizon), its mean over the horizon, or the loss that was trained
    with."""
    if _is_squared(model):
        return np.mean((forecast - truth) ** 2, axis=1)
    z, y = (jnp.asarray(model.target.transform(each)) for each in (forecast, truth))
    return np.asarray(model.loss.value(z, y), np.float64)


def _fitted_to_all(coding: SeriesCoding, values: np.ndarray, windows: Windows) -> SeriesCoding:
    """The linear forecast fitted to every window up to the last one of validation."""
    ends = windows.ends[: int(windows.valid.max()) + 1]
    weights = fit_linear(values, coding.bases(values, ends), ends, coding.window, coding.horizon)
    return replace(coding, linear=tuple(map(tuple, weights.tolist())))


def _saying_nothing(params: Any, model: Model) -> Any:
    """Weights whose answer is 0 in the target's units."""
    place, last = output(params)
    zero = model.target.transform(np.zeros((1, model.target.n_out)))[0]
    empty = list(jax.tree.map(np.zeros_like, params))
    empty[place] = last._replace(w=np.zeros_like(last.w), b=zero.astype(np.asarray(last.b).dtype))
    return tuple(empty)


def _four(value: Any) -> float:
    return float(f"{float(value):.4g}")
