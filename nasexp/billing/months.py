"""The months that are billed, counted in the workspace's zone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nasexp.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from nasexp.config.values import Value
    from nasexp.config.workspace import Workspace

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


def workspace_zone(workspace: Workspace) -> tzinfo | None:
    """Return the zone that `timezone:` of nasexp.yaml names; None for this machine's.

    Raises:
        ConfigError: the file is no YAML, or there is no such zone.
    """
    if b"timezone" not in workspace.config_file.read_bytes():
        return None  # saves the import of yaml for most
    from nasexp.config.yamlfile import read_yaml  # noqa: PLC0415 - see above

    value = read_yaml(workspace.config_file, workspace.config_file.name).data.get("timezone")
    return _zone(value) if value and value.data not in ("", None) else None


def _zone(value: Value) -> tzinfo:
    import zoneinfo  # noqa: PLC0415 - only a named zone needs it

    try:
        return zoneinfo.ZoneInfo(value.data)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, AttributeError, OSError):
        raise ConfigError(
            f"{value.origin.exact}: timezone: found {value.plain()!r}, "
            "expected a zone such as Europe/Berlin",
            hint="where the system knows no zones at all, `pip install tzdata` brings them",
        ) from None
