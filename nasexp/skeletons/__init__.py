"""What `init` and `new` begin with: files that run at once, copied as they are."""

from __future__ import annotations
