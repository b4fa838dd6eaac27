"""Where the time goes."""

import time
from collections.abc import Callable
from typing import Any


class Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, phase: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function and book its time under `phase`."""
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start
