"""Encoding: what the network sees of a table."""

import json
from datetime import date, datetime, timedelta
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from axonic.data import columns, encoding
from axonic.data.columns import Column, infer_columns
from axonic.data.encoding import Coding, TableEncoder, statistics
from axonic.data.encoding.statistics import moments
from axonic.data.reading import read_table
from axonic.data.schema import Schema
from axonic.errors import InputError

QUICK = settings(max_examples=40, deadline=None)
INF = float("inf")


def fitted(frame: pl.DataFrame, rows=None, standardize: bool = True) -> TableEncoder:
    return TableEncoder.fit(frame, schema_of(frame), rows, standardize)


def schema_of(frame: pl.DataFrame) -> Schema:
    return Schema(tuple(c for c in infer_columns(frame) if c.kind != "ignored"), "", "regression")


def mixed(n: int = 60, seed: int = 0) -> pl.DataFrame:
    """A table with every kind of column, missing values in each."""
    rng = np.random.default_rng(seed)
    gaps = rng.random((6, n)) < 0.15
    day = datetime(2020, 1, 1)
    columns = {
        "x": rng.normal(5, 2, n).tolist(),
        "n": rng.integers(0, 9, n).tolist(),
        "s": rng.choice(["a", "b", "c"], n).tolist(),
        "b": rng.choice(["yes", "no"], n).tolist(),
        "d": [day + timedelta(hours=int(h)) for h in rng.integers(0, 9000, n)],
        "t": [str(1 + int(v)) for v in rng.integers(0, 9, n)],
    }
    pairs = zip(columns.items(), gaps, strict=True)
    return pl.DataFrame({k: [None if g else v for v, g in zip(c, gap, strict=True)] for (k, c), gap in pairs})


# ---------------------------------------------------------------------------------------------------------------------
# Numbers
# ---------------------------------------------------------------------------------------------------------------------


def test_numbers_have_mean_zero_and_deviation_one_over_the_training_rows():
    frame = pl.DataFrame({"x": [1.0, 2.0, 3.0, 5.0], "k": [0, 5, 0, 5]})
    matrix = fitted(frame, rows=np.array([0, 1, 2])).transform(frame)
    np.testing.assert_allclose(matrix[:3, 0], [-np.sqrt(1.5), 0, np.sqrt(1.5)], rtol=1e-6)
    assert matrix[3, 0] == pytest.approx(3 * np.sqrt(1.5))
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous


def test_a_missing_number_takes_the_median_and_is_marked():
    frame = pl.DataFrame({"x": [1.0, None, 2.0, 9.0, float("nan")]})
    encoder = fitted(frame, standardize=False)
    assert encoder.feature_names == ("x", "x (missing)")
    assert encoder.transform(frame).tolist() == [[1, 0], [2, 1], [2, 0], [9, 0], [2, 1]]


def test_missing_at_prediction_alone_takes_the_median_without_a_mark():
    encoder = fitted(pl.DataFrame({"x": [1.0, 2.0, 9.0]}), standardize=False)
    assert encoder.transform(pl.DataFrame({"x": [None, 1.0]})).tolist() == [[2], [1]]
    assert encoder.transform(pl.DataFrame({"x": [None, None]})).tolist() == [[2], [2]]


@pytest.mark.parametrize(
    "values",
    [
        1e9 + np.array([0.0, 1e-3, 2e-3, 3e-3]),
        np.array([1e300, -1e300, 2e300, 5e299]),
        np.array([1e-300, 2e-300, 3e-300, 5e-300]),
        np.array([1.0, 2.0, 3.0, 5.0]) * 1e6,
    ],
)
def test_numbers_of_any_size_are_standardised_exactly(values):
    matrix = fitted(pl.DataFrame({"x": values})).transform(pl.DataFrame({"x": values})).astype(float)
    exact = [Fraction(v) for v in values.tolist()]
    mean = sum(exact) / len(exact)
    variance = sum((v - mean) ** 2 for v in exact) / len(exact)
    squares = [float((v - mean) ** 2 / variance) for v in exact]
    np.testing.assert_allclose(matrix[:, 0] ** 2, squares, rtol=2e-3, atol=1e-6)
    assert ((matrix[:, 0] > 0) == [v > mean for v in exact]).all()


@pytest.mark.parametrize("value", [0.0, 3.5, -1e9, 1e300, 0.1, 5e-324])
def test_a_column_constant_in_the_training_rows_is_zero(value):
    frame = pl.DataFrame({"x": [value] * 7 + [2 * value + 1]})
    matrix = fitted(frame, rows=range(7)).transform(frame)
    assert (matrix[:7] == 0).all()
    assert np.isfinite(matrix).all()


def test_the_smallest_and_the_largest_numbers_there_are_stay_finite():
    for values in ([0.0, 5e-324, 0.0, 1e-310], [1.7e308, -1.7e308, 1.7e308, 1e308]):
        frame = pl.DataFrame({"x": values})
        assert np.isfinite(fitted(frame).transform(frame)).all()


def test_a_schema_without_columns_gives_a_matrix_without_columns():
    encoder = TableEncoder.fit(mixed(), Schema((), "", "regression"))
    assert encoder.transform(mixed()).shape == (60, 0)


def test_what_lies_absurdly_far_out_at_prediction_stays_finite():
    for standardize in (True, False):
        encoder = fitted(pl.DataFrame({"x": [1.0, 2.0, 3.0]}), standardize=standardize)
        assert np.isfinite(encoder.transform(pl.DataFrame({"x": [1e300, -1e300, 1.7e308]}))).all()


def test_a_training_column_without_any_value_is_harmless():
    frame = pl.DataFrame({"x": [None, None, 3.0, 4.0], "y": [1.0, 2.0, 3.0, 4.0]})
    matrix = fitted(frame, rows=range(2)).transform(frame)
    assert np.isfinite(matrix).all()


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=st.floats(-1e6, 1e6, width=32)),
    st.floats(-1e9, 1e9),
)
@QUICK
def test_moments_are_those_of_numpy(values, offset):
    values = values + offset
    mean, scale = moments(values)
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-12, atol=1e-12)
    varies = np.ptp(values, axis=0) > 1e-6 + 1e-11 * np.abs(values).max(axis=0)  # below, numpy's own mean is too rough
    np.testing.assert_allclose(scale[varies], values.std(axis=0)[varies], rtol=1e-6)
    assert (scale[np.ptp(values, axis=0) == 0] == 1).all()


def test_numbers_may_come_in_other_types_than_in_training():
    encoder = fitted(pl.DataFrame({"x": [0.5, 1.5, 2.5], "k": [1, 2, 4]}))
    expected = encoder.transform(pl.DataFrame({"x": [1.0, 2.0], "k": [2.0, 4.0]}))
    for x, k in (([1, 2], ["2", " 4 "]), (["1", "2.0"], [2, 4]), ([True, 2], [2, 4])):
        np.testing.assert_array_equal(encoder.transform(pl.DataFrame({"k": k, "x": x}, strict=False)), expected)


def test_booleans_are_zero_and_one_in_every_spelling():
    encoder = fitted(pl.DataFrame({"b": ["yes", "no", "Yes", "no"]}), standardize=False)
    for spelling in (["YES", "no"], ["t", "F"], [True, False], [1, 0], ["1", "0"]):
        assert encoder.transform(pl.DataFrame({"b": spelling})).tolist() == [[1], [0]]


# ---------------------------------------------------------------------------------------------------------------------
# Categories and dates
# ---------------------------------------------------------------------------------------------------------------------


def test_categories_have_a_slot_each_the_most_frequent_first():
    frame = pl.DataFrame({"s": ["b", "a", "b", "a", "b", "rare"]})
    encoder = fitted(frame)
    assert encoder.feature_names == ("s=b", "s=a", "s (other)")
    assert encoder.transform(frame).tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_missing_is_a_level_where_training_saw_it_and_other_elsewhere():
    seen = fitted(pl.DataFrame({"s": ["a", "a", "b", "b", None]}))
    assert seen.feature_names == ("s=a", "s=b", "s (missing)", "s (other)")
    assert seen.transform(pl.DataFrame({"s": [None, "?", "z"]})).tolist() == [[0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    unseen = fitted(pl.DataFrame({"s": ["a", "a", "b", "b"]}))
    assert unseen.transform(pl.DataFrame({"s": [None]})).tolist() == [[0, 0, 1]]


def test_unseen_levels_are_counted_and_rare_or_missing_ones_are_not():
    frame = pl.DataFrame({"s": ["a", "a", "b", "b", "rare"], "x": [1.0, 2, 3, 4, 5]})
    encoder = fitted(frame)
    new = pl.DataFrame({"s": ["a", "rare", None, "new", "newer", "new"], "x": [1.0] * 6})
    matrix, unseen = encoder.encode(new)
    assert unseen == {"s": 3}
    assert matrix[1:, 2].tolist() == [1] * 5
    assert encoder.encode(frame)[1] == {}


def test_levels_beyond_the_cap_share_the_slot_other():
    names = [f"l{i:03d}" for i in range(80)]
    frame = pl.DataFrame({"s": names[:60] * 3 + names * 2})
    encoder = TableEncoder.fit(frame, Schema((Column("s", "category"),), "", "regression"))
    assert encoder.n_features == 51
    matrix = encoder.transform(pl.DataFrame({"s": names}))
    assert matrix.sum() == 80
    assert matrix[:, -1].sum() == 30
    assert matrix[50:, -1].all()


def test_a_level_on_ten_training_rows_has_a_slot_of_its_own():
    names = [f"l{i:03d}" for i in range(130)]
    frame = pl.DataFrame({"s": names[:120] * 10 + names[120:] * 9})
    encoder = TableEncoder.fit(frame, Schema((Column("s", "category"),), "", "regression"))
    matrix = encoder.transform(pl.DataFrame({"s": names}))
    assert matrix.shape == (130, 121)
    assert (matrix[:, -1] == [0] * 120 + [1] * 10).all()


def slots(levels, target, task="regression") -> int:
    frame, schema = pl.DataFrame({"s": levels}), Schema((Column("s", "category"),), "", task)
    return len(TableEncoder.fit(frame, schema, target=target).columns[0].levels)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_levels_on_few_rows_have_slots_if_the_target_tells_them_apart(task):
    rng = np.random.default_rng(0)
    place = np.repeat(np.arange(300), 5)
    effect = rng.standard_normal(300)[place]
    names = np.char.add("l", place.astype(str))
    noise = rng.standard_normal(1500)
    told, chance, faint = (
        (y > 0).astype(np.int32) if task == "classification" else y[:, None].astype(np.float32)
        for y in (3 * effect + noise, noise, 0.3 * effect + noise)
    )
    assert slots(names, told, task) == 300
    assert slots(names, chance, task) == 0  # fewer than half of the rows would have the 50 most frequent
    assert slots(names, faint, task) <= 50  # a mean of five rows says less than that of all
    assert slots(np.r_[names, ["l0"] * 2000], np.r_[chance, chance, chance[:500]], task) == 50


def test_the_variance_between_levels_is_that_of_the_analysis_of_variance():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 20, 400)
    y = rng.standard_normal(20)[group] + rng.standard_normal(400)
    samples = [y[group == k] for k in range(20)]
    f, p = scipy.stats.f_oneway(*samples)
    counts = np.array([len(sample) for sample in samples])
    rows_each = (400 - (counts**2).sum() / 400) / 19
    assert p < statistics.MEAN_LEVEL
    assert statistics.told_apart(group, y[:, None]) == pytest.approx((f - 1) / rows_each, rel=1e-9)
    assert statistics._chance(group, y[:, None], np.zeros(400, int)) == pytest.approx(p, rel=1e-6)
    assert statistics.told_apart(rng.permutation(group), y[:, None]) == 0


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("other", ["category", "number", "none"])
def test_a_cycle_stays_where_it_says_something_within_the_groups_of_another_column(task, other):
    """At weekends one shop sells more and the other as much less."""
    rng = np.random.default_rng(0)
    days = [datetime(2019, 1, 1) + timedelta(days=i) for i in range(700)]
    shop = rng.integers(0, 2, 700)
    weekend = np.array([day.weekday() >= 5 for day in days])
    y = (weekend - weekend.mean()) * (2 * shop - 1) * 3 + rng.standard_normal(700)
    columns = {"category": np.array(["mall", "office"])[shop], "number": shop + 0.1 * rng.random(700)}
    kinds = {"category": "category", "number": "number", "none": "number"}
    frame = pl.DataFrame({"d": days, "s": columns.get(other, rng.random(700))})
    schema = Schema((Column("d", "date"), Column("s", kinds[other])), "", task)
    target = (y > 0).astype(np.int32) if task == "classification" else y[:, None].astype(np.float32)
    assert TableEncoder.fit(frame, schema, target=target).columns[0].cycles == (() if other == "none" else ("week",))


def test_a_small_cycle_stays_beside_a_large_one():
    days = [datetime(2019, 1, 1) + timedelta(hours=13 * i) for i in range(700)]
    hour, day = np.array([(d.hour, d.timetuple().tm_yday) for d in days]).T
    noise = np.random.default_rng(0).standard_normal(700)
    y = 10 * np.cos(2 * np.pi * day / 365.25) + np.cos(2 * np.pi * hour / 24) + 0.5 * noise
    schema = Schema((Column("d", "date"),), "", "regression")
    encoder = TableEncoder.fit(pl.DataFrame({"d": days}), schema, target=y[:, None].astype(np.float32))
    assert encoder.columns[0].cycles == ("year", "day")


def test_cycles_that_go_together_stay():
    days = [datetime(2019, 1, 1) + timedelta(hours=7 * i) for i in range(400)]  # each hour has its weekday
    weekend = np.array([day.weekday() >= 5 for day in days]).astype(np.int32)
    schema = Schema((Column("d", "date"),), "", "classification")
    encoder = TableEncoder.fit(pl.DataFrame({"d": days}), schema, target=weekend)
    assert encoder.columns[0].cycles == ("week", "day")


def test_slots_beyond_the_most_frequent_take_no_more_than_their_share_of_memory(monkeypatch):
    frame = pl.DataFrame({"s": [f"l{i:03d}" for i in range(120)] * 10})
    for values, n_slots in ((1200 * 70, 70), (1200 * 7, 50)):
        monkeypatch.setattr(columns, "SLOT_VALUES", values)
        assert TableEncoder.fit(frame, Schema((Column("s", "category"),), "", "regression")).n_features == n_slots + 1


def test_a_spelling_of_a_number_is_a_level_of_its_own_if_training_had_it():
    encoder = fitted(pl.DataFrame({"s": ["1.1", "1.10", "2.50", "3", "beta"] * 2}))
    matrix, unseen = encoder.encode(pl.DataFrame({"s": ["1.10", "1.1", "2.50", "2.5", "3.0"]}))
    names = [encoder.feature_names[slot] for slot in matrix.argmax(axis=1)]
    assert (names, unseen) == (["s=1.10", "s=1.1", "s=2.50", "s (other)", "s=3"], {"s": 1})


def test_categories_may_come_in_other_types_than_in_training():
    encoder = fitted(pl.DataFrame({"s": ["1", "1", "2", "2", "x", "x"]}))
    expected = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    for values in (pl.Series([1, 2, 3]), pl.Series([1.0, 2.0, 3.0]), pl.Series(["1", "2", "3"], dtype=pl.Categorical)):
        assert encoder.transform(pl.DataFrame({"s": values})).tolist() == expected


@pytest.mark.parametrize("spelt", ["36", "36.0"])
def test_a_level_is_found_whatever_numbers_stand_beside_it(tmp_path, spelt):
    """A file without the words of the training file comes as numbers, with a fraction or without."""
    encoder = fitted(pl.DataFrame({"s": [spelt, "37.5", "38", "S"] * 2}))
    for values in ([36, 38], [36.0, 38.0], [36.0, 37.5], [37.5], [36.0, None]):
        (tmp_path / "t.csv").write_text("s,k\n" + "".join(f"{'' if v is None else v},1\n" for v in values))
        for frame in (pl.DataFrame({"s": values}), read_table(tmp_path / "t.csv")):
            matrix, unseen = encoder.encode(frame)
            names = [encoder.feature_names[slot] for slot in matrix.argmax(axis=1)]
            known = {None: "s (other)", 36: f"s={spelt}", 37.5: "s=37.5", 38: "s=38"}
            assert (names, unseen) == ([known[value] for value in values], {})


def test_dates_are_linear_and_cyclic():
    days = [date(2020, 1, 1) + timedelta(days=i) for i in range(730)]
    frame = pl.DataFrame({"d": days})
    encoder = fitted(frame)
    assert encoder.feature_names == (
        "d",
        "d (sin of year)",
        "d (cos of year)",
        "d (sin of week)",
        "d (cos of week)",
    )
    matrix = encoder.transform(frame).astype(float)
    np.testing.assert_allclose(np.diff(matrix[:, 0]), np.diff(matrix[:2, 0]).item(), rtol=1e-2)
    assert (np.diff(matrix[:, 0]) > 0).all()
    np.testing.assert_allclose(matrix[7:, 3:], matrix[:-7, 3:], atol=1e-6)
    np.testing.assert_allclose(matrix[366:, 1:3], matrix[:364, 1:3], atol=0.02)
    steps = np.hypot(*np.diff(matrix[:, 1:3], axis=0).T)
    assert steps.max() < 0.03, "31 December lies next to 1 January"
    monday = [i for i, day in enumerate(days) if day.weekday() == 0]
    np.testing.assert_allclose(matrix[monday, 3:], np.tile([0.0, 1.0], (len(monday), 1)), atol=1e-6)


def test_the_hour_is_cyclic_where_there_is_a_time_of_day():
    times = [datetime(2020, 1, 1) + timedelta(hours=6 * i) for i in range(40)]
    matrix = fitted(pl.DataFrame({"d": times})).transform(pl.DataFrame({"d": times}))
    assert matrix.shape[1] == 5  # days, week and day: all are in January
    np.testing.assert_allclose(matrix[:4, 3:], [[0, 1], [1, 0], [0, -1], [-1, 0]], atol=1e-6)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize(("weekday_counts", "cycles"), [(False, ("year",)), (True, ("year", "week"))])
def test_a_cycle_stays_where_the_target_differs_between_its_parts(task, weekday_counts, cycles):
    """The target follows the season, and the weekday only if it is said to; the time of day is always midnight."""
    days = [datetime(2019, 1, 1) + timedelta(days=i) for i in range(800)]
    season = np.array([np.cos(2 * np.pi * (d.timetuple().tm_yday / 365.25)) for d in days])
    weekend = np.array([d.weekday() >= 5 for d in days])
    y = season + 0.3 * np.random.default_rng(0).standard_normal(len(days)) + 2 * weekend * weekday_counts
    target = (y > 0).astype(np.int32) if task == "classification" else y[:, None].astype(np.float32)
    schema = Schema((Column("d", "date"),), "", task)
    encoder = TableEncoder.fit(pl.DataFrame({"d": days}), schema, target=target)
    assert encoder.columns[0].cycles == cycles


def test_dates_may_come_as_text_or_as_dates():
    text = pl.DataFrame({"d": ["31.12.2019", "01.06.2020", "?", "15.03.2021"]})
    dates = pl.DataFrame({"d": [date(2019, 12, 31), date(2020, 6, 1), None, date(2021, 3, 15)]})
    np.testing.assert_array_equal(fitted(text).transform(dates), fitted(text).transform(text))
    np.testing.assert_array_equal(fitted(dates).transform(dates), fitted(text).transform(text))
    assert fitted(text).transform(text)[2].tolist()[1:] == [1, 0, 0, 0, 0]


def test_dates_are_standardised_even_when_numbers_are_not():
    frame = pl.DataFrame({"d": [date(2020, 1, i) for i in range(1, 29)], "x": [50.0 + i for i in range(28)]})
    matrix = fitted(frame, standardize=False).transform(frame)
    assert np.abs(matrix[:, 0]).max() < 3
    assert matrix[:, -1].tolist() == frame["x"].to_list()


# ---------------------------------------------------------------------------------------------------------------------
# The encoder as a whole
# ---------------------------------------------------------------------------------------------------------------------


def test_nothing_of_the_other_rows_is_learned():
    frame = mixed()
    rows = np.arange(0, 60, 2)
    is_other = pl.int_range(60) % 2 == 1
    other = frame.with_columns(
        x=pl.when(is_other).then(1e6).otherwise("x"), s=pl.when(is_other).then(pl.lit("z")).otherwise("s")
    )
    schema = schema_of(frame)
    assert TableEncoder.fit(frame, schema, rows) == TableEncoder.fit(other, schema, rows)
    assert TableEncoder.fit(frame, schema, rows) == TableEncoder.fit(frame[rows], schema)


@given(st.data())
@QUICK
def test_encoding_some_rows_is_taking_rows_of_the_encoding(data):
    frame = mixed()
    encoder = fitted(frame, rows=range(40))
    rows = np.array(data.draw(st.lists(st.integers(0, 59), max_size=80)), dtype=int)
    np.testing.assert_array_equal(encoder.transform(frame, rows), encoder.transform(frame)[rows])
    np.testing.assert_array_equal(encoder.transform(frame[rows]), encoder.transform(frame)[rows])


def test_blocks_do_not_show(monkeypatch):
    frame = mixed(1000)
    whole = fitted(frame), fitted(frame).encode(frame)
    monkeypatch.setattr(encoding, "BLOCK_ROWS", 300)
    monkeypatch.setattr(encoding, "BLOCK_VALUES", 2000)
    monkeypatch.setattr(statistics, "BLOCK_VALUES", 2000)
    blocked = fitted(frame), fitted(frame).encode(frame)
    assert blocked[0] == whole[0]
    np.testing.assert_array_equal(blocked[1][0], whole[1][0])


@given(st.integers(0, 100), st.booleans())
@QUICK
def test_an_encoder_survives_json_bit_for_bit(seed, standardize):
    frame = mixed(seed=seed)
    encoder = fitted(frame, standardize=standardize)
    back = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
    assert back == encoder
    np.testing.assert_array_equal(back.transform(frame), encoder.transform(frame))


def test_names_and_slots_agree():
    frame = mixed()
    encoder = fitted(frame)
    matrix = encoder.transform(frame)
    assert matrix.shape == (60, encoder.n_features)
    assert len(set(encoder.feature_names)) == encoder.n_features
    assert [encoder.feature_names[slot] for slot in encoder.slots] == [c.feature_names for c in encoder.columns]
    columns = dict(zip(encoder.feature_names, matrix.T, strict=True))
    for name in frame.columns:
        np.testing.assert_array_equal(columns[f"{name} (missing)"], frame[name].is_null().to_numpy())
    for level in "abc":
        np.testing.assert_array_equal(columns[f"s={level}"], (frame["s"] == level).fill_null(False).to_numpy())
    assert np.isfinite(matrix).all()


def test_extra_columns_and_their_order_do_not_matter():
    frame = mixed()
    encoder = fitted(frame)
    shuffled = frame.select(pl.lit("?").alias("extra"), *reversed(frame.columns))
    np.testing.assert_array_equal(encoder.transform(shuffled), encoder.transform(frame))


BAD_TABLES = {
    "missing column": (lambda f: f.drop("s"), "column 's' is missing"),
    "missing columns": (lambda f: f.drop("s", "x"), r"column 'x' is missing \(and 1 more: 's'\)"),
    "text": (lambda f: f.with_columns(x=pl.Series(["1", "?"] * 29 + ["1", "tall"])), "'tall' is not a number .*row 60"),
    "yes for a number": (lambda f: f.with_columns(n=pl.lit("yes")), "'yes' is not a number .*'n', row 1"),
    "text for a boolean": (lambda f: f.with_columns(b=pl.lit("maybe")), "'maybe' is not yes or no .*'b', row 1"),
    "a number for a boolean": (lambda f: f.with_columns(b=pl.lit(0.5)), "'0.5' is not yes or no .*'b', row 1"),
    "no date": (lambda f: f.with_columns(d=pl.lit("soon")), "'soon' is not a date .*'d', row 1"),
    "dates for numbers": (lambda f: f.with_columns(x=pl.col("d")), "type Datetime.* where numbers should be.*'x'"),
    "infinite": (lambda f: f.with_columns(x=pl.Series([1.0] * 41 + [INF] * 19)), "infinite .*'x', row 42"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_table_that_does_not_fit_is_refused(case):
    spoil, message = BAD_TABLES[case]
    encoder = fitted(mixed())
    with pytest.raises(InputError, match=message):
        encoder.transform(spoil(mixed()))


def test_the_row_named_is_the_row_of_the_table_also_for_chosen_rows():
    frame = pl.DataFrame({"x": [1.0, 2.0, 3.0, -INF], "t": ["1", "2", "x", "4"]})
    encoder = fitted(pl.DataFrame({"x": [1.0, 2.0], "t": [1, 2]}))
    with pytest.raises(InputError, match="'x', row 4"):
        encoder.transform(frame, rows=[3, 1])
    with pytest.raises(InputError, match="'t', row 3"):
        encoder.transform(frame, rows=[1, 2])
    with pytest.raises(InputError, match=r"infinite .*'x', row 4"):
        TableEncoder.fit(frame, Schema((Column("x", "number"),), "", "regression"), rows=[0, 3])


# ---------------------------------------------------------------------------------------------------------------------
# Arrays
# ---------------------------------------------------------------------------------------------------------------------


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.integers(2, 30), st.integers(1, 5)),
        elements=st.floats(-1000, 1000, width=32) | st.just(float("nan")),
    ),
    st.booleans(),
)
@QUICK
def test_an_array_is_encoded_as_the_frame_with_its_columns(x, standardize):
    names = [f"x{j}" for j in range(x.shape[1])]
    frame = pl.DataFrame({name: x[:, j] for j, name in enumerate(names)})
    schema = Schema(tuple(Column(name, "number") for name in names), "", "regression")
    rows = np.arange(0, len(x), 2)
    from_array = TableEncoder.from_array(x, rows, standardize)
    from_frame = TableEncoder.fit(frame, schema, rows, standardize)
    assert from_array == from_frame
    assert TableEncoder.from_json(json.loads(json.dumps(from_array.to_json()))) == from_array
    expected = from_frame.transform(frame)
    np.testing.assert_array_equal(from_array.transform(x), expected)
    np.testing.assert_array_equal(from_array.transform(np.asfortranarray(x)), expected)
    np.testing.assert_array_equal(from_array.transform(frame), expected)
    np.testing.assert_array_equal(from_array.transform(x, rows), expected[rows])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_arrays_of_whole_numbers_and_booleans(dtype):
    x = (np.arange(12).reshape(6, 2) % 5).astype(dtype)
    np.testing.assert_allclose(TableEncoder.from_array(x).transform(x).std(axis=0), 1, rtol=1e-6)


def test_encoding_leaves_the_array_alone():
    x = np.array([[1.0, np.nan], [2.0, 5.0]])
    before = x.copy()
    TableEncoder.from_array(x).transform(x)
    np.testing.assert_array_equal(x, before)


def test_bad_arrays_are_refused():
    encoder = TableEncoder.from_array(np.zeros((3, 2)))
    with pytest.raises(InputError, match="3 columns where training had 2"):
        encoder.transform(np.zeros((3, 3)))
    with pytest.raises(InputError, match="has 1 dimensions"):
        encoder.transform(np.zeros(3))
    with pytest.raises(InputError, match="values of type <U1"):
        encoder.transform(np.array([["a", "b"]]))
    with pytest.raises(InputError, match=r"infinite .*'x1', row 2"):
        TableEncoder.from_array(np.array([[1.0, 2.0], [1.0, INF]]))
    with pytest.raises(InputError, match="cannot hold categories"):
        fitted(mixed()).transform(np.zeros((3, 6)))


def test_a_coding_writes_only_what_differs_from_the_default():
    assert Coding("x", "number").to_json() == {"name": "x", "kind": "number"}


def test_values_far_beyond_those_of_training_are_taken_as_one_width_beyond():
    x = np.array([[0.0, 5.0, -1e308], [2.0, 5.0, 1e308], [100.0, 7.0, 0.0], [-100.0, 5.1, 1e308]])
    encoder = TableEncoder.from_array(x, rows=[0, 1])
    np.testing.assert_array_equal(encoder.transform(x)[:, 0], [-1, 1, 3, -3])
    np.testing.assert_array_equal(encoder.transform(x)[:, 1], 0)  # nothing was learned of a column that did not vary
    np.testing.assert_array_equal(encoder.transform(x)[:, 2], [-1, 1, 0, 1])
    assert encoder.encode(x)[1] == {"x0": 2, "x1": 2}
    assert encoder.encode(x, rows=[0, 1])[1] == {}
    again = TableEncoder.from_json(encoder.to_json())
    np.testing.assert_array_equal(again.transform(x), encoder.transform(x))

    free = TableEncoder.from_array(x, rows=[0, 1], bounded=False)
    np.testing.assert_array_equal(free.transform(x)[:, 0], [-1, 1, 99, -101])
    raw = TableEncoder.from_array(x[:, :2], rows=[0, 1], standardize=False)
    np.testing.assert_array_equal(raw.transform(x[:, :2]), x[:, :2].astype(np.float32))


def test_a_column_without_a_value_in_training_says_nothing_at_prediction():
    encoder = TableEncoder.from_array(np.array([[np.nan, 1.0], [np.nan, 2.0]]))
    np.testing.assert_array_equal(encoder.transform(np.array([[7.0, 1.5]])), [[0, 0, 0]])
