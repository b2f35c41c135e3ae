"""The tasks of this workspace: nasexp's own, and `dev.*` for those who work on nasexp itself."""

from __future__ import annotations

from invoke.collection import Collection

import dev
from nasexp.cli.invoke_front import collection

namespace = collection()
namespace.add_collection(Collection.from_module(dev))
