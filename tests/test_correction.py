"""A network that corrects a linear forecast is kept if it does so beyond chance, and otherwise leaves it alone."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from axonic import RecurrentRegressor, correction
from axonic.cli import main
from axonic.correction import Settled, standard_error
from axonic.types import Finding

FAST = {"hidden_layer_sizes": (8,), "learning_rate": 0.03, "epochs": 60, "ensemble": 1, "regularization": None}


def autoregressive(n=200, seed=3):
    """v_t = v_{t-1}/2 + noise: nothing is left for a network."""
    rng, values = np.random.default_rng(seed), [0.0]
    for _ in range(n - 1):
        values.append(0.5 * values[-1] + rng.standard_normal())
    return np.array(values) + 5.0


def logistic_map(n=300):
    """Its next value is a parabola of this one, uncorrelated with it."""
    values = [0.3]
    for _ in range(n - 1):
        values.append(3.9 * values[-1] * (1 - values[-1]))
    return np.array(values)


def test_where_all_is_linear_the_linear_forecast_is_given_alone_fitted_to_all_windows():
    series = autoregressive()
    model = RecurrentRegressor("gru", **FAST).fit_series(series, window=3)
    stage = model.notebook_[-1]
    assert (stage["stage"], stage["decision"]) == ("correction", "linear")
    assert stage["gain"] <= 2 * stage["standard_error"]
    said = [f for f in model.findings_ if f.code == "data.no_signal"]
    assert [f.severity for f in said] == ["info"]
    assert "linear forecast" in said[0].cause
    lagged = np.lib.stride_tricks.sliding_window_view(series, 3)
    coding = model.model_.info["series"]
    x, y = lagged[:-1] - coding["center"], series[3:] - coding["center"]
    w = np.array(coding["linear"])[:, 0]
    np.testing.assert_allclose(np.mean(y - x @ w[:-1] - w[-1]), 0, atol=1e-6)  # of all windows, not of some
    np.testing.assert_allclose(w, np.r_[0, 0, 0.5, w[-1]], atol=0.2)
    forecast = (lagged[-1] - coding["center"]) @ w[:-1] + w[-1] + coding["center"]
    np.testing.assert_allclose(model.forecast(series), [forecast], rtol=1e-6)


def test_a_network_that_sees_what_is_not_linear_is_kept():
    series = logistic_map()
    model = RecurrentRegressor("gru", **{**FAST, "epochs": 200}).fit_series(series[:250], window=3)
    stage = model.notebook_[-1]
    assert stage["decision"] == "network"
    assert stage["corrected_rmse"] < 0.5 * stage["linear_rmse"]
    assert not [f for f in model.findings_ if f.code == "data.no_signal"]
    windows = np.lib.stride_tricks.sliding_window_view(series, 3)[247:-1]
    later = model.predict(windows[..., None])[:, 0] - series[250:]
    assert np.sqrt(np.mean(later**2)) < 0.3 * stage["linear_rmse"]


@pytest.mark.parametrize("series", [autoregressive(), logistic_map()], ids=["linear", "not linear"])
def test_the_command_says_which_it_was_and_judges_validation_by_what_was_not_fitted_to_it(series, tmp_path, capsys):
    pl.DataFrame({"v": series}).write_csv(tmp_path / "s.csv")
    options = ["--hidden", "8", "--learning-rate", "0.03", "--epochs", "60", "--ensemble", "1"]
    call = ["fit", str(tmp_path / "s.csv"), "--target", "v", "--net", "gru", "--window", "3", *options]
    assert main([*call, "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().err
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    stage = result["stages"][-1]
    assert stage["stage"] == "correction"
    kept = {"network": "the network's correction is kept", "linear": "the linear forecast is given alone"}
    assert f"{kept[stage['decision']]}: {stage['reason']}" in printed
    shown = stage["linear_rmse" if stage["decision"] == "linear" else "corrected_rmse"]
    assert result["valid"]["rmse"] == pytest.approx(shown, rel=1e-3)
    heading = {"network": "The network corrects the linear forecast", "linear": "The linear forecast alone"}
    assert heading[stage["decision"]] in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("horizon", [1, 6])
def test_gains_of_windows_that_share_steps_go_together(horizon):
    """Means over `horizon` steps, each window a step after the one before: over 400 series their mean varies as is
    said."""
    steps = np.random.default_rng(0).standard_normal((400, 300 + horizon - 1))
    gains = np.lib.stride_tricks.sliding_window_view(steps, horizon, axis=1).mean(axis=2)
    said = [standard_error(each, horizon) for each in gains]
    assert np.sqrt(np.mean(np.square(said))) == pytest.approx(gains.mean(axis=1).std(), rel=0.1)
    if horizon == 1:
        np.testing.assert_allclose(said, gains.std(axis=1, ddof=1) / np.sqrt(300))
    assert standard_error(np.array([1.0, -1.0]), horizon) == pytest.approx(1.0)  # no less than of each by itself


def test_a_gain_that_is_certain_and_does_not_matter_is_left(monkeypatch):
    """Here nothing is left to chance, and what matters is set so high that no gain reaches it."""
    series = autoregressive()
    monkeypatch.setattr(correction, "standard_error", lambda gains, horizon: 0.0)
    monkeypatch.setattr(correction, "SHARE", 1.0)
    stage = RecurrentRegressor("gru", **FAST).fit_series(series, window=3).notebook_[-1]
    assert stage["decision"] == "linear"
    assert stage["reason"].endswith("no more than 100 % of the squared error")


@pytest.mark.parametrize(
    ("linear", "alone", "told"),
    [
        (False, False, ["train.vanishing", "train.short_memory", "data.idle_steps"]),
        (True, False, ["train.short_memory"]),
        (True, True, ["data.no_signal"]),
    ],
    ids=["no linear forecast", "corrected", "alone"],
)
def test_a_network_that_corrects_is_not_measured_by_what_may_be_noise(linear, alone, told):
    found = lambda code: Finding(code, "info", "", {}, "", "")  # noqa: E731
    diagnosed = [found(code) for code in ("train.vanishing", "train.short_memory", "data.idle_steps")]
    nothing: Any = None
    coding: Any = SimpleNamespace(linear=((0.5,),) if linear else ())
    settled = Settled(nothing, coding, [found("data.no_signal")] if alone else [])
    assert [finding.code for finding in settled.said(diagnosed)] == told
