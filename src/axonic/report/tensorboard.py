"""The curves of a finished run as TensorBoard event files (extra `[tensorboard]`): a folder for each network with its
losses, its rate and what was seen of its layers, and one for the scores and the stages of the recipe.
"""

import csv
import io
import json
import math
from pathlib import Path

from axonic.errors import InputError
from axonic.storage import unwritable

LOSSES = {"train_loss": "loss/train", "valid_loss": "loss/validation", "test_loss": "loss/test"}


def require() -> None:
    """Raise `InputError` if tensorboardX is not installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise InputError("event files need tensorboardX", "pip install 'axonic[tensorboard]'") from error


def write_events(run: Path, folder: Path) -> None:
    """Write the event files of a run directory into a folder.

    Raises
    ------
    InputError : tensorboardX is not installed, or the folder can't be written to.
    """
    require()
    from tensorboardX import SummaryWriter

    history = _rows(run / "history.csv")
    health = _rows(run / "health.csv") if (run / "health.csv").exists() else []
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    try:
        for network in dict.fromkeys(row["network"] for row in history):
            with SummaryWriter(str(folder / f"network-{network}")) as writer:
                for row in history:
                    if row["network"] == network:
                        _add(writer, row, {**LOSSES, "learning_rate": "learning_rate"}, "")
                for row in health:
                    if row["network"] == network:
                        names = [name for name in row if name not in ("network", "epoch", "layer")]
                        _add(writer, row, {name: name for name in names}, f"/layer_{row['layer']}")
        with SummaryWriter(str(folder / "result")) as writer:
            shown = {name: result[name] for name in ("train", "valid", "test") if result[name]}
            for part, scores in shown.items():
                for name, value in scores.items():
                    if value is not None:
                        writer.add_scalar(f"scores/{part}/{name}", value, 0)
            for number, stage in enumerate(result["stages"]):
                writer.add_text(f"recipe/{stage['stage']}", f"{stage['decision']}: {stage['reason']}", number)
    except OSError as error:
        raise unwritable(folder, error) from error


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def _add(writer, row: dict[str, str], names: dict[str, str], suffix: str) -> None:
    """The values of a row that exist."""
    for column, name in names.items():
        value = float(row.get(column) or "nan")
        if math.isfinite(value):
            writer.add_scalar(name + suffix, value, int(float(row["epoch"])))
