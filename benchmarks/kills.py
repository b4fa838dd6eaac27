"""Kill `axonic fit` and `axonic resume` at random moments and resume what is left: how many runs end with the bits of
an undisturbed one (all of them; anything else is a defect).

    python kills.py --kills 30

The runs are those of `tests/test_resume.py`: the whole recipe, a choice among rules, and a network by hand of many
tapes, with checkpoints as often as possible, every tenth of a second, and as often as they are. Every second run that
was still under way is killed once more while it is resumed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import test_resume


def main() -> None:
    """Print a line of counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "references"
        test_resume.make_references(folder)
        seen = test_resume.kills(folder, Path(place), arguments.kills, arguments.seed)
    counts = ", ".join(f"{count} {kind}" for kind, count in seen.items())
    print(f"{arguments.kills} kills, all as undisturbed: {counts} ({time.perf_counter() - begun:.0f} s)")


if __name__ == "__main__":
    main()
