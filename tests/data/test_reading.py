"""Reading tables: what a user gives, what a user is told."""

import csv
import io
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from axonic.data import reading
from axonic.data.reading import Blocks, Spelling, decimal_mark, delimited, layout, read_table
from axonic.data.schema import infer_schema
from axonic.data.values import MISSING, as_numbers, spelt
from axonic.errors import InputError

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, content: str | bytes, name: str = "t.csv") -> pl.DataFrame:
    return read_table(written(folder, content, name))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "HEAD_BYTES", 64)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 64)


across_blocks = pytest.mark.usefixtures("small_blocks")


# ---------------------------------------------------------------------------------------------------------------------
# Reading what is right
# ---------------------------------------------------------------------------------------------------------------------


def test_numbers_text_and_missing_arrive_as_what_they_are(tmp_path):
    frame = read(tmp_path, "n,x,s\n1,0.5,a\nNA,?,b c\n-3,1e-3,#N/A\n")
    assert frame.rows() == [(1, 0.5, "a"), (None, None, "b c"), (-3, pytest.approx(1e-3), None)]
    assert frame["x"].dtype == pl.Float32
    assert frame["n"].dtype.is_integer()


@pytest.mark.parametrize("token", ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "?", "#N/A", " ? "])
def test_each_missing_token_is_missing_among_numbers_and_text(tmp_path, token):
    frame = read(tmp_path, f"x,s,k\n1.5,a,0\n{token},{token},1\n2.5,b,2\n")
    assert frame["x"].to_list() == [1.5, None, 2.5]
    assert frame["s"].to_list() == ["a", None, "b"]


def test_column_names_lose_blanks_and_byte_order_mark(tmp_path):
    assert read(tmp_path, b"\xef\xbb\xbf a , b\n1,2\n").columns == ["a", "b"]


def test_blanks_windows_line_ends_and_blank_lines_do_not_matter(tmp_path):
    frame = read(tmp_path, "a,b\r\n 1 , x y \r\n\r\n2,z\r\n   \r\n\r\n")
    assert frame.rows() == [(1, "x y"), (2, "z")]


def test_quoted_fields_may_hold_separators_quotes_and_line_ends(tmp_path):
    frame = read(tmp_path, 'a,b\n"x\ny, z",1\n"say ""hi""",2\n, "3"\n')
    assert frame.rows() == [("x\ny, z", 1), ('say "hi"', 2), (None, 3)]


def test_a_stray_quote_inside_a_field_is_text(tmp_path):
    assert read(tmp_path, 'a,b\n5" pipe,1\n6 pipe,2\n')["a"].to_list() == ['5" pipe', "6 pipe"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "a;b\n1.5;x,y\n2;z\n"),
        ("t.csv", "a;b\n1,5;x,y\n2;z\n"),
        ("t.csv", '"a";"b"\n"1,5";"x,y"\n"2";"z"\n'),
        ("t.csv", '"a";"b"\r\n"1.5";"x,y"\r\n"2";"z"\r\n'),
        ("t.csv", "a\tb\n1.5\tx,y\n2\tz\n"),
        ("t.tsv", "a\tb\n1.5\tx,y\n2\tz\n"),
        ("T.CSV", 'a,b\n1.5,"x,y"\n2,z\n'),
        ("t.csv", 'a,b\n"1,5","x,y"\n2,z\n'),
        ("t.csv", '"a", "b"\r\n"1,5", "x,y"\r\n"2", "z"\r\n'),
    ],
)
def test_separators_and_decimal_commas(tmp_path, name, content):
    assert read(tmp_path, content, name).rows() == [(1.5, "x,y"), (2.0, "z")]


@pytest.mark.parametrize("point", [",", "."])
@pytest.mark.parametrize("quote", ["", '"'])
def test_the_first_fraction_may_come_late(tmp_path, monkeypatch, point, quote):
    monkeypatch.setattr(layout, "HEAD_BYTES", 1 << 17)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 17)
    whole, words = 20_000, ["1,5,7", "x"]
    rows = [f"{quote}{i}{quote};{words[i % 2]}" for i in range(whole)]
    rows += [f"{quote}{i}{point}25{quote};{words[i % 2]}" for i in range(30_000)]
    path = written(tmp_path, "a;b\n" + "\n".join(rows) + "\n")
    blocks = reading.Blocks(path)
    blocks.settle()
    for frame in (read_table(path), pl.concat(blocks)):
        assert frame["a"].to_list() == [*range(whole), *(i + 0.25 for i in range(30_000))]
        assert frame["b"].to_list() == words * 25_000


@pytest.mark.parametrize("quote", ["", '"'])
def test_points_set_thousands_apart_where_fractions_have_a_comma(tmp_path, monkeypatch, quote):
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 12)
    fields = {"1.234": 1234, "12,5": 12.5, "1.234.567,25": 1234567.25, "-3": -3, "999": 999, "0,125": 0.125}
    rows = [f"{quote}{field}{quote};{quote}{field} €{quote};v1.234,x" for field in fields] * 300
    path = written(tmp_path, "a;b;c\n" + "\n".join(rows) + "\n")
    blocks = reading.Blocks(path)
    blocks.settle()
    for frame in (read_table(path), pl.concat(blocks)):
        assert frame["a"].to_list() == [*fields.values()] * 300
        assert spelt(frame["b"]).to_list() == [*fields.values()] * 300
        assert frame["c"].unique().to_list() == ["v1.234,x"]


def test_between_commas_quoted_fractions_have_a_comma_wherever_they_stand(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 12)
    fields = {"1.234": 1234, "7": 7, "1,234": 1.234, "-0,25": -0.25, "1.234,5": 1234.5, "12,5": 12.5}
    rows = [f'{i},"{field}","{field} kg","Smith, J","1,2,3"' for i, field in enumerate(fields)]
    for some in (rows * 300, rows[::-1] * 300):
        path = written(tmp_path, "n,a,b,c,d\n" + "\n".join(some) + "\n")
        blocks = reading.Blocks(path)
        first = list(blocks)
        for frame in (read_table(path), pl.concat(blocks.typed(block) for block in first), pl.concat(blocks)):
            assert frame["n"].dtype.is_integer()
            expected = [list(fields.values())[i] for i in frame["n"]]
            assert frame["a"].to_list() == pytest.approx(expected)
            assert as_numbers(frame["b"], unit="kg").to_list() == pytest.approx(expected)
            assert frame[["c", "d"]].unique().rows() == [("Smith, J", "1,2,3")]


@pytest.mark.parametrize("fraction", ["", "0.5", '"1,234.50"', '"1,234,567"'])
def test_between_commas_quoted_thousands_stay_thousands(tmp_path, fraction):
    values = ["1,234", "999", "12,345"]
    path = written(tmp_path, "a,b\n" + "".join(f'"{value}",{fraction}\n' for value in values))
    blocks = reading.Blocks(path)
    blocks.settle()
    for frame in (read_table(path), pl.concat(blocks)):
        assert frame["a"].to_list() == values
        assert as_numbers(frame["a"]).to_list() == [1234, 999, 12345]


def test_a_number_cut_off_where_the_first_bytes_end_tells_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "FIRST_BYTES", 64)
    for start in range(20):
        rows = f"{'9' * start},x\n" + '"1,234",x\n' * 20
        assert reading.decimal_mark(written(tmp_path, "a,b\n" + rows)) is None
        assert reading.decimal_mark(written(tmp_path, "a\tb\n" + rows.replace(",x", "\tx"), "t.tsv")) is None


@pytest.mark.parametrize("separator", [",", ";"])
def test_quoted_fractions_with_a_comma_are_numbers_of_the_schema(tmp_path, separator):
    rows = [(f"{i / 10}".replace(".", ","), i % 50, f"{i % 70},5 kg", "uv"[i % 2], f"{i},25") for i in range(200)]
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator, quoting=csv.QUOTE_NONNUMERIC).writerows([[*"abcdy"], *rows])
    schema = infer_schema(read(tmp_path, buffer.getvalue()), "y")
    assert schema.task == "regression"
    assert [column.kind for column in schema.columns] == ["number", "number", "number", "category"]


def test_separators_inside_a_quoted_header_do_not_count(tmp_path):
    frame = read(tmp_path, '"Gewicht, kg";"Höhe";y\n1,5;2;a\n2,5;3;b\n')
    assert frame.columns == ["Gewicht, kg", "Höhe", "y"]
    assert frame["Gewicht, kg"].to_list() == [1.5, 2.5]
    assert read(tmp_path, '"a, b"\tc\n1.5\t2\n').columns == ["a, b", "c"]


def test_a_first_line_for_spreadsheets_tells_the_separator(tmp_path):
    frame = read(tmp_path, "sep=;\r\na;b, c\r\n1,5;2\r\n")
    assert frame.to_dict(as_series=False) == {"a": [1.5], "b, c": [2]}


def test_between_tabs_a_comma_is_a_decimal_point_if_it_can_be_nothing_else(tmp_path):
    frame = read(tmp_path, "a\tb\n0,5\t1,664\n-0,132\t1.234,5\n", "t.tsv")
    assert frame["a"].to_list() == pytest.approx([0.5, -0.132])
    assert frame["b"].to_list() == pytest.approx([1.664, 1234.5])
    assert read(tmp_path, "a\tb\n5\t1,664\n6\t2,000\n", "t.tsv")["b"].to_list() == ["1,664", "2,000"]
    assert read(tmp_path, "a\tb\n0.5\t0,5\n6\t2\n", "t.tsv")["a"].to_list() == [0.5, 6]


def test_a_point_before_three_digits_is_a_decimal_point_if_no_fraction_has_a_comma(tmp_path):
    assert read(tmp_path, "a;b\n1.234;x,y\n12.125;z\n")["a"].to_list() == pytest.approx([1.234, 12.125])
    late = "a;b\n" + "1;x\n" * 40_000 + "1.234;x\n"
    assert read(tmp_path, late)["a"][-1] == pytest.approx(1.234)


@pytest.mark.parametrize(
    ("fields", "name", "mark"),
    [
        (("1,5", "1.500"), "t.csv", ","),
        (("1.234,567", "1.500"), "t.tsv", ","),
        (("1,234.567", "1.500"), "t.csv", "."),
        (("1.5", "1.500"), "t.tsv", "."),
        (("1,500", "3"), "t.csv", ","),
        (("1.500", "3"), "t.csv", None),
        (("1,500", "3"), "t.tsv", None),
        (("3", "x"), "t.csv", None),
    ],
)
def test_the_decimal_mark_of_a_file_is_told_if_it_is_known(tmp_path, fields, name, mark):
    separator = "\t" if name == "t.tsv" else ";"
    path = written(tmp_path, "a{0}b\n{1}{0}x\n{2}{0}y\n".format(separator, *fields), name)
    assert reading.decimal_mark(path) == mark


@pytest.mark.parametrize(
    ("fields", "mark"),
    [
        (("1,5", "1,500"), ","),
        (("1.234,5", "1,500"), ","),
        (("-0,25 %", "x"), ","),
        (("€ 1,5", "10"), ","),
        (("1,5 kg", "12 kg"), ","),
        (("1,234.50", "1,500"), "."),
        (("1.5", "2,5"), "."),
        (("1,234,567", "12,5"), "."),
        (("1,500", "3"), None),
        (("1,500 kg", "1,234"), None),
        (("Smith, J", "1,2,3"), None),
        (("10, 20", "(0,18]"), None),
        (('"1,5"', "one\n1.5\ntwo\n2,5\n"), None),
    ],
)
def test_the_decimal_mark_between_commas_is_told_by_quoted_numbers(tmp_path, fields, mark):
    for some in (fields, fields[::-1]):
        buffer = io.StringIO()
        csv.writer(buffer).writerows([("a", "b"), *((7, field) for field in some)])
        assert reading.decimal_mark(written(tmp_path, buffer.getvalue())) == mark
    assert reading.decimal_mark(written(tmp_path, buffer.getvalue() + '1.5,"1,5"\r\n')) == "."


def test_columnar_files_have_no_decimal_mark(tmp_path):
    frame = read(tmp_path, "a,b\n1.5,x\n")
    frame.write_parquet(tmp_path / "t.parquet")
    assert reading.decimal_mark(tmp_path / "t.parquet") is None


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
@pytest.mark.parametrize(
    ("field", "with_points", "with_commas"), [("1.500", 1.5, 1500), ("1,500", "1,500", 1.5), ("0,5", 0.5, 0.5)]
)
def test_a_decimal_mark_is_believed_where_the_file_does_not_tell(tmp_path, name, field, with_points, with_commas):
    path = written(tmp_path, "a{0}b\n{1}{0}x\n".format("\t" if name == "t.tsv" else ";", field), name)
    for mark, value in ((".", with_points), (",", with_commas)):
        blocks = reading.Blocks(path, Spelling(mark))
        blocks.settle()
        for frame in (read_table(path, Spelling(mark)), pl.concat(blocks)):
            assert frame["a"].to_list() == [value]


@pytest.mark.parametrize(
    ("field", "mark", "value"),
    [
        ('"1,234"', None, "1,234"),
        ('"1,234"', ".", "1,234"),
        ('"1,234"', ",", 1.234),
        ('"1,5"', None, 1.5),
        ('"1,5"', ".", "1,5"),  # a list, as in the files of others
        ('"1,5"', ",", 1.5),
        ("1.234", ".", 1.234),
        ("1.234", ",", 1234),
        ("1.5", ",", 1.5),
        ("7", ",", 7),
    ],
)
def test_a_decimal_mark_is_believed_between_commas(tmp_path, field, mark, value):
    path = written(tmp_path, f"a,b\n{field},3\n")
    blocks = reading.Blocks(path, Spelling(mark))
    blocks.settle()
    for frame in (read_table(path, Spelling(mark)), pl.concat(blocks)):
        assert frame["a"].to_list() == [value if isinstance(value, str) else pytest.approx(value)]


@across_blocks
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_a_column_that_is_known_to_be_text_keeps_its_spelling(tmp_path, name):
    separator = "\t" if name == "t.tsv" else ","
    values = ["1.1", "1.10", "007", "2.50", None] * 20
    path = written(tmp_path, f"v{separator}x\n" + "".join(f" {v or 'NA'} {separator}1.10\n" for v in values), name)
    spelling = Spelling(text=["v", "no such column"])
    blocks = reading.Blocks(path, spelling)
    first = [blocks.typed(block) for block in list(blocks)]
    for frame in (read_table(path, spelling), pl.concat(first), pl.concat(blocks)):
        assert frame["v"].to_list() == values
        assert frame["x"].cast(pl.Float64).to_list() == pytest.approx([1.1] * 100)


def test_a_fraction_with_a_comma_is_no_number_beside_those_with_a_point(tmp_path):
    for quote in ("", '"'):
        for other in (f"{quote}1.5{quote};1,5\n2;2,5\n", f'{quote}1.5{quote},"1,5"\n2,"2,5"\n'):
            frame = read(tmp_path, f"a{';' if ';' in other else ','}b\n{other}")
            assert frame.rows() == [(1.5, "1,5"), (2.0, "2,5")]


def test_a_number_with_a_fraction_late_in_a_column_of_whole_numbers(tmp_path):
    frame = read(tmp_path, "x\n" + "".join(f"{i}\n" for i in range(30_000)) + "0.5\n")
    assert frame["x"].dtype.is_float()
    assert frame["x"][29_999] == 29_999
    assert frame["x"][-1] == 0.5


@across_blocks
def test_text_late_in_a_column_of_numbers_keeps_the_spelling_of_all(tmp_path):
    values = [f"{i}.50" for i in range(100)] + ["n/a", "twelve", "007"]
    frame = read(tmp_path, "x,k\n" + "".join(f"{value},{i}\n" for i, value in enumerate(values)))
    assert frame["x"].to_list() == [None if value == "n/a" else value for value in values]
    assert frame["k"].to_list() == list(range(103))


@across_blocks
def test_codes_with_zeros_in_front_stay_text_wherever_they_stand(tmp_path):
    zips = [f"{i:05d}" for i in [*range(10_000, 10_050), 1234, 99, *range(20_000, 20_050)]]
    frame = read(tmp_path, "zip,n\n" + "".join(f"{code},{i}\n" for i, code in enumerate(zips)))
    assert frame["zip"].to_list() == zips


def test_large_whole_numbers_are_exact(tmp_path):
    exact = [2**53 + 1, 2**63 - 1, -(2**62) - 1]
    frame = read(tmp_path, "a,b\n" + "".join(f"{n},{n}{n}\n" for n in exact[:2]) + f"{exact[2]},1\n")
    assert frame["a"].to_list() == exact
    assert frame["b"].to_list() == [f"{n}{n}" for n in exact[:2]] + ["1"]


@across_blocks
@example(rows=[("\ufeff", 0, 0.0)])  # polars takes it for a mark of the encoding wherever a block begins
@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], include_characters="\n\t"), max_size=8),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False),
        ),
        min_size=1,
        max_size=30,
    )
)
@QUICK
def test_what_pythons_csv_writes_is_read_back(tmp_path, rows):
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("t x", "n", "f"), *rows])
    frame = read(tmp_path, buffer.getvalue())
    text = [None if t.strip() in MISSING else t.strip() for t, _, _ in rows]
    if all(t is None or not is_number(t) for t in text):
        assert frame["t x"].fill_null("-").to_list() == ["-" if t is None else t for t in text]
    assert frame["n"].to_list() == [n for _, n, _ in rows]
    floats = [f for _, _, f in rows]
    np.testing.assert_allclose(frame["f"].cast(pl.Float64).to_numpy(), floats, rtol=1e-7, atol=1e-37)


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather", "stream.arrow"])
def test_columnar_files_give_the_same_values(tmp_path, suffix):
    frame = pl.DataFrame(
        {
            "x": np.random.default_rng(0).normal(size=50),
            "n": [None, *range(49)],
            "s": ["a", None] * 25,
            "d": [date(2020, 1, 1)] * 50,
            "b": [True, False] * 25,
            "c": pl.Series(["u", "v"] * 25, dtype=pl.Categorical),
        }
    )
    path = tmp_path / f"t{suffix}"
    {".parquet": frame.write_parquet, "stream.arrow": frame.write_ipc_stream}.get(suffix, frame.write_ipc)(path)
    back = read_table(path)
    np.testing.assert_allclose(back["x"].to_numpy(), frame["x"].to_numpy(), rtol=1e-7)
    assert back.drop("x").cast({"n": pl.Int64}).equals(frame.drop("x"))
    assert back["x"].dtype == pl.Float32


def test_a_file_name_with_wildcards_is_taken_literally(tmp_path):
    path = tmp_path / "a[1]*.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(path)
    assert read_table(path).rows() == [(1,)]


@pytest.mark.parametrize(
    "values",
    [1e9 + np.linspace(0, 1e-3, 50), np.array([1e300, -1e300, 1.0]), np.array([1e39, 1.0]), 100 + np.arange(9) * 1e-9],
    ids=["offset", "huge", "beyond float32", "tiny variation"],
)
def test_precision_that_matters_is_kept(tmp_path, values):
    frame = read(tmp_path, "x\n" + "".join(f"{value!r}\n" for value in values.tolist()))
    np.testing.assert_array_equal(frame["x"].to_numpy(), values)


def test_reading_needs_no_second_copy_of_the_table(tmp_path):
    """A child process reads 400,000 x 10 numbers (73 MB of text, 16 MB as float32) in far less than the text's size."""
    path = tmp_path / "wide.csv"
    block = pl.DataFrame(np.random.default_rng(0).normal(size=(20_000, 10)))
    with open(path, "wb") as file:
        for i in range(20):
            file.write(block.write_csv(include_header=i == 0).encode())
    script = (
        "import sys, resource; from axonic.data.reading import read_table\n"
        "unit = 1 if sys.platform == 'darwin' else 1024\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit\n"
        "import polars; polars.read_csv(b'a\\n1\\n'); before = peak(); frame = read_table(sys.argv[1])\n"
        "print(frame.height, frame.estimated_size(), peak() - before)"
    )
    result = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    rows, size, grown = map(int, result.stdout.split())
    assert rows == 400_000
    assert size == 16_000_000
    assert grown < size + 80e6


# ---------------------------------------------------------------------------------------------------------------------
# Refusing what is wrong
# ---------------------------------------------------------------------------------------------------------------------

PARQUET = io.BytesIO()
pl.DataFrame({"a": range(1000)}).write_parquet(PARQUET)
NO_COLUMNS = io.BytesIO()
pl.DataFrame().write_parquet(NO_COLUMNS)
ARROW = io.BytesIO()
pl.DataFrame({"a": range(1000)}).write_ipc(ARROW)

BAD_FILES = {
    "no extension": ("t", "a\n1\n", "no extension", ".csv, .tsv, .parquet, .arrow, .feather"),
    "unknown extension": ("t.xlsx", "a\n1\n", "unknown file type '.xlsx'", ".csv, .tsv, .parquet"),
    "empty": ("t.csv", "", "file is empty", "header"),
    "blank": ("t.csv", " \n\n", "file is empty", "header"),
    "header only": ("t.csv", "a,b\n", "no rows", "at least one row"),
    "header and blank lines": ("t.csv", "a,b\r\n\r\n \r\n", "no rows", "at least one row"),
    "binary": ("t.csv", bytes(range(256)), "binary data", "saved as text"),
    "binary later": ("t.csv", "a,b\n1,2\n3,\0\n", "binary data", "t.csv, line 3"),
    "spreadsheet": ("t.csv", b"PK\x03\x04....", "spreadsheet", "as CSV"),
    "gzip": ("t.csv", b"\x1f\x8b\x08....", "gzip", "gunzip"),
    "parquet as csv": ("t.csv", PARQUET.getvalue(), "a Parquet file", ".parquet"),
    "utf-16": ("t.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16", "iconv -f UTF-16"),
    "latin-1 header": (
        "t.csv",
        "größe,b\n1,2\n".encode("latin-1"),
        "byte 0xf6 at position 3",
        "line 1): save it as UTF",
    ),
    "latin-1 value": (
        "t.csv",
        "a,b\n1,2\n3,é\n".encode("latin-1"),
        "byte 0xe9 at position 3",
        "line 3): save it as UTF",
    ),
    "windows value": ("t.csv", "a,b\n1,“23 °C”\n2,5 µm\n3,°F\n".encode("cp1252"), "byte 0x93", "iconv -f LATIN1"),
    "chinese": ("t.csv", "姓名,b\n王小明,2\n".encode("gb18030"), "byte 0xd0 at position 1", "iconv -f GB18030"),
    "short row": ("t.csv", "a,b\n1,2\n3\n4,5\n", "a row has 1 field where the header has 2", "t.csv, row 2, line 3"),
    "short first row": ("t.csv", "a,b\n1\n4,5\n", "a row has 1 field where the header has 2", "t.csv, row 1, line 2"),
    "long row": ("t.csv", "a,b\n1,2\n3,4,5\n", "a row has 3 fields where the header has 2", "t.csv, row 2, line 3"),
    "long and short": ("t.csv", "a,b\n1,2,3\n4\n", "a row has 3 fields where the header has 2", "t.csv, row 1, line 2"),
    "long after quotes": ("t.csv", 'a,b\n"x\ny",2\n\n3,4,5\n', "has 3 fields", "t.csv, row 2, line 5"),
    "open quote": ("t.csv", 'a,b\n1,2\nx,"abc\n3,4\n', "not closed", "t.csv, row 2, line 3"),
    "text after quote": ("t.csv", 'a,b\n1,"x"y\n', "not closed", "double each quote mark"),
    "repeated name": ("t.csv", "a,b,a\n1,2,3\n", "'a' stands twice, at columns 1 and 3", "its own name"),
    "repeated after blanks": ("t.csv", "a,b, a\n1,2,3\n", "'a' stands twice", "its own name"),
    "no name": ("t.csv", ",a\n0,1\n", "column 1 of 2 has no name", "index=False"),
    "no header": ("t.csv", "1.5,2\n0,1\n", "holds numbers, not names", "column names above"),
    "old line ends": ("t.csv", "a,b\r1,2\r", "lone carriage return", "line ends"),
    "empty parquet": ("t.parquet", b"", "file is empty", "at least one row"),
    "no parquet": ("t.parquet", b"hello", "not a whole Parquet file", "write it again"),
    "parquet cut short": ("t.parquet", PARQUET.getvalue()[:-30], "not a whole Parquet file", "write it again"),
    "parquet without columns": ("t.parquet", NO_COLUMNS.getvalue(), "the table has no columns", "one column"),
    "no arrow": ("t.arrow", b"hello", "not a whole Arrow file", "write it again"),
    "arrow cut short": ("t.arrow", ARROW.getvalue()[:-30], "not a whole Arrow file", "write it again"),
    "arrow start only": ("t.feather", b"ARROW1\0\0", "not a whole Arrow file", "write it again"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_refused_in_one_line_that_says_what_where_and_how(tmp_path, case):
    name, content, what, how = BAD_FILES[case]
    path = written(tmp_path, content, name)
    with pytest.raises(InputError) as refused:
        read_table(path)
    message = str(refused.value)
    assert what in message
    assert how in message
    assert str(path) in message
    assert "\n" not in message
    assert "polars" not in message.lower()


@pytest.mark.parametrize("case", ["parquet without columns", "parquet cut short", "empty parquet", "repeated name"])
def test_bad_file_is_refused_alike_when_it_is_read_in_parts(tmp_path, case):
    name, content, what, how = BAD_FILES[case]
    path = written(tmp_path, content, name)
    with pytest.raises(InputError, match=rf"{what} \({path}.*\): .*{how}"):
        reading.Blocks(path)


@across_blocks
def test_rows_are_numbered_across_blocks(tmp_path):
    with pytest.raises(InputError, match=r"row 801, line 802"):
        read(tmp_path, "a,b\n" + "10,200\n" * 800 + "1\n")
    with pytest.raises(InputError, match=r"byte 0xff .*line 802"):
        read(tmp_path, b"a,b\n" + b"10,200\n" * 800 + b"1,\xff\n")


def test_no_such_file_suggests_the_near_name(tmp_path):
    written(tmp_path, "a\n1\n", "cars.csv")
    with pytest.raises(InputError, match=r"no such file .*did you mean cars\.csv"):
        read_table(tmp_path / "car.csv")
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "nowhere" / "car.csv")


def test_folder_unreadable_and_impossible_paths(tmp_path, monkeypatch):
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(InputError, match="this is a folder"):
        read_table(tmp_path / "d.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / ("x" * 300 + ".csv"))
    with pytest.raises(InputError, match="cannot be read"):
        read_table("a\0b.csv")

    def forbid(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", forbid)
    with pytest.raises(InputError, match="no permission to read the file"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "t.arrow", "t.feather"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_refused_before_it_is_opened(tmp_path, monkeypatch, name, linked):
    pipe = tmp_path / ("pipe" if linked else name)
    os.mkfifo(pipe)
    if linked:
        (tmp_path / name).symlink_to(pipe)
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("it was opened"))
    says = rf"this is a pipe, which can be read once only \(.*{name}\): write it to a file first"
    for reads in (read_table, Blocks, decimal_mark):
        if reads is decimal_mark and name not in ("t.csv", "t.tsv"):
            assert reads(tmp_path / name) is None
        elif reads is not Blocks or name not in ("t.arrow", "t.feather"):
            with pytest.raises(InputError, match=says):
                reads(tmp_path / name)


def test_standard_input_under_another_name_is_a_pipe(tmp_path):
    (tmp_path / "t.csv").symlink_to("/dev/stdin")
    command = [
        sys.executable,
        "-c",
        f"from axonic.data.reading import read_table; read_table({str(tmp_path / 't.csv')!r})",
    ]
    ended = subprocess.run(command, input="a,b\n1,2\n", capture_output=True, text=True, timeout=60)
    assert "this is a pipe, which can be read once only" in ended.stderr


def test_a_device_is_refused(tmp_path):
    (tmp_path / "t.csv").symlink_to(os.devnull)
    with pytest.raises(InputError, match="this is a device"):
        read_table(tmp_path / "t.csv")


@across_blocks
def test_a_quote_that_is_never_closed_does_not_swallow_a_large_file(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "MAX_ROW_BYTES", 1000)
    with pytest.raises(InputError, match="a quote mark that is never closed"):
        read(tmp_path, 'a,b\n"x,1\n' + "1,2\n" * 1000)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("GB18030", "编号,城市,性别,金额\n1,北京,男,20.5\n2,上海,女,3\n"),
        ("GB18030", "id,sex\n" + "1,男\n2,女\n" * 9),
        ("GB18030", "id,room\n1,A座1单元\n2,B座2单元\n"),
        ("BIG5", "編號,城市,性別,金額\n1,臺北,男,20.5\n2,高雄,女,3\n"),
        ("SHIFT_JIS", "番号,サイズ,価格\n1,とても大きい,20.5\n2,普通,3\n"),
        ("EUC-KR", "번호,도시,성별\n1,서울,남\n2,부산,여\n"),
        ("LATIN1", "größe,Länge,straße\n1,Öl,é\n"),
        ("LATIN1", "city,n\nSão Paulo,1\nCAÑÓN,2\nÄnderung,3\nMÜSLÜM,4\n"),
        ("LATIN1", "temperature °C,length µm,area m²\n1,2,3\n"),
        ("LATIN1", "note\nnaïve café à la crème\nŒuvre\n"),
    ],
)
def test_the_encoding_of_other_text_is_guessed(tmp_path, encoding, text):
    with pytest.raises(InputError, match=f"not UTF-8: .*iconv -f {encoding} -t UTF-8"):
        read(tmp_path, text.encode("cp1252" if encoding == "LATIN1" else encoding))


def test_decimal_commas_behind_the_minus_sign_of_print(tmp_path):
    frame = read(tmp_path, "a;b\n−1,5;x\n２，５;y\n3,5;z\n")
    assert frame["a"].to_list() == [-1.5, 2.5, 3.5]


def test_decimal_commas_before_a_unit(tmp_path):
    frame = read(tmp_path, "weight;y;note\n1,5 kg;1.250,5 EUR;5,5 or 6\n12 Kg;3 EUR;none\n")
    assert as_numbers(frame["weight"], unit="kg").to_list() == [1.5, 12.0]
    assert as_numbers(frame["y"], unit="eur").to_list() == [1250.5, 3.0]
    assert frame["note"].to_list() == ["5,5 or 6", "none"]


def test_a_number_with_a_decimal_comma_is_spelt_alike_whatever_stands_in_other_rows(tmp_path):
    rows = ["1,5 kg;1,74 EUR", "2 kg;40,8 EUR", "3,5 m;6,2 USD"]
    whole = read(tmp_path, "\n".join(["size;price", *rows]))
    apart = [read(tmp_path, f"size;price\n{row}\n1,5;2,5\n").head(1) for row in rows]
    assert whole.rows() == [part.row(0) for part in apart]
    with pytest.raises(InputError, match=r"6.2 USD.*of EUR") as refused:
        as_numbers(whole["price"], unit="EUR")
    assert "row 3" in str(refused.value)


def test_a_file_that_is_not_there_has_no_decimal_mark(tmp_path):
    with pytest.raises(InputError, match=r"t\.csv"):
        decimal_mark(tmp_path / "t.csv")
