"""Planted faults are named, healthy runs are left in peace, and what a finding rests on is true. The whole bench is in
`benchmarks/faults`."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from sklearn.exceptions import ConvergenceWarning

from axonic import (
    FeedForwardClassifier,
    FeedForwardRegressor,
    RecurrentClassifier,
    RecurrentRegressor,
    losses,
    recipe,
)
from axonic.checks import check_rows
from axonic.cli import main
from axonic.data.batches import Rows, Split, split_rows
from axonic.diagnosis import capacity, diagnose, unwatched
from axonic.diagnosis.live import alarms
from axonic.health import COLUMNS
from axonic.layers.activations import Activation
from axonic.runs import fit_table
from axonic.runs.request import Silent
from axonic.settings import Settings, pair
from axonic.specs import spec

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
HIDDEN = {"hidden_layer_sizes": (64,), "ensemble": 1}


def blobs(n=240, noise=0.7):
    """Three classes of points in the plane of four columns."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n)
    centres = np.array([[0, 2, 0, 1], [2, 0, 1, 0], [-1, -1, 2, 2]])
    return centres[y] + noise * rng.standard_normal((n, 4)), y


def wave(n=240):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((n, 3))
    return x, np.sin(2 * x[:, 0]) + x[:, 1] + 0.1 * rng.standard_normal(n)


def said(model):
    """Findings of severity warning or worse."""
    return [finding for finding in model.findings_ if finding.severity != "info"]


def with_weights(change, **params):
    """A fit that begins from the weights that `change` makes of random ones."""
    x, y = blobs()
    params = {**HIDDEN, **params}
    model = FeedForwardClassifier(
        **params, epochs=1, learning_rate=1e-6, early_stopping=False, monitor=False, warm_start=True
    ).fit(x, y)
    members = tuple(change(jax.tree.map(np.asarray, member)) for member in model.model_.members)
    model.model_ = dataclasses.replace(model.model_, members=members)
    model.set_params(epochs="auto", learning_rate="auto", early_stopping=True, monitor=True)
    return model.fit(x, y)


PLANTED = {
    "zeros": ({"init": "zeros"}, "net.symmetric"),
    "rate far too high": ({"learning_rate": 100.0}, ("train.rate_too_high", "train.diverged", "train.dead_units")),
    "rate far too low": ({"learning_rate": 1e-6, "epochs": 30}, "train.rate_too_low"),
    "4 epochs": ({"learning_rate": 0.01, "epochs": 4}, ("train.stopped_early", "train.rate_too_low")),
    "strong penalty": ({"l2": 1.0}, "train.underfit"),
    "large batches": ({"batch_size": 256, "epochs": 5}, "train.batch_too_large"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_the_cause_is_the_first_finding_and_its_remedy_works(name):
    params, codes = PLANTED[name]
    x, y = blobs()
    model = FeedForwardClassifier(**HIDDEN, **params).fit(x, y)
    first = said(model)[0]
    assert first.code in codes
    json.dumps(first.evidence)
    if "loss_with_remedy" in first.evidence:
        assert first.evidence["loss_with_remedy"] < first.evidence["loss"]


def test_rows_that_are_in_both_parts_explain_no_divergence():
    x, y = blobs()
    both = np.arange(0, len(x), 10)
    bad = FeedForwardClassifier(**{**HIDDEN, "learning_rate": 1e30}).fit(x, y, validation_data=(x[both], y[both]))
    assert [f.code for f in said(bad)] == ["train.diverged", "data.split_overlap"]
    good = FeedForwardClassifier(**HIDDEN).fit(x, y, validation_data=(x[both], y[both]))
    assert [f.code for f in said(good)] == ["data.split_overlap"]


def test_rows_of_few_kinds_are_in_both_parts_by_chance():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (400, 3)).astype(float)
    y = (rng.random(400) < x.mean(axis=1) / 2).astype(int)
    model = FeedForwardClassifier(**HIDDEN).fit(x[:300], y[:300], validation_data=(x[300:], y[300:]))
    assert "data.split_overlap" not in [f.code for f in said(model)]


def test_a_column_that_gives_the_target_away_explains_that_a_linear_model_does_better():
    rng = np.random.default_rng(4)
    y = rng.standard_normal(300)
    x = np.column_stack([rng.standard_normal((300, 4)), 2 * y])
    model = FeedForwardRegressor((8,), ensemble=1, random_state=0).fit(x, y)
    assert [f.code for f in said(model)] == ["data.leak", "train.worse_than_linear"]


def test_a_healthy_run_is_left_in_peace():
    x, y = blobs()
    model = FeedForwardClassifier(**HIDDEN).fit(x, y)
    (finding,) = model.findings_
    assert finding.code == "train.healthy"
    assert finding.evidence["valid_loss"] < finding.evidence["loss_of_constant"] == pytest.approx(np.log(3), abs=0.05)
    x, y = wave()
    (finding,) = FeedForwardRegressor(**HIDDEN).fit(x, y).findings_
    assert finding.code == "train.healthy"


def first_layer(bias=0.0, factor=1.0):
    return lambda p: (p[0]._replace(w=p[0].w * np.float32(factor), b=p[0].b + np.float32(bias)), *p[1:])


STARTS = {
    "net.bad_scale": first_layer(factor=40),
    "net.dead_at_start": first_layer(bias=-50),
    "net.initial_loss": lambda p: (*p[:-1], p[-1]._replace(b=np.array([0, 0, 15], np.float32))),
}


@pytest.mark.parametrize("code", STARTS)
def test_weights_that_nothing_good_can_begin_from(code):
    assert said(with_weights(STARTS[code]))[0].code == code


def test_deltas_that_fade_and_deltas_that_grow():
    x, y = blobs()
    deep = FeedForwardClassifier((16,) * 7, activation="sigmoid", ensemble=1).fit(x, y)
    finding = said(deep)[0]
    assert finding.code == "train.vanishing"
    deltas = finding.evidence["delta_rms"]
    assert deltas[0] / deltas[-2] == pytest.approx(finding.evidence["ratio"], rel=1e-2)

    def grow(p):
        return tuple(layer._replace(w=layer.w * np.float32(2.5)) for layer in p)

    finding = said(with_weights(grow, hidden_layer_sizes=(32,) * 8))[0]
    assert finding.code == "train.exploding"
    assert finding.evidence["ratio"] > 100


def test_squared_error_behind_a_sigmoid_that_begins_sure_and_wrong():
    def sure(p):
        return (*p[:-1], p[-1]._replace(b=np.array([0, 0, 15], np.float32)))

    (finding, *_) = said(with_weights(sure, loss="mse"))
    assert finding.code == "net.loss_mismatch"
    assert 'loss="auto"' in finding.remedy


def test_squared_error_behind_a_sigmoid_for_numbers_names_the_loss_that_goes_with_it():
    """`loss="auto"` is squared error behind the identity there."""
    x, y = wave()
    model = FeedForwardRegressor(**HIDDEN, loss=losses.mse("sigmoid")).fit(x, 1 / (1 + np.exp(-y)))
    (finding,) = [finding for finding in model.findings_ if finding.code == "net.loss_mismatch"]
    assert 'losses.matching("sigmoid")' in finding.remedy
    assert "auto" not in finding.remedy


@spec
class WrongSign(losses.SquaredError):
    def delta(self, z, y):
        return -super().delta(z, y)


@spec
class Deaf(losses.SquaredError):
    def delta(self, z, y):
        del y
        return jnp.zeros_like(z)


@spec
class Undefined(losses.SquaredError):
    def value(self, z, y):
        return jnp.log(-jnp.abs(z - y)).sum(axis=-1)


@pytest.mark.parametrize(
    ("loss", "code"),
    [(WrongSign(), "net.loss_mismatch"), (Deaf(), "net.no_gradient"), (Undefined(), "train.nonfinite train.diverged")],
)
def test_a_loss_of_ones_own_that_is_wrong(loss, code):
    x, y = wave()
    assert said(FeedForwardRegressor(**HIDDEN, loss=loss).fit(x, y))[0].code in code.split()


def test_a_loss_that_is_no_spec_is_refused_in_one_line():
    class Bare(losses.Loss):
        activation = losses.squared_error.activation

    with pytest.raises(ValueError, match="@spec"):
        FeedForwardRegressor(loss=Bare()).fit(*wave())


def test_rows_that_do_not_suit_how_they_are_trained_on():
    x, y = blobs()
    model = FeedForwardClassifier(**HIDDEN, standardize=False)
    unscaled = said(model.fit(x * [1, 10, 1e3, 1e5], y))[0]
    assert (unscaled.code, unscaled.where) == ("data.unscaled", "input 4 of the network")  # a column may have several
    order = np.argsort(y)
    model = FeedForwardClassifier(**HIDDEN, shuffle=False).fit(x[order], y[order])
    assert said(model)[0].code == "data.sorted"
    model = FeedForwardClassifier(**HIDDEN).fit(x, y, validation_data=(x[:40], y[:40]))
    assert said(model)[0].code == "data.split_overlap"
    assert said(model)[0].evidence["also_trained_on"] == 40


def test_luck_on_the_rows_held_out_is_no_signal():
    """Of pure noise one table in fifteen has validation rows on which a network seems to have learned something."""
    rng = np.random.default_rng(111)
    x, y = rng.normal(size=(300, 5)), rng.integers(0, 2, 300)
    options = {"epochs": 20, "learning_rate": 0.3, "ensemble": 1, "hidden_layer_sizes": (16,)}
    assert said(FeedForwardClassifier(**options, random_state=11).fit(x, y))[0].code == "data.no_signal"


def test_the_notebook_says_where_a_constant_answer_has_taken_the_place_of_a_network():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(300, 5)), rng.integers(0, 2, 300)
    model = FeedForwardClassifier(epochs=10, learning_rate=1.0, hidden_layer_sizes=(16,), ensemble=3).fit(x, y)
    run = next(stage for stage in model.notebook_ if stage["stage"] == "run")
    alike = [i for i in range(3) if np.ptp(model.model_.members[i][-1].w) == 0]
    assert run["constant"] == alike
    assert ("a constant answer" in run["reason"]) == (0 in alike)


def test_shuffled_labels_have_no_signal():
    x, y = blobs(400)
    model = FeedForwardClassifier(**HIDDEN).fit(x, np.random.default_rng(0).permutation(y))
    finding = said(model)[0]
    assert finding.code == "data.no_signal"
    assert "standardize" not in finding.remedy  # it holds already


@pytest.mark.parametrize(
    ("loss", "answer"), [("auto", "the mean"), ("absolute", "the median"), ("quantile", "the quantile")]
)
def test_the_constant_answer_is_called_what_it_is(loss, answer):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((120, 5)), rng.exponential(8, 120)
    model = FeedForwardRegressor(**HIDDEN, loss=loss).fit(x, y)
    finding = said(model)[0]
    assert finding.code == "data.no_signal"
    assert f"({answer} of the target" in finding.cause


def test_rows_that_a_network_of_the_proposed_size_cannot_fit_are_no_fault_of_it():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((120, 2)), rng.exponential(8, 120)
    codes = {units: [f.code for f in said(FeedForwardRegressor((units,), ensemble=1).fit(x, y))] for units in (4, 64)}
    assert "net.cannot_fit_batch" in codes[4]
    assert "net.cannot_fit_batch" not in codes[64]


@pytest.mark.parametrize("loss", ["absolute", pytest.param("quantile", marks=pytest.mark.long)])
def test_a_loss_whose_slope_does_not_fade_is_given_time_to_settle(loss, tmp_path, capsys):
    """Little is to be learned of most rows; of sixteen, all is, once the steps become shorter."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 2))
    y = 20 + 3 * x[:, 0] + rng.exponential(8, 200)
    pl.DataFrame(x, ["a", "b"]).with_columns(y=pl.Series(y)).write_csv(tmp_path / "t.csv")
    arguments = ["--target", "y", "--loss", loss, "--hidden", "60,60", "--json"]
    assert main(["check", str(tmp_path / "t.csv"), *arguments]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["quick_run"]["share_of_constant_answer"] > 0.5  # suspicious
    assert "net.cannot_fit_batch" not in [finding["code"] for finding in result["findings"]]


BRIEF = {"hidden_layer_sizes": (64, 64), "learning_rate": 0.1, "epochs": 60, "ensemble": 1, "regularization": None}


def straight(n=300, noise=0.3):
    """A line through twenty columns, which a network has to find among curves."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 20))
    return x, x @ rng.standard_normal(20) + noise * rng.standard_normal(n)


def test_a_network_that_a_linear_model_beats_is_not_healthy():
    x, y = straight(1300)
    model = FeedForwardRegressor(**BRIEF).fit(x[:300], y[:300])
    (finding,) = said(model)
    assert finding.code == "train.worse_than_linear"
    assert finding.evidence["loss_of_linear"] < finding.evidence["loss"]
    assert "hidden_layer_sizes=()" in finding.remedy
    as_told = FeedForwardRegressor(**{**BRIEF, "hidden_layer_sizes": ()}).fit(x[:300], y[:300])
    assert 1 - as_told.score(x[300:], y[300:]) < 0.8 * (1 - model.score(x[300:], y[300:]))
    assert said(as_told) == []


def test_a_positive_target_over_powers_of_ten_asks_for_another_loss():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1400, 4))
    y = np.exp(8 + 2 * x[:, 0] + 1.5 * x[:, 1] + 0.2 * rng.standard_normal(1400))
    model = FeedForwardRegressor(**HIDDEN).fit(x[:400], y[:400])
    (finding,) = said(model)
    assert finding.code == "data.skewed_target"
    as_told = FeedForwardRegressor(**HIDDEN, loss="poisson").fit(x[:400], y[:400])
    assert as_told.score(x[400:], y[400:]) > model.score(x[400:], y[400:])
    assert said(as_told) == []
    both_signs = FeedForwardRegressor(**HIDDEN).fit(x[:400], y[:400] - y.mean())
    assert "data.skewed_target" not in [f.code for f in both_signs.findings_]


def test_the_command_says_as_much_of_a_linear_model_as_the_estimator(tmp_path, capsys):
    x, y = straight()
    names = [f"x{i}" for i in range(20)]
    pl.DataFrame(x, names).with_columns(y=pl.Series(y)).write_csv(tmp_path / "t.csv")
    arguments = ["fit", str(tmp_path / "t.csv"), "--target", "y", "--out", str(tmp_path / "run"), "--ensemble", "1"]
    arguments += ["--learning-rate", "0.1", "--epochs", "60", "--regularization", "none"]
    assert main([*arguments, "--test-size", "0", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["findings"][0]["code"] == "train.worse_than_linear"
    assert result["baselines"]["linear"]["valid"]["loss"] < result["valid"]["loss"]


def test_some_networks_that_learned_nothing_do_not_say_that_there_is_no_signal():
    x, y = blobs()
    settings = Settings(hidden_layer_sizes=(64,), ensemble=2)
    rows = Rows(x.astype(np.float32), y.astype(np.int32), np.ones(len(x), np.float32))
    loss, n_out = pair(settings, "classification", 3)
    split = split_rows(len(y), 0, valid=0.2, test=0.0, classes=y)
    task = recipe.Task(rows, split, settings, settings.network(n_out), loss)
    fit = recipe.fit(task)._replace(constant=(0,))
    assert unwatched(fit) == []
    (finding,) = diagnose(task, fit)
    assert finding.code == "train.healthy"
    assert "1 of 2 networks" in finding.cause
    assert [finding.code for finding in unwatched(fit._replace(constant=(0, 1)))] == ["data.no_signal"]


def test_what_is_learned_by_heart_with_nothing_held_out_is_not_told_to_train_on():
    x, _ = blobs(60)
    y = np.random.default_rng(0).integers(0, 2, 60)
    kept = {**HIDDEN, "early_stopping": False, "regularization": None, "epochs": 400}
    (finding,) = [f for f in FeedForwardClassifier(**kept).fit(x, y).findings_ if f.code.startswith("train.")]
    assert (finding.code, finding.severity) == ("train.overfit", "info")
    assert "cannot be told" in finding.cause


def test_outliers_in_the_targets_are_no_bad_start():
    """The few of them may all be in one part of the rows."""
    x, y = wave()
    y[:6] += 200
    for seed in range(3):
        model = FeedForwardRegressor(**HIDDEN, loss="huber", random_state=seed).fit(x, y)
        assert "net.initial_loss" not in [finding.code for finding in model.findings_]


def test_an_activation_of_ones_own_with_a_wrong_derivative():
    x, y = wave()
    wrong = Activation("mine", jnp.tanh, lambda z, a: a * a - 1)
    (finding,) = said(FeedForwardRegressor(**HIDDEN, activation=wrong).fit(x, y))
    assert (finding.code, finding.severity) == ("net.wrong_derivative", "error")
    assert "'mine'" in finding.where
    assert finding.evidence["derivative"] == pytest.approx(-finding.evidence["true"])
    for right in (
        Activation("mine", jnp.tanh, lambda z, a: 1 - a * a),
        Activation("own", lambda z: jnp.maximum(z, 0), lambda z, a: (a > 0) * 1.0),
    ):
        assert said(FeedForwardRegressor(**HIDDEN, activation=right).fit(x, y)) == []


def test_the_warning_of_a_fit_says_nothing_that_the_finding_takes_back():
    x, y = blobs()
    with pytest.warns(ConvergenceWarning) as warned:
        model = FeedForwardClassifier(**HIDDEN, learning_rate=1e4).fit(x, y)
    assert said(model)[0].remedy.startswith("Use learning_rate=")
    assert "learning_rate=" not in str(warned[0].message).replace('learning_rate="auto"', "")
    with pytest.warns(ConvergenceWarning, match='try learning_rate="auto" first'):
        model = FeedForwardClassifier(**HIDDEN, learning_rate=1e-9, epochs=2).fit(x, y)
    assert said(model)[0].code == "train.rate_too_low"


def test_weighted_classes_are_not_to_be_weighted():
    x, y = blobs(400)
    rare = np.flatnonzero(y == 0)[12:]
    x, y = np.delete(x, rare, axis=0), np.delete(y, rare)
    remedies = []
    for class_weight in (None, "balanced"):
        model = FeedForwardClassifier(**HIDDEN, class_weight=class_weight).fit(x, y)
        (finding,) = [finding for finding in model.findings_ if finding.code == "data.imbalance"]
        remedies.append(finding.remedy)
    assert "weight the classes" in remedies[0]
    assert "weight the classes" not in remedies[1]


def test_one_cause_is_one_finding():
    """A rate thousands of times too high leaves a swinging loss, dead units and a constant answer."""
    x, y = blobs()
    model = FeedForwardClassifier(**HIDDEN, learning_rate=100.0).fit(x, y)
    assert len(said(model)) == 1


def test_watching_changes_nothing_but_what_is_known():
    x, y = blobs()
    watched, alone = (FeedForwardClassifier(**HIDDEN, monitor=monitor).fit(x, y) for monitor in (True, False))
    for one, other in zip(jax.tree.leaves(watched.model_.members), jax.tree.leaves(alone.model_.members), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(watched.health_["epoch"]) > 3
    assert watched.health_["dead"].shape == (len(watched.health_["epoch"]), 2)
    assert len(alone.health_["epoch"]) == 0
    assert alone.findings_ == []


def test_arrays_are_checked_as_tables_are():
    x, y = blobs()
    codes = lambda x, y: {f.code for f in check_rows(x, y, "classification")}  # noqa: E731
    assert codes(x, y) == set()
    assert codes(np.column_stack([x, np.arange(len(x))]), y) == {"data.id_like"}
    assert codes(np.column_stack([x, 2.0 * y]), y) == {"data.leak"}
    assert codes(np.column_stack([x, x[:, 0]]), y) == {"data.duplicate_column"}
    assert codes(np.column_stack([x, np.full(len(x), np.nan)]), y) <= {"data.missing", "data.constant"}


def test_alarms_while_a_network_is_trained():
    calm = np.array([[1.0, 1.0, np.nan, 0.1], [0.5, 0.6, np.nan, 0.1]])
    health = np.full((1, 3, len(COLUMNS)), 0.5)
    health[..., COLUMNS.index("dead")] = [[0.1, 0.2, np.nan]]
    assert list(alarms(calm, health)) == []
    assert [f.code for f in alarms(np.array([[1.0], [np.nan]]), health[:0])] == ["train.diverged"]
    assert [f.code for f in alarms(np.array([[1.0], [20.0]]), health[:0])] == ["train.rate_too_high"]
    health[..., COLUMNS.index("dead")] = [[0.1, 0.95, np.nan]]
    assert [f.code for f in alarms(calm, health)] == ["train.dead_units"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnosis")
    x, y = blobs()
    pl.DataFrame(x, ["a", "b", "c", "d"]).with_columns(kind=pl.Series(y).cast(pl.String)).write_csv(folder / "t.csv")
    return folder


def test_the_command_says_why_and_what_to_do(table, capsys):
    run = table / "run"
    arguments = ["fit", str(table / "t.csv"), "--target", "kind", "--out", str(run), "--quiet"]
    assert main([*arguments, "--learning-rate", "1e-6", "--epochs", "20", "--ensemble", "1"]) == 0
    capsys.readouterr()
    assert main(["diagnose", str(run)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("warning: train.rate_too_low")
    assert "What to do:" in out
    assert "Evidence: learning_rate 1e-06" in out
    assert main(["diagnose", str(run), "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert findings[0]["code"] == "train.rate_too_low"
    health = pl.read_csv(run / "health.csv")
    assert health.columns == ["network", *COLUMNS[:1], "layer", *COLUMNS[1:]]
    assert health["layer"].unique().sort().to_list() == [1, 2, 3]


class Interrupted(Silent):
    """Ends a fit after so many reports of epochs."""

    def __init__(self, reports):
        self.reports = reports

    def epochs(self, network, n_networks, history, n_epochs, stop):
        self.reports -= 1

    def interrupted(self):
        return self.reports <= 0


def test_a_run_that_is_cut_short_is_not_called_healthy(table, tmp_path):
    settings = Settings(learning_rate=1e-3, ensemble=1, batch_size=8)
    result = fit_table(table / "t.csv", "kind", tmp_path / "run", settings=settings, reporter=Interrupted(1))
    assert result["interrupted"]
    finding = result["findings"][0]
    assert (finding["code"], finding["severity"]) == ("train.stopped_early", "warning")
    assert "axonic resume" in finding["remedy"]
    at_once = fit_table(table / "t.csv", "kind", tmp_path / "none", settings=settings, reporter=Interrupted(0))
    assert at_once["interrupted"]
    codes = {finding["code"]: finding["severity"] for finding in at_once["findings"]}
    assert "train.healthy" not in codes
    assert "data.no_signal" not in codes
    assert "train.stopped_early" in codes


def test_stop_on_ends_a_run_that_goes_wrong(table, capsys):
    run = table / "stopped"
    arguments = ["fit", str(table / "t.csv"), "--target", "kind", "--out", str(run), "--json", "--stop-on", "error"]
    assert main([*arguments, "--learning-rate", "1e9", "--ensemble", "1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["interrupted"] is True
    assert "train.diverged" in [finding["code"] for finding in result["findings"]]


def test_a_run_that_is_not_finished_cannot_be_diagnosed(tmp_path, capsys):
    assert main(["diagnose", str(tmp_path)]) == 2
    (tmp_path / "run.json").write_text("{}")
    assert main(["diagnose", str(tmp_path)]) == 2
    assert "axonic resume" in capsys.readouterr().err
    (tmp_path / "result.json").write_text("{}")
    assert main(["diagnose", str(tmp_path)]) == 2
    assert "findings" in capsys.readouterr().err


def test_a_recurrent_network_that_a_linear_model_of_all_steps_beats_is_told_so():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((150, 15, 1))
    y = x[:, :, 0] @ rng.standard_normal(15) + 0.3 * rng.standard_normal(150)
    model = RecurrentRegressor("gru", (4,), learning_rate=0.01, epochs=10, ensemble=2, regularization=None).fit(x, y)
    finding = said(model)[0]
    assert finding.code == "train.worse_than_linear"
    assert finding.evidence["loss_of_linear"] < 0.5 * finding.evidence["loss"]
    assert "side by side" in finding.cause
    assert finding.remedy.startswith("The rate of 0.01 was given by hand")
    differ = [each[: 14 + i % 2] for i, each in enumerate(x)]
    model = RecurrentRegressor("gru", (4,), learning_rate=0.01, epochs=10, ensemble=1, regularization=None)
    assert "train.worse_than_linear" not in [f.code for f in model.fit(differ, y).findings_]
    classes = np.digitize(y, [-2, 2])
    model = RecurrentClassifier("gru", (4,), learning_rate=0.01, epochs=10, ensemble=1, regularization=None)
    assert said(model.fit(x, classes))[0].code == "train.worse_than_linear"
    assert said(model.fit(x, classes > 0))[0].code == "train.worse_than_linear"


@pytest.mark.parametrize(
    ("columns", "noise", "said"),
    [
        (2, 0.0, "chance in the sample"),
        (2, 2.0, "noise of the targets"),
        (60, 0.0, "cannot be told"),  # the nearest row is hardly nearer than any other
        (60, 2.0, "cannot be told"),
    ],
)
@pytest.mark.parametrize("classes", [False, True])
def test_which_noise_is_only_said_of_rows_that_are_alike(columns, noise, said, classes):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, columns)).astype(np.float32)
    y = x[:, :2].sum(axis=1) + noise * np.sqrt(2) * rng.standard_normal(300)
    y = (y > 0).astype(np.int32) if classes else y[:, None].astype(np.float32)
    split = Split(np.arange(300), np.arange(0), np.arange(0))
    task = SimpleNamespace(rows=Rows(x, y, np.ones(300, np.float32)), split=split)
    assert said in capacity._which_noise(SimpleNamespace(task=task, n_out=2))
