"""collect: brings the rest home and checks every byte. Takes a Job, gives Collected."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nasexp import hookimpl
from nasexp.archives.names import shown
from nasexp.backup.checksums import sha256_of, write_manifest
from nasexp.backup.copying import copy_home, output_folder
from nasexp.backup.durable import sync_file_system
from nasexp.config.values import DEFAULT
from nasexp.connections.bulk.link import Link
from nasexp.connections.bulk.tools import host_digests
from nasexp.errors import StageError, TrainingFailed
from nasexp.values import Collected, Why

if TYPE_CHECKING:
    from nasexp.backup.copying import Pass
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
    if before := run.journal.last("collect.done"):
        return Collected(run.paths.output, before["files"], before["size_bytes"])
    run.paths.output.mkdir(exist_ok=True)
    done = copy_home(run, connection, job.workdir)
    digests: dict[bytes, str] = {}
    if done is None:
        _explain_missing(run, connection, job.workdir)
    else:
        done, digests = _checked(run, connection, job.workdir, done)
    write_manifest(run.paths, digests)
    sync_file_system(run.paths.output)
    if done:
        done.copied.forget()
    size = sum(row.size_bytes for row in done.manifest.values()) if done else 0
    collected = Collected(run.paths.output, len(done.manifest) if done else 0, size)
    run.journal.write("collect.done", files=collected.files, size_bytes=collected.size_bytes)
    return collected


def _checked(
    run: Run, connection: Connection, workdir: Workdir, done: Pass
) -> tuple[Pass, dict[bytes, str]]:
    """Return the pass that all is home with, and the digests; what differs is fetched once more."""
    _refuse_gaps(connection, workdir, done)
    digests, wrong = _compare(run, connection, workdir, done)
    if wrong:
        # Written anew between two passes, with the same size and time as before.
        for path in wrong:
            os.unlink(os.fsencode(run.paths.output) + b"/" + path)  # noqa: PTH108 - bytes
        done = copy_home(run, connection, workdir) or done
        _refuse_gaps(connection, workdir, done)
        digests, wrong = _compare(run, connection, workdir, done)
    if wrong:
        names = ", ".join(shown(os.fsdecode(path)) for path in wrong[:5])
        raise StageError(
            f"the copy differs from the host's files: {names}",
            hint=f"the files still lie on host '{connection.name}' in {workdir.path}",
        )
    return done, digests


def _refuse_gaps(connection: Connection, workdir: Workdir, done: Pass) -> None:
    """Refuse to go on when something of the output is not home; it must not be removed there."""
    hint = f"it still lies on host '{connection.name}' in {workdir.path}"
    if done.snapshot.unstable:
        names = ", ".join(done.snapshot.unstable[:5])
        raise StageError(f"not all of the output could be copied: {names}", hint=hint)
    if done.unreadable:
        names = ", ".join(done.unreadable[:5])
        raise StageError(
            f"not all of the output can be read on host '{connection.name}': {names}", hint=hint
        )


def _compare(
    run: Run, connection: Connection, workdir: Workdir, done: Pass
) -> tuple[dict[bytes, str], list[bytes]]:
    """Return the digests of the files here, and the files of which the host has others."""
    link = Link(connection, run.monitor)
    sizes = {path: row.size_bytes for path, row in done.manifest.items() if row.kind == b"f"}
    folder = output_folder(run, workdir)
    theirs = link.keep_trying(lambda: host_digests(connection, folder, sizes)) if sizes else {}
    output = os.fsencode(run.paths.output)
    # Taken as the bytes came, where nobody has touched the file since.
    own = {path: done.copied.digest(path) or sha256_of(output + b"/" + path) for path in sizes}
    wrong: list[bytes] = []
    if theirs is None:
        run.monitor.warn("the host has no sha256sum and no openssl: the copies were not compared")
    else:
        wrong = [path for path in sizes if theirs.get(path) != own[path]]
    return {b"output/" + path: digest for path, digest in own.items()}, wrong


def _failed(run: Run) -> bool:
    """Whether the training itself failed: the run has its reason then."""
    ended = run.journal.last("training.ended") or {}
    return (ended.get("why"), ended.get("exit_code")) != (Why.EXIT.value, 0)


def _explain_missing(run: Run, connection: Connection, workdir: Workdir) -> None:
    """Refuse to go on when results may lie elsewhere; they would be lost with the workdir."""
    if any(run.paths.output.iterdir()):
        run.monitor.warn("the output folder is gone from the host: what backups brought stays here")
        return
    written = connection.run(_WRITTEN, workdir.path).text().split("\n")
    files = [name.removeprefix("./") for name in written if name]
    value = run.settings.tree.child("output")
    unnamed = value is not None and value.origin == DEFAULT
    if not files and (unnamed or _failed(run)):
        run.monitor.note("the training wrote no files")
        return
    wrote = f"; it wrote {', '.join(files)}" if files else ""
    raise TrainingFailed(
        f"the training left no folder '{run.settings.core.output}'{wrote}",
        hint=f"set `output:` to the folder that it writes to; all still lies in {workdir.work} "
        f"on host '{connection.name}'",
    )
