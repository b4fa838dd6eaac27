"""Learning rules side by side on data on disk."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from axonic.data.sequences.layout import Layout
from axonic.race import Spectator, race
from axonic.recipe import Clock, Task
from axonic.report.pages import COMPARISON
from axonic.runs.page import refuse_others, write_page
from axonic.runs.prepare import prepare
from axonic.runs.request import Reporter, Request, Silent
from axonic.runs.tables import streams
from axonic.settings import Settings, pair
from axonic.storage import plain, write_json


def compare_rules(
    data: str | os.PathLike[str],
    target: str,
    *,
    out: str | os.PathLike[str] | None = None,
    task: Literal["auto", "classification", "regression"] = "auto",
    names: Sequence[str] | None = None,
    seconds: float = 0.5,
    seeds: int = 3,
    settings: Settings | None = None,
    layout: Layout | None = None,
    reporter: Reporter | None = None,
    spectator: Spectator | None = None,
) -> dict[str, Any]:
    """Let learning rules race on a table or sequences; see `axonic.race`. Of a table that would take more than half of
    the memory they race on a sample.

    Parameters
    ----------
    data, target, task : as for `fit_table`.
    out : a folder for the result (compare.json) and its page (report.html); None writes nothing.
    names, seconds, seeds, spectator : as for `axonic.race.race`.
    settings, layout, reporter : as for `fit_table`.

    Returns
    -------
    The result of the race, with the task, the target and the number of rows raced on.

    Raises
    ------
    InputError : as `fit_table` and `race`.
    """
    settings, reporter = settings or Settings(), reporter or Silent()
    folder = None if out is None else Path(out)
    if folder is not None:
        refuse_others(folder, COMPARISON)
    path, stream = os.path.abspath(data), streams(data, settings, None)
    request = Request(path, target, task, None, 0.0, settings, layout or Layout(), stream)
    prepared = prepare(request, None, Clock(), reporter)
    loss, n_out = pair(prepared.settings, prepared.schema.task, prepared.target.n_out)
    network = prepared.settings.network(n_out)
    racing = Task(prepared.rows, prepared.split, prepared.settings, network, loss, prepared.resplits)
    race_result = race(racing, names=names, seconds=seconds, seeds=seeds, spectator=spectator)
    about = {"task": prepared.schema.task, "target": target, "n_rows": len(prepared.frame)}
    result = plain({**about, **race_result})
    if folder is not None:
        write_json(folder / COMPARISON, result)
        write_page(folder)
    return result
