"""Environments that come with nasexp, each a plugin."""

from __future__ import annotations
