"""The command line: `axonic fit`, `resume`, `predict`, `evaluate`, `check`, `diagnose`, `compare`, `export`, `demo`."""

import os
import sys
import traceback
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.help import DefaultFormatter, HelpPanel
from rich.console import Console

from axonic.errors import InputError
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


class Folded:
    """Help on a group of options: their names on one line, and all about them with --help-all."""

    in_full = False

    def __call__(self, console: Any, options: Any, panel: HelpPanel) -> None:
        """Print the panel, as cyclopts asks of a formatter."""
        if self.in_full:
            DefaultFormatter()(console, options, panel)
            return
        names = ", ".join(name for entry in panel.entries for name in entry.names[:1])
        console.print(f"{panel.title}: {names}", markup=False, highlight=False)


folded = Folded()
REGULARIZATION = Group("Against overfitting", help_formatter=folded, sort_key=1)
RADIAL = Group("With --net rbf", help_formatter=folded, sort_key=2)
SEQUENCES = Group("With --net rnn, lstm or gru", help_formatter=folded, sort_key=3)
RUNNING = Group("How it runs", help_formatter=folded, sort_key=4)
SHARED = Group("With several processes", help_formatter=folded, sort_key=5)

app = App(
    name="axonic",
    help="From a table to a tuned neural network in one command.\n\nExample: axonic fit iris.csv --target species",
    version_flags=["--version"],
    help_flags=["--help", "-h", "--help-all"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, Parameter(name="--quiet", negative="", help="No progress on standard error.")]
Coordinator = Annotated[
    str | None,
    Parameter(group=SHARED, help="HOST:PORT of process 0, where the others find it (default: 127.0.0.1:8476)."),
]
Processes = Annotated[
    int | None,
    Parameter(group=SHARED, help="How many processes train together; start the same command in each."),
]
ProcessId = Annotated[int | None, Parameter(group=SHARED, help="Which of them this is, counted from 0.")]
Distributed = Annotated[
    bool,
    Parameter(group=SHARED, negative="", help="The cluster says all that: SLURM, Open MPI, Kubernetes, cloud TPUs."),
]


SEQUENTIAL = ("rnn", "lstm", "gru")
Net = Literal["feedforward", "rnn", "lstm", "gru"]
Named = Annotated[str | None, Parameter(group=SEQUENCES)]
Steps = Annotated[int | None, Parameter(group=SEQUENCES)]
Bidirectional = Annotated[bool, Parameter(negative="", group=SEQUENCES)]
Head = Annotated[Literal["auto", "last", "mean", "every"], Parameter(group=SEQUENCES)]


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
    n_centers: Annotated[str, Parameter(group=RADIAL)] = "auto",
    centers: Annotated[Literal["kmeans", "random", "grow"], Parameter(group=RADIAL)] = "kmeans",
    radial: Annotated[
        Literal["gaussian", "multiquadric", "inverse_multiquadric", "thin_plate"], Parameter(group=RADIAL)
    ] = "gaussian",
    width: Annotated[str, Parameter(group=RADIAL)] = "auto",
    widths: Annotated[Literal["shared", "per_center", "per_dimension"], Parameter(group=RADIAL)] = "shared",
    training: Annotated[Literal["closed_form", "gradient"], Parameter(group=RADIAL)] = "closed_form",
    ridge: Annotated[str, Parameter(group=RADIAL)] = "auto",
    goal: Annotated[float, Parameter(group=RADIAL)] = 0.0,
    loss: str = "auto",
    optimizer: str | None = None,
    learning_rate: str = "auto",
    batch_size: str = "auto",
    epochs: str = "auto",
    l2: Annotated[float, Parameter(group=REGULARIZATION)] = 0.0,
    l1: Annotated[float, Parameter(group=REGULARIZATION)] = 0.0,
    dropout: Annotated[float, Parameter(group=REGULARIZATION)] = 0.0,
    input_noise: Annotated[float, Parameter(group=REGULARIZATION)] = 0.0,
    scaling: Annotated[float, Parameter(group=REGULARIZATION)] = 0.0,
    slicing: Annotated[float, Parameter(group=REGULARIZATION)] = 0.0,
    mixup: Annotated[float, Parameter(group=REGULARIZATION)] = 0.0,
    label_smoothing: Annotated[float, Parameter(group=REGULARIZATION)] = 0.0,
    max_norm: Annotated[float | None, Parameter(group=REGULARIZATION)] = None,
    weight_average: Annotated[float, Parameter(group=REGULARIZATION)] = 0.0,
    class_weight: Annotated[Literal["balanced"] | None, Parameter(group=REGULARIZATION)] = None,
    regularization: Annotated[Literal["auto", "none"], Parameter(group=REGULARIZATION)] = "auto",
    ensemble: str = "auto",
    budget: float | None = None,
    monitor: Annotated[bool, Parameter(group=RUNNING)] = True,
    stop_on: Annotated[Literal["warning", "error"] | None, Parameter(group=RUNNING)] = None,
    sequence_id: Named = None,
    order_by: Named = None,
    window: Steps = None,
    horizon: Steps = None,
    autoregression: Annotated[bool, Parameter(group=SEQUENCES)] = True,
    bidirectional: Bidirectional = False,
    head: Head = "auto",
    clip_norm: Annotated[str, Parameter(group=SEQUENCES)] = "auto",
    truncate: Steps = None,
    seed: int = 0,
    tensorboard: Annotated[Path | None, Parameter(group=RUNNING)] = None,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process_id: ProcessId = None,
    distributed: Distributed = False,
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
    n_centers
        The number of centres, or auto to choose it by leaving rows out.
    centers
        At the means of clusters, at random rows, or grown one at a time where the error is greatest.
    radial
        The radial basis function.
    width
        Its width, in standard deviations of the inputs, or auto to choose it by leaving rows out.
    widths
        One width for all centres, one for each, or one for each dimension of each.
    training
        A readout in closed form, or from there everything by gradient.
    ridge
        Penalty of the readout, or auto to choose it by leaving rows out.
    goal
        With --centers grow: mean squared error at which growing ends.
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
        Rows of a batch, or auto to look for it around 32.
    epochs
        Passes over the data at most, or auto: until the loss is flat, then branches at a tenth of the rate.
    l2
        Penalty l2/2 sum w^2 on the weights.
    l1
        Penalty l1 sum |w| on the weights.
    dropout
        Share of the hidden units dropped while training.
    input_noise
        Standard deviation of the noise added to every encoded input at each step.
    scaling
        Of sequences: standard deviation of a factor around 1 for each feature of a sequence at each step.
    slicing
        Of sequences: share of the time steps left out, before and after a stretch drawn at each step.
    mixup
        Mixes rows with others, in shares drawn from Beta(a, a) with this a.
    label_smoothing
        Share of each target that is spread over all classes.
    max_norm
        Largest norm of the weights into a hidden unit.
    weight_average
        Validates and keeps the mean of the weights of all steps, k steps ago with weight b^k for this b, such as 0.99.
    class_weight
        balanced lets every class count alike, however many rows it has.
    regularization
        auto chooses l2 by the number of rows and validation, unless l2, l1 or dropout is given.
    ensemble
        Networks to average, or auto (five unless epochs are given or the table is large).
    budget
        Seconds after which training ends and keeps the best so far, as Ctrl-C does.
    monitor
        Look at the layers while training, and diagnose the run when it is done.
    stop_on
        End the training when something of this severity is seen while it is under way, and keep what is best so far.
    sequence_id
        The column that says which sequence a row belongs to.
    order_by
        The column that orders the steps: numbers or dates.
    window
        Forecast one series: the steps that a forecast looks at.
    horizon
        The steps that are forecast at a time (default: 1).
    autoregression
        Of a series: the network corrects a linear forecast from the window, rather than forecasting by itself.
    bidirectional
        Recurrent layers go through the sequences in both directions.
    head
        What is predicted from: the last state, the mean of the states, or every one, for a target at each step
        (default: last, or every where the target changes within a sequence).
    clip_norm
        The largest norm of a gradient, or none (default: recurrent 1, where the rule takes it; otherwise none).
    truncate
        The steps that an error is sent back at most (default: all).
    seed
        Seed of everything random.
    tensorboard
        A folder for TensorBoard event files, written when the run is done.
    """
    from axonic import runs
    from axonic.data.sequences import Layout
    from axonic.engine import use_processors
    from axonic.settings import Settings

    recurrent = net in SEQUENTIAL
    with_others = _join(coordinator, processes, process_id, distributed)
    if recurrent and not with_others:
        use_processors()
    settings = Settings(
        **_network(net, hidden, activation, bidirectional, head),
        n_centers=_number("--n-centers", n_centers, int),
        centers=centers,
        radial=radial,
        width=_number("--width", width, float),
        widths=widths,
        training=training,
        ridge=_number("--ridge", ridge, float),
        goal=goal,
        truncate=truncate,
        clip_norm=None if clip_norm == "none" else _number("--clip-norm", clip_norm, float),
        autoregression=autoregression,
        loss=_loss(loss),
        optimizer=optimizer or ("adam" if recurrent else "momentum"),
        learning_rate=_number("--learning-rate", learning_rate, float),
        **({} if batch_size == "auto" else {"batch_size": _number("--batch-size", batch_size, int)}),
        batch_stage=batch_size == "auto",
        epochs=_number("--epochs", epochs, int),
        branch_stage=epochs == "auto",
        l2=l2,
        l1=l1,
        dropout=dropout,
        input_noise=input_noise,
        scaling=scaling,
        slicing=slicing,
        mixup=mixup,
        label_smoothing=label_smoothing,
        max_norm=max_norm,
        weight_average=weight_average,
        class_weight=class_weight,
        regularization=None if regularization == "none" else regularization,
        ensemble=_number("--ensemble", ensemble, int),
        monitor=monitor,
        seed=seed,
    )
    if tensorboard is not None:
        from axonic.report.tensorboard import require, write_events

        require()
    reporter = Progress(quiet or _follows())
    with reporter:
        result = runs.fit_table(
            data,
            target,
            out or _new_run(data),
            task=task,
            test=test,
            test_size=test_size,
            settings=settings,
            layout=Layout(sequence_id, order_by, window, horizon),
            stream=stream,
            budget=budget,
            stop_on=stop_on,
            reporter=reporter,
        )
    if not _follows():
        if tensorboard is not None:
            write_events(Path(result["run"]), tensorboard)
        print_result(result, json)
    return 130 if reporter.interrupted() else 0


@app.command
def resume(
    run: Path,
    /,
    *,
    data: Path | None = None,
    budget: float | None = None,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process_id: ProcessId = None,
    distributed: Distributed = False,
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

    _join(coordinator, processes, process_id, distributed)
    reporter = Progress(quiet or _follows())
    with reporter:
        result = runs.resume_run(run, data=data, budget=budget, reporter=reporter)
    if not _follows():
        print_result(result, json)
    return 130 if reporter.interrupted() else 0


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
        runs.check_prediction_path(out)
    table, unseen = runs.predict_table(run, data, proba=proba, std=std, steps=steps)
    for column, count in unseen.items():
        print(f"note: {count} values of {column!r} were not seen in training and count as 'other'", file=sys.stderr)
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
    console.print(f"{scores['n']} rows, {scores['task']} of {scores['target']}")
    for name in ("loss", "accuracy", "ece", "r2", "rmse", "mae"):
        if name in scores:
            console.print(f"  {name:9s} {figure(scores[name])}")
    for each in scores.get("reliability", ()):
        said = f"{each['low']:.1f} to {each['high']:.1f}: {each['n']} rows"
        console.print(f"  said {said}, {each['confidence']:.3f} on average; right {each['accuracy']:.3f}")
    for column, count in scores["unseen"].items():
        console.print(f"  {count} values of {column!r} were not seen in training", markup=False)
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
    sequence_id: Named = None,
    order_by: Named = None,
    window: Steps = None,
    horizon: Steps = None,
    bidirectional: Bidirectional = False,
    head: Head = "auto",
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
    sequence_id
        The column that says which sequence a row belongs to.
    order_by
        The column that orders the steps.
    window
        Forecast one series: the steps that a forecast looks at.
    horizon
        The steps that are forecast at a time.
    bidirectional
        Recurrent layers go through the sequences in both directions.
    head
        What is predicted from, as for axonic fit.
    out
        A folder for check.json and its page, report.html.
    """
    from axonic import runs
    from axonic.data.sequences import Layout
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
    settings = Settings(**_network(net, hidden, activation, bidirectional, head), **rule, loss=_loss(loss))
    result = runs.check_data(
        data,
        target,
        task=task,
        out=out,
        settings=settings,
        layout=Layout(sequence_id, order_by, window, horizon),
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
    seconds: float = 0.5,
    seeds: int = 3,
    net: Net = "feedforward",
    hidden: str | None = None,
    activation: str | None = None,
    batch_size: int = 32,
    sequence_id: Named = None,
    order_by: Named = None,
    window: Steps = None,
    horizon: Steps = None,
    bidirectional: Bidirectional = False,
    head: Head = "auto",
    seed: int = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Let the learning rules race on a table or sequences: same networks, same weights, same time.

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
        Training time of each rule on each seed.
    seeds
        Starting weights and splits to race on.
    net
        What is trained; the recurrent ones take sequences.
    hidden
        Units of the hidden layers, separated by commas; "none" for a linear model (default: 64,64; recurrent: 64).
    activation
        One name, or one for each hidden layer (default: relu; recurrent: tanh).
    batch_size
        Rows of a batch, for the rules that take batches.
    sequence_id
        The column that says which sequence a row belongs to.
    order_by
        The column that orders the steps.
    window
        Forecast one series: the steps that a forecast looks at.
    horizon
        The steps that are forecast at a time.
    bidirectional
        Recurrent layers go through the sequences in both directions.
    head
        What is predicted from, as for axonic fit.
    seed
        Seed of everything random.
    """
    from axonic import runs
    from axonic.data.sequences import Layout
    from axonic.engine import use_processors
    from axonic.settings import Settings

    if not (seconds > 0 and seeds >= 1):
        raise InputError("--seconds and --seeds must be positive", "give for example --seconds 0.5 --seeds 3")
    if net in SEQUENTIAL:
        use_processors()
    settings = Settings(
        **_network(net, hidden, activation, bidirectional, head),
        batch_size=batch_size,
        seed=seed,
        ensemble=1,
    )
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
            layout=Layout(sequence_id, order_by, window, horizon),
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
    Console(highlight=False).print(f"report: {page}", markup=False, soft_wrap=True)
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
        with reporter:
            settings = Settings(batch_stage=True, branch_stage=True)
            result = runs.fit_table(table, "species", out, settings=settings, reporter=reporter)
    write(out / "penguins.csv", content)
    print_result(result, json)
    if not json:
        command = f"axonic predict {out} {out / 'penguins.csv'} --proba"
        Console(highlight=False).print(f"\nTry: {command}", soft_wrap=True)
    return 130 if reporter.interrupted() else 0


def _join(coordinator: str | None, processes: int | None, process_id: int | None, cluster: bool) -> bool:
    """Meet other processes, if there are any."""
    if not cluster and coordinator is processes is process_id is None:
        return False
    from axonic import distributed

    distributed.join(coordinator, processes, process_id, cluster=cluster)
    return distributed.count() > 1


def _follows() -> bool:
    """Whether another process shows what happens and writes the run directory."""
    from axonic import distributed

    return distributed.index() > 0


def _say_where(folder: Path) -> None:
    Console(highlight=False).print(f"report: {folder / 'report.html'}", markup=False, soft_wrap=True)


def _sizes(text: str) -> tuple[int, ...]:
    if text.strip().lower() in ("", "none"):
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--hidden {text!r} is no list of sizes", "give whole numbers such as 64,64") from None


def _activation(text: str) -> str | tuple[str, ...]:
    return tuple(text.split(",")) if "," in text else text


def _loss(text: str) -> Any:
    """A name, or the loss that a name and a number, "quantile:0.9", stand for."""
    name, colon, number = text.partition(":")
    if not colon:
        return text
    from axonic import losses

    made = {"huber": losses.huber, "quantile": losses.quantile}
    if name not in made:
        raise InputError(f"--loss {text!r} takes no number", f"give one to {' or '.join(made)}, such as quantile:0.9")
    try:
        return made[name](float(number))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"--loss {text!r} has no number after the colon", "give one such as quantile:0.9") from None


def _network(net: str, hidden: str | None, activation: str | None, bidirectional: bool, head: str) -> dict[str, Any]:
    """What the options say of the network, where they are silent with what is usual for its kind."""
    recurrent = net in SEQUENTIAL
    return {
        "net": net,
        "hidden_layer_sizes": _sizes(hidden if hidden is not None else "64" if recurrent else "64,64"),
        "activation": _activation(activation or ("tanh" if recurrent else "relu")),
        "bidirectional": bidirectional,
        "head": head if recurrent or head != "auto" else "last",
    }


def _number(option: str, text: str, kind: type) -> Any:
    if text == "auto":
        return text
    try:
        return kind(text)
    except ValueError:
        what = "whole number" if kind is int else "number"
        raise InputError(f"{option} {text!r} is no {what}", f"give 'auto' or a {what}") from None


def _new_run(data: Path) -> Path:
    """runs/NAME-N with the first N that is free."""
    number = 1
    while (path := Path("runs") / f"{data.stem}-{number}").exists():
        number += 1
    return path


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 2 the user can mend it, 3 another process of the run was
    lost (`axonic.distributed`), 130 interrupted."""
    from axonic import distributed

    arguments = sys.argv[1:] if arguments is None else arguments
    folded.in_full = "--help-all" in arguments
    try:
        code = app(arguments, exit_on_error=False, print_error=False) or 0
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        distributed.part()
        return 0
    except MemoryError as error:
        print("error: not enough memory: give fewer rows or columns", file=sys.stderr)
        distributed.part(error, 2)
        return 2
    except Exception as error:
        distributed.judge(error)
        if distributed.count() > 1:
            traceback.print_exc()
            distributed.part(error, 1)
        raise
