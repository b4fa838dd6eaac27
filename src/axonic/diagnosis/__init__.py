"""Why training went well or badly, and what to do.

    data.py        encoded rows that do not suit how they are trained on
    network.py     the network before its first step
    run.py         the rules of a run, which are in loss.py, steps.py, capacity.py and rivals.py
    evidence.py    the curves, the looks inside (`axonic.health`), and runs made for comparison
    live.py        what can be said while training is under way
    rehearsal.py   the network before there is a run: a first batch, and a quick run
    sequences.py   what goes on through time, for networks that read sequences, in place of the others

Rules stand in the order in which one explains the others, and the first that speaks is the cause: of what comes after
it only the symptoms are kept, in its evidence. A rate ten times too high, which leaves dead units, a swinging loss and
a network no better than a constant, is one finding. A rule of the run that is suspicious trains the network again with
the one thing changed that its remedy would change, and speaks only if that has helped, so a remedy is known to work
on the very rows. docs/findings.md lists every finding with its threshold.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from axonic.baselines import LinearModels
from axonic.checks import by_severity
from axonic.data.targets import TargetEncoder
from axonic.diagnosis import data, network, rivals, run, sequences, steps
from axonic.diagnosis.evidence import Evidence, compared
from axonic.recipe import Fit, Task, Watcher
from axonic.types import Finding

OF_SCORES = ("data.split_overlap",)
"""What makes scores too good explains nothing of how training went."""


def diagnose(
    task: Task,
    fit: Fit,
    watcher: Watcher | None = None,
    target: TargetEncoder | None = None,
    linear: LinearModels | None = None,
    *,
    windows: bool = False,
) -> list[Finding]:
    """Examine a fit.

    Parameters
    ----------
    task : what was trained, and on what.
    fit : what came of it.
    watcher : once it says that the fit is ended, no run for comparison begins.
    target : how the targets were encoded; None leaves out what is to be said of them in their units.
    linear : linear models of the same rows, if some are known; None fits them where they are asked for.
    windows : whether the sequences are windows of one series, of which `axonic.correction` says what does better.

    Returns
    -------
    Findings, the cause first; "train.healthy" alone if nothing is wrong. Of networks of radial basis functions the data
    are examined and what went wrong is said, but no rule looks inside. Of networks that read sequences what goes on
    through time is looked at, and whether a linear model does better; where nothing is to be said, there is no finding.
    """
    if task.settings.net == "rbf":
        return by_severity([finding for rule in data.RULES for finding in rule(task)] + unwatched(fit))
    evidence = Evidence(task, fit, watcher or Watcher(), target, linear)
    if task.network.of_sequences:
        wrong, beaten = [*network.check_activations(task.network)], [] if windows else _beaten(evidence)
        ended = _diverged(fit) or beaten or rivals.no_signal(fit) or sequences.no_signal(task, fit)
        return _with_the_rate(fit, [*wrong, *ended, *sequences.diagnose(task, fit)])
    findings = [finding for rule in data.RULES for finding in rule(task)]
    causes = [finding for finding in findings if finding.severity != "info" and finding.code not in OF_SCORES]
    with np.errstate(all="ignore"):
        rules = itertools.chain(network.RULES, run.CAUSES)
        for rule in rules:
            for finding in rule(evidence):
                findings.append(finding)
                causes += [finding] if finding.severity != "info" else []
            if causes:
                break
    findings = _merged(findings, causes, evidence)
    return findings or [_healthy(evidence)]


def unwatched(fit: Fit) -> list[Finding]:
    """What is to be said of a fit that is not to be diagnosed: that it diverged, or learned nothing."""
    return _with_the_rate(fit, _ended(fit))


def _ended(fit: Fit) -> list[Finding]:
    return _diverged(fit) or rivals.no_signal(fit)


def _diverged(fit: Fit) -> list[Finding]:
    return [steps.diverged(state, fit.optimizer) for state in fit.states if state.diverged][-1:]


def _beaten(evidence: Evidence) -> list[Finding]:
    """train.worse_than_linear of networks that read sequences."""
    with np.errstate(all="ignore"):
        found = list(rivals.check_worse_than_linear(evidence))
    return _merged(found, found, evidence)


def with_cause_first(found: list[Finding], diagnosed: list[Finding], *, weighted: bool = False) -> list[Finding]:
    """What was found in the data before training, and what was diagnosed after it: the cause first, unless the data
    hold an error, or a warning that explains it: any does that nothing was learned, and a column that gives the target
    away that a linear model does better. "train.healthy" last. `weighted` is whether the classes were weighted in
    training, so that it is not to be advised."""
    if weighted:
        found = [f._replace(severity="info", remedy=WEIGHTED) if f.code == "data.imbalance" else f for f in found]
    warned = {finding.code for finding in found if finding.severity != "info"}
    explained = ("data.no_signal",) * bool(warned) + ("train.worse_than_linear",) * ("data.leak" in warned)
    cause = [f for f in diagnosed[:1] if f.severity != "info" and f.code not in explained]
    rest = by_severity([*found, *diagnosed[len(cause) :]])
    errors = [finding for finding in found if finding.severity == "error"]
    return [*errors, *cause, *(finding for finding in rest if finding not in errors)]


WEIGHTED = "Judge by the scores of each class, not by the accuracy. The classes were weighted."
OF_LITTLE_LEARNED = ("data.no_signal", "train.worse_than_linear", "train.vanishing")


def _with_the_rate(fit: Fit, findings: list[Finding]) -> list[Finding]:
    """Where no rule has tried another rate, one was given by hand and little was learned, it comes first among what to
    try."""
    if np.isnan(fit.learning_rate) or any(stage["stage"] == "rate" for stage in fit.stages):
        return findings
    first = f'The rate of {fit.learning_rate:g} was given by hand: try learning_rate="auto" first. '
    return [f._replace(remedy=first + f.remedy) if f.code in OF_LITTLE_LEARNED else f for f in findings]


def _merged(findings: list[Finding], causes: Sequence[Finding], evidence: Evidence) -> list[Finding]:
    """The cause first, with the symptoms that come with it, then the rest by severity."""
    if causes:
        first = causes[0]
        symptoms = _symptoms(evidence)
        findings = [first._replace(evidence={**first.evidence, **symptoms}) if f is first else f for f in findings]
        first = next(f for f in findings if f.code == first.code and f.where == first.where)
        return [first, *by_severity([finding for finding in findings if finding is not first])]
    return by_severity(findings)


def _symptoms(evidence: Evidence) -> dict[str, object]:
    """What a cause may have led to."""
    seen: dict[str, object] = {}
    if not evidence.finite:
        seen["diverged_in_epoch"] = int(evidence.state.epoch)
    if evidence.fit.constant:
        seen["constant_networks"] = len(evidence.fit.constant)
    return seen


def _healthy(evidence: Evidence) -> Finding:
    losses, fit = evidence.losses, evidence.fit
    numbers = {"network": 1.0} if len(fit.members) > 1 else {}  # the others have other rows
    numbers["train_loss"] = float(losses.train.mean())
    if len(losses.valid):
        numbers["valid_loss"] = float(losses.valid.mean())
    if evidence.trivial is not None:
        numbers["loss_of_constant"] = evidence.trivial
    more = ""
    if evidence.settings.hidden_layer_sizes and evidence.beside_linear is not None:
        comparison = compared(*evidence.beside_linear)
        if comparison.gain > -comparison.error:
            more = " A linear model (hidden_layer_sizes=()) does about as well."
    if fit.constant:
        numbers["constant_networks"] = len(fit.constant)
        share = f"{len(fit.constant)} of {len(fit.members)} networks"
        more += f" {share} learned nothing that holds and answer with a constant."
    return Finding(
        "train.healthy",
        "info",
        "",
        {name: float(f"{value:.4g}") for name, value in numbers.items()},
        "Training went well: the loss came down, nothing died, faded or exploded, and no other setting that was looked "
        f"at does clearly better.{more}",
        (rivals.off_the_plateau(fit) if fit.constant else "") or "Nothing needs to be done.",
    )
