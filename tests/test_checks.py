"""Step one: what is said of a table, and what is not."""

import json
import re
from datetime import date

import numpy as np
import polars as pl
import pytest
from sklearn import datasets

from axonic.checks import CHECKS, check_rows, check_table
from axonic.data.schema import infer_schema
from axonic.types import Finding

N = 200
RNG = np.random.default_rng(0)
X = RNG.normal(size=N)
NOISE = RNG.normal(size=N)
CLASS = (X + NOISE > 0).astype(int)


@pytest.fixture(autouse=True)
def the_same_draws(state=RNG.bit_generator.state):
    """What a test draws does not hang on the tests before it."""
    RNG.bit_generator.state = state


def findings(target="y", task="auto", **columns) -> list[Finding]:
    frame = pl.DataFrame(columns, strict=False)
    return check_table(frame, infer_schema(frame, target, task))


def found(code: str, /, **columns) -> list[Finding]:
    return [finding for finding in findings(**columns) if finding.code == code]


def test_an_ordinary_table_passes_in_silence():
    assert findings(x=X, s=RNG.choice(["a", "b"], N), y=CLASS) == []
    assert findings(x=X, s=RNG.choice(["a", "b"], N), y=X + NOISE) == []


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "digits", "diabetes"])
def test_well_known_tables_raise_no_warning(name):
    bunch = getattr(datasets, f"load_{name}")()
    frame = pl.DataFrame(bunch.data).with_columns(y=pl.Series(bunch.target))
    found = check_table(frame, infer_schema(frame, "y"))
    assert [finding for finding in found if finding.severity != "info"] == []


def test_missing_values_and_missing_targets():
    gaps = [None, *X[1:]]
    many = [float(v) if i % 3 == 0 else None for i, v in enumerate(X)]
    level = [None if i % 2 else "a" for i in range(N)]
    result = found("data.missing", x=gaps, m=many, s=level, e=[None] * N, y=[None, None, *CLASS[2:]])
    assert {f.where: (f.severity, f.evidence["missing"]) for f in result} == {
        "y": ("warning", 2),
        "x": ("info", 1),
        "m": ("warning", 133),
        "s": ("info", 100),
        "e": ("warning", 200),
    }
    assert result[0].evidence["share"] == 2 / N


def test_infinite_values_are_an_error_with_the_first_row():
    (finding,) = found("data.infinite", x=[*X[:4], np.inf, *X[5:9], -np.inf, *X[10:]], y=CLASS)
    assert (finding.severity, finding.where) == ("error", "x")
    assert finding.evidence == {"infinite": 2, "rows": N, "first_row": 5}


def test_infinite_values_of_a_sample_are_named_by_their_row_in_the_file():
    frame = pl.DataFrame({"x": [1.0, np.inf, 2.0], "y": [0.5, 1.5, 2.5]})
    (finding,) = (f for f in check_table(frame, infer_schema(frame, "y"), [4, 17, 30]) if f.code == "data.infinite")
    assert finding.evidence["first_row"] == 18


def test_columns_left_out_are_named_with_the_reason():
    result = findings(
        x=X,
        c=[7] * N,
        d=[date(2020, 1, 1)] * N,
        user_id=RNG.permutation(N),
        note=[f"note no. {i}" for i in range(N)],
        l=[[1]] * N,
        y=CLASS,
    )
    assert {(f.code, f.where, f.severity) for f in result} == {
        ("data.constant", "c", "info"),
        ("data.constant", "d", "info"),
        ("data.id_like", "user_id", "info"),
        ("data.id_like", "note", "info"),
        ("data.unsupported_type", "l", "warning"),
    }


def test_a_repeated_column_is_named_with_its_twin():
    s = RNG.choice(["a", "b"], N)
    result = found("data.duplicate_column", x=X, s=s, twin=X, s2=s, spelt=[repr(float(v)) for v in X], y=CLASS)
    assert {(f.where, f.evidence["same_as"]) for f in result} == {("twin", "x"), ("s2", "s"), ("spelt", "x")}


def test_a_column_equal_up_to_the_last_row_is_no_twin():
    assert found("data.duplicate_column", x=X, near=[*X[:-1], 9.0], y=CLASS) == []


def test_repeated_rows_are_counted():
    (few,) = found("data.duplicate_rows", x=[*X, *X[:10]], y=[*CLASS, *CLASS[:10]])
    assert (few.severity, few.evidence["duplicates"]) == ("info", 10)
    (many,) = found("data.duplicate_rows", x=[*X, *X], y=[*CLASS, *CLASS])
    assert (many.severity, many.evidence["share"]) == ("warning", 0.5)
    assert found("data.duplicate_rows", x=[*X, *X], y=[*CLASS, *(1 - CLASS)]) == []


def test_few_rows_in_all_or_for_the_columns():
    assert found("data.few_rows", x=X[:30], y=CLASS[:30])[0].evidence == {"rows": 30, "columns": 1, "advised": 50}
    wide = {f"x{i}": RNG.normal(size=N) for i in range(60)}
    assert found("data.few_rows", **wide, y=CLASS)[0].evidence["advised"] == 300


def test_rows_sorted_by_the_target():
    assert found("data.sorted", x=X, y=np.sort(CLASS))[0].severity == "info"
    assert found("data.sorted", x=X, y=["b"] * 70 + ["c"] * 60 + ["a"] * 70)[0].evidence["runs"] == 3
    for order in (1, -1):
        assert len(found("data.sorted", x=X, y=np.sort(X + NOISE)[::order])) == 1
    assert found("data.sorted", x=X, y=[*np.sort(X)[1:], -9.0]) == []


def test_imbalance_and_rare_classes():
    y = ["common"] * 190 + ["rare"] * 10
    (finding,) = found("data.imbalance", x=X, y=RNG.permutation(y))
    assert finding.evidence == {"ratio": 19.0, "most": 190, "least": 10, "share_of_most": 0.95}
    assert found("data.rare_class", x=X, y=RNG.permutation(y)) == []
    (finding,) = found("data.rare_class", x=X, y=RNG.permutation([*y[:-1], "odd", "odd", "odd"][-N:]))
    assert finding.evidence["classes"] == {"odd": 3, "rare": 9}
    assert found("data.imbalance", x=X, y=["a"] * 180 + ["b"] * 20) == []


def test_a_column_that_is_the_target_in_another_guise_leaks():
    labels = np.array(["no", "yes"])[CLASS]
    assert [f.where for f in found("data.leak", x=X, code=CLASS * 5 + 3, y=labels)] == ["code"]
    price = X + NOISE
    result = found("data.leak", x=X, cents=100 * price + 7, minus=-price, gaps=[None, *price[1:]], y=price)
    assert {f.where for f in result} == {"cents", "minus", "gaps"}
    assert all(abs(f.evidence["correlation"]) > 0.9999 for f in result)


def test_a_column_that_merely_predicts_well_is_not_accused():
    y = X + NOISE
    assert found("data.leak", x=y + 0.05 * X, y=y) == []
    almost = CLASS.copy()
    almost[0] = 1 - almost[0]
    assert found("data.leak", x=almost, y=CLASS) == []
    finer = CLASS * 2 + (X > 1)
    assert found("data.leak", x=finer, y=CLASS) == []
    assert found("data.leak", x=[0, 1] * 5, z=X[:10], y=["a", "b"] * 5) == []


def test_extreme_numbers_are_no_leak_and_no_crash():
    huge = 1e300 * X
    assert found("data.leak", x=huge, y=NOISE) == []
    assert [f.where for f in found("data.leak", x=huge, y=X)] == ["x"]
    assert found("data.leak", x=[np.inf, *X[1:]], y=NOISE) == []


def test_errors_come_first():
    result = findings(x=[np.inf, *X[1:]], c=[1] * N, y=RNG.permutation(["a"] * 195 + ["b"] * 5))
    order = [finding.severity for finding in result]
    assert order == sorted(order, key=["error", "warning", "info"].index)
    assert order[0] == "error"


def test_every_finding_is_ready_for_json_and_written_out():
    everything = findings(
        x=[np.inf, *X[1:]],
        c=[date(2020, 1, 1)] * N,
        e=[None] * N,
        l=[[1]] * N,
        a=CLASS,
        b=CLASS,
        id=range(N),
        y=np.array(["no", "yes"])[np.where(np.arange(N) < 195, 0, 1)],
    )
    assert len({finding.code for finding in everything}) >= 7
    for finding in everything:
        json.dumps(finding.evidence, allow_nan=False)
        assert re.fullmatch(r"data\.[a-z_]+", finding.code)
        assert finding.evidence
        assert finding.cause.endswith(".")
        assert finding.remedy.endswith(".")


def test_each_check_says_which_code_it_gives():
    for check in CHECKS:
        assert re.match(r"data\.[a-z_]+: ", check.__doc__ or ""), check.__name__


def test_a_few_words_among_numbers_or_dates_are_pointed_at():
    numbers = [f"{value:.3f}" for value in X]
    days = [str(date(2000 + i // 300, 1 + i % 12, 1 + i % 28)) for i in range(N)]
    numbers[7], days[3] = "unknown", "9999-12-31"
    ages = [str(20 + i % 40) for i in range(N)]
    ages[5] = ages[9] = "-"
    result = found("data.mixed", n=numbers, d=days, a=ages, t=["x y", "z"] * (N // 2), y=CLASS)
    assert {f.where: (f.severity, f.evidence["first_other"], f.evidence["first_row"]) for f in result} == {
        "n": ("warning", "unknown", 8),
        "d": ("warning", "9999-12-31", 4),
        "a": ("info", "-", 6),
    }
    (target,) = found("data.mixed", x=X, y=ages)
    assert (target.where, target.severity) == ("y", "warning")
    assert found("data.mixed", s=["S", "M", *["38", "39", "40"] * 66], y=CLASS) == []


def test_rows_that_differ_in_a_column_left_out_are_no_copies_in_every_column():
    few = [i % 5 for i in range(N)]
    (alike,) = found("data.duplicate_rows", s=few, y=[v % 2 for v in few])
    assert alike.severity == "warning"
    (told,) = found("data.duplicate_rows", order_id=list(range(N)), s=few, y=[v % 2 for v in few])
    assert (told.severity, told.evidence["duplicates"]) == ("info", alike.evidence["duplicates"])
    assert "every column that is used" in told.cause


def test_classes_that_differ_only_in_case_are_pointed_at():
    (told,) = found("data.case", x=X, y=["Yes", "No", "yes", "NO"] * (N // 4))
    assert (told.where, told.severity) == ("y", "warning")
    assert told.evidence == {"classes": [["NO", "No"], ["Yes", "yes"]]}
    assert "'NO' and 'No'" in told.cause
    assert found("data.case", x=X, y=["Yes", "No"] * (N // 2)) == []
    assert found("data.case", x=X, s=["Yes", "yes"] * (N // 2), y=CLASS) == []


def test_a_category_many_of_whose_values_are_rare_is_pointed_at():
    y = np.random.default_rng(0).integers(0, 2, 800)
    levels = [f"l{i % 50}" for i in range(500)] + [f"r{i % 100}" for i in range(300)]
    (told,) = found("data.rare_levels", s=levels, y=y)
    assert (told.where, told.severity) == ("s", "warning")
    assert told.evidence == {"distinct": 150, "rare": 100, "rows": 300, "share": 0.375}
    assert found("data.rare_levels", s=levels[:650] + ["l0"] * 150, y=y) == []
    assert found("data.rare_levels", s=[f"l{i % 53}" for i in range(800)], y=y) == []
    assert found("data.rare_levels", s=levels, y=[level[1:] in "02468" for level in levels]) == []  # three rows tell


def test_an_array_with_an_id_among_its_names_is_warned_of():
    ids, y = RNG.permutation(N) * 7.0, X + NOISE
    x = np.stack([X, ids, ids // 14], axis=1)
    told = [f for f in check_rows(x, y, "regression", ["x", "customer_id", "shop_id"]) if f.code == "data.id_like"]
    assert [(f.where, f.severity) for f in told] == [("customer_id", "warning")]
    assert [f for f in check_rows(x, y, "regression") if f.code == "data.id_like"] == []
