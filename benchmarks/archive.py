"""Packing bin/ by nasexp.archives.pack, a whole process each time, against `tar -zcf`.

Two trees of 300 MB: sources in many small files, and random bytes that cannot shrink. nasexp's
time includes the start of Python, the digest, and the wait until the archive is on the disk,
which tar does not wait for. Run it from the top of the repository:

    python -m benchmarks.archive
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from pathlib import Path

from benchmarks._compare import Case, Measured, compare, exit_code, parser

SOURCE_FILES = 17_600
SOURCE_BYTES = 300_000_000
RANDOM_FILES = 300
RANDOM_BYTES = 300_000_000

PACK = (
    "import sys; from pathlib import Path; from nasexp.archives.pack import pack; "
    "pack(Path(sys.argv[1]), Path(sys.argv[2]))"
)

STATEMENTS = (
    "{a} = {b}.{c}({d}, axis={n})",
    "if {a} is None or len({b}) > {n}:",
    "    return {a}.{b}({c}[{n}], {d})",
    "for {a} in range({n}, {b}.{c}):",
    "    self.{a} = {b}.get('{c}', {n})",
    "raise ValueError(f'{a} must be at least {n}, not {{{b}}}')",
    "# the {a} of a {b} is not the {c} of its {d}",
    "assert {a}.shape == ({n}, {b}.{c}), '{d}'",
    "def {a}_{b}(self, {c}: int = {n}) -> {d}:",
    "    with {a}.{b}('{c}') as {d}:",
)


def main() -> int:
    arguments = parser(__doc__, rounds=3).parse_args()
    with tempfile.TemporaryDirectory(prefix="nasexp-benchmark-") as name:
        folder = Path(name)
        make_sources(folder / "sources" / "bin")
        make_random(folder / "random" / "bin")
        results = [
            *measure(
                folder / "sources", "300 MB of sources in 17,600 files", 0.3, arguments.rounds
            ),
            *measure(folder / "random", "300 MB of random bytes", 0.15, arguments.rounds),
        ]
    return exit_code(results, check=arguments.check)


def measure(folder: Path, title: str, bar: float, rounds: int) -> list[Measured]:
    """Pack one tree both ways; both read it from memory after the first round."""
    ours, theirs = folder / "ours.tar.gz", folder / "tar.tar.gz"
    cases = [
        Case(
            "tar -zcf",
            ["tar", "-C", folder, "-zcf", theirs, "bin"],
            size=lambda: theirs.stat().st_size,
        ),
        Case(
            "nasexp pack",
            [sys.executable, "-c", PACK, folder / "bin", ours],
            bar,
            size=lambda: ours.stat().st_size,
        ),
    ]
    return compare(title, "tar -zcf", cases, rounds)


def make_sources(folder: Path) -> None:
    """Write text that looks like sources and shrinks like them, the same each time."""
    rng = random.Random(7)
    functions = [_function(rng) for _ in range(6000)]
    size_bytes = SOURCE_BYTES // SOURCE_FILES
    for number in range(SOURCE_FILES):
        parent = folder / f"package_{number % 40}" / f"part_{number % 400}"
        if number < 400:
            parent.mkdir(parents=True)
        text = "".join(rng.choices(functions, k=size_bytes // 300))[:size_bytes]
        (parent / f"module_{number}.py").write_text(text, encoding="ascii")


def _function(rng: random.Random) -> str:
    words = [f"{rng.choice(SYLLABLES)}{rng.choice(SYLLABLES)}" for _ in range(5)]
    lines = (rng.choice(STATEMENTS).format(**_names(rng, words)) for _ in range(rng.randint(6, 16)))
    return "".join(f"    {line}\n" for line in lines) + "\n"


def _names(rng: random.Random, words: list[str]) -> dict[str, object]:
    return {key: rng.choice(words) for key in "abcd"} | {"n": rng.randrange(20)}


SYLLABLES = [
    first + vowel + last for first in "bdfglmnprst" for vowel in "aeiou" for last in "klmnrst"
]


def make_random(folder: Path) -> None:
    """Write bytes that no compressor can shrink."""
    folder.mkdir(parents=True)
    for number in range(RANDOM_FILES):
        (folder / f"weights_{number}.bin").write_bytes(os.urandom(RANDOM_BYTES // RANDOM_FILES))


if __name__ == "__main__":
    raise SystemExit(main())
