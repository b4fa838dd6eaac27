"""Event files, read back record by record."""

import struct

import numpy as np
import polars as pl
import pytest

from axonic.cli import main

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
