"""`python -m nasexp` is `nasexp`."""

from __future__ import annotations

import sys

from nasexp.cli.argparse_front import main

if __name__ == "__main__":
    sys.exit(main())
