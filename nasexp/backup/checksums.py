"""`manifest.sha256`: what `sha256sum -c` needs to check a run's folder without nasexp."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from nasexp.runs.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nasexp.runs.paths import RunPaths

BLOCK_BYTES = 1 << 20


def sha256_of(path: bytes) -> str:
    """Return the digest of a file, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - the name is bytes
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(paths: RunPaths, known: dict[bytes, str]) -> int:
    """Write the manifest of all that stays as it is; return the number of its files.

    Args:
        paths: the run's folder.
        known: digests that were just computed, by path below the folder.
    """
    root = os.fsencode(paths.folder)
    names = sorted(name for name in _files(root) if not _changes_later(name))
    lines = [_line(known.get(name) or sha256_of(os.path.join(root, name)), name) for name in names]  # noqa: PTH118
    write_whole(paths.manifest, b"".join(lines))
    return len(names)


def _files(root: bytes) -> Iterator[bytes]:
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - bytes
            if os.path.isfile(path) and not os.path.islink(path):  # noqa: PTH113,PTH114
                yield os.path.relpath(path, root)


def _changes_later(name: bytes) -> bool:
    """Whether a file lives on after the manifest: the journal, the record, our hidden ones."""
    return name.startswith(b".") or name in (b"events.jsonl", b"run.info", b"manifest.sha256")


def _line(digest: str, name: bytes) -> bytes:
    # As sha256sum does it: a name with a line end or backslash is escaped, and marked in front.
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"\\" if escaped != name else b""
    return mark + digest.encode() + b"  " + escaped + b"\n"
