"""`python -m axonic`."""

import sys

from axonic.cli import main

sys.exit(main())
