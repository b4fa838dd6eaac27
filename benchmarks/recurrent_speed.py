"""One training step of a recurrent layer, with its update: `python recurrent_speed.py [--rounds 7] [--cells lstm,gru]`.

Against PyTorch's nn.LSTM, nn.GRU and nn.RNN with 1 and 2 threads and its Adam, and Keras on JAX (fit); all
from the last step through a linear layer to squared error, same shapes, contenders in processes of their own that take
turns. axonic shares the rows of a batch among the processors from 32 units on, as a network that is trained alone does
(`Task.devices`); its steps are those of `axonic.training`: many in one compiled program, tapes of batches included.
Prints ratios of paired times (above 1: axonic is faster), PyTorch's better number of threads taken.

`--arithmetic` instead counts the steps that are walked on 20,000 sequences of lengths 10 to 500.
"""

import argparse

import numpy as np
from harness import Ratio, Worker, figure, median, table, take_turns

SHAPES = ((50, 32, 8, 32), (50, 32, 32, 64), (28, 128, 28, 128), (100, 64, 16, 128), (100, 128, 64, 256))
RATE = 1e-3


def data(shape, n_batches):
    time, batch, features, _ = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n_batches * batch, time, features)).astype(np.float32)
    return x, x[:, -1, :1].copy()


def make_axonic(cell, shape, n_steps):
    import jax

    from axonic import layers, losses, optimizers, training
    from axonic.data.batches import Batches, Rows, Split
    from axonic.data.ragged import Ragged
    from axonic.engine import use_processors
    from axonic.recipe.networks import SHARED_UNITS

    use_processors()
    time, batch, features, hidden = shape
    x, y = data(shape, n_steps)
    rows = Rows(Ragged.of(x.reshape(-1, features), np.full(len(x), time)), y, np.ones(len(y), np.float32))
    none = np.empty(0, np.int64)
    devices = jax.device_count() if hidden >= SHARED_UNITS else 1
    batches = Batches(rows, Split(np.arange(len(y)), none, none), batch, devices=devices)
    network = layers.chain(getattr(layers, cell)(hidden), layers.last_step(), layers.dense(1))
    trial = training.Trial(network, losses.squared_error, optimizers.Adam(RATE), 0.0, 0.0, np.zeros(2, np.uint32))
    params = network.init(np.random.default_rng(0), features)

    def run():
        state = training.start(trial, params)
        jax.block_until_ready(training.train([trial], [state], batches, training.StopRule(1, 2)))

    run()
    return run


def make_torch(cell, shape, n_steps, threads, device="cpu"):
    import torch

    torch.set_num_threads(threads)
    _, batch, features, hidden = shape
    x, y = (torch.tensor(a, device=device) for a in data(shape, n_steps))
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell]
    layer, head = kind(features, hidden, batch_first=True), torch.nn.Linear(hidden, 1)
    layer, head = layer.to(device), head.to(device)
    rule = torch.optim.Adam([*layer.parameters(), *head.parameters()], RATE)

    def run():
        order = torch.randperm(len(x), device=device)
        for i in range(n_steps):
            rows = order[i * batch : (i + 1) * batch]
            rule.zero_grad()
            torch.nn.functional.mse_loss(head(layer(x[rows])[0][:, -1]), y[rows]).backward()
            rule.step()
        if device != "cpu":
            torch.cuda.synchronize()

    run()
    return run


def make_keras(cell, shape, n_steps):
    import keras

    time, batch, features, hidden = shape
    x, y = data(shape, n_steps)
    kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}[cell]
    model = keras.Sequential([keras.Input((time, features)), kind(hidden), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.Adam(RATE), loss="mse")

    def run():
        model.fit(x, y, batch_size=batch, epochs=1, verbose=0)

    run()
    return run


def compare(cell, shape, rounds, n_steps):
    workers = {
        "axonic": Worker(make_axonic, cell, shape, n_steps),
        "torch 1": Worker(make_torch, cell, shape, n_steps, 1, environment={"OMP_NUM_THREADS": "1"}),
        "torch 2": Worker(make_torch, cell, shape, n_steps, 2),
        "keras": Worker(make_keras, cell, shape, n_steps, environment={"KERAS_BACKEND": "jax"}),
    }
    results = take_turns(workers, rounds)
    for worker in workers.values():
        worker.close()
    seconds = {name: [timed.seconds / n_steps for timed in each] for name, each in results.items()}
    best = min(("torch 1", "torch 2"), key=lambda name: median(seconds[name]))
    ratios = [Ratio.of(seconds[name], seconds["axonic"]) for name in (best, "keras")]
    times = [figure(1e3 * median(seconds[name])) for name in workers]
    return ratios, [f"{cell} {shape}", *times, *map(str, ratios)]


def arithmetic():
    """Steps walked, to the longest sequence of each batch, over the true ones."""
    from axonic.data.batches import Batches, Cursor, Rows, Segment, Split
    from axonic.data.ragged import Ragged

    lengths = np.random.default_rng(0).integers(10, 501, 20_000)
    x = Ragged.of(np.zeros((lengths.sum(), 1), np.float32), lengths)
    rows = Rows(x, np.arange(20_000, dtype=np.int32), np.ones(20_000, np.float32))
    none = np.empty(0, np.int64)
    for batch in (16, 32, 64, 128):
        stream = Batches(rows, Split(np.arange(20_000), none, none), batch)
        cursor, walked, closed = Cursor(), 0, False
        while not closed:
            tape, cursor = stream.tape(cursor)
            for row in tape.segments[: tape.n_segments]:
                now = Segment(*row)
                slots = slice(now.train_first, now.train_last)
                real = tape.x.mask[slots] & (tape.weight[slots, :, None] > 0)
                walked += batch * int(real.any(axis=1).sum())
                if closed := bool(now.closes):
                    break
        print(
            f"batches of {batch}: {walked / lengths.sum():.3f} of the true steps "
            f"({20_000 * lengths.max() / lengths.sum():.3f} if all were padded to the longest)"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cells", default="lstm,gru,rnn")
    parser.add_argument("--shapes", default="1,2,3,4,5", help="which, counted from 1")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--arithmetic", action="store_true")
    arguments = parser.parse_args()
    if arguments.arithmetic:
        arithmetic()
        return
    rows = []
    for cell in arguments.cells.split(","):
        pairs = []
        for shape in [SHAPES[int(number) - 1] for number in arguments.shapes.split(",")]:
            ratios, row = compare(cell, shape, arguments.rounds, arguments.steps)
            pairs.append([ratio.middle for ratio in ratios])
            rows.append(row)
            print(row, flush=True)
        means = np.exp(np.log(pairs).mean(axis=0))
        rows.append([f"{cell} geometric mean", "", "", "", "", *map(figure, means)])
    header = (
        "layer (time, batch, features, hidden)",
        "axonic ms",
        "torch 1",
        "torch 2",
        "keras",
        "torch / axonic",
        "keras / axonic",
    )
    print(table(header, rows))


if __name__ == "__main__":
    main()
