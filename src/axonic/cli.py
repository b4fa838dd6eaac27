"""The command line: `axonic fit`, `resume`, `predict`, `evaluate`, `check`, `diagnose`, `compare`, `report`, `export`
and `demo`."""

import contextlib
import errno
import os
import sys
import traceback
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from axonic.errors import InputError
from axonic.options import (
    ALONE,
    NO_SEQUENCES,
    RADIAL_DEFAULTS,
    REGULARIZATION_DEFAULTS,
    RUNNING,
    SEQUENCES,
    SEQUENTIAL,
    Json,
    Net,
    Quiet,
    Radial,
    Regularization,
    Sequences,
    Together,
    folded,
    loss_of,
    network_of,
    number_of,
)
from axonic.report.terminal import (
    Progress,
    figure,
    print_diagnosis,
    print_findings,
    print_json,
    print_race,
    print_rehearsal,
    print_result,
    print_schema,
)

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a disk says that can't take what is written to it. Of files `axonic.storage` tells; this is standard output."""

app = App(
    name="axonic",
    help="From a table to a tuned neural network in one command.\n\nExample: axonic fit iris.csv --target species",
    version_flags=["--version"],
    help_flags=["--help", "-h", "--help-all"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)


@app.command
def fit(
    data: Path,
    /,
    *,
    target: str,
    task: Literal["auto", "classification", "regression"] = "auto",
    out: Path | None = None,
    test: Path | None = None,
    test_size: float = 0.2,
    stream: Annotated[bool | None, Parameter(group=RUNNING)] = None,
    net: Literal["feedforward", "rbf", "rnn", "lstm", "gru"] = "feedforward",
    hidden: str | None = None,
    activation: str | None = None,
    radial: Radial = RADIAL_DEFAULTS,
    loss: str = "auto",
    optimizer: str | None = None,
    learning_rate: str = "auto",
    batch_size: str = "auto",
    epochs: str = "auto",
    against: Regularization = REGULARIZATION_DEFAULTS,
    ensemble: str = "auto",
    budget: float | None = None,
    monitor: Annotated[bool, Parameter(group=RUNNING)] = True,
    stop_on: Annotated[Literal["warning", "error"] | None, Parameter(group=RUNNING)] = None,
    sequences: Sequences = NO_SEQUENCES,
    autoregression: Annotated[bool, Parameter(group=SEQUENCES)] = True,
    clip_norm: Annotated[str, Parameter(group=SEQUENCES)] = "auto",
    truncate: Annotated[int | None, Parameter(group=SEQUENCES)] = None,
    chrono: Annotated[int | None, Parameter(group=SEQUENCES)] = None,
    seed: int = 0,
    tensorboard: Annotated[Path | None, Parameter(group=RUNNING)] = None,
    together: Together = ALONE,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a network on a table or on sequences. --help-all explains what is only named here.

    Example: axonic fit iris.csv --target species --out runs/iris

    Parameters
    ----------
    data
        A table: .csv, .tsv, .parquet or .arrow; or sequences: .npz.
    target
        The column to predict; of a .npz the array.
    task
        What the target asks for.
    out
        The run directory (default: runs/NAME-N); an earlier one is replaced.
    test
        A table of test rows, instead of holding out a share of DATA.
    test_size
        Share of the rows held out for testing.
    stream
        Read the table in parts, as is done by itself where it would take more than half of the memory.
    net
        The kind of network; rnn, lstm and gru read sequences.
    hidden
        Units of the hidden layers, or none (default: 64,64; recurrent: 64).
    activation
        One, or one a hidden layer: relu, tanh, ... (default: relu; recurrent: tanh).
    loss
        For numbers squared_error, huber, absolute, quantile (quantile:0.9: what 90 % lie below) or poisson; for classes
        cross_entropy (two), log_likelihood or mse.
    optimizer
        The learning rule: gd, sgd, momentum, physical_momentum, nesterov, adam, amsgrad, swats, adaptive_gain, rmsprop,
        rprop, newton, levenberg_marquardt, conjugate_gradient, scaled_conjugate_gradient, lbfgs, vsgd; or auto to
        choose one by validation (default: momentum; recurrent: adam).
    learning_rate
        A positive number, or auto to find it by a sweep.
    batch_size
        Rows of a batch, where the rule takes one, or auto.
    epochs
        Passes over the data at most, or auto: until the loss is flat, then branches at a tenth of the rate.
    ensemble
        Networks to average, or auto (five, fewer if epochs are given or the data are large).
    budget
        Seconds after which training ends and keeps the best so far, as Ctrl-C does.
    monitor
        Look at the layers while training, and diagnose the run when it is done.
    stop_on
        End the training when something of this severity is seen while it is under way, and keep what is best so far.
    autoregression
        Of a series: the network corrects a linear forecast from the window, rather than forecasting by itself.
    clip_norm
        The largest norm of a gradient, or none (default: recurrent 1, where the rule takes it; otherwise none).
    truncate
        The steps that an error is sent back at most (default: all).
    chrono
        The steps over which an LSTM or GRU is to remember from the start, where what matters lies far back.
    seed
        Seed of everything random.
    tensorboard
        A folder for TensorBoard event files, written when the run is done.
    """
    from axonic import runs
    from axonic.engine import use_processors
    from axonic.settings import Settings

    recurrent = net in SEQUENTIAL
    with_others = together.meet()
    if recurrent and not with_others:
        use_processors()
    usual = network_of(net, hidden, activation, sequences)
    if batch_size != "auto":
        usual["batch_size"] = number_of("--batch-size", batch_size, int)
    settings = Settings(
        **usual,
        **radial.settings(),
        truncate=truncate,
        chrono=chrono,
        clip_norm=None if clip_norm == "none" else number_of("--clip-norm", clip_norm, float),
        autoregression=autoregression,
        loss=loss_of(loss),
        optimizer=optimizer or ("adam" if recurrent else "momentum"),
        learning_rate=number_of("--learning-rate", learning_rate, float),
        batch_stage=batch_size == "auto",
        epochs=number_of("--epochs", epochs, int),
        branch_stage=epochs == "auto",
        **against.settings(),
        ensemble=number_of("--ensemble", ensemble, int),
        monitor=monitor,
        seed=seed,
    )
    settings.check_batches(given=batch_size != "auto")
    if tensorboard is not None:
        from axonic.report.tensorboard import require, write_events

        require()
    reporter = Progress(quiet or _follows())
    place = _claimed(Path("runs") / data.stem, numbered=True) if out is None else _claimed(out)
    with reporter, place as run:
        result = runs.fit_table(
            data,
            target,
            run,
            task=task,
            test=test,
            test_size=test_size,
            settings=settings,
            layout=sequences.layout(),
            stream=stream,
            budget=budget,
            stop_on=stop_on,
            reporter=reporter,
        )
    if not _follows():
        if tensorboard is not None:
            write_events(Path(result["run"]), tensorboard)
        print_result(result, json)
    return _ended(result, reporter)


@app.command
def resume(
    run: Path,
    /,
    *,
    data: Path | None = None,
    budget: float | None = None,
    together: Together = ALONE,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Go on with a run that was killed, interrupted or out of budget; it ends as if it had never stopped.

    Example: axonic resume runs/iris-1

    Parameters
    ----------
    run
        The run directory.
    data
        The table, if it is no longer where it was.
    budget
        Seconds after which training ends again.
    """
    from axonic import runs
    from axonic.run_directory import held

    together.meet()
    reporter = Progress(quiet or _follows())
    with reporter, contextlib.nullcontext() if _follows() else held(run):
        result = runs.resume_run(run, data=data, budget=budget, reporter=reporter)
    if not _follows():
        print_result(result, json)
    return _ended(result, reporter)


@app.command
def predict(
    run: Path,
    data: Path,
    /,
    *,
    out: Path | None = None,
    proba: Annotated[bool, Parameter(negative="")] = False,
    std: Annotated[bool, Parameter(negative="")] = False,
    steps: int | None = None,
) -> int:
    """Predict the rows of a table or the sequences of a file, in their order, or continue a series.

    Example: axonic predict runs/iris-1 new.csv --out predictions.csv --proba

    Parameters
    ----------
    run
        A run directory or model file.
    data
        A table with the columns of the training table; others are ignored.
    out
        Where to write: .csv, .tsv, .parquet or .arrow (default: CSV on standard output).
    proba
        Add the probability of each class.
    std
        Add how far the networks are apart: the standard deviation of their numbers, or of their probabilities of the
        class predicted.
    steps
        The steps by which to continue a series (default: the horizon).
    """
    from axonic import runs

    if out is not None:
        runs.check_prediction_path(out, run, data)
    table, unseen = runs.predict_table(run, data, proba=proba, std=std, steps=steps)
    for column, count in unseen.items():
        what = "categories count as 'other', numbers are cut off"
        print(f"note: values of {column!r} beyond what training saw: {count} ({what})", file=sys.stderr)
    if out is None:
        sys.stdout.write(table.write_csv())
    else:
        runs.write_predictions(table, out)
        print(f"{len(table)} predictions written to {out}", file=sys.stderr)
    return 0


@app.command
def evaluate(run: Path, data: Path, /, *, json: Json = False) -> int:
    """Score a model on a table with known targets.

    Example: axonic evaluate runs/iris-1 iris.csv

    Parameters
    ----------
    run
        A run directory or model file.
    data
        A table with the columns of the training table, the target included.
    """
    from axonic import runs

    scores = runs.evaluate_table(run, data)
    if json:
        print_json(scores)
        return 0
    console = Console(highlight=False)
    console.print(f"{scores['n']} {scores['of']}, {scores['task']} of {scores['target']}", markup=False)
    for name in ("loss", "accuracy", "ece", "r2", "rmse", "mae", "below"):
        if name in scores:
            console.print(f"  {name:9s} {figure(scores[name])}")
    for each in scores.get("reliability", ()):
        said = f"{each['low']:.1f} to {each['high']:.1f}: {each['n']} rows"
        console.print(f"  said {said}, {each['confidence']:.3f} on average; right {each['accuracy']:.3f}")
    for column, count in scores["unseen"].items():
        console.print(f"  values of {column!r} beyond what training saw: {count}", markup=False)
    return 0


@app.command
def check(
    data: Path,
    /,
    *,
    target: str,
    task: Literal["auto", "classification", "regression"] = "auto",
    network: bool = True,
    net: Net = "feedforward",
    hidden: str | None = None,
    activation: str | None = None,
    loss: str = "auto",
    sequences: Sequences = NO_SEQUENCES,
    out: Path | None = None,
    json: Json = False,
) -> int:
    """Check a table or sequences before training, and the network on a first batch and a quick run: what could go
    wrong.

    Example: axonic check iris.csv --target species

    Parameters
    ----------
    data
        The table: .csv, .tsv, .parquet or .arrow; sequences also .npz.
    target
        The column to predict.
    task
        What the target asks for; inferred unless given.
    network
        Look at the network too, on up to 2,000 rows, or 200 sequences.
    net
        What is to be trained; the recurrent ones take sequences.
    hidden
        Units of its hidden layers, as for axonic fit.
    activation
        Its activations.
    loss
        Its loss.
    out
        A folder for check.json and its page, report.html.
    """
    from axonic import runs
    from axonic.settings import Settings

    console = Console(highlight=False)

    class Shown(runs.Reporter):
        def data(self, frame: Any, schema: Any, findings: list[Any]) -> None:
            print_schema(console, frame, schema)
            print_findings(console, findings)
            if not findings:
                console.print("The data: nothing to remark.")

        def stage(self, stage: dict[str, Any]) -> None:
            console.print(stage["decision"], markup=False)

    rule: dict[str, Any] = {"optimizer": "adam"} if net in SEQUENTIAL else {}
    settings = Settings(**network_of(net, hidden, activation, sequences), **rule, loss=loss_of(loss))
    result = runs.check_data(
        data,
        target,
        task=task,
        out=out,
        settings=settings,
        layout=sequences.layout(),
        network=network,
        reporter=None if json else Shown(),
    )
    if json:
        print_json(result)
        return 0
    if result["first_batch"] is not None:
        print_rehearsal(console, result)
    if out is not None:
        _say_where(out)
    return 0


@app.command
def diagnose(run: Path, /, *, json: Json = False) -> int:
    """Say why the training of a run went well or badly, and what to do.

    Example: axonic diagnose runs/iris-1

    Parameters
    ----------
    run
        The run directory.
    """
    from axonic import runs

    findings = runs.findings_of(run)
    if json:
        print_json({"run": str(run), "findings": findings})
    else:
        print_diagnosis(findings)
    return 0


@app.command
def compare(
    data: Path,
    /,
    *,
    target: str,
    task: Literal["auto", "classification", "regression"] = "auto",
    optimizers: str = "all",
    out: Path | None = None,
    seconds: float | None = None,
    seeds: int = 3,
    net: Net = "feedforward",
    hidden: str | None = None,
    activation: str | None = None,
    batch_size: int | None = None,
    sequences: Sequences = NO_SEQUENCES,
    seed: int = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Let the learning rules race to within 10 % of the lowest validation loss, on equal terms.

    Example: axonic compare iris.csv --target species --optimizers momentum,adam,lbfgs

    Parameters
    ----------
    data
        The table: .csv, .tsv, .parquet or .arrow; sequences also .npz.
    target
        The column to predict.
    task
        What the target asks for; inferred unless given.
    optimizers
        Names of rules separated by commas (see axonic fit --help), or all.
    out
        A folder for compare.json and its page with the curves, report.html.
    seconds
        Training time of each rule on each seed, which the parts that are held out share (default: 0.5; recurrent:
        2.5).
    seeds
        Starting weights and splits to race on.
    net
        What is trained; the recurrent ones take sequences.
    hidden
        Units of the hidden layers, separated by commas; "none" for a linear model (default: 64,64; recurrent: 64).
    activation
        One name, or one for each hidden layer (default: relu; recurrent: tanh).
    batch_size
        Rows of a batch, where a rule takes batches (default: 32; recurrent: 16).
    seed
        Seed of everything random.
    """
    from axonic import runs
    from axonic.engine import use_processors
    from axonic.settings import Settings

    if seconds is None:
        seconds = 2.5 if net in SEQUENTIAL else 0.5
    if not (seconds > 0 and seeds >= 1):
        raise InputError("--seconds and --seeds must be positive", "give for example --seconds 0.5 --seeds 3")
    if net in SEQUENTIAL:
        use_processors()
    usual = network_of(net, hidden, activation, sequences)
    if batch_size is not None:
        usual["batch_size"] = batch_size
    settings = Settings(**usual, seed=seed, ensemble=1)
    reporter = Progress(quiet)
    with reporter:
        result = runs.compare_rules(
            data,
            target,
            out=out,
            task=task,
            names=None if optimizers == "all" else [name.strip() for name in optimizers.split(",")],
            seconds=seconds,
            seeds=seeds,
            settings=settings,
            layout=sequences.layout(),
            reporter=reporter,
            spectator=reporter,
        )
    if json:
        print_json(result)
    else:
        print_race(result)
        if out is not None:
            _say_where(out)
    return 130 if reporter.interrupted() else 0


@app.command
def report(run: Path, /, *, open: Annotated[bool, Parameter(name="--open", negative="")] = False) -> int:
    """Write report.html of a fit, compare or check afresh, from what its folder holds.

    Example: axonic report runs/iris-1 --open

    Parameters
    ----------
    run
        The folder.
    open
        Show it in the browser.
    """
    from axonic import runs

    page = runs.write_report(run)
    _say_where(run)
    if open:
        import webbrowser

        webbrowser.open(page.absolute().as_uri())
    return 0


@app.command
def export(run: Path, /, *, onnx: Path) -> int:
    """Write a model as one ONNX file that takes raw columns, checked with onnxruntime.

    Example: axonic export runs/iris-1 --onnx iris.onnx

    Parameters
    ----------
    run
        A run directory or model file.
    onnx
        The file to write. Its inputs and outputs are described at docs/export.md.
    """
    from axonic import runs

    n_rows = runs.export_run(run, onnx)
    checked = (
        "examples made up from its encoders" if n_rows == 0 else f"{n_rows} examples of its data and on made-up ones"
    )
    print(f"{onnx} written; onnxruntime predicts the same on {checked}", file=sys.stderr)
    return 0


@app.command
def demo(*, out: Path = Path("axonic-demo"), json: Json = False, quiet: Quiet = False) -> int:
    """Train on a small real table (344 penguins, with categories and missing values).

    Example: axonic demo --out demo-run

    Parameters
    ----------
    out
        The run directory. The table is copied there, so that predict and evaluate can be tried on it.
    """
    from axonic import runs
    from axonic.settings import Settings
    from axonic.storage import write

    with resources.as_file(resources.files("axonic") / "demo" / "penguins.csv") as table:
        content = table.read_bytes()
        reporter = Progress(quiet)
        with reporter, _claimed(out):
            settings = Settings(batch_stage=True, branch_stage=True)
            result = runs.fit_table(table, "species", out, settings=settings, reporter=reporter)
            write(out / "penguins.csv", content)
    print_result(result, json)
    if not json:
        command = f"axonic predict {out} {out / 'penguins.csv'} --proba"
        Console(highlight=False).print(f"\nTry: {command}", soft_wrap=True)
    return _ended(result, reporter)


def _follows() -> bool:
    """Whether another process shows what happens and writes the run directory."""
    from axonic import distributed

    return distributed.index() > 0


def _say_where(folder: Path) -> None:
    Console(highlight=False).print(f"report: {folder / 'report.html'}", markup=False, soft_wrap=True)


def _claimed(path: Path, *, numbered: bool = False) -> contextlib.AbstractContextManager[Path]:
    """The folder of a new run; see `axonic.run_directory.claimed`."""
    from axonic.run_directory import claimed

    return contextlib.nullcontext(path) if _follows() else claimed(path, numbered=numbered)


def _ended(result: dict[str, Any], reporter: Progress) -> int:
    """The exit code of a run: Ctrl-C that came when the training was over has cut nothing short."""
    return 130 if reporter.interrupted() and result["interrupted"] else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 2 the user can mend it, 3 another process of the run was
    lost (`axonic.distributed`), 130 interrupted."""
    from axonic import distributed

    arguments = sys.argv[1:] if arguments is None else arguments
    folded.in_full = "--help-all" in arguments
    try:
        code = app(arguments, exit_on_error=False, print_error=False) or 0
        sys.stdout.flush()
        distributed.part()
        return code
    except (InputError, CycloptsError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        distributed.part(error, 2)
        return 2
    except KeyboardInterrupt as error:
        print("interrupted before there was anything to keep", file=sys.stderr)
        distributed.part(error, 130)
        return 130
    except BrokenPipeError:
        _drop_output()
        distributed.part()
        return 0
    except MemoryError as error:
        print("error: not enough memory: give fewer rows or columns", file=sys.stderr)
        distributed.part(error, 2)
        return 2
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            _drop_output()
            said = f"cannot write: {os.strerror(error.errno).lower()}: free some space, or send the output elsewhere"
            print(f"error: {said}", file=sys.stderr)
            distributed.part(error, 2)
            return 2
        distributed.judge(error)
        if distributed.count() > 1:
            traceback.print_exc()
            distributed.part(error, 1)
        raise


def _drop_output() -> None:
    """Let standard output lead nowhere, or Python would fail to write what waits for it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
