"""The command `hosts`: every machine of the configuration, and how it is right now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from nasexp.cli.context import CommandContext
from nasexp.cli.definition import Arg, command

if TYPE_CHECKING:
    from nasexp.host.survey import Gpu
    from nasexp.inventory import Sight


@command
def hosts(
    context: CommandContext,
    as_json: Annotated[bool, Arg("print one JSON document", flag="json")] = False,
) -> None:
    """List the hosts: reachable or not and since when, GPUs, busy or free, uptime.

    All are asked at the same time, and none for longer than a minute.
    """
    from nasexp.cli.projects import host_names, host_of  # noqa: PLC0415 - `--list` needs none
    from nasexp.inventory import look_at  # noqa: PLC0415 - as above

    found = [host_of(context.workspace, name) for name in host_names(context.workspace)]
    sights = look_at(context.workspace, found)
    if as_json:
        context.print_json([as_document(sight) for sight in sights])
        return
    headers = ["host", "address", "state", "since", "GPUs", "uptime", "runs"]
    context.print_table(headers, [_row(sight) for sight in sights])
    for sight in sights:
        if sight.trouble:
            context.print(f"{sight.host.name}: {sight.trouble}")


def as_document(sight: Sight) -> dict[str, Any]:
    """Return one element of `hosts --json`.

    `state` is free, busy or unreachable; `since` is the first time in a row that it was seen to
    answer, or not to (ISO 8601, UTC); `trouble` is why it cannot be used. What an unreachable
    host cannot tell is null, its `gpus` an empty list.
    """
    seen = sight.survey
    return {
        "host": sight.host.name,
        "address": sight.host.settings.address,
        "state": sight.state,
        "since": sight.since.isoformat(),
        "trouble": sight.trouble,
        "uptime_seconds": seen.uptime_seconds if seen else None,
        "free_bytes": seen.free_bytes if seen else None,
        "live_runs": seen.live_runs if seen else None,
        "gpus": [_gpu(gpu) for gpu in seen.gpus] if seen else [],
    }


def _gpu(gpu: Gpu) -> dict[str, Any]:
    return {
        "name": gpu.name,
        "memory_used_mib": gpu.memory_used_mib,
        "memory_total_mib": gpu.memory_total_mib,
        "utilization_percent": gpu.utilization_percent,
        "driver": gpu.driver,
    }


def _row(sight: Sight) -> list[str]:
    from nasexp.config.units import clock  # noqa: PLC0415 - as above

    seen = sight.survey
    since = sight.since.astimezone().strftime("%Y-%m-%d %H:%M")
    first = [sight.host.name, sight.host.settings.address or "this machine", sight.state, since]
    if seen is None:
        return [*first, "", "", ""]
    gpus = ", ".join(f"{gpu.name} {gpu.utilization_percent} %" for gpu in seen.gpus) or "none"
    uptime = "" if seen.uptime_seconds is None else clock(seen.uptime_seconds)
    return [*first, gpus, uptime, str(seen.live_runs)]
