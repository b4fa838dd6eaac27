"""Reliability curve and expected calibration error."""

import json

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from axonic.calibration import expected_calibration_error, reliability
from axonic.cli import main


def example(n=400, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([0.7, 0.7, 0.7], n)
    codes = np.array([rng.choice(3, p=row) for row in p])
    return p, codes


def test_by_hand():
    """Two rows said .9 and one is right, one row said .6 and is right: 2/3 |.5 - .9| + 1/3 |1 - .6| = .4."""
    p = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]])
    codes = np.array([0, 0, 0])
    assert expected_calibration_error(p, codes) == pytest.approx(0.4)
    low, high = reliability(p, codes)
    assert low == (0.5, 0.6, 1, pytest.approx(0.6), 1.0)
    assert high == (0.8, 0.9, 2, pytest.approx(0.9), 0.5)


def test_curve_is_scikit_learns():
    p, codes = example()
    accuracy, confidence = calibration_curve(p.argmax(axis=1) == codes, p.max(axis=1), n_bins=10)
    ours = reliability(p, codes)
    np.testing.assert_allclose([each.accuracy for each in ours], accuracy, rtol=1e-12)
    np.testing.assert_allclose([each.confidence for each in ours], confidence, rtol=1e-12)
    assert sum(each.n for each in ours) == len(p)


def test_honest_probabilities_have_a_small_error_and_boasting_ones_a_large_one():
    p, codes = example(20_000)
    assert expected_calibration_error(p, codes) < 0.02
    boasting = p**4 / (p**4).sum(axis=1, keepdims=True)
    assert expected_calibration_error(boasting, codes) > 0.1


def test_weights_are_rows_given_again():
    p, codes = example()
    weight = np.random.default_rng(1).integers(1, 4, len(p))
    rows = np.repeat(np.arange(len(p)), weight)
    np.testing.assert_allclose(
        expected_calibration_error(p, codes, weight.astype(float)),
        expected_calibration_error(p[rows], codes[rows]),
        rtol=1e-12,
    )


def test_certain_answers_and_one_row():
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0
    assert expected_calibration_error(np.array([[0.0, 1.0]]), np.array([0])) == 1


def test_evaluate_shows_it(tmp_path, capsys):
    rng = np.random.default_rng(0)
    lines = ["x,kind", *(f"{x},{'ab'[int(x + 0.5 * rng.standard_normal() > 0)]}" for x in rng.standard_normal(80))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    run = tmp_path / "run"
    assert main(["fit", str(tmp_path / "t.csv"), "--target", "kind", "--net", "rbf", "--out", str(run), "--json"]) == 0
    assert 0 <= json.loads(capsys.readouterr().out)["test"]["ece"] <= 1
    assert main(["evaluate", str(run), str(tmp_path / "t.csv"), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert sum(each["n"] for each in scores["reliability"]) == 80
    by_hand = sum(each["n"] / 80 * abs(each["accuracy"] - each["confidence"]) for each in scores["reliability"])
    assert scores["ece"] == pytest.approx(by_hand)
    assert main(["evaluate", str(run), str(tmp_path / "t.csv")]) == 0
    out = capsys.readouterr().out
    assert "ece" in out
    assert "said 0.9 to 1.0" in out
