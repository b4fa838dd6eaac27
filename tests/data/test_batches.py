"""Tapes hold every row where it belongs, shuffled; splits are stratified."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonic.data.batches import Batches, Cursor, Rows, Segment, Split, folds, most_looks, n_slots, padded, split_rows
from axonic.errors import InputError


def batches(n_train, n_valid=0, n_test=0, size=4, width=1, **options):
    """Rows whose input is their own number, so that a tape tells which rows it holds."""
    n = n_train + n_valid + n_test
    x = np.repeat(np.arange(n, dtype=np.float32)[:, None], width, axis=1)
    rows = Rows(x, np.arange(n, dtype=np.int32), np.ones(n, np.float32))
    cut = np.split(np.arange(n), [n_train, n_train + n_valid])
    return Batches(rows, Split(*cut), size, **options)


def epochs(stream, n, cursor=Cursor()):  # noqa: B008
    """The row numbers that each of n epochs trains on, validates on and tests on, read off the tapes."""
    seen, parts = [], ([], [], [])
    for tape, _ in stream.tapes(cursor):
        for row in tape.segments[: tape.n_segments]:
            segment = Segment(*row)
            spans = ((segment.train_first, segment.train_last), *zip(segment[2:6:2], segment[3:6:2], strict=True))
            for part, (first, last) in zip(parts, spans, strict=True):
                part.extend(tape.y[first:last][tape.weight[first:last] > 0])
            if segment.closes:
                seen.append(tuple(map(list, parts)))
                parts = ([], [], [])
                if len(seen) == n:
                    return seen
    return seen


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(0, 30), st.integers(0, 30), st.integers(1, 9), st.sampled_from([64, 8, 5]))
def test_every_epoch_holds_every_row_once(n_train, n_valid, n_test, size, slots):
    """Whether an epoch is a fraction of a tape or spreads over many of them."""
    stream = batches(n_train, n_valid, n_test, size)
    n = n_train + n_valid + n_test
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(stream.__dict__, "n_slots", slots)
        for train, valid, test in epochs(stream, 3):
            assert sorted(train) == list(range(n_train))
            assert valid == list(range(n_train, n_train + n_valid))
            assert test == list(range(n_train + n_valid, n))


def test_rows_keep_their_target_and_padding_weighs_nothing():
    stream = batches(10, 3, size=4)
    tape, _ = stream.tape(Cursor())
    used = tape.weight > 0
    np.testing.assert_array_equal(tape.x[..., 0][used], tape.y[used])
    assert used.sum(axis=1).max() == 4


@pytest.mark.parametrize(
    ("options", "sizes"),
    [({}, [16, 17, 17]), ({"shuffle": False}, [20, 20, 10]), ({"epoch_batches": 4}, [16, 16, 17, 17])],
)
def test_the_rows_of_a_pass_are_dealt_out_evenly_unless_their_order_is_kept(options, sizes):
    tape, _ = batches(50, size=20, **options).tape(Cursor())
    assert sorted((tape.weight[: len(sizes)] > 0).sum(axis=1)) == sorted(sizes)


def test_every_epoch_has_a_shuffle_of_its_own_and_the_seed_decides_it():
    first, second = (train for train, _, _ in epochs(batches(50), 2))
    assert first != second != sorted(second)
    assert epochs(batches(50), 2)[1][0] == second
    assert epochs(batches(50, seed=1), 1)[0][0] != first
    assert epochs(batches(50, shuffle=False), 2)[1][0] == list(range(50))


def test_the_shuffle_is_uniform():
    """Over 3,000 epochs each of 5 rows comes first 600 times within 5 standard deviations."""
    firsts = np.bincount([train[0] for train, _, _ in epochs(batches(5, size=5), 3000)], minlength=5)
    assert np.all(np.abs(firsts - 600) < 5 * np.sqrt(600 * 0.8))


@pytest.mark.parametrize("n_train", [9, 5000])
def test_a_cursor_takes_up_where_it_stands(n_train):
    stream = batches(n_train, 100, size=3)
    third = next(itertools.islice(stream.tapes(), 2, None))[0]
    _, cursor = stream.tape(Cursor())
    again, _ = stream.tape(stream.tape(cursor)[1])
    for a, b in zip(again, third, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n", [7, 8, 63, 64])
def test_rows_on_a_device_are_padded_and_tapes_of_their_numbers_hold_the_same(n):
    """Rows that share a program with those of other tables: 8, 16, 64 and 128 of them."""
    stream = batches(n - 4, 3, 1, size=3)
    everything = padded(stream.rows)
    assert len(everything.weight) == 1 << n.bit_length() > n
    assert np.all(everything.weight[n:] == 0)
    cursor, numbered = Cursor(), dataclasses.replace(stream, on_device=everything)
    for _ in range(3):
        (tape, after), (numbers, cursor) = stream.tape(cursor), numbered.tape(cursor)
        assert after == cursor
        np.testing.assert_array_equal(numbers.segments, tape.segments)
        np.testing.assert_array_equal(everything.weight[numbers.numbers], tape.weight)
        used = tape.weight > 0
        np.testing.assert_array_equal(everything.x[numbers.numbers][used], tape.x[used])
        np.testing.assert_array_equal(everything.y[numbers.numbers][used], tape.y[used])


def test_short_epochs_take_the_data_up_where_they_left_it():
    trained = [row for train, _, _ in epochs(batches(20, size=4, epoch_batches=2), 5) for row in train]
    assert sorted(trained[:20]) == sorted(range(20))
    assert len(trained) == 40


def test_whole_tapes_hold_all_rows_and_a_power_of_two_slots():
    tape, cursor = next(batches(40, 9, 5, size=4).whole_tapes(Cursor(), lambda: 6, 6))
    segment = Segment(*np.asarray(tape.segments)[0])
    assert tape.x.shape[0] == 16
    assert cursor == Cursor(6)
    y, used = np.asarray(tape.y), np.asarray(tape.weight) > 0
    assert sorted(y[: segment.train_last][used[: segment.train_last]]) == list(range(40))
    assert sorted(y[segment.valid_first : segment.valid_last][used[segment.valid_first : segment.valid_last]]) == list(
        range(40, 49)
    )


def test_the_shape_of_a_tape_depends_on_the_batch_alone():
    assert batches(10).n_slots == batches(100_000).n_slots
    assert n_slots(32, 90) == 1024
    assert n_slots(1024, 1 << 20) == 8
    assert n_slots(32, 90, 10_000_000) == 8
    assert n_slots(32, 90, 1_000_000) == 62
    assert n_slots(32, 90, 10_000) == 1024


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 200), st.floats(0.05, 0.4), st.floats(0.05, 0.4), st.integers(1, 5), st.integers(0, 99))
def test_splits_are_disjoint_complete_and_stratified(n, valid, test, n_classes, seed):
    classes = np.random.default_rng(seed).integers(0, n_classes, n)
    split = split_rows(n, seed, valid=valid, test=test, classes=classes)
    assert sorted(np.concatenate(split)) == list(range(n))
    assert set(classes[split.train]) == set(classes)
    for part, share in ((split.valid, valid), (split.test, test)):
        for label in set(classes):
            assert abs((classes[part] == label).sum() - share * (classes == label).sum()) <= 2


def test_splits_follow_the_seed_and_the_purpose():
    same = [split_rows(100, 3, valid=0.2, test=0.2).train for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert not np.array_equal(same[0], split_rows(100, 4, valid=0.2, test=0.2).train)
    assert not np.array_equal(same[0], split_rows(100, 3, valid=0.2, test=0.2, purpose="other").train)


def test_too_few_rows_to_hold_any_out():
    with pytest.raises(InputError, match="too few"):
        split_rows(2, 0, valid=0.4, test=0.4)


@pytest.mark.parametrize("n", [40, 41, 47])
def test_folds_hold_out_every_row_once_with_the_classes_in_proportion(n):
    classes = np.where(np.arange(n + 5) % 4 == 0, 1, 0)
    split = Split(np.arange(8, n), np.arange(8), np.arange(n, n + 5))
    parts = folds(split, 0, classes)
    assert len(parts) == round(n / 8)
    np.testing.assert_array_equal(np.sort(np.concatenate([part.valid for part in parts])), np.arange(n))
    sizes = [len(part.valid) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    ones = [classes[part.valid].sum() for part in parts]
    assert max(ones) - min(ones) <= 1
    for part in parts:
        np.testing.assert_array_equal(np.sort(np.concatenate([part.train, part.valid])), np.arange(n))
        np.testing.assert_array_equal(part.test, split.test)
    again, other = folds(split, 0, classes), folds(split, 1, classes)
    assert all(np.array_equal(a.valid, b.valid) for a, b in zip(parts, again, strict=True))
    assert any(not np.array_equal(a.valid, b.valid) for a, b in zip(parts, other, strict=True))


def test_padded_batches_hold_the_same_rows_in_the_slots_of_a_larger_size():
    own, larger = batches(50, 9, 7, size=8), batches(50, 9, 7, size=32)
    padded_up = dataclasses.replace(own, padded_to=32)
    assert epochs(padded_up, 3) == epochs(own, 3)
    assert [a.shape for a in padded_up.tape(Cursor())[0][:4]] == [a.shape for a in larger.tape(Cursor())[0][:4]]
    assert (padded_up.tape(Cursor())[0].weight > 0).sum(axis=1).max() == 8


@pytest.mark.parametrize(("most", "looked"), [(16, [0, 1, 2, 4, 8, 16, 32, 63]), (3, [0, 1, 2]), (0, [])])
def test_a_step_that_is_looked_at_is_a_segment_of_its_own(most, looked):
    stream = batches(16, 4, size=4, looks=most)
    tape, _ = stream.tape(Cursor())
    segments = [Segment(*row) for row in tape.segments[: tape.n_segments]]
    epoch, seen = 0, []
    for segment in segments:
        if segment.looks:
            assert segment.train_last - segment.train_first == 1
            seen.append(epoch)
        epoch += segment.closes
    assert seen[: len(looked)] == looked
    assert len(seen) <= most


def test_large_networks_are_looked_at_less_often():
    """The weights before and after each look are kept until the tape ends."""
    assert [most_looks(n) for n in (1, 10_000, 500_000, 10_000_000)] == [16, 16, 4, 1]
