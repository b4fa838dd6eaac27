"""The curves of a finished run as TensorBoard event files (extra `[tensorboard]`): a folder for each network with its
losses, its rate and what was seen of its layers, and one for the scores and the stages of the recipe.
"""

import contextlib
import csv
import io
import json
import math
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from axonic.errors import InputError
from axonic.storage import write

LOSSES = {"train_loss": "loss/train", "valid_loss": "loss/validation", "test_loss": "loss/test"}


def require() -> None:
    """Raise `InputError` if tensorboardX is not installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise InputError("event files need tensorboardX", "pip install 'axonic[tensorboard]'") from error


def write_events(run: Path, folder: Path) -> None:
    """Write the event files of a run directory into a folder, all of them or none.

    Raises
    ------
    InputError : tensorboardX is not installed, or the folder can't be written to.
    """
    require()
    name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}"
    files = {folder / part / name: _event_file(summaries) for part, summaries in _summaries(run).items()}
    try:
        for path, content in files.items():
            write(path, content)
    except InputError as error:
        for path in files:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                path.parent.rmdir()
        raise InputError(error.what, f"the run in {run} is complete; {error.how}", str(folder)) from error


def _summaries(run: Path) -> dict[str, list[tuple[int, Any]]]:
    """What each folder is to hold: steps and summaries."""
    from tensorboardX.summary import scalar, text

    history = _rows(run / "history.csv")
    health = _rows(run / "health.csv") if (run / "health.csv").exists() else []
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    found: dict[str, list[tuple[int, Any]]] = {f"network-{row['network']}": [] for row in history}
    for row in history:
        found[f"network-{row['network']}"] += _scalars(row, {**LOSSES, "learning_rate": "learning_rate"}, "")
    for row in health:
        names = [name for name in row if name not in ("network", "epoch", "layer")]
        if f"network-{row['network']}" in found:
            found[f"network-{row['network']}"] += _scalars(row, {n: n for n in names}, f"/layer_{row['layer']}")
    scores = [
        (0, scalar(f"scores/{part}/{name}", value))
        for part in ("train", "valid", "test")
        for name, value in (result[part] or {}).items()
        if value is not None
    ]
    stages = [
        (number, text(f"recipe/{stage['stage']}", f"{stage['decision']}: {stage['reason']}"))
        for number, stage in enumerate(result["stages"])
    ]
    return {**found, "result": scores + stages}


def _event_file(summaries: list[tuple[int, Any]]) -> bytes:
    """The version and the summaries as records: a length and an event, each with a checksum behind it.

    tensorboardX's own writer is not for a disk that may be full: its thread and its exit hook try once more after an
    error has been dealt with.
    """
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboardX.record_writer import masked_crc32c

    now = time.time()
    events = [Event(wall_time=now, file_version="brain.Event:2")]
    events += [Event(wall_time=now, step=step, summary=summary) for step, summary in summaries]
    content = bytearray()
    for event in events:
        data = event.SerializeToString()
        for part in (struct.pack("<Q", len(data)), data):
            content += part + struct.pack("<I", masked_crc32c(part))
    return bytes(content)


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def _scalars(row: dict[str, str], names: dict[str, str], suffix: str) -> Iterator[tuple[int, Any]]:
    """The values of a row that exist."""
    from tensorboardX.summary import scalar

    for column, name in names.items():
        value = float(row.get(column) or "nan")
        if math.isfinite(value):
            yield int(float(row["epoch"])), scalar(name + suffix, value)
