"""The months that are billed, counted in the workspace's zone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nasexp.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


def check_month(text: str) -> str:
    """Return a month as it was written; raises UsageError for what is none."""
    if text and not _MONTH.fullmatch(text):
        raise UsageError(f"{text!r} is no month", hint="write it as 2026-10")
    return text


def month_of(moment: datetime, zone: tzinfo | None) -> str:
    """Return `2026-10`, the month that a moment lies in; a zone of None is this machine's."""
    local = moment.astimezone(zone)
    return f"{local.year:04d}-{local.month:02d}"
