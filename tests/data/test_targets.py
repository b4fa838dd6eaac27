"""Targets: labels and numbers in, and what the user sees of the network's answer."""

import json
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import settings

from axonic import FeedForwardClassifier
from axonic.data.targets import TargetEncoder
from axonic.errors import InputError

QUICK = settings(max_examples=40, deadline=None)
INF = float("inf")

LABELS = [
    ["b", "a", "b", "c"],
    [3, 1, 3, 2],
    [2**62 + 1, 2**62, 2**62 + 1, 0],
    [-0.5, 0.1, 1.0, 0.1],
    [True, False, True, True],
]


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("form", [np.array, pl.Series, list, lambda y: np.array(y, dtype=object)])
def test_labels_come_back_with_their_type(labels, form):
    encoder = TargetEncoder.fit(form(labels), "classification")
    back = TargetEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert back == encoder
    codes = back.transform(form(labels))
    assert codes.dtype == np.int32
    assert back.inverse(codes).tolist() == labels
    assert back.classes.tolist() == sorted(set(labels))
    assert back.classes.dtype == np.array(labels).dtype
    assert encoder.n_out == len(set(labels))


def test_classes_are_those_of_all_rows():
    encoder = TargetEncoder.fit(["a", "a", "b"], "classification", rows=[0, 1])
    assert encoder.classes.tolist() == ["a", "b"]


def test_labels_may_come_in_another_type_than_in_training():
    text = TargetEncoder.fit(["1", "2", "x"], "classification")
    assert text.transform(pl.Series([1, 2])).tolist() == [0, 1]
    assert text.transform(np.array([2.0, 1.0])).tolist() == [1, 0]
    whole = TargetEncoder.fit([1, 2, 3], "classification")
    assert whole.transform(pl.Series([3.0, 1.0])).tolist() == [2, 0]
    assert whole.transform(["3", "1"]).tolist() == [2, 0]
    assert TargetEncoder.fit([True, False], "classification").transform(["True", "false"]).tolist() == [1, 0]


def test_the_text_none_is_a_label_like_any_other():
    assert TargetEncoder.fit(np.array(["None", "some"]), "classification").classes.tolist() == ["None", "some"]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", "z"], "label 'z' was not among the classes .*row 2.*use one of a, b"),
        (["a", None], "target is missing .*row 2"),
        ([["a", "b"]], "labels have shape"),
    ],
)
def test_bad_labels_are_refused(y, message):
    with pytest.raises(InputError, match=message):
        TargetEncoder.fit(["a", "b"], "classification").transform(y)


def test_labels_of_mixed_or_other_types_are_refused():
    with pytest.raises(InputError, match="mixed types"):
        TargetEncoder.fit(np.array(["a", 1.5], dtype=object), "classification")
    with pytest.raises(InputError, match="labels of type Date"):
        TargetEncoder.fit(pl.Series([date(2020, 1, 1)]), "classification")


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e6, 0), (1e-6, 0), (1, 1e9), (1e300, 0), (1e-3, 1e6)])
@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 3)])
def test_regression_targets_of_any_size_come_back(scale, offset, shape):
    y = offset + scale * np.random.default_rng(0).normal(size=shape)
    encoder = TargetEncoder.fit(y, "regression", rows=np.arange(40))
    encoder = TargetEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    z = encoder.transform(y)
    assert z.shape == (50, encoder.n_out)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z[:40].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(z[:40].std(axis=0), 1, rtol=1e-5)
    back = encoder.inverse(z)
    assert back.shape == shape
    np.testing.assert_allclose(back / scale, y / scale, atol=2e-6)


def test_bad_regression_targets_are_refused():
    with pytest.raises(InputError, match=r"missing or infinite .*row 2"):
        TargetEncoder.fit([1.0, INF], "regression")
    with pytest.raises(InputError, match=r"missing or infinite .*row 1"):
        TargetEncoder.fit(pl.Series([None, 1.0]), "regression")
    with pytest.raises(InputError, match="'x' is not a number"):
        TargetEncoder.fit(pl.Series(["1", "x"]), "regression")
    with pytest.raises(InputError, match="2 columns"):
        TargetEncoder.fit([1.0, 2.0], "regression").transform(np.zeros((3, 2)))


@pytest.mark.parametrize("shape", [(50,), (50, 2)])
def test_targets_on_other_scales_come_back(shape):
    y = np.abs(100 + 30 * np.random.default_rng(0).normal(size=shape))
    y[3] = 1e6
    quarters = np.quantile(y[:40], [0.25, 0.75], axis=0)
    expected = {
        "quartiles": (np.median(y[:40], axis=0), (quarters[1] - quarters[0]) / 1.349),
        "mean": (0.0, y[:40].mean(axis=0)),
        "none": (0.0, 1.0),
    }
    for scaling, (center, scale) in expected.items():
        encoder = TargetEncoder.fit(y, "regression", np.arange(40), scaling, (0.0, INF))
        encoder = TargetEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
        z = encoder.transform(y)
        np.testing.assert_allclose(z, ((y - center) / scale).reshape(50, -1), rtol=1e-4)
        np.testing.assert_allclose(encoder.inverse(z), y, rtol=1e-5)


@pytest.mark.parametrize(
    ("y", "scaling", "center", "scale"),
    [
        ([5.0] * 30 + [6.0], "quartiles", 5 + 1 / 31, np.sqrt(30) / 31),  # no range: mean and deviation
        ([5.0] * 9, "quartiles", 5.0, 1.0),
        ([0.0] * 9, "mean", 0.0, 1.0),
        ([-1.7e308, 1.7e308] * 9, "quartiles", 0.0, 1.7e308),
    ],
)
def test_scales_of_targets_that_hardly_vary_or_are_huge(y, scaling, center, scale):
    encoder = TargetEncoder.fit(np.array(y), "regression", scaling=scaling)
    np.testing.assert_allclose((encoder.center[0], encoder.scale[0]), (center, scale), rtol=1e-9)


@pytest.mark.parametrize(
    ("limits", "bad", "says"),
    [((0.0, INF), -2.0, "holds -2.*at least 0,"), ((-1.0, 1.0), 3.0, "holds 3.*at least -1 and at most 1,"),
     ((-INF, 4.0), 5.0, "numbers of at most 4,")],
)  # fmt: skip
def test_targets_beyond_the_limits_are_refused(limits, bad, says):
    good = np.array([0.0, 0.5, 1.0])
    encoder = TargetEncoder.fit(good, "regression", scaling="none", limits=limits)
    for call in (encoder.transform, lambda y: TargetEncoder.fit(y, "regression", limits=limits)):
        with pytest.raises(InputError, match=says):
            call(np.append(good, bad))


def test_words_for_yes_and_no_are_the_same_in_any_case():
    encoder = TargetEncoder.fit(pl.Series(["TRUE", "FALSE", "TRUE"]), "classification")
    assert encoder.transform(pl.Series(["True", "false"])).tolist() == [1, 0]
    assert encoder.transform(pl.Series([True, False])).tolist() == [1, 0]
    with pytest.raises(InputError, match="'yes' was not among"):
        encoder.transform(pl.Series(["yes"]))
    with pytest.raises(InputError, match="'A' was not among"):
        TargetEncoder.fit(pl.Series(["a", "b"]), "classification").transform(pl.Series(["A"]))


def test_words_for_yes_and_no_in_several_spellings_are_classes_of_their_own():
    encoder = TargetEncoder.fit(pl.Series(["Yes", "yes", "No"]), "classification")
    assert encoder.classes.tolist() == ["No", "Yes", "yes"]
    assert encoder.transform(pl.Series(["yes", "No", "Yes"])).tolist() == [2, 0, 1]


def test_a_class_without_others_is_named_as_it_was_given():
    for labels, said in (([0, 1, 1], "1"), (["a", "b", "b"], "'b'")):
        with pytest.raises(InputError, match=f"only one class, {said}, has rows"):
            FeedForwardClassifier().fit(np.zeros((3, 1)), labels, sample_weight=[0, 1, 1])
