"""Values: columns as numbers and dates, what is missing, and how narrow a type may be."""

import re
from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from axonic.data.values import (
    as_booleans,
    as_dates,
    as_numbers,
    as_text,
    in_file,
    missing,
    narrow,
    share_a_mark,
    spelt,
    unit_of,
)
from axonic.errors import InputError


def test_missing_counts_null_nan_and_tokens():
    frame = pl.DataFrame({"x": [1.0, None, float("nan")], "s": ["a", " NA ", None], "n": [1, None, 3]})
    assert [missing(column).to_list() for column in frame] == [
        [False, True, True],
        [False, True, True],
        [False, True, False],
    ]


def test_values_that_do_not_fit_are_named_with_their_row():
    with pytest.raises(InputError, match=r"'tall' is not a number \(column 'h', row 3\)"):
        as_numbers(pl.Series("h", ["1", "?", "tall"]))
    with pytest.raises(InputError, match=r"'soon' is not a date as 1970-01-01 \(column 'd', row 12\)"):
        as_dates(pl.Series("d", ["2020-01-01", "soon"]), "%Y-%m-%d", rows=[10, 11])
    with pytest.raises(InputError, match="type Date where numbers should be"):
        as_numbers(pl.Series("h", [date(2020, 1, 1)]))
    with pytest.raises(InputError, match="where dates should be"):
        as_dates(pl.Series("d", [1]), "")


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64])
def test_a_float_reads_as_the_same_text_whatever_stands_beside_it(dtype):
    values = [36.0, 37.5, -0.0, None, float("nan"), 1e20, 38.0]
    text = ["36", "37.5", "0", None, None, "1e+20", "38"]
    assert as_text(pl.Series(values, dtype=dtype)).to_list() == text
    for value, expected in zip(values, text, strict=True):
        assert as_text(pl.Series([value], dtype=dtype)).to_list() == [expected]
    assert as_text(pl.Series([36, 2**62 + 1])).to_list() == ["36", str(2**62 + 1)]


SPELT = {
    "-1234.5": -1234.5,
    "1e5": 1e5,
    "1,234.50": 1234.5,
    "1,234,567": 1234567.0,
    "1'234": 1234.0,
    "1\u202f234": 1234.0,
    "$5": 5.0,
    "-$5": -5.0,
    "$-5": -5.0,
    "5 €": 5.0,
    "£1,000.": 1000.0,
    "45 %": 45.0,
    "0.5%": 0.5,
    "+7%": 7.0,
    "２１": 21.0,
    "２０．６３": 20.63,
    "−３": -3.0,
    "\u22121.5e\u22122": -0.015,
    "￥20": 20.0,
    "１，２３４円".removesuffix("円"): 1234.0,
    "１５％": 15.0,
}
NOT_SPELT = [
    "12,5",
    "0,125",
    "1,23",
    "1234,567",
    "1,2345",
    "1,,234",
    "$",
    "%",
    "5 kg",
    "12-3",
    "5$%",
    "2024-01-02",
    "1 234",
    "--5",
    "5²",
    "½",
]


def test_numbers_are_read_as_people_write_them_each_by_itself():
    assert spelt(pl.Series([*SPELT, None, *NOT_SPELT])).to_list() == [*SPELT.values(), None, *[None] * len(NOT_SPELT)]
    for text, number in SPELT.items():
        assert as_numbers(pl.Series([text])).to_list() == [number]
    assert share_a_mark(pl.Series(["$5", "$1,000", "7", None]))
    assert share_a_mark(pl.Series(["1", "2"]))
    assert not share_a_mark(pl.Series(["$5", "5 €"]))


UNITS = {
    "kg": {"5 kg": 5.0, "7.5kg": 7.5, "1,200 Kg": 1200.0, "12": 12.0},
    "CC": {"1248 CC": 1248.0, "998cc": 998.0, "799 CC": 799.0},
    "month": {" 36 months": 36.0, "1 month": 1.0},
    "sq ft": {"300 sq ft": 300.0},
    "km/h": {"-10 km/h": -10.0, ".5 km/h": 0.5},
    "°C": {"30 °C": 30.0, "-2.5°C": -2.5},
    "USD": {"1,234.50 USD": 1234.5},
    "公斤": {"5公斤": 5.0, "６.5 公斤": 6.5},
    "$": {"$1,234.50": 1234.5, "-$5": -5.0, "5 $": 5.0, "12": 12.0, "1e3": 1000.0},
    "%": {"45 %": 45.0, "0.5%": 0.5, "９％": 9.0},
    "¥": {"¥5": 5.0, "￥6": 6.0},
}


@pytest.mark.parametrize(("unit", "texts"), UNITS.items(), ids=str)
def test_numbers_of_one_unit_are_read_without_it(unit, texts):
    text = pl.Series("x", [*texts, None])
    assert unit_of(text) == unit
    assert as_numbers(text, unit=unit).to_list() == [*texts.values(), None]


@pytest.mark.parametrize(
    "texts",
    [
        ["5 kg", "5 lb"],
        ["12A", "13A"],
        ["1", "2"],
        ["$5", "45 %"],
        ["$5", "5 kg"],
        ["under $5"],
        ["3 of 5", "4 of 5"],
        ["kg", "m"],
        [None],
    ],
    ids=str,
)
def test_texts_without_a_unit_in_common_have_none(texts):
    assert unit_of(pl.Series("x", texts, pl.String)) == ""


@pytest.mark.parametrize(
    ("unit", "own", "other"),
    [
        *(("kg", "3 kg", other) for other in ("5 lb", "$5", "5 %")),
        *(("$", "$3", other) for other in ("€1,000.00", "4,000 %", "5 kg", "$5 %")),
        *(("%", "3 %", other) for other in ("$5", "5 kg")),
    ],
)
def test_a_number_of_another_unit_is_refused(unit, own, other):
    said = re.escape(f"{other!r} is not a number, alone or of {unit} (column 'x', row 3)")
    with pytest.raises(InputError, match=f"^{said}"):
        as_numbers(pl.Series("x", [own, "3", other]), unit=unit)


@pytest.mark.parametrize("values", [[True, False], [1.0, float("nan"), 0.0, None], ["yes", "0.0", "1", "NA"]], ids=str)
def test_0_and_1_are_yes_or_no_and_a_gap_stays_one(values):
    series = pl.Series("b", values)
    assert as_booleans(series).drop_nulls().is_in([0.0, 1.0]).all()
    assert as_booleans(series).is_null().equals(missing(series))


@pytest.mark.parametrize(
    ("values", "said"),
    [([0, 1, 2], "2"), ([1.0, None, 0.5], "0.5"), (["no", None, "-1"], "-1"), ([0.0, 1.0, float("inf")], "inf")],
)
def test_no_other_numbers_are_yes_or_no(values, said):
    with pytest.raises(InputError, match=rf"^'{said}' is not yes or no \(column 'b', row 13\)"):
        as_booleans(pl.Series("b", values), rows=[10, 11, 12])


@pytest.mark.parametrize(
    ("path", "rows", "where", "said"),
    [
        ("t.csv", None, "column 'x', row 2", "t.csv, column 'x', row 2"),
        ("t.csv", [7, 9], "column 'x', row 2", "t.csv, column 'x', row 10"),
        ("", np.array([7, 9]), "target, row 1", "target, row 8"),
        ("", range(100, 200), "column 'row 5', row 1", "column 'row 5', row 101"),
        ("t.csv", [7, 9], "t.csv, row 1, line 2", "t.csv, row 1, line 2"),
        ("t.csv", [7, 9], "", "t.csv"),
    ],
)
def test_an_error_counts_rows_as_the_file_does(path, rows, where, said):
    with pytest.raises(InputError) as refused, in_file(path, rows):
        raise InputError("what", "how", where)
    assert str(refused.value) == f"what ({said}): how"


def test_narrowing_changes_a_value_by_at_most_a_hundred_thousandth_of_the_spread():
    rng = np.random.default_rng(0)
    for offset in (0.0, 1.0, 1e2, 1e4, 1e6, 1e12):
        for spread in (1e-6, 1.0, 1e6):
            values = offset + spread * rng.normal(size=500)
            narrowed = narrow(pl.Series(values)).cast(pl.Float64).to_numpy()
            assert np.abs(narrowed - values).max() <= 1e-5 * values.std()


def test_words_and_dates_may_be_of_east_asian_width():
    assert as_booleans(pl.Series(["ｙｅｓ", "Ｎo", "１"])).to_list() == [1, 0, 1]
    dates = as_dates(pl.Series(["２０２０－０１－０２", "2020-01-02"]), "%Y-%m-%d")
    assert dates.to_list() == [datetime(2020, 1, 2)] * 2


ISO = ["2021-02-04T10:30:00", "2021-02-04 10:30", "2021-02-04T10:30", "2021-02-04T10:30:00.000Z"]
ISO += ["2021-02-04 12:30:00+02:00", "2021-02-04 10:30:00 UTC", "2021-02-04T12:30+02", "2021-02-04"]


@pytest.mark.parametrize("format", ["", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"])
def test_dates_of_iso_come_with_or_without_a_time(format):
    morning = datetime(2021, 2, 4, 10, 30)
    assert as_dates(pl.Series([*ISO, None]), format).to_list() == [morning] * 7 + [datetime(2021, 2, 4), None]
    with pytest.raises(InputError, match=r"'04\.02\.2021' is not a date .*row 2"):
        as_dates(pl.Series(["2021-02-04", "04.02.2021"]), format)
    with pytest.raises(InputError, match="'2021-02-04' is not a date"):
        as_dates(pl.Series(["2021-02-04"]), "%d.%m.%Y")
