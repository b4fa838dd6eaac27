"""The command, `axonic` or `python -m axonic`."""

import os
import sys

# polars keeps memory that it has freed, a tenth of the peak on a large table; it reads this when it is loaded
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:100,muzzy_decay_ms:0")


def main() -> int:
    """Run `axonic.cli.main`, with standard streams that are open."""
    _open_streams()
    from axonic.cli import main as run

    return run()


def _open_streams() -> None:
    """Let each standard stream that is closed, as in a daemon or after `>&-`, lead nowhere; a file opened later would
    otherwise take its descriptor, and with it what is written to it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8", errors="replace"))  # noqa: SIM115


if __name__ == "__main__":
    sys.exit(main())
