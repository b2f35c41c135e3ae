"""The plain environment: what a login on the host has. Used when no other is named."""

from __future__ import annotations

from nasexp import hookimpl
from nasexp.values import Environment


@hookimpl(trylast=True)
def nasexp_environment() -> Environment:
    """Set up nothing."""
    return Environment("system")
