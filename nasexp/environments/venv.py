"""The `venv` environment: made on the host once for each requirements file, then reused.

environment: {venv: requirements.txt}
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from nasexp import hookimpl
from nasexp.config.settings import ConfigSection
from nasexp.errors import StageError
from nasexp.values import Environment

if TYPE_CHECKING:
    from nasexp.connections.protocol import Answer, Connection
    from nasexp.values import Run, Workdir

SECTION = "environment.venv"
INSTALL_SECONDS = 3600.0
_TAIL_LINES = 15
_MISSING = 44

# What the environment is made from: the Python on the host and the requirements file.
_IDENTIFY = """
cd "$1" || exit 9
command -v python3 >/dev/null 2>&1 || { echo 'python3 is not on its PATH' >&2; exit 3; }
[ -f "$2" ] || exit 44
python3 -c 'import sys; print(sys.version, sys.base_prefix)' && cat "$2"
"""

_FIND = 'test -f "$1/ready"'

# Whoever makes the folder makes the environment; others wait for `ready`. A maker that is gone
# (its pid is dead) left an unfinished folder, which is made again.
_MAKE = """
umask 022
mkdir -p "${1%/*}"
until mkdir "$1.lock" 2>/dev/null; do
  maker=$(cat "$1.lock/pid" 2>/dev/null)
  if [ -n "$maker" ] && ! kill -0 "$maker" 2>/dev/null; then rm -rf "$1.lock"; else sleep 1; fi
done
echo $$ >"$1.lock/pid"
trap 'rm -rf "$1.lock"' EXIT
[ -f "$1/ready" ] && exit 0
rm -rf "$1"
cd "$2" && python3 -m venv "$1" >&2 &&
  "$1/bin/python" -m pip install --disable-pip-version-check -r "$3" >&2 &&
  : >"$1/ready"
"""


@hookimpl
def nasexp_config_section() -> ConfigSection:
    """Own `environment.venv`: a requirements file, relative to `bin/`."""
    return ConfigSection(SECTION, str)


@hookimpl(trylast=True)
def nasexp_environment(run: Run, connection: Connection, workdir: Workdir) -> Environment | None:
    """Make or find the environment of the project's requirements file on the host."""
    requirements = run.settings.get(SECTION)
    if not requirements:
        return None
    answer = connection.run(_IDENTIFY, workdir.work, requirements)
    if answer.status == _MISSING:
        raise StageError(
            f"environment.venv: bin/{requirements} is missing",
            hint="it names the packages that the training needs; the path is relative to bin/",
        )
    if answer.status:
        raise _failure(connection, requirements, answer)
    digest = hashlib.sha256(answer.output).hexdigest()[:16]
    folder = f"{workdir.path.rpartition('/runs/')[0]}/envs/venv-{digest}"
    if connection.run(_FIND, folder).status:
        _make(run, connection, workdir, requirements, folder)
    variables = {"VIRTUAL_ENV": folder}
    return Environment(f"venv {digest}", variables, path=(f"{folder}/bin",))


def _make(
    run: Run, connection: Connection, workdir: Workdir, requirements: str, folder: str
) -> None:
    run.monitor.note(
        f"making the environment of {requirements} on {connection.name}; this takes a minute, once"
    )
    answer = connection.run(
        _MAKE, folder, workdir.work, requirements, deadline_seconds=INSTALL_SECONDS
    )
    if answer.status:
        raise _failure(connection, requirements, answer)


def _failure(connection: Connection, requirements: str, answer: Answer) -> StageError:
    said = answer.errors.decode(errors="replace").strip().splitlines()[-_TAIL_LINES:]
    return StageError(
        f"the environment of {requirements} cannot be made on host '{connection.name}':\n"
        + "\n".join(f"  {line}" for line in said),
        hint="python3 with venv and pip is needed there (Debian: apt-get install python3-venv)",
    )
