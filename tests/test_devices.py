"""Several devices of one process that share the rows of each batch give the weights of one, and see the same in its
layers; other rules are in `test_processes.py`. JAX has to be told of devices before it begins to compute, so everything
runs in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiling import QUICKLY

SCRIPT = """
import dataclasses, json, sys
import jax, numpy as np
from axonic.engine import use_processors
jax.config.update("jax_num_cpu_devices", 4)
from axonic import layers, losses, optimizers, training
from axonic.data.batches import Batches, Rows, Split
from axonic.data.ragged import Ragged

rng, n = np.random.default_rng(0), 192
lengths = rng.integers(2, 7, n)
steps = rng.standard_normal((lengths.sum(), 3)).astype(np.float32)
flat = rng.standard_normal((n, 3)).astype(np.float32)
y = np.sin(flat[:, :1]).astype(np.float32)
split = Split(np.arange(150), np.arange(150, 180), np.arange(180, n))
kinds = {
    "feed-forward": (flat, [layers.dense(8, "tanh"), layers.dropout(0.2), layers.dense(1)]),
    "rnn": (Ragged.of(steps, lengths), [layers.rnn(8), layers.last_step(), layers.dense(1)]),
}
found = {}
for kind, (x, stack) in kinds.items():
    network = layers.chain(*stack)
    params = network.init(np.random.default_rng(0), 3)
    rows, rule = Rows(x, y, np.ones(n, np.float32)), optimizers.Adam(0.01)
    trial = training.Trial(network, losses.squared_error, rule, 1e-3, 0.0, np.zeros(2, np.uint32), looks=16)
    ended, several = [], {"feed-forward": 4, "rnn": 2}[kind]
    for devices in (1, several):
        batches = Batches(rows, split, 16, 0, looks=16, devices=devices)
        state = training.start(trial, params)
        (state,), history, health = training.train([trial], [state], batches, training.StopRule(12, 13))
        ended.append((jax.tree.leaves(state.params), history, health[..., 1:6]))
    assert int(state.step) >= 12
    size = max(float(np.abs(leaf - old).max()) for leaf, old in zip(ended[0][0], jax.tree.leaves(params)))
    weights, history, health = ended[1]
    apart = max(float(np.abs(a - b).max()) for a, b in zip(weights, ended[0][0]))
    off = [float(np.max(np.nan_to_num(np.abs(a - b)), initial=0.0))
           for a, b in ((history, ended[0][1]), (health, ended[0][2]))]
    found[f"{kind} {several}"] = [apart, size, *off]
print(json.dumps(found))
"""

COMMAND = """
import sys
from unittest import mock
from axonic import training
from axonic.cli import main
devices = []
places = training._mesh
with mock.patch.object(training, "_mesh", lambda n: devices.append(n) or places(n)), \\
        mock.patch("os.cpu_count", lambda: 2):
    code = main(sys.argv[1:])
print(sorted(set(devices)))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def found():
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | QUICKLY)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("kind", "devices"), [("feed-forward", 4), ("rnn", 2)])
def test_weights_are_those_of_one_device(found, kind, devices):
    apart, size, history, health = found[f"{kind} {devices}"]
    assert size > 0.05
    assert apart < 1e-6
    assert history < 1e-5
    assert health < 1e-4


@pytest.mark.parametrize(("options", "expected"), [(["--ensemble", "1"], "[2]"), (["--ensemble", "2"], "[]")])
def test_a_recurrent_network_that_is_trained_alone_takes_every_processor(tmp_path, options, expected):
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 6, 2))
    np.savez(tmp_path / "s.npz", x=x, y=(x[:, 0, 0] > 0).astype(int))
    fast = ["--net", "rnn", "--no-bidirectional", "--hidden", "64", "--regularization", "none"]
    fast += ["--epochs", "2", "--learning-rate", "0.01", "--batch-size", "32"]
    arguments = ["fit", str(tmp_path / "s.npz"), "--target", "y", *fast, *options, "--out", str(tmp_path / "run")]
    command = [sys.executable, "-c", COMMAND, *arguments, "--quiet", "--no-monitor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | QUICKLY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == expected
    assert Path(tmp_path / "run" / "report.html").exists()
