"""A network that corrects a linear forecast is kept if it does so beyond chance, and otherwise leaves it alone."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import Ridge

from axonic import RecurrentRegressor, correction, runs
from axonic.cli import main
from axonic.correction import Settled, standard_error
from axonic.data.autoregression import fit_linear
from axonic.data.sequences.layout import Layout
from axonic.losses import quantile
from axonic.settings import Settings
from axonic.storage import load_model
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


def test_where_the_linear_forecast_is_given_alone_what_is_reported_is_said_of_that_one(tmp_path):
    """A series that becomes another one in its validation part, so that the forecast that is fitted to that too is not
    the one that was trained with."""
    rng, values = np.random.default_rng(1), [0.0, 0.0]
    for t in range(2, 200):
        calm = t < 130
        values.append((0.9 if calm else -0.9) * values[-1] + rng.standard_normal() * (1 if calm else 30))
    frame = pl.DataFrame({"t": range(200), "y": values})
    frame.write_csv(tmp_path / "s.csv")
    frame[-43:].write_csv(tmp_path / "test.csv")  # windows of 3 before each of the last 40 steps
    layout = Layout(order_by="t", window=3, horizon=1)
    short = {**FAST, "epochs": 2, "learning_rate": 1e-6}
    settings = Settings(net="gru", activation="tanh", **short)
    result = runs.fit_table(tmp_path / "s.csv", "y", tmp_path / "run", settings=settings, layout=layout)
    assert result["stages"][-1]["decision"] == "linear"
    scores = runs.evaluate_table(tmp_path / "run", tmp_path / "test.csv")
    assert {name: scores[name] for name in result["test"]} == pytest.approx(result["test"], rel=1e-5)
    y = np.array(values)
    lagged = np.lib.stride_tricks.sliding_window_view(y, 3)[157:-1]
    forecast = load_model(tmp_path / "run").forecasts(lagged)[:, 0]
    assert result["test"]["rmse"] == pytest.approx(np.sqrt(np.mean((forecast - y[160:]) ** 2)), rel=1e-5)
    shown = json.loads((tmp_path / "run" / "report.json").read_text())["series"]
    np.testing.assert_allclose(shown["true"]["value"], y[160:], atol=1e-4)
    np.testing.assert_allclose(shown["forecast"], forecast, rtol=1e-6)
    rows = np.lib.stride_tricks.sliding_window_view(y[:130], 3)[:-1]  # validation begins with step 130
    mean = y[:130].mean()
    trained = fit_linear(y, np.full(127, mean), np.arange(2, 129), 3, 1)
    np.testing.assert_allclose(trained[:-1, 0], Ridge(1e-6).fit(rows - mean, y[3:130]).coef_, atol=0.05)
    alone = mean + (lagged - mean) @ trained[:-1, 0] + trained[-1, 0]
    error = np.sqrt(np.mean((alone - y[160:]) ** 2))
    assert result["baselines"]["linear"]["test"]["rmse"] == pytest.approx(error, rel=1e-6)
    assert result["test"]["rmse"] < 0.6 * error


@pytest.mark.parametrize("tau", [0.1, 0.9])
def test_a_quantile_is_made_of_the_linear_forecast_by_the_network(tau):
    series = autoregressive(600)
    model = RecurrentRegressor("gru", **{**FAST, "loss": quantile(tau)}).fit_series(series[:480], window=3)
    stage = model.notebook_[-1]
    assert (stage["stage"], stage["decision"]) == ("correction", "network")
    assert stage["corrected_loss"] < 0.6 * stage["linear_loss"]
    assert "quantile" in stage["reason"]
    windows = np.lib.stride_tricks.sliding_window_view(series, 3)[477:-1]
    below = np.mean(series[480:] <= model.predict(windows[..., None])[:, 0])
    assert below == pytest.approx(tau, abs=0.06)
    assert not [f for f in model.findings_ if f.code == "data.no_signal"]


def test_the_command_reports_a_quantile_as_evaluate_does(tmp_path):
    frame = pl.DataFrame({"v": autoregressive(600)})
    frame.write_csv(tmp_path / "s.csv")
    frame[-123:].write_csv(tmp_path / "test.csv")
    settings = Settings(net="gru", activation="tanh", loss=quantile(0.9), **FAST)
    result = runs.fit_table(tmp_path / "s.csv", "v", tmp_path / "run", settings=settings, layout=Layout(window=3))
    scores = runs.evaluate_table(tmp_path / "run", tmp_path / "test.csv")
    assert {name: scores[name] for name in result["test"]} == pytest.approx(result["test"], rel=1e-5)
    assert scores["below"] == pytest.approx(0.9, abs=0.06)


def test_a_correction_is_judged_by_the_loss_it_was_trained_with():
    """Half of the mean of the absolute value: outliers of one side, which move the mean and not the median."""
    rng = np.random.default_rng(0)
    series = 5 + 0.1 * rng.standard_normal(400) + 20.0 * (rng.random(400) < 0.15)
    model = RecurrentRegressor("gru", **{**FAST, "loss": "absolute"}).fit_series(series, window=2)
    stage = model.notebook_[-1]
    assert stage["decision"] == "network"
    assert stage["corrected_loss"] < 0.9 * stage["linear_loss"]
    ends = np.arange(340 - 1, 400 - 1)  # of validation, .15 of the steps
    coding, scale = model.model_.info["series"], model.model_.target.scale[0]
    lagged = np.column_stack([series[ends - 1], series[ends]])
    w = np.array(coding["linear"])[:, 0]
    linear = (lagged - coding["center"]) @ w[:-1] + w[-1] + coding["center"]
    losses = [
        np.mean(np.abs(found - series[ends + 1])) / scale for found in (linear, model.predict(lagged[..., None])[:, 0])
    ]
    assert losses == pytest.approx([stage["linear_loss"], stage["corrected_loss"]], rel=1e-3)


def a_walk_that_leaves(n=200, calm=140):
    """It returns to 0 while it is trained on, and then walks off."""
    rng, values = np.random.default_rng(2), [0.0]
    for t in range(n - 1):
        values.append((0.0 if t < calm else values[-1] + 1.0) + 0.3 * rng.standard_normal())
    return np.array(values)


@pytest.mark.parametrize("autoregression", [True, False])
def test_that_the_last_value_does_better_is_said(autoregression, tmp_path, capsys):
    values = a_walk_that_leaves()
    pl.DataFrame({"v": values}).write_csv(tmp_path / "s.csv")
    call = ["fit", str(tmp_path / "s.csv"), "--target", "v", "--net", "gru", "--window", "6", "--horizon", "3"]
    options = ["--hidden", "4", "--learning-rate", "0.03", "--epochs", "10", "--ensemble", "1", "--test-size", "0.1"]
    options += [] if autoregression else ["--no-autoregression"]
    assert main([*call, *options, "--out", str(tmp_path / "run")]) == 0
    assert "train.worse_than_naive [last value]" in capsys.readouterr().err
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    found = result["findings"][0]
    assert (found["code"], found["severity"], found["where"]) == ("train.worse_than_naive", "warning", "last value")
    numbers = found["evidence"]
    assert numbers["windows"] == result["n_valid"]
    assert numbers["rmse"] == pytest.approx(result["valid"]["rmse"], rel=1e-3)
    naive = result["baselines"]["last_value"]["valid"]["rmse"]
    assert numbers["rmse_of_last_value"] == pytest.approx(naive, rel=1e-3)
    assert numbers["rmse"] > 1.3 * naive
    assert "last value itself" in found["remedy"]
    assert main(["diagnose", str(tmp_path / "run")]) == 0
    assert "train.worse_than_naive" in capsys.readouterr().out
    model = RecurrentRegressor("gru", **{**FAST, "epochs": 10})
    model.fit_series(values[:180], window=6, horizon=3, autoregression=autoregression)
    assert model.findings_[0].code == "train.worse_than_naive"


@pytest.mark.parametrize("seed", range(3))
def test_of_a_random_walk_it_is_not_said_where_hardly_anything_is_between_them(seed):
    walk = np.cumsum(np.random.default_rng(seed).standard_normal(600))
    model = RecurrentRegressor("gru", **{**FAST, "epochs": 10}).fit_series(walk, window=6)
    assert "train.worse_than_naive" not in [f.code for f in model.findings_]


def test_of_a_network_that_was_cut_short_it_is_not_said():
    found = lambda code, severity: Finding(code, severity, "", {}, "", "")  # noqa: E731
    naive, alone = found("train.worse_than_naive", "warning"), found("data.no_signal", "info")
    nothing: Any = None
    coding: Any = SimpleNamespace(linear=((0.5,),))
    network = Settled(nothing, coding, [], [naive])
    assert network.said([], cut=True) == []
    assert network.said([found("train.short_memory", "info")])[0] == naive
    assert Settled(nothing, coding, [alone], [naive]).said([], cut=True) == [naive, alone]
