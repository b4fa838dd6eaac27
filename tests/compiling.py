"""How tests that start processes have them compile: quickly, as the tests themselves are compiled (`Makefile`)."""

from axonic.programs import options_for


def _flag(name, value):
    return f"--{name}={str(value).lower() if isinstance(value, bool) else value}"


QUICKLY = {"XLA_FLAGS": " ".join(_flag(*option) for option in options_for("cpu", quickly=True).items())}
"""For the environment of a process. Only options that the installed XLA knows: it dies of those that it does not."""
