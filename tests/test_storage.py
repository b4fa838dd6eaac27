"""Files: whole or not at all, read back as written, and refused in one line when they are damaged or forged."""

import copy
import dataclasses
import itertools
import json
import os
import pickle
import struct
import tempfile
from pathlib import Path

import jax
import numpy as np
import optax
import polars as pl
import pytest
from safetensors.numpy import load_file

from axonic import FeedForwardRegressor, layers, load, losses, optimizers, storage, training
from axonic.data.encoding import TableEncoder
from axonic.data.schema import infer_schema
from axonic.data.targets import TargetEncoder
from axonic.errors import InputError
from axonic.export import onnx_model
from axonic.layers.activations import Activation
from axonic.model import Model
from axonic.optimizers import schedules
from axonic.optimizers.from_optax import FromOptax
from axonic.specs import spec, static
from axonic.storage import load_model, save_model, write
from tests import plainly

N_IN = 3
X = np.random.default_rng(0).standard_normal((20, N_IN)) * [1.0, 50.0, 1e-3] + [0.0, 1e3, 0.0]
TARGETS = {
    "three classes": (["ant", "bee", "cüt"] * 7, "classification", losses.log_likelihood, 3),
    "two classes": ([False, True] * 10, "classification", losses.cross_entropy, 1),
    "two classes, softmax": ([-1, 7] * 10, "classification", losses.log_likelihood, 2),
    "squared error of sigmoid": ([0.5, 2.0] * 10, "classification", losses.mse("sigmoid"), 1),
    "squared error of softmax": ([1, 2, 3, 4] * 5, "classification", losses.mse("softmax"), 4),
    "numbers": (np.linspace(90, 110, 20), "regression", losses.squared_error, 1),
    "two numbers": (X[:, :2] * [1e-6, 1e6], "regression", losses.squared_error, 2),
    "huber": (np.linspace(90, 110, 20), "regression", losses.huber(2.5), 1),
    "absolute": (np.linspace(90, 110, 20), "regression", losses.absolute, 1),
    "quantile": (np.linspace(90, 110, 20), "regression", losses.quantile(0.9), 1),
    "counts": (np.arange(20) % 7, "regression", losses.poisson, 1),
    "shares": (np.linspace(0, 1, 20), "regression", losses.matching("sigmoid"), 1),
}


def make_model(target="three classes", activation="relu", n_networks=2, units=4, rate=0.25, **info):
    """A model with random weights."""
    y, task, loss, n_out = TARGETS[target]
    network = layers.chain(layers.dense(units, activation), layers.dropout(rate), layers.dense(n_out))
    rng = np.random.default_rng(1)
    members = tuple(network.init(rng, N_IN) for _ in range(n_networks))
    encoder, encoded = (
        TableEncoder.from_array(X),
        TargetEncoder.fit(np.asarray(y), task, scaling=loss.scaling(), limits=loss.limits()),
    )
    return Model(network, loss, members, encoder, encoded, info)


def assert_same_model(one, other):
    assert (one.network, one.loss, one.encoder, one.target) == (other.network, other.loss, other.encoder, other.target)
    for a, b in zip(jax.tree.leaves(one.members), jax.tree.leaves(other.members), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype == np.float32


def assert_refused(path, says=""):
    with pytest.raises(InputError) as error:
        load_model(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert says in str(error.value)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# --- writing ---


def test_write_makes_the_folder_and_replaces(tmp_path):
    path = tmp_path / "new" / "folder" / "file.bin"
    write(path, b"old")
    write(path, b"the new one")
    assert path.read_bytes() == b"the new one"
    assert names(tmp_path) == ["new/folder/file.bin"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_a_file_is_up_to_the_umask(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        write(tmp_path / "file.bin", b"mine")
    finally:
        os.umask(before)
    assert (tmp_path / "file.bin").stat().st_mode & 0o777 == mode


class Full:
    """A file on a full disk: some bytes go in, the rest does not."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        raise OSError(28, "No space left on device")


def failing(code):
    """A function that always raises that error of the operating system."""
    return lambda *args, **kwargs: throw(OSError(code, os.strerror(code)))


def interrupt(*args, **kwargs):  # noqa: ARG001
    raise KeyboardInterrupt


def throw(error):
    raise error


# what fails -> (where, what is put there, the error that comes out)
FAILURES = {
    "temporary file": ("os.open", failing(13), InputError),
    "full disk": ("builtins.open", lambda *args, **kwargs: Full(OPEN(*args, **kwargs)), InputError),
    "flush to disk": ("os.fsync", failing(5), InputError),
    "no space at the flush": ("os.fsync", failing(28), InputError),
    "rename": ("os.replace", failing(28), InputError),
    "rename of a file that is open elsewhere": ("os.replace", failing(13), InputError),
    "interrupted at the flush": ("os.fsync", interrupt, KeyboardInterrupt),
    "interrupted at the rename": ("os.replace", interrupt, KeyboardInterrupt),
}
OPEN = open


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("before", [b"the old one", None], ids=["replacing", "new"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(name, before, tmp_path, monkeypatch):
    where, broken, expected = FAILURES[name]
    path = tmp_path / "file.bin"
    if before is not None:
        path.write_bytes(before)
    with monkeypatch.context() as patch:
        patch.setattr(where, broken)
        with pytest.raises(expected) as error:
            write(path, b"x" * 100_000)
    if expected is InputError:
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)
    assert names(tmp_path) == ([] if before is None else ["file.bin"])
    assert before is None or path.read_bytes() == before
    write(path, b"later")
    assert path.read_bytes() == b"later"


def test_what_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "below.bin", tmp_path / "folder", tmp_path / ("n" * 300)):
        with pytest.raises(InputError, match="cannot write"):
            write(path, b"content")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_at_no_instant_is_a_file_half_there(tmp_path, monkeypatch):
    """The content is on disk under another name before the name is given to it."""
    path, seen = tmp_path / "file.bin", []
    path.write_bytes(b"old")
    fsync, replace = os.fsync, os.replace

    def watching_fsync(descriptor):
        seen.append(("flush", path.read_bytes()))
        fsync(descriptor)

    def watching_replace(source, target):
        seen.append(("rename", path.read_bytes()))
        with open(source, "rb") as file:
            assert file.read() == b"new"
        replace(source, target)
        seen.append(("renamed", path.read_bytes()))

    monkeypatch.setattr(os, "fsync", watching_fsync)
    monkeypatch.setattr(os, "replace", watching_replace)
    write(path, b"new")
    assert seen == [("flush", b"old"), ("rename", b"old"), ("renamed", b"new"), ("flush", b"new")]


def test_json_holds_no_nan_and_no_numpy(tmp_path):
    value = {
        "nan": float("nan"),
        "infinite": np.float32("-inf"),
        "whole": np.int64(3),
        "flag": np.bool_(True),
        "array": np.array([[1.0, np.nan]]),
        "tuple": (1, "Ä", None),
        7: {"finding": training.StopRule(3)},
    }
    storage.write_json(tmp_path / "v.json", value)

    def refuse(name):
        raise AssertionError(f"{name} in the file")

    read = json.loads((tmp_path / "v.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert read["nan"] is None
    assert read["infinite"] is None
    assert read["whole"] == 3
    assert read["flag"] is True
    assert read["array"] == [[1.0, None]]
    assert read["tuple"] == [1, "Ä", None]
    assert read["7"]["finding"]["max_epochs"] == 3


# --- model files ---


@pytest.mark.parametrize("activation", layers.ACTIVATIONS)
def test_round_trip_of_every_activation(activation, tmp_path):
    model = make_model(activation=activation, rate=0.125, seed=7, note="Grüße")
    save_model(model, tmp_path / "m.safetensors", more=[1, None])
    read = load_model(tmp_path / "m.safetensors")
    assert_same_model(model, read)
    assert read.info == {"seed": 7, "note": "Grüße", "more": [1, None]}


@pytest.mark.parametrize("target", TARGETS)
def test_round_trip_of_every_task_and_loss(target, tmp_path):
    model = make_model(target)
    save_model(model, tmp_path / "m.safetensors")
    read = load_model(str(tmp_path / "m.safetensors"))
    assert_same_model(model, read)
    assert read.task == model.task
    np.testing.assert_array_equal(read.outputs(read.encoder.transform(X)), model.outputs(model.encoder.transform(X)))
    one, other = read.predict(X), model.predict(X)
    np.testing.assert_array_equal(one, other)
    assert one.dtype == other.dtype


@pytest.mark.parametrize("init", layers.INITS)
def test_round_trip_of_every_initialisation(init, tmp_path):
    model = make_model()
    network = layers.chain(layers.dense(3, "tanh", init), layers.dense(3, "identity", init))
    model = Model(network, model.loss, (network.init(np.random.default_rng(0), N_IN),), model.encoder, model.target)
    save_model(model, tmp_path / "m.safetensors")
    assert_same_model(model, load_model(tmp_path / "m.safetensors"))


RECURRENT = {
    "rnn": (layers.rnn(3, "relu", truncate=4), layers.last_step()),
    "lstm": (layers.lstm(3, "he_normal"), layers.mean_over_time()),
    "gru": (layers.gru(3, truncate=1, chrono=9), layers.each_step(layers.dense(2, "tanh")), layers.every_step()),
    "both": (layers.bidirectional(layers.lstm(2)), layers.each_step(layers.dropout(0.5)), layers.last_step()),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_round_trip_of_recurrent_networks(name, tmp_path):
    model = make_model()
    network = layers.chain(*RECURRENT[name], layers.dense(3))
    model = Model(network, model.loss, (network.init(np.random.default_rng(0), N_IN),), model.encoder, model.target)
    save_model(model, tmp_path / "m.safetensors")
    assert_same_model(model, load_model(tmp_path / "m.safetensors"))


@pytest.mark.parametrize("name", RECURRENT)
def test_wrong_values_in_recurrent_networks_are_refused_or_name_another_network(name):
    stored = storage.network_to_json(layers.chain(*RECURRENT[name]))
    for what, forged in mutants({"network": stored}):
        try:
            network = storage.network_from_json(forged["network"])
        except (ValueError, KeyError, TypeError, AttributeError, InputError):
            continue
        assert storage.network_to_json(network) == list(forged["network"]), what


@pytest.mark.parametrize("inner", [layers.dense(2), layers.last_step(), layers.bidirectional(layers.gru(2))])
def test_a_stored_bidirectional_layer_holds_a_recurrent_one(inner):
    stored = storage.network_to_json(layers.chain(layers.bidirectional(inner)))
    with pytest.raises(ValueError, match="bidirectional of a layer of kind"):
        storage.network_from_json(stored)


def test_every_loss_has_its_round_trip():
    assert {type(loss) for _, _, loss, _ in TARGETS.values()} == set(losses.LOSSES.values())


MIXED = pl.DataFrame(
    {
        "size": [1.5, None, 3e9, -2.0] * 5,
        "colour": ["red", "grün", None, "red"] * 5,
        "ripe": [True, False, None, True] * 5,
        "picked": pl.Series([f"2024-0{1 + i % 9}-1{i % 7}" for i in range(20)]).str.to_date(),
        "kind": ["a", "b"] * 10,
    }
)


def make_mixed():
    """(a model of a table with columns of all kinds, its schema)."""
    schema = infer_schema(MIXED, "kind")
    encoder = TableEncoder.fit(MIXED, schema)
    network = layers.chain(layers.dense(1))
    params = (network.init(np.random.default_rng(0), encoder.n_features),)
    target = TargetEncoder.fit(MIXED["kind"], "classification")
    return Model(network, losses.cross_entropy, params, encoder, target), schema


def test_round_trip_of_encoders_of_all_kinds(tmp_path):
    model, schema = make_mixed()
    encoder = model.encoder
    save_model(model, tmp_path / "m.safetensors", schema=schema.to_json())
    read = load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(read.encoder.transform(MIXED), encoder.transform(MIXED))
    np.testing.assert_array_equal(read.predict_proba(MIXED), model.predict_proba(MIXED))
    assert type(schema).from_json(read.info["schema"]) == schema


def test_the_same_model_is_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_model(make_model(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


class OwnLoss(losses.SquaredError):
    """A loss that a user wrote."""


OWN_PHI = losses.matching(Activation("arctan", jax.numpy.arctan, lambda z, a: 1 / (1 + z * z)))


class OwnLayer(layers.Layer):
    """A layer that a user wrote."""


def sine(z):
    return jax.numpy.sin(z)


def cosine(z, a):
    del a
    return jax.numpy.cos(z)


SINE = Activation("relu", sine, cosine)
"""An activation that a user wrote, with the name of another one."""
OWN_ACTIVATIONS = (
    (layers.dense(4, SINE), layers.dense(3)),
    (layers.dense(4, dataclasses.replace(SINE, name="sine")), layers.dense(3)),
    (layers.rnn(4, SINE), layers.last_step(), layers.dense(3)),
    (layers.bidirectional(layers.rnn(4, SINE)), layers.each_step(layers.dense(2, SINE)), layers.last_step()),
)


def test_what_a_file_cannot_hold_is_refused_before_it_is_written(tmp_path):
    model = make_model()
    for change in (
        {"loss": OwnLoss()},
        {"loss": OWN_PHI},
        {"network": layers.chain(OwnLayer(), *model.network.layers)},
        *({"network": layers.chain(*own)} for own in OWN_ACTIVATIONS),
    ):
        with pytest.raises(InputError, match="can't be stored"):
            save_model(dataclasses.replace(model, **change), tmp_path / "m.safetensors")
    assert names(tmp_path) == []


def test_a_network_with_an_activation_of_ones_own_is_pickled():
    network = layers.chain(layers.dense(3, SINE), layers.dense(1))
    again = pickle.loads(pickle.dumps(network))
    assert again.layers[0].activation == SINE


@spec
class Lamb(FromOptax):
    """A rule that optax has, with a name of its own."""

    transformation: object = static(default=optax.lamb(1.0))


def test_a_rule_of_optax_that_has_a_name_is_kept_by_it(monkeypatch):
    monkeypatch.setitem(optimizers.RULES, "lamb", Lamb)
    rule = optimizers.get("lamb").replace(learning_rate=0.25)
    assert optimizers.name(rule) == "lamb"
    stored = json.loads(json.dumps(storage.parameter_to_json(rule)))
    assert stored == {"rule": "lamb", "values": {"learning_rate": 0.25}}
    assert storage.parameter_from_json(stored) == rule
    assert optimizers.name(optimizers.get(optax.lamb(1.0))) == "optax"
    for other in (rule.replace(transformation=optax.sgd(1.0)), optimizers.get(optax.lamb(1.0))):
        with pytest.raises(InputError, match="can't be stored"):
            storage.parameter_to_json(other)


INFINITE = [optimizers.ConjugateGradient(restart=np.inf), optimizers.Rprop(max_step=np.float32(np.inf))]


@pytest.mark.parametrize("rule", INFINITE)
def test_a_rule_with_an_infinite_number_is_kept_by_a_file(rule, tmp_path):
    short = {"epochs": 1, "early_stopping": False, "monitor": False}
    FeedForwardRegressor((2,), optimizer=rule, **short).fit(X, X[:, 0]).save(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").optimizer == rule


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, np.float32(np.inf), (1.0, np.inf), {"a": np.nan}])
def test_numbers_that_are_not_finite_are_standard_json(value):
    stored = json.dumps(storage.parameter_to_json(value), allow_nan=False)
    np.testing.assert_equal(storage.parameter_from_json(json.loads(stored)), value)


@pytest.mark.parametrize("forged", ["1e5", 7, None, ["inf"]])
def test_forged_numbers_are_refused(forged):
    with pytest.raises((KeyError, TypeError)):
        storage.parameter_from_json({"number": forged})


SCHEDULED = [
    optimizers.scheduled(optimizers.Adam(), schedules.WarmUp(20, schedules.Cosine(200))),
    optimizers.scheduled(optimizers.Momentum(0.3, dampening=False), schedules.Step(np.int64(30), 0.5)),
]


@pytest.mark.parametrize("rule", SCHEDULED)
def test_a_rule_with_a_schedule_is_kept_by_a_file(rule, tmp_path):
    short = {"epochs": 1, "learning_rate": 0.01, "early_stopping": False, "monitor": False}
    estimator = FeedForwardRegressor((2,), optimizer=rule, **short)
    estimator.fit(X, X[:, 0]).save(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").optimizer == rule


def test_a_schedule_of_ones_own_is_not_stored():
    class Own(schedules.Schedule):
        """A schedule that a user wrote."""

    with pytest.raises(InputError, match="can't be stored"):
        storage.parameter_to_json(optimizers.scheduled(optimizers.Adam(), Own()))


@pytest.mark.parametrize("wrong", [{"n_steps": "many"}, {"n_steps": 5, "then": 3}, {"then": None}, {"steps": 5}])
def test_forged_schedules_are_refused(wrong):
    stored = storage.parameter_to_json(SCHEDULED[0])
    assert storage.parameter_from_json(stored) == SCHEDULED[0]
    stored["schedule"]["values"] = wrong
    with pytest.raises((TypeError, ValueError)):
        storage.parameter_from_json(stored)


def test_a_model_is_found_in_its_run_directory(tmp_path):
    save_model(make_model(), tmp_path / "model.safetensors")
    assert_same_model(load_model(tmp_path), load_model(tmp_path / "model.safetensors"))
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path / "empty", "model.safetensors")
    assert_refused(tmp_path / "none", "no such file")


# --- damaged and forged files ---


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a good model file, loaded once."""
    path = tmp_path_factory.mktemp("good") / "model.safetensors"
    save_model(make_model(), path)
    load_model(path).predict(X)
    return path.read_bytes()


def parts(content):
    """(safetensors header, metadata of the package, bytes of the weights)."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["axonic"]), content[8 + length :]


def joined(header, metadata, data):
    if metadata is not None:
        header = {**header, "__metadata__": {"axonic": json.dumps(metadata)}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_taking_a_file_apart_and_joining_it_changes_nothing(content, tmp_path):
    (tmp_path / "m").write_bytes(joined(*parts(content)))
    (tmp_path / "n").write_bytes(content)
    assert_same_model(load_model(tmp_path / "m"), load_model(tmp_path / "n"))


@pytest.mark.usefixtures("nothing_runs")
def test_a_file_cut_short_anywhere_is_refused(content, tmp_path):
    path = tmp_path / "model.safetensors"
    header = 8 + struct.unpack("<Q", content[:8])[0]
    lengths = {0, 1, 7, 8, 9, 8 + header // 2, header - 1, header, header + 1, len(content) - 4, len(content) - 1}
    for length in sorted(lengths | set(range(0, len(content), 97))):
        path.write_bytes(content[:length])
        assert_refused(path)
    path.write_bytes(content + b"\0")
    assert_refused(path)


@pytest.mark.usefixtures("nothing_runs")
def test_a_changed_byte_is_refused_or_harmless(content, tmp_path):
    """One byte of the header replaced, at 300 places: a file that still loads predicts, or is refused in one line."""
    rng = np.random.default_rng(8)
    path = tmp_path / "model.safetensors"
    header = 8 + struct.unpack("<Q", content[:8])[0]
    for _ in range(300):
        forged = bytearray(content)
        forged[rng.integers(header)] = rng.integers(256)
        path.write_bytes(forged)
        assert_refused_or_works(path)


def assert_refused_or_works(path):
    complaint = complaint_about(path)
    assert complaint is None, complaint


def complaint_about(path):
    """None if a file is refused in one line, when it is read or when it predicts, or if it predicts finite numbers."""
    try:
        predicted = load_model(path).predict(X)
    except InputError as error:
        return "more than one line" if "\n" in str(error) else None
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    good = len(predicted) == len(X) and (predicted.dtype.kind != "f" or np.isfinite(predicted).all())
    return None if good else f"predicts {predicted}"


def changed(change):
    """A forgery that edits the package's metadata."""

    def forge(content):
        header, metadata, data = parts(content)
        change(metadata)
        return joined(header, metadata, data)

    return forge


def weights_changed(change):
    """A forgery that edits the weights, a float32 array."""

    def forge(content):
        header, metadata, data = parts(content)
        values = np.frombuffer(data, np.float32).copy()
        change(values)
        return joined(header, metadata, values.tobytes())

    return forge


def tensors_changed(change):
    """A forgery that edits the list of weights."""

    def forge(content):
        header, metadata, data = parts(content)
        tensors = {name: value for name, value in header.items() if name != "__metadata__"}
        change(tensors)
        return joined(tensors, metadata, data)

    return forge


def transpose(tensors):
    name = next(name for name, value in tensors.items() if len(value["shape"]) == 2)
    tensors[name]["shape"] = tensors[name]["shape"][::-1]


def flatten(tensors):
    name = next(name for name, value in tensors.items() if len(value["shape"]) == 2)
    tensors[name]["shape"] = [int(np.prod(tensors[name]["shape"]))]


def as_whole_numbers(tensors):
    next(iter(tensors.values()))["dtype"] = "I32"


def rename(tensors):
    tensors["0.9.w"] = tensors.pop(next(iter(tensors)))


def one_more(content):
    header, metadata, data = parts(content)
    more = {"dtype": "F32", "shape": [1], "data_offsets": [len(data), len(data) + 4]}
    return joined({**header, "more": more}, metadata, data + bytes(4))


def outside(tensors):
    next(iter(tensors.values()))["data_offsets"] = [0, 1 << 40]


def overlapping(tensors):
    first, second, *_ = tensors.values()
    second["data_offsets"] = first["data_offsets"]


def deep(depth):
    return b"[" * depth + b"]" * depth


def raw_header(text):
    return lambda content: struct.pack("<Q", len(text)) + text


def raw_metadata(text):
    return lambda content: joined({**parts(content)[0], "__metadata__": {"axonic": text}}, None, parts(content)[2])


PICKLE = b"cos\nsystem\n(S'touch EXECUTED'\ntR."

FORGERIES = {
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(1000),
    "noise": lambda content: np.random.default_rng(0).bytes(1000),
    "text": lambda content: b"model: {network: mlp}\n" * 20,
    "a pickle": lambda content: PICKLE,
    "a pickle of this very package": lambda content: pickle.dumps(make_model()),
    "a pickle as header": raw_header(PICKLE),
    "a pickle as metadata": raw_metadata(PICKLE.decode()),
    "huge header length": lambda content: b"\xff" * 8 + content[8:],
    "header of a terabyte": lambda content: struct.pack("<Q", 1 << 40) + content[8:],
    "header longer than the file": lambda content: struct.pack("<Q", len(content)) + content[8:],
    "header of length zero": lambda content: bytes(8) + content[8:],
    "header is no json": raw_header(b"{nothing"),
    "header is a list": raw_header(b"[]"),
    "header is empty": raw_header(b"{}"),
    "header is deep": raw_header(deep(100_000)),
    "no metadata": lambda content: joined(
        {name: value for name, value in parts(content)[0].items() if name != "__metadata__"}, None, parts(content)[2]
    ),
    "metadata of another program": lambda content: joined(
        {**parts(content)[0], "__metadata__": {"format": "pt"}}, None, parts(content)[2]
    ),
    "metadata is no json": raw_metadata("{nothing"),
    "metadata is empty": raw_metadata(""),
    "metadata is a list": raw_metadata("[]"),
    "metadata is null": raw_metadata("null"),
    "metadata is a number": raw_metadata("1" * 5000),
    "metadata is deep": raw_metadata(deep(100_000).decode()),
    "metadata holds NaN": raw_metadata('{"format": NaN}'),
    "format of the future": changed(lambda m: m.update(format=2)),
    "no network": changed(lambda m: m.update(network=[])),
    "unknown layer": changed(lambda m: m["network"][0].update(layer="attention")),
    "layer of python": changed(lambda m: m["network"][0].update(layer="__import__('os').system('touch EXECUTED')")),
    "unknown loss": changed(lambda m: m["loss"].update(loss="hinge")),
    "another loss": changed(lambda m: m["loss"].update(loss="huber")),
    "a loss of numbers": changed(lambda m: m.update(loss={"loss": "squared_error", "activation": "identity"})),
    "impossible tau": changed(lambda m: m.update(loss={"loss": "quantile", "tau": 2.0})),
    "tau is a list": changed(lambda m: m.update(loss={"loss": "quantile", "tau": [0.5]})),
    "no matching loss": changed(lambda m: m.update(loss={"loss": "matching", "activation": "relu"})),
    "one limit of the target": changed(lambda m: m["target"].update(limits=[0.0])),
    "unknown scaling": changed(lambda m: m["target"].update(scaling="some")),
    "more units": changed(lambda m: m["network"][0].update(n_units=5)),
    "negative units": changed(lambda m: m["network"][0].update(n_units=-4)),
    "very many units": changed(lambda m: m["network"][0].update(n_units=10**12)),
    "a layer less": changed(lambda m: m["network"].pop(0)),
    "another network": changed(lambda m: m.update(members=3)),
    "no networks": changed(lambda m: m.update(members=0)),
    "negative networks": changed(lambda m: m.update(members=-1)),
    "very many networks": changed(lambda m: m.update(members=10**9)),
    "another column": changed(lambda m: m["encoder"]["columns"].append(m["encoder"]["columns"][0])),
    "a column less": changed(lambda m: m["encoder"]["columns"].pop()),
    "unknown field of a column": changed(lambda m: m["encoder"]["columns"][0].update(weight=1)),
    "unknown field of the target": changed(lambda m: m["target"].update(weight=1)),
    "NaN in a weight": weights_changed(lambda w: w.__setitem__(3, np.nan)),
    "infinity in a weight": weights_changed(lambda w: w.__setitem__(-1, -np.inf)),
    "transposed weights": tensors_changed(transpose),
    "flat weights": tensors_changed(flatten),
    "weights of whole numbers": tensors_changed(as_whole_numbers),
    "a weight renamed": tensors_changed(rename),
    "a weight too many": one_more,
    "no weights": tensors_changed(lambda tensors: tensors.clear()),
    "weights outside the file": tensors_changed(outside),
    "weights on top of each other": tensors_changed(overlapping),
}


@pytest.mark.parametrize("name", FORGERIES)
@pytest.mark.usefixtures("nothing_runs")
def test_forged_files_are_refused_in_one_line_and_run_nothing(name, content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(FORGERIES[name](content))
    assert_refused(path)
    assert names(tmp_path) == ["model.safetensors"]


def column(metadata, name):
    return next(column for column in metadata["encoder"]["columns"] if column["name"] == name)


# of a table with columns of all kinds: name -> (what is changed, what the message says)
OF_TABLES = {
    "two columns of one name": (lambda m: column(m, "size").update(name="colour"), "two columns have the same name"),
    "a level twice": (lambda m: column(m, "colour").update(levels=["red", "red"]), "Coding.levels"),
    "no format of dates": (lambda m: column(m, "picked").update(format="%Q%Q"), "Coding.format = '%Q%Q'"),
    "no schema": (lambda m: m["info"].pop("schema"), "schema is missing"),
    "a number as schema": (lambda m: m["info"].update(schema=5), "no Schema but 5"),
    "no decimal mark": (lambda m: m["info"].update(decimal_mark=5), "decimal_mark = 5"),
    "a class twice": (lambda m: m["target"].update(labels=["a", "a"]), "two classes are the same"),
    "a loss of numbers": (
        lambda m: m.update(loss={"loss": "squared_error", "activation": "identity"}),
        "the network's outputs do not fit the target",
    ),
}


@pytest.mark.parametrize("name", OF_TABLES)
def test_forged_files_of_tables_are_refused_in_one_line(name, tmp_path):
    change, says = OF_TABLES[name]
    model, schema = make_mixed()
    path = tmp_path / "m.safetensors"
    save_model(model, path, schema=schema.to_json())
    path.write_bytes(changed(change)(path.read_bytes()))
    assert_refused(path, says)


def test_one_array_is_not_exported_of_what_it_cannot_hold():
    with pytest.raises(InputError, match=r"one array can't hold the column 'colour'.*framed=True"):
        onnx_model(make_mixed()[0], framed=False)


def test_every_part_of_the_metadata_is_needed(content, tmp_path):
    header, metadata, data = parts(content)
    for key in metadata:
        path = tmp_path / key
        path.write_bytes(joined(header, {name: value for name, value in metadata.items() if name != key}, data))
        assert_refused(path)


# --- the format ---


def test_model_files_are_plain_safetensors(tmp_path):
    """Any reader of the format finds the weights, by names that say where they belong."""
    model = make_model(n_networks=2)
    save_model(model, tmp_path / "m.safetensors")
    arrays = load_file(tmp_path / "m.safetensors")
    assert len(arrays) == len(jax.tree.leaves(model.members)) == 8
    np.testing.assert_array_equal(arrays["1.0.w"], model.members[1][0].w)
    assert b"pickle" not in (tmp_path / "m.safetensors").read_bytes()


def test_a_file_of_an_older_layer_is_not_made_of_a_layer_derived_from_it(tmp_path):
    class Half(layers.Dropout):
        """A layer that a user derived: it would be read back as plain dropout."""

    model = make_model()
    model = dataclasses.replace(model, network=layers.chain(Half(0.1), *model.network.layers))
    with pytest.raises(InputError):
        save_model(model, tmp_path / "m.safetensors")


@pytest.mark.parametrize("wrong", [{"activation": "rleu"}, {"init": "__class__"}], ids=["activation", "init"])
def test_a_forged_file_is_named(wrong, content, tmp_path):
    forge = changed(lambda metadata: metadata["network"][0].update(wrong))
    (tmp_path / "m").write_bytes(forge(content))
    assert_refused(tmp_path / "m")


def leaves(value, path=()):
    """The path of every value inside a JSON value, its own first."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))


WRONG = [None, True, -1, 0.5, 1e300, "", "nonsense", [], [None], {}, {"a": [1]}]


def inside(value, path):
    for key in path:
        value = value[key]
    return value


def mutants(metadata):
    """(what was done, metadata) with each value replaced by a wrong one, and with each key left out."""
    for place in leaves(metadata):
        if not place or place[0] == "info":
            continue
        where = ".".join(map(str, place))
        for wrong in WRONG:
            forged = copy.deepcopy(metadata)
            inside(forged, place[:-1])[place[-1]] = wrong
            yield f"{where} = {wrong!r}", forged
        if isinstance(place[-1], str):
            forged = copy.deepcopy(metadata)
            del inside(forged, place[:-1])[place[-1]]
            yield f"no {where}", forged


def few_complaints():
    return complaints(5)


def all_complaints():
    return complaints(1)


def complaints(every):
    """What is wrong with the treatment of every so many mutants of the metadata, of models of both tasks."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.safetensors"
        for target in ("three classes", "numbers"):
            save_model(make_model(target, n_networks=1), path)
            header, metadata, data = parts(path.read_bytes())
            for what, forged in itertools.islice(mutants(metadata), None, None, every):
                path.write_bytes(joined(header, forged, data))
                complaint = complaint_about(path)
                if complaint is not None:
                    found[f"{target}, {what}"] = complaint
    return found


@pytest.mark.parametrize("function", [few_complaints, pytest.param(all_complaints, marks=pytest.mark.long)])
def test_wrong_values_anywhere_in_the_metadata_are_refused_in_one_line_or_harmless(function):
    assert plainly.call(function) == {}
