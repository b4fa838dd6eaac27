"""How far the orders of a race's rules agree between seeds, by where its finish lies.

    python benchmarks/finishes.py [--tables diabetes,digits,...] [--seeds 0,7,20]

A race of every rule as `axonic compare` runs it (three seeds from the given one on) is judged afterwards: with the
finish so far above the lowest loss, and by the losses when time is up. Take it on an idle machine: it measures time.
"""

import argparse
import tempfile
from pathlib import Path

import harness
from tables import load

from axonic import race
from axonic.runs import compare_rules
from axonic.settings import Settings

DISTANCES = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2)


class Laps(race.Spectator):
    """Keeps every lap."""

    def __init__(self) -> None:
        self.laps: dict[str, list[race.Lap]] = {}

    def lap(self, name: str, seed: int, lap: race.Lap) -> None:
        """Keep it."""
        self.laps.setdefault(name, []).append(lap)


def correlations(laps: dict[str, list[race.Lap]]) -> list[float]:
    """The rank correlation between seeds for each of the distances, and by the losses alone."""
    n_seeds = min(map(len, laps.values()))
    seeds = [{name: race.mean_curve(each[seed].curves) for name, each in laps.items()} for seed in range(n_seeds)]
    found = [race.rank_correlation([race.finish(curves, close)[1] for curves in seeds]) for close in DISTANCES]
    by_loss = [sorted(curves, key=lambda name: curves[name].best) for curves in seeds]
    return [*found, race.rank_correlation(by_loss)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tables", default="diabetes,digits,wine,cars,breast_cancer,seattle_weather")
    parser.add_argument("--seeds", default="0,7,20")
    options = parser.parse_args()
    rows = []
    for name in options.tables.split(","):
        x, y, task = load(name)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.csv"
            x.assign(target=y).to_csv(path, index=False)
            for seed in map(int, options.seeds.split(",")):
                spectator = Laps()
                compare_rules(path, "target", task=task, settings=Settings(seed=seed, ensemble=1), spectator=spectator)
                rows.append([f"{name}, {seed}", *(f"{value:.2f}" for value in correlations(spectator.laps))])
                print(" | ".join(rows[-1]), flush=True)
    print(harness.table(["table, seed", *(f"{close:.0%}" for close in DISTANCES), "by the loss"], rows))


if __name__ == "__main__":
    main()
