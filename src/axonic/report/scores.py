"""How good a network is: its scores beside those of what it has to beat, and what they mean in a few sentences."""

import math
from collections.abc import Mapping
from typing import Any

from axonic.report import n_scored
from axonic.report.plots import percent, short
from axonic.settings import CELLS


def scores(result: Mapping[str, Any]) -> dict[str, Any]:
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
    if result.get("window"):
        return {"linear": "linear forecast", "season": "a season ago", "last_value": "last value"}
    return {"linear": f"linear model{_of_what(result)}", "constant": "constant"}


def _of_what(result: Mapping[str, Any]) -> str:
    """What a linear model takes, where that is not plain."""
    return " of all steps" if result["net"] in CELLS else ""


def units(result: Mapping[str, Any]) -> str:
    """What is predicted at a time."""
    if result["net"] not in CELLS:
        return "rows"
    return "windows" if result.get("window") else "sequences"


def headline(result: Mapping[str, Any], weighted: bool = False) -> dict[str, Any]:
    """How good it is, in a few sentences; from the test rows, or the validation rows if there are none. `weighted` is
    whether classes were weighted in training."""
    part = next((part for part in ("test", "valid", "train") if result[part]), None)
    if part is None:
        return {"figure": "–", "unit": "", "sentences": []}
    scores, n = result[part], n_scored(result, part)
    rows = f"{ {'test': 'test', 'valid': 'validation', 'train': 'training'}[part] } {units(result)}"
    classes = result["task"] == "classification"
    if classes:
        share = scores["accuracy"]
        error = math.sqrt(max(share * (1 - share), 0.25 / max(n, 1)) / max(n, 1))
        head, unit = percent(share), f"of {n} {rows} are classified right (± {100 * error:.1f}, standard error)"
        name, key = "log-loss", "loss"
    elif (share := scores.get("below")) is not None:
        unit = (
            f"of {n} {rows} are no higher than predicted; asked was a quantile, so errors around the mean say nothing"
        )
        return {"figure": percent(share), "unit": unit, "sentences": []}
    else:
        head, unit = short(scores["rmse"]), f"is the typical error (root mean square) on {n} {rows}"
        name, key = "typical error", "rmse"
    sentences = []
    if not classes and scores["r2"] is not None:
        share = scores["r2"]
        told = f"It explains {percent(share)} of the variance of {result['target']!r}" if share > 0 else (
            f"It does no better than the mean of {result['target']!r} would"
        )  # fmt: skip
        sentences.append(f"{told} (R² {short(share)}).")
    others = {name: scores.get(part) for name, scores in result.get("baselines", {}).items()}
    labels = {"linear": f"a linear model{_of_what(result)}", "constant": "always giving the same answer"}
    if result.get("window"):
        labels = {"linear": "the linear forecast alone", "season": "the value of a season ago"}
        labels |= {} if "season" in others else {"last_value": "the last value"}
    for other, label in labels.items():
        if others.get(other) and scores[key] is not None and others[other][key]:
            ratio = scores[key] / others[other][key]
            said = f"{short(scores[key])} against {short(others[other][key])}"
            if ratio < 0.95:
                sentences.append(f"Its {name} is {percent(1 - ratio, 0)} below that of {label} ({said}).")
            elif ratio <= 1.05:
                sentences.append(f"Its {name} is about that of {label} ({said}).")
            else:
                sentences.append(f"Its {name} is {percent(ratio - 1, 0)} above that of {label} ({said}).")
    if weighted:
        sentences.append("All were fitted with weighted classes; the scores weigh rows alike.")
    return {"figure": head, "unit": unit, "sentences": sentences}
