"""What a page shows of the predictions, taken down at the end of a run, as `report.json` holds it.

The rows are the test rows, or where there are none the validation rows of the first network, which then answers alone:
others may have trained on them. Big tables are thinned: pictures need no more than `POINTS` rows, and a column's
importance no more than `SHUFFLED` predictions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from axonic.calibration import reliability
from axonic.data.batches import Rows, Split
from axonic.data.encoding import TableEncoder
from axonic.data.ragged import Ragged, known
from axonic.data.schema import Schema
from axonic.model import Model
from axonic.sensitivity import jacobian

POINTS = 1000
WORST = 10
MAX_CLASSES = 30
SHUFFLED = 4096
PAST, AHEAD = 200, 400
"""Steps of a series that are shown before the first forecast, and forecasts."""
MAX_COLUMNS = 100
LEVELS = 8


def evidence(model: Model, rows: Rows, split: Split, numbers: np.ndarray, schema: Schema) -> dict[str, Any]:
    """What the page of a fit needs beside the result and the history.

    Parameters
    ----------
    model, rows, split : as trained, the split being that of the first network.
    numbers : the place of each row in its table, counted from 1.
    schema : of the table.

    Returns
    -------
    "columns" : what was inferred of each; see `_columns`. "part", "n" : the rows looked at. "network" : which one
    answers, counted from 1, where it is not all of them. Of classes "labels", "confusion" (true by predicted),
    "reliability" and "worst"; of numbers "points", "residuals" and "worst". "importance" : the columns, the most
    important first.
    """
    kept, index, model = _looked_at(model, split, schema)
    if len(index) == 0:
        return kept
    x, y = rows.x[index], rows.y[index]
    a = model.outputs(x)
    shown = _classes if model.task == "classification" else _numbers
    return {**kept, **shown(model, a, y, numbers[index]), "importance": importance(model, x, y)}


def sequence_evidence(
    model: Model, rows: Rows, split: Split, schema: Schema, origin: np.ndarray | None, layers: Sequence[Any]
) -> dict[str, Any]:
    """The same of sequences or of a series, whose columns are not shuffled.

    Parameters
    ----------
    model, rows, split, schema : as above; the "row" of what is worst is the sequence, or the window.
    origin : (n, horizon) what the numbers are added to, of a series.
    layers : the `axonic.diagnosis.sequences.ThroughTime` of each.

    Returns
    -------
    Also "through_time" : "where" and "reach" of each layer. Of a series "series" : "past" and "true", the steps with
    their values, and "forecast" one step ahead.
    """
    kept, index, model = _looked_at(model, split, schema, shared=origin is not None)
    kept["through_time"] = [{"where": layer.where, "reach": np.nan_to_num(layer.reach).tolist()} for layer in layers]
    if len(index) == 0:
        return kept
    y, numbers = rows.y[index], index + 1
    a = model.outputs(rows.x[index])
    if isinstance(y, Ragged):
        there = known(y)
        a, numbers, y = a[there], np.repeat(numbers, y.lengths)[there], y.values[there]
    if model.task == "classification":
        return {**kept, **_classes(model, a, y, numbers)}
    first = 0.0 if origin is None else origin[index, 0]
    kept |= _numbers(model, a, y, numbers, first)
    return kept if origin is None else {**kept, "series": _series(model, rows, index, origin, a)}


def _looked_at(
    model: Model, split: Split, schema: Schema, *, shared: bool = False
) -> tuple[dict[str, Any], np.ndarray, Model]:
    """What is kept of any data, the rows looked at, and what answers on them; `shared` is whether all networks hold out
    the same validation rows."""
    part = "test" if len(split.test) else "valid"
    index = getattr(split, part)
    kept = {"columns": _columns(model.encoder, schema), "part": part, "n": len(index)}
    if part == "test" or shared or len(model.members) == 1:
        return kept, index, model
    return {**kept, "network": 1}, index, model.alone(0)


def _series(model: Model, rows: Rows, index: np.ndarray, origin: np.ndarray, a: np.ndarray) -> dict[str, Any]:
    """The values that follow each window, and those that were forecast."""
    first_after = int(model.info["series"]["window"]) + 1

    def values(encoded: Any, of: np.ndarray) -> np.ndarray:
        return np.asarray(model.target.inverse(encoded), np.float64).reshape(len(of), -1)[:, 0] + origin[of, 0]

    shown = index[:AHEAD]
    past = np.arange(max(0, index[0] - PAST), index[0])
    steps = lambda of: (of + first_after).tolist()  # noqa: E731
    return {
        "past": {"step": steps(past), "value": values(rows.y[past], past).tolist()},
        "true": {"step": steps(shown), "value": values(rows.y[shown], shown).tolist()},
        "forecast": values(a[: len(shown)], shown).tolist(),
    }


def _columns(encoder: TableEncoder, schema: Schema) -> list[dict[str, Any]]:
    """Name, kind, number of inputs and how it is encoded, or why a column is left out."""
    used = [
        {
            "name": coding.name,
            "kind": coding.kind,
            "inputs": len(coding.feature_names),
            "missing": coding.has_missing,
            "unit": coding.format if coding.kind == "number" else "",
            "center": coding.center if coding.kind == "number" else None,
            "scale": coding.scale if coding.kind == "number" else None,
            "levels": list(coding.levels[:LEVELS]),
            "more": max(0, len(coding.levels) - LEVELS),
            "cycles": list(coding.cycles),
        }
        for coding in encoder.columns
    ]
    return used + [{"name": column.name, "kind": "ignored", "reason": column.reason} for column in schema.ignored]


def _classes(model: Model, a: np.ndarray, y: np.ndarray, numbers: np.ndarray) -> dict[str, Any]:
    p = model.probabilities_of(a)
    predicted, confidence = p.argmax(axis=1), p.max(axis=1)
    labels = [str(label) for label in model.target.classes]
    of_truth = p[np.arange(len(y)), y]
    worst = [i for i in np.argsort(of_truth, kind="stable")[:WORST] if predicted[i] != y[i]]
    shown: dict[str, Any] = {
        "labels": labels,
        "reliability": [b._asdict() for b in reliability(p, y)],
        "worst": [
            {
                "row": int(numbers[i]),
                "true": labels[y[i]],
                "predicted": labels[predicted[i]],
                "probability": float(of_truth[i]),
                "confidence": float(confidence[i]),
            }
            for i in worst
        ],
    }
    if len(labels) <= MAX_CLASSES:
        counts = np.zeros((len(labels), len(labels)), int)
        np.add.at(counts, (y, predicted), 1)
        shown["confusion"] = counts.tolist()
    return shown


def _numbers(
    model: Model, a: np.ndarray, y: np.ndarray, numbers: np.ndarray, origin: np.ndarray | float = 0.0
) -> dict[str, Any]:
    true, predicted = (
        np.asarray(model.target.inverse(v), np.float64).reshape(len(a), -1)[:, 0] + origin for v in (y, a)
    )
    residual = true - predicted
    few = np.unique(np.linspace(0, len(true) - 1, POINTS).round().astype(int))
    counts, edges = np.histogram(residual, bins=min(30, max(5, int(np.sqrt(len(residual))))))
    worst = np.argsort(-np.abs(residual), kind="stable")[:WORST]
    return {
        "points": {"true": true[few].tolist(), "predicted": predicted[few].tolist()},
        "residuals": {"counts": counts.tolist(), "edges": edges.tolist()},
        "worst": [{"row": int(numbers[i]), "true": float(true[i]), "predicted": float(predicted[i])} for i in worst],
    }


def importance(model: Model, x: np.ndarray, y: np.ndarray) -> list[dict[str, Any]]:
    """How much the loss rises when a column is shuffled among the rows (Breiman 2001, section 10), all its inputs at
    once; the mean over several shuffles of few rows, and its standard error. Beside it how much the output moves with
    the column (`axonic.sensitivity`).

    Of more than `MAX_COLUMNS` columns those with the largest weights in the first layer are looked at.
    """
    rng = np.random.default_rng(0)
    few = np.unique(np.linspace(0, len(x) - 1, SHUFFLED // 4).round().astype(int))
    x, y = x[few], y[few]
    repeats = max(1, min(20, SHUFFLED // len(x)))
    base = model.losses(model.outputs(x), y).mean()
    tall, truth, wiggle = np.tile(x, (repeats, 1)), np.concatenate([y] * repeats), jacobian(model, x)
    found = []
    for name, slots in _slots_of(model):
        saved = tall[:, slots].copy()
        for r in range(repeats):
            block = slice(r * len(x), (r + 1) * len(x))
            tall[block, slots] = x[rng.permutation(len(x))][:, slots]
        rises = model.losses(model.outputs(tall), truth).reshape(repeats, -1).mean(axis=1) - base
        tall[:, slots] = saved
        error = float(np.std(rises) / np.sqrt(repeats)) if repeats > 1 else None
        moves = float(np.sqrt(np.sum(np.square(wiggle[slots]))))
        found.append({"name": name, "rise": float(np.mean(rises)), "error": error, "jacobian": moves})
    return sorted(found, key=lambda column: -column["rise"])


def _slots_of(model: Model) -> Sequence[tuple[str, slice]]:
    """Each column with its inputs; the first layer's largest if there are too many."""
    encoder = model.encoder
    slots = [(coding.name, slot) for coding, slot in zip(encoder.columns, encoder.slots, strict=True)]
    if len(slots) <= MAX_COLUMNS:
        return slots
    first = [next((layer.w for layer in member if hasattr(layer, "w")), None) for member in model.members]
    if any(w is None for w in first):
        return slots[:MAX_COLUMNS]
    size = np.sum([np.square(np.asarray(w)).sum(axis=1) for w in first], axis=0)
    order = sorted(slots, key=lambda slot: -float(size[slot[1]].sum()))
    return order[:MAX_COLUMNS]
