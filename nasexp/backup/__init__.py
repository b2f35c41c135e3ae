"""Copying the output folder home while it is being written."""

from __future__ import annotations
