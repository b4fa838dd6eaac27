"""Progress of a fit, printed."""

from typing import Any

import numpy as np

from axonic import recipe as recipes


def printer(verbose: Any) -> recipes.Watcher | None:
    """What prints progress, if it is to be."""
    return _Printer() if verbose else None


class _Printer(recipes.Watcher):
    """Progress as plain lines."""

    def stage(self, stage):
        print(f"{stage['stage']}: {stage['decision']} ({stage['reason']})")

    def progress(self, network, n_networks, history, n_epochs, stop):
        if len(history):
            train, valid = history[-1][:2]
            which = f"network {network + 1} of {n_networks}, " if n_networks > 1 else ""
            print(
                f"{which}epoch {n_epochs}: train_loss {train:.4f}"
                + ("" if np.isnan(valid) else f" valid_loss {valid:.4f}")
            )
