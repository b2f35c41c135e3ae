"""A run on the NAS: its number, its folder, its journal and its record."""

from __future__ import annotations
