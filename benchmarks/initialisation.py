"""Which initial weights suit rectified networks of which depth: test loss over the eight tables.

    python benchmarks/initialisation.py [--splits 3]

He et al.'s factor of 2 makes up for the half of the signal that a rectifier takes from the layer before. Standardised
inputs have lost nothing, so in a shallow network it starts too large: the random function it starts with is still seen
in the predictions at the end. In a deep one the factor is needed for the signal to arrive at all. The table shows the
geometric mean, over tables and splits, of each scheme's test loss against He's at the same depth.
"""

import argparse
import warnings

import numpy as np
from quality import score
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from tables import all_tables

from axonic import FeedForwardClassifier, FeedForwardRegressor

DEPTHS = (1, 2, 3, 4, 8)
SCHEMES = ("he_normal", "glorot_uniform", "lecun_normal")


def losses(x, y, task: str, split: int, depth: int) -> list[float]:
    """The test loss of each scheme on one split."""
    stratify = y if task == "classification" else None
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=split, stratify=stratify)
    estimator = FeedForwardClassifier if task == "classification" else FeedForwardRegressor
    fitted = (
        estimator(hidden_layer_sizes=(64,) * depth, init=init, random_state=split).fit(x_train, y_train)
        for init in SCHEMES
    )
    return [score(model, task, x_test, y_test) for model in fitted]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--splits", type=int, default=3)
    n_splits = parser.parse_args().splits
    warnings.simplefilter("ignore", ConvergenceWarning)
    tables = list(all_tables())
    print(f"| hidden layers | {' | '.join(SCHEMES)} |\n|---|{'---|' * len(SCHEMES)}")
    for depth in DEPTHS:
        means = [
            np.mean([losses(x, y, task, split, depth) for split in range(n_splits)], axis=0) for _, x, y, task in tables
        ]
        ratios = np.exp(np.mean(np.log(means) - np.log([mean[0] for mean in means])[:, None], axis=0))
        print(f"| {depth} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |", flush=True)


if __name__ == "__main__":
    main()
