"""An accelerator against the processors of the same machine, and against PyTorch on it, wherever JAX finds one:

    python device.py [--rounds 5] [--only throughput,recurrent,agreement] [--tf32]

throughput : the networks of `throughput.py` and larger ones, fit to fit. PyTorch is eager, its data on the device.
recurrent : one training step of an LSTM with its update (`recurrent_speed.py`), against cuDNN's through nn.LSTM.
agreement : the training loss a rule ends with on the accelerator and on the processors, from the same weights.

Products are of float32, as axonic's fits have them; `--tf32` lets JAX round their factors. PyTorch takes part where the
accelerator is a GPU, as it is by default there. Ratios are times of the other over the time of axonic on it.
"""

import argparse
import os

import numpy as np
from harness import Ratio, Worker, figure, median, table, take_turns
from recurrent_speed import SHAPES, make_axonic, make_torch
from throughput import JOBS, Job, axonic, torch

LARGE = (
    Job((784, 1024, 1024, 10), 1024, 51_200, 5000, {}),
    Job((784, 2048, 2048, 2048, 10), 4096, 49_152, 600, {}),
)
CPU_FLOPS = 2e12  # more floating-point operations than this are not asked of the processors
RULES = ("momentum", "adam", "rprop", "lbfgs", "scaled_conjugate_gradient", "levenberg_marquardt")


def turns(contenders, rounds):
    """Seconds by contender."""
    workers = {name: Worker(*args, environment=environment) for name, (environment, *args) in contenders.items()}
    for worker in workers.values():
        worker()  # compiles
    results = take_turns(workers, rounds)
    for worker in workers.values():
        worker.close()
    return {name: [fit.seconds for fit in fits] for name, fits in results.items()}


def row(name, seconds, steps):
    own = seconds["device"]
    ratios = [str(Ratio.of(seconds[other], own)) if other in seconds else "-" for other in ("processors", "PyTorch")]
    return [name, figure(1e6 * median(own) / steps), *ratios]


def throughput(device, gpu, rounds):
    rows = []
    for job in (*JOBS, *LARGE):
        products = 6 * job.batch * job.steps * sum(a * b for a, b in zip(job.sizes[:-1], job.sizes[1:], strict=True))
        contenders = {"device": (device, axonic, job)}
        if gpu:
            contenders["PyTorch"] = ({}, torch, job, 1, "cuda")
        if products < CPU_FLOPS:
            contenders["processors"] = ({"JAX_PLATFORMS": "cpu"}, axonic, job)
        rows.append(row(f"{job.name}, {job.batch}", turns(contenders, rounds), job.steps))
        print(rows[-1], flush=True)
    return table(["network, batch", "microseconds a step", "processors / device", "PyTorch on it / axonic"], rows)


def recurrent(device, gpu, rounds, steps=50):
    rows = []
    for shape in SHAPES:
        contenders = {
            "device": (device, make_axonic, "lstm", shape, steps),
            "processors": ({"JAX_PLATFORMS": "cpu"}, make_axonic, "lstm", shape, steps),
        }
        if gpu:
            contenders["PyTorch"] = ({}, make_torch, "lstm", shape, steps, 1, "cuda")
        rows.append(row(f"lstm {shape}", turns(contenders, rounds), steps))
        print(rows[-1], flush=True)
    header = ["(time, batch, features, hidden)", "microseconds a step", "processors / device", "cuDNN / axonic"]
    return table(header, rows)


def make_rule(name):
    """A function that trains with the rule and returns the last training loss."""
    from sklearn.datasets import load_diabetes

    from axonic import FeedForwardRegressor, optimizers

    x, y = load_diabetes(return_X_y=True)
    rate = {"learning_rate": 0.01} if optimizers.get(name).has_rate else {}
    model = FeedForwardRegressor(
        (10,), activation="tanh", optimizer=name, epochs=30, early_stopping=False, ensemble=1, **rate
    )
    return lambda: float(model.fit(x, y).history_["train_loss"][-1])


def agreement(device):
    rows = []
    for name in RULES:
        workers = [Worker(make_rule, name, environment=env) for env in (device, {"JAX_PLATFORMS": "cpu"})]
        losses = [worker().value for worker in workers]
        for worker in workers:
            worker.close()
        rows.append([name, *(f"{loss:.7f}" for loss in losses), f"{abs(losses[0] / losses[1] - 1):.1e}"])
        print(rows[-1], flush=True)
    return table(["rule, 30 epochs on diabetes", "device", "processors", "relative difference"], rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="throughput,recurrent,agreement")
    parser.add_argument("--tf32", action="store_true")
    arguments = parser.parse_args()
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # several processes share the accelerator
    import jax

    found = jax.devices()[0]
    if found.platform == "cpu":
        print("JAX finds no accelerator here; there is nothing to compare")
        return
    device = {"JAX_DEFAULT_MATMUL_PRECISION": "tensorfloat32" if arguments.tf32 else "float32"}
    gpu = found.platform == "gpu"
    parts = arguments.only.split(",")
    tables = [throughput(device, gpu, arguments.rounds)] if "throughput" in parts else []
    tables += [recurrent(device, gpu, arguments.rounds)] if "recurrent" in parts else []
    tables += [agreement(device)] if "agreement" in parts else []
    print(f"{found.device_kind}, {os.cpu_count()} processors, jax {jax.__version__}, numpy {np.__version__}")
    print("\n\n".join(tables))


if __name__ == "__main__":
    main()
