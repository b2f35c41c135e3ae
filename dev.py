"""The contributors' tasks `dev.test`, `lint`, `fix`, `docs`; each installs first what it needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.exceptions import Exit
from invoke.tasks import task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from invoke.context import Context

REPOSITORY = Path(__file__).resolve().parent
SHELL_FOLDERS = ("nasexp", "tests", "benchmarks", "projects")
MINIMUM_COVERAGE = 90

# program -> the Debian packages that have it
CORE_PROGRAMS = {
    "busybox": "busybox",
    "fish": "fish",
    "git": "git",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "nft": "nftables",
    "ps": "procps",
    "rsync": "rsync",
    "setsid": "util-linux",
    "ssh": "openssh-client",
    "sshd": "openssh-server",
    "strace": "strace",
    "sudo": "sudo",
    "tcsh": "tcsh",
    "zsh": "zsh",
}
HEAVY_PROGRAMS = {"cc": "gcc libc6-dev"}
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")  # where servers are, and a plain user's PATH is not
REFERENCE = (sys.executable, "-m", "docs.generator")


@task(
    name="test",
    auto_shortflags=False,  # `-h` would be --heavy
    help={
        "heavy": "run only the heavy tier",
        "paths": "comma-joined files or folders, from the repository's folder (default: tests)",
        "k": "only tests whose names match this pytest expression",
        "coverage": "measure coverage; a part of the tests never does",
    },
)
def run_tests(
    _c: Context, *, heavy: bool = False, paths: str = "", k: str = "", coverage: bool = True
) -> None:
    """Run the tests: the core tier with branch coverage, or the heavy one."""
    need_python("rich", "test")
    need_programs(CORE_PROGRAMS | (HEAVY_PROGRAMS if heavy else {}))
    command = ["-m", "pytest", *(paths.split(",") if paths else ["tests"])]
    command += ["-m", "heavy" if heavy else "not heavy"]
    if k:
        command += ["-k", k]
    elif coverage and not heavy and not paths:
        command += ["--cov=nasexp", "--cov-branch", f"--cov-fail-under={MINIMUM_COVERAGE}"]
    if root_on_debian():
        command.append("--lab-required")
    finish([call(sys.executable, *command)])


@task
def lint(_c: Context) -> None:
    """Check format, rules, types, the shell scripts and the made pages; change nothing."""
    need_python("lint")
    shellcheck = str(Path(sys.executable).with_name("shellcheck"))
    finish(
        [
            call(sys.executable, "-m", "ruff", "format", "--check", "."),
            call(sys.executable, "-m", "ruff", "check", "."),
            call(sys.executable, "-m", "mypy"),
            call(shellcheck, *shell_scripts()),
            call(*REFERENCE, "--check"),
        ]
    )


@task
def fix(_c: Context) -> None:
    """Repair what ruff can: rules first, then format."""
    need_python("lint")
    finish(
        [
            call(sys.executable, "-m", "ruff", "check", "--fix", "."),
            call(sys.executable, "-m", "ruff", "format", "."),
        ]
    )


@task(help={"check": "change nothing, fail when a page is stale"}, auto_shortflags=False)
def docs(_c: Context, *, check: bool = False) -> None:
    """Make the pages of docs/reference/ from the code."""
    finish([call(*REFERENCE, *(["--check"] if check else []))])


def call(*command: str) -> int:
    """Run a program in the repository's folder, on this terminal; return its exit code.

    What says where a user's workspace is, or sets its configuration, does not reach it.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name == "NASEXP_PYTHON" or not name.startswith("NASEXP_")
    }
    print("$", Path(command[0]).name, *command[1:], flush=True)
    return subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode


def finish(codes: list[int]) -> None:
    """End with the first failure's exit code, if there was one."""
    failed = [code for code in codes if code]
    if failed:
        raise Exit(code=failed[0])


def shell_scripts() -> list[str]:
    """Return every shell script that is ours, named from the repository's folder."""
    found = [REPOSITORY / "inv", REPOSITORY / ".ci" / "run"]
    for folder in SHELL_FOLDERS:
        found += sorted((REPOSITORY / folder).rglob("*.sh"))
    names = [path.relative_to(REPOSITORY) for path in found]
    return [str(name) for name in names if "results" not in name.parts]


def root_on_debian() -> bool:
    """Return whether Debian packages can be installed, and so no lab test has an excuse."""
    return os.geteuid() == 0 and Path("/etc/debian_version").exists()


def need_python(*extras: str) -> None:
    """Install what is missing of these extras into the environment that this runs in."""
    missing = [wanted for wanted in requirements(extras) if not satisfied(wanted)]
    if not missing:
        return
    if sys.prefix == sys.base_prefix:
        raise Exit(f"missing: {', '.join(missing)}; start with ./inv, which has its own Python", 2)
    print("installing", *missing, flush=True)
    finish([call(sys.executable, "-m", "pip", "install", "--quiet", *missing)])


def requirements(extras: tuple[str, ...]) -> Iterator[str]:
    """Read the requirements of these extras from pyproject.toml."""
    import tomllib  # noqa: PLC0415 - `inv --list` needs none of this

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for extra in extras:
        yield from project["optional-dependencies"][extra]


def satisfied(requirement: str) -> bool:
    """Return whether a requirement (NAME, or NAME with bounds by >= and <) is installed."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - as above

    name, *bounds = re.split(r"(>=|<)", requirement.replace(",", ""))
    try:
        found = numbers(version(name.strip()))
    except PackageNotFoundError:
        return False
    pairs = zip(bounds[::2], bounds[1::2], strict=True)
    return all((found >= numbers(bound)) == (sign == ">=") for sign, bound in pairs)


def numbers(version: str) -> list[int]:
    """Return the release numbers of a version, for comparing."""
    return [int(part) for part in re.findall(r"\d+", version)]


def need_programs(packages: dict[str, str]) -> None:
    """Install the Debian packages of missing programs, or name what cannot be had here."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
    missing = {program for program in packages if not shutil.which(program, path=places)}
    if not missing:
        return
    if not root_on_debian():
        print("missing, their tests will be skipped:", *sorted(missing))
        return
    wanted = sorted(name for program in missing for name in packages[program].split())
    print("installing the Debian packages", *wanted, flush=True)
    call("apt-get", "update", "-qq")
    finish([call("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-yqq", *wanted)])
