"""Training throughput on an accelerator: `python device.py [--rounds 5]`, wherever JAX finds one.

The networks of `throughput.py`, and larger ones, fit to fit, on the accelerator and on the processors of the same
machine in turn. The table holds the time on the processors over the time on the accelerator.
"""

import argparse

from harness import Ratio, Worker, figure, median, table, take_turns
from throughput import JOBS, Job, axonic

LARGE = (
    Job((784, 1024, 1024, 10), 1024, 51_200, 500, {}),
    Job((784, 2048, 2048, 2048, 10), 4096, 49_152, 120, {}),
)


def main():
    import jax

    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    device = jax.devices()[0]
    if device.platform == "cpu":
        print("JAX finds no accelerator here; there is nothing to compare")
        return
    rows = []
    for job in (*JOBS, *LARGE):
        workers = {"device": Worker(axonic, job), "cpu": Worker(axonic, job, environment={"JAX_PLATFORMS": "cpu"})}
        for worker in workers.values():
            worker()  # compiles
        times = {name: [t.seconds for t in timed] for name, timed in take_turns(workers, rounds).items()}
        for worker in workers.values():
            worker.close()
        step = median(times["device"]) / job.steps * 1e6
        rows.append([job.name, str(job.batch), f"{figure(step)}", str(Ratio.of(times["cpu"], times["device"]))])
    print(f"{device.device_kind}, against {jax.devices('cpu')[0].device_kind}")
    print(table(["network", "batch", "microseconds a step", "processors over device"], rows))


if __name__ == "__main__":
    main()
