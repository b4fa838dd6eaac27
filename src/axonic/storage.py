"""Model files and run directories.

A model file is `model.safetensors`: the weights as arrays, and under the metadata key "axonic" one JSON object with
the network, the loss, the encoders, the target and whatever else predictions need. Reading it executes nothing.

A run directory is the journal of a fit:

    model.safetensors   history.csv   notebook.jsonl   result.json   checkpoints/

Every file is written whole to a temporary name beside it, flushed to disk and renamed, so that at any instant each
file is either the old one or the new one, complete.
"""

import contextlib
import csv
import dataclasses
import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from axonic import losses, optimizers
from axonic.data.encoding import TableEncoder, TargetEncoder
from axonic.errors import InputError
from axonic.layers import Chain, Dense, Dropout, Layer, activations, chain, dense, dropout
from axonic.losses import Loss
from axonic.model import Model
from axonic.optimizers import Optimizer
from axonic.training import State

FORMAT = 1
MODEL, HISTORY, NOTEBOOK, RESULT, CHECKPOINTS = (
    "model.safetensors",
    "history.csv",
    "notebook.jsonl",
    "result.json",
    "checkpoints",
)


def write(path: Path, content: bytes) -> None:
    """Write a file whole: temporary name, flush to disk, rename, flush the folder.

    Raises
    ------
    InputError : the folder can't be written to, or the disk is full; nothing is left behind.
    """
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
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


class RunDirectory:
    """The journal of one fit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._created = not path.exists()

    def begin(self) -> None:
        """Make the folder, or take an earlier run's files out of it.

        Raises
        ------
        InputError : the path is no folder or can't be written to.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError("the output folder is a file", "name a folder", str(self.path))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
            for name in (RESULT, NOTEBOOK, HISTORY, MODEL):  # the result says that the others are there
                (self.path / name).unlink(missing_ok=True)
            self.clear_checkpoints()
            for left in self.path.rglob(".*.????????"):  # by a run that was killed while it wrote
                left.unlink()
        except OSError as error:
            self.discard()
            raise unwritable(self.path, error) from error

    def discard(self) -> None:
        """Take away what `begin` made, if it is still empty."""
        if self._created:
            for folder in (self.path / CHECKPOINTS, self.path):
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def save_history(self, history: Mapping[str, np.ndarray]) -> None:
        """One row an epoch; values that do not exist are empty."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(history)
        for row in zip(*history.values(), strict=True):
            table.writerow(["" if isinstance(v, float | np.floating) and np.isnan(v) else v for v in row])
        write(self.path / HISTORY, text.getvalue().encode())

    def save_notebook(self, stages: Sequence[Mapping[str, Any]]) -> None:
        """One JSON object a line for each decision."""
        lines = (json.dumps(plain(stage), ensure_ascii=False) + "\n" for stage in stages)
        write(self.path / NOTEBOOK, "".join(lines).encode())

    def clear_checkpoints(self, first: int = 0) -> None:
        """Take the checkpoints of the networks from `first` on away."""
        for checkpoint in (self.path / CHECKPOINTS).glob("network-*.safetensors"):
            if checkpoint.name >= self._checkpoint(first).name:
                checkpoint.unlink()

    def save_checkpoint(self, network: int, state: State, cursor: Sequence[int]) -> None:
        """The whole state of the training of one network, with its place in the sequence of batches, in place of the
        one before."""
        write(self._checkpoint(network), _pack(state, {"cursor": list(cursor)}))

    def load_checkpoint(self, network: int, like: State) -> tuple[State, tuple[int, int]] | None:
        """The last checkpoint of a network, with the arrays' structure taken from `like`, or None if there is none."""
        path = self._checkpoint(network)
        if not path.exists():
            return None
        arrays, info = _unpack(path)
        expected = dict(zip(_names(like), jax.tree.leaves(like), strict=True))
        try:
            epoch, batch = map(int, info["cursor"])
            if {n: a.shape for n, a in arrays.items()} != {n: np.shape(e) for n, e in expected.items()}:
                raise ValueError("its arrays are not those of this run")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a checkpoint of this run: {error}", "start the run afresh", str(path)) from error
        return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in expected]), (epoch, batch)

    def _checkpoint(self, network: int) -> Path:
        return self.path / CHECKPOINTS / f"network-{network:03d}.safetensors"


def save_model(model: Model, path: Path, **info: Any) -> None:
    """Write a model file; `info` goes into its metadata.

    Raises
    ------
    InputError : the file can't be written, or a layer or loss is not one of the package's.
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
    write(path, _pack(model.members, metadata))


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model from a model file or a run directory.

    Raises
    ------
    InputError : there is none, or the file is damaged or was not written by this package.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / MODEL).exists():
            raise InputError(f"no {MODEL} in this folder", "name a finished run or a model file", str(path))
        path = path / MODEL
    arrays, metadata = _unpack(path)
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
        _check_outputs(network, loss, target)
    except InputError as error:
        raise damaged(path, error.what) from error
    except Exception as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    return Model(network, loss, members, encoder, target, info)


def damaged(path: Path, reason: str) -> InputError:
    """The error for a file that is no model file, or no longer a whole one."""
    return InputError(f"not a whole axonic model file: {reason}", "train again or use another copy", str(path))


def _pack(tree: Any, metadata: Any) -> bytes:
    arrays = {name: np.asarray(leaf, order="C") for name, leaf in zip(_names(tree), jax.tree.leaves(tree), strict=True)}
    return save(arrays, {"axonic": json.dumps(plain(metadata), ensure_ascii=False)})


def _names(tree: Any) -> list[str]:
    return [
        jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in jax.tree_util.tree_leaves_with_path(tree)
    ]


def _unpack(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    if not path.exists():
        raise InputError("no such file", "check the path", str(path))
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {})["axonic"])
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except KeyError as error:
        raise damaged(path, "written by another program") from error
    except (SafetensorError, ValueError, TypeError, OSError, RecursionError) as error:
        raise damaged(path, str(error)) from error


def _members(network: Chain, n_in: int, count: int, arrays: Mapping[str, np.ndarray]) -> tuple[Any, ...]:
    """The weights of each network in its tree, each array of the shape that the network says."""
    if not 1 <= count <= len(arrays) or len(arrays) % count:
        raise ValueError("the weights are not those of whole networks")
    like = (network.shapes(n_in),) * count
    expected = dict(zip(_names(like), jax.tree.leaves(like), strict=True))
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
            "activation": layer.activation.name,
            "init": layer.initializer,
        }
    if type(layer) is Dropout:
        return {"layer": "dropout", "rate": float(layer.rate)}
    raise InputError(f"a {type(layer).__name__} layer can't be stored", "use the package's layers")


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
            if type(value["n_units"]) is not int or value["n_units"] < 1:
                raise ValueError(f"a layer of {value['n_units']!r} units")
            return dense(value["n_units"], str(value["activation"]), str(value["init"]))
        case "dropout":
            if not 0 <= float(value["rate"]) < 1:
                raise ValueError(f"a dropout rate of {value['rate']!r}")
            return dropout(float(value["rate"]))
    raise ValueError(f"a layer of kind {value['layer']!r}")


def _check_outputs(network: Chain, loss: Loss, target: TargetEncoder) -> None:
    """Raise ValueError if the network's outputs are not those that the target asks for."""
    binary = target.task == "classification" and target.n_out == 2 and loss.activation.name == "sigmoid"
    if network.n_out(0) != (1 if binary else target.n_out):
        raise ValueError("the network's outputs do not fit the target")


def loss_to_json(loss: Loss) -> dict[str, str]:
    """The loss as a JSON object."""
    return {"loss": _loss_name(loss), "activation": loss.activation.name}


def _loss_name(loss: Loss) -> str:
    for name, kind in losses.LOSSES.items():
        if type(loss) is kind:
            return name
    raise InputError(f"a {type(loss).__name__} loss can't be stored", "use the package's losses")


def loss_from_json(value: Mapping[str, str]) -> Loss:
    """The loss that `loss_to_json` described."""
    return losses.LOSSES[value["loss"]](activations.get(value["activation"]))


def parameter_to_json(value: Any) -> Any:
    """A parameter of an estimator as JSON: plain values, tuples, dicts, and the package's own rules and losses.

    Raises
    ------
    InputError : it is something else.
    """
    if value is None or isinstance(value, bool | np.bool_ | str | int | float | np.number):
        return plain(value)
    if type(value) in (tuple, list):
        return [parameter_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {"dict": [[parameter_to_json(key), parameter_to_json(item)] for key, item in value.items()]}
    if isinstance(value, Optimizer) and type(value) in optimizers.RULES.values():
        name = next(name for name, kind in optimizers.RULES.items() if kind is type(value))
        values = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}  # pyright: ignore
        return {"rule": name, "values": {key: parameter_to_json(item) for key, item in values.items()}}
    if isinstance(value, Loss):
        return loss_to_json(value)
    raise InputError(f"{value!r} can't be stored", "use the package's own rules and losses")


def parameter_from_json(value: Any) -> Any:
    """The parameter that `parameter_to_json` described; lists come back as tuples."""
    if isinstance(value, list):
        return tuple(parameter_from_json(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {parameter_from_json(key): parameter_from_json(item) for key, item in value["dict"]}
    if "rule" in value:
        values = {key: parameter_from_json(item) for key, item in value["values"].items()}
        return optimizers.RULES[value["rule"]](**values)
    return loss_from_json(value)
