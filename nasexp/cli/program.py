"""How a person calls this program: what a line that begins with `next:` may say."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def callable_from_anywhere(program: str) -> str:
    """Return a program of ours as it can be called from any folder, quoted for the shell.

    Its name will do where the shell finds it by that; else its path is needed, or that of ./inv.
    """
    if program == "invoke" and os.environ.get("NASEXP_INV"):
        return shlex.quote(os.environ["NASEXP_INV"])
    own, found = Path(sys.executable).parent / program, shutil.which(program)
    if found and not (own.exists() and not own.samefile(found)):
        return program
    return shlex.join([str(own)] if own.exists() else [sys.executable, "-m", program])
