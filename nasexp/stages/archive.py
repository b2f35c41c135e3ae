"""archive: packs `bin/` into the run's folder. Takes a run, gives an Archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasexp import hookimpl
from nasexp.archives.pack import digest_of, pack
from nasexp.values import Archive

if TYPE_CHECKING:
    from nasexp.values import Run

_SHOWN = 5


@hookimpl(trylast=True)
def nasexp_archive(run: Run) -> Archive:
    """Pack the code, or adopt the archive that is there and still has its digest."""
    path = run.paths.archive
    packed = run.journal.last("archive.packed")
    if packed and path.is_file() and digest_of(path) == packed["sha256"]:
        return Archive(path, packed["sha256"], packed["size_bytes"])
    result = pack(run.project.code, path)
    left_out = [str(item) for item in result.left_out]
    run.journal.write(
        "archive.packed",
        sha256=result.sha256,
        size_bytes=result.size_bytes,
        packed_bytes=result.packed_bytes,
        left_out=left_out,
    )
    for line in left_out[:_SHOWN]:
        run.monitor.note(f"left out {line}")
    if len(left_out) > _SHOWN:
        run.monitor.note(f"left out {len(left_out) - _SHOWN} more, all named in events.jsonl")
    return Archive(path, result.sha256, result.size_bytes)
