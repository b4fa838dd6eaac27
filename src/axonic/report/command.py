"""The command that gives a run again, from what `run.json` holds."""

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from axonic.settings import CELLS, Settings

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


def command(request: Mapping[str, Any]) -> str:
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
