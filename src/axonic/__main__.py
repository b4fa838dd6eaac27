"""The command, `axonic` or `python -m axonic`."""

import os
import sys

# polars keeps memory that it has freed, a tenth of the peak on a large table; it reads this when it is loaded
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:100,muzzy_decay_ms:0")

from axonic.cli import main

if __name__ == "__main__":
    sys.exit(main())
