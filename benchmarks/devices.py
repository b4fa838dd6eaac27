"""What it gains to share the rows of each batch among two processors: `python devices.py [--rounds 5]`.

Steps of one network with Adam, the same tapes on one device and on two in turn: time on one over time on two, the
median of the rounds. Recurrent networks of (time, batch, features, hidden), feed-forward ones of three hidden layers,
(features, hidden, batch).
"""

import argparse
import dataclasses
import time

import numpy as np
from harness import Ratio, table
from recurrent_speed import RATE, data

RECURRENT = ((50, 32, 8, 32), (50, 32, 32, 64), (28, 128, 28, 128), (100, 64, 16, 128))
FEEDFORWARD = ((28, 64, 128), (28, 256, 256), (100, 512, 1024))
STEPS, EPOCHS = 40, 3


def contender(kind, shape):
    """A function from a number of devices to the seconds of `EPOCHS` passes."""
    from axonic import layers, losses, optimizers, training
    from axonic.data.batches import Batches, Rows, Split
    from axonic.data.ragged import Ragged

    if kind == "feed-forward":
        features, hidden, batch = shape
        x = np.random.default_rng(0).standard_normal((STEPS * batch, features)).astype(np.float32)
        y, body = x[:, :1].copy(), [layers.dense(hidden, "relu") for _ in range(3)]
    else:
        length, batch, features, hidden = shape
        steps, y = data(shape, STEPS)
        x = Ragged.of(steps.reshape(-1, features), np.full(len(steps), length))
        body = [getattr(layers, kind)(hidden), layers.last_step()]
    network = layers.chain(*body, layers.dense(1))
    none = np.empty(0, np.int64)
    batches = Batches(Rows(x, y, np.ones(len(y), np.float32)), Split(np.arange(len(y)), none, none), batch)
    trial = training.Trial(network, losses.squared_error, optimizers.Adam(RATE), 0.0, 0.0, np.zeros(2, np.uint32))
    params = network.init(np.random.default_rng(0), features)

    def run(devices):
        state, own = training.start(trial, params), dataclasses.replace(batches, devices=devices)
        begun = time.perf_counter()
        training.train([trial], [state], own, training.StopRule(EPOCHS, EPOCHS + 1))
        return time.perf_counter() - begun

    return run


def main():
    import jax

    jax.config.update("jax_num_cpu_devices", 2)
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    cases = [(kind, shape) for kind in ("lstm", "gru", "rnn") for shape in RECURRENT]
    rows = []
    for kind, shape in [*cases, *(("feed-forward", shape) for shape in FEEDFORWARD)]:
        run = contender(kind, shape)
        run(1), run(2)  # compile
        times = np.array([[run(1), run(2)] for _ in range(rounds)])
        rows.append([f"{kind} {shape}", str(Ratio.of(*times.T.tolist()))])
        print(rows[-1], flush=True)
    print(table(["network", "time on one device over time on two"], rows))


if __name__ == "__main__":
    main()
