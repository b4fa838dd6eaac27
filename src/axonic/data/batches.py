"""Which rows are trained on when: splits, and the tapes of batches that the compiled loop runs over.

The loop is compiled for one shape and serves any number of rows. It is fed *tapes*: a fixed number of slots, each a
batch of `batch_size` rows, and a list of *segments* that say which slots to train on, which to evaluate, and where an
epoch ends. A small table puts many epochs on one tape, a large one spreads an epoch over many tapes; either way the
rows are shuffled and gathered on the host while the device computes on the tape before.

Where all rows lie in the memory of an accelerator (`Batches.on_device`), a tape holds their numbers instead, and the
loop gathers them there.

Held-out rows that fit in a quarter of a tape are placed on it once and evaluated at the end of each of its epochs;
larger sets follow the training batches, slot by slot.

Sequences are padded to the longest of the data set, since there is one shape, but the network goes no further than the
longest of its batch (`axonic.layers.recurrence`). So batches are made of sequences of similar lengths: shuffled, sorted
by the class of their length (`length_classes`), cut into batches, and the batches shuffled.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from axonic.data.ragged import Ragged
from axonic.errors import InputError
from axonic.seeds import generator
from axonic.types import Sequence

TAPE_BYTES = 16 << 20
TAPE_WORK = 2_000_000_000
"""Weights times rows (of sequences: steps) of a tape, which is run to its end before a fit can be ended."""
MAX_SLOTS = 1024
MIN_SLOTS = 8
RESIDENT_SHARE = 4
BLOCK_ROWS = 32_768
LOOKS, LOOK_BYTES = 16, 16 << 20
"""How many steps of a tape may be looked at (see `axonic.health`), and what the weights before and after them may take:
they are kept until the tape has been trained on."""
LOOK_STEPS, LOOK_WHOLE = 250, 8
"""Steps from one that is looked at to the next, so that looking costs some hundredths of the time; where every step
takes all rows, steps are longer."""
ALIGNMENT, FLOAT_BYTES = 64, 4
FILLED_UP = 8
SIMILAR = 1.2
"""Sequences of one class of lengths: the longest has at most so many times the steps of the shortest."""


class Rows(NamedTuple):
    """A data set in memory.

    Attributes
    ----------
    x : (n, n_in) float32, or n sequences with steps of n_in.
    y : (n,) int32 class indices, or (n, n_out) float32; or n sequences of either, a target for each step, where -1 or
        NaN is none.
    weight : (n,) float32, mean 1 over the training rows.
    """

    x: Any
    y: Any
    weight: np.ndarray

    @property
    def classes(self) -> np.ndarray | None:
        """(n,) class of each row; None for numbers and where each step has a target."""
        return self.y if isinstance(self.y, np.ndarray) and self.y.dtype.kind == "i" else None


class Split(NamedTuple):
    """Row numbers of the three parts, int64 each; a part may be empty. Of rows on disk `train` is a range of them."""

    train: np.ndarray | Any
    valid: np.ndarray
    test: np.ndarray


class Segment(NamedTuple):
    """Slots to train on and to evaluate, each from its first to before its last, whether (1) the epoch ends after them,
    and whether (1) its only step is looked at. A table of segments has one column for each number, in this order."""

    train_first: int
    train_last: int
    valid_first: int
    valid_last: int
    test_first: int
    test_last: int
    closes: int
    looks: int = 0


class Tape(NamedTuple):
    """What one call of the compiled loop reads: NumPy arrays as they are prepared, JAX arrays on the device.

    Attributes
    ----------
    x, y, weight : as in `Rows`, with leading axes (slot, row); weight 0 marks padding. Sequences are a `Sequence`,
        targets of each step have a third axis of time, -1 or NaN where there are none.
    segments : (slot, 8) int32, rows of `Segment`; only the first `n_segments` count.
    n_segments : int32.
    numbers : None if each slot holds its own rows. Or x, y and weight are all rows there are, (n, ...), the last one of
        them padding, and this says which is where: (slot, row) int32, -1 for padding.
    """

    x: Any
    y: Any
    weight: Any
    segments: Any
    n_segments: Any
    numbers: Any = None


class Room(NamedTuple):
    """Arrays to put rows into, as they lie on a tape."""

    x: Any
    y: Any
    weight: Any


class Cursor(NamedTuple):
    """Where a tape begins: epoch, and how many batches of that epoch (training, then held-out) are done."""

    epoch: int = 0
    batch: int = 0


def n_slots(batch_size: int, row_bytes: int, row_work: int = 0) -> int:
    """Slots of a tape of about 16 MB, or that takes about a second to train on, if that is less; between 8 and 1,024.
    Depends on the network and the shape of a batch alone."""
    by_work = TAPE_WORK // max(1, batch_size * row_work)
    return int(np.clip(min(TAPE_BYTES // (batch_size * row_bytes), by_work), MIN_SLOTS, MAX_SLOTS))


def most_looks(n_weights: int) -> int:
    """How many steps of a tape may be looked at, of a network with so many weights."""
    return int(np.clip(LOOK_BYTES // (2 * FLOAT_BYTES * n_weights), 1, LOOKS))


def row_bytes(rows: Rows) -> int:
    """Bytes of one row with its target and weight, padded."""
    x, *others = room(rows, (1,))
    return sum(array.nbytes for array in (*(x if isinstance(x, Sequence) else (x,)), *others))


def room(rows: Rows, shape: tuple[int, ...]) -> Room:
    """Room for rows in that shape."""

    def of(array: np.ndarray | Ragged) -> np.ndarray:
        if isinstance(array, Ragged):
            return aligned((*shape, array.longest, *array.shape[1:]), array.values.dtype)
        return aligned(shape + array.shape[1:], array.dtype)

    x, y, weight = map(of, rows)
    if isinstance(rows.x, Ragged):
        mask = aligned((*shape, rows.x.longest), np.dtype(bool))
        return Room(Sequence(x, mask), y, weight)  # pyright: ignore[reportArgumentType]
    return Room(x, y, weight)


def gather(rows: Rows, slots: np.ndarray, out: Room) -> None:
    """Fill `out` with the rows of these numbers; -1 is a row of padding."""
    if isinstance(rows.x, Ragged):
        rows.x.fill(slots, *out.x)
    else:
        np.take(rows.x, slots, axis=0, out=out.x, mode="clip")
    if isinstance(rows.y, Ragged):
        rows.y.fill(slots, out.y, nothing=-1 if rows.y.values.dtype.kind == "i" else np.nan)
    else:
        np.take(rows.y, slots, axis=0, out=out.y, mode="clip")
    np.take(rows.weight, slots, axis=0, out=out.weight, mode="clip")
    out.weight[slots < 0] = 0


def padded(rows: Rows) -> Room:
    """All rows, filled up to a power of two with one row of padding at least, so that tables of similar size share one
    program."""
    n = len(rows.weight)
    numbers = np.full(1 << n.bit_length(), -1, np.int64)
    numbers[:n] = np.arange(n)
    out = room(rows, numbers.shape)
    gather(rows, numbers, out)
    return out


def length_classes(lengths: np.ndarray) -> np.ndarray:
    """(n,) class of each length, 0 for the longest; within a class lengths differ by the factor `SIMILAR` at most."""
    kinds = -np.unique(-lengths)  # falling
    number, longest, numbers = -1, math.inf, {}
    for length in kinds.tolist():
        if length * SIMILAR < longest:
            number, longest = number + 1, length
        numbers[length] = number
    return np.array([numbers[length] for length in lengths.tolist()], np.int64)


@dataclasses.dataclass(frozen=True)
class Batches:
    """The endless sequence of tapes over a split, a pure function of the seed and the cursor.

    Parameters
    ----------
    rows, split : the data and its parts.
    batch_size : the most rows of a batch; the rows of a pass are dealt out evenly to as few batches as hold them (not
        shuffled, all batches but the last are full), which are padded with weight 0.
    seed : folds with the epoch into the shuffle of that epoch.
    shuffle : False trains on the rows in their order.
    epoch_batches : training batches after which the held-out rows are evaluated; None is a pass over the data.
        When it is given, an "epoch" takes up the data where the last one stopped.
    devices : how many devices share the rows of each batch.
    processes, process : how many processes they belong to, and which of them this one is, counted from 0: its tapes
        have its share of the rows only.
    n_weights : of the network, by which a row has work.
    looks : how many steps of a tape may be looked at: the first ones of the epochs 0, 1, 2, 4, 8, ... until there are
        `LOOK_STEPS` steps from one to the next, and then at that distance.
    on_device : `padded(rows)` in the memory of an accelerator; tapes then have their numbers.
    padded_to : rows of a slot at the least; smaller batches that are padded to those of a larger size run in its
        program, which need not be compiled again.
    """

    rows: Rows
    split: Split
    batch_size: int
    seed: int = 0
    shuffle: bool = True
    epoch_batches: int | None = None
    n_weights: int = 0
    looks: int = 0
    devices: int = 1
    processes: int = 1
    process: int = 0
    on_device: Room | None = None
    padded_to: int = 0

    @functools.cached_property
    def width(self) -> int:
        """Rows of a batch, and what padding there is. A row of padding costs as much as any, of sequences a lot, and
        they are compiled for their number of steps anyway: there a batch that rows are dealt out to evenly is filled up
        to a multiple of `FILLED_UP` only."""
        if self._lengths is None or not self.shuffle or self.devices > 1:
            return self.batch_size
        count = -(-len(self.split.train) // self.batch_size)
        even = -(-len(self.split.train) // max(1, count))
        return min(self.batch_size, max(1, -(-even // FILLED_UP)) * FILLED_UP)

    @functools.cached_property
    def slot_rows(self) -> int:
        """Rows of a slot: those of a batch, filled up to a multiple of the devices."""
        return -(-max(self.width, self.padded_to) // self.devices) * self.devices

    @property
    def share(self) -> slice:
        """Which rows of a slot are those of this process."""
        size = self.slot_rows // self.processes
        return slice(self.process * size, (self.process + 1) * size)

    @functools.cached_property
    def n_slots(self) -> int:
        steps = self.rows.x.longest if isinstance(self.rows.x, Ragged) else 1
        return n_slots(self.slot_rows, row_bytes(self.rows), self.n_weights * steps)

    @functools.cached_property
    def batches_per_pass(self) -> int:
        return self._count(self.split.train)

    @functools.cached_property
    def _passes_per_block(self) -> int:
        return int(np.clip(BLOCK_ROWS // len(self.split.train), 1, MAX_SLOTS))

    @property
    def batches_per_epoch(self) -> int:
        return self.epoch_batches or self.batches_per_pass

    def looks_at(self, epoch: int, spacing: int) -> bool:
        """Whether the first step of an epoch is looked at, with at most `spacing` epochs from one to the next."""
        return epoch % spacing == 0 or (epoch < spacing and epoch & (epoch - 1) == 0)

    def tapes(self, cursor: Cursor = Cursor()) -> Iterator[tuple[Tape, Cursor]]:  # noqa: B008
        """Tapes from `cursor` on, each with the cursor at which the next one begins.

        A tape holds until the one after the next is asked for: two sets of buffers take turns, since memory that is
        new to the process costs more than filling it.
        """
        buffers = [None, None] if self.on_device else [self._buffers(), self._buffers()]
        while True:
            tape, cursor = self.tape(cursor, buffers[0])
            yield tape, cursor
            buffers.reverse()

    def _buffers(self, n_slots: int | None = None) -> Room:
        """Room for the rows of a tape."""
        return room(self.rows, (n_slots or self.n_slots, self.share.stop - self.share.start))

    def tape(self, cursor: Cursor, buffers: Room | None = None) -> tuple[Tape, Cursor]:
        """The tape that begins at `cursor`, and the cursor after it; its rows are put into `buffers` if given."""
        slots, segments, after = self._plan(cursor)
        if self.on_device:
            numbers = self._filled_up(slots).astype(np.int32)
            return Tape(*self.on_device, *_table(segments, len(slots)), numbers), after
        return self._gather(slots, segments, buffers or self._buffers()), after

    def _plan(self, cursor: Cursor) -> tuple[np.ndarray, list[Segment], Cursor]:
        """The row numbers of the tape that begins at `cursor`, what to do with them, and the cursor after it."""
        slots = np.full((self.n_slots, self.width), -1, np.int64)
        segments: list[Segment] = []
        held = [(self._batches(part), self._count(part)) for part in (self.split.valid, self.split.test)]
        n_held = sum(count for _, count in held)
        resident = n_held <= self.n_slots // RESIDENT_SHARE
        free = self._place_resident(slots, held) if resident else 0

        epoch, done = cursor
        spacing, looked = -(-LOOK_STEPS // self.batches_per_epoch), 0
        while free < self.n_slots and len(segments) < self.n_slots:
            looks = int(done == 0 and looked < self.looks and self.looks_at(epoch, spacing))
            looked += looks
            train, done, free = self._place_train(slots, free, epoch, done)
            if looks and train[1] - train[0] > 1:
                segments.append(Segment(train[0], train[0] + 1, 0, 0, 0, 0, 0, 1))
                train, looks = (train[0] + 1, train[1]), 0
            spans = [(0, 0), (0, 0)]
            finished = done >= self.batches_per_epoch
            if finished and resident:
                spans = [(0, held[0][1]), (held[0][1], n_held)]
            elif finished:
                spans, done, free = self._place_held(slots, free, held, done)
                finished = done >= self.batches_per_epoch + n_held
            segments.append(Segment(*train, *spans[0], *spans[1], int(finished), looks))
            if finished:
                epoch, done = epoch + 1, 0
        return slots, segments, Cursor(epoch, done)

    def whole_tapes(self, cursor: Cursor, n_epochs: Callable[[], int], most: int) -> Iterator[tuple[Tape, Cursor]]:
        """Tapes for rules that need the whole training set at each step: every tape holds all rows and as many segments
        as `n_epochs` says when it is made (`most` at most), each of which trains on all training slots and evaluates
        the others. The number of slots is a power of two, so that tables of similar size share one program."""
        parts = [self._batches(part) for part in self.split]
        _, train, valid, test = (int(bound) for bound in np.cumsum([0, *(len(part) for part in parts)]))
        slots = np.full((max(MIN_SLOTS, 1 << (test - 1).bit_length()), self.width), -1, np.int64)
        slots[:test] = np.concatenate(parts)
        segments = [Segment(0, train, train, valid, valid, test, 1)] * most
        tape = self._gather(slots, segments, self._buffers(len(slots)), most)
        while True:
            epochs = range(cursor.epoch, cursor.epoch + n_epochs())
            table = tape.segments.copy()
            looked = [i for i, epoch in enumerate(epochs) if self.looks_at(epoch, LOOK_WHOLE)]
            table[looked[: self.looks], -1] = 1
            cursor = Cursor(epochs.stop)
            yield tape._replace(segments=table, n_segments=np.int32(len(epochs))), cursor

    def _count(self, part: np.ndarray | range) -> int:
        return -(-len(part) // self.width)

    def _batches(self, part: np.ndarray) -> np.ndarray:
        """Row numbers in rows of `width`, -1 for padding; sequences the longest first if they may be shuffled."""
        batches = np.full((self._count(part), self.width), -1, np.int64)
        if self._lengths is not None and self.shuffle:
            part = part[np.argsort(-self._lengths[part], kind="stable")]
        batches.reshape(-1)[: len(part)] = part
        return batches

    def _pass(self, number: int) -> np.ndarray:
        """The training batches of one pass over the data. Passes are shuffled a block at a time, which for small
        tables is much faster, and the last block is remembered."""
        if not self.shuffle:
            return self._batches(self.split.train)
        block, offset = divmod(number, self._passes_per_block)
        remembered: tuple[int, np.ndarray] | None = self.__dict__.get("_block")
        if remembered is None or remembered[0] != block:
            rows = np.broadcast_to(self.split.train, (self._passes_per_block, len(self.split.train)))
            rng = generator(self.seed, "shuffle", block)
            orders = rng.permuted(rows, axis=1)
            if self._length_classes is not None:
                similar = np.argsort(self._length_classes[orders], axis=1, kind="stable")
                orders = np.take_along_axis(orders, similar, axis=1)
            batches = np.full((len(orders), self.batches_per_pass * self.width), -1, np.int64)
            batches[:, self._places] = orders
            batches = batches.reshape(len(orders), -1, self.width)
            if self._length_classes is not None:
                places = rng.permuted(np.broadcast_to(np.arange(batches.shape[1]), batches.shape[:2]), axis=1)
                batches = np.take_along_axis(batches, places[..., None], axis=1)
            remembered = (block, batches)
            object.__setattr__(self, "_block", remembered)
        return remembered[1][offset]

    @functools.cached_property
    def _places(self) -> np.ndarray:
        """(n_train,) places of the rows of a pass in its batches, laid end to end: dealt out evenly, so that no batch
        is a few rows left over, whose gradient would be noisy and count as much as the others."""
        count, n = self.batches_per_pass, len(self.split.train)
        firsts = np.arange(count + 1) * n // count
        batch = np.repeat(np.arange(count), np.diff(firsts))
        return batch * self.width + np.arange(n) - firsts[batch]

    @functools.cached_property
    def _lengths(self) -> np.ndarray | None:
        """(n,) steps of each sequence; None for plain rows."""
        return self.rows.x.lengths if isinstance(self.rows.x, Ragged) else None

    @functools.cached_property
    def _length_classes(self) -> np.ndarray | None:
        """(n,) class of the length of each sequence; None where one class holds all."""
        if self._lengths is None or not (classes := length_classes(self._lengths)).any():
            return None
        return classes

    def _place_resident(self, slots: np.ndarray, held: list[tuple[np.ndarray, int]]) -> int:
        free = 0
        for batches, count in held:
            slots[free : free + count] = batches
            free += count
        return free

    def _place_train(self, slots: np.ndarray, free: int, epoch: int, done: int) -> tuple[tuple[int, int], int, int]:
        """Fill slots from `free` on with what is left of the epoch's training batches."""
        start = free
        while done < self.batches_per_epoch and free < len(slots):
            number, offset = divmod(epoch * self.batches_per_epoch + done, self.batches_per_pass)
            batches = self._pass(number)[offset:][: min(self.batches_per_epoch - done, len(slots) - free)]
            slots[free : free + len(batches)] = batches
            free, done = free + len(batches), done + len(batches)
        return (start, free), done, free

    def _place_held(
        self, slots: np.ndarray, free: int, held: list[tuple[np.ndarray, int]], done: int
    ) -> tuple[list[tuple[int, int]], int, int]:
        """Fill slots from `free` on with what is left of the held-out batches."""
        spans = []
        before = self.batches_per_epoch
        for batches, count in held:
            take = batches[max(done - before, 0) :][: len(slots) - free]
            slots[free : free + len(take)] = take
            spans.append((free, free + len(take)))
            free, done, before = free + len(take), done + len(take), before + count
        return spans, done, free

    def _gather(self, slots: np.ndarray, segments: list[Segment], buffers: Room, room: int = 0) -> Tape:
        table = _table(segments, max(len(slots), room))
        self._fill(np.ascontiguousarray(self._filled_up(slots)[:, self.share]), buffers)
        return Tape(*buffers, *table)

    def _filled_up(self, slots: np.ndarray) -> np.ndarray:
        """Row numbers of slots with the padding that batches do not have."""
        missing = self.slot_rows - slots.shape[1]
        return np.pad(slots, ((0, 0), (0, missing)), constant_values=-1) if missing else slots

    def _fill(self, slots: np.ndarray, buffers: Room) -> None:
        """Put the rows of these slots into the buffers."""
        gather(self.rows, slots, buffers)


def _table(segments: list[Segment], room: int) -> tuple[np.ndarray, np.int32]:
    """Segments in a table with room for so many, and their number."""
    table = np.zeros((room, len(Segment._fields)), np.int32)
    table[: len(segments)] = segments
    return table, np.int32(len(segments))


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array that begins where JAX can use it without a copy."""
    n_bytes = math.prod(shape) * dtype.itemsize
    memory = np.empty(n_bytes + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + n_bytes].view(dtype).reshape(shape)


def split_rows(
    n: int, seed: int, *, valid: float, test: float, classes: np.ndarray | None = None, purpose: str = "split"
) -> Split:
    """Split row numbers at random, stratified by class.

    Parameters
    ----------
    n : number of rows.
    seed, purpose : the seed, into which the purpose is folded.
    valid, test : shares of all rows, in [0, 1); a positive share gets at least one row.
    classes : (n,) class of each row; each class is then split in these shares as exactly as whole rows allow, and a
        class with a single row stays in training.

    Raises
    ------
    InputError : no row would be left for training.
    """
    rng = generator(seed, purpose)
    order = rng.permutation(n)
    n_test, n_valid = (0 if share <= 0 else max(1, round(share * n)) for share in (test, valid))
    if n - n_test - n_valid < 1:
        raise InputError(f"{n} rows are too few to hold {n_test + n_valid} of them out", "add rows or hold out fewer")
    if classes is None:
        cut = np.split(order, [n_test, n_test + n_valid])
        return Split(np.sort(cut[2]), np.sort(cut[1]), np.sort(cut[0]))
    held_test = _stratified(order, classes, n_test)
    rest = np.setdiff1d(order, held_test, assume_unique=True)
    rest = rng.permutation(rest)
    held_valid = _stratified(rest, classes, n_valid)
    return Split(np.setdiff1d(rest, held_valid), np.sort(held_valid), np.sort(held_test))


def class_factors(totals: np.ndarray) -> np.ndarray:
    """The factor on the weights of each class that gives the classes equal totals, their sum unchanged, from the total
    of each in training; 1 for a class that has none."""
    return np.divide(totals.sum() / np.count_nonzero(totals), totals, out=np.ones(len(totals)), where=totals > 0)


def resplit(split: Split, seed: int, classes: np.ndarray | None = None) -> Split:
    """A split with another validation part of the same size, drawn from the training and validation rows alike.

    Parameters
    ----------
    split : the split to change; its test part stays.
    seed : decides the draw.
    classes : (n,) class of each row of the data set, to stratify by.
    """
    rows = np.sort(np.concatenate([split.train, split.valid]))
    share = len(split.valid) / len(rows)
    part = split_rows(len(rows), seed, valid=share, test=0.0, classes=None if classes is None else classes[rows])
    return Split(rows[part.train], rows[part.valid], split.test)


def folds(split: Split, seed: int, classes: np.ndarray | None = None) -> list[Split]:
    """Splits that hold out every training and validation row once between them, about as many at a time as `split`
    does.

    Parameters
    ----------
    split : its test part stays.
    seed : decides which rows are held out together; different ones of the same `split`, and of other seeds.
    classes : (n,) class of each row of the data set, which every part has alike.
    """
    rows = np.concatenate([split.train, split.valid])
    count = max(2, round(len(rows) / len(split.valid)))
    order = generator(seed, "folds").permutation(np.sort(rows))
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
    held = [np.sort(order[first::count]) for first in range(count)]
    return [Split(np.setdiff1d(rows, part), part, split.test) for part in held]


def _stratified(order: np.ndarray, classes: np.ndarray, n_take: int) -> np.ndarray:
    """`n_take` of `order`, each class in proportion: largest remainders first, and never the last row of a class."""
    labels, inverse, counts = np.unique(classes[order], return_inverse=True, return_counts=True)
    exact = counts * (n_take / len(order))
    take = np.minimum(np.floor(exact).astype(int), counts - 1)
    for label in np.argsort(take - exact, kind="stable"):
        if take.sum() >= n_take:
            break
        take[label] += take[label] < counts[label] - 1
    return np.concatenate([order[inverse == label][: take[label]] for label in range(len(labels))])
