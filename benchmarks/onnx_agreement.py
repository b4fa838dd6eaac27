"""Whether exported files predict as the models do: `python onnx_agreement.py`.

The largest difference between onnxruntime's outputs and our own on up to 1,000 real rows, over the largest probability
of the row or the predicted number (of the target's scale where that is larger): every activation of a feed-forward
network, every radial basis function and width, on tables with text, dates and missing values, into which a tenth of
the cells are deleted and a tenth of the levels are replaced by one that training has not seen; and every kind of
recurrent network on sequences of mixed lengths.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
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
from axonic.export import difference, inputs, onnx_network

TABLES = ("penguins", "seattle_weather", "cars", "diabetes", "breast_cancer", "digits")
ROWS = 1000
QUICK = {"epochs": 30, "learning_rate": 0.01, "monitor": False, "ensemble": 2, "regularization": None}


def spoiled(x, rng):
    """Cells deleted, and text that was never seen."""
    x = x.copy()
    for name in x.columns:
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
    found = session.run(None, inputs(inner.encoder, table, framed=framed))
    return difference(inner, inner.encoder.transform(table), found)


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
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 40, ROWS)
    sequences = [rng.standard_normal((n, 3)).cumsum(axis=0) for n in lengths]
    y = np.array([s[-1, 0] > s[0, 1] for s in sequences])
    for cell in ("rnn", "lstm", "gru"):
        for bidirectional in (False, True):
            for head in ("last", "mean"):
                model = RecurrentClassifier(cell, (16, 16), bidirectional, head, **QUICK | {"epochs": 5})
                inner = model.fit(sequences, y).model_
                proto = onnx_network(inner.network, inner.loss, inner.members, 3, sequences=True)
                session = onnxruntime.InferenceSession(proto.SerializeToString())
                padded = np.zeros((ROWS, lengths.max(), 3), np.float32)
                for row, s in zip(padded, sequences, strict=True):
                    row[: len(s)] = inner.encoder.transform(s)
                (theirs,) = session.run(None, {"x": padded, "lengths": lengths.astype(np.int32)})
                ours = model.predict_proba(sequences)[:, 1:]
                value = float(np.max(np.abs(ours - theirs) / np.maximum(ours, 1 - ours)))
                worst = max(worst, value)
                print(f"{cell}, both directions {bidirectional!s:5s}, {head:10s} {value:18.2g}", flush=True)
    print(f"largest {worst:.2g}")


if __name__ == "__main__":
    main()
