"""The seven stages, each a default plugin: what it does, a project may replace."""

from __future__ import annotations
