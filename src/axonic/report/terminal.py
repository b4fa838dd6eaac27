"""What the commands show on a terminal."""

import json
import os
import signal
import sys
import time
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from axonic.report import n_scored

WIDE = 200
"""Columns of what is no terminal."""


class Progress:
    """Progress on standard error: live on a terminal, plain lines elsewhere, nothing with --quiet. Ctrl-C once ends
    the training and keeps what is best so far; twice ends the program."""

    SECONDS_BETWEEN_LINES = 2.0

    def __init__(self, quiet: bool) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.live = Live(console=self.console, transient=True) if self.console.is_terminal and not quiet else None
        self.printed = time.monotonic()
        self.stopped = False

    def __enter__(self) -> "Progress":
        self.previous = signal.signal(signal.SIGINT, self._interrupt)
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        signal.signal(signal.SIGINT, self.previous)
        if self.live:
            self.live.stop()

    def _interrupt(self, *_: Any) -> None:
        if self.stopped or not self.training:
            raise KeyboardInterrupt
        self.stopped = True

    training = False

    def read(self, n_rows: int) -> None:
        self._show(f"{n_rows} rows read")

    def data(self, frame: pl.DataFrame, schema: Any, findings: list[Any]) -> None:
        print_schema(self.console, frame, schema)
        print_findings(self.console, [finding for finding in findings if finding.severity != "info"])
        self.training = True

    def stage(self, stage: dict[str, Any]) -> None:
        if stage["stage"] == "rate":
            self.console.print(_rates(stage))
        self.console.print(_said(stage), markup=False, soft_wrap=True)

    def epochs(self, network: int, n_networks: int, history: np.ndarray, n_epochs: int, stop: Any) -> None:
        if len(history) == 0:
            return
        train, valid = history[-1][:2]
        losses = f"training loss {train:.4f}" + ("" if np.isnan(valid) else f", validation loss {valid:.4f}")
        which = f"network {network + 1} of {n_networks}, " if n_networks > 1 else ""
        self._show(f"{which}epoch {n_epochs} (at most {stop.max_epochs}): {losses}")

    def within(self, network: int, n_networks: int, epoch: int, share: float) -> None:
        which = f"network {network + 1} of {n_networks}, " if n_networks > 1 else ""
        self._show(f"{which}epoch {epoch}: {share:.0%} of its batches")

    def findings(self, findings: list[Any]) -> None:
        print_findings(self.console, findings)

    def alarm(self, finding: Any) -> None:
        print_findings(self.console, [finding])

    def lap(self, name: str, seed: int, lap: Any) -> None:
        line = f"{name}, seed {seed + 1}: validation loss {lap.best:.4g} in {lap.epochs} epochs"
        self._show(line)

    def refused(self, name: str, reason: str) -> None:
        self.console.print(f"{name} is left out: {reason}", markup=False)

    def _show(self, line: str) -> None:
        """A line that the next one replaces, or on what is no terminal one line now and then."""
        if self.live:
            self.live.update(Text(line))
        elif time.monotonic() - self.printed > self.SECONDS_BETWEEN_LINES:
            self.console.print(line, markup=False)
            self.printed = time.monotonic()

    def interrupted(self) -> bool:
        return self.stopped


def _rates(stage: dict[str, Any]) -> Table:
    """What became of each rate."""
    table = Table(box=None, pad_edge=False)
    for title in ("rate", "training loss", "oscillation", ""):
        table.add_column(title, justify="left" if title == "" else "right", no_wrap=True)
    for rate, curve, index, verdict in zip(
        stage["rates"], stage["train"], stage["oscillation"], stage["verdict"], strict=True
    ):
        last = [loss for loss in curve if loss is not None and np.isfinite(loss)][-1:]
        table.add_row(f"{rate:g}", figure(last[0] if last else None), f"{index:.2f}", Text(str(verdict)))
    return table


def _said(stage: dict[str, Any]) -> str:
    """A line on what a stage has decided."""
    decision, reason = stage["decision"], stage["reason"]
    match stage["stage"]:
        case "sequences":
            return str(decision)
        case "rate":
            return f"learning rate {decision:g}: {reason}"
        case "batch_size":
            return f"batch size {decision} at rate {stage['learning_rate']:g}: {reason}"
        case "regularization":
            return f"l2 {decision:.2g}: {reason}"
        case "centers":
            return f"{decision} centres: {reason}"
        case "run":
            return f"{_listed(list(map(str, stage['epochs'])))} epochs: {reason}"
        case "correction":
            kept = "the network's correction is kept" if decision == "network" else "the linear forecast is given alone"
            return f"{kept}: {reason}"
        case "branch":
            return f"branches at rate {stage['learning_rate']:g}: {reason}"
    return f"{stage['stage']} {decision}: {reason}"


def print_schema(console: Console, frame: pl.DataFrame, schema: Any) -> None:
    from axonic.data.schema import other_task

    doubt = other_task(frame[schema.target], schema.task) if schema.target in frame.columns else ""
    console.print(f"{len(frame)} rows; {schema.task} of {schema.target}{doubt and f' ({doubt})'}", markup=False)
    kinds: dict[str, list[str]] = {}
    for column in schema.columns:
        has_unit = column.kind == "number" and column.format
        kinds.setdefault(column.kind, []).append(f"{column.name} ({column.format})" if has_unit else column.name)
    plural = {"number": "numbers", "category": "categories", "boolean": "booleans", "date": "dates"}
    for kind, names in kinds.items():
        console.print(f"  {plural[kind]}: {_listed(names)}", markup=False)
    for column in schema.ignored:
        console.print(f"  left out: {column.name} ({column.reason})", markup=False)


def _listed(names: list[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def print_findings(console: Console, findings: list[Any]) -> None:
    for finding in findings:
        where = f" [{finding.where}]" if finding.where else ""
        console.print(f"{finding.severity}: {finding.code}{where}: {finding.cause} {finding.remedy}", markup=False)


def print_rehearsal(console: Console, result: dict[str, Any]) -> None:
    """What the network was like before training, from the result of a check."""
    from axonic.types import Finding

    first, quick = result["first_batch"], result["quick_run"]
    constant = "" if first["constant_answer"] is None else f"; a constant answer has {figure(first['constant_answer'])}"
    console.print(f"first batch: loss {_evidence(first['loss'])}{constant}", markup=False)
    loss = _evidence(quick["train_loss"])
    if quick["valid_loss"] is not None:
        loss = f"{_evidence(quick['valid_loss'])} on rows it has not seen"
    how = f"{quick['epochs']} epochs in batches of {quick['batch_size']} at rate {quick['learning_rate']:g}"
    console.print(f"quick run: loss {loss}, after {how}", markup=False)
    findings = [Finding(**f) for f in result["findings"] if f["code"].startswith(("net.", "train.", "data.no_signal"))]
    print_findings(console, findings)
    if not findings:
        console.print("The network: nothing to remark.")


def print_diagnosis(findings: list[dict[str, Any]]) -> None:
    """Findings in full: what, why, the numbers it rests on, and what to do."""
    console = Console(highlight=False)
    for number, finding in enumerate(findings):
        where = f" [{finding['where']}]" if finding["where"] else ""
        console.print(f"{finding['severity']}: {finding['code']}{where}", markup=False, style="bold")
        console.print(f"  {finding['cause']}", markup=False)
        console.print(f"  What to do: {finding['remedy']}", markup=False)
        evidence = ", ".join(f"{name} {_evidence(value)}" for name, value in finding["evidence"].items())
        if evidence:
            console.print(f"  Evidence: {evidence}", markup=False)
        if number < len(findings) - 1:
            console.print()


def _evidence(value: Any) -> str:
    if isinstance(value, float):
        return figure(value)
    if isinstance(value, list):
        return "(" + ", ".join(_evidence(item) for item in value) + ")"
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name}: {_evidence(item)}" for name, item in value.items()) + ")"
    return "-" if value is None else str(value)


def print_result(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    console = Console(highlight=False)
    scores = ("loss", "accuracy") if result["task"] == "classification" else ("loss", "r2", "rmse")
    scores = ("loss", "below", "rmse") if "below" in result["train"] else scores
    table = Table("part", "rows", *scores, box=None, pad_edge=False)
    for part in ("train", "valid", "test"):
        if result[part]:
            figures = [figure(result[part][score]) for score in scores]
            table.add_row(part, str(n_scored(result, part)), *figures)
    console.print(table)
    _print_baselines(result, console)
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in result["seconds_by_phase"].items())
    console.print(
        f"{result['optimizer']}{_rate(result)}, {_networks(result)}, {result['seconds']:.1f} s ({phases})",
        soft_wrap=True,
    )
    console.print(f"run: {result['run']}", markup=False, soft_wrap=True)
    console.print(f"report: {os.path.join(result['run'], 'report.html')}", markup=False, soft_wrap=True)


def _print_baselines(result: dict[str, Any], console: Console) -> None:
    """What the network has to beat, on the test rows, or the validation rows if there are none."""
    part = next((part for part in ("test", "valid") if result[part]), None)
    if part is None or not result["baselines"]:
        return
    what, score = "simpler models", "rmse"
    if result.get("window"):
        what = "simple forecasts"
    elif result["task"] == "classification" or "below" in result["train"]:
        score = "loss"
    others = [f"{name.replace('_', ' ')} {figure(s[part][score])}" for name, s in result["baselines"].items()]
    console.print(f"{score} of {what} ({part}): {', '.join(others)}", soft_wrap=True)


def print_race(result: dict[str, Any]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    table = Table(box=None, pad_edge=False)
    titles = ("rank", "rule", "arrived after", "rate", "validation loss", "behind the lowest", "of each seed", "epochs")
    for title in titles:
        table.add_column(title, no_wrap=True)
    for rule in result["rules"]:
        rates = sorted({rate for rate in rule["learning_rate"] if rate is not None})
        table.add_row(
            str(rule["rank"]),
            rule["name"],
            "-" if rule["arrived"] is None else f"{rule['arrived']:.2g} s",
            ", ".join(f"{rate:g}" for rate in rates) or "-",
            figure(rule["mean_valid"]),
            _behind(rule),
            " ".join(figure(loss) for loss in rule["valid"]),
            " ".join(map(str, rule["epochs"])),
        )
    console.print(table)
    if result["finish"] is not None:
        console.print(
            f"the finish is a validation loss of {figure(result['finish'])}, {result['close']:.0%} above the lowest"
        )
    correlation = result["rank_correlation"]
    if correlation is not None:
        luck = "" if result["told_apart"] else ": the order of the rules is hardly more than luck"
        console.print(f"rank correlation between seeds {correlation:.2f}{luck}")
    for name, reason in result["refused"].items():
        console.print(f"{name} did not run: {reason}", markup=False)


def _behind(rule: dict[str, Any]) -> str:
    if not rule["behind"]:
        return "-"
    error = "" if rule["behind_error"] is None else f" ± {rule['behind_error']:.1%}"
    return f"{rule['behind']:.1%}{error}" + (", even" if rule["even"] else "")


def _rate(result: dict[str, Any]) -> str:
    return "" if result["learning_rate"] is None else f" at {result['learning_rate']:g}"


def _networks(result: dict[str, Any]) -> str:
    if result["optimizer"] == "closed_form":
        count = result["networks"]
        return f"{result['hidden'][0]} centres" + (f", {count} networks averaged" if count > 1 else "")
    epochs = f"{result['epochs']} epochs"
    return epochs if result["networks"] == 1 else f"{result['networks']} networks averaged ({epochs} the first)"


def figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))
