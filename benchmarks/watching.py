"""What watching costs: `python watching.py [--rounds 15]`.

The same fit with `monitor=True` and `monitor=False`, alternating: 20-64-64-3 on 5,000 rows, batches of 32, 60 epochs at
a rate given by hand. The median of the ratios is asked to be at most 1.05; both have been compiled before.
"""

import argparse
import time
import warnings

import numpy as np

from axonic import FeedForwardClassifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")  # targets drawn at random cannot be learned
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5000, 20)).astype(np.float32), rng.integers(0, 3, 5000)
    fixed = {"batch_size": 32, "epochs": 60, "learning_rate": 0.01, "ensemble": 1, "regularization": None}
    models = {monitor: FeedForwardClassifier((64, 64), monitor=monitor, **fixed).fit(x, y) for monitor in (True, False)}
    ratios = []
    for _ in range(rounds):
        seconds = {}
        for monitor, model in models.items():
            begun = time.perf_counter()
            model.fit(x, y)
            seconds[monitor] = time.perf_counter() - begun
        ratios.append(seconds[True] / seconds[False])
    print(f"watched over unwatched: {np.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
