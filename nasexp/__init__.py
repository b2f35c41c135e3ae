"""nasexp runs machine-learning experiments from a NAS on GPU servers that you own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pluggy import HookimplMarker

    hookimpl: HookimplMarker

__version__ = "0.1.0"
__all__ = ["__version__", "hookimpl"]


def __getattr__(name: str) -> Any:
    # pluggy takes longer to import than `nasexp runs` takes to run: only who writes
    # `from nasexp import hookimpl`, a plugin, pays for it.
    if name == "hookimpl":
        from pluggy import HookimplMarker  # noqa: PLC0415 - see above

        return HookimplMarker("nasexp")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
