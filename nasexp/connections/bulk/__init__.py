"""Bulk copies over any connection: they go on where they were cut, and keep to a pace."""

from __future__ import annotations
