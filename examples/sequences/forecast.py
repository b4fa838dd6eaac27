"""The next year of a monthly series with trend and season: `python examples/sequences/forecast.py`."""

import numpy as np

from axonic import RecurrentRegressor


def series(n=300):
    """Monthly values that rise, with a season of twelve and some noise."""
    month = np.arange(n)
    return 0.05 * month + 2 * np.sin(2 * np.pi * month / 12) + 0.3 * np.random.default_rng(0).standard_normal(n)


def main(epochs=80):
    """Returns the root mean squared errors of the forecast and of the same month a year before."""
    values = series()
    past, future = values[:-12], values[-12:]
    model = RecurrentRegressor("gru", (16,), learning_rate=0.01, epochs=epochs)
    model.fit_series(past, window=24, horizon=12)
    predicted = model.forecast(past)
    ours = float(np.sqrt(np.mean((predicted - future) ** 2)))
    seasonal = float(np.sqrt(np.mean((past[-12:] - future) ** 2)))
    print(f"root mean squared error {ours:.2f}, of the year before {seasonal:.2f}")
    print(np.column_stack([predicted, future]).round(1))
    return ours, seasonal


if __name__ == "__main__":
    main()
