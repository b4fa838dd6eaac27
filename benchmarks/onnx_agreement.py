"""Whether exported files predict as the models do: `python onnx_agreement.py`.

The largest difference between onnxruntime's outputs and our own on up to 1,000 real rows, over the largest probability
of the row or the predicted number (of the target's scale where that is larger): every activation of a feed-forward
network, every radial basis function and width, on tables with text, dates and missing values, into which a tenth of
the cells are deleted and a tenth of the levels are replaced by one that training has not seen; and every kind of
recurrent network, on sequences of such tables, windows of a series, and aeon's sets (as `sequences.py`, with `AEON`).
"""

import contextlib
import dataclasses
import io
import tempfile
import warnings
from itertools import product
from pathlib import Path

import jax
import numpy as np
import onnxruntime
import polars as pl
from sequences import CLASSIFICATIONS, classification
from tables import load

from axonic import (
    FeedForwardClassifier,
    FeedForwardRegressor,
    RBFClassifier,
    RBFRegressor,
    RecurrentClassifier,
    export_onnx,
    layers,
)
from axonic.cli import main as main_of_axonic
from axonic.data.ragged import Ragged
from axonic.data.sequences.arrays import as_sequences
from axonic.export import agreement, difference, inputs
from axonic.runs import sequences
from axonic.storage import load_model

TABLES = ("penguins", "seattle_weather", "cars", "diabetes", "breast_cancer", "digits")
ROWS = 1000
QUICK = {"epochs": 30, "learning_rate": 0.01, "monitor": False, "ensemble": 2, "regularization": None}


def spoiled(x, rng, but=None):
    """Cells deleted, and text that was never seen, in all columns but one."""
    x = x.copy()
    for name in x.columns.drop(but, errors="ignore"):
        if x[name].dtype == object:
            x.loc[rng.random(len(x)) < 0.1, name] = "never seen"
        if x[name].dtype.kind in "fO":
            x.loc[rng.random(len(x)) < 0.1, name] = None
    return x


def distance(model, x):
    """The largest difference on these rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        export_onnx(model, path)
        session = onnxruntime.InferenceSession(path)
    inner = model.model_
    framed = "x" not in {one.name for one in session.get_inputs()}  # numbers alone come as one array
    table = pl.from_pandas(x) if framed else x.to_numpy(float)
    found = session.run(None, inputs(model, table, framed=framed))
    return difference(inner, table, found)


def of_sequences():
    """(what, difference) of networks that read sequences, their encoders and the linear part of forecasts included:
    the days of seattle-weather as one series and as one sequence a month, spoiled, and aeon's sets where they are."""
    weather = load("seattle_weather")
    days = pl.from_pandas(weather[0]).with_columns(pl.Series("weather", weather[1]))
    days = days.with_columns(month=pl.col("date").dt.strftime("%Y-%m"), season=pl.col("date").dt.quarter().cast(str))
    rng = np.random.default_rng(0)
    by_month = ["--sequence-id", "month", "--order-by", "date"]
    for cell, bidirectional, head in product(("rnn", "lstm", "gru"), (False, True), ("last", "mean", "every")):
        options = ["--net", cell, "--head", head, *(["--bidirectional"] if bidirectional else [])]
        target = "weather" if head == "every" else "season"
        yield f"months, {target}, {' '.join(options[1:])}", of_run(days, target, [*options, *by_month], rng)
        if head != "every":
            for horizon in ("1", "7"):
                series = ["--window", "14", "--horizon", horizon, "--order-by", "date"]
                name = f"days, temp_max, {' '.join(options[1:])}, {horizon} ahead"
                yield name, of_run(days.drop("month", "season"), "temp_max", [*options, *series], rng)
    for name in layers.ACTIVATIONS:
        options = [
            "--net",
            "rnn",
            "--bidirectional",
            "--activation",
            name,
            "--sequence-id",
            "month",
            "--order-by",
            "date",
        ]
        yield f"months, season, rnn of {name}, both directions", of_run(days, "season", options, rng)
    for name in CLASSIFICATIONS:
        (x, y), (more, _) = classification(name)
        for cell in ("rnn", "lstm", "gru"):
            model = RecurrentClassifier(cell, (16, 16), **QUICK | {"epochs": 5}).fit(x, y)
            yield f"{name}, {cell}", through_file(model, as_sequences(more))


def of_run(table, target, options, rng):
    """The difference of the model of a run on its own table, cells of which are deleted or never seen."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = f"{folder}/data.parquet", f"{folder}/run"
        table.write_parquet(data)
        quick = [
            "--no-monitor",
            "--quiet",
            "--epochs",
            "3",
            "--learning-rate",
            "0.01",
            "--hidden",
            "16",
            "--ensemble",
            "2",
            "--batch-size",
            "32",
        ]
        with contextlib.redirect_stdout(io.StringIO()):
            failed = main_of_axonic(["fit", data, "--target", target, "--out", out, *quick, *options])
        if failed:
            raise SystemExit("the fit failed")
        model = load_model(out)
        rows = sequences.raw(model, data, ROWS)
    members = [jax.tree.map(lambda w: w + 0.1 * rng.standard_normal(w.shape, "f4"), each) for each in model.members]
    model = dataclasses.replace(model, members=tuple(members))  # so short a training may have left constants
    steps = spoiled(rows.values.to_pandas(), rng, but=target)
    return through_file(model, Ragged(pl.from_pandas(steps), rows.offsets))


def through_file(model, rows):
    """The largest difference of an exported file on these sequences."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        export_onnx(model, path)
        session = onnxruntime.InferenceSession(path)
    inner = getattr(model, "model_", model)
    return max(difference(inner, part, session.run(None, inputs(model, part))) for part in agreement.blocks(rows))


def main():
    warnings.simplefilter("ignore")
    worst = 0.0
    print(f"{'network':40s}" + "".join(f"{name:>18s}" for name in TABLES))
    data = {name: load(name) for name in TABLES}
    kinds = {
        **{f"feedforward, {name}": ("feedforward", {"activation": name}) for name in layers.ACTIVATIONS},
        **{
            f"rbf, {radial}, {widths}, {centers}": ("rbf", {"radial": radial, "widths": widths, "centers": centers})
            for radial in layers.RADIALS
            for widths, centers in (("shared", "kmeans"), ("per_center", "random"), ("per_dimension", "kmeans"))
        },
    }
    classes = {
        ("feedforward", "classification"): FeedForwardClassifier,
        ("feedforward", "regression"): FeedForwardRegressor,
        ("rbf", "classification"): RBFClassifier,
        ("rbf", "regression"): RBFRegressor,
    }
    for label, (kind, options) in kinds.items():
        found = []
        for x, y, task in data.values():
            quick = QUICK if kind == "feedforward" else {"n_centers": 40}
            model = classes[kind, task](**quick, **options).fit(x, y)
            found.append(distance(model, spoiled(x[:ROWS], np.random.default_rng(0))))
        worst = max(worst, *found)
        print(f"{label:40s}" + "".join(f"{value:18.2g}" for value in found), flush=True)
    for label, value in of_sequences():
        worst = max(worst, value)
        print(f"{label:60s} {value:18.2g}", flush=True)
    print(f"largest {worst:.2g}")


if __name__ == "__main__":
    main()
