"""What the recipe chose, and why: the stages of a fit (`axonic.recipe`), the networks of the long run and the tree of
their branches."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from axonic.report.plots import HUES, Series, axis, plot, short, spark


def stage(stage: Mapping[str, Any], index: int) -> dict[str, Any]:
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
            if stage["loss"] is not None:
                looks = zip(stage["batch_sizes"], stage["learning_rates"], stage["seconds"], strict=True)
                told["head"] = ("batch size", "rate", "computed time to a common loss")
                told["rows"] = [
                    (
                        [str(size), short(rate), "not reached" if s is None else f"{1000 * s:.3g} ms"],
                        size == stage["decision"],
                    )
                    for size, rate, s in looks
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
            hue=i % len(HUES) + 1,
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


def networks(result: Mapping[str, Any]) -> list[list[str]]:
    """A row a network of the long run."""
    stage = next((stage for stage in result["stages"] if stage["stage"] == "run"), None)
    if stage is None:
        return []
    kept = ["a constant" if i in stage["constant"] else epoch for i, epoch in enumerate(stage["decision"])]
    columns = (stage["epochs"], stage["flat_from"], kept, stage["best_loss"])
    return [[str(i + 1), *map(str, row[:3]), short(row[3])] for i, row in enumerate(zip(*columns, strict=True))]


def tree(stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
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
    branched = [i for i in tips if i not in run["constant"]]  # a constant answer has nothing to go on from
    for level in levels:
        for place, i in enumerate(branched):
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
