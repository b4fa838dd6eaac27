"""From the return key to a trained network on disk: `axonic fit TABLE --target target`, process start to end, on iris
and on 1,000 rows of statsmodels' fair.

    python benchmarks/startup.py [--rounds N]

Three contenders take turns, every run a process of its own: axonic with an empty cache of compiled programs, axonic
with a filled one, and a scikit-learn script that does the same job as well (`scikit_learn` below). Then: where the time
of axonic goes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import harness

MOST_SECONDS = {"iris": {"cold": 5.0, "warm": 3.0}, "fair, 1,000 rows": {"cold": 12.0, "warm": 6.0}}
TARGET = "target"


def scikit_learn(table: str) -> dict[str, float]:
    """The same job with pandas and scikit-learn: read, hold out, impute, scale and encode, search the same six rates,
    train with early stopping, score on rows never seen, write the model."""
    import warnings

    import joblib
    import pandas as pd
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.metrics import accuracy_score, log_loss
    from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit, train_test_split
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    warnings.simplefilter("ignore")  # rates that diverge or do not converge
    frame = pd.read_csv(table)
    X, y = frame.drop(columns=TARGET), frame[TARGET]
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    encoder = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    network = MLPClassifier(
        (64, 64),
        solver="sgd",
        batch_size=32,
        max_iter=1000,
        early_stopping=True,
        validation_fraction=0.15,
        random_state=0,
    )
    search = GridSearchCV(
        make_pipeline(encoder, network),
        {"mlpclassifier__learning_rate_init": [10.0**power for power in range(1, -5, -1)]},
        cv=StratifiedShuffleSplit(1, test_size=0.15, random_state=0),
        scoring="neg_log_loss",
    )
    search.fit(X, y)
    joblib.dump(search.best_estimator_, Path(table).with_name("model.joblib"))
    loss = log_loss(y_test, search.predict_proba(X_test), labels=search.classes_)
    return {"loss": loss, "accuracy": accuracy_score(y_test, search.predict(X_test))}


def axonic(table: Path, cache: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """One run of the command with that cache."""
    fit = ["-m", "axonic", "fit", str(table), "--target", TARGET, "--out", str(table.with_name("run")), "--json"]
    return _run([*options, *fit, "--quiet"], XDG_CACHE_HOME=str(cache))


def _run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as users have it
    return subprocess.run(
        [sys.executable, *arguments], env=own | environment, capture_output=True, text=True, check=True
    )


def import_seconds(log: str) -> dict[str, float]:
    """Seconds by top-level package in what `python -X importtime` prints, each module's own time."""
    own: Counter[str] = Counter()
    for line in log.splitlines():
        figures, _, name = line.removeprefix("import time:").rpartition("|")
        if figures and figures.split("|")[0].strip().isdigit():
            own[name.strip().split(".")[0]] += int(figures.split("|")[0])
    return {name: microseconds / 1e6 for name, microseconds in own.most_common()}


def race(table: Path, folder: Path, rounds: int) -> dict[str, list[harness.Timed]]:
    """Let all contenders do the job; the value of each is its result."""

    def cold() -> Any:
        with tempfile.TemporaryDirectory() as empty:
            return json.loads(axonic(table, Path(empty)).stdout)

    def warm() -> Any:
        return json.loads(axonic(table, folder / "cache").stdout)

    def peer() -> Any:
        return json.loads(_run([__file__, "--scikit-learn", str(table)]).stdout)

    contenders = {"axonic, cold": cold, "axonic, warm": warm, "scikit-learn": peer}
    for contender in contenders.values():  # fills the cache, the bytecode and the disk's cache
        contender()
    return harness.take_turns({name: lambda c=c: harness.timed(c) for name, c in contenders.items()}, rounds)


def report(name: str, results: dict[str, list[harness.Timed]], imports: dict[str, float]) -> str:
    """The tables of one data set."""
    peer = [run.seconds for run in results["scikit-learn"]]
    rows, phases = [], {}
    for contender, runs in results.items():
        seconds, kind = [run.seconds for run in runs], contender.rpartition(" ")[2]
        most = MOST_SECONDS[name].get(kind)
        verdict = "" if most is None else f"{most:g}: {'met' if harness.median(seconds) < most else 'MISSED'}"
        score = runs[-1].value.get("test", runs[-1].value)
        figures = f"{score['loss']:.3f}", f"{score['accuracy']:.3f}"
        rows.append(
            [contender, harness.figure(harness.median(seconds)), verdict, harness.Ratio.of(seconds, peer), *figures]
        )
        if most is not None:
            phases[kind] = [run.value["seconds_by_phase"] | {"all of fit": run.value["seconds"]} for run in runs]
    every = phases["cold"][0]
    spent = [[kind, *(f"{harness.median([p[n] for p in runs]):.2f}" for n in every)] for kind, runs in phases.items()]
    heavy = {name: seconds for name, seconds in imports.items() if seconds >= 0.02}
    return "\n\n".join(
        [
            f"{name}: process start to end; time over the scikit-learn script's, median of the rounds (lowest to "
            "highest).",
            harness.table(["", "seconds", "asked below", "ratio", "test loss", "test accuracy"], rows),
            "Seconds by phase inside `fit`.",
            harness.table(["cache", *every], spent),
            f"Imports of a warm run by package, own time of all their modules, {sum(imports.values()):.2f} s in all "
            "(measuring adds about a third).",
            harness.table(["", *heavy], [["seconds", *(f"{seconds:.2f}" for seconds in heavy.values())]]),
        ]
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Time from the shell to a trained network.")
    parser.add_argument("--rounds", type=int, default=7, help="how often every contender runs (default 7)")
    parser.add_argument("--scikit-learn", metavar="TABLE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scikit_learn:
        print(json.dumps(scikit_learn(options.scikit_learn)))
        return
    for name, (frame, target) in tables().items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            table = folder / "table.csv"
            frame.rename(columns={target: TARGET}).to_csv(table, index=False)
            results = race(table, folder, options.rounds)
            log = axonic(table, folder / "cache", "-X", "importtime").stderr
        print(report(name, results, import_seconds(log)) + "\n", flush=True)


def tables() -> dict[str, tuple[Any, str]]:
    """(frame, target) by name."""
    import statsmodels.api
    from sklearn.datasets import load_iris

    iris = load_iris(as_frame=True)
    fair = statsmodels.api.datasets.fair.load_pandas().data[::6][:1000]
    return {
        "iris": (iris.frame.drop(columns="target").assign(species=iris.target_names[iris.target]), "species"),
        "fair, 1,000 rows": (fair.assign(affairs=(fair["affairs"] > 0).map({True: "yes", False: "no"})), "affairs"),
    }


if __name__ == "__main__":
    main()
