"""From what a request names to rows that can be trained on."""

from pathlib import Path

from axonic.data.sequences.arrays import NPZ
from axonic.data.sequences.layout import Layout
from axonic.errors import InputError
from axonic.recipe import Clock
from axonic.runs import sequences, tables
from axonic.runs.prepared import Prepared
from axonic.runs.request import Reporter, Request


def check_layout(request: Request) -> None:
    """Raise `InputError` if sequences are given to a network that reads rows."""
    layout = request.layout
    if not request.settings.recurrent and (layout != Layout() or Path(request.data).suffix.lower() == NPZ):
        what = "sequences" if layout == Layout() else "--sequence-id, --order-by, --window and --horizon"
        raise InputError(f"{what} need a recurrent network", "choose one with --net: rnn, lstm or gru", "--net")


def prepare(request: Request, out: Path | None, clock: Clock, reporter: Reporter) -> Prepared:
    """Read, check, split and encode what a request names.

    Parameters
    ----------
    request : what is asked for.
    out : the run directory, beside which the rows of a table that is read in parts are kept; None keeps a sample of
        them alone, in memory.
    clock : takes the time of each part of the work.
    reporter : is told of the data.

    Raises
    ------
    InputError : a file or an option can't work.
    """
    check_layout(request)
    if request.stream:
        return tables.prepare_parts(request, out, clock, reporter)
    if not request.settings.recurrent:
        return tables.prepare(request, clock, reporter)
    prepared = clock.time("reading", sequences.prepare, request)
    reporter.data(prepared.frame, prepared.schema, prepared.findings)
    reporter.stage({"stage": "sequences", "decision": prepared.summary, "reason": ""})
    return prepared
