"""Event files, read back record by record."""

import os
import struct
import threading

import numpy as np
import polars as pl
import pytest

from axonic.cli import main
from axonic.errors import InputError
from axonic.report.tensorboard import write_events

proto = pytest.importorskip("tensorboardX.proto.event_pb2")


def events(folder):
    """The events of a folder; each record is a length, a checksum, the event and a checksum."""
    for path in folder.glob("events*"):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            yield proto.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def scalars(folder):
    found = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_events_are_the_history(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 2))
    pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.where(x.sum(axis=1) > 0, "yes", "no")}).write_csv(
        tmp_path / "t.csv"
    )
    arguments = [
        "fit",
        str(tmp_path / "t.csv"),
        "--target",
        "y",
        "--hidden",
        "4",
        "--epochs",
        "5",
        "--batch-size",
        "32",
    ]
    arguments += [
        "--learning-rate",
        "0.1",
        "--out",
        str(tmp_path / "run"),
        "--tensorboard",
        str(tmp_path / "tb"),
        "--quiet",
    ]
    assert main(arguments) == 0
    history = pl.read_csv(tmp_path / "run" / "history.csv")
    written = scalars(tmp_path / "tb" / "network-1")
    assert [step for step, _ in written["loss/train"]] == history["epoch"].to_list()
    np.testing.assert_allclose([v for _, v in written["loss/validation"]], history["valid_loss"], rtol=1e-6)
    health = pl.read_csv(tmp_path / "run" / "health.csv").filter(pl.col("layer") == 1)
    np.testing.assert_allclose([v for _, v in written["delta_rms/layer_1"]], health["delta_rms"], rtol=1e-5)
    assert any(
        value.tag.startswith("recipe/run") for e in events(tmp_path / "tb" / "result") for value in e.summary.value
    )


@pytest.mark.parametrize("n_written", [0, 1])
def test_a_full_disk_leaves_neither_files_nor_a_writer_behind(n_written, tmp_path, monkeypatch):
    run, folder, threads = tmp_path / "run", tmp_path / "tb", threading.active_count()
    run.mkdir()
    (run / "history.csv").write_text("network,epoch,train_loss,valid_loss,learning_rate\n1,1,0.5,0.6,0.1\n")
    (run / "result.json").write_text('{"train": {"loss": 0.5}, "valid": null, "test": null, "stages": []}')
    flush, flushed = os.fsync, []

    def full(descriptor):
        flushed.append(descriptor)
        if len(flushed) > 2 * n_written:  # a file and its folder
            raise OSError(28, "No space left on device")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"no space left on device \(.*tb\): the run in .*run is complete; free some"):
        write_events(run, folder)
    assert list(folder.iterdir()) == []
    assert threading.active_count() == threads
    monkeypatch.undo()
    write_events(run, folder)
    assert scalars(folder / "network-1")["loss/train"] == [(1, 0.5)]
    assert scalars(folder / "result")["scores/train/loss"] == [(0, 0.5)]
