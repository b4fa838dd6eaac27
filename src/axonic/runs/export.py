"""A saved model as an ONNX file."""

import os
from pathlib import Path

from axonic.data.reading import read_table
from axonic.errors import InputError
from axonic.run_directory import RUN, RunDirectory
from axonic.runs import sequences
from axonic.runs.predict import spare_run
from axonic.runs.request import Request
from axonic.storage import load_model


def export_run(run: str | os.PathLike[str], path: str | os.PathLike[str]) -> int:
    """Write the model of a run as an ONNX file; see `axonic.export`.

    Returns
    -------
    The number of rows (or sequences) of its table that the file was checked with; 0 if the table is not at hand.

    Raises
    ------
    InputError : as `axonic.storage.load_model` and `axonic.export.export_onnx`, or the file would replace one of
        the run's or its table.
    """
    from axonic.export import CHECKED_ROWS, export_onnx

    spare_run(path, run)
    model = load_model(run)
    rows = None
    if Path(run).is_dir() and (Path(run) / RUN).exists():
        try:
            data = Request.from_json(RunDirectory(Path(run)).run(), Path(run) / RUN).data
            rows = sequences.raw(model, data, CHECKED_ROWS) if model.recurrent else read_table(data)[:CHECKED_ROWS]
            model.encode(rows)
        except (InputError, OSError):
            rows = None
    export_onnx(model, path, rows)
    return 0 if rows is None else len(rows)
