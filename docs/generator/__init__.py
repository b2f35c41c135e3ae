"""Makes the pages of docs/reference/ from the code; `./inv dev.docs` runs it."""

from __future__ import annotations
