"""A table that is larger than memory: a sample of it in memory, its training rows encoded on disk.

1. `draw` reads the file once, a block at a time, and keeps a uniform sample of its rows as they are: each row draws a
   number, and the lowest stay. The lowest of these are held out, for the test and for validation, at most `HELD_ROWS`
   or a quarter of the sample for each; by the others, `SAMPLE_ROWS` at most, the recipe chooses rate and batch size.
2. The schema and the encoders come from that sample. Means, medians and deviations are therefore those of some hundred
   thousand rows (off by a five-hundredth of a deviation), and a level that is not among them counts as "other"; the
   classes are those of the whole file.
3. `Store.write` reads the file once more and writes every row that is not held out, encoded, to a file without a name
   beside the run: nothing is left of it, however the process ends. Where the sample is the whole table, which then
   fits, this pass is not needed.
4. `StoredBatches` trains on that file in an order of its own: it is cut into `STRIPES` stretches, of which each batch
   has equal shares, and these into chunks of `CHUNK_BYTES`. The chunks are shuffled anew for every epoch, and so are
   the rows of every `GROUP_BYTES` of chunks. A batch then has rows of up to 512 places of the file, and the disk is
   read a chunk at a time. Of several processes that train together each writes and reads the stripes of its own rows
   only.

In memory are the sample, the chunks of two groups, and what the operating system keeps of the file, which it takes back
when it is short.
"""

import dataclasses
import functools
import itertools
import math
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import polars as pl

from axonic.data.batches import Batches, Room, Rows, Split
from axonic.data.encoding import TableEncoder
from axonic.data.reading import Blocks
from axonic.data.schema import Schema, check_name, infer_schema, target_values
from axonic.data.targets import TargetEncoder
from axonic.data.values import as_text, in_file, is_text, missing
from axonic.errors import InputError
from axonic.seeds import generator

HELD_ROWS, SAMPLE_ROWS = 100_000, 200_000
SAMPLE_VALUES = 64 << 20
"""Values of the sample at most, however many columns the table has."""
MOST_CLASSES = 100_000
CHUNK_BYTES, GROUP_BYTES = 128 << 10, 64 << 20
STRIPES = 8


class Drawn(NamedTuple):
    """What one pass has found.

    Attributes
    ----------
    frame : rows that have a target, in the order of the file.
    key : (rows,) the number that each has drawn; the lowest were kept.
    place : (rows,) how many rows with a target stand before it in the file.
    number : (rows,) row of the file, counted from 0.
    n_rows : rows with a target in the file.
    n_read : rows of the file.
    labels : values of the target with how often they occur, if they are no more than `MOST_CLASSES`; otherwise None.
    starts : (blocks + 1, 2) rows of the file before each block that was read, and those of them that have a target.
    """

    frame: pl.DataFrame
    key: np.ndarray
    place: np.ndarray
    number: np.ndarray
    n_rows: int
    n_read: int
    labels: pl.DataFrame | None
    starts: np.ndarray

    @property
    def whole(self) -> bool:
        """Whether these are all rows that have a target."""
        return len(self.frame) == self.n_rows

    def judged(self, target: str, task: str) -> "tuple[Drawn, Schema]":
        """The sample with its schema. Classes that the sample has one row of, and the file more, are none that can't be
        learned: these rows are left out of the sample.

        Raises
        ------
        InputError : as `infer_schema`.
        """
        if self.labels is not None and not self.whole:
            shown = self.frame[target]
            several = (as_text(shown) if is_text(shown) else shown).is_duplicated().to_numpy()
            if not several.all() and several.any():
                fewer = self.frame.filter(several)
                with in_file(rows=self.number[several]):
                    schema = infer_schema(fewer, target, task)
                if schema.task == "classification":
                    kept = {name: getattr(self, name)[several] for name in ("key", "place", "number")}
                    return self._replace(frame=fewer, **kept), schema
        with in_file(rows=self.number):
            return self, infer_schema(self.frame, target, task)

    def split(self, valid: float, test: float) -> Split:
        """The sample's parts: those of the lowest numbers are held out."""
        most = min(HELD_ROWS, len(self.frame) // 4)
        n_test, n_valid = (min(round(share * self.n_rows), most) for share in (test, valid))
        order = np.argsort(self.key, kind="stable")
        parts = np.split(order, [n_test, n_test + n_valid])
        return Split(np.sort(parts[2]), np.sort(parts[1]), np.sort(parts[0]))


def draw(blocks: Blocks, target: str, seed: int, told: Callable[[int], None] = lambda n: None) -> Drawn:
    """Read a file once; see the module.

    Parameters
    ----------
    blocks : the file.
    target : the column that rows must have a value of.
    seed : of the sample.
    told : is called with the number of rows read.

    Raises
    ------
    InputError : the file can't be read, has no such column, or no row with a target.
    """
    check_name(target, blocks.names, "target")
    room = min(2 * HELD_ROWS + SAMPLE_ROWS, max(1000, SAMPLE_VALUES // len(blocks.names)))
    rng, kept, limit = generator(seed, "sample"), _Kept(), 1.0
    n_rows = n_read = 0
    labels: pl.DataFrame | None = pl.DataFrame()
    starts = [(0, 0)]
    for block in blocks:
        usable = np.flatnonzero(~missing(block[target]).to_numpy())
        labels = _counted(labels, block[target].gather(usable))
        key = rng.random(len(usable))
        low = np.flatnonzero(key < limit)
        kept.add(block[usable[low]], key[low], n_rows + low, n_read + usable[low])
        if kept.n > 2 * room:
            limit = kept.trim(room)
        n_rows, n_read = n_rows + len(usable), n_read + len(block)
        starts.append((n_read, n_rows))
        told(n_read)
    if n_rows == 0:
        raise InputError("the target has no values", "fill the column, or choose another target", f"target {target!r}")
    kept.trim(room)
    frame, key, place, number = kept.parts[0]
    if labels is not None:
        values = blocks.typed(labels.select(pl.col("label").alias(target)))[target]
        labels = pl.DataFrame({"label": as_text(values) if is_text(values) else values, "count": labels["count"]})
        labels = labels.group_by("label").sum().sort("label")
    return Drawn(blocks.typed(frame), key, place, number, n_rows, n_read, labels, np.array(starts))


class _Kept:
    """Rows with what they have drawn."""

    def __init__(self) -> None:
        self.parts: list[tuple[pl.DataFrame, np.ndarray, np.ndarray, np.ndarray]] = []
        self.n = 0

    def add(self, frame: pl.DataFrame, *arrays: np.ndarray) -> None:
        if len(frame) or not self.parts:
            self.parts.append((frame, *arrays))  # pyright: ignore[reportArgumentType]
            self.n += len(frame)

    def trim(self, room: int) -> float:
        """Keep the rows of the lowest numbers, in their order; the number that others have to be below."""
        frames, *arrays = zip(*self.parts, strict=True)
        key, place, number = map(np.concatenate, arrays)
        lowest = np.sort(np.argsort(key, kind="stable")[:room])
        frame = pl.concat(frames, how="vertical_relaxed")[lowest].rechunk()
        self.parts, self.n = [(frame, key[lowest], place[lowest], number[lowest])], len(lowest)
        return float(key[lowest].max()) if len(key) > room else 1.0


def _counted(labels: pl.DataFrame | None, values: pl.Series) -> pl.DataFrame | None:
    """The counts of the values so far with those of a block; None once they are too many."""
    if labels is None or values.dtype.is_nested():
        return None
    new = values.rename("label").value_counts(name="count").with_columns(pl.col("count").cast(pl.Int64))
    labels = pl.concat([labels, new], how="vertical_relaxed").group_by("label").sum() if len(labels) else new
    return labels if len(labels) <= MOST_CLASSES else None


@dataclasses.dataclass(frozen=True)
class Store:
    """Encoded rows on disk, all that are trained on, in the order of the file they come from; or of several processes
    that train together the share of this one, the rows from `first` on.

    Attributes
    ----------
    files : of the inputs and of the targets.
    shapes, dtypes : of a row of each.
    n_train : rows that are trained on.
    first : the first of them that is here.
    n_rows : rows of the file they come from.
    checksum : of everything that was written here; those of all shares add up to that of the whole.
    factor : (n_classes,) weight of the rows of each class; None weighs all rows alike.
    """

    files: tuple[IO[bytes], IO[bytes]]
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    dtypes: tuple[np.dtype, np.dtype]
    n_train: int
    first: int
    n_rows: int
    checksum: int
    factor: np.ndarray | None = None
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @classmethod
    def write(
        cls,
        blocks: Blocks,
        drawn: Drawn,
        rows: Rows,
        split: Split,
        schema: Schema,
        encoder: TableEncoder,
        target: TargetEncoder,
        folder: Path,
        told: Callable[[int], None] = lambda n: None,
        share: tuple[int, int] = (0, 1),
    ) -> "Store":
        """Encode a file into another one.

        Parameters
        ----------
        blocks, drawn : the file and the sample.
        rows, split : the sample encoded, and its parts; test rows of another file may stand behind those of the sample.
        schema, encoder, target : of the sample.
        folder : where the encoded file is written.
        told : is called with the number of rows read.
        share : which of how many equal shares is written.

        Raises
        ------
        InputError : a value does not fit its column, or the disk is full.
        """
        held = np.concatenate([split.valid, split.test])
        out = np.sort(drawn.place[held[held < len(drawn.place)]])
        n_train = drawn.n_rows - len(out)
        first, last = (n_train * (share[0] + end) // share[1] for end in (0, 1))
        if drawn.whole:
            own = split.train[first:last]
            parts = iter([(rows.x[own], rows.y[own])] if len(own) else [])
        else:
            parts = _encoded(blocks, drawn.starts, out, (first, last), schema, encoder, target, told)
        files, checksum, n = (_nameless(folder), _nameless(folder)), 0, first
        try:
            for part in parts:
                for file, array in zip(files, part, strict=True):
                    checksum += _checksum(array, n)
                    _write(file, np.ascontiguousarray(array).data.cast("B"), folder)
                n += len(part[0])
        except BaseException:
            for file in files:
                file.close()
            raise
        shapes, dtypes = (rows.x.shape[1:], rows.y.shape[1:]), (rows.x.dtype, rows.y.dtype)
        return cls(files, shapes, dtypes, n_train, first, drawn.n_read, checksum)

    def read(self, places: np.ndarray, count: int, end: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of `count` rows from each of these places on, or as many as there are before `end`."""
        found, end = [], self.n_train if end is None else end
        for file, shape, dtype in zip(self.files, self.shapes, self.dtypes, strict=True):
            array = np.empty((len(places) * count, *shape), dtype)
            size, done = dtype.itemsize * math.prod(shape), 0
            into = array.data.cast("B")
            with self.lock:
                for place in places.tolist():
                    n = min(count, end - place)
                    file.seek((place - self.first) * size)
                    part = into[done * size : (done + n) * size]
                    while part:
                        part = part[file.readinto(part) :]  # pyright: ignore[reportAttributeAccessIssue]
                    done += n
            found.append(array[:done])
        return found[0], found[1]

    def close(self) -> None:
        """Let go of the files, which then are no more."""
        for file in self.files:
            file.close()

    def batches(self, like: Batches) -> "StoredBatches":
        """Batches of all rows, otherwise like those of the sample.

        Raises
        ------
        InputError : so many processes can't share them.
        """
        split = like.split._replace(train=range(self.n_train))
        own = {field.name: getattr(like, field.name) for field in dataclasses.fields(like)}
        made = StoredBatches(**{**own, "split": split, "epoch_batches": None, "on_device": None}, store=self)
        if made.stripes % like.processes or like.batch_size % like.devices:
            raise InputError(
                f"batches of {like.batch_size} rows read from disk can't be shared by {like.processes} processes",
                f"give a --batch-size that is a multiple of {math.lcm(like.processes, like.devices)}",
                "--batch-size",
            )
        return made


def _checksum(array: np.ndarray, first: int) -> int:
    """A number that changes with any row and with its place, the first one at `first`; sums of parts are those of the
    whole, modulo 2^64."""
    numbers = array.reshape(len(array), -1).view(np.uint32).astype(np.uint64)
    with np.errstate(over="ignore"):
        odd = np.arange(1, 2 * numbers.shape[1], 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        places = np.arange(2 * first + 1, 2 * (first + len(array)), 2, dtype=np.uint64)
        return int(((numbers @ odd + places) * places * np.uint64(0xBF58476D1CE4E5B9)).sum(dtype=np.uint64))


def _write(file: IO[bytes], data: memoryview, folder: Path) -> None:
    try:
        while data:
            data = data[file.write(data) :]
    except OSError as error:
        what = f"the encoded table can't be written: {error.strerror or error}"
        raise InputError(what, "it takes 4 bytes a value; give --out on a larger disk", str(folder)) from error


def _nameless(folder: Path) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(dir=folder, buffering=0)
    except OSError as error:
        how = "name another folder with --out"
        raise InputError(f"can't be written to: {error.strerror or error}", how, str(folder)) from error


def _encoded(
    blocks: Blocks,
    starts: np.ndarray,
    held: np.ndarray,
    share: tuple[int, int],
    schema: Schema,
    encoder: TableEncoder,
    target: TargetEncoder,
    told: Callable[[int], None],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows of a file that have a target and are not held out, encoded block by block: those from `share[0]` to
    before `share[1]` in their order."""
    trained = starts[:, 1] - np.searchsorted(held, starts[:, 1])  # before each block
    begin, end = np.searchsorted(trained, share[0], side="right") - 1, np.searchsorted(trained, share[1])
    for n_read, block in blocks.between(int(starts[begin, 0]), int(starts[end, 0])):
        number = np.searchsorted(starts[:, 0], n_read, side="right") - 1
        usable = np.flatnonzero(~missing(block[schema.target]).to_numpy())
        first, last = np.searchsorted(held, starts[number : number + 2, 1])
        usable = np.delete(usable, held[first:last] - starts[number, 1])
        usable = usable[max(share[0] - trained[number], 0) : max(share[1] - trained[number], 0)]
        if len(usable):
            with in_file(blocks.path, range(n_read, n_read + len(block))):
                x, values = encoder.transform(block, usable), target_values(block, schema)
            with in_file(blocks.path, n_read + usable):
                y = target.transform(values[usable])
            yield x, y
        told(n_read + len(block))


class Group(NamedTuple):
    """Rows of some chunks, and the order in which they are taken."""

    x: np.ndarray
    y: np.ndarray
    order: np.ndarray


@dataclasses.dataclass(frozen=True)
class StoredBatches(Batches):
    """Tapes of rows on disk; see the module. `split.train` is a range: of the rows on disk. Those that are held out are
    in memory. Where a slot of a tape has the number of a row, one on disk has -2 - its place in the order of all passes
    one after the other, where a pass goes through one stripe after the other."""

    store: Store = dataclasses.field(kw_only=True)

    @functools.cached_property
    def stripes(self) -> int:
        """How many stretches of the file each batch has an equal share of."""
        if not self.shuffle:
            return 1
        usual = math.gcd(STRIPES, self.batch_size)
        return usual if usual % self.processes == 0 else math.gcd(self.processes, self.batch_size)

    @functools.cached_property
    def _bounds(self) -> np.ndarray:
        """The first row of each stripe, and the end of the last one."""
        return len(self.split.train) * np.arange(self.stripes + 1) // self.stripes

    @property
    def batches_per_pass(self) -> int:
        return -(-int(np.diff(self._bounds).max()) // (self.batch_size // self.stripes))

    @functools.cached_property
    def chunk_rows(self) -> int:
        """Rows that stay side by side until they are shuffled among those of other chunks."""
        return max(1, CHUNK_BYTES // (self.rows.x.dtype.itemsize * self.rows.x.shape[1]))

    @functools.cached_property
    def group_rows(self) -> int:
        """Rows of a stripe that are shuffled together."""
        return self.chunk_rows * max(1, GROUP_BYTES // CHUNK_BYTES // self.stripes)

    def group(self, number: int, stripe: int, group: int) -> Group:
        """A group of chunks of a stripe in a pass; its last chunk, which may be short, is always in the last group."""
        remembered: dict[tuple[int, int, int], Group] = self.__dict__.setdefault("_groups", {})
        if (number, stripe, group) not in remembered:
            of_stripe = [key for key in remembered if key[1] == stripe]
            for key in of_stripe[:-1]:
                remembered.pop(key)
            first, end = (int(bound) for bound in self._bounds[stripe : stripe + 2])
            n, size = end - first, self.group_rows // self.chunk_rows
            chunks = np.arange(n // self.chunk_rows)
            if self.shuffle:
                chunks = generator(self.seed, "chunks", number, stripe).permutation(chunks)
            if n % self.chunk_rows:
                chunks = np.append(chunks, n // self.chunk_rows)
            chunks = chunks[group * size : (group + 1) * size]
            x, y = self.store.read(first + chunks * self.chunk_rows, self.chunk_rows, end)
            order = np.arange(len(x))
            if self.shuffle:
                order = generator(self.seed, "rows", number, stripe, group).permutation(order)
            remembered[number, stripe, group] = Group(x, y, order)
        return remembered[number, stripe, group]

    def _place_train(self, slots: np.ndarray, free: int, epoch: int, done: int) -> tuple[tuple[int, int], int, int]:
        begin, width = free, self.batch_size // self.stripes
        while done < self.batches_per_epoch and free < len(slots):
            number, offset = divmod(epoch * self.batches_per_epoch + done, self.batches_per_pass)
            count = min(self.batches_per_epoch - done, len(slots) - free, self.batches_per_pass - offset)
            places = np.arange(offset * width, (offset + count) * width).reshape(count, width)
            for stripe, (first, end) in enumerate(itertools.pairwise(self._bounds)):
                numbers = -2 - (number * len(self.split.train) + first + places)
                own = slots[free : free + count, stripe * width : (stripe + 1) * width]
                own[...] = np.where(places < end - first, numbers, -1)
            free, done = free + count, done + count
        return (begin, free), done, free

    def _fill(self, slots: np.ndarray, buffers: Room) -> None:
        empty, held = slots == -1, slots >= 0
        for out, rows in zip(buffers[:2], self.rows[:2], strict=True):
            out[empty] = 0
            out[held] = rows[slots[held]]
        width = self.batch_size // self.stripes
        for begin in range(0, slots.shape[1], width):
            columns = slice(begin, begin + width)
            self._fill_stripe(slots[:, columns], buffers.x[:, columns], buffers.y[:, columns])
        factor = self.store.factor
        buffers.weight[...] = 1 if factor is None else factor[buffers.y]
        buffers.weight[empty] = 0

    def _fill_stripe(self, slots: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        """Put the rows of one stripe on disk into their places."""
        places = np.argwhere(slots < -1)
        passes, rows = np.divmod(-2 - slots[slots < -1], len(self.split.train))
        if len(rows) == 0:
            return
        stripe = int(np.searchsorted(self._bounds, rows[0], side="right")) - 1
        rows -= self._bounds[stripe]
        groups = rows // self.group_rows
        begins = np.flatnonzero(np.diff(passes, prepend=-1) | np.diff(groups, prepend=-1))
        for begin, end in itertools.pairwise([*begins, len(rows)]):
            group = self.group(int(passes[begin]), stripe, int(groups[begin]))
            taken = group.order[rows[begin:end] - groups[begin] * self.group_rows]
            slot, row = places[begin:end].T
            x[slot, row], y[slot, row] = group.x[taken], group.y[taken]


def fits(blocks: Blocks) -> bool:
    """Whether a table would take no more than half of the memory there is."""
    return blocks.size <= memory() // 2


def memory() -> int:
    """Bytes of memory that the process may use: the machine's, or what the control group allows."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 62
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (Path("/sys/fs/cgroup") / name).read_text().strip()
        except OSError:
            continue
        total = min(total, int(text)) if text.isdigit() else total
    return total
