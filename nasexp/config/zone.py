"""The zone that times are shown in, read without the rest of the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from nasexp.config.values import Value
    from nasexp.config.workspace import Workspace

MINUTES, SECONDS = "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S %Z"


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


def shown_time(moment: datetime, zone: tzinfo | None, form: str = MINUTES) -> str:
    """Return a moment as a person in that zone reads it; a zone of None is this machine's."""
    try:
        return moment.astimezone(zone).strftime(form)
    except (OverflowError, ValueError):  # a damaged run.info may tell of the year 9999
        return moment.strftime(form)


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
