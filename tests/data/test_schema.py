"""The schema: what a table holds, what its target asks for, and what a user is told of a bad one."""

import json
from datetime import date, datetime
from pathlib import Path

import numpy as np
import palmerpenguins
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonic.data.columns import Column, canonical, infer_columns
from axonic.data.reading import read_table
from axonic.data.schema import Schema, infer_schema, other_task, target_values, usable_rows
from axonic.data.values import as_dates
from axonic.errors import InputError

N = 40
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def the_same_draws(state=RNG.bit_generator.state):
    """What a test draws does not hang on the tests before it."""
    RNG.bit_generator.state = state


def kinds(**columns) -> dict[str, str]:
    return {column.name: column.reason or column.kind for column in infer_columns(pl.DataFrame(columns))}


def test_what_each_column_holds():
    days = [date(2020, 1, 1 + i % 28) for i in range(N)]
    assert kinds(
        measure=RNG.normal(size=N),
        count=RNG.integers(0, 9, N),
        spelt=[f" {i % 7}.5 " for i in range(N)],
        gaps=["?", "1", "2", None] * 10,
        flag=[True, False] * 20,
        answer=["Yes", "no", "NO", None] * 10,
        letter=["t", "f"] * 20,
        city=["Rome", "Oslo", "Bern", None] * 10,
        day=days,
        iso=[str(day) for day in days],
        zip=["02139", "10001"] * 20,
        only=["x", None] * 20,
        fixed=[3.0] * N,
        same=["a"] * N,
        empty=[None] * N,
        tokens=["NA", "?"] * 20,
        remark=[f"customer {i} says hello" for i in range(N)],
        code=[f"A{i}X" for i in range(N)],
        span=[[1, 2]] * N,
    ) == {
        "measure": "number",
        "count": "number",
        "spelt": "number",
        "gaps": "number",
        "flag": "boolean",
        "answer": "boolean",
        "letter": "boolean",
        "city": "category",
        "day": "date",
        "iso": "date",
        "zip": "category",
        "only": "category",
        "fixed": "constant",
        "same": "constant",
        "empty": "all missing",
        "tokens": "all missing",
        "remark": "free text: too many distinct values",
        "code": "id-like",
        "span": "unsupported type: List(Int64)",
    }


@pytest.mark.parametrize(
    "name", ["id", "ID", "customer_id", "PassengerId", "userID", "Index", "row", "uuid", "order no"]
)
def test_whole_numbers_that_differ_under_a_name_of_an_id_are_ignored(name):
    shuffled = RNG.permutation(N) + 1000
    expected = "id-like" if name != "order no" else "number"
    assert kinds(**{name: shuffled, "x": RNG.normal(size=N)})[name] == expected


@pytest.mark.parametrize("name", ["humid", "paid", "grid", "valid", "price", "idle", "width", "glycemic index"])
def test_whole_numbers_that_differ_under_another_name_are_kept(name):
    assert kinds(**{name: RNG.permutation(N) * 3, "x": RNG.normal(size=N)})[name] == "number"


def test_a_row_number_is_ignored_but_time_years_and_repeats_are_not():
    rows = np.arange(N)
    found = kinds(
        a=rows,
        b=rows + 1,
        c=rows + 1900,
        d=2 * rows,
        e=rows[::-1].copy(),
        time=rows,
        day=rows,
        id=rows // 2,
        x=rows * 0.5,
    )
    assert found == {"a": "id-like", "b": "id-like"} | dict.fromkeys(
        ["c", "d", "e", "time", "day", "id", "x"], "number"
    )


@pytest.mark.parametrize("dtype", [pl.UInt8, pl.Int64, pl.UInt64, pl.Int128])
def test_a_row_number_of_any_type_is_ignored(dtype):
    x = RNG.normal(size=N)
    assert kinds(a=pl.Series(range(N), dtype=dtype), x=x)["a"] == "id-like"
    huge = pl.Series([0, *[2**7 - 1 if dtype == pl.UInt8 else 2**63 - 1] * (N - 2), N - 1], dtype=dtype)
    assert kinds(a=huge, x=x)["a"] == "number"


def test_numbers_beyond_those_of_the_rows_are_no_row_number():
    huge = pl.Series([0, *[2**63 + 5] * (N - 2), N - 1], dtype=pl.UInt64)
    assert kinds(a=huge, x=RNG.normal(size=N))["a"] == "number"


def test_a_row_number_is_kept_in_a_small_table_or_as_the_only_column():
    assert kinds(a=range(10), x=[0.5] * 9 + [1.5])["a"] == "number"
    assert kinds(a=range(N)) == {"a": "number"}
    assert kinds(id=range(N)) == {"id": "id-like"}


@pytest.mark.parametrize(
    ("format", "texts"),
    [
        ("%Y-%m-%d", ["2012-01-31", "2013-12-01"]),
        ("%Y/%m/%d", ["2012/01/31", "2013/12/01"]),
        ("%d.%m.%Y", ["31.1.2012", "01.12.2013"]),
        ("%m/%d/%Y", ["1/31/2012", "12/1/2013"]),
        ("%d/%m/%Y", ["31/1/2012", "1/12/2013"]),
        ("%m/%d/%y", ["1/31/12", "12/1/13"]),
        ("%d-%b-%Y", ["31-Jan-2012", "01-Dec-2013"]),
        ("%b %d, %Y", ["Jan 31, 2012", "Dec 1, 2013"]),
        ("%B %d, %Y", ["January 31, 2012", "December 1, 2013"]),
        ("%d %b %Y", ["31 Jan 2012", "1 Dec 2013"]),
    ],
)
def test_dates_are_read_from_text(format, texts):
    text = pl.Series("day", [texts[0], None, texts[1], "?"] * 10)
    (column,) = infer_columns(pl.DataFrame([text]))
    assert (column.kind, column.format) == ("date", format)
    dates = as_dates(text, column.format).to_list()[:4]
    assert dates == [datetime(2012, 1, 31), None, datetime(2013, 12, 1), None]


@pytest.mark.parametrize(
    "texts",
    [
        ["2012-01-31 13:05", "2012-02-01 00:00"],
        ["2012-01-31 13:05:00", "2012-02-01 00:00:00"],
        ["2012-01-31T13:05:00.000", "2012-02-01T00:00:00.000"],
        ["2012-01-31T13:05:00Z", "2012-02-01T02:00:00+02:00"],
        ["1/31/2012 1:05 PM", "2/1/2012 12:00 AM"],
        ["31.01.2012 13:05", "01.02.2012 00:00"],
    ],
)
def test_times_are_read_from_text(texts):
    text = pl.Series("at", texts)
    (column,) = infer_columns(pl.DataFrame([text]))
    assert column.kind == "date"
    assert as_dates(text, column.format).to_list() == [datetime(2012, 1, 31, 13, 5), datetime(2012, 2, 1)]


def test_day_and_month_that_could_be_either_follow_the_order_of_the_rows():
    (column,) = infer_columns(pl.DataFrame({"day": ["01/02/2020", "02/02/2020", "03/03/2020", "01/04/2020"]}))
    assert column.format == "%d/%m/%Y"
    (column,) = infer_columns(pl.DataFrame({"day": ["01/02/2020", "02/02/2020", "03/03/2020", "04/01/2020"]}))
    assert column.format == "%m/%d/%Y"


@pytest.mark.parametrize("texts", [["12-34-5678", "1-2-3"], ["v1.2.3", "v1.2.4"], ["555-1234", "555-9876"]])
def test_text_that_only_looks_like_a_date_is_a_category(texts):
    assert kinds(s=texts * 20) == {"s": "category"}


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["２１", "２０．６３", "−３"], "number"),
        (["￥20", "￥1,234", "￥5.5"], "number"),
        (["１５％", "20%", "7 %"], "number"),
        (["ＹＥＳ", "no", "Ｎｏ"], "boolean"),
        (["2020年01月02日", "2020年3月14日", "2021年12月31日"], "date"),
        (["２０２０／０１／０２", "2020/03/14", "2021/12/31"], "date"),
        (["Ａ", "A", "B"], "category"),
        (["５²", "6²", "7²"], "category"),
    ],
)
def test_text_of_east_asian_width_is_what_it_spells(texts, kind):
    assert kinds(s=texts * 20) == {"s": kind}


def test_a_target_of_east_asian_width_is_a_number():
    frame = pl.DataFrame({"x": RNG.normal(size=30), "y": [f"{i}．５" for i in range(30)]})
    schema = infer_schema(frame, "y")
    assert schema.task == "regression"
    assert target_values(frame, schema).to_list() == [i + 0.5 for i in range(30)]


@pytest.mark.parametrize("levels", [["1", "2", "3"], ["yes", "no"], ["2020-01-01", "2020-01-02"]])
def test_a_declared_category_is_one_whatever_its_values_spell(levels):
    for dtype in (pl.Categorical, pl.Enum(levels)):
        assert kinds(s=pl.Series(levels * 20, dtype=dtype)) == {"s": "category"}
    assert kinds(s=pl.Series([f"{i}" for i in range(N)], dtype=pl.Categorical)) == {"s": "id-like"}


def test_text_is_a_category_if_levels_that_recur_cover_half_of_the_rows():
    often = [f"shop {i % 120}" for i in range(1800)]
    assert kinds(s=often) == {"s": "category"}
    assert kinds(s=often + [f"note {i}" for i in range(1700)]) == {"s": "category"}
    assert kinds(s=often + [f"note {i}" for i in range(1900)]) == {"s": "free text: too many distinct values"}
    assert kinds(s=[f"Ann {i % 450}" for i in range(1800)]) == {"s": "category"}
    assert kinds(s=[f"Ann {i % 600}" for i in range(1800)]) == {"s": "free text: too many distinct values"}


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"], "classification"),
        (["yes", "no"], "classification"),
        ([True, False], "classification"),
        ([0, 1, 2], "classification"),
        ([1.0, 2.0], "classification"),
        ([-1, 1], "classification"),
        ([3, 4, 5, 6, 8], "classification"),
        (list(range(10)), "classification"),
        (list(range(1, 27)), "classification"),
        (["1", "2"], "classification"),
        ([0.5, 1.5, 2.5], "regression"),
        ([12, 17, 21, 25, 33, 37, 41, 48, 55, 61, 70, 74], "regression"),
        (["0.5", "1.25"], "regression"),
    ],
)
def test_the_task_follows_the_target(values, task):
    frame = pl.DataFrame({"x": RNG.normal(size=4 * len(values)), "y": values * 4})
    assert infer_schema(frame, "y").task == task


def test_numbers_with_a_mark_are_numbers_unless_the_marks_differ():
    prices = [f"${1000 + 37 * i:,}" for i in range(40)]
    frame = pl.DataFrame(
        {
            "price": prices,
            "share": [f"{i} %" for i in range(40)],
            "mixed": [f"${i}" if i % 2 else f"{i} €" for i in range(40)],
            "y": [f"£{i % 7 + 0.5}" for i in range(40)],
        }
    )
    schema = infer_schema(frame, "y")
    assert schema.columns == (Column("price", "number", format="$"), Column("share", "number", format="%"))
    assert [column.name for column in schema.ignored] == ["mixed"]
    assert (schema.task, schema.unit) == ("regression", "£")
    assert target_values(frame, schema).to_list() == [i % 7 + 0.5 for i in range(40)]
    with pytest.raises(InputError, match="'\\$5' is not a number, alone or of £"):
        target_values(frame.with_columns(y=pl.lit("$5")), schema)


def test_text_whose_numbers_share_a_unit_is_numbers_and_the_schema_holds_the_unit():
    frame = pl.DataFrame(
        {
            "engine": [f"{900 + 37 * i} CC" for i in range(40)],
            "term": ["36 months", "60 months"] * 20,
            "other": [f"{i} kmpl" if i % 2 else f"{i} km/kg" for i in range(40)],
            "seat": [f"{i % 9}A" for i in range(40)],
            "number": [f"{i + 1} EU" for i in range(40)],
            "y": [f"{i + 0.5} lakh" for i in range(40)],
        }
    )
    schema = infer_schema(frame, "y")
    assert [(column.name, column.kind, column.format) for column in schema.columns] == [
        ("engine", "number", "CC"),
        ("term", "number", "month"),
        ("seat", "category", ""),
    ]
    assert [(column.name, column.reason) for column in schema.ignored] == [
        ("other", "free text: too many distinct values"),
        ("number", "id-like"),
    ]
    assert (schema.task, schema.unit) == ("regression", "lakh")
    assert target_values(frame, schema).to_list() == [i + 0.5 for i in range(40)]
    assert Schema.from_json(schema.to_json()) == schema


def test_whole_numbers_that_hardly_repeat_are_a_measurement():
    frame = pl.DataFrame({"x": RNG.normal(size=8), "y": [1, 2, 3, 4, 5, 6, 7, 7]})
    assert infer_schema(frame, "y").task == "regression"


def test_the_task_given_by_hand_wins():
    frame = pl.DataFrame({"x": RNG.normal(size=40), "y": [1, 2] * 20, "z": [0.5, 1.5] * 20})
    assert infer_schema(frame, "y", "regression").task == "regression"
    assert infer_schema(frame, "z", "classification").task == "classification"


BAD_TARGETS = {
    "no such column": (
        {"x": [1.0, 2], "price": [1.5, 2]},
        "prise",
        "auto",
        r"no column .*'prise'.* did you mean 'price'\?.*x, price",
    ),
    "all missing": ({"x": [1.0, 2], "y": ["NA", None]}, "y", "auto", "target has no values"),
    "constant": ({"x": [1.0, 2, 3], "y": ["a", "a", None]}, "y", "auto", "target is 'a' in every row"),
    "one row": ({"x": [1.0, 2], "y": [1.5, None]}, "y", "auto", "only one row has a target"),
    "yes and no for regression": (
        {"x": [1.0, 2], "y": ["no", "yes"]},
        "y",
        "regression",
        "numeric target: 'no' .*row 1",
    ),
    "text for regression": (
        {"x": [1.0, 2, 3], "y": ["1", None, "b"]},
        "y",
        "regression",
        "numeric target: 'b' .*row 3",
    ),
    "infinite": ({"x": [1.0, 2, 3], "y": [0.5, float("inf"), 1]}, "y", "auto", r"infinite \(column 'y', row 2\)"),
    "single row": ({"x": range(5), "y": ["a", "a", "b", "b", "c"]}, "y", "auto", "class 'c' has a single row.*merge"),
    "all classes": ({"x": range(3), "y": ["a", "b", "c"]}, "y", "auto", "every row has a class of its own"),
    "numbers as classes": ({"x": range(3), "y": [1.5, 2, 3]}, "y", "classification", "--task regression"),
    "dates": ({"x": range(3), "y": [date(2020, 1, i) for i in (1, 2, 3)]}, "y", "auto", "target of type Date"),
    "no task": ({"x": range(3), "y": [1.5, 2, 3]}, "y", "ranking", "no task is named 'ranking'"),
    "only the target": ({"y": [1.5, 2, 3]}, "y", "auto", "the target is the only column"),
    "nothing usable": ({"x": [1, 1, 1], "z": [None] * 3, "y": [1.5, 2, 3]}, "y", "auto", "x: constant; z: all missing"),
}


@pytest.mark.parametrize("case", BAD_TARGETS)
def test_bad_target_is_refused_with_its_remedy(case):
    columns, target, task, message = BAD_TARGETS[case]
    with pytest.raises(InputError, match=message):
        infer_schema(pl.DataFrame(columns, strict=False), target, task)


def test_rows_without_a_target_are_not_used_and_not_an_error():
    frame = pl.DataFrame({"x": RNG.normal(size=6), "y": [1.5, None, float("nan"), 2.5, 3.5, 4.25]})
    schema = infer_schema(frame, "y")
    assert usable_rows(frame, schema).tolist() == [0, 3, 4, 5]
    assert target_values(frame, schema).to_list() == [1.5, None, None, 2.5, 3.5, 4.25]


def test_labels_come_as_they_are():
    frame = pl.DataFrame(
        {"x": RNG.normal(size=4), "s": [" a", "b ", "a", "b"], "f": pl.Series([0.1, 0.2] * 2, dtype=pl.Float32)}
    )
    assert target_values(frame, infer_schema(frame, "s")).to_list() == ["a", "b", "a", "b"]
    assert target_values(frame, infer_schema(frame, "f", "classification")).to_list() == [0.1, 0.2, 0.1, 0.2]
    with pytest.raises(InputError, match="no column is named 's'"):
        target_values(frame.drop("s"), infer_schema(frame, "s"))


@given(
    columns=st.lists(
        st.builds(Column, st.text(), st.sampled_from(["number", "category", "date", "ignored"]), st.text(), st.text())
    ),
    target=st.text(),
    task=st.sampled_from(["classification", "regression"]),
)
@settings(max_examples=40, deadline=None)
def test_schema_survives_json(columns, target, task):
    schema = Schema(tuple(columns), target, task, tuple(columns[:1]))
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_real_table_from_r():
    frame = read_table(Path(palmerpenguins.__file__).parent / "data" / "penguins.csv")
    schema = infer_schema(frame, "species")
    assert {column.name: column.kind for column in schema.columns} == {
        "island": "category",
        "bill_length_mm": "number",
        "bill_depth_mm": "number",
        "flipper_length_mm": "number",
        "body_mass_g": "number",
        "sex": "category",
        "year": "number",
    }
    assert (schema.task, schema.ignored, frame.height) == ("classification", (), 344)


def test_whole_decimals_are_labels_and_others_are_numbers():
    frame = pl.DataFrame({"x": range(40), "y": [0, 1] * 20}).with_columns(pl.col("y").cast(pl.Decimal(3, 0)))
    schema = infer_schema(frame, "y")
    assert schema.task == "classification"
    assert target_values(frame, schema).to_list() == [0, 1] * 20


@pytest.mark.parametrize("dtype", [pl.Int8, pl.Float64, pl.String, pl.Null])
def test_a_column_without_values_may_be_of_any_type(dtype):
    """As a file of one row has it, whatever the column was in training."""
    empty = pl.Series("c", [None, None], dtype)
    for kind in ("number", "boolean", "date"):
        assert canonical(empty, Column("c", kind)).to_list() == [None, None]


def test_a_target_of_numbers_with_a_word_among_them_is_not_taken_for_classes():
    frame = pl.DataFrame({"x": range(100), "y": [f"{i / 7:.4f}" for i in range(99)] + ["-"]})
    with pytest.raises(InputError, match="99 of 100 values of the target are numbers, but not '-'"):
        infer_schema(frame, "y")


@pytest.mark.parametrize("text", ["08.11.21", "2021-11-08 10:00:00 UTC"])
def test_dates_as_exports_have_them(text):
    frame = pl.DataFrame({"d": [text, text.replace("8", "9", 1)] * 10, "y": [0, 1] * 10})
    assert infer_schema(frame, "y").columns[0].kind == "date"


@pytest.mark.parametrize(
    ("values", "task", "said"),
    [
        (
            [*range(1, 11), 14, 15, 16],
            "regression",
            "13 whole numbers; if they stand for classes: --task classification",
        ),
        (range(10), "classification", "10 classes; if they are counts or grades: --task regression"),
        (range(3), "classification", ""),
        (range(100), "regression", ""),
        (np.arange(13) / 2, "regression", ""),
    ],
)
def test_what_few_whole_numbers_may_mean_as_well_is_said(values, task, said):
    target = pl.Series("y", np.repeat(np.array(list(values)), 20))
    frame = pl.DataFrame({"x": np.arange(len(target)) % 17, "y": target})
    assert infer_schema(frame, "y").task == task
    assert other_task(target, task) == said
