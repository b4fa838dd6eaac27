"""One HTML file for a fit, a race or a check, from what their folder holds; it opens without a network.

    fit       result.json, report.json, history.csv and, where there is one, health.csv
    race      compare.json
    check     check.json

Words and tables are in the templates, pictures in `axonic.report.plots`; nothing is computed here that is not for
show. Whatever comes from a user (names of columns, classes and files) is escaped by jinja2.
"""

import csv
import dataclasses
import functools
import io
import itertools
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from axonic.errors import InputError
from axonic.health import noise_scale
from axonic.report import n_scored
from axonic.report.plots import Axis, Note, Series, axis, clipped, heat, plot, short, spark
from axonic.settings import CELLS, Settings

PAGE = "report.html"
RESULT, COMPARISON, CHECK = "result.json", "compare.json", "check.json"
FILES = (RESULT, "report.json", "run.json", "history.csv", "health.csv", COMPARISON, CHECK)
HUES = 10
HEALTH_COLUMNS = 100
TEMPLATES = Path(__file__).parent / "templates"
SEVERITY = {"error": 0, "warning": 1, "info": 2}

QUANTITIES = {
    "delta_rms": ("Deltas", "Root mean square of delta: how strongly the loss asks a layer to change.", True),
    "saturated": ("Saturation", "Share of the change asked for that is lost where an activation is flat.", False),
    "dead": ("Dead units", "Share of the units whose slope is 0 at every row.", False),
    "update_ratio": ("Update ratio", "Size of a step over the size of the weights.", True),
    "z_rms": ("Pre-activations", "Root mean square of z.", True),
    "a_rms": ("Activations", "Root mean square of a.", True),
    "weight_rms": ("Weights", "Root mean square of w.", True),
    "gradient_rms": ("Gradients", "Root mean square of dL/dw.", True),
    "sign_flips": ("Moves against the gradient", "Share of the weights that a step has moved against it.", False),
    "noise_scale": (
        "Gradient noise",
        "The batch size at which noise and signal of the gradient balance: the moving average of gradient_noise over "
        "that of gradient_signal.",
        True,
    ),
}
"""Of the columns of health.csv, in the order in which they are shown: title, words, and whether the shades are
logarithmic."""
RECENT = 0.9
"""What a column of the picture of the noise scale keeps of the sums of the one before it."""


def fit_page(
    result: Mapping[str, Any],
    kept: Mapping[str, Any],
    history: str,
    health: str | None = None,
    request: Mapping[str, Any] | None = None,
) -> str:
    """The page of a fit.

    Parameters
    ----------
    result, kept : as `result.json` and `report.json` hold them.
    history, health : the text of `history.csv` and `health.csv`.
    request : as `run.json` holds it; None leaves out how to reproduce the run.
    """
    networks = _tables(history)
    return _page(
        "fit.html",
        title=f"{result['target']}: {result['task']}",
        result=result,
        kept=kept,
        headline=_headline(result, weighted=bool(request and request["settings"].get("class_weight"))),
        scores=_scores(result),
        findings=_findings(result["findings"]),
        stages=[_stage(stage, i) for i, stage in enumerate(result["stages"])],
        tree=_tree(result["stages"]),
        losses=_losses(result, networks),
        networks=_networks(result),
        health=_healths(health) if health else [],
        evaluation=_evaluation(kept, result),
        through_time=_through_time(kept),
        importance=_importance(kept),
        columns=[_column(column) for column in kept.get("columns", [])],
        command=_command(request) if request else "",
        versions=dict(request.get("versions", {})) if request else {},
    )


def race_page(result: Mapping[str, Any]) -> str:
    """The page of a race; see `axonic.race.race`."""
    rules: Sequence[Mapping[str, Any]] = result["rules"]
    figures = []
    for part, column in (("Validation", "valid"), ("Training", "train")):
        curves = [rule["curve"] for rule in rules]
        highest = 3 * _middle([curve["valid"][0] for curve in curves if curve["valid"] and curve["valid"][0]])
        values = [v for curve in curves for v in curve[column] if v is not None and 0 < v <= highest]
        series = [
            Series(
                rule["name"],
                rule["curve"]["seconds"],
                [math.nan if v is None or v > highest else v for v in rule["curve"][column]],
                hue=i % HUES + 1,
                dashed=i >= HUES,
            )
            for i, rule in enumerate(rules)
        ]
        times = [t for rule in rules for t in rule["curve"]["seconds"]]
        text = "One line a rule, the mean of its runs; the first to arrive first in the legend."
        if column == "valid":
            text += " The lowest loss so far; the dashed grey line is the finish."
            if times and result["finish"] is not None:
                series.append(Series("finish", [min(times), max(times)], [result["finish"]] * 2, "rule", 3))
        figures.append(
            plot(
                f"race-{column}",
                f"{part} loss against time",
                text,
                axis("seconds", times, log=True, pad=0.0),
                axis(f"{part.lower()} loss", values, log=True),
                series,
            )
        )
    return _page("race.html", title=f"{result['target']}: race of the rules", result=result, figures=figures)


def _middle(values: Sequence[float]) -> float:
    """The median; 1 of no values."""
    return float(np.median(values)) if len(values) else 1.0


def check_page(result: Mapping[str, Any]) -> str:
    """The page of a check: what was inferred and found, as `axonic check --json` gives it."""
    schema = result["schema"]
    columns = [*schema["columns"], *schema["ignored"]]
    return _page(
        "check.html",
        title=f"{schema['target']}: check",
        result=result,
        schema=schema,
        findings=sorted(_findings(result["findings"]), key=lambda finding: SEVERITY.get(finding["severity"], 3)),
        columns=[_column(column) for column in columns],
    )


def rebuilt(folder: Path) -> str:
    """The page from the files in a folder.

    Raises
    ------
    InputError : none of the kinds of result is there, or a file is no JSON.
    KeyError, TypeError, ValueError, AttributeError, IndexError : a file does not hold what axonic writes.
    """
    texts = {name: _text(folder / name) for name in FILES if (folder / name).is_file()}
    values = {name: _parsed(text, folder / name) for name, text in texts.items() if name.endswith(".json")}
    if RESULT in texts:
        kept = values.get("report.json", {})
        return fit_page(values[RESULT], kept, texts["history.csv"], texts.get("health.csv"), values.get("run.json"))
    if COMPARISON in texts:
        return race_page(values[COMPARISON])
    if CHECK in texts:
        return check_page(values[CHECK])
    how = "name the folder of a finished fit, compare or check (axonic resume finishes a fit)"
    raise InputError("there is no result here", how, str(folder))


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a whole file: {error}", "start the run afresh", str(path)) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read: {error}", "check the file", str(path)) from error


def _page(template: str, **values: Any) -> str:
    import jinja2

    def inline(name: str) -> Markup:
        """A file of our own, as it is."""
        return Markup((TEMPLATES / name).read_text(encoding="utf-8"))

    page = _environment().get_template(template)
    try:
        return page.render(style=inline("style.css"), script=inline("script.js"), **values)
    except jinja2.UndefinedError as error:
        raise ValueError(str(error)) from error


@functools.cache
def _environment() -> Any:
    """The templates, each compiled once."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(short=short, percent=_percent, clipped=clipped)
    return environment


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


# --- how good it is ---


def _scores(result: Mapping[str, Any]) -> dict[str, Any]:
    """A table: the network and what it has to beat, on the validation and test rows."""
    parts = [part for part in ("test", "valid", "train") if result[part]]
    measures = ("loss", "accuracy") if result["task"] == "classification" else ("rmse", "r2", "loss")
    if any("below" in result[part] for part in parts):
        measures = ("loss", "below", "rmse")
    given = "forecast" if result.get("window") else "network"  # of a series it may be the linear one alone
    rows = [(given, {part: result[part] for part in parts})]
    names = _rivals(result)
    baselines = result.get("baselines", {})
    rows += [(names[name], scores) for name in names if (scores := baselines.get(name))]
    return {"measures": measures, "parts": parts, "rows": rows, "n": {part: n_scored(result, part) for part in parts}}


def _rivals(result: Mapping[str, Any]) -> dict[str, str]:
    """What the network has to beat, by the names of `axonic.baselines`."""
    if result["net"] in CELLS:
        return {"linear": "linear forecast", "season": "a season ago", "last_value": "last value"}
    return {"linear": "linear model", "constant": "constant"}


def _units(result: Mapping[str, Any]) -> str:
    """What is predicted at a time."""
    if result["net"] not in CELLS:
        return "rows"
    return "windows" if result.get("window") else "sequences"


def _headline(result: Mapping[str, Any], weighted: bool = False) -> dict[str, Any]:
    """How good it is, in a few sentences; from the test rows, or the validation rows if there are none. `weighted` is
    whether classes were weighted in training."""
    part = next((part for part in ("test", "valid", "train") if result[part]), None)
    if part is None:
        return {"figure": "–", "unit": "", "sentences": []}
    scores, n = result[part], n_scored(result, part)
    rows = f"{ {'test': 'test', 'valid': 'validation', 'train': 'training'}[part] } {_units(result)}"
    classes = result["task"] == "classification"
    if classes:
        share = scores["accuracy"]
        error = math.sqrt(max(share * (1 - share), 0.25 / max(n, 1)) / max(n, 1))
        head, unit = _percent(share), f"of {n} {rows} are classified right (± {100 * error:.1f}, standard error)"
        name, key = "log-loss", "loss"
    elif (share := scores.get("below")) is not None:
        unit = (
            f"of {n} {rows} are no higher than predicted; asked was a quantile, so errors around the mean say nothing"
        )
        return {"figure": _percent(share), "unit": unit, "sentences": []}
    else:
        head, unit = short(scores["rmse"]), f"is the typical error (root mean square) on {n} {rows}"
        name, key = "typical error", "rmse"
    sentences = []
    if not classes and scores["r2"] is not None:
        share = scores["r2"]
        told = f"It explains {_percent(share)} of the variance of {result['target']!r}" if share > 0 else (
            f"It does no better than the mean of {result['target']!r} would"
        )  # fmt: skip
        sentences.append(f"{told} (R² {short(share)}).")
    others = {name: scores.get(part) for name, scores in result.get("baselines", {}).items()}
    labels = {"linear": "a linear model", "constant": "always giving the same answer"}
    if result["net"] in CELLS:
        labels = {"linear": "the linear forecast alone", "season": "the value of a season ago"}
        labels |= {} if "season" in others else {"last_value": "the last value"}
    for other, label in labels.items():
        if others.get(other) and scores[key] is not None and others[other][key]:
            ratio = scores[key] / others[other][key]
            said = f"{short(scores[key])} against {short(others[other][key])}"
            if ratio < 0.95:
                sentences.append(f"Its {name} is {_percent(1 - ratio, 0)} below that of {label} ({said}).")
            elif ratio <= 1.05:
                sentences.append(f"Its {name} is about that of {label} ({said}).")
            else:
                sentences.append(f"Its {name} is {_percent(ratio - 1, 0)} above that of {label} ({said}).")
    if weighted:
        sentences.append("All were fitted with weighted classes; the scores weigh rows alike.")
    return {"figure": head, "unit": unit, "sentences": sentences}


def _findings(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """In their order, the cause of what went wrong first, but for what is only worth knowing: of that what concerns the
    training comes first. Equal ones that differ in the column alone are told once."""
    groups: dict[tuple, dict[str, Any]] = {}
    for finding in findings:
        key = (finding["severity"], finding["code"], finding["remedy"])
        group = groups.setdefault(key, {**finding, "places": []})
        group["places"].append((finding["where"], finding["cause"]))
    told = sorted(
        groups.values(), key=lambda f: (f["severity"] == "info", f["severity"] == "info" and f["code"][:5] != "train")
    )
    for i, finding in enumerate(told):
        finding["id"] = f"finding-{i}"
        finding["figures"] = [
            (name, short(v) if isinstance(v, int | float) else clipped(str(v), 200))
            for name, v in finding["evidence"].items()
        ]
    return told


# --- the recipe ---


def _stage(stage: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Heading, reason, table and figures of a stage; see the stages of `axonic.recipe`."""
    told: dict[str, Any] = {
        "name": stage["stage"],
        "heading": f"{stage['stage']}: {stage['decision']}",
        "reason": stage["reason"],
        "interrupted": stage.get("interrupted", False),
        "head": (),
        "rows": [],
        "figure": "",
    }
    match stage["stage"]:
        case "rate":
            told["heading"] = f"Learning rate {short(stage['decision'])}"
            told |= _rates(stage, index)
        case "batch_size":
            told["heading"] = f"Batches of {stage['decision']} at rate {short(stage['learning_rate'])}"
            told["head"] = ("batch size", "rate", "computed time to a common loss")
            told["rows"] = [
                (
                    [str(size), short(rate), "not reached" if s is None else f"{1000 * s:.3g} ms"],
                    size == stage["decision"],
                )
                for size, rate, s in zip(stage["batch_sizes"], stage["learning_rates"], stage["seconds"], strict=True)
            ]
        case "optimizer":
            told["heading"] = f"Rule {stage['decision']}"
            told["head"] = ("rule", "rate", "mean validation loss")
            told["rows"] = [
                ([name, short(rate), short(_mean(losses))], name == stage["decision"])
                for name, rate, losses in zip(stage["names"], stage["learning_rates"], stage["valid"], strict=True)
            ]
        case "regularization":
            told["heading"] = f"L2 penalty {short(stage['decision'])}"
            told["head"] = ("L2", "mean validation loss")
            told["rows"] = [
                ([short(l2), short(_mean(losses))], l2 == stage["decision"])
                for l2, losses in zip(stage["l2"], stage["valid"], strict=True)
            ]
        case "run":
            count = len(stage["epochs"])
            told["heading"] = f"Long run of {count} network{'s' * (count > 1)}"
        case "correction":
            kept = stage["decision"] == "network"
            told["heading"] = "The network corrects the linear forecast" if kept else "The linear forecast alone"
        case "branch":
            told["heading"] = f"Branches at rate {short(stage['learning_rate'])}"
    return told


def _mean(losses: Sequence[float | None]) -> float | None:
    finite = [loss for loss in losses if loss is not None]
    return sum(finite) / len(finite) if finite else None


def _rates(stage: Mapping[str, Any], index: int) -> dict[str, Any]:
    curves = [[v if v is not None and v > 0 else None for v in curve] for curve in stage["train"]]
    values = [v for curve in curves for v in curve if v is not None]
    start = max((curve[0] for curve in curves if curve and curve[0] is not None), default=1.0)
    top = min(max(values, default=1.0), 3 * start)
    low = min(values, default=0.1)
    rows = []
    for rate, curve, swing, verdict in zip(stage["rates"], curves, stage["oscillation"], stage["verdict"], strict=True):
        last = next((v for v in reversed(curve) if v is not None), None)
        rows.append(
            ([short(rate), spark(curve, low, top), short(last), f"{swing:.2f}", verdict], rate == stage["decision"])
        )
    series = [
        Series(
            short(rate),
            list(range(1, len(curve) + 1)),
            [math.nan if v is None or v > top else v for v in curve],
            hue=i % HUES + 1,
            dashed=rate != stage["decision"],
        )
        for i, (rate, curve) in enumerate(zip(stage["rates"], curves, strict=True))
    ]
    windows = max((len(curve) for curve in curves), default=1)
    figure = plot(
        f"rates-{index}",
        "Training loss at each rate",
        f"All from the same weights on the same batches. The solid line is the rate taken, {short(stage['decision'])}.",
        axis("window of the sweep", [1, windows], whole=True, pad=0.0),
        axis("training loss", [min(v, top) for v in values], log=True),
        series,
    )
    head = ("rate", "training loss", "at its end", "oscillation", "verdict")
    return {"head": head, "rows": rows, "figure": figure}


def _networks(result: Mapping[str, Any]) -> list[list[str]]:
    """A row a network of the long run."""
    stage = next((stage for stage in result["stages"] if stage["stage"] == "run"), None)
    if stage is None:
        return []
    columns = (stage["epochs"], stage["flat_from"], stage["decision"], stage["best_loss"])
    return [[str(i + 1), *map(str, row[:3]), short(row[3])] for i, row in enumerate(zip(*columns, strict=True))]


def _tree(stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What grew from the long run of each network: nested branches, those that were kept and those that were not."""
    run = next((stage for stage in stages if stage["stage"] == "run"), None)
    levels = [stage for stage in stages if stage["stage"] == "branch"]
    if run is None or not levels:
        return []
    trees = [
        {
            "text": f"network {i + 1}: {epochs} epochs at {short(run['learning_rate'])}, best loss {short(best)}",
            "kept": True,
            "below": [],
        }
        for i, (epochs, best) in enumerate(zip(run["epochs"], run["best_loss"], strict=True))
    ]
    tips = dict(enumerate(trees))
    for level in levels:
        for place, i in enumerate(_branched(level, len(trees))):
            kept = i in level["decision"]
            node = {
                "text": f"from epoch {level['from_epoch'][place]}, {level['epochs'][place]} epochs at "
                f"{short(level['learning_rate'])}: {short(level['before'][place])} → {short(level['after'][place])}",
                "kept": kept,
                "below": [],
            }
            tips[i]["below"].append(node)
            if kept:
                tips[i] = node
    return trees


def _branched(level: Mapping[str, Any], count: int) -> list[int]:
    """The networks that the figures of a stage of branches belong to, in their order.

    Networks that give a constant answer have no branch, and the stage does not say which they are; those that keep
    their branch are known, and the others are taken to be the first that are left.
    """
    kept = set(level["decision"])
    rest = [i for i in range(count) if i not in kept]
    return sorted([*kept, *rest[: len(level["before"]) - len(kept)]])


def _tables(history: str) -> list[dict[str, np.ndarray]]:
    """The columns of history.csv, network by network; NaN where a value is empty."""
    rows = list(csv.DictReader(io.StringIO(history)))
    by_network: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_network.setdefault(row["network"], []).append(row)
    return [
        {name: np.array([float(row[name] or "nan") for row in part]) for name in part[0] if name != "network"}
        for part in by_network.values()
    ]


def _losses(result: Mapping[str, Any], networks: Sequence[Mapping[str, np.ndarray]]) -> list[Markup]:
    """Losses of each network against the epoch, with its plateau, the epoch that is kept and its branches."""
    run = next((stage for stage in result["stages"] if stage["stage"] == "run"), None)
    figures = []
    for i, table in enumerate(networks):
        parts = {"training": "train_loss", "validation": "valid_loss", "test": "test_loss"}
        shown = {name: table[c] for name, c in parts.items() if c in table and np.isfinite(table[c]).any()}
        if not shown:
            continue
        epochs, notes = table["epoch"], []
        length = run["epochs"][i] if run and i < len(run["epochs"]) else len(epochs)
        if run and i < len(run["epochs"]):
            flat, kept = run["flat_from"][i], run["decision"][i]
            if flat < length:
                notes.append(Note(f"flat from {flat}", max(flat, 1), length))
            if kept >= 1:
                notes.append(Note(f"kept: {kept}", kept))
        rates = table.get("learning_rate", np.zeros(0))
        changed = [j for j in range(length, len(rates)) if j and rates[j] != rates[j - 1]]
        notes += [Note(f"branch at {short(float(rates[j]))}", float(epochs[j])) for j in changed]
        both = np.concatenate(list(shown.values()))
        ends = ", ".join(
            f"{name} from {short(_first(values))} to {short(_first(values[::-1]))}" for name, values in shown.items()
        )
        lowest = ""
        if "validation" in shown and np.isfinite(shown["validation"]).any():
            best = int(np.nanargmin(shown["validation"]))
            least = short(float(shown["validation"][best]))
            lowest = f" The validation loss is lowest at epoch {int(epochs[best])}: {least}."
        figures.append(
            plot(
                f"loss-{i + 1}",
                f"Loss of network {i + 1}" if len(networks) > 1 else "Loss",
                f"{len(epochs)} epochs; {ends}.{lowest} The test loss has decided nothing.",
                axis("epoch", [1, max(2, len(epochs))], whole=True, pad=0.0),
                axis("loss", _without_extremes(both), log=True),
                [Series(name, epochs.tolist(), v.tolist(), hue=h + 1) for h, (name, v) in enumerate(shown.items())],
                notes,
            )
        )
    return figures


def _first(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite[0]) if len(finite) else None


def _without_extremes(values: np.ndarray) -> np.ndarray:
    """Losses without what lies far above the first ones, so that a divergence does not flatten the picture."""
    finite = values[np.isfinite(values) & (values > 0)]
    return finite[finite <= 100 * np.median(finite)] if len(finite) else finite


# --- layer health ---


def _healths(text: str) -> list[list[dict[str, Any]]]:
    """The heat maps of health.csv, network by network."""
    by_network: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        by_network.setdefault(row["network"], []).append(row)
    return [_health(rows, f"health-{i}" if i else "health") for i, rows in enumerate(by_network.values())]


def _health(rows: Sequence[Mapping[str, str]], key: str) -> list[dict[str, Any]]:
    """A heat map for each quantity of the rows of a network."""
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    epochs = sorted({int(float(row["epoch"])) for row in rows})
    place = {epoch: min(j * HEALTH_COLUMNS // max(len(epochs), HEALTH_COLUMNS), j) for j, epoch in enumerate(epochs)}
    n_columns = max(place.values()) + 1
    starts = [next(epoch for epoch in epochs if place[epoch] == j) for j in range(n_columns)]
    cells, means = {}, {}
    for name in (name for name in rows[0] if name not in ("network", "epoch", "layer")):
        sums, counts = np.zeros((len(layers), n_columns)), np.zeros((len(layers), n_columns))
        for row in rows:
            try:
                value = float(row[name] or "nan")
            except ValueError:
                value = math.nan
            if math.isfinite(value):
                cell = layers.index(row["layer"]), place[int(float(row["epoch"]))]
                sums[cell] += value
                counts[cell] += 1
        cells[name] = sums
        means[name] = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    if {"gradient_noise", "gradient_signal"} <= means.keys():
        noise, signal = cells["gradient_noise"], cells["gradient_signal"]
        for j in range(1, n_columns):
            noise[:, j] += RECENT * noise[:, j - 1]
            signal[:, j] += RECENT * signal[:, j - 1]
        means["noise_scale"] = noise_scale(noise, signal)
        del means["gradient_noise"], means["gradient_signal"]
    maps = []
    known = [name for name in QUANTITIES if name in means]
    for name in [*known, *(name for name in means if name not in known)]:
        values = means[name]
        if not np.isfinite(values).any():
            continue
        title, words, log = QUANTITIES.get(name, (name.replace("_", " "), "", False))
        if np.nanmin(values) == np.nanmax(values):
            maps.append(
                {"figure": "", "name": title, "words": f"{words} {short(float(np.nanmax(values)))} throughout."}
            )
            continue
        mean = {layer: np.nanmean(v) for layer, v in zip(layers, values, strict=True) if np.isfinite(v).any()}
        high = max(mean, key=lambda layer: mean[layer])
        words += f" Highest on average in layer {high}: {short(float(mean[high]))}."
        names = [f"layer {layer}" for layer in layers]
        figure = heat(f"{key}-{name}", title, words.strip(), names, starts, values, log=log)
        maps.append({"figure": figure, "name": title, "words": ""})
    return maps


# --- predictions ---


def _evaluation(kept: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "unit": _units(result),
        "confusion": None,
        "forecasts": "",
        "figures": [],
        "worst": kept.get("worst", []),
        "part": kept.get("part"),
    }
    if "confusion" in kept:
        counts = np.array(kept["confusion"])
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        shown["confusion"] = [
            (label, [(int(n), round(9 * float(s)), i == j) for j, (n, s) in enumerate(zip(row, shares, strict=True))])
            for i, (label, row, shares) in enumerate(zip(kept["labels"], counts, share, strict=True))
        ]
    if kept.get("reliability"):
        bins = kept["reliability"]
        n = sum(b["n"] for b in bins)
        gap = sum(b["n"] * abs(b["accuracy"] - b["confidence"]) for b in bins) / n
        shown["figures"].append(
            plot(
                "reliability",
                "Calibration",
                f"Of the rows to which the network gives its answer with probability p, a share p should be right "
                f"(the diagonal). The mean gap is {_percent(gap)} over {n} rows, in groups of "
                f"{', '.join(str(b['n']) for b in bins)}.",
                Axis("probability given", -0.03, 1.03),
                Axis("share that is right", -0.03, 1.03),
                [
                    Series("perfect", [0, 1], [0, 1], "rule", 3),
                    Series("rows", [b["confidence"] for b in bins], [b["accuracy"] for b in bins], "blobs", 1),
                    Series("rows", [b["confidence"] for b in bins], [b["accuracy"] for b in bins], "rule", 1),
                ],
                square=True,
            )
        )
    if "series" in kept:
        shown["forecasts"] = _forecasts(kept["series"], result)
    if "points" in kept:
        true, predicted = kept["points"]["true"], kept["points"]["predicted"]
        along = axis(f"true {clipped(result['target'], 30)}", [*true, *predicted])
        shown["figures"] += [
            plot(
                "predicted",
                "Predicted against true",
                f"Each of {len(true)} {_units(result)} is a dot; on the diagonal a prediction is exact. "
                f"Correlation {short(_correlation(true, predicted))}.",
                along,
                along._replace(title="predicted"),
                [
                    Series("exact", [along.low, along.high], [along.low, along.high], "rule", 3),
                    Series("rows", true, predicted, "dots", 1),
                ],
                square=True,
            ),
            _residuals(kept["residuals"]),
        ]
    return shown


def _forecasts(series: Mapping[str, Any], result: Mapping[str, Any]) -> Markup:
    """The forecasts one step ahead, with what came before."""
    past, true, forecast = series["past"], series["true"], series["forecast"]
    steps, values = [*past["step"], *true["step"]], [*past["value"], *true["value"]]
    errors = (t - f for t, f in zip(true["value"], forecast, strict=True))
    rmse = short(math.hypot(*errors) / math.sqrt(len(forecast)))
    return plot(
        "forecasts",
        "Forecasts one step ahead",
        f"{len(forecast)} steps, each forecast from the {result['window']} before it; root mean square error {rmse}.",
        axis("step", steps, whole=True, pad=0.0),
        axis(clipped(result["target"], 30), [*values, *forecast]),
        [Series("series", steps, values, hue=1), Series("forecast", true["step"], forecast, hue=2, dashed=True)],
        [Note("forecast from here", true["step"][0])],
    )


def _through_time(kept: Mapping[str, Any]) -> Markup | str:
    """How an error at the last step fades or grows on its way back, by layer."""
    layers = kept.get("through_time", [])
    values = [v for layer in layers for v in layer["reach"]]
    if not any(v > 0 for v in values):
        return ""
    longest = max(len(layer["reach"]) for layer in layers)
    told = "; ".join(f"{layer['where']} {short(_first(np.array(layer['reach'][::-1])))}" for layer in layers)
    return plot(
        "through-time",
        "An error on its way back through time",
        f"The size of delta, 1 at the last step. At the first step of {longest}: {told}.",
        axis("steps before the last", [0, max(1, longest - 1)], whole=True, pad=0.0),
        axis("size of delta", values, log=True),
        [
            Series(
                layer["where"],
                list(range(len(layer["reach"]))),
                [v or math.nan for v in layer["reach"]],
                hue=i % HUES + 1,
            )
            for i, layer in enumerate(layers)
        ],
    )


def _correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 1 and np.std(a) > 0 and np.std(b) > 0 else None


def _residuals(residuals: Mapping[str, Any]) -> Markup:
    edges, counts = residuals["edges"], residuals["counts"]
    middle = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    mean = sum(m * n for m, n in zip(middle, counts, strict=True)) / max(1, sum(counts))
    return plot(
        "residuals",
        "Residuals",
        f"True minus predicted, {sum(counts)} rows; their mean is about {short(mean)}. They should lie around 0.",
        axis("true - predicted", [*edges, 0.0], pad=0.02),
        Axis("rows", 0.0, 1.05 * max(1, *counts)),
        [Series("rows", edges, counts, "bars", 1)],
        [Note("", 0.0)],
    )


def _importance(kept: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = kept.get("importance", [])[:25]
    most = max((column["rise"] for column in found), default=0.0)
    return [
        {**column, "share": max(0.0, column["rise"] / most) if most > 0 else 0.0, "text": short(column["rise"])}
        for column in found
    ]


def _column(column: Mapping[str, Any]) -> dict[str, str]:
    """A row of the table of columns."""
    said = []
    if column.get("reason"):
        said.append(f"left out: {column['reason']}")
    if column.get("scale") is not None:
        said.append(f"mean {short(column['center'])}, deviation {short(column['scale'])}")
    if column.get("levels"):
        more = f" and {column['more']} more" if column["more"] else ""
        said.append(", ".join(clipped(level, 40) for level in column["levels"]) + more)
    if column.get("cycles"):
        said.append(f"cycles of {', '.join(column['cycles'])}")
    if column.get("missing"):
        said.append("has missing values")
    inputs = column.get("inputs")
    return {
        "name": column["name"],
        "kind": column["kind"],
        "inputs": "" if inputs is None else str(inputs),
        "said": "; ".join(said),
    }


# --- how to reproduce ---


NAMED = {
    *(
        "hidden_layer_sizes",
        "activation",
        "loss",
        "optimizer",
        "learning_rate",
        "batch_size",
        "epochs",
        "regularization",
    ),
    *("init", "shuffle", "early_stopping", "batch_stage", "branch_stage", "seed"),
}
"""Settings whose option has another name or form, or that the command line does not have."""


def _command(request: Mapping[str, Any]) -> str:
    """The command that gives the same run."""
    settings: Mapping[str, Any] = request["settings"]
    words = ["axonic", "fit", request["data"], "--target", request["target"]]
    if request["task"] != "auto":
        words += ["--task", request["task"]]
    if request["test"] is not None:
        words += ["--test", request["test"]]
    elif request["test_size"] != 0.2:
        words += ["--test-size", str(request["test_size"])]
    if request.get("stream"):
        words.append("--stream")
    hidden = ",".join(map(str, settings["hidden_layer_sizes"])) or "none"
    recurrent = settings["net"] in CELLS
    activation = settings["activation"]
    activation = activation if isinstance(activation, str) else ",".join(activation)
    loss = settings["loss"]
    if isinstance(loss, Mapping):
        number = next((v for k, v in loss.items() if k != "loss" and isinstance(v, int | float)), None)
        loss = loss["loss"] if number is None else f"{loss['loss']}:{number:g}"
    options = {
        "--hidden": (hidden, "64,64"),
        "--activation": (activation, "tanh" if recurrent else "relu"),
        "--loss": (loss, "auto"),
        "--optimizer": (settings["optimizer"], "adam" if recurrent else "momentum"),
        "--learning-rate": (settings["learning_rate"], "auto"),
        "--batch-size": ("auto" if settings["batch_stage"] else settings["batch_size"], "auto"),
        "--epochs": (settings["epochs"], "auto"),
        "--regularization": (settings["regularization"] or "none", "auto"),
    }
    for field in dataclasses.fields(Settings):
        if field.name not in NAMED and field.name in settings:
            value = "none" if settings[field.name] is None else settings[field.name]
            options["--" + field.name.replace("_", "-")] = value, "none" if field.default is None else field.default
    for name, (value, default) in options.items():
        if value != default:
            words += [f"--no-{name[2:]}"] if value is False else [name] if value is True else [name, str(value)]
    for name, value in request.get("layout", {}).items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*map(str, words), "--seed", str(settings["seed"])])
