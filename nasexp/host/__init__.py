"""What runs on a host: the agent, a POSIX sh program, and how its state is read."""

from __future__ import annotations
