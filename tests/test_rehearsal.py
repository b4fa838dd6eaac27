"""Step one on the network: what `axonic check` says of it before it is trained."""

import json

import numpy as np
import polars as pl
import pytest

from axonic.cli import main

N = 400
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 4))
Y = np.where(X[:, 0] * X[:, 1] > 0, "in", "out")


@pytest.fixture
def table(tmp_path):
    def write(y, x=X):
        path = tmp_path / "t.csv"
        pl.DataFrame(x, [f"x{i}" for i in range(x.shape[1])]).with_columns(y=pl.Series(y)).write_csv(path)
        return path

    return write


def check(path, capsys, *options):
    assert main(["check", str(path), "--target", "y", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_first_batch_and_a_quick_run_of_a_network_that_works(table, capsys):
    result = check(table(Y), capsys)
    assert result["findings"] == []
    first, quick = result["first_batch"], result["quick_run"]
    assert first["constant_answer"] == pytest.approx(np.log(2), abs=0.01)
    assert abs(first["loss"] - np.log(2)) < 0.5
    assert [layer["layer"] for layer in first["layers"]] == ["hidden layer 1", "hidden layer 2", "output layer"]
    assert all(layer["gradient_rms"] > 0 for layer in first["layers"])
    assert quick["valid_loss"] < 0.6 * first["constant_answer"]
    assert quick["epochs"] == 100  # three batches each: as many steps as the sweep took
    assert check(table(Y), capsys) == result


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--hidden", ",".join(["8"] * 6), "--activation", "sigmoid"], "train.vanishing"),
        (["--hidden", "1,1", "--activation", "tanh"], "net.cannot_fit_batch"),
    ],
)
def test_a_network_that_does_not_learn_is_told_why(options, code, table, capsys):
    result = check(table(Y), capsys, *options)
    assert result["findings"][0]["code"] == code
    assert result["quick_run"]["share_of_constant_answer"] > 0.8


def test_a_loss_that_does_not_go_with_the_output_is_named(table, capsys):
    findings = check(table(Y), capsys, "--hidden", "16", "--loss", "mse")["findings"]
    assert [finding["code"] for finding in findings] == ["net.loss_mismatch"]


def test_a_network_that_works_on_columns_that_tell_nothing_is_not_at_fault(table, capsys):
    noise = np.random.default_rng(1).choice(["a", "b"], N)
    codes = [finding["code"] for finding in check(table(noise), capsys)["findings"]]
    assert codes in ([], ["data.no_signal"])


def test_columns_that_are_much_alike_are_not_taken_for_columns_that_tell_nothing(table, capsys):
    rng = np.random.default_rng(2)
    level = rng.standard_normal((220, 1))
    years = level + np.cumsum(0.02 * rng.standard_normal((220, 60)), axis=1)  # the rate must be low for so many
    result = check(table(years[:, 40] + 0.01 * rng.standard_normal(220), np.delete(years, 40, axis=1)), capsys)
    assert "data.no_signal" not in [finding["code"] for finding in result["findings"]]
    assert result["quick_run"]["share_of_constant_answer"] < 0.5


def test_data_that_cannot_be_trained_on_and_no_network_are_not_rehearsed(table, capsys):
    infinite = X.copy()
    infinite[3, 2] = np.inf
    result = check(table(Y, infinite), capsys)
    assert result["first_batch"] is None
    assert result["findings"][0]["code"] == "data.infinite"
    assert check(table(Y), capsys, "--no-network")["quick_run"] is None
    few = check(table(Y[:12], X[:12]), capsys)  # of which one unit or the other is dead by chance
    assert few["quick_run"] is None
    assert {finding["code"] for finding in few["findings"]} <= {"data.few_rows", "data.rare_class"}


def test_every_class_of_a_long_table_is_among_the_rows_that_are_tried(table, capsys):
    n = 20_000
    y = np.full(n, "common")
    y[[7, 19_000]] = "rare"
    result = check(table(y, np.random.default_rng(0).standard_normal((n, 2))), capsys, "--hidden", "8")
    assert result["quick_run"] is not None
    assert result["findings"][0]["code"] in ("data.imbalance", "data.rare_class")


def test_the_terminal_and_the_page_show_it(table, capsys, tmp_path):
    assert main(["check", str(table(Y)), "--target", "y", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "first batch: loss" in printed
    assert "The network: nothing to remark." in printed
    page = (tmp_path / "out" / "report.html").read_text()
    assert "The network before training" in page
    assert "hidden layer 2" in page


def test_the_first_loss_of_sequences_is_compared_with_a_constant_answer_to_the_same_ones(tmp_path, capsys):
    y = np.repeat(["a", "b"], [150, 50])  # those that are looked at first are all of one class
    path = tmp_path / "s.npz"
    np.savez(path, x=np.random.default_rng(3).standard_normal((200, 6, 1)), y=y)
    first = check(path, capsys, "--net", "rnn", "--hidden", "4")["first_batch"]
    assert first["constant_answer"] == pytest.approx(-np.log(0.75), abs=0.01)
