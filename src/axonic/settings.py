"""How to train: the settings of a fit, checked, and the network and loss they ask for."""

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from axonic import layers, losses, optimizers
from axonic.data.encoding import Rows
from axonic.data.schema import Task
from axonic.data.targets import TargetEncoder
from axonic.errors import InputError
from axonic.layers import Chain, activations, initializers
from axonic.losses import Loss
from axonic.optimizers import Optimizer
from axonic.regularization import Regularization, quantiles

SHALLOW = 2
CELLS = {"rnn": layers.rnn, "lstm": layers.lstm, "gru": layers.gru}
HEADS = ("last", "mean", "every")
LARGEST = float(np.finfo(np.float32).max)
"""Networks are trained in 32 bits."""
NOT_OF_SEQUENCES = ("mixup", "label_smoothing", "max_norm")
"""Regularisers that change the rows of a table, or the weights into a unit of one layer."""
NETS = ("feedforward", "rbf", *CELLS)
CENTERS = ("kmeans", "random", "grow")
TRAININGS = ("closed_form", "gradient")
OF_NET = {
    "feedforward": {"hidden_layer_sizes", "activation", "init"},
    "recurrent": {
        "hidden_layer_sizes",
        "activation",
        "init",
        "bidirectional",
        "head",
        "truncate",
        "chrono",
        "scaling",
        "slicing",
    },
    "rbf": {"n_centers", "centers", "radial", "width", "widths", "training", "ridge", "goal"},
}
"""Settings of one kind of network alone."""
OF_GRADIENT = {
    *("optimizer", "learning_rate", "batch_size", "epochs", "l2", "l1", "dropout", "regularization"),
    *("clip_norm", *Regularization._fields),
}
"""Settings that the closed form of networks of radial basis functions has no use for."""


def usual_batch_size(net: str) -> int:
    """Rows of a batch where nothing else is asked for (for sequences: benchmarks/README.md, choices for sequences)."""
    return 16 if net in CELLS else 32


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train; the parameters of the estimators with the same names, where they are documented.

    class_weight : of the rows of a table; estimators weight theirs themselves.
    net : "feedforward", "rbf", or the kind of recurrent layers: "rnn", "lstm", "gru".
    head, bidirectional : as for the estimators, or "auto" until the data say which: "every" where each step has a
        target, else "last"; in both directions unless each step has a target, or the sequences are a series.
    batch_stage, branch_stage : whether the recipe looks at other batch sizes than `batch_size`, and whether it branches
        off with a tenth of the rate; the estimators' `recipe="full"` is both.
    """

    hidden_layer_sizes: tuple[int, ...] = (64, 64)
    activation: str | tuple[str, ...] = "relu"
    optimizer: Any = "momentum"
    learning_rate: float | Literal["auto"] = "auto"
    batch_size: int = 32
    epochs: int | Literal["auto"] = "auto"
    loss: str | Loss = "auto"
    init: str = "auto"
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
    regularization: Literal["auto"] | None = "auto"
    ensemble: int | Literal["auto"] = "auto"
    batch_stage: bool = False
    branch_stage: bool = False
    shuffle: bool = True
    early_stopping: bool = True
    monitor: bool = True
    seed: int = 0
    net: str = "feedforward"
    n_centers: int | Literal["auto"] = "auto"
    centers: str = "kmeans"
    radial: str = "gaussian"
    width: float | Literal["auto"] = "auto"
    widths: str = "shared"
    training: str = "closed_form"
    ridge: float | Literal["auto"] = "auto"
    goal: float = 0.0
    bidirectional: bool | Literal["auto"] = "auto"
    head: Literal["auto", "last", "mean", "every"] = "last"
    truncate: int | None = None
    chrono: int | None = None
    clip_norm: float | Literal["auto"] | None = "auto"
    autoregression: bool = True

    def __post_init__(self) -> None:
        """Raise `InputError` for a value that can't work."""
        if not all(_is_whole(n) and n >= 1 for n in self.hidden_layer_sizes):
            _refuse("hidden_layer_sizes", self.hidden_layer_sizes, "give whole numbers of at least 1")
        if isinstance(self.activation, tuple) and len(self.activation) != len(self.hidden_layer_sizes):
            _refuse("activation", self.activation, "give one name, or one for each hidden layer")
        if self.learning_rate != "auto" and not _is_number(self.learning_rate, above=0.0):
            _refuse("learning_rate", self.learning_rate, "give 'auto' or a positive number")
        if not (_is_whole(self.batch_size) and self.batch_size >= 1):
            _refuse("batch_size", self.batch_size, "give a whole number of at least 1")
        if self.epochs != "auto" and not (_is_whole(self.epochs) and self.epochs >= 1):
            _refuse("epochs", self.epochs, "give 'auto' or a whole number of at least 1")
        for name in ("l2", "l1", "input_noise", "scaling", "mixup"):
            if not _is_number(getattr(self, name), least=0.0):
                _refuse(name, getattr(self, name), "give a number that is not negative")
        for name in ("dropout", "slicing", "label_smoothing", "weight_average"):
            if not (_is_number(getattr(self, name), least=0.0) and getattr(self, name) < 1):
                _refuse(name, getattr(self, name), "give a number from 0 to below 1")
        if self.max_norm is not None and not _is_number(self.max_norm, above=0.0):
            _refuse("max_norm", self.max_norm, "give None or a positive number")
        for name in ("shuffle", "early_stopping", "monitor", "batch_stage", "branch_stage", "autoregression"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                _refuse(name, getattr(self, name), "give True or False")
        if self.regularization not in ("auto", None):
            _refuse("regularization", self.regularization, "give 'auto' or None")
        if self.class_weight not in ("balanced", None):
            _refuse("class_weight", self.class_weight, "give 'balanced' or None")
        if self.ensemble != "auto" and not (_is_whole(self.ensemble) and self.ensemble >= 1):
            _refuse("ensemble", self.ensemble, "give 'auto' or a whole number of at least 1")
        if not (_is_whole(self.seed) and 0 <= self.seed < 2**63):
            _refuse("seed", self.seed, "give a whole number from 0 on")
        initializers.check(self.init)
        rule = optimizers.get("momentum" if self.optimizer == "auto" else self.optimizer)
        if self.learning_rate != "auto" and not rule.has_rate:
            _refuse("learning_rate", self.learning_rate, f"leave it out: {type(rule).__name__} has no rate")
        if rule.same_objective and (names := self.changes_steps):
            how = f"{type(rule).__name__} needs the same loss at every step; use momentum or adam with {names[0]}"
            _refuse(names[0], getattr(self, names[0]), how)
        for name in self._activations():
            activations.get(name)
        if self.clip_norm not in ("auto", None):
            if not _is_number(self.clip_norm, above=0.0):
                _refuse("clip_norm", self.clip_norm, "give 'auto', None or a positive number")
            if not rule.takes_clipped:
                how = f"{type(rule).__name__} needs the gradient itself; use momentum or adam with clip_norm"
                _refuse("clip_norm", self.clip_norm, how)
        self._check_net()

    def check_batches(self, *, given: bool = False) -> None:
        """Raise `InputError` if a size of batches is given by hand, as every unusual one is, to a rule that takes all
        rows at every step. (A race tries many rules with the same settings, so these alone do not refuse it.)"""
        if self.optimizer == "auto" or not (given or self.batch_size != usual_batch_size(self.net)):
            return
        rule = optimizers.get(self.optimizer)
        if rule.full_batch:
            how = f"leave it out: {type(rule).__name__} takes all rows at every step"
            _refuse("batch_size", self.batch_size, how)

    def _check_net(self) -> None:
        """Raise `InputError` for a value that the network of this kind can't work with, or has no use for."""
        if self.net not in NETS:
            _refuse("net", self.net, f"use one of {', '.join(NETS)}")
        given = {field.name for field in dataclasses.fields(self) if getattr(self, field.name) != field.default}
        if self.net == "feedforward" and not self.hidden_layer_sizes:
            for name in ("dropout", "max_norm"):
                if getattr(self, name):
                    _refuse(name, getattr(self, name), "leave it out, or give hidden layers: it acts on their units")
        own = OF_NET["recurrent" if self.recurrent else self.net]
        for net, names in OF_NET.items():
            if others := given & (names - own):
                name = min(others)
                _refuse(name, getattr(self, name), f"leave it out: it is for networks of the kind {net!r}")
        if self.recurrent:
            self._check_recurrent()
        if self.net != "rbf":
            return
        if self.n_centers != "auto" and not (_is_whole(self.n_centers) and self.n_centers >= 1):
            _refuse("n_centers", self.n_centers, "give 'auto' or a whole number of at least 1")
        for name, known in (
            ("centers", CENTERS),
            ("radial", layers.RADIALS),
            ("widths", layers.WIDTHS),
            ("training", TRAININGS),
        ):
            if getattr(self, name) not in known:
                _refuse(name, getattr(self, name), f"use one of {', '.join(known)}")
        for name in ("width", "ridge"):
            if getattr(self, name) != "auto" and not _is_number(getattr(self, name), above=0.0):
                _refuse(name, getattr(self, name), "give 'auto' or a positive number")
        if not _is_number(self.goal, least=0.0):
            _refuse("goal", self.goal, "give a number that is not negative")
        if self.goal and self.centers != "grow":
            _refuse("goal", self.goal, "leave it out: it ends the growing of centers='grow'")
        if self.centers == "grow" and self.widths != "shared":
            _refuse("widths", self.widths, "use 'shared' with centers='grow', which needs the width before the centres")
        if self.training == "closed_form" and (others := given & OF_GRADIENT):
            name = min(others)
            _refuse(
                name, getattr(self, name), "leave it out, or use training='gradient': the closed form takes no steps"
            )

    @property
    def recurrent(self) -> bool:
        """Whether the network reads sequences."""
        return self.net in CELLS

    def _check_recurrent(self) -> None:
        if self.head not in ("auto", *HEADS):
            _refuse("head", self.head, f"use {', '.join(HEADS)}")
        if not (isinstance(self.bidirectional, bool | np.bool_) or self.bidirectional == "auto"):
            _refuse("bidirectional", self.bidirectional, "give 'auto', True or False")
        if self.truncate is not None and not (_is_whole(self.truncate) and self.truncate >= 1):
            _refuse("truncate", self.truncate, "give None or a whole number of at least 1")
        if self.chrono is not None and self.net == "rnn":
            _refuse("chrono", self.chrono, "leave it out, or use lstm or gru: an rnn has no gates")
        if self.chrono is not None and not (_is_whole(self.chrono) and self.chrono >= 3):
            _refuse("chrono", self.chrono, "give None or a whole number of at least 3")
        if not self.hidden_layer_sizes:
            _refuse("hidden_layer_sizes", (), "a recurrent network has at least one hidden layer")
        for name in NOT_OF_SEQUENCES:
            if getattr(self, name):
                _refuse(name, getattr(self, name), "leave it out: it is for tables")
        if self.head == "every" and self.slicing:
            _refuse("slicing", self.slicing, "leave it out: where each step has a target, none is to be missed")
        if self.head == "every" and self.class_weight:
            _refuse("class_weight", self.class_weight, "leave it out: it weighs sequences, not steps")
        takes_residuals = isinstance(self.optimizer, optimizers.LevenbergMarquardt)
        if self.head == "every" and (takes_residuals or self.optimizer == "levenberg_marquardt"):
            _refuse("optimizer", self.optimizer, "it takes one target for each sequence; use momentum or adam")
        if self.net != "rnn" and set(self._activations()) != {"tanh"}:
            _refuse("activation", self.activation, f"a layer of kind {self.net} has its own: leave it at 'tanh'")

    def _activations(self) -> tuple[str, ...]:
        if isinstance(self.activation, tuple):
            return self.activation
        return (self.activation,) * len(self.hidden_layer_sizes)

    def network(self, n_out: int) -> Chain:
        """Hidden layers with their activation and dropout, and a linear last layer whose output is z.

        With `init="auto"` a shallow network (up to `SHALLOW` hidden layers) starts with Glorot's weights whatever its
        activation, since He's factor of 2 starts it too large; see `docs/decisions/002-initial-weights.md`.

        A network of radial basis functions has one centre here, if their number is yet to be chosen.

        A recurrent network has recurrent layers in their place, one direction or both, and behind them what makes one
        vector of a sequence: the last step, the mean over time, or neither, where every step has a target.
        """
        if self.recurrent:
            return self._recurrent_network(n_out)
        if self.net == "rbf":
            return self.radial_network(1 if self.n_centers == "auto" else self.n_centers, n_out)
        shallow = self.init == "auto" and len(self.hidden_layer_sizes) <= SHALLOW
        init = "glorot_uniform" if shallow else self.init
        hidden = []
        for n_units, activation in zip(self.hidden_layer_sizes, self._activations(), strict=True):
            hidden.append(layers.dense(n_units, activation, init))
            if self.dropout > 0:
                hidden.append(layers.dropout(self.dropout))
        return layers.chain(*hidden, layers.dense(n_out, "identity", init))

    @property
    def changes_steps(self) -> list[str]:
        """What is asked for that makes the loss another one at each step, or moves the weights after it."""
        return [
            name
            for name in ("dropout", "input_noise", "scaling", "slicing", "mixup", "max_norm")
            if getattr(self, name)
        ]

    def clip(self, rule: Optimizer) -> float | None:
        """The largest norm of a gradient that a rule is given; by itself 1 in a recurrent network, where the rule takes
        clipped ones."""
        if self.clip_norm == "auto":
            return 1.0 if self.recurrent and rule.takes_clipped else None
        return self.clip_norm

    @property
    def values(self) -> Regularization:
        """What acts on batches and weights; None where it is not asked for."""
        values = Regularization(*(getattr(self, name) or None for name in Regularization._fields))
        return values if values.mixup is None else values._replace(mixup=quantiles(values.mixup))

    def of_series(self) -> "Settings":
        """What is usual for a series, where it is left open: its last steps tell most of what comes."""
        head = "last" if self.head == "auto" else self.head
        both = False if self.bidirectional == "auto" else self.bidirectional
        return dataclasses.replace(self, head=head, bidirectional=both)

    @property
    def both_ways(self) -> bool:
        """Whether recurrent layers go through the sequences in both directions."""
        return self.head != "every" if self.bidirectional == "auto" else bool(self.bidirectional)

    @property
    def holds_out(self) -> bool:
        """Whether validation rows are held out: not for a closed form, which leaves every row out once."""
        return self.net != "rbf" or self.training != "closed_form"

    def radial_network(self, n_centers: int, n_out: int) -> Chain:
        """So many radial basis functions, dropout, and a linear last layer."""
        dropped = [layers.dropout(self.dropout)] if self.dropout > 0 else []
        return layers.chain(layers.rbf(n_centers, self.radial, self.widths), *dropped, layers.dense(n_out))

    def _recurrent_network(self, n_out: int) -> Chain:
        stack = []
        by_step = self.head == "every"
        for index, (n_units, activation) in enumerate(zip(self.hidden_layer_sizes, self._activations(), strict=True)):
            options = {"init": "glorot_uniform" if self.init == "auto" else self.init, "truncate": self.truncate}
            options |= {"activation": activation} if self.net == "rnn" else {"chrono": self.chrono}
            cell = CELLS[self.net](n_units, **options)
            stack.append(layers.bidirectional(cell) if self.both_ways else cell)
            last = index == len(self.hidden_layer_sizes) - 1
            if last and not by_step:
                ends = layers.both_ends() if self.both_ways else layers.last_step()
                stack.append(layers.mean_over_time() if self.head == "mean" else ends)
            if self.dropout > 0:
                dropped = layers.dropout(self.dropout)
                stack.append(dropped if last and not by_step else layers.each_step(dropped))
        output = layers.dense(n_out, "identity", "glorot_uniform" if self.init == "auto" else self.init)
        if by_step:
            return layers.chain(*stack, layers.each_step(output), layers.every_step())
        return layers.chain(*stack, output)


def pair(settings: Settings, task: str, n: int) -> tuple[Loss, int]:
    """The loss with its output activation, and the number of output units, for `n` classes or target numbers.

    Two classes take one sigmoid unit, more take a softmax; of several labels each takes a sigmoid; numbers take linear
    units. With `head="every"` it is the
    loss of each step.

    Raises
    ------
    InputError : the loss does not go with the task.
    """
    loss, n_out = _pair(settings, task, n)
    return (losses.each_step(loss) if settings.head == "every" else loss), n_out


def _pair(settings: Settings, task: str, n: int) -> tuple[Loss, int]:
    if task != "classification":
        for name in ("label_smoothing", "class_weight"):
            if getattr(settings, name):
                _refuse(name, getattr(settings, name), "leave it out: it is for classes that exclude each other")
    if isinstance(settings.loss, Loss):
        if any(leaf is settings.loss for leaf in jax.tree.leaves(settings.loss)):
            _refuse("loss", type(settings.loss).__name__, "put @spec (of axonic.specs) before the class of your loss")
        settings.loss.check()
        if task != "regression" and not gives_probabilities(settings.loss):
            name = settings.loss.activation.name
            how = "give one behind softmax or sigmoid, such as losses.log_likelihood or losses.cross_entropy"
            raise InputError(f"a loss behind {name} gives no probabilities of classes", how)
        binary = task == "classification" and n == 2 and settings.loss.activation.name == "sigmoid"
        return settings.loss, 1 if binary else n
    if task == "regression":
        known: dict[str, tuple[Loss, int]] = {
            "auto": (losses.squared_error, n),
            "squared_error": (losses.squared_error, n),
            "huber": (losses.huber(), n),
            "absolute": (losses.absolute, n),
            "quantile": (losses.quantile(), n),
            "poisson": (losses.poisson, n),
        }
    elif task == "multilabel":
        known = {
            "auto": (losses.cross_entropy, n),
            "cross_entropy": (losses.cross_entropy, n),
            "mse": (losses.mse("sigmoid"), n),
        }
    elif n == 2:
        known = {
            "auto": (losses.cross_entropy, 1),
            "cross_entropy": (losses.cross_entropy, 1),
            "log_likelihood": (losses.log_likelihood, 2),
            "mse": (losses.mse("sigmoid"), 1),
        }
    else:
        known = {
            "auto": (losses.log_likelihood, n),
            "log_likelihood": (losses.log_likelihood, n),
            "mse": (losses.mse("softmax"), n),
        }
    if not isinstance(settings.loss, str) or settings.loss not in known:
        what = {"regression": "regression", "multilabel": "several labels"}.get(task, f"{n} classes")
        numbers = "; if they are numbers, ask for regression" if what.endswith("classes") else ""
        others = ", or another quantile as losses.quantile(0.9)" if task == "regression" else ""
        _refuse("loss", settings.loss, f"for {what} use one of {', '.join(known)}{others}{numbers}")
    return known[settings.loss]


def fit_target(settings: Settings, y: Any, task: Task, rows: Rows | None = None) -> TargetEncoder:
    """The encoder of the targets, with numbers on the scale that the loss asks for; see `TargetEncoder.fit`.

    Raises
    ------
    InputError : the loss does not go with the task or a target.
    """
    if task != "regression":
        return TargetEncoder.fit(y, task, rows)
    loss, _ = pair(settings, task, 1)
    return TargetEncoder.fit(y, task, rows, loss.scaling(), loss.limits())


def takes_either_sign(settings: Settings) -> bool:
    """Whether the loss of numbers takes any, as changes and what a linear forecast leaves are; counts are not."""
    loss, _ = pair(settings, "regression", 1)
    return loss.limits() == (-math.inf, math.inf)


def gives_probabilities(loss: Loss) -> bool:
    """Whether the outputs before a loss lie between 0 and 1 wherever the pre-activations do."""
    z = np.array([[-30.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [30.0, 0.0]], np.float32)
    outputs = np.asarray(loss.activation.value(jnp.asarray(z)))
    return bool(((outputs >= 0) & (outputs <= 1)).all())


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_number(value: Any, *, least: float = -math.inf, above: float = -math.inf) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return bool(number and abs(value) <= LARGEST and value >= least and value > above)


def _refuse(name: str, value: Any, how: str) -> None:
    if isinstance(value, int | float | np.number) and LARGEST < abs(value) < math.inf:
        how += f", {LARGEST:.3g} at most, where numbers of 32 bits end"
    raise InputError(f"{name} = {value!r} is impossible", how)
