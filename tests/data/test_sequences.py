"""Sequences: cut from arrays, files, tables and a series; batches of similar lengths; and what is refused."""

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from axonic.checks_sequences import check_series
from axonic.data.autoregression import PENALTIES, fit_linear, linear_forecast, steps_before
from axonic.data.batches import SIMILAR, Batches, Cursor, Rows, Segment, length_classes, split_rows
from axonic.data.columns import Column, infer_columns
from axonic.data.encoding import TableEncoder
from axonic.data.ragged import Ragged, join, known_steps
from axonic.data.schema import Schema
from axonic.data.sequences.arrays import as_sequences, read_npz
from axonic.data.sequences.layout import Layout
from axonic.data.sequences.tables import cut_table, order_series
from axonic.data.sequences.windows import SeriesCoding, cut_windows, drifts
from axonic.errors import InputError


def ragged(lengths, n_in=1):
    """Sequences whose values are their number and the step."""
    each = [np.stack([np.full(n, i), np.arange(n)], axis=1)[:, :n_in] for i, n in enumerate(lengths)]
    return Ragged.of(np.concatenate(each).astype(np.float32), lengths)


# --- in memory ---


def test_sequences_are_picked_joined_and_split():
    x = ragged([3, 1, 2], 2)
    assert (len(x), x.longest, x.shape) == (3, 3, (3, 2))
    picked = x[np.array([2, 0])]
    np.testing.assert_array_equal(picked.values, [[2, 0], [2, 1], [0, 0], [0, 1], [0, 2]])
    np.testing.assert_array_equal(join([picked, x[1:2]]).lengths, [2, 3, 1])
    assert [len(one) for one in x.split()] == [3, 1, 2]


@pytest.mark.parametrize("lengths", [[3, 1, 2, 3], [2, 2, 2]])
def test_filling_pads(lengths):
    x = ragged(lengths)
    rows = np.array([[1, -1], [0, 2]])
    values, mask = np.full((2, 2, x.longest, 1), 9, np.float32), np.ones((2, 2, x.longest), bool)
    x.fill(rows, values, mask)
    for place in np.ndindex(rows.shape):
        n = lengths[rows[place]] if rows[place] >= 0 else 0
        np.testing.assert_array_equal(mask[place], np.arange(x.longest) < n)
        np.testing.assert_array_equal(values[place][:n, 0], rows[place])
    x.fill(rows, values, nothing=-1)
    assert np.all(values[~mask] == -1)


def test_steps_of_a_sequence_share_its_weight():
    y = Ragged.of(np.array([0, 1, -1, 1, -1], np.int32), [3, 2])
    found, weight = known_steps(y, np.array([1.0, 3.0]))
    np.testing.assert_array_equal(found, [0, 1, 1])
    np.testing.assert_array_equal(weight, [0.5, 0.5, 3.0])


# --- batches ---


def stream(lengths, size=4, **options):
    n = len(lengths)
    rows = Rows(ragged(lengths), np.arange(n, dtype=np.int32), np.ones(n, np.float32))
    return Batches(rows, split_rows(n, 0, valid=0.15, test=0.0), size, **options)


def epoch(batches, number=0):
    """The batches of one epoch: numbers of their rows, and the steps of the longest."""
    found, cursor, done = [], Cursor(number), False
    while not done:
        tape, cursor = batches.tape(cursor)
        for row in tape.segments[: tape.n_segments]:
            segment = Segment(*row)
            for slot in range(segment.train_first, segment.train_last):
                used = tape.weight[slot] > 0
                steps = int(tape.x.mask[slot][used].sum(axis=1).max())
                found.append((tape.y[slot][used].tolist(), steps))
            if segment.closes:
                done = True
                break
    return found


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=12, max_size=60), st.integers(1, 7))
def test_every_epoch_holds_every_sequence_once_with_its_values(lengths, size):
    batches = stream(lengths, size)
    seen = [row for rows, _ in epoch(batches) for row in rows]
    assert sorted(seen) == sorted(batches.split.train)
    tape, _ = batches.tape(Cursor())
    for place in zip(*np.nonzero(tape.weight > 0), strict=True):
        row, mask = tape.y[place], tape.x.mask[place]
        assert mask.sum() == lengths[row]
        assert np.all(tape.x.values[place][mask] == row)


def test_a_batch_holds_similar_lengths_in_another_order_every_epoch():
    lengths = np.random.default_rng(0).integers(10, 500, 2000)
    batches = stream(lengths, 32)
    first, second = epoch(batches), epoch(batches, 1)
    kinds = length_classes(lengths)
    mixed = [rows for rows, _ in first if len(set(kinds[rows])) > 1]
    assert len(mixed) < len(set(kinds))  # only where one class ends and the next begins
    assert [rows for rows, _ in first] != [rows for rows, _ in second]
    order = [steps for _, steps in first]
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.4  # long ones do not follow one another


def test_lengths_of_a_class_are_similar():
    lengths = np.random.default_rng(0).integers(1, 300, 500)
    kinds = length_classes(lengths)
    for kind in set(kinds):
        assert lengths[kinds == kind].max() <= SIMILAR * lengths[kinds == kind].min()
    assert np.all(np.diff(kinds[np.argsort(-lengths)]) >= 0)
    assert not length_classes(np.array([10, 11, 12, 10])).any()


def test_padding_costs_less_than_a_third():
    """20,000 sequences of 10 to 500 steps: the steps that the layers walk, to the longest of each batch, against the
    true ones."""
    lengths = np.random.default_rng(0).integers(10, 501, 20_000)
    batches = stream(lengths, 32)
    walked = sum(32 * steps for _, steps in epoch(batches))
    true = lengths[batches.split.train].sum()
    assert walked <= 1.15 * true
    held = batches._batches(batches.split.valid)
    walked = sum(32 * lengths[rows[rows >= 0]].max() for rows in held)
    assert walked <= 1.15 * lengths[batches.split.valid].sum()


@pytest.mark.parametrize(
    ("n", "size", "options", "width"),
    [
        (50, 32, {}, 24),  # 42 to train on: twice 21
        (40, 32, {}, 24),
        (38, 32, {}, 32),  # one batch of 32
        (100, 128, {}, 88),
        (20, 5, {}, 5),
        (50, 32, {"shuffle": False}, 32),
        (50, 32, {"devices": 2}, 32),
    ],
)
def test_a_batch_of_sequences_is_filled_up_no_more_than_it_has_to_be(n, size, options, width):
    batches = stream([3] * n, size, **options)
    n_train = len(batches.split.train)
    assert batches.width == width
    assert batches.batches_per_pass == -(-n_train // size)
    assert batches.tape(Cursor())[0].weight.shape[1] == width
    if not options:
        assert {len(rows) for rows, _ in epoch(batches)} <= {n_train // batches.batches_per_pass + i for i in (0, 1)}


# --- arrays ---


def test_arrays_and_lists_are_the_same():
    x = np.random.default_rng(0).standard_normal((4, 5, 2))
    a, b = as_sequences(x), as_sequences(list(x))
    np.testing.assert_array_equal(a.values, b.values)
    np.testing.assert_array_equal(a.offsets, b.offsets)
    assert as_sequences([[1, 2, 3], [4]]).shape == (2, 1)


GOOD = [np.ones((3, 2)), np.ones((4, 2))]
BAD_ARRAYS = {
    "nothing": ([], "no sequences"),
    "empty": ([*GOOD, np.ones((0, 2))], "sequence 2 is empty"),
    "features": ([*GOOD, np.ones((3, 1))], "sequence 2 has 1 features where the first has 2"),
    "nan": ([np.array([[1.0, 2.0], [np.nan, 1.0], [1.0, 1.0]])], "sequence 0 holds a value that is NaN, at step 1"),
    "infinite": (np.full((2, 3, 1), np.inf), "infinite"),
    "text": ([["a", "b"]], "no array of numbers"),
    "two": (np.ones((3, 2)), r"X\[:, :, None\]"),
    "no step": (np.ones((3, 0, 2)), "shape"),
    "shape": ([np.ones((1, 2, 3))], "sequence 0 has shape"),
    "complex": (np.ones((2, 2, 2), complex), "type complex128"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_get_one_clear_line(name):
    x, says = BAD_ARRAYS[name]
    with pytest.raises(InputError, match=says) as error:
        as_sequences(x)
    assert "\n" not in str(error.value)


# --- .npz ---


def test_padded_and_joined_files_are_the_same(tmp_path):
    x, lengths, y = np.random.default_rng(0).standard_normal((3, 4, 2)), [4, 1, 2], np.array(["a", "b", "a"])
    joined = np.concatenate([x[i, :n] for i, n in enumerate(lengths)])
    padded = x.copy()
    padded[1, 1:] = padded[2, 2:] = np.nan
    np.savez(tmp_path / "padded.npz", x=padded, lengths=lengths, y=y)
    np.savez(tmp_path / "joined.npz", x=joined, lengths=lengths, y=y)
    for name in ("padded", "joined"):
        data = read_npz(tmp_path / f"{name}.npz", "y")
        np.testing.assert_allclose(data.steps.to_numpy(), joined, rtol=1e-6)
        np.testing.assert_array_equal(data.sequences.lengths, lengths)
        assert not data.by_step
        assert data.target.tolist() == y.tolist()


def test_targets_of_each_step(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((3, 4, 1)), lengths=[4, 1, 2], y=np.arange(12).reshape(3, 4))
    data = read_npz(tmp_path / "a.npz", "y")
    assert data.by_step
    assert data.target.tolist() == [0, 1, 2, 3, 4, 8, 9]


@pytest.mark.parametrize(("shape", "by_step"), [((3, 1), False), ((3, 4, 1), True)])
def test_an_axis_of_one_is_none(shape, by_step, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((3, 4, 1)), y=np.arange(np.prod(shape)).reshape(shape))
    data = read_npz(tmp_path / "a.npz", "y")
    assert data.by_step == by_step
    np.testing.assert_array_equal(data.target, np.arange(np.prod(shape)))


def test_arrays_are_read_as_in_training(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((3, 3, 1)), y=np.ones((3, 3)))
    assert read_npz(tmp_path / "a.npz", "y").target.shape == (9,)
    assert read_npz(tmp_path / "a.npz", "y", False).target.shape == (3, 3)
    np.savez(tmp_path / "a.npz", x=np.ones((3, 1)), lengths=[1, 1, 1], y=[1, 2, 3])
    assert not read_npz(tmp_path / "a.npz", "y").by_step
    assert read_npz(tmp_path / "a.npz", "y", True).by_step
    np.savez(tmp_path / "a.npz", x=np.ones((3, 4, 1)), y=[1, 2, 3])
    with pytest.raises(InputError, match="one for each step"):
        read_npz(tmp_path / "a.npz", "y", True)


X3 = np.ones((3, 4, 2))
BAD_FILES = {
    "no x": ({"a": X3}, "named 'x'"),
    "text": ({"x": np.array([["a"]])}, "type"),
    "no lengths": ({"x": np.ones((5, 2)), "y": [1, 2]}, "no lengths"),
    "empty sequence": ({"x": X3, "lengths": [4, 0, 2]}, "sequence 1 is empty"),
    "too long": ({"x": X3, "lengths": [4, 9, 2]}, "do not fit"),
    "too few": ({"x": X3, "lengths": [4, 2]}, "do not fit"),
    "sum": ({"x": np.ones((5, 2)), "lengths": [4, 2]}, "add up to 6"),
    "fractions": ({"x": X3, "lengths": [4.0, 1.5, 2.0]}, "whole numbers"),
    "nan": ({"x": np.where(np.arange(4)[:, None] == 1, np.nan, X3)}, "NaN, at step 1"),
    "no y": ({"x": X3}, "no array is named 'y'"),
    "y": ({"x": X3, "y": np.ones(7)}, "shape"),
    "objects": ({"x": np.array([np.ones(2), np.ones(3)], object)}, "unpickled"),
    "dimensions": ({"x": np.ones((2, 2, 2, 2))}, "shape"),
    "y of no dimension": ({"x": X3, "y": 3.0}, r"y has shape \(\)"),
    "several a step": ({"x": X3, "y": np.ones((3, 4, 2))}, "several values for each step"),
    "several a joined step": ({"x": np.ones((7, 2)), "lengths": [4, 1, 2], "y": np.ones((7, 2))}, "several values"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_get_one_clear_line(name, tmp_path):
    arrays, says = BAD_FILES[name]
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=says) as error:
        read_npz(tmp_path / "a.npz", "y")
    assert "\n" not in str(error.value)


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"not a zip")
    for path in (tmp_path / "a.npz", tmp_path / "missing.npz"):
        with pytest.raises(InputError):
            read_npz(path, "y")
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(InputError, match=r"single array .*: save it with numpy\.savez"):
        read_npz(tmp_path / "a.npz", "y")


# --- a long table ---

LAYOUT = Layout("who", "t")


def long_table(n=4):
    """Sequences i of i + 2 steps with the value 10 i + t, in a scrambled order."""
    rows = [(f"p{i}", t, 10.0 * i + t, "ab"[i % 2], float(t)) for i in range(n) for t in range(i + 2)]
    frame = pl.DataFrame(rows, schema=["who", "t", "v", "kind", "now"], orient="row")
    return frame.sample(fraction=1, shuffle=True, seed=3)


def test_a_table_is_cut_into_ordered_sequences():
    frame = long_table()
    data = cut_table(frame, LAYOUT, "kind")
    assert data.ids.to_list() == frame["who"].unique(maintain_order=True).to_list()
    assert not data.by_step
    for name, kind, values in zip(data.ids, data.target, Ragged(data.steps["v"], data.offsets).split(), strict=True):
        i = int(name[1:])
        assert values.to_list() == [10.0 * i + t for t in range(i + 2)]
        assert kind == "ab"[i % 2]
    assert data.moved > 0
    np.testing.assert_array_equal(frame["v"].to_numpy()[data.rows], data.steps["v"].to_numpy())
    assert cut_table(frame, LAYOUT, "now").by_step


def test_dates_order_as_dates():
    frame = pl.DataFrame(
        {"who": [1, 1, 1, 2, 2], "t": ["9/2/2024", "10/1/2024", "1/3/2024", "1/1/2024", "2/1/2024"], "v": range(5)}
    )
    assert cut_table(frame, LAYOUT, None).steps["v"].to_list() == [2, 0, 1, 3, 4]


DAYS = ["11/01/2024", "12/01/2024", "01/02/2024", "02/02/2024"]


def test_day_and_month_are_told_apart_by_the_order_within_the_sequences():
    frame = pl.DataFrame({"who": np.repeat([1, 2], 4), "t": DAYS * 2, "v": range(8)})
    data = cut_table(frame, LAYOUT, None)
    assert data.steps["v"].to_list() == list(range(8))
    assert (data.moved, data.order_format) == (0, "%d/%m/%Y")
    months = frame.with_columns(pl.Series("t", ["01/11/2024", "01/12/2024", "02/01/2024", "02/02/2024"] * 2))
    assert cut_table(months, LAYOUT, None).order_format == "%m/%d/%Y"
    assert order_series(frame[:4], Layout(order_by="t", window=2), "v").order_format == "%d/%m/%Y"


def test_dates_are_read_as_in_training():
    frame = pl.DataFrame({"who": np.repeat([1, 2], 4), "t": DAYS * 2, "v": range(8)}).sample(
        fraction=1, shuffle=True, seed=1
    )
    known = replace(LAYOUT, order_format="%d/%m/%Y")
    assert cut_table(frame, LAYOUT, None).order_format == "%m/%d/%Y"
    assert sorted(cut_table(frame, known, None).steps["v"].to_list()[:4]) in ([0, 1, 2, 3], [4, 5, 6, 7])
    assert np.all(np.diff(cut_table(frame, known, None).steps["v"].to_numpy().reshape(2, 4)) == 1)
    assert Layout.from_json(known.to_json()) == known
    with pytest.raises(InputError, match=r"'2024-01-11' is not a date.*give dates as in training, %d/%m/%Y"):
        cut_table(frame.with_columns(t=pl.lit("2024-01-11")), known, None)


def test_a_name_is_what_the_table_spells():
    frame = pl.DataFrame({"who": ["10", "7", "07", "7.0", "7", "0E0"], "t": [1, 1, 1, 1, 0, 1], "v": range(6)})
    data = cut_table(frame, LAYOUT, None)
    assert data.ids.to_list() == ["10", "7", "07", "7.0", "0E0"]
    assert data.sequences.lengths.tolist() == [1, 2, 1, 1, 1]
    with pytest.raises(InputError, match="sequence '07' has two steps at t = 1"):
        cut_table(frame.with_columns(who=pl.lit("07")), LAYOUT, None)


def test_places_that_are_read_as_text_order_as_before():
    """Numbers as such, none rounded, days that are told apart, and codes."""
    for places in (["10", "9", "1e3"], ["1600000000000000001", "1600000000000000000", "1600000000000000002"]):
        frame = pl.DataFrame({"who": "a", "t": places, "v": [1, 0, 2]})
        assert cut_table(frame, LAYOUT, None).steps["v"].to_list() == [0, 1, 2]
        assert cut_table(frame, LAYOUT, None).order_format is None
    codes = pl.DataFrame({"t": ["007", "001", "010"], "v": [1.0, 0.0, 2.0]})
    assert order_series(codes, Layout(order_by="t", window=2), "v").target.tolist() == [0, 1, 2]


MONTH_NAMES = [f"{m:02d}.{y}" for y in range(2005, 2008) for m in range(1, 13)]


@pytest.mark.parametrize("years", [[2005, 2006, 2007], [2005, 2009, 2010]])
@pytest.mark.parametrize("shuffled", [False, True])
def test_months_that_look_like_numbers_order_as_months(shuffled, years):
    names = [f"{m:02d}.{y}" for y in years for m in range(1, 13)]
    frame = pl.DataFrame({"t": names, "v": np.arange(36.0)})
    if shuffled:
        frame = frame.sample(fraction=1, shuffle=True, seed=0)
    series = order_series(frame, Layout(order_by="t", window=2), "v")
    assert series.target.tolist() == list(range(36))
    assert series.order_format == "%m.%Y"
    late = frame.filter(pl.col("t").str.starts_with("1"))  # as in training, though no month begins with a zero
    known = Layout(order_by="t", window=2, order_format="%m.%Y")
    assert np.all(np.diff(order_series(late, known, "v").target) > 0)
    data = cut_table(pl.concat([frame.with_columns(who=pl.lit(i)) for i in "ab"]), LAYOUT, None)
    assert data.steps["v"].to_list() == [*range(36), *range(36)]


def test_months_in_the_order_of_their_text_are_months():
    frame = pl.DataFrame({"t": sorted(MONTH_NAMES), "v": range(36)})
    assert order_series(frame, Layout(order_by="t", window=2), "v").order_format == "%m.%Y"


def test_months_without_a_zero_are_known_by_their_order():
    names = ["11.2005", "12.2005", "10.2006", "11.2006"]
    frame = pl.DataFrame({"t": names, "v": [0.0, 1.0, 2.0, 3.0]})
    assert order_series(frame, Layout(order_by="t", window=2), "v").target.tolist() == [0, 1, 2, 3]


NUMBERS = {
    "up": [f"{x:.4f}" for x in np.arange(10.1, 12.3, 0.1) if x % 1 < 0.29 and x % 1 > 0.09],
    "of a fixed width": ["01.1000", "01.2500", "02.1000", "02.2500", "12.1000"],
    "from one on": [f"{1 + i / 8:.4f}" for i in range(80)],
    "another month": ["00.2005", "01.2005", "02.2004"],
    "more digits": ["01.2005", "02.20051", "03.2004"],
    "in no order": ["12.1500", "10.1200", "11.2700", "10.2900"],
}


@pytest.mark.parametrize("name", NUMBERS)
def test_decimal_numbers_are_no_months(name):
    frame = pl.DataFrame({"t": NUMBERS[name], "v": [float(x) for x in NUMBERS[name]]})
    series = order_series(frame, Layout(order_by="t", window=2), "v")
    assert series.order_format is None
    assert np.all(np.diff(series.target) > 0)


@pytest.mark.parametrize("day", ["2024-01-05", date(2024, 1, 5)])
def test_dates_may_be_the_same_in_all_sequences(day):
    frame = pl.DataFrame({"who": [2, 1], "t": [day, day], "v": [0.0, 1.0]})
    assert cut_table(frame, LAYOUT, "v").sequences.lengths.tolist() == [1, 1]


def test_a_target_is_one_for_each_step_or_not_as_in_training():
    data = cut_table(long_table(), LAYOUT, "kind", True)
    assert data.by_step
    assert len(data.target) == len(data.steps)
    with pytest.raises(InputError, match=r"'now' changes within sequence 'p.'"):
        cut_table(long_table(), LAYOUT, "now", False)


BAD_TABLES = {
    "no id": ({"sequence_id": "nobody"}, {}, "no column is named 'nobody'"),
    "no order": ({"order_by": "when"}, {}, "no column is named 'when'"),
    "duplicate keys": ({}, {"t": pl.lit(1)}, "two steps at t = 1"),
    "missing id": ({}, {"who": pl.when(pl.col("t") == 2).then(None).otherwise(pl.col("who"))}, "no 'who'"),
    "missing key": ({}, {"t": pl.when(pl.col("t") == 2).then(None).otherwise(pl.col("t"))}, "no 't'"),
    "text order": ({"order_by": "kind"}, {}, "neither numbers nor dates"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_get_one_clear_line(name):
    layout, columns, says = BAD_TABLES[name]
    with pytest.raises(InputError, match=says) as error:
        cut_table(
            long_table().with_columns(**columns), Layout(**{"sequence_id": "who", "order_by": "t", **layout}), "kind"
        )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {"sequence_id": "a"},
        {"sequence_id": "a", "order_by": "a"},
        {"horizon": 3},
        {"window": 0},
        {"window": 3, "horizon": 0},
        {"window": 3, "sequence_id": "a", "order_by": "b"},
    ],
)
def test_options_that_do_not_go_together(options):
    with pytest.raises(InputError):
        Layout(**options)


# --- one series ---


def test_windows_are_split_by_time_and_no_part_sees_the_next_ones_future():
    windows = cut_windows(100, window=10, horizon=5, valid=0.15, test=0.2)
    steps = steps_before(windows.ends, 10)
    assert steps[0].tolist() == list(range(10))
    following = [windows.ends[part][:, None] + np.arange(1, 6) for part in windows[1:4]]
    assert following[0].max() < windows.seen <= following[1].min()
    assert following[1].max() < following[2].min()
    assert following[2].min() == 80
    assert following[2].max() == 99
    assert set(windows.train) | set(windows.valid) | set(windows.test) < set(range(len(windows.ends)))


def test_what_comes_later_changes_nothing_that_is_trained_on():
    values = np.cumsum(np.random.default_rng(0).standard_normal((100, 2)), axis=0)
    changed = values.copy()
    windows = cut_windows(100, 10, 2, 0.15, 0.2)
    changed[windows.seen :] *= 100
    inputs = []
    for x in (values, changed):
        encoder = TableEncoder.from_array(x, np.arange(windows.seen))
        coding = SeriesCoding.fit(encoder.transform(x), x[:, 0], windows, 10, 2)
        inputs.append(coding.inputs(encoder.transform(x), windows.ends[windows.train]).values)
        inputs.append(coding.targets(x[:, 0], windows.ends[windows.train]))
    np.testing.assert_array_equal(inputs[0], inputs[2])
    np.testing.assert_array_equal(inputs[1], inputs[3])


def test_a_series_that_drifts_is_counted_from_its_last_value():
    rng = np.random.default_rng(0)
    flat, rising = rng.standard_normal(200), 0.1 * np.arange(200) + rng.standard_normal(200)
    assert not drifts(flat)
    assert drifts(rising)
    windows = cut_windows(200, 8, 3, 0.15, 0.2)
    encoded = ((rising - 3) / 2)[:, None].astype(np.float32)
    coding = SeriesCoding.fit(encoded, rising, windows, 8, 3)
    assert coding.relative
    x = coding.inputs(encoded, windows.ends).values.reshape(-1, 8)
    np.testing.assert_array_equal(x[:, -1], 0)
    np.testing.assert_allclose(np.mean(x[windows.train] ** 2), 1.0, rtol=1e-5)
    y = coding.targets(rising, windows.ends) + coding.origin(rising, windows.ends)
    np.testing.assert_allclose(y[:, 2], rising[windows.ends + 3])
    assert SeriesCoding.from_json(coding.to_json()) == coding
    as_it_is = SeriesCoding.fit(encoded, rising, windows, 8, 3, linear=False, relative=False)
    assert as_it_is == SeriesCoding(8, 3)
    np.testing.assert_array_equal(as_it_is.targets(rising, windows.ends)[:, 0], rising[windows.ends + 1])


def test_the_linear_forecast_is_a_ridge_regression_and_finds_an_autoregressive_series():
    rng = np.random.default_rng(0)
    v = np.zeros(600)
    for t in range(2, 600):
        v[t] = 5 + 1.2 * (v[t - 1] - 5) - 0.6 * (v[t - 2] - 5) + 0.1 * rng.standard_normal()
    ends = np.arange(3, 500)
    bases = np.full(len(ends), v.mean())
    w = fit_linear(v, bases, ends, 4, 1)
    np.testing.assert_allclose(w[:-1, 0], [0, 0, -0.6, 1.2], atol=0.1)
    z = np.stack([v[end - 3 : end + 1] for end in ends]) - v.mean()
    y = v[ends + 1] - v.mean()
    size = np.sum(z * z) / 4
    ridges = [Ridge(alpha=penalty * size).fit(z, y) for penalty in PENALTIES]
    assert any(np.allclose(w[:, 0], [*ridge.coef_, ridge.intercept_], atol=1e-8) for ridge in ridges)
    later = np.arange(500, 598)
    forecast = linear_forecast(w, v, np.full(len(later), v.mean()), later)
    assert np.sqrt(np.mean((forecast[:, 0] - v[later + 1]) ** 2)) < 0.12  # the noise has .1


def test_where_nothing_is_to_be_forecast_the_linear_forecast_stays_near_the_base():
    rng = np.random.default_rng(1)
    walk, noise = np.cumsum(rng.standard_normal(400)), rng.standard_normal(400)
    ends = np.arange(29, 398)
    for values, bases in ((walk, walk[ends]), (noise, np.zeros(len(ends)))):
        w = fit_linear(values, bases, ends, 30, 2)
        forecast = linear_forecast(w, values, bases, ends)
        assert np.sqrt(np.mean((forecast - bases[:, None]) ** 2)) < 0.35 * values[ends].std()


@pytest.mark.parametrize("exponent", [664, -664])
def test_values_of_any_size_are_forecast_alike(exponent):
    rng, unit = np.random.default_rng(0), 2.0**exponent
    for values in (3 + rng.standard_normal(120), 0.2 * np.arange(120) + rng.standard_normal(120)):
        windows = cut_windows(120, 5, 2, 0.15, 0.2)
        one, scaled = (
            SeriesCoding.fit(values[:, None].astype(np.float32), v, windows, 5, 2) for v in (values, values * unit)
        )
        assert scaled.relative == one.relative
        np.testing.assert_allclose(scaled.center / unit, one.center)
        np.testing.assert_allclose(
            scaled.origin(values * unit, windows.ends) / unit, one.origin(values, windows.ends), rtol=1e-9
        )


SERIES = pl.DataFrame({"t": range(30), "v": np.sin(np.arange(30.0)), "kind": ["a"] * 30})
BAD_SERIES = {
    "too short": ({"window": 31}, {}, "window of 31 steps is longer than the series of 30"),
    "duplicate keys": ({}, {"t": pl.lit(1)}, "two steps stand at t = 1"),
    "a gap": ({}, {"v": pl.when(pl.col("t") == 3).then(None).otherwise(pl.col("v"))}, "row 4"),
    "nan": ({}, {"v": pl.when(pl.col("t") == 3).then(float("nan")).otherwise(pl.col("v"))}, "row 4"),
    "text": ({"target": "kind"}, {}, "not a number"),
    "no target": ({"target": "w"}, {}, "no column is named 'w'"),
    "order": ({"order_by": "kind"}, {}, "neither numbers nor dates"),
    "a misspelt date": (
        {},
        {"t": pl.Series([f"2024-01-{day:02d}" for day in range(1, 30)] + ["2024-01-3O"])},
        r"'2024-01-3O' is not a date as 1970-01-01 \(column 't', row 30\)",
    ),
    "a misspelt number": (
        {},
        {"t": pl.Series(["1O", *map(str, range(1, 30))])},
        r"'1O' is not a number \(column 't', row 1\)",
    ),
    "order by the target": ({"order_by": "v"}, {}, "both name 'v'"),
}


@pytest.mark.parametrize("name", BAD_SERIES)
def test_bad_series_get_one_clear_line(name):
    options, columns, says = BAD_SERIES[name]
    layout = Layout(window=options.get("window", 5), order_by=options.get("order_by", "t"))
    with pytest.raises(InputError, match=says) as error:
        order_series(SERIES.with_columns(**columns), layout, options.get("target", "v"))
    assert "\n" not in str(error.value)


def test_a_series_is_put_in_order():
    series = order_series(SERIES.sample(fraction=1, shuffle=True, seed=0), Layout(order_by="t", window=5), "v")
    assert series.moved
    np.testing.assert_array_equal(series.target, SERIES["v"])
    assert series.steps.columns == ["v", "kind"]


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64, pl.Datetime("ns")])
def test_whole_numbers_order_as_such(dtype):
    places = pl.Series("t", [1600000000000000000 + i for i in (1, 0, 3, 2)]).cast(dtype)
    frame = pl.DataFrame([places, pl.Series("v", [1.0, 0.0, 3.0, 2.0])])
    assert order_series(frame, Layout(order_by="t", window=2), "v").target.tolist() == [0, 1, 2, 3]
    data = cut_table(frame.with_columns(who=pl.lit("a")), Layout("who", "t"), None)
    assert data.steps["v"].to_list() == [0, 1, 2, 3]


def test_a_series_that_is_written_as_text_becomes_numbers():
    written = pl.DataFrame({"v": ["1,234.5", "$11,479.28", "-3"]})
    series = order_series(written, Layout(window=2), "v")
    assert series.steps["v"].to_list() == [1234.5, 11479.28, -3]


CALENDAR = pl.date_range(date(2001, 1, 1), date(2004, 12, 31), "1d", eager=True)
WEEKDAYS = CALENDAR.filter(CALENDAR.dt.weekday() < 6)
CHRISTMAS = (WEEKDAYS.dt.month() == 12) & (WEEKDAYS.dt.day() >= 24)
MONTHS = pl.date_range(date(1990, 1, 1), date(2003, 12, 1), "1mo", eager=True)
QUARTERS = pl.date_range(date(1990, 1, 1), date(2015, 12, 1), "1q", eager=True)
HOURS = pl.datetime_range(date(2024, 1, 1), date(2024, 3, 1), "1h", eager=True)
WHOLE = {
    "days": CALENDAR,
    "weekdays": WEEKDAYS,
    "with holidays": WEEKDAYS.filter(~CHRISTMAS),
    "months": MONTHS,
    "ends of months": MONTHS.dt.month_end(),
    "quarters": QUARTERS,
    "years": pl.date_range(date(1900, 1, 1), date(2000, 1, 1), "1y", eager=True),
    "hours": HOURS,
    "numbers": pl.Series(range(100)),
    "years and months": MONTHS.dt.strftime("%Y%m").cast(pl.Int64),
    "days as numbers": CALENDAR.dt.strftime("%Y%m%d").cast(pl.Int64),
    "weeks as numbers": pl.Series([100 * year + week for year in range(2001, 2006) for week in range(1, 53)]),
    "at random": pl.Series(np.cumsum(np.random.default_rng(0).exponential(size=300))),
    "nanoseconds": pl.Series(range(1600000000000000000, 1600000000000000100)),
    "three": pl.Series([1, 2, 9]),
}
BROKEN = {
    "a month": (MONTHS.filter(date(1995, 2, 1) != MONTHS), 62, 1),
    "a month as text": (MONTHS.filter(date(1995, 2, 1) != MONTHS).dt.strftime("%Y-%m"), 62, 1),
    "two quarters": (QUARTERS.filter(~QUARTERS.is_in([date(1995, 4, 1), date(2000, 1, 1)]).fill_null(False)), 22, 2),
    "hours": (pl.concat([HOURS[:300], HOURS[407:]]), 301, 1),
    "weekdays": (WEEKDAYS.filter(~((WEEKDAYS.dt.month() == 5) & (WEEKDAYS.dt.year() == 2001))), 87, 1),
    "numbers": (pl.Series([*range(50), *range(60, 100)]), 51, 1),
    "numbers of a byte": (pl.Series([*range(-100, -50), *range(100, 127)], dtype=pl.Int8), 51, 1),
    "numbers backwards": (pl.Series([*range(50), *range(60, 100)]).reverse(), 40, 1),
}


def gaps(key):
    frame = pl.DataFrame([key.alias("t"), pl.Series("v", np.sin(np.arange(len(key))))])
    series = order_series(frame, Layout(order_by="t", window=2), "v")
    found = check_series(series, cut_windows(len(key), 1, 1, 0, 0), Schema((Column("v", "number"),), "v", "regression"))
    return [finding for finding in found if finding.code == "data.gaps"]


@pytest.mark.parametrize("name", WHOLE)
def test_time_that_goes_on_has_no_gaps(name):
    assert gaps(WHOLE[name]) == []


@pytest.mark.parametrize("name", BROKEN)
def test_missing_steps_are_told(name):
    key, row, count = BROKEN[name]
    (finding,) = gaps(key)
    assert finding.severity == "warning"
    assert (finding.evidence["first_row"], finding.evidence["gaps"]) == (row, count)
    assert f"before row {row}:" in finding.cause
    assert ("1 other place." in finding.cause) == (count == 2)


def test_columns_beside_a_series_are_checked():
    t = np.arange(200)
    frame = pl.DataFrame({"v": np.sin(t), "w": np.cos(t), "same": np.cos(t), "one": 1.0, "few": np.cos(2 * t)})
    frame = frame.with_columns(few=pl.when(pl.int_range(pl.len()) % 3 == 0).then("few"))
    series = order_series(frame, Layout(window=2), "v")
    columns = infer_columns(series.steps)
    used = tuple(column for column in columns if column.kind != "ignored")
    schema = Schema(used, "v", "regression", tuple(column for column in columns if column.kind == "ignored"))
    found = {(f.code, f.where) for f in check_series(series, cut_windows(200, 2, 1, 0.15, 0.2), schema)}
    assert found == {("data.missing", "few"), ("data.duplicate_column", "same"), ("data.constant", "one")}


def test_a_series_too_short_to_split():
    with pytest.raises(InputError, match="too short"):
        cut_windows(20, window=10, horizon=8, valid=0.15, test=0.2)
