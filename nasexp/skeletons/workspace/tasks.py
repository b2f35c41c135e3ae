"""The tasks of this workspace: `invoke --list` shows them. Add your own to `namespace`."""

from __future__ import annotations

from nasexp.cli.invoke_front import collection

namespace = collection()
