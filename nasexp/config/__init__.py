"""What a user may set: the schema, the layers with their origins, and the units."""

from __future__ import annotations
