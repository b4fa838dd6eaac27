"""The options that several commands share, and those of `fit` that belong together: a class a panel of the help.

`axonic.cli` takes an object of such a class as a parameter, and cyclopts makes one option of each of its fields.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter
from cyclopts.help import DefaultFormatter, HelpPanel

from axonic.errors import InputError

if TYPE_CHECKING:
    from axonic.data.sequences.layout import Layout


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

SEQUENTIAL = ("rnn", "lstm", "gru")
Net = Literal["feedforward", "rnn", "lstm", "gru"]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, Parameter(name="--quiet", negative="", help="No progress on standard error.")]


@Parameter(name="*", group=SHARED)
@dataclass(frozen=True)
class Together:
    """The processes that train one network.

    Parameters
    ----------
    coordinator
        HOST:PORT of process 0, where the others find it (default: 127.0.0.1:8476).
    processes
        How many processes train together; start the same command in each.
    process_id
        Which of them this is, counted from 0.
    distributed
        The cluster says all that: SLURM, Open MPI, Kubernetes, cloud TPUs.
    """

    coordinator: str | None = None
    processes: int | None = None
    process_id: int | None = None
    distributed: Annotated[bool, Parameter(negative="")] = False

    def meet(self) -> bool:
        """Meet the others; whether there are any."""
        if not self.distributed and self.coordinator is self.processes is self.process_id is None:
            return False
        from axonic import distributed

        distributed.join(self.coordinator, self.processes, self.process_id, cluster=self.distributed)
        return distributed.count() > 1


@Parameter(name="*", group=SEQUENCES)
@dataclass(frozen=True)
class Sequences:
    """How sequences lie in the file, and how they are gone through.

    Parameters
    ----------
    sequence_id
        The column that says which sequence a row belongs to.
    order_by
        The column that orders the steps: numbers or dates.
    window
        Forecast one series: the steps that a forecast looks at.
    horizon
        The steps that are forecast at a time (default: 1).
    bidirectional
        Go through sequences in both directions (default: if each has one answer).
    head
        What is predicted from: the last state, the mean of the states, or every one, for a target at each step
        (default: last, or every where the target changes within a sequence).
    """

    sequence_id: str | None = None
    order_by: str | None = None
    window: int | None = None
    horizon: int | None = None
    bidirectional: bool | None = None
    head: Literal["auto", "last", "mean", "every"] = "auto"

    def layout(self) -> "Layout":
        """How they lie in the file."""
        from axonic.data.sequences.layout import Layout

        return Layout(self.sequence_id, self.order_by, self.window, self.horizon)


@Parameter(name="*", group=RADIAL)
@dataclass(frozen=True)
class Radial:
    """A network of radial basis functions.

    Parameters
    ----------
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
        With --centers grow: mean squared error of the standardised target at which growing ends.
    """

    n_centers: str = "auto"
    centers: Literal["kmeans", "random", "grow"] = "kmeans"
    radial: Literal["gaussian", "multiquadric", "inverse_multiquadric", "thin_plate"] = "gaussian"
    width: str = "auto"
    widths: Literal["shared", "per_center", "per_dimension"] = "shared"
    training: Literal["closed_form", "gradient"] = "closed_form"
    ridge: str = "auto"
    goal: float = 0.0

    def settings(self) -> dict[str, Any]:
        """What `Settings` calls them."""
        numbers = {
            "n_centers": number_of("--n-centers", self.n_centers, int),
            "width": number_of("--width", self.width, float),
            "ridge": number_of("--ridge", self.ridge, float),
        }
        return asdict(self) | numbers


@Parameter(name="*", group=REGULARIZATION)
@dataclass(frozen=True)
class Regularization:
    """What keeps a network from overfitting.

    Parameters
    ----------
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
        auto chooses l2 by the number of rows and, where several networks are trained, by validation, unless l2, l1 or
        dropout is given.
    """

    l2: float = 0.0
    l1: float = 0.0
    dropout: float = 0.0
    input_noise: float = 0.0
    scaling: float = 0.0
    slicing: float = 0.0
    mixup: float = 0.0
    label_smoothing: float = 0.0
    max_norm: float | None = None
    weight_average: float = 0.0
    class_weight: Literal["balanced"] | None = None
    regularization: Literal["auto", "none"] = "auto"

    def settings(self) -> dict[str, Any]:
        """What `Settings` calls them."""
        return asdict(self) | {"regularization": None if self.regularization == "none" else self.regularization}


ALONE, NO_SEQUENCES, RADIAL_DEFAULTS, REGULARIZATION_DEFAULTS = Together(), Sequences(), Radial(), Regularization()


def loss_of(text: str) -> Any:
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


def network_of(net: str, hidden: str | None, activation: str | None, sequences: Sequences) -> dict[str, Any]:
    """What the options say of the network, where they are silent with what is usual for its kind."""
    from axonic.settings import usual_batch_size

    recurrent = net in SEQUENTIAL
    return {
        "net": net,
        "hidden_layer_sizes": _sizes(hidden if hidden is not None else "64" if recurrent else "64,64"),
        "activation": _activation(activation or ("tanh" if recurrent else "relu")),
        "batch_size": usual_batch_size(net),
        "bidirectional": "auto" if sequences.bidirectional is None else sequences.bidirectional,
        "head": sequences.head if recurrent or sequences.head != "auto" else "last",
    }


def number_of(option: str, text: str, kind: type) -> Any:
    """A number of that kind, or "auto"."""
    if text == "auto":
        return text
    try:
        return kind(text)
    except ValueError:
        what = "whole number" if kind is int else "number"
        raise InputError(f"{option} {text!r} is no {what}", f"give 'auto' or a {what}") from None


def _sizes(text: str) -> tuple[int, ...]:
    if text.strip().lower() in ("", "none"):
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--hidden {text!r} is no list of sizes", "give whole numbers such as 64,64") from None


def _activation(text: str) -> str | tuple[str, ...]:
    return tuple(text.split(",")) if "," in text else text
