"""What the benchmarks share: contenders in processes of their own that take turns, ratios of paired times, tables.

The machines this runs on are shared and their speed drifts within seconds, so no time stands alone: the contenders
alternate, each round gives one ratio, and the median of the ratios is reported with their range.
"""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class Timed(NamedTuple):
    """Seconds of a call, and what it returned."""

    seconds: float
    value: Any


def timed(function: Callable[..., Any], *args: Any) -> Timed:
    """Call a function and time it."""
    start = time.perf_counter()
    value = function(*args)
    return Timed(time.perf_counter() - start, value)


class Worker:
    """A contender in a process of its own, so that no thread pool or allocator of one disturbs another.

    Parameters
    ----------
    make : called once in the process with `args`; returns the function to time. It must be importable.
    environment : variables set before anything is imported there.
    """

    def __init__(self, make: Callable[..., Callable[[], Any]], *args: Any, environment: Mapping[str, str] = {}) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, args, dict(environment)), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()

    def __call__(self) -> Timed:
        """Run the function once, there."""
        self._pipe.send(True)
        return self._pipe.recv()

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()


def _serve(pipe: Any, make: Callable[..., Callable[[], Any]], args: tuple, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    function = make(*args)
    pipe.send(None)
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        pipe.send(timed(function))


def take_turns(contenders: Mapping[str, Callable[[], Timed]], rounds: int) -> dict[str, list[Timed]]:
    """Call the contenders one after the other, `rounds` times, every second round in reverse order."""
    results: dict[str, list[Timed]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(contenders)[:: 1 if number % 2 == 0 else -1]:
            results[name].append(contenders[name]())
    return results


def median(values: Sequence[float]) -> float:
    """The median."""
    return float(statistics.median(values))


class Ratio(NamedTuple):
    """The median of the ratios of the rounds, the lowest and the highest."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, numerators: Sequence[float], denominators: Sequence[float]) -> "Ratio":
        """Round by round."""
        ratios = [a / b for a, b in zip(numerators, denominators, strict=True)]
        return cls(median(ratios), min(ratios), max(ratios))

    def __str__(self) -> str:
        return f"{figure(self.middle)} ({figure(self.low)} to {figure(self.high)})"


def figure(value: float) -> str:
    """Two or three digits that count."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; the first column is text, the others are figures."""
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
