"""Files: whole or not at all, and without code.

A model file is `model.safetensors`: the weights as arrays, and under the metadata key "axonic" one JSON object with
the network, the loss, the encoders, the target and whatever else predictions need. Reading it executes nothing.

Every file is written whole to a temporary name beside it, flushed to disk and renamed, so that at any instant each
file is either the old one or the new one, complete.
"""

import contextlib
import dataclasses
import json
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from axonic import layers, losses, optimizers
from axonic.data.encoding import TableEncoder
from axonic.data.schema import Schema
from axonic.data.sequences.layout import Layout
from axonic.data.sequences.windows import SeriesCoding
from axonic.data.targets import TargetEncoder
from axonic.errors import InputError
from axonic.layers import Activation, Chain, Dense, Dropout, Layer, activations, chain, dense, dropout
from axonic.losses import Loss
from axonic.model import Model
from axonic.optimizers.scheduled import Scheduled, scheduled
from axonic.optimizers.schedules import SCHEDULES
from axonic.settings import gives_probabilities

FORMAT = 1
MODEL, RUN = "model.safetensors", "run.json"
"""Of a run directory: what predictions need, and what was asked for."""


def write(path: Path, content: bytes) -> None:
    """Write a file whole: temporary name, flush to disk, rename, flush the folder.

    Raises
    ------
    InputError : the folder can't be written to, or the disk is full; nothing is left behind.
    """
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.parent / f".{path.name}.{secrets.token_hex(4)}"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # less the umask, as for any file
        name = beside
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
        name = None
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if name is not None:
            with contextlib.suppress(OSError):
                os.unlink(name)


def unwritable(path: Path, error: OSError) -> InputError:
    """The error for a path that could not be written."""
    reason = (error.strerror or str(error)).lower()
    return InputError(f"cannot write: {reason}", "free some space or name another folder", str(path))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file; see `write`. NaN and infinities become null."""
    write(path, (json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n").encode())


def plain(value: Any) -> Any:
    """`value` in plain JSON types: NumPy scalars and arrays unpacked, NaN and infinities None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def save_model(model: Model, path: Path, **info: Any) -> None:
    """Write a model file; see `model_file`.

    Raises
    ------
    InputError : the file can't be written, or a layer, activation or loss is not one of the package's.
    """
    write(path, model_file(model, **info))


def model_file(model: Model, **info: Any) -> bytes:
    """The content of a model file; `info` goes into its metadata.

    Raises
    ------
    InputError : a layer, activation or loss is not one of the package's.
    """
    metadata = {
        "format": FORMAT,
        "network": network_to_json(model.network),
        "loss": loss_to_json(model.loss),
        "encoder": model.encoder.to_json(),
        "target": model.target.to_json(),
        "members": len(model.members),
        "info": {**model.info, **info},
    }
    return pack(model.members, metadata)


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model from a model file or a run directory.

    Raises
    ------
    InputError : there is none, or the file is damaged or was not written by this package.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / MODEL).exists():
            how = "name a finished run or a model file"
            if (path / RUN).exists():
                how = f"the run has not come so far: go on with it, axonic resume {path}"
            raise InputError(f"no {MODEL} in this folder", how, str(path))
        path = path / MODEL
    arrays, metadata = unpack(path)
    if isinstance(metadata, dict) and metadata.get("format") != FORMAT:
        raise InputError(
            f"model format {metadata.get('format')!r} is not known",
            "use the version of axonic that wrote it",
            str(path),
        )
    try:
        network = network_from_json(metadata["network"])
        loss = loss_from_json(metadata["loss"])
        encoder = TableEncoder.from_json(metadata["encoder"])
        target = TargetEncoder.from_json(metadata["target"])
        members = _members(network, encoder.n_features, int(metadata["members"]), arrays)
        info = dict(metadata["info"])
        for name, kind in (("schema", Schema), ("layout", Layout), ("series", SeriesCoding)):
            if name in info:
                kind.from_json(info[name])
        _check_outputs(network, loss, target)
        _check_origin(encoder, info)
    except InputError as error:
        raise damaged(path, error.what) from error
    except Exception as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    return Model(network, loss, members, encoder, target, info)


def damaged(
    path: Path, reason: str, what: str = "axonic model file", how: str = "train again or use another copy"
) -> InputError:
    """The error for a file that is no model file (or `what` it should be), or no longer a whole one."""
    return InputError(f"not a whole {what}: {reason}", how, str(path))


def pack(tree: Any, metadata: Any) -> bytes:
    """A safetensors file with the arrays of a tree, and JSON metadata."""
    leaves = zip(tree_names(tree), jax.tree.leaves(tree), strict=True)
    arrays = {name: np.asarray(leaf, order="C") for name, leaf in leaves}
    return save(arrays, {"axonic": json.dumps(plain(metadata), ensure_ascii=False)})


def tree_names(tree: Any) -> list[str]:
    """A name for each leaf of a tree, in their order."""
    return [
        jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in jax.tree_util.tree_leaves_with_path(tree)
    ]


def unpack(path: Path, *told: str) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays by name and the metadata of a file that `pack` has made.

    Raises
    ------
    InputError : there is none, or it is damaged, which is `told` as by `damaged`.
    """
    if not path.exists():
        raise InputError("no such file", "check the path", str(path))
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {})["axonic"])
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except KeyError as error:
        raise damaged(path, "written by another program", *told) from error
    except (SafetensorError, ValueError, TypeError, OSError, RecursionError) as error:
        raise damaged(path, str(error), *told) from error


def _members(network: Chain, n_in: int, count: int, arrays: Mapping[str, np.ndarray]) -> tuple[Any, ...]:
    """The weights of each network in its tree, each array of the shape that the network says."""
    if not 1 <= count <= len(arrays) or len(arrays) % count:
        raise ValueError("the weights are not those of whole networks")
    like = (network.shapes(n_in),) * count
    expected = dict(zip(tree_names(like), jax.tree.leaves(like), strict=True))
    if {n: a.shape for n, a in arrays.items()} != {n: e.shape for n, e in expected.items()}:
        raise ValueError("the weights do not fit the network")
    if any(a.dtype != np.float32 or not np.all(np.isfinite(a)) for a in arrays.values()):
        raise ValueError("a weight is not a finite float32 number")
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in expected])


def network_to_json(network: Chain) -> list[dict[str, Any]]:
    """The layers as JSON objects."""
    return [_layer_to_json(layer) for layer in network.layers]


def _layer_to_json(layer: Layer) -> dict[str, Any]:
    if type(layer) is Dense:
        return {
            "layer": "dense",
            "n_units": layer.n_units,
            "activation": _activation_name(layer.activation),
            "init": layer.initializer,
        }
    if type(layer) is Dropout:
        return {"layer": "dropout", "rate": float(layer.rate)}
    if type(layer) is layers.RBF:
        return {"layer": "rbf", "n_centers": layer.n_centers, "radial": layer.radial, "widths": layer.widths}
    if type(layer) is layers.RNN:
        return {"layer": "rnn", "activation": _activation_name(layer.activation), **_cell_to_json(layer)}
    if type(layer) is layers.LSTM:
        return {"layer": "lstm", **_cell_to_json(layer)}
    if type(layer) is layers.GRU:
        return {"layer": "gru", **_cell_to_json(layer)}
    if type(layer) is layers.Bidirectional:
        return {"layer": "bidirectional", "inner": _layer_to_json(layer.layer)}
    if type(layer) is layers.EachStep:
        return {"layer": "each_step", "inner": _layer_to_json(layer.layer)}
    for name, head in _HEADS.items():
        if type(layer) is type(head):
            return {"layer": name}
    raise InputError(f"a {type(layer).__name__} layer can't be stored", "use the package's layers")


_HEADS = {
    "last_step": layers.last_step(),
    "both_ends": layers.both_ends(),
    "mean_over_time": layers.mean_over_time(),
    "every_step": layers.every_step(),
}


def _activation_name(activation: Activation) -> str:
    if activations.ACTIVATIONS.get(activation.name) is not activation:
        raise InputError(
            f"the activation {activation.name!r} can't be stored",
            "use the package's activations, or pickle the estimator",
        )
    return activation.name


def _cell_to_json(layer: layers.RNN | layers.LSTM | layers.GRU) -> dict[str, Any]:
    cell = {"n_hidden": layer.n_hidden, "init": layer.initializer, "truncate": layer.truncate}
    return cell if isinstance(layer, layers.RNN) else cell | {"chrono": layer.chrono}


def network_from_json(value: Sequence[Mapping[str, Any]]) -> Chain:
    """The network that `network_to_json` described.

    Raises
    ------
    ValueError, KeyError or InputError : it describes none.
    """
    return chain(*map(_layer_from_json, value))


def _layer_from_json(value: Mapping[str, Any]) -> Layer:
    match value["layer"]:
        case "dense":
            return dense(value["n_units"], str(value["activation"]), str(value["init"]))
        case "dropout":
            return dropout(value["rate"])
        case "rbf":
            return layers.rbf(value["n_centers"], str(value["radial"]), str(value["widths"]))
        case "rnn":
            n_hidden, init, truncate = _cell_from_json(value)
            return layers.rnn(n_hidden, str(value["activation"]), init, truncate)
        case "lstm":
            return layers.lstm(*_cell_from_json(value), value["chrono"])
        case "gru":
            return layers.gru(*_cell_from_json(value), value["chrono"])
        case "bidirectional":
            return layers.bidirectional(_inner_from_json(value, ("rnn", "lstm", "gru")))
        case "each_step":
            return layers.each_step(_inner_from_json(value, ("dense", "dropout")))
        case str(head) if head in _HEADS:
            return _HEADS[head]
    raise ValueError(f"a layer of kind {value['layer']!r}")


def _cell_from_json(value: Mapping[str, Any]) -> tuple[int, str, int | None]:
    """(n_hidden, init, truncate) of a recurrent layer, which says what will do."""
    return value["n_hidden"], str(value["init"]), value["truncate"]


def _inner_from_json(value: Mapping[str, Any], kinds: Sequence[str]) -> Layer:
    """The layer inside another one, which must be of one of these kinds."""
    if value["inner"]["layer"] not in kinds:
        raise ValueError(f"a {value['layer']} of a layer of kind {value['inner']['layer']!r}")
    return _layer_from_json(value["inner"])


def _check_outputs(network: Chain, loss: Loss, target: TargetEncoder) -> None:
    """Raise ValueError if the network's outputs, or the loss behind them, are not those that the target asks for."""
    binary = target.task == "classification" and target.n_out == 2 and loss.activation.name == "sigmoid"
    if network.n_out(0) != (1 if binary else target.n_out):
        raise ValueError("the network's outputs do not fit the target")
    if target.task != "regression" and not gives_probabilities(loss):
        raise ValueError("the loss gives no probabilities of classes")
    if len(set(target.labels)) < len(target.labels):
        raise ValueError("two classes are the same")


def _check_origin(encoder: TableEncoder, info: Mapping[str, Any]) -> None:
    """Raise ValueError if what the model was trained on, which `info` tells, is not what the encoder reads."""
    if info.get("decimal_mark") not in (None, ".", ","):
        raise ValueError(f"decimal_mark = {info['decimal_mark']!r:.40}")
    of_table = "layout" in info or any(column.kind != "number" for column in encoder.columns)
    if of_table and not info.get("framed") and "schema" not in info:
        raise ValueError("its columns are those of a table, whose schema is missing")


def loss_to_json(loss: Loss) -> dict[str, Any]:
    """The loss as a JSON object: its name and its parameters.

    Raises
    ------
    InputError : the loss or its activation is not one of the package's.
    """
    if isinstance(loss, losses.EachStepLoss):
        return {"loss": "each_step", "inner": loss_to_json(loss.loss)}
    name = _loss_name(loss)
    values = {field.name: getattr(loss, field.name) for field in dataclasses.fields(loss)}  # pyright: ignore
    if "activation" in values:
        values["activation"] = _activation_name(values["activation"])
    return {"loss": name, **plain(values)}


def _loss_name(loss: Loss) -> str:
    for name, kind in losses.LOSSES.items():
        if type(loss) is kind:
            return name
    raise InputError(f"a {type(loss).__name__} loss can't be stored", "use the package's losses")


def loss_from_json(value: Mapping[str, Any]) -> Loss:
    """The loss that `loss_to_json` described.

    Raises
    ------
    KeyError, TypeError or InputError : it describes none.
    """
    if value["loss"] == "each_step" and value["inner"]["loss"] != "each_step":
        return losses.each_step(loss_from_json(value["inner"]))
    values = {name: item for name, item in value.items() if name != "loss"}
    if "activation" in values:
        values["activation"] = activations.get(values["activation"])
    loss = losses.LOSSES[value["loss"]](**values)
    loss.check()
    return loss


def parameter_to_json(value: Any) -> Any:
    """A parameter of an estimator as JSON: plain values, tuples, dicts, and the package's own rules, schedules and
    losses. Where a name in `RULES` stands for an optax transformation, it is stored by that name. JSON has no infinite
    numbers and no NaN: they are stored by name, as {"number": "inf"}.

    Raises
    ------
    InputError : it is something else.
    """
    if isinstance(value, float | np.floating) and not np.isfinite(value):
        return {"number": str(float(value))}
    if value is None or isinstance(value, bool | np.bool_ | str | int | float | np.number):
        return plain(value)
    if type(value) in (tuple, list):
        return [parameter_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {"dict": [[parameter_to_json(key), parameter_to_json(item)] for key, item in value.items()]}
    if type(value) is Scheduled:
        return {"scheduled": parameter_to_json(value.rule), "schedule": parameter_to_json(value.schedule)}
    for what, known in _NAMED.items():
        for name, kind in known.items():
            if type(value) is kind:
                values = {
                    field.name: parameter_to_json(item)
                    for field in dataclasses.fields(value)
                    if (item := getattr(value, field.name)) is not field.default
                    or isinstance(item, bool | int | float | str)
                }
                return {what: name, "values": values}
    if isinstance(value, Loss):
        return loss_to_json(value)
    raise InputError(f"{value!r} can't be stored", "use the package's own rules, schedules and losses")


def parameter_from_json(value: Any) -> Any:
    """The parameter that `parameter_to_json` described; lists come back as tuples."""
    if isinstance(value, list):
        return tuple(parameter_from_json(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "number" in value:
        return _NOT_FINITE[value["number"]]
    if "dict" in value:
        return {parameter_from_json(key): parameter_from_json(item) for key, item in value["dict"]}
    if "scheduled" in value:
        return scheduled(parameter_from_json(value["scheduled"]), parameter_from_json(value["schedule"]))
    for what, known in _NAMED.items():
        if what in value:
            return known[value[what]](**{key: parameter_from_json(item) for key, item in value["values"].items()})
    return loss_from_json(value)


_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_NAMED: dict[str, Mapping[str, type]] = {"rule": optimizers.RULES, "schedule": SCHEDULES}
