"""Pictures: places, ticks and paths against numbers worked out by hand."""

import math
import re

import numpy as np
import pytest

from axonic.report.plots import Axis, Note, Series, axis, heat, plot, short, thinned


def test_places():
    np.testing.assert_allclose(Axis("", 2, 4).place([2, 3, 4]), [0, 500, 1000])
    np.testing.assert_allclose(Axis("", 0.01, 100, "log").place([0.01, 1, 10]), [0, 500, 750])


@pytest.mark.parametrize(
    ("given", "most", "expected"),
    [
        (Axis("", 0, 10), 5, [0, 2, 4, 6, 8, 10]),
        (Axis("", -0.3, 0.3), 3, [-0.2, 0, 0.2]),
        (Axis("", 1, 4, whole=True), 8, [1, 2, 3, 4]),
        (Axis("", 0.005, 20, "log"), 5, [0.01, 0.1, 1, 10]),
        (Axis("", 1e-9, 1, "log"), 5, [1e-9, 1e-7, 1e-5, 1e-3, 1e-1]),
        (Axis("", 2, 4, "log"), 5, [2, 2.5, 3, 3.5, 4]),
    ],
)
def test_ticks(given, most, expected):
    np.testing.assert_allclose(given.ticks(most), expected, atol=1e-12)


@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [-1.0, 0.0], [3.0], [3.0, 3.0], [1e-300, 1e300], [math.inf]])
@pytest.mark.parametrize("log", [False, True])
def test_an_axis_holds_whatever_there_is(values, log):
    made = axis("x", values, log=log)
    assert made.low < made.high
    assert made.ticks(5)
    drawn = plot("p", "t", "d", axis("x", [0, 1]), made, [Series("s", range(len(values)), values)])
    assert "nan" not in drawn
    assert "inf" not in re.sub("inner|info|in a", "", drawn)


def test_gaps_and_what_a_log_axis_cannot_show_break_the_line():
    x, y = Axis("x", 0, 4), Axis("y", 0.1, 10, "log")
    drawn = plot("p", "t", "d", x, y, [Series("s", [0, 1, 2, 3, 4], [1, 10, math.nan, 0.0, 1])])
    assert 'd="M0.0,500.0L250.0,0.0M1000.0,500.0"' in drawn


def test_thinning_keeps_the_peaks():
    rng = np.random.default_rng(0)
    y = rng.standard_normal(10_000)
    y[1234], y[4321] = 50.0, -50.0
    x, few = thinned(np.arange(10_000.0), y, 400)
    assert len(few) <= 402
    assert {50.0, -50.0} <= set(few)
    assert (np.diff(x) > 0).all()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0123456, "0.0123"), (1e-5, "1e-5"), (1.5e-5, "1.5e-5"), (148312.4, "148312"), (12, "12"),
     (999.4, "999"), (999.6, "1000"), (99950, "99950"), (999999.6, "1e6"), (1234567, "1.23e6"), (12.5, "12.5"),
     (1234.6, "1235"), (-0.5, "-0.5"), (None, "–"), (math.nan, "–"), (1e300, "1e300")],
)  # fmt: skip
def test_short(value, text):
    assert short(value) == text


def test_every_text_is_escaped():
    evil = "<script>alert(1)</script>\"'&"
    drawn = plot("p", evil, evil, Axis(evil, 0, 1), Axis(evil, 0, 1), [Series(evil, [0], [0]), Series(evil, [1], [1])],
                 [Note(evil, 0.5)])  # fmt: skip
    drawn += heat("h", evil, evil, [evil], [1, 2], np.ones((1, 2)), log=True)
    assert "<script" not in drawn
    assert drawn.count("&lt;script&gt;") >= 8


def test_heat_has_a_shade_for_each_finite_value():
    values = np.array([[0.0, 0.5, 1.0], [math.nan, 1.0, 0.0]])
    drawn = heat("h", "t", "d", ["a", "b"], [1, 2, 4], values, log=False)
    assert sum(len(re.findall("M", d)) for d in re.findall(r'<path class="s\d" d="([^"]*)"', drawn)) == 5
    assert "NaN" not in drawn
