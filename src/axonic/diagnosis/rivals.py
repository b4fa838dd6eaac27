"""Findings about what a network has to beat: always giving the same answer, and a linear model."""

from collections.abc import Iterator

import numpy as np

from axonic.diagnosis.evidence import ERRORS, GAIN, Evidence, compared, rounded
from axonic.losses import Absolute, Huber, Quantile
from axonic.losses.steps import of_a_step
from axonic.recipe import Fit
from axonic.types import Finding

CLEAR = 2.0
"""Standard errors that are asked for where one would often be had by chance: of a linear model, which is looked at in
every run, and of networks some of which have given way to a constant."""
MEAN = "the mean of the target, the frequencies of its classes"
CONSTANTS: dict[type, str] = {
    Absolute: "the median of the target",
    Quantile: "the quantile of the target",
    Huber: "the middle of the target",
}
"""The best constant answer by loss (`axonic.recipe.constant`), where it is another than the mean."""
LINEAR = "Leave the hidden layers out, hidden_layer_sizes=() (--hidden none): the network is a linear model then."
FLAT = (
    "Take that linear model: make a table of the sequences, each step a column (X.reshape(len(X), -1)), and train a "
    "feed-forward network without hidden layers on it, hidden_layer_sizes=() (--hidden none). Or try more units, or "
    "give more sequences."
)
NO_SIGNAL_REMEDY = "Check that the columns can tell the target, or collect more rows."


def check_worse_than_linear(e: Evidence) -> Iterator[Finding]:
    """train.worse_than_linear: a linear model does clearly better on rows that were held out; of sequences one that
    takes all their steps side by side."""
    if not e.finite or e.cut or not e.settings.hidden_layer_sizes or e.beside_linear is None:
        return
    comparison = compared(*e.beside_linear)
    if comparison.gain > GAIN and comparison.gain > CLEAR * comparison.error:
        of_sequences = e.network.of_sequences
        what = "A linear model of all steps side by side" if of_sequences else "A linear model"
        rows = "sequences" if of_sequences else "rows"
        yield Finding(
            "train.worse_than_linear",
            "warning",
            "",
            {
                "rows": len(e.beside_linear[0]),
                "loss": rounded(comparison.before),
                "loss_of_linear": rounded(comparison.after),
                "gain": rounded(comparison.gain),
                "standard_error": rounded(comparison.error),
            },
            f"{what} does better: on {len(e.beside_linear[0])} {rows} that were held out its loss is "
            f"{comparison.gain:.0%} lower than that of the network{'s together' if len(e.fit.members) > 1 else ''}.",
            FLAT if of_sequences else LINEAR,
        )


def check_no_signal(e: Evidence) -> Iterator[Finding]:
    """data.no_signal: nothing that holds was learned, and nothing else explains it. Of the rows that decided which
    weights to keep, half of all useless networks do a little better than a constant, so chance is asked for too; and
    where the other half has given way to the constant, for more, since what is left is better by choice."""
    said = no_signal(e.fit)
    yield from said
    if said or e.cut or not e.keeps_best or e.advantage is None:
        return
    gain, error = float(e.advantage.mean()), float(e.advantage.std() / np.sqrt(len(e.advantage)))
    if gain <= (CLEAR if e.fit.constant else ERRORS) * error:
        few = f"no more than {CLEAR:g} standard errors" if e.fit.constant else "no more than its standard error"
        yield Finding(
            "data.no_signal",
            "warning",
            "",
            {"rows": len(e.advantage), "gain": rounded(gain), "standard_error": rounded(error)},
            f"On {len(e.advantage)} rows that were held out the loss is only {gain:.2g} below that of always answering "
            f"with one constant ({_constant(e.fit)}), {few} of {error:.2g}: that may be chance.",
            off_the_plateau(e.fit) + NO_SIGNAL_REMEDY,
        )
    elif e.gain_on_training is not None and e.gain_on_training <= 0:
        yield Finding(
            "data.no_signal",
            "warning",
            "",
            {"rows": len(e.advantage), "gain": rounded(gain), "gain_on_training": rounded(e.gain_on_training)},
            f"On {len(e.advantage)} rows that were held out the loss is {gain:.2g} below that of always answering with "
            f"one constant ({_constant(e.fit)}), but on the rows that were trained on it is not below: that is chance.",
            off_the_plateau(e.fit) + NO_SIGNAL_REMEDY,
        )


def no_signal(fit: Fit, least: int | None = None) -> list[Finding]:
    """data.no_signal of a fit of which at least so many networks are constant answers; None is all."""
    constant, networks = len(fit.constant), len(fit.members)
    if constant < (networks if least is None else least):
        return []
    closed = fit.optimizer is None
    where = "when each row is left out once" if closed else "on their validation rows"
    return [
        Finding(
            "data.no_signal",
            "warning",
            "",
            {"constant_networks": constant, "networks": networks},
            f"{constant} of {networks} networks did no better {where} than always answering with one constant "
            f"({_constant(fit)}), and now answer so.",
            ('If width or ridge was given, leave it at "auto". ' if closed else off_the_plateau(fit))
            + NO_SIGNAL_REMEDY,
        )
    ]


def off_the_plateau(fit: Fit) -> str:
    """What to try first behind sigmoids, where the loss is long that of a constant before it falls; "" elsewhere."""
    hidden = (getattr(layer, "activation", None) for layer in fit.network.layers)
    among = any(activation is not None and activation.name == "sigmoid" for activation in hidden)
    return 'Try activation="relu" first: behind sigmoids training can begin on a plateau. ' if among else ""


def _constant(fit: Fit) -> str:
    return CONSTANTS.get(type(of_a_step(fit.loss)), MEAN)
