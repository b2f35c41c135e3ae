"""How a job is started: by the agent on a host."""

from __future__ import annotations
