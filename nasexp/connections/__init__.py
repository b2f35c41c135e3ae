"""Open handles to hosts: one primitive, a byte stream to a program there."""

from __future__ import annotations
