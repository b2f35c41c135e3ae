"""Comes over from the folder of the bash scripts: its settings, its code, its results."""

from __future__ import annotations
