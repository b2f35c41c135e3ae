"""collect: brings the rest home and checks every byte. Takes a Job, gives Collected."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nasexp import hookimpl
from nasexp.backup.checksums import sha256_of, write_manifest
from nasexp.backup.copying import copy_home, output_folder
from nasexp.backup.manifest import host_digests
from nasexp.config.values import DEFAULT
from nasexp.errors import StageError, TrainingFailed
from nasexp.values import Collected

if TYPE_CHECKING:
    from nasexp.backup.manifest import Manifest
    from nasexp.connections.protocol import Connection
    from nasexp.values import Job, Run, Workdir

# What the training wrote beside the code: newer than `ready`, which is made when the code is there.
_WRITTEN = r"""
cd "$1/work" || exit 9
find . -type f -newer ../ready ! -name params.json ! -name '*.pyc' | head -n 4
"""


@hookimpl(trylast=True)
def nasexp_collect(run: Run, connection: Connection, job: Job) -> Collected:
    """Copy what the last backup left, compare digests with the host, write the manifest."""
    run.paths.output.mkdir(exist_ok=True)
    done = copy_home(run, connection, job.workdir)
    digests: dict[bytes, str] = {}
    if done is None:
        _explain_missing(run, connection, job.workdir)
    elif done.snapshot.unstable:
        names = ", ".join(done.snapshot.unstable[:5])
        raise StageError(
            f"not all of the output could be copied: {names}",
            hint=f"it still lies on host '{connection.name}' in {job.workdir.path}",
        )
    else:
        digests = _compare(run, connection, job.workdir, done.manifest)
    write_manifest(run.paths, digests)
    size = sum(row.size_bytes for row in done.manifest.values()) if done else 0
    collected = Collected(run.paths.output, len(done.manifest) if done else 0, size)
    run.journal.write("collect.done", files=collected.files, size_bytes=collected.size_bytes)
    return collected


def _compare(
    run: Run, connection: Connection, workdir: Workdir, manifest: Manifest
) -> dict[bytes, str]:
    """Return the digests of the files here; raises StageError where the host has others."""
    paths = [path for path, row in manifest.items() if row.kind == b"f"]
    theirs = host_digests(connection, output_folder(run, workdir), paths)
    output = os.fsencode(run.paths.output)
    own = {path: sha256_of(os.path.join(output, path)) for path in paths}  # noqa: PTH118 - bytes
    wrong = [
        path for path, there in zip(paths, theirs, strict=True) if there not in ("", own[path])
    ]
    if wrong:
        names = ", ".join(os.fsdecode(path) for path in wrong[:5])
        raise StageError(
            f"the copy differs from the host's files: {names}",
            hint=f"the files still lie on host '{connection.name}' in {workdir.path}",
        )
    if "" in theirs:
        run.monitor.warn("the host has no sha256sum and no openssl: the copies were not compared")
    return {b"output/" + path: digest for path, digest in own.items()}


def _explain_missing(run: Run, connection: Connection, workdir: Workdir) -> None:
    """Refuse to go on when results may lie elsewhere; they would be lost with the workdir."""
    written = connection.run(_WRITTEN, workdir.path).text().split("\n")
    files = [name.removeprefix("./") for name in written if name]
    value = run.settings.tree.child("output")
    if not files and value is not None and value.origin == DEFAULT:
        run.monitor.note("the training wrote no files")
        return
    wrote = f"; it wrote {', '.join(files)}" if files else ""
    raise TrainingFailed(
        f"the training left no folder '{run.settings.core.output}'{wrote}",
        hint=f"set `output:` to the folder that it writes to; all still lies in {workdir.work} "
        f"on host '{connection.name}'",
    )
