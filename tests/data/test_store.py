"""Tables that are read in parts: what is drawn, what is written, in which order it is trained on, and that a fit is the
one that the same rows in memory would give."""

import contextlib
import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from axonic import runs
from axonic.cli import main
from axonic.data import store
from axonic.data.batches import Batches, Cursor, Rows
from axonic.data.encoding import TableEncoder
from axonic.data.reading import Blocks, columnar, delimited, read_table
from axonic.data.schema import target_values
from axonic.data.store import Store, StoredBatches, draw
from axonic.data.targets import TargetEncoder
from axonic.errors import InputError
from axonic.recipe import Clock
from axonic.runs.request import Request, Silent
from axonic.runs.tables import prepare_parts
from axonic.settings import Settings
from axonic.storage import load_model


@pytest.fixture
def small(monkeypatch):
    """Rooms that a table of a few thousand rows does not fit in."""
    monkeypatch.setattr(store, "HELD_ROWS", 100)
    monkeypatch.setattr(store, "SAMPLE_ROWS", 300)
    monkeypatch.setattr(store, "SAMPLE_VALUES", 1 << 14)
    monkeypatch.setattr(store, "CHUNK_BYTES", 160)
    monkeypatch.setattr(store, "GROUP_BYTES", 8 * 1600)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 4000)
    monkeypatch.setattr(columnar, "BLOCK_VALUES", 4 * 1024)


ALONE = ["--ensemble", "1", "--regularization", "none", "--no-monitor"]


def table(n=4000, seed=0):
    """Numbers, text and dates, with gaps in all of them and in the target; `row` counts the rows."""
    rng = np.random.default_rng(seed)
    word = [None if g < 0.1 else f"w{k}" for g, k in zip(rng.random(n), rng.integers(0, 4, n), strict=True)]
    x = rng.standard_normal(n, dtype=np.float32)
    frame = pl.DataFrame(
        {
            "row": np.arange(n, dtype=np.float32),
            "x": np.where(rng.random(n) < 0.1, np.nan, x),
            "word": word,
            "day": pl.Series(np.datetime64("2020-01-01") + rng.integers(0, 1000, n)),
        }
    )
    score = x + np.array([0 if w is None else int(w[1]) - 1.5 for w in word]) + 0.3 * rng.standard_normal(n)
    target = [None if g < 0.05 else ("yes" if s > 0 else "no") for g, s in zip(rng.random(n), score, strict=True)]
    return frame.with_columns(target=pl.Series(target), number=pl.Series(score.astype(np.float32)))


def write(frame, path):
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)
    return path


# --- blocks ---


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_blocks_hold_what_the_whole_table_holds(tmp_path, ending):
    frame = table()
    if ending == ".csv":  # types that only the last rows tell
        late = ["1"] * (len(frame) - 1) + ["one"]
        frame = frame.with_columns(late=pl.Series(late), code=pl.Series(["02139"] * len(frame)), whole=pl.lit(7))
    blocks = Blocks(write(frame, tmp_path / f"t{ending}"))
    first = list(blocks)
    assert len(first) > 3
    whole = read_table(tmp_path / f"t{ending}")
    for each in (map(blocks.typed, first), blocks):  # the first pass, and a later one
        joined = pl.concat(each)
        assert joined.columns == whole.columns
        for column in joined:
            other = whole[column.name]
            if column.dtype.is_numeric():
                np.testing.assert_allclose(column.fill_null(np.nan), other.fill_null(np.nan).to_numpy(), rtol=1e-6)
            else:
                assert column.to_list() == other.to_list()


@pytest.mark.usefixtures("small")
def test_decimal_commas(tmp_path):
    (tmp_path / "t.csv").write_text("a;b\n" + "1,5;x\n" * 3000)
    blocks = Blocks(tmp_path / "t.csv")
    parts = [blocks.typed(part) for part in list(blocks)]
    assert pl.concat(parts)["a"].to_list() == [1.5] * 3000
    assert pl.concat(blocks)["a"].to_list() == [1.5] * 3000


# --- the sample ---


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_sample(tmp_path, ending):
    frame = table()
    blocks = Blocks(write(frame, tmp_path / f"t{ending}"))
    drawn = draw(blocks, "target", 0)
    known = frame.with_row_index("place").filter(pl.col("target").is_not_null())
    assert (drawn.n_rows, drawn.n_read, len(drawn.frame)) == (len(known), 4000, 500)
    assert not drawn.whole
    assert drawn.labels.rows() == [("no", (known["target"] == "no").sum()), ("yes", (known["target"] == "yes").sum())]
    np.testing.assert_array_equal(drawn.frame["row"], drawn.number)
    np.testing.assert_array_equal(known["place"].to_numpy()[drawn.place], drawn.number)
    assert (np.diff(drawn.number) > 0).all()
    again = draw(Blocks(tmp_path / f"t{ending}"), "target", 0)
    np.testing.assert_array_equal(again.number, drawn.number)
    assert (draw(blocks, "target", 1).number != drawn.number).any()
    split = drawn.split(0.15, 0.2)
    assert [len(part) for part in split] == [300, 100, 100]
    assert sorted(np.concatenate(split)) == list(range(500))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_a_row_that_can_not_be_learned_is_named_as_the_file_counts(tmp_path, ending):
    frame = table()
    row = int(draw(Blocks(write(frame, tmp_path / f"t{ending}")), "number", 0).number[300])  # of the sample the 300th
    bad = frame.with_columns(number=pl.when(pl.col("row") == row).then(np.inf).otherwise("number").cast(pl.Float64))
    drawn = draw(Blocks(write(bad, tmp_path / f"t{ending}")), "number", 0)
    with pytest.raises(InputError, match=rf"infinite \(column 'number', row {row + 1}\)"):
        drawn.judged("number", "auto")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("column", ["x", "number"])
def test_a_row_that_can_not_be_stored_is_named_as_the_file_counts(tmp_path, column):
    frame = table()
    drawn = draw(Blocks(write(frame, tmp_path / "t.parquet")), "number", 0)
    row = next(row for row in range(3500, 4000) if row not in drawn.number)
    write(
        frame.with_columns(pl.when(pl.col("row") == row).then(np.inf).otherwise(column).alias(column)),
        tmp_path / "t.parquet",
    )
    with (
        pytest.raises(InputError, match=rf"infinite \(.*t.parquet, column '{column}', row {row + 1}\)"),
        stored(tmp_path / "t.parquet", "number"),
    ):
        pass


@pytest.mark.usefixtures("small")
def test_every_row_is_as_likely_to_be_drawn(tmp_path):
    """Over 40 seeds each tenth of the file has its share, to four standard deviations of a hypergeometric count."""
    write(pl.DataFrame({"x": np.arange(4000.0), "y": np.arange(4000.0)}), tmp_path / "t.parquet")
    blocks = Blocks(tmp_path / "t.parquet")
    counts = np.zeros(10)
    for seed in range(40):
        drawn = draw(blocks, "y", seed)
        counts += np.bincount(drawn.number // 400, minlength=10)
    n = len(drawn.frame)
    deviation = np.sqrt(40 * n * 0.1 * 0.9 * (1 - n / 4000))
    assert np.abs(counts - 40 * n / 10).max() < 4 * deviation


@pytest.mark.usefixtures("small")
def test_a_class_that_the_sample_has_one_row_of(tmp_path):
    frame = table().with_columns(target=pl.when(pl.col("row") % 1000 == 7).then(pl.lit("rare")).otherwise("target"))
    path = write(frame, tmp_path / "t.parquet")
    for seed in range(20):
        drawn = draw(Blocks(path), "target", seed)
        if (drawn.frame["target"] == "rare").sum() == 1:
            break
    fewer, schema = drawn.judged("target", "auto")
    assert len(fewer.frame) == len(drawn.frame) - 1
    assert schema.task == "classification"
    assert "rare" in fewer.labels["label"]
    options = ["--target", "target", "--stream", "--epochs", "1", "--hidden", "2", "--learning-rate", "0.1"]
    options += ["--seed", str(seed), "--batch-size", "32", "--quiet", "--out", str(tmp_path / "run"), *ALONE]
    assert main(["fit", str(path), *options]) == 0
    assert load_model(tmp_path / "run").target.labels == ("no", "rare", "yes")


# --- the store and its batches ---


@contextlib.contextmanager
def stored(path, target="target", test=0.2, shares=((0, 1),)):
    """The stores of shares of a table, of the whole if nothing else is said, and what they are made of."""
    blocks = Blocks(path)
    drawn, schema = draw(blocks, target, 0).judged(target, "auto")
    split = drawn.split(0.15, test)
    y = target_values(drawn.frame, schema)
    encoder = TableEncoder.fit(drawn.frame, schema, split.train, standardize=False)
    coded = TargetEncoder.fit(y, schema.task, split.train)
    rows = Rows(encoder.transform(drawn.frame), coded.transform(y), np.ones(len(y), np.float32))
    with contextlib.ExitStack() as open_ones:
        made = [
            open_ones.enter_context(
                contextlib.closing(
                    Store.write(blocks, drawn, rows, split, schema, encoder, coded, path.parent, share=share)
                )
            )
            for share in shares
        ]
        yield *made, Batches(rows, split, 32), drawn, encoder, coded


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_every_row_that_is_not_held_out_is_stored(tmp_path, ending):
    frame = table()
    with stored(write(frame, tmp_path / f"t{ending}")) as (made, like, drawn, encoder, coded):
        known = frame.filter(pl.col("target").is_not_null())
        held = np.concatenate([like.split.valid, like.split.test])
        rest = known.filter(~pl.col("row").is_in(drawn.number[held].astype(np.float32)))
        assert made.n_train == len(rest) == len(known) - 200
        x, y = made.read(np.array([0]), made.n_train)
        np.testing.assert_array_equal(x, encoder.transform(rest))
        np.testing.assert_array_equal(y, coded.transform(rest["target"]))
        x, y = made.read(np.array([made.n_train - 2, 5]), 3)  # the end is shorter
        np.testing.assert_array_equal(x[:, 0], rest["row"].to_numpy()[[-2, -1, 5, 6, 7]])
        assert [path.name for path in tmp_path.iterdir()] == [f"t{ending}"]  # the store has no name


def passes(batches, n):
    """The first column of the rows that each of n epochs is trained on, in order, and their weights."""
    found, cursor, rows = [], Cursor(), []
    while len(found) < n:
        tape, cursor = batches.tape(cursor)
        for segment in tape.segments[: tape.n_segments]:
            first, last = segment[:2]
            rows.append(tape.x[first:last, :, 0][tape.weight[first:last] > 0])
            if segment[6]:
                found.append(np.concatenate(rows))
                rows = []
    return found[:n]


@pytest.mark.usefixtures("small")
def test_an_epoch_is_a_pass_over_all_rows_in_an_order_of_its_own(tmp_path):
    with stored(write(table(), tmp_path / "t.parquet")) as (made, like, *_):
        batches = made.batches(like)
        assert isinstance(batches, StoredBatches)
        assert batches.stripes == 8
        assert batches.chunk_rows * 10 == batches.group_rows < made.n_train / 8 / 5
        every = made.read(np.array([0]), made.n_train)[0][:, 0]
        first, second = passes(batches, 2)
        np.testing.assert_array_equal(np.sort(first), every)
        np.testing.assert_array_equal(np.sort(second), every)
        assert (first != second).mean() > 0.9
        np.testing.assert_array_equal(passes(made.batches(like), 1)[0], first)
        plain = StoredBatches(batches.rows, batches.split, 32, shuffle=False, store=made)
        np.testing.assert_array_equal(passes(plain, 1)[0], every)


@pytest.mark.usefixtures("small")
def test_a_tape_is_a_function_of_its_cursor(tmp_path):
    with stored(write(table(1500), tmp_path / "t.parquet")) as (made, like, *_):
        batches, cursor = made.batches(like), Cursor()
        for _ in range(2):
            before = cursor
            tape, cursor = batches.tape(before)
            again, _ = made.batches(like).tape(before)
            for one, other in zip(tape, again, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("ending", "batch_size", "n"), [(".parquet", 32, 2), (".csv", 32, 8), (".csv", 48, 3), (".parquet", 32, 16)]
)
def test_processes_have_the_rows_of_their_shares(tmp_path, ending, batch_size, n):
    """What they write is the whole and no more, and side by side their tapes are that of one process."""
    path = write(table(3000), tmp_path / f"t{ending}")
    with stored(path, shares=[(0, 1), *((i, n) for i in range(n))]) as (whole, *shares, like, _, _, _):
        assert sum(share.checksum for share in shares) % 2**64 == whole.checksum % 2**64
        rows = [
            share.read(np.array([share.first]), whole.n_train // n + 1, end)
            for share, end in zip(shares, [*(share.first for share in shares[1:]), whole.n_train], strict=True)
        ]
        every = whole.read(np.array([0]), whole.n_train)
        for part in (0, 1):
            np.testing.assert_array_equal(np.concatenate([own[part] for own in rows]), every[part])
        like = dataclasses.replace(like, batch_size=batch_size)
        own = [
            share.batches(dataclasses.replace(like, devices=n, processes=n, process=i))
            for i, share in enumerate(shares)
        ]
        found = []
        for cursor in (Cursor(), Cursor(0, 40), Cursor(2, 7)):
            tapes = [batches.tape(cursor)[0] for batches in own]
            found.append(
                [np.concatenate([getattr(tape, name) for tape in tapes], axis=1) for name in ("x", "y", "weight")]
            )
        if own[0].stripes == 8:  # as many as one process has
            for cursor, (x, y, weight) in zip((Cursor(), Cursor(0, 40), Cursor(2, 7)), found, strict=True):
                tape, _ = whole.batches(like).tape(cursor)
                np.testing.assert_array_equal(weight, tape.weight)
                np.testing.assert_array_equal(x[weight > 0], tape.x[weight > 0])
                np.testing.assert_array_equal(y[weight > 0], tape.y[weight > 0])
        assert np.isin(found[0][0][..., 0][found[0][2] > 0], [*every[0][:, 0], *like.rows.x[:, 0]]).all()


@pytest.mark.usefixtures("small")
def test_batches_that_can_not_be_shared_are_refused(tmp_path):
    several = stored(write(table(), tmp_path / "t.parquet"))
    with several as (made, like, *_), pytest.raises(InputError, match="multiple of 3"):
        made.batches(dataclasses.replace(like, devices=3, processes=3))


def test_a_share_may_be_empty(tmp_path):
    path = write(table(900).head(12).with_columns(target=pl.Series(["yes", "no"] * 6)), tmp_path / "t.parquet")
    with stored(path, shares=[(0, 50)]) as (made, *_):
        assert (made.checksum, len(made.read(np.array([0]), 1, 0)[0])) == (0, 0)


def test_how_well_rows_are_shuffled(tmp_path):
    """Rows sorted by the target, the worst case: the share of a class in batches of 128 spreads hardly more than if
    rows were drawn at random, and so does where in the file they come from."""
    n = 300_000
    frame = pl.DataFrame({"row": np.arange(n, dtype=np.float32), "target": np.repeat(["a", "b"], n // 2)})
    frame = frame.with_columns(pl.lit(0.5).alias(f"c{i}") + pl.col("row") for i in range(9))
    with stored(write(frame, tmp_path / "t.parquet"), test=0.0) as (made, like, *_):
        batches = made.batches(like)
        batches = StoredBatches(batches.rows, batches.split, 128, store=made)
        (rows,) = passes(batches, 1)
        blocks = rows[: len(rows) // 128 * 128].reshape(-1, 128)
        shares = (blocks < n / 2).mean(axis=1)
        assert shares.std() < 1.15 * 0.5 / np.sqrt(128)
        places = blocks.mean(axis=1) / n
        assert places.std() < 1.15 * np.sqrt(1 / 12 / 128)


@pytest.mark.usefixtures("small")
def test_classes_that_count_alike(tmp_path):
    frame = table().with_columns(target=pl.when(pl.col("row") % 4 == 0).then(pl.lit("few")).otherwise(pl.lit("many")))
    with stored(write(frame, tmp_path / "t.parquet")) as (made, like, drawn, *_):
        counts = drawn.labels["count"].to_numpy()
        factor = (counts.sum() / (2 * counts)).astype(np.float32)
        tape, _ = dataclasses.replace(made, factor=factor).batches(like).tape(Cursor())
        there = tape.weight > 0
        np.testing.assert_array_equal(tape.weight[there], factor[tape.y[there]])


# --- whole fits ---


@pytest.mark.parametrize(("target", "ensemble"), [("target", 1), ("number", 2)])
def test_the_model_is_the_one_that_the_rows_in_memory_give(tmp_path, target, ensemble):
    path = write(table(900), tmp_path / "t.parquet")
    settings = Settings(
        hidden_layer_sizes=(8,), learning_rate=0.03, epochs=3, ensemble=ensemble, shuffle=False, monitor=False
    )
    results = [
        runs.fit_table(path, target, tmp_path / f"run{stream}", settings=settings, stream=stream)
        for stream in (False, True)
    ]
    names = ["n_rows", "n_train", "n_valid", "n_test"]
    assert [results[0][name] for name in names] == [results[1][name] for name in names]
    models = [load_model(tmp_path / f"run{stream}") for stream in (False, True)]
    assert models[0].encoder == models[1].encoder
    frame = table(900)
    ours, theirs = (model.outputs(model.encode(frame)) for model in models)
    if ensemble == 1:
        np.testing.assert_array_equal(ours, theirs)
    else:  # other networks hold out other rows in memory
        np.testing.assert_array_equal(*(model.each(model.encode(frame))[0] for model in models))


@pytest.mark.usefixtures("small")
def test_a_table_larger_than_its_room(tmp_path, capsys):
    frame = table(4000)
    path = write(frame, tmp_path / "t.parquet")
    options = ["--target", "target", "--stream", "--hidden", "8", "--out", str(tmp_path / "run"), "--json", "--quiet"]
    assert main(["fit", str(path), *options, "--epochs", "12", "--batch-size", "32"]) == 0
    result = json.loads(capsys.readouterr().out)
    known = frame["target"].count()
    assert (result["n_rows"], result["n_train"], result["n_valid"], result["n_test"]) == (4000, known - 200, 100, 100)
    assert result["test"]["accuracy"] > 0.8
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"is of {result['n_sampled']} of the {known - 200} training rows" in page
    assert f"{result['n_sampled']} rows</" in page  # beside the training loss, which is theirs
    held = table(1000, seed=5).filter(pl.col("target").is_not_null())
    assert np.mean(load_model(tmp_path / "run").predict(held) == held["target"].to_numpy()) > 0.8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "t.parquet"]


@pytest.mark.usefixtures("small")
def test_a_run_that_is_cut_short_goes_on_to_the_same_end(tmp_path):
    path = write(table(8000), tmp_path / "t.parquet")
    settings = Settings(hidden_layer_sizes=(8,), learning_rate=0.03, epochs=6, ensemble=1, monitor=False)

    class Impatient(runs.Reporter):
        def __init__(self, patience):
            self.patience = patience

        def within(self, network, n_networks, epoch, share):
            self.patience -= 1

        def epochs(self, *_):
            self.patience -= 1

        def interrupted(self):
            return self.patience < 0

    whole = runs.fit_table(path, "target", tmp_path / "whole", settings=settings, stream=True)
    cut = runs.fit_table(path, "target", tmp_path / "cut", settings=settings, stream=True, reporter=Impatient(1))
    assert cut["interrupted"]
    gone_on = runs.resume_run(tmp_path / "cut")
    assert gone_on["test"] == whole["test"]
    assert (tmp_path / "cut" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()
    write(table(8000, seed=1), path)
    (tmp_path / "cut" / "result.json").unlink()
    with pytest.raises(InputError, match="no longer the one the run began with"):
        runs.resume_run(tmp_path / "cut")


def test_a_table_is_read_in_parts_when_it_would_fill_the_memory(tmp_path, monkeypatch):
    path = write(table(900), tmp_path / "t.parquet")
    settings = Settings(hidden_layer_sizes=(2,), learning_rate=0.03, epochs=1, ensemble=1, monitor=False)
    for room, expected in ((1 << 30, False), (10_000, True)):
        monkeypatch.setattr(store, "memory", lambda room=room: room)
        runs.fit_table(path, "target", tmp_path / "run", settings=settings)
        assert json.loads((tmp_path / "run" / "run.json").read_text())["stream"] is expected


@pytest.mark.usefixtures("small")
def test_a_sample_of_such_a_table_is_checked_and_raced_on(tmp_path, monkeypatch, capsys):
    path = write(table(3000), tmp_path / "t.csv")
    monkeypatch.setattr(store, "memory", lambda: 10_000)
    words = [str(path), "--target", "target", "--hidden", "4"]
    assert main(["check", *words, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "of 3000 rows" in out
    assert "quick run" in out
    assert json.loads((tmp_path / "out" / "check.json").read_text())["n_rows"] == 3000
    options = ["--optimizers", "adam", "--seconds", "0.05", "--seeds", "1", "--json", "--quiet"]
    assert main(["compare", *words, *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["n_rows"] < 1000
    assert [rule["name"] for rule in result["rules"]] == ["adam"]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("t.parquet", ["--net", "gru"], "--stream is not for --net gru"),
        ("t.parquet", ["--net", "rbf"], "--stream is not for --net rbf"),
        ("t.parquet", ["--optimizer", "lbfgs"], "takes all rows at every step"),
        ("t.parquet", ["--target", "nothing"], "no column is named 'nothing'"),
        ("t.parquet", ["--target", "Tarjet"], "did you mean 'target'? the columns are row, x"),
        ("t.arrow", [], "can't be read in parts"),
        ("gone.csv", [], "no such file"),
        ("broken.parquet", [], "not a whole Parquet file"),
        ("ragged.csv", [], "a row has 2 fields where the header has 3"),
        ("empty.csv", [], "the target has no values"),
    ],
)
def test_what_can_not_work_is_said_in_one_line(tmp_path, capsys, name, options, said):
    frame = table(300)
    write(frame, tmp_path / "t.parquet")
    frame.write_ipc(tmp_path / "t.arrow")
    (tmp_path / "broken.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-50])
    (tmp_path / "ragged.csv").write_text("row,x,target\n" + "1,2,yes\n2,1,no\n" * 100 + "1,2\n")
    (tmp_path / "empty.csv").write_text("row,x,target\n" + "1,2,\n" * 100)
    target = [] if "--target" in options else ["--target", "target"]
    out = tmp_path / "run"
    assert main(["fit", str(tmp_path / name), *target, "--stream", "--out", str(out), "--quiet", *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not out.exists()


def test_a_full_disk_is_said_in_one_line(tmp_path, monkeypatch, capsys):
    path = write(table(300), tmp_path / "t.parquet")
    monkeypatch.setattr(store, "_nameless", lambda folder: open("/dev/full", "wb", buffering=0))  # noqa: SIM115
    assert main(["fit", str(path), "--target", "target", "--stream", "--out", str(tmp_path / "run"), "--quiet"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module", params=[".parquet", ".csv"])
def run(request, tmp_path_factory):
    """A run of two networks on a table of either kind of file, and the ending of that."""
    folder = tmp_path_factory.mktemp("run")
    path = write(table(900), folder / f"t{request.param}")
    settings = Settings(hidden_layer_sizes=(4,), learning_rate=0.1, epochs=2, ensemble=2, monitor=False)
    runs.fit_table(path, "target", folder / "run", settings=settings)
    return folder / "run", request.param


@pytest.mark.usefixtures("small")
def test_predictions_and_scores_in_parts_are_those_in_one_piece(tmp_path, monkeypatch, run):
    run, ending = run
    path = tmp_path / f"t{ending}"
    other = table(3000, seed=3).with_columns(pl.col("word").str.replace("w2", "new"))
    write(other, path)
    whole, whole_unseen = runs.predict_table(run, path, proba=True, std=True)
    scores = runs.evaluate_table(run, path)
    monkeypatch.setattr(store, "memory", lambda: 1000)
    parts, parts_unseen = runs.predict_table(run, path, proba=True, std=True)
    assert parts.drop("prediction").to_numpy() == pytest.approx(whole.drop("prediction").to_numpy(), abs=1e-6)
    assert (parts["prediction"] == whole["prediction"]).mean() > 0.999
    assert parts_unseen == whole_unseen != {}
    in_parts = runs.evaluate_table(run, path)
    assert in_parts["loss"] == pytest.approx(scores["loss"], rel=1e-6)
    assert in_parts["unseen"] == scores["unseen"]
    assert in_parts["n"] == scores["n"]


@pytest.mark.usefixtures("small")
def test_test_rows_of_a_table_of_their_own_and_balanced_classes(tmp_path, capsys):
    path, other = write(table(4000), tmp_path / "t.csv"), write(table(500, seed=9), tmp_path / "test.csv")
    options = ["--target", "target", "--stream", "--test", str(other), "--class-weight", "balanced", "--epochs", "6"]
    options += ["--hidden", "8", "--learning-rate", "0.03", "--batch-size", "32", "--out", str(tmp_path / "run")]
    assert main(["fit", str(path), *options, "--quiet", "--json", *ALONE]) == 0
    result = json.loads(capsys.readouterr().out)
    known = [int(table(n, seed)["target"].count()) for n, seed in ((4000, 0), (500, 9))]
    assert (result["n_train"], result["n_valid"], result["n_test"]) == (known[0] - 100, 100, known[1])
    assert result["test"]["accuracy"] > 0.8


@pytest.mark.usefixtures("small")
def test_classes_are_balanced_by_the_rows_that_are_trained_on(tmp_path):
    frame = table(1000)
    frame = frame.with_columns(target=pl.when(pl.col("row") % 9 == 0).then(pl.lit("rare")).otherwise("target"))
    path, settings = write(frame, tmp_path / "t.parquet"), Settings(class_weight="balanced")
    request = Request(str(path), "target", "auto", None, 0.2, settings, stream=True)
    found = prepare_parts(request, tmp_path / "run", Clock(), Silent()).store
    with contextlib.closing(found):
        _, y = found.read(np.array([0]), found.n_train)
        totals = np.bincount(y, weights=found.factor[y])
    np.testing.assert_allclose(totals, found.n_train / 3, rtol=1e-5)


@pytest.mark.usefixtures("small")
def test_parts_of_a_table_without_targets_are_left_out_of_its_scores(tmp_path, monkeypatch, run):
    run, ending = run

    def scored(target):
        path = write(table(3000, seed=3).with_columns(target=target), tmp_path / f"other{ending}")
        whole = runs.evaluate_table(run, path)
        with monkeypatch.context() as patch:
            patch.setattr(store, "memory", lambda: 1000)
            return whole, runs.evaluate_table(run, path)

    late = pl.when(pl.col("row") >= 2000)
    whole, in_parts = scored(late.then("target"))
    assert whole["n"] == in_parts["n"] > 0
    assert whole["loss"] == pytest.approx(in_parts["loss"], rel=1e-6)
    with pytest.raises(InputError, match="no row has a 'target'"):
        scored(late.then(pl.lit(None, pl.String)))
    path = write(table(3000).with_columns(target=late.then(pl.lit("maybe"))), tmp_path / f"bad{ending}")
    monkeypatch.setattr(store, "memory", lambda: 1000)
    with pytest.raises(InputError, match=f"bad{ending}, target, row 2001"):
        runs.evaluate_table(run, path)
    other = table(3000).with_columns(x=late.then(np.inf).otherwise(0.0))
    with pytest.raises(InputError, match=f"bad{ending}, column 'x', row 2001"):
        runs.predict_table(run, write(other, tmp_path / f"bad{ending}"))
