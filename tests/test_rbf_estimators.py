"""RBF networks as estimators and from the command line."""

import inspect
import json
import pickle
import re

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from axonic import FeedForwardClassifier, RBFClassifier, RBFRegressor, load, losses
from axonic.cli import main
from axonic.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:.*networks did no better")
"""scikit-learn's checks have rows that tell nothing."""


N = 80
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 3)) * [1.0, 3.0, 0.1] + [0.0, 5.0, 0.0]
CODES = np.argmax(np.stack([X[:, 0], -X[:, 0], (X[:, 1] - 5) / 3], axis=1) + 0.5 * RNG.gumbel(size=(N, 3)), axis=1)
LABELS = np.array(["ant", "bee", "cat"])[CODES]
NUMBERS = 10 * np.sin(X[:, 0]) + X[:, 1] + 100.0
PAIRS = np.stack([NUMBERS, 1e-3 * X[:, 2]], axis=1)
QUICK = {"training": "gradient", "learning_rate": 0.1, "epochs": 3, "ensemble": 1, "regularization": None}
KINDS = {
    "text classes": (RBFClassifier, LABELS),
    "two classes": (RBFClassifier, CODES == 1),
    "numbers": (RBFRegressor, NUMBERS),
    "two targets": (RBFRegressor, PAIRS),
}


def outputs(model, x=X):
    return model.predict_proba(x) if hasattr(model, "predict_proba") else model.predict(x)


@pytest.mark.parametrize("cls", [RBFClassifier, RBFRegressor])
def test_every_parameter_and_attribute_is_documented_and_nothing_else_is(cls):
    parts = {}
    for title in ("Parameters", "Attributes"):
        section = re.search(rf"\n    {title}\n    -+\n(.*?)(\n\n|$)", cls.__doc__, re.DOTALL).group(1)
        lines = re.findall(r"^    (\w[\w, ]*) :", section, re.MULTILINE)
        parts[title] = [name for line in lines for name in line.split(", ")]
    assert sorted(parts["Parameters"]) == sorted(inspect.signature(cls).parameters)
    model = cls(n_centers=4).fit(X, CODES if cls is RBFClassifier else NUMBERS)
    assert all(hasattr(model, name) for name in parts["Attributes"] if name != "feature_names_in_")


@pytest.mark.parametrize("options", [{}, QUICK], ids=["closed form", "gradient"])
@pytest.mark.parametrize("name", KINDS)
def test_saved_pickled_and_loaded_models_predict_the_same(name, options, tmp_path):
    cls, y = KINDS[name]
    model = cls(n_centers=6, widths="per_center", **options).fit(X, y)
    model.save(tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    assert type(loaded) is cls
    assert loaded.get_params() == model.get_params()
    np.testing.assert_array_equal(loaded.centers_, model.centers_)
    np.testing.assert_array_equal(outputs(loaded), outputs(model))
    np.testing.assert_array_equal(outputs(pickle.loads(pickle.dumps(model))), outputs(model))
    assert loaded.predict(X).shape == y.shape


def test_defaults_learn():
    cases = ((RBFClassifier, load_iris, 0.95), (RBFClassifier, load_wine, 0.97), (RBFRegressor, load_diabetes, 0.45))
    for cls, data, least in cases:
        x, y = data(return_X_y=True)
        assert cls().fit(x, y).score(x, y) > least


def test_the_closed_form_is_ridge_regression_on_the_features():
    """Through the whole estimator: scikit-learn's ridge on the features of its centres and widths gives its numbers."""
    from sklearn.linear_model import Ridge

    model = RBFRegressor(n_centers=10, standardize=False).fit(X, NUMBERS)
    ridge = model.notebook_[0]["ridge"]
    squares = ((X[:, None] - model.centers_) ** 2).sum(axis=2)
    phi = np.exp(-squares / (2 * np.exp(2 * model.log_width_.item())))
    reference = Ridge(ridge).fit(phi, NUMBERS).predict(phi)
    np.testing.assert_allclose(model.predict(X), reference, atol=1e-3 * NUMBERS.std())


@pytest.mark.parametrize("name", KINDS)
def test_weights_are_rows_given_again(name):
    cls, y = KINDS[name]
    weight = np.random.default_rng(2).integers(1, 4, N)
    weighted = cls(n_centers=6).fit(X, y, sample_weight=weight)
    repeated = cls(n_centers=6).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight, axis=0))
    np.testing.assert_array_equal(outputs(weighted), outputs(repeated))


def test_class_weights_are_sample_weights():
    by_class = RBFClassifier(n_centers=6, class_weight={"ant": 3, "bee": 1, "cat": 1}).fit(X, LABELS)
    by_row = RBFClassifier(n_centers=6).fit(X, LABELS, sample_weight=np.where(LABELS == "ant", 3.0, 1.0))
    np.testing.assert_allclose(outputs(by_class), outputs(by_row), rtol=1e-5)


@pytest.mark.parametrize("options", [{}, QUICK | {"n_centers": 10}], ids=["closed form", "gradient"])
def test_a_class_of_weight_zero_is_left_out(options):
    x, y = load_iris(return_X_y=True)
    model = RBFClassifier(**{"n_centers": 10} | options, class_weight={0: 1, 1: 1, 2: 0}).fit(x, y)
    assert np.isfinite(model.notebook_[0]["loss"]).all()
    assert model.score(x[y < 2], y[y < 2]) > 0.95


def test_probabilities_are_honest():
    """The mean log-loss on new rows is near what leaving rows out said it would be."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1500, 2))
    y = (x[:, 0] ** 2 + x[:, 1] + 0.5 * rng.logistic(size=1500) > 1).astype(int)
    model = RBFClassifier(n_centers=16).fit(x[:500], y[:500])
    said = min(model.notebook_[0]["loss"])
    assert abs(log_loss(y[500:], model.predict_proba(x[500:])) - said) < 0.05


def test_no_signal_gives_the_constant_answer_and_says_so():
    x, y = np.random.default_rng(3).standard_normal((60, 5)), np.random.default_rng(4).standard_normal(60)
    with pytest.warns(UserWarning, match="no better"):
        model = RBFRegressor(n_centers=3, width=0.01).fit(x, y)
    np.testing.assert_allclose(model.predict(x + 9.0), y.mean(), atol=1e-6)


def test_several_networks_are_averaged():
    model = RBFRegressor(n_centers=5, ensemble=3).fit(X, NUMBERS)
    alone = [model.model_.alone(i).predict(X) for i in range(3)]
    assert len({each.tobytes() for each in alone}) == 3
    np.testing.assert_allclose(model.predict(X), np.mean(alone, axis=0), rtol=1e-5)


def test_gradient_goes_on_from_the_closed_form_and_is_never_worse_on_the_validation_rows():
    options = {"training": "gradient", "ensemble": 1, "regularization": None, "n_centers": 4}
    start = RBFRegressor(**options, learning_rate=1e-9, epochs=1).fit(X, NUMBERS)
    model = RBFRegressor(**options).fit(X, NUMBERS)
    valid = [each.notebook_[-1]["best_loss"][0] for each in (start, model)]
    assert valid[1] < 0.8 * valid[0]
    assert not np.array_equal(model.centers_, start.centers_)
    assert not np.array_equal(model.log_width_, start.log_width_)
    held = RBFRegressor(**options, learning_rate=1e9, epochs=2)
    with pytest.warns(UserWarning, match="no longer finite"):
        diverged = held.fit(X, NUMBERS)
    np.testing.assert_allclose(outputs(diverged), outputs(start), rtol=1e-4)


@pytest.mark.parametrize("loss", ["huber", "absolute", losses.quantile(0.8), "poisson"])
def test_other_losses_are_trained_by_gradient(loss):
    y = NUMBERS - 80
    constant = np.full(N, np.quantile(y, 0.8) if isinstance(loss, losses.Quantile) else np.median(y))
    model = RBFRegressor(n_centers=6, training="gradient", ensemble=1, loss=loss).fit(X, y)
    tau = 0.8 if isinstance(loss, losses.Quantile) else 0.5
    value = lambda p: np.mean(np.maximum(tau * (y - p), (1 - tau) * (p - y)))  # noqa: E731
    assert value(model.predict(X)) < 0.7 * value(constant)


def test_warm_start_goes_on_from_the_weights():
    model = RBFRegressor(n_centers=4, warm_start=True, **QUICK).fit(X, NUMBERS)
    before = model.centers_.copy()
    model.set_params(learning_rate=1e-9).fit(X, NUMBERS)
    np.testing.assert_allclose(model.centers_, before, rtol=1e-4, atol=1e-4)


BAD = {
    "n_centers": ({"n_centers": 0}, "at least 1"),
    "centers": ({"centers": "grid"}, "kmeans"),
    "radial": ({"radial": "cubic"}, "gaussian"),
    "width": ({"width": -1.0}, "positive"),
    "widths": ({"widths": "each"}, "per_center"),
    "training": ({"training": "magic"}, "closed_form"),
    "ridge": ({"ridge": 0.0}, "positive"),
    "goal": ({"goal": -1.0, "centers": "grow"}, "not negative"),
    "goal without growing": ({"goal": 0.1}, "centers='grow'"),
    "grown with widths of their own": ({"centers": "grow", "widths": "per_center"}, "shared"),
    "rate": ({"learning_rate": 0.1}, "training='gradient'"),
    "epochs": ({"epochs": 5}, "training='gradient'"),
    "early stopping": ({"early_stopping": False}, "training='gradient'"),
    "loss": ({"loss": "huber"}, "training='gradient'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_can_not_work_is_refused_in_one_line(name):
    options, how = BAD[name]
    with pytest.raises(ValueError, match=re.escape(how)) as error:
        RBFRegressor(**options).fit(X, NUMBERS)
    assert "\n" not in str(error.value)


def test_validation_data_is_for_training_by_gradient():
    with pytest.raises(ValueError, match="leaves each row out once"):
        RBFRegressor().fit(X, NUMBERS, validation_data=(X, NUMBERS))
    model = RBFRegressor(n_centers=4, **QUICK).fit(X, NUMBERS, validation_data=(X, NUMBERS))
    assert np.isfinite(model.history_["valid_loss"]).all()


def test_parameters_of_other_networks_are_refused():
    for options in ({"net": "rbf", "hidden_layer_sizes": (3,)}, {"n_centers": 4}, {"net": "cnn"}):
        with pytest.raises(ValueError, match="impossible"):
            Settings(**options)
    assert not hasattr(FeedForwardClassifier(), "n_centers")
    assert not hasattr(RBFClassifier(), "partial_fit")


# --- the command line ---


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("rbf") / "table.csv"
    lines = ["a,b,c,kind", *(f"{a},{b},{c},{label}" for (a, b, c), label in zip(X, LABELS, strict=True))]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    "options",
    [[], ["--training", "gradient", "--n-centers", "5", "--epochs", "2", "--learning-rate", "0.1", "--ensemble", "2"]],
    ids=["closed form", "gradient"],
)
def test_fit_evaluate_predict_resume_and_load(options, table, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["fit", str(table), "--target", "kind", "--net", "rbf", "--out", str(run), "--json", *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["net"] == "rbf"
    assert result["activation"] == "gaussian"
    assert result["stages"][0]["stage"] == "centers"
    assert result["hidden"] == [result["stages"][0]["decision"]]
    assert (result["optimizer"] == "closed_form") == (not options)
    assert (result["n_valid"] == 0) == (not options)
    assert result["test"]["accuracy"] > 0.5
    model = load(run)
    assert isinstance(model, RBFClassifier)
    assert model.training == ("gradient" if options else "closed_form")
    assert model.fit(X, LABELS).score(X, LABELS) > 0.5

    assert main(["evaluate", str(run), str(table), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == N
    assert main(["predict", str(run), str(table), "--proba"]) == 0
    assert capsys.readouterr().out.startswith("prediction,ant,bee,cat\n")
    before = (run / "model.safetensors").read_bytes()
    (run / "result.json").unlink()  # as if it had been killed at the end
    assert main(["resume", str(run), "--quiet", "--json"]) == 0
    assert (run / "model.safetensors").read_bytes() == before


def test_bad_options_of_the_command_line(table, tmp_path, capsys):
    for options in (["--n-centers", "many"], ["--n-centers", "0"], ["--loss", "mse"], ["--epochs", "3"]):
        out = tmp_path / "none"
        command = ["fit", str(table), "--target", "kind", "--net", "rbf", "--out", str(out), "--quiet", *options]
        assert main(command) == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert not out.exists()


def test_a_closed_form_that_is_no_better_than_a_constant_says_by_which_rows_and_what_to_try():
    """A row alone at its centre, hardly held by a ridge, is far off when it is left out."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 2))
    y = np.sin(2 * x[:, 0]) + 0.3 * x[:, 1] ** 2
    with pytest.warns(ConvergenceWarning, match=r"each row is left out once.*leave it at"):
        RBFRegressor(n_centers=40, width=0.2, ridge=1e-8).fit(x, y)
