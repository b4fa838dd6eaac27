"""When a network that corrects a linear forecast is kept: `python corrections.py [--seeds 2] [--only NAME,NAME]`.

The series that statsmodels and vega_datasets ship, and four generated ones; one step ahead of their last fifth, with
default settings. Root mean squared errors over that of a least-squares autoregression of the same window, which may
use the validation windows too: of the ridge autoregression alone, fitted to all but the test ("linear"); of a network
that corrects one fitted to the training windows ("network"); and of rules that keep the network if its gain on the
validation windows is above so many standard errors, and above so great a share of the linear forecast's squared error.
"""

import argparse
import warnings

import numpy as np

from axonic import RecurrentRegressor, correction

RULES = (
    (-np.inf, -np.inf),
    *((n, 0.0) for n in (0.0, 1.0, 2.0, 3.0)),
    (2.0, 0.01),
    (2.0, 0.02),
    (2.0, 0.05),
    (np.inf, 0.0),
)
"""Standard errors, and share of the linear forecast's squared error, that the gain must be above."""


def shipped():
    """(values, window) of real series by name; the window is twice the season, or 8 where there is none."""
    import statsmodels.api as sm
    from vega_datasets import data

    sets = sm.datasets
    macro = sets.macrodata.load_pandas().data
    found = {
        "sunspots": (sets.sunspots.load_pandas().data["SUNACTIVITY"], 22),
        "co2": (sets.co2.load_pandas().data["co2"].resample("MS").mean().interpolate(), 24),
        "nile": (sets.nile.load_pandas().data["volume"], 8),
        "elnino": (sets.elnino.load_pandas().data.set_index("YEAR").stack(), 24),
        "copper": (sets.copper.load_pandas().data["WORLDCONSUMPTION"], 4),
        **{name: (macro[name], 8) for name in ("realgdp", "realinv", "cpi", "m1", "tbilrate", "unemp", "infl")},
        "seattle_temps": (data.seattle_temps().set_index("date")["temp"].resample("D").mean(), 14),
        "seattle_hours": (data.seattle_temps()["temp"][:3000], 48),
        "sf_hours": (data.sf_temps()["temp"][:3000], 48),
        "wheat": (data.wheat()["wheat"], 4),
    }
    weather = data.seattle_weather()
    found |= {f"weather_{name}": (weather[name], 14) for name in ("temp_max", "wind", "precipitation")}
    stocks = data.stocks()
    found |= {name: (stocks.loc[stocks["symbol"] == name, "price"], 8) for name in ("AAPL", "IBM", "MSFT")}
    employment = data.us_employment()
    found |= {name: (employment[name], 24) for name in ("construction", "retail_trade", "government")}
    return {name: (np.asarray(values, float), window) for name, (values, window) in found.items()}


def generated():
    """Four that are not linear: the logistic map, Mackey and Glass's equation, a threshold autoregression with noise,
    and a sine with noise whose linear forecast is as good as any."""
    rng = np.random.default_rng(5)
    logistic = [0.3]
    for _ in range(499):
        logistic.append(3.9 * logistic[-1] * (1 - logistic[-1]))
    glass = [1.2] * 18
    for _ in range(4000):
        glass.append(0.9 * glass[-1] + 0.2 * glass[-18] / (1 + glass[-18] ** 10))
    threshold = [0.0]
    for _ in range(599):
        threshold.append((0.9 if threshold[-1] < 0 else -0.7) * threshold[-1] + 0.5 * rng.standard_normal())
    wave = np.sin(np.arange(400) * 2 * np.pi / 12) + 0.3 * rng.standard_normal(400)
    return {
        "logistic map": (np.array(logistic), 4),
        "Mackey-Glass": (np.array(glass[1000::6]), 8),
        "threshold": (np.array(threshold), 4),
        "noisy sine": (wave, 24),
    }


def measure(values, window, seed):
    """Root mean squared errors of the linear forecast and with the network, over the autoregression's; and the gain on
    the validation windows in standard errors, and as a share of the linear forecast's squared error."""
    first = len(values) - len(values) // 5
    ends = np.arange(first - 1, len(values) - 1)
    truth, lagged = values[ends + 1], np.lib.stride_tricks.sliding_window_view(values, window)
    rmse = lambda found: float(np.sqrt(np.mean((found - truth) ** 2)))  # noqa: E731
    found = []
    for bar in (np.inf, -np.inf):
        correction.ERRORS = correction.SHARE = bar
        model = RecurrentRegressor(random_state=seed, monitor=False).fit_series(values[:first], window)
        found.append(rmse(model.predict(lagged[ends - window + 1, :, None])[:, 0]))
    rows = np.arange(window - 1, first - 1)
    design = np.column_stack([lagged[rows - window + 1], np.ones(len(rows))])
    w = np.linalg.lstsq(design, values[rows + 1], rcond=None)[0]
    base = rmse(np.column_stack([lagged[ends - window + 1], np.ones(len(ends))]) @ w)
    stage = model.notebook_[-1]
    sure, share = (
        stage["gain"] / max(stage[key] ** power, 1e-300) for key, power in (("standard_error", 1), ("linear_rmse", 2))
    )
    return found[0] / base, found[1] / base, sure, share


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    all_series = shipped() | generated()
    names = options.only.split(",") if options.only else list(all_series)
    heads = [f"{n:g}, {100 * share:g}%" for n, share in RULES]
    print(
        f"{'series':20s} steps linear network  gain/error  gain, %    kept above "
        + "  ".join(f"{head:>8s}" for head in heads)
    )
    logs = []
    for name in names:
        values, window = all_series[name]
        rows = [measure(values, window, seed) for seed in range(options.seeds)]
        kept = [
            [network if sure > n and gain > share else linear for n, share in RULES]
            for linear, network, sure, gain in rows
        ]
        logs.append(np.log(kept).mean(axis=0))
        linear, network = np.exp(np.mean(np.log(np.array(rows)[:, :2]), axis=0))
        sure = "/".join(f"{row[2]:.1f}" for row in rows)
        share = "/".join(f"{100 * row[3]:.1f}" for row in rows)
        print(
            f"{name:20s} {len(values):5d} {linear:6.3f} {network:7.3f}  {sure:11s} {share:11s}           "
            + "  ".join(f"{np.exp(v):8.3f}" for v in logs[-1]),
            flush=True,
        )
    print(f"{'geometric mean':76s}" + "  ".join(f"{np.exp(v):8.3f}" for v in np.mean(logs, axis=0)))
    print(f"{'worst':76s}" + "  ".join(f"{np.exp(v):8.3f}" for v in np.max(logs, axis=0)))


if __name__ == "__main__":
    main()
