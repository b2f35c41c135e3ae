"""Archives of a project's code: what goes in, how it is packed, how it is safely unpacked."""

from __future__ import annotations
