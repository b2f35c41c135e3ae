"""What the runs cost whom: read from their folders, summed by client, project and month."""

from __future__ import annotations
